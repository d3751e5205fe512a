//! What a query reads: the seam to the store and the indexes. One [`Source`] is one consistent state.

use crate::auto_index::AutoFields;
use crate::error::QueryError;
use magpie_store::json::{Json, Object};
use magpie_store::{Document, DocumentId, Etag};

/// Which documents a dynamic query is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceCollection<'a> {
    /// Those of one collection; its name is compared case-insensitively, and need not exist.
    Named(&'a str),
    /// All but those of `@hilo`.
    All,
}

/// Documents one after the other.
pub type Documents<'s> = Box<dyn Iterator<Item = Result<Document, QueryError>> + 's>;
/// Results of a map-reduce index one after the other.
pub type Results<'s> = Box<dyn Iterator<Item = Result<Object, QueryError>> + 's>;
/// Entries of a map-only index one after the other.
pub type Entries<'s> = Box<dyn Iterator<Item = Result<(DocumentId, Object), QueryError>> + 's>;

/// One consistent state of a database.
pub trait Source {
    /// The database's id, part of every change vector.
    fn database_id(&self) -> &str;

    /// The etag of the newest write in this state.
    fn last_etag(&self) -> Etag;

    /// The documents of `collection` in etag order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn documents(&self, collection: SourceCollection<'_>) -> Result<Documents<'_>, QueryError>;

    /// The documents of any collection whose id starts with `prefix`, ignoring case, in the order of their ids.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn documents_by_prefix(&self, prefix: &str) -> Result<Documents<'_>, QueryError>;

    /// The document with this id, ignoring case; `None` also for text that cannot be an id.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn document(&self, id: &str) -> Result<Option<Document>, QueryError>;

    /// How many documents `collection` has, if that is known without counting.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn document_count(&self, _collection: SourceCollection<'_>) -> Result<Option<u64>, QueryError> {
        Ok(None)
    }

    /// The index of this name, ignoring case.
    ///
    /// # Errors
    /// When the indexes cannot be read.
    fn index(&self, name: &str) -> Result<Option<Box<dyn SourceIndex + '_>>, QueryError>;

    /// The index name to report for a dynamic query; see [`crate::AutoIndexNames`].
    fn auto_index_name(&self, collection: &str, fields: &AutoFields) -> String {
        fields.index_name(collection)
    }
}

/// How the values of an index field are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldIndexing {
    /// Ignoring case.
    #[default]
    Default,
    /// With case.
    Exact,
    /// Not at all: a query on the field finds nothing.
    No,
}

/// One index in the same state as its [`Source`].
pub trait SourceIndex {
    /// Its name as it was defined.
    fn name(&self) -> String;

    /// Whether it has results rather than entries.
    fn is_map_reduce(&self) -> bool;

    /// Whether queries may filter and order by a field with this name; an index that creates fields as it goes
    /// says yes to all.
    fn has_field(&self, name: &str) -> bool;

    /// How a field is compared.
    fn indexing(&self, _field: &str) -> FieldIndexing {
        FieldIndexing::Default
    }

    /// Whether `select` takes a field from the index entry rather than from the document.
    fn is_stored(&self, _field: &str) -> bool {
        false
    }

    /// Whether it is behind the documents of this state.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn is_stale(&self) -> Result<bool, QueryError>;

    /// A number that changes whenever its contents may have changed, for caches.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn version(&self) -> Result<u64, QueryError>;

    /// How many results or entries it has, if that is known without counting.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn count(&self) -> Result<Option<u64>, QueryError> {
        Ok(None)
    }

    /// The results of a map-reduce index, in a fixed order; none for a map-only index.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn results(&self) -> Result<Results<'_>, QueryError>;

    /// The results that can have these values in these fields, when the index can find them faster than by reading
    /// all. It must give every result that equals them as RQL compares (ignoring case, numbers as text, elements of
    /// arrays); it may give more, since they are filtered again.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn candidates(&self, _equals: &[(String, Json)]) -> Result<Option<Results<'_>>, QueryError> {
        Ok(None)
    }

    /// The entries of a map-only index: document (its id may be lower-cased) and map output, in a fixed
    /// order with those of one document together; none for a map-reduce index.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn entries(&self) -> Result<Entries<'_>, QueryError>;
}
