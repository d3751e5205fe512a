//! Chains: an index whose results are documents that the next one maps. After any history of writes, crashes, resets and
//! new definitions, with any batch sizes, the last index equals a flat fold of the events, the documents in between are
//! the results and nothing else, and all rows equal those of a rebuild.

#![cfg(test)]

use magpie_indexes::definition::{MAP_BATCH_SIZE, REPLACEMENT_PREFIX};
use magpie_indexes::keys::meta;
use magpie_indexes::{IndexDefinition, IndexError, Registry};
use magpie_store::json::Json;
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::{Batch, Space};
use magpie_store::{Collection, CollectionFilter, Command, Database, Etag, NewDocument, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

const DATABASE_ID: &str = "0123456789abcdefghijkl";
const WAIT: Duration = Duration::from_secs(20);
/// The indexes of the chain, first to last.
const CHAIN: [&str; 3] = ["Days", "Months", "Total"];

/// Events by day and kind, days by month, months in one: each maps what the one before wrote.
fn definition(name: &str, batch_size: usize) -> IndexDefinition {
    let (map, key, output) = match name {
        "Days" => ("map('Events', e => ({ key: e.day, n: e.n, count: 1 }))", "key", Some("Days")),
        "Months" => (
            "map('Days', d => ({ key: Math.floor(d.key / 10), n: d.n, count: d.count }))",
            "key",
            Some("Months"),
        ),
        _ => ("map('Months', m => ({ key: 'all', n: m.n, count: m.count }))", "key", None),
    };
    let references = (name == "Days").then(|| "reports/{count}".to_owned());
    IndexDefinition {
        name: name.to_owned(),
        maps: vec![map.to_owned()],
        reduce: Some(format!(
            "groupBy(x => x.{key}).aggregate(g => ({{ key: g.key, n: g.values.reduce((s, v) => s + v.n, 0),
                count: g.values.reduce((s, v) => s + v.count, 0) }}))"
        )),
        configuration: BTreeMap::from([(MAP_BATCH_SIZE.to_owned(), Some(batch_size.to_string()))]),
        output_reduce_to_collection: output.map(str::to_owned),
        pattern_for_output_reduce_to_collection_references: references,
        ..IndexDefinition::default()
    }
}

fn put(id: u8, day: u8, n: i64) -> Command {
    let id = format!("events/{id}");
    let text = format!(r#"{{"day":{day},"n":{n},"@metadata":{{"@collection":"Events"}}}}"#);
    let document = NewDocument::parse(&id, text.as_bytes()).unwrap();
    Command::Put { id, document, expected: None }
}

/// A running database with its indexes.
struct Running {
    kv: Arc<MemoryKv>,
    database: Arc<Database>,
    registry: Arc<Registry>,
}

impl Running {
    fn on(kv: Arc<MemoryKv>) -> Self {
        let database = Arc::new(Database::open(kv.clone(), DATABASE_ID).unwrap());
        let registry = Registry::open(database.clone(), Arc::new(|| Timestamp(0)), Vec::new()).unwrap();
        Self { kv, database, registry }
    }

    /// Loses what is not durable and starts again.
    fn crash(self) -> Self {
        self.registry.stop();
        self.kv.crash();
        // Crashes within moments of starts count against an index (`starts.rs`): not what is asked here.
        let (from, to) = meta::STARTS;
        let mut batch = Batch::new();
        batch.delete_range(Space::Meta, from, to);
        Database::open(self.kv.clone(), DATABASE_ID).unwrap().commit_definition(batch).unwrap();
        Self::on(self.kv.clone())
    }

    fn put_chain(&self, batch_size: usize) {
        self.registry.put(CHAIN.map(|name| definition(name, batch_size)).to_vec()).unwrap();
    }

    /// Waits until every event that is written has reached the last index, and no build waits to take over.
    fn follow(&self) {
        for name in CHAIN {
            let deadline = Instant::now() + WAIT;
            while self.registry.get(&format!("{REPLACEMENT_PREFIX}{name}")).is_some() {
                assert!(Instant::now() < deadline, "the new build of '{name}' takes over");
                std::thread::yield_now();
            }
        }
        let last = self.registry.get("Total").unwrap();
        let etag = self.database.last_etag();
        let followed = self.registry.wait_until_followed_blocking(&last, etag, WAIT);
        let view = self.database.view();
        let state = CHAIN.map(|name| self.registry.get(name).unwrap().statistics(&view).unwrap());
        assert!(followed, "the chain follows up to {etag}: {state:?}");
        assert!(!self.registry.is_stale(&view, &last).unwrap());
    }

    /// (sum, count) by key, of an index.
    fn results(&self, name: &str) -> BTreeMap<String, (i64, i64)> {
        let view = self.database.view();
        let index = self.registry.get(name).unwrap();
        index.results(&view).map(|result| figures(&result.unwrap())).collect()
    }

    /// The same of the documents of a collection.
    fn documents(&self, collection: &str) -> BTreeMap<String, (i64, i64)> {
        let view = self.database.view();
        let filter = CollectionFilter::Named(vec![Collection::new(collection).unwrap()]);
        let documents = view.documents_in_etag_order(&filter, Etag(0)).unwrap();
        documents.map(|document| figures(&Json::Object(document.unwrap().body_json()))).collect()
    }

    /// Day keys by the reference document that names them.
    fn referenced(&self) -> BTreeMap<String, usize> {
        let view = self.database.view();
        let filter = CollectionFilter::Named(vec![Collection::new("Days/References").unwrap()]);
        let documents = view.documents_in_etag_order(&filter, Etag(0)).unwrap().map(Result::unwrap);
        documents
            .map(|document| {
                let body = document.body_json();
                let named = body.get("ReduceOutputs").and_then(Json::as_array).unwrap();
                let distinct: BTreeSet<_> = named.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
                assert_eq!(distinct.len(), named.len());
                (document.id.as_str().to_owned(), named.len())
            })
            .collect()
    }

    fn rows(&self) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
        let view = self.database.view();
        // What follows the kind byte and behind is the same in every build; the rows' slot is left out already.
        CHAIN.map(|name| self.registry.get(name).unwrap().rows(&view).unwrap()).to_vec()
    }

    fn judge(&self) {
        self.follow();
        let view = self.database.view();
        let filter = CollectionFilter::Named(vec![Collection::new("Events").unwrap()]);
        let mut days: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for document in view.documents_in_etag_order(&filter, Etag(0)).unwrap() {
            let body = document.unwrap().body_json();
            let day = days.entry(body.get("day").unwrap().to_string()).or_default();
            day.0 += body.get("n").and_then(Json::as_i64).unwrap();
            day.1 += 1;
        }
        let mut months: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        let mut total: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        let mut reports: BTreeMap<String, usize> = BTreeMap::new();
        for (day, (n, count)) in &days {
            let month = (day.parse::<i64>().unwrap() / 10).to_string();
            for sum in [months.entry(month).or_default(), total.entry("\"all\"".to_owned()).or_default()] {
                sum.0 += n;
                sum.1 += count;
            }
            *reports.entry(format!("reports/{count}")).or_default() += 1;
        }
        assert_eq!(self.results("Days"), days);
        assert_eq!(self.documents("Days"), days);
        assert_eq!(self.referenced(), reports);
        assert_eq!(self.results("Months"), months);
        assert_eq!(self.documents("Months"), months);
        assert_eq!(self.results("Total"), total);
    }
}

fn figures(result: &Json) -> (String, (i64, i64)) {
    // Scripts give doubles; in documents they are written with a fraction (`2.0`).
    #[expect(clippy::cast_possible_truncation, reason = "the sums are small whole numbers")]
    let whole = |field: &str| result.get(field).and_then(Json::as_number).unwrap().as_f64() as i64;
    let key = result.get("key").unwrap();
    let key = key.as_number().map_or_else(|| key.to_string(), |number| number.as_f64().to_string());
    (key, (whole("n"), whole("count")))
}

#[derive(Debug, Clone)]
enum Step {
    Put {
        id: u8,
        day: u8,
        n: i64,
    },
    Delete {
        id: u8,
    },
    /// Waits for the chain.
    Follow,
    /// Loses what is not synced and starts again.
    Crash,
    Reset {
        link: usize,
    },
    /// Builds an index of the chain anew next to the old one.
    Replace {
        link: usize,
        batch_size: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..40_u8, 0..40_u8, 0..100_i64).prop_map(|(id, day, n)| Step::Put { id, day, n }),
        5 => (0..40_u8).prop_map(|id| Step::Delete { id }),
        2 => Just(Step::Follow),
        1 => Just(Step::Crash),
        1 => (0..3_usize).prop_map(|link| Step::Reset { link }),
        1 => (0..3_usize, 1..20_usize).prop_map(|(link, batch_size)| Step::Replace { link, batch_size }),
    ];
    prop::collection::vec(step, 1..60)
}

fn run(steps: &[Step], batch_size: usize) {
    let mut running = Running::on(Arc::new(MemoryKv::new()));
    running.put_chain(batch_size);
    for step in steps {
        match step {
            Step::Put { id, day, n } => {
                running.database.write(vec![put(*id, *day, *n)], Timestamp(0)).unwrap();
            }
            Step::Delete { id } => {
                let delete = Command::Delete { id: format!("events/{id}"), expected: None };
                running.database.write(vec![delete], Timestamp(0)).unwrap();
            }
            Step::Follow => running.follow(),
            Step::Crash => running = running.crash(),
            Step::Reset { link } => running.registry.reset(CHAIN[*link]).unwrap(),
            Step::Replace { link, batch_size } => {
                running.registry.put(vec![definition(CHAIN[*link], *batch_size)]).unwrap();
            }
        }
    }
    running.judge();
    // The batch size is part of the definition; what it decides is not.
    running.put_chain(7);
    running.judge();
    let incremental = running.rows();
    for name in CHAIN {
        running.registry.reset(name).unwrap();
    }
    running.judge();
    assert_eq!(incremental, running.rows());
    running.registry.stop();
}

fn cases() -> u32 {
    if std::env::var_os("SLOW").is_some() { 2_000 } else { 60 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_the_fold_of_the_events(steps in steps(), batch_size in 1..20_usize) {
        run(&steps, batch_size);
    }
}

#[test]
fn deleted_indexes_take_their_documents_with_them() {
    let running = Running::on(Arc::new(MemoryKv::new()));
    running.put_chain(100);
    running.database.write(vec![put(1, 1, 1), put(2, 12, 2)], Timestamp(0)).unwrap();
    running.judge();
    assert!(running.registry.delete("Days").unwrap());
    let deadline = Instant::now() + WAIT;
    while !(running.documents("Days").is_empty() && running.referenced().is_empty()) {
        assert!(Instant::now() < deadline, "the documents go");
        std::thread::yield_now();
    }
    let last = running.registry.get("Total").unwrap();
    let etag = running.database.last_etag();
    assert!(running.registry.wait_until_followed_blocking(&last, etag, WAIT));
    assert_eq!(running.results("Total"), BTreeMap::new());
    // The name of the collection is free again.
    running.put_chain(100);
    running.judge();
    running.registry.stop();
}

#[test]
fn what_would_feed_itself_is_refused_and_changes_nothing() {
    let running = Running::on(Arc::new(MemoryKv::new()));
    running.put_chain(100);
    let refused = |definitions: Vec<IndexDefinition>| match running.registry.put(definitions) {
        Err(IndexError::OutputRefused { reason, .. }) => reason,
        other => panic!("accepted, or refused for another reason: {other:?}"),
    };
    let with = |name: &str, map: &str, output: &str| IndexDefinition {
        maps: vec![map.to_owned()],
        output_reduce_to_collection: Some(output.to_owned()),
        pattern_for_output_reduce_to_collection_references: None,
        ..definition(name, 100)
    };
    let by_key = "x => ({ key: x.key, n: x.n, count: x.count })";
    let own = refused(vec![with("Own", &format!("map('Own', {by_key})"), "own")]);
    assert!(own.contains("mapping or referencing the 'own' collection"), "{own}");
    let shared = refused(vec![with("Shared", &format!("map('Events', {by_key})"), "Days")]);
    assert!(shared.contains("another index named 'Days'"), "{shared}");
    let around = refused(vec![with("Total", &format!("map('Months', {by_key})"), "Events")]);
    assert!(around.contains("infinite loop"), "{around}");
    let all = refused(vec![with("All", &format!("map('@all_docs', {by_key})"), "Alls")]);
    assert!(all.contains("mapping all documents"), "{all}");
    // Two new indexes that feed each other, in one request.
    let both = refused(vec![
        with("Ping", &format!("map('Pongs', {by_key})"), "Pings"),
        with("Pong", &format!("map('Pings', {by_key})"), "Pongs"),
    ]);
    assert!(both.contains("infinite loop"), "{both}");
    running.database.write(vec![put(1, 1, 1)], Timestamp(0)).unwrap();
    let populated = refused(vec![with("New", &format!("map('Others', {by_key})"), "Events")]);
    assert!(populated.contains("currently has 1 documents"), "{populated}");
    assert_eq!(running.registry.all().len(), CHAIN.len());
    running.judge();
    running.registry.stop();
}
