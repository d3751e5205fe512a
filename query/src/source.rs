//! What a query reads: the seam to the store and the indexes. One [`Source`] is one consistent state.

use crate::auto_index::{AutoFields, GroupFields};
use crate::auto_read::{IndexedGroups, SourceAuto};
use crate::error::QueryError;
use crate::fold::Fold;
use crate::limits;
use magpie_indexes::definition::FieldIndexing;
use magpie_indexes::key_filter::KeyFilter;
use magpie_indexes::terms::{Need, TermField, TermSpan};
use magpie_store::json::{Json, Object};
use magpie_store::{Document, DocumentId, Etag, ordered};
use std::cmp::Ordering;

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
/// Results of an index as JSON text, with the `@metadata` that clients see.
pub type ResultTexts<'s> = Box<dyn Iterator<Item = Result<Vec<u8>, QueryError>> + 's>;
/// Results of a map-reduce index with what they were made of, one after the other.
pub type ReducedResults<'s> = Box<dyn Iterator<Item = Result<ReducedResult, QueryError>> + 's>;
/// Entries of a map-only index one after the other.
pub type Entries<'s> = Box<dyn Iterator<Item = Result<(DocumentId, Object), QueryError>> + 's>;

/// A result of a map-reduce index, or an entry of a map-only one.
#[derive(Debug, Clone, PartialEq)]
pub enum IndexRow {
    /// A result.
    Result(Object),
    /// The document, whose id may be lower-cased, and its map output.
    Entry(DocumentId, Object),
}

/// Results or entries of an index one after the other.
pub type IndexRows<'s> = Box<dyn Iterator<Item = Result<IndexRow, QueryError>> + 's>;

/// A row at its place in the order of a field.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedRow {
    /// The row.
    pub row: IndexRow,
    /// The number of its group: rows of a lower one come before it, whatever else is ordered by.
    pub group: u64,
    /// Whether the rows of its group come in the order of a query that orders by this field alone.
    pub exact: bool,
}

/// All rows of an index in the order of a field.
pub struct RowsInOrder<'s> {
    /// The rows.
    pub rows: Box<dyn Iterator<Item = Result<PlacedRow, QueryError>> + 's>,
    /// How many rows have only values that this order leaves out; they do not come.
    pub left_out: u64,
}

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

    /// The compare-exchange value of this name, with its index, which changes with it.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn compare_exchange(&self, _key: &str) -> Result<Option<(Json, u64)>, QueryError> {
        Ok(None)
    }

    /// The value of a document's counter; `None` also for text that cannot be an id.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn counter(&self, _id: &str, _name: &str) -> Result<Option<i64>, QueryError> {
        Ok(None)
    }

    /// The names and values of a document's counters, ordered by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn counters(&self, _id: &str) -> Result<Vec<(String, i64)>, QueryError> {
        Ok(Vec::new())
    }

    /// The index of the compare-exchange value that was changed last; 0 when there never was one.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn last_compare_exchange(&self) -> Result<u64, QueryError> {
        Ok(0)
    }

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

    /// The index name to report for a dynamic query that uses these fields. Tells that an auto index with terms of `terms`
    /// would help such queries.
    fn auto_index_name(&self, collection: &str, fields: &AutoFields, _terms: &[TermField]) -> String {
        fields.index_name(collection)
    }

    /// The auto index that has these fields, if there is one that is worth reading. Tells that terms of `terms` are wanted
    /// of it.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn auto_index(
        &self,
        _collection: &str,
        _fields: &AutoFields,
        _terms: &[TermField],
    ) -> Result<Option<Box<dyn SourceAuto + '_>>, QueryError> {
        Ok(None)
    }

    /// The index name to report for a query with `group by`, and what its auto index counts and sums. Tells that such an
    /// index would help.
    fn auto_groups(&self, collection: &str, fields: GroupFields) -> (String, GroupFields) {
        (fields.index_name(collection), fields)
    }

    /// The groups of the auto index that has these fields, if there is one that is worth reading.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn groups(
        &self,
        _collection: &str,
        _fields: &GroupFields,
    ) -> Result<Option<IndexedGroups<'_>>, QueryError> {
        Ok(None)
    }
}

/// A result with what it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct ReducedResult {
    /// The values of the group-by fields in order.
    pub key: Vec<Json>,
    /// The reduced value, before finalize.
    pub reduced: Json,
    /// The result as everybody sees it.
    pub result: Object,
}

/// Reduce keys that follow each other, in the order of results. A bound may be the first values of a key alone; it
/// stands before all keys that start with it. The default range has every key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyRange {
    /// The bound that no key is before.
    pub from: Vec<Json>,
    /// The bound that every key is before; `None` when there is none.
    pub to: Option<Vec<Json>>,
}

impl KeyRange {
    /// Whether a key is in the range.
    #[must_use]
    pub fn contains(&self, key: &[Json]) -> bool {
        let is_before = |bound: &[Json]| {
            key.iter().zip(bound).map(|(value, end)| ordered::compare(value, end)).find(|o| o.is_ne())
                == Some(Ordering::Less)
        };
        !is_before(&self.from) && self.to.as_ref().is_none_or(|to| is_before(to))
    }
}

/// Results up to [`limits::REDUCE_RESULTS_MAX`], then an error.
pub(crate) fn bounded(results: ReducedResults<'_>) -> ReducedResults<'_> {
    Box::new(results.enumerate().map(|(number, result)| {
        if number < limits::REDUCE_RESULTS_MAX {
            return result;
        }
        Err(QueryError::LimitReached {
            name: "reduce_results_max",
            limit: limits::REDUCE_RESULTS_MAX,
            unit: "results read by REDUCE BY",
            advice: "make an index that groups by fewer fields",
        })
    }))
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

    /// Whether `exact()` compares with values as they are, besides the lower-cased ones.
    fn keeps_originals(&self) -> bool {
        false
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

    /// [`Self::results`] as text, when the index is a map-reduce index that can give it faster than as objects.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn result_texts(&self) -> Result<Option<ResultTexts<'_>>, QueryError> {
        Ok(None)
    }

    /// The results that can have these values in these fields, when the index can find them faster than by reading
    /// all. It must give every result that equals them as RQL compares (ignoring case, numbers as text, elements of
    /// arrays); it may give more, since they are filtered again.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn candidates(&self, _equals: &[(String, Json)]) -> Result<Option<Results<'_>>, QueryError> {
        Ok(None)
    }

    /// [`Self::results`] whose keys `keys` lets through, in the same order. More may come, since they are filtered again.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn results_within(&self, _keys: &KeyFilter) -> Result<Results<'_>, QueryError> {
        self.results()
    }

    /// The results or entries that can have what is needed, in the order of [`Self::results`] or [`Self::entries`]: all
    /// that have it and whose keys `keys` lets through, and perhaps others. `None` when the index cannot tell faster
    /// than by reading all.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn rows_by_terms(&self, _need: &Need, _keys: &KeyFilter) -> Result<Option<IndexRows<'_>>, QueryError> {
        Ok(None)
    }

    /// How many results or entries have this single term in a field; `None` when the index does not know without
    /// counting.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn count_of_term(&self, _field: &TermField, _term: &TermSpan) -> Result<Option<u64>, QueryError> {
        Ok(None)
    }

    /// All results or entries in the order of a field; `None` when the index does not have them so.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn rows_in_order(
        &self,
        _field: &TermField,
        _descending: bool,
    ) -> Result<Option<RowsInOrder<'_>>, QueryError> {
        Ok(None)
    }

    /// Tells that terms of these fields would have made a query faster.
    fn want_terms(&self, _fields: Vec<TermField>) {}

    /// The names of the group-by fields of a map-reduce index in the order of its keys; none for a map-only index.
    fn group_by(&self) -> Vec<String>;

    /// The results whose keys are in `range`, in the order of their keys; none for a map-only index.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn reduced_results(&self, range: &KeyRange) -> Result<ReducedResults<'_>, QueryError>;

    /// [`Self::reduced_results`] of all keys that `keys` lets through. More may come, since they are filtered again.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn reduced_results_within(&self, _keys: &KeyFilter) -> Result<ReducedResults<'_>, QueryError> {
        self.reduced_results(&KeyRange::default())
    }

    /// Folds reduced values to one with the index's reduce. `key` has a value for each group-by field, null where the
    /// values come from several; `values` are not empty, and in the order of the keys they come from.
    ///
    /// # Errors
    /// [`QueryError::Call`] when the function gives no value.
    fn reduce(&self, key: &[Json], values: Vec<Json>) -> Result<Json, QueryError>;

    /// What the index's finalize makes of a reduced value, if it has one; `None` when it drops it.
    ///
    /// # Errors
    /// [`QueryError::Call`] when the function fails.
    fn finalize(&self, _key: &[Json], reduced: Json) -> Result<Option<Json>, QueryError> {
        Ok(Some(reduced))
    }

    /// The reduced value of all results whose keys are in `range`, as the value of `key`; `None` when there are none.
    /// This reads and folds them; an index that keeps partial values of key ranges can do with less.
    ///
    /// # Errors
    /// When the index cannot be read, or holds more results than [`limits::REDUCE_RESULTS_MAX`], or reduce fails.
    fn reduce_range(&self, range: &KeyRange, key: &[Json]) -> Result<Option<Json>, QueryError> {
        let mut fold = Fold::default();
        let mut reduce = |values| self.reduce(key, values);
        for result in bounded(self.reduced_results(range)?) {
            fold.push(result?.reduced, &mut reduce)?;
        }
        fold.finish(&mut reduce)
    }

    /// The entries of a map-only index: document (its id may be lower-cased) and map output, in a fixed
    /// order with those of one document together; none for a map-reduce index.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn entries(&self) -> Result<Entries<'_>, QueryError>;
}

#[cfg(test)]
mod tests {
    use super::{ReducedResult, bounded};
    use crate::error::QueryError;
    use crate::limits::REDUCE_RESULTS_MAX;
    use magpie_store::json::{Json, Object};

    #[test]
    fn results_that_are_read_have_a_limit() {
        let one = || Ok(ReducedResult { key: Vec::new(), reduced: Json::Null, result: Object::new() });
        let mut results = bounded(Box::new(std::iter::repeat_with(one)));
        assert!(results.nth(REDUCE_RESULTS_MAX - 1).is_some_and(|result| result.is_ok()));
        assert!(matches!(
            results.next(),
            Some(Err(QueryError::LimitReached { name: "reduce_results_max", .. }))
        ));
    }
}
