//! What status, `Type` and further fields each error is answered with.

use super::ServerError;
use crate::dump::error::DumpError;
use crate::patch::PatchFailure;
use axum::http::StatusCode;
use magpie_indexes::function::FunctionErrorKind;
use magpie_indexes::patches::PatchError;
use magpie_indexes::{CallError, IndexError};
use magpie_query::QueryError;
use magpie_store::StoreError;
use magpie_store::json::{Json, Object};
use magpie_store::kv::KvError;

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
            Self::DatabaseMissing { .. } | Self::DatabaseDisabled { .. } | Self::DatabaseExists { .. } => {
                self.database_class()
            }
            Self::ReplacementMissing { .. } => class(S::BAD_REQUEST, NO_INDEX),
            Self::DatabaseName { .. } => class(S::BAD_REQUEST, BAD_REQUEST),
            Self::DatabaseFiles { .. } | Self::Random(_) => class(S::INTERNAL_SERVER_ERROR, IO),
            Self::ParameterMissing { .. }
            | Self::OptionMissing { .. }
            | Self::NamesDiffer { .. }
            | Self::ParameterNotANumber { .. }
            | Self::ParameterNotABoolean { .. }
            | Self::ParameterRepeated { .. }
            | Self::PatchedId { .. }
            | Self::ValueNotAllowed { .. }
            | Self::MapsMissing
            | Self::PropertyMissing { .. }
            | Self::OperationMissing { .. } => class(S::BAD_REQUEST, ARGUMENT),
            Self::QueryNotNested { .. }
            | Self::Unconvertible { .. }
            | Self::NotInEnumeration { .. }
            | Self::DefinitionMalformed { .. } => class(S::BAD_REQUEST, FORMAT),
            Self::Json(_)
            | Self::IndexNegative
            | Self::Gzip(_)
            | Self::UploadLine { .. }
            | Self::CounterPropertyMissing { .. } => class(S::BAD_REQUEST, INVALID_DATA),
            Self::JsonEnded(_) => class(S::BAD_REQUEST, "System.IO.EndOfStreamException"),
            Self::NotAnObject { found } => class(S::BAD_REQUEST, other_json(found)),
            Self::InvalidOperation(_) => class(S::BAD_REQUEST, INVALID_OPERATION),
            Self::UnknownCommandType { .. } => {
                class(S::BAD_REQUEST, "Raven.Server.Exceptions.InvalidCommandTypeException")
            }
            Self::ClusterConflict(error) => class(S::CONFLICT, CLUSTER_CONCURRENCY)
                .with(conflict(None, None, None).into_iter().chain(violation(error))),
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
            // No other part of a client's exceptions fits a 403.
            Self::ImportFolderOff
            | Self::OutsideImportFolder { .. }
            | Self::HostRefused { .. }
            | Self::OriginRefused { .. } => {
                class(S::FORBIDDEN, "Raven.Client.Exceptions.Security.AuthorizationException")
            }
            Self::Dump(error) => dump_class(error),
            Self::VerificationsRunning | Self::ChangesConnections => class(S::SERVICE_UNAVAILABLE, RAVEN),
            Self::Stopping => class(S::SERVICE_UNAVAILABLE, "System.OperationCanceledException"),
            Self::Panicked(_) => class(S::INTERNAL_SERVER_ERROR, RAVEN),
        }
    }

    /// The class of a database that is not there, not open, or there already.
    fn database_class(&self) -> Class {
        use StatusCode as S;
        match self {
            Self::DatabaseMissing { .. } => Class::new(
                S::INTERNAL_SERVER_ERROR,
                "Raven.Client.Exceptions.Database.DatabaseDoesNotExistException",
            ),
            Self::DatabaseDisabled { .. } => Class::new(
                S::SERVICE_UNAVAILABLE,
                "Raven.Client.Exceptions.Database.DatabaseDisabledException",
            ),
            _ => Class::new(S::CONFLICT, CONCURRENCY).with(conflict(None, None, None)),
        }
    }
}

/// The type for JSON that is no object. A number may go on, so the original takes it for one that was cut.
fn other_json(found: &str) -> &'static str {
    match found {
        "StartArray" | "String" | "a literal" => "Sparrow.Exceptions.InvalidStartOfObjectException",
        _ => "System.IO.EndOfStreamException",
    }
}

fn dump_class(error: &DumpError) -> Class {
    use StatusCode as S;
    match error {
        DumpError::Option { .. } => Class::new(S::BAD_REQUEST, "System.NotSupportedException"),
        DumpError::Script { .. } | DumpError::ScriptEffects { .. } => {
            Class::new(S::BAD_REQUEST, INVALID_OPERATION)
        }
        DumpError::TooMany => Class::new(S::SERVICE_UNAVAILABLE, RAVEN),
        DumpError::Receiving(_) | DumpError::Sending(_) => Class::new(S::BAD_REQUEST, IO),
        DumpError::NoFile { is_folder: true, .. } => {
            Class::new(S::BAD_REQUEST, "System.IO.DirectoryNotFoundException")
        }
        DumpError::NoFile { .. } => Class::new(S::BAD_REQUEST, "System.IO.FileNotFoundException"),
        DumpError::Stopped { cause, .. } | DumpError::File { cause, .. } => cause.class(),
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
        StoreError::InvalidAttachment { .. } | StoreError::InvalidCounter { .. } => {
            Class::new(S::BAD_REQUEST, ARGUMENT)
        }
        StoreError::AttachmentOwnerMissing { .. } | StoreError::CounterOwnerMissing { .. } => {
            Class::new(S::BAD_REQUEST, "Raven.Client.Exceptions.Documents.DocumentDoesNotExistException")
        }
        StoreError::CounterOverflow { .. } => {
            Class::new(S::BAD_REQUEST, "Raven.Client.Exceptions.Documents.Counters.CounterOverflowException")
        }
        StoreError::CounterMoved { .. } => {
            Class::new(S::CONFLICT, CONCURRENCY).with(conflict(None, None, None))
        }
        StoreError::AttachmentMissing { .. } => Class::new(
            S::BAD_REQUEST,
            "Raven.Client.Exceptions.Documents.Attachments.AttachmentDoesNotExistException",
        ),
        StoreError::UnsupportedFormat { .. } | StoreError::Corrupt(_) => {
            Class::new(S::INTERNAL_SERVER_ERROR, INVALID_DATA)
        }
        StoreError::WritesStopped { .. } => Class::new(S::INSUFFICIENT_STORAGE, IO),
        StoreError::Kv(
            KvError::Locked { .. } | KvError::Storage(_) | KvError::NotAtHand | KvError::Injected(_),
        ) => Class::new(S::INTERNAL_SERVER_ERROR, IO),
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
                FunctionErrorKind::GroupKey | FunctionErrorKind::ReturnShapes => INVALID_OPERATION,
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
        | QueryError::NotImplemented { .. }
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
