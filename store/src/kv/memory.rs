//! A store in memory that misbehaves on request, for tests.
//!
//! It keeps two images: what readers see, and what would survive a power cut. A [`Durability::Synced`] commit makes
//! everything before it durable, as a synced write-ahead log does; [`MemoryKv::crash`] throws away the rest. A
//! commit can be told to fail, in each of the ways a disk can fail it ([`FailedCommit`]). Snapshots are cheap: a
//! space is copied only when it is written while a snapshot of it is alive.

use super::{
    Batch, Change, Direction, Durability, Finished, FinishedFile, Kv, KvError, Row, Rows, SortedFile, Space,
    View,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Table = BTreeMap<Vec<u8>, Vec<u8>>;
type Tables = [Arc<Table>; Space::ALL.len()];

/// What a failing commit leaves behind. The caller is told the same in all cases: that it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedCommit {
    /// Nothing of the batch.
    NotApplied,
    /// The whole batch, as durable as was asked for: only the report got lost.
    Applied,
    /// The whole batch for readers, but a crash loses it, even if it was to be synced.
    AppliedNotDurable,
}

/// A [`Kv`] in memory. Shared behind an [`Arc`], it survives the database on top of it, as a disk does.
#[derive(Default)]
pub struct MemoryKv {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    visible: Tables,
    durable: Tables,
    /// The batches applied to `visible` since the last synced commit, in order.
    unsynced: Vec<Vec<Change>>,
    commits: u64,
    failure: Option<(u64, FailedCommit)>,
}

impl MemoryKv {
    /// An empty store that works.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the `n`-th commit from now (1 = the next) fail with [`KvError::Injected`] and leave nothing. Later
    /// commits work again. Replaces an earlier request.
    pub fn fail_commit(&self, n: u64) {
        self.fail_commit_as(n, FailedCommit::NotApplied);
    }

    /// Like [`MemoryKv::fail_commit`], with a choice of what the failed commit leaves.
    pub fn fail_commit_as(&self, n: u64, leaves: FailedCommit) {
        let mut state = self.lock();
        state.failure = Some((state.commits + n, leaves));
    }

    /// How many commits were tried, failed ones included.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// Power loss: everything since the last synced commit is gone, and so is a failure that was asked for.
    /// Views taken before keep what they saw. Open a new [`crate::Database`] on it afterwards.
    pub fn crash(&self) {
        self.crash_keeping(0);
    }

    /// Like [`MemoryKv::crash`], but up to `batches` of the commits since the last synced one happen to have
    /// reached the disk, oldest first. A real crash may keep any number of them.
    pub fn crash_keeping(&self, batches: usize) {
        let mut state = self.lock();
        for change in std::mem::take(&mut state.unsynced).iter().take(batches).flatten() {
            apply(&mut state.durable, change);
        }
        state.visible = state.durable.clone();
        state.failure = None;
    }

    /// How many commits a crash could lose now.
    #[must_use]
    pub fn unsynced_commits(&self) -> usize {
        self.lock().unsynced.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply(&mut self, changes: Vec<Change>, synced: bool) {
        for change in &changes {
            apply(&mut self.visible, change);
        }
        self.unsynced.push(changes);
        if synced {
            for change in std::mem::take(&mut self.unsynced).iter().flatten() {
                apply(&mut self.durable, change);
            }
        }
    }
}

impl Kv for MemoryKv {
    fn snapshot<'a>(&'a self) -> Box<dyn View + 'a> {
        Box::new(MemoryView { tables: self.lock().visible.clone() })
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), KvError> {
        let mut state = self.lock();
        state.commits += 1;
        let synced = durability == Durability::Synced;
        match state.failure {
            Some((at, leaves)) if at == state.commits => {
                state.failure = None;
                match leaves {
                    FailedCommit::NotApplied => {}
                    FailedCommit::Applied => state.apply(batch.into_changes(), synced),
                    FailedCommit::AppliedNotDurable => state.apply(batch.into_changes(), false),
                }
                Err(KvError::Injected(at))
            }
            _ => {
                state.apply(batch.into_changes(), synced);
                Ok(())
            }
        }
    }

    fn scratch_file(&self) -> Result<File, KvError> {
        tempfile::tempfile().map_err(|error| KvError::Storage(format!("a scratch file: {error}")))
    }

    fn sorted_file(&self, _: Space) -> Result<Option<Box<dyn SortedFile + '_>>, KvError> {
        Ok(Some(Box::new(SortedRows(Vec::new()))))
    }

    fn ingest(&self, space: Space, files: Vec<FinishedFile>) -> Result<(), KvError> {
        let mut batch = Batch::new();
        for file in files {
            let Finished::Rows(rows) = file.0 else {
                return Err(KvError::Storage("a sorted file of another store".to_owned()));
            };
            rows.into_iter().for_each(|(key, value)| batch.put(space, key, value));
        }
        self.commit(batch, Durability::Synced)
    }

    fn flush(&self) -> Result<(), KvError> {
        self.lock().apply(Vec::new(), true);
        Ok(())
    }
}

/// A sorted file in memory.
struct SortedRows(Vec<Row>);

impl SortedFile for SortedRows {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), KvError> {
        if self.0.last().is_some_and(|(last, _)| last.as_slice() >= key) {
            return Err(KvError::Storage("the rows of a sorted file are not in order".to_owned()));
        }
        self.0.push((key.to_vec(), value.to_vec()));
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<FinishedFile>, KvError> {
        Ok((!self.0.is_empty()).then_some(FinishedFile(Finished::Rows(self.0))))
    }
}

fn table(tables: &mut Tables, space: Space) -> &mut Table {
    let [meta, documents, feed, index, attachments, counters] = tables;
    Arc::make_mut(match space {
        Space::Meta => meta,
        Space::Documents => documents,
        Space::Feed => feed,
        Space::Index => index,
        Space::Attachments => attachments,
        Space::Counters => counters,
    })
}

fn apply(tables: &mut Tables, change: &Change) {
    match change {
        Change::Put(space, key, value) => {
            table(tables, *space).insert(key.clone(), value.clone());
        }
        Change::Delete(space, key) => {
            table(tables, *space).remove(key);
        }
        Change::DeleteRange(space, from, to) if from < to => {
            let table = table(tables, *space);
            let keys: Vec<Vec<u8>> =
                table.range(from.clone()..to.clone()).map(|(key, _)| key.clone()).collect();
            for key in keys {
                table.remove(&key);
            }
        }
        Change::DeleteRange(..) => {}
    }
}

/// The tables as they were.
struct MemoryView {
    tables: Tables,
}

impl MemoryView {
    fn table(&self, space: Space) -> &Table {
        let [meta, documents, feed, index, attachments, counters] = &self.tables;
        match space {
            Space::Meta => meta,
            Space::Documents => documents,
            Space::Feed => feed,
            Space::Index => index,
            Space::Attachments => attachments,
            Space::Counters => counters,
        }
    }
}

impl View for MemoryView {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.table(space).get(key).cloned())
    }

    fn scan<'a>(&'a self, space: Space, from: &[u8], to: &[u8], direction: Direction) -> Rows<'a> {
        if from >= to {
            return Box::new(std::iter::empty());
        }
        let rows = self.table(space).range(from.to_vec()..to.to_vec());
        let owned =
            |(key, value): (&Vec<u8>, &Vec<u8>)| -> Result<Row, KvError> { Ok((key.clone(), value.clone())) };
        match direction {
            Direction::Forward => Box::new(rows.map(owned)),
            Direction::Reverse => Box::new(rows.rev().map(owned)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(kv: &MemoryKv, key: &[u8], durability: Durability) -> Result<(), KvError> {
        let mut batch = Batch::new();
        batch.put(Space::Meta, key, *b"v");
        kv.commit(batch, durability)
    }

    fn has(kv: &MemoryKv, key: &[u8]) -> bool {
        kv.snapshot().get(Space::Meta, key).unwrap().is_some()
    }

    #[test]
    fn a_crash_loses_exactly_what_came_after_the_last_synced_commit() {
        let kv = MemoryKv::new();
        put(&kv, b"a", Durability::Buffered).unwrap();
        put(&kv, b"b", Durability::Synced).unwrap();
        put(&kv, b"c", Durability::Buffered).unwrap();
        assert!(has(&kv, b"c"));
        kv.crash();
        assert!(has(&kv, b"a") && has(&kv, b"b") && !has(&kv, b"c"));
    }

    #[test]
    fn a_crash_may_keep_the_oldest_unsynced_commits() {
        let kv = MemoryKv::new();
        for key in [b"a", b"b", b"c"] {
            put(&kv, key, Durability::Buffered).unwrap();
        }
        assert_eq!(kv.unsynced_commits(), 3);
        kv.crash_keeping(2);
        assert!(has(&kv, b"a") && has(&kv, b"b") && !has(&kv, b"c"));
        assert_eq!(kv.unsynced_commits(), 0);
        kv.crash();
        assert!(has(&kv, b"b"), "what has reached the disk stays there");
    }

    #[test]
    fn failed_commits_leave_what_was_asked_for() {
        for (leaves, visible, durable) in [
            (FailedCommit::NotApplied, false, false),
            (FailedCommit::Applied, true, true),
            (FailedCommit::AppliedNotDurable, true, false),
        ] {
            let kv = MemoryKv::new();
            kv.fail_commit_as(2, leaves);
            put(&kv, b"a", Durability::Synced).unwrap();
            assert!(matches!(put(&kv, b"b", Durability::Synced), Err(KvError::Injected(2))));
            assert_eq!(has(&kv, b"b"), visible, "{leaves:?}");
            kv.crash();
            assert!(has(&kv, b"a"));
            assert_eq!(has(&kv, b"b"), durable, "{leaves:?}");
            put(&kv, b"c", Durability::Synced).unwrap();
            assert_eq!(kv.commits(), 3);
        }
    }

    #[test]
    fn a_view_does_not_move() {
        let kv = MemoryKv::new();
        put(&kv, b"a", Durability::Buffered).unwrap();
        let view = kv.snapshot();
        let mut batch = Batch::new();
        batch.delete_range(Space::Meta, *b"a", *b"b");
        kv.commit(batch, Durability::Buffered).unwrap();
        assert!(view.get(Space::Meta, b"a").unwrap().is_some());
        assert!(!has(&kv, b"a"));
    }
}
