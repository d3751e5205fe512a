//! `GET indexes/performance[?name=..]`: what the last batches of indexes did, and what their parts took.

use crate::answer;
use crate::error::ServerError;
use crate::index_debug::named;
use crate::request::DatabaseRequest;
use crate::stats::size_json;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_indexes::performance::{BatchPerformance, between};
use magpie_store::json::{Json, Number, Object};
use std::time::Duration;

/// `GET indexes/performance[?name=..]`: the batches since the server was started, at most
/// [`magpie_indexes::limits::PERFORMANCE_BATCHES_MAX`] of each index, the oldest first.
pub(crate) async fn get(request: DatabaseRequest) -> Result<Response, ServerError> {
    let results = named(request.database.indexes(), &request.query).into_iter().map(|index| {
        let is_map_reduce = index.is_map_reduce();
        let batches = index.performance();
        let batches: Vec<Json> = batches.iter().map(|one| batch(one, is_map_reduce).into()).collect();
        Object::from_iter([("Name", Json::from(index.name())), ("Performance", batches.into())]).into()
    });
    let body = Object::from_iter([("Results", Json::Array(results.collect()))]);
    Ok(answer::json(StatusCode::OK, body))
}

fn batch(batch: &BatchPerformance, is_map_reduce: bool) -> Object {
    let counts = &batch.counts;
    let took = between(batch.began, batch.ended);
    Object::from_iter([
        ("Id", Json::from(batch.number)),
        ("Completed", batch.ended.to_string().into()),
        ("Details", details(batch, took, is_map_reduce).into()),
        ("InputCount", counts.mapped.into()),
        ("FailedCount", counts.map_failed.into()),
        ("OutputCount", counts.outputs.into()),
        ("SuccessCount", counts.mapped.saturating_sub(counts.map_failed).into()),
        ("Started", batch.began.to_string().into()),
        ("DurationInMs", milliseconds(took)),
        ("AllocatedManagedBytes", Json::Null),
        ("AllocatedUnmanagedBytes", Json::Null),
        ("DocumentsSize", size_json(counts.document_bytes).into()),
        ("TombstoneDeleteSuccesses", counts.deleted.into()),
    ])
}

/// The parts of a batch, as a tree of operations with the original's names.
fn details(batch: &BatchPerformance, took: Duration, is_map_reduce: bool) -> Object {
    let counts = &batch.counts;
    let why = if batch.caught_up { "No more documents to index" } else { "The batch is full" };
    let mapped = Object::from_iter([
        ("BatchCompleteReason", Json::from(why)),
        ("ProcessPrivateMemory", 0_i64.into()),
        ("ProcessWorkingSet", 0_i64.into()),
        ("CurrentlyAllocated", 0_i64.into()),
        ("AllocationBudget", 0_i64.into()),
    ]);
    let reduced = Object::from_iter([
        ("ProcessPrivateMemory", Json::from(0_i64)),
        ("ProcessWorkingSet", 0_i64.into()),
        ("CurrentlyAllocated", 0_i64.into()),
        ("ReduceAttempts", counts.reduced.into()),
        ("ReduceSuccesses", counts.reduced.saturating_sub(counts.reduce_failed).into()),
        ("ReduceErrors", counts.reduce_failed.into()),
        ("TreesReduceDetails", Json::Null),
    ]);
    let mut operations = Vec::new();
    match batch.parts {
        Some(parts) => {
            operations.push(with(operation("Map", parts.map), "MapDetails", mapped).into());
            if is_map_reduce {
                operations.push(with(operation("Reduce", parts.reduce), "ReduceDetails", reduced).into());
            }
            operations.push(operation("Storage/Commit", parts.commit).into());
        }
        None => {
            let build = with(operation("BulkBuild", took), "MapDetails", mapped);
            let build = if is_map_reduce { with(build, "ReduceDetails", reduced) } else { build };
            operations.push(build.into());
        }
    }
    let mut all = operation("Indexing", took);
    all.insert("Operations", Json::Array(operations));
    all
}

fn operation(name: &str, took: Duration) -> Object {
    Object::from_iter([
        ("Name", Json::from(name)),
        ("DurationInMs", milliseconds(took)),
        ("ReduceDetails", Json::Null),
        ("MapDetails", Json::Null),
        ("CleanupDetails", Json::Null),
        ("LuceneMergeDetails", Json::Null),
        ("CommitDetails", Json::Null),
        ("Operations", Vec::new().into()),
        ("ReferenceDetails", Json::Null),
    ])
}

fn with(mut operation: Object, name: &str, details: Object) -> Object {
    operation.insert(name, details);
    operation
}

/// With two digits behind the point.
fn milliseconds(took: Duration) -> Json {
    let hundredths = u32::try_from(took.as_micros() / 10).unwrap_or(u32::MAX);
    Json::from(Number::from_f64(f64::from(hundredths) / 100.0))
}
