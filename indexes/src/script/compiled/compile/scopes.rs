//! Which place a name means, and which variables live in cells because inner functions use them.

use super::Compiler;
use crate::script::compiled::program::{Capture, Code, FunctionId, Label, Slot, Variable};
use boa_interner::Sym;
use std::collections::HashMap;

/// What a name means where it stands.
pub(super) enum Meaning {
    /// A variable of this function or of one around it.
    Variable {
        /// Its place.
        variable: Variable,
        /// Whether it must not be assigned.
        constant: bool,
    },
    /// The document being mapped, of which only some fields are read.
    Document,
    /// A function declared outside of every function.
    GlobalFunction(FunctionId),
    /// A value declared outside of every function.
    GlobalValue(u32),
    /// No declaration of the scripts.
    Free,
}

/// What a name of a scope is.
#[derive(Clone, Copy)]
pub(super) enum Local {
    /// A variable of the function.
    Slot {
        /// Its slot.
        slot: Slot,
        /// Whether it must not be assigned.
        constant: bool,
    },
    /// A variable that the function captured.
    Captured {
        /// Its place among the captured ones.
        place: u32,
        /// Whether it must not be assigned.
        constant: bool,
    },
    /// The document being mapped.
    Document,
    /// The name of a function expression inside of itself.
    OwnName,
}

/// A function while it is compiled.
#[derive(Default)]
pub(super) struct Function {
    /// What it becomes.
    pub code: Code,
    /// Its scopes, innermost last.
    pub scopes: Vec<HashMap<Sym, Local>>,
    /// The labels around.
    pub labels: Vec<(Sym, Label)>,
    /// How many labels it has had.
    pub labels_used: Label,
    /// Nodes of its syntax tree.
    pub nodes: u64,
    /// How many nodes are around.
    pub depth: usize,
    /// How many there were at most.
    pub deepest: usize,
}

impl Function {
    /// Adds a name to the innermost scope.
    pub fn declare(&mut self, name: Sym, local: Local) {
        if self.scopes.is_empty() {
            self.scopes.push(HashMap::new());
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name, local);
        }
    }

    /// Notes that a slot lives in a cell of its own.
    fn box_slot(&mut self, slot: Slot) {
        let place = usize::try_from(slot).unwrap_or(usize::MAX);
        if self.code.boxed.len() <= place {
            self.code.boxed.resize(place + 1, false);
        }
        if let Some(boxed) = self.code.boxed.get_mut(place) {
            *boxed = true;
        }
    }

    /// The place of a captured variable among all that the function captured.
    fn capture(&mut self, capture: Capture) -> u32 {
        let known = self.code.captures.iter().position(|known| *known == capture);
        let place = known.unwrap_or_else(|| {
            self.code.captures.push(capture);
            self.code.captures.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }
}

impl Compiler<'_> {
    /// Finds a name in a function and those around it, and captures what it finds there.
    pub(super) fn lookup(&mut self, depth: usize, name: Sym) -> Option<Local> {
        let function = self.functions.get(depth)?;
        if let Some(local) = function.scopes.iter().rev().find_map(|scope| scope.get(&name)) {
            return Some(*local);
        }
        let outer = depth.checked_sub(1)?;
        let (capture, constant) = match self.lookup(outer, name)? {
            Local::Slot { slot, constant } => {
                self.functions.get_mut(outer)?.box_slot(slot);
                (Capture::Slot(slot), constant)
            }
            Local::Captured { place, constant } => (Capture::Outer(place), constant),
            local @ (Local::Document | Local::OwnName) => return Some(local),
        };
        let place = self.functions.get_mut(depth)?.capture(capture);
        Some(Local::Captured { place, constant })
    }

    pub(super) fn enter_scope(&mut self) {
        self.function().scopes.push(HashMap::new());
    }

    pub(super) fn leave_scope(&mut self) {
        self.function().scopes.pop();
    }
}
