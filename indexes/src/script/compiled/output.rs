//! Outputs of functions as JSON: what is allowed in them, and what becomes of the values JSON does not have. The JSON is
//! the same as what the engine's outputs become.

use super::builtins::iso_text;
use super::machine::Machine;
use super::numbers;
use super::record::{Place, Record, State};
use super::text::Text;
use super::value::{Bound, Outcome, Stop, Value, hand_over};
use crate::limits::{REDUCE_OUTPUT_BYTES_MAX, SCRIPT_OUTPUT_DEPTH_MAX};
use magpie_store::json::{BigInt, Json, Number, Object, ScriptNumber};
use std::cell::Cell;

/// What becomes of an undefined property of an output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is left out (map outputs).
    LeftOut,
    /// It is null (reduce outputs).
    Null,
}

/// One output while it is read.
pub(super) struct Reader {
    /// What becomes of undefined properties.
    pub missing: Missing,
    /// Roughly the bytes so far, counted as the engine's outputs are.
    bytes: usize,
    /// What the engine may have counted more, depending on how it holds numbers.
    unsure: usize,
    /// How deep it is in the output.
    pub depth: usize,
}

impl Reader {
    /// At the root of an output.
    pub const fn new(missing: Missing) -> Self {
        Self { missing, bytes: 0, unsure: 0, depth: 0 }
    }

    /// Counts bytes.
    pub fn grow<'a>(&mut self, bytes: usize) -> Outcome<'a, ()> {
        self.bytes += bytes;
        if self.bytes > REDUCE_OUTPUT_BYTES_MAX { Err(Stop::Bound(Bound::OutputBytes)) } else { Ok(()) }
    }

    /// Refuses what is too deep.
    pub fn check_depth<'a>(&self) -> Outcome<'a, ()> {
        if self.depth >= SCRIPT_OUTPUT_DEPTH_MAX { Err(Stop::Bound(Bound::OutputDepth)) } else { Ok(()) }
    }

    /// Refuses at the end what the engine may have refused.
    pub fn check_size<'a>(&self) -> Outcome<'a, ()> {
        if self.bytes + self.unsure > REDUCE_OUTPUT_BYTES_MAX {
            return hand_over(&"an output of nearly the largest size");
        }
        Ok(())
    }

    /// Counts a number.
    pub fn count_number<'a>(&mut self, number: f64) -> Outcome<'a, ()> {
        let integer = numbers::is_int32(number);
        self.unsure += if integer { 4 } else { 0 };
        self.grow(if integer { 4 } else { 8 })
    }

    /// Counts a BigInt.
    pub fn count_big<'a>(&mut self, number: &BigInt) -> Outcome<'a, ()> {
        self.grow(usize::try_from(number.bits() / 3 + 2).unwrap_or(usize::MAX))
    }

    fn number<'a>(&mut self, number: f64) -> Outcome<'a, Json> {
        self.count_number(number)?;
        // A map output keeps the sign of -0, as its index term does; results print 0.
        if number == 0.0 && number.is_sign_negative() && self.missing == Missing::LeftOut {
            return Ok(Json::Number(Number::from_valid_text("-0")));
        }
        Ok(match numbers::to_small(number) {
            Some(small) => Json::Number(Number::from(small)),
            None => match Number::from_f64(number) {
                Some(number) => Json::Number(number),
                None => ScriptNumber::from_f64(number).map_or(Json::Null, Json::ScriptNumber),
            },
        })
    }
}

impl<'a> Machine<'a> {
    /// An output object. The second value names its own properties that were undefined.
    ///
    /// # Errors
    /// When it holds functions and other things that are no data, lone surrogates, or is too large or too deep.
    pub fn output(&mut self, record: &'a Record<'a>, missing: Missing) -> Outcome<'a, (Object, Vec<String>)> {
        let mut reader = Reader::new(missing);
        let mut undefined = Vec::new();
        let object = self.read_record(record, &mut reader, Some(&mut undefined))?;
        reader.check_size()?;
        Ok((object, undefined))
    }

    fn read_record(
        &mut self,
        record: &'a Record<'a>,
        reader: &mut Reader,
        mut undefined: Option<&mut Vec<String>>,
    ) -> Outcome<'a, Object> {
        reader.check_depth()?;
        reader.grow(2)?;
        self.charge(1)?;
        let mut fields = Vec::with_capacity(self.property_count(record));
        if let State::Shaped { shape, slots } = record.state.get()
            && self.realm.shapes.order(shape).is_none()
        {
            let count = self.realm.shapes.len(shape);
            for (place, slot) in slots.iter().take(count).enumerate() {
                let name = self.realm.shapes.name(shape, place).to_owned();
                self.read_property(name, slot, reader, &mut undefined, &mut fields)?;
            }
            return Ok(Object::from_distinct(fields));
        }
        for property in self.property_places(record)? {
            let name = match property {
                Place::Slot { shape, place, .. } => self.realm.shapes.name(shape, place).to_owned(),
                Place::Entry { name, .. } => match self.text(name)?.and_then(Text::as_str) {
                    Some(name) => name.to_owned(),
                    None => return hand_over(&"a property name with half a surrogate pair"),
                },
            };
            self.read_property(name, property.slot(), reader, &mut undefined, &mut fields)?;
        }
        Ok(Object::from_distinct(fields))
    }

    fn read_property(
        &mut self,
        name: String,
        slot: &'a Cell<Value<'a>>,
        reader: &mut Reader,
        undefined: &mut Option<&mut Vec<String>>,
        fields: &mut Vec<(String, Json)>,
    ) -> Outcome<'a, ()> {
        let value = self.read(slot)?;
        if matches!(value, Value::Undefined) {
            if let Some(names) = undefined.as_deref_mut() {
                names.push(name.clone());
            }
            if reader.missing == Missing::LeftOut {
                return Ok(());
            }
        }
        reader.grow(name.len() + 4)?;
        reader.depth += 1;
        let json = self.read_value(value, reader)?;
        reader.depth -= 1;
        fields.push((name, json));
        Ok(())
    }

    /// A value in an output.
    pub fn read_value(&mut self, value: Value<'a>, reader: &mut Reader) -> Outcome<'a, Json> {
        Ok(match value {
            Value::Null | Value::Undefined => {
                reader.grow(4)?;
                Json::Null
            }
            Value::Bool(value) => {
                reader.grow(5)?;
                Json::Bool(value)
            }
            Value::Number(number) => reader.number(number)?,
            Value::Big(big) => {
                let number = big.to_big_int();
                reader.count_big(&number)?;
                Json::from(number)
            }
            Value::Ascii(_) | Value::Text(_) | Value::Rope(_) => {
                let text = self.text(value)?;
                reader.grow(text.map_or(0, Text::len) + 2)?;
                Json::String(text.and_then(Text::as_str).unwrap_or("").to_owned())
            }
            Value::Record(record) => match self.boosted(record)? {
                Some(Value::Record(_)) => return hand_over(&"boost() of an object inside of an output"),
                Some(value) => self.read_value(value, reader)?,
                None => Json::Object(self.read_record(record, reader, None)?),
            },
            Value::List(list) => {
                reader.check_depth()?;
                self.charge_length(list.len())?;
                reader.grow(2)?;
                let mut items = Vec::with_capacity(list.len());
                for slot in list.slots() {
                    reader.grow(1)?;
                    let value = self.read(slot)?;
                    reader.depth += 1;
                    items.push(self.read_value(value, reader)?);
                    reader.depth -= 1;
                }
                Json::Array(items)
            }
            Value::Date(time) => {
                let Some(text) = iso_text(time.get()) else {
                    return hand_over(&"an unusual Date in an output");
                };
                reader.grow(text.len() + 2)?;
                // Three digits of milliseconds become seven, as .NET prints ticks.
                Json::String(format!("{}0000Z", text.strip_suffix('Z').unwrap_or(&text)))
            }
            _ => return hand_over(&"a value in an output that is no plain data"),
        })
    }

    /// The value inside of what `boost(value, n)` gives.
    pub fn boosted(&mut self, record: &'a Record<'a>) -> Outcome<'a, Option<Value<'a>>> {
        if self.slot(record, "$boost")?.is_none() {
            return Ok(None);
        }
        Ok(Some(self.own(record, "$value")?.unwrap_or(Value::Undefined)))
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The offset of the first byte that JSON strings must escape.
fn first_escape(bytes: &[u8]) -> Option<usize> {
    let needs = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (number, chunk) in chunks.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH_BITS;
        let below = word.wrapping_sub(ONES * 0x20) & !word & HIGH_BITS;
        if (zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c)) | below) != 0 {
            // A borrow may have marked too much, never too little.
            let from = number * 8;
            let found = bytes.get(from..)?.iter().position(needs)?;
            return Some(from + found);
        }
    }
    let from = bytes.len() - rest.len();
    rest.iter().position(needs).map(|found| from + found)
}

/// Appends a string as compact JSON, escaped as the store escapes it.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = first_escape(rest) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, tail)) = tail.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::write_string;
    use magpie_store::json::Json;

    #[test]
    fn strings_are_escaped_as_the_store_does_it() {
        for text in [
            "",
            "plain",
            "exactly8",
            "a \"quote\" and a \\",
            "\u{1}\u{1f}\u{8}\u{c}\n\r\t\u{7f}",
            "é😀 and more than eight bytes \u{1}",
            "éééééééé\"",
            "        !",
        ] {
            let mut out = Vec::new();
            write_string(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), Json::from(text).to_string(), "{text:?}");
        }
    }
}
