//! The options of an import of CSV (`csvImportOptions`), as clients send them.

use crate::error::ServerError;
use magpie_store::json::{Json, Object};

/// The dialect of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CsvOptions {
    /// `Delimiter`: what separates cells.
    pub(crate) delimiter: u8,
    /// `Quote`: what stands around cells with delimiters, quotes and line ends.
    pub(crate) quote: u8,
    /// `AllowComments` and `Comment`: what begins a line that is none; `None` for nothing.
    pub(crate) comment: Option<u8>,
    /// `TrimOptions`: whether blanks around cells are taken away.
    pub(crate) trim: bool,
    /// The same for those inside of quotes.
    pub(crate) trim_inside_quotes: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: b',', quote: b'"', comment: None, trim: false, trim_inside_quotes: false }
    }
}

impl CsvOptions {
    /// Reads the options; null and what is absent mean the usual.
    ///
    /// # Errors
    /// [`ServerError::ValueNotAllowed`] names the option.
    pub(crate) fn read(options: &Object) -> Result<Self, ServerError> {
        let mut read = Self::default();
        let mut comment = b'#';
        let mut allows_comments = false;
        for (key, value) in options.iter().filter(|(_, value)| !matches!(value, Json::Null)) {
            match key {
                "Delimiter" => read.delimiter = character("Delimiter", value)?,
                "Quote" => read.quote = character("Quote", value)?,
                "Comment" => comment = character("Comment", value)?,
                "AllowComments" => {
                    let expected = "true or false";
                    allows_comments =
                        value.as_bool().ok_or_else(|| not_allowed("AllowComments", value, expected))?;
                }
                "TrimOptions" => (read.trim, read.trim_inside_quotes) = trim(value)?,
                _ => {
                    let expected = "Delimiter, Quote, TrimOptions, AllowComments and Comment only";
                    return Err(not_allowed("csvImportOptions", &Json::from(key), expected));
                }
            }
        }
        read.comment = allows_comments.then_some(comment);
        if read.delimiter == read.quote
            || read.comment.is_some_and(|c| c == read.delimiter || c == read.quote)
        {
            let value = Json::from(char::from(read.delimiter).to_string());
            return Err(not_allowed(
                "Delimiter",
                &value,
                "other characters for Delimiter, Quote and Comment",
            ));
        }
        Ok(read)
    }
}

fn character(name: &'static str, value: &Json) -> Result<u8, ServerError> {
    match value.as_str().map(str::as_bytes) {
        Some(&[byte]) if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(byte),
        _ => Err(not_allowed(name, value, "one character of ASCII, and no line end")),
    }
}

fn trim(value: &Json) -> Result<(bool, bool), ServerError> {
    let expected = "None, Trim, InsideQuotes, or both with a comma between them";
    let text = value.as_str().ok_or_else(|| not_allowed("TrimOptions", value, expected))?;
    let mut trims = (false, false);
    for part in text.split(',') {
        match part.trim().to_ascii_lowercase().as_str() {
            "none" => {}
            "trim" => trims.0 = true,
            "insidequotes" => trims.1 = true,
            _ => return Err(not_allowed("TrimOptions", value, expected)),
        }
    }
    Ok(trims)
}

fn not_allowed(name: &'static str, value: &Json, expected: &'static str) -> ServerError {
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    ServerError::ValueNotAllowed { name, value: value.chars().take(100).collect(), expected }
}
