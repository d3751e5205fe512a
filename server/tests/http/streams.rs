//! Streams of queries and documents: whole, in both formats, beyond what an answer may hold, broken off by either side.

use crate::client::{Answer, TestServer, read_answer, start};
use magpie_store::json::{Json, parse};
use std::fmt::Write;
use std::io::{Read, Write as _};

const QUERIES: &str = "/databases/db/streams/queries";

/// `count` documents of `C` with a number and `bytes` bytes of text.
fn fill(server: &TestServer, count: usize, bytes: usize) {
    for start in (0..count).step_by(500) {
        let mut lines = String::new();
        for n in start..count.min(start + 500) {
            let text = "x".repeat(bytes);
            writeln!(
                lines,
                r#"{{"n":{n},"text":"{text}","@metadata":{{"@id":"c/{n:06}","@collection":"C"}}}}"#
            )
            .unwrap();
        }
        server.post("/databases/db/docs/ndjson", &lines).expect(201);
    }
}

/// The body without the framing of chunks, and whether it has an end.
fn unchunked(answer: &Answer) -> (Vec<u8>, bool) {
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "{}", answer.text());
    let (mut rest, mut body) = (answer.body.as_slice(), Vec::new());
    loop {
        let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") else { return (body, false) };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let start = at + 2;
        if rest.len() < start + size + 2 {
            return (body, false);
        }
        body.extend_from_slice(&rest[start..start + size]);
        rest = &rest[start + size + 2..];
    }
}

fn whole(answer: &Answer) -> String {
    let (body, ended) = unchunked(answer);
    assert!(ended, "the stream has no end");
    String::from_utf8(body).unwrap()
}

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| parse(line.as_bytes()).unwrap()).collect()
}

fn query(server: &TestServer, format: &str, query: &str) -> Answer {
    server.post(&format!("{QUERIES}{format}"), &format!(r#"{{"Query":"{query}","QueryParameters":{{}}}}"#))
}

#[test]
fn a_stream_has_the_rows_of_the_query_behind_its_counts() {
    let server = start();
    fill(&server, 1200, 10);
    for (text, rows) in [
        ("from C", 1200),
        ("from C where n < 700", 700),
        ("from C where n >= 1190 order by n as long desc", 10),
        ("from C where n < 700 limit 5, 20", 20),
        ("from C where n < 0", 0),
        ("from C where n < 3 select n", 3),
    ] {
        let body = format!(r#"{{"Query":"{text}","QueryParameters":{{}}}}"#);
        let asked = server.post("/databases/db/queries", &body).expect(200);
        let Json::Array(mut wanted) = asked.at("Results") else { panic!("no array") };
        // Unlike an answer, a stream may be long, so it has no room for scores.
        for row in &mut wanted {
            if let Json::Object(row) = row
                && let Some(Json::Object(metadata)) = row.get_mut("@metadata")
            {
                metadata.remove("@index-score");
            }
        }
        let streamed = lines(&whole(&query(&server, "?format=jsonl", text).expect(200)));
        let stats = streamed[0].get("Stats").unwrap();
        assert_eq!(stats.get("TotalResults"), Some(&asked.at("TotalResults")), "{text}");
        assert_eq!(stats.get("IndexName"), Some(&asked.at("IndexName")), "{text}");
        let items: Vec<Json> = streamed[1..].iter().map(|line| line.get("Item").unwrap().clone()).collect();
        assert_eq!(items.len(), rows, "{text}");
        assert_eq!(items, wanted, "{text}");
        let old = parse(whole(&query(&server, "", text).expect(200)).as_bytes()).unwrap();
        assert_eq!(old.get("Results"), Some(&Json::Array(wanted)), "{text}");
    }
}

#[test]
fn documents_stream_by_prefix_and_page() {
    let server = start();
    fill(&server, 30, 1);
    let ids = |path: &str| -> Vec<String> {
        let streamed = lines(&whole(&server.get(&format!("/databases/db/streams/docs?format=jsonl{path}"))));
        let id = |row: &Json| row.get("@metadata").unwrap().get("@id").unwrap().as_str().unwrap().to_owned();
        streamed.iter().map(id).collect()
    };
    assert_eq!(ids("&startsWith=c/00002").len(), 10);
    assert_eq!(ids("&startsWith=c/&start=3&pageSize=2"), ["c/000003", "c/000004"]);
    assert_eq!(ids("&startsWith=c/&startAfter=c/000027"), ["c/000028", "c/000029"]);
    assert_eq!(ids("&startsWith=c/&matches=*5|*7&exclude=*17").len(), 5);
    assert_eq!(ids("&startsWith=nothing/"), Vec::<String>::new());
    assert_eq!(ids("&pageSize=1"), ["c/000029"]);
}

#[test]
fn a_stream_may_be_larger_than_an_answer() {
    let server = start();
    // 160 MB, where an answer may hold 128.
    fill(&server, 1600, 100_000);
    let whole_answer = server.post("/databases/db/queries", r#"{"Query":"from C"}"#).expect(400);
    assert!(whole_answer.text().contains("answer_bytes_max"), "{}", whole_answer.text());
    let streamed = whole(&query(&server, "?format=jsonl", "from C").expect(200));
    assert_eq!(streamed.lines().count(), 1601);
    assert!(streamed.len() > 160_000_000);
}

#[test]
fn clients_that_go_away_leave_their_places() {
    let server = start();
    fill(&server, 2000, 5000);
    // More than run at a time.
    for _ in 0..40 {
        let mut stream = server.connect();
        let body = r#"{"Query":"from C"}"#;
        write!(
            stream,
            "POST {QUERIES}?format=jsonl HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut first = [0; 20];
        stream.read_exact(&mut first).unwrap();
        assert!(first.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(whole(&query(&server, "?format=jsonl", "from C").expect(200)).lines().count(), 2001);
}

#[test]
fn what_fails_before_the_first_row_has_a_status_and_later_no_end() {
    let server = start();
    fill(&server, 300, 1000);
    for (format, text, status, kind) in [
        ("?format=jsonl", "from C where", 400, "ParseException"),
        ("?format=jsonl", "from C include n", 400, "NotSupportedException"),
        ("?format=excel", "from C", 400, "ArgumentException"),
    ] {
        let answer = query(&server, format, text).expect(status);
        assert!(answer.str_at("Type").ends_with(kind), "{text}: {}", answer.text());
    }
    let answer = query(&server, "", "from index 'No'").expect(404);
    assert_eq!(answer.str_at("Error"), "Index No does not exist");
    let mut stream = server.open("HEAD", QUERIES, &[]);
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream, "HEAD").status, 200);
    // The last document has text where all others have a number.
    server.put("/databases/db/docs?id=c/last", r#"{"n":"x","@metadata":{"@collection":"C"}}"#).expect(201);
    let answer = query(&server, "?format=jsonl", "from C select n + 1 as m").expect(200);
    let (body, ended) = unchunked(&answer);
    assert!(!ended, "a part must not look whole");
    let streamed = lines(std::str::from_utf8(&body).unwrap());
    assert_eq!(streamed.len(), 302);
    assert!(streamed[301].get("Error").and_then(Json::as_str).unwrap().contains("c/last"));
    let old = unchunked(&query(&server, "", "from C select n + 1 as m").expect(200)).0;
    assert!(parse(&old).unwrap().get("Error").is_some());
}
