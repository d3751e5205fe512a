//! The first phase of a bulk build: documents in, rows by document and sorted entries out.

use super::run::Run;
use super::sorter::Sorter;
use super::{Abort, BulkBuild, Gathered, Part, on_threads, put_rows};
use crate::error::IndexError;
use crate::index::lock;
use crate::indexer::{EncodedOutput, Indexer, maps};
use crate::keys::{Kind, entry_key, put_bytes};
use crate::limits;
use magpie_store::Document;
use magpie_store::kv::{FinishedFile, Row, SortedFile};
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often a thread that is ahead of the others looks whether the build is over.
const AHEAD_LOOK: Duration = Duration::from_millis(20);

/// What the phase gives.
pub(super) struct Mapped<'d> {
    pub parts: Vec<Part<'d>>,
    /// The sorted entries.
    pub runs: Vec<Run>,
    /// The rows that are named by a document: its reduce keys, or its outputs when there is no reduce.
    pub by_document: Option<FinishedFile>,
}

/// Where the documents come from: chunks in the order of their ids.
#[derive(Default)]
struct Chunks {
    after: Option<Box<str>>,
    given: u64,
    ended: bool,
}

/// Where the rows by document go: chunk by chunk, whichever thread has made them.
struct InOrder<'f> {
    file: Box<dyn SortedFile + 'f>,
    next: u64,
    waiting: BTreeMap<u64, Vec<Row>>,
}

struct Shared<'f> {
    chunks: Mutex<Chunks>,
    rows: Mutex<InOrder<'f>>,
    written: Condvar,
}

impl<'b> BulkBuild<'b> {
    pub(super) fn map(&self) -> Result<Mapped<'b>, IndexError> {
        let shared = Shared {
            chunks: Mutex::default(),
            rows: Mutex::new(InOrder { file: self.file()?, next: 0, waiting: BTreeMap::new() }),
            written: Condvar::new(),
        };
        let done = on_threads(self.threads, || self.map_chunks(&shared))?;
        let mut mapped = Mapped { parts: Vec::new(), runs: Vec::new(), by_document: None };
        for (part, entries) in done {
            mapped.parts.push(part);
            mapped.runs.extend(entries.finish()?);
        }
        let rows = shared.rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        mapped.by_document = rows.file.finish()?;
        Ok(mapped)
    }

    /// The work of one thread: chunk after chunk until there are no more.
    fn map_chunks(&self, shared: &Shared<'_>) -> Result<(Part<'b>, Sorter<'b>), IndexError> {
        let mut abort = Abort(Some(&self.aborted));
        let mut indexer = self.indexer()?;
        let mut gathered = Gathered::of_build(self);
        let mut others = self.sorter();
        let mut entries = self.sorter();
        while !self.is_over()
            && let Some((chunk, documents)) = self.next_chunk(shared)?
        {
            let mut rows = Vec::with_capacity(documents.len());
            for document in &documents {
                let emitted = indexer.map_new(document, &mut gathered)?;
                if !gathered.batch.is_empty() {
                    put_rows(std::mem::take(&mut gathered.batch), &mut others)?;
                }
                if indexer.shape.group_by.is_some() {
                    self.take_entries(document, emitted, &mut rows, &mut entries)?;
                } else {
                    gathered.progress.results += emitted.len() as u64;
                    take_outputs(&indexer, document, emitted, &mut rows);
                }
            }
            if !self.deliver(chunk, rows, shared)? {
                break;
            }
            (self.told)(documents.len() as u64);
            // Whoever waits for a core goes first.
            std::thread::yield_now();
        }
        abort.0 = None;
        Ok((Part { progress: gathered.progress, losses: gathered.losses, others }, entries))
    }

    /// The next documents that the index maps, perhaps none of a chunk; `None` behind the last one.
    fn next_chunk(&self, shared: &Shared<'_>) -> Result<Option<(u64, Vec<Document>)>, IndexError> {
        let mut chunks = lock(&shared.chunks);
        if chunks.ended {
            return Ok(None);
        }
        let mut documents = Vec::new();
        let (mut read, mut bytes) = (0, 0);
        let mut last = None;
        for document in self.view.documents_by_prefix("", chunks.after.as_deref())? {
            let document = document?;
            read += 1;
            last = Some(Box::from(document.id.key()));
            if maps(&self.mapped, &document) {
                bytes += document.body.len();
                documents.push(document);
            }
            if read >= limits::BULK_CHUNK_DOCUMENTS_MAX || bytes >= limits::BULK_CHUNK_BYTES_MAX {
                break;
            }
        }
        chunks.ended = read < limits::BULK_CHUNK_DOCUMENTS_MAX && bytes < limits::BULK_CHUNK_BYTES_MAX;
        chunks.after = last.or(chunks.after.take());
        let chunk = chunks.given;
        chunks.given += 1;
        Ok(Some((chunk, documents)))
    }

    fn take_entries(
        &self,
        document: &Document,
        emitted: Vec<EncodedOutput>,
        rows: &mut Vec<Row>,
        entries: &mut Sorter<'_>,
    ) -> Result<(), IndexError> {
        if emitted.is_empty() {
            return Ok(());
        }
        let id = document.id.key();
        let mut keys = Vec::new();
        for (position, (reduce_key, value)) in (0..).zip(emitted) {
            put_bytes(&reduce_key, &mut keys);
            entries.push(&reduce_key, &entry_key(id, position), &value)?;
        }
        rows.push((self.slot.key(Kind::DocumentKeys, id.as_bytes()), keys));
        Ok(())
    }

    /// Has the rows of a chunk written when those of the chunks before are; gives whether to go on.
    fn deliver(&self, chunk: u64, rows: Vec<Row>, shared: &Shared<'_>) -> Result<bool, IndexError> {
        let mut in_order = lock(&shared.rows);
        while chunk > in_order.next + limits::BULK_CHUNKS_AHEAD_MAX {
            if self.is_over() {
                return Ok(false);
            }
            let waited = shared.written.wait_timeout(in_order, AHEAD_LOOK);
            in_order = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        in_order.waiting.insert(chunk, rows);
        loop {
            let next = in_order.next;
            let Some(rows) = in_order.waiting.remove(&next) else { break };
            for (key, value) in rows {
                in_order.file.put(&key, &value)?;
            }
            in_order.next += 1;
        }
        shared.written.notify_all();
        Ok(true)
    }
}

/// The outputs of an index without a reduce: one row each.
fn take_outputs(indexer: &Indexer, document: &Document, emitted: Vec<EncodedOutput>, rows: &mut Vec<Row>) {
    let id = document.id.key();
    for (position, (_, value)) in (0..).zip(emitted) {
        rows.push((indexer.slot.key(Kind::MapOutput, &entry_key(id, position)), value));
    }
}
