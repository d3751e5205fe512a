//! Dates: times in the two forms that documents have, in UTC, which is the engine's time zone too.

use crate::script::compiled::machine::Machine;
use crate::script::compiled::methods::Method;
use crate::script::compiled::text::Text;
use crate::script::compiled::value::{ErrorKind, Outcome, Stop, Value, hand_over};
use magpie_store::json::Number;

/// The latest time of a Date, in milliseconds since 1970.
const TIME_MAX: f64 = 8.64e15;
const DAY_MS: i64 = 86_400_000;

/// A time as a Date keeps it.
pub(super) fn clipped(time: f64) -> f64 {
    // Adding 0 makes 0 of -0.
    if time.is_finite() && time.abs() <= TIME_MAX { time.trunc() + 0.0 } else { f64::NAN }
}

/// The days since 1970 of a day of the Gregorian calendar; months count from 1.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_index = (month + 9) % 12;
    let day_of_year = (153 * month_index + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month from 1 and day of days since 1970.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days and milliseconds of the day; `None` for an invalid time.
fn split(time: f64) -> Option<(i64, i64)> {
    if time.is_nan() {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "times are whole and within 8.64e15")]
    let whole = time as i64;
    Some((whole.div_euclid(DAY_MS), whole.rem_euclid(DAY_MS)))
}

/// A time as ISO text with milliseconds; `None` when it is invalid or its year has not four digits.
pub(in crate::script::compiled) fn iso_text(time: f64) -> Option<String> {
    let (days, ms) = split(time)?;
    let (year, month, day) = civil_from_days(days);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000))
}

/// The number of so many digits at a place.
fn digits(text: &str, from: usize, count: usize) -> Option<i64> {
    let part = text.get(from..from + count)?;
    if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None }
}

fn is_at(text: &str, at: usize, byte: u8) -> bool {
    text.as_bytes().get(at) == Some(&byte)
}

/// The time of `2026-03-01`, `2026-03-01T08:00:00Z` and `2026-03-01T08:00:00.123Z` with at least three digits behind
/// the point, when that day and time exist; `None` for everything else.
fn parse_iso(text: &str) -> Option<f64> {
    let (year, month, day) = (digits(text, 0, 4)?, digits(text, 5, 2)?, digits(text, 8, 2)?);
    if !is_at(text, 4, b'-') || !is_at(text, 7, b'-') || !(1..=12).contains(&month) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    if day < 1 || civil_from_days(days) != (year, month, day) {
        return None;
    }
    let mut ms = 0;
    if text.len() > 10 {
        let (hour, minute, second) = (digits(text, 11, 2)?, digits(text, 14, 2)?, digits(text, 17, 2)?);
        if !is_at(text, 10, b'T') || !is_at(text, 13, b':') || !is_at(text, 16, b':') {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let fraction = match text.get(19..)?.strip_suffix('Z')? {
            "" => 0,
            fraction => {
                let fraction = fraction.strip_prefix('.')?;
                if fraction.len() < 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                digits(fraction, 0, 3)?
            }
        };
        ms = ((hour * 60 + minute) * 60 + second) * 1000 + fraction;
    }
    #[expect(clippy::cast_precision_loss, reason = "times of four-digit years are far below 2^53")]
    Some((days * DAY_MS + ms) as f64)
}

impl<'a> Machine<'a> {
    /// `Date.now()`: when the document that is mapped was last modified.
    pub fn date_now(&self) -> Outcome<'a, f64> {
        match &self.mapped {
            Some(mapped) => Ok(Number::from(mapped.document.last_modified.unix_millis()).as_f64()),
            None => hand_over(&"the time where no document is mapped"),
        }
    }

    /// `Date.parse(text)`
    pub fn date_parse(&mut self, value: Value<'a>) -> Outcome<'a> {
        match self.text(value)? {
            Some(Text::Ascii(text)) => match parse_iso(text) {
                Some(time) => Ok(Value::Number(time)),
                None => hand_over(&"a date in another form"),
            },
            _ => hand_over(&"the date of what is no ASCII text"),
        }
    }

    /// A method of a Date.
    pub fn date_method(&mut self, time: f64, method: Method) -> Outcome<'a> {
        match method {
            Method::GetTime | Method::ValueOf => return Ok(Value::Number(time)),
            Method::ToIsoString => {
                return match iso_text(time) {
                    Some(text) => self.ascii(&text),
                    None if time.is_nan() => Err(Stop::Failed(ErrorKind::Range)),
                    None => hand_over(&"a year with more than four digits"),
                };
            }
            _ => {}
        }
        let Some((days, ms)) = split(time) else { return hand_over(&"an invalid Date") };
        let (year, month, day) = civil_from_days(days);
        let part = match method {
            Method::GetFullYear | Method::GetUtcFullYear => year,
            Method::GetMonth | Method::GetUtcMonth => month - 1,
            Method::GetDate | Method::GetUtcDate => day,
            Method::GetDay | Method::GetUtcDay => (days + 4).rem_euclid(7),
            Method::GetHours | Method::GetUtcHours => ms / 3_600_000,
            Method::GetMinutes | Method::GetUtcMinutes => ms / 60_000 % 60,
            Method::GetSeconds | Method::GetUtcSeconds => ms / 1000 % 60,
            Method::GetMilliseconds | Method::GetUtcMilliseconds => ms % 1000,
            _ => return hand_over(&"a method of a Date"),
        };
        #[expect(clippy::cast_precision_loss, reason = "parts of a time are small")]
        Ok(Value::Number(part as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::{iso_text, parse_iso};

    #[test]
    fn times_are_read_and_printed() {
        for (text, time) in [
            ("1970-01-01T00:00:00Z", 0.0),
            ("1969-12-31", -86_400_000.0),
            ("2000-02-29T23:59:59.999Z", 951_868_799_999.0),
            ("2026-03-01T08:00:00.1234567Z", 1_772_352_000_123.0),
            ("0000-01-01", -62_167_219_200_000.0),
        ] {
            assert_eq!(parse_iso(text), Some(time), "{text}");
        }
        for text in
            ["2026-02-29", "2026-13-01", "2026-03-01T24:00:00Z", "2026-03-01T08:00:00", "2026-3-1", ""]
        {
            assert_eq!(parse_iso(text), None, "{text}");
        }
        assert_eq!(iso_text(951_868_799_999.0).as_deref(), Some("2000-02-29T23:59:59.999Z"));
        assert_eq!(iso_text(-1.0).as_deref(), Some("1969-12-31T23:59:59.999Z"));
        assert_eq!(iso_text(f64::NAN), None);
        assert_eq!(iso_text(8.64e15), None);
    }
}
