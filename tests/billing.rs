//! The bill of storage is exact: the acceptance table over HTTP, and any history against a naive replay of the events.
//!
//! The replay knows no intervals and no sums: at each instant it applies all events up to it again from the first.

#![cfg(test)]

use magpie_samples::{SAMPLES, Sample};
use magpie_store::Timestamp;
use magpie_store::json::{self, BigInt, Json, Object};
use magpie_tests::sample_database::{LANGUAGES, Language, SampleDatabase, events, shuffle};
use magpie_tests::{material, workspace};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const POLICIES: [&str; 3] = ["equal", "first-linked", "only-if-unshared"];
const NOBODY: &str = "(unattributed)";
/// 2026-03-01T00:00:00Z in milliseconds since 1970.
const MARCH: i64 = 1_772_323_200_000;
const HOUR: i64 = 3_600_000;
/// What each of a window's jobs has cost: byte-milliseconds, and the same in GB-hours.
const WINDOW: &str = "from index 'StorageUsage' \
    where policy = $policy and ((edge = 'to' and at < $to) or (edge = 'from' and at < $from)) \
    reduce by job order by job \
    select job, rateTo * $to - rateFrom * $from + base as cost, \
    divide(rateTo * $to - rateFrom * $from + base, 3600000000000000, 9) as gbHours";

fn sample() -> Sample {
    SAMPLES.into_iter().find(|sample| sample.folder == "storage_gb_hours").unwrap()
}

fn text<'a>(object: &'a Json, field: &str) -> &'a str {
    object.get(field).and_then(Json::as_str).unwrap()
}

/// The instant of an event in milliseconds since 1970.
fn instant(event: &Json) -> i64 {
    Timestamp::parse(text(event, "at")).unwrap().0 / 10_000
}

/// A file as a replay sees it: its size, and since when each job has it.
#[derive(Default)]
struct Replayed {
    size: Option<i64>,
    links: BTreeMap<String, i64>,
}

impl Replayed {
    fn at(events: &[&Json], until: i64) -> Self {
        let mut state = Self::default();
        for event in events.iter().filter(|event| instant(event) <= until) {
            let size = event.get("size").and_then(Json::as_i64);
            match text(event, "type") {
                "FileCreated" => state.size = size,
                "FileResized" => state.size = state.size.and(size),
                "FileLinked" => {
                    state.links.entry(text(event, "job").to_owned()).or_insert_with(|| instant(event));
                }
                "FileUnlinked" => drop(state.links.remove(text(event, "job"))),
                "FileDeleted" => state = Self::default(),
                other => panic!("{other}"),
            }
        }
        state
    }

    /// Bytes by job.
    fn rates(&self, policy: &str) -> BTreeMap<String, i64> {
        let size = self.size.unwrap_or(0);
        let jobs: Vec<&String> = self.links.keys().collect();
        let one = |job: &str| BTreeMap::from([(job.to_owned(), size)]);
        match (policy, jobs.as_slice()) {
            (_, []) => one(NOBODY),
            ("equal", jobs) => {
                let parts = i64::try_from(jobs.len()).unwrap();
                let part = |i: i64| (size + parts - 1 - i).div_euclid(parts);
                (0..).zip(jobs).map(|(i, job)| ((*job).clone(), part(i))).collect()
            }
            ("first-linked", _) => {
                one(self.links.iter().min_by_key(|(job, since)| (**since, *job)).unwrap().0)
            }
            (_, [job]) => one(job),
            _ => one(NOBODY),
        }
    }
}

/// Byte-milliseconds by job and by file, up to `until`.
fn replay(events: &[Json], policy: &str, until: i64) -> [BTreeMap<String, BigInt>; 2] {
    let files: BTreeSet<&str> =
        events.iter().filter_map(|event| event.get("file").and_then(Json::as_str)).collect();
    let [mut by_job, mut by_file]: [BTreeMap<String, BigInt>; 2] = Default::default();
    for file in files {
        let of_file = |event: &&Json| event.get("file").and_then(Json::as_str) == Some(file);
        let mut events: Vec<&Json> = events.iter().filter(of_file).collect();
        events.sort_by_key(|event| {
            (instant(event), event.get("seq").and_then(Json::as_i64).unwrap_or(0), text(event, "id"))
        });
        let mut instants: Vec<i64> = events.iter().map(|event| instant(event)).collect();
        instants.retain(|instant| *instant < until);
        instants.push(until);
        instants.dedup();
        for span in instants.windows(2) {
            let state = Replayed::at(&events, span[0]);
            let length = BigInt::from(span[1] - span[0]);
            *by_file.entry(file.to_owned()).or_default() += &length * state.size.unwrap_or(0);
            for (job, rate) in state.rates(policy) {
                *by_job.entry(job).or_default() += &length * rate;
            }
        }
    }
    for map in [&mut by_job, &mut by_file] {
        map.retain(|_, cost| *cost != BigInt::ZERO);
    }
    [by_job, by_file]
}

/// What the index says of a window, by `field`: the sums of a query, made here from all rows.
fn indexed(
    database: &SampleDatabase,
    policy: &str,
    field: &str,
    window: [i64; 2],
) -> BTreeMap<String, BigInt> {
    let view = database.database.view();
    let [from, to] = window;
    let mut costs: BTreeMap<String, BigInt> = BTreeMap::new();
    for row in database.registry.get("StorageUsage").unwrap().results(&view) {
        let row = row.unwrap();
        let end = if text(&row, "edge") == "to" { to } else { from };
        if text(&row, "policy") == policy && row.get("at").and_then(Json::as_i64).unwrap() < end {
            let number = |name: &str| row.get(name).and_then(Json::as_big_int).unwrap();
            let cost = number("rateTo") * to - number("rateFrom") * from + number("base");
            *costs.entry(text(&row, field).to_owned()).or_default() += cost;
        }
    }
    costs.retain(|_, cost| *cost != BigInt::ZERO);
    costs
}

fn difference(all: &BTreeMap<String, BigInt>, before: &BTreeMap<String, BigInt>) -> BTreeMap<String, BigInt> {
    let mut all = all.clone();
    for (name, cost) in before {
        *all.entry(name.clone()).or_default() -= cost;
    }
    all.retain(|_, cost| *cost != BigInt::ZERO);
    all
}

fn judge(database: &SampleDatabase, live: &[Json], [from, to]: [i64; 2]) {
    assert_eq!(database.refused(), []);
    for policy in POLICIES {
        let [by_job, by_file] = replay(live, policy, to);
        assert_eq!(indexed(database, policy, "job", [0, to]), by_job, "{policy} as of {to}");
        assert_eq!(indexed(database, policy, "file", [0, to]), by_file, "{policy} as of {to}");
        assert_eq!(by_job.values().sum::<BigInt>(), by_file.values().sum(), "{policy} loses nothing");
        let before = replay(live, policy, from);
        let window = [difference(&by_job, &before[0]), difference(&by_file, &before[1])];
        assert_eq!(indexed(database, policy, "job", [from, to]), window[0], "{policy} {from}..{to}");
        assert_eq!(indexed(database, policy, "file", [from, to]), window[1], "{policy} {from}..{to}");
    }
}

/// An event at one of a few instants, so that many meet.
fn an_event() -> impl Strategy<Value = (u8, i64, i64, u8, u8, i64)> {
    let size = prop_oneof![Just(0), 1..20_i64, Just(9_007_199_254_740_991)];
    (0..30_u8, 0..12_i64, 0..3_i64, 0..8_u8, 0..6_u8, size)
}

fn event((id, time, seq, kind, subject, size): (u8, i64, i64, u8, u8, i64)) -> Json {
    let kind = [
        "FileCreated",
        "FileCreated",
        "FileResized",
        "FileLinked",
        "FileLinked",
        "FileLinked",
        "FileUnlinked",
        "FileDeleted",
    ][usize::from(kind)];
    let at = Timestamp((MARCH + time * 1_250) * 10_000).to_string();
    let fields: [(&str, Json); 7] = [
        ("id", format!("e{id:02}").into()),
        ("type", kind.into()),
        ("at", at.into()),
        ("seq", seq.into()),
        ("file", ["f1", "f2"][usize::from(subject % 2)].into()),
        ("job", ["j1", "j2", "j3"][usize::from(subject / 2)].into()),
        ("size", size.into()),
    ];
    Json::Object(fields.into_iter().collect::<Object>())
}

/// Any history: first versions, corrections and deletions, in some order, some twice. A correction may move an event to
/// another file, another time or make another kind of event of it.
fn history(
    drafts: &[(u8, i64, i64, u8, u8, i64)],
    deleted: &[u8],
    seed: u64,
    window: [i64; 2],
    language: Language,
) {
    let mut live: BTreeMap<String, Json> = BTreeMap::new();
    let database = SampleDatabase::new(sample(), language);
    for draft in drafts {
        let event = event(*draft);
        let id = text(&event, "id").to_owned();
        // The collection of a document never changes; another kind of event is another document.
        if live.get(&id).is_some_and(|known| text(known, "type") != text(&event, "type")) {
            database.delete(&id);
        }
        database.load(std::slice::from_ref(&event), 1);
        live.insert(id, event);
    }
    for id in deleted.iter().map(|id| format!("e{id:02}")) {
        if live.remove(&id).is_some() {
            database.delete(&id);
        }
    }
    let mut live: Vec<Json> = live.into_values().collect();
    judge(&database, &live, window);

    let again = SampleDatabase::new(sample(), language);
    shuffle(&mut live, seed);
    again.load(&live, 3);
    again.load(&live[live.len() / 2..], 7);
    assert_eq!(database.results(), again.results());
}

fn cases(usual: u32) -> ProptestConfig {
    let cases = if std::env::var_os("SLOW").is_some() { 20 * usual } else { usual };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn any_history_costs_what_a_replay_says(
        drafts in prop::collection::vec(an_event(), 1..40),
        deleted in prop::collection::vec(0..30_u8, 0..5),
        seed in 1..1000_u64,
        from in MARCH - 2000..MARCH + 20_000,
        length in 0..20_000_i64,
    ) {
        history(&drafts, &deleted, seed, [from, from + length], Language::Rust);
    }
}

proptest! {
    #![proptest_config(cases(15))]

    #[test]
    fn any_history_costs_what_a_replay_says_in_javascript(
        drafts in prop::collection::vec(an_event(), 1..40),
        deleted in prop::collection::vec(0..30_u8, 0..5),
        seed in 1..1000_u64,
        from in MARCH - 2000..MARCH + 20_000,
        length in 0..20_000_i64,
    ) {
        history(&drafts, &deleted, seed, [from, from + length], Language::JavaScript);
    }
}

fn parameters(policy: &str, from: i64, to: i64) -> Object {
    [("policy", Json::from(policy)), ("from", from.into()), ("to", to.into())].into_iter().collect()
}

/// (cost, GB-hours without the zeros at the end) by job.
fn asked(
    database: &SampleDatabase,
    policy: &str,
    [from, to]: [i64; 2],
) -> BTreeMap<String, (String, String)> {
    database.follow();
    let rows = database.ask(WINDOW, Some(parameters(policy, from, to)));
    let figures = |row: &Json| {
        let hours = text(row, "gbHours").trim_end_matches('0').trim_end_matches('.').to_owned();
        (text(row, "job").to_owned(), (row.get("cost").unwrap().as_big_int().unwrap().to_string(), hours))
    };
    rows.iter().map(figures).collect()
}

/// The figures of one entry of the recorded table, in the form of [`asked`].
fn recorded(golden: &Json, entry: &str) -> BTreeMap<String, (String, String)> {
    let jobs = golden.get(entry).and_then(Json::as_object).unwrap();
    let figures = |(job, figures): (&str, &Json)| {
        let seconds: BigInt = text(figures, "byte_seconds").parse().unwrap();
        (job.to_owned(), ((seconds * 1000_i64).to_string(), text(figures, "gb_hours").to_owned()))
    };
    jobs.iter().map(figures).collect()
}

#[test]
fn recorded_figures_are_met_to_the_last_byte() {
    let (Some(log), Some(golden)) =
        (material("data/billing/events.ndjson"), material("data/billing/golden.json"))
    else {
        return;
    };
    let log = events(&std::fs::read_to_string(log).unwrap());
    let golden = json::parse(&std::fs::read(golden).unwrap()).unwrap();
    let day = 24 * HOUR;
    let as_of = [0, MARCH + 84 * HOUR];
    for (language, seed) in LANGUAGES.into_iter().flat_map(|language| [1, 2, 3].map(|seed| (language, seed)))
    {
        let database = SampleDatabase::new(sample(), language);
        let mut arrival = log.clone();
        shuffle(&mut arrival, seed);
        database.load(&arrival, 4);
        database.load(&arrival[..7], 2);
        for (entry, policy, window) in [
            ("day 2026-03-01", "equal", [MARCH, MARCH + day]),
            ("day 2026-03-02", "equal", [MARCH + day, MARCH + 2 * day]),
            ("day 2026-03-03", "equal", [MARCH + 2 * day, MARCH + 3 * day]),
            ("as of 2026-03-03T00:00Z", "equal", [0, MARCH + 2 * day]),
            ("as of 2026-03-04T12:00Z", "equal", as_of),
            ("policy first-linked, as of 2026-03-04T12:00Z", "first-linked", as_of),
            ("policy only-if-unshared, as of 2026-03-04T12:00Z", "only-if-unshared", as_of),
        ] {
            assert_eq!(asked(&database, policy, window), recorded(&golden, entry), "{entry}");
        }
        let late = r#"{"at":"2026-03-02T00:00:00Z","file":"f2","id":"e15","job":"j3","seq":15,"type":"FileUnlinked"}"#;
        database.load(&events(late), 1);
        let entry = "after late e15 (j3 leaves f2 at 2026-03-02T00:00Z), as of 2026-03-04T12:00Z";
        assert_eq!(asked(&database, "equal", as_of), recorded(&golden, entry), "{entry}");
        database.delete("e15");
        let mut corrected =
            log.iter().find(|event| text(event, "id") == "e06").unwrap().as_object().unwrap().clone();
        corrected.insert("size", 75_000_000_000_i64);
        database.load(&[Json::Object(corrected)], 1);
        let entry = "after correction e06 := 75 GB, as of 2026-03-04T12:00Z";
        assert_eq!(asked(&database, "equal", as_of), recorded(&golden, entry), "{entry}");
        database.delete("e06");
        let entry = "after delete of e06, as of 2026-03-04T12:00Z";
        assert_eq!(asked(&database, "equal", as_of), recorded(&golden, entry), "{entry}");
    }
}

#[test]
fn months_have_the_hours_of_their_zone() {
    let database = SampleDatabase::new(sample(), Language::Rust);
    let one =
        r#"{"id":"g1","type":"FileCreated","file":"one","size":1000000000,"at":"2026-01-01T00:00:00Z"}"#;
    database.load(&events(one), 1);
    for (from, to, hours) in [
        // March 2026 in UTC.
        ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", "744"),
        // March 2026, the 29th, and the 25th of October in Madrid: UTC+1, in summer UTC+2.
        ("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z", "743"),
        ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "23"),
        ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "25"),
        // October and November 2026 in New York: UTC-4, from the 1st of November on UTC-5.
        ("2026-10-01T04:00:00Z", "2026-11-01T04:00:00Z", "744"),
        ("2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z", "721"),
    ] {
        let [from, to] = [from, to].map(|at| Timestamp::parse(at).unwrap().0 / 10_000);
        assert_eq!(asked(&database, "equal", [from, to])[NOBODY].1, hours, "{from}");
    }
}

#[test]
fn a_job_that_changes_hands_takes_its_bill_along() {
    for language in LANGUAGES {
        let database = SampleDatabase::new(sample(), language);
        database.load(&events(sample().events), 10);
        let bill = || {
            database.follow();
            let window = [0, MARCH + 84 * HOUR];
            indexed(&database, "equal", "user", window)
                .into_iter()
                .map(|(user, cost)| (user, cost.to_string()))
                .collect::<Vec<_>>()
        };
        let users = |figures: &[(&str, &str)]| {
            figures.iter().map(|(user, cost)| ((*user).to_owned(), (*cost).to_owned())).collect::<Vec<_>>()
        };
        let nobody = (NOBODY, "2016000000000000000");
        let [j1, j2, j3] = ["3240000000172800000", "8423999999913600000", "5831999999913600000"];
        let ada = ("users/ada", "9072000000086400000");
        assert_eq!(bill(), users(&[nobody, ada, ("users/grace", j2)]), "ada has j1 and j3");
        database.load(&events(r#"{"id":"j3","type":"Jobs","user":"users/edsger"}"#), 1);
        let three = [nobody, ("users/ada", j1), ("users/edsger", j3), ("users/grace", j2)];
        assert_eq!(bill(), users(&three), "{language:?}");
        database.delete("j3");
        let unknown =
            [("(unattributed)", nobody.1), ("(unknown)", j3), ("users/ada", j1), ("users/grace", j2)];
        assert_eq!(bill(), users(&unknown), "{language:?}");
    }
}

#[test]
fn a_file_with_too_many_intervals_is_an_error_and_no_wrong_bill() {
    let database = SampleDatabase::new(sample(), Language::Rust);
    let resized = |hour: i64| {
        let at = Timestamp((MARCH + hour * HOUR) * 10_000);
        let kind = if hour == 0 { "FileCreated" } else { "FileResized" };
        format!(r#"{{"id":"r{hour}","type":"{kind}","file":"f","size":{hour},"at":"{at}"}}"#)
    };
    let log: Vec<String> = (0..1025).map(resized).collect();
    database.load(&events(&log[..1024].join("\n")), 1000);
    let window = [0, MARCH + 1024 * HOUR];
    // 0 + 1 + .. + 1023 bytes, each for an hour.
    assert_eq!(asked(&database, "equal", window)[NOBODY].0, (1024 * 1023 / 2 * HOUR).to_string());
    assert_eq!(database.refused(), []);
    database.load(&events(&log[1024]), 1);
    let refused = database.refused();
    assert!(refused.len() == 1 && refused[0].1.contains("1024"), "{refused:?}");
    assert_eq!(asked(&database, "equal", window), BTreeMap::new());
    database.delete("r7");
    assert_eq!(database.refused(), []);
}

#[test]
fn the_table_of_the_readme_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let server = magpie_tests::process::ServerProcess::start(&folder.path().join("data"), &[]).unwrap();
    let client = server.client();
    client
        .put("/admin/databases?name=bills", r#"{"DatabaseName":"bills"}"#)
        .unwrap()
        .expect_status(201)
        .unwrap();
    let definitions: Vec<_> = sample().indexes.iter().map(|index| index.definition().unwrap()).collect();
    let body = serde_json::json!({ "Indexes": definitions }).to_string();
    client.put("/databases/bills/indexes", &body).unwrap().expect_status(201).unwrap();
    client
        .post("/databases/bills/docs/ndjson?collectionFrom=type", sample().events)
        .unwrap()
        .expect_status(201)
        .unwrap();
    let script = workspace().join("samples/storage_gb_hours/table");
    let output =
        std::process::Command::new(script).arg(format!("{}/databases/bills", server.url())).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    println!("{printed}");
    let readme = std::fs::read_to_string(workspace().join("samples/storage_gb_hours/README.md")).unwrap();
    for line in printed.lines() {
        assert!(readme.contains(line), "the README lacks: {line}\n\n{printed}");
    }
    assert_eq!(printed.lines().filter(|line| line.contains('.')).count(), 9, "{printed}");
}
