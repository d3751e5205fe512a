//! Documents as the wire's text, put together from the stored text without parsing it.
//!
//! The store keeps a document's fields and its metadata as compact JSON objects, the metadata without `@id`,
//! `@change-vector` and `@last-modified`, so those can be appended without looking for duplicates.

use crate::error::ServerError;
use magpie_store::json::Json;
use magpie_store::{ChangeVector, Document};

/// Appends a document: its fields (left out with `metadata_only`), then `@metadata`.
pub(crate) fn write_document(document: &Document, database_id: &str, metadata_only: bool, out: &mut Vec<u8>) {
    if metadata_only {
        out.push(b'{');
    } else {
        open_object(&document.body, out);
    }
    out.extend_from_slice(b"\"@metadata\":");
    open_object(&document.metadata, out);
    write_pair("@change-vector", ChangeVector::new(document.etag, database_id).as_str(), out);
    out.push(b',');
    write_pair("@id", document.id.as_str(), out);
    out.push(b',');
    write_pair("@last-modified", &document.last_modified.to_string(), out);
    out.extend_from_slice(b"}}");
}

/// Appends an object's text without its closing brace, ready for another pair.
fn open_object(text: &str, out: &mut Vec<u8>) {
    let open = text.strip_suffix('}').unwrap_or("{");
    out.extend_from_slice(open.as_bytes());
    if open.len() > 1 {
        out.push(b',');
    }
}

fn write_pair(key: &str, value: &str, out: &mut Vec<u8>) {
    write_string(key, out);
    out.push(b':');
    write_string(value, out);
}

/// Appends a JSON string.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    Json::String(text.to_owned()).write_to(out);
}

/// A list of documents that grows up to a limit.
pub(crate) struct DocumentList {
    text: Vec<u8>,
    limit: usize,
    empty: bool,
}

impl DocumentList {
    /// An answer that begins with `head`; the list follows in brackets.
    pub(crate) fn new(head: &str, limit: usize) -> Self {
        let mut text = head.as_bytes().to_vec();
        text.push(b'[');
        Self { text, limit, empty: true }
    }

    /// Appends an element that `write` writes.
    ///
    /// # Errors
    /// [`ServerError::TooLarge`] when the answer grows beyond its limit.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), ServerError> {
        if !self.empty {
            self.text.push(b',');
        }
        self.empty = false;
        write(&mut self.text);
        if self.text.len() > self.limit {
            return Err(answer_too_large(self.limit));
        }
        Ok(())
    }

    /// Closes the list and gives the text so far.
    pub(crate) fn close(mut self) -> Vec<u8> {
        self.text.push(b']');
        self.text
    }
}

/// That an answer is larger than `answer_bytes_max`.
pub(crate) fn answer_too_large(limit: usize) -> ServerError {
    ServerError::TooLarge {
        what: "the answer",
        limit_name: "answer_bytes_max",
        limit,
        advice: "ask for fewer documents at a time with start and pageSize",
    }
}
