//! Every limit of this crate, with its unit.

/// Longest document id, in bytes of UTF-8.
pub const DOCUMENT_ID_BYTES_MAX: usize = 512;
/// Longest collection name, in bytes of UTF-8.
pub const COLLECTION_BYTES_MAX: usize = 256;
/// Deepest nesting of arrays and objects in a JSON text.
pub const JSON_DEPTH_MAX: usize = 100;
/// Largest document as compact JSON, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest number token, in characters.
pub const NUMBER_CHARS_MAX: usize = 4096;
/// Largest absolute exponent of a number token.
pub const NUMBER_EXPONENT_MAX: i64 = 99_999;
/// Most bytes that one group commit gathers before it is written.
pub const GROUP_COMMIT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most decimal digits of a BigInt of a script.
pub const BIG_INT_DIGITS_MAX: usize = 20_000;
/// Largest attachment, in bytes: as much as a request's body may have, for it is held in memory once.
pub const ATTACHMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How an attachment is cut into rows, in bytes, so that it can be read in parts. Part of the disk format.
pub const ATTACHMENT_CHUNK_BYTES: usize = 1024 * 1024;
/// Most attachments of one document: its metadata lists them all.
pub const ATTACHMENTS_PER_DOCUMENT_MAX: usize = 1000;
/// Longest name of a counter, in UTF-16 units: the original counts so, and calls them bytes.
pub const COUNTER_NAME_UNITS_MAX: usize = 512;
/// Most bytes of the names of all counters of one document: its metadata lists them all, and is written anew with each
/// name that comes or goes.
pub const COUNTER_NAMES_BYTES_MAX: usize = 256 * 1024;
/// Largest compare-exchange value as compact JSON, in bytes.
pub const COMPARE_EXCHANGE_BYTES_MAX: usize = 1024 * 1024;
/// Most beginnings of ids of which a database remembers the last id.
pub const ID_ENDS_MAX: usize = 256;
/// Most rows that a light snapshot reads, those that are looked for and not there included.
pub const LIGHT_READS_MAX: u32 = 128;
/// Most bytes of these rows.
pub const LIGHT_BYTES_MAX: usize = 256 * 1024;
