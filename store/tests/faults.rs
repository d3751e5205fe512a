//! Commits that fail and power cuts: what was acknowledged is there, what was not is there wholly or not at all,
//! and after a failed commit nothing is written any more.

#![cfg(test)]

use magpie_store::kv::memory::{FailedCommit, MemoryKv};
use magpie_store::kv::{Batch, Space};
use magpie_store::{
    Collection, CollectionFilter, Command, Database, DocumentId, Etag, NewDocument, StoreError, Timestamp,
};
use std::sync::Arc;
use std::thread;

const KINDS: [FailedCommit; 3] =
    [FailedCommit::NotApplied, FailedCommit::Applied, FailedCommit::AppliedNotDurable];

fn open(kv: &Arc<MemoryKv>) -> Result<Database, StoreError> {
    Database::open(kv.clone(), "0123456789ABCDEFGHIJKL")
}

fn put(id: &str, n: usize) -> Command {
    let text = format!(r#"{{"n":{n},"@metadata":{{"@collection":"C{}"}}}}"#, n % 2);
    Command::Put {
        id: id.to_owned(),
        document: NewDocument::parse(id, text.as_bytes()).unwrap(),
        expected: None,
    }
}

/// The request that is number `n`: two puts, and from the second on the delete of one of the last request's.
fn request(n: usize) -> Vec<Command> {
    let mut commands = vec![put(&format!("a/{n}"), n), put(&format!("b/{n}"), n)];
    if n > 0 {
        commands.push(Command::Delete { id: format!("a/{}", n - 1), expected: None });
    }
    commands
}

/// Checks that exactly the first `requests` requests show, in the documents, the feed and the counts.
fn check_state(database: &Database, requests: usize) {
    let view = database.view();
    let exists = |id: String| view.document(&DocumentId::new(&id).unwrap()).unwrap().is_some();
    for n in 0..requests {
        assert_eq!(exists(format!("a/{n}")), n + 1 == requests, "a/{n} of {requests}");
        assert!(exists(format!("b/{n}")), "b/{n} of {requests}");
    }
    assert!(!exists(format!("a/{requests}")) && !exists(format!("b/{requests}")));
    let (documents, tombstones) = (requests + requests.min(1), requests.saturating_sub(1));
    let changes = view.changes_after(&CollectionFilter::All, Etag(0), usize::MAX).unwrap();
    assert_eq!(changes.iter().filter(|change| change.tombstone).count(), tombstones);
    assert_eq!(changes.len(), documents + tombstones);
    let stats = view.collections().unwrap();
    assert_eq!(stats.iter().map(|stats| stats.documents).sum::<u64>(), documents as u64);
    assert_eq!(stats.iter().map(|stats| stats.tombstones).sum::<u64>(), tombstones as u64);
    assert_eq!(database.last_etag(), Etag((2 * requests + tombstones) as u64));
}

#[test]
fn whichever_commit_fails_the_acknowledged_requests_are_there_and_the_failed_one_is_whole() {
    const REQUESTS: usize = 6;
    for kind in KINDS {
        for crash in [false, true] {
            for n in 1.. {
                let kv = Arc::new(MemoryKv::new());
                kv.fail_commit_as(n, kind);
                let Ok(database) = open(&kv) else {
                    assert_eq!(n, 1, "only the creating commit can fail an open");
                    check_state(&open(&kv).unwrap(), 0);
                    continue;
                };
                let written = |n: &usize| database.write(request(*n), Timestamp(0)).is_ok();
                let acknowledged = (0..REQUESTS).take_while(written).count();
                if crash {
                    kv.crash();
                }
                drop(database);
                let survives = match kind {
                    FailedCommit::NotApplied => false,
                    FailedCommit::Applied => true,
                    FailedCommit::AppliedNotDurable => !crash,
                };
                let failed = acknowledged < REQUESTS;
                check_state(&open(&kv).unwrap(), acknowledged + usize::from(failed && survives));
                if !failed {
                    break;
                }
            }
        }
    }
}

#[test]
fn after_a_failed_commit_reads_go_on_and_every_kind_of_write_is_refused() {
    let kv = Arc::new(MemoryKv::new());
    let database = open(&kv).unwrap();
    database.write(request(0), Timestamp(0)).unwrap();
    kv.fail_commit(1);
    let error = database.write(request(1), Timestamp(0)).unwrap_err();
    assert!(
        matches!(&error, StoreError::WritesStopped { cause } if cause.contains("injected fault")),
        "{error}"
    );
    assert!(database.writes_stopped().unwrap().contains("injected fault"));
    let commits = kv.commits();
    let mut batch = Batch::new();
    batch.put(Space::Index, *b"k", *b"v");
    for refused in [
        database.write(request(1), Timestamp(0)).map(drop),
        database.commit_derived(batch.clone()),
        database.commit_definition(batch),
        database.next_identity("users").map(drop),
        database.purge_tombstones(Etag(9)).map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::WritesStopped { .. })));
    }
    assert_eq!(kv.commits(), commits, "nothing was tried");
    check_state(&database, 1);
}

#[test]
fn a_failed_commit_of_index_rows_stops_all_writes() {
    let kv = Arc::new(MemoryKv::new());
    let database = open(&kv).unwrap();
    kv.fail_commit(1);
    let mut batch = Batch::new();
    batch.put(Space::Index, *b"k", *b"v");
    assert!(matches!(database.commit_derived(batch), Err(StoreError::WritesStopped { .. })));
    assert!(matches!(database.write(request(0), Timestamp(0)), Err(StoreError::WritesStopped { .. })));
}

#[test]
fn index_rows_are_never_durable_before_the_documents_they_come_from() {
    let kv = Arc::new(MemoryKv::new());
    let database = open(&kv).unwrap();
    database.write(request(0), Timestamp(0)).unwrap();
    let mut batch = Batch::new();
    batch.put(Space::Index, *b"k", *b"v");
    database.commit_derived(batch).unwrap();
    assert_eq!(kv.unsynced_commits(), 1);
    kv.crash();
    let database = open(&kv).unwrap();
    assert_eq!(database.view().kv().get(Space::Index, b"k").unwrap(), None);
    check_state(&database, 1);
}

#[test]
fn with_many_writers_a_failed_group_is_wholly_there_or_wholly_absent() {
    for kind in KINDS {
        for n in [2, 3, 5, 8] {
            let kv = Arc::new(MemoryKv::new());
            kv.fail_commit_as(n, kind);
            let database = open(&kv).unwrap();
            let acknowledged: Vec<String> = thread::scope(|scope| {
                let writer = |thread: usize| {
                    let database = &database;
                    scope.spawn(move || {
                        let name = |request: usize| format!("{thread}-{request}");
                        let commands =
                            |name: &str| vec![put(&format!("x/{name}"), 0), put(&format!("y/{name}"), 1)];
                        let written = |name: &String| database.write(commands(name), Timestamp(0)).is_ok();
                        (0..40).map(name).take_while(written).collect::<Vec<String>>()
                    })
                };
                let writers: Vec<_> = (0..8).map(writer).collect();
                writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
            });
            assert!(database.writes_stopped().is_some(), "{} writes were too few", acknowledged.len());
            drop(database);
            kv.crash();
            let database = open(&kv).unwrap();
            let view = database.view();
            let ids = |collection: &str| -> Vec<String> {
                let filter = CollectionFilter::Named(vec![Collection::new(collection).unwrap()]);
                let documents = view.documents_in_etag_order(&filter, Etag(0)).unwrap();
                documents.map(|document| document.unwrap().id.as_str()[2..].to_owned()).collect()
            };
            assert_eq!(ids("C0"), ids("C1"), "no request is there by half");
            let found = ids("C0");
            assert!(acknowledged.iter().all(|name| found.contains(name)));
            if kind != FailedCommit::Applied {
                assert_eq!(found.len(), acknowledged.len());
            }
            assert_eq!(database.last_etag(), Etag(2 * found.len() as u64));
        }
    }
}
