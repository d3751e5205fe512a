//! Statements and declarations.

use super::scope::block_names;
use super::{Writer, expressions::Level};
use crate::function::FunctionError;
use crate::script::dialect::names;
use boa_ast::declaration::{
    Binding, Declaration, LexicalDeclaration, VarDeclaration, Variable, VariableList,
};
use boa_ast::operations::bound_names;
use boa_ast::statement::iteration::{ForLoopInitializer, IterableLoopInitializer};
use boa_ast::statement::{Block, Catch, ForLoop, If, Labelled, LabelledItem, Statement, Switch, Try};
use boa_ast::{Expression, Span, Spanned, StatementList, StatementListItem};
use boa_interner::Sym;
use std::collections::HashSet;

type Written = Result<(), FunctionError>;

/// Written text that counts as one more step.
const STEP_TEXT_BYTES: usize = 512;

impl Writer<'_> {
    pub(super) fn statements(&mut self, list: &StatementList) -> Written {
        list.statements().iter().try_for_each(|item| match item {
            StatementListItem::Statement(statement) => self.statement(statement),
            StatementListItem::Declaration(declaration) => self.declaration(declaration),
        })
    }

    fn statement(&mut self, statement: &Statement) -> Written {
        match statement {
            Statement::Block(block) => self.block(block)?,
            Statement::Var(VarDeclaration(variables)) => {
                self.variables("var ", variables)?;
                self.put(";");
            }
            Statement::Empty | Statement::Debugger => self.put(";"),
            Statement::Expression(expression) => {
                // Parentheses keep `{`, `function` and `class` from beginning a statement.
                self.put("(");
                self.expression(expression, Level::Comma)?;
                self.put(");");
            }
            Statement::If(node) => self.if_statement(node)?,
            Statement::DoWhileLoop(node) => {
                self.put("do");
                self.loop_body(node.body())?;
                self.put("while(");
                self.expression(node.cond(), Level::Comma)?;
                self.put(");");
            }
            Statement::WhileLoop(node) => {
                self.put("while(");
                self.expression(node.condition(), Level::Comma)?;
                self.put(")");
                self.loop_body(node.body())?;
            }
            Statement::ForLoop(node) => self.for_loop(node)?,
            Statement::ForInLoop(node) => {
                self.for_each(node.initializer(), "in", node.target(), Level::Comma, node.body())?;
            }
            Statement::ForOfLoop(node) => {
                if node.r#await() {
                    return self.refuse("for await is not supported in an index", node.iterable().span());
                }
                self.for_each(node.initializer(), "of", node.iterable(), Level::Assignment, node.body())?;
            }
            Statement::Switch(node) => self.switch(node)?,
            Statement::Continue(node) => self.jump("continue", node.label())?,
            Statement::Break(node) => self.jump("break", node.label())?,
            Statement::Return(node) => {
                self.put("return");
                if let Some(value) = node.target() {
                    self.put(" ");
                    self.expression(value, Level::Comma)?;
                }
                self.put(";");
            }
            Statement::Labelled(node) => self.labelled(node)?,
            Statement::Throw(node) => {
                self.mark(node.target().span(), None);
                self.put("throw ");
                self.expression(node.target(), Level::Comma)?;
                self.put(";");
            }
            Statement::Try(node) => self.try_statement(node)?,
            Statement::With(node) => {
                return self.refuse("with is not supported in an index", node.expression().span());
            }
        }
        Ok(())
    }

    fn declaration(&mut self, declaration: &Declaration) -> Written {
        match declaration {
            Declaration::FunctionDeclaration(node) => {
                self.put("function ");
                self.name(node.name().sym(), node.name().span())?;
                self.function(node.parameters(), node.body(), false)
            }
            Declaration::ClassDeclaration(node) => {
                self.put("class ");
                self.name(node.name().sym(), node.name().span())?;
                self.class(Some(node.name().sym()), node.super_ref(), node.constructor(), node.elements())
            }
            Declaration::Lexical(node) => {
                let (keyword, variables) = match node {
                    LexicalDeclaration::Const(variables) => ("const ", variables),
                    LexicalDeclaration::Let(variables) => ("let ", variables),
                    LexicalDeclaration::Using(variables) | LexicalDeclaration::AwaitUsing(variables) => {
                        return self.refuse("using is not supported in an index", first_span(variables));
                    }
                };
                self.variables(keyword, variables)?;
                self.put(";");
                Ok(())
            }
            Declaration::GeneratorDeclaration(node) => self.refuse_generator(node.name().span()),
            Declaration::AsyncFunctionDeclaration(node) => self.refuse_async(node.name().span()),
            Declaration::AsyncGeneratorDeclaration(node) => self.refuse_async(node.name().span()),
        }
    }

    fn variables(&mut self, keyword: &str, variables: &VariableList) -> Written {
        self.put(keyword);
        let list: &[Variable] = variables.as_ref();
        for (index, variable) in list.iter().enumerate() {
            if index > 0 {
                self.put(",");
            }
            self.variable(variable)?;
        }
        Ok(())
    }

    pub(super) fn variable(&mut self, variable: &Variable) -> Written {
        match (variable.binding(), variable.init()) {
            (Binding::Pattern(pattern), Some(init)) => self.destructure(pattern, init, true),
            (binding, init) => {
                self.binding(binding)?;
                if let Some(init) = init {
                    self.put("=");
                    self.expression(init, Level::Assignment)?;
                }
                Ok(())
            }
        }
    }

    pub(super) fn binding(&mut self, binding: &Binding) -> Written {
        match binding {
            Binding::Identifier(name) => self.name(name.sym(), name.span()),
            Binding::Pattern(pattern) => self.pattern(pattern, true, false),
        }
    }

    pub(super) fn block(&mut self, block: &Block) -> Written {
        self.scopes.enter(block_names(block.statement_list()));
        self.put("{");
        let written = self.statements(block.statement_list());
        self.put("}");
        self.scopes.leave();
        written
    }

    /// A statement as a block, so that it can stand anywhere.
    fn as_block(&mut self, statement: &Statement) -> Written {
        self.put("{");
        self.statement(statement)?;
        self.put("}");
        Ok(())
    }

    fn loop_body(&mut self, body: &Statement) -> Written {
        self.put("{");
        let step = self.begin_step();
        self.statement(body)?;
        self.end_step(step);
        self.put("}");
        Ok(())
    }

    /// Writes a call that counts a step, with room for what the code that follows weighs.
    pub(super) fn begin_step(&mut self) -> usize {
        self.put(names::STEP);
        self.put("(");
        let room = self.out.len();
        self.put("    );");
        room
    }

    /// Fills in the weight: long bodies do more per turn, literals above all, so they cost more steps.
    pub(super) fn end_step(&mut self, room: usize) {
        let weight = (self.out.len() - room) / STEP_TEXT_BYTES;
        if weight > 0 {
            let weight = format!("{:4}", weight.min(9999));
            self.out.replace_range(room..room + weight.len(), &weight);
        }
    }

    fn if_statement(&mut self, node: &If) -> Written {
        self.put("if(");
        self.expression(node.cond(), Level::Comma)?;
        self.put(")");
        self.as_block(node.body())?;
        match node.else_node() {
            // An else-if chain is written flat: braces would nest it.
            Some(Statement::If(next)) => {
                self.put("else ");
                self.if_statement(next)
            }
            Some(other) => {
                self.put("else");
                self.as_block(other)
            }
            None => Ok(()),
        }
    }

    fn for_loop(&mut self, node: &ForLoop) -> Written {
        let names: HashSet<Sym> = match node.init() {
            Some(ForLoopInitializer::Lexical(lexical)) => {
                bound_names(lexical.declaration()).into_iter().collect()
            }
            _ => HashSet::new(),
        };
        self.scopes.enter(names);
        self.put("for(");
        match node.init() {
            Some(ForLoopInitializer::Expression(expression)) => self.expression(expression, Level::Comma)?,
            Some(ForLoopInitializer::Var(VarDeclaration(variables))) => self.variables("var ", variables)?,
            Some(ForLoopInitializer::Lexical(lexical)) => {
                let keyword = if lexical.declaration().is_const() { "const " } else { "let " };
                self.variables(keyword, lexical.declaration().variable_list())?;
            }
            None => {}
        }
        self.put(";");
        self.optional_expression(node.condition())?;
        self.put(";");
        self.optional_expression(node.final_expr())?;
        self.put(")");
        self.loop_body(node.body())?;
        self.scopes.leave();
        Ok(())
    }

    fn optional_expression(&mut self, expression: Option<&Expression>) -> Written {
        expression.map_or(Ok(()), |expression| self.expression(expression, Level::Comma))
    }

    fn for_each(
        &mut self,
        head: &IterableLoopInitializer,
        word: &str,
        over: &Expression,
        level: Level,
        body: &Statement,
    ) -> Written {
        let names: HashSet<Sym> = match head {
            IterableLoopInitializer::Let(binding) | IterableLoopInitializer::Const(binding) => {
                bound_names(binding).into_iter().collect()
            }
            _ => HashSet::new(),
        };
        self.scopes.enter(names);
        self.put("for(");
        match head {
            IterableLoopInitializer::Identifier(name) => {
                self.check_assignment(name.sym(), name.span())?;
                self.name(name.sym(), name.span())?;
            }
            IterableLoopInitializer::Access(access) => self.reference(access)?,
            IterableLoopInitializer::Var(variable) => {
                self.put("var ");
                self.variable(variable)?;
            }
            IterableLoopInitializer::Let(binding) => {
                self.put("let ");
                self.binding(binding)?;
            }
            IterableLoopInitializer::Const(binding) => {
                self.put("const ");
                self.binding(binding)?;
            }
            IterableLoopInitializer::Pattern(pattern) => self.pattern(pattern, false, false)?,
        }
        self.put(" ");
        self.put(word);
        self.put(" ");
        if level == Level::Assignment {
            self.put(names::ITERATE);
            self.mark(over.span(), None);
            self.put("(");
            self.expression(over, level)?;
            self.put(")");
        } else {
            self.expression(over, level)?;
        }
        self.put(")");
        self.loop_body(body)?;
        self.scopes.leave();
        Ok(())
    }

    fn switch(&mut self, node: &Switch) -> Written {
        self.put("switch(");
        self.expression(node.val(), Level::Comma)?;
        self.put("){");
        self.scopes.enter(node.cases().iter().flat_map(|case| block_names(case.body())).collect());
        for case in node.cases() {
            match case.condition() {
                Some(condition) => {
                    self.put("case ");
                    self.expression(condition, Level::Comma)?;
                    self.put(":");
                }
                None => self.put("default:"),
            }
            self.statements(case.body())?;
        }
        self.scopes.leave();
        self.put("}");
        Ok(())
    }

    fn jump(&mut self, word: &str, label: Option<Sym>) -> Written {
        self.put(word);
        if let Some(label) = label {
            self.put(" ");
            self.name(label, None::<Span>)?;
        }
        self.put(";");
        Ok(())
    }

    fn labelled(&mut self, node: &Labelled) -> Written {
        self.name(node.label(), None::<Span>)?;
        self.put(":");
        match node.item() {
            LabelledItem::Statement(statement) => self.statement(statement),
            LabelledItem::FunctionDeclaration(function) => {
                self.refuse("a label before a function is not supported in an index", function.name().span())
            }
        }
    }

    fn try_statement(&mut self, node: &Try) -> Written {
        self.put("try");
        self.block(node.block())?;
        if let Some(catch) = node.catch() {
            self.catch(catch)?;
        }
        if let Some(finally) = node.finally() {
            self.put("finally");
            self.block(finally.block())?;
        }
        Ok(())
    }

    fn catch(&mut self, catch: &Catch) -> Written {
        self.put("catch");
        let names =
            catch.parameter().map(|binding| bound_names(binding).into_iter().collect()).unwrap_or_default();
        self.scopes.enter(names);
        if let Some(binding) = catch.parameter() {
            self.put("(");
            self.binding(binding)?;
            self.put(")");
        }
        self.block(catch.block())?;
        self.scopes.leave();
        Ok(())
    }
}

fn first_span(variables: &VariableList) -> Option<Span> {
    let list: &[Variable] = variables.as_ref();
    list.first().map(|variable| match variable.binding() {
        Binding::Identifier(name) => name.span(),
        Binding::Pattern(pattern) => pattern.span(),
    })
}
