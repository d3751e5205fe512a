//! JSON text into values, one level at a time and only when it is looked at.
//!
//! The text is what the store or an index wrote: compact, checked when it came in. Numbers of scripts (`123n`, `NaN`,
//! `Infinity`) are understood. Text that is damaged all the same is left to the engine, which says what it always said.

use super::machine::{Machine, SLOT_BYTES};
use super::scanner::Scanner;
use super::shapes::EMPTY;
use super::text::Text;
use super::value::{Outcome, Value, hand_over};
use magpie_store::json::{BigInt, Json, Object, ScriptNumber};
use std::cell::Cell;

/// Most elements of an array that room is taken for before they are read.
const RECENT_ELEMENTS_MAX: usize = 32;

/// The largest whole number below which doubles have no gaps.
const SAFE_INTEGER_MAX: f64 = 9_007_199_254_740_991.0;

impl<'a> Machine<'a> {
    /// The value in a slot; what is still JSON text is read now.
    pub fn read(&mut self, slot: &'a Cell<Value<'a>>) -> Outcome<'a> {
        let value = slot.get();
        match value {
            Value::Json(_)
            | Value::RawNumber(_)
            | Value::RawString(_)
            | Value::RawRecord(_)
            | Value::RawList(_) => {
                let read = self.cooked(value)?;
                slot.set(read);
                Ok(read)
            }
            value => Ok(value),
        }
    }

    /// What JSON text stands for; every other value as it is.
    pub fn cooked(&mut self, value: Value<'a>) -> Outcome<'a> {
        match value {
            Value::Json(json) => self.value_of_json(json),
            Value::RawNumber(text) => self.number_of_text(text),
            Value::RawString(text) => self.unescaped(text),
            Value::RawRecord(text) => self.record_of_text(text),
            Value::RawList(text) => self.list_of_text(text),
            value => Ok(value),
        }
    }

    /// What a JSON value stands for: one level, the rest when it is looked at.
    fn value_of_json(&mut self, json: &'a Json) -> Outcome<'a> {
        Ok(match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::Number(number.as_f64()),
            Json::ScriptNumber(number) => match number {
                ScriptNumber::BigInt(value) => self.big(value)?,
                ScriptNumber::NaN => Value::Number(f64::NAN),
                ScriptNumber::Infinity => Value::Number(f64::INFINITY),
                ScriptNumber::NegativeInfinity => Value::Number(f64::NEG_INFINITY),
            },
            Json::String(text) => Text::of(text).into(),
            Json::Array(items) => {
                let slots = self.slots(items.len(), Value::Undefined)?;
                for (slot, item) in slots.iter().zip(items) {
                    slot.set(Value::Json(item));
                }
                self.charge(items.len() as u64 / 8)?;
                Value::List(self.list_of(slots)?)
            }
            Json::Object(fields) => {
                let slots = self.slots(fields.len(), Value::Undefined)?;
                self.charge(fields.len() as u64 / 8)?;
                let mut shape = EMPTY;
                for (slot, (name, value)) in slots.iter().zip(fields.iter()) {
                    slot.set(Value::Json(value));
                    match self.realm.shapes.with(shape, name) {
                        Some(next) => shape = next,
                        None => return self.table_of_json(fields),
                    }
                }
                Value::Record(self.shaped(shape, slots)?)
            }
        })
    }

    /// An object that is better kept in a table.
    fn table_of_json(&mut self, fields: &'a Object) -> Outcome<'a> {
        let table = self.table()?;
        let mut indices = false;
        for (name, value) in fields.iter() {
            indices = indices || super::text::array_index(name).is_some();
            self.table_set(table, Text::of(name).into(), Value::Json(value))?;
        }
        Ok(Value::Record(self.keyed(table, indices)?))
    }

    fn number_of_text(&mut self, text: &'a str) -> Outcome<'a> {
        let bytes = text.as_bytes();
        // Up to fifteen digits are exact in a double whatever way they are put together.
        if bytes.len() <= 15 && bytes.iter().all(u8::is_ascii_digit) {
            let whole = bytes.iter().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
            #[expect(clippy::cast_precision_loss, reason = "fifteen digits are exact in a double")]
            return Ok(Value::Number(whole as f64));
        }
        match text {
            "NaN" => return Ok(Value::Number(f64::NAN)),
            "Infinity" => return Ok(Value::Number(f64::INFINITY)),
            "-Infinity" => return Ok(Value::Number(f64::NEG_INFINITY)),
            _ => {}
        }
        if let Some(digits) = text.strip_suffix('n') {
            return match digits.parse::<BigInt>() {
                Ok(value) => self.big(&value),
                Err(_) => damaged(),
            };
        }
        match text.parse::<f64>() {
            Ok(number) if self.exact && number.abs() > SAFE_INTEGER_MAX => match text.parse::<BigInt>() {
                Ok(integer) => self.big(&integer),
                Err(_) => Ok(Value::Number(number)),
            },
            Ok(number) => Ok(Value::Number(number)),
            Err(_) => damaged(),
        }
    }

    /// A string from JSON text with escapes.
    pub fn unescaped(&mut self, text: &str) -> Outcome<'a> {
        let mut units: Vec<u16> = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((plain, escape)) = rest.split_once('\\') {
            units.extend(plain.encode_utf16());
            let Some(letter) = escape.as_bytes().first() else { return damaged() };
            let mut length = 1;
            units.push(match letter {
                b'"' | b'\\' | b'/' => u16::from(*letter),
                b'b' => 8,
                b'f' => 12,
                b'n' => 10,
                b'r' => 13,
                b't' => 9,
                b'u' => {
                    length = 5;
                    match escape.get(1..5).map(|digits| u16::from_str_radix(digits, 16)) {
                        Some(Ok(unit)) => unit,
                        _ => return damaged(),
                    }
                }
                _ => return damaged(),
            });
            rest = escape.get(length..).unwrap_or("");
        }
        units.extend(rest.encode_utf16());
        // Strings of documents may be longer than what scripts may make.
        match String::from_utf16(&units) {
            Ok(text) => {
                let text = self.stored(&text)?;
                Ok(Text::of(text).into())
            }
            Err(_) => Ok(Value::Units(self.copied(&units)?)),
        }
    }

    fn list_of_text(&mut self, text: &'a str) -> Outcome<'a> {
        let mut scanner = Scanner::new(text);
        if !scanner.take(b'[') {
            return damaged();
        }
        let room = self.realm.recent_elements.min(text.len() / 2);
        let list = self.list_with_room(room)?;
        if !scanner.take(b']') {
            loop {
                let Some(value) = scanner.value() else { return damaged() };
                self.push_read(list, value)?;
                if scanner.take(b']') {
                    break;
                }
                if !scanner.take(b',') {
                    return damaged();
                }
            }
        }
        self.realm.recent_elements = list.len().min(RECENT_ELEMENTS_MAX);
        self.charge(list.len() as u64 / 8)?;
        Ok(Value::List(list))
    }

    fn record_of_text(&mut self, text: &'a str) -> Outcome<'a> {
        let mut scanner = Scanner::new(text);
        if !scanner.take(b'{') {
            return damaged();
        }
        if scanner.take(b'}') {
            return Ok(Value::Record(self.record()?));
        }
        let mut shape = EMPTY;
        let mut slots = self.room(self.realm.recent_names.min(text.len() / 4))?;
        let mut count = 0;
        loop {
            let expected = self.realm.shapes.expected(shape);
            let next = match expected.filter(|(name, _)| scanner.take_all(name)) {
                Some((_, next)) => next,
                None => {
                    let Some(name) = self.name_of_text(&mut scanner)? else { return damaged() };
                    match self.realm.shapes.with(shape, name) {
                        Some(next) => next,
                        None => return self.table_of_text(text),
                    }
                }
            };
            let Some(value) = scanner.value() else { return damaged() };
            if count == slots.len() {
                slots = self.grown(slots, (count * 2).max(4))?;
            }
            if let Some(slot) = slots.get(count) {
                slot.set(value);
            }
            count += 1;
            shape = next;
            if scanner.take(b'}') {
                break;
            }
            if !scanner.take(b',') {
                return damaged();
            }
        }
        self.realm.recent_names = count;
        self.count(count * SLOT_BYTES)?;
        self.charge(count as u64 / 8)?;
        Ok(Value::Record(self.shaped(shape, slots)?))
    }

    /// Takes a name and the colon behind it.
    pub fn name_of_text(&mut self, scanner: &mut Scanner<'a>) -> Outcome<'a, Option<&'a str>> {
        if !scanner.take(b'"') {
            return Ok(None);
        }
        let Some((name, _, escaped)) = scanner.string() else { return Ok(None) };
        if !scanner.take(b':') {
            return Ok(None);
        }
        if !escaped {
            return Ok(Some(name));
        }
        let name = self.unescaped(name)?;
        match self.text(name)?.and_then(Text::as_str) {
            Some(name) => Ok(Some(name)),
            None => hand_over(&"a property name with half a surrogate pair"),
        }
    }

    /// An object that is better kept in a table.
    fn table_of_text(&mut self, text: &'a str) -> Outcome<'a> {
        let mut scanner = Scanner::new(text);
        let table = self.table()?;
        let mut indices = false;
        scanner.take(b'{');
        loop {
            let Some(name) = self.name_of_text(&mut scanner)? else { return damaged() };
            let Some(value) = scanner.value() else { return damaged() };
            indices = indices || super::text::array_index(name).is_some();
            self.table_set(table, Text::of(name).into(), value)?;
            if scanner.take(b'}') {
                break;
            }
            if !scanner.take(b',') {
                return damaged();
            }
        }
        self.count(table.len() * SLOT_BYTES)?;
        self.charge(table.len() as u64 / 8)?;
        Ok(Value::Record(self.keyed(table, indices)?))
    }
}

fn damaged<'a, T>() -> Outcome<'a, T> {
    hand_over(&"damaged JSON text")
}
