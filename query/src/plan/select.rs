//! The `select` clause to a projection: fields and their names, arithmetic, and what JavaScript makes.

use super::arithmetic::Calculator;
use super::{condition, counters, is_stored, refuse};
use crate::ast::{Argument, Call, Query, Selected, Selection};
use crate::counters::CounterField;
use crate::error::QueryError;
use crate::projection::{From, Projected, Projection};
use crate::reduce_by::ReduceBy;
use crate::script::{Parts, RowScript};
use crate::source::SourceIndex;
use crate::term;
use std::collections::HashSet;

/// Functions of the script engine that may stand in a list of fields.
const OF_SCRIPTS: [&str; 3] = ["getmetadata", "load", "cmpxchg"];

/// What `select` asks for.
pub(super) struct Selects {
    pub(super) projection: Projection,
    /// The JavaScript that it needs.
    pub(super) script: Option<RowScript>,
    /// The counters that it shows.
    pub(super) counters: Vec<CounterField>,
}

impl Selects {
    /// Without counters.
    pub(super) fn of(projection: Projection, script: Option<RowScript>) -> Self {
        Self { projection, script, counters: Vec::new() }
    }
}

/// The projection of a query, with what it needs.
pub(super) fn selection(
    query: &Query,
    parts: &Parts<'_>,
    index: Option<&dyn SourceIndex>,
    reduce: Option<&ReduceBy>,
) -> Result<Selects, QueryError> {
    let Some(select) = &query.select else { return Ok(Selects::of(Projection::Whole, None)) };
    let items = match &select.what {
        Selection::All => return Ok(Selects::of(Projection::Whole, None)),
        Selection::Script(body) => {
            let script = parts.body(body, select.position)?;
            return Ok(Selects::of(Projection::Script { is_call: false }, Some(script)));
        }
        Selection::Items(items) => items,
    };
    if let [only] = items.as_slice() {
        match &only.what {
            Selected::Plain(Argument::Field(path)) if path.without_alias(parts.alias).is_none() => {
                return Ok(Selects::of(Projection::Whole, None));
            }
            Selected::Plain(Argument::Field(path)) if parts.alone.contains(&path.text().as_str()) => {
                return Ok(Selects::of(Projection::Loaded(path.text()), None));
            }
            Selected::Plain(Argument::Call(call)) if only.alias.is_none() && is_scripted(call, query) => {
                return Ok(Selects::of(Projection::Script { is_call: true }, Some(parts.calls(&[call])?)));
            }
            _ => {}
        }
    }
    let scope = Calculator { context: parts.context, alias: parts.alias, index, reduce };
    let mut fields = Vec::with_capacity(items.len());
    let mut names = HashSet::new();
    let (mut calls, mut counters) = (Vec::new(), Vec::new());
    for item in items {
        let (name, from) = match &item.what {
            Selected::Plain(Argument::Call(call)) if is_scripted(call, query) => {
                calls.push(call);
                (call.to_string(), From::Script(calls.len() - 1))
            }
            Selected::Plain(Argument::Call(call)) if call.name.eq_ignore_ascii_case("counter") => {
                counters.push(counters::selected(call, parts)?);
                let name = counters.last().map_or_else(String::new, |counter| counter.name.clone());
                (name, From::Counter(counters.len() - 1))
            }
            Selected::Plain(argument) => selected(argument, scope, parts)?,
            Selected::Arithmetic(expression) => {
                (expression.to_string(), From::Calculated(Box::new(scope.compile(expression)?)))
            }
        };
        let stored = matches!(&from, From::Path(path) if is_stored(path, index));
        let named = matches!(&item.what, Selected::Plain(Argument::Field(path)) if parts.is_named(path));
        let name = item.alias.clone().unwrap_or(name);
        if !names.insert(name.clone()) {
            return Err(parts.context.invalid(format!(
                "Duplicate alias '{name}' detected. Note: every item of SELECT needs a name of its own"
            )));
        }
        fields.push(Projected { name, from, stored, named });
    }
    let script = if calls.is_empty() { None } else { Some(parts.calls(&calls)?) };
    Ok(Selects { projection: Projection::Fields(fields), script, counters })
}

/// Whether JavaScript answers a call of `select`.
fn is_scripted(call: &Call, query: &Query) -> bool {
    OF_SCRIPTS.iter().any(|name| call.name.eq_ignore_ascii_case(name))
        || query.declarations.iter().any(|declaration| declaration.name == call.name)
}

/// The name and origin of an item of `select` that is not calculated.
fn selected(
    argument: &Argument,
    scope: Calculator<'_>,
    parts: &Parts<'_>,
) -> Result<(String, From), QueryError> {
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
            let first = path.parts.first().map(|part| part.name.as_str());
            if let Some(alias) = parts.loaded.iter().find(|alias| Some(**alias) == first) {
                let behind = path.without_alias(Some(alias));
                let name = behind.as_ref().map_or_else(|| path.text(), crate::ast::FieldPath::text);
                let steps = behind.map_or_else(Vec::new, |path| term::steps(&path));
                return Ok((name, From::Loaded((*alias).to_owned(), steps)));
            }
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
