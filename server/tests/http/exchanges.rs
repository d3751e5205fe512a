//! Compare-exchange values that come along with documents and queries, and in scripts, each as a RavenDB 7.1.5 answers.

use crate::client::{Answer, TestServer, start};
use magpie_store::json::{Json, Object};

const DB: &str = "/databases/db";

fn filled() -> TestServer {
    let server = start();
    let document =
        r#"{"name":"Ann","k":"Key/0","ks":["key/1","key/0"],"num":5,"@metadata":{"@collection":"Us"}}"#;
    server.put(&format!("{DB}/docs?id=u/0"), document).expect(201);
    for (key, value) in [("key/0", r#"{"a":1.50}"#), ("key/1", r#""text""#), ("5", "7")] {
        let body = format!(r#"{{"Object":{value}}}"#);
        server.put(&format!("{DB}/cmpxchg?key={key}&index=0"), &body).expect(200);
    }
    server
}

fn query(server: &TestServer, text: &str) -> Answer {
    let body = Json::Object(Object::from_iter([("Query", Json::from(text))])).to_string();
    server.post(&format!("{DB}/queries"), &body)
}

/// The included values without their indexes; nothing when there is no such part of the answer.
fn included(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let Some(Json::Object(values)) = body.get("CompareExchangeValueIncludes") else { return Vec::new() };
    let shown = |(key, item): (&str, &Json)| {
        assert_eq!(item.get("Key").unwrap().as_str(), Some(key));
        let is_there = item.get("Index").unwrap().as_i64().unwrap() > 0;
        format!("{key}={} {is_there}", item.get("Value").unwrap())
    };
    values.iter().map(shown).collect()
}

const KEY_0: &str = r#"Key/0={"Object":{"a":1.50}} true"#;
const KEY_1: &str = r#"key/1={"Object":"text"} true"#;

#[test]
fn documents_bring_the_values_they_name() {
    let server = filled();
    let get = |rest: &str| server.get(&format!("{DB}/docs?id=u/0{rest}")).expect(200);
    assert_eq!(included(&get("&cmpxchg=k")), [KEY_0]);
    assert_eq!(included(&get("&cmpxchg=ks&cmpxchg=k")), [KEY_1, r#"key/0={"Object":{"a":1.50}} true"#]);
    assert_eq!(included(&get("&cmpxchg=num&cmpxchg=name")), [r#"5={"Object":7} true"#, "Ann=null false"]);
    assert!(!get("&cmpxchg=nope").text().contains("CompareExchangeValueIncludes"));
    assert_eq!(get("&cmpxchg=name").int_at("CompareExchangeValueIncludes/Ann/Index"), -1);
    server.get(&format!("{DB}/docs?id=none&cmpxchg=k")).expect(404);
    let many = server.post(&format!("{DB}/docs?cmpxchg=k"), r#"{"Ids":["u/0","none"]}"#).expect(200);
    assert_eq!(included(&many), [KEY_0]);
    // A cached answer is good as long as the values are the same.
    let etag = get("&cmpxchg=k").header("etag").unwrap().to_owned();
    let again = |expected: u16| {
        let path = format!("{DB}/docs?id=u/0&cmpxchg=k");
        server.send("GET", &path, &[("If-None-Match", &etag)], b"").expect(expected);
    };
    again(304);
    let index = server.get(&format!("{DB}/cmpxchg?key=key/0")).int_at("Results/0/Index");
    server.put(&format!("{DB}/cmpxchg?key=key/0&index={index}"), r#"{"Object":2}"#).expect(200);
    again(200);
}

#[test]
fn queries_bring_the_values_their_rows_name() {
    let server = filled();
    let values = |text: &str| included(&query(&server, text).expect(200));
    for text in [
        "from Us include cmpxchg(k)",
        "from Us include cmpxchg('k')",
        "from Us as u include cmpxchg(u.k)",
        "from Us where name = 'Ann' include CMPXCHG(k), name",
    ] {
        assert_eq!(values(text), [KEY_0], "{text}");
    }
    assert_eq!(values("from Us as u include cmpxchg(u.ks), cmpxchg(u.k)").len(), 2);
    assert_eq!(
        values("from Us include cmpxchg(num), cmpxchg(name)"),
        [r#"5={"Object":7} true"#, "Ann=null false"]
    );
    // What a projection leaves out is not seen, and a key is no path.
    assert_eq!(values("from Us as u select u.name include cmpxchg(u.k)"), <[String; 0]>::default());
    assert_eq!(values("from Us include cmpxchg('key/0')"), <[String; 0]>::default());
    assert_eq!(query(&server, "from Us include cmpxchg(k)").at("IncludedPaths"), Json::Null);
    assert_eq!(values("from Us include cmpxchg(5)"), <[String; 0]>::default());
    let with = |parameter: &str| {
        let body = format!(
            r#"{{"Query":"from Us include cmpxchg($p)","QueryParameters":{{"p":{parameter}}},"WaitForNonStaleResults":true}}"#
        );
        included(&server.post(&format!("{DB}/queries"), &body).expect(200))
    };
    assert_eq!(with(r#""k""#), [KEY_0]);
    assert_eq!(with(r#"["ks","k"]"#).len(), 2);
    assert_eq!(with("5"), <[String; 0]>::default());
    for text in
        ["from Us include cmpxchg()", "from Us include cmpxchg(k, ks)", "from Us include cmpxchg($none)"]
    {
        let refused = query(&server, text).expect(400);
        assert_eq!(refused.str_at("Type"), "Raven.Client.Exceptions.InvalidQueryException", "{text}");
    }
    for rest in ["cmpxchg(k)", "cmpxchg(name)"] {
        let path = format!("{DB}/streams/queries?format=jsonl&query=from%20Us%20include%20{rest}");
        assert_eq!(server.get(&path).expect(400).str_at("Type"), "System.NotSupportedException");
    }
    assert!(!query(&server, "from Us include cmpxchg(none)").text().contains("CompareExchangeValueIncludes"));
    // The number of the answer changes with any value, and only then.
    let etag = || query(&server, "from Us include cmpxchg(k)").expect(200).int_at("ResultEtag");
    let before = etag();
    assert_eq!(etag(), before);
    server.put(&format!("{DB}/cmpxchg?key=other&index=0"), r#"{"Object":2}"#).expect(200);
    assert_ne!(etag(), before);
}

#[test]
fn scripts_read_values() {
    let server = filled();
    let text = "declare function more(u) { return cmpxchg(u.k).a + 1 } from Us as u \
                select { c: cmpxchg(u.k), d: cmpxchg('nope'), e: cmpxchg('key/0').a, f: cmpxchg('KEY/1'), g: more(u) }";
    let answer = query(&server, text).expect(200);
    for (path, value) in
        [("c", r#"{"a":1.5}"#), ("d", "null"), ("e", "1.5"), ("f", r#""text""#), ("g", "2.5")]
    {
        assert_eq!(answer.at(&format!("Results/0/{path}")).to_string(), value, "{path}");
    }
    let chain = "from Us as u select { v: cmpxchg(cmpxchg('5') == 7 ? cmpxchg('key/1') + '/2' : 'no') }";
    server.put(&format!("{DB}/cmpxchg?key=text/2&index=0"), r#"{"Object":"deep"}"#).expect(200);
    assert_eq!(query(&server, chain).expect(200).str_at("Results/0/v"), "deep");
    let message = |answer: &Answer| answer.str_at("Message");
    let refused = query(&server, "from Us as u select { v: includes.cmpxchg(u.k) }").expect(400);
    assert!(message(&refused).contains("includes.cmpxchg, the member of what"), "{}", refused.text());
    let bring = "declare function f(u) { includes.cmpxchg(u.k); includes.cmpxchg(['nope', u.k]); return { n: 1 } } \
                 from Us as u select f(u)";
    assert_eq!(included(&query(&server, bring).expect(200)), [KEY_0, "nope=null false"]);
    for (text, row) in [
        ("from Us select cmpxchg('KEY/1') as v", r#"{"v":"text"}"#),
        ("from Us select name, cmpxchg(k) as v", r#"{"name":"Ann","v":{"a":1.5}}"#),
        ("from Us as u select cmpxchg(u.k)", r#"{"a":1.5}"#),
    ] {
        let answer = query(&server, text).expect(200);
        let mut found = answer.at("Results/0");
        if let Json::Object(row) = &mut found {
            row.remove("@metadata");
        }
        assert_eq!(found.to_string(), row, "{text}");
    }
    let refused = query(&server, "from Us as u select { v: cmpxchg(u.ks) }").expect(400);
    assert!(message(&refused).contains("must be called with a single string argument"), "{}", refused.text());

    let patch = |script: &str| {
        let body = format!(r#"{{"Patch":{{"Script":"{script}"}}}}"#);
        server.send("PATCH", &format!("{DB}/docs?id=u/0"), &[], body.as_bytes())
    };
    let patched = |script: &str| patch(script).expect(200).at("ModifiedDocument/v").to_string();
    assert_eq!(patched("this.v = cmpxchg('key/0')"), r#"{"a":1.50}"#);
    assert_eq!(
        patched("let c = cmpxchg('key/0'); c.b = cmpxchg(this.ks[0]); this.v = c"),
        r#"{"a":1.50,"b":"text"}"#
    );
    assert_eq!(
        patched("this.v = [cmpxchg('nope'), load('u/0').name, cmpxchg('5') + 1]"),
        r#"[null,"Ann",8]"#
    );
    for script in ["this.v = cmpxchg(5)", "this.v = cmpxchg()", "this.v = cmpxchg(null)"] {
        let refused = patch(script).expect(400);
        assert!(
            message(&refused).contains("must be called with a single string argument"),
            "{}",
            refused.text()
        );
    }
    // The value itself stays: scripts only read.
    assert_eq!(
        server.get(&format!("{DB}/cmpxchg?key=key/0")).at("Results/0/Value").to_string(),
        r#"{"Object":{"a":1.50}}"#
    );
    // An index would not follow its changes.
    let index = r#"{"Indexes":[{"Name":"I","Maps":["map('Us', u => ({ v: cmpxchg(u.k) }))"]}]}"#;
    server.put(&format!("{DB}/admin/indexes"), index).expect(400);
}
