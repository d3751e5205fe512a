//! Methods of strings, which count in UTF-16 units.

use super::{argument, number};
use crate::script::compiled::machine::Machine;
use crate::script::compiled::methods::Method;
use crate::script::compiled::numbers::relative;
use crate::script::compiled::text::{Text, is_space};
use crate::script::compiled::value::{ErrorKind, Outcome, Stop, Value, hand_over};
use std::cmp::Ordering;

impl<'a> Machine<'a> {
    /// A method of a string.
    pub fn text_method(
        &mut self,
        string: Value<'a>,
        text: Text<'a>,
        method: Method,
        arguments: &[Value<'a>],
    ) -> Outcome<'a> {
        let first = argument(arguments, 0);
        self.charge(text.stored_bytes() as u64 / 64)?;
        match method {
            Method::ToString | Method::ValueOf => Ok(string),
            Method::Slice => {
                let (from, to) = self.range(text.len(), first, argument(arguments, 1))?;
                self.slice(text, from, to)
            }
            Method::Substring => {
                let len = text.len();
                let clamp = |index: i64| usize::try_from(index).unwrap_or(0).min(len);
                let from = clamp(self.integer(first, 0)?);
                let to = clamp(self.integer(argument(arguments, 1), i64::MAX)?);
                self.slice(text, from.min(to), from.max(to))
            }
            Method::Substr => {
                let len = text.len();
                let from = relative(self.integer(first, 0)?, len);
                let count = self.integer(argument(arguments, 1), i64::MAX)?;
                let to = from.saturating_add(usize::try_from(count).unwrap_or(0)).min(len);
                self.slice(text, from, to)
            }
            Method::CharAt | Method::At | Method::CharCodeAt | Method::CodePointAt => {
                self.character(text, method, first)
            }
            Method::IndexOf
            | Method::LastIndexOf
            | Method::Includes
            | Method::StartsWith
            | Method::EndsWith => self.find_text(text, method, arguments),
            Method::Split => self.split(text, arguments),
            Method::Trim | Method::TrimStart | Method::TrimEnd => trimmed(text, method),
            Method::PadStart | Method::PadEnd => self.pad(text, method, arguments),
            Method::Repeat => self.repeat(text, first),
            Method::ToLowerCase | Method::ToUpperCase => {
                let Text::Ascii(text) = text else { return hand_over(&"the case of text beyond ASCII") };
                let changed = if method == Method::ToLowerCase {
                    text.to_ascii_lowercase()
                } else {
                    text.to_ascii_uppercase()
                };
                self.ascii(&changed)
            }
            Method::Concat => {
                let mut whole = string;
                for value in arguments {
                    self.check_length(*value)?;
                    let part = self.string_of(*value)?;
                    whole = self.join(whole, part)?;
                }
                Ok(whole)
            }
            Method::Replace | Method::ReplaceAll => self.replace(text, method, arguments),
            Method::LocaleCompare if arguments.len() == 1 => {
                let other = self.text_of(first)?;
                Ok(Value::Number(match text.compare(other) {
                    Ordering::Less => -1.0,
                    Ordering::Equal => 0.0,
                    Ordering::Greater => 1.0,
                }))
            }
            _ => hand_over(&"a method of a string"),
        }
    }

    fn repeat(&mut self, text: Text<'a>, first: Value<'a>) -> Outcome<'a> {
        let times = self.number(first)?;
        let times = if times.is_nan() { 0.0 } else { times.trunc() };
        if times < 0.0 || times.is_infinite() {
            return Err(Stop::Failed(ErrorKind::Range));
        }
        let times = crate::script::compiled::numbers::to_integer(times);
        let times = usize::try_from(times).unwrap_or(usize::MAX);
        self.charge_length(text.stored_bytes().max(1).saturating_mul(times))?;
        match text.as_str() {
            Some(text) => self.string(&text.repeat(times)),
            None => hand_over(&"repeating text with half a surrogate pair"),
        }
    }

    fn character(&mut self, text: Text<'a>, method: Method, index: Value<'a>) -> Outcome<'a> {
        let len = text.len();
        let mut index = self.integer(index, 0)?;
        if method == Method::At && index == i64::MIN {
            return hand_over(&"an index that the engine cannot negate");
        }
        if method == Method::At && index < 0 {
            index = index.saturating_add(i64::try_from(len).unwrap_or(0));
        }
        let place = usize::try_from(index).ok().filter(|place| *place < len);
        let unit = place.and_then(|place| text.unit(place));
        match (method, place, unit) {
            (Method::CharCodeAt, _, Some(unit)) => Ok(Value::Number(f64::from(unit))),
            (Method::CharCodeAt, ..) => Ok(Value::Number(f64::NAN)),
            (Method::CodePointAt, _, Some(unit)) if !(0xd800..=0xdfff).contains(&unit) => {
                Ok(Value::Number(f64::from(unit)))
            }
            (Method::CodePointAt, _, Some(_)) => hand_over(&"a code point beyond 16 bits"),
            (Method::CharAt | Method::At, Some(place), Some(_)) => self.slice(text, place, place + 1),
            (Method::CharAt, ..) => Ok(Value::Ascii("")),
            _ => Ok(Value::Undefined),
        }
    }

    /// The search text of a method, which must be no regular expression.
    fn searched(&mut self, value: Value<'a>) -> Outcome<'a, Text<'a>> {
        match value {
            Value::Regex(_) => hand_over(&"a search by a regular expression"),
            value => {
                self.check_length(value)?;
                self.text_of(value)
            }
        }
    }

    fn find_text(&mut self, text: Text<'a>, method: Method, arguments: &[Value<'a>]) -> Outcome<'a> {
        if method == Method::LastIndexOf && arguments.len() > 1 {
            return hand_over(&"lastIndexOf with a place");
        }
        let wanted = self.searched(argument(arguments, 0))?;
        let len = text.len();
        let clamp = |index: i64| usize::try_from(index).unwrap_or(0).min(len);
        let from = match method {
            Method::EndsWith => clamp(self.integer(argument(arguments, 1), i64::MAX)?),
            Method::LastIndexOf => 0,
            _ => clamp(self.integer(argument(arguments, 1), 0)?),
        };
        self.charge(text.stored_bytes() as u64 / 16)?;
        Ok(match method {
            Method::IndexOf => index_of(text, wanted, from).map_or(Value::Number(-1.0), number),
            Method::LastIndexOf => last_index_of(text, wanted).map_or(Value::Number(-1.0), number),
            Method::Includes => Value::Bool(index_of(text, wanted, from).is_some()),
            Method::StartsWith => Value::Bool(is_there(text, wanted, from)),
            _ => Value::Bool(from.checked_sub(wanted.len()).is_some_and(|at| is_there(text, wanted, at))),
        })
    }

    fn split(&mut self, text: Text<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
        if !matches!(argument(arguments, 1), Value::Undefined) {
            return hand_over(&"split with a limit");
        }
        let separator = match argument(arguments, 0) {
            Value::Undefined => return self.list_of_values(&[text.into()]),
            separator => self.searched(separator)?,
        };
        self.charge_length(text.stored_bytes())?;
        let (Some(whole), Some(separator)) = (text.as_str(), separator.as_str()) else {
            return hand_over(&"splitting text with half a surrogate pair");
        };
        let mut parts: Vec<Value<'a>> = Vec::new();
        if separator.is_empty() {
            if !whole.is_ascii() {
                return hand_over(&"splitting text beyond ASCII into characters");
            }
            for at in 0..whole.len() {
                parts.push(Value::Ascii(whole.get(at..=at).unwrap_or("")));
            }
            self.charge(whole.len() as u64)?;
        } else {
            parts.extend(whole.split(separator).map(|part| Value::from(Text::of(part))));
            self.charge(parts.len() as u64)?;
        }
        self.list_of_values(&parts)
    }

    fn pad(&mut self, text: Text<'a>, method: Method, arguments: &[Value<'a>]) -> Outcome<'a> {
        let wanted = usize::try_from(self.integer(argument(arguments, 0), 0)?).unwrap_or(0);
        let filler = match argument(arguments, 1) {
            Value::Undefined => Text::Ascii(" "),
            filler => self.text_of(filler)?,
        };
        let (Text::Ascii(text), Text::Ascii(filler)) = (text, filler) else {
            return hand_over(&"padding with text beyond ASCII");
        };
        self.charge_length(wanted)?;
        let missing = wanted.saturating_sub(text.len());
        if missing == 0 || filler.is_empty() {
            return Ok(Value::Ascii(text));
        }
        let padding: String = filler.chars().cycle().take(missing).collect();
        if method == Method::PadStart {
            self.ascii(&format!("{padding}{text}"))
        } else {
            self.ascii(&format!("{text}{padding}"))
        }
    }

    fn replace(&mut self, text: Text<'a>, method: Method, arguments: &[Value<'a>]) -> Outcome<'a> {
        let wanted = self.searched(argument(arguments, 0))?;
        let with = match argument(arguments, 1) {
            with if with.is_object() => return hand_over(&"a replacement by a function"),
            with => self.text_of(with)?,
        };
        let (Some(text), Some(wanted), Some(with)) = (text.as_str(), wanted.as_str(), with.as_str()) else {
            return hand_over(&"a replacement in text with half a surrogate pair");
        };
        if with.contains('$') || wanted.is_empty() {
            return hand_over(&"a replacement with references");
        }
        self.charge_length(text.len())?;
        if method == Method::Replace {
            let Some((before, after)) = text.split_once(wanted) else { return Ok(Text::of(text).into()) };
            return self.string(&format!("{before}{with}{after}"));
        }
        self.charge_length(text.matches(wanted).count().saturating_mul(with.len()))?;
        self.string(&text.replace(wanted, with))
    }
}

/// Text without the space at its ends.
fn trimmed<'a>(text: Text<'a>, method: Method) -> Outcome<'a> {
    let Some(text) = text.as_str() else {
        return hand_over(&"trimming text with half a surrogate pair");
    };
    let trimmed = match method {
        Method::Trim => text.trim_matches(is_space),
        Method::TrimStart => text.trim_start_matches(is_space),
        _ => text.trim_end_matches(is_space),
    };
    Ok(Text::of(trimmed).into())
}

/// The first place at or after another.
fn index_of(text: Text<'_>, wanted: Text<'_>, from: usize) -> Option<usize> {
    if let (Text::Ascii(text), Some(wanted)) = (text, wanted.as_str()) {
        return text.get(from..)?.find(wanted).map(|found| from + found);
    }
    let (text, wanted) = (text.units(), wanted.units());
    if wanted.is_empty() {
        return Some(from);
    }
    text.get(from..)?.windows(wanted.len()).position(|part| part == wanted).map(|found| from + found)
}

fn last_index_of(text: Text<'_>, wanted: Text<'_>) -> Option<usize> {
    if let (Text::Ascii(text), Some(wanted)) = (text, wanted.as_str()) {
        return text.rfind(wanted);
    }
    let (text, wanted) = (text.units(), wanted.units());
    if wanted.is_empty() {
        return Some(text.len());
    }
    text.windows(wanted.len()).rposition(|part| part == wanted)
}

fn is_there(text: Text<'_>, wanted: Text<'_>, at: usize) -> bool {
    if let (Text::Ascii(text), Some(wanted)) = (text, wanted.as_str()) {
        return text.get(at..).is_some_and(|rest| rest.starts_with(wanted));
    }
    text.units().get(at..).is_some_and(|rest| rest.starts_with(&wanted.units()))
}
