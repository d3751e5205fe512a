//! What an index written in Rust needs: [`NativeSource`] makes one of a map and a reduce function; the rest reads
//! fields of documents and of reduce values, with errors that name the field.
//!
//! Strings are ordered as scripts order them ([`ScriptOrder`]), so that both twins of a sample sort alike.

use magpie_indexes::function::{
    Emitted, FunctionError, FunctionErrorKind, FunctionShape, FunctionSource, IndexFunction, Loads,
    MappedCollections, SharedSource,
};
use magpie_store::json::{Json, Object};
use magpie_store::{Collection, Document};
use std::cmp::Ordering;
use std::sync::Arc;

/// Maps one document to its outputs.
pub type Map = fn(&Document) -> Result<Vec<Emitted>, FunctionError>;
/// Folds the values of one key.
pub type Reduce = fn(key: &[Json], values: &[Json]) -> Result<Json, FunctionError>;

/// A map-reduce index made of two plain functions.
pub struct NativeSource {
    shape: FunctionShape,
    revision: &'static str,
    map: Map,
    reduce: Reduce,
}

impl NativeSource {
    /// `revision` names the functions' behaviour: change it with them, and stored results are built anew.
    /// `collections` are the mapped ones, `group_by` the key fields, `fields` all output fields in their order.
    #[must_use]
    pub fn shared(
        revision: &'static str,
        collections: &[&str],
        group_by: &str,
        fields: &[&str],
        (map, reduce): (Map, Reduce),
    ) -> SharedSource {
        let collections = collections.iter().filter_map(|name| Collection::new(name).ok()).collect();
        let shape = FunctionShape::new(
            MappedCollections::Named(collections),
            Some(vec![group_by.to_owned()]),
            fields.iter().map(|&field| field.to_owned()).collect(),
        );
        Arc::new(Self { shape, revision, map, reduce })
    }
}

impl FunctionSource for NativeSource {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }

    fn canonical_text(&self) -> &str {
        self.revision
    }

    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(NativeFunction { map: self.map, reduce: self.reduce }))
    }
}

struct NativeFunction {
    map: Map,
    reduce: Reduce,
}

impl IndexFunction for NativeFunction {
    fn map(&mut self, document: &Document, _loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        (self.map)(document)
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        (self.reduce)(key, values)
    }
}

/// The error of a document or value that is not as it must be.
#[must_use]
pub fn refuse(message: String) -> FunctionError {
    FunctionError { kind: FunctionErrorKind::Run, message, position: None }
}

/// The string field `name`.
///
/// # Errors
/// When it is missing or not a string.
pub fn text<'a>(object: &'a Object, name: &str) -> Result<&'a str, FunctionError> {
    object.get(name).and_then(Json::as_str).ok_or_else(|| refuse(format!("{name} must be a string")))
}

/// Largest whole number that a script holds exactly.
pub const WHOLE_MAX: i64 = 9_007_199_254_740_991;

/// The whole number in field `name`, at most [`WHOLE_MAX`] in size.
///
/// # Errors
/// When it is missing or something else.
pub fn whole(object: &Object, name: &str) -> Result<i64, FunctionError> {
    let value = object.get(name).and_then(Json::as_i64);
    value
        .filter(|value| value.abs() <= WHOLE_MAX)
        .ok_or_else(|| refuse(format!("{name} must be a whole number")))
}

/// As [`whole`], but `None` for `null` or a missing field.
///
/// # Errors
/// When it is something else.
pub fn whole_or_null(object: &Object, name: &str) -> Result<Option<i64>, FunctionError> {
    match object.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(_) => whole(object, name).map(Some),
    }
}

/// The sum of `a` and `b`.
///
/// # Errors
/// When it is larger than [`WHOLE_MAX`] in size: a script would lose its last digit.
pub fn sum(a: i64, b: i64) -> Result<i64, FunctionError> {
    let sum = a.checked_add(b).filter(|sum| sum.abs() <= WHOLE_MAX);
    sum.ok_or_else(|| refuse(format!("{a} + {b} is too large to be exact")))
}

/// The product of `a` and `b`.
///
/// # Errors
/// When it is larger than [`WHOLE_MAX`] in size.
pub fn product(a: i64, b: i64) -> Result<i64, FunctionError> {
    let product = a.checked_mul(b).filter(|product| product.abs() <= WHOLE_MAX);
    product.ok_or_else(|| refuse(format!("{a} * {b} is too large to be exact")))
}

/// The objects in the array field `name` of a value that this index made itself.
///
/// # Errors
/// When it is no array or holds something else.
pub fn objects<'a>(value: &'a Json, name: &str) -> Result<Vec<&'a Object>, FunctionError> {
    let items = value.get(name).and_then(Json::as_array);
    let objects = items.and_then(|items| items.iter().map(Json::as_object).collect());
    objects.ok_or_else(|| refuse(format!("{name} must be an array of objects")))
}

/// An object of `fields` in this order.
#[must_use]
pub fn object<const N: usize>(fields: [(&str, Json); N]) -> Json {
    Json::Object(fields.into_iter().collect())
}

/// The UTC time in field `at`, such as `2026-03-01T08:00:00Z` or with a fraction: its text and its whole seconds
/// since 1970.
///
/// # Errors
/// When it is missing, written otherwise, or no day or time that exists.
pub fn utc(object: &Object) -> Result<(&str, i64), FunctionError> {
    let at = text(object, "at")?;
    let seconds = utc_seconds(at).ok_or_else(|| refuse(format!("at must be a UTC time, but is '{at}'")))?;
    Ok((at, seconds))
}

fn utc_seconds(at: &str) -> Option<i64> {
    let (written, rest) = at.split_at_checked(19)?;
    let fraction = rest.strip_suffix('Z')?;
    if !fraction.is_empty() {
        let digits = fraction.strip_prefix('.')?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    let number = |from: usize, to: usize| {
        let digits = written.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok()).flatten()
    };
    let day = day_number(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = day * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    // Printing it again catches the 30th of February, hour 24 and wrong separators at once.
    let printed = magpie_store::Timestamp(seconds.checked_mul(10_000_000)?).to_string();
    printed.starts_with(written).then_some(seconds)
}

/// The UTC day of `seconds` since 1970, as `2026-03-01`.
#[must_use]
pub fn day_text(seconds: i64) -> String {
    let mut printed = magpie_store::Timestamp(seconds.saturating_mul(10_000_000)).to_string();
    printed.truncate(10);
    printed
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (`days_from_civil`).
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_shifted = (month + 9) % 12;
    let day_of_year = (153 * month_shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// A string that compares as in a script: by UTF-16 code units. It differs from Rust's order only where characters
/// beyond U+FFFF meet U+E000 to U+FFFF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptOrder<'a>(pub &'a str);

impl Ord for ScriptOrder<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.encode_utf16().cmp(other.0.encode_utf16())
    }
}

impl PartialOrd for ScriptOrder<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::{ScriptOrder, day_text, utc_seconds};

    #[test]
    fn times_that_exist_are_read_and_others_refused() {
        assert_eq!(utc_seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(utc_seconds("1969-12-31T23:59:59.999Z"), Some(-1));
        assert_eq!(utc_seconds("2024-02-29T12:00:01Z"), Some(1_709_208_001));
        assert_eq!(utc_seconds("9999-12-31T23:59:59Z"), Some(253_402_300_799));
        for wrong in [
            "",
            "2023-02-29T00:00:00Z",
            "2024-02-28T24:00:00Z",
            "2024-02-28T23:59:60Z",
            "2024-02-28T23:59:59",
            "2024-02-28T23:59:59.Z",
            "2024-02-28T23:59:59+00:00",
            "2024-02-28 23:59:59Z",
            "2024-2-28T23:59:59Z",
            "+024-02-28T23:59:59Z",
            "2024-02-28T23:59:5éZ",
        ] {
            assert_eq!(utc_seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn days_are_those_of_utc() {
        assert_eq!(day_text(-1), "1969-12-31");
        assert_eq!(day_text(86_400), "1970-01-02");
    }

    #[test]
    fn strings_sort_as_in_a_script() {
        assert!(ScriptOrder("\u{1F600}") < ScriptOrder("\u{FF46}"), "surrogates come before U+FF46");
        assert!("\u{1F600}" > "\u{FF46}");
        assert!(ScriptOrder("a") < ScriptOrder("ab"));
    }
}
