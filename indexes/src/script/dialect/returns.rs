//! The output fields of a function, and the rule that all its returns have one shape.

use super::{function_text, text_of};
use crate::function::{FunctionError, FunctionErrorKind};
use boa_ast::expression::literal::{ObjectLiteral, PropertyDefinition};
use boa_ast::expression::operator::binary::{BinaryOp, LogicalOp};
use boa_ast::property::PropertyName;
use boa_ast::statement::{Block, LabelledItem, Statement};
use boa_ast::{Expression, StatementList, StatementListItem};
use boa_interner::Interner;

/// The names of the fields that a function returns, as far as its text tells, in order of first appearance.
///
/// # Errors
/// When two `return {..}` have different sets of names.
pub(super) fn fields(
    index: &str,
    body: &boa_ast::function::FunctionBody,
    interner: &Interner,
) -> Result<Vec<String>, FunctionError> {
    let mut returned = Vec::new();
    list(body.statement_list(), &mut returned);
    let mut shape: Option<Vec<String>> = None;
    let mut names = Vec::new();
    for expression in returned {
        if let Expression::ObjectLiteral(object) = expression.flatten()
            && let Some(keys) = literal_keys(object, interner)
        {
            match &shape {
                Some(expected) if !same_set(expected, &keys) => {
                    let message = format!(
                        "Index {index} contains different return structure from different code paths, expected \
                         properties: {} but also got:{}",
                        expected.join(", "),
                        keys.join(", ")
                    );
                    return Err(FunctionError {
                        kind: FunctionErrorKind::ReturnShapes,
                        message,
                        position: None,
                    });
                }
                Some(_) => {}
                None => shape = Some(keys),
            }
        }
        output_names(expression, interner, &mut names);
    }
    Ok(names)
}

/// Adds the names of the fields that a function returns, whatever shapes its returns have.
pub(super) fn add_names(
    body: &boa_ast::function::FunctionBody,
    interner: &Interner,
    names: &mut Vec<String>,
) {
    let mut returned = Vec::new();
    list(body.statement_list(), &mut returned);
    returned.into_iter().for_each(|expression| output_names(expression, interner, names));
}

fn same_set(one: &[String], other: &[String]) -> bool {
    one.iter().all(|name| other.contains(name)) && other.iter().all(|name| one.contains(name))
}

/// The keys of an object literal; `None` when some are not literal.
fn literal_keys(object: &ObjectLiteral, interner: &Interner) -> Option<Vec<String>> {
    let mut keys = Vec::new();
    for property in object.properties() {
        let key = match property {
            PropertyDefinition::IdentifierReference(name) => text_of(interner, name.sym()),
            PropertyDefinition::Property(PropertyName::Literal(name), _) => text_of(interner, name.sym()),
            PropertyDefinition::MethodDefinition(method) => text_of(interner, method.name().literal()?.sym()),
            _ => return None,
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Some(keys)
}

/// Adds the names of the objects that an output expression surely or possibly consists of.
fn output_names(expression: &Expression, interner: &Interner, names: &mut Vec<String>) {
    match expression.flatten() {
        Expression::ObjectLiteral(object) => {
            for property in object.properties() {
                let key = match property {
                    PropertyDefinition::IdentifierReference(name) => Some(*name),
                    PropertyDefinition::Property(name, _) => name.literal(),
                    _ => None,
                };
                if let Some(key) = key.map(|key| text_of(interner, key.sym()))
                    && !names.contains(&key)
                {
                    names.push(key);
                }
            }
        }
        Expression::ArrayLiteral(array) => {
            array.as_ref().iter().flatten().for_each(|item| output_names(item, interner, names));
        }
        Expression::Conditional(node) => {
            output_names(node.if_true(), interner, names);
            output_names(node.if_false(), interner, names);
        }
        Expression::Binary(node)
            if matches!(
                node.op(),
                BinaryOp::Logical(LogicalOp::And | LogicalOp::Or | LogicalOp::Coalesce)
            ) =>
        {
            output_names(node.lhs(), interner, names);
            output_names(node.rhs(), interner, names);
        }
        // `xs.map(x => ({..}))`, `boost({..}, 2)`.
        Expression::Call(call) => {
            for argument in call.args() {
                match function_text(argument) {
                    Some(function) => {
                        let mut returned = Vec::new();
                        list(function.body.statement_list(), &mut returned);
                        returned.into_iter().for_each(|inner| output_names(inner, interner, names));
                    }
                    None => output_names(argument, interner, names),
                }
            }
        }
        _ => {}
    }
}

/// Collects the values of the return statements, without those of nested functions.
fn list<'t>(statements: &'t StatementList, returned: &mut Vec<&'t Expression>) {
    for item in statements.statements() {
        if let StatementListItem::Statement(statement) = item {
            collect(statement, returned);
        }
    }
}

fn block<'t>(block: &'t Block, returned: &mut Vec<&'t Expression>) {
    list(block.statement_list(), returned);
}

fn collect<'t>(statement: &'t Statement, returned: &mut Vec<&'t Expression>) {
    match statement {
        Statement::Return(node) => returned.extend(node.target()),
        Statement::Block(node) => block(node, returned),
        Statement::If(node) => {
            collect(node.body(), returned);
            if let Some(other) = node.else_node() {
                collect(other, returned);
            }
        }
        Statement::DoWhileLoop(node) => collect(node.body(), returned),
        Statement::WhileLoop(node) => collect(node.body(), returned),
        Statement::ForLoop(node) => collect(node.body(), returned),
        Statement::ForInLoop(node) => collect(node.body(), returned),
        Statement::ForOfLoop(node) => collect(node.body(), returned),
        Statement::Switch(node) => node.cases().iter().for_each(|case| list(case.body(), returned)),
        Statement::Labelled(node) => {
            if let LabelledItem::Statement(inner) = node.item() {
                collect(inner, returned);
            }
        }
        Statement::Try(node) => {
            block(node.block(), returned);
            if let Some(catch) = node.catch() {
                block(catch.block(), returned);
            }
            if let Some(finally) = node.finally() {
                block(finally.block(), returned);
            }
        }
        _ => {}
    }
}
