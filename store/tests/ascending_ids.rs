//! Ids that are written in ascending order are not looked up first. Whatever the order, a write must know what is there: its
//! outcome, the numbers of the collection and the feed are those of a simple model.

#![cfg(test)]

use magpie_store::kv::memory::MemoryKv;
use magpie_store::{
    CollectionFilter, Command, Database, DocumentId, Etag, NewDocument, StoreError, Timestamp, limits,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const DATABASE_ID: &str = "0123456789ABCDEFGHIJKL";

#[derive(Debug, Clone)]
enum Step {
    Put(String),
    /// Only if there is none.
    Create(String),
    Delete(String),
    DeletePrefix(String),
    Purge,
    Reopen,
    /// A put, and then one that fails: neither happens.
    Fail(String),
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..2_u32, 0..40_u32)
            .prop_map(|(beginning, n)| format!("{}/{n:02}", ["Ev", "b"][beginning as usize])),
        (0..20_u32).prop_map(|n| format!("eV/1/{n}")),
        Just("plain".to_owned()),
        Just("Ev".to_owned()),
        Just("/".to_owned() + "x"),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => id().prop_map(Step::Put),
        4 => id().prop_map(Step::Create),
        3 => id().prop_map(Step::Delete),
        1 => prop_oneof![Just("ev/"), Just("b/1"), Just("")].prop_map(|prefix| Step::DeletePrefix(prefix.to_owned())),
        1 => Just(Step::Purge),
        1 => Just(Step::Reopen),
        1 => id().prop_map(Step::Fail),
    ]
}

fn put(id: &str, expected: Option<&str>, n: usize) -> Command {
    let text = format!(r#"{{"n":{n},"@metadata":{{"@collection":"Events"}}}}"#);
    let document = NewDocument::parse(id, text.as_bytes()).unwrap();
    Command::Put { id: id.to_owned(), document, expected: expected.map(str::to_owned) }
}

fn run(steps: &[Vec<Step>]) {
    let kv = Arc::new(MemoryKv::new());
    let mut database = Database::open(Arc::clone(&kv) as _, DATABASE_ID).unwrap();
    let mut model: BTreeMap<String, usize> = BTreeMap::new();
    for (n, request) in steps.iter().enumerate() {
        let mut after = model.clone();
        let mut commands = Vec::new();
        let mut fails = false;
        for step in request {
            match step {
                Step::Put(id) => {
                    commands.push(put(id, None, n));
                    after.insert(id.to_lowercase(), n);
                }
                Step::Create(id) => {
                    commands.push(put(id, Some(""), n));
                    fails |= after.insert(id.to_lowercase(), n).is_some();
                }
                Step::Fail(id) => {
                    commands.push(put(id, None, n));
                    commands.push(put(id, Some(""), n));
                    fails = true;
                }
                Step::Delete(id) => {
                    commands.push(Command::Delete { id: id.clone(), expected: None });
                    after.remove(&id.to_lowercase());
                }
                Step::DeletePrefix(prefix) => {
                    commands.push(Command::DeletePrefix { prefix: prefix.clone() });
                    after.retain(|id, _| !id.starts_with(prefix.as_str()));
                }
                Step::Purge => {
                    database.purge_tombstones(database.last_etag()).unwrap();
                }
                Step::Reopen => database = Database::open(Arc::clone(&kv) as _, DATABASE_ID).unwrap(),
            }
        }
        let outcome = database.write(commands, Timestamp(1));
        assert_eq!(matches!(outcome, Err(StoreError::Conflict { .. })), fails, "{request:?}: {outcome:?}");
        assert_eq!(outcome.is_err(), fails, "{request:?}");
        if !fails {
            model = after;
        }
        compare(&database, &model);
    }
}

fn compare(database: &Database, model: &BTreeMap<String, usize>) {
    let view = database.view();
    let found: BTreeMap<String, usize> = view
        .documents_by_prefix("", None)
        .unwrap()
        .map(|document| document.unwrap())
        .map(|found| (found.id.key().to_owned(), found.body[5..found.body.len() - 1].parse().unwrap()))
        .collect();
    assert_eq!(&found, model);
    let changes = view.changes_after(&CollectionFilter::All, Etag(0), usize::MAX).unwrap();
    let live: BTreeMap<String, Etag> = changes
        .iter()
        .filter(|change| !change.tombstone)
        .map(|change| (change.id.key().to_owned(), change.etag))
        .collect();
    assert_eq!(live.keys().collect::<Vec<_>>(), model.keys().collect::<Vec<_>>(), "the feed has each once");
    let rows = changes.iter().filter(|change| !change.tombstone).count();
    assert_eq!(rows, live.len(), "and only once");
    let collections = view.collections().unwrap();
    let documents = collections.first().map_or(0, |events| events.documents);
    let tombstones = collections.first().map_or(0, |events| events.tombstones);
    assert_eq!(documents, model.len() as u64);
    assert_eq!(tombstones, (changes.len() - rows) as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn any_order_of_writes_gives_what_a_model_gives(
        steps in prop::collection::vec(prop::collection::vec(step(), 1..6), 1..25),
    ) {
        run(&steps);
    }
}

#[test]
fn a_first_write_is_told_from_all_others() {
    let database = Database::open(Arc::new(MemoryKv::new()), DATABASE_ID).unwrap();
    let first = |id: &str| {
        let changes = database.view().changes_after(&CollectionFilter::All, Etag(0), usize::MAX).unwrap();
        changes.iter().find(|change| change.id.as_str() == id && !change.tombstone).unwrap().first
    };
    let write = |command| database.write(vec![command], Timestamp(1)).unwrap();
    let delete = |id: &str| Command::Delete { id: id.to_owned(), expected: None };
    for id in ["e/2", "e/3", "e/1", "none"] {
        write(put(id, None, 1));
        assert!(first(id), "{id}");
    }
    for id in ["e/2", "e/3", "e/1", "none"] {
        write(put(id, None, 2));
        assert!(!first(id), "{id} was there");
        write(delete(id));
        write(put(id, None, 3));
        assert!(!first(id), "{id} has left a tombstone, which an index may still have to see");
        write(delete(id));
        database.purge_tombstones(database.last_etag()).unwrap();
        write(put(id, None, 4));
        assert!(first(id), "nothing is left of {id}");
    }
}

#[test]
fn of_too_many_beginnings_nothing_is_remembered_and_all_goes_on() {
    let database = Database::open(Arc::new(MemoryKv::new()), DATABASE_ID).unwrap();
    let ids: Vec<String> = (0..limits::ID_ENDS_MAX * 4).map(|n| format!("{n}/x")).collect();
    let (at_once, one_by_one) = ids.split_at(limits::ID_ENDS_MAX * 2);
    let earlier = at_once.iter().map(|id| put(&id.replace('x', "a"), Some(""), 1));
    let commands = at_once.iter().map(|id| put(id, Some(""), 1)).chain(earlier);
    database.write(commands.collect(), Timestamp(1)).unwrap();
    for id in one_by_one {
        database.write(vec![put(id, Some(""), 1)], Timestamp(1)).unwrap();
    }
    for id in &ids {
        let again = database.write(vec![put(id, Some(""), 2)], Timestamp(1));
        assert!(matches!(again, Err(StoreError::Conflict { .. })), "{id}");
        let id = DocumentId::new(id).unwrap();
        assert_eq!(&*database.view().document(&id).unwrap().unwrap().body, r#"{"n":1}"#);
    }
}
