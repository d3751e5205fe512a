//! Removing the documents of an output that no index has any more: it was deleted, or writes elsewhere now.
//!
//! The order to do so is a row next to the definitions, written in the batch that ends the output, so it is carried out
//! whatever crashes when. Each step is taken under the lock of the definitions: an index that is put with the same
//! collection takes the row away, and its own follow-up sees to the documents.

use super::follow_up::deletions;
use crate::error::IndexError;
use crate::keys::meta;
use magpie_store::kv::{Batch, Direction, Space};
use magpie_store::{Collection, Database, DatabaseView, StoreError, Timestamp};

/// Orders the removal of all documents that an index made in these collections.
pub(crate) fn retire<'c>(collections: impl Iterator<Item = &'c Collection>, batch: &mut Batch) {
    for collection in collections {
        batch.put(Space::Meta, meta::retired(collection.key()), collection.as_str());
    }
}

/// Takes an order back.
pub(crate) fn keep<'c>(collections: impl Iterator<Item = &'c Collection>, batch: &mut Batch) {
    collections.for_each(|collection| batch.delete(Space::Meta, meta::retired(collection.key())));
}

/// The collections whose documents are to be removed.
///
/// # Errors
/// When the store fails or a row is damaged.
pub(crate) fn retired(view: &DatabaseView<'_>) -> Result<Vec<Collection>, IndexError> {
    let (from, to) = meta::RETIRED;
    view.kv()
        .scan(Space::Meta, from, to, Direction::Forward)
        .map(|row| {
            let (_, name) = row?;
            let name =
                String::from_utf8(name).map_err(|_| StoreError::Corrupt("a retired output".to_owned()))?;
            Ok(Collection::new(&name)?)
        })
        .collect()
}

/// Removes some of the documents that are to be removed; gives whether there may be more. The caller holds the lock of
/// the definitions.
///
/// # Errors
/// When the store fails.
pub(crate) fn step(database: &Database, now: Timestamp) -> Result<bool, IndexError> {
    let view = database.view();
    let Some(collection) = retired(&view)?.into_iter().next() else { return Ok(false) };
    let documents = deletions(&view, &collection)?;
    drop(view);
    let mut batch = Batch::new();
    if documents.is_empty() {
        keep(std::iter::once(&collection), &mut batch);
    }
    match database.commit_derived_with(batch, documents, now) {
        // A document that somebody wrote meanwhile is looked at again.
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
