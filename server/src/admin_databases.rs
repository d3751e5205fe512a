//! `/databases` and `/admin/databases`: listing, making, deleting, disabling databases.

use crate::answer;
use crate::body;
use crate::database_folder::{Record, check_name};
use crate::error::ServerError;
use crate::indexes::read_definition;
use crate::query_string::Pairs;
use crate::request::DatabaseRequest;
use crate::state::{AppState, blocking};
use crate::topology::{database_missing, url_of};
use crate::version::NODE_TAG;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use magpie_store::json::{Json, Object};

/// The raft index of everything: there is no raft log.
const INDEX: i64 = 1;

fn pairs(query: Option<String>) -> Pairs {
    Pairs::parse(query.as_deref().unwrap_or(""))
}

async fn read_object(app: &AppState, headers: &HeaderMap, body: Body) -> Result<Object, ServerError> {
    let text = body::read(headers, body, app.config().limits.request_body_bytes_max).await?;
    blocking(move || body::parse_object(&text)).await
}

/// `GET /databases?start=&pageSize=&namesOnly=&name=`
pub(crate) async fn list(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ServerError> {
    let query = pairs(query);
    let start = usize::try_from(query.number("start")?.unwrap_or(0)).unwrap_or(0);
    let size = usize::try_from(query.number("pageSize")?.unwrap_or(i64::MAX)).unwrap_or(0);
    let mut records = app.databases().records();
    if let Some(name) = query.get("name") {
        records.retain(|record| record.name.to_lowercase() == name.to_lowercase());
        if records.is_empty() {
            let (parts, _) = database_missing(StatusCode::NOT_FOUND, name).into_parts();
            return Ok(Response::from_parts(parts, Body::empty()));
        }
    }
    let names_only = query.flag("namesOnly")?;
    let page = records.into_iter().skip(start).take(size);
    let databases =
        page.map(|record| if names_only { Json::from(record.name) } else { listed(&record).into() });
    let body = Object::from_iter([("Databases", Json::Array(databases.collect()))]);
    Ok(answer::json(StatusCode::OK, body))
}

/// A database in the list with details.
fn listed(record: &Record) -> Object {
    Object::from_iter([
        ("DatabaseName", Json::from(record.name.as_str())),
        ("IsDisabled", record.disabled.into()),
        ("IsEncrypted", false.into()),
        ("IsSharded", false.into()),
    ])
}

/// `GET /admin/databases?name=`: the record of one database.
pub(crate) async fn get(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ServerError> {
    let query = pairs(query);
    let name = query.required("name")?;
    let Some(record) = app.databases().record(name) else {
        return Ok(database_missing(StatusCode::NOT_FOUND, name));
    };
    Ok(answer::json(StatusCode::OK, record_json(record)))
}

/// `GET /databases/{db}/admin/record`: the same, as clients ask for the settings of a database.
pub(crate) async fn record(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.database.name();
    let record = request.app.databases().record(name);
    let missing = || ServerError::DatabaseMissing { name: name.to_owned() };
    Ok(answer::json(StatusCode::OK, record_json(record.ok_or_else(missing)?)))
}

fn record_json(record: Record) -> Object {
    Object::from_iter([
        ("DatabaseName", Json::from(record.name)),
        ("Disabled", record.disabled.into()),
        ("Encrypted", false.into()),
        ("Settings", record.settings.into()),
        ("Indexes", Object::new().into()),
        ("AutoIndexes", Object::new().into()),
        ("Topology", topology().into()),
        ("Etag", INDEX.into()),
    ])
}

/// `PUT /admin/databases?name=`: makes a database. Answers as before when the same request is repeated.
pub(crate) async fn put(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ServerError> {
    let query = pairs(query);
    let record = read_object(&app, &headers, body).await?;
    let named = record.get("DatabaseName").and_then(Json::as_str).unwrap_or("");
    let name = query.raw("name").unwrap_or(named).to_owned();
    check_name(&name)?;
    if !named.is_empty() && !named.eq_ignore_ascii_case(&name) {
        return Err(ServerError::NamesDiffer { asked: name, named: named.to_owned() });
    }
    query.number("replicationFactor")?;
    let disabled = record.get("Disabled").and_then(Json::as_bool) == Some(true);
    let numbers = app.config().numbers;
    let indexes = record.get("Indexes").and_then(Json::as_object).into_iter().flat_map(Object::iter);
    let indexes = indexes.map(|(_, index)| read_definition(index, numbers)).collect::<Result<Vec<_>, _>>()?;
    let settings = record.get("Settings").and_then(Json::as_object).cloned().unwrap_or_default();
    let request_id = query.get("raft-request-id").map(str::to_owned);
    let (creator, created) = (app.clone(), name.clone());
    blocking(move || {
        let databases = creator.databases();
        databases.create(&created, settings, request_id.as_deref())?;
        let filled = || {
            if !indexes.is_empty() {
                databases.get(&created)?.indexes().put(indexes)?;
            }
            if disabled { databases.set_disabled(&created, true).map(drop) } else { Ok(()) }
        };
        // It is made as its record says, or not at all.
        filled().or_else(|error| databases.delete(&created, true).and(Err(error)))
    })
    .await?;
    let body = Object::from_iter([
        ("RaftCommandIndex", Json::from(INDEX)),
        ("Name", name.into()),
        ("Topology", topology().into()),
        ("NodesAddedTo", vec![Json::from(url_of(&app, &headers))].into()),
        ("ShardsDefined", false.into()),
    ]);
    Ok(answer::json(StatusCode::CREATED, body))
}

/// The topology of every database. The Python client reads each of these keys.
fn topology() -> Object {
    let stamp = Object::from_iter([
        ("Index", Json::from(INDEX)),
        ("Term", 1_i64.into()),
        ("LeadersTicks", (-2_i64).into()),
    ]);
    Object::from_iter([
        ("Members", Json::from(vec![Json::from(NODE_TAG)])),
        ("Promotables", Vec::new().into()),
        ("Rehabs", Vec::new().into()),
        ("PredefinedMentors", Object::new().into()),
        ("DemotionReasons", Object::new().into()),
        ("PromotablesStatus", Object::new().into()),
        ("ReplicationFactor", 1_i64.into()),
        ("DynamicNodesDistribution", false.into()),
        ("Stamp", stamp.into()),
        ("DatabaseTopologyIdBase64", "".into()),
        ("ClusterTransactionIdBase64", "".into()),
        ("NodesModifiedAt", "0001-01-01T00:00:00.0000000Z".into()),
        ("PriorityOrder", Json::Null),
    ])
}

/// The names in a body's `DatabaseNames`; none when it is absent.
fn names_of(body: &Object) -> Result<Vec<String>, ServerError> {
    match body.get("DatabaseNames") {
        Some(Json::Array(names)) => {
            let name = |name: &Json| name.as_str().map(str::to_owned);
            let names: Option<Vec<String>> = names.iter().map(name).collect();
            names.ok_or(ServerError::PropertyMissing { name: "DatabaseNames" })
        }
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(_) => Err(ServerError::PropertyMissing { name: "DatabaseNames" }),
    }
}

/// `DELETE /admin/databases` with `{"DatabaseNames":[..],"HardDelete":true}`. Without `HardDelete` the files stay and
/// are taken up again by the next database of the name. Names that do not exist are passed over.
pub(crate) async fn delete(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ServerError> {
    let body = read_object(&app, &headers, body).await?;
    let names = names_of(&body)?;
    let hard = body.get("HardDelete").and_then(Json::as_bool).unwrap_or(false);
    blocking(move || names.iter().try_for_each(|name| app.databases().delete(name, hard).map(drop))).await?;
    let body =
        Object::from_iter([("RaftCommandIndex", Json::from(INDEX)), ("PendingDeletes", Vec::new().into())]);
    Ok(answer::json(StatusCode::OK, body))
}

/// `POST /admin/databases/disable`
pub(crate) async fn disable(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ServerError> {
    set_disabled(app, headers, body, true).await
}

/// `POST /admin/databases/enable`
pub(crate) async fn enable(
    State(app): State<AppState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ServerError> {
    set_disabled(app, headers, body, false).await
}

async fn set_disabled(
    app: AppState,
    headers: HeaderMap,
    body: Body,
    disabled: bool,
) -> Result<Response, ServerError> {
    let names = names_of(&read_object(&app, &headers, body).await?)?;
    let status = blocking(move || {
        let mut status = Vec::new();
        for name in names {
            let found = app.databases().set_disabled(&name, disabled)?;
            let state = if disabled { "True" } else { "False" };
            let reason = if found {
                format!("Database state={state} was propagated on the cluster")
            } else {
                "database not found".to_owned()
            };
            status.push(Json::from(Object::from_iter([
                ("Name", Json::from(name)),
                ("Success", found.into()),
                ("Disabled", disabled.into()),
                ("Reason", reason.into()),
            ])));
        }
        Ok(status)
    })
    .await?;
    Ok(answer::json(StatusCode::OK, Object::from_iter([("Status", Json::from(status))])))
}
