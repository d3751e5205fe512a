//! Counters where the recorded answers of a RavenDB (`tests/counters.rs`) say nothing: Magpie's own refusals, caches,
//! indexes, bulk inserts.

use crate::client::{Answer, TestServer, start, start_with};
use magpie_store::json::{Json, Object};

const DB: &str = "/databases/db";

fn filled() -> TestServer {
    let server = start();
    for (id, name) in [("u/1", "Ann"), ("u/2", "Bob")] {
        let document = format!(r#"{{"name":"{name}","of":"u/1","@metadata":{{"@collection":"Us"}}}}"#);
        server.put(&format!("{DB}/docs?id={id}"), &document).expect(201);
    }
    count(&server, "u/1", r#"{"Type":"Increment","CounterName":"Likes","Delta":3}"#).expect(200);
    server
}

fn count(server: &TestServer, id: &str, operations: &str) -> Answer {
    let body = format!(r#"{{"Documents":[{{"DocumentId":"{id}","Operations":[{operations}]}}]}}"#);
    server.post(&format!("{DB}/counters"), &body)
}

fn query(server: &TestServer, text: &str) -> Answer {
    let body = Json::Object(Object::from_iter([("Query", Json::from(text))])).to_string();
    server.post(&format!("{DB}/queries"), &body)
}

fn all(server: &TestServer, id: &str) -> String {
    let answer = server.get(&format!("{DB}/counters?docId={id}")).expect(200);
    let one = |counter: &Json| {
        format!(
            "{}={}",
            counter.get("CounterName").unwrap().as_str().unwrap(),
            counter.get("TotalValue").unwrap()
        )
    };
    let counters = answer.at("Counters");
    counters.as_array().unwrap().iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_cannot_be_done_is_refused_with_a_reason_and_changes_nothing() {
    let server = filled();
    let first = r#"{"Type":"Increment","CounterName":"new"}"#;
    for (operation, kind, words) in [
        (r#"{"CounterName":"a","Delta":1}"#, "System.FormatException", "Increment, Delete, Get or Put"),
        (r#"{"Type":"None","CounterName":"a"}"#, "System.FormatException", "'Type'"),
        (r#"{"Type":"Increment","Delta":1}"#, "System.ArgumentException", "CounterName"),
        (r#"{"Type":"Increment","CounterName":7}"#, "System.FormatException", "the name of a counter"),
        (r#"{"Type":"Increment","CounterName":""}"#, "System.ArgumentException", "its name is empty"),
        (r#"{"Type":"Increment","CounterName":"a\nb"}"#, "System.ArgumentException", "a control character"),
        (r#"{"Type":"Increment","CounterName":"a","Delta":1.5}"#, "System.FormatException", "whole number"),
        (r#"{"Type":"Increment","CounterName":"a","Delta":"x"}"#, "System.FormatException", "whole number"),
        (
            r#"{"Type":"Increment","CounterName":"a","Delta":9223372036854775808}"#,
            "System.FormatException",
            "64-bit",
        ),
        (r#"{"Type":"Put","CounterName":"a"}"#, "System.ArgumentException", "Delta"),
        ("7", "System.FormatException", "objects with a Type and a CounterName"),
    ] {
        let refused = count(&server, "u/1", &format!("{first},{operation}")).expect(400);
        assert_eq!(refused.str_at("Type"), kind, "{operation}");
        assert!(refused.str_at("Message").contains(words), "{operation}: {}", refused.text());
        assert_eq!(all(&server, "u/1"), "Likes=3", "{operation}");
    }
    for body in [r#"{"Documents":7}"#, r#"{"Documents":[7]}"#, r#"{"Documents":[{"DocumentId":7}]}"#] {
        let refused = server.post(&format!("{DB}/counters"), body).expect(400);
        assert_eq!(refused.str_at("Type"), "System.FormatException", "{body}");
    }
    let refused = server.get(&format!("{DB}/counters?docId=u/1&docId=u/2")).expect(400);
    assert_eq!(refused.str_at("Type"), "System.ArgumentException");
    // A put sets.
    count(&server, "u/1", r#"{"Type":"Put","CounterName":"LIKES","Delta":-8}"#).expect(200);
    assert_eq!(all(&server, "u/1"), "Likes=-8");
}

#[test]
fn an_answer_that_would_be_too_long_is_refused_before_anything_is_written() {
    let server = start_with(|config| config.limits.answer_bytes_max = 2000);
    server.put(&format!("{DB}/docs?id=u/1"), "{}").expect(201);
    let operation = r#"{"Type":"Increment","CounterName":"a"}"#;
    let many = [operation; 30].join(",");
    count(&server, "u/1", &many).expect(413);
    let command = format!(
        r#"{{"Id":"u/1","Type":"Counters","Counters":{{"DocumentId":"u/1","Operations":[{many}]}}}}"#
    );
    server.post(&format!("{DB}/bulk_docs"), &format!(r#"{{"Commands":[{command}]}}"#)).expect(413);
    assert_eq!(all(&server, "u/1"), "");
    count(&server, "u/1", operation).expect(200);
}

#[test]
fn values_by_node_name_this_node() {
    let server = filled();
    let full = server.get(&format!("{DB}/counters?docId=u/1&counter=likes&full=true")).expect(200);
    let id = server.get(&format!("{DB}/stats")).expect(200).str_at("DatabaseId");
    assert_eq!(full.at("Counters/0/CounterValues").to_string(), format!(r#"{{"A-{id}":3}}"#));
    let body = r#"{"ReplyWithAllNodesValues":true,"Documents":[{"DocumentId":"u/1","Operations":[{"Type":"Get","CounterName":"Likes"}]}]}"#;
    let full = server.post(&format!("{DB}/counters"), body).expect(200);
    assert_eq!(full.at("Counters/0/CounterValues").as_object().unwrap().len(), 1);
}

#[test]
fn a_change_of_a_value_is_seen_by_caches_and_not_by_indexes() {
    let server = filled();
    let index = r#"{"Indexes":[{"Name":"N","Maps":["map('Us', u => ({ name: u.name, counted: getMetadata(u)['@counters'] }))"]}]}"#;
    server.put(&format!("{DB}/indexes"), index).expect(201);
    let etag = |text: &str| query(&server, text).expect(200).int_at("ResultEtag");
    let wait = r#"{"Query":"from index 'N' where counted = 'likes'","WaitForNonStaleResults":true}"#;
    let found = server.post(&format!("{DB}/queries"), wait).expect(200);
    assert_eq!((found.int_at("TotalResults"), found.str_at("Results/0/name")), (1, "Ann".to_owned()));

    let load = format!("{DB}/docs?id=u/1&counter=likes");
    let cached = server.get(&load).expect(200).header("etag").unwrap().to_owned();
    let plain = server.get(&format!("{DB}/docs?id=u/1")).expect(200).header("etag").unwrap().to_owned();
    let again = |path: &str, etag: &str| server.send("GET", path, &[("If-None-Match", etag)], b"");
    again(&load, &cached).expect(304);
    let before = etag("from Us select counter('likes')");
    assert_eq!(etag("from Us select counter('likes')"), before);
    let processed =
        || server.get(&format!("{DB}/indexes/stats?name=N")).expect(200).int_at("Results/0/MapAttempts");
    let attempts = processed();

    count(&server, "u/1", r#"{"Type":"Increment","CounterName":"likes"}"#).expect(200);
    again(&load, &cached).expect(200);
    again(&format!("{DB}/docs?id=u/1"), &plain).expect(304);
    assert_ne!(etag("from Us select counter('likes')"), before);
    let now = query(&server, "from index 'N' where counted = 'likes' include counters('likes')").expect(200);
    assert_eq!(now.at("IsStale").as_bool(), Some(false));
    let includes = now.at("CounterIncludes");
    let of_ann = includes.get("u/1").unwrap();
    assert_eq!(of_ann.to_string(), r#"[{"DocumentId":"u/1","CounterName":"likes","TotalValue":4}]"#);
    assert_eq!(processed(), attempts, "no document has changed");

    // A new name writes its document, and waits for its indexes if that is asked.
    let command = r#"{"Id":"u/2","Type":"Counters","Counters":{"DocumentId":"u/2","Operations":[{"Type":"Increment","CounterName":"likes"}]}}"#;
    let path = format!("{DB}/bulk_docs?waitForIndexesTimeout=00:01:00");
    server.post(&path, &format!(r#"{{"Commands":[{command}]}}"#)).expect(201);
    assert_eq!(
        query(&server, "from index 'N' where counted = 'likes'").expect(200).int_at("TotalResults"),
        2
    );
    // Only its value changes: there is nothing to wait for.
    server.post(&path, &format!(r#"{{"Commands":[{command}]}}"#)).expect(201);
    assert_eq!(all(&server, "u/2"), "likes=2");
}

#[test]
fn streams_and_odd_includes_are_refused() {
    let server = filled();
    let stream = format!("{DB}/streams/queries?query=from%20Us%20include%20counters('likes')");
    assert_eq!(server.get(&stream).expect(400).str_at("Type"), "System.NotSupportedException");
    let rows =
        server.get(&format!("{DB}/streams/queries?query=from%20Us%20select%20counter('likes')")).expect(200);
    assert!(
        rows.text().contains(r#""likes":3"#) && rows.text().contains(r#""likes":null"#),
        "{}",
        rows.text()
    );
    for (text, words) in [
        ("from Us as u select counter(u.name, 'likes')", "the alias of FROM"),
        ("from Us as u select counter(x, 'likes')", "the alias of FROM"),
        ("from Us select counter(7)", "must be of type `string`"),
        ("from Us as u select { a: counterRaw(u, 'likes') }", "counterRaw"),
        ("from Us as u include counters(u, likes)", "at index 1"),
    ] {
        let refused = query(&server, text).expect(400);
        assert!(refused.str_at("Message").contains(words), "{text}: {}", refused.text());
    }
    // No name is no counter, and not all of them.
    let body = r#"{"Query":"from Us as u include counters(u, $p)","QueryParameters":{"p":[]}}"#;
    let none = server.post(&format!("{DB}/queries"), body).expect(200);
    assert_eq!(none.at("CounterIncludes").to_string(), r#"{"u/2":[],"u/1":[]}"#);
    // A row without the field has nothing to include.
    let none = query(&server, "from Us include counters(missing, 'likes')").expect(200);
    assert_eq!(none.at("CounterIncludes").to_string(), "{}");
}

#[test]
fn bulk_inserts_count() {
    let server = filled();
    let elements = r#"[{"Id":"u/3","Type":"PUT","Document":{}},
        {"Id":"u/3","Type":"Counters","Counters":{"DocumentId":"u/3","Operations":[{"Type":"Increment","CounterName":"a","Delta":2},{"Type":"Increment","CounterName":"A","Delta":5}]}},
        {"Id":"u/1","Type":"Counters","Counters":{"DocumentId":"u/1","Operations":[{"Type":"Increment","CounterName":"likes"}]}}]"#;
    server.post(&format!("{DB}/bulk_insert?id=77"), elements).expect(201);
    assert_eq!((all(&server, "u/3"), all(&server, "u/1")), ("a=7".to_owned(), "Likes=4".to_owned()));
    let state = server.get(&format!("{DB}/operations/state?id=77")).expect(200);
    for (field, count) in [("Total", 4), ("DocumentsProcessed", 1), ("CountersProcessed", 3)] {
        assert_eq!(state.int_at(&format!("Result/{field}")), count, "{field}");
    }
    let missing = r#"[{"Id":"u/9","Type":"Counters","Counters":{"DocumentId":"u/9","Operations":[{"Type":"Increment","CounterName":"a"}]}}]"#;
    let refused = server.post(&format!("{DB}/bulk_insert?id=78"), missing).expect(400);
    assert!(
        refused.str_at("Error").contains("Cannot operate on counters of a missing document"),
        "{}",
        refused.text()
    );
}

#[test]
fn a_patch_of_counters_alone_leaves_the_document_as_it_is() {
    let server = filled();
    let patch = |script: &str| {
        let body = Json::Object(Object::from_iter([(
            "Patch",
            Json::from(Object::from_iter([("Script", Json::from(script))])),
        )]));
        server.send("PATCH", &format!("{DB}/docs?id=u/1"), &[], body.to_string().as_bytes())
    };
    let etag = || server.get(&format!("{DB}/docs?id=u/1")).expect(200).header("etag").unwrap().to_owned();
    let before = etag();
    assert_eq!(patch("incrementCounter(this, 'likes', -4)").expect(200).str_at("Status"), "NotModified");
    assert_eq!((etag(), all(&server, "u/1")), (before.clone(), "Likes=-1".to_owned()));
    // A new name is a change of the document, with its change vector in the answer.
    let patched = patch("incrementCounter(this, 'b')").expect(200);
    assert_eq!(
        (patched.str_at("Status"), format!("\"{}\"", patched.str_at("ChangeVector"))),
        ("Patched".to_owned(), etag())
    );
    assert_ne!(etag(), before);
    let missing = patch("incrementCounter('u/9', 'b')").expect(400);
    assert_eq!(missing.str_at("Type"), "Raven.Client.Exceptions.Documents.DocumentDoesNotExistException");
    for script in [
        "incrementCounter(this, 'a', '1')",
        "incrementCounter(this, '')",
        "counter(7, 'a')",
        "deleteCounter(this)",
    ] {
        let refused = patch(&format!("incrementCounter(this, 'b', 100); {script}")).expect(400);
        assert_eq!(
            refused.str_at("Type"),
            "Raven.Client.Exceptions.Documents.Patching.JavaScriptException",
            "{script}"
        );
    }
    assert_eq!(all(&server, "u/1"), "Likes=-1 b=1");
    let again =
        patch("deleteCounter(this, 'B'); incrementCounter(this, 'b', 7); this.b = counter(this, 'b')")
            .expect(200);
    assert_eq!(again.int_at("ModifiedDocument/b"), 7);
    assert_eq!(all(&server, "u/1"), "Likes=-1 b=7");
}
