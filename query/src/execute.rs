//! Running a query: plan it, read candidates one by one, and give the rows of the page.
//!
//! At most offset + limit rows are held, and only when the query orders them; beyond that everything streams. What is
//! held is counted in bytes against [`limits`].

mod collect;
mod first_documents;
mod gathered;
mod in_order;
mod row;

use crate::answer_row::AnswerRow;
use crate::ast::{FromSource, Query};
use crate::auto_read;
use crate::counters::CounterIncludes;
use crate::error::QueryError;
use crate::group_by::Grouping;
use crate::grouped::Grouped;
use crate::limits;
use crate::parsed::ParsedQuery;
use crate::plan::{self, Context, Plan};
use crate::source::{Source, SourceIndex};
use collect::Collector;
use gathered::{Gathered, ToInclude};
use magpie_store::Timestamp;
use magpie_store::json::{Json, Object};
use std::borrow::Cow;
use std::sync::Arc;

/// What a client asks.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The RQL text.
    pub query: String,
    /// What this text was read as; without it, it is read anew.
    pub parsed: Option<Arc<ParsedQuery>>,
    /// The values of its parameters; `None` when the request has none.
    pub parameters: Option<Object>,
    /// How many rows to skip; the query's own offset counts when it is greater.
    pub start: u64,
    /// Most rows to give; the query's own limit counts when it is smaller.
    pub page_size: Option<u64>,
    /// Whether rows carry `@metadata` only.
    pub metadata_only: bool,
    /// What `order by random()` starts from, since nothing below the server draws random numbers.
    pub random_seed: u64,
    /// The time that JavaScript of the query sees; `None` when it sees none.
    pub now: Option<Timestamp>,
}

/// The answer to a query.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The index that answered: `collection/Users`, `Auto/Users/Byname`, or the name of an index.
    pub index_name: String,
    /// Whether that index is behind the documents.
    pub is_stale: bool,
    /// How many documents, entries or results fit the query on all pages; -1 when they were not counted.
    pub total_results: i64,
    /// How many rows were left out because an equal one, or one of the same document, came before.
    pub skipped_results: i64,
    /// How many rows `filter` looked at.
    pub scanned_results: i64,
    /// How many rows the query's own limit leaves; `None` when it has none.
    pub capped_max_results: Option<i64>,
    /// The rows as clients see them.
    pub rows: Vec<AnswerRow>,
    /// The included documents by id.
    pub includes: Object,
    /// The included compare-exchange values by key, with their indexes; -1 for what is not there. `None` when the query
    /// asks for none.
    pub exchanges: Option<Object>,
    /// The included counters; `None` when the query asks for none.
    pub counters: Option<CounterIncludes>,
    /// The paths of `include`; `None` when there are none.
    pub included_paths: Option<Vec<String>>,
    /// Whether the query asks how long it took.
    pub wants_timings: bool,
    /// Why each document is in the answer, by id, if the query asks for that.
    pub explanations: Option<Object>,
    /// Pieces of texts in which something was found, by field and then by the id of the document, if the query asks for that.
    pub highlightings: Option<Object>,
    /// What is odd about the query, in sentences for people.
    pub warnings: Vec<String>,
    /// Changes whenever the answer may have changed; the same for the same question to the same state.
    pub result_etag: i64,
}

impl Answer {
    /// The rows as values.
    #[must_use]
    pub fn json_rows(&self) -> Vec<Json> {
        self.rows.iter().cloned().map(AnswerRow::into_json).collect()
    }
}

/// Answers a query.
///
/// # Errors
/// Any [`QueryError`]; [`QueryError::LimitReached`] when the answer would be larger than
/// [`limits::ANSWER_BYTES_MAX`], or a sort needs more than [`limits::SORTED_BYTES_MAX`].
pub fn execute(source: &dyn Source, request: &Request) -> Result<Answer, QueryError> {
    let mut budget = Budget::answer();
    let mut rows = Vec::new();
    let mut take = |row: AnswerRow| {
        budget.take(row.bytes())?;
        rows.push(row);
        Ok(())
    };
    let (mut answer, included) = run(source, request, &mut Out::Rows(&mut take))?;
    included.load(source, &mut budget, &mut answer)?;
    answer.rows = rows;
    Ok(answer)
}

/// Takes the rows of a streamed answer.
pub trait RowSink {
    /// Called once, before the first row, with the answer so far: all but its rows, `skipped_results`,
    /// `scanned_results` and `includes`.
    ///
    /// # Errors
    /// Whatever ends the query.
    fn begin(&mut self, head: &Answer) -> Result<(), QueryError>;

    /// Takes the next row.
    ///
    /// # Errors
    /// Whatever ends the query.
    fn row(&mut self, row: AnswerRow) -> Result<(), QueryError>;
}

/// A closure takes the rows and does not look at the head.
impl<F: FnMut(AnswerRow) -> Result<(), QueryError>> RowSink for F {
    fn begin(&mut self, _head: &Answer) -> Result<(), QueryError> {
        Ok(())
    }

    fn row(&mut self, row: AnswerRow) -> Result<(), QueryError> {
        self(row)
    }
}

/// Answers a query row by row: `sink` gets each row in order, and the returned answer has none. The rows may be more
/// than an answer can hold. What fits the query is counted before the first row is given, by reading twice if need be.
///
/// # Errors
/// Those of [`execute`], and what `sink` returns, which ends the query.
pub fn stream(source: &dyn Source, request: &Request, sink: &mut dyn RowSink) -> Result<Answer, QueryError> {
    let (mut answer, included) = run(source, request, &mut Out::Stream(sink))?;
    included.load(source, &mut Budget::answer(), &mut answer)?;
    Ok(answer)
}

/// Where rows go.
enum Out<'s> {
    Rows(&'s mut dyn FnMut(AnswerRow) -> Result<(), QueryError>),
    Stream(&'s mut dyn RowSink),
}

impl Out<'_> {
    fn row(&mut self, row: AnswerRow) -> Result<(), QueryError> {
        match self {
            Self::Rows(take) => take(row),
            Self::Stream(sink) => sink.row(row),
        }
    }
}

fn run(source: &dyn Source, request: &Request, out: &mut Out<'_>) -> Result<(Answer, ToInclude), QueryError> {
    let parsed = match &request.parsed {
        Some(parsed) => Arc::clone(parsed),
        None => Arc::new(ParsedQuery::new(&request.query)?),
    };
    let mut query = Cow::Borrowed(&parsed.query);
    let context = Context {
        text: &request.query,
        parameters: request.parameters.as_ref(),
        random_seed: request.random_seed,
        now: request.now,
    };
    let index = asked(source, &mut query, context)?;
    let index = index.as_deref();
    let plan = plan::plan(&query, context, source, index)?;
    let mut answer = head(source, request, &plan, index)?;
    let auto = auto_read::of(source, &plan)?;
    let collector = Collector {
        source,
        plan: &plan,
        index,
        auto: auto.as_deref(),
        metadata_only: request.metadata_only,
        page: page(&plan, request),
    };
    if let Some(tally) = &plan.tally {
        let rows = collector.counted(tally)?;
        answer.total_results = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        if let Out::Stream(sink) = out {
            sink.begin(&answer)?;
        }
        for row in rows {
            out.row(AnswerRow::Made(Json::Object(row)))?;
        }
        return Ok((answer, ToInclude::default()));
    }
    let mut gathered = Gathered::new(&plan);
    let mut candidates = collector.candidates()?;
    if let Out::Stream(sink) = out {
        let total = collector.total(&candidates)?;
        set_totals(&mut answer, &plan, total, None);
        sink.begin(&answer)?;
    }
    let counts = collector.give(&mut candidates, &mut |mut shaped| {
        gathered.take(&plan, &mut shaped)?;
        out.row(shaped.row)
    })?;
    let included = gathered.finish(&plan, &mut answer);
    set_totals(&mut answer, &plan, counts.total, Some(counts.given));
    answer.skipped_results = i64::try_from(counts.skipped).unwrap_or(i64::MAX);
    answer.scanned_results = i64::try_from(counts.scanned).unwrap_or(i64::MAX);
    Ok((answer, included))
}

/// The index that the query asks. A query with `group by` becomes one that asks its groups.
fn asked<'s>(
    source: &'s dyn Source,
    query: &mut Cow<'_, Query>,
    context: Context<'_>,
) -> Result<Option<Box<dyn SourceIndex + 's>>, QueryError> {
    Ok(match &query.from.source {
        FromSource::Collection(collection) if !query.group_by.is_empty() => {
            plan::check(query, context, false)?;
            let (grouping, mut rest) = Grouping::new(query, context)?;
            let grouped = Grouped::new(source, collection, grouping, &rest);
            rest.from.source = FromSource::Index(grouped.name.clone());
            *query = Cow::Owned(rest);
            Some(Box::new(grouped))
        }
        FromSource::Collection(_) => None,
        FromSource::Index(name) => match source.index(name)? {
            Some(index) => Some(index),
            None => return Err(QueryError::IndexMissing { name: name.clone() }),
        },
    })
}

/// The answer without counts and rows.
fn head(
    source: &dyn Source,
    request: &Request,
    plan: &Plan,
    index: Option<&dyn SourceIndex>,
) -> Result<Answer, QueryError> {
    let is_stale = match index {
        Some(index) => index.is_stale()?,
        None => false,
    };
    Ok(Answer {
        is_stale,
        included_paths: (!plan.include.is_empty())
            .then(|| plan.include.iter().map(|path| path.text.clone()).collect()),
        exchanges: (!plan.exchanges.is_empty()).then(Object::new),
        highlightings: (!plan.highlights.is_empty()).then(Object::new),
        counters: (!plan.counter_includes.is_empty()).then(CounterIncludes::default),
        result_etag: result_etag(source, request, index, is_stale, plan)?,
        index_name: plan.index_name.clone(),
        wants_timings: plan.timings,
        warnings: plan.warnings.clone(),
        ..Answer::default()
    })
}

/// Fills in how much fits the query and, once it is known how many rows were given, how many the limit leaves.
fn set_totals(answer: &mut Answer, plan: &Plan, total: u64, given: Option<u64>) {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    answer.total_results = if plan.total_unknown && given != Some(0) { -1 } else { signed(total) };
    if let (true, Some(given)) = (plan.page.is_given, given) {
        let all = if plan.total_unknown { given } else { total.saturating_sub(plan.page.offset) };
        answer.capped_max_results = Some(signed(plan.page.take.map_or(all, |take| take.min(all))));
    }
}

/// The page of the query and that of the request in one.
fn page(plan: &Plan, request: &Request) -> (u64, Option<u64>) {
    let take = match (plan.page.take, request.page_size) {
        (Some(query), Some(request)) => Some(query.min(request)),
        (query, request) => query.or(request),
    };
    // Clients up to version 5 say the same offset in both places.
    (plan.page.offset.max(request.start), take)
}

fn names_exchanges(query: &str) -> bool {
    query.as_bytes().windows(7).any(|word| word.eq_ignore_ascii_case(b"cmpxchg"))
}

fn result_etag(
    source: &dyn Source,
    request: &Request,
    index: Option<&dyn SourceIndex>,
    is_stale: bool,
    plan: &Plan,
) -> Result<i64, QueryError> {
    let parameters = request.parameters.as_ref().map_or_else(String::new, ToString::to_string);
    let numbers = [
        source.last_etag().0,
        index.map_or(Ok(0), SourceIndex::version)?,
        u64::from(is_stale),
        request.start,
        request.page_size.unwrap_or(u64::MAX),
        u64::from(request.metadata_only),
        request.random_seed,
        // Whoever looks at compare-exchange values in any way sees another answer when one has changed.
        if names_exchanges(&request.query) { source.last_compare_exchange()? } else { 0 },
        request.now.map_or(0, |now| u64::from_ne_bytes(now.0.to_ne_bytes())),
    ];
    let mut parts: Vec<&[u8]> = vec![
        source.database_id().as_bytes(),
        plan.index_name.as_bytes(),
        request.query.as_bytes(),
        parameters.as_bytes(),
    ];
    let numbers = numbers.map(u64::to_be_bytes);
    parts.extend(numbers.iter().map(<[u8; 8]>::as_slice));
    Ok(i64::from_ne_bytes(fingerprint(&parts).to_ne_bytes()))
}

/// A 64-bit hash of byte strings that is the same in every process. Source: FNV-1a (Fowler, Noll, Vo).
pub(crate) fn fingerprint(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        let length = (part.len() as u64).to_be_bytes();
        for byte in length.iter().chain(part.iter()) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

/// Bytes that may still be held.
#[derive(Debug)]
pub(crate) struct Budget {
    name: &'static str,
    limit: usize,
    unit: &'static str,
    advice: &'static str,
    used: usize,
}

impl Budget {
    /// What one answer may hold.
    fn answer() -> Self {
        Self {
            name: "answer_bytes_max",
            limit: limits::ANSWER_BYTES_MAX,
            unit: "bytes of rows and included documents",
            advice: "use limit, select fewer fields, or stream the query",
            used: 0,
        }
    }

    /// What one sort may hold.
    pub(crate) fn sorted() -> Self {
        Self {
            name: "sorted_bytes_max",
            limit: limits::SORTED_BYTES_MAX,
            unit: "bytes in memory to order or compare rows",
            advice: "use limit, or filter more",
            used: 0,
        }
    }

    /// What the groups of one query may hold.
    pub(crate) fn groups() -> Self {
        Self {
            name: "groups_bytes_max",
            limit: limits::GROUPS_BYTES_MAX,
            unit: "bytes of groups",
            advice: "group by fields with fewer values, or make an index",
            used: 0,
        }
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), QueryError> {
        self.used = self.used.saturating_add(bytes);
        if self.used <= self.limit {
            return Ok(());
        }
        Err(QueryError::LimitReached {
            name: self.name,
            limit: self.limit,
            unit: self.unit,
            advice: self.advice,
        })
    }

    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }
}
