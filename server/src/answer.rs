//! Answers: JSON bodies, empty ones, ETags.

use crate::envelope::JSON_TYPE;
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use magpie_store::json::{Json, Object};

/// A JSON object as an answer.
pub(crate) fn json(status: StatusCode, body: Object) -> Response {
    let mut text = Vec::new();
    Json::Object(body).write_to(&mut text);
    json_text(status, text)
}

/// JSON that is already text as an answer.
pub(crate) fn json_text(status: StatusCode, text: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, JSON_TYPE)], Body::from(text)).into_response()
}

/// 204: done, nothing to say. Clients insist on it for commands without a result.
pub(crate) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// 404 without a body: there is no such thing.
pub(crate) fn not_found() -> Response {
    StatusCode::NOT_FOUND.into_response()
}

/// An empty body that says so in `Content-Length`, which the bulk insert of the Node client looks for.
pub(crate) fn empty(status: StatusCode) -> Response {
    (status, [(CONTENT_LENGTH, HeaderValue::from_static("0"))]).into_response()
}

/// Adds an ETag as it stands (quoted or not).
pub(crate) fn with_etag(mut response: Response, etag: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

/// Whether the client already has this version: its `If-None-Match`, quoted or not, names it.
pub(crate) fn client_has(headers: &HeaderMap, etag: &str) -> bool {
    let given = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    given.is_some_and(|given| given.trim().trim_matches('"') == etag.trim_matches('"'))
}

/// 304: the client has it.
pub(crate) fn not_modified() -> Response {
    StatusCode::NOT_MODIFIED.into_response()
}
