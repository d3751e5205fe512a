//! What the wire shows of queries with JavaScript, facets, timings and explanations.

use crate::client::{Answer, TestServer, start};
use magpie_store::json::Json;

fn server() -> TestServer {
    let server = start();
    for (id, text) in [
        ("p/1", r#"{"name":"Ann","born":2000,"friend":"p/2""#),
        ("p/2", r#"{"name":"Bob","born":1990"#),
        ("p/3", r#"{"name":"Cy","born":1980"#),
    ] {
        let document = format!(r#"{text},"@metadata":{{"@collection":"People"}}}}"#);
        server.put(&format!("/databases/db/docs?id={id}"), &document).expect(201);
    }
    server
}

fn ask(server: &TestServer, query: &str, headers: &[(&str, &str)]) -> Answer {
    let body = format!(r#"{{"Query":{},"QueryParameters":{{"x":1}}}}"#, Json::from(query));
    server.send("POST", "/databases/db/queries", headers, body.as_bytes())
}

#[test]
fn scripts_make_rows_and_their_errors_are_typed() {
    let server = server();
    let query = "from People as p order by p.name load p.friend as f select { n: p.name, f: f.name, x: $x }";
    let answer = ask(&server, query, &[]).expect(200);
    assert_eq!((answer.str_at("Results/0/f"), answer.at("Results/1/f")), ("Bob".to_owned(), Json::Null));
    assert_eq!(answer.int_at("Results/2/x"), 1);
    let failed = ask(&server, "from People as p\nselect { n: p.name.no() }", &[]).expect(400);
    assert_eq!(failed.str_at("Type"), "Raven.Client.Exceptions.Documents.Patching.JavaScriptException");
    assert!(failed.str_at("Message").starts_with("At 2:"), "{}", failed.text());
    assert!(failed.str_at("Message").contains("document ID 'p/1'"), "{}", failed.text());
}

#[test]
fn an_answer_with_the_time_in_it_is_never_the_one_that_the_client_has() {
    let server = server();
    for (query, status) in [
        ("from People as p select { y: p.born + 1 }", 304),
        ("from People as p select { age: new Date().getFullYear() - p.born }", 200),
    ] {
        let first = ask(&server, query, &[]).expect(200);
        let etag = first.header("etag").unwrap().to_owned();
        // The clock has a grid of 100 ns, so a second question has a later time.
        assert_eq!(ask(&server, query, &[("If-None-Match", &etag)]).status, status, "{query}");
    }
}

#[test]
fn answers_tell_timings_explanations_and_facets() {
    let server = server();
    let query = "from People where born < 1995 and startsWith(name, 'b') include timings(), explanations()";
    let answer = ask(&server, query, &[]).expect(200);
    assert!(answer.int_at("Timings/DurationInMs") >= answer.int_at("Timings/Timings/Query/DurationInMs"));
    // The id has a slash, so the path of `at` does not lead there.
    assert!(
        answer.text().contains(r#""Explanations":{"p/2":["score 2\nborn < 1995 holds"#),
        "{}",
        answer.text()
    );
    let facets =
        ask(&server, "from People select facet(born < 1985, born >= 1985, max(born))", &[]).expect(200);
    assert_eq!((facets.int_at("TotalResults"), facets.int_at("Results/0/Values/1/Count")), (1, 2));
    assert_eq!(facets.int_at("Results/0/Values/1/Max"), 2000);
    let suggestions = ask(&server, "from People select suggest(name, 'anne')", &[]).expect(200);
    assert_eq!(suggestions.str_at("Results/0/Suggestions/0"), "ann");
}

#[test]
fn conditions_compare_with_compare_exchange_values() {
    let server = server();
    let query = "from People where name = cmpxchg('head')";
    assert_eq!(ask(&server, query, &[]).expect(200).int_at("TotalResults"), 0);
    server.put("/databases/db/cmpxchg?key=head&index=0", r#"{"Object":"bob"}"#).expect(200);
    let answer = ask(&server, query, &[]).expect(200);
    assert_eq!(answer.str_at("Results/0/name"), "Bob");
    let etag = answer.header("etag").unwrap().to_owned();
    assert_eq!(ask(&server, query, &[("If-None-Match", &etag)]).status, 304);
    let value = server.get("/databases/db/cmpxchg?key=head").expect(200);
    let path = format!("/databases/db/cmpxchg?key=head&index={}", value.int_at("Results/0/Index"));
    server.put(&path, r#"{"Object":"cy"}"#).expect(200);
    let answer = ask(&server, query, &[("If-None-Match", &etag)]).expect(200);
    assert_eq!(answer.str_at("Results/0/name"), "Cy");
}
