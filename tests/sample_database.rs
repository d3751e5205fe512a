//! A database in memory with the indexes of a sample in one of its two languages.

use magpie_indexes::Registry;
use magpie_query::{Request, Snapshot, execute};
use magpie_samples::Sample;
use magpie_store::json::{self, Json, Object};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::{Command, Database, NewDocument, Timestamp};
use std::sync::Arc;
use std::time::Duration;

const DATABASE_ID: &str = "0123456789abcdefghijkl";
const WAIT: Duration = Duration::from_secs(300);

/// The two ways in which each index of a sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `index.js`
    JavaScript,
    /// `index.rs`
    Rust,
}

/// Both.
pub const LANGUAGES: [Language; 2] = [Language::JavaScript, Language::Rust];

/// The database; its indexes stop when it is dropped.
pub struct SampleDatabase {
    /// The documents.
    pub database: Arc<Database>,
    /// The indexes.
    pub registry: Arc<Registry>,
    sample: Sample,
}

impl SampleDatabase {
    /// An empty one.
    ///
    /// # Panics
    /// When the sample's indexes are refused.
    #[must_use]
    pub fn new(sample: Sample, language: Language) -> Self {
        let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), DATABASE_ID).unwrap());
        let (mut natives, mut definitions) = (Vec::new(), Vec::new());
        for index in sample.indexes {
            match language {
                Language::JavaScript => definitions.push(index.definition().unwrap()),
                Language::Rust => natives.push(index.native_index()),
            }
        }
        let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), natives).unwrap();
        registry.put(definitions).unwrap();
        Self { database, registry, sample }
    }

    /// Writes events in batches of `size`.
    ///
    /// # Panics
    /// When one is refused.
    pub fn load(&self, events: &[Json], size: usize) {
        for batch in events.chunks(size) {
            self.database.write(batch.iter().map(put).collect(), Timestamp(0)).unwrap();
        }
    }

    /// Deletes a document.
    ///
    /// # Panics
    /// When the store refuses.
    pub fn delete(&self, id: &str) {
        let delete = Command::Delete { id: id.to_owned(), expected: None };
        self.database.write(vec![delete], Timestamp(0)).unwrap();
    }

    /// Waits until every event has reached the last index.
    ///
    /// # Panics
    /// When that takes five minutes.
    pub fn follow(&self) {
        for index in self.sample.indexes {
            let live = self.registry.get(index.name).unwrap();
            let etag = self.database.last_etag();
            let followed = self.registry.wait_until_followed_blocking(&live, etag, WAIT);
            assert!(followed, "{} did not catch up", index.name);
        }
    }

    /// The results of all indexes, one a line in the order of indexes and keys, when they have caught up.
    ///
    /// # Panics
    /// When the store fails.
    #[must_use]
    pub fn results(&self) -> String {
        self.follow();
        let view = self.database.view();
        let mut lines = Vec::new();
        for index in self.sample.indexes {
            let live = self.registry.get(index.name).unwrap();
            lines.extend(live.results(&view).map(|result| format!("{} {}", index.name, result.unwrap())));
        }
        lines.join("\n")
    }

    /// The rows of a query, without their `@metadata`.
    ///
    /// # Panics
    /// When the query fails, or its index has not caught up.
    #[must_use]
    pub fn ask(&self, query: &str, parameters: Option<Object>) -> Vec<Json> {
        let view = self.database.view();
        let request = Request { query: query.to_owned(), parameters, ..Request::default() };
        let answer = execute(&Snapshot::new(&view, &self.registry), &request)
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        assert!(!answer.is_stale, "{query}");
        let mut rows = answer.json_rows();
        for row in &mut rows {
            if let Json::Object(row) = row {
                row.remove("@metadata");
            }
        }
        rows
    }

    /// What the indexes could not map or reduce, each with its message, when they have caught up.
    ///
    /// # Panics
    /// When the store fails.
    #[must_use]
    pub fn refused(&self) -> Vec<(String, String)> {
        self.follow();
        let view = self.database.view();
        let mut refused = Vec::new();
        for index in self.sample.indexes {
            let faults = self.registry.get(index.name).unwrap().errors(&view).unwrap();
            refused.extend(faults.into_iter().map(|fault| (fault.subject, fault.message)));
        }
        refused.sort();
        refused
    }
}

impl Drop for SampleDatabase {
    fn drop(&mut self) {
        self.registry.stop();
    }
}

fn put(event: &Json) -> Command {
    let id = event.get("id").and_then(Json::as_str).unwrap();
    let collection = event.get("type").cloned().unwrap();
    let mut document = event.as_object().unwrap().clone();
    let metadata: Object = [("@collection", collection)].into_iter().collect();
    document.insert("@metadata", metadata);
    let document = NewDocument::from_json(id, Json::Object(document)).unwrap();
    Command::Put { id: id.to_owned(), document, expected: None }
}

/// Events from lines of JSON.
///
/// # Panics
/// When a line is none.
#[must_use]
pub fn events(text: &str) -> Vec<Json> {
    text.lines().map(|line| json::parse(line.as_bytes()).unwrap()).collect()
}

/// A fixed shuffle: the same seed, the same order.
pub fn shuffle(events: &mut [Json], seed: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for last in (1..events.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (last as u64 + 1)).unwrap();
        events.swap(last, other);
    }
}
