//! The patches of one database: compiled scripts at hand, and threads that run them.
//!
//! A script runs on a thread of `calls.rs`, never on its caller's: one that hangs is left behind, and of those there
//! may be only a few. Documents that it loads are asked of the caller.

use crate::calls::{CallError, CallLimits, Calls};
use crate::function::{FunctionError, Loads};
use crate::limits;
use crate::script::patch::{PatchEngines, PatchInput, PatchRun, PatchScript};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use thiserror::Error;

/// A patch that gave no document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatchError {
    /// The script threw, broke a rule, or ran into a bound.
    #[error(transparent)]
    Script(#[from] FunctionError),
    /// The script did not come back in time.
    #[error(
        "the script took longer than {ms_max} ms (patch_call_ms_max) and was left behind; make it do less"
    )]
    TooLong {
        /// The limit, in milliseconds.
        ms_max: u64,
    },
    /// No thread was free in time, or too many scripts have not come back.
    #[error("{reason}; nothing was written, ask again")]
    Busy {
        /// What is in the way.
        reason: String,
    },
    /// The engine failed.
    #[error("the JavaScript engine failed on this document: {message}")]
    Panicked {
        /// The text of the panic.
        message: String,
    },
}

impl From<CallError> for PatchError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Function(error) => Self::Script(error),
            CallError::Panicked { message } => Self::Panicked { message },
            CallError::TooLong { ms_max } => Self::TooLong { ms_max },
            CallError::Busy { threads_max, ms_max } => Self::Busy {
                reason: format!(
                    "all {threads_max} threads (patch_threads_max) that run patches were busy for {ms_max} ms"
                ),
            },
            CallError::Abandoned { count } => Self::Busy {
                reason: format!(
                    "{count} patches have not come back (query_calls_abandoned_max), so no more are run until they do"
                ),
            },
            CallError::Thread { cause } => {
                Self::Busy { reason: format!("a thread to run the patch could not be started: {cause}") }
            }
        }
    }
}

/// Compiles and runs the patches of one database, from any thread that may block.
pub struct Patches {
    calls: Calls<PatchEngines>,
    /// The scripts used last, the newest at the end.
    scripts: Mutex<VecDeque<(Key, Arc<PatchScript>)>>,
}

/// Body and declarations.
type Key = (String, String);

impl Default for Patches {
    fn default() -> Self {
        let limits = CallLimits {
            call_ms_max: limits::PATCH_CALL_MS_MAX,
            threads_max: limits::PATCH_THREADS_MAX,
            ..CallLimits::default()
        };
        let calls = Calls::of(Arc::new(|| Ok(PatchEngines::default())), limits);
        Self { calls, scripts: Mutex::default() }
    }
}

impl Patches {
    /// Checks a script, or finds it among those used last. `declarations` are functions that the body may call.
    ///
    /// # Errors
    /// Those of [`PatchScript::new`].
    pub fn script(&self, body: &str, declarations: &str) -> Result<Arc<PatchScript>, FunctionError> {
        let mut scripts = crate::index::lock(&self.scripts);
        let known = scripts.iter().position(|((b, d), _)| b == body && d == declarations);
        if let Some(found) = known.and_then(|at| scripts.remove(at)) {
            let script = Arc::clone(&found.1);
            scripts.push_back(found);
            return Ok(script);
        }
        drop(scripts);
        let script = Arc::new(PatchScript::new(body, declarations)?);
        // Large scripts are rare and would make the memory of this list depend on them.
        if body.len() + declarations.len() <= limits::PATCH_SCRIPT_KEPT_BYTES_MAX {
            let mut scripts = crate::index::lock(&self.scripts);
            scripts.push_back(((body.to_owned(), declarations.to_owned()), Arc::clone(&script)));
            if scripts.len() > limits::PATCH_SCRIPTS_KEPT_MAX {
                scripts.pop_front();
            }
        }
        Ok(script)
    }

    /// Runs a script on one document. `documents` gives those that it loads, on the calling thread.
    ///
    /// # Errors
    /// Any [`PatchError`]; there are no effects then.
    pub fn run(
        &self,
        script: &Arc<PatchScript>,
        input: PatchInput,
        documents: &mut dyn Loads,
    ) -> Result<PatchRun, PatchError> {
        let script = Arc::clone(script);
        Ok(self
            .calls
            .work(documents, move |engines, documents| engines.run(&script, &input, documents))??)
    }
}
