//! How many results have a term, for terms that a query can ask for exactly: whole texts, and null. So the total of such a
//! query is known without reading what fits. And how many results have several terms in a field: where none has, two
//! conditions on the field must hold for one term. A count is a row; its value is the number, and no row stands for none.

use super::field::{Family, FieldState, TermFields};
use super::posting::{Class, Terms, are_several, closed, may_be_cut};
use super::{TermField, TermSpan};
use crate::error::IndexError;
use crate::index::Index;
use crate::keys::{Kind, Reader, Slot, put_length};
use crate::progress::Progress;
use magpie_store::DatabaseView;
use magpie_store::kv::{Batch, Space, View};
use std::collections::BTreeMap;

/// Changes of counts, by the number of the field and the term.
#[derive(Debug, Default)]
pub(super) struct CountChanges(BTreeMap<(u16, Vec<u8>), i64>);

/// Whether the results with a term are counted.
pub(super) fn is_counted(family: Family, term: &[u8]) -> bool {
    let class = term.first().copied().unwrap_or_default();
    let is_exact = class == Class::Plain as u8 || class == Class::Null as u8;
    family == Family::Text && is_exact && !may_be_cut(term)
}

pub(super) fn count_key(slot: Slot, number: u16, term: &[u8]) -> Vec<u8> {
    slot.key(Kind::TermCount, &[&number.to_be_bytes(), term].concat())
}

/// Reads the value of a count's row.
pub(super) fn decode(row: &[u8]) -> Result<u64, IndexError> {
    Ok(Reader(row).length()? as u64)
}

impl CountChanges {
    pub fn add(&mut self, state: &FieldState, term: &[u8], change: i64) {
        if is_counted(state.field.family, term) {
            *self.0.entry((state.number, term.to_vec())).or_default() += change;
        }
    }

    /// Adds or takes away the terms of one result, as a whole.
    pub fn add_several(&mut self, state: &FieldState, terms: &Terms, change: i64) {
        if are_several(terms) {
            *self.0.entry((state.number, closed(Class::Several, &[]))).or_default() += change;
        }
    }

    /// Adds the changed rows to the batch that changes the terms.
    pub fn write(self, view: &dyn View, slot: Slot, batch: &mut Batch) -> Result<(), IndexError> {
        for ((number, term), change) in self.0 {
            if change == 0 {
                continue;
            }
            let key = count_key(slot, number, &term);
            let before = view.get(Space::Index, &key)?.map_or(Ok(0), |row| decode(&row))?;
            let after = before.checked_add_signed(change);
            let after = after.ok_or_else(|| IndexError::Corrupt("the count of a term".to_owned()))?;
            if after == 0 {
                batch.delete(Space::Index, key);
            } else {
                let mut row = Vec::new();
                put_length(usize::try_from(after).unwrap_or(usize::MAX), &mut row);
                batch.put(Space::Index, key, row);
            }
        }
        Ok(())
    }
}

impl Index {
    /// How many results or map outputs have this single term in a field; `None` when that is not counted.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn count_of_term(
        &self,
        view: &DatabaseView<'_>,
        field: &TermField,
        term: &TermSpan,
    ) -> Result<Option<u64>, IndexError> {
        let progress = Progress::read(view.kv(), self.slot())?;
        if progress.terms == 0 || !term.single || !is_counted(field.family, &term.from) {
            return Ok(None);
        }
        let fields = TermFields::read(view.kv(), self.slot(), &progress)?;
        let Some(number) = fields.complete(field) else { return Ok(None) };
        let row = view.kv().get(Space::Index, &count_key(self.slot(), number, &term.from))?;
        row.map_or(Ok(0), |row| decode(&row)).map(Some)
    }
}
