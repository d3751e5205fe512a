//! The seam to the disk: an ordered key-value store with snapshots and atomic batches.
//!
//! Two implementations: [`crate::kv::rocks`] keeps data in RocksDB, [`crate::kv::memory`] keeps it in memory and
//! can be told to fail the n-th commit and to lose what was not synced. Everything above goes through this trait,
//! so every test can put a liar underneath.

pub mod memory;
pub mod rocks;
mod scan_cursor;

pub use scan_cursor::ScanCursor;
use std::fs::File;
use thiserror::Error;

/// A keyspace of the store. Rows of different spaces never meet in a scan; a batch may touch all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Format version, counters, identities, index definitions: few, small rows.
    Meta,
    /// Documents and the tombstone records of deleted ones, by lower-cased id.
    Documents,
    /// The change feed, by collection and etag.
    Feed,
    /// All rows of all indexes.
    Index,
    /// The bytes of attachments, and how often they are used.
    Attachments,
    /// The values of counters, by document and name.
    Counters,
}

impl Space {
    /// Every space, in a fixed order.
    pub const ALL: [Self; 6] =
        [Self::Meta, Self::Documents, Self::Feed, Self::Index, Self::Attachments, Self::Counters];
}

/// How durable a commit is when [`Kv::commit`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On disk: survives power loss, together with all earlier commits.
    Synced,
    /// In order behind all earlier commits, but a crash may lose it (and everything after it, nothing before it).
    Buffered,
}

/// One change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a row.
    Put(Space, Vec<u8>, Vec<u8>),
    /// Removes a row; it need not exist.
    Delete(Space, Vec<u8>),
    /// Removes every row from the first key (inclusive) to the second (exclusive).
    DeleteRange(Space, Vec<u8>, Vec<u8>),
}

impl Change {
    /// Whether it is about a row.
    fn concerns(&self, space: Space, key: &[u8]) -> bool {
        match self {
            Self::Put(other, name, _) | Self::Delete(other, name) => *other == space && name == key,
            Self::DeleteRange(other, from, to) => {
                *other == space && from.as_slice() <= key && key < to.as_slice()
            }
        }
    }
}

/// Changes that become visible and durable together or not at all. Later changes of a row win.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    changes: Vec<Change>,
    bytes: usize,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a row.
    pub fn put(&mut self, space: Space, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        let (key, value) = (key.into(), value.into());
        self.bytes += key.len() + value.len();
        self.changes.push(Change::Put(space, key, value));
    }

    /// Removes a row if it exists.
    pub fn delete(&mut self, space: Space, key: impl Into<Vec<u8>>) {
        let key = key.into();
        self.bytes += key.len();
        self.changes.push(Change::Delete(space, key));
    }

    /// Removes the rows from `from` (inclusive) to `to` (exclusive).
    pub fn delete_range(&mut self, space: Space, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        let (from, to) = (from.into(), to.into());
        self.bytes += from.len() + to.len();
        self.changes.push(Change::DeleteRange(space, from, to));
    }

    /// Adds the changes of `later` behind its own.
    pub fn append(&mut self, later: Self) {
        self.bytes += later.bytes;
        self.changes.extend(later.changes);
    }

    /// The value that a row is set to by the last change of it, if that sets it.
    #[must_use]
    pub fn last_put(&self, space: Space, key: &[u8]) -> Option<&[u8]> {
        let last = self.changes.iter().rev().find(|change| change.concerns(space, key))?;
        match last {
            Change::Put(_, _, value) => Some(value),
            Change::Delete(..) | Change::DeleteRange(..) => None,
        }
    }

    /// Has the last change of a row set another value, if it sets one; gives the value back if not.
    pub fn replace_put(&mut self, space: Space, key: &[u8], value: Vec<u8>) -> Option<Vec<u8>> {
        let last = self.changes.iter_mut().rev().find(|change| change.concerns(space, key));
        match last {
            Some(Change::Put(_, _, place)) => {
                self.bytes = self.bytes.saturating_sub(place.len()).saturating_add(value.len());
                *place = value;
                None
            }
            _ => Some(value),
        }
    }

    /// The changes in order.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// How many changes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The sum of all key and value lengths, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The order of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Forward,
    /// Largest key first.
    Reverse,
}

/// A row: (key, value).
pub type Row = (Vec<u8>, Vec<u8>);

/// The rows of a scan, in order. After an `Err` it ends.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<Row, KvError>> + 'a>;

/// One consistent state of the store: later commits do not show in it.
pub trait View: Send + Sync {
    /// The value of one row.
    ///
    /// # Errors
    /// When the disk fails or a checksum does not match.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError>;

    /// The rows with `from <= key < to`, smallest first or largest first.
    fn scan<'a>(&'a self, space: Space, from: &[u8], to: &[u8], direction: Direction) -> Rows<'a>;

    /// A cursor over the rows with `key < to` that jumps for less than a new scan costs; `None` where there is no such
    /// thing.
    fn cursor<'a>(&'a self, _space: Space, _to: &[u8]) -> Option<Box<dyn Cursor + 'a>> {
        None
    }

    /// A number that no other state of this store has, as long as it is open; `None` when the state is not known by
    /// number, as while something is being committed. What was read in one state holds in each view with its number.
    fn version(&self) -> Option<u64> {
        None
    }

    /// Whether a [`Kv::light_snapshot`] refused to read something, so that what was read is not all.
    fn gave_up(&self) -> bool {
        false
    }
}

/// Goes forwards and backwards over rows, and jumps.
pub trait Cursor {
    /// The first row from `key` on.
    ///
    /// # Errors
    /// As [`View::get`].
    fn seek(&mut self, key: &[u8]) -> Result<Option<Row>, KvError>;

    /// The row behind the one that was given last, which [`Self::seek`] or this found.
    ///
    /// # Errors
    /// As [`View::get`].
    fn next(&mut self) -> Result<Option<Row>, KvError>;

    /// The last row before `key`.
    ///
    /// # Errors
    /// As [`View::get`].
    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Row>, KvError>;

    /// The row before the one that was given last, which [`Self::seek_back`] or this found.
    ///
    /// # Errors
    /// As [`View::get`].
    fn previous(&mut self) -> Result<Option<Row>, KvError>;
}

/// An ordered key-value store.
pub trait Kv: Send + Sync {
    /// The state as of now; cheap.
    fn snapshot<'a>(&'a self) -> Box<dyn View + 'a>;

    /// The state as of now for who must not wait for the disk: it reads what is in memory, and no more than
    /// [`LIGHT_READS_MAX`](crate::limits::LIGHT_READS_MAX) rows of
    /// [`LIGHT_BYTES_MAX`](crate::limits::LIGHT_BYTES_MAX) together. Beyond that it fails with
    /// [`KvError::NotAtHand`], and [`View::gave_up`] says so from then on.
    fn light_snapshot<'a>(&'a self) -> Box<dyn View + 'a> {
        self.snapshot()
    }

    /// Applies a batch atomically.
    ///
    /// # Errors
    /// When the disk fails. Whether the batch is on disk is then unknown: the caller must stop writing.
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), KvError>;

    /// A file beside the data for work that does not fit into memory. It has no name and is gone with its handle,
    /// however the process ends.
    ///
    /// # Errors
    /// When the disk fails.
    fn scratch_file(&self) -> Result<File, KvError>;

    /// An empty sorted file for [`Self::ingest`]; `None` when this store does not take any.
    ///
    /// # Errors
    /// When the disk fails.
    fn sorted_file(&self, space: Space) -> Result<Option<Box<dyn SortedFile + '_>>, KvError>;

    /// Adds finished files of one space, all of them or none, durably. They must not overlap. Their rows win over
    /// those of earlier commits.
    ///
    /// # Errors
    /// When the disk fails; whether they were added is then unknown, as with [`Self::commit`].
    fn ingest(&self, space: Space, files: Vec<FinishedFile>) -> Result<(), KvError>;

    /// Writes buffered state to its final place so that the next open needs no replay. Used at a graceful stop.
    ///
    /// # Errors
    /// When the disk fails.
    fn flush(&self) -> Result<(), KvError>;
}

/// Rows on their way into a store past its write-ahead log: many, and in the order of their keys. A file that is
/// dropped unfinished, or finished and never ingested, is removed.
pub trait SortedFile: Send {
    /// Adds a row, whose key must be larger than that of the row before.
    ///
    /// # Errors
    /// When the disk fails or the order is broken.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), KvError>;

    /// Completes the file; `None` when it has no rows.
    ///
    /// # Errors
    /// When the disk fails.
    fn finish(self: Box<Self>) -> Result<Option<FinishedFile>, KvError>;
}

/// A complete sorted file.
pub struct FinishedFile(pub(crate) Finished);

/// Where its rows are.
pub(crate) enum Finished {
    /// In memory.
    Rows(Vec<Row>),
    /// In a file that is removed when this is dropped.
    Path(tempfile::TempPath),
}

impl std::fmt::Debug for FinishedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Finished::Rows(rows) => write!(f, "FinishedFile({} rows)", rows.len()),
            Finished::Path(path) => write!(f, "FinishedFile({})", path.display()),
        }
    }
}

/// A failure of the disk or of the files on it.
#[derive(Debug, Error)]
pub enum KvError {
    /// Another process has the folder open.
    #[error("the data folder '{path}' is in use by another process; stop that one or choose another folder")]
    Locked {
        /// The folder.
        path: String,
    },
    /// The disk or the storage engine failed.
    #[error("storage failed: {0}")]
    Storage(String),
    /// A row that a light snapshot does not read: it is on disk alone, or one too many.
    #[error(
        "a light read would have to wait for the disk, or would be too long; read with a snapshot instead"
    )]
    NotAtHand,
    /// A fault that a test asked for.
    #[error("injected fault at commit {0}")]
    Injected(u64),
}
