//! Documents that an index `load`s: who must be mapped again when one of them changes.
//!
//! While a document is mapped, [`BatchLoads`] notes the ids it loads, also those that do not exist. They are kept in
//! two rows: document -> loaded ids, and loaded id -> document. The index reads the changes of mapped and loaded
//! collections as one feed with one progress, so a loaded document that was changed, created or deleted is a change
//! like any other: whoever loads it is mapped again, as the snapshot has it now.
//!
//! A document that very many load does not fit into one batch. Then the rest waits in the pending row
//! (`etag u64, loaded id, last document done`), progress stays before the change, and the next batch goes on there.

use crate::error::IndexError;
use crate::function::{FunctionError, FunctionErrorKind, Loads};
use crate::keys::{Kind, Reader, Slot, behind, put_bytes};
use crate::limits;
use magpie_store::kv::{Batch, Direction, Space, View};
use magpie_store::{Collection, DatabaseView, Document, DocumentId, Etag};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Lower-cased ids of loaded documents.
pub(crate) type LoadedIds = BTreeSet<Box<str>>;

/// The loads of one batch: every document is read once, and what each map loads is noted.
pub(crate) struct BatchLoads<'v> {
    view: &'v DatabaseView<'v>,
    /// By lower-cased id.
    cache: HashMap<Box<str>, Option<Arc<Document>>>,
    cached_bytes: usize,
    tracked: LoadedIds,
    failure: Option<IndexError>,
    too_many: bool,
}

impl<'v> BatchLoads<'v> {
    pub fn new(view: &'v DatabaseView<'v>) -> Self {
        let (cache, tracked) = (HashMap::new(), BTreeSet::new());
        Self { view, cache, cached_bytes: 0, tracked, failure: None, too_many: false }
    }

    /// Ends the map of one document: the lower-cased ids that it loaded.
    ///
    /// # Errors
    /// What failed in the store, and with `Ok(Err(..))` a map that loads too many documents.
    pub fn take(&mut self) -> Result<(LoadedIds, Result<(), FunctionError>), IndexError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let allowed = if std::mem::take(&mut self.too_many) {
            Err(FunctionError {
                kind: FunctionErrorKind::Limit,
                message: format!(
                    "the map loads more than {} documents (loads_per_document_max)",
                    limits::LOADS_PER_DOCUMENT_MAX
                ),
                position: None,
            })
        } else {
            Ok(())
        };
        Ok((std::mem::take(&mut self.tracked), allowed))
    }

    fn read(&mut self, id: &DocumentId) -> Option<Arc<Document>> {
        if let Some(known) = self.cache.get(id.key()) {
            return known.clone();
        }
        let found = match self.view.document(id) {
            Ok(found) => found.map(Arc::new),
            Err(error) => {
                self.failure.get_or_insert(error.into());
                None
            }
        };
        let bytes = found.as_ref().map_or(0, |document| document.body.len() + document.metadata.len());
        self.cached_bytes += bytes + id.key().len();
        if self.cached_bytes > limits::LOADS_CACHE_BYTES_MAX {
            self.cache.clear();
            self.cached_bytes = bytes;
        }
        self.cache.insert(id.key().into(), found.clone());
        found
    }
}

impl Loads for BatchLoads<'_> {
    fn load(&mut self, id: &str, collection: Option<&Collection>, tracked: bool) -> Option<Arc<Document>> {
        // Text that cannot be an id is the id of nothing, and never will be.
        let id = DocumentId::new(id).ok()?;
        if tracked && !self.tracked.contains(id.key()) {
            if self.tracked.len() >= limits::LOADS_PER_DOCUMENT_MAX {
                self.too_many = true;
                return None;
            }
            self.tracked.insert(id.key().into());
        }
        let found = self.read(&id)?;
        collection.is_none_or(|wanted| *wanted == found.collection).then_some(found)
    }
}

/// Replaces the ids that a document loads by new ones.
///
/// # Errors
/// When the store fails or a row is damaged.
pub(crate) fn replace(
    view: &dyn View,
    slot: Slot,
    document_key: &str,
    loaded: &LoadedIds,
    batch: &mut Batch,
) -> Result<(), IndexError> {
    let row_key = slot.key(Kind::DocumentLoads, document_key.as_bytes());
    let old_row = view.get(Space::Index, &row_key)?;
    let mut new_row = Vec::new();
    loaded.iter().for_each(|id| put_bytes(id.as_bytes(), &mut new_row));
    if old_row.as_deref().unwrap_or_default() == new_row {
        return Ok(());
    }
    let mut reader = Reader(old_row.as_deref().unwrap_or_default());
    let mut old = BTreeSet::new();
    while !reader.is_empty() {
        old.insert(text(reader.bytes()?)?);
    }
    for gone in old.iter().filter(|id| !loaded.contains(*id)) {
        batch.delete(Space::Index, loaded_by(slot, gone, document_key));
    }
    for new in loaded.iter().filter(|id| !old.contains(*id)) {
        batch.put(Space::Index, loaded_by(slot, new, document_key), Vec::new());
    }
    if new_row.is_empty() {
        batch.delete(Space::Index, row_key);
    } else {
        batch.put(Space::Index, row_key, new_row);
    }
    Ok(())
}

/// The lower-cased ids of the documents that load this one, in order, behind `after` if it is given.
pub(crate) fn users<'v>(
    view: &'v dyn View,
    slot: Slot,
    loaded_key: &str,
    after: Option<&str>,
) -> impl Iterator<Item = Result<Box<str>, IndexError>> + use<'v> {
    let prefix = loaded_by(slot, loaded_key, "");
    let from = match after {
        // Ids hold no zero byte, so this is the first key behind that of `after`.
        Some(after) => [prefix.as_slice(), after.as_bytes(), &[0]].concat(),
        None => prefix.clone(),
    };
    let to = behind(&prefix);
    let prefix_length = prefix.len();
    view.scan(Space::Index, &from, &to, Direction::Forward).map(move |row| {
        let (key, _) = row?;
        text(key.get(prefix_length..).unwrap_or_default())
    })
}

fn loaded_by(slot: Slot, loaded_key: &str, document_key: &str) -> Vec<u8> {
    slot.key(Kind::LoadedBy, &[loaded_key.as_bytes(), &[0], document_key.as_bytes()].concat())
}

fn text(bytes: &[u8]) -> Result<Box<str>, IndexError> {
    let text = std::str::from_utf8(bytes);
    text.map(Into::into).map_err(|_| IndexError::Corrupt("an id in a reference row is not UTF-8".to_owned()))
}

/// A change of a loaded document whose users are not all mapped again yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingLoad {
    /// The etag of the change: what progress reaches when all are done.
    pub etag: Etag,
    /// The lower-cased id of the loaded document.
    pub loaded: Box<str>,
    /// The lower-cased id of the last document done.
    pub after: Box<str>,
}

impl PendingLoad {
    /// The pending change of an index, if there is one.
    ///
    /// # Errors
    /// When the store fails or the row is damaged.
    pub fn read(view: &dyn View, slot: Slot) -> Result<Option<Self>, IndexError> {
        let Some(row) = view.get(Space::Index, &slot.key(Kind::PendingLoad, &[]))? else { return Ok(None) };
        let mut reader = Reader(&row);
        let etag = Etag(reader.length()? as u64);
        Ok(Some(Self { etag, loaded: text(reader.bytes()?)?, after: text(reader.bytes()?)? }))
    }

    pub fn write(&self, slot: Slot, batch: &mut Batch) {
        let mut row = Vec::new();
        crate::keys::put_length(usize::try_from(self.etag.0).unwrap_or(usize::MAX), &mut row);
        put_bytes(self.loaded.as_bytes(), &mut row);
        put_bytes(self.after.as_bytes(), &mut row);
        batch.put(Space::Index, slot.key(Kind::PendingLoad, &[]), row);
    }

    pub fn clear(slot: Slot, batch: &mut Batch) {
        batch.delete(Space::Index, slot.key(Kind::PendingLoad, &[]));
    }
}
