//! A row of an answer: a value that `select` made, or text that is given as it is stored.

use crate::projection;
use magpie_store::json::{Json, parse_stored};

/// A row as the client sees it: a JSON object with `@metadata`.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerRow {
    /// What `select` made, or what had to be looked into.
    Made(Json),
    /// Compact JSON text that nobody had to look into: whole documents and results.
    Stored(Vec<u8>),
}

impl AnswerRow {
    /// Appends it as compact JSON text.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Made(row) => row.write_to(out),
            Self::Stored(text) => out.extend_from_slice(text),
        }
    }

    /// The row as a value.
    #[must_use]
    pub fn into_json(self) -> Json {
        match self {
            Self::Made(row) => row,
            // It was put together of texts that the store has checked.
            Self::Stored(text) => parse_stored(&text).unwrap_or(Json::Null),
        }
    }

    /// About how many bytes it takes as text.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Made(row) => projection::bytes(row),
            Self::Stored(text) => text.len(),
        }
    }
}
