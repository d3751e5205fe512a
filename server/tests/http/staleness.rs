//! Why an index is stale, on the wire; and definitions whose keys nobody knows.

use crate::client::{TestServer, start};
use magpie_store::json::Json;

const DOCS: &str = "/databases/db/docs";

fn put_indexes(server: &TestServer) {
    let definitions = r#"{"Indexes":[
        {"Name":"First","Maps":["map('Events', e => ({ kind: e.kind, n: 1 }))"],
         "Reduce":"groupBy(x => x.kind).aggregate(g => ({ kind: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }))",
         "OutputReduceToCollection":"Kinds"},
        {"Name":"Second","Maps":["map('Kinds', k => ({ kind: k.kind, n: k.n }))"]}]}"#;
    server.put("/databases/db/indexes", definitions).expect(201);
}

fn put_event(server: &TestServer, id: &str) {
    let event = r#"{"kind":"a","@metadata":{"@collection":"Events"}}"#;
    server.put(&format!("{DOCS}?id={id}"), event).expect(201);
}

fn wait(server: &TestServer, index: &str) {
    let query = format!(r#"{{"Query":"from index '{index}'","WaitForNonStaleResults":true}}"#);
    let answer = server.post("/databases/db/queries", &query).expect(200);
    assert_eq!(answer.at("IsStale"), Json::Bool(false));
}

#[test]
fn a_chain_says_who_holds_it_up_and_how_far_that_is() {
    let server = start();
    put_indexes(&server);
    put_event(&server, "e/1");
    wait(&server, "Second");
    let second = server.get("/databases/db/indexes/staleness?name=Second").expect(200);
    assert_eq!(second.at("IsStale"), Json::Bool(false));
    assert_eq!(second.str_at("Magpie/Why"), "Index Second is up to date.");

    server.post("/databases/db/admin/indexes/stop?name=First", "").expect(204);
    put_event(&server, "e/2");
    put_event(&server, "e/3");
    let first = server.get("/databases/db/indexes/staleness?name=First").expect(200);
    assert_eq!(first.at("IsStale"), Json::Bool(true));
    assert_eq!(
        first.str_at("Magpie/Why"),
        "Index First is paused, and 2 changed documents must wait until it is started."
    );
    assert_eq!((first.int_at("Magpie/Behind"), first.at("Magpie/BlockedBy")), (2, Json::Null));
    assert_eq!((first.str_at("Magpie/Status"), first.at("Magpie/Eta")), ("Paused".to_owned(), Json::Null));

    let second = server.get("/databases/db/indexes/staleness?name=Second").expect(200);
    assert_eq!(second.at("IsStale"), Json::Bool(true));
    assert_eq!(second.str_at("Magpie/BlockedBy"), "First");
    assert!(second.str_at("Magpie/Why").contains("index First, whose documents it reads, is paused"));
    assert!(second.text().contains("some results to process from index 'First'"), "{}", second.text());
    let stats = server.get("/databases/db/indexes/stats?name=Second").expect(200).json();
    let stats = &stats.get("Results").and_then(Json::as_array).unwrap()[0];
    let stale = stats.get("Magpie").and_then(|own| own.get("Stale")).unwrap();
    assert_eq!(stale.get("BlockedBy"), Some(&Json::from("First")));

    server.post("/databases/db/admin/indexes/start?name=First", "").expect(204);
    wait(&server, "Second");
    let stats = server.get("/databases/db/indexes/stats?name=Second").expect(200);
    assert!(!stats.text().contains("\"Stale\""), "{}", stats.text());
}

#[test]
fn an_index_that_fails_says_its_last_error() {
    let server = start();
    let definition =
        r#"{"Indexes":[{"Name":"Bad","Maps":["map('Events', e => { throw new Error('never'); })"]}]}"#;
    server.put("/databases/db/indexes", definition).expect(201);
    put_event(&server, "e/1");
    let fails = || {
        let answer = server.get("/databases/db/indexes/staleness?name=Bad").expect(200);
        (answer.str_at("Magpie/Status") == "Failed").then_some(answer)
    };
    let answer = loop {
        if let Some(answer) = fails() {
            break answer;
        }
        std::thread::yield_now();
    };
    assert!(answer.str_at("Magpie/Why").contains("exceeds allowed 15%"), "{}", answer.text());
    assert!(answer.str_at("Magpie/LastError/Error").contains("never"), "{}", answer.text());
    assert_eq!(answer.str_at("Magpie/LastError/Document"), "e/1");
}

#[test]
fn a_definition_with_an_unknown_key_is_refused_with_its_place() {
    let server = start();
    let map = r#""Maps":["map('Events', e => ({ n: 1 }))"]"#;
    for (more, place, nearest) in [
        (r#""OutputReduceToColection":"X""#, "'OutputReduceToColection'", "'OutputReduceToCollection'"),
        (r#""Fields":{"n":{"Indexin":"No"}}"#, "'Fields.n.Indexin'", "'Indexing'"),
        (r#""Configuration":{"Magpie.Number":"x"}"#, "'Configuration.Magpie.Number'", "'Magpie.Numbers'"),
    ] {
        let body = format!(r#"{{"Indexes":[{{"Name":"Odd",{map},{more}}}]}}"#);
        let refused = server.put("/databases/db/indexes", &body).expect(400);
        let message = refused.str_at("Message");
        assert!(message.contains("'Odd'") && message.contains(place), "{message}");
        assert!(message.contains(nearest), "{message}");
    }
    let nulls =
        format!(r#"{{"Indexes":[{{"Name":"Odd",{map},"Nothing":null,"IndexType":"JavaScriptMap"}}]}}"#);
    server.put("/databases/db/indexes", &nulls).expect(201);
}
