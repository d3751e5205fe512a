//! How values of all types compare: objects, lists, open ranges, patterns, metadata. What is expected is what the original
//! answered.

use super::fake::{FakeDatabase, object};
use super::ids;
use magpie_query::{QueryError, Request, execute};

/// One document per kind of value; its id is the value's place.
fn values() -> FakeDatabase {
    let mut database = FakeDatabase::default();
    let values = [
        "null",
        "\"\"",
        "\"abc\"",
        "\"ABC\"",
        "10",
        "9",
        "\"9\"",
        "true",
        "false",
        "[]",
        "[1,2]",
        "[null,\"a\"]",
        r#"{"x":1}"#,
        r#"[{"x":1},{"x":2}]"#,
        "\"zoo\"",
        r#"{"x":[1,3]}"#,
    ];
    for (number, value) in values.iter().enumerate() {
        database.put_text(&number.to_string(), "Items", &format!(r#"{{"v":{value}}}"#));
    }
    database.put_text("16", "Items", "{}");
    database
}

fn ask(query: &str, parameters: &str) -> Result<(i64, String), QueryError> {
    let parameters = Some(object(parameters));
    let request = Request { query: query.to_owned(), parameters, ..Request::default() };
    execute(&values(), &request).map(|answer| (answer.total_results, ids(&answer).join(" ")))
}

#[test]
fn values_of_all_types_compare_like_the_original() {
    for (query, parameters, expected) in [
        // Every object is one and the same term, in ranges and patterns, too.
        ("v > 'true'", "{}", "14"),
        ("v between 'j' and 'k'", "{}", "12 13 15"),
        ("v = 'json_value'", "{}", "12 13 15"),
        ("v = '{\"x\":1}'", "{}", ""),
        ("startsWith(v, '{')", "{}", ""),
        ("endsWith(v, 'E')", "{}", "7 8 12 13 15"),
        ("v = $p", r#"{"p":{"x":1}}"#, ""),
        ("v > $p", r#"{"p":{"x":1}}"#, ""),
        ("v < $p", r#"{"p":{}}"#, "1 2 3 4 5 6 7 8 10 11 12 13 14 15"),
        ("v in ($p)", r#"{"p":{"x":1}}"#, ""),
        // Patterns never tell upper from lower case.
        ("exact(regex(v, '^a'))", "{}", "2 3 11"),
        ("exact(regex(v, '^A'))", "{}", "2 3 11"),
        // A literal may stand alone or with null, whatever its type.
        ("v in (true)", "{}", "7"),
        ("v in (null, true)", "{}", "0 7 11"),
        ("v in (1, null, 9)", "{}", "0 5 6 10 11"),
        ("v all in (null, 'a')", "{}", "11"),
        // A bound that is null is none; above, null itself fits.
        ("v between $a and $b", r#"{"a":null,"b":9}"#, "5 10"),
        ("v between $a and $b", r#"{"a":9,"b":null}"#, "0 4 5 11"),
        ("v between $a and $b", r#"{"a":null,"b":"abc"}"#, "1 2 3 4 5 6 10 11"),
        ("v between null and null", "{}", "0 1 2 3 4 5 6 7 8 10 11 12 13 14 15"),
        ("v between $a and $b", r#"{"a":1,"b":9.5}"#, "5 10"),
        // Only lists have elements; a path goes through objects all the same.
        ("v[] = 2", "{}", "10"),
        ("v[] = 10", "{}", ""),
        ("exists(v.x[])", "{}", "15"),
        ("v.x[] = 3", "{}", "15"),
        ("v[].x = 1", "{}", "12 13 15"),
        // The id is no metadata.
        ("@metadata.@id = '3'", "{}", ""),
        ("exists(@metadata.@change-vector)", "{}", ""),
        ("@metadata.@collection = 'items' and v = 10", "{}", "4"),
        ("exists(@metadata) and v = 10", "{}", "4"),
    ] {
        let found = ask(&format!("from Items where {query}"), parameters);
        assert_eq!(
            found.unwrap_or_else(|error| panic!("{query}: {error}")).1,
            expected,
            "{query} {parameters}"
        );
    }
}

#[test]
fn values_of_several_types_are_refused() {
    let invalid = "Raven.Client.Exceptions.InvalidQueryException";
    let operation = "System.InvalidOperationException";
    for (query, parameters, wire_type) in [
        ("v in (1, 2.5)", "{}", invalid),
        ("v in (true, false)", "{}", invalid),
        ("v in (1, null, 'a')", "{}", invalid),
        ("v between 1 and 2.5", "{}", invalid),
        ("v between true and false", "{}", invalid),
        ("v between null and 5", "{}", invalid),
        ("v between $a and 5", r#"{"a":1}"#, invalid),
        ("v between $a and $b", r#"{"a":1,"b":"a"}"#, invalid),
        ("v between $a and $b", r#"{"a":true,"b":1}"#, invalid),
        ("v between $a and $b", r#"{"a":[1],"b":2}"#, invalid),
        ("v between $a and $b", r#"{"a":"a","b":1}"#, operation),
        ("v between $a and $b", r#"{"a":{},"b":{}}"#, operation),
        ("v = $p", r#"{"p":[1]}"#, invalid),
        ("v <= null", "{}", "System.NotSupportedException"),
    ] {
        match ask(&format!("from Items where {query}"), parameters) {
            Ok(found) => panic!("{query} {parameters}: {found:?}"),
            Err(error) => assert_eq!(error.wire_type(), wire_type, "{query} {parameters}: {error}"),
        }
    }
}

#[test]
fn a_prefix_of_ids_that_none_has_counts_nothing() {
    assert_eq!(ask("from Items where startsWith(id(), '1')", "{}").unwrap().0, -1);
    assert_eq!(ask("from Items where startsWith(id(), 'x')", "{}").unwrap().0, 0);
}
