//! Steps 4 and 5: a document's outputs, within the limits, against those it had before.

use super::{Gathered, Indexer};
use crate::error::IndexError;
use crate::faults::FaultAction;
use crate::function::{Emitted, FunctionError, FunctionErrorKind, StoredOutput};
use crate::keys::{Kind, Reader, entry_key, put_bytes, rest};
use crate::limits;
use crate::losses::{self, LossKind, LossSource, Lost};
use crate::reduce_tree::ItemChange;
use crate::references;
use magpie_store::json::parse_stored;
use magpie_store::kv::{Direction, Space};
use magpie_store::{CollectionFilter, Document, DocumentId, ordered};
use std::collections::BTreeMap;

/// A map output as it is stored: (reduce key in its ordered form, value in its stored text).
pub(crate) type EncodedOutput = (Vec<u8>, Vec<u8>);

impl Indexer {
    /// Maps one document as it is now, or forgets it when it is gone. Gives the bytes of its body. `first` says that the
    /// index surely has no rows of it, which spares looking for them.
    pub(super) fn map_document(
        &mut self,
        id: &DocumentId,
        first: bool,
        gathered: &mut Gathered<'_>,
    ) -> Result<usize, IndexError> {
        let view = gathered.view;
        let document = gathered.reader.read(id)?.filter(|document| maps(&self.mapped, document));
        let (mut emitted, mut failure, lost) = match &document {
            Some(document) => self.outputs_of(document, gathered),
            None => (Vec::new(), None, Lost::new()),
        };
        if self.loaded.is_some() {
            let (loaded, allowed) = gathered.loads.take()?;
            if let Err(error) = allowed {
                emitted.clear();
                failure.get_or_insert(error);
            }
            // A map that fails is tried again when what it loaded changes.
            references::replace(view.kv(), self.slot, id.key(), &loaded, &mut gathered.batch)?;
        }
        // Whoever is mapped again because of a load is known by its key only; what is shown is the id as written.
        let id = document.as_ref().map_or(id, |document| &document.id);
        self.note_fault(id, failure.as_ref(), gathered)?;
        self.note_losses((LossSource::Map, id.key().as_bytes(), id.as_str()), &lost, gathered)?;
        gathered.progress.outputs_max = gathered.progress.outputs_max.max(emitted.len() as u64);
        let counts = &mut gathered.counts;
        match &document {
            Some(document) => {
                counts.mapped += 1;
                counts.map_failed += u64::from(failure.is_some());
                counts.document_bytes += document.body.len() as u64;
            }
            None => counts.deleted += 1,
        }
        // Those of a map-reduce index are its results.
        counts.outputs += if self.shape.group_by.is_some() { 0 } else { emitted.len() as u64 };
        gathered.emitted_bytes += emitted.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if self.shape.group_by.is_some() {
            self.difference(id, first, emitted, gathered)?;
        } else {
            self.replace_outputs(id, first, emitted, gathered)?;
        }
        Ok(document.map_or(0, |document| document.body.len()))
    }

    /// Calls the map: the document's outputs as they are stored, or why there are none, and what they lost.
    fn outputs_of(
        &mut self,
        document: &Document,
        gathered: &mut Gathered<'_>,
    ) -> (Vec<EncodedOutput>, Option<FunctionError>, Lost) {
        let mut lost = Lost::new();
        gathered.progress.map_attempts += 1;
        let has_reduce = self.shape.group_by.is_some();
        let outcome = match self.function.map_stored(document, &mut gathered.loads) {
            Some(outcome) => outcome.and_then(|outputs| checked(outputs, has_reduce, &mut lost)),
            None => {
                let outcome = self.function.map(document, &mut gathered.loads);
                outcome.and_then(|outputs| encode(outputs, has_reduce, &mut lost))
            }
        };
        lost.extend(self.function.inexact_fields().iter().map(|path| (LossKind::Inexact, path.clone())));
        match outcome {
            Ok(emitted) => (emitted, None, lost),
            Err(error) => (Vec::new(), Some(error), lost),
        }
    }

    /// Maps a document that the index has never seen and that loads nothing. Its outputs are the caller's to store.
    pub(super) fn map_new(
        &mut self,
        document: &Document,
        gathered: &mut Gathered<'_>,
    ) -> Result<Vec<EncodedOutput>, IndexError> {
        let (emitted, failure, lost) = self.outputs_of(document, gathered);
        let id = &document.id;
        self.note_fault(id, failure.as_ref(), gathered)?;
        self.note_losses((LossSource::Map, id.key().as_bytes(), id.as_str()), &lost, gathered)?;
        gathered.progress.outputs_max = gathered.progress.outputs_max.max(emitted.len() as u64);
        Ok(emitted)
    }

    /// Records or clears the document's map error.
    fn note_fault(
        &self,
        id: &DocumentId,
        failure: Option<&FunctionError>,
        gathered: &mut Gathered<'_>,
    ) -> Result<(), IndexError> {
        if failure.is_none() && gathered.progress.failing_documents == 0 {
            return Ok(());
        }
        let key = id.key().as_bytes();
        let was = FaultAction::Map.is_recorded(gathered.view.kv(), self.slot, key)?;
        if let Some(error) = failure {
            FaultAction::Map.record(self.slot, key, id.as_str(), error, gathered.now, &mut gathered.batch);
            gathered.progress.failing_documents += u64::from(!was);
        } else if was {
            FaultAction::Map.clear(self.slot, key, &mut gathered.batch);
            gathered.progress.failing_documents -= 1;
        }
        Ok(())
    }

    /// Records what a document or reduce key lost, or that it loses nothing any more.
    pub(super) fn note_losses(
        &self,
        subject: (LossSource, &[u8], &str),
        lost: &Lost,
        gathered: &mut Gathered<'_>,
    ) -> Result<(), IndexError> {
        if lost.is_empty() && gathered.progress.lossy == 0 {
            return Ok(());
        }
        let view = gathered.view.kv();
        let more = gathered.losses.replace(view, self.slot, subject, lost, &mut gathered.batch)?;
        gathered.progress.lossy = gathered.progress.lossy.saturating_add_signed(more);
        Ok(())
    }

    /// Step 5: the document's new map entries against its old ones, by emit position.
    fn difference(
        &self,
        id: &DocumentId,
        first: bool,
        emitted: Vec<EncodedOutput>,
        gathered: &mut Gathered<'_>,
    ) -> Result<(), IndexError> {
        let row_key = self.slot.key(Kind::DocumentKeys, id.key().as_bytes());
        let old_row = if first { None } else { gathered.view.kv().get(Space::Index, &row_key)? };
        let mut new_row = Vec::new();
        emitted.iter().for_each(|(key, _)| put_bytes(key, &mut new_row));
        let mut old_keys = Reader(old_row.as_deref().unwrap_or_default());
        let mut position = 0;
        let mut emitted = emitted.into_iter();
        loop {
            let old = if old_keys.is_empty() { None } else { Some(old_keys.bytes()?) };
            let new = emitted.next();
            if old.is_none() && new.is_none() {
                break;
            }
            let entry = entry_key(id.key(), position);
            if let Some(old) = old
                && new.as_ref().is_none_or(|(key, _)| key != old)
            {
                let changes = gathered.trees.entry(old.to_vec()).or_default();
                changes.push(ItemChange { key: entry.clone(), value: None });
            }
            if let Some((key, value)) = new {
                gathered.trees.entry(key).or_default().push(ItemChange { key: entry, value: Some(value) });
            }
            position += 1;
        }
        match old_row {
            Some(old) if old == new_row => {}
            _ if !new_row.is_empty() => gathered.batch.put(Space::Index, row_key, new_row),
            Some(_) => gathered.batch.delete(Space::Index, row_key),
            None => {}
        }
        Ok(())
    }

    /// The outputs of a map-only index: one row each.
    fn replace_outputs(
        &self,
        id: &DocumentId,
        first: bool,
        emitted: Vec<EncodedOutput>,
        gathered: &mut Gathered<'_>,
    ) -> Result<(), IndexError> {
        let key_at = |position| self.slot.key(Kind::MapOutput, &entry_key(id.key(), position));
        let new_count = emitted.len() as u64;
        let mut behind = key_at(u32::MAX);
        behind.push(0);
        let mut old = BTreeMap::new();
        if !first {
            for row in gathered.view.kv().scan(Space::Index, &key_at(0), &behind, Direction::Forward) {
                old.extend([row?]);
            }
        }
        let old_count = old.len() as u64;
        for (position, (_, value)) in (0..).zip(emitted) {
            let key = key_at(position);
            let before = old.remove(&key);
            gathered.change_terms(self.slot, rest(&key)?, before.as_deref(), Some(&value))?;
            gathered.batch.put(Space::Index, key, value);
        }
        for (key, before) in old {
            gathered.change_terms(self.slot, rest(&key)?, Some(&before), None)?;
            gathered.batch.delete(Space::Index, key);
        }
        gathered.progress.results = (gathered.progress.results + new_count).saturating_sub(old_count);
        Ok(())
    }
}

/// Whether an index of these collections maps a document. One of all documents leaves out those that indexes make.
pub(crate) fn maps(mapped: &CollectionFilter, document: &Document) -> bool {
    mapped.contains(&document.collection) && !(*mapped == CollectionFilter::All && document.is_artificial())
}

/// The outputs of one document as they are stored, within the limits; adds to `lost` what is no number in them.
///
/// # Errors
/// A limit error, when they are too many or a reduce key is too large.
pub(crate) fn encode(
    emitted: Vec<Emitted>,
    has_reduce: bool,
    lost: &mut Lost,
) -> Result<Vec<EncodedOutput>, FunctionError> {
    check_count(emitted.len())?;
    let encode_one = |output: Emitted| {
        let mut key = Vec::new();
        output.key.iter().for_each(|value| ordered::encode(value, &mut key));
        check_key(&key)?;
        losses::of_output(&output.value, lost);
        let mut value = Vec::new();
        output.value.write_stored_to(&mut value);
        Ok((key, value))
    };
    // Without a reduce, an output in which nothing is defined is no entry at all, as in RavenDB.
    let has_entry =
        |output: &Emitted| has_reduce || output.value.as_object().is_none_or(|fields| !fields.is_empty());
    emitted.into_iter().filter(has_entry).map(encode_one).collect()
}

/// [`encode`] for outputs that came in the form in which they are stored.
fn checked(
    outputs: Vec<StoredOutput>,
    has_reduce: bool,
    lost: &mut Lost,
) -> Result<Vec<EncodedOutput>, FunctionError> {
    check_count(outputs.len())?;
    let mut encoded = Vec::with_capacity(outputs.len());
    for output in outputs {
        if !has_reduce && output.value == b"{}" {
            continue;
        }
        check_key(&output.key)?;
        if output.odd_numbers
            && let Ok(value) = parse_stored(&output.value)
        {
            losses::of_output(&value, lost);
        }
        encoded.push((output.key, output.value));
    }
    Ok(encoded)
}

fn check_count(count: usize) -> Result<(), FunctionError> {
    if count <= limits::EMITS_PER_DOCUMENT_MAX {
        return Ok(());
    }
    Err(beyond(format!(
        "the map gives {count} outputs for this document; the limit (emits_per_document_max) is {}",
        limits::EMITS_PER_DOCUMENT_MAX
    )))
}

fn check_key(key: &[u8]) -> Result<(), FunctionError> {
    if key.len() <= limits::REDUCE_KEY_BYTES_MAX {
        return Ok(());
    }
    Err(beyond(format!(
        "the reduce key has {} bytes; the limit (reduce_key_bytes_max) is {}",
        key.len(),
        limits::REDUCE_KEY_BYTES_MAX
    )))
}

fn beyond(message: String) -> FunctionError {
    FunctionError { kind: FunctionErrorKind::Limit, message, position: None }
}
