//! The stages of the workload in process, one after the other: what bounds the figures of the whole.

use super::events::{self, Events};
use super::indexes::INDEXES;
use magpie_indexes::border::Borders;
use magpie_indexes::cores::Cores;
use magpie_indexes::definition::Numbers;
use magpie_indexes::function::{NoLoads, SharedSource};
use magpie_indexes::indexer::{BulkBuild, Indexer};
use magpie_indexes::keys::Slot;
use magpie_indexes::progress::Progress;
use magpie_indexes::script::{ScriptSource, Scripts, TierChoice};
use magpie_indexes::signature::Signature;
use magpie_store::kv::rocks::RocksKv;
use magpie_store::{Command, Database, NewDocument, Timestamp};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

const REQUEST_EVENTS: usize = 1_000;

/// Prints a row per stage. `MAGPIE_BENCH_EVENTS` sets the number of events, `MAGPIE_BENCH_STAGE` picks one index.
pub fn run() -> Result<(), Box<dyn Error>> {
    let events = events::generate(super::count());
    let count = events.lines.len() as f64;
    let folder = tempfile::tempdir()?;
    let kv = Arc::new(RocksKv::open(folder.path())?);
    let database = Database::open(kv, "AAAAAAAAAAAAAAAAAAAAAA")?;
    println!("| {count} events, in process, one thread | events/s | events per second of processor time |");
    println!("|---|---|---|");
    let timed = |what: &str, begun: Begun| {
        let (wall, processor) = begun.spent();
        println!("| {what} | {:.0} | {:.0} |", count / wall, count / processor);
    };
    let begun = Begun::now();
    let commands = commands(&events)?;
    timed("parse", begun);
    let begun = Begun::now();
    for request in commands {
        database.write(request, Timestamp(1))?;
    }
    timed(&format!("durable write, requests of {REQUEST_EVENTS}"), begun);
    let begun = Begun::now();
    let view = database.view();
    let read = view.documents_by_prefix("", None)?.map(|document| document.map(drop));
    assert_eq!(read.collect::<Result<Vec<_>, _>>()?.len(), events.lines.len());
    timed("scan of all documents by id", begun);
    let wanted = std::env::var("MAGPIE_BENCH_STAGE").ok();
    for (slot, [name, map, reduce]) in (1..).zip(INDEXES) {
        if wanted.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let source = source(map, reduce)?;
        let begun = Begun::now();
        let mut function = source.create()?;
        for document in view.documents_by_prefix("", None)? {
            function.map(&document?, &mut NoLoads)?;
        }
        timed(&format!("{name}: scan and map"), begun);
        let borders = Borders::new(&Signature::of(name));
        let begun = Begun::now();
        let built =
            BulkBuild::new(Arc::clone(&source), Slot(slot), borders, (&database, &view), Timestamp(1))
                .run()?;
        database.ingest_derived(built.ok_or("stopped")?.files)?;
        timed(&format!("{name}: bulk build"), begun);
        for threads in [1, 2] {
            let begun = Begun::now();
            follow(&database, &source, Slot(100 * threads + slot), borders)?;
            timed(&format!("{name}: batch by batch, folding on {threads}"), begun);
        }
    }
    Ok(())
}

/// When a stage began: on the clock, and in processor time of all threads, RocksDB's included.
struct Begun(Instant, f64);

impl Begun {
    fn now() -> Self {
        Self(Instant::now(), processor_seconds())
    }

    /// Seconds since then.
    fn spent(&self) -> (f64, f64) {
        (self.0.elapsed().as_secs_f64(), processor_seconds() - self.1)
    }
}

/// User and system time of this process.
fn processor_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(13) + ticks(14)) / TICKS_PER_SECOND
}

fn commands(events: &Events) -> Result<Vec<Vec<Command>>, Box<dyn Error>> {
    let mut requests = Vec::new();
    for (request, lines) in events.lines.chunks(REQUEST_EVENTS).enumerate() {
        let mut commands = Vec::with_capacity(lines.len());
        for (n, line) in lines.iter().enumerate() {
            let id = format!("ev-{:09}", request * REQUEST_EVENTS + n);
            let text = line.replacen('{', r#"{"@metadata":{"@collection":"Events"},"#, 1);
            let document = NewDocument::parse(&id, text.as_bytes())?;
            commands.push(Command::Put { id, document, expected: None });
        }
        requests.push(commands);
    }
    Ok(requests)
}

/// Indexes all documents as a worker does that has fallen behind, and that may fold on so many threads as the hundreds of
/// its slot.
fn follow(
    database: &Database,
    source: &SharedSource,
    slot: Slot,
    borders: Borders,
) -> Result<(), Box<dyn Error>> {
    let further = usize::try_from(slot.0 / 100)?.saturating_sub(1);
    let mut indexer = Indexer::new(slot, source.shape().clone(), borders, source.create()?)
        .with_helpers(Arc::clone(source), Arc::new(Cores::new(further)));
    loop {
        let view = database.view();
        let progress = Progress::read(view.kv(), slot)?;
        let Some(batch) = indexer.run_batch(&view, progress, Timestamp(1))?.batch else { return Ok(()) };
        drop(view);
        database.commit_derived(batch)?;
    }
}

/// An index of the workload in the tier that it gets.
pub fn source(map: &str, reduce: &str) -> Result<SharedSource, Box<dyn Error>> {
    let (maps, no_sources) = ([map.to_owned()], BTreeMap::new());
    let scripts = Scripts {
        name: "Bench",
        maps: &maps,
        reduce: Some(reduce),
        finalize: None,
        additional_sources: &no_sources,
        numbers: Numbers::default(),
    };
    Ok(Arc::new(ScriptSource::new(&scripts)?.in_tier(TierChoice::Auto)?))
}
