//! BigInts: in 128 bits as long as they fit, else as digits in the arena.

use super::machine::Machine;
use super::value::{Bound, ErrorKind, Outcome, Stop, Value};
use magpie_store::json::BigInt;
use magpie_store::limits::BIG_INT_DIGITS_MAX;
use std::cmp::Ordering;

/// The bits that surely hold every number with [`BIG_INT_DIGITS_MAX`] digits: 10 has less than 3.3220 bits.
const BITS_MAX: u64 = BIG_INT_DIGITS_MAX as u64 * 33_220 / 10_000;

/// A BigInt. What fits into 128 bits is always `Small`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Big<'a> {
    /// One that fits.
    Small(i128),
    /// One that does not.
    Large {
        /// Whether it is below zero.
        negative: bool,
        /// Its digits in base 2^32, the lowest first.
        digits: &'a [u32],
    },
}

/// An operator on two BigInts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BigOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}

impl Big<'_> {
    /// Whether it is 0n.
    pub const fn is_zero(self) -> bool {
        matches!(self, Self::Small(0))
    }

    /// The number itself.
    pub fn to_big_int(self) -> BigInt {
        match self {
            Self::Small(value) => BigInt::from(value),
            Self::Large { negative, digits } => {
                let bytes: Vec<u8> = digits.iter().flat_map(|digit| digit.to_le_bytes()).collect();
                let magnitude = BigInt::from_signed_bytes_le(&[bytes.as_slice(), &[0]].concat());
                if negative { -magnitude } else { magnitude }
            }
        }
    }

    /// Compares two of them.
    pub fn compare(self, other: Big<'_>) -> Ordering {
        match (self, other) {
            (Self::Small(one), Big::Small(other)) => one.cmp(&other),
            (one, other) => one.to_big_int().cmp(&other.to_big_int()),
        }
    }

    /// Compares with a number; `None` with NaN.
    pub fn compare_number(self, number: f64) -> Option<Ordering> {
        if number.is_nan() {
            return None;
        }
        if number.is_infinite() {
            return Some(if number > 0.0 { Ordering::Less } else { Ordering::Greater });
        }
        // A finite double prints exactly without a fraction, so its whole part can be read back as a BigInt.
        let whole: BigInt = format!("{:.0}", number.trunc()).parse().ok()?;
        let order = self.to_big_int().cmp(&whole);
        let fraction = number.fract();
        Some(order.then(if fraction > 0.0 {
            Ordering::Less
        } else if fraction < 0.0 {
            Ordering::Greater
        } else {
            Ordering::Equal
        }))
    }
}

impl<'a> Machine<'a> {
    /// A BigInt value.
    pub fn big(&mut self, value: &BigInt) -> Outcome<'a> {
        if let Ok(small) = i128::try_from(value) {
            return self.small_big(small);
        }
        if value.bits() > BITS_MAX {
            return Err(Stop::Bound(Bound::Digits));
        }
        let (sign, digits) = value.to_u32_digits();
        self.charge(digits.len() as u64 / 4)?;
        let digits = self.copied(&digits)?;
        let big = Big::Large { negative: sign == num_bigint::Sign::Minus, digits };
        Ok(Value::Big(self.alloc(big)?))
    }

    /// A BigInt value that fits.
    pub fn small_big(&mut self, value: i128) -> Outcome<'a> {
        Ok(Value::Big(self.alloc(Big::Small(value))?))
    }

    /// Applies an operator.
    pub fn big_operation(&mut self, operator: BigOperator, one: Big<'a>, other: Big<'a>) -> Outcome<'a> {
        if other.is_zero() && matches!(operator, BigOperator::Divide | BigOperator::Remainder) {
            return Err(Stop::Failed(ErrorKind::Range));
        }
        if let (Big::Small(x), Big::Small(y)) = (one, other) {
            let small = match operator {
                BigOperator::Add => x.checked_add(y),
                BigOperator::Subtract => x.checked_sub(y),
                BigOperator::Multiply => x.checked_mul(y),
                BigOperator::Divide => x.checked_div(y),
                BigOperator::Remainder => x.checked_rem(y),
            };
            if let Some(small) = small {
                return self.small_big(small);
            }
        }
        let (x, y) = (one.to_big_int(), other.to_big_int());
        // Long multiplication and division cost the product of the lengths.
        self.charge((x.bits() / 64 + 1) * (y.bits() / 64 + 1) / 64)?;
        let result = match operator {
            BigOperator::Add => x + y,
            BigOperator::Subtract => x - y,
            BigOperator::Multiply => x * y,
            BigOperator::Divide => x / y,
            BigOperator::Remainder => x % y,
        };
        self.big(&result)
    }

    /// `-x`
    pub fn big_negated(&mut self, value: Big<'a>) -> Outcome<'a> {
        match value {
            Big::Small(small) if small != i128::MIN => self.small_big(-small),
            _ => self.big(&-value.to_big_int()),
        }
    }

    /// The decimal digits.
    pub fn big_text(&mut self, value: Big<'a>) -> Outcome<'a> {
        let text = match value {
            Big::Small(small) => small.to_string(),
            Big::Large { digits, .. } => {
                self.charge(digits.len() as u64)?;
                value.to_big_int().to_string()
            }
        };
        self.ascii(&text)
    }
}
