//! How a JSON value becomes terms: what a field path finds in a result, element by element.
//!
//! A missing field and an empty array have no term; `null` is a term of its own; arrays give one term per element,
//! nested ones included; every object as a value is one and the same term, as in the original. Queries compare the same
//! terms that are kept.

use magpie_store::json::{Json, Number, Object, ScriptNumber};
use std::borrow::Cow;

/// The text that stands for every object. Source: the original's term for JSON values.
const OBJECT_TEXT: &str = "JSON_VALUE";

/// One indexed value.
#[derive(Debug, Clone)]
pub enum Term<'a> {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number; a BigInt as the number that it equals.
    Number(Cow<'a, Number>),
    /// NaN or an infinity: above or below all numbers, or in no order with them. Its text keeps its capital letters, so
    /// that it is no string that a query names.
    NonFinite(&'a ScriptNumber),
    /// A string.
    Text(&'a str),
    /// An object, whatever is in it.
    Object,
}

impl Term<'_> {
    /// The term as text: numbers in their shortest plain form, so that 1.0 is `1`.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed(""),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Number(number) => Cow::Owned(number_text(number)),
            Self::NonFinite(number) => Cow::Owned(number.to_string()),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Object => Cow::Borrowed(OBJECT_TEXT),
        }
    }

    /// The term as lower-cased text.
    #[must_use]
    pub fn folded(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => fold(text),
            Self::Object => Cow::Owned(OBJECT_TEXT.to_ascii_lowercase()),
            _ => self.text(),
        }
    }
}

/// Full lower case, character by character, so that a prefix of a text folds to a prefix of the folded text.
#[must_use]
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
    }
}

/// The same text for equal numbers, however they are written: `1` for 1.0, `0.1` for 1e-1.
#[must_use]
pub fn number_text(number: &Number) -> String {
    if let Some(whole) = number.as_i64() {
        return whole.to_string();
    }
    let decimal = number.decimal();
    let digits: String = decimal.digits.iter().map(|digit| char::from(b'0'.saturating_add(*digit))).collect();
    let sign = if decimal.negative { "-" } else { "" };
    let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    match decimal.exponent {
        exponent @ -6..=0 => {
            let zeros = "0".repeat(usize::try_from(-exponent).unwrap_or(0));
            format!("{sign}0.{zeros}{digits}")
        }
        exponent @ 1..=64 if exponent >= count => {
            let zeros = "0".repeat(usize::try_from(exponent - count).unwrap_or(0));
            format!("{sign}{digits}{zeros}")
        }
        exponent @ 1..=64 => {
            let (whole, fraction) = digits.split_at(usize::try_from(exponent).unwrap_or(0).min(digits.len()));
            format!("{sign}{whole}.{fraction}")
        }
        exponent => {
            let (first, rest) = digits.split_at(digits.len().min(1));
            let point = if rest.is_empty() { "" } else { "." };
            format!("{sign}{first}{point}{rest}E{:+}", exponent.saturating_sub(1))
        }
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The member of this name.
    Member(String),
    /// Each element of an array.
    Each,
    /// The element with this number, counted from 0.
    At(u32),
}

/// Whether `test` holds for any term that the path finds in `fields`.
pub fn any_at(fields: &Object, path: &[Step], test: &mut dyn FnMut(&Term<'_>) -> bool) -> bool {
    match path.split_first() {
        Some((Step::Member(name), rest)) => any_member(fields, name, rest, test),
        _ => false,
    }
}

/// Whether `test` holds for any term that the path `rest` finds behind the member `name`.
pub fn any_member(
    object: &Object,
    name: &str,
    rest: &[Step],
    test: &mut dyn FnMut(&Term<'_>) -> bool,
) -> bool {
    match object.get(name) {
        Some(value) => any(value, rest, test),
        // A quoted name may hold a whole path.
        None => match name
            .split_once('.')
            .and_then(|(first, behind)| Some((object.get(first)?.as_object()?, behind)))
        {
            Some((inner, behind)) => any_member(inner, behind, rest, test),
            None => false,
        },
    }
}

fn any(value: &Json, steps: &[Step], test: &mut dyn FnMut(&Term<'_>) -> bool) -> bool {
    let Some((step, rest)) = steps.split_first() else { return any_leaf(value, test) };
    match (step, value) {
        (Step::Member(name), Json::Object(object)) => any_member(object, name, rest, test),
        (Step::Member(name), _) if rest.is_empty() && is_length(name) && length(value).is_some() => {
            length(value).is_some_and(|length| test(&Term::Number(Cow::Owned(Number::from(length)))))
        }
        (Step::Member(_), Json::Array(items)) => items.iter().any(|item| any(item, steps, test)),
        (Step::Each, Json::Array(items)) => items.iter().any(|item| any(item, rest, test)),
        // What is no list has no elements, but a path goes on through an object all the same.
        (Step::Each, Json::Object(_)) if !rest.is_empty() => any(value, rest, test),
        (Step::At(index), Json::Array(items)) => at(items, *index).is_some_and(|item| any(item, rest, test)),
        _ => false,
    }
}

fn any_leaf(value: &Json, test: &mut dyn FnMut(&Term<'_>) -> bool) -> bool {
    match value {
        Json::Null => test(&Term::Null),
        Json::Bool(value) => test(&Term::Bool(*value)),
        Json::Number(number) => test(&Term::Number(Cow::Borrowed(number))),
        Json::ScriptNumber(number) => match number {
            ScriptNumber::BigInt(value) => {
                let number = Number::from_valid_text(&value.to_string());
                test(&Term::Number(Cow::Owned(number)))
            }
            other => test(&Term::NonFinite(other)),
        },
        Json::String(text) => test(&Term::Text(text)),
        Json::Array(items) => items.iter().any(|item| any_leaf(item, test)),
        Json::Object(_) => test(&Term::Object),
    }
}

/// The element with this number, counted from 0.
#[must_use]
pub fn at(items: &[Json], index: u32) -> Option<&Json> {
    items.get(usize::try_from(index).ok()?)
}

/// Whether the name stands for the length of an array or string.
#[must_use]
pub fn is_length(name: &str) -> bool {
    matches!(name, "length" | "Length" | "Count")
}

/// The length of an array, or of a string in UTF-16 units.
#[must_use]
pub fn length(value: &Json) -> Option<u64> {
    match value {
        Json::Array(items) => u64::try_from(items.len()).ok(),
        Json::String(text) => u64::try_from(text.encode_utf16().count()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{fold, number_text};
    use magpie_store::json::Number;

    #[test]
    fn equal_numbers_have_one_text() {
        for (text, expected) in [
            ("1", "1"),
            ("1.0", "1"),
            ("1e0", "1"),
            ("10e-1", "1"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("0.1", "0.1"),
            ("1e-1", "0.1"),
            ("-1.5", "-1.5"),
            ("0.05", "0.05"),
            ("9223372036854775808", "9223372036854775808"),
            ("1e20", "100000000000000000000"),
            ("12345678901234567890.5", "12345678901234567890.5"),
            ("1e-9", "1E-9"),
            ("1.25e99", "1.25E+99"),
        ] {
            assert_eq!(number_text(&Number::from_valid_text(text)), expected, "{text}");
        }
    }

    #[test]
    fn folding_keeps_prefixes() {
        assert_eq!(fold("ÉA"), "éa");
        assert_eq!(fold("plain"), "plain");
        assert!(fold("ΟΔΟΣΑ").starts_with(&*fold("ΟΔΟΣ")));
        assert_ne!(fold("ß"), fold("SS"));
        assert_ne!(fold("İ"), "i");
    }
}
