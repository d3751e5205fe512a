//! Which numbers of a document a script does not see as they are.

use super::dialect::Projection;
use crate::definition::Numbers;
use crate::limits::INEXACT_FIELDS_MAX;
use magpie_store::json::{Json, Object};

/// Adds the paths of the fields whose numbers do not reach a script with all their digits, each once: those of the
/// fields that a map reads, or of all. Positions in arrays are written `[]`.
pub(super) fn collect(
    body: &Object,
    projection: Option<&Projection>,
    numbers: Numbers,
    found: &mut Vec<String>,
) {
    let mut path = String::new();
    match projection {
        Some(projection) => {
            for name in &projection.fields {
                if let Some(value) = body.get(name) {
                    member(name, value, numbers, &mut path, found);
                }
            }
        }
        None => object(body, numbers, &mut path, found),
    }
}

fn object(fields: &Object, numbers: Numbers, path: &mut String, found: &mut Vec<String>) {
    fields.iter().for_each(|(name, value)| member(name, value, numbers, path, found));
}

fn member(name: &str, json: &Json, numbers: Numbers, path: &mut String, found: &mut Vec<String>) {
    // Most fields hold no numbers, and their names need no copy.
    if matches!(json, Json::Null | Json::Bool(_) | Json::String(_)) {
        return;
    }
    let length = path.len();
    if length > 0 {
        path.push('.');
    }
    path.push_str(name);
    value(json, numbers, path, found);
    path.truncate(length);
}

fn value(json: &Json, numbers: Numbers, path: &mut String, found: &mut Vec<String>) {
    match json {
        Json::Number(number) => {
            let lost =
                !(number.fits_f64() || (numbers == Numbers::Exact && number.as_plain_integer().is_some()));
            if lost && found.len() < INEXACT_FIELDS_MAX && !found.contains(path) {
                found.push(path.clone());
            }
        }
        Json::Array(items) => {
            let length = path.len();
            path.push_str("[]");
            items.iter().for_each(|item| value(item, numbers, path, found));
            path.truncate(length);
        }
        Json::Object(fields) => object(fields, numbers, path, found),
        Json::Null | Json::Bool(_) | Json::String(_) | Json::ScriptNumber(_) => {}
    }
}
