//! Starts without success: an index that ends the process is started carefully next time, and then not any more
//!
//! A worker that starts with work to do raises the counter of its build on disk before its first batch, and takes it
//! down with its first commit. So a counter that is found at a start tells of a process that died in between. After the
//! first such start the index goes carefully: one document a batch, so that everything before a poison document is
//! committed. As long as such a start commits anything it is no failure, but the next one is careful again, until as
//! many documents as a usual first batch has are through. After [`limits::FAILED_STARTS_MAX`] failures in a row *at one
//! place* the index is left out, with a message, until it is reset or gets another definition: both have another slot.
//!
//! The place is the call that was running: the map of one document, or the reduce of one key. Until the first commit,
//! [`Watched`] writes it down before each call, and after it that none is running. Those writes are not synced: a
//! process that is killed loses nothing of them, so a healthy server that is killed from outside, however often, is
//! hardly ever caught in the same call twice. A power cut may lose them: when the machine has been booted since, or that
//! is not known, a counter that was just raised counts for the place before. Deaths at changing places, or outside of any
//! call, are many before they count ([`limits::FAILED_STARTS_ANYWHERE_MAX`]).
//!
//! Careful starts go one at a time ([`Starts::take_turn`]), so that one index that kills the process does not take the
//! blame to others that were about to start.
//!
//! A counter says nothing about an index that dies later, after its first commit: that counts at the next start. A bulk
//! build commits once, at its end: it has a counter of its own, and after [`limits::BULK_TRIES_MAX`] the index is built
//! batch by batch.

use crate::error::IndexError;
use crate::function::{Emitted, FunctionError, IndexFunction, Loads, StoredOutput, StoredReduced};
use crate::index::{Index, lock};
use crate::indexer::Scans;
use crate::keys::{Slot, meta};
use crate::limits;
use magpie_store::json::Json;
use magpie_store::kv::{Batch, Space, View};
use magpie_store::{Database, Document};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::num::NonZeroU64;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often somebody who waits for the turn looks whether it must still wait.
const TURN_LOOK: Duration = Duration::from_millis(50);

/// Starts in a row that ended with the process before anything was committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FailedStarts {
    /// How many there were.
    pub total: u32,
    /// How many of them ended at `place`, the latest ones.
    pub here: u32,
    /// A hash of the call that was running, of what and on what.
    place: u64,
    /// The boot in which the counter was raised, when nothing was written since; 0 is none.
    raised_in: u64,
}

impl FailedStarts {
    /// Reads the counter of a build. `boot` tells the runs of the machine apart, where known.
    ///
    /// # Errors
    /// When the store fails or the row is damaged.
    pub fn read(view: &dyn View, slot: Slot, boot: Option<NonZeroU64>) -> Result<Self, IndexError> {
        let Some(row) = view.get(Space::Meta, &meta::starts(slot))? else { return Ok(Self::default()) };
        let damaged = || IndexError::Corrupt("a start counter".to_owned());
        let (total, rest) = row.split_first_chunk().ok_or_else(damaged)?;
        let total = u32::from_be_bytes(*total);
        if rest.is_empty() {
            // Written before places were known.
            return Ok(Self { total, here: total, ..Self::default() });
        }
        let (here, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        let (place, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        let raised_in = u64::from_be_bytes(rest.try_into().map_err(|_| damaged())?);
        // Nothing written is lost within one boot: it died before any call.
        let is_outside = boot.is_some_and(|boot| boot.get() == raised_in);
        let here = if is_outside { 0 } else { u32::from_be_bytes(*here) };
        Ok(Self { total, here, place: u64::from_be_bytes(*place), raised_in: 0 })
    }

    /// Whether the index must not be started any more.
    pub fn is_too_many(self) -> bool {
        self.here >= limits::FAILED_STARTS_MAX || self.total >= limits::FAILED_STARTS_ANYWHERE_MAX
    }

    /// The counter when the next start ends at `place`, or outside of any call.
    fn and_another(self, place: Option<u64>) -> Self {
        let total = self.total.saturating_add(1);
        match place {
            None => Self { total, here: 0, ..self },
            Some(place) if place == self.place => Self { total, here: self.here.saturating_add(1), ..self },
            Some(place) => Self { total, here: 1, place, ..self },
        }
    }

    fn write(self, slot: Slot, batch: &mut Batch) {
        if self.total == 0 {
            batch.delete(Space::Meta, meta::starts(slot));
            return;
        }
        let mut row = Vec::with_capacity(24);
        row.extend_from_slice(&self.total.to_be_bytes());
        row.extend_from_slice(&self.here.to_be_bytes());
        row.extend_from_slice(&self.place.to_be_bytes());
        row.extend_from_slice(&self.raised_in.to_be_bytes());
        batch.put(Space::Meta, meta::starts(slot), row);
    }
}

/// Removes the counters of a build together with its rows.
pub(crate) fn forget(slot: Slot, batch: &mut Batch) {
    batch.delete(Space::Meta, meta::starts(slot));
    batch.delete(Space::Meta, meta::bulk_tries(slot));
}

/// How far this start of a build is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// The worker has not had any work yet.
    #[default]
    Waiting,
    /// The counter on disk counts this start; it was that much before.
    Raised { before: FailedStarts },
    /// It commits, one document at a time; the counter on disk is what it was before.
    Careful { before: FailedStarts },
    /// It has succeeded, or its rows are gone: the counter is none of its business any more.
    Settled,
}

/// The start of one build.
#[derive(Debug)]
pub(crate) struct Start {
    slot: Slot,
    phase: Mutex<Phase>,
    /// While a bulk build runs: how many of them ended with the process before.
    bulk: Mutex<Option<u32>>,
}

impl Start {
    pub fn new(slot: Slot) -> Self {
        Self { slot, phase: Mutex::default(), bulk: Mutex::default() }
    }

    /// Counts a bulk build on disk before it begins, in place of the start; gives `false` when too many of them ended
    /// with the process: then the documents must come batch by batch, where the one that ends it can be told.
    ///
    /// # Errors
    /// When the store fails.
    pub fn begin_bulk(&self, database: &Database) -> Result<bool, IndexError> {
        let row = database.view().kv().get(Space::Meta, &meta::bulk_tries(self.slot))?;
        let before = row.and_then(|row| row.try_into().ok()).map_or(0, u32::from_be_bytes);
        if before >= limits::BULK_TRIES_MAX {
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch.put(Space::Meta, meta::bulk_tries(self.slot), (before + 1).to_be_bytes());
        FailedStarts::default().write(self.slot, &mut batch);
        let mut phase = lock(&self.phase);
        database.commit_definition(batch)?;
        *phase = Phase::Settled;
        *lock(&self.bulk) = Some(before);
        Ok(true)
    }

    /// A bulk build is over, and the process did not die of it.
    pub fn end_bulk(&self, database: &Database) {
        let mut bulk = lock(&self.bulk);
        if let Some(before) = bulk.take() {
            let mut batch = Batch::new();
            match before {
                0 => batch.delete(Space::Meta, meta::bulk_tries(self.slot)),
                before => batch.put(Space::Meta, meta::bulk_tries(self.slot), before.to_be_bytes()),
            }
            // A store that has failed takes nothing; the build then counts although it need not.
            let _ = database.commit_derived(batch);
        }
    }

    /// Whether the worker has not had any work yet.
    pub fn is_waiting(&self) -> bool {
        *lock(&self.phase) == Phase::Waiting
    }

    /// Whether it has succeeded: no place has to be known any more.
    pub fn is_settled(&self) -> bool {
        *lock(&self.phase) == Phase::Settled
    }

    /// Counts this start on disk, before its first batch.
    ///
    /// # Errors
    /// When the store fails.
    pub fn raise(
        &self,
        database: &Database,
        before: FailedStarts,
        boot: Option<NonZeroU64>,
    ) -> Result<(), IndexError> {
        let mut batch = Batch::new();
        let raised_in = boot.map_or(0, NonZeroU64::get);
        FailedStarts { raised_in, ..before.and_another(Some(before.place)) }.write(self.slot, &mut batch);
        database.commit_definition(batch)?;
        *lock(&self.phase) = Phase::Raised { before };
        Ok(())
    }

    /// Writes down which call is running, or that none is, as long as this start counts and has committed nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub fn mark(&self, database: &Database, place: impl FnOnce() -> Option<u64>) -> Result<(), IndexError> {
        let phase = lock(&self.phase);
        if let Phase::Raised { before } = *phase {
            let mut batch = Batch::new();
            before.and_another(place()).write(self.slot, &mut batch);
            database.commit_derived(batch)?;
        }
        Ok(())
    }

    /// Adds to a batch what its commit will mean for the counter; [`Self::committed`] tells that it was committed.
    pub fn add_to(&self, batch: &mut Batch, is_careful: bool) {
        match *lock(&self.phase) {
            Phase::Raised { before } if is_careful => before.write(self.slot, batch),
            Phase::Raised { .. } => FailedStarts::default().write(self.slot, batch),
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
            Phase::Waiting => FailedStarts::read(database.view().kv(), self.slot, None)?.total > 0,
            Phase::Raised { .. } | Phase::Careful { .. } => true,
        };
        if counted {
            let mut batch = Batch::new();
            FailedStarts::default().write(self.slot, &mut batch);
            database.commit_derived(batch)?;
        }
        Ok(())
    }

    /// The worker ends, and the process does not die of it: this start does not count.
    pub fn take_back(&self, database: &Database) {
        let mut phase = lock(&self.phase);
        if let Phase::Raised { before } = *phase {
            let mut batch = Batch::new();
            before.write(self.slot, &mut batch);
            // A store that has failed takes nothing; the start then counts although it need not.
            let _ = database.commit_derived(batch);
            *phase = Phase::Settled;
        }
    }

    /// The build's rows are being removed, its counter with them.
    pub fn abandon(&self) {
        *lock(&self.bulk) = None;
        *lock(&self.phase) = Phase::Settled;
    }
}

/// The functions of an index whose start counts: before each call, its place is written down.
pub(crate) struct Watched {
    function: Box<dyn IndexFunction>,
    index: Arc<Index>,
    database: Arc<Database>,
}

impl Watched {
    /// Watches the functions of `index`, whose start it is.
    pub fn new(function: Box<dyn IndexFunction>, index: Arc<Index>, database: Arc<Database>) -> Self {
        Self { function, index, database }
    }

    /// A call on `subject` begins. A store that fails is noticed by the commit of the batch.
    fn enter(&self, call: u8, subject: impl FnOnce(&mut Vec<u8>)) {
        let place = || {
            let mut bytes = vec![call];
            subject(&mut bytes);
            let mut hasher = SipHasher13::new();
            hasher.write(&bytes);
            Some(hasher.finish())
        };
        let _ = self.index.start.mark(&self.database, place);
    }

    fn enter_reduce(&self, key: &[Json]) {
        self.enter(b'r', |bytes| key.iter().for_each(|part| part.write_stored_to(bytes)));
    }

    /// The call is over.
    fn leave<T>(&self, outcome: T) -> T {
        let _ = self.index.start.mark(&self.database, || None);
        outcome
    }
}

impl IndexFunction for Watched {
    fn map(&mut self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        self.enter(b'm', |bytes| bytes.extend_from_slice(document.id.key().as_bytes()));
        let outcome = self.function.map(document, loads);
        self.leave(outcome)
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        self.enter_reduce(key);
        let outcome = self.function.reduce(key, values);
        self.leave(outcome)
    }

    fn map_stored(
        &mut self,
        document: &Document,
        loads: &mut dyn Loads,
    ) -> Option<Result<Vec<StoredOutput>, FunctionError>> {
        self.enter(b'm', |bytes| bytes.extend_from_slice(document.id.key().as_bytes()));
        let outcome = self.function.map_stored(document, loads);
        self.leave(outcome)
    }

    fn reduce_stored(
        &mut self,
        key: &[Json],
        values: &[&[u8]],
    ) -> Option<Result<StoredReduced, FunctionError>> {
        self.enter_reduce(key);
        let outcome = self.function.reduce_stored(key, values);
        self.leave(outcome)
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        self.enter(b'f', |_| {});
        let outcome = self.function.finalize(reduced);
        self.leave(outcome)
    }

    fn inexact_fields(&self) -> &[String] {
        self.function.inexact_fields()
    }

    fn steps(&self) -> Option<u64> {
        self.function.steps()
    }

    fn reduce_watched(
        &mut self,
        key: &[Json],
        values: &[Json],
    ) -> Result<(Json, Option<String>), FunctionError> {
        self.enter_reduce(key);
        let outcome = self.function.reduce_watched(key, values);
        self.leave(outcome)
    }
}

/// What the starts of all indexes of a database share.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    /// Tells the runs of the machine apart, where known.
    pub boot: Option<NonZeroU64>,
    /// How many bulk builds run now.
    pub bulk_builds: AtomicUsize,
    /// What they read together.
    pub scans: Scans,
    taken: Mutex<bool>,
    free: Condvar,
}

/// Somebody's turn to start carefully, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Starts>);

impl Starts {
    /// For the indexes of a database that was opened in `boot`.
    pub fn new(boot: Option<NonZeroU64>) -> Self {
        Self { boot, ..Self::default() }
    }

    /// Waits for the turn, up to [`limits::CAREFUL_TURN_MS_MAX`]: one that hangs must not hold up the others for ever.
    /// Gives none when that time is over, or as soon as `is_told_to_stop`.
    pub fn take_turn(self: &Arc<Self>, is_told_to_stop: impl Fn() -> bool) -> Option<Turn> {
        let deadline = Instant::now() + Duration::from_millis(limits::CAREFUL_TURN_MS_MAX);
        let mut taken = lock(&self.taken);
        while *taken {
            if is_told_to_stop() || Instant::now() >= deadline {
                return None;
            }
            taken = self.free.wait_timeout(taken, TURN_LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken = true;
        Some(Turn(Arc::clone(self)))
    }
}

impl Drop for Turn {
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

    fn read(database: &Database, slot: Slot) -> FailedStarts {
        FailedStarts::read(database.view().kv(), slot, None).unwrap()
    }

    /// Starts once more, gets to `places`, and dies.
    fn die_at(database: &Database, places: &[Option<u64>]) -> FailedStarts {
        let start = Start::new(Slot(3));
        start.raise(database, read(database, Slot(3)), None).unwrap();
        places.iter().for_each(|place| start.mark(database, || *place).unwrap());
        read(database, Slot(3))
    }

    #[test]
    fn two_deaths_in_one_call_are_too_many_and_in_two_calls_are_not() {
        let database = database(&Arc::default());
        assert!(!die_at(&database, &[None, Some(5), Some(6)]).is_too_many());
        assert!(!die_at(&database, &[None, Some(5)]).is_too_many());
        // Between two calls, or while it commits: killed from outside.
        assert!(!die_at(&database, &[None, Some(5), None]).is_too_many());
        assert!(!die_at(&database, &[None, Some(5)]).is_too_many());
        let twice = FailedStarts { total: 5, here: 2, place: 5, raised_in: 0 };
        assert_eq!(die_at(&database, &[None, Some(5)]), twice);
        assert!(read(&database, Slot(3)).is_too_many());
    }

    #[test]
    fn a_death_before_any_call_counts_only_if_the_machine_may_have_forgotten_one() {
        let database = database(&Arc::default());
        let (boot, next) = (NonZeroU64::new(1), NonZeroU64::new(2));
        let start = Start::new(Slot(3));
        start.raise(&database, FailedStarts { total: 1, here: 1, place: 7, raised_in: 0 }, boot).unwrap();
        let failed = |boot| FailedStarts::read(database.view().kv(), Slot(3), boot).unwrap();
        assert!(!failed(boot).is_too_many());
        assert!(failed(next).is_too_many());
        assert!(failed(None).is_too_many());
        // What was written after that, nobody has lost.
        start.mark(&database, || Some(7)).unwrap();
        assert!(failed(boot).is_too_many());
        start.mark(&database, || None).unwrap();
        assert!(!failed(next).is_too_many());
    }

    #[test]
    fn deaths_anywhere_come_to_an_end_too() {
        let database = database(&Arc::default());
        for died in 1..limits::FAILED_STARTS_ANYWHERE_MAX {
            assert!(!die_at(&database, &[None, Some(u64::from(died)), None]).is_too_many(), "{died}");
        }
        assert!(die_at(&database, &[None]).is_too_many());
    }

    #[test]
    fn a_counter_of_an_older_store_counts_as_it_did() {
        let database = database(&Arc::default());
        let mut batch = Batch::new();
        batch.put(Space::Meta, meta::starts(Slot(3)), 2_u32.to_be_bytes());
        database.commit_definition(batch).unwrap();
        assert!(read(&database, Slot(3)).is_too_many());
    }

    #[test]
    fn a_start_counts_until_its_first_commit_also_after_a_power_cut() {
        let kv = Arc::new(MemoryKv::new());
        let slot = Slot(3);
        let start = Start::new(slot);
        start.raise(&database(&kv), FailedStarts::default(), None).unwrap();
        kv.crash();
        assert_eq!(read(&database(&kv), slot), FailedStarts { total: 1, here: 1, ..FailedStarts::default() });
        let mut batch = Batch::new();
        start.add_to(&mut batch, false);
        let database = database(&kv);
        database.commit_derived(batch).unwrap();
        start.committed(false);
        assert_eq!(read(&database, slot), FailedStarts::default());
        start.take_back(&database);
        assert_eq!(read(&database, slot), FailedStarts::default());
    }

    #[test]
    fn a_careful_start_is_no_failure_once_it_commits_but_the_next_is_careful_too() {
        let database = database(&Arc::default());
        let start = Start::new(Slot(3));
        let before = FailedStarts { total: 1, here: 1, place: 7, raised_in: 0 };
        start.raise(&database, before, None).unwrap();
        assert_eq!(read(&database, Slot(3)), FailedStarts { total: 2, here: 2, ..before });
        let mut batch = Batch::new();
        start.add_to(&mut batch, true);
        database.commit_derived(batch).unwrap();
        start.committed(true);
        assert_eq!(read(&database, Slot(3)), before);
        start.settle(&database).unwrap();
        assert_eq!(read(&database, Slot(3)), FailedStarts::default());
    }

    #[test]
    fn the_turn_is_one_at_a_time_and_given_back() {
        let starts = Arc::new(Starts::default());
        let first = starts.take_turn(|| false);
        assert!(first.is_some());
        assert!(starts.take_turn(|| true).is_none(), "it is taken");
        drop(first);
        assert!(starts.take_turn(|| true).is_some());
    }
}
