//! Which declaration a name means: the static scopes of the scripts of one index.
//!
//! All scripts of an index share one outermost scope. Direct `eval` and `with` are refused elsewhere, so JavaScript's
//! scopes are fully static here.

use boa_ast::declaration::Declaration;
use boa_ast::function::{FormalParameterList, FunctionBody};
use boa_ast::operations::{bound_names, var_declared_names};
use boa_ast::{StatementList, StatementListItem};
use boa_interner::Sym;
use std::collections::HashSet;

/// What a name refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A declaration with this many functions around it; 0 for what is declared outside of every function.
    Declared {
        /// Functions around the declaration.
        depth: usize,
    },
    /// No declaration of the scripts: a global of the engine or of the dialect, or nothing at all.
    Free,
}

struct Frame {
    names: HashSet<Sym>,
    depth: usize,
}

/// The scopes around the node being written, innermost last.
pub(super) struct Scopes {
    frames: Vec<Frame>,
    /// How many functions are around the node being written.
    pub depth: usize,
}

impl Scopes {
    /// Begins with the outermost scope.
    pub fn new(names: HashSet<Sym>) -> Self {
        Self { frames: vec![Frame { names, depth: 0 }], depth: 0 }
    }

    /// Enters a block, a loop head, a catch clause or a class.
    pub fn enter(&mut self, names: HashSet<Sym>) {
        self.frames.push(Frame { names, depth: self.depth });
    }

    /// Enters a function.
    pub fn enter_function(&mut self, names: HashSet<Sym>) {
        self.depth += 1;
        self.frames.push(Frame { names, depth: self.depth });
    }

    /// Leaves what was entered last.
    pub fn leave(&mut self) {
        self.frames.pop();
    }

    /// Leaves the function that was entered last.
    pub fn leave_function(&mut self) {
        self.frames.pop();
        self.depth = self.depth.saturating_sub(1);
    }

    /// Finds the declaration of a name.
    pub fn meaning(&self, name: Sym) -> Meaning {
        let frame = self.frames.iter().rev().find(|frame| frame.names.contains(&name));
        frame.map_or(Meaning::Free, |frame| Meaning::Declared { depth: frame.depth })
    }
}

/// The names that a list of statements declares for its own block.
pub(super) fn block_names(list: &StatementList) -> HashSet<Sym> {
    list.statements().iter().filter_map(declaration).flat_map(declared_names).collect()
}

/// The names of a script's outermost scope.
pub(super) fn script_names(list: &StatementList) -> HashSet<Sym> {
    let mut names = block_names(list);
    names.extend(var_declared_names(list));
    names
}

/// The names that a function's parameters and body declare. Arrow functions have no `arguments` of their own.
pub(super) fn function_names(
    parameters: &FormalParameterList,
    body: &FunctionBody,
    arrow: bool,
) -> HashSet<Sym> {
    let mut names = script_names(body.statement_list());
    names.extend(bound_names(parameters));
    if !arrow {
        names.insert(Sym::ARGUMENTS);
    }
    names
}

/// The names of one declaration.
pub(super) fn declared_names(declaration: &Declaration) -> Vec<Sym> {
    bound_names(declaration)
}

fn declaration(item: &StatementListItem) -> Option<&Declaration> {
    match item {
        StatementListItem::Declaration(declaration) => Some(declaration),
        StatementListItem::Statement(_) => None,
    }
}
