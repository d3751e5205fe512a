//! One live build of one index: its definition, its progress, and the switches of its worker.

use crate::auto::Life;
use crate::border::Borders;
use crate::calls::Calls;
use crate::definition::{IndexDefinition, IndexState, REPLACEMENT_PREFIX};
use crate::error::IndexError;
use crate::events::{Events, IndexEventKind};
use crate::faults::{Fault, read_faults};
use crate::function::{FunctionShape, RunningScripts, SharedSource};
use crate::indexer::{feed_of, filter_of, target_etag};
use crate::keys::Slot;
use crate::laws::LawReport;
use crate::limits;
use crate::losses::{Loss, read_losses};
use crate::output::OutputCollection;
use crate::pace::Pace;
use crate::performance::{BatchPerformance, Performance};
use crate::progress::{OutputPhase, Progress};
use crate::registry::records;
use crate::signature::{Signature, canonical_definition};
use crate::starts::Start;
use crate::terms::TermField;
use crate::verify::Repair;
use magpie_store::{Collection, CollectionFilter, Database, DatabaseView, Etag, Timestamp};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What an index is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexStatus {
    /// Following the change feed.
    Running,
    /// Stopped until it is resumed or the server restarts; answers queries.
    Paused,
    /// Stopped by its definition; answers queries.
    Disabled,
    /// Not to be trusted: too much fails, or its thread ended. Queries are refused with this text.
    Failed(String),
}

/// What those who wait can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reached {
    etag: Etag,
    /// The newest etag after the last commit, when the output documents are those of the results (or there are none).
    outputs: Option<Etag>,
    /// The worker has ended: deleted, replaced, failed or the server stops.
    ended: bool,
}

/// The switches of the worker thread.
#[derive(Debug, Default)]
pub(crate) struct Control {
    pub stop: bool,
    pub paused: bool,
    /// Whether the worker thread is alive.
    pub running: bool,
    /// The newest etag the database told of.
    pub newest: Etag,
    /// What the worker is to mend before anything else.
    pub repairs: Vec<Repair>,
    /// Whether it is mending.
    pub repairing: bool,
    /// The fields that queries would have terms of.
    pub wanted: Vec<TermField>,
    /// Whether it is making terms.
    pub making: bool,
}

/// One live build of one index. Shared by the registry, its worker and queries.
pub struct Index {
    pub(crate) source: SharedSource,
    /// A definition row that names this build, to know it again without reading it.
    pub(crate) known_row: Mutex<Vec<u8>>,
    /// Where it stands in a state that is known by number.
    known_standing: Mutex<Option<(u64, Standing)>>,
    pub(crate) canonical: String,
    pub(crate) slot: Slot,
    pub(crate) control: Mutex<Control>,
    pub(crate) wake: Condvar,
    /// Held by the worker while it commits a batch; `false` once the index has been told to stop. So nothing of a
    /// worker that is still busy with a script can reach the store after its rows were removed.
    pub(crate) may_commit: Mutex<bool>,
    pub(crate) start: Start,
    pub(crate) life: Life,
    name: RwLock<String>,
    definition: RwLock<Arc<IndexDefinition>>,
    output: Option<OutputCollection>,
    mapped: CollectionFilter,
    feed: CollectionFilter,
    progress: Mutex<Progress>,
    pace: Mutex<Pace>,
    performance: Mutex<Performance>,
    /// Documents that a bulk build has mapped so far; 0 when none runs.
    bulk_mapped: AtomicU64,
    failure: Mutex<Option<String>>,
    reached: watch::Sender<Reached>,
    worker: Mutex<Option<JoinHandle<()>>>,
    calls: Calls,
    laws: Mutex<Option<Arc<LawReport>>>,
    /// Whom to tell what happens; set when its worker is launched.
    pub(crate) events: OnceLock<Arc<Events>>,
}

/// What a snapshot tells about a build that each query asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// Whether it is one of the builds that its index has.
    pub is_named: bool,
    pub progress: Progress,
    pub is_behind: bool,
}

/// The counters of an index as of a snapshot.
#[derive(Debug, Clone)]
pub struct IndexStatistics {
    /// The counters of its last committed batch.
    pub progress: Progress,
    /// Whether documents of its collections wait to be indexed.
    pub is_behind: bool,
    /// What it is doing.
    pub status: IndexStatus,
}

impl Index {
    /// # Errors
    /// [`IndexError::InvalidDefinition`] and [`IndexError::Pattern`] when the output cannot be used.
    pub(crate) fn new(
        name: String,
        definition: IndexDefinition,
        source: SharedSource,
        slot: Slot,
    ) -> Result<Self, IndexError> {
        let canonical = canonical_definition(&definition, source.as_ref());
        let paused = definition.state == IndexState::Disabled;
        Ok(Self {
            output: OutputCollection::new(slot, &definition)?,
            mapped: filter_of(&source.shape().collections),
            feed: feed_of(source.shape()),
            calls: Calls::new(Arc::clone(&source)),
            source,
            known_row: Mutex::default(),
            known_standing: Mutex::default(),
            canonical,
            slot,
            control: Mutex::new(Control { paused, ..Control::default() }),
            wake: Condvar::new(),
            may_commit: Mutex::new(true),
            start: Start::new(slot),
            life: Life::default(),
            name: RwLock::new(name),
            definition: RwLock::new(Arc::new(definition)),
            progress: Mutex::default(),
            pace: Mutex::default(),
            performance: Mutex::default(),
            bulk_mapped: AtomicU64::new(0),
            failure: Mutex::default(),
            reached: watch::Sender::new(Reached { etag: Etag(0), outputs: None, ended: false }),
            worker: Mutex::default(),
            laws: Mutex::default(),
            events: OnceLock::new(),
        })
    }

    /// Whether it is built next to the index it will replace.
    #[must_use]
    pub fn is_replacement(&self) -> bool {
        self.name().starts_with(REPLACEMENT_PREFIX)
    }

    /// The collections that its results become documents of: the output documents' first, then that of the documents
    /// that reference them. Empty without an output.
    pub fn output_collections(&self) -> impl Iterator<Item = &Collection> {
        self.output.iter().flat_map(OutputCollection::collections)
    }

    pub(crate) fn output(&self) -> Option<&OutputCollection> {
        self.output.as_ref()
    }

    /// Its name; a replacement's starts with `ReplacementOf/` until it takes over.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn rename(&self, name: &str) {
        name.clone_into(&mut self.name.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Its definition as it was put last.
    #[must_use]
    pub fn definition(&self) -> Arc<IndexDefinition> {
        self.definition.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_definition(&self, definition: IndexDefinition) {
        *self.definition.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(definition);
    }

    /// Whether it reduces.
    #[must_use]
    pub fn is_map_reduce(&self) -> bool {
        self.source.shape().group_by.is_some()
    }

    /// What its functions take in and give out.
    #[must_use]
    pub fn shape(&self) -> &FunctionShape {
        self.source.shape()
    }

    /// How its scripts run; `None` for an index in Rust.
    #[must_use]
    pub fn running_scripts(&self) -> Option<RunningScripts> {
        self.source.running()
    }

    /// Its functions, callable from any thread that may block.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// What the last law check found, if there was one since the server started.
    #[must_use]
    pub fn laws(&self) -> Option<Arc<LawReport>> {
        lock(&self.laws).clone()
    }

    pub(crate) fn set_laws(&self, report: Arc<LawReport>) {
        *lock(&self.laws) = Some(report);
    }

    /// The documents that it maps.
    #[must_use]
    pub fn mapped(&self) -> &CollectionFilter {
        &self.mapped
    }

    /// The documents whose changes it follows: those it maps and those it loads.
    #[must_use]
    pub fn feed(&self) -> &CollectionFilter {
        &self.feed
    }

    /// The number under which this build keeps its rows.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The border rule of its reduce trees.
    #[must_use]
    pub fn borders(&self) -> Borders {
        Borders::new(&Signature::of(&self.canonical))
    }

    /// Whether documents of its collections wait to be indexed, as of the snapshot. What other indexes of its chain have
    /// still to do does not count; see [`crate::Registry::is_stale`].
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_behind(&self, view: &DatabaseView<'_>) -> Result<bool, IndexError> {
        Ok(self.standing(view)?.is_behind)
    }

    /// Where it stands as of the snapshot; read once while nothing is committed.
    pub(crate) fn standing(&self, view: &DatabaseView<'_>) -> Result<Standing, IndexError> {
        let version = view.kv().version();
        let known = *lock(&self.known_standing);
        if let (Some(version), Some((of, standing))) = (version, known)
            && of == version
        {
            return Ok(standing);
        }
        let progress = Progress::read(view.kv(), self.slot)?;
        let is_behind = target_etag(view, &self.feed)? > progress.etag;
        let standing = Standing { is_named: records::names(view, self)?, progress, is_behind };
        if let Some(version) = version {
            *lock(&self.known_standing) = Some((version, standing));
        }
        Ok(standing)
    }

    /// Whether its output documents are not yet those of its results, as of the snapshot.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_output_behind(&self, view: &DatabaseView<'_>) -> Result<bool, IndexError> {
        if self.output.is_none() {
            return Ok(false);
        }
        Ok(Progress::read(view.kv(), self.slot)?.output != OutputPhase::Live)
    }

    /// The numbers that it could not keep, as of the snapshot.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn losses(&self, view: &DatabaseView<'_>) -> Result<Vec<Loss>, IndexError> {
        read_losses(view.kv(), self.slot)
    }

    /// Its counters as of the snapshot.
    ///
    /// # Errors
    /// When the store fails.
    pub fn statistics(&self, view: &DatabaseView<'_>) -> Result<IndexStatistics, IndexError> {
        let Standing { progress, is_behind, .. } = self.standing(view)?;
        Ok(IndexStatistics { progress, is_behind, status: self.status_at(view, &progress)? })
    }

    /// How far it is, as of the snapshot.
    ///
    /// # Errors
    /// When the store fails.
    pub fn progress_in(&self, view: &DatabaseView<'_>) -> Result<Progress, IndexError> {
        Ok(self.standing(view)?.progress)
    }

    /// What it is doing.
    ///
    /// # Errors
    /// When the store fails.
    pub fn status(&self, view: &DatabaseView<'_>) -> Result<IndexStatus, IndexError> {
        self.status_at(view, &self.progress_in(view)?)
    }

    /// [`Self::status`] for who has read [`Self::progress_in`] in this snapshot already.
    ///
    /// # Errors
    /// When the store fails.
    pub fn status_at(&self, view: &DatabaseView<'_>, progress: &Progress) -> Result<IndexStatus, IndexError> {
        if let Some(cause) = lock(&self.failure).clone() {
            return Ok(IndexStatus::Failed(cause));
        }
        if let Some(cause) = self.failing_text(view, progress)? {
            return Ok(IndexStatus::Failed(cause));
        }
        if self.definition().state == IndexState::Disabled {
            return Ok(IndexStatus::Disabled);
        }
        Ok(if lock(&self.control).paused { IndexStatus::Paused } else { IndexStatus::Running })
    }

    /// The first [`limits::ERRORS_LISTED_MAX`] documents and reduce keys that fail now.
    ///
    /// # Errors
    /// When the store fails.
    pub fn errors(&self, view: &DatabaseView<'_>) -> Result<Vec<Fault>, IndexError> {
        read_faults(view.kv(), self.slot, limits::ERRORS_LISTED_MAX)
    }

    /// Waits until everything up to `etag` is mapped and reduced. Gives `false` when the worker ends first (the index
    /// was deleted, replaced or failed): look it up again. Never times out by itself.
    pub async fn wait_until_indexed(&self, etag: Etag) -> bool {
        let mut receiver = self.reached.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        match receiver.wait_for(|reached| reached.ended || reached.etag >= etag).await {
            Ok(reached) => reached.etag >= etag,
            Err(_) => false,
        }
    }

    /// [`Self::wait_until_indexed`], and until the output documents are those of the results. Gives the etag that
    /// whoever maps these documents must reach to have seen all of that; `None` when the worker ends first.
    pub async fn wait_until_output(&self, etag: Etag) -> Option<Etag> {
        let mut receiver = self.reached.subscribe();
        let done = |reached: &Reached| reached.ended || (reached.etag >= etag && reached.outputs.is_some());
        let reached = *receiver.wait_for(done).await.ok()?;
        reached.outputs.filter(|_| reached.etag >= etag)
    }

    /// [`Self::wait_until_indexed`] for threads: gives whether `etag` was reached within `timeout`.
    #[must_use]
    pub fn wait_until_indexed_blocking(&self, etag: Etag, timeout: Duration) -> bool {
        self.wait_blocking(timeout, |reached| reached.etag >= etag).is_some()
    }

    /// [`Self::wait_until_output`] for threads; `None` also when that takes longer than `timeout`.
    pub(crate) fn wait_until_output_blocking(&self, etag: Etag, timeout: Duration) -> Option<Etag> {
        let done = |reached: &Reached| reached.etag >= etag && reached.outputs.is_some();
        self.wait_blocking(timeout, done)?.outputs
    }

    /// Waits until something is so; `None` when the worker ends first, or time runs out.
    fn wait_blocking(&self, timeout: Duration, is_so: impl Fn(&Reached) -> bool) -> Option<Reached> {
        let deadline = Instant::now() + timeout;
        let mut control = lock(&self.control);
        loop {
            let reached = *self.reached.borrow();
            if is_so(&reached) {
                return Some(reached);
            }
            let left = deadline.checked_duration_since(Instant::now()).filter(|_| !reached.ended)?;
            control = self.wake.wait_timeout(control, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The counters the worker published last.
    #[must_use]
    pub fn progress(&self) -> Progress {
        *lock(&self.progress)
    }

    /// How many documents a bulk build has mapped so far; 0 when none runs.
    pub(crate) fn bulk_mapped(&self) -> u64 {
        self.bulk_mapped.load(Ordering::Relaxed)
    }

    /// Adds to [`Self::bulk_mapped`]; `None`: the build is over.
    pub(crate) fn note_bulk(&self, documents: Option<u64>) {
        match documents {
            Some(more) => self.bulk_mapped.fetch_add(more, Ordering::Relaxed),
            None => self.bulk_mapped.swap(0, Ordering::Relaxed),
        };
    }

    /// Publishes how long a committed batch took.
    pub(crate) fn publish_pace(&self, documents: u64, began: Timestamp, ended: Timestamp) {
        lock(&self.pace).note(documents, began, ended);
    }

    /// Publishes what a committed batch did.
    pub(crate) fn publish_performance(&self, batch: BatchPerformance) {
        lock(&self.performance).note(batch);
    }

    /// What its last batches did, the oldest first; those since its worker was started.
    #[must_use]
    pub fn performance(&self) -> Vec<BatchPerformance> {
        lock(&self.performance).last()
    }

    /// How long its worker has worked on batches since it was started.
    #[must_use]
    pub fn time_spent(&self) -> Duration {
        lock(&self.pace).spent()
    }

    /// How long its worker will take for so many documents; `None` when it has not worked since it was started.
    pub(crate) fn time_for(&self, documents: u64) -> Option<Duration> {
        lock(&self.pace).time_for(documents)
    }

    /// Publishes counters that are committed; `newest` is an etag that the commit's documents do not exceed.
    pub(crate) fn publish(&self, progress: Progress, newest: Etag) {
        *lock(&self.progress) = progress;
        let outputs_are_there = self.output.is_none() || progress.output == OutputPhase::Live;
        self.reached.send_modify(|reached| {
            reached.etag = progress.etag;
            reached.outputs = outputs_are_there.then_some(newest);
        });
        // Blocking waiters share the condition variable; taking the lock rules out a lost wake-up.
        let control = lock(&self.control);
        self.wake.notify_all();
        drop(control);
    }

    /// Publishes the counters of an index that has no worker.
    pub(crate) fn publish_progress(&self, database: &Database) -> Result<(), IndexError> {
        let view = database.view();
        self.publish(Progress::read(view.kv(), self.slot)?, view.last_etag());
        Ok(())
    }

    /// Tells whoever listens to this index.
    pub(crate) fn tell(&self, kind: IndexEventKind, etag: Etag) {
        if let Some(events) = self.events.get() {
            events.tell(kind, &self.name(), etag);
        }
    }

    pub(crate) fn publish_end(&self, failure: Option<String>) {
        if failure.is_some() {
            *lock(&self.failure) = failure;
            self.tell(IndexEventKind::Failed, Etag(0));
        }
        self.reached.send_modify(|reached| reached.ended = true);
        let control = lock(&self.control);
        self.wake.notify_all();
        drop(control);
    }

    /// Tells the worker that the database has a newer etag.
    pub(crate) fn notify(&self, newest: Etag) {
        let mut control = lock(&self.control);
        control.newest = control.newest.max(newest);
        self.wake.notify_all();
    }

    /// Has the worker mend damages and waits until it has tried; gives `false` when that takes longer than `timeout`, or
    /// the worker ends.
    pub(crate) fn mend(&self, repairs: Vec<Repair>, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut control = lock(&self.control);
        control.repairs.extend(repairs);
        self.wake.notify_all();
        loop {
            if control.repairs.is_empty() && !control.repairing {
                return true;
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            if !control.running {
                return false;
            }
            control = self.wake.wait_timeout(control, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Has the worker make terms of these fields and keep them from now on; see [`crate::terms`]. Whoever asks need not
    /// know whether it has them. Beyond [`limits::TERM_FIELDS_MAX`] fields nothing happens.
    pub fn want_terms(&self, fields: impl IntoIterator<Item = TermField>) {
        let mut control = lock(&self.control);
        for field in fields {
            if control.wanted.len() < limits::TERM_FIELDS_MAX && !control.wanted.contains(&field) {
                control.wanted.push(field);
            }
        }
        self.wake.notify_all();
    }

    /// Waits until the terms that were wanted before are made; gives `false` when that takes longer than `timeout`, or
    /// the worker ends.
    #[must_use]
    pub fn wait_until_terms_made_blocking(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut control = lock(&self.control);
        while !control.wanted.is_empty() || control.making {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            if !control.running {
                return false;
            }
            control = self.wake.wait_timeout(control, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        lock(&self.control).paused = paused;
        self.wake.notify_all();
    }

    /// Whether it was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        lock(&self.control).stop
    }

    pub(crate) fn is_paused(&self) -> bool {
        lock(&self.control).paused
    }

    pub(crate) fn set_worker(&self, worker: JoinHandle<()>) {
        *lock(&self.worker) = Some(worker);
    }

    /// Said by the worker thread about itself, first and last.
    pub(crate) fn set_running(&self, running: bool) {
        lock(&self.control).running = running;
        self.wake.notify_all();
    }

    /// Tells the worker to stop; from then on it commits nothing more. Waits for a commit in progress only.
    pub(crate) fn close(&self) {
        lock(&self.control).stop = true;
        *lock(&self.may_commit) = false;
        self.wake.notify_all();
    }

    /// [`Self::close`], then waits up to [`limits::WORKER_STOP_MS_MAX`] for the worker's thread. A script that does
    /// not come back keeps its thread, and nothing else: the thread ends by itself when the script does.
    pub(crate) fn stop(&self) {
        self.close();
        let wait = Duration::from_millis(limits::WORKER_STOP_MS_MAX);
        let control = lock(&self.control);
        let waited = self.wake.wait_timeout_while(control, wait, |control| control.running);
        let running = waited.unwrap_or_else(PoisonError::into_inner).0.running;
        let worker = lock(&self.worker).take();
        if let Some(worker) = worker.filter(|_| !running) {
            // A panic in the worker was already turned into a failure of the index.
            let _ = worker.join();
        }
        self.publish_end(None);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The guarded values are whole after every statement, so a panic elsewhere does not spoil them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
