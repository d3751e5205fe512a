//! Counters over HTTP: `POST counters` changes and reads them, `GET counters` reads them; the commands and results of
//! `bulk_docs` and the includes of loads have the same form.

use crate::answer;
use crate::body;
use crate::clock;
use crate::error::ServerError;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use crate::version::NODE_TAG;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_store::json::{Json, Object};
use magpie_store::{
    ChangeVector, Command, CounterAction, CounterOperation, DatabaseView, DocumentId, Outcome,
};

/// The name that stands for all counters of a document.
pub(crate) const ALL: &str = "@all_counters";
/// What an increment without a `Delta` adds.
const DELTA_DEFAULT: i64 = 1;

/// `POST counters`: `{"ReplyWithAllNodesValues":false,"Documents":[{"DocumentId","Operations":[..]}]}`, all or nothing.
pub(crate) async fn post(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let limits = &request.app.config().limits;
    let limit = limits.answer_bytes_max;
    let text = body::read(&request.headers, body, limits.request_body_bytes_max).await?;
    let database = request.database.clone();
    let answer = blocking(move || {
        let body = body::parse_object(&text)?;
        let is_full = matches!(body.get("ReplyWithAllNodesValues"), Some(Json::Bool(true)));
        let documents = match body.get("Documents") {
            Some(Json::Array(documents)) => documents.as_slice(),
            None | Some(Json::Null) => &[],
            Some(other) => return Err(body::unconvertible("Documents", other, "an array of objects")),
        };
        let commands = documents.iter().map(read_document).collect::<Result<Vec<_>, _>>()?;
        check_answer(commands.iter(), limit)?;
        let documents = database.documents();
        let outcomes = documents.write(commands, clock::now())?;
        let values = outcomes.iter().flat_map(|outcome| details(outcome, is_full, documents.id()));
        Ok(Object::from_iter([("Counters", Json::Array(values.collect()))]))
    })
    .await?;
    Ok(answer::json(StatusCode::OK, answer))
}

/// `GET counters?docId=[&counter=..][&full=true]`: the named counters, null for one that is not there, or all.
pub(crate) async fn get(request: DatabaseRequest) -> Result<Response, ServerError> {
    let id = request.query.required("docId")?.to_owned();
    let names: Vec<String> = request.query.all("counter").map(str::to_owned).collect();
    let is_full = request.query.flag("full")?;
    let database = request.database.clone();
    let answer = blocking(move || {
        let view = database.documents().view();
        let key = DocumentId::new(&id)?;
        let found = if names.is_empty() { all(&view, &key)? } else { named(&view, &key, &names)? };
        let values = found.into_iter().map(|found| match found {
            Some((name, value)) => detail(&id, &name, value, is_full, view.database_id()),
            None => Json::Null,
        });
        Ok(Object::from_iter([("Counters", Json::Array(values.collect()))]))
    })
    .await?;
    Ok(answer::json(StatusCode::OK, answer))
}

/// Names and values; `None` for a counter that is not there.
type Found = Vec<Option<(String, i64)>>;

fn all(view: &DatabaseView<'_>, id: &DocumentId) -> Result<Found, ServerError> {
    let counters = view.counters(id)?;
    Ok(counters.into_iter().map(|counter| Some((counter.name, counter.value))).collect())
}

fn named(view: &DatabaseView<'_>, id: &DocumentId, names: &[String]) -> Result<Found, ServerError> {
    let one = |name: &String| Ok(view.counter(id, name)?.map(|counter| (name.clone(), counter.value)));
    names.iter().map(one).collect()
}

/// The counters of a document that a load includes: those of these names, as they are spelt there, or all of them.
///
/// # Errors
/// When the store fails.
pub(crate) fn included(
    view: &DatabaseView<'_>,
    id: &DocumentId,
    names: &[String],
) -> Result<Vec<Json>, ServerError> {
    let found = if names.iter().any(|name| name == ALL) { all(view, id)? } else { named(view, id, names)? };
    let item = |found: Option<(String, i64)>| match found {
        Some((name, value)) => Json::Object(Object::from_iter([
            ("DocumentId", Json::from(id.as_str())),
            ("CounterName", name.into()),
            ("TotalValue", value.into()),
        ])),
        None => Json::Null,
    };
    Ok(found.into_iter().map(item).collect())
}

/// An element of `Documents`.
fn read_document(document: &Json) -> Result<Command, ServerError> {
    let Json::Object(document) = document else {
        return Err(body::unconvertible("Documents", document, "objects with a DocumentId and Operations"));
    };
    let id = match document.get("DocumentId") {
        Some(Json::String(id)) => id.clone(),
        Some(Json::Null) | None => return Err(ServerError::PropertyMissing { name: "DocumentId" }),
        Some(other) => return Err(body::unconvertible("DocumentId", other, "the id of a document")),
    };
    Ok(Command::Counters { id, operations: read_operations(document)? })
}

/// A command of type `Counters` of `bulk_docs` and bulk inserts.
///
/// # Errors
/// When it names no document or no operations, or one of those is none.
pub(crate) fn command(command: &Object) -> Result<Command, ServerError> {
    let Some(Json::Object(counters)) = command.get("Counters") else {
        let message =
            "Counters command must have a 'Counters' property: an object with a DocumentId and Operations";
        return Err(ServerError::InvalidOperation(message.to_owned()));
    };
    let missing = |name| ServerError::CounterPropertyMissing { name };
    let id = counters.get("DocumentId").and_then(Json::as_str).ok_or_else(|| missing("DocumentId"))?;
    if counters.get("Operations").is_none() {
        return Err(missing("Operations"));
    }
    Ok(Command::Counters { id: id.to_owned(), operations: read_operations(counters)? })
}

fn read_operations(document: &Object) -> Result<Vec<CounterOperation>, ServerError> {
    match document.get("Operations") {
        Some(Json::Array(operations)) => operations.iter().map(read_operation).collect(),
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(other) => Err(body::unconvertible("Operations", other, "an array of objects")),
    }
}

fn read_operation(operation: &Json) -> Result<CounterOperation, ServerError> {
    let Json::Object(operation) = operation else {
        return Err(body::unconvertible("Operations", operation, "objects with a Type and a CounterName"));
    };
    let name = match operation.get("CounterName") {
        Some(Json::String(name)) => name.clone(),
        Some(Json::Null) | None => return Err(ServerError::PropertyMissing { name: "CounterName" }),
        Some(other) => return Err(body::unconvertible("CounterName", other, "the name of a counter")),
    };
    let kind = operation.get("Type").unwrap_or(&Json::Null);
    let action = match kind.as_str() {
        Some("Increment") => CounterAction::Increment(delta(operation)?.unwrap_or(DELTA_DEFAULT)),
        Some("Put") => {
            CounterAction::Put(delta(operation)?.ok_or(ServerError::PropertyMissing { name: "Delta" })?)
        }
        Some("Delete") => CounterAction::Delete,
        Some("Get") => CounterAction::Get,
        _ => return Err(body::unconvertible("Type", kind, "Increment, Delete, Get or Put")),
    };
    Ok(CounterOperation { name, action })
}

/// `Delta`, also as text.
fn delta(operation: &Object) -> Result<Option<i64>, ServerError> {
    let Some(value) = operation.get("Delta").filter(|value| !value.is_null()) else { return Ok(None) };
    let number = match value {
        Json::String(text) => text.parse().ok(),
        value => value.as_i64(),
    };
    number.map(Some).ok_or_else(|| body::unconvertible("Delta", value, "a 64-bit whole number"))
}

/// Checks, before anything is written, that the answer about counters will not grow beyond `limit` bytes: it names the
/// document with each of them.
///
/// # Errors
/// [`ServerError::TooLarge`].
pub(crate) fn check_answer<'c>(
    commands: impl Iterator<Item = &'c Command>,
    limit: usize,
) -> Result<(), ServerError> {
    const FRAME: usize = 96;
    let bytes = commands.map(|command| match command {
        Command::Counters { id, operations } => {
            let one = |operation: &CounterOperation| FRAME + id.len() + operation.name.len();
            operations.iter().map(one).sum::<usize>()
        }
        _ => 0,
    });
    if bytes.fold(0, usize::saturating_add) > limit {
        return Err(crate::document_text::answer_too_large(limit));
    }
    Ok(())
}

/// What increments and readings found, as clients see it.
fn details(outcome: &Outcome, is_full: bool, database_id: &str) -> Vec<Json> {
    let Outcome::Counters { id, values, .. } = outcome else { return Vec::new() };
    let one = |found: &Option<(String, i64)>| match found {
        Some((name, value)) => detail(id, name, *value, is_full, database_id),
        None => Json::Null,
    };
    values.iter().map(one).collect()
}

fn detail(id: &str, name: &str, value: i64, is_full: bool, database_id: &str) -> Json {
    let by_node = is_full
        .then(|| Object::from_distinct(vec![(format!("{NODE_TAG}-{database_id}"), Json::from(value))]));
    Json::Object(Object::from_iter([
        ("DocumentId", Json::from(id)),
        ("CounterName", name.into()),
        ("TotalValue", value.into()),
        ("CounterValues", by_node.into()),
    ]))
}

/// The element of `Results` of `bulk_docs`; empty for other outcomes.
pub(crate) fn result(outcome: &Outcome, database_id: &str) -> Object {
    let mut result = Object::new();
    if let Outcome::Counters { id, collection, etag, .. } = outcome {
        let vector = etag.map(|etag| ChangeVector::new(etag, database_id).as_str().to_owned());
        result.insert("Id", id.as_str());
        result.insert("ChangeVector", vector.clone());
        result.insert("Type", "Counters");
        let counters = details(outcome, false, database_id);
        result.insert("CountersDetail", Object::from_iter([("Counters", Json::Array(counters))]));
        // Only a counter that came or went has written the document.
        result.insert("DocumentChangeVector", vector.filter(|_| collection.is_some()));
    }
    result
}
