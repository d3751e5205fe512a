//! Verification of terms: those of every result are made again, and sums over hashes of both sides compared. So they need
//! not be sorted, and nothing is held.

use super::TermField;
use super::build::visible;
use super::field::{FieldState, Phase, TermFields, posting_key};
use super::posting::{FOUND, ORDERS, terms};
use crate::error::IndexError;
use crate::keys::{self, Kind, Slot};
use crate::progress::Progress;
use magpie_store::kv::{Direction, Space, View};

/// A sum of hashes: the same for the same postings in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    hash: u128,
}

impl Sum {
    fn add(&mut self, posting: &[&[u8]], mark: &[u8]) {
        let mut hasher = blake3::Hasher::new();
        posting.iter().for_each(|part| {
            hasher.update(part);
        });
        hasher.update(mark);
        let hash = hasher.finalize();
        let half = hash.as_bytes().first_chunk::<16>().copied().unwrap_or_default();
        self.count += 1;
        self.hash = self.hash.wrapping_add(u128::from_be_bytes(half));
    }
}

/// The fields whose terms are not those of the results; `None` when `go_on` said no. What nobody may read is not looked at.
///
/// # Errors
/// When the store fails.
pub(crate) fn wrong_fields(
    view: &dyn View,
    slot: Slot,
    is_map_reduce: bool,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Vec<TermField>>, IndexError> {
    let fields = TermFields::read(view, slot, &Progress::read(view, slot)?)?;
    if fields.list.is_empty() || !fields.valid {
        return Ok(Some(Vec::new()));
    }
    let kind = if is_map_reduce { Kind::Result } else { Kind::MapOutput };
    let mut expected = vec![Sum::default(); fields.list.len()];
    let (from, to) = slot.range_of(kind);
    for row in view.scan(Space::Index, &from, &to, Direction::Forward) {
        if !go_on() {
            return Ok(None);
        }
        let (key, row) = row?;
        let subject = keys::rest(&key)?;
        // A result that cannot be read is a damage of its own.
        let Ok(Some(result)) = visible(kind, &row) else { continue };
        for (state, sum) in fields.list.iter().zip(&mut expected) {
            if is_made(state, subject) {
                for (term, orders) in terms(&state.field, &result) {
                    sum.add(&[&term, subject], if orders { ORDERS } else { FOUND });
                }
            }
        }
    }
    let mut wrong = Vec::new();
    for (state, expected) in fields.list.iter().zip(expected) {
        let mut found = Sum::default();
        let [from, to] = [state.number, state.number + 1].map(|number| posting_key(slot, number, &[]));
        for row in view.scan(Space::Index, &from, &to, Direction::Forward) {
            if !go_on() {
                return Ok(None);
            }
            let (key, mark) = row?;
            found.add(&[key.get(from.len()..).unwrap_or_default()], &mark);
        }
        if found != expected {
            wrong.push(state.field.clone());
        }
    }
    Ok(Some(wrong))
}

fn is_made(state: &FieldState, subject: &[u8]) -> bool {
    match &state.phase {
        Phase::Complete => true,
        Phase::Building(cursor) => subject <= cursor.as_slice(),
    }
}
