//! The function that turns a reduced value into a result: `groupBy(..).aggregate(..).finalize(r => ..)`, or a script of
//! its own that is the function.

use super::{FunctionText, function_text, names, returns, text_of};
use crate::script::parse::{ParsedScript, Role};
use boa_ast::expression::Call;
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::statement::Statement;
use boa_ast::visitor::{VisitWith, Visitor};
use boa_ast::{Expression, StatementListItem};
use boa_interner::Interner;
use std::convert::Infallible;
use std::ops::ControlFlow;

/// Why a Finalize script is refused.
pub(in crate::script) const FINALIZE_IS_A_FUNCTION: &str =
    "the Finalize must be one function: r => ({ .. }) or function (r) { return { .. }; }";

/// The function expression that a Finalize script is.
pub(in crate::script) fn lone_expression(script: &ParsedScript) -> Option<&Expression> {
    let [StatementListItem::Statement(statement)] = script.tree.statements().statements() else {
        return None;
    };
    let Statement::Expression(expression) = statement.as_ref() else { return None };
    function_text(expression).map(|_| expression)
}

/// The names of the fields that finalize returns, as far as the text tells; empty without one.
pub(in crate::script) fn finalized_fields(scripts: &[ParsedScript], interner: &Interner) -> Vec<String> {
    let mut finder = Finder { interner, functions: Vec::new() };
    for script in scripts {
        if script.role == Role::Finalize {
            finder.functions.extend(lone_expression(script).and_then(function_text));
        } else {
            let _ = script.tree.visit_with(&mut finder);
        }
    }
    let mut names = Vec::new();
    for function in finder.functions {
        returns::add_names(function.body, interner, &mut names);
    }
    names
}

struct Finder<'t, 'i> {
    interner: &'i Interner,
    functions: Vec<FunctionText<'t>>,
}

impl Finder<'_, '_> {
    /// The callee of the call that this callee is a method of the result of, if the method has this name.
    fn receiver<'t>(&self, callee: &'t Expression, method: &str) -> Option<&'t Expression> {
        let Expression::PropertyAccess(PropertyAccess::Simple(access)) = callee.flatten() else {
            return None;
        };
        let PropertyAccessField::Const(name) = access.field() else { return None };
        match access.target().flatten() {
            Expression::Call(call) if text_of(self.interner, name.sym()) == method => Some(call.function()),
            _ => None,
        }
    }
}

impl<'t> Visitor<'t> for Finder<'t, '_> {
    type BreakTy = Infallible;

    fn visit_call(&mut self, node: &'t Call) -> ControlFlow<Self::BreakTy> {
        let group_by = self
            .receiver(node.function(), "finalize")
            .and_then(|aggregate| self.receiver(aggregate, "aggregate"));
        if group_by.is_some_and(|callee| super::is_name(callee, self.interner, names::GROUP_BY)) {
            self.functions.extend(node.args().first().and_then(function_text));
        }
        node.visit_with(self)
    }
}
