//! Map, reduce and the results: derived data that is a pure function of (definition, live documents), bit for bit.
//!
//! An index maps every document of its collections to (reduce key, value) entries and folds them per key through a
//! tree of pages (`reduce_tree.rs`), incrementally: a changed document costs one path from leaf to root. Functions
//! are written in JavaScript ([`script`]) or in Rust ([`NativeIndex`]). One atomic batch holds everything an indexing
//! step changes, its own progress included, so every document is folded exactly once whatever crashes when.
//!
//! What this crate does not do: it knows no query language, reads no clock, and never loses a script's error: a
//! document or key that fails is listed in the index's errors and contributes nothing.
//!
//! ```
//! use magpie_indexes::{IndexDefinition, Registry};
//! use magpie_store::kv::memory::MemoryKv;
//! use magpie_store::{Command, Database, NewDocument, Timestamp};
//! use std::{sync::Arc, time::Duration};
//!
//! let database = Arc::new(Database::open(Arc::new(MemoryKv::new()), "0123456789abcdefghijkl").unwrap());
//! let registry = Registry::open(Arc::clone(&database), Arc::new(|| Timestamp(0)), Vec::new()).unwrap();
//! registry
//!     .put(vec![IndexDefinition {
//!         name: "Seconds".to_owned(),
//!         maps: vec!["map('Jobs', j => ({ user: j.user, seconds: j.seconds }))".to_owned()],
//!         reduce: Some(
//!             "groupBy(x => x.user).aggregate(g => ({ user: g.key, seconds: g.values.reduce((s, v) => s + v.seconds, 0) }))"
//!                 .to_owned(),
//!         ),
//!         ..IndexDefinition::default()
//!     }])
//!     .unwrap();
//! for (id, seconds) in [("jobs/1", 3), ("jobs/2", 4)] {
//!     let text = format!(r#"{{"user":"ayende","seconds":{seconds},"@metadata":{{"@collection":"Jobs"}}}}"#);
//!     let document = NewDocument::parse(id, text.as_bytes()).unwrap();
//!     database.write(vec![Command::Put { id: id.to_owned(), document, expected: None }], Timestamp(0)).unwrap();
//! }
//! let index = registry.get("seconds").unwrap();
//! assert!(index.wait_until_indexed_blocking(database.last_etag(), Duration::from_secs(10)));
//! let view = database.view();
//! let results: Vec<String> = index.results(&view).map(|result| result.unwrap().to_string()).collect();
//! assert_eq!(results, [r#"{"user":"ayende","seconds":7}"#]);
//! # drop(view);
//! registry.stop();
//! ```

pub mod auto;
mod batch_size;
pub mod border;
mod called_function;
mod calls;
pub mod cores;
pub mod definition;
mod error;
mod error_rate;
mod events;
pub mod explain;
pub mod faults;
pub mod function;
pub mod index;
pub mod indexer;
pub mod key_filter;
mod key_spellings;
pub mod keys;
pub mod known_keys;
pub mod laws;
pub mod limits;
pub mod losses;
mod output;
mod pace;
pub mod page_reader;
pub mod patches;
pub mod performance;
pub mod progress;
mod query_script;
pub mod reduce_tree;
mod references;
mod registry;
mod results;
pub mod script;
pub mod signature;
mod starts;
pub mod stored_result;
mod stored_tree;
pub mod terms;
pub mod trial;
pub mod verify;
mod worker;

pub use calls::{CallError, CallLimits, CallThreads, Calls};
pub use definition::IndexDefinition;
pub use error::IndexError;
pub use events::{IndexEvent, IndexEventKind};
pub use function::{
    Emitted, FunctionError, FunctionShape, FunctionSource, IndexFunction, LoadedCollections, Loads,
    MappedCollections, NoLoads, RunningScripts, StoredOutput, StoredReduced,
};
pub use index::{Index, IndexStatistics, IndexStatus};
pub use laws::LawMode;
pub use output::pattern::PatternError;
pub use query_script::{QueryScript, QueryScriptError};
pub use registry::{AutoTimes, AutoUse, Behind, CheckedPut, NativeIndex, Registry, Staleness, Verified};
pub use results::ReducedResult;
pub use worker::Clock;
