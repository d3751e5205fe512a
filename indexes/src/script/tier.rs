//! Which of the two tiers runs an index's scripts, and who decides it.

use super::compiled::{CompiledPlan, WhyNot};
use super::errors::definition_error;
use crate::function::FunctionError;
use std::sync::Arc;

/// The key of an index's configuration under which a tier is asked for: `auto`, `compiled` or `boa`.
pub const TIER: &str = "Magpie.Tier";

/// The tier that runs the scripts of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tier {
    /// Magpie's own evaluator; single calls may be left to the engine.
    Compiled,
    /// The JavaScript engine, and why.
    Boa(WhyNot),
}

/// The tier that the author of an index asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TierChoice {
    /// The compiled tier when it understands all of the scripts, else the engine.
    #[default]
    Auto,
    /// The compiled tier or none.
    Compiled,
    /// The engine.
    Boa,
}

impl TierChoice {
    /// Reads the value of [`TIER`].
    ///
    /// # Errors
    /// A definition error for any other word.
    pub fn parse(text: &str) -> Result<Self, FunctionError> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "compiled" => Ok(Self::Compiled),
            "boa" => Ok(Self::Boa),
            _ => {
                let message = format!("the configuration {TIER} is '{text}'; use auto, compiled or boa");
                Err(definition_error(message, None))
            }
        }
    }

    /// What becomes of a compiled index, or of the reason for not having one.
    pub(super) fn settle(
        self,
        compiled: Result<Arc<CompiledPlan>, WhyNot>,
    ) -> Result<Result<Arc<CompiledPlan>, WhyNot>, FunctionError> {
        match (self, compiled) {
            (Self::Boa, _) => Ok(Err(WhyNot::of_the_whole(format!("the configuration {TIER}")))),
            (Self::Compiled, Err(why)) => {
                let message = format!(
                    "the compiled tier does not run {}; remove the configuration {TIER} to let the engine run the index",
                    why.construct
                );
                Err(definition_error(message, why.position))
            }
            (_, compiled) => Ok(compiled),
        }
    }
}
