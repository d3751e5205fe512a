//! The names under which dynamic queries are reported: `Auto/Users/ByageAndname`.
//!
//! This server answers such queries without building an index, but clients and people read the names. As with the
//! original, a collection's auto index grows with the queries: [`AutoIndexNames`] remembers the fields.

use crate::limits;
use crate::term::fold;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// How a field of an auto index is indexed besides as it is always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ways {
    exact: bool,
    search: bool,
}

/// The fields that a dynamic query filters and orders by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AutoFields(BTreeMap<String, Ways>);

impl AutoFields {
    /// Adds a field by its path; `exact` when it is compared with upper and lower case.
    pub fn add(&mut self, path: &str, exact: bool) {
        self.0.entry(path.to_owned()).or_default().exact |= exact;
    }

    /// Adds a field whose words are searched.
    pub fn add_search(&mut self, path: &str) {
        self.0.entry(path.to_owned()).or_default().search = true;
    }

    /// The name of the auto index on `collection` that has these fields.
    ///
    /// ```
    /// let mut fields = magpie_query::AutoFields::default();
    /// fields.add("name", false);
    /// fields.add("age", false);
    /// assert_eq!(fields.index_name("Users"), "Auto/Users/ByageAndname");
    /// ```
    #[must_use]
    pub fn index_name(&self, collection: &str) -> String {
        let collection = shown(collection);
        let with = |wanted: fn(&Ways) -> bool| {
            self.0.iter().filter(move |(_, ways)| wanted(ways)).map(|(path, _)| path.as_str())
        };
        let search = with(|ways| ways.search).map(|path| format!("Search({path})"));
        let exact = with(|ways| ways.exact).map(|path| format!("Exact({path})"));
        let plain = with(|ways| !ways.exact && !ways.search).map(str::to_owned);
        let names: Vec<String> = search.chain(exact).chain(plain).collect();
        let by = if names.is_empty() { "" } else { "/By" };
        format!("Auto/{collection}{by}{}", names.join("And"))
    }
}

fn shown(collection: &str) -> &str {
    if collection.eq_ignore_ascii_case("@all_docs") { "AllDocs" } else { collection }
}

/// The fields of a dynamic query with `group by`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFields {
    /// What is grouped by.
    pub keys: BTreeSet<String>,
    /// What is counted (`Count`) and summed.
    pub aggregates: BTreeSet<String>,
}

impl GroupFields {
    /// The name of the auto index on `collection` that has these fields.
    ///
    /// ```
    /// let mut fields = magpie_query::GroupFields::default();
    /// fields.keys.insert("city".to_owned());
    /// assert_eq!(fields.index_name("Users"), "Auto/UsersReducedBycity");
    /// fields.aggregates.insert("Count".to_owned());
    /// assert_eq!(fields.index_name("Users"), "Auto/Users/ByCountReducedBycity");
    /// ```
    #[must_use]
    pub fn index_name(&self, collection: &str) -> String {
        let joined =
            |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<&str>>().join("And");
        let by = if self.aggregates.is_empty() { "" } else { "/By" };
        format!("Auto/{}{by}{}ReducedBy{}", shown(collection), joined(&self.aggregates), joined(&self.keys))
    }
}

/// A collection, lower-cased, and what is grouped by.
type GroupedBy = (String, BTreeSet<String>);

/// The fields that the dynamic queries on each collection of one database have used so far. In memory only; its
/// size is bounded, and beyond the bound a query is named by its own fields.
#[derive(Debug, Default)]
pub struct AutoIndexNames {
    collections: Mutex<HashMap<String, AutoFields>>,
    /// What was counted and summed, by collection and what was grouped by.
    groups: Mutex<HashMap<GroupedBy, BTreeSet<String>>>,
}

impl AutoIndexNames {
    /// The name to report for a query on `collection` with `fields`, which are remembered.
    #[must_use]
    pub fn widen(&self, collection: &str, fields: &AutoFields) -> String {
        let mut collections = self.collections.lock().unwrap_or_else(PoisonError::into_inner);
        let key = fold(collection).into_owned();
        if !collections.contains_key(&key) && collections.len() >= limits::AUTO_INDEX_COLLECTIONS_MAX {
            return fields.index_name(collection);
        }
        let known = collections.entry(key).or_default();
        let mut wider = known.clone();
        for (path, ways) in &fields.0 {
            let known = wider.0.entry(path.clone()).or_default();
            known.exact |= ways.exact;
            known.search |= ways.search;
        }
        if wider.0.len() > limits::AUTO_INDEX_FIELDS_MAX {
            return fields.index_name(collection);
        }
        *known = wider;
        known.index_name(collection)
    }

    /// What the queries on `collection` that group alike have counted and summed so far, `fields` included, which are
    /// remembered.
    #[must_use]
    pub fn widen_groups(&self, collection: &str, fields: GroupFields) -> GroupFields {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (fold(collection).into_owned(), fields.keys.clone());
        if !groups.contains_key(&key) && groups.len() >= limits::AUTO_INDEX_COLLECTIONS_MAX {
            return fields;
        }
        let known = groups.entry(key).or_default();
        let wider: BTreeSet<String> = known.union(&fields.aggregates).cloned().collect();
        if wider.len() > limits::AUTO_INDEX_FIELDS_MAX {
            return fields;
        }
        *known = wider.clone();
        GroupFields { aggregates: wider, ..fields }
    }
}
