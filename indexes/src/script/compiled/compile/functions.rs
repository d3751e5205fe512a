//! Functions: parameters, hoisted declarations, bodies.

use super::scopes::{Function, Local};
use super::{Compiled, Compiler, NODES_PER_STEP, refuse};
use crate::script::compiled::program::{
    Block, Body, Code, Expr, FunctionId, Parameter, Parameters, Slot, Statement, Target,
};
use boa_ast::declaration::{Binding, VarDeclaration};
use boa_ast::expression::literal::ObjectMethodDefinition;
use boa_ast::function::{
    ArrowFunction, FormalParameterList, FunctionBody, FunctionDeclaration, FunctionExpression,
};
use boa_ast::operations::{bound_names, var_declared_names};
use boa_ast::statement::Statement as StatementNode;
use boa_ast::statement::iteration::IterableLoopInitializer;
use boa_ast::visitor::{VisitWith, Visitor};
use boa_ast::{Spanned, StatementListItem};
use boa_interner::Sym;
use std::collections::HashSet;
use std::convert::Infallible;
use std::ops::ControlFlow;

/// The names that `var` declares in a function, without those of the functions in it.
#[derive(Default)]
struct Variables {
    names: HashSet<Sym>,
}

impl<'ast> Visitor<'ast> for Variables {
    type BreakTy = Infallible;

    fn visit_var_declaration(&mut self, node: &'ast VarDeclaration) -> ControlFlow<Infallible> {
        self.names.extend(bound_names(node));
        node.visit_with(self)
    }

    fn visit_iterable_loop_initializer(
        &mut self,
        node: &'ast IterableLoopInitializer,
    ) -> ControlFlow<Infallible> {
        if let IterableLoopInitializer::Var(variable) = node {
            self.names.extend(bound_names(variable));
        }
        node.visit_with(self)
    }

    fn visit_arrow_function(&mut self, _: &'ast ArrowFunction) -> ControlFlow<Infallible> {
        ControlFlow::Continue(())
    }
    fn visit_function_expression(&mut self, _: &'ast FunctionExpression) -> ControlFlow<Infallible> {
        ControlFlow::Continue(())
    }
    fn visit_function_declaration(&mut self, _: &'ast FunctionDeclaration) -> ControlFlow<Infallible> {
        ControlFlow::Continue(())
    }
    fn visit_object_method_definition(&mut self, _: &'ast ObjectMethodDefinition) -> ControlFlow<Infallible> {
        ControlFlow::Continue(())
    }
}

impl Compiler<'_> {
    /// Takes a number for a function that is compiled later.
    pub(super) fn reserve_function(&mut self, is_global: bool) -> FunctionId {
        self.program.functions.push(Code { is_global, ..Code::default() });
        FunctionId::try_from(self.program.functions.len() - 1).unwrap_or(FunctionId::MAX)
    }

    /// Compiles a function under its number. `document` says that its only parameter is a document of which it reads
    /// nothing but fields.
    pub(super) fn function_as(
        &mut self,
        id: FunctionId,
        parameters: &FormalParameterList,
        body: &FunctionBody,
        own_name: Option<Sym>,
        document: bool,
    ) -> Compiled<()> {
        self.functions.push(Function::default());
        let compiled = self.function_parts(parameters, body, own_name, document);
        let function = self.functions.pop().unwrap_or_default();
        compiled?;
        self.finish_function(id, function)
    }

    /// Puts a function into the program.
    pub(super) fn finish_function(&mut self, id: FunctionId, function: Function) -> Compiled<()> {
        let place = usize::try_from(id).unwrap_or(usize::MAX);
        let Some(code) = self.program.functions.get_mut(place) else {
            return refuse("too many functions", None);
        };
        let is_global = code.is_global;
        if is_global && !function.code.captures.is_empty() {
            return refuse("a top-level function that captures", None);
        }
        *code = Code {
            is_global,
            weight: 1 + function.nodes / NODES_PER_STEP,
            depth: function.deepest + 1,
            ..function.code
        };
        Ok(())
    }

    fn function_parts(
        &mut self,
        parameters: &FormalParameterList,
        body: &FunctionBody,
        own_name: Option<Sym>,
        document: bool,
    ) -> Compiled<()> {
        self.enter_scope();
        if let Some(name) = own_name {
            self.function().declare(name, Local::OwnName);
            self.enter_scope();
        }
        let names: HashSet<Sym> = bound_names(parameters).into_iter().collect();
        let variables = var_declared_names(body.statement_list());
        let parameters_made = self.parameters(parameters, document)?;
        let simple = matches!(parameters_made, Parameters::Plain(_));
        let parameter_slots: Vec<Slot> =
            (0..self.code().slots).filter_map(|slot| Slot::try_from(slot).ok()).collect();
        if !simple {
            if variables.iter().any(|name| names.contains(name)) {
                return refuse("a variable with the name of a parameter that has a default", None);
            }
            self.enter_scope();
        }
        let mut variable_slots = Vec::new();
        let functions = Self::declared_functions(body.statements());
        let mut written = Variables::default();
        let _ = body.visit_with(&mut written);
        let known = |name: &&Sym| !functions.contains(*name);
        // The parser's list also holds parameters of functions in the conditions of cases.
        if variables.iter().filter(known).count() != written.names.iter().filter(known).count() {
            return refuse("a variable whose declaration is not clear", None);
        }
        let mut sorted: Vec<Sym> = variables.into_iter().collect();
        sorted.sort_unstable();
        for name in sorted {
            if !names.contains(&name) && !functions.contains(&name) {
                variable_slots.push(self.declare(name, false));
            }
        }
        if functions.iter().any(|name| names.contains(name)) {
            return refuse("a function with the name of a parameter", None);
        }
        let element = self.element_parameter(&parameters_made);
        self.enter_element(element.map(|(_, slot)| slot));
        let made = self.body(body)?;
        let rows = self.leave_callback(&made);
        let boxed = self.code().boxed.clone();
        let is_boxed =
            |slot: &Slot| usize::try_from(*slot).ok().and_then(|at| boxed.get(at)).copied().unwrap_or(false);
        let code = self.code();
        code.entry_boxes =
            parameter_slots.into_iter().chain(variable_slots).filter(|slot| is_boxed(slot)).collect();
        code.parameters = parameters_made;
        code.body = made;
        code.rows = element.and_then(|(place, _)| Some((place, rows?)));
        Ok(())
    }

    fn declared_functions(items: &[StatementListItem]) -> HashSet<Sym> {
        items
            .iter()
            .filter_map(|item| match item {
                StatementListItem::Declaration(declaration) => match declaration.as_ref() {
                    boa_ast::Declaration::FunctionDeclaration(node) => Some(node.name().sym()),
                    _ => None,
                },
                StatementListItem::Statement(_) => None,
            })
            .collect()
    }

    fn parameters(&mut self, parameters: &FormalParameterList, document: bool) -> Compiled<Parameters> {
        let list = parameters.as_ref();
        let plain = list.iter().all(|parameter| {
            !parameter.is_rest_param()
                && parameter.init().is_none()
                && matches!(parameter.variable().binding(), Binding::Identifier(_))
        });
        if plain {
            for parameter in list {
                if let Binding::Identifier(name) = parameter.variable().binding() {
                    if document {
                        self.slot();
                        self.function().declare(name.sym(), Local::Document);
                    } else {
                        self.declare(name.sym(), false);
                    }
                }
            }
            return Ok(Parameters::Plain(list.len()));
        }
        let declares: Vec<Slot> =
            bound_names(parameters).into_iter().map(|name| self.declare(name, false)).collect();
        let mut made = Vec::new();
        for (place, parameter) in list.iter().enumerate() {
            let target = self.binding(parameter.variable().binding(), false)?;
            let default = parameter.init().map(|init| self.expression(init)).transpose()?;
            if matches!(target, Target::List(_)) && parameter.is_rest_param() {
                return refuse("a pattern for the rest of the parameters", None);
            }
            let declares = if place == 0 { declares.clone().into() } else { Box::default() };
            made.push(Parameter { target, default, rest: parameter.is_rest_param(), declares });
        }
        Ok(Parameters::Bound(made.into()))
    }

    fn body(&mut self, body: &FunctionBody) -> Compiled<Body> {
        if let [StatementListItem::Statement(statement)] = body.statements()
            && let StatementNode::Return(node) = statement.as_ref()
        {
            let value = node.target().map(|value| self.expression(value)).transpose()?;
            return Ok(Body::Expression(value.unwrap_or(Expr::Undefined)));
        }
        let block = self.block_in_scope(body.statement_list())?;
        Ok(Body::Block(block))
    }

    /// A function inside of an expression or of a block.
    pub(super) fn inner_function(
        &mut self,
        parameters: &FormalParameterList,
        body: &FunctionBody,
        own_name: Option<Sym>,
    ) -> Compiled<FunctionId> {
        let id = self.reserve_function(self.functions.is_empty());
        self.function_as(id, parameters, body, own_name, false)?;
        Ok(id)
    }

    /// The parameter that is an element of an array, if the function has no use of the array.
    fn element_parameter(&mut self, parameters: &Parameters) -> Option<(usize, Slot)> {
        let place = self.callback.take()?;
        let Parameters::Plain(count) = parameters else { return None };
        let slot = Slot::try_from(place).ok()?;
        (*count == place + 1 || *count == place + 2).then_some((place, slot))
    }

    /// The names and functions that a list of statements declares, in the innermost scope; then the statements.
    pub(super) fn block_in_scope(&mut self, list: &boa_ast::StatementList) -> Compiled<Block> {
        let mut declares = Vec::new();
        let mut functions = Vec::new();
        self.hoist(list, &mut declares, &mut functions)?;
        let mut statements: Vec<Statement> = Vec::new();
        for item in list.statements() {
            self.item(item, &mut statements)?;
        }
        Ok(Block { declares: declares.into(), functions: functions.into(), statements: statements.into() })
    }

    /// Declares what a list of statements declares for its own block.
    pub(super) fn hoist(
        &mut self,
        list: &boa_ast::StatementList,
        declares: &mut Vec<Slot>,
        functions: &mut Vec<(Slot, FunctionId)>,
    ) -> Compiled<()> {
        use boa_ast::Declaration;
        let mut nodes = Vec::new();
        for item in list.statements() {
            let StatementListItem::Declaration(declaration) = item else { continue };
            match declaration.as_ref() {
                Declaration::Lexical(lexical) => {
                    for name in bound_names(lexical) {
                        declares.push(self.declare(name, lexical.is_const()));
                    }
                }
                Declaration::FunctionDeclaration(node) => {
                    let slot = self.declare(node.name().sym(), false);
                    declares.push(slot);
                    nodes.push((slot, node));
                }
                Declaration::ClassDeclaration(node) => return refuse("a class", node.name().span()),
                _ => return refuse("a generator or async function", None),
            }
        }
        for (slot, node) in nodes {
            functions.push((slot, self.inner_function(node.parameters(), node.body(), None)?));
        }
        Ok(())
    }
}
