//! The second phase of a bulk build: sorted entries in, trees and results out, ranges of reduce keys side by side.

use super::run::{Merge, Run};
use super::tree::{TreeBuilder, TreeFiles};
use super::{Abort, BulkBuild, Gathered, Part, on_threads, put_rows};
use crate::error::IndexError;
use crate::faults::decode_key;
use crate::index::lock;
use crate::indexer::{Indexer, KeyReducer};
use crate::keys::Kind;
use crate::limits;
use crate::reduce_tree::{Applied, Item, finalize_root};
use crate::stored_result::StoredResult;
use magpie_store::kv::{FinishedFile, SortedFile};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ranges of keys for each thread, so that one that is done early finds more work.
const RANGES_PER_THREAD: usize = 4;

/// What the phase gives.
pub(super) struct Reduced<'d> {
    pub parts: Vec<Part<'d>>,
    pub files: Vec<FinishedFile>,
}

/// The range of keys from the first (inclusive) to the second (exclusive, or to the end).
type Range = (Vec<u8>, Option<Vec<u8>>);

impl<'b> BulkBuild<'b> {
    pub(super) fn reduce(&self, runs: &[Run]) -> Result<Reduced<'b>, IndexError> {
        let ranges = self.ranges(runs);
        let next = AtomicUsize::new(0);
        let files = Mutex::new(Vec::new());
        let threads = self.threads.min(ranges.len());
        let parts = on_threads(threads, || self.reduce_ranges(runs, &ranges, &next, &files))?;
        let files = std::mem::take(&mut *lock(&files));
        Ok(Reduced { parts, files })
    }

    /// Cuts the keys into ranges of about the same size, as far as the marks of the runs tell.
    fn ranges(&self, runs: &[Run]) -> Vec<Range> {
        let mut marks: Vec<&[u8]> = runs.iter().flat_map(Run::marks).collect();
        marks.sort_unstable();
        let wanted = self.threads * RANGES_PER_THREAD;
        let mut borders: Vec<Vec<u8>> = Vec::new();
        for part in 1..wanted {
            let Some(mark) = marks.get(marks.len() * part / wanted) else { break };
            if borders.last().is_none_or(|last| last.as_slice() < *mark) {
                borders.push(mark.to_vec());
            }
        }
        let mut from = Vec::new();
        let mut ranges = Vec::new();
        for border in borders {
            ranges.push((std::mem::replace(&mut from, border.clone()), Some(border)));
        }
        ranges.push((from, None));
        ranges
    }

    fn reduce_ranges(
        &self,
        runs: &[Run],
        ranges: &[Range],
        next: &AtomicUsize,
        files: &Mutex<Vec<FinishedFile>>,
    ) -> Result<Part<'b>, IndexError> {
        let mut abort = Abort(Some(&self.aborted));
        let mut indexer = self.indexer()?;
        let mut gathered = Gathered::of_build(self);
        let mut others = self.sorter();
        while let Some((from, to)) = ranges.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut merge = Merge::new(runs, from, to.as_deref())?;
            let (mut leaves, mut items, mut results) = (self.file()?, self.file()?, self.file()?);
            let mut trees = TreeFiles { leaves: leaves.as_mut(), items: items.as_mut() };
            let mut since_look = 0;
            while let Some(reduce_key) = merge.next_group()?.map(<[u8]>::to_vec) {
                self.build_key(
                    &reduce_key,
                    &mut merge,
                    &mut indexer,
                    (&mut trees, results.as_mut()),
                    &mut gathered,
                )?;
                if !gathered.batch.is_empty() {
                    put_rows(std::mem::take(&mut gathered.batch), &mut others)?;
                }
                since_look += 1;
                if since_look >= limits::BULK_CHUNK_DOCUMENTS_MAX {
                    since_look = 0;
                    if self.is_over() {
                        break;
                    }
                    std::thread::yield_now();
                }
            }
            for file in [leaves, items, results] {
                lock(files).extend(file.finish()?);
            }
        }
        abort.0 = None;
        Ok(Part { progress: gathered.progress, losses: gathered.losses, others })
    }

    /// Builds the tree of one reduce key from its entries, and its result.
    fn build_key(
        &self,
        reduce_key: &[u8],
        merge: &mut Merge<'_>,
        indexer: &mut Indexer,
        (trees, results): (&mut TreeFiles<'_>, &mut dyn SortedFile),
        gathered: &mut Gathered<'_>,
    ) -> Result<(), IndexError> {
        let slot = self.slot;
        let key = decode_key(reduce_key)?;
        let group_by = indexer.shape.group_by.as_deref().unwrap_or_default();
        let mut reducer = KeyReducer {
            function: indexer.function.as_mut(),
            key: &key,
            finalizes: indexer.shape.finalizes,
            failure: None,
            detached: Some((group_by, false)),
        };
        let mut builder = TreeBuilder::new(slot, indexer.borders, reduce_key);
        while let Some((entry, value)) = merge.next_item()? {
            let entry = Item { key: entry.to_vec(), value: value.to_vec() };
            builder.push(entry, &mut reducer, trees)?;
        }
        let (height, output) = builder.finish(&mut reducer, trees)?;
        let finalized = finalize_root(&output, None, &mut reducer)?;
        let (failure, detached) = (reducer.failure, reducer.detached.is_some_and(|(_, detached)| detached));
        let result = StoredResult { height, output, finalized };
        results.put(&slot.key(Kind::Result, reduce_key), &result.encode())?;
        gathered.progress.detached |= detached;
        let applied = Applied { before: None, after: Some(result) };
        indexer.settle(reduce_key, &key, &applied, failure, gathered)
    }
}
