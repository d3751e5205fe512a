//! `GET indexes/staleness`: whether an index is stale, and why: the original's reasons, and one sentence of our own.

use crate::answer;
use crate::error::ServerError;
use crate::index_stats::{collections_of, fault_json, filter_of, status_text, waiting};
use crate::request::DatabaseRequest;
use crate::state::blocking;
use crate::timespan;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_indexes::{Index, IndexError, LoadedCollections, Staleness};
use magpie_store::json::{Json, Object};
use magpie_store::{Collection, DatabaseView, Etag, StoreError, Timestamp};

/// `GET indexes/staleness?name=`
pub(crate) async fn get(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.required("name")?.to_owned();
    let database = request.database;
    let body = blocking(move || {
        let view = database.documents().view();
        let index =
            database.indexes().get_in(&view, &name)?.ok_or(IndexError::NotFound { name })?;
        let staleness = database.indexes().staleness(&view, &index)?;
        let mut reasons = reasons(&view, &index)?;
        if let Some(other) = &staleness.blocked_by {
            reasons.push(format!(
                "There are still some results to process from index '{other}', which writes documents that this index \
                 reads"
            ));
        }
        Ok(Object::from_iter([
            ("IsStale", Json::from(staleness.is_stale)),
            ("StalenessReasons", Json::Array(reasons.into_iter().map(Json::from).collect())),
            ("Magpie", to_json(&index.name(), &staleness).into()),
        ]))
    })
    .await?;
    Ok(answer::json(StatusCode::OK, body))
}

/// What Magpie says about the staleness of an index.
pub(crate) fn to_json(index: &str, staleness: &Staleness) -> Object {
    let error = staleness.last_error.as_ref().map(|fault| fault_json(index, fault));
    Object::from_iter([
        ("Why", Json::from(staleness.why.as_str())),
        ("Behind", staleness.behind.count().into()),
        ("BlockedBy", staleness.blocked_by.clone().into()),
        ("Eta", staleness.eta.map(timespan::format).into()),
        ("LastError", error.map_or(Json::Null, Json::from)),
        ("Status", status_text(&staleness.status).into()),
    ])
}

/// One reason for each collection, mapped or loaded, that has something the index has not taken in.
fn reasons(view: &DatabaseView<'_>, index: &Index) -> Result<Vec<String>, ServerError> {
    let reached = index.statistics(view)?.progress.etag;
    let mut collections = collections_of(index, view)?;
    match &index.shape().loads {
        LoadedCollections::None => {}
        LoadedCollections::Named(names) => {
            for name in names {
                if collections.iter().all(|(_, mapped)| mapped.as_ref().is_some_and(|mapped| mapped != name))
                {
                    collections.push((name.to_string(), Some(name.clone())));
                }
            }
        }
        LoadedCollections::All => collections = vec![("@all_docs".to_owned(), None)],
    }
    let reasons =
        collections.iter().map(|(name, collection)| reason(view, name, collection.as_ref(), reached));
    Ok(reasons.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}

/// Why an index is stale as to one collection, if it is.
fn reason(
    view: &DatabaseView<'_>,
    name: &str,
    collection: Option<&Collection>,
    reached: Etag,
) -> Result<Option<String>, StoreError> {
    let filter = filter_of(collection);
    let newest = view.last_etag_of(&filter)?;
    if newest <= reached {
        return Ok(None);
    }
    let before = waiting(view, collection, reached)?.processed;
    let last = view.documents_newest_first(&filter)?.next().transpose()?;
    Ok(Some(match last.filter(|last| last.etag > reached) {
        Some(last) => format!(
            "There are still some documents to process from collection '{name}'. The last Document etag in that \
             collection is '{}' (@id: '{}', @last-modified: '{}'), but last committed document etag for that \
             collection is '{before}'",
            last.etag,
            last.id,
            american(last.last_modified)
        ),
        None => format!(
            "There are still some tombstones to process from collection '{name}'. The last tombstone etag in that \
             collection is '{newest}', but last committed tombstone etag for that collection is '{before}'"
        ),
    }))
}

/// `11/22/2026 07:01:25`, as the original server writes times in this one sentence.
fn american(time: Timestamp) -> String {
    let text = time.to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or("");
    format!("{}/{}/{} {}", part(5, 7), part(8, 10), part(0, 4), part(11, 19))
}
