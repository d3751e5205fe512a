//! All results in the order of a field, forwards or backwards, each once: at the term that tells its place.
//!
//! Postings are read in the order of terms, and of results within a term. Results that have the same term come
//! as one **group**: nothing is said about the order in it, unless the group is `exact`; then they come in the order of
//! a query that orders by nothing else. Terms that may have been cut make groups that are not exact. Results without
//! the field and with null are one group.

use super::candidates::{posting, subject};
use super::field::{Family, TermField, posting_key};
use super::posting::{Class, ORDERS, may_be_cut, place, split};
use crate::error::IndexError;
use crate::keys::Slot;
use crate::limits;
use magpie_store::kv::{Direction, Rows, Space, View};
use std::collections::VecDeque;

/// A result at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The number of its group, which grows.
    pub group: u64,
    /// Whether its group comes in the order of a query that orders by nothing else.
    pub exact: bool,
    /// The rest of its key.
    pub(crate) subject: Vec<u8>,
    /// Class and bytes of the term.
    pub(crate) term: Vec<u8>,
}

/// A posting as the walk reads it.
struct Posting {
    term: Vec<u8>,
    subject: Vec<u8>,
}

/// The walk. It visits a result at each of its terms that order; who reads the result keeps the best one.
pub(crate) struct Walk<'v> {
    stages: VecDeque<Stage<'v>>,
    descending: bool,
    group: u64,
    last: Option<Vec<u8>>,
}

/// Terms that stand among each other.
struct Stage<'v> {
    readers: Vec<Reader<'v>>,
    /// Whether one reader comes after the other, and all is one group.
    in_turn: bool,
}

/// The postings of one class of terms: in the order of terms or against it, results always in theirs.
struct Reader<'v> {
    view: &'v dyn View,
    from: Vec<u8>,
    rows: Option<Rows<'v>>,
    to: Vec<u8>,
    descending: bool,
    queue: VecDeque<Posting>,
    /// The first posting of the next term, when descending.
    ahead: Option<Posting>,
    /// The rest of a term with many results, when descending.
    forward: Option<Rows<'v>>,
}

impl<'v> Walk<'v> {
    pub fn new(view: &'v dyn View, slot: Slot, number: u16, field: &TermField, descending: bool) -> Self {
        let reader = |class: Class| Reader {
            view,
            from: posting_key(slot, number, &[class as u8]),
            to: posting_key(slot, number, &[class as u8 + 1]),
            rows: None,
            descending,
            queue: VecDeque::new(),
            ahead: None,
            forward: None,
        };
        let mut absent = vec![reader(Class::Missing), reader(Class::Null)];
        let middle = match field.family {
            Family::Text | Family::Words => vec![reader(Class::Plain), reader(Class::Instant)],
            Family::Double | Family::Long | Family::AlphaNumeric => vec![reader(Class::Plain)],
        };
        if descending {
            absent.reverse();
        }
        let mut stages = VecDeque::from([
            Stage { readers: absent, in_turn: true },
            Stage { readers: middle, in_turn: false },
        ]);
        if descending {
            stages.make_contiguous().reverse();
        }
        Self { stages, descending, group: 0, last: None }
    }

    fn advance(&mut self) -> Result<Option<Visit>, IndexError> {
        while let Some(stage) = self.stages.front_mut() {
            let mut chosen: Option<usize> = None;
            for number in 0..stage.readers.len() {
                let Some((reader, others)) = stage.readers.get_mut(..=number).and_then(<[_]>::split_last_mut)
                else {
                    continue;
                };
                let Some(found) = reader.peek()? else { continue };
                let earlier = match chosen.and_then(|chosen| others.get(chosen)?.queue.front()) {
                    None => false,
                    Some(_) if stage.in_turn => true,
                    Some(other) if self.descending => place(&other.term) >= place(&found.term),
                    Some(other) => place(&other.term) <= place(&found.term),
                };
                if !earlier {
                    chosen = Some(number);
                }
            }
            let taken = chosen.and_then(|chosen| stage.readers.get_mut(chosen)?.queue.pop_front());
            let in_turn = stage.in_turn;
            let Some(taken) = taken else {
                self.stages.pop_front();
                self.last = None;
                self.group += 1;
                continue;
            };
            if !in_turn && self.last.as_ref().is_some_and(|last| *last != taken.term) {
                self.group += 1;
            }
            self.last = Some(taken.term.clone());
            let exact = !may_be_cut(&taken.term);
            return Ok(Some(Visit { group: self.group, exact, subject: taken.subject, term: taken.term }));
        }
        Ok(None)
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Visit, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.advance().transpose();
        if !matches!(found, Some(Ok(_))) {
            self.stages.clear();
        }
        found
    }
}

impl<'v> Reader<'v> {
    /// The next posting.
    fn peek(&mut self) -> Result<Option<&Posting>, IndexError> {
        if self.queue.is_empty() {
            if self.descending { self.fill_back()? } else { self.fill()? }
        }
        Ok(self.queue.front())
    }

    fn fill(&mut self) -> Result<(), IndexError> {
        let rows = self
            .rows
            .get_or_insert_with(|| self.view.scan(Space::Index, &self.from, &self.to, Direction::Forward));
        if let Some(posting) = next(rows)? {
            self.queue.push_back(posting);
        }
        Ok(())
    }

    /// Queues the results of the last term that is left, in their order.
    fn fill_back(&mut self) -> Result<(), IndexError> {
        if let Some(forward) = &mut self.forward {
            if let Some(posting) = next(forward)? {
                self.queue.push_back(posting);
                return Ok(());
            }
            self.forward = None;
        }
        let rows = self
            .rows
            .get_or_insert_with(|| self.view.scan(Space::Index, &self.from, &self.to, Direction::Reverse));
        let first = match self.ahead.take() {
            Some(ahead) => Some(ahead),
            None => next(rows)?,
        };
        let Some(first) = first else { return Ok(()) };
        let term = first.term.clone();
        self.queue.push_front(first);
        while let Some(posting) = next(rows)? {
            if posting.term != term {
                self.ahead = Some(posting);
                return Ok(());
            }
            self.queue.push_front(posting);
            if self.queue.len() >= limits::TERM_GROUP_HELD_MAX {
                // Too many to turn around: they are read forwards, and the reading backwards goes on before them.
                self.queue.clear();
                let key = |term: &[u8]| {
                    let head = self.from.len().saturating_sub(1);
                    [self.from.get(..head).unwrap_or_default(), term].concat()
                };
                let begin = key(&term);
                let end = [begin.as_slice(), &[0xff]].concat();
                self.forward = Some(self.view.scan(Space::Index, &begin, &end, Direction::Forward));
                self.rows = Some(self.view.scan(Space::Index, &self.from, &begin, Direction::Reverse));
                return self.fill_back();
            }
        }
        Ok(())
    }
}

/// The next posting that tells the place of its result.
fn next(rows: &mut Rows<'_>) -> Result<Option<Posting>, IndexError> {
    for row in rows {
        let (key, value) = row?;
        if value == ORDERS {
            let (term, _) = split(posting(&key)?)?;
            return Ok(Some(Posting { term: term.to_vec(), subject: subject(&key)?.to_vec() }));
        }
    }
    Ok(None)
}
