//! JavaScript indexes: dialect, null propagation, conversions, and what hostile scripts can and cannot do.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail by panicking"
)]

mod big_ints;
mod conversions;
mod dialect;
mod exact;
mod finalize;
mod hostile;
mod loads;
mod nulls;
mod purity;
mod semantics;
mod source;
mod watched;

use magpie_indexes::definition::Numbers;
use magpie_indexes::function::{FunctionErrorKind, Position};
use magpie_indexes::limits::SCRIPT_STACK_BYTES;
use magpie_indexes::script::{ScriptSource, Scripts};
use magpie_indexes::{Emitted, FunctionError, FunctionSource, IndexFunction, NoLoads};
use magpie_store::json::{Json, parse};
use magpie_store::{Collection, Document, DocumentId, Etag, Timestamp};
use std::collections::BTreeMap;

/// A JSON value from its text.
pub fn json(text: &str) -> Json {
    parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// A document of the collection Things.
pub fn document(id: &str, body: &str) -> Document {
    document_in("Things", id, body)
}

/// A document of some collection.
pub fn document_in(collection: &str, id: &str, body: &str) -> Document {
    Document {
        id: DocumentId::new(id).unwrap(),
        collection: Collection::new(collection).unwrap(),
        etag: Etag(1),
        last_modified: Timestamp(0),
        body: json(body).to_string().into(),
        metadata: format!("{{\"@collection\":\"{collection}\"}}").into(),
    }
}

/// Checks an index's scripts.
pub fn source_of(maps: &[&str], reduce: Option<&str>) -> Result<ScriptSource, FunctionError> {
    source_with(maps, reduce, None, Numbers::Double)
}

/// Checks an index's scripts, with a finalize and the numbers it wants.
pub fn source_with(
    maps: &[&str],
    reduce: Option<&str>,
    finalize: Option<&str>,
    numbers: Numbers,
) -> Result<ScriptSource, FunctionError> {
    let maps: Vec<String> = maps.iter().map(|map| (*map).to_owned()).collect();
    let additional_sources = &BTreeMap::new();
    ScriptSource::new(&Scripts { name: "Test", maps: &maps, reduce, finalize, additional_sources, numbers })
}

/// The error of an index that must not be accepted.
pub fn refused(maps: &[&str], reduce: Option<&str>) -> FunctionError {
    match source_of(maps, reduce) {
        Err(error) => error,
        Ok(_) => panic!("accepted: {maps:?} {reduce:?}"),
    }
}

/// Runs `work` with an index's functions, on a thread as indexes have them.
pub fn with_index<T: Send>(
    maps: &[&str],
    reduce: Option<&str>,
    work: impl FnOnce(&mut dyn IndexFunction) -> T + Send,
) -> T {
    let source = source_of(maps, reduce).unwrap_or_else(|error| panic!("{maps:?} {reduce:?}: {error}"));
    on_script_thread(|| work(source.create().unwrap().as_mut()))
}

/// Runs `work` with the stack that scripts need.
pub fn on_script_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().stack_size(SCRIPT_STACK_BYTES).spawn_scoped(scope, work).unwrap();
        thread.join().unwrap()
    })
}

/// Maps one document.
pub fn map_one(map: &str, body: &str) -> Result<Vec<Emitted>, FunctionError> {
    with_index(&[map], None, |index| index.map(&document("things/1", body), &mut NoLoads))
}

/// The only output of mapping one document, as JSON text.
pub fn output(map: &str, body: &str) -> String {
    let emitted = map_one(map, body).unwrap_or_else(|error| panic!("{map} on {body}: {error}"));
    assert_eq!(emitted.len(), 1, "{map} on {body}");
    emitted[0].value.to_string()
}

/// The error of mapping one document.
pub fn map_error(map: &str, body: &str) -> FunctionError {
    match map_one(map, body) {
        Err(error) => error,
        Ok(emitted) => panic!("{map} on {body} gave {emitted:?}"),
    }
}

/// Line and column.
pub fn at(line: u32, column: u32) -> Option<Position> {
    Some(Position { line, column })
}

/// Checks kind and part of the message of an error.
pub fn assert_error(error: &FunctionError, kind: FunctionErrorKind, part: &str) {
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(part), "{part:?} is not in {:?}", error.message);
}
