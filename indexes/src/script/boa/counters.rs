//! `counter(doc, name)` for patches and queries, `incrementCounter` and `deleteCounter` for patches. Values are fetched in
//! rounds, as loaded documents are (`loads.rs`), for the same reasons; what a patch does to counters is noted here, so that
//! it reads what it wrote, and as effects (`patch.rs`).

use super::{budget, natives, to_js};
use crate::limits::LOADS_PER_DOCUMENT_MAX;
use boa_engine::object::builtins::JsFunction;
use boa_engine::{Context, JsNativeError, JsResult, JsValue};
use magpie_store::DocumentId;
use magpie_store::json::Json;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// A counter that a script asks for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Its document.
    pub id: DocumentId,
    /// Its name.
    pub name: String,
}

/// Document and name, both in lower case.
type Key = (String, String);

impl Wanted {
    fn key(&self) -> Key {
        (self.id.key().to_owned(), self.name.to_lowercase())
    }
}

/// What the script that runs has read and done.
#[derive(Default)]
struct Table {
    fetched: HashMap<Key, Option<i64>>,
    /// What this round asked for and did not get.
    missing: Vec<Wanted>,
    /// What this round added to counters whose values are not needed yet.
    added: HashMap<Key, i64>,
    /// The counters that this round deleted, and the documents, before it added to them.
    deleted: HashSet<Key>,
    deleted_documents: HashSet<String>,
    /// What this round read, in order.
    reads: Vec<(String, Option<i64>)>,
}

thread_local! {
    /// `None` while no script runs that may read values.
    static TABLE: RefCell<Option<Table>> = const { RefCell::new(None) };
}

/// Begins the script.
pub(super) fn begin() {
    TABLE.with_borrow_mut(|table| *table = Some(Table::default()));
}

/// Begins a round, whose answer counts if nothing is missing in it.
pub(super) fn begin_round() {
    TABLE.with_borrow_mut(|table| {
        if let Some(table) = table {
            let fetched = std::mem::take(&mut table.fetched);
            *table = Table { fetched, ..Table::default() };
        }
    });
}

/// Ends the script.
pub(super) fn end() {
    TABLE.with_borrow_mut(|table| *table = None);
}

/// What the round asked for and did not get, in the order of asking.
pub(super) fn take_missing() -> Vec<Wanted> {
    TABLE
        .with_borrow_mut(|table| table.as_mut().map(|table| std::mem::take(&mut table.missing)))
        .unwrap_or_default()
}

/// What the round read, in order: the name as it was asked for, and the value.
pub(super) fn take_reads() -> Vec<(String, Option<i64>)> {
    TABLE
        .with_borrow_mut(|table| table.as_mut().map(|table| std::mem::take(&mut table.reads)))
        .unwrap_or_default()
}

/// Adds a fetched value, or that there is none.
pub(super) fn add(wanted: &Wanted, found: Option<i64>) {
    TABLE.with_borrow_mut(|table| {
        if let Some(table) = table {
            table.fetched.insert(wanted.key(), found);
        }
    });
}

/// Notes that a document is deleted, its counters with it.
pub(super) fn forget_document(id: &DocumentId) {
    TABLE.with_borrow_mut(|table| {
        if let Some(table) = table {
            table.added.retain(|(of, _), _| of != id.key());
            table.deleted_documents.insert(id.key().to_owned());
        }
    });
}

/// Notes that a counter is added to.
pub(super) fn increment(wanted: &Wanted, by: i64) {
    TABLE.with_borrow_mut(|table| {
        if let Some(table) = table {
            // A sum beyond the limits fails when it is written, whatever the script reads before.
            let sum = table.added.entry(wanted.key()).or_insert(0);
            *sum = sum.saturating_add(by);
        }
    });
}

/// Notes that a counter is deleted.
pub(super) fn delete(wanted: &Wanted) {
    TABLE.with_borrow_mut(|table| {
        if let Some(table) = table {
            table.added.remove(&wanted.key());
            table.deleted.insert(wanted.key());
        }
    });
}

impl Table {
    /// The value of a counter; the inner `None` when there is none, the outer one when it has to be fetched.
    fn value(&self, wanted: &Wanted) -> Option<Option<i64>> {
        let key = wanted.key();
        let added = self.added.get(&key).copied();
        if self.deleted.contains(&key) || self.deleted_documents.contains(&key.0) {
            return Some(added);
        }
        let before = *self.fetched.get(&key)?;
        Some(match (before, added) {
            (before, None) => before,
            (before, Some(added)) => Some(before.unwrap_or(0).saturating_add(added)),
        })
    }
}

/// The function `counter` that scripts call.
pub(super) fn function(context: &mut Context) -> JsFunction {
    natives::plain("counter", 2, context, read)
}

/// The value of a counter; null when there is none.
fn read(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    const SIGNATURE: &str = "counter(doc, name)";
    let [document, name] = arguments else {
        return refuse(format!("{SIGNATURE} must be called with exactly 2 arguments"));
    };
    let Some(name) = name.as_string().map(|name| name.to_std_string_lossy()) else {
        return refuse(format!("{SIGNATURE}: 'name' must be a string argument"));
    };
    let id = document_id(document, SIGNATURE, context)?;
    budget::charge(1)?;
    // Text that cannot be an id is the id of nothing, and never will be.
    let (Ok(id), false) = (DocumentId::new(&id), name.is_empty()) else { return Ok(JsValue::null()) };
    let wanted = Wanted { id, name };
    let value = TABLE.with_borrow_mut(|table| {
        let Some(table) = table else {
            return refuse(format!("{SIGNATURE} can be read only while the script runs"));
        };
        let found = table.value(&wanted);
        if found.is_none() {
            if table.fetched.len() + table.missing.len() >= LOADS_PER_DOCUMENT_MAX {
                return Err(budget::stop(budget::Reason::Loads));
            }
            table.missing.push(wanted.clone());
        }
        let value = found.flatten();
        if table.reads.len() < LOADS_PER_DOCUMENT_MAX {
            table.reads.push((wanted.name, value));
        }
        Ok(value)
    })?;
    Ok(value.map_or_else(JsValue::null, |value| to_js::Writer::guided().value(&Json::from(value), context)))
}

/// The id of the document that an argument is, or names.
///
/// # Errors
/// When it is none.
pub(super) fn document_id(value: &JsValue, signature: &str, context: &mut Context) -> JsResult<String> {
    if let Some(id) = value.as_string() {
        return Ok(id.to_std_string_lossy());
    }
    match natives::id(&JsValue::undefined(), std::slice::from_ref(value), context)?.as_string() {
        Some(id) => Ok(id.to_std_string_lossy()),
        None => refuse(format!(
            "{signature}: 'doc' must be a string argument (the document id) or the actual document instance itself"
        )),
    }
}

fn refuse<T>(message: String) -> JsResult<T> {
    Err(JsNativeError::typ().with_message(message).into())
}
