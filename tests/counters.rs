//! Counters as a RavenDB 7.1.5 answered about them (`fixtures/counters.json`, recorded); what its dumps have of them, in and
//! out; and that nothing is lost when many count at once or the process is killed.

#![cfg(test)]

use magpie_store::json::{self, Json};
use magpie_tests::golden::replay;
use magpie_tests::process::ServerProcess;
use magpie_tests::smuggler::{export, import, make};
use magpie_tests::wire::Client;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

#[test]
fn answers_are_those_of_a_ravendb() {
    let recording = json::parse(include_bytes!("fixtures/counters.json")).unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(data.path(), &[]).unwrap();
    let outcomes = replay(&server.client(), &recording, "counters");
    assert!(server.stop().unwrap(), "the server did not end well");
    let complaints: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| Some(format!("{}\n      {}", outcome.name, outcome.difference.as_ref()?)))
        .collect();
    assert!(complaints.is_empty(), "{} of {}\n{}", complaints.len(), outcomes.len(), complaints.join("\n"));
    assert!(outcomes.len() > 100, "only {} cases", outcomes.len());
}

/// An export as text.
fn exported(client: &Client, name: &str, options: &str) -> String {
    String::from_utf8(export(client, name, options).unwrap()).unwrap()
}

/// The counters of a document: name and value, in their order.
fn counters(client: &Client, name: &str, id: &str) -> Vec<(String, i64)> {
    let answer = client.get(&format!("/databases/{name}/counters?docId={id}")).unwrap();
    let answer = answer.expect_status(200).unwrap().json().unwrap();
    let counters = answer.get("Counters").unwrap().as_array().unwrap();
    let one = |counter: &Json| {
        let name = counter.get("CounterName").unwrap().as_str().unwrap();
        (name.to_owned(), counter.get("TotalValue").unwrap().as_i64().unwrap())
    };
    counters.iter().map(one).collect()
}

fn expected(counters: &[(&str, i64)]) -> Vec<(String, i64)> {
    counters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// A dump whose document has counters of two databases, deleted ones, and some that cannot be read.
const DUMP: &str = r#"{"BuildVersion":71028,"DatabaseRecord":{"DatabaseName":"old"},
    "Docs":[{"n":1,"@metadata":{"@collection":"Users","@counters":["Likes"],"@flags":"HasCounters","@id":"Users/1","@last-modified":"2024-03-01T00:00:00.0000000Z"}},
            {"n":2,"@metadata":{"@collection":"Others","@id":"others/1","@last-modified":"2024-03-01T00:00:00.0000000Z"}}],
    "CounterGroups":[
        {"DocId":"users/1","ChangeVector":"A:22-Gb0aU+/5uk2p+VOySe8KBg","Values":{"@dbIds":["Gb0aU+/5uk2p+VOySe8KBg","IG4VwBTOnkqoT/uwgm2OQg"],
         "@names":{"likes":"Likes","gone":"Gone","odd":"Odd"},"@vals":{"likes":[3,19,-10,4],"b":[7,3],"gone":"A:5-Gb0aU+/5uk2p+VOySe8KBg","odd":["x",1]}}},
        {"DocId":"users/1","ChangeVector":"A:23-Gb0aU+/5uk2p+VOySe8KBg","Values":{"@dbIds":["x"],"@names":{"zikes":"zikes"},"@vals":{"zikes":[9007199254740993,20]}}},
        {"DocId":"others/1","ChangeVector":"A:23-Gb0aU+/5uk2p+VOySe8KBg","Values":{"@dbIds":["x"],"@vals":{"c":[-1,20]}}},
        {"DocId":"users/none","ChangeVector":"A:23-Gb0aU+/5uk2p+VOySe8KBg","Values":{"@dbIds":["x"],"@vals":{"c":[4,20]}}},
        {"DocId":"users/1","Values":{"likes":[7,7]}}]}"#;

#[test]
fn counters_of_dumps_are_counters() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]).unwrap();
    let client = server.client();
    make(&client, "first").unwrap();
    let result = import(&client, "first", DUMP.as_bytes()).unwrap();
    let counted = result.get("Counters").unwrap();
    for (kind, count) in [("ReadCount", 5_i64), ("SkippedCount", 2), ("ErroredCount", 1)] {
        assert_eq!(counted.get(kind), Some(&Json::from(count)), "{kind}: {result}");
    }
    let own = result.get("Magpie").unwrap();
    assert_eq!(own.get("Written").unwrap().get("Counters"), Some(&Json::from(3_i64)), "{result}");
    assert_eq!(own.get("Kept").unwrap().get("Counters"), Some(&Json::from(2_i64)), "{result}");
    let messages = result.get("Messages").unwrap().to_string();
    for part in [
        "the counters of the document 'users/none' at byte ",
        "Cannot operate on counters of a missing document.",
        "some counters of the document 'users/1' at byte ",
    ] {
        assert!(messages.contains(part), "{part}: {messages}");
    }
    let of_user = expected(&[("Likes", -7), ("b", 7), ("zikes", 9_007_199_254_740_993)]);
    assert_eq!(counters(&client, "first", "users/1"), of_user);
    assert_eq!(counters(&client, "first", "others/1"), expected(&[("c", -1)]));
    let user = client.get("/databases/first/docs?id=users/1").unwrap().text();
    for part in [
        r#""@counters":["b","Likes","zikes"]"#,
        r#""@flags":"HasCounters""#,
        r#""@id":"Users/1""#,
        // A document keeps the time of the dump.
        r#""@last-modified":"2024-03-01T00:00:00.0000000Z""#,
    ] {
        assert!(user.contains(part), "{part}: {user}");
    }

    // Out and in again, twice, gives the same.
    let dump = exported(&client, "first", "{}");
    assert!(dump.contains(r#""@names":{"b":"b","likes":"Likes","zikes":"zikes"}"#), "{dump}");
    assert!(dump.contains(r#""@vals":{"odd":["x",1]}"#), "what cannot be read comes out as it came: {dump}");
    assert!(dump.contains(r#"{"DocId":"users/1","Values":{"likes":[7,7]}}"#), "{dump}");
    make(&client, "second").unwrap();
    for _ in 0..2 {
        let result = import(&client, "second", dump.as_bytes()).unwrap();
        assert_eq!(result.get("Counters").unwrap().get("ErroredCount"), Some(&Json::from(0_i64)), "{result}");
        assert_eq!(counters(&client, "second", "users/1"), of_user);
    }
    let groups = |dump: &str| dump[dump.find(r#""CounterGroups":"#).unwrap()..].matches("\"DocId\"").count();
    assert_eq!((groups(&dump), groups(&exported(&client, "second", "{}"))), (4, 4));
    // Only what is asked for: the list of names goes with the counters.
    let documents = exported(&client, "first", r#"{"OperateOnTypes":"Documents"}"#);
    assert!(documents.contains("others/1") && !documents.contains("ounters\":[\""), "{documents}");
    assert!(!documents.contains("HasCounters"), "{documents}");
    let others = exported(&client, "first", r#"{"Collections":["Others"]}"#);
    assert!(others.contains(r#""DocId":"others/1""#) && !others.contains("zikes"), "{others}");
    let without = import(&client, "second", b"{\"BuildVersion\":71028,\"CounterGroups\":[]}").unwrap();
    assert_eq!(without.get("Counters").unwrap().get("ReadCount"), Some(&Json::from(0_i64)));
}

/// The rows of an older version have counters of dumps as kept items only. Whoever imports the dump again has them for
/// real, and they are exported once.
#[test]
fn what_an_earlier_version_kept_is_exported_until_it_is_a_counter() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]).unwrap();
    let client = server.client();
    make(&client, "d").unwrap();
    let group = |value: i64| {
        format!(
            r#"{{"DocId":"users/1","Values":{{"@dbIds":["x"],"@names":{{"odd":"Odd"}},"@vals":{{"odd":["x",1],"likes":[{value},1]}}}}}}"#
        )
    };
    let dump = |groups: &str| {
        format!(
            r#"{{"BuildVersion":71028,"Docs":[{{"@metadata":{{"@collection":"Users","@id":"users/1"}}}}],"CounterGroups":[{groups}]}}"#
        )
    };
    import(&client, "d", dump(&group(5)).as_bytes()).unwrap();
    let kept = exported(&client, "d", "{}");
    assert!(
        kept.contains(r#""@vals":{"odd":["x",1]}"#) && kept.contains(r#""@vals":{"likes":[5,"#),
        "{kept}"
    );
    // The counter that was only kept is counted for real.
    let body = r#"{"Documents":[{"DocumentId":"users/1","Operations":[{"Type":"Increment","CounterName":"ODD","Delta":9}]}]}"#;
    client.post("/databases/d/counters", body).unwrap().expect_status(200).unwrap();
    let dump = exported(&client, "d", "{}");
    assert!(!dump.contains(r#"["x",1]"#) && dump.contains(r#""odd":[9,"#), "{dump}");
}

#[test]
fn a_dump_that_is_cut_in_its_counters_says_where() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]).unwrap();
    let client = server.client();
    let begin = DUMP.find("\"CounterGroups\"").unwrap();
    for (number, cut) in [begin + 30, begin + 200, DUMP.len() - 5].into_iter().enumerate() {
        let name = format!("cut-{number}");
        make(&client, &name).unwrap();
        let headers = [("Content-Type", "application/octet-stream")];
        let path = format!("/databases/{name}/smuggler/import");
        let answer = client.send("POST", &path, &headers, Some(&DUMP.as_bytes()[..cut])).unwrap();
        assert_eq!(answer.status, 400, "{}", answer.text());
        let text = answer.text();
        assert!(text.contains("byte") && text.contains("2 Documents"), "{text}");
    }
    make(&client, "broken").unwrap();
    let broken = DUMP.replace("\"likes\":[3,19,-10,4]", "\"likes\":[3,19,-,4]");
    let headers = [("Content-Type", "application/octet-stream")];
    let answer =
        client.send("POST", "/databases/broken/smuggler/import", &headers, Some(broken.as_bytes())).unwrap();
    let (status, text) = (answer.status, answer.text());
    assert!(status == 400 && text.contains("byte"), "{status} {text}");
}

fn increment(client: &Client, id: &str, name: &str) -> bool {
    let body = format!(
        r#"{{"Documents":[{{"DocumentId":"{id}","Operations":[{{"Type":"Increment","CounterName":"{name}","Delta":1}}]}}]}}"#
    );
    client.post("/databases/d/counters", &body).is_ok_and(|answer| answer.status == 200)
}

/// Writers count while the process is killed: what was acknowledged is there, and the names are those of the counters.
#[test]
fn acknowledged_increments_survive_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(data.path(), &[]).unwrap();
    let client = server.client();
    make(&client, "d").unwrap();
    client.put("/databases/d/docs?id=a", "{}").unwrap().expect_status(201).unwrap();
    let acknowledged: Vec<AtomicI64> = (0..4).map(|_| AtomicI64::new(0)).collect();
    thread::scope(|scope| {
        for (number, count) in acknowledged.iter().enumerate() {
            let client = server.client();
            scope.spawn(move || {
                while increment(&client, "a", &format!("c{number}")) {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        while acknowledged.iter().any(|count| count.load(Ordering::SeqCst) < 25) {
            thread::yield_now();
        }
        server.kill().unwrap();
    });
    let server = ServerProcess::start(data.path(), &[]).unwrap();
    let client = server.client();
    let found = counters(&client, "d", "a");
    assert_eq!(found.len(), 4);
    for ((name, value), count) in found.iter().zip(&acknowledged) {
        let count = count.load(Ordering::SeqCst);
        // The last one may have been written without an answer.
        assert!(*value == count || *value == count + 1, "{name}: {value} of {count}");
    }
    let document = client.get("/databases/d/docs?id=a").unwrap().text();
    assert!(document.contains(r#""@counters":["c0","c1","c2","c3"]"#), "{document}");
}

/// How often each writer counts.
const TURNS: i64 = 25;

/// Patches that count, plain increments and patches that set a counter by what they read, all at once.
#[test]
fn patches_and_increments_at_once_lose_nothing() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]).unwrap();
    let client = server.client();
    make(&client, "d").unwrap();
    for id in ["a", "b"] {
        client.put(&format!("/databases/d/docs?id={id}"), "{}").unwrap().expect_status(201).unwrap();
    }
    let patch = |client: &Client, id: &str, script: &str| {
        let body = format!(r#"{{"Patch":{{"Script":"{script}"}}}}"#);
        let path = format!("/databases/d/docs?id={id}");
        client.send("PATCH", &path, &[], Some(body.as_bytes())).unwrap().expect_status(200).unwrap();
    };
    // Only right on the value that it read. The patches of two documents do not wait for each other.
    let double = "let v = counter('a', 'double') || 0; incrementCounter('a', 'double', v + 1)";
    thread::scope(|scope| {
        for work in 0..5 {
            let client = server.client();
            scope.spawn(move || {
                for _ in 0..TURNS {
                    match work {
                        0 => assert!(increment(&client, "a", "all")),
                        1 => patch(&client, "a", "incrementCounter(this, 'all')"),
                        2 => patch(&client, "a", double),
                        3 => patch(&client, "b", double),
                        _ => patch(
                            &client,
                            "a",
                            "this.seen = counter(this, 'all'); incrementCounter(this, 'ALL', 2)",
                        ),
                    }
                }
            });
        }
    });
    assert_eq!(
        counters(&client, "d", "a"),
        expected(&[("all", 4 * TURNS), ("double", (1 << (2 * TURNS)) - 1)])
    );
}
