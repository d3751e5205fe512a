//! Dynamic queries that are answered with the help of an auto index: it tells which documents can fit, how many do, or
//! which come first. What it tells holds in the query's own snapshot, so nobody waits for it and nothing is stale; where
//! it does not tell, the documents of the collection are read.

use crate::auto_index::AutoFields;
use crate::error::QueryError;
use crate::limits;
use crate::order::OrderBy;
use crate::plan::{Access, Plan};
use crate::source::{Documents, Source, SourceCollection};
use magpie_indexes::Index;
use magpie_indexes::auto::{AutoDefinition, Group, read_groups};
use magpie_indexes::limits::AUTO_DOCUMENTS_MIN;
use magpie_indexes::terms::{AutoReader, Need, TermField, TermSpan};
use magpie_store::{DatabaseView, Document, DocumentId, Etag};
use std::sync::Arc;

/// An auto index in the same state as its [`Source`].
pub trait SourceAuto {
    /// The documents that can have what is needed, in etag order: all that have it, and perhaps others. `None` when the
    /// index cannot tell faster than by reading all.
    ///
    /// # Errors
    /// When the store or the index cannot be read.
    fn documents(&self, need: &Need) -> Result<Option<Documents<'_>>, QueryError>;

    /// How many documents have this single term in a field; `None` when the index does not know without counting.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn count(&self, field: &TermField, term: &TermSpan) -> Result<Option<u64>, QueryError>;

    /// All documents in the order of a field, but for those of [`Self::tail`]; `None` when the index has them not so.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn in_order(
        &self,
        field: &TermField,
        descending: bool,
    ) -> Result<Option<DocumentsInOrder<'_>>, QueryError>;

    /// The documents that changed lately, which have no place in that order yet.
    fn tail(&self) -> &[Document];
}

/// The documents of an auto index in the order of a field.
pub struct DocumentsInOrder<'s> {
    /// Each document with the number of its group: those of a lower one come before it, whatever else is ordered by.
    pub documents: Box<dyn Iterator<Item = Result<(Document, u64), QueryError>> + 's>,
    /// How many documents, those of the tail included, have only values that this order leaves out; they do not come.
    pub left_out: u64,
}

/// The groups of an auto index.
pub struct IndexedGroups<'s> {
    /// The names of its sums in their order.
    pub sums: Vec<String>,
    /// The groups, in no order.
    pub rows: Box<dyn Iterator<Item = Result<Group, QueryError>> + 's>,
}

/// The auto index that can help with a plan, if there is one.
pub(crate) fn of<'s>(
    source: &'s dyn Source,
    plan: &Plan,
) -> Result<Option<Box<dyn SourceAuto + 's>>, QueryError> {
    // The order of chance hangs on which documents are read.
    let is_random = plan.order.iter().any(|key| matches!(key.by, OrderBy::Random(_)));
    let (Some(fields), Access::Collection, false) = (&plan.auto_fields, &plan.access, is_random) else {
        return Ok(None);
    };
    source.auto_index(&plan.collection, fields, &plan.wanted_terms())
}

/// Whether a collection has so few documents that reading them all is as good.
pub(crate) fn is_small(source: &dyn Source, collection: &str) -> Result<bool, QueryError> {
    let count = source.document_count(SourceCollection::Named(collection))?;
    Ok(count.is_none_or(|count| count < AUTO_DOCUMENTS_MIN))
}

/// The first of the indexes that can be read in this state and has terms of these fields, or else the first that can be
/// read. The terms are wanted of all that were looked at.
pub(crate) fn open<'v>(
    view: &'v DatabaseView<'v>,
    indexes: &[Arc<Index>],
    wanted: &[TermField],
) -> Result<Option<Box<dyn SourceAuto + 'v>>, QueryError> {
    let mut first = None;
    for index in indexes {
        if let Some(reader) = AutoReader::open(view, index)? {
            if reader.want(wanted) {
                return Ok(Some(Box::new(ViewAuto { view, reader })));
            }
            first.get_or_insert(reader);
        }
    }
    Ok(first.map(|reader| Box::new(ViewAuto { view, reader }) as Box<dyn SourceAuto>))
}

struct ViewAuto<'v> {
    view: &'v DatabaseView<'v>,
    reader: AutoReader<'v>,
}

/// A document at hand, or one that is read again when its turn comes.
enum Kept {
    Whole(Document),
    Again(DocumentId),
}

impl SourceAuto for ViewAuto<'_> {
    fn documents(&self, need: &Need) -> Result<Option<Documents<'_>>, QueryError> {
        let Some(mut ids) = self.reader.ids(need)? else { return Ok(None) };
        ids.sort_unstable_by(|left, right| left.key().cmp(right.key()));
        // Going from one to the next is worth it where they are near each other.
        let is_dense = ids.len() as u64 * 8 >= self.reader.entries();
        let mut reader = is_dense.then(|| self.view.reader());
        let mut found: Vec<(Etag, Kept)> = Vec::with_capacity(ids.len());
        let mut held = 0;
        for id in ids {
            let document = match &mut reader {
                Some(reader) => reader.read(&id)?,
                None => self.view.document(&id)?,
            };
            let Some(document) = document else { continue };
            held += document.body.len() + document.metadata.len();
            let etag = document.etag;
            let whole = held <= limits::AUTO_HELD_BYTES_MAX;
            found.push((etag, if whole { Kept::Whole(document) } else { Kept::Again(id) }));
        }
        found.sort_unstable_by_key(|(etag, _)| *etag);
        Ok(Some(Box::new(found.into_iter().filter_map(|(_, kept)| match kept {
            Kept::Whole(document) => Some(Ok(document)),
            Kept::Again(id) => self.view.document(&id).map_err(QueryError::from).transpose(),
        }))))
    }

    fn count(&self, field: &TermField, term: &TermSpan) -> Result<Option<u64>, QueryError> {
        Ok(self.reader.count(field, term)?)
    }

    fn in_order(
        &self,
        field: &TermField,
        descending: bool,
    ) -> Result<Option<DocumentsInOrder<'_>>, QueryError> {
        let Some(found) = self.reader.in_order(field, descending)? else { return Ok(None) };
        let documents = found.rows.filter_map(|placed| {
            let document = placed.map_err(QueryError::from).and_then(|placed| {
                Ok(self.view.document(&placed.id)?.map(|document| (document, placed.group)))
            });
            document.transpose()
        });
        Ok(Some(DocumentsInOrder { documents: Box::new(documents), left_out: found.left_out }))
    }

    fn tail(&self) -> &[Document] {
        self.reader.tail()
    }
}

impl Plan {
    /// The fields whose terms would make the query faster.
    pub(crate) fn wanted_terms(&self) -> Vec<TermField> {
        crate::plan::terms::wanted(&self.terms, &self.order)
    }
}

/// What an auto index would be made of.
pub(crate) fn definition(collection: &str, fields: &AutoFields) -> AutoDefinition {
    AutoDefinition::map(collection, fields.clone())
}

/// The groups of the first of the indexes that can be read in this state.
pub(crate) fn groups<'v>(
    view: &'v DatabaseView<'v>,
    indexes: &[Arc<Index>],
) -> Result<Option<IndexedGroups<'v>>, QueryError> {
    for index in indexes {
        let definition = index.definition();
        let fields = definition.auto.as_ref().and_then(|auto| auto.groups.as_ref());
        if let (Some(fields), Some(rows)) = (fields, read_groups(view, index)?) {
            let rows = rows.map(|group| group.map_err(QueryError::from));
            return Ok(Some(IndexedGroups { sums: fields.sums().cloned().collect(), rows: Box::new(rows) }));
        }
    }
    Ok(None)
}
