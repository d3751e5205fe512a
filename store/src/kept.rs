//! What an import brings that nobody here works with: it is kept as it came, and an export gives it back.
//!
//! An item has a kind, a place in the order of its kind, and a name. All three are made from its content by whoever keeps
//! it, so that the same item is kept once, however often it is imported.

use crate::command::Outcome;
use crate::error::StoreError;
use crate::keys;
use crate::kv::{Batch, Direction, Space};
use crate::limits::ATTACHMENT_CHUNK_BYTES;
use crate::view::DatabaseView;

/// Longest name of a kind, in bytes.
pub const KIND_BYTES_MAX: usize = 256;

/// An item to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptItem {
    /// Its kind: 1 to [`KIND_BYTES_MAX`] bytes without a zero byte.
    pub kind: String,
    /// Its place among those of its kind; those of one place are in the order of their names.
    pub order: u64,
    /// Its name: a hash of all of it, bytes included, unless the item has no bytes and replaces any of its kind.
    pub name: [u8; 16],
    /// What it says.
    pub text: Vec<u8>,
    /// Bytes that belong to it.
    pub bytes: Vec<u8>,
}

/// A part of what is kept, in order: an item, and behind it its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptPart {
    /// What the next item says.
    Item(Vec<u8>),
    /// Some of its bytes.
    Bytes(Vec<u8>),
}

/// Adds an item's rows.
///
/// # Errors
/// [`StoreError::InvalidId`] when its kind has no valid name.
pub(crate) fn keep(item: KeptItem, batch: &mut Batch) -> Result<Outcome, StoreError> {
    let KeptItem { kind, order, name, text, bytes } = item;
    if kind.is_empty() || kind.len() > KIND_BYTES_MAX || kind.contains('\0') {
        let reason = "the name of a kind of items has 1 to 256 bytes and no zero byte";
        return Err(StoreError::InvalidId { id: kind.chars().take(100).collect(), reason });
    }
    let key = keys::kept(&kind, order, name);
    batch.put(Space::Meta, key.clone(), text);
    for (number, chunk) in (0_u32..).zip(bytes.chunks(ATTACHMENT_CHUNK_BYTES)) {
        batch.put(Space::Meta, keys::kept_chunk(&key, number), chunk);
    }
    Ok(Outcome::Kept { kind })
}

impl DatabaseView<'_> {
    /// The kinds of items that are kept, by name.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn kept_kinds(&self) -> Result<Vec<String>, StoreError> {
        let (mut from, to) = keys::kept_all();
        let mut kinds = Vec::new();
        while let Some(row) = self.kv().scan(Space::Meta, &from, &to, Direction::Forward).next() {
            let kind = keys::kept_kind(&row?.0)?.to_owned();
            from = keys::kept_of(&kind).1;
            kinds.push(kind);
        }
        Ok(kinds)
    }

    /// The items of a kind in their order, each with its bytes behind it, in parts.
    pub fn kept(&self, kind: &str) -> impl Iterator<Item = Result<KeptPart, StoreError>> {
        let (from, to) = keys::kept_of(kind);
        self.kv().scan(Space::Meta, &from, &to, Direction::Forward).map(|row| {
            let (key, value) = row?;
            let is_item = keys::is_kept_item(&key)?;
            Ok(if is_item { KeptPart::Item(value.to_vec()) } else { KeptPart::Bytes(value.to_vec()) })
        })
    }
}
