//! Every limit of this crate, with its unit.

use std::time::Duration;

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
/// Largest BigInt that a script may make, in bits of its magnitude (1,233 decimal digits).
pub const SCRIPT_BIG_INT_BITS_MAX: u64 = 4096;
/// Most times that one document is mapped over to find out what its map loads: one time more than the longest chain of
/// documents that are found by loading one another.
pub const LOAD_ROUNDS_MAX: usize = 16;
/// Most bytes of documents that mapping one document may load.
pub const LOADED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most fields of one document that are listed because a double could not hold their numbers.
pub const INEXACT_FIELDS_MAX: usize = 100;
/// Deepest nesting of what a map or reduce call returns.
pub const SCRIPT_OUTPUT_DEPTH_MAX: usize = 64;
/// Deepest recursion of script functions.
pub const SCRIPT_CALL_DEPTH_MAX: usize = 256;
/// Deepest nesting of what the compiled tier evaluates, all functions together; deeper calls are the engine's.
pub const SCRIPT_EVALUATION_DEPTH_MAX: usize = 8 * 1024;
/// Most memory that the values of one call may take in the compiled tier, in bytes as counted; larger calls are the
/// engine's.
pub const SCRIPT_MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most outputs of mapping one document.
pub const EMITS_PER_DOCUMENT_MAX: usize = 1024;
/// Largest output of one reduce call as compact JSON, in bytes.
pub const REDUCE_OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Largest reduce key in its ordered form, in bytes.
pub const REDUCE_KEY_BYTES_MAX: usize = 2048;
/// Most documents of one indexing batch. Twice as many are no quicker any more.
pub const BATCH_DOCUMENTS_MAX: usize = 32_768;
/// Most documents of an index's first batch.
pub const BATCH_DOCUMENTS_FIRST: usize = 4096;
/// What batches are not made smaller than for being slow.
pub const BATCH_DOCUMENTS_LEAST: usize = 256;
/// How long a batch may take before the next is made smaller.
pub const BATCH_TIME_WANTED: Duration = Duration::from_secs(1);
/// Most bytes of document bodies in one indexing batch.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Fewest changed entries of a batch whose reduce keys are folded on several threads.
pub const FOLD_CHANGES_MIN: usize = 2_048;
/// Most threads that fold the keys of one batch.
pub const FOLD_THREADS_MAX: usize = 8;
/// Most bytes of results and rows that they keep for being settled, all threads of a batch together, but for the last key
/// of each range of keys. What is left over then is folded on one thread.
pub const FOLD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Fewest documents of an index without rows that make a bulk build of it.
pub const BULK_DOCUMENTS_MIN: u64 = 5_000;
/// A bulk build reads all documents: the index must map at least one of so many.
pub const BULK_SHARE_MIN: u64 = 8;
/// Most documents that one thread of a bulk build takes at a time.
pub const BULK_CHUNK_DOCUMENTS_MAX: usize = 512;
/// Most bytes of their bodies, but for the last one.
pub const BULK_CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most chunks that one thread of a bulk build may be ahead of the slowest.
pub const BULK_CHUNKS_AHEAD_MAX: u64 = 16;
/// Most chunks that are kept for the builds that read together.
pub const SCAN_CHUNKS_AHEAD_MAX: usize = 32;
/// Most bytes of bodies and metadata in them, all lanes of one reading together, but for the last chunk of each.
pub const SCAN_BYTES_AHEAD_MAX: usize = 16 * 1024 * 1024;
/// After so many looks, of 20 ms each, in which builds waited for a slower one, that goes on without them. A chunk that
/// is read takes one look away.
pub const SCAN_LOOKS_LOST_MAX: u32 = 50;
/// Memory for entries on their way into order, in bytes, all threads of one build together.
pub const BULK_SORT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The same of all builds of one database that run at a time.
pub const BULK_SORT_BYTES_ALL_MAX: usize = 64 * 1024 * 1024;
/// Most threads of one bulk build.
pub const BULK_THREADS_MAX: usize = 8;
/// Bulk builds of an index in a row that may end with the process; then it is built batch by batch.
pub const BULK_TRIES_MAX: u32 = 3;
/// Most errors of one index that are listed; all are counted.
pub const ERRORS_LISTED_MAX: usize = 500;
/// Longest wait for the thread of an index that was told to stop, in milliseconds.
pub const WORKER_STOP_MS_MAX: u64 = 1_000;
/// Longest time of one call of an index's functions outside of its worker, in milliseconds; compiling them counts.
pub const QUERY_CALL_MS_MAX: u64 = 10_000;
/// Longest wait for a free thread to make such a call, in milliseconds.
pub const QUERY_CALL_WAIT_MS_MAX: u64 = 60_000;
/// Most threads of one index that make such calls, those not counted that did not come back.
pub const QUERY_CALLS_THREADS_MAX: usize = 2;
/// Most threads of one index left behind in calls that did not come back; then no more calls are made.
pub const QUERY_CALLS_ABANDONED_MAX: usize = 4;
/// How long such a thread stays without work, in milliseconds.
pub const QUERY_CALLS_IDLE_MS_MAX: u64 = 30_000;
/// Most scripts of queries that run at a time, in all databases together, those counted that did not come back.
pub const QUERY_SCRIPTS_MAX: usize = 64;
/// Most batches that tell how fast an index goes.
pub const PACE_BATCHES_MAX: usize = 16;
/// Most batches of an index whose figures are kept.
pub const PERFORMANCE_BATCHES_MAX: usize = 32;
/// Most changes that are counted to tell how far an index is behind; more are estimated.
pub const BEHIND_COUNTED_MAX: usize = 1024;
/// Starts of an index in a row that may end with the process in one call, before anything is committed; then it is left
/// out.
pub const FAILED_STARTS_MAX: u32 = 2;
/// The same for starts that ended in different calls or outside of any: what ends the process then is hardly the index.
pub const FAILED_STARTS_ANYWHERE_MAX: u32 = 20;
/// Longest wait of an index for its turn to start carefully, in milliseconds.
pub const CAREFUL_TURN_MS_MAX: u64 = 10_000;
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
/// Most fields of one index that have terms, a field counted once for each way of ordering it.
pub const TERM_FIELDS_MAX: usize = 64;
/// Most bytes of a term; of longer ones only so many are kept, and who finds them compares the whole again.
pub const TERM_BYTES_MAX: usize = 256;
/// Most results whose terms are made in one step.
pub const TERM_STEP_ROWS_MAX: usize = 2_000;
/// Bytes of results read and terms written after which such a step ends.
pub const TERM_STEP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most postings that one query lists before it reads results; fewer when that is a large share of all results, but
/// never fewer than [`TERM_SUBJECTS_MIN`].
pub const TERM_SUBJECTS_MAX: usize = 65_536;
/// So many postings are listed whatever the number of results.
pub const TERM_SUBJECTS_MIN: usize = 1_024;
/// Most pairs of spans of one field that are joined to one list.
pub const TERM_SPANS_JOINED_MAX: usize = 1_024;
/// Most single terms that are merged while they are read.
pub const TERM_CURSORS_MAX: usize = 16;
/// Most results of one term that are turned around in memory when terms are read backwards.
pub const TERM_GROUP_HELD_MAX: usize = 64;
/// Most keys, pages of a level, or entries in one explanation.
pub const EXPLAIN_PAGE_SIZE_MAX: usize = 1024;
/// Most results that are read in search of the keys that an explanation is asked of.
pub const EXPLAIN_KEYS_READ_MAX: usize = 1_000_000;
/// Most values that one reduce call of a flat fold gets.
pub const FLAT_FOLD_VALUES_MAX: usize = 64;
/// Most times that an index is mended and verified again in one go.
pub const REPAIR_ROUNDS_MAX: usize = 8;
/// Longest wait for the worker to mend what one verification lists, in milliseconds.
pub const REPAIR_WAIT_MS_MAX: u64 = 600_000;
/// Most documents that a trial of a definition maps.
pub const TRIAL_DOCUMENTS_MAX: usize = 100_000;
/// Most bytes of rows that a trial of a definition keeps in memory.
pub const TRIAL_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Longest time of a trial of a definition, in milliseconds; what is done by then is shown.
pub const TRIAL_MS_MAX: u64 = 60_000;
/// Most trials of one database that run or hang at a time.
pub const TRIALS_RUNNING_MAX: usize = 2;
/// Most pages of each level of a reduce tree whose values a trial shows.
pub const TRIAL_PAGES_SHOWN_MAX: usize = 4;
/// Most rows in each list of a trial.
pub const TRIAL_PAGE_SIZE_MAX: usize = 1024;
/// Most damages that one verification lists; all are counted.
pub const VERIFY_DAMAGES_LISTED_MAX: usize = 1000;
/// Most documents that one law check maps.
pub const LAW_DOCUMENTS_MAX: usize = 192;
/// Most bytes of their bodies.
pub const LAW_DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most reduce keys that one law check tests.
pub const LAW_KEYS_MAX: usize = 24;
/// Most map outputs of one key that a law check uses.
pub const LAW_VALUES_PER_KEY_MAX: usize = 48;
/// Most calls and compilations of an index's functions in one law check.
pub const LAW_CALLS_MAX: u64 = 20_000;
/// Longest time between the first call and the last of one law check, in milliseconds.
pub const LAW_MS_MAX: u64 = 1_500;
/// Longest wait for a law check, in milliseconds; what runs longer is left behind.
pub const LAW_WAIT_MS_MAX: u64 = 2_000;
/// Most law checks of one database at work, those counted that did not come back.
pub const LAW_CHECKS_RUNNING_MAX: usize = 4;
/// Most smaller counterexamples that are tried in place of one that was found.
pub const LAW_SHRINK_TRIALS_MAX: usize = 600;
/// Most documents and keys of one law check at which the functions fail that are listed.
pub const LAW_FAILURES_LISTED_MAX: usize = 5;
/// Longest time of running a patch on one document, in milliseconds.
pub const PATCH_CALL_MS_MAX: u64 = 10_000;
/// Most threads of one database that run patches, those not counted that did not come back.
pub const PATCH_THREADS_MAX: usize = 4;
/// Most patches that one thread keeps compiled.
pub const PATCH_ENGINES_MAX: usize = 8;
/// Most patches of one database whose checked scripts are kept.
pub const PATCH_SCRIPTS_KEPT_MAX: usize = 64;
/// Largest script that is kept, in bytes.
pub const PATCH_SCRIPT_KEPT_BYTES_MAX: usize = 16 * 1024;
/// Most documents that one run of a patch puts and deletes, and changes of counters.
pub const PATCH_EFFECTS_MAX: usize = 1024;
/// Most bytes of text that one run of a patch tells with `output()`.
pub const PATCH_OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Most auto indexes of one database; what wants more is answered without.
pub const AUTO_INDEXES_MAX: usize = 64;
/// Most fields of one auto index.
pub const AUTO_INDEX_FIELDS_MAX: usize = 64;
/// Longest name of an auto index, in bytes.
pub const AUTO_NAME_BYTES_MAX: usize = 1024;
/// Most digits before or behind the point of a number that is summed.
pub const SUM_DIGITS_MAX: u32 = 1000;
/// Fewest documents of a collection whose auto indexes queries read.
pub const AUTO_DOCUMENTS_MIN: u64 = 64;
/// Most changes behind an auto index that a query takes from the documents.
pub const AUTO_TAIL_MAX: usize = 1024;
/// Most bytes of their bodies.
pub const AUTO_TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;
