//! The `select` clause: from a document, entry or result to a row.

use crate::arithmetic::{Calculated, Operand, Operands, shortened};
use crate::error::QueryError;
use crate::load::Loaded;
use crate::term::Step;
pub(crate) use magpie_indexes::auto::paths::{read, read_from};
use magpie_store::json::{Json, Object};

/// What a row holds.
#[derive(Debug, Clone)]
pub(crate) enum Projection {
    /// The whole document or result.
    Whole,
    /// The listed fields.
    Fields(Vec<Projected>),
    /// The whole document that `load` loads under this name.
    Loaded(String),
    /// The object that the query's JavaScript gives: what it gives first when it is one call, else the whole.
    Script {
        /// Whether it is the call of a function.
        is_call: bool,
    },
}

/// One field of a row.
#[derive(Debug, Clone)]
pub(crate) struct Projected {
    /// Its name in the row.
    pub(crate) name: String,
    /// Where it comes from.
    pub(crate) from: From,
    /// Whether the index has it stored.
    pub(crate) stored: bool,
    /// Whether it is left out of the row when it is missing: paths that begin with a name of the query. Others are null.
    pub(crate) named: bool,
}

/// Where a field of a row comes from.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// The document's id.
    Id,
    /// The whole document.
    Whole,
    /// A constant.
    Value(Json),
    /// A path.
    Path(Vec<Step>),
    /// Arithmetic.
    Calculated(Box<Calculated>),
    /// A path in a document that `load` loads; what it is in is missing with the document.
    Loaded(String, Vec<Step>),
    /// What the query's JavaScript gives in this place.
    Script(usize),
    /// The counter in this place.
    Counter(usize),
}

/// What a row is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) fields: &'a Object,
    /// The metadata as the client sent it.
    pub(crate) metadata: Option<&'a Object>,
    /// The index entry that led to the document.
    pub(crate) entry: Option<&'a Object>,
    /// When the document was written.
    pub(crate) last_modified: Option<&'a str>,
    /// What `load` loaded.
    pub(crate) loaded: &'a Loaded,
    /// What the query's JavaScript gave.
    pub(crate) scripted: Option<&'a Json>,
    /// The values of the counters that the row shows.
    pub(crate) counters: &'a [Json],
}

/// The fields of a row. Also whether all of them came from the index entry.
///
/// # Errors
/// Those of arithmetic.
pub(crate) fn row(items: &[Projected], origin: &Origin<'_>) -> Result<(Object, bool), QueryError> {
    let mut row = Object::new();
    let mut all_stored = !items.is_empty();
    for item in items {
        if item.stored
            && let From::Path(path) = &item.from
            && let Some(entry) = origin.entry
        {
            match read_from(entry, path) {
                Some(value) => row.insert(item.name.as_str(), flat(value)),
                None => {
                    all_stored = false;
                    // A stored field that this entry lacks stays out, unless the document has one of that name.
                    if let Some(value) = origin.read(path) {
                        row.insert(item.name.as_str(), value);
                    }
                }
            }
            continue;
        }
        all_stored = false;
        let value = match &item.from {
            From::Id => origin.id.map(Json::from),
            From::Whole => Some(origin.whole()),
            From::Value(value) => Some(value.clone()),
            From::Path(path) => origin.read(path),
            From::Calculated(calculated) => Some(calculated.value(origin)?),
            From::Loaded(alias, path) => match origin.loaded(alias) {
                Some(document) => read(document, path).map(without_state),
                None => continue,
            },
            From::Counter(place) => origin.counters.get(*place).cloned(),
            From::Script(place) => {
                let all = origin.scripted.and_then(Json::as_array).unwrap_or_default();
                all.get(*place).cloned().map(without_state)
            }
        };
        match value {
            None if item.named => {}
            value => {
                row.insert(item.name.as_str(), value.unwrap_or(Json::Null));
            }
        }
    }
    Ok((row, all_stored))
}

impl Operands for Origin<'_> {
    fn value(&self, operand: &Operand) -> Option<Json> {
        let entry = self.entry.filter(|_| operand.stored);
        entry.and_then(|entry| read_from(entry, &operand.path)).or_else(|| self.read(&operand.path))
    }

    fn describe(&self) -> String {
        match self.id {
            Some(id) => format!("document '{id}'"),
            None => format!("row {}", shortened(&self.fields.to_string())),
        }
    }
}

impl Origin<'_> {
    /// The row inside of another: with what tells where it comes from.
    fn whole(&self) -> Json {
        let mut fields = self.fields.clone();
        if let (Some(metadata), Some(id)) = (self.metadata, self.id) {
            let mut metadata = metadata.clone();
            metadata.insert("@id", id);
            fields.insert("@metadata", metadata);
        }
        Json::Object(fields)
    }

    /// A loaded document that is there.
    pub(crate) fn loaded(&self, alias: &str) -> Option<&Json> {
        let (_, document) = self.loaded.iter().find(|(name, _)| name == alias)?;
        Some(document).filter(|document| !document.is_null())
    }

    fn read(&self, path: &[Step]) -> Option<Json> {
        if let (Some(metadata), Some((Step::Member(name), rest))) = (self.metadata, path.split_first())
            && name == "@metadata"
        {
            return match rest {
                [] => Some(Json::Object(metadata.clone())),
                [Step::Member(name)] if name == "@last-modified" => self.last_modified.map(Json::from),
                rest => read_from(metadata, rest),
            };
        }
        read_from(self.fields, path)
    }
}

/// A value of a row: documents in it tell their ids and collections, not their state.
pub(crate) fn without_state(value: Json) -> Json {
    match value {
        Json::Array(items) => Json::Array(items.into_iter().map(without_state).collect()),
        Json::Object(object) => {
            let inside = |(name, value): (&str, &Json)| match value {
                Json::Object(metadata) if name == "@metadata" && metadata.get("@id").is_some() => {
                    let mut metadata = metadata.clone();
                    metadata.remove("@change-vector");
                    metadata.remove("@last-modified");
                    (name.to_owned(), Json::Object(metadata))
                }
                value => (name.to_owned(), without_state(value.clone())),
            };
            Json::Object(object.iter().map(inside).collect())
        }
        other => other,
    }
}

/// A stored array comes back without nested arrays.
fn flat(value: Json) -> Json {
    match value {
        Json::Array(items) if items.iter().any(|item| matches!(item, Json::Array(_))) => {
            let mut all = Vec::with_capacity(items.len());
            for item in items {
                match flat(item) {
                    Json::Array(inner) => all.extend(inner),
                    other => all.push(other),
                }
            }
            Json::Array(all)
        }
        other => other,
    }
}

/// About how many bytes a value has as JSON.
pub(crate) fn bytes(value: &Json) -> usize {
    match value {
        Json::Null | Json::Bool(_) => 5,
        Json::Number(number) => number.to_string().len() + 1,
        Json::ScriptNumber(number) => number.to_string().len() + 3,
        Json::String(text) => text.len() + 3,
        Json::Array(items) => 2 + items.iter().map(bytes).sum::<usize>(),
        Json::Object(object) => {
            2 + object.iter().map(|(key, value)| key.len() + 4 + bytes(value)).sum::<usize>()
        }
    }
}
