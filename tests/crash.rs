//! SIGKILL rounds against the real server: writers record what was acknowledged, the process is killed in the middle,
//! and after a restart every acknowledged event must be there, no half batch, and every index equal to a recompute.
//!
//! A killed process does not show a missing fsync (the page cache survives); `faults.rs` does that in memory.

#![cfg(test)]

use magpie_store::json::Json;
use magpie_tests::process::{ServerProcess, binary};
use magpie_tests::wire::Client;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The database that a server without arguments has.
const DATABASE: &str = "/databases/magpie";
const WRITERS: u64 = 4;

/// What a request for a pair of events was last about, and whether it was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Put,
    Deleted,
    /// Killed before the answer: there or not, but both or none.
    Unknown,
}

type Fates = Arc<Mutex<BTreeMap<String, Fate>>>;

fn rounds() -> u64 {
    if std::env::var_os("SLOW").is_some() { 300 } else { 10 }
}

/// A small generator (xorshift), so that a failing run can be told by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let from_clock = since.as_secs() ^ u64::from(since.subsec_nanos()) << 32 | 1;
    std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(from_clock)
}

/// The two commands of one pair: put both events, or delete both.
fn request(pair: &str, delete: bool) -> String {
    let command = |half: &str| {
        let id = format!("{pair}-{half}");
        if delete {
            return format!(r#"{{"Id":"{id}","ChangeVector":null,"Type":"DELETE"}}"#);
        }
        let writer = pair.split('/').nth(1).unwrap();
        format!(
            r#"{{"Id":"{id}","ChangeVector":null,"Type":"PUT","Document":{{"writer":"{writer}","n":1,"@metadata":{{"@collection":"Events"}}}}}}"#
        )
    };
    format!(r#"{{"Commands":[{},{}]}}"#, command("a"), command("b"))
}

/// Writes pairs until the server is gone. Every fourth request deletes an older pair of the same writer.
fn write(client: &Client, round: u64, writer: u64, fates: &Fates, acknowledged: &AtomicU64) {
    for n in 0_u64.. {
        let delete = n % 4 == 3;
        let pair = format!("events/{writer}/{round}-{}", if delete { n - 2 } else { n });
        fates.lock().unwrap().insert(pair.clone(), Fate::Unknown);
        match client.post(&format!("{DATABASE}/bulk_docs"), &request(&pair, delete)) {
            Ok(answer) if answer.status == 201 => {
                fates.lock().unwrap().insert(pair, if delete { Fate::Deleted } else { Fate::Put });
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => panic!("a write was refused with {}: {}", answer.status, answer.text()),
            Err(_) => return,
        }
    }
}

fn put_index(server: &ServerProcess) {
    // A chain: sums by writer become documents, whose sum is the number of all events.
    let definition = r#"{"Indexes":[{"Name":"Sums","Maps":["map('Events', e => ({ writer: e.writer, n: e.n }))"],
        "Reduce":"groupBy(x => x.writer).aggregate(g => ({ writer: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }))",
        "OutputReduceToCollection":"Writers"},
        {"Name":"Total","Maps":["map('Writers', w => ({ all: 'all', n: w.n }))"],
        "Reduce":"groupBy(x => x.all).aggregate(g => ({ all: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }))"},
        {"Name":"Plain","Maps":["map('Events', e => ({ who: 'W' + e.writer, n: e.n }))"]}]}"#;
    server.client().put(&format!("{DATABASE}/indexes"), definition).unwrap().expect_status(201).unwrap();
}

/// So many events that a query on an index of them has terms made.
fn put_many(server: &ServerProcess) {
    let pairs = (0..600).map(|n| request(&format!("events/9/many-{n}"), false));
    for pair in pairs {
        server.client().post(&format!("{DATABASE}/bulk_docs"), &pair).unwrap().expect_status(201).unwrap();
    }
}

/// The rows of a query whose index has caught up.
fn query(server: &ServerProcess, text: &str) -> Vec<Json> {
    answer(server, text).get("Results").and_then(Json::as_array).unwrap().to_vec()
}

/// The answer to a query whose index has caught up.
fn answer(server: &ServerProcess, text: &str) -> Json {
    let body = format!(
        r#"{{"Query":"{text}","WaitForNonStaleResults":true,"WaitForNonStaleResultsTimeout":60000}}"#
    );
    let answer =
        server.client().post(&format!("{DATABASE}/queries"), &body).unwrap().expect_status(200).unwrap();
    let answer = answer.json().unwrap();
    assert_eq!(answer.get("IsStale"), Some(&Json::Bool(false)), "the index catches up");
    answer
}

fn text(json: &Json, path: &[&str]) -> String {
    path.iter().fold(json, |json, key| json.get(key).unwrap()).as_str().unwrap().to_owned()
}

/// A sum, which documents of an index write with a fraction (`2.0`).
fn whole_n(row: &Json) -> i64 {
    let n = row.get("n").and_then(Json::as_number).unwrap().as_f64();
    assert_eq!(n.fract(), 0.0);
    #[expect(clippy::cast_possible_truncation, reason = "a small whole number")]
    let n = n as i64;
    n
}

/// Compares the server's documents and index with what was acknowledged, and settles the unknown.
fn judge(server: &ServerProcess, fates: &Fates, seed: u64) {
    let mut present = BTreeSet::new();
    let mut expected: HashMap<String, i64> = HashMap::new();
    for document in query(server, "from Events") {
        present.insert(text(&document, &["@metadata", "@id"]));
        *expected.entry(text(&document, &["writer"])).or_default() += 1;
    }
    for (pair, fate) in fates.lock().unwrap().iter_mut() {
        let halves = ["a", "b"].map(|half| present.contains(&format!("{pair}-{half}")));
        assert_eq!(halves[0], halves[1], "half a batch of {pair} is there (SEED={seed})");
        match *fate {
            Fate::Put => assert!(halves[0], "the acknowledged {pair} is lost (SEED={seed})"),
            Fate::Deleted => assert!(!halves[0], "the deleted {pair} is back (SEED={seed})"),
            Fate::Unknown => *fate = if halves[0] { Fate::Put } else { Fate::Deleted },
        }
    }
    let sums: HashMap<String, i64> =
        query(server, "from index 'Sums'").iter().map(|row| (text(row, &["writer"]), whole_n(row))).collect();
    assert_eq!(sums, expected, "the index is not the fold of the documents (SEED={seed})");
    let total: Vec<i64> = query(server, "from index 'Total'").iter().map(whole_n).collect();
    let all: i64 = expected.values().sum();
    assert_eq!(total, if expected.is_empty() { vec![] } else { vec![all] }, "the chain's end (SEED={seed})");
    // The first of these has terms made; kills come while they are made, and while they follow.
    for (writer, count) in &expected {
        let found = answer(server, &format!("from index 'Plain' where who = 'w{writer}' order by n limit 1"));
        let total = found.get("TotalResults").and_then(Json::as_i64);
        assert_eq!(total, Some(*count), "what has a term (SEED={seed})");
    }
    let verified =
        server.client().get(&format!("{DATABASE}/indexes/verify")).unwrap().expect_status(200).unwrap();
    for index in verified.json().unwrap().get("Results").and_then(Json::as_array).unwrap() {
        assert_eq!(index.get("Damages"), Some(&Json::from(0_i64)), "{index} (SEED={seed})");
        assert_eq!(index.get("Pending"), Some(&Json::from(0_i64)), "{index} (SEED={seed})");
    }
    let written: HashMap<String, i64> =
        query(server, "from Writers").iter().map(|row| (text(row, &["writer"]), whole_n(row))).collect();
    assert_eq!(written, expected, "the documents of the chain (SEED={seed})");
}

#[test]
fn killed_at_random_moments_nothing_acknowledged_is_lost() {
    let seed = seed();
    println!("SEED={seed}");
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let fates = Fates::default();
    for round in 0..rounds() {
        let mut server = ServerProcess::start(folder.path(), &[]).unwrap();
        if round == 0 {
            put_index(&server);
            put_many(&server);
        }
        judge(&server, &fates, seed);
        let acknowledged = AtomicU64::new(0);
        let kill_after = random.below(150) + 1;
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (client, fates, acknowledged) = (server.client(), &fates, &acknowledged);
                scope.spawn(move || write(&client, round, writer, fates, acknowledged));
            }
            while acknowledged.load(Ordering::SeqCst) < kill_after {
                std::thread::yield_now();
            }
            server.kill().unwrap();
        });
    }
    let server = ServerProcess::start(folder.path(), &[]).unwrap();
    judge(&server, &fates, seed);
    assert!(fates.lock().unwrap().len() as u64 > rounds(), "the writers wrote in every round");
}

/// Starts a server that is expected to end by itself; gives whether it succeeded and what it printed.
fn start_and_end(data: &Path) -> (bool, String) {
    let output = Command::new(binary().unwrap())
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_second_process_on_the_same_folder_says_so_and_leaves_the_first_unhurt() {
    let folder = tempfile::tempdir().unwrap();
    let first = ServerProcess::start(folder.path(), &[]).unwrap();
    let (success, message) = start_and_end(folder.path());
    assert!(!success);
    assert!(message.contains("in use by another"), "{message}");
    first.client().get("/build/version").unwrap().expect_status(200).unwrap();
}

#[test]
fn sigterm_ends_the_server_cleanly_and_the_data_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(folder.path(), &[]).unwrap();
    let put = request("events/0/0-0", false);
    server.client().post(&format!("{DATABASE}/bulk_docs"), &put).unwrap().expect_status(201).unwrap();
    assert!(server.stop().unwrap(), "a stop by SIGTERM is no failure");
    let server = ServerProcess::start(folder.path(), &[]).unwrap();
    assert_eq!(query(&server, "from Events").len(), 2);
}

/// The processor time that a process has used so far, in the system's ticks (a hundredth of a second).
fn processor_ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // Behind the name, which may hold anything: fields 3 and on; user and system time are 14 and 15.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Waits until a server that has nothing else to do is busy with a script.
fn wait_until_busy(server: &ServerProcess) {
    let enough = processor_ticks(server.id()) + 50;
    while processor_ticks(server.id()) < enough {
        std::thread::yield_now();
    }
}

#[test]
fn killed_twice_while_an_index_hangs_the_third_start_serves() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(folder.path(), &[]).unwrap();
    let put = request("events/0/0-0", false);
    server.client().post(&format!("{DATABASE}/bulk_docs"), &put).unwrap().expect_status(201).unwrap();
    put_index(&server);
    query(&server, "from index 'Total'");
    // Within the limits of steps and lengths, and yet minutes of moving elements.
    let hangs = r#"{"Indexes":[{"Name":"Hangs","Maps":["map('Events', e => { const a = []; for (let i = 0; i < 900000; i++) { a.unshift(i); } return { n: a.length }; })"]}]}"#;
    server.client().put(&format!("{DATABASE}/indexes"), hangs).unwrap().expect_status(201).unwrap();
    for _ in 0..2 {
        wait_until_busy(&server);
        server.kill().unwrap();
        server = ServerProcess::start(folder.path(), &[]).unwrap();
    }
    let sums: Vec<i64> = query(&server, "from index 'Total'").iter().map(whole_n).collect();
    assert_eq!(sums, [2], "everything else is served");
    let client = server.client();
    let stats =
        client.get(&format!("{DATABASE}/indexes/stats?name=Hangs")).unwrap().expect_status(200).unwrap();
    let stats = stats.json().unwrap();
    let stats = &stats.get("Results").and_then(Json::as_array).unwrap()[0];
    assert_eq!(text(stats, &["Status"]), "Failed");
    let cause = text(stats, &["Magpie", "Failure"]);
    assert!(cause.contains("was not started") && cause.contains("events/0/0-0-"), "{cause}");
    let refused = client.post(&format!("{DATABASE}/queries"), r#"{"Query":"from index 'Hangs'"}"#).unwrap();
    assert_ne!(refused.status, 200, "{}", refused.text());
    assert!(refused.text().contains("was not started"), "{}", refused.text());
    assert_eq!(query(&server, "from Events").len(), 2);
    let put = request("events/0/0-1", false);
    client.post(&format!("{DATABASE}/bulk_docs"), &put).unwrap().expect_status(201).unwrap();
    let sums: Vec<i64> = query(&server, "from index 'Total'").iter().map(whole_n).collect();
    assert_eq!(sums, [4], "writes are folded");
}

/// Waits until the index has caught up, and gives the number of its results and the sums of a field over them.
fn bulk_results(server: &ServerProcess) -> (i64, i64) {
    let body = r#"{"Query":"from index 'Bulk'","WaitForNonStaleResults":true,"WaitForNonStaleResultsTimeout":"00:01:00"}"#;
    loop {
        let answer = server.client().post(&format!("{DATABASE}/queries"), body).unwrap();
        let answer = answer.expect_status(200).unwrap().json().unwrap();
        if answer.get("IsStale").and_then(Json::as_bool) == Some(false) {
            let rows = answer.get("Results").and_then(Json::as_array).unwrap();
            return (
                rows.iter().map(|_| 1).sum(),
                rows.iter().filter_map(|row| row.get("n")?.as_i64()).sum(),
            );
        }
    }
}

#[test]
fn killed_while_an_index_is_built_in_bulk_it_begins_anew_and_comes_to_the_same() {
    const DOCUMENTS: i64 = 30_000;
    const KEYS: i64 = 700;
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(seed());
    let mut server = ServerProcess::start(folder.path(), &[]).unwrap();
    let lines = (0..DOCUMENTS).map(|n| format!(r#"{{"id":"e/{n}","k":{},"n":{n}}}"#, n % KEYS));
    let lines: Vec<String> = lines.collect();
    let path = format!("{DATABASE}/docs/ndjson?collection=Events&onError=skip");
    let headers = [("Content-Type", "application/x-ndjson")];
    let answer = server.client().send("POST", &path, &headers, Some(lines.join("\n").as_bytes()));
    answer.unwrap().expect_status(201).unwrap();
    let definition = r#"{"Indexes":[{"Name":"Bulk","Configuration":{"Magpie.Laws":"off"},
        "Maps":["map('Events', e => ({ k: e.k, n: e.n }))"],
        "Reduce":"groupBy(x => x.k).aggregate(g => ({ k: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }))"}]}"#;
    server.client().put(&format!("{DATABASE}/indexes"), definition).unwrap().expect_status(201).unwrap();
    for _ in 0..5 {
        // Some time into the build, or before it: as many questions as it takes to ask so many.
        for _ in 0..random.below(12) {
            server.client().get(&format!("{DATABASE}/indexes/staleness?name=Bulk")).unwrap();
        }
        server.kill().unwrap();
        server = ServerProcess::start(folder.path(), &[]).unwrap();
    }
    assert_eq!(bulk_results(&server), (KEYS, DOCUMENTS * (DOCUMENTS - 1) / 2));
    let verified = server.client().get(&format!("{DATABASE}/indexes/verify?name=Bulk")).unwrap();
    let verified = verified.expect_status(200).unwrap().json().unwrap();
    let clean = verified.get("Results").and_then(Json::as_array).unwrap();
    assert!(!clean.is_empty());
    for index in clean {
        assert_eq!(index.get("Damages"), Some(&Json::from(0_i64)), "{verified}");
    }
}
