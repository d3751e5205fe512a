//! Folding the changed reduce keys of a batch: each tree on its own, so ranges of keys may go side by side
//!
//! What becomes of a key hangs on its entries alone, and everything that depends on several keys is done afterwards, in
//! the order of the keys. So the rows are the same on any number of threads. Further threads only pay for many changes:
//! each makes the index's functions for itself.

use super::{Indexer, KeyReducer, join_all};
use crate::border::Borders;
use crate::cores::Cores;
use crate::error::IndexError;
use crate::faults::decode_key;
use crate::function::{FunctionError, FunctionShape, IndexFunction, SharedSource};
use crate::index::lock;
use crate::keys::Slot;
use crate::limits;
use crate::page_reader::PageReader;
use crate::reduce_tree::{Applied, ItemChange, ReduceTree, TreeWork};
use crate::stored_result::StoredResult;
use magpie_store::json::Json;
use magpie_store::kv::{Batch, View};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Ranges of keys for each thread, so that one that is done early finds more work.
const RANGES_PER_THREAD: usize = 4;

/// The changed entries of a reduce key.
pub(super) struct KeyChanges {
    pub reduce_key: Vec<u8>,
    /// In the order of their entry keys.
    pub changes: Vec<ItemChange>,
}

/// What became of a reduce key.
pub(super) struct FoldedKey {
    pub reduce_key: Vec<u8>,
    /// The values of its group-by fields.
    pub key: Vec<Json>,
    pub applied: Applied,
    /// Why it has no result.
    pub failure: Option<FunctionError>,
    /// Whether an output has another value in a group-by field.
    pub detached: bool,
}

/// What became of a range of keys.
pub(super) struct FoldedRange {
    pub keys: Vec<FoldedKey>,
    pub batch: Batch,
    pub work: TreeWork,
    /// The keys for which there was no memory.
    pub left: VecDeque<KeyChanges>,
}

/// Where an indexer gets further threads from.
pub(super) struct Helpers {
    pub source: SharedSource,
    pub cores: Arc<Cores>,
    pub is_allowed: bool,
    /// See [`limits::FOLD_CHANGES_MIN`].
    pub changes_min: usize,
    /// See [`limits::FOLD_BYTES_MAX`].
    pub bytes_max: usize,
}

impl Helpers {
    pub fn new(source: SharedSource, cores: Arc<Cores>) -> Self {
        let (changes_min, bytes_max) = (limits::FOLD_CHANGES_MIN, limits::FOLD_BYTES_MAX);
        Self { source, cores, is_allowed: true, changes_min, bytes_max }
    }

    /// How many further threads may be of use for these keys.
    pub fn useful(&self, keys: &VecDeque<KeyChanges>) -> usize {
        let changes: usize = keys.iter().map(|key| key.changes.len()).sum();
        if !self.is_allowed || changes < self.changes_min {
            return 0;
        }
        limits::FOLD_THREADS_MAX.min(keys.len()).saturating_sub(1)
    }
}

/// The trees of an index build: what all threads know.
#[derive(Clone, Copy)]
pub(super) struct Trees<'t> {
    pub shape: &'t FunctionShape,
    pub slot: Slot,
    pub borders: Borders,
}

impl Trees<'_> {
    /// Applies the changes of one key to its tree.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn fold(
        self,
        KeyChanges { reduce_key, changes }: KeyChanges,
        function: &mut dyn IndexFunction,
        (reader, batch, work): (&mut PageReader<'_>, &mut Batch, &mut TreeWork),
    ) -> Result<FoldedKey, IndexError> {
        let key = decode_key(&reduce_key)?;
        let group_by = self.shape.group_by.as_deref().unwrap_or_default();
        let mut reducer = KeyReducer {
            function,
            key: &key,
            finalizes: self.shape.finalizes,
            failure: None,
            detached: Some((group_by, false)),
        };
        let mut tree = ReduceTree { reader, reduce_key: &reduce_key, batch, work };
        let applied = tree.apply(changes, &mut reducer)?;
        let (failure, detached) = (reducer.failure, reducer.detached.is_some_and(|(_, detached)| detached));
        Ok(FoldedKey { reduce_key, key, applied, failure, detached })
    }

    /// Folds keys until there are `bytes_max` of what has to be kept.
    fn fold_range(
        self,
        view: &dyn View,
        function: &mut dyn IndexFunction,
        mut left: VecDeque<KeyChanges>,
        bytes_max: usize,
    ) -> Result<FoldedRange, IndexError> {
        let mut reader = PageReader::new(view, self.slot, self.borders);
        let (mut keys, mut batch, mut work) = (Vec::new(), Batch::new(), TreeWork::default());
        let mut results = 0;
        while results + batch.bytes() < bytes_max
            && let Some(changes) = left.pop_front()
        {
            let folded = self.fold(changes, function, (&mut reader, &mut batch, &mut work))?;
            let rows = [&folded.applied.before, &folded.applied.after].into_iter().flatten();
            results += rows.map(StoredResult::bytes).sum::<usize>();
            keys.push(folded);
        }
        Ok(FoldedRange { keys, batch, work, left })
    }

    /// Folds ranges of keys on this thread, with `function`, and on so many further ones; gives what became of each
    /// range, in order.
    ///
    /// # Errors
    /// The first one of any thread. A panic of one goes on here.
    pub fn fold_side_by_side(
        self,
        view: &dyn View,
        function: &mut dyn IndexFunction,
        keys: VecDeque<KeyChanges>,
        (helpers, further): (&Helpers, usize),
    ) -> Result<Vec<FoldedRange>, IndexError> {
        let ranges = ranges(keys, (further + 1) * RANGES_PER_THREAD);
        let bytes_max = helpers.bytes_max / ranges.len().max(1);
        let queue: Mutex<VecDeque<_>> = Mutex::new(ranges.into_iter().enumerate().collect());
        let work = |function: &mut dyn IndexFunction| {
            let mut done = Vec::new();
            loop {
                let Some((place, keys)) = lock(&queue).pop_front() else { return Ok(done) };
                match self.fold_range(view, function, keys, bytes_max) {
                    Ok(range) => done.push((place, range)),
                    Err(error) => {
                        // Nothing of the batch will be kept.
                        lock(&queue).clear();
                        return Err(error);
                    }
                }
            }
        };
        let help = || match helpers.source.create() {
            Ok(mut function) => work(function.as_mut()),
            // This thread's own functions could be made, so it goes without help.
            Err(_) => Ok(Vec::new()),
        };
        let mut done = std::thread::scope(|scope| {
            let spawn = || {
                let builder = std::thread::Builder::new().name("index fold".to_owned());
                builder.stack_size(limits::SCRIPT_STACK_BYTES).spawn_scoped(scope, help)
            };
            // Threads that cannot be started are done without.
            let threads: Vec<_> = (0..further).filter_map(|_| spawn().ok()).collect();
            let mut done = work(function)?;
            done.extend(join_all(threads)?.into_iter().flatten());
            Ok::<_, IndexError>(done)
        })?;
        done.sort_unstable_by_key(|(place, _)| *place);
        Ok(done.into_iter().map(|(_, range)| range).collect())
    }
}

/// Cuts keys into at most so many ranges of about as many changes each.
fn ranges(keys: VecDeque<KeyChanges>, wanted: usize) -> Vec<VecDeque<KeyChanges>> {
    let all: usize = keys.iter().map(|key| key.changes.len()).sum();
    let size = all.div_ceil(wanted.max(1));
    let mut ranges: Vec<VecDeque<KeyChanges>> = Vec::new();
    let mut room = 0;
    for key in keys {
        if room == 0 {
            ranges.push(VecDeque::new());
            room = size;
        }
        room = room.saturating_sub(key.changes.len());
        if let Some(range) = ranges.last_mut() {
            range.push_back(key);
        }
    }
    ranges
}

impl Indexer {
    /// Lets many changes of a batch be folded on further threads, as far as `cores` are idle. The functions that
    /// `source` makes must be this indexer's. The results do not depend on it.
    #[must_use]
    pub fn with_helpers(mut self, source: SharedSource, cores: Arc<Cores>) -> Self {
        self.helpers = Some(Helpers::new(source, cores));
        self
    }

    /// [`Self::with_helpers`] for fewer changes, and with less memory, than [`limits::FOLD_CHANGES_MIN`] and
    /// [`limits::FOLD_BYTES_MAX`].
    #[must_use]
    pub fn with_helpers_for(mut self, changes_min: usize, bytes_max: usize) -> Self {
        if let Some(helpers) = &mut self.helpers {
            (helpers.changes_min, helpers.bytes_max) = (changes_min, bytes_max);
        }
        self
    }

    /// Whether further threads may be taken for the next batches.
    pub(crate) fn allow_helpers(&mut self, is_allowed: bool) {
        if let Some(helpers) = &mut self.helpers {
            helpers.is_allowed = is_allowed;
        }
    }
}
