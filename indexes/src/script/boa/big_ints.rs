//! BigInts within bounds: the operators that can make large ones, the conversions that take long, the constructor.
//!
//! Addition, subtraction, multiplication and division are the engine's own and are looked at afterwards (their operands
//! are bounded, so their results are nearly). `**`, `<<` and `>>` are looked at before. Comparing a BigInt with a string
//! reads the string as a number, which takes time with the square of its length, so long strings cost steps.
//!
//! A BigInt and anything else do not mix, as in JavaScript: `1n + 1`, `1n + null` and `1n + undefined` throw, and so do
//! `BigInt(null)` and `BigInt(undefined)`. A missing field must be given a value: `BigInt(d.count ?? 0)`.

use super::budget::{self, Reason};
use super::guards::{Guard, define, first, global, guard, put};
use crate::limits::SCRIPT_BIG_INT_BITS_MAX;
use boa_engine::native_function::NativeFunction;
use boa_engine::object::FunctionObjectBuilder;
use boa_engine::property::PropertyDescriptor;
use boa_engine::value::PreferredType;
use boa_engine::{Context, JsBigInt, JsNativeError, JsObject, JsResult, JsValue, js_string};
use magpie_store::json::BigInt;

/// Strings up to this length are read as numbers without a charge, in UTF-16 units.
const FREE_TEXT_LENGTH: u64 = 256;
/// Bits that cost one step to make.
const BITS_PER_STEP: u64 = 256;

/// Puts the checks before the constructor and its functions. Must run before the globals are frozen.
///
/// # Errors
/// When the engine fails.
pub(super) fn install(context: &mut Context) -> JsResult<()> {
    let original = global("BigInt", context)?;
    let function = NativeFunction::from_copy_closure_with_captures(
        |_, arguments, original: &JsObject, context| {
            let value = first(arguments).to_primitive(context, PreferredType::Number)?;
            charge_reading(&value)?;
            let made = original.call(&JsValue::undefined(), &[value], context)?;
            checked(made)
        },
        original.clone(),
    );
    let constructor =
        FunctionObjectBuilder::new(context.realm(), function).name(js_string!("BigInt")).length(1).build();
    let prototype = original.get(js_string!("prototype"), context)?;
    let fixed = PropertyDescriptor::builder()
        .value(prototype.clone())
        .writable(false)
        .enumerable(false)
        .configurable(false);
    constructor.define_property_or_throw(js_string!("prototype"), fixed.build(), context)?;
    if let Some(prototype) = prototype.as_object() {
        put(&prototype, "constructor", constructor.clone(), context)?;
        guard(&prototype, "toString", prints as Guard, context)?;
        guard(&prototype, "toLocaleString", prints, context)?;
    }
    define(&constructor, "asIntN", as_int_n, 2, context)?;
    define(&constructor, "asUintN", as_uint_n, 2, context)?;
    let globals = context.global_object();
    put(&globals, "BigInt", constructor, context)
}

/// More decimal digits than the number has, its sign included.
pub(super) fn digits_max(number: &JsBigInt) -> u64 {
    number.as_inner().bits() / 3 + 2
}

/// Whether a BigInt may exist.
pub(super) fn is_allowed(number: &BigInt) -> bool {
    number.bits() <= SCRIPT_BIG_INT_BITS_MAX
}

/// Refuses a BigInt beyond the limit, and charges for the others by their size.
///
/// # Errors
/// Uncatchable.
pub(super) fn check(number: &JsBigInt) -> JsResult<()> {
    if !is_allowed(number.as_inner()) {
        return Err(budget::stop(Reason::BigInt));
    }
    budget::charge(number.as_inner().bits() / BITS_PER_STEP)
}

fn checked(value: JsValue) -> JsResult<JsValue> {
    if let Some(number) = value.as_bigint() {
        check(&number)?;
    }
    Ok(value)
}

/// Charges for reading a string as a BigInt.
fn charge_reading(value: &JsValue) -> JsResult<()> {
    let length = value.as_string().map_or(0, |text| text.len() as u64);
    if length <= FREE_TEXT_LENGTH {
        return Ok(());
    }
    budget::charge(length.saturating_mul(length) / (FREE_TEXT_LENGTH * FREE_TEXT_LENGTH))
}

/// Printing takes time with the square of the size.
fn prints(this: &JsValue, _: &[JsValue], _: &mut Context) -> JsResult<()> {
    let bits = this.as_bigint().map_or(SCRIPT_BIG_INT_BITS_MAX, |number| number.as_inner().bits());
    budget::charge(1 + bits / 128)
}

fn as_int_n(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    wrapped(arguments, true, context)
}

fn as_uint_n(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    wrapped(arguments, false, context)
}

/// The lowest bits of a BigInt, with or without a sign.
fn wrapped(arguments: &[JsValue], signed: bool, context: &mut Context) -> JsResult<JsValue> {
    let bits = first(arguments).to_index(context)?;
    let value = arguments.get(1).cloned().unwrap_or_default();
    let value = value.to_primitive(context, PreferredType::Number)?;
    charge_reading(&value)?;
    let number = value.to_bigint(context)?;
    if bits > SCRIPT_BIG_INT_BITS_MAX {
        return Err(budget::stop(Reason::BigInt));
    }
    let modulus = BigInt::from(1) << bits;
    let low = JsBigInt::mod_floor(&number, &JsBigInt::new(modulus.clone()));
    let negative = signed && bits > 0 && *low.as_inner() >= BigInt::from(1) << (bits - 1);
    checked(if negative { JsBigInt::sub(&low, &JsBigInt::new(modulus)).into() } else { low.into() })
}

/// Both operands of an operator, as numbers or BigInts.
fn operands(arguments: &[JsValue], context: &mut Context) -> JsResult<(JsValue, JsValue)> {
    let left = first(arguments).to_primitive(context, PreferredType::Number)?;
    let right = arguments.get(1).cloned().unwrap_or_default().to_primitive(context, PreferredType::Number)?;
    Ok((left, right))
}

/// `a ** b`.
pub(super) fn power(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (base, exponent) = operands(arguments, context)?;
    if let (Some(base), Some(exponent)) = (base.as_bigint(), exponent.as_bigint()) {
        // 0, 1 and -1 stay small, and negative exponents are refused by the engine.
        let least = base.as_inner().bits().saturating_sub(1);
        let exponent = exponent.as_inner();
        if least > 0 && *exponent > BigInt::from(SCRIPT_BIG_INT_BITS_MAX / least) {
            return Err(budget::stop(Reason::BigInt));
        }
    }
    checked(base.pow(&exponent, context)?)
}

/// `a << b`.
pub(super) fn shift_left(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (number, by) = operands(arguments, context)?;
    if let (Some(shifted), Some(by)) = (number.as_bigint(), by.as_bigint()) {
        // The engine refuses to shift by so much whatever it shifts.
        if shifted.as_inner().bits() == 0 {
            return Ok(number);
        }
        check_shift(&shifted, by.as_inner().clone())?;
    }
    checked(number.shl(&by, context)?)
}

/// `a >> b`.
pub(super) fn shift_right(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (number, by) = operands(arguments, context)?;
    if let (Some(number), Some(by)) = (number.as_bigint(), by.as_bigint()) {
        check_shift(&number, -by.as_inner())?;
    }
    checked(number.shr(&by, context)?)
}

/// Shifting left by a negative number shifts right, which makes nothing larger.
fn check_shift(number: &JsBigInt, left_by: BigInt) -> JsResult<()> {
    if number.as_inner().bits() == 0 {
        return Ok(());
    }
    let room = SCRIPT_BIG_INT_BITS_MAX.saturating_sub(number.as_inner().bits());
    if left_by > BigInt::from(room) { Err(budget::stop(Reason::BigInt)) } else { Ok(()) }
}

/// The comparisons that convert their operands; the first argument tells which, see
/// [`crate::script::dialect::names::COMPARE`].
pub(super) fn compare(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let [which, left, right] = arguments else {
        return Err(JsNativeError::error().with_message("a comparison has two sides").into());
    };
    let (mut left, mut right) = (left.clone(), right.clone());
    let which = which.as_i32().unwrap_or(0);
    let equality = which < 2;
    if !(left.is_number() && right.is_number()) {
        let hint = if equality { PreferredType::Default } else { PreferredType::Number };
        // Two objects are equal when they are the same one; nothing equals null and undefined but themselves.
        let converts = |value: &JsValue, other: &JsValue| {
            value.is_object() && !(equality && (other.is_object() || other.is_null_or_undefined()))
        };
        let (convert_left, convert_right) = (converts(&left, &right), converts(&right, &left));
        if convert_left {
            left = left.to_primitive(context, hint)?;
        }
        if convert_right {
            right = right.to_primitive(context, hint)?;
        }
        if left.is_bigint() || right.is_bigint() {
            charge_reading(&left)?;
            charge_reading(&right)?;
        }
    }
    let holds = match which {
        0 => left.equals(&right, context)?,
        1 => !left.equals(&right, context)?,
        2 => left.lt(&right, context)?,
        3 => left.le(&right, context)?,
        4 => left.gt(&right, context)?,
        _ => left.ge(&right, context)?,
    };
    Ok(holds.into())
}
