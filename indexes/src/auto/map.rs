//! The map of an auto index: from a document to the terms that the paths of its fields find in it.
//!
//! A document has one entry, an object with a member for each field: its values as `crate::terms::value` finds them, one
//! alone or several as an array. What stands there has the same terms again, so that the terms of an entry are those of
//! the document. A field without values stands there as an empty array, and a document without any has an entry all the
//! same: it is found by what it has not.

use super::AutoDefinition;
use crate::error::IndexError;
use crate::function::{
    Emitted, FunctionError, FunctionErrorKind, FunctionShape, FunctionSource, IndexFunction, Loads,
};
use crate::terms::value::{Step, Term, any_at, any_member};
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use std::sync::Arc;

/// The steps of a path from its text: names joined by dots, each with `[]` or not.
#[must_use]
pub fn path_of(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in text.split('.') {
        match part.strip_suffix("[]") {
            Some(name) => steps.extend([Step::Member(name.to_owned()), Step::Each]),
            None => steps.push(Step::Member(part.to_owned())),
        }
    }
    steps
}

/// The functions of an auto index. Metadata of documents names the database.
#[derive(Debug, Clone)]
pub(crate) struct AutoSource {
    shape: FunctionShape,
    canonical: String,
    map: Arc<AutoMap>,
}

/// What the map reads.
#[derive(Debug)]
struct AutoMap {
    fields: Vec<(String, Vec<Step>)>,
    needs_metadata: bool,
    database_id: String,
}

impl AutoSource {
    /// The functions of a definition.
    ///
    /// # Errors
    /// When the collection cannot be one.
    pub fn new(definition: &AutoDefinition, database_id: &str) -> Result<Self, IndexError> {
        let fields: Vec<_> =
            definition.fields.iter().map(|(path, _)| (path.to_owned(), path_of(path))).collect();
        let names = fields.iter().map(|(name, _)| name.clone()).collect();
        let needs_metadata = fields.iter().any(|(_, path)| is_metadata(path));
        Ok(Self {
            shape: FunctionShape::new(definition.collections()?, None, names),
            canonical: format!("auto {definition:?}"),
            map: Arc::new(AutoMap { fields, needs_metadata, database_id: database_id.to_owned() }),
        })
    }

    /// The entry of a document.
    pub fn entry(&self, document: &Document) -> Json {
        self.map.entry(document)
    }
}

fn is_metadata(path: &[Step]) -> bool {
    matches!(path, [Step::Member(first), Step::Member(_), ..] if first == "@metadata")
}

impl AutoMap {
    fn entry(&self, document: &Document) -> Json {
        let fields = document.body_json();
        let metadata = self.needs_metadata.then(|| document.wire_metadata(&self.database_id));
        let mut entry = Object::new();
        for (name, path) in &self.fields {
            let mut values = Vec::new();
            let mut keep = |term: &Term<'_>| {
                values.push(value(term));
                false
            };
            match (&metadata, path.as_slice()) {
                (Some(metadata), [Step::Member(_), Step::Member(name), rest @ ..]) if is_metadata(path) => {
                    any_member(metadata, name, rest, &mut keep);
                }
                _ => {
                    any_at(&fields, path, &mut keep);
                }
            }
            let only = if values.len() == 1 { values.pop() } else { None };
            entry.insert(name.as_str(), only.unwrap_or(Json::Array(values)));
        }
        Json::Object(entry)
    }
}

/// A value that has this term alone. All objects have the same one.
fn value(term: &Term<'_>) -> Json {
    match term {
        Term::Null => Json::Null,
        Term::Bool(value) => Json::Bool(*value),
        Term::Number(number) => Json::Number(number.clone().into_owned()),
        Term::NonFinite(number) => Json::ScriptNumber((*number).clone()),
        Term::Text(text) => Json::from(*text),
        Term::Object => Json::Object(Object::new()),
    }
}

impl FunctionSource for AutoSource {
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

impl IndexFunction for AutoSource {
    fn map(&mut self, document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        Ok(vec![Emitted { key: Vec::new(), value: self.entry(document) }])
    }

    fn reduce(&mut self, _: &[Json], _: &[Json]) -> Result<Json, FunctionError> {
        let message = "an auto index without groups is not reduced".to_owned();
        Err(FunctionError { kind: FunctionErrorKind::Definition, message, position: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auto::AutoFields;
    use magpie_store::kv::memory::MemoryKv;
    use magpie_store::{Command, Database, DocumentId, NewDocument, Timestamp};

    #[test]
    fn an_entry_holds_the_values_of_each_path() {
        let database = Database::open(Arc::new(MemoryKv::new()), "0123456789abcdefghijkl").unwrap();
        let text =
            r#"{"a":[1.0,[null,{"x":2}]],"b":"text","c":[],"@metadata":{"@collection":"Docs","own":7}}"#;
        let document = NewDocument::parse("docs/1", text.as_bytes()).unwrap();
        let put = Command::Put { id: "docs/1".to_owned(), document, expected: None };
        database.write(vec![put], Timestamp(0)).unwrap();
        let document = database.view().document(&DocumentId::new("docs/1").unwrap()).unwrap().unwrap();
        let mut fields = AutoFields::default();
        for path in ["a", "a.x", "a[].x", "b.length", "c", "d", "@metadata.own"] {
            fields.add(path, false);
        }
        let source = AutoSource::new(&AutoDefinition::map("docs", fields), database.view().database_id());
        assert_eq!(
            source.unwrap().entry(&document).to_string(),
            r#"{"@metadata.own":7,"a":[1.0,null,{}],"a.x":2,"a[].x":2,"b.length":4,"c":[],"d":[]}"#
        );
    }
}
