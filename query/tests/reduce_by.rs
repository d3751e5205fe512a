//! `reduce by` and the arithmetic of `select`, over results in memory and over a real index with finalize.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;

use fake::{FakeDatabase, FakeIndex, object};
use magpie_indexes::function::{
    Emitted, FunctionError, FunctionErrorKind, FunctionShape, FunctionSource, IndexFunction, Loads,
    MappedCollections,
};
use magpie_indexes::{NativeIndex, Registry};
use magpie_query::{Answer, KeyRange, QueryError, Request, Snapshot, Source, execute, limits, stream};
use magpie_store::json::{BigInt, Json, Object, ScriptNumber};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::{Collection, Command, Database, Document, NewDocument, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Usage by user, organisation and month: in the order of its keys.
fn usage() -> FakeDatabase {
    let mut results = Vec::new();
    for user in ["Ann", "Bob", "cat"] {
        for org in ["o1", "o2"] {
            for month in 1..=3_i64 {
                let bytes = month * if user == "Bob" { 100 } else { 1 };
                results.push(object(&format!(
                    r#"{{"user":"{user}","org":"{org}","month":{month},"bytes":{bytes},"count":1}}"#
                )));
            }
        }
    }
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let index = FakeIndex {
        name: "Usage".to_owned(),
        fields: names(&["user", "org", "month", "bytes", "count"]),
        group_by: names(&["user", "org", "month"]),
        results,
        is_map_reduce: true,
        ..FakeIndex::default()
    };
    let entries = vec![("jobs/1".to_owned(), object(r#"{"n":1}"#))];
    let map_only =
        FakeIndex { name: "Jobs".to_owned(), fields: names(&["n"]), entries, ..FakeIndex::default() };
    FakeDatabase { indexes: vec![index, map_only], ..FakeDatabase::default() }
}

fn request(query: &str, parameters: &str) -> Request {
    Request { query: query.to_owned(), parameters: Some(object(parameters)), ..Request::default() }
}

fn ask(source: &dyn Source, query: &str) -> Answer {
    execute(source, &request(query, "{}")).unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn refused(source: &dyn Source, query: &str, parameters: &str) -> QueryError {
    match execute(source, &request(query, parameters)) {
        Ok(answer) => panic!("{query}: {answer:?}"),
        Err(error) => error,
    }
}

/// The rows without metadata.
fn plain(answer: &Answer) -> Vec<String> {
    let without = |row: &Json| {
        let mut row = row.as_object().unwrap().clone();
        row.remove("@metadata");
        row.to_string()
    };
    answer.json_rows().iter().map(without).collect()
}

#[test]
fn results_are_folded_by_the_named_fields() {
    let database = usage();
    for (query, expected) in [
        ("from index 'Usage' reduce", vec![r#"{"bytes":1224,"count":18}"#]),
        ("from index 'Usage' as u reduce by ()", vec![r#"{"bytes":1224,"count":18}"#]),
        ("from index 'Usage' where user = 'ANN' reduce", vec![r#"{"bytes":12,"count":6}"#]),
        (
            "from index 'Usage' where month >= 2 reduce by user",
            vec![
                r#"{"user":"Ann","bytes":10,"count":4}"#,
                r#"{"user":"Bob","bytes":1000,"count":4}"#,
                r#"{"user":"cat","bytes":10,"count":4}"#,
            ],
        ),
        (
            "from index 'Usage' as u where u.month < 3 reduce by u.org order by bytes as long desc",
            vec![r#"{"org":"o1","bytes":306,"count":6}"#, r#"{"org":"o2","bytes":306,"count":6}"#],
        ),
        (
            // The rows come in the order of the index's fields, whatever the order of their names here.
            "from index 'Usage' where user = 'Bob' and month != 2 reduce by month, user",
            vec![
                r#"{"user":"Bob","month":1,"bytes":200,"count":2}"#,
                r#"{"user":"Bob","month":3,"bytes":600,"count":2}"#,
            ],
        ),
        (
            "from index 'Usage' where user != 'Bob' reduce by user, org, month order by month desc, user limit 1, 2",
            vec![
                r#"{"user":"Ann","org":"o2","month":3,"bytes":3,"count":1}"#,
                r#"{"user":"cat","org":"o1","month":3,"bytes":3,"count":1}"#,
            ],
        ),
        (
            "from index 'Usage' reduce by user order by user desc select user as who, count limit 1",
            vec![r#"{"who":"cat","count":6}"#],
        ),
        ("from index 'Usage' reduce by user select distinct count", vec![r#"{"count":6}"#]),
        ("from index 'Usage' where user = 'nobody' reduce", vec![]),
    ] {
        assert_eq!(plain(&ask(&database, query)), expected, "{query}");
    }
}

#[test]
fn totals_and_pages_count_rows() {
    let database = usage();
    for (query, rows, total, capped) in [
        ("from index 'Usage' reduce by user", 3, 3, None),
        ("from index 'Usage' reduce by org, month limit 2", 2, 6, Some(2)),
        ("from index 'Usage' reduce by org, month offset 5", 1, 6, Some(1)),
        ("from index 'Usage' reduce by org, month order by bytes as long limit 4, 4", 2, 6, Some(2)),
        ("from index 'Usage' reduce limit 0", 0, 1, Some(0)),
    ] {
        let answer = ask(&database, query);
        assert_eq!(
            (answer.rows.len(), answer.total_results, answer.capped_max_results),
            (rows, total, capped),
            "{query}"
        );
        assert_eq!(answer.index_name, "Usage");
        let mut streamed = Vec::new();
        let mut sink = |row| {
            streamed.push(row);
            Ok(())
        };
        stream(&database, &request(query, "{}"), &mut sink).unwrap();
        assert_eq!(streamed, answer.rows, "{query}");
        assert_eq!(ask(&database, query).result_etag, answer.result_etag);
    }
    let one = ask(&database, "from index 'Usage' reduce by user").result_etag;
    assert_ne!(one, ask(&database, "from index 'Usage' reduce by org").result_etag);
}

#[test]
fn what_cannot_be_reduced_is_refused() {
    let database = usage();
    for (query, message) in [
        (
            "from index 'Usage' reduce by user, bytes",
            "1:36 REDUCE BY can name the fields that index 'Usage' groups by, which are 'user', 'org', 'month', but not 'bytes'",
        ),
        ("from index 'Usage' reduce by User", "'user', 'org', 'month', but not 'User'"),
        ("from index 'Usage' reduce by user, user", "1:36 REDUCE BY names the field 'user' twice"),
        (
            "from index 'Jobs' reduce by n",
            "1:19 REDUCE BY folds the results of a map-reduce index, and index 'Jobs' has no reduce",
        ),
        (
            "from Jobs reduce by n",
            "1:11 REDUCE BY folds the results of a map-reduce index: it needs from index",
        ),
        (
            "from index 'Usage' reduce by user order by month",
            "1:44 The field 'month' is not in the rows of REDUCE BY",
        ),
        ("from index 'Usage' reduce select org", "1:34 The field 'org' is not in the rows of REDUCE BY"),
        (
            "from index 'Usage' reduce select 1 + month as n",
            "1:38 The field 'month' is not in the rows of REDUCE BY",
        ),
        ("from index 'Usage' where nope = 1 reduce", "The field 'nope' is not indexed"),
    ] {
        let error = refused(&database, query, "{}").to_string();
        assert!(error.contains(message), "{query}: {error}");
    }
}

#[test]
fn key_ranges_hold_whole_prefixes() {
    let database = usage();
    let index = database.index("Usage").unwrap().unwrap();
    let bytes = |from: &[Json], to: Option<&[Json]>| {
        let range = KeyRange { from: from.to_vec(), to: to.map(<[Json]>::to_vec) };
        let key = [Json::Null, Json::Null, Json::Null];
        index.reduce_range(&range, &key).unwrap().map(|value| value.get("bytes").unwrap().as_i64().unwrap())
    };
    let (bob, o2) = (Json::from("Bob"), Json::from("o2"));
    assert_eq!(bytes(&[], None), Some(1224));
    assert_eq!(bytes(std::slice::from_ref(&bob), Some(&[Json::from("cat")])), Some(1200));
    assert_eq!(
        bytes(&[bob.clone(), o2.clone()], Some(&[bob.clone(), o2.clone(), Json::from(3_i64)])),
        Some(300)
    );
    assert_eq!(bytes(&[], Some(std::slice::from_ref(&bob))), Some(12));
    assert_eq!(bytes(&[bob.clone(), o2], Some(&[bob])), None);
}

fn documents() -> FakeDatabase {
    let mut database = FakeDatabase::default();
    let big = "9".repeat(30);
    database.put_text("jobs/1", "Jobs", &format!(
        r#"{{"n":3,"whole":4.0,"half":0.5,"digits":"-{big}","word":"x","none":null,"big":{big},"list":[1,2],"in":{{"n":7}}}}"#
    ));
    database
}

#[test]
fn arithmetic_is_exact() {
    let database = documents();
    let parameters = r#"{"T":1772409600,"d":2,"text":"12","none":null}"#;
    for (select, expected) in [
        ("bigint(n) * $T + bigint(digits)", "-999999999999999999994682771199"),
        ("big + 1", "1000000000000000000000000000000"),
        ("n + n * n", "12"),
        ("(n + n) * n", "18"),
        ("n - 1 - 1", "1"),
        ("n - (1 - 1)", "3"),
        ("-n * -(n + 1)", "12"),
        ("- -n", "3"),
        ("whole * 1.0", "4"),
        ("bigint('12') + bigint($text)", "24"),
        ("in.n + 0", "7"),
        ("bigint(bigint(digits))", "-999999999999999999999999999999"),
        ("divide(1, n, 5)", "0.33333"),
        ("divide(big, -1000, 1)", "-1000000000000000000000000000.0"),
        ("divide(n, 2, 0)", "2"),
        ("divide(5, 2, 0)", "2"),
        ("divide(n * $T, 3600, $d)", "1477008.00"),
    ] {
        let query = format!("from Jobs select {select} as x");
        let answer = execute(&database, &request(&query, parameters))
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(
            answer.json_rows()[0].get("x").unwrap().to_string().trim_matches('"'),
            expected,
            "{select}"
        );
    }
    for select in [
        "none + 1",
        "1 + none * $T",
        "-none",
        "divide(none, 0, 1)",
        "divide(1, none, 1)",
        "n * $none",
        "bigint(none)",
    ] {
        let query = format!("from Jobs select {select} as x");
        let answer = execute(&database, &request(&query, parameters)).unwrap();
        assert_eq!(answer.json_rows()[0].get("x"), Some(&Json::Null), "{select}");
    }
    let answer = ask(&database, "from Jobs as j select j.n + 1, j.n");
    assert_eq!(plain(&answer), [r#"{"j.n + 1":"4","n":3}"#]);
    let rows = answer.json_rows();
    let stored = rows[0].get("j.n + 1").unwrap();
    assert!(matches!(stored, Json::ScriptNumber(ScriptNumber::BigInt(value)) if **value == BigInt::from(4)));
}

#[test]
fn arithmetic_without_a_value_names_field_and_row() {
    let database = documents();
    for (select, message) in [
        ("1 + nope", "1:22 The field 'nope' of document 'jobs/1' is missing"),
        ("none + nope", "The field 'nope' of document 'jobs/1' is missing"),
        ("n + half", "1:22 The field 'half' of document 'jobs/1' is 0.5, which is no whole number"),
        ("n + digits", "which is text; write bigint(digits) to take it as a number"),
        ("bigint(word)", "1:25 The field 'word' of document 'jobs/1' is \"x\", which is no whole number"),
        ("list + 1", "is [1,2], which is no whole number"),
        ("divide(n, n - 3, 2)", "1:18 divide() by zero in document 'jobs/1'"),
        ("divide(1, 2, 3) + 1", "1:18 divide() gives decimal text, so it must be a whole item of SELECT"),
        ("divide(1, 2, -1)", "1:18 divide() takes as its third argument"),
        ("divide(1, 2, 1001)", "from 0 to 1000 (divide_digits_max)"),
        ("divide(1, 2, n)", "1:18 divide() takes as its third argument"),
        ("n + $half", "The parameter 'half' is 0.5, which is no whole number"),
        ("n + $text", "The parameter 'text' is \"12\", which is text; write bigint($text)"),
        ("n + $nope", "Value of parameter 'nope' was not provided"),
        ("n + 'x'", "\"x\" in SELECT is no whole number"),
    ] {
        let query = format!("from Jobs select {select}");
        let error = refused(&database, &query, r#"{"half":0.5,"text":"12"}"#);
        assert!(error.to_string().contains(message), "{query}: {error}");
    }
    let usage = usage();
    let error =
        refused(&usage, "from index 'Usage' reduce by user select bigint(nope) as x", "{}").to_string();
    assert!(
        error.contains(r#"The field 'nope' of row {"user":"Ann","bytes":12,"count":6} is missing"#),
        "{error}"
    );
}

#[test]
fn numbers_have_a_limit() {
    let database = documents();
    let square = |depth: usize| {
        let mut text = "bigint(digits)".to_owned();
        for _ in 0..depth {
            text = format!("({text}) * ({text})");
        }
        format!("from Jobs select {text} as x")
    };
    assert!(execute(&database, &request(&square(9), "{}")).is_ok());
    let long = format!("from Jobs select bigint('{}') as x", "7".repeat(1_000_000));
    let exponent = r#"{"p":1e99999}"#;
    for (query, parameters) in
        [(square(10).as_str(), "{}"), (&long, "{}"), ("from Jobs select n * $p as x", exponent)]
    {
        let error = refused(&database, query, parameters);
        assert!(matches!(error, QueryError::LimitReached { name: "arithmetic_bits_max", .. }), "{error}");
    }
}

#[test]
fn many_groups_are_refused_unless_they_come_in_order() {
    let row = |number: usize| object(&format!(r#"{{"a":{},"b":{},"n":1}}"#, number / 2, number));
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let index = FakeIndex {
        name: "Many".to_owned(),
        fields: names(&["a", "b", "n"]),
        group_by: names(&["a", "b"]),
        results: (0..=limits::REDUCE_GROUPS_MAX).map(row).collect(),
        is_map_reduce: true,
        ..FakeIndex::default()
    };
    let database = FakeDatabase { indexes: vec![index], ..FakeDatabase::default() };
    let error = refused(&database, "from index 'Many' reduce by b limit 1", "{}");
    assert!(matches!(error, QueryError::LimitReached { name: "reduce_groups_max", .. }), "{error}");
    let answer = ask(&database, "from index 'Many' reduce by a, b limit 1");
    assert_eq!(answer.total_results, limits::REDUCE_GROUPS_MAX as i64 + 1);
    let answer = ask(&database, "from index 'Many' where b < 10 reduce by b");
    assert_eq!(answer.total_results, 10);
}

/// Sums `n` exactly by three fields, joins the names of documents in order, and finalizes.
struct Sums(FunctionShape);

impl Sums {
    fn new() -> Self {
        let shape = FunctionShape::new(
            MappedCollections::Named(vec![Collection::new("Events").unwrap()]),
            Some(["a", "b", "c"].map(str::to_owned).to_vec()),
            ["a", "b", "c", "sum", "count"].map(str::to_owned).to_vec(),
        );
        Self(FunctionShape { finalizes: true, ..shape })
    }
}

impl FunctionSource for Sums {
    fn shape(&self) -> &FunctionShape {
        &self.0
    }
    fn canonical_text(&self) -> &str {
        "sums 1"
    }
    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(SumsFunction))
    }
}

struct SumsFunction;

/// Reduce fails on a sum of thirteen of these.
const UNLUCKY: i64 = 1_000_003;

fn big(value: BigInt) -> Json {
    Json::ScriptNumber(ScriptNumber::BigInt(Box::new(value)))
}

/// What reduce makes of documents or of its own values.
fn summed(key: &[Json], values: impl Iterator<Item = (BigInt, i64)>) -> Object {
    let (mut sum, mut count) = (BigInt::ZERO, 0);
    for (value, number) in values {
        sum += value;
        count += number;
    }
    let [a, b, c] = key else { panic!("three fields") };
    Object::from_iter([
        ("a", a.clone()),
        ("b", b.clone()),
        ("c", c.clone()),
        ("sum", big(sum)),
        ("count", Json::from(count)),
    ])
}

/// What finalize makes of that: a mean that must never be reduced; nothing of a sum of zero.
fn finalized(mut row: Object) -> Option<Object> {
    let count = row.get("count")?.as_i64()?;
    let sum = row.get("sum")?.as_big_int()?;
    let mean = sum / BigInt::from(count);
    if *sum == BigInt::ZERO {
        return None;
    }
    row.insert("mean", big(mean));
    Some(row)
}

impl IndexFunction for SumsFunction {
    fn map(&mut self, document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let body = document.body_json();
        let key = ["a", "b", "c"].map(|field| body.get(field).cloned().unwrap_or_default()).to_vec();
        let n = body.get("n").and_then(Json::as_i64).unwrap_or(0);
        let value = summed(&key, std::iter::once((BigInt::from(n) * BigInt::from(1_i64 << 60), 1)));
        Ok(vec![Emitted { key, value: Json::Object(value) }])
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let failed = |message: &str| FunctionError {
            kind: FunctionErrorKind::Run,
            message: message.to_owned(),
            position: None,
        };
        if values.iter().any(|value| value.get("mean").is_some()) {
            return Err(failed("a finalized value was reduced"));
        }
        let read = |value: &Json| {
            let sum = value.get("sum").and_then(Json::as_big_int).cloned().unwrap();
            (sum, value.get("count").and_then(Json::as_i64).unwrap())
        };
        let row = summed(key, values.iter().map(read));
        let unlucky = BigInt::from(13 * UNLUCKY) * BigInt::from(1_i64 << 60);
        if row.get("sum").and_then(Json::as_big_int) == Some(&unlucky) {
            return Err(failed("thirteen"));
        }
        Ok(Json::Object(row))
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        Ok(finalized(reduced.as_object().unwrap().clone()).map(Json::Object))
    }
}

struct Server {
    database: Arc<Database>,
    registry: Arc<Registry>,
}

/// A document: three fields of few values, and a number.
type Event = (u8, u8, u8, i32);

impl Server {
    fn new(events: &[Event]) -> Self {
        let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), "abcdefghijklmnopqrstuv").unwrap());
        let native = NativeIndex { name: "Sums".to_owned(), source: Arc::new(Sums::new()) };
        let registry =
            Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), vec![native]).unwrap();
        let mut commands = Vec::new();
        for (number, (a, b, c, n)) in events.iter().enumerate() {
            let id = format!("events/{number}");
            let text = format!(
                r#"{{"a":"a{a}","b":{b},"c":"c{c}","n":{n},"@metadata":{{"@collection":"Events"}}}}"#
            );
            let document = NewDocument::parse(&id, text.as_bytes()).unwrap();
            commands.push(Command::Put { id, document, expected: None });
        }
        if !commands.is_empty() {
            database.write(commands, Timestamp(0)).unwrap();
        }
        let index = registry.get("Sums").unwrap();
        assert!(index.wait_until_indexed_blocking(database.last_etag(), Duration::from_secs(60)));
        Self { database, registry }
    }

    fn with<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> T) -> T {
        let view = self.database.view();
        read(&Snapshot::new(&view, &self.registry))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.registry.stop();
    }
}

/// The values of the named fields.
type NamedKey = (Option<u8>, Option<u8>, Option<u8>);
/// Sums and counts.
type Values = Vec<(BigInt, i64)>;

/// The rows of `reduce by` over documents, folded flat.
fn flat(events: &[Event], named: [bool; 3], b_min: u8) -> Vec<String> {
    let mut groups: BTreeMap<NamedKey, Values> = BTreeMap::new();
    let mut sums: BTreeMap<(u8, u8, u8), i64> = BTreeMap::new();
    for (a, b, c, n) in events {
        *sums.entry((*a, *b, *c)).or_default() += i64::from(*n);
    }
    // What finalize drops is no result, so it takes no part.
    let takes_part = |event: &&Event| event.1 >= b_min && sums.get(&(event.0, event.1, event.2)) != Some(&0);
    for (a, b, c, n) in events.iter().filter(takes_part) {
        let key = (named[0].then_some(*a), named[1].then_some(*b), named[2].then_some(*c));
        groups.entry(key).or_default().push((BigInt::from(*n) * BigInt::from(1_i64 << 60), 1));
    }
    let row = |((a, b, c), values): (NamedKey, Values)| {
        let text =
            |letter: &str, value: Option<u8>| Json::from(value.map(|value| format!("{letter}{value}")));
        let key = [text("a", a), b.map_or(Json::Null, |b| Json::from(i64::from(b))), text("c", c)];
        let mut row = finalized(summed(&key, values.into_iter()))?;
        for (field, named) in ["a", "b", "c"].iter().zip(named) {
            if !named {
                row.remove(field);
            }
        }
        Some(row.to_string())
    };
    groups.into_iter().filter_map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_subset_equals_a_flat_fold(events in prop::collection::vec((0..4_u8, 0..9_u8, 0..5_u8, -2..=2_i32), 0..400), b_min in 0..4_u8) {
        let server = Server::new(&events);
        for subset in 0..8_u8 {
            let named = [0, 1, 2].map(|bit| subset & (1 << bit) != 0);
            let fields: Vec<&str> = ["a", "b", "c"].into_iter().zip(named).filter(|(_, named)| *named).map(|(field, _)| field).collect();
            let by = if fields.is_empty() { String::new() } else { format!(" by {}", fields.join(", ")) };
            let filter = if b_min == 0 { String::new() } else { format!(" where b >= {b_min}") };
            let query = format!("from index 'Sums'{filter} reduce{by}");
            let expected = flat(&events, named, b_min);
            let answer = server.with(|source| ask(source, &query));
            prop_assert_eq!(answer.total_results, i64::try_from(expected.len()).unwrap());
            prop_assert_eq!(plain(&answer), expected, "{}", query);
        }
    }
}

#[test]
fn a_failing_function_is_named_with_its_group() {
    let events: Vec<Event> = (0..13).map(|number| (number, number % 2, 0, 1_000_003)).collect();
    let server = Server::new(&events);
    let error = server.with(|source| refused(source, "from index 'Sums' reduce", "{}"));
    assert!(matches!(&error, QueryError::Call { function: "reduce", .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("the reduce of index 'Sums' failed") && text.contains("thirteen"), "{text}");
    let rows = server.with(|source| plain(&ask(source, "from index 'Sums' reduce by b")));
    assert_eq!(rows.len(), 2, "the others are not affected");
    assert_eq!(
        rows[0],
        r#"{"b":0,"sum":"8070474743599525575786496","count":7,"mean":"1152924963371360796540928"}"#
    );
    let rows = server.with(|source| {
        plain(&ask(
            source,
            "from index 'Sums' where a = 'a3' reduce select sum - 1000002 * 1152921504606846976 as x, divide(sum, 1000003, 1) as y",
        ))
    });
    assert_eq!(rows, [r#"{"x":"1152921504606846976","y":"1152921504606846976.0"}"#]);
}
