//! What stands outside of every function: declarations, and the calls that register the functions of the index.

use super::links::called_member;
use super::scopes::{Function, Local};
use super::{Compiled, Compiler, Global, refuse};
use crate::script::compiled::program::{Body, Expr, FunctionId, MapFunction, Member, Parameters};
use crate::script::dialect::{self, FunctionText, Projection, function_text, names};
use crate::script::parse::{ParsedScript, Role};
use boa_ast::declaration::{Binding, Declaration, LexicalDeclaration, Variable};
use boa_ast::expression::Call;
use boa_ast::expression::literal::LiteralKind;
use boa_ast::statement::Statement;
use boa_ast::{Expression, Spanned, StatementListItem};
use boa_interner::Sym;

/// What stands outside of every function, each with the number of its script.
#[derive(Default)]
struct TopLevel<'t> {
    /// The script that is looked at.
    script: usize,
    functions: Vec<(usize, FunctionId, FunctionText<'t>)>,
    values: Vec<(usize, Option<&'t Expression>)>,
    calls: Vec<(usize, &'t Call)>,
}

impl Compiler<'_> {
    /// Compiles all scripts of an index.
    pub(super) fn scripts(
        &mut self,
        scripts: &[ParsedScript],
        projections: &[Option<Projection>],
    ) -> Compiled<()> {
        let mut found = TopLevel::default();
        let mut finalize = None;
        for (number, script) in scripts.iter().enumerate() {
            self.script = number;
            found.script = number;
            if script.role == Role::Finalize {
                finalize = dialect::lone_expression(script).map(|function| (number, function));
                continue;
            }
            for item in script.tree.statements().statements() {
                self.top_item(item, &mut found)?;
            }
        }
        let TopLevel { functions, values, calls, .. } = found;
        for (script, id, text) in functions {
            self.script = script;
            self.function_as(id, text.parameters, text.body, None, false)?;
        }
        for (place, (script, init)) in (0..).zip(values) {
            self.script = script;
            self.readable_globals = Some(place);
            let value = init.map_or(Ok(Expr::Undefined), |init| self.expression(init))?;
            self.readable_globals = None;
            let around = std::mem::take(&mut self.functions);
            if around.iter().any(|function| function.code.slots > 0) {
                return refuse("a top-level value with variables of its own", None);
            }
            self.program.globals.push(value);
        }
        let mut number = 0;
        for (script, call) in calls {
            self.script = script;
            self.registration(call, projections, &mut number)?;
        }
        if let Some((script, function)) = finalize {
            self.script = script;
            self.finalize(function)?;
        }
        if self.program.maps.len() != projections.len()
            || self.program.reduce.is_some() != self.program.group_by.is_some()
        {
            return refuse("a registration that the text does not tell", None);
        }
        Ok(())
    }

    fn top_item<'t>(&mut self, item: &'t StatementListItem, found: &mut TopLevel<'t>) -> Compiled<()> {
        let statement = match item {
            StatementListItem::Declaration(declaration) => return self.top_declaration(declaration, found),
            StatementListItem::Statement(statement) => statement.as_ref(),
        };
        match statement {
            Statement::Empty => Ok(()),
            Statement::Expression(expression) => match expression.flatten() {
                // `'use strict'`
                Expression::Literal(_) => Ok(()),
                Expression::Call(call) => {
                    found.calls.push((found.script, call));
                    Ok(())
                }
                other => refuse("a statement outside of every function", other.span()),
            },
            Statement::Var(variables) => {
                let list: &[Variable] = variables.0.as_ref();
                list.iter().try_for_each(|variable| match variable.init() {
                    Some(init) if is_fixed(init) => self.top_variable(variable, found),
                    _ => refuse("a top-level var", None),
                })
            }
            _ => refuse("a statement outside of every function", None),
        }
    }

    fn top_declaration<'t>(
        &mut self,
        declaration: &'t Declaration,
        found: &mut TopLevel<'t>,
    ) -> Compiled<()> {
        match declaration {
            Declaration::FunctionDeclaration(node) => {
                let id = self.reserve_function(true);
                let text = FunctionText { parameters: node.parameters(), body: node.body() };
                found.functions.push((found.script, id, text));
                self.top_name(node.name().sym(), Global::Function(id), node.name().span())
            }
            Declaration::Lexical(
                LexicalDeclaration::Const(variables) | LexicalDeclaration::Let(variables),
            ) => {
                let list: &[Variable] = variables.as_ref();
                list.iter().try_for_each(|variable| self.top_variable(variable, found))
            }
            Declaration::ClassDeclaration(node) => refuse("a class", node.name().span()),
            _ => refuse("a declaration of this kind", None),
        }
    }

    fn top_variable<'t>(&mut self, variable: &'t Variable, found: &mut TopLevel<'t>) -> Compiled<()> {
        let Binding::Identifier(name) = variable.binding() else {
            return refuse("a pattern outside of every function", None);
        };
        let text = variable.init().and_then(function_text);
        if let Some(text) = text.filter(|_| variable.init().is_some_and(|init| !has_own_name(init))) {
            let id = self.reserve_function(true);
            found.functions.push((found.script, id, text));
            return self.top_name(name.sym(), Global::Function(id), name.span());
        }
        let place = u32::try_from(found.values.len()).unwrap_or(u32::MAX);
        found.values.push((found.script, variable.init()));
        self.top_name(name.sym(), Global::Value(place), name.span())
    }

    fn top_name(&mut self, name: Sym, global: Global, span: boa_ast::Span) -> Compiled<()> {
        match self.globals.insert(name, global) {
            None => Ok(()),
            Some(_) => refuse("a top-level name that is declared twice", span),
        }
    }

    /// `map(..)` or `groupBy(..).aggregate(..)`.
    fn registration(
        &mut self,
        call: &Call,
        projections: &[Option<Projection>],
        number: &mut usize,
    ) -> Compiled<()> {
        if self.free_name(call.function()).as_deref() == Some(names::MAP) {
            let projection = projections.get(*number).cloned().flatten();
            *number += 1;
            return self.map(call, projection);
        }
        if let Some((owner, method)) = called_member(call)
            && let Expression::Call(aggregate) = owner.flatten()
            && self.is_text(method, "finalize")
            && called_member(aggregate).is_some_and(|(_, method)| self.is_text(method, "aggregate"))
        {
            self.registration(aggregate, projections, number)?;
            return match call.args().first() {
                Some(function) => self.finalize(function),
                None => refuse("finalize() of nothing", call.span()),
            };
        }
        let reduce = called_member(call).filter(|(owner, _)| match owner.flatten() {
            Expression::Call(inner) => self.free_name(inner.function()).as_deref() == Some(names::GROUP_BY),
            _ => false,
        });
        let Some((_, method)) = reduce else {
            return refuse("a call outside of every function", call.span());
        };
        if self.program.group_by.is_none() || self.program.reduce.is_some() {
            return refuse("a second groupBy", call.span());
        }
        if !self.is_text(method, "aggregate") {
            return refuse("groupBy without aggregate", call.span());
        }
        let Some(argument) = call.args().first() else {
            return refuse("aggregate() of nothing", call.span());
        };
        self.program.reduce = Some(self.registered(argument, false)?);
        Ok(())
    }

    fn finalize(&mut self, function: &Expression) -> Compiled<()> {
        if self.program.finalize.is_some() {
            return refuse("a second finalize", function.span());
        }
        self.program.finalize = Some(self.registered(function, false)?);
        Ok(())
    }

    fn map(&mut self, call: &Call, projection: Option<Projection>) -> Compiled<()> {
        let [collection, functions @ ..] = call.args() else {
            return refuse("map() of nothing", call.span());
        };
        let collection = match collection.flatten() {
            Expression::Literal(literal) => match literal.kind() {
                LiteralKind::String(text) => self.text(*text)?,
                _ => return refuse("a collection that is no text", literal.span()),
            },
            other => return refuse("a collection that is computed", other.span()),
        };
        let collection = (&*collection != "@all_docs").then(|| collection.to_lowercase());
        let members: Option<Vec<Sym>> = functions.iter().map(dialect::simple_member).collect();
        let (function, fields) = match (members, functions) {
            (Some(members), [_, ..]) => (self.member_map(&members, functions)?, None),
            (_, [function]) => {
                let literal = function_text(function).is_some() && !has_own_name(function);
                let fields = projection.filter(|_| literal);
                self.fields =
                    fields.map(|fields| fields.fields.into_iter().map(String::into_boxed_str).collect());
                let id = self.registered(function, self.fields.is_some())?;
                (id, self.fields.take())
            }
            _ => return refuse("map() with several functions", call.span()),
        };
        self.program.maps.push(MapFunction {
            collection,
            function,
            fields: fields.map(Vec::into_boxed_slice),
        });
        Ok(())
    }

    /// A registered function: written in place, or named.
    fn registered(&mut self, argument: &Expression, document: bool) -> Compiled<FunctionId> {
        if let Expression::Identifier(name) = argument.flatten()
            && let super::Meaning::GlobalFunction(id) = self.meaning(*name)?
        {
            return Ok(id);
        }
        match function_text(argument) {
            Some(text) if !has_own_name(argument) => {
                let id = self.reserve_function(true);
                self.function_as(id, text.parameters, text.body, None, document)?;
                Ok(id)
            }
            _ => refuse("a registered function that is computed", argument.span()),
        }
    }

    /// `map('Users', u => u.name, ..)`: one function that gives an object.
    fn member_map(&mut self, members: &[Sym], functions: &[Expression]) -> Compiled<FunctionId> {
        let mut names: Vec<Box<str>> = Vec::new();
        for member in members {
            let name = self.text(*member)?;
            if names.contains(&name) {
                return refuse("map() with two functions of one name", None);
            }
            names.push(name);
        }
        let id = self.reserve_function(true);
        self.functions.push(Function::default());
        self.slot();
        let mut values = Vec::new();
        for function in functions {
            let Some(text) = function_text(function) else {
                return refuse("map() of a value", function.span());
            };
            self.enter_scope();
            for parameter in text.parameters.as_ref() {
                if let Binding::Identifier(name) = parameter.variable().binding() {
                    self.function().declare(name.sym(), Local::Slot { slot: 0, constant: false });
                }
            }
            let value = match text.body.statements() {
                [StatementListItem::Statement(statement)] => match statement.as_ref() {
                    Statement::Return(node) => {
                        node.target().map(|value| self.expression(value)).transpose()?
                    }
                    _ => None,
                },
                _ => None,
            };
            self.leave_scope();
            match value {
                Some(value @ Expr::Member(_)) => values.push(value),
                _ => return refuse("map() of a computed member", function.span()),
            }
        }
        let literal = u32::try_from(self.program.literals.len()).unwrap_or(u32::MAX);
        self.program.literals.push(names.into());
        let mut function = self.functions.pop().unwrap_or_default();
        function.code.parameters = Parameters::Plain(1);
        function.code.body = Body::Expression(Expr::Record(literal, values.into()));
        self.finish_function(id, function)?;
        Ok(id)
    }

    /// A field of the document being mapped.
    pub(super) fn field(&mut self, name: &str, span: boa_ast::Span) -> Compiled<Expr> {
        if name == "@metadata" {
            return Ok(Expr::Metadata);
        }
        let fields = self.fields.as_deref().unwrap_or(&[]);
        match fields.iter().position(|field| **field == *name) {
            Some(place) => Ok(Expr::Field(u32::try_from(place).unwrap_or(u32::MAX))),
            None => refuse("a field that the text does not tell", span),
        }
    }

    /// A member read whose place is remembered.
    pub(super) fn named_member(&mut self, object: Expr, name: Box<str>) -> Expr {
        let cache = self.cache();
        let member = Member { object, name: self.property(name), cache };
        self.part_of_element(member)
    }
}

/// Whether a function expression has a name that it can use itself.
pub(super) fn has_own_name(expression: &Expression) -> bool {
    matches!(expression.flatten(), Expression::FunctionExpression(node) if node.has_binding_identifier())
}

/// Whether a value is the same whenever it is asked for.
fn is_fixed(expression: &Expression) -> bool {
    matches!(expression.flatten(), Expression::Literal(_)) || function_text(expression).is_some()
}
