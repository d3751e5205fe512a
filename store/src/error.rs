//! What can go wrong in the store. Fields, not strings: the HTTP edge chooses words and status codes.

use crate::json::JsonError;
use crate::kv::KvError;
use thiserror::Error;

/// A failed store call. Unless stated otherwise nothing was written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The id breaks the rules of [`crate::DocumentId`].
    #[error("'{id}' is not a valid document id: {reason}")]
    InvalidId {
        /// The id, cut to 100 characters.
        id: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The collection name breaks the rules of [`crate::Collection`].
    #[error("'{name}' is not a valid collection name: it must have 1 to 256 bytes and no control characters")]
    InvalidCollection {
        /// The name, cut to 100 characters.
        name: String,
    },
    /// The JSON text is malformed or beyond a limit.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The document is not a JSON object, or its `@metadata` is not.
    #[error("document '{id}' is not valid: {reason}")]
    InvalidDocument {
        /// The document's id as requested.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The document is larger than [`crate::limits::DOCUMENT_BYTES_MAX`].
    #[error("document '{id}' has {bytes} bytes; the limit (document_bytes_max) is {limit}")]
    DocumentTooLarge {
        /// The document's id as requested.
        id: String,
        /// Its size as compact JSON.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An attachment breaks a rule.
    #[error("attachment '{name}' is not valid: {reason}")]
    InvalidAttachment {
        /// Its name; may be empty.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no document that the attachment could belong to.
    #[error("Cannot put attachment {name} on a non existent document '{id}'.")]
    AttachmentOwnerMissing {
        /// The document.
        id: String,
        /// The attachment.
        name: String,
    },
    /// The document has no such attachment.
    #[error("document '{id}' has no attachment '{name}'")]
    AttachmentMissing {
        /// The document.
        id: String,
        /// The attachment.
        name: String,
    },
    /// A counter breaks a rule.
    #[error("counter '{name}' of document '{id}' is not valid: {reason}")]
    InvalidCounter {
        /// The document.
        id: String,
        /// The counter, cut to 100 characters; may be empty.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no document that the counter could belong to.
    #[error("Document '{id}' does not exist. Cannot operate on counters of a missing document.")]
    CounterOwnerMissing {
        /// The document.
        id: String,
    },
    /// A counter has not the value that was read of it.
    #[error("counter '{name}' of document '{id}' has changed since it was read")]
    CounterMoved {
        /// The document.
        id: String,
        /// The counter.
        name: String,
    },
    /// The sum would not be a 64-bit whole number.
    #[error("Could not increment counter '{name}' from document '{id}' with value '{value}' by '{by}'.")]
    CounterOverflow {
        /// The document.
        id: String,
        /// The counter.
        name: String,
        /// Its value.
        value: i64,
        /// What was to be added.
        by: i64,
    },
    /// The expected change vector is not the current one.
    #[error("{}", conflict_text(.id, .expected, .actual.as_deref(), *.delete))]
    Conflict {
        /// The document.
        id: String,
        /// What the command expected; empty = must not exist.
        expected: String,
        /// The current change vector; `None` = the document does not exist.
        actual: Option<String>,
        /// Whether the command was a delete.
        delete: bool,
    },
    /// The expected index of a compare-exchange value is not the current one.
    #[error(
        "Concurrency check failed for the compare-exchange value '{key}': its index is {actual}, but {expected} was expected"
    )]
    ExchangeConflict {
        /// The key.
        key: String,
        /// What the command expected; 0 = must not exist.
        expected: u64,
        /// The current index; 0 = there is none.
        actual: u64,
    },
    /// A put would move the document to another collection.
    #[error(
        "Changing '{id}' from '{from}' to '{to}' via update is not supported. Delete it and recreate the document '{id}'."
    )]
    CollectionMismatch {
        /// The document.
        id: String,
        /// Its collection.
        from: String,
        /// The collection of the put.
        to: String,
    },
    /// The files were written by another version of Magpie.
    #[error(
        "the data folder has format version {found}, this program reads version {supported}; use a matching version"
    )]
    UnsupportedFormat {
        /// The version in the store.
        found: u64,
        /// The version this program writes.
        supported: u64,
    },
    /// A stored row does not have the layout it must have.
    #[error("stored data is damaged: {0}; restore a backup or run a verification")]
    Corrupt(String),
    /// An earlier commit failed, so its outcome is unknown; writes are refused until a restart.
    #[error(
        "the database takes no writes since a commit failed ({cause}); fix the disk and restart the server"
    )]
    WritesStopped {
        /// The first failure.
        cause: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Kv(#[from] KvError),
}

/// The wording of the original server, which its clients' users know.
fn conflict_text(id: &str, expected: &str, actual: Option<&str>, delete: bool) -> String {
    const END: &str = "Optimistic concurrency violation, transaction will be aborted.";
    match (actual, delete) {
        (Some(actual), false) if expected.is_empty() => format!(
            "Document {id} has change vector {actual}, but Put was called with expecting new document. {END}"
        ),
        (Some(actual), false) => {
            format!(
                "Document {id} has change vector {actual}, but Put was called with change vector {expected}. {END}"
            )
        }
        (None, false) => {
            format!("Document {id} does not exist, but Put was called with change vector: {expected}. {END}")
        }
        (Some(actual), true) => format!(
            "Document {id} has change vector {actual}, but Delete was called with change vector '{expected}'. {END}"
        ),
        (None, true) => {
            format!(
                "Document {id} does not exist, but delete was called with change vector '{expected}'. {END}"
            )
        }
    }
}
