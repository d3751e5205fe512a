//! What can go wrong with a query. Wording follows the original server, whose users know it; [`QueryError::wire_type`]
//! gives the exception name that its clients look at. Status codes are chosen at the HTTP edge, not here.

use crate::limits;
use magpie_indexes::{CallError, IndexError};
use magpie_store::StoreError;
use magpie_store::json::Object;
use thiserror::Error;

/// A refused or failed query.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The text is not RQL.
    #[error("{}", syntax_text(*.line, *.column, .message, .found.as_deref(), .query))]
    Syntax {
        /// Line of the wrong token, from 1.
        line: u32,
        /// Column of the wrong token, in characters, from 1.
        column: u32,
        /// What was expected or is wrong.
        message: String,
        /// The wrong token; `None` at the end of the query.
        found: Option<String>,
        /// The query.
        query: Box<str>,
    },
    /// The text is RQL, but what it says makes no sense.
    #[error("{}", invalid_text(.message, .query, .parameters.as_deref()))]
    Invalid {
        /// What is wrong.
        message: String,
        /// The query.
        query: Box<str>,
        /// The parameters as JSON; `None` when it was found before they were looked at.
        parameters: Option<Box<str>>,
    },
    /// The query does not fit the index it names: unknown field, or `group by` on an index.
    #[error("{message}")]
    Argument {
        /// What is wrong and with which index.
        message: String,
    },
    /// The request is incomplete, or a parameter has the wrong type.
    #[error("{message}")]
    Operation {
        /// What is wrong.
        message: String,
    },
    /// A method or operation that RQL does not have.
    #[error("{message}")]
    Unsupported {
        /// Which one.
        message: String,
    },
    /// A method of RQL that the original's newer index engine does not have, and neither does this server.
    #[error("{message}")]
    NotImplemented {
        /// Which one, and what to do instead.
        message: String,
    },
    /// A part of RQL that this server does not answer.
    #[error("{line}:{column} {feature} is not supported by this server; rewrite the query without it")]
    NotSupported {
        /// The clause or method, as it is written in RQL.
        feature: String,
        /// Its line, from 1.
        line: u32,
        /// Its column, in characters, from 1.
        column: u32,
    },
    /// The pattern of `regex()` does not compile or is too large.
    #[error("Invalid pattern '{pattern}': {message}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// `from index` names an index that does not exist.
    #[error("Index {name} does not exist")]
    IndexMissing {
        /// The name in the query.
        name: String,
    },
    /// A limit of [`crate::limits`] was reached.
    #[error("the query needs more than {limit} {unit} ({name}); {advice}")]
    LimitReached {
        /// The limit's name.
        name: &'static str,
        /// Its value.
        limit: usize,
        /// What is counted.
        unit: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// Arithmetic of `select` that has no value.
    #[error("{line}:{column} {message}")]
    Arithmetic {
        /// Line of the operator, function or field, from 1.
        line: u32,
        /// Its column, in characters, from 1.
        column: u32,
        /// What has no value, why, and what to do.
        message: String,
    },
    /// JavaScript of the query failed on a row.
    #[error("At {line}:{column} Script failed for document ID '{id}'. {message}")]
    Script {
        /// Line in the query, from 1.
        line: u32,
        /// Column in the query, in characters, from 1.
        column: u32,
        /// The document; empty when the row is none.
        id: String,
        /// What happened.
        message: String,
    },
    /// As many queries with JavaScript run as may.
    #[error("{limit} scripts of queries run already (query_scripts_max); ask again")]
    ScriptsBusy {
        /// How many.
        limit: usize,
    },
    /// A function of the index gave no value for a group of `reduce by`.
    #[error("REDUCE BY: the {function} of index '{index}' failed. {key}: {cause}")]
    Call {
        /// `reduce` or `finalize`.
        function: &'static str,
        /// The index.
        index: String,
        /// The group, as `Reduce key: { 'a' : 1 }`.
        key: String,
        /// What happened, with its place in the script.
        cause: CallError,
    },
    /// Keys of the index fail: a fold over its results would leave them out without a word.
    #[error(
        "REDUCE BY: {count} keys of index '{index}' fail, and a sum without them would be wrong. They are listed in the \
         index's errors; mend their documents or the functions, and ask again"
    )]
    KeysFail {
        /// The index.
        index: String,
        /// How many.
        count: u64,
    },
    /// Reading documents failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Reading an index failed, or it was replaced after the snapshot was taken ([`IndexError::Moved`]: ask again on a
    /// new snapshot).
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The index is marked as failed, so its contents must not be trusted.
    #[error("Index '{name}' is marked as errored: {reason}")]
    IndexFailed {
        /// The index.
        name: String,
        /// Why.
        reason: String,
    },
}

impl QueryError {
    /// The exception name under which the original's clients know this kind of error.
    #[must_use]
    pub fn wire_type(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "Raven.Server.Documents.Queries.Parser.QueryParser+ParseException",
            Self::Invalid { .. } | Self::LimitReached { .. } | Self::Arithmetic { .. } => {
                "Raven.Client.Exceptions.InvalidQueryException"
            }
            Self::Argument { .. } => "System.ArgumentException",
            Self::Operation { .. } | Self::IndexFailed { .. } | Self::Call { .. } | Self::KeysFail { .. } => {
                "System.InvalidOperationException"
            }
            Self::Unsupported { .. } | Self::NotSupported { .. } => "System.NotSupportedException",
            Self::NotImplemented { .. } => "System.NotImplementedException",
            Self::Pattern { .. } => "System.Text.RegularExpressions.RegexParseException",
            Self::Script { .. } => "Raven.Client.Exceptions.Documents.Patching.JavaScriptException",
            Self::IndexMissing { .. } => {
                "Raven.Client.Exceptions.Documents.Indexes.IndexDoesNotExistException"
            }
            Self::Store(_) | Self::Index(_) | Self::ScriptsBusy { .. } => {
                "Raven.Client.Exceptions.RavenException"
            }
        }
    }
}

fn syntax_text(line: u32, column: u32, message: &str, found: Option<&str>, query: &str) -> String {
    match found {
        Some(token) => format!("{line}:{column} {message} but got: {token}\nQuery: \n{query}"),
        None => format!("{line}:{column} {message} but got to the end of the query\nQuery: \n{query}"),
    }
}

fn invalid_text(message: &str, query: &str, parameters: Option<&str>) -> String {
    match parameters {
        Some(parameters) => format!("{message}\nQuery: {query}\nParameters: {parameters}"),
        None => format!("{message}\nQuery: {query}"),
    }
}

/// What an error message repeats of the parameters: their JSON, cut when it is long.
pub(crate) fn parameters_text(parameters: Option<&Object>) -> Box<str> {
    let Some(parameters) = parameters else { return "{}".into() };
    let mut text = parameters.to_string();
    if text.len() > limits::ERROR_PARAMETERS_BYTES_MAX {
        let mut end = limits::ERROR_PARAMETERS_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("..");
    }
    text.into()
}
