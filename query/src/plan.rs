//! From a parsed query and its parameters to a [`Plan`]: which documents or entries to read, what to ask of each, how to
//! order and shape the rows, and under which index name to report them. Clauses that are not answered end here.

mod arithmetic;
mod condition;
mod paging;
mod reduce_by;
mod refuse;

use crate::ast::{Argument, FromSource, Include, Left, OrderItem, Ordering, Query, Selected, Selection};
use crate::error::{QueryError, parameters_text};
use crate::filter::Filter;
use crate::include::IncludePath;
use crate::order::{OrderBy, OrderKey};
use crate::projection::{From, Projected, Projection};
use crate::reduce_by::ReduceBy;
use crate::source::{FieldIndexing, Source, SourceIndex};
use crate::term::{self, FieldRef, Step};
use arithmetic::Calculator;
use condition::Compiler;
use magpie_store::json::{Json, Object};
pub(crate) use paging::Page;
use std::collections::HashSet;

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
    pub(crate) reduce: Option<ReduceBy>,
    pub(crate) order: Vec<OrderKey>,
    pub(crate) projection: Projection,
    pub(crate) distinct: bool,
    pub(crate) page: Page,
    pub(crate) include: Vec<IncludePath>,
    pub(crate) index_name: String,
    /// Whether the filter or order looks at `@metadata`.
    pub(crate) needs_metadata: bool,
    /// A prefix query on a collection does not count what it did not read.
    pub(crate) total_unknown: bool,
    /// Whether rows carry `@index-score`.
    pub(crate) shows_score: bool,
}

/// What errors repeat, and where values come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) text: &'a str,
    pub(crate) parameters: Option<&'a Object>,
    pub(crate) random_seed: u64,
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
    refuse::unsupported(query)?;
    let alias = query.from.alias.as_deref();
    let mut compiler = Compiler::new(context, alias, index);
    let filter = match &query.condition {
        Some(condition) => compiler.compile(condition)?,
        None => Filter::All,
    };
    let (filter, reduce) = match &query.reduce {
        Some(clause) => (Filter::All, Some(reduce_by::plan(clause, filter, alias, context, index)?)),
        None => (filter, None),
    };
    let mut order = Vec::with_capacity(query.order_by.len());
    for item in &query.order_by {
        if let (Some(reduce), Left::Field(path)) = (&reduce, &item.key) {
            reduce_by::check_kept(reduce, path, alias, context)?;
        }
        order.push(order_key(item, &mut compiler)?);
    }
    let access = match index {
        Some(_) => Access::Index(compiler.equalities(query.condition.as_ref())),
        None => compiler.access(query.condition.as_ref())?,
    };
    let collection = match &query.from.source {
        FromSource::Collection(name) => name.clone(),
        FromSource::Index(_) => String::new(),
    };
    // Only queries that need no terms are answered by the collection itself.
    let by_collection = order.is_empty() && compiler.is_collection_query(query.condition.as_ref());
    let index_name = match index {
        Some(index) => index.name(),
        None if by_collection => format!("collection/{collection}"),
        None => source.auto_index_name(&collection, &compiler.fields),
    };
    let (projection, distinct) = projection(query, context, index, reduce.as_ref())?;
    let shows_score = by_collection && index.is_none() && matches!(projection, Projection::Fields(_));
    Ok(Plan {
        total_unknown: by_collection && matches!(access, Access::Prefix(_)),
        access,
        collection,
        filter,
        reduce,
        order,
        projection,
        distinct,
        page: Page::new(query, context)?,
        include: include(query, alias),
        index_name,
        needs_metadata: compiler.needs_metadata,
        shows_score,
    })
}

fn order_key(item: &OrderItem, compiler: &mut Compiler<'_>) -> Result<OrderKey, QueryError> {
    let field = match &item.key {
        Left::Field(path) => compiler.field(path, false)?.0,
        Left::Call(call) => match call.name.to_lowercase().as_str() {
            "id" => compiler.id_field()?,
            "score" => return Ok(OrderKey { by: OrderBy::Score, descending: item.descending }),
            "random" => {
                let seed = compiler.random_seed(call)?;
                return Ok(OrderKey { by: OrderBy::Random(seed), descending: item.descending });
            }
            _ => return Err(refuse::call(call, "order by")),
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

fn projection(
    query: &Query,
    context: Context<'_>,
    index: Option<&dyn SourceIndex>,
    reduce: Option<&ReduceBy>,
) -> Result<(Projection, bool), QueryError> {
    let Some(select) = &query.select else { return Ok((Projection::Whole, false)) };
    let Selection::Items(items) = &select.what else { return Ok((Projection::Whole, select.distinct)) };
    let alias = query.from.alias.as_deref();
    let calculator = Calculator { context, alias, index, reduce };
    let mut fields = Vec::with_capacity(items.len());
    let mut names = HashSet::new();
    for item in items {
        let (name, from) = match &item.what {
            Selected::Plain(Argument::Field(path))
                if items.len() == 1 && item.alias.is_none() && path.without_alias(alias).is_none() =>
            {
                return Ok((Projection::Whole, select.distinct));
            }
            Selected::Plain(argument) => selected(argument, calculator)?,
            Selected::Arithmetic(expression) => {
                (expression.to_string(), From::Calculated(Box::new(calculator.compile(expression)?)))
            }
        };
        let stored = matches!(&from, From::Path(path) if is_stored(path, index));
        let name = item.alias.clone().unwrap_or(name);
        if !names.insert(name.clone()) {
            return Err(context.invalid(format!(
                "Duplicate alias '{name}' detected. Note: every item of SELECT needs a name of its own"
            )));
        }
        fields.push(Projected { name, from, stored });
    }
    Ok((Projection::Fields(fields), select.distinct))
}

/// The name and origin of an item of `select` that is not calculated.
fn selected(argument: &Argument, scope: Calculator<'_>) -> Result<(String, From), QueryError> {
    Ok(match argument {
        Argument::Value(value) => {
            let value = match value {
                crate::ast::Value::Parameter(name) => scope.context.parameter(name)?,
                other => condition::literal(other),
            };
            let name = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (name, From::Value(value))
        }
        Argument::Field(path) => {
            scope.check_kept(path)?;
            match path.without_alias(scope.alias) {
                Some(path) => (path.text(), From::Path(term::steps(&path))),
                None => (path.text(), From::Whole),
            }
        }
        Argument::Call(call) if call.name.eq_ignore_ascii_case("id") => ("id()".to_owned(), From::Id),
        Argument::Call(call) => return Err(refuse::call(call, "select")),
        Argument::Condition(_) | Argument::Word(_) => {
            return Err(scope.context.invalid("Unable to understand an item of SELECT"));
        }
    })
}

/// Whether `select` takes the field at this path from the entry of a map-only index.
fn is_stored(path: &[Step], index: Option<&dyn SourceIndex>) -> bool {
    match (path.first(), index) {
        (Some(Step::Member(first)), Some(index)) => !index.is_map_reduce() && index.is_stored(first),
        _ => false,
    }
}

fn include(query: &Query, alias: Option<&str>) -> Vec<IncludePath> {
    let mut paths = Vec::with_capacity(query.include.len());
    for item in &query.include {
        // Calls were refused before.
        if let Include::Path(path) = item {
            let behind_alias =
                alias.and_then(|alias| path.strip_prefix(alias)).and_then(|rest| rest.strip_prefix('.'));
            paths.push(IncludePath::new(behind_alias.unwrap_or(path)));
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
