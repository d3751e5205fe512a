//! JSON into the engine: plain objects and arrays, numbers as doubles or, where a document may have them, BigInts.

use super::patched;
use crate::definition::Numbers;
use crate::script::dialect::{GroupBy, Projection};
use boa_engine::builtins::object::OrdinaryObject;
use boa_engine::object::ObjectInitializer;
use boa_engine::object::builtins::JsArray;
use boa_engine::property::{PropertyDescriptor, PropertyKey};
use boa_engine::{Context, JsBigInt, JsObject, JsString, JsValue};
use magpie_store::Document;
use magpie_store::json::{BigInt, Json, Number, Object, ScriptNumber};
use std::collections::HashMap;

/// How many property names are kept ready at most.
const KEYS_MAX: usize = 4096;
/// How many places of an object have their recent name kept.
const RECENT_MAX: usize = 32;
/// The name of the metadata in a document.
const METADATA: &str = "@metadata";

/// The largest whole number below which doubles have no gaps.
const SAFE_INTEGER_MAX: f64 = 9_007_199_254_740_991.0;

/// The argument of a reduce, and the parts of it that came from outside.
pub(super) struct Group {
    /// `{key, values}`.
    pub object: JsObject,
    /// The value of `key`.
    pub key: JsValue,
    /// The elements of `values`.
    pub values: Vec<JsValue>,
}

/// Converts values; keeps the property names that it has met.
pub(super) struct Writer {
    /// What whole numbers of documents become.
    numbers: Numbers,
    /// Whether it is in a document whose large whole numbers become BigInts. Everywhere else a number was one before.
    exact: bool,
    /// Whether what the engine cannot keep of a document is noted, for the way back.
    guided: bool,
    keys: HashMap<Box<str>, PropertyKey>,
    /// The name met last at each place in an object: values of one index mostly have the same names in the same order,
    /// and comparing a name is cheaper than looking it up.
    recent: Vec<(Box<str>, PropertyKey)>,
}

impl Writer {
    /// A writer that has met no names yet.
    pub fn new(numbers: Numbers) -> Self {
        Self { numbers, exact: false, guided: false, keys: HashMap::new(), recent: Vec::new() }
    }

    /// A writer of documents that are read back later, see `patched.rs`.
    pub fn guided() -> Self {
        Self { guided: true, ..Self::new(Numbers::Double) }
    }

    /// A document as its map sees it: the fields of the projection, or all of them and `@metadata`.
    pub fn document(
        &mut self,
        document: &Document,
        body: &Object,
        projection: Option<&Projection>,
        context: &mut Context,
    ) -> JsObject {
        let object = plain_object(context);
        self.exact = self.numbers == Numbers::Exact;
        match projection {
            Some(projection) => {
                for (place, field) in projection.fields.iter().enumerate() {
                    if let Some(value) = body.get(field) {
                        self.set(&object, place, field, value, context);
                    }
                }
            }
            None => self.fill(&object, body, context),
        }
        if self.guided {
            patched::note_fields(&object, body);
        }
        if projection.is_none_or(|projection| projection.metadata) {
            self.set(&object, RECENT_MAX, METADATA, &Json::Object(metadata(document)), context);
        }
        self.exact = false;
        object
    }

    /// The argument of a reduce: `{key, values}`.
    pub fn group(
        &mut self,
        group_by: &GroupBy,
        key: &[Json],
        values: &[Json],
        context: &mut Context,
    ) -> Group {
        let key = if group_by.single {
            key.first().map_or_else(JsValue::null, |value| self.value(value, context))
        } else {
            let object = plain_object(context);
            for (field, value) in group_by.fields.iter().zip(key) {
                self.set(&object, RECENT_MAX, &field.key, value, context);
            }
            object.into()
        };
        let values: Vec<JsValue> = values.iter().map(|value| self.value(value, context)).collect();
        let list = JsArray::from_iter(values.iter().cloned(), context).into();
        let object = plain_object(context);
        self.insert(&object, RECENT_MAX, "key", key.clone());
        self.insert(&object, RECENT_MAX, "values", list);
        Group { object, key, values }
    }

    /// Any JSON value.
    pub fn value(&mut self, json: &Json, context: &mut Context) -> JsValue {
        match json {
            Json::Null => JsValue::null(),
            Json::Bool(value) => JsValue::from(*value),
            Json::Number(number) => match self.exact.then(|| gap_integer(number)).flatten() {
                Some(integer) => JsBigInt::new(integer).into(),
                None => self::number(number),
            },
            Json::ScriptNumber(number) => script_number(number),
            Json::String(text) => JsString::from(text.as_str()).into(),
            Json::Array(items) => {
                let items: Vec<JsValue> = items.iter().map(|item| self.value(item, context)).collect();
                let array: JsObject = JsArray::from_iter(items, context).into();
                if self.guided {
                    patched::note(&array, json);
                }
                array.into()
            }
            Json::Object(fields) => {
                let object = plain_object(context);
                self.fill(&object, fields, context);
                if self.guided {
                    patched::note(&object, json);
                }
                object.into()
            }
        }
    }

    fn fill(&mut self, object: &JsObject, fields: &Object, context: &mut Context) {
        for (place, (name, value)) in fields.iter().enumerate() {
            self.set(object, place, name, value, context);
        }
    }

    fn set(&mut self, object: &JsObject, place: usize, name: &str, value: &Json, context: &mut Context) {
        let value = self.value(value, context);
        self.insert(object, place, name, value);
    }

    /// Defines an own property, whatever its name; even `__proto__` is only data here.
    fn insert(&mut self, object: &JsObject, place: usize, name: &str, value: JsValue) {
        let property =
            PropertyDescriptor::builder().value(value).writable(true).enumerable(true).configurable(true);
        object.insert_property(self.key(place, name), property.build());
    }

    fn key(&mut self, place: usize, name: &str) -> PropertyKey {
        if let Some((_, key)) = self.recent.get(place).filter(|(recent, _)| **recent == *name) {
            return key.clone();
        }
        let key = self.known_key(name);
        if let Some(recent) = self.recent.get_mut(place) {
            *recent = (name.into(), key.clone());
        } else if place == self.recent.len() && place < RECENT_MAX {
            self.recent.push((name.into(), key.clone()));
        }
        key
    }

    fn known_key(&mut self, name: &str) -> PropertyKey {
        if let Some(key) = self.keys.get(name) {
            return key.clone();
        }
        let key = PropertyKey::from(JsString::from(name));
        if self.keys.len() < KEYS_MAX {
            self.keys.insert(name.into(), key.clone());
        }
        key
    }
}

/// An empty object of the shape that all plain objects share. Objects with the same names in the same order then share
/// one table of names; `JsObject::with_object_proto` would make a table for each.
fn plain_object(context: &mut Context) -> JsObject {
    ObjectInitializer::with_native_data(OrdinaryObject, context).build()
}

fn script_number(number: &ScriptNumber) -> JsValue {
    match number {
        ScriptNumber::BigInt(value) => JsBigInt::new(BigInt::clone(value)).into(),
        ScriptNumber::NaN => JsValue::nan(),
        ScriptNumber::Infinity => JsValue::from(f64::INFINITY),
        ScriptNumber::NegativeInfinity => JsValue::from(f64::NEG_INFINITY),
    }
}

/// A whole number beyond those that doubles have without gaps.
fn gap_integer(number: &Number) -> Option<BigInt> {
    if number.as_f64().abs() <= SAFE_INTEGER_MAX { None } else { number.as_plain_integer() }
}

/// The nearest double; small integers in the engine's own form.
pub(super) fn number(number: &Number) -> JsValue {
    let double = number.as_f64();
    // Asking a fraction for its integer would take its digits apart.
    if double != 0.0
        && double.fract() == 0.0
        && let Some(Ok(small)) = number.as_i64().map(i32::try_from)
    {
        return JsValue::from(small);
    }
    JsValue::from(double)
}

/// The metadata that scripts see: the client's keys, `@collection`, `@id` and `@last-modified`. The change vector is
/// not among them: an index must not depend on the order of writes.
pub(in crate::script) fn metadata(document: &Document) -> Object {
    let mut metadata = document.metadata_json();
    if metadata.get("@collection").is_none() {
        metadata.insert("@collection", document.collection.as_str());
    }
    metadata.insert("@id", document.id.as_str());
    metadata.insert("@last-modified", document.last_modified.to_string());
    metadata
}
