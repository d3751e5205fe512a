//! `reduce by` over HTTP on an index written in Rust: finalize runs on each group, BigInt sums stay exact, and a function
//! that panics costs one answer.

use crate::client::{TestServer, start_natives};
use magpie_indexes::NativeIndex;
use magpie_indexes::function::{
    Emitted, FunctionError, FunctionShape, FunctionSource, IndexFunction, Loads, MappedCollections,
};
use magpie_store::json::{BigInt, Json, Object, ScriptNumber};
use magpie_store::{Collection, Document};
use std::sync::Arc;

/// Sums `n` by owner and file. Finalize says whether the sum is large, and drops sums of zero.
struct Sums(FunctionShape);

struct SumsFunction;

fn whole(value: BigInt) -> Json {
    Json::ScriptNumber(ScriptNumber::BigInt(Box::new(value)))
}

fn sum_of(value: &Json) -> BigInt {
    value.get("sum").and_then(Json::as_big_int).cloned().unwrap()
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

impl IndexFunction for SumsFunction {
    fn map(&mut self, document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let body = document.body_json();
        let key = ["owner", "file"].map(|field| body.get(field).cloned().unwrap_or_default()).to_vec();
        let sum: BigInt = body.get("n").and_then(Json::as_number).unwrap().to_string().parse().unwrap();
        let value =
            Object::from_iter([("owner", key[0].clone()), ("file", key[1].clone()), ("sum", whole(sum))]);
        Ok(vec![Emitted { key, value: Json::Object(value) }])
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        assert!(values.iter().all(|value| value.get("large").is_none()), "a finalized value was reduced");
        assert!(!(key[0] == Json::from("careless") && key[1].is_null()), "out of hand");
        let sum: BigInt = values.iter().map(sum_of).sum();
        Ok(Json::Object(Object::from_iter([
            ("owner", key[0].clone()),
            ("file", key[1].clone()),
            ("sum", whole(sum)),
        ])))
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        let sum = sum_of(reduced);
        if sum == BigInt::ZERO {
            return Ok(None);
        }
        let mut result = reduced.as_object().unwrap().clone();
        result.insert("large", sum > BigInt::from(1_i64 << 53));
        Ok(Some(Json::Object(result)))
    }
}

fn server() -> TestServer {
    let shape = FunctionShape::new(
        MappedCollections::Named(vec![Collection::new("Events").unwrap()]),
        Some(vec!["owner".to_owned(), "file".to_owned()]),
        ["owner", "file", "sum"].map(str::to_owned).to_vec(),
    );
    let shape = FunctionShape {
        finalizes: true,
        finalized_fields: ["owner", "file", "sum", "large"].map(str::to_owned).to_vec(),
        ..shape
    };
    let server = start_natives(vec![NativeIndex { name: "Sums".to_owned(), source: Arc::new(Sums(shape)) }]);
    let mut events = Vec::new();
    for (owner, file, n) in [
        ("Ann", "f1", "9007199254740993"),
        ("Ann", "f1", "9007199254740993"),
        ("Ann", "f2", "3"),
        ("Bob", "f1", "-9007199254740993"),
        ("Bob", "f2", "9007199254740993"),
        ("cat", "f3", "1"),
        ("cat", "f3", "-1"),
        ("careless", "f1", "5"),
    ] {
        let number = events.len();
        events.push(format!(
            r#"{{"id":"Events/{number}","type":"Events","owner":"{owner}","file":"{file}","n":{n}}}"#
        ));
    }
    server.post("/databases/db/docs/ndjson?collectionFrom=type", &events.join("\n")).expect(201);
    server
}

fn ask(server: &TestServer, query: &str, status: u16) -> Json {
    let body = format!(r#"{{"Query":{},"WaitForNonStaleResults":true}}"#, Json::from(query));
    server.post("/databases/db/queries", &body).expect(status).json()
}

/// The rows without metadata.
fn rows(answer: &Json) -> Vec<String> {
    let plain = |row: &Json| {
        let mut row = row.as_object().unwrap().clone();
        row.remove("@metadata");
        row.to_string()
    };
    answer.get("Results").and_then(Json::as_array).unwrap().iter().map(plain).collect()
}

#[test]
fn finalize_sees_whole_groups_and_sums_are_exact() {
    let server = server();
    let answer =
        ask(&server, "from index 'Sums' where owner != 'careless' reduce by owner order by owner desc", 200);
    // Bob's two results cancel out, and cat's one was dropped before.
    assert_eq!(rows(&answer), [r#"{"owner":"Ann","sum":"18014398509481989","large":true}"#]);
    assert_eq!(answer.get("TotalResults"), Some(&Json::from(1_i64)));
    let answer =
        ask(&server, "from index 'Sums' where owner != 'careless' and large = true reduce by file", 200);
    assert_eq!(
        rows(&answer),
        [
            r#"{"file":"f1","sum":"18014398509481986","large":true}"#,
            r#"{"file":"f2","sum":"9007199254740993","large":true}"#,
        ]
    );
    let select = "select bigint(sum) * 9007199254740993 as x, divide(sum, 2, 0) as half";
    let answer = ask(&server, &format!("from index 'Sums' where owner = 'Ann' reduce {select}"), 200);
    assert_eq!(rows(&answer), [r#"{"x":"162259276829213426441972793475077","half":"9007199254740994"}"#]);
}

#[test]
fn a_panic_costs_one_answer() {
    let server = server();
    for _ in 0..3 {
        let refused = ask(&server, "from index 'Sums' reduce by owner", 500);
        let message = refused.get("Message").and_then(Json::as_str).unwrap();
        assert!(message.contains("the reduce of index 'Sums' failed"), "{message}");
        assert!(message.contains("'owner' : careless") && message.contains("out of hand"), "{message}");
    }
    let answer = ask(&server, "from index 'Sums' where owner = 'careless' reduce by owner, file", 200);
    assert_eq!(rows(&answer), [r#"{"owner":"careless","file":"f1","sum":"5","large":false}"#]);
}

#[test]
fn a_sum_that_would_leave_out_failing_keys_is_refused() {
    let server = crate::client::start();
    let definition = r#"{"Indexes":[{"Name":"S","Maps":["map('Events', e => ({ k: e.k, n: e.n }))"],
        "Reduce":"groupBy(x => x.k).aggregate(g => { if (g.key === 'bad') { throw new Error('no'); } return { k: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }; })"}]}"#;
    server.put("/databases/db/indexes", definition).expect(201);
    let events: Vec<String> =
        (0..20).map(|n| format!(r#"{{"id":"e/{n}","type":"Events","k":"k{n}","n":1}}"#)).collect();
    server.post("/databases/db/docs/ndjson?collectionFrom=type", &events.join("\n")).expect(201);
    assert_eq!(rows(&ask(&server, "from index 'S' reduce", 200)), [r#"{"n":20}"#]);
    server
        .put("/databases/db/docs?id=e/bad", r#"{"k":"bad","n":1,"@metadata":{"@collection":"Events"}}"#)
        .expect(201);
    let refused = ask(&server, "from index 'S' reduce", 500);
    let message = refused.get("Message").and_then(Json::as_str).unwrap();
    assert!(message.contains("1 keys of index 'S' fail"), "{message}");
    server.send("DELETE", "/databases/db/docs?id=e/bad", &[], b"").expect(204);
    assert_eq!(rows(&ask(&server, "from index 'S' reduce", 200)), [r#"{"n":20}"#]);
}
