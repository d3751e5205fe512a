//! Short ways to build the crate's [`FunctionError`] from this tier.

use crate::function::{FunctionError, FunctionErrorKind, Position};

/// The text is not JavaScript that an index may use, or throws while it is loaded.
pub(super) fn compile_error(message: impl Into<String>, position: Option<Position>) -> FunctionError {
    FunctionError { kind: FunctionErrorKind::Compile, message: message.into(), position }
}

/// The script breaks a rule of the index dialect.
pub(super) fn definition_error(message: impl Into<String>, position: Option<Position>) -> FunctionError {
    FunctionError { kind: FunctionErrorKind::Definition, message: message.into(), position }
}

/// The group-by key is none that the dialect has.
pub(super) fn group_key_error(message: impl Into<String>) -> FunctionError {
    FunctionError { kind: FunctionErrorKind::GroupKey, message: message.into(), position: None }
}

/// A function of the dialect is called wrongly.
pub(super) fn arguments_error(message: impl Into<String>, position: Option<Position>) -> FunctionError {
    FunctionError { kind: FunctionErrorKind::Arguments, message: message.into(), position }
}

/// A call failed.
pub(super) fn run_error(message: impl Into<String>, position: Option<Position>) -> FunctionError {
    FunctionError { kind: FunctionErrorKind::Run, message: message.into(), position }
}

/// A call used more than it may.
pub(super) fn limit_error(message: impl Into<String>, position: Option<Position>) -> FunctionError {
    FunctionError { kind: FunctionErrorKind::Limit, message: message.into(), position }
}

/// Line and column of a byte offset in a script, both from 1, the column in characters.
pub(super) fn position_of(source: &str, offset: usize) -> Option<Position> {
    let before = source.get(..offset)?;
    let breaks = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or("").chars().count();
    Some(Position { line: u32::try_from(breaks + 1).ok()?, column: u32::try_from(column + 1).ok()? })
}
