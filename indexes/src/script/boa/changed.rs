//! Where a reduce changed what it was given.
//!
//! The values of a group are fresh objects in every call, so changing them harms nobody here; but the script then counts
//! on an order of reduces that nobody promised. Only the values and the key are looked at: sorting or cutting the list
//! `g.values` is the reduce's own business.

use super::to_js::{self, Group};
use crate::script::dialect::GroupBy;
use boa_engine::object::builtins::JsArray;
use boa_engine::property::{PropertyDescriptor, PropertyKey};
use boa_engine::{Context, JsObject, JsResult, JsString, JsValue};
use magpie_store::json::{Json, Object, ScriptNumber};

/// The path of the first place where a group differs from what it was made of, such as `values[0].files`.
///
/// # Errors
/// When the engine fails.
pub(super) fn first_change(
    group: &Group,
    group_by: &GroupBy,
    key: &[Json],
    values: &[Json],
    context: &mut Context,
) -> JsResult<Option<String>> {
    for (place, (value, json)) in group.values.iter().zip(values).enumerate() {
        let mut path = format!("values[{place}]");
        if !same(json, value, &mut path, context)? {
            return Ok(Some(path));
        }
    }
    let mut path = "key".to_owned();
    let whole = match key.first() {
        Some(only) if group_by.single => only.clone(),
        _ => {
            let names = group_by.fields.iter().map(|field| field.key.clone());
            Json::Object(Object::from_distinct(names.zip(key.iter().cloned()).collect()))
        }
    };
    Ok(if same(&whole, &group.key, &mut path, context)? { None } else { Some(path) })
}

/// Whether a value is still what it was; else the path leads to the place.
fn same(json: &Json, value: &JsValue, path: &mut String, context: &mut Context) -> JsResult<bool> {
    Ok(match json {
        Json::Null => value.is_null(),
        Json::Bool(before) => value.as_boolean() == Some(*before),
        Json::String(before) => value.as_string() == Some(JsString::from(before.as_str())),
        Json::Number(before) => same_number(to_js::number(before).as_number(), value),
        Json::ScriptNumber(ScriptNumber::BigInt(before)) => {
            value.as_bigint().is_some_and(|now| *now.as_inner() == **before)
        }
        Json::ScriptNumber(ScriptNumber::NaN) => same_number(Some(f64::NAN), value),
        Json::ScriptNumber(ScriptNumber::Infinity) => same_number(Some(f64::INFINITY), value),
        Json::ScriptNumber(ScriptNumber::NegativeInfinity) => same_number(Some(f64::NEG_INFINITY), value),
        Json::Array(before) => match value.as_object().filter(JsObject::is_array) {
            Some(now) => same_array(before, &now, path, context)?,
            None => false,
        },
        Json::Object(before) => match value.as_object().filter(|now| now.is_ordinary()) {
            Some(now) => same_object(before, &now, path, context)?,
            None => false,
        },
    })
}

/// NaN is itself here, and -0 is not 0.
fn same_number(before: Option<f64>, now: &JsValue) -> bool {
    let bits = |number: f64| if number.is_nan() { f64::NAN.to_bits() } else { number.to_bits() };
    before.map(bits) == now.as_number().map(bits)
}

fn same_array(before: &[Json], now: &JsObject, path: &mut String, context: &mut Context) -> JsResult<bool> {
    if JsArray::from_object(now.clone())?.length(context)? != before.len() as u64 {
        return Ok(false);
    }
    for (place, json) in before.iter().enumerate() {
        let length = path.len();
        path.push_str(&format!("[{place}]"));
        let key = PropertyKey::from(u32::try_from(place).unwrap_or(u32::MAX));
        if !same_property(json, now, &key, path, context)? {
            return Ok(false);
        }
        path.truncate(length);
    }
    Ok(true)
}

fn same_object(before: &Object, now: &JsObject, path: &mut String, context: &mut Context) -> JsResult<bool> {
    let length = path.len();
    for (name, json) in before.iter() {
        path.push('.');
        path.push_str(name);
        if !same_property(json, now, &PropertyKey::from(JsString::from(name)), path, context)? {
            return Ok(false);
        }
        path.truncate(length);
    }
    for key in now.own_property_keys(context)? {
        let name = match &key {
            PropertyKey::String(name) => name.to_std_string_lossy(),
            PropertyKey::Index(index) => index.get().to_string(),
            PropertyKey::Symbol(_) => "[a symbol]".to_owned(),
        };
        if before.get(&name).is_none() {
            path.push('.');
            path.push_str(&name);
            return Ok(false);
        }
    }
    Ok(true)
}

/// Only data properties count as unchanged; nothing is called.
fn same_property(
    json: &Json,
    object: &JsObject,
    key: &PropertyKey,
    path: &mut String,
    context: &mut Context,
) -> JsResult<bool> {
    let property = object.borrow().properties().get(key);
    match property.as_ref().and_then(PropertyDescriptor::value) {
        Some(value) => same(json, value, path, context),
        None => Ok(false),
    }
}
