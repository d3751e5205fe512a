//! The numbers that an index could not keep: what no double holds, and what is no number at all.
//!
//! Nothing is lost silently: for every kind of loss and every field there is a count of the documents (or reduce keys)
//! that have it *now*, and the first of them by id. The rows are a function of the documents, like all others.

use crate::error::IndexError;
use crate::keys::{Kind, Reader, Slot, behind, put_bytes, put_length, rest};
use magpie_store::json::{Json, ScriptNumber};
use magpie_store::kv::{Batch, Direction, Space, View};
use std::collections::{BTreeMap, BTreeSet};

/// What became of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LossKind {
    /// A number of a document reached the script as the nearest double, which is another number.
    Inexact = 1,
    /// An output held NaN.
    NaN = 2,
    /// An output held an infinity.
    Infinity = 3,
}

impl LossKind {
    /// Its name on the wire: `Inexact`, `NaN`, `Infinity`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inexact => "Inexact",
            Self::NaN => "NaN",
            Self::Infinity => "Infinity",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Inexact, Self::NaN, Self::Infinity].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// What lost it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LossSource {
    /// Mapping a document.
    Map = 1,
    /// Reducing a key.
    Reduce = 2,
}

/// A field and what was lost in it: (kind, path of the field).
pub(crate) type Lost = BTreeSet<(LossKind, String)>;

/// How many subjects lost a number in one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What became of the number.
    pub kind: LossKind,
    /// What lost it.
    pub source: LossSource,
    /// The path of the field: in the document for [`LossKind::Inexact`], else in the output.
    pub field: String,
    /// How many documents or reduce keys have it now.
    pub count: u64,
    /// The first document by id, or the first reduce key, as it is shown.
    pub first: String,
}

/// Adds what an output lost to `lost`: NaN and the infinities in it, by the path of their field.
pub(crate) fn of_output(output: &Json, lost: &mut Lost) {
    walk(output, &mut String::new(), lost);
}

fn walk(value: &Json, path: &mut String, lost: &mut Lost) {
    match value {
        Json::ScriptNumber(ScriptNumber::NaN) => {
            lost.insert((LossKind::NaN, path.clone()));
        }
        Json::ScriptNumber(ScriptNumber::Infinity | ScriptNumber::NegativeInfinity) => {
            lost.insert((LossKind::Infinity, path.clone()));
        }
        Json::Array(items) => {
            let length = path.len();
            path.push_str("[]");
            items.iter().for_each(|item| walk(item, path, lost));
            path.truncate(length);
        }
        Json::Object(fields) => {
            let length = path.len();
            for (name, value) in fields.iter() {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(name);
                walk(value, path, lost);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// The changes of the loss rows of one batch: counts are kept here, since the batch's own rows do not show in its view.
#[derive(Debug, Default)]
pub(crate) struct LossChanges {
    counts: BTreeMap<Vec<u8>, i64>,
}

impl LossChanges {
    /// Replaces what a subject lost; gives how many subjects with losses there are more (-1, 0 or 1). `key` is the
    /// lower-cased id or the reduce key; `shown` its form for people.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn replace(
        &mut self,
        view: &dyn View,
        slot: Slot,
        (source, key, shown): (LossSource, &[u8], &str),
        lost: &Lost,
        batch: &mut Batch,
    ) -> Result<i64, IndexError> {
        let row_key = slot.key(Kind::LossySubject, &[&[source as u8], key].concat());
        let old_row = view.get(Space::Index, &row_key)?;
        let old = old_row.as_deref().map_or(Ok(Lost::new()), decode)?;
        // A zero byte ends the field in a key.
        let path = |(kind, field): &(LossKind, String)| {
            [&[*kind as u8, source as u8], field.replace('\0', "\u{fffd}").as_bytes(), &[0]].concat()
        };
        for gone in old.difference(lost) {
            batch.delete(Space::Index, slot.key(Kind::Loss, &[path(gone).as_slice(), key].concat()));
            *self.counts.entry(path(gone)).or_default() -= 1;
        }
        for new in lost.difference(&old) {
            batch.put(Space::Index, slot.key(Kind::Loss, &[path(new).as_slice(), key].concat()), shown);
            *self.counts.entry(path(new)).or_default() += 1;
        }
        match (old.is_empty(), lost.is_empty()) {
            (_, true) if old_row.is_some() => batch.delete(Space::Index, row_key),
            (_, false) if old != *lost => batch.put(Space::Index, row_key, encode(lost)),
            _ => {}
        }
        Ok(i64::from(!lost.is_empty()) - i64::from(!old.is_empty()))
    }

    /// Adds the counts of another part of the same batch.
    pub fn merge(&mut self, other: Self) {
        for (path, change) in other.counts {
            *self.counts.entry(path).or_default() += change;
        }
    }

    /// Writes the counts.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn finish(self, view: &dyn View, slot: Slot, batch: &mut Batch) -> Result<(), IndexError> {
        for (path, change) in self.counts.into_iter().filter(|(_, change)| *change != 0) {
            let path = path.strip_suffix(&[0]).unwrap_or(&path);
            let key = slot.key(Kind::LossCount, path);
            let old = view.get(Space::Index, &key)?.map_or(Ok(0), |row| Reader(&row).length())?;
            match (old as u64).saturating_add_signed(change) {
                0 => batch.delete(Space::Index, key),
                count => {
                    let mut row = Vec::new();
                    put_length(usize::try_from(count).unwrap_or(usize::MAX), &mut row);
                    batch.put(Space::Index, key, row);
                }
            }
        }
        Ok(())
    }
}

fn encode(lost: &Lost) -> Vec<u8> {
    let mut row = Vec::new();
    for (kind, field) in lost {
        row.push(*kind as u8);
        put_bytes(field.as_bytes(), &mut row);
    }
    row
}

fn decode(row: &[u8]) -> Result<Lost, IndexError> {
    let mut reader = Reader(row);
    let mut lost = Lost::new();
    while !reader.is_empty() {
        let kind = LossKind::from_byte(reader.byte()?).ok_or_else(corrupt)?;
        lost.insert((kind, text(reader.bytes()?)?));
    }
    Ok(lost)
}

fn corrupt() -> IndexError {
    IndexError::Corrupt("a row of lost numbers".to_owned())
}

fn text(bytes: &[u8]) -> Result<String, IndexError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| corrupt())
}

/// What an index lost, by kind, source and field.
///
/// # Errors
/// When the store fails or a row is damaged.
pub fn read_losses(view: &dyn View, slot: Slot) -> Result<Vec<Loss>, IndexError> {
    let (from, to) = slot.range_of(Kind::LossCount);
    let mut losses = Vec::new();
    for row in view.scan(Space::Index, &from, &to, Direction::Forward) {
        let (key, value) = row?;
        let path = rest(&key)?;
        let [kind, source, field @ ..] = path else { return Err(corrupt()) };
        let kind = LossKind::from_byte(*kind).ok_or_else(corrupt)?;
        let source = if *source == LossSource::Map as u8 { LossSource::Map } else { LossSource::Reduce };
        let prefix = slot.key(Kind::Loss, &[path, &[0]].concat());
        let first = view.scan(Space::Index, &prefix, &behind(&prefix), Direction::Forward).next();
        losses.push(Loss {
            kind,
            source,
            field: text(field)?,
            count: Reader(&value).length()? as u64,
            first: first.map_or(Ok(String::new()), |row| text(&row?.1))?,
        });
    }
    Ok(losses)
}
