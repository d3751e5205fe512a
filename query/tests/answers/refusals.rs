//! What is refused, with the type of exception that the original's clients know it by, and what is not.

use super::fake::FakeDatabase;
use super::{ids, jobs};
use magpie_query::{Answer, QueryError, Request, execute};

fn ask(database: &FakeDatabase, query: &str) -> Result<Answer, QueryError> {
    execute(
        database,
        &Request { query: query.to_owned(), parameters: Some(Default::default()), ..Request::default() },
    )
}

/// Each query is refused with this type, and its message says this.
fn check(wire_type: &str, queries: &[(&str, &str)]) {
    let database = jobs();
    for (query, message) in queries {
        match ask(&database, query) {
            Ok(answer) => panic!("{query}: {answer:?}"),
            Err(error) => {
                assert_eq!(error.wire_type(), wire_type, "{query}: {error}");
                assert!(error.to_string().contains(message), "{query}: {error}");
            }
        }
    }
}

#[test]
fn what_makes_no_sense_is_an_invalid_query() {
    check(
        "Raven.Client.Exceptions.InvalidQueryException",
        &[
            (
                "from Jobs as j where x.n = 1",
                "Unknown alias x, but there are aliases specified in the query (j)",
            ),
            ("from Jobs as j where n = 1 and (j.n = 2 or tags[] = 'a')", "Unknown alias tags"),
            ("from Jobs as j where exists(a.b)", "Unknown alias a"),
            ("from Jobs as j order by a.b", "Unknown alias a"),
            ("from Jobs as j load j.log as l select l.lines, a.b", "Unknown alias a"),
            ("from Jobs as j select id(x)", "Unknown alias x"),
            ("from Jobs select id(user)", "Unknown alias user"),
            ("from Jobs as j load x.log as l select l", "Unknown alias x"),
            ("from Jobs as j include x.log", "Unknown alias x"),
            ("from Jobs limit", "Limit must contain a value"),
            ("from Jobs limit x", "Limit must contain a value"),
            ("from Jobs limit 1,", "Limit must contain a second value"),
            ("from Jobs limit 1,,2", "Limit must contain a second value"),
            ("from Jobs offset", "Offset must contain a value"),
            ("from Jobs limit 1 offset x", "Offset must contain a value"),
            ("from Jobs filter n > 1 filter_limit x", "FILTER_LIMIT must contain a value"),
            ("from Jobs filter n > 1 filter_limit 0", "cannot be negative or zero"),
            ("from Jobs order by foo(n)", "Invalid ORDER BY method call foo"),
            ("from Jobs order by id(), min(n)", "Invalid ORDER BY method call min"),
            ("from Jobs include explanations()", "Collection queries cannot return explanations"),
            ("from Jobs include id()", "include method 'id'"),
            ("from Jobs where a[ = 1", "closing ']'"),
            ("from Jobs where a[x] = 1", "closing ']'"),
            ("from Jobs where exact(n = 1, 2)", "exact() expects one argument, got 2"),
            ("from Jobs where lucene(user, 'a')", "Method 'Lucene' is not supported"),
            ("from Jobs where exact(fuzzy(user = 'a', 0.5))", "Method 'Fuzzy' is not supported"),
            ("from Jobs where n all (1)", "Expected operator after 'n' field"),
            ("from Jobs where lucene(user)", "Method lucene() expects second argument to be provided"),
            ("from Jobs where lucene()", "Method lucene() expects a field name as its first argument"),
            ("from Jobs where fuzzy(user, 'a')", "first argument will be a binary expression"),
            ("from Jobs where proximity(user, 'a')", "first argument will be a method expression"),
            ("from Jobs where proximity(search(user, 'a b'), 2)", "Method 'Proximity' is not supported"),
            ("from Jobs where count(n) > 1", "count() can only be used on the root query alias but got"),
            ("from Jobs filter n = -", "A minus sign in FILTER needs a number"),
        ],
    );
    check(
        "System.NotImplementedException",
        &[
            ("from Jobs where intersect(n = 1, user = 'a')", "Corax does not support intersect queries"),
            (
                "from Jobs where n = 1 and boost(intersect(n = 1), 2)",
                "Corax does not support intersect queries",
            ),
        ],
    );
    check(
        "System.NotSupportedException",
        &[
            ("from Jobs where key() = 1", "Method 'key' is not supported"),
            ("from Jobs filter lucene(user, 'a')", "lucene"),
        ],
    );
}

/// Each was answered so by a live RavenDB 7.1.5, but for the warnings.
#[test]
fn what_is_odd_is_answered_with_a_warning() {
    let database = jobs();
    for (condition, total, warning) in [
        ("count() > 1", 0, "count() at 1:17 is the field Count of each document, as there is no GROUP BY"),
        ("count() != 1", 100, "count() at 1:17"),
        ("n = 5 and count() < 100", 0, "count() at 1:27"),
        ("n = 5 or count() < 100", 1, "count() at 1:26"),
        ("sum(n) > 98", 1, "sum(n) at 1:17 is the field itself"),
        ("n = -", 1, "In 'n = -', a minus sign without a number counts as 0"),
        ("n > -", 99, "In 'n > -'"),
        ("n between - and 4", 5, "In 'n between - and 4'"),
        ("n in (-, 30)", 2, "In 'n in (-, 30)'"),
        ("exact(user = 'User1' and n < -)", 0, "In 'n < -'"),
        ("n = -1", 0, ""),
        ("n = 1", 1, ""),
    ] {
        let answer = ask(&database, &format!("from Jobs where {condition}")).unwrap();
        assert_eq!(answer.total_results, total, "{condition}");
        assert_eq!(answer.warnings.is_empty(), warning.is_empty(), "{condition}: {:?}", answer.warnings);
        assert!(answer.warnings.iter().all(|found| found.contains(warning)), "{:?}", answer.warnings);
    }
    let answer =
        ask(&database, "from Jobs group by n where count() > 0 and n <= - select n, count()").unwrap();
    assert_eq!(answer.total_results, 1);
    assert_eq!(answer.warnings, ["In 'n <= -', a minus sign without a number counts as 0"]);
}

#[test]
fn what_is_written_wrongly_is_a_parse_error() {
    check(
        "Raven.Server.Documents.Queries.Parser.QueryParser+ParseException",
        &[
            ("from Jobs as where", "1:14 Expected alias after AS in FROM but got: where"),
            ("from Jobs as limit 1", "1:14 Expected alias"),
            ("from Jobs select user as select", "1:26 Expected field alias after AS in SELECT"),
            ("from Jobs filter_limit 1", "1:24 Expected end of query"),
            ("from Jobs update { this.n = 1 }", "1:11 Expected end of query but got: update"),
            (r"from Jobs where user = '\u00z1'", "unrecognized escape character"),
            (r"from Jobs where user = '\ud83d'", "unrecognized escape character"),
        ],
    );
    check(
        "System.ArgumentException",
        &[
            ("from Jobs where exists(n) = true", "on the left side inside the WHERE clause is not supported"),
            ("from Jobs where cmpxchg('a') = 1", "on the left side"),
            ("from Jobs where id() = id()", "Unknown method id"),
        ],
    );
}

#[test]
fn numbers_and_strings_are_read_in_all_their_spellings() {
    let database = jobs();
    for (query, expected) in [
        (r"from Jobs where user = 'User\u0031' and n < 20", "Jobs/11 Jobs/1"),
        (r"from Jobs where user = '\u0055ser1' and n < 2", "Jobs/1"),
        (r"from Jobs where user != '\ud83d\ude00' and n < 1", "Jobs/0"),
        ("from Jobs where n = 5.", "Jobs/5"),
        ("from Jobs where n in (5., 6.) and n < 6", "Jobs/5"),
        ("from Jobs where n = 1_1", "Jobs/11"),
        ("from Jobs filter n < 3 filter_limit 1 limit 1", "Jobs/0"),
    ] {
        let answer = ask(&database, query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(ids(&answer).join(" "), expected, "{query}");
    }
}
