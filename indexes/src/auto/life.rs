//! How long ago somebody asked an index. Kept in memory: after a restart the time begins anew.

use crate::index::Index;
use magpie_store::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// What is known of the use of an index. Times are ticks; 0 is never.
#[derive(Debug, Default)]
pub(crate) struct Life {
    queried: AtomicI64,
    /// When it was looked at first.
    known: AtomicI64,
    /// From when a wider one was found that can take its place.
    superseded: AtomicI64,
    idle: AtomicBool,
}

impl Life {
    /// How long nobody has asked.
    pub fn unused(&self, now: Timestamp) -> i64 {
        let _ = self.known.compare_exchange(0, now.0, Ordering::Relaxed, Ordering::Relaxed);
        let since = self.known.load(Ordering::Relaxed).max(self.queried.load(Ordering::Relaxed));
        now.0.saturating_sub(since)
    }

    /// For how long a wider one has been able to take its place; `None` when none can.
    pub fn superseded(&self, is_superseded: bool, now: Timestamp) -> Option<i64> {
        if !is_superseded {
            self.superseded.store(0, Ordering::Relaxed);
            return None;
        }
        let _ = self.superseded.compare_exchange(0, now.0, Ordering::Relaxed, Ordering::Relaxed);
        Some(now.0.saturating_sub(self.superseded.load(Ordering::Relaxed)))
    }

    /// Notes that it was asked; gives whether it was idle.
    pub fn note_queried(&self, now: Timestamp) -> bool {
        self.queried.fetch_max(now.0, Ordering::Relaxed);
        self.idle.swap(false, Ordering::Relaxed)
    }

    /// Makes it idle; gives whether it was not.
    pub fn set_idle(&self) -> bool {
        !self.idle.swap(true, Ordering::Relaxed)
    }
}

impl Index {
    /// When it was asked last, if it was since the database was opened.
    #[must_use]
    pub fn last_queried(&self) -> Option<Timestamp> {
        let ticks = self.life.queried.load(Ordering::Relaxed);
        (ticks != 0).then_some(Timestamp(ticks))
    }

    /// Whether it is an auto index that does not follow the documents until somebody asks it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.life.idle.load(Ordering::Relaxed)
    }
}
