//! Answers over a database in memory: paging, ordering with little memory, duplicates, includes, indexes, ids, limits.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "answers/comparisons.rs"]
mod comparisons;
mod fake;
#[path = "answers/groups.rs"]
mod groups;
#[path = "answers/projections.rs"]
mod projections;
#[path = "answers/refusals.rs"]
mod refusals;
#[path = "answers/scripts.rs"]
mod scripts;
#[path = "answers/tallies.rs"]
mod tallies;

use fake::{FakeDatabase, FakeIndex, object};
use magpie_query::{Answer, QueryError, Request, execute, stream};
use magpie_store::json::{Json, Object};

fn request(query: &str) -> Request {
    Request { query: query.to_owned(), parameters: Some(Object::new()), ..Request::default() }
}

fn ask(database: &FakeDatabase, query: &str) -> Answer {
    execute(database, &request(query)).unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn refused(database: &FakeDatabase, query: &str) -> QueryError {
    match execute(database, &request(query)) {
        Ok(answer) => panic!("{query}: {answer:?}"),
        Err(error) => error,
    }
}

/// The ids of the rows.
fn ids(answer: &Answer) -> Vec<String> {
    let id = |row: &Json| row.get("@metadata").unwrap().get("@id").unwrap().as_str().unwrap().to_owned();
    answer.json_rows().iter().map(id).collect()
}

/// The rows without metadata.
fn plain(answer: &Answer) -> Vec<String> {
    let without = |row: &Json| {
        let mut row = row.as_object().unwrap().clone();
        row.remove("@metadata");
        row.to_string()
    };
    answer.json_rows().iter().map(without).collect()
}

/// 100 jobs of 10 users, in a scrambled order.
fn jobs() -> FakeDatabase {
    let mut database = FakeDatabase::default();
    for number in 0..100_u64 {
        let number = number * 37 % 100;
        let text = format!(r#"{{"n":{number},"user":"User{}","log":"logs/{}"}}"#, number % 10, number % 3);
        database.put_text(&format!("Jobs/{number}"), "Jobs", &text);
    }
    for number in 0..3 {
        database.put_text(&format!("logs/{number}"), "Logs", r#"{"lines":5}"#);
    }
    database.put_text("Raven/Hilo/jobs", "@hilo", r#"{"Max":32}"#);
    database
}

#[test]
fn pages_are_cut_from_one_order() {
    let database = jobs();
    let all = ask(&database, "from Jobs order by n as long");
    assert_eq!(all.rows.len(), 100);
    assert_eq!((all.total_results, all.capped_max_results), (100, None));
    for (query, expected) in [
        ("from Jobs order by n as long limit 3", vec![0, 1, 2]),
        ("from Jobs order by n as long limit 2, 3", vec![2, 3, 4]),
        ("from Jobs order by n as long limit 3 offset 98", vec![98, 99]),
        ("from Jobs order by n as long desc offset 97", vec![2, 1, 0]),
        ("from Jobs where n >= 50 order by n as double limit 1", vec![50]),
        ("from Jobs order by n as long limit 0", vec![]),
        ("from Jobs order by n as long limit 5 offset 18446744073709551615", vec![]),
    ] {
        let result = execute(&database, &request(query));
        if query.contains("18446744073709551615") {
            assert!(matches!(result, Err(QueryError::Operation { .. })), "{query}");
            continue;
        }
        let answer = result.unwrap();
        let found: Vec<i64> =
            answer.json_rows().iter().map(|row| row.get("n").unwrap().as_i64().unwrap()).collect();
        assert_eq!(found, expected, "{query}");
        let total = if query.contains("where") { 50 } else { 100 };
        assert_eq!(answer.total_results, total, "{query}");
    }
}

#[test]
fn the_later_start_and_the_smaller_page_count() {
    let database = jobs();
    let mut asked = request("from Jobs order by n as long limit 2, 10");
    asked.start = 3;
    asked.page_size = Some(2);
    let answer = execute(&database, &asked).unwrap();
    assert_eq!(ids(&answer), ["Jobs/3", "Jobs/4"]);
    assert_eq!(answer.capped_max_results, Some(10));
    asked.page_size = Some(u64::MAX);
    assert_eq!(execute(&database, &asked).unwrap().rows.len(), 10);
    asked.metadata_only = true;
    assert_eq!(plain(&execute(&database, &asked).unwrap()), ["{}"; 10]);
}

#[test]
fn equal_sort_keys_keep_the_order_of_writing() {
    let database = jobs();
    let sorted = ask(&database, "from Jobs order by user");
    let first: Vec<String> = ids(&sorted).into_iter().take(4).collect();
    assert_eq!(first, ["Jobs/0", "Jobs/70", "Jobs/40", "Jobs/10"]);
    let random = ask(&database, "from Jobs order by random('seed')");
    assert_eq!(ids(&random), ids(&ask(&database, "from Jobs order by random('seed')")));
    assert_ne!(ids(&random), ids(&ask(&database, "from Jobs order by random('other')")));
    assert_eq!(ids(&ask(&database, "from Jobs order by score()")), ids(&ask(&database, "from Jobs")));
}

#[test]
fn distinct_counts_what_it_leaves_out_up_to_the_end_of_the_page() {
    let database = jobs();
    for (query, rows, skipped) in [
        ("from Jobs select distinct user", 10, 90),
        ("from Jobs order by user select distinct user", 10, 90),
        ("from Jobs order by user select distinct user limit 2", 2, 9),
        ("from Jobs order by user desc select distinct user limit 1, 2", 2, 18),
        ("from Jobs order by user select distinct user limit 100", 10, 90),
        ("from Jobs order by n as long select distinct user limit 10", 10, 0),
        ("from Jobs select distinct n", 100, 0),
    ] {
        let answer = ask(&database, query);
        assert_eq!(
            (answer.rows.len(), answer.skipped_results, answer.total_results),
            (rows, skipped, 100),
            "{query}"
        );
    }
    let paged = ask(&database, "from Jobs order by user desc select distinct user limit 1, 2");
    assert_eq!(plain(&paged), [r#"{"user":"User8"}"#, r#"{"user":"User7"}"#]);
}

#[test]
fn includes_come_once_and_not_for_rows() {
    let mut database = jobs();
    database.put_text("Jobs/x", "Jobs", r#"{"log":["LOGS/1","jobs/0","nope",null,7],"n":0}"#);
    let answer = ask(&database, "from Jobs as j where j.n < 3 order by n as long include j.log, 'log'");
    assert_eq!(ids(&answer), ["Jobs/0", "Jobs/x", "Jobs/1", "Jobs/2"]);
    assert_eq!(answer.includes.keys().collect::<Vec<_>>(), ["logs/0", "logs/1", "logs/2"]);
    assert_eq!(answer.included_paths.as_deref(), Some(["log".to_owned(), "log".to_owned()].as_slice()));
    // Includes are found in what is given.
    let projected = ask(&database, "from Jobs where id() = 'jobs/x' select n, log as l include l");
    assert_eq!(projected.includes.keys().collect::<Vec<_>>(), ["logs/1", "Jobs/0"]);
    let projected = ask(&database, "from Jobs where id() = 'jobs/x' select n include log");
    assert_eq!(projected.includes.keys().count(), 0);
}

#[test]
fn ids_are_found_without_reading_the_collection() {
    let mut database = jobs();
    for (query, expected, name) in [
        ("from Jobs where id() = 'JOBS/7'", vec!["Jobs/7"], "collection/Jobs"),
        (
            "from jobs where id() in ('jobs/9', 'Jobs/7', 'JOBS/9', 'logs/1')",
            vec!["Jobs/9", "Jobs/7"],
            "collection/jobs",
        ),
        ("from Jobs where startsWith(id(), 'jobs/9')", vec!["Jobs/9", "Jobs/90"], "collection/Jobs"),
        ("from Jobs as j where id(j) = 'jobs/7' and j.n = 7", vec!["Jobs/7"], "Auto/Jobs/Byn"),
        ("from Jobs where id() = 'jobs/7' and n = 8", vec![], "Auto/Jobs/Byn"),
        ("from Jobs where n = 7 or id() = 'jobs/8'", vec!["Jobs/7", "Jobs/8"], "Auto/Jobs/Byn"),
        ("from @all_docs where id() = 'raven/hilo/jobs'", vec![], "collection/@all_docs"),
        ("from Jobs where id() = 'jobs/7' order by id()", vec!["Jobs/7"], "Auto/Jobs/Byn"),
    ] {
        let answer = ask(&database, query);
        let found: Vec<String> = ids(&answer).into_iter().take(2).collect();
        assert_eq!(found, expected, "{query}");
        assert_eq!(answer.index_name, name, "{query}");
    }
    assert_eq!(ask(&database, "from Jobs where startsWith(id(), 'jobs/9')").total_results, -1);
    assert_eq!(ask(&database, "from Jobs where startsWith(id(), 'jobs/9') and n > 0").total_results, 11);
    // A date as an id is text: other spellings of the instant are other ids.
    database.put_text("2024-01-01", "Days", "{}");
    assert_eq!(ask(&database, "from Days where id() = '2024-01-01T00:00:00'").rows.len(), 0);
    assert_eq!(ask(&database, "from Days where true and id() = '2024-01-01T00:00:00'").rows.len(), 0);
    assert_eq!(ask(&database, "from Days where true and id() != '2024-01-01T00:00:00'").rows.len(), 1);
}

fn fan_out() -> FakeDatabase {
    let mut database = FakeDatabase::default();
    let mut index = FakeIndex {
        name: "Tags/All".to_owned(),
        fields: vec!["tag".to_owned(), "size".to_owned()],
        ..FakeIndex::default()
    };
    for (id, tags) in [("t/1", vec!["x", "y"]), ("t/2", vec!["y", "z", "z"]), ("t/3", vec!["x"])] {
        database.put_text(id, "Things", &format!(r#"{{"name":"{id}"}}"#));
        for tag in tags {
            index
                .entries
                .push((id.to_owned(), object(&format!(r#"{{"tag":"{tag}","size":{}}}"#, tag.len()))));
        }
    }
    index.entries.push(("t/gone".to_owned(), object(r#"{"tag":"a"}"#)));
    database.indexes.push(index);
    database
}

#[test]
fn entries_count_and_documents_come_once() {
    let database = fan_out();
    for (query, rows, total, skipped) in [
        ("from index 'Tags/All'", vec!["t/1", "t/2", "t/3"], 7, 3),
        ("from index 'tags/all' limit 1", vec!["t/1"], 7, 0),
        ("from index 'Tags/All' limit 1, 2", vec!["t/2", "t/3"], 7, 3),
        ("from index 'Tags/All' where tag = 'X' or tag = 'y'", vec!["t/1", "t/2", "t/3"], 4, 1),
        ("from index 'Tags/All' order by tag desc limit 2", vec!["t/2", "t/1"], 7, 1),
        ("from index 'Tags/All' where id() = 'T/2'", vec!["t/2"], 3, 2),
        ("from index 'Tags/All' as t where t.tag = 'x' select t.name as n", vec!["t/1", "t/3"], 2, 0),
    ] {
        let answer = ask(&database, query);
        assert_eq!(ids(&answer), rows, "{query}");
        assert_eq!((answer.total_results, answer.skipped_results), (total, skipped), "{query}");
        assert_eq!(answer.index_name, "Tags/All");
    }
    assert!(matches!(
        refused(&database, "from index 'Tags/All' where name = 1"),
        QueryError::Argument { .. }
    ));
    assert!(matches!(refused(&database, "from index 'Tags/All' order by name"), QueryError::Argument { .. }));
    assert!(
        matches!(refused(&database, "from index 'Tags'"), QueryError::IndexMissing { name } if name == "Tags")
    );
    // In an index the terms are lower-cased, so a value with capitals is found by no exact comparison.
    assert_eq!(ask(&database, "from index 'Tags/All' where exact(tag = 'X')").rows.len(), 0);
    assert_eq!(ask(&database, "from index 'Tags/All' where exact(tag = 'x')").rows.len(), 2);
}

#[test]
fn results_have_no_id_and_stay_whole() {
    let mut database = FakeDatabase::default();
    let results = [
        r#"{"user":"Ann","n":2,"at":{"day":1}}"#,
        r#"{"user":"ann","n":10,"at":{"day":2}}"#,
        r#"{"user":null,"n":1}"#,
    ];
    database.indexes.push(FakeIndex {
        name: "ByUser".to_owned(),
        fields: vec!["user".to_owned(), "n".to_owned(), "at".to_owned()],
        results: results.iter().map(|text| object(text)).collect(),
        is_map_reduce: true,
        ..FakeIndex::default()
    });
    let all = ask(&database, "from index ByUser order by n as long desc");
    assert_eq!(plain(&all), [results[1], results[0], results[2]]);
    assert_eq!(all.json_rows()[0].get("@metadata").unwrap().to_string(), r#"{"@change-vector":null}"#);
    let some = ask(
        &database,
        "from index ByUser as r where r.user = 'ANN' and r.at.day > 0 select r.n as total, id()",
    );
    assert_eq!(plain(&some), [r#"{"total":2,"id()":null}"#, r#"{"total":10,"id()":null}"#]);
    assert_eq!(
        some.json_rows()[0].get("@metadata").unwrap().to_string(),
        r#"{"@projection":true,"@change-vector":null}"#
    );
    assert!(matches!(refused(&database, "from index ByUser where id() = 'x'"), QueryError::Argument { .. }));
    assert!(matches!(refused(&database, "from index ByUser group by user"), QueryError::Argument { .. }));
}

#[test]
fn numbers_compare_exactly() {
    let mut database = FakeDatabase::default();
    let numbers = [
        "1",
        "1.0",
        "1.5",
        "1e0",
        "-1.5",
        "0",
        "-0",
        "9007199254740992",
        "9007199254740993",
        "9223372036854775808",
        "0.1",
        "0.10000000000000000001",
        "1e300",
    ];
    for number in numbers {
        database.put_text(&format!("n/{number}"), "N", &format!(r#"{{"v":{number}}}"#));
    }
    for (condition, expected) in [
        ("v = 1", "1 1.0 1e0"),
        ("v > 1 and v < 2", "1.5"),
        ("v < 0", "-1.5"),
        ("v = 0", "0 -0"),
        ("v = 9007199254740993", "9007199254740993"),
        ("v > 9223372036854775807", "9223372036854775808 1e300"),
        ("v = 0.1", "0.1"),
        ("v > 0.1 and v <= 0.10000000000000000001", "0.10000000000000000001"),
        ("v in (1.0, -1.50)", "1 1.0 1e0 -1.5"),
        ("v = '1'", "1 1.0 1e0"),
        ("v = '1.0'", ""),
    ] {
        let answer = ask(&database, &format!("from N where {condition}"));
        let found: Vec<String> =
            ids(&answer).iter().map(|id| id.trim_start_matches("n/").to_owned()).collect();
        assert_eq!(found.join(" "), expected, "{condition}");
    }
}

#[test]
fn parameters_are_values_and_missing_ones_are_named() {
    let database = jobs();
    let with = |query: &str, parameters: &str| {
        let parameters = Some(object(parameters));
        execute(&database, &Request { parameters, ..request(query) })
    };
    assert_eq!(with("from Jobs where n in ($list)", r#"{"list":[1,"2",[3],null]}"#).unwrap().rows.len(), 2);
    assert_eq!(
        with("from Jobs where user = $u and n < $n", r#"{"u":"user1","n":12}"#).unwrap().rows.len(),
        2
    );
    assert_eq!(with("from Jobs limit $p0, $p1", r#"{"p0":null,"p1":0}"#).unwrap().total_results, 100);
    assert_eq!(
        with("from Jobs select $p as p limit 1", r#"{"p":{"a":[1]}}"#).unwrap().json_rows()[0]
            .get("p")
            .unwrap()
            .to_string(),
        r#"{"a":[1]}"#
    );
    for (query, parameters, text) in [
        ("from Jobs where n = $x", "{}", "Value of parameter 'x' was not provided"),
        ("from Jobs where n = $x", r#"{"x":[1]}"#, "lists go with 'in'"),
        ("from Jobs where n between $a and $b", r#"{"a":1,"b":"x"}"#, "Incompatible types"),
        ("from Jobs limit $x", r#"{"x":-1}"#, "cannot be negative, but was -1"),
        ("from Jobs where startsWith(user, $x)", r#"{"x":1}"#, "of type String while it got Long"),
    ] {
        let error = with(query, parameters).unwrap_err().to_string();
        assert!(error.contains(text), "{query}: {error}");
    }
    let none =
        execute(&database, &Request { parameters: None, ..request("from Jobs where n = $x") }).unwrap_err();
    assert!(none.to_string().contains("the actual values of parameters were not provided"));
}

#[test]
fn what_is_not_answered_is_refused_by_name_and_place() {
    let database = jobs();
    for (query, feature, line, column) in [
        ("from Jobs where spatial.within(a, spatial.circle(1, 2, 3))", "spatial.within() in where", 1, 17),
        (
            "from Jobs order by spatial.distance(a, spatial.point(1, 2))",
            "spatial.distance() in order by",
            1,
            20,
        ),
        ("declare timeseries x() { } from Jobs", "declare timeseries", 1, 1),
    ] {
        match refused(&database, query) {
            QueryError::NotSupported { feature: f, line: l, column: c } => {
                assert_eq!((f.as_str(), l, c), (feature, line, column), "{query}");
            }
            other => panic!("{query}: {other}"),
        }
    }
}

#[test]
fn result_etags_follow_the_state_and_the_question() {
    let mut database = jobs();
    let first = ask(&database, "from Jobs where n = 1").result_etag;
    assert_eq!(first, ask(&database, "from Jobs where n = 1").result_etag);
    assert_ne!(first, ask(&database, "from Jobs where n = 2").result_etag);
    let mut paged = request("from Jobs where n = 1");
    paged.start = 1;
    assert_ne!(first, execute(&database, &paged).unwrap().result_etag);
    database.put_text("other/1", "Others", "{}");
    assert_ne!(first, ask(&database, "from Jobs where n = 1").result_etag);
}

#[test]
fn a_stream_gives_the_same_rows_and_stops_when_told() {
    let database = jobs();
    for query in [
        "from Jobs where n > 50",
        "from Jobs order by n as long desc limit 7",
        "from Jobs select distinct user",
    ] {
        let mut rows = Vec::new();
        let answer = stream(&database, &request(query), &mut |row| {
            rows.push(row);
            Ok(())
        })
        .unwrap();
        let whole = ask(&database, query);
        assert_eq!(rows, whole.rows, "{query}");
        assert_eq!((answer.rows.len(), answer.total_results), (0, whole.total_results));
    }
    let mut given = 0;
    let stopped = stream(&database, &request("from Jobs"), &mut |_| {
        given += 1;
        if given == 3 { Err(QueryError::Operation { message: "gone".to_owned() }) } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(QueryError::Operation { .. })));
    assert_eq!(given, 3);
}

#[test]
fn answers_and_sorts_are_bounded() {
    let mut database = FakeDatabase::default();
    let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(4 * 1024 * 1024));
    for number in 0..36 {
        database.put_text(&format!("big/{number}"), "Big", &text);
    }
    for (query, name) in [
        ("from Big", "answer_bytes_max"),
        ("from Big order by id()", "sorted_bytes_max"),
        ("from Big order by id() limit 33", "sorted_bytes_max"),
    ] {
        match refused(&database, query) {
            QueryError::LimitReached { name: found, .. } => assert_eq!(found, name, "{query}"),
            other => panic!("{query}: {other}"),
        }
    }
    assert_eq!(ask(&database, "from Big order by id() desc limit 2").rows.len(), 2);
    let mut streamed = 0;
    stream(&database, &request("from Big"), &mut |_| {
        streamed += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(streamed, 36);
    let pattern = format!("from Big where regex(a, '{}')", "(x{1000}){1000}");
    assert!(matches!(refused(&database, &pattern), QueryError::Pattern { .. }));
}

#[test]
fn groups_count_and_sum_exactly() {
    let mut database = FakeDatabase::default();
    for (id, text) in [
        ("s/1", r#"{"city":"A","n":0.1,"lines":[{"p":"x","q":1},{"p":"y","q":2}],"tags":["a","b"]}"#),
        ("s/2", r#"{"city":"A","n":0.2,"lines":[{"p":"x","q":4},{"q":8}],"tags":[]}"#),
        ("s/3", r#"{"city":"B","n":9007199254740993,"lines":null,"tags":"a"}"#),
        ("s/4", r#"{"n":null}"#),
    ] {
        database.put_text(id, "Sales", text);
    }
    for (query, rows) in [
        ("from Sales group by city select city, sum(n)", r#"A 0.3|B 9007199254740993|null 0"#),
        (
            "from Sales as s group by s.city order by s.city desc select key() as k, sum(s.n) as t",
            "B 9007199254740993|A 0.3|null 0",
        ),
        (
            "from Sales group by lines[].p select key() as k, count(), sum(lines[].q) as q",
            "x 2 5|y 1 2|null 3 8",
        ),
        ("from Sales group by lines[].p where sum(lines[].q) > 2 select key() as k", "x|null"),
        ("from Sales group by tags[] select key() as k, count()", "a 1|b 1|null 2"),
        ("from Sales group by city where startsWith(city, 'b') or count() = 2 select city", "A|B"),
        ("from Sales group by city select Count * 10 as c", r#""20"|"10"|"10""#),
    ] {
        let answer = ask(&database, query);
        let row = |row: &Json| -> String {
            let fields = row.as_object().unwrap().iter().filter(|(key, _)| *key != "@metadata");
            let texts =
                fields.map(|(_, value)| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            texts.collect::<Vec<String>>().join(" ")
        };
        assert_eq!(answer.json_rows().iter().map(row).collect::<Vec<String>>().join("|"), rows, "{query}");
    }
    let refusals = [
        ("from Sales group by n select sum(city)", "'city' of document 's/1' is text"),
        ("from Sales group by city where n > 1", "Field 'n' isn't neither an aggregation"),
        ("from Sales group by lines[].p, tags[]", "more than one array"),
    ];
    for (query, message) in refusals {
        let error = refused(&database, query).to_string();
        assert!(error.contains(message), "{query}: {error}");
    }
}
