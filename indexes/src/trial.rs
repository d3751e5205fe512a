//! Trying a definition before it is put: it runs over documents of the database as a real build would, but its rows stay in
//! memory, nothing is written, and nobody waits for it.
//!
//! The documents, and those that maps load, are those of one snapshot. The rows are made by the real indexer, so results,
//! errors and trees are what a build over the same documents would have. The calls are counted and timed.

use crate::border::Borders;
use crate::definition::IndexDefinition;
use crate::error::IndexError;
use crate::faults::{Fault, decode_key, read_faults};
use crate::function::{Emitted, FunctionError, IndexFunction, Loads, SharedSource};
use crate::indexer::{Indexer, feed_of, filter_of, target_etag};
use crate::keys::{Kind, Slot, parse_entry_key, rest};
use crate::limits;
use crate::progress::Progress;
use crate::reduce_tree::decode_leaf;
use crate::signature::{Signature, canonical_definition};
use crate::stored_result::{Output, StoredResult};
use crate::stored_tree::StoredTree;
use magpie_store::json::{Json, parse_stored};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::kv::{Direction, Durability, Kv, Space, View};
use magpie_store::{CollectionFilter, DatabaseView, Document, Etag, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The only build of a trial's rows.
const SLOT: Slot = Slot(0);

/// How much of the documents is taken, and how much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialRequest {
    /// So many of the documents written last; `None` takes all, up to [`limits::TRIAL_DOCUMENTS_MAX`].
    pub newest: Option<usize>,
    /// How many rows each list has.
    pub page_size: usize,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// How many documents were mapped.
    pub documents: u64,
    /// Whether every document of the index's collections was.
    pub is_complete: bool,
    /// Why it ended early, if it did.
    pub ended: Option<String>,
    /// The first map outputs, by reduce key: document id (lower-cased), emit position, output.
    pub outputs: Vec<(String, u32, Json)>,
    /// The first results in the order of their keys.
    pub results: Vec<TrialResult>,
    /// How many results there are.
    pub results_count: u64,
    /// Most outputs of one document.
    pub outputs_max: u64,
    /// The first errors.
    pub faults: Vec<Fault>,
    /// What the calls cost.
    pub cost: Cost,
    /// The difference to the results of a live index, if it was asked for.
    pub difference: Option<Difference>,
}

/// A result and the reduce tree that made it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialResult {
    /// The result.
    pub result: Json,
    /// The levels of its tree, from the leaves to the root.
    pub levels: Vec<TrialLevel>,
}

/// One level of a reduce tree.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialLevel {
    /// How many pages it has.
    pub pages: u64,
    /// The reduced values of the first pages, [`limits::TRIAL_PAGES_SHOWN_MAX`] at most; `None` where reduce failed.
    pub values: Vec<Option<Json>>,
}

/// Counted and timed calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Calls of map.
    pub maps: u64,
    /// Their time together.
    pub map_time: Duration,
    /// Their steps together; `None` when nobody counts them.
    pub map_steps: Option<u64>,
    /// Outputs that they gave.
    pub outputs: u64,
    /// Calls of reduce.
    pub reduces: u64,
    /// Their time together.
    pub reduce_time: Duration,
    /// Their steps together; `None` when nobody counts them.
    pub reduce_steps: Option<u64>,
    /// Calls of finalize.
    pub finalizes: u64,
    /// Their time together.
    pub finalize_time: Duration,
    /// Their steps together; `None` when nobody counts them.
    pub finalize_steps: Option<u64>,
}

/// Rows that another index does not have, or has otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    /// Keys with a result here only.
    pub added: u64,
    /// Keys with a result there only.
    pub removed: u64,
    /// Keys with two results that differ.
    pub changed: u64,
    /// Keys with the same result.
    pub same: u64,
    /// The first rows that differ: the key's values, the result there, the result here.
    pub rows: Vec<(Vec<Json>, Option<Json>, Option<Json>)>,
}

/// Tries a definition whose functions are `source` on documents of the snapshot; `live` is the build to compare with.
/// Blocks for up to [`limits::TRIAL_MS_MAX`], on a stack of [`limits::SCRIPT_STACK_BYTES`].
///
/// # Errors
/// [`IndexError::Script`] when the functions do not compile, and when the store fails or a row is damaged.
pub(crate) fn run(
    view: &DatabaseView<'_>,
    definition: &IndexDefinition,
    source: &SharedSource,
    live: Option<Slot>,
    request: TrialRequest,
) -> Result<Trial, IndexError> {
    let deadline = Instant::now() + Duration::from_millis(limits::TRIAL_MS_MAX);
    let name = definition.name.clone();
    let function = source.create().map_err(|error| IndexError::Script { name, error })?;
    let cost = Arc::new(Mutex::new(Cost::default()));
    let function = Box::new(Timed { function, cost: Arc::clone(&cost) });
    let borders = Borders::new(&Signature::of(&canonical_definition(definition, source.as_ref())));
    let shape = source.shape().clone();
    let (mapped, feed) = (filter_of(&shape.collections), feed_of(&shape));
    let mut indexer = Indexer::new(SLOT, shape, borders, function);
    let rows = MemoryKv::new();
    let mut progress = Progress { etag: first_etag(view, &mapped, request)?, ..Progress::default() };
    let from_the_start = progress.etag == Etag(0);
    let (mut bytes, mut ended) = (0, None);
    loop {
        let batch = {
            let overlaid = view.with_index_rows(rows.snapshot());
            indexer.run_batch(&overlaid, progress, Timestamp(0))?
        };
        progress = batch.progress;
        let Some(batch) = batch.batch else { break };
        bytes += batch.bytes();
        rows.commit(batch, Durability::Buffered)?;
        ended = ending(&progress, bytes, deadline);
        if ended.is_some() {
            break;
        }
    }
    let snapshot = rows.snapshot();
    let is_complete = from_the_start && ended.is_none() && progress.etag >= target_etag(view, &feed)?;
    let page = request.page_size.min(limits::TRIAL_PAGE_SIZE_MAX);
    let difference = match live {
        Some(live) => Some(difference(snapshot.as_ref(), view.kv(), live, page)?),
        None => None,
    };
    let cost = *cost.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Trial {
        documents: progress.map_attempts,
        is_complete,
        ended,
        outputs: outputs(snapshot.as_ref(), source.shape().group_by.as_ref().map(Vec::len), page)?,
        results: results(snapshot.as_ref(), page)?,
        results_count: progress.results,
        outputs_max: progress.outputs_max,
        faults: read_faults(snapshot.as_ref(), SLOT, page)?,
        cost,
        difference,
    })
}

/// Behind which etag the asked documents are.
fn first_etag(
    view: &DatabaseView<'_>,
    mapped: &CollectionFilter,
    request: TrialRequest,
) -> Result<Etag, IndexError> {
    let Some(newest) = request.newest else { return Ok(Etag(0)) };
    let behind = view.documents_newest_first(mapped)?.nth(newest).transpose()?;
    Ok(behind.map_or(Etag(0), |document| document.etag))
}

fn ending(progress: &Progress, bytes: usize, deadline: Instant) -> Option<String> {
    if progress.map_attempts >= limits::TRIAL_DOCUMENTS_MAX as u64 {
        Some(format!("{} documents were mapped (trial_documents_max)", limits::TRIAL_DOCUMENTS_MAX))
    } else if bytes > limits::TRIAL_BYTES_MAX {
        Some(format!("its rows have more than {} bytes (trial_bytes_max)", limits::TRIAL_BYTES_MAX))
    } else if Instant::now() >= deadline {
        Some(format!("it took {} ms (trial_ms_max)", limits::TRIAL_MS_MAX))
    } else {
        None
    }
}

/// The first map outputs: entries of the trees, or the rows of a map-only index.
fn outputs(
    rows: &dyn View,
    fields: Option<usize>,
    page: usize,
) -> Result<Vec<(String, u32, Json)>, IndexError> {
    let kind = if fields.is_some() { Kind::LeafPage } else { Kind::MapOutput };
    let (from, to) = SLOT.range_of(kind);
    let mut outputs = Vec::new();
    for row in rows.scan(Space::Index, &from, &to, Direction::Forward) {
        let (key, value) = row?;
        let items = match fields {
            Some(_) => decode_leaf(&value)?.into_iter().map(|item| (item.key, item.value)).collect(),
            None => vec![(rest(&key)?.to_vec(), value)],
        };
        for (entry_key, value) in items {
            if outputs.len() == page {
                return Ok(outputs);
            }
            let (id, position) = parse_entry_key(&entry_key)?;
            outputs.push((id.to_owned(), position, json(&value)?));
        }
    }
    Ok(outputs)
}

fn results(rows: &dyn View, page: usize) -> Result<Vec<TrialResult>, IndexError> {
    let (from, to) = SLOT.range_of(Kind::Result);
    let mut results = Vec::new();
    for row in rows.scan(Space::Index, &from, &to, Direction::Forward) {
        if results.len() == page {
            break;
        }
        let (key, row) = row?;
        let stored = StoredResult::decode(&row)?;
        if let Some(result) = stored.visible() {
            let reduce_key = key.get(from.len()..).unwrap_or_default();
            let tree = StoredTree { view: rows, slot: SLOT, reduce_key };
            results.push(TrialResult { result: json(result)?, levels: levels(&tree, &stored)? });
        }
    }
    Ok(results)
}

/// The levels of a tree: the values of a level's pages are the items of the one above, and the root's is the result.
fn levels(tree: &StoredTree<'_>, stored: &StoredResult) -> Result<Vec<TrialLevel>, IndexError> {
    let mut levels = Vec::new();
    for level in 0..stored.height {
        let mut shown = TrialLevel { pages: 0, values: Vec::new() };
        for item in tree.items(level + 1) {
            let output = item?.output?;
            shown.pages += 1;
            if shown.values.len() < limits::TRIAL_PAGES_SHOWN_MAX {
                shown.values.push(value_of(&output)?);
            }
        }
        levels.push(shown);
    }
    levels.push(TrialLevel { pages: 1, values: vec![value_of(&stored.output)?] });
    Ok(levels)
}

fn value_of(output: &Output) -> Result<Option<Json>, IndexError> {
    match output {
        Output::Value(value) => json(value).map(Some),
        Output::Failed => Ok(None),
    }
}

/// Walks over both lists of results side by side.
fn difference(here: &dyn View, there: &dyn View, live: Slot, page: usize) -> Result<Difference, IndexError> {
    let mut here = visible(here, SLOT).peekable();
    let mut there = visible(there, live).peekable();
    let mut found = Difference::default();
    loop {
        let order = match (here.peek(), there.peek()) {
            (None, None) => return Ok(found),
            (Some(Err(_)), _) | (None, Some(_)) => std::cmp::Ordering::Greater,
            (_, Some(Err(_))) | (Some(_), None) => std::cmp::Ordering::Less,
            (Some(Ok(here)), Some(Ok(there))) => here.0.cmp(&there.0),
        };
        let new = if order.is_le() || there.peek().is_none() { here.next().transpose()? } else { None };
        let old = if order.is_ge() { there.next().transpose()? } else { None };
        let counter = match (&old, &new) {
            (Some((_, old)), Some((_, new))) if old == new => &mut found.same,
            (Some(_), Some(_)) => &mut found.changed,
            (Some(_), None) => &mut found.removed,
            (None, _) => &mut found.added,
        };
        *counter += 1;
        let differs = old.as_ref().map(|old| &old.1) != new.as_ref().map(|new| &new.1);
        if let Some((key, _)) = new.as_ref().or(old.as_ref())
            && differs
            && found.rows.len() < page
        {
            let shown = |row: &Option<Keyed>| row.as_ref().map(|(_, result)| json(result)).transpose();
            found.rows.push((decode_key(key)?, shown(&old)?, shown(&new)?));
        }
    }
}

/// A reduce key and its result in their stored forms.
type Keyed = (Vec<u8>, Vec<u8>);

fn visible(rows: &dyn View, slot: Slot) -> impl Iterator<Item = Result<Keyed, IndexError>> {
    let (from, to) = slot.range_of(Kind::Result);
    rows.scan(Space::Index, &from, &to, Direction::Forward).filter_map(|row| {
        let keyed = || {
            let (key, value) = row?;
            let stored = StoredResult::decode(&value)?;
            Ok(stored.visible().map(|result| (rest(&key).map(<[u8]>::to_vec), result.to_vec())))
        };
        match keyed() {
            Ok(None) => None,
            Ok(Some((key, result))) => Some(key.map(|key| (key, result))),
            Err(error) => Some(Err(error)),
        }
    })
}

fn json(stored: &[u8]) -> Result<Json, IndexError> {
    parse_stored(stored).map_err(|error| IndexError::Corrupt(format!("a value of a trial: {error}")))
}

/// Functions whose calls are counted and timed.
struct Timed {
    function: Box<dyn IndexFunction>,
    cost: Arc<Mutex<Cost>>,
}

impl Timed {
    fn note(&self, change: impl FnOnce(&mut Cost)) {
        change(&mut self.cost.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl IndexFunction for Timed {
    fn map(&mut self, document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
        let begin = Instant::now();
        let outcome = self.function.map(document, loads);
        let (time, outputs) = (begin.elapsed(), outcome.as_ref().map_or(0, Vec::len) as u64);
        let steps = self.function.steps();
        self.note(|cost| {
            cost.maps += 1;
            cost.map_time += time;
            cost.map_steps = more(cost.map_steps, steps);
            cost.outputs += outputs;
        });
        outcome
    }

    fn reduce(&mut self, key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
        let begin = Instant::now();
        let outcome = self.function.reduce(key, values);
        let (time, steps) = (begin.elapsed(), self.function.steps());
        self.note(|cost| {
            cost.reduces += 1;
            cost.reduce_time += time;
            cost.reduce_steps = more(cost.reduce_steps, steps);
        });
        outcome
    }

    fn finalize(&mut self, reduced: &Json) -> Result<Option<Json>, FunctionError> {
        let begin = Instant::now();
        let outcome = self.function.finalize(reduced);
        let (time, steps) = (begin.elapsed(), self.function.steps());
        self.note(|cost| {
            cost.finalizes += 1;
            cost.finalize_time += time;
            cost.finalize_steps = more(cost.finalize_steps, steps);
        });
        outcome
    }

    fn inexact_fields(&self) -> &[String] {
        self.function.inexact_fields()
    }
}

/// A sum of steps with those of one more call.
fn more(sum: Option<u64>, steps: Option<u64>) -> Option<u64> {
    steps.map(|steps| sum.unwrap_or(0).saturating_add(steps))
}
