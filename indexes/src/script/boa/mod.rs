//! The engine behind JavaScript indexes: boa, hardened as far as that is possible from outside.
//!
//! One context per index, on one thread. What it guarantees: no state survives a call (everything reachable is frozen
//! or refused), no clock but the time of the mapped document, no random numbers, no code from strings, and bounds on steps, recursion, and on what native
//! functions may be asked to make. After a call that ran into a bound, or a panic of the engine, the context is built
//! anew. What it cannot bound: the total memory of a call, and the time of one regular expression with polynomial
//! backtracking; those need a process of its own.

mod ambient;
mod big_ints;
mod budget;
mod changed;
mod constructors;
mod counters;
mod exchanges;
mod failure;
mod freeze;
mod from_js;
mod guards;
mod heritage;
mod loads;
mod natives;
pub(super) mod patch;
mod patched;
mod realm;
mod to_js;

pub(super) use to_js::metadata as document_metadata;

use super::dialect::{GroupBy, Projection};
use super::errors::{definition_error, limit_error, run_error};
use super::inexact;
use super::rewrite::{Loaded, Rewritten};
use crate::definition::Numbers;
use crate::function::{Emitted, FunctionError, FunctionErrorKind, IndexFunction, Loads};
use crate::limits::{EMITS_PER_DOCUMENT_MAX, LOAD_ROUNDS_MAX};
use boa_engine::object::builtins::{JsArray, JsFunction};
use boa_engine::{Context, JsObject, JsString, JsValue};
use from_js::Missing;
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use natives::Registration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Everything about an index that its functions need; the same for every thread.
#[derive(Debug)]
pub(super) struct Plan {
    /// The index's name, for messages.
    pub name: String,
    /// The written program.
    pub program: Rewritten,
    /// What to call the scripts in messages, in their order; empty when there is only one.
    pub labels: Vec<String>,
    /// The reduce key, if there is a reduce.
    pub group_by: Option<GroupBy>,
    /// What each registered map reads, if the text tells; as many as there are maps, or none.
    pub projections: Vec<Option<Projection>>,
    /// What the large whole numbers of documents are.
    pub numbers: Numbers,
    /// Whether it is the script of a query rather than of an index.
    pub is_query: bool,
    /// Whether it may read compare-exchange values and counters.
    pub reads_values: bool,
}

/// A registered map function.
struct MapFunction {
    /// Lower-cased collection; `None` for all documents.
    collection: Option<String>,
    function: JsFunction,
    projection: Option<Projection>,
}

/// The compiled functions of one index.
struct Engine {
    context: Context,
    maps: Vec<MapFunction>,
    reduce: Option<JsFunction>,
    finalize: Option<JsFunction>,
    writer: to_js::Writer,
}

/// The [`IndexFunction`] of a JavaScript index.
pub(super) struct BoaFunction {
    plan: Arc<Plan>,
    /// `None` after a failure that may have left the engine in disorder.
    engine: Option<Engine>,
    /// The fields of the document mapped last whose numbers the maps did not see as they are.
    inexact: Vec<String>,
    /// The steps of the last call.
    steps: u64,
}

/// What the scripts registered, as far as it can leave the thread.
#[derive(Debug, Clone)]
pub(super) struct Registered {
    /// The collections as written, in order, one per map.
    pub collections: Vec<String>,
    /// Whether there is a finalize.
    pub finalizes: bool,
}

/// Loads the program once and says what it registers. Needs the same stack as [`BoaFunction::new`].
///
/// # Errors
/// Those of [`BoaFunction::new`].
pub(super) fn register(plan: &Plan) -> Result<Registered, FunctionError> {
    Engine::load(plan).map(|(_, registered)| registered)
}

impl BoaFunction {
    /// Loads the program. The calling thread needs the stack that `crate::limits::SCRIPT_STACK_BYTES` names.
    ///
    /// # Errors
    /// When the scripts throw while loading, register nothing usable, or keep state that could change.
    pub fn new(plan: Arc<Plan>) -> Result<Self, FunctionError> {
        let (engine, _) = Engine::load(&plan)?;
        Ok(Self { plan, engine: Some(engine), inexact: Vec::new(), steps: 0 })
    }

    /// Maps a document once, with the loaded documents that are there.
    fn map_once(&mut self, document: &Document) -> Result<Vec<Emitted>, FunctionError> {
        let mut inexact = Vec::new();
        let outcome = self.guarded(|engine, plan| engine.map(plan, document, &mut inexact));
        self.inexact = inexact;
        outcome
    }

    /// Maps a document until it has all documents that it loads, see `loads.rs`.
    fn map_in_rounds(
        &mut self,
        document: &Document,
        loads: &mut dyn Loads,
    ) -> Result<Vec<Emitted>, FunctionError> {
        for _ in 0..LOAD_ROUNDS_MAX {
            loads::begin_round();
            counters::begin_round();
            let outcome = self.map_once(document);
            let missing = loads::take_missing();
            let values = exchanges::take_missing();
            let counted = counters::take_missing();
            let is_done = missing.is_empty() && values.is_empty() && counted.is_empty();
            if is_done || budget::reason() == Some(budget::Reason::Loads) {
                return outcome;
            }
            for key in values {
                let found = loads.compare_exchange(&key);
                if !exchanges::add(key, found) {
                    return Err(limit_error(budget::Reason::LoadedBytes.message(), None));
                }
            }
            for wanted in counted {
                let found = loads.counter(wanted.id.as_str(), &wanted.name);
                counters::add(&wanted, found);
            }
            for wanted in missing {
                let found = loads.load(wanted.id.as_str(), wanted.collection.as_ref(), false);
                if !loads::add(wanted, found) {
                    return Err(limit_error(budget::Reason::LoadedBytes.message(), None));
                }
            }
        }
        let message = format!(
            "the map follows loaded documents from one to the next more than {} times (load_rounds_max), which is not \
             allowed",
            LOAD_ROUNDS_MAX - 1
        );
        Err(limit_error(message, None))
    }

    /// Runs `work` with a working engine; discards the engine when its state is in doubt afterwards.
    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Engine, &Plan) -> Result<T, FunctionError>,
    ) -> Result<T, FunctionError> {
        ambient::end();
        let mut engine = match self.engine.take() {
            Some(engine) => engine,
            None => Engine::load(&self.plan)?.0,
        };
        budget::begin_call();
        let plan = Arc::clone(&self.plan);
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut engine, &plan)));
        self.steps += budget::used();
        natives::forget_document();
        loads::forget_objects();
        ambient::end();
        match outcome {
            Ok(result) => {
                let sound = !matches!(&result, Err(error) if error.kind == FunctionErrorKind::Limit);
                if sound && !budget::exhausted() {
                    self.engine = Some(engine);
                }
                result
            }
            Err(_) => Err(run_error("the JavaScript engine failed on this input", None)),
        }
    }
}

impl IndexFunction for BoaFunction {
    fn map(&mut self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        self.steps = 0;
        let reads_values = self.plan.reads_values;
        if self.plan.program.loads == Loaded::default() && !reads_values {
            return self.map_once(document);
        }
        loads::begin(self.plan.numbers, false, self.plan.is_query);
        if reads_values {
            exchanges::begin();
            counters::begin();
        }
        let outcome = self.map_in_rounds(document, loads);
        exchanges::end();
        counters::end();
        // Also when the map failed: it may work when one of these documents is another one.
        for wanted in loads::end() {
            loads.load(wanted.id.as_str(), wanted.collection.as_ref(), true);
        }
        outcome
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        self.steps = 0;
        self.guarded(|engine, plan| engine.reduce(plan, key, values, false)).map(|(reduced, _)| reduced)
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        self.steps = 0;
        self.guarded(|engine, plan| engine.finalize(plan, reduced))
    }

    fn inexact_fields(&self) -> &[String] {
        &self.inexact
    }

    fn steps(&self) -> Option<u64> {
        Some(self.steps)
    }

    fn reduce_watched(
        &mut self,
        key: &[Json],
        values: &[Json],
    ) -> Result<(Json, Option<String>), FunctionError> {
        self.steps = 0;
        self.guarded(|engine, plan| engine.reduce(plan, key, values, true))
    }
}

impl Engine {
    fn load(plan: &Plan) -> Result<(Self, Registered), FunctionError> {
        budget::begin_call();
        let mut sandbox = realm::build(plan.program.big_ints).map_err(|message| run_error(message, None))?;
        let Registration { maps, reduce, mut finalizes, .. } = realm::run(&mut sandbox, plan)?;
        let mut functions = Vec::new();
        let mut collections = Vec::new();
        for (number, map) in maps.into_iter().enumerate() {
            let (collection, function) = checked_map(plan, number, &map)?;
            functions.push(MapFunction {
                collection: (collection != "@all_docs").then(|| collection.to_lowercase()),
                function,
                projection: plan.projections.get(number).cloned().flatten(),
            });
            collections.push(collection);
        }
        if functions.is_empty() {
            let message = format!(
                "JavaScript index {} doesn't contain any map functions or 'globalDefinition.Map' was modified in the \
                 script: it must call map('Collection', document => ({{ .. }}))",
                plan.name
            );
            return Err(definition_error(message, None));
        }
        let reduce = match (&plan.group_by, reduce) {
            (Some(_), None) => {
                return Err(definition_error(
                    "the Reduce has a groupBy without .aggregate(g => ({ .. })), so nothing can be reduced",
                    None,
                ));
            }
            (_, reduce) => reduce,
        };
        let finalize = finalizes.pop();
        if !finalizes.is_empty() {
            let message = "the index has more than one finalize: keep either the Finalize or the .finalize(r => ..) in \
                           the Reduce";
            return Err(definition_error(message, None));
        }
        let registered = Registered { collections, finalizes: finalize.is_some() };
        let writer = to_js::Writer::new(plan.numbers);
        Ok((Self { context: sandbox.context, maps: functions, reduce, finalize, writer }, registered))
    }

    fn map(
        &mut self,
        plan: &Plan,
        document: &Document,
        inexact: &mut Vec<String>,
    ) -> Result<Vec<Emitted>, FunctionError> {
        let mut emitted = Vec::new();
        let mut body = None;
        let collection = document.collection.key();
        for index in 0..self.maps.len() {
            let Some(map) = self.maps.get(index) else { break };
            if map.collection.as_deref().is_some_and(|wanted| wanted != collection) {
                continue;
            }
            let body: &Object = body.get_or_insert_with(|| document.body_json());
            let projection = map.projection.clone();
            let function = map.function.clone();
            inexact::collect(body, projection.as_ref(), plan.numbers, inexact);
            loads::forget_objects();
            let argument = self.writer.document(document, body, projection.as_ref(), &mut self.context);
            natives::current_document(&argument, document);
            // The only time that is the same whenever the document is mapped again. A query without a time has 0 there.
            if !plan.is_query || document.last_modified.0 != 0 {
                ambient::begin_clock(document.last_modified);
            }
            let result = function
                .call(&JsValue::undefined(), &[argument.into()], &mut self.context)
                .map_err(|error| failure::function_error(error, plan, &mut self.context))?;
            self.emit(plan, &result, &mut emitted)?;
        }
        Ok(emitted)
    }

    /// An array gives one output per element, an object gives one, anything else none.
    fn emit(
        &mut self,
        plan: &Plan,
        result: &JsValue,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), FunctionError> {
        let Some(object) = result.as_object() else { return Ok(()) };
        if !object.is_array() {
            return self.emit_one(plan, &object, emitted);
        }
        let length = JsArray::from_object(object.clone())
            .and_then(|array| array.length(&mut self.context))
            .map_err(|error| failure::function_error(error, plan, &mut self.context))?;
        if length > EMITS_PER_DOCUMENT_MAX as u64 {
            let message = format!(
                "the map gave {length} outputs for one document; at most {EMITS_PER_DOCUMENT_MAX} are allowed"
            );
            return Err(limit_error(message, None));
        }
        for index in 0..length {
            let element = object
                .get(index, &mut self.context)
                .map_err(|error| failure::function_error(error, plan, &mut self.context))?;
            if let Some(element) = element.as_object() {
                self.emit_one(plan, &element, emitted)?;
            }
        }
        Ok(())
    }

    fn emit_one(
        &mut self,
        plan: &Plan,
        object: &JsObject,
        emitted: &mut Vec<Emitted>,
    ) -> Result<(), FunctionError> {
        if emitted.len() >= EMITS_PER_DOCUMENT_MAX {
            let message =
                format!("a document has more than {EMITS_PER_DOCUMENT_MAX} outputs, which is not allowed");
            return Err(limit_error(message, None));
        }
        let object =
            if plan.is_query { object.clone() } else { from_js::unboosted(object, &mut self.context) };
        let missing = if plan.is_query { Missing::Told } else { Missing::LeftOut };
        let (value, undefined) = from_js::output(&object, missing, &mut self.context)
            .map_err(|error| error.into_function_error(plan, &mut self.context))?;
        let key = match &plan.group_by {
            Some(group_by) => reduce_key(group_by, &value, &undefined)?,
            None => Vec::new(),
        };
        emitted.push(Emitted { key, value: Json::Object(value) });
        Ok(())
    }

    /// The reduced value and, when `watched`, what it was given and changed.
    fn reduce(
        &mut self,
        plan: &Plan,
        key: &[Json],
        values: &[Json],
        watched: bool,
    ) -> Result<(Json, Option<String>), FunctionError> {
        let (Some(reduce), Some(group_by)) = (self.reduce.clone(), &plan.group_by) else {
            return Err(run_error("this index has no reduce", None));
        };
        let context = &mut self.context;
        let group = self.writer.group(group_by, key, values, context);
        let result = reduce
            .call(&JsValue::undefined(), &[group.object.clone().into()], context)
            .map_err(|error| failure::function_error(error, plan, context))?;
        let reduced = result_object(&result, "Reduce", plan, context)?;
        let changed = if watched {
            changed::first_change(&group, group_by, key, values, context)
                .map_err(|error| failure::function_error(error, plan, context))?
        } else {
            None
        };
        Ok((reduced, changed))
    }

    fn finalize(&mut self, plan: &Plan, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        let Some(finalize) = &self.finalize else { return Ok(Some(reduced.clone())) };
        let context = &mut self.context;
        let argument = self.writer.value(reduced, context);
        let result = finalize
            .call(&JsValue::undefined(), &[argument], context)
            .map_err(|error| failure::function_error(error, plan, context))?;
        if result.is_null_or_undefined() {
            return Ok(None);
        }
        result_object(&result, "Finalize", plan, context).map(Some)
    }
}

/// What a reduce or a finalize gave.
fn result_object(
    result: &JsValue,
    function: &str,
    plan: &Plan,
    context: &mut Context,
) -> Result<Json, FunctionError> {
    let object = match result.as_object() {
        Some(object) if !object.is_array() && !object.is_callable() => object,
        _ => {
            let text = from_js::describe(result, context);
            return Err(run_error(format!("{function} result is not object: {text}"), None));
        }
    };
    let (value, _) = from_js::output(&object, Missing::Null, context)
        .map_err(|error| error.into_function_error(plan, context))?;
    Ok(Json::Object(value))
}

/// The values of the group-by fields in a map output. A property that is there but undefined counts as null.
fn reduce_key(group_by: &GroupBy, value: &Object, undefined: &[String]) -> Result<Vec<Json>, FunctionError> {
    let mut key = Vec::with_capacity(group_by.fields.len());
    for field in &group_by.fields {
        let Some((first, rest)) = field.path.split_first() else { continue };
        let Some(found) = value.get(first) else {
            if undefined.contains(first) {
                key.push(Json::Null);
                continue;
            }
            let fields: Vec<String> = group_by.fields.iter().map(|field| field.path.join(".")).collect();
            let message = format!(
                "The output of the mapping function does not contain all fields that the index is supposed to group \
                 by.\nOutput: {value}\nGroup by fields: {}",
                fields.join(",")
            );
            return Err(run_error(message, None));
        };
        let nested = rest.iter().try_fold(found, |at, name| at.get(name));
        key.push(nested.cloned().unwrap_or_default());
    }
    Ok(key)
}

fn checked_map(
    plan: &Plan,
    number: usize,
    map: &natives::MapCall,
) -> Result<(String, JsFunction), FunctionError> {
    let refuse = |what: &str| {
        let message = format!("JavaScript index {} map function #{number} {what}", plan.name);
        Err(definition_error(message, None))
    };
    let Some(collection) = &map.collection else { return refuse("is missing a collection name") };
    let Some(collection) = collection.as_string().as_ref().map(JsString::to_std_string_lossy) else {
        return refuse("collection name isn't a string");
    };
    let Some(function) = &map.function else { return refuse("is missing its method property") };
    match function.as_object().and_then(JsFunction::from_object) {
        Some(function) => Ok((collection, function)),
        None => refuse("method property isn't a 'FunctionInstance'"),
    }
}
