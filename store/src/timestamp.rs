//! Points in time on the wire's grid of 100 ns. Nothing here reads a clock: times come in as arguments.

use std::fmt;

/// Ticks of 100 ns since 1970-01-01T00:00:00Z; negative before. Prints as `2024-01-01T00:00:00.0000000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

const TICKS_PER_SECOND: i64 = 10_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

impl Timestamp {
    /// From nanoseconds since the Unix epoch, rounded down to the grid.
    #[must_use]
    pub fn from_unix_nanos(nanos: i128) -> Self {
        Self(i64::try_from(nanos.div_euclid(100)).unwrap_or(i64::MAX))
    }

    /// Whole milliseconds since the Unix epoch, rounded down: as scripts count time.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.0.div_euclid(10_000)
    }

    /// Reads `2024-01-01T00:00:00`, optionally with a fraction of 1 to 7 digits and with `Z`: what clients and
    /// dumps write. `None` for anything else, and for a date or time that does not exist.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('Z').unwrap_or(text);
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if !whole.is_ascii() || whole.len() != 19 || !(1..=7).contains(&fraction.len()) {
            return None;
        }
        let punctuation = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
        if punctuation.iter().any(|(at, mark)| whole.get(*at..=*at) != Some(mark)) {
            return None;
        }
        let number = |from: usize, to: usize| digits(whole.get(from..to)?);
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let days = days_from_civil(year, month, day);
        if hour > 23 || minute > 59 || second > 59 || civil_from_days(days) != (year, month, day) {
            return None;
        }
        let ticks = digits(&format!("{fraction:0<7}"))?;
        let seconds = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
        Some(Self(seconds * TICKS_PER_SECOND + ticks))
    }
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(TICKS_PER_SECOND);
        let ticks = self.0.rem_euclid(TICKS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let rest = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        // Every document that is given has one, and the formatter takes longer than all the rest of it.
        if let 0..=9999 = year {
            let mut text = *b"0000-00-00T00:00:00.0000000Z";
            let parts = [
                (0..4, year),
                (5..7, month),
                (8..10, day),
                (11..13, hour),
                (14..16, minute),
                (17..19, second),
                (20..27, ticks),
            ];
            for (place, mut number) in parts {
                for digit in text.get_mut(place).unwrap_or_default().iter_mut().rev() {
                    *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
                    number /= 10;
                }
            }
            return f.write_str(std::str::from_utf8(&text).unwrap_or_default());
        }
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ticks:07}Z")
    }
}

/// The day number of a date, counted from 1970-01-01; for a date that does not exist, that of some other one.
///
/// Source: as [`civil_from_days`] (`days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let month_shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The proleptic Gregorian date of a day number counted from 1970-01-01.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (`civil_from_days`).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn prints_seven_fraction_digits_in_utc() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.0000000Z");
        assert_eq!(Timestamp(17_090_000_000_000_001).to_string(), "2024-02-27T02:13:20.0000001Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.9999999Z");
        assert_eq!(Timestamp(2_534_023_007_999_999_999).to_string(), "9999-12-31T23:59:59.9999999Z");
        assert_eq!(Timestamp(2_534_023_008_000_000_000).to_string(), "10000-01-01T00:00:00.0000000Z");
        assert_eq!(Timestamp(-621_672_192_000_000_001).to_string(), "-001-12-31T23:59:59.9999999Z");
    }

    #[test]
    fn reads_what_it_prints() {
        for ticks in [0, 1, -1, 17_090_000_000_000_001, 13_000_000_000_000_000, -500_000_000_000_000_000] {
            assert_eq!(Timestamp::parse(&Timestamp(ticks).to_string()), Some(Timestamp(ticks)));
        }
        assert_eq!(Timestamp::parse("1970-01-01T00:00:01"), Some(Timestamp(10_000_000)));
        assert_eq!(Timestamp::parse("1970-01-01T00:00:00.25Z"), Some(Timestamp(2_500_000)));
        assert_eq!(Timestamp::parse("2024-02-29T23:59:59Z").map(|t| t.to_string().len()), Some(28));
    }

    #[test]
    fn refuses_what_is_not_a_time() {
        for text in [
            "",
            "1970-01-01",
            "1970-01-01 00:00:00",
            "1970-1-01T00:00:00",
            "1970-01-01T00:00:00.",
            "1970-01-01T00:00:00.12345678",
            "1970-01-01T00:00:00+00:00",
            "1970-01-01T24:00:00",
            "1970-01-01T00:60:00",
            "1970-00-01T00:00:00",
            "1970-13-01T00:00:00",
            "1970-01-00T00:00:00",
            "2023-02-29T00:00:00",
            "+970-01-01T00:00:00",
            "197\u{e4}-01-01T00:00:0",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
