//! Fields that are indexed for search: they answer as RavenDB's do, with and without terms, and with terms a search reads
//! few rows. That is counted, not timed.

#![cfg(test)]

mod counting;

use counting::CountingKv;
use magpie_indexes::keys::Kind;
use magpie_indexes::{IndexDefinition, Registry};
use magpie_query::{Request, Snapshot, execute};
use magpie_store::kv::Kv;
use magpie_store::kv::memory::MemoryKv;
use magpie_store::{Command, Database, NewDocument, Timestamp};
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);
const ANSWERS: &str = include_str!("fixtures/search_answers.txt");

/// What stands in `t` of the documents 1 to 12; the sixth has none.
const TEXTS: [&str; 12] = [
    r#""The quick brown fox""#,
    r#""Quick thinking, fast action""#,
    r#""brown bears eat fish""#,
    r#""""#,
    "null",
    "",
    r#"["Red fox","Blue whale"]"#,
    r#""quick""#,
    r#""QUICK BROWN""#,
    "42",
    r#""fox-trot and e-mail: a@b.com""#,
    "true",
];

struct Server {
    kv: Arc<CountingKv>,
    database: Arc<Database>,
    registry: Arc<Registry>,
}

impl Server {
    fn new(bodies: impl Iterator<Item = String>) -> Self {
        Self::of(bodies, definition())
    }

    fn of(bodies: impl Iterator<Item = String>, definition: IndexDefinition) -> Self {
        let kv = Arc::new(CountingKv::over(MemoryKv::new()));
        let shared: Arc<dyn Kv> = kv.clone();
        let database = Arc::new(Database::open(shared, "abcdefghijklmnopqrstuv").unwrap());
        let put = |(number, body): (usize, String)| {
            let id = format!("docs/{number:05}");
            Command::Put { document: NewDocument::parse(&id, body.as_bytes()).unwrap(), id, expected: None }
        };
        let commands = bodies.enumerate().map(put).collect();
        database.write(commands, Timestamp(17_090_000_000_000_000)).unwrap();
        let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), Vec::new()).unwrap();
        registry.put(vec![definition]).unwrap();
        let server = Self { kv, database, registry };
        server.wait();
        server
    }

    fn wait(&self) {
        let index = self.registry.get("Texts").unwrap();
        assert!(index.wait_until_indexed_blocking(self.database.last_etag(), WAIT));
        assert!(index.wait_until_terms_made_blocking(WAIT));
    }

    /// The `n` of the documents that fit.
    fn ask(&self, condition: &str) -> String {
        self.ordered(&format!("where {condition} order by n as long"))
    }

    fn ordered(&self, rest: &str) -> String {
        let query = format!("from index 'Texts' {rest}");
        let view = self.database.view();
        let source = Snapshot::new(&view, &self.registry);
        let request = Request { query: query.clone(), page_size: Some(100_000), ..Request::default() };
        let answer = execute(&source, &request).unwrap_or_else(|error| panic!("{query}: {error}"));
        let numbers = answer.json_rows().into_iter().map(|row| row.get("n").unwrap().to_string());
        numbers.collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.registry.stop();
    }
}

fn definition() -> IndexDefinition {
    let text = r#"{
        "Name": "Texts",
        "Maps": ["map('Docs', d => ({ t: d.t, n: d.n, x: d.t, y: d.t, w: d.t, s: d.t, o: d.t, k: d.t, l: d.t, lw: d.t, ng: d.t }))"],
        "Fields": {
            "t": { "Indexing": "Search" },
            "x": { "Indexing": "Exact" },
            "w": { "Indexing": "Search", "Analyzer": "Lucene.Net.Analysis.WhitespaceAnalyzer" },
            "s": { "Indexing": "Search", "Analyzer": "SimpleAnalyzer" },
            "o": { "Indexing": "Search", "Analyzer": "StopAnalyzer" },
            "k": { "Indexing": "Search", "Analyzer": "KeywordAnalyzer" },
            "l": { "Indexing": "Search", "Analyzer": "LowerCaseKeywordAnalyzer" },
            "lw": { "Analyzer": "LowerCaseWhitespaceAnalyzer" },
            "ng": { "Indexing": "Search", "Analyzer": "NGramAnalyzer" }
        }
    }"#;
    serde_json::from_str(text).unwrap()
}

fn body(number: usize, text: &str) -> String {
    let member = if text.is_empty() { String::new() } else { format!(r#""t":{text},"#) };
    format!(r#"{{{member}"n":{number},"@metadata":{{"@collection":"Docs"}}}}"#)
}

#[test]
fn fields_are_searched_as_the_original_does() {
    let server = Server::new(TEXTS.iter().enumerate().map(|(at, text)| body(at + 1, text)));
    let answers = ANSWERS.lines().filter(|line| !line.starts_with('#'));
    let answers: Vec<_> = answers.map(|line| line.split_once(" => ").unwrap()).collect();
    assert!(answers.len() > 100);
    for turn in ["read as a whole", "read by terms"] {
        let wrong: Vec<String> = answers
            .iter()
            .map(|(condition, expected)| (condition, expected, server.ask(condition)))
            .filter(|(_, expected, found)| *expected != found)
            .map(|(condition, expected, found)| format!("{condition}: {found} instead of {expected}"))
            .collect();
        assert!(wrong.is_empty(), "{turn}\n{}", wrong.join("\n"));
        server.wait();
    }
}

#[test]
fn a_search_reads_the_postings_of_its_words() {
    const MANY: usize = 5_000;
    let words = ["amber", "brick", "cedar", "delta", "ember", "flint", "grove"];
    let server = Server::new((0..MANY).map(|number| {
        let [a, b] = [number % 7, number / 7 % 7].map(|at| words[at]);
        body(number, &format!(r#""{a} {b} no-{number} the end""#))
    }));
    let questions = [
        ("search(t,'no-77')", 1),
        ("search(t,'no-77 no-99')", 2),
        ("search(t,'\"amber no-77\"')", 0),
        ("search(t,'amber no-77',and)", 1),
        ("search(t,'no-499*')", 11),
        ("t = 'no-4999'", 1),
        ("t in ('no-1','no-2','brick end')", 2),
        ("t all in ('no-15','cedar')", 1),
        ("t all in ('no-15','amber')", 0),
        ("startsWith(t,'no-100')", 11),
        ("t between 'no-10' and 'no-100'", 2),
        ("search(y,'\"amber amber no-0 the end\"')", 1),
    ];
    let scanned: Vec<String> = questions.iter().map(|(condition, _)| server.ask(condition)).collect();
    server.wait();
    for ((condition, count), scanned) in questions.iter().zip(&scanned) {
        server.kv.forget();
        let found = server.ask(condition);
        assert_eq!(&found, scanned, "{condition}");
        assert_eq!(found.split_terminator(", ").count(), *count, "{condition}: {found}");
        let read = server.kv.rows(Kind::MapOutput) + server.kv.rows(Kind::Term);
        assert!(read < MANY as u64 / 2, "{condition} read {read} rows");
        assert!(server.kv.rows(Kind::Term) > 0, "{condition} read no terms");
    }
}

/// Each was answered so by a live RavenDB 7.1.5, whose index has NaN, the infinities and 5 in `mix`, and texts of their
/// names in `s`; but for orders and comparisons with NaN, which counts as 0 there.
#[test]
fn infinities_are_beyond_all_numbers_and_found_by_no_text() {
    let map = "map('Docs', d => ({ nan: 0 / 0, inf: 1 / 0, ninf: -1 / 0, n: d.n, \
               mix: d.n == 1 ? 1 / 0 : d.n == 2 ? 5 : 0 / 0, s: d.n == 1 ? 'Infinity' : 'NaN' }))";
    let definition = format!(r#"{{ "Name": "Texts", "Maps": ["{map}"] }}"#);
    let bodies = (1..4).map(|number| body(number, r#""x""#));
    let server = Server::of(bodies, serde_json::from_str(&definition).unwrap());
    for turn in ["read as a whole", "read by terms"] {
        for (condition, expected) in [
            ("nan = 'NaN'", ""),
            ("nan = 'nan'", ""),
            ("nan in ('NaN')", ""),
            ("nan = null", ""),
            ("nan != null", "1, 2, 3"),
            ("nan != 'NaN'", "1, 2, 3"),
            ("nan = 1", ""),
            ("nan > 1", ""),
            ("exists(nan)", "1, 2, 3"),
            ("exact(nan = 'NaN')", "1, 2, 3"),
            ("startsWith(nan, 'Na')", ""),
            ("inf > 1", "1, 2, 3"),
            ("inf > 1.5", "1, 2, 3"),
            ("inf >= 9223372036854775807", "1, 2, 3"),
            ("inf < 1", ""),
            ("inf = 'Infinity'", ""),
            ("inf in ('Infinity', 'infinity')", ""),
            ("exact(inf = 'Infinity')", "1, 2, 3"),
            ("inf between 1 and 2", ""),
            ("ninf < -1", "1, 2, 3"),
            ("ninf > 1", ""),
            ("ninf <= -9223372036854775807", "1, 2, 3"),
            ("mix > 1", "1, 2"),
            ("mix = 5", "2"),
            ("mix < 10.5", "2"),
            ("mix = 'Infinity'", ""),
            ("mix != 5", "1, 3"),
            ("s = 'NaN'", "2, 3"),
            ("s = 'infinity'", "1"),
            ("s > 1", ""),
        ] {
            assert_eq!(server.ask(condition), expected, "{turn}: {condition}");
        }
        for (order, expected) in
            [("mix as double", "2, 1"), ("mix as double desc", "1, 2"), ("mix as long", "2, 1")]
        {
            assert_eq!(server.ordered(&format!("order by {order}, n")).as_str(), expected, "{turn}: {order}");
        }
        server.wait();
    }
}
