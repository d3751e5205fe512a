//! The law check where it is used: definitions that are put, strict, warned or unchecked; indexes asked for it later; the
//! samples; functions that do not come back; and the server's answers.

#![cfg(test)]

use magpie_indexes::laws::{LawReport, Unfinished};
use magpie_indexes::{
    Emitted, FunctionError, FunctionShape, FunctionSource, IndexDefinition, IndexError, IndexFunction,
    LawMode, LoadedCollections, Loads, MappedCollections, NativeIndex, Registry,
};
use magpie_samples::SAMPLES;
use magpie_store::json::{self, Json, Object};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::{Collection, Command, Database, Document, NewDocument, Timestamp};
use magpie_tests::process::ServerProcess;
use magpie_tests::sample_database::{LANGUAGES, SampleDatabase, events};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

struct Fixture {
    database: Arc<Database>,
    registry: Arc<Registry>,
}

impl Fixture {
    fn new(natives: Vec<NativeIndex>) -> Self {
        let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), "0123456789abcdefghijkl").unwrap());
        let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), natives).unwrap();
        Self { database, registry }
    }

    /// Ten events of one kind.
    fn with_events(natives: Vec<NativeIndex>) -> Self {
        let fixture = Self::new(natives);
        for n in 0..10 {
            fixture.write(&format!("events/{n}"), "Events", &format!(r#"{{"kind":"a","n":{n}}}"#));
        }
        fixture
    }

    fn write(&self, id: &str, collection: &str, text: &str) {
        let Json::Object(mut body) = json::parse(text.as_bytes()).unwrap() else { panic!("{text}") };
        body.insert("@metadata", Object::from_iter([("@collection", Json::from(collection))]));
        let document = NewDocument::from_json(id, Json::Object(body)).unwrap();
        let put = Command::Put { id: id.to_owned(), document, expected: None };
        self.database.write(vec![put], Timestamp(0)).unwrap();
    }

    fn put(
        &self,
        definition: IndexDefinition,
        default: LawMode,
    ) -> Result<Option<Arc<LawReport>>, IndexError> {
        Ok(self.registry.put_checked(vec![definition], default)?.remove(0).1)
    }

    fn results(&self, name: &str) -> Vec<String> {
        let index = self.registry.get(name).unwrap();
        assert!(index.wait_until_indexed_blocking(self.database.last_etag(), WAIT), "{name} catches up");
        let view = self.database.view();
        index.results(&view).map(|result| result.unwrap().to_string()).collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.registry.stop();
    }
}

fn definition(count: &str, mode: Option<&str>) -> IndexDefinition {
    IndexDefinition {
        name: "Kinds".to_owned(),
        maps: vec!["map('Events', e => ({ kind: e.kind, count: 1 }))".to_owned()],
        reduce: Some(format!("groupBy(x => x.kind).aggregate(g => ({{ kind: g.key, count: {count} }}))")),
        configuration: mode
            .map(|mode| ("Magpie.Laws".to_owned(), Some(mode.to_owned())))
            .into_iter()
            .collect(),
        ..IndexDefinition::default()
    }
}

const GOOD: &str = "g.values.reduce((n, v) => n + v.count, 0)";
const BAD: &str = "g.values.length";

#[test]
fn strict_refuses_and_leaves_the_running_index_alone() {
    let fixture = Fixture::with_events(Vec::new());
    fixture.put(definition(GOOD, Some("strict")), LawMode::Off).unwrap();
    let results = fixture.results("Kinds");
    let before = fixture.registry.get("Kinds").unwrap();
    for (mode, default) in [(Some("strict"), LawMode::Off), (None, LawMode::Strict)] {
        let error = fixture.put(definition(BAD, mode), default).unwrap_err();
        assert!(
            matches!(&error, IndexError::LawBroken { name, law } if name == "Kinds" && law.law.name() == "Associativity")
        );
        let text = error.to_string();
        assert!(text.contains("reduce(reduce(1, 2), reduce(3)) = {\"kind\":\"a\",\"count\":2}"), "{text}");
        assert!(text.contains("Magpie.Laws"), "{text}");
    }
    let after = fixture.registry.get("Kinds").unwrap();
    assert!(Arc::ptr_eq(&before, &after) && fixture.registry.all().len() == 1);
    assert_eq!(*after.definition(), definition(GOOD, Some("strict")));
    assert_eq!(fixture.results("Kinds"), results);
    // One that breaks a law keeps all others of its request from being put.
    let other = IndexDefinition { name: "Other".to_owned(), ..definition(GOOD, None) };
    let both = vec![other, definition(BAD, None)];
    fixture.registry.put_checked(both, LawMode::Strict).unwrap_err();
    assert!(fixture.registry.get("Other").is_none());
}

#[test]
fn warn_puts_and_tells_and_off_does_not_even_look() {
    let fixture = Fixture::with_events(Vec::new());
    assert_eq!(fixture.put(definition(BAD, Some("off")), LawMode::Strict).unwrap(), None);
    let index = fixture.registry.get("Kinds").unwrap();
    assert_eq!(index.laws(), None);
    let slot = index.slot();

    // The mode decides nothing in the rows: nothing is built anew, so nothing is checked.
    assert_eq!(fixture.put(definition(BAD, Some("warn")), LawMode::Warn).unwrap(), None);
    assert_eq!(fixture.registry.get("Kinds").unwrap().slot(), slot);
    let report = fixture.registry.check_laws("kinds").unwrap();
    assert_eq!(report.outcome(), "Broken");
    assert_eq!(fixture.registry.get("Kinds").unwrap().laws(), Some(report));

    let changed = IndexDefinition { name: "Kinds".to_owned(), ..definition("g.values.length + 0", None) };
    let report = fixture.put(changed, LawMode::Warn).unwrap().unwrap();
    assert_eq!((report.outcome(), report.documents, report.keys), ("Broken", 10, 1));
    let deadline = std::time::Instant::now() + WAIT;
    while fixture.registry.get("ReplacementOf/Kinds").is_some() {
        assert!(std::time::Instant::now() < deadline, "the replacement takes over");
        std::thread::yield_now();
    }
    // The report goes with the build that it is about.
    assert_eq!(fixture.registry.get("Kinds").unwrap().laws(), Some(report));

    let unknown = fixture.put(definition(GOOD, Some("maybe")), LawMode::Warn).unwrap_err();
    assert!(unknown.to_string().contains("strict, warn or off"), "{unknown}");
}

#[test]
fn nothing_is_told_without_documents() {
    let fixture = Fixture::new(Vec::new());
    assert_eq!(fixture.put(definition(BAD, None), LawMode::Strict).unwrap(), None);
    assert_eq!(fixture.registry.check_laws("Kinds").unwrap().outcome(), "Passed");
    assert!(matches!(fixture.registry.check_laws("Nope"), Err(IndexError::NotFound { .. })));
}

#[test]
fn the_samples_keep_all_laws() {
    for (sample, language) in
        SAMPLES.into_iter().flat_map(|sample| LANGUAGES.map(|language| (sample, language)))
    {
        let fixture = SampleDatabase::new(sample, language);
        fixture.load(&events(sample.events), 100);
        fixture.follow();
        for index in sample.indexes {
            // On a slow machine the time may end before the calls; then what was tested must hold.
            let report = fixture.registry.check_laws(index.name).unwrap();
            let shown = format!("{} in {language:?}: {report}", index.name);
            assert!(report.broken.is_empty() && report.inexact.is_empty(), "{shown}");
            assert!(report.documents > 0 && report.outputs > 0, "{shown}");
        }
    }
}

/// Waits in its reduce until it is let go.
struct Stuck(FunctionShape, Arc<Gate>);

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
    }
}

struct StuckFunction(Arc<Gate>);

impl FunctionSource for Stuck {
    fn shape(&self) -> &FunctionShape {
        &self.0
    }
    fn canonical_text(&self) -> &str {
        "stuck"
    }
    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(StuckFunction(Arc::clone(&self.1))))
    }
}

impl IndexFunction for StuckFunction {
    fn map(&mut self, _: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        Ok(vec![Emitted {
            key: vec!["a".into()],
            value: Object::from_iter([("kind", Json::from("a"))]).into(),
        }])
    }
    fn reduce(&mut self, _: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        self.0.pass();
        Ok(values[0].clone())
    }
}

#[test]
fn functions_that_do_not_come_back_are_left_behind_and_few() {
    let gate = Arc::new(Gate::default());
    let collections = MappedCollections::Named(vec![Collection::new("Events").unwrap()]);
    let shape = FunctionShape::new(collections, Some(vec!["kind".to_owned()]), Vec::new());
    let native = NativeIndex { name: "Stuck".to_owned(), source: Arc::new(Stuck(shape, Arc::clone(&gate))) };
    let strict = IndexDefinition {
        configuration: [("Magpie.Native", "true"), ("Magpie.Laws", "strict")]
            .map(|(key, value)| (key.to_owned(), Some(value.to_owned())))
            .into(),
        ..native.definition()
    };
    let fixture = Fixture::with_events(vec![native]);
    fixture.registry.delete("Stuck").unwrap();
    let error = fixture.put(strict.clone(), LawMode::Warn).unwrap_err();
    assert!(matches!(&error, IndexError::LawsHang { name, .. } if name == "Stuck"), "{error}");
    assert!(fixture.registry.get("Stuck").is_none());
    fixture.registry.put(vec![strict]).unwrap();
    std::thread::scope(|scope| {
        let checks: Vec<_> =
            (0..3).map(|_| scope.spawn(|| fixture.registry.check_laws("Stuck").unwrap())).collect();
        for check in checks {
            let report = check.join().unwrap();
            // What was known before is told all the same.
            assert_eq!((report.documents, report.outcome()), (10, "Unfinished"), "{report}");
            assert!(matches!(report.unfinished, Some(Unfinished::Hanging { .. })), "{report}");
        }
    });
    let refused = fixture.registry.check_laws("Stuck").unwrap();
    assert!(matches!(refused.unfinished, Some(Unfinished::Busy { .. })), "{refused}");
    // Definitions are put all the same, and say that they were not checked.
    let report = fixture.put(definition(GOOD, None), LawMode::Strict).unwrap().unwrap();
    assert!(matches!(report.unfinished, Some(Unfinished::Busy { .. })), "{report}");
    assert_eq!(fixture.results("Kinds"), [r#"{"kind":"a","count":10}"#]);

    gate.open();
    let deadline = std::time::Instant::now() + WAIT;
    while fixture.registry.check_laws("Kinds").unwrap().unfinished.is_some() {
        assert!(std::time::Instant::now() < deadline, "the threads that were left behind end");
        std::thread::yield_now();
    }
}

/// Takes a factor from a document that must be there.
struct Factors(FunctionShape);

impl FunctionSource for Factors {
    fn shape(&self) -> &FunctionShape {
        &self.0
    }
    fn canonical_text(&self) -> &str {
        "factors"
    }
    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(FactorsFunction))
    }
}

struct FactorsFunction;

impl IndexFunction for FactorsFunction {
    fn map(&mut self, _: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let factor = loads.load("factors/1", Some(&Collection::new("Factors").unwrap()), true);
        let factor = factor.expect("the factor is there").body_json().get("is").unwrap().clone();
        Ok(vec![Emitted { key: vec!["a".into()], value: Object::from_iter([("n", factor)]).into() }])
    }
    fn reduce(&mut self, _: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let n = |value: &Json| value.get("n").and_then(Json::as_i64).unwrap();
        Ok(Object::from_iter([("n", Json::from(values.iter().map(n).sum::<i64>()))]).into())
    }
}

#[test]
fn maps_that_load_documents_get_them() {
    let named = |name: &str| vec![Collection::new(name).unwrap()];
    let mut shape =
        FunctionShape::new(MappedCollections::Named(named("Events")), Some(Vec::new()), Vec::new());
    shape.loads = LoadedCollections::Named(named("Factors"));
    let fixture = Fixture::with_events(vec![NativeIndex {
        name: "Factors".to_owned(),
        source: Arc::new(Factors(shape)),
    }]);
    // Without the document the functions panic, and that ends the check alone.
    let report = fixture.registry.check_laws("Factors").unwrap();
    assert!(matches!(report.unfinished, Some(Unfinished::Broken { .. })), "{report}");
    fixture.write("factors/1", "Factors", r#"{"is":3}"#);
    let report = fixture.registry.check_laws("Factors").unwrap();
    assert_eq!((report.outcome(), report.documents, report.keys), ("Passed", 10, 1), "{report}");
}

/// An index over HTTP.
fn body(count: &str, configuration: &str) -> String {
    format!(
        r#"{{"Indexes":[{{"Name":"Kinds","Maps":["map('Events', e => ({{kind: e.kind, count: 1}}))"],
            "Reduce":"groupBy(x => x.kind).aggregate(g => ({{kind: g.key, count: {count}}}))",
            "Configuration":{configuration}}}]}}"#
    )
}

#[test]
fn the_server_tells_refuses_and_checks_on_demand() {
    let data = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(data.path(), &["--laws", "strict"]).unwrap();
    let client = server.client();
    let path = |rest: &str| format!("/databases/magpie/{rest}");
    let lines: Vec<String> =
        (0..5).map(|n| format!(r#"{{"id":"events/{n}","type":"Events","kind":"a","n":{n}}}"#)).collect();
    client.post(&path("docs/ndjson?collectionFrom=type"), &lines.join("\n")).unwrap();

    let refused = client.put(&path("indexes"), &body(BAD, "{}")).unwrap().expect_status(400).unwrap();
    let refused = refused.json().unwrap();
    let kind = refused.get("Type").and_then(Json::as_str).unwrap();
    assert_eq!(kind, "Raven.Client.Exceptions.Documents.Indexes.IndexInvalidException");
    let message = refused.get("Message").and_then(Json::as_str).unwrap();
    assert!(
        message.contains("Associativity") && message.contains("reduce(reduce(1, 2), reduce(3))"),
        "{message}"
    );
    client.get(&path("indexes?name=Kinds")).unwrap().expect_status(404).unwrap();

    let warned = client.put(&path("indexes"), &body(BAD, r#"{"Magpie.Laws":"warn"}"#)).unwrap();
    let warned = warned.expect_status(201).unwrap().json().unwrap();
    let outcome = |json: &Json| {
        let own = json.get("Results").and_then(Json::as_array).unwrap()[0].get("Magpie").cloned();
        own.and_then(|own| own.get("Laws")?.get("Outcome")?.as_str().map(str::to_owned))
    };
    assert_eq!(outcome(&warned).as_deref(), Some("Broken"));
    let statistics = client.get(&path("indexes/stats?name=Kinds")).unwrap().json().unwrap();
    assert_eq!(outcome(&statistics).as_deref(), Some("Broken"));
    let laws =
        client.get(&path("indexes/laws?name=kinds")).unwrap().expect_status(200).unwrap().json().unwrap();
    let told = |name: &str| laws.get(name).and_then(Json::as_str).map(str::to_owned);
    assert_eq!((told("Name").as_deref(), told("Outcome").as_deref()), (Some("Kinds"), Some("Broken")));
    assert!(told("Text").unwrap().contains("Hint: reduce counts its inputs"), "{laws}");
    assert!(server.stop().unwrap());
}
