//! `groupBy(x => ..).aggregate(g => ..)`: the accepted shapes of the key function, and what its fields are.

use super::{FunctionText, function_text, member_path, text_of};
use crate::function::FunctionError;
use crate::script::errors::group_key_error;
use crate::script::parse::ParsedScript;
use crate::script::tokens::Token;
use boa_ast::declaration::Binding;
use boa_ast::expression::Call;
use boa_ast::expression::literal::{ObjectLiteral, PropertyDefinition};
use boa_ast::property::PropertyName;
use boa_ast::statement::Statement;
use boa_ast::visitor::{VisitWith, Visitor};
use boa_ast::{Expression, StatementListItem};
use boa_interner::{Interner, Sym};
use std::convert::Infallible;
use std::ops::ControlFlow;

/// One field of the reduce key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::script) struct GroupField {
    /// Its name in `g.key` when the key is an object.
    pub key: String,
    /// Where it stands in a map output: one or more member names.
    pub path: Vec<String>,
}

/// The reduce key of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::script) struct GroupBy {
    /// Its fields, in order; never empty.
    pub fields: Vec<GroupField>,
    /// Whether `g.key` is the value of the only field instead of an object.
    pub single: bool,
}

/// Finds and checks the `groupBy(..)` of a reduce script.
///
/// # Errors
/// A definition error when there is none, or its key function is none of the accepted shapes.
pub(in crate::script) fn group_by(
    script: &ParsedScript,
    tokens: &[Token<'_>],
    interner: &Interner,
) -> Result<GroupBy, FunctionError> {
    let mut finder = Finder { interner, calls: Vec::new() };
    let _ = script.tree.visit_with(&mut finder);
    let Some(call) = finder.calls.last() else {
        return refuse("the Reduce registers nothing: it must be groupBy(x => ..).aggregate(g => ({ .. }))");
    };
    let Some(function) = call.args().first().and_then(function_text) else {
        return refuse("groupBy needs a function that gives the fields of the key: groupBy(x => x.Field)");
    };
    let parameters = function.parameters.as_ref();
    let [parameter] = parameters else { return wrong_count(parameters.len() + 1) };
    let Binding::Identifier(parameter) = parameter.variable().binding() else {
        return refuse("the parameter of the groupBy function must be a plain name: groupBy(x => x.Field)");
    };
    let value = returned(function)?;
    let block =
        matches!(call.args().first().map(Expression::flatten), Some(Expression::FunctionExpression(_)))
            || body_is_block(tokens);
    let value = value.flatten();
    if let Expression::ObjectLiteral(object) = value {
        return composite(object, parameter.sym(), interner);
    }
    if block {
        return refuse("Expected statement returning simple object expression inside group by block");
    }
    match member_path(value, parameter.sym()) {
        Some(path) => {
            let path: Vec<String> = path.into_iter().map(|name| text_of(interner, name)).collect();
            let key = path.last().cloned().unwrap_or_default();
            Ok(GroupBy { fields: vec![GroupField { key, path }], single: true })
        }
        None => refuse(&format!("Unknown body type: {}", kind_of(value))),
    }
}

fn refuse<T>(message: &str) -> Result<T, FunctionError> {
    Err(group_key_error(message))
}

fn wrong_count<T>(count: usize) -> Result<T, FunctionError> {
    refuse(&format!(
        "Was requested to get reduce fields from a scripted function in an unexpected format, expected a single return \
         statement got {count}."
    ))
}

/// The value of the only statement, which must be a return.
fn returned<'t>(function: FunctionText<'t>) -> Result<&'t Expression, FunctionError> {
    let statements = function.body.statements();
    let [StatementListItem::Statement(statement)] = statements else { return wrong_count(statements.len()) };
    match statement.as_ref() {
        Statement::Return(node) if node.target().is_some() => {
            node.target().map_or_else(|| wrong_count(0), Ok)
        }
        _ => refuse("Expected statement returning simple object expression inside group by block"),
    }
}

/// Whether the arrow function after `groupBy(` has a body in braces. The syntax tree does not tell.
fn body_is_block(tokens: &[Token<'_>]) -> bool {
    let after_group_by = tokens.iter().skip_while(|token| token.text != super::names::GROUP_BY);
    after_group_by.skip_while(|token| !token.is("=>")).nth(1).is_some_and(|token| token.is("{"))
}

fn composite(object: &ObjectLiteral, parameter: Sym, interner: &Interner) -> Result<GroupBy, FunctionError> {
    let mut fields: Vec<GroupField> = Vec::new();
    for property in object.properties() {
        let PropertyDefinition::Property(PropertyName::Literal(name), value) = property else {
            return refuse(
                "the groupBy function may only take fields of the map output: ({ City: x.City, Day: x.Day })",
            );
        };
        let key = text_of(interner, name.sym());
        let Some(path) = member_path(value, parameter) else {
            return refuse(&format!(
                "the groupBy function may only take fields of the map output, but '{key}' is a {}: compute it in the map",
                kind_of(value.flatten())
            ));
        };
        if fields.iter().any(|field| field.key == key) {
            return refuse(&format!("the groupBy function names '{key}' twice"));
        }
        fields.push(GroupField { key, path: path.into_iter().map(|name| text_of(interner, name)).collect() });
    }
    if fields.is_empty() {
        return refuse("the groupBy function must give at least one field");
    }
    Ok(GroupBy { fields, single: false })
}

/// The name that syntax trees give to this kind of expression.
fn kind_of(expression: &Expression) -> &'static str {
    match expression {
        Expression::Call(_) => "CallExpression",
        Expression::Identifier(_) => "Identifier",
        Expression::Literal(_) | Expression::RegExpLiteral(_) => "Literal",
        Expression::ArrayLiteral(_) => "ArrayExpression",
        Expression::ObjectLiteral(_) => "ObjectExpression",
        Expression::TemplateLiteral(_) => "TemplateLiteral",
        Expression::TaggedTemplate(_) => "TaggedTemplateExpression",
        Expression::Binary(_) => "BinaryExpression",
        Expression::Unary(_) => "UnaryExpression",
        Expression::Conditional(_) => "ConditionalExpression",
        Expression::PropertyAccess(_) => "MemberExpression",
        Expression::Optional(_) => "ChainExpression",
        Expression::New(_) => "NewExpression",
        Expression::ArrowFunction(_) | Expression::FunctionExpression(_) => "FunctionExpression",
        _ => "Expression",
    }
}

struct Finder<'t, 'i> {
    interner: &'i Interner,
    calls: Vec<&'t Call>,
}

impl<'t> Visitor<'t> for Finder<'t, '_> {
    type BreakTy = Infallible;

    fn visit_call(&mut self, node: &'t Call) -> ControlFlow<Self::BreakTy> {
        if super::is_name(node.function(), self.interner, super::names::GROUP_BY) {
            self.calls.push(node);
        }
        node.visit_with(self)
    }
}
