//! Running a patch: one document in, the changed document out, with what the script put, deleted and told meanwhile.
//!
//! Nothing is written here. `put()`, `del()` and the like are noted as effects, in order; whoever runs the patch writes them with
//! the document, all or nothing. A script that loads runs in rounds, as maps do (`loads.rs`): its effects are those of
//! the last round.

use super::{Plan, ambient, budget, counters, exchanges, failure, loads, natives, patched, realm, to_js};
use crate::function::{FunctionError, FunctionErrorKind, Loads};
use crate::limits::{LOAD_ROUNDS_MAX, PATCH_EFFECTS_MAX, PATCH_OUTPUT_BYTES_MAX};
use crate::script::errors::{definition_error, limit_error, run_error};
use crate::script::patch::{Effect, PatchInput, PatchRun};
use boa_engine::object::builtins::{JsArray, JsFunction, JsProxy};
use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsValue, js_string};
use magpie_store::json::Json;
use magpie_store::limits::DOCUMENT_BYTES_MAX;
use magpie_store::{DocumentId, Timestamp};
use std::cell::RefCell;

/// Most bytes of documents that one call puts, as JSON.
const PUT_BYTES_MAX: usize = 2 * DOCUMENT_BYTES_MAX;

/// What the running call did so far.
#[derive(Default)]
struct Call {
    effects: Vec<Effect>,
    effect_bytes: usize,
    output: Vec<String>,
    output_bytes: usize,
    loaded: Vec<(String, bool)>,
}

thread_local! {
    static CALL: RefCell<Call> = RefCell::default();
}

/// A compiled patch. It lives on one thread with the stack of [`crate::limits::SCRIPT_STACK_BYTES`].
pub(in crate::script) struct PatchEngine {
    context: Context,
    function: JsFunction,
}

impl PatchEngine {
    /// Compiles a patch.
    ///
    /// # Errors
    /// A compile error when the engine refuses the script.
    pub fn load(plan: &Plan) -> Result<Self, FunctionError> {
        budget::begin_call();
        let mut sandbox = realm::build(plan.program.big_ints).map_err(|message| run_error(message, None))?;
        let mut registration = realm::run(&mut sandbox, plan)?;
        match registration.finalizes.pop() {
            Some(function) => Ok(Self { context: sandbox.context, function }),
            None => Err(definition_error("the patch is no script", None)),
        }
    }

    /// Runs the patch on one document.
    ///
    /// # Errors
    /// What the script throws, and the bounds it runs into. After one of kind `Limit` the engine must be dropped.
    pub fn run(
        &mut self,
        plan: &Plan,
        input: &PatchInput,
        documents: &mut dyn Loads,
    ) -> Result<PatchRun, FunctionError> {
        loads::begin(plan.numbers, true, false);
        exchanges::begin();
        counters::begin();
        ambient::begin(input.now, input.seed);
        let outcome = self.in_rounds(plan, input, documents);
        ambient::end();
        let _ = loads::end();
        exchanges::end();
        counters::end();
        outcome
    }

    fn in_rounds(
        &mut self,
        plan: &Plan,
        input: &PatchInput,
        documents: &mut dyn Loads,
    ) -> Result<PatchRun, FunctionError> {
        for _ in 0..LOAD_ROUNDS_MAX {
            loads::begin_round();
            counters::begin_round();
            ambient::begin(input.now, input.seed);
            let outcome = self.once(plan, input);
            let missing = loads::take_missing();
            let values = exchanges::take_missing();
            let counted = counters::take_missing();
            let is_done = missing.is_empty() && values.is_empty() && counted.is_empty();
            if is_done || budget::reason() == Some(budget::Reason::Loads) {
                return outcome;
            }
            for key in values {
                let found = documents.compare_exchange(&key);
                if !exchanges::add(key, found) {
                    return Err(limit_error(budget::Reason::LoadedBytes.message(), None));
                }
            }
            for wanted in counted {
                let found = documents.counter(wanted.id.as_str(), &wanted.name);
                counters::add(&wanted, found);
            }
            for wanted in missing {
                let found = documents.load(wanted.id.as_str(), None, false);
                if !loads::add(wanted, found) {
                    return Err(limit_error(budget::Reason::LoadedBytes.message(), None));
                }
            }
        }
        let message = format!(
            "the patch follows loaded documents from one to the next more than {} times (load_rounds_max), which is \
             not allowed",
            LOAD_ROUNDS_MAX - 1
        );
        Err(limit_error(message, None))
    }

    fn once(&mut self, plan: &Plan, input: &PatchInput) -> Result<PatchRun, FunctionError> {
        budget::begin_call();
        CALL.set(Call::default());
        let outcome = self.call(plan, input);
        let call = CALL.take();
        natives::forget_document();
        loads::forget_objects();
        patched::forget();
        let document = outcome?;
        let counters = counters::take_reads();
        Ok(PatchRun { document, effects: call.effects, output: call.output, loaded: call.loaded, counters })
    }

    fn call(&mut self, plan: &Plan, input: &PatchInput) -> Result<Json, FunctionError> {
        let context = &mut self.context;
        let mut writer = to_js::Writer::guided();
        let this = writer.value(&input.document, context);
        let arguments = writer.value(&input.arguments, context);
        let arguments = if arguments.is_object() {
            arguments
        } else {
            JsObject::with_object_proto(context.intrinsics()).into()
        };
        if let Some(object) = this.as_object() {
            let metadata = input.document.get("@metadata").and_then(Json::as_object).cloned();
            natives::current(&object, &input.id, metadata.unwrap_or_default());
        }
        self.function
            .call(&this, &[arguments], context)
            .map_err(|error| failure::function_error(error, plan, context))?;
        let document = patched::value(&this, plan, context)?;
        if budget::exhausted() {
            return Err(limit_error(
                budget::reason().map_or_else(String::new, budget::Reason::message),
                None,
            ));
        }
        Ok(document)
    }
}

/// Whether an engine can be used again after this.
pub(in crate::script) fn is_sound<T>(outcome: &Result<T, FunctionError>) -> bool {
    !matches!(outcome, Err(error) if error.kind == FunctionErrorKind::Limit) && !budget::exhausted()
}

/// The values of [`crate::script::dialect::names::PATCH_PARAMETERS`].
pub(super) fn parameters(context: &mut Context) -> JsResult<Vec<JsValue>> {
    let console = JsObject::with_object_proto(context.intrinsics());
    let log = natives::plain("log", 1, context, output);
    console.create_data_property_or_throw(js_string!("log"), log, context)?;
    Ok(vec![
        natives::plain("put", 2, context, put).into(),
        natives::plain("del", 1, context, del).into(),
        natives::plain("output", 1, context, output).into(),
        natives::plain("lastModified", 1, context, last_modified).into(),
        console.into(),
        natives::plain("incrementCounter", 3, context, increment_counter).into(),
        natives::plain("deleteCounter", 2, context, delete_counter).into(),
    ])
}

/// What is read instead of null and undefined in a patch: all its members are null, as in the original server.
pub(super) fn nothing_but_nulls(target: JsObject, context: &mut Context) -> JsResult<JsObject> {
    let proxy = JsProxy::builder(target).get(|_, _, _| Ok(JsValue::null())).build(context)?;
    // See `natives::parameters` for why it must not have the shape of a plain object.
    proxy.set_prototype(None);
    Ok(proxy.into())
}

fn refuse<T>(message: impl Into<std::borrow::Cow<'static, str>>) -> JsResult<T> {
    Err(JsNativeError::typ().with_message(message).into())
}

/// The id that an argument is.
fn id_of(value: Option<&JsValue>, function: &str) -> JsResult<String> {
    match value.and_then(JsValue::as_string) {
        Some(text) => Ok(text.to_std_string_lossy()),
        None => refuse(format!("{function} needs the id of a document, a string, as its first argument")),
    }
}

/// `load(id)` or `load([ids])`: other documents as they are with all that this script has put and deleted.
pub(super) fn load(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let Some(ids) = arguments.first() else {
        return refuse("load(id) needs the id of a document, or an array of ids");
    };
    let Some(list) = ids.as_object().filter(JsObject::is_array) else {
        return load_one(ids, context);
    };
    let length = JsArray::from_object(list.clone())?.length(context)?;
    budget::charge_length(length)?;
    let mut answers = Vec::new();
    for index in 0..length {
        let id = list.get(index, context)?;
        answers.push(load_one(&id, context)?);
    }
    Ok(JsArray::from_iter(answers, context).into())
}

fn load_one(id: &JsValue, context: &mut Context) -> JsResult<JsValue> {
    if id.is_null_or_undefined() {
        return Ok(JsValue::null());
    }
    let id = id_of(Some(id), "load(id)")?;
    let found = match written(&id) {
        Some(Effect::Put { document, .. }) => to_js::Writer::guided().value(&document, context),
        Some(_) => JsValue::null(),
        None => loads::any(&id, context)?,
    };
    CALL.with_borrow_mut(|call| call.loaded.push((id, found.is_object())));
    Ok(found)
}

/// What this call did last to a document as a whole.
fn written(id: &str) -> Option<Effect> {
    let key = |id: &str| DocumentId::new(id).ok().map(|id| id.key().to_owned());
    let wanted = key(id)?;
    CALL.with_borrow(|call| {
        let is_it = |effect: &&Effect| {
            let is_whole = matches!(effect, Effect::Put { .. } | Effect::Delete { .. });
            is_whole && key(effect.id()).as_ref() == Some(&wanted)
        };
        call.effects.iter().rev().find(is_it).cloned()
    })
}

/// `put(id, document, [changeVector])`: gives the id, or null where only the write will make one up.
fn put(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let id = id_of(arguments.first(), "put(id, document)")?;
    let document = arguments.get(1).cloned().unwrap_or_default();
    if !document.as_object().is_some_and(|object| object.is_ordinary()) {
        return refuse(format!("put('{id}', document) needs an object as its second argument"));
    }
    let expected = change_vector(arguments.get(2), "put", &id)?;
    let document = match patched::read(&document, context) {
        Ok(document) => document,
        Err(patched::Problem::Thrown(error)) => return Err(error),
        Err(patched::Problem::Refused(message) | patched::Problem::Limit(message)) => {
            return refuse(format!("put('{id}', ..): {message}"));
        }
    };
    let made_up = id.is_empty() || id.ends_with('/') || id.ends_with('|');
    let answer = if made_up { JsValue::null() } else { js_string!(id.as_str()).into() };
    effect(Effect::Put { id, document, expected })?;
    Ok(answer)
}

/// The change vector that a document must have, if the script names one.
fn change_vector(argument: Option<&JsValue>, function: &str, id: &str) -> JsResult<Option<String>> {
    match argument.filter(|value| !value.is_null_or_undefined()) {
        None => Ok(None),
        Some(value) => match value.as_string() {
            Some(text) => Ok(Some(text.to_std_string_lossy())),
            None => refuse(format!("the change vector of {function}('{id}', ..) must be a string")),
        },
    }
}

/// `del(id, [changeVector])`: whether there was such a document.
fn del(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let id = id_of(arguments.first(), "del(id)")?;
    let existed = match written(&id) {
        Some(effect) => matches!(effect, Effect::Put { .. }),
        None => loads::any(&id, context)?.is_object(),
    };
    let expected = change_vector(arguments.get(1), "del", &id)?;
    if let Ok(id) = DocumentId::new(&id) {
        counters::forget_document(&id);
    }
    effect(Effect::Delete { id, expected })?;
    Ok(existed.into())
}

/// `incrementCounter(doc, name, [value])`: true. Without a value it adds 1; of a value only the whole part counts.
fn increment_counter(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (document, name, value) = match arguments {
        [document, name] => (document, name, None),
        [document, name, value] => (document, name, Some(value)),
        _ => {
            return refuse(format!(
                "There is no overload of method 'incrementCounter' that takes {} arguments. Supported overloads are : \
                 'incrementCounter(doc, name)' , 'incrementCounter(doc, name, value)'",
                arguments.len()
            ));
        }
    };
    let signature =
        if value.is_some() { "incrementCounter(doc, name, value)" } else { "incrementCounter(doc, name)" };
    let wanted = counter_of(document, name, signature, context)?;
    let by = match value.map(|value| (value.as_number(), value)) {
        None => 1,
        Some((Some(number), _)) => whole(number),
        Some((None, _)) => return refuse(format!("{signature}: 'value' must be a number argument")),
    };
    effect(Effect::IncrementCounter { id: wanted.id.as_str().to_owned(), name: wanted.name.clone(), by })?;
    counters::increment(&wanted, by);
    Ok(true.into())
}

/// The whole part of a number, cut to what a counter holds; 0 for what is no number.
fn whole(number: f64) -> i64 {
    if number.is_nan() {
        return 0;
    }
    let end = if number < 0.0 { i64::MIN } else { i64::MAX };
    // Through text, as no number here can be cast without loss.
    format!("{:.0}", number.trunc()).parse().unwrap_or(end)
}

/// `deleteCounter(doc, name)`: true.
fn delete_counter(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    const SIGNATURE: &str = "deleteCounter(doc, name)";
    let [document, name] = arguments else {
        return refuse(format!("{SIGNATURE} must be called with exactly 2 arguments"));
    };
    let wanted = counter_of(document, name, SIGNATURE, context)?;
    effect(Effect::DeleteCounter { id: wanted.id.as_str().to_owned(), name: wanted.name.clone() })?;
    counters::delete(&wanted);
    Ok(true.into())
}

/// The counter that arguments name.
fn counter_of(
    document: &JsValue,
    name: &JsValue,
    signature: &str,
    context: &mut Context,
) -> JsResult<counters::Wanted> {
    let id = counters::document_id(document, signature, context)?;
    let name = name.as_string().map(|name| name.to_std_string_lossy()).filter(|name| !name.is_empty());
    let Some(name) = name else {
        return refuse(format!("{signature}: 'name' must be a non-empty string argument"));
    };
    match DocumentId::new(&id) {
        Ok(id) => Ok(counters::Wanted { id, name }),
        Err(error) => refuse(format!("{signature}: {error}")),
    }
}

fn effect(effect: Effect) -> JsResult<()> {
    budget::charge(1)?;
    let bytes = match &effect {
        Effect::Put { document, .. } => document.to_string().len(),
        Effect::Delete { .. } => 0,
        Effect::IncrementCounter { name, .. } | Effect::DeleteCounter { name, .. } => name.len(),
    };
    CALL.with_borrow_mut(|call| {
        call.effect_bytes = call.effect_bytes.saturating_add(bytes);
        if call.effects.len() >= PATCH_EFFECTS_MAX {
            return refuse(format!(
                "the patch puts and deletes more than {PATCH_EFFECTS_MAX} documents and counters (patch_effects_max)"
            ));
        }
        if call.effect_bytes > PUT_BYTES_MAX {
            return refuse(format!("the patch puts more than {PUT_BYTES_MAX} bytes of documents"));
        }
        call.effects.push(effect);
        Ok(())
    })
}

/// `output(value)` and `console.log(value)`: told to who patches with `debug`.
fn output(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    for argument in arguments {
        let text =
            if argument.is_undefined() { "undefined".to_owned() } else { patched::text(argument, context) };
        CALL.with_borrow_mut(|call| {
            call.output_bytes = call.output_bytes.saturating_add(text.len() + 1);
            if call.output_bytes > PATCH_OUTPUT_BYTES_MAX {
                return refuse(format!(
                    "output() has told more than {PATCH_OUTPUT_BYTES_MAX} bytes (patch_output_bytes_max)"
                ));
            }
            call.output.push(text);
            Ok(())
        })?;
    }
    Ok(JsValue::undefined())
}

/// `lastModified(document)`: milliseconds since 1970, null for what is no stored document.
fn last_modified(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let Some(object) = arguments.first().and_then(JsValue::as_object) else { return Ok(JsValue::null()) };
    let Some(metadata) = object.get(js_string!("@metadata"), context)?.as_object() else {
        return Ok(JsValue::null());
    };
    let text = metadata.get(js_string!("@last-modified"), context)?;
    let time = text.as_string().and_then(|text| Timestamp::parse(&text.to_std_string_lossy()));
    Ok(time.map_or_else(JsValue::null, |time| ambient::milliseconds(time).into()))
}
