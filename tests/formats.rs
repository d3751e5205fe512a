//! Stores written by each released format still open: documents, change feed, definitions and index rows.
//!
//! `fixtures/v1` was written by `MAGPIE_WRITE_FIXTURE=DIR cargo test -p magpie-tests --test formats`. A store is never
//! rewritten to make this test pass: a change of the bytes is a new format version with a folder of its own. `v1-rows2` has
//! the second layout of index rows, and `v2` the same in the second format of the store; `v3` has the third layout, with
//! narrower pages, in the third format. Rows of earlier layouts are built anew when the store is opened, and then a sum
//! of doubles may differ in its last bit, since the pages of its tree do.
//! The bytes of single rows are pinned down in `store/tests/formats.rs`.

#![cfg(test)]

use magpie_indexes::{IndexDefinition, Registry};
use magpie_store::kv::rocks::RocksKv;
use magpie_store::kv::{Batch, Durability, Kv, Space};
use magpie_store::{
    CollectionFilter, Command, Database, DocumentId, Etag, NewDocument, StoreError, Timestamp,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);
const AT: Timestamp = Timestamp(17_600_000_000_000_000);
/// More than a page holds, so that the fixture has trees of several levels.
const EVENTS: u32 = 200;

fn definition() -> IndexDefinition {
    IndexDefinition {
        name: "Sums".to_owned(),
        maps: vec!["map('Events', e => ({ kind: e.kind, n: e.n, fraction: e.n / 10 }))".to_owned()],
        reduce: Some(
            "groupBy(x => x.kind).aggregate(g => ({ kind: g.key, n: g.values.reduce((s, v) => s + v.n, 0),
                fraction: g.values.reduce((s, v) => s + v.fraction, 0) }))"
                .to_owned(),
        ),
        ..IndexDefinition::default()
    }
}

fn open(folder: &Path) -> (Arc<Database>, Arc<Registry>) {
    let kv = Arc::new(RocksKv::open(folder).unwrap());
    let database = Arc::new(Database::open(kv, "fixtureDatabaseId00000").unwrap());
    let registry = Registry::open(Arc::clone(&database), Arc::new(|| AT), Vec::new()).unwrap();
    (database, registry)
}

fn event(n: u32) -> Command {
    let id = format!("Events/{n}");
    let text = format!(
        r#"{{"kind":"{}","n":{n},"big":9007199254740993,"money":1.10,"ü":"\u00fc\n","@metadata":{{"@collection":"Events","Custom":[1.0]}}}}"#,
        if n.is_multiple_of(10) { "rare" } else { "hot" }
    );
    let document = NewDocument::parse(&id, text.as_bytes()).unwrap();
    Command::Put { id, document, expected: None }
}

fn write_fixture(folder: &Path) {
    let (database, registry) = open(folder);
    registry.put(vec![definition()]).unwrap();
    database.write((0..EVENTS).map(event).collect(), AT).unwrap();
    database.write(vec![Command::Delete { id: "events/7".to_owned(), expected: None }], AT).unwrap();
    assert!(registry.get("Sums").unwrap().wait_until_indexed_blocking(database.last_etag(), WAIT));
    registry.stop();
    database.flush().unwrap();
}

/// A copy of a fixture that may be written to.
fn copy_of(version: &str) -> (tempfile::TempDir, PathBuf) {
    let fixture = magpie_tests::workspace().join("tests/fixtures").join(version);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("store");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&fixture).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    (folder, copy)
}

#[test]
fn stores_of_all_formats_open_with_all_they_hold() {
    if let Some(folder) = std::env::var_os("MAGPIE_WRITE_FIXTURE") {
        write_fixture(Path::new(&folder));
    }
    for (version, is_rebuilt) in [("v1", true), ("v1-rows2", true), ("v2", true), ("v3", false)] {
        opens_with_all_it_holds(version, is_rebuilt);
    }
}

fn opens_with_all_it_holds(version: &str, is_rebuilt: bool) {
    let (_keep, folder) = copy_of(version);
    let (database, registry) = open(&folder);
    assert_eq!(database.id(), "fixtureDatabaseId00000");
    assert_eq!(database.last_etag(), Etag(u64::from(EVENTS) + 1));
    let view = database.view();
    let document = view.document(&DocumentId::new("EVENTS/3").unwrap()).unwrap().unwrap();
    assert_eq!(
        document.wire_json(database.id()).to_string(),
        r#"{"kind":"hot","n":3,"big":9007199254740993,"money":1.10,"ü":"ü\n","@metadata":{"@collection":"Events","Custom":[1.0],"@change-vector":"A:4-fixtureDatabaseId00000","@id":"Events/3","@last-modified":"2025-10-09T08:53:20.0000000Z"}}"#
    );
    let changes = view.changes_after(&CollectionFilter::All, Etag(0), 1000).unwrap();
    assert_eq!(changes.len() as u64, u64::from(EVENTS));
    assert!(changes.last().is_some_and(|change| change.tombstone && change.id.as_str() == "Events/7"));
    let index = registry.get("Sums").unwrap();
    assert_eq!(
        index.slot() != magpie_indexes::keys::Slot(1),
        is_rebuilt,
        "rows of older layouts and engines are built anew"
    );
    assert!(index.wait_until_indexed_blocking(database.last_etag(), WAIT));
    let view = database.view();
    let results: Vec<String> = index.results(&view).map(|result| result.unwrap().to_string()).collect();
    assert_eq!(
        results,
        [
            r#"{"kind":"hot","n":17993,"fraction":1799.3000000000002}"#,
            r#"{"kind":"rare","n":1900,"fraction":190}"#
        ]
    );
    let stored = index.rows(&view).unwrap();
    registry.reset("Sums").unwrap();
    let rebuilt = registry.get("Sums").unwrap();
    assert!(rebuilt.wait_until_indexed_blocking(database.last_etag(), WAIT));
    assert_eq!(stored, rebuilt.rows(&database.view()).unwrap(), "this program builds the same rows");
    registry.stop();
}

#[test]
fn a_store_of_a_later_format_is_refused_and_left_alone() {
    let (_keep, folder) = copy_of("v1");
    let kv = Arc::new(RocksKv::open(&folder).unwrap());
    let mut batch = Batch::new();
    let mut later = kv.snapshot().get(Space::Meta, b"s/format").unwrap().expect("the format row");
    *later.last_mut().unwrap() += 3;
    batch.put(Space::Meta, b"s/format", later);
    kv.commit(batch, Durability::Synced).unwrap();
    match Database::open(kv, "x") {
        Err(StoreError::UnsupportedFormat { found: 4, supported: 3 }) => {}
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("a store of format 4 was opened"),
    }
}
