//! The database: open, write commands, stop after a failed commit.
//!
//! Concurrent writers share synced commits (`group_commit.rs`); what a group writes is worked out in `write.rs`
//! under the commit lock, which also covers etags, the collection registry, identities and the purge of tombstones.
//! Index rows are committed past that lock, as they never touch those rows. A commit whose outcome is unknown stops
//! all writing until the database is opened again: memory and disk may disagree from then on.

use crate::command::{Command, Outcome};
use crate::document::Etag;
use crate::error::StoreError;
use crate::group_commit::GroupCommit;
use crate::keys;
use crate::kv::{Batch, Direction, Durability, FinishedFile, Kv, KvError, SortedFile, Space, View};
use crate::limits::GROUP_COMMIT_BYTES_MAX;
use crate::rows::{self, CollectionRow};
use crate::timestamp::Timestamp;
use crate::view::DatabaseView;
use crate::write::{Committed, Group};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

type Request = (Vec<Command>, Timestamp);
type Answer = Result<Vec<Outcome>, StoreError>;
type Listener = Box<dyn Fn(Etag) + Send + Sync>;

/// An open database. Shared between threads behind an [`Arc`].
pub struct Database {
    kv: Arc<dyn Kv>,
    id: Box<str>,
    group_commit: GroupCommit<Request, Answer>,
    /// The commit lock, and what the last commit left.
    committed: Mutex<Committed>,
    published: AtomicU64,
    /// Tombstones up to this etag may be gone.
    pub(crate) purged: AtomicU64,
    /// The newest etag of a state that is known by number.
    known_last: Mutex<Option<(u64, Etag)>>,
    listeners: RwLock<Vec<Listener>>,
    stopped: OnceLock<String>,
}

impl Database {
    /// Opens the database in `kv`, or makes a new one with the id `database_id_if_new` (22 characters, part of every
    /// change vector) in an empty store.
    ///
    /// # Errors
    /// [`StoreError::UnsupportedFormat`], [`StoreError::Corrupt`], [`StoreError::Kv`].
    pub fn open(kv: Arc<dyn Kv>, database_id_if_new: &str) -> Result<Self, StoreError> {
        let found = read_settings(kv.snapshot().as_ref())?;
        let (id, committed) = match found {
            Some((id, committed, format)) => {
                if format != keys::FORMAT_VERSION {
                    kv.commit(format_row(), Durability::Synced)?;
                }
                (id, committed)
            }
            None => {
                create(kv.as_ref(), database_id_if_new)?;
                (database_id_if_new.into(), Committed::default())
            }
        };
        Ok(Self {
            kv,
            id,
            group_commit: GroupCommit::new(GROUP_COMMIT_BYTES_MAX),
            published: AtomicU64::new(committed.last_etag.0),
            purged: AtomicU64::new(0),
            known_last: Mutex::default(),
            committed: Mutex::new(committed),
            listeners: RwLock::new(Vec::new()),
            stopped: OnceLock::new(),
        })
    }

    /// The database's id, the tail of its change vectors; 22 characters.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Executes the commands in order, all of them or none. Each sees what the ones before it did. Blocks until the
    /// outcome is on disk; concurrent calls share the disk's syncs. `now` becomes the documents' last-modified time.
    ///
    /// Gives one outcome per command.
    ///
    /// # Errors
    /// [`StoreError::InvalidId`], [`StoreError::Conflict`], [`StoreError::ExchangeConflict`],
    /// [`StoreError::CollectionMismatch`]: nothing was written.
    /// [`StoreError::WritesStopped`]: the commit failed, now or earlier; if now, the outcome is unknown until the
    /// database is opened again, when the request will be there wholly or not at all.
    /// [`StoreError::Kv`], [`StoreError::Corrupt`]: reading failed; nothing was written.
    pub fn write(&self, commands: Vec<Command>, now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
        self.check_writable()?;
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let weight = commands.iter().map(Command::weight).fold(0, usize::saturating_add);
        let answer =
            self.group_commit.submit((commands, now), weight, |requests| self.commit_group(requests));
        answer.unwrap_or_else(|| {
            self.stop_writes("the thread that committed for others panicked");
            Err(self
                .check_writable()
                .err()
                .unwrap_or_else(|| StoreError::WritesStopped { cause: String::new() }))
        })
    }

    /// A consistent view of everything committed so far.
    #[must_use]
    pub fn view(&self) -> DatabaseView<'_> {
        // Read before the snapshot is taken, it is a state that the snapshot surely has.
        let published = self.last_etag();
        self.view_of(self.kv.snapshot(), published)
    }

    /// [`Self::view`] for who must not wait for the disk; see [`Kv::light_snapshot`]. When [`View::gave_up`] says so
    /// afterwards, nothing that was read counts.
    #[must_use]
    pub fn light_view(&self) -> DatabaseView<'_> {
        let published = self.last_etag();
        self.view_of(self.kv.light_snapshot(), published)
    }

    fn known_last(&self) -> MutexGuard<'_, Option<(u64, Etag)>> {
        self.known_last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view_of<'a>(&'a self, kv: Box<dyn View + 'a>, published: Etag) -> DatabaseView<'a> {
        let version = kv.version();
        let known = *self.known_last();
        let last = match (version, known) {
            (Some(version), Some((of, last))) if of == version => last,
            // When the row cannot be read, the etag published earlier still is a state that the view contains.
            _ => last_etag(kv.as_ref()).map_or(published, |last| {
                if let Some(version) = version {
                    *self.known_last() = Some((version, last));
                }
                last
            }),
        };
        DatabaseView::new(kv, &self.id, last)
    }

    /// The etag of the newest write that has been committed and published.
    #[must_use]
    pub fn last_etag(&self) -> Etag {
        Etag(self.published.load(Ordering::Acquire))
    }

    /// Has `listener` called after each commit of documents with the newest etag, on a writer's thread, before the
    /// write returns to that thread. It must be quick and must not write. A panic in it is ignored.
    pub fn on_commit(&self, listener: Box<dyn Fn(Etag) + Send + Sync>) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Commits rows of indexes, in order behind all earlier commits but without waiting for the disk: a crash may
    /// lose them (and later commits), never an earlier one. No rows of this crate must be in it.
    ///
    /// # Errors
    /// [`StoreError::WritesStopped`] when this commit or an earlier one failed.
    pub fn commit_derived(&self, batch: Batch) -> Result<(), StoreError> {
        self.commit(batch, Durability::Buffered)
    }

    /// Commits rows of indexes together with documents made of them: both or neither, and like any document on disk
    /// when it returns. Gives the newest etag after it.
    ///
    /// # Errors
    /// Those of [`Self::write`]; after [`StoreError::Conflict`] and [`StoreError::CollectionMismatch`] nothing was
    /// written, the rows included.
    pub fn commit_derived_with(
        &self,
        rows: Batch,
        documents: Vec<Command>,
        now: Timestamp,
    ) -> Result<Etag, StoreError> {
        let mut committed = self.lock_committed();
        self.check_writable()?;
        let stop = StopOnPanic(self);
        let (mut batch, layer) = {
            let view = self.kv.snapshot();
            let mut group = Group::new(view.as_ref(), &self.id, &committed);
            group.run(documents, now)?;
            group.finish()
        };
        batch.append(rows);
        self.commit(batch, Durability::Synced)?;
        let has_documents = layer.has_documents();
        layer.settle(&mut committed);
        let after = committed.last_etag;
        self.published.store(after.0, Ordering::Release);
        drop(stop);
        drop(committed);
        if has_documents {
            self.tell_listeners(after);
        }
        Ok(after)
    }

    /// Commits settings, such as index definitions, and waits for the disk. In [`Space::Meta`] its keys must not
    /// begin with `s/`.
    ///
    /// # Errors
    /// [`StoreError::WritesStopped`] when this commit or an earlier one failed.
    pub fn commit_definition(&self, batch: Batch) -> Result<(), StoreError> {
        self.commit(batch, Durability::Synced)
    }

    /// A file beside the data for work that does not fit into memory; it has no name and is gone with its handle.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn scratch_file(&self) -> Result<File, StoreError> {
        Ok(self.kv.scratch_file()?)
    }

    /// An empty file for [`Self::ingest_derived`]; `None` when the store takes none.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sorted_file(&self) -> Result<Option<Box<dyn SortedFile + '_>>, StoreError> {
        Ok(self.kv.sorted_file(Space::Index)?)
    }

    /// Commits files of index rows, all or none, as one batch that is on disk when this returns. The files must not
    /// overlap.
    ///
    /// # Errors
    /// As for [`Self::commit_derived`].
    pub fn ingest_derived(&self, files: Vec<FinishedFile>) -> Result<(), StoreError> {
        self.check_writable()?;
        if let Err(error) = self.kv.ingest(Space::Index, files) {
            self.stop_writes(&error.to_string());
        }
        self.check_writable()
    }

    /// Writes everything to its final place, so that the next open is quick. For a graceful stop.
    ///
    /// # Errors
    /// [`StoreError::Kv`] when the disk fails.
    pub fn flush(&self) -> Result<(), StoreError> {
        Ok(self.kv.flush()?)
    }

    /// Why the database takes no writes, if it does not.
    #[must_use]
    pub fn writes_stopped(&self) -> Option<String> {
        self.stopped.get().cloned()
    }

    /// Makes a change under the commit lock that touches neither documents nor etags, and syncs it.
    pub(crate) fn exclusively<T>(
        &self,
        change: impl FnOnce(&dyn Kv, &mut Committed) -> Result<(Batch, T), StoreError>,
    ) -> Result<T, StoreError> {
        let mut committed = self.lock_committed();
        self.check_writable()?;
        let _stop = StopOnPanic(self);
        let mut changed = committed.clone();
        let (batch, result) = change(self.kv.as_ref(), &mut changed)?;
        if !batch.is_empty() {
            self.commit(batch, Durability::Synced)?;
            *committed = changed;
        }
        Ok(result)
    }

    /// Runs on the thread of one of the requests' callers, for all of them.
    fn commit_group(&self, requests: Vec<Request>) -> Vec<Answer> {
        let count = requests.len();
        let mut committed = self.lock_committed();
        if self.stopped.get().is_some() {
            return self.all_stopped(count);
        }
        let stop = StopOnPanic(self);
        let (answers, (batch, layer)) = {
            let view = self.kv.snapshot();
            let mut group = Group::new(view.as_ref(), &self.id, &committed);
            let answers: Vec<Answer> =
                requests.into_iter().map(|(commands, now)| group.run(commands, now)).collect();
            (answers, group.finish())
        };
        if batch.is_empty() {
            return answers;
        }
        if self.commit(batch, Durability::Synced).is_err() {
            // Also those that failed by themselves: what they were checked against may not exist.
            return self.all_stopped(count);
        }
        let has_documents = layer.has_documents();
        layer.settle(&mut committed);
        let after = committed.last_etag;
        self.published.store(after.0, Ordering::Release);
        drop(stop);
        drop(committed);
        if has_documents {
            self.tell_listeners(after);
        }
        answers
    }

    fn tell_listeners(&self, etag: Etag) {
        for listener in self.listeners.read().unwrap_or_else(PoisonError::into_inner).iter() {
            // The writes are done; a faulty listener must not make their callers believe otherwise. The panic
            // itself has been printed by the panic hook.
            let _ = catch_unwind(AssertUnwindSafe(|| listener(etag)));
        }
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        self.check_writable()?;
        if let Err(error) = self.kv.commit(batch, durability) {
            self.stop_writes(&error.to_string());
        }
        self.check_writable()
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        match self.stopped.get() {
            Some(cause) => Err(StoreError::WritesStopped { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    fn all_stopped(&self, count: usize) -> Vec<Answer> {
        let cause = self.stopped.get().cloned().unwrap_or_default();
        (0..count).map(|_| Err(StoreError::WritesStopped { cause: cause.clone() })).collect()
    }

    fn stop_writes(&self, cause: &str) {
        // The first cause stays: the later ones follow from it.
        let _ = self.stopped.set(cause.to_owned());
    }

    fn lock_committed(&self) -> MutexGuard<'_, Committed> {
        // Whoever panicked while holding it has stopped all writes (StopOnPanic).
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops all writes when it is dropped by a panic: memory and disk may disagree.
struct StopOnPanic<'a>(&'a Database);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop_writes("a write panicked");
        }
    }
}

/// Reads what was there when the store was last open, and its format; `None` for a new store.
fn read_settings(view: &dyn View) -> Result<Option<(Box<str>, Committed, u64)>, StoreError> {
    let Some(format) = view.get(Space::Meta, keys::FORMAT)? else { return Ok(None) };
    let found = rows::parse_counter(&format)?;
    if !(keys::FORMAT_VERSION_READ..=keys::FORMAT_VERSION).contains(&found) {
        return Err(StoreError::UnsupportedFormat { found, supported: keys::FORMAT_VERSION });
    }
    let id = view.get(Space::Meta, keys::DATABASE_ID)?.and_then(|id| String::from_utf8(id).ok());
    let id = id.ok_or_else(|| StoreError::Corrupt("the database id is missing or not text".to_owned()))?;
    let mut committed = Committed { last_etag: last_etag(view)?, ..Committed::default() };
    if let Some(row) = view.get(Space::Meta, keys::ATTACHMENTS)? {
        committed.attachments = rows::parse_pair("attachments", &row)?;
    }
    if let Some(row) = view.get(Space::Meta, keys::COUNTERS)? {
        committed.counters = rows::parse_pair("counters", &row)?;
    }
    let (from, to) = keys::collections();
    for row in view.scan(Space::Meta, &from, &to, Direction::Forward) {
        let (key, value) = row?;
        committed.collections.insert(keys::collection_of(&key)?.into(), CollectionRow::decode(&value)?);
    }
    Ok(Some((id.into(), committed, found)))
}

/// The last etag that a view shows.
pub(crate) fn last_etag(view: &dyn View) -> Result<Etag, StoreError> {
    let row = view.get(Space::Meta, keys::LAST_ETAG)?;
    let row = row.ok_or_else(|| StoreError::Corrupt("the last etag is missing".to_owned()))?;
    Ok(Etag(rows::parse_counter(&row)?))
}

fn format_row() -> Batch {
    let mut batch = Batch::new();
    batch.put(Space::Meta, keys::FORMAT, rows::counter(keys::FORMAT_VERSION));
    batch
}

fn create(kv: &dyn Kv, id: &str) -> Result<(), KvError> {
    let mut batch = format_row();
    batch.put(Space::Meta, keys::DATABASE_ID, id.as_bytes());
    batch.put(Space::Meta, keys::LAST_ETAG, rows::counter(0));
    kv.commit(batch, Durability::Synced)
}
