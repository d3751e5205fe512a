//! Lists of documents as the wire's text.

use crate::error::ServerError;

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
