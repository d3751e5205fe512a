//! What can go wrong in an answer, and the only place that knows status codes.
//!
//! Every failure of a request is one [`ServerError`]. [`ServerError::class`] gives it a status, the `Type` by which
//! the clients tell errors apart, and what else the body carries; the match is exhaustive, so a new variant does not
//! compile until someone chooses. The original server answers most faults of a request with 500; here they have
//! their right class (400, 413), with the same `Type`.
//!
//! The body is written by [`crate::envelope`], which knows the request's URL.

mod class;

pub use class::Class;

use crate::dump::error::DumpError;
use crate::limits::{CHANGES_CONNECTIONS_MAX, VERIFICATIONS_RUNNING_MAX};
use crate::patch::PatchFailure;
use axum::response::{IntoResponse, Response};
use magpie_indexes::IndexError;
use magpie_query::QueryError;
use magpie_store::StoreError;
use magpie_store::json::JsonError;
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
    /// A request and its body name different databases.
    #[error("the request names the database '{asked}', and its body '{named}': give one name")]
    NamesDiffer {
        /// The name in the query string.
        asked: String,
        /// The name in the body.
        named: String,
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
    /// A parameter of the query string is not a whole number.
    #[error("Could not parse header '{name}' header as int, value was: {value}")]
    ParameterNotANumber {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A parameter of the query string is neither `true` nor `false`.
    #[error("Could not parse query string '{name}' as bool, val {value}")]
    ParameterNotABoolean {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A parameter of the query string that stands for one thing came several times.
    #[error("Query string value '{name}' must appear exactly once")]
    ParameterRepeated {
        /// The parameter.
        name: &'static str,
    },
    /// A field of the body has a value of another type.
    #[error("Could not convert '{value}', the value of '{name}': it must be {expected}")]
    Unconvertible {
        /// The field.
        name: &'static str,
        /// Its value, cut to 100 characters.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The index of a compare-exchange value is less than 0.
    #[error("Index must be a non-negative number")]
    IndexNegative,
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
    /// Dumps on the server's machine are not to be read.
    #[error(
        "this server reads no files of its own machine; start it with --import-dir-root FOLDER to allow those of a folder, \
         or send the dump to smuggler/import"
    )]
    ImportFolderOff,
    /// A path leads out of the folder whose files may be read.
    #[error("'{path}' is outside of the folder that this server may import from (--import-dir-root)")]
    OutsideImportFolder {
        /// As the request has it.
        path: String,
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
    /// A mandatory option of the query string is absent.
    #[error("Query string {name} is mandatory, but wasn't specified.")]
    OptionMissing {
        /// The option.
        name: &'static str,
    },
    /// An index has no replacement that could take over.
    #[error(
        "Could not find {}",
        if *live { format!("side-by-side index for '{name}'.") } else { format!("'{name}' and 'ReplacementOf/{name}' indexes.") }
    )]
    ReplacementMissing {
        /// The index.
        name: String,
        /// Whether it is there itself.
        live: bool,
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
    /// What is said about counters lacks a property.
    #[error("Missing '{name}' property on 'Counters'")]
    CounterPropertyMissing {
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
    /// The id of a document to patch is empty, or stands for one that is to come.
    #[error("The ID argument has invalid value: '{id}': a patch needs the whole id of a document")]
    PatchedId {
        /// The id.
        id: String,
    },
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
