//! Patches over HTTP: what scripts can do, what they cannot, and that a batch with them is all or nothing.

#![cfg(test)]

use magpie_store::json::Json;
use magpie_tests::process::ServerProcess;
use magpie_tests::wire::Client;
use std::thread;

/// A server with one database, `p`.
struct Fixture {
    server: ServerProcess,
    client: Client,
    _data: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(data.path(), &["--database", "p"]).unwrap();
        Self { client: server.client(), server, _data: data }
    }

    fn put(&self, id: &str, text: &str) {
        let path = format!("/databases/p/docs?id={id}");
        self.client.send("PUT", &path, &[], Some(text.as_bytes())).unwrap().expect_status(201).unwrap();
    }

    /// The document's text up to its metadata.
    fn text(&self, id: &str) -> String {
        let answer = self.client.get(&format!("/databases/p/docs?id={id}")).unwrap();
        let text = String::from_utf8(answer.body).unwrap();
        let from = text.find("[").unwrap() + 1;
        text[from..text.find(r#","@metadata""#).unwrap()].to_owned() + "}"
    }

    /// Status and body of a patch.
    fn patch(&self, id: &str, script: &str) -> (u16, Json) {
        self.patch_with(id, script, "")
    }

    fn patch_with(&self, id: &str, script: &str, more: &str) -> (u16, Json) {
        let mut body = magpie_store::json::Object::new();
        body.insert(
            "Patch",
            [("Script", Json::from(script))].into_iter().collect::<magpie_store::json::Object>(),
        );
        let text = Json::Object(body).to_string();
        let path = format!("/databases/p/docs?id={id}{more}");
        let answer = self.client.send("PATCH", &path, &[], Some(text.as_bytes())).unwrap();
        let status = answer.status;
        (status, if answer.body.is_empty() { Json::Null } else { answer.json().unwrap() })
    }

    fn batch(&self, commands: &str) -> (u16, Json) {
        let answer =
            self.client.post("/databases/p/bulk_docs", &format!(r#"{{"Commands":[{commands}]}}"#)).unwrap();
        (answer.status, answer.json().unwrap())
    }

    fn end(mut self) {
        assert!(self.server.stop().unwrap(), "the server did not end well");
    }
}

fn field<'j>(json: &'j Json, name: &str) -> &'j str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}

/// The elements of an answer to a batch, each as one of its fields.
fn results<'j>(answer: &'j Json, name: &str) -> Vec<&'j str> {
    answer.get("Results").unwrap().as_array().unwrap().iter().map(|result| field(result, name)).collect()
}

#[test]
fn what_a_script_does_not_touch_keeps_its_digits_and_its_order() {
    let fixture = Fixture::new();
    let metadata = r#""@metadata":{"@collection":"T"}"#;
    fixture.put(
        "t/1",
        &format!(
            r#"{{"a":1.0,"big":12345678901234567890,"list":[1.50,12345678901234567891,2.0],"10":1,"2":3.10,"in":{{"5":1e3,"1":2}},"far":1e400,{metadata}}}"#
        ),
    );
    assert_eq!(field(&fixture.patch("t/1", "this.x = 1").1, "Status"), "Patched");
    assert_eq!(
        fixture.text("t/1"),
        r#"{"a":1.0,"big":12345678901234567890,"list":[1.50,12345678901234567891,2.0],"10":1,"2":3.10,"in":{"5":1e3,"1":2},"far":1e400,"x":1}"#
    );
    // Also where a script moves things.
    fixture.patch("t/1", "this.list.shift(); this.moved = this.in; delete this.in; this.a = this.a");
    assert_eq!(
        fixture.text("t/1"),
        r#"{"a":1.0,"big":12345678901234567890,"list":[12345678901234567891,2.0],"10":1,"2":3.10,"far":1e400,"x":1,"moved":{"5":1e3,"1":2}}"#
    );
    // A changed number is a double, as any number of a script.
    fixture.patch("t/1", "this.big += 10000");
    assert!(fixture.text("t/1").contains(r#""big":12345678901234577"#), "{}", fixture.text("t/1"));
    assert_eq!(
        field(&fixture.patch("t/1", "this.list.sort().reverse().reverse()").1, "Status"),
        "NotModified"
    );
    fixture.end();
}

#[test]
fn undefined_and_the_change_vector_of_del_are_taken_as_in_the_original() {
    let fixture = Fixture::new();
    for (script, expected) in [
        ("this.zz = undefined", r#"{"n":1,"o":{"k":1,"z":2},"l":[{"a":1}]}"#),
        ("this.n = undefined", r#"{"n":null,"o":{"k":1,"z":2},"l":[{"a":1}]}"#),
        ("this.o.k = undefined", r#"{"n":1,"o":{"k":null,"z":2},"l":[{"a":1}]}"#),
        ("this.o.q = undefined", r#"{"n":1,"o":{"k":1,"z":2},"l":[{"a":1}]}"#),
        ("this.l[0].a = undefined; this.l[0].b = undefined", r#"{"n":1,"o":{"k":1,"z":2},"l":[{"a":null}]}"#),
        ("this.o = { k: undefined, l: [undefined] }", r#"{"n":1,"o":{"k":null,"l":[null]},"l":[{"a":1}]}"#),
        ("delete this.o.k; delete this.l", r#"{"n":1,"o":{"z":2}}"#),
    ] {
        fixture.put("u/1", r#"{"n":1,"o":{"k":1,"z":2},"l":[{"a":1}]}"#);
        assert_eq!(fixture.patch("u/1", script).0, 200, "{script}");
        assert_eq!(fixture.text("u/1"), expected, "{script}");
    }

    let (_, answer) = fixture.patch_with("u/1", "output(undefined, null, { a: [1] })", "&debug=true");
    let info = answer.get("Debug").and_then(|debug| debug.get("Info")).unwrap();
    assert_eq!(info.to_string(), r#"["undefined","null","{\"a\":[1]}"]"#);

    fixture.put("a/1", r#"{"n":1}"#);
    let (status, answer) = fixture.patch("u/1", "this.n = 7; del('a/1', 'A:1-nope')");
    assert_eq!((status, field(&answer, "Type")), (409, "Raven.Client.Exceptions.ConcurrencyException"));
    assert_eq!(fixture.text("u/1"), r#"{"n":1,"o":{"z":2}}"#);
    assert_eq!(fixture.text("a/1"), r#"{"n":1}"#);
    let script = "del('a/1', getMetadata(load('a/1'))['@change-vector'])";
    assert_eq!(fixture.patch("u/1", script).0, 200);
    assert_eq!(fixture.client.get("/databases/p/docs?id=a/1").unwrap().status, 404);
}

#[test]
fn a_batch_sees_its_own_writes_and_fails_as_a_whole() {
    let fixture = Fixture::new();
    fixture.put("other", r#"{"n":7}"#);
    let (status, answer) = fixture.batch(
        r#"{"Type":"PUT","Id":"s/1","Document":{"a":1}},
           {"Type":"PATCH","Id":"s/1","Patch":{"Script":"this.a += args.by; this.n = load('other').n; put('made', { of: id(this) })","Values":{"by":10}}},
           {"Type":"PATCH","Id":"made","Patch":{"Script":"this.seen = $x","Values":{"x":[1.0]}},"ReturnDocument":true},
           {"Type":"DELETE","Id":"other"},
           {"Type":"PATCH","Id":"other","Patch":{"Script":"this.a = 1"}},
           {"Type":"BatchPATCH","Ids":[{"Id":"S/1"},{"Id":"none"}],"Patch":{"Script":"this.last = load('other')"}}"#,
    );
    assert_eq!(status, 201, "{answer}");
    assert_eq!(results(&answer, "Type"), ["PUT", "PATCH", "PATCH", "DELETE", "PATCH", "BatchPATCH"]);
    assert_eq!(results(&answer, "PatchStatus")[1..3], ["Patched", "Patched"]);
    assert_eq!(results(&answer, "PatchStatus")[4], "DocumentDoesNotExist");
    let returned = answer.get("Results").unwrap().as_array().unwrap()[2].get("ModifiedDocument").unwrap();
    assert_eq!(returned.to_string(), r#"{"of":"s/1","seen":[1.0]}"#);
    assert_eq!(fixture.text("s/1"), r#"{"a":11,"n":7,"last":null}"#);

    let before = fixture.client.get("/databases/p/stats").unwrap().json().unwrap();
    for (failing, kind) in [
        (r#"{"Script":"throw 'no'"}"#, "JavaScriptException"),
        (r#"{"Script":"this. = 1"}"#, "JavaScriptParseException"),
        (r#"{"Script":"while (true) {}"}"#, "JavaScriptException"),
        (r#"{"Script":"this['@metadata']['@collection'] = 'Other'"}"#, "DocumentCollectionMismatchException"),
        (r#"{"Script":"put('x', {}, 'A:1-unknown')"}"#, "ConcurrencyException"),
        (r#"{"Script":"incrementCounter('likes')"}"#, "JavaScriptException"),
        ("{}", "InvalidDataException"),
    ] {
        let (status, answer) = fixture.batch(&format!(
            r#"{{"Type":"PUT","Id":"new","Document":{{}}}},
               {{"Type":"PATCH","Id":"made","Patch":{{"Script":"this.z = 1; put('new2', {{}})"}}}},
               {{"Type":"PATCH","Id":"s/1","Patch":{failing}}}"#
        ));
        assert!((400..500).contains(&status), "{failing}: {status}");
        assert!(field(&answer, "Type").ends_with(kind), "{failing}: {answer}");
    }
    let after = fixture.client.get("/databases/p/stats").unwrap().json().unwrap();
    assert_eq!(before.get("LastDocEtag"), after.get("LastDocEtag"), "a failed batch leaves nothing");
    fixture.end();
}

#[test]
fn a_batch_can_ask_that_what_was_read_is_still_so() {
    let fixture = Fixture::new();
    fixture.put("read", "{}");
    let answer = fixture.client.get("/databases/p/docs?id=read").unwrap().json().unwrap();
    let document = &answer.get("Results").unwrap().as_array().unwrap()[0];
    let vector = field(document.get("@metadata").unwrap(), "@change-vector").to_owned();
    let batch = |id: &str| {
        format!(
            r#"{{"Type":"PUT","Id":"{id}","Document":{{}}}},
               {{"Type":"BatchTrackChanges","TrackedEntities":{{"read":"{vector}"}}}}"#
        )
    };
    let (status, answer) = fixture.batch(&batch("first"));
    assert_eq!((status, results(&answer, "Type")), (201, vec!["PUT", "BatchTrackChanges"]));
    fixture.put("read", r#"{"changed":true}"#);
    let (status, answer) = fixture.batch(&batch("second"));
    assert_eq!((status, field(&answer, "Id")), (409, "read"), "{answer}");
    assert_eq!(fixture.client.get("/databases/p/docs?id=second").unwrap().status, 404);
    fixture.end();
}

#[test]
fn json_patches_are_part_of_a_batch_like_scripts() {
    let fixture = Fixture::new();
    fixture.put("j/1", r#"{"big":12345678901234567890,"list":[1.0]}"#);
    let patch = |operations: &str| {
        format!(
            r#"{{"Type":"PATCH","Id":"j/1","Patch":{{"Script":"this.list.push(2)"}}}},
               {{"Type":"JsonPatch","Id":"J/1","ChangeVector":null,"ReturnDocument":true,
                 "JsonPatch":{{"Operations":[{operations}]}}}}"#
        )
    };
    let (status, answer) = fixture.batch(&patch(
        r#"{"op":"test","path":"/list/1","value":2.0},{"op":"add","path":"/list/0","value":0.50},
           {"op":"copy","from":"/big","path":"/copy"}"#,
    ));
    assert_eq!(status, 201, "{answer}");
    assert_eq!(results(&answer, "Type"), ["PATCH", "JsonPatch"]);
    assert_eq!(results(&answer, "PatchStatus"), ["Patched", "Patched"]);
    let text = r#"{"big":12345678901234567890,"list":[0.50,1.0,2],"copy":12345678901234567890}"#;
    assert_eq!(fixture.text("j/1"), text);
    let returned = answer.get("Results").unwrap().as_array().unwrap()[1].get("ModifiedDocument").unwrap();
    assert_eq!(returned.to_string(), text);

    for failing in
        [r#"{"op":"replace","path":"/none","value":1}"#, r#"{"op":"test","path":"/list/0","value":1}"#, "{}"]
    {
        assert_eq!(fixture.batch(&patch(failing)).0, 400, "{failing}");
    }
    assert_eq!(fixture.text("j/1"), text, "a failed batch leaves nothing");
    let body = r#"{"Operations":[{"op":"remove","path":"/copy"}]}"#;
    let alone = |id: &str| {
        fixture.client.send("PATCH", &format!("/databases/p/json-patch?id={id}"), &[], Some(body.as_bytes()))
    };
    let answer = alone("j/1").unwrap();
    assert_eq!((answer.status, field(&answer.json().unwrap(), "Status")), (200, "Patched"));
    assert_eq!(alone("j/2").unwrap().status, 400);
    fixture.end();
}

#[test]
fn a_script_cannot_leave_its_function_keep_state_or_reach_the_engine() {
    let fixture = Fixture::new();
    fixture.put("t/1", r#"{"n":1}"#);
    for script in [
        "}), (function(){",
        "})(function(){",
        "}",
        "} function other() {",
        "eval('1')",
        "this.f = Function('return 1')()",
        "Object.prototype.x = 1",
        "globalThis.kept = 1",
        "Array.prototype.push = null",
        "this.r = /(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!')",
        "this.s = 'x'.repeat(1e9)",
        "let s = 'ab'; while (true) s += s",
        "function f() { f(); } f()",
        "this.self = this",
        "this.m = new Map()",
        "x = 5",
        "import('x')",
    ] {
        let (status, answer) = fixture.patch("t/1", script);
        assert_eq!(status, 400, "{script}: {answer}");
        assert!(field(&answer, "Type").contains(".Patching.JavaScript"), "{script}: {answer}");
    }
    assert_eq!(fixture.text("t/1"), r#"{"n":1}"#);
    // What a script writes into arguments and metadata is gone with it; the id is not its to change.
    for _ in 0..2 {
        let script = "args.n = (args.n || 0) + 1; this.n = args.n; this['@metadata']['@id'] = 'u/1'";
        assert_eq!(fixture.patch("t/1", script).0, 200);
    }
    assert_eq!(fixture.text("t/1"), r#"{"n":1}"#);
    fixture.end();
}

#[test]
fn a_patch_has_a_clock_and_random_numbers_but_only_one_time() {
    let fixture = Fixture::new();
    fixture.put("t/1", "{}");
    let script = "const a = Date.now(); let i = 0; while (i < 1000) i++; this.same = a === Date.now() && \
                  new Date().getTime() === a; this.recent = a > 1700000000000; const r = [Math.random(), \
                  Math.random()]; this.random = r[0] !== r[1] && r.every(x => x >= 0 && x < 1); \
                  this.written = lastModified(this) <= a";
    assert_eq!(fixture.patch("t/1", script).0, 200);
    assert_eq!(fixture.text("t/1"), r#"{"same":true,"recent":true,"random":true,"written":true}"#);
    fixture.end();
}

#[test]
fn concurrent_patches_lose_nothing() {
    const THREADS: usize = 8;
    const EACH: usize = 50;
    let fixture = Fixture::new();
    fixture.put("c/1", r#"{"n":0}"#);
    fixture.put("c/2", r#"{"n":0}"#);
    fixture.put("c/other", r#"{"n":0}"#);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    // Both documents in one batch, one of them read by the other's script.
                    let (status, answer) = fixture.batch(
                        r#"{"Type":"PATCH","Id":"c/2","Patch":{"Script":"this.n++"}},
                           {"Type":"PATCH","Id":"c/1","Patch":{"Script":"load('c/other'); this.n++; this.equal = this.n === load('c/2').n"}}"#,
                    );
                    assert_eq!(status, 201, "{answer}");
                }
            });
        }
        // A writer who does not wait for patches.
        scope.spawn(|| (0..100).for_each(|n| fixture.put("c/other", &format!(r#"{{"n":{n}}}"#))));
    });
    assert_eq!(fixture.text("c/1"), format!(r#"{{"n":{},"equal":true}}"#, THREADS * EACH));
    assert_eq!(fixture.text("c/2"), format!(r#"{{"n":{}}}"#, THREADS * EACH));
    fixture.end();
}
