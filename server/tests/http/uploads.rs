//! Streamed uploads: bulk insert and NDJSON, well-behaved and not.

use crate::client::{TestServer, read_answer, start, start_with, write_chunk};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

const DOCS: &str = "/databases/db/docs";
const NDJSON: &str = "/databases/db/docs/ndjson";

fn count(server: &TestServer) -> i64 {
    server.get("/databases/db/stats").expect(200).int_at("CountOfDocuments")
}

fn put(id: &str) -> String {
    format!(r#"{{"Id":"{id}","Type":"PUT","Document":{{"n":"}}]\"","@metadata":{{"@collection":"B"}}}}}}"#)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_bulk_insert_is_answered_although_its_body_never_ends() {
    let server = start();
    let mut stream =
        server.open("POST", "/databases/db/bulk_insert?id=7&skipOverwriteIfUnchanged=false", &[]);
    let text = format!("[{},{{\"Type\":\"HeartBeat\"}},{}]", put("b/1"), put("b/2"));
    for piece in text.as_bytes().chunks(13) {
        write_chunk(&mut stream, piece);
    }
    let answer = read_answer(&mut stream, "POST").expect(201);
    assert_eq!(answer.header("content-length"), Some("0"));
    assert_eq!(answer.header("connection"), Some("close"));
    server.get(&format!("{DOCS}?id=b/1&id=b/2")).expect(200);
    let state = server.get("/databases/db/operations/state?id=7").expect(200);
    assert_eq!((state.str_at("Status").as_str(), state.int_at("Result/Total")), ("Completed", 2));
}

#[test]
fn a_bulk_insert_carries_attachments() {
    let server = start();
    let attachment =
        r#"{"Id":"b/1","Type":"AttachmentPUT","Name":"f","ContentType":"t/x","ContentLength":4}"#;
    let text = format!("[{},{attachment}]}},{{,{}]", put("b/1"), put("b/2"));
    server.post("/databases/db/bulk_insert?id=7", &text).expect(201);
    assert_eq!(count(&server), 2);
    let stats = server.get("/databases/db/stats").expect(200);
    assert_eq!(stats.int_at("CountOfAttachments"), 1);
    let answer = server.get("/databases/db/attachments?id=b/1&name=f").expect(200);
    assert_eq!((answer.header("content-type"), answer.header("attachment-size")), (Some("t/x"), Some("4")));
}

#[test]
fn a_compressed_bulk_insert_needs_no_end_of_its_stream() {
    let server = start();
    let mut stream = server.open("POST", "/databases/db/bulk_insert?id=8", &[("Content-Encoding", "gzip")]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for piece in ["[", &put("b/1"), ",", &put("b/2"), "]"] {
        encoder.write_all(piece.as_bytes()).unwrap();
        encoder.flush().unwrap();
        write_chunk(&mut stream, &std::mem::take(encoder.get_mut()));
    }
    read_answer(&mut stream, "POST").expect(201);
    assert_eq!(count(&server), 2);
}

#[test]
fn a_bulk_insert_with_many_documents_is_written_in_parts_and_whole() {
    let server = start();
    let all: Vec<String> = (0..5000).map(|n| put(&format!("b/{n}"))).collect();
    let text = format!("[{}]", all.join(","));
    server.post("/databases/db/bulk_insert?id=9", &text).expect(201);
    assert_eq!(count(&server), 5000);
}

#[test]
fn a_client_that_pauses_has_its_documents_written_meanwhile() {
    let server = start();
    let mut stream = server.open("POST", "/databases/db/bulk_insert?id=10", &[]);
    write_chunk(&mut stream, format!("[{},", put("b/1")).as_bytes());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while count(&server) == 0 {
        assert!(std::time::Instant::now() < deadline, "it was not written");
    }
    // A kill ends it, although the client says nothing.
    server.post("/databases/db/operations/kill?id=10", "").expect(204);
    read_answer(&mut stream, "POST").expect(500);
    let state = server.get("/databases/db/operations/state?id=10").expect(200);
    assert_eq!(state.str_at("Status"), "Canceled");
    assert_eq!(count(&server), 1);
}

#[test]
fn lines_that_trickle_in_are_written_meanwhile() {
    let server = start();
    let mut stream = server.open("POST", "/databases/db/docs/ndjson?collection=Es&onError=skip", &[]);
    for n in 1..=3 {
        write_chunk(&mut stream, format!("{{\"id\":\"e/{n}\"}}\n").as_bytes());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while count(&server) < n {
            assert!(std::time::Instant::now() < deadline, "line {n} was not written");
        }
    }
    write_chunk(&mut stream, b"");
    assert_eq!(read_answer(&mut stream, "POST").expect(201).int_at("Inserted"), 3);
}

#[test]
fn a_bad_bulk_insert_fails_and_its_operation_says_why() {
    let server = start();
    let cases = [
        (
            format!("[{},{{\"Id\":\"b/4\",\"Type\":\"NOPE\"}}]", put("b/3")),
            "Element 2: Invalid command type: NOPE",
        ),
        ("[{\"Id\":\"b/5\",\"Type\":\"PUT\"}]".to_owned(), "Element 1: PUT command must have a 'Document'"),
        ("{\"Id\":1}".to_owned(), "'[' expected at byte 1"),
        (format!("[{},{{\"Id\":}}]", put("b/6")), "Element 2: invalid JSON at line 1, column 7"),
        (format!("[{},", put("b/7")), "the body ended before the array's ']', behind 1 elements"),
    ];
    for (number, (text, words)) in cases.into_iter().enumerate() {
        let failed = server.post(&format!("/databases/db/bulk_insert?id={number}"), &text).expect(400);
        assert_eq!(failed.str_at("Type"), "System.InvalidOperationException");
        let message = failed.str_at("Message");
        assert!(
            message.starts_with("Failed to process bulk insert. Inserted 0 items in 0 batches."),
            "{message}"
        );
        assert!(message.contains(words), "{message}");
        let state = server.get(&format!("/databases/db/operations/state?id={number}")).expect(200);
        assert_eq!(state.str_at("Status"), "Faulted");
        assert!(state.str_at("Result/Error").contains(words));
    }
    assert_eq!(count(&server), 0);
    server.post("/databases/db/bulk_insert", "[]").expect(400);
    server.get("/databases/db/operations/state?id=99").expect(404);
    server.post("/databases/db/operations/kill?id=99", "").expect(400);
}

#[test]
fn a_client_that_breaks_off_leaves_what_was_written() {
    let server = start();
    let mut stream = server.open("POST", "/databases/db/bulk_insert?id=11", &[]);
    write_chunk(&mut stream, format!("[{},{{\"Id\":\"b/2\",\"Ty", put("b/1")).as_bytes());
    while count(&server) == 0 {}
    drop(stream);
    while server.get("/databases/db/operations/state?id=11").str_at("Status") == "InProgress" {}
    assert_eq!(count(&server), 1);
}

#[test]
fn lines_are_all_written_or_none() {
    let server = start();
    let good = "{\"id\":\"e/1\",\"n\":1}\r\n\n{\"n\":2}\n{\"id\":\"e/3\"}";
    let answer = server.post(&format!("{NDJSON}?collection=Events"), good).expect(201);
    assert_eq!((answer.int_at("Inserted"), answer.int_at("Failed")), (3, 0));
    assert_eq!(answer.int_at("Magpie/LastEtag"), 3);
    assert_eq!(server.get(&format!("{DOCS}?id=e/1")).str_at("Results/0/@metadata/@collection"), "Events");

    let bad = "{\"id\":\"e/4\"}\n{\"id\":\"e/5\"}\n{\"id\":}\n";
    let refused = server.post(&format!("{NDJSON}?collection=Events"), bad).expect(400);
    assert!(refused.str_at("Message").starts_with("line 3: column 7:"), "{}", refused.text());
    assert_eq!(count(&server), 3);

    let mismatch = "{\"id\":\"e/6\"}\n{\"id\":\"e/1\"}";
    server.post(&format!("{NDJSON}?collection=Other"), mismatch).expect(400);
    assert_eq!(count(&server), 3);
    server.post(&format!("{NDJSON}?onError=maybe"), "{}").expect(400);
}

#[test]
fn good_lines_are_kept_and_bad_ones_listed() {
    let server = start();
    server.put(&format!("{DOCS}?id=taken"), "{\"@metadata\":{\"@collection\":\"Other\"}}").expect(201);
    let mut text = String::new();
    for line in 1..=3000 {
        text.push_str(&match line {
            7 => "{\"type\":\"A\"".to_owned(),
            1500 => "{\"id\":\"taken\",\"type\":\"A\"}".to_owned(),
            2000 => "{\"id\":\"x\"}".to_owned(),
            _ => format!("{{\"id\":\"e/{line}\",\"type\":\"T{}\"}}", line % 2),
        });
        text.push('\n');
    }
    let url = format!("{NDJSON}?collectionFrom=type&onError=skip");
    let answer =
        server.send("POST", &url, &[("Content-Encoding", "gzip")], &gzip(text.as_bytes())).expect(201);
    assert_eq!((answer.int_at("Inserted"), answer.int_at("Failed")), (2997, 3));
    let errors = answer.at("Errors");
    let lines: Vec<i64> =
        errors.as_array().unwrap().iter().map(|error| error.get("Line").unwrap().as_i64().unwrap()).collect();
    assert_eq!(lines, [7, 1500, 2000]);
    assert!(answer.str_at("Errors/1/Message").starts_with("Changing 'taken' from 'Other' to 'A'"));
    assert_eq!(count(&server), 2998);
    let collections = server.get("/databases/db/collections/stats").expect(200);
    assert_eq!(collections.int_at("Collections/T0") + collections.int_at("Collections/T1"), 2997);
}

#[test]
fn an_upload_beyond_the_transaction_limit_is_refused_by_name() {
    let server = start_with(|config| config.limits.upload_transaction_bytes_max = 10_000);
    let text: String = (0..1000).map(|n| format!("{{\"id\":\"e/{n}\",\"text\":\"some text\"}}\n")).collect();
    let refused = server.post(&format!("{NDJSON}?collection=E"), &text).expect(413);
    assert_eq!(refused.str_at("Limit"), "upload_transaction_bytes_max");
    assert!(refused.str_at("Message").contains("onError=skip"));
    assert_eq!(count(&server), 0);
    let answer = server.post(&format!("{NDJSON}?collection=E&onError=skip"), &text).expect(201);
    assert_eq!(answer.int_at("Inserted"), 1000);
}

#[test]
fn a_truncated_upload_writes_nothing_unless_it_may_skip() {
    let server = start();
    let text: String = (0..100).map(|n| format!("{{\"id\":\"e/{n}\"}}\n")).collect();
    let whole = gzip(text.as_bytes());
    let cut = &whole[..whole.len() - 4];
    for mode in ["abort", "skip"] {
        let url = format!("{NDJSON}?collection=E&onError={mode}");
        let refused = server.send("POST", &url, &[("Content-Encoding", "gzip")], cut).expect(400);
        assert!(refused.str_at("Message").contains("it is cut off or damaged"), "{}", refused.text());
        assert_eq!(count(&server), if mode == "abort" { 0 } else { 100 });
    }
    // A connection that breaks in the middle: nobody is there to be answered, nothing is written.
    let mut stream = server.open("POST", &format!("{NDJSON}?collection=E"), &[]);
    write_chunk(&mut stream, b"{\"id\":\"broken/1\"}\n{\"id\":");
    drop(stream);
    server.get(&format!("{DOCS}?id=broken/1")).expect(404);
}
