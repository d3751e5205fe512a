//! The functions of an auto index with groups: how many documents, or elements, have the same values in some fields, and
//! the sums of others.
//!
//! Groups are told apart by the texts of their values, which are the reduce key; a value holds them as they are, then the
//! count, then the sums: exact ones, or null when a summand was no number.

use super::groups::{GroupEntry, GroupReader, KeyPath};
use super::map::path_of;
use super::sum::DecimalSum;
use super::{AutoDefinition, COUNT, GroupFields};
use crate::error::IndexError;
use crate::function::{
    Emitted, FunctionError, FunctionErrorKind, FunctionShape, FunctionSource, IndexFunction, Loads,
};
use crate::terms::value::Step;
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use std::sync::Arc;

/// One group, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The values of the keys, in the order of their names.
    pub key: Vec<Json>,
    /// How many documents or elements it has.
    pub count: u64,
    /// The sums, in the order of their names; null where a summand was no number.
    pub sums: Vec<Json>,
}

/// The functions of a definition.
#[derive(Debug, Clone)]
pub(crate) struct GroupSource {
    shape: FunctionShape,
    canonical: String,
    groups: Arc<Groups>,
}

#[derive(Debug)]
struct Groups {
    keys: Vec<String>,
    sums: Vec<String>,
    reader: GroupReader,
    database_id: String,
}

/// The key that a part of an index's name stands for.
#[must_use]
pub fn key_of(part: &str) -> KeyPath {
    match part.strip_prefix("Array(").and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => KeyPath { path: path_of(inner), whole: true },
        None => {
            let path = path_of(part);
            KeyPath { whole: !path.contains(&Step::Each), path }
        }
    }
}

impl GroupFields {
    /// Whether they can be those of an index: a name stands for one thing.
    #[must_use]
    pub fn are_distinct(&self) -> bool {
        !self.keys.is_empty() && self.keys.is_disjoint(&self.aggregates) && !self.keys.contains(COUNT)
    }

    /// The names of the sums.
    pub fn sums(&self) -> impl Iterator<Item = &String> {
        self.aggregates.iter().filter(|name| *name != COUNT)
    }
}

impl GroupSource {
    /// The functions of a definition with these groups.
    ///
    /// # Errors
    /// When the collection cannot be one, or a name stands for two things.
    pub fn new(
        definition: &AutoDefinition,
        fields: &GroupFields,
        database_id: &str,
    ) -> Result<Self, IndexError> {
        if !fields.are_distinct() {
            return Err(IndexError::InvalidDefinition {
                name: definition.name(),
                reason: "what it groups by is also what it sums".to_owned(),
            });
        }
        let keys: Vec<String> = fields.keys.iter().cloned().collect();
        let sums: Vec<String> = fields.sums().cloned().collect();
        let reader = GroupReader::new(
            keys.iter().map(|key| key_of(key)).collect(),
            sums.iter().map(|sum| path_of(sum)).collect(),
        );
        let names = keys.iter().cloned().chain([COUNT.to_owned()]).chain(sums.iter().cloned());
        Ok(Self {
            shape: FunctionShape::new(definition.collections()?, Some(keys.clone()), names.collect()),
            canonical: format!("auto {definition:?}"),
            groups: Arc::new(Groups { keys, sums, reader, database_id: database_id.to_owned() }),
        })
    }

    /// What a document gives to groups.
    pub fn entries(&self, document: &Document) -> Vec<Group> {
        let entries = self.groups.reader.entries(document, &self.groups.database_id);
        entries.into_iter().map(Group::of).collect()
    }

    /// The group of a stored value.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] when it is none.
    pub fn decode(&self, value: &Json) -> Result<Group, IndexError> {
        let field = |name: &String| {
            let found = value.as_object().and_then(|object| object.get(name)).cloned();
            found.ok_or_else(|| IndexError::Corrupt("a group of an auto index".to_owned()))
        };
        let count = field(&COUNT.to_owned())?.as_i64().and_then(|count| u64::try_from(count).ok());
        Ok(Group {
            key: self.groups.keys.iter().map(field).collect::<Result<_, _>>()?,
            count: count.unwrap_or(0),
            sums: self.groups.sums.iter().map(field).collect::<Result<_, _>>()?,
        })
    }

    fn encode(&self, group: Group) -> Json {
        let mut value = Object::new();
        for (name, part) in self.groups.keys.iter().zip(group.key) {
            value.insert(name.as_str(), part);
        }
        value.insert(COUNT, group.count);
        for (name, sum) in self.groups.sums.iter().zip(group.sums) {
            value.insert(name.as_str(), sum);
        }
        Json::Object(value)
    }
}

impl Group {
    fn of(entry: GroupEntry) -> Self {
        let sum = |summand: &Json| {
            let mut sum = DecimalSum::default();
            if sum.add(summand).is_err() {
                sum.fail();
            }
            sum.value()
        };
        Self { key: entry.key, count: 1, sums: entry.summands.iter().map(sum).collect() }
    }

    /// The values under which groups are told apart.
    #[must_use]
    pub fn reduce_key(&self) -> Vec<Json> {
        self.key.iter().map(|value| Json::from(value.to_string())).collect()
    }
}

impl FunctionSource for GroupSource {
    fn shape(&self) -> &FunctionShape {
        &self.shape
    }

    fn canonical_text(&self) -> &str {
        &self.canonical
    }

    fn create(&self) -> Result<Box<dyn IndexFunction>, FunctionError> {
        Ok(Box::new(self.clone()))
    }
}

impl IndexFunction for GroupSource {
    fn map(&mut self, document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let emit = |group: Group| Emitted { key: group.reduce_key(), value: self.encode(group) };
        Ok(self.entries(document).into_iter().map(emit).collect())
    }

    fn reduce(&mut self, _: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let damaged = |error: IndexError| FunctionError {
            kind: FunctionErrorKind::Run,
            message: error.to_string(),
            position: None,
        };
        let mut whole: Option<Group> = None;
        let mut sums = vec![DecimalSum::default(); self.groups.sums.len()];
        for value in values {
            let part = self.decode(value).map_err(damaged)?;
            sums.iter_mut().zip(&part.sums).for_each(|(sum, part)| sum.add_sum(part, false));
            match &mut whole {
                Some(whole) => whole.count = whole.count.saturating_add(part.count),
                None => whole = Some(part),
            }
        }
        let mut whole = whole.ok_or_else(|| damaged(IndexError::Corrupt("a group of nothing".to_owned())))?;
        whole.sums = sums.iter().map(DecimalSum::value).collect();
        Ok(self.encode(whole))
    }
}
