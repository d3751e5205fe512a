//! What can go wrong with patches; nothing was written then.

use magpie_indexes::FunctionError;
use magpie_indexes::patches::PatchError;
use thiserror::Error;

/// A patch that cannot be made. The status of each is in [`crate::error`].
#[derive(Debug, Error)]
pub enum PatchFailure {
    /// A request to patch names no patch.
    #[error("The 'Patch' field in the body request is mandatory")]
    Missing,
    /// A patch has no script.
    #[error("Missing 'Script' property on '{0}'")]
    ScriptMissing(&'static str),
    /// The script of a patch is not JavaScript.
    #[error("Failed to parse: {error}\n\n{script}")]
    Parse {
        /// Where and why.
        error: FunctionError,
        /// The script, cut to 1000 characters.
        script: String,
    },
    /// The script of a patch may not be run.
    #[error("The patch script cannot be run: {0}")]
    Refused(FunctionError),
    /// A patch failed on a document.
    #[error("Script failed for document ID '{id}'. {error}; its batch was not written")]
    Failed {
        /// The document.
        id: String,
        /// Why.
        error: PatchError,
    },
    /// A patch expects another change vector than the document has.
    #[error("Could not patch document '{id}' because non current change vector was used")]
    Conflict {
        /// The document.
        id: String,
        /// What was expected; empty = must not exist.
        expected: String,
        /// What it has; `None` = there is none.
        actual: Option<String>,
    },
    /// A JSON patch has not the form of one.
    #[error("The JSON patch cannot be read: {0}")]
    JsonPatch(String),
    /// A JSON patch of a document that does not exist.
    #[error("Cannot apply json patch because the document {0} does not exist")]
    JsonPatchMissing(String),
    /// A JSON patch cannot be applied to its document.
    #[error(
        "An error occurred while trying to apply json patch operation to document {id}. {reason}; its batch was not written"
    )]
    JsonPatchFailed {
        /// The document.
        id: String,
        /// Which operation, and why.
        reason: String,
    },
    /// The patches of a batch do too much together.
    #[error("{what}; nothing was written, send fewer documents at a time")]
    BatchTooLarge {
        /// What is too much, with the limit.
        what: String,
    },
}
