//! Patches: scripts that change a document, run by the engine of the indexes within the same bounds.
//!
//! A patch is the body of a function whose `this` is the document. Unlike an index it may ask for the time and for
//! random numbers, which come in as arguments, and it may `put` and `del` other documents and change counters.

use super::boa::Plan;
use super::boa::patch::{PatchEngine, is_sound};
use super::parse::{self, Role};
use super::{dialect, nesting, rewrite, tokens};
use crate::definition::Numbers;
use crate::function::{FunctionError, Loads};
use crate::limits::{PATCH_ENGINES_MAX, SCRIPT_STEPS_MAX};
use boa_interner::Interner;
use magpie_store::Timestamp;
use magpie_store::json::Json;
use std::collections::VecDeque;
use std::sync::Arc;

/// A patch, checked and ready to be compiled on any thread.
#[derive(Debug)]
pub struct PatchScript {
    text: String,
    plan: Plan,
}

/// One document to patch.
#[derive(Debug, Clone)]
pub struct PatchInput {
    /// Its id.
    pub id: String,
    /// The document with its `@metadata`, as clients see it.
    pub document: Json,
    /// The arguments: an object, or null.
    pub arguments: Json,
    /// What `new Date()` is.
    pub now: Timestamp,
    /// Where the random numbers begin.
    pub seed: u64,
}

/// What a script does to other documents, and to counters of any.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// `put(id, document, [changeVector])`.
    Put {
        /// The id, which may ask to be completed as that of any write.
        id: String,
        /// The document.
        document: Json,
        /// The change vector it must have, if the script names one.
        expected: Option<String>,
    },
    /// `del(id, [changeVector])`.
    Delete {
        /// The id.
        id: String,
        /// The change vector it must have, if the script names one.
        expected: Option<String>,
    },
    /// `incrementCounter(doc, name, [by])`.
    IncrementCounter {
        /// The document.
        id: String,
        /// The counter.
        name: String,
        /// What is added.
        by: i64,
    },
    /// `deleteCounter(doc, name)`.
    DeleteCounter {
        /// The document.
        id: String,
        /// The counter.
        name: String,
    },
}

impl Effect {
    /// The id as the script wrote it.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Put { id, .. }
            | Self::Delete { id, .. }
            | Self::IncrementCounter { id, .. }
            | Self::DeleteCounter { id, .. } => id,
        }
    }
}

/// What a patch did.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchRun {
    /// The document afterwards, with its `@metadata`. What the script did not touch has its digits and order.
    pub document: Json,
    /// What it put and deleted and how it changed counters, in order.
    pub effects: Vec<Effect>,
    /// The texts of `output()`.
    pub output: Vec<String>,
    /// The ids that it loaded, and whether there was such a document.
    pub loaded: Vec<(String, bool)>,
    /// The names of the counters that it read, and their values.
    pub counters: Vec<(String, Option<i64>)>,
}

impl PatchScript {
    /// Checks the body of a patch, and the text of functions that stand around it.
    ///
    /// # Errors
    /// A [`FunctionError`] of kind `Compile` for what is not JavaScript, `Definition` for what a patch may not use,
    /// `Limit` for what is too large or nested too deeply; with the position in the body.
    pub fn new(body: &str, declarations: &str) -> Result<Self, FunctionError> {
        parse::check_size([body, declarations].into_iter())?;
        let text = parse::as_patch(body, declarations);
        let plan = parse::on_large_stack(|| Self::plan(&text)).map_err(in_words_of_patches)?;
        Ok(Self { text, plan })
    }

    fn plan(text: &str) -> Result<Plan, FunctionError> {
        let labelled = |error| parse::in_source(Role::Patch, error);
        let tokens = tokens::scan(text).map_err(labelled)?;
        nesting::check(text, &tokens).map_err(labelled)?;
        let mut interner = Interner::new();
        let tree = parse::parse(text, &tokens, Role::Patch, &mut interner).map_err(labelled)?;
        if dialect::lone_expression(&tree).is_none() {
            let message = "Unexpected token '}': the script closes a brace that it did not open";
            return Err(super::errors::compile_error(message, None));
        }
        let program = rewrite::rewrite(std::slice::from_ref(&tree), &interner, Numbers::Double)?;
        let (name, labels, projections) = ("patch".to_owned(), Vec::new(), Vec::new());
        Ok(Plan {
            name,
            program,
            labels,
            group_by: None,
            projections,
            numbers: Numbers::Double,
            is_query: false,
            reads_values: true,
        })
    }
}

/// The bounds and rules are those of indexes, and so are their words.
fn in_words_of_patches(error: FunctionError) -> FunctionError {
    let message = if error.message.contains("Indexing.MaxStepsForScript") {
        format!(
            "The maximum number of statements executed have been reached - {SCRIPT_STEPS_MAX} (script_steps_max): make \
             the patch do less for one document, or split it."
        )
    } else {
        error.message.replace("in an index", "in a patch").replace("the map ", "the patch ")
    };
    FunctionError { message, ..error }
}

/// The patches that a thread has compiled, a bounded number.
#[derive(Default)]
pub struct PatchEngines {
    /// The one used last at the end.
    engines: VecDeque<(Arc<PatchScript>, PatchEngine)>,
}

impl PatchEngines {
    /// Runs a patch on one document. The calling thread needs the stack that `crate::limits::SCRIPT_STACK_BYTES` names.
    ///
    /// # Errors
    /// What the script throws, and the bounds it runs into.
    pub fn run(
        &mut self,
        script: &Arc<PatchScript>,
        input: &PatchInput,
        documents: &mut dyn Loads,
    ) -> Result<PatchRun, FunctionError> {
        let known = self
            .engines
            .iter()
            .position(|(known, _)| Arc::ptr_eq(known, script) || known.text == script.text);
        let (known, mut engine) = match known.and_then(|at| self.engines.remove(at)) {
            Some(found) => found,
            None => {
                let engine = PatchEngine::load(&script.plan).map_err(in_words_of_patches)?;
                (Arc::clone(script), engine)
            }
        };
        let outcome = engine.run(&known.plan, input, documents);
        if is_sound(&outcome) {
            self.engines.push_back((known, engine));
            if self.engines.len() > PATCH_ENGINES_MAX {
                self.engines.pop_front();
            }
        }
        outcome.map_err(in_words_of_patches)
    }
}
