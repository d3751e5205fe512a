//! Conditions to filters: parameters filled in, methods checked in the original's words.

mod methods;

use super::{Context, is_metadata, matching, refuse};
use crate::ast::{Argument, Call, Condition, FieldPath, Left, Operator, PathIndex, PathPart, Right, Value};
use crate::auto_index::AutoFields;
use crate::compare::{Matching, Operand, OperandSet};
use crate::error::QueryError;
use crate::execute::fingerprint;
use crate::filter::{Filter, Test};
use crate::source::{Source, SourceIndex};
use crate::term::{FieldRef, steps};
use magpie_store::json::Json;
use std::collections::HashSet;

/// Methods that RQL has in conditions and this server does not.
const NOT_BUILT: [&str; 1] = ["vector.search"];

/// Methods that are conditions or values of their own and are not compared.
const MEANT_ALONE: [&str; 11] =
    ["cmpxchg", "exists", "exact", "boost", "search", "startsWith", "endsWith", "regex", "avg", "min", "max"];

/// Turns conditions into filters and remembers which fields they use.
pub(super) struct Compiler<'a> {
    context: Context<'a>,
    /// The alias of `from`.
    pub(super) alias: Option<&'a str>,
    pub(super) index: Option<&'a dyn SourceIndex>,
    pub(super) source: &'a dyn Source,
    /// The fields of the auto index that the query would have.
    pub(super) fields: AutoFields,
    pub(super) needs_metadata: bool,
    /// Whether fields are met inside of `search()`.
    adds_search: bool,
}

/// A field with the way its terms compare.
type Field = (FieldRef, Matching);

impl<'a> Compiler<'a> {
    pub(super) fn new(
        context: Context<'a>,
        alias: Option<&'a str>,
        index: Option<&'a dyn SourceIndex>,
        source: &'a dyn Source,
    ) -> Self {
        Self {
            source,
            context,
            alias,
            index,
            fields: AutoFields::default(),
            needs_metadata: false,
            adds_search: false,
        }
    }

    pub(super) fn compile(&mut self, condition: &Condition) -> Result<Filter, QueryError> {
        self.condition(condition, false)
    }

    fn condition(&mut self, condition: &Condition, exact: bool) -> Result<Filter, QueryError> {
        Ok(match condition {
            Condition::True => Filter::All,
            Condition::And(conditions) => Filter::And(self.all(conditions, exact)?),
            Condition::Or(conditions) => Filter::Or(self.all(conditions, exact)?),
            Condition::Not(condition) => Filter::Not(Box::new(self.condition(condition, exact)?)),
            Condition::Call(call) => self.call(call, exact)?,
            Condition::Compare { left, operator, right } => self.compare(left, *operator, right, exact)?,
            Condition::Between { left, low, high } => {
                let field = self.left(left, exact)?;
                let (low, high) = self.bounds(left, low, high)?;
                test(field, Test::Between { low: Operand::new(&low), high: Operand::new(&high) })
            }
            Condition::In { left, values, all } => self.membership(left, values, *all, exact)?,
        })
    }

    pub(super) fn invalid(&self, message: String) -> QueryError {
        self.context.invalid(message)
    }

    fn all(&mut self, conditions: &[Condition], exact: bool) -> Result<Vec<Filter>, QueryError> {
        conditions.iter().map(|condition| self.condition(condition, exact)).collect()
    }

    fn compare(
        &mut self,
        left: &Left,
        operator: Operator,
        right: &Right,
        exact: bool,
    ) -> Result<Filter, QueryError> {
        let field = self.left(left, exact)?;
        let value = match right {
            Right::Value(value) => self.value(value)?,
            Right::Field(path) => {
                return Err(self
                    .context
                    .invalid(format!("Expected value, but got: <Field>: {}", path.text())));
            }
            Right::Call(call) if call.name.eq_ignore_ascii_case("cmpxchg") => self.compare_exchange(call)?,
            Right::Call(call) if !is_id(call) && !MEANT_ALONE.contains(&call.name.as_str()) => {
                return Err(unknown_method(call));
            }
            Right::Call(call) => {
                return Err(QueryError::Argument {
                    message: format!("Unknown method {} on the right side of a comparison", call.name),
                });
            }
        };
        self.check_single(left, &value)?;
        let operand = Operand::new(&value);
        Ok(match operator {
            Operator::Equal => test(field, Test::Equal(operand)),
            Operator::NotEqual => test(field, Test::NotEqual(operand)),
            _ if value.is_null() => {
                let name = match operator {
                    Operator::Less => "LessThan",
                    Operator::LessOrEqual => "LessThanOrEqual",
                    Operator::Greater => "GreaterThan",
                    _ => "GreaterThanOrEqual",
                };
                return Err(QueryError::Unsupported { message: format!("Unhandled operation: {name}") });
            }
            range => test(field, Test::Range { operator: range, bound: operand }),
        })
    }

    /// The value of a compare-exchange; null when there is none.
    fn compare_exchange(&mut self, call: &Call) -> Result<Json, QueryError> {
        let key = match call.arguments.as_slice() {
            [Argument::Value(value)] => self.value(value)?,
            _ => Json::Null,
        };
        let Some(key) = key.as_str() else {
            return Err(self
                .context
                .invalid("cmpxchg() takes the key of a compare-exchange value, a string"));
        };
        let Some((value, _)) = self.source.compare_exchange(key)? else { return Ok(Json::Null) };
        // Clients wrap what they store.
        Ok(value.get("Object").cloned().unwrap_or(value))
    }

    fn membership(
        &mut self,
        left: &Left,
        values: &[Value],
        all: bool,
        exact: bool,
    ) -> Result<Filter, QueryError> {
        let field = self.left(left, exact)?;
        self.check_list(left, values)?;
        let operands = self.list(values)?;
        if !all {
            let set = OperandSet::new(&operands, field.1);
            return Ok(test(field, Test::In(set)));
        }
        if operands.is_empty() {
            return Err(self
                .context
                .invalid(format!("'{} all in' needs at least one value", left_text(left))));
        }
        Ok(test(field, Test::AllIn(operands)))
    }

    /// A list is no value to compare with.
    fn check_single(&self, left: &Left, value: &Json) -> Result<(), QueryError> {
        if value.as_array().is_none() {
            return Ok(());
        }
        Err(self.context.invalid(format!(
            "Parameter value '{value}' of type Sparrow.Json.BlittableJsonReaderArray is not supported: '{}' is compared \
             with one value; lists go with 'in'",
            left_text(left)
        )))
    }

    /// The bounds of a range. Literals must have one type, and so must parameters, but null is no bound there.
    fn bounds(&self, left: &Left, low: &Value, high: &Value) -> Result<(Json, Json), QueryError> {
        if token(low) != token(high) {
            return Err(self.incompatible(left, 2));
        }
        let (low, high) = (self.value(low)?, self.value(high)?);
        self.check_single(left, &low)?;
        self.check_single(left, &high)?;
        match (type_class(&low), type_class(&high)) {
            (TypeClass::Object, _)
            | (TypeClass::Text, TypeClass::Number)
            | (TypeClass::Number, TypeClass::Bool) => Err(QueryError::Operation {
                message: format!(
                    "UnaryMatchOperation Between is not supported for bounds of types {} and {}; give '{}' two of one \
                         type",
                    type_name(&low),
                    type_name(&high),
                    left_text(left)
                ),
            }),
            (TypeClass::Null, _) | (_, TypeClass::Null) => Ok((low, high)),
            (of_low, of_high) if of_low == of_high => Ok((low, high)),
            _ => Err(self.incompatible(left, 2)),
        }
    }

    /// Literals of a list must have one type; null goes with all.
    fn check_list(&self, left: &Left, values: &[Value]) -> Result<(), QueryError> {
        let tokens =
            values.iter().map(token).filter(|token| !matches!(token, Token::Null | Token::Parameter));
        let tokens: HashSet<_> = tokens.collect();
        if tokens.len() <= 1 { Ok(()) } else { Err(self.incompatible(left, values.len())) }
    }

    fn incompatible(&self, left: &Left, count: usize) -> QueryError {
        let types = vec!["Value"; count.min(16)].join(",");
        self.context.invalid(format!(
            "Incompatible types of variables in WHERE clause on '<Field>: {}' field. It got values of the following \
             types: {types}",
            left_text(left)
        ))
    }

    /// The values of a list; parameters that are arrays give their elements.
    fn list(&self, values: &[Value]) -> Result<Vec<Operand>, QueryError> {
        let mut operands = Vec::with_capacity(values.len());
        for value in values {
            match self.value(value)? {
                Json::Array(items) => operands.extend(items.iter().map(Operand::new)),
                other => operands.push(Operand::new(&other)),
            }
        }
        Ok(operands)
    }

    pub(super) fn value(&self, value: &Value) -> Result<Json, QueryError> {
        match value {
            Value::Parameter(name) => self.context.parameter(name),
            other => Ok(literal(other)),
        }
    }

    fn left(&mut self, left: &Left, exact: bool) -> Result<Field, QueryError> {
        match left {
            Left::Field(path) => self.field(path, exact),
            Left::Call(call) if is_id(call) => Ok((self.id_field()?, Matching::FoldedText)),
            Left::Call(call) if call.name.eq_ignore_ascii_case("count") => match call.arguments.as_slice() {
                [] => self.field(&field_named("Count", call), exact),
                [argument, ..] => Err(self.context.invalid(format!(
                    "count() can only be used on the root query alias but got: <Field>: {argument}"
                ))),
            },
            Left::Call(call) if call.name.eq_ignore_ascii_case("sum") => match call.arguments.as_slice() {
                [Argument::Field(path)] => self.field(path, exact),
                _ => Err(self.context.invalid("sum() takes the path of one field")),
            },
            Left::Call(call) if MEANT_ALONE.iter().any(|name| call.name.eq_ignore_ascii_case(name)) => {
                Err(QueryError::Argument {
                    message: format!(
                        "The method {} on the left side inside the WHERE clause is not supported.",
                        call.name
                    ),
                })
            }
            Left::Call(call) => Err(unknown_method(call)),
        }
    }

    /// A field of the documents, or one that the index has.
    pub(super) fn field(&mut self, path: &FieldPath, exact: bool) -> Result<Field, QueryError> {
        let path = path.without_alias(self.alias).unwrap_or_else(|| path.clone());
        let text = path.text();
        let field = FieldRef::Path(steps(&path));
        self.needs_metadata |= is_metadata(&field);
        let Some(index) = self.index else {
            if self.adds_search {
                self.fields.add_search(&text);
            } else {
                self.fields.add(&text, exact);
            }
            return Ok((field, if exact { Matching::Original } else { Matching::Folded }));
        };
        let first = path.parts.first().map_or("", |part| part.name.as_str());
        let known = if index.has_field(&text) { text.as_str() } else { first };
        if !index.has_field(known) {
            return Err(self.not_indexed(&text, index));
        }
        let matching = if exact && index.keeps_originals() {
            Matching::Original
        } else {
            matching(index.indexing(known), exact)
        };
        Ok((field, matching))
    }

    fn not_indexed(&self, field: &str, index: &dyn SourceIndex) -> QueryError {
        QueryError::Argument {
            message: format!(
                "The field '{field}' is not indexed in '{}', cannot query/sort on fields that are not indexed in \
                 query: {}",
                index.name(),
                self.context.text
            ),
        }
    }

    /// The document's id; results of a map-reduce index have none.
    pub(super) fn id_field(&self) -> Result<FieldRef, QueryError> {
        match self.index {
            Some(index) if index.is_map_reduce() => Err(self.not_indexed("id()", index)),
            _ => Ok(FieldRef::Id),
        }
    }

    /// The seed of `random('seed')`; without one the request's.
    pub(super) fn random_seed(&self, call: &Call) -> Result<u64, QueryError> {
        let Some(argument) = call.arguments.first() else { return Ok(self.context.random_seed) };
        let text = match argument {
            Argument::Value(value) => self.value(value)?.to_string(),
            other => other.to_string(),
        };
        Ok(fingerprint(&[text.as_bytes()]))
    }
}

fn test(field: Field, test: Test) -> Filter {
    Filter::Test { field: field.0, matching: field.1, test }
}

pub(super) fn is_id(call: &Call) -> bool {
    call.name.eq_ignore_ascii_case("id") && call.arguments.len() <= 1
}

pub(super) fn is_id_left(left: &Left) -> bool {
    matches!(left, Left::Call(call) if is_id(call))
}

/// A field of this name, which stands for a call.
fn field_named(name: &str, call: &Call) -> FieldPath {
    let part = PathPart { name: name.to_owned(), index: PathIndex::None };
    FieldPath { parts: vec![part], position: call.position }
}

fn left_text(left: &Left) -> String {
    match left {
        Left::Field(path) => path.text(),
        Left::Call(call) => call.to_string(),
    }
}

fn unknown_method(call: &Call) -> QueryError {
    let name = call.name.to_lowercase();
    if NOT_BUILT.contains(&name.as_str()) || name.starts_with("spatial.") {
        return refuse::call(call, "where");
    }
    QueryError::Unsupported { message: format!("Method '{}' is not supported.", call.name) }
}

/// The value of a literal; a parameter has none and counts as null, the callers ask for it elsewhere.
pub(crate) fn literal(value: &Value) -> Json {
    match value {
        Value::Null | Value::Parameter(_) => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(number) => Json::Number(number.clone()),
        Value::Minus => Json::from(0_i64),
        Value::Text(text) => Json::String(text.clone()),
    }
}

/// The kind of a value as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Token {
    Null,
    True,
    False,
    Long,
    Double,
    Text,
    Parameter,
}

fn token(value: &Value) -> Token {
    match value {
        Value::Null => Token::Null,
        Value::Bool(true) => Token::True,
        Value::Bool(false) => Token::False,
        Value::Number(number) if number.to_string().contains(['.', 'e', 'E']) => Token::Double,
        Value::Number(_) | Value::Minus => Token::Long,
        Value::Text(_) => Token::Text,
        Value::Parameter(_) => Token::Parameter,
    }
}

/// Types that may stand together in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum TypeClass {
    Null,
    Bool,
    Number,
    Text,
    Object,
}

fn type_class(value: &Json) -> TypeClass {
    match value {
        Json::Null => TypeClass::Null,
        Json::Bool(_) => TypeClass::Bool,
        Json::Number(_) | Json::ScriptNumber(_) => TypeClass::Number,
        Json::String(_) => TypeClass::Text,
        Json::Array(_) | Json::Object(_) => TypeClass::Object,
    }
}

/// The name of a value's type in error messages.
pub(super) fn type_name(value: &Json) -> &'static str {
    match value {
        Json::Null => "Null",
        Json::Bool(true) => "True",
        Json::Bool(false) => "False",
        Json::Number(number) if number.as_i64().is_some() => "Long",
        Json::Number(_) | Json::ScriptNumber(_) => "Double",
        Json::String(_) => "String",
        Json::Array(_) => "Array",
        Json::Object(_) => "Object",
    }
}
