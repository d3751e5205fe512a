//! Loops whose elements can stay text: which loops those are, and what they read of an element.
//!
//! A loop is one of them when none of its statements can make an object of the element that its turn is at and change it:
//! they assign variables and entries of objects that no turn chooses, read members of the element, calculate, and call
//! nothing that could call a function of the script. Then the element's members are the same whenever they are read.

use super::Compiler;
use crate::script::compiled::methods::Method;
use crate::script::compiled::natives::Native;
use crate::script::compiled::program::{
    Assign, Body as FunctionBody, Comparison, Expr, ForEach, Guard, Hot, Item, Logical, Member, MethodCall,
    MethodName, Part, PatternKey, Place, RowField, Rows, Slot, Statement, Step, Sum, Target, TemplatePart,
    Variable,
};
use crate::script::compiled::row_text::FIELDS_MAX;

/// The element of a loop that is being compiled.
pub(super) struct Element {
    /// Its variable, if it is a plain one.
    slot: Option<Slot>,
    /// Where it can be made from.
    origin: Slot,
    /// How many functions are around.
    depth: usize,
    /// The members that were read, and where their values go.
    fields: Vec<(Box<str>, Slot)>,
}

impl Compiler<'_> {
    /// Begins the body of a loop.
    pub(super) fn enter_element(&mut self, slot: Option<Slot>) {
        let origin = if slot.is_some() { self.slot() } else { 0 };
        self.elements.push(Element { slot, origin, depth: self.functions.len(), fields: Vec::new() });
    }

    /// Reads a variable of the function: the element of a loop around where it is one's.
    pub(super) fn slot_or_element(&self, slot: Slot) -> Expr {
        let depth = self.functions.len();
        let element =
            self.elements.iter().find(|element| element.depth == depth && element.slot == Some(slot));
        element.map_or(Expr::Slot(slot), |element| Expr::Element(slot, element.origin))
    }

    /// Reads a member: of the element of a loop around where it is one's.
    pub(super) fn part_of_element(&mut self, member: Member) -> Expr {
        let Expr::Element(object, origin) = member.object else { return Expr::Member(Box::new(member)) };
        let depth = self.functions.len();
        let is_its = |element: &&Element| element.depth == depth && element.slot == Some(object);
        let Some(element) = self.elements.iter().find(is_its) else {
            return Expr::Member(Box::new(member));
        };
        let known = element.fields.iter().find(|(name, _)| *name == member.name.text);
        let slot = match known {
            Some((_, slot)) => *slot,
            None if member.name.inherited || element.fields.len() >= FIELDS_MAX => {
                return Expr::Member(Box::new(member));
            }
            None => {
                let slot = self.slot();
                let name = member.name.text.clone();
                let element = self.elements.iter_mut().find(|element| is_its(&&**element));
                element.into_iter().for_each(|element| element.fields.push((name.clone(), slot)));
                slot
            }
        };
        Expr::Part(Box::new(Part { element: object, slot, origin, member }))
    }

    /// Ends the body of a loop: says how it runs on text, if it can.
    pub(super) fn leave_element(&mut self, body: &Statement) -> Option<Rows> {
        let rows = self.rows_of(|found| found.statement(body))?;
        let element = rows.0;
        Some(Rows { hot: hot(element, body), steps: steps(element, body), ..rows.1 })
    }

    /// How a loop runs on text that takes its elements apart, with names alone: whatever its body does, it has their values
    /// and nothing else of them.
    pub(super) fn taken_apart(&mut self, target: &Target) -> Option<Rows> {
        let Target::Record(pattern) = target else { return None };
        if pattern.rest.is_some() || pattern.members.is_empty() || pattern.members.len() > FIELDS_MAX {
            return None;
        }
        let mut fields: Vec<RowField> = Vec::new();
        for member in &pattern.members {
            let (PatternKey::Named(name, _), Target::Declare(slot), None) =
                (&member.key, &member.target, &member.default)
            else {
                return None;
            };
            let is_twice = fields.iter().any(|field| field.name == name.text);
            if is_twice || name.inherited || self.is_boxed(*slot) {
                return None;
            }
            fields.push(RowField { name: name.text.clone(), slot: *slot, walked: false });
        }
        self.program.loops += 1;
        Some(Rows {
            number: self.program.loops - 1,
            origin: self.slot(),
            fields: fields.into(),
            whole: false,
            always_whole: false,
            taken_apart: true,
            guards: Box::default(),
            hot: None,
            steps: Box::default(),
        })
    }

    /// Whether a variable of the function lives in a cell of its own.
    fn is_boxed(&mut self, slot: Slot) -> bool {
        let boxed = &self.function().code.boxed;
        usize::try_from(slot).ok().and_then(|slot| boxed.get(slot)).is_some_and(|boxed| *boxed)
    }

    /// Ends the body of a function that is called for each element of an array.
    pub(super) fn leave_callback(&mut self, body: &FunctionBody) -> Option<Rows> {
        let rows = self.rows_of(|found| match body {
            FunctionBody::Expression(expr) => found.expression(expr),
            FunctionBody::Block(block) => {
                block.functions.is_empty() && block.statements.iter().all(|inner| found.statement(inner))
            }
        })?;
        Some(rows.1).filter(|rows| !rows.always_whole && !rows.fields.is_empty())
    }

    /// Ends an element: its variable, and how what uses it runs on text if `is_plain` says that it can.
    fn rows_of(&mut self, is_plain: impl FnOnce(&mut Body) -> bool) -> Option<(Slot, Rows)> {
        let Element { slot, origin, fields, .. } = self.elements.pop()?;
        let element = slot?;
        if self.is_boxed(element) {
            return None;
        }
        let mut found = Body { element, ..Body::default() };
        if !is_plain(&mut found) || !found.is_sound() {
            return None;
        }
        let is_empty = fields.is_empty();
        let fields = fields.into_iter().map(|(name, slot)| {
            let walked = !found.read.contains(&slot);
            RowField { name, slot, walked }
        });
        self.program.loops += 1;
        let rows = Rows {
            number: self.program.loops - 1,
            origin,
            fields: fields.collect(),
            whole: found.whole,
            always_whole: found.always_whole || (found.whole && is_empty),
            taken_apart: false,
            guards: {
                let written = found.written.into_iter().map(|variable| (variable, Guard::Any));
                found.guards.into_iter().chain(written).collect()
            },
            hot: None,
            steps: Box::default(),
        };
        Some((element, rows))
    }
}

/// What the statements of a loop do.
#[derive(Default)]
struct Body {
    /// The variable of the element.
    element: Slot,
    /// Whether the element is used as a whole.
    whole: bool,
    /// Whether it is so in every turn.
    always_whole: bool,
    /// How many conditions are around.
    conditions: usize,
    /// Where members of the element go that are read, not only walked over.
    read: Vec<Slot>,
    /// The variables that change, those of inner elements among them.
    assigned: Vec<Variable>,
    /// The variables whose objects change.
    written: Vec<Variable>,
    /// The variables whose methods are called.
    guards: Vec<(Variable, Guard)>,
}

impl Body {
    /// Whether the objects that change are the same in every turn.
    fn is_sound(&self) -> bool {
        let guarded = self.guards.iter().map(|(variable, _)| variable);
        self.written.iter().chain(guarded).all(|variable| !self.assigned.contains(variable))
    }

    /// Whether a statement is one of those that such a loop may have.
    fn statement(&mut self, statement: &Statement) -> bool {
        match statement {
            Statement::Expression(expr) => self.expression(expr),
            Statement::Declare(slot, value) => {
                self.assigned.push(Variable::Slot(*slot));
                value.as_ref().is_none_or(|value| self.expression(value))
            }
            Statement::Block(block) => {
                block.functions.is_empty() && block.statements.iter().all(|inner| self.statement(inner))
            }
            Statement::If(parts) => {
                let condition = self.expression(&parts.0);
                self.conditions += 1;
                let plain = condition
                    && self.statement(&parts.1)
                    && parts.2.as_ref().is_none_or(|other| self.statement(other));
                self.conditions -= 1;
                plain
            }
            Statement::ForOf(node) => self.inner_loop(node),
            Statement::Return(value) => self.expression(value),
            Statement::Break(_) | Statement::Continue(_) | Statement::Empty => true,
            _ => false,
        }
    }

    fn inner_loop(&mut self, node: &ForEach) -> bool {
        let (Target::Declare(slot), Some(_)) = (&node.target, &node.rows) else { return false };
        self.assigned.push(Variable::Slot(*slot));
        let walks = match &node.over {
            Expr::Part(part) if part.element == self.element => true,
            over => self.expression(over),
        };
        walks && self.statement(&node.body)
    }

    fn all<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) -> bool {
        exprs.into_iter().all(|expr| self.expression(expr))
    }

    fn items(&mut self, items: &[Item]) -> bool {
        items.iter().all(|item| matches!(item, Item::One(expr) if self.expression(expr)))
    }

    fn expression(&mut self, expr: &Expr) -> bool {
        match expr {
            Expr::Undefined | Expr::Null | Expr::Bool(_) | Expr::Number(_) => true,
            Expr::Ascii(_) | Expr::Text(_) | Expr::Field(_) => true,
            Expr::Slot(_) | Expr::Variable(_) => true,
            Expr::Element(slot, _) => {
                self.whole |= *slot == self.element;
                self.always_whole |= *slot == self.element && self.conditions == 0;
                true
            }
            Expr::Part(part) => {
                if part.element == self.element {
                    self.read.push(part.slot);
                }
                true
            }
            Expr::Index(sides) | Expr::Add(sides) | Expr::Arithmetic(_, sides) => {
                self.all([&sides.0, &sides.1])
            }
            Expr::Compare(_, sides) | Expr::Logic(_, sides) => self.all([&sides.0, &sides.1]),
            Expr::Not(inner) | Expr::Negate(inner) | Expr::ToNumber(inner) | Expr::TypeOf(inner) => {
                self.expression(inner)
            }
            Expr::Conditional(parts) => {
                let condition = self.expression(&parts.0);
                self.conditions += 1;
                let plain = condition && self.all([&parts.1, &parts.2]);
                self.conditions -= 1;
                plain
            }
            Expr::Template(parts) => parts.iter().all(|part| {
                matches!(part, TemplatePart::Value(value) if self.expression(value))
                    || matches!(part, TemplatePart::Text(_))
            }),
            Expr::Record(_, values) => self.all(values),
            Expr::List(items) => self.items(items),
            Expr::Member(member) => self.expression(&member.object),
            Expr::CallNative(native, items) => calls_nothing(*native) && self.items(items),
            Expr::CallMethod(call) => self.method(call),
            Expr::Assign(assign) => self.place(&assign.place) && self.expression(&assign.value),
            Expr::Update(update) => self.place(&update.place) && self.expression(&update.value),
            Expr::Count(count) => self.place(&count.place),
            Expr::AssignWhen(parts) => self.place(&parts.1) && self.expression(&parts.2),
            _ => false,
        }
    }

    /// Whether such a loop may assign a place.
    fn place(&mut self, place: &Place) -> bool {
        match place {
            Place::Variable(variable) => {
                self.assigned.push(*variable);
                *variable != Variable::Slot(self.element)
            }
            Place::Member(member) => self.object(&member.object),
            Place::Index(sides) => self.object(&sides.0) && self.expression(&sides.1),
            _ => false,
        }
    }

    /// Whether such a loop may change an object.
    fn object(&mut self, object: &Expr) -> bool {
        let variable = variable_of(object);
        self.written.extend(variable);
        variable.is_some_and(|variable| variable != Variable::Slot(self.element))
    }

    /// Whether such a loop may call a method: of an array or a Set that the loop begins with, or of a string or a number of
    /// the element.
    fn method(&mut self, call: &MethodCall) -> bool {
        let MethodName::Named(_, Some(method)) = &call.method else { return false };
        let guard = match method {
            Method::Push => Some(Guard::List),
            Method::Add => Some(Guard::Set),
            _ => None,
        };
        let known = match (&call.object, variable_of(&call.object), guard) {
            (_, Some(variable), Some(guard)) => {
                self.guards.push((variable, guard));
                variable != Variable::Slot(self.element)
            }
            (Expr::Part(part), _, None) if part.element == self.element => {
                self.read.push(part.slot);
                is_of_plain_values(*method)
            }
            _ => false,
        };
        known && self.items(&call.arguments)
    }
}

/// The variable that an expression is.
const fn variable_of(expr: &Expr) -> Option<Variable> {
    match expr {
        Expr::Slot(slot) => Some(Variable::Slot(*slot)),
        Expr::Variable(variable) => Some(*variable),
        _ => None,
    }
}

/// Functions of the language that call no function of the script, whatever they are given.
const fn calls_nothing(native: Native) -> bool {
    matches!(
        native,
        Native::MathAbs
            | Native::MathCeil
            | Native::MathFloor
            | Native::MathMax
            | Native::MathMin
            | Native::MathRound
            | Native::MathSign
            | Native::MathTrunc
            | Native::Number
            | Native::String
    )
}

/// Methods of strings and numbers that call no function of the script, whatever they are given.
const fn is_of_plain_values(method: Method) -> bool {
    matches!(
        method,
        Method::Substring
            | Method::Slice
            | Method::StartsWith
            | Method::EndsWith
            | Method::Includes
            | Method::IndexOf
            | Method::ToLowerCase
            | Method::ToUpperCase
            | Method::Trim
            | Method::ToFixed
    )
}

/// What the statements of a body do, if any of them is a usual one.
fn steps(element: Slot, body: &Statement) -> Box<[Option<Step>]> {
    let Statement::Block(block) = body else { return Box::default() };
    let steps: Vec<Option<Step>> =
        block.statements.iter().map(|statement| step(element, statement)).collect();
    if steps.iter().all(Option::is_none) { Box::default() } else { steps.into() }
}

fn step(element: Slot, statement: &Statement) -> Option<Step> {
    let part_of = |expr: &Expr| match expr {
        Expr::Part(part) if part.element == element => Some(part.slot),
        _ => None,
    };
    match statement {
        Statement::Expression(Expr::Update(update)) if update.operator.is_none() => {
            let Place::Variable(Variable::Slot(slot)) = update.place else { return None };
            match &update.value {
                Expr::Number(by) => Some(Step::Count(slot, *by)),
                value => Some(Step::Add(slot, part_of(value)?)),
            }
        }
        Statement::Expression(Expr::Count(count)) => match count.place {
            Place::Variable(Variable::Slot(slot)) => Some(Step::Count(slot, count.by)),
            _ => None,
        },
        Statement::Expression(Expr::Assign(assign)) => {
            let (slot, value) = assigned(assign)?;
            let Expr::CallNative(native, items) = value else { return None };
            let part = match &**items {
                [Item::One(Expr::Slot(one)), Item::One(part)] if *one == slot => part_of(part)?,
                [Item::One(part), Item::One(Expr::Slot(one))] if *one == slot => part_of(part)?,
                _ => return None,
            };
            match native {
                Native::MathMax => Some(Step::Greatest(slot, part, true)),
                Native::MathMin => Some(Step::Least(slot, part, true)),
                _ => None,
            }
        }
        Statement::If(parts) => {
            let (Expr::Compare(comparison, sides), then, None) = &**parts else { return None };
            let then = match then {
                Statement::Block(block) => match &*block.statements {
                    [only] => only,
                    _ => return None,
                },
                then => then,
            };
            let Statement::Expression(Expr::Assign(assign)) = then else { return None };
            let (slot, value) = assigned(assign)?;
            let part = part_of(value)?;
            let greater = match (comparison, &sides.0, &sides.1) {
                (Comparison::Greater, one, Expr::Slot(other))
                    if *other == slot && part_of(one) == Some(part) =>
                {
                    true
                }
                (Comparison::Less, Expr::Slot(other), one)
                    if *other == slot && part_of(one) == Some(part) =>
                {
                    true
                }
                (Comparison::Less, one, Expr::Slot(other))
                    if *other == slot && part_of(one) == Some(part) =>
                {
                    false
                }
                (Comparison::Greater, Expr::Slot(other), one)
                    if *other == slot && part_of(one) == Some(part) =>
                {
                    false
                }
                _ => return None,
            };
            Some(if greater { Step::Greatest(slot, part, false) } else { Step::Least(slot, part, false) })
        }
        _ => None,
    }
}

/// The variable of this function that is assigned, and what.
const fn assigned(assign: &Assign) -> Option<(Slot, &Expr)> {
    match assign.place {
        Place::Variable(Variable::Slot(slot)) => Some((slot, &assign.value)),
        _ => None,
    }
}

/// The loop that a body is, if it is one of those.
fn hot(element: Slot, body: &Statement) -> Option<Hot> {
    let only = match body {
        Statement::Block(block) => match &*block.statements {
            [only] if block.declares.is_empty() => only,
            _ => return None,
        },
        only => only,
    };
    let Statement::Expression(expr) = only else { return None };
    match expr {
        Expr::CallMethod(call) => match (&call.object, &call.method, &*call.arguments) {
            (
                Expr::Slot(set),
                MethodName::Named(_, Some(Method::Add)),
                [Item::One(Expr::Element(argument, _))],
            ) if *argument == element => Some(Hot::Add(*set)),
            _ => None,
        },
        Expr::Assign(assign) => hot_assign(element, assign),
        _ => None,
    }
}

fn hot_assign(element: Slot, assign: &Assign) -> Option<Hot> {
    let Place::Index(sides) = &assign.place else { return None };
    let Expr::Slot(object) = sides.0 else { return None };
    match (&sides.1, &assign.value) {
        (Expr::Element(key, _), Expr::Bool(_) | Expr::Number(_) | Expr::Null) if *key == element => {
            Some(Hot::Mark(object, literal(&assign.value)?))
        }
        (Expr::Part(key), Expr::Add(sum)) if key.element == element => {
            let (Expr::Logic(logical, sides), Expr::Part(by)) = (&sum.0, &sum.1) else { return None };
            let (Expr::Index(old), Expr::Number(missing)) = (&sides.0, &sides.1) else { return None };
            let (Expr::Slot(same_object), Expr::Part(same_key)) = (&old.0, &old.1) else { return None };
            let falsy = match logical {
                Logical::Or => true,
                Logical::Coalesce => false,
                Logical::And => return None,
            };
            let fits = *same_object == object && same_key.slot == key.slot && by.element == element;
            fits.then_some(Hot::Sum(Sum { object, key: key.slot, missing: *missing, falsy, by: by.slot }))
        }
        _ => None,
    }
}

/// A literal that takes no room.
const fn literal(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Bool(value) => Some(Expr::Bool(*value)),
        Expr::Number(value) => Some(Expr::Number(*value)),
        Expr::Null => Some(Expr::Null),
        _ => None,
    }
}
