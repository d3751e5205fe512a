//! A request to one database: its database, query string and headers, found before the handler runs.

use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::query_string::Pairs;
use crate::state::AppState;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri};
use std::sync::Arc;

/// What a handler of `/databases/{db}/..` works with; the body comes apart from it.
pub(crate) struct DatabaseRequest {
    /// The server.
    pub(crate) app: AppState,
    /// The database of the path.
    pub(crate) database: Arc<OpenDatabase>,
    /// The query string.
    pub(crate) query: Pairs,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The method.
    pub(crate) method: Method,
    /// Path and query string.
    pub(crate) uri: Uri,
}

impl FromRequestParts<AppState> for DatabaseRequest {
    type Rejection = ServerError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ServerError> {
        let route = || ServerError::RouteNotFound {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
        };
        let (method, uri, missing) = (parts.method.clone(), parts.uri.clone(), route());
        let Ok(path) = RawPathParams::from_request_parts(parts, app).await else { return Err(missing) };
        let Some((_, name)) = path.iter().find(|(key, _)| *key == "db") else { return Err(missing) };
        Ok(Self {
            app: app.clone(),
            database: app.databases().get(name)?,
            query: Pairs::parse(uri.query().unwrap_or("")),
            headers: parts.headers.clone(),
            method,
            uri,
        })
    }
}

impl DatabaseRequest {
    /// The change vector of `If-Match`: `Some("")` means "must not exist", `None` no condition.
    pub(crate) fn expected_change_vector(&self) -> Option<String> {
        let value = self.headers.get(axum::http::header::IF_MATCH)?;
        Some(String::from_utf8_lossy(value.as_bytes()).trim().trim_matches('"').to_owned())
    }

    /// That no route has this method and path.
    pub(crate) fn route_not_found(&self) -> ServerError {
        ServerError::RouteNotFound { method: self.method.to_string(), path: self.uri.path().to_owned() }
    }
}
