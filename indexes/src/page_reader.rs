//! Reading the pages of reduce trees on their way to being changed, with one cursor for all trees of a batch
//!
//! A new cursor costs as much as reading some rows, and a change reads a page a level; so the cursor is kept.

use crate::border::Borders;
use crate::error::IndexError;
use crate::keys::{Kind, OPEN_END, Slot, behind};
use crate::reduce_tree::{Item, ItemChange, decode_leaf};
use crate::stored_result::StoredResult;
use magpie_store::kv::{Cursor, Row, ScanCursor, Space, View};

/// A page as it is stored: its entries, or the values of pages of the level below.
#[derive(Debug)]
pub(crate) struct Page {
    /// The key of the last item, or the open end.
    pub end: Vec<u8>,
    pub items: Vec<Item>,
}

/// What is stored where a change belongs.
pub(crate) enum Place {
    /// The page in whose range it is; `None` when there is none.
    Page(Option<Page>),
    /// The item just as the change makes it: nothing is to be done.
    AsChanged,
}

/// Reads the trees of one index build as of one snapshot.
pub struct PageReader<'v> {
    view: &'v dyn View,
    slot: Slot,
    borders: Borders,
    cursor: Option<Box<dyn Cursor + 'v>>,
    /// Entries and items read so far.
    values_read: u64,
}

impl<'v> PageReader<'v> {
    /// A reader for the rows of `slot`, whose pages end as `borders` says.
    #[must_use]
    pub fn new(view: &'v dyn View, slot: Slot, borders: Borders) -> Self {
        Self { view, slot, borders, cursor: None, values_read: 0 }
    }

    /// The snapshot it reads.
    #[must_use]
    pub fn view(&self) -> &'v dyn View {
        self.view
    }

    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    pub(crate) fn borders(&self) -> Borders {
        self.borders
    }

    /// How many entries and items were read since this was asked last.
    pub(crate) fn take_values_read(&mut self) -> u64 {
        std::mem::take(&mut self.values_read)
    }

    pub(crate) fn result(&self, reduce_key: &[u8]) -> Result<Option<StoredResult>, IndexError> {
        let row = self.view.get(Space::Index, &self.slot.key(Kind::Result, reduce_key))?;
        row.map(|bytes| StoredResult::decode(&bytes)).transpose()
    }

    /// What is stored where `change` belongs on a level of a tree of this height.
    pub(crate) fn place_of(
        &mut self,
        reduce_key: &[u8],
        (level, height): (u8, u8),
        change: &ItemChange,
    ) -> Result<Place, IndexError> {
        if level > 0 {
            return self.place_above(reduce_key, level, change);
        }
        // A small tree has one page, and mostly no border in it: one look-up instead of a search.
        if height == 0
            && let Some(value) = self.view.get(Space::Index, &self.leaf_key(reduce_key, OPEN_END))?
        {
            let items = decode_leaf(&value)?;
            self.values_read += items.len() as u64;
            return Ok(Place::Page(Some(Page { end: OPEN_END.to_vec(), items })));
        }
        let from = self.leaf_key(reduce_key, &change.key);
        self.leaf_from(reduce_key, &from).map(Place::Page)
    }

    /// The page behind the one that ends at `end`.
    pub(crate) fn page_after(
        &mut self,
        reduce_key: &[u8],
        level: u8,
        end: &[u8],
    ) -> Result<Option<Page>, IndexError> {
        if level == 0 {
            let from = [self.leaf_key(reduce_key, end).as_slice(), &[0]].concat();
            return self.leaf_from(reduce_key, &from);
        }
        let prefix = self.item_prefix(reduce_key, level);
        let from = [prefix.as_slice(), end, &[0]].concat();
        let first = self.seek(&from)?;
        let (items, end) = self.items_to_border(level, &prefix, first)?;
        self.values_read += items.len() as u64;
        Ok((!items.is_empty()).then_some(Page { end, items }))
    }

    /// The end of the only page of the level that holds the stored root.
    pub(crate) fn only_page_end(
        &mut self,
        reduce_key: &[u8],
        level: u8,
    ) -> Result<Option<Vec<u8>>, IndexError> {
        if level == 0 {
            let prefix = self.leaf_key(reduce_key, &[]);
            let row = self.seek(&prefix)?;
            return Ok(row.and_then(|row| strip(row, &prefix)).map(|item| item.key));
        }
        let prefix = self.item_prefix(reduce_key, level);
        let row = self.seek_back(&behind(&prefix))?;
        let last = row.and_then(|row| strip(row, &prefix)).map(|item| item.key);
        let named = |last: &Vec<u8>| self.borders.ends_page(last, level);
        Ok(last.map(|last| if named(&last) { last } else { OPEN_END.to_vec() }))
    }

    /// The first items of a level, at most `count`, without those whose keys are in `left_out`, which is sorted by key.
    pub(crate) fn other_items(
        &mut self,
        reduce_key: &[u8],
        level: u8,
        left_out: &[ItemChange],
        count: usize,
    ) -> Result<Vec<Item>, IndexError> {
        let prefix = self.item_prefix(reduce_key, level);
        let mut found = Vec::new();
        let mut row = if count == 0 { None } else { self.seek(&prefix)? };
        while let Some(item) = row.and_then(|row| strip(row, &prefix)) {
            if left_out.binary_search_by(|change| change.key.cmp(&item.key)).is_err() {
                found.push(item);
            }
            if found.len() == count {
                break;
            }
            row = self.cursor().next()?;
        }
        Ok(found)
    }

    /// The keys of the rows of all items of a level.
    pub(crate) fn row_keys(&mut self, reduce_key: &[u8], level: u8) -> Result<Vec<Vec<u8>>, IndexError> {
        let prefix = self.item_prefix(reduce_key, level);
        let mut keys = Vec::new();
        let mut row = self.seek(&prefix)?;
        while let Some((key, _)) = row.filter(|(key, _)| key.starts_with(&prefix)) {
            keys.push(key);
            row = self.cursor().next()?;
        }
        Ok(keys)
    }

    pub(crate) fn leaf_key(&self, reduce_key: &[u8], end: &[u8]) -> Vec<u8> {
        self.slot.key(Kind::LeafPage, &[reduce_key, end].concat())
    }

    pub(crate) fn item_prefix(&self, reduce_key: &[u8], level: u8) -> Vec<u8> {
        self.slot.key(Kind::PageOutput, &[reduce_key, &[level]].concat())
    }

    fn place_above(
        &mut self,
        reduce_key: &[u8],
        level: u8,
        change: &ItemChange,
    ) -> Result<Place, IndexError> {
        let prefix = self.item_prefix(reduce_key, level);
        let from = [prefix.as_slice(), &change.key].concat();
        let first = self.seek(&from)?;
        if let Some((key, value)) = &first
            && *key == from
            && change.value.as_ref() == Some(value)
        {
            self.values_read += 1;
            return Ok(Place::AsChanged);
        }
        let (behind, end) = self.items_to_border(level, &prefix, first)?;
        let mut items = Vec::new();
        let mut row = self.seek_back(&from)?;
        while let Some(item) = row.and_then(|row| strip(row, &prefix)) {
            if self.borders.ends_page(&item.key, level) {
                break;
            }
            items.push(item);
            row = self.cursor().previous()?;
        }
        items.reverse();
        items.extend(behind);
        self.values_read += items.len() as u64;
        Ok(Place::Page((!items.is_empty()).then_some(Page { end, items })))
    }

    /// Reads on to the next border; also gives the end of the page.
    fn items_to_border(
        &mut self,
        level: u8,
        prefix: &[u8],
        first: Option<Row>,
    ) -> Result<(Vec<Item>, Vec<u8>), IndexError> {
        let mut items = Vec::new();
        let mut row = first;
        while let Some(item) = row.and_then(|row| strip(row, prefix)) {
            let end = self.borders.ends_page(&item.key, level).then(|| item.key.clone());
            items.push(item);
            if let Some(end) = end {
                return Ok((items, end));
            }
            row = self.cursor().next()?;
        }
        Ok((items, OPEN_END.to_vec()))
    }

    /// The first leaf page of a tree whose row is not before `from`.
    fn leaf_from(&mut self, reduce_key: &[u8], from: &[u8]) -> Result<Option<Page>, IndexError> {
        let prefix = self.leaf_key(reduce_key, &[]);
        let row = self.seek(from)?;
        let Some(Item { key: end, value }) = row.and_then(|row| strip(row, &prefix)) else {
            return Ok(None);
        };
        let items = decode_leaf(&value)?;
        self.values_read += items.len() as u64;
        Ok(Some(Page { end, items }))
    }

    fn seek(&mut self, key: &[u8]) -> Result<Option<Row>, IndexError> {
        Ok(self.cursor().seek(key)?)
    }

    fn seek_back(&mut self, key: &[u8]) -> Result<Option<Row>, IndexError> {
        Ok(self.cursor().seek_back(key)?)
    }

    fn cursor(&mut self) -> &mut (dyn Cursor + 'v) {
        let (view, slot) = (self.view, self.slot);
        let cursor = self.cursor.get_or_insert_with(|| {
            let (from, to) = slot.range();
            view.cursor(Space::Index, &to)
                .unwrap_or_else(|| Box::new(ScanCursor::new(view, Space::Index, from, to)))
        });
        cursor.as_mut()
    }
}

/// The item of a row behind the key's prefix; `None` when the row is of something else.
fn strip((key, value): Row, prefix: &[u8]) -> Option<Item> {
    let key = key.strip_prefix(prefix)?.to_vec();
    Some(Item { key, value })
}
