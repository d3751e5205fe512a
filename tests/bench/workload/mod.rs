//! The common workload, end to end over HTTP: events in, four JavaScript indexes, changes, queries, restarts. Every result
//! is compared with what it must be, so a figure of a wrong answer is never printed.

mod events;
mod indexes;
mod points;
pub mod stages;

use events::Events;
pub use events::generate;
pub use indexes::INDEXES;
use magpie_tests::process::ServerProcess;
use magpie_tests::wire::Client;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

const EVENTS: usize = 1_000_000;
const UPLOAD_EVENTS: usize = 100_000;
const DATABASE: &str = "/databases/magpie";
/// Changes that are timed one by one.
const CHANGES: usize = 200;

/// Prints a row per figure. `MAGPIE_BENCH_EVENTS` sets the number of events.
pub fn run() -> Result<(), Box<dyn Error>> {
    let count = count();
    let events = generate(count);
    let bytes: usize = events.lines.iter().map(|line| line.len() + 1).sum();
    println!("| {count} events of {} bytes over HTTP | |", bytes / count);
    println!("|---|---|");
    built_after(&events)?;
    live(&events)
}

/// The part of [`run`] that builds all four indexes at once.
pub fn run_build() -> Result<(), Box<dyn Error>> {
    let events = generate(count());
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path(), &[])?;
    let client = server.client();
    upload(&client, &events)?;
    let before = processor_us(&server)?;
    let count = events.lines.len() as f64;
    println!("| processor time of the server to take in | {:.1} us an event |", before / count);
    let built = rate(count, || build_all(&client))?;
    println!("| build of all four at once | {built} events/s |");
    println!(
        "| processor time of the server for it | {:.1} us an event |",
        (processor_us(&server)? - before) / count
    );
    Ok(())
}

fn build_all(client: &Client) -> Result<(), Box<dyn Error>> {
    INDEXES.iter().try_for_each(|index| indexes::put(client, DATABASE, *index))?;
    INDEXES.iter().try_for_each(|index| indexes::wait(client, DATABASE, index[0]))
}

/// The part of [`run`] with queries by key.
pub fn run_points() -> Result<(), Box<dyn Error>> {
    let events = generate(count());
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path(), &[])?;
    let client = server.client();
    upload(&client, &events)?;
    let [runtime, ..] = INDEXES;
    indexes::put(&client, DATABASE, runtime)?;
    indexes::wait(&client, DATABASE, runtime[0])?;
    points::run(&server, &events.expected)
}

/// The part of [`run`] with the indexes first.
pub fn run_live() -> Result<(), Box<dyn Error>> {
    live(&generate(count()))
}

/// Writes the events to a file, one a line.
pub fn write(path: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::write(path, generate(count()).lines.join("\n"))?;
    Ok(())
}

/// How many events: `MAGPIE_BENCH_EVENTS`, or a million.
pub fn count() -> usize {
    std::env::var("MAGPIE_BENCH_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(EVENTS)
}

/// All events first, then the indexes, one by one and all at once.
fn built_after(events: &Events) -> Result<(), Box<dyn Error>> {
    let count = events.lines.len() as f64;
    let folder = tempfile::tempdir()?;
    let mut server = ServerProcess::start(folder.path(), &[])?;
    let client = server.client();
    println!("| durable ingest, NDJSON | {} events/s |", rate(count, || upload(&client, events))?);
    println!("| disk, documents | {:.0} bytes an event |", disk(folder.path())? / count);
    for index in INDEXES {
        let built = rate(count, || {
            indexes::put(&client, DATABASE, index)?;
            indexes::wait(&client, DATABASE, index[0])
        })?;
        println!("| build of {} | {built} events/s |", index[0]);
        client
            .send("DELETE", &format!("{DATABASE}/indexes?name={}", index[0]), &[], None)?
            .expect_status(204)?;
    }
    let built = rate(count, || build_all(&client))?;
    println!("| build of all four at once | {built} events/s |");
    println!("| results compared | {} |", indexes::check(&client, DATABASE, &events.expected)?);
    println!("| disk, all | {:.0} bytes an event |", disk(folder.path())? / count);
    points::run(&server, &events.expected)?;
    changes(&client, events)?;
    println!("| peak memory of the server | {} MB |", peak_megabytes(&server)?);
    for (how, killed) in [("SIGTERM", false), ("SIGKILL", true)] {
        if killed {
            server.kill()?;
        } else {
            server.stop()?;
        }
        let begun = Instant::now();
        server = ServerProcess::start(folder.path(), &[])?;
        indexes::wait(&server.client(), DATABASE, INDEXES[3][0])?;
        println!("| restart to the first query's answer after {how} | {} ms |", begun.elapsed().as_millis());
    }
    Ok(())
}

/// The indexes first, then the events, until the last index has caught up.
fn live(events: &Events) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path(), &[])?;
    let client = server.client();
    INDEXES.iter().try_for_each(|index| indexes::put(&client, DATABASE, *index))?;
    let count = events.lines.len() as f64;
    let taken_in = rate(count, || {
        upload(&client, events)?;
        INDEXES.iter().try_for_each(|index| indexes::wait(&client, DATABASE, index[0]))
    })?;
    println!("| ingest with all four live, until none is stale | {taken_in} events/s |");
    println!("| processor time of the server for it | {:.1} us an event |", processor_us(&server)? / count);
    indexes::check(&client, DATABASE, &events.expected)?;
    println!("| peak memory of the server with live indexes | {} MB |", peak_megabytes(&server)?);
    Ok(())
}

fn upload(client: &Client, events: &Events) -> Result<(), Box<dyn Error>> {
    for part in events.lines.chunks(UPLOAD_EVENTS) {
        let body = part.join("\n");
        let path = format!("{DATABASE}/docs/ndjson?collection=Events&onError=skip");
        let headers = [("Content-Type", "application/x-ndjson")];
        client.send("POST", &path, &headers, Some(body.as_bytes()))?.expect_status(201)?;
    }
    Ok(())
}

/// One change of the largest key at a time, each until the aggregate shows it.
fn changes(client: &Client, events: &Events) -> Result<(), Box<dyn Error>> {
    let (user, links) = events.hot().ok_or("no user has files")?;
    for what in ["insert", "update", "delete"] {
        let mut times = Vec::new();
        for n in 0..CHANGES {
            let largest = 2_000_000_000 + n + if what == "update" { CHANGES } else { 0 };
            let begun = Instant::now();
            let wait = "waitForIndexesTimeout=00:00:15&waitForSpecificIndex=UserFiles";
            let path = format!("{DATABASE}/bulk_docs?{wait}");
            let command = if what == "delete" {
                serde_json::json!({ "Id": format!("extra-{n}"), "Type": "DELETE", "ChangeVector": null })
            } else {
                serde_json::json!({ "Id": format!("extra-{n}"), "Type": "PUT", "ChangeVector": null, "Document": {
                    "type": "FileLinked", "jobId": "job-extra", "userId": user, "fileId": "file-extra",
                    "sizeBytes": largest, "at": "2025-03-01T00:00:00Z", "ts": 1_740_787_200,
                    "@metadata": { "@collection": "Events" } } })
            };
            let body = serde_json::json!({ "Commands": [command] }).to_string();
            client.post(&path, &body)?.expect_status(201)?;
            times.push(begun.elapsed());
        }
        times.sort();
        let at =
            |share: usize| times.get(times.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3);
        println!(
            "| {what} until the key of {links} entries shows it, p50 / p99 | {:.2} / {:.2} ms |",
            at(50),
            at(99)
        );
    }
    Ok(())
}

/// Things per second.
fn rate(count: f64, work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<String, Box<dyn Error>> {
    let begun = Instant::now();
    work()?;
    Ok(format!("{:.0}", count / begun.elapsed().as_secs_f64()))
}

/// The bytes of all files in a folder, as they take up disk.
fn disk(folder: &Path) -> Result<f64, Box<dyn Error>> {
    let output = std::process::Command::new("du").arg("-s").arg("--block-size=1").arg(folder).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().ok_or("du says nothing")?.parse()?)
}

/// The processor time that the server has used, in microseconds.
fn processor_us(server: &ServerProcess) -> Result<f64, Box<dyn Error>> {
    const TICK_US: f64 = 10_000.0;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id()))?;
    // Behind the name, which may hold anything: fields 3 and on; user and system time are 14 and 15.
    let fields = stat.rsplit(')').next().ok_or("no fields in stat")?.split_whitespace();
    let ticks: Result<Vec<f64>, _> = fields.skip(11).take(2).map(str::parse).collect();
    Ok(ticks?.iter().sum::<f64>() * TICK_US)
}

/// The most memory that the server has had, in megabytes.
fn peak_megabytes(server: &ServerProcess) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1000)
}
