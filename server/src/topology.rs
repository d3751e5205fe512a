//! What clients ask before anything else: who is in the cluster (this server alone), its version, its health.
//!
//! Clients use the `Url` of the topology from then on, so it repeats the host they called.

use crate::answer;
use crate::envelope::DATABASE_MISSING;
use crate::error::ServerError;
use crate::query_string::Pairs;
use crate::request::DatabaseRequest;
use crate::state::AppState;
use crate::version::{BUILD_VERSION, FULL_VERSION, NODE_TAG, PRODUCT_VERSION, SERVER_VERSION};
use axum::extract::{RawQuery, State};
use axum::http::header::{HOST, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use magpie_store::json::{Json, Object};

/// The schema version of the server whose protocol is spoken.
const SERVER_SCHEMA_VERSION: i64 = 71_000;

/// The address by which the client reached this server.
pub(crate) fn url_of(app: &AppState, headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
    host.map_or_else(|| format!("http://{}", app.config().listen), |host| format!("http://{host}"))
}

/// That a database is not there, in the form that makes clients say so instead of "all nodes are down".
pub(crate) fn database_missing(status: StatusCode, name: &str) -> Response {
    let body = Object::from_iter([
        ("Type", Json::from("Error")),
        ("Message", format!("Database {name} wasn't found").into()),
    ]);
    let mut response = answer::json(status, body);
    if let Ok(value) = HeaderValue::from_str(name) {
        response.headers_mut().insert(DATABASE_MISSING, value);
    }
    response
}

/// `GET /topology?name=`
pub(crate) async fn of_database(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ServerError> {
    let query = Pairs::parse(query.as_deref().unwrap_or(""));
    let name = query.required("name")?;
    let Some(record) = app.databases().record(name) else {
        return Ok(database_missing(StatusCode::SERVICE_UNAVAILABLE, name));
    };
    let node = Object::from_iter([
        ("Url", Json::from(url_of(&app, &headers))),
        ("ClusterTag", NODE_TAG.into()),
        ("ServerRole", "Member".into()),
        ("Database", record.name.into()),
        ("ServerVersion", SERVER_VERSION.into()),
    ]);
    let body = Object::from_iter([
        ("Promotables", Json::Array(Vec::new())),
        ("Nodes", Json::Array(vec![node.into()])),
        ("Etag", 1_i64.into()),
    ]);
    Ok(answer::json(StatusCode::OK, body))
}

/// `GET /cluster/topology`
pub(crate) async fn of_cluster(State(app): State<AppState>, headers: HeaderMap) -> Response {
    let nodes = || Json::from(Object::from_iter([(NODE_TAG, Json::from(url_of(&app, &headers)))]));
    let empty = || Json::from(Object::new());
    let topology = Object::from_iter([
        ("TopologyId", Json::from(app.topology_id())),
        ("AllNodes", nodes()),
        ("Members", nodes()),
        ("Promotables", empty()),
        ("Watchers", empty()),
        ("LastNodeId", NODE_TAG.into()),
        ("Etag", 1_i64.into()),
    ]);
    let body = Object::from_iter([
        ("Topology", Json::from(topology)),
        ("Etag", 1_i64.into()),
        ("Leader", NODE_TAG.into()),
        ("LeaderShipDuration", 1_i64.into()),
        ("CurrentState", "Leader".into()),
        ("NodeTag", NODE_TAG.into()),
        ("CurrentTerm", 1_i64.into()),
        ("NodeLicenseDetails", empty()),
        ("LastStateChangeReason", "".into()),
        ("Status", empty()),
        ("ServerRole", "Member".into()),
    ]);
    answer::json(StatusCode::OK, body)
}

/// `GET /cluster/node-info`
pub(crate) async fn node_info(State(app): State<AppState>) -> Response {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let body = Object::from_iter([
        ("NodeTag", Json::from(NODE_TAG)),
        ("TopologyId", app.topology_id().into()),
        ("Certificate", Json::Null),
        ("ClusterStatus", "".into()),
        ("NumberOfCores", cores.into()),
        ("ServerRole", "Member".into()),
        ("HasFixedPort", true.into()),
        ("CurrentState", "Leader".into()),
        ("ServerSchemaVersion", SERVER_SCHEMA_VERSION.into()),
    ]);
    answer::json(StatusCode::OK, body)
}

/// `GET /build/version`: the version whose protocol is spoken, and this program's own.
pub(crate) async fn build_version() -> Response {
    let own = Object::from_iter([("Version", Json::from(env!("CARGO_PKG_VERSION")))]);
    let body = Object::from_iter([
        ("BuildVersion", Json::from(BUILD_VERSION)),
        ("ProductVersion", PRODUCT_VERSION.into()),
        ("CommitHash", "magpie".into()),
        ("FullVersion", FULL_VERSION.into()),
        ("Magpie", own.into()),
    ]);
    answer::json(StatusCode::OK, body)
}

/// `GET healthcheck`: 204 while the database takes writes.
pub(crate) async fn health(request: DatabaseRequest) -> Result<Response, ServerError> {
    match request.database.documents().writes_stopped() {
        None => Ok(answer::no_content()),
        Some(cause) => Err(magpie_store::StoreError::WritesStopped { cause }.into()),
    }
}

/// `GET configuration/client`: there is none, so clients keep theirs.
pub(crate) async fn client_configuration(_request: DatabaseRequest) -> Result<Response, ServerError> {
    let body = Object::from_iter([("Etag", Json::from(0_i64)), ("Configuration", Json::Null)]);
    Ok(answer::json(StatusCode::OK, body))
}

/// `GET revisions?id=`: there are none.
pub(crate) async fn revisions(_request: DatabaseRequest) -> Response {
    let body = Object::from_iter([("Results", Json::from(Vec::new())), ("TotalResults", 0_i64.into())]);
    answer::json(StatusCode::OK, body)
}

/// `GET revisions/config`: there are no revisions.
pub(crate) async fn revisions_configuration(_request: DatabaseRequest) -> Response {
    answer::not_found()
}
