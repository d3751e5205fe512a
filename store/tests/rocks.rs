//! The store on disk behaves as the seam promises: scans, views, locks, reopening.

#![cfg(test)]

use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::rocks::RocksKv;
use magpie_store::kv::{Batch, Direction, Durability, Kv, KvError, Space, View};
use magpie_store::{Command, Database, DocumentId, Etag, NewDocument, StoreError, Timestamp};
use proptest::prelude::*;
use std::sync::Arc;

fn keys(view: &dyn View, space: Space, from: &[u8], to: &[u8], direction: Direction) -> Vec<String> {
    let rows = view.scan(space, from, to, direction).map(|row| row.unwrap().0);
    rows.map(|key| String::from_utf8(key).unwrap()).collect()
}

/// The same promises for both implementations.
fn check_seam(kv: &dyn Kv) {
    let mut batch = Batch::new();
    for key in ["a", "b", "ba", "c", "d"] {
        batch.put(Space::Index, key, key);
    }
    batch.put(Space::Feed, "b", "feed");
    kv.commit(batch, Durability::Buffered).unwrap();
    let before = kv.snapshot();
    let mut batch = Batch::new();
    batch.delete(Space::Index, "d");
    batch.delete(Space::Index, "nobody");
    batch.delete_range(Space::Index, "b", "c");
    batch.put(Space::Index, "bb", "new");
    batch.put(Space::Index, "bb", "newer");
    kv.commit(batch, Durability::Synced).unwrap();
    let after = kv.snapshot();

    let all = |view: &dyn View, direction| keys(view, Space::Index, b"", b"\xff", direction);
    assert_eq!(all(before.as_ref(), Direction::Forward), ["a", "b", "ba", "c", "d"]);
    assert_eq!(all(after.as_ref(), Direction::Forward), ["a", "bb", "c"]);
    assert_eq!(all(after.as_ref(), Direction::Reverse), ["c", "bb", "a"]);
    assert_eq!(keys(before.as_ref(), Space::Index, b"b", b"c", Direction::Forward), ["b", "ba"]);
    assert_eq!(keys(before.as_ref(), Space::Index, b"b", b"c", Direction::Reverse), ["ba", "b"]);
    assert_eq!(keys(before.as_ref(), Space::Index, b"c", b"b", Direction::Forward), [""; 0]);
    assert_eq!(keys(before.as_ref(), Space::Index, b"b", b"b", Direction::Reverse), [""; 0]);
    assert_eq!(keys(before.as_ref(), Space::Documents, b"", b"\xff", Direction::Forward), [""; 0]);
    assert_eq!(before.get(Space::Index, b"b").unwrap().as_deref(), Some(&b"b"[..]));
    assert_eq!(after.get(Space::Index, b"b").unwrap(), None);
    assert_eq!(after.get(Space::Index, b"bb").unwrap().as_deref(), Some(&b"newer"[..]));
    assert_eq!(after.get(Space::Feed, b"b").unwrap().as_deref(), Some(&b"feed"[..]));
}

#[test]
fn both_implementations_keep_the_promises_of_the_seam() {
    check_seam(&MemoryKv::new());
    let folder = tempfile::tempdir().unwrap();
    check_seam(&RocksKv::open(folder.path()).unwrap());
}

#[test]
fn a_missing_folder_is_made_and_everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not/yet/there");
    for (round, flush) in [true, false, false].into_iter().enumerate() {
        let database =
            Database::open(Arc::new(RocksKv::open(&path).unwrap()), "0123456789ABCDEFGHIJKL").unwrap();
        assert_eq!((database.last_etag(), database.id()), (Etag(round as u64), "0123456789ABCDEFGHIJKL"));
        let document = NewDocument::parse("a/", br#"{"@metadata":{"@collection":"A"}}"#).unwrap();
        let put = Command::Put { id: "a/".into(), document, expected: None };
        database.write(vec![put], Timestamp(0)).unwrap();
        if flush {
            database.flush().unwrap();
        }
    }
    let database = Database::open(Arc::new(RocksKv::open(&path).unwrap()), "other").unwrap();
    for n in 1..=3 {
        let id = DocumentId::new(&format!("a/{n:019}-A")).unwrap();
        assert_eq!(database.view().document(&id).unwrap().unwrap().etag, Etag(n));
    }
}

#[test]
fn a_folder_in_use_is_refused_with_its_path_and_free_after_closing() {
    let folder = tempfile::tempdir().unwrap();
    let first = RocksKv::open(folder.path()).unwrap();
    match RocksKv::open(folder.path()) {
        Err(KvError::Locked { path }) => assert_eq!(path, folder.path().display().to_string()),
        other => panic!("{:?}", other.err()),
    }
    drop(first);
    assert!(RocksKv::open(folder.path()).is_ok());
}

#[test]
fn a_path_that_cannot_be_a_folder_is_an_error_with_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        match RocksKv::open(&path) {
            Err(KvError::Storage(message)) => {
                assert!(message.contains(&path.display().to_string()), "{message}")
            }
            other => panic!("{:?}", other.err()),
        }
    }
}

#[test]
fn a_store_of_another_format_or_without_its_settings_is_refused() {
    let kv = Arc::new(MemoryKv::new());
    drop(Database::open(kv.clone(), "0123456789ABCDEFGHIJKL").unwrap());
    let set = |key: &[u8], value: &[u8]| {
        let mut batch = Batch::new();
        batch.put(Space::Meta, key, value);
        kv.commit(batch, Durability::Synced).unwrap();
    };
    let open = || Database::open(kv.clone(), "x").map(drop);
    set(b"s/format", &4_u64.to_be_bytes());
    assert!(matches!(open(), Err(StoreError::UnsupportedFormat { found: 4, supported: 3 })));
    set(b"s/format", b"?");
    assert!(matches!(open(), Err(StoreError::Corrupt(_))));
    set(b"s/format", &1_u64.to_be_bytes());
    assert!(open().is_ok());
    set(b"s/etag", b"12");
    assert!(matches!(open(), Err(StoreError::Corrupt(_))));
    set(b"s/etag", &0_u64.to_be_bytes());
    set(b"s/id", b"\xff");
    assert!(matches!(open(), Err(StoreError::Corrupt(_))));
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    DeleteRange(u8, u8),
    Flush,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<(u8, u8)>().prop_map(|(key, value)| Step::Put(key, value)),
        3 => any::<u8>().prop_map(Step::Delete),
        1 => any::<(u8, u8)>().prop_map(|(from, to)| Step::DeleteRange(from.min(to), from.max(to))),
        1 => Just(Step::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_disk_and_the_memory_store_agree(steps in prop::collection::vec(any_step(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let (disk, memory) = (RocksKv::open(folder.path()).unwrap(), MemoryKv::new());
        for step in steps {
            let mut batch = Batch::new();
            match step {
                Step::Put(key, value) => batch.put(Space::Index, [key], [value]),
                Step::Delete(key) => batch.delete(Space::Index, [key]),
                Step::DeleteRange(from, to) => batch.delete_range(Space::Index, [from], [to]),
                Step::Flush => disk.flush().unwrap(),
            }
            disk.commit(batch.clone(), Durability::Buffered).unwrap();
            memory.commit(batch, Durability::Buffered).unwrap();
            let (on_disk, in_memory) = (disk.snapshot(), memory.snapshot());
            for direction in [Direction::Forward, Direction::Reverse] {
                let rows = |view: &dyn View| -> Vec<_> {
                    view.scan(Space::Index, b"\x10", b"\xf0", direction).map(Result::unwrap).collect()
                };
                prop_assert_eq!(rows(on_disk.as_ref()), rows(in_memory.as_ref()));
            }
        }
    }
}
