//! The keys of one batch are folded on several threads: to the same rows byte for byte, with the same work, and without
//! hanging when a function panics on one of them.

#![cfg(test)]

use magpie_indexes::MappedCollections;
use magpie_indexes::border::Borders;
use magpie_indexes::cores::Cores;
use magpie_indexes::function::{
    Emitted, FunctionError, FunctionErrorKind, FunctionShape, FunctionSource, IndexFunction, Loads,
};
use magpie_indexes::indexer::{IndexedBatch, Indexer};
use magpie_indexes::keys::{Kind, Slot};
use magpie_indexes::progress::Progress;
use magpie_indexes::signature::Signature;
use magpie_store::json::{Json, Number, Object};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::{Direction, Space};
use magpie_store::{Collection, Command, Database, Document, NewDocument, Timestamp};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Sums doubles by group: the last bits hang on the shape of the tree. Some keys fail.
struct Sums {
    shape: FunctionShape,
    /// The group on which a reduce panics.
    panics_on: Option<i64>,
}

impl Sums {
    fn source(panics_on: Option<i64>) -> Arc<Self> {
        let events = MappedCollections::Named(vec![Collection::new("Events").unwrap()]);
        let fields = ["group", "sum"].map(str::to_owned).to_vec();
        let shape = FunctionShape::new(events, Some(vec!["group".to_owned()]), fields);
        Arc::new(Self { shape, panics_on })
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
        Ok(Box::new(Summing(self.panics_on)))
    }
}

struct Summing(Option<i64>);

impl IndexFunction for Summing {
    fn map(&mut self, document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let body = document.body_json();
        let number = |field: &str| body.get(field).and_then(Json::as_i64).unwrap_or(0);
        let sum = Json::from(Number::from_f64(number("value") as f64 / 10.0));
        let group = Json::from(number("group"));
        let value = Object::from_iter([("group", group.clone()), ("sum", sum)]);
        Ok(vec![Emitted { key: vec![group], value: Json::Object(value) }])
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let group = key[0].as_i64();
        assert!(self.0.is_none() || self.0 != group, "a key that ends the thread");
        let sum: f64 = values.iter().filter_map(|value| Some(value.get("sum")?.as_number()?.as_f64())).sum();
        if group.is_some_and(|group| group % 41 == 40) {
            let message = "a group that is not liked".to_owned();
            return Err(FunctionError { kind: FunctionErrorKind::Run, message, position: None });
        }
        let sum = Json::from(Number::from_f64(sum));
        Ok(Json::Object(Object::from_iter([("group", key[0].clone()), ("sum", sum)])))
    }
}

const DOCUMENTS: i64 = 3_000;
const BATCH: usize = 700;

/// Documents over 200 groups, a third of them in the first.
fn filled() -> Database {
    let database = Database::open(Arc::new(MemoryKv::new()), "0123456789abcdefghijkl").unwrap();
    let put = |n: i64| {
        let group = if n % 3 == 0 { 0 } else { n * 7_919 % 200 };
        let text = format!(
            r#"{{"group":{group},"value":{},"@metadata":{{"@collection":"Events"}}}}"#,
            n * 48_271 % 1_000
        );
        let id = format!("e/{n}");
        Command::Put { document: NewDocument::parse(&id, text.as_bytes()).unwrap(), id, expected: None }
    };
    database.write((0..DOCUMENTS).map(put).collect(), Timestamp(1)).unwrap();
    database
}

fn indexer(slot: Slot, source: &Arc<Sums>, further: usize, bytes_max: usize) -> Indexer {
    let borders = Borders::new(&Signature::of("folding"));
    Indexer::new(slot, source.shape().clone(), borders, source.create().unwrap())
        .with_documents_max(BATCH)
        .with_helpers(Arc::clone(source) as _, Arc::new(Cores::new(further)))
        .with_helpers_for(100, bytes_max)
}

/// Indexes all; gives the batches without their rows.
fn build(database: &Database, slot: Slot, further: usize, bytes_max: usize) -> Vec<IndexedBatch> {
    let mut indexer = indexer(slot, &Sums::source(None), further, bytes_max);
    let mut batches = Vec::new();
    loop {
        let view = database.view();
        let progress = Progress::read(view.kv(), slot).unwrap();
        let mut indexed = indexer.run_batch(&view, progress, Timestamp(1)).unwrap();
        drop(view);
        let Some(batch) = indexed.batch.take() else { return batches };
        database.commit_derived(batch).unwrap();
        batches.push(indexed);
    }
}

/// All rows of a build, without the slot.
fn rows(database: &Database, slot: Slot) -> Vec<(Vec<u8>, Vec<u8>)> {
    let view = database.view();
    let (from, to) = slot.range();
    let rows = view.kv().scan(Space::Index, &from, &to, Direction::Forward);
    rows.map(|row| row.map(|(key, value)| (key[4..].to_vec(), value)).unwrap()).collect()
}

#[test]
fn the_rows_are_the_same_on_any_number_of_threads() {
    let database = filled();
    let alone = build(&database, Slot(1), 0, usize::MAX);
    assert!(alone.iter().all(|batch| batch.threads == 1) && alone.len() > 3);
    let expected = rows(&database, Slot(1));
    assert!(expected.iter().filter(|(key, _)| key[0] == Kind::ReduceError as u8).count() > 2);
    assert!(expected.iter().filter(|(key, _)| key[0] == Kind::PageOutput as u8).count() > 20);
    let mut slot = 1;
    for further in [1, 3] {
        // With too little memory for one range, and for all of them together.
        for bytes_max in [1, 20_000, usize::MAX] {
            slot += 1;
            let batches = build(&database, Slot(slot), further, bytes_max);
            assert!(batches.iter().all(|batch| batch.threads == further + 1), "{further} further threads");
            assert!(rows(&database, Slot(slot)) == expected, "{further} further threads, {bytes_max} bytes");
            for (batch, alone) in batches.iter().zip(&alone) {
                assert_eq!((batch.work, batch.progress), (alone.work, alone.progress));
            }
        }
    }
}

#[test]
fn further_threads_are_only_taken_for_many_changes_of_several_keys() {
    let database = filled();
    let source = Sums::source(None);
    let batch = |indexer: Indexer| {
        let mut indexer = indexer;
        indexer.run_batch(&database.view(), Progress::default(), Timestamp(1)).unwrap().threads
    };
    let all = || indexer(Slot(1), &source, 3, usize::MAX).with_documents_max(usize::MAX);
    assert_eq!(batch(all()), 4);
    assert_eq!(batch(all().with_documents_max(99)), 1, "too few changes");
    assert_eq!(batch(all().with_documents_max(101).with_helpers_for(102, usize::MAX)), 1);
    let cores = Arc::new(Cores::new(2));
    let _others = cores.work(2);
    let crowded = all().with_helpers(Arc::clone(&source) as _, Arc::clone(&cores));
    assert_eq!(batch(crowded.with_helpers_for(100, usize::MAX)), 1, "no core is idle");
    let hot = Database::open(Arc::new(MemoryKv::new()), "0123456789abcdefghijkl").unwrap();
    let put = |n: u32| {
        let id = format!("e/{n}");
        let text = format!(r#"{{"group":1,"value":{n},"@metadata":{{"@collection":"Events"}}}}"#);
        Command::Put { document: NewDocument::parse(&id, text.as_bytes()).unwrap(), id, expected: None }
    };
    hot.write((0..500).map(put).collect(), Timestamp(1)).unwrap();
    let indexed = all().run_batch(&hot.view(), Progress::default(), Timestamp(1)).unwrap();
    assert_eq!((indexed.threads, indexed.counts.reduced), (1, 1), "one key is one tree");
}

#[test]
fn a_panic_on_one_of_the_threads_reaches_who_runs_the_batch() {
    let database = filled();
    for group in [0, 100, 199] {
        let source = Sums::source(Some(group));
        let mut indexer = indexer(Slot(1), &source, 3, usize::MAX).with_documents_max(usize::MAX);
        let view = database.view();
        let run = || indexer.run_batch(&view, Progress::default(), Timestamp(1)).map(|_| ());
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    }
}
