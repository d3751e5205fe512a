//! A bulk build makes the same rows as the way batch by batch, byte for byte, whatever the number of threads and the
//! memory to sort in; and an index that is built in bulk behaves like any other: it goes on with later changes, begins
//! anew when it is cut, and gives up building in bulk when that ends the process again and again.

#![cfg(test)]

use magpie_indexes::border::Borders;
use magpie_indexes::function::{
    Emitted, FunctionError, FunctionErrorKind, FunctionShape, FunctionSource, IndexFunction, Loads,
    SharedSource,
};
use magpie_indexes::indexer::{BulkBuild, Indexer, Joined, Scans};
use magpie_indexes::keys::{self, Kind, Slot};
use magpie_indexes::progress::Progress;
use magpie_indexes::signature::Signature;
use magpie_indexes::{MappedCollections, NativeIndex, Registry, limits};
use magpie_store::json::{Json, Number, Object, ScriptNumber};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::rocks::RocksKv;
use magpie_store::kv::{Batch, Direction, Kv, Space};
use magpie_store::{Collection, Command, Database, DatabaseView, Document, Etag, NewDocument, Timestamp};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DATABASE_ID: &str = "0123456789abcdefghijkl";
const LONG: Duration = Duration::from_secs(60);

/// Emits into each of a document's groups; some documents and some keys fail, some results are dropped, and some values
/// are no numbers.
struct Sums {
    shape: FunctionShape,
}

impl Sums {
    fn source(reduces: bool) -> SharedSource {
        let events = MappedCollections::Named(vec![Collection::new("Events").unwrap()]);
        let fields = ["group", "sum", "float", "count"].map(str::to_owned).to_vec();
        let mut shape = FunctionShape::new(events, reduces.then(|| vec!["group".to_owned()]), fields);
        shape.finalizes = reduces;
        Arc::new(Self { shape })
    }
}

impl FunctionSource for Sums {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }

    fn canonical_text(&self) -> &'static str {
        "sums"
    }

    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(Folding))
    }
}

struct Folding;

fn failed(message: &str) -> FunctionError {
    FunctionError { kind: FunctionErrorKind::Run, message: message.to_owned(), position: None }
}

impl IndexFunction for Folding {
    fn map(&mut self, document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let body = document.body_json();
        let value = body.get("value").and_then(Json::as_i64).unwrap_or(0);
        if value % 113 == 13 {
            return Err(failed("thirteen"));
        }
        let float = match value % 97 {
            5 => Json::ScriptNumber(ScriptNumber::NaN),
            _ => Json::from(Number::from_f64(value as f64 / 10.0)),
        };
        let groups = body.get("groups").and_then(Json::as_array).unwrap_or_default();
        let emit = |group: &Json| Emitted {
            key: vec![group.clone()],
            value: Json::Object(Object::from_iter([
                ("group", group.clone()),
                ("sum", Json::from(value)),
                ("float", float.clone()),
                ("count", Json::from(1_i64)),
            ])),
        };
        Ok(groups.iter().map(emit).collect())
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let sum = |field: &str| values.iter().filter_map(|value| value.get(field)?.as_i64()).sum::<i64>();
        let float: f64 =
            values.iter().filter_map(|value| Some(value.get("float")?.as_number()?.as_f64())).sum();
        if sum("sum") % 89 == 88 {
            return Err(failed("a sum that this function does not like"));
        }
        Ok(Json::Object(Object::from_iter([
            ("group", key[0].clone()),
            ("sum", Json::from(sum("sum"))),
            ("float", Json::from(Number::from_f64(float))),
            ("count", Json::from(sum("count"))),
        ])))
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        match reduced.get("count").and_then(Json::as_i64) {
            Some(3) => Ok(None),
            Some(4) => Err(failed("four")),
            _ => Ok(Some(reduced.clone())),
        }
    }
}

/// A sequence without a random source: the same in every run.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn put(id: &str, collection: &str, value: u64, groups: &[u64]) -> Command {
    let text =
        format!(r#"{{"value":{value},"groups":{groups:?},"@metadata":{{"@collection":"{collection}"}}}}"#);
    let document = NewDocument::parse(id, text.as_bytes()).unwrap();
    Command::Put { id: id.to_owned(), document, expected: None }
}

/// Documents in another order than that of their ids, some of another collection, some written again or deleted; one
/// group has a good part of all entries, most have few.
fn fill(database: &Database, documents: u64) {
    let mut sequence = Sequence(7);
    let mut commands = Vec::new();
    for _ in 0..documents {
        let id = format!("Doc/{}", sequence.below(documents));
        let groups: Vec<u64> = match sequence.below(4) {
            0 => vec![0],
            1 => vec![sequence.below(50) + 1, 0],
            2 => vec![sequence.below(documents) + 100],
            _ => vec![],
        };
        let collection = if id.ends_with('7') { "Others" } else { "Events" };
        commands.push(put(&id, collection, sequence.below(1000), &groups));
        if sequence.below(20) == 0 {
            let id = format!("doc/{}", sequence.below(documents));
            commands.push(Command::Delete { id, expected: None });
        }
    }
    database.write(commands, Timestamp(1)).unwrap();
}

/// Borders with so many bits for wide and narrow pages.
fn borders((wide, narrow): (u32, u32)) -> Borders {
    Borders::new(&Signature::of("bulk")).with_bits(wide, narrow)
}

/// All rows of a build, without the slot.
fn rows(view: &DatabaseView<'_>, slot: Slot) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (from, to) = slot.range();
    let rows = view.kv().scan(Space::Index, &from, &to, Direction::Forward);
    rows.map(|row| row.map(|(key, value)| (key[4..].to_vec(), value)).unwrap()).collect()
}

fn build_by_batches(database: &Database, source: &SharedSource, slot: Slot, bits: (u32, u32)) {
    let mut indexer = Indexer::new(slot, source.shape().clone(), borders(bits), source.create().unwrap());
    loop {
        let view = database.view();
        let progress = Progress::read(view.kv(), slot).unwrap();
        let indexed = indexer.run_batch(&view, progress, Timestamp(5)).unwrap();
        drop(view);
        let Some(batch) = indexed.batch else { return };
        database.commit_derived(batch).unwrap();
    }
}

#[test]
fn the_rows_are_those_of_the_way_batch_by_batch() {
    let database = Database::open(Arc::new(MemoryKv::new()), DATABASE_ID).unwrap();
    fill(&database, 3_000);
    let mut slot = 0;
    for (reduces, bits) in [(true, (1, 1)), (true, (2, 1)), (true, (1, 2)), (true, (5, 2)), (false, (5, 2))] {
        let source = Sums::source(reduces);
        slot += 1;
        let expected_slot = Slot(slot);
        build_by_batches(&database, &source, expected_slot, bits);
        let view = database.view();
        let expected = rows(&view, expected_slot);
        let kinds = |kind: Kind| expected.iter().filter(|(key, _)| key[0] == kind as u8).count();
        assert!(kinds(Kind::MapError) > 5 && kinds(Kind::Loss) > 3);
        let (failing, items) = (kinds(Kind::ReduceError), kinds(Kind::PageOutput));
        assert!(!reduces || failing > 2 && items > 10, "{failing} keys fail, {items} items");
        let expected_progress = Progress::read(view.kv(), expected_slot).unwrap();
        for (threads, sort_bytes) in [(1, 1 << 20), (1, 4_000), (2, 30_000), (3, 1_000), (8, 1 << 20)] {
            slot += 1;
            let built = BulkBuild::new(
                Arc::clone(&source),
                Slot(slot),
                borders(bits),
                (&database, &view),
                Timestamp(5),
            )
            .with_threads(threads)
            .with_sort_bytes_max(sort_bytes)
            .run()
            .unwrap()
            .expect("nobody stops it");
            database.ingest_derived(built.files).unwrap();
            let now = database.view();
            let mut found = rows(&now, Slot(slot));
            // How often functions were called belongs to the way, not to the result.
            let progress = Progress {
                map_attempts: expected_progress.map_attempts,
                reduce_attempts: expected_progress.reduce_attempts,
                ..built.progress
            };
            assert_eq!(progress, expected_progress, "{threads} threads, {sort_bytes} bytes");
            assert_eq!(Progress::read(now.kv(), Slot(slot)).unwrap(), built.progress);
            found[0].1.clone_from(&expected[0].1);
            assert!(found == expected, "{reduces} {bits:?} {threads} threads, {sort_bytes} bytes");
        }
    }
}

fn clock() -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    Arc::new(|| Timestamp(5))
}

fn natives() -> Vec<NativeIndex> {
    vec![NativeIndex { name: "Sums".to_owned(), source: Sums::source(true) }]
}

/// So many documents that an index of them is built in bulk, and would take several batches otherwise.
fn many() -> u64 {
    limits::BULK_DOCUMENTS_MIN + 2 * limits::BATCH_DOCUMENTS_FIRST as u64
}

fn fill_in_bulk(database: &Database) {
    let commands = (0..many()).map(|n| put(&format!("e/{n}"), "Events", n, &[n % 700])).collect();
    database.write(commands, Timestamp(1)).unwrap();
}

#[test]
fn a_registry_builds_in_bulk_and_goes_on_with_changes() {
    let folder = tempfile::tempdir().unwrap();
    let kv = Arc::new(RocksKv::open(folder.path()).unwrap());
    let database = Arc::new(Database::open(kv.clone() as Arc<dyn Kv>, DATABASE_ID).unwrap());
    fill_in_bulk(&database);
    let registry = Registry::open(Arc::clone(&database), clock(), natives()).unwrap();
    let index = registry.get("Sums").unwrap();
    assert!(index.wait_until_indexed_blocking(database.last_etag(), LONG));
    // Batch by batch, each batch would have reduced nearly every key.
    let built = index.progress();
    assert_eq!((built.reduce_attempts, built.map_attempts), (700, many()));
    database
        .write(
            vec![
                put("e/1", "Events", 10_000, &[1]),
                put("e/new", "Events", 1, &[9_999]),
                Command::Delete { id: "e/2".to_owned(), expected: None },
            ],
            Timestamp(2),
        )
        .unwrap();
    assert!(index.wait_until_indexed_blocking(database.last_etag(), LONG));
    let other = Slot(4_000_000);
    let mut indexer =
        Indexer::new(other, index.shape().clone(), index.borders(), Sums::source(true).create().unwrap());
    loop {
        let view = database.view();
        let progress = Progress::read(view.kv(), other).unwrap();
        let indexed = indexer.run_batch(&view, progress, Timestamp(5)).unwrap();
        drop(view);
        match indexed.batch {
            Some(batch) => database.commit_derived(batch).unwrap(),
            None => break,
        }
    }
    let slot = index.slot();
    let view = database.view();
    let before = rows(&view, slot);
    assert!(before.len() > 2_000 && before[1..] == rows(&view, other)[1..]);
    drop(view);
    registry.stop();
    drop((registry, index, database, indexer));
    // Nothing of the files on their way is left, and the rows are there after opening again.
    drop(kv);
    assert_eq!(std::fs::read_dir(folder.path().join("incoming")).unwrap().count(), 0);
    let kv = Arc::new(RocksKv::open(folder.path()).unwrap());
    let database = Database::open(kv, DATABASE_ID).unwrap();
    assert!(rows(&database.view(), slot) == before);
}

#[test]
fn after_many_builds_that_ended_with_the_process_it_goes_batch_by_batch() {
    let kv = Arc::new(MemoryKv::new());
    let database = Arc::new(Database::open(kv, DATABASE_ID).unwrap());
    // The index exists before its documents, so its slot is known; then it is as if builds had died.
    let registry = Registry::open(Arc::clone(&database), clock(), natives()).unwrap();
    let slot = registry.get("Sums").unwrap().slot();
    registry.stop();
    drop(registry);
    fill_in_bulk(&database);
    let mut batch = Batch::new();
    batch.put(Space::Meta, keys::meta::bulk_tries(slot), limits::BULK_TRIES_MAX.to_be_bytes());
    database.commit_definition(batch).unwrap();
    let registry = Registry::open(Arc::clone(&database), clock(), natives()).unwrap();
    let index = registry.get("Sums").unwrap();
    assert_eq!(index.slot(), slot);
    assert!(index.wait_until_indexed_blocking(database.last_etag(), LONG));
    assert!(index.progress().reduce_attempts > 700, "keys were reduced in several batches");
    registry.stop();
}

#[test]
fn a_stopped_build_leaves_nothing_and_begins_anew() {
    let database = Database::open(Arc::new(MemoryKv::new()), DATABASE_ID).unwrap();
    fill(&database, 3_000);
    let view = database.view();
    let source = Sums::source(true);
    let seen = std::sync::atomic::AtomicU64::new(0);
    let told = |documents| {
        seen.fetch_add(documents, std::sync::atomic::Ordering::Relaxed);
    };
    let is_stopped = || seen.load(std::sync::atomic::Ordering::Relaxed) > 600;
    let build =
        |slot| BulkBuild::new(Arc::clone(&source), slot, borders((5, 2)), (&database, &view), Timestamp(5));
    let built = build(Slot(1)).with_watch(&told, &is_stopped).with_threads(2).run().unwrap();
    assert!(built.is_none());
    assert!(rows(&database.view(), Slot(1)).is_empty());
    assert_eq!(Progress::read(database.view().kv(), Slot(1)).unwrap().etag, Etag(0));
    let built = build(Slot(1)).run().unwrap().unwrap();
    database.ingest_derived(built.files).unwrap();
    assert!(rows(&database.view(), Slot(1)).len() > 1_000);
}

/// Builds the rows of a slot with others. `told` hears of each part that was mapped.
fn build_joined(
    database: &Database,
    slot: Slot,
    joined: Joined,
    threads: usize,
    told: &(dyn Fn(u64) + Sync),
    is_stopped: &(dyn Fn() -> bool + Sync),
) -> Option<Etag> {
    let view = database.view();
    let place = (database, &view);
    let built = BulkBuild::new(Sums::source(true), slot, borders((2, 1)), place, Timestamp(5))
        .with_scan(Some(joined))
        .with_threads(threads)
        .with_sort_bytes_max(20_000)
        .with_watch(told, is_stopped)
        .run()
        .unwrap()?;
    let etag = built.progress.etag;
    database.ingest_derived(built.files).unwrap();
    Some(etag)
}

/// The rows of an index that is built batch by batch, without its progress.
fn rows_by_batches(database: &Database, slot: Slot) -> Vec<(Vec<u8>, Vec<u8>)> {
    build_by_batches(database, &Sums::source(true), slot, (2, 1));
    let mut rows = rows(&database.view(), slot);
    rows.remove(0);
    rows
}

const NEVER: fn() -> bool = || false;

#[test]
fn builds_that_read_together_make_the_same_rows_wherever_they_join() {
    let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), DATABASE_ID).unwrap());
    fill(&database, 40_000);
    let before = database.last_etag();
    let expected = rows_by_batches(&database, Slot(1));
    assert!(expected.len() > 20_000);
    let scans = Scans::default();
    let first = scans.join(&database).unwrap();
    let late = Mutex::new(None);
    let seen = AtomicU64::new(0);
    // When the first build has had a good part of the documents, one of them changes, another is new, and three builds
    // join: what they read is as the first one has it.
    let told = |documents| {
        if seen.fetch_add(documents, Ordering::SeqCst) + documents > 15_000 {
            late.lock().unwrap().get_or_insert_with(|| {
                let news = vec![put("Doc/1", "Events", 999, &[0, 1]), put("a/new", "Events", 5, &[0])];
                database.write(news, Timestamp(2)).unwrap();
                [(); 3].map(|()| scans.join(&database))
            });
        }
    };
    let etag = build_joined(&database, Slot(2), first, 2, &told, &NEVER);
    assert_eq!(etag, Some(before));
    let late = late.into_inner().unwrap().unwrap();
    std::thread::scope(|scope| {
        for (slot, joined) in (3..).zip(late) {
            let database = &database;
            scope.spawn(move || {
                let threads = usize::try_from(slot).unwrap() - 2;
                let etag = build_joined(database, Slot(slot), joined.unwrap(), threads, &|_| {}, &NEVER);
                assert_eq!(etag, Some(before), "it is as old as what it has joined");
            });
        }
    });
    for slot in 2..=5 {
        assert!(rows(&database.view(), Slot(slot))[1..] == expected, "slot {slot}");
    }
    // Whoever comes now begins anew, and all of them go on to the same state.
    let joined = scans.join(&database).unwrap();
    let etag = build_joined(&database, Slot(6), joined, 1, &|_| {}, &NEVER);
    assert_eq!(etag, Some(database.last_etag()));
    let expected = rows_by_batches(&database, Slot(7));
    for slot in 1..=6 {
        assert!(rows_by_batches(&database, Slot(slot)) == expected, "slot {slot}");
    }
}

#[test]
fn a_build_that_hangs_or_stops_holds_up_no_other() {
    let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), DATABASE_ID).unwrap());
    fill(&database, 40_000);
    let expected = rows_by_batches(&database, Slot(1));
    let scans = Scans::default();
    let [hanging, quick, slow, stopped] = [(); 4].map(|()| scans.join(&database).unwrap());
    let goes_on = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (database, goes_on) = (&database, &goes_on);
        let hang = move |_| {
            while !goes_on.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        };
        scope.spawn(move || build_joined(database, Slot(2), hanging, 1, &hang, &NEVER));
        let slow = scope.spawn(move || build_joined(database, Slot(4), slow, 1, &|_| {}, &NEVER));
        let stops = AtomicBool::new(false);
        let told = |_| stops.store(true, Ordering::SeqCst);
        let is_stopped = || stops.load(Ordering::SeqCst);
        assert_eq!(build_joined(database, Slot(5), stopped, 1, &told, &is_stopped), None);
        // More chunks than are kept for the one that hangs.
        build_joined(database, Slot(3), quick, 2, &|_| {}, &NEVER).unwrap();
        slow.join().unwrap().unwrap();
        assert!(rows(&database.view(), Slot(3))[1..] == expected);
        assert!(rows(&database.view(), Slot(2)).is_empty(), "it hangs");
        goes_on.store(true, Ordering::SeqCst);
    });
    for slot in [2, 4] {
        assert!(rows(&database.view(), Slot(slot))[1..] == expected, "slot {slot}");
    }
    assert!(rows(&database.view(), Slot(5)).is_empty());
    // No thread holds the database any more.
    assert_eq!(Arc::strong_count(&database), 1);
}
