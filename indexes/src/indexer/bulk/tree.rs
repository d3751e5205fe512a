//! A reduce tree built bottom-up in one pass over its entries: the same rows as `reduce_tree.rs` makes of them.
//!
//! A page is reduced as soon as its border comes. What that gives is an item of the level above, whose row is written
//! only once there are two: a level with one item has the root below it, and the root stands in the result row.

use crate::border::Borders;
use crate::error::IndexError;
use crate::keys::{Kind, OPEN_END, Slot};
use crate::reduce_tree::{Item, PageReducer, encode_leaf, reduce_items};
use crate::stored_result::Output;
use magpie_store::kv::SortedFile;
use std::collections::BTreeMap;

/// Where the rows of trees go: leaf pages, and the items above them.
pub(super) struct TreeFiles<'f> {
    pub leaves: &'f mut dyn SortedFile,
    pub items: &'f mut dyn SortedFile,
}

/// The tree of one reduce key in the making.
pub(super) struct TreeBuilder<'t> {
    slot: Slot,
    borders: Borders,
    reduce_key: &'t [u8],
    levels: BTreeMap<u8, Level>,
    /// Rows of the items from the second level on: they sort behind all of the first.
    high_rows: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A level: the page that is being filled.
#[derive(Default)]
struct Level {
    page: Vec<Item>,
    /// How many items the level has had.
    count: u64,
    /// Whether its only item so far ends a page: whether there is such a page shows with the next item.
    ends_with_first: bool,
}

impl<'t> TreeBuilder<'t> {
    pub fn new(slot: Slot, borders: Borders, reduce_key: &'t [u8]) -> Self {
        Self { slot, borders, reduce_key, levels: BTreeMap::new(), high_rows: Vec::new() }
    }

    /// Adds the next entry in entry key order.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn push(
        &mut self,
        entry: Item,
        reducer: &mut dyn PageReducer,
        files: &mut TreeFiles<'_>,
    ) -> Result<(), IndexError> {
        let end = self.borders.ends_page(&entry.key, 0).then(|| entry.key.clone());
        self.level(0).page.push(entry);
        match end {
            Some(end) => self.close(0, &end, reducer, files),
            None => Ok(()),
        }
    }

    /// Reduces what is left up to the root; gives the result row without its finalized value.
    ///
    /// # Errors
    /// When the disk fails, or there was no entry.
    pub fn finish(
        mut self,
        reducer: &mut dyn PageReducer,
        files: &mut TreeFiles<'_>,
    ) -> Result<(u8, Output), IndexError> {
        for level in 0..u8::MAX {
            if !self.level(level).page.is_empty() {
                self.close(level, OPEN_END, reducer, files)?;
            }
            let above = self.level(level + 1);
            if above.count == 1 {
                let root = above.page.first().map(|root| Output::decode(&root.value));
                let root = root.ok_or_else(no_root)??;
                self.high_rows.sort_unstable();
                for (key, value) in self.high_rows.drain(..) {
                    files.items.put(&key, &value)?;
                }
                return Ok((level, root));
            }
        }
        Err(no_root())
    }

    fn level(&mut self, level: u8) -> &mut Level {
        self.levels.entry(level).or_default()
    }

    /// Ends the page of a level; its value is an item of the level above, and may end a page there.
    fn close(
        &mut self,
        level: u8,
        end: &[u8],
        reducer: &mut dyn PageReducer,
        files: &mut TreeFiles<'_>,
    ) -> Result<(), IndexError> {
        let (mut level, end) = (level, end.to_vec());
        loop {
            let page = std::mem::take(&mut self.level(level).page);
            if level == 0 {
                let key = self.slot.key(Kind::LeafPage, &[self.reduce_key, &end].concat());
                files.leaves.put(&key, &encode_leaf(&page))?;
            }
            let output = reduce_items(level, &page, reducer)?;
            level += 1;
            self.add_above(level, Item { key: end.clone(), value: output.encode() }, reducer, files)?;
            if !self.borders.ends_page(&end, level) {
                return Ok(());
            }
            let here = self.level(level);
            if here.count == 1 {
                here.ends_with_first = true;
                return Ok(());
            }
        }
    }

    /// Adds an item to a level above the leaves.
    fn add_above(
        &mut self,
        level: u8,
        item: Item,
        reducer: &mut dyn PageReducer,
        files: &mut TreeFiles<'_>,
    ) -> Result<(), IndexError> {
        if self.level(level).count == 1
            && let Some(first) = self.level(level).page.first().cloned()
        {
            // Now it is no root any more.
            self.write(level, &first, files)?;
            if std::mem::take(&mut self.level(level).ends_with_first) {
                self.close(level, &first.key, reducer, files)?;
            }
        }
        if self.level(level).count >= 1 {
            self.write(level, &item, files)?;
        }
        let here = self.level(level);
        here.count += 1;
        here.page.push(item);
        Ok(())
    }

    fn write(&mut self, level: u8, item: &Item, files: &mut TreeFiles<'_>) -> Result<(), IndexError> {
        let key = self.slot.key(Kind::PageOutput, &[self.reduce_key, &[level], &item.key].concat());
        if level == 1 {
            files.items.put(&key, &item.value)?;
        } else {
            self.high_rows.push((key, item.value.clone()));
        }
        Ok(())
    }
}

fn no_root() -> IndexError {
    IndexError::Corrupt("a reduce tree without a root".to_owned())
}
