//! `load(id, collection)`: other documents for scripts, which cannot wait for them.
//!
//! A script's call cannot reach the [`Loads`](crate::function::Loads) of the map that runs, so a map runs in rounds. A
//! document that is not fetched yet is noted and reads as null; behind the round the noted ones are fetched and the map
//! runs again, until nothing is missing. What the rounds before the last gave or threw does not count. Maps are pure,
//! so running them again is safe; a round that follows a load deeper has all documents of the rounds before.
//!
//! The table of fetched documents is thread-local because the engine's native functions cannot hold Rust state of
//! their own without unsafe code.

use super::{budget, natives, to_js};
use crate::definition::Numbers;
use crate::limits::{LOADED_BYTES_MAX, LOADS_PER_DOCUMENT_MAX};
use boa_engine::object::builtins::JsArray;
use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsValue, js_string};
use magpie_store::{Collection, Document, DocumentId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of a loaded document that cost one step.
const BYTES_PER_STEP: usize = 64;

/// A document that a script asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    /// Its id.
    pub id: DocumentId,
    /// The collection it must be in; `None` for any.
    pub collection: Option<Collection>,
}

/// What the map that runs has loaded.
struct Table {
    fetched: HashMap<Wanted, Option<Arc<Document>>>,
    fetched_bytes: usize,
    /// What this round asked for and did not get.
    missing: Vec<Wanted>,
    /// What this round asked for, in order.
    asked: Vec<Wanted>,
    /// The same, and whether with tracking.
    tracked: HashMap<Wanted, bool>,
    /// The documents that the running function has already, so that loading twice gives one object.
    objects: HashMap<Wanted, JsObject>,
    writer: to_js::Writer,
    /// Whether no collection needs to be named.
    any: bool,
}

thread_local! {
    /// `None` while no map runs.
    static TABLE: RefCell<Option<Table>> = const { RefCell::new(None) };
}

/// Begins the map of one document; `guided` when numbers of loaded documents go back into documents, `any` when documents
/// are loaded by their ids alone.
pub(super) fn begin(numbers: Numbers, guided: bool, any: bool) {
    TABLE.with_borrow_mut(|table| {
        *table = Some(Table {
            fetched: HashMap::new(),
            fetched_bytes: 0,
            missing: Vec::new(),
            asked: Vec::new(),
            tracked: HashMap::new(),
            objects: HashMap::new(),
            writer: if guided { to_js::Writer::guided() } else { to_js::Writer::new(numbers) },
            any,
        });
    });
}

/// Begins a round, whose answer counts if nothing is missing in it.
pub(super) fn begin_round() {
    TABLE.with_borrow_mut(|table| {
        if let Some(table) = table {
            table.missing.clear();
            table.asked.clear();
            table.tracked.clear();
        }
    });
}

/// Forgets the engine's objects: at the begin of a map function, which must not see what another one wrote into them,
/// and before the engine may go.
pub(super) fn forget_objects() {
    TABLE.with_borrow_mut(|table| {
        if let Some(table) = table {
            table.objects.clear();
        }
    });
}

/// What the round asked for and did not get, in the order of asking.
pub(super) fn take_missing() -> Vec<Wanted> {
    TABLE
        .with_borrow_mut(|table| table.as_mut().map(|table| std::mem::take(&mut table.missing)))
        .unwrap_or_default()
}

/// Adds a fetched document, or that there is none. False when the documents are too large together.
pub(super) fn add(wanted: Wanted, found: Option<Arc<Document>>) -> bool {
    TABLE.with_borrow_mut(|table| {
        let Some(table) = table else { return true };
        table.fetched_bytes +=
            found.as_ref().map_or(0, |document| document.body.len() + document.metadata.len());
        table.fetched.insert(wanted, found);
        table.fetched_bytes <= LOADED_BYTES_MAX
    })
}

/// Ends the map of one document: what its last round loaded with tracking.
pub(super) fn end() -> Vec<Wanted> {
    let Some(Table { mut asked, tracked, .. }) = TABLE.with_borrow_mut(Option::take) else {
        return Vec::new();
    };
    asked.retain(|wanted| tracked.get(wanted) == Some(&true));
    asked
}

/// `noTracking`, an object with a `load` of its own.
pub(super) fn no_tracking(context: &mut Context) -> JsResult<JsObject> {
    let object = JsObject::with_object_proto(context.intrinsics());
    let load = natives::plain("load", 2, context, |_, arguments, context| answer(arguments, false, context));
    object.create_data_property_or_throw(js_string!("load"), load, context)?;
    Ok(object)
}

/// `load(id, collection)`.
pub(super) fn load(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    answer(arguments, true, context)
}

fn refuse<T>(message: impl Into<std::borrow::Cow<'static, str>>) -> JsResult<T> {
    Err(JsNativeError::typ().with_message(message).into())
}

/// A document, null for a missing one or a missing id, or an array of these for an array of ids.
fn answer(arguments: &[JsValue], tracked: bool, context: &mut Context) -> JsResult<JsValue> {
    if TABLE.with_borrow(Option::is_none) {
        return refuse("load() is only available in a map: a reduce or finalize only sees its values");
    }
    let unnamed = [arguments.first().cloned().unwrap_or_default(), js_string!("@all_docs").into()];
    let any = TABLE.with_borrow(|table| table.as_ref().is_some_and(|table| table.any));
    let [ids, collection] = (if any && arguments.len() == 1 { &unnamed } else { arguments }) else {
        return refuse(format!(
            "The load(id, collection) method expects two arguments, but got: {}",
            arguments.len()
        ));
    };
    let Some(name) = collection.as_string().map(|name| name.to_std_string_lossy()) else {
        return refuse_types(ids, collection);
    };
    let wanted = match Collection::new(&name) {
        _ if name == "@all_docs" => None,
        Ok(wanted) => Some(wanted),
        Err(error) => return refuse(error.to_string()),
    };
    let Some(list) = ids.as_object().filter(JsObject::is_array) else {
        return one(ids, collection, wanted, tracked, context);
    };
    let length = JsArray::from_object(list.clone())?.length(context)?;
    budget::charge_length(length)?;
    let mut answers = Vec::new();
    for index in 0..length {
        let id = list.get(index, context)?;
        answers.push(one(&id, collection, wanted.clone(), tracked, context)?);
    }
    Ok(JsArray::from_iter(answers, context).into())
}

fn refuse_types<T>(id: &JsValue, collection: &JsValue) -> JsResult<T> {
    refuse(format!(
        "The load(id, collection) method expects two string arguments, but got: load({}, {})",
        id.type_of(),
        collection.type_of()
    ))
}

fn one(
    id: &JsValue,
    collection_value: &JsValue,
    collection: Option<Collection>,
    tracked: bool,
    context: &mut Context,
) -> JsResult<JsValue> {
    if id.is_null_or_undefined() {
        return Ok(JsValue::null());
    }
    let Some(text) = id.as_string() else { return refuse_types(id, collection_value) };
    // Text that cannot be an id is the id of nothing, and never will be.
    let Ok(id) = DocumentId::new(&text.to_std_string_lossy()) else { return Ok(JsValue::null()) };
    let wanted = Wanted { id, collection };
    TABLE.with_borrow_mut(|table| match table {
        Some(table) => table.answer(wanted, tracked, context),
        None => Ok(JsValue::null()),
    })
}

/// A document of any collection, by its id as a script wrote it; null for what is not there.
///
/// # Errors
/// Uncatchable, when too much is loaded.
pub(super) fn any(id: &str, context: &mut Context) -> JsResult<JsValue> {
    let Ok(id) = DocumentId::new(id) else { return Ok(JsValue::null()) };
    let wanted = Wanted { id, collection: None };
    TABLE.with_borrow_mut(|table| match table {
        Some(table) => table.answer(wanted, false, context),
        None => Ok(JsValue::null()),
    })
}

impl Table {
    fn answer(&mut self, wanted: Wanted, tracked: bool, context: &mut Context) -> JsResult<JsValue> {
        budget::charge(1)?;
        let before = self.tracked.get(&wanted).copied();
        if before.is_none() {
            if self.asked.len() >= LOADS_PER_DOCUMENT_MAX {
                return Err(budget::stop(budget::Reason::Loads));
            }
            self.asked.push(wanted.clone());
        }
        self.tracked.insert(wanted.clone(), tracked || before == Some(true));
        if let Some(object) = self.objects.get(&wanted) {
            return Ok(object.clone().into());
        }
        let document = match self.fetched.get(&wanted) {
            Some(Some(document)) => Arc::clone(document),
            Some(None) => return Ok(JsValue::null()),
            None => {
                if before.is_none() {
                    self.missing.push(wanted);
                }
                return Ok(JsValue::null());
            }
        };
        budget::charge((document.body.len() / BYTES_PER_STEP) as u64)?;
        let object = self.writer.document(&document, &document.body_json(), None, context);
        self.objects.insert(wanted, object.clone());
        Ok(object.into())
    }
}
