//! Reading the reduce tree of one key as it is stored, level by level, without changing it: for explanations and for
//! verification. Nothing here trusts that the levels fit together.

use crate::error::IndexError;
use crate::keys::{Kind, Slot, behind};
use crate::reduce_tree::{Item, decode_leaf};
use crate::stored_result::{Output, StoredResult};
use magpie_store::kv::{Direction, Row, Space, View};

/// The rows of one reduce key as of a snapshot.
#[derive(Clone, Copy)]
pub(crate) struct StoredTree<'v> {
    pub view: &'v dyn View,
    pub slot: Slot,
    /// In its ordered form.
    pub reduce_key: &'v [u8],
}

/// A page of map entries.
#[derive(Debug)]
pub(crate) struct LeafPage {
    /// The key of the page's last entry, or the open end.
    pub end: Vec<u8>,
    /// The entries; an error when the row is damaged.
    pub items: Result<Vec<Item>, IndexError>,
}

/// The value of a page of the level below.
#[derive(Debug)]
pub(crate) struct StoredItem {
    /// The page's end.
    pub end: Vec<u8>,
    /// The page's reduced value; an error when the row is damaged.
    pub output: Result<Output, IndexError>,
}

impl<'v> StoredTree<'v> {
    /// The result row; `None` when there is none.
    ///
    /// # Errors
    /// When the store fails or the row is damaged.
    pub fn result(&self) -> Result<Option<StoredResult>, IndexError> {
        let row = self.view.get(Space::Index, &self.slot.key(Kind::Result, self.reduce_key))?;
        row.map(|row| StoredResult::decode(&row)).transpose()
    }

    /// The pages of level 0 in order.
    pub fn leaves(&self) -> impl Iterator<Item = Result<LeafPage, IndexError>> + use<'v> {
        let prefix = self.slot.key(Kind::LeafPage, self.reduce_key);
        let length = prefix.len();
        self.rows(&prefix).map(move |row| {
            let (key, value) = row?;
            Ok(LeafPage { end: key.get(length..).unwrap_or_default().to_vec(), items: decode_leaf(&value) })
        })
    }

    /// The items of a level above 0 in order: each the value of a page of the level below.
    pub fn items(&self, level: u8) -> impl Iterator<Item = Result<StoredItem, IndexError>> + use<'v> {
        let prefix = self.slot.key(Kind::PageOutput, &[self.reduce_key, &[level]].concat());
        let length = prefix.len();
        self.rows(&prefix).map(move |row| {
            let (key, value) = row?;
            let end = key.get(length..).unwrap_or_default().to_vec();
            Ok(StoredItem { end, output: Output::decode(&value) })
        })
    }

    /// The value of an entry; `None` when there is no such entry.
    ///
    /// # Errors
    /// When the store fails, or the page where it must be is damaged.
    pub fn entry(&self, entry_key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let prefix = self.slot.key(Kind::LeafPage, self.reduce_key);
        let from = [prefix.as_slice(), entry_key].concat();
        let row = self.view.scan(Space::Index, &from, &behind(&prefix), Direction::Forward).next();
        let Some(row) = row else { return Ok(None) };
        let items = decode_leaf(&row?.1)?;
        Ok(items.into_iter().find(|item| item.key == entry_key).map(|item| item.value))
    }

    /// Whether there are items of levels above the one behind `level`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has_items_above(&self, level: u8) -> Result<bool, IndexError> {
        let from = self.slot.key(Kind::PageOutput, &[self.reduce_key, &[level.saturating_add(1)]].concat());
        let to = behind(&self.slot.key(Kind::PageOutput, self.reduce_key));
        Ok(self.view.scan(Space::Index, &from, &to, Direction::Forward).next().transpose()?.is_some())
    }

    fn rows(&self, prefix: &[u8]) -> impl Iterator<Item = Result<Row, IndexError>> + use<'v> {
        let rows = self.view.scan(Space::Index, prefix, &behind(prefix), Direction::Forward);
        rows.map(|row| row.map_err(IndexError::from))
    }
}
