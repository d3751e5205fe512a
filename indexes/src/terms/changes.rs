//! Terms change with the results, in the same batch.

use super::counts::CountChanges;
use super::field::{FieldState, Phase, TermFields, posting_key};
use super::posting::{FOUND, ORDERS, Terms, terms};
use crate::error::IndexError;
use crate::keys::Slot;
use crate::progress::Progress;
use magpie_store::json::{Json, parse_stored};
use magpie_store::kv::{Batch, Space, View};

/// What a batch changes.
#[derive(Debug, Default)]
pub(crate) struct TermChanges {
    /// The fields of the index, read when the first result changes.
    fields: Option<TermFields>,
    counts: CountChanges,
}

impl TermChanges {
    /// Changes the terms of one result or map output. `before` and `after` are its stored texts, `None` when it is not
    /// there. Gives `false` when it cannot be told which terms it had: then all have to be made anew.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn change(
        &mut self,
        (view, slot, progress): (&dyn View, Slot, &Progress),
        subject: &[u8],
        (before, after): (Option<&[u8]>, Option<&[u8]>),
        batch: &mut Batch,
    ) -> Result<bool, IndexError> {
        if progress.terms == 0 || before == after {
            return Ok(true);
        }
        let fields = match &mut self.fields {
            Some(fields) => fields,
            none => none.insert(TermFields::read(view, slot, progress)?),
        };
        if !fields.valid {
            return Ok(true);
        }
        let after = after.map(value).transpose()?;
        // A damaged row is being replaced.
        let Ok(before) = before.map(value).transpose() else { return Ok(false) };
        for state in &fields.list {
            if matches!(&state.phase, Phase::Building(cursor) if subject > cursor.as_slice()) {
                continue;
            }
            let of = |value: &Option<Json>| value.as_ref().map(|value| terms(&state.field, value));
            let (old, new) = (of(&before).unwrap_or_default(), of(&after).unwrap_or_default());
            for term in old.keys().filter(|term| !new.contains_key(*term)) {
                batch.delete(Space::Index, key(slot, state, term, subject));
                self.counts.add(state, term, -1);
            }
            for term in new.keys().filter(|term| !old.contains_key(*term)) {
                self.counts.add(state, term, 1);
            }
            self.counts.add_several(state, &old, -1);
            self.counts.add_several(state, &new, 1);
            let changed = new.into_iter().filter(|(term, orders)| old.get(term) != Some(orders));
            put(slot, state, changed.collect(), subject, batch);
        }
        Ok(true)
    }

    /// Adds the rows that depend on all changes.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn finish(self, view: &dyn View, slot: Slot, batch: &mut Batch) -> Result<(), IndexError> {
        self.counts.write(view, slot, batch)
    }
}

/// Puts the postings of a result.
pub(super) fn put(slot: Slot, state: &FieldState, terms: Terms, subject: &[u8], batch: &mut Batch) {
    for (term, orders) in terms {
        batch.put(Space::Index, key(slot, state, &term, subject), if orders { ORDERS } else { FOUND });
    }
}

fn key(slot: Slot, state: &FieldState, term: &[u8], subject: &[u8]) -> Vec<u8> {
    posting_key(slot, state.number, &[term, subject].concat())
}

pub(super) fn value(stored: &[u8]) -> Result<Json, IndexError> {
    parse_stored(stored).map_err(|error| IndexError::Corrupt(format!("a result: {error}")))
}
