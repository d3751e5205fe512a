//! Conversions between types, equality and order, as the language defines them.

use super::big::Big;
use super::machine::Machine;
use super::numbers;
use super::table::is_strictly_equal;
use super::text::Text;
use super::value::{Outcome, Stop, Value, hand_over, type_error};
use std::cmp::Ordering;

/// Which primitive an object is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Any.
    Default,
    /// A number.
    Number,
    /// A string.
    String,
}

/// A number of either kind.
#[derive(Clone, Copy)]
pub(super) enum Numeric<'a> {
    /// A double.
    Number(f64),
    /// A BigInt.
    Big(Big<'a>),
}

/// An operator on two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `**`
    Power,
    /// `&`
    And,
    /// `|`
    Or,
    /// `^`
    Xor,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `>>>`
    ShiftRightUnsigned,
}

impl<'a> Machine<'a> {
    /// ToPrimitive.
    pub fn primitive(&mut self, value: Value<'a>, hint: Hint) -> Outcome<'a> {
        match value {
            Value::Record(record) => {
                if self.slot(record, "valueOf")?.is_some() || self.slot(record, "toString")?.is_some() {
                    return hand_over(&"an object with its own valueOf or toString");
                }
                Ok(Value::Ascii("[object Object]"))
            }
            Value::List(list) => self.list_text(list, Value::Ascii(",")),
            Value::Date(time) if hint == Hint::Number => Ok(Value::Number(time.get())),
            Value::Map(_) => Ok(Value::Ascii("[object Map]")),
            Value::Set(_) => Ok(Value::Ascii("[object Set]")),
            Value::Failure(failure) => {
                let name = Value::Ascii(failure.kind.name());
                match self.text(failure.message)? {
                    Some(message) if !message.is_empty() => {
                        let begin = self.join(name, Value::Ascii(": "))?;
                        self.join(begin, message.into())
                    }
                    _ => Ok(name),
                }
            }
            value if value.is_object() => hand_over(&"the text of a function, Date, iterator or expression"),
            value => Ok(value),
        }
    }

    /// ToNumber.
    pub fn number(&mut self, value: Value<'a>) -> Outcome<'a, f64> {
        match value {
            Value::Number(number) => Ok(number),
            Value::Undefined => Ok(f64::NAN),
            Value::Null => Ok(0.0),
            Value::Bool(value) => Ok(f64::from(u8::from(value))),
            Value::Ascii(text) | Value::Text(text) => {
                self.charge(text.len() as u64 / 16)?;
                Ok(numbers::of_text(text))
            }
            Value::Units(_) => Ok(f64::NAN),
            Value::Rope(_) => {
                let text = self.text(value)?;
                self.number(text.map_or(Value::Undefined, Value::from))
            }
            Value::Big(_) => type_error(),
            value if value.is_object() => {
                let primitive = self.primitive(value, Hint::Number)?;
                self.number(primitive)
            }
            _ => hand_over(&"a value that was not read"),
        }
    }

    /// ToNumeric.
    pub fn numeric(&mut self, value: Value<'a>) -> Outcome<'a, Numeric<'a>> {
        match self.primitive(value, Hint::Number)? {
            Value::Big(big) => Ok(Numeric::Big(*big)),
            primitive => self.number(primitive).map(Numeric::Number),
        }
    }

    /// ToIntegerOrInfinity, with `default` for undefined.
    pub fn integer(&mut self, value: Value<'a>, default: i64) -> Outcome<'a, i64> {
        match value {
            Value::Undefined => Ok(default),
            value => self.number(value).map(numbers::to_integer),
        }
    }

    /// ToString, as a string value.
    pub fn string_of(&mut self, value: Value<'a>) -> Outcome<'a> {
        match value {
            Value::Ascii(_) | Value::Text(_) | Value::Units(_) | Value::Rope(_) => Ok(value),
            Value::Undefined | Value::Uninitialized => Ok(Value::Ascii("undefined")),
            Value::Null => Ok(Value::Ascii("null")),
            Value::Bool(value) => Ok(Value::Ascii(if value { "true" } else { "false" })),
            Value::Number(number) => self.number_text(number),
            Value::Big(big) => self.big_text(*big),
            _ => {
                let primitive = self.primitive(value, Hint::String)?;
                self.string_of(primitive)
            }
        }
    }

    /// ToString, as text.
    pub fn text_of(&mut self, value: Value<'a>) -> Outcome<'a, Text<'a>> {
        let string = self.string_of(value)?;
        Ok(self.text(string)?.unwrap_or(Text::Ascii("")))
    }

    /// The text of a number.
    pub fn number_text(&mut self, number: f64) -> Outcome<'a> {
        const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        if let Some(digit) = numbers::to_index(number).and_then(|index| DIGITS.get(index)) {
            return Ok(Value::Ascii(digit));
        }
        let mut digits = Vec::with_capacity(24);
        numbers::print(number, &mut digits);
        self.ascii(&String::from_utf8(digits).unwrap_or_default())
    }

    /// ToPropertyKey: a string value.
    pub fn property_key(&mut self, value: Value<'a>) -> Outcome<'a> {
        let string = self.string_of(value)?;
        Ok(self.text(string)?.map_or(Value::Ascii(""), Value::from))
    }

    /// `===`
    pub fn strictly_equal(&mut self, one: Value<'a>, other: Value<'a>) -> Outcome<'a, bool> {
        if matches!(one, Value::Rope(_)) || matches!(other, Value::Rope(_)) {
            return Ok(match (self.text(one)?, self.text(other)?) {
                (Some(one), Some(other)) => one.equals(other),
                _ => false,
            });
        }
        Ok(is_strictly_equal(one, other))
    }

    /// `==`
    pub fn loosely_equal(&mut self, one: Value<'a>, other: Value<'a>) -> Outcome<'a, bool> {
        if one.is_nullish() || other.is_nullish() {
            return Ok(one.is_nullish() && other.is_nullish());
        }
        let same_type = one.type_name() == other.type_name();
        if same_type || (one.is_object() && other.is_object()) {
            return self.strictly_equal(one, other);
        }
        match (one, other) {
            (Value::Bool(value), _) => self.loosely_equal(Value::Number(f64::from(u8::from(value))), other),
            (_, Value::Bool(value)) => self.loosely_equal(one, Value::Number(f64::from(u8::from(value)))),
            (Value::Number(number), text) if text.is_string() => Ok(number == self.number(text)?),
            (text, Value::Number(number)) if text.is_string() => Ok(number == self.number(text)?),
            (Value::Big(big), Value::Number(number)) | (Value::Number(number), Value::Big(big)) => {
                Ok(big.compare_number(number) == Some(Ordering::Equal))
            }
            (object, _) if object.is_object() => {
                let primitive = self.primitive(object, Hint::Default)?;
                self.loosely_equal(primitive, other)
            }
            (_, object) if object.is_object() => {
                let primitive = self.primitive(object, Hint::Default)?;
                self.loosely_equal(one, primitive)
            }
            (Value::Big(big), text) | (text, Value::Big(big)) if text.is_string() => {
                match self.big_of_text(text)? {
                    Some(number) => Ok(big.to_big_int() == number),
                    None => hand_over(&"the comparison of a BigInt with text"),
                }
            }
            _ => hand_over(&"the comparison of a BigInt with what it does not compare with"),
        }
    }

    /// The order of two values under `<`; `None` when there is none.
    pub fn order(&mut self, one: Value<'a>, other: Value<'a>) -> Outcome<'a, Option<Ordering>> {
        let one = self.primitive(one, Hint::Number)?;
        let other = self.primitive(other, Hint::Number)?;
        if let (Some(one), Some(other)) = (self.text(one)?, self.text(other)?) {
            self.charge(one.stored_bytes().min(other.stored_bytes()) as u64 / 256)?;
            return Ok(Some(one.compare(other)));
        }
        match (one, other) {
            (Value::Big(big), text) | (text, Value::Big(big)) if text.is_string() => {
                let Some(number) = self.big_of_text(text)? else {
                    return hand_over(&"the comparison of a BigInt with text");
                };
                let order = big.to_big_int().cmp(&number);
                Ok(Some(if matches!(one, Value::Big(_)) { order } else { order.reverse() }))
            }
            _ => Ok(match (self.numeric(one)?, self.numeric(other)?) {
                (Numeric::Number(one), Numeric::Number(other)) => one.partial_cmp(&other),
                (Numeric::Big(one), Numeric::Big(other)) => Some(one.compare(other)),
                (Numeric::Big(one), Numeric::Number(other)) => one.compare_number(other),
                (Numeric::Number(one), Numeric::Big(other)) => {
                    other.compare_number(one).map(Ordering::reverse)
                }
            }),
        }
    }

    /// `+`
    pub fn add(&mut self, one: Value<'a>, other: Value<'a>) -> Outcome<'a> {
        match (one, other) {
            (Value::Number(one), Value::Number(other)) => return Ok(Value::Number(one + other)),
            (one, other) if one.is_string() && other.is_string() => return self.join(one, other),
            _ => {}
        }
        let one = self.primitive(one, Hint::Default)?;
        let other = self.primitive(other, Hint::Default)?;
        if one.is_string() || other.is_string() {
            let one = self.string_of(one)?;
            let other = self.string_of(other)?;
            return self.join(one, other);
        }
        match (self.numeric(one)?, self.numeric(other)?) {
            (Numeric::Number(one), Numeric::Number(other)) => Ok(Value::Number(one + other)),
            (Numeric::Big(one), Numeric::Big(other)) => self.big_sum(one, other),
            _ => type_error(),
        }
    }

    /// `-x`. What cannot be converted gives NaN in the engine instead of an error.
    pub fn negated(&mut self, value: Value<'a>) -> Outcome<'a> {
        match value {
            Value::Number(INT32_MIN) => hand_over(&"the negation of the smallest integer"),
            Value::Number(number) => Ok(Value::Number(-number)),
            Value::Big(big) => self.big_negated(*big),
            value => match self.number(value) {
                Ok(number) => Ok(Value::Number(-number)),
                Err(Stop::Failed(_)) if value.is_object() => Ok(Value::Number(f64::NAN)),
                Err(stop) => Err(stop),
            },
        }
    }

    /// Every other operator on numbers.
    pub fn arithmetic(&mut self, operator: Arithmetic, one: Value<'a>, other: Value<'a>) -> Outcome<'a> {
        match (self.numeric(one)?, self.numeric(other)?) {
            (Numeric::Number(one), Numeric::Number(other)) => on_numbers(operator, one, other),
            (Numeric::Big(one), Numeric::Big(other)) => self.big_operation(operator, one, other),
            _ => type_error(),
        }
    }
}

/// The number whose negation the engine cannot hold as an integer.
const INT32_MIN: f64 = -2_147_483_648.0;

/// An operator on doubles.
pub(super) fn on_numbers<'a>(operator: Arithmetic, one: f64, other: f64) -> Outcome<'a> {
    let shift = || numbers::to_uint32(other) & 31;
    Ok(Value::Number(match operator {
        Arithmetic::Subtract => one - other,
        Arithmetic::Multiply => one * other,
        Arithmetic::Divide => one / other,
        // The engine's integers overflow here.
        Arithmetic::Remainder if one == INT32_MIN && other == -1.0 => {
            return hand_over(&"the remainder of the smallest integer");
        }
        Arithmetic::Remainder => one % other,
        Arithmetic::Power => match numbers::power(one, other) {
            Some(power) => power,
            None => return hand_over(&"a power that depends on how the engine holds numbers"),
        },
        Arithmetic::And => f64::from(numbers::to_int32(one) & numbers::to_int32(other)),
        Arithmetic::Or => f64::from(numbers::to_int32(one) | numbers::to_int32(other)),
        Arithmetic::Xor => f64::from(numbers::to_int32(one) ^ numbers::to_int32(other)),
        Arithmetic::ShiftLeft => f64::from(numbers::to_int32(one).wrapping_shl(shift())),
        Arithmetic::ShiftRight => f64::from(numbers::to_int32(one).wrapping_shr(shift())),
        Arithmetic::ShiftRightUnsigned => f64::from(numbers::to_uint32(one).wrapping_shr(shift())),
    }))
}
