//! The fields of auto indexes, and the names that they give them: `Auto/Users/ByageAndname`.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// How a field of an auto index is indexed besides as it is always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ways {
    /// With upper and lower case.
    pub exact: bool,
    /// Word by word.
    pub search: bool,
}

/// The fields that a dynamic query filters and orders by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
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

    /// Each path with the ways in which it is indexed, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Ways)> {
        self.0.iter().map(|(path, ways)| (path.as_str(), *ways))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a field is among them.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    pub(super) fn covers(&self, others: &Self) -> bool {
        others.0.iter().all(|(path, wanted)| {
            let own = self.0.get(path);
            own.is_some_and(|own| (own.exact || !wanted.exact) && (own.search || !wanted.search))
        })
    }

    pub(super) fn widen(&mut self, others: &Self) {
        for (path, ways) in &others.0 {
            let own = self.0.entry(path.clone()).or_default();
            own.exact |= ways.exact;
            own.search |= ways.search;
        }
    }

    /// The name of the auto index on `collection` that has these fields.
    ///
    /// ```
    /// let mut fields = magpie_indexes::auto::AutoFields::default();
    /// fields.add("name", false);
    /// fields.add("age", false);
    /// assert_eq!(fields.index_name("Users"), "Auto/Users/ByageAndname");
    ///
    /// fields.add("name", true);
    /// fields.add_search("text");
    /// assert_eq!(fields.index_name("Users"), "Auto/Users/ByExact(name)AndSearch(text)Andage");
    ///
    /// fields.add("first name", false);
    /// assert_eq!(fields.index_name("Users"), "Auto/Users/By'first name'AndExact(name)AndSearch(text)Andage");
    /// ```
    #[must_use]
    pub fn index_name(&self, collection: &str) -> String {
        let collection = shown(collection);
        let part = |(path, ways): (&String, &Ways)| {
            let path = quoted(path);
            match (ways.search, ways.exact) {
                (true, true) => format!("Search({path})AndExact({path})"),
                (true, false) => format!("Search({path})"),
                (false, true) => format!("Exact({path})"),
                (false, false) => path.into_owned(),
            }
        };
        let mut names: Vec<String> = self.0.iter().map(part).collect();
        names.sort_unstable();
        let by = if names.is_empty() { "" } else { "/By" };
        format!("Auto/{collection}{by}{}", names.join("And"))
    }
}

/// A name that only quotes make a field of a query, in quotes, as the original shows it.
fn quoted(path: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "_-@.[]()".contains(c);
    let starts = |c: char| c.is_alphabetic() || c == '_' || c == '@';
    if path.contains('.') || (path.starts_with(starts) && path.chars().all(is_plain)) {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(format!("'{path}'"))
    }
}

fn shown(collection: &str) -> &str {
    if collection.eq_ignore_ascii_case(super::ALL_DOCUMENTS) { "AllDocs" } else { collection }
}

/// The fields of a dynamic query with `group by`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GroupFields {
    /// What is grouped by: paths, and `Array(path)` where an array is one value.
    pub keys: BTreeSet<String>,
    /// What is counted (`Count`) and summed.
    pub aggregates: BTreeSet<String>,
}

impl GroupFields {
    /// The name of the auto index on `collection` that has these fields.
    ///
    /// ```
    /// let mut fields = magpie_indexes::auto::GroupFields::default();
    /// fields.keys.insert("city".to_owned());
    /// assert_eq!(fields.index_name("Users"), "Auto/UsersReducedBycity");
    /// fields.aggregates.insert("Count".to_owned());
    /// assert_eq!(fields.index_name("Users"), "Auto/Users/ByCountReducedBycity");
    /// ```
    #[must_use]
    pub fn index_name(&self, collection: &str) -> String {
        let joined = |names: &BTreeSet<String>| {
            names.iter().map(|name| quoted(name)).collect::<Vec<Cow<'_, str>>>().join("And")
        };
        let by = if self.aggregates.is_empty() { "" } else { "/By" };
        format!("Auto/{}{by}{}ReducedBy{}", shown(collection), joined(&self.aggregates), joined(&self.keys))
    }
}
