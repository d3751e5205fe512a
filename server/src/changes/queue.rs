//! The queues of the connections: bounded, one for each, and what becomes of a full one.

use super::Event;
use crate::limits::{CHANGES_QUEUE_MAX, CHANGES_SLOW_MS_MAX};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, timeout_at};

/// The queues of one database.
#[derive(Default)]
pub(super) struct Queues(Mutex<Vec<Arc<Queue>>>);

/// The end of a queue that events go into.
struct Queue {
    sender: mpsc::Sender<Event>,
    cut_off: Arc<AtomicBool>,
    /// Since when it has not caught up.
    behind: Mutex<Option<Instant>>,
}

/// The end of a queue that its connection reads.
pub(super) struct Receiver {
    events: mpsc::Receiver<Event>,
    cut_off: Arc<AtomicBool>,
}

impl Receiver {
    /// The next event; `None` at the end, when the connection was cut off or the database closed.
    pub(super) async fn next(&mut self) -> Option<Event> {
        // What a connection that fell behind has not read would only keep it longer.
        if self.was_cut_off() { None } else { self.events.recv().await }
    }

    /// An event that is there already.
    pub(super) fn waiting(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Whether the connection was cut off because it fell behind.
    pub(super) fn was_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }
}

impl Queues {
    /// A queue for one more connection.
    pub(super) fn add(&self) -> Receiver {
        let (sender, events) = mpsc::channel(CHANGES_QUEUE_MAX);
        let cut_off = Arc::new(AtomicBool::new(false));
        let queue = Queue { sender, cut_off: Arc::clone(&cut_off), behind: Mutex::new(None) };
        self.lock().push(Arc::new(queue));
        Receiver { events, cut_off }
    }

    /// Ends all queues.
    pub(super) fn close(&self) {
        self.lock().clear();
    }

    /// Whether any connection reads.
    pub(super) fn is_heard(&self) -> bool {
        let mut queues = self.lock();
        queues.retain(|queue| !queue.sender.is_closed());
        !queues.is_empty()
    }

    /// Adds an event to all queues. Whose queue is full is cut off.
    pub(super) fn push(&self, event: impl FnOnce() -> Event) {
        let mut queues = self.lock();
        if queues.is_empty() {
            return;
        }
        let event = event();
        queues.retain(|queue| match queue.sender.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(_)) => {
                queue.cut_off();
                false
            }
        });
    }

    /// Adds an event to all queues, and waits for those that are full, but not for long.
    pub(super) async fn push_waiting(&self, event: Event) {
        let queues = self.lock().clone();
        for queue in queues {
            if !queue.push_waiting(&event).await {
                self.lock().retain(|kept| !Arc::ptr_eq(kept, &queue));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Queue>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Whether the event is in the queue; if not, its connection is gone or cut off.
    async fn push_waiting(&self, event: &Event) -> bool {
        if self.sender.capacity() > CHANGES_QUEUE_MAX / 2 {
            *self.behind() = None;
        }
        match self.sender.try_send(event.clone()) {
            Ok(()) => return true,
            Err(TrySendError::Closed(_)) => return false,
            Err(TrySendError::Full(_)) => {}
        }
        // All moments that it is waited for count together, until it has caught up by half.
        let since = *self.behind().get_or_insert_with(Instant::now);
        let until = since + Duration::from_millis(CHANGES_SLOW_MS_MAX);
        match timeout_at(until, self.sender.send(event.clone())).await {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                self.cut_off();
                false
            }
        }
    }

    fn cut_off(&self) {
        self.cut_off.store(true, Ordering::Release);
    }

    fn behind(&self) -> MutexGuard<'_, Option<Instant>> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
