//! The first rows in order without reading all: from an index that has its rows in the order of a field.

use super::collect::{Best, Collector, Counts};
use super::row::Row;
use crate::error::QueryError;
use crate::limits;
use crate::order::Rank;
use crate::plan::{Plan, terms};
use crate::source::{PlacedRow, SourceIndex};
use magpie_indexes::terms::TermField;

/// A query for the first rows of all, in an order that terms can have.
pub(super) struct InOrder<'c, 'a> {
    collector: &'c Collector<'a>,
    index: &'c dyn SourceIndex,
    field: TermField,
    descending: bool,
    /// How many rows are asked for, how many fit, and how many there are.
    end: u64,
    fitting: u64,
    count: u64,
}

/// A row that is visited.
struct Visited {
    row: Row,
    rank: Rank,
    is_first_of_group: bool,
    /// Whether all rows to come are behind it.
    is_in_order: bool,
}

/// Whether about so few of `count` are read in order until `end` of them fit, where `fitting` do, that reading all is slower.
pub(super) fn is_few(plan: &Plan, end: u64, fitting: u64, count: u64) -> bool {
    if plan.filter.is_all() {
        end.saturating_mul(4) < count
    } else {
        end.saturating_mul(count) < fitting.saturating_mul(fitting)
    }
}

impl<'c, 'a> InOrder<'c, 'a> {
    /// `None` when the query is another one, or asks for so many rows that they can as well all be read.
    pub(super) fn new(collector: &'c Collector<'a>) -> Result<Option<Self>, QueryError> {
        let plan = collector.plan;
        let (Some(index), Some(end), Some(key)) = (collector.index, collector.page_end(), plan.order.first())
        else {
            return Ok(None);
        };
        if plan.reduce.is_some() || plan.row_filter.is_some() {
            return Ok(None);
        }
        let (Some(field), Some(fitting), Some(count)) =
            (terms::order(key), collector.known_total()?, index.count()?)
        else {
            return Ok(None);
        };
        let descending = key.descending;
        Ok(is_few(plan, end, fitting, count).then_some(Self {
            collector,
            index,
            field,
            descending,
            end,
            fitting,
            count,
        }))
    }

    /// Has the index make the terms, if that is worth it.
    pub(super) fn want(&self) {
        if self.count >= limits::TERMS_WORTH_ROWS {
            self.index.want_terms(vec![self.field.clone()]);
        }
    }

    /// The first rows and the counts; `None` when the index cannot tell, or so many have to be read for it that all can
    /// be.
    pub(super) fn first_rows(&self) -> Result<Option<(Best, Counts)>, QueryError> {
        let mut best = Best::new(Some(self.end));
        let plan = self.collector.plan;
        let mut failure = Ok(());
        let left_out = self.visit(&mut |visited| {
            if visited.is_first_of_group && best.is_full() {
                return false;
            }
            if !best.wants(&visited.rank) {
                return !visited.is_in_order;
            }
            let Visited { row, rank, .. } = visited;
            failure = row
                .identity(plan, self.collector.source)
                .and_then(|identity| best.offer(rank, row.waiting(), identity));
            failure.is_ok()
        })?;
        failure?;
        let Some(left_out) = left_out else { return Ok(None) };
        // Which of those that are left out fit is not known.
        if left_out > 0 && !plan.filter.is_all() {
            return Ok(None);
        }
        let mut counts = Counts { total: self.fitting.saturating_sub(left_out), ..Counts::default() };
        if best.has_identities {
            let held = best.rows.len() as u64;
            let before = match best.rows.last_key_value() {
                Some((last, _)) if best.is_full() => {
                    self.before(last)?.saturating_sub(held.saturating_sub(1))
                }
                _ => counts.total.saturating_sub(held),
            };
            counts.skipped = before;
        }
        Ok(Some((best, counts)))
    }

    /// How many rows are before the one of this rank.
    fn before(&self, last: &Rank) -> Result<u64, QueryError> {
        let mut before = 0;
        let mut is_passed = false;
        self.visit(&mut |visited| {
            if visited.is_first_of_group && is_passed {
                return false;
            }
            if visited.rank < *last {
                before += 1;
                return true;
            }
            is_passed = true;
            !visited.is_in_order
        })?;
        Ok(before)
    }

    /// Visits rows as long as `visit` says so. Gives how many rows are left out by the order; `None` when the index does
    /// not have it, or too many were visited.
    fn visit(&self, visit: &mut dyn FnMut(Visited) -> bool) -> Result<Option<u64>, QueryError> {
        let Some(in_order) = self.index.rows_in_order(&self.field, self.descending)? else { return Ok(None) };
        let (order, filter) = (&self.collector.plan.order, &self.collector.plan.filter);
        let visits_max = limits::TERMS_VISITED_MIN.max(self.count / 4);
        let mut group = None;
        for (number, placed) in (1..).zip(in_order.rows) {
            let PlacedRow { row, group: found, exact } = placed?;
            if number > visits_max {
                return Ok(None);
            }
            let row = Row::from(row);
            let rank = self.collector.with_subject(&row, |subject| {
                if filter.holds(subject) { Rank::new(order, subject, number) } else { None }
            });
            let Some(rank) = rank else { continue };
            let is_first_of_group = group.replace(found) != Some(found);
            let is_in_order = exact && order.len() == 1;
            if !visit(Visited { row, rank, is_first_of_group, is_in_order }) {
                break;
            }
        }
        Ok(Some(in_order.left_out))
    }
}
