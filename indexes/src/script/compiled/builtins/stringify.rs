//! `JSON.stringify` of plain data, without indentation and replacer.

use super::iso_text;
use crate::script::compiled::machine::Machine;
use crate::script::compiled::numbers;
use crate::script::compiled::output::write_string;
use crate::script::compiled::text::Text;
use crate::script::compiled::value::{Outcome, Value, hand_over, type_error};

/// Deepest nesting that is printed here.
const DEPTH_MAX: usize = 64;

impl<'a> Machine<'a> {
    /// `JSON.stringify(value)`
    pub fn stringify(&mut self, arguments: &[Value<'a>]) -> Outcome<'a> {
        let [value] = arguments else { return hand_over(&"JSON.stringify with a form") };
        if matches!(value, Value::Undefined) {
            return Ok(Value::Undefined);
        }
        let mut out = Vec::new();
        self.print_json(*value, 0, &mut out)?;
        match String::from_utf8(out) {
            Ok(text) => self.string(&text),
            Err(_) => hand_over(&"JSON text that is no UTF-8"),
        }
    }

    fn print_json(&mut self, value: Value<'a>, depth: usize, out: &mut Vec<u8>) -> Outcome<'a, ()> {
        if depth > DEPTH_MAX {
            return hand_over(&"JSON.stringify of deep values");
        }
        self.charge_length(out.len() / 64)?;
        match value {
            Value::Undefined | Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Value::Number(number) if number.is_finite() => numbers::print(number, out),
            Value::Number(_) => out.extend_from_slice(b"null"),
            Value::Big(_) => return type_error(),
            Value::Date(time) => match iso_text(time.get()) {
                Some(text) => write_string(&text, out),
                None => return hand_over(&"JSON.stringify of an unusual Date"),
            },
            Value::List(list) => {
                self.charge_length(list.len())?;
                out.push(b'[');
                for (place, slot) in list.slots().iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    let value = self.read(slot)?;
                    if value.is_callable() {
                        return hand_over(&"JSON.stringify of a function");
                    }
                    self.print_json(value, depth + 1, out)?;
                }
                out.push(b']');
            }
            Value::Record(record) => {
                if self.slot(record, "toJSON")?.is_some() {
                    return hand_over(&"an object with its own toJSON");
                }
                out.push(b'{');
                let mut first = true;
                for property in self.property_places(record)? {
                    let value = self.read(property.slot())?;
                    if matches!(value, Value::Undefined) || value.is_callable() {
                        continue;
                    }
                    if !std::mem::take(&mut first) {
                        out.push(b',');
                    }
                    let name = self.place_name(property)?;
                    let name = self.text(name)?.and_then(Text::as_str).unwrap_or("");
                    write_string(name, out);
                    out.push(b':');
                    self.print_json(value, depth + 1, out)?;
                }
                out.push(b'}');
            }
            value if value.is_string() => match self.text(value)?.and_then(Text::as_str) {
                Some(text) => write_string(text, out),
                None => return hand_over(&"JSON.stringify of half a surrogate pair"),
            },
            _ => return hand_over(&"JSON.stringify of this kind of value"),
        }
        Ok(())
    }
}
