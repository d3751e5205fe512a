//! The [`IndexFunction`] of a compiled index, and how calls are handed over to the engine.

use super::machine::{Machine, arena};
use super::program::Program;
use super::realm::Realm;
use super::value::{Outcome, Stop};
use crate::function::{Emitted, FunctionError, IndexFunction, Loads};
use crate::script::boa::{BoaFunction, Plan};
use crate::script::inexact;
use bumpalo::Bump;
use magpie_store::Document;
use magpie_store::json::Json;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Numbers with at most so many digits are held by a double.
const EXACT_BYTES: u32 = 15;

/// A compiled index: the same for every thread.
#[derive(Debug)]
pub(in crate::script) struct CompiledPlan {
    program: Program,
    /// How many calls were left to the engine.
    handed_over: AtomicU64,
    /// Why the last of them was.
    reason: Mutex<Option<&'static str>>,
}

impl CompiledPlan {
    /// Wraps a program.
    pub(super) const fn new(program: Program) -> Self {
        Self { program, handed_over: AtomicU64::new(0), reason: Mutex::new(None) }
    }

    /// The collections of the maps, in lower case, in order; `None` for all documents.
    pub fn collections(&self) -> impl Iterator<Item = Option<&str>> {
        self.program.maps.iter().map(|map| map.collection.as_deref())
    }

    /// How many calls were left to the engine so far, and why the last one was.
    pub fn handed_over(&self) -> (u64, Option<&'static str>) {
        let reason = self.reason.lock().map_or(None, |reason| *reason);
        (self.handed_over.load(Ordering::Relaxed), reason)
    }

    fn note(&self, reason: &'static str) {
        self.handed_over.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut place) = self.reason.lock() {
            *place = Some(reason);
        }
    }
}

/// The compiled functions of one index on one thread.
pub(in crate::script) struct CompiledFunction {
    compiled: Arc<CompiledPlan>,
    plan: Arc<Plan>,
    bump: Bump,
    realm: Realm,
    /// The engine, once a call was handed over.
    engine: Option<BoaFunction>,
    /// The fields of the document mapped last whose numbers the maps did not see as they are.
    inexact: Vec<String>,
    /// The steps of the last call.
    steps: u64,
}

impl CompiledFunction {
    /// Functions for the calling thread, whose stack must have `crate::limits::SCRIPT_STACK_BYTES`.
    pub fn new(compiled: Arc<CompiledPlan>, plan: Arc<Plan>) -> Self {
        let realm = Realm::new(&compiled.program);
        Self { compiled, plan, bump: arena(), realm, engine: None, inexact: Vec::new(), steps: 0 }
    }

    /// Runs a call on a machine of its own; `None` when it is the engine's.
    fn attempt<T>(
        &mut self,
        work: impl for<'a> FnOnce(&mut Machine<'a>, Input<'a>) -> Outcome<'a, T>,
        input: Input<'_>,
    ) -> Option<T> {
        self.steps = 0;
        self.bump.reset();
        self.realm.tidy(&self.compiled.program);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut machine = match Machine::new(&self.bump, &self.compiled.program, &mut self.realm) {
                Ok(machine) => machine,
                Err(_) => return Err("no memory for a call"),
            };
            let outcome = work(&mut machine, input).map_err(|stop| reason(&stop));
            self.steps = machine.steps();
            outcome
        }));
        match outcome {
            Ok(Ok(result)) => Some(result),
            Ok(Err(reason)) => {
                self.compiled.note(reason);
                None
            }
            Err(_) => {
                self.compiled.note("a failure of the compiled tier");
                self.bump = arena();
                self.realm = Realm::new(&self.compiled.program);
                None
            }
        }
    }

    /// Notes which numbers of the document no double holds, as the engine's functions do.
    fn collect_inexact(&mut self, document: &Document) {
        if !may_be_inexact(&document.body) {
            return;
        }
        let body = document.body_json();
        let collection = document.collection.key();
        for (wanted, projection) in self.compiled.collections().zip(&self.plan.projections) {
            if wanted.is_none_or(|wanted| wanted == collection) {
                inexact::collect(&body, projection.as_ref(), self.plan.numbers, &mut self.inexact);
            }
        }
    }
}

/// The engine that calls are handed over to, made when the first one is.
fn engine<'e>(
    made: &'e mut Option<BoaFunction>,
    plan: &Arc<Plan>,
) -> Result<&'e mut BoaFunction, FunctionError> {
    match made {
        Some(engine) => Ok(engine),
        empty => Ok(empty.insert(BoaFunction::new(Arc::clone(plan))?)),
    }
}

/// Whether some number in JSON text has so many digits or such an exponent that a double may not hold it.
fn may_be_inexact(text: &str) -> bool {
    let mut run = 0;
    text.bytes().any(|byte| {
        let exponent = run > 0 && matches!(byte, b'e' | b'E');
        run = if byte.is_ascii_digit() || byte == b'.' { run + 1 } else { 0 };
        exponent || run > EXACT_BYTES
    })
}

/// What a call works on.
#[derive(Clone, Copy)]
enum Input<'a> {
    Document(&'a Document),
    Group(&'a [Json], &'a [Json]),
}

fn reason(stop: &Stop<'_>) -> &'static str {
    match stop {
        Stop::Thrown(_) => "the script threw",
        Stop::Failed(kind) => kind.name(),
        Stop::Bound(bound) => bound.name(),
        Stop::HandOver(what) => what,
    }
}

impl IndexFunction for CompiledFunction {
    fn map(&mut self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let emitted = self.attempt(
            |machine, input| match input {
                Input::Document(document) => machine.map(document),
                Input::Group(..) => Ok(Vec::new()),
            },
            Input::Document(document),
        );
        self.inexact.clear();
        if let Some(emitted) = emitted {
            self.collect_inexact(document);
            return Ok(emitted);
        }
        let engine = engine(&mut self.engine, &self.plan)?;
        let outcome = engine.map(document, loads);
        self.inexact = engine.inexact_fields().to_vec();
        self.steps += engine.steps().unwrap_or(0);
        outcome
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let reduced = self.attempt(
            |machine, input| match input {
                Input::Group(key, values) => machine.reduce(key, values),
                Input::Document(_) => Ok(Json::Null),
            },
            Input::Group(key, values),
        );
        match reduced {
            Some(reduced) => Ok(reduced),
            None => {
                let engine = engine(&mut self.engine, &self.plan)?;
                let outcome = engine.reduce(key, values);
                self.steps += engine.steps().unwrap_or(0);
                outcome
            }
        }
    }

    fn steps(&self) -> Option<u64> {
        Some(self.steps)
    }

    fn inexact_fields(&self) -> &[String] {
        &self.inexact
    }

    fn reduce_watched(
        &mut self,
        key: &[Json],
        values: &[Json],
    ) -> Result<(Json, Option<String>), FunctionError> {
        engine(&mut self.engine, &self.plan)?.reduce_watched(key, values)
    }
}
