//! Many threads writing at once, on memory and on RocksDB: nothing acknowledged is missing, etags are unique and
//! without gaps, and a request that fails does not disturb its neighbours.

#![cfg(test)]

use magpie_store::kv::Kv;
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::rocks::RocksKv;
use magpie_store::{
    CollectionFilter, Command, Database, DocumentId, Etag, NewDocument, Outcome, StoreError, Timestamp,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::thread;

const THREADS: usize = 8;
const REQUESTS: usize = 60;

fn put(id: String, expected: Option<String>) -> Command {
    let text = format!(r#"{{"id":"{id}","@metadata":{{"@collection":"Users"}}}}"#);
    Command::Put { document: NewDocument::parse(&id, text.as_bytes()).unwrap(), id, expected }
}

/// Writes requests of three documents; every fifth request fails at its last command.
fn write_all(database: &Database, thread: usize) -> Vec<(String, Etag)> {
    let mut acknowledged = Vec::new();
    for request in 0..REQUESTS {
        let id = |n: usize| format!("users/{thread}-{request}-{n}");
        let spoilt = request % 5 == 0;
        let expected = spoilt.then(|| "A:1-somebody".to_owned());
        let commands = vec![put(id(0), None), put(id(1), None), put(id(2), expected)];
        match database.write(commands, Timestamp(0)) {
            Ok(outcomes) => {
                assert!(!spoilt);
                for outcome in outcomes {
                    let Outcome::Put { id, etag, .. } = outcome else { panic!("{outcome:?}") };
                    acknowledged.push((id.to_string(), etag));
                }
            }
            Err(StoreError::Conflict { .. }) => assert!(spoilt),
            Err(other) => panic!("{other}"),
        }
    }
    acknowledged
}

fn check(kv: Arc<dyn Kv>) {
    let database = Database::open(Arc::clone(&kv), "0123456789ABCDEFGHIJKL").unwrap();
    let start = Barrier::new(THREADS);
    let acknowledged: Vec<(String, Etag)> = thread::scope(|scope| {
        let writer = |thread| {
            let (database, start) = (&database, &start);
            scope.spawn(move || {
                start.wait();
                write_all(database, thread)
            })
        };
        let writers: Vec<_> = (0..THREADS).map(writer).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let documents = THREADS * REQUESTS / 5 * 4 * 3;
    let etags: BTreeSet<u64> = acknowledged.iter().map(|(_, etag)| etag.0).collect();
    assert_eq!(etags, (1..=documents as u64).collect(), "unique, no gap");
    assert_eq!(database.last_etag(), Etag(documents as u64));
    drop(database);
    let database = Database::open(kv, "other").unwrap();
    let view = database.view();
    for (id, etag) in &acknowledged {
        assert_eq!(view.document(&DocumentId::new(id).unwrap()).unwrap().unwrap().etag, *etag);
    }
    assert_eq!(view.changes_after(&CollectionFilter::All, Etag(0), usize::MAX).unwrap().len(), documents);
    assert_eq!(view.collections().unwrap()[0].documents, documents as u64);
}

#[test]
fn on_memory() {
    check(Arc::new(MemoryKv::new()));
}

#[test]
fn on_rocksdb() {
    let folder = tempfile::tempdir().unwrap();
    check(Arc::new(RocksKv::open(folder.path()).unwrap()));
}

#[test]
fn threads_that_fight_for_one_document_take_turns() {
    let database = Database::open(Arc::new(MemoryKv::new()), "0123456789ABCDEFGHIJKL").unwrap();
    let id = DocumentId::new("counter").unwrap();
    let wins: usize = thread::scope(|scope| {
        let fighter = |_| {
            scope.spawn(|| {
                let mut wins = 0;
                while wins < 25 {
                    let current = database.view().document(&id).unwrap();
                    let expected =
                        current.map_or(String::new(), |d| format!("A:{}-{}", d.etag, database.id()));
                    match database.write(vec![put("counter".into(), Some(expected))], Timestamp(0)) {
                        Ok(_) => wins += 1,
                        Err(StoreError::Conflict { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                wins
            })
        };
        let fighters: Vec<_> = (0..THREADS).map(fighter).collect();
        fighters.into_iter().map(|fighter| fighter.join().unwrap()).sum()
    });
    assert_eq!(
        database.last_etag(),
        Etag(wins as u64),
        "each success is one write over the state it had seen"
    );
}
