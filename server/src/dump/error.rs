//! What can be wrong with a dump. Places are byte offsets in the unpacked dump, counted from 0.

use crate::error::ServerError;
use crate::limits::{
    DUMP_DEPTH_MAX, DUMP_ITEM_BYTES_MAX, DUMP_KEY_BYTES_MAX, DUMP_RATIO_MAX, DUMPS_RUNNING_MAX,
    IMPORT_FILES_MAX,
};
use thiserror::Error;

/// Why a dump could not be read to its end.
#[derive(Debug, Error)]
pub enum DumpError {
    /// It is something else.
    #[error(
        "this is not a .ravendbdump: {found}; a dump is a JSON object, plain or packed with gzip or zstd"
    )]
    NotADump {
        /// What it is, as far as its beginning tells.
        found: String,
    },
    /// It ends too early.
    #[error("the dump is cut off at byte {at}, {place}")]
    Cut {
        /// How many unpacked bytes there were.
        at: u64,
        /// Inside of what it ends.
        place: String,
    },
    /// It breaks the grammar.
    #[error("the dump is damaged at byte {at}: {message}")]
    Malformed {
        /// Where.
        at: u64,
        /// What was expected and found.
        message: String,
    },
    /// Its packed form is damaged.
    #[error("the dump's {container} stream is damaged behind {at} unpacked bytes: {cause}")]
    Packed {
        /// `gzip` or `zstd`.
        container: &'static str,
        /// How many bytes could be unpacked.
        at: u64,
        /// What the decoder says.
        cause: String,
    },
    /// It grows beyond reason when it is unpacked.
    #[error(
        "the dump unpacks to more than {DUMP_RATIO_MAX} times its size (dump_ratio_max; {packed} bytes became \
         {at}); if it is really yours, unpack it and import it plain"
    )]
    Bomb {
        /// How many bytes were unpacked.
        at: u64,
        /// From how many.
        packed: u64,
    },
    /// It nests too deeply.
    #[error("the dump nests deeper than {DUMP_DEPTH_MAX} levels (dump_depth_max) at byte {at}")]
    TooDeep {
        /// Where.
        at: u64,
    },
    /// A name on its top level is too long.
    #[error(
        "a name on the dump's top level is longer than {DUMP_KEY_BYTES_MAX} bytes (dump_key_bytes_max) at byte {at}"
    )]
    LongKey {
        /// Where.
        at: u64,
    },
    /// A value on its top level is too long.
    #[error(
        "the value '{key}' at byte {at} is longer than {DUMP_ITEM_BYTES_MAX} bytes (dump_item_bytes_max)"
    )]
    LongValue {
        /// Where.
        at: u64,
        /// Its name.
        key: String,
    },
    /// A file of CSV breaks the grammar, or one of its records does not fit the columns.
    #[error("line {line}, column {column}: {message}")]
    Csv {
        /// The line, counted from 1.
        line: u64,
        /// The column, counted from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A file of the server's machine is not there.
    #[error("there is no {} '{path}' on the server's machine", kind_of_path(*is_folder))]
    NoFile {
        /// Its full path.
        path: String,
        /// Whether a folder was asked for.
        is_folder: bool,
    },
    /// A folder of the server's machine has too many dumps.
    #[error(
        "the folder '{path}' has more than {IMPORT_FILES_MAX} dumps (import_files_max); import parts of it"
    )]
    TooManyFiles {
        /// Its full path.
        path: String,
    },
    /// A dump of several is at fault; the ones behind it were not read.
    #[error("{name}: {cause}. From the files before it: {before}; those behind it were not read")]
    File {
        /// Its full path.
        name: String,
        /// What is wrong with it.
        cause: Box<ServerError>,
        /// What is in the database of those before it.
        before: String,
    },
    /// An option asks for what this server cannot do.
    #[error("the option {name} of an import or export is not supported by this server; leave it out")]
    Option {
        /// The option.
        name: &'static str,
    },
    /// A script that is to change documents is none.
    #[error("Incorrect transform script: {cause}")]
    Script {
        /// What is wrong with it.
        cause: Box<ServerError>,
    },
    /// A script that is to change documents does something else.
    #[error(
        "the TransformScript asked for other documents when it was given '{id}': it may only change that one, so take out \
         load(), put() and del()"
    )]
    ScriptEffects {
        /// The document.
        id: String,
    },
    /// As many imports and exports as may run at a time are running.
    #[error(
        "{DUMPS_RUNNING_MAX} imports or exports are running (dumps_running_max); ask again when one has ended"
    )]
    TooMany,
    /// An import ended early. What was committed before stays.
    #[error("{cause}. What was read before that stays: {written}")]
    Stopped {
        /// Why.
        cause: Box<ServerError>,
        /// What is in the database, by kind.
        written: String,
    },
    /// The client does not take the dump any more.
    #[error("the dump could not be sent to its end: {0}")]
    Sending(String),
    /// The sender was too slow, or went away.
    #[error("the dump could not be received to its end: {0}")]
    Receiving(String),
}

fn kind_of_path(is_folder: bool) -> &'static str {
    if is_folder { "folder" } else { "file or folder" }
}
