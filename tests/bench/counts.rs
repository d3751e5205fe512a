//! Instructions of the hot stages, as valgrind's callgrind counts them: they hardly depend on the machine's other work, so
//! a change of a few percent shows. `counts` compares with `counts.txt`, `counts write` replaces it.
//!
//! Each stage runs in a process of its own under valgrind (Debian: `apt-get install valgrind`), in process and in memory;
//! only what [`measured`] calls is counted.

use super::tiers::{document, stored_text};
use super::{tree, workload};
use magpie_indexes::Registry;
use magpie_indexes::definition::IndexDefinition;
use magpie_indexes::function::NoLoads;
use magpie_query::{ParsedQueries, Request, Snapshot, execute};
use magpie_store::json::{Json, Object};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::{Command, Database, NewDocument, Timestamp};
use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;

type Outcome = Result<(), Box<dyn Error>>;
type Stage = fn() -> Outcome;

/// A stage may take so many percent more than is written down.
const TOLERANCE_PERCENT: f64 = 3.0;
/// Runs before a stage is counted, so that what is made once is there.
const WARM_UP: usize = 20;
/// Runs that are counted.
const RUNS: usize = 200;
const STAGES: [(&str, Stage); 8] = [
    ("parse and compact a document", parse),
    ("map a document (compiled)", map),
    ("reduce 32 values (compiled)", reduce),
    ("change an entry of 10,000", change),
    ("query by key, text known", || query(true)),
    ("query by key, new text", || query(false)),
    ("give 500 documents", || give("from Events")),
    ("give 500 results", || give("from index 'Runtime'")),
];

/// Counts all stages and tells which of them grew or shrank; `stage N` runs one of them.
///
/// # Errors
/// When a stage takes more than it may, or valgrind cannot be run.
pub fn run(wanted: &[String]) -> Outcome {
    if let Some(place) = wanted.iter().position(|word| word == "stage") {
        let number: usize = wanted.get(place + 1).ok_or("which stage?")?.parse()?;
        let (_, stage) = STAGES.get(number).ok_or("there is no such stage")?;
        return stage();
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bench/counts.txt");
    let written: BTreeMap<String, f64> = std::fs::read_to_string(&path)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.rsplit_once(": "))
        .filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?)))
        .collect();
    println!("| stage | instructions | written down | |");
    println!("|---|---|---|---|");
    let (mut lines, mut grown) = (String::new(), Vec::new());
    for (number, (name, _)) in STAGES.iter().enumerate() {
        let count = counted(number)?;
        lines.push_str(&format!("{name}: {count:.0}\n"));
        let before = written.get(*name).copied();
        let change = before.map(|before| 100.0 * (count / before - 1.0));
        if change.is_some_and(|change| change > TOLERANCE_PERCENT) {
            grown.push(*name);
        }
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        println!(
            "| {name} | {count:.0} | {} | {} |",
            text(before.map(|before| format!("{before:.0}"))),
            text(change.map(|change| format!("{change:+.1} %")))
        );
    }
    if wanted.iter().any(|word| word == "write") {
        return Ok(std::fs::write(&path, lines)?);
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(format!("over {TOLERANCE_PERCENT} % more instructions: {}", grown.join("; ")).into())
}

/// The instructions of one run of a stage.
fn counted(number: usize) -> Result<f64, Box<dyn Error>> {
    let output = process::Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counts*measured*"])
        .arg(std::env::current_exe()?)
        .args(["counts", "stage", &number.to_string()])
        .output()
        .map_err(|error| format!("valgrind cannot be run ({error}); apt-get install valgrind"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :"));
    let count = collected.and_then(|(_, count)| count.trim().parse::<f64>().ok());
    match count.filter(|count| *count > 0.0 && output.status.success()) {
        Some(count) => Ok(count / RUNS as f64),
        None => Err(format!("stage {number} was not counted: {text}").into()),
    }
}

/// What is counted.
#[inline(never)]
fn measured(run: &mut dyn FnMut(usize) -> Outcome) -> Outcome {
    (0..RUNS).try_for_each(|turn| black_box(&mut *run)(turn))
}

fn measure(mut run: impl FnMut(usize) -> Outcome) -> Outcome {
    (0..WARM_UP).try_for_each(&mut run)?;
    measured(&mut run)
}

fn parse() -> Outcome {
    let events = workload::generate(100).lines;
    let texts: Vec<String> = events.iter().map(|event| with_metadata(event)).collect();
    measure(|turn| {
        black_box(NewDocument::parse("ev-1", texts.get(turn % texts.len()).ok_or("no text")?.as_bytes())?);
        Ok(())
    })
}

fn with_metadata(event: &str) -> String {
    // With white space, so that there is something to leave out.
    event.replacen('{', r#"{ "@metadata": { "@collection": "Events" }, "#, 1)
}

fn map() -> Outcome {
    let [name, map, reduce] = workload::INDEXES[0];
    let mut function = workload::stages::source(map, reduce)?.create()?;
    let events = workload::generate(100).lines;
    let events = events.iter().map(|event| document("Events", event)).collect::<Result<Vec<_>, _>>()?;
    measure(|turn| {
        let event = events.get(turn % events.len()).ok_or("no event")?;
        black_box(function.map_stored(event, &mut NoLoads).ok_or(name)??);
        Ok(())
    })
}

fn reduce() -> Outcome {
    let [name, map, reduce] = workload::INDEXES[0];
    let mut function = workload::stages::source(map, reduce)?.create()?;
    let event =
        r#"{"type":"JobCompleted","userId":"u-1","startedTs":5,"ts":1740787200,"at":"2025-03-01T00:00:00Z"}"#;
    let output = function.map(&document("Events", event)?, &mut NoLoads)?;
    let output = output.first().ok_or("nothing was mapped")?;
    let text = stored_text(&output.value);
    let values = vec![text.as_slice(); 32];
    measure(|_| {
        black_box(function.reduce_stored(&output.key, &values).ok_or(name)??);
        Ok(())
    })
}

fn change() -> Outcome {
    let sums = tree::Sums::of(10_000)?;
    measure(|turn| {
        black_box(sums.change(turn as u64)?);
        Ok(())
    })
}

/// A query for one key of an index of 500, whose text was asked before or was not.
fn query(is_known: bool) -> Outcome {
    let name = workload::INDEXES[0][0];
    ask(1, |turn| {
        let user = format!("u-{}", turn * 7 % 500);
        if is_known {
            let query = format!("from index '{name}' where user = $user and month = '2025-03'");
            (query, [("user", Json::from(user))].into_iter().collect())
        } else {
            (format!("from index '{name}' where user = '{user}' and month = '2025-03'"), Object::new())
        }
    })
}

/// A query for everything there is.
fn give(query: &'static str) -> Outcome {
    ask(500, |_| (query.to_owned(), Object::new()))
}

/// Asks about 500 events and an index of 500 keys over them; every answer must have so many rows.
fn ask(rows: usize, question: impl Fn(usize) -> (String, Object)) -> Outcome {
    let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), "AAAAAAAAAAAAAAAAAAAAAA")?);
    let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(1)), Vec::new())?;
    let put = |number: usize| {
        let event = format!(
            r#"{{"@metadata":{{"@collection":"Events"}},"type":"JobCompleted","userId":"u-{number}","startedTs":5,"ts":1740787200,"at":"2025-03-01T00:00:00Z"}}"#
        );
        let id = format!("ev-{number}");
        Ok(Command::Put { document: NewDocument::parse(&id, event.as_bytes())?, id, expected: None })
    };
    let commands: Result<Vec<_>, Box<dyn Error>> = (0..500).map(put).collect();
    database.write(commands?, Timestamp(1))?;
    let [name, map, reduce] = workload::INDEXES[0];
    registry.put(vec![IndexDefinition {
        name: name.to_owned(),
        maps: vec![map.to_owned()],
        reduce: Some(reduce.to_owned()),
        ..IndexDefinition::default()
    }])?;
    let index = registry.get(name).ok_or("no index")?;
    if !index.wait_until_indexed_blocking(database.last_etag(), Duration::from_secs(300)) {
        return Err("the index did not catch up".into());
    }
    let queries = ParsedQueries::default();
    let outcome = measure(|turn| {
        let (query, parameters) = question(turn);
        let parsed = Some(queries.parse(&query)?);
        let view = database.view();
        let request = Request { query, parsed, parameters: Some(parameters), ..Request::default() };
        let answer = execute(&Snapshot::new(&view, &registry), &request)?;
        let mut text = Vec::new();
        answer.rows.iter().for_each(|row| row.write_to(&mut text));
        if answer.rows.len() == rows { Ok(()) } else { Err("the query finds another number of rows".into()) }
    });
    registry.stop();
    outcome
}
