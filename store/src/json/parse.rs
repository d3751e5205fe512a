//! The strict parser: bytes to [`Json`], or an error with line and column.
//!
//! Stricter than most: the text must be valid UTF-8 without a byte order mark, an object holds each key once (two
//! readers that pick different duplicates are a security hole), `\u` escapes form whole characters, and nesting and
//! numbers have limits (see [`crate::limits`]). What it accepts is what it keeps: no digit and no key is lost.
//!
//! Positions are worked out from a byte offset when an error is made, so the good path does not count lines.

use super::number::Number;
use super::script_number::ScriptNumber;
use super::value::{Json, Object};
use crate::limits::{JSON_DEPTH_MAX, NUMBER_CHARS_MAX, NUMBER_EXPONENT_MAX};
use num_bigint::BigInt;
use std::collections::HashSet;
use thiserror::Error;

/// Objects with at most this many keys look for duplicates by comparing, larger ones by hashing.
const LINEAR_KEYS_MAX: usize = 16;
/// Stored text was within [`JSON_DEPTH_MAX`] when it was written; this only keeps damaged text off the stack's end.
const STORED_DEPTH_MAX: usize = 4 * JSON_DEPTH_MAX;

/// Where and why a text is not acceptable JSON.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid JSON at line {line}, column {column}: {message}")]
pub struct JsonError {
    /// The line, counted from 1.
    pub line: u32,
    /// The column in characters, counted from 1.
    pub column: u32,
    /// What was expected and what was found.
    pub message: String,
}

/// Parses one JSON text; white space may surround it, nothing else.
///
/// # Errors
/// [`JsonError`] when the text is not UTF-8, begins with a byte order mark, breaks the JSON grammar, repeats a key
/// in an object, holds half a surrogate pair, nests deeper than [`JSON_DEPTH_MAX`], or holds a number beyond
/// [`NUMBER_CHARS_MAX`] or [`NUMBER_EXPONENT_MAX`].
pub fn parse(text: &[u8]) -> Result<Json, JsonError> {
    let valid = utf8(text)?;
    Parser::<false>::new(valid).document().map_err(|fault| fault.at(valid))
}

/// The text as UTF-8.
pub(super) fn utf8(text: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(text).map_err(|error| {
        let valid = text.get(..error.valid_up_to()).and_then(|part| std::str::from_utf8(part).ok());
        let byte = text.get(error.valid_up_to()).copied().unwrap_or(0);
        let message = format!("the text is not UTF-8: byte 0x{byte:02x} cannot stand here");
        let valid = valid.unwrap_or("");
        Fault { offset: valid.len(), message }.at(valid)
    })
}

/// Parses text that was checked or written here before: limits and duplicate keys are not looked at again. The tagged
/// numbers of scripts, as [`Json::write_stored_to`] writes them, are understood here only.
///
/// # Errors
/// [`JsonError`] when it is not JSON all the same, so the stored bytes are damaged.
pub fn parse_stored(text: &[u8]) -> Result<Json, JsonError> {
    match std::str::from_utf8(text) {
        Ok(valid) => Parser::<true>::new(valid).document().map_err(|fault| fault.at(valid)),
        Err(_) => parse(text),
    }
}

/// Parses text that this crate wrote itself. Text that is damaged all the same gives an empty object.
#[must_use]
pub fn parse_stored_object(text: &str) -> Object {
    match Parser::<true>::new(text).document() {
        Ok(Json::Object(object)) => object,
        _ => Object::new(),
    }
}

/// An error that still has a byte offset instead of line and column.
pub(super) struct Fault {
    offset: usize,
    message: String,
}

impl Fault {
    /// A key that stands twice; `offset` is that of the second one.
    pub(super) fn duplicate(key: &str, offset: usize) -> Self {
        let shown: String = key.chars().take(100).collect();
        let message = format!("the key '{shown}' stands twice in one object; send each key once");
        Self { offset, message }
    }

    pub(super) fn at(self, text: &str) -> JsonError {
        let before = text.get(..self.offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let lines = before.bytes().filter(|b| *b == b'\n').count();
        let columns = before.get(line_start..).map_or(0, |rest| rest.chars().count());
        let counted_from_one = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
        JsonError { line: counted_from_one(lines), column: counted_from_one(columns), message: self.message }
    }
}

/// `STORED` leaves out what was checked when the text came in: duplicate keys and the limits of numbers.
pub(super) struct Parser<'a, const STORED: bool> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    /// Elements of the arrays being read, inner ones on top: each array is allocated once, in its final size.
    items: Vec<Json>,
    /// The same for the members of objects.
    pairs: Vec<(String, Json)>,
}

impl<'a, const STORED: bool> Parser<'a, STORED> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, depth: 0, items: Vec::new(), pairs: Vec::new() }
    }

    fn document(&mut self) -> Result<Json, Fault> {
        if self.text.starts_with('\u{feff}') {
            return Err(self.fault("the text begins with a byte order mark; send UTF-8 without one"));
        }
        let value = self.value()?;
        self.end()?;
        Ok(value)
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.at < self.bytes.len() {
            return Err(self.unexpected("the end of the text"));
        }
        Ok(())
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Goes on by so many bytes, which were looked at.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { offset: self.at, message: message.into() }
    }

    fn unexpected(&self, expected: &str) -> Fault {
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            None => "the text ends".to_owned(),
            Some(c) if c.is_control() => format!("found the character U+{:04X}", u32::from(c)),
            Some(c) => format!("found '{c}'"),
        };
        self.fault(format!("expected {expected}, but {found}"))
    }

    pub(super) fn value(&mut self) -> Result<Json, Fault> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.any_number(),
            Some(b'N' | b'I') if STORED => self.any_number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.unexpected("a JSON value")),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, Fault> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.unexpected("a JSON value (true, false and null are the only bare words)"))
    }

    /// Runs `inner` on the text after the opening bracket, one level deeper.
    pub(super) fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let depth_max = if STORED { STORED_DEPTH_MAX } else { JSON_DEPTH_MAX };
        if self.depth >= depth_max {
            return Err(self.fault(format!("nested deeper than {depth_max} levels (json_depth_max)")));
        }
        self.depth += 1;
        self.at += 1;
        let value = inner(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Json, Fault> {
        let begin = self.items.len();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(Vec::new()));
        }
        loop {
            let item = self.value()?;
            self.items.push(item);
            if self.ends(b']', "',' or ']' after an array element")? {
                return Ok(Json::Array(self.items.drain(begin..).collect()));
            }
        }
    }

    fn object(&mut self) -> Result<Json, Fault> {
        let begin = self.pairs.len();
        let mut seen = None;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(Object::new()));
        }
        loop {
            let key_at = self.at_key()?;
            let key = self.string()?;
            if !STORED && is_duplicate(self.pairs.get(begin..).unwrap_or(&[]), &mut seen, &key) {
                return Err(Fault::duplicate(&key, key_at));
            }
            self.colon()?;
            let value = self.value()?;
            self.pairs.push((key, value));
            if self.ends(b'}', "',' or '}' after an object member")? {
                return Ok(Json::Object(Object::from_distinct(self.pairs.drain(begin..).collect())));
            }
        }
    }

    /// Goes to the key that must come; gives its offset.
    pub(super) fn at_key(&mut self) -> Result<usize, Fault> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key in double quotes"));
        }
        Ok(self.at)
    }

    pub(super) fn colon(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected("':' after a key"));
        }
        self.at += 1;
        Ok(())
    }

    /// Whether the array or object ends here with `close`, rather than going on behind a comma.
    pub(super) fn ends(&mut self, close: u8, expected: &str) -> Result<bool, Fault> {
        self.skip_space();
        let found = self.peek();
        if found != Some(b',') && found != Some(close) {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        Ok(found == Some(close))
    }

    /// The offset of the next byte that ends a plain run inside a string.
    fn run_end(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or(&[]);
        rest.iter()
            .position(|b| *b < 0x20 || *b == b'"' || *b == b'\\')
            .map_or(self.bytes.len(), |n| from + n)
    }

    /// A string without escapes, with its quotes; `None`, and nothing read, when it is another one.
    pub(super) fn plain_string(&mut self) -> Option<&'a str> {
        let end = self.run_end(self.at + 1);
        if self.bytes.get(end) != Some(&b'"') {
            return None;
        }
        let quoted = self.text.get(self.at..=end);
        self.at = end + 1;
        quoted
    }

    pub(super) fn string(&mut self) -> Result<String, Fault> {
        self.at += 1;
        let end = self.run_end(self.at);
        let run = self.text.get(self.at..end).unwrap_or("");
        self.at = end;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(run.to_owned());
        }
        let mut string = run.to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(string);
                }
                Some(b'\\') => string.push(self.escape()?),
                Some(byte) => {
                    return Err(self.fault(format!(
                        "the control character U+{byte:04X} stands raw in a string; write it as \\u{byte:04x}"
                    )));
                }
                None => return Err(self.unexpected("'\"' at the end of a string")),
            }
            let end = self.run_end(self.at);
            string.push_str(self.text.get(self.at..end).unwrap_or(""));
            self.at = end;
        }
    }

    /// Reads one escape, or two that form a surrogate pair.
    fn escape(&mut self) -> Result<char, Fault> {
        let begin = self.at;
        let letter = self.bytes.get(self.at + 1).copied();
        let plain = match letter {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(begin),
            _ => {
                self.at += 1;
                return Err(self.unexpected("one of \" \\ / b f n r t u after a backslash"));
            }
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode_escape(&mut self, begin: usize) -> Result<char, Fault> {
        let first = self.four_hex_digits()?;
        let code = match first {
            0xd800..=0xdbff if self.bytes.get(self.at..self.at + 2) == Some(b"\\u") => {
                let second = self.four_hex_digits()?;
                if (0xdc00..=0xdfff).contains(&second) {
                    0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                }
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(|| Fault {
            offset: begin,
            message: format!("\\u{first:04x} is half of a surrogate pair without its other half"),
        })
    }

    /// Reads `\uXXXX`; the backslash and the `u` have been seen.
    fn four_hex_digits(&mut self) -> Result<u32, Fault> {
        self.at += 2;
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.unexpected("four hexadecimal digits after \\u"))?;
            self.at += 1;
        }
        Ok(code)
    }

    fn digits(&mut self, place: &str) -> Result<&'a str, Fault> {
        let begin = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == begin {
            return Err(self.unexpected(place));
        }
        Ok(self.text.get(begin..self.at).unwrap_or(""))
    }

    /// The number with a name that comes next in stored text, and the length of the name.
    fn named_number(&self) -> Option<(ScriptNumber, usize)> {
        const NAMES: [(&str, ScriptNumber); 3] = [
            ("NaN", ScriptNumber::NaN),
            ("Infinity", ScriptNumber::Infinity),
            ("-Infinity", ScriptNumber::NegativeInfinity),
        ];
        let rest = self.text.get(self.at..)?;
        let found = NAMES.into_iter().find(|(name, _)| rest.starts_with(name));
        found.map(|(name, number)| (number, name.len()))
    }

    /// A JSON number, or in stored text a BigInt: digits with an `n` behind them.
    fn any_number(&mut self) -> Result<Json, Fault> {
        if STORED && let Some((number, length)) = self.named_number() {
            self.at += length;
            return Ok(Json::ScriptNumber(number));
        }
        let begin = self.at;
        let number = self.number()?;
        if STORED && self.peek() == Some(b'n') {
            let digits = self.text.get(begin..self.at).unwrap_or("");
            let value = digits.parse::<BigInt>();
            self.at += 1;
            return value
                .map(Json::from)
                .map_err(|_| Fault { offset: begin, message: format!("'{digits}' is no BigInt") });
        }
        Ok(Json::Number(number))
    }

    fn number(&mut self) -> Result<Number, Fault> {
        self.number_text().map(Number::from_valid_text)
    }

    /// A number within the limits, as it is written.
    pub(super) fn number_text(&mut self) -> Result<&'a str, Fault> {
        let begin = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.digits("a digit")?;
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(Fault { offset: begin, message: "a number does not begin with 0".to_owned() });
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("a digit after the decimal point")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            let exponent = self.digits("a digit in the exponent")?;
            if !STORED && exponent.parse::<i64>().map_or(true, |value| value > NUMBER_EXPONENT_MAX) {
                let message = format!("the exponent is beyond {NUMBER_EXPONENT_MAX} (number_exponent_max)");
                return Err(Fault { offset: begin, message });
            }
        }
        if !STORED && self.at - begin > NUMBER_CHARS_MAX {
            let message =
                format!("the number is longer than {NUMBER_CHARS_MAX} characters (number_chars_max)");
            return Err(Fault { offset: begin, message });
        }
        Ok(self.text.get(begin..self.at).unwrap_or("0"))
    }
}

/// Whether `key` is in `pairs`. `seen` is made as soon as comparing would cost more than hashing.
fn is_duplicate(pairs: &[(String, Json)], seen: &mut Option<HashSet<String>>, key: &str) -> bool {
    if pairs.len() < LINEAR_KEYS_MAX {
        return pairs.iter().any(|(name, _)| name == key);
    }
    !seen.get_or_insert_with(|| pairs.iter().map(|(name, _)| name.clone()).collect()).insert(key.to_owned())
}
