//! Patches as the wire has them.

use super::failure::PatchFailure;
use crate::body;
use crate::error::ServerError;
use magpie_indexes::FunctionError;
use magpie_indexes::function::FunctionErrorKind;
use magpie_indexes::patches::Patches;
use magpie_indexes::script::patch::PatchScript;
use magpie_store::json::{Json, Object};
use std::sync::Arc;

/// A script with its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// The script.
    pub(crate) script: Arc<PatchScript>,
    /// `Values`: an object, or null.
    pub(crate) arguments: Json,
}

/// What is done to a document: one of the two scripts, or it is made.
#[derive(Debug, Clone)]
pub(crate) struct PatchScripts {
    /// For a document that is there.
    pub(crate) patch: Script,
    /// For one that is not.
    pub(crate) if_missing: Option<Script>,
    /// What one that is not there becomes.
    pub(crate) create_if_missing: Option<Json>,
}

/// A patch of one document.
#[derive(Debug, Clone)]
pub(crate) struct PatchCommand {
    /// The document.
    pub(crate) id: String,
    /// The change vector it must have; empty = there must be none.
    pub(crate) expected: Option<String>,
    /// Whether another change vector skips the patch instead of failing the batch.
    pub(crate) skip_mismatch: bool,
    /// Whether the answer has the document.
    pub(crate) return_document: bool,
    /// Whether the answer has all that the script did, and the document before.
    pub(crate) details: bool,
    /// What is done.
    pub(crate) scripts: Arc<PatchScripts>,
}

impl PatchScripts {
    /// Reads `Patch`, `PatchIfMissing` and `CreateIfMissing`.
    ///
    /// # Errors
    /// When there is no patch, and when a script is none.
    pub(crate) fn read(patches: &Patches, body: &mut Object) -> Result<Arc<Self>, ServerError> {
        let patch = read_script(patches, body, "Patch")?.ok_or(PatchFailure::Missing)?;
        let if_missing = read_script(patches, body, "PatchIfMissing")?;
        let create_if_missing = body.remove("CreateIfMissing").filter(|document| !document.is_null());
        if if_missing.is_some() && create_if_missing.is_some() {
            return Err(ServerError::InvalidOperation(
                "give PatchIfMissing or CreateIfMissing, not both: a missing document becomes one of them"
                    .to_owned(),
            ));
        }
        Ok(Arc::new(Self { patch, if_missing, create_if_missing }))
    }
}

/// Reads a script: `{"Script":"..","Values":{..}}`; `None` when it is absent or null.
///
/// # Errors
/// When it has no script, or one that cannot be run.
fn read_script_of(patches: &Patches, mut patch: Object, name: &'static str) -> Result<Script, ServerError> {
    let Some(Json::String(text)) = patch.remove("Script") else {
        return Err(PatchFailure::ScriptMissing(name).into());
    };
    let arguments = match patch.remove("Values") {
        None | Some(Json::Null) => Json::Null,
        Some(Json::Object(values)) => Json::Object(values),
        Some(other) => {
            let expected = "an object with the arguments of the script";
            return Err(body::unconvertible("Values", &other, expected));
        }
    };
    Ok(Script { script: compile(patches, &text, "")?, arguments })
}

/// See [`read_script_of`].
///
/// # Errors
/// When it is no object, has no script, or one that cannot be run.
pub(crate) fn read_script(
    patches: &Patches,
    body: &mut Object,
    name: &'static str,
) -> Result<Option<Script>, ServerError> {
    match body.remove(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Object(patch)) => read_script_of(patches, patch, name).map(Some),
        Some(other) => Err(body::unconvertible(name, &other, "an object with a Script")),
    }
}

/// Functions that the original has for scripts besides JavaScript's own.
const LIBRARY: [(&str, &str); 3] = [
    (
        "startsWith",
        "function startsWith(text, part) { return typeof text === 'string' && typeof part === 'string' \
         && text.toLowerCase().startsWith(part.toLowerCase()); }",
    ),
    (
        "endsWith",
        "function endsWith(text, part) { return typeof text === 'string' && typeof part === 'string' \
         && text.toLowerCase().endsWith(part.toLowerCase()); }",
    ),
    (
        "regex",
        "function regex(text, pattern) { return typeof text === 'string' && new RegExp(pattern).test(text); }",
    ),
];

/// The declarations, with those of the library that the script may mean. What a script declares itself goes before them.
fn with_library(text: &str, declarations: &str) -> String {
    let mut all = declarations.to_owned();
    for (name, code) in LIBRARY {
        let own = declarations.contains(name) || text.contains(&format!("function {name}"));
        if text.contains(name) && !own {
            all.push('\n');
            all.push_str(code);
        }
    }
    all
}

/// Checks a script.
///
/// # Errors
/// [`PatchFailure::Parse`] for what is not JavaScript, [`PatchFailure::Refused`] for what breaks a rule.
pub(crate) fn compile(
    patches: &Patches,
    text: &str,
    declarations: &str,
) -> Result<Arc<PatchScript>, ServerError> {
    let failure = |error: FunctionError| match error.kind {
        FunctionErrorKind::Compile => {
            PatchFailure::Parse { error, script: text.chars().take(1000).collect() }
        }
        _ => PatchFailure::Refused(error),
    };
    Ok(patches.script(text, &with_library(text, declarations)).map_err(failure)?)
}
