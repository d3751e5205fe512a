//! What an import only keeps comes out again, once, however often it goes in; and an import that is killed in its middle
//! (SIGKILL) leaves whole documents, of which a second import of the same file makes the whole.

#![cfg(test)]

use magpie_store::json::{self, Json};
use magpie_tests::process::ServerProcess;
use magpie_tests::smuggler::{export, import, make};
use magpie_tests::wire::Client;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Documents of the large dump, some sub-batches of them; each tenth has an attachment, and each a revision.
const DOCUMENTS: usize = 24_000;
const WAIT: Duration = Duration::from_secs(60);

/// A dump without what differs from database to database.
fn comparable(dump: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(dump)
        .replace(&format!("\"DatabaseName\":\"{name}\""), "\"DatabaseName\":\"-\"");
    let vector = regex::Regex::new(r#"A:\d+-[A-Za-z0-9+/]{22}"#).unwrap();
    vector.replace_all(&text, "A:-").into_owned()
}

/// The hash by which dumps name the bytes `hello`.
const HELLO: &str = "Mk3PAn3UowqTLEQfNlol6GsXPe+kuOWJSCU0cbgbcs8=";

/// A dump with something of each kind that Magpie does not work with, and two that nobody knows.
fn rich() -> Vec<u8> {
    let mut dump = br#"{"BuildVersion":71028,"DatabaseRecord":{"DatabaseName":"old","Encrypted":false,"Revisions":{"Default":{"Disabled":false}}},
        "Docs":[{"n":1,"@metadata":{"@collection":"Users","@counters":["likes"],"@flags":"HasRevisions","@id":"u/1","@last-modified":"2024-03-01T00:00:00.0000000Z"}}],
        "RevisionDocuments":[{"@metadata":{"@export-type":"Attachment"},"Hash":"x","Size":5,"Tag":"t"}"#
        .to_vec();
    dump.extend_from_slice(b"]}\"{,");
    for second in [3, 1, 2] {
        dump.extend_from_slice(
            format!(
                r#",{{"n":{second}.0,"@metadata":{{"@collection":"Users","@flags":"Revision","@id":"u/1","@last-modified":"2024-01-01T00:00:0{second}.0000000Z"}}}}"#
            )
            .as_bytes(),
        );
    }
    dump.extend_from_slice(
        br#"],"Conflicts":[{"c":1}],"Indexes":[{"Type":"AutoMap","IndexDefinition":{"Name":"Auto/Users/ByN","MapFields":[{"Name":"n",}]}}],
        "CounterGroups":[{"DocId":"u/1","Values":{"likes":[7,7]}},{"DocId":"u/gone","Values":{}}],
        "Subscriptions":[{"Query":"from Users"}],"TimeSeriesDeletedRanges":[{"DocId":"u/1","Name":"hr"}],
        "TimeSeries":[{"@raven-data":{"DocId":"u/1","Name":"hr"},"@raven-blob-size":4}"#,
    );
    dump.extend_from_slice(&[0, 255, b'}', b','].map(u8::from));
    dump.extend_from_slice(br#"],"ReplicationHubCertificates":[{"r":1}],"Tombstones":[{"t":1}],"Things \" of tomorrow":[{"a":1},[2]]}"#);
    dump
}

#[test]
fn what_is_only_kept_is_counted_and_comes_out_again_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut process = ServerProcess::start(&data, &[]).unwrap();
    make(&process.client(), "first").unwrap();
    let result = import(&process.client(), "first", &rich()).unwrap();
    let kept = result.get("Magpie").unwrap().get("Kept").unwrap();
    for (kind, count) in [
        ("DatabaseRecord", 1_i64),
        ("RevisionDocuments", 3),
        ("Conflicts", 1),
        ("Indexes", 1),
        ("Counters", 2),
        ("Tombstones", 1),
    ] {
        assert_eq!(kept.get(kind), Some(&Json::from(count)), "{kind}: {kept}");
        assert_eq!(result.get(kind).unwrap().get("SkippedCount"), Some(&Json::from(count)), "{kind}");
    }
    let messages = result.get("Messages").unwrap().to_string();
    assert!(messages.contains("3 RevisionDocuments are kept as they are, for exports"), "{messages}");
    assert!(messages.contains("2 items of type 'Things"), "{messages}");
    // It is on disk.
    assert!(process.stop().unwrap());
    let process = ServerProcess::start(&data, &[]).unwrap();
    let client = process.client();
    let dump = export(&client, "first", "{}").unwrap();
    let text = String::from_utf8_lossy(&dump);
    for part in [
        r#""DatabaseRecord":{"DatabaseName":"first","Encrypted":false,"Revisions":{"Default""#,
        r#""Conflicts":[{"c":1}]"#,
        r#""IndexDefinition":{"Name":"Auto/Users/ByN""#,
        // Counters of a document that is not there would be those of nothing.
        r#""CounterGroups":[{"DocId":"u/1","Values":{"likes":[7,7]}}]"#,
        r#""Subscriptions":[{"Query":"from Users"}]"#,
        r#""ReplicationHubCertificates":[{"r":1}]"#,
        r#""Tombstones":[{"t":1}]"#,
        r#""Things \" of tomorrow":["#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"));
    assert!(place("\"Tag\":\"t\"}]}\"{,") < place("\"n\":1.0"), "bytes come before what names them");
    assert!(
        place("\"n\":1.0") < place("\"n\":2.0") && place("\"n\":2.0") < place("\"n\":3.0"),
        "revisions are in order"
    );
    assert!(dump.windows(25).any(|part| part == b"\"@raven-blob-size\":4}\0\xff},"), "raw bytes are whole");
    // Twice in is once out; what came out goes in and out as it is.
    import(&client, "first", &rich()).unwrap();
    assert_eq!(comparable(&export(&client, "first", "{}").unwrap(), "first"), comparable(&dump, "first"));
    make(&client, "second").unwrap();
    import(&client, "second", &dump).unwrap();
    assert_eq!(comparable(&export(&client, "second", "{}").unwrap(), "second"), comparable(&dump, "first"));
    // Only what is asked for.
    let documents = export(&client, "second", r#"{"OperateOnTypes":"Documents"}"#).unwrap();
    let documents = String::from_utf8_lossy(&documents);
    assert!(documents.contains("\"u/1\"") && documents.contains("\"RevisionDocuments\":[]"), "{documents}");
    assert!(!documents.contains("tomorrow") || documents.contains("tomorrow\":[]"), "{documents}");
}

#[test]
fn a_script_changes_documents_on_their_way_or_leaves_them_out() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServerProcess::start(&folder.path().join("data"), &[]).unwrap();
    let client = process.client();
    let dump = br#"{"BuildVersion":71000,"Docs":[{"n":1.50,"s":"x","@metadata":{"@id":"a/1","@collection":"As"}},{"n":2,"@metadata":{"@id":"a/2","@collection":"As"}}]}"#;
    let with = |name: &str, script: &str| {
        make(&client, name).unwrap();
        let options = json::Object::from_iter([("TransformScript", Json::from(script))]);
        let options: String =
            Json::from(options).to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
        let path = format!("/databases/{name}/smuggler/import?importOptions={options}");
        client.send("POST", &path, &[("Content-Type", "application/octet-stream")], Some(dump)).unwrap()
    };
    let changed =
        with("one", "if (this.n === 2) throw 'skip'; this.s = id(this); this.q = startsWith(this.s, 'A/');");
    let counts = changed.expect_status(200).unwrap().json().unwrap();
    let documents = counts.get("Documents").unwrap();
    assert_eq!(
        (documents.get("ReadCount"), documents.get("SkippedCount")),
        (Some(&2_i64.into()), Some(&1_i64.into()))
    );
    let found = client.get("/databases/one/docs?id=a/1&id=a/2").unwrap().text();
    assert!(found.contains(r#"{"n":1.50,"s":"a/1","q":true,"#) && found.contains("},null]"), "{found}");
    // Nothing else is possible, and nothing is half done.
    assert_eq!(with("two", "this.x = ").status, 400);
    let refused = with("three", "put('b/1', {})");
    assert!(
        refused.status == 400 && refused.text().contains("load(), put() and del()"),
        "{}",
        refused.text()
    );
    for name in ["two", "three"] {
        assert!(
            client
                .get(&format!("/databases/{name}/stats"))
                .unwrap()
                .text()
                .contains(r#""CountOfDocuments":0"#)
        );
    }
    // On the way out likewise.
    let dump =
        export(&client, "one", r#"{"TransformScript":"delete this.q; this['@metadata'].Seen = true"}"#)
            .unwrap();
    let text = String::from_utf8_lossy(&dump);
    assert!(
        text.contains(r#"{"n":1.50,"s":"a/1","@metadata":{"#) && text.contains(r#""Seen":true"#),
        "{text}"
    );
    let check = |body: &str| client.post("/databases/one/smuggler/validate-options", body).unwrap().status;
    assert_eq!(
        (check(r#"{"TransformScript":"this.x = 1"}"#), check("{}"), check(r#"{"TransformScript":"x ="}"#)),
        (204, 204, 400)
    );
}

fn large() -> Vec<u8> {
    let mut dump = br#"{"BuildVersion":71000,"Docs":["#.to_vec();
    for number in 0..DOCUMENTS {
        if number > 0 {
            dump.push(b',');
        }
        let mut attachments = String::new();
        if number % 10 == 0 {
            dump.extend_from_slice(format!(r#"{{"@metadata":{{"@export-type":"Attachment"}},"Hash":"{HELLO}","Size":5,"Tag":"t"}}hello,"#).as_bytes());
            attachments =
                format!(r#""@attachments":[{{"Name":"a","Hash":"{HELLO}","ContentType":"","Size":5}}],"#);
        }
        let text = format!(
            r#"{{"n":{number},"fill":"{}","@metadata":{{"@collection":"Ds","@id":"d/{number}",{attachments}"@last-modified":"2024-01-01T00:00:00.0000000Z"}}}}"#,
            "x".repeat(200)
        );
        dump.extend_from_slice(text.as_bytes());
    }
    dump.extend_from_slice(br#"],"RevisionDocuments":["#);
    let revisions: Vec<String> = (0..DOCUMENTS)
        .map(|number| format!(r#"{{"n":{number},"@metadata":{{"@id":"d/{number}"}}}}"#))
        .collect();
    dump.extend_from_slice(revisions.join(",").as_bytes());
    dump.extend_from_slice(br#"],"Identities":[{"Key":"ds|","Value":"77"}],"CompareExchange":[{"Key":"k","Value":"{\"Object\":1}"}]}"#);
    dump
}

fn number(client: &Client, name: &str, key: &str) -> u64 {
    let stats =
        client.get(&format!("/databases/{name}/stats")).unwrap().expect_status(200).unwrap().json().unwrap();
    u64::try_from(stats.get(key).unwrap().as_i64().unwrap()).unwrap()
}

/// The ids of all documents, each checked to be whole.
fn whole_documents(client: &Client, name: &str) -> BTreeSet<String> {
    let page =
        client.get(&format!("/databases/{name}/docs?start=0&pageSize=1000000")).unwrap().json().unwrap();
    let documents = page.get("Results").unwrap().as_array().unwrap();
    let ids = documents.iter().map(|document| {
        assert_eq!(document.get("fill").and_then(Json::as_str).map(str::len), Some(200), "{document}");
        let metadata = document.get("@metadata").unwrap();
        let id = metadata.get("@id").unwrap().as_str().unwrap().to_owned();
        let has = document.get("n").unwrap().as_i64().unwrap() % 10 == 0;
        assert_eq!(metadata.get("@attachments").is_some(), has, "{document}");
        id
    });
    let ids: BTreeSet<String> = ids.collect();
    assert_eq!(ids.len(), documents.len(), "none is there twice");
    ids
}

#[test]
fn a_killed_import_leaves_whole_documents_and_a_second_one_completes_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let dump = large();
    // Cut among the documents, and among what is only kept.
    for (name, percent) in [("early", 40), ("late", 92)] {
        let mut process = ServerProcess::start(&data, &[]).unwrap();
        let client = process.client();
        make(&client, name).unwrap();
        let mut stream = TcpStream::connect(process.url().trim_start_matches("http://")).unwrap();
        let head = format!(
            "POST /databases/{name}/smuggler/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            dump.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&dump[..dump.len() * percent / 100]).unwrap();
        let until = Instant::now() + WAIT;
        while number(&client, name, "CountOfDocuments") < 1000 {
            assert!(Instant::now() < until, "the import gets on");
        }
        process.kill().unwrap();
        drop(stream);

        let process = ServerProcess::start(&data, &[]).unwrap();
        let client = process.client();
        let (count, etag) = (number(&client, name, "CountOfDocuments"), number(&client, name, "LastDocEtag"));
        let there = whole_documents(&client, name);
        assert_eq!((there.len() as u64, etag), (count, count), "what is counted is what is there");
        assert!(count >= 1000, "what was seen is there after the kill: {count}");
        // They came in order, so they are the first ones.
        assert!((0..there.len()).all(|number| there.contains(&format!("d/{number}"))), "no gaps");
        if count > 0 {
            let attachment = client.get(&format!("/databases/{name}/attachments?id=d/0&name=a")).unwrap();
            assert_eq!(attachment.expect_status(200).unwrap().text(), "hello");
        }
        import(&client, name, &dump).unwrap();
        assert_eq!(whole_documents(&client, name).len(), DOCUMENTS);
        assert_eq!(number(&client, name, "CountOfAttachments"), (DOCUMENTS / 10) as u64);
        assert_eq!(number(&client, name, "CountOfUniqueAttachments"), 1);
        let text =
            export(&client, name, r#"{"OperateOnTypes":"RevisionDocuments,Identities,CompareExchange"}"#)
                .unwrap();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(text.matches("\"@metadata\"").count(), DOCUMENTS, "what is only kept is there once");
        assert!(text.contains(r#"{"Key":"ds|","Value":"77"}"#) && text.matches("\"Key\":\"k\"").count() == 1);
    }
}
