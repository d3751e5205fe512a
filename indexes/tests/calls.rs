//! Calling an index's functions outside of its worker: functions that answer, fail, panic, hang and load.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use magpie_indexes::definition::Numbers;
use magpie_indexes::function::{
    Emitted, FunctionError, FunctionErrorKind, FunctionShape, FunctionSource, IndexFunction, Loads,
    MappedCollections, NoLoads,
};
use magpie_indexes::script::{ScriptSource, Scripts};
use magpie_indexes::{CallError, CallLimits, CallThreads, Calls};
use magpie_store::json::{Json, Object};
use magpie_store::{Collection, Document, DocumentId, Etag, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// A function that does what the first value tells it to.
struct Obedient {
    shape: FunctionShape,
    /// How often it was compiled.
    created: Arc<AtomicUsize>,
    /// Told when a call hangs; what each hanging call waits for.
    gate: Arc<Gate>,
}

struct Gate {
    entered: Mutex<Sender<()>>,
    release: Mutex<Receiver<()>>,
}

impl FunctionSource for Obedient {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }
    fn canonical_text(&self) -> &str {
        "obedient"
    }
    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        self.created.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(ObedientFunction(Arc::clone(&self.gate))))
    }
}

struct ObedientFunction(Arc<Gate>);

impl IndexFunction for ObedientFunction {
    fn map(&mut self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let collection = Collection::new("Users").unwrap();
        let mut found = |id: &str, tracked| {
            let loaded = loads.load(id, Some(&collection), tracked);
            Json::from(loaded.map(|document| document.body.to_string()))
        };
        let values = vec![found("users/1", true), found("users/2", false)];
        Ok(vec![Emitted { key: vec![Json::from(document.id.as_str())], value: Json::Array(values) }])
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        match values.first().and_then(Json::as_str) {
            Some("fail") => Err(FunctionError {
                kind: FunctionErrorKind::Run,
                message: "cannot".to_owned(),
                position: None,
            }),
            Some("panic") => panic!("out of hand"),
            Some("hang") => {
                self.0.entered.lock().unwrap().send(()).unwrap();
                let _ = self.0.release.lock().unwrap().recv();
                Ok(Json::Null)
            }
            _ => Ok(Json::Array(vec![Json::Array(key.to_vec()), Json::Array(values.to_vec())])),
        }
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        Ok((!reduced.is_null()).then(|| Json::Array(vec![reduced.clone()])))
    }
}

struct Fixture {
    calls: Arc<Calls>,
    created: Arc<AtomicUsize>,
    entered: Receiver<()>,
    release: Sender<()>,
}

fn fixture(limits: CallLimits) -> Fixture {
    let (entered_sender, entered) = channel();
    let (release, release_receiver) = channel();
    let created = Arc::new(AtomicUsize::new(0));
    let source = Obedient {
        shape: FunctionShape::new(MappedCollections::All, Some(vec!["k".to_owned()]), Vec::new()),
        created: Arc::clone(&created),
        gate: Arc::new(Gate { entered: Mutex::new(entered_sender), release: Mutex::new(release_receiver) }),
    };
    Fixture { calls: Arc::new(Calls::with_limits(Arc::new(source), limits)), created, entered, release }
}

impl Fixture {
    fn reduce(&self, word: &str) -> Result<String, CallError> {
        reduce(&self.calls, word)
    }

    fn threads(&self) -> (usize, usize, usize) {
        let CallThreads { busy, idle, abandoned } = self.calls.threads();
        (busy, idle, abandoned)
    }

    /// Waits for a state that is sure to come.
    fn wait_for(&self, threads: (usize, usize, usize)) {
        while self.threads() != threads {
            std::thread::yield_now();
        }
    }
}

fn reduce(calls: &Calls, word: &str) -> Result<String, CallError> {
    calls.reduce(vec![Json::from("k")], vec![Json::from(word)]).map(|value| value.to_string())
}

#[test]
fn calls_are_answered_by_one_thread_that_keeps_its_functions() {
    let fixture = fixture(CallLimits::default());
    assert_eq!(fixture.threads(), (0, 0, 0), "no thread before the first call");
    for _ in 0..100 {
        assert_eq!(fixture.reduce("a").unwrap(), r#"[["k"],["a"]]"#);
    }
    assert_eq!(fixture.calls.finalize(Json::from(1_i64)).unwrap().unwrap().to_string(), "[1]");
    assert_eq!(fixture.calls.finalize(Json::Null).unwrap(), None);
    assert_eq!(fixture.threads(), (0, 1, 0));
    assert_eq!(fixture.created.load(Ordering::SeqCst), 1);
    let twice = fixture.calls.call(&mut NoLoads, |function, _| {
        let once = function.reduce(&[], &[Json::from("a")])?;
        function.reduce(&[], &[once])
    });
    assert_eq!(twice.unwrap().unwrap().to_string(), r#"[[],[[[],["a"]]]]"#);
}

#[test]
fn a_failing_function_is_an_error_and_keeps_its_thread() {
    let fixture = fixture(CallLimits::default());
    let error = fixture.reduce("fail").unwrap_err();
    assert!(matches!(&error, CallError::Function(error) if error.message == "cannot"), "{error}");
    assert_eq!(fixture.reduce("a").unwrap(), r#"[["k"],["a"]]"#);
    assert_eq!((fixture.threads(), fixture.created.load(Ordering::SeqCst)), ((0, 1, 0), 1));
}

#[test]
fn a_panicking_function_loses_its_thread_and_the_next_call_gets_a_new_one() {
    let fixture = fixture(CallLimits::default());
    assert_eq!(
        fixture.reduce("panic").unwrap_err(),
        CallError::Panicked { message: "out of hand".to_owned() }
    );
    assert_eq!(fixture.threads(), (0, 0, 0));
    assert_eq!(fixture.reduce("a").unwrap(), r#"[["k"],["a"]]"#);
    assert_eq!((fixture.threads(), fixture.created.load(Ordering::SeqCst)), ((0, 1, 0), 2));
}

#[test]
fn a_hanging_function_is_left_behind_until_it_comes_back() {
    let limits = CallLimits { call_ms_max: 20, abandoned_max: 2, ..CallLimits::default() };
    let fixture = fixture(limits);
    for count in 1..=2 {
        assert_eq!(fixture.reduce("hang").unwrap_err(), CallError::TooLong { ms_max: 20 });
        assert_eq!(fixture.threads(), (0, 0, count));
    }
    let refused = fixture.reduce("a").unwrap_err();
    assert_eq!(refused, CallError::Abandoned { count: 2 });
    assert!(refused.to_string().contains("query_calls_abandoned_max"), "{refused}");
    fixture.release.send(()).unwrap();
    fixture.wait_for((0, 0, 1));
    while fixture.reduce("a").is_err() {
        // A busy machine may take longer than the limit of this test for any call.
        assert!(fixture.threads().2 <= 2);
    }
    fixture.release.send(()).unwrap();
    while fixture.threads().2 > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn several_callers_share_few_threads() {
    let limits = CallLimits { wait_ms_max: 20, ..CallLimits::default() };
    let fixture = fixture(limits);
    let hang = || {
        let calls = Arc::clone(&fixture.calls);
        std::thread::spawn(move || reduce(&calls, "hang"))
    };
    let callers = [hang(), hang()];
    fixture.entered.recv().unwrap();
    fixture.entered.recv().unwrap();
    // Both have said that they hang, so both threads are at work.
    assert_eq!(fixture.threads(), (2, 0, 0));
    let busy = fixture.reduce("a").unwrap_err();
    assert_eq!(busy, CallError::Busy { threads_max: 2, ms_max: 20 });
    fixture.release.send(()).unwrap();
    fixture.release.send(()).unwrap();
    for caller in callers {
        assert_eq!(caller.join().unwrap().unwrap(), "null");
    }
    assert_eq!(fixture.reduce("a").unwrap(), r#"[["k"],["a"]]"#);
    assert_eq!((fixture.threads(), fixture.created.load(Ordering::SeqCst)), ((0, 2, 0), 2));
}

#[test]
fn many_callers_are_served_one_after_the_other() {
    let fixture = fixture(CallLimits::default());
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let calls = &fixture.calls;
            scope.spawn(move || {
                for number in 0..50 {
                    let word = format!("{caller}/{number}");
                    assert_eq!(reduce(calls, &word).unwrap(), format!(r#"[["k"],["{word}"]]"#));
                }
            });
        }
    });
    let (busy, idle, abandoned) = fixture.threads();
    assert!(busy == 0 && (1..=2).contains(&idle) && abandoned == 0);
}

#[test]
fn a_thread_without_work_ends() {
    let fixture = fixture(CallLimits { idle_ms_max: 1, ..CallLimits::default() });
    for _ in 0..3 {
        assert_eq!(fixture.reduce("a").unwrap(), r#"[["k"],["a"]]"#);
        fixture.wait_for((0, 0, 0));
    }
    assert_eq!(fixture.created.load(Ordering::SeqCst), 3);
    let (calls, created) = (fixture.calls, fixture.created);
    assert_eq!(reduce(&calls, "a").unwrap(), r#"[["k"],["a"]]"#);
    drop(calls);
    // The source, and with it the counter, is let go by the last thread.
    while Arc::strong_count(&created) > 1 {
        std::thread::yield_now();
    }
}

fn document(id: &str, collection: &str, body: &str) -> Document {
    Document {
        id: DocumentId::new(id).unwrap(),
        collection: Collection::new(collection).unwrap(),
        etag: Etag(1),
        last_modified: Timestamp(0),
        body: body.to_owned().into(),
        metadata: "{}".to_owned().into(),
    }
}

struct OneUser(Vec<String>);

impl Loads for OneUser {
    fn load(&mut self, id: &str, collection: Option<&Collection>, tracked: bool) -> Option<Arc<Document>> {
        self.0.push(format!("{id} {} {tracked}", collection.map_or("", Collection::as_str)));
        (id == "users/1").then(|| Arc::new(document(id, "Users", r#"{"name":"Ann"}"#)))
    }
}

#[test]
fn loads_are_asked_of_the_caller() {
    let fixture = fixture(CallLimits::default());
    let mut loads = OneUser(Vec::new());
    let emitted = fixture.calls.map(&document("jobs/1", "Jobs", "{}"), &mut loads).unwrap();
    assert_eq!(emitted[0].key, [Json::from("jobs/1")]);
    assert_eq!(emitted[0].value.to_string(), r#"["{\"name\":\"Ann\"}",null]"#);
    assert_eq!(loads.0, ["users/1 Users true", "users/2 Users false"]);
}

#[test]
fn scripts_are_called_with_the_stack_they_need_and_their_errors_keep_their_place() {
    let map = "map('Jobs', j => ({ user: j.user, n: j.n }))".to_owned();
    let reduce = "groupBy(x => x.user).aggregate(g => {\n  if (g.key === 'bad') { throw new Error('no such user'); }\n  \
                  return { user: g.key, n: g.values.reduce((s, v) => s + v.n, 0) };\n})";
    let source = ScriptSource::new(&Scripts {
        name: "Jobs",
        maps: &[map],
        reduce: Some(reduce),
        finalize: None,
        additional_sources: &BTreeMap::new(),
        numbers: Numbers::Double,
    })
    .unwrap();
    let calls = Calls::new(Arc::new(source));
    let value = |n: i64| Json::Object(Object::from_iter([("n", Json::from(n))]));
    let sum = calls.reduce(vec![Json::Null], vec![value(1), value(2)]).unwrap();
    assert_eq!(sum.to_string(), r#"{"user":null,"n":3}"#);
    let error = calls.reduce(vec![Json::from("bad")], vec![value(1)]).unwrap_err();
    assert!(error.to_string().contains("no such user"), "{error}");
    assert!(error.to_string().contains("(line 2, column"), "{error}");
    let mapped = calls.map(&document("jobs/1", "Jobs", r#"{"user":"Ann","n":5}"#), &mut NoLoads).unwrap();
    assert_eq!(mapped[0].value.to_string(), r#"{"user":"Ann","n":5}"#);
}
