//! Expressions of `select` to arithmetic: parameters filled in, what can never have a value refused at once.

use super::Context;
use crate::arithmetic::{
    Arithmetic, Calculated, Operand, Refused, arithmetic_error, shortened, too_large, whole,
};
use crate::ast::{ArithmeticFunction, Expression, FieldPath, Position, Value};
use crate::error::QueryError;
use crate::limits;
use crate::reduce_by::ReduceBy;
use crate::source::SourceIndex;
use crate::term;
use magpie_store::json::BigInt;

/// Turns the expressions of one query into arithmetic.
#[derive(Clone, Copy)]
pub(super) struct Calculator<'a> {
    pub(super) context: Context<'a>,
    /// The alias of `from`.
    pub(super) alias: Option<&'a str>,
    pub(super) index: Option<&'a dyn SourceIndex>,
    pub(super) reduce: Option<&'a ReduceBy>,
}

impl Calculator<'_> {
    /// Refuses a field that no row of `reduce by` has.
    pub(super) fn check_kept(&self, path: &FieldPath) -> Result<(), QueryError> {
        match self.reduce {
            Some(reduce) => super::reduce_by::check_kept(reduce, path, self.alias, self.context),
            None => Ok(()),
        }
    }

    /// A whole item of `select`.
    pub(super) fn compile(&self, expression: &Expression) -> Result<Calculated, QueryError> {
        let Expression::Call { function: ArithmeticFunction::Divide, arguments, position } = expression
        else {
            return Ok(Calculated::Whole(self.operand(expression, false)?));
        };
        let [dividend, divisor, digits] = arguments.as_slice() else {
            return Err(arithmetic_error(*position, "divide() takes 3 arguments".to_owned()));
        };
        Ok(Calculated::Quotient {
            dividend: self.operand(dividend, false)?,
            divisor: self.operand(divisor, false)?,
            digits: self.digits(digits, *position)?,
            position: *position,
        })
    }

    fn operand(&self, expression: &Expression, from_text: bool) -> Result<Arithmetic, QueryError> {
        Ok(match expression {
            Expression::Value(value) => Arithmetic::Constant(self.constant(value, from_text)?),
            Expression::Field(path) => Arithmetic::Field(self.field(path, from_text)?),
            Expression::Negative(inner) => Arithmetic::Negative(Box::new(self.operand(inner, false)?)),
            Expression::Chain { first, rest } => {
                let first = Box::new(self.operand(first, false)?);
                let mut operations = Vec::with_capacity(rest.len());
                for operation in rest {
                    let right = self.operand(&operation.right, false)?;
                    operations.push((operation.operator, operation.position, right));
                }
                Arithmetic::Chain { first, rest: operations }
            }
            Expression::Call { function: ArithmeticFunction::BigInt, arguments, position } => {
                match arguments.as_slice() {
                    [argument] => self.operand(argument, true)?,
                    _ => return Err(arithmetic_error(*position, "bigint() takes 1 argument".to_owned())),
                }
            }
            Expression::Call { function: ArithmeticFunction::Divide, position, .. } => {
                let message = "divide() gives decimal text, so it must be a whole item of SELECT";
                return Err(arithmetic_error(*position, message.to_owned()));
            }
        })
    }

    fn constant(&self, value: &Value, from_text: bool) -> Result<Option<BigInt>, QueryError> {
        let json = match value {
            Value::Parameter(name) => self.context.parameter(name)?,
            other => super::condition::literal(other),
        };
        let reason = match whole(&json, from_text) {
            Ok(value) => return Ok(value),
            Err(Refused::TooLarge) => return Err(too_large()),
            Err(Refused::Text) => format!("text; write bigint({value}) to take it as a number"),
            Err(Refused::NotWhole) => "no whole number, as arithmetic needs one".to_owned(),
        };
        let shown = shortened(&json.to_string());
        Err(self.context.invalid(match value {
            Value::Parameter(name) => format!("The parameter '{name}' is {shown}, which is {reason}"),
            _ => format!("{shown} in SELECT is {reason}"),
        }))
    }

    fn field(&self, path: &FieldPath, from_text: bool) -> Result<Operand, QueryError> {
        self.check_kept(path)?;
        let text = path.text();
        let Some(path) = path.without_alias(self.alias) else {
            let message =
                format!("'{text}' is a whole document, which is no operand of arithmetic; name a field");
            return Err(arithmetic_error(path.position, message));
        };
        let steps = term::steps(&path);
        let stored = super::is_stored(&steps, self.index);
        Ok(Operand { path: steps, stored, from_text, text, position: path.position })
    }

    fn digits(&self, expression: &Expression, position: Position) -> Result<u32, QueryError> {
        let value = match expression {
            Expression::Value(value) => self.constant(value, false)?,
            _ => None,
        };
        let digits = value.and_then(|value| u32::try_from(&value).ok());
        digits.filter(|digits| *digits <= limits::DIVIDE_DIGITS_MAX).ok_or_else(|| {
            let message = format!(
                "divide() takes as its third argument a number or parameter from 0 to {} (divide_digits_max), how many \
                 digits stand behind the point",
                limits::DIVIDE_DIGITS_MAX
            );
            arithmetic_error(position, message)
        })
    }
}
