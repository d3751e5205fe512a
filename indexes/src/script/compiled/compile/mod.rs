//! From the syntax trees of an index's scripts to a [`Program`], or to the first construct that is outside of the
//! compiled language.
//!
//! The meaning is that of the written program of `rewrite/`: members of `null` and `undefined` are `undefined`, names
//! that nothing declares are `null`, a chain on whose way something is missing is `null`. What `rewrite/` refuses never gets here. Whatever could behave differently from
//! the engine is refused: the index then runs in the engine as a whole.

mod expressions;
mod functions;
mod globals;
mod links;
mod patterns;
mod rows;
mod scopes;
mod statements;

use super::natives::Native;
use super::program::{Code, Expr, FunctionId, Program, Slot, Variable};
use crate::function::Position;
use crate::script::dialect::{GroupBy, Projection, names};
use crate::script::parse::ParsedScript;
use boa_ast::Span;
use boa_ast::expression::{Expression, Identifier};
use boa_interner::{Interner, Sym};
use rows::Element;
use scopes::{Function, Local, Meaning};
use std::collections::HashMap;
use std::fmt;

/// Most nodes of a syntax tree that are inside each other within one function.
const NODES_DEEP_MAX: usize = 400;
/// Nodes of a syntax tree that one step pays for.
const NODES_PER_STEP: u64 = 64;

/// Why an index does not run in the compiled tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhyNot {
    /// The construct or the circumstance, as a noun.
    pub construct: String,
    /// The script, `Maps[0]` or `AdditionalSources['name']`, when there are several and it is one's.
    pub script: Option<String>,
    /// Where it stands in its script, if it stands somewhere.
    pub position: Option<Position>,
}

impl WhyNot {
    /// What lies in no script.
    pub(in crate::script) fn of_the_whole(construct: impl Into<String>) -> Self {
        Self { construct: construct.into(), script: None, position: None }
    }
}

/// `a class in Maps[1] (line 3, column 5)`
impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.construct)?;
        if let Some(script) = &self.script {
            write!(f, " in {script}")?;
        }
        match self.position {
            Some(position) => write!(f, " (line {}, column {})", position.line, position.column),
            None => Ok(()),
        }
    }
}

/// A compiled part, or why there is none.
type Compiled<T> = Result<T, WhyNot>;

/// Compiles the scripts of an index. `labels` are what the scripts are called, `projections` what the maps read, in the
/// order of their registration.
///
/// # Errors
/// The first construct that is not understood.
pub(in crate::script::compiled) fn program(
    scripts: &[ParsedScript],
    labels: &[String],
    interner: &Interner,
    group_by: Option<&GroupBy>,
    projections: &[Option<Projection>],
) -> Compiled<Program> {
    let mut compiler = Compiler {
        interner,
        program: Program {
            functions: Vec::new(),
            globals: Vec::new(),
            maps: Vec::new(),
            reduce: None,
            finalize: None,
            group_by: group_by.cloned(),
            literals: Vec::new(),
            patterns: Vec::new(),
            caches: 0,
            loops: 0,
        },
        functions: Vec::new(),
        globals: HashMap::new(),
        readable_globals: None,
        fields: None,
        script: 0,
        elements: Vec::new(),
        callback: None,
    };
    match compiler.scripts(scripts, projections) {
        Ok(()) => Ok(compiler.program),
        Err(why) => {
            let script = scripts.get(compiler.script).filter(|_| why.position.is_some());
            let position = script.and_then(|script| why.position.map(|at| script.source_position(at)));
            let label = script.and_then(|_| labels.get(compiler.script).cloned());
            Err(WhyNot { script: label, position, ..why })
        }
    }
}

/// What a name declared outside of every function stands for.
#[derive(Clone, Copy)]
enum Global {
    /// A function.
    Function(FunctionId),
    /// A value, by its place in [`Program::globals`].
    Value(u32),
}

/// The compiler and what it knows about the place it is at.
struct Compiler<'i> {
    interner: &'i Interner,
    program: Program,
    /// The functions around, outermost first.
    functions: Vec<Function>,
    globals: HashMap<Sym, Global>,
    /// While the value of a top-level name is compiled: how many of them it may read.
    readable_globals: Option<u32>,
    /// The fields of the document that the map being compiled reads.
    fields: Option<Vec<Box<str>>>,
    /// The number of the script that is compiled.
    script: usize,
    /// The elements of the loops around, outermost first.
    elements: Vec<Element>,
    /// Which parameter of the function that comes next is an element of an array.
    callback: Option<usize>,
}

impl Compiler<'_> {
    /// The text of a name or a string.
    fn text(&self, name: Sym) -> Compiled<Box<str>> {
        let units = self.interner.resolve(name).map(|text| text.utf16().to_vec()).unwrap_or_default();
        match String::from_utf16(&units) {
            Ok(text) => Ok(text.into()),
            Err(_) => refuse("text with half a surrogate pair", None),
        }
    }

    /// Whether a name has this text.
    fn is_text(&self, name: Sym, text: &str) -> bool {
        self.text(name).is_ok_and(|found| *found == *text)
    }

    /// The innermost function.
    fn function(&mut self) -> &mut Function {
        if self.functions.is_empty() {
            self.functions.push(Function::default());
        }
        let last = self.functions.len() - 1;
        // There is always a last one, as it was just made sure.
        #[expect(clippy::indexing_slicing, reason = "the list is not empty")]
        &mut self.functions[last]
    }

    fn code(&mut self) -> &mut Code {
        &mut self.function().code
    }

    /// Counts a node and how deeply it is nested.
    fn enter_node(&mut self, span: Option<Span>) -> Compiled<()> {
        let function = self.function();
        function.nodes += 1;
        function.depth += 1;
        function.deepest = function.deepest.max(function.depth);
        if function.depth > NODES_DEEP_MAX {
            return refuse("deeply nested code", span);
        }
        Ok(())
    }

    fn leave_node(&mut self) {
        self.function().depth -= 1;
    }

    /// A new cache of a place.
    fn cache(&mut self) -> usize {
        self.program.caches += 1;
        self.program.caches - 1
    }

    /// A new slot of the innermost function.
    fn slot(&mut self) -> Slot {
        let code = self.code();
        let slot = Slot::try_from(code.slots).unwrap_or(Slot::MAX);
        code.slots += 1;
        slot
    }

    /// Declares a name in the innermost scope.
    fn declare(&mut self, name: Sym, constant: bool) -> Slot {
        let slot = self.slot();
        self.function().declare(name, Local::Slot { slot, constant });
        slot
    }

    /// What a name means here.
    fn meaning(&mut self, name: Identifier) -> Compiled<Meaning> {
        let sym = name.sym();
        if sym == Sym::ARGUMENTS {
            return refuse("arguments", Some(name.span_of()));
        }
        if let Some(depth) = self.functions.len().checked_sub(1)
            && let Some(local) = self.lookup(depth, sym)
        {
            return match local {
                Local::Slot { slot, constant } => {
                    Ok(Meaning::Variable { variable: Variable::Slot(slot), constant })
                }
                Local::Captured { place, constant } => {
                    Ok(Meaning::Variable { variable: Variable::Captured(place), constant })
                }
                Local::Document => Ok(Meaning::Document),
                Local::OwnName => {
                    refuse("a function expression that uses its own name", Some(name.span_of()))
                }
            };
        }
        match self.globals.get(&sym) {
            Some(Global::Function(id)) => Ok(Meaning::GlobalFunction(*id)),
            Some(Global::Value(place)) => {
                if self.readable_globals.is_some_and(|count| *place >= count) {
                    return refuse("a top-level value that uses a later one", Some(name.span_of()));
                }
                Ok(Meaning::GlobalValue(*place))
            }
            None => Ok(Meaning::Free),
        }
    }

    /// Whether a name is declared by the scripts.
    fn is_declared(&mut self, name: Identifier) -> bool {
        !matches!(self.meaning(name), Ok(Meaning::Free))
    }

    /// The text of a name that nothing declares.
    fn free_name(&mut self, expression: &Expression) -> Option<Box<str>> {
        match expression.flatten() {
            Expression::Identifier(name) if !self.is_declared(*name) => self.text(name.sym()).ok(),
            _ => None,
        }
    }

    /// Reads a name.
    fn read(&mut self, name: Identifier) -> Compiled<Expr> {
        Ok(match self.meaning(name)? {
            Meaning::Variable { variable: Variable::Slot(slot), .. } => self.slot_or_element(slot),
            Meaning::Variable { variable, .. } => Expr::Variable(variable),
            Meaning::Document => return refuse("the document as a whole", Some(name.span_of())),
            Meaning::GlobalFunction(id) => Expr::GlobalFunction(id),
            Meaning::GlobalValue(place) => Expr::Global(place),
            Meaning::Free => {
                let text = self.text(name.sym())?;
                if &*text == "undefined" {
                    return Ok(Expr::Undefined);
                }
                if let Some(value) = super::natives::constant(&text) {
                    return Ok(Expr::Number(value));
                }
                if let Some(native) = Native::named(&text) {
                    return Ok(Expr::Native(native));
                }
                if names::is_known(&text) || names::refused(&text).is_some() {
                    return refuse(&format!("{text} as a value"), Some(name.span_of()));
                }
                Expr::Null
            }
        })
    }
}

/// The place of a name; names of bindings have it too.
trait SpanOf {
    fn span_of(&self) -> Span;
}

impl SpanOf for Identifier {
    fn span_of(&self) -> Span {
        boa_ast::Spanned::span(self)
    }
}

/// Refuses a construct.
fn refuse<T>(construct: &str, span: impl Into<Option<Span>>) -> Compiled<T> {
    let position = span
        .into()
        .map(|span| Position { line: span.start().line_number(), column: span.start().column_number() });
    Err(WhyNot { construct: construct.to_owned(), script: None, position })
}
