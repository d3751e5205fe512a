//! The smallest parts: values, field paths, calls and their arguments.

use super::Parser;
use crate::ast::{Argument, Call, Condition, FieldPath, Left, PathIndex, PathPart, Value};
use crate::error::QueryError;
use crate::lexer::Token;
use crate::limits;

impl Parser<'_> {
    /// A value, if the next token is one.
    pub(super) fn value(&mut self) -> Option<Value> {
        let value = match self.token() {
            Token::Number(number) => Value::Number(number.clone()),
            Token::Parameter(name) => Value::Parameter((*name).to_owned()),
            Token::Quoted(text) => Value::Text(text.clone()),
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Value::Bool(true),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Value::Bool(false),
            Token::Word(word) if word.eq_ignore_ascii_case("null") => Value::Null,
            _ => return None,
        };
        self.take();
        Some(value)
    }

    /// A value that must be there.
    pub(super) fn required_value(&mut self, message: &str) -> Result<Value, QueryError> {
        match self.value() {
            Some(value) => Ok(value),
            None => Err(self.syntax(message)),
        }
    }

    /// A bare or quoted name, if the next token is one.
    pub(super) fn name(&mut self) -> Option<String> {
        let name = match self.token() {
            Token::Word(word) => (*word).to_owned(),
            Token::Quoted(text) => text.clone(),
            _ => return None,
        };
        self.take();
        Some(name)
    }

    /// A field path or a call, if the next token starts one. A path cannot be called once it has quotes or brackets.
    pub(super) fn head(&mut self) -> Result<Option<Left>, QueryError> {
        let position = self.position();
        let mut callable = matches!(self.token(), Token::Word(_));
        let Some(first) = self.name() else { return Ok(None) };
        let mut parts = vec![PathPart { name: first, index: self.index()? }];
        loop {
            callable &= parts.last().is_some_and(|part| part.index == PathIndex::None);
            if callable && self.at_symbol("(") {
                let name = parts.into_iter().map(|part| part.name).collect::<Vec<_>>().join(".");
                let arguments = self.deeper(Self::arguments)?;
                return Ok(Some(Left::Call(Call { name, arguments, position })));
            }
            if !self.take_symbol(".") {
                return Ok(Some(Left::Field(FieldPath { parts, position })));
            }
            callable &= matches!(self.token(), Token::Word(_));
            let Some(name) = self.name() else { return Err(self.syntax("Expected a field name after '.'")) };
            parts.push(PathPart { name, index: self.index()? });
            if parts.len() > limits::PATH_PARTS_MAX {
                let message = format!("Field path has more than {} parts", limits::PATH_PARTS_MAX);
                return Err(self.syntax(message));
            }
        }
    }

    /// A field path that must be there.
    pub(super) fn field(&mut self, message: &str) -> Result<FieldPath, QueryError> {
        let start = self.position();
        match self.head()? {
            Some(Left::Field(path)) => Ok(path),
            Some(Left::Call(call)) => Err(QueryError::Syntax {
                line: start.line,
                column: start.column,
                message: message.to_owned(),
                found: Some(call.name),
                query: self.text.into(),
            }),
            None => Err(self.syntax(message)),
        }
    }

    /// The brackets behind a name.
    fn index(&mut self) -> Result<PathIndex, QueryError> {
        if !self.take_symbol("[") {
            return Ok(PathIndex::None);
        }
        let index = match self.token() {
            Token::Number(number) => match number.as_i64().and_then(|index| u32::try_from(index).ok()) {
                Some(index) => {
                    self.take();
                    PathIndex::At(index)
                }
                None => return Err(self.syntax("Expected a position from 0 in brackets")),
            },
            _ => PathIndex::Each,
        };
        if self.take_symbol("]") {
            Ok(index)
        } else {
            Err(self.invalid(
                "Expected to find closing ']' behind '[', with nothing or a position from 0 between",
            ))
        }
    }

    /// The arguments of a call, with their parentheses.
    fn arguments(&mut self) -> Result<Vec<Argument>, QueryError> {
        let mut arguments = Vec::new();
        self.take();
        if self.take_symbol(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.argument()?);
            if self.take_symbol(")") {
                return Ok(arguments);
            }
            if !self.take_symbol(",") {
                return Err(self.syntax("Expected ',' or ')' in the arguments of a method"));
            }
        }
    }

    fn argument(&mut self) -> Result<Argument, QueryError> {
        let word = match self.token() {
            Token::Word(word) => (*word).to_owned(),
            Token::Quoted(_) => return self.quoted_argument(),
            Token::Symbol("(") => return Ok(Argument::Condition(self.nested_condition()?)),
            _ => {
                let missing = "Expected an argument of a method";
                return Ok(Argument::Value(self.required_value(missing)?));
            }
        };
        if word.eq_ignore_ascii_case("and") || word.eq_ignore_ascii_case("or") {
            self.take();
            return Ok(Argument::Word(word));
        }
        if let Some(value) = self.value() {
            let is_true = value == Value::Bool(true);
            return if is_true && self.at_junction() {
                Ok(Argument::Condition(self.condition_from(Condition::True)?))
            } else {
                Ok(Argument::Value(value))
            };
        }
        self.field_argument()
    }

    /// A string, unless it turns out to be a quoted field of a condition or a longer path.
    fn quoted_argument(&mut self) -> Result<Argument, QueryError> {
        match self.field_argument()? {
            Argument::Field(path) => match path.parts.as_slice() {
                [only] if only.index == PathIndex::None => {
                    Ok(Argument::Value(Value::Text(only.name.clone())))
                }
                _ => Ok(Argument::Field(path)),
            },
            other => Ok(other),
        }
    }

    fn field_argument(&mut self) -> Result<Argument, QueryError> {
        let Some(head) = self.head()? else { return Err(self.syntax("Expected an argument of a method")) };
        if self.at_operator() {
            let first = self.comparison(head)?;
            return Ok(Argument::Condition(self.condition_from(first)?));
        }
        match head {
            Left::Call(call) if self.at_junction() => {
                Ok(Argument::Condition(self.condition_from(Condition::Call(call))?))
            }
            Left::Call(call) => Ok(Argument::Call(call)),
            Left::Field(path) => Ok(Argument::Field(path)),
        }
    }
}
