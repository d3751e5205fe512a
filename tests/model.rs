//! Index contents are a pure function of (definition, live documents): after any history of commands, batches, resets
//! and restarts, the rows equal those of a fresh build byte for byte, and the results equal a flat fold.
//!
//! The native index used here fans out, moves documents between keys, fails on some of them, loads a second document
//! for each, finalizes, and drops some results; and the page borders are set so dense that a few dozen entries make
//! trees of many levels.

#![cfg(test)]

use magpie_indexes::border::Borders;
use magpie_indexes::cores::Cores;
use magpie_indexes::function::{
    Emitted, FunctionError, FunctionErrorKind, FunctionShape, FunctionSource, IndexFunction, Loads,
};
use magpie_indexes::indexer::Indexer;
use magpie_indexes::keys::{Kind, Slot};
use magpie_indexes::progress::Progress;
use magpie_indexes::signature::Signature;
use magpie_indexes::stored_result::{Presence, StoredResult};
use magpie_indexes::terms::value::Step as PathStep;
use magpie_indexes::terms::{self, Family, TermField};
use magpie_indexes::{IndexError, LoadedCollections, MappedCollections};
use magpie_store::json::{Json, Object};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::{Direction, Space};
use magpie_store::{
    Collection, CollectionFilter, Command, Database, DatabaseView, Document, DocumentId, Etag, NewDocument,
    Timestamp,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const DATABASE_ID: &str = "0123456789abcdefghijkl";

/// Groups by `group` (a document may have several), sums `value` times the loaded factor exactly, and keeps a float sum
/// whose last bits depend on the order of additions: it shows any difference in the shape of a tree. Finalize adds the
/// mean, which must never be reduced, and drops the groups of four.
struct Totals;

/// How many entries make a result that finalize drops.
const DROPPED_COUNT: i64 = 4;

impl Totals {
    fn shape() -> FunctionShape {
        let shape = FunctionShape::new(
            MappedCollections::Named(vec![Collection::new("Events").unwrap()]),
            Some(vec!["group".to_owned()]),
            ["group", "total", "float", "count"].map(str::to_owned).to_vec(),
        );
        let loads = LoadedCollections::Named(vec![Collection::new("Factors").unwrap()]);
        FunctionShape { loads, finalizes: true, ..shape }
    }
}

fn failed(message: &str) -> FunctionError {
    FunctionError { kind: FunctionErrorKind::Run, message: message.to_owned(), position: None }
}

impl IndexFunction for Totals {
    fn map(&mut self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let body = document.body_json();
        let number = |json: &Object, field: &str| json.get(field).and_then(Json::as_i64).unwrap_or(0);
        let factors = Collection::new("Factors").unwrap();
        let factor = loads.load(&format!("factors/{}", number(&body, "factor")), Some(&factors), true);
        let factor = factor.map_or(1, |factor| number(&factor.body_json(), "is"));
        if number(&body, "value") * factor == 13 {
            return Err(failed("thirteen"));
        }
        let value = number(&body, "value") * factor;
        let groups = body.get("groups").and_then(Json::as_array).unwrap_or_default();
        let emit = |group: &Json| Emitted {
            key: vec![group.clone()],
            value: Json::Object(Object::from_iter([
                ("group", group.clone()),
                ("total", Json::from(value)),
                ("float", Json::from(magpie_store::json::Number::from_f64(value as f64 / 10.0))),
                ("count", Json::from(1_i64)),
            ])),
        };
        Ok(groups.iter().map(emit).collect())
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let sum = |field: &str| values.iter().filter_map(|value| value.get(field)?.as_i64()).sum::<i64>();
        let float: f64 =
            values.iter().filter_map(|value| Some(value.get("float")?.as_number()?.as_f64())).sum();
        if sum("total") % 97 == 96 {
            return Err(failed("a sum that this function does not like"));
        }
        Ok(Json::Object(Object::from_iter([
            ("group", key[0].clone()),
            ("total", Json::from(sum("total"))),
            ("float", Json::from(magpie_store::json::Number::from_f64(float))),
            ("count", Json::from(sum("count"))),
        ])))
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        let field = |name: &str| reduced.get(name).and_then(Json::as_i64).unwrap();
        if field("count") == DROPPED_COUNT {
            return Ok(None);
        }
        let mut result = reduced.as_object().unwrap().clone();
        result.insert("mean", field("total") / field("count"));
        Ok(Some(Json::Object(result)))
    }
}

/// Loads straight from a view.
struct ViewLoads<'v>(&'v DatabaseView<'v>);

impl Loads for ViewLoads<'_> {
    fn load(&mut self, id: &str, collection: Option<&Collection>, _: bool) -> Option<Arc<Document>> {
        let found = self.0.document(&DocumentId::new(id).unwrap()).unwrap()?;
        collection.is_none_or(|wanted| *wanted == found.collection).then(|| Arc::new(found))
    }
}

/// How an index is built; its rows hang on the borders alone.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// The bits of wide and of narrow pages.
    bits: (u32, u32),
    /// Threads that fold besides the indexer's own.
    further: usize,
    /// Memory for what they fold.
    bytes_max: usize,
}

impl Way {
    fn on_one_thread(self) -> Self {
        Self { further: 0, ..self }
    }
}

fn indexer(slot: Slot, way: Way, documents_max: usize) -> Indexer {
    let borders = Borders::new(&Signature::of("model")).with_bits(way.bits.0, way.bits.1);
    Indexer::new(slot, Totals::shape(), borders, Box::new(Totals))
        .with_documents_max(documents_max)
        .with_helpers(Arc::new(Source(Totals::shape())), Arc::new(Cores::new(way.further)))
        .with_helpers_for(2, way.bytes_max)
}

/// Makes functions for further threads.
struct Source(FunctionShape);

impl FunctionSource for Source {
    fn shape(&self) -> &FunctionShape {
        &self.0
    }

    fn canonical_text(&self) -> &'static str {
        "totals"
    }

    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(Totals))
    }
}

/// Indexes until nothing is left, as the worker does.
fn catch_up(database: &Database, slot: Slot, way: Way, documents_max: usize) -> Result<(), IndexError> {
    let mut indexer = indexer(slot, way, documents_max);
    loop {
        let view = database.view();
        let progress = Progress::read(view.kv(), slot)?;
        let indexed = indexer.run_batch(&view, progress, Timestamp(0))?;
        drop(view);
        match indexed.batch {
            Some(batch) => database.commit_derived(batch)?,
            None => return Ok(()),
        }
    }
}

/// All rows of a build but progress and error times, without the slot.
fn rows(view: &DatabaseView<'_>, slot: Slot) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    for kind in [
        Kind::DocumentKeys,
        Kind::LeafPage,
        Kind::PageOutput,
        Kind::Result,
        Kind::MapError,
        Kind::ReduceError,
        Kind::DocumentLoads,
        Kind::LoadedBy,
        Kind::PendingLoad,
    ] {
        rows.extend(rows_of(view, slot, kind));
    }
    rows
}

fn rows_of(view: &DatabaseView<'_>, slot: Slot, kind: Kind) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (from, to) = slot.range_of(kind);
    let rows = view.kv().scan(Space::Index, &from, &to, Direction::Forward);
    rows.map(Result::unwrap).map(|(key, value)| (key[4..].to_vec(), value)).collect()
}

/// Makes terms as the worker does: one step, or all that is left.
fn make_terms(database: &Database, slot: Slot, wanted: &[TermField], rows_max: usize, all: bool) {
    loop {
        let view = database.view();
        let progress = Progress::read(view.kv(), slot).unwrap();
        let step = terms::step(view.kv(), slot, true, &progress, wanted, rows_max).unwrap();
        drop(view);
        let Some(step) = step else { return };
        database.commit_derived(step.batch).unwrap();
        if !all {
            return;
        }
    }
}

/// Makes for a fresh build the terms that another has, and compares them.
fn compare_terms(database: &Database, slot: Slot, rebuilt: Slot) -> Result<(), TestCaseError> {
    make_terms(database, slot, &[], 100, true);
    let wanted = terms::fields(database.view().kv(), slot).unwrap();
    prop_assert!(wanted.iter().all(|(_, complete)| *complete));
    let wanted: Vec<TermField> = wanted.into_iter().map(|(field, _)| field).collect();
    make_terms(database, rebuilt, &wanted, 100, true);
    let view = database.view();
    for kind in [Kind::TermField, Kind::Term, Kind::TermCount] {
        prop_assert_eq!(rows_of(&view, slot, kind), rows_of(&view, rebuilt, kind));
    }
    Ok(())
}

/// The visible results: total and count by group.
fn results(view: &DatabaseView<'_>, slot: Slot) -> BTreeMap<String, (i64, i64)> {
    let (from, to) = slot.range_of(Kind::Result);
    let mut results = BTreeMap::new();
    for row in view.kv().scan(Space::Index, &from, &to, Direction::Forward) {
        if let Some(json) = StoredResult::decode(&row.unwrap().1).unwrap().visible() {
            let json = magpie_store::json::parse(json).unwrap();
            let field = |name: &str| json.get(name).and_then(Json::as_i64).unwrap();
            assert_eq!(field("mean"), field("total") / field("count"));
            results.insert(json.get("group").unwrap().to_string(), (field("total"), field("count")));
        }
    }
    results
}

/// The group of a reduce key.
fn group_of(reduce_key: &[u8]) -> String {
    let mut group = Vec::new();
    (0..3_i64)
        .find(|n| {
            group.clear();
            magpie_store::ordered::encode(&Json::from(*n), &mut group);
            group == reduce_key
        })
        .unwrap()
        .to_string()
}

/// The groups that finalize dropped.
fn dropped(view: &DatabaseView<'_>, slot: Slot) -> Vec<String> {
    let (from, to) = slot.range_of(Kind::Result);
    let mut dropped = Vec::new();
    for row in view.kv().scan(Space::Index, &from, &to, Direction::Forward) {
        let (key, value) = row.unwrap();
        if StoredResult::decode(&value).unwrap().presence() == Presence::Absent {
            dropped.push(group_of(&key[5..]));
        }
    }
    dropped
}

/// The 20-line fold: no tree, no difference, no progress.
fn flat_fold(view: &DatabaseView<'_>) -> BTreeMap<String, (i64, i64)> {
    let filter = CollectionFilter::Named(vec![Collection::new("events").unwrap()]);
    let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for document in view.documents_in_etag_order(&filter, Etag(0)).unwrap() {
        for emitted in Totals.map(&document.unwrap(), &mut ViewLoads(view)).unwrap_or_default() {
            let sum = sums.entry(emitted.key[0].to_string()).or_default();
            sum.0 += emitted.value.get("total").and_then(Json::as_i64).unwrap();
            sum.1 += 1;
        }
    }
    sums
}

#[derive(Debug, Clone)]
enum Step {
    Put {
        id: u16,
        groups: Vec<u8>,
        value: i64,
        factor: u8,
        collection: bool,
    },
    /// Writes or deletes what events load.
    Factor {
        id: u8,
        is: Option<i64>,
    },
    Delete {
        id: u16,
    },
    /// Indexes with batches of this many documents.
    Index {
        documents_max: usize,
    },
    /// Wants terms of a field, and makes the next of so many results.
    Terms {
        field: usize,
        family: usize,
        rows_max: usize,
    },
    /// Loses what is not synced and opens the database again.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let groups = prop::collection::vec(0..3_u8, 0..3);
    let put = (0..60_u16, groups, 0..20_i64, 0..4_u8, prop::bool::weighted(0.9)).prop_map(
        |(id, groups, value, factor, collection)| Step::Put { id, groups, value, factor, collection },
    );
    let factor = (0..4_u8, prop::option::of(0..3_i64)).prop_map(|(id, is)| Step::Factor { id, is });
    let step = prop_oneof![
        12 => put,
        2 => factor,
        4 => (0..60_u16).prop_map(|id| Step::Delete { id }),
        3 => (1..9_usize).prop_map(|documents_max| Step::Index { documents_max }),
        2 => (0..5_usize, 0..4_usize, 1..3_usize)
            .prop_map(|(field, family, rows_max)| Step::Terms { field, family, rows_max }),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..150)
}

fn put(id: u16, groups: &[u8], (value, factor): (i64, u8), events: bool) -> Vec<Command> {
    let id = format!("Events/{id}");
    let collection = if events { "Events" } else { "Others" };
    let text = format!(
        r#"{{"groups":{groups:?},"value":{value},"factor":{factor},"@metadata":{{"@collection":"{collection}"}}}}"#
    );
    let document = NewDocument::parse(&id, text.as_bytes()).unwrap();
    // A document may not change its collection by a put, so it is deleted first.
    vec![Command::Delete { id: id.clone(), expected: None }, Command::Put { id, document, expected: None }]
}

fn put_factor(id: u8, is: Option<i64>) -> Command {
    let id = format!("Factors/{id}");
    let Some(is) = is else { return Command::Delete { id, expected: None } };
    let text = format!(r#"{{"is":{is},"@metadata":{{"@collection":"Factors"}}}}"#);
    let document = NewDocument::parse(&id, text.as_bytes()).unwrap();
    Command::Put { id, document, expected: None }
}

fn run(steps: &[Step], way: Way) -> Result<(), TestCaseError> {
    let kv = Arc::new(MemoryKv::new());
    let mut database = Database::open(kv.clone(), DATABASE_ID).unwrap();
    let slot = Slot(1);
    for step in steps {
        match step {
            Step::Put { id, groups, value, factor, collection } => {
                database.write(put(*id, groups, (*value, *factor), *collection), Timestamp(0)).unwrap();
            }
            Step::Factor { id, is } => {
                database.write(vec![put_factor(*id, *is)], Timestamp(0)).unwrap();
            }
            Step::Delete { id } => {
                let delete = Command::Delete { id: format!("events/{id}"), expected: None };
                database.write(vec![delete], Timestamp(0)).unwrap();
            }
            Step::Index { documents_max } => catch_up(&database, slot, way, *documents_max).unwrap(),
            Step::Terms { field, family, rows_max } => {
                let family = [Family::Text, Family::Double, Family::Long, Family::AlphaNumeric][*family];
                let name = ["group", "total", "float", "mean", "missing"][*field];
                let wanted = TermField { family, path: vec![PathStep::Member(name.to_owned())] };
                make_terms(&database, slot, &[wanted], *rows_max, false);
            }
            Step::Crash => {
                drop(database);
                kv.crash();
                database = Database::open(kv.clone(), DATABASE_ID).unwrap();
            }
        }
    }
    catch_up(&database, slot, way, 5).unwrap();
    let rebuilt = Slot(2);
    catch_up(&database, rebuilt, way.on_one_thread(), 1000).unwrap();
    compare_terms(&database, slot, rebuilt)?;
    let view = database.view();
    prop_assert_eq!(rows(&view, slot), rows(&view, rebuilt));
    let (results, folded) = (results(&view, slot), flat_fold(&view));
    let progress = Progress::read(view.kv(), slot).unwrap();
    prop_assert_eq!(progress.results, results.len() as u64);
    let dropped = dropped(&view, slot);
    prop_assert_eq!(progress.failing_keys, (folded.len() - results.len() - dropped.len()) as u64);
    for key in &dropped {
        prop_assert_eq!(folded.get(key).map(|folded| folded.1), Some(DROPPED_COUNT));
    }
    for (key, result) in &results {
        prop_assert_eq!(Some(result), folded.get(key));
        prop_assert_ne!(result.1, DROPPED_COUNT);
    }
    Ok(())
}

fn cases() -> u32 {
    if std::env::var_os("SLOW").is_some() { 20_000 } else { 400 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn incremental_equals_rebuild_equals_flat_fold(
        steps in steps(),
        bits in (1..4_u32, 1..3_u32),
        further in 0..3_usize,
        bytes_max in prop_oneof![Just(1_usize), Just(300), Just(1 << 20)],
    ) {
        run(&steps, Way { bits, further, bytes_max })?;
    }
}

/// Tall trees: thousands of entries under one key, removed again in an order that merges pages at every level.
#[test]
fn a_hot_key_grows_and_shrinks_to_nothing() {
    let kv = Arc::new(MemoryKv::new());
    let database = Database::open(kv, DATABASE_ID).unwrap();
    let way = Way { bits: (2, 1), further: 0, bytes_max: 0 };
    let ids: Vec<u16> = (0..3000_u32).map(|n| u16::try_from(n * 7919 % 3000).unwrap()).collect();
    for chunk in ids.chunks(100) {
        let commands = chunk.iter().flat_map(|id| put(*id, &[1], (97, 0), true)).collect();
        database.write(commands, Timestamp(0)).unwrap();
        catch_up(&database, Slot(1), way, 64).unwrap();
    }
    catch_up(&database, Slot(2), way, 1000).unwrap();
    let view = database.view();
    assert_eq!(rows(&view, Slot(1)), rows(&view, Slot(2)));
    assert_eq!(results(&view, Slot(1)), BTreeMap::from([("1".to_owned(), (97 * 3000, 3000))]));
    drop(view);
    for chunk in ids.chunks(37) {
        let delete = |id: &u16| Command::Delete { id: format!("events/{id}"), expected: None };
        database.write(chunk.iter().map(delete).collect(), Timestamp(0)).unwrap();
        catch_up(&database, Slot(1), way, 64).unwrap();
        assert_eq!(results(&database.view(), Slot(1)), flat_fold(&database.view()));
    }
    assert_eq!(rows(&database.view(), Slot(1)), Vec::new(), "an index without documents has no rows");
}
