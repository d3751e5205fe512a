//! The life of indexes: putting, replacing, pausing, resetting, failing, and what each leaves on disk.

#![cfg(test)]

use magpie_indexes::definition::{LockMode, REPLACEMENT_PREFIX};
use magpie_indexes::{
    Emitted, FunctionError, FunctionShape, FunctionSource, Index, IndexDefinition, IndexError, IndexFunction,
    IndexStatus, Loads, MappedCollections, NativeIndex, Registry,
};
use magpie_store::json::{Json, Object};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::{Direction, Space};
use magpie_store::{Collection, Command, Database, Document, NewDocument, Timestamp};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

struct Fixture {
    kv: Arc<MemoryKv>,
    database: Arc<Database>,
    registry: Arc<Registry>,
}

impl Fixture {
    fn new() -> Self {
        Self::on(Arc::new(MemoryKv::new()))
    }

    fn on(kv: Arc<MemoryKv>) -> Self {
        let database = Arc::new(Database::open(kv.clone(), "0123456789abcdefghijkl").unwrap());
        let registry = Registry::open(database.clone(), Arc::new(|| Timestamp(0)), Vec::new()).unwrap();
        Self { kv, database, registry }
    }

    fn put_event(&self, id: &str, kind: &str, n: i64) {
        let text = format!(r#"{{"kind":"{kind}","n":{n},"@metadata":{{"@collection":"Events"}}}}"#);
        let document = NewDocument::parse(id, text.as_bytes()).unwrap();
        let put = Command::Put { id: id.to_owned(), document, expected: None };
        self.database.write(vec![put], Timestamp(0)).unwrap();
    }

    fn delete_event(&self, id: &str) {
        let delete = Command::Delete { id: id.to_owned(), expected: None };
        self.database.write(vec![delete], Timestamp(0)).unwrap();
    }

    fn put(&self, definition: IndexDefinition) {
        self.registry.put(vec![definition]).unwrap();
    }

    fn index(&self, name: &str) -> Arc<Index> {
        self.registry.get(name).unwrap_or_else(|| panic!("there is no index '{name}'"))
    }

    /// The results of an index that has caught up.
    fn results(&self, name: &str) -> Vec<String> {
        let index = self.index(name);
        assert!(index.wait_until_indexed_blocking(self.database.last_etag(), WAIT), "'{name}' catches up");
        let view = self.database.view();
        index.results(&view).map(|result| result.unwrap().to_string()).collect()
    }

    /// Waits until a replacement has taken over.
    fn wait_for_takeover(&self, name: &str) {
        let deadline = std::time::Instant::now() + WAIT;
        while self.registry.get(&format!("{REPLACEMENT_PREFIX}{name}")).is_some() {
            assert!(std::time::Instant::now() < deadline, "the replacement of '{name}' takes over");
            std::thread::yield_now();
        }
    }

    fn index_rows(&self) -> usize {
        self.database.view().kv().scan(Space::Index, &[], &[0xFF; 8], Direction::Forward).count()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.registry.stop();
    }
}

fn sums(map: &str) -> IndexDefinition {
    IndexDefinition {
        name: "Sums".to_owned(),
        maps: vec![map.to_owned()],
        reduce: Some(
            "groupBy(x => x.kind).aggregate(g => ({ kind: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }))"
                .to_owned(),
        ),
        ..IndexDefinition::default()
    }
}

const PLAIN: &str = "map('Events', e => ({ kind: e.kind, n: e.n }))";

#[test]
fn an_index_over_more_documents_than_one_batch_takes_needs_no_further_write() {
    let fixture = Fixture::new();
    let count = magpie_indexes::limits::BATCH_DOCUMENTS_FIRST * 3 + 1;
    let text = br#"{"kind":"a","n":1,"@metadata":{"@collection":"Events"}}"#;
    let put = |n| {
        let id = format!("e/{n}");
        let document = NewDocument::parse(&id, text).unwrap();
        Command::Put { id, document, expected: None }
    };
    fixture.database.write((0..count).map(put).collect(), Timestamp(0)).unwrap();
    fixture.put(sums(PLAIN));
    assert_eq!(fixture.results("Sums"), [format!(r#"{{"kind":"a","n":{count}}}"#)]);
}

#[test]
fn formatting_and_comments_change_no_rows() {
    let fixture = Fixture::new();
    fixture.put_event("e/1", "a", 1);
    fixture.put(sums(PLAIN));
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":1}"#]);
    let slot = fixture.index("Sums").slot();
    let reformatted = "// the events\nmap('Events',   e => ({\n    kind: e.kind, /* and */ n: e.n\n}))";
    fixture.put(sums(reformatted));
    assert_eq!(fixture.index("sums").slot(), slot, "the build is the same");
    assert_eq!(fixture.index("sums").definition().maps, [reformatted], "the text is the new one");
    assert!(fixture.registry.get("ReplacementOf/Sums").is_none());
}

#[test]
fn a_changed_index_is_built_next_to_the_old_one_which_answers_meanwhile() {
    let fixture = Fixture::new();
    fixture.put_event("e/1", "a", 1);
    fixture.put_event("e/2", "a", 2);
    fixture.put(sums(PLAIN));
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":3}"#]);
    let rows = fixture.index_rows();
    let old = fixture.index("Sums");
    // Paused, the replacement cannot catch up before it has been looked at.
    let mut changed = sums("map('Events', e => ({ kind: e.kind, n: e.n * 10 }))");
    changed.state = magpie_indexes::definition::IndexState::Disabled;
    fixture.put(changed);
    assert!(Arc::ptr_eq(&fixture.index("Sums"), &old), "the old one is still there");
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":3}"#]);
    fixture.registry.set_enabled("ReplacementOf/Sums", true).unwrap();
    fixture.wait_for_takeover("Sums");
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":30}"#]);
    assert_ne!(fixture.index("Sums").slot(), old.slot());
    assert_eq!(fixture.index_rows(), rows, "the old build's rows are gone");
    fixture.put_event("e/3", "a", 4);
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":70}"#]);
}

#[test]
fn putting_the_old_definition_again_cancels_the_replacement() {
    let fixture = Fixture::new();
    fixture.put_event("e/1", "a", 1);
    fixture.put(sums(PLAIN));
    let rows_of_one = {
        fixture.results("Sums");
        fixture.index_rows()
    };
    let mut changed = sums("map('Events', e => ({ kind: e.kind, n: 7 }))");
    changed.state = magpie_indexes::definition::IndexState::Disabled;
    fixture.put(changed);
    assert!(fixture.registry.get("ReplacementOf/Sums").is_some());
    fixture.put(sums(PLAIN));
    assert!(fixture.registry.get("ReplacementOf/Sums").is_none());
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":1}"#]);
    assert_eq!(fixture.index_rows(), rows_of_one);
}

#[test]
fn a_replacement_in_progress_survives_a_restart_and_takes_over() {
    let mut fixture = Fixture::new();
    fixture.put_event("e/1", "a", 1);
    fixture.put(sums(PLAIN));
    fixture.results("Sums");
    let mut changed = sums("map('Events', e => ({ kind: e.kind, n: e.n + 1 }))");
    changed.state = magpie_indexes::definition::IndexState::Disabled;
    fixture.put(changed);
    let kv = fixture.kv.clone();
    drop(fixture);
    kv.crash();
    fixture = Fixture::on(kv);
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":1}"#]);
    fixture.registry.set_enabled("ReplacementOf/Sums", true).unwrap();
    fixture.wait_for_takeover("Sums");
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":2}"#]);
}

#[test]
fn a_put_of_several_indexes_is_all_or_nothing() {
    let fixture = Fixture::new();
    let good = sums(PLAIN);
    let bad = IndexDefinition {
        name: "Bad".to_owned(),
        maps: vec!["map('Events', e => (".to_owned()],
        ..sums(PLAIN)
    };
    let error = fixture.registry.put(vec![good, bad]).unwrap_err();
    assert!(
        matches!(&error, IndexError::Script { name, error } if name == "Bad" && error.position.is_some()),
        "{error}"
    );
    assert!(fixture.registry.all().is_empty());
    fixture.registry.put(vec![sums(PLAIN), sums(PLAIN)]).unwrap_err();
    assert!(fixture.registry.all().is_empty());
}

#[test]
fn lock_modes_refuse_or_ignore_changes() {
    let fixture = Fixture::new();
    fixture.put(sums(PLAIN));
    fixture.registry.set_lock_mode("Sums", LockMode::LockedIgnore).unwrap();
    fixture.put(sums("map('Events', e => ({ kind: e.kind, n: 1 }))"));
    assert_eq!(fixture.index("Sums").definition().maps, [PLAIN]);
    fixture.registry.set_lock_mode("Sums", LockMode::LockedError).unwrap();
    let refused = fixture.registry.put(vec![sums("map('Events', e => ({ kind: e.kind, n: 1 }))")]);
    assert!(matches!(refused, Err(IndexError::Locked { .. })), "{refused:?}");
}

#[test]
fn a_paused_index_is_stale_and_holds_back_tombstones() {
    let fixture = Fixture::new();
    fixture.put_event("e/1", "a", 1);
    fixture.put_event("e/2", "b", 2);
    fixture.put(sums(PLAIN));
    assert_eq!(fixture.results("Sums").len(), 2);
    fixture.registry.pause(Some("Sums")).unwrap();
    fixture.delete_event("e/1");
    let index = fixture.index("Sums");
    assert_eq!(index.status(&fixture.database.view()).unwrap(), IndexStatus::Paused);
    assert!(index.is_behind(&fixture.database.view()).unwrap());
    assert_eq!(fixture.registry.purge_tombstones().unwrap(), 0, "the index has not seen the delete");
    fixture.registry.resume(Some("Sums")).unwrap();
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"b","n":2}"#]);
    assert_eq!(fixture.registry.purge_tombstones().unwrap(), 1);
    assert!(!index.is_behind(&fixture.database.view()).unwrap());
    fixture.put_event("e/1", "a", 5);
    assert_eq!(fixture.results("Sums").len(), 2);
}

#[test]
fn deleting_an_index_leaves_nothing() {
    let fixture = Fixture::new();
    fixture.put_event("e/1", "a", 1);
    fixture.put(sums(PLAIN));
    fixture.results("Sums");
    assert!(fixture.index_rows() > 0);
    assert!(fixture.registry.delete("SUMS").unwrap());
    assert!(!fixture.registry.delete("Sums").unwrap());
    assert_eq!(fixture.index_rows(), 0);
}

#[test]
fn failing_documents_are_listed_until_they_are_mended_and_stop_nobody() {
    let fixture = Fixture::new();
    let picky = "map('Events', e => {\n    if (e.n === 13) throw new Error('thirteen');\n    return { kind: e.kind, n: e.n };\n})";
    fixture.put(IndexDefinition { name: "Picky".to_owned(), ..sums(picky) });
    fixture.put(sums(PLAIN));
    (0..20).for_each(|n| fixture.put_event(&format!("e/{n}"), "a", n));
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":190}"#]);
    assert_eq!(fixture.results("Picky"), [r#"{"kind":"a","n":177}"#], "all but the document that fails");
    let index = fixture.index("Picky");
    let errors = index.errors(&fixture.database.view()).unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].subject, "e/13");
    assert!(errors[0].message.contains("thirteen"), "{}", errors[0].message);
    assert_eq!(errors[0].position.map(|position| position.line), Some(2), "{errors:?}");
    assert_eq!(
        index.status(&fixture.database.view()).unwrap(),
        IndexStatus::Running,
        "1 of 20 is below the limit"
    );
    (0..4).for_each(|n| fixture.put_event(&format!("e/{n}"), "a", 13));
    fixture.results("Picky");
    let status = index.status(&fixture.database.view()).unwrap();
    assert!(
        matches!(&status, IndexStatus::Failed(text) if text.contains("exceeds allowed 15%")),
        "{status:?}"
    );
    for n in [0, 1, 2, 3, 13] {
        fixture.put_event(&format!("e/{n}"), "a", 1);
    }
    fixture.results("Picky");
    assert_eq!(index.errors(&fixture.database.view()).unwrap(), Vec::new());
    assert_eq!(index.status(&fixture.database.view()).unwrap(), IndexStatus::Running);
    assert_eq!(fixture.results("Picky"), fixture.results("Sums"));
}

#[test]
fn a_failing_reduce_leaves_no_old_sum() {
    let fixture = Fixture::new();
    let mut definition = sums(PLAIN);
    definition.reduce = Some(
        "groupBy(x => x.kind).aggregate(g => { if (g.values.some(v => v.n < 0)) throw new Error('negative');
            return { kind: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }; })"
            .to_owned(),
    );
    fixture.put(definition);
    fixture.put_event("e/1", "a", 5);
    fixture.put_event("e/2", "b", 6);
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":5}"#, r#"{"kind":"b","n":6}"#]);
    fixture.put_event("e/3", "a", -1);
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"b","n":6}"#], "the failing key has no result");
    let errors = fixture.index("Sums").errors(&fixture.database.view()).unwrap();
    assert_eq!(errors[0].subject, "Reduce key: { 'kind' : a }");
    fixture.delete_event("e/3");
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":5}"#, r#"{"kind":"b","n":6}"#]);
    assert_eq!(fixture.index("Sums").errors(&fixture.database.view()).unwrap(), Vec::new());
}

/// A map that comes back when the test lets it, as a script does that hangs in one operation.
struct Hanging {
    shape: FunctionShape,
    entered: Arc<AtomicBool>,
    release: Arc<Mutex<()>>,
}

impl FunctionSource for Hanging {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }
    fn canonical_text(&self) -> &str {
        "hanging"
    }
    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(HangingFunction { entered: self.entered.clone(), release: self.release.clone() }))
    }
}

struct HangingFunction {
    entered: Arc<AtomicBool>,
    release: Arc<Mutex<()>>,
}

impl IndexFunction for HangingFunction {
    fn map(&mut self, _: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        self.entered.store(true, Ordering::SeqCst);
        drop(self.release.lock().unwrap());
        Ok(vec![Emitted {
            key: Vec::new(),
            value: Json::Object(Object::from_iter([("n", Json::from(1_i64))])),
        }])
    }
    fn reduce(&mut self, _: &[Json], _: &[Json]) -> Result<Json, FunctionError> {
        panic!("a map-only index is not reduced")
    }
}

#[test]
fn an_index_that_hangs_can_be_deleted_and_leaves_nothing_behind() {
    let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), "0123456789abcdefghijkl").unwrap());
    let (entered, release) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(())));
    let held = release.lock().unwrap();
    let events = MappedCollections::Named(vec![Collection::new("Events").unwrap()]);
    let shape = FunctionShape::new(events, None, vec!["n".to_owned()]);
    let source = Arc::new(Hanging { shape, entered: entered.clone(), release: release.clone() });
    let natives = vec![NativeIndex { name: "Hangs".to_owned(), source }];
    let registry = Registry::open(database.clone(), Arc::new(|| Timestamp(0)), natives).unwrap();
    let fixture = Fixture { kv: Arc::default(), database, registry };
    let hanging = fixture.index("Hangs");
    fixture.put_event("e/1", "a", 1);
    while !entered.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    assert!(fixture.registry.delete("Hangs").unwrap(), "the delete does not wait for the map");
    fixture.put(sums(PLAIN));
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":1}"#], "others are put and indexed as ever");
    let rows = fixture.index_rows();
    drop(held);
    // The worker gives its index back when it ends: then only this handle is left.
    while Arc::strong_count(&hanging) > 1 {
        std::thread::yield_now();
    }
    assert_eq!(fixture.index_rows(), rows, "what it was at when it was deleted is not committed");
}

#[test]
fn an_endless_script_stops_neither_the_others_nor_the_registry() {
    let fixture = Fixture::new();
    let endless = "map('Events', e => { while (true) {} })";
    fixture.put(IndexDefinition { name: "Endless".to_owned(), reduce: None, ..sums(endless) });
    fixture.put(sums(PLAIN));
    fixture.put_event("e/1", "a", 1);
    assert_eq!(fixture.results("Sums"), [r#"{"kind":"a","n":1}"#]);
    let index = fixture.index("Endless");
    assert!(
        index.wait_until_indexed_blocking(fixture.database.last_etag(), WAIT),
        "the document is given up"
    );
    assert_eq!(index.errors(&fixture.database.view()).unwrap().len(), 1);
}
