//! From the engine's errors to the crate's, with positions in the user's script.

use super::Plan;
use super::budget;
use crate::function::{FunctionError, FunctionErrorKind, Position};
use boa_engine::error::{EngineError, RuntimeLimitError};
use boa_engine::{Context, JsError};

/// The engine's words for calling what is no function.
const NOT_CALLABLE: &str = "not a callable function";

/// The engine's words for arithmetic with a BigInt and something else.
const MIXED: &str = "cannot mix BigInt and other types, use explicit conversions";

/// Translates an error of a call.
pub(super) fn function_error(error: JsError, plan: &Plan, context: &mut Context) -> FunctionError {
    let place = origin(&error, plan);
    let (script, position, method) = match place {
        Some((script, position, method)) => (Some(script), Some(position), method),
        None => (None, None, None),
    };
    let (kind, mut message) = match error.as_engine() {
        Some(EngineError::RuntimeLimit(limit)) => (FunctionErrorKind::Limit, limit_message(limit)),
        Some(other) => (FunctionErrorKind::Run, other.to_string()),
        None => (FunctionErrorKind::Run, thrown_message(&error, context)),
    };
    if message.contains(NOT_CALLABLE)
        && let Some(method) = method
    {
        message = format!("Property '{method}' of object is not a function");
    }
    if message.ends_with(MIXED) {
        message.push_str(
            ": BigInt(x ?? 0) for what may be a number, null or missing; Number(x) to go on without exact digits",
        );
    }
    if let Some(label) = script.and_then(|script| plan.labels.get(script)) {
        message = format!("{message} in {label}");
    }
    FunctionError { kind, message, position }
}

fn limit_message(limit: &RuntimeLimitError) -> String {
    match (budget::reason(), limit) {
        (Some(reason), _) => reason.message(),
        (None, RuntimeLimitError::Recursion | RuntimeLimitError::StackSize) => {
            "The recursion is forbidden by script host.".to_owned()
        }
        (None, _) => budget::Reason::Steps.message(),
    }
}

/// The message of an error without its position.
pub(super) fn message(error: &JsError, context: &mut Context) -> String {
    match error.try_native(context) {
        Ok(native) => native.message().to_owned(),
        Err(_) => thrown_message(error, context),
    }
}

/// What was thrown: `Error: text` for errors, the value itself for everything else.
fn thrown_message(error: &JsError, context: &mut Context) -> String {
    if let Ok(native) = error.try_native(context) {
        let kind = native.kind().to_string();
        let message = native.message();
        return if message.is_empty() { kind } else { format!("{kind}: {message}") };
    }
    match error.as_opaque() {
        Some(value) => super::from_js::describe(value, context),
        None => error.to_string(),
    }
}

/// Where the error happened: script, position, and the method that was called there.
fn origin(error: &JsError, plan: &Plan) -> Option<(usize, Position, Option<String>)> {
    let text = error.to_string();
    let (line, column) =
        text.lines().filter(|line| line.trim_start().starts_with("at ")).find_map(trailing_place)?;
    let mark = plan.program.origin(line, column)?;
    Some((mark.script, mark.position, mark.method.as_deref().map(str::to_owned)))
}

/// Reads `.. (name:12:34)`; native frames have other endings.
fn trailing_place(line: &str) -> Option<(u32, u32)> {
    let inner = line.trim_end().strip_suffix(')')?;
    let (rest, column) = inner.rsplit_once(':')?;
    let (_, line) = rest.rsplit_once(':')?;
    Some((line.parse().ok()?, column.parse().ok()?))
}
