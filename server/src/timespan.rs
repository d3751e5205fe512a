//! Spans of time on the wire: .NET's `[d.]hh:mm:ss[.fffffff]`, or a number of milliseconds.

use magpie_store::json::Json;
use std::time::Duration;

/// Reads a span: `00:00:15`, `1.00:00:00.5`, or `5000` (milliseconds). `None` for anything else and for negative ones.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    if let Ok(milliseconds) = text.parse::<u64>() {
        return Some(Duration::from_millis(milliseconds));
    }
    let (whole, fraction) = match text.rsplit_once(':') {
        Some((head, seconds)) => {
            let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
            (format!("{head}:{seconds}"), fraction)
        }
        None => return None,
    };
    let (days, clock) = whole.split_once('.').unwrap_or(("0", &whole));
    let mut parts = clock.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || fraction.len() > 9 {
        return None;
    }
    let number = |text: &str| -> Option<u64> {
        if text.is_empty() || text.len() > 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        text.parse().ok()
    };
    let nanos = if fraction.is_empty() { 0 } else { number(&format!("{fraction:0<8}"))? * 10 };
    let seconds = ((number(days)? * 24 + number(hours)?) * 60 + number(minutes)?) * 60 + number(seconds)?;
    Some(Duration::new(seconds, u32::try_from(nanos).ok()?))
}

/// Reads a JSON value: a number of milliseconds or a span's text.
#[must_use]
pub fn from_json(value: &Json) -> Option<Duration> {
    match value {
        Json::String(text) => parse(text),
        Json::Number(number) => u64::try_from(number.as_i64()?).ok().map(Duration::from_millis),
        _ => None,
    }
}

/// Writes a span as .NET does: `00:00:00.5000000`, `1.02:03:04`.
#[must_use]
pub fn format(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let days = if days == 0 { String::new() } else { format!("{days}.") };
    let ticks = span.subsec_nanos() / 100;
    let fraction = if ticks == 0 { String::new() } else { format!(".{ticks:07}") };
    format!("{days}{hours:02}:{minutes:02}:{:02}{fraction}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::{format, parse};
    use std::time::Duration;

    #[test]
    fn reads_what_the_clients_send() {
        assert_eq!(parse("00:00:15"), Some(Duration::from_secs(15)));
        assert_eq!(parse("00:00:00.3000000"), Some(Duration::from_millis(300)));
        assert_eq!(parse("00:00:00.5"), Some(Duration::from_millis(500)));
        assert_eq!(parse("1.02:03:04"), Some(Duration::from_secs(93_784)));
        assert_eq!(parse("5000"), Some(Duration::from_secs(5)));
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "x", "-1", "-00:00:01", "00:00", "1:2:3:4", "00:00:1x", "::", "99999999999:00:00"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn writes_what_dotnet_writes() {
        assert_eq!(format(Duration::from_millis(500)), "00:00:00.5000000");
        assert_eq!(format(Duration::from_secs(93_784)), "1.02:03:04");
        assert_eq!(format(Duration::from_secs(15)), "00:00:15");
    }
}
