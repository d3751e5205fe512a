//! The bulk build: an index that has no rows yet takes in many documents at once, with the same rows as batch by batch.
//!
//! Two phases, each on several threads. `map`: the documents in the order of their ids go through the map; what belongs
//! to a document becomes rows at once, its entries go into sorters (`sorter.rs`). `reduce`: the sorted entries of each
//! reduce key become a tree bottom-up (`tree.rs`), ranges of keys side by side. All rows go to sorted files, which the
//! store takes in as one batch together with the progress: until then the index has no rows at all, so a build that is
//! cut begins anew. Memory is bounded by [`limits::BULK_SORT_BYTES_ALL_MAX`], the chunks on their
//! way (`scan.rs`) and the pages in work.
//!
//! Indexes whose maps load documents are built batch by batch.

mod map;
mod reduce;
mod run;
mod scan;
mod sorter;
mod tree;

use super::{Gathered, Indexer, filter_of, loaded_filter_of};
use crate::border::Borders;
use crate::error::IndexError;
use crate::function::{FunctionShape, SharedSource};
use crate::keys::Slot;
use crate::limits;
use crate::losses::LossChanges;
use crate::output::OutputCollection;
use crate::progress::Progress;
use magpie_store::kv::{Batch, Change, FinishedFile, SortedFile};
use magpie_store::{CollectionFilter, Database, DatabaseView, StoreError, Timestamp};
use run::{Merge, Run};
pub use scan::{Joined, Scans};
use sorter::{Room, Sorter};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

/// A bulk build of the rows of a slot that has none.
pub struct BulkBuild<'b> {
    source: SharedSource,
    slot: Slot,
    borders: Borders,
    mapped: CollectionFilter,
    output: Option<OutputCollection>,
    database: &'b Database,
    view: &'b DatabaseView<'b>,
    joined: Option<Joined>,
    now: Timestamp,
    threads: usize,
    sort_bytes_max: usize,
    builds: Option<&'b AtomicUsize>,
    told: &'b (dyn Fn(u64) + Sync),
    is_stopped: &'b (dyn Fn() -> bool + Sync),
    /// Set when a thread of the build has failed.
    aborted: AtomicBool,
}

/// A build that is ready to be taken in.
pub struct Built {
    /// All rows, for [`Database::ingest_derived`].
    pub files: Vec<FinishedFile>,
    /// The counters, which are among the rows.
    pub progress: Progress,
}

/// What a thread gives besides its files.
struct Part<'d> {
    progress: Progress,
    losses: LossChanges,
    /// Rows of other kinds than those that come in order: errors, lost numbers, names of output documents.
    others: Sorter<'d>,
}

/// Sets a flag unless the work is done when it is dropped.
struct Abort<'a>(Option<&'a AtomicBool>);

impl Drop for Abort<'_> {
    fn drop(&mut self) {
        if let Some(aborted) = self.0 {
            aborted.store(true, Ordering::Release);
        }
    }
}

impl<'b> BulkBuild<'b> {
    /// A build on one thread of all that is in `view`, whose functions load nothing.
    #[must_use]
    pub fn new(
        source: SharedSource,
        slot: Slot,
        borders: Borders,
        (database, view): (&'b Database, &'b DatabaseView<'b>),
        now: Timestamp,
    ) -> Self {
        Self {
            mapped: filter_of(&source.shape().collections),
            source,
            slot,
            borders,
            output: None,
            database,
            view,
            joined: None,
            now,
            threads: 1,
            sort_bytes_max: limits::BULK_SORT_BYTES_MAX,
            builds: None,
            told: &|_| {},
            is_stopped: &|| false,
            aborted: AtomicBool::new(false),
        }
    }

    /// Whether an index without rows is better built in bulk: it loads nothing, and the snapshot has many documents that
    /// it maps, beside not too many others, which are all read.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn is_due(shape: &FunctionShape, view: &DatabaseView<'_>) -> Result<bool, IndexError> {
        if loaded_filter_of(&shape.loads).is_some() {
            return Ok(false);
        }
        let mapped = filter_of(&shape.collections);
        let (mut ours, mut all) = (0, 0);
        for stats in view.collections()? {
            all += stats.documents;
            ours += if mapped.contains(&stats.collection) { stats.documents } else { 0 };
        }
        Ok(ours >= limits::BULK_DOCUMENTS_MIN && ours >= all / limits::BULK_SHARE_MIN)
    }

    /// Works on so many threads. The rows do not depend on it.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, limits::BULK_THREADS_MAX);
        self
    }

    /// Sorts within about so much memory, in bytes. The rows do not depend on it.
    #[must_use]
    pub fn with_sort_bytes_max(mut self, bytes: usize) -> Self {
        self.sort_bytes_max = bytes;
        self
    }

    /// Shares [`limits::BULK_SORT_BYTES_ALL_MAX`] with the builds that are counted there, itself included.
    #[must_use]
    pub(crate) fn with_builds(mut self, builds: &'b AtomicUsize) -> Self {
        self.builds = Some(builds);
        self
    }

    /// Calls `told` with the number of documents that were mapped since the last call, from any thread, and stops as
    /// soon as `is_stopped`.
    #[must_use]
    pub fn with_watch(
        mut self,
        told: &'b (dyn Fn(u64) + Sync),
        is_stopped: &'b (dyn Fn() -> bool + Sync),
    ) -> Self {
        (self.told, self.is_stopped) = (told, is_stopped);
        self
    }

    /// Reads the documents with others, as of another snapshot than that of the build.
    #[must_use]
    pub fn with_scan(mut self, joined: Option<Joined>) -> Self {
        self.joined = joined;
        self
    }

    /// Names the documents that its results become, too.
    #[must_use]
    pub(crate) fn with_output(mut self, output: Option<OutputCollection>) -> Self {
        self.output = output;
        self
    }

    /// Builds all rows; `None` when it was told to stop.
    ///
    /// # Errors
    /// When the store fails or the functions do not compile; nothing is stored then.
    pub fn run(&self) -> Result<Option<Built>, IndexError> {
        let mut files = Vec::new();
        let map::Mapped { parts, runs, by_document } = self.map()?;
        files.extend(by_document);
        let mut others = Vec::new();
        let read = self.joined.as_ref().and_then(Joined::etag);
        let mut progress =
            Progress { etag: read.unwrap_or_else(|| self.view.last_etag()), ..Progress::default() };
        let mut losses = LossChanges::default();
        let mut take = |part: Part<'b>| -> Result<(), IndexError> {
            add(&mut progress, &part.progress);
            losses.merge(part.losses);
            others.extend(part.others.finish());
            Ok(())
        };
        parts.into_iter().try_for_each(&mut take)?;
        if self.is_over() {
            return Ok(None);
        }
        if self.source.shape().group_by.is_some() {
            let reduced = self.reduce(&runs)?;
            files.extend(reduced.files);
            reduced.parts.into_iter().try_for_each(&mut take)?;
        }
        if self.is_over() {
            return Ok(None);
        }
        let mut counts = self.sorter();
        let mut batch = Batch::new();
        losses.finish(self.view.kv(), self.slot, &mut batch)?;
        put_rows(batch, &mut counts)?;
        others.extend(counts.finish());
        files.extend(self.file_of(&others)?);
        progress.indexed_at = u64::try_from(self.now.0).unwrap_or(0);
        files.extend(self.progress_file(&progress)?);
        Ok(Some(Built { files, progress }))
    }

    fn is_over(&self) -> bool {
        (self.is_stopped)() || self.aborted.load(Ordering::Acquire)
    }

    /// An indexer for one thread, with functions of its own.
    fn indexer(&self) -> Result<Indexer, IndexError> {
        let function = self.source.create().map_err(IndexError::Function)?;
        Ok(Indexer::new(self.slot, self.source.shape().clone(), self.borders, function)
            .with_output(self.output.clone()))
    }

    fn sorter(&self) -> Sorter<'b> {
        let (bytes_max, builds) = (self.sort_bytes_max, self.builds);
        Sorter::new(self.database, Room { sorters: self.threads, bytes_max, builds })
    }

    fn file(&self) -> Result<Box<dyn SortedFile + 'b>, IndexError> {
        self.database.sorted_file()?.ok_or_else(|| {
            IndexError::Store(StoreError::Corrupt("this store takes no sorted files".to_owned()))
        })
    }

    /// The rows of kinds that come in no order, as one file.
    fn file_of(&self, runs: &[Run]) -> Result<Option<FinishedFile>, IndexError> {
        let mut file = self.file()?;
        let mut merge = Merge::new(runs, &[], None)?;
        while let Some(key) = merge.next_group()?.map(<[u8]>::to_vec) {
            if let Some((_, value)) = merge.next_item()? {
                file.put(&key, value)?;
            }
        }
        Ok(file.finish()?)
    }

    fn progress_file(&self, progress: &Progress) -> Result<Option<FinishedFile>, IndexError> {
        let mut batch = Batch::new();
        progress.write(self.slot, &mut batch);
        let mut file = self.file()?;
        for change in batch.into_changes() {
            if let Change::Put(_, key, value) = change {
                file.put(&key, &value)?;
            }
        }
        Ok(file.finish()?)
    }
}

impl<'v> Gathered<'v> {
    /// What a thread of a build gathers.
    fn of_build(build: &BulkBuild<'v>) -> Self {
        Self::new(build.view, Progress::default(), build.now)
    }
}

/// Moves the rows of a batch into a sorter. There are no deletions: the index had no rows.
fn put_rows(batch: Batch, rows: &mut Sorter<'_>) -> Result<(), IndexError> {
    for change in batch.into_changes() {
        if let Change::Put(_, key, value) = change {
            rows.push(&key, &[], &value)?;
        }
    }
    Ok(())
}

/// Adds the counters of a part.
fn add(progress: &mut Progress, part: &Progress) {
    progress.map_attempts += part.map_attempts;
    progress.reduce_attempts += part.reduce_attempts;
    progress.failing_documents += part.failing_documents;
    progress.failing_keys += part.failing_keys;
    progress.results += part.results;
    progress.lossy += part.lossy;
    progress.outputs_max = progress.outputs_max.max(part.outputs_max);
    progress.detached |= part.detached;
}

/// Has `work` done on so many threads at a time, each with a stack for scripts; gives what each gave, or the first error. A
/// panic goes on in the caller. Threads that cannot be started are done without, but for the first.
fn on_threads<T: Send>(
    count: usize,
    work: impl Fn() -> Result<T, IndexError> + Sync,
) -> Result<Vec<T>, IndexError> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..count.max(1) {
            let builder = std::thread::Builder::new().name("index build".to_owned());
            match builder.stack_size(limits::SCRIPT_STACK_BYTES).spawn_scoped(scope, &work) {
                Ok(thread) => threads.push(thread),
                Err(_) if !threads.is_empty() => break,
                Err(error) => return Err(IndexError::BuildThread(error)),
            }
        }
        join_all(threads)
    })
}

/// The results of all threads, or the first error; a panic goes on in the caller.
pub(in crate::indexer) fn join_all<T>(
    threads: Vec<ScopedJoinHandle<'_, Result<T, IndexError>>>,
) -> Result<Vec<T>, IndexError> {
    let mut results = Vec::with_capacity(threads.len());
    let mut panic = None;
    let mut failure = None;
    for thread in threads {
        match thread.join() {
            Ok(Ok(result)) => results.push(result),
            Ok(Err(error)) => failure = failure.or(Some(error)),
            Err(cause) => panic = panic.or(Some(cause)),
        }
    }
    match (panic, failure) {
        (Some(cause), _) => std::panic::resume_unwind(cause),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(results),
    }
}
