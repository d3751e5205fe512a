//! What a document gives to groups: the values of the keys and the summands, of the document itself or of each element of
//! an array.

use super::paths::{all, member, read_from};
use crate::terms::value::Step;
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use std::cmp::Ordering;

/// One thing that is grouped by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPath {
    /// Where its value is in a document.
    pub path: Vec<Step>,
    /// Whether an array is one value, instead of one value for each element.
    pub whole: bool,
}

/// Reads documents for groups.
#[derive(Debug, Clone)]
pub struct GroupReader {
    keys: Vec<KeyPath>,
    sums: Vec<Vec<Step>>,
}

/// What one document, or one element of its array, gives to its group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupEntry {
    /// The values of the keys, null where there are none.
    pub key: Vec<Json>,
    /// The summands, null where there are none.
    pub summands: Vec<Json>,
}

/// The path up to the first `[]`.
#[must_use]
pub fn element_prefix(path: &[Step]) -> &[Step] {
    let end = path.iter().position(|step| *step == Step::Each).unwrap_or(0);
    path.get(..end).unwrap_or_default()
}

impl GroupReader {
    /// A reader of these keys and summands. Only the elements of one array may be keys.
    #[must_use]
    pub fn new(keys: Vec<KeyPath>, sums: Vec<Vec<Step>>) -> Self {
        Self { keys, sums }
    }

    /// What a document gives, in the order of its elements. `database_id` is part of its metadata.
    #[must_use]
    pub fn entries(&self, document: &Document, database_id: &str) -> Vec<GroupEntry> {
        let metadata = Step::Member("@metadata".to_owned());
        let mut paths = self.keys.iter().map(|key| &key.path).chain(&self.sums);
        let mut fields = document.body_json();
        if paths.any(|path| path.first() == Some(&metadata)) {
            fields.insert("@metadata", document.wire_metadata(database_id));
        }
        let of = |element: Option<&Json>| GroupEntry {
            key: self.keys.iter().map(|key| self.key(key, &fields, element)).collect(),
            summands: self.sums.iter().map(|path| self.summand(path, &fields, element)).collect(),
        };
        self.elements(&fields).iter().map(|element| of(element.as_ref())).collect()
    }

    /// The array whose elements are grouped, if there is one.
    fn prefix(&self) -> Option<&[Step]> {
        self.keys.iter().find(|key| !key.whole).map(|key| element_prefix(&key.path))
    }

    /// What is grouped of one document: the document itself (`None`), or the elements of its array. An array that is
    /// missing, null or empty counts as one element without value; what is no array has none.
    fn elements(&self, fields: &Object) -> Vec<Option<Json>> {
        let Some(prefix) = self.prefix() else { return vec![None] };
        match read_from(fields, prefix) {
            None | Some(Json::Null) => vec![None],
            Some(Json::Array(items)) if items.is_empty() => vec![None],
            Some(Json::Array(items)) => items.into_iter().map(Some).collect(),
            Some(_) => Vec::new(),
        }
    }

    fn key(&self, key: &KeyPath, fields: &Object, element: Option<&Json>) -> Json {
        let value = if key.whole { member(fields, &key.path) } else { of_element(&key.path, element) };
        value.unwrap_or_default()
    }

    fn summand(&self, path: &[Step], fields: &Object, element: Option<&Json>) -> Json {
        let is_of_element = self.prefix().is_some_and(|prefix| {
            path.get(prefix.len()) == Some(&Step::Each) && element_prefix(path) == prefix
        });
        let value = if is_of_element { of_element(path, element) } else { member(fields, path) };
        value.unwrap_or_default()
    }
}

fn of_element(path: &[Step], element: Option<&Json>) -> Option<Json> {
    let rest = path.get(element_prefix(path).len() + 1..).unwrap_or_default();
    element.and_then(|element| all(element, rest))
}

/// The text that tells keys apart: by type, case and spelling.
#[must_use]
pub fn key_text(key: &[Json]) -> String {
    Json::Array(key.to_vec()).to_string()
}

/// The order in which groups come when nothing else is asked: by their keys, those without value last.
#[must_use]
pub fn compare_keys(left: &[Json], right: &[Json]) -> Ordering {
    let order = |(left, right): (&Json, &Json)| {
        let values = magpie_store::ordered::compare(left, right);
        left.is_null().cmp(&right.is_null()).then(values)
    };
    let by_value = left.iter().zip(right).map(order).find(|order| order.is_ne());
    by_value.unwrap_or_else(|| key_text(left).cmp(&key_text(right)))
}
