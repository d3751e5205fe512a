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
use magpie_store::{Command, Database, NewDocument, StoreError, Timestamp};
use proptest::prelude::*;
use questions::{Change, changes, query};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
            let rows: Vec<String> = answer.json_rows().iter().map(Json::to_string).collect();
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
    // Its terms are made after that; from then on nobody needs the smaller one to follow the documents.
    while !server.index(small).is_idle() {
        assert_eq!(tend(91), Vec::<String>::new());
        std::thread::yield_now();
    }
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

/// Writes and deletes documents until it is told to stop. The numbers are those of a small generator (xorshift).
fn keep_writing(server: &Server, stop: &AtomicBool) {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut below = |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    while !stop.load(Ordering::Acquire) {
        let id = format!("docs/{}", below(400));
        let delete = Command::Delete { id: id.clone(), expected: None };
        let commands = match below(5) {
            0 => vec![delete],
            // Away to another collection.
            1 => vec![delete, put(&id, r#"{"a":1,"@metadata":{"@collection":"Others"}}"#)],
            _ => {
                let (a, b, k) = (below(9), below(70), below(9));
                let body =
                    format!(r#"{{"a":{a},"b":"b{b}","k":{k}.5,"@metadata":{{"@collection":"Docs"}}}}"#);
                vec![put(&id, &body)]
            }
        };
        for command in commands {
            match server.database.write(vec![command], Timestamp(0)) {
                // It has to be deleted before it comes back.
                Ok(_) | Err(StoreError::CollectionMismatch { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn answers_are_those_of_a_scan_of_the_same_moment() {
    let server = Server::new(Arc::new(CountingKv::over(RocksKv::open_in_memory().unwrap())));
    // Its registry has no auto index for anybody.
    let none = Server::in_memory();
    server.write(
        (0..200)
            .map(|n| put(&format!("docs/{n}"), r#"{"a":1,"b":"b1","@metadata":{"@collection":"Docs"}}"#))
            .collect(),
    );
    let queries = [
        "from Docs where a = 3",
        "from Docs where b = 'B7' limit 1",
        "from Docs where a between 2 and 3 and b > 'b3' order by b desc, a",
        "from Docs order by k as double desc limit 7",
        "from Docs where b = 'b3' order by a as long limit 3",
        "from Docs group by a select key(), count(), sum(k)",
        "from Docs group by a, b where count() > 1 limit 5",
    ];
    for query in queries {
        server.ask_and_make(query);
    }
    server.wait();
    let stop = AtomicBool::new(false);
    let rounds = if std::env::var_os("SLOW").is_some() { 20_000 } else { 400 };
    std::thread::scope(|scope| {
        scope.spawn(|| keep_writing(&server, &stop));
        let (mut helped, mut moments) = (0, BTreeSet::new());
        for round in 0..rounds {
            server.kv.forget();
            let view = server.database.view();
            moments.insert(view.last_etag());
            let request = Request { query: queries[round % queries.len()].to_owned(), ..Request::default() };
            let found = execute(&Snapshot::new(&view, &server.registry), &request);
            let rows = [Kind::Term, Kind::TermCount, Kind::Result].map(|kind| server.kv.rows(kind));
            helped += usize::from(rows.iter().sum::<u64>() > 0);
            let wanted = execute(&Snapshot::new(&view, &none.registry), &request);
            if shown(&found) != shown(&wanted) {
                stop.store(true, Ordering::Release);
            }
            assert_eq!(shown(&found), shown(&wanted), "{} at {}", request.query, view.last_etag());
        }
        stop.store(true, Ordering::Release);
        assert!(helped * 2 > rounds, "{helped} of {rounds} were helped");
        assert!(moments.len() > 50, "{} moments", moments.len());
    });
}
