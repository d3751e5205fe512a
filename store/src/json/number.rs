//! JSON numbers, digit for digit. Comparison is by exact decimal value, never through `f64`.

use num_bigint::BigInt;
use std::cmp::Ordering;
use std::fmt;

/// A JSON number as it was written: `1.0`, `1e3` and `12345678901234567890` keep their text.
///
/// `==` compares the text; [`Number::cmp_value`] compares the value (`1` and `1.0` are equal there).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number(Repr);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Repr {
    /// An integer in canonical form (its `Display` is its text), the common case without an allocation.
    Int(i64),
    /// Everything else, as a valid JSON number token.
    Text(Box<str>),
}

/// The decimal value of a number: `0.d1 d2 .. dn x 10^exponent` with d1 and dn not zero; no digits for zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    /// Whether it is below zero; zero itself is never negative.
    pub negative: bool,
    /// The exponent of the form above; 0 for zero.
    pub exponent: i64,
    /// The significant digits, each 0..=9.
    pub digits: Vec<u8>,
}

impl Number {
    /// Takes a token that the JSON grammar accepts as a number. The caller has checked the grammar.
    #[must_use]
    pub fn from_valid_text(text: &str) -> Self {
        // "-0" and "+" forms are not what an i64 would print, so they keep their text.
        match text.parse::<i64>() {
            Ok(value) if text != "-0" && !text.starts_with('+') => Self(Repr::Int(value)),
            _ => Self(Repr::Text(text.into())),
        }
    }

    /// The shortest text that reads back as `value`, as JavaScript prints it: integers below 10^21 without fraction
    /// or exponent, `-0` as `0`. `None` for NaN and the infinities, which JSON does not have.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        if value == 0.0 {
            return Some(Self(Repr::Int(0)));
        }
        let mut text =
            if value.abs() >= 1e21 || value.abs() < 1e-6 { format!("{value:e}") } else { format!("{value}") };
        // JavaScript writes a plus sign in a positive exponent; JSON allows it.
        if let Some(at) = text.find('e')
            && text.as_bytes().get(at + 1) != Some(&b'-')
        {
            text.insert(at + 1, '+');
        }
        Some(Self::from_valid_text(&text))
    }

    /// The nearest double; huge exponents give an infinity.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        match &self.0 {
            #[expect(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
            Repr::Int(value) => *value as f64,
            Repr::Text(text) => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// Whether the nearest double still tells all its digits: printed to as many significant digits as the text has, it
    /// gives them back. So `0.1` fits although no double is a tenth; `9007199254740993` and `1e400` do not.
    #[must_use]
    pub fn fits_f64(&self) -> bool {
        match &self.0 {
            Repr::Int(value) if value.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS => return true,
            Repr::Text(text) if text.len() <= 15 && !text.contains(['e', 'E']) => return true,
            _ => {}
        }
        let decimal = self.decimal();
        let Some(places) = decimal.digits.len().checked_sub(1) else { return true };
        let double = self.as_f64();
        if places < 15 && double.is_normal() {
            return true;
        }
        double.is_finite() && Decimal::from_text(&format!("{double:.places$e}")) == decimal
    }

    /// The whole number that its text is, when it is written as one: digits only, perhaps behind a minus sign. `None`
    /// for `1.0`, `1e3` and `-0`, which are ways to write a double.
    #[must_use]
    pub fn as_plain_integer(&self) -> Option<BigInt> {
        match &self.0 {
            Repr::Int(value) => Some(BigInt::from(*value)),
            Repr::Text(text) if &**text != "-0" => text.parse().ok(),
            Repr::Text(_) => None,
        }
    }

    /// The value as `i64` when it is an integer that fits, however it is written (`2.0` and `2e0` are 2).
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match &self.0 {
            Repr::Int(value) => Some(*value),
            Repr::Text(_) => {
                let decimal = self.decimal();
                let places = usize::try_from(decimal.exponent).ok()?;
                if decimal.digits.is_empty() {
                    return Some(0);
                }
                if places > 19 || decimal.digits.len() > places {
                    return None;
                }
                let mut magnitude: i128 = 0;
                for place in 0..places {
                    let digit = decimal.digits.get(place).copied().unwrap_or(0);
                    magnitude = magnitude * 10 + i128::from(digit);
                }
                i64::try_from(if decimal.negative { -magnitude } else { magnitude }).ok()
            }
        }
    }

    /// Appends its text.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Repr::Int(value) => {
                if *value < 0 {
                    out.push(b'-');
                }
                push_digits(value.unsigned_abs(), b'0', out);
            }
            Repr::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
    }

    /// The exact decimal value.
    #[must_use]
    pub fn decimal(&self) -> Decimal {
        match &self.0 {
            Repr::Int(value) => Decimal::from_integer(*value),
            Repr::Text(text) => Decimal::from_text(text),
        }
    }

    /// Compares by exact value: `9007199254740993 > 9007199254740992`, `1 == 1.0`.
    #[must_use]
    pub fn cmp_value(&self, other: &Self) -> Ordering {
        if let (Repr::Int(left), Repr::Int(right)) = (&self.0, &other.0) {
            return left.cmp(right);
        }
        self.decimal().cmp(&other.decimal())
    }
}

impl Decimal {
    const ZERO: Self = Self { negative: false, exponent: 0, digits: Vec::new() };

    fn from_integer(value: i64) -> Self {
        if value == 0 {
            return Self::ZERO;
        }
        let mut digits = Vec::with_capacity(20);
        push_digits(value.unsigned_abs(), 0, &mut digits);
        let exponent = i64::try_from(digits.len()).unwrap_or(0);
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Self { negative: value < 0, exponent, digits }
    }

    /// From a valid number token.
    pub(crate) fn from_text(text: &str) -> Self {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            // A long exponent is refused at intake, so this is never reached by stored data.
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().unwrap_or(i64::from(i32::MAX))),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> =
            whole.bytes().chain(fraction.bytes()).map(|b| b.wrapping_sub(b'0')).collect();
        let leading = digits.iter().take_while(|d| **d == 0).count();
        digits.drain(..leading);
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            return Self::ZERO;
        }
        let point = i64::try_from(whole.len()).unwrap_or(i64::MAX) - i64::try_from(leading).unwrap_or(0);
        Self { negative, exponent: exponent.saturating_add(point), digits }
    }
}

/// Appends the decimal digits of `value`, each plus `zero` (`b'0'` for text, 0 for bare digits).
fn push_digits(value: u64, zero: u8, out: &mut Vec<u8>) {
    // 20 places hold u64::MAX; they are filled from the right.
    let mut places = [zero; 20];
    let mut rest = value;
    let mut used = 0;
    for place in places.iter_mut().rev() {
        *place = zero + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(places.get(places.len() - used..).unwrap_or(&[]));
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |d: &Self| {
            if d.digits.is_empty() {
                0
            } else if d.negative {
                -1
            } else {
                1
            }
        };
        match sign(self).cmp(&sign(other)) {
            Ordering::Equal => {
                let magnitude =
                    self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits));
                if self.negative { magnitude.reverse() } else { magnitude }
            }
            unequal => unequal,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Int(value) => write!(f, "{value}"),
            Repr::Text(text) => f.write_str(text),
        }
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(Repr::Int(value))
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        i64::try_from(value)
            .map_or_else(|_| Self(Repr::Text(value.to_string().into())), |v| Self(Repr::Int(v)))
    }
}

impl From<i128> for Number {
    fn from(value: i128) -> Self {
        i64::try_from(value)
            .map_or_else(|_| Self(Repr::Text(value.to_string().into())), |v| Self(Repr::Int(v)))
    }
}
