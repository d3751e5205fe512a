//! Outputs of functions as the stored text of index rows, written straight from the machine's values. The text is that of
//! the JSON which `output.rs` makes, byte for byte.

use super::builtins::iso_text;
use super::documents::Sink;
use super::machine::Machine;
use super::numbers;
use super::output::{Missing, Reader, write_string};
use super::record::{Place, Record, State};
use super::text::Text;
use super::value::{Outcome, Value, hand_over};
use crate::function::{StoredOutput, StoredReduced};
use crate::script::dialect::GroupBy;
use magpie_store::json::{Json, Number};
use magpie_store::ordered;
use std::cell::Cell;
use std::cmp::Ordering;
use std::io::Write as _;

/// Bytes that an output is expected to have.
const EXPECTED_BYTES: usize = 160;

/// Where a text is written, and what was met.
pub(super) struct StoredText {
    /// The text so far.
    pub out: Vec<u8>,
    /// Whether a number in it is NaN or an infinity.
    pub odd_numbers: bool,
}

impl StoredText {
    fn number(&mut self, number: f64, reader: &Reader) {
        if !number.is_finite() {
            self.odd_numbers = true;
        }
        // A map output keeps the sign of -0, as its index term does; results print 0.
        if number == 0.0 && number.is_sign_negative() && reader.missing == Missing::LeftOut {
            self.out.extend_from_slice(b"-0");
        } else {
            print_stored(number, &mut self.out);
        }
    }
}

/// Appends a number as the store writes it. Where two shortest texts are equally near to it, the language and the store choose
/// different ones.
fn print_stored(number: f64, out: &mut Vec<u8>) {
    if !number.is_finite() || numbers::to_small(number).is_some() {
        numbers::print(number, out);
    } else if (1e-6..1e21).contains(&number.abs()) {
        // Writing to memory does not fail.
        let _ = write!(out, "{number}");
    } else if let Some(number) = Number::from_f64(number) {
        Json::Number(number).write_stored_to(out);
    }
}

impl<'a> Machine<'a> {
    /// The stored text of an output object; the same errors as [`Machine::output`].
    pub fn stored_text(&mut self, record: &'a Record<'a>, missing: Missing) -> Outcome<'a, StoredText> {
        let mut reader = Reader::new(missing);
        let mut text = StoredText { out: Vec::with_capacity(EXPECTED_BYTES), odd_numbers: false };
        self.write_record(record, &mut reader, &mut text)?;
        reader.check_size()?;
        Ok(text)
    }

    fn write_record(
        &mut self,
        record: &'a Record<'a>,
        reader: &mut Reader,
        text: &mut StoredText,
    ) -> Outcome<'a, ()> {
        reader.check_depth()?;
        reader.grow(2)?;
        self.charge(1)?;
        text.out.push(b'{');
        if let State::Shaped { shape, slots } = record.state.get()
            && self.realm.shapes.order(shape).is_none()
        {
            let count = self.realm.shapes.len(shape);
            for (place, slot) in slots.iter().take(count).enumerate() {
                let value = self.read(slot)?;
                if matches!(value, Value::Undefined) && reader.missing == Missing::LeftOut {
                    continue;
                }
                let name = self.realm.shapes.json_name(shape, place);
                // The quotes and the colon are counted as before.
                reader.grow(name.len() + 1)?;
                text.out.extend_from_slice(name);
                self.write_property(value, reader, text)?;
            }
        } else {
            for property in self.property_places(record)? {
                self.write_place(property, reader, text)?;
            }
        }
        close(&mut text.out, b'}');
        Ok(())
    }

    fn write_place(
        &mut self,
        property: Place<'a>,
        reader: &mut Reader,
        text: &mut StoredText,
    ) -> Outcome<'a, ()> {
        let value = self.read(property.slot())?;
        if matches!(value, Value::Undefined) && reader.missing == Missing::LeftOut {
            return Ok(());
        }
        match property {
            Place::Slot { shape, place, .. } => {
                let name = self.realm.shapes.json_name(shape, place);
                reader.grow(name.len() + 1)?;
                text.out.extend_from_slice(name);
            }
            Place::Entry { name, .. } => match self.text(name)?.and_then(Text::as_str) {
                Some(name) => {
                    reader.grow(name.len() + 4)?;
                    write_string(name, &mut text.out);
                    text.out.push(b':');
                }
                None => return hand_over(&"a property name with half a surrogate pair"),
            },
        }
        self.write_property(value, reader, text)
    }

    fn write_property(
        &mut self,
        value: Value<'a>,
        reader: &mut Reader,
        text: &mut StoredText,
    ) -> Outcome<'a, ()> {
        reader.depth += 1;
        self.write_value(value, reader, text)?;
        reader.depth -= 1;
        text.out.push(b',');
        Ok(())
    }

    fn write_value(
        &mut self,
        value: Value<'a>,
        reader: &mut Reader,
        text: &mut StoredText,
    ) -> Outcome<'a, ()> {
        match value {
            Value::Null | Value::Undefined => {
                reader.grow(4)?;
                text.out.extend_from_slice(b"null");
            }
            Value::Bool(value) => {
                reader.grow(5)?;
                text.out.extend_from_slice(if value { b"true" } else { b"false" });
            }
            Value::Number(number) => {
                reader.count_number(number)?;
                text.number(number, reader);
            }
            Value::Big(big) => {
                let number = big.to_big_int();
                reader.count_big(&number)?;
                Json::from(number).write_stored_to(&mut text.out);
            }
            Value::Ascii(string) => {
                reader.grow(string.len() + 2)?;
                write_string(string, &mut text.out);
            }
            Value::Text(_) | Value::Rope(_) => {
                let string = self.text(value)?;
                reader.grow(string.map_or(0, Text::len) + 2)?;
                write_string(string.and_then(Text::as_str).unwrap_or(""), &mut text.out);
            }
            Value::Record(record) => match self.boosted(record)? {
                Some(Value::Record(_)) => return hand_over(&"boost() of an object inside of an output"),
                Some(value) => return self.write_value(value, reader, text),
                None => return self.write_record(record, reader, text),
            },
            Value::List(list) => {
                reader.check_depth()?;
                self.charge_length(list.len())?;
                reader.grow(2)?;
                text.out.push(b'[');
                for slot in list.slots() {
                    reader.grow(1)?;
                    let value = self.read(slot)?;
                    self.write_property(value, reader, text)?;
                }
                close(&mut text.out, b']');
            }
            Value::Date(time) => {
                let Some(iso) = iso_text(time.get()) else {
                    return hand_over(&"an unusual Date in an output");
                };
                reader.grow(iso.len() + 2)?;
                write_string(&format!("{}0000Z", iso.strip_suffix('Z').unwrap_or(&iso)), &mut text.out);
            }
            _ => return hand_over(&"a value in an output that is no plain data"),
        }
        Ok(())
    }

    /// An output of a map in stored form.
    pub fn stored_output(&mut self, record: &'a Record<'a>) -> Outcome<'a, StoredOutput> {
        let text = self.stored_text(record, Missing::LeftOut)?;
        let key = match &self.program.group_by {
            Some(group_by) => self.stored_key(record, group_by)?,
            None => Vec::new(),
        };
        Ok(StoredOutput { key, value: text.out, odd_numbers: text.odd_numbers })
    }

    /// The reduce key of an output. A property that is there but undefined counts as null.
    fn stored_key(&mut self, record: &'a Record<'a>, group_by: &'a GroupBy) -> Outcome<'a, Vec<u8>> {
        let mut key = Vec::with_capacity(32);
        for field in &group_by.fields {
            let [name] = field.path.as_slice() else { return self.stored_deep_key(record) };
            let Some(slot) = self.slot(record, name)? else {
                return hand_over(&"an output without a field of the key");
            };
            match self.read(slot)? {
                Value::Ascii(text) | Value::Text(text) => ordered::encode_str(text, &mut key),
                Value::Null | Value::Undefined => ordered::encode(&Json::Null, &mut key),
                value => {
                    let json = self.json_of(value)?;
                    ordered::encode(&json, &mut key);
                }
            }
        }
        Ok(key)
    }

    /// A key with fields inside of fields.
    fn stored_deep_key(&mut self, record: &'a Record<'a>) -> Outcome<'a, Vec<u8>> {
        let (value, undefined) = self.output(record, Missing::LeftOut)?;
        let mut key = Vec::new();
        for value in self.reduce_key(&value, &undefined)? {
            ordered::encode(&value, &mut key);
        }
        Ok(key)
    }

    /// A value of a map output as JSON.
    fn json_of(&mut self, value: Value<'a>) -> Outcome<'a, Json> {
        self.read_value(value, &mut Reader::new(Missing::LeftOut))
    }

    /// A reduced value in stored form, beside the key it was reduced for.
    pub fn stored_reduced(&mut self, record: &'a Record<'a>, key: &[Json]) -> Outcome<'a, StoredReduced> {
        let text = self.stored_text(record, Missing::Null)?.out;
        let mut detached = false;
        let fields = self.program.group_by.as_ref().map_or(&[][..], |group_by| &group_by.fields);
        for (field, wanted) in fields.iter().zip(key) {
            let found = match field.path.as_slice() {
                [name] => self.slot(record, name)?,
                path => self.slot(record, &path.join("."))?,
            };
            if let Some(slot) = found {
                detached |= self.differs(slot, wanted)?;
            }
        }
        Ok(StoredReduced { text, detached })
    }

    fn differs(&mut self, slot: &'a Cell<Value<'a>>, wanted: &Json) -> Outcome<'a, bool> {
        let value = self.read(slot)?;
        Ok(match (value, wanted) {
            (Value::Ascii(text) | Value::Text(text), Json::String(wanted)) => *text != **wanted,
            _ => {
                let json = self.read_value(value, &mut Reader::new(Missing::Null))?;
                ordered::compare(&json, wanted) != Ordering::Equal
            }
        })
    }
}

/// Closes an object or an array: over the comma behind its last part, if it has one.
fn close(out: &mut Vec<u8>, closing: u8) {
    match out.last_mut() {
        Some(last) if *last == b',' => *last = closing,
        _ => out.push(closing),
    }
}

/// Where outputs of a map go in stored form.
impl<'a> Sink<'a> for Vec<StoredOutput> {
    fn count(&self) -> usize {
        self.len()
    }

    fn take(&mut self, machine: &mut Machine<'a>, record: &'a Record<'a>) -> Outcome<'a, ()> {
        self.push(machine.stored_output(record)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Number, print_stored};

    #[test]
    fn numbers_print_as_the_store_writes_them() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for turn in 0..400_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = match turn % 4 {
                0 => f64::from_bits(state),
                1 => f64::from_bits(state % (1 << 12) + 0x43e0_0000_0000_0000),
                2 => f64::from((state >> 40) as u32) / 1000.0,
                _ => f64::from((state >> 44) as u32) * 1e15,
            };
            let Some(expected) = Number::from_f64(number) else { continue };
            let mut out = Vec::new();
            print_stored(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected.to_string(), "{number:e}");
        }
    }
}
