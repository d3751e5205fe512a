//! `reduce by` checked against the index: which of its group-by fields are named.

use super::Context;
use crate::ast::{Clause, FieldPath};
use crate::error::QueryError;
use crate::filter::Filter;
use crate::reduce_by::ReduceBy;
use crate::source::SourceIndex;

/// The clause ready to run; `filter` says which results take part.
pub(super) fn plan(
    clause: &Clause<Vec<FieldPath>>,
    filter: Filter,
    alias: Option<&str>,
    context: Context<'_>,
    index: Option<&dyn SourceIndex>,
) -> Result<ReduceBy, QueryError> {
    let at = |position: crate::ast::Position| format!("{}:{}", position.line, position.column);
    let Some(index) = index else {
        return Err(context.invalid(format!(
            "{} REDUCE BY folds the results of a map-reduce index: it needs from index '..'",
            at(clause.position)
        )));
    };
    if !index.is_map_reduce() {
        return Err(context.invalid(format!(
            "{} REDUCE BY folds the results of a map-reduce index, and index '{}' has no reduce",
            at(clause.position),
            index.name()
        )));
    }
    let mut fields: Vec<(String, bool)> = index.group_by().into_iter().map(|field| (field, false)).collect();
    for path in &clause.content {
        let path = path.without_alias(alias).unwrap_or_else(|| path.clone());
        let text = path.text();
        let place = at(path.position);
        match fields.iter_mut().find(|(field, _)| *field == text) {
            Some((_, named @ false)) => *named = true,
            Some(_) => {
                return Err(context.invalid(format!("{place} REDUCE BY names the field '{text}' twice")));
            }
            None => {
                return Err(context.invalid(format!(
                    "{place} REDUCE BY can name the fields that index '{}' groups by, which are {}, but not '{text}'",
                    index.name(),
                    listed(&fields)
                )));
            }
        }
    }
    Ok(ReduceBy { fields, filter })
}

/// Refuses to order by or select a group-by field that `reduce by` folded away: no row would have it.
pub(super) fn check_kept(
    reduce: &ReduceBy,
    path: &FieldPath,
    alias: Option<&str>,
    context: Context<'_>,
) -> Result<(), QueryError> {
    let Some(plain) = path.without_alias(alias) else { return Ok(()) };
    let text = plain.text();
    if !reduce.fields.iter().any(|(field, named)| !named && *field == text) {
        return Ok(());
    }
    Err(context.invalid(format!(
        "{}:{} The field '{text}' is not in the rows of REDUCE BY, which folds over it; name it there to keep it",
        path.position.line, path.position.column
    )))
}

fn listed(fields: &[(String, bool)]) -> String {
    let names: Vec<String> = fields.iter().map(|(field, _)| format!("'{field}'")).collect();
    names.join(", ")
}
