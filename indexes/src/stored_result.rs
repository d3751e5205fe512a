//! The row of a reduce key's result: what its root reduces to, and what finalize makes of that.
//!
//! Both are kept: the reduced value is an input again when the tree grows or a query reduces further, the finalized one
//! is what everybody sees. Layout: `height u8, finalized u8 (0 as reduced, 1 value, 2 dropped, 3 failed), for a value
//! its length and bytes, then the output of the root`.

use crate::error::IndexError;
use crate::keys::{Reader, put_bytes};

/// The reduced value of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A value in its stored text.
    Value(Vec<u8>),
    /// The reduce function failed on this page or on one below it.
    Failed,
}

impl Output {
    /// The bytes under which a page's output is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Value(value) => [&[1], value.as_slice()].concat(),
            Self::Failed => vec![0],
        }
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] when it has another layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        match bytes.split_first() {
            Some((1, value)) => Ok(Self::Value(value.to_vec())),
            Some((0, [])) => Ok(Self::Failed),
            _ => Err(IndexError::Corrupt("page output".to_owned())),
        }
    }
}

/// What finalize made of a reduced value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finalized {
    /// The index has no finalize: the reduced value is the result.
    AsReduced,
    /// The result in its stored text.
    Value(Vec<u8>),
    /// The key shall have no result.
    Dropped,
    /// Finalize failed.
    Failed,
}

/// Whether a reduce key has a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It has none: no entries, or finalize dropped it.
    Absent,
    /// It has one.
    Value,
    /// Its reduce or its finalize fails.
    Failed,
}

/// The result row of a reduce key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResult {
    /// The level of the root.
    pub height: u8,
    /// The root's reduced value.
    pub output: Output,
    /// What finalize made of it.
    pub finalized: Finalized,
}

impl StoredResult {
    /// The result as everybody sees it, in its stored text; `None` when the key has none.
    #[must_use]
    pub fn visible(&self) -> Option<&[u8]> {
        match (&self.output, &self.finalized) {
            (Output::Value(value), Finalized::AsReduced) | (Output::Value(_), Finalized::Value(value)) => {
                Some(value)
            }
            _ => None,
        }
    }

    /// [`Self::visible`], taken out.
    #[must_use]
    pub fn into_visible(self) -> Option<Vec<u8>> {
        match (self.output, self.finalized) {
            (Output::Value(value), Finalized::AsReduced) | (Output::Value(_), Finalized::Value(value)) => {
                Some(value)
            }
            _ => None,
        }
    }

    /// About how much memory it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let text = |value: Option<&Vec<u8>>| value.map_or(0, Vec::len);
        let reduced = if let Output::Value(value) = &self.output { Some(value) } else { None };
        let finalized = if let Finalized::Value(value) = &self.finalized { Some(value) } else { None };
        size_of::<Self>() + text(reduced) + text(finalized)
    }

    /// Whether the key has a result.
    #[must_use]
    pub fn presence(&self) -> Presence {
        match (&self.output, &self.finalized) {
            (Output::Failed, _) | (_, Finalized::Failed) => Presence::Failed,
            (_, Finalized::Dropped) => Presence::Absent,
            _ => Presence::Value,
        }
    }

    /// Reads a result row's value.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] when it has another layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut reader = Reader(bytes);
        let height = reader.byte()?;
        let finalized = match reader.byte()? {
            0 => Finalized::AsReduced,
            1 => Finalized::Value(reader.bytes()?.to_vec()),
            2 => Finalized::Dropped,
            3 => Finalized::Failed,
            other => return Err(IndexError::Corrupt(format!("a result row with mark {other}"))),
        };
        Ok(Self { height, output: Output::decode(reader.0)?, finalized })
    }

    /// The bytes of the row's value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut row = vec![self.height];
        match &self.finalized {
            Finalized::AsReduced => row.push(0),
            Finalized::Value(value) => {
                row.push(1);
                put_bytes(value, &mut row);
            }
            Finalized::Dropped => row.push(2),
            Finalized::Failed => row.push(3),
        }
        row.extend_from_slice(&self.output.encode());
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_damaged_ones_are_refused() {
        for finalized in [
            Finalized::AsReduced,
            Finalized::Value(b"{\"a\":1n}".to_vec()),
            Finalized::Dropped,
            Finalized::Failed,
        ] {
            for output in [Output::Value(b"{}".to_vec()), Output::Failed] {
                let stored = StoredResult { height: 3, output, finalized: finalized.clone() };
                assert_eq!(StoredResult::decode(&stored.encode()).unwrap(), stored);
            }
        }
        for damaged in [&[][..], &[1], &[1, 0], &[1, 4, 0], &[1, 1, 9, b'x', 0], &[1, 0, 0, 7], &[1, 0, 2]] {
            assert!(StoredResult::decode(damaged).is_err(), "{damaged:?}");
        }
    }
}
