//! Attachments over HTTP: `GET`, `HEAD`, `POST`, `PUT` and `DELETE` of `attachments?id=&name=`, and
//! `POST` and `DELETE attachments/bulk`.
//!
//! An attachment's change vector is that of its document, which changes with it. The bytes go out in parts, each read
//! when the one before it is on its way; that the bytes of a hash never change makes the whole consistent, and if
//! they are deleted meanwhile the connection is broken off, never filled up.

use crate::answer;
use crate::body;
use crate::clock;
use crate::databases::OpenDatabase;
use crate::envelope::JSON_TYPE;
use crate::error::ServerError;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use magpie_store::json::{Json, Object};
use magpie_store::limits::{ATTACHMENT_BYTES_MAX, ATTACHMENT_CHUNK_BYTES};
use magpie_store::{Attachment, ChangeVector, Command, Content, ContentHash, DocumentId, Outcome};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;

const HASH: HeaderName = HeaderName::from_static("attachment-hash");
const SIZE: HeaderName = HeaderName::from_static("attachment-size");

/// `GET`, `HEAD` and `POST attachments?id=&name=`: the bytes, with what is known of them in headers. Clients send
/// `POST` for those of revisions, and its body says nothing else here.
pub(crate) async fn get(request: DatabaseRequest) -> Result<Response, ServerError> {
    let (id, name) = asked(&request)?;
    let database = Arc::clone(&request.database);
    let found = blocking(move || {
        let view = database.documents().view();
        let found = view.attachment(&DocumentId::new(&id)?, &name)?;
        Ok(found.map(|(document, attachment)| {
            (attachment, format!("\"{}\"", ChangeVector::new(document.etag, view.database_id())))
        }))
    })
    .await?;
    let Some((attachment, etag)) = found else { return Ok(answer::not_found()) };
    if answer::client_has(&request.headers, &etag) {
        return Ok(answer::not_modified());
    }
    let body = if request.method == Method::HEAD {
        Body::empty()
    } else {
        body_of(Arc::clone(&request.database), &attachment)
    };
    let mut response = answer::with_etag((StatusCode::OK, body).into_response(), &etag);
    describe(&attachment, response.headers_mut());
    Ok(response)
}

/// `PUT attachments?id=&name=&contentType=` with the bytes as the body.
pub(crate) async fn put(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let (id, name) = asked(&request)?;
    let content_type = request.query.get("contentType").unwrap_or_default().to_owned();
    let expected = request.expected_change_vector();
    let bytes = match body::read(&request.headers, body, ATTACHMENT_BYTES_MAX).await {
        Err(ServerError::TooLarge { .. }) => {
            return Err(ServerError::TooLarge {
                what: "the attachment",
                limit_name: "attachment_bytes_max",
                limit: ATTACHMENT_BYTES_MAX,
                advice: "store it in parts under several names",
            });
        }
        read => read?,
    };
    let database = Arc::clone(&request.database);
    let answer = blocking(move || {
        let content = Content::new(bytes)?;
        let command = Command::PutAttachment { id, name, content_type, content, expected };
        let outcomes = database.documents().write(vec![command], clock::now())?;
        Ok(outcomes.first().map(|outcome| put_json(outcome, database.documents().id())).unwrap_or_default())
    })
    .await?;
    Ok(answer::json(StatusCode::CREATED, answer))
}

/// `DELETE attachments?id=&name=`
pub(crate) async fn delete(request: DatabaseRequest) -> Result<Response, ServerError> {
    let (id, name) = asked(&request)?;
    let expected = request.expected_change_vector();
    let database = Arc::clone(&request.database);
    blocking(move || {
        let command = Command::DeleteAttachment { id, name, expected };
        Ok(database.documents().write(vec![command], clock::now())?)
    })
    .await?;
    Ok(answer::no_content())
}

/// `POST attachments/bulk` with `{"AttachmentType":"Document","Attachments":[{"DocumentId","Name"}]}`: a JSON object that
/// describes those that are there, and behind it the bytes of each in that order.
pub(crate) async fn get_many(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let database = Arc::clone(&request.database);
    let found = blocking(move || {
        let body = body::parse_object(&text)?;
        match body.get("AttachmentType").and_then(Json::as_str) {
            Some("Document") => {}
            Some(other) => {
                let what =
                    format!("attachments of the type '{}'", other.chars().take(100).collect::<String>());
                return Err(ServerError::NotSupported { what });
            }
            None => return Err(ServerError::PropertyMissing { name: "AttachmentType" }),
        }
        let Some(items) = body.get("Attachments").and_then(Json::as_array) else {
            return Err(ServerError::PropertyMissing { name: "Attachments" });
        };
        let view = database.documents().view();
        let mut found = Vec::new();
        for item in items {
            let text = |name: &str| item.get(name).and_then(Json::as_str).unwrap_or_default();
            let Ok(id) = DocumentId::new(text("DocumentId")) else { continue };
            found.extend(view.attachment(&id, text("Name"))?.map(|(document, attachment)| {
                let change_vector = ChangeVector::new(document.etag, view.database_id());
                (document.id, change_vector, attachment)
            }));
        }
        Ok(found)
    })
    .await?;
    let described = found.iter().map(|(id, change_vector, attachment)| {
        Json::from(Object::from_iter([
            ("Name", Json::from(attachment.name.as_str())),
            ("Hash", attachment.hash.as_str().into()),
            ("ContentType", attachment.content_type.as_str().into()),
            ("Size", attachment.size.into()),
            ("ChangeVector", change_vector.as_str().into()),
            ("DocumentId", id.as_str().into()),
        ]))
    });
    let head = Object::from_iter([("AttachmentsMetadata", Json::Array(described.collect()))]);
    let mut text = Vec::new();
    head.write_to(&mut text);
    let bodies = found.into_iter().map(move |(_, _, attachment)| {
        body_of(Arc::clone(&request.database), &attachment).into_data_stream()
    });
    let whole = stream::once(async { Ok(Bytes::from(text)) }).chain(stream::iter(bodies).flatten());
    Ok((StatusCode::OK, [(CONTENT_TYPE, JSON_TYPE)], Body::from_stream(whole)).into_response())
}

/// `DELETE attachments/bulk` with `{"Attachments":[{"DocumentId","Name"}]}`: all of them or none.
pub(crate) async fn delete_many(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let database = Arc::clone(&request.database);
    blocking(move || {
        let body = body::parse_object(&text)?;
        let Some(items) = body.get("Attachments").and_then(Json::as_array) else {
            return Err(ServerError::PropertyMissing { name: "Attachments" });
        };
        let commands = items.iter().map(|item| {
            let text = |name: &'static str| {
                let text = item.get(name).and_then(Json::as_str).map(str::to_owned);
                text.ok_or(ServerError::PropertyMissing { name })
            };
            Ok(Command::DeleteAttachment { id: text("DocumentId")?, name: text("Name")?, expected: None })
        });
        let commands = commands.collect::<Result<Vec<_>, ServerError>>()?;
        Ok(database.documents().write(commands, clock::now())?)
    })
    .await?;
    Ok(answer::no_content())
}

fn asked(request: &DatabaseRequest) -> Result<(String, String), ServerError> {
    Ok((request.query.required("id")?.to_owned(), request.query.required("name")?.to_owned()))
}

fn put_json(outcome: &Outcome, database_id: &str) -> Object {
    let Outcome::AttachmentPut { id, attachment, etag, .. } = outcome else { return Object::new() };
    let mut answer = Object::new();
    answer.insert("ChangeVector", ChangeVector::new(*etag, database_id).as_str());
    answer.insert("ContentType", attachment.content_type.as_str());
    answer.insert("DocumentId", id.as_str());
    answer.insert("Hash", attachment.hash.as_str());
    answer.insert("Name", attachment.name.as_str());
    answer.insert("Size", attachment.size);
    answer
}

fn describe(attachment: &Attachment, headers: &mut HeaderMap) {
    let name = utf8_percent_encode(&attachment.name, NON_ALPHANUMERIC);
    let pairs = [
        (CONTENT_TYPE, attachment.content_type.clone()),
        (CONTENT_LENGTH, attachment.size.to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename*=UTF-8''{name}")),
        (HASH, attachment.hash.to_string()),
        (SIZE, attachment.size.to_string()),
    ];
    for (key, value) in pairs {
        // A media type that cannot stand in a header says nothing.
        if let Some(value) = HeaderValue::from_str(&value).ok().filter(|value| !value.is_empty()) {
            headers.insert(key, value);
        }
    }
}

fn body_of(database: Arc<OpenDatabase>, attachment: &Attachment) -> Body {
    let hash = attachment.hash.clone();
    let chunks = attachment.size.div_ceil(ATTACHMENT_CHUNK_BYTES as u64);
    Body::from_stream(stream::unfold(0_u32, move |number| {
        let (database, hash) = (Arc::clone(&database), hash.clone());
        async move {
            if u64::from(number) >= chunks {
                return None;
            }
            let chunk = blocking(move || chunk(&database, &hash, number)).await;
            Some((chunk.map(Bytes::from), number + 1))
        }
    }))
}

fn chunk(database: &OpenDatabase, hash: &ContentHash, number: u32) -> Result<Vec<u8>, ServerError> {
    let chunk = database.documents().view().content_chunk(hash, number)?;
    chunk.ok_or_else(|| ServerError::InvalidOperation("the attachment was deleted meanwhile".to_owned()))
}
