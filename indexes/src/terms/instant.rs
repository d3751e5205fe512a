//! Strings that are points in time. Only the spellings that clients write count: a full date, optionally with a time,
//! a fraction of up to seven digits, and `Z` or an offset; without an offset it is UTC.

use magpie_store::Timestamp;

const TICKS_PER_SECOND: i64 = 10_000_000;

/// The instant that `text` spells, if it is a date.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    // The shape is checked first, because almost all strings fail here.
    if !(10..=33).contains(&bytes.len()) || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    let (year, month, day) = (digits(text.get(0..4)?)?, digits(text.get(5..7)?)?, digits(text.get(8..10)?)?);
    if year == 0 || !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    let rest = text.get(10..)?;
    let ticks = match rest.strip_prefix('T') {
        Some(time) => time_ticks(time)?,
        None if rest.is_empty() => 0,
        None => return None,
    };
    Some(Timestamp(days * 86_400 * TICKS_PER_SECOND + ticks))
}

/// `HH:mm[:ss[.fffffff]]` and a zone, as ticks to add to midnight UTC.
fn time_ticks(text: &str) -> Option<i64> {
    let (clock, offset_minutes) = split_zone(text)?;
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, rest)| (clock, Some(rest)));
    let mut parts = clock.split(':');
    let hour = two_digits(parts.next()?, 23)?;
    let minute = two_digits(parts.next()?, 59)?;
    let second = match parts.next() {
        Some(second) => two_digits(second, 59)?,
        None if fraction.is_some() => return None,
        None => 0,
    };
    if parts.next().is_some() {
        return None;
    }
    let fraction = match fraction {
        Some(text) if (1..=7).contains(&text.len()) => {
            digits(text)? * 10_i64.pow(7 - u32::try_from(text.len()).ok()?)
        }
        Some(_) => return None,
        None => 0,
    };
    let seconds = hour * 3600 + minute * 60 + second - offset_minutes * 60;
    Some(seconds * TICKS_PER_SECOND + fraction)
}

/// Splits the zone off; its offset in minutes east of UTC.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = text.find(['+', '-']) else { return Some((text, 0)) };
    let (clock, zone) = (text.get(..at)?, text.get(at + 1..)?);
    let (hours, minutes) = zone.split_once(':')?;
    let offset = two_digits(hours, 14)? * 60 + two_digits(minutes, 59)?;
    Some((clock, if text.get(at..)?.starts_with('-') { -offset } else { offset }))
}

fn two_digits(text: &str, max: i64) -> Option<i64> {
    if text.len() == 2 { digits(text).filter(|value| *value <= max) } else { None }
}

fn digits(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (`days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn shown(text: &str) -> Option<String> {
        parse(text).map(|instant| instant.to_string())
    }

    #[test]
    fn all_spellings_of_an_instant_are_one() {
        for text in [
            "2024-01-01",
            "2024-01-01T00:00",
            "2024-01-01T00:00:00Z",
            "2024-01-01T00:00:00.0000000",
            "2024-01-01T02:00:00.0+02:00",
            "2023-12-31T18:30:00-05:30",
        ] {
            assert_eq!(shown(text).as_deref(), Some("2024-01-01T00:00:00.0000000Z"), "{text}");
        }
        assert_eq!(shown("2024-02-29T23:59:59.9999999").as_deref(), Some("2024-02-29T23:59:59.9999999Z"));
        assert_eq!(shown("0001-01-01").as_deref(), Some("0001-01-01T00:00:00.0000000Z"));
    }

    #[test]
    fn other_strings_are_no_dates() {
        for text in [
            "",
            "2024",
            "2024-01",
            "2024-1-1",
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "0000-01-01",
            "not a date",
            "2024-01-01 10:00:00",
            "2024-01-01T24:00:00",
            "2024-01-01T10",
            "2024-01-01T10:00:00.",
            "2024-01-01T10:00Z ",
            "2024-01-01T10:00:00.12345678",
            "2024-01-01T10:00.5",
            "2024-01-01T+1:00:00",
            "20240-01-01",
            "２０２４-01-01",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
