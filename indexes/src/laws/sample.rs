//! Which of the user's documents a check takes: the newest, the oldest and some between, the same each time.

use super::budget::LawBudget;
use crate::error::IndexError;
use crate::function::FunctionShape;
use crate::indexer::{filter_of, maps};
use magpie_store::{CollectionFilter, DatabaseView, Document, Etag, StoreError};
use std::collections::HashSet;

/// Places between the oldest and the newest document at which a few are taken.
const PLACES: u64 = 8;

/// Documents of the collections that the index maps, ordered by lower-cased id as its entries are.
pub(crate) fn sample(
    view: &DatabaseView<'_>,
    shape: &FunctionShape,
    budget: &LawBudget,
) -> Result<Vec<Document>, IndexError> {
    let filter = filter_of(&shape.collections);
    let mut sample =
        Sample { filter: &filter, budget, bytes: 0, known: HashSet::new(), documents: Vec::new() };
    let third = budget.documents_max.div_ceil(3);
    sample.take(third, view.documents_newest_first(&filter)?)?;
    sample.take(third, view.documents_in_etag_order(&filter, Etag(0))?)?;
    let last = view.last_etag_of(&filter)?.0;
    let step = last / (PLACES + 1);
    let some = usize::try_from(PLACES).map_or(1, |places| third / places).max(1);
    for place in 1..=PLACES {
        sample.take(some, view.documents_in_etag_order(&filter, Etag(step * place))?)?;
    }
    let mut documents = sample.documents;
    documents.sort_by(|left, right| left.id.key().cmp(right.id.key()));
    Ok(documents)
}

struct Sample<'s> {
    filter: &'s CollectionFilter,
    budget: &'s LawBudget,
    bytes: usize,
    known: HashSet<Box<str>>,
    documents: Vec<Document>,
}

impl Sample<'_> {
    /// Takes the next `count`; those that are known already count, so that overlapping runs end.
    fn take(
        &mut self,
        count: usize,
        documents: impl Iterator<Item = Result<Document, StoreError>>,
    ) -> Result<(), IndexError> {
        for document in documents.take(count) {
            let document = document?;
            let bytes = self.bytes.saturating_add(document.body.len());
            let is_full =
                self.documents.len() >= self.budget.documents_max || bytes > self.budget.document_bytes_max;
            if is_full {
                return Ok(());
            }
            if maps(self.filter, &document) && self.known.insert(document.id.key().into()) {
                self.bytes = bytes;
                self.documents.push(document);
            }
        }
        Ok(())
    }
}
