//! The switches of indexes: priority, lock, stopping and starting, enabling and disabling, clearing errors.
//!
//! All of them answer 204: the clients take any body for a fault.

use crate::answer;
use crate::body;
use crate::error::ServerError;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::body::Body;
use axum::response::Response;
use magpie_indexes::definition::{LockMode, Priority};
use magpie_indexes::{Index, IndexError, Registry};
use magpie_store::json::{Json, Object};

/// The names and the value of a request that sets something on several indexes.
async fn read_setting(
    request: &DatabaseRequest,
    body: Body,
    key: &'static str,
) -> Result<(Vec<String>, String), ServerError> {
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let body: Object = blocking(move || body::parse_object(&text)).await?;
    let Some(Json::Array(names)) = body.get("IndexNames") else {
        return Err(ServerError::PropertyMissing { name: "IndexNames" });
    };
    // What is no text is no name of an index either; it is looked for as it stands, and not found.
    let name = |name: &Json| name.as_str().map_or_else(|| name.to_string(), str::to_owned);
    let names = names.iter().map(name).collect();
    let Some(value) = body.get(key).and_then(Json::as_str) else {
        return Err(ServerError::PropertyMissing { name: key });
    };
    Ok((names, value.to_owned()))
}

/// Does something to each of several indexes; none is changed when one does not exist.
async fn each(
    request: DatabaseRequest,
    names: Vec<String>,
    act: impl Fn(&Registry, &str) -> Result<(), IndexError> + Send + 'static,
) -> Result<Response, ServerError> {
    let database = request.database;
    blocking(move || {
        let registry = database.indexes();
        if let Some(name) = names.iter().find(|name| registry.get(name).is_none()) {
            return Err(IndexError::NotFound { name: name.clone() }.into());
        }
        names.iter().try_for_each(|name| act(registry, name))?;
        Ok(())
    })
    .await?;
    Ok(answer::no_content())
}

/// `POST indexes/set-priority` with `{"IndexNames":[..],"Priority":"High"}`
pub(crate) async fn set_priority(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let (names, value) = read_setting(&request, body, "Priority").await?;
    let priority = match value.as_str() {
        "Low" => Priority::Low,
        "Normal" => Priority::Normal,
        "High" => Priority::High,
        _ => {
            return Err(ServerError::NotInEnumeration {
                value,
                enumeration: "Raven.Client.Documents.Indexes.IndexPriority",
                allowed: "Low, Normal, High",
            });
        }
    };
    each(request, names, move |registry, name| registry.set_priority(name, priority)).await
}

/// `POST indexes/set-lock` with `{"IndexNames":[..],"Mode":"LockedIgnore"}`
pub(crate) async fn set_lock(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let (names, value) = read_setting(&request, body, "Mode").await?;
    let mode = match value.as_str() {
        "Unlock" => LockMode::Unlock,
        "LockedIgnore" => LockMode::LockedIgnore,
        "LockedError" => LockMode::LockedError,
        _ => {
            return Err(ServerError::NotInEnumeration {
                value,
                enumeration: "Raven.Client.Documents.Indexes.IndexLockMode",
                allowed: "Unlock, LockedIgnore, LockedError",
            });
        }
    };
    each(request, names, move |registry, name| registry.set_lock_mode(name, mode)).await
}

/// The indexes that `name=` or `type=map|map-reduce` chooses; all without either.
fn chosen(request: &DatabaseRequest) -> Result<Vec<String>, ServerError> {
    if let Some(name) = request.query.get("name") {
        return Ok(vec![name.to_owned()]);
    }
    let wanted: fn(&Index) -> bool = match request.query.get("type") {
        None => |_| true,
        Some("map") => |index| !index.is_map_reduce(),
        Some("map-reduce") => Index::is_map_reduce,
        Some(other) => {
            return Err(ServerError::ValueNotAllowed {
                name: "type",
                value: other.to_owned(),
                expected: "map or map-reduce",
            });
        }
    };
    let all = request.database.indexes().all();
    Ok(all.iter().filter(|index| wanted(index)).map(|index| index.name()).collect())
}

/// `POST admin/indexes/stop`: pauses until `start` or a restart.
pub(crate) async fn stop(request: DatabaseRequest) -> Result<Response, ServerError> {
    let names = chosen(&request)?;
    each(request, names, |registry, name| registry.pause(Some(name))).await
}

/// `POST admin/indexes/start`
pub(crate) async fn start(request: DatabaseRequest) -> Result<Response, ServerError> {
    let names = chosen(&request)?;
    each(request, names, |registry, name| registry.resume(Some(name))).await
}

/// `POST admin/indexes/enable?name=`
pub(crate) async fn enable(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.required("name")?.to_owned();
    each(request, vec![name], |registry, name| registry.set_enabled(name, true)).await
}

/// `POST admin/indexes/disable?name=`
pub(crate) async fn disable(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.required("name")?.to_owned();
    each(request, vec![name], |registry, name| registry.set_enabled(name, false)).await
}

/// `DELETE indexes/errors[?name=]`: accepted without effect. The list of errors is the truth about the current
/// documents, so an entry goes when its cause goes and at no other time.
pub(crate) async fn clear_errors(request: DatabaseRequest) -> Result<Response, ServerError> {
    let names = request.query.get("name").map(str::to_owned).into_iter().collect();
    each(request, names, |_, _| Ok(())).await
}
