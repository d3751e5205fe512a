//! What a map and a reduce of a script cost in each tier and in Rust: the same documents and values, one after the other.

use super::workload;
use magpie_indexes::definition::Numbers;
use magpie_indexes::function::{Emitted, FunctionSource, IndexFunction, NoLoads};
use magpie_indexes::script::{ScriptSource, Scripts, TierChoice};
use magpie_samples::SAMPLES;
use magpie_store::json::{self, Json};
use magpie_store::{Collection, Document, DocumentId, Etag, Timestamp};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

/// How long each measurement runs.
const RUN_MS: u64 = 400;
/// Values of one reduce call.
const WIDTH: usize = 32;

/// A sum over one field, the smallest index that users write.
const SUM: [&str; 2] = [
    "map('Jobs', j => ({ user: j.user, seconds: j.seconds }))",
    "groupBy(x => x.user).aggregate(g => ({ user: g.key, seconds: g.values.reduce((s, v) => s + v.seconds, 0) }))",
];

type Boxed = Box<dyn IndexFunction>;

/// Prints one table row per index, of those that `wanted` names or of all: calls per second of both tiers and of Rust.
///
/// # Errors
/// When a script does not compile or fails.
pub fn run(wanted: &[String]) -> Result<(), Box<dyn Error>> {
    let all = wanted.iter().all(|name| name == "tiers" || name == "compiled");
    let wants = |name: &str| all || wanted.iter().any(|wanted| wanted == name);
    println!(
        "| index | maps/s boa | compiled | to stored text | Rust | reduces/s of {WIDTH} values boa | compiled | of stored text | Rust |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let jobs = (0..64).map(|n| {
        let body = format!(
            r#"{{"id":"jobs/{n}","type":"JobDone","file":"f{n}","user":"user{}","path":"/a/b/c","bytes":123456,"seconds":{n}.5,"at":"2026-03-01T08:00:00Z"}}"#,
            n % 2
        );
        document("Jobs", &body)
    });
    let jobs: Vec<Document> = jobs.collect::<Result<_, _>>()?;
    if wants("Sum") {
        row("Sum", &jobs, &both_tiers(&scripts(&[SUM[0].to_owned()], Some(SUM[1])))?)?;
    }
    let events = workload::generate(640).lines;
    let events: Vec<Document> =
        events.iter().map(|event| document("Events", event)).collect::<Result<_, _>>()?;
    for [name, map, reduce] in workload::INDEXES.iter().filter(|index| wants(index[0])) {
        row(name, &events, &both_tiers(&scripts(&[(*map).to_owned()], Some(reduce)))?)?;
    }
    let indexes = SAMPLES.iter().flat_map(|sample| sample.indexes.iter().map(move |index| (sample, index)));
    for (sample, index) in indexes {
        let definition = index.definition()?;
        let mut documents = Vec::new();
        for line in sample.events.lines().filter(|line| !line.trim().is_empty()) {
            let collection =
                json::parse(line.as_bytes())?.get("type").and_then(Json::as_str).map(str::to_owned);
            documents.push(document(&collection.unwrap_or_default(), line)?);
        }
        let scripts = Scripts {
            additional_sources: &definition.additional_sources,
            numbers: definition.numbers()?,
            ..scripts(&definition.maps, definition.reduce.as_deref())
        };
        // The indexes of a chain map the results of the one before, not events.
        let mapped = definition.maps.iter().any(|map| {
            documents.iter().any(|document: &Document| map.contains(document.collection.as_str()))
        });
        if definition.reduce.is_none() || !mapped || !wants(index.name) {
            continue;
        }
        let mut sources = both_tiers(&scripts)?;
        sources.push(Box::new((index.native)()));
        row(index.name, &documents, &sources)?;
    }
    Ok(())
}

/// The functions of an index in the compiled tier.
///
/// # Errors
/// When the scripts do not compile there.
pub fn compiled(map: &str, reduce: &str) -> Result<Boxed, Box<dyn Error>> {
    let source = ScriptSource::new(&scripts(&[map.to_owned()], Some(reduce)))?;
    Ok(source.in_tier(TierChoice::Compiled)?.create()?)
}

static NO_SOURCES: BTreeMap<String, String> = BTreeMap::new();

fn scripts<'s>(maps: &'s [String], reduce: Option<&'s str>) -> Scripts<'s> {
    Scripts {
        name: "Bench",
        maps,
        reduce,
        finalize: None,
        additional_sources: &NO_SOURCES,
        numbers: Numbers::default(),
    }
}

fn both_tiers(scripts: &Scripts<'_>) -> Result<Vec<Box<dyn Functions>>, Box<dyn Error>> {
    let mut sources: Vec<Box<dyn Functions>> = Vec::new();
    for choice in [TierChoice::Boa, TierChoice::Compiled] {
        // For a profiler, which has seen enough of the engine.
        if choice == TierChoice::Boa && std::env::args().any(|argument| argument == "compiled") {
            continue;
        }
        sources.push(Box::new(ScriptSource::new(scripts)?.in_tier(choice)?));
    }
    Ok(sources)
}

/// Anything that makes functions.
trait Functions {
    fn functions(&self) -> Result<Boxed, Box<dyn Error>>;
}

impl Functions for ScriptSource {
    fn functions(&self) -> Result<Boxed, Box<dyn Error>> {
        Ok(self.create()?)
    }
}

impl Functions for magpie_indexes::function::SharedSource {
    fn functions(&self) -> Result<Boxed, Box<dyn Error>> {
        Ok(self.create()?)
    }
}

/// A document with this body.
///
/// # Errors
/// When it is no JSON.
pub fn document(collection: &str, body: &str) -> Result<Document, Box<dyn Error>> {
    Ok(Document {
        id: DocumentId::new("documents/1-A")?,
        collection: Collection::new(collection)?,
        etag: Etag(1),
        last_modified: Timestamp(0),
        body: json::parse(body.as_bytes())?.to_string().into(),
        metadata: format!(r#"{{"@collection":"{collection}"}}"#).into(),
    })
}

fn row(name: &str, documents: &[Document], sources: &[Box<dyn Functions>]) -> Result<(), Box<dyn Error>> {
    let mut maps = Vec::new();
    let mut reduces = Vec::new();
    for source in sources {
        let mut functions = source.functions()?;
        let mut emitted: Vec<Emitted> = Vec::new();
        // Samples hold events that fail on purpose.
        let sound: Vec<&Document> = documents
            .iter()
            .filter(|document| match functions.map(document, &mut NoLoads) {
                Ok(outputs) => {
                    emitted.extend(outputs);
                    true
                }
                Err(_) => false,
            })
            .collect();
        // The later indexes of a chain map results.
        if sound.is_empty() {
            return Ok(());
        }
        let document = |turn: usize| sound.get(turn % sound.len().max(1)).ok_or("no documents");
        maps.push(rate(|turn| {
            functions.map(document(turn)?, &mut NoLoads)?;
            Ok(())
        })?);
        if functions.map_stored(document(0)?, &mut NoLoads).is_some() {
            maps.push(rate(|turn| {
                functions.map_stored(document(turn)?, &mut NoLoads).transpose()?;
                Ok(())
            })?);
        }
        let key = emitted.first().map(|output| output.key.clone()).unwrap_or_default();
        let values: Vec<Json> =
            emitted.iter().filter(|output| output.key == key).map(|output| output.value.clone()).collect();
        let values: Vec<Json> = values.iter().cycle().take(WIDTH).cloned().collect();
        reduces.push(rate(|_| {
            functions.reduce(&key, &values)?;
            Ok(())
        })?);
        let texts: Vec<Vec<u8>> = values.iter().map(stored_text).collect();
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        if functions.reduce_stored(&key, &texts).is_some() {
            reduces.push(rate(|_| {
                functions.reduce_stored(&key, &texts).transpose()?;
                Ok(())
            })?);
        }
    }
    let cells = [&maps, &reduces].map(|rates| {
        (0..4)
            .map(|place| rates.get(place).map_or("-".to_owned(), |rate| format!("{rate:.0}")))
            .collect::<Vec<_>>()
            .join(" | ")
    });
    println!("| {name} | {} |", cells.join(" | "));
    Ok(())
}

/// A value as rows hold it.
pub fn stored_text(value: &Json) -> Vec<u8> {
    let mut text = Vec::new();
    value.write_stored_to(&mut text);
    text
}

/// The time that this thread ran on a processor, where the system tells it: on a busy machine the clock tells more about
/// the others.
pub fn own_time(begin: Instant) -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let ran = schedule.and_then(|text| text.split_whitespace().next().and_then(|ran| ran.parse().ok()));
    ran.map_or_else(|| begin.elapsed(), Duration::from_nanos)
}

/// Calls per second of this thread's own time.
pub fn rate(mut call: impl FnMut(usize) -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let begin = Instant::now();
    let mut calls = 0_u32;
    let from = own_time(begin);
    let mut turns = 1;
    loop {
        for _ in 0..turns {
            call(usize::try_from(calls)?)?;
            calls += 1;
        }
        let ran = own_time(begin).saturating_sub(from);
        if ran >= Duration::from_millis(RUN_MS) {
            return Ok(f64::from(calls) / ran.as_secs_f64());
        }
        // Asking for the time is not free.
        if ran < Duration::from_millis(RUN_MS / 8) {
            turns = (turns * 2).min(256);
        }
    }
}
