//! The law check: the classic mistakes in JavaScript and in Rust, each found with a smallest counterexample; functions that
//! keep the laws; rounding; budgets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use magpie_indexes::definition::Numbers;
use magpie_indexes::function::{
    Emitted, FunctionError, FunctionShape, FunctionSource, IndexFunction, Loads, MappedCollections,
};
use magpie_indexes::laws::{BrokenLaw, LawBudget, LawReport, Unfinished, check};
use magpie_indexes::limits::SCRIPT_STACK_BYTES;
use magpie_indexes::script::{ScriptSource, Scripts};
use magpie_store::json::{BigInt, Json, Number, Object, parse};
use magpie_store::{Collection, Document, DocumentId, Etag, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Six events of one user and two of another.
const EVENTS: &str = r#"{"user":"ada","n":6,"price":0.1,"state":"new","at":"2026-03-01","big":9007199254740993}
{"user":"ada","n":7,"price":0.2,"state":"open","at":"2026-03-02","big":9007199254740995}
{"user":"ada","n":9,"price":0.3,"state":"done","at":"2026-03-04","big":9007199254740997}
{"user":"bob","n":2,"price":1.5,"state":"new","at":"2026-03-05","big":1}
{"user":"ada","n":4,"price":0.7,"state":"sent","at":"2026-03-06","big":3}
{"user":"bob","n":8,"price":2.5,"state":"done","at":"2026-03-07","big":5}
{"user":"ada","n":5,"price":1.1,"state":"paid","at":"2026-03-08","big":7}
{"user":"ada","n":3,"price":0.9,"state":"gone","at":"2026-03-09","big":9}"#;

fn documents() -> Vec<Document> {
    let document = |(number, line): (usize, &str)| Document {
        id: DocumentId::new(&format!("events/{number}")).unwrap(),
        collection: Collection::new("Events").unwrap(),
        etag: Etag(1),
        last_modified: Timestamp(0),
        body: line.into(),
        metadata: r#"{"@collection":"Events"}"#.into(),
    };
    EVENTS.lines().enumerate().map(document).collect()
}

/// The report on the events, made on a thread with the stack that scripts need.
fn report_within(source: &dyn FunctionSource, budget: LawBudget) -> LawReport {
    std::thread::scope(|scope| {
        let work = move || check(source, documents().into_iter(), budget);
        let thread = std::thread::Builder::new().stack_size(SCRIPT_STACK_BYTES);
        thread.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

/// The report without a limit of time, so that a slow machine finds the same.
fn report(source: &dyn FunctionSource) -> LawReport {
    report_within(source, LawBudget { ms_max: 600_000, ..LawBudget::default() })
}

/// An index in JavaScript, by the object that a map gives for the event `e` and what a reduce gives for the group `g`.
fn script(map: &str, reduce: &str) -> ScriptSource {
    script_with(map, Some(reduce), None, Numbers::Double)
}

fn script_with(map: &str, reduce: Option<&str>, finalize: Option<&str>, numbers: Numbers) -> ScriptSource {
    let maps = [format!("map('Events', e => ({map}))")];
    let reduce = reduce.map(|reduce| format!("groupBy(x => x.user).aggregate(g => ({reduce}))"));
    let additional_sources = &BTreeMap::new();
    let reduce = reduce.as_deref();
    ScriptSource::new(&Scripts { name: "Test", maps: &maps, reduce, finalize, additional_sources, numbers })
        .unwrap()
}

type Reduce = fn(&[Json]) -> Object;

/// An index in Rust that emits some fields of the event under other names, or the same.
struct Native {
    shape: FunctionShape,
    emitted: Vec<(&'static str, &'static str)>,
    reduce: Reduce,
    changes: Option<&'static str>,
}

fn native(emitted: &[(&'static str, &'static str)], reduce: Reduce) -> Native {
    let collections = MappedCollections::Named(vec![Collection::new("Events").unwrap()]);
    let shape = FunctionShape::new(collections, Some(vec!["user".to_owned()]), Vec::new());
    Native { shape, emitted: emitted.to_vec(), reduce, changes: None }
}

impl FunctionSource for Native {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }
    fn canonical_text(&self) -> &str {
        "native"
    }
    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        let (emitted, reduce, changes) = (self.emitted.clone(), self.reduce, self.changes);
        Ok(Box::new(NativeFunction { emitted, reduce, changes }))
    }
}

struct NativeFunction {
    emitted: Vec<(&'static str, &'static str)>,
    reduce: Reduce,
    changes: Option<&'static str>,
}

impl IndexFunction for NativeFunction {
    fn map(&mut self, document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let body = document.body_json();
        let user = body.get("user").unwrap().clone();
        let mut value = Object::from_iter([("user", user.clone())]);
        for (name, field) in &self.emitted {
            value.insert(*name, body.get(field).cloned().unwrap_or(Json::from(1_i64)));
        }
        Ok(vec![Emitted { key: vec![user], value: value.into() }])
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let mut output = Object::from_iter([("user", key.first().unwrap().clone())]);
        (self.reduce)(values).into_iter().for_each(|(name, value)| output.insert(name, value));
        Ok(output.into())
    }

    fn reduce_watched(
        &mut self,
        key: &[Json],
        values: &[Json],
    ) -> Result<(Json, Option<String>), FunctionError> {
        Ok((self.reduce(key, values)?, self.changes.map(str::to_owned)))
    }
}

fn one(name: &str, value: impl Into<Json>) -> Object {
    Object::from_iter([(name, value.into())])
}

/// The numbers of a field; 0 where it is missing.
fn column(values: &[Json], name: &str) -> Vec<f64> {
    values.iter().map(|value| value.get(name).and_then(Json::as_number).map_or(0.0, Number::as_f64)).collect()
}

fn sum(values: &[Json], name: &str) -> f64 {
    column(values, name).iter().sum()
}

fn number(value: f64) -> Json {
    Number::from_f64(value).unwrap().into()
}

/// The only broken law of a report in which nothing else stands.
fn only(report: &LawReport) -> &BrokenLaw {
    let [broken] = report.broken.as_slice() else { panic!("{report}") };
    assert!(
        report.inexact.is_empty() && report.failures.is_empty() && report.unfinished.is_none(),
        "{report}"
    );
    broken
}

/// Holds both versions of an index to the same text, from the law on and without the hint's.
#[track_caller]
fn assert_broken(sources: [&dyn FunctionSource; 2], text: &str, hint: &str) {
    for source in sources {
        let report = report(source);
        let broken = only(&report);
        let shown = broken.to_string();
        let (shown, told) = shown.split_once("\n  Hint: ").unwrap();
        assert_eq!(shown, text);
        assert!(told.contains(hint), "{told}");
    }
}

fn assert_kept(source: &dyn FunctionSource) {
    let report = report(source);
    assert_eq!(report.outcome(), "Passed", "{report}");
    assert_eq!((report.documents, report.outputs, report.keys), (8, 8, 2), "{report}");
    assert!(report.failures.is_empty(), "{report}");
}

#[test]
fn an_average_of_averages() {
    let script = script(
        "{ user: e.user, mean: e.n }",
        "{ user: g.key, mean: g.values.reduce((s, v) => s + v.mean, 0) / g.values.length }",
    );
    let native = native(&[("mean", "n")], |values| {
        #[expect(clippy::cast_precision_loss, reason = "a few values")]
        let count = values.len() as f64;
        one("mean", number(sum(values, "mean") / count))
    });
    assert_broken(
        [&script, &native],
        r#"Associativity of reduce for {"user":"ada"}
  1: {"user":"ada","mean":0}
  2: {"user":"ada","mean":0}
  3: {"user":"ada","mean":1}
  reduce(1, 2, 3)                 = {"user":"ada","mean":0.3333333333333333}
  reduce(reduce(1, 2), reduce(3)) = {"user":"ada","mean":0.5}"#,
        "sum and count",
    );
}

#[test]
fn counting_inputs() {
    let script = script("{ user: e.user, count: 1 }", "{ user: g.key, count: g.values.length }");
    let native = native(&[("count", "")], |values| one("count", values.len()));
    assert_broken(
        [&script, &native],
        r#"Associativity of reduce for {"user":"ada"}
  1: {"user":"ada"}
  2: {"user":"ada"}
  3: {"user":"ada"}
  reduce(1, 2, 3)                 = {"user":"ada","count":3}
  reduce(reduce(1, 2), reduce(3)) = {"user":"ada","count":2}"#,
        "emit count: 1 and sum",
    );
}

#[test]
fn the_last_by_position() {
    let script = script(
        "{ user: e.user, state: e.state, at: e.at }",
        "{ user: g.key, state: g.values[g.values.length - 1].state, at: g.values[g.values.length - 1].at }",
    );
    let native = native(&[("state", "state"), ("at", "at")], |values| {
        let last = |name| values.last().and_then(|value| value.get(name)).cloned();
        Object::from_iter(["state", "at"].map(|name| (name, last(name).unwrap_or(Json::Null))))
    });
    assert_broken(
        [&script, &native],
        r#"Commutativity of reduce for {"user":"ada"}
  1: {"user":"ada","state":"new"}
  2: {"user":"ada","state":"open"}
  reduce(1, 2) = {"user":"ada","state":"open","at":null}
  reduce(2, 1) = {"user":"ada","state":"new","at":null}"#,
        "emit a time stamp",
    );
}

#[test]
fn filtering_in_reduce() {
    let script = script(
        "{ user: e.user, total: e.n }",
        "{ user: g.key, total: g.values.filter(v => v.total < 10).reduce((s, v) => s + v.total, 0) }",
    );
    let native = native(&[("total", "n")], |values| {
        one("total", number(column(values, "total").iter().filter(|total| **total < 10.0).sum()))
    });
    assert_broken(
        [&script, &native],
        r#"Associativity of reduce for {"user":"ada"}
  1: {"user":"ada","total":3}
  2: {"user":"ada","total":7}
  3: {"user":"ada","total":0}
  reduce(1, 2, 3)                 = {"user":"ada","total":10}
  reduce(reduce(1, 2), reduce(3)) = {"user":"ada","total":0}"#,
        "filter in map",
    );
}

#[test]
fn asking_for_the_time() {
    let script = script("{ user: e.user, at: e.at }", "{ user: g.key, at: Date.now() }");
    let found = report(&script);
    let text = only(&found).to_string();
    assert_eq!(
        text,
        r#"Determinism of reduce for {"user":"ada"}
  1: {"user":"ada"}
  reduce(1) fails: TypeError: an index must be a pure function: Date.now() is the time of the document's last change in a map, and elsewhere it is not available in Reduce (line 1, column 62)
  Hint: the output depends on something besides the input, such as the clock, random numbers or kept state: Math.random() is not available to an index, and Date.now() only to a map, as the time of the document's last change; put times into the events"#
    );
    // In a map it is the document's time, which is the same each time.
    let in_map = script_with("{ user: e.user, age: Date.now() - e.n }", None, None, Numbers::Double);
    assert!(report(&in_map).broken.is_empty());
    let in_map = script_with("{ user: e.user, age: Math.random() - e.n }", None, None, Numbers::Double);
    let found = report(&in_map);
    assert_eq!(
        found.broken.first().unwrap().to_string(),
        r#"Determinism of map
  1: {}
  map(1) fails: TypeError: an index must be a pure function: Math.random() is not available (line 1, column 47)
  Hint: the output depends on something besides the input, such as the clock, random numbers or kept state: Math.random() is not available to an index, and Date.now() only to a map, as the time of the document's last change; put times into the events"#
    );

    static TICKS: AtomicU64 = AtomicU64::new(0);
    let native = native(&[("at", "n")], |_| one("at", TICKS.fetch_add(1, Ordering::Relaxed)));
    let found = report(&native);
    let broken = only(&found);
    assert_eq!(broken.law.name(), "Determinism");
    assert_eq!(broken.counterexample.inputs, [parse(br#"{"user":"ada"}"#).unwrap()]);
    assert!(broken.hint.contains("put times into the events"), "{}", broken.hint);
}

#[test]
fn what_changes_only_with_new_functions_is_found_too() {
    // As a clock that ticks slowly, or memory that is filled once.
    static CREATED: AtomicU64 = AtomicU64::new(0);
    struct Counted(Native);
    impl FunctionSource for Counted {
        fn shape(&self) -> &FunctionShape {
            &self.0.shape
        }
        fn canonical_text(&self) -> &str {
            "counted"
        }
        fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
            CREATED.fetch_add(1, Ordering::Relaxed);
            self.0.create()
        }
    }
    let source = Counted(native(&[("n", "n")], |values| {
        Object::from_iter([("n", number(sum(values, "n"))), ("made", CREATED.load(Ordering::Relaxed).into())])
    }));
    let found = report(&source);
    assert_eq!(only(&found).law.name(), "Determinism");
}

#[test]
fn a_finalize_that_gives_something_else_each_time() {
    struct Finalized(Native);
    impl FunctionSource for Finalized {
        fn shape(&self) -> &FunctionShape {
            &self.0.shape
        }
        fn canonical_text(&self) -> &str {
            "finalized"
        }
        fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
            Ok(Box::new(FinalizedFunction(self.0.create()?, 0)))
        }
    }
    struct FinalizedFunction(Box<dyn IndexFunction>, i64);
    impl IndexFunction for FinalizedFunction {
        fn map(&mut self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
            self.0.map(document, loads)
        }
        fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
            self.0.reduce(key, values)
        }
        fn finalize(&mut self, _: &Json) -> Result<Option<Json>, FunctionError> {
            self.1 += 1;
            Ok(Some(one("calls", self.1).into()))
        }
    }
    let mut source =
        Finalized(native(&[("total", "n")], |values| one("total", number(sum(values, "total")))));
    source.0.shape.finalizes = true;
    let found = report(&source);
    let text = only(&found).to_string();
    assert!(
        text.starts_with("Determinism of finalize for {\"user\":\"ada\"}\n  1: {\"user\":\"ada\"}\n"),
        "{text}"
    );
}

#[test]
fn changing_an_input() {
    let script = script(
        "{ user: e.user, total: e.n, at: e.at }",
        "g.values.reduce((sum, value) => { sum.total += value.total; return sum; })",
    );
    let found = report(&script);
    let broken = found.broken.iter().find(|broken| broken.law.name() == "Purity").unwrap();
    assert_eq!(
        broken.to_string(),
        r#"Purity of reduce for {"user":"ada"}
  1: {"user":"ada","total":0}
  2: {"user":"ada","total":1}
  reduce(1, 2) changes values[0].total
  Hint: reduce changes what it was given: build new objects and arrays, or copy first ({...value}, [...value.list])"#
    );
    let mut native = native(&[("total", "n")], |values| one("total", number(sum(values, "total"))));
    native.changes = Some("values[0].total");
    let found = report(&native);
    assert_eq!(
        only(&found).to_string(),
        r#"Purity of reduce for {"user":"ada"}
  1: {"user":"ada","total":0}
  reduce(1) changes values[0].total
  Hint: reduce changes what it was given: build new objects and arrays, or copy first ({...value}, [...value.list])"#
    );
}

#[test]
fn a_list_cut_without_an_order() {
    let top = "{ user: e.user, top: [{ state: e.state, n: e.n }] }";
    let unsorted = script(top, "{ user: g.key, top: g.values.flatMap(v => v.top).slice(0, 2) }");
    let native = native(&[("top", "state")], |values| {
        let all = values.iter().filter_map(|value| value.get("top")).flat_map(|top| match top {
            Json::Array(items) => items.clone(),
            other => vec![other.clone()],
        });
        one("top", Json::Array(all.take(2).collect()))
    });
    let found = report(&unsorted);
    assert_eq!(
        only(&found).to_string(),
        r#"Commutativity of reduce for {"user":"ada"}
  1: {"user":"ada","top":[{"state":"new"}]}
  2: {"user":"ada","top":[{"state":"open"}]}
  reduce(1, 2) = {"user":"ada","top":[{"state":"new"},{"state":"open"}]}
  reduce(2, 1) = {"user":"ada","top":[{"state":"open"},{"state":"new"}]}
  Hint: reduce cuts a list that has no complete order: sort by the amount and then by a field that breaks ties before slice"#
    );
    let found = report(&native);
    assert_eq!(
        only(&found).to_string(),
        r#"Commutativity of reduce for {"user":"ada"}
  1: {"user":"ada","top":"new"}
  2: {"user":"ada","top":"open"}
  reduce(1, 2) = {"user":"ada","top":["new","open"]}
  reduce(2, 1) = {"user":"ada","top":["open","new"]}
  Hint: the same elements in another order: sort the list before returning it, with a second field that breaks ties"#
    );

    // Sorted, but not by all of it: only a tie that the documents do not have shows that.
    let tied = script(
        top,
        "{ user: g.key, top: g.values.flatMap(v => v.top).sort((a, b) => b.n - a.n).slice(0, 2) }",
    );
    let found = report(&tied);
    assert!(!found.is_refused());
    assert_eq!(
        only(&found).to_string(),
        r#"Commutativity of reduce for {"user":"ada"}
  1: {"user":"ada","top":[{"state":"new","n":6}]}
  2: {"user":"ada","top":[{"state":"open","n":6}]}
  (made up: 'top[0].n' of the last was made equal to that of the first)
  reduce(1, 2) = {"user":"ada","top":[{"state":"new","n":6},{"state":"open","n":6}]}
  reduce(2, 1) = {"user":"ada","top":[{"state":"open","n":6},{"state":"new","n":6}]}
  Hint: reduce cuts a list that has no complete order: sort by the amount and then by a field that breaks ties before slice (here two values have the same 'top[0].n'; none of the documents tested do)"#
    );
    let sorted = "(a, b) => b.n - a.n || (a.state < b.state ? -1 : 1)";
    assert_kept(&script(
        top,
        &format!("{{ user: g.key, top: g.values.flatMap(v => v.top).sort({sorted}).slice(0, 2) }}"),
    ));
}

#[test]
fn an_output_that_is_no_input() {
    let other_field = script(
        "{ user: e.user, n: e.n, total: 0 }",
        "{ user: g.key, n: 0, total: g.values.reduce((s, v) => s + v.n, 0) }",
    );
    let found = report(&other_field);
    let laws: Vec<&str> = found.broken.iter().map(|broken| broken.law.name()).collect();
    assert_eq!(laws, ["SingleValue", "Associativity"], "{found}");
    assert_eq!(
        found.broken.first().unwrap().to_string(),
        r#"SingleValue of reduce for {"user":"ada"}
  1: {"user":"ada","n":1}
  reduce(1)         = {"user":"ada","n":0,"total":1}
  reduce(reduce(1)) = {"user":"ada","n":0,"total":0}
  Hint: outputs are reduced again: map and reduce must give the same fields with the same meaning, and a value that was reduced once must stay as it is when it is reduced again"#
    );

    let refuses = script(
        "{ user: e.user, list: [e.n] }",
        "{ user: g.key, list: g.values.reduce((s, v) => s + v.list.map(n => n).length, 0) }",
    );
    let found = report(&refuses);
    assert_eq!(
        only(&found).to_string(),
        r#"Closure of reduce for {"user":"ada"}
  1: {"user":"ada"}
  reduce(reduce(1)) fails: Property 'map' of object is not a function in Reduce (line 1, column 96)
  Hint: reduce does not accept what it returns: outputs are reduced again, so they must have the shape of the map's outputs"#
    );

    let without_key = native(&[("total", "n")], |values| {
        Object::from_iter([("total", number(sum(values, "total"))), ("user", Json::Null)])
    });
    let found = report(&without_key);
    assert_eq!(
        only(&found).to_string(),
        r#"Closure of reduce for {"user":"ada"}
  1: {"user":"ada"}
  reduce(1) = {"user":null,"total":0}, but must hold {"user":"ada"}
  Hint: reduce must return the group-by fields with the values of g.key"#
    );
}

#[test]
fn sums_and_latest_values_keep_the_laws() {
    // The average as it should be.
    assert_kept(&script_with(
        "{ user: e.user, sum: e.n, count: 1 }",
        Some(
            "{ user: g.key, sum: g.values.reduce((n, v) => n + v.sum, 0), \
               count: g.values.reduce((n, v) => n + v.count, 0) }",
        ),
        Some("r => ({ user: r.user, mean: r.sum / r.count })"),
        Numbers::Double,
    ));
    assert_kept(&script(
        "{ user: e.user, total: e.n, count: 1, latest: { at: e.at, state: e.state } }",
        "{ user: g.key, total: g.values.reduce((s, v) => s + v.total, 0), \
           count: g.values.reduce((s, v) => s + v.count, 0), \
           latest: g.values.map(v => v.latest).reduce((a, b) => \
             a.at > b.at || (a.at === b.at && a.state > b.state) ? a : b) }",
    ));
    assert_kept(&native(&[("total", "n")], |values| one("total", number(sum(values, "total")))));
}

#[test]
fn exact_sums_of_large_numbers_keep_the_laws() {
    let source = native(&[("total", "big")], |values| {
        let exact = |value: &Json| match value.get("total").unwrap() {
            Json::Number(number) => BigInt::from(number.as_i64().unwrap()),
            other => other.as_big_int().unwrap().clone(),
        };
        one("total", values.iter().map(exact).fold(BigInt::from(0), |sum, next| sum + next))
    });
    assert_kept(&source);
    let total = "{ user: g.key, total: g.values.reduce((sum, value) => sum + value.total, 0n) }";
    assert_kept(&script_with("{ user: e.user, total: BigInt(e.big) }", Some(total), None, Numbers::Exact));
}

#[test]
fn sums_of_fractions_are_inexact() {
    let script = script(
        "{ user: e.user, total: e.price }",
        "{ user: g.key, total: g.values.reduce((s, v) => s + v.total, 0) }",
    );
    let native = native(&[("total", "price")], |values| one("total", number(sum(values, "total"))));
    for source in [&script as &dyn FunctionSource, &native] {
        let found = report(source);
        assert_eq!(found.outcome(), "Inexact", "{found}");
        assert!(!found.is_refused());
        let first = found.inexact.first().unwrap();
        assert_eq!(
            first.to_string(),
            r#"Associativity of reduce for {"user":"ada"}
  1: {"user":"ada","total":0.1}
  2: {"user":"ada","total":0.2}
  3: {"user":"ada","total":2}
  reduce(1, 2, 3)                 = {"user":"ada","total":2.3}
  reduce(reduce(1), reduce(2, 3)) = {"user":"ada","total":2.3000000000000003}
  Hint: the results are equal but for the rounding of fractions: sum whole numbers (cents, bytes, milliseconds) or BigInt to have every digit exact"#
        );
    }
}

#[test]
fn failing_functions_are_told_apart_from_broken_laws() {
    let source = script(
        "{ user: e.user, n: e.state.charAt(0) === 'n' ? e.nope.nope() : e.n }",
        "{ user: g.key, n: 0 }",
    );
    let found = report(&source);
    assert!(found.broken.iter().all(|broken| broken.law.name() != "Determinism"), "{found}");
    let throws = script(
        "{ user: e.user, n: e.n }",
        "{ user: g.key, n: g.values.reduce((s, v) => { if (v.n === 9) throw new Error('nine'); return s + v.n; }, 0) }",
    );
    let found = report(&throws);
    assert_eq!(found.failures.len(), 1, "{found}");
    let failure = found.failures.first().unwrap();
    assert_eq!(failure.subject, "key Reduce key: { 'user' : ada }");
    assert!(failure.message.contains("nine"), "{failure:?}");
}

#[test]
fn used_up_budgets_leave_the_check_unfinished() {
    let source = native(&[("total", "n")], |values| one("total", number(sum(values, "total"))));
    let calls = report_within(&source, LawBudget { calls_max: 40, ..LawBudget::default() });
    assert_eq!(calls.unfinished, Some(Unfinished::Calls { calls_max: 40 }));
    assert_eq!((calls.calls, calls.outcome()), (40, "Unfinished"));
    let time = report_within(&source, LawBudget { ms_max: 0, ..LawBudget::default() });
    assert_eq!(time.unfinished, Some(Unfinished::Time { ms_max: 0 }));
    let few = report_within(&source, LawBudget { documents_max: 3, keys_max: 1, ..LawBudget::default() });
    assert_eq!((few.documents, few.outputs, few.keys), (3, 3, 1));
}

#[test]
fn a_report_reads_the_same_each_time() {
    let source = script("{ user: e.user, count: 1 }", "{ user: g.key, count: g.values.length }");
    let first = report(&source);
    assert_eq!(first, report(&source));
    assert_eq!(
        first.to_string(),
        r#"Broken: 8 documents, 8 map outputs, 2 keys
Broken: Associativity of reduce for {"user":"ada"}
  1: {"user":"ada"}
  2: {"user":"ada"}
  3: {"user":"ada"}
  reduce(1, 2, 3)                 = {"user":"ada","count":3}
  reduce(reduce(1, 2), reduce(3)) = {"user":"ada","count":2}
  Hint: reduce counts its inputs, but an input may stand for many documents: let map emit count: 1 and sum the counts
"#
    );
    let json = first.to_json();
    assert_eq!(json.get("Outcome").and_then(Json::as_str), Some("Broken"));
    assert_eq!(json.get("Text").and_then(Json::as_str), Some(first.to_string().as_str()));
    let broken = json.get("Broken").and_then(Json::as_array).and_then(<[Json]>::first).unwrap();
    assert_eq!(
        Json::from(broken.as_object().unwrap().clone()).to_string(),
        r#"{"Law":"Associativity","Function":"reduce","Key":{"user":"ada"},"Counterexample":{"Inputs":[{"user":"ada"},{"user":"ada"},{"user":"ada"}],"Split":[2,1],"Order":[],"Tie":null,"Got":{"user":"ada","count":2},"Wanted":{"user":"ada","count":3}},"Hint":"reduce counts its inputs, but an input may stand for many documents: let map emit count: 1 and sum the counts"}"#
    );
}
