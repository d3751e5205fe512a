//! From a parsed query and its parameters to a [`Plan`]: which documents or entries to read, what to ask of each, how to
//! order and shape the rows, and under which index name to report them. Clauses that are not answered end here.

mod access;
mod aliases;
mod arithmetic;
mod condition;
mod counters;
mod highlight;
mod more_like_this;
pub(crate) mod narrow;
mod paging;
mod reduce_by;
mod refuse;
mod select;
mod tally;
pub(crate) mod terms;
mod warnings;

use crate::ast::{Argument, Call, Condition, FromSource, Include, Left, OrderItem, Ordering, Query, Value};
use crate::auto_index::AutoFields;
use crate::counters::{CounterField, CounterInclude};
use crate::error::{QueryError, parameters_text};
use crate::filter::Filter;
use crate::highlight::Highlight;
use crate::include::IncludePath;
use crate::load::Load;
use crate::order::{OrderBy, OrderKey};
use crate::projection::Projection;
use crate::reduce_by::ReduceBy;
use crate::row_filter::RowFilter;
use crate::script::{Parts, RowScript};
use crate::source::{Source, SourceIndex};
use crate::tally::Tally;
use crate::term::{FieldRef, Step};
use condition::Compiler;
pub(crate) use condition::literal;
use magpie_indexes::definition::FieldIndexing;
use magpie_store::Timestamp;
use magpie_store::json::{Json, Object};
pub(crate) use paging::Page;
pub(crate) use refuse::call as refused_call;
use select::{Selects, selection};
use terms::FilterTerms;

/// What is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Access {
    /// The documents with these ids, which are distinct.
    Ids(Vec<String>),
    /// The documents whose ids start so.
    Prefix(String),
    /// All documents of the collection.
    Collection,
    /// The index; the values that fields are known to equal may narrow it down.
    Index(Vec<(String, Json)>),
}

/// A query ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) access: Access,
    /// The collection as the query spells it; empty for an index.
    pub(crate) collection: String,
    /// What candidates must fit. With `reduce`, these are its rows, which all do.
    pub(crate) filter: Filter,
    pub(crate) terms: FilterTerms,
    pub(crate) reduce: Option<ReduceBy>,
    pub(crate) order: Vec<OrderKey>,
    /// Which of the rows that fit are given.
    pub(crate) row_filter: Option<RowFilter>,
    /// Most rows that `row_filter` looks at.
    pub(crate) filter_limit: Option<u64>,
    pub(crate) projection: Projection,
    /// What is counted instead of giving rows.
    pub(crate) tally: Option<Tally>,
    /// What the projection needs of JavaScript and of other documents.
    pub(crate) script: Option<RowScript>,
    pub(crate) loads: Vec<Load>,
    pub(crate) distinct: bool,
    pub(crate) page: Page,
    pub(crate) include: Vec<IncludePath>,
    /// Whether the answer tells how long it took.
    pub(crate) timings: bool,
    /// The parts of the condition with their texts, if the answer tells which of them hold.
    pub(crate) explained: Option<Vec<(String, Filter)>>,
    pub(crate) index_name: String,
    /// The fields of the auto index of a dynamic query; `None` for a query that needs none.
    pub(crate) auto_fields: Option<AutoFields>,
    /// Paths to keys of compare-exchange values that come along.
    pub(crate) exchanges: Vec<IncludePath>,
    /// The counters that the rows show.
    pub(crate) counters: Vec<CounterField>,
    /// The counters that come along.
    pub(crate) counter_includes: Vec<CounterInclude>,
    /// Whether the filter or order looks at `@metadata`.
    pub(crate) needs_metadata: bool,
    /// Whether the collection itself answers, without terms.
    pub(crate) by_collection: bool,
    /// A prefix query on a collection does not count what it did not read.
    pub(crate) total_unknown: bool,
    /// Whether rows carry `@index-score`.
    pub(crate) shows_score: bool,
    /// What is odd about the query.
    pub(crate) warnings: Vec<String>,
    /// The fields whose texts are given with marks.
    pub(crate) highlights: Vec<Highlight>,
}

impl Plan {
    /// Whether whole rows are given, and nothing is looked for in them.
    pub(crate) fn gives_stored_text(&self) -> bool {
        matches!(self.projection, Projection::Whole) && self.includes_nothing()
    }

    /// Whether no row is looked into before it is given.
    pub(crate) fn looks_at_nothing(&self) -> bool {
        self.filter.is_all()
            && self.order.is_empty()
            && self.row_filter.is_none()
            && self.tally.is_none()
            && self.explained.is_none()
            && self.highlights.is_empty()
            && !self.distinct
    }

    /// Whether nothing is looked for in the rows to send it along.
    pub(crate) fn includes_nothing(&self) -> bool {
        self.include.is_empty() && self.exchanges.is_empty() && self.counter_includes.is_empty()
    }
}

/// What errors repeat, and where values come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) text: &'a str,
    pub(crate) parameters: Option<&'a Object>,
    pub(crate) random_seed: u64,
    pub(crate) now: Option<Timestamp>,
}

impl Context<'_> {
    pub(crate) fn invalid(&self, message: impl Into<String>) -> QueryError {
        QueryError::Invalid {
            message: message.into(),
            query: self.text.into(),
            parameters: Some(parameters_text(self.parameters)),
        }
    }

    /// The value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Result<Json, QueryError> {
        let Some(parameters) = self.parameters else {
            return Err(self
                .invalid("The query is parametrized but the actual values of parameters were not provided"));
        };
        match parameters.get(name) {
            Some(value) => Ok(value.clone()),
            None => Err(self.invalid(format!("Value of parameter '{name}' was not provided"))),
        }
    }
}

/// Refuses a query that contradicts itself.
pub(crate) fn check(query: &Query, context: Context<'_>, from_index: bool) -> Result<(), QueryError> {
    refuse::meaningless(query, context, from_index)
}

/// Plans `query`. `index` is the index that it names, if it names one.
pub(crate) fn plan(
    query: &Query,
    context: Context<'_>,
    source: &dyn Source,
    index: Option<&dyn SourceIndex>,
) -> Result<Plan, QueryError> {
    refuse::meaningless(query, context, index.is_some())?;
    refuse::unsupported(query, context)?;
    let alias = query.from.alias.as_deref();
    let mut compiler = Compiler::new(context, alias, index, source);
    let (filter, reduce) = filter(query, context, &mut compiler, index)?;
    let order = order(query, context, &mut compiler, reduce.as_ref(), &filter)?;
    let tally = tally::tally(query, context, &mut compiler, source, index)?;
    let explained = explained(query, &mut compiler)?;
    let access = match index {
        Some(_) => Access::Index(compiler.equalities(query.condition.as_ref())),
        None => compiler.access(query.condition.as_ref())?,
    };
    let collection = collection(query);
    // Only queries that need no terms are answered by the collection itself.
    let by_collection =
        order.is_empty() && tally.is_none() && compiler.is_collection_query(query.condition.as_ref());
    let filter_terms = FilterTerms::new(&filter);
    let highlights = highlight::highlights(query, context, &compiler, &filter, index)?;
    let index_name = match index {
        Some(index) => index.name(),
        None if by_collection => format!("collection/{collection}"),
        None => source.auto_index_name(&collection, &compiler.fields, &terms::wanted(&filter_terms, &order)),
    };
    let loads = loads(query, alias, context)?;
    let parts = parts(query, context, &loads);
    let row_filter =
        query.filter.as_ref().map(|clause| RowFilter::new(&clause.content, &parts)).transpose()?;
    let Selects { projection, script, counters } = match &tally {
        Some(_) => Selects::of(Projection::Whole, None),
        None => selection(query, &parts, index, reduce.as_ref())?,
    };
    let by_collection = by_collection && index.is_none();
    let shows_score = by_collection && !matches!(projection, Projection::Whole);
    Ok(Plan {
        total_unknown: by_collection && matches!(access, Access::Prefix(_)),
        access,
        collection,
        terms: filter_terms,
        filter,
        reduce,
        order,
        row_filter,
        filter_limit: paging::filter_limit(query, context)?,
        projection,
        tally,
        script,
        loads,
        distinct: query.select.as_ref().is_some_and(|select| select.distinct),
        by_collection,
        page: Page::new(query, context)?,
        include: include(query, alias),
        timings: includes_call(query, "timings"),
        explained,
        index_name,
        auto_fields: (index.is_none() && !by_collection).then_some(compiler.fields),
        exchanges: exchanges(query, context, alias)?,
        counters,
        counter_includes: counters::included(query, context)?,
        needs_metadata: compiler.needs_metadata,
        shows_score,
        warnings: warnings::of(query.condition.as_ref()),
        highlights,
    })
}

/// The condition of rows, and what makes them of others that fit it instead.
fn filter(
    query: &Query,
    context: Context<'_>,
    compiler: &mut Compiler<'_>,
    index: Option<&dyn SourceIndex>,
) -> Result<(Filter, Option<ReduceBy>), QueryError> {
    let filter = match &query.condition {
        Some(condition) => compiler.compile(condition)?,
        None => Filter::All,
    };
    Ok(match &query.reduce {
        Some(clause) => (Filter::All, Some(reduce_by::plan(clause, filter, compiler.alias, context, index)?)),
        None => (filter, None),
    })
}

/// What functions of the query are made of.
fn parts<'a>(query: &'a Query, context: Context<'a>, loads: &'a [Load]) -> Parts<'a> {
    Parts {
        context,
        declarations: &query.declarations,
        alias: query.from.alias.as_deref(),
        loaded: loads.iter().map(|load| load.alias.as_str()).collect(),
        alone: loads.iter().filter(|load| !load.each).map(|load| load.alias.as_str()).collect(),
    }
}

/// The collection as the query spells it; empty for an index.
fn collection(query: &Query) -> String {
    match &query.from.source {
        FromSource::Collection(name) => name.clone(),
        FromSource::Index(_) => String::new(),
    }
}

fn order(
    query: &Query,
    context: Context<'_>,
    compiler: &mut Compiler<'_>,
    reduce: Option<&ReduceBy>,
    filter: &Filter,
) -> Result<Vec<OrderKey>, QueryError> {
    let mut order = Vec::with_capacity(query.order_by.len());
    for item in &query.order_by {
        if let (Some(reduce), Left::Field(path)) = (reduce, &item.key) {
            reduce_by::check_kept(reduce, path, query.from.alias.as_deref(), context)?;
        }
        order.push(order_of(item, compiler, filter)?);
    }
    Ok(order)
}

fn order_of(item: &OrderItem, compiler: &mut Compiler<'_>, filter: &Filter) -> Result<OrderKey, QueryError> {
    let field = match &item.key {
        Left::Field(path) => compiler.field(path, false)?.0,
        Left::Call(call) => match call.name.to_lowercase().as_str() {
            "id" => compiler.id_field()?,
            "score" => {
                let by = OrderBy::Score(Box::new(filter.clone()));
                return Ok(OrderKey { by, descending: item.descending });
            }
            "random" => {
                let seed = compiler.random_seed(call)?;
                return Ok(OrderKey { by: OrderBy::Random(seed), descending: item.descending });
            }
            "custom" | "spatial.distance" => return Err(refuse::call(call, "order by")),
            _ => {
                let message = format!("Invalid ORDER BY method call {}", call.name);
                return Err(compiler.invalid(message));
            }
        },
    };
    let by = match item.ordering {
        None | Some(Ordering::Text) => OrderBy::Text(field),
        Some(Ordering::Long) => OrderBy::Long(field),
        Some(Ordering::Double) => OrderBy::Double(field),
        Some(Ordering::AlphaNumeric) => OrderBy::AlphaNumeric(field),
    };
    Ok(OrderKey { by, descending: item.descending })
}

/// Whether `select` takes the field at this path from the entry of a map-only index.
fn is_stored(path: &[Step], index: Option<&dyn SourceIndex>) -> bool {
    match (path.first(), index) {
        (Some(Step::Member(first)), Some(index)) => !index.is_map_reduce() && index.is_stored(first),
        _ => false,
    }
}

/// Whether an item of `include` asks for something about the answer.
fn is_told(call: &Call, name: &str) -> bool {
    call.name.eq_ignore_ascii_case(name)
}

fn includes_call(query: &Query, name: &str) -> bool {
    query.include.iter().any(|item| matches!(item, Include::Call(call) if is_told(call, name)))
}

/// The conditions that are joined by `and`, or the only one, if the query asks which of them hold.
fn explained(
    query: &Query,
    compiler: &mut Compiler<'_>,
) -> Result<Option<Vec<(String, Filter)>>, QueryError> {
    if !includes_call(query, "explanations") {
        return Ok(None);
    }
    let parts = match &query.condition {
        Some(Condition::And(parts)) => parts.as_slice(),
        Some(only) => std::slice::from_ref(only),
        None => &[],
    };
    let part = |part: &Condition| Ok((part.to_string(), compiler.compile(part)?));
    parts.iter().map(part).collect::<Result<_, _>>().map(Some)
}

fn loads(query: &Query, alias: Option<&str>, context: Context<'_>) -> Result<Vec<Load>, QueryError> {
    let mut loads = Vec::with_capacity(query.load.len());
    for item in &query.load {
        let load = Load::new(item, alias, &loads, context)?;
        loads.extend(load);
    }
    Ok(loads)
}

/// The paths of `include cmpxchg(..)`.
fn exchanges(
    query: &Query,
    context: Context<'_>,
    alias: Option<&str>,
) -> Result<Vec<IncludePath>, QueryError> {
    let mut paths = Vec::new();
    for item in &query.include {
        let Include::Call(call) = item else { continue };
        if !is_told(call, "cmpxchg") {
            continue;
        }
        let named = match call.arguments.as_slice() {
            [Argument::Field(path)] => Json::from(path.text()),
            [Argument::Value(Value::Parameter(name))] => context.parameter(name)?,
            [Argument::Value(value)] => literal(value),
            [_] => {
                return Err(
                    context.invalid("Method 'cmpxchg()' takes the path of a field with keys in include")
                );
            }
            _ => return Err(context.invalid("Method 'cmpxchg()' expects one argument to be provided")),
        };
        let several = named.as_array().unwrap_or(std::slice::from_ref(&named));
        // What is no text names no field, so nothing comes along, as in the original.
        paths.extend(several.iter().filter_map(Json::as_str).map(|path| include_path(path, alias)));
    }
    Ok(paths)
}

/// The path of an item of `include`, without the name of the source.
fn include_path(path: &str, alias: Option<&str>) -> IncludePath {
    let behind_alias =
        alias.and_then(|alias| path.strip_prefix(alias)).and_then(|rest| rest.strip_prefix('.'));
    IncludePath::new(behind_alias.unwrap_or(path))
}

fn include(query: &Query, alias: Option<&str>) -> Vec<IncludePath> {
    let mut paths = Vec::with_capacity(query.include.len());
    for item in &query.include {
        // Calls ask for something else, or were refused before.
        if let Include::Path(path) = item {
            paths.push(include_path(path, alias));
        }
    }
    paths
}

/// How a field of an index is compared.
fn matching(indexing: FieldIndexing, exact: bool) -> crate::compare::Matching {
    use crate::compare::Matching;
    match (indexing, exact) {
        (FieldIndexing::Default, false) => Matching::Folded,
        (FieldIndexing::Default, true) => Matching::OriginalAgainstFolded,
        (FieldIndexing::Analyzed(analyzer), false) => Matching::Words(analyzer),
        (FieldIndexing::Analyzed(analyzer), true) => Matching::OriginalAgainstWords(analyzer),
        (FieldIndexing::Exact, _) => Matching::Original,
        (FieldIndexing::No, _) => Matching::Nothing,
    }
}

/// Whether `field` is `@metadata` or in it.
fn is_metadata(field: &FieldRef) -> bool {
    match field {
        FieldRef::Id => false,
        FieldRef::Path(steps) => steps.first() == Some(&Step::Member("@metadata".to_owned())),
    }
}
