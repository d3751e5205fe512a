//! `POST bulk_docs`: a batch of commands, all or nothing.
//!
//! The commands of a body become [`Command`]s, one [`magpie_store::Database::write`] writes them, and each outcome
//! becomes one element of `Results`, in order. With wait options the answer comes when the indexes have caught up;
//! the write itself stays, also when they have not in time.

use crate::answer;
use crate::batch_attachments::{self, BatchBody};
use crate::body;
use crate::clock;
use crate::cluster_transaction;
use crate::counters;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::index_wait::{Touched, WaitOptions};
use crate::patch::{Done, Item, JsonPatchCommand, PatchCommand, PatchScripts, Patched, read_json_patch};
use crate::patch_document::NO_TIME;
use crate::random;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_indexes::patches::Patches;
use magpie_store::json::{DocumentText, Json, Object};
use magpie_store::{
    ChangeVector, CollectionFilter, Command, Database, Etag, NewDocument, Outcome, StoreError, Timestamp,
};
use std::collections::VecDeque;
use std::sync::Arc;

/// `POST bulk_docs`
pub(crate) async fn post(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let wait = WaitOptions::read(&request.query)?;
    let limit = request.app.config().limits.request_body_bytes_max;
    let answer_limit = request.app.config().limits.answer_bytes_max;
    let BatchBody { text, mut streams } = batch_attachments::read(&request.headers, body, limit).await?;
    let database = request.database.clone();
    let wants_wait = wait.is_some();
    let guarded = cluster_transaction::is_guarded(&request)?;
    // Patches run scripts, of which only some may run at a time; who has none does not wait for them.
    let _place = if mentions_patch(&text) { Some(request.app.patch_place().await?) } else { None };
    let (answer, touched, etag) = blocking(move || {
        let body = body::parse_object(&text).map_err(no_batch)?;
        drop(text);
        let (answer, outcomes) = if cluster_transaction::is_asked_for(&body) {
            cluster_transaction::run(database.documents(), body, guarded)?
        } else {
            let items = read_items(body, &mut streams, database.patcher().patches())?;
            let commands = items.iter().filter_map(|item| match item {
                Item::Write(command) => Some(command),
                _ => None,
            });
            counters::check_answer(commands, answer_limit)?;
            let (done, outcomes) = execute(&database, items)?;
            (results(&done, &outcomes, database.documents().id()), outcomes)
        };
        let etag = newest_etag(&outcomes, database.documents());
        let touched = if wants_wait { touched(database.documents(), &outcomes)? } else { Touched::default() };
        Ok((answer, touched, etag))
    })
    .await?;
    if let Some(wait) = wait {
        wait.wait(&request.app, &request.database, &touched, etag).await?;
    }
    Ok(answer::json(StatusCode::CREATED, answer))
}

/// What is no object is no batch: the original reads batches on its own, with words of its own.
fn no_batch(error: ServerError) -> ServerError {
    match error {
        ServerError::NotAnObject { found } => {
            ServerError::InvalidOperation(format!("Expected StartObject , but got {found}"))
        }
        error => error,
    }
}

/// Whether a body can have patches.
fn mentions_patch(text: &[u8]) -> bool {
    text.windows(5).any(|part| part.eq_ignore_ascii_case(b"patch"))
}

/// Writes the batch, running its patches if it has any.
fn execute(database: &OpenDatabase, items: Vec<Item>) -> Result<(Vec<Done>, Vec<Outcome>), ServerError> {
    if items.iter().any(|item| !matches!(item, Item::Write(_))) {
        return database.patcher().run(database.documents(), &items, false);
    }
    let done = (0..items.len()).map(Done::Write).collect();
    let commands = items.into_iter().filter_map(|item| match item {
        Item::Write(command) => Some(command),
        Item::Track(_) | Item::Patch(_) | Item::JsonPatch(_) | Item::Batch(_) => None,
    });
    Ok((done, database.documents().write(commands.collect(), clock::now())?))
}

fn read_items(
    mut body: Object,
    streams: &mut VecDeque<Vec<u8>>,
    patches: &Patches,
) -> Result<Vec<Item>, ServerError> {
    match body.remove("Commands") {
        Some(Json::Array(commands)) => {
            commands.into_iter().map(|command| read_item(command, streams, patches)).collect()
        }
        Some(_) | None => Err(ServerError::InvalidOperation(
            "the body must have a property 'Commands' with an array of commands".to_owned(),
        )),
    }
}

fn read_item(command: Json, streams: &mut VecDeque<Vec<u8>>, patches: &Patches) -> Result<Item, ServerError> {
    let Json::Object(mut command) = command else {
        return Err(ServerError::InvalidOperation("a command must be a JSON object".to_owned()));
    };
    let Some(kind) = command.get("Type").and_then(Json::as_str) else {
        return Err(ServerError::InvalidOperation("Command must have a valid 'Type' property".to_owned()));
    };
    if let Some(command) = batch_attachments::command(kind, &command, streams)? {
        return Ok(Item::Write(command));
    }
    match kind {
        "PUT" => put_command(&mut command).map(Item::Write),
        "PATCH" => patch_command(&mut command, patches).map(Item::Patch),
        "BatchPATCH" => batch_patch(&mut command, patches).map(Item::Batch),
        "DELETE" => {
            let id = text_of(&command, "Id")?.ok_or_else(|| {
                ServerError::InvalidOperation("DELETE command must have an 'Id' property".to_owned())
            })?;
            if command.get("IdPrefixed").and_then(Json::as_bool) == Some(true) {
                return Ok(Item::Write(Command::DeletePrefix { prefix: id }));
            }
            Ok(Item::Write(Command::Delete { id, expected: text_of(&command, "ChangeVector")? }))
        }
        "BatchTrackChanges" => tracked(&mut command).map(Item::Track),
        "JsonPatch" => json_patch_command(&mut command).map(Item::JsonPatch),
        "Counters" => counters::command(&command).map(Item::Write),
        "TimeSeries"
        | "TimeSeriesWithIncrements"
        | "TimeSeriesCopy"
        | "ForceRevisionCreation"
        | "CompareExchangePUT"
        | "CompareExchangeDELETE" => {
            Err(ServerError::NotSupported { what: format!("the command type {kind}") })
        }
        _ => Err(ServerError::UnknownCommandType { name: kind.chars().take(100).collect() }),
    }
}

/// Reads a PATCH: a patch of one document.
fn patch_command(command: &mut Object, patches: &Patches) -> Result<PatchCommand, ServerError> {
    if command.get("Patch").is_none() {
        return Err(ServerError::InvalidOperation("PATCH command must have a 'Patch' property".to_owned()));
    }
    Ok(PatchCommand {
        id: patched_id(text_of(command, "Id")?.unwrap_or_default())?,
        expected: text_of(command, "ChangeVector")?,
        skip_mismatch: false,
        details: false,
        return_document: command.get("ReturnDocument").and_then(Json::as_bool) == Some(true),
        scripts: PatchScripts::read(patches, command)?,
    })
}

/// The id of a document to patch, which must be complete.
///
/// # Errors
/// [`ServerError::PatchedId`] when it is empty, or ends with a sign that stands for a number to come.
pub(crate) fn patched_id(id: String) -> Result<String, ServerError> {
    if id.is_empty() || id.ends_with(['/', '|']) { Err(ServerError::PatchedId { id }) } else { Ok(id) }
}

/// Reads a BatchTrackChanges: documents that must still have the change vectors that the client has read.
fn tracked(command: &mut Object) -> Result<Vec<Command>, ServerError> {
    let wrong = || {
        ServerError::InvalidOperation(
            "BatchTrackChanges command must have a property 'TrackedEntities': an object of ids and change vectors"
                .to_owned(),
        )
    };
    let Some(Json::Object(entities)) = command.remove("TrackedEntities") else { return Err(wrong()) };
    entities
        .iter()
        .map(|(id, vector)| {
            let expected = vector.as_str().ok_or_else(wrong)?.to_owned();
            Ok(Command::Check { id: id.to_owned(), expected })
        })
        .collect()
}

/// Reads a JsonPatch: a patch of one document without a script.
fn json_patch_command(command: &mut Object) -> Result<JsonPatchCommand, ServerError> {
    let missing = |name: &str| {
        ServerError::InvalidOperation(format!("JsonPatch command must have a property '{name}'"))
    };
    let Some(Json::Object(patch)) = command.remove("JsonPatch") else { return Err(missing("JsonPatch")) };
    Ok(JsonPatchCommand {
        id: text_of(command, "Id")?.filter(|id| !id.is_empty()).ok_or_else(|| missing("Id"))?,
        expected: text_of(command, "ChangeVector")?,
        return_document: command.get("ReturnDocument").and_then(Json::as_bool) == Some(true),
        operations: read_json_patch(&patch)?,
    })
}

/// Reads a BatchPATCH: one patch of many documents, each perhaps with its change vector.
fn batch_patch(command: &mut Object, patches: &Patches) -> Result<Vec<PatchCommand>, ServerError> {
    let missing = || {
        ServerError::InvalidOperation(
            "BatchPATCH command must have a property 'Ids': an array of objects with an 'Id'".to_owned(),
        )
    };
    let Some(Json::Array(ids)) = command.remove("Ids") else { return Err(missing()) };
    let scripts = PatchScripts::read(patches, command)?;
    ids.iter()
        .map(|item| {
            let item = item.as_object().ok_or_else(missing)?;
            Ok(PatchCommand {
                id: patched_id(text_of(item, "Id")?.filter(|id| !id.is_empty()).ok_or_else(missing)?)?,
                expected: text_of(item, "ChangeVector")?,
                skip_mismatch: false,
                return_document: false,
                details: false,
                scripts: Arc::clone(&scripts),
            })
        })
        .collect()
}

/// Reads a PUT; bulk inserts have the same form.
///
/// # Errors
/// When it has no document, or one that cannot be stored.
pub(crate) fn put_command(command: &mut Object) -> Result<Command, ServerError> {
    let expected = text_of(command, "ChangeVector")?;
    let id = match text_of(command, "Id")?.filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => random::uuid()?,
    };
    let document = match command.remove("Document") {
        Some(document @ Json::Object(_)) => document,
        None | Some(Json::Null) => {
            let message = "PUT command must have a 'Document' property".to_owned();
            return Err(ServerError::InvalidOperation(message));
        }
        Some(Json::Array(_)) => return Err(ServerError::NotAnObject { found: "StartArray" }),
        Some(_) => return Err(ServerError::NotAnObject { found: "a literal" }),
    };
    Ok(Command::Put { document: NewDocument::from_json(&id, document)?, id, expected })
}

/// [`put_command`] for a document whose text was read before.
///
/// # Errors
/// When it cannot be stored.
pub(crate) fn put_text(command: &Object, document: DocumentText) -> Result<Command, ServerError> {
    let expected = text_of(command, "ChangeVector")?;
    let id = match text_of(command, "Id")?.filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => random::uuid()?,
    };
    Ok(Command::Put { document: NewDocument::from_text(&id, document)?, id, expected })
}

/// A string field; `None` when absent or null.
pub(crate) fn text_of(command: &Object, key: &'static str) -> Result<Option<String>, ServerError> {
    match command.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(other) => {
            let value: String = other.to_string().chars().take(100).collect();
            Err(ServerError::InvalidOperation(format!(
                "Expected String , but got {value} as the '{key}' of a command"
            )))
        }
    }
}

/// The answer to a batch.
fn results(done: &[Done], outcomes: &[Outcome], database_id: &str) -> Object {
    let results = done.iter().filter_map(|done| {
        Some(Json::Object(match done {
            Done::Write(place) => result(outcomes.get(*place)?, database_id),
            Done::Patch(patched) => patch_result(patched, "PATCH", outcomes, database_id),
            Done::JsonPatch(patched) => patch_result(patched, "JsonPatch", outcomes, database_id),
            Done::Track => [("Type", Json::from("BatchTrackChanges"))].into_iter().collect(),
            Done::Batch => [("Type", Json::from("BatchPATCH"))].into_iter().collect(),
        }))
    });
    let mut answer = Object::new();
    answer.insert("Results", results.collect::<Vec<_>>());
    answer
}

/// The element of a patched document.
fn patch_result(patched: &Patched, kind: &str, outcomes: &[Outcome], database_id: &str) -> Object {
    let mut result = Object::new();
    result.insert("Id", patched.id.as_str());
    match patched.outcome.and_then(|place| outcomes.get(place)) {
        Some(
            Outcome::Put { etag, last_modified, .. }
            | Outcome::Counters { etag: Some(etag), last_modified, .. },
        ) => {
            result.insert("ChangeVector", ChangeVector::new(*etag, database_id).as_str());
            result.insert("LastModified", last_modified.to_string());
        }
        _ => {
            result.insert("ChangeVector", Json::Null);
            result.insert("LastModified", NO_TIME);
        }
    }
    result.insert("Type", kind);
    result.insert("PatchStatus", patched.status.name());
    if kind == "PATCH" {
        result.insert("Debug", Json::Null);
    }
    if patched.return_document {
        result.insert("ModifiedDocument", patched.modified.clone().unwrap_or_default());
    }
    result
}

/// One element of `Results`. The Node client copies every key of a PUT's into the entity's metadata, so there must be
/// no others.
fn result(outcome: &Outcome, database_id: &str) -> Object {
    let mut result = Object::new();
    match outcome {
        Outcome::Put { id, collection, etag, last_modified, .. } => {
            result.insert("Type", "PUT");
            result.insert("@id", id.as_str());
            result.insert("@collection", collection.as_str());
            result.insert("@change-vector", ChangeVector::new(*etag, database_id).as_str());
            result.insert("@last-modified", last_modified.to_string());
        }
        Outcome::Deleted { id, etag } => {
            result.insert("Id", id.as_str());
            result.insert("Type", "DELETE");
            result.insert("Deleted", etag.is_some());
            if etag.is_some() {
                result.insert("ChangeVector", Json::Null);
            }
        }
        Outcome::PrefixDeleted { prefix, count, .. } => {
            result.insert("Id", prefix.as_str());
            result.insert("Type", "DELETE");
            result.insert("Deleted", *count > 0);
        }
        // Only patches make checks, and only cluster-wide transactions exchange values; they answer for them.
        Outcome::Checked | Outcome::CompareExchanged { .. } => {}
        Outcome::Counters { .. } => return counters::result(outcome, database_id),
        _ => return batch_attachments::result(outcome, database_id),
    }
    result
}

/// The collections that a batch changed; those of deleted documents are read from the change feed.
fn touched(database: &Database, outcomes: &[Outcome]) -> Result<Touched, StoreError> {
    let mut touched = Touched::default();
    let view = database.view();
    for outcome in outcomes {
        match outcome {
            Outcome::Put { collection, .. }
            | Outcome::AttachmentPut { collection, .. }
            | Outcome::AttachmentDeleted { collection: Some(collection), .. } => {
                touched.collections.push(collection.clone());
            }
            Outcome::Counters { collection, .. } => touched.collections.extend(collection.clone()),
            Outcome::AttachmentDeleted { collection: None, .. }
            | Outcome::ContentStaged { .. }
            | Outcome::Kept { .. } => {}
            // A move changes two documents.
            Outcome::AttachmentCopied { .. } | Outcome::Imported { .. } => touched.any = true,
            Outcome::Deleted { etag: None, .. } => {}
            Outcome::Deleted { etag: Some(etag), .. } => {
                let before = Etag(etag.0.saturating_sub(1));
                let changes = view.changes_after(&CollectionFilter::All, before, 1)?;
                // A later write has taken the row's place when the etag differs: then it may be any collection.
                match changes.into_iter().find(|change| change.etag == *etag) {
                    Some(change) => touched.collections.push(change.collection),
                    None => touched.any = true,
                }
            }
            Outcome::PrefixDeleted { count, .. } => touched.any |= *count > 0,
            Outcome::Checked | Outcome::CompareExchanged { .. } => {}
        }
    }
    touched.collections.sort_by(|a, b| a.key().cmp(b.key()));
    touched.collections.dedup();
    Ok(touched)
}

/// The etag of the last write of a batch.
fn newest_etag(outcomes: &[Outcome], database: &Database) -> Etag {
    let etags = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Put { etag, .. }
        | Outcome::AttachmentPut { etag, .. }
        | Outcome::AttachmentCopied { etag, .. }
        | Outcome::Imported { etag, .. } => Some(*etag),
        Outcome::Deleted { etag, .. } | Outcome::AttachmentDeleted { etag, .. } => *etag,
        // Otherwise no feed has it, and no index would come to it.
        Outcome::Counters { etag, collection, .. } => etag.filter(|_| collection.is_some()),
        Outcome::ContentStaged { .. } | Outcome::Kept { .. } => None,
        // Its deletes have etags of their own, which the outcome does not list: take the database's newest.
        Outcome::PrefixDeleted { .. } => Some(database.last_etag()),
        Outcome::Checked | Outcome::CompareExchanged { .. } => None,
    });
    etags.max().unwrap_or_default()
}

/// Writes commands without asking for their outcomes, for streamed uploads.
pub(crate) fn write(database: &Database, commands: Vec<Command>, now: Timestamp) -> Result<(), ServerError> {
    if !commands.is_empty() {
        database.write(commands, now)?;
    }
    Ok(())
}
