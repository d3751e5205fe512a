//! Expressions: what they give.

use super::big::Big;
use super::convert::{Arithmetic, Numeric, on_numbers};
use super::machine::{Frame, Machine};
use super::natives::Native;
use super::nothing::is_plain;
use super::numbers;
use super::program::{
    Capture, Class, Comparison, Expr, FunctionId, Item, Logical, Member, Property, Slot, TemplatePart,
    Variable,
};
use super::text::Text;
use super::value::{ErrorKind, Outcome, RegexObject, Stop, Value, hand_over, type_error};
use std::cell::Cell;
use std::cmp::Ordering;

/// A number of the program as a place in memory.
pub(super) fn place(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The number in a slot, if it is one.
#[inline(always)]
pub(super) fn number_in<'a>(slot: &Cell<Value<'a>>) -> Option<f64> {
    match slot.get() {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

/// A variable's value, if its declaration ran.
fn initialized<'a>(value: Value<'a>) -> Outcome<'a> {
    match value {
        Value::Uninitialized => Err(Stop::Failed(ErrorKind::Reference)),
        value => Ok(value),
    }
}

impl<'a> Machine<'a> {
    /// Evaluates an expression. What needs room of its own is in functions of its own, so that the frames of nested
    /// expressions are small.
    pub fn eval(&mut self, frame: &Frame<'a>, expr: &'a Expr) -> Outcome<'a> {
        match expr {
            Expr::Slot(slot) => Self::local(frame, *slot),
            Expr::Element(slot, origin) => self.element_value(frame, *slot, *origin),
            Expr::Number(value) => Ok(Value::Number(*value)),
            Expr::Ascii(text) => Ok(Value::Ascii(text)),
            Expr::Field(field) => self.field(place(*field)),
            Expr::Member(member) => self.eval_member(frame, member),
            Expr::Part(part) => self.element_part(frame, part),
            Expr::Index(sides) => self.eval_index(frame, sides),
            Expr::Undefined => Ok(Value::Undefined),
            Expr::Null => Ok(Value::Null),
            Expr::Bool(value) => Ok(Value::Bool(*value)),
            Expr::Variable(variable) => Self::variable(frame, *variable),
            Expr::Call(call) => self.call_expression(frame, call),
            Expr::CallGlobal(id, items) => self.call_global(frame, *id, items),
            Expr::CallMethod(call) => self.call_method(frame, call),
            Expr::CallNative(native, items) => self.eval_native(frame, *native, items),
            Expr::Add(sides) => self.eval_add(frame, sides),
            Expr::Arithmetic(operator, sides) => self.eval_arithmetic(frame, *operator, sides),
            Expr::Compare(comparison, sides) => self.compared(frame, *comparison, sides).map(Value::Bool),
            Expr::Logic(logical, sides) => {
                let one = self.eval(frame, &sides.0)?;
                if decides(*logical, one) { Ok(one) } else { self.eval(frame, &sides.1) }
            }
            Expr::Conditional(parts) => {
                let condition = self.condition(frame, &parts.0)?;
                self.eval(frame, if condition { &parts.1 } else { &parts.2 })
            }
            Expr::Not(inner) => Ok(Value::Bool(!self.condition(frame, inner)?)),
            Expr::Record(literal, values) => self.record_literal(frame, place(*literal), values),
            Expr::List(items) => self.list_literal(frame, items),
            Expr::Update(update) => self.eval_update(frame, update),
            Expr::Count(count) => self.eval_count(frame, count),
            Expr::Assign(_) => self.eval_assignment(frame, expr),
            other => self.eval_rare(frame, other),
        }
    }

    /// [`Self::eval`] for parts of an expression: the shortest ones take no call. Who calls it looks at the outcome in
    /// place: copying a value right after it was written in parts waits for the writes.
    #[inline(always)]
    pub(super) fn operand(&mut self, frame: &Frame<'a>, expr: &'a Expr) -> Outcome<'a> {
        match expr {
            Expr::Slot(slot) => match frame.slots.get(place(*slot)).and_then(number_in) {
                Some(number) => Ok(Value::Number(number)),
                None => Self::local(frame, *slot),
            },
            Expr::Number(value) => Ok(Value::Number(*value)),
            Expr::Ascii(text) => Ok(Value::Ascii(text)),
            Expr::Member(member) => self.eval_member(frame, member),
            Expr::Part(part) => self.element_part(frame, part),
            other => self.eval(frame, other),
        }
    }

    /// Whether a condition holds.
    #[inline]
    pub fn condition(&mut self, frame: &Frame<'a>, expr: &'a Expr) -> Outcome<'a, bool> {
        match expr {
            Expr::Compare(comparison, sides) => self.compared(frame, *comparison, sides),
            Expr::Not(inner) => self.condition(frame, inner).map(|holds| !holds),
            other => self.eval(frame, other).map(Value::truthy),
        }
    }

    #[inline(never)]
    pub(super) fn eval_member(&mut self, frame: &Frame<'a>, member: &'a Member) -> Outcome<'a> {
        let object = self.operand(frame, &member.object);
        match &object {
            Ok(Value::Record(record)) => match self.named_slot(record, &member.name, member.cache)? {
                Some(slot) => self.read(slot),
                None if member.name.inherited => hand_over(&"an inherited member"),
                None => Ok(Value::Undefined),
            },
            Ok(Value::List(list)) if member.name.is_length => Ok(Value::Number(numbers::of_len(list.len()))),
            Ok(value) if value.is_nullish() => self.nothing_of(frame, &member.object),
            _ => self.named_member(object?, &member.name, member.cache),
        }
    }

    #[inline(never)]
    fn eval_index(&mut self, frame: &Frame<'a>, sides: &'a (Expr, Expr)) -> Outcome<'a> {
        let object = self.operand(frame, &sides.0);
        object?;
        let key = self.operand(frame, &sides.1);
        if let (Ok(Value::List(list)), Ok(Value::Number(number))) = (&object, &key)
            && let Some(index) = numbers::to_index(*number)
        {
            return match list.slots().get(index) {
                Some(slot) => self.read(slot),
                None => Ok(Value::Undefined),
            };
        }
        let (object, key) = (object?, key?);
        if object.is_nullish() && is_plain(&sides.1) {
            return self.nothing_of(frame, &sides.0);
        }
        self.computed_member(object, key)
    }

    #[inline(never)]
    fn eval_native(&mut self, frame: &Frame<'a>, native: Native, items: &'a [Item]) -> Outcome<'a> {
        let arguments = self.arguments(frame, items)?;
        self.call_native(native, arguments.as_slice())
    }

    #[inline(never)]
    fn eval_add(&mut self, frame: &Frame<'a>, sides: &'a (Expr, Expr)) -> Outcome<'a> {
        let one = self.operand(frame, &sides.0);
        one?;
        let other = self.operand(frame, &sides.1);
        if let (Ok(Value::Number(one)), Ok(Value::Number(other))) = (&one, &other) {
            return Ok(Value::Number(one + other));
        }
        self.add(one?, other?)
    }

    #[inline(never)]
    fn eval_arithmetic(
        &mut self,
        frame: &Frame<'a>,
        operator: Arithmetic,
        sides: &'a (Expr, Expr),
    ) -> Outcome<'a> {
        let one = self.operand(frame, &sides.0);
        one?;
        let other = self.operand(frame, &sides.1);
        if let (Ok(Value::Number(one)), Ok(Value::Number(other))) = (&one, &other) {
            return on_numbers(operator, *one, *other);
        }
        self.arithmetic(operator, one?, other?)
    }

    #[inline(never)]
    fn compared(
        &mut self,
        frame: &Frame<'a>,
        comparison: Comparison,
        sides: &'a (Expr, Expr),
    ) -> Outcome<'a, bool> {
        let one = self.operand(frame, &sides.0);
        one?;
        let other = self.operand(frame, &sides.1);
        match (comparison, &one, &other) {
            (Comparison::Less, Ok(Value::Number(one)), Ok(Value::Number(other))) => Ok(one < other),
            (Comparison::Greater, Ok(Value::Number(one)), Ok(Value::Number(other))) => Ok(one > other),
            (Comparison::Same, Ok(Value::Number(one)), Ok(Value::Number(other))) => Ok(one == other),
            (Comparison::NotSame, Ok(Value::Number(one)), Ok(Value::Number(other))) => Ok(one != other),
            (Comparison::Same, Ok(Value::Ascii(one)), Ok(Value::Ascii(other))) => Ok(one == other),
            (Comparison::NotSame, Ok(Value::Ascii(one)), Ok(Value::Ascii(other))) => Ok(one != other),
            _ => self.compare(comparison, one?, other?),
        }
    }

    #[inline(never)]
    fn eval_rare(&mut self, frame: &Frame<'a>, expr: &'a Expr) -> Outcome<'a> {
        match expr {
            Expr::Global(global) => self.global(place(*global)),
            Expr::Native(native) => Ok(Value::Native(*native)),
            Expr::Metadata => self.document_metadata(),
            Expr::DocumentId => self.document_id(),
            Expr::Object(properties) => self.object_literal(frame, properties),
            Expr::Function(id) => self.make_function(frame, *id),
            Expr::GlobalFunction(id) => self.global_function(*id),
            Expr::Pattern(number) => match self.program.patterns.get(place(*number)) {
                Some(pattern) => {
                    let regex = self.place_in_arena(RegexObject { pattern })?;
                    Ok(Value::Regex(regex))
                }
                None => Ok(Value::Undefined),
            },
            Expr::Template(parts) => self.template(frame, parts),
            Expr::Text(text) => Ok(Text::of(text).into()),
            Expr::Units(units) => Ok(Value::Units(units)),
            Expr::New(constructor, items) => {
                let arguments = self.arguments(frame, items)?;
                self.construct(*constructor, arguments.as_slice())
            }
            Expr::Big(digits) => match digits.parse() {
                Ok(value) => self.big(&value),
                Err(_) => hand_over(&"a BigInt of this kind"),
            },
            Expr::Negate(inner) => {
                let value = self.eval(frame, inner)?;
                self.negated(value)
            }
            Expr::ToNumber(inner) => {
                let value = self.eval(frame, inner)?;
                self.number(value).map(Value::Number)
            }
            Expr::BitNot(inner) => match self.eval(frame, inner)? {
                Value::Number(number) => Ok(Value::Number(f64::from(!numbers::to_int32(number)))),
                Value::Big(big) => self.big_complement(*big),
                _ => hand_over(&"~ of what is no number"),
            },
            Expr::TypeOf(inner) => Ok(Value::Ascii(self.eval(frame, inner)?.type_name())),
            Expr::Void(inner) => self.eval(frame, inner).map(|_| Value::Undefined),
            Expr::Comma(sides) => {
                self.eval(frame, &sides.0)?;
                self.eval(frame, &sides.1)
            }
            Expr::In(sides) => {
                let (key, object) = (self.eval(frame, &sides.0)?, self.eval(frame, &sides.1)?);
                self.is_in(key, object)
            }
            Expr::InstanceOf(class, inner) => {
                let value = self.eval(frame, inner)?;
                Ok(Value::Bool(is_instance(*class, value)))
            }
            Expr::DeleteMember(parts) => {
                let object = self.eval(frame, &parts.0)?;
                self.delete(object, &parts.1.text)
            }
            Expr::DeleteIndex(sides) => {
                let (object, key) = (self.eval(frame, &sides.0)?, self.eval(frame, &sides.1)?);
                let key = self.property_key(key)?;
                match self.text(key)?.and_then(Text::as_str) {
                    Some(name) => self.delete(object, name),
                    None => hand_over(&"a property name with half a surrogate pair"),
                }
            }
            other => self.eval_assignment(frame, other),
        }
    }

    /// A variable of the running function.
    #[inline]
    pub(super) fn local(frame: &Frame<'a>, slot: Slot) -> Outcome<'a> {
        match frame.slots.get(place(slot)).map_or(Value::Undefined, Cell::get) {
            Value::Boxed(cell) => initialized(cell.get()),
            value => initialized(value),
        }
    }

    /// The value of any variable.
    pub fn variable(frame: &Frame<'a>, variable: Variable) -> Outcome<'a> {
        match variable {
            Variable::Slot(slot) => Self::local(frame, slot),
            Variable::Captured(captured) => initialized(
                frame.environment.get(place(captured)).map_or(Value::Undefined, |cell| cell.get()),
            ),
        }
    }

    /// A top-level value: made when it is first used in a call, and then frozen.
    fn global(&mut self, number: usize) -> Outcome<'a> {
        let Some(slot) = self.globals.get(number) else { return Ok(Value::Undefined) };
        if !matches!(slot.get(), Value::Uninitialized) {
            return Ok(slot.get());
        }
        let (Some(expr), Some(code)) = (self.program.globals.get(number), self.program.functions.first())
        else {
            return Ok(Value::Undefined);
        };
        let frame = Frame { code, slots: &[], environment: &[] };
        let value = self.eval(&frame, expr)?;
        self.freeze(value)?;
        slot.set(value);
        Ok(value)
    }

    /// Freezes a value and all it holds.
    fn freeze(&mut self, value: Value<'a>) -> Outcome<'a, ()> {
        let mut todo = vec![value];
        while let Some(next) = todo.pop() {
            match next {
                Value::Record(record) if !record.frozen.get() => {
                    record.frozen.set(true);
                    for place in self.property_places(record)? {
                        todo.push(self.read(place.slot())?);
                    }
                }
                Value::List(list) if !list.frozen.get() => {
                    list.frozen.set(true);
                    self.charge_length(list.len())?;
                    todo.extend(self.elements(list)?);
                }
                Value::Map(_) | Value::Set(_) | Value::Date(_) | Value::Iterator(_) => {
                    return hand_over(&"a top-level value that can change");
                }
                _ => {}
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn record_literal(&mut self, frame: &Frame<'a>, literal: usize, values: &'a [Expr]) -> Outcome<'a> {
        let Some(shape) = self.realm.literals.get(literal).copied().flatten() else {
            return self.long_literal(frame, literal, values);
        };
        let slots = self.slots(values.len(), Value::Undefined)?;
        for (slot, value) in slots.iter().zip(values) {
            match self.operand(frame, value) {
                Ok(Value::Number(number)) => slot.set(Value::Number(number)),
                Ok(Value::Ascii(text)) => slot.set(Value::Ascii(text)),
                Ok(other) => slot.set(other),
                Err(stop) => return Err(stop),
            }
        }
        Ok(Value::Record(self.shaped(shape, slots)?))
    }

    /// An object literal with so many names that it gets no shape of its own.
    fn long_literal(&mut self, frame: &Frame<'a>, literal: usize, values: &'a [Expr]) -> Outcome<'a> {
        let record = self.record()?;
        let names = self.program.literals.get(literal).map_or(&[][..], |names| names);
        for (name, value) in names.iter().zip(values) {
            let value = self.eval(frame, value)?;
            self.define(record, name, value)?;
        }
        Ok(Value::Record(record))
    }

    fn object_literal(&mut self, frame: &Frame<'a>, properties: &'a [Property]) -> Outcome<'a> {
        let record = self.record()?;
        for property in properties {
            match property {
                Property::Named(name, value) => {
                    let value = self.eval(frame, value)?;
                    self.define(record, &name.text, value)?;
                }
                Property::Computed(key, value) => {
                    let key = self.eval(frame, key)?;
                    let key = self.property_key(key)?;
                    let value = self.eval(frame, value)?;
                    self.define_computed(record, key, value)?;
                }
                Property::Spread(source) => {
                    let source = self.eval(frame, source)?;
                    self.assign_all(record, source)?;
                }
            }
        }
        Ok(Value::Record(record))
    }

    #[inline(never)]
    fn list_literal(&mut self, frame: &Frame<'a>, items: &'a [Item]) -> Outcome<'a> {
        if let [Item::Spread(source)] = items {
            let source = self.eval(frame, source)?;
            let values = self.collected(source)?;
            return self.list_of_values(&values);
        }
        if items.iter().all(|item| matches!(item, Item::One(_))) {
            let slots = self.slots(items.len(), Value::Undefined)?;
            for (slot, item) in slots.iter().zip(items) {
                if let Item::One(value) = item {
                    slot.set(self.eval(frame, value)?);
                }
            }
            return Ok(Value::List(self.list_of(slots)?));
        }
        let values = self.arguments(frame, items)?;
        self.list_of_values(values.as_slice())
    }

    fn template(&mut self, frame: &Frame<'a>, parts: &'a [TemplatePart]) -> Outcome<'a> {
        let mut whole = Value::Ascii("");
        for part in parts {
            let text = match part {
                TemplatePart::Text(text) => Text::of(text).into(),
                TemplatePart::Value(value) => {
                    let value = self.eval(frame, value)?;
                    self.string_of(value)?
                }
            };
            whole = match whole {
                Value::Ascii("") => text,
                whole => self.join(whole, text)?,
            };
        }
        Ok(whole)
    }

    /// A function with the variables that it captures here.
    pub fn make_function(&mut self, frame: &Frame<'a>, id: FunctionId) -> Outcome<'a> {
        let Some(code) = self.program.function(id) else { return Ok(Value::Undefined) };
        if code.captures.is_empty() {
            return Ok(Value::Closure(self.closure(code, &[])?));
        }
        let mut cells = Vec::with_capacity(code.captures.len());
        for capture in &code.captures {
            let cell = match capture {
                Capture::Slot(slot) => match frame.slots.get(place(*slot)).map(Cell::get) {
                    Some(Value::Boxed(cell)) => cell,
                    _ => return hand_over(&"a captured variable without a cell"),
                },
                Capture::Outer(outer) => match frame.environment.get(place(*outer)) {
                    Some(cell) => *cell,
                    None => return hand_over(&"a captured variable that is not there"),
                },
            };
            cells.push(cell);
        }
        let environment = self.copied(&cells)?;
        Ok(Value::Closure(self.closure(code, environment)?))
    }

    fn global_function(&mut self, id: FunctionId) -> Outcome<'a> {
        match self.program.function(id) {
            Some(code) => Ok(Value::Closure(self.closure(code, &[])?)),
            None => Ok(Value::Undefined),
        }
    }

    /// A comparison of two values.
    pub fn compare(&mut self, comparison: Comparison, one: Value<'a>, other: Value<'a>) -> Outcome<'a, bool> {
        let order = match comparison {
            Comparison::Same => return self.strictly_equal(one, other),
            Comparison::NotSame => return self.strictly_equal(one, other).map(|same| !same),
            Comparison::Equal => return self.loosely_equal(one, other),
            Comparison::NotEqual => return self.loosely_equal(one, other).map(|equal| !equal),
            _ => match (one, other) {
                (Value::Number(one), Value::Number(other)) => one.partial_cmp(&other),
                _ => self.order(one, other)?,
            },
        };
        Ok(match comparison {
            Comparison::Less => order == Some(Ordering::Less),
            Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Comparison::Greater => order == Some(Ordering::Greater),
            _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        })
    }

    fn is_in(&mut self, key: Value<'a>, object: Value<'a>) -> Outcome<'a> {
        match object {
            Value::Record(record) => {
                let key = self.property_key(key)?;
                let Some(name) = self.text(key)?.and_then(Text::as_str) else {
                    return hand_over(&"a property name with half a surrogate pair");
                };
                if Self::is_inherited(name) {
                    return hand_over(&"an inherited member");
                }
                Ok(Value::Bool(self.slot(record, name)?.is_some()))
            }
            Value::List(list) => match key {
                Value::Number(number) => {
                    Ok(Value::Bool(numbers::to_index(number).is_some_and(|index| index < list.len())))
                }
                _ => hand_over(&"a name in an array"),
            },
            object if object.is_object() => hand_over(&"a name in an object of this kind"),
            _ => type_error(),
        }
    }

    fn delete(&mut self, object: Value<'a>, name: &str) -> Outcome<'a> {
        match object {
            Value::Record(record) => {
                self.remove_property(record, name)?;
                Ok(Value::Bool(true))
            }
            Value::Undefined | Value::Null => Ok(Value::Bool(true)),
            _ => hand_over(&"delete of a member of this kind of value"),
        }
    }

    /// `value + by` for `++` and `--`, and the value itself as a number.
    pub fn counted(&mut self, value: Value<'a>, by: f64) -> Outcome<'a, (Value<'a>, Value<'a>)> {
        match self.numeric(value)? {
            Numeric::Number(number) => Ok((Value::Number(number), Value::Number(number + by))),
            Numeric::Big(big) => {
                let step = Big::Small(if by > 0.0 { 1 } else { -1 });
                let next = self.big_sum(big, step)?;
                Ok((value, next))
            }
        }
    }

    /// What an operator with assignment gives; no operator is `+`.
    pub fn operation(
        &mut self,
        operator: Option<Arithmetic>,
        one: Value<'a>,
        other: Value<'a>,
    ) -> Outcome<'a> {
        match operator {
            None => self.add(one, other),
            Some(operator) => self.arithmetic(operator, one, other),
        }
    }
}

/// Whether the left side of a logical operator is its value.
pub(super) fn decides(logical: Logical, value: Value<'_>) -> bool {
    match logical {
        Logical::And => !value.truthy(),
        Logical::Or => value.truthy(),
        Logical::Coalesce => !value.is_nullish(),
    }
}

fn is_instance(class: Class, value: Value<'_>) -> bool {
    match class {
        Class::Object => value.is_object(),
        Class::List => matches!(value, Value::List(_)),
        Class::Date => matches!(value, Value::Date(_)),
        Class::Map => matches!(value, Value::Map(_)),
        Class::Set => matches!(value, Value::Set(_)),
        Class::RegExp => matches!(value, Value::Regex(_)),
        Class::Function => value.is_callable(),
        Class::Error(kind) => match value {
            Value::Failure(failure) => kind == ErrorKind::Error || failure.kind == kind,
            _ => false,
        },
    }
}
