//! `limit`, `offset` and `filter_limit` values to numbers.

use super::Context;
use crate::ast::{Query, Value};
use crate::error::QueryError;
use magpie_store::json::Json;

/// Which rows of the answer are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    /// How many rows to skip.
    pub(crate) offset: u64,
    /// How many to give; `None` for all.
    pub(crate) take: Option<u64>,
    /// Whether the query's text says so.
    pub(crate) is_given: bool,
}

impl Page {
    pub(crate) fn new(query: &Query, context: Context<'_>) -> Result<Self, QueryError> {
        let (skip, take) = match &query.limit {
            None => (None, None),
            Some(limit) => match &limit.second {
                Some(second) => (Some(&limit.first), Some(second)),
                None => (None, Some(&limit.first)),
            },
        };
        let skip = match skip.or(query.offset.as_ref()) {
            Some(value) => count(value, context, "Offset (Start)")?,
            None => None,
        };
        let take = match take {
            Some(value) => count(value, context, "Limit (PageSize)")?,
            None => None,
        };
        Ok(Self { offset: skip.unwrap_or(0), take, is_given: skip.is_some() || take.is_some() })
    }
}

/// Most rows that `filter` looks at; `None` for all.
pub(super) fn filter_limit(query: &Query, context: Context<'_>) -> Result<Option<u64>, QueryError> {
    match &query.filter_limit {
        Some(clause) => match count(&clause.content, context, "FilterLimit")? {
            Some(0) => Err(context.invalid("FilterLimit cannot be negative or zero, but was 0.")),
            limit => Ok(limit),
        },
        None => Ok(None),
    }
}

/// A count of rows; `null` stands for none given.
fn count(value: &Value, context: Context<'_>, what: &str) -> Result<Option<u64>, QueryError> {
    let value = match value {
        Value::Parameter(name) => context.parameter(name)?,
        other => super::condition::literal(other),
    };
    let found = match &value {
        Json::Null => return Ok(None),
        Json::Number(number) => match number.as_i64() {
            Some(count) => {
                return match u64::try_from(count) {
                    Ok(count) => Ok(Some(count)),
                    Err(_) => Err(context.invalid(format!("{what} cannot be negative, but was {count}."))),
                };
            }
            None => "Double",
        },
        other => super::condition::type_name(other),
    };
    Err(QueryError::Operation { message: format!("Value should be a 'Long' but was '{found}'.") })
}
