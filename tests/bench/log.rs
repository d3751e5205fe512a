//! Indexing the real job log with `runtime_by_user`: the same index in JavaScript and in Rust, one after the other.

use flate2::read::GzDecoder;
use magpie_indexes::{NativeIndex, Registry};
use magpie_samples::runtime_by_user;
use magpie_store::json::{self, Json, Object};
use magpie_store::kv::rocks::RocksKv;
use magpie_store::{Command, Database, NewDocument, Timestamp};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Documents of one write request.
const REQUEST_DOCUMENTS: usize = 1_000;
const WAIT: Duration = Duration::from_secs(600);

/// Prints events/s of a durable load in process and of both indexes; nothing where the log is absent.
pub fn run() -> Result<(), Box<dyn Error>> {
    let Some(path) = magpie_tests::material("data/jobs/nasa-ipsc-1993.job-events.ndjson.gz") else {
        return Ok(());
    };
    let documents = read(&path)?;
    let events = documents.len();
    println!("| {events} events of the real job log | events/s |");
    println!("|---|---|");
    let folder = tempfile::tempdir()?;
    let database =
        Arc::new(Database::open(Arc::new(RocksKv::open(folder.path())?), "0123456789abcdefghijkl")?);
    let start = Instant::now();
    let mut documents = documents.into_iter().peekable();
    while documents.peek().is_some() {
        let put = |(id, document)| Command::Put { id, document, expected: None };
        database.write(documents.by_ref().take(REQUEST_DOCUMENTS).map(put).collect(), Timestamp(0))?;
    }
    print_rate("durable load, requests of 1,000, in process", events, start.elapsed());
    let sample = magpie_samples::SAMPLES.iter().find(|sample| sample.folder == "runtime_by_user");
    let script = sample.and_then(|sample| sample.indexes.first()).ok_or("no such sample")?.script;
    let native = NativeIndex { name: "Native".to_owned(), source: runtime_by_user::source() };
    for (what, name) in [("index in Rust", "Native"), ("index in JavaScript (boa)", "Script")] {
        let start = Instant::now();
        let natives = if name == "Native" { vec![native.clone()] } else { Vec::new() };
        let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), natives)?;
        if name == "Script" {
            registry.put(vec![magpie_samples::definition(name, script)])?;
        }
        let index = registry.get(name).ok_or("the index is missing")?;
        if !index.wait_until_indexed_blocking(database.last_etag(), WAIT) {
            return Err(format!("the {what} did not catch up").into());
        }
        print_rate(what, events, start.elapsed());
        registry.delete(name)?;
        registry.stop();
    }
    Ok(())
}

fn print_rate(what: &str, events: usize, time: Duration) {
    println!("| {what} | {:.0} |", events as f64 / time.as_secs_f64());
}

/// The log as documents: `id` is the document id, `type` its collection.
fn read(path: &Path) -> Result<Vec<(String, NewDocument)>, Box<dyn Error>> {
    let mut documents = Vec::new();
    for line in BufReader::new(GzDecoder::new(File::open(path)?)).lines() {
        let Json::Object(mut event) = json::parse(line?.as_bytes())? else {
            return Err("not an object".into());
        };
        let text = |event: &Object, key: &str| event.get(key).and_then(Json::as_str).map(str::to_owned);
        let id = text(&event, "id").ok_or("an event without id")?;
        let collection = text(&event, "type").ok_or("an event without type")?;
        event.insert("@metadata", Object::from_iter([("@collection", Json::from(collection))]));
        let document = NewDocument::from_json(&id, Json::Object(event))?;
        documents.push((id, document));
    }
    Ok(documents)
}
