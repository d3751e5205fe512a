//! What people and tools ask about an index besides its statistics: `indexes/debug`, `source`, `total-time`, `replace`.

use crate::answer;
use crate::clock;
use crate::error::ServerError;
use crate::query_string::Pairs;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use crate::timespan;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_indexes::definition::REPLACEMENT_PREFIX;
use magpie_indexes::explain::{ExplainRequest, Explained, Explanation};
use magpie_indexes::{Index, IndexError, Registry};
use magpie_store::json::{Json, Object};
use magpie_store::{DatabaseView, DocumentId};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many ids, trees and entries are listed unless the request says otherwise.
const PAGE_SIZE: usize = 1024;
/// Most trees in one answer; each may have as many entries as are listed.
const TREES_MAX: usize = 16;
/// How long `indexes/replace` waits for a replacement to take over, in milliseconds.
const REPLACE_MS_MAX: u64 = 30_000;
/// How often `indexes/replace` looks whether it has, in milliseconds.
const REPLACE_LOOK_MS: u64 = 20;

/// `GET indexes/source?name=`: the program that an index was translated to. Scripts are translated to none, in the
/// original as here.
pub(crate) async fn source(request: DatabaseRequest) -> Result<Response, ServerError> {
    find(request.database.indexes(), request.query.required("name")?)?;
    Err(ServerError::InvalidOperation(
        "Could not retrieve source for given index: it is a script, and runs as its definition has it"
            .to_owned(),
    ))
}

/// `GET indexes/total-time[?name=..]`: how long indexes have worked since the server was started, and for how long the
/// oldest document that they have not taken in has been waiting.
pub(crate) async fn total_time(request: DatabaseRequest) -> Result<Response, ServerError> {
    let DatabaseRequest { database, query, .. } = request;
    let results = blocking(move || {
        let view = database.documents().view();
        let now = clock::now();
        let results = named(database.indexes(), &query).into_iter().map(|index| {
            let reached = index.statistics(&view)?.progress.etag;
            let oldest = view.documents_in_etag_order(index.mapped(), reached)?.next().transpose()?;
            let ticks = oldest.map_or(0, |document| now.0.saturating_sub(document.last_modified.0));
            let lag = Duration::from_micros(u64::try_from(ticks / 10).unwrap_or(0));
            Ok(Json::from(Object::from_iter([
                ("Name", Json::from(index.name())),
                ("TotalIndexingTime", timespan::format(index.time_spent()).into()),
                ("LagTime", timespan::format(lag).into()),
            ])))
        });
        results.collect::<Result<Vec<_>, ServerError>>()
    })
    .await?;
    Ok(answer::json(StatusCode::OK, Object::from_iter([("Results", Json::Array(results))])))
}

/// The indexes of `name=..`, those that exist; all without one.
pub(crate) fn named(indexes: &Registry, query: &Pairs) -> Vec<Arc<Index>> {
    let names: Vec<&str> = query.all("name").filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return indexes.all();
    }
    names.into_iter().filter_map(|name| indexes.get(name)).collect()
}

fn find(indexes: &Registry, name: &str) -> Result<Arc<Index>, ServerError> {
    Ok(indexes.get(name).ok_or_else(|| IndexError::NotFound { name: name.to_owned() })?)
}

/// `POST indexes/replace?name=`: lets a replacement take over now. One that has caught up does so by itself, so this waits
/// for it, without a thread.
pub(crate) async fn replace(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.required("name")?.to_owned();
    let replacement = format!("{REPLACEMENT_PREFIX}{name}");
    let indexes = request.database.indexes();
    if indexes.get(&replacement).is_none() {
        return Err(ServerError::ReplacementMissing { live: indexes.get(&name).is_some(), name });
    }
    let until = Instant::now() + Duration::from_millis(REPLACE_MS_MAX);
    while indexes.get(&replacement).is_some() {
        if Instant::now() >= until {
            return Err(ServerError::InvalidOperation(format!(
                "'{replacement}' has not caught up within {REPLACE_MS_MAX} ms; it takes over by itself when it has"
            )));
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(REPLACE_LOOK_MS)) => {}
            () = request.app.stopping() => return Err(ServerError::Stopping),
        }
    }
    Ok(answer::no_content())
}

/// `GET indexes/debug?name=&op=`: `map-reduce-tree` with `docId=`, `source-doc-ids`, `entries-fields`.
pub(crate) async fn debug(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.required("name")?.to_owned();
    let Some(index) = request.database.indexes().get(&name) else { return Ok(answer::not_found()) };
    let operation = request.query.get("op").ok_or(ServerError::OptionMissing { name: "op" })?.to_lowercase();
    let _place = request.app.query_place().await?;
    let DatabaseRequest { database, query, .. } = request;
    blocking(move || {
        let view = database.documents().view();
        match operation.as_str() {
            "map-reduce-tree" if !index.is_map_reduce() => {
                let error = format!("{} is not map-reduce index", index.name());
                Ok(answer::json(StatusCode::BAD_REQUEST, Object::from_iter([("Error", Json::from(error))])))
            }
            "map-reduce-tree" => trees(database.indexes(), &index, &view, &query),
            "source-doc-ids" if index.is_map_reduce() => source_ids(&index, &view, &query),
            "source-doc-ids" => Err(ServerError::NotSupported {
                what: "getting the ids of the documents of an index without a reduce".to_owned(),
            }),
            "entries-fields" => Ok(entries_fields(&index)),
            other => Err(ServerError::NotSupported { what: format!("the operation '{}'", cut(other)) }),
        }
    })
    .await
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

/// The trees of the reduce keys that a document has part in.
fn trees(
    indexes: &Registry,
    index: &Index,
    view: &DatabaseView<'_>,
    query: &Pairs,
) -> Result<Response, ServerError> {
    let fields = index.shape().group_by.clone().unwrap_or_default();
    let mut keys: Vec<Vec<Json>> = Vec::new();
    for id in query.all("docId").filter(|id| !id.is_empty()) {
        for key in index.keys_of(view, &DocumentId::new(id)?)? {
            if !keys.contains(&key) && keys.len() < TREES_MAX {
                keys.push(key);
            }
        }
    }
    let mut results = Vec::with_capacity(keys.len());
    for key in keys {
        let key = Object::from_iter(fields.iter().map(String::as_str).zip(key));
        let asked =
            ExplainRequest { key: key.clone().into(), start: 0, page_size: PAGE_SIZE, without: false };
        if let Explained::Key(explanation) = indexes.explain(view, &index.name(), &asked)? {
            results.push(tree(&key, explanation).into());
        }
    }
    Ok(answer::json(StatusCode::OK, Object::from_iter([("Results", Json::Array(results))])))
}

/// One tree in the original's form: its root with the result, and the entries below it.
fn tree(key: &Object, explanation: Explanation) -> Object {
    let pages: usize = explanation.levels.iter().map(|level| level.pages.len()).sum();
    let entries = explanation
        .entries
        .into_iter()
        .map(|entry| Object::from_iter([("Data", entry.value), ("Source", entry.document.into())]).into());
    let entries: Vec<Json> = entries.collect();
    let count = entries.len();
    let root = Object::from_iter([
        ("PageNumber", Json::from(0_i64)),
        ("AggregationResult", explanation.result.unwrap_or(Json::Null)),
        ("Children", Json::Null),
        ("Entries", entries.into()),
    ]);
    let text = Json::from(key.clone()).to_string();
    Object::from_iter([
        ("Name", Json::from(text.as_str())),
        ("DisplayName", text.into()),
        ("Depth", explanation.height.map_or(1, |height| u64::from(height) + 1).into()),
        ("PageCount", pages.into()),
        ("NumberOfEntries", count.into()),
        ("Root", root.into()),
    ])
}

/// The ids of the documents behind an index, in their order, from `start` on.
fn source_ids(index: &Index, view: &DatabaseView<'_>, query: &Pairs) -> Result<Response, ServerError> {
    let prefix = query.get("startsWith").unwrap_or_default().to_lowercase();
    let start = usize::try_from(query.number("start")?.unwrap_or(0)).unwrap_or(0);
    let size = query.number("pageSize")?.and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE_SIZE);
    let ids = index.documents_behind(view);
    let ids = ids.filter(|id| id.as_ref().map_or(true, |id| id.starts_with(&prefix)));
    let ids = ids.skip(start).take(size.min(PAGE_SIZE)).collect::<Result<Vec<_>, _>>()?;
    let count = ids.len();
    let ids = ids.into_iter().map(Json::from).collect();
    let body = Object::from_iter([("Results", Json::Array(ids)), ("Count", count.into())]);
    Ok(answer::json(StatusCode::OK, body))
}

/// The fields that an index can be asked for, as far as its definition tells.
fn entries_fields(index: &Index) -> Response {
    let mut names: Vec<String> = index.shape().fields.clone();
    if !index.is_map_reduce() {
        names.push("id()".to_owned());
    }
    let fields = names.into_iter().map(|name| {
        Json::from(Object::from_iter([
            ("Name", Json::from(name)),
            ("FieldType", "Static".into()),
            ("ValueType", "Term".into()),
        ]))
    });
    let mut text = Vec::new();
    Json::Array(fields.collect()).write_to(&mut text);
    answer::json_text(StatusCode::OK, text)
}
