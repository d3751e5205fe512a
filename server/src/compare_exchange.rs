//! Compare-exchange values over HTTP: `cmpxchg`.

use crate::answer;
use crate::body;
use crate::error::ServerError;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_store::json::{Json, Object};
use magpie_store::{CompareExchangeValue, CompareExchanged};

/// How many values a listing has unless the request says otherwise.
const PAGE_SIZE: usize = 1024;

/// `GET cmpxchg?key=[&key=..]`, or `?startsWith=&start=&pageSize=`
pub(crate) async fn get(request: DatabaseRequest) -> Result<Response, ServerError> {
    let DatabaseRequest { database, query, .. } = request;
    let results = blocking(move || {
        let view = database.documents().view();
        let keys: Vec<&str> = query.all("key").collect();
        let count = |name: &'static str, default: usize| {
            Ok::<_, ServerError>(query.number(name)?.map_or(default, |n| usize::try_from(n).unwrap_or(0)))
        };
        if keys.is_empty() {
            let values = view.compare_exchanges(query.get("startsWith").unwrap_or_default());
            let page = values.skip(count("start", 0)?).take(count("pageSize", PAGE_SIZE)?);
            let page = page.map(|value| value.map(|(key, value)| item(&key, Some(value))));
            return Ok(Some(page.collect::<Result<Vec<Json>, _>>()?));
        }
        let found = keys.iter().map(|key| Ok((*key, view.compare_exchange(key)?)));
        let found = found.collect::<Result<Vec<_>, ServerError>>()?;
        if let [(_, None)] = found.as_slice() {
            return Ok(None);
        }
        Ok(Some(found.into_iter().map(|(key, value)| item(key, value)).collect()))
    })
    .await?;
    let Some(results) = results else { return Ok(answer::not_found()) };
    Ok(answer::json(StatusCode::OK, Object::from_iter([("Results", Json::Array(results))])))
}

/// `PUT cmpxchg?key=&index=` with `{"Object":..}`
pub(crate) async fn put(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let (key, index) = asked(&request)?;
    let database = request.database;
    let outcome = blocking(move || {
        let value = Json::Object(body::parse_object(&text)?);
        Ok(database.documents().put_compare_exchange(&key, value, index)?)
    })
    .await?;
    Ok(answer(outcome))
}

/// `DELETE cmpxchg?key=&index=`
pub(crate) async fn delete(request: DatabaseRequest) -> Result<Response, ServerError> {
    let (key, index) = asked(&request)?;
    let database = request.database;
    let outcome = blocking(move || Ok(database.documents().delete_compare_exchange(&key, index)?)).await?;
    Ok(answer(outcome))
}

fn asked(request: &DatabaseRequest) -> Result<(String, u64), ServerError> {
    let key = request.query.required("key")?.to_owned();
    let Some(index) = request.query.number("index")? else {
        return Err(ServerError::ParameterMissing { name: "index" });
    };
    let Ok(index) = u64::try_from(index) else {
        return Err(ServerError::IndexNegative);
    };
    Ok((key, index))
}

fn answer(outcome: CompareExchanged) -> Response {
    let body = Object::from_iter([
        ("Index", Json::from(outcome.index)),
        ("Value", outcome.value.unwrap_or(Json::Null)),
        ("Successful", outcome.successful.into()),
    ]);
    answer::json(StatusCode::OK, body)
}

fn item(key: &str, value: Option<CompareExchangeValue>) -> Json {
    // The original server has -1 where there is no value.
    let index = value.as_ref().map_or(Json::from(-1_i64), |value| value.index.into());
    let value = value.map_or(Json::Null, |value| value.value);
    Object::from_iter([("Key", Json::from(key)), ("Value", value), ("Index", index)]).into()
}
