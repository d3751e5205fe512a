//! From text to the engine's syntax tree, on a thread whose stack is large enough.

use super::errors::{compile_error, limit_error, position_of};
use super::{nesting, tokens};
use crate::function::{FunctionError, Position};
use crate::limits::{SCRIPT_BYTES_MAX, SCRIPT_STACK_BYTES};
use boa_ast::Spanned as _;
use boa_ast::scope::Scope;
use boa_interner::Interner;
use boa_parser::{Parser, Source};

/// What a script of an index is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Helpers for the others.
    Additional,
    /// Registers maps.
    Map,
    /// Registers the reduce.
    Reduce,
    /// Is the function that finalizes.
    Finalize,
    /// Is the function of a query.
    Query,
    /// Is the body of a patch, in a function of its own.
    Patch,
}

/// One script of an index.
pub(super) struct ParsedScript {
    /// Its syntax tree.
    pub tree: boa_ast::Script,
    /// What it is for.
    pub role: Role,
}

impl ParsedScript {
    /// The place in the user's text that a place in the parsed text is: a Finalize and a patch are parsed one line further down,
    /// see [`as_expression`] and [`as_patch`].
    pub fn source_position(&self, position: Position) -> Position {
        source_position(self.role, position)
    }

    /// An error with its place in the user's text.
    pub fn in_source(&self, error: FunctionError) -> FunctionError {
        in_source(self.role, error)
    }
}

fn source_position(role: Role, position: Position) -> Position {
    match role {
        Role::Finalize | Role::Patch => Position { line: position.line.saturating_sub(1).max(1), ..position },
        Role::Additional | Role::Map | Role::Reduce | Role::Query => position,
    }
}

/// An error of a script with its place in the user's text.
pub(super) fn in_source(role: Role, error: FunctionError) -> FunctionError {
    FunctionError { position: error.position.map(|position| source_position(role, position)), ..error }
}

/// The text under which a function expression is a script: on lines of its own between parentheses, without a semicolon
/// at its end.
///
/// # Errors
/// A compile error when the text cannot be scanned.
pub(super) fn as_expression(text: &str) -> Result<String, FunctionError> {
    let tokens = tokens::scan(text)?;
    let end = tokens.last().filter(|last| last.is(";")).map_or(text.len(), |last| last.start);
    Ok(format!("(\n{}\n)", text.get(..end).unwrap_or(text)))
}

/// The text under which the body of a patch is a script: a function of `args`, whose `this` is the document. The body has
/// lines of its own; declared functions stand behind it, where they are known all the same.
pub(super) fn as_patch(body: &str, declarations: &str) -> String {
    format!("(function(args){{\n{body}\n;{declarations}\n}})")
}

/// Checks size and depth, then parses. Must run on a thread with [`SCRIPT_STACK_BYTES`] of stack.
///
/// # Errors
/// A compile or limit error with its position.
pub(super) fn parse(
    source: &str,
    tokens: &[tokens::Token<'_>],
    role: Role,
    interner: &mut Interner,
) -> Result<ParsedScript, FunctionError> {
    nesting::check(source, tokens)?;
    let mut parser = Parser::new(Source::from_bytes(source));
    parser.set_strict();
    let tree =
        parser.parse_script(&Scope::new_global(), interner).map_err(|error| syntax_error(source, &error))?;
    Ok(ParsedScript { tree, role })
}

/// Refuses scripts that are too large together.
///
/// # Errors
/// A limit error.
pub(super) fn check_size<'s>(sources: impl Iterator<Item = &'s str>) -> Result<(), FunctionError> {
    let bytes: usize = sources.map(str::len).sum();
    if bytes > SCRIPT_BYTES_MAX {
        let message =
            format!("the scripts have {bytes} bytes together; at most {SCRIPT_BYTES_MAX} are allowed");
        return Err(limit_error(message, None));
    }
    Ok(())
}

/// Runs `work` on a thread of its own with the stack that parsing and compiling need.
///
/// # Errors
/// Those of `work`; a limit error when there is no thread to be had; a compile error when the engine panics.
pub(super) fn on_large_stack<T: Send>(
    work: impl FnOnce() -> Result<T, FunctionError> + Send,
) -> Result<T, FunctionError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("script".to_owned()).stack_size(SCRIPT_STACK_BYTES);
        let handle = thread
            .spawn_scoped(scope, work)
            .map_err(|error| limit_error(format!("no thread for compiling the script: {error}"), None))?;
        handle
            .join()
            .unwrap_or_else(|_| Err(compile_error("the JavaScript engine failed on this script", None)))
    })
}

fn syntax_error(source: &str, error: &boa_parser::Error) -> FunctionError {
    use boa_parser::Error;
    let at = |span: &boa_ast::Span| {
        let start = span.span().start();
        Some(Position { line: start.line_number(), column: start.column_number() })
    };
    match error {
        Error::AbruptEnd => compile_error("Unexpected end of input", position_of(source, source.len())),
        Error::Expected { span, .. } | Error::Unexpected { span, .. } => {
            compile_error(without_position(error), at(span))
        }
        Error::General { message, position } => compile_error(
            message.to_string(),
            Some(Position { line: position.line_number(), column: position.column_number() }),
        ),
        Error::Lex { .. } | Error::ScopeAnalysis { .. } => {
            let text = error.to_string();
            let position = trailing_position(&text);
            compile_error(without_position(error), position)
        }
    }
}

/// The parser's message without the position at its end, which errors carry by themselves.
fn without_position(error: &boa_parser::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}

/// Reads `.. at line 3, col 14`.
fn trailing_position(text: &str) -> Option<Position> {
    let (_, place) = text.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(", col ")?;
    let column: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Position { line: line.parse().ok()?, column: column.parse().ok()? })
}
