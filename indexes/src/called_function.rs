//! An index's functions as one [`IndexFunction`] for whoever works outside of the worker: each call goes through
//! [`Calls`], so a function that does not come back costs a thread and not the caller.

use crate::calls::{CallError, Calls};
use crate::function::{Emitted, FunctionError, FunctionErrorKind, IndexFunction, Loads};
use magpie_store::Document;
use magpie_store::json::Json;

/// See above. A panic fails like a script. So does a call that was not made or did not come back, but [`Self::check`] tells
/// that apart.
pub(crate) struct CalledFunction<'c> {
    calls: &'c Calls,
    refused: Option<CallError>,
}

impl<'c> CalledFunction<'c> {
    pub fn new(calls: &'c Calls) -> Self {
        Self { calls, refused: None }
    }

    /// Whether every call so far was made and came back, so that its outcome is the function's own.
    ///
    /// # Errors
    /// The first call that was not, or did not.
    pub fn check(&self) -> Result<(), CallError> {
        self.refused.clone().map_or(Ok(()), Err)
    }

    fn own<T>(&mut self, outcome: Result<T, CallError>) -> Result<T, FunctionError> {
        outcome.map_err(|error| match error {
            CallError::Function(error) => error,
            CallError::Panicked { message } => {
                let message = format!("the function panicked: {message}");
                FunctionError { kind: FunctionErrorKind::Run, message, position: None }
            }
            other => {
                let message = other.to_string();
                self.refused.get_or_insert(other);
                FunctionError { kind: FunctionErrorKind::Limit, message, position: None }
            }
        })
    }
}

impl IndexFunction for CalledFunction<'_> {
    fn map(&mut self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let outcome = self.calls.map(document, loads);
        self.own(outcome)
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let outcome = self.calls.reduce(key.to_vec(), values.to_vec());
        self.own(outcome)
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        let outcome = self.calls.finalize(reduced.clone());
        self.own(outcome)
    }
}
