//! Explaining results and verifying indexes over HTTP.

use crate::client::{TestServer, start, start_with};
use magpie_store::json::Json;
use std::time::{Duration, Instant};

const DB: &str = "/databases/db";

/// A chain of two indexes over twelve events.
fn chain() -> TestServer {
    let server = start();
    put_chain(&server);
    server
}

fn put_chain(server: &TestServer) {
    let sum =
        "groupBy(x => x.day).aggregate(g => ({ day: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }))";
    let all = sum.replace("day", "all");
    let body = format!(
        r#"{{"Indexes":[{{"Name":"Days","Maps":["map('Events', e => ({{ day: e.day, n: e.n }}))"],"Reduce":"{sum}",
            "OutputReduceToCollection":"Days"}},
            {{"Name":"All","Maps":["map('Days', d => ({{ all: 'all', n: d.n }}))"],"Reduce":"{all}"}}]}}"#
    );
    server.put(&format!("{DB}/indexes"), &body).expect(201);
    let events: Vec<String> = (0..12)
        .map(|n| format!(r#"{{"id":"Events/{n}","type":"Events","day":"d{}","n":{n}}}"#, n % 3))
        .collect();
    server.post(&format!("{DB}/docs/ndjson?collectionFrom=type"), &events.join("\n")).expect(201);
    let query = r#"{"Query":"from index 'All'","WaitForNonStaleResults":true}"#;
    assert_eq!(server.post(&format!("{DB}/queries"), query).expect(200).int_at("Results/0/n"), 66);
}

#[test]
fn a_number_is_followed_down_a_chain_to_its_events() {
    let server = chain();
    let all = server.get(&format!("{DB}/indexes/explain?name=All&key=all")).expect(200);
    assert_eq!(all.int_at("Result/n"), 66);
    assert_eq!(all.at("IsStale"), Json::Bool(false));
    assert_eq!(all.at("Entries").as_array().unwrap().len(), 3);
    assert_eq!(all.str_at("Entries/0/ProducedBy/Index"), "Days");
    let day = all.str_at("Entries/0/ProducedBy/Key/day");
    let key = format!("%7B%22day%22%3A%22{day}%22%7D");
    let explained = server.get(&format!("{DB}/indexes/explain?name=days&key={key}&without=true")).expect(200);
    assert_eq!(explained.int_at("Result/n"), all.int_at("Entries/0/Value/n"));
    assert_eq!(explained.at("Entries").as_array().unwrap().len(), 4);
    for n in 0..4 {
        let without = explained.int_at(&format!("Entries/{n}/Without/n"));
        assert_eq!(without, explained.int_at("Result/n") - explained.int_at(&format!("Entries/{n}/Value/n")));
        assert!(explained.str_at(&format!("Entries/{n}/Document")).starts_with("Events/"));
    }
    let page =
        server.get(&format!("{DB}/indexes/explain?name=Days&key={day}&start=1&pageSize=2")).expect(200);
    assert_eq!(
        page.at("Entries/0"),
        server.get(&format!("{DB}/indexes/explain?name=Days&key={day}")).at("Entries/1")
    );
    assert_eq!(page.at("MoreEntries"), Json::Bool(true));
    let keys = server.get(&format!("{DB}/indexes/explain?name=Days&key=%7B%7D")).expect(200);
    assert_eq!(keys.at("Keys").as_array().unwrap().len(), 3);
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let server = chain();
    let explain = |query: &str| server.get(&format!("{DB}/indexes/explain?{query}"));
    explain("name=Nope&key=1").expect(400);
    explain("name=Days").expect(400);
    let stranger = explain("name=Days&key=%7B%22month%22%3A1%7D").expect(400);
    assert!(stranger.str_at("Message").contains("no group-by field 'month'"), "{}", stranger.text());
    server.get(&format!("{DB}/indexes/verify?name=Days&repair=true")).expect(400);
    server.get(&format!("{DB}/indexes/verify?name=Nope")).expect(400);
}

#[test]
fn indexes_are_verified() {
    let server = chain();
    let verified = server.get(&format!("{DB}/indexes/verify")).expect(200);
    for (n, name, documents) in [(0, "All", 3), (1, "Days", 12)] {
        assert_eq!(verified.str_at(&format!("Results/{n}/Name")), name);
        assert_eq!(verified.int_at(&format!("Results/{n}/Damages")), 0);
        assert_eq!(verified.int_at(&format!("Results/{n}/Documents")), documents);
        assert_eq!(verified.str_at(&format!("Results/{n}/Hash")).len(), 64);
    }
    let repaired = server.post(&format!("{DB}/indexes/verify?name=Days&repair=true"), "").expect(200);
    assert!(repaired.at("Results/0/Mended").is_null(), "there was nothing to mend");
    assert_eq!(repaired.at("Results/0/Hash"), verified.at("Results/1/Hash"));
}

#[test]
fn a_scrubbing_server_stops_at_once() {
    let mut server = start_with(|config| config.verify_every = Some(Duration::from_millis(1)));
    put_chain(&server);
    let started = Instant::now();
    server.stop();
    assert!(started.elapsed() < Duration::from_secs(30));
}
