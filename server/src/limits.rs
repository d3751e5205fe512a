//! Every limit of this crate, with its unit. What an operator may change is a field of [`Limits`].

/// Longest database name, in characters.
pub const DATABASE_NAME_CHARS_MAX: usize = 128;
/// Longest request head (request line and headers), in bytes.
pub const HEAD_BYTES_MAX: usize = 256 * 1024;
/// How long a client may take to send a request's head, in milliseconds.
pub const HEAD_READ_MS_MAX: u64 = 15_000;
/// How long a request's body may stand still, in milliseconds.
pub const BODY_IDLE_MS_MAX: u64 = 120_000;
/// How long requests in flight may go on after the order to stop, in milliseconds.
pub const STOP_MS_MAX: u64 = 10_000;
/// How long a write or query may wait for indexes, in milliseconds.
pub const WAIT_MS_MAX: u64 = 30 * 60 * 1000;
/// How long a query waits for indexes when it asks to wait and names no time, in milliseconds.
pub const QUERY_WAIT_MS_DEFAULT: u64 = 15_000;
/// Longest body of a query that is read on the thread that got it, in bytes.
pub const QUERY_INLINE_BYTES_MAX: usize = 16 * 1024;
/// Most threads for blocking work (disk, queries).
pub const BLOCKING_THREADS_MAX: usize = 64;
/// Most queries that run at a time; the others wait without a thread, so that writes always find one.
pub const QUERIES_RUNNING_MAX: usize = 32;
/// Most streams that are written at a time; the others wait without a thread.
pub const STREAMS_RUNNING_MAX: usize = 16;
/// Bytes of a stream that are gathered before they are sent.
pub const STREAM_CHUNK_BYTES: usize = 64 * 1024;
/// Most chunks of a stream that wait for the client.
pub const STREAM_CHUNKS_WAITING_MAX: usize = 4;
/// How long rows of a stream are gathered before they are sent with the next one, in milliseconds.
pub const STREAM_FLUSH_MS: u64 = 50;
/// How long a stream waits for a client that does not read, in milliseconds; then it breaks off.
pub const STREAM_IDLE_MS_MAX: u64 = 120_000;
/// Most verifications of indexes that run at a time; further ones are refused.
pub const VERIFICATIONS_RUNNING_MAX: usize = 2;
/// Most requests with patches that run at a time; the others wait without a thread.
pub const PATCHES_RUNNING_MAX: usize = 16;
/// Most times that a batch with patches runs anew because a document that it read was written meanwhile. That is no
/// fault of the batch, and how often it happens hangs on how loaded the machine is: so what ends the attempts is
/// [`PATCH_BATCH_MS_MAX`], and this number is only there to end those that would take no time at all.
pub const PATCH_ATTEMPTS_MAX: usize = 1_000_000;
/// Longest time in which a batch runs patches, in milliseconds, all attempts together.
pub const PATCH_BATCH_MS_MAX: u64 = 60_000;
/// Most bytes of documents that the patches of one batch write.
pub const PATCH_BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most patches and deletes by query that run at a time; the others wait, as operations in progress.
pub const BULK_QUERIES_RUNNING_MAX: usize = 4;
/// Most documents that a patch or delete by query writes in one batch.
pub const BULK_QUERY_CHUNK_DOCUMENTS_MAX: usize = 128;
/// Most documents that the result of such an operation lists; all are counted.
pub const BULK_QUERY_DETAILS_MAX: usize = 10_000;
/// How often such an operation that waits for its turn looks whether it was killed, in milliseconds.
pub const BULK_QUERY_LOOK_MS: u64 = 100;
/// How often a query starts again because its index was replaced between lookup and snapshot.
pub const QUERY_MOVED_RETRIES_MAX: usize = 100;
/// Most connections that are told changes, all databases together; further ones are refused.
pub const CHANGES_CONNECTIONS_MAX: usize = 1024;
/// Most changes that wait for one connection, which is cut off beyond that.
pub const CHANGES_QUEUE_MAX: usize = 4096;
/// Most things that one connection watches.
pub const CHANGES_WATCHES_MAX: usize = 4096;
/// Most changes in one message.
pub const CHANGES_MESSAGES_MAX: usize = 256;
/// Longest command of a connection, in bytes.
pub const CHANGES_COMMAND_BYTES_MAX: usize = 64 * 1024;
/// Rows of the change feed that are read at a time for notifications.
pub const CHANGES_FEED_READ_MAX: usize = 1024;
/// How long notifications wait for a connection that does not keep up, in milliseconds.
pub const CHANGES_SLOW_MS_MAX: u64 = 2_000;
/// How long a connection may take to accept a message, in milliseconds.
pub const CHANGES_SEND_MS_MAX: u64 = 15_000;
/// Time between two signs of life to a connection, in milliseconds.
pub const CHANGES_HEARTBEAT_MS: u64 = 10_000;
/// Most requests in one `multi_get`.
pub const MULTI_GET_REQUESTS_MAX: usize = 1024;
/// Most documents of one sub-batch of a streamed upload.
pub const UPLOAD_BATCH_DOCUMENTS_MAX: usize = 8_000;
/// Most bytes of document text in one sub-batch of a streamed upload (one document may exceed it alone).
pub const UPLOAD_BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest element of a bulk insert and longest line of an NDJSON upload, in bytes: a document and its wrapping.
pub const UPLOAD_ITEM_BYTES_MAX: usize = magpie_store::limits::DOCUMENT_BYTES_MAX + 64 * 1024;
/// Most line errors that the answer to an NDJSON upload lists; all are counted.
pub const UPLOAD_ERRORS_LISTED_MAX: usize = 100;
/// Most bytes of a refused upload that are read and dropped so that the client can see the answer.
pub const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a refused upload is read and dropped, in milliseconds.
pub const DRAIN_MS_MAX: u64 = 2_000;
/// How long a finished bulk insert's connection is read on, in milliseconds: some clients send the body's end late.
pub const DRAIN_DONE_MS_MAX: u64 = 250;
/// Compressed bytes that are inflated in one step; deflate grows data at most about 1032 times.
pub const INFLATE_STEP_BYTES: usize = 4 * 1024;
/// Finished operations that are remembered per database.
pub const OPERATIONS_REMEMBERED_MAX: usize = 1024;
/// Request ids of database creations that are remembered, so that a repeated request is recognised.
pub const REQUEST_IDS_REMEMBERED_MAX: usize = 256;
/// Time between two looks at the auto indexes, in milliseconds.
pub const AUTO_TEND_INTERVAL_MS: u64 = 5_000;
/// How long an auto index stays when a wider one has taken its place, in milliseconds.
pub const AUTO_SUPERSEDED_MS: i64 = 15_000;
/// How long nobody may ask an auto index before it is idle, in milliseconds: half an hour.
pub const AUTO_IDLE_MS: i64 = 30 * 60 * 1000;
/// How long nobody may ask an auto index before it is removed, in milliseconds: three days.
pub const AUTO_REMOVED_MS: i64 = 72 * 60 * 60 * 1000;
/// Time between two removals of tombstones that every index has seen, in milliseconds.
pub const PURGE_INTERVAL_MS: u64 = 60_000;
/// Most documents, or other items, of a dump that are written at a time.
pub const DUMP_BATCH_ITEMS_MAX: usize = 1000;
/// Longest element of a dump, in bytes: a document and its wrapping.
pub const DUMP_ITEM_BYTES_MAX: usize = UPLOAD_ITEM_BYTES_MAX;
/// Deepest nesting of brackets in a dump.
pub const DUMP_DEPTH_MAX: usize = 512;
/// Most counters in one element of a dump that is written; a document with more has several.
pub const DUMP_COUNTERS_PER_GROUP_MAX: usize = 128;
/// Longest name on the top level of a dump, in bytes.
pub const DUMP_KEY_BYTES_MAX: usize = 256;
/// How many times its size a dump may unpack to, once that is more than [`DUMP_RATIO_FREE_BYTES`].
pub const DUMP_RATIO_MAX: u64 = 500;
/// Up to so many unpacked bytes nobody asks how many times its size a dump is.
pub const DUMP_RATIO_FREE_BYTES: u64 = 256 * 1024 * 1024;
/// The largest window of a zstd stream, as a power of two: 32 MiB of memory.
pub const DUMP_WINDOW_LOG_MAX: u32 = 25;
/// Bytes that are unpacked in one step of a zstd stream.
pub const UNPACK_STEP_BYTES: usize = 128 * 1024;
/// Most messages in the result of an import or export; all are counted.
pub const DUMP_MESSAGES_MAX: usize = 200;
/// Most imports and exports that run at a time; further ones are refused.
pub const DUMPS_RUNNING_MAX: usize = 4;
/// Pieces of a dump that wait between the network and the thread that reads or writes it.
pub const DUMP_PIECES_MAX: usize = 4;
/// Attachments that an export remembers to have written; the bytes of those beyond may stand in the dump twice.
pub const DUMP_HASHES_REMEMBERED_MAX: usize = 500_000;
/// Bytes of a packed dump that are handed to the network at a time.
pub const DUMP_PIECE_BYTES: usize = 64 * 1024;
/// How long the rest of a refused dump is read and dropped, in milliseconds: clients that are still sending would see a
/// broken connection instead of the answer.
pub const DUMP_DRAIN_MS_MAX: u64 = 20_000;
/// Longest options of an import, in bytes.
pub const DUMP_OPTIONS_BYTES_MAX: usize = 1024 * 1024;
/// Most files of a folder that one request imports.
pub const IMPORT_FILES_MAX: usize = 10_000;
/// Most columns of a file of CSV that is imported.
pub const CSV_COLUMNS_MAX: usize = 4096;
/// Distinct terms that one request may list.
pub const TERMS_MAX: usize = 1024;

/// The limits an operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body of a route that does not stream (`request_body_bytes_max`), in bytes.
    pub request_body_bytes_max: usize,
    /// Largest answer that lists documents (`answer_bytes_max`), in bytes.
    pub answer_bytes_max: usize,
    /// Most bytes of documents in an all-or-nothing NDJSON upload (`upload_transaction_bytes_max`).
    pub upload_transaction_bytes_max: usize,
    /// Most open connections (`connections_max`).
    pub connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            request_body_bytes_max: 64 * MIB,
            answer_bytes_max: 256 * MIB,
            upload_transaction_bytes_max: 64 * MIB,
            connections_max: 4096,
        }
    }
}
