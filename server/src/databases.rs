//! The databases of a server: opening, making, deleting, finding them.
//!
//! Names are compared case-insensitively. A request holds an `Arc` of its database, so a deleted database lives until
//! its last request is done; new requests do not find it.

use crate::boot;
use crate::changes::Changes;
use crate::clock;
use crate::database_folder::{Folder, Record, check_name};
use crate::error::ServerError;
use crate::limits::REQUEST_IDS_REMEMBERED_MAX;
use crate::operations::Operations;
use crate::patch::Patcher;
use crate::random;
use magpie_indexes::{NativeIndex, Registry};
use magpie_store::Database;
use magpie_store::json::Object;
use magpie_store::kv::rocks::RocksKv;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// A database at work. The fields close in this order when the last user lets go: indexes, store, files.
pub struct OpenDatabase {
    name: String,
    indexes: Arc<Registry>,
    database: Arc<Database>,
    operations: Operations,
    patcher: Patcher,
    changes: Arc<Changes>,
    folder: Arc<Folder>,
    /// How many imports are running.
    imports: Mutex<u32>,
}

/// An import in progress: bytes of attachments may be there that no document names yet.
pub(crate) struct Importing<'d>(&'d OpenDatabase);

impl Importing<'_> {
    /// The import is over, whatever it came to: the last one removes the bytes that nothing names.
    pub(crate) fn end(self) {
        let mut imports = self.0.imports.lock().unwrap_or_else(PoisonError::into_inner);
        *imports = imports.saturating_sub(1);
        if *imports == 0
            && let Err(error) = self.0.database.remove_unused_contents()
        {
            // They are looked for again when the database is opened.
            tracing::warn!(database = %self.0.name, %error, "unused bytes of attachments stay");
        }
    }
}

impl OpenDatabase {
    /// Says that an import begins.
    pub(crate) fn importing(&self) -> Importing<'_> {
        *self.imports.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Importing(self)
    }

    /// Its name as it was given at its creation.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its documents.
    #[must_use]
    pub fn documents(&self) -> &Arc<Database> {
        &self.database
    }

    /// Its indexes.
    #[must_use]
    pub fn indexes(&self) -> &Arc<Registry> {
        &self.indexes
    }

    /// Makes the auto indexes that queries asked for. What cannot be made now is asked for again: queries do without.
    pub(crate) fn make_auto_indexes(&self) {
        if let Err(error) = self.indexes.make_wanted_auto_indexes() {
            tracing::warn!(database = %self.name, %error, "an auto index could not be made");
        }
    }

    /// Its long-running operations.
    pub(crate) fn operations(&self) -> &Operations {
        &self.operations
    }

    /// Its change notifications.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// What runs its patches.
    pub(crate) fn patcher(&self) -> &Patcher {
        &self.patcher
    }

    /// The size of its files, in bytes.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.folder.size_bytes()
    }
}

/// One name in the list.
struct Entry {
    record: Record,
    folder: Arc<Folder>,
    /// `None` when it is disabled, unless it is only in memory.
    open: Option<Arc<OpenDatabase>>,
}

/// Where the rows of databases are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// In the data folder.
    #[default]
    Disk,
    /// In memory: gone when the server stops or a database is disabled.
    Memory,
}

/// Why a server cannot start on a data folder.
#[derive(Debug, Error)]
pub enum DataFolderError {
    /// Another server uses it.
    #[error(
        "the data folder '{path}' is in use by another server; stop that one or choose another folder with --data"
    )]
    Locked {
        /// The folder.
        path: String,
    },
    /// It cannot be made or read.
    #[error("the data folder '{path}' cannot be used: {cause}")]
    Unusable {
        /// The folder.
        path: String,
        /// What failed.
        cause: String,
    },
}

/// All databases of a data folder.
pub struct Databases {
    folder: PathBuf,
    natives: Vec<NativeIndex>,
    storage: Storage,
    /// The list; held for moments only, also by async code.
    entries: Mutex<BTreeMap<String, Entry>>,
    /// Held by whoever changes the list, while the disk works: two creations of a name must not both make a folder.
    changing: Mutex<()>,
    /// (request id, name) of the last creations: clients repeat a request that they got no answer to.
    created: Mutex<VecDeque<(String, String)>>,
    /// Held as long as the server runs.
    _lock: File,
}

impl Databases {
    /// Takes the data folder for this process and opens the databases in it.
    ///
    /// # Errors
    /// [`DataFolderError`] when another process has it or the disk refuses; a database that does not open is an
    /// error too: starting without it would look like losing it.
    pub fn open(folder: &Path, natives: Vec<NativeIndex>, storage: Storage) -> Result<Self, DataFolderError> {
        let unusable =
            |cause: String| DataFolderError::Unusable { path: folder.display().to_string(), cause };
        let databases = folder.join("databases");
        fs::create_dir_all(&databases).map_err(|cause| unusable(cause.to_string()))?;
        let lock = lock(folder)?;
        let mut entries = BTreeMap::new();
        for (folder, record) in Folder::list(&databases).map_err(|error| unusable(error.to_string()))? {
            let folder = Arc::new(folder);
            let open = if record.disabled {
                None
            } else {
                Some(open(&record, &folder, &natives, storage).map_err(|error| unusable(error.to_string()))?)
            };
            entries.insert(record.name.to_lowercase(), Entry { record, folder, open });
        }
        Ok(Self {
            folder: databases,
            natives,
            storage,
            entries: Mutex::new(entries),
            changing: Mutex::new(()),
            created: Mutex::new(VecDeque::new()),
            _lock: lock,
        })
    }

    /// The database of this name, ready for requests.
    ///
    /// # Errors
    /// [`ServerError::DatabaseMissing`] or [`ServerError::DatabaseDisabled`].
    pub fn get(&self, name: &str) -> Result<Arc<OpenDatabase>, ServerError> {
        let entries = self.entries();
        let Some(entry) = entries.get(&name.to_lowercase()) else {
            return Err(ServerError::DatabaseMissing { name: name.to_owned() });
        };
        entry
            .open
            .clone()
            .filter(|_| !entry.record.disabled)
            .ok_or_else(|| ServerError::DatabaseDisabled { name: entry.record.name.clone() })
    }

    /// The record of a database, enabled or not; `None` when there is none.
    pub(crate) fn record(&self, name: &str) -> Option<Record> {
        self.entries().get(&name.to_lowercase()).map(|entry| entry.record.clone())
    }

    /// The records of all databases, by lower-cased name.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.entries().values().map(|entry| entry.record.clone()).collect()
    }

    /// Makes a database. `request_id` is that of the HTTP request: a repeated one is answered like the first.
    ///
    /// Blocking.
    ///
    /// # Errors
    /// [`ServerError::DatabaseName`], [`ServerError::DatabaseExists`], and what the disk answers.
    pub fn create(&self, name: &str, settings: Object, request_id: Option<&str>) -> Result<(), ServerError> {
        check_name(name)?;
        let _changing = locked(&self.changing);
        if self.record(name).is_some() {
            let repeated = request_id
                .is_some_and(|id| locked(&self.created).iter().any(|(seen, of)| seen == id && of == name));
            return if repeated {
                Ok(())
            } else {
                Err(ServerError::DatabaseExists { name: name.to_owned() })
            };
        }
        let record = Record { name: name.to_owned(), disabled: false, settings };
        let folder = Arc::new(Folder::create(&self.folder, &record)?);
        let open = match open(&record, &folder, &self.natives, self.storage) {
            Ok(open) => open,
            Err(error) => {
                folder.delete(name, true)?;
                return Err(error);
            }
        };
        self.entries().insert(name.to_lowercase(), Entry { record, folder, open: Some(open) });
        if let Some(id) = request_id {
            let mut created = locked(&self.created);
            created.truncate(REQUEST_IDS_REMEMBERED_MAX - 1);
            created.push_front((id.to_owned(), name.to_owned()));
        }
        Ok(())
    }

    /// Takes a database from the list; with `remove_files` its data goes too. `false` when there is none.
    ///
    /// Blocking: waits for the index workers to stop.
    ///
    /// # Errors
    /// When the disk refuses; the database is then still there.
    pub fn delete(&self, name: &str, remove_files: bool) -> Result<bool, ServerError> {
        let _changing = locked(&self.changing);
        let Some(folder) = self.entries().get(&name.to_lowercase()).map(|entry| Arc::clone(&entry.folder))
        else {
            return Ok(false);
        };
        folder.delete(name, remove_files)?;
        let removed = self.entries().remove(&name.to_lowercase());
        if let Some(open) = removed.and_then(|entry| entry.open) {
            open.indexes.stop();
            if !remove_files {
                open.database.flush()?;
            }
        }
        Ok(true)
    }

    /// Disables or enables a database; `false` when there is none.
    ///
    /// Blocking: disabling waits for the index workers, enabling opens the store.
    ///
    /// # Errors
    /// When the disk refuses, or the store does not open yet because requests from before still use it.
    pub fn set_disabled(&self, name: &str, disabled: bool) -> Result<bool, ServerError> {
        let _changing = locked(&self.changing);
        let key = name.to_lowercase();
        let known = self
            .entries()
            .get(&key)
            .map(|entry| (entry.record.clone(), Arc::clone(&entry.folder), entry.open.clone()));
        let Some((mut record, folder, was_open)) = known else { return Ok(false) };
        // What is only in memory would be gone if it were closed.
        let stays_open = was_open.filter(|_| self.storage == Storage::Memory);
        if record.disabled == disabled {
            return Ok(true);
        }
        record.disabled = disabled;
        folder.write_record(&record)?;
        let stays = stays_open.is_some();
        let opened = match stays_open {
            Some(open) => Some(open),
            None if disabled => None,
            None => Some(open(&record, &folder, &self.natives, self.storage)?),
        };
        let before = self.entries().insert(key, Entry { record, folder, open: opened });
        if let Some(open) = before.and_then(|entry| entry.open).filter(|_| !stays) {
            open.indexes.stop();
            open.database.flush()?;
        }
        Ok(true)
    }

    /// Stops the indexes and writes everything to its final place. Blocking; used at the end.
    pub fn close(&self) {
        let entries = std::mem::take(&mut *self.entries());
        for open in entries.into_values().filter_map(|entry| entry.open) {
            open.indexes.stop();
            if let Err(error) = open.database.flush() {
                tracing::error!(database = open.name(), %error, "the last flush failed; the log has the data");
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        locked(&self.entries)
    }
}

/// A panic while the list was held leaves it whole: every change of it is one insertion or removal.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(
    record: &Record,
    folder: &Arc<Folder>,
    natives: &[NativeIndex],
    storage: Storage,
) -> Result<Arc<OpenDatabase>, ServerError> {
    let kv = match storage {
        Storage::Disk => RocksKv::open(&folder.store()),
        Storage::Memory => RocksKv::open_in_memory(),
    };
    let kv = kv.map_err(magpie_store::StoreError::Kv)?;
    let database = Arc::new(Database::open(Arc::new(kv), &random::database_id()?)?);
    // What an import had brought when the server ended.
    database.remove_unused_contents()?;
    let clock = Arc::new(clock::now);
    let indexes = Registry::open_in_boot(Arc::clone(&database), clock, natives.to_vec(), boot::number())?;
    let changes = Arc::new(Changes::default());
    let (of_documents, of_indexes) = (Arc::clone(&changes), Arc::clone(&changes));
    database.on_commit(Box::new(move |newest| of_documents.documents(newest)));
    indexes.on_event(Box::new(move |event| of_indexes.index(event)));
    tracing::info!(database = %record.name, documents_etag = %database.last_etag(), "database open");
    Ok(Arc::new(OpenDatabase {
        name: record.name.clone(),
        indexes,
        database,
        operations: Operations::telling(Arc::clone(&changes)),
        patcher: Patcher::default(),
        changes,
        folder: Arc::clone(folder),
        imports: Mutex::default(),
    }))
}

/// Takes the folder for this process: the lock goes with the process, however it ends.
fn lock(folder: &Path) -> Result<File, DataFolderError> {
    let path = folder.display().to_string();
    let unusable =
        |cause: std::io::Error| DataFolderError::Unusable { path: path.clone(), cause: cause.to_string() };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("magpie.lock"))
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataFolderError::Locked { path }),
        Err(TryLockError::Error(cause)) => Err(unusable(cause)),
    }
}
