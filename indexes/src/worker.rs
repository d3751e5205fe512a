//! The thread that owns an index: waits for changes, runs batches, commits them, publishes progress.
//!
//! Scripts run here and nowhere else while indexing, on a stack of their own size. A panic marks the index as failed
//! and ends this thread only. A script that does not come back keeps this thread only: whoever stops the index forbids
//! its commits and does not wait for ever.

use crate::error::IndexError;
use crate::index::{Index, lock};
use crate::indexer::Indexer;
use crate::limits;
use crate::progress::Progress;
use magpie_store::{Database, Etag, Timestamp};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
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
    caught_up: CaughtUp,
) -> Result<(), IndexError> {
    let owned = Arc::clone(index);
    let name = index.name();
    index.set_running(true);
    let thread = std::thread::Builder::new()
        .name(format!("index {name}"))
        .stack_size(limits::SCRIPT_STACK_BYTES)
        .spawn(move || {
            let work = || run(&owned, &database, &clock, &caught_up);
            let failure = match catch_unwind(AssertUnwindSafe(work)) {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("Index {} has stopped: {error}", owned.name())),
                Err(panic) => {
                    Some(format!("Index {} has stopped: {}", owned.name(), panic_text(panic.as_ref())))
                }
            };
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

fn run(index: &Index, database: &Database, clock: &Clock, caught_up: &CaughtUp) -> Result<(), IndexError> {
    let function = index.source.create().map_err(|error| IndexError::Script { name: index.name(), error })?;
    let mut indexer = Indexer::new(index.slot, index.shape().clone(), index.borders(), function);
    let mut progress = Progress::read(database.view().kv(), index.slot)?;
    index.publish(progress);
    let mut due = Due::Now;
    while wait_for_work(index, progress.etag, due) {
        let view = database.view();
        let indexed = indexer.run_batch(&view, progress, clock())?;
        let newest = view.last_etag();
        drop(view);
        if let Some(batch) = indexed.batch {
            let may_commit = lock(&index.may_commit);
            if !*may_commit {
                return Ok(());
            }
            database.commit_derived(batch)?;
        }
        progress = indexed.progress;
        index.publish(progress);
        due = if progress.etag < newest {
            Due::Now
        } else if caught_up(index) {
            Due::Soon
        } else {
            Due::OnChange
        };
    }
    Ok(())
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
        if !control.paused && (control.newest > reached || due == Due::Now) {
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
