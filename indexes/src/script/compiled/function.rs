//! The [`IndexFunction`] of a compiled index, and how calls are handed over to the engine.

use super::documents::Sink;
use super::loads::{Fetched, Loading, Round};
use super::machine::{Machine, arena};
use super::program::Program;
use super::realm::Realm;
use super::value::{Outcome, Stop, hand_over};
use crate::definition::Numbers;
use crate::function::{Emitted, FunctionError, IndexFunction, Loads, StoredOutput, StoredReduced};
use crate::limits::LOAD_ROUNDS_MAX;
use crate::script::boa::{BoaFunction, Plan};
use crate::script::inexact;
use crate::script::rewrite::Loaded;
use bumpalo::Bump;
use magpie_store::json::{Json, parse_stored};
use magpie_store::{Document, ordered};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A compiled index: the same for every thread.
#[derive(Debug)]
pub(in crate::script) struct CompiledPlan {
    program: Program,
    /// How many calls were left to the engine.
    handed_over: AtomicU64,
    /// How many turns of loops ran on text.
    native_turns: AtomicU64,
    /// Why the last of them was.
    reason: Mutex<Option<&'static str>>,
}

impl CompiledPlan {
    /// Whether the index has a finalize.
    pub const fn finalizes(&self) -> bool {
        self.program.finalize.is_some()
    }

    /// Wraps a program.
    pub(super) const fn new(program: Program) -> Self {
        Self {
            program,
            handed_over: AtomicU64::new(0),
            native_turns: AtomicU64::new(0),
            reason: Mutex::new(None),
        }
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

    /// How many turns of loops ran on the text of their elements so far.
    pub fn native_turns(&self) -> u64 {
        self.native_turns.load(Ordering::Relaxed)
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
    /// What the last round of a map loaded.
    round: Round,
    /// Whether the document mapped last may have numbers that no double holds.
    suspicious: bool,
}

impl CompiledFunction {
    /// Functions for the calling thread, whose stack must have `crate::limits::SCRIPT_STACK_BYTES`.
    pub fn new(compiled: Arc<CompiledPlan>, plan: Arc<Plan>) -> Self {
        let realm = Realm::new(&compiled.program);
        Self {
            compiled,
            plan,
            bump: arena(),
            realm,
            engine: None,
            inexact: Vec::new(),
            steps: 0,
            round: Round::default(),
            suspicious: false,
        }
    }

    /// Runs a call on a machine of its own; `None` when it is the engine's.
    fn attempt<T>(
        &mut self,
        work: impl for<'a> FnOnce(&mut Machine<'a>, Input<'a>) -> Outcome<'a, T>,
        input: Input<'_>,
    ) -> Option<T> {
        match self.run(work, input) {
            Ok(result) => Some(result),
            Err(reason) => {
                self.compiled.note(reason);
                None
            }
        }
    }

    /// Maps a document; `None` when the call is the engine's.
    fn map_compiled<S: for<'a> Sink<'a>>(&mut self, document: &Document, loads: &mut dyn Loads) -> Option<S> {
        self.inexact.clear();
        let emitted = if self.plan.program.loads == Loaded::default() {
            let exact = self.plan.numbers == Numbers::Exact;
            self.attempt(|machine, input| machine.map_input(input, exact), Input::Document(document))
        } else {
            self.map_in_rounds(document, loads)
        }?;
        self.collect_inexact(document);
        Some(emitted)
    }

    /// Maps a document in the engine.
    fn map_in_engine(
        &mut self,
        document: &Document,
        loads: &mut dyn Loads,
    ) -> Result<Vec<Emitted>, FunctionError> {
        let engine = engine(&mut self.engine, &self.plan)?;
        let outcome = engine.map(document, loads);
        self.inexact = engine.inexact_fields().to_vec();
        self.steps += engine.steps().unwrap_or(0);
        outcome
    }

    fn reduce_in_engine(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let engine = engine(&mut self.engine, &self.plan)?;
        let outcome = engine.reduce(key, values);
        self.steps += engine.steps().unwrap_or(0);
        outcome
    }

    /// Maps in rounds until all is there that the map loads; `None` when the call is the engine's.
    fn map_in_rounds<S: for<'a> Sink<'a>>(
        &mut self,
        document: &Document,
        loads: &mut dyn Loads,
    ) -> Option<S> {
        let mut fetched = Fetched::default();
        let mut stopped = "a map that follows loaded documents too far";
        for _ in 0..LOAD_ROUNDS_MAX {
            let exact = self.plan.numbers == Numbers::Exact;
            let outcome = self
                .run(|machine, input| machine.map_input(input, exact), Input::Loading(document, &fetched));
            let missing = std::mem::take(&mut self.round.missing);
            if missing.is_empty() || self.round.too_many {
                match outcome {
                    Ok(emitted) => {
                        self.round.track(loads);
                        return Some(emitted);
                    }
                    Err(reason) => stopped = reason,
                }
                break;
            }
            if !fetched.add(missing, loads) {
                stopped = "a map that loads too large documents";
                break;
            }
        }
        self.compiled.note(stopped);
        None
    }

    /// Runs a call; else says why it is the engine's.
    fn run<T>(
        &mut self,
        work: impl for<'a> FnOnce(&mut Machine<'a>, Input<'a>) -> Outcome<'a, T>,
        input: Input<'_>,
    ) -> Result<T, &'static str> {
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
            self.suspicious = machine.suspicious;
            if let Some(loading) = machine.loading.take() {
                self.round = loading.round;
            }
            outcome
        }));
        match std::mem::take(&mut self.realm.native_turns) {
            0 => {}
            turns => {
                self.compiled.native_turns.fetch_add(turns, Ordering::Relaxed);
            }
        }
        outcome.unwrap_or_else(|_| {
            self.bump = arena();
            self.realm = Realm::new(&self.compiled.program);
            Err("a failure of the compiled tier")
        })
    }

    /// The stored form of what the engine reduced.
    fn stored_reduced(&self, key: &[Json], reduced: &Json) -> StoredReduced {
        let mut text = Vec::new();
        reduced.write_stored_to(&mut text);
        let fields = self.plan.group_by.as_ref().map_or(&[][..], |group_by| &group_by.fields);
        let detached = fields.iter().zip(key).any(|(field, wanted)| {
            reduced.get(&field.path.join(".")).is_some_and(|found| ordered::compare(found, wanted).is_ne())
        });
        StoredReduced { text, detached }
    }

    /// Notes which numbers of the document no double holds, as the engine's functions do.
    fn collect_inexact(&mut self, document: &Document) {
        if !self.suspicious {
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

/// The stored forms of an output.
fn stored_output(output: &Emitted) -> StoredOutput {
    let mut stored = StoredOutput { odd_numbers: true, ..StoredOutput::default() };
    output.key.iter().for_each(|value| ordered::encode(value, &mut stored.key));
    output.value.write_stored_to(&mut stored.value);
    stored
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

/// What a call works on.
#[derive(Clone, Copy)]
enum Input<'a> {
    Document(&'a Document),
    Loading(&'a Document, &'a Fetched),
    Group(&'a [Json], &'a [Json]),
    StoredGroup(&'a [Json], &'a [&'a [u8]]),
    Reduced(&'a Json),
}

impl<'a> Machine<'a> {
    /// Maps a document whose large whole numbers may be BigInts.
    fn map_input<S: Sink<'a>>(&mut self, input: Input<'a>, exact: bool) -> Outcome<'a, S> {
        self.exact = exact;
        match input {
            Input::Document(document) => self.map(document),
            Input::Loading(document, fetched) => {
                self.loading = Some(Loading::new(fetched));
                self.map(document)
            }
            Input::Group(..) | Input::StoredGroup(..) | Input::Reduced(_) => {
                hand_over(&"what is no document")
            }
        }
    }
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
        match self.map_compiled(document, loads) {
            Some(emitted) => Ok(emitted),
            None => self.map_in_engine(document, loads),
        }
    }

    fn map_stored(
        &mut self,
        document: &Document,
        loads: &mut dyn Loads,
    ) -> Option<Result<Vec<StoredOutput>, FunctionError>> {
        if let Some(emitted) = self.map_compiled(document, loads) {
            return Some(Ok(emitted));
        }
        let outcome = self.map_in_engine(document, loads);
        Some(outcome.map(|emitted| emitted.iter().map(stored_output).collect()))
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let reduced = self.attempt(
            |machine, input| match input {
                Input::Group(key, values) => machine.reduce(key, values),
                _ => hand_over(&"what is no group"),
            },
            Input::Group(key, values),
        );
        match reduced {
            Some(reduced) => Ok(reduced),
            None => self.reduce_in_engine(key, values),
        }
    }

    fn reduce_stored(
        &mut self,
        key: &[Json],
        values: &[&[u8]],
    ) -> Option<Result<StoredReduced, FunctionError>> {
        let reduced = self.attempt(
            |machine, input| match input {
                Input::StoredGroup(key, values) => machine.reduce_stored(key, values),
                _ => hand_over(&"what is no group"),
            },
            Input::StoredGroup(key, values),
        );
        if let Some(reduced) = reduced {
            return Some(Ok(reduced));
        }
        let values: Vec<Json> = values.iter().map(|text| parse_stored(text).ok()).collect::<Option<_>>()?;
        Some(self.reduce_in_engine(key, &values).map(|reduced| self.stored_reduced(key, &reduced)))
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        if !self.compiled.finalizes() {
            return Ok(Some(reduced.clone()));
        }
        let finalized = self.attempt(
            |machine, input| match input {
                Input::Reduced(reduced) => machine.finalize(reduced),
                _ => hand_over(&"what is no reduced value"),
            },
            Input::Reduced(reduced),
        );
        match finalized {
            Some(finalized) => Ok(finalized),
            None => {
                let engine = engine(&mut self.engine, &self.plan)?;
                let outcome = engine.finalize(reduced);
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
