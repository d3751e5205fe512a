//! Counts of one database: documents, collections, indexes.
//!
//! The clients' own test helpers poll `stats` until no index is stale, so it must be cheap.

use crate::answer;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::index_stats;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_store::json::{Json, Object};
use magpie_store::{ChangeVector, CollectionStats};

/// `GET stats`
pub(crate) async fn database(request: DatabaseRequest) -> Result<Response, ServerError> {
    let database = request.database;
    let body = blocking(move || database_stats(&database)).await?;
    Ok(answer::json(StatusCode::OK, body))
}

/// `GET stats/detailed`
pub(crate) async fn database_detailed(request: DatabaseRequest) -> Result<Response, ServerError> {
    let database = request.database;
    let body = blocking(move || {
        let mut body = database_stats(&database)?;
        let view = database.documents().view();
        body.insert("CountOfIdentities", view.identities()?.len());
        let mut exchanges = 0_u64;
        for value in view.compare_exchanges("") {
            value?;
            exchanges += 1;
        }
        body.insert("CountOfCompareExchange", exchanges);
        for none in ["CountOfCompareExchangeTombstones", "CountOfTimeSeriesDeletedRanges"] {
            body.insert(none, 0_i64);
        }
        Ok(body)
    })
    .await?;
    Ok(answer::json(StatusCode::OK, body))
}

/// `GET stats/essential`
pub(crate) async fn database_essential(request: DatabaseRequest) -> Result<Response, ServerError> {
    let database = request.database;
    let whole = blocking(move || database_stats(&database)).await?;
    let kept = |name: &str| {
        let counts = name.starts_with("CountOf") && name != "CountOfUniqueAttachments";
        counts || name == "Indexes"
    };
    let body: Object = whole
        .iter()
        .filter(|(name, _)| kept(name))
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    Ok(answer::json(StatusCode::OK, body))
}

/// What this server has none of.
const ABSENT: [&str; 6] = [
    "CountOfRevisionDocuments",
    "CountOfDocumentsConflicts",
    "CountOfConflicts",
    "CountOfAttachments",
    "CountOfUniqueAttachments",
    "CountOfTimeSeriesSegments",
];

fn database_stats(database: &OpenDatabase) -> Result<Object, ServerError> {
    let view = database.documents().view();
    let collections = view.collections()?;
    let indexes = database.indexes().all();
    let mut items = Vec::with_capacity(indexes.len());
    let mut last_indexed = Json::Null;
    let mut newest = 0;
    for index in &indexes {
        let statistics = index.statistics(&view)?;
        if statistics.progress.indexed_at > newest {
            newest = statistics.progress.indexed_at;
            last_indexed = index_stats::date(newest);
        }
        let is_stale = database.indexes().is_stale(&view, index)?;
        items.push(Json::from(index_stats::short(index, &statistics, is_stale)));
    }
    let mut body = Object::new();
    body.insert("CountOfIndexes", indexes.len());
    body.insert("CountOfDocuments", collections.iter().map(|c| c.documents).sum::<u64>());
    body.insert("CountOfTombstones", collections.iter().map(|c| c.tombstones).sum::<u64>());
    for none in ABSENT {
        body.insert(none, 0_i64);
    }
    let (attachments, contents) = view.attachment_counts()?;
    body.insert("CountOfAttachments", attachments);
    body.insert("CountOfUniqueAttachments", contents);
    body.insert("CountOfCounterEntries", view.counter_counts()?.0);
    // Values of counters change without a document.
    body.insert("LastDocEtag", collections.iter().map(|c| c.last_etag.0).max().unwrap_or(0));
    body.insert("LastDatabaseEtag", view.last_etag().0);
    body.insert("DatabaseChangeVector", ChangeVector::new(view.last_etag(), view.database_id()).as_str());
    body.insert("DatabaseId", view.database_id());
    body.insert("Is64Bit", true);
    body.insert("Pager", "RocksDB");
    body.insert("LastIndexingTime", last_indexed);
    let bytes = database.size_bytes();
    body.insert("SizeOnDisk", size_json(bytes));
    body.insert("TempBuffersSizeOnDisk", size_json(0));
    body.insert("NumberOfTransactionMergerQueueOperations", 0_i64);
    body.insert("Indexes", items);
    Ok(body)
}

/// `GET collections/stats` and `GET collections/stats/detailed`
pub(crate) async fn collections(request: DatabaseRequest) -> Result<Response, ServerError> {
    let detailed = request.uri.path().ends_with("/detailed");
    let database = request.database;
    let (collections, attachments, counters, bytes) = blocking(move || {
        let view = database.documents().view();
        let bytes = if detailed { database.size_bytes() } else { 0 };
        Ok((view.collections()?, view.attachment_counts()?.0, view.counter_counts()?.0, bytes))
    })
    .await?;
    let items: u64 = collections.iter().map(|c| c.documents + c.tombstones).sum();
    let mut body = Object::new();
    body.insert("CountOfDocuments", collections.iter().map(|c| c.documents).sum::<u64>());
    body.insert("CountOfTombstones", collections.iter().map(|c| c.tombstones).sum::<u64>());
    for none in ABSENT.into_iter().filter(|name| *name != "CountOfUniqueAttachments") {
        body.insert(none, 0_i64);
    }
    body.insert("CountOfAttachments", attachments);
    body.insert("CountOfCounterEntries", counters);
    body.insert("CountOfTimeSeriesDeletedRanges", 0_i64);
    let live = collections.iter().filter(|collection| collection.documents > 0);
    let counts = live.map(|collection| {
        let size = |count: u64| size_json(share(bytes, count, items));
        (collection.collection.as_str(), count_of(collection, detailed, size))
    });
    body.insert("Collections", Object::from_iter(counts));
    Ok(answer::json(StatusCode::OK, body))
}

/// What so many of all items have of the room on disk, which is not counted by collection: an estimate.
fn share(bytes: u64, count: u64, items: u64) -> u64 {
    let part = u128::from(bytes) * u128::from(count) / u128::from(items.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

fn count_of(collection: &CollectionStats, detailed: bool, size: impl Fn(u64) -> Object) -> Json {
    if !detailed {
        return collection.documents.into();
    }
    Json::from(Object::from_iter([
        ("Name", Json::from(collection.collection.as_str())),
        ("CountOfDocuments", collection.documents.into()),
        ("Size", size(collection.documents + collection.tombstones).into()),
        ("DocumentsSize", size(collection.documents).into()),
        ("CountOfTombstones", collection.tombstones.into()),
        ("TombstonesSize", size(collection.tombstones).into()),
        ("CountOfRevisions", 0_i64.into()),
        ("RevisionsSize", size(0).into()),
        ("LastEtag", collection.last_etag.0.into()),
    ]))
}

pub(crate) fn size_json(bytes: u64) -> Object {
    Object::from_iter([("HumaneSize", Json::from(humane_size(bytes))), ("SizeInBytes", bytes.into())])
}

/// A size for people: `640 Bytes`, `1.5 KBytes`.
pub(crate) fn humane_size(bytes: u64) -> String {
    let mut unit = 1_u64;
    let mut name = "Bytes";
    for larger in ["KBytes", "MBytes", "GBytes", "TBytes"] {
        if bytes / unit < 1024 {
            break;
        }
        unit *= 1024;
        name = larger;
    }
    let hundredths = u128::from(bytes) * 100 / u128::from(unit);
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    format!("{} {name}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::humane_size;

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [
            (0, "0 Bytes"),
            (1023, "1023 Bytes"),
            (1024, "1 KBytes"),
            (1536, "1.5 KBytes"),
            (5 << 30, "5 GBytes"),
        ] {
            assert_eq!(humane_size(bytes), text);
        }
        assert!(humane_size(u64::MAX).ends_with("TBytes"));
    }
}
