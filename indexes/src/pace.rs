//! How fast an index goes: the changes and the time of its last batches, for an estimate of when it has caught up
//!
//! Times come from the worker's clock. Waiting for changes is not counted, only what a batch took.

use crate::limits;
use magpie_store::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Ticks of a timestamp (100 ns) in a second.
const TICKS_PER_SECOND: u64 = 10_000_000;

/// The last batches, at most [`limits::PACE_BATCHES_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// (documents taken in, ticks).
    batches: VecDeque<(u64, u64)>,
    /// What all batches took since the start, in ticks.
    spent: u64,
}

impl Pace {
    /// A batch was committed.
    pub fn note(&mut self, documents: u64, began: Timestamp, ended: Timestamp) {
        let Ok(ticks) = u64::try_from(ended.0.saturating_sub(began.0)) else { return };
        self.spent = self.spent.saturating_add(ticks);
        if documents == 0 {
            return;
        }
        if self.batches.len() == limits::PACE_BATCHES_MAX {
            self.batches.pop_front();
        }
        self.batches.push_back((documents, ticks));
    }

    /// What all batches took since the start.
    pub fn spent(&self) -> Duration {
        Duration::from_micros(self.spent / 10)
    }

    /// How long so many documents will take; `None` as long as that cannot be told.
    pub fn time_for(&self, documents: u64) -> Option<Duration> {
        let (done, ticks) = self.batches.iter().fold((0_u64, 0_u64), |(done, all), (documents, ticks)| {
            (done.saturating_add(*documents), all.saturating_add(*ticks))
        });
        if done == 0 || ticks == 0 {
            return None;
        }
        let needed = u128::from(documents) * u128::from(ticks) / u128::from(done);
        let needed = u64::try_from(needed).ok()?;
        Some(Duration::from_secs(needed.div_ceil(TICKS_PER_SECOND)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_batches_tell_the_time_in_whole_seconds() {
        let mut pace = Pace::default();
        assert_eq!(pace.time_for(10), None, "nothing is known yet");
        pace.note(100, Timestamp(5), Timestamp(5));
        assert_eq!(pace.time_for(10), None, "a clock that stands still tells nothing");
        pace.note(0, Timestamp(0), Timestamp(50_000_000));
        for _ in 0..limits::PACE_BATCHES_MAX {
            pace.note(100, Timestamp(0), Timestamp(10_000_000));
        }
        assert_eq!(pace.time_for(250), Some(Duration::from_secs(3)));
        assert_eq!(pace.time_for(0), Some(Duration::ZERO));
        pace.note(100, Timestamp(9), Timestamp(0));
        assert_eq!(pace.spent(), Duration::from_secs(5 + limits::PACE_BATCHES_MAX as u64));
        assert_eq!(pace.time_for(200), Some(Duration::from_secs(2)), "a clock that was set back is left out");
    }
}
