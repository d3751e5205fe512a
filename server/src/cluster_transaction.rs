//! `bulk_docs` with `TransactionMode: ClusterWide`: documents and compare-exchange values in one transaction.
//!
//! The cluster is this server alone, so a batch of the store is all that it needs: both kinds of commands are checked
//! and written together, under the commit lock. Each document of such a transaction is guarded, if the client knows of
//! that and does not say otherwise: a document that the client has loaded must still be that one, one that it has not must not have been
//! written by another such transaction. The mark of that is a compare-exchange value `rvn-atomic/ID`, as in the original.

use crate::clock;
use crate::error::ServerError;
use crate::request::DatabaseRequest;
use crate::write_batch::{put_command, text_of};
use magpie_store::json::{Json, Object};
use magpie_store::{ChangeVector, Command, Database, Outcome, StoreError, Timestamp};

/// What the keys of guards begin with.
const GUARD: &str = "rvn-atomic/";
/// Where clients tell their version.
const CLIENT_VERSION: &str = "raven-client-version";
/// The first version of clients, major and minor, that know of guards.
const GUARDS_SINCE: (u64, u64) = (5, 2);

/// Whether a batch is a cluster-wide transaction.
pub(crate) fn is_asked_for(body: &Object) -> bool {
    body.get("TransactionMode").and_then(Json::as_str) == Some("ClusterWide")
}

/// Whether documents of the request's transaction are guarded: not for clients before version 5.2 or of none, which know
/// nothing of guards (as in the original), and not where the request says `disableAtomicDocumentWrites=true`.
///
/// # Errors
/// When that is neither true nor false.
pub(crate) fn is_guarded(request: &DatabaseRequest) -> Result<bool, ServerError> {
    let version = request.headers.get(CLIENT_VERSION).and_then(|version| version.to_str().ok()).unwrap_or("");
    let mut parts = version.split('.').map_while(|part| part.trim().parse::<u64>().ok());
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    Ok(version >= GUARDS_SINCE && !request.query.flag("disableAtomicDocumentWrites")?)
}

/// Executes the transaction, all of it or nothing; gives its answer, and the outcomes behind it. Blocks.
///
/// # Errors
/// [`ServerError::ClusterConflict`] when a document or value is not the expected one; what is wrong with a command; those
/// of [`Database::write`]. Nothing was written then.
pub(crate) fn run(
    database: &Database,
    mut body: Object,
    guarded: bool,
) -> Result<(Object, Vec<Outcome>), ServerError> {
    let Some(Json::Array(list)) = body.remove("Commands") else {
        return Err(ServerError::InvalidOperation(
            "the body must have a property 'Commands' with an array of commands".to_owned(),
        ));
    };
    let mut commands = Vec::new();
    // The place of each element of the answer among the outcomes.
    let mut shown = Vec::with_capacity(list.len());
    for command in list {
        let Json::Object(command) = command else {
            return Err(ServerError::InvalidOperation("a command must be a JSON object".to_owned()));
        };
        let (command, guard) = read_command(database, command, guarded)?;
        // Before the document, so that the guard tells what was expected of it.
        commands.extend(guard);
        shown.push((commands.len(), matches!(command, Command::DeleteCompareExchange { .. })));
        commands.push(command);
    }
    let now = clock::now();
    let outcomes = database.write(commands, now).map_err(|error| match error {
        error @ (StoreError::Conflict { .. } | StoreError::ExchangeConflict { .. }) => {
            ServerError::ClusterConflict(error)
        }
        error => error.into(),
    })?;
    let results = shown.iter().filter_map(|(place, deletes)| {
        Some(Json::Object(result(outcomes.get(*place)?, *deletes, database.id(), now)))
    });
    let index = outcomes.iter().map(|outcome| match outcome {
        Outcome::CompareExchanged { index, .. } => *index,
        _ => 0,
    });
    // Clients take 0 for a server that does not know such transactions.
    let index = index.max().unwrap_or(0).max(1);
    let mut answer = Object::new();
    answer.insert("Results", results.collect::<Vec<_>>());
    answer.insert("TransactionIndex", index);
    Ok((answer, outcomes))
}

/// A command, and the one for the guard of its document.
fn read_command(
    database: &Database,
    mut command: Object,
    guarded: bool,
) -> Result<(Command, Option<Command>), ServerError> {
    let kind = command.get("Type").and_then(Json::as_str).unwrap_or_default().to_owned();
    match kind.as_str() {
        "PUT" => {
            complete_id(database, &mut command)?;
            let known = known_change_vector(&command)?;
            mark(&mut command);
            let mut put = put_command(&mut command)?;
            let guard = match &mut put {
                Command::Put { id, expected, .. } if guarded => {
                    let key = format!("{GUARD}{id}");
                    let value = Json::Object(Object::from_iter([("Id", Json::from(id.as_str()))]));
                    let unknown = known.is_none().then_some(0);
                    *expected = known;
                    Some(Command::PutCompareExchange { key, value, expected: unknown })
                }
                _ => None,
            };
            Ok((put, guard))
        }
        "DELETE" if command.get("IdPrefixed").and_then(Json::as_bool) != Some(true) => {
            let expected = known_change_vector(&command)?;
            let id = text_of(&command, "Id")?.ok_or_else(|| {
                ServerError::InvalidOperation("DELETE command must have an 'Id' property".to_owned())
            })?;
            let key = format!("{GUARD}{id}");
            let guard = guarded.then_some(Command::DeleteCompareExchange { key, expected: None });
            Ok((Command::Delete { id, expected: expected.filter(|_| guarded) }, guard))
        }
        "CompareExchangePUT" | "CompareExchangeDELETE" => Ok((read_exchange(&kind, &mut command)?, None)),
        "" => Err(ServerError::InvalidOperation("Command must have a valid 'Type' property".to_owned())),
        other => Err(ServerError::NotSupported {
            what: format!("the command type {other} in a cluster-wide transaction"),
        }),
    }
}

fn read_exchange(kind: &str, command: &mut Object) -> Result<Command, ServerError> {
    let key = text_of(command, "Id")?.filter(|key| !key.is_empty()).ok_or_else(|| {
        ServerError::InvalidOperation(format!("{kind} command must have an 'Id' property: the key"))
    })?;
    if key.to_lowercase().starts_with(GUARD) {
        return Err(ServerError::InvalidOperation(format!(
            "the compare-exchange value '{key}' guards a document: it changes only with that"
        )));
    }
    let index = command.get("Index").and_then(Json::as_i64).and_then(|index| u64::try_from(index).ok());
    let Some(index) = index else {
        return Err(ServerError::InvalidOperation(format!(
            "{kind} command must have an 'Index' property: a whole number from 0 on"
        )));
    };
    if kind == "CompareExchangeDELETE" {
        return Ok(Command::DeleteCompareExchange { key, expected: Some(index) });
    }
    let value = command.remove("Document").ok_or_else(|| {
        ServerError::InvalidOperation(format!("{kind} command must have a 'Document' property: the value"))
    })?;
    Ok(Command::PutCompareExchange { key, value, expected: Some(index) })
}

/// The flag of documents that such transactions write.
const FLAG: &str = "FromClusterTransaction";

/// Marks a document as one of such a transaction, as the original does; a later ordinary write of it takes the mark away.
fn mark(command: &mut Object) {
    let Some(Json::Object(document)) = command.get("Document") else { return };
    let mut document = document.clone();
    let mut metadata = match document.remove("@metadata") {
        Some(Json::Object(metadata)) => metadata,
        None => Object::new(),
        // Refused where documents are read.
        Some(_) => return,
    };
    let flags = metadata.get("@flags").and_then(Json::as_str).unwrap_or_default();
    if !flags.split(", ").any(|flag| flag == FLAG) {
        let flags = if flags.is_empty() { FLAG.to_owned() } else { format!("{flags}, {FLAG}") };
        metadata.insert("@flags", flags);
    }
    document.insert("@metadata", metadata);
    command.insert("Document", document);
}

/// The change vector of the document that the client has; `None` when it has none.
fn known_change_vector(command: &Object) -> Result<Option<String>, ServerError> {
    Ok(match text_of(command, "ChangeVector")? {
        Some(vector) => Some(vector),
        None => text_of(command, "OriginalChangeVector")?.filter(|vector| !vector.is_empty()),
    })
}

/// Gives a document with an identity its number at once: its guard is named after it.
fn complete_id(database: &Database, command: &mut Object) -> Result<(), ServerError> {
    let Some(id) = text_of(command, "Id")?.filter(|id| !id.is_empty()) else {
        command.insert("Id", crate::random::uuid()?);
        return Ok(());
    };
    if let Some(prefix) = id.strip_suffix('|') {
        let number = database.next_identity(&id)?;
        command.insert("Id", format!("{prefix}/{number}"));
    } else if id.ends_with('/') {
        return Err(ServerError::InvalidOperation(format!(
            "the id '{id}' of a cluster-wide transaction must be complete: let the client or an identity ('{}|') make it",
            id.trim_end_matches('/')
        )));
    }
    Ok(())
}

fn result(outcome: &Outcome, deletes: bool, database_id: &str, now: Timestamp) -> Object {
    let mut result = Object::new();
    match outcome {
        Outcome::Put { id, etag, last_modified, .. } => {
            result.insert("Type", "PUT");
            result.insert("@last-modified", last_modified.to_string());
            result.insert("@id", id.as_str());
            result.insert("@change-vector", ChangeVector::new(*etag, database_id).as_str());
        }
        Outcome::Deleted { id, etag } => {
            result.insert("Type", "DELETE");
            result.insert("@last-modified", now.to_string());
            result.insert("Id", id.as_str());
            if let Some(etag) = etag {
                result.insert("@change-vector", ChangeVector::new(*etag, database_id).as_str());
            }
        }
        Outcome::CompareExchanged { key, index } => {
            result.insert("Type", if deletes { "CompareExchangeDELETE" } else { "CompareExchangePUT" });
            result.insert("Key", key.as_str());
            result.insert("Index", *index);
        }
        // Cluster-wide transactions have no other commands.
        _ => {}
    }
    result
}
