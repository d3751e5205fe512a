//! Why a result is what it is: its reduce tree with the values of the pages, its entries, the documents behind them, and
//! what it would be without each.
//!
//! An explanation reads one snapshot and writes nothing. Every list in it is a page of at most
//! [`limits::EXPLAIN_PAGE_SIZE_MAX`].

use crate::called_function::CalledFunction;
use crate::error::IndexError;
use crate::faults::decode_key;
use crate::function::FunctionError;
use crate::index::Index;
use crate::indexer::KeyReducer;
use crate::keys::{Kind, OPEN_END, parse_entry_key, rest};
use crate::limits;
use crate::page_reader::PageReader;
use crate::reduce_tree::{Item, ItemChange, ReduceTree, TreeWork};
use crate::stored_result::{Output, Presence, StoredResult};
use crate::stored_tree::StoredTree;
use magpie_store::json::{Json, parse_stored};
use magpie_store::kv::{Batch, Direction, Space};
use magpie_store::{DatabaseView, DocumentId, ordered};

/// What is to be explained, and how much of it is to be listed.
#[derive(Debug, Clone)]
pub struct ExplainRequest {
    /// The reduce key: an object of group-by fields, an array of their values in order, or the value of the only one.
    /// An object with some of the fields stands for all keys that have these values.
    pub key: Json,
    /// How many keys, pages of each level, and entries are skipped.
    pub start: usize,
    /// How many of each are listed.
    pub page_size: usize,
    /// Whether to tell for each listed entry what the result would be without it.
    pub without: bool,
}

/// The answer to an [`ExplainRequest`].
#[derive(Debug, Clone, PartialEq)]
pub enum Explained {
    /// The request names one key.
    Key(Explanation),
    /// The request names some of the fields: the keys that fit, in order.
    Keys {
        /// Each key with its result (`None`: it has none).
        keys: Vec<(Vec<Json>, Option<Json>)>,
        /// Whether there are more.
        more: bool,
    },
}

/// How the result of one reduce key comes about.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The values of the group-by fields in order.
    pub key: Vec<Json>,
    /// The level of the tree's root; `None` when the key has no entry.
    pub height: Option<u8>,
    /// The reduced value of the root; `None` when it fails or there is none.
    pub reduced: Option<Json>,
    /// The result as everybody sees it; `None` when there is none.
    pub result: Option<Json>,
    /// Whether its reduce or finalize fails.
    pub fails: bool,
    /// The levels from the root's children down to the pages of entries.
    pub levels: Vec<ExplainedLevel>,
    /// The listed entries.
    pub entries: Vec<ExplainedEntry>,
    /// Whether there are more entries.
    pub more_entries: bool,
}

/// A level of the tree, as the values of the pages below it.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedLevel {
    /// Its number; entries are level 0.
    pub level: u8,
    /// The listed pages.
    pub pages: Vec<ExplainedPage>,
    /// Whether there are more.
    pub more: bool,
}

/// A page and what it comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedPage {
    /// Its last entry as (lower-cased document id, emit position); `None` for the open page at the end.
    pub last: Option<(String, u32)>,
    /// Its reduced value; `None` when its reduce fails.
    pub value: Option<Json>,
}

/// A map output that went into the result.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedEntry {
    /// The document's id, as written if the document is still there.
    pub document: String,
    /// The position among the document's outputs.
    pub position: u32,
    /// The output.
    pub value: Json,
    /// What the result would be without it, if that was asked.
    pub without: Option<Without>,
    /// When another index made the document: that index's name and the key of the result that it is.
    pub produced_by: Option<(String, Vec<Json>)>,
}

/// A result that is not, but would be.
#[derive(Debug, Clone, PartialEq)]
pub enum Without {
    /// This one; `None` when there would be none.
    Result(Option<Json>),
    /// The function fails.
    Fails(FunctionError),
}

impl Index {
    /// Explains a result, as of the snapshot. [`ExplainedEntry::produced_by`] is for the registry to fill in.
    ///
    /// # Errors
    /// [`IndexError::Key`] when the key does not fit the index, [`IndexError::Call`] when the functions cannot be called,
    /// and when the store fails or a row is damaged.
    pub(crate) fn explain(
        &self,
        view: &DatabaseView<'_>,
        request: &ExplainRequest,
    ) -> Result<Explained, IndexError> {
        let wanted = self.wanted_key(&request.key)?;
        match wanted.iter().cloned().collect::<Option<Vec<Json>>>() {
            Some(key) => Ok(Explained::Key(self.explain_key(view, key, request)?)),
            None => self.find_keys(view, &wanted, request),
        }
    }

    /// The asked values of the group-by fields in order; `None` for those that may be any.
    fn wanted_key(&self, key: &Json) -> Result<Vec<Option<Json>>, IndexError> {
        let refuse = |reason: String| Err(IndexError::Key { name: self.name(), reason });
        let Some(fields) = self.shape().group_by.as_deref() else {
            return refuse("it has no reduce, so its results are its entries as they are".to_owned());
        };
        let named = fields.join(", ");
        match key {
            Json::Object(object) => {
                if let Some((stranger, _)) =
                    object.iter().find(|(name, _)| fields.iter().all(|field| field != name))
                {
                    return refuse(format!("it has no group-by field '{stranger}'; its fields are {named}"));
                }
                Ok(fields.iter().map(|field| object.get(field).cloned()).collect())
            }
            Json::Array(values) if values.len() == fields.len() => {
                Ok(values.iter().cloned().map(Some).collect())
            }
            value if fields.len() == 1 => Ok(vec![Some(value.clone())]),
            _ => refuse(format!("give the key as an object or an array of the values of {named}")),
        }
    }

    fn find_keys(
        &self,
        view: &DatabaseView<'_>,
        wanted: &[Option<Json>],
        request: &ExplainRequest,
    ) -> Result<Explained, IndexError> {
        // The fields that are given from the first on narrow the range; the others are compared.
        let mut prefix = Vec::new();
        wanted.iter().map_while(Option::as_ref).for_each(|value| ordered::encode(value, &mut prefix));
        let from = self.slot().key(Kind::Result, &prefix);
        let to = if prefix.is_empty() { self.slot().range_of(Kind::Result).1 } else { after_all(&from) };
        let (mut keys, mut skipped) = (Vec::new(), 0);
        for (read, row) in view.kv().scan(Space::Index, &from, &to, Direction::Forward).enumerate() {
            if read == limits::EXPLAIN_KEYS_READ_MAX {
                let reason = format!(
                    "more than {read} results (explain_keys_read_max) were read in search of the key; give more of its \
                     fields, first those that come first"
                );
                return Err(IndexError::Key { name: self.name(), reason });
            }
            let (row_key, value) = row?;
            let key = decode_key(rest(&row_key)?)?;
            let fits = |(wanted, is): (&Option<Json>, &Json)| {
                wanted.as_ref().is_none_or(|wanted| ordered::compare(wanted, is).is_eq())
            };
            if !wanted.iter().zip(&key).all(fits) {
                continue;
            }
            if skipped < request.start {
                skipped += 1;
            } else if keys.len() == page_size(request) {
                return Ok(Explained::Keys { keys, more: true });
            } else {
                keys.push((key, StoredResult::decode(&value)?.visible().map(json).transpose()?));
            }
        }
        Ok(Explained::Keys { keys, more: false })
    }

    fn explain_key(
        &self,
        view: &DatabaseView<'_>,
        key: Vec<Json>,
        request: &ExplainRequest,
    ) -> Result<Explanation, IndexError> {
        let mut reduce_key = Vec::new();
        key.iter().for_each(|value| ordered::encode(value, &mut reduce_key));
        let tree = StoredTree { view: view.kv(), slot: self.slot(), reduce_key: &reduce_key };
        let stored = tree.result()?;
        let reduced = match stored.as_ref().map(|stored| &stored.output) {
            Some(Output::Value(value)) => Some(json(value)?),
            _ => None,
        };
        let mut levels = Vec::new();
        for level in (1..=stored.as_ref().map_or(0, |stored| stored.height)).rev() {
            levels.push(explain_level(&tree, level, request)?);
        }
        let (items, more_entries) = entries(&tree, request)?;
        let mut explained = Vec::with_capacity(items.len());
        for item in items {
            let (id, position) = parse_entry_key(&item.key)?;
            let document = view.document(&DocumentId::new(id)?)?;
            explained.push(ExplainedEntry {
                document: document.map_or_else(|| id.to_owned(), |document| document.id.to_string()),
                position,
                value: json(&item.value)?,
                without: if request.without {
                    Some(self.without(view, &reduce_key, &key, &item)?)
                } else {
                    None
                },
                produced_by: None,
            });
        }
        Ok(Explanation {
            key,
            height: stored.as_ref().map(|stored| stored.height),
            reduced,
            result: stored.as_ref().and_then(StoredResult::visible).map(json).transpose()?,
            fails: stored.is_some_and(|stored| stored.presence() == Presence::Failed),
            levels,
            entries: explained,
            more_entries,
        })
    }

    /// What the result would be without one entry: the change is made to the tree, but not committed.
    fn without(
        &self,
        view: &DatabaseView<'_>,
        reduce_key: &[u8],
        key: &[Json],
        entry: &Item,
    ) -> Result<Without, IndexError> {
        let mut function = CalledFunction::new(self.calls());
        let mut reducer = KeyReducer {
            function: &mut function,
            key,
            finalizes: self.shape().finalizes,
            failure: None,
            detached: None,
        };
        let mut tree = ReduceTree {
            reader: &mut PageReader::new(view.kv(), self.slot(), self.borders()),
            reduce_key,
            batch: &mut Batch::new(),
            work: &mut TreeWork::default(),
        };
        let applied = tree.apply(vec![ItemChange { key: entry.key.clone(), value: None }], &mut reducer)?;
        let failure = reducer.failure;
        function.check().map_err(|error| IndexError::Call { name: self.name(), error })?;
        Ok(match failure {
            Some(error) => Without::Fails(error),
            None => {
                Without::Result(applied.after.as_ref().and_then(StoredResult::visible).map(json).transpose()?)
            }
        })
    }
}

fn page_size(request: &ExplainRequest) -> usize {
    request.page_size.min(limits::EXPLAIN_PAGE_SIZE_MAX)
}

/// The asked part of what an iterator gives, and whether there is more.
fn page<T>(
    all: impl Iterator<Item = Result<T, IndexError>>,
    request: &ExplainRequest,
) -> Result<(Vec<T>, bool), IndexError> {
    let mut all = all.skip(request.start);
    let page = all.by_ref().take(page_size(request)).collect::<Result<_, _>>()?;
    Ok((page, all.next().transpose()?.is_some()))
}

fn explain_level(
    tree: &StoredTree<'_>,
    level: u8,
    request: &ExplainRequest,
) -> Result<ExplainedLevel, IndexError> {
    let pages = tree.items(level).map(|item| {
        let item = item?;
        let last = if item.end == OPEN_END {
            None
        } else {
            let (id, position) = parse_entry_key(&item.end)?;
            Some((id.to_owned(), position))
        };
        let value = match item.output? {
            Output::Value(value) => Some(json(&value)?),
            Output::Failed => None,
        };
        Ok(ExplainedPage { last, value })
    });
    let (pages, more) = page(pages, request)?;
    Ok(ExplainedLevel { level, pages, more })
}

fn entries(tree: &StoredTree<'_>, request: &ExplainRequest) -> Result<(Vec<Item>, bool), IndexError> {
    let entries = tree.leaves().flat_map(|leaf| match leaf.and_then(|leaf| leaf.items) {
        Ok(items) => items.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    });
    page(entries, request)
}

/// The first key that does not start with this prefix.
fn after_all(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end
}

fn json(stored: &[u8]) -> Result<Json, IndexError> {
    parse_stored(stored).map_err(|error| IndexError::Corrupt(format!("a value to explain: {error}")))
}
