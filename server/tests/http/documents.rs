//! Documents over HTTP: writing, reading, conditions, caching.

use crate::client::start;

const DOCS: &str = "/databases/db/docs";

#[test]
fn a_document_comes_back_as_it_was_sent() {
    let server = start();
    let text = r#"{"i":1,"d":1.0,"e":1e3,"big":12345678901234567890,"dec":0.12345678901234567890123,"u":"\u00e9\ud83d\ude00","@metadata":{"@collection":"N"}}"#;
    server.put(&format!("{DOCS}?id=n/1"), text).expect(201);
    let answer = server.get(&format!("{DOCS}?id=N/1")).expect(200);
    let body = answer.text();
    assert!(
        body.starts_with(
            r#"{"Results":[{"i":1,"d":1.0,"e":1e3,"big":12345678901234567890,"dec":0.12345678901234567890123,"u":"é😀","@metadata":{"@collection":"N","@change-vector":"A:1-"#
        ),
        "{body}"
    );
    assert_eq!(answer.str_at("Results/0/@metadata/@id"), "n/1");
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("raven-server-version"), Some("7.1.5.71028"));
}

#[test]
fn a_missing_document_is_404_alone_and_null_among_others() {
    let server = start();
    server.put(&format!("{DOCS}?id=a"), "{}").expect(201);
    let alone = server.get(&format!("{DOCS}?&id=b")).expect(404);
    assert!(alone.body.is_empty());
    let among = server.get(&format!("{DOCS}?id=b&id=a&id=")).expect(200);
    assert!(among.at("Results/0").is_null() && among.at("Results/2").is_null());
    assert_eq!(among.str_at("Results/1/@metadata/@id"), "a");
    server.send("HEAD", &format!("{DOCS}?id=b"), &[], b"").expect(404);
    server.send("DELETE", &format!("{DOCS}?id=b"), &[], b"").expect(204);
}

#[test]
fn conditions_are_checked_and_a_conflict_says_both_change_vectors() {
    let server = start();
    let url = format!("{DOCS}?id=u/1");
    let first = server.put(&url, r#"{"v":1}"#).expect(201).str_at("ChangeVector");
    let second =
        server.send("PUT", &url, &[("If-Match", &first)], br#"{"v":2}"#).expect(201).str_at("ChangeVector");
    for (method, expected) in [("PUT", first.as_str()), ("PUT", ""), ("DELETE", first.as_str())] {
        let conflict = server.send(method, &url, &[("If-Match", expected)], br#"{"v":3}"#).expect(409);
        assert_eq!(conflict.str_at("Type"), "Raven.Client.Exceptions.ConcurrencyException");
        assert_eq!(conflict.str_at("Id"), "u/1");
        assert_eq!(conflict.str_at("ExpectedChangeVector"), expected);
        assert_eq!(conflict.str_at("ActualChangeVector"), second);
        assert_eq!(conflict.str_at("Url"), url);
    }
    assert_eq!(server.get(&url).int_at("Results/0/v"), 2);
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let server = start();
    for id in ["a", "b"] {
        server.put(&format!("{DOCS}?id={id}"), "{}").expect(201);
    }
    let paths = ["?id=a", "?id=a&id=b", "?startsWith=a", "?pageSize=1"];
    for path in paths {
        let url = format!("{DOCS}{path}");
        let etag = server.get(&url).expect(200).header("etag").unwrap().to_owned();
        let again = server.send("GET", &url, &[("If-None-Match", &etag)], b"").expect(304);
        assert!(again.body.is_empty());
        server.send("GET", &url, &[("If-None-Match", "\"404 Response\"")], b"").expect(200);
    }
    let old: Vec<_> = paths
        .iter()
        .map(|path| server.get(&format!("{DOCS}{path}")).header("etag").unwrap().to_owned())
        .collect();
    server.put(&format!("{DOCS}?id=a"), r#"{"x":1}"#).expect(201);
    for (path, etag) in paths.iter().zip(old) {
        server.send("GET", &format!("{DOCS}{path}"), &[("If-None-Match", &etag)], b"").expect(200);
    }
}

#[test]
fn runs_of_documents_have_an_order_and_pages() {
    let server = start();
    for id in ["u/2", "U/1", "u/10", "v/1"] {
        server.put(&format!("{DOCS}?id={id}"), "{}").expect(201);
    }
    let ids = |path: &str| -> Vec<String> {
        let answer = server.get(&format!("{DOCS}{path}")).expect(200).json();
        let results = answer.get("Results").unwrap().as_array().unwrap();
        let id = |document: &magpie_store::json::Json| {
            document.get("@metadata").unwrap().get("@id").unwrap().as_str().unwrap().to_owned()
        };
        results.iter().map(id).collect()
    };
    assert_eq!(ids(""), ["v/1", "u/10", "U/1", "u/2"]);
    assert_eq!(ids("?start=1&pageSize=2"), ["u/10", "U/1"]);
    assert_eq!(ids("?startsWith=u/"), ["U/1", "u/10", "u/2"]);
    assert_eq!(ids("?startsWith=u/&start=1&pageSize=1"), ["u/10"]);
    assert_eq!(ids("?startsWith=u/&startAfter=u/1"), ["u/10", "u/2"]);
    assert_eq!(ids("?startsWith=u/&matches=1*|7&exclude=10"), ["U/1"]);
    assert_eq!(
        server.get(&format!("{DOCS}?pageSize=x")).expect(400).str_at("Type"),
        "System.ArgumentException"
    );
}

#[test]
fn a_body_that_is_not_json_is_refused_with_its_place() {
    let server = start();
    let url = format!("{DOCS}?id=x");
    let cases = [
        ("{\"a\":1,\n \"b\":}", "System.IO.InvalidDataException", "line 2, column 6"),
        ("{\"a\":1", "System.IO.EndOfStreamException", "line 1, column 7"),
        ("", "System.IO.EndOfStreamException", "line 1, column 1"),
        ("[1]", "Sparrow.Exceptions.InvalidStartOfObjectException", "StartArray"),
        ("{\"a\":1,\"a\":2}", "System.IO.InvalidDataException", "line 1"),
    ];
    for (body, kind, words) in cases {
        let refused = server.put(&url, body).expect(400);
        assert_eq!(refused.str_at("Type"), kind, "{body}");
        assert!(refused.str_at("Message").contains(words), "{}", refused.text());
    }
    let bad_utf8 = server.send("PUT", &url, &[], b"{\"a\":\"\xff\"}").expect(400);
    assert!(bad_utf8.str_at("Message").contains("UTF-8"));
    server.get(&url).expect(404);
}

#[test]
fn bodies_beyond_the_limit_are_refused_by_name() {
    let server = crate::client::start_with(|config| config.limits.request_body_bytes_max = 1000);
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(2000));
    let refused = server.put(&format!("{DOCS}?id=x"), &large).expect(413);
    assert_eq!(refused.str_at("Limit"), "request_body_bytes_max");
    assert_eq!(refused.int_at("LimitBytes"), 1000);
    server.put(&format!("{DOCS}?id=x"), "{\"a\":1}").expect(201);
}
