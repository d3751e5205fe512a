//! The compiled tier: index scripts as trees of places, run by an evaluator of Magpie's own over the stored text.
//!
//! `compile/` turns the syntax trees of an index's scripts into a [`program::Program`], or names the first construct it
//! does not understand; the index then runs in the engine (`boa/`) as a whole. `evaluate.rs`, `execute.rs`, `assign.rs`
//! and `calls.rs` run programs on a [`machine::Machine`]: one arena for each call, every step and every allocation
//! counted, nothing left behind.
//!
//! The tier gives answers or nothing. A call that throws, runs into a bound, or meets a value for which the engine's
//! behaviour is not surely known is handed over: the engine runs it from the start, and its result or error counts. So
//! errors have one wording, and whatever is rare needs to be right in one place only. Functions are pure, so running
//! one again changes nothing.
//!
//! What it does not do: classes, `this`, getters, regular expressions beyond plain ones, anything that keeps state.

mod assign;
mod big;
mod builtins;
mod calls;
mod compile;
mod convert;
mod documents;
mod evaluate;
mod execute;
mod fields;
mod function;
mod iterate;
mod list;
mod loads;
mod machine;
mod methods;
mod natives;
mod nothing;
mod numbers;
mod output;
mod program;
mod read;
mod realm;
mod record;
mod regex;
mod regex_match;
mod row_text;
mod row_walk;
mod rows;
mod scanner;
mod shapes;
mod statements;
mod stored;
mod table;
mod text;
mod value;

pub use compile::WhyNot;
pub(super) use function::{CompiledFunction, CompiledPlan};

use super::dialect::{GroupBy, Projection};
use super::parse::ParsedScript;
use boa_interner::Interner;

/// Compiles the scripts of an index. `labels` are what the scripts are called, `projections` what the maps read, in the
/// order of their registration.
///
/// # Errors
/// The first construct that is not understood.
pub(super) fn compile(
    scripts: &[ParsedScript],
    labels: &[String],
    interner: &Interner,
    group_by: Option<&GroupBy>,
    projections: &[Option<Projection>],
) -> Result<CompiledPlan, WhyNot> {
    compile::program(scripts, labels, interner, group_by, projections).map(CompiledPlan::new)
}
