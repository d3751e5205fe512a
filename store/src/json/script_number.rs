//! The numbers that index scripts have and JSON has not: BigInt, NaN and the infinities.
//!
//! They are stored under a tag of their own (`123n`, `NaN`, `Infinity`, `-Infinity`), so a script gets back what it
//! gave; they sort and compare as numbers; and wherever they leave as JSON they are strings: a BigInt its decimal
//! digits, the others their names. One rule, so that the type of a field never depends on the size of its value.

use super::number::Decimal;
use num_bigint::BigInt;
use std::cmp::Ordering;
use std::fmt;

/// A number that JSON does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptNumber {
    /// A whole number of any size.
    BigInt(Box<BigInt>),
    /// Not a number.
    NaN,
    /// Beyond every number.
    Infinity,
    /// Below every number.
    NegativeInfinity,
}

impl ScriptNumber {
    /// The one of these that a double is, if it is no JSON number.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        if value.is_finite() {
            None
        } else if value.is_nan() {
            Some(Self::NaN)
        } else if value > 0.0 {
            Some(Self::Infinity)
        } else {
            Some(Self::NegativeInfinity)
        }
    }

    /// The BigInt, if it is one.
    #[must_use]
    pub fn as_big_int(&self) -> Option<&BigInt> {
        match self {
            Self::BigInt(value) => Some(value),
            _ => None,
        }
    }

    /// The exact decimal value of a BigInt; `None` for the others.
    #[must_use]
    pub fn decimal(&self) -> Option<Decimal> {
        self.as_big_int().map(|value| Decimal::from_text(&value.to_string()))
    }

    /// Its place among the kinds of numbers: the negative infinity, BigInts (like all finite numbers), the positive
    /// infinity, NaN.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::NegativeInfinity => 0,
            Self::BigInt(_) => 1,
            Self::Infinity => 2,
            Self::NaN => 3,
        }
    }

    /// Appends the text under which it is stored.
    pub(crate) fn write_stored(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_string().as_bytes());
        if let Self::BigInt(_) = self {
            out.push(b'n');
        }
    }
}

/// The text that it leaves as: digits, `NaN`, `Infinity`, `-Infinity`.
impl fmt::Display for ScriptNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BigInt(value) => value.fmt(f),
            Self::NaN => f.write_str("NaN"),
            Self::Infinity => f.write_str("Infinity"),
            Self::NegativeInfinity => f.write_str("-Infinity"),
        }
    }
}

impl From<BigInt> for ScriptNumber {
    fn from(value: BigInt) -> Self {
        Self::BigInt(Box::new(value))
    }
}

impl From<i128> for ScriptNumber {
    fn from(value: i128) -> Self {
        BigInt::from(value).into()
    }
}

impl Ord for ScriptNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::BigInt(left), Self::BigInt(right)) => left.cmp(right),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for ScriptNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
/// Whether stored text has numbers that JSON has not, so that it cannot leave as it is.
#[must_use]
pub fn has_script_numbers(text: &[u8]) -> bool {
    let (mut rest, mut last) = (text, 0_u8);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = behind_string(rest),
            b'N' | b'I' => return true,
            b'n' if last.is_ascii_digit() => return true,
            _ => {}
        }
        last = *byte;
    }
    false
}

/// What follows a string of which the opening quote is read.
fn behind_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let ends = rest.get(at) == Some(&b'"');
        // A backslash takes the byte behind it along.
        rest = rest.get(at + if ends { 1 } else { 2 }..).unwrap_or_default();
        if ends {
            return rest;
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::has_script_numbers;

    #[test]
    fn numbers_of_scripts_are_seen_outside_of_strings_only() {
        for text in [r#"{"a":12n}"#, "[NaN]", "-Infinity", r#"{"a\\":1,"b":0n}"#, r#"["\"",3n]"#] {
            assert!(has_script_numbers(text.as_bytes()), "{text}");
        }
        for text in [r#"{"1n":null,"N":"I\"5n"}"#, "[1,null,1e5]", r#"["\\\"NaN"]"#, r#"["1n"#, "\"\\", ""] {
            assert!(!has_script_numbers(text.as_bytes()), "{text}");
        }
    }
}
