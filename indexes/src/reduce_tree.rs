//! The reduce tree of one reduce key (step 6 of the data's way): apply changes, re-reduce the touched path.
//!
//! Level 0 holds the map entries in entry key order, cut into pages at the borders (`border.rs`). Level L+1 holds one
//! item per page of level L: the page's end and its reduced value, cut into pages by the same rule. The lowest level
//! with exactly one page is the root's; its reduced value is the result. So the tree is a pure function of the
//! entries, whatever the order and the batches in which they came: the tests compare the bytes of its rows.
//!
//! Leaf pages are one row each (an entry is small and read with its neighbours); the items above are one row each
//! (a reduced value may be large, and a change must not rewrite its neighbours). The root's item stands only in
//! the result row. A page whose reduce failed has a failed output, and so has every page above it: there is never an
//! old or partial sum.

use crate::error::IndexError;
use crate::keys::{Kind, OPEN_END, Reader, behind, put_bytes};
use crate::page_reader::{Page, PageReader, Place};
use crate::stored_result::{Finalized, Output, StoredResult};
use crate::stored_tree::StoredTree;
use magpie_store::kv::{Batch, Space};

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

impl TreeWork {
    pub(crate) fn add(&mut self, other: Self) {
        self.reduce_calls += other.reduce_calls;
        self.values_read += other.values_read;
    }
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

/// How many pages a level has.
enum PagesLeft {
    None,
    /// One, with this output.
    One(Output),
    Several,
}

/// What happened to pages that follow each other.
#[derive(Default)]
struct Touched {
    /// The ends of the pages as they were, in order.
    old_ends: Vec<Vec<u8>>,
    /// The keys of the items that are new, changed or gone, in order.
    keys: Vec<Vec<u8>>,
}

impl Touched {
    /// Whether the page that ends at `end`, and begins behind the one that ends at `before`, was there with the same items.
    fn left_as_it_was(&self, before: Option<&[u8]>, end: &[u8]) -> bool {
        let Ok(place) = self.old_ends.binary_search_by(|old| old.as_slice().cmp(end)) else { return false };
        let old_before = place.checked_sub(1).and_then(|before| self.old_ends.get(before));
        let first = self.keys.partition_point(|key| before.is_some_and(|before| key.as_slice() <= before));
        old_before.map(Vec::as_slice) == before && self.keys.get(first).is_none_or(|key| key.as_slice() > end)
    }
}

/// The tree of one reduce key as of one snapshot, and the batch its changes go to.
pub struct ReduceTree<'a, 'v> {
    /// What reads the tree.
    pub reader: &'a mut PageReader<'v>,
    /// The reduce key in its ordered form.
    pub reduce_key: &'a [u8],
    /// Where the changed rows go.
    pub batch: &'a mut Batch,
    /// The work done so far.
    pub work: &'a mut TreeWork,
}

impl<'a> ReduceTree<'a, '_> {
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
        let applied = self.apply_levels(changes, reducer);
        self.work.values_read += self.reader.take_values_read();
        applied
    }

    fn apply_levels(
        &mut self,
        changes: Vec<ItemChange>,
        reducer: &mut dyn PageReducer,
    ) -> Result<Applied, IndexError> {
        let old = self.reader.result(self.reduce_key)?;
        let old_height = old.as_ref().map(|result| result.height);
        let mut changes = changes;
        for level in 0..=u8::MAX {
            let Rewritten { mut upper, first_old_end } = self.rewrite(level, old_height, changes, reducer)?;
            if upper.is_empty() {
                return Ok(Applied { after: old.clone(), before: old });
            }
            let sole_old = match old_height == Some(level) {
                true if first_old_end.is_some() => first_old_end,
                true => self.reader.only_page_end(self.reduce_key, level)?,
                false => None,
            };
            let untouched = sole_old.filter(|end| upper.iter().all(|change| change.key != *end));
            match self.pages_left(level, old_height, untouched.as_deref(), &upper)? {
                PagesLeft::None => {
                    self.clear_above(level, old_height)?;
                    self.batch.delete(Space::Index, self.reader.slot().key(Kind::Result, self.reduce_key));
                    return Ok(Applied { before: old, after: None });
                }
                PagesLeft::One(output) => {
                    self.clear_above(level, old_height)?;
                    let finalized = finalize_root(&output, old.as_ref(), reducer)?;
                    let new = Some(StoredResult { height: level, output, finalized });
                    if let Some(new) = new.as_ref().filter(|_| old != new) {
                        let key = self.reader.slot().key(Kind::Result, self.reduce_key);
                        self.batch.put(Space::Index, key, new.encode());
                    }
                    return Ok(Applied { before: old, after: new });
                }
                PagesLeft::Several => {}
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
        let items = self.reader.slot().key(Kind::PageOutput, self.reduce_key);
        self.batch.delete_range(Space::Index, items.clone(), behind(&items));
        let result_key = self.reader.slot().key(Kind::Result, self.reduce_key);
        let mut above = Vec::new();
        let leaves = self.stored().leaves();
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

    /// What `level` has after the change.
    fn pages_left(
        &mut self,
        level: u8,
        old_height: Option<u8>,
        untouched: Option<&[u8]>,
        upper: &[ItemChange],
    ) -> Result<PagesLeft, IndexError> {
        let had_several = old_height.is_some_and(|height| height > level);
        if had_several && upper.iter().all(|change| change.value.is_some()) {
            return Ok(PagesLeft::Several);
        }
        let mut outputs: Vec<&[u8]> =
            upper.iter().filter_map(|change| change.value.as_deref()).take(2).collect();
        if untouched.is_some() {
            // With a changed one there are two, and its output is not asked for.
            outputs.push(&[]);
        }
        let missing = 2_usize.saturating_sub(outputs.len());
        let others = match had_several {
            true => self.reader.other_items(self.reduce_key, level + 1, upper, missing)?,
            false => Vec::new(),
        };
        outputs.extend(others.iter().map(|item| item.value.as_slice()));
        Ok(match outputs.as_slice() {
            [] => PagesLeft::None,
            [only] => PagesLeft::One(Output::decode(only)?),
            _ => PagesLeft::Several,
        })
    }

    /// Removes the items above a root that has come down to `level`.
    fn clear_above(&mut self, level: u8, old_height: Option<u8>) -> Result<(), IndexError> {
        for above in level.saturating_add(1)..=old_height.unwrap_or(0) {
            for key in self.reader.row_keys(self.reduce_key, above)? {
                self.batch.delete(Space::Index, key);
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
            let place = match old_height {
                // The tree has no rows on this level: most keys of new documents need no look.
                Some(height) if height >= level => {
                    self.reader.place_of(self.reduce_key, (level, height), first)?
                }
                _ => Place::Page(None),
            };
            let page = match place {
                Place::Page(page) => page,
                Place::AsChanged => {
                    changes.next();
                    continue;
                }
            };
            let has_page = page.is_some();
            let Page { mut end, mut items } =
                page.unwrap_or_else(|| Page { end: OPEN_END.to_vec(), items: Vec::new() });
            let mut touched = Touched::default();
            if has_page {
                first_old_end.get_or_insert_with(|| end.clone());
                touched.old_ends.push(end.clone());
            }
            loop {
                let mut here = Vec::new();
                while let Some(change) = changes.next_if(|change| change.key <= end) {
                    here.push(change);
                }
                items = self.merge(level, items, here, &mut touched.keys);
                let borders = self.reader.borders();
                let open = items.last().is_some_and(|last| !borders.ends_page(&last.key, level));
                if !open || end == OPEN_END {
                    break;
                }
                // The page lost its border: it runs on into the next page, if there is one.
                let next =
                    if has_page { self.reader.page_after(self.reduce_key, level, &end)? } else { None };
                match next {
                    Some(next) => {
                        end.clone_from(&next.end);
                        items.extend(next.items);
                        touched.old_ends.push(next.end);
                    }
                    None => end = OPEN_END.to_vec(),
                }
            }
            let new_pages = self.cut(level, items);
            self.replace_pages(level, &touched, &new_pages, reducer, &mut upper)?;
        }
        upper.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Rewritten { upper, first_old_end })
    }

    /// Merges sorted changes into sorted items; adds to `touched` the keys of those that change something. Above the
    /// leaves this also writes the items' rows.
    fn merge(
        &mut self,
        level: u8,
        items: Vec<Item>,
        changes: Vec<ItemChange>,
        touched: &mut Vec<Vec<u8>>,
    ) -> Vec<Item> {
        let mut merged = Vec::with_capacity(items.len() + changes.len());
        let mut items = items.into_iter().peekable();
        for change in changes {
            while let Some(item) = items.next_if(|item| item.key < change.key) {
                merged.push(item);
            }
            let old = items.next_if(|item| item.key == change.key);
            if old.as_ref().map(|old| &old.value) != change.value.as_ref() {
                touched.push(change.key.clone());
                if level > 0 {
                    let key = [self.item_prefix(level).as_slice(), &change.key].concat();
                    match &change.value {
                        Some(new) => self.batch.put(Space::Index, key, new.clone()),
                        None => self.batch.delete(Space::Index, key),
                    }
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
            let border = self.reader.borders().ends_page(&item.key, level);
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
        touched: &Touched,
        new_pages: &[Page],
        reducer: &mut dyn PageReducer,
        upper: &mut Vec<ItemChange>,
    ) -> Result<(), IndexError> {
        for old in &touched.old_ends {
            if new_pages.iter().all(|new| new.end != *old) {
                if level == 0 {
                    self.batch.delete(Space::Index, self.leaf_key(old));
                }
                upper.push(ItemChange { key: old.clone(), value: None });
            }
        }
        let mut begin = None;
        for new in new_pages {
            let began = begin.replace(new.end.as_slice());
            if touched.left_as_it_was(began, &new.end) {
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

    fn stored(&self) -> StoredTree<'a> {
        StoredTree { view: self.reader.view(), slot: self.reader.slot(), reduce_key: self.reduce_key }
    }

    fn leaf_key(&self, end: &[u8]) -> Vec<u8> {
        self.reader.leaf_key(self.reduce_key, end)
    }

    fn item_prefix(&self, level: u8) -> Vec<u8> {
        self.reader.item_prefix(self.reduce_key, level)
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
