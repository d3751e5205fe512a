//! From what a query needs to the results that can fit, in the order of results.
//!
//! Few are listed: spans are read until they have ended or there are too many, with growing bounds, so that of an `and`
//! the part with the fewest postings is read and little else. Where all parts have many, single terms are merged while
//! they are read, since each has its postings in the order of results. Everything else is left to a scan.

use super::counts::count_key;
use super::field::{TermField, TermFields, posting_key};
use super::posting::{Class, closed, split};
use super::span::{Need, TermSpan};
use crate::error::IndexError;
use crate::keys::{Slot, rest};
use crate::limits;
use magpie_store::kv::{Direction, Rows, Space, View};

/// How many postings are read one after the other before a merge jumps.
const STEPS_BEFORE_JUMP: usize = 16;
/// How far a field's number goes in the key of a posting, behind slot and kind.
const NUMBER_BYTES: usize = 2;
/// The first bound of how many postings are listed, and how it grows.
const FIRST_BOUND: usize = 256;
const BOUND_GROWTH: usize = 4;
/// Which share of the results is listed at most; less where merging is another way.
const LISTED_SHARE: u64 = 4;
const LISTED_SHARE_OF_MERGED: u64 = 16;

/// Keys of results in ascending order, each once.
pub(crate) enum Subjects<'v> {
    /// A list.
    Listed(Vec<Vec<u8>>),
    /// Read as they are asked for.
    Merged(Merged<'v>),
}

/// Reads the terms of one build.
pub(crate) struct Finder<'v, 'f> {
    pub view: &'v dyn View,
    pub slot: Slot,
    pub fields: &'f TermFields,
}

impl<'v> Finder<'v, '_> {
    /// The results that can fit; `None` when terms do not tell, or tell of so many among `results` that reading them all
    /// costs no more.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn subjects(&self, need: &Need, results: u64) -> Result<Option<Subjects<'v>>, IndexError> {
        let Some(mut need) = self.answerable(need) else { return Ok(None) };
        self.join(&mut need)?;
        let can_merge = self.merged(&need)?.is_some();
        // What can be merged as a whole need not be listed: it is read only as far as somebody asks.
        let is_whole = can_merge && !has_and(&need);
        let share = if can_merge { LISTED_SHARE_OF_MERGED } else { LISTED_SHARE };
        let most = usize::try_from(results / share).unwrap_or(usize::MAX);
        let most = most.clamp(limits::TERM_SUBJECTS_MIN, limits::TERM_SUBJECTS_MAX);
        let mut bound = FIRST_BOUND.min(most);
        loop {
            let mut left = bound;
            if let Some(mut subjects) = self.list(&need, &mut left)? {
                subjects.sort_unstable();
                subjects.dedup();
                return Ok(Some(Subjects::Listed(subjects)));
            }
            if bound == most || is_whole {
                break;
            }
            bound = bound.saturating_mul(BOUND_GROWTH).min(most);
        }
        Ok(self.merged(&need)?.map(Subjects::Merged))
    }

    /// The part of the need about fields that have terms; `None` when nothing is left.
    fn answerable(&self, need: &Need) -> Option<Need> {
        match need {
            Need::Spans(field, _) => self.fields.complete(field).map(|_| need.clone()),
            Need::And(needs) => {
                let needs: Vec<_> = needs.iter().filter_map(|need| self.answerable(need)).collect();
                (!needs.is_empty()).then_some(Need::And(needs))
            }
            Need::Or(needs) => {
                needs.iter().map(|need| self.answerable(need)).collect::<Option<_>>().map(Need::Or)
            }
        }
    }

    /// Makes one condition of those that are joined by `and` on a field of which no result has several terms: one term has
    /// to fit them all.
    fn join(&self, need: &mut Need) -> Result<(), IndexError> {
        let needs = match need {
            Need::Spans(..) => return Ok(()),
            Need::Or(needs) => return needs.iter_mut().try_for_each(|need| self.join(need)),
            Need::And(needs) => needs,
        };
        let mut joined: Vec<Need> = Vec::with_capacity(needs.len());
        for mut need in std::mem::take(needs) {
            self.join(&mut need)?;
            let mut is_joined = false;
            if let Need::Spans(field, spans) = &need
                && self.is_single(field)?
            {
                for earlier in &mut joined {
                    if let Need::Spans(other, others) = earlier
                        && other == field
                        && others.len() * spans.len() <= limits::TERM_SPANS_JOINED_MAX
                    {
                        *others = TermSpan::in_both(others, spans);
                        is_joined = true;
                        break;
                    }
                }
            }
            if !is_joined {
                joined.push(need);
            }
        }
        *needs = joined;
        Ok(())
    }

    /// Whether no result has several terms in a field.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_single(&self, field: &TermField) -> Result<bool, IndexError> {
        let Some(number) = self.fields.complete(field) else { return Ok(false) };
        let several = count_key(self.slot, number, &closed(Class::Several, &[]));
        Ok(self.view.get(Space::Index, &several)?.is_none())
    }

    /// All of them, unordered, when there are no more than `left`.
    fn list(&self, need: &Need, left: &mut usize) -> Result<Option<Vec<Vec<u8>>>, IndexError> {
        match need {
            Need::Spans(field, spans) => self.list_spans(field, spans, left),
            Need::Or(needs) => {
                let mut all = Vec::new();
                for need in needs {
                    match self.list(need, left)? {
                        Some(subjects) => all.extend(subjects),
                        None => return Ok(None),
                    }
                }
                Ok(Some(all))
            }
            Need::And(needs) => {
                let mut fewest: Option<Vec<Vec<u8>>> = None;
                for need in needs {
                    let mut bound = fewest.as_ref().map_or(*left, Vec::len);
                    if let Some(found) = self.list(need, &mut bound)? {
                        fewest = Some(found);
                    }
                }
                *left = left.saturating_sub(fewest.as_ref().map_or(0, Vec::len));
                Ok(fewest)
            }
        }
    }

    fn list_spans(
        &self,
        field: &TermField,
        spans: &[TermSpan],
        left: &mut usize,
    ) -> Result<Option<Vec<Vec<u8>>>, IndexError> {
        let Some(number) = self.fields.complete(field) else { return Ok(None) };
        let mut subjects = Vec::new();
        for span in spans {
            let [from, to] = [&span.from, &span.to].map(|bound| posting_key(self.slot, number, bound));
            for row in self.view.scan(Space::Index, &from, &to, Direction::Forward) {
                if *left == 0 {
                    return Ok(None);
                }
                *left -= 1;
                subjects.push(subject(&row?.0)?.to_vec());
            }
        }
        Ok(Some(subjects))
    }

    /// The postings of single terms, merged as they are read.
    fn merged(&self, need: &Need) -> Result<Option<Merged<'v>>, IndexError> {
        Ok(match need {
            Need::Spans(field, spans) => {
                let Some(number) = self.fields.complete(field) else { return Ok(None) };
                if spans.len() > limits::TERM_CURSORS_MAX || spans.iter().any(|span| !span.single) {
                    return Ok(None);
                }
                let cursors = spans.iter().map(|span| {
                    let [from, to] =
                        [&span.from, &span.to].map(|bound| posting_key(self.slot, number, bound));
                    Merged::One(Cursor { view: self.view, rows: None, from, to, at: None })
                });
                Some(Merged::Or(cursors.collect()))
            }
            Need::Or(needs) if needs.len() <= limits::TERM_CURSORS_MAX => {
                let merged = needs.iter().map(|need| self.merged(need)).collect::<Result<Option<_>, _>>()?;
                merged.map(Merged::Or)
            }
            Need::Or(_) => None,
            Need::And(needs) => {
                let mut merged = Vec::new();
                for need in needs {
                    merged.extend(self.merged(need)?);
                }
                merged.truncate(limits::TERM_CURSORS_MAX);
                (!merged.is_empty()).then_some(Merged::And(merged))
            }
        })
    }
}

fn has_and(need: &Need) -> bool {
    match need {
        Need::Spans(..) => false,
        Need::And(_) => true,
        Need::Or(needs) => needs.iter().any(has_and),
    }
}

/// The subject of a posting's key.
pub(super) fn subject(key: &[u8]) -> Result<&[u8], IndexError> {
    Ok(split(posting(key)?)?.1)
}

/// The part of a posting's key behind the number of its field.
pub(super) fn posting(key: &[u8]) -> Result<&[u8], IndexError> {
    let short = || IndexError::Corrupt(format!("term key of {} bytes", key.len()));
    rest(key)?.get(NUMBER_BYTES..).ok_or_else(short)
}

/// Subjects in ascending order, found while going forward.
pub(crate) enum Merged<'v> {
    One(Cursor<'v>),
    And(Vec<Merged<'v>>),
    Or(Vec<Merged<'v>>),
}

/// The postings of one term.
pub(crate) struct Cursor<'v> {
    view: &'v dyn View,
    rows: Option<Rows<'v>>,
    from: Vec<u8>,
    to: Vec<u8>,
    /// The subject it stands at, once it has been asked; `Some(None)` at the end.
    at: Option<Option<Vec<u8>>>,
}

impl Merged<'_> {
    /// The first subject that is not before `target`. Targets never go back.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn seek(&mut self, target: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        match self {
            Self::One(cursor) => cursor.seek(target),
            Self::Or(parts) => {
                let mut first: Option<Vec<u8>> = None;
                for part in parts {
                    if let Some(found) = part.seek(target)?
                        && first.as_ref().is_none_or(|first| found < *first)
                    {
                        first = Some(found);
                    }
                }
                Ok(first)
            }
            Self::And(parts) => {
                let mut target = target.to_vec();
                loop {
                    let before = target.clone();
                    for part in parts.iter_mut() {
                        match part.seek(&target)? {
                            Some(found) => target = found,
                            None => return Ok(None),
                        }
                    }
                    // A round in which nobody moved on: all stand there.
                    if target == before {
                        return Ok(Some(target));
                    }
                }
            }
        }
    }
}

impl Cursor<'_> {
    fn seek(&mut self, target: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        if let Some(at) = &self.at
            && at.as_ref().is_none_or(|at| at.as_slice() >= target)
        {
            return Ok(at.clone());
        }
        for _ in 0..STEPS_BEFORE_JUMP {
            let Some(rows) = &mut self.rows else { break };
            let Some(row) = rows.next() else {
                self.at = Some(None);
                return Ok(None);
            };
            let found = subject(&row?.0)?.to_vec();
            if found.as_slice() >= target {
                self.at = Some(Some(found.clone()));
                return Ok(Some(found));
            }
        }
        // The subject follows the term in the key.
        let from = [self.from.as_slice(), target].concat();
        let mut rows = self.view.scan(Space::Index, &from, &self.to, Direction::Forward);
        let found = rows.next().transpose()?.map(|(key, _)| subject(&key).map(<[u8]>::to_vec)).transpose()?;
        self.rows = Some(rows);
        self.at = Some(found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::{FieldState, Phase};
    use super::super::posting::ORDERS;
    use super::super::value::Step;
    use super::super::{Family, Need, TermField, TermSpan};
    use super::*;
    use magpie_store::kv::memory::MemoryKv;
    use magpie_store::kv::{Batch, Durability, Kv};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const SLOT: Slot = Slot(7);

    /// What is asked: terms of a number, joined.
    #[derive(Debug, Clone)]
    enum Asked {
        Terms(Vec<u8>),
        And(Vec<Asked>),
        Or(Vec<Asked>),
    }

    fn asked() -> impl Strategy<Value = Asked> {
        prop::collection::vec(0_u8..5, 0..3).prop_map(Asked::Terms).prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(Asked::And),
                prop::collection::vec(inner, 1..4).prop_map(Asked::Or),
            ]
        })
    }

    fn field() -> TermField {
        TermField { family: Family::Text, path: vec![Step::Member("a".to_owned())] }
    }

    fn need(asked: &Asked) -> Need {
        match asked {
            Asked::Terms(terms) => {
                Need::Spans(field(), terms.iter().map(|term| TermSpan::text(&term.to_string())).collect())
            }
            Asked::And(parts) => Need::And(parts.iter().map(need).collect()),
            Asked::Or(parts) => Need::Or(parts.iter().map(need).collect()),
        }
    }

    fn wanted(asked: &Asked, postings: &BTreeSet<(u8, u16)>) -> BTreeSet<u16> {
        let all = || postings.iter().map(|posting| posting.1).collect();
        match asked {
            Asked::Terms(terms) => postings
                .iter()
                .filter(|posting| terms.contains(&posting.0))
                .map(|posting| posting.1)
                .collect(),
            Asked::And(parts) => parts.iter().fold(all(), |left, part| &left & &wanted(part, postings)),
            Asked::Or(parts) => parts.iter().flat_map(|part| wanted(part, postings)).collect(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Merged postings are exactly what is asked for; listed ones have it, in the order of results.
        #[test]
        fn postings_are_merged_and_listed(
            postings in prop::collection::btree_set((0_u8..5, 0_u16..300), 0..400),
            asked in asked(),
        ) {
            let kv = MemoryKv::new();
            let mut batch = Batch::new();
            for (term, subject) in &postings {
                let term = closed(Class::Plain, term.to_string().as_bytes());
                let key = [term.as_slice(), &subject.to_be_bytes()].concat();
                batch.put(Space::Index, posting_key(SLOT, 0, &key), ORDERS);
            }
            // Results have several terms here.
            batch.put(Space::Index, count_key(SLOT, 0, &closed(Class::Several, &[])), vec![1]);
            kv.commit(batch, Durability::Buffered).unwrap();
            let state = FieldState { number: 0, field: field(), phase: Phase::Complete };
            let fields = TermFields { list: vec![state], valid: true };
            let view = kv.snapshot();
            let finder = Finder { view: view.as_ref(), slot: SLOT, fields: &fields };
            let wanted: Vec<Vec<u8>> =
                wanted(&asked, &postings).into_iter().map(|subject| subject.to_be_bytes().to_vec()).collect();
            let all_of = |mut merged: Merged<'_>| {
                let (mut found, mut after) = (Vec::new(), Vec::new());
                while let Some(subject) = merged.seek(&after).unwrap() {
                    after = [subject.as_slice(), &[0]].concat();
                    found.push(subject);
                }
                found
            };
            prop_assert_eq!(&all_of(finder.merged(&need(&asked)).unwrap().unwrap()), &wanted);
            match finder.subjects(&need(&asked), 0).unwrap() {
                Some(Subjects::Listed(listed)) => {
                    prop_assert!(listed.is_sorted());
                    prop_assert!(wanted.iter().all(|subject| listed.contains(subject)));
                }
                // Many in one term are read only as far as somebody asks.
                Some(Subjects::Merged(merged)) => prop_assert_eq!(&all_of(merged), &wanted),
                None => return Err(TestCaseError::fail("terms tell what is asked")),
            }
        }
    }
}
