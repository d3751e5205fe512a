//! Documents out of the engine again, with what the engine could not keep of them: digits and the order of keys.
//!
//! While a document is written into the engine, each object and array whose numbers or keys would come back otherwise
//! leaves a note ([`note`]), found again by the identity of the engine's object, wherever the script moved it. A number
//! that is still the same double at the same place comes back as it was written: `1.0`, `12345678901234567890`.

use super::{Plan, budget, failure, from_js};
use crate::function::FunctionError;
use crate::script::errors::{limit_error, run_error};
use boa_engine::builtins::date::Date;
use boa_engine::builtins::regexp::RegExp;
use boa_engine::object::builtins::{JsArray, JsDate};
use boa_engine::property::PropertyKey;
use boa_engine::value::JsVariant;
use boa_engine::{Context, JsError, JsObject, JsString, JsValue, js_string};
use magpie_store::json::{Json, Number, Object};
use magpie_store::limits::{DOCUMENT_BYTES_MAX, JSON_DEPTH_MAX};
use std::cell::RefCell;
use std::collections::HashMap;

/// What the engine does not keep of one object or array.
#[derive(Default)]
struct Note {
    /// Numbers whose text is not the one that their double prints as.
    numbers: Vec<(PropertyKey, Number)>,
    /// The keys of an object in their order.
    keys: Vec<PropertyKey>,
    /// Whether some of them are array indexes, which the engine sorts before all others.
    reorders: bool,
}

thread_local! {
    static NOTES: RefCell<HashMap<JsObject, Note>> = RefCell::default();
}

/// Notes what the engine does not keep of an object or array.
pub(super) fn note(object: &JsObject, json: &Json) {
    match json {
        Json::Object(fields) => note_fields(object, fields),
        Json::Array(items) => {
            let keys = (0..u32::MAX).map(PropertyKey::from);
            let numbers = keys.zip(items).filter_map(inexact).collect();
            add(object, Note { numbers, ..Note::default() });
        }
        _ => {}
    }
}

/// [`note`] for the fields of a document.
pub(super) fn note_fields(object: &JsObject, fields: &Object) {
    let keys: Vec<PropertyKey> = fields.keys().map(|name| PropertyKey::from(JsString::from(name))).collect();
    let values = fields.iter().map(|(_, value)| value);
    let numbers = keys.iter().cloned().zip(values).filter_map(inexact).collect();
    let reorders = keys.iter().any(|key| matches!(key, PropertyKey::Index(_)));
    add(object, Note { numbers, keys, reorders });
}

fn inexact((key, value): (PropertyKey, &Json)) -> Option<(PropertyKey, Number)> {
    let number = value.as_number()?;
    let kept = Number::from_f64(number.as_f64()).is_some_and(|kept| kept == *number);
    (!kept).then(|| (key, number.clone()))
}

fn add(object: &JsObject, note: Note) {
    if !note.numbers.is_empty() || !object.is_array() {
        NOTES.with_borrow_mut(|notes| notes.insert(object.clone(), note));
    }
}

/// Forgets all notes; the engine's objects must not outlive their context.
pub(super) fn forget() {
    NOTES.with_borrow_mut(HashMap::clear);
}

/// A value of a script as JSON for a document. Functions and what JavaScript calls undefined are null; a property that an
/// object of a document did not have and that is undefined is left out. NaN and the infinities are texts, dates are ISO 8601 with seven digits.
///
/// # Errors
/// When it holds what is no data (symbols, Maps ..), or is too large or too deep.
pub(super) fn value(value: &JsValue, plan: &Plan, context: &mut Context) -> Result<Json, FunctionError> {
    let mut reader = Reader { bytes: 0, path: Vec::new() };
    reader.value(value, context).map_err(|problem| match problem {
        Problem::Thrown(error) => failure::function_error(error, plan, context),
        Problem::Refused(message) => run_error(message, None),
        Problem::Limit(message) => limit_error(message, None),
    })
}

/// Why a value cannot be in a document.
pub(super) enum Problem {
    /// A getter threw.
    Thrown(JsError),
    /// It is no data.
    Refused(String),
    /// It is too large or too deep.
    Limit(String),
}

impl From<JsError> for Problem {
    fn from(error: JsError) -> Self {
        Self::Thrown(error)
    }
}

/// [`value`] within a call of a script.
///
/// # Errors
/// See [`value`].
pub(super) fn read(value: &JsValue, context: &mut Context) -> Result<Json, Problem> {
    Reader { bytes: 0, path: Vec::new() }.value(value, context)
}

/// Metadata that the store makes.
const OWN_METADATA: [&str; 3] = ["@id", "@change-vector", "@last-modified"];

struct Reader {
    /// Roughly the size so far as JSON.
    bytes: usize,
    /// The names from the root to the value being read.
    path: Vec<String>,
}

impl Reader {
    fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes += bytes;
        if self.bytes > DOCUMENT_BYTES_MAX {
            return Err(Problem::Limit(format!(
                "the patched document has more than {DOCUMENT_BYTES_MAX} bytes (document_bytes_max)"
            )));
        }
        Ok(())
    }

    fn refuse<T>(&self, what: &str) -> Result<T, Problem> {
        Err(Problem::Refused(format!(
            "{what} cannot be stored in a document (at '{}'): use strings, numbers, booleans, dates, null, or plain \
             objects and arrays of them",
            self.path.join(".")
        )))
    }

    fn value(&mut self, value: &JsValue, context: &mut Context) -> Result<Json, Problem> {
        self.grow(2)?;
        match value.variant() {
            JsVariant::Null | JsVariant::Undefined => Ok(Json::Null),
            JsVariant::Boolean(value) => Ok(Json::Bool(value)),
            JsVariant::Integer32(value) => Ok(Json::Number(Number::from(i64::from(value)))),
            JsVariant::Float64(value) => Ok(number(value)),
            JsVariant::String(text) => {
                self.grow(text.len())?;
                match text.to_std_string() {
                    Ok(text) => Ok(Json::String(text)),
                    Err(_) => self.refuse("a string with half a surrogate pair"),
                }
            }
            JsVariant::BigInt(value) => {
                let text = value.as_inner().to_string();
                self.grow(text.len())?;
                Ok(Json::Number(Number::from_valid_text(&text)))
            }
            JsVariant::Symbol(_) => self.refuse("a symbol"),
            JsVariant::Object(object) => self.object(&object, context),
        }
    }

    fn object(&mut self, object: &JsObject, context: &mut Context) -> Result<Json, Problem> {
        if self.path.len() > JSON_DEPTH_MAX {
            return Err(Problem::Limit(format!(
                "the patched document is nested more than {JSON_DEPTH_MAX} levels deep, or contains itself (at '{}')",
                self.path.iter().take(8).cloned().collect::<Vec<_>>().join(".")
            )));
        }
        if object.is_array() {
            return self.array(object, context);
        }
        if object.is::<Date>() {
            return self.date(object, context);
        }
        if object.is_callable() {
            return Ok(Json::Null);
        }
        // What the original keeps of one.
        if object.is::<RegExp>() {
            let at = object.get(js_string!("lastIndex"), context)?;
            return Ok(Object::from_iter([("lastIndex", self.value(&at, context)?)]).into());
        }
        if !object.is_ordinary() {
            return self.refuse("an object that is no plain data (a regular expression, Map, Set, error ..)");
        }
        let mut fields = Vec::new();
        for key in in_noted_order(object, object.own_property_keys(context)?) {
            let name = match &key {
                PropertyKey::String(text) => match text.to_std_string() {
                    Ok(name) => name,
                    Err(_) => return self.refuse("a property name with half a surrogate pair"),
                },
                PropertyKey::Index(index) => index.get().to_string(),
                PropertyKey::Symbol(_) => continue,
            };
            let property = object.borrow().properties().get(&key);
            if property.is_some_and(|property| property.enumerable() == Some(false)) {
                continue;
            }
            let value = object.get(key.clone(), context)?;
            // A document within a document is one no more: what the store says of it stays behind.
            let is_stores = OWN_METADATA.contains(&name.as_str())
                && self.path.len() > 1
                && self.path.last().is_some_and(|last| last == "@metadata");
            if is_stores || (value.is_undefined() && is_new(object, &key)) {
                continue;
            }
            self.grow(name.len() + 4)?;
            self.path.push(name);
            let json = match noted_number(object, &key, &value) {
                Some(number) => number,
                None => self.value(&value, context)?,
            };
            fields.push((self.path.pop().unwrap_or_default(), json));
        }
        Ok(Json::Object(Object::from_distinct(fields)))
    }

    fn array(&mut self, object: &JsObject, context: &mut Context) -> Result<Json, Problem> {
        let length = JsArray::from_object(object.clone())?.length(context)?;
        budget::charge_length(length)?;
        let mut items = Vec::new();
        for index in 0..length {
            let item = object.get(index, context)?;
            let key = PropertyKey::from(u32::try_from(index).unwrap_or(u32::MAX));
            self.path.push(index.to_string());
            items.push(match noted_number(object, &key, &item) {
                Some(number) => number,
                None => self.value(&item, context)?,
            });
            self.path.pop();
        }
        Ok(Json::Array(items))
    }

    fn date(&mut self, object: &JsObject, context: &mut Context) -> Result<Json, Problem> {
        let date = JsDate::from_object(object.clone())?;
        if date.get_time(context)?.as_number().is_none_or(f64::is_nan) {
            return self.refuse("an invalid Date");
        }
        let text = date.to_iso_string(context)?;
        let text = text.as_string().map(|text| text.to_std_string_lossy()).unwrap_or_default();
        self.grow(text.len() + 4)?;
        // Three digits of milliseconds become seven, as .NET prints ticks.
        Ok(Json::String(match text.strip_suffix('Z') {
            Some(body) => format!("{body}0000Z"),
            None => text,
        }))
    }
}

/// The keys that the object had when it was written in, in that order, then the new ones.
fn in_noted_order(object: &JsObject, keys: Vec<PropertyKey>) -> Vec<PropertyKey> {
    NOTES.with_borrow(|notes| match notes.get(object) {
        Some(note) if note.reorders => {
            let here: std::collections::HashSet<&PropertyKey> = keys.iter().collect();
            let before: std::collections::HashSet<&PropertyKey> = note.keys.iter().collect();
            let old = note.keys.iter().filter(|key| here.contains(key));
            old.chain(keys.iter().filter(|key| !before.contains(key))).cloned().collect()
        }
        _ => keys,
    })
}

/// Whether an object came from a document without this key.
fn is_new(object: &JsObject, key: &PropertyKey) -> bool {
    NOTES.with_borrow(|notes| notes.get(object).is_some_and(|note| !note.keys.contains(key)))
}

/// The number as it was written, if the value is still the same double. In an array its elements may have moved: then
/// it is the one number of that array with this double.
fn noted_number(object: &JsObject, key: &PropertyKey, value: &JsValue) -> Option<Json> {
    let double = value.as_number()?;
    NOTES.with_borrow(|notes| {
        let numbers = &notes.get(object)?.numbers;
        let same = |number: &Number| number.as_f64().to_bits() == double.to_bits();
        let here = numbers.iter().find(|(place, number)| place == key && same(number));
        if let Some((_, number)) = here {
            return Some(Json::Number(number.clone()));
        }
        if !object.is_array() {
            return None;
        }
        let mut moved = numbers.iter().map(|(_, number)| number).filter(|number| same(number));
        let first = moved.next()?;
        moved.all(|other| other == first).then(|| Json::Number(first.clone()))
    })
}

fn number(value: f64) -> Json {
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None if value.is_nan() => Json::from("NaN"),
        None if value > 0.0 => Json::from("Infinity"),
        None => Json::from("-Infinity"),
    }
}

/// A value as text for `output()`.
pub(super) fn text(value: &JsValue, context: &mut Context) -> String {
    match value.as_string() {
        Some(text) => text.to_std_string_lossy(),
        None => match read(value, context) {
            Ok(json) => json.to_string(),
            Err(_) => from_js::describe(value, context),
        },
    }
}
