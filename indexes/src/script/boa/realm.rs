//! Building a hardened context and loading the written program into it.

use super::{Plan, big_ints, budget, failure, freeze, guards, natives};
use crate::function::{FunctionError, FunctionErrorKind};
use crate::limits::{SCRIPT_CALL_DEPTH_MAX, SCRIPT_LOOP_TURNS_MAX};
use crate::script::dialect::names;
use crate::script::errors::definition_error;
use boa_engine::context::time::FixedClock;
use boa_engine::context::{ContextBuilder, HostHooks};
use boa_engine::module::IdleModuleLoader;
use boa_engine::object::builtins::{JsArray, JsFunction};
use boa_engine::optimizer::OptimizerOptions;
use boa_engine::realm::Realm;
use boa_engine::{Context, JsError, JsNativeError, JsObject, JsResult, JsString, JsValue, Source};
use std::collections::HashSet;
use std::rc::Rc;

/// Most values on the engine's own stack.
const ENGINE_STACK_VALUES_MAX: usize = 256 * 1024;
/// Innermost frames that an error remembers.
const BACKTRACE_FRAMES_MAX: usize = 8;

/// Objects whose prototypes no global leads to.
const HIDDEN: &str = "[[][Symbol.iterator](), ''[Symbol.iterator](), new Map().entries(), new Set().values(), \
    'a'.matchAll(/a/g), function () { return arguments }(), function* () {}, function* () {}(), async function () {}, \
    async function* () {}, async () => {}, new Map(), new Set(), /a/, new Date(0), Symbol.iterator, Object(1), Object(1n), \
    Object(''), Object(true), Object(Symbol.iterator)]";

/// What the engine asks its host.
struct Hooks;

impl HostHooks for Hooks {
    fn ensure_can_compile_strings(
        &self,
        _realm: Realm,
        _parameters: &[JsString],
        _body: &JsString,
        _direct: bool,
        _context: &mut Context,
    ) -> JsResult<()> {
        let message = "compiling code from strings (eval, Function) is not available in an index";
        Err(JsNativeError::typ().with_message(message).into())
    }

    fn local_timezone_offset_seconds(&self, _unix_time_seconds: i64) -> i32 {
        0
    }

    fn max_buffer_size(&self, _context: &mut Context) -> u64 {
        0
    }
}

/// A context in which everything that could leak or run away is gone, guarded or frozen.
pub(super) struct Sandbox {
    pub context: Context,
    /// Everything that is frozen already.
    frozen: HashSet<JsObject>,
}

/// Builds the sandbox; with BigInts when the scripts may use them.
///
/// # Errors
/// When the engine fails to start, with its message.
pub(super) fn build(big_ints: bool) -> Result<Sandbox, String> {
    let mut context = ContextBuilder::new()
        .host_hooks(Rc::new(Hooks))
        .clock(Rc::new(FixedClock::from_millis(0)))
        .module_loader(Rc::new(IdleModuleLoader))
        .build()
        .map_err(|error| error.to_string())?;
    context.strict(true);
    // The engine's constant folding loses the sign of -0.
    context.set_optimizer_options(OptimizerOptions::empty());
    let limits = context.runtime_limits_mut();
    limits.set_loop_iteration_limit(SCRIPT_LOOP_TURNS_MAX);
    limits.set_recursion_limit(SCRIPT_CALL_DEPTH_MAX);
    limits.set_stack_size_limit(ENGINE_STACK_VALUES_MAX);
    limits.set_backtrace_limit(BACKTRACE_FRAMES_MAX);
    let frozen = harden(big_ints, &mut context).map_err(|error| error.to_string())?;
    Ok(Sandbox { context, frozen })
}

fn harden(big_ints: bool, context: &mut Context) -> JsResult<HashSet<JsObject>> {
    let hidden = context.eval(Source::from_bytes(HIDDEN))?;
    let global = context.global_object();
    for name in names::forbidden() {
        global.delete_property_or_throw(JsString::from(*name), context)?;
    }
    guards::install(context)?;
    // Operators are only checked for BigInts where the scripts can come by one.
    if big_ints {
        big_ints::install(context)?;
    } else {
        global.delete_property_or_throw(JsString::from(names::BIG_INT), context)?;
    }
    let object_prototype = context.intrinsics().constructors().object().prototype();
    freeze::allow_overriding(&object_prototype, context)?;
    for name in guards::ERROR_NAMES {
        let error = global.get(JsString::from(name), context)?;
        if let Some(error) = error.as_object()
            && let Some(prototype) = error.get(boa_engine::js_string!("prototype"), context)?.as_object()
        {
            freeze::allow_overriding(&prototype, context)?;
        }
    }
    let mut roots = vec![global];
    roots.extend(hidden.as_object());
    let mut frozen = HashSet::new();
    freeze::freeze_all(roots, &mut frozen, context)?;
    Ok(frozen)
}

/// Loads the program and freezes what it keeps.
///
/// # Errors
/// A compile error when the scripts throw while they are loaded, a definition error when they keep what could change.
pub(super) fn run(sandbox: &mut Sandbox, plan: &Plan) -> Result<natives::Registration, FunctionError> {
    natives::open_registration();
    let loaded = load(&mut sandbox.context, plan);
    let registration = natives::take_registration();
    let context = &mut sandbox.context;
    let kept = loaded.map_err(|error| load_error(error, plan, context))?;
    let mut roots = kept;
    roots.extend(registration.maps.iter().filter_map(|map| map.function.as_ref()?.as_object()));
    let reducers = registration.reduce.iter().chain(&registration.finalizes);
    roots.extend(reducers.map(|function| JsObject::clone(function)));
    freeze::freeze_kept(roots, &mut sandbox.frozen, context)
        .map_err(|error| definition_error(failure::message(&error, context), None))?;
    Ok(registration)
}

/// The objects that the scripts keep.
fn load(context: &mut Context, plan: &Plan) -> JsResult<Vec<JsObject>> {
    let program = context.eval(Source::from_bytes(&plan.program.text))?;
    let parameters = natives::parameters(&plan.program, context)?;
    let loader = callable(&program)?.call(&JsValue::undefined(), &parameters, context)?;
    let kept = callable(&loader)?.call(&JsValue::undefined(), &[], context)?;
    // The proxy among them cannot be frozen, and scripts cannot reach it.
    let reachable = |object: &JsObject| object.is_ordinary() || object.is_callable();
    let mut objects: Vec<JsObject> =
        parameters.iter().filter_map(JsValue::as_object).filter(reachable).collect();
    if let Some(list) = kept.as_object() {
        let length = JsArray::from_object(list.clone())?.length(context)?;
        for index in 0..length {
            objects.extend(list.get(index, context)?.as_object());
        }
    }
    Ok(objects)
}

fn callable(value: &JsValue) -> JsResult<JsFunction> {
    let function = value.as_object().and_then(JsFunction::from_object);
    function.ok_or_else(|| JsNativeError::error().with_message("the written program is no function").into())
}

fn load_error(error: JsError, plan: &Plan, context: &mut Context) -> FunctionError {
    let mut error = failure::function_error(error, plan, context);
    if error.kind == FunctionErrorKind::Run || budget::reason().is_none() {
        error.kind = FunctionErrorKind::Compile;
    }
    error
}
