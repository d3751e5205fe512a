//! JavaScript in queries: rows of a script, loaded documents, declared functions, filters; errors with their places,
//! and bounds.

use crate::fake::FakeDatabase;
use crate::{ask, refused, request};
use magpie_query::{QueryError, Request, execute};
use magpie_store::Timestamp;
use magpie_store::json::Json;

fn shop() -> FakeDatabase {
    let mut database = FakeDatabase::default();
    database.put_text("c/1", "Customers", r#"{"name":"Ann","city":"c/x"}"#);
    database.put_text("c/x", "Cities", r#"{"name":"Haifa"}"#);
    database.put_text(
        "o/1",
        "Orders",
        r#"{"n":1,"by":"c/1","lines":[{"q":2,"price":1.5},{"q":1,"price":10}]}"#,
    );
    database.put_text("o/2", "Orders", r#"{"n":2,"by":"c/404","lines":null}"#);
    database.put_text("o/3", "Orders", r#"{"n":3,"lines":[]}"#);
    database
}

/// The rows without metadata, as texts.
fn rows(database: &FakeDatabase, query: &str) -> String {
    let answer = ask(database, query);
    let row = |row: &Json| {
        let mut row = row.as_object().unwrap().clone();
        row.remove("@metadata");
        row.to_string()
    };
    answer.rows.iter().map(row).collect::<Vec<String>>().join(" ")
}

#[test]
fn scripts_make_rows_of_documents_and_of_what_they_load() {
    let database = shop();
    for (query, wanted) in [
        (
            "from Orders as o select { t: (o.lines || []).reduce((a, l) => a + l.q * l.price, 0) }",
            r#"{"t":13} {"t":0} {"t":0}"#,
        ),
        (
            "from Orders as o load o.by as c, c.city as town select { who: c.name, where: town.name }",
            r#"{"who":"Ann","where":"Haifa"} {"who":null,"where":null} {"who":null,"where":null}"#,
        ),
        (
            "from Orders as o load o.by as c select o.n, c.name as who",
            r#"{"n":1,"who":"Ann"} {"n":2} {"n":3}"#,
        ),
        ("from Orders as o select { who: load(load(o.by).city).name } limit 1", r#"{"who":"Haifa"}"#),
        (
            "declare function twice(x) { return x * 2 }\nfrom Orders as o select twice(o.n) as d, o.n",
            r#"{"d":2,"n":1} {"d":4,"n":2} {"d":6,"n":3}"#,
        ),
        ("from Orders as o select distinct { big: o.n > 1 }", r#"{"big":false} {"big":true}"#),
        (
            "from Orders as o group by o.by select { k: o.by, n: o.Count }",
            r#"{"k":"c/1","n":null} {"k":"c/404","n":null} {"k":null,"n":null}"#,
        ),
        (
            "from Orders as o select { id: id(o), c: getMetadata(o)['@collection'] } limit 1",
            r#"{"id":"o/1","c":"Orders"}"#,
        ),
    ] {
        assert_eq!(rows(&database, query), wanted, "{query}");
    }
}

#[test]
fn filters_look_at_one_row_after_the_other() {
    let database = shop();
    for (query, wanted, counts) in [
        ("from Orders filter n >= 2 select n", r#"{"n":2} {"n":3}"#, (2, 1, 3)),
        ("from Orders filter by != 'c/1' select n", r#"{"n":2} {"n":3}"#, (2, 1, 3)),
        ("from Orders filter n > 0 and not (n = 2) select n limit 1", r#"{"n":1}"#, (3, 0, 1)),
        ("from Orders filter n > 1 select n filter_limit 2", r#"{"n":2}"#, (1, 1, 2)),
        ("from Orders order by n as long desc filter n < 3 select n limit 1", r#"{"n":2}"#, (3, 1, 2)),
        (
            "declare function odd(o) { return o.n % 2 == 1 } from Orders as o filter odd(o) select o.n",
            r#"{"n":1} {"n":3}"#,
            (2, 1, 3),
        ),
        ("from Orders group by n filter n in (1, 3) select n", r#"{"n":1} {"n":3}"#, (3, 1, 3)),
    ] {
        assert_eq!(rows(&database, query), wanted, "{query}");
        let answer = ask(&database, query);
        let found = (answer.total_results, answer.skipped_results, answer.scanned_results);
        assert_eq!(found, counts, "{query}");
    }
}

#[test]
fn what_scripts_do_wrong_is_told_with_its_place() {
    let database = shop();
    for (query, message) in [
        ("from Orders as o\nselect {\n  a: 1,\n  b: boom.x(),\n  c: (() => { throw 'no' })() }", "At 5:21 "),
        ("from Orders as o select { a: (() => { while (true) {} })() }", "maximum number of statements"),
        ("from Orders as o select { a: 'x'.repeat(1e9) }", "not allowed"),
        ("declare function f(o) {\n return o.n.toFixed(200) }\nfrom Orders as o select f(o) as x", "At 2:"),
    ] {
        match refused(&database, query) {
            error @ QueryError::Script { .. } => {
                assert!(error.to_string().contains(message), "{query}: {error}");
                assert!(error.to_string().contains("document ID 'o/1'"), "{error}");
            }
            other => panic!("{query}: {other}"),
        }
    }
    for (query, message) in [
        ("from Orders as o\nselect { a: 1 + }", "Select clause contains invalid script at 2:17"),
        ("from Orders as o select { a: eval('1') }", "eval is not available"),
        ("from Orders as class select { a: 1 }", "invalid script"),
        (
            "declare function f(o) { return 1 } from Orders as o select f(o)",
            "must return an object, but got: 1",
        ),
        ("from Orders as o load o.by as o select { a: o }", "Duplicate alias 'o'"),
        ("from Orders filter_limit 1", "FILTER_LIMIT needs a FILTER"),
        ("from Orders filter search(n, 'x')", "search() in filter"),
    ] {
        let error = refused(&database, query).to_string();
        assert!(error.contains(message), "{query}: {error}");
    }
}

#[test]
fn scripts_see_the_time_of_their_query_and_no_other() {
    let database = shop();
    let query = "from Orders as o select { t: new Date(), n: Date.now() } limit 1";
    let now = Timestamp::parse("2024-05-06T07:08:09.123").unwrap();
    let answer = execute(&database, &Request { now: Some(now), ..request(query) }).unwrap();
    assert_eq!(answer.rows[0].get("t"), Some(&Json::from("2024-05-06T07:08:09.1230000Z")));
    assert_eq!(answer.rows[0].get("n").and_then(Json::as_i64), Some(1_714_979_289_123));
    let later = Request { now: Some(Timestamp(now.0 + 1)), ..request(query) };
    assert_ne!(execute(&database, &later).unwrap().result_etag, answer.result_etag);
    assert!(refused(&database, query).to_string().contains("new Date() without arguments is the time of"));
}
