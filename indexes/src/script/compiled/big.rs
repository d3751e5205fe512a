//! BigInts: in 128 bits as long as they fit, else as digits in the arena.

use super::convert::Arithmetic;
use super::machine::Machine;
use super::value::{Bound, ErrorKind, Outcome, Stop, Value, hand_over, type_error};
use crate::limits::SCRIPT_BIG_INT_BITS_MAX;
use magpie_store::json::BigInt;
use std::cmp::Ordering;

/// Digits of a text that is read as a BigInt here. The engine charges steps for longer ones.
const TEXT_DIGITS_MAX: usize = 200;

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

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
            Self::Small(value) => value as f64,
            Self::Large { .. } => self.to_big_int().to_string().parse().unwrap_or(f64::NAN),
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
        let order = self.to_big_int().cmp(&whole(number)?);
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
        if value.bits() > SCRIPT_BIG_INT_BITS_MAX {
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

    /// `+`
    pub fn big_sum(&mut self, one: Big<'a>, other: Big<'a>) -> Outcome<'a> {
        if let (Big::Small(x), Big::Small(y)) = (one, other)
            && let Some(sum) = x.checked_add(y)
        {
            return self.small_big(sum);
        }
        self.big(&(one.to_big_int() + other.to_big_int()))
    }

    /// Every other operator.
    pub fn big_operation(&mut self, operator: Arithmetic, one: Big<'a>, other: Big<'a>) -> Outcome<'a> {
        if other.is_zero() && matches!(operator, Arithmetic::Divide | Arithmetic::Remainder) {
            return Err(Stop::Failed(ErrorKind::Range));
        }
        if let (Big::Small(x), Big::Small(y)) = (one, other) {
            let small = match operator {
                Arithmetic::Subtract => x.checked_sub(y),
                Arithmetic::Multiply => x.checked_mul(y),
                Arithmetic::Divide => x.checked_div(y),
                Arithmetic::Remainder => x.checked_rem(y),
                Arithmetic::And => Some(x & y),
                Arithmetic::Or => Some(x | y),
                Arithmetic::Xor => Some(x ^ y),
                _ => None,
            };
            if let Some(small) = small {
                return self.small_big(small);
            }
        }
        let (x, y) = (one.to_big_int(), other.to_big_int());
        // Long multiplication and division cost the product of the lengths.
        self.charge((x.bits() / 64 + 1) * (y.bits() / 64 + 1) / 64)?;
        let result = match operator {
            Arithmetic::Subtract => x - y,
            Arithmetic::Multiply => x * y,
            Arithmetic::Divide => x / y,
            Arithmetic::Remainder => x % y,
            Arithmetic::And => x & y,
            Arithmetic::Or => x | y,
            Arithmetic::Xor => x ^ y,
            Arithmetic::Power => return self.big_power(&x, other),
            Arithmetic::ShiftLeft => return self.big_shift(&x, &y),
            Arithmetic::ShiftRight => return self.big_shift(&x, &-y),
            Arithmetic::ShiftRightUnsigned => return type_error(),
        };
        self.big(&result)
    }

    fn big_power(&mut self, base: &BigInt, exponent: Big<'a>) -> Outcome<'a> {
        let Big::Small(exponent) = exponent else { return hand_over(&"a BigInt to an enormous power") };
        if exponent < 0 {
            return Err(Stop::Failed(ErrorKind::Range));
        }
        let least = base.bits().saturating_sub(1);
        if least == 0 {
            // 0, 1 and -1 stay what they are, but for the sign.
            let even = exponent % 2 == 0;
            let stays = exponent == 0 || (even && base.bits() > 0);
            return if stays { self.small_big(1) } else { self.big(base) };
        }
        match u32::try_from(exponent) {
            Ok(exponent) if u64::from(exponent) <= SCRIPT_BIG_INT_BITS_MAX / least => {
                self.charge(u64::from(exponent))?;
                self.big(&base.pow(exponent))
            }
            _ => Err(Stop::Bound(Bound::Digits)),
        }
    }

    /// Shifts to the left, or by a negative number to the right.
    fn big_shift(&mut self, value: &BigInt, left_by: &BigInt) -> Outcome<'a> {
        if value.bits() == 0 {
            return self.small_big(0);
        }
        match i64::try_from(left_by) {
            Ok(by) if by.unsigned_abs() <= SCRIPT_BIG_INT_BITS_MAX => {
                let result = if by < 0 { value >> by.unsigned_abs() } else { value << by.unsigned_abs() };
                self.big(&result)
            }
            _ => hand_over(&"a BigInt that is shifted far"),
        }
    }

    /// `~x`
    pub fn big_complement(&mut self, value: Big<'a>) -> Outcome<'a> {
        match value {
            Big::Small(small) => self.small_big(!small),
            Big::Large { .. } => self.big(&!value.to_big_int()),
        }
    }

    /// `BigInt(value)`
    pub fn big_of(&mut self, value: Value<'a>) -> Outcome<'a> {
        match self.primitive(value, super::convert::Hint::Number)? {
            Value::Number(number) => {
                if !number.is_finite() || number.fract() != 0.0 {
                    return Err(Stop::Failed(ErrorKind::Range));
                }
                match whole(number) {
                    Some(whole) => self.big(&whole),
                    None => hand_over(&"a number as a BigInt"),
                }
            }
            primitive => self.big_of_primitive(primitive),
        }
    }

    /// ToBigInt of what is no object.
    fn big_of_primitive(&mut self, value: Value<'a>) -> Outcome<'a> {
        match value {
            Value::Big(_) => Ok(value),
            Value::Bool(value) => self.small_big(i128::from(value)),
            value if value.is_string() => match self.big_of_text(value)? {
                Some(number) => self.big(&number),
                None => hand_over(&"a text that is no plain whole number as a BigInt"),
            },
            _ => type_error(),
        }
    }

    /// The BigInt that a text of plain digits stands for.
    pub fn big_of_text(&mut self, value: Value<'a>) -> Outcome<'a, Option<BigInt>> {
        let Some(super::text::Text::Ascii(text)) = self.text(value)? else { return Ok(None) };
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain =
            (1..=TEXT_DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        Ok(if plain { text.parse().ok() } else { None })
    }

    /// `BigInt.asIntN(bits, value)` and `BigInt.asUintN(bits, value)`
    pub fn big_wrapped(&mut self, bits: Value<'a>, value: Value<'a>, signed: bool) -> Outcome<'a> {
        let bits = self.integer(bits, 0)?;
        let primitive = self.primitive(value, super::convert::Hint::Number)?;
        let Value::Big(value) = self.big_of_primitive(primitive)? else { return type_error() };
        let Some(bits) = u64::try_from(bits).ok().filter(|bits| *bits <= SCRIPT_BIG_INT_BITS_MAX) else {
            return Err(Stop::Failed(ErrorKind::Range));
        };
        let modulus = BigInt::from(1) << bits;
        let mut low = value.to_big_int() % &modulus;
        if low < BigInt::ZERO {
            low += &modulus;
        }
        if signed && bits > 0 && low >= BigInt::from(1) << (bits - 1) {
            low -= modulus;
        }
        self.big(&low)
    }

    /// `value.toString(radix)`
    pub fn big_digits(&mut self, value: Big<'a>, radix: Value<'a>) -> Outcome<'a> {
        match u32::try_from(self.integer(radix, 10)?) {
            Ok(10) => self.big_text(value),
            Ok(radix @ 2..=36) => {
                let number = value.to_big_int();
                self.charge(1 + number.bits() / 128)?;
                self.ascii(&number.to_str_radix(radix))
            }
            _ => Err(Stop::Failed(ErrorKind::Range)),
        }
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

/// The whole part of a finite number: doubles print exactly without a fraction, so it can be read back.
fn whole(number: f64) -> Option<BigInt> {
    match super::numbers::to_small(number) {
        Some(small) => Some(BigInt::from(small)),
        None => format!("{:.0}", number.trunc()).parse().ok(),
    }
}
