//! Conditions of `where` and `filter`: `or` of `and` of comparisons, calls and parentheses.

use super::Parser;
use crate::ast::{Condition, Left, Operator, Right, Value};
use crate::error::QueryError;
use crate::lexer::Token;

const UNREADABLE: &str = "Unable to parse WHERE clause";

impl Parser<'_> {
    /// A whole condition.
    pub(super) fn condition(&mut self) -> Result<Condition, QueryError> {
        match self.primary()? {
            Some(first) => self.condition_from(first),
            None => Err(self.syntax(UNREADABLE)),
        }
    }

    /// A condition of which the first comparison has been read.
    pub(super) fn condition_from(&mut self, first: Condition) -> Result<Condition, QueryError> {
        let mut alternatives = vec![self.conjunction(first)?];
        while self.take_word("or") {
            let next = self.operand("Failed to find second part of Or expression")?;
            alternatives.push(self.conjunction(next)?);
        }
        Ok(one_or(alternatives, Condition::Or))
    }

    fn conjunction(&mut self, first: Condition) -> Result<Condition, QueryError> {
        let mut all = vec![first];
        while self.take_word("and") {
            all.push(self.operand("Failed to find second part of And expression")?);
        }
        Ok(one_or(all, Condition::And))
    }

    /// What stands behind `and` or `or`; only there `not` is allowed.
    fn operand(&mut self, missing: &str) -> Result<Condition, QueryError> {
        if self.take_word("not") {
            return Ok(Condition::Not(Box::new(self.deeper(|parser| parser.operand(missing))?)));
        }
        match self.primary()? {
            Some(condition) => Ok(condition),
            None => Err(self.syntax(missing)),
        }
    }

    /// Whether a condition goes on here.
    pub(super) fn at_junction(&mut self) -> bool {
        self.at_word("and") || self.at_word("or")
    }

    /// Whether a comparison goes on here.
    pub(super) fn at_operator(&mut self) -> bool {
        match self.token() {
            Token::Symbol(symbol) => operator(symbol).is_some(),
            Token::Word(word) => ["in", "all", "between"].iter().any(|name| word.eq_ignore_ascii_case(name)),
            _ => false,
        }
    }

    /// A condition in parentheses.
    pub(super) fn nested_condition(&mut self) -> Result<Condition, QueryError> {
        self.take();
        let condition = self.deeper(Self::condition)?;
        if self.take_symbol(")") {
            Ok(condition)
        } else {
            Err(self.syntax("Unmatched parenthesis, expected ')'"))
        }
    }

    /// One comparison, call or parenthesis; `None` when nothing of the kind starts here.
    fn primary(&mut self) -> Result<Option<Condition>, QueryError> {
        if self.at_symbol("(") {
            return self.nested_condition().map(Some);
        }
        if self.take_word("true") {
            return Ok(Some(Condition::True));
        }
        let Some(left) = self.head()? else { return Ok(None) };
        match left {
            Left::Call(call) if !self.at_operator() => Ok(Some(Condition::Call(call))),
            left => self.comparison(left).map(Some),
        }
    }

    /// The operator and right side behind `left`.
    pub(super) fn comparison(&mut self, left: Left) -> Result<Condition, QueryError> {
        if self.take_word("between") {
            let Some(low) = self.compared() else { return Err(self.syntax(UNREADABLE)) };
            if !self.take_word("and") {
                return Err(self.syntax("parsing Between, expected AND"));
            }
            let Some(high) = self.compared() else {
                return Err(self.syntax("parsing Between, expected value after AND"));
            };
            return Ok(Condition::Between { left, low, high });
        }
        if self.take_word("in") {
            return Ok(Condition::In { left, values: self.list()?, all: false });
        }
        if self.take_word("all") {
            if !self.take_word("in") {
                return Err(self.no_operator(&left));
            }
            return Ok(Condition::In { left, values: self.list()?, all: true });
        }
        let found = match self.token() {
            Token::Symbol(symbol) => operator(symbol),
            _ => None,
        };
        let Some(operator) = found else { return Err(self.no_operator(&left)) };
        self.take();
        let right = match self.compared() {
            Some(value) => Right::Value(value),
            None => match self.head()? {
                Some(Left::Field(path)) => Right::Field(path),
                Some(Left::Call(call)) => Right::Call(call),
                None => return Err(self.syntax(UNREADABLE)),
            },
        };
        Ok(Condition::Compare { left, operator, right })
    }

    fn no_operator(&mut self, left: &Left) -> QueryError {
        let lexeme = self.scanner.peek().clone();
        let found = match self.scanner.shown(&lexeme) {
            Some(token) => format!("found '{token}'"),
            None => "found nothing".to_owned(),
        };
        let name = match left {
            Left::Field(path) => path.text(),
            Left::Call(call) => call.name.clone(),
        };
        let operators = "'in', 'between', =, <, >, <=, >=, !=";
        self.invalid(format!(
            "Expected operator after '{name}' field, but {found}. Valid operators are: {operators}"
        ))
    }

    /// A value that something is compared with, if the next token is one.
    fn compared(&mut self) -> Option<Value> {
        let value = self.value();
        if value.is_some() || *self.token() != Token::Unknown || self.scanner.next_char() != Some('-') {
            return value;
        }
        self.scanner.take_char();
        Some(Value::Minus)
    }

    /// The list of `in`, with its parentheses.
    fn list(&mut self) -> Result<Vec<Value>, QueryError> {
        if !self.take_symbol("(") {
            return Err(self.syntax("parsing In, expected '('"));
        }
        let mut values = Vec::new();
        if self.take_symbol(")") {
            return Ok(values);
        }
        loop {
            let Some(value) = self.compared() else {
                return Err(self.syntax("parsing In, expected a value"));
            };
            values.push(value);
            if self.take_symbol(")") {
                return Ok(values);
            }
            if !self.take_symbol(",") {
                return Err(self.syntax("parsing In expression, expected ','"));
            }
        }
    }
}

fn operator(symbol: &str) -> Option<Operator> {
    Some(match symbol {
        "=" | "==" => Operator::Equal,
        "!=" | "<>" => Operator::NotEqual,
        "<" => Operator::Less,
        "<=" => Operator::LessOrEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterOrEqual,
        _ => return None,
    })
}

/// The only condition, or all of them under one roof.
fn one_or(mut conditions: Vec<Condition>, roof: fn(Vec<Condition>) -> Condition) -> Condition {
    if conditions.len() == 1
        && let Some(only) = conditions.pop()
    {
        return only;
    }
    roof(conditions)
}
