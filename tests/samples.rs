//! The samples do what their stories say: every query has its expected answer, the JavaScript index and its Rust twin
//! agree byte for byte, in whatever order the events arrive, and a real log of 36,478 events gives known totals.

#![cfg(test)]

use flate2::read::GzDecoder;
use magpie_samples::{SAMPLES, Sample};
use magpie_store::json::{self, Json};
use magpie_tests::material;
use magpie_tests::sample_database::{LANGUAGES, Language, SampleDatabase, events, shuffle};
use std::fs::File;
use std::io::Read;

/// The documents that no index could map.
fn refused(database: &SampleDatabase) -> Vec<String> {
    let mut refused: Vec<String> = database.refused().into_iter().map(|(subject, _)| subject).collect();
    // A document may be mapped by several indexes.
    refused.dedup();
    refused
}

fn both() -> impl Iterator<Item = (Sample, Language)> {
    SAMPLES.into_iter().flat_map(|sample| LANGUAGES.map(|language| (sample, language)))
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
            for language in LANGUAGES {
                let fixture = SampleDatabase::new(sample, language);
                fixture.load(&events, size);
                assert_eq!(fixture.refused(), [], "{} in {language:?}", sample.folder);
                let results = fixture.results();
                let first = first.get_or_insert_with(|| results.clone());
                assert_eq!(&results, first, "{} in {language:?}: order {seed}", sample.folder);
            }
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
    for (sample, language) in both() {
        let fixture = SampleDatabase::new(sample, language);
        fixture.load(&events(sample.events), 1000);
        fixture.follow();
        let queries = json::parse(sample.queries.as_bytes()).unwrap();
        for asked in queries.as_array().unwrap() {
            let query = asked.get("query").and_then(Json::as_str).unwrap();
            let parameters = asked.get("parameters").and_then(Json::as_object).cloned();
            let expected = asked.get("results").and_then(Json::as_array).unwrap();
            let lines = |rows: &[Json]| rows.iter().map(Json::to_string).collect::<Vec<_>>();
            assert_eq!(lines(&fixture.ask(query, parameters)), lines(expected), "{query} in {language:?}");
        }
    }
}

#[test]
fn a_second_delivery_changes_nothing() {
    for (sample, language) in both() {
        let fixture = SampleDatabase::new(sample, language);
        let mut events = events(sample.events);
        fixture.load(&events, 10);
        let once = fixture.results();
        shuffle(&mut events, 5);
        fixture.load(&events, 4);
        assert_eq!(fixture.results(), once, "{} in {language:?}", sample.folder);
    }
}

#[test]
fn an_event_that_is_deleted_never_happened() {
    for (sample, language) in both() {
        let events = events(sample.events);
        for (position, deleted) in events.iter().enumerate() {
            let fixture = SampleDatabase::new(sample, language);
            fixture.load(&events, 1000);
            fixture.follow();
            fixture.delete(deleted.get("id").and_then(Json::as_str).unwrap());
            let mut others = events.clone();
            others.remove(position);
            let without = SampleDatabase::new(sample, language);
            without.load(&others, 1000);
            assert_eq!(fixture.results(), without.results(), "{deleted} in {language:?}");
        }
    }
}

/// As the events in the test that follows, of two samples with several indexes.
const BAD_FOR_SEVERAL: [(&str, &str); 15] = [
    (
        "build_partitions",
        r#"{"id":"b01","type":"WantCreated","want":"w","partitions":"p","at":"2026-03-01T00:00:00Z"}"#,
    ),
    (
        "build_partitions",
        r#"{"id":"b02","type":"WantCreated","want":"w","partitions":[],"at":"2026-03-01T00:00:00Z"}"#,
    ),
    (
        "build_partitions",
        r#"{"id":"b03","type":"WantCancelled","want":null,"partitions":["p"],"at":"2026-03-01T00:00:00Z"}"#,
    ),
    (
        "build_partitions",
        r#"{"id":"b04","type":"JobRunStarted","run":"r","partitions":["p",7],"at":"2026-03-01T00:00:00Z"}"#,
    ),
    (
        "build_partitions",
        r#"{"id":"b05","type":"JobRunFailed","run":"r","partitions":["p"],"at":"2026-03-01T00:00:00Z"}"#,
    ),
    (
        "build_partitions",
        r#"{"id":"b06","type":"JobRunMissingInputs","run":"r","partitions":["p"],"at":"2026-03-01T00:00:00Z"}"#,
    ),
    (
        "build_partitions",
        r#"{"id":"b07","type":"JobRunSucceeded","run":"r","partitions":["p"],"at":"today"}"#,
    ),
    (
        "build_partitions",
        r#"{"id":"b08","type":"PartitionTainted","partition":"p","at":"2026-03-01T00:00:00Z"}"#,
    ),
    ("job_service", r#"{"id":"b1","type":"JobCreated","user":"u","at":"2026-03-01T00:00:00Z"}"#),
    (
        "job_service",
        r#"{"id":"b2","type":"JobChanged","job":"j","fields":{"a":0.5},"at":"2026-03-01T00:00:00Z"}"#,
    ),
    (
        "job_service",
        r#"{"id":"b3","type":"JobChanged","job":"j","fields":{"a":9007199254740993},"at":"2026-03-01T00:00:00Z"}"#,
    ),
    ("job_service", r#"{"id":"b4","type":"JobChanged","job":"j","fields":[1],"at":"2026-03-01T00:00:00Z"}"#),
    ("job_service", r#"{"id":"b5","type":"JobStarted","job":"j","fields":"a","at":"2026-03-01T00:00:00Z"}"#),
    ("job_service", r#"{"id":"b6","type":"JobFailed","job":"j","user":"u"}"#),
    ("job_service", r#"{"id":"b7","type":"CallbackDelivered","job":"j","at":"2026-03-01T00:00:00Z"}"#),
];

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
        (
            "storage_gb_hours",
            r#"{"id":"b1","type":"FileCreated","file":"f1","size":-1,"at":"2026-03-01T00:00:00Z"}"#,
        ),
        (
            "storage_gb_hours",
            r#"{"id":"b2","type":"FileResized","file":"f1","size":"9","at":"2026-03-01T00:00:00Z"}"#,
        ),
        ("storage_gb_hours", r#"{"id":"b3","type":"FileLinked","file":"f1","at":"2026-03-01T00:00:00Z"}"#),
        ("storage_gb_hours", r#"{"id":"b4","type":"FileUnlinked","job":"j1","at":"2026-03-01T00:00:00Z"}"#),
        ("storage_gb_hours", r#"{"id":"b5","type":"FileDeleted","file":"f1","at":"2026-03-01T00:00"}"#),
        (
            "storage_gb_hours",
            r#"{"id":"b6","type":"FileDeleted","file":"f1","seq":"1","at":"2026-03-01T00:00:00Z"}"#,
        ),
    ];
    for (sample, language) in both() {
        let good = SampleDatabase::new(sample, language);
        good.load(&events(sample.events), 1000);
        let fixture = SampleDatabase::new(sample, language);
        fixture.load(&events(sample.events), 1000);
        let bad: Vec<Json> = bad
            .iter()
            .chain(&BAD_FOR_SEVERAL)
            .filter(|(folder, _)| *folder == sample.folder)
            .map(|(_, event)| json::parse(event.as_bytes()).unwrap())
            .collect();
        fixture.load(&bad, 1000);
        let ids: Vec<&str> =
            bad.iter().map(|event| event.get("id").and_then(Json::as_str).unwrap()).collect();
        assert_eq!(refused(&fixture), ids, "{} in {language:?}", sample.folder);
        assert_eq!(fixture.results(), good.results(), "{} in {language:?}", sample.folder);
    }
}

#[test]
fn a_real_log_gives_its_known_totals_to_the_second() {
    let Some(log) = material("data/jobs/nasa-ipsc-1993.job-events.ndjson.gz") else { return };
    let mut text = String::new();
    GzDecoder::new(File::open(log).unwrap()).read_to_string(&mut text).unwrap();
    let sample = SAMPLES.into_iter().find(|sample| sample.folder == "runtime_by_user").unwrap();
    let [fixture, native] = LANGUAGES.map(|language| SampleDatabase::new(sample, language));
    for fixture in [&fixture, &native] {
        fixture.load(&events(&text), 1000);
    }
    assert!(fixture.results() == native.results(), "JavaScript and Rust differ on the real log");
    for fixture in [&fixture, &native] {
        let laws = fixture.registry.check_laws("RuntimeByUser").unwrap();
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
