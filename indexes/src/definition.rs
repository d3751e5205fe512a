//! `IndexDefinition`: an index as users write it and as RavenDB's clients send it.
//!
//! The only type below the server with serde derives: it is both the wire form and the stored form.

use crate::auto::{AUTO_PREFIX, AutoDefinition};
use crate::error::IndexError;
use crate::laws::LAWS;
use crate::terms::Analyzer;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The name that stands for all fields of an index in its options. Source: the wire.
const ALL_FIELDS: &str = "__all_fields";

/// The key of [`IndexDefinition::configuration`] that marks an index whose functions are Rust code of the program.
pub const NATIVE: &str = "Magpie.Native";

/// The key of [`IndexDefinition::configuration`] that says how many documents are mapped in one batch.
pub const MAP_BATCH_SIZE: &str = "Indexing.MapBatchSize";

/// The setting that says which numbers scripts get: `double` (also without the setting) or `exact`.
pub const NUMBERS: &str = "Magpie.Numbers";

/// What the whole numbers of documents are in scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbers {
    /// The nearest double, as in RavenDB.
    #[default]
    Double,
    /// A BigInt beyond 2^53 - 1, where doubles have gaps; a number otherwise.
    Exact,
}

/// An index: maps, an optional reduce, and options. Absent and null keys have their defaults. Unknown keys are left
/// out here, so that what was stored once opens; those from outside are refused by [`crate::known_keys`]. On the wire
/// it is a JSON object with PascalCase keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IndexDefinition {
    /// The name: letters, digits, `_ - . /`, compared case-insensitively.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Scripts that register maps.
    #[serde(deserialize_with = "or_default")]
    pub maps: Vec<String>,
    /// Script that registers the reduce; none for a map-only index.
    pub reduce: Option<String>,
    /// Options of output fields, by field name.
    #[serde(deserialize_with = "or_default")]
    pub fields: BTreeMap<String, FieldOptions>,
    /// Settings by key; what Magpie adds starts with `Magpie.`.
    #[serde(deserialize_with = "or_default")]
    pub configuration: BTreeMap<String, Option<String>>,
    /// Helper scripts by name, loaded before the maps.
    #[serde(deserialize_with = "or_default")]
    pub additional_sources: BTreeMap<String, String>,
    /// Whether the definition may be changed.
    #[serde(deserialize_with = "or_default")]
    pub lock_mode: LockMode,
    /// How soon the index gets its turn. Kept and shown; all indexes run alike so far.
    #[serde(deserialize_with = "or_default")]
    pub priority: Priority,
    /// Whether the index is at work.
    #[serde(deserialize_with = "or_default")]
    pub state: IndexState,
    /// The collection that results become documents of.
    pub output_reduce_to_collection: Option<String>,
    /// Script with the function that turns the reduced value of a key into its result: `r => ({ .. })`. Magpie's own;
    /// [`IndexDefinition::reduce`] may have `.finalize(..)` instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finalize: Option<String>,
    /// What it is over if that is not documents: `TimeSeries` or `Counters`, which Magpie has not. Such a definition is
    /// only kept.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "other_source")]
    pub source_type: Option<String>,
    /// The id pattern of the documents that reference output documents.
    pub pattern_for_output_reduce_to_collection_references: Option<String>,
    /// The collection of those referencing documents.
    pub pattern_references_collection_name: Option<String>,
    /// What an auto index is made of; `None` for one that somebody wrote. Only stored, never taken from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto: Option<AutoDefinition>,
}

/// How the values of an index field are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldIndexing {
    /// Ignoring case.
    #[default]
    Default,
    /// With case.
    Exact,
    /// By the terms that an analyzer makes of its texts.
    Analyzed(Analyzer),
    /// Not at all: a query on the field finds nothing.
    No,
}

/// Options of one output field.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FieldOptions {
    /// How the field is indexed: `No`, `Search`, `Exact`, `Default`, `Highlighting`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indexing: Option<String>,
    /// Whether the field's value is kept for projections: `Yes`, `No`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// The analyzer of a full-text field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyzer: Option<String>,
    /// Whether terms are suggested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestions: Option<bool>,
    /// Which term vectors are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term_vector: Option<String>,
}

/// What happens when another definition is put under the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LockMode {
    /// It is taken.
    #[default]
    Unlock,
    /// It is ignored without an error.
    LockedIgnore,
    /// It is refused.
    LockedError,
}

/// The priority of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Priority {
    /// Below others.
    Low,
    /// Like others.
    #[default]
    Normal,
    /// Above others.
    High,
}

/// The state that a user gives an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum IndexState {
    /// At work.
    #[default]
    Normal,
    /// Not indexing; keeps its results and answers queries.
    Disabled,
    /// As `Normal`; sent by clients that read it from an idle index.
    Idle,
    /// As `Normal`; sent by clients that read it from a failed index.
    Error,
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

fn other_source<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let source: Option<String> = Option::deserialize(input)?;
    Ok(source
        .filter(|source| !["", "None", "Documents"].iter().any(|name| name.eq_ignore_ascii_case(source))))
}

/// How an index's name starts while it is built next to the index it will replace.
pub const REPLACEMENT_PREFIX: &str = "ReplacementOf/";
/// Longest index name, in bytes.
const NAME_BYTES_MAX: usize = 256;

impl IndexDefinition {
    /// Whether the index has a reduce.
    #[must_use]
    pub fn is_map_reduce(&self) -> bool {
        self.reduce.as_deref().is_some_and(|reduce| !reduce.trim().is_empty())
    }

    /// The collection that results become documents of, if any. Without a reduce there are no results, and the
    /// definition's collection says nothing, as in RavenDB.
    #[must_use]
    pub fn output_collection(&self) -> Option<&str> {
        let name = self.output_reduce_to_collection.as_deref();
        name.filter(|name| !name.is_empty() && self.is_map_reduce())
    }

    /// The script of [`IndexDefinition::finalize`], if there is one.
    #[must_use]
    pub fn finalize_script(&self) -> Option<&str> {
        self.finalize.as_deref().filter(|script| !script.trim().is_empty())
    }

    /// How many documents are mapped in one batch, by the setting [`MAP_BATCH_SIZE`]; results do not depend on it.
    ///
    /// # Errors
    /// [`IndexError::InvalidDefinition`] when the setting is no number from 1.
    pub fn map_batch_size(&self) -> Result<Option<usize>, IndexError> {
        let Some(Some(text)) = self.configuration.get(MAP_BATCH_SIZE) else { return Ok(None) };
        match text.parse() {
            Ok(size) if size > 0 => Ok(Some(size)),
            _ => Err(IndexError::InvalidDefinition {
                name: self.name.clone(),
                reason: format!(
                    "its setting {MAP_BATCH_SIZE} is '{text}'; give a number of documents from 1"
                ),
            }),
        }
    }

    /// Which numbers the scripts get, by the setting [`NUMBERS`].
    ///
    /// # Errors
    /// [`IndexError::InvalidDefinition`] when the setting has another value than `double` or `exact`.
    pub fn numbers(&self) -> Result<Numbers, IndexError> {
        let Some(Some(text)) = self.configuration.get(NUMBERS) else { return Ok(Numbers::Double) };
        match text.to_ascii_lowercase().as_str() {
            "double" => Ok(Numbers::Double),
            "exact" => Ok(Numbers::Exact),
            _ => Err(IndexError::InvalidDefinition {
                name: self.name.clone(),
                reason: format!("its setting {NUMBERS} is '{text}'; give double or exact"),
            }),
        }
    }

    /// Whether the functions are Rust code of the program.
    #[must_use]
    pub fn is_native(&self) -> bool {
        self.configuration.get(NATIVE).is_some_and(|value| value.as_deref() == Some("true"))
    }

    /// The wire's name for its type: `AutoMap`, `AutoMapReduce`, `JavaScriptMap`, `JavaScriptMapReduce`, or `Map`, `MapReduce` for native ones and
    /// those that are C#.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        if let Some(auto) = &self.auto {
            return if auto.groups.is_some() { "AutoMapReduce" } else { "AutoMap" };
        }
        match (self.is_native() || self.why_not_script().is_some(), self.is_map_reduce()) {
            (false, false) => "JavaScriptMap",
            (false, true) => "JavaScriptMapReduce",
            (true, false) => "Map",
            (true, true) => "MapReduce",
        }
    }

    /// How the values of a field are compared.
    #[must_use]
    pub fn indexing_of(&self, field: &str) -> FieldIndexing {
        let way = self.option(field, |options| options.indexing.as_deref()).unwrap_or_default();
        let is = |name: &str| way.eq_ignore_ascii_case(name);
        match self.option(field, |options| options.analyzer.as_deref()) {
            _ if is("Exact") => FieldIndexing::Exact,
            _ if is("No") => FieldIndexing::No,
            Some(name) => Analyzer::named(name).map_or(FieldIndexing::Default, FieldIndexing::Analyzed),
            None if is("Search") => FieldIndexing::Analyzed(Analyzer::Standard),
            None => FieldIndexing::Default,
        }
    }

    /// Whether the value of a field is kept as the map made it, for projections.
    #[must_use]
    pub fn is_stored(&self, field: &str) -> bool {
        let way = self.option(field, |options| options.storage.as_deref());
        way.is_some_and(|way| way.eq_ignore_ascii_case("Yes"))
    }

    /// An option of a field, or else that of all fields.
    fn option(&self, field: &str, read: fn(&FieldOptions) -> Option<&str>) -> Option<&str> {
        let of = |field: &str| self.fields.get(field).and_then(read);
        of(field).or_else(|| of(ALL_FIELDS))
    }

    /// Checks the name and everything else that needs no script engine.
    ///
    /// # Errors
    /// [`IndexError::InvalidName`] or [`IndexError::InvalidDefinition`].
    pub fn validate(&self) -> Result<(), IndexError> {
        self.validate_name()?;
        let invalid = |reason: &str| {
            Err(IndexError::InvalidDefinition { name: self.name.clone(), reason: reason.to_owned() })
        };
        if self.maps.iter().all(|map| map.trim().is_empty()) {
            return invalid("Index must have a 'Maps' fields");
        }
        if let Some(reason) = self.why_not_runnable() {
            return invalid(&reason);
        }
        self.map_batch_size()?;
        self.numbers()?;
        self.law_mode()?;
        if self.finalize_script().is_some() && !self.is_map_reduce() {
            return invalid("it has a Finalize but no Reduce whose results it could finalize");
        }
        Ok(())
    }

    /// Why its functions cannot run here, if that is known without a script engine, and what to do.
    #[must_use]
    pub fn why_not_runnable(&self) -> Option<String> {
        if self.auto.is_some() {
            return None;
        }
        if let Some(source) = &self.source_type {
            return Some(format!("it is over {source}, and Magpie indexes documents only"));
        }
        self.why_not_script().or_else(|| self.why_not_analyzed())
    }

    /// Which field names an analyzer that is not known, if one does.
    fn why_not_analyzed(&self) -> Option<String> {
        self.fields.iter().find_map(|(field, options)| {
            let name = options.analyzer.as_deref().filter(|name| Analyzer::named(name).is_none())?;
            let known = Analyzer::NAMES.map(|(name, _)| name).join(", ");
            Some(format!("Cannot find analyzer type '{name}' for field: {field}. There are {known}"))
        })
    }

    /// What to do about functions that are C#, if they are.
    fn why_not_script(&self) -> Option<String> {
        let linq = self.maps.iter().find(|map| is_linq(map))?;
        let shown: String = linq.trim_start().chars().take(30).collect();
        let named = linq.split("docs.").nth(1).unwrap_or_default();
        let named: String = named.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let collection = if named.is_empty() { "Collection" } else { &named };
        let mut reason = format!(
            "its map is C# ('{}..'); Magpie runs JavaScript: write map('{collection}', x => ({{ .. }}))",
            shown.escape_debug()
        );
        if self.is_map_reduce() {
            reason.push_str(
                " and the reduce as groupBy(x => x.Key).aggregate(g => ({ Key: g.key, Count: g.values.reduce((sum, x) => \
                 sum + x.Count, 0) })), and put it under the same name",
            );
        }
        Some(reason)
    }

    pub(crate) fn validate_name(&self) -> Result<(), IndexError> {
        let name = &self.name;
        let refuse = |text: String| Err(IndexError::InvalidName(text));
        if let Some(auto) = &self.auto {
            // Fields have any name.
            return if auto.name() == *name { Ok(()) } else { refuse(format!("'{name}' is no auto index")) };
        }
        if name.is_empty() {
            return refuse("Index name cannot be empty!".to_owned());
        }
        if name.len() > NAME_BYTES_MAX {
            return refuse(format!("Index name has {} bytes; the limit is {NAME_BYTES_MAX}", name.len()));
        }
        for prefix in [REPLACEMENT_PREFIX, AUTO_PREFIX] {
            if name.to_lowercase().starts_with(&prefix.to_lowercase()) {
                return refuse(format!(
                    "Index name must not start with '{prefix}'. Provided index name: '{name}'"
                ));
            }
        }
        if !name.chars().all(|c| c.is_alphanumeric() || "_-./".contains(c)) {
            return refuse(format!(
                "Index name '{name}' is not permitted. Only letters, digits and characters ('_', '-', '.', '/') are allowed."
            ));
        }
        if name.contains("//") {
            return refuse(format!(
                "Index name '{name}' is not permitted. Index name cannot contain // (double slashes)"
            ));
        }
        if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
            return refuse(format!(
                "Index name '{name}' is not permitted. If a name contains '.' character then it must be surrounded by other \
                 allowed characters."
            ));
        }
        Ok(())
    }

    /// What decides the rows besides the scripts, each part as text.
    #[must_use]
    pub fn deciding_parts(&self) -> Vec<String> {
        let mut parts = Vec::new();
        for (name, options) in &self.fields {
            parts.push(format!("field {name} {options:?}"));
        }
        // How an index is checked before it is built changes nothing in what is built.
        for (key, value) in self.configuration.iter().filter(|(key, _)| *key != LAWS) {
            parts.push(format!("configuration {key} {value:?}"));
        }
        parts.push(format!("output {:?}", self.output_collection()));
        parts.push(format!(
            "references {:?} {:?}",
            self.pattern_for_output_reduce_to_collection_references, self.pattern_references_collection_name
        ));
        parts
    }
}

/// Whether a map is C#: behind comments it starts with `from` or `docs`.
fn is_linq(map: &str) -> bool {
    let mut text = map.trim_start();
    loop {
        let rest = if let Some(comment) = text.strip_prefix("//") {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(comment) = text.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, rest)| rest)
        } else {
            break;
        };
        text = rest.trim_start();
    }
    ["from", "docs"].iter().any(|word| {
        text.strip_prefix(word).is_some_and(|rest| rest.starts_with(|c: char| c == '.' || c.is_whitespace()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_nulls_and_what_older_versions_stored() {
        let text = r#"{"Name":"A/B","Maps":["map('X', x => x)"],"Reduce":null,"Fields":null,"Priority":null,"Nope":[1]}"#;
        let definition: IndexDefinition = serde_json::from_str(text).unwrap();
        assert_eq!(definition.name, "A/B");
        assert_eq!(definition.priority, Priority::Normal);
        assert!(!definition.is_map_reduce());
        definition.validate().unwrap();
    }

    #[test]
    fn refuses_names_that_would_not_work() {
        for name in ["", "ReplacementOf/X", "auto/x", "a b", "a?b", &"x".repeat(300)] {
            let definition = IndexDefinition {
                name: name.to_owned(),
                maps: vec!["map('X', x => x)".to_owned()],
                ..IndexDefinition::default()
            };
            assert!(definition.validate().is_err(), "{name}");
        }
    }

    #[test]
    fn tells_linq_from_javascript() {
        assert!(is_linq("from order in docs.Orders select new {}"));
        assert!(is_linq("// c\n /* d */ docs.Orders.Select(..)"));
        assert!(!is_linq("fromage(1)"));
        assert!(!is_linq("map('docs', d => d)"));
    }
}
