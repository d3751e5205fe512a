//! Patterns of the ids of reference documents: `reports/daily/{OrderedAt:yyyy-MM-dd}`.

use magpie_store::json::{Json, Object};
use thiserror::Error;

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Provided pattern is not supported: {pattern} ({reason} at character {column})")]
pub struct PatternError {
    /// The pattern as it was given.
    pub pattern: String,
    /// What is wrong and what to do.
    pub reason: String,
    /// Where, in characters from 1.
    pub column: usize,
}

/// A pattern, ready to be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field { name: String, format: Vec<DatePart> },
}

/// A piece of a date in a format.
#[derive(Debug, Clone, PartialEq, Eq)]
enum DatePart {
    /// Characters of the date's text from here to there: `yyyy-MM-ddTHH:mm:ss.fffffff`.
    Digits(usize, usize),
    Text(String),
}

/// What may stand in a format, and where it is in the text of a date.
const DATE_PARTS: [(&str, usize, usize); 7] = [
    ("yyyy", 0, 4),
    ("MM", 5, 7),
    ("dd", 8, 10),
    ("HH", 11, 13),
    ("mm", 14, 16),
    ("ss", 17, 19),
    ("fff", 20, 23),
];

impl Pattern {
    /// Reads a pattern: text with fields in braces, each with an optional date format behind a colon.
    ///
    /// # Errors
    /// [`PatternError`] when a brace is not closed or not opened, a field has no name, or a format has other letters
    /// than `yyyy`, `MM`, `dd`, `HH`, `mm`, `ss` and `fff`.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        let refuse = |offset: usize, reason: &str| PatternError {
            pattern: pattern.to_owned(),
            reason: reason.to_owned(),
            column: pattern.get(..offset).unwrap_or_default().chars().count() + 1,
        };
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(rest) = pattern.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(open) = rest.find(['{', '}']) else {
                parts.push(Part::Text(rest.to_owned()));
                break;
            };
            if rest.get(open..).is_some_and(|brace| brace.starts_with('}')) {
                return Err(refuse(at + open, "a brace is closed that was not opened"));
            }
            if open > 0 {
                parts.push(Part::Text(rest.get(..open).unwrap_or_default().to_owned()));
            }
            let inner = rest.get(open + 1..).unwrap_or_default();
            let close = inner
                .find(['{', '}'])
                .filter(|close| inner.get(*close..).is_some_and(|c| c.starts_with('}')));
            let Some(close) = close else {
                return Err(refuse(
                    at + open,
                    "a brace is opened and not closed: write {Field} or {Field:yyyy-MM-dd}",
                ));
            };
            let field = inner.get(..close).unwrap_or_default();
            let (name, format) = field.split_once(':').unwrap_or((field, ""));
            if name.trim().is_empty() {
                return Err(refuse(at + open, "a field without a name: write {Field}"));
            }
            let format = date_format(format).map_err(|reason| refuse(at + open, &reason))?;
            parts.push(Part::Field { name: name.trim().to_owned(), format });
            at += open + 1 + close + 1;
        }
        Ok(Self { parts })
    }

    /// The id for a result; `None` when it lacks a field, or the field's value has no text.
    #[must_use]
    pub fn id(&self, result: &Object) -> Option<String> {
        let mut id = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => id.push_str(text),
                Part::Field { name, format } => {
                    let text = match member(result, name)? {
                        Json::String(text) => text.clone(),
                        Json::Number(number) => number.to_string(),
                        Json::ScriptNumber(number) => number.to_string(),
                        Json::Bool(value) => value.to_string(),
                        Json::Null | Json::Array(_) | Json::Object(_) => return None,
                    };
                    if format.is_empty() {
                        id.push_str(&text);
                    } else {
                        push_date(&text, format, &mut id)?;
                    }
                }
            }
        }
        Some(id)
    }
}

fn member<'r>(result: &'r Object, path: &str) -> Option<&'r Json> {
    let mut steps = path.split('.');
    let first = result.get(steps.next()?)?;
    steps.try_fold(first, |at, step| at.get(step))
}

fn date_format(format: &str) -> Result<Vec<DatePart>, String> {
    let mut parts = Vec::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        if let Some((word, from, to)) = DATE_PARTS.iter().find(|(word, ..)| rest.starts_with(word)) {
            parts.push(DatePart::Digits(*from, *to));
            rest = rest.get(word.len()..).unwrap_or_default();
        } else if first.is_alphanumeric() {
            return Err(format!(
                "'{first}' is no part of a date format: use yyyy, MM, dd, HH, mm, ss and fff"
            ));
        } else {
            parts.push(DatePart::Text(first.to_string()));
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(parts)
}

/// Appends a date in a format; `None` when the text is no date, or is too short for it.
fn push_date(text: &str, format: &[DatePart], id: &mut String) -> Option<()> {
    let marks = [(4, b'-'), (7, b'-')];
    let is_date = text.is_ascii() && marks.iter().all(|(at, mark)| text.as_bytes().get(*at) == Some(mark));
    for part in format {
        match part {
            DatePart::Text(text) => id.push_str(text),
            DatePart::Digits(from, to) => {
                let digits = text.get(*from..*to).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
                id.push_str(digits.filter(|_| is_date)?);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use magpie_store::json::parse;

    fn id(pattern: &str, result: &str) -> Option<String> {
        let Ok(Json::Object(result)) = parse(result.as_bytes()) else { panic!("{result}") };
        Pattern::parse(pattern).unwrap_or_else(|error| panic!("{error}")).id(&result)
    }

    #[test]
    fn fields_are_filled_in() {
        let result =
            r#"{"at":"2024-03-05T06:07:08.0090000Z","n":7,"a":{"b":"x"},"yes":true,"gone":null,"list":[1]}"#;
        for (pattern, expected) in [
            ("plain", Some("plain")),
            ("daily/{at:yyyy-MM-dd}", Some("daily/2024-03-05")),
            ("{at:yyyy/MM}/{n}", Some("2024/03/7")),
            ("h/{at:HH.mm.ss.fff}", Some("h/06.07.08.009")),
            ("{a.b}/{yes}", Some("x/true")),
            ("{gone}", None),
            ("{missing}", None),
            ("{list}", None),
            ("{n:yyyy}", None),
        ] {
            assert_eq!(id(pattern, result).as_deref(), expected, "{pattern}");
        }
    }

    #[test]
    fn bad_patterns_are_refused_with_their_place() {
        for (pattern, column) in [
            ("x/{name", 3),
            ("x/{na{me}", 3),
            ("x}/{name}", 2),
            ("ä/{}", 3),
            ("{a}/{:yyyy}", 5),
            ("{a:yyyy-Q}", 1),
        ] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert_eq!(error.column, column, "{error}");
            assert!(error.to_string().starts_with(&format!("Provided pattern is not supported: {pattern}")));
        }
    }
}
