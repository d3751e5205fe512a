//! Queries over a real store and real indexes: that the seam to them is right.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use magpie_indexes::definition::FieldOptions;
use magpie_indexes::{IndexDefinition, Registry};
use magpie_query::{Answer, AnswerRow, QueryError, Request, Snapshot, execute};
use magpie_store::json::{Json, Object};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::{Command, Database, NewDocument, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

struct Server {
    database: Arc<Database>,
    registry: Arc<Registry>,
}

impl Server {
    fn new() -> Self {
        let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), "abcdefghijklmnopqrstuv").unwrap());
        let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), Vec::new()).unwrap();
        Self { database, registry }
    }

    fn put(&self, id: &str, text: &str) {
        let document = NewDocument::parse(id, text.as_bytes()).unwrap();
        let command = Command::Put { id: id.to_owned(), document, expected: None };
        self.database.write(vec![command], Timestamp(17_090_000_000_000_000)).unwrap();
    }

    fn index(&self, name: &str, map: &str, reduce: Option<&str>, fields: &[(&str, FieldOptions)]) {
        let definition = IndexDefinition {
            name: name.to_owned(),
            maps: vec![map.to_owned()],
            reduce: reduce.map(str::to_owned),
            fields: fields
                .iter()
                .map(|(name, options)| ((*name).to_owned(), options.clone()))
                .collect::<BTreeMap<_, _>>(),
            ..IndexDefinition::default()
        };
        self.registry.put(vec![definition]).unwrap();
        self.wait(name);
    }

    fn wait(&self, name: &str) {
        let index = self.registry.get(name).unwrap();
        assert!(index.wait_until_indexed_blocking(self.database.last_etag(), Duration::from_secs(60)));
    }

    fn ask(&self, query: &str) -> Result<Answer, QueryError> {
        let view = self.database.view();
        let source = Snapshot::new(&view, &self.registry);
        execute(
            &source,
            &Request { query: query.to_owned(), parameters: Some(Object::new()), ..Request::default() },
        )
    }

    fn answer(&self, query: &str) -> Answer {
        self.ask(query).unwrap_or_else(|error| panic!("{query}: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.registry.stop();
    }
}

fn texts(answer: &Answer) -> Vec<String> {
    answer.json_rows().iter().map(Json::to_string).collect()
}

fn jobs() -> Server {
    let server = Server::new();
    for (id, user, bytes) in
        [("jobs/1-A", "Ann", "5"), ("jobs/2-A", "ann", "7.25"), ("jobs/3-A", "Bob", "9007199254740993")]
    {
        server.put(id, &format!(r#"{{"user":"{user}","bytes":{bytes},"files":["a","b"],"@metadata":{{"@collection":"Jobs"}}}}"#));
    }
    server.put("plain", r#"{"user":"nobody"}"#);
    server.put("Raven/Hilo/jobs", r#"{"Max":32,"@metadata":{"@collection":"@hilo"}}"#);
    server
}

#[test]
fn documents_come_from_the_store() {
    let server = jobs();
    let all = server.answer("from jobs");
    assert_eq!((all.index_name.as_str(), all.total_results, all.is_stale), ("collection/jobs", 3, false));
    assert_eq!(
        texts(&all)[2],
        concat!(
            r#"{"user":"Bob","bytes":9007199254740993,"files":["a","b"],"@metadata":{"@collection":"Jobs","#,
            r#""@change-vector":"A:3-abcdefghijklmnopqrstuv","@id":"jobs/3-A","@last-modified":"2024-02-27T02:13:20.0000000Z"}}"#
        )
    );
    for (query, total, rows, name) in [
        ("from @all_docs", 4, 4, "collection/@all_docs"),
        ("from @empty", 1, 1, "collection/@empty"),
        ("from Nope", 0, 0, "collection/Nope"),
        ("from Jobs limit 1", 3, 1, "collection/Jobs"),
        ("from Jobs where user = 'ANN'", 2, 2, "Auto/Jobs/Byuser"),
        ("from Jobs where bytes > 6 order by bytes as double desc limit 1", 2, 1, "Auto/Jobs/BybytesAnduser"),
        ("from @all_docs where startsWith(id(), 'JOBS/')", -1, 3, "collection/@all_docs"),
        ("from Jobs where id() in ('JOBS/2-a', 'plain', '')", 1, 1, "collection/Jobs"),
        ("from @all_docs where id() = 'Raven/Hilo/jobs'", 0, 0, "collection/@all_docs"),
        (
            "from Jobs where @metadata.@last-modified > '2024-01-01' and @metadata.@collection = 'jobs'",
            3,
            3,
            "Auto/Jobs/By@metadata.@collectionAnd@metadata.@last-modifiedAndbytesAnduser",
        ),
    ] {
        let answer = server.answer(query);
        assert_eq!((answer.total_results, answer.rows.len()), (total, rows), "{query}");
        assert_eq!(answer.index_name, name, "{query}");
    }
}

#[test]
fn results_come_from_a_map_reduce_index() {
    let server = jobs();
    server.index(
        "Jobs/ByUser",
        "map('Jobs', j => ({ user: j.user, n: 1 }))",
        Some("groupBy(x => x.user).aggregate(g => ({ user: g.key, n: g.values.reduce((s, v) => s + v.n, 0) }))"),
        &[],
    );
    let answer = server.answer("from index 'jobs/byuser' where user = 'ann' order by n as long, user");
    assert_eq!(answer.index_name, "Jobs/ByUser");
    assert_eq!(
        texts(&answer),
        [
            r#"{"user":"Ann","n":1,"@metadata":{"@change-vector":null}}"#,
            r#"{"user":"ann","n":1,"@metadata":{"@change-vector":null}}"#
        ]
    );
    assert_eq!(server.answer("from index 'Jobs/ByUser' limit 1").total_results, 3);
    assert!(matches!(
        server.ask("from index 'Jobs/ByUser' where nope = 1"),
        Err(QueryError::Argument { .. })
    ));
    assert!(matches!(server.ask("from index 'Jobs/ByUs'"), Err(QueryError::IndexMissing { .. })));
    let before = server.answer("from index 'Jobs/ByUser'").result_etag;
    server.put("jobs/4-A", r#"{"user":"Cid","@metadata":{"@collection":"Jobs"}}"#);
    server.wait("Jobs/ByUser");
    let after = server.answer("from index 'Jobs/ByUser'");
    assert_eq!((after.total_results, after.is_stale), (4, false));
    assert_ne!(after.result_etag, before);
}

/// Rows that are given as they are stored are those that were looked into, byte for byte.
#[test]
fn rows_straight_from_the_store_are_the_same() {
    let server = jobs();
    server.put("Jobs/\"ö\\", r#"{"@metadata":{"@collection":"Jobs"}}"#);
    server.put(
        "jobs/5",
        r#"{"user":"E 1n, N, I","files":[],"@metadata":{"@collection":"Jobs","a":{"b":"\""}}}"#,
    );
    let number = "j.user === 'Bob' ? 3n : j.user === 'ann' ? 0/0 : j.user === 'Ann' ? -1/0 : 'a\\\\\"5n\"'";
    let own = "j.user === 'Bob' ? { '@metadata': { x: 1 } } : 7";
    let map = format!("map('Jobs', j => ({{ user: j.user, number: {number}, own: {own} }}))");
    let reduce = "groupBy(x => x.user).aggregate(g => ({ user: g.key, number: g.values[0].number, own: g.values[0].own }))";
    server.index("Odd", &map, Some(reduce), &[]);
    server.index("Names", "map('Jobs', j => ({ who: id(j) }))", None, &[]);
    for source in ["from Jobs", "from @all_docs", "from index 'Odd'", "from index 'Names'"] {
        let looked_into = server.answer(&format!("{source} include nothing"));
        let straight = server.answer(source);
        let text = |row: &AnswerRow| {
            let mut text = Vec::new();
            row.write_to(&mut text);
            String::from_utf8(text).unwrap()
        };
        let rows: Vec<String> = straight.rows.iter().map(text).collect();
        assert_eq!(rows, looked_into.rows.iter().map(text).collect::<Vec<_>>(), "{source}");
        assert!(rows.len() >= 4, "{source}: {}", rows.len());
        assert!(straight.rows.iter().all(|row| matches!(row, AnswerRow::Stored(_))), "{source}");
        assert!(looked_into.rows.iter().all(|row| matches!(row, AnswerRow::Made(_))), "{source}");
    }
    let odd = texts(&server.answer("from index 'Odd'")).join("\n");
    for part in
        [r#""number":"3""#, r#""number":"NaN""#, r#""number":"-Infinity""#, r#""own":{"@metadata":{"x":1}}"#]
    {
        assert!(odd.contains(part), "{part} in {odd}");
    }
}

#[test]
fn documents_come_through_a_map_index() {
    let server = jobs();
    let stored = FieldOptions { storage: Some("Yes".to_owned()), ..FieldOptions::default() };
    let exact = FieldOptions { indexing: Some("Exact".to_owned()), ..FieldOptions::default() };
    let unindexed = FieldOptions { indexing: Some("No".to_owned()), ..FieldOptions::default() };
    server.index(
        "Jobs/Files",
        "map('Jobs', j => j.files.map(f => ({ file: f, who: j.user, name: j.user, raw: j.user })))",
        None,
        &[("file", stored), ("name", exact), ("raw", unindexed)],
    );
    let entries = server.answer("from index 'Jobs/Files' where file = 'A' order by id()");
    assert_eq!((entries.total_results, entries.rows.len(), entries.skipped_results), (3, 3, 0));
    let twice = server.answer("from index 'Jobs/Files' where id() = 'jobs/1-a'");
    assert_eq!((twice.total_results, twice.rows.len(), twice.skipped_results), (2, 1, 1));
    assert_eq!(
        texts(&server.answer("from index 'Jobs/Files' where file = 'b' and name = 'Ann' select file"))[0],
        r#"{"file":"b","@metadata":{"@projection":true,"@change-vector":null,"@id":"jobs/1-A"}}"#
    );
    for (condition, total) in
        [("name = 'ann'", 2), ("name = 'ANN'", 0), ("who = 'ANN'", 4), ("raw = 'Ann'", 0), ("raw != 'x'", 6)]
    {
        assert_eq!(
            server.answer(&format!("from index 'Jobs/Files' where {condition}")).total_results,
            total,
            "{condition}"
        );
    }
}

const SUM: &str = "groupBy(r => ({ user: r.user, day: r.day })).aggregate(g => ({ user: g.key.user, day: g.key.day, n: g.values.reduce((s, v) => s + v.n, 0) }))";

/// 40 users with 5 days each; every other name is written in capitals.
fn days() -> Server {
    let server = Server::new();
    for number in 0..200 {
        let user = format!("{}/{}", if number % 2 == 0 { "Users" } else { "USERS" }, number % 40);
        let day = 1 + number / 40;
        server.put(
            &format!("e/{number}"),
            &format!(
                r#"{{"user":"{user}","day":"2024-01-0{day}","n":{number},"@metadata":{{"@collection":"E"}}}}"#
            ),
        );
    }
    let map = "map('E', e => ({ user: e.user, day: e.day, n: e.n }))";
    server.index("PerDay", map, Some(SUM), &[]);
    server
}

#[test]
fn a_query_by_key_does_not_read_the_results_of_other_keys() {
    let server = days();
    let wanted = [
        ("from index 'PerDay' where user = 'users/7'", 5),
        ("from index 'PerDay' where user = 'users/8' and day >= '2024-01-02' and day < '2024-01-04'", 2),
        ("from index 'PerDay' where user in ('users/7', 'USERS/8') and day = '2024-01-05'", 2),
        ("from index 'PerDay' where startsWith(user, 'users/39')", 5),
        ("from index 'PerDay' where user = 'users/7' and n >= 0 order by n as long desc", 5),
        ("from index 'PerDay' where user = 'users/9' or user = 'users/10'", 10),
        (
            "from index 'PerDay' where user = 'users/7' and day between '2024-01-02' and '2024-01-03' reduce by user",
            1,
        ),
    ];
    let before: Vec<_> = wanted.iter().map(|(query, _)| texts(&server.answer(query))).collect();
    // Damage in another key's result is met by whoever reads it.
    let index = server.registry.get("PerDay").unwrap();
    let mut key = Vec::new();
    for part in ["Users/20", "2024-01-03"] {
        magpie_store::ordered::encode_str(part, &mut key);
    }
    let mut batch = magpie_store::kv::Batch::new();
    batch.put(
        magpie_store::kv::Space::Index,
        index.slot().key(magpie_indexes::keys::Kind::Result, &key),
        vec![0xEE, 0xEE],
    );
    server.database.commit_derived(batch).unwrap();
    assert!(server.ask("from index 'PerDay'").is_err());
    assert!(server.ask("from index 'PerDay' where user = 'users/20'").is_err());
    for ((query, count), before) in wanted.iter().zip(before) {
        assert_eq!(before.len(), *count, "{query}");
        assert_eq!(texts(&server.answer(query)), before, "{query}");
    }
}

#[test]
fn results_whose_fields_are_not_those_of_their_keys_are_found_all_the_same() {
    let server = Server::new();
    for (id, kind) in [("e/1", "a"), ("e/2", "b")] {
        server.put(id, &format!(r#"{{"kind":"{kind}","@metadata":{{"@collection":"E"}}}}"#));
    }
    let map = "map('E', e => ({ kind: e.kind, n: 1 }))";
    let renames = "groupBy(r => r.kind).aggregate(g => ({ kind: 'kind ' + g.key, n: g.values.length }))";
    server.index("Renames", map, Some(renames), &[]);
    let finalizes = "groupBy(r => r.kind).aggregate(g => ({ kind: g.key, n: g.values.length })).finalize(r => ({ kind: 'kind ' + r.kind, n: r.n }))";
    server.index("Finalizes", map, Some(finalizes), &[]);
    for index in ["Renames", "Finalizes"] {
        let found = server.answer(&format!("from index '{index}' where kind = 'kind b'"));
        assert_eq!(texts(&found).len(), 1, "{index}");
        assert!(texts(&server.answer(&format!("from index '{index}' where kind = 'b'"))).is_empty());
    }
}
