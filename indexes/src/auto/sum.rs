//! Sums of decimal numbers without rounding, so that they come out the same in any order and in any parts.

use crate::limits;
use magpie_store::json::{BigInt, Json, Number};

/// A sum, or the knowledge that a summand had no value.
#[derive(Debug, Clone, Default)]
pub struct DecimalSum {
    /// The sum is this times ten to the power of minus `places`.
    mantissa: BigInt,
    places: u32,
    failed: bool,
}

impl DecimalSum {
    /// Adds a number, or the numbers of an array; null counts as nothing.
    ///
    /// # Errors
    /// What the value is instead.
    pub fn add(&mut self, value: &Json) -> Result<(), &'static str> {
        match value {
            Json::Null => Ok(()),
            Json::Number(number) => self.add_number(number),
            Json::Array(items) => items.iter().try_for_each(|item| self.add(item)),
            Json::String(_) => Err("text"),
            Json::Bool(_) => Err("a boolean"),
            Json::Object(_) => Err("an object"),
            Json::ScriptNumber(_) => Err("a number that JSON has not"),
        }
    }

    fn add_number(&mut self, number: &Number) -> Result<(), &'static str> {
        const TOO_LARGE: &str = "a number with too many digits";
        let decimal = number.decimal();
        let digits = i64::try_from(decimal.digits.len()).map_err(|_| TOO_LARGE)?;
        let shift = decimal.exponent.checked_sub(digits).ok_or(TOO_LARGE)?;
        let is_huge = shift.unsigned_abs() > u64::from(limits::SUM_DIGITS_MAX) || digits > 10_000;
        if is_huge && !decimal.digits.is_empty() {
            return Err(TOO_LARGE);
        }
        self.add_exactly(number, false);
        Ok(())
    }

    /// Adds another sum, as [`Self::value`] gave it, or takes it away.
    pub fn add_sum(&mut self, sum: &Json, takes_away: bool) {
        match sum {
            Json::Number(number) => self.add_exactly(number, takes_away),
            _ => self.failed = true,
        }
    }

    fn add_exactly(&mut self, number: &Number, takes_away: bool) {
        let decimal = number.decimal();
        if decimal.digits.is_empty() {
            return;
        }
        let digits = i64::try_from(decimal.digits.len()).unwrap_or(i64::MAX);
        let shift = decimal.exponent.saturating_sub(digits);
        let mut mantissa = decimal.digits.iter().fold(BigInt::from(0), |sum, digit| sum * 10 + *digit);
        if decimal.negative != takes_away {
            mantissa = -mantissa;
        }
        let places = u32::try_from(-shift).unwrap_or(0);
        if shift > 0 {
            mantissa *= BigInt::from(10).pow(u32::try_from(shift).unwrap_or(0));
        }
        if places > self.places {
            self.mantissa *= BigInt::from(10).pow(places - self.places);
            self.places = places;
        } else {
            mantissa *= BigInt::from(10).pow(self.places - places);
        }
        self.mantissa += mantissa;
    }

    /// Says that a summand has no value.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// The sum, or null when a summand had no value.
    #[must_use]
    pub fn value(&self) -> Json {
        if self.failed { Json::Null } else { Json::Number(self.number()) }
    }

    fn number(&self) -> Number {
        let text = self.mantissa.to_string();
        let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
        let places = usize::try_from(self.places).unwrap_or(0);
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        Number::from_valid_text(&format!("{sign}{whole}{point}{fraction}"))
    }
}

#[cfg(test)]
mod tests {
    use super::DecimalSum;
    use magpie_store::json::{Json, parse};

    #[test]
    fn sums_are_exact_in_any_parts() {
        for (values, sum) in [
            ("[]", "0"),
            ("[0.1, 0.2]", "0.3"),
            ("[1, -1.50, 0.5]", "0"),
            ("[9007199254740993, 1]", "9007199254740994"),
            ("[1e3, 2.5e-2]", "1000.025"),
            ("[-0.05]", "-0.05"),
            ("[null, [1, [2]]]", "3"),
            ("[1e300, 1, -1e300]", "1"),
        ] {
            let values = parse(values.as_bytes()).unwrap();
            let mut total = DecimalSum::default();
            total.add(&values).unwrap();
            assert_eq!(total.value().to_string(), sum, "{values}");
            // In parts, and with something that was there and is gone.
            let mut parts = DecimalSum::default();
            for value in values.as_array().unwrap() {
                let mut part = DecimalSum::default();
                part.add(value).unwrap();
                parts.add_sum(&part.value(), false);
                parts.add_sum(&parse(b"7.125").unwrap(), false);
                parts.add_sum(&parse(b"7.1250").unwrap(), true);
            }
            assert_eq!(parts.value().to_string(), sum, "{values}");
            parts.add_sum(&Json::Null, false);
            assert_eq!(parts.value(), Json::Null);
        }
        for refused in ["\"1\"", "true", "{}", "1e99999", "1e-99999"] {
            let value = parse(refused.as_bytes()).unwrap();
            assert!(DecimalSum::default().add(&value).is_err(), "{refused}");
        }
    }
}
