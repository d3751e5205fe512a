//! Terms never change an answer: indexes that have them answer every query as those that are read as a whole do, whatever
//! the values, conditions and orders, and whatever happened since the terms were made. Terms themselves are a pure
//! function of the results: after any history they are those of a fresh build. And they do what they are for: a query
//! reads few rows. That is counted, not timed.

#![cfg(test)]

mod counting;
mod questions;

use counting::CountingKv;
use magpie_indexes::function::{
    Emitted, FunctionError, FunctionErrorKind, FunctionShape, IndexFunction, Loads,
};
use magpie_indexes::keys::Kind;
use magpie_indexes::terms::value::Step;
use magpie_indexes::terms::{Family, TermField};
use magpie_indexes::{FunctionSource, IndexDefinition, MappedCollections, NativeIndex, Registry};
use magpie_query::{Answer, QueryError, Request, Snapshot, execute};
use magpie_store::json::{Json, Object, ScriptNumber};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::rocks::RocksKv;
use magpie_store::kv::{Batch, Direction, Kv, Space};
use magpie_store::{Collection, Command, Database, Document, NewDocument, Timestamp};
use proptest::prelude::*;
use questions::{Change, NON_FINITE, changes, query};
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

/// Map-only: an output for each of the document's items. Map-reduce: by `k`, the greatest of the documents by their text;
/// some fail, some are dropped.
#[derive(Clone)]
struct Bodies(FunctionShape);

impl Bodies {
    fn native(name: &str, reduces: bool) -> NativeIndex {
        let shape = FunctionShape::new(
            MappedCollections::Named(vec![Collection::new("Docs").unwrap()]),
            reduces.then(|| vec!["k".to_owned()]),
            Vec::new(),
        );
        let shape = FunctionShape { finalizes: reduces, ..shape };
        NativeIndex { name: name.to_owned(), source: Arc::new(Self(shape)) }
    }
}

impl FunctionSource for Bodies {
    fn shape(&self) -> &FunctionShape {
        &self.0
    }

    fn canonical_text(&self) -> &'static str {
        "bodies"
    }

    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(self.clone()))
    }
}

impl IndexFunction for Bodies {
    fn map(&mut self, document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let body = document.body_json();
        if self.0.group_by.is_some() {
            let key = vec![body.get("k").cloned().unwrap_or(Json::Null)];
            return Ok(vec![Emitted { key, value: Json::Object(body) }]);
        }
        let emit = |value: &Json| Emitted { key: Vec::new(), value: with_non_finite(value) };
        Ok(match body.get("items").and_then(Json::as_array) {
            Some(items) => items.iter().map(emit).collect(),
            None => vec![emit(&Json::Object(body))],
        })
    }

    fn reduce(&mut self, _: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let greatest = values.iter().max_by_key(|value| value.to_string()).unwrap();
        // In whatever parts the values come.
        if values.iter().any(|value| value.get("fails").is_some()) {
            let message = "so it shall".to_owned();
            return Err(FunctionError { kind: FunctionErrorKind::Run, message, position: None });
        }
        Ok(greatest.clone())
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        Ok(reduced.get("dropped").is_none().then(|| reduced.clone()))
    }
}

/// The value with NaN and infinities where their texts stand.
fn with_non_finite(value: &Json) -> Json {
    match value {
        Json::String(text) if NON_FINITE.contains(&text.as_str()) => {
            let number = match text.as_str() {
                "NaN" => ScriptNumber::NaN,
                "Infinity" => ScriptNumber::Infinity,
                _ => ScriptNumber::NegativeInfinity,
            };
            Json::ScriptNumber(number)
        }
        Json::Array(items) => Json::Array(items.iter().map(with_non_finite).collect()),
        Json::Object(object) => object
            .iter()
            .map(|(name, value)| (name.to_owned(), with_non_finite(value)))
            .collect::<Object>()
            .into(),
        other => other.clone(),
    }
}

struct Server {
    kv: Arc<CountingKv>,
    database: Arc<Database>,
    registry: Arc<Registry>,
}

impl Server {
    fn new(kv: Arc<CountingKv>) -> Self {
        let natives = [("P1", false), ("P2", false), ("G1", true), ("G2", true)];
        let natives = natives.map(|(name, reduces)| Bodies::native(name, reduces)).to_vec();
        let shared: Arc<dyn Kv> = kv.clone();
        let database = Arc::new(Database::open(shared, "abcdefghijklmnopqrstuv").unwrap());
        let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), natives).unwrap();
        Self { kv, database, registry }
    }

    fn write(&self, commands: Vec<Command>) {
        if !commands.is_empty() {
            self.database.write(commands, Timestamp(17_090_000_000_000_000)).unwrap();
        }
    }

    fn wait(&self) {
        for name in ["P1", "P2", "G1", "G2"] {
            let index = self.registry.get(name).unwrap();
            assert!(index.wait_until_indexed_blocking(self.database.last_etag(), WAIT), "{name}");
            assert!(index.wait_until_terms_made_blocking(WAIT), "{name}");
        }
    }

    fn want(&self, names: &[&str], fields: &[TermField]) {
        for name in names {
            self.registry.get(name).unwrap().want_terms(fields.iter().cloned());
        }
    }

    fn ask(&self, query: &str, parameters: &Object) -> Result<Answer, QueryError> {
        let view = self.database.view();
        let source = Snapshot::new(&view, &self.registry);
        let parameters = Some(parameters.clone());
        execute(&source, &Request { query: query.to_owned(), parameters, ..Request::default() })
    }

    /// All rows about terms, without the slot.
    fn terms(&self, name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let view = self.database.view();
        let slot = self.registry.get(name).unwrap().slot();
        let mut rows = Vec::new();
        for kind in [Kind::TermField, Kind::Term, Kind::TermCount] {
            let (from, to) = slot.range_of(kind);
            for row in view.kv().scan(Space::Index, &from, &to, Direction::Forward) {
                let (key, value) = row.unwrap();
                rows.push((key[4..].to_vec(), value));
            }
        }
        rows
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.registry.stop();
    }
}

fn put(id: u8, body: &str) -> Command {
    let id = format!("docs/{id}");
    let document = NewDocument::parse(&id, body.as_bytes()).unwrap();
    Command::Put { id, document, expected: None }
}

fn commands(changes: &[Change]) -> Vec<Command> {
    let command = |change: &Change| match change {
        Change::Put(id, body) => put(*id, body),
        Change::Delete(id) => Command::Delete { id: format!("docs/{id}"), expected: None },
    };
    changes.iter().map(command).collect()
}

/// Every field that the queries name, in every family.
fn all_fields() -> Vec<TermField> {
    let member = |name: &str| Step::Member(name.to_owned());
    let paths = [
        vec![member("a")],
        vec![member("b")],
        vec![member("a"), member("x")],
        vec![member("a"), Step::Each, member("x")],
        vec![member("b"), member("length")],
    ];
    let mut fields = Vec::new();
    for path in paths {
        for family in [Family::Text, Family::Double, Family::Long, Family::AlphaNumeric] {
            fields.push(TermField { family, path: path.clone() });
        }
    }
    fields
}

/// The answer or error as text, without the name of the index.
fn shown(outcome: Result<Answer, QueryError>, name: &str) -> String {
    match outcome {
        Ok(answer) => {
            let rows: Vec<String> = answer.json_rows().iter().map(Json::to_string).collect();
            format!(
                "total {} skipped {} capped {:?} stale {}\n{}",
                answer.total_results,
                answer.skipped_results,
                answer.capped_max_results,
                answer.is_stale,
                rows.join("\n")
            )
        }
        Err(error) => error.to_string().replace(name, "NAME"),
    }
}

fn cases() -> u32 {
    if std::env::var_os("SLOW").is_some() { 3_000 } else { 60 }
}

/// Runs a history in which the first half of the indexes gets terms somewhere in between, and asks everything twice. Gives
/// how many questions were answered with the help of terms.
fn run(
    before: &[Change],
    after: &[Vec<Change>],
    queries: &[(String, Object)],
) -> Result<usize, TestCaseError> {
    let server = Server::new(Arc::new(CountingKv::over(MemoryKv::new())));
    server.write(commands(before));
    server.want(&["P1", "G1"], &all_fields());
    for changes in after {
        server.write(commands(changes));
    }
    server.wait();
    let mut helped = 0;
    for (query, parameters) in queries {
        for (with, without) in [("P1", "P2"), ("G1", "G2")] {
            server.kv.forget();
            let found = shown(server.ask(&format!("from index '{with}'{query}"), parameters), with);
            helped += usize::from(server.kv.rows(Kind::Term) > 0);
            server.kv.forget();
            let wanted = shown(server.ask(&format!("from index '{without}'{query}"), parameters), without);
            prop_assert_eq!(server.kv.rows(Kind::Term), 0);
            prop_assert_eq!(found, wanted, "{}{} {}", with, query, Json::Object(parameters.clone()));
        }
    }
    server.want(&["P2", "G2"], &all_fields());
    server.wait();
    for (with, without) in [("P1", "P2"), ("G1", "G2")] {
        let verified = server.registry.verify(with, false, &|| true).unwrap().unwrap();
        prop_assert_eq!(verified.found.damages, 0);
        prop_assert_eq!(
            server.terms(with),
            server.terms(without),
            "{} after a history, {} fresh",
            with,
            without
        );
    }
    Ok(helped)
}

#[test]
fn answers_are_those_of_a_scan_and_terms_those_of_a_fresh_build() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let histories = (changes(0..60), prop::collection::vec(changes(1..12), 0..4));
    let helped = std::cell::Cell::new(0);
    let queries = prop::collection::vec(query(), 60);
    runner
        .run(&(histories, queries), |((before, after), queries)| {
            helped.set(helped.get() + run(&before, &after, &queries)?);
            Ok(())
        })
        .unwrap();
    let asked = usize::try_from(cases()).unwrap() * 60 * 2;
    assert!(helped.get() * 4 > asked, "{} of {asked} questions read terms", helped.get());
}

/// `MANY` results by `k` with a name of their own, a total of their own, and a few values of `status` and `region`.
const MANY: usize = 100_000;

fn many() -> Server {
    let server = Server::new(Arc::new(CountingKv::over(RocksKv::open_in_memory().unwrap())));
    for chunk in (0..MANY).collect::<Vec<_>>().chunks(5_000) {
        let put = |n: &usize| {
            let body = format!(
                r#"{{"k":{n},"name":"Name-{}","total":{},"status":"s{}","region":"r{}","tags":["t{}","all"],"day":"{}","@metadata":{{"@collection":"Docs"}}}}"#,
                n * 7919 % MANY,
                n * 31 % MANY,
                n % 3,
                n / 3 % 3,
                n % 1000,
                Timestamp(17_723_232_000_000_000 + i64::try_from(n % 1000).unwrap() * 864_000_000_000),
            );
            let id = format!("docs/{n}");
            let document = NewDocument::parse(&id, body.as_bytes()).unwrap();
            Command::Put { id, document, expected: None }
        };
        server.write(chunk.iter().map(put).collect());
    }
    server.wait();
    server
}

fn field(family: Family, name: &str) -> TermField {
    TermField { family, path: vec![Step::Member(name.to_owned())] }
}

/// Asks without terms and with them: the same answer, and no more rows read than that.
fn reads(server: &Server, query: &str, total: i64, most: u64) {
    for (with, without) in [("G1", "G2"), ("P1", "P2")] {
        server.kv.forget();
        let found = server.ask(&format!("from index '{with}'{query}"), &Object::new()).unwrap();
        let read = server.kv.all_rows();
        assert_eq!(found.total_results, total, "{with}{query}");
        let wanted = server.ask(&format!("from index '{without}'{query}"), &Object::new());
        assert_eq!(shown(Ok(found), with), shown(wanted, without), "{with}{query}");
        assert!(read <= most, "{with}{query} reads {read} rows");
    }
}

#[test]
fn a_query_on_any_field_reads_about_the_rows_that_it_gives() {
    let server = many();
    let all = MANY as i64;
    // The first query reads everything, and has terms made for the next.
    for name in ["G1", "P1"] {
        server.kv.forget();
        let found =
            server.ask(&format!("from index '{name}' where name = 'NAME-77'"), &Object::new()).unwrap();
        assert_eq!(found.rows.len(), 1);
        assert!(server.kv.all_rows() >= MANY as u64);
        server
            .ask(&format!("from index '{name}' order by total as long desc limit 10"), &Object::new())
            .unwrap();
        server.wait();
        let fields = magpie_indexes::terms::fields(
            server.database.view().kv(),
            server.registry.get(name).unwrap().slot(),
        );
        let wanted = [field(Family::Text, "name"), field(Family::Long, "total")];
        assert_eq!(fields.unwrap(), wanted.map(|field| (field, true)), "{name}");
    }
    let more = [
        field(Family::Double, "total"),
        field(Family::Text, "status"),
        field(Family::Text, "region"),
        field(Family::Text, "tags"),
        field(Family::Text, "day"),
    ];
    server.want(&["G1", "P1"], &more);
    server.wait();
    // Progress and the rows about fields are read as well, some of them more than once.
    let few = 100;
    reads(&server, " where name = 'NAME-77'", 1, few);
    reads(&server, " where name in ('name-1', 'name-2', 'none', 'name-99999')", 3, few);
    reads(&server, " where total between 500 and 599", 100, few + 200);
    reads(&server, " where total >= 500 and total < 600.0", 100, few + 200);
    // Bounds count in until the filter leaves them out.
    reads(&server, " where day >= '2026-03-01' and day < '2026-03-02'", 100, few + 400);
    // Of several terms, each may fit one of the conditions.
    reads(&server, " where tags > 'b' and tags < 'b' limit 1", all, 300_000);
    reads(&server, " where total > 99989", 10, few + 20);
    reads(&server, " where status = 's1' and total < 300.5", 100, few + 600 + 2 * (256 + 1024));
    reads(&server, " where total = 7 or name = 'name-8' or total = 9", 3, few);
    reads(&server, " where startsWith(name, 'name-1234')", 11, few + 22);
    reads(&server, " where tags = 't77' order by name desc limit 3", 100, few + 400);
    reads(&server, " where tags all in ('t77', 'all') and total < 50000", 50, few + 200 + 2 * 256);
    reads(&server, " order by total as long desc limit 10", all, few);
    reads(&server, " order by total as long limit 20, 10", all, few + 60);
    reads(&server, " order by name limit 10", all, few);
    reads(&server, " order by status limit 5", all, few);
    reads(&server, " order by status desc limit 5", all, few + 100);
    reads(&server, " order by tags desc, total limit 5", all, few + 700);
    // A third fits. Their number is kept, and the first of them are read.
    reads(&server, " where status = 'S1' limit 10", 33_333, few + 256);
    reads(&server, " where status = 'S1' order by total as long desc limit 10", 33_333, 2 * few);
    reads(&server, " where status = 's2' order by name limit 5, 5", 33_333, 2 * few);
    reads(&server, " where status = 'none' order by name limit 5", 0, few);
    // Too much fits to list it: the postings of both are merged, and rows between those that fit are stepped over.
    reads(&server, " where status = 's1' and region = 'r2' limit 1", 11_111, 2 * MANY as u64);
}

#[test]
fn terms_that_no_longer_follow_are_never_read() {
    let kv = Arc::new(CountingKv::over(MemoryKv::new()));
    let server = Server::new(kv);
    server.write(
        (0..40)
            .map(|n| put(n, &format!(r#"{{"k":{n},"a":{n},"@metadata":{{"@collection":"Docs"}}}}"#)))
            .collect(),
    );
    server.wait();
    server.want(&["G1", "P1"], &all_fields());
    server.wait();
    for name in ["G1", "P1"] {
        let index = server.registry.get(name).unwrap();
        let healthy = server.terms(name);
        let view = server.database.view();
        let (from, to) = index.slot().range_of(Kind::Term);
        let rows: Vec<_> =
            view.kv().scan(Space::Index, &from, &to, Direction::Forward).map(Result::unwrap).collect();
        let progress = index.slot().key(Kind::Progress, &[]);
        drop(view);
        // Every damage is found and mended.
        for number in (0..rows.len()).step_by(37) {
            let mut batch = Batch::new();
            batch.delete(Space::Index, rows[number].0.clone());
            server.database.commit_derived(batch).unwrap();
            let verified = server.registry.verify(name, true, &|| true).unwrap().unwrap();
            assert_eq!((verified.found.damages, verified.mended.unwrap().damages), (1, 0), "{name}");
            server.wait();
            assert!(server.terms(name) == healthy, "{name}: the terms are made anew");
        }
        // A damaged result is replaced, and what terms it had is not known.
        let kind = if name == "G1" { Kind::Result } else { Kind::MapOutput };
        let (from, to) = index.slot().range_of(kind);
        let view = server.database.view();
        let (key, row) =
            view.kv().scan(Space::Index, &from, &to, Direction::Forward).next().unwrap().unwrap();
        drop(view);
        let mut batch = Batch::new();
        batch.put(
            Space::Index,
            key,
            row.iter().map(|byte| if *byte == b'{' { b'<' } else { *byte }).collect::<Vec<u8>>(),
        );
        server.database.commit_derived(batch).unwrap();
        for value in [1000, 0] {
            server.write(vec![put(
                0,
                &format!(r#"{{"k":0,"a":{value},"@metadata":{{"@collection":"Docs"}}}}"#),
            )]);
            server.wait();
        }
        assert!(server.terms(name) == healthy, "{name}: the terms are made anew");
        // An older version writes progress without a word of terms. They are not read, and made anew later.
        let mut old = server.database.view().kv().get(Space::Index, &progress).unwrap().unwrap();
        assert_eq!(old.pop(), Some(u8::try_from(all_fields().len()).unwrap()));
        let mut batch = Batch::new();
        batch.put(Space::Index, progress, old);
        batch.delete(Space::Index, rows[0].0.clone());
        server.database.commit_derived(batch).unwrap();
        let query = format!("from index '{name}' where a = 7");
        server.kv.forget();
        assert_eq!(server.ask(&query, &Object::new()).unwrap().total_results, 1);
        assert_eq!(server.kv.rows(Kind::Term), 0, "{name}");
        server.registry.reset(name).unwrap();
        server.wait();
        assert_eq!(server.terms(name), Vec::new(), "who resets an index is rid of its terms");
        assert_eq!(server.ask(&query, &Object::new()).unwrap().total_results, 1);
    }
}

#[test]
fn a_changed_index_gets_the_terms_that_the_old_one_had() {
    let server = Server::new(Arc::new(CountingKv::over(MemoryKv::new())));
    server.write(vec![put(1, r#"{"k":1,"a":"x","@metadata":{"@collection":"Docs"}}"#)]);
    let put_index = |map: &str| {
        let maps = vec![map.to_owned()];
        let definition = IndexDefinition { name: "Changes".to_owned(), maps, ..IndexDefinition::default() };
        server.registry.put(vec![definition]).unwrap();
        let put =
            ["Changes", "ReplacementOf/Changes"].iter().rev().find_map(|name| server.registry.get(name));
        let put = put.unwrap();
        assert!(put.wait_until_indexed_blocking(server.database.last_etag(), WAIT));
        put
    };
    let old = put_index("map('Docs', d => ({ a: d.a }))");
    old.want_terms([field(Family::Text, "a")]);
    assert!(old.wait_until_terms_made_blocking(WAIT));
    let new = put_index("map('Docs', d => ({ a: d.a, k: d.k }))");
    assert_ne!(new.slot(), old.slot());
    let deadline = std::time::Instant::now() + WAIT;
    while !new.has_terms(&server.database.view(), &field(Family::Text, "a")).unwrap() {
        assert!(std::time::Instant::now() < deadline, "the terms are made");
        assert!(new.wait_until_terms_made_blocking(WAIT));
        std::thread::yield_now();
    }
}

#[test]
fn terms_have_bounds() {
    let server = Server::new(Arc::new(CountingKv::over(MemoryKv::new())));
    let long = "x".repeat(1000);
    server.write(vec![put(1, &format!(r#"{{"k":1,"a":"{long}","@metadata":{{"@collection":"Docs"}}}}"#))]);
    let fields: Vec<TermField> = (0..100).map(|n| field(Family::Text, &format!("f{n}"))).collect();
    server.want(&["P1"], &[field(Family::Text, "a")]);
    server.wait();
    for field in &fields {
        server.want(&["P1"], std::slice::from_ref(field));
    }
    server.wait();
    let index = server.registry.get("P1").unwrap();
    let kept = magpie_indexes::terms::fields(server.database.view().kv(), index.slot()).unwrap();
    assert_eq!(kept.len(), magpie_indexes::limits::TERM_FIELDS_MAX);
    let longest = server.terms("P1").into_iter().map(|(key, _)| key.len()).max().unwrap();
    assert!(longest < magpie_indexes::limits::TERM_BYTES_MAX + 50, "{longest}");
}
