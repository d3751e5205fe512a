//! What an index written in Rust needs: [`NativeSource`] makes one of a map and a reduce function; the rest reads
//! fields of documents and of reduce values, with errors that name the field.
//!
//! Strings are ordered as scripts order them ([`ScriptOrder`]), so that both twins of a sample sort alike.

use magpie_indexes::IndexDefinition;
use magpie_indexes::function::{
    Emitted, FunctionError, FunctionErrorKind, FunctionShape, FunctionSource, IndexFunction,
    LoadedCollections, Loads, MappedCollections, SharedSource,
};
use magpie_store::json::{BigInt, Json, Object};
use magpie_store::{Collection, Document};
use std::cmp::Ordering;
use std::sync::Arc;

/// Maps one document to its outputs.
pub type Map = fn(&Document, &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError>;
/// Folds the values of one key.
pub type Reduce = fn(key: &[Json], values: &[Json]) -> Result<Json, FunctionError>;
/// Turns the folded value of a key into its result.
pub type Finalize = fn(reduced: &Json) -> Result<Json, FunctionError>;

/// A map-reduce index as plain functions and names.
pub struct NativeSource {
    /// Names the functions' behaviour: change it with them, and stored results are built anew.
    pub revision: &'static str,
    /// The mapped collections.
    pub collections: &'static [&'static str],
    /// The collections whose documents the map loads.
    pub loads: &'static [&'static str],
    /// The key fields, in the order of [`Emitted::key`].
    pub group_by: &'static [&'static str],
    /// All fields of map and reduce outputs, in their order.
    pub fields: &'static [&'static str],
    /// The map.
    pub map: Map,
    /// The reduce.
    pub reduce: Reduce,
    /// The finalize and the fields that it gives, if there is one.
    pub finalize: Option<(Finalize, &'static [&'static str])>,
    /// `index.json`, or `{}`: what the definition says besides its functions.
    pub options: &'static str,
}

impl NativeSource {
    /// The index, ready to be registered.
    #[must_use]
    pub fn shared(self) -> SharedSource {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mut shape = FunctionShape::new(
            MappedCollections::Named(collections(self.collections)),
            Some(owned(self.group_by)),
            owned(self.fields),
        );
        if !self.loads.is_empty() {
            shape.loads = LoadedCollections::Named(collections(self.loads));
        }
        if let Some((_, fields)) = self.finalize {
            shape.finalizes = true;
            shape.finalized_fields = owned(fields);
        }
        Arc::new(Registered { shape, source: self })
    }
}

fn collections(names: &[&str]) -> Vec<Collection> {
    names.iter().filter_map(|name| Collection::new(name).ok()).collect()
}

struct Registered {
    shape: FunctionShape,
    source: NativeSource,
}

impl FunctionSource for Registered {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }

    fn canonical_text(&self) -> &str {
        self.source.revision
    }

    fn options(&self) -> IndexDefinition {
        // The text is part of the program, and a test reads it.
        serde_json::from_str(self.source.options).unwrap_or_default()
    }

    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        let NativeSource { map, reduce, finalize, .. } = self.source;
        Ok(Box::new(NativeFunction { map, reduce, finalize: finalize.map(|(finalize, _)| finalize) }))
    }
}

struct NativeFunction {
    map: Map,
    reduce: Reduce,
    finalize: Option<Finalize>,
}

impl IndexFunction for NativeFunction {
    fn map(&mut self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        (self.map)(document, loads)
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        (self.reduce)(key, values)
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        self.finalize.map_or_else(|| Ok(reduced.clone()), |finalize| finalize(reduced)).map(Some)
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

/// The BigInt in field `name` of a value that this index made itself.
///
/// # Errors
/// When it is missing or something else.
pub fn big_int<'a>(value: &'a Json, name: &str) -> Result<&'a BigInt, FunctionError> {
    let number = value.get(name).and_then(Json::as_big_int);
    number.ok_or_else(|| refuse(format!("{name} must be a BigInt")))
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

/// As [`utc`], in milliseconds since 1970; what is finer is cut off.
///
/// # Errors
/// As [`utc`].
pub fn utc_milliseconds(object: &Object) -> Result<i64, FunctionError> {
    let (at, seconds) = utc(object)?;
    let fraction = at.get(20..).unwrap_or("").trim_end_matches('Z');
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    Ok(digits.fold(0, |number, digit| number * 10 + i64::from(digit - b'0')) + seconds * 1000)
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
    use super::{ScriptOrder, day_text, object, utc_milliseconds, utc_seconds};
    use magpie_store::json::Json;

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
    fn fractions_count_to_the_millisecond() {
        for (at, expected) in [
            ("1970-01-01T00:00:01Z", 1000),
            ("1970-01-01T00:00:01.5Z", 1500),
            ("1970-01-01T00:00:01.0019Z", 1001),
            ("1969-12-31T23:59:59.999Z", -1),
        ] {
            let Json::Object(event) = object([("at", at.into())]) else { panic!("an object") };
            assert_eq!(utc_milliseconds(&event), Ok(expected), "{at}");
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
