//! The samples do what their stories say: every query has its expected answer, the JavaScript index and its Rust twin
//! agree byte for byte, in whatever order the events arrive, and a real log of 36,478 events gives known totals.

#![cfg(test)]

use flate2::read::GzDecoder;
use magpie_indexes::{IndexDefinition, NativeIndex, Registry};
use magpie_query::{AutoIndexNames, Request, Snapshot, execute};
use magpie_samples::{SAMPLES, Sample};
use magpie_store::json::{self, Json, Object};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::{Command, Database, NewDocument, Timestamp};
use magpie_tests::material;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

const DATABASE_ID: &str = "0123456789abcdefghijkl";
const WAIT: Duration = Duration::from_secs(300);

/// A database in memory with the indexes of samples, each in both languages.
struct Fixture {
    database: Arc<Database>,
    registry: Arc<Registry>,
}

/// The name of a sample's Rust index.
fn twin(sample: &Sample) -> String {
    format!("{}/Rust", sample.name)
}

impl Fixture {
    fn new(samples: &[Sample]) -> Self {
        let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), DATABASE_ID).unwrap());
        let natives = samples
            .iter()
            .map(|sample| NativeIndex { name: twin(sample), source: (sample.native)() })
            .collect();
        let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), natives).unwrap();
        let definitions: Vec<IndexDefinition> =
            samples.iter().map(|sample| magpie_samples::definition(sample.name, sample.script)).collect();
        registry.put(definitions).unwrap();
        Self { database, registry }
    }

    /// Writes events in batches of `size`.
    fn load(&self, events: &[Json], size: usize) {
        for batch in events.chunks(size) {
            self.database.write(batch.iter().map(put).collect(), Timestamp(0)).unwrap();
        }
    }

    /// The results of an index, one a line in the order of its keys, when it has caught up.
    fn results(&self, name: &str) -> String {
        let index = self.registry.get(name).unwrap();
        assert!(
            index.wait_until_indexed_blocking(self.database.last_etag(), WAIT),
            "{name} did not catch up"
        );
        let view = self.database.view();
        let lines: Vec<String> = index.results(&view).map(|result| result.unwrap().to_string()).collect();
        lines.join("\n")
    }

    /// The rows of a query, without their `@metadata`.
    fn ask(&self, query: &str, parameters: Option<Object>) -> Vec<Json> {
        let view = self.database.view();
        let names = AutoIndexNames::default();
        let request = Request {
            query: query.to_owned(),
            parameters,
            start: 0,
            page_size: None,
            metadata_only: false,
            random_seed: 0,
        };
        let answer = execute(&Snapshot::new(&view, &self.registry, &names), &request)
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        assert!(!answer.is_stale, "{query}");
        let mut rows = answer.rows;
        for row in &mut rows {
            if let Json::Object(row) = row {
                row.remove("@metadata");
            }
        }
        rows
    }

    /// The documents that an index could not map.
    fn refused(&self, name: &str) -> Vec<String> {
        self.results(name);
        let index = self.registry.get(name).unwrap();
        let faults = index.errors(&self.database.view()).unwrap();
        let mut refused: Vec<String> = faults.into_iter().map(|fault| fault.subject).collect();
        refused.sort();
        refused
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.registry.stop();
    }
}

fn put(event: &Json) -> Command {
    let id = event.get("id").and_then(Json::as_str).unwrap();
    let collection = event.get("type").cloned().unwrap();
    let mut document = event.as_object().unwrap().clone();
    let metadata: Object = [("@collection", collection)].into_iter().collect();
    document.insert("@metadata", metadata);
    let document = NewDocument::from_json(id, Json::Object(document)).unwrap();
    Command::Put { id: id.to_owned(), document, expected: None }
}

fn events(text: &str) -> Vec<Json> {
    text.lines().map(|line| json::parse(line.as_bytes()).unwrap()).collect()
}

/// A fixed shuffle: the same seed, the same order.
fn shuffle(events: &mut [Json], seed: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for last in (1..events.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        events.swap(last, usize::try_from(state % (last as u64 + 1)).unwrap());
    }
}

#[test]
fn both_languages_agree_whatever_the_order_of_arrival() {
    for sample in SAMPLES {
        let mut events = events(sample.events);
        let mut first: Option<String> = None;
        for (seed, size) in [(0, 1000), (1, 1), (2, 3), (3, 7)] {
            if seed > 0 {
                shuffle(&mut events, seed);
            }
            let fixture = Fixture::new(&[sample]);
            fixture.load(&events, size);
            let script = fixture.results(sample.name);
            assert_eq!(script, fixture.results(&twin(&sample)), "{}: JavaScript and Rust", sample.folder);
            assert_eq!(fixture.refused(sample.name), Vec::<String>::new(), "{}", sample.folder);
            assert_eq!(
                &script,
                first.get_or_insert_with(|| script.clone()),
                "{}: order {seed}",
                sample.folder
            );
        }
        assert!(
            first.unwrap().lines().count() > 3,
            "{} has too few results to mean something",
            sample.folder
        );
    }
}

#[test]
fn queries_have_their_expected_answers_in_both_languages() {
    for sample in SAMPLES {
        let fixture = Fixture::new(&[sample]);
        fixture.load(&events(sample.events), 1000);
        let names = [sample.name.to_owned(), twin(&sample)];
        for name in &names {
            fixture.results(name);
        }
        let queries = json::parse(sample.queries.as_bytes()).unwrap();
        for asked in queries.as_array().unwrap() {
            let query = asked.get("query").and_then(Json::as_str).unwrap();
            let parameters = asked.get("parameters").and_then(Json::as_object).cloned();
            let expected = asked.get("results").and_then(Json::as_array).unwrap();
            for name in &names {
                let query = query.replacen(&format!("'{}'", sample.name), &format!("'{name}'"), 1);
                assert!(query.contains(name.as_str()), "{query} does not ask {name}");
                let lines = |rows: &[Json]| rows.iter().map(Json::to_string).collect::<Vec<_>>();
                assert_eq!(lines(&fixture.ask(&query, parameters.clone())), lines(expected), "{query}");
            }
        }
    }
}

#[test]
fn a_second_delivery_changes_nothing() {
    for sample in SAMPLES {
        let fixture = Fixture::new(&[sample]);
        let mut events = events(sample.events);
        fixture.load(&events, 10);
        let once = fixture.results(sample.name);
        shuffle(&mut events, 5);
        fixture.load(&events, 4);
        assert_eq!(fixture.results(sample.name), once, "{}", sample.folder);
    }
}

#[test]
fn an_event_that_is_deleted_never_happened() {
    for sample in SAMPLES {
        let events = events(sample.events);
        for (position, deleted) in events.iter().enumerate() {
            let fixture = Fixture::new(&[sample]);
            fixture.load(&events, 1000);
            let id = deleted.get("id").and_then(Json::as_str).unwrap().to_owned();
            fixture.database.write(vec![Command::Delete { id, expected: None }], Timestamp(0)).unwrap();
            let mut others = events.clone();
            others.remove(position);
            let without = Fixture::new(&[sample]);
            without.load(&others, 1000);
            assert_eq!(fixture.results(sample.name), without.results(sample.name), "{deleted}");
        }
    }
}

#[test]
fn bad_events_are_refused_by_both_languages_and_harm_nothing() {
    let bad = [
        (
            "shopping_cart",
            r#"{"id":"b1","type":"AddItemToCart","cart":7,"product":"x","quantity":1,"price":1}"#,
        ),
        ("shopping_cart", r#"{"id":"b2","type":"AddItemToCart","cart":"c","quantity":1,"price":1}"#),
        (
            "shopping_cart",
            r#"{"id":"b3","type":"AddItemToCart","cart":"c","product":"x","quantity":1.5,"price":1}"#,
        ),
        (
            "shopping_cart",
            r#"{"id":"b4","type":"AddItemToCart","cart":"c","product":"x","quantity":-1,"price":1}"#,
        ),
        ("shopping_cart", r#"{"id":"b5","type":"PayForCart","cart":"c","method":"card","amount":"12"}"#),
        (
            "shopping_cart",
            r#"{"id":"b6","type":"PayForCart","cart":"c","method":"card","amount":9007199254740993}"#,
        ),
        ("job_files", r#"{"id":"b1","type":"FileLinked","job":"j","file":null,"at":"2026-03-01T00:00:00Z"}"#),
        ("job_files", r#"{"id":"b2","type":"AllFilesUnlinked","job":"j","at":"2026-03-01"}"#),
        (
            "job_files",
            r#"{"id":"b3","type":"FileUnlinked","job":"j","file":"f","at":"2026-02-29T00:00:00Z"}"#,
        ),
        (
            "runtime_by_user",
            r#"{"id":"b1","type":"JobStarted","job":"j","user":"u","at":"2026-03-01T24:00:00Z"}"#,
        ),
        ("runtime_by_user", r#"{"id":"b2","type":"JobStarted","job":"j","at":"2026-03-01T00:00:00Z"}"#),
        ("runtime_by_user", r#"{"id":"b3","type":"JobCompleted","job":"j","user":"u","at":1772654400}"#),
        (
            "runtime_by_user",
            r#"{"id":"b4","type":"JobStarted","job":"j","user":"u","procs":-2,"at":"2026-03-01T00:00:00Z"}"#,
        ),
    ];
    for sample in SAMPLES {
        let good = Fixture::new(&[sample]);
        good.load(&events(sample.events), 1000);
        let fixture = Fixture::new(&[sample]);
        fixture.load(&events(sample.events), 1000);
        let bad: Vec<Json> = bad
            .iter()
            .filter(|(folder, _)| *folder == sample.folder)
            .map(|(_, event)| json::parse(event.as_bytes()).unwrap())
            .collect();
        fixture.load(&bad, 1000);
        let ids: Vec<&str> =
            bad.iter().map(|event| event.get("id").and_then(Json::as_str).unwrap()).collect();
        assert_eq!(fixture.refused(sample.name), ids, "{} in JavaScript", sample.folder);
        assert_eq!(fixture.refused(&twin(&sample)), ids, "{} in Rust", sample.folder);
        assert_eq!(fixture.results(sample.name), good.results(sample.name), "{}", sample.folder);
    }
}

#[test]
fn a_real_log_gives_its_known_totals_to_the_second() {
    let Some(log) = material("data/jobs/nasa-ipsc-1993.job-events.ndjson.gz") else { return };
    let mut text = String::new();
    GzDecoder::new(File::open(log).unwrap()).read_to_string(&mut text).unwrap();
    let sample = SAMPLES.into_iter().find(|sample| sample.name == "RuntimeByUser").unwrap();
    let fixture = Fixture::new(&[sample]);
    fixture.load(&events(&text), 1000);

    let script = fixture.results(sample.name);
    assert!(script == fixture.results(&twin(&sample)), "JavaScript and Rust differ on the real log");
    for name in [sample.name.to_owned(), twin(&sample)] {
        let laws = fixture.registry.check_laws(&name).unwrap();
        assert!(laws.documents > 100 && laws.broken.is_empty() && laws.inexact.is_empty(), "{laws}");
    }
    let rows = fixture.ask("from index 'RuntimeByUser' order by seconds as long desc", None);
    let number = |row: &Json, field: &str| row.get(field).and_then(Json::as_i64).unwrap();
    let total = |field: &str| rows.iter().map(|row| number(row, field)).sum::<i64>();
    assert_eq!(rows.len(), 69);
    assert_eq!(total("jobs"), 18_239);
    assert_eq!(total("seconds"), 13_950_781);
    assert_eq!(total("processorSeconds"), 474_238_015);
    let top = rows.first().unwrap();
    assert_eq!(top.get("user").and_then(Json::as_str), Some("users/4"));
    assert_eq!(number(top, "seconds"), 3_250_994);
    // The days of every user add up to the user's total, and no job is left open.
    for row in &rows {
        let days = row.get("days").and_then(Json::as_array).unwrap();
        assert_eq!(days.iter().map(|day| number(day, "seconds")).sum::<i64>(), number(row, "seconds"));
        assert_eq!(row.get("open").and_then(Json::as_array), Some([].as_slice()));
    }
}
