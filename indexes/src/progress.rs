//! How far an index has read the change feed: the row that goes out with every batch, and those who wait for it.

use crate::error::IndexError;
use crate::keys::{Kind, Reader, Slot, put_length};
use magpie_store::Etag;
use magpie_store::kv::{Batch, Space, View};

/// How far the output documents of a build follow its results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutputPhase {
    /// The build is silent: its documents, if it has any, are not written yet.
    #[default]
    Silent,
    /// All documents are being brought in line, and follow every change.
    Syncing,
    /// The documents are those of the results.
    Live,
}

impl OutputPhase {
    fn code(self) -> u64 {
        match self {
            Self::Silent => 0,
            Self::Syncing => 1,
            Self::Live => 2,
        }
    }

    fn from_code(code: u64) -> Result<Self, IndexError> {
        match code {
            0 => Ok(Self::Silent),
            1 => Ok(Self::Syncing),
            2 => Ok(Self::Live),
            _ => Err(IndexError::Corrupt(format!("output phase {code}"))),
        }
    }
}

/// The counters of one index build. They are part of each indexing batch, so they are exact after any crash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Everything up to this etag is mapped and reduced.
    pub etag: Etag,
    /// Documents mapped so far, failed ones included.
    pub map_attempts: u64,
    /// Reduce keys folded so far, failed ones included.
    pub reduce_attempts: u64,
    /// Documents whose map fails as they are now.
    pub failing_documents: u64,
    /// Reduce keys whose reduce fails as they are now.
    pub failing_keys: u64,
    /// Results (map-reduce) or map outputs (map-only) the index has now.
    pub results: u64,
    /// Most outputs that one document ever gave.
    pub outputs_max: u64,
    /// When the last batch was indexed, in ticks; 0 = never.
    pub indexed_at: u64,
    /// Documents and reduce keys that lost a number, see [`crate::losses`].
    pub lossy: u64,
    /// How far the output documents follow, for an index that has any.
    pub output: OutputPhase,
    /// Whether a result ever had another value in a group-by field than its key, so that keys do not tell results; also
    /// when that is not known, as in builds of older versions.
    pub detached: bool,
    /// How many fields have terms that follow the results, see [`crate::terms`]; 0 in builds that older versions wrote to.
    pub terms: u64,
}

impl Progress {
    /// The counters as of a snapshot; all zero before the first batch.
    ///
    /// # Errors
    /// When the store fails or the row is damaged.
    pub fn read(view: &dyn View, slot: Slot) -> Result<Self, IndexError> {
        let Some(row) = view.get(Space::Index, &slot.key(Kind::Progress, &[]))? else {
            return Ok(Self::default());
        };
        let mut reader = Reader(&row);
        let mut next = || reader.length().map(|value| value as u64);
        Ok(Self {
            etag: Etag(next()?),
            map_attempts: next()?,
            reduce_attempts: next()?,
            failing_documents: next()?,
            failing_keys: next()?,
            results: next()?,
            outputs_max: next()?,
            indexed_at: next()?,
            lossy: next()?,
            output: OutputPhase::from_code(next()?)?,
            detached: reader.0.is_empty() || reader.length()? > 0,
            terms: if reader.0.is_empty() { 0 } else { reader.length()? as u64 },
        })
    }

    /// Puts the counters into the batch they describe.
    pub fn write(&self, slot: Slot, batch: &mut Batch) {
        let mut row = Vec::new();
        for value in [
            self.etag.0,
            self.map_attempts,
            self.reduce_attempts,
            self.failing_documents,
            self.failing_keys,
            self.results,
            self.outputs_max,
            self.indexed_at,
            self.lossy,
            self.output.code(),
            u64::from(self.detached),
            self.terms,
        ] {
            put_length(usize::try_from(value).unwrap_or(usize::MAX), &mut row);
        }
        batch.put(Space::Index, slot.key(Kind::Progress, &[]), row);
    }
}
