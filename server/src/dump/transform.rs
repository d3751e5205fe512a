//! The script of an import or export (`TransformScript`): it changes each document on its way, or leaves it out with
//! `throw 'skip'`. It runs within the bounds of patches; `this` is the document.

use super::error::DumpError;
use crate::clock;
use crate::error::ServerError;
use crate::patch::{PatchFailure, compile};
use crate::random;
use magpie_indexes::function::NoLoads;
use magpie_indexes::patches::{PatchError, Patches};
use magpie_indexes::script::patch::{PatchInput, PatchScript};
use magpie_store::json::Json;
use std::sync::Arc;

/// What a script throws to leave a document out.
const SKIP: &str = "skip";

/// A script, ready to run.
pub(crate) struct Transform<'p> {
    patches: &'p Patches,
    script: Arc<PatchScript>,
    seed: u64,
}

impl<'p> Transform<'p> {
    /// The script of some options, if they have one.
    ///
    /// # Errors
    /// [`DumpError::Script`] when it is none.
    pub(crate) fn new(patches: &'p Patches, text: Option<&str>) -> Result<Option<Self>, ServerError> {
        let Some(text) = text else { return Ok(None) };
        Ok(Some(Self { patches, script: compiled(patches, text)?, seed: random::seed()? }))
    }

    /// What becomes of a document; `None` when the script leaves it out.
    ///
    /// # Errors
    /// What the script throws, and that it asks for more than to change its document.
    pub(crate) fn run(&mut self, id: &str, document: Json) -> Result<Option<Json>, ServerError> {
        self.seed = self.seed.wrapping_add(1);
        let input = PatchInput {
            id: id.to_owned(),
            document,
            arguments: Json::Null,
            now: clock::now(),
            seed: self.seed,
        };
        match self.patches.run(&self.script, input, &mut NoLoads) {
            Ok(run) if run.effects.is_empty() && run.loaded.is_empty() => Ok(Some(run.document)),
            Ok(_) => Err(DumpError::ScriptEffects { id: id.to_owned() }.into()),
            Err(PatchError::Script(error)) if error.message.trim().eq_ignore_ascii_case(SKIP) => Ok(None),
            Err(error) => Err(PatchFailure::Failed { id: id.to_owned(), error }.into()),
        }
    }
}

/// Checks a script.
///
/// # Errors
/// [`DumpError::Script`].
pub(crate) fn compiled(patches: &Patches, text: &str) -> Result<Arc<PatchScript>, ServerError> {
    compile(patches, text, "").map_err(|cause| DumpError::Script { cause: Box::new(cause) }.into())
}
