//! Compact JSON text: no white space, keys in the object's order, numbers digit for digit.
//!
//! Only what JSON demands is escaped: the quote, the backslash and the control characters below U+0020. The numbers of
//! scripts leave as strings; stored text keeps their tags (see `script_number.rs`).

use super::value::{Json, Object};
use std::fmt;

/// The text for the world outside.
const WIRE: bool = false;
/// The text of rows, which only [`super::parse_stored`] reads.
const STORED: bool = true;

impl Json {
    /// Appends the compact JSON text.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        write::<WIRE>(self, out);
    }

    /// Appends the compact text under which index rows keep it: JSON but for the numbers of scripts.
    pub fn write_stored_to(&self, out: &mut Vec<u8>) {
        write::<STORED>(self, out);
    }
}

impl Object {
    /// Appends the compact JSON text.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        write_object::<WIRE>(self, out);
    }
}

fn write<const STORED: bool>(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(true) => out.extend_from_slice(b"true"),
        Json::Bool(false) => out.extend_from_slice(b"false"),
        Json::Number(number) => number.write_to(out),
        Json::ScriptNumber(number) if STORED => number.write_stored(out),
        Json::ScriptNumber(number) => write_string(&number.to_string(), out),
        Json::String(text) => write_string(text, out),
        Json::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write::<STORED>(item, out);
            }
            out.push(b']');
        }
        Json::Object(object) => write_object::<STORED>(object, out),
    }
}

fn write_object<const STORED: bool>(object: &Object, out: &mut Vec<u8>) {
    out.push(b'{');
    for (position, (key, value)) in object.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        write::<STORED>(value, out);
    }
    out.push(b'}');
}

/// Appends a JSON string, escaped where it must be.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\') {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, tail)) = tail.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// The writer only copies from `str`s at character borders and adds ASCII, so its output is always UTF-8.
pub(super) fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

/// The compact text of an object, for storing.
pub(crate) fn object_text(object: &Object) -> Box<str> {
    let mut out = Vec::with_capacity(256);
    object.write_to(&mut out);
    into_text(out).into_boxed_str()
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write_to(&mut out);
        f.write_str(&into_text(out))
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write_to(&mut out);
        f.write_str(&into_text(out))
    }
}
