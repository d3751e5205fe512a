//! Documents by id: `GET`, `HEAD`, `POST` (many ids), `PUT` and `DELETE` of `docs`, and their sizes.
//!
//! A missing document is `null` at its place among several, and 404 without a body when it was asked for alone.

use crate::answer;
use crate::body;
use crate::clock;
use crate::counters;
use crate::document_pages;
use crate::document_text::DocumentList;
use crate::error::ServerError;
use crate::includes;
use crate::random::base64;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use crate::stats::humane_size;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_store::json::write_string;
use magpie_store::json::{Json, Object};
use magpie_store::{
    ChangeVector, Command, CompareExchangeValue, DatabaseView, Document, DocumentId, NewDocument, Outcome,
};
use std::collections::BTreeSet;

/// `GET docs`: by `id`s, by `startsWith`, or the newest.
pub(crate) async fn get(request: DatabaseRequest) -> Result<Response, ServerError> {
    if request.query.raw("id").is_some() {
        let ids = request.query.all("id").map(str::to_owned).collect();
        return load(request, ids).await;
    }
    document_pages::get(request).await
}

/// `POST docs` with `{"Ids":[..]}`: as `GET`, for more ids than a URL holds. No ids means the newest documents.
pub(crate) async fn post(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let ids = blocking(move || {
        let object = body::parse_object(&text)?;
        let ids = match object.get("Ids") {
            Some(Json::Array(ids)) => ids,
            None | Some(Json::Null) => return Err(ServerError::PropertyMissing { name: "Ids" }),
            Some(other) => return Err(body::unconvertible("Ids", other, "an array of ids")),
        };
        Ok(ids.iter().map(|id| id.as_str().unwrap_or("").to_owned()).collect::<Vec<_>>())
    })
    .await?;
    if ids.is_empty() { document_pages::get(request).await } else { load(request, ids).await }
}

/// `HEAD docs?id=`: whether it exists, and its change vector.
pub(crate) async fn head(request: DatabaseRequest) -> Result<Response, ServerError> {
    let id = request.query.required("id")?.to_owned();
    let database = request.database.clone();
    let etag = blocking(move || {
        let view = database.documents().view();
        Ok(find(&view, &id)?.map(|document| quoted_change_vector(&document, view.database_id())))
    })
    .await?;
    Ok(match etag {
        None => answer::not_found(),
        Some(etag) if answer::client_has(&request.headers, &etag) => answer::not_modified(),
        Some(etag) => answer::with_etag(answer::json_text(StatusCode::OK, Vec::new()), &etag),
    })
}

/// `PUT docs?id=`: writes one document, under the condition of `If-Match`.
pub(crate) async fn put(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let id = request.query.required("id")?.to_owned();
    let expected = request.expected_change_vector();
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let database = request.database.clone();
    let answer = blocking(move || {
        let document = Json::Object(body::parse_object(&text)?);
        // Checked under the name of the identity, before a number of it is used up.
        let document = NewDocument::from_json(&id, document)?;
        // Unlike one in a batch, this one takes the place of a document that has its number already.
        let id = match id.strip_suffix('|') {
            Some(prefix) => format!("{prefix}/{}", database.documents().next_identity(&id)?),
            None => id,
        };
        let commands = vec![Command::Put { id, document, expected }];
        let outcomes = database.documents().write(commands, clock::now())?;
        let mut answer = Object::new();
        if let Some(Outcome::Put { id, etag, .. }) = outcomes.first() {
            answer.insert("Id", id.as_str());
            answer.insert("ChangeVector", ChangeVector::new(*etag, database.documents().id()).as_str());
        }
        Ok(answer)
    })
    .await?;
    Ok(answer::json(StatusCode::CREATED, answer))
}

/// `DELETE docs?id=`: 204 whether it was there or not, under the condition of `If-Match`.
pub(crate) async fn delete(request: DatabaseRequest) -> Result<Response, ServerError> {
    let id = request.query.required("id")?.to_owned();
    let expected = request.expected_change_vector();
    let database = request.database.clone();
    blocking(move || {
        database.documents().write(vec![Command::Delete { id, expected }], clock::now())?;
        Ok(())
    })
    .await?;
    Ok(answer::no_content())
}

/// `GET docs/size?id=`: how much room a document takes.
pub(crate) async fn size(request: DatabaseRequest) -> Result<Response, ServerError> {
    let id = request.query.required("id")?.to_owned();
    let (database, asked) = (request.database.clone(), id.clone());
    let document = blocking(move || find(&database.documents().view(), &asked)).await?;
    let Some(document) = document else { return Ok(answer::not_found()) };
    let bytes = (document.body.len() + document.metadata.len()) as u64;
    let mut answer = Object::new();
    answer.insert("ActualSize", bytes);
    answer.insert("HumaneActualSize", humane_size(bytes));
    answer.insert("AllocatedSize", bytes);
    answer.insert("HumaneAllocatedSize", humane_size(bytes));
    answer.insert("IsCompressed", false);
    answer.insert("DocId", id);
    Ok(answer::json(StatusCode::OK, answer))
}

/// The document of an id as a client wrote it; an empty id has none.
fn find(view: &DatabaseView<'_>, id: &str) -> Result<Option<Document>, ServerError> {
    if id.is_empty() {
        return Ok(None);
    }
    Ok(view.document(&DocumentId::new(id)?)?)
}

fn quoted_change_vector(document: &Document, database_id: &str) -> String {
    format!("\"{}\"", ChangeVector::new(document.etag, database_id))
}

/// What a load by ids found.
struct Loaded {
    etag: String,
    text: Option<Vec<u8>>,
}

async fn load(request: DatabaseRequest, ids: Vec<String>) -> Result<Response, ServerError> {
    let DatabaseRequest { app, database, query, headers, .. } = request;
    let metadata_only = query.flag("metadataOnly")?;
    let loaded = blocking(move || {
        let view = database.documents().view();
        let found = ids.iter().map(|id| find(&view, id)).collect::<Result<Vec<_>, _>>()?;
        if let [None] = found.as_slice() {
            return Ok(None);
        }
        let limit = app.config().limits.answer_bytes_max;
        let names: Vec<String> = query.all("counter").map(str::to_owned).collect();
        let included = Included {
            documents: load_includes(&view, &found, &query.all("include").collect::<Vec<_>>())?,
            exchanges: load_exchanges(&view, &found, &query.all("cmpxchg").collect::<Vec<_>>(), limit)?,
            counters: load_counters(&view, &found, &names, limit)?,
        };
        let etag = etag_of(&found, &included, view.database_id());
        if answer::client_has(&headers, &etag) {
            return Ok(Some(Loaded { etag, text: None }));
        }
        let text = write_loaded(&found, &included, view.database_id(), metadata_only, limit)?;
        Ok(Some(Loaded { etag, text: Some(text) }))
    })
    .await?;
    Ok(match loaded {
        None => answer::not_found(),
        Some(Loaded { text: None, .. }) => answer::not_modified(),
        Some(Loaded { etag, text: Some(text) }) => {
            answer::with_etag(answer::json_text(StatusCode::OK, text), &etag)
        }
    })
}

/// The documents that the found ones point to, each once, in order of discovery; not those that are found themselves.
fn load_includes(
    view: &DatabaseView<'_>,
    found: &[Option<Document>],
    paths: &[&str],
) -> Result<Vec<Document>, ServerError> {
    let mut seen: BTreeSet<String> =
        found.iter().flatten().map(|document| document.id.key().to_owned()).collect();
    let mut included = Vec::new();
    for document in found.iter().flatten() {
        if paths.is_empty() {
            break;
        }
        let body = document.body_json();
        for id in paths.iter().flat_map(|path| includes::ids(&body, path)) {
            // A value that cannot be an id points to no document.
            let Ok(id) = DocumentId::new(&id) else { continue };
            if seen.insert(id.key().to_owned()) {
                included.extend(view.document(&id)?);
            }
        }
    }
    Ok(included)
}

/// What is sent along with the documents that were asked for.
struct Included {
    documents: Vec<Document>,
    /// Compare-exchange values by their keys as the documents have them; `None` for one that is not there.
    exchanges: Vec<(String, Option<CompareExchangeValue>)>,
    /// Counters by the ids of their documents, as JSON; `None` when none are asked for.
    counters: Option<Object>,
}

/// The compare-exchange values whose keys the found documents have, each once, in order of discovery.
fn load_exchanges(
    view: &DatabaseView<'_>,
    found: &[Option<Document>],
    paths: &[&str],
    limit: usize,
) -> Result<Vec<(String, Option<CompareExchangeValue>)>, ServerError> {
    let mut seen = BTreeSet::new();
    let mut exchanges = Vec::new();
    let mut bytes = 0;
    for document in found.iter().flatten().filter(|_| !paths.is_empty()) {
        let body = document.body_json();
        for key in paths.iter().flat_map(|path| includes::ids(&body, path)) {
            if !seen.insert(key.to_lowercase()) {
                continue;
            }
            let value = view.compare_exchange(&key)?;
            bytes += key.len() + value.as_ref().map_or(0, |found| found.value.to_string().len());
            if bytes > limit {
                return Err(crate::document_text::answer_too_large(limit));
            }
            exchanges.push((key, value));
        }
    }
    Ok(exchanges)
}

/// The counters of these names of the found documents; `None` when no name is given.
fn load_counters(
    view: &DatabaseView<'_>,
    found: &[Option<Document>],
    names: &[String],
    limit: usize,
) -> Result<Option<Object>, ServerError> {
    if names.is_empty() {
        return Ok(None);
    }
    let mut counters = Object::new();
    let mut bytes = 0_usize;
    for document in found.iter().flatten() {
        let items = counters::included(view, &document.id, names)?;
        let text = items.iter().map(|item| item.to_string().len() + 1).sum::<usize>();
        bytes = bytes.saturating_add(document.id.as_str().len() + 8 + text);
        if bytes > limit {
            return Err(crate::document_text::answer_too_large(limit));
        }
        counters.insert(document.id.as_str(), items);
    }
    Ok(Some(counters))
}

/// The change vector of a single document; for a set, a hash over all that is sent.
fn etag_of(found: &[Option<Document>], included: &Included, database_id: &str) -> String {
    if let ([Some(document)], [], [], None) =
        (found, included.documents.as_slice(), included.exchanges.as_slice(), &included.counters)
    {
        return quoted_change_vector(document, database_id);
    }
    let mut hasher = blake3::Hasher::new();
    for document in found {
        let etag = document.as_ref().map_or(0, |document| document.etag.0);
        hasher.update(&etag.to_le_bytes());
    }
    for document in &included.documents {
        hasher.update(&document.etag.0.to_le_bytes());
    }
    for (key, value) in &included.exchanges {
        hasher.update(key.as_bytes());
        hasher.update(&value.as_ref().map_or(0, |found| found.index).to_le_bytes());
    }
    if let Some(counters) = &included.counters {
        hasher.update(Json::Object(counters.clone()).to_string().as_bytes());
    }
    let hash = hasher.finalize();
    let short: Vec<u8> = hash.as_bytes().iter().copied().take(16).collect();
    format!("\"Hash-{}\"", base64(&short))
}

fn write_loaded(
    found: &[Option<Document>],
    included: &Included,
    database_id: &str,
    metadata_only: bool,
    limit: usize,
) -> Result<Vec<u8>, ServerError> {
    let mut list = DocumentList::new("{\"Results\":", limit);
    for document in found {
        list.push(|out| match document {
            Some(document) => document.write_wire(database_id, metadata_only, out),
            None => out.extend_from_slice(b"null"),
        })?;
    }
    let mut text = list.close();
    text.extend_from_slice(b",\"Includes\":{");
    for (place, document) in included.documents.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        write_string(document.id.as_str(), &mut text);
        text.push(b':');
        document.write_wire(database_id, false, &mut text);
        if text.len() > limit {
            return Err(crate::document_text::answer_too_large(limit));
        }
    }
    text.push(b'}');
    if !included.exchanges.is_empty() {
        text.extend_from_slice(b",\"CompareExchangeValueIncludes\":");
        let values = included.exchanges.iter().map(|(key, value)| {
            let (value, index) = match value {
                Some(found) => (found.value.clone(), Json::from(found.index)),
                None => (Json::Null, Json::from(-1_i64)),
            };
            let item = [("Key", Json::from(key.as_str())), ("Index", index), ("Value", value)];
            (key.clone(), Json::Object(Object::from_iter(item)))
        });
        Json::Object(Object::from_distinct(values.collect())).write_to(&mut text);
    }
    if let Some(counters) = &included.counters {
        text.extend_from_slice(b",\"CounterIncludes\":");
        Json::Object(counters.clone()).write_to(&mut text);
    }
    text.push(b'}');
    Ok(text)
}
