//! JSON text into values, one level at a time and only when it is looked at.
//!
//! The text is what the store or an index wrote: compact, checked when it came in. Numbers of scripts (`123n`, `NaN`,
//! `Infinity`) are understood. Text that is damaged all the same is left to the engine, which says what it always said.

use super::machine::{Machine, SLOT_BYTES};
use super::shapes::EMPTY;
use super::text::Text;
use super::value::{Outcome, Value, hand_over};
use magpie_store::json::{BigInt, Json, Object, ScriptNumber};
use std::cell::Cell;

/// Reads compact JSON text from the front.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// Most elements of an array that room is taken for before they are read.
const RECENT_ELEMENTS_MAX: usize = 32;

/// Digits that are exact in a double whatever they are.
const EXACT_DIGITS: usize = 15;
/// 10^0 to 10^15, exact.
const POWERS_OF_TEN: [f64; EXACT_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The largest whole number below which doubles have no gaps.
const SAFE_INTEGER_MAX: f64 = 9_007_199_254_740_991.0;

/// What ends a string, eight times.
const QUOTES: u64 = 0x2222_2222_2222_2222;
const BACKSLASHES: u64 = 0x5c5c_5c5c_5c5c_5c5c;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Marks the lowest zero byte with its high bit; bytes above it may be marked wrongly.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH_BITS
}

/// Whether two texts of one length are the same. Most names are short, and not worth a call.
#[inline]
pub(super) fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    match (
        one.len(),
        one.first_chunk::<8>(),
        other.first_chunk::<8>(),
        one.last_chunk::<8>(),
        other.last_chunk::<8>(),
    ) {
        (8..=16, Some(one_first), Some(other_first), Some(one_last), Some(other_last)) => {
            one_first == other_first && one_last == other_last
        }
        (0..8, ..) => one.iter().zip(other).all(|(one, other)| one == other),
        _ => one == other,
    }
}

impl<'a> Scanner<'a> {
    /// Begins at the front of the text.
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes this byte if it comes next.
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes these bytes if they come next.
    pub fn take_all(&mut self, bytes: &[u8]) -> bool {
        let found = self
            .text
            .as_bytes()
            .get(self.at..self.at + bytes.len())
            .is_some_and(|next| same_bytes(next, bytes));
        if found {
            self.at += bytes.len();
        }
        found
    }

    /// Takes a string whose opening quote was taken, and its closing quote: what is between them, whether that is
    /// ASCII, and whether it has escapes.
    pub fn string(&mut self) -> Option<(&'a str, bool, bool)> {
        let begin = self.at;
        let bytes = self.text.as_bytes();
        let mut high = 0;
        let mut escaped = false;
        let mut at = begin;
        loop {
            if let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
                let word = u64::from_le_bytes(*chunk);
                let ends = zero_bytes(word ^ QUOTES) | zero_bytes(word ^ BACKSLASHES);
                if ends == 0 {
                    high |= word & HIGH_BITS;
                    at += 8;
                    continue;
                }
                let offset = ends.trailing_zeros() / 8;
                high |= word & HIGH_BITS & !(u64::MAX << (8 * offset));
                at += usize::try_from(offset).ok()?;
            }
            match bytes.get(at)? {
                b'"' => {
                    self.at = at + 1;
                    return Some((self.text.get(begin..at)?, high == 0, escaped));
                }
                b'\\' => {
                    escaped = true;
                    at += 2;
                }
                byte => {
                    high |= u64::from(*byte) & 0x80;
                    at += 1;
                }
            }
        }
    }

    /// Takes a value. Containers and numbers stay text.
    pub fn value(&mut self) -> Option<Value<'a>> {
        let begin = self.at;
        match self.peek()? {
            b'"' => {
                self.at += 1;
                let (text, ascii, escaped) = self.string()?;
                Some(match (escaped, ascii) {
                    (true, _) => Value::RawString(text),
                    (false, true) => Value::Ascii(text),
                    (false, false) => Value::Text(text),
                })
            }
            b'{' => {
                self.skip_container()?;
                self.text.get(begin..self.at).map(Value::RawRecord)
            }
            b'[' => {
                self.skip_container()?;
                self.text.get(begin..self.at).map(Value::RawList)
            }
            b't' => self.take_all(b"true").then_some(Value::Bool(true)),
            b'f' => self.take_all(b"false").then_some(Value::Bool(false)),
            b'n' => self.take_all(b"null").then_some(Value::Null),
            b'0'..=b'9' | b'-' | b'N' | b'I' => {
                if let Some(number) = self.plain_number() {
                    return Some(Value::Number(number));
                }
                let rest = self.text.as_bytes().get(begin..)?;
                let length =
                    rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).unwrap_or(rest.len());
                self.at += length;
                self.text.get(begin..self.at).map(Value::RawNumber)
            }
            _ => None,
        }
    }

    /// Takes a number of at most fifteen digits without an exponent: those are exact in a double, and so is one of them
    /// divided by a power of ten, as far as a double can be.
    fn plain_number(&mut self) -> Option<f64> {
        let bytes = self.text.as_bytes().get(self.at..)?;
        let negative = bytes.first() == Some(&b'-');
        let (mut whole, mut digits, mut places) = (0_i64, 0_usize, None);
        let mut at = usize::from(negative);
        loop {
            match bytes.get(at) {
                Some(digit @ b'0'..=b'9') if digits < EXACT_DIGITS => {
                    whole = whole * 10 + i64::from(digit - b'0');
                    digits += 1;
                }
                Some(b'.') if places.is_none() => places = Some(digits),
                Some(b',' | b'}' | b']') => break,
                _ => return None,
            }
            at += 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "fifteen digits are exact in a double")]
        let value = whole as f64;
        let value = match places {
            None => value,
            Some(places) => value / POWERS_OF_TEN.get(digits - places)?,
        };
        self.at += at;
        Some(if negative { -value } else { value })
    }

    /// Takes a value without reading it.
    pub fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.string().map(|_| ())
            }
            b'{' | b'[' => self.skip_container(),
            _ => {
                let rest = self.text.as_bytes().get(self.at..)?;
                self.at += rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']'))?;
                Some(())
            }
        }
    }

    /// Whether this byte comes next.
    pub fn next_is(&self, byte: u8) -> bool {
        self.peek() == Some(byte)
    }

    /// Takes an object or an array whole.
    fn skip_container(&mut self) -> Option<()> {
        self.end_of_container(0)
    }

    /// Takes all up to the end of the container that is so deep around.
    pub fn end_of_container(&mut self, mut depth: usize) -> Option<()> {
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(());
                    }
                }
                _ => {}
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::{Scanner, Value};

    #[test]
    fn strings_end_at_the_first_quote_that_is_not_escaped() {
        for (text, content, ascii, escaped) in [
            (r#"""#, "", true, false),
            (r#"abc""#, "abc", true, false),
            (
                r#"a long text without anything else" and more"#,
                "a long text without anything else",
                true,
                false,
            ),
            (r#"a\"b",1"#, r#"a\"b"#, true, true),
            (r#"1234567\"b"x"#, r#"1234567\"b"#, true, true),
            (r#"ends with a backslash\\","x""#, r"ends with a backslash\\", true, true),
            (r#"é and more than eight bytes" é"#, "é and more than eight bytes", false, false),
            (r#"abcdefg"é"#, "abcdefg", true, false),
        ] {
            assert_eq!(Scanner::new(text).string(), Some((content, ascii, escaped)), "{text}");
        }
        assert_eq!(Scanner::new("no end").string(), None);
        assert_eq!(Scanner::new("no end\\").string(), None);
    }

    #[test]
    fn plain_numbers_are_read_as_by_the_standard_library() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for turn in 0..200_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let digits = format!("{:015}", state % 1_000_000_000_000_000);
            let (before, after) = digits.split_at(1 + (turn as usize) % 14);
            let number = format!(
                "{}{}.{after}",
                if turn % 3 == 0 { "-" } else { "" },
                before.trim_start_matches('0').parse::<u64>().unwrap_or(0)
            );
            let text = format!("{number},");
            let Some(Value::Number(read)) = Scanner::new(&text).value() else { panic!("{number}") };
            assert_eq!(read.to_bits(), number.parse::<f64>().unwrap().to_bits(), "{number}");
        }
        for number in ["0", "-0", "-0.0", "999999999999999", "-5"] {
            let text = format!("{number}]");
            let Some(Value::Number(read)) = Scanner::new(&text).value() else { panic!("{number}") };
            assert_eq!(read.to_bits(), number.parse::<f64>().unwrap().to_bits(), "{number}");
        }
        for number in ["1000000000000000", "1e5", "12n", "NaN", "-Infinity"] {
            assert!(
                matches!(Scanner::new(&format!("{number}}}")).value(), Some(Value::RawNumber(raw)) if raw == number)
            );
        }
    }

    #[test]
    fn containers_are_taken_whole() {
        let mut scanner = Scanner::new(r#"{"a":[1,{"b":"]}\""}],"c":-1.5e3},true,[],12n]"#);
        assert!(matches!(scanner.value(), Some(Value::RawRecord(r#"{"a":[1,{"b":"]}\""}],"c":-1.5e3}"#))));
        assert!(scanner.take(b','));
        assert!(matches!(scanner.value(), Some(Value::Bool(true))));
        assert!(scanner.take(b','));
        assert!(matches!(scanner.value(), Some(Value::RawList("[]"))));
        assert!(scanner.take(b','));
        assert!(matches!(scanner.value(), Some(Value::RawNumber("12n"))));
    }
}
