//! Every limit of this crate, with its unit.

/// Longest query text, in bytes of UTF-8.
pub const QUERY_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of parentheses, `not` and method calls in a query.
pub const QUERY_DEPTH_MAX: usize = 128;
/// Most parts of one field path (`a.b[].c` has three).
pub const PATH_PARTS_MAX: usize = 64;
/// Most bytes of rows and sort keys that one `order by` or `distinct` holds at a time.
pub const SORTED_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Most bytes of JSON in one answer, included documents counted; streams are not bounded by it.
pub const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Largest compiled form of a `regex()` pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// Most fields remembered for the reported name of one collection's auto index.
pub const AUTO_INDEX_FIELDS_MAX: usize = 64;
/// Most collections for which the reported name of an auto index is remembered.
pub const AUTO_INDEX_COLLECTIONS_MAX: usize = 1024;
/// Most bytes of the parameters' JSON that an error message repeats.
pub const ERROR_PARAMETERS_BYTES_MAX: usize = 4096;
/// Most characters of a wrong token that an error message repeats.
pub const ERROR_TOKEN_CHARS_MAX: usize = 100;
