//! The edge itself: handshake, errors, routes, databases, indexes and queries end to end, stopping.

use crate::client::{read_answer, start, start_in};
use magpie_server::{Config, DataFolderError, Server, StartError};
use std::io::{Read, Write};

#[test]
fn the_handshake_answers_what_clients_ask_first() {
    let server = start();
    let topology = server.get("/topology?name=DB&first-topology-update").expect(200);
    assert_eq!(topology.str_at("Nodes/0/Url"), "http://localhost");
    let host = server.address.to_string();
    let topology = server.send("GET", "/topology?name=db", &[("Host", &host)], b"").expect(200);
    assert_eq!(topology.str_at("Nodes/0/Url"), format!("http://{host}"));
    assert_eq!(server.get("/cluster/topology").expect(200).str_at("Leader"), "A");
    assert_eq!(server.get("/build/version").expect(200).str_at("FullVersion"), "7.1.5");
    server.get("/databases/db/healthcheck").expect(204);
    assert!(server.get("/databases/db/configuration/client").expect(200).at("Configuration").is_null());
}

#[test]
fn unknown_databases_and_routes_have_their_own_errors() {
    let server = start();
    let missing = server.get("/topology?name=nope").expect(503);
    assert_eq!(missing.header("database-missing"), Some("nope"));
    let missing = server.get("/databases/nope/docs?id=1").expect(500);
    assert_eq!(missing.str_at("Type"), "Raven.Client.Exceptions.Database.DatabaseDoesNotExistException");
    assert_eq!(missing.header("database-missing"), None);
    let client = [("Raven-Client-Version", "7.2.7")];
    let missing = server.send("GET", "/databases/nope/docs?id=1", &client, b"").expect(500);
    assert_eq!(missing.header("database-missing"), Some("nope"));
    assert_eq!(server.get("/admin/databases?name=nope").expect(404).header("database-missing"), Some("nope"));
    for (method, path) in [
        ("GET", "/nope"),
        ("GET", "/databases/db/nope"),
        ("POST", "/databases/db/stats"),
        ("BREW", "/databases/db/indexes"),
    ] {
        let missing = server.send(method, path, &[], b"").expect(400);
        assert_eq!(missing.str_at("Type"), "Raven.Client.Exceptions.Routing.RouteNotFoundException");
        assert_eq!(missing.str_at("Message"), format!("There is no handler for path: {method} {path}"));
    }
}

#[test]
fn foreign_hosts_and_web_pages_are_refused() {
    let server = start();
    server.send("GET", "/databases", &[("Host", "evil.example:8080")], b"").expect(403);
    server.send("GET", "/databases", &[("Host", "127.0.0.1:8080")], b"").expect(200);
    server.send("GET", "/databases", &[("Origin", "http://evil.example")], b"").expect(403);
    server.send("GET", "/databases", &[("Origin", "http://localhost")], b"").expect(200);
}

#[test]
fn databases_come_and_go_and_outlive_a_restart() {
    let server = start();
    let create = |name: &str, id: &str| {
        server.put(
            &format!("/admin/databases?name={name}&replicationFactor=1&?raft-request-id={id}"),
            &format!("{{\"DatabaseName\":\"{name}\"}}"),
        )
    };
    assert_eq!(create("Other", "1").expect(201).str_at("Name"), "Other");
    create("Other", "1").expect(201);
    assert_eq!(create("other", "2").expect(409).str_at("Message"), "Database 'other' already exists!");
    assert_eq!(
        create("a%2Fb", "3").expect(400).str_at("Type"),
        "Raven.Client.Exceptions.BadRequestException"
    );
    server.put("/databases/OTHER/docs?id=x", "{\"v\":1}").expect(201);
    server.post("/admin/databases/disable", r#"{"DatabaseNames":["other"]}"#).expect(200);
    server.get("/databases/other/docs?id=x").expect(503);

    let server = server.restart();
    server.get("/databases/other/docs?id=x").expect(503);
    server.post("/admin/databases/enable", r#"{"DatabaseNames":["other"]}"#).expect(200);
    assert_eq!(server.get("/databases/other/docs?id=x").int_at("Results/0/v"), 1);
    let names = server.get("/databases?start=0&pageSize=20&namesOnly=true").expect(200).text();
    assert_eq!(names, r#"{"Databases":["db","Other"]}"#);

    let delete = r#"{"DatabaseNames":["other","never"],"HardDelete":true}"#;
    server.send("DELETE", "/admin/databases", &[], delete.as_bytes()).expect(200);
    server.get("/databases/other/docs?id=x").expect(500);
    server.put("/admin/databases?name=other", r#"{"DatabaseName":"other"}"#).expect(201);
    server.get("/databases/other/docs?id=x").expect(404);
}

#[test]
fn an_index_folds_events_and_a_query_reads_it() {
    let server = start();
    let index = r#"{"Indexes":[{"Name":"Jobs/Totals","Maps":["map('Jobs', j => ({ user: j.user, seconds: j.seconds }))"],
        "Reduce":"groupBy(x => x.user).aggregate(g => ({ user: g.key, seconds: g.values.reduce((s, v) => s + v.seconds, 0) }))"}]}"#;
    server.put("/databases/db/admin/indexes?raft-request-id=1", index).expect(201);
    let lines =
        "{\"user\":\"a\",\"seconds\":3}\n{\"user\":\"b\",\"seconds\":5}\n{\"user\":\"a\",\"seconds\":4}\n";
    server.post("/databases/db/docs/ndjson?collection=Jobs", lines).expect(201);
    let query = r#"{"Query":"from index 'jobs/totals' where user = $u","QueryParameters":{"u":"a"},"WaitForNonStaleResults":true,"WaitForNonStaleResultsTimeout":15000}"#;
    let answer = server.post("/databases/db/queries?queryHash=1", query).expect(200);
    assert_eq!((answer.int_at("TotalResults"), answer.int_at("Results/0/seconds")), (1, 7));
    assert_eq!(answer.at("IsStale").as_bool(), Some(false));
    assert_eq!(answer.int_at("Magpie/AsOfEtag"), 3);
    let etag = answer.header("etag").unwrap().to_owned();
    assert_eq!(etag, answer.int_at("ResultEtag").to_string());
    let quoted = format!("\"{etag}\"");
    server.send("POST", "/databases/db/queries", &[("If-None-Match", &quoted)], query.as_bytes()).expect(304);

    let definition = server.get("/databases/db/indexes?name=JOBS/totals").expect(200);
    assert_eq!(definition.str_at("Results/0/Type"), "JavaScriptMapReduce");
    assert_eq!(
        server.post("/databases/db/queries", r#"{"Query":"from index 'Nope'"}"#).expect(404).body,
        b""
    );
    let terms = server.get("/databases/db/indexes/terms?name=Jobs/Totals&field=user").expect(200);
    assert_eq!(terms.at("Terms").to_string(), r#"["a","b"]"#);
    server.send("RESET", "/databases/db/indexes?name=Jobs/Totals", &[], b"").expect(204);
    let again = server.post("/databases/db/queries", query).expect(200);
    assert_eq!(again.int_at("Results/0/seconds"), 7);
    server.send("DELETE", "/databases/db/indexes?name=Jobs/Totals", &[], b"").expect(204);
    server.send("DELETE", "/databases/db/indexes?name=Jobs/Totals", &[], b"").expect(404);
}

#[test]
fn malformed_definitions_and_queries_say_what_is_wrong() {
    let server = start();
    let put = |body: &str| server.put("/databases/db/indexes", body).expect(400);
    assert_eq!(put(r#"{"Indexes":[{}]}"#).str_at("Message"), "Index must have a 'Maps' fields");
    assert_eq!(put("{}").str_at("Type"), "System.ArgumentException");
    let bad =
        put(r#"{"Indexes":[{"Name":"A","Maps":["map('X', x => x)"],"Fields":{"a":{"Indexing":"Nope"}}}]}"#);
    assert_eq!(bad.str_at("Type"), "System.FormatException");
    let bad = put(r#"{"Indexes":[{"Name":"A","Maps":["map('X', x => {"]}]}"#);
    assert_eq!(bad.str_at("Type"), "Jint.Runtime.JavaScriptException");
    let query = |body: &str| server.post("/databases/db/queries", body);
    assert_eq!(query("{}").expect(400).str_at("Type"), "System.InvalidOperationException");
    let syntax = query(r#"{"Query":"from Users where"}"#).expect(400);
    assert_eq!(syntax.str_at("Type"), "Raven.Server.Documents.Queries.Parser.QueryParser+ParseException");
    query(r#"{"Query":"from Users","WaitForNonStaleResults":true,"WaitForNonStaleResultsTimeout":"soon"}"#)
        .expect(400);
    server
        .post("/databases/db/indexes/set-priority", r#"{"IndexNames":["Nope"],"Priority":"Low"}"#)
        .expect(400);
}

/// A list of names that is none must not mean all, or nothing.
#[test]
fn names_that_are_no_text_are_refused() {
    let server = start();
    for names in [r#"[{"a":1}]"#, "[1]", "[null]"] {
        let body = format!(r#"{{"IndexNames":{names},"Mode":"Unlock"}}"#);
        let refused = server.post("/databases/db/indexes/set-lock", &body).expect(400);
        assert!(refused.str_at("Type").ends_with("IndexDoesNotExistException"), "{names}");
    }
    for collections in [r#""Users""#, "[1]", "{}"] {
        let body = format!(r#"{{"Collections":{collections}}}"#);
        let refused = server.post("/databases/db/smuggler/export", &body).expect(400);
        assert!(refused.str_at("Message").contains("'Collections'"), "{collections}");
    }
    let body = r#"{"DatabaseNames":["db",7],"HardDelete":true}"#;
    server.send("DELETE", "/admin/databases", &[], body.as_bytes()).expect(400);
    server.get("/databases/db/stats").expect(200);
}

#[test]
fn a_stop_lets_requests_in_flight_finish_and_keeps_everything() {
    let mut server = start();
    let mut stream = server.connect();
    let head = "PUT /databases/db/docs?id=x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // The handler asks for the body, so it is at work.
    let mut ready = [0; 25];
    stream.read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"HTTP/1.1 100 Continue\r\n\r\n");
    let address = server.address;
    let folder = std::mem::replace(&mut server.folder, tempfile::tempdir().unwrap());
    let stopper = std::thread::spawn(move || server.stop());
    while std::net::TcpStream::connect(address).is_ok() {}
    stream.write_all(b"{\"v\":1}").unwrap();
    read_answer(&mut stream, "PUT").expect(201);
    stopper.join().unwrap();
    let server = start_in(folder, |_| {});
    assert_eq!(server.get("/databases/db/docs?id=x").int_at("Results/0/v"), 1);
}

#[test]
fn heads_beyond_the_limit_are_refused() {
    let server = start();
    let mut stream = server.connect();
    let head =
        format!("GET /databases HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(4_000_000));
    // The server closes the connection while the client still writes, so either side of it may see a reset.
    let written = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 431") || text.is_empty(), "{text}, {written:?}, {read:?}");
    server.get("/databases").expect(200);
}

#[test]
fn a_waiting_query_does_not_hold_up_the_stop() {
    let mut server = start();
    let index = r#"{"Indexes":[{"Name":"I","Maps":["map('X', x => ({ n: x.n }))"]}]}"#;
    server.put("/databases/db/indexes", index).expect(201);
    server.post("/databases/db/admin/indexes/stop", "").expect(204);
    server.put("/databases/db/docs?id=x", "{\"@metadata\":{\"@collection\":\"X\"}}").expect(201);
    let query = r#"{"Query":"from index 'I'","WaitForNonStaleResults":true,"WaitForNonStaleResultsTimeout":"00:10:00"}"#;
    let mut stream = server.connect();
    let head = format!(
        "POST /databases/db/queries HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        query.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server asks for the body once the request is in hand: from then on a stop must not cut it off.
    let asks = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut asked = vec![0; asks.len()];
    stream.read_exact(&mut asked).unwrap();
    assert_eq!(String::from_utf8_lossy(&asked), String::from_utf8_lossy(asks));
    stream.write_all(query.as_bytes()).unwrap();
    let waiter = std::thread::spawn(move || read_answer(&mut stream, "POST"));
    let started = std::time::Instant::now();
    server.stop();
    assert!(started.elapsed() < std::time::Duration::from_secs(9));
    assert_eq!(waiter.join().unwrap().expect(200).at("IsStale").as_bool(), Some(true));
}

#[test]
fn a_second_server_on_the_folder_is_refused() {
    let server = start();
    let config = Config::new(([127, 0, 0, 1], 0).into(), server.folder.path());
    let refused = Server::start(config, Vec::new()).err().unwrap();
    assert!(matches!(refused, StartError::Data(DataFolderError::Locked { .. })), "{refused}");
    let open = Config::new(([0, 0, 0, 0], 0).into(), tempfile::tempdir().unwrap().path());
    let refused = Server::start(open, Vec::new()).err().unwrap().to_string();
    assert!(refused.contains("--unsecured-access PublicNetwork"), "{refused}");
}
