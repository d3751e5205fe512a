//! What is common to all answers: headers, the body of errors, panics, and who may ask.
//!
//! It wraps the whole route table. A handler that panics is answered with 500 like any other failure; the
//! connection goes on. A server that listens on loopback refuses foreign `Host` names (a name that an attacker's DNS
//! points at 127.0.0.1) and requests made by web pages of other origins: it has no other protection.

use crate::error::{Failure, ServerError};
use crate::state::AppState;
use crate::version::SERVER_VERSION;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use magpie_store::json::{Json, Object};
use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

/// The content type of every JSON answer.
pub(crate) const JSON_TYPE: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
/// Tells clients that the database is missing rather than the node down.
pub(crate) const DATABASE_MISSING: HeaderName = HeaderName::from_static("database-missing");

/// The outermost layer.
pub(crate) async fn wrap(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let official_client = request.headers().contains_key("raven-client-version");
    let refused = refuse_foreign(&app, request.headers());
    let mut response = match refused {
        Some(error) => error.into_response(),
        None => match catch_panic(next.run(request)).await {
            Ok(response) => response,
            Err(message) => ServerError::Panicked(message).into_response(),
        },
    };
    if let Some(Failure(error)) = response.extensions_mut().remove::<Failure>() {
        response = render(&error, &uri, response, official_client);
    }
    response
        .headers_mut()
        .insert(HeaderName::from_static("raven-server-version"), HeaderValue::from_static(SERVER_VERSION));
    response
}

/// Writes an error's answer, keeping the headers that the handler set.
fn render(error: &ServerError, uri: &Uri, handled: Response, official_client: bool) -> Response {
    let class = error.class();
    let message = error.to_string();
    // Escaped: the message may repeat what a client sent, and a log line must stay one line.
    if class.status.is_server_error() {
        tracing::error!(url = %uri, kind = class.kind, error = ?message, "request failed");
    } else {
        tracing::debug!(url = %uri, kind = class.kind, error = ?message, "request refused");
    }
    let (mut parts, _) = handled.into_parts();
    parts.status = class.status;
    // The original server has this header on other routes only, but the Python client needs it here too.
    if let ServerError::DatabaseMissing { name } = error
        && official_client
        && let Ok(value) = HeaderValue::from_str(name)
    {
        parts.headers.insert(DATABASE_MISSING, value);
    }
    if class.status == StatusCode::SERVICE_UNAVAILABLE {
        parts.headers.insert(axum::http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if class.empty {
        return Response::from_parts(parts, Body::empty());
    }
    let mut body = Object::new();
    body.insert("Url", uri.path_and_query().map_or("", |path| path.as_str()));
    body.insert("Type", class.kind);
    body.insert("Error", format!("{}: {message}", class.kind));
    body.insert("Message", message);
    for (key, value) in class.extra {
        body.insert(key, value);
    }
    parts.headers.insert(CONTENT_TYPE, JSON_TYPE);
    Response::from_parts(parts, Body::from(Json::Object(body).to_string()))
}

/// Runs a handler; a panic becomes its text.
async fn catch_panic(handler: impl Future<Output = Response>) -> Result<Response, String> {
    let mut handler = Box::pin(handler);
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context))) {
        Ok(progress) => progress.map(Ok),
        Err(panic) => Poll::Ready(Err(panic_text(panic.as_ref()))),
    })
    .await
}

/// The message of a panic, if it has one.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a message".to_owned(),
    }
}

/// Why the request must be refused, if it must.
fn refuse_foreign(app: &AppState, headers: &HeaderMap) -> Option<ServerError> {
    let text = |name: HeaderName| {
        headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let host = text(HOST);
    if let (true, Some(host)) = (app.config().loopback_only, &host)
        && !host_allowed(host, &app.config().allowed_hosts)
    {
        return Some(ServerError::HostRefused { host: host.clone() });
    }
    if let Some(origin) = text(ORIGIN) {
        let same = origin.split_once("://").is_some_and(|(_, site)| Some(site) == host.as_deref());
        if !same {
            return Some(ServerError::OriginRefused { origin });
        }
    }
    None
}

/// Whether a Host header names this machine by address, as localhost, or by a name the operator allowed.
fn host_allowed(host: &str, allowed: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok()
        || allowed.iter().any(|host| host.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::{catch_panic, host_allowed};
    use axum::response::Response;

    #[test]
    fn a_panic_becomes_its_text() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let place = 7;
        let panicked = runtime.block_on(catch_panic(async move {
            tokio::task::yield_now().await;
            panic!("at {place}")
        }));
        assert_eq!(panicked.unwrap_err(), "at 7");
        assert!(runtime.block_on(catch_panic(async { Response::default() })).is_ok());
    }

    #[test]
    fn only_names_of_this_machine_are_allowed_on_loopback() {
        let allowed = ["db.example".to_owned()];
        for host in [
            "127.0.0.1:8080",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8080",
            "10.1.2.3",
            "db.example:80",
            "a.localhost",
        ] {
            assert!(host_allowed(host, &allowed), "{host}");
        }
        for host in ["evil.com:8080", "localhost.evil.com", "127.0.0.1.nip.io", "", "[evil]:1", "example"] {
            assert!(!host_allowed(host, &allowed), "{host}");
        }
    }
}
