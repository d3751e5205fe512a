//! A reduce that hangs in a query: other queries of the same index are answered, and indexing goes on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use magpie_indexes::function::{
    Emitted, FunctionError, FunctionShape, FunctionSource, IndexFunction, Loads, MappedCollections,
};
use magpie_indexes::{NativeIndex, Registry};
use magpie_query::{Answer, QueryError, Request, Snapshot, execute};
use magpie_store::json::{Json, Object};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::{Collection, Command, Database, Document, NewDocument, Timestamp};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Counts by user and day; reducing a user named `slow` over its days says so and waits for a word.
struct Counts {
    shape: FunctionShape,
    gate: Arc<Gate>,
}

struct Gate {
    entered: Mutex<Sender<()>>,
    release: Mutex<Receiver<()>>,
}

struct CountsFunction(Arc<Gate>);

impl FunctionSource for Counts {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }
    fn canonical_text(&self) -> &str {
        "counts 1"
    }
    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(CountsFunction(Arc::clone(&self.gate))))
    }
}

fn row(key: &[Json], count: i64) -> Json {
    let fields = ["user", "day"].into_iter().zip(key.iter().cloned());
    let mut row = Object::from_iter(fields);
    row.insert("count", count);
    Json::Object(row)
}

impl IndexFunction for CountsFunction {
    fn map(&mut self, document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let body = document.body_json();
        let key: Vec<Json> =
            ["user", "day"].iter().map(|field| body.get(field).cloned().unwrap_or_default()).collect();
        Ok(vec![Emitted { value: row(&key, 1), key }])
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        if key == [Json::from("slow"), Json::Null] {
            self.0.entered.lock().unwrap().send(()).unwrap();
            self.0.release.lock().unwrap().recv().unwrap();
        }
        Ok(row(key, values.iter().filter_map(|value| value.get("count")?.as_i64()).sum()))
    }
}

struct Server {
    database: Arc<Database>,
    registry: Arc<Registry>,
}

impl Server {
    fn put(&self, id: &str, user: &str, day: u32) {
        let text = format!(r#"{{"user":"{user}","day":{day},"@metadata":{{"@collection":"Events"}}}}"#);
        let document = NewDocument::parse(id, text.as_bytes()).unwrap();
        let command = Command::Put { id: id.to_owned(), document, expected: None };
        self.database.write(vec![command], Timestamp(0)).unwrap();
        let index = self.registry.get("Counts").unwrap();
        assert!(index.wait_until_indexed_blocking(self.database.last_etag(), Duration::from_secs(60)));
    }

    fn ask(&self, user: &str) -> Result<Answer, QueryError> {
        let view = self.database.view();
        let query = format!("from index 'Counts' where user = '{user}' reduce by user");
        execute(&Snapshot::new(&view, &self.registry), &Request { query, ..Request::default() })
    }
}

fn count(answer: Result<Answer, QueryError>) -> Option<i64> {
    answer.unwrap().json_rows().first()?.get("count")?.as_i64()
}

#[test]
fn a_hanging_query_stops_neither_queries_nor_the_worker() {
    let ((entered_sender, entered), (release, release_receiver)) = (channel(), channel());
    let gate = Gate { entered: Mutex::new(entered_sender), release: Mutex::new(release_receiver) };
    let shape = FunctionShape::new(
        MappedCollections::Named(vec![Collection::new("Events").unwrap()]),
        Some(vec!["user".to_owned(), "day".to_owned()]),
        ["user", "day", "count"].map(str::to_owned).to_vec(),
    );
    let source = Arc::new(Counts { shape, gate: Arc::new(gate) });
    let native = NativeIndex { name: "Counts".to_owned(), source };
    let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), "abcdefghijklmnopqrstuv").unwrap());
    let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), vec![native]).unwrap();
    let server = Server { database, registry };
    server.put("events/1", "slow", 1);
    server.put("events/2", "slow", 2);
    server.put("events/3", "quick", 1);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| server.ask("slow"));
        entered.recv().unwrap();
        assert_eq!(count(server.ask("quick")), Some(1));
        server.put("events/4", "slow", 2);
        server.put("events/5", "quick", 2);
        assert_eq!(count(server.ask("quick")), Some(2));
        let threads = server.registry.get("Counts").unwrap().calls().threads();
        assert_eq!((threads.busy, threads.idle, threads.abandoned), (1, 1, 0));
        release.send(()).unwrap();
        assert_eq!(count(slow.join().unwrap()), Some(2), "as of the snapshot that it began with");
    });
    release.send(()).unwrap();
    assert_eq!(count(server.ask("slow")), Some(3));
    server.registry.stop();
}
