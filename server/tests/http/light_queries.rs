//! Queries that are answered where they came in give what they give elsewhere, byte for byte: whatever they ask, and
//! whatever was written in between. A long request is never answered there, so white space tells the two apart.

use crate::client::{Answer, TestServer, start};
use magpie_store::json::Json;

const DATABASE: &str = "/databases/db";
/// Longer than what is planned on the thread that got it.
const LONG: usize = 20_000;

fn put_index(server: &TestServer, name: &str, more: &str) {
    let map = "map('Jobs', j => ({ user: j.user, day: j.day, n: j.n }))";
    let sum = format!("n: g.values.reduce((s, v) => s + v.n, 0){more}");
    let reduce = format!(
        "groupBy(x => ({{ user: x.user, day: x.day }})).aggregate(g => ({{ user: g.key.user, day: g.key.day, {sum} }}))"
    );
    let definition = format!(r#"{{"Indexes":[{{"Name":"{name}","Maps":["{map}"],"Reduce":"{reduce}"}}]}}"#);
    server.put(&format!("{DATABASE}/indexes"), &definition).expect(201);
}

fn put_job(server: &TestServer, id: usize, user: &str, day: &str) {
    let job = format!(r#"{{"user":{user},"day":{day},"n":{id},"@metadata":{{"@collection":"Jobs"}}}}"#);
    server.put(&format!("{DATABASE}/docs?id=j/{id}"), &job).expect(201);
}

fn ask(server: &TestServer, body: &str, headers: &[(&str, &str)]) -> Answer {
    server.send("POST", &format!("{DATABASE}/queries"), headers, body.as_bytes())
}

/// The status, ETag and body of an answer without what hangs on the clock.
fn timeless(answer: &Answer) -> (u16, Option<String>, String) {
    let etag = answer.header("etag").map(str::to_owned);
    let text = answer.text();
    let Ok(Json::Object(mut body)) = magpie_store::json::parse(text.as_bytes()) else {
        return (answer.status, etag, text);
    };
    for clock in ["DurationInMs", "LastQueryTime"] {
        body.remove(clock);
    }
    (answer.status, etag, body.to_string())
}

/// Asks in both ways; gives the number of rows.
fn compare(server: &TestServer, query: &str, parameters: &str, more: &str) -> usize {
    let body = format!(r#"{{"Query":{},"QueryParameters":{parameters}{more}}}"#, Json::from(query));
    let light = ask(server, &body, &[]);
    let heavy = ask(server, &format!("{body}{}", " ".repeat(LONG)), &[]);
    assert_eq!(timeless(&light), timeless(&heavy), "{query} {parameters} {more}");
    if light.status != 200 {
        return 0;
    }
    // The text stands as it is written elsewhere, not only what it says.
    assert_eq!(light.text().len(), light.json().to_string().len(), "{query}");
    if let Some(etag) = light.header("etag") {
        assert_eq!(ask(server, &body, &[("If-None-Match", etag)]).status, 304, "{query}");
    }
    light.json().get("Results").and_then(Json::as_array).map_or(0, <[Json]>::len)
}

fn compare_all(server: &TestServer) -> usize {
    let mut rows = 0;
    for user in ["'ann'", "'ANN'", "'kim'", "'b-3'", "7", "null", "true", "'none'", "'\u{212a}im'"] {
        for condition in ["user = U", "user = U and day = '2025-03-01'", "day = '2025-03-02' and user != U"] {
            let literal = condition.replace('U', user);
            rows += compare(server, &format!("from index 'Totals' where {literal}"), "{}", "");
            let given = user.replace('\'', "\"");
            let asked = format!("from index 'Totals' as t where {}", condition.replace('U', "$u"));
            rows += compare(server, &asked, &format!(r#"{{"u":{given}}}"#), r#","PageSize":3"#);
        }
    }
    for query in [
        "from index 'Totals'",
        "from index 'totals' where n > 3 and n between 1 and 90 limit 2, 5",
        "from index 'Totals' where exact(user = 'Ann') or user in ('kim', 'b-2', 7)",
        "from index 'Totals' where not (user = 'ann') and true",
        "from index 'Totals' where user = 'ann' include timings()",
        "from index 'Totals' where user = $missing",
        "from index 'Totals' where nosuch = 1",
        "from index 'Nowhere' where user = 'ann'",
        "from index 'Totals' where user = 'ann' order by n desc",
        "from index 'Totals' where startsWith(user, 'b') select user",
        "from index 'Totals' where",
    ] {
        // What tells times differs in them.
        if query.contains("timings") {
            let body = format!(r#"{{"Query":{}}}"#, Json::from(query));
            rows += ask(server, &body, &[]).expect(200).json().get("Results").map_or(0, |_| 1);
            continue;
        }
        rows += compare(server, query, "{}", "");
        rows += compare(server, query, "null", r#","Start":1,"WaitForNonStaleResults":true"#);
    }
    rows
}

#[test]
fn an_answer_is_the_same_wherever_it_is_made() {
    let server = start();
    put_index(&server, "Totals", "");
    let users =
        [r#""ann""#, r#""Ann""#, r#""kim""#, r#""Kim""#, "7", "null", "true", r#"["ann","x"]"#, r#"{"a":1}"#];
    for id in 0..60 {
        let user = users.get(id % 11).map_or_else(|| format!("\"b-{id}\""), |user| (*user).to_owned());
        put_job(&server, id, &user, &format!("\"2025-03-{:02}\"", 1 + id % 3));
    }
    let wait = r#"{"Query":"from index 'Totals'","WaitForNonStaleResults":true}"#;
    assert_eq!(ask(&server, wait, &[]).expect(200).at("IsStale"), Json::Bool(false));
    assert!(compare_all(&server) > 100);

    // An index that is behind says so at once, and follows the next write.
    server.post(&format!("{DATABASE}/admin/indexes/stop?name=Totals"), "").expect(204);
    let point = r#"{"Query":"from index 'Totals' where user = 'zoe' and day = 'x'"}"#;
    assert_eq!(ask(&server, point, &[]).at("IsStale"), Json::Bool(false));
    put_job(&server, 1000, r#""zoe""#, r#""x""#);
    let behind = ask(&server, point, &[]).expect(200);
    assert_eq!((behind.at("IsStale"), behind.int_at("TotalResults")), (Json::Bool(true), 0));
    server.post(&format!("{DATABASE}/admin/indexes/start?name=Totals"), "").expect(204);
    ask(&server, wait, &[]).expect(200);
    let followed = ask(&server, point, &[]).expect(200);
    assert_eq!((followed.at("IsStale"), followed.int_at("Results/0/n")), (Json::Bool(false), 1000));

    // The same text asks the index that is there now.
    put_index(&server, "Totals", ", twice: 2");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !ask(&server, point, &[]).text().contains("twice") {
        assert!(std::time::Instant::now() < until, "the index was not replaced");
        std::thread::yield_now();
    }
    ask(&server, wait, &[]).expect(200);
    assert!(compare_all(&server) > 100);
    server.send("DELETE", &format!("{DATABASE}/indexes?name=Totals"), &[], b"").expect(204);
    assert_eq!(ask(&server, point, &[]).status, 404);
}

#[test]
fn what_is_not_in_memory_is_read_elsewhere_and_then_it_is() {
    let server = start();
    put_index(&server, "Totals", "");
    for id in 0..300 {
        put_job(&server, id, &format!("\"u-{id}\""), r#""d""#);
    }
    let wait = r#"{"Query":"from index 'Totals' limit 0","WaitForNonStaleResults":true}"#;
    ask(&server, wait, &[]).expect(200);
    let server = server.restart();
    for id in [3, 3, 299] {
        assert_eq!(
            compare(&server, &format!("from index 'Totals' where user = 'u-{id}' and day = 'd'"), "{}", ""),
            1
        );
    }
    // More rows than are read where it came in.
    assert_eq!(compare(&server, "from index 'Totals' where n >= 0", "{}", ""), 300);
}
