//! Bounding strings and BigInts: whatever makes longer ones is checked, so that none grows without limit.

use super::Writer;
use crate::function::FunctionError;
use crate::script::dialect::names;
use boa_ast::Expression;
use boa_ast::expression::literal::{ObjectMethodDefinition, TemplateElement};
use boa_ast::expression::operator::assign::AssignOp;
use boa_ast::expression::operator::binary::{ArithmeticOp, BinaryOp};
use boa_ast::expression::operator::unary::UnaryOp;
use boa_ast::expression::operator::{Assign, Binary};
use boa_ast::function::{
    ArrowFunction, ClassDeclaration, ClassExpression, FunctionBody, FunctionDeclaration, FunctionExpression,
};
use boa_ast::visitor::{VisitWith, Visitor};
use std::ops::ControlFlow;

/// The variable that holds a new value while it is looked at.
pub(super) const TEMPORARY: &str = "__magpie_new";
/// Strings up to this length are not looked at, in UTF-16 units.
const UNCHECKED_LENGTH: usize = 1024;
/// The same where BigInts are printed, which takes longer than copying text.
const UNCHECKED_LENGTH_WITH_BIG_INTS: usize = 256;

impl Writer<'_> {
    /// Writes an expression whose value may be a new string or BigInt, and the check of it. The result is in
    /// parentheses, or a call.
    ///
    /// The check is written in place where the function has a variable for it, since a call would cost more than the
    /// operator itself.
    pub(super) fn checked(
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
        let check = names::TEXT;
        self.put(&if self.big_ints {
            format!(
                ",typeof {TEMPORARY}===\"number\"||typeof {TEMPORARY}===\"string\"&&\
                 {TEMPORARY}.length<={UNCHECKED_LENGTH_WITH_BIG_INTS}?{TEMPORARY}:{check}({TEMPORARY}))"
            )
        } else {
            format!(
                ",typeof {TEMPORARY}===\"string\"&&{TEMPORARY}.length>{UNCHECKED_LENGTH}?\
                 {check}({TEMPORARY}):{TEMPORARY})"
            )
        });
        Ok(())
    }
}

/// Whether a function's own body, without the functions in it, may make strings or, where there are some, BigInts.
pub(super) fn grows(body: &FunctionBody, big_ints: bool) -> bool {
    body.visit_with(&mut Grows { big_ints }).is_break()
}

/// Whether evaluating a part of a template may change something: whether it calls, makes, assigns or deletes.
pub(super) fn may_have_effects(element: &TemplateElement) -> bool {
    match element {
        TemplateElement::Expr(expression) => Effects.visit_expression(expression).is_break(),
        TemplateElement::String(_) => false,
    }
}

struct Effects;

impl<'ast> Visitor<'ast> for Effects {
    type BreakTy = ();

    fn visit_expression(&mut self, node: &'ast Expression) -> ControlFlow<()> {
        match node {
            Expression::Call(_)
            | Expression::New(_)
            | Expression::Assign(_)
            | Expression::Update(_)
            | Expression::TaggedTemplate(_)
            | Expression::SuperCall(_)
            | Expression::Optional(_)
            | Expression::Yield(_)
            | Expression::Await(_) => ControlFlow::Break(()),
            Expression::Unary(unary) if unary.op() == UnaryOp::Delete => ControlFlow::Break(()),
            _ => node.visit_with(self),
        }
    }
}

struct Grows {
    big_ints: bool,
}

impl<'ast> Visitor<'ast> for Grows {
    type BreakTy = ();

    fn visit_binary(&mut self, node: &'ast Binary) -> ControlFlow<()> {
        match node.op() {
            BinaryOp::Arithmetic(ArithmeticOp::Add) => ControlFlow::Break(()),
            BinaryOp::Arithmetic(_) if self.big_ints => ControlFlow::Break(()),
            _ => node.visit_with(self),
        }
    }

    fn visit_assign(&mut self, node: &'ast Assign) -> ControlFlow<()> {
        match node.op() {
            AssignOp::Add => ControlFlow::Break(()),
            AssignOp::Sub | AssignOp::Mul | AssignOp::Div | AssignOp::Mod if self.big_ints => {
                ControlFlow::Break(())
            }
            _ => node.visit_with(self),
        }
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
