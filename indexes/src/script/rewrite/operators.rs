//! Operators and assignments, and the checks that bound what they make.
//!
//! `+` may join strings, so its result is checked. In scripts that may have BigInts, the arithmetic that makes numbers
//! larger is checked too, and three operators and the converting comparisons are written as calls, since they could take
//! too long before there is a result to look at: `a ** b` becomes `power(a, b)`. Other scripts keep their operators as
//! they are and pay nothing.

use super::Writer;
use super::expressions::Level;
use super::scope::Meaning;
use crate::function::FunctionError;
use crate::script::dialect::names;
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::expression::literal::LiteralKind;
use boa_ast::expression::operator::assign::{AssignOp, AssignTarget};
use boa_ast::expression::operator::binary::{ArithmeticOp, BinaryOp, BitwiseOp, LogicalOp, RelationalOp};
use boa_ast::expression::operator::unary::UnaryOp;
use boa_ast::expression::operator::update::{UpdateOp, UpdateTarget};
use boa_ast::expression::operator::{Assign, Binary, Unary, Update};
use boa_ast::{Expression, Spanned};

type Written = Result<(), FunctionError>;

/// The operator that also joins strings.
const ADD: BinaryOp = BinaryOp::Arithmetic(ArithmeticOp::Add);
/// The parameters of the function that a compound assignment to a property is written as.
const OWNER: &str = "__magpie_owner";
const KEY: &str = "__magpie_key";

/// How an operator is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// As it is.
    Plain,
    /// As it is, with a check of its result around it.
    Checked,
    /// As a call of this function, with this text before its first argument.
    Call(&'static str, &'static str),
}

impl Writer<'_> {
    /// Whether the value of an expression is a number for sure, neither a string nor a BigInt. A BigInt and a number
    /// do not mix, so one number on either side makes the result one.
    fn is_number(&self, expression: &Expression) -> bool {
        match expression.flatten() {
            Expression::Literal(literal) => {
                matches!(literal.kind(), LiteralKind::Int(_) | LiteralKind::Num(_))
            }
            Expression::Binary(node) => match node.op() {
                ADD => self.is_number(node.lhs()) && self.is_number(node.rhs()),
                BinaryOp::Arithmetic(_) | BinaryOp::Bitwise(_) => {
                    !self.big_ints || self.is_number(node.lhs()) || self.is_number(node.rhs())
                }
                _ => false,
            },
            Expression::Unary(node) => match node.op() {
                UnaryOp::Plus => true,
                UnaryOp::Minus | UnaryOp::Tilde => !self.big_ints || self.is_number(node.target()),
                _ => false,
            },
            Expression::Update(_) => !self.big_ints,
            _ => false,
        }
    }

    /// How a binary operator is written.
    pub(super) fn treatment(&self, node: &Binary) -> Treatment {
        if node.op() == ADD {
            let numbers = self.is_number(node.lhs()) && self.is_number(node.rhs());
            return if numbers { Treatment::Plain } else { Treatment::Checked };
        }
        if !self.big_ints {
            return Treatment::Plain;
        }
        let treatment = match node.op() {
            BinaryOp::Arithmetic(ArithmeticOp::Exp) => Treatment::Call(names::POWER, ""),
            BinaryOp::Arithmetic(_) => Treatment::Checked,
            BinaryOp::Bitwise(BitwiseOp::Shl) => Treatment::Call(names::SHIFT_LEFT, ""),
            BinaryOp::Bitwise(BitwiseOp::Shr) => Treatment::Call(names::SHIFT_RIGHT, ""),
            BinaryOp::Relational(op) => {
                let Some(place) = comparison(op) else { return Treatment::Plain };
                // Short strings, numbers and the like take no time to compare with anything.
                let simple = is_simple_literal(node.lhs()) || is_simple_literal(node.rhs());
                return if simple { Treatment::Plain } else { Treatment::Call(names::COMPARE, place) };
            }
            _ => Treatment::Plain,
        };
        if self.is_number(node.lhs()) || self.is_number(node.rhs()) { Treatment::Plain } else { treatment }
    }

    /// How an assignment is written.
    pub(super) fn assign_treatment(&self, node: &Assign) -> Treatment {
        if matches!(node.lhs(), AssignTarget::Pattern(_)) || self.is_number(node.rhs()) {
            return Treatment::Plain;
        }
        match node.op() {
            AssignOp::Add => Treatment::Checked,
            _ if !self.big_ints => Treatment::Plain,
            AssignOp::Sub | AssignOp::Mul | AssignOp::Div | AssignOp::Mod => Treatment::Checked,
            AssignOp::Exp => Treatment::Call(names::POWER, ""),
            AssignOp::Shl => Treatment::Call(names::SHIFT_LEFT, ""),
            AssignOp::Shr => Treatment::Call(names::SHIFT_RIGHT, ""),
            _ => Treatment::Plain,
        }
    }

    pub(super) fn binary(&mut self, node: &Binary) -> Written {
        let treatment = self.treatment(node);
        if treatment != Treatment::Plain {
            self.mark(node.span(), None);
        }
        match treatment {
            Treatment::Plain => self.plain_binary(node),
            // Of a chain of sums the outermost one is checked.
            Treatment::Checked if node.op() == ADD => self.checked(|writer| writer.sum(node, 1)),
            Treatment::Checked => self.checked(|writer| writer.plain_binary(node)),
            Treatment::Call(function, first) => {
                self.put(function);
                self.mark(node.span(), None);
                self.put("(");
                self.put(first);
                self.expression(node.lhs(), Level::Assignment)?;
                self.put(",");
                self.expression(node.rhs(), Level::Assignment)?;
                self.put(")");
                Ok(())
            }
        }
    }

    /// Writes the sums on the left of a sum without checks of their own, except every eighth.
    fn sum(&mut self, node: &Binary, terms: usize) -> Written {
        match node.lhs().flatten() {
            Expression::Binary(left) if left.op() == ADD && terms < 8 => self.sum(left, terms + 1)?,
            left => self.expression(left, Level::Sum)?,
        }
        self.put(" + ");
        self.expression(node.rhs(), Level::Product)
    }

    fn plain_binary(&mut self, node: &Binary) -> Written {
        let own = binary_level(node.op());
        let (left, right) = match node.op() {
            BinaryOp::Arithmetic(ArithmeticOp::Exp) => (Level::Postfix, Level::Power),
            // `??` cannot stand next to `||` or `&&` without parentheses.
            BinaryOp::Logical(LogicalOp::Coalesce) => match node.lhs().flatten() {
                Expression::Binary(inner) if inner.op() == node.op() => (Level::Coalesce, Level::BitOr),
                _ => (Level::BitOr, Level::BitOr),
            },
            _ => (own, own.tighter()),
        };
        // A loop's head would take a bare `in` for its own.
        let parentheses = node.op() == BinaryOp::Relational(RelationalOp::In);
        if parentheses {
            self.put("(");
        }
        self.expression(node.lhs(), left)?;
        self.put(&format!(" {} ", node.op()));
        self.expression(node.rhs(), right)?;
        if parentheses {
            self.put(")");
        }
        Ok(())
    }

    pub(super) fn assign(&mut self, node: &Assign) -> Written {
        self.mark(node.span(), None);
        match (node.lhs(), self.assign_treatment(node)) {
            // Parentheses are not allowed around a pattern itself; the assignment as a whole has them where needed.
            (AssignTarget::Pattern(pattern), _) => self.destructure(pattern, node.rhs(), false),
            (_, Treatment::Plain) => self.plain_assign(node),
            (_, Treatment::Checked) => self.checked(|writer| writer.plain_assign(node)),
            (AssignTarget::Identifier(name), Treatment::Call(function, _)) => {
                self.check_assignment(name.sym(), name.span())?;
                self.put("(");
                self.name(name.sym(), name.span())?;
                self.put("=");
                self.put(function);
                self.put("(");
                self.read(*name)?;
                self.put(",");
                self.expression(node.rhs(), Level::Assignment)?;
                self.put("))");
                Ok(())
            }
            (AssignTarget::Access(access), Treatment::Call(function, _)) => {
                self.assign_call(access, function, node)
            }
        }
    }

    fn plain_assign(&mut self, node: &Assign) -> Written {
        match node.lhs() {
            AssignTarget::Identifier(name) => {
                self.check_assignment(name.sym(), name.span())?;
                self.note_capture(name.sym(), name.span());
                self.name(name.sym(), name.span())?;
            }
            AssignTarget::Access(access) => self.reference(access)?,
            AssignTarget::Pattern(_) => {}
        }
        self.put(&node.op().to_string());
        self.expression(node.rhs(), Level::Assignment)
    }

    /// Writes `a.b **= c` as `((owner,key)=>owner[key]=power(owner[key],c))(a,"b")`, which looks at `a` and the key
    /// once, like the operator.
    fn assign_call(&mut self, access: &PropertyAccess, function: &str, node: &Assign) -> Written {
        let (link, owner) = match access {
            PropertyAccess::Simple(simple) => (format!("{OWNER}[{KEY}]"), simple.target()),
            PropertyAccess::Private(private) => {
                let name = self.text_of(private.field().description());
                (format!("{OWNER}.#{name}"), private.target())
            }
            PropertyAccess::Super(_) => {
                return self.refuse("this assignment to a property of super is not supported", node.span());
            }
        };
        self.put(&format!("(({OWNER},{KEY})=>{link}={function}({link},"));
        self.expression(node.rhs(), Level::Assignment)?;
        self.put("))(");
        self.expression(owner, Level::Assignment)?;
        if let PropertyAccess::Simple(simple) = access {
            self.put(",");
            match simple.field() {
                PropertyAccessField::Const(name) => {
                    let key = self.interner.resolve(name.sym()).map(|text| super::quoted(text.utf16()));
                    self.put(&key.unwrap_or_default());
                }
                PropertyAccessField::Expr(key) => self.expression(key, Level::Assignment)?,
            }
        }
        self.put(")");
        Ok(())
    }

    pub(super) fn unary(&mut self, node: &Unary) -> Written {
        let target = node.target().flatten();
        self.put(&node.op().to_string());
        self.put(" ");
        match (node.op(), target) {
            // `typeof` of a name that nothing declares is "undefined", so it must stay a name.
            (UnaryOp::TypeOf, Expression::Identifier(name)) if self.meaning(name.sym()) == Meaning::Free => {
                let text = self.text_of(name.sym());
                self.put(&text);
                Ok(())
            }
            (UnaryOp::Delete | UnaryOp::TypeOf, Expression::PropertyAccess(access)) => self.last_link(access),
            _ => self.expression(target, Level::Unary),
        }
    }

    pub(super) fn update(&mut self, node: &Update) -> Written {
        let prefix = matches!(node.op(), UpdateOp::IncrementPre | UpdateOp::DecrementPre);
        let operator = node.op().to_string();
        self.mark(node.span(), None);
        if prefix {
            self.put(&operator);
        }
        match node.target() {
            UpdateTarget::Identifier(name) => {
                self.check_assignment(name.sym(), name.span())?;
                self.note_capture(name.sym(), name.span());
                self.name(name.sym(), name.span())?;
            }
            UpdateTarget::PropertyAccess(access) => self.reference(access)?,
        }
        if !prefix {
            self.put(&operator);
        }
        Ok(())
    }
}

/// A literal that is no BigInt, nor a string of any length worth speaking of.
fn is_simple_literal(expression: &Expression) -> bool {
    match expression.flatten() {
        Expression::Literal(literal) => {
            !matches!(literal.kind(), LiteralKind::BigInt(_) | LiteralKind::String(_))
        }
        Expression::Unary(node) => node.op() == UnaryOp::TypeOf,
        _ => false,
    }
}

/// The first argument of the call that a converting comparison is written as.
const fn comparison(op: RelationalOp) -> Option<&'static str> {
    Some(match op {
        RelationalOp::Equal => "0,",
        RelationalOp::NotEqual => "1,",
        RelationalOp::LessThan => "2,",
        RelationalOp::LessThanOrEqual => "3,",
        RelationalOp::GreaterThan => "4,",
        RelationalOp::GreaterThanOrEqual => "5,",
        _ => return None,
    })
}

/// The level of a binary operator.
pub(super) const fn binary_level(op: BinaryOp) -> Level {
    match op {
        BinaryOp::Comma => Level::Comma,
        BinaryOp::Logical(LogicalOp::Coalesce) => Level::Coalesce,
        BinaryOp::Logical(LogicalOp::Or) => Level::Or,
        BinaryOp::Logical(LogicalOp::And) => Level::And,
        BinaryOp::Bitwise(BitwiseOp::Or) => Level::BitOr,
        BinaryOp::Bitwise(BitwiseOp::Xor) => Level::BitXor,
        BinaryOp::Bitwise(BitwiseOp::And) => Level::BitAnd,
        BinaryOp::Bitwise(BitwiseOp::Shl | BitwiseOp::Shr | BitwiseOp::UShr) => Level::Shift,
        BinaryOp::Relational(
            RelationalOp::Equal
            | RelationalOp::NotEqual
            | RelationalOp::StrictEqual
            | RelationalOp::StrictNotEqual,
        ) => Level::Equality,
        BinaryOp::Relational(_) => Level::Relation,
        BinaryOp::Arithmetic(ArithmeticOp::Add | ArithmeticOp::Sub) => Level::Sum,
        BinaryOp::Arithmetic(ArithmeticOp::Exp) => Level::Power,
        BinaryOp::Arithmetic(_) => Level::Product,
    }
}
