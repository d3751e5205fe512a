//! The first phase of a bulk build: documents in, rows by document and sorted entries out.

use super::run::Run;
use super::scan::{Chunk, Taken};
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
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often a thread that is ahead of the others looks whether the build is over.
const AHEAD_LOOK: Duration = Duration::from_millis(20);

/// What the phase gives.
pub(super) struct Mapped<'d> {
    pub parts: Vec<Part<'d>>,
    /// The sorted entries.
    pub runs: Vec<Run>,
    /// The rows that are named by a document: its reduce keys, or its outputs when there is no reduce.
    pub by_document: Vec<FinishedFile>,
}

/// Where a build reads that does not share its reading.
#[derive(Default)]
struct Own {
    last: Option<Arc<Chunk>>,
    given: u64,
}

/// Where the rows by document go: chunk by chunk, whichever thread has made them.
struct InOrder<'f> {
    file: Box<dyn SortedFile + 'f>,
    next: u64,
    turn: u64,
    waiting: BTreeMap<u64, (u64, Vec<Row>)>,
    /// The files of the turns before.
    done: Vec<FinishedFile>,
}

struct Shared<'f> {
    own: Mutex<Own>,
    rows: Mutex<InOrder<'f>>,
    written: Condvar,
}

impl<'b> BulkBuild<'b> {
    pub(super) fn map(&self) -> Result<Mapped<'b>, IndexError> {
        let shared = Shared {
            own: Mutex::default(),
            rows: Mutex::new(InOrder {
                file: self.file()?,
                next: 0,
                turn: 0,
                waiting: BTreeMap::new(),
                done: Vec::new(),
            }),
            written: Condvar::new(),
        };
        let done = on_threads(self.threads, || self.map_chunks(&shared))?;
        let mut mapped = Mapped { parts: Vec::new(), runs: Vec::new(), by_document: Vec::new() };
        for (part, entries) in done {
            mapped.parts.push(part);
            mapped.runs.extend(entries.finish());
        }
        let rows = shared.rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        mapped.by_document = rows.done;
        mapped.by_document.extend(rows.file.finish()?);
        Ok(mapped)
    }

    /// The work of one thread: chunk after chunk until there are no more.
    fn map_chunks(&self, shared: &Shared<'b>) -> Result<(Part<'b>, Sorter<'b>), IndexError> {
        let mut abort = Abort(Some(&self.aborted));
        let mut indexer = self.indexer()?;
        let mut gathered = Gathered::of_build(self);
        let mut others = self.sorter();
        let mut entries = self.sorter();
        let mut turn = 0;
        while !self.is_over()
            && let Some(taken) = self.next_chunk(shared)?
        {
            if taken.turn != turn {
                // Entries of a key come in the order of their ids only within a turn.
                entries.cut()?;
                turn = taken.turn;
            }
            let mut rows = Vec::with_capacity(taken.chunk.documents.len());
            let mut count = 0;
            for document in taken.chunk.documents.iter().filter(|document| maps(&self.mapped, document)) {
                count += 1;
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
            if !self.deliver(&taken, rows, shared)? {
                break;
            }
            (self.told)(count);
            // Whoever waits for a core goes first.
            std::thread::yield_now();
        }
        abort.0 = None;
        Ok((Part { progress: gathered.progress, losses: gathered.losses, others }, entries))
    }

    /// The next documents, mapped or not; `None` when there are no more.
    fn next_chunk(&self, shared: &Shared<'b>) -> Result<Option<Taken>, IndexError> {
        if let Some(joined) = &self.joined {
            return joined.next(|| self.is_over());
        }
        let mut own = lock(&shared.own);
        let chunk = match &own.last {
            None => Some(Chunk::read(self.view, 0, None)?),
            Some(last) => last.next(self.view)?,
        };
        let Some(chunk) = chunk.map(Arc::new) else { return Ok(None) };
        own.last = Some(Arc::clone(&chunk));
        own.given += 1;
        Ok(Some(Taken { order: own.given - 1, turn: 0, chunk }))
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
    fn deliver(&self, taken: &Taken, rows: Vec<Row>, shared: &Shared<'b>) -> Result<bool, IndexError> {
        let mut in_order = lock(&shared.rows);
        while taken.order > in_order.next + limits::BULK_CHUNKS_AHEAD_MAX {
            if self.is_over() {
                return Ok(false);
            }
            let waited = shared.written.wait_timeout(in_order, AHEAD_LOOK);
            in_order = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        in_order.waiting.insert(taken.order, (taken.turn, rows));
        loop {
            let next = in_order.next;
            let Some((turn, rows)) = in_order.waiting.remove(&next) else { break };
            if turn != in_order.turn {
                let ended = std::mem::replace(&mut in_order.file, self.file()?).finish()?;
                in_order.done.extend(ended);
                in_order.turn = turn;
            }
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
