//! What happens to indexes, told to whoever listens: builds, replacements, batches, failures, switches.
//!
//! Nothing in the indexes depends on it. The listener runs on the thread of whatever happened, perhaps with locks of
//! the registry held, so it must be quick and must not ask the registry anything.

use magpie_store::Etag;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{PoisonError, RwLock};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexEventKind {
    /// A build began: of a new index, or `ReplacementOf/NAME`.
    Added,
    /// The index was deleted.
    Removed,
    /// A replacement took the place of the live build.
    Replaced,
    /// A batch of documents was indexed.
    BatchCompleted,
    /// The index stopped because of an error.
    Failed,
    /// It was stopped or disabled.
    Paused,
    /// Its lock changed.
    LockModeChanged,
    /// Its priority changed.
    PriorityChanged,
}

/// One thing that happened to one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEvent {
    /// What.
    pub kind: IndexEventKind,
    /// The index's name.
    pub name: String,
    /// Up to which etag it has indexed, where that is known; else 0.
    pub etag: Etag,
}

type Listener = Box<dyn Fn(&IndexEvent) + Send + Sync>;

/// The listeners of one database's indexes.
#[derive(Default)]
pub(crate) struct Events(RwLock<Vec<Listener>>);

impl Events {
    pub(crate) fn listen(&self, listener: Listener) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    pub(crate) fn tell(&self, kind: IndexEventKind, name: &str, etag: Etag) {
        let listeners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if listeners.is_empty() {
            return;
        }
        let event = IndexEvent { kind, name: name.to_owned(), etag };
        for listener in listeners.iter() {
            // What happened has happened, whatever becomes of a listener.
            let _ = catch_unwind(AssertUnwindSafe(|| listener(&event)));
        }
    }
}
