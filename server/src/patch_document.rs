//! `PATCH docs?id=` and `PATCH json-patch?id=`: patching one document and giving it back.
//!
//! `debug` adds what the script told and touched; `test` runs it without writing anything.

use crate::answer;
use crate::body;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::patch::{
    Done, Incremented, Item, JsonPatchCommand, PatchCommand, PatchScripts, Patched, Status, read_json_patch,
};
use crate::request::DatabaseRequest;
use crate::state::blocking;
use crate::write_batch::patched_id;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_indexes::script::patch::{Effect, PatchRun};
use magpie_store::json::{Json, Object};
use magpie_store::{ChangeVector, Outcome};

/// The time of a document that was not written.
pub(crate) const NO_TIME: &str = "0001-01-01T00:00:00.0000000";

/// What the original server also counts; nothing here does these.
const OTHER_ACTIONS: [&str; 4] =
    ["GetTimeSeries", "AppendTimeSeries", "IncrementTimeSeries", "DeleteTimeSeries"];

/// `PATCH docs?id=`
pub(crate) async fn patch(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let id = patched_id(request.query.required("id")?.to_owned())?;
    let expected = request.expected_change_vector();
    let skip_mismatch = request.query.flag("skipPatchIfChangeVectorMismatch")?;
    let (debug, test) = (request.query.flag("debug")?, request.query.flag("test")?);
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let _place = request.app.patch_place().await?;
    let database = request.database.clone();
    blocking(move || {
        let mut body = body::parse_object(&text)?;
        let patcher = database.patcher();
        let scripts = PatchScripts::read(patcher.patches(), &mut body)?;
        let command = PatchCommand {
            id,
            expected,
            skip_mismatch,
            return_document: true,
            details: debug || test,
            scripts,
        };
        let (done, outcomes) = patcher.run(database.documents(), &[Item::Patch(command)], test)?;
        Ok(match done.into_iter().next() {
            Some(Done::Patch(patched)) => answer(&database, *patched, &outcomes, debug || test, test),
            _ => answer::not_found(),
        })
    })
    .await
}

/// `PATCH json-patch?id=`: operations without a script.
pub(crate) async fn json_patch(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let id = request.query.required("id")?.to_owned();
    let expected = request.expected_change_vector();
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let _place = request.app.patch_place().await?;
    let database = request.database.clone();
    blocking(move || {
        let operations = read_json_patch(&body::parse_object(&text)?)?;
        let command = JsonPatchCommand { id, expected, return_document: true, operations };
        let (done, outcomes) =
            database.patcher().run(database.documents(), &[Item::JsonPatch(command)], false)?;
        Ok(match done.into_iter().next() {
            Some(Done::JsonPatch(patched)) => answer(&database, *patched, &outcomes, false, false),
            _ => answer::not_found(),
        })
    })
    .await
}

fn answer(
    database: &OpenDatabase,
    mut patched: Patched,
    outcomes: &[Outcome],
    debug: bool,
    test: bool,
) -> Response {
    let status = match patched.status {
        Status::DocumentDoesNotExist => return answer::not_found(),
        Status::Skipped => return answer::not_modified(),
        Status::Created => StatusCode::CREATED,
        Status::Patched | Status::NotModified => StatusCode::OK,
    };
    let mut body = Object::new();
    body.insert("Status", patched.status.name());
    body.insert("ModifiedDocument", patched.modified.take().unwrap_or_default());
    if debug {
        body.insert("OriginalDocument", patched.original.take().filter(|_| test).unwrap_or_default());
        body.insert("Debug", debug_of(&patched));
    }
    if patched.status == Status::NotModified {
        return answer::json(status, body);
    }
    match patched.outcome.and_then(|place| outcomes.get(place)) {
        Some(
            Outcome::Put { collection, etag, last_modified, .. }
            | Outcome::Counters { collection: Some(collection), etag: Some(etag), last_modified, .. },
        ) => {
            body.insert("LastModified", last_modified.to_string());
            body.insert("ChangeVector", ChangeVector::new(*etag, database.documents().id()).as_str());
            body.insert("Collection", collection.as_str());
        }
        _ => {
            body.insert("LastModified", NO_TIME);
            body.insert("ChangeVector", Json::Null);
            body.insert("Collection", Json::Null);
        }
    }
    answer::json(status, body)
}

/// What the script told and touched; null when none ran.
fn debug_of(patched: &Patched) -> Json {
    let Some(run) = &patched.run else { return Json::Null };
    let mut actions = documents_touched(run);
    let reads = run.counters.iter().map(|(name, value)| {
        let text = value.map_or_else(|| "null".to_owned(), |value| value.to_string());
        let item =
            [("Name", Json::from(name.as_str())), ("Value", text.into()), ("Exists", value.is_some().into())];
        Json::Object(Object::from_iter(item))
    });
    let increments = patched.increments.iter().map(|Incremented { name, before, by }| {
        Json::Object(Object::from_iter([
            ("Name", Json::from(name.as_str())),
            ("OldValue", (*before).into()),
            ("AddedValue", (*by).into()),
            ("NewValue", before.unwrap_or(0).saturating_add(*by).into()),
            ("Created", before.is_none().into()),
        ]))
    });
    let deletes = run.effects.iter().filter_map(|effect| match effect {
        Effect::DeleteCounter { name, .. } => Some(Json::from(name.as_str())),
        _ => None,
    });
    actions.insert("GetCounter", reads.collect::<Vec<_>>());
    actions.insert("IncrementCounter", increments.collect::<Vec<_>>());
    actions.insert("DeleteCounter", deletes.collect::<Vec<_>>());
    for other in OTHER_ACTIONS {
        actions.insert(other, Vec::new());
    }
    let info = run.output.iter().map(|text| Json::from(text.as_str()));
    let debug = [("Info", Json::Array(info.collect())), ("Actions", actions.into())];
    Json::Object(Object::from_iter(debug))
}

/// The documents that the script loaded, put and deleted.
fn documents_touched(run: &PatchRun) -> Object {
    let loaded = run.loaded.iter().map(|(id, exists)| {
        let mut item = Object::new();
        item.insert("Id", id.as_str());
        item.insert("Exists", *exists);
        Json::Object(item)
    });
    let puts = run.effects.iter().filter_map(|effect| match effect {
        Effect::Put { id, document, .. } => {
            let mut item = Object::new();
            item.insert("Id", id.as_str());
            item.insert("Data", document.clone());
            Some(Json::Object(item))
        }
        _ => None,
    });
    let deletes = run.effects.iter().filter_map(|effect| match effect {
        Effect::Delete { id, .. } => Some(Json::from(id.as_str())),
        _ => None,
    });
    let mut actions = Object::new();
    actions.insert("LoadDocument", loaded.collect::<Vec<_>>());
    actions.insert("PutDocument", puts.collect::<Vec<_>>());
    actions.insert("DeleteDocument", deletes.collect::<Vec<_>>());
    actions
}
