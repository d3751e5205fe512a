//! What terms a field of a result has, and their bytes. Five families:
//!
//! * `Text`: the lower-cased text of each term; the normal form of each point in time once more, for these order by
//!   instant; a mark for objects, which do not order among each other.
//! * `Double`: numbers by value; points in time by their ticks.
//! * `Long`: the same cut to whole numbers.
//! * `AlphaNumeric`: the lower-cased text as runs of digits and others.
//! * `Words`: each word of a text; what is no text as in `Text`.
//!
//! The key of a posting is `class u8, term bytes (00 as 00 ff) 00 01, subject`, where the subject is the rest of the
//! key of the result or map output. The order of these bytes is the order of the query. Terms are cut at
//! [`limits::TERM_BYTES_MAX`]; what is longer may stand for several terms.

use super::Chunks;
use super::field::{Family, TermField};
use super::instant;
use super::value::{Term, any_at};
use super::words::Analyzer;
use crate::error::IndexError;
use crate::limits;
use magpie_store::json::{Json, Number, Object, ScriptNumber};
use magpie_store::ordered;
use std::collections::BTreeMap;

/// The kind of a term. Within `Text`, `Plain` and `Instant` are ordered among each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Class {
    /// The field has no term.
    Missing = 1,
    /// Null.
    Null = 2,
    /// Text, number or runs.
    Plain = 3,
    /// A point in time as text.
    Instant = 4,
    /// The field has terms, but none that this family orders.
    Other = 6,
    /// No term: under it stands how many results have several terms in the field, see `counts.rs`.
    Several = 7,
}

/// The value of a posting that tells the place of its result in the order of the family.
pub(crate) const ORDERS: &[u8] = &[1];
/// The value of one that is only there to be found.
pub(crate) const FOUND: &[u8] = &[0];

/// The terms of one result in one field: class and escaped bytes, and whether they tell its place in the order.
pub(crate) type Terms = BTreeMap<Vec<u8>, bool>;

/// Class and escaped bytes of a term, closed.
pub(crate) fn closed(class: Class, bytes: &[u8]) -> Vec<u8> {
    let mut out = open(class, bytes);
    out.extend_from_slice(&[0, 1]);
    out
}

/// Class and escaped bytes of a term, without its end: all terms that begin so follow.
pub(crate) fn open(class: Class, bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.get(..limits::TERM_BYTES_MAX).unwrap_or(bytes);
    let mut out = Vec::with_capacity(bytes.len() + 8);
    out.push(class as u8);
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out
}

/// Where the term of a posting ends and its subject begins.
///
/// # Errors
/// [`IndexError::Corrupt`] when it has no end.
pub(crate) fn split(posting: &[u8]) -> Result<(&[u8], &[u8]), IndexError> {
    let mut at = 1;
    loop {
        let rest = posting.get(at..).unwrap_or_default();
        let zero = rest.iter().position(|byte| *byte == 0);
        let zero = zero.ok_or_else(|| IndexError::Corrupt("a term without end".to_owned()))?;
        at += zero + 2;
        if rest.get(zero + 1) != Some(&0xff) {
            return posting
                .split_at_checked(at)
                .ok_or_else(|| IndexError::Corrupt("a term that is cut short".to_owned()));
        }
    }
}

/// Whether a term may have been cut, so that it stands for several.
pub(crate) fn may_be_cut(term: &[u8]) -> bool {
    term.len() >= limits::TERM_BYTES_MAX
}

/// The terms of a result or map output; a value that is no object has no fields.
pub(crate) fn terms(field: &TermField, value: &Json) -> Terms {
    let empty = Object::new();
    let fields = value.as_object().unwrap_or(&empty);
    let mut terms = Terms::new();
    let mut is_there = false;
    any_at(fields, &field.path, &mut |term| {
        is_there = true;
        match field.family {
            Family::Text => text_terms(term, &mut terms),
            Family::Words => {
                Analyzer::Standard.any(term, &mut |word| {
                    text_terms(word, &mut terms);
                    false
                });
            }
            Family::Double => number_terms(term, &mut terms, |number| {
                let mut bytes = Vec::new();
                ordered::encode(number, &mut bytes);
                bytes
            }),
            Family::Long => number_terms(term, &mut terms, |number| {
                let whole = match number {
                    Json::Number(number) => truncated(number),
                    Json::ScriptNumber(ScriptNumber::NegativeInfinity) => i64::MIN,
                    _ => i64::MAX,
                };
                // With the sign bit turned, negative numbers come first.
                (whole ^ i64::MIN).to_be_bytes().to_vec()
            }),
            Family::AlphaNumeric => match term {
                Term::Null => add(&mut terms, closed(Class::Null, &[]), true),
                other => {
                    let chunks = Chunks::of(&other.folded());
                    add(&mut terms, closed(Class::Plain, &chunks.encode()), true);
                }
            },
        }
        false
    });
    if terms.is_empty() {
        add(&mut terms, closed(if is_there { Class::Other } else { Class::Missing }, &[]), true);
    }
    terms
}

/// Whether these may be the terms of several values. One value may have two: one that orders, and one to be found by.
pub(crate) fn are_several(terms: &Terms) -> bool {
    let ordering = terms.values().filter(|orders| **orders).count();
    ordering > 1 || terms.len() - ordering > 1
}

fn add(terms: &mut Terms, term: Vec<u8>, orders: bool) {
    *terms.entry(term).or_default() |= orders;
}

fn text_terms(term: &Term<'_>, terms: &mut Terms) {
    let plain = closed(Class::Plain, term.folded().as_bytes());
    match term {
        Term::Null => add(terms, closed(Class::Null, &[]), true),
        Term::Text(text) => match instant::parse(text) {
            Some(instant) => {
                add(terms, closed(Class::Instant, instant.to_string().as_bytes()), true);
                add(terms, plain, false);
            }
            None => add(terms, plain, true),
        },
        _ => add(terms, plain, true),
    }
}

/// The term of a number, an infinity or a point in time; NaN has no place among them.
fn number_terms(term: &Term<'_>, terms: &mut Terms, bytes: impl Fn(&Json) -> Vec<u8>) {
    let number = match term {
        Term::Null => return add(terms, closed(Class::Null, &[]), true),
        Term::Number(number) => bytes(&Json::Number(number.clone().into_owned())),
        Term::NonFinite(ScriptNumber::NaN) => return,
        Term::NonFinite(number) => bytes(&Json::ScriptNumber((*number).clone())),
        Term::Text(text) => match instant::parse(text) {
            Some(instant) => bytes(&Json::from(instant.0)),
            None => return,
        },
        _ => return,
    };
    add(terms, closed(Class::Plain, &number), true);
}

/// The whole part of a number; beyond the range of 64 bits the nearest end of it.
#[must_use]
pub fn truncated(number: &Number) -> i64 {
    if let Some(whole) = number.as_i64() {
        return whole;
    }
    let decimal = number.decimal();
    let end = if decimal.negative { i64::MIN } else { i64::MAX };
    let Ok(places) = usize::try_from(decimal.exponent) else { return 0 };
    if places > 19 {
        return end;
    }
    let mut whole: i128 = 0;
    for place in 0..places {
        whole = whole * 10 + i128::from(decimal.digits.get(place).copied().unwrap_or(0));
    }
    i64::try_from(if decimal.negative { -whole } else { whole }).unwrap_or(end)
}

/// The place of a term in the order of its family: terms of `Plain` and `Instant` stand among each other.
pub(crate) fn place(term: &[u8]) -> (u8, &[u8]) {
    match term.split_first() {
        Some((class, bytes)) if *class == Class::Instant as u8 => (Class::Plain as u8, bytes),
        Some((class, bytes)) => (*class, bytes),
        None => (0, &[]),
    }
}

/// The term that tells the place of a result in the order: the first, or the last when descending.
pub(crate) fn best(terms: &Terms, descending: bool) -> Option<&[u8]> {
    let orders = terms.iter().filter(|(_, orders)| **orders).map(|(term, _)| term.as_slice());
    if descending { orders.max_by_key(|term| place(term)) } else { orders.min_by_key(|term| place(term)) }
}

#[cfg(test)]
mod tests {
    use super::{Class, closed, open, split, truncated};
    use magpie_store::json::Number;

    #[test]
    fn truncation_goes_towards_zero_and_clamps() {
        for (text, expected) in [
            ("1.9", 1),
            ("-1.9", -1),
            ("0.5", 0),
            ("-0.5", 0),
            ("1e3", 1000),
            ("9223372036854775807.5", i64::MAX),
            ("1e300", i64::MAX),
            ("-1e300", i64::MIN),
            ("1e-300", 0),
        ] {
            assert_eq!(truncated(&Number::from_valid_text(text)), expected, "{text}");
        }
    }

    #[test]
    fn terms_and_subjects_are_told_apart() {
        for term in [&b""[..], b"a", b"\0", b"a\0\xff\0", &[0xff; 3]] {
            let key = [closed(Class::Plain, term).as_slice(), &[0, 1, 2]].concat();
            assert_eq!(split(&key).unwrap(), (closed(Class::Plain, term).as_slice(), &[0, 1, 2][..]));
            assert!(split(&open(Class::Plain, term)).is_err());
        }
    }
}
