//! `reduce by` over HTTP with a JavaScript index: GB-hours at any time from two exact sums, pages, totals, errors.

#![cfg(test)]

use magpie_store::json::{self, Json, Object};
use magpie_tests::process::ServerProcess;
use magpie_tests::wire::Client;

/// Level changes to the linear form: at T, `a * T + b` are the byte-seconds so far. Scripts calculate in doubles, so sums
/// are kept in two parts of 9 digits and the rest; the query puts them together exactly.
const MAP: &str = "map('Levels', e => {
  const n = -e.bytes * e.t;
  return { org: e.org, user: e.user, day: e.day, a: e.bytes, high: Math.floor(e.high), low: e.low, n: 1 };
})";
const REDUCE: &str = "groupBy(x => ({ org: x.org, user: x.user, day: x.day })).aggregate(g => {
  const sum = f => g.values.reduce((s, v) => s + v[f], 0);
  if (g.key.user === null && g.key.day === null && g.key.org === 'endless') { while (true) { } }
  if (g.key.user === null && g.key.org === 'broken') { throw new Error('no such organisation'); }
  return { org: g.key.org, user: g.key.user, day: g.key.day, a: sum('a'), high: sum('high'), low: sum('low'), n: sum('n') };
})";
/// 2026-03-01T00:00:00Z in seconds.
const MARCH: i128 = 1_772_323_200;
const DAY: i128 = 86_400;
const PART: i128 = 1_000_000_000;

struct Fixture {
    _data: tempfile::TempDir,
    server: ServerProcess,
}

/// Which level changes there are: organisation, user, day and bytes.
fn changes() -> Vec<(String, String, i128, i128)> {
    let mut changes = Vec::new();
    for number in 0..600_i128 {
        let (org, user, day) = (number % 3, number % 7, number % 11);
        // Up to a terabyte and not round: byte-seconds go far beyond 2^53.
        let bytes = 1_000_000_000_007 - number * number * 12_345;
        changes.push((format!("org{org}"), format!("users/{user}"), day, bytes));
    }
    changes
}

impl Fixture {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(data.path(), &[]).unwrap();
        let fixture = Self { _data: data, server };
        let client = fixture.client();
        let database =
            client.send("PUT", "/admin/databases", &[], Some(br#"{"DatabaseName":"bill"}"#)).unwrap();
        assert!(database.status < 300, "{database:?}");
        let index = Object::from_iter([
            ("Name", Json::from("Usage")),
            ("Maps", Json::Array(vec![Json::from(MAP)])),
            ("Reduce", Json::from(REDUCE)),
        ]);
        let definition = Object::from_iter([("Indexes", Json::Array(vec![Json::Object(index)]))]);
        let put =
            client.send("PUT", "/databases/bill/admin/indexes", &[], Some(definition.to_string().as_bytes()));
        assert_eq!(put.unwrap().status, 201);
        let mut lines = String::new();
        let more = ["endless", "broken"].map(|org| (org.to_owned(), "users/0".to_owned(), 0, 5));
        for (number, (org, user, day, bytes)) in changes().into_iter().chain(more).enumerate() {
            let b = -bytes * (MARCH + day * DAY);
            let (high, low) = (b.div_euclid(PART), b.rem_euclid(PART));
            lines.push_str(&format!(
                r#"{{"@metadata":{{"@collection":"Levels","@id":"levels/{number}"}},"org":"{org}","user":"{user}","day":{day},"t":{},"bytes":{bytes},"high":{high},"low":{low}}}"#,
                MARCH + day * DAY
            ));
            lines.push('\n');
        }
        let load = client.send("POST", "/databases/bill/docs/ndjson", &[], Some(lines.as_bytes())).unwrap();
        assert!(load.status < 300, "{}", String::from_utf8_lossy(&load.body));
        fixture
    }

    fn client(&self) -> Client {
        self.server.client()
    }

    fn post(&self, query: &str, parameters: &str) -> (u16, Json) {
        let body = format!(
            r#"{{"Query":{},"QueryParameters":{parameters},"WaitForNonStaleResults":true}}"#,
            Json::from(query)
        );
        let answer = self.client().post("/databases/bill/queries", &body).unwrap();
        (answer.status, json::parse(&answer.body).unwrap())
    }

    fn ask(&self, query: &str, parameters: &str) -> Json {
        let (status, answer) = self.post(query, parameters);
        assert_eq!(status, 200, "{query}: {answer}");
        assert_eq!(answer.get("IsStale"), Some(&Json::Bool(false)), "{query}");
        answer
    }
}

fn rows(answer: &Json) -> &[Json] {
    answer.get("Results").and_then(Json::as_array).unwrap()
}

fn text<'r>(row: &'r Json, field: &str) -> &'r str {
    row.get(field).and_then(Json::as_str).unwrap()
}

/// The exact byte-seconds until `time` of the changes that fit.
fn byte_seconds(time: i128, fits: impl Fn(&str, &str) -> bool) -> i128 {
    let fitting = changes().into_iter().filter(|(org, user, _, _)| fits(org, user));
    fitting.map(|(_, _, day, bytes)| bytes * (time - MARCH - day * DAY)).sum()
}

#[test]
fn usage_is_exact_at_any_time_and_by_any_fields() {
    let fixture = Fixture::start();
    let time = MARCH + 31 * DAY;
    let parameters = format!(r#"{{"T":{time},"P":{PART},"org":"ORG1"}}"#);
    let usage = "a * $T + bigint(high) * $P + low";
    let answer = fixture.ask(
        &format!(
            "from index 'Usage' where org != 'endless' and org != 'broken' reduce by user order by n as long desc, user \
             select user, {usage} as byteSeconds, divide({usage}, 3600 * $P, 3) as gbHours, n"
        ),
        &parameters,
    );
    assert_eq!(answer.get("TotalResults").and_then(Json::as_i64), Some(7));
    assert_eq!(rows(&answer).len(), 7);
    let mut all = 0;
    for row in rows(&answer) {
        let user = text(row, "user");
        let exact = byte_seconds(time, |_, of| of == user);
        assert!(exact > 1 << 60, "more than a double holds");
        assert_eq!(text(row, "byteSeconds"), exact.to_string(), "{user}");
        let (whole, thousandths) = text(row, "gbHours").split_once('.').unwrap();
        let shown: i128 = format!("{whole}{thousandths}").parse().unwrap();
        assert!((shown * 3600 * PART - exact * 1000).abs() * 2 <= 3600 * PART, "{user}: {shown}");
        assert!(row.get("org").is_none() && row.get("day").is_none());
        all += exact;
    }
    let one = fixture.ask(
        &format!("from index 'Usage' where org in ('org0', $org, 'org2') reduce select {usage} as x"),
        &parameters,
    );
    assert_eq!(rows(&one).len(), 1);
    assert_eq!(text(&rows(&one)[0], "x"), all.to_string());
    let page = fixture.ask(
        "from index 'Usage' where org = $org reduce by user, day order by day as long desc, user limit 3, 2",
        &parameters,
    );
    assert_eq!(page.get("TotalResults").and_then(Json::as_i64), Some(77));
    let found: Vec<(i64, &str)> = rows(&page)
        .iter()
        .map(|row| (row.get("day").unwrap().as_i64().unwrap(), text(row, "user")))
        .collect();
    assert_eq!(found, [(10, "users/3"), (10, "users/4")]);
}

#[test]
fn what_goes_wrong_is_said_and_stops_nothing_else() {
    let fixture = Fixture::start();
    let refused = |query: &str, status: u16, parts: &[&str]| {
        let (found, answer) = fixture.post(query, r#"{"T":1.5}"#);
        let message = text(&answer, "Message");
        assert_eq!(found, status, "{query}: {message}");
        for part in parts {
            assert!(message.contains(part), "{query}: {message}");
        }
    };
    refused("from index 'Usage' reduce by a", 400, &["1:30", "'org', 'user', 'day'", "not 'a'"]);
    refused("from Levels reduce by user", 400, &["needs from index"]);
    refused("from index 'Usage' reduce by org select a * $T as x", 400, &["The parameter 'T' is 1.5"]);
    refused(
        "from index 'Usage' where org = 'org1' reduce by user select bigint(user) as x",
        400,
        &["1:68 The field 'user' of row", "users/0"],
    );
    refused(
        "from index 'Usage' where org = 'broken' reduce by org, day",
        500,
        &["the reduce of index 'Usage' failed", "'org' : broken", "no such organisation", "(line 4,"],
    );
    refused(
        "from index 'Usage' where org = 'endless' reduce by org",
        500,
        &["the reduce of index 'Usage' failed"],
    );
    let answer = fixture.ask("from index 'Usage' where org = 'org2' reduce by org select n", "{}");
    assert_eq!(rows(&answer)[0].get("n").and_then(Json::as_i64), Some(200));
}
