//! The first documents in order without reading all: from an auto index that has them in the order of a field, and those
//! that changed behind it.

use super::collect::{Best, Collector, Counts};
use super::in_order::is_few;
use super::row::Row;
use crate::error::QueryError;
use crate::limits;
use crate::plan::terms;
use magpie_store::Document;

/// The first documents and the counts. `None` when the query is another one, the index cannot tell, or so many have to be
/// read for it that all can be.
pub(super) fn first_documents(collector: &Collector<'_>) -> Result<Option<(Best, Counts)>, QueryError> {
    let plan = collector.plan;
    let (Some(auto), Some(end), Some(key)) = (collector.auto, collector.page_end(), plan.order.first())
    else {
        return Ok(None);
    };
    if plan.distinct || plan.row_filter.is_some() {
        return Ok(None);
    }
    let (Some(field), Some(fitting), Some(count)) =
        (terms::order(key), collector.known_total()?, collector.document_count()?)
    else {
        return Ok(None);
    };
    if !is_few(plan, end, fitting, count) {
        return Ok(None);
    }
    let Some(in_order) = auto.in_order(&field, key.descending)? else { return Ok(None) };
    // Which of those that are left out fit is not known.
    if in_order.left_out > 0 && !plan.filter.is_all() {
        return Ok(None);
    }
    let mut best = Best::new(Some(end));
    let offer = |best: &mut Best, document: Document| -> Result<(), QueryError> {
        // As they would be read one after the other.
        let number = document.etag.0;
        let fields = Some(document.body_json());
        let row = Row::Document { document, fields };
        match collector.rank(&row, number) {
            Some(Some(rank)) if best.wants(&rank) => best.offer(rank, row.waiting(), None),
            _ => Ok(()),
        }
    };
    let visits_max = limits::TERMS_VISITED_MIN.max(count / 4);
    let mut last = None;
    for (number, placed) in (1..).zip(in_order.documents) {
        let (document, group) = placed?;
        if last.replace(group) != Some(group) && best.is_full() {
            break;
        }
        if number > visits_max {
            return Ok(None);
        }
        offer(&mut best, document)?;
    }
    for document in auto.tail() {
        offer(&mut best, document.clone())?;
    }
    let total = fitting.saturating_sub(in_order.left_out);
    Ok(Some((best, Counts { total, ..Counts::default() })))
}
