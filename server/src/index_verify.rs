//! `indexes/verify`: every index computed a second time by another way, on demand and, if the operator wants it, all the
//! time in the background.
//!
//! What is answered is Magpie's own, so it stands as it is and not under a key of its own.

use crate::answer;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::request::DatabaseRequest;
use crate::state::{AppState, blocking};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use magpie_indexes::verify::{Damage, Verification};
use magpie_indexes::{IndexError, Verified};
use magpie_store::json::{Json, Object};
use std::time::Duration;

/// `GET indexes/verify[?name=]` verifies one index or all; `POST indexes/verify?repair=true` mends them, too.
pub(crate) async fn verify(request: DatabaseRequest) -> Result<Response, ServerError> {
    let DatabaseRequest { app, database, query, method, .. } = request;
    let name = query.get("name").filter(|name| !name.is_empty()).map(str::to_owned);
    let repair = query.flag("repair")?;
    if repair && method != Method::POST {
        return Err(ServerError::InvalidOperation(
            "repair=true changes rows of the index; send it with POST".to_owned(),
        ));
    }
    let place = app.verify_place()?;
    let stop = app.clone();
    let results = blocking(move || {
        let names = match name {
            Some(name) => vec![name],
            None => database.indexes().all().iter().map(|index| index.name()).collect(),
        };
        let mut results = Vec::new();
        for name in names {
            let verified = database.indexes().verify(&name, repair, &|| !stop.is_stopping())?;
            let verified = verified.ok_or(ServerError::Stopping)?;
            results.push(Json::from(verified_json(&database, &name, &verified)));
        }
        Ok(results)
    })
    .await?;
    drop(place);
    Ok(answer::json(StatusCode::OK, Object::from_iter([("Results", Json::Array(results))])))
}

fn verified_json(database: &OpenDatabase, name: &str, verified: &Verified) -> Object {
    let index = database.indexes().get(name);
    let fields = index.as_ref().and_then(|index| index.shape().group_by.clone()).unwrap_or_default();
    let mut body =
        Object::from_iter([("Name", Json::from(index.map_or(name.to_owned(), |index| index.name())))]);
    for (field, value) in verification_json(&verified.found, &fields).iter() {
        body.insert(field, value.clone());
    }
    let mended = verified.mended.as_ref().map(|mended| verification_json(mended, &fields));
    body.insert("Mended", mended.map_or(Json::Null, Json::from));
    body
}

fn verification_json(found: &Verification, fields: &[String]) -> Object {
    Object::from_iter([
        ("Etag", Json::from(found.etag.0)),
        ("Documents", found.documents.into()),
        ("Pending", found.pending.into()),
        ("Entries", found.entries.into()),
        ("Keys", found.keys.into()),
        ("InexactKeys", found.inexact.into()),
        ("Hash", found.hash.as_str().into()),
        ("Damages", found.damages.into()),
        (
            "Listed",
            Json::Array(found.listed.iter().map(|damage| damage_json(damage, fields).into()).collect()),
        ),
    ])
}

fn damage_json(damage: &Damage, fields: &[String]) -> Object {
    let key = damage
        .key
        .as_ref()
        .map(|key| Json::from(Object::from_iter(fields.iter().map(String::as_str).zip(key.iter().cloned()))));
    Object::from_iter([
        ("What", Json::from(damage.what.as_str())),
        ("Document", damage.document.as_deref().into()),
        ("Key", key.unwrap_or(Json::Null)),
        ("Expected", damage.expected.clone().unwrap_or(Json::Null)),
        ("Found", damage.found.clone().unwrap_or(Json::Null)),
        ("Repairable", damage.is_repairable().into()),
    ])
}

/// Verifies all indexes of all databases, one after the other, every so often; what is damaged is logged.
pub(crate) async fn scrub(app: AppState, every: Duration) {
    loop {
        tokio::select! {
            () = app.stopping() => return,
            () = tokio::time::sleep(every) => {}
        }
        let scrubbed = app.clone();
        if let Err(error) = blocking(move || scrub_once(&scrubbed)).await {
            tracing::warn!(%error, "the indexes could not be verified");
        }
    }
}

fn scrub_once(app: &AppState) -> Result<(), ServerError> {
    for record in app.databases().records() {
        // A database that is disabled, or deleted meanwhile, has its turn another time.
        let Ok(database) = app.databases().get(&record.name) else { continue };
        for index in database.indexes().all() {
            let name = index.name();
            match database.indexes().verify(&name, false, &|| !app.is_stopping()) {
                Ok(None) => return Ok(()),
                Ok(Some(Verified { found, .. })) if found.damages > 0 => {
                    let first = found.listed.first().map(|damage| damage.what.as_str()).unwrap_or_default();
                    tracing::error!(
                        database = record.name,
                        index = name,
                        damages = found.damages,
                        first,
                        "the index is not what its documents give; 'magpie verify --repair' mends it"
                    );
                }
                Ok(Some(Verified { found, .. })) => {
                    tracing::debug!(database = record.name, index = name, keys = found.keys, "verified");
                }
                // Replaced or deleted meanwhile.
                Err(IndexError::NotFound { .. } | IndexError::Moved { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
