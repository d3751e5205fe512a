//! The built-in methods and functions: what they do.
//!
//! Every one of them either does exactly what the engine's function does for the values it gets, or leaves the call to
//! the engine. What walks over many elements or characters is charged first.

mod dates;
mod list_calls;
mod lists;
mod math;
mod objects;
mod stringify;
mod tables;
mod texts;

pub(super) use dates::iso_text;

use super::convert::Numeric;
use super::machine::Machine;
use super::methods::Method;
use super::natives::Native;
use super::numbers;
use super::program::Constructor;
use super::text::Text;
use super::value::{ErrorKind, Failure, Outcome, Stop, Value, hand_over, type_error};
use std::cell::Cell;

/// The argument at a place.
fn argument<'a>(arguments: &[Value<'a>], place: usize) -> Value<'a> {
    arguments.get(place).copied().unwrap_or(Value::Undefined)
}

impl<'a> Machine<'a> {
    /// Calls a built-in method.
    pub fn call_built_in(
        &mut self,
        object: Value<'a>,
        method: Method,
        arguments: &[Value<'a>],
    ) -> Outcome<'a> {
        match object {
            Value::List(list) => self.list_method(list, method, arguments),
            Value::Map(table) => self.map_method(table, method, arguments),
            Value::Set(table) => self.set_method(table, method, arguments),
            Value::Number(number) => self.number_method(number, method, arguments),
            Value::Date(time) => Self::date_method(self, time.get(), method),
            Value::Regex(regex) => self.regex_method(regex, method, arguments),
            Value::Bool(value) if method == Method::ToString => {
                Ok(Value::Ascii(if value { "true" } else { "false" }))
            }
            object if object.is_string() => {
                let text = self.text(object)?.unwrap_or(Text::Ascii(""));
                self.text_method(object, text, method, arguments)
            }
            Value::Big(big) if method == Method::ToString => self.big_digits(*big, argument(arguments, 0)),
            Value::Big(_) if method == Method::ValueOf => Ok(object),
            _ => hand_over(&"a method of this kind of value"),
        }
    }

    fn number_method(&mut self, number: f64, method: Method, arguments: &[Value<'a>]) -> Outcome<'a> {
        match method {
            Method::ToString => match argument(arguments, 0) {
                Value::Undefined | Value::Number(10.0) => self.number_text(number),
                _ => hand_over(&"a number in another base"),
            },
            Method::ToFixed => {
                let digits = self.integer(argument(arguments, 0), 0)?;
                match u8::try_from(digits) {
                    Ok(digits) if digits <= 100 => {
                        let text = ryu_js::Buffer::new().format_to_fixed(number, digits).to_owned();
                        self.ascii(&text)
                    }
                    _ => Err(Stop::Failed(ErrorKind::Range)),
                }
            }
            Method::ValueOf => Ok(Value::Number(number)),
            _ => hand_over(&"a method of a number"),
        }
    }

    fn regex_method(
        &mut self,
        regex: &'a super::value::RegexObject<'a>,
        method: Method,
        arguments: &[Value<'a>],
    ) -> Outcome<'a> {
        if method != Method::Test || regex.pattern.global {
            return hand_over(&"a method of a regular expression");
        }
        let text = self.text_of(argument(arguments, 0))?;
        self.charge_length(text.stored_bytes())?;
        Ok(Value::Bool(self.find_match(regex.pattern, text, 0)?.is_some()))
    }

    /// `new X(..)`
    pub fn construct(&mut self, constructor: Constructor, arguments: &[Value<'a>]) -> Outcome<'a> {
        for value in arguments {
            self.check_length(*value)?;
        }
        match constructor {
            Constructor::Map | Constructor::Set => {
                let is_map = constructor == Constructor::Map;
                self.new_table(is_map, argument(arguments, 0))
            }
            Constructor::Date => self.new_date(arguments),
            Constructor::Error(kind) => self.new_error(kind, arguments),
            Constructor::List => match arguments {
                [] => self.list_of_values(&[]),
                [Value::Number(_)] => hand_over(&"an array with holes"),
                values => {
                    self.charge_length(values.len())?;
                    self.list_of_values(values)
                }
            },
        }
    }

    fn new_error(&mut self, kind: ErrorKind, arguments: &[Value<'a>]) -> Outcome<'a> {
        if arguments.len() > 1 {
            return hand_over(&"an error with a cause");
        }
        let message = match argument(arguments, 0) {
            Value::Undefined => Value::Undefined,
            message => self.string_of(message)?,
        };
        Ok(Value::Failure(self.place_in_arena(Failure { kind, message })?))
    }

    /// Calls a function of the language or of the dialect.
    pub fn call_native(&mut self, native: Native, arguments: &[Value<'a>]) -> Outcome<'a> {
        let first = argument(arguments, 0);
        match native {
            Native::String => match arguments {
                [] => Ok(Value::Ascii("")),
                _ => self.string_of(first),
            },
            Native::Number => match arguments {
                [] => Ok(Value::Number(0.0)),
                _ => match self.numeric(first)? {
                    Numeric::Big(big) => Ok(Value::Number(big.to_f64())),
                    Numeric::Number(number) => Ok(Value::Number(number)),
                },
            },
            Native::Boolean => Ok(Value::Bool(first.truthy())),
            Native::BigInt => self.big_of(first),
            Native::BigIntAsIntN => self.big_wrapped(first, argument(arguments, 1), true),
            Native::BigIntAsUintN => self.big_wrapped(first, argument(arguments, 1), false),
            Native::ParseInt | Native::NumberParseInt => self.parse_int(arguments),
            Native::ParseFloat | Native::NumberParseFloat => self.parse_float(first),
            Native::IsNan => self.number(first).map(|number| Value::Bool(number.is_nan())),
            Native::IsFinite => self.number(first).map(|number| Value::Bool(number.is_finite())),
            Native::NumberIsInteger => Ok(Value::Bool(whole(first).is_some())),
            Native::NumberIsSafeInteger => {
                Ok(Value::Bool(whole(first).is_some_and(|number| number.abs() <= 9_007_199_254_740_991.0)))
            }
            Native::NumberIsFinite => {
                Ok(Value::Bool(matches!(first, Value::Number(number) if number.is_finite())))
            }
            Native::NumberIsNan => Ok(Value::Bool(matches!(first, Value::Number(number) if number.is_nan()))),
            Native::ArrayIsArray => Ok(Value::Bool(matches!(first, Value::List(_)))),
            Native::DateNow => self.date_now().map(Value::Number),
            Native::DateParse => self.date_parse(first),
            Native::TryConvertToNumber => self.try_convert_to_number(first),
            Native::Recurse => self.recurse(arguments),
            Native::Load => self.load(arguments, true),
            Native::LoadUntracked => self.load(arguments, false),
            Native::Id => self.id_of(first),
            Native::GetMetadata | Native::MetadataFor => self.metadata_of(first),
            Native::Error
            | Native::TypeError
            | Native::RangeError
            | Native::SyntaxError
            | Native::ReferenceError
            | Native::EvalError
            | Native::UriError => hand_over(&"an error made without new"),
            _ => match self.math(native, arguments)? {
                Some(value) => Ok(value),
                None => self.object_native(native, arguments),
            },
        }
    }

    fn parse_int(&mut self, arguments: &[Value<'a>]) -> Outcome<'a> {
        let Some(first) = arguments.first() else { return Ok(Value::Number(f64::NAN)) };
        let radix = match argument(arguments, 1) {
            Value::Undefined | Value::Null | Value::Number(10.0 | 0.0) => 10,
            _ => return hand_over(&"parseInt with a base"),
        };
        let text = self.text_of(*first)?;
        let Text::Ascii(text) = text else { return hand_over(&"parseInt of text beyond ASCII") };
        let text = text.trim_start_matches(super::text::is_space);
        let (negative, digits) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..).unwrap_or("")),
            Some(b'+') => (false, text.get(1..).unwrap_or("")),
            _ => (false, text),
        };
        if digits.starts_with("0x") || digits.starts_with("0X") {
            return hand_over(&"parseInt of a hexadecimal number");
        }
        let end = digits.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
        let digits = digits.get(..end).unwrap_or("");
        // Fifteen digits are exact in a double however they are put together.
        match (digits.len(), i64::from_str_radix(digits, radix)) {
            (0, _) => Ok(Value::Number(f64::NAN)),
            (1..=15, Ok(value)) => {
                #[expect(clippy::cast_precision_loss, reason = "fifteen digits are exact in a double")]
                let value = value as f64;
                Ok(Value::Number(if negative { -value } else { value }))
            }
            _ => hand_over(&"parseInt of a long number"),
        }
    }

    fn parse_float(&mut self, value: Value<'a>) -> Outcome<'a> {
        if let Value::Number(number) = value {
            // -0 prints as 0.
            return Ok(Value::Number(if number == 0.0 { 0.0 } else { number }));
        }
        let Text::Ascii(text) = self.text_of(value)? else {
            return hand_over(&"parseFloat of text beyond ASCII");
        };
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        let is_plain = unsigned.bytes().all(plain)
            && unsigned.bytes().filter(|byte| *byte == b'.').count() <= 1
            && unsigned.as_bytes().first().is_some_and(u8::is_ascii_digit)
            && unsigned.as_bytes().last().is_some_and(u8::is_ascii_digit);
        if !is_plain {
            return hand_over(&"parseFloat of more than a plain number");
        }
        Ok(text.parse().map_or(Value::Undefined, Value::Number))
    }

    fn try_convert_to_number(&mut self, value: Value<'a>) -> Outcome<'a> {
        match value {
            Value::Number(_) | Value::Big(_) => Ok(value),
            Value::Ascii(text) => {
                if text.trim().is_empty() {
                    return Ok(Value::Null);
                }
                let number = self.number(value)?;
                Ok(if number.is_nan() { Value::Null } else { Value::Number(number) })
            }
            value if value.is_string() => hand_over(&"the number of text beyond ASCII"),
            _ => Ok(Value::Null),
        }
    }

    fn id_of(&mut self, value: Value<'a>) -> Outcome<'a> {
        let Value::Record(record) = value else {
            return if value.is_object() {
                hand_over(&"the id of what is no plain object")
            } else {
                Ok(Value::Null)
            };
        };
        if self.is_mapped(record) {
            return self.document_id();
        }
        match self.own(record, "@metadata")? {
            Some(Value::Record(metadata)) => match self.own(metadata, "@id")? {
                None | Some(Value::Undefined) => Ok(Value::Null),
                Some(id) => Ok(id),
            },
            Some(other) if other.is_object() => hand_over(&"metadata that is no plain object"),
            _ => Ok(Value::Null),
        }
    }

    fn metadata_of(&mut self, value: Value<'a>) -> Outcome<'a> {
        let Value::Record(record) = value else {
            return if value.is_object() {
                hand_over(&"the metadata of what is no plain object")
            } else {
                Ok(Value::Null)
            };
        };
        match self.own(record, "@metadata")? {
            None | Some(Value::Undefined) if self.is_mapped(record) => {
                hand_over(&"a document whose metadata was removed")
            }
            None | Some(Value::Undefined) => Ok(Value::Null),
            Some(metadata) => Ok(metadata),
        }
    }

    /// A new date.
    fn new_date(&mut self, arguments: &[Value<'a>]) -> Outcome<'a> {
        let time = match arguments {
            [] => self.date_now()?,
            [Value::Date(time)] => time.get(),
            [Value::Number(number)] => dates::clipped(*number),
            [text] if text.is_string() => match self.date_parse(*text)? {
                Value::Number(time) => time,
                _ => return type_error(),
            },
            _ => return hand_over(&"a Date made of parts"),
        };
        Ok(Value::Date(self.place_in_arena(Cell::new(time))?))
    }
}

/// A whole number.
fn whole(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Number(number) if number.is_finite() && number.fract() == 0.0 => Some(number),
        _ => None,
    }
}

/// A length or an index as a value.
fn number<'a>(length: usize) -> Value<'a> {
    Value::Number(numbers::of_len(length))
}
