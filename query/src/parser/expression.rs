//! Arithmetic in `select`: sums of products of operands. Names may hold `-`, so a minus behind a name needs a blank.

use super::Parser;
use crate::ast::{
    Argument, ArithmeticFunction, ArithmeticOperator, Expression, Left, Operation, PathIndex, Selected, Value,
};
use crate::error::QueryError;
use crate::lexer::Token;
use magpie_store::json::Number;

const NO_CALL: &str = "Only bigint() and divide() can be part of arithmetic in SELECT";
const NO_OPERAND: &str = "Expected a field, number, parameter or parenthesis in the arithmetic of SELECT";

impl Parser<'_> {
    /// The arithmetic that starts with `first`, or `first` itself when no operator follows it.
    pub(super) fn continued(&mut self, first: Argument) -> Result<Selected, QueryError> {
        if self.operator().is_none() {
            return Ok(Selected::Plain(first));
        }
        let first = match first {
            Argument::Value(value) => Expression::Value(value),
            Argument::Field(path) => Expression::Field(path),
            _ => return Err(self.syntax(NO_CALL)),
        };
        self.sum(Some(first)).map(Selected::Arithmetic)
    }

    /// Arithmetic that starts with a parenthesis, a sign or a function; `None` when the next token is none of these.
    pub(super) fn arithmetic(&mut self) -> Result<Option<Selected>, QueryError> {
        let is_sign = self.operator() == Some(ArithmeticOperator::Subtract)
            && !matches!(self.token(), Token::Number(_));
        if !is_sign && !self.at_symbol("(") && self.function().is_none() {
            return Ok(None);
        }
        Ok(Some(match self.sum(None)? {
            // Parentheses around one thing alone say nothing.
            Expression::Value(value) => Selected::Plain(Argument::Value(value)),
            Expression::Field(path) => Selected::Plain(Argument::Field(path)),
            calculated => Selected::Arithmetic(calculated),
        }))
    }

    fn operator(&mut self) -> Option<ArithmeticOperator> {
        self.scanner.next_char().and_then(ArithmeticOperator::new)
    }

    /// The function whose call comes next.
    fn function(&mut self) -> Option<ArithmeticFunction> {
        let function = match self.token() {
            Token::Word(word) => ArithmeticFunction::new(word)?,
            _ => return None,
        };
        self.scanner.is_call_next().then_some(function)
    }

    /// Products joined by `+` and `-`. `first` is the first operand when it has been read.
    fn sum(&mut self, first: Option<Expression>) -> Result<Expression, QueryError> {
        let first = self.product(first)?;
        self.chain(first, true, |parser| parser.product(None))
    }

    /// Operands joined by `*`.
    fn product(&mut self, first: Option<Expression>) -> Result<Expression, QueryError> {
        let first = match first {
            Some(first) => first,
            None => self.operand_of_arithmetic()?,
        };
        self.chain(first, false, Self::operand_of_arithmetic)
    }

    fn chain(
        &mut self,
        first: Expression,
        is_sum: bool,
        mut operand: impl FnMut(&mut Self) -> Result<Expression, QueryError>,
    ) -> Result<Expression, QueryError> {
        let mut rest = Vec::new();
        while let Some(operator) = self.operator().filter(|operator| operator.is_sum() == is_sum) {
            let position = self.position();
            self.scanner.take_char();
            rest.push(Operation { operator, right: operand(self)?, position });
        }
        Ok(if rest.is_empty() { first } else { Expression::Chain { first: Box::new(first), rest } })
    }

    fn operand_of_arithmetic(&mut self) -> Result<Expression, QueryError> {
        if let Some(value) = self.operand_value() {
            return Ok(Expression::Value(value));
        }
        if self.operator() == Some(ArithmeticOperator::Subtract) {
            self.scanner.take_char();
            return Ok(negative(self.deeper(Self::operand_of_arithmetic)?));
        }
        if self.take_symbol("(") {
            let inner = self.deeper(|parser| parser.sum(None))?;
            return if self.take_symbol(")") {
                Ok(inner)
            } else {
                Err(self.syntax("Unmatched parenthesis, expected ')'"))
            };
        }
        if let Some(function) = self.function() {
            return self.deeper(|parser| parser.call_of_arithmetic(function));
        }
        let quoted = matches!(self.token(), Token::Quoted(_));
        let start = self.scanner.peek().clone();
        match self.head()? {
            Some(Left::Field(path)) => Ok(match path.parts.as_slice() {
                // As everywhere in SELECT, a quoted word alone is a string.
                [only] if quoted && only.index == PathIndex::None => {
                    Expression::Value(Value::Text(only.name.clone()))
                }
                _ => Expression::Field(path),
            }),
            Some(Left::Call(_)) => Err(self.syntax_at(&start, NO_CALL)),
            None => Err(self.syntax(NO_OPERAND)),
        }
    }

    /// A literal that is no string, or a parameter.
    fn operand_value(&mut self) -> Option<Value> {
        if matches!(self.token(), Token::Quoted(_)) { None } else { self.value() }
    }

    fn call_of_arithmetic(&mut self, function: ArithmeticFunction) -> Result<Expression, QueryError> {
        let position = self.position();
        self.take();
        self.take();
        let mut arguments = Vec::with_capacity(function.arity());
        for number in 1..=function.arity() {
            arguments.push(self.sum(None)?);
            let last = number == function.arity();
            if !self.take_symbol(if last { ")" } else { "," }) {
                let plural = if function.arity() == 1 { "" } else { "s" };
                return Err(self.syntax(format!(
                    "{}() takes {} argument{plural}: expected '{}'",
                    function.name(),
                    function.arity(),
                    if last { ")" } else { "," }
                )));
            }
        }
        Ok(Expression::Call { function, arguments, position })
    }
}

/// `-inner`; of a literal the negative literal, so that equal texts are equal expressions.
fn negative(inner: Expression) -> Expression {
    match inner {
        Expression::Value(Value::Number(number)) if !number.to_string().starts_with('-') => {
            Expression::Value(Value::Number(Number::from_valid_text(&format!("-{number}"))))
        }
        other => Expression::Negative(Box::new(other)),
    }
}
