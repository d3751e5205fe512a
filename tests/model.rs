//! Index contents are a pure function of (definition, live documents): after any history of commands, batches, resets
//! and restarts, the rows equal those of a fresh build byte for byte, and the results equal a flat fold.
//!
//! The native index used here fans out, moves documents between keys and fails on some of them, and the page borders
//! are set so dense that a few dozen entries make trees of many levels.

#![cfg(test)]

use magpie_indexes::border::Borders;
use magpie_indexes::function::{
    Emitted, FunctionError, FunctionErrorKind, FunctionShape, IndexFunction, Loads,
};
use magpie_indexes::indexer::Indexer;
use magpie_indexes::keys::{Kind, Slot};
use magpie_indexes::progress::Progress;
use magpie_indexes::reduce_tree::{Output, StoredResult};
use magpie_indexes::signature::Signature;
use magpie_indexes::{IndexError, MappedCollections, NoLoads};
use magpie_store::json::{Json, Object};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::{Direction, Space};
use magpie_store::{
    Collection, CollectionFilter, Command, Database, DatabaseView, Document, Etag, NewDocument, Timestamp,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const DATABASE_ID: &str = "0123456789abcdefghijkl";

/// Groups by `group` (a document may have several), sums `value` exactly, and keeps a float sum whose last bits
/// depend on the order of additions: it shows any difference in the shape of a tree.
struct Totals;

impl Totals {
    fn shape() -> FunctionShape {
        FunctionShape::new(
            MappedCollections::Named(vec![Collection::new("Events").unwrap()]),
            Some(vec!["group".to_owned()]),
            ["group", "total", "float", "count"].map(str::to_owned).to_vec(),
        )
    }
}

fn failed(message: &str) -> FunctionError {
    FunctionError { kind: FunctionErrorKind::Run, message: message.to_owned(), position: None }
}

impl IndexFunction for Totals {
    fn map(&mut self, document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let body = document.body_json();
        let value = body.get("value").and_then(Json::as_i64).unwrap_or(0);
        if value == 13 {
            return Err(failed("thirteen"));
        }
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
}

fn indexer(slot: Slot, bits: u32, documents_max: usize) -> Indexer {
    let borders = Borders::new(&Signature::of("model")).with_bits_per_level(bits);
    Indexer::new(slot, Totals::shape(), borders, Box::new(Totals)).with_documents_max(documents_max)
}

/// Indexes until nothing is left, as the worker does.
fn catch_up(database: &Database, slot: Slot, bits: u32, documents_max: usize) -> Result<(), IndexError> {
    let mut indexer = indexer(slot, bits, documents_max);
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
    ] {
        let (from, to) = slot.range_of(kind);
        for row in view.kv().scan(Space::Index, &from, &to, Direction::Forward) {
            let (key, value) = row.unwrap();
            rows.push((key[4..].to_vec(), value));
        }
    }
    rows
}

fn results(view: &DatabaseView<'_>, slot: Slot) -> BTreeMap<String, (i64, i64)> {
    let (from, to) = slot.range_of(Kind::Result);
    let mut results = BTreeMap::new();
    for row in view.kv().scan(Space::Index, &from, &to, Direction::Forward) {
        if let Output::Value(json) = StoredResult::decode(&row.unwrap().1).unwrap().output {
            let json = magpie_store::json::parse(&json).unwrap();
            let field = |name: &str| json.get(name).and_then(Json::as_i64).unwrap();
            results.insert(json.get("group").unwrap().to_string(), (field("total"), field("count")));
        }
    }
    results
}

/// The 20-line fold: no tree, no difference, no progress.
fn flat_fold(view: &DatabaseView<'_>) -> BTreeMap<String, (i64, i64)> {
    let filter = CollectionFilter::Named(vec![Collection::new("events").unwrap()]);
    let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for document in view.documents_in_etag_order(&filter, Etag(0)).unwrap() {
        for emitted in Totals.map(&document.unwrap(), &mut NoLoads).unwrap_or_default() {
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
        collection: bool,
    },
    Delete {
        id: u16,
    },
    /// Indexes with batches of this many documents.
    Index {
        documents_max: usize,
    },
    /// Loses what is not synced and opens the database again.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let put = (0..60_u16, prop::collection::vec(0..3_u8, 0..3), 0..20_i64, prop::bool::weighted(0.9))
        .prop_map(|(id, groups, value, collection)| Step::Put { id, groups, value, collection });
    let step = prop_oneof![
        12 => put,
        4 => (0..60_u16).prop_map(|id| Step::Delete { id }),
        3 => (1..9_usize).prop_map(|documents_max| Step::Index { documents_max }),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..150)
}

fn put(id: u16, groups: &[u8], value: i64, events: bool) -> Vec<Command> {
    let id = format!("Events/{id}");
    let collection = if events { "Events" } else { "Others" };
    let text =
        format!(r#"{{"groups":{groups:?},"value":{value},"@metadata":{{"@collection":"{collection}"}}}}"#);
    let document = NewDocument::parse(&id, text.as_bytes()).unwrap();
    // A document may not change its collection by a put, so it is deleted first.
    vec![Command::Delete { id: id.clone(), expected: None }, Command::Put { id, document, expected: None }]
}

fn run(steps: &[Step], bits: u32) -> Result<(), TestCaseError> {
    let kv = Arc::new(MemoryKv::new());
    let mut database = Database::open(kv.clone(), DATABASE_ID).unwrap();
    let slot = Slot(1);
    for step in steps {
        match step {
            Step::Put { id, groups, value, collection } => {
                database.write(put(*id, groups, *value, *collection), Timestamp(0)).unwrap();
            }
            Step::Delete { id } => {
                let delete = Command::Delete { id: format!("events/{id}"), expected: None };
                database.write(vec![delete], Timestamp(0)).unwrap();
            }
            Step::Index { documents_max } => catch_up(&database, slot, bits, *documents_max).unwrap(),
            Step::Crash => {
                drop(database);
                kv.crash();
                database = Database::open(kv.clone(), DATABASE_ID).unwrap();
            }
        }
    }
    catch_up(&database, slot, bits, 5).unwrap();
    let rebuilt = Slot(2);
    catch_up(&database, rebuilt, bits, 1000).unwrap();
    let view = database.view();
    prop_assert_eq!(rows(&view, slot), rows(&view, rebuilt));
    let (results, folded) = (results(&view, slot), flat_fold(&view));
    let progress = Progress::read(view.kv(), slot).unwrap();
    prop_assert_eq!(progress.results, results.len() as u64);
    prop_assert_eq!(progress.failing_keys, (folded.len() - results.len()) as u64);
    for (key, result) in &results {
        prop_assert_eq!(Some(result), folded.get(key));
    }
    Ok(())
}

fn cases() -> u32 {
    if std::env::var_os("SLOW").is_some() { 20_000 } else { 400 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn incremental_equals_rebuild_equals_flat_fold(steps in steps(), bits in 1..4_u32) {
        run(&steps, bits)?;
    }
}

/// Tall trees: thousands of entries under one key, removed again in an order that merges pages at every level.
#[test]
fn a_hot_key_grows_and_shrinks_to_nothing() {
    let kv = Arc::new(MemoryKv::new());
    let database = Database::open(kv, DATABASE_ID).unwrap();
    let ids: Vec<u16> = (0..3000_u32).map(|n| u16::try_from(n * 7919 % 3000).unwrap()).collect();
    for chunk in ids.chunks(100) {
        let commands = chunk.iter().flat_map(|id| put(*id, &[1], 97, true)).collect();
        database.write(commands, Timestamp(0)).unwrap();
        catch_up(&database, Slot(1), 2, 64).unwrap();
    }
    catch_up(&database, Slot(2), 2, 1000).unwrap();
    let view = database.view();
    assert_eq!(rows(&view, Slot(1)), rows(&view, Slot(2)));
    assert_eq!(results(&view, Slot(1)), BTreeMap::from([("1".to_owned(), (97 * 3000, 3000))]));
    drop(view);
    for chunk in ids.chunks(37) {
        let delete = |id: &u16| Command::Delete { id: format!("events/{id}"), expected: None };
        database.write(chunk.iter().map(delete).collect(), Timestamp(0)).unwrap();
        catch_up(&database, Slot(1), 2, 64).unwrap();
        assert_eq!(results(&database.view(), Slot(1)), flat_fold(&database.view()));
    }
    assert_eq!(rows(&database.view(), Slot(1)), Vec::new(), "an index without documents has no rows");
}
