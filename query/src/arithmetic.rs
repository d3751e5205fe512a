//! Exact arithmetic of `select`, ready to be calculated: parameters are filled in, paths taken apart.
//!
//! Everything is a whole number of any size up to [`limits::ARITHMETIC_BITS_MAX`]; nothing is ever rounded but the last
//! digit of `divide()`. A null operand makes the value null. A missing operand, and one that is no whole number, is an
//! error with its place, its field and its row, never a wrong value.

use crate::ast::{ArithmeticOperator, Position};
use crate::error::QueryError;
use crate::limits;
use crate::term::Step;
use magpie_store::json::{BigInt, Json, Number, ScriptNumber};
use std::cmp::Ordering;

/// One calculated item of `select`.
#[derive(Debug, Clone)]
pub(crate) enum Calculated {
    /// A whole number.
    Whole(Arithmetic),
    /// `divide(x, y, digits)`: decimal text, rounded half-even.
    Quotient { dividend: Arithmetic, divisor: Arithmetic, digits: u32, position: Position },
}

/// Something that gives a whole number.
#[derive(Debug, Clone)]
pub(crate) enum Arithmetic {
    /// A literal or parameter; `None` for null.
    Constant(Option<BigInt>),
    /// A field.
    Field(Operand),
    /// `-x`
    Negative(Box<Arithmetic>),
    /// From left to right.
    Chain { first: Box<Arithmetic>, rest: Vec<(ArithmeticOperator, Position, Arithmetic)> },
}

/// A field of arithmetic.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    /// Its path without the alias of `from`.
    pub(crate) path: Vec<Step>,
    /// Whether the index has it stored.
    pub(crate) stored: bool,
    /// Whether it may be the digits of a number as text: what `bigint()` adds.
    pub(crate) from_text: bool,
    /// The path as the query spells it.
    pub(crate) text: String,
    pub(crate) position: Position,
}

/// What arithmetic is applied to.
pub(crate) trait Operands {
    /// The value of a field; `None` when it is missing.
    fn value(&self, operand: &Operand) -> Option<Json>;

    /// How messages name the row.
    fn describe(&self) -> String;
}

/// Why a value is no operand.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It has the digits of a number, but is text.
    Text,
    /// It is something else.
    NotWhole,
    /// It has more bits than a number may have.
    TooLarge,
}

impl Calculated {
    /// Its value for one row.
    ///
    /// # Errors
    /// [`QueryError::Arithmetic`] and [`QueryError::LimitReached`].
    pub(crate) fn value(&self, operands: &dyn Operands) -> Result<Json, QueryError> {
        match self {
            Self::Whole(arithmetic) => Ok(match arithmetic.value(operands)? {
                Some(value) => Json::ScriptNumber(ScriptNumber::BigInt(Box::new(value))),
                None => Json::Null,
            }),
            Self::Quotient { dividend, divisor, digits, position } => {
                let (dividend, divisor) = (dividend.value(operands)?, divisor.value(operands)?);
                let (Some(dividend), Some(divisor)) = (dividend, divisor) else { return Ok(Json::Null) };
                if divisor == BigInt::ZERO {
                    let message = format!("divide() by zero in {}", operands.describe());
                    return Err(arithmetic_error(*position, message));
                }
                Ok(Json::String(quotient(&dividend, &divisor, *digits)))
            }
        }
    }
}

impl Arithmetic {
    fn value(&self, operands: &dyn Operands) -> Result<Option<BigInt>, QueryError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Field(operand) => operand.value(operands),
            Self::Negative(inner) => Ok(inner.value(operands)?.map(|value| -value)),
            Self::Chain { first, rest } => {
                let mut value = first.value(operands)?;
                for (operator, _, right) in rest {
                    // The right side is looked at even when the value is null already: an error is an error.
                    let right = right.value(operands)?;
                    value = match (value, right) {
                        (Some(left), Some(right)) => Some(applied(*operator, &left, &right)?),
                        _ => None,
                    };
                }
                Ok(value)
            }
        }
    }
}

impl Operand {
    fn value(&self, operands: &dyn Operands) -> Result<Option<BigInt>, QueryError> {
        let Some(value) = operands.value(self) else {
            let message = format!(
                "The field '{}' of {} is missing, and arithmetic needs a whole number there",
                self.text,
                operands.describe()
            );
            return Err(arithmetic_error(self.position, message));
        };
        let reason = match whole(&value, self.from_text) {
            Ok(value) => return Ok(value),
            Err(Refused::TooLarge) => return Err(too_large()),
            Err(Refused::Text) => format!("text; write bigint({}) to take it as a number", self.text),
            Err(Refused::NotWhole) => "no whole number, as arithmetic needs one".to_owned(),
        };
        let shown = shortened(&value.to_string());
        let message =
            format!("The field '{}' of {} is {shown}, which is {reason}", self.text, operands.describe());
        Err(arithmetic_error(self.position, message))
    }
}

/// A value as a whole number; `None` for null. `from_text` allows decimal digits as text.
pub(crate) fn whole(value: &Json, from_text: bool) -> Result<Option<BigInt>, Refused> {
    match value {
        Json::Null => Ok(None),
        Json::Number(number) => whole_number(number).map(Some),
        Json::ScriptNumber(ScriptNumber::BigInt(value)) => within_bits(BigInt::clone(value)).map(Some),
        Json::String(text) if is_digits(text) => {
            if !from_text {
                return Err(Refused::Text);
            }
            from_digits(text).map(Some)
        }
        _ => Err(Refused::NotWhole),
    }
}

fn is_digits(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn whole_number(number: &Number) -> Result<BigInt, Refused> {
    if let Some(value) = number.as_i64() {
        return Ok(BigInt::from(value));
    }
    let decimal = number.decimal();
    let places = usize::try_from(decimal.exponent).map_err(|_| Refused::NotWhole)?;
    let zeros = places.checked_sub(decimal.digits.len()).ok_or(Refused::NotWhole)?;
    if places > digits_max() {
        return Err(Refused::TooLarge);
    }
    let sign = if decimal.negative { "-" } else { "" };
    let digits: String = decimal.digits.iter().map(|digit| char::from(b'0'.saturating_add(*digit))).collect();
    from_digits(&format!("{sign}{digits}{}", "0".repeat(zeros)))
}

/// `text` is digits, with or without a minus.
fn from_digits(text: &str) -> Result<BigInt, Refused> {
    // Reading digits takes time that grows with the square of their number, so their number is looked at first.
    if text.len() > digits_max() {
        return Err(Refused::TooLarge);
    }
    within_bits(text.parse::<BigInt>().map_err(|_| Refused::NotWhole)?)
}

/// More decimal digits than any number within the limit has.
const fn digits_max() -> usize {
    limits::ARITHMETIC_BITS_MAX / 3
}

fn within_bits(value: BigInt) -> Result<BigInt, Refused> {
    if value.bits() > limits::ARITHMETIC_BITS_MAX as u64 { Err(Refused::TooLarge) } else { Ok(value) }
}

fn applied(operator: ArithmeticOperator, left: &BigInt, right: &BigInt) -> Result<BigInt, QueryError> {
    let value = match operator {
        ArithmeticOperator::Add => left + right,
        ArithmeticOperator::Subtract => left - right,
        // A product has at least one bit less than its factors together.
        ArithmeticOperator::Multiply
            if left.bits() + right.bits() > limits::ARITHMETIC_BITS_MAX as u64 + 1 =>
        {
            return Err(too_large());
        }
        ArithmeticOperator::Multiply => left * right,
    };
    within_bits(value).map_err(|_| too_large())
}

/// The decimal text of `dividend / divisor` with `digits` digits behind the point, half to even.
fn quotient(dividend: &BigInt, divisor: &BigInt, digits: u32) -> String {
    let is_negative = (*dividend < BigInt::ZERO) != (*divisor < BigInt::ZERO);
    let scaled = dividend * BigInt::from(10).pow(digits);
    let (scaled, divisor) = (scaled.magnitude(), divisor.magnitude());
    let mut value = scaled / divisor;
    let rest = scaled % divisor;
    let up = match (&rest + &rest).cmp(divisor) {
        Ordering::Less => false,
        Ordering::Equal => value.bit(0),
        Ordering::Greater => true,
    };
    if up {
        value += 1_u32;
    }
    let is_zero = value.bits() == 0;
    let places = usize::try_from(digits).unwrap_or(usize::MAX);
    let mut text = value.to_string();
    if places > 0 {
        if text.len() <= places {
            text.insert_str(0, &"0".repeat(places + 1 - text.len()));
        }
        text.insert(text.len() - places, '.');
    }
    if is_negative && !is_zero {
        text.insert(0, '-');
    }
    text
}

pub(crate) fn arithmetic_error(position: Position, message: String) -> QueryError {
    QueryError::Arithmetic { line: position.line, column: position.column, message }
}

pub(crate) fn too_large() -> QueryError {
    QueryError::LimitReached {
        name: "arithmetic_bits_max",
        limit: limits::ARITHMETIC_BITS_MAX,
        unit: "bits for one number of SELECT",
        advice: "calculate with smaller numbers",
    }
}

/// The start of a text, for messages.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(limits::ERROR_TOKEN_CHARS_MAX) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or("")),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_digits, quotient, whole};
    use magpie_store::json::{BigInt, Json, Number};

    #[test]
    fn quotients_round_half_to_even() {
        for (dividend, divisor, digits, expected) in [
            (1, 3, 4, "0.3333"),
            (2, 3, 4, "0.6667"),
            (1, 2, 0, "0"),
            (3, 2, 0, "2"),
            (5, 2, 0, "2"),
            (-1, 2, 0, "0"),
            (-3, 2, 0, "-2"),
            (1, 8, 2, "0.12"),
            (3, 8, 2, "0.38"),
            (-1, 400, 2, "0.00"),
            (-3, 400, 2, "-0.01"),
            (7, -7, 3, "-1.000"),
            (0, -7, 2, "0.00"),
            (999, 1000, 2, "1.00"),
            (12_345, 1, 1, "12345.0"),
        ] {
            let found = quotient(&BigInt::from(dividend), &BigInt::from(divisor), digits);
            assert_eq!(found, expected, "{dividend} / {divisor} to {digits}");
        }
    }

    #[test]
    fn whole_numbers_are_told_by_value() {
        for (text, expected) in [
            ("1.0", Some("1")),
            ("1e3", Some("1000")),
            ("-12345678901234567890.00", Some("-12345678901234567890")),
            ("1.25e2", Some("125")),
            ("1.5", None),
            ("1e-1", None),
            ("1e999999", None),
        ] {
            let found = whole(&Json::Number(Number::from_valid_text(text)), false);
            assert_eq!(found.ok().flatten().map(|value| value.to_string()).as_deref(), expected, "{text}");
        }
        assert!(
            is_digits("-007") && !is_digits("+7") && !is_digits("1_0") && !is_digits("-") && !is_digits("")
        );
    }
}
