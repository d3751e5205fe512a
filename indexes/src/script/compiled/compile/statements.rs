//! Statements and the declarations among them.

use super::{Compiled, Compiler, NODES_PER_STEP, refuse};
use crate::script::compiled::program::{
    Block, Catch, Expr, ForEach, ForLoop, Label, Place, Slot, Statement, Switch, Target, Try, WhileLoop,
};
use boa_ast::declaration::{Binding, Declaration, VarDeclaration, Variable, VariableList};
use boa_ast::operations::bound_names;
use boa_ast::statement::iteration::{ForLoopInitializer, IterableLoopInitializer};
use boa_ast::statement::{self as node, LabelledItem, Statement as Node};
use boa_ast::{Expression, Spanned, StatementListItem};
use boa_interner::Sym;

impl Compiler<'_> {
    pub(super) fn item(&mut self, item: &StatementListItem, out: &mut Vec<Statement>) -> Compiled<()> {
        match item {
            StatementListItem::Statement(statement) => out.push(self.statement(statement, &[])?),
            StatementListItem::Declaration(declaration) => {
                if let Declaration::Lexical(lexical) = declaration.as_ref() {
                    self.lexical(lexical.variable_list(), out)?;
                }
            }
        }
        Ok(())
    }

    fn lexical(&mut self, variables: &VariableList, out: &mut Vec<Statement>) -> Compiled<()> {
        let list: &[Variable] = variables.as_ref();
        for variable in list {
            let init = variable.init().map(|init| self.expression(init)).transpose()?;
            match (self.binding(variable.binding(), false)?, init) {
                (Target::Declare(slot), init) => out.push(Statement::Declare(slot, init)),
                (target, Some(init)) => out.push(Statement::DeclarePattern(Box::new((target, init)))),
                (_, None) => return refuse("a declaration without a value", None),
            }
        }
        Ok(())
    }

    fn variables(&mut self, variables: &VariableList) -> Compiled<Statement> {
        let list: &[Variable] = variables.as_ref();
        let mut statements = Vec::new();
        for variable in list {
            let Some(init) = variable.init() else { continue };
            let init = self.expression(init)?;
            let target = self.binding(variable.binding(), true)?;
            statements.push(Statement::DeclarePattern(Box::new((target, init))));
        }
        Ok(match statements.len() {
            1 => statements.pop().unwrap_or(Statement::Empty),
            _ => bare_block(statements),
        })
    }

    fn statement(&mut self, statement: &Node, labels: &[Label]) -> Compiled<Statement> {
        self.enter_node(None)?;
        let made = self.bare_statement(statement, labels);
        self.leave_node();
        made
    }

    fn bare_statement(&mut self, statement: &Node, labels: &[Label]) -> Compiled<Statement> {
        Ok(match statement {
            Node::Block(block) => Statement::Block(self.block(block)?),
            Node::Var(VarDeclaration(variables)) => self.variables(variables)?,
            Node::Empty | Node::Debugger => Statement::Empty,
            Node::Expression(expression) => Statement::Expression(self.expression(expression)?),
            Node::If(node) => {
                let condition = self.expression(node.cond())?;
                let then = self.statement(node.body(), &[])?;
                let other = node.else_node().map(|other| self.statement(other, &[])).transpose()?;
                Statement::If(Box::new((condition, then, other)))
            }
            Node::DoWhileLoop(node) => {
                Statement::DoWhile(Box::new(self.while_loop(node.cond(), node.body(), labels)?))
            }
            Node::WhileLoop(node) => {
                Statement::While(Box::new(self.while_loop(node.condition(), node.body(), labels)?))
            }
            Node::ForLoop(node) => self.for_loop(node, labels)?,
            Node::ForInLoop(node) => Statement::ForIn(Box::new(self.for_each(
                node.initializer(),
                node.target(),
                node.body(),
                labels,
            )?)),
            Node::ForOfLoop(node) => Statement::ForOf(Box::new(self.for_each(
                node.initializer(),
                node.iterable(),
                node.body(),
                labels,
            )?)),
            Node::Switch(node) => self.switch(node)?,
            Node::Continue(node) => Statement::Continue(self.label(node.label())?),
            Node::Break(node) => Statement::Break(self.label(node.label())?),
            Node::Return(node) => {
                let value = node.target().map(|value| self.expression(value)).transpose()?;
                Statement::Return(value.unwrap_or(Expr::Undefined))
            }
            Node::Labelled(node) => self.labelled(node, labels)?,
            Node::Throw(node) => Statement::Throw(self.expression(node.target())?),
            Node::Try(node) => self.try_statement(node)?,
            Node::With(node) => return refuse("with", node.expression().span()),
        })
    }

    fn block(&mut self, block: &node::Block) -> Compiled<Block> {
        self.enter_scope();
        let made = self.block_in_scope(block.statement_list());
        self.leave_scope();
        made
    }

    /// What a turn of a loop costs, from how many nodes there were before it.
    fn weight_since(&mut self, nodes: u64) -> u64 {
        1 + (self.function().nodes - nodes) / NODES_PER_STEP
    }

    fn while_loop(&mut self, condition: &Expression, body: &Node, labels: &[Label]) -> Compiled<WhileLoop> {
        let before = self.function().nodes;
        let condition = self.expression(condition)?;
        let body = self.statement(body, &[])?;
        Ok(WhileLoop { condition, body, labels: labels.into(), weight: self.weight_since(before) })
    }

    fn for_loop(&mut self, node: &node::ForLoop, labels: &[Label]) -> Compiled<Statement> {
        self.enter_scope();
        let mut declares: Vec<Slot> = Vec::new();
        let init = match node.init() {
            None => Statement::Empty,
            Some(ForLoopInitializer::Expression(expression)) => {
                Statement::Expression(self.expression(expression)?)
            }
            Some(ForLoopInitializer::Var(VarDeclaration(variables))) => self.variables(variables)?,
            Some(ForLoopInitializer::Lexical(lexical)) => {
                let declaration = lexical.declaration();
                for name in bound_names(declaration) {
                    declares.push(self.declare(name, declaration.is_const()));
                }
                let mut statements = Vec::new();
                self.lexical(declaration.variable_list(), &mut statements)?;
                bare_block(statements)
            }
        };
        let before = self.function().nodes;
        let condition = node.condition().map(|condition| self.expression(condition)).transpose()?;
        let step = node.final_expr().map(|step| self.expression(step)).transpose()?;
        let body = self.statement(node.body(), &[])?;
        let weight = self.weight_since(before);
        self.leave_scope();
        Ok(Statement::For(Box::new(ForLoop {
            declares: declares.into(),
            init,
            condition,
            step,
            body,
            labels: labels.into(),
            weight,
        })))
    }

    fn for_each(
        &mut self,
        head: &IterableLoopInitializer,
        over: &Expression,
        body: &Node,
        labels: &[Label],
    ) -> Compiled<ForEach> {
        self.enter_scope();
        let mut declares: Vec<Slot> = Vec::new();
        if let IterableLoopInitializer::Let(binding) | IterableLoopInitializer::Const(binding) = head {
            let constant = matches!(head, IterableLoopInitializer::Const(_));
            for name in bound_names(binding) {
                declares.push(self.declare(name, constant));
            }
        }
        let over = self.expression(over)?;
        let before = self.function().nodes;
        let element = declares.first().copied().filter(|_| is_one_name(head));
        self.enter_element(element);
        let target = match head {
            IterableLoopInitializer::Identifier(name) => Target::Place(self.name_place(*name)?),
            IterableLoopInitializer::Access(access) => Target::Place(self.access_place(access)?),
            IterableLoopInitializer::Var(variable) => self.binding(variable.binding(), true)?,
            IterableLoopInitializer::Let(binding) | IterableLoopInitializer::Const(binding) => {
                self.binding(binding, false)?
            }
            IterableLoopInitializer::Pattern(pattern) => self.pattern(pattern, true)?,
        };
        let body = self.statement(body, &[])?;
        let weight = self.weight_since(before);
        let rows = self.leave_element(&body).or_else(|| self.taken_apart(&target));
        self.leave_scope();
        Ok(ForEach { declares: declares.into(), target, over, body, labels: labels.into(), weight, rows })
    }

    /// What a binding binds; `assigns` says that the names are declared elsewhere, as those of `var` are.
    pub(super) fn binding(&mut self, binding: &Binding, assigns: bool) -> Compiled<Target> {
        match binding {
            Binding::Identifier(name) => self.name_target(*name, assigns),
            Binding::Pattern(pattern) => self.pattern(pattern, assigns),
        }
    }

    /// What a declared or assigned name binds.
    pub(super) fn name_target(
        &mut self,
        name: boa_ast::expression::Identifier,
        assigns: bool,
    ) -> Compiled<Target> {
        let place = self.name_place(name)?;
        match place {
            _ if assigns => Ok(Target::Place(place)),
            Place::Variable(crate::script::compiled::program::Variable::Slot(slot))
            | Place::Constant(crate::script::compiled::program::Variable::Slot(slot)) => {
                Ok(Target::Declare(slot))
            }
            _ => refuse("a declaration at a distance", name.span()),
        }
    }

    fn switch(&mut self, node: &node::Switch) -> Compiled<Statement> {
        let value = self.expression(node.val())?;
        self.enter_scope();
        let mut declares = Vec::new();
        let mut functions = Vec::new();
        for case in node.cases() {
            self.hoist(case.body(), &mut declares, &mut functions)?;
        }
        let mut cases = Vec::new();
        for case in node.cases() {
            let condition = case.condition().map(|condition| self.expression(condition)).transpose()?;
            let mut statements = Vec::new();
            for item in case.body().statements() {
                self.item(item, &mut statements)?;
            }
            cases.push((condition, statements.into_boxed_slice()));
        }
        self.leave_scope();
        Ok(Statement::Switch(Box::new(Switch {
            value,
            declares: declares.into(),
            functions: functions.into(),
            cases: cases.into(),
        })))
    }

    fn label(&mut self, label: Option<Sym>) -> Compiled<Option<Label>> {
        let Some(name) = label else { return Ok(None) };
        let labels = &self.function().labels;
        match labels.iter().rev().find(|(known, _)| *known == name) {
            Some((_, label)) => Ok(Some(*label)),
            None => refuse("an unknown label", None),
        }
    }

    fn labelled(&mut self, node: &node::Labelled, labels: &[Label]) -> Compiled<Statement> {
        let LabelledItem::Statement(statement) = node.item() else {
            return refuse("a label before a function", None);
        };
        let function = self.function();
        let label = function.labels_used;
        function.labels_used += 1;
        function.labels.push((node.label(), label));
        let all: Vec<Label> = labels.iter().copied().chain([label]).collect();
        let made = self.statement(statement, &all)?;
        self.function().labels.pop();
        Ok(Statement::Labelled(label, Box::new(made)))
    }

    fn try_statement(&mut self, node: &node::Try) -> Compiled<Statement> {
        let block = self.block(node.block())?;
        let catch = match node.catch() {
            None => None,
            Some(catch) => {
                self.enter_scope();
                let mut declares = Vec::new();
                let target = match catch.parameter() {
                    None => None,
                    Some(binding) => {
                        for name in bound_names(binding) {
                            declares.push(self.declare(name, false));
                        }
                        Some(self.binding(binding, false)?)
                    }
                };
                let block = self.block(catch.block())?;
                self.leave_scope();
                Some(Catch { target, declares: declares.into(), block })
            }
        };
        let finally = node.finally().map(|finally| self.block(finally.block())).transpose()?;
        Ok(Statement::Try(Box::new(Try { block, catch, finally })))
    }
}

/// Whether the head of a loop declares one name and takes nothing apart.
const fn is_one_name(head: &IterableLoopInitializer) -> bool {
    matches!(
        head,
        IterableLoopInitializer::Let(Binding::Identifier(_))
            | IterableLoopInitializer::Const(Binding::Identifier(_))
    )
}

fn bare_block(statements: Vec<Statement>) -> Statement {
    Statement::Block(Block {
        declares: Box::default(),
        functions: Box::default(),
        statements: statements.into(),
    })
}
