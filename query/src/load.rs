//! The `load` clause: documents whose ids a row holds, under names of their own.

use crate::ast::{LoadFrom, LoadItem, PathIndex, Value};
use crate::error::QueryError;
use crate::limits;
use crate::plan::{Context, literal};
use crate::projection;
use crate::source::Source;
use crate::term::{Step, steps, steps_of_text};
use magpie_store::Document;
use magpie_store::json::{Json, Object};

/// One item of the clause.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// The name of the document, or of the array of documents.
    pub(crate) alias: String,
    /// The loaded document that the path starts in; `None` for the row.
    base: Option<String>,
    /// Where the ids are; empty when the query names them.
    path: Vec<Step>,
    /// What is loaded where the path finds nothing.
    named: Option<Json>,
    /// Whether there are several.
    pub(crate) each: bool,
}

/// The documents of one row by their names; null for one that is missing.
pub(crate) type Loaded = Vec<(String, Json)>;

impl Load {
    /// `alias` is that of `from`, `before` what is loaded before. `None` for an item without an alias, which was refused
    /// before.
    ///
    /// # Errors
    /// When a parameter is missing.
    pub(crate) fn new(
        item: &LoadItem,
        alias: Option<&str>,
        before: &[Self],
        context: Context<'_>,
    ) -> Result<Option<Self>, QueryError> {
        let Some(name) = item.alias.clone() else { return Ok(None) };
        let base_of =
            |first: &str| before.iter().find(|load| load.alias == first).map(|load| load.alias.clone());
        let (base, path, named) = match &item.from {
            LoadFrom::Field(path) => {
                let first = path.parts.first().filter(|part| part.index == PathIndex::None);
                let base = first.and_then(|part| base_of(&part.name));
                let path = path.without_alias(base.as_deref().or(alias));
                (base, path.as_ref().map_or_else(Vec::new, steps), None)
            }
            LoadFrom::Value(Value::Parameter(name)) => (None, Vec::new(), Some(context.parameter(name)?)),
            LoadFrom::Value(value) => {
                let named = literal(value);
                let mut path = steps_of_text(named.as_str().unwrap_or_default());
                let first = match path.as_slice() {
                    [Step::Member(first), _, ..] => Some(first.clone()),
                    _ => None,
                };
                let base = first.as_deref().and_then(base_of);
                if base.is_some() || (first.is_some() && first.as_deref() == alias) {
                    path.remove(0);
                }
                (base, path, Some(named))
            }
        };
        Ok(Some(Self { alias: name, base, path, named, each: item.each }))
    }

    fn ids(&self, fields: &Object, loaded: &Loaded) -> Vec<Json> {
        let value = match &self.base {
            None if self.path.is_empty() && self.named.is_some() => None,
            None => projection::read_from(fields, &self.path),
            Some(base) => loaded
                .iter()
                .find(|(name, _)| name == base)
                .and_then(|(_, document)| projection::read(document, &self.path)),
        };
        match value.or_else(|| self.named.clone()) {
            None | Some(Json::Null) => Vec::new(),
            Some(Json::Array(items)) => flat(items),
            Some(one) => vec![one],
        }
    }

    fn value(
        &self,
        fields: &Object,
        loaded: &Loaded,
        source: &dyn Source,
        left: &mut usize,
    ) -> Result<Json, QueryError> {
        let ids = self.ids(fields, loaded);
        *left = left.checked_sub(ids.len()).ok_or(QueryError::LimitReached {
            name: "loads_per_row_max",
            limit: limits::LOADS_PER_ROW_MAX,
            unit: "documents loaded for one row",
            advice: "load fewer",
        })?;
        if !self.each && ids.len() > 1 {
            return Err(QueryError::Unsupported {
                message: format!(
                    "Attempted to read multiple values in field {}, but it isn't an array and should have only a single \
                     value, did you forget '[]' ?",
                    self.alias
                ),
            });
        }
        let mut documents = Vec::with_capacity(ids.len());
        for id in ids {
            let found = match id.as_str() {
                Some(id) => source.document(id)?,
                None => None,
            };
            documents.push(found.map_or(Json::Null, |document| told(&document, source)));
        }
        Ok(if self.each { Json::Array(documents) } else { documents.pop().unwrap_or_default() })
    }
}

/// Loads the documents of one row.
///
/// # Errors
/// When a name of one document has several, there are too many, or the store cannot be read.
pub(crate) fn documents(loads: &[Load], fields: &Object, source: &dyn Source) -> Result<Loaded, QueryError> {
    let mut loaded = Loaded::with_capacity(loads.len());
    let mut left = limits::LOADS_PER_ROW_MAX;
    for load in loads {
        let value = load.value(fields, &loaded, source, &mut left)?;
        loaded.push((load.alias.clone(), value));
    }
    Ok(loaded)
}

/// A document with its metadata.
fn told(document: &Document, source: &dyn Source) -> Json {
    let mut fields = document.body_json();
    let mut metadata = document.wire_metadata(source.database_id());
    if metadata.get("@collection").is_none() {
        metadata.insert("@collection", document.collection.as_str());
    }
    fields.insert("@metadata", metadata);
    Json::Object(fields)
}

fn flat(items: Vec<Json>) -> Vec<Json> {
    let mut all = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Json::Array(inner) => all.extend(flat(inner)),
            other => all.push(other),
        }
    }
    all
}
