//! The functions of `Object`, `Array`, `String` and `JSON`, and the dialect's that make objects.

use super::{argument, number};
use crate::limits::SCRIPT_LENGTH_MAX;
use crate::script::compiled::machine::Machine;
use crate::script::compiled::natives::Native;
use crate::script::compiled::numbers;
use crate::script::compiled::record::{Record, State};
use crate::script::compiled::table::Table;
use crate::script::compiled::text::Text;
use crate::script::compiled::value::{Bound, Outcome, Stop, Value, hand_over, type_error};

/// Properties `length` up to this cannot stop a call in the engine.
const LENGTH_UNSEEN_MAX: f64 = 1000.0;

impl<'a> Machine<'a> {
    /// A function that is not one of `Math` or of plain values.
    pub fn object_native(&mut self, native: Native, arguments: &[Value<'a>]) -> Outcome<'a> {
        let first = argument(arguments, 0);
        match native {
            Native::ObjectKeys | Native::ObjectValues | Native::ObjectEntries => {
                self.object_parts(native, first)
            }
            Native::ObjectAssign => {
                let Value::Record(target) = first else {
                    return hand_over(&"Object.assign of no plain object");
                };
                if target.frozen.get() {
                    return hand_over(&"Object.assign to what is frozen");
                }
                for source in arguments.get(1..).unwrap_or(&[]) {
                    self.assign_all(target, *source)?;
                }
                Ok(first)
            }
            Native::ObjectFromEntries => self.entries_object(first),
            Native::ObjectFreeze => {
                match first {
                    Value::Record(record) => record.frozen.set(true),
                    Value::List(list) => list.frozen.set(true),
                    value if value.is_object() => return hand_over(&"freezing what is no plain object"),
                    _ => {}
                }
                Ok(first)
            }
            Native::ObjectIs => {
                let other = argument(arguments, 1);
                Ok(Value::Bool(match (first, other) {
                    (Value::Number(one), Value::Number(other)) => {
                        one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan())
                    }
                    _ => self.strictly_equal(first, other)?,
                }))
            }
            Native::ObjectHasOwn => match first {
                Value::Record(record) => self.has_own(record, argument(arguments, 1)),
                _ => hand_over(&"Object.hasOwn of no plain object"),
            },
            Native::ArrayFrom => self.array_from(first, arguments),
            Native::ArrayOf => {
                self.charge_length(arguments.len())?;
                self.list_of_values(arguments)
            }
            Native::StringFromCharCode => {
                let mut units = Vec::with_capacity(arguments.len());
                for value in arguments {
                    let number = self.number(*value)?;
                    units.push(u16::try_from(numbers::to_uint32(number) & 0xffff).unwrap_or(0));
                }
                self.units(&units)
            }
            Native::JsonStringify => self.stringify(arguments),
            Native::CreateField => self.record_of(&[
                ("$name", first),
                ("$value", argument(arguments, 1)),
                ("$options", argument(arguments, 2)),
            ]),
            Native::CreateSpatialField => {
                let place = match arguments {
                    [only] => *only,
                    several => self.list_of_values(several.get(..2).unwrap_or(several))?,
                };
                self.record_of(&[("$spatial", place)])
            }
            Native::Boost => self.record_of(&[("$value", first), ("$boost", argument(arguments, 1))]),
            _ => hand_over(&"a function of this name"),
        }
    }

    fn record_of(&mut self, properties: &[(&str, Value<'a>)]) -> Outcome<'a> {
        let record = self.record()?;
        for (name, value) in properties {
            self.define(record, name, *value)?;
        }
        Ok(Value::Record(record))
    }

    /// Whether an object has a property of its own.
    pub fn has_own(&mut self, record: &Record<'a>, key: Value<'a>) -> Outcome<'a> {
        let key = self.property_key(key)?;
        match self.text(key)?.and_then(Text::as_str) {
            Some(name) => Ok(Value::Bool(self.slot(record, name)?.is_some())),
            None => hand_over(&"a property name with half a surrogate pair"),
        }
    }

    fn object_parts(&mut self, native: Native, value: Value<'a>) -> Outcome<'a> {
        let record = match value {
            Value::Record(record) => record,
            Value::Undefined | Value::Null => return type_error(),
            _ => return hand_over(&"the properties of what is no plain object"),
        };
        self.check_length(value)?;
        if let (Native::ObjectKeys, State::Keyed { table, indices: false }) = (native, record.state.get()) {
            return self.names_of(table);
        }
        let mut parts = Vec::new();
        for property in self.property_places(record)? {
            parts.push(match native {
                Native::ObjectKeys => self.place_name(property)?,
                Native::ObjectValues => self.read(property.slot())?,
                _ => {
                    let pair = [self.place_name(property)?, self.read(property.slot())?];
                    self.list_of_values(&pair)?
                }
            });
        }
        self.list_of_values(&parts)
    }

    /// The names of an object that is a table without indices, in their order.
    fn names_of(&mut self, table: &'a Table<'a>) -> Outcome<'a> {
        self.charge_length(table.len())?;
        let slots = self.slots(table.len(), Value::Undefined)?;
        let mut bytes = 0;
        for (slot, entry) in slots.iter().zip(table.iter()) {
            let name = entry.key.get();
            bytes += match name {
                Value::Ascii(text) | Value::Text(text) => text.len(),
                _ => return hand_over(&"a property name with half a surrogate pair"),
            };
            slot.set(name);
        }
        self.count(bytes)?;
        Ok(Value::List(self.list_of(slots)?))
    }

    fn entries_object(&mut self, entries: Value<'a>) -> Outcome<'a> {
        let record = self.record()?;
        for entry in self.collected(entries)? {
            let Value::List(pair) = entry else { return type_error() };
            let key = self.element(pair, 0)?;
            let value = self.element(pair, 1)?;
            let key = self.property_key(key)?;
            self.define_computed(record, key, value)?;
        }
        Ok(Value::Record(record))
    }

    fn array_from(&mut self, source: Value<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
        let function = argument(arguments, 1);
        let is_mapped = match function {
            Value::Undefined => false,
            function if function.is_callable() => true,
            _ => return type_error(),
        };
        if arguments.len() > 2 {
            return hand_over(&"a callback with a this");
        }
        let mut values = match source {
            Value::Record(record) => self.array_like(record)?,
            Value::Number(_) | Value::Bool(_) => return hand_over(&"Array.from of a plain value"),
            source => self.collected(source)?,
        };
        if is_mapped {
            if matches!(source, Value::Iterator(_)) {
                return hand_over(&"Array.from of an iterator with a callback");
            }
            self.enter_native()?;
            for (place, value) in values.iter_mut().enumerate() {
                *value = self.call_value(function, &[*value, number(place)])?;
            }
            self.leave_native();
        }
        self.list_of_values(&values)
    }

    /// `recurse(item, children)`: the item and all its descendants, in depth-first order.
    pub fn recurse(&mut self, arguments: &[Value<'a>]) -> Outcome<'a> {
        let [item, children] = arguments else { return type_error() };
        if !children.is_callable() {
            return type_error();
        }
        self.enter_native()?;
        let mut found = Vec::new();
        let mut todo = vec![*item];
        while let Some(next) = todo.pop() {
            if next.is_nullish() {
                continue;
            }
            self.charge(1)?;
            found.push(next);
            match self.call_value(*children, &[next])? {
                Value::List(list) => {
                    self.charge_length(list.len())?;
                    todo.extend(self.elements(list)?.into_iter().rev());
                }
                below => todo.push(below),
            }
        }
        self.leave_native();
        self.list_of_values(&found)
    }

    /// The engine's guards take a property `length` for the length of an array, whatever the object is.
    pub fn check_length(&mut self, value: Value<'a>) -> Outcome<'a, ()> {
        let Value::Record(record) = value else { return Ok(()) };
        match self.own(record, "length")? {
            Some(Value::Number(length)) if length > LENGTH_UNSEEN_MAX => {
                hand_over(&"an object with a large length")
            }
            _ => Ok(()),
        }
    }

    /// The elements of an object with a length.
    fn array_like(&mut self, record: &Record<'a>) -> Outcome<'a, Vec<Value<'a>>> {
        let length = self.own(record, "length")?.unwrap_or(Value::Undefined);
        let length = usize::try_from(self.integer(length, 0)?).unwrap_or(0);
        if length > SCRIPT_LENGTH_MAX {
            return Err(Stop::Bound(Bound::Length));
        }
        self.charge_length(length)?;
        let mut values = vec![Value::Undefined; length];
        if self.property_count(record) > 1 {
            for (place, value) in values.iter_mut().enumerate() {
                *value = self.own(record, &place.to_string())?.unwrap_or(Value::Undefined);
            }
        }
        Ok(values)
    }
}
