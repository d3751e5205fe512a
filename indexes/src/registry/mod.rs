//! The indexes of one database, by name: what is live, what is being built next to it, and what is on disk of both.
//!
//! A definition row names the slot of the live build and of its replacement, if one is being built. Every change of a
//! definition is one synced batch that also removes the rows of the builds it ends. Readers never wait: they look up
//! the map of names; only changes take the lock.

mod auto;
mod chains;
mod laws;
mod put;
pub(crate) mod records;
mod staleness;
mod trial;
mod verify;

pub use auto::{AutoTimes, AutoUse};
pub use laws::CheckedPut;
pub use staleness::{Behind, Staleness};
pub use verify::Verified;

use crate::definition::{IndexDefinition, LockMode, Priority, REPLACEMENT_PREFIX};
use crate::error::IndexError;
use crate::events::{Events, IndexEvent, IndexEventKind};
use crate::function::SharedSource;
use crate::index::{Index, lock};
use crate::keys::{Slot, meta};
use crate::laws::LawChecks;
use crate::limits;
use crate::output::cleanup;
use crate::progress::Progress;
use crate::signature::{Signature, canonical_definition};
use crate::starts::{self, FailedStarts, Starts};
use crate::worker::{self, Clock};
use dashmap::DashMap;
use magpie_store::kv::{Batch, Space};
use magpie_store::{Database, DatabaseView, Etag};
use records::{Build, Record};
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError, Weak};

/// An index whose functions are Rust code of the embedding program.
#[derive(Clone)]
pub struct NativeIndex {
    /// Its name.
    pub name: String,
    /// Its functions.
    pub source: SharedSource,
}

/// All indexes of one database; owns their worker threads.
pub struct Registry {
    database: Arc<Database>,
    clock: Clock,
    natives: HashMap<String, NativeIndex>,
    /// Lower-cased name -> live build; replacements under `replacementof/name`.
    indexes: DashMap<String, Arc<Index>>,
    /// Held by whoever changes definitions.
    changes: Mutex<()>,
    laws: LawChecks,
    /// How many definitions are being tried, those that hang included.
    trials: Arc<AtomicUsize>,
    starts: Arc<Starts>,
    /// Whom to tell what happens to indexes.
    events: Arc<Events>,
    /// The auto indexes that queries want and that are not there yet.
    wanted_auto: Mutex<Vec<auto::Wanted>>,
    /// Set when the database closes.
    stopped: AtomicBool,
    this: Weak<Self>,
}

impl Registry {
    /// Opens all indexes of the database, starts their workers, and adds or updates the native ones.
    ///
    /// # Errors
    /// When the store fails or a definition row is damaged. An index whose script no longer compiles is opened as
    /// failed instead.
    pub fn open(
        database: Arc<Database>,
        clock: Clock,
        natives: Vec<NativeIndex>,
    ) -> Result<Arc<Self>, IndexError> {
        Self::open_in_boot(database, clock, natives, None)
    }

    /// [`Self::open`] where it is known in which run of the machine: a number that a boot changes. Then an index that
    /// was killed from outside as it started is not taken for one that ends the process.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_in_boot(
        database: Arc<Database>,
        clock: Clock,
        natives: Vec<NativeIndex>,
        boot: Option<NonZeroU64>,
    ) -> Result<Arc<Self>, IndexError> {
        let registry = Arc::new_cyclic(|this| Self {
            database: Arc::clone(&database),
            clock,
            natives: natives.iter().map(|native| (native.name.to_lowercase(), native.clone())).collect(),
            indexes: DashMap::new(),
            changes: Mutex::new(()),
            laws: LawChecks::default(),
            trials: Arc::default(),
            starts: Arc::new(Starts::new(boot)),
            events: Arc::default(),
            wanted_auto: Mutex::default(),
            stopped: AtomicBool::new(false),
            this: this.clone(),
        });
        // Workers write documents as soon as they run: whoever follows them must hear of it from the first on.
        let this = Arc::downgrade(&registry);
        database.on_commit(Box::new(move |newest| {
            if let Some(registry) = this.upgrade() {
                registry.indexes.iter().for_each(|index| index.notify(newest));
            }
        }));
        let records = records::read_all(&database.view())?;
        for record in records {
            let record = registry.with_current_rows(record)?;
            registry.start(record.name(), record.live)?;
            if let Some(replacement) = record.replacement {
                let name = format!("{REPLACEMENT_PREFIX}{}", replacement.definition.name);
                registry.start(name, replacement)?;
            }
        }
        registry.put(natives.iter().map(NativeIndex::definition).collect())?;
        if !cleanup::retired(&database.view())?.is_empty() {
            registry.clean_up();
        }
        Ok(registry)
    }

    /// Gives new slots to the builds of a record whose rows have an older layout, or were made by a program that read their
    /// scripts in another way, and removes those rows: under another signature the pages end elsewhere.
    fn with_current_rows(&self, mut record: Record) -> Result<Record, IndexError> {
        let mut batch = Batch::new();
        let mut next_slot = None;
        for build in std::iter::once(&mut record.live).chain(record.replacement.as_mut()) {
            let source = self.source_or_broken(&build.definition);
            let signature =
                Signature::of(&canonical_definition(&build.definition, source.as_ref())).to_string();
            // What cannot run reads no rows, and may run again. A native index is put again by whoever opens the database.
            let is_same = build.signature == signature
                || source.defect().is_some()
                || self.natives.contains_key(&build.definition.name.to_lowercase());
            if !build.is_current || !is_same {
                remove_rows(build.slot, &mut batch);
                build.slot = self.take_slot(&mut batch, &mut next_slot)?;
                (build.is_current, build.signature) = (true, signature);
            }
        }
        if !batch.is_empty() {
            record.write(&mut batch);
            self.database.commit_definition(batch)?;
        }
        Ok(record)
    }

    /// Makes the live build of a stored definition and starts its worker, unless that has ended the process too often.
    fn start(&self, name: String, build: Build) -> Result<(), IndexError> {
        let source = self.source_or_broken(&build.definition);
        let index = Arc::new(Index::new(name.clone(), build.definition, source, build.slot)?);
        self.indexes.insert(name.to_lowercase(), Arc::clone(&index));
        match self.cause_to_leave_out(&index)? {
            None => self.launch(&index)?,
            Some(cause) => {
                index.start.abandon();
                index.publish_progress(&self.database)?;
                index.publish_end(Some(cause));
            }
        }
        Ok(())
    }

    /// Why an index must not be started, if it must not, and how to go on.
    fn cause_to_leave_out(&self, index: &Index) -> Result<Option<String>, IndexError> {
        let view = self.database.view();
        let failed = FailedStarts::read(view.kv(), index.slot, self.starts.boot)?;
        if !failed.is_too_many() {
            return Ok(None);
        }
        let reached = Progress::read(view.kv(), index.slot)?.etag;
        let next = view.changes_after(index.feed(), reached, 1)?;
        let place = next.first().map_or_else(String::new, |next| format!(", at document '{}'", next.id));
        let name = index.name();
        Ok(Some(format!(
            "Index {name} was not started: the last {} times the server ended while the index worked on its first \
             documents{place}, {} of them in the same call of its functions (the limits are failed_starts_max, {}, and \
             failed_starts_anywhere_max, {}). Its rows are kept as they are. To go on, reset the index or change its \
             definition, or mend or delete the document and reset it",
            failed.total,
            failed.here,
            limits::FAILED_STARTS_MAX,
            limits::FAILED_STARTS_ANYWHERE_MAX
        )))
    }

    /// Starts the worker of an index that is in the list already: from its first batch on it must miss no news.
    fn launch(&self, index: &Arc<Index>) -> Result<(), IndexError> {
        let _ = index.events.set(Arc::clone(&self.events));
        if let Some(error) = index.source.defect().cloned() {
            // Nobody ever sees it running.
            let error = IndexError::Script { name: index.name(), error };
            index.publish_progress(&self.database)?;
            index.publish_end(Some(format!("Index {} has stopped: {error}", index.name())));
            return Ok(());
        }
        let this = self.this.clone();
        let caught_up =
            Box::new(move |index: &Index| this.upgrade().is_some_and(|registry| registry.promote(index)));
        let (database, clock) = (Arc::clone(&self.database), Arc::clone(&self.clock));
        worker::start(index, database, clock, Arc::clone(&self.starts), caught_up)
    }

    /// Has `listener` called with what happens to indexes from now on. It runs on the thread of whatever happened, perhaps
    /// under locks of the registry: it must be quick and must not ask the registry. A panic in it is ignored.
    pub fn on_event(&self, listener: Box<dyn Fn(&IndexEvent) + Send + Sync>) {
        self.events.listen(listener);
    }

    /// The live index of this name; `ReplacementOf/NAME` finds a build in progress. Case-insensitive.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Index>> {
        self.indexes.get(&name.to_lowercase()).map(|index| Arc::clone(&index))
    }

    /// [`Self::get`] for reading on a snapshot that was taken before.
    ///
    /// # Errors
    /// [`IndexError::Moved`] when the live build is not the one that the snapshot knows, so that its rows in the
    /// snapshot would be those of a build in progress: take a new snapshot and ask again.
    pub fn get_in(&self, view: &DatabaseView<'_>, name: &str) -> Result<Option<Arc<Index>>, IndexError> {
        let Some(index) = self.get(name) else { return Ok(None) };
        if index.standing(view)?.is_named {
            return Ok(Some(index));
        }
        Err(IndexError::Moved { name: name.to_owned() })
    }

    /// All live indexes and replacements, sorted by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Index>> {
        let mut all: Vec<_> = self.indexes.iter().map(|index| Arc::clone(&index)).collect();
        all.sort_by_key(|index| index.name());
        all
    }

    /// Deletes an index with its replacement, or cancels a replacement named `ReplacementOf/NAME`. Gives whether it
    /// existed.
    ///
    /// # Errors
    /// When the store fails.
    pub fn delete(&self, name: &str) -> Result<bool, IndexError> {
        let guard = lock(&self.changes);
        let Some(index) = self.get(name) else { return Ok(false) };
        if name.to_lowercase().starts_with(&REPLACEMENT_PREFIX.to_lowercase()) {
            self.cancel_replacement(&index.definition().name)?;
            return Ok(true);
        }
        let replacement = self.get(&format!("{REPLACEMENT_PREFIX}{name}"));
        let ended: Vec<_> = [Some(index), replacement].into_iter().flatten().collect();
        let mut batch = Batch::new();
        batch.delete(Space::Meta, meta::definition(name));
        for index in &ended {
            cleanup::retire(index.output_collections(), &mut batch);
        }
        self.end_builds(&ended, batch)?;
        drop(guard);
        for index in &ended {
            self.events.tell(IndexEventKind::Removed, &index.name(), Etag(0));
        }
        self.clean_up();
        Ok(true)
    }

    /// Stops builds and commits `batch` together with the removal of their rows.
    fn end_builds(&self, ended: &[Arc<Index>], mut batch: Batch) -> Result<(), IndexError> {
        for index in ended {
            index.stop();
            index.start.abandon();
            remove_rows(index.slot, &mut batch);
        }
        self.database.commit_definition(batch)?;
        for index in ended {
            self.indexes.remove_if(&index.name().to_lowercase(), |_, live| live.slot == index.slot);
        }
        Ok(())
    }

    /// Removes a replacement in progress; the caller holds the lock.
    fn cancel_replacement(&self, name: &str) -> Result<(), IndexError> {
        let Some(replacement) = self.get(&format!("{REPLACEMENT_PREFIX}{name}")) else { return Ok(()) };
        let Some(live) = self.get(name) else { return Ok(()) };
        let mut batch = Batch::new();
        Record::live(&live).write(&mut batch);
        self.end_builds(&[replacement], batch)
    }

    /// Removes the documents of outputs that no index has any more, on a thread of its own.
    fn clean_up(&self) {
        let this = self.this.clone();
        let work = move || {
            while let Some(registry) = this.upgrade() {
                let guard = lock(&registry.changes);
                let more = !registry.stopped.load(Ordering::Acquire)
                    && cleanup::step(&registry.database, (registry.clock)()).unwrap_or(false);
                drop(guard);
                if !more {
                    break;
                }
            }
        };
        // Without a thread, or after a failure of the store, the orders stay: the next start carries them out.
        let _ = std::thread::Builder::new().name("index cleanup".to_owned()).spawn(work);
    }

    /// Starts an index over: its rows are removed and it indexes all documents again. Terms are made again when a query
    /// misses them.
    ///
    /// # Errors
    /// [`IndexError::NotFound`], or when the store fails.
    pub fn reset(&self, name: &str) -> Result<(), IndexError> {
        let guard = lock(&self.changes);
        let old = self.get(name).ok_or_else(|| IndexError::NotFound { name: name.to_owned() })?;
        let definition = (*old.definition()).clone();
        let mut batch = Batch::new();
        let slot = self.next_slot(&mut batch)?;
        let was_paused = old.is_paused();
        let mut record = records::read(&self.database.view(), &definition.name)?
            .ok_or_else(|| IndexError::NotFound { name: name.to_owned() })?;
        let target =
            if record.live.slot == old.slot { Some(&mut record.live) } else { record.replacement.as_mut() };
        if let Some(build) = target {
            build.slot = slot;
        }
        record.write(&mut batch);
        old.stop();
        old.start.abandon();
        remove_rows(old.slot, &mut batch);
        self.database.commit_definition(batch)?;
        let index = Arc::new(Index::new(old.name(), definition, Arc::clone(&old.source), slot)?);
        index.set_paused(was_paused);
        self.indexes.insert(old.name().to_lowercase(), Arc::clone(&index));
        self.launch(&index)?;
        drop(guard);
        Ok(())
    }

    /// Puts a replacement that has caught up in the place of the live build. Runs on the replacement's worker; gives
    /// `true` when the registry was busy and it must be called again.
    fn promote(&self, replacement: &Index) -> bool {
        if !replacement.name().starts_with(REPLACEMENT_PREFIX) {
            return false;
        }
        // Whoever holds the lock may be waiting for this very worker to end.
        let guard = match self.changes.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return true,
        };
        let promoted = self.promote_locked(replacement);
        drop(guard);
        match promoted {
            Ok(()) => false,
            Err(error) => {
                replacement
                    .publish_end(Some(format!("Index {} could not take over: {error}", replacement.name())));
                false
            }
        }
    }

    fn promote_locked(&self, replacement: &Index) -> Result<(), IndexError> {
        let name = replacement.definition().name.clone();
        let Some(new) = self.get(&format!("{REPLACEMENT_PREFIX}{name}")) else { return Ok(()) };
        if new.slot != replacement.slot {
            return Ok(());
        }
        let mut batch = Batch::new();
        Record::live(&new).write(&mut batch);
        let old = self.get(&name);
        if let Some(old) = &old {
            // What queries asked for once, they will ask for again.
            new.want_terms(old.term_fields(&self.database.view())?);
            old.stop();
            old.start.abandon();
            remove_rows(old.slot, &mut batch);
            let kept: Vec<_> = new.output_collections().collect();
            cleanup::retire(old.output_collections().filter(|old| !kept.contains(old)), &mut batch);
        }
        self.database.commit_definition(batch)?;
        new.rename(&name);
        self.indexes.insert(name.to_lowercase(), new);
        self.indexes.remove(&format!("{REPLACEMENT_PREFIX}{name}").to_lowercase());
        self.events.tell(IndexEventKind::Replaced, &name, Etag(0));
        self.clean_up();
        Ok(())
    }

    /// Stops indexing of one index, or of all, until it is resumed or the server restarts.
    ///
    /// # Errors
    /// [`IndexError::NotFound`].
    pub fn pause(&self, name: Option<&str>) -> Result<(), IndexError> {
        self.each(name, |index| {
            index.set_paused(true);
            index.tell(IndexEventKind::Paused, Etag(0));
        })
    }

    /// Goes on indexing; a disabled index stays disabled.
    ///
    /// # Errors
    /// [`IndexError::NotFound`].
    pub fn resume(&self, name: Option<&str>) -> Result<(), IndexError> {
        self.each(name, |index| {
            index.set_paused(index.definition().state == crate::definition::IndexState::Disabled);
        })
    }

    fn each(&self, name: Option<&str>, act: impl Fn(&Index)) -> Result<(), IndexError> {
        match name {
            Some(name) => {
                act(&*self.get(name).ok_or_else(|| IndexError::NotFound { name: name.to_owned() })?);
            }
            None => self.all().iter().for_each(|index| act(index)),
        }
        Ok(())
    }

    /// Enables or disables an index; this outlives restarts.
    ///
    /// # Errors
    /// [`IndexError::NotFound`], or when the store fails.
    pub fn set_enabled(&self, name: &str, enabled: bool) -> Result<(), IndexError> {
        use crate::definition::IndexState;
        let state = if enabled { IndexState::Normal } else { IndexState::Disabled };
        self.change_definition(name, |definition| definition.state = state)?;
        self.each(Some(name), |index| {
            index.set_paused(!enabled);
            if !enabled {
                index.tell(IndexEventKind::Paused, Etag(0));
            }
        })
    }

    /// Sets the priority.
    ///
    /// # Errors
    /// [`IndexError::NotFound`], or when the store fails.
    pub fn set_priority(&self, name: &str, priority: Priority) -> Result<(), IndexError> {
        self.change_definition(name, |definition| definition.priority = priority)?;
        self.events.tell(IndexEventKind::PriorityChanged, name, Etag(0));
        Ok(())
    }

    /// Sets the lock mode.
    ///
    /// # Errors
    /// [`IndexError::NotFound`], or when the store fails.
    pub fn set_lock_mode(&self, name: &str, lock_mode: LockMode) -> Result<(), IndexError> {
        self.change_definition(name, |definition| definition.lock_mode = lock_mode)?;
        self.events.tell(IndexEventKind::LockModeChanged, name, Etag(0));
        Ok(())
    }

    fn change_definition(&self, name: &str, change: impl Fn(&mut IndexDefinition)) -> Result<(), IndexError> {
        let guard = lock(&self.changes);
        let index = self.get(name).ok_or_else(|| IndexError::NotFound { name: name.to_owned() })?;
        let mut definition = (*index.definition()).clone();
        change(&mut definition);
        let mut batch = Batch::new();
        self.write_definition(&index, definition.clone(), &mut batch)?;
        self.database.commit_definition(batch)?;
        index.set_definition(definition);
        drop(guard);
        Ok(())
    }

    /// Writes the row of a build's new definition text; its slot stays.
    fn write_definition(
        &self,
        index: &Index,
        definition: IndexDefinition,
        batch: &mut Batch,
    ) -> Result<(), IndexError> {
        let name = index.definition().name.clone();
        let mut record = records::read(&self.database.view(), &name)?
            .ok_or_else(|| IndexError::NotFound { name: name.clone() })?;
        match &mut record.replacement {
            Some(next) if next.slot == index.slot => next.definition = definition,
            _ => record.live.definition = definition,
        }
        record.write(batch);
        Ok(())
    }

    /// Takes the next slot number; the batch that uses it must be committed under the lock.
    fn next_slot(&self, batch: &mut Batch) -> Result<Slot, IndexError> {
        let row = self.database.view().kv().get(Space::Meta, meta::NEXT_SLOT)?;
        let next = match row.as_deref() {
            None => 1,
            Some([a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]),
            Some(_) => return Err(IndexError::Corrupt("the slot counter".to_owned())),
        };
        let behind = next.checked_add(1).ok_or(IndexError::SlotsExhausted)?;
        batch.put(Space::Meta, meta::NEXT_SLOT, behind.to_be_bytes());
        Ok(Slot(next))
    }

    /// Removes the tombstones that every index has seen, and gives their number. A new index needs none: it has no
    /// rows of deleted documents. A paused, disabled or failed index holds back those it has not seen.
    ///
    /// # Errors
    /// When the store fails.
    pub fn purge_tombstones(&self) -> Result<u64, IndexError> {
        // An index that is added meanwhile is either asked, or knows of the purge before it reads anything.
        let guard = lock(&self.changes);
        let view = self.database.view();
        let mut seen_by_all = view.last_etag();
        for index in self.all() {
            seen_by_all = seen_by_all.min(Progress::read(view.kv(), index.slot)?.etag);
        }
        drop(view);
        self.database.announce_purge(seen_by_all);
        drop(guard);
        Ok(self.database.purge_tombstones(seen_by_all)?)
    }

    /// Stops all workers. Nothing of an index is committed after this; a worker whose script does not come back is
    /// left behind after [`crate::limits::WORKER_STOP_MS_MAX`].
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let guard = lock(&self.changes);
        let all = self.all();
        all.iter().for_each(|index| index.close());
        for index in &all {
            index.stop();
            // Whoever is told to stop does not die of it, also when its script does not come back.
            index.start.take_back(&self.database);
        }
        drop(guard);
    }
}

/// Removes what a build has on disk.
fn remove_rows(slot: Slot, batch: &mut Batch) {
    let (from, to) = slot.range();
    batch.delete_range(Space::Index, from, to);
    starts::forget(slot, batch);
}

impl Drop for Registry {
    fn drop(&mut self) {
        // The last owner may be a worker that was just promoting: it must not wait for itself, only ask to stop.
        for index in &self.indexes {
            lock(&index.control).stop = true;
            index.wake.notify_all();
        }
    }
}
