//! Patching and deleting by query: what is done, how far it is, what ends it, and what stays then.

#![cfg(test)]

use magpie_store::json::{Json, Object};
use magpie_tests::golden::wait_until_indexed;
use magpie_tests::process::ServerProcess;
use magpie_tests::wire::Client;
use std::thread;

const DOCUMENTS: usize = 1000;

/// A server with a database `q` that has the documents `m/0`, `m/1` .. in collection M, and three in C.
struct Fixture {
    server: ServerProcess,
    client: Client,
    _data: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(data.path(), &["--database", "q"]).unwrap();
        let fixture = Self { client: server.client(), server, _data: data };
        let put = |id: String, body: String, collection: &str| {
            format!(
                r#"{{"Type":"PUT","Id":"{id}","Document":{{{body},"@metadata":{{"@collection":"{collection}"}}}}}}"#
            )
        };
        let mut commands: Vec<String> = (0..DOCUMENTS)
            .map(|n| put(format!("m/{n}"), format!(r#""n":{n},"c":"c/{}","exact":1.0"#, n % 3), "M"))
            .collect();
        commands.extend((0..3).map(|n| put(format!("c/{n}"), format!(r#""name":"C{n}""#), "C")));
        let body = format!(r#"{{"Commands":[{}]}}"#, commands.join(","));
        fixture.client.post("/databases/q/bulk_docs", &body).unwrap().expect_status(201).unwrap();
        fixture
    }

    /// Status and body of a request to begin an operation.
    fn begin(&self, method: &str, query: &str, options: &str) -> (u16, Json) {
        let mut body = Object::from_iter([("Query", Json::from(query))]);
        body.insert("QueryParameters", Object::from_iter([("max", Json::from(10_i64))]));
        let body = match method {
            "PATCH" => Object::from_iter([("Query", Json::Object(body))]),
            _ => body,
        };
        let text = Json::Object(body).to_string();
        let path = format!("/databases/q/queries?{options}");
        let answer = self.client.send(method, &path, &[], Some(text.as_bytes())).unwrap();
        (answer.status, answer.json().unwrap())
    }

    /// The state of an operation.
    fn state(&self, id: i64) -> Json {
        let answer = self.client.get(&format!("/databases/q/operations/state?id={id}")).unwrap();
        answer.expect_status(200).unwrap().json().unwrap()
    }

    fn started(&self, method: &str, query: &str, options: &str) -> i64 {
        let (status, body) = self.begin(method, query, options);
        assert_eq!(status, 200, "{query}: {body}");
        assert_eq!(field(&body, "OperationNodeTag"), "A");
        body.get("OperationId").and_then(Json::as_i64).unwrap()
    }

    /// The state of the operation once `fits` says that it is the one waited for.
    fn state_when(&self, id: i64, fits: impl Fn(&Json) -> bool) -> Json {
        loop {
            let state = self.state(id);
            if fits(&state) {
                return state;
            }
            thread::yield_now();
        }
    }

    /// The last state of an operation.
    fn end_of(&self, method: &str, query: &str, options: &str) -> Json {
        let id = self.started(method, query, options);
        self.state_when(id, |state| field(state, "Status") != "InProgress")
    }

    fn count(&self, query: &str) -> i64 {
        let body = Json::Object(Object::from_iter([("Query", Json::from(query))])).to_string();
        let answer = self.client.post("/databases/q/queries", &body).unwrap().expect_status(200).unwrap();
        answer.json().unwrap().get("TotalResults").and_then(Json::as_i64).unwrap()
    }

    fn end(mut self) {
        assert!(self.server.stop().unwrap(), "the server did not end well");
    }
}

fn field<'j>(json: &'j Json, name: &str) -> &'j str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}

fn number(json: &Json, path: [&str; 2]) -> i64 {
    json.get(path[0]).and_then(|inner| inner.get(path[1])).and_then(Json::as_i64).unwrap_or(-1)
}

#[test]
fn every_document_that_fits_is_patched_and_the_others_are_not() {
    let fixture = Fixture::new();
    let state = fixture.end_of("PATCH", "from M update { this.seen = true; this.n += 1000 }", "");
    assert_eq!(field(&state, "Status"), "Completed", "{state}");
    assert_eq!(number(&state, ["Result", "Total"]), DOCUMENTS as i64);
    assert_eq!(fixture.count("from M where seen = true and n >= 1000"), DOCUMENTS as i64);

    // With names for the documents, declared functions and arguments.
    let query = "declare function shout(c) { return c.name + '!' } \
                 from M as m where m.n < 1050 order by id() load m.c as c limit 7 \
                 update { m.shouted = shout(c) + $max + args.max; }";
    let (status, answer) = fixture.begin("PATCH", query, "details=true");
    assert_eq!(status, 400, "limit stands behind update: {answer}");
    let query = "declare function shout(c) { return c.name + '!' } from M as m where m.n < 1050 load m.c as c \
                 update { m.shouted = shout(c) + $max + args.max; } limit 7";
    let state = fixture.end_of("PATCH", query, "details=true");
    let details = state.get("Result").unwrap().get("Details").unwrap().as_array().unwrap();
    assert_eq!(details.len(), 7, "{state}");
    assert!(details.iter().all(|detail| field(detail, "Status") == "Patched"), "{state}");
    assert_eq!(fixture.count("from M where shouted = 'C1!1010'"), 2);
    let body = fixture.client.get("/databases/q/docs?id=m/0").unwrap().body;
    assert!(String::from_utf8(body).unwrap().contains(r#""exact":1.0"#));
    fixture.end();
}

#[test]
fn every_document_that_fits_is_deleted() {
    let fixture = Fixture::new();
    let state = fixture.end_of("DELETE", "from M where n >= $max", "details=true");
    assert_eq!(field(&state, "Status"), "Completed", "{state}");
    assert_eq!(number(&state, ["Result", "Total"]), DOCUMENTS as i64 - 10);
    assert_eq!((fixture.count("from M"), fixture.count("from C")), (10, 3));
    let details = state.get("Result").unwrap().get("Details").unwrap().as_array().unwrap();
    assert_eq!(details.len(), DOCUMENTS - 10);
    fixture.end();
}

#[test]
fn what_is_refused_changes_nothing() {
    let fixture = Fixture::new();
    for (method, query, kind) in [
        ("PATCH", "from M", "ParseException"),
        ("PATCH", "from M update { this. = 1 }", "InvalidQueryException"),
        ("PATCH", "from M update { x = 1 }", "JavaScriptException"),
        ("PATCH", "from M update { timeseries('a') }", "JavaScriptException"),
        ("PATCH", "from M select n update { this.x = 1 }", "InvalidOperationException"),
        ("DELETE", "from M update { this.x = 1 }", "ParseException"),
        ("DELETE", "from M select distinct c", "InvalidOperationException"),
        ("DELETE", "from M group by c", "InvalidOperationException"),
    ] {
        let (status, answer) = fixture.begin(method, query, "");
        assert_eq!(status, 400, "{query}: {answer}");
        assert!(field(&answer, "Type").ends_with(kind), "{query}: {answer}");
    }
    let (status, answer) = fixture.begin("DELETE", "from M", "maxOpsPerSec=0");
    assert_eq!((status, field(&answer, "Type")), (400, "System.ArgumentException"));
    for (method, query, kind) in [
        ("PATCH", "from M where n < $unknown update { this.x = 1 }", "InvalidQueryException"),
        ("PATCH", "from M update { throw 'no' }", "JavaScriptException"),
        (
            "PATCH",
            "from M update { this['@metadata']['@collection'] = 'X' }",
            "DocumentCollectionMismatchException",
        ),
        ("DELETE", "from index 'None'", "IndexDoesNotExistException"),
    ] {
        let state = fixture.end_of(method, query, "");
        assert_eq!(field(&state, "Status"), "Faulted", "{query}: {state}");
        assert!(field(state.get("Result").unwrap(), "Type").ends_with(kind), "{query}: {state}");
    }
    assert_eq!((fixture.count("from M"), fixture.count("from M where x = 1")), (DOCUMENTS as i64, 0));
    fixture.end();
}

#[test]
fn a_failure_half_way_leaves_whole_batches_and_says_how_many() {
    let fixture = Fixture::new();
    let state = fixture.end_of(
        "PATCH",
        "from M where n >= 0 update { if (this.n === 700) throw 'no'; this.x = 1 }",
        "",
    );
    assert_eq!(field(&state, "Status"), "Faulted");
    let message = field(state.get("Result").unwrap(), "Message").to_owned();
    let written = fixture.count("from M where x = 1");
    assert!(written < DOCUMENTS as i64, "{written}");
    assert!(
        message.starts_with(&format!(
            "the operation ended after {written} documents were written: Script failed"
        )) || written == 0,
        "{written}: {message}"
    );
    fixture.end();
}

#[test]
fn an_operation_tells_its_progress_and_ends_when_it_is_killed() {
    let fixture = Fixture::new();
    let id = fixture.started("PATCH", "from M update { this.x = 1 }", "maxOpsPerSec=50");
    let state = fixture.state_when(id, |state| number(state, ["Progress", "Processed"]) >= 50);
    assert_eq!(field(&state, "Status"), "InProgress");
    assert_eq!(number(&state, ["Progress", "Total"]), DOCUMENTS as i64);
    let killed = fixture.client.post(&format!("/databases/q/operations/kill?id={id}"), "").unwrap();
    assert_eq!(killed.status, 204);
    let state = fixture.state_when(id, |state| field(state, "Status") != "InProgress");
    assert_eq!(field(&state, "Status"), "Canceled");
    let patched = fixture.count("from M where x = 1");
    assert!((50..DOCUMENTS as i64).contains(&patched), "{patched}");
    fixture.end();
}

#[test]
fn patches_by_query_beside_other_writers_lose_nothing() {
    let fixture = Fixture::new();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let state =
                    fixture.end_of("PATCH", "from M update { this.n++; this.by = load('c/0').name }", "");
                assert_eq!(field(&state, "Status"), "Completed", "{state}");
            });
        }
        scope.spawn(|| {
            for n in 0..200 {
                let body = format!(
                    r#"{{"Commands":[{{"Type":"PATCH","Id":"m/{n}","Patch":{{"Script":"this.n++"}}}},
                       {{"Type":"PUT","Id":"c/0","Document":{{"name":"new{n}","@metadata":{{"@collection":"C"}}}}}}]}}"#
                );
                let answer = fixture.client.post("/databases/q/bulk_docs", &body).unwrap();
                assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
            }
        });
    });
    for (id, n) in [(0, 4), (199, 203), (200, 203), (999, 1002)] {
        assert_eq!(fixture.count(&format!("from M where id() = 'm/{id}' and n = {n}")), 1, "m/{id}");
    }
    fixture.end();
}

#[test]
fn an_index_that_is_behind_is_waited_for_or_refused() {
    let fixture = Fixture::new();
    let index = r#"{"Indexes":[{"Name":"I","Maps":["map('M', m => ({ n: m.n }))"]},
        {"Name":"R","Maps":["map('M', m => ({ c: m.c, n: 1 }))"],
         "Reduce":"groupBy(x => x.c).aggregate(g => ({ c: g.key, n: g.values.length }))"}]}"#;
    fixture.client.send("PUT", "/databases/q/admin/indexes", &[], Some(index.as_bytes())).unwrap();
    wait_until_indexed(&fixture.client, "q").unwrap();
    fixture.client.post("/databases/q/admin/indexes/stop?name=I", "").unwrap();
    let state = fixture.end_of("PATCH", "from M where n = 5 update { this.n = 2000 }", "");
    assert_eq!(field(&state, "Status"), "Completed");
    let by_index = "from index 'I' where n >= 900 update { this.seen = 1 }";
    let state = fixture.end_of("PATCH", by_index, "");
    let message = field(state.get("Result").unwrap(), "Message");
    assert_eq!(message, "Cannot perform bulk operation. Query is stale.");
    let state = fixture.end_of("PATCH", by_index, "allowStale=true");
    assert_eq!(number(&state, ["Result", "Total"]), 100);
    let id = fixture.started("PATCH", by_index, "staleTimeout=00:05:00");
    fixture.client.post("/databases/q/admin/indexes/start?name=I", "").unwrap();
    let state = fixture.state_when(id, |state| field(state, "Status") != "InProgress");
    assert_eq!(number(&state, ["Result", "Total"]), 101, "{state}");
    let state = fixture.end_of("DELETE", "from index 'R'", "");
    assert_eq!(
        field(state.get("Result").unwrap(), "Message"),
        "Cannot execute bulk operation on Map-Reduce indexes."
    );
    fixture.end();
}
