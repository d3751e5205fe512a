//! Folding many reduced values to one with an index's own reduce, a bounded number at a time and in their order.
//!
//! Values gather in levels: a full level is reduced to one value of the level above, so every value takes part in as
//! many calls as there are levels, and no call gets more than [`limits::REDUCE_VALUES_MAX`] of them. Which values meet
//! depends on the values and their order alone.

use crate::error::QueryError;
use crate::limits;
use crate::projection;
use magpie_store::json::Json;

/// The reduce function of an index for one key.
pub(crate) type Reduce<'r> = dyn FnMut(Vec<Json>) -> Result<Json, QueryError> + 'r;

/// The values of one key so far.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// The first holds values as they came, which are the latest; those above hold values of reduce.
    levels: Vec<Level>,
}

#[derive(Debug, Default)]
struct Level {
    values: Vec<Json>,
    bytes: usize,
}

impl Level {
    fn push(&mut self, value: Json) {
        self.bytes = self.bytes.saturating_add(projection::bytes(&value));
        self.values.push(value);
    }

    fn is_full(&self) -> bool {
        let count = self.values.len();
        count >= limits::REDUCE_VALUES_MAX || (count > 1 && self.bytes >= limits::REDUCE_CHUNK_BYTES_MAX)
    }

    fn take(&mut self) -> Vec<Json> {
        self.bytes = 0;
        std::mem::take(&mut self.values)
    }
}

impl Fold {
    /// Adds the next value in order.
    pub(crate) fn push(&mut self, value: Json, reduce: &mut Reduce<'_>) -> Result<(), QueryError> {
        let mut value = value;
        for number in 0.. {
            if self.levels.len() <= number {
                self.levels.push(Level::default());
            }
            let Some(level) = self.levels.get_mut(number) else { return Ok(()) };
            level.push(value);
            if !level.is_full() {
                return Ok(());
            }
            value = reduce(level.take())?;
        }
        Ok(())
    }

    /// Folds everything so far to one value, which is kept as the first of what follows.
    pub(crate) fn compact(&mut self, reduce: &mut Reduce<'_>) -> Result<(), QueryError> {
        if let Some(value) = std::mem::take(self).finish(reduce)? {
            let mut folded = Level::default();
            folded.push(value);
            self.levels = vec![Level::default(), folded];
        }
        Ok(())
    }

    /// The value of everything; `None` when there was nothing. Reduce is called at least once for every value.
    pub(crate) fn finish(self, reduce: &mut Reduce<'_>) -> Result<Option<Json>, QueryError> {
        let mut carry = None;
        for (number, mut level) in self.levels.into_iter().enumerate() {
            level.values.extend(carry.take());
            let is_done = number > 0 && level.values.len() == 1;
            carry = match level.values.len() {
                0 => None,
                _ if is_done => level.values.pop(),
                _ => Some(reduce(level.values)?),
            };
        }
        Ok(carry)
    }

    /// About how many bytes its values have as JSON.
    pub(crate) fn bytes(&self) -> usize {
        self.levels.iter().map(|level| level.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Fold;
    use crate::limits::REDUCE_VALUES_MAX;
    use magpie_store::json::Json;

    /// Joins texts, so that the order shows, and checks how many values it gets.
    fn joined(values: Vec<Json>) -> String {
        assert!((1..=REDUCE_VALUES_MAX).contains(&values.len()), "{} values in one call", values.len());
        values.iter().filter_map(Json::as_str).collect()
    }

    #[test]
    fn values_keep_their_order_whatever_their_number() {
        for count in [0, 1, 2, 255, 256, 257, 65_535, 65_536, 70_000_usize] {
            for compact_at in [usize::MAX, 0, 300] {
                let mut calls = 0;
                let mut reduce = |values| {
                    calls += 1;
                    Ok(Json::from(joined(values)))
                };
                let mut fold = Fold::default();
                for number in 0..count {
                    fold.push(Json::from(format!("{number},")), &mut reduce).unwrap_or_default();
                    if number == compact_at {
                        fold.compact(&mut reduce).unwrap_or_default();
                    }
                }
                let value = fold.finish(&mut reduce).unwrap_or_default();
                let expected: String = (0..count).map(|number| format!("{number},")).collect();
                assert_eq!(value.as_ref().and_then(Json::as_str).unwrap_or_default(), expected);
                assert_eq!(value.is_some(), count > 0);
                assert!(calls <= count / (REDUCE_VALUES_MAX - 1) + 6, "{calls} calls for {count} values");
            }
        }
    }

    #[test]
    fn large_values_are_reduced_in_smaller_numbers() {
        let mut most = 0;
        let mut reduce = |values: Vec<Json>| {
            most = most.max(values.len());
            Ok(Json::from("x".repeat(400_000)))
        };
        let mut fold = Fold::default();
        for _ in 0..20 {
            fold.push(Json::from("x".repeat(400_000)), &mut reduce).unwrap_or_default();
            assert!(fold.bytes() < 8_000_000);
        }
        assert!(fold.finish(&mut reduce).is_ok_and(|value| value.is_some()));
        assert_eq!(most, 3);
    }
}
