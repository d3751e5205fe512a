//! A store in memory that counts the rows of indexes, and the documents, that are read.

use magpie_indexes::keys::Kind;
use magpie_store::kv::{
    Batch, Direction, Durability, FinishedFile, Kv, KvError, Rows, SortedFile, Space, View,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex};

/// Stands among the kinds of rows for documents.
const DOCUMENTS: u8 = u8::MAX;

type Counts = Arc<Mutex<BTreeMap<u8, u64>>>;

/// The store. What the thread of the test reads counts; what workers read does not.
pub struct CountingKv {
    inner: Box<dyn Kv>,
    counts: Counts,
    owner: Mutex<Option<std::thread::ThreadId>>,
}

impl CountingKv {
    /// Over another store.
    pub fn over(inner: impl Kv + 'static) -> Self {
        Self { inner: Box::new(inner), counts: Counts::default(), owner: Mutex::default() }
    }

    /// Counts anew, and from now on only what this thread reads.
    pub fn forget(&self) {
        *self.owner.lock().unwrap() = Some(std::thread::current().id());
        self.counts.lock().unwrap().clear();
    }

    /// How many rows of a kind were read.
    pub fn rows(&self, kind: Kind) -> u64 {
        self.counts.lock().unwrap().get(&(kind as u8)).copied().unwrap_or(0)
    }

    /// How many rows of indexes were read.
    #[allow(dead_code, reason = "not every test file uses it")]
    pub fn all_rows(&self) -> u64 {
        let counts = self.counts.lock().unwrap();
        counts.iter().filter(|(kind, _)| **kind != DOCUMENTS).map(|(_, count)| count).sum()
    }

    /// How many documents were read.
    #[allow(dead_code, reason = "not every test file uses it")]
    pub fn documents(&self) -> u64 {
        self.counts.lock().unwrap().get(&DOCUMENTS).copied().unwrap_or(0)
    }
}

fn count(counts: &Counts, space: Space, key: &[u8]) {
    let kind = match space {
        Space::Index => key.get(4).copied().unwrap_or(0),
        Space::Documents => DOCUMENTS,
        _ => return,
    };
    *counts.lock().unwrap().entry(kind).or_default() += 1;
}

impl Kv for CountingKv {
    fn snapshot<'a>(&'a self) -> Box<dyn View + 'a> {
        let is_owner = *self.owner.lock().unwrap() == Some(std::thread::current().id());
        let counts = if is_owner { Arc::clone(&self.counts) } else { Counts::default() };
        Box::new(CountingView { inner: self.inner.snapshot(), counts })
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), KvError> {
        self.inner.commit(batch, durability)
    }

    fn scratch_file(&self) -> Result<File, KvError> {
        self.inner.scratch_file()
    }

    fn sorted_file(&self, space: Space) -> Result<Option<Box<dyn SortedFile + '_>>, KvError> {
        self.inner.sorted_file(space)
    }

    fn ingest(&self, space: Space, files: Vec<FinishedFile>) -> Result<(), KvError> {
        self.inner.ingest(space, files)
    }

    fn flush(&self) -> Result<(), KvError> {
        self.inner.flush()
    }
}

struct CountingView<'a> {
    inner: Box<dyn View + 'a>,
    counts: Counts,
}

impl View for CountingView<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        count(&self.counts, space, key);
        self.inner.get(space, key)
    }

    fn scan<'a>(&'a self, space: Space, from: &[u8], to: &[u8], direction: Direction) -> Rows<'a> {
        let counts = Arc::clone(&self.counts);
        Box::new(self.inner.scan(space, from, to, direction).inspect(move |row| {
            if let Ok((key, _)) = row {
                count(&counts, space, key);
            }
        }))
    }
}
