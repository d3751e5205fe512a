//! Change notifications: what happens to documents, indexes and operations, told to the connections of `GET changes`.
//!
//! Each connection has a queue of at most [`crate::limits::CHANGES_QUEUE_MAX`] events (`queue.rs`); one that does not keep up is cut off
//! with a message, so no reader can make the server hold more. Documents are not queued by their writers: one reader
//! follows the change feed while anybody listens, and waits a moment for a connection whose queue is full, so that a
//! large import does not cut off those that keep up. The feed has each document once, so of several writes within a
//! moment only the last is told.

mod connection;
mod queue;
mod watch;

pub(crate) use connection::get;

use crate::databases::OpenDatabase;
use crate::limits::{CHANGES_FEED_READ_MAX, CHANGES_SLOW_MS_MAX};
use crate::state::blocking;
use magpie_indexes::IndexEvent;
use magpie_store::{Change, CollectionFilter, Etag};
use queue::{Queues, Receiver};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch as newest_value;

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A document was written or deleted.
    Document(Arc<Change>),
    /// Something about an index.
    Index(Arc<IndexEvent>),
    /// The state of an operation changed, perhaps for the last time.
    Operation {
        /// The operation.
        id: i64,
        /// Whether it has ended.
        ended: bool,
    },
}

/// The notifications of one database. Whoever listens must not keep the database open, so nobody but the database and
/// its own parts holds this.
pub(crate) struct Changes {
    queues: Arc<Queues>,
    /// The newest etag.
    newest: newest_value::Sender<Etag>,
    /// Whether the change feed is being read.
    reading: Mutex<bool>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            queues: Arc::default(),
            newest: newest_value::Sender::new(Etag(0)),
            reading: Mutex::new(false),
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.queues.close();
    }
}

impl Changes {
    /// Documents were written up to this etag. Quick; may be called from any thread.
    pub(crate) fn documents(&self, newest: Etag) {
        self.newest.send_if_modified(|last| {
            let later = newest > *last;
            *last = newest.max(*last);
            later
        });
    }

    /// Something happened to an index. Quick; may be called from any thread.
    pub(crate) fn index(&self, event: &IndexEvent) {
        self.queues.push(|| Event::Index(Arc::new(event.clone())));
    }

    /// An operation has another state. Quick; may be called from any thread.
    pub(crate) fn operation(&self, id: i64, ended: bool) {
        self.queues.push(|| Event::Operation { id, ended });
    }

    /// Begins to listen: everything that happens from now on comes.
    fn listen(&self, database: &Arc<OpenDatabase>) -> Receiver {
        let receiver = self.queues.add();
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reading {
            *reading = true;
            let (newest, after) = (self.newest.subscribe(), database.documents().last_etag());
            tokio::spawn(read_feed(Arc::downgrade(database), Arc::clone(&self.queues), newest, after));
        }
        receiver
    }

    /// Whether the reader of the feed may end, as nobody listens.
    fn may_end(&self) -> bool {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        *reading = self.queues.is_heard();
        !*reading
    }
}

/// Follows the change feed as long as somebody listens and the database is open.
async fn read_feed(
    database: Weak<OpenDatabase>,
    queues: Arc<Queues>,
    mut newest: newest_value::Receiver<Etag>,
    mut after: Etag,
) {
    loop {
        // An error means that the database is closed.
        if newest.wait_for(|newest| *newest > after).await.is_err() {
            return;
        }
        let Some(open) = database.upgrade() else { return };
        if open.changes().may_end() {
            return;
        }
        let read = blocking(move || {
            let view = open.documents().view();
            Ok((view.changes_after(&CollectionFilter::All, after, CHANGES_FEED_READ_MAX)?, view.last_etag()))
        })
        .await;
        match read {
            Ok((changes, last)) => {
                after = match changes.last() {
                    Some(change) if changes.len() >= CHANGES_FEED_READ_MAX => change.etag,
                    last_change => last.max(last_change.map_or(after, |change| change.etag)),
                };
                for change in changes {
                    queues.push_waiting(Event::Document(Arc::new(change))).await;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the change feed cannot be read for notifications; trying again");
                tokio::time::sleep(Duration::from_millis(CHANGES_SLOW_MS_MAX)).await;
            }
        }
    }
}
