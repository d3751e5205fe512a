//! Steps 6 and 7: the gathered changes go into the trees, key by key, and their results to rows and documents.

use super::folding::{FoldedKey, KeyChanges, Trees};
use super::{Gathered, Indexer};
use crate::error::IndexError;
use crate::faults::{FaultAction, describe_key};
use crate::function::{FunctionError, FunctionErrorKind, IndexFunction};
use crate::limits;
use crate::losses::{self, LossSource, Lost};
use crate::output::ResultChange;
use crate::page_reader::PageReader;
use crate::progress::Progress;
use crate::reduce_tree::{Applied, ItemChange, PageReducer, TreeWork};
use crate::stored_result::{Finalized, Output, Presence, StoredResult};
use magpie_store::json::{Json, parse_stored};
use magpie_store::ordered;
use std::collections::VecDeque;
use std::sync::Arc;

impl Indexer {
    /// Applies the gathered changes to the trees, and has everything else follow their results in the order of the keys.
    pub(super) fn reduce(&mut self, gathered: &mut Gathered<'_>) -> Result<TreeWork, IndexError> {
        // In the order of the rows, which lie side by side then.
        let mut keys: Vec<_> = std::mem::take(&mut gathered.trees).into_iter().collect();
        keys.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let in_order = |(reduce_key, mut changes): (_, Vec<ItemChange>)| {
            changes.sort_by(|a, b| a.key.cmp(&b.key));
            KeyChanges { reduce_key, changes }
        };
        let keys: VecDeque<_> = keys.into_iter().map(in_order).collect();
        let (cores, useful) = match &self.helpers {
            Some(helpers) => (Arc::clone(&helpers.cores), helpers.useful(&keys)),
            None => return self.fold_in_turn(keys, gathered),
        };
        let further = cores.take_idle(useful);
        let Some(helpers) = self.helpers.as_ref().filter(|_| further.threads() > 0) else {
            return self.fold_in_turn(keys, gathered);
        };
        gathered.threads += further.threads();
        let trees = Trees { shape: &self.shape, slot: self.slot, borders: self.borders };
        let (view, function) = (gathered.view.kv(), self.function.as_mut());
        let ranges = trees.fold_side_by_side(view, function, keys, (helpers, further.threads()))?;
        drop(further);
        let mut work = TreeWork::default();
        for range in ranges {
            work.add(range.work);
            gathered.batch.append(range.batch);
            range.keys.into_iter().try_for_each(|folded| self.settle_folded(folded, gathered))?;
            work.add(self.fold_in_turn(range.left, gathered)?);
        }
        Ok(work)
    }

    /// Folds and settles one key after the other.
    fn fold_in_turn(
        &mut self,
        keys: VecDeque<KeyChanges>,
        gathered: &mut Gathered<'_>,
    ) -> Result<TreeWork, IndexError> {
        let mut work = TreeWork::default();
        let mut reader = PageReader::new(gathered.view.kv(), self.slot, self.borders);
        for changes in keys {
            let trees = Trees { shape: &self.shape, slot: self.slot, borders: self.borders };
            let places = (&mut reader, &mut gathered.batch, &mut work);
            let folded = trees.fold(changes, self.function.as_mut(), places)?;
            self.settle_folded(folded, gathered)?;
        }
        Ok(work)
    }

    fn settle_folded(&self, folded: FoldedKey, gathered: &mut Gathered<'_>) -> Result<(), IndexError> {
        let FoldedKey { reduce_key, key, applied, failure, detached } = folded;
        gathered.progress.detached |= detached;
        self.settle(&reduce_key, &key, &applied, failure, gathered)
    }

    /// Notes what changes did to a key: counters, errors, lost numbers, output documents.
    pub(super) fn settle(
        &self,
        reduce_key: &[u8],
        key: &[Json],
        applied: &Applied,
        failure: Option<FunctionError>,
        gathered: &mut Gathered<'_>,
    ) -> Result<(), IndexError> {
        gathered.progress.reduce_attempts += 1;
        let after = applied.after.as_ref().map(StoredResult::presence);
        gathered.counts.reduced += 1;
        gathered.counts.reduce_failed += u64::from(after == Some(Presence::Failed));
        gathered.counts.outputs += u64::from(after == Some(Presence::Value));
        if applied.before == applied.after {
            return Ok(());
        }
        count(applied, &mut gathered.progress);
        let shown = || describe_key(self.shape.group_by.as_deref().unwrap_or_default(), key);
        self.note_failing_key(reduce_key, applied, failure, &shown, gathered);
        if gathered.progress.lossy > 0 || may_lose(applied.after.as_ref()) {
            let lost = lost_by(applied.after.as_ref())?;
            self.note_losses((LossSource::Reduce, reduce_key, &shown()), &lost, gathered)?;
        }
        let before = applied.before.as_ref().and_then(StoredResult::visible);
        let after = applied.after.as_ref().and_then(StoredResult::visible);
        gathered.change_terms(self.slot, reduce_key, before, after)?;
        self.follow(reduce_key, applied, gathered)
    }

    fn note_failing_key(
        &self,
        reduce_key: &[u8],
        applied: &Applied,
        failure: Option<FunctionError>,
        shown: &dyn Fn() -> String,
        gathered: &mut Gathered<'_>,
    ) {
        let fails =
            |row: &Option<StoredResult>| row.as_ref().is_some_and(|row| row.presence() == Presence::Failed);
        if let Some(error) = failure.filter(|_| fails(&applied.after)) {
            let action = FaultAction::Reduce;
            action.record(self.slot, reduce_key, &shown(), &error, gathered.now, &mut gathered.batch);
        } else if fails(&applied.before) && !fails(&applied.after) {
            FaultAction::Reduce.clear(self.slot, reduce_key, &mut gathered.batch);
        }
    }

    /// Has the output documents follow a changed result.
    fn follow(
        &self,
        reduce_key: &[u8],
        applied: &Applied,
        gathered: &mut Gathered<'_>,
    ) -> Result<(), IndexError> {
        let writes = self.writes_documents(&gathered.progress);
        let Some(output) = &self.output else { return Ok(()) };
        let before = applied.before.as_ref().and_then(StoredResult::visible);
        let after = applied.after.as_ref().and_then(StoredResult::visible);
        if before == after {
            return Ok(());
        }
        let change = ResultChange { view: gathered.view, reduce_key, result: after };
        let documents = output.follow(&change, writes, &mut gathered.references, &mut gathered.batch)?;
        gathered.document_bytes += after.map_or(0, <[u8]>::len) * usize::from(writes);
        gathered.documents.extend(documents);
        Ok(())
    }
}

fn count(applied: &Applied, progress: &mut Progress) {
    let is = |row: &Option<StoredResult>, presence| {
        u64::from(row.as_ref().is_some_and(|row| row.presence() == presence))
    };
    progress.results =
        progress.results + is(&applied.after, Presence::Value) - is(&applied.before, Presence::Value);
    progress.failing_keys =
        progress.failing_keys + is(&applied.after, Presence::Failed) - is(&applied.before, Presence::Failed);
}

/// Whether the stored text can hold NaN or an infinity; cheap, and sometimes wrongly so.
fn may_lose(row: Option<&StoredResult>) -> bool {
    let Some(text) = row.and_then(StoredResult::visible) else { return false };
    // Results may be large, and hardly any holds these letters.
    (text.contains(&b'N') || text.contains(&b'I'))
        && text.windows(3).any(|three| three == b"NaN" || three == b"Inf")
}

fn lost_by(row: Option<&StoredResult>) -> Result<Lost, IndexError> {
    let mut lost = Lost::new();
    if let Some(text) = row.and_then(StoredResult::visible) {
        losses::of_output(&stored_value(text)?, &mut lost);
    }
    Ok(lost)
}

/// A value from its stored text.
fn stored_value(text: &[u8]) -> Result<Json, IndexError> {
    parse_stored(text).map_err(|error| IndexError::Corrupt(format!("a value to reduce: {error}")))
}

/// Folds the pages of one reduce key with the index's function.
pub(crate) struct KeyReducer<'a> {
    pub function: &'a mut dyn IndexFunction,
    pub key: &'a [Json],
    pub finalizes: bool,
    /// The first failure: the cause of all others, as pages above a failed one are not reduced at all.
    pub failure: Option<FunctionError>,
    /// The group-by fields, and whether an output had another value in one of them than the key; `None` when nobody asks.
    pub detached: Option<(&'a [String], bool)>,
}

impl KeyReducer<'_> {
    /// Notes whether the group-by fields of what everybody will see are those of the key.
    fn compare_key(&mut self, output: &Json) {
        let Some((fields, detached)) = &mut self.detached else { return };
        *detached |= fields.iter().zip(self.key).any(|(field, value)| {
            let found = output.as_object().and_then(|object| object.get(field));
            found.is_some_and(|found| ordered::compare(found, value).is_ne())
        });
    }

    /// The stored text of what a function gave, unless that failed or is too large.
    fn stored(&mut self, what: &str, outcome: Result<Json, FunctionError>) -> Option<Vec<u8>> {
        let text = outcome.map(|output| {
            let mut bytes = Vec::new();
            output.write_stored_to(&mut bytes);
            bytes
        });
        self.within_limit(what, text)
    }

    fn within_limit(&mut self, what: &str, text: Result<Vec<u8>, FunctionError>) -> Option<Vec<u8>> {
        let error = match text {
            Ok(bytes) if bytes.len() <= limits::REDUCE_OUTPUT_BYTES_MAX => return Some(bytes),
            Ok(bytes) => FunctionError {
                kind: FunctionErrorKind::Limit,
                message: format!(
                    "the {what} output has {} bytes; the limit (reduce_output_bytes_max) is {}",
                    bytes.len(),
                    limits::REDUCE_OUTPUT_BYTES_MAX
                ),
                position: None,
            },
            Err(error) => error,
        };
        self.failure.get_or_insert(error);
        None
    }
}

impl PageReducer for KeyReducer<'_> {
    fn reduce(&mut self, values: &[&[u8]]) -> Result<Output, IndexError> {
        if let Some(outcome) = self.function.reduce_stored(self.key, values) {
            if let (Ok(reduced), Some((_, detached)), false) = (&outcome, &mut self.detached, self.finalizes)
            {
                *detached |= reduced.detached;
            }
            let text = outcome.map(|reduced| reduced.text);
            return Ok(self.within_limit("reduce", text).map_or(Output::Failed, Output::Value));
        }
        let inputs = values.iter().map(|text| stored_value(text)).collect::<Result<Vec<_>, _>>()?;
        let outcome = self.function.reduce(self.key, &inputs);
        if let Ok(output) = &outcome
            && !self.finalizes
        {
            self.compare_key(output);
        }
        Ok(self.stored("reduce", outcome).map_or(Output::Failed, Output::Value))
    }

    fn finalize(&mut self, reduced: &[u8]) -> Result<Finalized, IndexError> {
        if !self.finalizes {
            return Ok(Finalized::AsReduced);
        }
        Ok(match self.function.finalize(&stored_value(reduced)?).transpose() {
            None => Finalized::Dropped,
            Some(outcome) => {
                if let Ok(output) = &outcome {
                    self.compare_key(output);
                }
                self.stored("finalize", outcome).map_or(Finalized::Failed, Finalized::Value)
            }
        })
    }
}
