//! How many documents an index takes into a batch: the more, the less work each is, for the keys of a batch are folded once;
//! the fewer, the sooner results show and the sooner a stop is heard. So batches grow as long as they are quick.

use crate::limits;
use magpie_store::Timestamp;
use std::time::Duration;

/// The size of the next batch of one index. The results do not depend on it.
#[derive(Debug)]
pub(crate) struct BatchSize {
    /// Most documents, whatever the pace.
    most: usize,
    now: usize,
}

impl BatchSize {
    /// The size for the first batch, at most `most` documents at any time.
    pub fn new(most: usize) -> Self {
        let most = most.clamp(1, limits::BATCH_DOCUMENTS_MAX);
        Self { most, now: most.min(limits::BATCH_DOCUMENTS_FIRST) }
    }

    /// Documents of the next batch.
    pub fn documents(&self) -> usize {
        self.now
    }

    /// A batch of so many documents was made: a full one tells whether the next is to be larger or smaller.
    pub fn note(&mut self, documents: u64, began: Timestamp, ended: Timestamp) {
        let took = u64::try_from(ended.0.saturating_sub(began.0))
            .map_or(Duration::ZERO, |ticks| Duration::from_micros(ticks / 10));
        if took > limits::BATCH_TIME_WANTED {
            self.now = (self.now / 2).max(self.most.min(limits::BATCH_DOCUMENTS_LEAST));
        } else if took < limits::BATCH_TIME_WANTED / 2 && documents >= self.now as u64 {
            self.now = self.now.saturating_mul(2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(size: &mut BatchSize, documents: usize, milliseconds: i64) -> usize {
        size.note(documents as u64, Timestamp(0), Timestamp(milliseconds * 10_000));
        size.documents()
    }

    #[test]
    fn full_quick_batches_grow_and_slow_ones_shrink() {
        let mut size = BatchSize::new(usize::MAX);
        let first = size.documents();
        assert_eq!(first, limits::BATCH_DOCUMENTS_FIRST);
        assert_eq!(after(&mut size, first - 1, 1), first, "a batch that was not full tells nothing");
        assert_eq!(after(&mut size, first, 700), first, "neither quick nor slow");
        assert_eq!(after(&mut size, first, 20), 2 * first);
        for _ in 0..20 {
            let full = size.documents();
            after(&mut size, full, 0);
        }
        assert_eq!(size.documents(), limits::BATCH_DOCUMENTS_MAX);
        assert_eq!(after(&mut size, 10, 5_000), limits::BATCH_DOCUMENTS_MAX / 2, "slow is slow, full or not");
        for _ in 0..20 {
            after(&mut size, 1, 5_000);
        }
        assert_eq!(size.documents(), limits::BATCH_DOCUMENTS_LEAST);
        assert_eq!(
            after(&mut size, 10_000, -5),
            2 * limits::BATCH_DOCUMENTS_LEAST,
            "a clock that was set back"
        );
    }

    #[test]
    fn what_the_definition_says_is_the_most() {
        let mut size = BatchSize::new(3);
        assert_eq!(size.documents(), 3);
        assert_eq!(after(&mut size, 3, 0), 3);
        assert_eq!(after(&mut size, 3, 5_000), 3);
        assert_eq!(BatchSize::new(0).documents(), 1);
    }
}
