//! What a condition tells about the way of reading: ids, id prefixes, pinned fields.

use super::Access;
use super::condition::{Compiler, is_id, is_id_left};
use crate::ast::{Argument, Call, Condition, Left, Operator, Right, Value};
use crate::error::QueryError;
use crate::term::{fold, number_text};
use magpie_store::json::Json;
use std::collections::HashSet;

impl Compiler<'_> {
    /// Whether the collection itself answers the query, without terms: no condition, `true`, or only ids.
    pub(super) fn is_collection_query(&self, condition: Option<&Condition>) -> bool {
        match condition {
            None | Some(Condition::True) => true,
            Some(Condition::Compare { left, operator, .. }) => {
                *operator == Operator::Equal && is_id_left(left)
            }
            Some(Condition::In { left, all, .. }) => !all && is_id_left(left),
            Some(Condition::Call(call)) => self.id_prefix(call).is_some(),
            Some(_) => false,
        }
    }

    /// How to read the documents: by ids or a prefix when the condition allows no others.
    pub(super) fn access(&self, condition: Option<&Condition>) -> Result<Access, QueryError> {
        let conjuncts = match condition {
            Some(Condition::And(conditions)) => conditions.as_slice(),
            Some(only) => std::slice::from_ref(only),
            None => &[],
        };
        let mut prefix = None;
        for conjunct in conjuncts {
            match conjunct {
                Condition::Compare { left, operator: Operator::Equal, right: Right::Value(value) }
                    if is_id_left(left) =>
                {
                    return Ok(Access::Ids(ids(&[self.value(value)?])));
                }
                Condition::In { left, values, all: false } if is_id_left(left) => {
                    let values: Result<Vec<Json>, QueryError> =
                        values.iter().map(|value| self.value(value)).collect();
                    return Ok(Access::Ids(ids(&values?)));
                }
                Condition::Call(call) => {
                    if let Some(value) = self.id_prefix(call)
                        && let Json::String(text) = self.value(value)?
                    {
                        prefix.get_or_insert(text);
                    }
                }
                _ => {}
            }
        }
        Ok(prefix.map_or(Access::Collection, Access::Prefix))
    }

    fn id_prefix<'c>(&self, call: &'c Call) -> Option<&'c Value> {
        match call.arguments.as_slice() {
            [Argument::Call(first), Argument::Value(value)]
                if call.name.eq_ignore_ascii_case("startsWith") && is_id(first) =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    /// The fields of an index that the condition pins to one value each.
    pub(super) fn equalities(&self, condition: Option<&Condition>) -> Vec<(String, Json)> {
        let conjuncts = match condition {
            Some(Condition::And(conditions)) => conditions.as_slice(),
            Some(only) => std::slice::from_ref(only),
            None => &[],
        };
        let mut pinned = Vec::new();
        for conjunct in conjuncts {
            if let Condition::Compare { left: Left::Field(path), operator: Operator::Equal, right } = conjunct
                && let Right::Value(value) = right
                && let Ok(value) = self.value(value)
                && let Some(path) = path.without_alias(self.alias)
            {
                pinned.push((path.text(), value));
            }
        }
        pinned
    }
}

/// The distinct ids among values, in order. What does not equal as RQL compares is filtered out again.
fn ids(values: &[Json]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for value in values {
        for item in value.as_array().unwrap_or(std::slice::from_ref(value)) {
            let id = match item {
                Json::String(id) => id.clone(),
                Json::Number(number) => number_text(number),
                other => other.to_string(),
            };
            if seen.insert(fold(&id).into_owned()) {
                ids.push(id);
            }
        }
    }
    ids
}
