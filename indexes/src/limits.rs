//! Every limit of this crate, with its unit.

/// Stack of every thread that runs scripts, in bytes. Deeply nested source needs it: see [`SCRIPT_NESTING_MAX`].
pub const SCRIPT_STACK_BYTES: usize = 64 * 1024 * 1024;
/// Deepest nesting of brackets in a script's source, checked before it is parsed.
pub const SCRIPT_NESTING_MAX: usize = 64;
/// Most operators, keywords and chain links on one path through a script's syntax tree, checked before it is parsed.
pub const SCRIPT_DEPTH_MAX: usize = 500;
/// Largest source of one index (maps, reduce, additional sources together), in bytes.
pub const SCRIPT_BYTES_MAX: usize = 1024 * 1024;
/// Most loop turns of one function frame; frames multiply, see [`SCRIPT_CALL_DEPTH_MAX`].
pub const SCRIPT_LOOP_TURNS_MAX: u64 = 1_000_000;
/// Most loop turns and function calls of one map or reduce call, all frames together; native functions that walk over
/// arrays and strings are charged too.
pub const SCRIPT_STEPS_MAX: u64 = 1_000_000;
/// Longest array, and longest string in UTF-16 units, that a native function may be asked to make.
pub const SCRIPT_LENGTH_MAX: usize = 1_000_000;
/// Deepest nesting of what a map or reduce call returns.
pub const SCRIPT_OUTPUT_DEPTH_MAX: usize = 64;
/// Deepest recursion of script functions.
pub const SCRIPT_CALL_DEPTH_MAX: usize = 256;
/// Most outputs of mapping one document.
pub const EMITS_PER_DOCUMENT_MAX: usize = 1024;
/// Largest output of one reduce call as compact JSON, in bytes.
pub const REDUCE_OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Largest reduce key in its ordered form, in bytes.
pub const REDUCE_KEY_BYTES_MAX: usize = 2048;
/// Most documents of one indexing batch.
pub const BATCH_DOCUMENTS_MAX: usize = 1024;
/// Most bytes of document bodies in one indexing batch.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most errors of one index that are listed; all are counted.
pub const ERRORS_LISTED_MAX: usize = 500;
/// Longest wait for the thread of an index that was told to stop, in milliseconds.
pub const WORKER_STOP_MS_MAX: u64 = 1_000;
/// Most documents that mapping one document may load.
pub const LOADS_PER_DOCUMENT_MAX: usize = 1024;
/// Most bytes of loaded documents that one batch keeps at hand.
pub const LOADS_CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of rows and output documents that one indexing batch writes, unless a single document makes more.
pub const BATCH_OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most output documents that one reference document names.
pub const OUTPUT_REFERENCES_MAX: usize = 10_000;
/// Most rows that one step of following the results looks at.
pub const OUTPUT_STEP_ROWS_MAX: usize = 2_000;
