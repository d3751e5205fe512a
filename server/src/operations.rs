//! Long-running operations of one database, and of the server itself: their ids, states and the wish to end them.
//!
//! Clients take an id first, name it in the request that does the work, and ask for the state when that fails. The
//! states of the last finished ones are remembered, a bounded number.

use crate::answer;
use crate::changes::Changes;
use crate::error::ServerError;
use crate::limits::OPERATIONS_REMEMBERED_MAX;
use crate::query_string::Pairs;
use crate::request::DatabaseRequest;
use crate::state::AppState;
use crate::version::NODE_TAG;
use axum::extract::{self, RawQuery};
use axum::http::StatusCode;
use axum::response::Response;
use magpie_store::json::{Json, Object};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where an operation stands.
#[derive(Debug, Clone, PartialEq)]
enum State {
    InProgress,
    Completed {
        documents: u64,
        /// Changes of counters of documents.
        counters: u64,
    },
    /// Done, with a result of its own form.
    CompletedWith(Object),
    Faulted {
        kind: &'static str,
        message: String,
    },
    Canceled,
}

struct Operation {
    state: State,
    /// How far it is, in the form of its result.
    progress: Option<Object>,
    /// Counts up with each start or end; the smallest is forgotten first.
    order: u64,
    killed: Arc<AtomicBool>,
}

/// The operations of a database.
#[derive(Default)]
pub(crate) struct Operations {
    last_id: AtomicI64,
    known: Mutex<Known>,
    /// Whom to tell when a state changes.
    changes: Arc<Changes>,
}

#[derive(Default)]
struct Known {
    by_id: BTreeMap<i64, Operation>,
    order: u64,
}

/// An operation in progress. When it is dropped without a result, it was canceled.
pub(crate) struct Running<'a> {
    operations: &'a Operations,
    id: i64,
    killed: Arc<AtomicBool>,
}

impl Operations {
    /// Operations whose states are told.
    pub(crate) fn telling(changes: Arc<Changes>) -> Self {
        Self { changes, ..Self::default() }
    }

    /// The state of an operation as the wire has it, with its progress; `None` when it is unknown.
    pub(crate) fn state_body(&self, id: i64) -> Option<Object> {
        let mut body = state_json(&self.state(id)?);
        if let Some(progress) = self.progress(id) {
            body.insert("Progress", progress);
        }
        Some(body)
    }

    /// A fresh id.
    pub(crate) fn next_id(&self) -> i64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Registers an operation that will start soon, on a thread of its own; whoever asks for it meanwhile finds it.
    pub(crate) fn announce(&self, id: i64) {
        self.set(id, State::InProgress, Some(Arc::default()));
    }

    /// Registers an operation under an id that the client chose or was given. That it was announced and perhaps killed
    /// before counts.
    pub(crate) fn start(&self, id: i64) -> Running<'_> {
        let announced = self.known().by_id.get(&id).and_then(|operation| {
            (operation.state == State::InProgress).then(|| Arc::clone(&operation.killed))
        });
        let killed = announced.unwrap_or_default();
        self.set(id, State::InProgress, Some(Arc::clone(&killed)));
        Running { operations: self, id, killed }
    }

    /// Asks an operation to end; `false` when it is unknown.
    fn kill(&self, id: i64) -> bool {
        let known = self.known();
        let found = known.by_id.get(&id);
        if let Some(operation) = found {
            operation.killed.store(true, Ordering::Release);
        }
        found.is_some()
    }

    fn progress(&self, id: i64) -> Option<Object> {
        self.known().by_id.get(&id).and_then(|operation| operation.progress.clone())
    }

    fn state(&self, id: i64) -> Option<State> {
        self.known().by_id.get(&id).map(|operation| operation.state.clone())
    }

    fn set(&self, id: i64, state: State, killed: Option<Arc<AtomicBool>>) {
        let ended = state != State::InProgress;
        let mut known = self.known();
        known.order += 1;
        let order = known.order;
        let killed = killed
            .or_else(|| known.by_id.get(&id).map(|operation| Arc::clone(&operation.killed)))
            .unwrap_or_default();
        known.by_id.insert(id, Operation { state, progress: None, order, killed });
        if known.by_id.len() > OPERATIONS_REMEMBERED_MAX {
            let finished = known.by_id.iter().filter(|(_, operation)| operation.state != State::InProgress);
            let oldest = finished.min_by_key(|(_, operation)| operation.order).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                known.by_id.remove(&oldest);
            }
        }
        drop(known);
        self.changes.operation(id, ended);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running<'_> {
    /// Whether a client asked to end it.
    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// It is done.
    pub(crate) fn complete(self, documents: u64, counters: u64) {
        self.operations.set(self.id, State::Completed { documents, counters }, None);
    }

    /// It is done, with a result of its own form.
    pub(crate) fn complete_with(self, result: Object) {
        self.operations.set(self.id, State::CompletedWith(result), None);
    }

    /// How far it is.
    pub(crate) fn progress(&self, progress: Object) {
        if let Some(operation) = self.operations.known().by_id.get_mut(&self.id) {
            operation.progress = Some(progress);
        }
        self.operations.changes.operation(self.id, false);
    }

    /// It failed.
    pub(crate) fn fail(self, error: &ServerError) {
        let state = if self.is_killed() {
            State::Canceled
        } else {
            State::Faulted { kind: error.class().kind, message: error.to_string() }
        };
        self.operations.set(self.id, state, None);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.operations.state(self.id) == Some(State::InProgress) {
            self.operations.set(self.id, State::Canceled, None);
        }
    }
}

/// `GET operations/next-operation-id`
pub(crate) async fn next_operation_id(request: DatabaseRequest) -> Result<Response, ServerError> {
    let mut body = Object::new();
    body.insert("Id", request.database.operations().next_id());
    body.insert("NodeTag", NODE_TAG);
    Ok(answer::json(StatusCode::OK, body))
}

/// `GET operations/state?id=`
pub(crate) async fn state(request: DatabaseRequest) -> Result<Response, ServerError> {
    let id = request.query.number("id")?.ok_or(ServerError::ParameterMissing { name: "id" })?;
    Ok(match request.database.operations().state_body(id) {
        Some(body) => answer::json(StatusCode::OK, body),
        None => answer::not_found(),
    })
}

/// `POST operations/kill?id=`
pub(crate) async fn kill(request: DatabaseRequest) -> Result<Response, ServerError> {
    let id = request.query.number("id")?.ok_or(ServerError::ParameterMissing { name: "id" })?;
    if request.database.operations().kill(id) {
        Ok(answer::no_content())
    } else {
        Err(ServerError::OperationMissing { id })
    }
}

/// `GET /admin/operations/next-operation-id`: an id for an operation of the server itself.
pub(crate) async fn server_next_id(extract::State(app): extract::State<AppState>) -> Response {
    answer::json(StatusCode::OK, Object::from_iter([("Id", Json::from(app.operations().next_id()))]))
}

/// `GET /operations/state?id=`: of an operation of the server itself.
pub(crate) async fn server_state(
    extract::State(app): extract::State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ServerError> {
    let id = server_id(query)?;
    Ok(app
        .operations()
        .state_body(id)
        .map_or_else(answer::not_found, |body| answer::json(StatusCode::OK, body)))
}

/// `POST /admin/operations/kill?id=`
pub(crate) async fn server_kill(
    extract::State(app): extract::State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ServerError> {
    let id = server_id(query)?;
    if app.operations().kill(id) {
        Ok(answer::no_content())
    } else {
        Err(ServerError::OperationMissing { id })
    }
}

fn server_id(query: Option<String>) -> Result<i64, ServerError> {
    let query = Pairs::parse(query.as_deref().unwrap_or(""));
    query.number("id")?.ok_or(ServerError::OptionMissing { name: "id" })
}

/// `GET operations[?id=]`: those in progress, and the last ones that have ended.
pub(crate) async fn list(request: DatabaseRequest) -> Result<Response, ServerError> {
    let wanted = request.query.number("id")?;
    let known = request.database.operations().known();
    if wanted.is_some_and(|id| !known.by_id.contains_key(&id)) {
        return Ok(answer::not_found());
    }
    let listed = known.by_id.iter().filter(|(id, _)| wanted.is_none_or(|wanted| wanted == **id));
    let results = listed.map(|(id, operation)| {
        let mut item = Object::new();
        item.insert("Id", *id);
        item.insert("Killable", true);
        item.insert("State", state_json(&operation.state));
        Json::Object(item)
    });
    let mut body = Object::new();
    body.insert("Results", results.collect::<Vec<_>>());
    Ok(answer::json(StatusCode::OK, body))
}

fn state_json(state: &State) -> Object {
    let (status, result) = match state {
        State::InProgress => ("InProgress", Json::Null),
        State::Canceled => ("Canceled", Json::Null),
        State::Completed { documents, counters } => {
            let total = documents.saturating_add(*counters);
            let mut result = Object::new();
            result.insert("$type", "Raven.Client.Documents.Operations.BulkOperationResult, Raven.Client");
            result.insert("Total", total);
            result.insert("Message", format!("Processed {total} items."));
            result.insert("Details", Vec::new());
            result.insert("Query", Json::Null);
            result.insert("DocumentsProcessed", *documents);
            result.insert("AttachmentsProcessed", 0_i64);
            result.insert("CountersProcessed", *counters);
            result.insert("TimeSeriesProcessed", 0_i64);
            ("Completed", Json::Object(result))
        }
        State::CompletedWith(result) => ("Completed", Json::Object(result.clone())),
        State::Faulted { kind, message } => {
            let mut result = Object::new();
            result
                .insert("$type", "Raven.Client.Documents.Operations.OperationExceptionResult, Raven.Client");
            result.insert("Type", *kind);
            result.insert("Message", message.as_str());
            result.insert("Error", format!("{kind}: {message}"));
            result.insert("StatusCode", 500_i64);
            result.insert("LimitType", Json::Null);
            ("Faulted", Json::Object(result))
        }
    };
    let mut body = Object::new();
    body.insert("$type", "Raven.Client.Documents.Operations.OperationState, Raven.Client");
    body.insert("Progress", Json::Null);
    body.insert("Result", result);
    body.insert("Status", status);
    body
}

#[cfg(test)]
mod tests {
    use super::{Operations, State};
    use crate::limits::OPERATIONS_REMEMBERED_MAX;

    #[test]
    fn the_oldest_finished_ones_are_forgotten_first() {
        let operations = Operations::default();
        let running = operations.start(1);
        for id in 2..OPERATIONS_REMEMBERED_MAX as i64 + 10 {
            operations.start(id).complete(1, 0);
        }
        assert_eq!(operations.state(1), Some(State::InProgress));
        assert_eq!(operations.state(2), None);
        assert_eq!(operations.known().by_id.len(), OPERATIONS_REMEMBERED_MAX);
        assert!(operations.kill(1) && running.is_killed());
        drop(running);
        assert_eq!(operations.state(1), Some(State::Canceled));
        assert!(!operations.kill(-1));
    }
}
