//! What one connection watches, and the messages that it gets.

use super::Event;
use crate::limits::CHANGES_WATCHES_MAX;
use magpie_indexes::{IndexEvent, IndexEventKind};
use magpie_store::json::{Json, Object};
use magpie_store::{Change, ChangeVector, DocumentId, Etag};
use std::collections::HashMap;

/// One thing to watch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Watch {
    AllDocuments,
    Document(Box<str>),
    Prefix(Box<str>),
    Collection(Box<str>),
    AllIndexes,
    Index(Box<str>),
    AllOperations,
    Operation(i64),
    /// What is never told here: changes of the topology, counters and time series.
    Nothing,
}

/// What a connection watches.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// Each with how often it was asked for, and the newest etag when it was first: older writes are not told.
    watches: HashMap<Watch, (usize, Etag)>,
}

impl Watches {
    /// Carries out a command, and gives the message that answers it. `newest` is the database's newest etag.
    pub(super) fn command(&mut self, text: &str, newest: Etag) -> Object {
        let command = match magpie_store::json::parse(text.as_bytes()) {
            Ok(command) => command,
            Err(problem) => return error(&Json::Null, &format!("The command is not JSON: {problem}")),
        };
        let id = command.get("CommandId").cloned().unwrap_or_default();
        match self.carry_out(&command, newest) {
            Ok(()) => Object::from_iter([("CommandId", id), ("Type", "Confirm".into())]),
            Err(message) => error(&id, &message),
        }
    }

    fn carry_out(&mut self, command: &Json, newest: Etag) -> Result<(), String> {
        let name = command.get("Command").and_then(Json::as_str).unwrap_or_default();
        let parameter = match command.get("Param") {
            Some(Json::String(text)) => text.clone(),
            Some(Json::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let (begins, what) = match name.strip_prefix("unwatch-") {
            Some(what) => (false, what),
            None => (true, name.strip_prefix("watch-").unwrap_or("")),
        };
        let watch = watch_of(what, &parameter).ok_or_else(|| {
            format!(
                "Command argument is not valid: '{name}' with the parameter '{parameter}' cannot be watched"
            )
        })?;
        if !begins {
            if let Some((count, _)) = self.watches.get_mut(&watch) {
                *count -= 1;
                if *count == 0 {
                    self.watches.remove(&watch);
                }
            }
            return Ok(());
        }
        if self.watches.len() >= CHANGES_WATCHES_MAX && !self.watches.contains_key(&watch) {
            return Err(format!(
                "this connection watches {CHANGES_WATCHES_MAX} things (changes_watches_max), which is the most; watch a \
                 collection or prefix instead"
            ));
        }
        self.watches.entry(watch).or_insert((0, newest)).0 += 1;
        Ok(())
    }

    /// The message for an event that is watched. `state` gives the state of an operation.
    pub(super) fn message(
        &self,
        event: &Event,
        database_id: &str,
        state: impl FnOnce(i64) -> Option<Object>,
    ) -> Option<Object> {
        match event {
            Event::Document(change) => {
                self.watches_document(change).then(|| document_message(change, database_id))
            }
            Event::Index(event) => self.watches_index(event).then(|| index_message(event)),
            Event::Operation { id, ended } => {
                let watched = self.has(&Watch::AllOperations) || self.has(&Watch::Operation(*id));
                let state = if watched { state(*id)? } else { return None };
                // It has ended since: that is told by the last event, once.
                if !ended && state.get("Status").and_then(Json::as_str) != Some("InProgress") {
                    return None;
                }
                let mut value = Object::new();
                value.insert("OperationId", *id);
                value.insert("State", state);
                Some(message("OperationStatusChange", value))
            }
        }
    }

    fn has(&self, watch: &Watch) -> bool {
        self.watches.contains_key(watch)
    }

    fn watches_document(&self, change: &Change) -> bool {
        self.watches.iter().any(|(watch, (_, since))| {
            change.etag > *since
                && match watch {
                    Watch::AllDocuments => true,
                    Watch::Document(key) => change.id.key() == &**key,
                    Watch::Prefix(prefix) => change.id.key().starts_with(&**prefix),
                    Watch::Collection(key) => change.collection.key() == &**key,
                    _ => false,
                }
        })
    }

    fn watches_index(&self, event: &IndexEvent) -> bool {
        self.has(&Watch::AllIndexes) || self.has(&Watch::Index(event.name.to_lowercase().into()))
    }
}

/// What a command is about.
fn watch_of(what: &str, parameter: &str) -> Option<Watch> {
    let key = || (!parameter.is_empty()).then(|| DocumentId::prefix_key(parameter));
    Some(match what {
        "docs" => Watch::AllDocuments,
        "doc" => Watch::Document(key()?),
        "prefix" => Watch::Prefix(key()?),
        "collection" => Watch::Collection(parameter.to_lowercase().into()),
        "indexes" => Watch::AllIndexes,
        "index" => Watch::Index(parameter.to_lowercase().into()),
        "operations" => Watch::AllOperations,
        "operation" => Watch::Operation(parameter.parse().ok()?),
        "topology-change" => Watch::Nothing,
        what if what.starts_with("counter")
            || what.starts_with("document-counter")
            || what.contains("timeseries") =>
        {
            Watch::Nothing
        }
        _ => return None,
    })
}

fn message(kind: &str, value: Object) -> Object {
    Object::from_iter([("Type", Json::from(kind)), ("Value", Json::Object(value))])
}

/// The message that something failed.
pub(super) fn error(command: &Json, text: &str) -> Object {
    Object::from_iter([
        ("CommandId", command.clone()),
        ("Type", "Error".into()),
        ("Exception", format!("System.InvalidOperationException: {text}").into()),
    ])
}

fn document_message(change: &Change, database_id: &str) -> Object {
    let mut value = Object::new();
    value.insert("Type", if change.tombstone { "Delete" } else { "Put" });
    value.insert("Id", change.id.as_str());
    value.insert("CollectionName", change.collection.as_str());
    value.insert("ChangeVector", ChangeVector::new(change.etag, database_id).as_str());
    message("DocumentChange", value)
}

fn index_message(event: &IndexEvent) -> Object {
    let kind = match event.kind {
        IndexEventKind::Added => "IndexAdded",
        IndexEventKind::Removed => "IndexRemoved",
        IndexEventKind::Replaced => "SideBySideReplace",
        IndexEventKind::BatchCompleted => "BatchCompleted",
        IndexEventKind::Failed => "IndexMarkedAsErrored",
        IndexEventKind::Paused => "IndexPaused",
        IndexEventKind::LockModeChanged => "LockModeChanged",
        IndexEventKind::PriorityChanged => "PriorityChanged",
    };
    let mut value = Object::new();
    value.insert("Type", kind);
    value.insert("Name", event.name.as_str());
    value.insert("Etag", event.etag.0);
    message("IndexChange", value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use magpie_store::Collection;
    use std::sync::Arc;

    fn change(id: &str, etag: u64) -> Event {
        let (id, collection) = (DocumentId::new(id).unwrap(), Collection::new("Users").unwrap());
        Event::Document(Arc::new(Change { etag: Etag(etag), id, collection, tombstone: false, first: false }))
    }

    fn operation(id: i64, ended: bool) -> Event {
        Event::Operation { id, ended }
    }

    fn tells(watches: &Watches, event: &Event) -> bool {
        watches.message(event, "db", |_| Some(Object::new())).is_some()
    }

    #[test]
    fn commands_are_confirmed_and_only_what_is_watched_is_told() {
        let mut watches = Watches::default();
        assert!(!tells(&watches, &change("users/1", 5)));
        for (command, id, told) in [
            (r#"{"CommandId":1,"Command":"watch-doc","Param":"USERS/1"}"#, "users/1", true),
            (r#"{"CommandId":2,"Command":"watch-prefix","Param":"Orders/"}"#, "orders/9", true),
            (r#"{"CommandId":3,"Command":"watch-operation","Param":"7"}"#, "products/1", false),
            (r#"{"CommandId":4,"Command":"watch-collection","Param":"users"}"#, "products/1", true),
        ] {
            let answer = watches.command(command, Etag(4));
            assert_eq!(answer.get("Type").and_then(Json::as_str), Some("Confirm"), "{command}");
            assert_eq!(tells(&watches, &change(id, 5)), told, "{command}");
            assert!(!tells(&watches, &change(id, 4)), "what was written before is not told");
        }
        assert!(tells(&watches, &operation(7, true)) && !tells(&watches, &operation(8, true)));
        assert!(!tells(&watches, &operation(7, false)), "its state says that it has ended");
        watches.command(r#"{"CommandId":5,"Command":"watch-doc","Param":"users/1"}"#, Etag(9));
        watches.command(r#"{"CommandId":6,"Command":"unwatch-collection","Param":"Users"}"#, Etag(9));
        watches.command(r#"{"CommandId":7,"Command":"unwatch-doc","Param":"users/1"}"#, Etag(9));
        assert!(tells(&watches, &change("users/1", 10)), "it was asked for twice");
        watches.command(r#"{"CommandId":8,"Command":"unwatch-doc","Param":"users/1"}"#, Etag(9));
        assert!(!tells(&watches, &change("users/1", 10)));
    }

    #[test]
    fn what_cannot_be_watched_is_answered_with_an_error() {
        let mut watches = Watches::default();
        for command in [
            "{",
            "7",
            "{}",
            r#"{"CommandId":1,"Command":"watch-nothing"}"#,
            r#"{"CommandId":1,"Command":"watch-doc","Param":null}"#,
            r#"{"CommandId":1,"Command":"watch-operation","Param":"x"}"#,
        ] {
            let answer = watches.command(command, Etag(0));
            assert_eq!(answer.get("Type").and_then(Json::as_str), Some("Error"), "{command}");
        }
        for n in 0..CHANGES_WATCHES_MAX {
            watches.command(&format!(r#"{{"Command":"watch-doc","Param":"d/{n}"}}"#), Etag(0));
        }
        let answer = watches.command(r#"{"Command":"watch-doc","Param":"one more"}"#, Etag(0));
        assert_eq!(answer.get("Type").and_then(Json::as_str), Some("Error"));
    }
}
