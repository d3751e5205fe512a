//! Turns of loops over elements that are only text: the members that a loop reads are taken from the text, and no object
//! is made. Whatever does not fit is made an object, and the turn, or the rest of the loop, runs as every other does.

use super::evaluate::{number_in, place};
use super::execute::Flow;
use super::list::List;
use super::machine::{Frame, Machine};
use super::numbers;
use super::program::{ForEach, Guard, Parameters, Part, Rows, Slot, Statement, Step};
use super::row_text::{Fit, Guesses, scan};
use super::scanner::Scanner;
use super::value::{Bound, Closure, Outcome, Stop, Value, same};
use bumpalo::Bump;
use std::cell::Cell;

/// A function that is called for each element of an array, on the elements' text where that is possible.
#[derive(Clone, Copy)]
pub(super) struct RowCallback<'a> {
    /// The array.
    list: &'a List<'a>,
    closure: &'a Closure<'a>,
    /// Which parameter the element is.
    parameter: usize,
    rows: &'a Rows,
    guesses: Guesses<'a>,
}

impl<'a> Machine<'a> {
    /// A member of a loop's element.
    #[inline]
    pub(super) fn element_part(&mut self, frame: &Frame<'a>, part: &'a Part) -> Outcome<'a> {
        if let (Some(Value::Uninitialized), Some(slot)) =
            (frame.slots.get(place(part.element)).map(Cell::get), frame.slots.get(place(part.slot)))
        {
            return match slot.get() {
                Value::Number(number) => Ok(Value::Number(number)),
                Value::Ascii(text) => Ok(Value::Ascii(text)),
                _ => self.read(slot),
            };
        }
        self.eval_member(frame, &part.member)
    }

    /// What is known of the elements of a loop in this call.
    pub(super) fn guesses(&mut self, rows: &Rows) -> Outcome<'a, Guesses<'a>> {
        let fresh = |bump: &'a Bump, count| {
            let made = bump.try_alloc_slice_fill_with(count, |_| Cell::new((&[][..], 0)));
            made.map(|slice| &*slice).map_err(|_| Stop::Bound(Bound::Memory))
        };
        if self.guesses.is_empty() {
            let made = self.bump.try_alloc_slice_fill_with(self.program.loops, |_| Cell::new(&[][..]));
            self.guesses = made.map_err(|_| Stop::Bound(Bound::Memory))?;
        }
        let Some(cell) = self.guesses.get(rows.number) else { return fresh(self.bump, rows.fields.len()) };
        if cell.get().is_empty() && !rows.fields.is_empty() {
            cell.set(fresh(self.bump, rows.fields.len())?);
        }
        Ok(cell.get())
    }

    /// The element of a loop as a value.
    #[inline]
    pub(super) fn element_value(&mut self, frame: &Frame<'a>, element: Slot, origin: Slot) -> Outcome<'a> {
        if let Some(Value::Uninitialized) = frame.slots.get(place(element)).map(Cell::get) {
            self.make_element(frame, element, origin)?;
        }
        Self::local(frame, element)
    }

    /// Makes an object of the element of a turn that began on its text. From here on the turn has its element as an object.
    #[inline(never)]
    pub(super) fn make_element(&mut self, frame: &Frame<'a>, element: Slot, origin: Slot) -> Outcome<'a, ()> {
        if let (Some(element), Some(Value::Boxed(cell))) =
            (frame.slots.get(place(element)), frame.slots.get(place(origin)).map(Cell::get))
        {
            let made = self.read(cell)?;
            element.set(made);
        }
        Ok(())
    }

    /// Whether the loop's statements do what they were taken to do: methods are those of arrays and Sets, and no array that
    /// grows is the one that is walked over.
    pub(super) fn guards_hold(frame: &Frame<'a>, rows: &Rows, walked: Option<&List<'a>>) -> bool {
        rows.guards.iter().all(|(variable, guard)| match (guard, Self::variable(frame, *variable)) {
            (Guard::List, Ok(Value::List(list))) => !walked.is_some_and(|walked| same(walked, list)),
            (Guard::Set, Ok(Value::Set(_))) => true,
            (Guard::Any, Ok(Value::List(list))) => !walked.is_some_and(|walked| same(walked, list)),
            (Guard::Any, Ok(_)) => true,
            _ => false,
        })
    }

    /// A turn on an element that is an object's text; `None` when it must become an object.
    pub(super) fn row_turn(
        &mut self,
        frame: &Frame<'a>,
        node: &'a ForEach,
        rows: &'a Rows,
        cell: &'a Cell<Value<'a>>,
        guesses: Guesses<'a>,
    ) -> Outcome<'a, Option<Flow<'a>>> {
        let Value::RawRecord(text) = cell.get() else { return Ok(None) };
        let mut scanner = Scanner::new(text);
        // Before, as what is declared may be the fields.
        self.undeclare(frame, &node.declares)?;
        if scan(frame, rows, &mut scanner, false, guesses)? == Fit::Object {
            return Ok(None);
        }
        self.realm.native_turns += 1;
        self.charge(node.weight)?;
        if rows.taken_apart {
            // These are variables like every other.
            for field in &rows.fields {
                if let Some(slot) = frame.slots.get(place(field.slot)) {
                    self.read(slot)?;
                }
            }
        }
        if let Some(origin) = frame.slots.get(place(rows.origin)) {
            origin.set(Value::Boxed(cell));
        }
        self.row_body(frame, node, rows).map(Some)
    }

    /// How a function is called for the elements of an array that are only text, if it can be.
    pub(super) fn row_callback(
        &mut self,
        callback: Value<'a>,
        list: &'a List<'a>,
    ) -> Outcome<'a, Option<RowCallback<'a>>> {
        let Value::Closure(closure) = callback else { return Ok(None) };
        let Some((parameter, rows)) = &closure.code.rows else { return Ok(None) };
        let guards = Frame { code: closure.code, slots: &[], environment: closure.environment };
        if !Self::guards_hold(&guards, rows, Some(list)) {
            return Ok(None);
        }
        let guesses = self.guesses(rows)?;
        Ok(Some(RowCallback { list, closure, parameter: *parameter, rows, guesses }))
    }

    /// Calls a function for an element that is an object's text; `None` when it must become an object. `before` are the
    /// arguments before the element, `index` is the one behind it.
    pub(super) fn row_call(
        &mut self,
        callback: &RowCallback<'a>,
        cell: &'a Cell<Value<'a>>,
        before: Option<Value<'a>>,
        index: usize,
    ) -> Outcome<'a, Option<Value<'a>>> {
        let Value::RawRecord(text) = cell.get() else { return Ok(None) };
        let RowCallback { list, closure, parameter, rows, guesses } = callback;
        // What is carried on may be the array itself, and may be changed.
        let is_array = matches!(before, Some(Value::List(before)) if same(before, *list));
        if is_array || before.is_some() != (*parameter == 1) {
            return Ok(None);
        }
        let (slots, mark) = self.reserve(closure.code.slots)?;
        let frame = Frame { code: closure.code, slots, environment: closure.environment };
        let mut scanner = Scanner::new(text);
        if scan(&frame, rows, &mut scanner, false, guesses)? == Fit::Object {
            self.release(mark);
            return Ok(None);
        }
        self.realm.native_turns += 1;
        let mut arguments = slots.iter();
        for value in before.into_iter().chain([Value::Uninitialized]) {
            if let Some(slot) = arguments.next() {
                slot.set(value);
            }
        }
        if let Parameters::Plain(count) = closure.code.parameters
            && count > parameter + 1
            && let Some(slot) = arguments.next()
        {
            slot.set(Value::Number(numbers::of_len(index)));
        }
        if let Some(origin) = slots.get(place(rows.origin)) {
            origin.set(Value::Boxed(cell));
        }
        let result = self.run(closure.code, slots, closure.environment, &[]);
        self.release(mark);
        result.map(Some)
    }

    /// Runs the body of a loop on an element whose fields were taken.
    #[inline]
    pub(super) fn row_body(
        &mut self,
        frame: &Frame<'a>,
        node: &'a ForEach,
        rows: &'a Rows,
    ) -> Outcome<'a, Flow<'a>> {
        let Statement::Block(block) = &node.body else { return self.execute(frame, &node.body) };
        if rows.steps.is_empty() {
            return self.execute(frame, &node.body);
        }
        self.undeclare(frame, &block.declares)?;
        for (statement, step) in block.statements.iter().zip(&rows.steps) {
            if step.is_some_and(|step| took_step(frame, step)) {
                continue;
            }
            match self.execute(frame, statement)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }
}

/// Does what a usual statement does, if both values are numbers; says whether it did.
#[inline]
fn took_step(frame: &Frame<'_>, step: Step) -> bool {
    let slot_of = |slot: Slot| frame.slots.get(place(slot));
    let number_of = |slot: Slot| slot_of(slot).and_then(number_in);
    let (variable, result) = match step {
        Step::Count(variable, by) => (variable, number_of(variable).map(|old| old + by)),
        Step::Add(variable, part) => {
            (variable, number_of(variable).and_then(|old| Some(old + number_of(part)?)))
        }
        Step::Greatest(variable, part, exact) | Step::Least(variable, part, exact) => {
            let (Some(old), Some(new)) = (number_of(variable), number_of(part)) else { return false };
            // Which of two equal zeros it is, and what comes of NaN, the functions know.
            if exact && (old == new || old.is_nan() || new.is_nan()) {
                return false;
            }
            let replaces = if matches!(step, Step::Greatest(..)) { new > old } else { new < old };
            (variable, Some(if replaces { new } else { old }))
        }
    };
    match (slot_of(variable), result) {
        (Some(slot), Some(result)) => {
            slot.set(Value::Number(result));
            true
        }
        _ => false,
    }
}
