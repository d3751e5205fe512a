//! Counters: sums, names, atomicity, what a deleted document takes with it; and any history against a simple model.

#![cfg(test)]

use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::{Direction, Space};
use magpie_store::{
    CollectionFilter, Command, CounterAction, CounterOperation, Database, DocumentId, Etag, NewDocument,
    Outcome, StoreError, Timestamp,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;

const DATABASE_ID: &str = "0123456789ABCDEFGHIJKL";

fn open() -> (Arc<MemoryKv>, Database) {
    let kv = Arc::new(MemoryKv::new());
    let database = Database::open(kv.clone(), DATABASE_ID).unwrap();
    (kv, database)
}

fn put(id: &str, text: &str) -> Command {
    let document = NewDocument::parse(id, text.as_bytes()).unwrap();
    Command::Put { id: id.to_owned(), document, expected: None }
}

fn delete(id: &str) -> Command {
    Command::Delete { id: id.to_owned(), expected: None }
}

fn counters(id: &str, operations: &[(&str, CounterAction)]) -> Command {
    let operations = operations
        .iter()
        .map(|(name, action)| CounterOperation { name: (*name).to_owned(), action: action.clone() })
        .collect();
    Command::Counters { id: id.to_owned(), operations }
}

fn add(id: &str, name: &str, by: i64) -> Command {
    counters(id, &[(name, CounterAction::Increment(by))])
}

fn write(database: &Database, command: Command) -> Outcome {
    database.write(vec![command], Timestamp(5)).unwrap().remove(0)
}

fn id(text: &str) -> DocumentId {
    DocumentId::new(text).unwrap()
}

fn found(database: &Database, of: &str) -> Vec<(String, i64)> {
    let counters = database.view().counters(&id(of)).unwrap();
    counters.into_iter().map(|counter| (counter.name, counter.value)).collect()
}

fn metadata(database: &Database, of: &str) -> String {
    database.view().document(&id(of)).unwrap().unwrap().metadata.to_string()
}

#[test]
fn a_document_is_written_anew_only_when_a_name_comes_or_goes() {
    let (_, database) = open();
    write(&database, put("Users/1", r#"{"n":1.0,"@metadata":{"@collection":"Users","@flags":"X"}}"#));
    let etag = |database: &Database| database.view().document(&id("users/1")).unwrap().unwrap().etag.0;
    match write(&database, add("users/1", "Likes", 3)) {
        Outcome::Counters { id, collection, values, changes, etag, last_modified } => {
            assert_eq!(last_modified, Timestamp(5));
            assert_eq!((id.as_str(), collection.unwrap().as_str()), ("users/1", "Users"));
            assert_eq!((values, changes, etag), (vec![Some(("Likes".to_owned(), 3))], 1, Some(Etag(2))));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        metadata(&database, "users/1"),
        r#"{"@collection":"Users","@flags":"X, HasCounters","@counters":["Likes"]}"#
    );
    assert_eq!(etag(&database), 2);
    // The spelling of the first use stays, and the document is as it was.
    match write(
        &database,
        counters("USERS/1", &[("LIKES", CounterAction::Increment(-5)), ("no", CounterAction::Get)]),
    ) {
        Outcome::Counters { collection: None, values, etag: Some(Etag(3)), .. } => {
            assert_eq!(values, [Some(("LIKES".to_owned(), -2)), None]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((etag(&database), database.last_etag()), (2, Etag(3)));
    assert_eq!(found(&database, "users/1"), [("Likes".to_owned(), -2)]);
    // What came and went in one command was never there.
    write(&database, counters("users/1", &[("a", CounterAction::Put(1)), ("A", CounterAction::Delete)]));
    assert_eq!(etag(&database), 2);
    // Nothing to delete, nothing to write.
    match write(
        &database,
        counters("users/1", &[("a", CounterAction::Delete), ("likes", CounterAction::Get)]),
    ) {
        Outcome::Counters { changes: 0, etag: None, values, .. } => {
            assert_eq!(values, [Some(("likes".to_owned(), -2))]);
        }
        other => panic!("{other:?}"),
    }
    // A put keeps them, whatever it says about them.
    write(
        &database,
        put("users/1", r#"{"@metadata":{"@collection":"Users","@counters":["z"],"@flags":"HasCounters"}}"#),
    );
    assert!(metadata(&database, "users/1").contains(r#""@counters":["Likes"]"#));
    assert_eq!(database.view().counter_counts().unwrap(), (1, 1));
    write(&database, counters("users/1", &[("likes", CounterAction::Delete)]));
    assert_eq!(metadata(&database, "users/1"), r#"{"@collection":"Users"}"#);
    assert_eq!(database.view().counter_counts().unwrap(), (0, 0));
    // The feed has the document once, at its last write.
    let changes = database.view().changes_after(&CollectionFilter::All, Etag(0), 10).unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].etag.0, etag(&database));
}

#[test]
fn counters_go_with_their_document() {
    let (kv, database) = open();
    let rows = || {
        let view = magpie_store::kv::Kv::snapshot(kv.as_ref());
        view.scan(Space::Counters, b"", b"\xff", Direction::Forward).count()
    };
    let commands =
        vec![put("a", "{}"), put("ab", "{}"), add("A", "x", 1), add("ab", "x", 2), add("a", "y \u{e4}", 3)];
    database.write(commands, Timestamp(1)).unwrap();
    assert_eq!((rows(), database.view().counter_counts().unwrap()), (3, (2, 3)));
    assert_eq!(found(&database, "a").len(), 2, "those of 'ab' are not among them");
    // Deleted, made again and counted again, all in one request.
    let outcomes =
        database.write(vec![delete("a"), put("a", "{}"), add("a", "x", 10)], Timestamp(2)).unwrap();
    assert!(
        matches!(&outcomes[2], Outcome::Counters { values, .. } if values == &[Some(("x".to_owned(), 10))])
    );
    assert_eq!((rows(), database.view().counter_counts().unwrap()), (2, (2, 2)));
    write(&database, Command::DeletePrefix { prefix: "A".into() });
    assert_eq!((rows(), database.view().counter_counts().unwrap()), (0, (0, 0)));
    drop(database);
    let database = Database::open(kv, DATABASE_ID).unwrap();
    write(&database, put("a", "{}"));
    assert_eq!(found(&database, "a"), []);
}

#[test]
fn what_is_refused_changes_nothing() {
    let (_, database) = open();
    write(&database, put("a", "{}"));
    write(
        &database,
        counters("a", &[("max", CounterAction::Put(i64::MAX)), ("min", CounterAction::Put(i64::MIN))]),
    );
    let before = (found(&database, "a"), metadata(&database, "a"), database.last_etag());
    let long = "\u{1f600}".repeat(256) + "x";
    let cases: Vec<(Command, &str)> = vec![
        (
            add("a", "max", 1),
            "Could not increment counter 'max' from document 'a' with value '9223372036854775807' by '1'.",
        ),
        (
            add("a", "min", -1),
            "Could not increment counter 'min' from document 'a' with value '-9223372036854775808' by '-1'.",
        ),
        (add("b", "x", 1), "Document 'b' does not exist. Cannot operate on counters of a missing document."),
        (
            counters("b", &[("x", CounterAction::Delete)]),
            "Document 'b' does not exist. Cannot operate on counters",
        ),
        (add("a", "", 1), "its name is empty"),
        (add("a", "a\nb", 1), "its name holds a control character"),
        (add("a", &long, 1), "cannot exceed 512 characters (counter_name_units_max), but it has 513"),
    ];
    for (command, message) in cases {
        let refused =
            database.write(vec![add("a", "new", 1), put("c", "{}"), command], Timestamp(9)).unwrap_err();
        assert!(refused.to_string().contains(message), "{refused}");
        let after = (found(&database, "a"), metadata(&database, "a"), database.last_etag());
        assert_eq!(after, before);
        assert!(database.view().document(&id("c")).unwrap().is_none());
    }
    let names: Vec<String> = (0..3000).map(|n| format!("{n:0>400}")).collect();
    let many: Vec<(&str, CounterAction)> =
        names.iter().map(|name| (name.as_str(), CounterAction::Put(1))).collect();
    let refused = database.write(vec![counters("a", &many)], Timestamp(9)).unwrap_err();
    assert!(refused.to_string().contains("counter_names_bytes_max"), "{refused}");
    assert_eq!(found(&database, "a"), before.0);
    // A missing document has no counters to read.
    assert!(matches!(
        write(&database, counters("b", &[("x", CounterAction::Get)])),
        Outcome::Counters { values, etag: None, .. } if values == [None]
    ));
}

#[test]
fn a_request_with_many_names_writes_its_document_once() {
    let (kv, database) = open();
    let body = format!(r#"{{"large":"{}"}}"#, "x".repeat(100_000));
    database.write(vec![put("a", &body), put("b", "{}")], Timestamp(1)).unwrap();
    let names: Vec<String> = (0..400).map(|n| format!("name {n:03}")).collect();
    let mut commands: Vec<Command> = names.iter().map(|name| add("a", name, 1)).collect();
    commands.insert(200, put("b", r#"{"n":1}"#));
    commands.insert(300, counters("a", &[("name 000", CounterAction::Delete)]));
    database.write(commands, Timestamp(2)).unwrap();
    assert_eq!(found(&database, "a").len(), 399);
    let document = database.view().document(&id("a")).unwrap().unwrap();
    assert_eq!((document.body.len(), document.last_modified), (body.len(), Timestamp(2)));
    assert_eq!(document.etag.0, 2 + 402);
    let many: Vec<(&str, CounterAction)> =
        names.iter().map(|name| (name.as_str(), CounterAction::Delete)).collect();
    write(&database, counters("a", &many));
    assert_eq!(
        (metadata(&database, "a").as_str(), database.view().counter_counts().unwrap()),
        ("{}", (0, 0))
    );
    drop(database);
    kv.crash();
    assert_eq!(metadata(&Database::open(kv, DATABASE_ID).unwrap(), "a"), "{}");
}

#[test]
fn a_check_holds_as_long_as_the_value_is_what_was_read() {
    let (_, database) = open();
    write(&database, put("a", "{}"));
    let check = |expected| Command::CheckCounter { id: "A".into(), name: "X".into(), expected };
    assert_eq!(write(&database, check(None)), Outcome::Checked);
    write(&database, add("a", "x", 2));
    assert_eq!(write(&database, check(Some(2))), Outcome::Checked);
    for moved in [None, Some(1)] {
        let refused = database.write(vec![check(moved), put("b", "{}")], Timestamp(9));
        assert!(matches!(refused, Err(StoreError::CounterMoved { .. })));
    }
    assert!(database.view().document(&id("b")).unwrap().is_none());
}

#[test]
fn concurrent_increments_lose_nothing() {
    let (_, database) = open();
    database.write(vec![put("a", "{}"), put("b", "{}")], Timestamp(1)).unwrap();
    thread::scope(|scope| {
        for worker in 0..8_i64 {
            let database = &database;
            scope.spawn(move || {
                for turn in 0..50 {
                    let own = format!("own-{worker}");
                    let commands = vec![add("a", "all", worker + turn), add("b", &own, 1)];
                    database.write(commands, Timestamp(2)).unwrap();
                }
            });
        }
    });
    let expected: i64 = (0..8).map(|worker| (0..50).map(|turn| worker + turn).sum::<i64>()).sum();
    assert_eq!(found(&database, "a"), [("all".to_owned(), expected)]);
    assert_eq!(found(&database, "b"), (0..8).map(|n| (format!("own-{n}"), 50)).collect::<Vec<_>>());
    assert_eq!(database.view().counter_counts().unwrap(), (2, 9));
}

/// What a history does.
#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Delete(u8),
    Count(u8, Vec<(u8, bool, CounterAction)>),
}

fn actions() -> impl Strategy<Value = CounterAction> {
    prop_oneof![
        4 => (-9..9_i64).prop_map(CounterAction::Increment),
        1 => Just(CounterAction::Increment(i64::MAX)),
        1 => (-9..9_i64).prop_map(CounterAction::Put),
        3 => Just(CounterAction::Delete),
        1 => Just(CounterAction::Get),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let operation = (0..3_u8, any::<bool>(), actions());
    prop_oneof![
        2 => (0..3_u8).prop_map(Step::Put),
        1 => (0..3_u8).prop_map(Step::Delete),
        5 => ((0..3_u8), prop::collection::vec(operation, 1..5)).prop_map(|(of, all)| Step::Count(of, all)),
    ]
}

type Model = HashMap<u8, BTreeMap<String, (String, i64)>>;

/// What a request makes of the documents and their counters; `None` when it is refused.
fn modelled(model: &Model, request: &[Step]) -> Option<Model> {
    let mut model = model.clone();
    for step in request {
        match step {
            Step::Put(of) => {
                model.entry(*of).or_default();
            }
            Step::Delete(of) => {
                model.remove(of);
            }
            Step::Count(of, operations) => {
                for (number, upper, action) in operations {
                    let key = format!("name{number}");
                    let spelt = if *upper { key.to_uppercase() } else { key.clone() };
                    if *action == CounterAction::Get {
                        continue;
                    }
                    let counters = model.get_mut(of)?;
                    match action {
                        CounterAction::Increment(by) => {
                            let (_, value) = counters.entry(key).or_insert((spelt, 0));
                            *value = value.checked_add(*by)?;
                        }
                        CounterAction::Put(value) => counters.entry(key).or_insert((spelt, 0)).1 = *value,
                        CounterAction::Delete | CounterAction::Get => {
                            counters.remove(&key);
                        }
                    }
                }
            }
        }
    }
    Some(model)
}

fn commands(request: &[Step]) -> Vec<Command> {
    let one = |step: &Step| match step {
        Step::Put(of) => put(&format!("d/{of}"), "{}"),
        Step::Delete(of) => delete(&format!("D/{of}")),
        Step::Count(of, operations) => {
            let operations = operations.iter().map(|(number, upper, action)| {
                let name = format!("name{number}");
                let name = if *upper { name.to_uppercase() } else { name };
                CounterOperation { name, action: action.clone() }
            });
            Command::Counters { id: format!("d/{of}"), operations: operations.collect() }
        }
    };
    request.iter().map(one).collect()
}

proptest! {
    #[test]
    fn any_history_is_what_the_model_says(history in prop::collection::vec(prop::collection::vec(steps(), 1..6), 1..12)) {
        let (kv, mut database) = open();
        let mut model = Model::new();
        for (number, request) in history.iter().enumerate() {
            let written = database.write(commands(request), Timestamp(1));
            match modelled(&model, request) {
                Some(next) => {
                    prop_assert!(written.is_ok(), "{written:?}");
                    model = next;
                }
                None => prop_assert!(written.is_err()),
            }
            if number % 4 == 3 {
                drop(database);
                kv.crash();
                database = Database::open(kv.clone(), DATABASE_ID).unwrap();
            }
            let mut counts = (0, 0);
            for of in 0..3 {
                let name = format!("d/{of}");
                let expected: Vec<(String, i64)> = model.get(&of).into_iter().flat_map(|c| c.values().cloned()).collect();
                let mut actual = found(&database, &name);
                actual.sort_by_key(|(name, _)| name.to_lowercase());
                prop_assert_eq!(&actual, &expected);
                counts = (counts.0 + u64::from(!actual.is_empty()), counts.1 + actual.len() as u64);
                let document = database.view().document(&id(&name)).unwrap();
                let listed = document.map(|document| document.metadata_json().get("@counters").cloned());
                let names = expected.iter().map(|(name, _)| name.as_str().into()).collect::<Vec<_>>();
                let names = (!names.is_empty()).then_some(magpie_store::json::Json::Array(names));
                prop_assert_eq!(listed, model.contains_key(&of).then_some(names));
            }
            prop_assert_eq!(database.view().counter_counts().unwrap(), counts);
        }
    }
}
