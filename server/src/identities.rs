//! Identities over HTTP: giving out the next number, setting it, listing all.

use crate::answer;
use crate::error::ServerError;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_store::json::{Json, Object};

/// `POST identity/next?name=`
pub(crate) async fn next(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.required("name")?.to_owned();
    let database = request.database;
    let value = blocking(move || Ok(database.documents().next_identity(&name)?)).await?;
    Ok(answer::json(StatusCode::OK, Object::from_iter([("NewIdentityValue", Json::from(value))])))
}

/// `POST identity/seed?name=&value=[&force=true]`: without `force` the number only ever rises.
pub(crate) async fn seed(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.required("name")?.to_owned();
    let Some(value) = request.query.number("value")? else {
        return Err(ServerError::ParameterMissing { name: "value" });
    };
    let Ok(value) = u64::try_from(value) else {
        let (value, expected) = (value.to_string(), "a number from 0");
        return Err(ServerError::ValueNotAllowed { name: "value", value, expected });
    };
    let force = request.query.flag("force")?;
    let database = request.database;
    let value = blocking(move || Ok(database.documents().seed_identity(&name, value, force)?)).await?;
    Ok(answer::json(StatusCode::OK, Object::from_iter([("NewSeedValue", Json::from(value))])))
}

/// `GET debug/identities`: the last number of each, by name.
pub(crate) async fn list(request: DatabaseRequest) -> Result<Response, ServerError> {
    let database = request.database;
    let identities = blocking(move || Ok(database.documents().view().identities()?)).await?;
    let body = identities.into_iter().map(|(name, value)| (name, Json::from(value)));
    Ok(answer::json(StatusCode::OK, body.collect::<Object>()))
}
