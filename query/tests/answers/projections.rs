//! What `select` gives beyond plain fields: names of the query, whole documents, what JavaScript makes of them.

use super::fake::FakeDatabase;
use super::jobs;
use magpie_query::{Request, execute};
use magpie_store::json::Json;

/// The rows of a query, each as text; whether a row has `@projection` and whether a document inside of it tells its
/// state shows by the marks behind.
fn rows(database: &FakeDatabase, query: &str) -> Vec<String> {
    let request =
        Request { query: query.to_owned(), parameters: Some(Default::default()), ..Request::default() };
    let answer = execute(database, &request).unwrap_or_else(|error| panic!("{query}: {error}"));
    let shown = |row: &Json| {
        let mut row = row.as_object().unwrap().clone();
        let metadata = row.remove("@metadata").unwrap();
        let text = Json::Object(row).to_string();
        let whole = if metadata.get("@projection").is_none() { " whole" } else { "" };
        let collection = metadata
            .get("@collection")
            .and_then(Json::as_str)
            .map_or(String::new(), |name| format!(" {name}"));
        let state =
            if text.contains("@last-modified") || text.contains("@change-vector") { " STATE" } else { "" };
        format!(
            "{text} {}{whole}{collection}{state}",
            metadata.get("@id").and_then(Json::as_str).unwrap_or("-")
        )
    };
    answer.json_rows().iter().map(shown).collect()
}

#[test]
fn selected_names_documents_and_scripts_come_as_in_the_original() {
    let mut database = jobs();
    database.put_text("Jobs/x", "Jobs", r#"{"n":0,"log":"logs/2","by":null}"#);
    database.put_text("Jobs/y", "Jobs", r#"{"n":1,"log":"logs/404"}"#);
    for (query, expected) in [
        // A path that begins with a name of the query is left out when it is missing, others are null.
        (
            "from Jobs as j where id() = 'Jobs/x' select j.nope, j.by, j.n",
            vec![r#"{"by":null,"n":0} Jobs/x"#],
        ),
        ("from Jobs as j where id() = 'Jobs/x' select nope", vec![r#"{"nope":null} Jobs/x"#]),
        (
            "from Jobs as j where id() = 'Jobs/x' load j.log as l select l.lines as a, l.nope as b",
            vec![r#"{"a":5} Jobs/x"#],
        ),
        // Whole documents, alone and inside of a row.
        (
            "from Jobs as j where id() = 'Jobs/x' select j as z",
            vec![r#"{"n":0,"log":"logs/2","by":null} Jobs/x whole Jobs"#],
        ),
        (
            "from Jobs as j where id() in ('Jobs/x', 'Jobs/y') load j.log as l select l",
            vec![r#"{"lines":5} logs/2 whole Logs"#, "{} Jobs/y"],
        ),
        (
            "from Jobs as j where id() = 'Jobs/y' select j, j.n",
            vec![
                r#"{"j":{"n":1,"log":"logs/404","@metadata":{"@collection":"Jobs","@id":"Jobs/y"}},"n":1} Jobs/y"#,
            ],
        ),
        (
            "from Jobs as j where id() = 'Jobs/y' select { j }",
            vec![
                r#"{"j":{"n":1,"log":"logs/404","@metadata":{"@collection":"Jobs","@id":"Jobs/y"}}} Jobs/y"#,
            ],
        ),
        (
            "from Jobs as j where id() = 'Jobs/x' select { l: load(j.log) }",
            vec![r#"{"l":{"lines":5,"@metadata":{"@collection":"Logs","@id":"logs/2"}}} Jobs/x"#],
        ),
        // A function may give the document, a changed one, or several rows.
        (
            "declare function f(j) { return j } from Jobs as j where id() = 'Jobs/y' select f(j)",
            vec![r#"{"n":1,"log":"logs/404"} Jobs/y whole Jobs"#],
        ),
        (
            "declare function f(j) { j.n = 2; return j } from Jobs as j where id() = 'Jobs/y' select f(j)",
            vec![r#"{"n":2,"log":"logs/404"} Jobs/y Jobs"#],
        ),
        (
            "declare function f(j) { return [{ n: 1 }, { n: j.n }] } from Jobs as j where id() = 'Jobs/x' select f(j)",
            vec![r#"{"n":1} Jobs/x"#, r#"{"n":0} Jobs/x"#],
        ),
        ("declare function f(j) { return [] } from Jobs as j where id() = 'Jobs/x' select f(j)", vec![]),
        (
            "from Jobs as j where id() = 'Jobs/x' select { t: typeof lastModified(j), p: lastModified(j) > 0 }",
            vec![r#"{"t":"number","p":true} Jobs/x"#],
        ),
        // A name of what is loaded is enough for a body.
        ("from Jobs where id() = 'Jobs/x' load log as l select { n: l.lines }", vec![r#"{"n":5} Jobs/x"#]),
    ] {
        assert_eq!(rows(&database, query), expected, "{query}");
    }
}
