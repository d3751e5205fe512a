//! `POST multi_get`: several requests in one, as clients send lazy operations. Each is answered as if it had come alone.

use crate::answer;
use crate::body;
use crate::error::ServerError;
use crate::limits::MULTI_GET_REQUESTS_MAX;
use crate::request::DatabaseRequest;
use crate::state::AppState;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, HOST};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::Response;
use http_body_util::{BodyExt as _, Limited};
use magpie_store::json::{Json, Object};
use tower::ServiceExt as _;

/// The path's end of requests like this one, which must not stand inside of one.
const OWN_PATH: &str = "/multi_get";

/// `{"Requests":[{"Url","Query","Method","Headers","Content"},..]}`, carried out one after the other.
pub(crate) async fn post(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let limits = request.app.config().limits.clone();
    let text = body::read(&request.headers, body, limits.request_body_bytes_max).await?;
    let Some(Json::Array(asked)) = body::parse_object(&text)?.remove("Requests") else {
        return Err(ServerError::PropertyMissing { name: "Requests" });
    };
    if asked.len() > MULTI_GET_REQUESTS_MAX {
        return Err(ServerError::InvalidOperation(format!(
            "the request holds {} requests; the limit (multi_get_requests_max) is {MULTI_GET_REQUESTS_MAX}",
            asked.len()
        )));
    }
    let mut text = b"{\"Results\":[".to_vec();
    for (place, one) in asked.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        let left = limits.answer_bytes_max.saturating_sub(text.len());
        carry_out(&request.app, &request.headers, one, left, &mut text).await?;
    }
    text.extend_from_slice(b"]}");
    Ok(answer::json_text(StatusCode::OK, text))
}

/// Carries out one request and writes `{"Result":..,"StatusCode":..,"Headers":{..}}`.
async fn carry_out(
    app: &AppState,
    outer: &HeaderMap,
    one: &Json,
    bytes_max: usize,
    text: &mut Vec<u8>,
) -> Result<(), ServerError> {
    let response = match crate::router(app.clone()).oneshot(request(outer, one)?).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (parts, body) = response.into_parts();
    let limit = app.config().limits.answer_bytes_max;
    let bytes = Limited::new(body, bytes_max).collect().await;
    let bytes = bytes.map_err(|_| crate::document_text::answer_too_large(limit))?.to_bytes();
    text.extend_from_slice(b"{\"Result\":");
    text.extend_from_slice(if bytes.is_empty() { b"null" } else { &bytes });
    let headers: Object = parts
        .headers
        .iter()
        .filter(|(name, _)| *name != CONTENT_TYPE)
        .map(|(name, value)| {
            // Clients look this one up by its usual spelling.
            let name = if *name == ETAG { "ETag" } else { name.as_str() };
            (name.to_owned(), Json::from(String::from_utf8_lossy(value.as_bytes()).into_owned()))
        })
        .collect();
    let headers = Json::from(headers);
    text.extend_from_slice(
        format!(",\"StatusCode\":{},\"Headers\":{headers}}}", parts.status.as_u16()).as_bytes(),
    );
    Ok(())
}

/// One of the requests as it would have come alone.
fn request(outer: &HeaderMap, one: &Json) -> Result<Request<Body>, ServerError> {
    let part = |name: &str| one.get(name).and_then(Json::as_str).unwrap_or_default();
    let (url, query) = (part("Url"), part("Query"));
    let refuse = |what: &str| {
        Err(ServerError::InvalidOperation(format!("the request '{url}{query}' inside multi_get {what}")))
    };
    if !url.starts_with("/databases/") || url.trim_end_matches('/').ends_with(OWN_PATH) {
        return refuse("must be one to a database, and no further multi_get");
    }
    let method = if part("Method").is_empty() { "GET" } else { part("Method") };
    let method = match method.to_uppercase().as_str() {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "POST" => Method::POST,
        _ => return refuse("has a method that is none of GET, HEAD and POST"),
    };
    let content = match one.get("Content") {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.to_string(),
        Some(other) => other.to_string(),
    };
    let separator = if query.is_empty() || query.starts_with('?') { "" } else { "?" };
    let request = Request::builder().method(method).uri(format!("{url}{separator}{query}"));
    let Ok(mut request) = request.body(Body::from(content)) else { return refuse("has no address") };
    // Who may ask was decided by the outer request's headers.
    for name in [HOST, HeaderName::from_static("raven-client-version")] {
        if let Some(value) = outer.get(&name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    for (name, value) in one.get("Headers").and_then(Json::as_object).into_iter().flat_map(Object::iter) {
        let (Ok(name), Some(Ok(value))) =
            (HeaderName::from_bytes(name.as_bytes()), value.as_str().map(HeaderValue::from_str))
        else {
            return refuse("has a header that cannot be sent");
        };
        if name != HOST {
            request.headers_mut().insert(name, value);
        }
    }
    Ok(request)
}
