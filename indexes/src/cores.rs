//! How many threads of a process work on indexes, so that none takes a second core where another waits for its first
//!
//! Every worker counts while it works on a batch or a build. Further threads, for the keys of one batch, are given out
//! only as far as cores are left then: indexes that work side by side do not crowd each other out.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// The cores that threads share.
#[derive(Debug)]
pub struct Cores {
    all: usize,
    busy: AtomicUsize,
}

/// Threads that are counted until this is dropped.
#[derive(Debug)]
pub struct Busy<'c> {
    cores: &'c Cores,
    threads: usize,
}

impl Cores {
    /// So many cores, and nobody at work.
    #[must_use]
    pub fn new(all: usize) -> Self {
        Self { all, busy: AtomicUsize::new(0) }
    }

    /// Those of this process, all its databases together.
    #[must_use]
    pub fn of_process() -> Arc<Self> {
        static CORES: LazyLock<Arc<Cores>> = LazyLock::new(|| {
            Arc::new(Cores::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get)))
        });
        Arc::clone(&CORES)
    }

    /// How many there are.
    #[must_use]
    pub fn all(&self) -> usize {
        self.all
    }

    /// Counts threads that work in any case.
    #[must_use]
    pub fn work(&self, threads: usize) -> Busy<'_> {
        self.busy.fetch_add(threads, Ordering::AcqRel);
        Busy { cores: self, threads }
    }

    /// Takes up to `wanted` further threads, as many as cores are left for: perhaps none.
    #[must_use]
    pub fn take_idle(&self, wanted: usize) -> Busy<'_> {
        let mut threads = 0;
        let _ = self.busy.fetch_update(Ordering::AcqRel, Ordering::Acquire, |busy| {
            threads = wanted.min(self.all.saturating_sub(busy));
            (threads > 0).then_some(busy + threads)
        });
        Busy { cores: self, threads }
    }
}

impl Busy<'_> {
    /// How many threads are counted.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.cores.busy.fetch_sub(self.threads, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_threads_are_given_out_as_far_as_cores_are_left() {
        let cores = Cores::new(4);
        let first = cores.work(1);
        let further = cores.take_idle(8);
        assert_eq!(further.threads(), 3);
        assert_eq!(cores.take_idle(1).threads(), 0, "all are taken");
        drop(further);
        let others = cores.work(3);
        assert_eq!(cores.take_idle(2).threads(), 0, "each core has a worker of its own");
        drop(others);
        assert_eq!(cores.take_idle(2).threads(), 2);
        drop(first);
        assert_eq!(cores.take_idle(8).threads(), 4, "everything was given back");
    }
}
