//! `Math`: the functions whose results are those of the engine, bit for bit.

use super::argument;
use crate::script::compiled::machine::Machine;
use crate::script::compiled::natives::Native;
use crate::script::compiled::numbers;
use crate::script::compiled::value::{Outcome, Value, hand_over};

impl<'a> Machine<'a> {
    /// A function of `Math`; `None` for every other function.
    pub fn math(&mut self, native: Native, arguments: &[Value<'a>]) -> Outcome<'a, Option<Value<'a>>> {
        let function: fn(f64) -> f64 = match native {
            Native::MathAbs => f64::abs,
            Native::MathAcos => f64::acos,
            Native::MathAsin => f64::asin,
            Native::MathAtan => f64::atan,
            Native::MathCbrt => f64::cbrt,
            Native::MathCeil => f64::ceil,
            Native::MathCos => f64::cos,
            Native::MathExp => f64::exp,
            Native::MathFloor => f64::floor,
            Native::MathLog => f64::ln,
            Native::MathLog10 => f64::log10,
            Native::MathLog2 => f64::log2,
            Native::MathRound => round,
            Native::MathSign => sign,
            Native::MathSin => f64::sin,
            Native::MathSqrt => f64::sqrt,
            Native::MathTan => f64::tan,
            Native::MathTrunc => f64::trunc,
            _ => return self.math_of_several(native, arguments),
        };
        let number = match argument(arguments, 0) {
            Value::Number(number) => number,
            value => self.number(value)?,
        };
        Ok(Some(Value::Number(function(number))))
    }

    fn math_of_several(&mut self, native: Native, arguments: &[Value<'a>]) -> Outcome<'a, Option<Value<'a>>> {
        let start = match native {
            Native::MathMax => f64::NEG_INFINITY,
            Native::MathMin => f64::INFINITY,
            Native::MathHypot => 0.0,
            Native::MathPow => {
                let base = self.number(argument(arguments, 0))?;
                let exponent = self.number(argument(arguments, 1))?;
                return match numbers::power(base, exponent) {
                    Some(power) if !exponent.is_nan() => Ok(Some(Value::Number(power))),
                    _ => hand_over(&"a power that depends on how the engine holds numbers"),
                };
            }
            Native::MathAtan2 => {
                let y = self.number(argument(arguments, 0))?;
                let x = self.number(argument(arguments, 1))?;
                return Ok(Some(Value::Number(y.atan2(x))));
            }
            _ => return Ok(None),
        };
        self.charge(arguments.len() as u64 / 8)?;
        let mut result = start;
        for value in arguments {
            let number = self.number(*value)?;
            result = match native {
                Native::MathHypot => result.hypot(number),
                _ if result.is_nan() || number.is_nan() => f64::NAN,
                Native::MathMax if result == 0.0 && number == 0.0 => {
                    if result.is_sign_negative() {
                        number
                    } else {
                        result
                    }
                }
                Native::MathMax => result.max(number),
                _ if result == 0.0 && number == 0.0 => {
                    if result.is_sign_negative() {
                        result
                    } else {
                        number
                    }
                }
                _ => result.min(number),
            };
        }
        Ok(Some(Value::Number(result)))
    }
}

/// Ties go up.
fn round(number: f64) -> f64 {
    if number.fract() == -0.5 { number.ceil() } else { number.round() }
}

fn sign(number: f64) -> f64 {
    if number == 0.0 || number.is_nan() { number } else { number.signum() }
}
