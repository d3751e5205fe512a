//! Verification of terms: those of every result are made again, and sums over hashes of both sides compared. So they need
//! not be sorted, and nothing is held.

use super::TermField;
use super::build::visible;
use super::counts::{count_key, decode, is_counted};
use super::field::{Family, FieldState, Phase, TermFields, posting_key};
use super::posting::{Class, FOUND, ORDERS, are_several, closed, split, terms};
use crate::error::IndexError;
use crate::keys::{self, Kind, Slot};
use crate::progress::Progress;
use magpie_store::kv::{Direction, Rows, Space, View};

/// A sum of hashes: the same for the same postings in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    /// How many results have several terms; only on the side of the results.
    several: u64,
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
                let terms = terms(&state.field, &result);
                sum.several += u64::from(are_several(&terms));
                for (term, orders) in terms {
                    sum.add(&[&term, subject], if orders { ORDERS } else { FOUND });
                }
            }
        }
    }
    let mut wrong = Vec::new();
    for (state, expected) in fields.list.iter().zip(expected) {
        let mut found = Sum::default();
        let [from, to] = [state.number, state.number + 1].map(|number| posting_key(slot, number, &[]));
        let mut counted = Counted::new(view, slot, state);
        for row in view.scan(Space::Index, &from, &to, Direction::Forward) {
            if !go_on() {
                return Ok(None);
            }
            let (key, mark) = row?;
            let posting = key.get(from.len()..).unwrap_or_default();
            found.add(&[posting], &mark);
            counted.take(posting)?;
        }
        let counts_fit = counted.finish(expected.several)?;
        found.several = expected.several;
        if !counts_fit || found != expected {
            wrong.push(state.field.clone());
        }
    }
    Ok(Some(wrong))
}

/// Counts the postings of each term while they are read in order, and compares with the counts that are kept.
struct Counted<'v> {
    family: Family,
    /// The counts that are kept, in the order of terms, and where their terms begin in the keys.
    kept: Rows<'v>,
    begin: usize,
    term: Vec<u8>,
    count: u64,
    fits: bool,
}

impl<'v> Counted<'v> {
    fn new(view: &'v dyn View, slot: Slot, state: &FieldState) -> Self {
        let [from, to] = [state.number, state.number + 1].map(|number| count_key(slot, number, &[]));
        let kept = view.scan(Space::Index, &from, &to, Direction::Forward);
        let (family, begin) = (state.field.family, from.len());
        Self { family, kept, begin, term: Vec::new(), count: 0, fits: true }
    }

    fn take(&mut self, posting: &[u8]) -> Result<(), IndexError> {
        // A posting that cannot be read shows in the sum.
        let Ok((term, _)) = split(posting) else { return Ok(()) };
        if term != self.term {
            self.compare()?;
            self.term = term.to_vec();
        }
        self.count += 1;
        Ok(())
    }

    /// Compares the count of the last term.
    fn compare(&mut self) -> Result<(), IndexError> {
        if self.count > 0 && is_counted(self.family, &self.term) {
            self.compare_kept()?;
        }
        self.count = 0;
        Ok(())
    }

    fn compare_kept(&mut self) -> Result<(), IndexError> {
        let kept = self.kept.next().transpose()?;
        let is_kept = |(key, row): (Vec<u8>, Vec<u8>)| {
            key.get(self.begin..) == Some(self.term.as_slice())
                && decode(&row).is_ok_and(|count| count == self.count)
        };
        self.fits &= kept.is_some_and(is_kept);
        Ok(())
    }

    /// Whether all counts are right, and no others are kept.
    fn finish(mut self, several: u64) -> Result<bool, IndexError> {
        self.compare()?;
        if several > 0 {
            (self.term, self.count) = (closed(Class::Several, &[]), several);
            self.compare_kept()?;
        }
        Ok(self.fits && self.kept.next().transpose()?.is_none())
    }
}

fn is_made(state: &FieldState, subject: &[u8]) -> bool {
    match &state.phase {
        Phase::Complete => true,
        Phase::Building(cursor) => subject <= cursor.as_slice(),
    }
}
