//! Writes the scripts of an index out again as one function with RavenDB's forgiving semantics and Magpie's bounds.
//!
//! What changes on the way, and nothing else:
//! - reading a member of `null` or `undefined`, or calling one, gives `undefined` instead of throwing: every link gets
//!   a substitute (`a.b` is written `(a ?? none).b`); assignment targets, `new` and tags stay as they are;
//! - but a chain of members on whose way something is missing (not null) is `null`, except for `typeof`: `a.b.c` is
//!   written `(((a ?? none).b ?? none).c ?? way(a, "b", "c"))`;
//! - a name that nothing declares reads as `null`, and so does everything hanging on it;
//! - every function body and every loop turn begins with a call that counts steps, and joined strings, large BigInts,
//!   spreads and new objects are checked against the bounds;
//! - the function of a Finalize script is handed to what registers it;
//! - constructs that would break purity or the bounds are refused with their position.
//!
//! Writing from the syntax tree, with parentheses by precedence, cannot be misled by the source's formatting. A list of
//! marks leads from places in the written text back to line and column of the user's script.

mod expressions;
mod functions;
mod links;
mod operators;
mod patterns;
mod scope;
mod statements;
mod text;

use super::dialect::{self, names};
use super::errors::definition_error;
use super::parse::{ParsedScript, Role};
use crate::definition::Numbers;
use crate::function::{FunctionError, Position};
use boa_ast::expression::Identifier;
use boa_ast::expression::literal::{Literal, LiteralKind};
use boa_ast::visitor::{VisitWith, Visitor};
use boa_ast::{Span, Spanned};
use boa_interner::{Interner, Sym};
use scope::{Meaning, Scopes};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// A place in the written text and what it came from.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    line: u32,
    column: u32,
    /// Which script, by its place in the list that was rewritten.
    pub script: usize,
    /// Where in that script.
    pub position: Position,
    /// The property that is called here, if it is a call of one.
    pub method: Option<Box<str>>,
}

/// The written program.
#[derive(Debug, Clone)]
pub(super) struct Rewritten {
    /// An expression whose value is a function. Its parameters are those of [`names::PARAMETERS`]; it returns a function
    /// that loads the scripts and returns an array of the values that they keep between calls.
    pub text: String,
    /// Whether the scripts may come by a BigInt.
    pub big_ints: bool,
    /// Whether it is a patch.
    pub patch: bool,
    /// Whether its last parameters are [`names::VALUE_PARAMETERS`]: those of patches and queries.
    pub reads_values: bool,
    /// What the maps load.
    pub loads: Loaded,
    marks: Vec<Mark>,
}

/// The collections that maps load documents of, as written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Loaded {
    /// Those that are named by a literal, each once.
    pub collections: Vec<String>,
    /// Whether there may be others.
    pub any: bool,
}

impl Rewritten {
    /// The mark at or before a place in the written text.
    pub fn origin(&self, line: u32, column: u32) -> Option<&Mark> {
        let after = self.marks.partition_point(|mark| (mark.line, mark.column) <= (line, column));
        after.checked_sub(1).and_then(|index| self.marks.get(index))
    }
}

/// Writes the program of an index.
///
/// # Errors
/// A definition error with its position when a script uses what an index may not use.
pub(super) fn rewrite(
    scripts: &[ParsedScript],
    interner: &Interner,
    numbers: Numbers,
) -> Result<Rewritten, FunctionError> {
    let mut kept = HashSet::new();
    for script in scripts {
        kept.extend(scope::script_names(script.tree.statements()));
    }
    let mut names: Vec<Sym> = kept.iter().copied().collect();
    names.sort_unstable();
    let big_ints = numbers == Numbers::Exact || scripts.iter().any(|script| names_big_ints(script, interner));
    let mut writer = Writer::new(interner, Scopes::new(kept), big_ints);
    writer.put("(function(");
    writer.put(&names::PARAMETERS.join(","));
    let patch = scripts.iter().any(|script| script.role == Role::Patch);
    if patch {
        for name in names::PATCH_PARAMETERS {
            writer.put(",");
            writer.put(name);
        }
    }
    let reads_values = patch || scripts.iter().any(|script| script.role == Role::Query);
    if reads_values {
        for name in names::VALUE_PARAMETERS {
            writer.put(",");
            writer.put(name);
        }
    }
    writer.put("){return function(){\"use strict\";");
    for (index, script) in scripts.iter().enumerate() {
        writer.script = index;
        writer.role = script.role;
        writer.put("\n");
        writer.script(script).map_err(|error| script.in_source(error))?;
    }
    for mark in &mut writer.marks {
        if let Some(script) = scripts.get(mark.script) {
            mark.position = script.source_position(mark.position);
        }
    }
    writer.refuse_hidden_state()?;
    writer.put("\nreturn [");
    for name in names {
        writer.name(name, None::<Span>)?;
        writer.put(",");
    }
    writer.put("]}})");
    Ok(Rewritten {
        text: writer.out,
        big_ints,
        patch,
        reads_values,
        loads: writer.loads,
        marks: writer.marks,
    })
}

/// Whether a script has a BigInt literal or names their constructor, also in a string. No other text can make one of
/// what is no BigInt.
fn names_big_ints(script: &ParsedScript, interner: &Interner) -> bool {
    script.tree.visit_with(&mut BigInts { interner }).is_break()
}

struct BigInts<'i> {
    interner: &'i Interner,
}

impl BigInts<'_> {
    fn found(&self, name: Sym) -> ControlFlow<()> {
        let names = self.interner.resolve(name).is_some_and(|text| text.to_string() == names::BIG_INT);
        if names { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl<'ast> Visitor<'ast> for BigInts<'_> {
    type BreakTy = ();

    fn visit_identifier(&mut self, node: &'ast Identifier) -> ControlFlow<()> {
        self.found(node.sym())
    }

    fn visit_literal(&mut self, node: &'ast Literal) -> ControlFlow<()> {
        match node.kind() {
            LiteralKind::BigInt(_) => ControlFlow::Break(()),
            LiteralKind::String(text) => self.found(*text),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The writer and what it knows about the place it is at.
struct Writer<'a> {
    interner: &'a Interner,
    out: String,
    line: u32,
    column: u32,
    marks: Vec<Mark>,
    scopes: Scopes,
    script: usize,
    role: Role,
    /// Whether the scripts may come by a BigInt, so that arithmetic is checked.
    big_ints: bool,
    loads: Loaded,
    /// How many registered functions (arguments of `map`, `groupBy`, `aggregate`) are around.
    registered: usize,
    /// The first call of user code while the scripts are loaded.
    load_call: bool,
    /// For each function around: whether it declares the variable that checks of strings need.
    temporaries: Vec<bool>,
    /// The first function outside of the registered ones that uses variables of a function around it.
    capture: Option<(Position, usize)>,
}

impl<'a> Writer<'a> {
    const fn new(interner: &'a Interner, scopes: Scopes, big_ints: bool) -> Self {
        Self {
            interner,
            out: String::new(),
            line: 1,
            column: 1,
            marks: Vec::new(),
            scopes,
            script: 0,
            role: Role::Map,
            big_ints,
            loads: Loaded { collections: Vec::new(), any: false },
            registered: 0,
            load_call: false,
            temporaries: Vec::new(),
            capture: None,
        }
    }

    /// Writes one script. That of a Finalize or a patch is a function, which is registered.
    fn script(&mut self, script: &ParsedScript) -> Result<(), FunctionError> {
        if !matches!(script.role, Role::Finalize | Role::Patch) {
            return self.statements(script.tree.statements());
        }
        let Some(function) = dialect::lone_expression(script) else {
            return self.refuse(dialect::FINALIZE_IS_A_FUNCTION, None);
        };
        self.put(names::FINALIZE);
        self.mark(function.span(), None);
        self.put("(");
        self.registered += 1;
        self.expression(function, expressions::Level::Assignment)?;
        self.registered -= 1;
        self.put(");");
        Ok(())
    }

    /// Notes a load: of a collection that is named on the spot, or of any.
    fn note_load(&mut self, collection: Option<String>, span: Span) -> Result<(), FunctionError> {
        if matches!(self.role, Role::Reduce | Role::Finalize) {
            return self.refuse(
                "load() is only available in a map: a reduce or finalize only sees its values; load in the map and \
                 output what is needed",
                span,
            );
        }
        match collection {
            Some(name) if self.loads.collections.contains(&name) => {}
            Some(name) => self.loads.collections.push(name),
            None => self.loads.any = true,
        }
        Ok(())
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        for c in text.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
    }

    /// Remembers where the next character came from.
    fn mark(&mut self, span: Span, method: Option<&str>) {
        let position = position(span);
        self.marks.push(Mark {
            line: self.line,
            column: self.column,
            script: self.script,
            position,
            method: method.map(Into::into),
        });
    }

    fn text_of(&self, name: Sym) -> String {
        self.interner.resolve(name).map(|text| text.to_string()).unwrap_or_default()
    }

    fn refuse<T>(
        &self,
        message: impl Into<String>,
        span: impl Into<Option<Span>>,
    ) -> Result<T, FunctionError> {
        Err(definition_error(message, span.into().map(position)))
    }

    /// Writes a declared name.
    fn name(&mut self, name: Sym, span: impl Into<Option<Span>>) -> Result<(), FunctionError> {
        let text = self.text_of(name);
        if text.starts_with(names::RESERVED_PREFIX) {
            return self.refuse(
                format!(
                    "the name '{text}' is reserved: use one that does not begin with {}",
                    names::RESERVED_PREFIX
                ),
                span,
            );
        }
        self.put(&text);
        Ok(())
    }

    /// Whether a name that the script does not declare has a meaning.
    fn is_known(&self, name: &str) -> bool {
        names::is_known(name)
            || (self.reads_values() && names::VALUE_PARAMETERS.contains(&name))
            || (self.role == Role::Patch && (names::PATCH_PARAMETERS.contains(&name) || is_argument(name)))
    }

    /// Why a name may not be used, if so.
    fn refused(&self, name: &str) -> Option<String> {
        match self.role {
            Role::Patch | Role::Query if names::VALUE_PARAMETERS.contains(&name) => None,
            Role::Patch => names::refused_in_patch(name),
            Role::Query if name == names::COUNTER_RAW => {
                Some("counterRaw() is not supported yet in the script of a query: use counter()".to_owned())
            }
            _ => names::refused(name),
        }
    }

    /// Whether the script may read compare-exchange values and counters: an index would not follow their changes.
    fn reads_values(&self) -> bool {
        matches!(self.role, Role::Patch | Role::Query)
    }

    fn meaning(&self, name: Sym) -> Meaning {
        self.scopes.meaning(name)
    }

    /// Refuses a write to a variable that would outlive the call, or that does not exist.
    fn check_assignment(&self, name: Sym, span: Span) -> Result<(), FunctionError> {
        let text = self.text_of(name);
        match self.meaning(name) {
            Meaning::Declared { depth: 0 } if self.scopes.depth > 0 => self.refuse(
                format!(
                    "'{text}' is declared outside of the function that assigns it, so its value would survive from one \
                     call to the next: an index must be a pure function; declare it inside"
                ),
                span,
            ),
            Meaning::Declared { .. } => Ok(()),
            Meaning::Free => {
                self.refuse(format!("assignment to the undeclared variable '{text}': declare it with let"), span)
            }
        }
    }

    /// Notes that a function uses a variable of a function around it.
    fn note_capture(&mut self, name: Sym, span: Span) {
        if self.registered == 0
            && self.capture.is_none()
            && let Meaning::Declared { depth } = self.meaning(name)
            && depth > 0
            && depth < self.scopes.depth
        {
            self.capture = Some((position(span), self.script));
        }
    }

    /// Private fields of objects cannot be frozen, so they count like captured variables.
    fn note_hidden_field(&mut self, span: Span) {
        if self.registered == 0 && self.capture.is_none() {
            self.capture = Some((position(span), self.script));
        }
    }

    /// A closure made while the scripts are loaded can keep variables between calls, out of reach of freezing.
    fn refuse_hidden_state(&self) -> Result<(), FunctionError> {
        match self.capture {
            Some((position, _)) if self.load_call => Err(definition_error(
                "this function uses a variable of the function around it (or this class has a private field), and the \
                 script calls functions while it is loaded, so it could keep state between calls: an index must be a \
                 pure function; use top-level functions and constants instead",
                Some(position),
            )),
            _ => Ok(()),
        }
    }
}

/// Whether a name in a patch is that of an argument: `$name` is `args.name`.
fn is_argument(name: &str) -> bool {
    name.len() > 1 && name.starts_with('$')
}

fn position(span: Span) -> Position {
    Position { line: span.start().line_number(), column: span.start().column_number() }
}

/// A JavaScript string literal in ASCII.
fn quoted(units: &[u16]) -> String {
    let mut text = String::with_capacity(units.len() + 2);
    text.push('"');
    escape(units, &mut text, '"');
    text.push('"');
    text
}

/// Escapes everything that is not plain ASCII, and the quote.
fn escape(units: &[u16], text: &mut String, quote: char) {
    for unit in units {
        match u8::try_from(*unit).map(char::from) {
            Ok(c) if c == quote || c == '\\' || c == '$' => {
                text.push('\\');
                text.push(c);
            }
            Ok(c) if c == ' ' || c.is_ascii_graphic() => text.push(c),
            _ => text.push_str(&format!("\\u{unit:04x}")),
        }
    }
}

/// Whether a property can be written after a dot.
fn is_plain_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c == '_' || c == '$' || c.is_ascii_alphanumeric())
}
