//! Making the terms of wanted fields from the results that are there, a bounded step at a time.

use super::changes::{put, value};
use super::counts::CountChanges;
use super::field::{FieldState, Phase, TermField, TermFields};
use super::posting::terms;
use crate::error::IndexError;
use crate::keys::{self, Kind, Slot};
use crate::limits;
use crate::progress::Progress;
use crate::stored_result::StoredResult;
use magpie_store::json::Json;
use magpie_store::kv::{Batch, Direction, Space, View};

/// What one step did.
pub struct TermStep {
    /// The rows to commit, progress included.
    pub batch: Batch,
    /// The counters once the batch is committed.
    pub progress: Progress,
    /// Whether there is more to do.
    pub left: bool,
}

/// The next step of making the terms of a build, of at most `rows_max` results, with new fields if some are wanted; `None`
/// when all terms are there. The terms do not depend on how large the steps are.
///
/// # Errors
/// When the store fails or a row is damaged.
pub fn step(
    view: &dyn View,
    slot: Slot,
    is_map_reduce: bool,
    progress: &Progress,
    wanted: &[TermField],
    rows_max: usize,
) -> Result<Option<TermStep>, IndexError> {
    let mut fields = TermFields::read(view, slot, progress)?;
    let mut batch = Batch::new();
    let mut progress = *progress;
    if !fields.valid {
        for kind in [Kind::Term, Kind::TermCount, Kind::TermField] {
            let (from, to) = slot.range_of(kind);
            batch.delete_range(Space::Index, from, to);
        }
        for (number, state) in (0..).zip(&mut fields.list) {
            *state = FieldState { number, phase: Phase::Building(Vec::new()), field: state.field.clone() };
            state.write(slot, &mut batch);
        }
        progress.terms = fields.list.len() as u64;
        progress.write(slot, &mut batch);
        return Ok(Some(TermStep { batch, progress, left: true }));
    }
    for field in wanted {
        let is_there = fields.list.iter().any(|state| state.field == *field);
        if !is_there && fields.list.len() < limits::TERM_FIELDS_MAX {
            let number = fields.list.iter().map(|state| state.number + 1).max().unwrap_or(0);
            let phase = Phase::Building(Vec::new());
            let state = FieldState { number, field: field.clone(), phase };
            state.write(slot, &mut batch);
            fields.list.push(state);
            progress.terms += 1;
        }
    }
    let building = |state: &FieldState| matches!(state.phase, Phase::Building(_));
    let Some(first) = fields.list.iter().find(|state| building(state)) else {
        return Ok(None);
    };
    let phase = first.phase.clone();
    let mut together: Vec<_> = fields.list.iter_mut().filter(|state| state.phase == phase).collect();
    build((view, slot, is_map_reduce), &mut together, rows_max, &mut batch)?;
    together.iter().for_each(|state| state.write(slot, &mut batch));
    progress.write(slot, &mut batch);
    let left = fields.list.iter().any(building);
    Ok(Some(TermStep { batch, progress, left }))
}

/// The fields of a build that have terms, in the order in which they were wanted, and whether all their terms are there.
///
/// # Errors
/// When the store fails or a row is damaged.
pub fn fields(view: &dyn View, slot: Slot) -> Result<Vec<(TermField, bool)>, IndexError> {
    let fields = TermFields::read(view, slot, &Progress::read(view, slot)?)?;
    let is_complete = |state: &FieldState| fields.valid && state.phase == Phase::Complete;
    Ok(fields.list.iter().map(|state| (state.field.clone(), is_complete(state))).collect())
}

/// Adds the terms of the next results to fields that are equally far, and notes how far they are then.
fn build(
    (view, slot, is_map_reduce): (&dyn View, Slot, bool),
    fields: &mut [&mut FieldState],
    rows_max: usize,
    batch: &mut Batch,
) -> Result<(), IndexError> {
    let mut cursor = match fields.first().map(|state| &state.phase) {
        Some(Phase::Building(cursor)) => cursor.clone(),
        _ => return Ok(()),
    };
    let kind = if is_map_reduce { Kind::Result } else { Kind::MapOutput };
    let mut from = slot.key(kind, &cursor);
    if !cursor.is_empty() {
        from.push(0);
    }
    let mut bytes = 0;
    let rows = view.scan(Space::Index, &from, &slot.range_of(kind).1, Direction::Forward);
    let mut counts = CountChanges::default();
    for (count, row) in rows.enumerate() {
        let (key, row) = row?;
        if count >= rows_max || bytes + batch.bytes() >= limits::TERM_STEP_BYTES_MAX {
            fields.iter_mut().for_each(|state| state.phase = Phase::Building(cursor.clone()));
            return counts.write(view, slot, batch);
        }
        let subject = keys::rest(&key)?;
        if let Some(result) = visible(kind, &row)? {
            for state in fields.iter() {
                let terms = terms(&state.field, &result);
                terms.keys().for_each(|term| counts.add(state, term, 1));
                counts.add_several(state, &terms, 1);
                put(slot, state, terms, subject, batch);
            }
        }
        cursor = subject.to_vec();
        bytes += key.len() + row.len();
    }
    fields.iter_mut().for_each(|state| state.phase = Phase::Complete);
    counts.write(view, slot, batch)
}

/// The result or map output of a row; `None` when its key has none.
pub(super) fn visible(kind: Kind, row: &[u8]) -> Result<Option<Json>, IndexError> {
    if kind == Kind::MapOutput {
        return value(row).map(Some);
    }
    StoredResult::decode(row)?.visible().map(value).transpose()
}
