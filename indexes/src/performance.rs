//! What the last batches of an index did and how long their parts took, for whoever wonders where the time goes.
//!
//! Times come from the worker's clock. Batches that took nothing in are not kept.

use crate::limits;
use magpie_store::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// What a batch did, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Documents that were mapped, failed ones included.
    pub mapped: u64,
    /// Those of them whose map failed.
    pub map_failed: u64,
    /// Documents that are gone, or are the index's no more.
    pub deleted: u64,
    /// Bytes of text of the mapped documents.
    pub document_bytes: u64,
    /// Reduce keys that were folded, failed ones included.
    pub reduced: u64,
    /// Those of them whose reduce failed.
    pub reduce_failed: u64,
    /// Outputs of the map, or results of a map-reduce index, that the batch wrote.
    pub outputs: u64,
}

/// One batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPerformance {
    /// Its number among the batches of this index since the server was started, from 1 on.
    pub number: u64,
    /// When it began.
    pub began: Timestamp,
    /// When it was committed.
    pub ended: Timestamp,
    /// What its parts took; `None` for a build in bulk, which does all at once on several threads.
    pub parts: Option<BatchParts>,
    /// What it did.
    pub counts: BatchCounts,
    /// Whether nothing was left to take in.
    pub caught_up: bool,
}

/// The parts of a batch, one behind the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchParts {
    /// Reading and mapping documents.
    pub map: Duration,
    /// Folding the keys they touch.
    pub reduce: Duration,
    /// Writing rows and output documents.
    pub commit: Duration,
}

/// The time from one point to another; none when the clock was set back.
#[must_use]
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    u64::try_from(to.0.saturating_sub(from.0))
        .map_or(Duration::ZERO, |ticks| Duration::from_nanos(ticks.saturating_mul(100)))
}

/// The last batches, at most [`limits::PERFORMANCE_BATCHES_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Performance {
    batches: VecDeque<BatchPerformance>,
    numbered: u64,
}

impl Performance {
    /// A batch was committed; its number is given here.
    pub fn note(&mut self, mut batch: BatchPerformance) {
        if batch.counts == BatchCounts::default() {
            return;
        }
        self.numbered += 1;
        batch.number = self.numbered;
        if self.batches.len() >= limits::PERFORMANCE_BATCHES_MAX {
            self.batches.pop_front();
        }
        self.batches.push_back(batch);
    }

    /// The last ones, the oldest first.
    pub fn last(&self) -> Vec<BatchPerformance> {
        self.batches.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(mapped: u64) -> BatchPerformance {
        BatchPerformance {
            number: 0,
            began: Timestamp(0),
            ended: Timestamp(1),
            parts: None,
            counts: BatchCounts { mapped, ..BatchCounts::default() },
            caught_up: true,
        }
    }

    #[test]
    fn the_last_batches_are_kept_and_numbered() {
        let mut performance = Performance::default();
        performance.note(batch(0));
        assert!(performance.last().is_empty(), "nothing was taken in");
        for mapped in 1..=limits::PERFORMANCE_BATCHES_MAX as u64 + 2 {
            performance.note(batch(mapped));
        }
        let last = performance.last();
        assert_eq!(last.len(), limits::PERFORMANCE_BATCHES_MAX);
        assert!(last.iter().all(|batch| batch.number == batch.counts.mapped));
        assert_eq!(last.first().map(|batch| batch.number), Some(3));
    }

    #[test]
    fn a_clock_that_was_set_back_takes_no_time() {
        assert_eq!(between(Timestamp(10), Timestamp(35)), Duration::from_nanos(2_500));
        assert_eq!(between(Timestamp(35), Timestamp(10)), Duration::ZERO);
    }
}
