//! Steps, native depth and the reason of a stop, for the call that runs on this thread.
//!
//! They are thread-local because the engine's native functions cannot hold Rust state of their own without unsafe
//! code. A call begins with a full budget and nothing of it outlives the call.

use crate::limits::{
    LOADED_BYTES_MAX, LOADS_PER_DOCUMENT_MAX, SCRIPT_BIG_INT_BITS_MAX, SCRIPT_LENGTH_MAX, SCRIPT_STEPS_MAX,
};
use boa_engine::error::RuntimeLimitError;
use boa_engine::{JsError, JsResult};
use std::cell::Cell;

/// How many native functions may be inside each other, as in joining arrays of arrays.
const NATIVE_DEPTH_MAX: u32 = 64;

thread_local! {
    static STEPS_LEFT: Cell<u64> = const { Cell::new(0) };
    static NATIVE_DEPTH: Cell<u32> = const { Cell::new(0) };
    static REASON: Cell<Option<Reason>> = const { Cell::new(None) };
}

/// Why a call was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It used all its steps.
    Steps,
    /// It asked for an array or a string that is too long.
    Length,
    /// It nested arrays or prototypes too deeply.
    Depth,
    /// It asked for a BigInt that is too large.
    BigInt,
    /// It loads too many documents.
    Loads,
    /// It loads too large documents.
    LoadedBytes,
}

impl Reason {
    /// The message for users.
    pub fn message(self) -> String {
        match self {
            Self::Steps => {
                "The maximum number of statements executed has been reached. You can configure it by \
                            modifying the configuration option: 'Indexing.MaxStepsForScript'."
                    .to_owned()
            }
            Self::Length => format!(
                "the script asked for an array or a string with more than {SCRIPT_LENGTH_MAX} elements or characters, \
                 which is not allowed"
            ),
            Self::Depth => "the script nests arrays, objects or prototypes too deeply".to_owned(),
            Self::BigInt => format!(
                "the script asked for a BigInt with more than {SCRIPT_BIG_INT_BITS_MAX} bits \
                 (script_big_int_bits_max), which is not allowed"
            ),
            Self::Loads => format!(
                "the map loads more than {LOADS_PER_DOCUMENT_MAX} documents (loads_per_document_max), which is not \
                 allowed"
            ),
            Self::LoadedBytes => format!(
                "the documents that the map loads have more than {LOADED_BYTES_MAX} bytes together \
                 (loaded_bytes_max), which is not allowed"
            ),
        }
    }
}

/// Begins a call with a full budget.
pub(super) fn begin_call() {
    STEPS_LEFT.set(SCRIPT_STEPS_MAX);
    NATIVE_DEPTH.set(0);
    REASON.set(None);
}

/// The steps of the current call so far.
pub(super) fn used() -> u64 {
    SCRIPT_STEPS_MAX - STEPS_LEFT.get()
}

/// Whether a bound was hit in the current call.
pub(super) fn exhausted() -> bool {
    REASON.get().is_some()
}

/// Why the current call was stopped, if it was.
pub(super) fn reason() -> Option<Reason> {
    REASON.get()
}

/// Stops the call with an error that scripts cannot catch.
pub(super) fn stop(reason: Reason) -> JsError {
    REASON.set(Some(reason));
    RuntimeLimitError::LoopIteration.into()
}

/// Takes steps from the budget.
///
/// # Errors
/// Uncatchable, when there are not enough left.
pub(super) fn charge(steps: u64) -> JsResult<()> {
    match STEPS_LEFT.get().checked_sub(steps) {
        Some(left) => {
            STEPS_LEFT.set(left);
            Ok(())
        }
        None => Err(stop(Reason::Steps)),
    }
}

/// Refuses lengths beyond the limit, and charges one step for every four elements.
///
/// # Errors
/// Uncatchable.
pub(super) fn charge_length(length: u64) -> JsResult<()> {
    if length > SCRIPT_LENGTH_MAX as u64 {
        return Err(stop(Reason::Length));
    }
    charge(length / 4)
}

/// Refuses strings beyond the limit, and charges one step for every 256 characters of a string that an operator made.
///
/// # Errors
/// Uncatchable.
pub(super) fn charge_text(length: u64) -> JsResult<()> {
    if length > SCRIPT_LENGTH_MAX as u64 {
        return Err(stop(Reason::Length));
    }
    charge(length / 256)
}

/// Runs a native function inside others, counted.
///
/// # Errors
/// Uncatchable, when they are too many.
pub(super) fn nested<T>(work: impl FnOnce() -> JsResult<T>) -> JsResult<T> {
    let depth = NATIVE_DEPTH.get();
    if depth >= NATIVE_DEPTH_MAX {
        return Err(stop(Reason::Depth));
    }
    NATIVE_DEPTH.set(depth + 1);
    let result = work();
    NATIVE_DEPTH.set(depth);
    result
}
