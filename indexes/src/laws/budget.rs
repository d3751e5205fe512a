//! What one law check may use: documents, keys, calls and time.

use super::report::Unfinished;
use crate::limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The bounds of one check. The default values are those of [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LawBudget {
    /// Most documents that are mapped.
    pub documents_max: usize,
    /// Most bytes of their bodies.
    pub document_bytes_max: usize,
    /// Most reduce keys that are tested.
    pub keys_max: usize,
    /// Most map outputs of one key that are used.
    pub values_per_key_max: usize,
    /// Most calls and compilations of the index's functions.
    pub calls_max: u64,
    /// Longest time between the first call and the last, in milliseconds.
    pub ms_max: u64,
}

impl Default for LawBudget {
    fn default() -> Self {
        Self {
            documents_max: limits::LAW_DOCUMENTS_MAX,
            document_bytes_max: limits::LAW_DOCUMENT_BYTES_MAX,
            keys_max: limits::LAW_KEYS_MAX,
            values_per_key_max: limits::LAW_VALUES_PER_KEY_MAX,
            calls_max: limits::LAW_CALLS_MAX,
            ms_max: limits::LAW_MS_MAX,
        }
    }
}

/// Counts what is used.
pub(super) struct Meter {
    budget: LawBudget,
    begin: Instant,
    /// Calls so far.
    pub calls: u64,
    /// Set by whoever does not wait for the outcome any more.
    given_up: Arc<AtomicBool>,
}

impl Meter {
    pub fn new(budget: LawBudget, given_up: Arc<AtomicBool>) -> Self {
        Self { budget, begin: Instant::now(), calls: 0, given_up }
    }

    /// One more call, if there may be one.
    pub fn charge(&mut self) -> Result<(), Unfinished> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(Unfinished::GivenUp);
        }
        if self.calls >= self.budget.calls_max {
            return Err(Unfinished::Calls { calls_max: self.budget.calls_max });
        }
        if self.begin.elapsed() >= Duration::from_millis(self.budget.ms_max) {
            return Err(Unfinished::Time { ms_max: self.budget.ms_max });
        }
        self.calls += 1;
        Ok(())
    }
}
