//! Auto indexes: what a dynamic query filters, orders and groups by, as an index that is made for it.
//!
//! The definition says which fields; the functions are Rust (`map.rs`). `crate::registry` makes such indexes and widens
//! them, `crate::terms` reads them.

mod fields;
mod groups;
mod life;
mod map;
pub mod paths;
mod read_groups;
mod reduce;
mod sum;

pub use fields::{AutoFields, GroupFields, Ways};
pub use groups::{GroupEntry, GroupReader, KeyPath, compare_keys, element_prefix, key_text};
pub(crate) use life::Life;
pub(crate) use map::AutoSource;
pub use map::path_of;
pub use read_groups::{GroupRows, read_groups};
pub use reduce::{Group, key_of};
pub use sum::DecimalSum;

use crate::definition::{FieldOptions, IndexDefinition};
use crate::error::IndexError;
use crate::function::{MappedCollections, SharedSource};
use magpie_store::Collection;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How the names of auto indexes start.
pub const AUTO_PREFIX: &str = "Auto/";
/// What counts in an index with groups.
pub const COUNT: &str = "Count";
/// The collection that stands for all documents.
const ALL_DOCUMENTS: &str = "@all_docs";

/// What an auto index is made of. It is part of [`crate::IndexDefinition`], and stored with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AutoDefinition {
    /// The collection as the query spelt it; `@all_docs` for all documents.
    pub collection: String,
    /// The fields that are filtered and ordered by; empty with groups.
    pub fields: AutoFields,
    /// What is grouped by; `None` for an index without groups.
    pub groups: Option<GroupFields>,
}

impl AutoDefinition {
    /// An index of these fields.
    #[must_use]
    pub fn map(collection: &str, fields: AutoFields) -> Self {
        Self { collection: collection.to_owned(), fields, groups: None }
    }

    /// An index of these groups.
    #[must_use]
    pub fn groups(collection: &str, groups: GroupFields) -> Self {
        Self { collection: collection.to_owned(), fields: AutoFields::default(), groups: Some(groups) }
    }

    /// The functions of the index. `database_id` is part of the metadata of documents.
    pub(crate) fn source(&self, database_id: &str) -> Result<SharedSource, IndexError> {
        Ok(match &self.groups {
            None => Arc::new(AutoSource::new(self, database_id)?),
            Some(groups) => Arc::new(reduce::GroupSource::new(self, groups, database_id)?),
        })
    }

    fn collections(&self) -> Result<MappedCollections, IndexError> {
        Ok(if self.is_of_all() {
            MappedCollections::All
        } else if self.collection.eq_ignore_ascii_case(Collection::EMPTY) {
            MappedCollections::Named(vec![Collection::empty()])
        } else {
            MappedCollections::Named(vec![Collection::new(&self.collection)?])
        })
    }

    /// The name of the index.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.groups {
            None => self.fields.index_name(&self.collection),
            Some(groups) => groups.index_name(&self.collection),
        }
    }

    /// Whether all documents are meant.
    #[must_use]
    pub fn is_of_all(&self) -> bool {
        self.collection.eq_ignore_ascii_case(ALL_DOCUMENTS)
    }

    /// Whether the other one is about the same documents, and groups them alike if it groups.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let keys = |of: &Self| of.groups.as_ref().map(|groups| groups.keys.clone());
        self.collection.to_lowercase() == other.collection.to_lowercase() && keys(self) == keys(other)
    }

    /// Whether it has all that the other one has.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let aggregates = match (&self.groups, &other.groups) {
            (Some(own), Some(others)) => others.aggregates.is_subset(&own.aggregates),
            (None, None) => true,
            _ => false,
        };
        aggregates && self.is_like(other) && self.fields.covers(&other.fields)
    }

    /// Takes in what one that is like it has.
    pub fn widen(&mut self, other: &Self) {
        self.fields.widen(&other.fields);
        if let (Some(own), Some(others)) = (&mut self.groups, &other.groups) {
            own.aggregates.extend(others.aggregates.iter().cloned());
        }
    }

    /// The definition under which it is stored and shown: in place of scripts, the texts that the original shows.
    #[must_use]
    pub fn definition(&self) -> IndexDefinition {
        let mut definition = IndexDefinition { name: self.name(), ..IndexDefinition::default() };
        let mut option = |name: String, indexing: &str| {
            let (indexing, storage) = (Some(indexing.to_owned()), Some("No".to_owned()));
            definition.fields.insert(name, FieldOptions { indexing, storage, ..FieldOptions::default() });
        };
        for (path, ways) in self.fields.iter() {
            option(path.to_owned(), "Default");
            if ways.search {
                option(format!("search({path})"), "Search");
            }
            if ways.exact {
                option(format!("exact({path})"), "Exact");
            }
        }
        let list = |items: Vec<String>| format!("{}:[{}]", self.collection, items.join(";"));
        let named = |path: &str| format!("<Name:{path}>");
        let map = match &self.groups {
            None => self.fields.iter().map(|(path, _)| named(path)).collect(),
            Some(groups) => {
                let (keys, aggregates) = (groups.keys.iter(), groups.aggregates.iter());
                keys.clone().chain(aggregates.clone()).for_each(|path| option(path.clone(), "Default"));
                definition.reduce = Some(list(keys.map(|path| named(path)).collect()));
                let operation = |name: &String| if name == COUNT { "Count" } else { "Sum" };
                aggregates.map(|name| format!("<Name:{name}#Operation:{}>", operation(name))).collect()
            }
        };
        definition.maps = vec![list(map)];
        definition.auto = Some(self.clone());
        definition
    }

    /// How many fields it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.fields.len()
            + self.groups.as_ref().map_or(0, |groups| groups.keys.len() + groups.aggregates.len())
    }
}
