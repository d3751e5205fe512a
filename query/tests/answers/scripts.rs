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
    answer.json_rows().iter().map(row).collect::<Vec<String>>().join(" ")
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
        ("from Orders as o\nselect {\n  a: 1,\n  b: boom(),\n  c: (() => { throw 'no' })() }", "At 5:21 "),
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
    assert_eq!(answer.json_rows()[0].get("t"), Some(&Json::from("2024-05-06T07:08:09.1230000Z")));
    assert_eq!(answer.json_rows()[0].get("n").and_then(Json::as_i64), Some(1_714_979_289_123));
    let later = Request { now: Some(Timestamp(now.0 + 1)), ..request(query) };
    assert_ne!(execute(&database, &later).unwrap().result_etag, answer.result_etag);
    assert!(refused(&database, query).to_string().contains("new Date() without arguments is the time of"));
}

#[test]
fn bodies_of_select_contain_what_the_original_allows() {
    let database = shop();
    let body = |body: &str| format!("from Orders as o load o.by as c\nselect {{ a: {body} }}");
    // Each was asked of a live RavenDB 7.1.5.
    for allowed in [
        "Object.keys(o)",
        "'n' in o",
        "Object.assign({}, o)",
        "Math.max(1, 2)",
        "o.lines.map(l => l.q)",
        "o.lines.map(function (l) { return l.q })",
        "o.lines.map(l => o.lines.map(m => l.q))",
        "(({ n }) => n)(o)",
        "((x = 1) => x)()",
        "((...x) => x)(1)",
        "({ m(q) { return q.x } }).m(1)",
        "`x${o.n}`",
        "o?.n ?? 'x'",
        "o['n']",
        "c.name",
        "nope",
        "nope()",
        "nope().x",
        "Date.UTC(2020, 1, 1)",
        "load(o.by).name",
        "[1, 2].length",
        "(() => { let x = 1; for (const y of [2]) { x += y } return x })()",
    ] {
        ask(&database, &body(allowed));
    }
    for (refused, place, construct) in [
        ("{ ...o }", "2:18", "spread (...)"),
        ("[...o.lines]", "2:14", "spread (...)"),
        ("Math.max(...o.lines)", "2:22", "spread (...)"),
        ("JSON.stringify(o)", "2:13", "JSON.stringify, the member of what is no name of the query,"),
        ("nope.x", "2:13", "nope.x, the member"),
        ("nope?.x", "2:13", "nope.x, the member"),
        ("nope[0]", "2:13", "nope[..], the member"),
        ("$p.x", "2:13", "$p.x, the member"),
        ("String.raw`x`", "2:23", "a template with a tag"),
        ("class {}", "2:13", "a class as a value"),
        ("o.lines.map(l => { let x = l; return x.q })", "2:50", "x.q, the member"),
        ("o.lines.map(l => { const { q } = l; return q })", "2:38", "destructuring"),
        ("o.lines.map(l => { let q; [q] = [1]; return q })", "2:39", "destructuring"),
        ("(() => { for (const [k] of [[1]]) { return k } })()", "2:33", "destructuring"),
        ("(({ n: q }) => q.x)(o)", "2:28", "q.x, the member"),
        ("((x = nope.y) => x)()", "2:19", "nope.y, the member"),
        ("(() => { function f(q) { return q.x } return f(o) })()", "2:45", "q.x, the member"),
        ("(() => { try { return 1 } catch (e) { return e.message } })()", "2:58", "e.message, the member"),
    ] {
        let error = self::refused(&database, &body(refused));
        assert_eq!(error.wire_type(), "Raven.Client.Exceptions.InvalidQueryException", "{refused}");
        let message = format!("Select clause contains invalid script at {place}: {construct}");
        assert!(error.to_string().starts_with(&message), "{refused}: {error}");
        assert!(error.to_string().contains("put it into a function with declare function"), "{error}");
    }
    // In a declared function all of it may stand.
    let query = "declare function f(o) { const { n } = o; const x = { ...o }; return { n, k: JSON.stringify([...[x.n]]) } }\n\
                 from Orders as o where n = 1 select f(o)";
    assert_eq!(rows(&database, query), r#"{"n":1,"k":"[1]"}"#);
    let given =
        Request { parameters: Some(crate::fake::object(r#"{"p":{"x":1}}"#)), ..request(&body("$p.x")) };
    assert_eq!(execute(&database, &given).unwrap().rows.len(), 3);
}

#[test]
fn scripts_bring_documents_along() {
    let database = shop();
    let included = |query: &str| {
        let answer = ask(&database, query);
        answer.includes.keys().map(str::to_owned).collect::<Vec<String>>().join(" ")
    };
    let function =
        |text: &str| format!("declare function f(o) {{ {text} }} from Orders as o where n = 1 select f(o)");
    for (query, expected) in [
        ("from Orders as o select { a: include(o.by) }".to_owned(), "c/1"),
        (function("include(o.by); return { n: 1 }"), "c/1"),
        (function("include([o.by, 'C/X', ['o/2']]); return { n: 1 }"), "c/1 c/x o/2"),
        (function("includes.document(o.by); return o"), "c/1"),
        (function("include('none'); include(null); include(); return { n: 1 }"), ""),
        // What is a row comes along as well, if a script says so.
        (function("include('o/1'); return { n: 1 }"), "o/1"),
        (format!("{} include by", function("include(o.by); return { by: o.by }")), "c/1"),
        ("declare function f(o) { include(o.by); return true } from Orders as o filter f(o)".to_owned(), ""),
    ] {
        assert_eq!(included(&query), expected, "{query}");
    }
    assert_eq!(
        rows(&database, &function("return { n: [1].includes(1), i: include('c/1') }")),
        r#"{"n":true,"i":null}"#
    );
    let own = "declare function includes(o) { return { n: o.n + 1 } } from Orders as o where n = 1 select includes(o)";
    assert_eq!(rows(&database, own), r#"{"n":2}"#);
    let error = refused(&database, &function("include(5); return { n: 1 }")).to_string();
    assert!(error.contains("include(doc) must be called with an string or string array argument"), "{error}");
    let error = refused(&database, &function("includes.nope('x'); return { n: 1 }")).to_string();
    assert!(error.contains("nope"), "{error}");
}

#[test]
fn documents_are_loaded_by_path_text_and_parameter() {
    let database = shop();
    for (load, expected) in [
        ("o.by as c", "Ann"),
        ("'o.by' as c", "Ann"),
        ("\"by\" as c", "Ann"),
        ("by as c", "Ann"),
        ("'c/1' as c", "Ann"),
        ("'C/X' c", "Haifa"),
        ("$id as c", "Haifa"),
        ("o.by as d, 'd.city' as c", "Haifa"),
    ] {
        for select in ["{ name: c.name }", "c.name"] {
            let query = format!("from Orders as o where n = 1 load {load} select {select}");
            let request =
                Request { parameters: Some(crate::fake::object(r#"{"id":"c/x"}"#)), ..request(&query) };
            let answer = execute(&database, &request).unwrap_or_else(|error| panic!("{query}: {error}"));
            assert_eq!(answer.json_rows()[0].get("name"), Some(&Json::from(expected)), "{query}");
        }
    }
    let query = "from Orders as o where n = 1 load $ids as c[] select { names: c.map(x => x.name) }";
    let request =
        Request { parameters: Some(crate::fake::object(r#"{"ids":["c/x","c/1"]}"#)), ..request(query) };
    let answer = execute(&database, &request).unwrap();
    assert_eq!(answer.json_rows()[0].get("names").unwrap().to_string(), r#"["Haifa","Ann"]"#);
    for (query, message) in [
        ("from Orders as o load id(o) as c", "LOAD clause require a field or value references id(o)"),
        ("from Orders as o load $none as c", "Value of parameter 'none' was not provided"),
        ("from Orders as o load 'c/1'", "LOAD clause requires an alias but got: 'c/1'"),
    ] {
        assert!(refused(&database, query).to_string().contains(message), "{query}");
    }
}
