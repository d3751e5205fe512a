//! What indexes do and how far they are: statistics, status, progress, errors.

use crate::answer;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::index_staleness;
use crate::indexes::metadata;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_indexes::faults::{Fault, FaultAction};
use magpie_indexes::losses::{Loss, LossSource};
use magpie_indexes::{
    Index, IndexError, IndexStatistics, IndexStatus, LoadedCollections, MappedCollections, Registry,
    RunningScripts, Staleness,
};
use magpie_store::json::{Json, Object};
use magpie_store::{Collection, CollectionFilter, DatabaseView, Etag, StoreError, Timestamp};
use std::sync::Arc;

/// Changes that are counted one by one; beyond it the number to process is estimated.
const COUNTED_MAX: usize = 1024;

/// A point in time given in ticks; null when it is 0 (never).
pub(crate) fn date(ticks: u64) -> Json {
    if ticks == 0 {
        return Json::Null;
    }
    Timestamp(i64::try_from(ticks).unwrap_or(i64::MAX)).to_string().into()
}

fn state_text(status: &IndexStatus) -> &'static str {
    match status {
        IndexStatus::Running | IndexStatus::Paused => "Normal",
        IndexStatus::Disabled => "Disabled",
        IndexStatus::Failed(_) => "Error",
    }
}

/// [`status_text`]; nobody has stopped an idle index.
fn status_of(index: &Index, status: &IndexStatus) -> &'static str {
    status_text(if index.is_idle() { &IndexStatus::Running } else { status })
}

pub(crate) fn status_text(status: &IndexStatus) -> &'static str {
    match status {
        IndexStatus::Running => "Running",
        IndexStatus::Paused => "Paused",
        IndexStatus::Disabled => "Disabled",
        IndexStatus::Failed(_) => "Failed",
    }
}

/// An index in the statistics of its database.
pub(crate) fn short(index: &Index, statistics: &IndexStatistics, is_stale: bool) -> Object {
    let definition = index.definition();
    Object::from_iter([
        ("Name", Json::from(index.name())),
        ("IsStale", is_stale.into()),
        ("State", if index.is_idle() { "Idle" } else { state_text(&statistics.status) }.into()),
        ("LockMode", format!("{:?}", definition.lock_mode).into()),
        ("Priority", format!("{:?}", definition.priority).into()),
        ("Type", definition.type_name().into()),
        ("LastIndexingTime", date(statistics.progress.indexed_at)),
        ("SourceType", definition.source_type.as_deref().unwrap_or("Documents").into()),
    ])
}

/// The indexes a request asks for: the one of `name=`, or all.
fn chosen(database: &OpenDatabase, name: Option<&str>) -> Result<Vec<Arc<Index>>, IndexError> {
    match name {
        None => Ok(database.indexes().all()),
        Some(name) => match database.indexes().get(name) {
            Some(index) => Ok(vec![index]),
            None => Err(IndexError::NotFound { name: name.to_owned() }),
        },
    }
}

/// `GET indexes/stats[?name=]`
pub(crate) async fn statistics(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.get("name").map(str::to_owned);
    let database = Arc::clone(&request.database);
    let results = blocking(move || {
        let Ok(indexes) = chosen(&database, name.as_deref()) else { return Ok(None) };
        let view = database.documents().view();
        let results = indexes.iter().map(|index| full(database.indexes(), index, &view).map(Json::from));
        Ok(Some(results.collect::<Result<Vec<_>, _>>()?))
    })
    .await?;
    let Some(results) = results else { return Ok(answer::not_found()) };
    Ok(answer::json(StatusCode::OK, with_metadata(&request, results)))
}

fn with_metadata(request: &DatabaseRequest, results: Vec<Json>) -> Object {
    Object::from_iter([
        ("@metadata", metadata(&request.app, &request.headers).into()),
        ("Results", Json::Array(results)),
    ])
}

/// All counters of one index.
fn full(indexes: &Registry, index: &Arc<Index>, view: &DatabaseView<'_>) -> Result<Object, ServerError> {
    let statistics = index.statistics(view)?;
    let progress = &statistics.progress;
    let errors = index.errors(view)?.len();
    let map_reduce = index.is_map_reduce();
    let reduced = |count: u64| if map_reduce { Json::from(count) } else { Json::Null };
    let failed = matches!(statistics.status, IndexStatus::Failed(_));
    let definition = index.definition();
    let mut output_collections = index.output_collections().map(|written| Json::from(written.as_str()));
    let staleness = indexes.staleness(view, index)?;
    let mut body = short(index, &statistics, staleness.is_stale);
    body.insert("Collections", lags(index, view, progress.etag)?);
    for (key, value) in [
        ("MapAttempts", Json::from(progress.map_attempts)),
        ("MapSuccesses", progress.map_attempts.saturating_sub(progress.failing_documents).into()),
        ("MapErrors", progress.failing_documents.into()),
        ("MapReferenceAttempts", Json::Null),
        ("MapReferenceSuccesses", Json::Null),
        ("MapReferenceErrors", Json::Null),
        ("ReduceAttempts", reduced(progress.reduce_attempts)),
        ("ReduceSuccesses", reduced(progress.reduce_attempts.saturating_sub(progress.failing_keys))),
        ("ReduceErrors", reduced(progress.failing_keys)),
        ("ReduceOutputCollection", output_collections.next().unwrap_or(Json::Null)),
        (
            "ReduceOutputReferencePattern",
            definition.pattern_for_output_reduce_to_collection_references.clone().into(),
        ),
        ("PatternReferencesCollectionName", output_collections.next().unwrap_or(Json::Null)),
        ("MappedPerSecondRate", 0_i64.into()),
        ("ReducedPerSecondRate", 0_i64.into()),
        ("MaxNumberOfOutputsPerDocument", progress.outputs_max.into()),
        // When an index was made is not kept; clients read the key.
        ("CreatedTimestamp", Json::Null),
        ("LastQueryingTime", index.last_queried().map(|at| at.to_string()).into()),
        ("Status", status_of(index, &statistics.status).into()),
        ("EntriesCount", progress.results.into()),
        ("ErrorsCount", errors.into()),
        ("SearchEngineType", "Corax".into()),
        ("ArchivedDataProcessingBehavior", Json::Null),
        ("ReferencedCollections", referenced(index).into()),
        ("IsInvalidIndex", failed.into()),
    ] {
        body.insert(key, value);
    }
    let own = own(index, view, &staleness, &statistics.status)?;
    if !own.is_empty() {
        body.insert("Magpie", own);
    }
    Ok(body)
}

/// What Magpie tells of an index besides.
fn own(
    index: &Arc<Index>,
    view: &DatabaseView<'_>,
    staleness: &Staleness,
    status: &IndexStatus,
) -> Result<Object, ServerError> {
    let mut own = Object::new();
    if staleness.is_stale {
        own.insert("Stale", index_staleness::to_json(&index.name(), staleness));
    }
    if let IndexStatus::Failed(cause) = status {
        own.insert("Failure", cause.as_str());
    }
    let losses = index.losses(view)?;
    if !losses.is_empty() {
        own.insert("Losses", losses.iter().map(|loss| loss_json(loss).into()).collect::<Vec<Json>>());
    }
    if let Some(laws) = index.laws() {
        own.insert("Laws", laws.to_json());
    }
    if let Some(scripts) = index.running_scripts() {
        own.insert("Scripts", scripts_json(&scripts));
    }
    Ok(own)
}

/// How far the index is in each of its collections.
fn lags(index: &Index, view: &DatabaseView<'_>, etag: Etag) -> Result<Object, StoreError> {
    let collections = collections_of(index, view)?.into_iter().map(|(name, collection)| {
        let waiting = waiting(view, collection.as_ref(), etag)?;
        let lags = Object::from_iter([
            ("LastProcessedDocumentEtag", Json::from(waiting.processed.0)),
            ("LastProcessedTombstoneEtag", waiting.processed.0.into()),
            ("DocumentLag", waiting.documents.into()),
            ("TombstoneLag", waiting.tombstones.into()),
        ]);
        Ok((name, Json::from(lags)))
    });
    Ok(Object::from_iter(collections.collect::<Result<Vec<_>, StoreError>>()?))
}

/// Which tier runs the scripts of an index, and what keeps them in the engine.
pub(crate) fn scripts_json(scripts: &RunningScripts) -> Object {
    match &scripts.why_engine {
        Some(why) => Object::from_iter([("Tier", Json::from("boa")), ("Why", why.as_str().into())]),
        None => Object::from_iter([
            ("Tier", Json::from("compiled")),
            ("HandedOver", scripts.handed_over.into()),
            ("HandedOverFor", scripts.handed_over_for.map_or(Json::Null, Json::from)),
        ]),
    }
}

/// The collections whose documents the maps load; `@all_docs` for any.
fn referenced(index: &Index) -> Vec<Json> {
    match &index.shape().loads {
        LoadedCollections::None => Vec::new(),
        LoadedCollections::Named(names) => names.iter().map(|name| name.as_str().into()).collect(),
        LoadedCollections::All => vec!["@all_docs".into()],
    }
}

/// Numbers of one field that an index could not keep, with the first document or reduce key that has one.
fn loss_json(loss: &Loss) -> Object {
    let (counted, source) = match loss.source {
        LossSource::Map => ("Documents", "Map"),
        LossSource::Reduce => ("Keys", "Reduce"),
    };
    Object::from_iter([
        ("Kind", Json::from(loss.kind.name())),
        ("In", source.into()),
        ("Field", loss.field.as_str().into()),
        (counted, loss.count.into()),
        ("First", loss.first.as_str().into()),
    ])
}

/// The mapped collections by name; all documents go by `@all_docs` and have no collection.
pub(crate) fn collections_of(
    index: &Index,
    view: &DatabaseView<'_>,
) -> Result<Vec<(String, Option<Collection>)>, StoreError> {
    let MappedCollections::Named(names) = &index.shape().collections else {
        return Ok(vec![("@all_docs".to_owned(), None)]);
    };
    // The spelling of the documents goes before that of the script.
    let known = view.collections()?;
    let spelt = |name: &Collection| {
        let found = known.iter().find(|stats| stats.collection == *name);
        found.map_or_else(|| name.to_string(), |stats| stats.collection.to_string())
    };
    Ok(names.iter().map(|name| (spelt(name), Some(name.clone()))).collect())
}

pub(crate) fn filter_of(collection: Option<&Collection>) -> CollectionFilter {
    collection.map_or(CollectionFilter::All, |collection| CollectionFilter::Named(vec![collection.clone()]))
}

/// What an index still has to take in of a collection.
pub(crate) struct Waiting {
    /// The newest etag of the collection that is taken in.
    pub processed: Etag,
    documents: u64,
    tombstones: u64,
}

pub(crate) fn waiting(
    view: &DatabaseView<'_>,
    collection: Option<&Collection>,
    reached: Etag,
) -> Result<Waiting, StoreError> {
    let filter = filter_of(collection);
    let newest = view.last_etag_of(&filter)?;
    let mut waiting = Waiting { processed: reached.min(newest), documents: 0, tombstones: 0 };
    if newest <= reached {
        return Ok(waiting);
    }
    let changes = view.changes_after(&filter, reached, COUNTED_MAX + 1)?;
    waiting.tombstones = changes.iter().filter(|change| change.tombstone).count() as u64;
    waiting.documents = if changes.len() <= COUNTED_MAX {
        changes.len() as u64 - waiting.tombstones
    } else {
        // Each document waits once, and no more changes than etags were given since.
        let (documents, _) = totals(view, &filter)?;
        documents.min(newest.0 - reached.0)
    };
    Ok(waiting)
}

/// The documents and tombstones of some collections.
fn totals(view: &DatabaseView<'_>, filter: &CollectionFilter) -> Result<(u64, u64), StoreError> {
    let stats = view.collections()?;
    let wanted = stats.iter().filter(|stats| filter.contains(&stats.collection));
    Ok(wanted.fold((0, 0), |(documents, tombstones), stats| {
        (documents + stats.documents, tombstones + stats.tombstones)
    }))
}

/// `GET indexes/status`
pub(crate) async fn status(request: DatabaseRequest) -> Result<Response, ServerError> {
    let database = request.database;
    let statuses = blocking(move || {
        let view = database.documents().view();
        let all = database.indexes().all();
        let statuses = all.iter().map(|index| {
            // Nobody has stopped an idle one.
            let status = if index.is_idle() { IndexStatus::Running } else { index.status(&view)? };
            Ok((index.name(), status))
        });
        Ok(statuses.collect::<Result<Vec<_>, IndexError>>()?)
    })
    .await?;
    let all_paused =
        !statuses.is_empty() && statuses.iter().all(|(_, status)| *status == IndexStatus::Paused);
    let indexes = statuses.into_iter().map(|(name, status)| {
        Json::from(Object::from_iter([("Name", Json::from(name)), ("Status", status_text(&status).into())]))
    });
    let body = Object::from_iter([
        ("Status", Json::from(if all_paused { "Paused" } else { "Running" })),
        ("Indexes", Json::Array(indexes.collect())),
    ]);
    Ok(answer::json(StatusCode::OK, body))
}

/// `GET indexes/progress`: the stale indexes and what they have before them.
pub(crate) async fn progress(request: DatabaseRequest) -> Result<Response, ServerError> {
    let database = request.database;
    let results = blocking(move || {
        let view = database.documents().view();
        let mut results = Vec::new();
        for index in database.indexes().all() {
            let statistics = index.statistics(&view)?;
            if database.indexes().is_stale(&view, &index)? {
                results.push(Json::from(progress_of(&index, &statistics, &view)?));
            }
        }
        Ok(results)
    })
    .await?;
    Ok(answer::json(StatusCode::OK, Object::from_iter([("Results", Json::Array(results))])))
}

fn progress_of(
    index: &Index,
    statistics: &IndexStatistics,
    view: &DatabaseView<'_>,
) -> Result<Object, ServerError> {
    let mut collections = Object::new();
    for (name, collection) in collections_of(index, view)? {
        let waiting = waiting(view, collection.as_ref(), statistics.progress.etag)?;
        let (documents, tombstones) = totals(view, &filter_of(collection.as_ref()))?;
        let item = Object::from_iter([
            ("LastProcessedItemEtag", Json::from(waiting.processed.0)),
            ("NumberOfItemsToProcess", waiting.documents.into()),
            ("NumberOfTombstonesToProcess", waiting.tombstones.into()),
            ("NumberOfTimeSeriesDeletedRangesToProcess", 0_i64.into()),
            ("TotalNumberOfItems", documents.into()),
            ("TotalNumberOfTombstones", tombstones.into()),
            ("TotalNumberOfTimeSeriesDeletedRanges", 0_i64.into()),
        ]);
        collections.insert(name, item);
    }
    Ok(Object::from_iter([
        ("IsStale", Json::from(true)),
        ("IndexRunningStatus", status_text(&statistics.status).into()),
        ("ProcessedPerSecond", 0_i64.into()),
        ("Collections", collections.into()),
        ("Name", index.name().into()),
        ("Type", index.definition().type_name().into()),
        ("SourceType", "Documents".into()),
    ]))
}

/// `GET indexes/errors[?name=]`
pub(crate) async fn errors(request: DatabaseRequest) -> Result<Response, ServerError> {
    let names: Vec<String> =
        request.query.all("name").filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let database = Arc::clone(&request.database);
    let by_name = !names.is_empty();
    let results = blocking(move || {
        let mut indexes = Vec::new();
        for name in &names {
            indexes.extend(chosen(&database, Some(name))?);
        }
        if names.is_empty() {
            indexes = chosen(&database, None)?;
        }
        let view = database.documents().view();
        let results = indexes.iter().map(|index| {
            let errors = index.errors(&view)?;
            let errors = errors.iter().map(|fault| Json::from(fault_json(&index.name(), fault)));
            let item = [("Name", Json::from(index.name())), ("Errors", Json::Array(errors.collect()))];
            Ok(Json::from(Object::from_iter(item)))
        });
        Ok(results.collect::<Result<Vec<_>, IndexError>>()?)
    })
    .await?;
    // The original tells when, but only for indexes that were asked for by name.
    if by_name {
        return Ok(answer::json(StatusCode::OK, with_metadata(&request, results)));
    }
    Ok(answer::json(StatusCode::OK, Object::from_iter([("Results", Json::Array(results))])))
}

pub(crate) fn fault_json(index: &str, fault: &Fault) -> Object {
    let at = fault.position.map_or_else(String::new, |p| format!(" (line {}, column {})", p.line, p.column));
    let Fault { subject, message, .. } = fault;
    let (action, error) = match fault.action {
        FaultAction::Map => {
            ("Map", format!("Failed to execute mapping function on {subject}. Exception: {message}{at}"))
        }
        FaultAction::Output => {
            ("Output", format!("Failed to write the output documents of {subject}. Exception: {message}{at}"))
        }
        FaultAction::Reduce => (
            "Reduce",
            format!(
                "Failed to execute reduce function on nested values of '{index}' index. The relevant reduce result is \
                 going to be removed from the index as it would be incorrect due to encountered errors Exception: \
                 {message}{at}"
            ),
        ),
    };
    Object::from_iter([
        ("Timestamp", Json::from(fault.at.to_string())),
        ("Document", subject.as_str().into()),
        ("Action", action.into()),
        ("Error", error.into()),
    ])
}
