//! Prototype chains stay short: the engine follows them recursively.

use super::budget::{self, Reason};
use boa_engine::{Context, JsObject, JsResult, JsValue};

/// Most prototypes above an object.
const PROTOTYPES_MAX: usize = 64;

/// Gives the value back after checking the prototypes above it, and those a constructor hands to its objects.
///
/// # Errors
/// Uncatchable, when there are too many.
pub(super) fn made(value: &JsValue, context: &mut Context) -> JsResult<JsValue> {
    if let Some(object) = value.as_object() {
        check(&object)?;
        if object.is_constructor()
            && let Some(prototype) = object.get(boa_engine::js_string!("prototype"), context)?.as_object()
        {
            check(&prototype)?;
        }
    }
    Ok(value.clone())
}

fn check(object: &JsObject) -> JsResult<()> {
    let mut above = object.prototype();
    for _ in 0..PROTOTYPES_MAX {
        match above {
            Some(prototype) => above = prototype.prototype(),
            None => return Ok(()),
        }
    }
    Err(budget::stop(Reason::Depth))
}
