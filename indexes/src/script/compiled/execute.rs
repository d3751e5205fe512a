//! Statements: what they do.

use super::evaluate::place;
use super::machine::{Frame, Machine};
use super::program::{
    Block, Catch, Expr, ForEach, ForLoop, FunctionId, Label, Slot, Statement, Switch, Try, WhileLoop,
};
use super::row_walk::Walked;
use super::text::Text;
use super::value::{Outcome, Stop, Value, hand_over};

/// How a statement ended.
#[derive(Clone, Copy)]
pub(super) enum Flow<'a> {
    /// It goes on with the next one.
    Next,
    /// `break`
    Break(Option<Label>),
    /// `continue`
    Continue(Option<Label>),
    /// `return`
    Return(Value<'a>),
}

/// What a turn of a loop means for the loop: `None` when it goes on.
pub(super) fn after_turn<'a>(flow: Flow<'a>, labels: &[Label]) -> Option<Flow<'a>> {
    match flow {
        Flow::Next | Flow::Continue(None) => None,
        Flow::Continue(Some(label)) if labels.contains(&label) => None,
        Flow::Break(None) => Some(Flow::Next),
        other => Some(other),
    }
}

impl<'a> Machine<'a> {
    /// Puts declared variables into the state before their declaration.
    pub(super) fn undeclare(&mut self, frame: &Frame<'a>, declares: &[Slot]) -> Outcome<'a, ()> {
        for slot in declares {
            let boxed = frame.code.boxed.get(place(*slot)).copied().unwrap_or(false);
            let fresh =
                if boxed { Value::Boxed(self.cell(Value::Uninitialized)?) } else { Value::Uninitialized };
            if let Some(slot) = frame.slots.get(place(*slot)) {
                slot.set(fresh);
            }
        }
        Ok(())
    }

    fn declare_functions(
        &mut self,
        frame: &Frame<'a>,
        functions: &'a [(Slot, FunctionId)],
    ) -> Outcome<'a, ()> {
        for (slot, id) in functions {
            let function = self.make_function(frame, *id)?;
            Self::declare(frame, *slot, function);
        }
        Ok(())
    }

    /// Runs a block.
    pub fn block(&mut self, frame: &Frame<'a>, block: &'a Block) -> Outcome<'a, Flow<'a>> {
        self.undeclare(frame, &block.declares)?;
        self.declare_functions(frame, &block.functions)?;
        self.statements(frame, &block.statements)
    }

    fn statements(&mut self, frame: &Frame<'a>, statements: &'a [Statement]) -> Outcome<'a, Flow<'a>> {
        for statement in statements {
            match self.execute(frame, statement)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    pub(super) fn execute(&mut self, frame: &Frame<'a>, statement: &'a Statement) -> Outcome<'a, Flow<'a>> {
        match statement {
            Statement::Expression(expr) => match self.eval(frame, expr) {
                Ok(_) => Ok(Flow::Next),
                Err(stop) => Err(stop),
            },
            Statement::Declare(slot, value) => {
                let value = match value {
                    Some(value) => self.eval(frame, value)?,
                    None => Value::Undefined,
                };
                Self::declare(frame, *slot, value);
                Ok(Flow::Next)
            }
            Statement::DeclarePattern(parts) => {
                let value = self.eval(frame, &parts.1)?;
                self.bind(frame, &parts.0, value)?;
                Ok(Flow::Next)
            }
            Statement::Block(block) => self.block(frame, block),
            Statement::If(parts) => {
                let (condition, then, other) = &**parts;
                if self.condition(frame, condition)? {
                    return self.execute(frame, then);
                }
                other.as_ref().map_or(Ok(Flow::Next), |other| self.execute(frame, other))
            }
            Statement::Return(value) => self.eval(frame, value).map(Flow::Return),
            Statement::For(node) => self.for_loop(frame, node),
            Statement::ForOf(node) => self.for_of(frame, node),
            Statement::ForIn(node) => self.for_in(frame, node),
            Statement::While(node) => self.while_loop(frame, node, true),
            Statement::DoWhile(node) => self.while_loop(frame, node, false),
            Statement::Switch(node) => self.switch(frame, node),
            Statement::Try(node) => self.try_statement(frame, node),
            Statement::Throw(value) => {
                let value = self.eval(frame, value)?;
                Err(Stop::Thrown(self.alloc(value)?))
            }
            Statement::Break(label) => Ok(Flow::Break(*label)),
            Statement::Continue(label) => Ok(Flow::Continue(*label)),
            Statement::Labelled(label, inner) => Ok(match self.execute(frame, inner)? {
                Flow::Break(Some(found)) if found == *label => Flow::Next,
                other => other,
            }),
            Statement::Empty => Ok(Flow::Next),
        }
    }

    fn while_loop(
        &mut self,
        frame: &Frame<'a>,
        node: &'a WhileLoop,
        condition_first: bool,
    ) -> Outcome<'a, Flow<'a>> {
        let mut first = !condition_first;
        loop {
            if !std::mem::take(&mut first) && !self.condition(frame, &node.condition)? {
                return Ok(Flow::Next);
            }
            self.charge(node.weight)?;
            if let Some(end) = after_turn(self.execute(frame, &node.body)?, &node.labels) {
                return Ok(end);
            }
        }
    }

    fn for_loop(&mut self, frame: &Frame<'a>, node: &'a ForLoop) -> Outcome<'a, Flow<'a>> {
        self.undeclare(frame, &node.declares)?;
        self.execute(frame, &node.init)?;
        self.next_turn(frame, &node.declares)?;
        loop {
            if let Some(condition) = &node.condition
                && !self.condition(frame, condition)?
            {
                return Ok(Flow::Next);
            }
            self.charge(node.weight)?;
            if let Some(end) = after_turn(self.execute(frame, &node.body)?, &node.labels) {
                return Ok(end);
            }
            self.next_turn(frame, &node.declares)?;
            if let Some(step) = &node.step {
                self.eval(frame, step)?;
            }
        }
    }

    /// Each turn has variables of its own, with the values of the turn before.
    fn next_turn(&mut self, frame: &Frame<'a>, declares: &[Slot]) -> Outcome<'a, ()> {
        for slot in declares {
            let slot = frame.slots.get(place(*slot));
            if let Some((slot, Value::Boxed(cell))) = slot.map(|slot| (slot, slot.get())) {
                let fresh = self.cell(cell.get())?;
                slot.set(Value::Boxed(fresh));
            }
        }
        Ok(())
    }

    fn turn(
        &mut self,
        frame: &Frame<'a>,
        node: &'a ForEach,
        value: Value<'a>,
    ) -> Outcome<'a, Option<Flow<'a>>> {
        self.charge(node.weight)?;
        self.undeclare(frame, &node.declares)?;
        self.bind(frame, &node.target, value)?;
        Ok(after_turn(self.execute(frame, &node.body)?, &node.labels))
    }

    fn for_of(&mut self, frame: &Frame<'a>, node: &'a ForEach) -> Outcome<'a, Flow<'a>> {
        self.undeclare(frame, &node.declares)?;
        let mut index = 0;
        if let Some(rows) = node.rows.as_ref().filter(|rows| !rows.taken_apart)
            && let Some(text) = self.unmade(frame, &node.over)?
            && Self::guards_hold(frame, rows, None)
        {
            match self.walk(frame, node, rows, text)? {
                Walked::All(flow) => return Ok(flow),
                Walked::Until(element) => index = element,
            }
            self.undeclare(frame, &node.declares)?;
        }
        let over = match &node.over {
            Expr::Part(part) => self.walked_part(frame, part)?,
            over => self.eval(frame, over)?,
        };
        if let Value::List(list) = over {
            self.charge_length(list.len())?;
            let rows = node.rows.as_ref().filter(|rows| !rows.always_whole);
            let rows = rows.filter(|rows| Self::guards_hold(frame, rows, Some(list)));
            let guesses = match rows {
                Some(rows) => self.guesses(rows)?,
                None => &[],
            };
            while let Some(slot) = list.slots().get(index) {
                let native = match rows {
                    Some(rows) => self.row_turn(frame, node, rows, slot, guesses)?,
                    None => None,
                };
                let end = match native {
                    Some(flow) => after_turn(flow, &node.labels),
                    None => {
                        let value = self.read(slot)?;
                        self.turn(frame, node, value)?
                    }
                };
                if let Some(end) = end {
                    return Ok(end);
                }
                index += 1;
            }
            return Ok(Flow::Next);
        }
        let iterator = self.iterator(over)?;
        while let Some(value) = self.advance(iterator)? {
            if let Some(end) = self.turn(frame, node, value)? {
                return Ok(end);
            }
        }
        Ok(Flow::Next)
    }

    fn for_in(&mut self, frame: &Frame<'a>, node: &'a ForEach) -> Outcome<'a, Flow<'a>> {
        self.undeclare(frame, &node.declares)?;
        let record = match self.eval(frame, &node.over)? {
            Value::Record(record) => record,
            Value::Undefined | Value::Null => return Ok(Flow::Next),
            _ => return hand_over(&"the names of what is no plain object"),
        };
        for property in self.property_places(record)? {
            let name = self.place_name(property)?;
            let Some(text) = self.text(name)?.and_then(Text::as_str) else { continue };
            if self.slot(record, text)?.is_none() {
                continue;
            }
            if let Some(end) = self.turn(frame, node, name)? {
                return Ok(end);
            }
        }
        Ok(Flow::Next)
    }

    fn switch(&mut self, frame: &Frame<'a>, node: &'a Switch) -> Outcome<'a, Flow<'a>> {
        let value = self.eval(frame, &node.value)?;
        self.undeclare(frame, &node.declares)?;
        self.declare_functions(frame, &node.functions)?;
        let mut begin = None;
        for (number, (condition, _)) in node.cases.iter().enumerate() {
            let Some(condition) = condition else { continue };
            let wanted = self.eval(frame, condition)?;
            if self.strictly_equal(value, wanted)? {
                begin = Some(number);
                break;
            }
        }
        let default = || node.cases.iter().position(|(condition, _)| condition.is_none());
        let Some(begin) = begin.or_else(default) else { return Ok(Flow::Next) };
        for (_, statements) in node.cases.iter().skip(begin) {
            match self.statements(frame, statements)? {
                Flow::Next => {}
                Flow::Break(None) => return Ok(Flow::Next),
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    /// Only what the script itself threw is caught here. When an operation of the language fails, the whole call is the
    /// engine's, since a script can see the message.
    fn try_statement(&mut self, frame: &Frame<'a>, node: &'a Try) -> Outcome<'a, Flow<'a>> {
        let state = self.state();
        let mut outcome = self.block(frame, &node.block);
        if let (Err(Stop::Thrown(thrown)), Some(catch)) = (&outcome, &node.catch) {
            let thrown = **thrown;
            self.restore(state);
            outcome = self.catch(frame, catch, thrown);
        }
        let Some(finally) = &node.finally else { return outcome };
        if matches!(outcome, Ok(_) | Err(Stop::Thrown(_))) {
            if outcome.is_err() {
                self.restore(state);
            }
            match self.block(frame, finally)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        outcome
    }

    fn catch(&mut self, frame: &Frame<'a>, catch: &'a Catch, thrown: Value<'a>) -> Outcome<'a, Flow<'a>> {
        self.undeclare(frame, &catch.declares)?;
        if let Some(target) = &catch.target {
            self.bind(frame, target, thrown)?;
        }
        self.block(frame, &catch.block)
    }
}
