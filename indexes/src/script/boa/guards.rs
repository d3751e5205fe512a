//! Native functions that could take unbounded time or memory, behind checks; and those that would break purity.
//!
//! A guard runs before the engine's own function, looks at the lengths it will work on, refuses what is too long and
//! charges the rest to the step budget. Guards only ever look at data properties.

use super::budget::{self, Reason};
use super::constructors::{no_random, replace_date, replace_regexp};
use super::{big_ints, heritage, natives};
use crate::limits::SCRIPT_LENGTH_MAX;
use crate::script::regex_guard;
use boa_engine::native_function::NativeFunction;
use boa_engine::object::FunctionObjectBuilder;
use boa_engine::object::builtins::{JsArray, JsFunction};
use boa_engine::property::{PropertyDescriptor, PropertyKey};
use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsString, JsValue, js_string};

/// The error constructors, whose prototypes scripts override in objects of their own.
pub(super) const ERROR_NAMES: [&str; 8] = [
    "Error",
    "TypeError",
    "RangeError",
    "SyntaxError",
    "ReferenceError",
    "EvalError",
    "URIError",
    "AggregateError",
];

/// Most arguments of one call made through `apply` or a spread.
const ARGUMENTS_MAX: u64 = 32 * 1024;
/// Most values that `JSON.stringify` may visit.
const STRINGIFY_VALUES_MAX: usize = 200_000;
/// Deepest nesting that `JSON.stringify` may visit.
const STRINGIFY_DEPTH_MAX: usize = 128;

pub(super) type Guard = fn(&JsValue, &[JsValue], &mut Context) -> JsResult<()>;

/// Array methods that only walk over the array itself.
const ARRAY_WALKS: [&str; 25] = [
    "copyWithin",
    "every",
    "fill",
    "filter",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "forEach",
    "includes",
    "indexOf",
    "lastIndexOf",
    "map",
    "reduce",
    "reduceRight",
    "reverse",
    "shift",
    "slice",
    "some",
    "splice",
    "toReversed",
    "toSpliced",
    "with",
    "toString",
    "toLocaleString",
];

/// String methods that only walk over the string itself.
const STRING_WALKS: [&str; 12] = [
    "includes",
    "indexOf",
    "lastIndexOf",
    "normalize",
    "toLowerCase",
    "toUpperCase",
    "toLocaleLowerCase",
    "toLocaleUpperCase",
    "localeCompare",
    "trim",
    "isWellFormed",
    "toWellFormed",
];

/// Lazy helpers of iterators: they would run without ever reaching a guard.
const ITERATOR_HELPERS: [&str; 12] = [
    "map", "filter", "take", "drop", "flatMap", "reduce", "toArray", "forEach", "some", "every", "find",
    "concat",
];

/// Puts everything in place. Must run before the globals are frozen.
///
/// # Errors
/// When the engine fails.
pub(super) fn install(context: &mut Context) -> JsResult<()> {
    let prototype = |name: &str, context: &mut Context| -> JsResult<JsObject> {
        let constructor = global(name, context)?;
        constructor
            .get(js_string!("prototype"), context)?
            .as_object()
            .ok_or_else(|| JsNativeError::error().with_message("a prototype is missing").into())
    };
    let array = prototype("Array", context)?;
    for name in ARRAY_WALKS {
        guard(&array, name, walks_array, context)?;
    }
    for (name, check) in [
        ("push", appends as Guard),
        ("unshift", appends),
        ("concat", concatenates),
        ("join", joins),
        ("flat", flattens),
        ("flatMap", walks_array),
        ("sort", sorts),
        ("toSorted", sorts),
    ] {
        guard(&array, name, check, context)?;
    }
    let string = prototype("String", context)?;
    for name in STRING_WALKS {
        guard(&string, name, walks_string, context)?;
    }
    for (name, check) in [
        ("repeat", repeats as Guard),
        ("padStart", pads),
        ("padEnd", pads),
        ("concat", concatenates_text),
        ("split", splits),
        ("match", matches_text),
        ("matchAll", matches_text),
        ("search", matches_text),
        ("replace", replaces),
        ("replaceAll", replaces),
    ] {
        guard(&string, name, check, context)?;
    }
    bound_results(&array, "flatMap", context)?;
    bound_results(&string, "replace", context)?;
    bound_results(&string, "replaceAll", context)?;
    define(&string, "substr", substr, 2, context)?;
    install_statics(context)?;
    let function = prototype("Function", context)?;
    guard(&function, "apply", applies, context)?;
    guard(&function, "bind", binds, context)?;
    if let Ok(iterator) = prototype("Iterator", context) {
        remove(&iterator, &ITERATOR_HELPERS, context)?;
    }
    let regexp = prototype("RegExp", context)?;
    guard(&regexp, "exec", matches_argument, context)?;
    guard(&regexp, "test", matches_argument, context)?;
    remove(&regexp, &["compile"], context)?;
    remove(&prototype("Object", context)?, &["__proto__", "__defineGetter__", "__defineSetter__"], context)?;
    replace_regexp(&regexp, context)?;
    replace_date(&prototype("Date", context)?, context)
}

fn install_statics(context: &mut Context) -> JsResult<()> {
    let array = global("Array", context)?;
    guard(&array, "from", array_from, context)?;
    remove(&array, &["fromAsync"], context)?;
    let object = global("Object", context)?;
    for name in ["create", "setPrototypeOf"] {
        guard(&object, name, sets_prototype, context)?;
    }
    for name in ["fromEntries", "groupBy"] {
        guard(&object, name, walks_first, context)?;
    }
    for name in ["keys", "values", "entries", "getOwnPropertyNames"] {
        charge_result(&object, name, context)?;
    }
    let reflect = global("Reflect", context)?;
    guard(&reflect, "setPrototypeOf", sets_prototype, context)?;
    guard(&reflect, "apply", reflects, context)?;
    guard(&reflect, "construct", reflects, context)?;
    let json = global("JSON", context)?;
    guard(&json, "stringify", stringifies, context)?;
    guard(&json, "parse", matches_argument, context)?;
    let text = global("String", context)?;
    guard(&text, "raw", raw_text, context)?;
    let math = global("Math", context)?;
    define(&math, "random", no_random, 0, context)
}

pub(super) fn global(name: &str, context: &mut Context) -> JsResult<JsObject> {
    let global = context.global_object();
    global
        .get(JsString::from(name), context)?
        .as_object()
        .ok_or_else(|| JsNativeError::error().with_message("a global is missing").into())
}

fn remove(object: &JsObject, names: &[&str], context: &mut Context) -> JsResult<()> {
    names
        .iter()
        .try_for_each(|name| object.delete_property_or_throw(JsString::from(*name), context).map(|_| ()))
}

pub(super) fn put(
    object: &JsObject,
    name: &str,
    function: JsFunction,
    context: &mut Context,
) -> JsResult<()> {
    let property =
        PropertyDescriptor::builder().value(function).writable(true).enumerable(false).configurable(true);
    object.define_property_or_throw(JsString::from(name), property.build(), context)?;
    Ok(())
}

pub(super) fn define(
    object: &JsObject,
    name: &str,
    body: fn(&JsValue, &[JsValue], &mut Context) -> JsResult<JsValue>,
    length: usize,
    context: &mut Context,
) -> JsResult<()> {
    let function = FunctionObjectBuilder::new(context.realm(), NativeFunction::from_fn_ptr(body))
        .name(JsString::from(name))
        .length(length)
        .build();
    put(object, name, function, context)
}

/// Puts a check before a native function. A function that the engine does not have is left out.
pub(super) fn guard(object: &JsObject, name: &str, check: Guard, context: &mut Context) -> JsResult<()> {
    let Some(original) = object.get(JsString::from(name), context)?.as_object() else { return Ok(()) };
    let length = original.get(js_string!("length"), context)?.to_length(context)?;
    let function = NativeFunction::from_copy_closure_with_captures(
        move |this, arguments, original: &JsObject, context| {
            check(this, arguments, context)?;
            budget::nested(|| original.call(this, arguments, context))
        },
        original,
    );
    let function = FunctionObjectBuilder::new(context.realm(), function)
        .name(JsString::from(name))
        .length(usize::try_from(length).unwrap_or(0))
        .build();
    put(object, name, function, context)
}

/// Charges for the array that a native function gives.
fn charge_result(object: &JsObject, name: &str, context: &mut Context) -> JsResult<()> {
    let Some(original) = object.get(JsString::from(name), context)?.as_object() else { return Ok(()) };
    let function = NativeFunction::from_copy_closure_with_captures(
        |this, arguments, original: &JsObject, context| {
            take(length_of(&first(arguments), context)?)?;
            let result = original.call(this, arguments, context)?;
            take(length_of(&result, context)?)?;
            Ok(result)
        },
        original,
    );
    let function =
        FunctionObjectBuilder::new(context.realm(), function).name(JsString::from(name)).length(1).build();
    put(object, name, function, context)
}

/// Charges what the function argument of a native function returns, before it is put together with the rest.
fn bound_results(object: &JsObject, name: &str, context: &mut Context) -> JsResult<()> {
    let Some(original) = object.get(JsString::from(name), context)?.as_object() else { return Ok(()) };
    let function = NativeFunction::from_copy_closure_with_captures(
        |this, arguments, original: &JsObject, context| {
            let arguments: Vec<JsValue> = arguments
                .iter()
                .map(|argument| match argument.as_object().filter(JsObject::is_callable) {
                    Some(callback) => {
                        natives::native(&js_string!(""), 0, context, charged_callback, callback).into()
                    }
                    None => argument.clone(),
                })
                .collect();
            original.call(this, &arguments, context)
        },
        original,
    );
    let function =
        FunctionObjectBuilder::new(context.realm(), function).name(JsString::from(name)).length(2).build();
    put(object, name, function, context)
}

fn charged_callback(
    this: &JsValue,
    arguments: &[JsValue],
    callback: &JsObject,
    context: &mut Context,
) -> JsResult<JsValue> {
    let result = callback.call(this, arguments, context)?;
    budget::charge_length(length_of(&result, context)?)?;
    Ok(result)
}

/// The length of a string or an array-like object, the digits of a BigInt; 0 for everything else.
fn length_of(value: &JsValue, context: &mut Context) -> JsResult<u64> {
    if let Some(text) = value.as_string() {
        return Ok(text.len() as u64);
    }
    if let Some(number) = value.as_bigint() {
        return Ok(big_ints::digits_max(&number));
    }
    let Some(object) = value.as_object() else { return Ok(0) };
    if object.is_array() {
        return JsArray::from_object(object)?.length(context);
    }
    let property = object.borrow().properties().get(&PropertyKey::from(js_string!("length")));
    match property.as_ref().and_then(PropertyDescriptor::value) {
        Some(length) if length.is_number() => length.to_length(context),
        _ => Ok(0),
    }
}

pub(super) fn first(arguments: &[JsValue]) -> JsValue {
    arguments.first().cloned().unwrap_or_default()
}

/// Refuses and charges at once.
fn take(length: u64) -> JsResult<()> {
    budget::charge(1)?;
    budget::charge_length(length)
}

fn walks_array(this: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<()> {
    take(length_of(this, context)?)
}

/// Sorting compares each element with several others; without a function it compares them as text.
fn sorts(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    let length = length_of(this, context)?;
    take(length)?;
    budget::charge(length)?;
    if !first(arguments).is_undefined() {
        return Ok(());
    }
    let digits = elements(this, context)?.into_iter().filter_map(|element| element.as_bigint());
    budget::charge(digits.map(|number| big_ints::digits_max(&number) / 4).sum())
}

fn walks_first(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    take(length_of(&first(arguments), context)?)
}

fn walks_string(this: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<()> {
    // The engine converts text character by character through its Unicode tables.
    let length = length_of(this, context)?;
    budget::charge(length / 16)?;
    budget::charge_text(length)
}

fn appends(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    let length = length_of(this, context)?.saturating_add(arguments.len() as u64);
    if length > SCRIPT_LENGTH_MAX as u64 { Err(budget::stop(Reason::Length)) } else { Ok(()) }
}

fn sum_of_lengths(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<u64> {
    let mut sum = length_of(this, context)?;
    for argument in arguments {
        sum = sum.saturating_add(length_of(argument, context)?.max(1));
    }
    Ok(sum)
}

fn concatenates(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    take(sum_of_lengths(this, arguments, context)?)
}

fn concatenates_text(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    take(sum_of_lengths(this, arguments, context)?)
}

/// The elements of an array that are there already.
fn elements(this: &JsValue, context: &mut Context) -> JsResult<Vec<JsValue>> {
    let length = length_of(this, context)?;
    take(length)?;
    let Some(object) = this.as_object() else { return Ok(Vec::new()) };
    (0..length).map(|index| object.get(index, context)).collect()
}

fn joins(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    let separator = length_of(&first(arguments), context)?.max(1);
    let mut sum = 0_u64;
    for element in elements(this, context)? {
        let text = element.is_string() || element.is_bigint();
        let length = if text { length_of(&element, context)? } else { 8 };
        sum = sum.saturating_add(length).saturating_add(separator);
    }
    take(sum)
}

fn flattens(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    let depth = arguments.first().map_or(Ok(1.0), |depth| depth.to_number(context))?;
    let mut level = vec![this.clone()];
    let mut levels = 0.0;
    while levels <= depth && !level.is_empty() {
        if levels > 64.0 {
            return Err(budget::stop(Reason::Depth));
        }
        let mut below = Vec::new();
        for array in &level {
            let inner = elements(array, context)?;
            below.extend(inner.into_iter().filter(|value| value.as_object().is_some_and(|o| o.is_array())));
        }
        level = below;
        levels += 1.0;
    }
    Ok(())
}

fn repeats(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    let times = first(arguments).to_length(context)?;
    take(length_of(this, context)?.max(1).saturating_mul(times))
}

fn pads(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    take(first(arguments).to_length(context)?)
}

fn splits(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    let length = length_of(this, context)?;
    take(length)?;
    // Every piece is a string of its own.
    let pieces = if length_of(&first(arguments), context)? == 0 { length } else { length / 4 };
    budget::charge(pieces)
}

pub(super) fn check_pattern(pattern: &JsValue) -> JsResult<()> {
    let Some(text) = pattern.as_string() else { return Ok(()) };
    regex_guard::check(&text.to_std_string_lossy())
        .map_err(|message| JsNativeError::syntax().with_message(message).into())
}

fn matches_text(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    check_pattern(&first(arguments))?;
    take(length_of(this, context)?)
}

fn matches_argument(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    take(length_of(&first(arguments), context)?)
}

fn replaces(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    let length = length_of(this, context)?.saturating_add(1);
    let Some(with) = arguments.get(1).and_then(JsValue::as_string) else { return take(length) };
    // Each `$&`, `` $` `` or `$'` can stand for the whole text.
    let dollars = with.iter().filter(|unit| *unit == u16::from(b'$')).count() as u64;
    let each = (with.len() as u64).saturating_add(dollars.saturating_mul(length));
    // Short texts may grow; the product is a bound that ordinary replacements never reach.
    let most = length.saturating_mul(each.max(1));
    if most > 64 * SCRIPT_LENGTH_MAX as u64 {
        return Err(budget::stop(Reason::Length));
    }
    budget::charge(1 + most / 1024)
}

fn array_from(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    take(length_of(&first(arguments), context)?)
}

fn applies(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    check_arguments(arguments.get(1), context)
}

/// `Reflect.apply(f, this, list)` and `Reflect.construct(f, list)`.
fn reflects(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    check_arguments(arguments.get(1), context)?;
    check_arguments(arguments.get(2), context)
}

/// Refuses spreading what is too long.
///
/// # Errors
/// Uncatchable.
pub(super) fn check_spread(value: &JsValue, context: &mut Context) -> JsResult<()> {
    take(length_of(value, context)?)
}

fn check_arguments(list: Option<&JsValue>, context: &mut Context) -> JsResult<()> {
    let length =
        list.map_or(Ok(0), |list| if list.is_object() { length_of(list, context) } else { Ok(0) })?;
    if length > ARGUMENTS_MAX {
        return Err(budget::stop(Reason::Length));
    }
    take(length)
}

/// A bound function of a bound function of .. would recurse natively when called.
fn binds(this: &JsValue, arguments: &[JsValue], _: &mut Context) -> JsResult<()> {
    let name = this
        .as_object()
        .map(|object| object.borrow().properties().get(&PropertyKey::from(js_string!("name"))));
    let name =
        name.flatten().and_then(|property| property.value().cloned()).and_then(|name| name.as_string());
    if name.is_some_and(|name| name.to_std_string_lossy().starts_with("bound bound bound bound ")) {
        return Err(budget::stop(Reason::Depth));
    }
    take(arguments.len() as u64)
}

fn sets_prototype(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    budget::charge(1)?;
    for argument in arguments.iter().take(2) {
        heritage::made(argument, context)?;
    }
    Ok(())
}

fn raw_text(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    let raw = match first(arguments).as_object() {
        Some(strings) => strings.get(js_string!("raw"), context)?,
        None => JsValue::undefined(),
    };
    take(length_of(&raw, context)?)
}

/// Walks over what `JSON.stringify` would print: a value that is shared is printed each time it is met.
fn stringifies(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<()> {
    let mut todo = vec![(first(arguments), 0_usize)];
    let mut visited = 0_usize;
    let mut size = 0_u64;
    while let Some((value, depth)) = todo.pop() {
        visited += 1;
        if size > SCRIPT_LENGTH_MAX as u64 || visited > STRINGIFY_VALUES_MAX || depth > STRINGIFY_DEPTH_MAX {
            return Err(budget::stop(if depth > STRINGIFY_DEPTH_MAX {
                Reason::Depth
            } else {
                Reason::Length
            }));
        }
        if value.is_string() {
            size = size.saturating_add(length_of(&value, context)?);
            continue;
        }
        let Some(object) = value.as_object() else { continue };
        for key in object.own_property_keys(context)? {
            size += 1;
            let property = object.borrow().properties().get(&key);
            if let Some(inner) = property.as_ref().and_then(PropertyDescriptor::value)
                && (inner.is_object() || inner.is_string())
            {
                todo.push((inner.clone(), depth + 1));
            }
        }
    }
    take(size.saturating_add(visited as u64))
}

/// `substr`, which the engine only has in its browser mode.
fn substr(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = this.require_object_coercible()?.to_string(context)?;
    let size = text.len();
    let start = first(arguments).to_integer_or_infinity(context)?.clamp_finite(-(size as i64), size as i64);
    let start = if start < 0 {
        size.saturating_sub(usize::try_from(-start).unwrap_or(size))
    } else {
        usize::try_from(start).unwrap_or(size)
    };
    let length = match arguments.get(1) {
        None => size,
        Some(length) if length.is_undefined() => size,
        Some(length) => {
            usize::try_from(length.to_integer_or_infinity(context)?.clamp_finite(0, size as i64)).unwrap_or(0)
        }
    };
    let end = start.saturating_add(length).min(size);
    let units: Vec<u16> = text.iter().skip(start).take(end.saturating_sub(start)).collect();
    Ok(JsString::from(units.as_slice()).into())
}
