//! The server as a user runs it, with 1,000,000 events: durable load over HTTP, an index built over them, restarts.

use magpie_store::json::Json;
use magpie_tests::process::ServerProcess;
use magpie_tests::wire::Client;
use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

const EVENTS: usize = 1_000_000;
const UPLOAD_EVENTS: usize = 100_000;
const DATABASE: &str = "/databases/magpie";

/// Prints a row per stage.
pub fn run() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut server = ServerProcess::start(folder.path(), &[])?;
    println!("| {EVENTS} events of 240 bytes over HTTP | |");
    println!("|---|---|");
    let mut spent = Duration::ZERO;
    for start in (0..EVENTS).step_by(UPLOAD_EVENTS) {
        let body = events(start, UPLOAD_EVENTS);
        let begun = Instant::now();
        let path = format!("{DATABASE}/docs/ndjson?collectionFrom=type&onError=skip");
        let headers = [("Content-Type", "application/x-ndjson")];
        server.client().send("POST", &path, &headers, Some(body.as_bytes()))?.expect_status(201)?;
        spent += begun.elapsed();
    }
    println!("| durable load, NDJSON | {:.0} events/s |", EVENTS as f64 / spent.as_secs_f64());
    let begun = Instant::now();
    put_index(&server.client())?;
    query(&server.client())?;
    println!(
        "| JavaScript index (boa) over all | {:.0} events/s |",
        EVENTS as f64 / begun.elapsed().as_secs_f64()
    );
    for (how, killed) in [("after SIGTERM", false), ("after SIGKILL", true)] {
        if killed {
            server.kill()?;
        } else {
            server.stop()?;
        }
        let begun = Instant::now();
        server = ServerProcess::start(folder.path(), &[])?;
        query(&server.client())?;
        println!("| restart to the first query's answer {how} | {} ms |", begun.elapsed().as_millis());
    }
    Ok(())
}

fn put_index(client: &Client) -> io::Result<()> {
    let definition = r#"{"Indexes":[{"Name":"Seconds","Maps":["map('JobCompleted', e => ({ user: e.user, seconds: e.seconds, jobs: 1 }))"],
        "Reduce":"groupBy(x => x.user).aggregate(g => ({ user: g.key, seconds: g.values.reduce((s, v) => s + v.seconds, 0), jobs: g.values.reduce((s, v) => s + v.jobs, 0) }))"}]}"#;
    client.put(&format!("{DATABASE}/indexes"), definition)?.expect_status(201).map(drop)
}

/// Asks until the index has caught up.
fn query(client: &Client) -> io::Result<()> {
    let body = r#"{"Query":"from index 'Seconds' where user = 'users/7'","WaitForNonStaleResults":true,"WaitForNonStaleResultsTimeout":60000}"#;
    loop {
        let answer = client.post(&format!("{DATABASE}/queries"), body)?.expect_status(200)?.json()?;
        let stale = answer.get("IsStale").and_then(Json::as_bool) != Some(false);
        let rows = answer.get("Results").and_then(Json::as_array).map_or(0, <[_]>::len);
        match (stale, rows) {
            (true, _) => {}
            (false, 1) => return Ok(()),
            (false, _) => return Err(io::Error::other(format!("unexpected answer: {answer}"))),
        }
    }
}

fn events(start: usize, count: usize) -> String {
    let mut text = String::with_capacity(count * 256);
    for n in start..start + count {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            r#"{{"id":"events/{n:09}","type":"JobCompleted","job":"jobs/{}","user":"users/{}","seconds":{},"at":"2026-03-{:02}T{:02}:{:02}:{:02}Z","host":"node-{:03}.cluster.example","path":"/data/projects/{:06}/result.bin","exitCode":0}}"#,
            n / 10,
            n * 7919 % 5000,
            n % 86_400,
            n / 86_400 % 28 + 1,
            n / 3600 % 24,
            n / 60 % 60,
            n % 60,
            n % 512,
            n % 999_983
        );
    }
    text
}
