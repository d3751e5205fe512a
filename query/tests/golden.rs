//! The recorded answers of the original server, asked of this crate over a database in memory. The recordings are not
//! part of the repository; where they are absent, the test says so and ends.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod fake;

use fake::{FakeDatabase, FakeIndex};
use magpie_query::{Answer, QueryError, Request, execute};
use magpie_store::json::{Json, Object, parse};
use std::cmp::Ordering;
use std::io::Write;
use std::path::Path;

/// The fewest cases that have to pass, so that the scope cannot shrink unseen.
const PASSED_MIN: usize = 445;
/// The fewest error messages that have to be the original's to the letter.
const MESSAGES_MIN: usize = 60;

#[derive(Default)]
struct Count {
    passed: usize,
    same_messages: usize,
    out_of_scope: usize,
    quirks: usize,
    quirks_same: usize,
    other: usize,
    failed: Vec<String>,
}

#[test]
fn answers_like_the_original() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/spec/golden"));
    if !folder.is_dir() {
        say("skipped: the recorded answers are not here");
        return;
    }
    let mut all = Count::default();
    for area in ["rql_compare", "rql_order", "rql_select", "rql_group", "errors"] {
        let mut count = Count::default();
        let text = std::fs::read(folder.join(format!("{area}.json"))).expect("the file is readable");
        let file = parse(&text).expect("the file is JSON");
        for group in array(&file, "groups") {
            run_group(group, &mut count);
        }
        say(&format!(
            "{area}: {} passed ({} with the same message), {} out of scope, {} of {} quirks alike, {} other requests, \
             {} failed",
            count.passed,
            count.same_messages,
            count.out_of_scope,
            count.quirks_same,
            count.quirks,
            count.other,
            count.failed.len()
        ));
        all.passed += count.passed;
        all.same_messages += count.same_messages;
        all.out_of_scope += count.out_of_scope;
        all.failed.extend(count.failed);
    }
    say(&format!(
        "all: {} passed, {} out of scope, {} failed",
        all.passed,
        all.out_of_scope,
        all.failed.len()
    ));
    assert!(all.failed.is_empty(), "{} cases failed:\n{}", all.failed.len(), all.failed.join("\n"));
    assert!(all.passed >= PASSED_MIN, "only {} cases passed", all.passed);
    assert!(all.same_messages >= MESSAGES_MIN, "only {} messages are the original's", all.same_messages);
}

/// Writes where test output is not captured, so that the counts show in every log.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Answers that differ on purpose, by query.
const DEVIATIONS: [(&str, &str); 5] = [
    (
        "from People as u where u.name = 'Oren' order by id() load u.friend as fr select { n: fr.name } include u.friend",
        "what is included is found in the document, whatever of it select shows",
    ),
    (
        "from People as u order by id() select { ...u } limit 1",
        "the body of select may use all of JavaScript",
    ),
    (
        "from People as u order by id() select { a: Object.keys(u), b: 'name' in u, j: JSON.stringify(u.addr) }",
        "the body of select may use all of JavaScript",
    ),
    (
        "from Docs1 where a = -",
        "a lone minus sign is no value; the original takes it for a number that nothing equals",
    ),
    (
        "from Rows where n != 2 order by id() desc limit 2,2",
        "2.25 is not 2; the original cuts off fractions before it compares with a whole number",
    ),
];

fn run_group(group: &Json, count: &mut Count) {
    let mut database = FakeDatabase::default();
    if let Some(setup) = group.get("setup") {
        for document in array(setup, "docs") {
            database.put(text(document, "id"), document.get("doc").expect("a document"));
        }
        for index in array(setup, "indexes") {
            database.indexes.push(fake_index(text(index, "Name"), &database));
        }
    }
    for case in array(group, "cases") {
        let request = case.get("request").expect("a request");
        let query = request.get("body").and_then(|body| body.get("Query")).and_then(Json::as_str);
        let is_query =
            text(request, "path").starts_with("/databases/{DB}/queries") && text(request, "method") == "POST";
        let Some(query) = query.filter(|_| is_query) else {
            count.other += 1;
            continue;
        };
        if DEVIATIONS.iter().any(|(deviating, _)| *deviating == query) {
            count.out_of_scope += 1;
            continue;
        }
        let answer = execute(&database, &as_request(request.get("body").expect("a body"), query));
        if matches!(answer, Err(QueryError::NotSupported { .. })) {
            count.out_of_scope += 1;
            continue;
        }
        let is_quirk = case.get("quirk").is_some();
        match (judge(case, answer), is_quirk) {
            (Ok(same_message), false) => {
                count.passed += 1;
                count.same_messages += usize::from(same_message);
            }
            (Err(difference), false) => {
                count.failed.push(format!("[{}] {query}\n    {difference}", text(group, "name")));
            }
            (judged, true) => {
                count.quirks += 1;
                count.quirks_same += usize::from(judged.is_ok());
            }
        }
    }
}

/// The one index of the recordings that queries of these areas name.
fn fake_index(name: &str, database: &FakeDatabase) -> FakeIndex {
    assert_eq!(name, "Ix/JS");
    let entries = database
        .documents
        .iter()
        .filter(|document| document.collection.key() == "docs1")
        .map(|document| {
            let name = document.body_json().remove("name").unwrap_or_default();
            (document.id.as_str().to_owned(), Object::from_distinct(vec![("name".to_owned(), name)]))
        })
        .collect();
    FakeIndex { name: name.to_owned(), fields: vec!["name".to_owned()], entries, ..FakeIndex::default() }
}

fn as_request(body: &Json, query: &str) -> Request {
    let number =
        |key: &str| body.get(key).and_then(Json::as_i64).and_then(|number| u64::try_from(number).ok());
    Request {
        parsed: None,
        query: query.to_owned(),
        parameters: body.get("QueryParameters").and_then(Json::as_object).cloned(),
        start: number("Start").unwrap_or(0),
        page_size: number("PageSize"),
        ..Request::default()
    }
}

/// Whether the answer is the recorded one; for errors whether the message is the same too.
fn judge(case: &Json, answer: Result<Answer, QueryError>) -> Result<bool, String> {
    let response = case.get("response").expect("a response");
    let body = response.get("body").cloned().unwrap_or_default();
    match (answer, response.get("status").and_then(Json::as_i64)) {
        (Ok(answer), Some(200)) => judge_answer(case, &body, answer).map(|()| false),
        (Ok(_), status) => Err(format!("answered, but expected status {status:?} {body}")),
        (Err(QueryError::IndexMissing { .. }), Some(404)) => Ok(true),
        (Err(error), status) => {
            let expected = body.get("Type").and_then(Json::as_str).unwrap_or("no error");
            if status == Some(200) || expected != error.wire_type() {
                return Err(format!("expected {expected}, got {}: {error}", error.wire_type()));
            }
            let message = body.get("Message").and_then(Json::as_str).unwrap_or("");
            Ok(message == error.to_string())
        }
    }
}

fn judge_answer(case: &Json, expected: &Json, answer: Answer) -> Result<(), String> {
    let exact_name = case.get("exact_index_name").is_some();
    let unordered = case.get("unordered").is_some();
    let mut actual = wire(answer, exact_name);
    for key in ["DurationInMs", "IndexTimestamp", "LastQueryTime", "ResultEtag", "NodeTag", "IsStale"] {
        actual.remove(key);
    }
    for (key, wanted) in expected.as_object().expect("an object").iter() {
        let key = key.strip_prefix('/').unwrap_or(key);
        if ["DurationInMs", "IndexTimestamp", "LastQueryTime", "ResultEtag", "NodeTag", "IsStale"]
            .contains(&key)
        {
            continue;
        }
        let Some(found) = actual.remove(key) else { return Err(format!("{key} is missing: {wanted}")) };
        let same = match (key, wanted, &found) {
            ("Results", Json::Array(wanted), Json::Array(found)) if unordered => {
                same_in_any_order(wanted, found)
            }
            _ => same(wanted, &found),
        };
        if !same {
            return Err(format!("{key}: expected {wanted}\n    got {found}"));
        }
    }
    if case.get("only").is_none() && !actual.is_empty() {
        return Err(format!("unexpected {actual}"));
    }
    Ok(())
}

/// The answer as the recordings have it: what differs from run to run is replaced by its kind.
fn wire(answer: Answer, exact_name: bool) -> Object {
    let name = match answer.index_name.strip_prefix("Auto/") {
        Some(rest) if !exact_name => format!("$AUTO:Auto/{}/", rest.split('/').next().unwrap_or("")),
        _ => answer.index_name,
    };
    let mut wire = Object::new();
    let rows: Vec<Json> = answer.rows.into_iter().map(|row| masked(row.into_json())).collect();
    wire.insert("TotalResults", answer.total_results);
    wire.insert("ScannedResults", answer.scanned_results);
    wire.insert("SkippedResults", answer.skipped_results);
    wire.insert("IndexName", name);
    wire.insert(
        "IncludedPaths",
        answer.included_paths.map(|paths| Json::Array(paths.into_iter().map(Json::from).collect())),
    );
    if let Some(capped) = answer.capped_max_results {
        wire.insert("CappedMaxResults", capped);
    }
    wire.insert("Results", rows);
    wire.insert(
        "Includes",
        answer.includes.into_iter().map(|(id, row)| (id, masked(row))).collect::<Object>(),
    );
    wire
}

fn masked(row: Json) -> Json {
    let Json::Object(mut row) = row else { return row };
    if let Some(Json::Object(metadata)) = row.get_mut("@metadata") {
        for (key, mask) in [("@change-vector", "$CV"), ("@last-modified", "$DATEZ"), ("@index-score", "$NUM")]
        {
            if metadata.get(key).is_some_and(|value| !value.is_null()) {
                metadata.insert(key, mask);
            }
        }
    }
    Json::Object(row)
}

fn same(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => left.cmp_value(right) == Ordering::Equal,
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

fn same_in_any_order(wanted: &[Json], found: &[Json]) -> bool {
    let mut left: Vec<&Json> = found.iter().collect();
    wanted.len() == left.len()
        && wanted.iter().all(|row| match left.iter().position(|other| same(row, other)) {
            Some(at) => {
                left.swap_remove(at);
                true
            }
            None => false,
        })
}

fn array<'j>(value: &'j Json, key: &str) -> &'j [Json] {
    value.get(key).and_then(Json::as_array).unwrap_or(&[])
}

fn text<'j>(value: &'j Json, key: &str) -> &'j str {
    value.get(key).and_then(Json::as_str).unwrap_or("")
}
