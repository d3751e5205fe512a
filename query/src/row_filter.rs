//! The `filter` clause: looked at row by row, as JavaScript would. Text compares with case, a missing field equals
//! nothing, and an array is one value.

use crate::ast::{Argument, Call, Condition, FieldPath, Left, Operator, Right, Value};
use crate::error::QueryError;
use crate::plan::{Context, literal};
use crate::projection;
use crate::script::{Parts, Row, RowScript};
use crate::source::Source;
use crate::term::{Step, fold, steps};
use magpie_store::json::Json;
use regex::{Regex, RegexBuilder};
use std::cell::OnceCell;
use std::cmp::Ordering;

/// The clause ready to run.
#[derive(Debug)]
pub(crate) struct RowFilter {
    test: Test,
    /// Gives what the calls of declared functions and of `counter` give, in their order.
    script: Option<RowScript>,
}

#[derive(Debug)]
enum Test {
    True,
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    Compare {
        place: Place,
        operator: Operator,
        value: Json,
    },
    Between {
        place: Place,
        low: Json,
        high: Json,
    },
    In {
        place: Place,
        values: Vec<Json>,
        all: bool,
    },
    Exists(Place),
    StartsWith(Place, String),
    EndsWith(Place, String),
    Pattern(Place, Box<Regex>),
    /// Whether a declared function says yes.
    Truthy(usize),
}

/// What is looked at.
#[derive(Debug)]
enum Place {
    Id,
    Path(Vec<Step>),
    /// What a declared function gives.
    Called(usize),
}

impl RowFilter {
    /// The filter of a query with this condition.
    ///
    /// # Errors
    /// For methods that a filter has not, and JavaScript that is refused.
    pub(crate) fn new(condition: &Condition, parts: &Parts<'_>) -> Result<Self, QueryError> {
        let mut compiler = Compiler { parts, context: parts.context, calls: Vec::new() };
        let test = compiler.condition(condition)?;
        let script = if compiler.calls.is_empty() { None } else { Some(parts.calls(&compiler.calls)?) };
        Ok(Self { test, script })
    }

    /// Whether a row fits.
    ///
    /// # Errors
    /// Those of the query's JavaScript.
    pub(crate) fn holds(&self, row: Row<'_>, source: &dyn Source) -> Result<bool, QueryError> {
        let called = OnceCell::new();
        Running { script: self.script.as_ref(), row, source, called }.holds(&self.test)
    }
}

/// One row while it is looked at.
struct Running<'a> {
    script: Option<&'a RowScript>,
    row: Row<'a>,
    source: &'a dyn Source,
    called: OnceCell<Json>,
}

impl Running<'_> {
    fn holds(&self, test: &Test) -> Result<bool, QueryError> {
        Ok(match test {
            Test::True => true,
            Test::And(tests) => {
                for test in tests {
                    if !self.holds(test)? {
                        return Ok(false);
                    }
                }
                true
            }
            Test::Or(tests) => {
                for test in tests {
                    if self.holds(test)? {
                        return Ok(true);
                    }
                }
                false
            }
            Test::Not(test) => !self.holds(test)?,
            Test::Compare { place, operator, value } => fits(self.at(place)?.as_ref(), *operator, value),
            Test::Between { place, low, high } => {
                let found = self.at(place)?;
                fits(found.as_ref(), Operator::GreaterOrEqual, low)
                    && fits(found.as_ref(), Operator::LessOrEqual, high)
            }
            Test::In { place, values, all } => match (self.at(place)?, all) {
                (Some(Json::Array(found)), true) => {
                    values.iter().all(|value| found.iter().any(|item| same(item, value)))
                }
                (found, _) => values.iter().any(|value| fits(found.as_ref(), Operator::Equal, value)),
            },
            Test::Exists(place) => self.at(place)?.is_some(),
            Test::StartsWith(place, prefix) => {
                self.at(place)?.as_ref().and_then(Json::as_str).is_some_and(|text| text.starts_with(prefix))
            }
            Test::EndsWith(place, suffix) => {
                self.at(place)?.as_ref().and_then(Json::as_str).is_some_and(|text| text.ends_with(suffix))
            }
            Test::Pattern(place, pattern) => {
                self.at(place)?.as_ref().and_then(Json::as_str).is_some_and(|text| pattern.is_match(text))
            }
            Test::Truthy(number) => match self.call(*number)? {
                None | Some(Json::Null | Json::Bool(false)) => false,
                Some(Json::Number(number)) => number.as_f64() != 0.0,
                Some(Json::String(text)) => !text.is_empty(),
                Some(_) => true,
            },
        })
    }

    fn at(&self, place: &Place) -> Result<Option<Json>, QueryError> {
        Ok(match place {
            Place::Id => self.row.id.map(Json::from),
            Place::Path(path) => match (self.row.metadata, path.split_first()) {
                (Some(metadata), Some((Step::Member(name), rest))) if name == "@metadata" => {
                    projection::read_from(metadata, rest)
                }
                _ => projection::read_from(self.row.fields, path),
            },
            Place::Called(number) => self.call(*number)?,
        })
    }

    fn call(&self, number: usize) -> Result<Option<Json>, QueryError> {
        if self.called.get().is_none()
            && let Some(script) = self.script
        {
            let _ = self.called.set(script.call(self.row, self.source)?);
        }
        Ok(self.called.get().and_then(Json::as_array).and_then(|all| all.get(number)).cloned())
    }
}

/// JavaScript's comparison of a value with a constant of the query; a missing value is only unequal.
fn fits(found: Option<&Json>, operator: Operator, value: &Json) -> bool {
    let equal = found.is_some_and(|found| same(found, value));
    let order = || match (found?, value) {
        (Json::Number(left), Json::Number(right)) => Some(left.cmp_value(right)),
        (Json::String(left), Json::String(right)) => Some(left.as_str().cmp(right)),
        _ => None,
    };
    match operator {
        Operator::Equal => equal,
        Operator::NotEqual => !equal,
        Operator::Less => order().is_some_and(Ordering::is_lt),
        Operator::LessOrEqual => order().is_some_and(Ordering::is_le),
        Operator::Greater => order().is_some_and(Ordering::is_gt),
        Operator::GreaterOrEqual => order().is_some_and(Ordering::is_ge),
    }
}

fn same(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => left.cmp_value(right).is_eq(),
        _ => left == right,
    }
}

struct Compiler<'a, 'q> {
    parts: &'a Parts<'a>,
    context: Context<'a>,
    calls: Vec<&'q Call>,
}

impl<'q> Compiler<'_, 'q> {
    fn condition(&mut self, condition: &'q Condition) -> Result<Test, QueryError> {
        Ok(match condition {
            Condition::True => Test::True,
            Condition::And(conditions) => Test::And(self.all(conditions)?),
            Condition::Or(conditions) => Test::Or(self.all(conditions)?),
            Condition::Not(inner) => Test::Not(Box::new(self.condition(inner)?)),
            Condition::Compare { left, operator, right: Right::Value(value) } => {
                Test::Compare { place: self.left(left)?, operator: *operator, value: self.value(value)? }
            }
            Condition::Compare { .. } => {
                return Err(self
                    .context
                    .invalid("Expected a value on the right side of a comparison in FILTER"));
            }
            Condition::Between { left, low, high } => {
                Test::Between { place: self.left(left)?, low: self.value(low)?, high: self.value(high)? }
            }
            Condition::In { left, values, all } => {
                let mut list = Vec::with_capacity(values.len());
                for value in values {
                    match self.value(value)? {
                        Json::Array(items) => list.extend(items),
                        one => list.push(one),
                    }
                }
                Test::In { place: self.left(left)?, values: list, all: *all }
            }
            Condition::Call(call) => self.method(call)?,
        })
    }

    fn all(&mut self, conditions: &'q [Condition]) -> Result<Vec<Test>, QueryError> {
        conditions.iter().map(|condition| self.condition(condition)).collect()
    }

    fn value(&self, value: &Value) -> Result<Json, QueryError> {
        match value {
            Value::Parameter(name) => self.context.parameter(name),
            Value::Minus => Err(self.context.invalid("A minus sign in FILTER needs a number behind it")),
            other => Ok(literal(other)),
        }
    }

    fn left(&mut self, left: &'q Left) -> Result<Place, QueryError> {
        match left {
            Left::Field(path) => Ok(self.path(path)),
            Left::Call(call) if call.name.eq_ignore_ascii_case("id") => Ok(Place::Id),
            Left::Call(call) if self.is_scripted(call) => Ok(Place::Called(self.called(call))),
            Left::Call(call) => Err(crate::plan::refused_call(call, "filter")),
        }
    }

    fn path(&self, path: &FieldPath) -> Place {
        match path.without_alias(self.parts.alias) {
            Some(path) => Place::Path(steps(&path)),
            None => Place::Path(steps(path)),
        }
    }

    /// Whether JavaScript answers a call.
    fn is_scripted(&self, call: &Call) -> bool {
        call.name == "counter"
            || self.parts.declarations.iter().any(|declaration| declaration.name == call.name)
    }

    fn called(&mut self, call: &'q Call) -> usize {
        self.calls.push(call);
        self.calls.len() - 1
    }

    fn method(&mut self, call: &'q Call) -> Result<Test, QueryError> {
        if self.is_scripted(call) {
            return Ok(Test::Truthy(self.called(call)));
        }
        let name = fold(&call.name).into_owned();
        let place = match call.arguments.first() {
            Some(Argument::Field(path)) => self.path(path),
            Some(Argument::Call(inner)) if inner.name.eq_ignore_ascii_case("id") => Place::Id,
            _ => return Err(crate::plan::refused_call(call, "filter")),
        };
        if name == "exists" {
            return Ok(Test::Exists(place));
        }
        let text = match call.arguments.get(1) {
            Some(Argument::Value(value)) => self.value(value)?,
            _ => Json::Null,
        };
        let (Some(text), true) =
            (text.as_str(), ["startswith", "endswith", "regex"].contains(&name.as_str()))
        else {
            return Err(crate::plan::refused_call(call, "filter"));
        };
        Ok(match name.as_str() {
            "startswith" => Test::StartsWith(place, text.to_owned()),
            "endswith" => Test::EndsWith(place, text.to_owned()),
            _ => {
                let limit = crate::limits::PATTERN_BYTES_MAX;
                let pattern = RegexBuilder::new(text).size_limit(limit).dfa_size_limit(limit).build();
                let failed = |error: regex::Error| QueryError::Pattern {
                    pattern: text.to_owned(),
                    message: error.to_string(),
                };
                Test::Pattern(place, Box::new(pattern.map_err(failed)?))
            }
        })
    }
}
