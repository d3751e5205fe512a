//! The errors of an index, one row per document or reduce key that fails now. A row goes when its cause goes, so the
//! list is the truth about the current documents and not a log.

use crate::error::IndexError;
use crate::function::{FunctionError, Position};
use crate::keys::{Kind, Reader, Slot, put_bytes, put_length};
use magpie_store::Timestamp;
use magpie_store::json::Json;
use magpie_store::kv::{Batch, Direction, Space, View};

/// Which function failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAction {
    /// The map of a document.
    Map,
    /// The reduce or finalize of a key.
    Reduce,
    /// Making a document of a result.
    Output,
}

/// A document or reduce key that fails now, or a document that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which function failed.
    pub action: FaultAction,
    /// The document's id, or the reduce key as `Reduce key: { 'a' : 1 }`, or the id of the document to be made.
    pub subject: String,
    /// What happened.
    pub message: String,
    /// Where in the script, if known.
    pub position: Option<Position>,
    /// When it was found.
    pub at: Timestamp,
}

impl FaultAction {
    fn kind(self) -> Kind {
        match self {
            Self::Map => Kind::MapError,
            Self::Reduce => Kind::ReduceError,
            Self::Output => Kind::OutputError,
        }
    }

    /// Whether a row for this document key or reduce key exists.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_recorded(self, view: &dyn View, slot: Slot, key: &[u8]) -> Result<bool, IndexError> {
        Ok(view.get(Space::Index, &slot.key(self.kind(), key))?.is_some())
    }

    /// Records a failure of a document key or reduce key.
    pub fn record(
        self,
        slot: Slot,
        key: &[u8],
        subject: &str,
        error: &FunctionError,
        at: Timestamp,
        batch: &mut Batch,
    ) {
        let mut row = Vec::new();
        put_bytes(subject.as_bytes(), &mut row);
        put_bytes(error.message.as_bytes(), &mut row);
        let (line, column) = error.position.map_or((0, 0), |position| (position.line, position.column));
        put_length(line as usize, &mut row);
        put_length(column as usize, &mut row);
        row.extend_from_slice(&at.0.to_be_bytes());
        batch.put(Space::Index, slot.key(self.kind(), key), row);
    }

    /// Removes the record.
    pub fn clear(self, slot: Slot, key: &[u8], batch: &mut Batch) {
        batch.delete(Space::Index, slot.key(self.kind(), key));
    }
}

/// The first `limit` faults of an index: failing documents by id, then failing reduce keys, then documents that cannot
/// be made.
///
/// # Errors
/// When the store fails or a row is damaged.
pub fn read_faults(view: &dyn View, slot: Slot, limit: usize) -> Result<Vec<Fault>, IndexError> {
    let mut faults = Vec::new();
    for action in [FaultAction::Map, FaultAction::Reduce, FaultAction::Output] {
        let (from, to) = slot.range_of(action.kind());
        for row in view.scan(Space::Index, &from, &to, Direction::Forward) {
            if faults.len() == limit {
                return Ok(faults);
            }
            faults.push(decode(action, &row?.1)?);
        }
    }
    Ok(faults)
}

fn decode(action: FaultAction, row: &[u8]) -> Result<Fault, IndexError> {
    let corrupt = || IndexError::Corrupt("an index error row".to_owned());
    let mut reader = Reader(row);
    let mut text = || Ok::<_, IndexError>(String::from_utf8_lossy(reader.bytes()?).into_owned());
    let (subject, message) = (text()?, text()?);
    let line = u32::try_from(reader.length()?).map_err(|_| corrupt())?;
    let column = u32::try_from(reader.length()?).map_err(|_| corrupt())?;
    let at = Timestamp(i64::from_be_bytes(reader.0.try_into().map_err(|_| corrupt())?));
    let position = (line > 0).then_some(Position { line, column });
    Ok(Fault { action, subject, message, position, at })
}

/// How a reduce key is shown in an error: `Reduce key: { 'city' : Haifa }`.
#[must_use]
pub fn describe_key(fields: &[String], key: &[Json]) -> String {
    let show = |(name, value): (&String, &Json)| match value {
        Json::String(text) => format!("'{name}' : {text}"),
        other => format!("'{name}' : {other}"),
    };
    let pairs: Vec<String> = fields.iter().zip(key).map(show).collect();
    format!("Reduce key: {{ {} }}", pairs.join(", "))
}

/// The values of a reduce key from its ordered form.
///
/// # Errors
/// [`IndexError::Corrupt`] when the bytes are no ordered values.
pub fn decode_key(bytes: &[u8]) -> Result<Vec<Json>, IndexError> {
    let mut rest = bytes;
    let mut values = Vec::new();
    while !rest.is_empty() {
        let (value, used) = magpie_store::ordered::decode(rest)?;
        values.push(value);
        rest = rest.get(used..).unwrap_or_default();
    }
    Ok(values)
}
