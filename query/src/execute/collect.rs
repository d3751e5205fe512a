//! Reading candidates, counting them, and giving those of the page in order.

use super::Budget;
use super::first_documents::first_documents;
use super::in_order::InOrder;
use super::row::{Row, Shaped, Told};
use crate::auto_read::SourceAuto;
use crate::error::QueryError;
use crate::filter::Filter;
use crate::highlight::Highlight;
use crate::limits;
use crate::order::Rank;
use crate::plan::{Access, Plan, narrow};
use crate::row_filter::RowFilter;
use crate::source::{Documents, Source, SourceCollection, SourceIndex};
use crate::tally::{Counting, Tally};
use crate::term::{Subject, fold};
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;

/// One run of a plan.
pub(super) struct Collector<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) plan: &'a Plan,
    pub(super) index: Option<&'a dyn SourceIndex>,
    /// The auto index that helps to find documents.
    pub(super) auto: Option<&'a dyn SourceAuto>,
    pub(super) metadata_only: bool,
    /// How many rows to skip and to give.
    pub(super) page: (u64, Option<u64>),
}

/// What was met.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Everything that fits the query.
    pub(super) total: u64,
    /// Rows left out because an equal one came before them, up to the end of the page.
    pub(super) skipped: u64,
    /// Rows given.
    pub(super) given: u64,
    /// Rows that `filter` looked at.
    pub(super) scanned: u64,
}

type Sink<'s> = dyn FnMut(Shaped) -> Result<(), QueryError> + 's;
type Rows<'r> = Box<dyn Iterator<Item = Result<Row, QueryError>> + 'r>;
type Visit<'v> = dyn FnMut(Row, Option<Rank>) -> Result<ControlFlow<()>, QueryError> + 'v;

/// What is known before the first row is given.
pub(super) enum Candidates {
    /// Nothing: rows are given as they are read.
    Unread,
    /// The first rows in order, and how many fit.
    Ordered(Box<Best>, Counts),
}

impl Collector<'_> {
    /// Reads and orders, if rows cannot be given as they are read.
    pub(super) fn candidates(&self) -> Result<Candidates, QueryError> {
        if self.plan.order.is_empty() {
            return Ok(Candidates::Unread);
        }
        let (best, counts) = self.ordered()?;
        Ok(Candidates::Ordered(Box::new(best), counts))
    }

    /// How many fit the query; where rows are given as they are read, this may read them all.
    pub(super) fn total(&self, candidates: &Candidates) -> Result<u64, QueryError> {
        if let Candidates::Ordered(_, counts) = candidates {
            return Ok(counts.total);
        }
        if let (Some(filter), true) = (&self.plan.row_filter, self.plan.by_collection) {
            return Ok(self.filtered(filter, None)?.total);
        }
        if let Some(total) = self.known_total()? {
            return Ok(total);
        }
        let mut total = 0;
        self.scan(&mut |_, _| {
            total += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(total)
    }

    /// Counts instead of giving rows: the rows that tell the counts.
    pub(super) fn counted(&self, tally: &Tally) -> Result<Vec<Object>, QueryError> {
        let mut counting = Counting::new(tally);
        self.scan(&mut |row, _| {
            let passes = match &self.plan.row_filter {
                Some(filter) => row.passes(filter, self.source)?,
                None => true,
            };
            if passes {
                self.with_subject(&row, |subject| counting.take(subject))?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(counting.rows())
    }

    /// Gives the rows of the page.
    pub(super) fn give(
        &self,
        candidates: &mut Candidates,
        sink: &mut Sink<'_>,
    ) -> Result<Counts, QueryError> {
        match candidates {
            Candidates::Unread => match &self.plan.row_filter {
                Some(filter) => self.filtered(filter, Some(sink)),
                None => self.in_order_of_reading(sink),
            },
            Candidates::Ordered(best, counts) => {
                let rows = std::mem::take(&mut best.rows);
                let mut counts = std::mem::take(counts);
                let mut passed = 0;
                for (row, _) in rows.into_values() {
                    if self.page.1.is_some_and(|take| counts.given >= take) {
                        break;
                    }
                    if let Some(filter) = &self.plan.row_filter {
                        counts.scanned += 1;
                        if !row.passes(filter, self.source)? {
                            counts.skipped += 1;
                            continue;
                        }
                    }
                    passed += 1;
                    if passed <= self.page.0 {
                        continue;
                    }
                    counts.given += 1;
                    for shaped in self.shaped(row)? {
                        sink(shaped)?;
                    }
                }
                Ok(counts)
            }
        }
    }

    /// A row as it is given, or several, with what the query asks about it.
    fn shaped(&self, row: Row) -> Result<Vec<Shaped>, QueryError> {
        if self.plan.explained.is_none() && self.plan.highlights.is_empty() {
            return row.shape(self.plan, self.source, self.metadata_only);
        }
        let row = row.whole();
        let told = self.with_subject(&row, |subject| Told {
            reasons: self.plan.explained.as_ref().map(|parts| self.reasons(parts, subject)),
            pieces: self.pieces(subject),
        });
        let mut shaped = row.shape(self.plan, self.source, self.metadata_only)?;
        for shaped in &mut shaped {
            shaped.told = told.clone();
        }
        Ok(shaped)
    }

    fn reasons(&self, parts: &[(String, Filter)], subject: &Subject<'_>) -> String {
        let score = self.plan.filter.score(subject);
        let part = |(text, filter): &(String, Filter)| {
            let holds = if filter.holds(subject) { "holds" } else { "does not hold" };
            format!("{text} {holds}, score {}", filter.score(subject))
        };
        let lines: Vec<String> =
            std::iter::once(format!("score {score}")).chain(parts.iter().map(part)).collect();
        lines.join("\n")
    }

    fn pieces(&self, subject: &Subject<'_>) -> Vec<(usize, String, Vec<String>)> {
        let of_item = |(number, item): (usize, &Highlight)| {
            let (name, pieces) = item.pieces(subject)?;
            Some((number, name, pieces))
        };
        self.plan.highlights.iter().enumerate().filter_map(of_item).collect()
    }

    /// The number of rows up to the end of the page.
    pub(super) fn page_end(&self) -> Option<u64> {
        self.page.1.map(|take| self.page.0.saturating_add(take))
    }

    fn in_order_of_reading(&self, sink: &mut Sink<'_>) -> Result<Counts, QueryError> {
        let known_total = self.known_total()?;
        let mut counts = Counts::default();
        let mut passed = 0_u64;
        let mut seen = HashSet::new();
        let mut budget = Budget::sorted();
        self.scan(&mut |row, _| {
            if self.page.1.is_some_and(|take| counts.given >= take) {
                if known_total.is_some() {
                    return Ok(ControlFlow::Break(()));
                }
                counts.total += 1;
                return Ok(ControlFlow::Continue(()));
            }
            counts.total += 1;
            if let Some(identity) = row.identity(self.plan, self.source)? {
                budget.take(identity.len() + 64)?;
                if !seen.insert(identity) {
                    counts.skipped += 1;
                    return Ok(ControlFlow::Continue(()));
                }
            }
            if passed < self.page.0 {
                passed += 1;
                return Ok(ControlFlow::Continue(()));
            }
            counts.given += 1;
            for shaped in self.shaped(row)? {
                sink(shaped)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        counts.total = known_total.unwrap_or(counts.total);
        Ok(counts)
    }

    /// The rows that `filter` lets through, in order of reading; only counted without a sink. Reading stops with the page,
    /// and what was not looked at then counts as fitting.
    fn filtered(&self, filter: &RowFilter, mut sink: Option<&mut Sink<'_>>) -> Result<Counts, QueryError> {
        let known_total = self.known_total()?;
        let mut counts = Counts::default();
        let (mut fitting, mut matched, mut passed) = (0_u64, 0_u64, 0_u64);
        let mut page_is_full = self.page.1 == Some(0);
        let mut seen = HashSet::new();
        let mut budget = Budget::sorted();
        self.scan(&mut |row, _| {
            fitting += 1;
            if page_is_full || self.plan.filter_limit.is_some_and(|limit| counts.scanned >= limit) {
                let is_counted = known_total.is_some() || (self.plan.by_collection && !page_is_full);
                return Ok(if is_counted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
            }
            counts.scanned += 1;
            if !row.passes(filter, self.source)? {
                counts.skipped += 1;
                return Ok(ControlFlow::Continue(()));
            }
            matched += 1;
            let Some(sink) = &mut sink else { return Ok(ControlFlow::Continue(())) };
            if let Some(identity) = row.identity(self.plan, self.source)? {
                budget.take(identity.len() + 64)?;
                if !seen.insert(identity) {
                    counts.skipped += 1;
                    return Ok(ControlFlow::Continue(()));
                }
            }
            passed += 1;
            if passed <= self.page.0 {
                return Ok(ControlFlow::Continue(()));
            }
            counts.given += 1;
            page_is_full = self.page.1 == Some(counts.given);
            for shaped in self.shaped(row)? {
                sink(shaped)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let fitting = known_total.unwrap_or(fitting);
        counts.total = match (self.plan.by_collection, page_is_full) {
            (true, true) if self.plan.filter_limit.is_some_and(|limit| counts.scanned >= limit) => matched,
            (true, true) => fitting.saturating_sub(counts.skipped),
            (true, false) => matched,
            (false, _) => fitting,
        };
        Ok(counts)
    }

    fn ordered(&self) -> Result<(Best, Counts), QueryError> {
        if let Some(in_order) = InOrder::new(self)? {
            if let Some(found) = in_order.first_rows()? {
                return Ok(found);
            }
            in_order.want();
        }
        if let Some(found) = first_documents(self)? {
            return Ok(found);
        }
        let mut counts = Counts::default();
        // Which rows `filter` lets through shows only when they are in order.
        let capacity = if self.plan.row_filter.is_some() { self.plan.filter_limit } else { self.page_end() };
        let mut best = Best::new(capacity);
        self.scan(&mut |row, rank| {
            let Some(rank) = rank else { return Ok(ControlFlow::Continue(())) };
            counts.total += 1;
            if best.wants(&rank) {
                let identity = row.identity(self.plan, self.source)?;
                best.offer(rank, row.waiting(), identity)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        counts.skipped = self.skipped(&best, counts.total)?;
        Ok((best, counts))
    }

    /// How many rows before the last one of the page were the same as an earlier one. When the page is full this needs
    /// a second reading, because rows that fell off the page on the way were not kept.
    fn skipped(&self, best: &Best, total: u64) -> Result<u64, QueryError> {
        if !best.has_identities {
            return Ok(0);
        }
        let held = best.rows.len() as u64;
        if best.capacity.is_none_or(|capacity| held < capacity) {
            return Ok(total.saturating_sub(held));
        }
        let Some((last, _)) = best.rows.last_key_value() else { return Ok(0) };
        let mut before = 0_u64;
        self.scan(&mut |_, rank| {
            before += u64::from(rank.is_some_and(|rank| rank < *last));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(before.saturating_sub(held.saturating_sub(1)))
    }

    /// The total, when the source knows it: of everything, or of what has a term.
    pub(super) fn known_total(&self) -> Result<Option<u64>, QueryError> {
        if let (Some((field, term)), Some(index)) = (&self.plan.terms.exact, self.index) {
            return index.count_of_term(field, term);
        }
        if let (Some((field, term)), Some(auto)) = (&self.plan.terms.exact, self.auto) {
            return auto.count(field, term);
        }
        if !self.plan.filter.is_all() || self.plan.reduce.is_some() {
            return Ok(None);
        }
        match (&self.plan.access, self.index) {
            (Access::Collection, _) => self.source.document_count(self.collection()),
            (Access::Index(_), Some(index)) => index.count(),
            _ => Ok(None),
        }
    }

    fn collection(&self) -> SourceCollection<'_> {
        match self.plan.collection.as_str() {
            "@all_docs" => SourceCollection::All,
            name => SourceCollection::Named(name),
        }
    }

    /// Reads candidates and shows those that fit, numbered and ranked.
    fn scan(&self, visit: &mut Visit<'_>) -> Result<(), QueryError> {
        let mut number = 0_u64;
        let mut fitting = 0_u64;
        let looks_at_nothing = self.plan.looks_at_nothing();
        let mut show = |row: Row| {
            number += 1;
            match self.rank(&row, number) {
                Some(rank) => {
                    fitting += 1;
                    visit(row, rank)
                }
                None => Ok(ControlFlow::Continue(())),
            }
        };
        if let (Some(reduce), Some(index)) = (&self.plan.reduce, self.index) {
            return reduce.rows(index, &mut |row| show(Row::Result(row)));
        }
        match (&self.plan.access, self.index) {
            (Access::Index(equals), Some(index)) => {
                let (rows, by_terms) = self.rows(index, equals)?;
                for row in rows {
                    if show(row?)?.is_break() {
                        break;
                    }
                }
                if let Some(need) = self.plan.terms.need.as_ref().filter(|_| !by_terms)
                    && number >= limits::TERMS_WORTH_ROWS
                    && (fitting.saturating_mul(4) < number || self.is_counted_page(number))
                {
                    index.want_terms(need.fields().into_iter().cloned().collect());
                }
            }
            _ => {
                for document in self.documents()? {
                    let document = document?;
                    if !self.is_of_collection(&document) {
                        continue;
                    }
                    let fields = (!looks_at_nothing).then(|| document.body_json());
                    if show(Row::Document { document, fields })?.is_break() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the query is about a few of the rows that have a term, so that knowing their number is enough.
    fn is_counted_page(&self, number: u64) -> bool {
        self.plan.terms.exact.is_some() && self.page_end().is_some_and(|end| end.saturating_mul(4) < number)
    }

    /// The rows of an index that may fit, and whether terms told them.
    fn rows<'i>(
        &'i self,
        index: &'i dyn SourceIndex,
        equals: &[(String, Json)],
    ) -> Result<(Rows<'i>, bool), QueryError> {
        let is_map_reduce = index.is_map_reduce();
        if is_map_reduce && let Some(candidates) = index.candidates(equals)? {
            return Ok((Box::new(candidates.map(|result| Ok(Row::Result(result?)))), false));
        }
        if self.plan.looks_at_nothing()
            && self.plan.gives_stored_text()
            && !self.metadata_only
            && let Some(texts) = index.result_texts()?
        {
            return Ok((Box::new(texts.map(|text| Ok(Row::Text(text?)))), false));
        }
        let keys = narrow::keys(&self.plan.filter, &index.group_by());
        if let Some(need) = &self.plan.terms.need
            && let Some(rows) = index.rows_by_terms(need, &keys)?
        {
            return Ok((Box::new(rows.map(|row| Ok(Row::from(row?)))), true));
        }
        if is_map_reduce {
            let results = index.results_within(&keys)?;
            return Ok((Box::new(results.map(|result| Ok(Row::Result(result?)))), false));
        }
        let entries = index.entries()?.map(|entry| {
            let (id, entry) = entry?;
            Ok(Row::Entry { id, entry })
        });
        Ok((Box::new(entries), false))
    }

    fn documents(&self) -> Result<Documents<'_>, QueryError> {
        match &self.plan.access {
            Access::Ids(ids) => {
                let source = self.source;
                Ok(Box::new(ids.iter().filter_map(move |id| source.document(id).transpose())))
            }
            Access::Prefix(prefix) => self.source.documents_by_prefix(prefix),
            Access::Collection | Access::Index(_) => {
                if let (Some(auto), Some(need)) = (self.auto, &self.plan.terms.need)
                    && !self.stops_early()?
                    && let Some(documents) = auto.documents(need)?
                {
                    return Ok(documents);
                }
                self.source.documents(self.collection())
            }
        }
    }

    /// Whether reading documents one after the other will find the page before an auto index would have found all that fit.
    fn stops_early(&self) -> Result<bool, QueryError> {
        if !self.plan.order.is_empty() || self.plan.row_filter.is_some() || self.plan.tally.is_some() {
            return Ok(false);
        }
        Ok(match (self.page_end(), self.known_total()?, self.document_count()?) {
            (Some(end), Some(fitting), Some(count)) => {
                end.saturating_mul(count) < fitting.saturating_mul(fitting)
            }
            _ => false,
        })
    }

    /// How many documents the collection has, if that is known.
    pub(super) fn document_count(&self) -> Result<Option<u64>, QueryError> {
        self.source.document_count(self.collection())
    }

    /// Whether a document that was found by id belongs to what the query is about.
    fn is_of_collection(&self, document: &Document) -> bool {
        match self.collection() {
            SourceCollection::All => document.collection.key() != "@hilo",
            SourceCollection::Named(name) => document.collection.key() == fold(name),
        }
    }

    /// `None` when the row does not fit. Otherwise its rank, which an unordered query has not, and a numeric ordering
    /// may deny.
    pub(super) fn rank(&self, row: &Row, number: u64) -> Option<Option<Rank>> {
        self.with_subject(row, |subject| {
            if !self.plan.filter.holds(subject) {
                return None;
            }
            if self.plan.order.is_empty() {
                return Some(None);
            }
            Some(Rank::new(&self.plan.order, subject, number))
        })
    }

    /// Shows what `where` and `order by` look at.
    pub(super) fn with_subject<T>(&self, row: &Row, show: impl FnOnce(&Subject<'_>) -> T) -> T {
        let empty = Object::new();
        let metadata;
        let subject = match row {
            Row::Document { document, fields } => {
                metadata =
                    self.plan.needs_metadata.then(|| document.wire_metadata(self.source.database_id()));
                Subject {
                    id: Some(document.id.as_str()),
                    fields: fields.as_ref().unwrap_or(&empty),
                    metadata: metadata.as_ref(),
                }
            }
            Row::Entry { id, entry } => Subject { id: Some(id.as_str()), fields: entry, metadata: None },
            Row::Result(result) => Subject { id: None, fields: result, metadata: None },
            // Such a row is only given when nobody looks into it.
            Row::Text(_) => Subject { id: None, fields: &empty, metadata: None },
        };
        show(&subject)
    }
}

/// The first rows in order, equal ones once.
pub(super) struct Best {
    capacity: Option<u64>,
    pub(super) rows: BTreeMap<Rank, (Row, Option<String>)>,
    ranks: HashMap<String, Rank>,
    pub(super) has_identities: bool,
    budget: Budget,
}

impl Best {
    pub(super) fn new(capacity: Option<u64>) -> Self {
        Self {
            capacity,
            rows: BTreeMap::new(),
            ranks: HashMap::new(),
            has_identities: false,
            budget: Budget::sorted(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.capacity.is_some_and(|capacity| self.rows.len() as u64 >= capacity)
    }

    /// Whether a row of this rank can be among the first.
    pub(super) fn wants(&self, rank: &Rank) -> bool {
        !self.is_full() || self.rows.last_key_value().is_some_and(|(last, _)| rank < last)
    }

    pub(super) fn offer(&mut self, rank: Rank, row: Row, identity: Option<String>) -> Result<(), QueryError> {
        if let Some(identity) = &identity {
            self.has_identities = true;
            if let Some(earlier) = self.ranks.get(identity) {
                if *earlier <= rank {
                    return Ok(());
                }
                let earlier = earlier.clone();
                self.remove(&earlier);
            }
            self.ranks.insert(identity.clone(), rank.clone());
        }
        self.budget.take(cost(&rank, &row, identity.as_deref()))?;
        self.rows.insert(rank, (row, identity));
        if self.capacity.is_some_and(|capacity| self.rows.len() as u64 > capacity)
            && let Some(last) = self.rows.last_key_value().map(|(last, _)| last.clone())
        {
            self.remove(&last);
        }
        Ok(())
    }

    fn remove(&mut self, rank: &Rank) {
        if let Some((row, identity)) = self.rows.remove(rank) {
            self.budget.give_back(cost(rank, &row, identity.as_deref()));
            if let Some(identity) = identity {
                self.ranks.remove(&identity);
            }
        }
    }
}

fn cost(rank: &Rank, row: &Row, identity: Option<&str>) -> usize {
    let ranks = if identity.is_some() { 2 } else { 1 };
    ranks * rank.bytes() + row.bytes() + identity.map_or(0, |identity| 2 * identity.len() + 64)
}
