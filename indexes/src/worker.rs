//! The thread that owns an index: waits for changes, runs batches, commits them, publishes progress.
//!
//! Scripts run here and nowhere else while indexing, on a stack of their own size. A panic marks the index as failed
//! and ends this thread only. A script that does not come back keeps this thread only: whoever stops the index forbids
//! its commits and does not wait for ever.

use crate::batch_size::BatchSize;
use crate::cores::Cores;
use crate::error::IndexError;
use crate::events::IndexEventKind;
use crate::index::{Index, lock};
use crate::indexer::{BulkBuild, Indexer, target_etag};
use crate::limits;
use crate::performance::{BatchCounts, BatchParts, BatchPerformance, between};
use crate::progress::{OutputPhase, Progress};
use crate::starts::{FailedStarts, Starts, Turn, Watched};
use crate::terms;
use magpie_store::kv::Batch;
use magpie_store::{Command, Database, DatabaseView, Etag, StoreError, Timestamp};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where the server's times come from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Called when an index has caught up; gives whether it must be called again (the registry was busy).
pub(crate) type CaughtUp = Box<dyn Fn(&Index) -> bool + Send>;

/// How long a worker waits before it calls a busy registry again.
const RETRY: Duration = Duration::from_millis(20);

/// Starts the worker of an index.
pub(crate) fn start(
    index: &Arc<Index>,
    database: Arc<Database>,
    clock: Clock,
    starts: Arc<Starts>,
    caught_up: CaughtUp,
) -> Result<(), IndexError> {
    let owned = Arc::clone(index);
    let name = index.name();
    index.set_running(true);
    let thread = std::thread::Builder::new()
        .name(format!("index {name}"))
        .stack_size(limits::SCRIPT_STACK_BYTES)
        .spawn(move || {
            let work = || Worker::new(&owned, &database, &clock)?.run(&starts, &caught_up);
            let failure = match catch_unwind(AssertUnwindSafe(work)) {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("Index {} has stopped: {error}", owned.name())),
                Err(panic) => {
                    Some(format!("Index {} has stopped: {}", owned.name(), panic_text(panic.as_ref())))
                }
            };
            owned.start.take_back(&database);
            owned.publish_end(failure);
            owned.set_running(false);
        })
        .map_err(|error| {
            index.set_running(false);
            IndexError::Thread { name, cause: error.to_string() }
        })?;
    index.set_worker(thread);
    Ok(())
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("its thread panicked: {}", text.unwrap_or("no message"))
}

/// The state of a worker thread.
struct Worker<'w> {
    index: &'w Index,
    database: &'w Arc<Database>,
    clock: &'w Clock,
    indexer: Indexer,
    size: BatchSize,
    cores: Arc<Cores>,
    progress: Progress,
    /// The newest etag when the worker began: what a build must reach before its documents are written.
    start: Etag,
    careful: Option<Careful>,
    /// Whether there may be terms to make.
    has_terms_to_make: bool,
}

/// A start after one that ended with the process: one document a batch.
struct Careful {
    /// How many documents a batch has otherwise.
    documents_max: usize,
    /// How many batches of one document are to come.
    left: usize,
    /// The turn, until something is committed.
    turn: Option<Turn>,
}

/// What became of a commit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commit {
    /// It is done.
    Done,
    /// Somebody wrote one of the documents meanwhile: nothing was written, make the batch anew.
    Conflict,
    /// The index was told to stop: nothing was written.
    Forbidden,
}

impl<'w> Worker<'w> {
    fn new(index: &'w Arc<Index>, database: &'w Arc<Database>, clock: &'w Clock) -> Result<Self, IndexError> {
        let function =
            index.source.create().map_err(|error| IndexError::Script { name: index.name(), error })?;
        let size = BatchSize::new(index.definition().map_batch_size()?.unwrap_or(usize::MAX));
        let cores = Cores::of_process();
        let function = Box::new(Watched::new(function, Arc::clone(index), Arc::clone(database)));
        let indexer = Indexer::new(index.slot, index.shape().clone(), index.borders(), function)
            .with_documents_max(size.documents())
            .with_clock(Arc::clone(clock))
            .with_helpers(Arc::clone(&index.source), Arc::clone(&cores))
            .with_output(index.output().cloned());
        let view = database.view();
        let progress = Progress::read(view.kv(), index.slot)?;
        let start = view.last_etag();
        index.publish(progress, start);
        let has_terms_to_make = true;
        Ok(Self {
            index,
            database,
            clock,
            indexer,
            size,
            cores,
            progress,
            start,
            careful: None,
            has_terms_to_make,
        })
    }

    fn run(mut self, starts: &Arc<Starts>, caught_up: &CaughtUp) -> Result<(), IndexError> {
        let mut due = Due::Now;
        while wait_for_work(self.index, self.progress.etag, due) {
            match self.mend()? {
                None => {}
                Some(Commit::Forbidden) => return Ok(()),
                // A paused index is mended, but does not go on.
                Some(_) => continue,
            }
            if self.index.start.is_waiting() && self.begin(starts)? == Commit::Forbidden {
                return Ok(());
            }
            let view = self.database.view();
            let newest = view.last_etag();
            let bulk = self.bulk_build(&view, starts)?;
            match bulk.map_or_else(|| self.batch(&view), Ok)? {
                Commit::Done => {}
                Commit::Conflict => continue,
                Commit::Forbidden => return Ok(()),
            }
            drop(view);
            self.end_of_care(newest)?;
            if self.follow_results()? == Commit::Forbidden || self.make_terms()? == Commit::Forbidden {
                return Ok(());
            }
            due = if self.progress.etag < newest {
                Due::Now
            } else if caught_up(self.index) {
                Due::Soon
            } else if self.has_to_follow() || self.has_terms_to_make {
                Due::Now
            } else {
                Due::OnChange
            };
        }
        Ok(())
    }

    /// Carries out the repairs that were asked for, each in a batch of its own; `None` when there are none.
    fn mend(&mut self) -> Result<Option<Commit>, IndexError> {
        let repairs = {
            let mut control = lock(&self.index.control);
            control.repairing = !control.repairs.is_empty();
            std::mem::take(&mut control.repairs)
        };
        if repairs.is_empty() {
            return Ok(None);
        }
        for repair in &repairs {
            loop {
                let view = self.database.view();
                // What meets another damage is left: the next verification finds it again.
                let mended = match self.indexer.repair(&view, self.progress, repair, (self.clock)()) {
                    Err(IndexError::Corrupt(_) | IndexError::Store(StoreError::Corrupt(_))) => break,
                    mended => mended?,
                };
                drop(view);
                let Some(batch) = mended.batch else { break };
                match self.commit(batch, mended.documents)?.0 {
                    Commit::Done => {
                        self.progress = mended.progress;
                        break;
                    }
                    Commit::Conflict => {}
                    Commit::Forbidden => return Ok(Some(Commit::Forbidden)),
                }
            }
        }
        self.has_terms_to_make = true;
        let mut control = lock(&self.index.control);
        control.repairing = false;
        control.making = true;
        drop(control);
        self.index.wake.notify_all();
        Ok(Some(Commit::Done))
    }

    /// Counts this start on disk if there is work to do: whatever happens before the first commit will be known.
    fn begin(&mut self, starts: &Arc<Starts>) -> Result<Commit, IndexError> {
        let index = self.index;
        let view = self.database.view();
        let has_work = target_etag(&view, index.feed())? > self.progress.etag || self.has_to_follow();
        let failed = FailedStarts::read(view.kv(), index.slot, starts.boot)?;
        drop(view);
        if failed.total > 0 && has_work {
            let turn = starts.take_turn(|| index.is_stopping());
            let documents_max = self.indexer.set_documents_max(1);
            self.careful = Some(Careful { documents_max, left: documents_max, turn });
        }
        let may_commit = lock(&index.may_commit);
        if !*may_commit {
            return Ok(Commit::Forbidden);
        }
        if has_work {
            index.start.raise(self.database, failed, starts.boot)?;
            index.start.mark(self.database, || None)?;
        } else {
            index.start.settle(self.database)?;
        }
        Ok(Commit::Done)
    }

    /// After a batch of a careful start: when enough documents are through, or there are no more, the start has
    /// succeeded and the batches have their usual size again.
    fn end_of_care(&mut self, newest: Etag) -> Result<(), IndexError> {
        let Some(careful) = &mut self.careful else { return Ok(()) };
        careful.left = careful.left.saturating_sub(1);
        if careful.left == 0 || self.progress.etag >= newest {
            self.indexer.set_documents_max(careful.documents_max);
            self.careful = None;
            let may_commit = lock(&self.index.may_commit);
            if *may_commit {
                self.index.start.settle(self.database)?;
            }
        }
        Ok(())
    }

    /// A bulk build, if one is due: the index has no rows, and the snapshot has many documents for it. `None`: go batch by
    /// batch.
    fn bulk_build(&mut self, view: &DatabaseView<'_>, starts: &Starts) -> Result<Option<Commit>, IndexError> {
        let index = self.index;
        if self.progress != Progress::default()
            || self.careful.is_some()
            || !BulkBuild::is_due(index.shape(), view)?
            || self.database.sorted_file()?.is_none()
            || !index.start.begin_bulk(self.database)?
        {
            return Ok(None);
        }
        let began = (self.clock)();
        let running = starts.bulk_builds.fetch_add(1, Ordering::AcqRel) + 1;
        let threads = (self.cores.all() / running).max(1);
        let busy = self.cores.work(threads);
        let last = Mutex::new((self.clock)());
        let told = |documents| {
            let now = (self.clock)();
            let began = std::mem::replace(&mut *lock(&last), now);
            index.publish_pace(documents, began, now);
            index.note_bulk(Some(documents));
        };
        let is_stopped = || index.is_stopping() || index.is_paused();
        let build = BulkBuild::new(
            Arc::clone(&index.source),
            index.slot,
            index.borders(),
            (self.database, view),
            (self.clock)(),
        )
        .with_scan(starts.scans.join(self.database))
        .with_threads(threads)
        .with_builds(&starts.bulk_builds)
        .with_watch(&told, &is_stopped)
        .with_output(index.output().cloned());
        // A panic goes on once the counters are right again.
        let built = catch_unwind(AssertUnwindSafe(|| build.run()));
        starts.bulk_builds.fetch_sub(1, Ordering::AcqRel);
        drop(busy);
        index.note_bulk(None);
        index.start.end_bulk(self.database);
        let built = built.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        // Stopped or paused: there is nothing to keep.
        let Some(built) = built else { return Ok(Some(Commit::Conflict)) };
        let may_commit = lock(&index.may_commit);
        if !*may_commit {
            return Ok(Some(Commit::Forbidden));
        }
        self.database.ingest_derived(built.files)?;
        drop(may_commit);
        self.progress = built.progress;
        index.publish_performance(BatchPerformance {
            number: 0,
            began,
            ended: (self.clock)(),
            parts: None,
            counts: counts_of_build(&self.progress, index.is_map_reduce()),
            caught_up: self.progress.etag >= view.last_etag(),
        });
        index.publish(self.progress, view.last_etag());
        index.tell(IndexEventKind::BatchCompleted, self.progress.etag);
        Ok(Some(Commit::Done))
    }

    /// One indexing batch.
    fn batch(&mut self, view: &DatabaseView<'_>) -> Result<Commit, IndexError> {
        let began = (self.clock)();
        // As long as it has to be known which call is running, there is one at a time.
        self.indexer.allow_helpers(self.index.start.is_settled());
        let busy = self.cores.work(1);
        let indexed = self.indexer.run_batch(view, self.progress, began)?;
        drop(busy);
        let made = (self.clock)();
        let mut newest = view.last_etag();
        if let Some(batch) = indexed.batch {
            match self.commit(batch, indexed.documents)? {
                (Commit::Done, committed) => newest = newest.max(committed),
                (other, _) => return Ok(other),
            }
        }
        if indexed.progress.terms != self.progress.terms {
            self.has_terms_to_make = true;
            lock(&self.index.control).making = true;
        }
        self.progress = indexed.progress;
        let ended = (self.clock)();
        if self.careful.is_none() {
            self.size.note(indexed.documents_seen, began, ended);
            self.indexer.set_documents_max(self.size.documents());
        }
        self.index.publish_pace(indexed.documents_seen, began, ended);
        let mapped_at = indexed.mapped_at.unwrap_or(made);
        self.index.publish_performance(BatchPerformance {
            number: 0,
            began,
            ended,
            parts: Some(BatchParts {
                map: between(began, mapped_at),
                reduce: between(mapped_at, made),
                commit: between(made, ended),
            }),
            counts: indexed.counts,
            caught_up: self.progress.etag >= view.last_etag(),
        });
        self.index.publish(self.progress, newest);
        if indexed.documents_seen > 0 {
            self.index.tell(IndexEventKind::BatchCompleted, self.progress.etag);
        }
        Ok(Commit::Done)
    }

    /// Commits rows and documents; also gives the newest etag of the documents.
    fn commit(&mut self, mut batch: Batch, documents: Vec<Command>) -> Result<(Commit, Etag), IndexError> {
        let is_careful = self.careful.is_some();
        let may_commit = lock(&self.index.may_commit);
        if !*may_commit {
            return Ok((Commit::Forbidden, Etag(0)));
        }
        self.index.start.add_to(&mut batch, is_careful);
        let committed = if documents.is_empty() {
            self.database.commit_derived(batch).map(|()| Etag(0))
        } else {
            self.database.commit_derived_with(batch, documents, (self.clock)())
        };
        match committed {
            Ok(newest) => {
                self.index.start.committed(is_careful);
                drop(may_commit);
                self.careful.iter_mut().for_each(|careful| careful.turn = None);
                Ok((Commit::Done, newest))
            }
            Err(StoreError::Conflict { .. } | StoreError::CollectionMismatch { .. }) => {
                Ok((Commit::Conflict, Etag(0)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there are output documents to bring in line with the results. Those of a replacement wait until it has
    /// taken over, and those of a new build until it has caught up once.
    fn has_to_follow(&self) -> bool {
        match self.progress.output {
            _ if self.index.output().is_none() => false,
            OutputPhase::Silent => !self.index.is_replacement() && self.progress.etag >= self.start,
            OutputPhase::Syncing => true,
            OutputPhase::Live => false,
        }
    }

    /// One step of bringing the output documents in line, if there is one to take.
    fn follow_results(&mut self) -> Result<Commit, IndexError> {
        let Some(output) = self.index.output().filter(|_| self.has_to_follow()) else {
            return Ok(Commit::Done);
        };
        let mut progress = Progress { output: OutputPhase::Syncing, ..self.progress };
        let mut batch = Batch::new();
        let mut documents = Vec::new();
        // The first batch only says that documents follow from now on, so that no later change is missed.
        if self.progress.output == OutputPhase::Syncing {
            let view = self.database.view();
            let step = output.step(&view)?;
            (batch, documents) = (step.batch, step.documents);
            if step.finished {
                progress.output = OutputPhase::Live;
            }
        }
        progress.write(self.index.slot, &mut batch);
        let (commit, newest) = self.commit(batch, documents)?;
        if commit == Commit::Done {
            self.progress = progress;
            self.index.publish(progress, newest.max(self.database.last_etag()));
        }
        Ok(commit)
    }

    /// One step of making the terms of wanted fields, if there is one to take.
    fn make_terms(&mut self) -> Result<Commit, IndexError> {
        let wanted = {
            let mut control = lock(&self.index.control);
            self.has_terms_to_make |= !control.wanted.is_empty();
            control.making = self.has_terms_to_make;
            std::mem::take(&mut control.wanted)
        };
        if !self.has_terms_to_make {
            return Ok(Commit::Done);
        }
        let view = self.database.view();
        let (slot, is_map_reduce) = (self.index.slot, self.index.is_map_reduce());
        let step =
            terms::step(view.kv(), slot, is_map_reduce, &self.progress, &wanted, limits::TERM_STEP_ROWS_MAX)?;
        drop(view);
        let mut left = false;
        if let Some(step) = step {
            match self.commit(step.batch, Vec::new())?.0 {
                Commit::Done => (self.progress, left) = (step.progress, step.left),
                other => return Ok(other),
            }
        }
        self.has_terms_to_make = left;
        lock(&self.index.control).making = left;
        // Wakes those who wait for terms, too.
        self.index.publish(self.progress, self.database.last_etag());
        Ok(Commit::Done)
    }
}

/// What a build in bulk did: it begins with nothing, so its counters are the index's.
fn counts_of_build(progress: &Progress, is_map_reduce: bool) -> BatchCounts {
    BatchCounts {
        mapped: progress.map_attempts,
        map_failed: progress.failing_documents,
        reduced: if is_map_reduce { progress.reduce_attempts } else { 0 },
        reduce_failed: progress.failing_keys,
        outputs: progress.results,
        ..BatchCounts::default()
    }
}

/// When the next batch is due.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    /// At once, whether something changed or not.
    Now,
    /// On the next change, or when the busy registry may be free.
    Soon,
    /// On the next change.
    OnChange,
}

/// Waits until a batch is due; gives `false` when the worker must end.
fn wait_for_work(index: &Index, reached: Etag, due: Due) -> bool {
    let mut control = lock(&index.control);
    let mut due = due;
    loop {
        if control.stop {
            return false;
        }
        let has_terms_to_make = control.making || !control.wanted.is_empty();
        let has_news = control.newest > reached || due == Due::Now || has_terms_to_make;
        if !control.repairs.is_empty() || (!control.paused && has_news) {
            return true;
        }
        if due == Due::Soon {
            control = index.wake.wait_timeout(control, RETRY).unwrap_or_else(PoisonError::into_inner).0;
            due = Due::Now;
        } else {
            control = index.wake.wait(control).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
