//! Auto indexes never change an answer: whatever the values, conditions and orders, a database that makes them answers
//! every dynamic query as one that reads its documents does, also while they are behind. And they do what they are for:
//! few documents are read. That is counted, not timed.

#![cfg(test)]

mod counting;
mod questions;

use counting::CountingKv;
use magpie_indexes::keys::Kind;
use magpie_indexes::{AutoTimes, Index, Registry};
use magpie_query::{Answer, QueryError, Request, Snapshot, execute};
use magpie_store::json::{Json, Object};
use magpie_store::kv::Kv;
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::rocks::RocksKv;
use magpie_store::{Command, Database, NewDocument, Timestamp};
use magpie_tests::process::ServerProcess;
use magpie_tests::wire::Client;
use proptest::prelude::*;
use questions::{Change, changes, query};
use std::cell::Cell;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

struct Server {
    kv: Arc<CountingKv>,
    database: Arc<Database>,
    registry: Arc<Registry>,
}

impl Server {
    fn new(kv: Arc<CountingKv>) -> Self {
        let shared: Arc<dyn Kv> = kv.clone();
        let database = Arc::new(Database::open(shared, "abcdefghijklmnopqrstuv").unwrap());
        let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), Vec::new()).unwrap();
        Self { kv, database, registry }
    }

    fn in_memory() -> Self {
        Self::new(Arc::new(CountingKv::over(MemoryKv::new())))
    }

    fn write(&self, commands: Vec<Command>) {
        if !commands.is_empty() {
            self.database.write(commands, Timestamp(17_090_000_000_000_000)).unwrap();
        }
    }

    /// Asks, without making an index of it.
    fn ask(&self, query: &str, parameters: &Object) -> Result<Answer, QueryError> {
        let view = self.database.view();
        let source = Snapshot::new(&view, &self.registry);
        let parameters = Some(parameters.clone());
        execute(&source, &Request { query: query.to_owned(), parameters, ..Request::default() })
    }

    /// Asks as a server does.
    fn ask_and_make(&self, query: &str) -> Answer {
        let answer = self.ask(query, &Object::new()).unwrap();
        self.registry.make_wanted_auto_indexes().unwrap();
        answer
    }

    fn index(&self, name: &str) -> Arc<Index> {
        self.registry.get(name).unwrap_or_else(|| panic!("{name} is not among {:?}", self.names()))
    }

    fn names(&self) -> Vec<String> {
        self.registry.all().iter().map(|index| index.name()).collect()
    }

    fn wait(&self) {
        self.names().iter().for_each(|name| self.wait_for(name));
    }

    fn wait_for(&self, name: &str) {
        let index = self.index(name);
        assert!(index.wait_until_indexed_blocking(self.database.last_etag(), WAIT), "{name}");
        assert!(index.wait_until_terms_made_blocking(WAIT), "{name}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.registry.stop();
    }
}

fn put(id: &str, body: &str) -> Command {
    let document = NewDocument::parse(id, body.as_bytes()).unwrap();
    Command::Put { id: id.to_owned(), document, expected: None }
}

fn commands(changes: &[Change]) -> Vec<Command> {
    let command = |change: &Change| match change {
        Change::Put(id, body) => put(&format!("Docs/{id}"), body),
        Change::Delete(id) => Command::Delete { id: format!("docs/{id}"), expected: None },
    };
    changes.iter().map(command).collect()
}

/// So many documents that queries read an index, among those that come and go.
fn padding() -> Vec<Command> {
    let pad = |n: usize| {
        let body = format!(
            r#"{{"a":{},"b":"pad-{n}","@metadata":{{"@collection":"Docs"}}}}"#,
            ["100", "[200,\"z\"]", "\"zz\"", "null"][n % 4]
        );
        put(&format!("docs/pad/{n}"), &body)
    };
    (0..80).map(pad).collect()
}

/// Queries with `group by`: keys of all kinds, sums that have values and others, conditions on both.
fn grouped() -> impl Strategy<Value = (String, Object)> {
    let key = prop_oneof![
        4 => Just("a"),
        2 => Just("b"),
        2 => Just("k"),
        1 => Just("a.x"),
        1 => Just("array(a)"),
        1 => Just("a[]"),
        1 => Just("items[].a"),
        1 => Just("@metadata.@collection"),
        1 => Just("none"),
    ];
    let what = prop_oneof![
        Just(""),
        Just(" select key(), count()"),
        Just(" select count(), sum(k)"),
        Just(" select key() as k, sum(k) as s, sum(none)"),
        Just(" select sum(b)"),
        Just(" select sum(items[].a), count()"),
    ];
    let condition =
        prop_oneof![3 => Just(""), 1 => Just(" where count() > 1"), 1 => Just(" where sum(k) < 40.5")];
    let order = prop_oneof![
        3 => Just(""),
        1 => Just(" order by count() as long desc"),
        1 => Just(" order by sum(k) as double"),
    ];
    let limit = prop::option::of(0..5_u8);
    (prop::collection::vec(key, 1..3), condition, order, what, limit).prop_map(
        |(keys, condition, order, what, limit)| {
            let limit = limit.map_or_else(String::new, |limit| format!(" limit 1, {limit}"));
            (format!(" group by {}{condition}{order}{what}{limit}", keys.join(", ")), Object::new())
        },
    )
}

/// The answer or error as text.
fn shown(outcome: &Result<Answer, QueryError>) -> String {
    match outcome {
        Ok(answer) => {
            let rows: Vec<String> = answer.rows.iter().map(Json::to_string).collect();
            format!(
                "total {} skipped {} capped {:?} stale {}\n{}",
                answer.total_results,
                answer.skipped_results,
                answer.capped_max_results,
                answer.is_stale,
                rows.join("\n")
            )
        }
        Err(error) => error.to_string(),
    }
}

fn cases() -> u32 {
    if std::env::var_os("SLOW").is_some() { 1_500 } else { 40 }
}

/// Two databases with the same history, one of which makes auto indexes. Gives how many answers came with their help.
fn run(before: &[Change], after: &[Change], queries: &[(String, Object)]) -> Result<usize, TestCaseError> {
    let (server, scanned) = (Server::in_memory(), Server::in_memory());
    let write = |changes: &dyn Fn() -> Vec<Command>| {
        server.write(changes());
        scanned.write(changes());
    };
    write(&padding);
    write(&|| commands(before));
    // What is asked for once is there when it is asked for again.
    for (query, parameters) in queries {
        let _ = server.ask(&format!("from Docs{query}"), parameters);
        // Whole groups show what others asked for.
        let _ = scanned.ask(&format!("from Docs{query}"), parameters);
        server.registry.make_wanted_auto_indexes().unwrap();
    }
    server.wait();
    let mut helped = 0;
    let mut compare = |when: &str| {
        for (query, parameters) in queries {
            let query = format!("from Docs{query}");
            server.kv.forget();
            let found = server.ask(&query, parameters);
            let read = [Kind::Term, Kind::TermCount, Kind::Result].map(|kind| server.kv.rows(kind));
            helped += usize::from(read.iter().sum::<u64>() > 0);
            scanned.kv.forget();
            let wanted = scanned.ask(&query, parameters);
            prop_assert_eq!(scanned.kv.all_rows(), 0);
            let parameters = Json::Object(parameters.clone());
            prop_assert_eq!(shown(&found), shown(&wanted), "{}: {} {}", when, query, parameters);
        }
        Ok(())
    };
    compare("settled")?;
    server.registry.pause(None).unwrap();
    write(&|| commands(after));
    compare("behind")?;
    server.registry.resume(None).unwrap();
    server.wait();
    compare("settled again")?;
    for name in server.names() {
        let verified = server.registry.verify(&name, false, &|| true).unwrap().unwrap();
        prop_assert_eq!(verified.found.damages, 0, "{}", name);
    }
    Ok(helped)
}

#[test]
fn answers_are_those_of_a_scan() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let asked = prop_oneof![3 => query(), 1 => grouped()];
    let histories = (changes(0..60), changes(1..40), prop::collection::vec(asked, 40));
    let helped = Cell::new(0);
    runner
        .run(&histories, |(before, after, queries)| {
            helped.set(helped.get() + run(&before, &after, &queries)?);
            Ok(())
        })
        .unwrap();
    let asked = usize::try_from(cases()).unwrap() * 40 * 3;
    assert!(helped.get() * 3 > asked, "{} of {asked} questions read terms", helped.get());
}

/// Documents with a name of their own, a total of their own, and a few values of `status`.
const MANY: usize = 30_000;

fn order(n: usize) -> String {
    format!(
        r#"{{"name":"Name-{}","total":{},"status":"s{}","lines":[{{"p":"p{}"}},{{"p":"p{}"}}],"@metadata":{{"@collection":"Orders"}}}}"#,
        n * 7919 % MANY,
        n * 31 % MANY,
        n % 3,
        n % 500,
        n % 700,
    )
}

fn many() -> (Server, Server) {
    let new = || Server::new(Arc::new(CountingKv::over(RocksKv::open_in_memory().unwrap())));
    let (server, scanned) = (new(), new());
    for chunk in (0..MANY).collect::<Vec<_>>().chunks(5_000) {
        let commands = || chunk.iter().map(|n| put(&format!("orders/{n}"), &order(*n))).collect();
        server.write(commands());
        scanned.write(commands());
    }
    (server, scanned)
}

/// The same answer as by a scan, with no more documents and rows of indexes read than that.
fn reads((server, scanned): &(Server, Server), query: &str, total: i64, documents: u64, rows: u64) {
    server.kv.forget();
    let found = server.ask(query, &Object::new());
    let read = (server.kv.documents(), server.kv.all_rows());
    let wanted = scanned.ask(query, &Object::new());
    assert_eq!(shown(&found), shown(&wanted), "{query}");
    assert_eq!(found.unwrap().total_results, total, "{query}");
    assert!(read.0 <= documents, "{query} reads {} documents", read.0);
    assert!(read.1 <= rows, "{query} reads {} rows", read.1);
}

#[test]
fn a_query_reads_about_the_documents_that_it_gives() {
    let both = many();
    let server = &both.0;
    let all = i64::try_from(MANY).unwrap();
    server.kv.forget();
    let answer = server.ask_and_make("from orders where name = 'NAME-77' order by total as long");
    assert_eq!((answer.index_name.as_str(), answer.is_stale), ("Auto/orders/BynameAndtotal", false));
    assert!(server.kv.documents() >= MANY as u64, "nothing is there that could help");
    server.ask_and_make("from Orders where status = 's1' and total > 7");
    server.ask_and_make("from Orders where lines[].p = 'p7'");
    server.ask_and_make("from Orders group by status select key(), count(), sum(total)");
    server.ask_and_make("from Orders group by lines[].p select key(), count()");
    server.wait();
    let rows = 300;
    let narrowed = |both: &(Server, Server), tail: u64, also: u64| {
        reads(both, "from Orders where name = 'NAME-77'", 1, 1 + tail, rows);
        reads(both, "from Orders where name in ('name-1', 'name-2', 'none')", 2, 2 + tail, rows);
        reads(both, "from Orders where total between 500 and 599", 100, 100 + tail, rows);
        reads(both, "from Orders where startsWith(name, 'name-1234')", 11, 11 + tail, rows);
        reads(both, "from Orders where lines[].p = 'p7' and total < 3000", 9, 103 + tail, 1_000);
        reads(both, "from Orders where status = 'S1' limit 10", all / 3, 40 + tail, rows);
        reads(
            both,
            "from Orders where status = 'S1' order by total as long desc limit 10",
            all / 3,
            60 + tail,
            rows,
        );
        reads(both, "from Orders order by name limit 5", all, 10 + tail, rows + also);
        reads(both, "from Orders order by total as long desc limit 20, 10", all, 40 + tail, rows + also);
        reads(both, "from Orders where status = 'none' order by name limit 5", 0, 2 + tail, rows + also);
        reads(both, "from Orders group by status select key(), count(), sum(total)", 3, tail, 20 + also);
        reads(both, "from Orders group by lines[].p where count() > 50 select key()", 500, tail, 800 + also);
    };
    narrowed(&both, 0, 0);
    // The indexes stand still, and documents change: they are read besides, and nothing else.
    server.registry.pause(None).unwrap();
    for one in [&both.0, &both.1] {
        one.write(vec![
            // These stay as they are, and those come and go.
            put("orders/5", &order(5)),
            put("orders/6", r#"{"name":"name-77777","total":-5,"@metadata":{"@collection":"Orders"}}"#),
            put("orders/6", &order(6)),
            put("orders/77777", r#"{"name":"name-77777","@metadata":{"@collection":"Orders"}}"#),
            Command::Delete { id: "orders/77777".to_owned(), expected: None },
        ]);
    }
    narrowed(&both, 20, 20);
    server.write(vec![put("orders/new", r#"{"name":"Name-77","@metadata":{"@collection":"Orders"}}"#)]);
    let now = server.ask("from Orders where name = 'name-77'", &Object::new()).unwrap();
    assert_eq!((now.total_results, now.is_stale), (2, false), "what was written is found at once");
    server.registry.resume(None).unwrap();
}

#[test]
fn an_index_widens_and_comes_back_after_a_restart() {
    let kv = Arc::new(CountingKv::over(RocksKv::open_in_memory().unwrap()));
    let server = Server::new(Arc::clone(&kv));
    server.write(padding());
    for query in ["from Docs", "from Docs where id() = 'docs/1'", "from Docs where startsWith(id(), 'd')"] {
        server.ask_and_make(query);
    }
    assert_eq!(server.names(), Vec::<String>::new(), "what only reads the collection needs no index");
    let answer = server.ask_and_make("from Docs where a = 1");
    assert_eq!(answer.index_name, "Auto/Docs/Bya");
    assert_eq!(server.names(), ["Auto/Docs/Bya"]);
    assert_eq!(server.ask_and_make("from docs where a > 1").index_name, "Auto/Docs/Bya");
    let answer = server.ask_and_make("from Docs where search(c, 'x') order by b");
    assert_eq!(answer.index_name, "Auto/Docs/BySearch(c)AndaAndb");
    assert_eq!(server.names(), ["Auto/Docs/BySearch(c)AndaAndb", "Auto/Docs/Bya"]);
    let definition = server.index("auto/docs/bya").definition();
    assert_eq!((definition.type_name(), definition.maps[0].as_str()), ("AutoMap", "Docs:[<Name:a>]"));
    let answer = server.ask_and_make("from Docs group by b select key(), sum(k)");
    assert_eq!(answer.index_name, "Auto/Docs/BykReducedByb");
    let answer = server.ask_and_make("from Docs group by b select key(), count()");
    assert_eq!(answer.index_name, "Auto/Docs/ByCountAndkReducedByb");
    let definition = server.index(&answer.index_name).definition();
    assert_eq!(
        (definition.type_name(), definition.maps[0].as_str(), definition.reduce.as_deref()),
        (
            "AutoMapReduce",
            "Docs:[<Name:Count#Operation:Count>;<Name:k#Operation:Sum>]",
            Some("Docs:[<Name:b>]")
        )
    );
    for name in ["Auto/Docs/BykReducedByb", "Auto/Docs/ByCountAndkReducedByb"] {
        assert!(server.registry.delete(name).unwrap());
    }
    server.wait();
    let entries = |server: &Server| -> Vec<(String, String)> {
        let view = server.database.view();
        let index = server.index("Auto/Docs/BySearch(c)AndaAndb");
        index.entries(&view).map(|entry| entry.unwrap()).map(|(id, value)| (id, value.to_string())).collect()
    };
    let before = entries(&server);
    assert_eq!(before.len(), 80);
    drop(server);
    let server = Server::new(kv);
    assert_eq!(server.names(), ["Auto/Docs/BySearch(c)AndaAndb", "Auto/Docs/Bya"]);
    assert_eq!(entries(&server), before);
    assert!(server.registry.delete("Auto/Docs/BySearch(c)AndaAndb").unwrap());
    assert_eq!(server.ask_and_make("from Docs where a > 1").index_name, "Auto/Docs/Bya");
    assert!(server.registry.delete("auto/docs/bya").unwrap());
    assert_eq!(
        server.ask_and_make("from Docs where b > 1").index_name,
        "Auto/Docs/Byb",
        "nothing is left of them"
    );
}

#[test]
fn auto_indexes_are_bounded() {
    let server = Server::in_memory();
    server.write(padding());
    for n in 0..100 {
        let answer = server.ask_and_make(&format!("from C{n} where a = 1"));
        assert_eq!(answer.index_name, format!("Auto/C{n}/Bya"));
    }
    assert_eq!(server.names().len(), magpie_indexes::limits::AUTO_INDEXES_MAX);
    for index in server.registry.all().iter().skip(1) {
        server.registry.delete(&index.name()).unwrap();
    }
    for n in 0..200 {
        server.ask_and_make(&format!("from Docs where f{n} = 1"));
    }
    for index in server.registry.all() {
        let fields = index.definition().auto.clone().unwrap().fields.len();
        assert!(fields <= magpie_indexes::limits::AUTO_INDEX_FIELDS_MAX, "{fields}");
    }
    assert_eq!(server.ask("from Docs where b = 'PAD-7'", &Object::new()).unwrap().total_results, 1);
    // Names that differ by case alone are those of one index.
    let longest = "x".repeat(2000);
    assert_eq!(server.ask_and_make(&format!("from Docs where {longest} = 1")).total_results, 0);
    assert!(server.names().iter().all(|name| !name.contains(&longest)));
}

/// A millisecond in ticks, in which the times of this test are.
const MS: i64 = 10_000;

#[test]
fn what_nobody_needs_is_let_go() {
    let server = Server::in_memory();
    server.write(padding());
    server.ask_and_make("from Docs where a = 1");
    server.ask_and_make("from Docs where b = 'pad-1' order by a");
    server.ask_and_make("from Docs group by b select key(), count()");
    let (small, wide, groups) = ("Auto/Docs/Bya", "Auto/Docs/ByaAndb", "Auto/Docs/ByCountReducedByb");
    let times = AutoTimes { superseded: 15 * MS, idle: 100 * MS, removed: 1_000 * MS };
    let tend = |at: i64| server.registry.tend_auto_indexes(Timestamp(at * MS), &times).unwrap();
    // A wider one must have caught up, terms included, and that for a while.
    server.registry.pause(Some(wide)).unwrap();
    server.write(vec![put("docs/new", r#"{"a":1,"@metadata":{"@collection":"Docs"}}"#)]);
    for at in [1, 50, 90] {
        assert_eq!(tend(at), Vec::<String>::new());
    }
    server.registry.resume(Some(wide)).unwrap();
    server.wait();
    assert_eq!(tend(91), Vec::<String>::new());
    assert_eq!(tend(105), Vec::<String>::new());
    assert_eq!(tend(106), [small]);
    assert_eq!(server.names(), [groups, wide]);
    // By now nobody has asked the others for long.
    for name in [wide, groups] {
        let index = server.index(name);
        assert!(index.is_idle(), "{name}");
        assert_eq!(index.last_queried(), None, "nobody has said when");
    }
    let before = server.index(wide).progress().etag;
    server.write(vec![put("docs/newer", r#"{"a":1,"@metadata":{"@collection":"Docs"}}"#)]);
    let found = || server.ask("from Docs where a = 1 and b = null", &Object::new()).unwrap();
    assert_eq!((found().total_results, found().is_stale), (0, false));
    assert_eq!(server.ask("from Docs where a = 1", &Object::new()).unwrap().total_results, 2);
    let view = server.database.view();
    assert!(!server.registry.is_stale(&view, &server.index(wide)).unwrap(), "nobody waits for an idle index");
    assert_eq!(server.index(wide).progress().etag, before, "it does not follow");
    server.registry.note_queried(wide, Timestamp(150 * MS));
    server.wait_for(wide);
    assert_eq!(server.index(wide).last_queried(), Some(Timestamp(150 * MS)));
    assert!(!server.index(wide).is_idle() && server.index(groups).is_idle());
    assert_eq!(tend(1_000), Vec::<String>::new());
    assert_eq!(tend(1_001), [groups]);
    assert_eq!(tend(1_150), [wide]);
    assert_eq!(server.names(), Vec::<String>::new());
}

fn get(client: &Client, path: &str) -> Json {
    client.get(path).unwrap().expect_status(200).unwrap().json().unwrap()
}

fn post_query(client: &Client, database: &str, query: &str) -> Json {
    // Who asks a collection never waits.
    let waits = query.starts_with("from index");
    let body = Object::from_iter([("Query", Json::from(query)), ("WaitForNonStaleResults", waits.into())]);
    let body = body.to_string();
    let answer = client.post(&format!("/databases/{database}/queries"), &body).unwrap();
    answer.expect_status(200).unwrap().json().unwrap()
}

fn text<'j>(json: &'j Json, key: &str) -> &'j str {
    json.get(key).and_then(Json::as_str).unwrap_or_else(|| panic!("{key} in {json}"))
}

fn put_users(client: &Client, from: u32, to: u32) -> bool {
    let command = |n: u32| {
        format!(
            r#"{{"Id":"users/{n}","ChangeVector":null,"Type":"PUT","Document":{{"name":"u{n}","age":{},"@metadata":{{"@collection":"Users"}}}}}}"#,
            n % 10
        )
    };
    let commands: Vec<String> = (from..to).map(command).collect();
    let body = format!(r#"{{"Commands":[{}]}}"#, commands.join(","));
    client.post("/databases/magpie/bulk_docs", &body).is_ok_and(|answer| answer.status == 201)
}

/// The names and types of the indexes, from all the places that tell them.
fn listed(client: &Client) -> Vec<(String, String)> {
    let pairs = |list: &Json| -> Vec<(String, String)> {
        let list = list.as_array().unwrap();
        list.iter().map(|item| (text(item, "Name").to_owned(), text(item, "Type").to_owned())).collect()
    };
    let definitions = get(client, "/databases/magpie/indexes");
    let definitions = pairs(definitions.get("Results").unwrap());
    let statistics = get(client, "/databases/magpie/indexes/stats");
    assert_eq!(pairs(statistics.get("Results").unwrap()), definitions);
    let database = get(client, "/databases/magpie/stats");
    assert_eq!(pairs(database.get("Indexes").unwrap()), definitions);
    assert_eq!(database.get("CountOfIndexes"), Some(&Json::from(definitions.len())));
    definitions
}

#[test]
fn clients_see_them_and_they_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = ServerProcess::start(folder.path(), &[]).unwrap();
    let client = process.client();
    assert!(put_users(&client, 0, 200));
    assert_eq!(listed(&client), []);
    let answer = post_query(&client, "magpie", "from Users where age > 7 order by name");
    assert_eq!(text(&answer, "IndexName"), "Auto/Users/ByageAndname");
    let grouped = "from Users group by age select key(), count()";
    assert_eq!(text(&post_query(&client, "magpie", grouped), "IndexName"), "Auto/Users/ByCountReducedByage");
    let both = [("Auto/Users/ByCountReducedByage", "AutoMapReduce"), ("Auto/Users/ByageAndname", "AutoMap")]
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()));
    assert_eq!(listed(&client), both);
    let statistics = get(&client, "/databases/magpie/indexes/stats?name=auto/users/byageandname");
    let statistics = &statistics.get("Results").unwrap().as_array().unwrap()[0];
    assert!(statistics.get("LastQueryingTime").unwrap().as_str().is_some(), "{statistics}");
    let by_name = post_query(&client, "magpie", "from index 'Auto/Users/ByageAndname' where age = 3 limit 1");
    assert_eq!(by_name.get("TotalResults"), Some(&Json::from(20_i64)));
    // Killed while documents come in: what was acknowledged is found, by the index and by ids.
    let writer = process.client();
    let acknowledged = std::thread::spawn(move || {
        (200_u32..).step_by(10).take_while(|from| put_users(&writer, *from, from + 10)).last()
    });
    let far = || get(&client, "/databases/magpie/stats").get("CountOfDocuments").and_then(Json::as_i64);
    while far().unwrap() < 1_000 {
        std::thread::yield_now();
    }
    process.kill().unwrap();
    let last = acknowledged.join().unwrap().unwrap();
    let process = ServerProcess::start(folder.path(), &[]).unwrap();
    let client = process.client();
    assert_eq!(listed(&client), both);
    let count = get(&client, "/databases/magpie/stats").get("CountOfDocuments").unwrap().as_i64().unwrap();
    assert!(count >= i64::from(last) + 10);
    for settled in [false, true] {
        let answer = post_query(&client, "magpie", "from Users where age = 3 limit 5");
        assert_eq!(answer.get("TotalResults"), Some(&Json::from(count / 10)));
        assert_eq!(answer.get("IsStale"), Some(&Json::Bool(false)));
        let groups = post_query(&client, "magpie", grouped);
        let groups = groups.get("Results").unwrap().as_array().unwrap();
        assert_eq!(groups.len(), 10);
        assert!(groups.iter().all(|group| group.get("Count") == Some(&Json::from(count / 10))));
        while !settled
            && get(&client, "/databases/magpie/stats")
                .get("Indexes")
                .and_then(Json::as_array)
                .unwrap()
                .iter()
                .any(|index| index.get("IsStale") == Some(&Json::Bool(true)))
        {
            std::thread::yield_now();
        }
    }
    move_to_another_database(&client);
    let gone = client.send("DELETE", "/databases/magpie/indexes?name=Auto%2FUsers%2FByageAndname", &[], None);
    gone.unwrap().expect_status(204).unwrap();
    assert_eq!(listed(&client), both[..1]);
}

/// A dump holds them in RavenDB's layout, and brings them.
fn move_to_another_database(client: &Client) {
    let dump = client.post("/databases/magpie/smuggler/export", "{}").unwrap().expect_status(200).unwrap();
    let mut plain = String::new();
    flate2::read::GzDecoder::new(dump.body.as_slice()).read_to_string(&mut plain).unwrap();
    let wanted = r#"{"Type":"AutoMap","IndexDefinition":{"Name":"Auto/Users/ByageAndname","Collections":["Users"],"LockMode":0,"Priority":1,"State":0,"ArchivedDataProcessingBehavior":null,"MapFields":[{"Name":"age","Indexing":"Default","Aggregation":0,"Spatial":null,"#;
    assert!(plain.contains(wanted), "{plain}");
    client
        .put("/admin/databases?name=other", r#"{"DatabaseName":"other"}"#)
        .unwrap()
        .expect_status(201)
        .unwrap();
    let headers = [("Content-Type", "application/octet-stream")];
    let path = "/databases/other/smuggler/import";
    let result = client.send("POST", path, &headers, Some(&dump.body)).unwrap().expect_status(200).unwrap();
    let counts = result.json().unwrap().get("Indexes").unwrap().to_string();
    assert!(counts.contains(r#""ReadCount":2"#), "{counts}");
    let names = get(client, "/databases/other/indexes?namesOnly=true");
    let names = names.get("Results").unwrap().to_string();
    assert_eq!(names, r#"["Auto/Users/ByCountReducedByage","Auto/Users/ByageAndname"]"#);
    let answer = post_query(client, "other", "from Users where name = 'U77'");
    assert_eq!(text(&answer, "IndexName"), "Auto/Users/ByageAndname");
    assert_eq!(answer.get("TotalResults"), Some(&Json::from(1_i64)));
}
