//! Which numbers of a document a script does not see as they are.

use super::dialect::Projection;
use crate::definition::Numbers;
use crate::limits::INEXACT_FIELDS_MAX;
use magpie_store::json::{Json, Object};

/// Numbers with at most so many characters and a short exponent are held by a double.
const EXACT_BYTES: usize = 15;
/// Bytes that are looked at together.
const PIECE_BYTES: usize = 32;

/// Whether some number in compact JSON text may be one that no double holds: it is long, or its exponent has three digits.
/// Text in strings may look like one.
pub(super) fn may_be(text: &str) -> bool {
    let bytes = text.as_bytes();
    // A number that is longer covers one of these places.
    for (number, piece) in bytes.chunks(EXACT_BYTES + 1).enumerate() {
        let at = number * (EXACT_BYTES + 1);
        // Of three bytes of a number one is a digit at least.
        let may_be = is_numeric(piece.first()) && piece.iter().take(3).any(u8::is_ascii_digit);
        if may_be && number_at(bytes, at).len() > EXACT_BYTES {
            return true;
        }
    }
    // Letters behind digits are looked for in pieces, without branches.
    let letters = bytes.get(1..).unwrap_or(&[]);
    let pieces = bytes.chunks(PIECE_BYTES).zip(letters.chunks(PIECE_BYTES));
    for (number, (digits, letters)) in pieces.enumerate() {
        let found = match (digits.first_chunk::<PIECE_BYTES>(), letters.first_chunk::<PIECE_BYTES>()) {
            (Some(digits), Some(letters)) => {
                digits.iter().zip(letters).fold(0, |found, pair| found | u8::from(is_exponent(pair)))
            }
            _ => 1,
        };
        let from = number * PIECE_BYTES + 1;
        let long = |(pair, at)| is_exponent(pair) && is_long_exponent(bytes, at);
        if found != 0 && digits.iter().zip(letters).zip(from..).any(long) {
            return true;
        }
    }
    false
}

/// Whether a digit is followed by the letter of exponents.
fn is_exponent((digit, letter): (&u8, &u8)) -> bool {
    digit.is_ascii_digit() & ((*letter | 0x20) == b'e')
}

fn is_long_exponent(bytes: &[u8], letter: usize) -> bool {
    let number = number_at(bytes, letter);
    let exponent = number.rsplit(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or(&[]);
    exponent.iter().filter(|byte| byte.is_ascii_digit()).count() > 2
}

fn is_numeric(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'))
}

/// The number around a place, if what is around it stands where numbers do.
fn number_at(bytes: &[u8], at: usize) -> &[u8] {
    let begin = (0..at).rev().find(|at| !is_numeric(bytes.get(*at)));
    let begins = match begin.and_then(|before| bytes.get(before)) {
        None => true,
        Some(before) => matches!(before, b':' | b',' | b'['),
    };
    if !begins {
        return &[];
    }
    let from = begin.map_or(0, |before| before + 1);
    let to = (at..bytes.len()).find(|at| !is_numeric(bytes.get(*at))).unwrap_or(bytes.len());
    bytes.get(from..to).unwrap_or(&[])
}

/// Adds the paths of the fields whose numbers do not reach a script with all their digits, each once: those of the
/// fields that a map reads, or of all. Positions in arrays are written `[]`.
pub(super) fn collect(
    body: &Object,
    projection: Option<&Projection>,
    numbers: Numbers,
    found: &mut Vec<String>,
) {
    let mut path = String::new();
    match projection {
        Some(projection) => {
            for name in &projection.fields {
                if let Some(value) = body.get(name) {
                    member(name, value, numbers, &mut path, found);
                }
            }
        }
        None => object(body, numbers, &mut path, found),
    }
}

fn object(fields: &Object, numbers: Numbers, path: &mut String, found: &mut Vec<String>) {
    fields.iter().for_each(|(name, value)| member(name, value, numbers, path, found));
}

fn member(name: &str, json: &Json, numbers: Numbers, path: &mut String, found: &mut Vec<String>) {
    // Most fields hold no numbers, and their names need no copy.
    if matches!(json, Json::Null | Json::Bool(_) | Json::String(_)) {
        return;
    }
    let length = path.len();
    if length > 0 {
        path.push('.');
    }
    path.push_str(name);
    value(json, numbers, path, found);
    path.truncate(length);
}

fn value(json: &Json, numbers: Numbers, path: &mut String, found: &mut Vec<String>) {
    match json {
        Json::Number(number) => {
            let lost =
                !(number.fits_f64() || (numbers == Numbers::Exact && number.as_plain_integer().is_some()));
            if lost && found.len() < INEXACT_FIELDS_MAX && !found.contains(path) {
                found.push(path.clone());
            }
        }
        Json::Array(items) => {
            let length = path.len();
            path.push_str("[]");
            items.iter().for_each(|item| value(item, numbers, path, found));
            path.truncate(length);
        }
        Json::Object(fields) => object(fields, numbers, path, found),
        Json::Null | Json::Bool(_) | Json::String(_) | Json::ScriptNumber(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::may_be;

    #[test]
    fn numbers_that_a_double_may_not_hold_are_noticed() {
        for (text, expected) in [
            (r#"{"a":123456789012345}"#, false),
            (r#"{"a":1234567890123456}"#, true),
            (r#"{"abc":"x","b":[1,2,-123456789.0123456]}"#, true),
            (r#"{"a":1e21,"b":-1.5E-7}"#, false),
            (r#"{"a":1e400}"#, true),
            (r#"{"a":[1E+100]}"#, true),
            (r#"{"trace":"1234567890123456789012","b":1}"#, false),
            (r#"{"trace":"9e123f5e6789a","at":"2025-01-01T08:30:00Z","ts":1735689600}"#, false),
            ("{}", false),
        ] {
            assert_eq!(may_be(text), expected, "{text}");
        }
        // Wherever it stands.
        for shift in 0..40 {
            assert!(may_be(&format!(r#"{{"{}":9007199254740993}}"#, "a".repeat(shift))), "{shift}");
        }
    }
}
