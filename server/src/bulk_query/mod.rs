//! `PATCH queries` and `DELETE queries`: patching or deleting all documents that a query finds, in the background.
//!
//! The request is checked and answered with the id of an operation, which clients then watch. The query runs on one
//! snapshot and is streamed: the ids that it finds are written in chunks (`run.rs`), each of which is one batch, all or
//! nothing. So memory is bounded by a chunk, and an operation that ends early leaves whole chunks done, never half a
//! one; its state says how many documents that were.

mod run;
mod script;

use crate::answer;
use crate::body;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::limits::{QUERY_WAIT_MS_DEFAULT, WAIT_MS_MAX};
use crate::patch::{PatchCommand, PatchFailure, PatchScripts, Script};
use crate::queries::wait_for_index;
use crate::query_string::Pairs;
use crate::request::DatabaseRequest;
use crate::state::{AppState, blocking};
use crate::timespan;
use crate::version::NODE_TAG;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_query::QueryError;
use magpie_query::ast::{FromSource, Query};
use magpie_store::json::{Json, Object};
use std::sync::Arc;
use std::time::Duration;

/// What is done to each document that the query finds.
pub(crate) enum Action {
    /// Its patch.
    Patch(Arc<PatchScripts>),
    /// It is deleted.
    Delete,
}

/// An operation, checked and ready to run.
pub(crate) struct Operation {
    /// The query, without the clauses that say what is done.
    pub(crate) query: String,
    /// The index that it names.
    pub(crate) index: Option<String>,
    /// The values of its parameters.
    pub(crate) parameters: Option<Object>,
    /// What is done.
    pub(crate) action: Action,
    /// Whether an index that is behind will do.
    pub(crate) allow_stale: bool,
    /// How long to wait for an index that is behind.
    pub(crate) wait: Duration,
    /// Most documents a second.
    pub(crate) per_second: Option<u64>,
    /// Whether the result lists the documents.
    pub(crate) details: bool,
}

/// `PATCH queries`
pub(crate) async fn patch(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let database = Arc::clone(&request.database);
    let options = Options::read(&request.query)?;
    let operation = blocking(move || {
        let mut body = body::parse_object(&text)?;
        let query = match body.remove("Query") {
            Some(Json::Object(query)) => query,
            None | Some(Json::Null) => return Err(ServerError::PropertyMissing { name: "Query" }),
            Some(other) => return Err(ServerError::QueryNotNested { value: cut(&other.to_string()) }),
        };
        let (text, parameters, wait) = read_query(query)?;
        let mut query = magpie_query::parse(&text)?;
        let Some(update) = query.update.take() else {
            return Err(clause_error(&text, None, "Update operations must end with UPDATE clause"));
        };
        only_documents(&mut query)?;
        let (script, declarations) = script::of(&mut query, &update)?;
        let script = crate::patch::compile(database.patcher().patches(), &script, &declarations);
        let script = script.map_err(|error| invalid_script(error, &text, parameters.as_ref()))?;
        let arguments = parameters.clone().map_or(Json::Null, Json::Object);
        let patch = Script { script, arguments };
        let scripts = PatchScripts { patch, if_missing: None, create_if_missing: None };
        Ok(options.operation(query, parameters, wait, Action::Patch(Arc::new(scripts))))
    })
    .await?;
    start(&request, operation)
}

/// `DELETE queries`
pub(crate) async fn delete(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let options = Options::read(&request.query)?;
    let operation = blocking(move || {
        let (text, parameters, wait) = read_query(body::parse_object(&text)?)?;
        let mut query = magpie_query::parse(&text)?;
        if let Some(update) = &query.update {
            let at = (update.position.line, update.position.column, "update");
            return Err(clause_error(&text, Some(at), "Expected end of query"));
        }
        only_documents(&mut query)?;
        Ok(options.operation(query, parameters, wait, Action::Delete))
    })
    .await?;
    start(&request, operation)
}

/// Begins the operation and answers with its id.
fn start(request: &DatabaseRequest, operation: Operation) -> Result<Response, ServerError> {
    let operations = request.database.operations();
    let id = match request.query.number("operationId")? {
        Some(id) => id,
        None => operations.next_id(),
    };
    operations.announce(id);
    let (app, database) = (request.app.clone(), Arc::clone(&request.database));
    tokio::spawn(async move {
        let done = work(&app, Arc::clone(&database), id, operation).await;
        if let Err(error) = done {
            database.operations().start(id).fail(&error);
        }
    });
    let mut body = Object::new();
    body.insert("OperationId", id);
    body.insert("OperationNodeTag", NODE_TAG);
    Ok(answer::json(StatusCode::OK, body))
}

/// Runs an operation to its end, which it registers itself unless it fails.
async fn work(
    app: &AppState,
    database: Arc<OpenDatabase>,
    id: i64,
    operation: Operation,
) -> Result<(), ServerError> {
    // The others wait, as operations in progress.
    let _place = app.bulk_query_place().await?;
    if let Some(index) = operation.index.as_ref().filter(|_| !operation.wait.is_zero()) {
        wait_for_index(app, &database, index, operation.wait).await?;
    }
    let app = app.clone();
    blocking(move || {
        let running = database.operations().start(id);
        match run::run(&app, &database, &operation, &running) {
            Ok(result) => running.complete_with(result),
            Err(error) => running.fail(&error),
        }
        Ok(())
    })
    .await
}

/// The options of the query string.
#[derive(Debug, Clone, Copy)]
struct Options {
    allow_stale: bool,
    stale_timeout: Duration,
    per_second: Option<u64>,
    details: bool,
}

impl Options {
    fn read(query: &Pairs) -> Result<Self, ServerError> {
        let stale_timeout = match query.get("staleTimeout").filter(|text| !text.is_empty()) {
            None => Duration::ZERO,
            Some(text) => timespan::parse(text).ok_or_else(|| ServerError::ValueNotAllowed {
                name: "staleTimeout",
                value: cut(text),
                expected: "a span of time such as 00:00:15",
            })?,
        };
        let per_second = match query.number("maxOpsPerSec")? {
            None => None,
            Some(number) => match u64::try_from(number).ok().filter(|number| *number > 0) {
                Some(number) => Some(number),
                None => {
                    return Err(ServerError::ValueNotAllowed {
                        name: "maxOpsPerSec",
                        value: number.to_string(),
                        expected: "a whole number from 1 on",
                    });
                }
            },
        };
        Ok(Self {
            allow_stale: query.flag("allowStale")?,
            stale_timeout: stale_timeout.min(Duration::from_millis(WAIT_MS_MAX)),
            per_second,
            details: query.flag("details")?,
        })
    }

    fn operation(
        self,
        query: Query,
        parameters: Option<Object>,
        wait: Duration,
        action: Action,
    ) -> Operation {
        Operation {
            index: match &query.from.source {
                FromSource::Index(name) => Some(name.clone()),
                FromSource::Collection(_) => None,
            },
            query: query.to_string(),
            parameters,
            action,
            allow_stale: self.allow_stale,
            wait: self.stale_timeout.max(wait),
            per_second: self.per_second,
            details: self.details,
        }
    }
}

/// The text, its parameters, and how long it wants to wait.
fn read_query(mut query: Object) -> Result<(String, Option<Object>, Duration), ServerError> {
    let text = match query.remove("Query") {
        Some(Json::String(text)) if !text.trim().is_empty() => text,
        _ => {
            return Err(ServerError::InvalidOperation(
                "Index query does not contain 'Query' field.".to_owned(),
            ));
        }
    };
    let parameters = match query.remove("QueryParameters") {
        Some(Json::Object(parameters)) => Some(parameters),
        None | Some(Json::Null) => None,
        Some(other) => {
            return Err(ServerError::ValueNotAllowed {
                name: "QueryParameters",
                value: cut(&other.to_string()),
                expected: "an object or null",
            });
        }
    };
    let wait = match query.get("WaitForNonStaleResults").and_then(Json::as_bool) {
        Some(true) => match query.get("WaitForNonStaleResultsTimeout") {
            None | Some(Json::Null) => Duration::from_millis(QUERY_WAIT_MS_DEFAULT),
            Some(value) => timespan::from_json(value).ok_or_else(|| ServerError::ValueNotAllowed {
                name: "WaitForNonStaleResultsTimeout",
                value: cut(&value.to_string()),
                expected: "milliseconds, or a span of time such as 00:00:15",
            })?,
        },
        _ => Duration::ZERO,
    };
    Ok((text, parameters, wait.min(Duration::from_millis(WAIT_MS_MAX))))
}

/// Refuses clauses that make other rows than documents, and drops those that are only about the answer.
fn only_documents(query: &mut Query) -> Result<(), ServerError> {
    if query.filter.is_some() {
        return Err(ServerError::NotSupported {
            what: "FILTER in a query that patches or deletes documents (use WHERE)".to_owned(),
        });
    }
    let clause = match () {
        () if query.select.is_some() => "SELECT",
        () if !query.group_by.is_empty() => "GROUP BY",
        () if query.reduce.is_some() => "REDUCE BY",
        () => {
            query.include.clear();
            return Ok(());
        }
    };
    Err(ServerError::InvalidOperation(format!(
        "A query that patches or deletes documents cannot have {clause}: take it out"
    )))
}

/// A script that is none is a fault of its query.
fn invalid_script(error: ServerError, text: &str, parameters: Option<&Object>) -> ServerError {
    match error {
        ServerError::Patch(failure @ PatchFailure::Parse { .. }) => ServerError::Query(QueryError::Invalid {
            message: format!("Update clause contains invalid script: {failure}"),
            query: text.into(),
            parameters: parameters.map(|values| Json::Object(values.clone()).to_string().into()),
        }),
        error => error,
    }
}

/// That a clause is missing at the end of the query, or stands where it must not.
fn clause_error(text: &str, at: Option<(u32, u32, &str)>, message: &str) -> ServerError {
    let (line, column, found) = match at {
        Some((line, column, found)) => (line, column, Some(found.to_owned())),
        None => {
            let line = text.matches('\n').count() + 1;
            let column = text.rsplit('\n').next().unwrap_or("").chars().count() + 1;
            (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX), None)
        }
    };
    QueryError::Syntax { line, column, message: message.to_owned(), found, query: text.into() }.into()
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

/// The patch of one document of an operation.
fn patch_of(id: String, scripts: &Arc<PatchScripts>) -> PatchCommand {
    PatchCommand {
        id,
        expected: None,
        skip_mismatch: false,
        return_document: false,
        details: false,
        scripts: Arc::clone(scripts),
    }
}
