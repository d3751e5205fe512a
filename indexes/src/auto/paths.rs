//! The value that a path finds in a document, as a whole.

use crate::terms::value::{Step, at, is_length, length};
use magpie_store::json::{Json, Object};

/// The value at a path; a path through an array gives an array of what its elements have.
#[must_use]
pub fn read_from(object: &Object, path: &[Step]) -> Option<Json> {
    let (step, rest) = path.split_first()?;
    let Step::Member(name) = step else { return None };
    match object.get(name) {
        Some(value) => read(value, rest),
        None => {
            let (first, behind) = name.split_once('.')?;
            let mut steps = vec![Step::Member(behind.to_owned())];
            steps.extend_from_slice(rest);
            read_from(object.get(first)?.as_object()?, &steps)
        }
    }
}

/// [`read_from`] behind a value.
#[must_use]
pub fn read(value: &Json, path: &[Step]) -> Option<Json> {
    let Some((step, rest)) = path.split_first() else { return Some(value.clone()) };
    match (step, value) {
        (Step::Member(_), Json::Object(object)) => read_from(object, path),
        (Step::Member(name), _) if rest.is_empty() && is_length(name) && length(value).is_some() => {
            length(value).map(Json::from)
        }
        (Step::Member(_), Json::Array(items)) => {
            Some(Json::Array(items.iter().filter_map(|item| read(item, path)).collect()))
        }
        (Step::Each, Json::Array(items)) => {
            Some(Json::Array(items.iter().filter_map(|item| read(item, rest)).collect()))
        }
        (Step::Each, other) => read(other, rest),
        (Step::At(index), Json::Array(items)) => read(at(items, *index)?, rest),
        _ => None,
    }
}

/// The value at a path, read strictly; behind `[]` an array with one value for each element, null for one without.
pub(super) fn member(fields: &Object, path: &[Step]) -> Option<Json> {
    let (first, rest) = path.split_first()?;
    let Step::Member(name) = first else { return None };
    all(fields.get(name)?, rest)
}

/// [`member`] behind a value.
pub(super) fn all(value: &Json, path: &[Step]) -> Option<Json> {
    let Some((step, rest)) = path.split_first() else { return Some(value.clone()) };
    match (step, value) {
        (Step::Member(name), Json::Object(object)) => all(object.get(name)?, rest),
        (Step::Member(_), Json::Array(items)) => {
            Some(Json::Array(items.iter().filter_map(|item| all(item, path)).collect()))
        }
        (Step::Each, Json::Array(items)) => {
            Some(Json::Array(items.iter().map(|item| all(item, rest).unwrap_or_default()).collect()))
        }
        (Step::At(index), Json::Array(items)) => all(at(items, *index)?, rest),
        _ => None,
    }
}
