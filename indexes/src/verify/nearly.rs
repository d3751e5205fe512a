//! Values that differ in the last bits of floating-point numbers only.

use magpie_store::json::Json;

/// By how much two numbers may differ, in proportion to the larger one.
const RELATIVE: f64 = 1e-9;

/// Whether two values are equal but for the rounding of numbers: a double sum depends on the order of its additions.
#[must_use]
pub fn nearly_equal(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => nearly_same(left.as_f64(), right.as_f64()),
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| nearly_equal(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right.iter())
                    .all(|((name, left), (other, right))| name == other && nearly_equal(left, right))
        }
        _ => left == right,
    }
}

/// Whether two numbers are equal but for rounding.
pub(crate) fn nearly_same(left: f64, right: f64) -> bool {
    left == right || (left - right).abs() <= RELATIVE * left.abs().max(right.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use magpie_store::json::parse;

    #[test]
    fn rounding_is_told_apart_from_other_differences() {
        let equal = |left: &str, right: &str| {
            nearly_equal(&parse(left.as_bytes()).unwrap(), &parse(right.as_bytes()).unwrap())
        };
        assert!(equal(r#"{"a":[0.30000000000000004,1]}"#, r#"{"a":[0.3,1.0]}"#));
        assert!(!equal(r#"{"a":0.3}"#, r#"{"a":0.30001}"#));
        assert!(!equal(r#"{"a":1}"#, r#"{"b":1}"#));
        assert!(!equal("[1]", "[1,1]"));
        assert!(!equal(r#""1""#, "1"));
        assert!(equal("0", "-0.0") && !equal("0", "1e-300"));
    }
}
