//! One indexing batch (steps 4 to 7 of the data's way): change feed -> map -> difference -> trees -> progress.
//!
//! Everything a batch changes, its progress included, goes out in one [`Batch`], so every document is folded exactly
//! once whatever crashes when. A document is mapped as the snapshot has it now: what it was when its change was
//! written does not matter, only that nothing is missed. Changes of loaded documents come in the same feed and have
//! their users mapped again (`references.rs`). Documents made of results go out with the batch (`output/`).

mod bulk;
mod folding;
mod mapping;
mod reduction;
mod repair;

use bulk::join_all;
pub use bulk::{Built, BulkBuild, Joined, Scans};
use folding::Helpers;
pub(crate) use mapping::{EncodedOutput, encode, maps};
pub(crate) use reduction::KeyReducer;

use crate::border::Borders;
use crate::error::IndexError;
use crate::function::{FunctionShape, IndexFunction, LoadedCollections, MappedCollections};
use crate::keys::Slot;
use crate::limits;
use crate::losses::LossChanges;
use crate::output::{OutputCollection, ReferenceChanges};
use crate::performance::BatchCounts;
use crate::progress::{OutputPhase, Progress};
use crate::reduce_tree::{ItemChange, TreeWork};
use crate::references::{self, BatchLoads, PendingLoad};
use crate::terms::TermChanges;
use crate::worker::Clock;
use magpie_store::kv::Batch;
use magpie_store::{
    Change, CollectionFilter, Command, DatabaseView, DocumentId, DocumentReader, Etag, Timestamp,
};
use std::collections::{HashMap, HashSet};

/// What one batch did.
pub struct IndexedBatch {
    /// The rows to commit; `None` when no document of the index's collections changed.
    pub batch: Option<Batch>,
    /// The documents to write with them.
    pub documents: Vec<Command>,
    /// The counters once the batch is committed.
    pub progress: Progress,
    /// The tree work of the batch.
    pub work: TreeWork,
    /// How many documents it took in.
    pub documents_seen: u64,
    /// On how many threads its reduce keys were folded.
    pub threads: usize,
    /// What it did in numbers.
    pub counts: BatchCounts,
    /// When all was mapped, of an indexer with a clock.
    pub mapped_at: Option<Timestamp>,
}

/// Runs the batches of one index build, one after the other.
pub struct Indexer {
    slot: Slot,
    shape: FunctionShape,
    mapped: CollectionFilter,
    loaded: Option<CollectionFilter>,
    feed: CollectionFilter,
    borders: Borders,
    function: Box<dyn IndexFunction>,
    output: Option<OutputCollection>,
    documents_max: usize,
    clock: Option<Clock>,
    helpers: Option<Helpers>,
}

/// The changes of one batch, gathered before the trees are touched.
struct Gathered<'v> {
    view: &'v DatabaseView<'v>,
    reader: DocumentReader<'v>,
    batch: Batch,
    documents: Vec<Command>,
    document_bytes: usize,
    progress: Progress,
    /// The changed entries of each reduce key, in no order.
    trees: HashMap<Vec<u8>, Vec<ItemChange>>,
    emitted_bytes: usize,
    losses: LossChanges,
    terms: TermChanges,
    references: ReferenceChanges,
    loads: BatchLoads<'v>,
    /// The documents that were mapped in this batch and may come again in it, by lower-cased id.
    seen: HashSet<Box<str>>,
    /// How many documents were mapped in this batch.
    mapped: usize,
    read_bytes: usize,
    counts: BatchCounts,
    /// On how many threads reduce keys are folded.
    threads: usize,
    now: Timestamp,
}

/// The documents that an index maps.
#[must_use]
pub fn filter_of(collections: &MappedCollections) -> CollectionFilter {
    match collections {
        MappedCollections::All => CollectionFilter::All,
        MappedCollections::Named(names) => CollectionFilter::Named(names.clone()),
    }
}

/// The documents that an index loads, if it loads any.
#[must_use]
pub fn loaded_filter_of(loads: &LoadedCollections) -> Option<CollectionFilter> {
    match loads {
        LoadedCollections::None => None,
        LoadedCollections::Named(names) => Some(CollectionFilter::Named(names.clone())),
        LoadedCollections::All => Some(CollectionFilter::All),
    }
}

/// The feed that an index reads: the changes of the documents it maps and of those it loads.
#[must_use]
pub fn feed_of(shape: &FunctionShape) -> CollectionFilter {
    match (filter_of(&shape.collections), loaded_filter_of(&shape.loads)) {
        (mapped, None) => mapped,
        (CollectionFilter::Named(mut names), Some(CollectionFilter::Named(loaded))) => {
            names.extend(loaded);
            CollectionFilter::Named(names)
        }
        _ => CollectionFilter::All,
    }
}

impl Indexer {
    /// An indexer for the rows of `slot`. `function` must have been made on this thread.
    #[must_use]
    pub fn new(slot: Slot, shape: FunctionShape, borders: Borders, function: Box<dyn IndexFunction>) -> Self {
        Self {
            slot,
            mapped: filter_of(&shape.collections),
            loaded: loaded_filter_of(&shape.loads),
            feed: feed_of(&shape),
            shape,
            borders,
            function,
            output: None,
            documents_max: limits::BATCH_DOCUMENTS_MAX,
            clock: None,
            helpers: None,
        }
    }

    /// Takes at most this many documents into one batch. The results do not depend on it.
    #[must_use]
    pub fn with_documents_max(mut self, documents_max: usize) -> Self {
        self.documents_max = documents_max.max(1);
        self
    }

    /// [`Self::with_documents_max`] between two batches; gives what it was.
    pub(crate) fn set_documents_max(&mut self, documents_max: usize) -> usize {
        std::mem::replace(&mut self.documents_max, documents_max.max(1))
    }

    /// Tells when a batch has mapped its documents.
    #[must_use]
    pub(crate) fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Writes the results as documents of a collection, too.
    #[must_use]
    pub(crate) fn with_output(mut self, output: Option<OutputCollection>) -> Self {
        self.output = output;
        self
    }

    /// Indexes the next changes after `progress`.
    ///
    /// A batch whose rows would be too many is done again with fewer documents.
    ///
    /// # Errors
    /// When the store fails or a row is damaged; a failing script is recorded in the batch instead.
    pub fn run_batch(
        &mut self,
        view: &DatabaseView<'_>,
        progress: Progress,
        now: Timestamp,
    ) -> Result<IndexedBatch, IndexError> {
        let mut documents_max = self.documents_max;
        loop {
            match self.try_batch(view, progress, now, documents_max)? {
                Some(indexed) => return Ok(indexed),
                None => documents_max = documents_max.div_ceil(8),
            }
        }
    }

    /// One batch of at most `documents_max` documents; `None` when it has more than one and its rows are too many.
    fn try_batch(
        &mut self,
        view: &DatabaseView<'_>,
        progress: Progress,
        now: Timestamp,
        documents_max: usize,
    ) -> Result<Option<IndexedBatch>, IndexError> {
        let newest = view.last_etag();
        let mut gathered = Gathered::new(view, progress, now);
        let pending = match &self.loaded {
            Some(_) => PendingLoad::read(view.kv(), self.slot)?,
            None => None,
        };
        let was_pending = pending.is_some();
        let mut cut = match pending {
            Some(pending) => !self.map_users(pending, true, documents_max, &mut gathered)?,
            None => false,
        };
        let changes = view.changes_after(&self.feed, gathered.progress.etag, documents_max)?;
        if changes.is_empty() && !was_pending {
            let progress = Progress { etag: newest.max(progress.etag), ..progress };
            return Ok(Some(IndexedBatch {
                batch: None,
                documents: Vec::new(),
                progress,
                work: TreeWork::default(),
                documents_seen: 0,
                threads: 1,
                counts: BatchCounts::default(),
                mapped_at: None,
            }));
        }
        for change in &changes {
            cut = cut || gathered.is_full(documents_max);
            if cut {
                break;
            }
            cut = !self.take_change(change, documents_max, &mut gathered)?;
        }
        if changes.len() < documents_max && !cut {
            gathered.progress.etag = newest.max(gathered.progress.etag);
        }
        let mapped_at = self.clock.as_ref().map(|clock| clock());
        let work = self.reduce(&mut gathered)?;
        let bytes = gathered.batch.bytes() + gathered.document_bytes;
        if bytes > limits::BATCH_OUTPUT_BYTES_MAX && gathered.mapped > 1 {
            return Ok(None);
        }
        gathered.progress.indexed_at = u64::try_from(now.0).unwrap_or(0);
        Ok(Some(IndexedBatch { mapped_at, ..self.finish(gathered, work)? }))
    }

    /// Adds to the rows of a batch what depends on all of them.
    fn finish(&self, gathered: Gathered<'_>, work: TreeWork) -> Result<IndexedBatch, IndexError> {
        let writes = self.writes_documents(&gathered.progress);
        let Gathered {
            view,
            mut batch,
            mut documents,
            progress,
            losses,
            terms,
            references,
            mapped,
            counts,
            threads,
            ..
        } = gathered;
        losses.finish(view.kv(), self.slot, &mut batch)?;
        terms.finish(view.kv(), self.slot, &mut batch)?;
        if let Some(output) = &self.output {
            documents.extend(output.finish(view, writes, references, &mut batch)?);
        }
        progress.write(self.slot, &mut batch);
        let documents_seen = mapped as u64;
        Ok(IndexedBatch {
            batch: Some(batch),
            documents,
            progress,
            work,
            documents_seen,
            threads,
            counts,
            mapped_at: None,
        })
    }

    /// Takes one change of the feed in: the document itself if it is mapped, its users if it is loaded. Gives `false`
    /// when the users did not all fit and wait for the next batch.
    fn take_change(
        &mut self,
        change: &Change,
        documents_max: usize,
        gathered: &mut Gathered<'_>,
    ) -> Result<bool, IndexError> {
        if self.mapped.contains(&change.collection) {
            self.map_once(&change.id, change.first, gathered)?;
        }
        let is_loaded = self.loaded.as_ref().is_some_and(|loaded| loaded.contains(&change.collection));
        if is_loaded {
            let pending =
                PendingLoad { etag: change.etag, loaded: change.id.key().into(), after: Box::default() };
            return self.map_users(pending, false, documents_max, gathered);
        }
        gathered.progress.etag = change.etag;
        Ok(true)
    }

    /// Maps the users of a loaded document, those behind `pending.after`. Progress reaches the change when all are
    /// done; else the rest is left pending and this gives `false`. `resumed` tells whether it was left pending before.
    fn map_users(
        &mut self,
        mut pending: PendingLoad,
        resumed: bool,
        documents_max: usize,
        gathered: &mut Gathered<'_>,
    ) -> Result<bool, IndexError> {
        let view = gathered.view;
        let after = (!pending.after.is_empty()).then(|| pending.after.clone());
        for user in references::users(view.kv(), self.slot, &pending.loaded, after.as_deref()) {
            if gathered.is_full(documents_max) {
                pending.write(self.slot, &mut gathered.batch);
                return Ok(false);
            }
            let user = user?;
            self.map_once(&DocumentId::new(&user)?, false, gathered)?;
            pending.after = user;
        }
        if resumed {
            PendingLoad::clear(self.slot, &mut gathered.batch);
        }
        gathered.progress.etag = gathered.progress.etag.max(pending.etag);
        Ok(true)
    }

    fn map_once(
        &mut self,
        id: &DocumentId,
        first: bool,
        gathered: &mut Gathered<'_>,
    ) -> Result<(), IndexError> {
        // A first write stands in the feed once, and nothing that was mapped before can have loaded for it.
        let comes_once = first && self.loaded.is_none();
        if comes_once || gathered.seen.insert(id.key().into()) {
            gathered.mapped += 1;
            gathered.read_bytes += self.map_document(id, first, gathered)?;
        }
        Ok(())
    }

    /// Whether documents are written when results change.
    fn writes_documents(&self, progress: &Progress) -> bool {
        self.output.is_some() && matches!(progress.output, OutputPhase::Syncing | OutputPhase::Live)
    }
}

impl<'v> Gathered<'v> {
    fn new(view: &'v DatabaseView<'v>, progress: Progress, now: Timestamp) -> Self {
        Self {
            view,
            reader: view.reader(),
            batch: Batch::new(),
            documents: Vec::new(),
            document_bytes: 0,
            progress,
            trees: HashMap::new(),
            emitted_bytes: 0,
            losses: LossChanges::default(),
            terms: TermChanges::default(),
            references: ReferenceChanges::default(),
            loads: BatchLoads::new(view),
            seen: HashSet::new(),
            mapped: 0,
            read_bytes: 0,
            counts: BatchCounts::default(),
            threads: 1,
            now,
        }
    }

    /// Has the terms follow a changed result or map output, given by its stored texts.
    fn change_terms(
        &mut self,
        slot: Slot,
        subject: &[u8],
        before: Option<&[u8]>,
        after: Option<&[u8]>,
    ) -> Result<(), IndexError> {
        let place = (self.view.kv(), slot, &self.progress);
        if !self.terms.change(place, subject, (before, after), &mut self.batch)? {
            self.progress.terms = 0;
        }
        Ok(())
    }

    fn is_full(&self, documents_max: usize) -> bool {
        self.mapped >= documents_max || self.read_bytes + self.emitted_bytes > limits::BATCH_BYTES_MAX
    }
}

/// The newest change that matters to an index, as of a snapshot: what [`Progress::etag`] must reach.
///
/// # Errors
/// When the store fails.
pub fn target_etag(view: &DatabaseView<'_>, feed: &CollectionFilter) -> Result<Etag, IndexError> {
    Ok(view.last_etag_of(feed)?)
}
