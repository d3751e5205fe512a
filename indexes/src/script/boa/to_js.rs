//! JSON into the engine: plain objects and arrays, numbers as doubles.

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

/// Converts values; keeps the property names that it has met.
#[derive(Default)]
pub(super) struct Writer {
    keys: HashMap<Box<str>, PropertyKey>,
    /// The name met last at each place in an object: values of one index mostly have the same names in the same order,
    /// and comparing a name is cheaper than looking it up.
    recent: Vec<(Box<str>, PropertyKey)>,
}

impl Writer {
    /// A document as its map sees it: the fields of the projection, or all of them and `@metadata`.
    pub fn document(
        &mut self,
        document: &Document,
        body: &Object,
        projection: Option<&Projection>,
        context: &mut Context,
    ) -> JsObject {
        let object = plain_object(context);
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
        if projection.is_none_or(|projection| projection.metadata) {
            self.set(&object, RECENT_MAX, METADATA, &Json::Object(metadata(document)), context);
        }
        object
    }

    /// The argument of a reduce: `{key, values}`.
    pub fn group(
        &mut self,
        group_by: &GroupBy,
        key: &[Json],
        values: &[Json],
        context: &mut Context,
    ) -> JsObject {
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
        let values = JsArray::from_iter(values, context).into();
        let group = plain_object(context);
        self.insert(&group, RECENT_MAX, "key", key);
        self.insert(&group, RECENT_MAX, "values", values);
        group
    }

    /// Any JSON value.
    pub fn value(&mut self, json: &Json, context: &mut Context) -> JsValue {
        match json {
            Json::Null => JsValue::null(),
            Json::Bool(value) => JsValue::from(*value),
            Json::Number(number) => self::number(number),
            Json::ScriptNumber(number) => script_number(number),
            Json::String(text) => JsString::from(text.as_str()).into(),
            Json::Array(items) => {
                let items: Vec<JsValue> = items.iter().map(|item| self.value(item, context)).collect();
                JsArray::from_iter(items, context).into()
            }
            Json::Object(fields) => {
                let object = plain_object(context);
                self.fill(&object, fields, context);
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

/// The nearest double; small integers in the engine's own form.
fn number(number: &Number) -> JsValue {
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
pub(super) fn metadata(document: &Document) -> Object {
    let mut metadata = document.metadata_json();
    if metadata.get("@collection").is_none() {
        metadata.insert("@collection", document.collection.as_str());
    }
    metadata.insert("@id", document.id.as_str());
    metadata.insert("@last-modified", document.last_modified.to_string());
    metadata
}
