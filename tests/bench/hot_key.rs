//! What one change of a large reduce key costs, stage by stage, in process and on disk: the index UserFiles of the workload,
//! whose values are sets of up to 2,000 names, and only the events of the user with the most.

use super::tiers::own_time;
use super::workload;
use magpie_indexes::border::Borders;
use magpie_indexes::indexer::{BulkBuild, Indexer};
use magpie_indexes::keys::{Kind, Slot};
use magpie_indexes::progress::Progress;
use magpie_indexes::signature::Signature;
use magpie_store::kv::Space;
use magpie_store::kv::rocks::RocksKv;
use magpie_store::{Command, Database, NewDocument, Timestamp};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Changes that are measured.
const CHANGES: usize = 300;
/// Keys of as many entries whose borders lie elsewhere: what a change costs hangs on them.
const SEEDS: u32 = 5;
const SLOT: Slot = Slot(1);

/// The stages of one change.
const STAGES: [&str; 4] = ["durable write", "map and reduce", "commit of the rows", "reading the result"];

/// Prints, for each stage, the time of this thread and the median on the clock.
///
/// # Errors
/// When the store fails.
pub fn run() -> Result<(), Box<dyn Error>> {
    let events = workload::generate(workload::count());
    let (user, links) = events.hot().ok_or("no user has files")?;
    let named = format!("\"userId\":\"{user}\"");
    let lines: Vec<&String> =
        events.lines.iter().filter(|line| line.contains("FileLinked") && line.contains(&named)).collect();
    println!("| a change of a key of {links} entries | own time | p50 |");
    println!("|---|---|---|");
    let (mut times, mut counts) = (vec![(Duration::ZERO, Vec::new()); STAGES.len()], [0; 3]);
    for seed in 0..SEEDS {
        changes(seed, user, &lines, &mut times, &mut counts)?;
    }
    let all = f64::from(SEEDS) * CHANGES as f64;
    let mut sum = (0.0, 0.0);
    for (stage, (own, clock)) in STAGES.iter().zip(&mut times) {
        clock.sort();
        let median = clock.get(clock.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6);
        let own = own.as_secs_f64() * 1e6 / all;
        sum = (sum.0 + own, sum.1 + median);
        println!("| {stage} | {own:.0} us | {median:.0} us |");
    }
    println!("| all | {:.0} us | {:.0} us |", sum.0, sum.1);
    let [calls, read, bytes] = counts.map(|count| count as f64 / all);
    println!("| {calls:.1} reduce calls, {read:.1} values read, {bytes:.0} bytes written | | |");
    Ok(())
}

fn command(id: String, line: &str) -> Result<Command, Box<dyn Error>> {
    let text = line.replacen('{', r#"{"@metadata":{"@collection":"Events"},"#, 1);
    let document = NewDocument::parse(&id, text.as_bytes())?;
    Ok(Command::Put { id, document, expected: None })
}

fn changes(
    seed: u32,
    user: &str,
    lines: &[&String],
    times: &mut [(Duration, Vec<Duration>)],
    counts: &mut [u64; 3],
) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let database = Database::open(Arc::new(RocksKv::open(folder.path())?), "AAAAAAAAAAAAAAAAAAAAAA")?;
    for (request, lines) in lines.chunks(1_000).enumerate() {
        let numbered = lines.iter().enumerate();
        let put = |(n, line): (usize, &&String)| command(format!("ev-{:09}", request * 1_000 + n), line);
        database.write(numbered.map(put).collect::<Result<_, _>>()?, Timestamp(1))?;
    }
    let [_, map, reduce] = workload::INDEXES[3];
    let source = workload::stages::source(map, reduce)?;
    let borders = Borders::new(&Signature::of(&format!("seed {seed}")));
    let view = database.view();
    let built = BulkBuild::new(Arc::clone(&source), SLOT, borders, (&database, &view), Timestamp(1)).run()?;
    drop(view);
    database.ingest_derived(built.ok_or("stopped")?.files)?;
    let mut indexer = Indexer::new(SLOT, source.shape().clone(), borders, source.create()?);
    let begin = Instant::now();
    let mut key = Vec::new();
    magpie_store::ordered::encode(&magpie_store::json::Json::from(user), &mut key);
    for n in 0..CHANGES {
        let line = lines.get(n * 7_919 % lines.len()).ok_or("no line")?;
        let id = format!("ev-{:09}-extra", n * 48_271 % lines.len());
        let put = vec![command(id, line)?];
        let mut lap = (begin.elapsed(), own_time(begin));
        let mut places = times.iter_mut();
        let mut note = || {
            let now = (begin.elapsed(), own_time(begin));
            if let Some((own, clock)) = places.next() {
                *own += now.1.saturating_sub(lap.1);
                clock.push(now.0.saturating_sub(lap.0));
            }
            lap = (begin.elapsed(), own_time(begin));
        };
        database.write(put, Timestamp(1))?;
        note();
        let view = database.view();
        let progress = Progress::read(view.kv(), SLOT)?;
        let indexed = indexer.run_batch(&view, progress, Timestamp(1))?;
        drop(view);
        note();
        let batch = indexed.batch.ok_or("no change was seen")?;
        counts[2] += batch.bytes() as u64;
        database.commit_derived(batch)?;
        note();
        let row = database.view().kv().get(Space::Index, &SLOT.key(Kind::Result, &key))?;
        row.ok_or("no result")?;
        note();
        counts[0] += indexed.work.reduce_calls;
        counts[1] += indexed.work.values_read;
    }
    Ok(())
}
