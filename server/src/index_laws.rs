//! `GET indexes/laws`: the law check of an index, on the documents that are there now.
//!
//! What is answered is Magpie's own, so it stands as it is and not under a key of its own.

use crate::answer;
use crate::error::ServerError;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_store::json::{Json, Object};

/// `GET indexes/laws?name=`
pub(crate) async fn get(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.required("name")?.to_owned();
    let database = request.database;
    let body = blocking(move || {
        let report = database.indexes().check_laws(&name)?;
        let index = database.indexes().get(&name);
        let name = index.map_or(name, |index| index.name());
        let mut body = Object::from_iter([("Name", Json::from(name))]);
        report.to_json().into_iter().for_each(|(field, value)| body.insert(field, value));
        Ok(body)
    })
    .await?;
    Ok(answer::json(StatusCode::OK, body))
}
