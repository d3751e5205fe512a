//! Which fields of its document a map function reads, so that the others need not be converted.

use super::{FunctionText, text_of};
use boa_ast::Expression;
use boa_ast::declaration::Binding;
use boa_ast::expression::access::{PropertyAccessField, SimplePropertyAccess};
use boa_ast::expression::{Call, Identifier, Optional, OptionalOperationKind};
use boa_ast::visitor::{VisitWith, Visitor};
use boa_interner::{Interner, Sym};
use std::convert::Infallible;
use std::ops::ControlFlow;

/// The fields of the document that a map can read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::script) struct Projection {
    /// Their names, `@metadata` not among them.
    pub fields: Vec<String>,
    /// Whether it reads `@metadata`.
    pub metadata: bool,
}

/// The projection of a map function whose parameter is used for nothing but reading fields and asking for the id or
/// the metadata; `None` when the parameter could go anywhere.
pub(super) fn projection(function: FunctionText<'_>, interner: &Interner) -> Option<Projection> {
    let [parameter] = function.parameters.as_ref() else { return None };
    let Binding::Identifier(name) = parameter.variable().binding() else { return None };
    if parameter.is_rest_param() || parameter.init().is_some() {
        return None;
    }
    let mut uses =
        Uses { parameter: name.sym(), interner, total: 0, reads: 0, projection: Projection::default() };
    let _ = function.body.visit_with(&mut uses);
    (uses.total == uses.reads).then_some(uses.projection)
}

struct Uses<'i> {
    parameter: Sym,
    interner: &'i Interner,
    /// Every place where the name stands, whatever it means there.
    total: usize,
    /// Those of them that only read a field.
    reads: usize,
    projection: Projection,
}

impl Uses<'_> {
    fn is_parameter(&self, expression: &Expression) -> bool {
        matches!(expression.flatten(), Expression::Identifier(name) if name.sym() == self.parameter)
    }

    fn read(&mut self, field: &PropertyAccessField) {
        let name = match field {
            PropertyAccessField::Const(name) => Some(name.sym()),
            PropertyAccessField::Expr(expression) => match expression.flatten() {
                Expression::Literal(literal) => literal.as_string(),
                _ => None,
            },
        };
        let Some(name) = name else { return };
        self.reads += 1;
        let text = text_of(self.interner, name);
        if text == "@metadata" {
            self.projection.metadata = true;
        } else if !self.projection.fields.contains(&text) {
            self.projection.fields.push(text);
        }
    }
}

impl<'ast> Visitor<'ast> for Uses<'_> {
    type BreakTy = Infallible;

    fn visit_identifier(&mut self, node: &'ast Identifier) -> ControlFlow<Self::BreakTy> {
        // `arguments` reaches the document without its name.
        if node.sym() == self.parameter || node.sym() == Sym::ARGUMENTS {
            self.total += 1;
        }
        ControlFlow::Continue(())
    }

    fn visit_simple_property_access(
        &mut self,
        node: &'ast SimplePropertyAccess,
    ) -> ControlFlow<Self::BreakTy> {
        if self.is_parameter(node.target()) {
            self.read(node.field());
        }
        node.visit_with(self)
    }

    fn visit_optional(&mut self, node: &'ast Optional) -> ControlFlow<Self::BreakTy> {
        if self.is_parameter(node.target())
            && let Some(first) = node.chain().first()
            && let OptionalOperationKind::SimplePropertyAccess { field } = first.kind()
        {
            self.read(field);
        }
        node.visit_with(self)
    }

    fn visit_call(&mut self, node: &'ast Call) -> ControlFlow<Self::BreakTy> {
        if let [argument] = node.args()
            && self.is_parameter(argument)
            && let Expression::Identifier(function) = node.function().flatten()
        {
            match text_of(self.interner, function.sym()).as_str() {
                "id" => self.reads += 1,
                "getMetadata" | "metadataFor" => {
                    self.reads += 1;
                    self.projection.metadata = true;
                }
                _ => {}
            }
        }
        node.visit_with(self)
    }
}
