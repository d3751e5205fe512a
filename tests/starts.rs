//! Indexes that end the process: started carefully once, then left out and reported, while everything else works; and
//! healthy indexes that are only killed often, which are never left out.
//!
//! A process that dies is a registry that is dropped without a stop while a map hangs in it for ever.

#![cfg(test)]

use magpie_indexes::keys::meta;
use magpie_indexes::{
    Emitted, FunctionError, FunctionShape, FunctionSource, Index, IndexDefinition, IndexFunction,
    IndexStatus, Loads, MappedCollections, NativeIndex, Registry,
};
use magpie_store::json::{Json, Object};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::{Direction, Kv, Space};
use magpie_store::{Collection, Command, Database, Document, NewDocument, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(60);

/// A map-only index over `Events` that never comes back from one document.
struct Poisoned {
    shape: FunctionShape,
    poison: Option<String>,
    entered: Arc<AtomicBool>,
}

struct PoisonedFunction {
    poison: Option<String>,
    entered: Arc<AtomicBool>,
}

impl FunctionSource for Poisoned {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }
    fn canonical_text(&self) -> &str {
        "poisoned"
    }
    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(PoisonedFunction { poison: self.poison.clone(), entered: self.entered.clone() }))
    }
}

impl IndexFunction for PoisonedFunction {
    fn map(&mut self, document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        if self.poison.as_deref() == Some(document.id.as_str()) {
            self.entered.store(true, Ordering::SeqCst);
            loop {
                std::thread::park();
            }
        }
        let value = Json::Object(Object::from_iter([("n", Json::from(1_i64))]));
        Ok(vec![Emitted { key: Vec::new(), value }])
    }
    fn reduce(&mut self, _: &[Json], _: &[Json]) -> Result<Json, FunctionError> {
        panic!("a map-only index is not reduced")
    }
}

/// A process on the store, from its start to its death.
struct Life {
    kv: Arc<MemoryKv>,
    database: Arc<Database>,
    registry: Arc<Registry>,
    entered: Vec<Arc<AtomicBool>>,
}

impl Life {
    /// Opens the store with one native index for each of `poisons`: a name and the document that it hangs on.
    fn start(kv: &Arc<MemoryKv>, poisons: &[(&str, Option<&str>)]) -> Self {
        let database = Arc::new(Database::open(kv.clone(), "0123456789abcdefghijkl").unwrap());
        let mut entered = Vec::new();
        let natives = poisons.iter().map(|(name, poison)| {
            let events = MappedCollections::Named(vec![Collection::new("Events").unwrap()]);
            let flag = Arc::new(AtomicBool::new(false));
            entered.push(flag.clone());
            let source = Poisoned {
                shape: FunctionShape::new(events, None, vec!["n".to_owned()]),
                poison: poison.map(str::to_owned),
                entered: flag,
            };
            NativeIndex { name: (*name).to_owned(), source: Arc::new(source) }
        });
        let natives = natives.collect();
        let registry = Registry::open(database.clone(), Arc::new(|| Timestamp(0)), natives).unwrap();
        Self { kv: kv.clone(), database, registry, entered }
    }

    fn put_event(&self, id: &str) {
        let document = NewDocument::parse(id, br#"{"n":1,"@metadata":{"@collection":"Events"}}"#).unwrap();
        let put = Command::Put { id: id.to_owned(), document, expected: None };
        self.database.write(vec![put], Timestamp(0)).unwrap();
    }

    fn index(&self, name: &str) -> Arc<Index> {
        self.registry.get(name).unwrap()
    }

    fn status(&self, name: &str) -> IndexStatus {
        self.index(name).status(&self.database.view()).unwrap()
    }

    /// The number of outputs of an index that has caught up.
    fn entries(&self, name: &str) -> usize {
        let index = self.index(name);
        assert!(index.wait_until_indexed_blocking(self.database.last_etag(), WAIT), "'{name}' catches up");
        index.entries(&self.database.view()).count()
    }

    /// Waits until one of the maps hangs.
    fn wait_until_it_hangs(&self) {
        let deadline = Instant::now() + WAIT;
        while !self.entered.iter().any(|entered| entered.load(Ordering::SeqCst)) {
            assert!(Instant::now() < deadline, "the map is called");
            std::thread::yield_now();
        }
    }

    /// Dies; `power_cut` also loses what was not synced.
    fn die(self, power_cut: bool) {
        if power_cut {
            self.kv.crash();
        }
        drop(self);
    }

    fn counters(&self) -> usize {
        counters(&self.kv)
    }
}

/// How many builds have a counter of starts on disk.
fn counters(kv: &MemoryKv) -> usize {
    let (from, to) = meta::STARTS;
    kv.snapshot().scan(Space::Meta, from, to, Direction::Forward).count()
}

fn with_events(ids: &[&str]) -> Arc<MemoryKv> {
    let kv = Arc::new(MemoryKv::new());
    let life = Life::start(&kv, &[]);
    ids.iter().for_each(|id| life.put_event(id));
    life.registry.stop();
    kv
}

fn plain() -> IndexDefinition {
    IndexDefinition {
        name: "Plain".to_owned(),
        maps: vec!["map('Events', e => ({ n: e.n }))".to_owned()],
        ..IndexDefinition::default()
    }
}

#[test]
fn the_third_start_leaves_the_poisoned_index_out_and_serves_everything_else() {
    let kv = with_events(&["e/1", "e/2"]);
    for _ in 0..2 {
        let life = Life::start(&kv, &[("Poisoned", Some("e/1"))]);
        life.wait_until_it_hangs();
        life.die(true);
    }
    let life = Life::start(&kv, &[("Poisoned", Some("e/1"))]);
    let status = life.status("Poisoned");
    let IndexStatus::Failed(cause) = status else { panic!("{status:?}") };
    for part in ["was not started", "'e/1'", "failed_starts_max", "reset the index"] {
        assert!(cause.contains(part), "{cause}");
    }
    life.registry.put(vec![plain()]).unwrap();
    assert_eq!(life.entries("Plain"), 2);
    assert!(!life.entered[0].load(Ordering::SeqCst), "its map was not called");
    life.registry.stop();

    // Stopping and starting changes nothing; a reset does.
    let life = Life::start(&kv, &[("Poisoned", None)]);
    assert!(matches!(life.status("Poisoned"), IndexStatus::Failed(_)));
    life.registry.reset("Poisoned").unwrap();
    assert_eq!(life.entries("Poisoned"), 2);
    assert_eq!(life.status("Poisoned"), IndexStatus::Running);
    assert_eq!(life.counters(), 0);
    life.registry.stop();
}

#[test]
fn what_is_before_the_poison_is_committed_one_by_one() {
    let kv = with_events(&["e/1", "e/2", "e/3", "e/4"]);
    // The first dies with the whole batch, the second of the third document, the third of that alone.
    for entries in [0, 2, 2] {
        let life = Life::start(&kv, &[("Poisoned", Some("e/3"))]);
        life.wait_until_it_hangs();
        assert_eq!(life.index("Poisoned").entries(&life.database.view()).count(), entries);
        life.die(false);
    }
    let life = Life::start(&kv, &[("Poisoned", Some("e/3"))]);
    let status = life.status("Poisoned");
    assert!(matches!(&status, IndexStatus::Failed(cause) if cause.contains("'e/3'")), "{status:?}");
    assert_eq!(life.index("Poisoned").entries(&life.database.view()).count(), 2, "its rows are kept");
    life.registry.stop();
}

#[test]
fn a_careful_start_without_a_poison_goes_on_as_usual() {
    let kv = with_events(&["e/1", "e/2", "e/3"]);
    let life = Life::start(&kv, &[("Poisoned", Some("e/1"))]);
    life.wait_until_it_hangs();
    life.die(false);
    assert_eq!(counters(&kv), 1);
    let life = Life::start(&kv, &[("Poisoned", None)]);
    assert_eq!(life.entries("Poisoned"), 3);
    life.put_event("e/4");
    assert_eq!(life.entries("Poisoned"), 4);
    assert_eq!(life.counters(), 0, "the start has succeeded");
    life.registry.stop();
}

#[test]
fn a_healthy_index_is_never_left_out_however_often_it_is_killed() {
    let kv = with_events(&["e/0"]);
    for round in 0..6 {
        let next = format!("e/{}", round + 1);
        let life = Life::start(&kv, &[("Poisoned", Some(&next))]);
        assert_eq!(life.entries("Poisoned"), round + 1, "the first batch is committed");
        life.put_event(&next);
        life.wait_until_it_hangs();
        life.die(false);
    }
    let life = Life::start(&kv, &[("Poisoned", None)]);
    assert_eq!(life.entries("Poisoned"), 7);
    assert_eq!(life.status("Poisoned"), IndexStatus::Running);
    life.registry.stop();
}

#[test]
fn a_graceful_stop_while_a_map_hangs_does_not_count() {
    let kv = with_events(&["e/1"]);
    for _ in 0..3 {
        let life = Life::start(&kv, &[("Poisoned", Some("e/1"))]);
        life.wait_until_it_hangs();
        life.registry.stop();
        assert_eq!(life.counters(), 0);
    }
    let life = Life::start(&kv, &[("Poisoned", None)]);
    assert_eq!(life.entries("Poisoned"), 1);
    life.registry.stop();
}

#[test]
fn one_index_that_kills_the_process_takes_no_blame_to_another() {
    let kv = with_events(&["e/1"]);
    // Both are caught in their first batch once.
    let life = Life::start(&kv, &[("Innocent", Some("e/1")), ("Poisoned", Some("e/1"))]);
    let both = Instant::now() + WAIT;
    while !life.entered.iter().all(|entered| entered.load(Ordering::SeqCst)) {
        assert!(Instant::now() < both, "both are called");
        std::thread::yield_now();
    }
    life.die(false);
    // Now they start one after the other.
    let life = Life::start(&kv, &[("Innocent", None), ("Poisoned", Some("e/1"))]);
    life.wait_until_it_hangs();
    life.die(false);
    let life = Life::start(&kv, &[("Innocent", None), ("Poisoned", Some("e/1"))]);
    assert!(matches!(life.status("Poisoned"), IndexStatus::Failed(_)));
    assert_eq!(life.entries("Innocent"), 1);
    assert_eq!(life.status("Innocent"), IndexStatus::Running);
    life.registry.stop();
}

#[test]
fn a_changed_definition_is_another_build_with_another_chance() {
    let kv = with_events(&["e/1"]);
    for _ in 0..2 {
        let life = Life::start(&kv, &[("Poisoned", Some("e/1"))]);
        life.wait_until_it_hangs();
        life.die(false);
    }
    let life = Life::start(&kv, &[("Poisoned", None)]);
    assert!(matches!(life.status("Poisoned"), IndexStatus::Failed(_)));
    life.registry.put(vec![IndexDefinition { name: "Poisoned".to_owned(), ..plain() }]).unwrap();
    let deadline = Instant::now() + WAIT;
    while life.registry.get("ReplacementOf/Poisoned").is_some() {
        assert!(Instant::now() < deadline, "the replacement takes over");
        std::thread::yield_now();
    }
    assert_eq!(life.entries("Poisoned"), 1);
    assert_eq!(life.status("Poisoned"), IndexStatus::Running);
    assert_eq!(life.counters(), 0);
    life.registry.stop();
}

#[test]
fn deaths_in_different_calls_are_not_the_index_s_fault() {
    let kv = with_events(&["e/1", "e/2", "e/3"]);
    // Killed from outside in the second map of a batch, then twice at other places, as it happens.
    for place in ["e/2", "e/1", "e/2", "e/3"] {
        let life = Life::start(&kv, &[("Poisoned", Some(place))]);
        life.wait_until_it_hangs();
        life.die(false);
    }
    let life = Life::start(&kv, &[("Poisoned", None)]);
    assert_eq!(life.entries("Poisoned"), 3);
    assert_eq!(life.status("Poisoned"), IndexStatus::Running);
    life.registry.stop();
}
