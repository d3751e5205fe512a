//! Members as they are read and written, and everything that assigns.

use super::evaluate::{decides, place};
use super::machine::{Frame, Machine};
use super::methods::is_member;
use super::numbers;
use super::program::{
    Count, Expr, ListPattern, Name, PatternKey, Place, RecordPattern, Slot, Target, Update, Variable,
};
use super::record::{Record, State};
use super::text::{Text, array_index};
use super::value::{ErrorKind, Outcome, Stop, Value, hand_over, type_error};
use std::cell::Cell;

/// An assigned place whose object and key were evaluated.
#[derive(Clone, Copy)]
enum Reference<'a> {
    Variable(Variable),
    Constant(Variable),
    Member(Value<'a>, &'a Name, usize),
    Computed(Value<'a>, Value<'a>),
}

impl<'a> Machine<'a> {
    /// A member with a name in the text.
    pub fn named_member(&mut self, object: Value<'a>, name: &'a Name, cache: usize) -> Outcome<'a> {
        match object {
            Value::Record(record) => match self.named_slot(record, name, cache)? {
                Some(slot) => self.read(slot),
                None if name.inherited => hand_over(&"an inherited member"),
                None => Ok(Value::Undefined),
            },
            Value::Undefined | Value::Null => Ok(Value::Undefined),
            Value::List(list) if name.is_length => Ok(Value::Number(numbers::of_len(list.len()))),
            other => self.built_in_member(other, &name.text),
        }
    }

    /// A member with a computed name.
    pub fn computed_member(&mut self, object: Value<'a>, key: Value<'a>) -> Outcome<'a> {
        if let (Value::List(list), Value::Number(number)) = (object, key)
            && let Some(index) = numbers::to_index(number)
        {
            return self.element(list, index);
        }
        if let (Value::Record(record), Value::Ascii(name)) = (object, key) {
            return match self.slot(record, name)? {
                Some(slot) => self.read(slot),
                None if Self::is_inherited(name) => hand_over(&"an inherited member"),
                None => Ok(Value::Undefined),
            };
        }
        if object.is_nullish() && !key.is_object() {
            return Ok(Value::Undefined);
        }
        let key = self.property_key(key)?;
        let Some(name) = self.text(key)?.and_then(Text::as_str) else {
            return hand_over(&"a property name with half a surrogate pair");
        };
        match object {
            Value::Record(record) => match self.own(record, name)? {
                Some(value) => Ok(value),
                None if Self::is_inherited(name) => hand_over(&"an inherited member"),
                None => Ok(Value::Undefined),
            },
            Value::Undefined | Value::Null => Ok(Value::Undefined),
            other => self.built_in_member(other, name),
        }
    }

    fn built_in_member(&mut self, object: Value<'a>, name: &str) -> Outcome<'a> {
        match object {
            Value::List(list) => match (name, array_index(name)) {
                ("length", _) => return Ok(Value::Number(numbers::of_len(list.len()))),
                (_, Some(index)) => return self.element(list, place(index)),
                _ => {}
            },
            Value::Map(table) | Value::Set(table) if name == "size" => {
                return Ok(Value::Number(numbers::of_len(table.len())));
            }
            Value::Failure(failure) => {
                return match (name, failure.message) {
                    ("message", Value::Undefined) => Ok(Value::Ascii("")),
                    ("message", message) => Ok(message),
                    ("name", _) => Ok(Value::Ascii(failure.kind.name())),
                    _ => hand_over(&"a member of an error"),
                };
            }
            Value::Number(_) | Value::Bool(_) | Value::Big(_) | Value::Map(_) | Value::Set(_) => {}
            object if object.is_string() => {
                let text = self.text(object)?.unwrap_or(Text::Ascii(""));
                if name == "length" {
                    self.charge(text.stored_bytes() as u64 / 256)?;
                    return Ok(Value::Number(numbers::of_len(text.len())));
                }
                if let Some(index) = array_index(name) {
                    return match text.unit(place(index)) {
                        Some(_) => self.slice(text, place(index), place(index) + 1),
                        None => Ok(Value::Undefined),
                    };
                }
            }
            _ => return hand_over(&"a member of this kind of value"),
        }
        if is_member(name) { hand_over(&"a method as a value") } else { Ok(Value::Undefined) }
    }

    fn set_member(&mut self, object: Value<'a>, name: &str, value: Value<'a>) -> Outcome<'a, ()> {
        match object {
            Value::Record(record) if record.frozen.get() => type_error(),
            Value::Record(record) => self.define(record, name, value),
            Value::List(list) => match array_index(name) {
                Some(index) => self.set_element(list, place(index), value),
                None => hand_over(&"a property of an array that is set"),
            },
            Value::Undefined | Value::Null => type_error(),
            _ => hand_over(&"a property of this kind of value that is set"),
        }
    }

    fn set_computed(&mut self, object: Value<'a>, key: Value<'a>, value: Value<'a>) -> Outcome<'a, ()> {
        if let (Value::List(list), Value::Number(number)) = (object, key)
            && let Some(index) = numbers::to_index(number)
        {
            return self.set_element(list, index, value);
        }
        let key = if matches!(key, Value::Ascii(_)) { key } else { self.property_key(key)? };
        match object {
            Value::Record(record) if record.frozen.get() => type_error(),
            Value::Record(record) => self.define_computed(record, key, value),
            object => match self.text(key)?.and_then(Text::as_str) {
                Some(name) => self.set_member(object, name, value),
                None => hand_over(&"a property name with half a surrogate pair"),
            },
        }
    }

    /// Gives a variable its value by its declaration.
    pub fn declare(frame: &Frame<'a>, slot: Slot, value: Value<'a>) {
        if let Some(slot) = frame.slots.get(place(slot)) {
            match slot.get() {
                Value::Boxed(cell) => cell.set(value),
                _ => slot.set(value),
            }
        }
    }

    fn set_variable(frame: &Frame<'a>, variable: Variable, value: Value<'a>) -> Outcome<'a, ()> {
        let set = |cell: &Cell<Value<'a>>| match cell.get() {
            Value::Uninitialized => Err(Stop::Failed(ErrorKind::Reference)),
            _ => {
                cell.set(value);
                Ok(())
            }
        };
        match variable {
            Variable::Slot(slot) => match frame.slots.get(place(slot)) {
                Some(slot) => match slot.get() {
                    Value::Boxed(cell) => set(cell),
                    _ => set(slot),
                },
                None => Ok(()),
            },
            Variable::Captured(captured) => match frame.environment.get(place(captured)) {
                Some(cell) => set(cell),
                None => Ok(()),
            },
        }
    }

    fn reference(&mut self, frame: &Frame<'a>, target: &'a Place) -> Outcome<'a, Reference<'a>> {
        Ok(match target {
            Place::Variable(variable) => Reference::Variable(*variable),
            Place::Constant(variable) => Reference::Constant(*variable),
            Place::Member(member) => {
                let object = self.eval(frame, &member.object)?;
                Reference::Member(object, &member.name, member.cache)
            }
            Place::Index(sides) => {
                let object = self.eval(frame, &sides.0)?;
                let key = self.eval(frame, &sides.1)?;
                Reference::Computed(object, key)
            }
        })
    }

    /// The value of a place that will be assigned: nothing is forgiven.
    fn referenced(&mut self, frame: &Frame<'a>, reference: Reference<'a>) -> Outcome<'a> {
        match reference {
            Reference::Variable(variable) | Reference::Constant(variable) => Self::variable(frame, variable),
            Reference::Member(object, ..) | Reference::Computed(object, _) if object.is_nullish() => {
                type_error()
            }
            Reference::Member(object, name, cache) => self.named_member(object, name, cache),
            Reference::Computed(object, key) => self.computed_member(object, key),
        }
    }

    fn put(&mut self, frame: &Frame<'a>, reference: Reference<'a>, value: Value<'a>) -> Outcome<'a, ()> {
        match reference {
            Reference::Variable(variable) => Self::set_variable(frame, variable, value),
            Reference::Constant(_) => type_error(),
            Reference::Member(Value::Record(record), name, cache) if !record.frozen.get() => {
                match self.named_slot(record, name, cache)? {
                    Some(slot) => {
                        slot.set(value);
                        Ok(())
                    }
                    None => self.define(record, &name.text, value),
                }
            }
            Reference::Member(object, name, _) => self.set_member(object, &name.text, value),
            Reference::Computed(object, key) => self.set_computed(object, key, value),
        }
    }

    /// The slot of a variable of the running function that has a value and is shared with no other function.
    fn plain_slot(frame: &Frame<'a>, target: &Place) -> Option<&'a Cell<Value<'a>>> {
        let Place::Variable(Variable::Slot(slot)) = target else { return None };
        let slot = frame.slots.get(place(*slot))?;
        (!matches!(slot.get(), Value::Uninitialized | Value::Boxed(_))).then_some(slot)
    }

    /// `place op= value`
    #[inline(never)]
    pub(super) fn eval_update(&mut self, frame: &Frame<'a>, update: &'a Update) -> Outcome<'a> {
        if let Some(slot) = Self::plain_slot(frame, &update.place) {
            let old = slot.get();
            let by = self.eval(frame, &update.value)?;
            let value = match (old, by) {
                (Value::Number(old), Value::Number(by)) if update.operator.is_none() => {
                    Value::Number(old + by)
                }
                _ => self.operation(update.operator, old, by)?,
            };
            // Evaluating the right side cannot have put the variable into a cell.
            slot.set(value);
            return Ok(value);
        }
        let reference = self.reference(frame, &update.place)?;
        let old = self.referenced(frame, reference)?;
        let by = self.eval(frame, &update.value)?;
        let value = self.operation(update.operator, old, by)?;
        self.put(frame, reference, value)?;
        Ok(value)
    }

    /// `++place` and its like
    #[inline(never)]
    pub(super) fn eval_count(&mut self, frame: &Frame<'a>, count: &'a Count) -> Outcome<'a> {
        if let Some(slot) = Self::plain_slot(frame, &count.place)
            && let Value::Number(old) = slot.get()
        {
            let new = Value::Number(old + count.by);
            slot.set(new);
            return Ok(if count.prefix { new } else { Value::Number(old) });
        }
        let reference = self.reference(frame, &count.place)?;
        let old = self.referenced(frame, reference)?;
        let (old, new) = self.counted(old, count.by)?;
        self.put(frame, reference, new)?;
        Ok(if count.prefix { new } else { old })
    }

    /// The expressions that assign.
    #[inline(never)]
    pub fn eval_assignment(&mut self, frame: &Frame<'a>, expr: &'a Expr) -> Outcome<'a> {
        match expr {
            Expr::Assign(assign) => {
                let reference = self.reference(frame, &assign.place)?;
                let value = self.eval(frame, &assign.value)?;
                self.put(frame, reference, value)?;
                Ok(value)
            }
            Expr::AssignWhen(parts) => {
                let (logical, target, value) = &**parts;
                let reference = self.reference(frame, target)?;
                let old = self.referenced(frame, reference)?;
                if decides(*logical, old) {
                    return Ok(old);
                }
                let value = self.eval(frame, value)?;
                self.put(frame, reference, value)?;
                Ok(value)
            }
            Expr::Destructure(parts) => {
                let value = self.eval(frame, &parts.1)?;
                self.bind(frame, &parts.0, value)?;
                Ok(value)
            }
            _ => hand_over(&"an expression of this kind"),
        }
    }

    /// Binds or assigns a value.
    pub fn bind(&mut self, frame: &Frame<'a>, target: &'a Target, value: Value<'a>) -> Outcome<'a, ()> {
        match target {
            Target::Declare(slot) => {
                Self::declare(frame, *slot, value);
                Ok(())
            }
            Target::Place(target) => {
                let reference = self.reference(frame, target)?;
                self.put(frame, reference, value)
            }
            Target::Record(pattern) => self.bind_record(frame, pattern, value),
            Target::List(pattern) => self.bind_list(frame, pattern, value),
        }
    }

    /// A value, or the default for undefined.
    fn or_default(&mut self, frame: &Frame<'a>, value: Value<'a>, default: Option<&'a Expr>) -> Outcome<'a> {
        match (value, default) {
            (Value::Undefined, Some(default)) => self.eval(frame, default),
            _ => Ok(value),
        }
    }

    fn bind_record(
        &mut self,
        frame: &Frame<'a>,
        pattern: &'a RecordPattern,
        value: Value<'a>,
    ) -> Outcome<'a, ()> {
        if value.is_nullish() {
            return type_error();
        }
        let mut taken: Vec<Value<'a>> = Vec::new();
        for member in &pattern.members {
            let found = match &member.key {
                PatternKey::Named(name, cache) => {
                    if pattern.rest.is_some() {
                        taken.push(Text::of(&name.text).into());
                    }
                    self.named_member(value, name, *cache)?
                }
                PatternKey::Computed(key) => {
                    let key = self.eval(frame, key)?;
                    let key = self.property_key(key)?;
                    taken.push(key);
                    self.computed_member(value, key)?
                }
            };
            let found = self.or_default(frame, found, member.default.as_ref())?;
            self.bind(frame, &member.target, found)?;
        }
        let Some(rest) = &pattern.rest else { return Ok(()) };
        let Value::Record(source) = value else { return hand_over(&"the rest of what is no object") };
        let record = self.record()?;
        for property in self.property_places(source)? {
            let name = self.place_name(property)?;
            let mut is_taken = false;
            for known in &taken {
                is_taken = is_taken || self.strictly_equal(*known, name)?;
            }
            if !is_taken {
                let value = self.read(property.slot())?;
                self.copy_property(record, name, value)?;
            }
        }
        self.bind(frame, rest, Value::Record(record))
    }

    /// Defines a property under a name that is a well-formed string.
    fn copy_property(&mut self, record: &Record<'a>, name: Value<'a>, value: Value<'a>) -> Outcome<'a, ()> {
        match self.text(name)?.and_then(Text::as_str) {
            Some(name) => self.define(record, name, value),
            None => hand_over(&"a property name with half a surrogate pair"),
        }
    }

    fn bind_list(
        &mut self,
        frame: &Frame<'a>,
        pattern: &'a ListPattern,
        value: Value<'a>,
    ) -> Outcome<'a, ()> {
        if let Value::Iterator(_) = value {
            return hand_over(&"an iterator that is taken apart");
        }
        let values = self.collected(value)?;
        for (index, element) in pattern.elements.iter().enumerate() {
            let Some((target, default)) = element else { continue };
            let found = values.get(index).copied().unwrap_or(Value::Undefined);
            let found = self.or_default(frame, found, default.as_ref())?;
            self.bind(frame, target, found)?;
        }
        if let Some(rest) = &pattern.rest {
            let rest_values = values.get(pattern.elements.len()..).unwrap_or(&[]);
            let list = self.list_of_values(rest_values)?;
            self.bind(frame, rest, list)?;
        }
        Ok(())
    }

    /// `Object.assign(record, source)` and `{...source}`.
    pub fn assign_all(&mut self, record: &Record<'a>, source: Value<'a>) -> Outcome<'a, ()> {
        match source {
            Value::Undefined | Value::Null | Value::Number(_) | Value::Bool(_) => Ok(()),
            Value::Record(source) => {
                // An empty object takes over the shape as a whole.
                if let (State::Shaped { shape, slots }, 0) = (source.state.get(), self.property_count(record))
                    && self.realm.shapes.order(shape).is_none()
                    && matches!(record.state.get(), State::Shaped { .. })
                {
                    let count = self.realm.shapes.len(shape);
                    self.charge_length(count)?;
                    let copies = self.slots(count, Value::Undefined)?;
                    for (copy, slot) in copies.iter().zip(slots) {
                        copy.set(self.read(slot)?);
                    }
                    record.state.set(State::Shaped { shape, slots: copies });
                    return Ok(());
                }
                for property in self.property_places(source)? {
                    let name = self.place_name(property)?;
                    let value = self.read(property.slot())?;
                    self.copy_property(record, name, value)?;
                }
                Ok(())
            }
            _ => hand_over(&"the properties of what is no plain object"),
        }
    }
}
