//! Verification and explanation: every single damaged row of an index is found, mended without touching the rest, and
//! the hash tells equal contents from different ones.

#![cfg(test)]

use magpie_indexes::explain::{ExplainRequest, Explained, Explanation, Without};
use magpie_indexes::keys::Kind;
use magpie_indexes::{
    Emitted, FunctionError, FunctionShape, FunctionSource, Index, IndexDefinition, IndexError, IndexFunction,
    LoadedCollections, Loads, MappedCollections, NativeIndex, Registry,
};
use magpie_store::json::{Json, Number, Object, parse};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::{Batch, Direction, Durability, Kv, Row, Space};
use magpie_store::{Collection, Command, Database, Document, NewDocument, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

/// Sums `n` times a loaded rate by `kind`, and a float whose sum depends on the order; finalize adds the mean. `n` = 13
/// fails.
struct Rated;

impl IndexFunction for Rated {
    fn map(&mut self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let body = document.body_json();
        let rates = Collection::new("Rates").unwrap();
        let rate = loads.load("rates/1", Some(&rates), true);
        let rate = rate.and_then(|rate| rate.body_json().get("is")?.as_i64()).unwrap_or(1);
        let n = body.get("n").and_then(Json::as_i64).unwrap();
        if n == 13 {
            let kind = magpie_indexes::function::FunctionErrorKind::Run;
            return Err(FunctionError { kind, message: "thirteen".to_owned(), position: None });
        }
        let kind = body.get("kind").unwrap().clone();
        let value = Object::from_iter([
            ("kind", kind.clone()),
            ("n", Json::from(n * rate)),
            ("tenth", Json::from(Number::from_f64(n as f64 / 10.0))),
            ("count", 1_i64.into()),
        ]);
        Ok(vec![Emitted { key: vec![kind], value: value.into() }])
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let sum =
            |field: &str| values.iter().map(|value| value.get(field).unwrap().as_i64().unwrap()).sum::<i64>();
        let tenth: f64 =
            values.iter().map(|value| value.get("tenth").unwrap().as_number().unwrap().as_f64()).sum();
        Ok(Object::from_iter([
            ("kind", key[0].clone()),
            ("n", sum("n").into()),
            ("tenth", Number::from_f64(tenth).into()),
            ("count", sum("count").into()),
        ])
        .into())
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        let mut result = reduced.as_object().unwrap().clone();
        let of = |field: &str| reduced.get(field).unwrap().as_i64().unwrap();
        result.insert("mean", of("n") / of("count"));
        Ok(Some(result.into()))
    }
}

struct RatedSource(FunctionShape);

impl FunctionSource for RatedSource {
    fn shape(&self) -> &FunctionShape {
        &self.0
    }
    fn canonical_text(&self) -> &str {
        "rated"
    }
    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(Rated))
    }
}

fn native() -> NativeIndex {
    let named = |name: &str| vec![Collection::new(name).unwrap()];
    let shape = FunctionShape::new(
        MappedCollections::Named(named("Events")),
        Some(vec!["kind".to_owned()]),
        ["kind", "n", "tenth", "count"].map(str::to_owned).to_vec(),
    );
    let shape = FunctionShape { loads: LoadedCollections::Named(named("Rates")), finalizes: true, ..shape };
    NativeIndex { name: "Rated".to_owned(), source: Arc::new(RatedSource(shape)) }
}

/// A chain of scripts with output documents and references, and a map-only one.
fn scripts() -> Vec<IndexDefinition> {
    let sum =
        "groupBy(x => x.kind).aggregate(g => ({ kind: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }))";
    let index = |name: &str, map: &str, reduce: Option<&str>| IndexDefinition {
        name: name.to_owned(),
        maps: vec![map.to_owned()],
        reduce: reduce.map(str::to_owned),
        ..IndexDefinition::default()
    };
    vec![
        IndexDefinition {
            output_reduce_to_collection: Some("Kinds".to_owned()),
            pattern_for_output_reduce_to_collection_references: Some("by/{kind}".to_owned()),
            ..index("Kinds", "map('Events', e => ({ kind: e.kind, n: e.n }))", Some(sum))
        },
        index("All", "map('Kinds', k => ({ kind: 'all', n: k.n }))", Some(sum)),
        index("Plain", "map('Events', e => [{ n: e.n }, { twice: 2 * e.n }])", None),
    ]
}

struct Fixture {
    kv: Arc<MemoryKv>,
    database: Arc<Database>,
    registry: Arc<Registry>,
}

impl Fixture {
    /// `count` events of two kinds, a rate that all load, one event that fails.
    fn new(count: u32) -> Self {
        let kv = Arc::new(MemoryKv::new());
        let database = Arc::new(Database::open(kv.clone(), "0123456789abcdefghijkl").unwrap());
        let registry = Registry::open(database.clone(), Arc::new(|| Timestamp(0)), vec![native()]).unwrap();
        registry.put(scripts()).unwrap();
        let fixture = Self { kv, database, registry };
        fixture.put("rates/1", r#"{"is":3,"@metadata":{"@collection":"Rates"}}"#);
        for n in 0..count {
            let kind = if n % 5 == 0 { "rare" } else { "hot" };
            let text = format!(r#"{{"kind":"{kind}","n":{n},"@metadata":{{"@collection":"Events"}}}}"#);
            fixture.put(&format!("Events/{n}"), &text);
        }
        fixture.follow();
        fixture
    }

    fn put(&self, id: &str, text: &str) {
        let document = NewDocument::parse(id, text.as_bytes()).unwrap();
        let put = Command::Put { id: id.to_owned(), document, expected: None };
        self.database.write(vec![put], Timestamp(0)).unwrap();
    }

    fn follow(&self) {
        for index in self.registry.all() {
            let etag = self.database.last_etag();
            assert!(self.registry.wait_until_followed_blocking(&index, etag, WAIT), "{}", index.name());
        }
    }

    fn index(&self, name: &str) -> Arc<Index> {
        self.registry.get(name).unwrap()
    }

    fn rows(&self, name: &str) -> Vec<Row> {
        let (from, to) = self.index(name).slot().range();
        let view = self.database.view();
        view.kv().scan(Space::Index, &from, &to, Direction::Forward).map(Result::unwrap).collect()
    }

    fn hash(&self, name: &str) -> String {
        self.index(name).hash(&self.database.view(), &|| true).unwrap().unwrap()
    }

    /// Changes a row behind everybody's back.
    fn plant(&self, key: &[u8], value: Option<&[u8]>) {
        let mut batch = Batch::new();
        match value {
            Some(value) => batch.put(Space::Index, key, value),
            None => batch.delete(Space::Index, key),
        }
        self.kv.commit(batch, Durability::Buffered).unwrap();
    }

    fn explain(&self, name: &str, key: &str, without: bool) -> Result<Explained, IndexError> {
        let key = parse(key.as_bytes()).unwrap();
        let request = ExplainRequest { key, start: 0, page_size: 1000, without };
        self.registry.explain(&self.database.view(), name, &request)
    }

    fn explain_key(&self, name: &str, key: &str, without: bool) -> Explanation {
        match self.explain(name, key, without).unwrap() {
            Explained::Key(explanation) => explanation,
            other => panic!("several keys: {other:?}"),
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.registry.stop();
    }
}

/// The kinds of rows that are verified; the others are counters, cursors and statistics.
const VERIFIED: [Kind; 9] = [
    Kind::DocumentKeys,
    Kind::LeafPage,
    Kind::PageOutput,
    Kind::Result,
    Kind::MapOutput,
    Kind::DocumentLoads,
    Kind::LoadedBy,
    Kind::OutputDocument,
    Kind::OutputReference,
];

fn damage_every_row(name: &str, expected_kinds: &[Kind]) {
    let fixture = Fixture::new(if name == "Plain" { 40 } else { 300 });
    let healthy = fixture.registry.verify(name, false, &|| true).unwrap().unwrap().found;
    assert_eq!((healthy.damages, healthy.pending), (0, 0), "{:?}", healthy.listed);
    assert_eq!(healthy.hash, fixture.hash(name));
    let rows = fixture.rows(name);
    let contents = |rows: &[Row]| -> BTreeMap<Vec<u8>, Vec<u8>> {
        let is_verified = |(key, _): &&Row| VERIFIED.iter().any(|kind| *kind as u8 == key[4]);
        rows.iter().filter(is_verified).cloned().collect()
    };
    let before = contents(&rows);
    let mut tried: BTreeMap<u8, u32> = BTreeMap::new();
    for (key, value) in &before {
        let count = tried.entry(key[4]).or_default();
        *count += 1;
        // All rows of the upper tree and results; of the many others a sample.
        if *count > 20 && !count.is_multiple_of(13) {
            continue;
        }
        let mut damaged = vec![None];
        if !value.is_empty() {
            let flip = |at: usize| {
                let mut value = value.clone();
                value[at] ^= 1;
                Some(value)
            };
            damaged.extend([flip(0), flip(value.len() / 2), flip(value.len() - 1)]);
            damaged.push(Some(value[..value.len() / 2].to_vec()));
        }
        for damage in damaged {
            fixture.plant(key, damage.as_deref());
            let verified = fixture.registry.verify(name, true, &|| true).unwrap().unwrap();
            let row = format!("row {key:?} of kind {} as {damage:?}", key[4]);
            assert!(verified.found.damages > 0, "{row} is not found");
            let mended =
                verified.mended.unwrap_or_else(|| panic!("{row} is not mended: {:?}", verified.found));
            assert_eq!(mended.damages, 0, "{row}: {:?} after {:?}", mended.listed, verified.found.listed);
            assert_eq!(mended.hash, healthy.hash, "{row}");
            assert_eq!(contents(&fixture.rows(name)), before, "{row}");
        }
    }
    let kinds: Vec<u8> = expected_kinds.iter().map(|kind| *kind as u8).collect();
    assert_eq!(tried.into_keys().collect::<Vec<_>>(), kinds, "every kind of row was damaged");
}

#[test]
fn every_damaged_row_of_a_native_index_is_found_and_mended() {
    let kinds = [
        Kind::DocumentKeys,
        Kind::LeafPage,
        Kind::PageOutput,
        Kind::Result,
        Kind::DocumentLoads,
        Kind::LoadedBy,
    ];
    damage_every_row("Rated", &kinds);
}

#[test]
fn every_damaged_row_of_an_index_with_output_is_found_and_mended() {
    let kinds = [
        Kind::DocumentKeys,
        Kind::LeafPage,
        Kind::PageOutput,
        Kind::Result,
        Kind::OutputDocument,
        Kind::OutputReference,
    ];
    damage_every_row("Kinds", &kinds);
}

#[test]
fn every_damaged_row_of_a_map_only_index_is_found_and_mended() {
    damage_every_row("Plain", &[Kind::MapOutput]);
}

#[test]
fn rows_that_nothing_stands_behind_are_found_and_removed() {
    let fixture = Fixture::new(50);
    for name in ["Rated", "Kinds", "Plain"] {
        let healthy = fixture.hash(name);
        let rows = fixture.rows(name);
        for kind in VERIFIED {
            // Another row of the kind, under a key that sorts behind.
            let Some((key, value)) = rows.iter().rev().find(|(key, _)| key[4] == kind as u8) else {
                continue;
            };
            let mut stray = key.clone();
            let at = if kind == Kind::PageOutput { stray.len() - 1 } else { 6 };
            stray[at] = stray[at].wrapping_add(1);
            fixture.plant(&stray, Some(value));
            assert_ne!(fixture.hash(name), healthy, "{name} {kind:?}");
            let verified = fixture.registry.verify(name, true, &|| true).unwrap().unwrap();
            assert!(verified.found.damages > 0, "{name} {kind:?}");
            let mended = verified.mended.unwrap_or_else(|| panic!("{name} {kind:?}: {:?}", verified.found));
            assert_eq!(
                (mended.damages, mended.hash),
                (0, healthy.clone()),
                "{name} {kind:?}: {:?}",
                mended.listed
            );
        }
    }
}

#[test]
fn the_hash_tells_contents_and_not_history() {
    let (one, other) = (Fixture::new(60), Fixture::new(0));
    for n in (0..60).rev() {
        let kind = if n % 5 == 0 { "rare" } else { "hot" };
        // Written wrong first, and each on its own.
        for value in [n + 1000, n] {
            let text = format!(r#"{{"kind":"{kind}","n":{value},"@metadata":{{"@collection":"Events"}}}}"#);
            other.put(&format!("Events/{n}"), &text);
            other.follow();
        }
    }
    for name in ["Rated", "Kinds", "All", "Plain"] {
        assert_eq!(one.hash(name), other.hash(name), "{name}");
    }
    other.put("Events/1", r#"{"kind":"hot","n":2,"@metadata":{"@collection":"Events"}}"#);
    other.follow();
    for name in ["Rated", "Kinds", "All", "Plain"] {
        assert_ne!(one.hash(name), other.hash(name), "{name}");
    }
}

#[test]
fn what_is_behind_progress_is_pending_and_no_damage() {
    let fixture = Fixture::new(50);
    fixture.registry.pause(None).unwrap();
    fixture.put("Events/1", r#"{"kind":"rare","n":7,"@metadata":{"@collection":"Events"}}"#);
    let delete = Command::Delete { id: "events/2".to_owned(), expected: None };
    fixture.database.write(vec![delete], Timestamp(0)).unwrap();
    let verified = fixture.registry.verify("Kinds", false, &|| true).unwrap().unwrap().found;
    assert_eq!((verified.damages, verified.pending), (0, 1), "{:?}", verified.listed);
    fixture.put("rates/1", r#"{"is":4,"@metadata":{"@collection":"Rates"}}"#);
    let verified = fixture.registry.verify("Rated", false, &|| true).unwrap().unwrap().found;
    assert_eq!(
        (verified.damages, verified.documents),
        (0, 0),
        "all load what changed: {:?}",
        verified.listed
    );
    fixture.registry.resume(None).unwrap();
    fixture.follow();
    let verified = fixture.registry.verify("Rated", false, &|| true).unwrap().unwrap().found;
    assert_eq!((verified.damages, verified.pending, verified.documents), (0, 0, 49), "{:?}", verified.listed);
}

#[test]
fn a_reduce_that_is_not_associative_is_told_apart_from_damage() {
    let fixture = Fixture::new(300);
    let mean = IndexDefinition {
        name: "Mean".to_owned(),
        maps: vec!["map('Events', e => ({ kind: e.kind, mean: e.n }))".to_owned()],
        reduce: Some(
            "groupBy(x => x.kind).aggregate(g => ({ kind: g.key,
                mean: g.values.reduce((s, v) => s + v.mean, 0) / g.values.length }))"
                .to_owned(),
        ),
        ..IndexDefinition::default()
    };
    fixture.registry.put(vec![mean]).unwrap();
    fixture.follow();
    let verified = fixture.registry.verify("Mean", true, &|| true).unwrap().unwrap();
    assert!(verified.found.damages > 0 && verified.mended.is_none());
    let damage = &verified.found.listed[0];
    assert!(damage.what.contains("not associative") && !damage.is_repairable(), "{damage:?}");
}

#[test]
fn a_result_is_explained_down_to_its_events() {
    let fixture = Fixture::new(300);
    let explanation = fixture.explain_key("Rated", r#"{"kind":"hot"}"#, true);
    assert_eq!(explanation.entries.len(), 239, "240 events, one of which fails");
    assert!(explanation.height.unwrap() >= 1);
    assert_eq!(explanation.levels.len(), usize::from(explanation.height.unwrap()));
    let total = |json: &Json| json.get("n").and_then(Json::as_i64).unwrap();
    let reduced = total(explanation.reduced.as_ref().unwrap());
    assert_eq!(reduced, (0..300).filter(|n| n % 5 != 0 && *n != 13).sum::<i64>() * 3);
    assert_eq!(explanation.entries.iter().map(|entry| total(&entry.value)).sum::<i64>(), reduced);
    for level in &explanation.levels {
        assert_eq!(level.pages.iter().map(|page| total(page.value.as_ref().unwrap())).sum::<i64>(), reduced);
    }
    for entry in &explanation.entries {
        assert!(entry.document.starts_with("Events/"), "the id as written: {}", entry.document);
        let Some(Without::Result(Some(without))) = &entry.without else { panic!("{entry:?}") };
        assert_eq!(total(without), reduced - total(&entry.value));
        assert_eq!(without.get("count").and_then(Json::as_i64), Some(238));
        assert_eq!(without.get("mean").and_then(Json::as_i64), Some((reduced - total(&entry.value)) / 238));
    }
    // Nothing of it was committed.
    assert_eq!(fixture.registry.verify("Rated", false, &|| true).unwrap().unwrap().found.damages, 0);

    let all = fixture.explain_key("All", "\"all\"", false);
    let made: Vec<_> = all.entries.iter().map(|entry| entry.produced_by.clone().unwrap()).collect();
    let key = |kind: &str| ("Kinds".to_owned(), vec![Json::from(kind)]);
    assert_eq!(made.iter().filter(|made| **made == key("hot") || **made == key("rare")).count(), 2);

    let none = fixture.explain_key("Rated", r#"["nowhere"]"#, false);
    assert_eq!((none.height, none.result, none.entries.len()), (None, None, 0));
    match fixture.explain("Rated", "{}", false).unwrap() {
        Explained::Keys { keys, more } => {
            assert_eq!(
                keys.iter().map(|(key, _)| key[0].clone()).collect::<Vec<_>>(),
                ["hot", "rare"].map(Json::from)
            );
            assert!(!more && keys.iter().all(|(_, result)| result.is_some()));
        }
        other => panic!("{other:?}"),
    }
    for (name, key) in [("Rated", r#"{"colour":1}"#), ("Plain", "1")] {
        assert!(matches!(fixture.explain(name, key, false), Err(IndexError::Key { .. })), "{name} {key}");
    }
}
