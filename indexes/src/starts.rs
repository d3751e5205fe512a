//! Starts without success: an index that ends the process is started carefully next time, and then not any more
//!
//! A worker that starts with work to do raises the counter of its build on disk before its first batch, and takes it
//! down with its first commit. So a counter that is found at a start tells of a process that died in between. After the
//! first such start the index goes carefully: one document a batch, so that everything before a poison document is
//! committed. As long as such a start commits anything it is no failure, but the next one is careful again, until as
//! many documents as a usual first batch has are through. After [`limits::FAILED_STARTS_MAX`] failures in a row the
//! index is left out, with a message, until it is reset or gets another definition: both have another slot.
//!
//! Careful starts go one at a time ([`Turn`]), so that one index that kills the process does not take the blame to
//! others that were about to start.
//!
//! A counter says nothing about an index that dies later, after its first commit: that counts at the next start.

use crate::error::IndexError;
use crate::index::lock;
use crate::keys::{Slot, meta};
use crate::limits;
use magpie_store::Database;
use magpie_store::kv::{Batch, Space, View};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often somebody who waits for the turn looks whether it must still wait.
const TURN_LOOK: Duration = Duration::from_millis(50);

/// Starts in a row that ended with the process before anything was committed.
///
/// # Errors
/// When the store fails or the row is damaged.
pub(crate) fn failed_starts(view: &dyn View, slot: Slot) -> Result<u32, IndexError> {
    match view.get(Space::Meta, &meta::starts(slot))?.as_deref() {
        None => Ok(0),
        Some([a, b, c, d]) => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        Some(_) => Err(IndexError::Corrupt("a start counter".to_owned())),
    }
}

/// Removes the counter of a build together with its rows.
pub(crate) fn forget(slot: Slot, batch: &mut Batch) {
    batch.delete(Space::Meta, meta::starts(slot));
}

/// How far this start of a build is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// The worker has not had any work yet.
    #[default]
    Waiting,
    /// The counter on disk counts this start; it was that much before.
    Raised { before: u32 },
    /// It commits, one document at a time; the counter on disk is what it was before.
    Careful { before: u32 },
    /// It has succeeded, or its rows are gone: the counter is none of its business any more.
    Settled,
}

/// The start of one build.
#[derive(Debug)]
pub(crate) struct Start {
    slot: Slot,
    phase: Mutex<Phase>,
}

impl Start {
    pub fn new(slot: Slot) -> Self {
        Self { slot, phase: Mutex::default() }
    }

    /// Whether the worker has not had any work yet.
    pub fn is_waiting(&self) -> bool {
        *lock(&self.phase) == Phase::Waiting
    }

    /// Counts this start on disk, before its first batch.
    ///
    /// # Errors
    /// When the store fails.
    pub fn raise(&self, database: &Database, before: u32) -> Result<(), IndexError> {
        let mut batch = Batch::new();
        self.set(before.saturating_add(1), &mut batch);
        database.commit_definition(batch)?;
        *lock(&self.phase) = Phase::Raised { before };
        Ok(())
    }

    /// Adds to a batch what its commit will mean for the counter; [`Self::committed`] tells that it was committed.
    pub fn add_to(&self, batch: &mut Batch, is_careful: bool) {
        match *lock(&self.phase) {
            Phase::Raised { before } if is_careful => self.set(before, batch),
            Phase::Raised { .. } => self.set(0, batch),
            Phase::Waiting | Phase::Careful { .. } | Phase::Settled => {}
        }
    }

    /// A batch was committed.
    pub fn committed(&self, is_careful: bool) {
        let mut phase = lock(&self.phase);
        *phase = match *phase {
            Phase::Raised { before } if is_careful => Phase::Careful { before },
            Phase::Raised { .. } => Phase::Settled,
            other => other,
        };
    }

    /// The start has succeeded, or there was nothing to do.
    ///
    /// # Errors
    /// When the store fails.
    pub fn settle(&self, database: &Database) -> Result<(), IndexError> {
        let was = std::mem::replace(&mut *lock(&self.phase), Phase::Settled);
        let counted = match was {
            Phase::Settled => false,
            Phase::Waiting => failed_starts(database.view().kv(), self.slot)? > 0,
            Phase::Raised { .. } | Phase::Careful { .. } => true,
        };
        if counted {
            let mut batch = Batch::new();
            self.set(0, &mut batch);
            database.commit_derived(batch)?;
        }
        Ok(())
    }

    /// The worker ends, and the process does not die of it: this start does not count.
    pub fn take_back(&self, database: &Database) {
        let mut phase = lock(&self.phase);
        if let Phase::Raised { before } = *phase {
            let mut batch = Batch::new();
            self.set(before, &mut batch);
            // A store that has failed takes nothing; the start then counts although it need not.
            let _ = database.commit_derived(batch);
            *phase = Phase::Settled;
        }
    }

    /// The build's rows are being removed, its counter with them.
    pub fn abandon(&self) {
        *lock(&self.phase) = Phase::Settled;
    }

    fn set(&self, count: u32, batch: &mut Batch) {
        if count == 0 {
            batch.delete(Space::Meta, meta::starts(self.slot));
        } else {
            batch.put(Space::Meta, meta::starts(self.slot), count.to_be_bytes());
        }
    }
}

/// Whose turn it is among the indexes that start carefully.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    taken: Mutex<bool>,
    free: Condvar,
}

/// Somebody's turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken(Arc<Turn>);

impl Turn {
    /// Waits for the turn, up to [`limits::CAREFUL_TURN_MS_MAX`]: one that hangs must not hold up the others for ever.
    /// Gives none when that time is over, or as soon as `is_told_to_stop`.
    pub fn take(self: &Arc<Self>, is_told_to_stop: impl Fn() -> bool) -> Option<Taken> {
        let deadline = Instant::now() + Duration::from_millis(limits::CAREFUL_TURN_MS_MAX);
        let mut taken = lock(&self.taken);
        while *taken {
            if is_told_to_stop() || Instant::now() >= deadline {
                return None;
            }
            taken = self.free.wait_timeout(taken, TURN_LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken = true;
        Some(Taken(Arc::clone(self)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *lock(&self.0.taken) = false;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use magpie_store::kv::memory::MemoryKv;

    fn database(kv: &Arc<MemoryKv>) -> Database {
        Database::open(kv.clone(), "0123456789abcdefghijkl").unwrap()
    }

    #[test]
    fn a_start_counts_until_its_first_commit_also_after_a_power_cut() {
        let kv = Arc::new(MemoryKv::new());
        let slot = Slot(3);
        let start = Start::new(slot);
        start.raise(&database(&kv), 0).unwrap();
        kv.crash();
        assert_eq!(failed_starts(database(&kv).view().kv(), slot).unwrap(), 1);
        let mut batch = Batch::new();
        start.add_to(&mut batch, false);
        let database = database(&kv);
        database.commit_derived(batch).unwrap();
        start.committed(false);
        assert_eq!(failed_starts(database.view().kv(), slot).unwrap(), 0);
        start.take_back(&database);
        assert_eq!(failed_starts(database.view().kv(), slot).unwrap(), 0);
    }

    #[test]
    fn a_careful_start_is_no_failure_once_it_commits_but_the_next_is_careful_too() {
        let database = database(&Arc::default());
        let start = Start::new(Slot(3));
        start.raise(&database, 1).unwrap();
        assert_eq!(failed_starts(database.view().kv(), Slot(3)).unwrap(), 2);
        let mut batch = Batch::new();
        start.add_to(&mut batch, true);
        database.commit_derived(batch).unwrap();
        start.committed(true);
        assert_eq!(failed_starts(database.view().kv(), Slot(3)).unwrap(), 1);
        start.settle(&database).unwrap();
        assert_eq!(failed_starts(database.view().kv(), Slot(3)).unwrap(), 0);
    }

    #[test]
    fn the_turn_is_one_at_a_time_and_given_back() {
        let turn = Arc::new(Turn::default());
        let first = turn.take(|| false);
        assert!(first.is_some());
        assert!(turn.take(|| true).is_none(), "it is taken");
        drop(first);
        assert!(turn.take(|| true).is_some());
    }
}
