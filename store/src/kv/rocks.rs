//! The store on disk: one RocksDB per folder, one column family per [`Space`].
//!
//! This file alone knows RocksDB. Its choices: lz4 for the upper levels and zstd for the bottom one; bloom filters
//! where rows are looked up that often do not exist (a new document's id); a bounded write-ahead log, so that
//! opening after a crash replays little; bounded memory. Every commit goes through the write-ahead log, so a
//! [`Durability::Synced`] commit makes all earlier ones durable too. After a crash the log is replayed up to its
//! first damaged record: commits survive as a prefix.

use super::{
    Batch, Change, Cursor, Direction, Durability, Finished, FinishedFile, Kv, KvError, Row, Rows, SortedFile,
    Space, View,
};
use crate::limits::{LIGHT_BYTES_MAX, LIGHT_READS_MAX};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB,
    DBCompressionType, DBRawIterator, DBRecoveryMode, Env, ErrorKind, FlushOptions,
    IngestExternalFileOptions, LogLevel, Options, ReadOptions, ReadTier, Snapshot, SstFileWriter, WriteBatch,
    WriteOptions,
};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use tempfile::{NamedTempFile, TempPath};

const MIB: usize = 1024 * 1024;
/// Cached blocks of all column families.
const BLOCK_CACHE_BYTES: usize = 64 * MIB;
/// One memtable of one column family.
const WRITE_BUFFER_BYTES: usize = 32 * MIB;
/// All memtables together.
const WRITE_BUFFERS_BYTES_MAX: usize = 96 * MIB;
/// The write-ahead log, and so what an open after a crash has to replay.
const WAL_BYTES_MAX: u64 = 64 * MIB as u64;
/// Values from this size on lie in files of their own.
const BLOB_BYTES_MIN: u64 = 16 * 1024;
/// The folder of sorted files on their way into the store, inside of its own.
const INCOMING_FOLDER: &str = "incoming";
const SORTED_FILE_ZSTD_LEVEL: i32 = 1;
/// RocksDB's word for the window that belongs to the level.
const ZSTD_WINDOW_DEFAULT: i32 = -14;
const OPEN_FILES_MAX: i32 = 512;
const BLOOM_BITS_PER_KEY: f64 = 10.0;
/// The share of a memtable's size that its bloom filter takes besides.
const MEMTABLE_BLOOM_SHARE: f64 = 0.05;

/// A [`Kv`] in a folder. The folder belongs to one process at a time.
pub struct RocksKv {
    db: DB,
    /// Where sorted files are made; `None` when everything lives in memory.
    incoming: Option<PathBuf>,
    /// The options of sorted files of indexes, the only space that has any.
    sorted: Options,
    writes: Writes,
}

/// How many commits have begun and ended, to tell states from each other.
#[derive(Default)]
struct Writes {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Writes {
    /// Makes a commit. One that never ends leaves all later states without a number.
    fn commit<T>(&self, write: impl FnOnce() -> T) -> T {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let written = write();
        self.ended.fetch_add(1, Ordering::SeqCst);
        written
    }
}

impl RocksKv {
    /// Opens the store in `path`; creates the folder and an empty store when there is none.
    ///
    /// # Errors
    /// [`KvError::Locked`] when another process, or another handle of this one, has it open;
    /// [`KvError::Storage`] when the disk fails or the files are damaged.
    pub fn open(path: &Path) -> Result<Self, KvError> {
        create_folder(path)?;
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families =
            Space::ALL.map(|space| ColumnFamilyDescriptor::new(name(space), family_options(space, &cache)));
        let db = DB::open_cf_descriptors(&database_options(), path, families)
            .map_err(|error| open_error(&error, path))?;
        let incoming = path.join(INCOMING_FOLDER);
        // What a process left there that did not end well.
        if incoming.is_dir() {
            fs::remove_dir_all(&incoming).map_err(|error| folder_error(&incoming, &error))?;
        }
        fs::create_dir(&incoming).map_err(|error| folder_error(&incoming, &error))?;
        Ok(Self { db, incoming: Some(incoming), sorted: sorted_options(&cache), writes: Writes::default() })
    }

    /// Opens an empty store that lives in memory and ends with this handle. Everything else is as on disk.
    ///
    /// # Errors
    /// [`KvError::Storage`] when memory cannot be had.
    pub fn open_in_memory() -> Result<Self, KvError> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families =
            Space::ALL.map(|space| ColumnFamilyDescriptor::new(name(space), family_options(space, &cache)));
        let mut options = database_options();
        options.set_env(&Env::mem_env().map_err(|error| storage(&error))?);
        let db = DB::open_cf_descriptors(&options, "/magpie", families).map_err(|error| storage(&error))?;
        Ok(Self { db, incoming: None, sorted: sorted_options(&cache), writes: Writes::default() })
    }

    fn family(&self, space: Space) -> Result<&ColumnFamily, KvError> {
        family(&self.db, space)
    }

    fn view(&self, light: Option<Light>) -> RocksView<'_> {
        // When as many commits had ended before the snapshot as have begun after it, it shows exactly those.
        let ended = self.writes.ended.load(Ordering::SeqCst);
        let snapshot = self.db.snapshot();
        let begun = self.writes.begun.load(Ordering::SeqCst);
        RocksView { db: &self.db, snapshot, version: (ended == begun).then_some(begun), light }
    }
}

impl Kv for RocksKv {
    fn snapshot<'a>(&'a self) -> Box<dyn View + 'a> {
        Box::new(self.view(None))
    }

    fn light_snapshot<'a>(&'a self) -> Box<dyn View + 'a> {
        Box::new(self.view(Some(Light::new())))
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), KvError> {
        // A row costs some bytes of framing besides its key and value.
        let mut writes = WriteBatch::with_capacity_bytes(batch.bytes() + 16 * batch.len() + 64);
        for change in batch.into_changes() {
            match change {
                Change::Put(space, key, value) => writes.put_cf(self.family(space)?, key, value),
                Change::Delete(space, key) => writes.delete_cf(self.family(space)?, key),
                Change::DeleteRange(space, from, to) => writes.delete_range_cf(self.family(space)?, from, to),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.writes.commit(|| self.db.write_opt(writes, &options)).map_err(|error| storage(&error))
    }

    fn scratch_file(&self) -> Result<File, KvError> {
        let file = match &self.incoming {
            Some(folder) => tempfile::tempfile_in(folder),
            None => tempfile::tempfile(),
        };
        file.map_err(|error| KvError::Storage(format!("a scratch file: {error}")))
    }

    fn sorted_file(&self, space: Space) -> Result<Option<Box<dyn SortedFile + '_>>, KvError> {
        let Some(folder) = self.incoming.as_ref().filter(|_| space == Space::Index) else { return Ok(None) };
        let file = NamedTempFile::new_in(folder).map_err(|error| folder_error(folder, &error))?;
        let writer = SstFileWriter::create(&self.sorted);
        let path = file.into_temp_path();
        writer.open(&path).map_err(|error| storage(&error))?;
        Ok(Some(Box::new(RocksFile { writer, path, is_empty: true })))
    }

    fn ingest(&self, space: Space, files: Vec<FinishedFile>) -> Result<(), KvError> {
        let mut paths = Vec::with_capacity(files.len());
        for file in files {
            let Finished::Path(path) = file.0 else {
                return Err(KvError::Storage("a sorted file of another store".to_owned()));
            };
            paths.push(path);
        }
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        let paths_only: Vec<&Path> = paths.iter().map(|path| &**path).collect();
        let family = self.family(space)?;
        self.writes
            .commit(|| self.db.ingest_external_file_cf_opts(family, &options, paths_only))
            .map_err(|error| storage(&error))
    }

    fn flush(&self) -> Result<(), KvError> {
        let families: Vec<&ColumnFamily> =
            Space::ALL.into_iter().map(|space| self.family(space)).collect::<Result<_, _>>()?;
        if self.incoming.is_none() {
            // There is no other place that its rows could be written to.
            return Ok(());
        }
        self.db.flush_wal(true).map_err(|error| storage(&error))?;
        self.db.flush_cfs_opt(&families, &FlushOptions::default()).map_err(|error| storage(&error))
    }
}

/// A sorted file in the making.
struct RocksFile<'a> {
    writer: SstFileWriter<'a>,
    path: TempPath,
    is_empty: bool,
}

impl SortedFile for RocksFile<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), KvError> {
        self.is_empty = false;
        self.writer.put(key, value).map_err(|error| storage(&error))
    }

    fn finish(mut self: Box<Self>) -> Result<Option<FinishedFile>, KvError> {
        if self.is_empty {
            return Ok(None);
        }
        self.writer.finish().map_err(|error| storage(&error))?;
        Ok(Some(FinishedFile(Finished::Path(self.path))))
    }
}

/// A RocksDB snapshot.
struct RocksView<'a> {
    db: &'a DB,
    snapshot: Snapshot<'a>,
    version: Option<u64>,
    light: Option<Light>,
}

/// What a light snapshot may still read.
struct Light {
    rows: AtomicU32,
    bytes: AtomicUsize,
    gave_up: AtomicBool,
}

impl Light {
    fn new() -> Self {
        Self {
            rows: AtomicU32::new(LIGHT_READS_MAX),
            bytes: AtomicUsize::new(LIGHT_BYTES_MAX),
            gave_up: AtomicBool::new(false),
        }
    }

    /// Takes one read of a row of so many bytes.
    fn take(&self, bytes: usize) -> Result<(), KvError> {
        let left =
            |rows: u32, bytes_left: usize| Some((rows.checked_sub(1)?, bytes_left.checked_sub(bytes)?));
        let Some((rows, bytes)) = left(self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
        else {
            return Err(self.give_up());
        };
        self.rows.store(rows, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give_up(&self) -> KvError {
        self.gave_up.store(true, Ordering::Relaxed);
        KvError::NotAtHand
    }
}

impl RocksView<'_> {
    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if self.light.is_some() {
            options.set_read_tier(ReadTier::BlockCache);
        }
        options
    }

    fn take(&self, bytes: usize) -> Result<(), KvError> {
        self.light.as_ref().map_or(Ok(()), |light| light.take(bytes))
    }

    fn failed(&self, error: &rocksdb::Error) -> KvError {
        match &self.light {
            Some(light) if error.kind() == ErrorKind::Incomplete => light.give_up(),
            _ => storage(error),
        }
    }
}

impl View for RocksView<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        let row = self
            .snapshot
            .get_pinned_cf_opt(family(self.db, space)?, key, self.options())
            .map_err(|error| self.failed(&error))?;
        self.take(row.as_ref().map_or(0, |row| row.len()))?;
        Ok(row.map(|row| row.to_vec()))
    }

    fn scan<'a>(&'a self, space: Space, from: &[u8], to: &[u8], direction: Direction) -> Rows<'a> {
        if from >= to {
            return Box::new(std::iter::empty());
        }
        let family = match family(self.db, space) {
            Ok(family) => family,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let mut options = self.options();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        let mut cursor = self.snapshot.raw_iterator_cf_opt(family, options);
        match direction {
            Direction::Forward => cursor.seek_to_first(),
            Direction::Reverse => cursor.seek_to_last(),
        }
        Box::new(Scan { view: self, cursor, direction, ended: false })
    }

    fn cursor<'a>(&'a self, space: Space, to: &[u8]) -> Option<Box<dyn Cursor + 'a>> {
        let mut options = self.options();
        options.set_iterate_upper_bound(to);
        let cursor = self.snapshot.raw_iterator_cf_opt(family(self.db, space).ok()?, options);
        Some(Box::new(Jumps { view: self, cursor }))
    }

    fn version(&self) -> Option<u64> {
        self.version
    }

    fn gave_up(&self) -> bool {
        self.light.as_ref().is_some_and(|light| light.gave_up.load(Ordering::Relaxed))
    }
}

/// A cursor that stands on the row to give next.
struct Scan<'a> {
    view: &'a RocksView<'a>,
    cursor: DBRawIterator<'a>,
    direction: Direction,
    ended: bool,
}

impl Iterator for Scan<'_> {
    type Item = Result<Row, KvError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = match row_at(self.view, &self.cursor).transpose()? {
            Ok(row) => row,
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        };
        match self.direction {
            Direction::Forward => self.cursor.next(),
            Direction::Reverse => self.cursor.prev(),
        }
        Some(Ok(row))
    }
}

/// A cursor that stands on the row that it gave last.
struct Jumps<'a> {
    view: &'a RocksView<'a>,
    cursor: DBRawIterator<'a>,
}

impl Cursor for Jumps<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<Option<Row>, KvError> {
        self.cursor.seek(key);
        row_at(self.view, &self.cursor)
    }

    fn next(&mut self) -> Result<Option<Row>, KvError> {
        if self.cursor.valid() {
            self.cursor.next();
        }
        row_at(self.view, &self.cursor)
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Row>, KvError> {
        self.cursor.seek_for_prev(key);
        if self.cursor.key() == Some(key) {
            self.cursor.prev();
        }
        row_at(self.view, &self.cursor)
    }

    fn previous(&mut self) -> Result<Option<Row>, KvError> {
        if self.cursor.valid() {
            self.cursor.prev();
        }
        row_at(self.view, &self.cursor)
    }
}

/// The row that a cursor stands on; when it stands on none, it has either passed the last one or failed.
fn row_at(view: &RocksView<'_>, cursor: &DBRawIterator<'_>) -> Result<Option<Row>, KvError> {
    match cursor.item() {
        Some((key, value)) => {
            view.take(key.len() + value.len())?;
            Ok(Some((key.to_vec(), value.to_vec())))
        }
        None => match cursor.status() {
            Ok(()) => Ok(None),
            Err(error) => Err(view.failed(&error)),
        },
    }
}

/// Part of the disk format. RocksDB always has the family "default", so one space uses it.
const fn name(space: Space) -> &'static str {
    match space {
        Space::Meta => "default",
        Space::Documents => "documents",
        Space::Feed => "feed",
        Space::Index => "index",
        Space::Attachments => "attachments",
        Space::Counters => "counters",
    }
}

fn family(db: &DB, space: Space) -> Result<&ColumnFamily, KvError> {
    db.cf_handle(name(space))
        .ok_or_else(|| KvError::Storage(format!("the column family '{}' is missing", name(space))))
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES_MAX);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(3);
    options.set_bytes_per_sync(MIB as u64);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(4 * MIB);
    options.set_keep_log_file_num(4);
    options
}

fn family_options(space: Space, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_format_version(6);
    // Inside the cache they count towards its bound.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // In parts: the whole index of a large file is larger than what one shard of the cache holds, and would be read and
    // unpacked again for every row.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(4096);
    table.set_pin_top_level_index_and_filter(true);
    if matches!(space, Space::Documents | Space::Index) {
        table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    }
    let mut options = Options::default();
    if matches!(space, Space::Documents | Space::Index) {
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM_SHARE);
    }
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    if space == Space::Attachments {
        // Large values lie in files of their own, which no compaction writes again and again.
        options.set_enable_blob_files(true);
        options.set_enable_blob_gc(true);
        options.set_min_blob_size(BLOB_BYTES_MIN);
    }
    options
}

/// The options of sorted files: blocks of 4 KB are hardly smaller at a slower level (`tests/bench/RESULTS.md`).
fn sorted_options(cache: &Cache) -> Options {
    let mut options = family_options(Space::Index, cache);
    options.set_bottommost_compression_options(ZSTD_WINDOW_DEFAULT, SORTED_FILE_ZSTD_LEVEL, 0, 0, true);
    options
}

fn folder_error(path: &Path, error: &std::io::Error) -> KvError {
    KvError::Storage(format!("the data folder '{}' cannot be created: {error}", path.display()))
}

fn create_folder(path: &Path) -> Result<(), KvError> {
    let failed = |error: std::io::Error| folder_error(path, &error);
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(failed)?;
    // Without this the folder itself may be gone after power loss, whatever is synced inside it.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(parent).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn storage(error: &rocksdb::Error) -> KvError {
    KvError::Storage(error.to_string())
}

/// RocksDB reports its lock only as text; the file name `LOCK` is in every form of that message.
fn open_error(error: &rocksdb::Error, path: &Path) -> KvError {
    let text = error.to_string();
    if text.contains("/LOCK: ") && (text.contains("lock hold by") || text.contains("While lock file")) {
        return KvError::Locked { path: path.display().to_string() };
    }
    KvError::Storage(format!("cannot open '{}': {text}", path.display()))
}
