//! The query string, read as tolerantly as the clients write it.
//!
//! Seen in the wild: empty pairs (`docs?&id=x`), a bare question mark (`bulk_docs?`), a second question mark before
//! a key (`&?raft-request-id=`), empty values that mean "default", booleans in any case. Keys are compared without
//! regard to case; keys nobody asks for are ignored.

use crate::error::ServerError;
use percent_encoding::percent_decode_str;

/// The (key, value) pairs of a query string, decoded, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Reads the text after the question mark.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter_map(|pair| {
            let pair = pair.trim_start_matches('?');
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (!key.is_empty()).then(|| (decode(key), decode(value)))
        });
        Self(pairs.collect())
    }

    /// The first value of `key`, empty or not.
    #[must_use]
    pub fn raw(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    /// The first value of `key`; `None` when absent or empty.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.raw(key).filter(|value| !value.is_empty())
    }

    /// Every value of `key`, in order, empty ones too.
    pub fn all<'a, 'k>(&'a self, key: &'k str) -> impl Iterator<Item = &'a str> + use<'a, 'k> {
        self.0.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    /// [`ServerError::ParameterMissing`] when it is absent or empty, [`ServerError::ParameterRepeated`] when it is
    /// there twice.
    pub fn required(&self, key: &'static str) -> Result<&str, ServerError> {
        if self.all(key).nth(1).is_some() {
            return Err(ServerError::ParameterRepeated { name: key });
        }
        self.get(key).ok_or(ServerError::ParameterMissing { name: key })
    }

    /// A whole number; `None` when absent or empty.
    ///
    /// # Errors
    /// [`ServerError::ParameterNotANumber`] when it is not a whole number.
    pub fn number(&self, key: &'static str) -> Result<Option<i64>, ServerError> {
        let Some(text) = self.get(key) else { return Ok(None) };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(ServerError::ParameterNotANumber { name: key, value: text.to_owned() }),
        }
    }

    /// Whether a boolean parameter is set: `true` in any case; not when it is absent or empty.
    ///
    /// # Errors
    /// [`ServerError::ParameterNotABoolean`] when it is neither `true` nor `false`.
    pub fn flag(&self, key: &'static str) -> Result<bool, ServerError> {
        match self.get(key) {
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
            Some(value) if !value.eq_ignore_ascii_case("false") => {
                Err(ServerError::ParameterNotABoolean { name: key, value: value.chars().take(100).collect() })
            }
            _ => Ok(false),
        }
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::Pairs;

    #[test]
    fn reads_sloppy_query_strings() {
        let pairs = Pairs::parse("&id=users%2F1-a&&?raft-request-id=7&Flag=True&empty=&bare&id=b+c&=x");
        assert_eq!(pairs.all("id").collect::<Vec<_>>(), ["users/1-a", "b c"]);
        assert_eq!(pairs.get("raft-request-id"), Some("7"));
        assert!(pairs.flag("flag").unwrap() && !pairs.flag("empty").unwrap());
        assert!(pairs.flag("bare").is_ok() && pairs.flag("raft-request-id").is_err());
        assert!(pairs.required("id").is_err() && pairs.required("flag").is_ok());
        assert_eq!((pairs.raw("empty"), pairs.get("empty")), (Some(""), None));
        assert_eq!(pairs.raw("bare"), Some(""));
        assert_eq!(Pairs::parse(""), Pairs::default());
    }

    #[test]
    fn numbers_are_numbers_or_errors() {
        let pairs = Pairs::parse("start=-1&pageSize=x&skip=");
        assert_eq!(pairs.number("start").unwrap(), Some(-1));
        assert_eq!(pairs.number("skip").unwrap(), None);
        assert!(pairs.number("pageSize").is_err());
    }
}
