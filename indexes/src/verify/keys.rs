//! The second pass: each reduce key folded flat, and its tree recomputed page by page.

use super::documents::{json, read_keys};
use super::{Damage, Repair, Verifier, nearly_equal};
use crate::error::IndexError;
use crate::faults::decode_key;
use crate::function::{FunctionError, IndexFunction};
use crate::indexer::KeyReducer;
use crate::keys::{Kind, OPEN_END, behind, parse_entry_key, rest};
use crate::limits::FLAT_FOLD_VALUES_MAX;
use crate::progress::OutputPhase;
use crate::reduce_tree::{Item, PageReducer};
use crate::stored_result::{Finalized, Output, StoredResult};
use crate::stored_tree::StoredTree;
use magpie_store::DocumentId;
use magpie_store::json::Json;
use magpie_store::kv::{Direction, Space};
use magpie_store::ordered;

/// What is wrong with a key, in words, and both values where that says something.
struct Wrong {
    what: String,
    expected: Option<Json>,
    found: Option<Json>,
    repair: Vec<Repair>,
}

/// A row's key, and the part of it that starts with a reduce key.
type KeyRow = (Vec<u8>, Vec<u8>);

/// A tree that cannot be walked any further: what is wrong with it, or a failure of the store.
enum Stop {
    Wrong(Wrong),
    Failed(IndexError),
}

impl From<IndexError> for Stop {
    fn from(error: IndexError) -> Self {
        Self::Failed(error)
    }
}

impl Verifier<'_> {
    /// Verifies every reduce key; gives `false` when told to stop.
    pub(super) fn keys(&mut self) -> Result<bool, IndexError> {
        let Some(fields) = self.index.shape().group_by.as_ref().map(Vec::len) else { return Ok(true) };
        let mut cursor = Vec::new();
        while let Some((row_key, tail)) = self.next_row(&cursor)? {
            if !(self.go_on)() {
                return Ok(false);
            }
            let Some(reduce_key) = first_key(&tail, fields) else {
                let what = "a row's reduce key cannot be read".to_owned();
                let wrong = Wrong { what, expected: None, found: None, repair: vec![Repair::Row(row_key)] };
                self.key_damage(None, wrong);
                cursor = [tail.as_slice(), &[0]].concat();
                continue;
            };
            let reduce_key = reduce_key.to_vec();
            self.key(&reduce_key)?;
            self.check_calls()?;
            // Reduce keys are prefix-free, and the bytes behind one are at most these.
            cursor = behind(&reduce_key);
        }
        let view = self.view.kv();
        for stray in self.index.output().into_iter().flat_map(|output| output.stray_rows(view)) {
            let what = "the row of an output document or reference document is kept without its result";
            let repair = vec![Repair::Row(stray?)];
            self.key_damage(None, Wrong { what: what.to_owned(), expected: None, found: None, repair });
        }
        Ok(true)
    }

    /// The first row at or behind a place among leaf pages, page values and results: its key, and the part that starts
    /// with a reduce key.
    fn next_row(&self, cursor: &[u8]) -> Result<Option<KeyRow>, IndexError> {
        let mut first: Option<KeyRow> = None;
        for kind in [Kind::LeafPage, Kind::PageOutput, Kind::Result] {
            let from = self.index.slot().key(kind, cursor);
            let (_, to) = self.index.slot().range_of(kind);
            if let Some(row) = self.view.kv().scan(Space::Index, &from, &to, Direction::Forward).next() {
                let (row_key, _) = row?;
                let tail = rest(&row_key)?.to_vec();
                if first.as_ref().is_none_or(|(_, least)| tail < *least) {
                    first = Some((row_key, tail));
                }
            }
        }
        Ok(first)
    }

    fn key(&mut self, reduce_key: &[u8]) -> Result<(), IndexError> {
        self.found.keys += 1;
        let values = decode_key(reduce_key)?;
        let tree = StoredTree { view: self.view.kv(), slot: self.index.slot(), reduce_key };
        let outcome = self.entries(&tree, &values).and_then(|folded| {
            let result = self.tree(&tree, &values)?;
            self.compare_fold(folded, result.as_ref())?;
            Ok(result)
        });
        let outcome = outcome.and_then(|result| self.output(reduce_key, result.as_ref()));
        match outcome {
            Ok(()) => Ok(()),
            Err(Stop::Wrong(wrong)) => {
                self.key_damage(Some(values), wrong);
                Ok(())
            }
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Folds the entries from left to right, a few at a time, and looks whether a document stands behind each.
    fn entries(&mut self, tree: &StoredTree<'_>, key: &[Json]) -> Result<Option<Fold>, Stop> {
        let mut fold = Fold::default();
        let mut last: Vec<u8> = Vec::new();
        for leaf in tree.leaves() {
            let leaf = leaf?;
            let row =
                || self.index.slot().key(Kind::LeafPage, &[tree.reduce_key, leaf.end.as_slice()].concat());
            let Ok(items) = leaf.items else {
                return Err(wrong("a page of entries cannot be read", vec![Repair::Row(row())]));
            };
            for (n, item) in items.iter().enumerate() {
                let is_last = n + 1 == items.len();
                let ends = self.index.borders().ends_page(&item.key, 0);
                let end_fits = if leaf.end == OPEN_END {
                    !ends
                } else {
                    is_last == ends && (!is_last || item.key == leaf.end)
                };
                if item.key <= last || !end_fits {
                    let what = "the entries are not in order, or a page does not end where it must";
                    return Err(wrong(what, vec![Repair::Row(row())]));
                }
                last.clone_from(&item.key);
                self.stands_behind(tree.reduce_key, key, &item.key)?;
                let Some(value) = json(&item.value) else {
                    return Err(wrong("an entry cannot be read", vec![Repair::Row(row())]));
                };
                fold.values.push(value);
                if fold.values.len() >= FLAT_FOLD_VALUES_MAX {
                    fold.reduce(&mut self.function, key);
                }
            }
        }
        if last.is_empty() {
            return Ok(None);
        }
        fold.reduce(&mut self.function, key);
        Ok(Some(fold))
    }

    /// Reports an entry whose document does not give it.
    fn stands_behind(&mut self, reduce_key: &[u8], key: &[Json], entry_key: &[u8]) -> Result<(), IndexError> {
        let stray = match parse_entry_key(entry_key) {
            Ok((id, position)) => {
                let row = self.row(Kind::DocumentKeys, id.as_bytes())?.unwrap_or_default();
                let listed = read_keys(&row);
                listed
                    .is_none_or(|keys| keys.get(position as usize).is_none_or(|listed| *listed != reduce_key))
            }
            Err(_) => true,
        };
        if stray {
            let document = parse_entry_key(entry_key).ok().map(|(id, _)| id.to_owned());
            let document = document.filter(|id| DocumentId::new(id).is_ok());
            let mut repair: Vec<_> = document.iter().map(|id| Repair::Document(id.clone())).collect();
            repair.push(Repair::Entry { reduce_key: reduce_key.to_vec(), entry_key: entry_key.to_vec() });
            // A document whose list is damaged gets its entries back by being mapped last.
            repair.extend(document.iter().map(|id| Repair::Document(id.clone())));
            self.damage(Damage {
                document,
                key: Some(key.to_vec()),
                what: "an entry is kept that its document does not give".to_owned(),
                expected: None,
                found: None,
                repair,
            });
        }
        Ok(())
    }

    /// Recomputes the value of every page from what is stored below it. Gives the result row.
    fn tree(&mut self, tree: &StoredTree<'_>, key: &[Json]) -> Result<Option<StoredResult>, Stop> {
        let finalizes = self.index.shape().finalizes;
        let rebuild = || vec![Repair::Key(tree.reduce_key.to_vec())];
        let Ok(stored) = tree.result() else { return Err(wrong("the result cannot be read", rebuild())) };
        let mut reducer =
            KeyReducer { function: &mut self.function, key, finalizes, failure: None, detached: None };
        for level in 0..=u8::MAX {
            let mut above = tree.items(level + 1);
            let (mut pages, mut only) = (0_u64, None);
            let mut next_above = above.next().transpose()?;
            for page in Pages::new(tree, level, self.index.borders()) {
                let page = page.map_err(|error| not_readable(error, rebuild()))?;
                let output = reduce(&page.items, level, &mut reducer);
                let output = output.map_err(|error| not_readable(error, rebuild()))?;
                pages += 1;
                if pages == 1 && next_above.is_none() {
                    only = Some(output);
                    continue;
                }
                let fits = next_above.as_ref().is_some_and(|item| {
                    item.end == page.end && item.output.as_ref().is_ok_and(|stored| *stored == output)
                });
                if !fits {
                    let found = next_above.and_then(|item| shown(item.output.ok().as_ref()));
                    let what = format!("the value of a page of level {level} is not that of its contents");
                    let expected = shown(Some(&output));
                    return Err(Stop::Wrong(Wrong { what, expected, found, repair: rebuild() }));
                }
                next_above = above.next().transpose()?;
            }
            if next_above.is_some() {
                return Err(wrong("the tree has values of pages that are not there", rebuild()));
            }
            if pages == 0 {
                return if stored.is_none() {
                    Ok(None)
                } else {
                    Err(wrong("there is a result without entries", rebuild()))
                };
            }
            if let (Some(output), 1) = (&only, pages) {
                let finalized = match output {
                    Output::Value(value) => reducer.finalize(value)?,
                    Output::Failed => Finalized::AsReduced,
                };
                let expected = StoredResult { height: level, output: output.clone(), finalized };
                if tree.has_items_above(level)? {
                    return Err(wrong("the tree has values of pages above its root", rebuild()));
                }
                if stored.as_ref() == Some(&expected) {
                    return Ok(stored);
                }
                return Err(Stop::Wrong(Wrong {
                    what: "the result is not that of its tree".to_owned(),
                    expected: expected.visible().and_then(json),
                    found: stored.as_ref().and_then(StoredResult::visible).and_then(json),
                    repair: rebuild(),
                }));
            }
            if pages == 1 || only.is_some() {
                return Err(wrong("the tree has a level too many or too few", rebuild()));
            }
        }
        Err(wrong("the tree has no root", rebuild()))
    }

    /// Compares the flat fold with the result of the tree, which is known to be right as a tree.
    fn compare_fold(&mut self, fold: Option<Fold>, result: Option<&StoredResult>) -> Result<(), Stop> {
        let (Some(fold), Some(result)) = (fold, result) else { return Ok(()) };
        let tree_value = match &result.output {
            Output::Value(value) => json(value),
            Output::Failed => None,
        };
        match (fold.failure, fold.values.first(), tree_value) {
            (None, Some(flat), Some(value)) if *flat == value => Ok(()),
            (None, Some(flat), Some(value)) if nearly_equal(flat, &value) => {
                self.found.inexact += 1;
                Ok(())
            }
            // A key that fails is listed in the index's errors, whichever way it is folded.
            (Some(_), _, None) => Ok(()),
            (failure, flat, value) => {
                let cause = failure.map_or_else(String::new, |error| format!(" ({error})"));
                Err(Stop::Wrong(Wrong {
                    what: format!(
                        "reducing the entries one after the other gives another value than reducing them in pages{cause}: \
                         the reduce is not associative"
                    ),
                    expected: flat.cloned(),
                    found: value,
                    repair: Vec::new(),
                }))
            }
        }
    }

    /// Looks whether the output document is that of the result.
    fn output(&mut self, reduce_key: &[u8], result: Option<&StoredResult>) -> Result<(), Stop> {
        let Some(output) = self.index.output() else { return Ok(()) };
        let writes = self.progress.output == OutputPhase::Live;
        let visible = result.and_then(StoredResult::visible);
        match output.differs(self.view, reduce_key, visible, writes)? {
            None => Ok(()),
            // Without its row, everything about the document is written again.
            Some(what) => {
                let row = Repair::Row(output.row_key(reduce_key));
                Err(wrong(&what, vec![row, Repair::Key(reduce_key.to_vec())]))
            }
        }
    }

    fn key_damage(&mut self, key: Option<Vec<Json>>, wrong: Wrong) {
        let Wrong { what, expected, found, repair } = wrong;
        self.damage(Damage { document: None, key, what, expected, found, repair });
    }
}

/// A fold in progress.
#[derive(Default)]
struct Fold {
    /// The value so far, then what is to be added.
    values: Vec<Json>,
    failure: Option<FunctionError>,
}

impl Fold {
    fn reduce(&mut self, function: &mut dyn IndexFunction, key: &[Json]) {
        if self.failure.is_some() {
            self.values.clear();
            return;
        }
        match function.reduce(key, &self.values) {
            Ok(value) => self.values = vec![value],
            Err(error) => {
                self.failure = Some(error);
                self.values.clear();
            }
        }
    }
}

/// The pages of one level, cut from the stored items by the border rule.
struct Pages<'t> {
    items: Box<dyn Iterator<Item = Result<Item, IndexError>> + 't>,
    borders: crate::border::Borders,
    level: u8,
}

struct Page {
    end: Vec<u8>,
    items: Vec<Item>,
}

impl<'t> Pages<'t> {
    fn new(tree: &StoredTree<'t>, level: u8, borders: crate::border::Borders) -> Self {
        let items: Box<dyn Iterator<Item = Result<Item, IndexError>>> = if level == 0 {
            Box::new(tree.leaves().flat_map(|leaf| match leaf.and_then(|leaf| leaf.items) {
                Ok(items) => items.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }))
        } else {
            Box::new(tree.items(level).map(|item| {
                let item = item?;
                Ok(Item { key: item.end, value: item.output?.encode() })
            }))
        };
        Self { items, borders, level }
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Page, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut items = Vec::new();
        for item in self.items.by_ref() {
            let item = match item {
                Ok(item) => item,
                Err(error) => return Some(Err(error)),
            };
            let end = self.borders.ends_page(&item.key, self.level).then(|| item.key.clone());
            items.push(item);
            if let Some(end) = end {
                return Some(Ok(Page { end, items }));
            }
        }
        (!items.is_empty()).then_some(Ok(Page { end: OPEN_END.to_vec(), items }))
    }
}

/// The value of a page from its items.
fn reduce(items: &[Item], level: u8, reducer: &mut KeyReducer<'_>) -> Result<Output, IndexError> {
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        if level == 0 {
            values.push(item.value.clone());
            continue;
        }
        match Output::decode(&item.value)? {
            Output::Value(value) => values.push(value),
            Output::Failed => return Ok(Output::Failed),
        }
    }
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    reducer.reduce(&values)
}

/// The first `fields` values of an ordered encoding; `None` when there are not as many.
fn first_key(bytes: &[u8], fields: usize) -> Option<&[u8]> {
    let mut length = 0;
    for _ in 0..fields {
        let (_, used) = ordered::decode(bytes.get(length..)?).ok()?;
        length += used;
    }
    bytes.get(..length)
}

fn shown(output: Option<&Output>) -> Option<Json> {
    match output {
        Some(Output::Value(value)) => json(value),
        _ => None,
    }
}

fn wrong(what: &str, repair: Vec<Repair>) -> Stop {
    Stop::Wrong(Wrong { what: what.to_owned(), expected: None, found: None, repair })
}

fn not_readable(error: IndexError, repair: Vec<Repair>) -> Stop {
    match error {
        IndexError::Corrupt(what) => wrong(&format!("a value of the tree cannot be read: {what}"), repair),
        other => Stop::Failed(other),
    }
}
