//! What the scripts of an index register, as far as their text tells: output fields, the reduce key, what is read.
//!
//! The scripts register by running (`map('Users', u => ..)`), and what they really registered is read back from the
//! engine. This static view adds what running cannot tell: the names of the output fields, the rule that all returns
//! of a function have one shape, the fields behind the reduce key, and which fields of a document a map reads.

mod finalize;
mod group_by;
pub(super) mod names;
mod projection;
mod returns;

pub(super) use finalize::{FINALIZE_IS_A_FUNCTION, finalized_fields, lone_expression};
pub(super) use group_by::{GroupBy, group_by};
pub(super) use projection::Projection;

use super::parse::ParsedScript;
use crate::function::FunctionError;
use boa_ast::declaration::Declaration;
use boa_ast::expression::Call;
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::function::{FormalParameterList, FunctionBody};
use boa_ast::statement::Statement;
use boa_ast::{Expression, StatementListItem};
use boa_interner::{Interner, Sym};

/// One `map(..)` call in the text of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StaticMap {
    /// The names of its output fields as far as they are known.
    pub fields: Vec<String>,
    /// Which fields of the document it reads, if the text tells all of them.
    pub projection: Option<Projection>,
}

/// A function in the text of a script: its parameters and its body.
#[derive(Clone, Copy)]
pub(super) struct FunctionText<'t> {
    pub parameters: &'t FormalParameterList,
    pub body: &'t FunctionBody,
}

/// The `map(..)` statements of the scripts, in order.
///
/// # Errors
/// When a map function returns object literals with different sets of names.
pub(super) fn static_maps(
    name: &str,
    scripts: &[ParsedScript],
    interner: &Interner,
) -> Result<Vec<StaticMap>, FunctionError> {
    let mut maps = Vec::new();
    for call in scripts.iter().flat_map(|script| calls(script, interner, names::MAP)) {
        let Some(argument) = call.args().get(1) else {
            maps.push(StaticMap { fields: Vec::new(), projection: None });
            continue;
        };
        let members: Option<Vec<Sym>> = call.args().iter().skip(1).map(simple_member).collect();
        let function = function_text(argument).or_else(|| declared_function(scripts, argument));
        let fields = match (members, function) {
            (Some(members), _) => members.into_iter().map(|member| text_of(interner, member)).collect(),
            (None, Some(function)) => returns::fields(name, function.body, interner)?,
            (None, None) => Vec::new(),
        };
        let single = call.args().len() == 2;
        let projection =
            function.filter(|_| single).and_then(|function| projection::projection(function, interner));
        maps.push(StaticMap { fields, projection });
    }
    Ok(maps)
}

/// The member name of `u => u.name` and `u => u.address.city`.
pub(super) fn simple_member(argument: &Expression) -> Option<Sym> {
    let Expression::ArrowFunction(arrow) = argument.flatten() else { return None };
    let [parameter] = arrow.parameters().as_ref() else { return None };
    let boa_ast::declaration::Binding::Identifier(parameter) = parameter.variable().binding() else {
        return None;
    };
    let [StatementListItem::Statement(statement)] = arrow.body().statements() else { return None };
    let Statement::Return(node) = statement.as_ref() else { return None };
    member_path(node.target()?, parameter.sym())?.last().copied()
}

/// The names of `p.a.b` for the parameter `p`; `None` for every other expression, `p` itself included.
fn member_path(expression: &Expression, parameter: Sym) -> Option<Vec<Sym>> {
    let mut path = Vec::new();
    let mut at = expression.flatten();
    loop {
        match at {
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => {
                let PropertyAccessField::Const(field) = access.field() else { return None };
                path.push(field.sym());
                at = access.target().flatten();
            }
            Expression::Identifier(name) if name.sym() == parameter && !path.is_empty() => {
                path.reverse();
                return Some(path);
            }
            _ => return None,
        }
    }
}

/// The calls of a global function that are statements of a script.
fn calls<'t>(script: &'t ParsedScript, interner: &Interner, name: &str) -> Vec<&'t Call> {
    let statements = script.tree.statements().statements().iter();
    let mut calls = Vec::new();
    for item in statements {
        if let StatementListItem::Statement(statement) = item
            && let Statement::Expression(expression) = statement.as_ref()
            && let Expression::Call(call) = expression.flatten()
            && is_name(call.function(), interner, name)
        {
            calls.push(call);
        }
    }
    calls
}

fn is_name(expression: &Expression, interner: &Interner, name: &str) -> bool {
    matches!(expression.flatten(), Expression::Identifier(identifier) if text_of(interner, identifier.sym()) == name)
}

/// Parameters and body of a function literal.
pub(super) fn function_text(expression: &Expression) -> Option<FunctionText<'_>> {
    match expression.flatten() {
        Expression::ArrowFunction(node) => {
            Some(FunctionText { parameters: node.parameters(), body: node.body() })
        }
        Expression::FunctionExpression(node) => {
            Some(FunctionText { parameters: node.parameters(), body: node.body() })
        }
        _ => None,
    }
}

/// The function declaration that a name means.
fn declared_function<'t>(scripts: &'t [ParsedScript], expression: &Expression) -> Option<FunctionText<'t>> {
    let Expression::Identifier(name) = expression.flatten() else { return None };
    scripts.iter().flat_map(|script| script.tree.statements().statements()).find_map(|item| match item {
        StatementListItem::Declaration(declaration) => match declaration.as_ref() {
            Declaration::FunctionDeclaration(node) if node.name().sym() == name.sym() => {
                Some(FunctionText { parameters: node.parameters(), body: node.body() })
            }
            _ => None,
        },
        StatementListItem::Statement(_) => None,
    })
}

fn text_of(interner: &Interner, name: Sym) -> String {
    interner.resolve(name).map(|text| text.to_string()).unwrap_or_default()
}
