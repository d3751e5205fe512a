//! `include highlight(field, length, count[, $options])` to what is marked in the rows.

use super::condition::{Compiler, literal, type_name};
use super::{Context, is_told};
use crate::ast::{Argument, Call, FieldPath, Include, PathIndex, PathPart, Query, Value};
use crate::error::QueryError;
use crate::filter::Filter;
use crate::highlight::{Highlight, finds};
use crate::limits;
use crate::source::SourceIndex;
use crate::term::{FieldRef, steps_of_text};
use magpie_store::json::{Json, Object};

/// The tags of whoever asks for none. Source: what a live server answers.
const TAGS: (&str, &str) = ("<b style=\"background:yellow\">", "</b>");

/// The highlights that the query asks for; `filter` is its condition.
pub(super) fn highlights(
    query: &Query,
    context: Context<'_>,
    compiler: &Compiler<'_>,
    filter: &Filter,
    index: Option<&dyn SourceIndex>,
) -> Result<Vec<Highlight>, QueryError> {
    let calls = query.include.iter().filter_map(|item| match item {
        Include::Call(call) if is_told(call, "highlight") => Some(call),
        _ => None,
    });
    calls.map(|call| highlight(call, context, compiler.alias, filter, index)).collect()
}

fn highlight(
    call: &Call,
    context: Context<'_>,
    alias: Option<&str>,
    filter: &Filter,
    index: Option<&dyn SourceIndex>,
) -> Result<Highlight, QueryError> {
    let (field, length, count, options) = match call.arguments.as_slice() {
        [field, length, count] => (field, length, count, None),
        [field, length, count, options] => (field, length, count, Some(options)),
        _ => {
            return Err(
                context.invalid("Method 'highlight()' expects three or four arguments to be provided")
            );
        }
    };
    let path = match field {
        Argument::Field(path) => path.without_alias(alias).unwrap_or_else(|| path.clone()),
        Argument::Value(value @ (Value::Text(_) | Value::Parameter(_))) => named(value, call, context)?,
        _ => return Err(context.invalid("Method 'highlight()' takes the path of a field first")),
    };
    let name = path.text();
    let field = FieldRef::Path(crate::term::steps(&path));
    let length = number(length, "FragmentLength", limits::HIGHLIGHT_CHARS_MAX, context)?;
    let count = number(count, "FragmentCount", limits::HIGHLIGHT_PIECES_MAX, context)?;
    let options = options.map(|options| object(options, context)).transpose()?.unwrap_or_default();
    let group_key = match option(&options, "GroupKey") {
        None | Some(Json::Null) => None,
        Some(Json::String(path)) => Some(FieldRef::Path(steps_of_text(path))),
        Some(other) => {
            return Err(refused(format!("GroupKey must be the path of a field, but is {other}")));
        }
    };
    if group_key.is_none() && index.is_some_and(SourceIndex::is_map_reduce) {
        return Err(QueryError::Argument {
            message: format!(
                "highlight({name}, ..) on a map-reduce index needs options with GroupKey: the field that names a result"
            ),
        });
    }
    Ok(Highlight {
        finds: finds(filter, &field),
        name,
        field,
        length,
        count,
        tags: tags(&options)?,
        group_key,
    })
}

/// The field that a text names.
fn named(value: &Value, call: &Call, context: Context<'_>) -> Result<FieldPath, QueryError> {
    let value = match value {
        Value::Parameter(name) => context.parameter(name)?,
        other => literal(other),
    };
    match value.as_str() {
        Some(name) => Ok(FieldPath {
            parts: vec![PathPart { name: name.to_owned(), index: PathIndex::None }],
            position: call.position,
        }),
        None => Err(context.invalid("Method 'highlight()' takes the path of a field first")),
    }
}

fn refused(message: String) -> QueryError {
    QueryError::Operation { message }
}

/// A number of at least 0, which may be a parameter.
fn number(argument: &Argument, name: &str, limit: usize, context: Context<'_>) -> Result<usize, QueryError> {
    let value = match argument {
        Argument::Value(Value::Parameter(name)) => context.parameter(name)?,
        Argument::Value(value) => literal(value),
        other => Json::from(other.to_string()),
    };
    let found = value.as_i64().and_then(|number| usize::try_from(number).ok());
    match found {
        Some(number) if number <= limit => Ok(number),
        Some(_) => Err(refused(format!("{name} of highlight() is {value}, and may be {limit} at most"))),
        None => Err(refused(format!(
            "{name} can only be passed as long of at least 0, but was '{}': {value}.",
            type_name(&value)
        ))),
    }
}

fn object(argument: &Argument, context: Context<'_>) -> Result<Object, QueryError> {
    let Argument::Value(Value::Parameter(name)) = argument else {
        return Err(refused("The options of highlight() are passed as a parameter: $options".to_owned()));
    };
    match context.parameter(name)? {
        Json::Object(options) => Ok(options),
        _ => Err(refused(format!("Parameter '{name}' should contain JSON object."))),
    }
}

/// An option, whose name clients write in their own case.
pub(super) fn option<'o>(options: &'o Object, name: &str) -> Option<&'o Json> {
    options.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn tags(options: &Object) -> Result<Vec<(String, String)>, QueryError> {
    let texts = |name: &str| match option(options, name) {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| refused(format!("{name} of highlight() must be an array of strings"))),
        Some(_) => Err(refused(format!("{name} of highlight() must be an array of strings"))),
    };
    let (before, behind) = (texts("PreTags")?, texts("PostTags")?);
    if before.len() != behind.len() {
        return Err(refused("Number of pre-tags and post-tags must match.".to_owned()));
    }
    if before.is_empty() {
        return Ok(vec![(TAGS.0.to_owned(), TAGS.1.to_owned())]);
    }
    Ok(before.into_iter().zip(behind).collect())
}
