//! One indexing batch (steps 4 to 7 of the data's way): change feed -> map -> difference -> trees -> progress.
//!
//! Everything a batch changes, its progress included, goes out in one [`Batch`], so every document is folded exactly
//! once whatever crashes when. A document is mapped as the snapshot has it now: what it was when its change was
//! written does not matter, only that nothing is missed.

use crate::border::Borders;
use crate::error::IndexError;
use crate::faults::{FaultAction, decode_key, describe_key};
use crate::function::{
    Emitted, FunctionError, FunctionErrorKind, FunctionShape, IndexFunction, MappedCollections, NoLoads,
};
use crate::keys::{Kind, Reader, Slot, entry_key, put_bytes};
use crate::limits;
use crate::progress::Progress;
use crate::reduce_tree::{ItemChange, Output, PageReducer, Presence, ReduceTree, TreeWork};
use magpie_store::json::{Json, parse_stored};
use magpie_store::kv::{Batch, Direction, Space};
use magpie_store::{CollectionFilter, DatabaseView, DocumentId, Etag, Timestamp, ordered};
use std::collections::{BTreeMap, HashSet};

/// What one batch did.
pub struct IndexedBatch {
    /// The rows to commit; `None` when no document of the index's collections changed.
    pub batch: Option<Batch>,
    /// The counters once the batch is committed.
    pub progress: Progress,
    /// The tree work of the batch.
    pub work: TreeWork,
}

/// Runs the batches of one index build, one after the other.
pub struct Indexer {
    slot: Slot,
    shape: FunctionShape,
    filter: CollectionFilter,
    borders: Borders,
    function: Box<dyn IndexFunction>,
    documents_max: usize,
}

/// The changes of one batch, gathered before the trees are touched.
struct Gathered {
    batch: Batch,
    progress: Progress,
    trees: BTreeMap<Vec<u8>, Vec<ItemChange>>,
    emitted_bytes: usize,
    now: Timestamp,
}

/// A map output as it is stored: (reduce key in its ordered form, compact JSON).
type EncodedOutput = (Vec<u8>, Vec<u8>);

/// The feed that an index with these collections reads.
#[must_use]
pub fn filter_of(collections: &MappedCollections) -> CollectionFilter {
    match collections {
        MappedCollections::All => CollectionFilter::All,
        MappedCollections::Named(names) => CollectionFilter::Named(names.clone()),
    }
}

impl Indexer {
    /// An indexer for the rows of `slot`. `function` must have been made on this thread.
    #[must_use]
    pub fn new(slot: Slot, shape: FunctionShape, borders: Borders, function: Box<dyn IndexFunction>) -> Self {
        let filter = filter_of(&shape.collections);
        Self { slot, shape, filter, borders, function, documents_max: limits::BATCH_DOCUMENTS_MAX }
    }

    /// Takes at most this many documents into one batch. The results do not depend on it.
    #[must_use]
    pub fn with_documents_max(mut self, documents_max: usize) -> Self {
        self.documents_max = documents_max.max(1);
        self
    }

    /// Indexes the next changes after `progress`.
    ///
    /// # Errors
    /// When the store fails or a row is damaged; a failing script is recorded in the batch instead.
    pub fn run_batch(
        &mut self,
        view: &DatabaseView<'_>,
        progress: Progress,
        now: Timestamp,
    ) -> Result<IndexedBatch, IndexError> {
        let newest = view.last_etag();
        let changes = view.changes_after(&self.filter, progress.etag, self.documents_max)?;
        if changes.is_empty() {
            let progress = Progress { etag: newest.max(progress.etag), ..progress };
            return Ok(IndexedBatch { batch: None, progress, work: TreeWork::default() });
        }
        let caught_up = changes.len() < self.documents_max;
        let mut gathered =
            Gathered { batch: Batch::new(), progress, trees: BTreeMap::new(), emitted_bytes: 0, now };
        let mut seen = HashSet::new();
        let mut document_bytes = 0;
        let mut cut = false;
        for change in &changes {
            if document_bytes + gathered.emitted_bytes > limits::BATCH_BYTES_MAX {
                cut = true;
                break;
            }
            if seen.insert(change.id.key().to_owned()) {
                document_bytes += self.map_document(view, &change.id, &mut gathered)?;
            }
            gathered.progress.etag = change.etag;
        }
        if caught_up && !cut {
            gathered.progress.etag = newest.max(gathered.progress.etag);
        }
        let work = self.reduce(view, &mut gathered)?;
        gathered.progress.indexed_at = u64::try_from(now.0).unwrap_or(0);
        gathered.progress.write(self.slot, &mut gathered.batch);
        Ok(IndexedBatch { batch: Some(gathered.batch), progress: gathered.progress, work })
    }

    /// Maps one document as it is now, or forgets it when it is gone. Gives the bytes of its body.
    fn map_document(
        &mut self,
        view: &DatabaseView<'_>,
        id: &DocumentId,
        gathered: &mut Gathered,
    ) -> Result<usize, IndexError> {
        let document = view.document(id)?.filter(|document| self.filter.contains(&document.collection));
        let mut emitted = Vec::new();
        let mut failure = None;
        if let Some(document) = &document {
            gathered.progress.map_attempts += 1;
            match self.function.map(document, &mut NoLoads).and_then(|emitted| self.encode(emitted)) {
                Ok(encoded) => emitted = encoded,
                Err(error) => failure = Some(error),
            }
        }
        self.note_map(view, id, failure.as_ref(), gathered)?;
        gathered.progress.outputs_max = gathered.progress.outputs_max.max(emitted.len() as u64);
        gathered.emitted_bytes += emitted.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if self.shape.group_by.is_some() {
            self.difference(view, id, emitted, gathered)?;
        } else {
            self.replace_outputs(view, id, emitted, gathered)?;
        }
        Ok(document.map_or(0, |document| document.body.len()))
    }

    /// Outputs as they are stored, within the limits.
    fn encode(&self, emitted: Vec<Emitted>) -> Result<Vec<EncodedOutput>, FunctionError> {
        let limit =
            |message: String| FunctionError { kind: FunctionErrorKind::Limit, message, position: None };
        if emitted.len() > limits::EMITS_PER_DOCUMENT_MAX {
            return Err(limit(format!(
                "the map gives {} outputs for this document; the limit (emits_per_document_max) is {}",
                emitted.len(),
                limits::EMITS_PER_DOCUMENT_MAX
            )));
        }
        let encode_one = |output: Emitted| {
            let mut key = Vec::new();
            output.key.iter().for_each(|value| ordered::encode(value, &mut key));
            if key.len() > limits::REDUCE_KEY_BYTES_MAX {
                return Err(limit(format!(
                    "the reduce key has {} bytes; the limit (reduce_key_bytes_max) is {}",
                    key.len(),
                    limits::REDUCE_KEY_BYTES_MAX
                )));
            }
            let mut value = Vec::new();
            output.value.write_stored_to(&mut value);
            Ok((key, value))
        };
        let has_entry = |output: &Emitted| {
            // Without a reduce, an output in which nothing is defined is no entry at all, as in RavenDB.
            self.shape.group_by.is_some() || output.value.as_object().is_none_or(|fields| !fields.is_empty())
        };
        emitted.into_iter().filter(has_entry).map(encode_one).collect()
    }

    /// Records or clears the document's map error.
    fn note_map(
        &self,
        view: &DatabaseView<'_>,
        id: &DocumentId,
        failure: Option<&FunctionError>,
        gathered: &mut Gathered,
    ) -> Result<(), IndexError> {
        if failure.is_none() && gathered.progress.failing_documents == 0 {
            return Ok(());
        }
        let key = id.key().as_bytes();
        let was = FaultAction::Map.is_recorded(view.kv(), self.slot, key)?;
        if let Some(error) = failure {
            FaultAction::Map.record(self.slot, key, id.as_str(), error, gathered.now, &mut gathered.batch);
            gathered.progress.failing_documents += u64::from(!was);
        } else if was {
            FaultAction::Map.clear(self.slot, key, &mut gathered.batch);
            gathered.progress.failing_documents -= 1;
        }
        Ok(())
    }

    /// Step 5: the document's new map entries against its old ones, by emit position.
    fn difference(
        &self,
        view: &DatabaseView<'_>,
        id: &DocumentId,
        emitted: Vec<EncodedOutput>,
        gathered: &mut Gathered,
    ) -> Result<(), IndexError> {
        let row_key = self.slot.key(Kind::DocumentKeys, id.key().as_bytes());
        let old_row = view.kv().get(Space::Index, &row_key)?;
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
        view: &DatabaseView<'_>,
        id: &DocumentId,
        emitted: Vec<EncodedOutput>,
        gathered: &mut Gathered,
    ) -> Result<(), IndexError> {
        let key_at = |position| self.slot.key(Kind::MapOutput, &entry_key(id.key(), position));
        let new_count = emitted.len() as u64;
        let mut old_count: u64 = 0;
        let mut behind = key_at(u32::MAX);
        behind.push(0);
        for row in view.kv().scan(Space::Index, &key_at(0), &behind, Direction::Forward) {
            let (key, _) = row?;
            if old_count >= new_count {
                gathered.batch.delete(Space::Index, key);
            }
            old_count += 1;
        }
        for (position, (_, value)) in (0..).zip(emitted) {
            gathered.batch.put(Space::Index, key_at(position), value);
        }
        gathered.progress.results = (gathered.progress.results + new_count).saturating_sub(old_count);
        Ok(())
    }

    /// Steps 6 and 7: applies the gathered changes to the trees, reduce key by reduce key.
    fn reduce(&mut self, view: &DatabaseView<'_>, gathered: &mut Gathered) -> Result<TreeWork, IndexError> {
        let mut work = TreeWork::default();
        for (reduce_key, mut changes) in std::mem::take(&mut gathered.trees) {
            changes.sort_by(|a, b| a.key.cmp(&b.key));
            let key = decode_key(&reduce_key)?;
            let mut reducer = KeyReducer { function: self.function.as_mut(), key: &key, failure: None };
            let mut tree = ReduceTree {
                view: view.kv(),
                slot: self.slot,
                reduce_key: &reduce_key,
                borders: self.borders,
                batch: &mut gathered.batch,
                work: &mut work,
            };
            let applied = tree.apply(changes, &mut reducer)?;
            let failure = reducer.failure;
            let count = |presence, of| u64::from(presence == of);
            let progress = &mut gathered.progress;
            progress.reduce_attempts += 1;
            progress.results = progress.results + count(applied.after, Presence::Value)
                - count(applied.before, Presence::Value);
            progress.failing_keys = progress.failing_keys + count(applied.after, Presence::Failed)
                - count(applied.before, Presence::Failed);
            if let Some(error) = failure.filter(|_| applied.after == Presence::Failed) {
                let subject = describe_key(self.shape.group_by.as_deref().unwrap_or_default(), &key);
                let action = FaultAction::Reduce;
                action.record(self.slot, &reduce_key, &subject, &error, gathered.now, &mut gathered.batch);
            } else if applied.before == Presence::Failed && applied.after != Presence::Failed {
                FaultAction::Reduce.clear(self.slot, &reduce_key, &mut gathered.batch);
            }
        }
        Ok(work)
    }
}

/// Folds the pages of one reduce key with the index's function.
struct KeyReducer<'a> {
    function: &'a mut dyn IndexFunction,
    key: &'a [Json],
    failure: Option<FunctionError>,
}

impl PageReducer for KeyReducer<'_> {
    fn reduce(&mut self, values: &[&[u8]]) -> Result<Output, IndexError> {
        let mut inputs = Vec::with_capacity(values.len());
        for value in values {
            let input = parse_stored(value);
            inputs.push(input.map_err(|error| IndexError::Corrupt(format!("a value to reduce: {error}")))?);
        }
        let mut bytes = Vec::new();
        let error = match self.function.reduce(self.key, &inputs) {
            Ok(output) => {
                output.write_stored_to(&mut bytes);
                if bytes.len() <= limits::REDUCE_OUTPUT_BYTES_MAX {
                    return Ok(Output::Value(bytes));
                }
                FunctionError {
                    kind: FunctionErrorKind::Limit,
                    message: format!(
                        "the reduce output has {} bytes; the limit (reduce_output_bytes_max) is {}",
                        bytes.len(),
                        limits::REDUCE_OUTPUT_BYTES_MAX
                    ),
                    position: None,
                }
            }
            Err(error) => error,
        };
        // The first failure is the cause; pages above it are not reduced at all.
        self.failure.get_or_insert(error);
        Ok(Output::Failed)
    }
}

/// The newest change that matters to an index, as of a snapshot: what [`Progress::etag`] must reach.
///
/// # Errors
/// When the store fails.
pub fn target_etag(view: &DatabaseView<'_>, filter: &CollectionFilter) -> Result<Etag, IndexError> {
    Ok(view.last_etag_of(filter)?)
}
