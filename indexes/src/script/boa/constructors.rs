//! Constructors and functions that would break purity, or need a look at their arguments first: `Date` without the
//! clock, `RegExp` without dangerous patterns, no `Math.random`. Patches are given a time and a seed, scripts of queries
//! the time of their query, maps that of their document's last change.

use super::ambient;
use super::guards::{check_pattern, define, first, global, put};
use boa_engine::native_function::NativeFunction;
use boa_engine::object::FunctionObjectBuilder;
use boa_engine::object::builtins::JsFunction;
use boa_engine::property::PropertyDescriptor;
use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsString, JsValue, js_string};

pub(super) fn no_random(_: &JsValue, _: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    ambient::random().map_or_else(|| impure("Math.random()"), |number| Ok(number.into()))
}

fn impure(what: &str) -> JsResult<JsValue> {
    let message = format!("an index must be a pure function: {what} is not available");
    Err(JsNativeError::typ().with_message(message).into())
}

/// For whom there is no time.
fn timeless(what: &str) -> JsResult<JsValue> {
    impure(&format!("{what} is the time of the document's last change in a map, and elsewhere it"))
}

fn no_now(_: &JsValue, _: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    ambient::now_ms().map_or_else(|| timeless("Date.now()"), |now| Ok(now.into()))
}

/// `Date` without the clock.
pub(super) fn replace_date(prototype: &JsObject, context: &mut Context) -> JsResult<()> {
    let original = global("Date", context)?;
    let function = NativeFunction::from_copy_closure_with_captures(
        |new_target, arguments, original: &JsObject, context| {
            if new_target.is_undefined() {
                return impure("Date() without new");
            }
            let target = new_target.as_object();
            if arguments.is_empty() {
                return match ambient::now_ms() {
                    Some(now) => Ok(original.construct(&[now.into()], target.as_ref(), context)?.into()),
                    None => timeless("new Date() without arguments"),
                };
            }
            match arguments {
                [only] => Ok(original.construct(&[milliseconds(only)], target.as_ref(), context)?.into()),
                several => Ok(original.construct(several, target.as_ref(), context)?.into()),
            }
        },
        original.clone(),
    );
    let date = replace_constructor("Date", 7, function, prototype, context)?;
    if let Some(utc) = original.get(js_string!("UTC"), context)?.as_object().and_then(JsFunction::from_object)
    {
        put(&date, "UTC", utc, context)?;
    }
    let parse = original.get(js_string!("parse"), context)?;
    let parse = NativeFunction::from_copy_closure_with_captures(
        |this, arguments, parse: &JsValue, context| match parse.as_callable() {
            Some(parse) => parse.call(this, &[milliseconds(&first(arguments))], context),
            None => Ok(JsValue::nan()),
        },
        parse,
    );
    let parse =
        FunctionObjectBuilder::new(context.realm(), parse).name(js_string!("parse")).length(1).build();
    put(&date, "parse", parse, context)?;
    define(&date, "now", no_now, 0, context)
}

/// A time in text with at most three digits behind the second: dates are stored with seven, and the engine's parser
/// takes three. Times count whole milliseconds in JavaScript, so nothing is lost that it could keep.
fn milliseconds(value: &JsValue) -> JsValue {
    let Some(text) = value.as_string().and_then(|text| text.to_std_string().ok()) else {
        return value.clone();
    };
    let Some((before, fraction)) = text.split_once('.').filter(|(before, _)| before.contains('T')) else {
        return value.clone();
    };
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    match (fraction.get(..3), fraction.get(digits..)) {
        (Some(kept), Some(zone)) if digits > 3 => JsString::from(format!("{before}.{kept}{zone}")).into(),
        _ => value.clone(),
    }
}

/// `RegExp` that refuses dangerous patterns.
pub(super) fn replace_regexp(prototype: &JsObject, context: &mut Context) -> JsResult<()> {
    let original = global("RegExp", context)?;
    let function = NativeFunction::from_copy_closure_with_captures(
        |new_target, arguments, original: &JsObject, context| {
            check_pattern(&first(arguments))?;
            match new_target.as_object().filter(JsObject::is_constructor) {
                Some(target) => Ok(original.construct(arguments, Some(&target), context)?.into()),
                None => Ok(original.construct(arguments, None, context)?.into()),
            }
        },
        original.clone(),
    );
    replace_constructor("RegExp", 2, function, prototype, context)?;
    Ok(())
}

fn replace_constructor(
    name: &str,
    length: usize,
    function: NativeFunction,
    prototype: &JsObject,
    context: &mut Context,
) -> JsResult<JsObject> {
    let constructor = FunctionObjectBuilder::new(context.realm(), function)
        .name(JsString::from(name))
        .length(length)
        .constructor(true)
        .build();
    let fixed = PropertyDescriptor::builder()
        .value(prototype.clone())
        .writable(false)
        .enumerable(false)
        .configurable(false);
    constructor.define_property_or_throw(js_string!("prototype"), fixed.build(), context)?;
    put(prototype, "constructor", constructor.clone(), context)?;
    let global = context.global_object();
    put(&global, name, constructor.clone(), context)?;
    Ok(JsObject::clone(&constructor))
}
