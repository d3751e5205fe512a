//! Bounding strings: whatever joins strings is checked, so that no string grows without limit.

use super::Writer;
use crate::function::FunctionError;
use crate::script::dialect::names;
use boa_ast::expression::Expression;
use boa_ast::expression::literal::{LiteralKind, ObjectMethodDefinition, TemplateElement};
use boa_ast::expression::operator::assign::AssignOp;
use boa_ast::expression::operator::binary::{ArithmeticOp, BinaryOp};
use boa_ast::expression::operator::unary::UnaryOp;
use boa_ast::expression::operator::{Assign, Binary};
use boa_ast::function::{
    ArrowFunction, ClassDeclaration, ClassExpression, FunctionBody, FunctionDeclaration, FunctionExpression,
};
use boa_ast::visitor::{VisitWith, Visitor};
use std::ops::ControlFlow;

/// The variable that holds a new string while it is looked at.
pub(super) const TEMPORARY: &str = "__magpie_new";
/// Strings up to this length are not looked at, in UTF-16 units.
const UNCHECKED_LENGTH: usize = 1024;

impl Writer<'_> {
    /// Writes an expression whose value may be a new string, and the check of it. The result is in parentheses.
    ///
    /// The check is written in place where the function has a variable for it, since a call would cost more than the
    /// addition itself.
    pub(super) fn checked_text(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), FunctionError>,
    ) -> Result<(), FunctionError> {
        if self.temporaries.last() != Some(&true) {
            self.put(names::TEXT);
            self.put("(");
            write(self)?;
            self.put(")");
            return Ok(());
        }
        self.put("(");
        self.put(TEMPORARY);
        self.put("=");
        write(self)?;
        self.put(&format!(
            ",typeof {TEMPORARY}===\"string\"&&{TEMPORARY}.length>{UNCHECKED_LENGTH}?{}({TEMPORARY}):{TEMPORARY})",
            names::TEXT
        ));
        Ok(())
    }
}

/// Whether the value of an expression is a number for sure.
pub(super) fn is_number(expression: &Expression) -> bool {
    match expression.flatten() {
        Expression::Literal(literal) => matches!(literal.kind(), LiteralKind::Int(_) | LiteralKind::Num(_)),
        Expression::Binary(node) => match node.op() {
            BinaryOp::Arithmetic(ArithmeticOp::Add) => is_number(node.lhs()) && is_number(node.rhs()),
            BinaryOp::Arithmetic(_) | BinaryOp::Bitwise(_) => true,
            _ => false,
        },
        Expression::Unary(node) => matches!(node.op(), UnaryOp::Plus | UnaryOp::Minus | UnaryOp::Tilde),
        Expression::Update(_) => true,
        _ => false,
    }
}

/// Whether a function's own body, without the functions in it, may join strings.
pub(super) fn adds(body: &FunctionBody) -> bool {
    body.visit_with(&mut Adds).is_break()
}

struct Adds;

impl<'ast> Visitor<'ast> for Adds {
    type BreakTy = ();

    fn visit_binary(&mut self, node: &'ast Binary) -> ControlFlow<()> {
        if node.op() == BinaryOp::Arithmetic(ArithmeticOp::Add) {
            return ControlFlow::Break(());
        }
        node.visit_with(self)
    }

    fn visit_assign(&mut self, node: &'ast Assign) -> ControlFlow<()> {
        if node.op() == AssignOp::Add {
            return ControlFlow::Break(());
        }
        node.visit_with(self)
    }

    fn visit_template_element(&mut self, node: &'ast TemplateElement) -> ControlFlow<()> {
        match node {
            TemplateElement::Expr(_) => ControlFlow::Break(()),
            TemplateElement::String(_) => ControlFlow::Continue(()),
        }
    }

    // A nested function declares its own variable.
    fn visit_arrow_function(&mut self, _: &'ast ArrowFunction) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn visit_function_expression(&mut self, _: &'ast FunctionExpression) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn visit_function_declaration(&mut self, _: &'ast FunctionDeclaration) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn visit_object_method_definition(&mut self, node: &'ast ObjectMethodDefinition) -> ControlFlow<()> {
        self.visit_property_name(node.name())
    }
    // Class bodies are rare and their computed names rarer: a variable too many does no harm.
    fn visit_class_declaration(&mut self, _: &'ast ClassDeclaration) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
    fn visit_class_expression(&mut self, _: &'ast ClassExpression) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}
