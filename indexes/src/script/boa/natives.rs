//! The functions of RavenDB's dialect: registration, document id and metadata, and the small helpers.

use super::{big_ints, budget, counters, exchanges, guards, heritage, loads, patch, to_js};
use crate::definition::Numbers;
use crate::script::rewrite::Rewritten;
use boa_engine::native_function::NativeFunction;
use boa_engine::object::builtins::{JsArray, JsFunction, JsProxy};
use boa_engine::object::{FunctionObjectBuilder, IntegrityLevel};
use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsString, JsValue, js_string};
use boa_gc::Trace;
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use std::cell::RefCell;

/// What a script registered with one `map(..)`, unchecked.
pub(super) struct MapCall {
    pub collection: Option<JsValue>,
    pub function: Option<JsValue>,
}

/// What the scripts registered.
#[derive(Default)]
pub(super) struct Registration {
    pub maps: Vec<MapCall>,
    pub reduce: Option<JsFunction>,
    /// Every function that was registered to finalize; more than one is an error.
    pub finalizes: Vec<JsFunction>,
    /// Whether registering is still possible: only while the scripts are loaded.
    open: bool,
}

/// The document that is being mapped.
struct CurrentDocument {
    object: JsObject,
    id: String,
    metadata: Object,
    metadata_object: Option<JsObject>,
}

thread_local! {
    static REGISTRATION: RefCell<Registration> = RefCell::default();
    static CURRENT: RefCell<Option<CurrentDocument>> = const { RefCell::new(None) };
}

/// Makes a native function that holds a value of the engine.
pub(super) fn native<T: Trace + 'static>(
    name: &JsString,
    length: usize,
    context: &mut Context,
    body: fn(&JsValue, &[JsValue], &T, &mut Context) -> JsResult<JsValue>,
    captured: T,
) -> JsFunction {
    let function = NativeFunction::from_copy_closure_with_captures(body, captured);
    FunctionObjectBuilder::new(context.realm(), function).name(name.clone()).length(length).build()
}

pub(super) fn plain(
    name: &str,
    length: usize,
    context: &mut Context,
    body: fn(&JsValue, &[JsValue], &mut Context) -> JsResult<JsValue>,
) -> JsFunction {
    let function = NativeFunction::from_fn_ptr(body);
    FunctionObjectBuilder::new(context.realm(), function).name(JsString::from(name)).length(length).build()
}

/// The values of the program's parameters, in the order of [`crate::script::dialect::names::PARAMETERS`], and for a patch
/// those of [`crate::script::dialect::names::PATCH_PARAMETERS`] behind them; at the end
/// those of [`crate::script::dialect::names::VALUE_PARAMETERS`] where they may be read.
pub(super) fn parameters(program: &Rewritten, context: &mut Context) -> JsResult<Vec<JsValue>> {
    let for_patch = program.patch;
    let process = JsObject::with_object_proto(context.intrinsics());
    let environment = JsObject::with_object_proto(context.intrinsics());
    environment.create_data_property_or_throw(js_string!("EXEC_ENV"), js_string!("RavenDB"), context)?;
    process.create_data_property_or_throw(js_string!("env"), environment, context)?;
    let none = JsObject::with_null_proto();
    none.set_integrity_level(IntegrityLevel::Frozen, context)?;
    let none = if for_patch { patch::nothing_but_nulls(none, context)? } else { none };
    let nothing = plain("nothing", 0, context, |_, _, _| Ok(JsValue::undefined()));
    let methods = JsObject::with_null_proto();
    methods.create_data_property_or_throw(js_string!("nothing"), nothing.clone(), context)?;
    // Every property of this proxy is the function that does nothing. Scripts never get hold of the proxy itself.
    let methods = JsProxy::builder(methods)
        .get(|_, arguments, context| match arguments.first().and_then(JsValue::as_object) {
            Some(target) => target.get(js_string!("nothing"), context),
            None => Ok(JsValue::undefined()),
        })
        .build(context)?;
    // The engine remembers where a method was found by the shape of the object. With the prototype that plain objects
    // have, the proxy had the shape of `{}`, and `{}.toString` was taken for the proxy's own.
    methods.set_prototype(None);
    let mut parameters = vec![
        plain("step", 0, context, step).into(),
        plain("iterate", 1, context, iterate).into(),
        plain("list", 1, context, list).into(),
        plain("made", 1, context, made).into(),
        plain("text", 1, context, text).into(),
        plain("power", 2, context, big_ints::power).into(),
        plain("shiftLeft", 2, context, big_ints::shift_left).into(),
        plain("shiftRight", 2, context, big_ints::shift_right).into(),
        plain("compare", 3, context, big_ints::compare).into(),
        plain("finalize", 1, context, finalize).into(),
        none.into(),
        plain("way", 2, context, way).into(),
        methods.into(),
        nothing.into(),
        plain("map", 2, context, map).into(),
        plain("groupBy", 1, context, group_by).into(),
        plain("id", 1, context, id).into(),
        plain("getMetadata", 1, context, metadata).into(),
        plain("metadataFor", 1, context, metadata).into(),
        plain("createField", 3, context, create_field).into(),
        plain("createSpatialField", 2, context, create_spatial_field).into(),
        plain("boost", 2, context, boost).into(),
        plain("tryConvertToNumber", 1, context, try_convert_to_number).into(),
        plain("recurse", 2, context, recurse).into(),
        plain("load", 2, context, if for_patch { patch::load } else { loads::load }).into(),
        loads::no_tracking(context)?.into(),
        process.into(),
    ];
    if for_patch {
        parameters.extend(patch::parameters(context)?);
    }
    if program.reads_values {
        parameters.push(exchanges::function(context).into());
        parameters.push(counters::function(context).into());
    }
    Ok(parameters)
}

/// `way(root, ...names)`: what the chain `root.a.b` is. A member of what is missing is null, as are its members; a member
/// of null is missing, as are its members.
fn way(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let Some((root, names)) = arguments.split_first() else { return Ok(JsValue::undefined()) };
    let mut at = root.clone();
    for name in names {
        if at.is_undefined() {
            return Ok(JsValue::null());
        }
        if at.is_null() {
            return Ok(JsValue::undefined());
        }
        let name = name.to_property_key(context)?;
        at = at.to_object(context)?.get(name, context)?;
    }
    Ok(at)
}

/// Opens the registration for the scripts that are loaded next.
pub(super) fn open_registration() {
    REGISTRATION.with_borrow_mut(|registration| {
        *registration = Registration { open: true, ..Registration::default() }
    });
}

/// Takes what was registered; later registrations are refused.
pub(super) fn take_registration() -> Registration {
    REGISTRATION.with_borrow_mut(std::mem::take)
}

/// Sets the document that `id()` and `getMetadata()` know without looking into it.
pub(super) fn current_document(object: &JsObject, document: &Document) {
    current(object, document.id.as_str(), to_js::metadata(document));
}

/// [`current_document`], from its parts.
pub(super) fn current(object: &JsObject, id: &str, metadata: Object) {
    let current =
        CurrentDocument { object: object.clone(), id: id.to_owned(), metadata, metadata_object: None };
    CURRENT.with_borrow_mut(|place| *place = Some(current));
}

/// Ends what [`current_document`] began; the engine's objects must not outlive their context.
pub(super) fn forget_document() {
    CURRENT.with_borrow_mut(|place| *place = None);
}

fn step(_: &JsValue, arguments: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    let weight = arguments.first().and_then(JsValue::as_i32).map_or(0, i32::unsigned_abs);
    budget::charge(1 + u64::from(weight))?;
    Ok(JsValue::undefined())
}

fn map(_: &JsValue, arguments: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    let given = |index: usize| arguments.get(index).filter(|value| !value.is_null_or_undefined()).cloned();
    let call = MapCall { collection: given(0), function: given(1) };
    REGISTRATION.with_borrow_mut(|registration| {
        if !registration.open {
            return Err(JsNativeError::typ()
                .with_message("map() can only be called while the script is loaded")
                .into());
        }
        registration.maps.push(call);
        Ok(JsValue::undefined())
    })
}

fn group_by(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let result = JsObject::with_object_proto(context.intrinsics());
    let aggregate = plain("aggregate", 1, context, aggregate);
    result.create_data_property_or_throw(js_string!("aggregate"), aggregate, context)?;
    Ok(result.into())
}

fn aggregate(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let function = registered(arguments, "aggregate() needs a function: aggregate(g => ({ .. }))")?;
    register(|registration| registration.reduce = Some(function))?;
    let result = JsObject::with_object_proto(context.intrinsics());
    let finalize = plain("finalize", 1, context, finalize);
    result.create_data_property_or_throw(js_string!("finalize"), finalize, context)?;
    Ok(result.into())
}

fn finalize(_: &JsValue, arguments: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    let function = registered(arguments, "finalize() needs a function: finalize(r => ({ .. }))")?;
    register(|registration| registration.finalizes.push(function))?;
    Ok(JsValue::undefined())
}

fn registered(arguments: &[JsValue], otherwise: &'static str) -> JsResult<JsFunction> {
    let function = arguments.first().and_then(JsValue::as_object).and_then(JsFunction::from_object);
    function.ok_or_else(|| JsNativeError::typ().with_message(otherwise).into())
}

fn register(take: impl FnOnce(&mut Registration)) -> JsResult<()> {
    REGISTRATION.with_borrow_mut(|registration| {
        if !registration.open {
            let message = "groupBy() can only be called while the script is loaded";
            return Err(JsNativeError::typ().with_message(message).into());
        }
        take(registration);
        Ok(())
    })
}

/// The id of a document: the one being mapped, or any object with `@metadata`.
pub(super) fn id(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let Some(object) = arguments.first().and_then(JsValue::as_object) else { return Ok(JsValue::null()) };
    let known = CURRENT.with_borrow(|current| {
        current
            .as_ref()
            .filter(|current| JsObject::equals(&current.object, &object))
            .map(|current| JsString::from(current.id.as_str()))
    });
    if let Some(known) = known {
        return Ok(known.into());
    }
    match object.get(js_string!("@metadata"), context)?.as_object() {
        Some(metadata) => {
            let id = metadata.get(js_string!("@id"), context)?;
            Ok(if id.is_undefined() { JsValue::null() } else { id })
        }
        None => Ok(JsValue::null()),
    }
}

fn metadata(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let Some(object) = arguments.first().and_then(JsValue::as_object) else { return Ok(JsValue::null()) };
    // The document's own property first: a script may have changed it.
    let own = object.get(js_string!("@metadata"), context)?;
    if !own.is_undefined() {
        return Ok(own);
    }
    let known = CURRENT.with_borrow(|current| {
        let current = current.as_ref().filter(|current| JsObject::equals(&current.object, &object))?;
        Some((current.metadata_object.clone(), current.metadata.clone()))
    });
    match known {
        Some((Some(made), _)) => Ok(made.into()),
        Some((None, metadata)) => {
            let made = to_js::Writer::new(Numbers::Double).value(&Json::Object(metadata), context);
            let made_object = made.as_object();
            CURRENT.with_borrow_mut(|current| {
                if let Some(current) = current {
                    current.metadata_object = made_object;
                }
            });
            Ok(made)
        }
        None => Ok(JsValue::null()),
    }
}

fn record(fields: &[(&str, JsValue)], context: &mut Context) -> JsResult<JsValue> {
    let object = JsObject::with_object_proto(context.intrinsics());
    for (name, value) in fields {
        object.create_data_property_or_throw(JsString::from(*name), value.clone(), context)?;
    }
    Ok(object.into())
}

fn argument(arguments: &[JsValue], index: usize) -> JsValue {
    arguments.get(index).cloned().unwrap_or_default()
}

fn create_field(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let fields = [
        ("$name", argument(arguments, 0)),
        ("$value", argument(arguments, 1)),
        ("$options", argument(arguments, 2)),
    ];
    record(&fields, context)
}

fn create_spatial_field(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let place = match arguments {
        [only] => only.clone(),
        _ => JsArray::from_iter(arguments.iter().take(2).cloned(), context).into(),
    };
    record(&[("$spatial", place)], context)
}

fn boost(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    record(&[("$value", argument(arguments, 0)), ("$boost", argument(arguments, 1))], context)
}

fn try_convert_to_number(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let value = argument(arguments, 0);
    if value.is_number() || value.is_bigint() {
        return Ok(value);
    }
    let Some(text) = value.as_string() else { return Ok(JsValue::null()) };
    if text.to_std_string_lossy().trim().is_empty() {
        return Ok(JsValue::null());
    }
    let number = value.to_number(context)?;
    Ok(if number.is_nan() { JsValue::null() } else { JsValue::from(number) })
}

/// The item and all its descendants, in depth-first order.
fn recurse(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let [item, children] = arguments else {
        let message =
            format!("The recurse(item, func) method expects two arguments, but got: {}", arguments.len());
        return Err(JsNativeError::typ().with_message(message).into());
    };
    let Some(children) = children.as_object().and_then(JsFunction::from_object) else {
        let message = "The second argument of recurse(item, func) must be an arrow function";
        return Err(JsNativeError::typ().with_message(message).into());
    };
    let mut found = Vec::new();
    let mut todo = vec![item.clone()];
    while let Some(next) = todo.pop() {
        if next.is_null_or_undefined() {
            continue;
        }
        budget::charge(1)?;
        found.push(next.clone());
        let below = children.call(&JsValue::undefined(), &[next], context)?;
        match below.as_object().filter(JsObject::is_array) {
            Some(list) => {
                let length = JsArray::from_object(list.clone())?.length(context)?;
                budget::charge_length(length)?;
                for index in (0..length).rev() {
                    todo.push(list.get(index, context)?);
                }
            }
            None => todo.push(below),
        }
    }
    Ok(JsArray::from_iter(found, context).into())
}

/// Checks what is iterated or spread; gives it back.
fn iterate(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let value = argument(arguments, 0);
    if value.is_null_or_undefined() {
        let message = format!("{} is not iterable", value.display());
        return Err(JsNativeError::typ().with_message(message).into());
    }
    guards::check_spread(&value, context)?;
    Ok(value)
}

/// Checks the length of what goes into a constructor; gives it back.
fn list(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let value = argument(arguments, 0);
    guards::check_spread(&value, context)?;
    Ok(value)
}

/// Checks the prototypes of a new object or of a class's heritage; gives it back.
fn made(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    heritage::made(&argument(arguments, 0), context)
}

/// Checks and charges a string or a BigInt that an operator made; gives it back.
fn text(_: &JsValue, arguments: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    let value = argument(arguments, 0);
    if let Some(text) = value.as_string() {
        budget::charge_text(text.len() as u64)?;
    } else if let Some(number) = value.as_bigint() {
        big_ints::check(&number)?;
    }
    Ok(value)
}
