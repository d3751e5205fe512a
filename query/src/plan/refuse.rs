//! What is refused before anything is read: what makes no sense, in the original's words, and clauses that this server
//! does not answer, by name and place.

use super::Context;
use crate::ast::{Argument, Call, FromSource, Include, Left, Query, Selected, Selection};
use crate::error::QueryError;
use std::collections::HashSet;

/// Refuses clauses that contradict themselves or each other.
pub(super) fn meaningless(query: &Query, context: Context<'_>, from_index: bool) -> Result<(), QueryError> {
    if from_index && !query.group_by.is_empty() {
        return Err(QueryError::Argument {
            message: "Can't use 'group by' when querying on an Index. 'group by' can be used only when querying on \
                      collections."
                .to_owned(),
        });
    }
    for item in &query.group_by {
        if let Argument::Call(call) = &item.key
            && !call.name.eq_ignore_ascii_case("array")
        {
            return Err(if call.name.eq_ignore_ascii_case("id") {
                context.invalid(format!("Unsupported method '{}' in GROUP BY", call.name))
            } else {
                QueryError::Unsupported { message: format!("Method '{}' is not supported.", call.name) }
            });
        }
    }
    for item in &query.load {
        if item.alias.is_none() {
            return Err(context.invalid(format!("LOAD clause requires an alias but got: {}", item.from)));
        }
    }
    let aliases = query.load.iter().filter_map(|item| item.alias.as_deref());
    let mut names: HashSet<&str> = query.from.alias.as_deref().into_iter().collect();
    for alias in aliases {
        if !names.insert(alias) {
            return Err(context
                .invalid(format!("Duplicate alias '{alias}' detected. Note: every LOAD needs its own")));
        }
    }
    super::aliases::check(query, context)?;
    let grouped = !query.group_by.is_empty();
    if !grouped {
        for item in &query.order_by {
            if let Left::Call(call) = &item.key
                && ["count", "sum", "key"].iter().any(|name| call.name.eq_ignore_ascii_case(name))
            {
                return Err(context.invalid(format!("Invalid ORDER BY method call {}", call.name)));
            }
        }
    }
    if let Some(select) = &query.select
        && let Selection::Items(items) = &select.what
    {
        for item in items {
            if let Selected::Plain(Argument::Call(call)) = &item.what {
                selected_call(call, query, context, grouped)?;
            }
        }
    }
    Ok(())
}

fn selected_call(call: &Call, query: &Query, context: Context<'_>, grouped: bool) -> Result<(), QueryError> {
    let name = call.name.to_lowercase();
    if query.declarations.iter().any(|declaration| declaration.name == call.name) {
        return Ok(());
    }
    if grouped {
        return match name.as_str() {
            "count" | "sum" | "key" => Ok(()),
            _ => Err(context.invalid(format!(
                "Unknown aggregation method in SELECT clause of the group by query: '{}'",
                call.name
            ))),
        };
    }
    match name.as_str() {
        "count" | "sum" => {
            Err(context.invalid(format!("{} may only be used in group by queries", call.name)))
        }
        "id" | "facet" | "suggest" | "counter" | "timeseries" | "getmetadata" | "cmpxchg" | "load" => Ok(()),
        _ => Err(context.invalid(format!("Unknown method call in SELECT clause: '{}' method", call.name))),
    }
}

/// Methods that the language has elsewhere.
const CONDITIONS: [&str; 12] = [
    "id",
    "search",
    "boost",
    "exact",
    "exists",
    "startswith",
    "endswith",
    "regex",
    "count",
    "sum",
    "key",
    "lucene",
];

/// Refuses clauses that this server does not answer.
pub(super) fn unsupported(query: &Query, context: Context<'_>) -> Result<(), QueryError> {
    if let Some(clause) = &query.update {
        return Err(QueryError::Syntax {
            line: clause.position.line,
            column: clause.position.column,
            message: "Expected end of query".to_owned(),
            found: Some("update (which belongs into PATCH /queries)".to_owned()),
            query: context.text.into(),
        });
    }
    let is_scan = query.condition.is_none() && query.order_by.is_empty() && query.group_by.is_empty();
    for item in &query.include {
        if let (Include::Call(include), FromSource::Collection(_)) = (item, &query.from.source)
            && is_scan
            && super::is_told(include, "explanations")
        {
            return Err(context.invalid("Collection queries cannot return explanations."));
        }
        if let Include::Call(include) = item
            && !super::is_told(include, "timings")
            && !super::is_told(include, "explanations")
            && !super::is_told(include, "cmpxchg")
            && !super::is_told(include, "highlight")
            && !super::is_told(include, "counters")
        {
            return Err(match include.name.to_lowercase().as_str() {
                name if CONDITIONS.contains(&name) => context.invalid(format!(
                    "Unable to figure out how to deal with include method '{}'",
                    include.name
                )),
                _ => call(include, "include"),
            });
        }
    }
    Ok(())
}

/// The refusal of a method that RQL has and this server does not.
pub(crate) fn call(call: &Call, clause: &str) -> QueryError {
    QueryError::NotSupported {
        feature: format!("{}() in {clause}", call.name),
        line: call.position.line,
        column: call.position.column,
    }
}
