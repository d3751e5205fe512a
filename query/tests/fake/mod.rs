//! A database in memory for the tests of this crate: documents in etag order, and map-only or map-reduce indexes whose
//! contents are given.

use magpie_indexes::auto::AutoDefinition;
use magpie_indexes::terms::TermField;
use magpie_query::{
    AutoFields, Documents, Entries, GroupFields, KeyRange, QueryError, ReducedResult, ReducedResults,
    Results, Source, SourceCollection, SourceIndex,
};
use magpie_store::json::{Json, Object, parse};
use magpie_store::{Collection, Document, DocumentId, Etag, Timestamp};
use std::cell::RefCell;

/// The documents and indexes.
#[derive(Default)]
pub struct FakeDatabase {
    pub documents: Vec<Document>,
    pub indexes: Vec<FakeIndex>,
    pub autos: RefCell<Vec<AutoDefinition>>,
}

/// One index and all it holds.
#[derive(Clone, Default)]
pub struct FakeIndex {
    pub name: String,
    pub fields: Vec<String>,
    pub entries: Vec<(String, Object)>,
    pub results: Vec<Object>,
    /// The group-by fields; the values of the others are sums.
    pub group_by: Vec<String>,
    pub is_map_reduce: bool,
}

impl FakeDatabase {
    /// Adds a document as a client would send it, with its collection in `@metadata`.
    pub fn put(&mut self, id: &str, document: &Json) {
        let mut body = document.as_object().expect("a document is an object").clone();
        let metadata = match body.remove("@metadata") {
            Some(Json::Object(metadata)) => metadata,
            _ => Object::new(),
        };
        let collection = match metadata.get("@collection").and_then(Json::as_str) {
            Some(name) => Collection::new(name).expect("a valid collection"),
            None => Collection::empty(),
        };
        self.documents.push(Document {
            id: DocumentId::new(id).expect("a valid id"),
            collection,
            etag: Etag(self.documents.len() as u64 + 1),
            last_modified: Timestamp(17_800_000_000_000_000),
            body: body.to_string().into(),
            metadata: metadata.to_string().into(),
        });
    }

    /// Adds a document of `collection` from its JSON text.
    #[allow(dead_code, reason = "not every test file uses it")]
    pub fn put_text(&mut self, id: &str, collection: &str, text: &str) {
        let mut document = object(text);
        let mut metadata = Object::new();
        metadata.insert("@collection", collection);
        document.insert("@metadata", metadata);
        self.put(id, &Json::Object(document));
    }
}

/// Reads an object.
#[allow(dead_code, reason = "not every test file uses it")]
pub fn object(text: &str) -> Object {
    match parse(text.as_bytes()) {
        Ok(Json::Object(object)) => object,
        other => panic!("{text}: {other:?}"),
    }
}

impl FakeDatabase {
    /// The auto index with these fields and those of earlier queries.
    fn widened(&self, mut auto: AutoDefinition) -> AutoDefinition {
        let mut autos = self.autos.borrow_mut();
        match autos.iter_mut().find(|there| there.is_like(&auto)) {
            Some(there) => {
                there.widen(&auto);
                auto = there.clone();
            }
            None => autos.push(auto.clone()),
        }
        auto
    }
}

impl Source for FakeDatabase {
    fn database_id(&self) -> &str {
        "abcdefghijklmnopqrstuv"
    }

    fn last_etag(&self) -> Etag {
        Etag(self.documents.len() as u64)
    }

    fn documents(&self, collection: SourceCollection<'_>) -> Result<Documents<'_>, QueryError> {
        let wanted = match collection {
            SourceCollection::Named(name) => Some(name.to_lowercase()),
            SourceCollection::All => None,
        };
        Ok(Box::new(
            self.documents
                .iter()
                .filter(move |document| match &wanted {
                    Some(name) => document.collection.key() == name,
                    None => document.collection.key() != "@hilo",
                })
                .map(|document| Ok(document.clone())),
        ))
    }

    fn documents_by_prefix(&self, prefix: &str) -> Result<Documents<'_>, QueryError> {
        let prefix = prefix.to_lowercase();
        let mut found: Vec<&Document> =
            self.documents.iter().filter(|document| document.id.key().starts_with(&prefix)).collect();
        found.sort_by_key(|document| document.id.key());
        Ok(Box::new(found.into_iter().map(|document| Ok(document.clone()))))
    }

    fn document(&self, id: &str) -> Result<Option<Document>, QueryError> {
        let key = id.to_lowercase();
        Ok(self.documents.iter().find(|document| document.id.key() == key).cloned())
    }

    fn auto_index_name(&self, collection: &str, fields: &AutoFields, _: &[TermField]) -> String {
        self.widened(AutoDefinition::map(collection, fields.clone())).name()
    }

    fn auto_groups(&self, collection: &str, fields: GroupFields) -> (String, GroupFields) {
        let widened = self.widened(AutoDefinition::groups(collection, fields));
        (widened.name(), widened.groups.unwrap_or_default())
    }

    fn index(&self, name: &str) -> Result<Option<Box<dyn SourceIndex + '_>>, QueryError> {
        let found = self.indexes.iter().find(|index| index.name.eq_ignore_ascii_case(name));
        Ok(found.map(|index| Box::new(index.clone()) as Box<dyn SourceIndex>))
    }
}

impl SourceIndex for FakeIndex {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn is_map_reduce(&self) -> bool {
        self.is_map_reduce
    }

    fn has_field(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field == name)
    }

    fn is_stale(&self) -> Result<bool, QueryError> {
        Ok(false)
    }

    fn version(&self) -> Result<u64, QueryError> {
        Ok(1)
    }

    fn results(&self) -> Result<Results<'_>, QueryError> {
        Ok(Box::new(self.results.iter().map(|result| Ok(result.clone()))))
    }

    fn group_by(&self) -> Vec<String> {
        self.group_by.clone()
    }

    fn reduced_results(&self, range: &KeyRange) -> Result<ReducedResults<'_>, QueryError> {
        let range = range.clone();
        let reduced = self.results.iter().map(|result| ReducedResult {
            key: self.group_by.iter().map(|field| result.get(field).cloned().unwrap_or_default()).collect(),
            reduced: Json::Object(result.clone()),
            result: result.clone(),
        });
        Ok(Box::new(reduced.filter(move |result| range.contains(&result.key)).map(Ok)))
    }

    fn reduce(&self, key: &[Json], values: Vec<Json>) -> Result<Json, QueryError> {
        let mut row = Object::new();
        for (field, value) in self.group_by.iter().zip(key) {
            row.insert(field.as_str(), value.clone());
        }
        for field in self.fields.iter().filter(|field| !self.group_by.contains(field)) {
            let sum: i64 = values.iter().filter_map(|value| value.get(field)?.as_i64()).sum();
            row.insert(field.as_str(), sum);
        }
        Ok(Json::Object(row))
    }

    fn entries(&self) -> Result<Entries<'_>, QueryError> {
        Ok(Box::new(self.entries.iter().map(|(id, entry)| Ok((DocumentId::new(id)?, entry.clone())))))
    }
}
