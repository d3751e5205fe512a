//! Every limit of this crate, with its unit.

/// Longest query text, in bytes of UTF-8.
pub const QUERY_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of parentheses, `not`, signs and calls in a query, those of arithmetic included.
pub const QUERY_DEPTH_MAX: usize = 128;
/// Most parts of one field path (`a.b[].c` has three).
pub const PATH_PARTS_MAX: usize = 64;
/// Most bytes of rows and sort keys that one `order by` or `distinct` holds at a time.
pub const SORTED_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Most bytes of JSON in one answer, included documents counted; streams are not bounded by it.
pub const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Largest compiled form of a `regex()` pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of documents found by an auto index that are held while they are put in order; others are read twice.
pub const AUTO_HELD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most bytes of the parameters' JSON that an error message repeats.
pub const ERROR_PARAMETERS_BYTES_MAX: usize = 4096;
/// Most characters of a wrong token that an error message repeats.
pub const ERROR_TOKEN_CHARS_MAX: usize = 100;
/// Most results that `reduce by` reads, whether they fit the filter or not.
pub const REDUCE_RESULTS_MAX: usize = 10_000_000;
/// Most values that one call of an index's reduce gets from `reduce by`; more are folded in several calls.
pub const REDUCE_VALUES_MAX: usize = 256;
/// Bytes of JSON from which on such a call is made with fewer values, as soon as there are two.
pub const REDUCE_CHUNK_BYTES_MAX: usize = 1024 * 1024;
/// Most groups that `reduce by` holds at a time. Groups by the first group-by fields are held one at a time.
pub const REDUCE_GROUPS_MAX: usize = 100_000;
/// Most bytes of keys and values that `reduce by` holds at a time.
pub const REDUCE_HELD_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Most spans of values of one group-by field that narrow down what is read; with more, all of them are read.
pub const KEY_SPANS_MAX: usize = 64;
/// Most spans of terms of one field that narrow down what is read.
pub const TERM_SPANS_MAX: usize = 1024;
/// Rows of an index that a query reads before terms are made for it, if it gives less than a quarter of them.
pub const TERMS_WORTH_ROWS: u64 = 1_000;
/// Rows that are read by their keys before terms are tried.
pub const KEY_ROWS_TRIED: u64 = 512;
/// So many rows are read in the order of terms whatever the number of rows; beyond that, up to a quarter of them.
pub const TERMS_VISITED_MIN: u64 = 1_024;
/// Longest time that the calls of an index's functions for one query take together, in milliseconds.
pub const REDUCE_MS_MAX: u64 = 60_000;
/// Most bits of a number in arithmetic of `select`.
pub const ARITHMETIC_BITS_MAX: usize = 65_536;
/// Most digits behind the point of `divide()`.
pub const DIVIDE_DIGITS_MAX: u32 = 1000;
/// Most bytes of keys and sums that `group by` holds at a time.
pub const GROUPS_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Longest time that the JavaScript of one query takes for all its rows, in milliseconds.
pub const SCRIPT_MS_MAX: u64 = 60_000;
/// Most documents that the `load` clause loads for one row.
pub const LOADS_PER_ROW_MAX: usize = 1024;
/// Most facets, and most facets by ranges, of one document that describes them.
pub const FACETS_MAX: usize = 256;
/// Most queries of one of the two generations that are remembered as they were read from their text.
pub const PARSED_QUERIES_MAX: usize = 2048;
/// Most bytes of their texts.
pub const PARSED_QUERIES_BYTES_MAX: usize = 1024 * 1024;
/// Longest text of a query that is remembered, in bytes.
pub const PARSED_QUERY_BYTES_MAX: usize = 16 * 1024;
/// Most characters of one piece that `highlight()` gives.
pub const HIGHLIGHT_CHARS_MAX: usize = 65_536;
/// Most pieces that `highlight()` gives of one row.
pub const HIGHLIGHT_PIECES_MAX: usize = 1024;
/// Most rows of an index that `moreLikeThis()` reads to find its document, or to count in how many rows words are.
pub const LIKE_ROWS_MAX: usize = 1_000_000;
/// Most different words of the document of `moreLikeThis()` that are looked at.
pub const LIKE_WORDS_MAX: usize = 20_000;
