//! A law check on a thread of its own, waited for only so long.
//!
//! The thread is that of a [`Calls`]: it has the stack that scripts need, a panic ends it alone, and a function that does not
//! come back keeps nothing but the thread and the sampled documents; documents that a map loads are read by the caller.
//! The checks of a database that do not come back are counted, and there may be only a few.

use super::report::{LawReport, Unfinished};
use super::sample::sample;
use super::{LawBudget, check_with};
use crate::calls::{CallError, CallLimits, Calls};
use crate::error::IndexError;
use crate::function::{Loads, SharedSource};
use crate::index::lock;
use crate::limits;
use crate::references::BatchLoads;
use magpie_store::{Collection, DatabaseView, Document};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The checks of one database.
#[derive(Debug, Default)]
pub(crate) struct LawChecks {
    running: Arc<AtomicUsize>,
}

/// Loads of which nothing is remembered, so that any number of documents may be loaded.
struct UntrackedLoads<'v>(BatchLoads<'v>);

impl Loads for UntrackedLoads<'_> {
    fn load(&mut self, id: &str, collection: Option<&Collection>, _tracked: bool) -> Option<Arc<Document>> {
        self.0.load(id, collection, false)
    }
}

/// Counts a check as long as it is at work.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl LawChecks {
    /// Checks the functions that `source` makes on documents of the snapshot. Blocks for at most `wait_ms_max`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn check(
        &self,
        source: &SharedSource,
        view: &DatabaseView<'_>,
        wait_ms_max: u64,
    ) -> Result<LawReport, IndexError> {
        let running = Running(Arc::clone(&self.running));
        if running.0.fetch_add(1, Ordering::SeqCst) >= limits::LAW_CHECKS_RUNNING_MAX {
            let busy = Unfinished::Busy { running_max: limits::LAW_CHECKS_RUNNING_MAX };
            return Ok(LawReport { unfinished: Some(busy), ..LawReport::default() });
        }
        let budget =
            LawBudget { ms_max: limits::LAW_MS_MAX.min(wait_ms_max * 3 / 4), ..LawBudget::default() };
        let documents = sample(view, source.shape(), &budget)?;
        if documents.is_empty() {
            return Ok(LawReport::default());
        }
        let known = Arc::new(Mutex::new(LawReport::default()));
        let given_up = Arc::new(AtomicBool::new(false));
        let work = {
            let (source, known, given_up) = (Arc::clone(source), Arc::clone(&known), Arc::clone(&given_up));
            move |loads: &mut dyn Loads| {
                let _running = running;
                let documents = documents.into_iter();
                check_with(source.as_ref(), documents, loads, budget, given_up, &mut |report| {
                    *lock(&known) = report.clone();
                });
            }
        };
        let bounds = CallLimits {
            call_ms_max: wait_ms_max,
            wait_ms_max: 0,
            idle_ms_max: 0,
            threads_max: 1,
            abandoned_max: 1,
        };
        let calls = Calls::with_limits(Arc::clone(source), bounds);
        let mut loads = UntrackedLoads(BatchLoads::new(view));
        let ended = calls.call(&mut loads, move |_, loads| work(loads));
        given_up.store(true, Ordering::Relaxed);
        // What the store could not read must not pass for a document that is not there.
        let _ = loads.0.take()?;
        let mut report = lock(&known).clone();
        match ended {
            Ok(()) => {}
            Err(CallError::TooLong { ms_max }) => report.unfinished = Some(Unfinished::Hanging { ms_max }),
            Err(error) => report.unfinished = Some(Unfinished::Broken { cause: error.to_string() }),
        }
        Ok(report)
    }
}
