//! The writing side of streamed uploads: items are gathered into sub-batches, one of which is being written while the
//! next is read and the one after that comes in.
//!
//! So memory is bounded by three sub-batches and one item, and a slow disk slows the reading (and through TCP the
//! client). A sub-batch is written when it is full, or when nothing is being written and the client makes a pause.

use crate::error::ServerError;
use crate::limits::{UPLOAD_BATCH_BYTES_MAX, UPLOAD_BATCH_DOCUMENTS_MAX};
use crate::state::blocking;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// One item of an upload: its place (element or line number, from 1) and its text.
pub(crate) struct Item {
    /// Which element or line it is, counted from 1.
    pub(crate) number: u64,
    /// Its text.
    pub(crate) text: Vec<u8>,
}

/// Long enough that a client that sends without a pause is not seen as pausing.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Reads one sub-batch; runs on a blocking thread.
pub(crate) type Read<R> = dyn Fn(Vec<Item>) -> R + Send + Sync;
/// Writes one sub-batch; runs on a blocking thread.
pub(crate) type Write<R, T> = dyn Fn(R) -> Result<T, ServerError> + Send + Sync;

/// The pipeline between the reader of a body and the store. `R` is a sub-batch that was read, `T` what one that was
/// written answers.
pub(crate) struct Uploader<R, T> {
    read: Arc<Read<R>>,
    write: Arc<Write<R, T>>,
    pending: VecDeque<Item>,
    pending_bytes: usize,
    reading: Option<JoinHandle<Result<R, ServerError>>>,
    writing: Option<JoinHandle<Result<T, ServerError>>>,
}

impl<R: Send + 'static, T: Send + 'static> Uploader<R, T> {
    /// Nothing is gathered yet.
    pub(crate) fn new(read: Arc<Read<R>>, write: Arc<Write<R, T>>) -> Self {
        Self { read, write, pending: VecDeque::new(), pending_bytes: 0, reading: None, writing: None }
    }

    /// Adds an item to the next sub-batch.
    pub(crate) fn push(&mut self, item: Item) {
        self.pending_bytes += item.text.len();
        self.pending.push_back(item);
    }

    /// Whether the next sub-batch is large enough to be written.
    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= UPLOAD_BATCH_DOCUMENTS_MAX || self.pending_bytes >= UPLOAD_BATCH_BYTES_MAX
    }

    /// Whether there is something to write, and nothing is being written.
    pub(crate) fn could_start(&self) -> bool {
        !self.is_empty() && self.writing.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Whether nothing waits to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.reading.is_none()
    }

    /// Moves on by one step: the sub-batch that was read is written, after the one that is being written, and the next one
    /// is read meanwhile. Gives the answer of a sub-batch that was written before.
    ///
    /// # Errors
    /// What that sub-batch answered.
    pub(crate) async fn start(&mut self) -> Result<Option<T>, ServerError> {
        let items = self.next_batch();
        let read_before = self.reading.take();
        if !items.is_empty() {
            let read = Arc::clone(&self.read);
            self.reading = Some(tokio::spawn(blocking(move || Ok(read(items)))));
        }
        let Some(read_before) = read_before else { return Ok(None) };
        let ready = read_before.await.map_err(|_| ServerError::Stopping)??;
        let before = self.wait().await?;
        let write = Arc::clone(&self.write);
        self.writing = Some(tokio::spawn(blocking(move || write(ready))));
        Ok(before)
    }

    fn next_batch(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        let mut bytes = 0;
        while items.len() < UPLOAD_BATCH_DOCUMENTS_MAX && bytes < UPLOAD_BATCH_BYTES_MAX {
            let Some(item) = self.pending.pop_front() else { break };
            bytes += item.text.len();
            items.push(item);
        }
        self.pending_bytes -= bytes;
        items
    }

    /// Waits until nothing is being written; gives the answer of what was.
    ///
    /// # Errors
    /// What the sub-batch answered.
    pub(crate) async fn wait(&mut self) -> Result<Option<T>, ServerError> {
        let Some(writing) = self.writing.take() else { return Ok(None) };
        match writing.await {
            Ok(written) => written.map(Some),
            Err(_) => Err(ServerError::Stopping),
        }
    }
}
