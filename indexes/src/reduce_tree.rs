//! The reduce tree of one reduce key (step 6 of the data's way): apply changes, re-reduce the touched path.
//!
//! Level 0 holds the map entries in entry key order, cut into pages at the borders (`border.rs`). Level L+1 holds one
//! item per page of level L: the page's end and its reduced value, cut into pages by the same rule. The lowest level
//! with exactly one page is the root's; its reduced value is the result. So the tree is a pure function of the
//! entries, whatever the order and the batches in which they came: the tests compare the bytes of its rows.
//!
//! Leaf pages are one row each (an entry is small and read with its neighbours); the items above are one row each
//! (a reduced value may be large, and a change must not rewrite its 31 neighbours). The root's item stands only in
//! the result row. A page whose reduce failed has a failed output, and so has every page above it: there is never an
//! old or partial sum.

use crate::border::Borders;
use crate::error::IndexError;
use crate::keys::{Kind, OPEN_END, Reader, Slot, behind, put_bytes};
use crate::stored_result::{Finalized, Output, StoredResult};
use crate::stored_tree::StoredTree;
use magpie_store::kv::{Batch, Direction, Space, View};

/// A new, changed (`Some`) or removed (`None`) entry or item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemChange {
    /// The entry key; above the leaves the page end.
    pub key: Vec<u8>,
    /// The entry's JSON; above the leaves the encoded output.
    pub value: Option<Vec<u8>>,
}

/// What folds the values of one page.
pub trait PageReducer {
    /// Reduces JSON values, given in entry key order and never empty, to one.
    ///
    /// # Errors
    /// Only when the store fails; a failing function is [`Output::Failed`].
    fn reduce(&mut self, values: &[&[u8]]) -> Result<Output, IndexError>;

    /// Finalizes the reduced value of the whole key.
    ///
    /// # Errors
    /// Only when the store fails; a failing function is [`Finalized::Failed`].
    fn finalize(&mut self, _reduced: &[u8]) -> Result<Finalized, IndexError> {
        Ok(Finalized::AsReduced)
    }
}

/// What applying changes did to the result row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The row before; `None` when there was none.
    pub before: Option<StoredResult>,
    /// The row now; `None` when no entry is left.
    pub after: Option<StoredResult>,
}

/// How much work a change was. Counts, so that tests need no clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TreeWork {
    /// Calls of the reduce function.
    pub reduce_calls: u64,
    /// Entries and items read from the store.
    pub values_read: u64,
}

/// An entry; above the leaves the value of a page of the level below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// What rewriting one level did.
struct Rewritten {
    /// The changes of the outputs of its pages, sorted by page end.
    upper: Vec<ItemChange>,
    /// The end of the first page that it had and that was touched.
    first_old_end: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
struct Page {
    end: Vec<u8>,
    items: Vec<Item>,
}

/// The tree of one reduce key as of one snapshot, and the batch its changes go to.
pub struct ReduceTree<'a> {
    /// The snapshot the tree is read from.
    pub view: &'a dyn View,
    /// The index build the rows belong to.
    pub slot: Slot,
    /// The reduce key in its ordered form.
    pub reduce_key: &'a [u8],
    /// The border rule of the index.
    pub borders: Borders,
    /// Where the changed rows go.
    pub batch: &'a mut Batch,
    /// The work done so far.
    pub work: &'a mut TreeWork,
}

impl ReduceTree<'_> {
    /// Applies changes (sorted by key, each key once) from leaf to root.
    ///
    /// A tree may be applied to once per snapshot and batch: it does not see its own writes.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn apply(
        &mut self,
        changes: Vec<ItemChange>,
        reducer: &mut dyn PageReducer,
    ) -> Result<Applied, IndexError> {
        let old = self.stored_result()?;
        let old_height = old.as_ref().map(|result| result.height);
        let mut changes = changes;
        for level in 0..=u8::MAX {
            let Rewritten { mut upper, first_old_end } = self.rewrite(level, old_height, changes, reducer)?;
            if upper.is_empty() {
                return Ok(Applied { after: old.clone(), before: old });
            }
            let sole_old = match old_height == Some(level) {
                true if first_old_end.is_some() => first_old_end,
                true => self.first_page_end(level)?,
                false => None,
            };
            let untouched = sole_old.filter(|end| upper.iter().all(|change| change.key != *end));
            let remaining = self.pages_left(level, old_height, untouched.as_deref(), &upper)?;
            match remaining.as_slice() {
                [] => {
                    self.clear_above(level, old_height)?;
                    self.batch.delete(Space::Index, self.slot.key(Kind::Result, self.reduce_key));
                    return Ok(Applied { before: old, after: None });
                }
                [root] => {
                    self.clear_above(level, old_height)?;
                    let output = Output::decode(&root.value)?;
                    let finalized = finalize_root(&output, old.as_ref(), reducer)?;
                    let new = Some(StoredResult { height: level, output, finalized });
                    if let Some(new) = new.as_ref().filter(|_| old != new) {
                        let key = self.slot.key(Kind::Result, self.reduce_key);
                        self.batch.put(Space::Index, key, new.encode());
                    }
                    return Ok(Applied { before: old, after: new });
                }
                _ => {}
            }
            if let (Some(end), Some(result)) = (untouched, &old) {
                // The level above starts with this change. The page that was the root is an ordinary page now.
                let place = upper.partition_point(|change| change.key < end);
                upper.insert(place, ItemChange { key: end, value: Some(result.output.encode()) });
            }
            changes = upper;
        }
        Err(IndexError::Corrupt("a reduce tree without a root".to_owned()))
    }

    /// Builds everything above the entries anew, whatever is stored there, and gives the result row.
    ///
    /// # Errors
    /// When the store fails or a page of entries is damaged.
    pub fn rebuild(&mut self, reducer: &mut dyn PageReducer) -> Result<Option<StoredResult>, IndexError> {
        let items = self.slot.key(Kind::PageOutput, self.reduce_key);
        self.batch.delete_range(Space::Index, items.clone(), behind(&items));
        let result_key = self.slot.key(Kind::Result, self.reduce_key);
        let mut above = Vec::new();
        let leaves = StoredTree { view: self.view, slot: self.slot, reduce_key: self.reduce_key }.leaves();
        for leaf in leaves {
            let leaf = leaf?;
            let output = self.reduce_page(0, &leaf.items?, reducer)?;
            above.push(Item { key: leaf.end, value: output.encode() });
        }
        for level in 1..=u8::MAX {
            let root = match above.as_slice() {
                [] => {
                    self.batch.delete(Space::Index, result_key);
                    return Ok(None);
                }
                [root] => Some(Output::decode(&root.value)?),
                _ => None,
            };
            if let Some(output) = root {
                let finalized = finalize_root(&output, None, reducer)?;
                let result = StoredResult { height: level - 1, output, finalized };
                self.batch.put(Space::Index, result_key, result.encode());
                return Ok(Some(result));
            }
            for item in &above {
                let key = [self.item_prefix(level).as_slice(), &item.key].concat();
                self.batch.put(Space::Index, key, item.value.clone());
            }
            let mut next = Vec::new();
            for page in self.cut(level, above) {
                let output = self.reduce_page(level, &page.items, reducer)?;
                next.push(Item { key: page.end, value: output.encode() });
            }
            above = next;
        }
        Err(IndexError::Corrupt("a reduce tree without a root".to_owned()))
    }

    fn stored_result(&self) -> Result<Option<StoredResult>, IndexError> {
        let row = self.view.get(Space::Index, &self.slot.key(Kind::Result, self.reduce_key))?;
        row.map(|bytes| StoredResult::decode(&bytes)).transpose()
    }

    /// Up to two of the pages that `level` has after the change, each as the item it is in the level above.
    fn pages_left(
        &mut self,
        level: u8,
        old_height: Option<u8>,
        untouched: Option<&[u8]>,
        upper: &[ItemChange],
    ) -> Result<Vec<Item>, IndexError> {
        let mut pages: Vec<_> = upper
            .iter()
            .filter_map(|change| Some(Item { key: change.key.clone(), value: change.value.clone()? }))
            .take(2)
            .collect();
        if let Some(end) = untouched {
            // Two pages at least: its output is not asked for, see below.
            pages.push(Item { key: end.to_vec(), value: Vec::new() });
        }
        if old_height.is_some_and(|height| height > level) && pages.len() < 2 {
            let prefix = self.item_prefix(level + 1);
            for row in self.view.scan(Space::Index, &prefix, &behind(&prefix), Direction::Forward) {
                let (key, value) = row?;
                let end = key.get(prefix.len()..).unwrap_or_default();
                if upper.binary_search_by(|change| change.key.as_slice().cmp(end)).is_err() {
                    pages.push(Item { key: end.to_vec(), value });
                    if pages.len() == 2 {
                        break;
                    }
                }
            }
        }
        Ok(pages)
    }

    /// Removes the items above a root that has come down to `level`.
    fn clear_above(&mut self, level: u8, old_height: Option<u8>) -> Result<(), IndexError> {
        for above in level.saturating_add(1)..=old_height.unwrap_or(0) {
            let prefix = self.item_prefix(above);
            for row in self.view.scan(Space::Index, &prefix, &behind(&prefix), Direction::Forward) {
                self.batch.delete(Space::Index, row?.0);
            }
        }
        Ok(())
    }

    /// Rewrites the touched pages of one level; gives the changes of their outputs, sorted by page end.
    fn rewrite(
        &mut self,
        level: u8,
        old_height: Option<u8>,
        changes: Vec<ItemChange>,
        reducer: &mut dyn PageReducer,
    ) -> Result<Rewritten, IndexError> {
        let mut upper = Vec::new();
        let mut first_old_end = None;
        let mut changes = changes.into_iter().peekable();
        while let Some(first) = changes.peek() {
            let mut old_pages: Vec<Page> = match old_height {
                // The tree has no rows on this level: most keys of new documents need no look.
                None => Vec::new(),
                Some(height) if height < level => Vec::new(),
                Some(height) => self.page_at(level, height, &first.key)?.into_iter().collect(),
            };
            if first_old_end.is_none() {
                first_old_end = old_pages.first().map(|page| page.end.clone());
            }
            let mut end = old_pages.first().map_or_else(|| OPEN_END.to_vec(), |page| page.end.clone());
            let mut items: Vec<Item> = old_pages.first().map(|page| page.items.clone()).unwrap_or_default();
            loop {
                let mut here = Vec::new();
                while let Some(change) = changes.next_if(|change| change.key <= end) {
                    here.push(change);
                }
                items = self.merge(level, items, here);
                let open = items.last().is_some_and(|last| !self.borders.ends_page(&last.key, level));
                if !open || end == OPEN_END {
                    break;
                }
                // The page lost its border: it runs on into the next page, if there is one.
                let next = if old_pages.is_empty() { None } else { self.page_after(level, &end)? };
                match next {
                    Some(next) => {
                        end.clone_from(&next.end);
                        items.extend(next.items.iter().cloned());
                        old_pages.push(next);
                    }
                    None => end = OPEN_END.to_vec(),
                }
            }
            let new_pages = self.cut(level, items);
            self.replace_pages(level, &old_pages, &new_pages, reducer, &mut upper)?;
        }
        upper.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Rewritten { upper, first_old_end })
    }

    /// Merges sorted changes into sorted items. Above the leaves this also writes the items' rows.
    fn merge(&mut self, level: u8, items: Vec<Item>, changes: Vec<ItemChange>) -> Vec<Item> {
        let mut merged = Vec::with_capacity(items.len() + changes.len());
        let mut items = items.into_iter().peekable();
        for change in changes {
            while let Some(item) = items.next_if(|item| item.key < change.key) {
                merged.push(item);
            }
            let old = items.next_if(|item| item.key == change.key);
            if level > 0 {
                let key = [self.item_prefix(level).as_slice(), &change.key].concat();
                match (&old, &change.value) {
                    (Some(old), Some(new)) if old.value == *new => {}
                    (_, Some(new)) => self.batch.put(Space::Index, key, new.clone()),
                    (Some(_), None) => self.batch.delete(Space::Index, key),
                    (None, None) => {}
                }
            }
            if let Some(value) = change.value {
                merged.push(Item { key: change.key, value });
            }
        }
        merged.extend(items);
        merged
    }

    /// Cuts items into pages behind each border.
    fn cut(&self, level: u8, items: Vec<Item>) -> Vec<Page> {
        let mut pages = Vec::new();
        let mut page = Vec::new();
        for item in items {
            let border = self.borders.ends_page(&item.key, level);
            let end = border.then(|| item.key.clone());
            page.push(item);
            if let Some(end) = end {
                pages.push(Page { end, items: std::mem::take(&mut page) });
            }
        }
        if !page.is_empty() {
            pages.push(Page { end: OPEN_END.to_vec(), items: page });
        }
        pages
    }

    /// Stores the new pages in place of the old ones and reduces those that differ.
    fn replace_pages(
        &mut self,
        level: u8,
        old_pages: &[Page],
        new_pages: &[Page],
        reducer: &mut dyn PageReducer,
        upper: &mut Vec<ItemChange>,
    ) -> Result<(), IndexError> {
        for old in old_pages {
            if new_pages.iter().all(|new| new.end != old.end) {
                if level == 0 {
                    self.batch.delete(Space::Index, self.leaf_key(&old.end));
                }
                upper.push(ItemChange { key: old.end.clone(), value: None });
            }
        }
        for new in new_pages {
            if old_pages.iter().any(|old| old.end == new.end && old.items == new.items) {
                continue;
            }
            if level == 0 {
                self.batch.put(Space::Index, self.leaf_key(&new.end), encode_leaf(&new.items));
            }
            let output = self.reduce_page(level, &new.items, reducer)?;
            upper.push(ItemChange { key: new.end.clone(), value: Some(output.encode()) });
        }
        Ok(())
    }

    fn reduce_page(
        &mut self,
        level: u8,
        items: &[Item],
        reducer: &mut dyn PageReducer,
    ) -> Result<Output, IndexError> {
        self.work.reduce_calls += 1;
        reduce_items(level, items, reducer)
    }

    /// The page whose range holds `key`: the first one whose end is not before it.
    fn page_at(&mut self, level: u8, height: u8, key: &[u8]) -> Result<Option<Page>, IndexError> {
        if level == 0 {
            // A small tree has one page, and mostly no border in it: one look-up instead of a scan.
            if height == 0
                && let Some(value) = self.view.get(Space::Index, &self.leaf_key(OPEN_END))?
            {
                let items = decode_leaf(&value)?;
                self.work.values_read += items.len() as u64;
                return Ok(Some(Page { end: OPEN_END.to_vec(), items }));
            }
            let from = self.leaf_key(key);
            return self.leaf_from(&from);
        }
        let prefix = self.item_prefix(level);
        let from = [prefix.as_slice(), key].concat();
        let mut items = Vec::new();
        for row in self.view.scan(Space::Index, &prefix, &from, Direction::Reverse) {
            let item = strip(row?, prefix.len());
            if self.borders.ends_page(&item.key, level) {
                break;
            }
            items.push(item);
        }
        items.reverse();
        self.finish_page(level, &prefix, &from, items)
    }

    /// The page behind the one that ends at `end`.
    fn page_after(&mut self, level: u8, end: &[u8]) -> Result<Option<Page>, IndexError> {
        if level == 0 {
            let from = [self.leaf_key(end).as_slice(), &[0]].concat();
            return self.leaf_from(&from);
        }
        let prefix = self.item_prefix(level);
        let from = [prefix.as_slice(), end, &[0]].concat();
        self.finish_page(level, &prefix, &from, Vec::new())
    }

    /// Reads on from `from` to the next border; `items` is what the page has before it.
    fn finish_page(
        &mut self,
        level: u8,
        prefix: &[u8],
        from: &[u8],
        mut items: Vec<Item>,
    ) -> Result<Option<Page>, IndexError> {
        let mut end = None;
        for row in self.view.scan(Space::Index, from, &behind(prefix), Direction::Forward) {
            let item = strip(row?, prefix.len());
            let border = self.borders.ends_page(&item.key, level).then(|| item.key.clone());
            items.push(item);
            if border.is_some() {
                end = border;
                break;
            }
        }
        self.work.values_read += items.len() as u64;
        let end = end.unwrap_or_else(|| OPEN_END.to_vec());
        Ok((!items.is_empty()).then_some(Page { end, items }))
    }

    /// The first leaf page whose row is not before `from`.
    fn leaf_from(&mut self, from: &[u8]) -> Result<Option<Page>, IndexError> {
        let prefix = self.leaf_key(&[]);
        let Some(row) = self.view.scan(Space::Index, from, &behind(&prefix), Direction::Forward).next()
        else {
            return Ok(None);
        };
        let (key, value) = row?;
        let items = decode_leaf(&value)?;
        self.work.values_read += items.len() as u64;
        Ok(Some(Page { end: key.get(prefix.len()..).unwrap_or_default().to_vec(), items }))
    }

    /// The end of the only page of the level that holds the stored root.
    fn first_page_end(&mut self, level: u8) -> Result<Option<Vec<u8>>, IndexError> {
        let (prefix, direction) = if level == 0 {
            (self.leaf_key(&[]), Direction::Forward)
        } else {
            (self.item_prefix(level), Direction::Reverse)
        };
        let Some(row) = self.view.scan(Space::Index, &prefix, &behind(&prefix), direction).next() else {
            return Ok(None);
        };
        let last = strip(row?, prefix.len()).key;
        let named = level == 0 || self.borders.ends_page(&last, level);
        Ok(Some(if named { last } else { OPEN_END.to_vec() }))
    }

    fn leaf_key(&self, end: &[u8]) -> Vec<u8> {
        self.slot.key(Kind::LeafPage, &[self.reduce_key, end].concat())
    }

    fn item_prefix(&self, level: u8) -> Vec<u8> {
        self.slot.key(Kind::PageOutput, &[self.reduce_key, &[level]].concat())
    }
}

/// What finalize makes of a root. It is pure, so an unchanged root needs no call.
pub(crate) fn finalize_root(
    output: &Output,
    old: Option<&StoredResult>,
    reducer: &mut dyn PageReducer,
) -> Result<Finalized, IndexError> {
    match (output, old) {
        (_, Some(old)) if old.output == *output => Ok(old.finalized.clone()),
        (Output::Value(value), _) => reducer.finalize(value),
        (Output::Failed, _) => Ok(Finalized::AsReduced),
    }
}

/// Reduces the items of one page: entries on level 0, values of pages above. One failed page below makes the whole key
/// fail; no value may be left out of a sum.
pub(crate) fn reduce_items(
    level: u8,
    items: &[Item],
    reducer: &mut dyn PageReducer,
) -> Result<Output, IndexError> {
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        match (level, item.value.split_first()) {
            (0, _) => values.push(item.value.as_slice()),
            (_, Some((1, json))) => values.push(json),
            _ => return Ok(Output::Failed),
        }
    }
    reducer.reduce(&values)
}

fn strip((key, value): (Vec<u8>, Vec<u8>), prefix: usize) -> Item {
    Item { key: key.get(prefix..).unwrap_or_default().to_vec(), value }
}

pub(crate) fn encode_leaf(items: &[Item]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        put_bytes(&item.key, &mut out);
        put_bytes(&item.value, &mut out);
    }
    out
}

pub(crate) fn decode_leaf(bytes: &[u8]) -> Result<Vec<Item>, IndexError> {
    let mut reader = Reader(bytes);
    let mut items = Vec::new();
    while !reader.is_empty() {
        let key = reader.bytes()?.to_vec();
        items.push(Item { key, value: reader.bytes()?.to_vec() });
    }
    Ok(items)
}
