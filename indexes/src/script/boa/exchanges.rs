//! `cmpxchg(key)`: compare-exchange values for patches and queries, read only. They are fetched in rounds, as loaded
//! documents are (`loads.rs`), for the same reasons.

use super::{budget, natives, to_js};
use crate::limits::{LOADED_BYTES_MAX, LOADS_PER_DOCUMENT_MAX};
use boa_engine::object::builtins::JsFunction;
use boa_engine::{Context, JsNativeError, JsResult, JsValue};
use magpie_store::json::Json;
use std::cell::RefCell;
use std::collections::HashMap;

/// What clients wrap values in.
const OBJECT: &str = "Object";

/// What the script that runs has read.
#[derive(Default)]
struct Table {
    fetched: HashMap<String, Option<Json>>,
    bytes: usize,
    /// What this round asked for and did not get.
    missing: Vec<String>,
}

thread_local! {
    /// `None` while no script runs that may read values.
    static TABLE: RefCell<Option<Table>> = const { RefCell::new(None) };
}

/// Begins the script.
pub(super) fn begin() {
    TABLE.with_borrow_mut(|table| *table = Some(Table::default()));
}

/// Ends it.
pub(super) fn end() {
    TABLE.with_borrow_mut(|table| *table = None);
}

/// What the round asked for and did not get, in the order of asking.
pub(super) fn take_missing() -> Vec<String> {
    TABLE
        .with_borrow_mut(|table| table.as_mut().map(|table| std::mem::take(&mut table.missing)))
        .unwrap_or_default()
}

/// Adds a fetched value, or that there is none. False when the values are too large together.
pub(super) fn add(key: String, found: Option<Json>) -> bool {
    TABLE.with_borrow_mut(|table| {
        let Some(table) = table else { return true };
        let unwrapped = found.map(|value| value.get(OBJECT).cloned().unwrap_or(value));
        table.bytes += key.len() + unwrapped.as_ref().map_or(0, |value| value.to_string().len());
        table.fetched.insert(key, unwrapped);
        table.bytes <= LOADED_BYTES_MAX
    })
}

/// The function that scripts call.
pub(super) fn function(context: &mut Context) -> JsFunction {
    natives::plain("cmpxchg", 1, context, read)
}

/// The value of a key; null when there is none.
fn read(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let Some(key) = arguments.first().and_then(JsValue::as_string) else {
        let message = "cmpxchg(key) must be called with a single string argument";
        return Err(JsNativeError::typ().with_message(message).into());
    };
    budget::charge(1)?;
    let key = key.to_std_string_lossy();
    let found = TABLE.with_borrow_mut(|table| {
        let Some(table) = table else {
            let message = "cmpxchg(key) can be read only while the script runs";
            return Err(JsNativeError::typ().with_message(message).into());
        };
        match table.fetched.get(&key) {
            Some(found) => return Ok(found.clone()),
            None if table.fetched.len() + table.missing.len() >= LOADS_PER_DOCUMENT_MAX => {
                return Err(budget::stop(budget::Reason::Loads));
            }
            None => table.missing.push(key),
        }
        Ok(None)
    })?;
    Ok(found.map_or_else(JsValue::null, |value| to_js::Writer::guided().value(&value, context)))
}
