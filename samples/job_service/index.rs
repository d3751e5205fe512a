//! A web service for jobs, built on events and two indexes: the state of each job, and its history with the call-backs
//! that are to be made. The service itself is `service.rs`.

#[path = "job_history/index.rs"]
pub mod job_history;
#[path = "job_state/index.rs"]
pub mod job_state;

use crate::native::{ScriptOrder, WHOLE_MAX, object, refuse};
use magpie_indexes::function::FunctionError;
use magpie_store::json::{Json, Object};
use std::collections::BTreeMap;

/// The fields that an event sets, sorted by name. Values are texts, whole numbers, true, false and null.
fn fields(event: &Object) -> Result<Vec<(&str, Json)>, FunctionError> {
    let given = match event.get("fields") {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(given) => given.as_object().ok_or_else(|| refuse("fields must be an object".to_owned()))?,
    };
    let mut sorted = BTreeMap::new();
    for (name, value) in given.iter() {
        let is_plain = match value {
            Json::Null | Json::Bool(_) | Json::String(_) => true,
            other => other.as_i64().is_some_and(|whole| whole.abs() <= WHOLE_MAX),
        };
        if !is_plain {
            let message = format!("{name} must be a text, a whole number, true, false or null");
            return Err(refuse(message));
        }
        sorted.insert(ScriptOrder(name), value.clone());
    }
    Ok(sorted.into_iter().map(|(name, value)| (name.0, value)).collect())
}

/// `{name, value}` and what more there is to say of a field.
fn field_json(name: &str, value: Json, more: impl IntoIterator<Item = (&'static str, Json)>) -> Json {
    let Json::Object(mut field) = object([("name", name.into()), ("value", value)]) else {
        return Json::Null;
    };
    for (key, value) in more {
        field.insert(key, value);
    }
    Json::Object(field)
}
