//! Queries on fields of an index with 1,000,000 results that are no group-by fields, over HTTP: without terms, as the first
//! query reads all results, and with them.

use magpie_store::json::Json;
use magpie_tests::process::ServerProcess;
use magpie_tests::wire::Client;
use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

const RESULTS: usize = 1_000_000;
const UPLOAD_EVENTS: usize = 100_000;
const QUERIES: usize = 1_000;
const DATABASE: &str = "/databases/magpie";
/// How long terms may take to be made.
const MAKING_MAX: Duration = Duration::from_secs(600);

/// Reading all results takes longer than this.
const SCAN_MIN: Duration = Duration::from_millis(100);

/// What is asked in words and as a query, `#` being a number that changes.
const ASKED: [(&str, &str); 9] = [
    ("filter on a text, 1 result fits", "where host = 'HOST-#'"),
    ("range of numbers, 100 fit", "where seconds between # and #+99"),
    ("two filters, about 33 fit", "where state = 's1' and seconds between # and #+99"),
    ("list of 3 texts", "where host in ('host-#', 'host-#+7', 'host-#+99')"),
    ("beginning of a text, 1 to 111 fit", "where startsWith(host, 'host-#')"),
    ("greatest 10 numbers", "order by seconds as long desc limit 10"),
    ("first 10 texts, third page", "order by host limit 20, 10"),
    ("a third fits, its greatest 10 numbers", "where state = 's1' order by seconds as long desc limit 10"),
    ("range, then sorted, first 10 of 100", "where seconds between # and #+99 order by host desc limit 10"),
];

/// Prints a row per query.
pub fn run() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path(), &[])?;
    let client = server.client();
    for start in (0..RESULTS).step_by(UPLOAD_EVENTS) {
        let path = format!("{DATABASE}/docs/ndjson?collectionFrom=type&onError=skip");
        let headers = [("Content-Type", "application/x-ndjson")];
        let body = events(start, UPLOAD_EVENTS);
        client.send("POST", &path, &headers, Some(body.as_bytes()))?.expect_status(201)?;
    }
    let begun = Instant::now();
    put_index(&client)?;
    while ask(&client, "where job = 'jobs/7'", true)?.0 != Some(false) {}
    println!(
        "| index with {RESULTS} results: built in {:.0} s | without terms | p50 | p99 | max |",
        begun.elapsed().as_secs_f64()
    );
    println!("|---|---|---|---|---|");
    for (what, query) in ASKED {
        let begun = Instant::now();
        ask(&client, &numbered(query, 777_777), false)?;
        let scan = begun.elapsed();
        wait_for_terms(&client, query)?;
        let mut times = Vec::with_capacity(QUERIES);
        for n in 0..QUERIES {
            let query = numbered(query, n * 7919 % (RESULTS - 200));
            let begun = Instant::now();
            let (_, rows) = ask(&client, &query, false)?;
            times.push(begun.elapsed());
            if rows == 0 {
                return Err(format!("no rows for {query}").into());
            }
        }
        times.sort_unstable();
        let at = |share: usize| times.get(QUERIES * share / 100).or(times.last()).map_or(0.0, milliseconds);
        let scan = if scan < SCAN_MIN { "-".to_owned() } else { format!("{:.0} ms", milliseconds(&scan)) };
        println!("| {what} | {scan} | {:.2} ms | {:.2} ms | {:.2} ms |", at(50), at(99), at(100));
    }
    Ok(())
}

fn milliseconds(time: &Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Asks until an answer comes much faster than reading all results can.
fn wait_for_terms(client: &Client, query: &str) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    while begun.elapsed() < MAKING_MAX {
        let asked = Instant::now();
        ask(client, &numbered(query, 777_777), false)?;
        if asked.elapsed() < SCAN_MIN {
            return Ok(());
        }
    }
    Err(format!("no terms for {query}").into())
}

/// The query with a number in it, and numbers near it.
fn numbered(query: &str, n: usize) -> String {
    query
        .replace("#+99", &(n + 99).to_string())
        .replace("#+7", &(n + 7).to_string())
        .replace('#', &n.to_string())
}

/// Whether the answer is stale, and how many rows it has.
fn ask(client: &Client, query: &str, waits: bool) -> io::Result<(Option<bool>, usize)> {
    let body = format!(
        r#"{{"Query":"from index 'Results' {query}","WaitForNonStaleResults":{waits},"WaitForNonStaleResultsTimeout":60000}}"#
    );
    let answer = client.post(&format!("{DATABASE}/queries"), &body)?.expect_status(200)?.json()?;
    let rows = answer.get("Results").and_then(Json::as_array).map_or(0, <[_]>::len);
    Ok((answer.get("IsStale").and_then(Json::as_bool), rows))
}

fn put_index(client: &Client) -> io::Result<()> {
    let definition = r#"{"Indexes":[{"Name":"Results","Configuration":{"Magpie.Tier":"compiled"},
        "Maps":["map('JobCompleted', e => ({ job: e.job, seconds: e.seconds, host: e.host, state: e.state, at: e.at }))"],
        "Reduce":"groupBy(x => x.job).aggregate(g => ({ job: g.key, seconds: g.values.reduce((s, v) => s + v.seconds, 0), host: g.values[0].host, state: g.values[0].state, at: g.values[0].at }))"}]}"#;
    client.put(&format!("{DATABASE}/indexes"), definition)?.expect_status(201).map(drop)
}

fn events(start: usize, count: usize) -> String {
    let mut text = String::with_capacity(count * 200);
    for n in start..start + count {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            r#"{{"id":"events/{n:09}","type":"JobCompleted","job":"jobs/{n}","seconds":{},"at":"2026-03-{:02}T{:02}:{:02}:{:02}Z","host":"host-{}","state":"s{}"}}"#,
            n * 7919 % RESULTS,
            n / 86_400 % 28 + 1,
            n / 3600 % 24,
            n / 60 % 60,
            n % 60,
            n * 31 % RESULTS,
            n / 7 % 3,
        );
    }
    text
}
