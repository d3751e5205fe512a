//! Freezing everything reachable, so that no call can leave anything for the next one.

use super::natives::native;
use boa_engine::builtins::error::Error as ErrorData;
use boa_engine::builtins::regexp::RegExp;
use boa_engine::object::IntegrityLevel;
use boa_engine::property::{PropertyDescriptor, PropertyKey};
use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsString, JsSymbol, JsValue, js_string};
use std::collections::HashSet;

/// Freezes the objects and all they reach through properties, accessors and prototypes, except what is in `frozen`
/// already; adds what it froze.
///
/// # Errors
/// When the engine fails; cannot happen with ordinary objects.
pub(super) fn freeze_all(
    roots: Vec<JsObject>,
    frozen: &mut HashSet<JsObject>,
    context: &mut Context,
) -> JsResult<()> {
    walk(roots, frozen, context, |object, context| {
        object.set_integrity_level(IntegrityLevel::Frozen, context)?;
        Ok(())
    })
}

/// Freezes what the scripts keep between calls.
///
/// # Errors
/// A type error naming the kind of value when freezing cannot hold it still.
pub(super) fn freeze_kept(
    roots: Vec<JsObject>,
    frozen: &mut HashSet<JsObject>,
    context: &mut Context,
) -> JsResult<()> {
    walk(roots, frozen, context, |object, context| {
        if let Some(kind) = changeable(object, context)? {
            let message = format!(
                "the script keeps {kind} outside of its functions, which could change from one call to the next: an \
                 index must be a pure function; make it inside the function that uses it, or use a plain object"
            );
            return Err(JsNativeError::typ().with_message(message).into());
        }
        object.set_integrity_level(IntegrityLevel::Frozen, context)?;
        Ok(())
    })
}

fn walk(
    roots: Vec<JsObject>,
    seen: &mut HashSet<JsObject>,
    context: &mut Context,
    visit: impl Fn(&JsObject, &mut Context) -> JsResult<()>,
) -> JsResult<()> {
    let mut todo = roots;
    while let Some(object) = todo.pop() {
        if !seen.insert(object.clone()) {
            continue;
        }
        todo.extend(object.prototype());
        for key in object.own_property_keys(context)? {
            let Some(property) = object.borrow().properties().get(&key) else { continue };
            for value in [property.value(), property.get(), property.set()].into_iter().flatten() {
                todo.extend(value.as_object());
            }
        }
        visit(&object, context)?;
    }
    Ok(())
}

/// The kind of an object whose inside changes although it is frozen; `None` for the others.
fn changeable(object: &JsObject, context: &mut Context) -> JsResult<Option<&'static str>> {
    if object.is_ordinary() || object.is_array() || object.is_callable() || object.is::<ErrorData>() {
        return Ok(None);
    }
    if object.is::<RegExp>() {
        let flags = object.get(js_string!("flags"), context)?.to_string(context)?.to_std_string_lossy();
        let moves = flags.contains('g') || flags.contains('y');
        return Ok(moves.then_some("a regular expression with the flag g or y"));
    }
    Ok(Some("a value that can change (a Map, Set, Date, iterator ..)"))
}

/// Makes the data properties of a prototype accessors, so that objects below it can still have properties of these
/// names by assignment when the prototype is frozen. JavaScript refuses that for read-only data properties.
///
/// # Errors
/// When the engine fails.
pub(super) fn allow_overriding(prototype: &JsObject, context: &mut Context) -> JsResult<()> {
    for key in prototype.own_property_keys(context)? {
        let Some(property) = prototype.borrow().properties().get(&key) else { continue };
        let Some(value) = property.value().cloned() else { continue };
        let name = key_value(&key);
        let get =
            native(&js_string!("get"), 0, context, |_, _, captured: &JsValue, _| Ok(captured.clone()), value);
        let set = native(
            &js_string!("set"),
            1,
            context,
            |this, arguments, captured: &(JsObject, JsValue), context| {
                let (owner, name) = captured;
                let target = this.as_object().filter(|target| !JsObject::equals(target, owner));
                let Some(target) = target else {
                    return Err(JsNativeError::typ().with_message("cannot change a frozen prototype").into());
                };
                let key = name.to_property_key(context)?;
                let value = arguments.first().cloned().unwrap_or_default();
                target.create_data_property_or_throw(key, value, context)?;
                Ok(JsValue::undefined())
            },
            (prototype.clone(), name),
        );
        let accessor =
            PropertyDescriptor::builder().get(get).set(set).enumerable(false).configurable(true).build();
        prototype.define_property_or_throw(key, accessor, context)?;
    }
    Ok(())
}

fn key_value(key: &PropertyKey) -> JsValue {
    match key {
        PropertyKey::String(name) => JsValue::from(name.clone()),
        PropertyKey::Symbol(symbol) => JsValue::from(JsSymbol::clone(symbol)),
        PropertyKey::Index(index) => JsValue::from(JsString::from(index.get().to_string())),
    }
}
