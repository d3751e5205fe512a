//! `moreLikeThis()` and `highlight()` over indexes that are searched by words: the rows are those that a live RavenDB
//! 7.1.5 gave, and the answers stay the same when terms are there.

#![cfg(test)]

use magpie_indexes::{IndexDefinition, Registry};
use magpie_query::{Answer, QueryError, Request, Snapshot, execute};
use magpie_store::json::{Json, Object, parse};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::{Command, Database, NewDocument, Timestamp};
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

/// What stands in `body` of the documents d/1 to d/7.
const TEXTS: [&str; 7] = [
    "The quick brown fox jumps over the lazy dog",
    "A fox is a small animal. The fox is red and quick; a fox lives in dens.",
    "Dogs are loyal animals and lazy",
    "Nothing here at all",
    "quick quick quick fox the fox again at the end of it all quick",
    "fox quick red fox quick red",
    "red red fox fox animals animals",
];

struct Server {
    database: Arc<Database>,
    registry: Arc<Registry>,
}

impl Server {
    fn new() -> Self {
        let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), "abcdefghijklmnopqrstuv").unwrap());
        let put = |id: &str, text: String| Command::Put {
            document: NewDocument::parse(id, text.as_bytes()).unwrap(),
            id: id.to_owned(),
            expected: None,
        };
        let mut commands = vec![put("sw/1", r#"{"StopWords":["Fox"]}"#.to_owned())];
        for (number, text) in TEXTS.iter().enumerate() {
            let text = format!(
                r#"{{"body":"{text}","title":"T{number}","n":{},"@metadata":{{"@collection":"Docs"}}}}"#,
                number % 3
            );
            commands.push(put(&format!("d/{}", number + 1), text));
        }
        database.write(commands, Timestamp(17_090_000_000_000_000)).unwrap();
        let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), Vec::new()).unwrap();
        registry.put(definitions()).unwrap();
        let server = Self { database, registry };
        server.wait();
        server
    }

    fn wait(&self) {
        for name in ["Searched", "Plain", "Reduced"] {
            let index = self.registry.get(name).unwrap();
            assert!(index.wait_until_indexed_blocking(self.database.last_etag(), WAIT));
            assert!(index.wait_until_terms_made_blocking(WAIT));
        }
    }

    fn ask(&self, query: &str, parameters: &str) -> Result<Answer, QueryError> {
        let parameters = object(parameters);
        let view = self.database.view();
        let source = Snapshot::new(&view, &self.registry);
        let request = Request { query: query.to_owned(), parameters: Some(parameters), ..Request::default() };
        execute(&source, &request)
    }

    /// The ids of the rows, or their titles.
    fn rows(&self, query: &str, parameters: &str) -> String {
        let answer = self.ask(query, parameters).unwrap_or_else(|error| panic!("{query}: {error}"));
        let id = |row: &Json| row.get("@metadata").and_then(|metadata| metadata.get("@id").cloned());
        let name = |row: &Json| id(row).or_else(|| row.get("title").cloned()).unwrap();
        answer
            .json_rows()
            .iter()
            .map(|row| name(row).as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn highlightings(&self, query: &str, parameters: &str) -> String {
        let answer = self.ask(query, parameters).unwrap_or_else(|error| panic!("{query}: {error}"));
        answer.highlightings.map_or_else(|| "none".to_owned(), |found: Object| found.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.registry.stop();
    }
}

fn definitions() -> Vec<IndexDefinition> {
    let map = "map('Docs', d => ({ body: d.body, title: d.title, n: d.n }))";
    let texts = [
        format!(r#"{{"Name":"Searched","Maps":["{map}"],"Fields":{{"body":{{"Indexing":"Search"}}}}}}"#),
        format!(r#"{{"Name":"Plain","Maps":["{map}"]}}"#),
        format!(
            r#"{{"Name":"Reduced","Maps":["{map}"],"Fields":{{"body":{{"Indexing":"Search"}}}},
                "Reduce":"groupBy(x => x.title).aggregate(g => ({{ title: g.key, body: g.values[0].body, n: g.values.length }}))"}}"#
        ),
    ];
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// The condition, its options besides frequencies of 1, and the documents.
const LIKE: &[(&str, &str, &str)] = &[
    ("id() = 'd/1'", "", "d/2 d/3 d/4 d/5 d/6 d/7"),
    ("id() = 'd/2'", "", "d/1 d/5 d/6 d/7"),
    ("id() = 'd/2'", r#""Fields":["body"]"#, "d/1 d/5 d/6 d/7"),
    ("id() = 'd/2'", r#""Fields":["title"]"#, ""),
    ("id() = 'd/2'", r#""Fields":["nope"]"#, ""),
    ("id() = 'd/6'", r#""Fields":["body"],"StopWordsDocumentId":"sw/1""#, "d/1 d/2 d/5 d/7"),
    ("id() = 'd/6'", r#""Fields":["body"],"MinimumTermFrequency":2"#, "d/1 d/2 d/5 d/7"),
    ("id() = 'd/6'", r#""Fields":["body"],"MinimumTermFrequency":3"#, ""),
    ("id() = 'd/6'", r#""Fields":["body"],"MinimumDocumentFrequency":5"#, "d/1 d/2 d/5 d/7"),
    ("id() = 'd/6'", r#""Fields":["body"],"MinimumDocumentFrequency":6"#, ""),
    ("id() = 'd/6'", r#""fields":["body"],"maximumDocumentFrequency":3"#, "d/2 d/7"),
    ("id() = 'd/6'", r#""Fields":["body"],"MaximumDocumentFrequencyPercentage":43"#, "d/2 d/7"),
    ("id() = 'd/6'", r#""Fields":["body"],"MinimumWordLength":4"#, "d/1 d/2 d/5"),
    ("id() = 'd/6'", r#""Fields":["body"],"MaximumWordLength":4"#, "d/1 d/2 d/5 d/7"),
    ("id() = 'd/6'", r#""Fields":["body"],"MaximumQueryTerms":1"#, "d/2 d/7"),
    ("id() = 'd/6'", r#""Fields":["body"],"MaximumNumberOfTokensParsed":1"#, "d/1 d/2 d/5 d/7"),
    ("n = 1", r#""Fields":["body"]"#, "d/1 d/5 d/6 d/7"),
    ("n = 1 and title = 'T1'", r#""Fields":["body"]"#, "d/1 d/5 d/6 d/7"),
    (r#"'{ "body": "red animals" }'"#, "", "d/2 d/3 d/6 d/7"),
    ("$document", r#""Fields":["body"]"#, "d/3 d/7"),
];

#[test]
fn documents_are_found_that_share_words_with_another_one() {
    let server = Server::new();
    for turn in ["read as a whole", "read by terms"] {
        for (base, options, expected) in LIKE {
            let mut all = object(r#"{"MinimumTermFrequency":1,"MinimumDocumentFrequency":1}"#);
            for (name, value) in object(&format!("{{{options}}}")).iter() {
                all.insert(name, value.clone());
            }
            let document = Json::from(r#"{"body":"loyal animals"}"#);
            let parameters = format!(r#"{{"o":{all},"document":{document}}}"#);
            let query = format!("from index 'Searched' where moreLikeThis({base}, $o)");
            assert_eq!(server.rows(&query, &parameters), *expected, "{turn}: {base} {options}");
        }
        server.wait();
    }
    let near = r#"{"o":{"MinimumTermFrequency":1,"MinimumDocumentFrequency":1,"Fields":["body"]}}"#;
    for (query, expected) in [
        ("from index 'Searched' where moreLikeThis(id() = 'd/2', $o) and n = 1", "d/5"),
        ("from index 'Searched' where n = 1 and moreLikeThis(id() = 'd/2', $o)", "d/5"),
        (
            "from index 'Searched' where moreLikeThis(id() = 'd/2', $o) order by n as long desc, title",
            "d/6 d/5 d/1 d/7",
        ),
        ("from index 'Searched' where moreLikeThis(id() = 'd/2', $o) order by score() limit 1", "d/6"),
        ("from index 'Searched' where moreLikeThis(id() = 'd/2')", "d/1 d/5 d/6 d/7"),
        ("from index 'Plain' where moreLikeThis(id() = 'd/6', $o)", ""),
        ("from index 'Reduced' where moreLikeThis(title = 'T5', $o)", "T0 T1 T4 T6"),
    ] {
        assert_eq!(server.rows(query, near), expected, "{query}");
    }
}

fn object(text: &str) -> Object {
    match parse(text.as_bytes()) {
        Ok(Json::Object(object)) => object,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn what_nothing_can_be_like_is_refused() {
    let server = Server::new();
    for (query, kind, message) in [
        (
            "from Docs where moreLikeThis(id() = 'd/6')",
            "InvalidQueryException",
            "cannot be used in dynamic queries",
        ),
        (
            "from index 'Searched' where moreLikeThis()",
            "InvalidQueryException",
            "expects to have one or two arguments",
        ),
        (
            "from index 'Searched' where moreLikeThis(id() = 'x')",
            "InvalidOperationException",
            "did not yield any documents",
        ),
        (
            "from index 'Searched' where moreLikeThis(id() = 'd/1', $o)",
            "InvalidOperationException",
            "Stop words document sw/none could not be found",
        ),
        (
            "from index 'Searched' where moreLikeThis(id() = 'd/1', 'x')",
            "InvalidOperationException",
            "no JSON",
        ),
        (
            "from index 'Searched' where moreLikeThis(id() = 'd/1', $p)",
            "InvalidQueryException",
            "'p' was not provided",
        ),
        ("from index 'Searched' where moreLikeThis(nope = 1)", "System.ArgumentException", "not indexed"),
        (
            "from index 'Searched' where moreLikeThis(id() = 'd/1', '{\"MaximumQueryTerms\":-1}')",
            "InvalidOperationException",
            "MaximumQueryTerms must be",
        ),
    ] {
        let parameters = r#"{"o":{"StopWordsDocumentId":"sw/none"}}"#;
        let error = server.ask(query, parameters).unwrap_err();
        assert!(error.wire_type().contains(kind), "{query}: {}", error.wire_type());
        assert!(error.to_string().contains(message), "{query}: {error}");
    }
}

#[test]
fn what_was_found_is_marked_in_pieces_of_the_texts() {
    let server = Server::new();
    let tags = r#"{"o":{"PreTags":["<"],"PostTags":[">"]},"two":{"preTags":["<","["],"postTags":[">","]"]},
        "key":{"GroupKey":"title","PreTags":["<"],"PostTags":[">"]},"l":20,"f":"body"}"#;
    for (query, expected) in [
        (
            "from index 'Searched' where search(body, 'fox') and n = 0 include highlight(body, 22, 2, $o)",
            r#"{"body":{"d/1":["brown <fox> jumps over"],"d/7":["red <fox> <fox> animals"]}}"#,
        ),
        (
            "from index 'Searched' as d where search(d.body, 'fox red') and d.n = 1 include highlight(d.body, 30, 2, $two)",
            r#"{"body":{"d/2":["<fox> is a small animal. The <fox>","is [red] and quick; a <fox> lives"],"d/5":["quick <fox> the <fox> again at the"]}}"#,
        ),
        (
            "from Docs where search(body, 'loyal') include highlight(body, 18, 2)",
            r#"{"body":{"d/3":["are <b style=\"background:yellow\">loyal</b> animals"]}}"#,
        ),
        (
            "from index 'Reduced' where search(body, 'loyal') include highlight($f, $l, 1, $key)",
            r#"{"body":{"T2":["are <loyal> animals"]}}"#,
        ),
        (
            "from index 'Searched' where body = 'loyal' select title include highlight(body, 18, 2, $o)",
            r#"{"body":{"d/3":["are <loyal> animals"]}}"#,
        ),
        (
            "from index 'Searched' where title = 't2' include highlight(title, 18, 2, $o), highlight(body, 18, 2, $o)",
            r#"{"title":{"d/3":["<T2>"]},"body":{}}"#,
        ),
        ("from index 'Searched' where n > 0 include highlight(body, 18, 2)", r#"{"body":{}}"#),
        ("from index 'Searched' where search(body, 'fox') include highlight(body, 18, 0)", r#"{"body":{}}"#),
        ("from index 'Searched' where search(body, 'fox')", "none"),
    ] {
        assert_eq!(server.highlightings(query, tags), expected, "{query}");
    }
    for (include, message) in [
        ("highlight(body)", "'highlight()' expects three or four arguments"),
        ("highlight(body, 'x', 1)", "FragmentLength can only be passed as long"),
        ("highlight(body, 1, -1)", "FragmentCount can only be passed as long of at least 0"),
        ("highlight(body, 65537, 1)", "may be 65536 at most"),
        ("highlight(body, 1, 1, 'x')", "passed as a parameter"),
        ("highlight(body, 1, 1, $l)", "Parameter 'l' should contain JSON object"),
        ("highlight(body, 1, 1, $odd)", "Number of pre-tags and post-tags must match"),
    ] {
        let query = format!("from index 'Searched' where search(body, 'fox') include {include}");
        let error = server.ask(&query, r#"{"l":20,"odd":{"PreTags":["<"]}}"#).unwrap_err();
        assert!(error.to_string().contains(message), "{query}: {error}");
    }
    let error = server.ask("from index 'Reduced' where body = 'fox' include highlight(body, 9, 1)", "{}");
    assert!(error.unwrap_err().to_string().contains("needs options with GroupKey"));
}
