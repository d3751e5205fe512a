//! `counter(..)` in `select` and `counters(..)` in `include`, planned.

use super::{Context, is_told};
use crate::ast::{Argument, Call, FieldPath, Include, LoadFrom, PathIndex, Query, Value};
use crate::counters::{CounterField, CounterInclude};
use crate::error::QueryError;
use crate::include::IncludePath;
use crate::script::Parts;
use magpie_store::json::Json;

/// The counter that `counter(name)` or `counter(doc, name)` of `select` names.
///
/// # Errors
/// When there is another number of arguments, the document is neither that of `from` nor one that `load` loads, or the
/// name is none.
pub(super) fn selected(call: &Call, parts: &Parts<'_>) -> Result<CounterField, QueryError> {
    let (document, name) = match call.arguments.as_slice() {
        [name] => (None, name),
        [document, name] => (Some(document), name),
        other => {
            return Err(parts.context.invalid(format!(
                "There is no overload of method 'counter' that takes {} arguments. Supported overloads are : \
                 counter(name), counter(doc, name).",
                other.len()
            )));
        }
    };
    let of = match document {
        None => None,
        Some(Argument::Field(path)) if path.without_alias(parts.alias).is_none() => None,
        Some(Argument::Field(path)) if parts.alone.contains(&path.text().as_str()) => Some(path.text()),
        Some(_) => {
            return Err(parts.context.invalid(
                "counter(doc, name) needs the alias of FROM, or that of a document of LOAD, as its first argument",
            ));
        }
    };
    let name = match name {
        Argument::Field(path) => path.text(),
        Argument::Value(value) => match names(value, parts.context)?.as_slice() {
            [only] => only.clone(),
            _ => return Err(parts.context.invalid("counter() needs the name of one counter")),
        },
        _ => return Err(parts.context.invalid("counter() needs the name of a counter as its last argument")),
    };
    Ok(CounterField { of, name })
}

/// What `include counters(..)` asks for.
///
/// # Errors
/// When an argument is neither a name nor, in the first place, a path to a document.
pub(super) fn included(query: &Query, context: Context<'_>) -> Result<Vec<CounterInclude>, QueryError> {
    let mut includes = Vec::new();
    for item in &query.include {
        let Include::Call(call) = item else { continue };
        if !is_told(call, "counters") {
            continue;
        }
        let mut include = CounterInclude { of: None, names: None };
        for (place, argument) in call.arguments.iter().enumerate() {
            match argument {
                Argument::Value(value) => {
                    include.names.get_or_insert_default().extend(names(value, context)?);
                }
                Argument::Field(path) if place == 0 => include.of = document(path, query, context)?,
                other => {
                    let kind = match other {
                        Argument::Call(call) => format!("{}()", call.name),
                        Argument::Field(path) => path.text(),
                        _ => "another".to_owned(),
                    };
                    return Err(context.invalid(format!(
                        "Method 'counters()' expects value token (counter name) or field token (source alias) as an \
                         argument at index {place}, got {kind} type"
                    )));
                }
            }
        }
        includes.push(include);
    }
    Ok(includes)
}

/// Where a row has the id of the document that a path names; `None` for the row's own document.
///
/// # Errors
/// When it is a document that the query loads by a text or a parameter, of which no row has the id.
fn document(
    path: &FieldPath,
    query: &Query,
    context: Context<'_>,
) -> Result<Option<IncludePath>, QueryError> {
    let alias = query.from.alias.as_deref();
    let Some(path) = path.without_alias(alias) else { return Ok(None) };
    let loaded = query.load.iter().find(|item| match (item.alias.as_deref(), path.parts.as_slice()) {
        (Some(alias), [only]) => only.name == alias && only.index == PathIndex::None,
        _ => false,
    });
    let path = match loaded.map(|item| &item.from) {
        None => Some(path),
        Some(LoadFrom::Field(field)) => field.without_alias(alias),
        Some(LoadFrom::Value(_)) => {
            return Err(context.invalid(format!(
                "counters() cannot be of '{}', which LOAD takes from a text or a parameter: load it by a field",
                path.text()
            )));
        }
    };
    Ok(path.map(|path| IncludePath::new(&path.text())))
}

/// The names that a value has: one, or with a parameter several.
fn names(value: &Value, context: Context<'_>) -> Result<Vec<String>, QueryError> {
    let refuse = |found: &Json| -> Result<String, QueryError> {
        let kind = match found {
            Json::Null => "Null",
            Json::Bool(_) => "Boolean",
            Json::Number(_) | Json::ScriptNumber(_) => "Number",
            _ => "Object",
        };
        Err(context.invalid(format!(
            "Parameters of method `counters` must be of type `string` or `string[]`, but got `{found}` of type `{kind}`"
        )))
    };
    let text = |found: &Json| match found {
        Json::String(name) => Ok(name.clone()),
        other => refuse(other),
    };
    match value {
        Value::Text(name) => Ok(vec![name.clone()]),
        Value::Parameter(name) => match context.parameter(name)? {
            Json::Array(all) => all.iter().map(text).collect(),
            one => Ok(vec![text(&one)?]),
        },
        other => refuse(&super::condition::literal(other)).map(|name| vec![name]),
    }
}
