//! How alike two values are: equal, equal but for the rounding of doubles, or different.
//!
//! Numbers are compared by value and objects without regard to the order of their fields, for neither changes what a
//! result says. Whole numbers that a double holds exactly must be equal: only those beyond, and fractions, can be rounded.

use crate::verify::nearly_same;
use magpie_store::json::{Json, Number};
use std::cmp::Ordering;

/// See above; ordered from alike to different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    Equal,
    Inexact,
    Different,
}

/// Above this a double does not hold every whole number.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// How alike two outputs of `inputs` are. A difference that is small against the numbers of the same field in the inputs
/// is rounding, too: a sum of large numbers can come out near 0.
pub(super) fn likeness(left: &Json, right: &Json, inputs: &[Json]) -> Likeness {
    match (left, right) {
        (Json::Object(left), Json::Object(right)) if left.len() == right.len() => {
            let mut worst = Likeness::Equal;
            for (name, value) in left.iter() {
                let Some(other) = right.get(name) else { return Likeness::Different };
                let scale =
                    inputs.iter().filter_map(|input| input.get(name)).map(largest).fold(0.0, f64::max);
                worst = worst.max(compare(value, other, scale));
            }
            worst
        }
        _ => compare(left, right, 0.0),
    }
}

/// The names of the fields in which two objects differ; empty when one is no object.
pub(super) fn differing(left: &Json, right: &Json) -> Vec<String> {
    let (Some(left), Some(right)) = (left.as_object(), right.as_object()) else { return Vec::new() };
    let mut names: Vec<String> = left
        .iter()
        .filter(|(name, value)| {
            right.get(name).is_none_or(|other| compare(value, other, 0.0) != Likeness::Equal)
        })
        .map(|(name, _)| name.to_owned())
        .collect();
    names.extend(right.keys().filter(|name| left.get(name).is_none()).map(str::to_owned));
    names
}

/// Whether two values mean the same.
pub(super) fn same(left: &Json, right: &Json) -> bool {
    compare(left, right, 0.0) == Likeness::Equal
}

fn compare(left: &Json, right: &Json, scale: f64) -> Likeness {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => numbers(left, right, scale),
        (Json::Array(left), Json::Array(right)) if left.len() == right.len() => {
            let pairs = left.iter().zip(right);
            pairs.map(|(left, right)| compare(left, right, scale)).max().unwrap_or(Likeness::Equal)
        }
        (Json::Object(left), Json::Object(right)) if left.len() == right.len() => {
            let one = |(name, value)| {
                right.get(name).map_or(Likeness::Different, |other| compare(value, other, scale))
            };
            left.iter().map(one).max().unwrap_or(Likeness::Equal)
        }
        _ if left == right => Likeness::Equal,
        _ => Likeness::Different,
    }
}

fn numbers(left: &Number, right: &Number, scale: f64) -> Likeness {
    if left.cmp_value(right) == Ordering::Equal {
        return Likeness::Equal;
    }
    let (left, right) = (left.as_f64(), right.as_f64());
    let is_whole = |number: f64| number.fract() == 0.0 && number.abs() < WHOLE_MAX;
    if is_whole(left) && is_whole(right) {
        return Likeness::Different;
    }
    // Beside the scale, both are as good as equal when their difference is as good as none.
    if nearly_same(left, right) || nearly_same(scale + (left - right).abs(), scale) {
        return Likeness::Inexact;
    }
    Likeness::Different
}

/// The largest size of a number in a value.
fn largest(value: &Json) -> f64 {
    match value {
        Json::Number(number) => number.as_f64().abs(),
        Json::Array(items) => items.iter().map(largest).fold(0.0, f64::max),
        Json::Object(fields) => fields.iter().map(|(_, value)| largest(value)).fold(0.0, f64::max),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use magpie_store::json::parse;

    #[test]
    fn rounding_is_inexact_and_whole_numbers_are_not_rounded() {
        let like = |left: &str, right: &str, inputs: &str| {
            let [left, right, inputs] = [left, right, inputs].map(|text| parse(text.as_bytes()).unwrap());
            likeness(&left, &right, inputs.as_array().unwrap())
        };
        assert_eq!(like(r#"{"a":1,"b":2.0}"#, r#"{"b":2,"a":1.0}"#, "[]"), Likeness::Equal);
        assert_eq!(like(r#"{"a":0.30000000000000004}"#, r#"{"a":0.3}"#, "[]"), Likeness::Inexact);
        assert_eq!(like(r#"{"a":5.6e-17}"#, r#"{"a":0}"#, r#"[{"a":0.1},{"a":-0.3}]"#), Likeness::Inexact);
        assert_eq!(like(r#"{"a":5.6e-17}"#, r#"{"a":0}"#, "[]"), Likeness::Different);
        assert_eq!(like(r#"{"n":2}"#, r#"{"n":3}"#, r#"[{"n":1700000000000000}]"#), Likeness::Different);
        assert_eq!(like(r#"{"a":10000000000000002}"#, r#"{"a":10000000000000000}"#, "[]"), Likeness::Inexact);
        assert_eq!(like(r#"{"a":"1"}"#, r#"{"a":1}"#, "[]"), Likeness::Different);
        assert_eq!(like(r#"{"a":1}"#, r#"{"b":1}"#, "[]"), Likeness::Different);
    }
}
