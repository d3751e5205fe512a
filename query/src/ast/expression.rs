//! Arithmetic in `select` as plain data: what is calculated, in the order of the text, and how it prints.

use super::{FieldPath, Position, Value};
use std::fmt::{self, Display, Formatter, Write};

/// Something calculated from fields, numbers and parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A literal or parameter.
    Value(Value),
    /// A field.
    Field(FieldPath),
    /// `-x`; a minus before the digits of a literal belongs to the literal.
    Negative(Box<Expression>),
    /// Operands joined by operators of one precedence, from left to right: `a + b - c`, `a * b`.
    Chain {
        /// The first operand.
        first: Box<Expression>,
        /// One or more operators, each with its right operand.
        rest: Vec<Operation>,
    },
    /// `bigint(x)`, `divide(x, y, digits)`.
    Call {
        /// Which function.
        function: ArithmeticFunction,
        /// As many arguments as it takes.
        arguments: Vec<Expression>,
        /// Where its name stands.
        position: Position,
    },
}

/// An operator with what stands behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// The operator.
    pub operator: ArithmeticOperator,
    /// Its right operand.
    pub right: Expression,
    /// Where the operator stands.
    pub position: Position,
}

/// An operator of arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArithmeticOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
}

/// A function of arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArithmeticFunction {
    /// `bigint(x)`
    BigInt,
    /// `divide(x, y, digits)`
    Divide,
}

impl ArithmeticOperator {
    /// The operator that a character spells.
    pub(crate) fn new(sign: char) -> Option<Self> {
        Some(match sign {
            '+' => Self::Add,
            '-' => Self::Subtract,
            '*' => Self::Multiply,
            _ => return None,
        })
    }

    /// Whether it binds like `+` rather than like `*`.
    pub(crate) fn is_sum(self) -> bool {
        matches!(self, Self::Add | Self::Subtract)
    }
}

impl ArithmeticFunction {
    const ALL: [Self; 2] = [Self::BigInt, Self::Divide];

    /// The function of this name, ignoring case.
    pub(crate) fn new(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BigInt => "bigint",
            Self::Divide => "divide",
        }
    }

    /// How many arguments it takes.
    pub(crate) fn arity(self) -> usize {
        match self {
            Self::BigInt => 1,
            Self::Divide => 3,
        }
    }
}

impl Display for ArithmeticOperator {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char(match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
        })
    }
}

impl Expression {
    /// Whether it is a chain of sums (`Some(true)`) or of products; `None` for what needs no parentheses anywhere.
    fn chain_is_sum(&self) -> Option<bool> {
        match self {
            Self::Chain { rest, .. } => rest.first().map(|operation| operation.operator.is_sum()),
            _ => None,
        }
    }

    /// Prints it as an operand of a chain, or of a minus sign when `in_sum` is false.
    fn operand(&self, f: &mut Formatter<'_>, in_sum: bool) -> fmt::Result {
        match self.chain_is_sum() {
            Some(is_sum) if is_sum || !in_sum => write!(f, "({self})"),
            _ => write!(f, "{self}"),
        }
    }
}

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Field(path) => write!(f, "{path}"),
            Self::Negative(inner) => {
                f.write_char('-')?;
                inner.operand(f, false)
            }
            Self::Chain { first, rest } => {
                let in_sum = self.chain_is_sum().unwrap_or(false);
                first.operand(f, in_sum)?;
                for operation in rest {
                    write!(f, " {} ", operation.operator)?;
                    operation.right.operand(f, in_sum)?;
                }
                Ok(())
            }
            Self::Call { function, arguments, .. } => {
                write!(f, "{}(", function.name())?;
                for (number, argument) in arguments.iter().enumerate() {
                    f.write_str(if number == 0 { "" } else { ", " })?;
                    write!(f, "{argument}")?;
                }
                f.write_char(')')
            }
        }
    }
}
