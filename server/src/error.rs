//! What can go wrong in an answer, and the only place that knows status codes.
//!
//! Every failure of a request is one [`ServerError`]. [`ServerError::class`] gives it a status, the `Type` by which
//! the clients tell errors apart, and what else the body carries; the match is exhaustive, so a new variant does not
//! compile until someone chooses. The original server answers most faults of a request with 500; here they have
//! their right class (400, 413), with the same `Type`.
//!
//! The body is written by [`crate::envelope`], which knows the request's URL.

use crate::dump::error::DumpError;
use crate::limits::{CHANGES_CONNECTIONS_MAX, VERIFICATIONS_RUNNING_MAX};
use crate::patch::PatchFailure;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use magpie_indexes::function::FunctionErrorKind;
use magpie_indexes::patches::PatchError;
use magpie_indexes::{CallError, IndexError};
use magpie_query::QueryError;
use magpie_store::StoreError;
use magpie_store::json::{Json, JsonError, Object};
use magpie_store::kv::KvError;
use std::sync::Arc;
use thiserror::Error;

/// A request that cannot be answered as asked.
#[derive(Debug, Error)]
pub enum ServerError {
    /// A failure of the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A failure of the indexes.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A failure of a query.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// No route has this method and path.
    #[error("There is no handler for path: {method} {path}")]
    RouteNotFound {
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
    },
    /// The database named in the path does not exist.
    #[error("Database '{name}' does not exist.")]
    DatabaseMissing {
        /// The name as asked for.
        name: String,
    },
    /// The database is disabled.
    #[error("{name} has been disabled")]
    DatabaseDisabled {
        /// The database.
        name: String,
    },
    /// A database of this name is there already.
    #[error("Database '{name}' already exists!")]
    DatabaseExists {
        /// The database.
        name: String,
    },
    /// A database's name breaks the rules.
    #[error("{reason}")]
    DatabaseName {
        /// The rule, with the name.
        reason: String,
    },
    /// A database's files cannot be opened, written or removed.
    #[error("the files of database '{name}' failed: {cause}")]
    DatabaseFiles {
        /// The database.
        name: String,
        /// What failed.
        cause: String,
    },
    /// A mandatory parameter of the query string is absent or empty.
    #[error("Query string value '{name}' must have a non empty value")]
    ParameterMissing {
        /// The parameter.
        name: &'static str,
    },
    /// The id of a bulk insert's operation is absent.
    #[error("Query string id is mandatory, but wasn't specified.")]
    OperationIdMissing,
    /// A parameter of the query string is not a whole number.
    #[error("Could not parse header '{name}' header as int, value was: {value}")]
    ParameterNotANumber {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A parameter or a field of the body has a value that is not allowed.
    #[error("the value '{value}' of '{name}' is not allowed; give {expected}")]
    ValueNotAllowed {
        /// The parameter or field.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A value of the body is not one of an enumeration's names.
    #[error("Could not convert '{value}' to {enumeration}; it must be one of: {allowed}")]
    NotInEnumeration {
        /// The value.
        value: String,
        /// The enumeration's name.
        enumeration: &'static str,
        /// Its names.
        allowed: &'static str,
    },
    /// An index definition does not have the form of one.
    #[error("the index definition cannot be read: {reason}")]
    DefinitionMalformed {
        /// What does not fit.
        reason: String,
    },
    /// An index definition has no maps.
    #[error("Index must have a 'Maps' fields")]
    MapsMissing,
    /// A mandatory property of the body is absent or of another type.
    #[error("Request should have a property name '{name}' which is mandatory.")]
    PropertyMissing {
        /// The property.
        name: &'static str,
    },
    /// The body is not JSON.
    #[error(transparent)]
    Json(JsonError),
    /// The body ends before its JSON does.
    #[error("Stream ended without reaching end of json content: {0}")]
    JsonEnded(JsonError),
    /// The body is JSON, but not an object.
    #[error("Expected start of object, but got {found}; the body must be a JSON object")]
    NotAnObject {
        /// What it is instead.
        found: &'static str,
    },
    /// The request is not valid in a way that only its sentence tells.
    #[error("{0}")]
    InvalidOperation(String),
    /// A batch has a command of an unknown type.
    #[error("Invalid command type: {name}")]
    UnknownCommandType {
        /// The type.
        name: String,
    },
    /// A failure of a patch.
    #[error(transparent)]
    Patch(#[from] PatchFailure),
    /// A cluster-wide transaction met a change that it did not know.
    #[error("Failed to execute cluster transaction due to the following issues: {0}; nothing was written")]
    ClusterConflict(StoreError),
    /// Something the original server can do and this one cannot.
    #[error("{what} is not supported by this server")]
    NotSupported {
        /// What was asked for.
        what: String,
    },
    /// The debug operation of a query is unknown.
    #[error("Not supported query debug operation: '{name}'")]
    UnknownDebugOperation {
        /// The operation.
        name: String,
    },
    /// The body or the answer is larger than allowed.
    #[error("{what} is larger than the limit ({limit_name}) of {limit} bytes; {advice}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit's name.
        limit_name: &'static str,
        /// The limit, in bytes.
        limit: usize,
        /// What to do.
        advice: &'static str,
    },
    /// The connection broke, or the chunks of the body are malformed.
    #[error("the request's body could not be read to its end: {0}")]
    BodyBroken(String),
    /// The body stood still for too long.
    #[error("no byte of the request's body came for {ms} ms (body_idle_ms_max); send it without pauses")]
    BodyIdle {
        /// The limit, in milliseconds.
        ms: u64,
    },
    /// The body is not valid gzip.
    #[error("the request's body is not valid gzip: {0}")]
    Gzip(String),
    /// The body has an encoding that is not understood.
    #[error("the Content-Encoding '{0}' is not supported; send the body plain or with gzip")]
    ContentEncoding(String),
    /// There is no such operation.
    #[error("Operation {id} was not registered")]
    OperationMissing {
        /// The operation.
        id: i64,
    },
    /// An operation was ended by a client's wish.
    #[error("the operation was killed")]
    OperationKilled,
    /// A bulk insert failed. What was committed before stays.
    #[error("Failed to process bulk insert. Inserted {inserted} items in {batches} batches. {source}")]
    BulkInsert {
        /// Documents that are written.
        inserted: u64,
        /// Commits that are done.
        batches: u64,
        /// Why it ended.
        source: Box<ServerError>,
    },
    /// A patch or delete by query ended early. What was committed before stays.
    #[error("the operation ended after {processed} documents were written: {source}")]
    BulkQuery {
        /// Documents that are written.
        processed: u64,
        /// Why it ended.
        source: Box<ServerError>,
    },
    /// The query of a patch is not in an object of its own.
    #[error(
        "Could not convert Sparrow.Json.LazyStringValue ('{value}') to Sparrow.Json.BlittableJsonReaderObject: send \
         {{\"Query\":{{\"Query\":\"from .. update {{ .. }}\"}}}}"
    )]
    QueryNotNested {
        /// What stands there, cut to 100 characters.
        value: String,
    },
    /// A line of an all-or-nothing upload is refused; nothing was written.
    #[error("line {line}: {message}; nothing was written (onError=skip keeps the good lines)")]
    UploadLine {
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
    /// A line-by-line upload ended early. What was committed before stays.
    #[error("the upload ended after {inserted} documents were written: {source}")]
    UploadBroken {
        /// Documents that are written.
        inserted: u64,
        /// Why it ended.
        source: Box<ServerError>,
    },
    /// The indexes did not catch up in time. The write itself is done.
    #[error(
        "After waiting for {waited}, could not verify that all indexes has caught up with the changes as of etag: {etag}. \
         Total relevant indexes: {relevant}, total stale indexes: {stale_count} ({stale}), total paused indexes: \
         {paused_count} ({paused})"
    )]
    IndexWaitTimeout {
        /// How long was waited, as a span's text.
        waited: String,
        /// The etag of the write.
        etag: u64,
        /// How many indexes were waited for.
        relevant: usize,
        /// How many of them are stale.
        stale_count: usize,
        /// Their names.
        stale: String,
        /// How many of them are paused.
        paused_count: usize,
        /// Their names.
        paused: String,
    },
    /// The request names a host this server was not told to be.
    #[error(
        "the Host '{host}' is not allowed; start the server with --allow-host {host} if it is meant to be reached so"
    )]
    HostRefused {
        /// The host of the request.
        host: String,
    },
    /// A web page of another origin made the request.
    #[error("requests from the web page '{origin}' are not allowed")]
    OriginRefused {
        /// The page's origin.
        origin: String,
    },
    /// The operating system gives no random numbers.
    #[error(transparent)]
    Random(#[from] crate::random::RandomError),
    /// As many verifications as may run at a time are running.
    #[error(
        "{VERIFICATIONS_RUNNING_MAX} verifications are running (verifications_running_max); ask again when one has ended"
    )]
    VerificationsRunning,
    /// A dump cannot be read or written.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// As many connections as may be told changes are.
    #[error(
        "{CHANGES_CONNECTIONS_MAX} connections are told changes (changes_connections_max); close one or ask again later"
    )]
    ChangesConnections,
    /// The server is stopping.
    #[error("the server is stopping; ask again when it is back")]
    Stopping,
    /// The handler panicked: a fault of this program.
    #[error("the server failed on this request: {0}")]
    Panicked(String),
}

/// How an error is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// The status code.
    pub status: StatusCode,
    /// The `Type` of the body: the full .NET name that the clients look at.
    pub kind: &'static str,
    /// More fields of the body.
    pub extra: Object,
    /// Whether the body is left out: what the clients expect of "there is none".
    pub empty: bool,
}

impl Class {
    /// A class whose body has nothing but the usual fields.
    pub(crate) fn new(status: StatusCode, kind: &'static str) -> Self {
        Self { status, kind, extra: Object::new(), empty: false }
    }

    fn with(mut self, extra: impl IntoIterator<Item = (&'static str, Json)>) -> Self {
        self.extra = extra.into_iter().collect();
        self
    }
}

const ARGUMENT: &str = "System.ArgumentException";
const BAD_REQUEST: &str = "Raven.Client.Exceptions.BadRequestException";
const CONCURRENCY: &str = "Raven.Client.Exceptions.ConcurrencyException";
const CLUSTER_CONCURRENCY: &str = "Raven.Client.Exceptions.ClusterTransactionConcurrencyException";
const CREATION: &str = "Raven.Client.Exceptions.Documents.Indexes.IndexCreationException";
const FORMAT: &str = "System.FormatException";
const INVALID_DATA: &str = "System.IO.InvalidDataException";
const INVALID_OPERATION: &str = "System.InvalidOperationException";
const INVALID_INDEX: &str = "Raven.Client.Exceptions.Documents.Indexes.IndexInvalidException";
const IO: &str = "System.IO.IOException";
const NO_INDEX: &str = "Raven.Client.Exceptions.Documents.Indexes.IndexDoesNotExistException";
const RAVEN: &str = "Raven.Client.Exceptions.RavenException";
const TIMEOUT: &str = "Raven.Client.Exceptions.RavenTimeoutException";
const TOO_LARGE: &str = "System.IO.InvalidDataException";

impl ServerError {
    /// The status, `Type` and further fields of this error.
    #[must_use]
    pub fn class(&self) -> Class {
        use StatusCode as S;
        let class = Class::new;
        match self {
            Self::Store(error) => store_class(error),
            Self::Index(error) => index_class(error),
            Self::Query(error) => query_class(error),
            Self::RouteNotFound { .. } => {
                class(S::BAD_REQUEST, "Raven.Client.Exceptions.Routing.RouteNotFoundException")
            }
            Self::DatabaseMissing { .. } => class(
                S::INTERNAL_SERVER_ERROR,
                "Raven.Client.Exceptions.Database.DatabaseDoesNotExistException",
            ),
            Self::DatabaseDisabled { .. } => {
                class(S::SERVICE_UNAVAILABLE, "Raven.Client.Exceptions.Database.DatabaseDisabledException")
            }
            Self::DatabaseExists { .. } => class(S::CONFLICT, CONCURRENCY).with(conflict(None, None, None)),
            Self::DatabaseName { .. } => class(S::BAD_REQUEST, BAD_REQUEST),
            Self::DatabaseFiles { .. } | Self::Random(_) => class(S::INTERNAL_SERVER_ERROR, IO),
            Self::ParameterMissing { .. }
            | Self::OperationIdMissing
            | Self::ParameterNotANumber { .. }
            | Self::ValueNotAllowed { .. }
            | Self::MapsMissing
            | Self::PropertyMissing { .. }
            | Self::OperationMissing { .. } => class(S::BAD_REQUEST, ARGUMENT),
            Self::QueryNotNested { .. }
            | Self::NotInEnumeration { .. }
            | Self::DefinitionMalformed { .. } => class(S::BAD_REQUEST, FORMAT),
            Self::Json(_) | Self::Gzip(_) | Self::UploadLine { .. } => class(S::BAD_REQUEST, INVALID_DATA),
            Self::JsonEnded(_) => class(S::BAD_REQUEST, "System.IO.EndOfStreamException"),
            Self::NotAnObject { found } => class(
                S::BAD_REQUEST,
                if *found == "StartArray" {
                    "Sparrow.Exceptions.InvalidStartOfObjectException"
                } else {
                    "System.IO.EndOfStreamException"
                },
            ),
            Self::InvalidOperation(_) => class(S::BAD_REQUEST, INVALID_OPERATION),
            Self::UnknownCommandType { .. } => {
                class(S::BAD_REQUEST, "Raven.Server.Exceptions.InvalidCommandTypeException")
            }
            Self::ClusterConflict(error) => class(S::CONFLICT, CLUSTER_CONCURRENCY).with(violation(error)),
            Self::Patch(failure) => patch_class(failure),
            Self::NotSupported { .. } | Self::UnknownDebugOperation { .. } => {
                class(S::BAD_REQUEST, "System.NotSupportedException")
            }
            Self::TooLarge { limit_name, limit, .. } => class(S::PAYLOAD_TOO_LARGE, TOO_LARGE)
                .with([("Limit", Json::from(*limit_name)), ("LimitBytes", Json::from(*limit))]),
            Self::BodyBroken(_) => class(S::BAD_REQUEST, IO),
            Self::BodyIdle { .. } => class(S::REQUEST_TIMEOUT, "System.TimeoutException"),
            Self::ContentEncoding(_) => class(S::UNSUPPORTED_MEDIA_TYPE, "System.NotSupportedException"),
            Self::OperationKilled => class(S::INTERNAL_SERVER_ERROR, "System.OperationCanceledException"),
            Self::BulkInsert { source, .. } => class(source.class().status, INVALID_OPERATION),
            Self::UploadBroken { source, .. } | Self::BulkQuery { source, .. } => source.class(),
            Self::IndexWaitTimeout { .. } => {
                class(S::REQUEST_TIMEOUT, TIMEOUT).with([("FailImmediately", Json::Bool(true))])
            }
            Self::HostRefused { .. } | Self::OriginRefused { .. } => {
                class(S::FORBIDDEN, "Raven.Client.Exceptions.Security.AuthorizationException")
            }
            Self::Dump(error) => dump_class(error),
            Self::VerificationsRunning | Self::ChangesConnections => class(S::SERVICE_UNAVAILABLE, RAVEN),
            Self::Stopping => class(S::SERVICE_UNAVAILABLE, "System.OperationCanceledException"),
            Self::Panicked(_) => class(S::INTERNAL_SERVER_ERROR, RAVEN),
        }
    }
}

fn dump_class(error: &DumpError) -> Class {
    use StatusCode as S;
    match error {
        DumpError::Option { .. } => Class::new(S::BAD_REQUEST, "System.NotSupportedException"),
        DumpError::TooMany => Class::new(S::SERVICE_UNAVAILABLE, RAVEN),
        DumpError::Receiving(_) | DumpError::Sending(_) => Class::new(S::BAD_REQUEST, IO),
        DumpError::Stopped { cause, .. } => cause.class(),
        _ => Class::new(S::BAD_REQUEST, INVALID_DATA),
    }
}

fn store_class(error: &StoreError) -> Class {
    use StatusCode as S;
    match error {
        StoreError::InvalidId { .. } | StoreError::InvalidCollection { .. } => {
            Class::new(S::BAD_REQUEST, ARGUMENT)
        }
        StoreError::Json(_) | StoreError::InvalidDocument { .. } => Class::new(S::BAD_REQUEST, INVALID_DATA),
        StoreError::DocumentTooLarge { limit, .. } => Class::new(S::PAYLOAD_TOO_LARGE, TOO_LARGE)
            .with([("Limit", Json::from("document_bytes_max")), ("LimitBytes", Json::from(*limit))]),
        // The original server names no document when a delete expects one that is not there.
        StoreError::Conflict { delete: true, actual: None, .. } => {
            Class::new(S::CONFLICT, CONCURRENCY).with(conflict(None, None, None))
        }
        StoreError::Conflict { id, expected, actual, .. } => {
            Class::new(S::CONFLICT, CONCURRENCY).with(conflict(Some(id), Some(expected), actual.as_deref()))
        }
        StoreError::ExchangeConflict { .. } => Class::new(S::CONFLICT, CLUSTER_CONCURRENCY),
        StoreError::CollectionMismatch { .. } => Class::new(
            S::BAD_REQUEST,
            "Raven.Client.Exceptions.Documents.DocumentCollectionMismatchException",
        ),
        StoreError::InvalidAttachment { .. } => Class::new(S::BAD_REQUEST, ARGUMENT),
        StoreError::AttachmentOwnerMissing { .. } => {
            Class::new(S::BAD_REQUEST, "Raven.Client.Exceptions.Documents.DocumentDoesNotExistException")
        }
        StoreError::AttachmentMissing { .. } => Class::new(
            S::BAD_REQUEST,
            "Raven.Client.Exceptions.Documents.Attachments.AttachmentDoesNotExistException",
        ),
        StoreError::UnsupportedFormat { .. } | StoreError::Corrupt(_) => {
            Class::new(S::INTERNAL_SERVER_ERROR, INVALID_DATA)
        }
        StoreError::WritesStopped { .. } => Class::new(S::INSUFFICIENT_STORAGE, IO),
        StoreError::Kv(KvError::Locked { .. } | KvError::Storage(_) | KvError::Injected(_)) => {
            Class::new(S::INTERNAL_SERVER_ERROR, IO)
        }
    }
}

fn index_class(error: &IndexError) -> Class {
    use StatusCode as S;
    match error {
        IndexError::InvalidName(_) => Class::new(S::BAD_REQUEST, ARGUMENT),
        IndexError::InvalidDefinition { .. } | IndexError::Locked { .. } => {
            Class::new(S::BAD_REQUEST, CREATION)
        }
        IndexError::Pattern { .. } | IndexError::LawBroken { .. } | IndexError::LawsHang { .. } => {
            Class::new(S::BAD_REQUEST, INVALID_INDEX)
        }
        IndexError::OutputRefused { .. } => Class::new(S::BAD_REQUEST, "System.AggregateException"),
        IndexError::Script { error, .. } => Class::new(
            S::BAD_REQUEST,
            match error.kind {
                FunctionErrorKind::Compile => "Jint.Runtime.JavaScriptException",
                FunctionErrorKind::GroupKey => INVALID_OPERATION,
                FunctionErrorKind::Arguments => ARGUMENT,
                FunctionErrorKind::Definition | FunctionErrorKind::Run | FunctionErrorKind::Limit => CREATION,
            },
        ),
        IndexError::NotFound { .. } => Class::new(S::BAD_REQUEST, NO_INDEX),
        IndexError::Moved { .. } => Class::new(S::SERVICE_UNAVAILABLE, RAVEN),
        IndexError::Key { .. } => Class::new(S::BAD_REQUEST, ARGUMENT),
        IndexError::Call { error: CallError::Busy { .. }, .. } => Class::new(S::SERVICE_UNAVAILABLE, RAVEN),
        IndexError::TrialsRunning => Class::new(S::SERVICE_UNAVAILABLE, RAVEN),
        IndexError::TrialHangs { .. } => Class::new(S::BAD_REQUEST, CREATION),
        IndexError::TrialPanicked { .. } | IndexError::Call { .. } => {
            Class::new(S::INTERNAL_SERVER_ERROR, RAVEN)
        }
        IndexError::SlotsExhausted
        | IndexError::Thread { .. }
        | IndexError::Function(_)
        | IndexError::BuildThread(_)
        | IndexError::Scratch(_) => Class::new(S::INTERNAL_SERVER_ERROR, RAVEN),
        IndexError::Corrupt(_) => Class::new(S::INTERNAL_SERVER_ERROR, INVALID_DATA),
        IndexError::Store(error) => store_class(error),
    }
}

fn query_class(error: &QueryError) -> Class {
    use StatusCode as S;
    let status = match error {
        QueryError::Syntax { .. }
        | QueryError::Invalid { .. }
        | QueryError::Argument { .. }
        | QueryError::Operation { .. }
        | QueryError::Unsupported { .. }
        | QueryError::NotSupported { .. }
        | QueryError::Pattern { .. }
        | QueryError::Arithmetic { .. }
        | QueryError::Script { .. }
        | QueryError::LimitReached { .. } => S::BAD_REQUEST,
        // Clients take 404 without a body for an index that does not exist.
        QueryError::IndexMissing { .. } => {
            return Class { empty: true, ..Class::new(S::NOT_FOUND, error.wire_type()) };
        }
        QueryError::Store(error) => return store_class(error),
        QueryError::Index(error) => return index_class(error),
        QueryError::ScriptsBusy { .. } | QueryError::Call { cause: CallError::Busy { .. }, .. } => {
            S::SERVICE_UNAVAILABLE
        }
        QueryError::IndexFailed { .. } | QueryError::KeysFail { .. } | QueryError::Call { .. } => {
            S::INTERNAL_SERVER_ERROR
        }
    };
    Class::new(status, error.wire_type())
}

fn patch_class(failure: &PatchFailure) -> Class {
    use StatusCode as S;
    match failure {
        PatchFailure::JsonPatchMissing(_) | PatchFailure::JsonPatchFailed { .. } => {
            Class::new(S::BAD_REQUEST, INVALID_OPERATION)
        }
        PatchFailure::Missing | PatchFailure::JsonPatch(_) => Class::new(S::BAD_REQUEST, ARGUMENT),
        PatchFailure::ScriptMissing(_) => Class::new(S::BAD_REQUEST, INVALID_DATA),
        PatchFailure::Parse { .. } => {
            Class::new(S::BAD_REQUEST, "Raven.Client.Exceptions.Documents.Patching.JavaScriptParseException")
        }
        PatchFailure::Failed { error: PatchError::Busy { .. }, .. } => {
            Class::new(S::SERVICE_UNAVAILABLE, RAVEN)
        }
        PatchFailure::Refused(_) | PatchFailure::Failed { .. } => {
            Class::new(S::BAD_REQUEST, "Raven.Client.Exceptions.Documents.Patching.JavaScriptException")
        }
        PatchFailure::Conflict { id, expected, actual } => {
            Class::new(S::CONFLICT, CONCURRENCY).with(conflict(Some(id), Some(expected), actual.as_deref()))
        }
        PatchFailure::BatchTooLarge { .. } => Class::new(S::PAYLOAD_TOO_LARGE, TOO_LARGE),
    }
}

/// What a cluster-wide transaction met, as its clients read it.
fn violation(error: &StoreError) -> [(&'static str, Json); 1] {
    let (id, kind, expected, actual) = match error {
        StoreError::ExchangeConflict { key, expected, actual } => {
            (key, "CompareExchange", Json::from(*expected), Json::from(*actual))
        }
        StoreError::Conflict { id, expected, actual, .. } => {
            (id, "Document", Json::from(expected.as_str()), Json::from(actual.as_deref()))
        }
        _ => return [("ConcurrencyViolations", Json::Array(Vec::new()))],
    };
    let violation = Object::from_iter([
        ("Id", Json::from(id.as_str())),
        ("Type", kind.into()),
        ("Expected", expected),
        ("Actual", actual),
    ]);
    [("ConcurrencyViolations", Json::Array(vec![violation.into()]))]
}

/// The fields of a 409; clients read all three.
fn conflict(id: Option<&str>, expected: Option<&str>, actual: Option<&str>) -> [(&'static str, Json); 3] {
    [("Id", id.into()), ("ExpectedChangeVector", expected.into()), ("ActualChangeVector", actual.into())]
}

/// An error on its way to the envelope, which writes its body.
#[derive(Debug, Clone)]
pub(crate) struct Failure(pub(crate) Arc<ServerError>);

impl IntoResponse for ServerError {
    fn into_response(self) -> Response {
        let status = self.class().status;
        let mut response = status.into_response();
        response.extensions_mut().insert(Failure(Arc::new(self)));
        response
    }
}
