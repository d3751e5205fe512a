//! The groups of an auto index as of one snapshot and without waiting: what changed behind its progress is taken away as
//! the index has it, and added as it is now. Counts and exact sums allow that.

use super::reduce::{Group, GroupSource};
use super::sum::DecimalSum;
use crate::error::IndexError;
use crate::index::Index;
use crate::indexer::maps;
use crate::keys::{Kind, Reader, entry_key};
use crate::limits;
use crate::progress::Progress;
use crate::stored_tree::StoredTree;
use magpie_store::DatabaseView;
use magpie_store::json::{Json, parse_stored};
use magpie_store::kv::Space;
use magpie_store::ordered;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Groups one after the other, in no order.
pub type GroupRows<'v> = Box<dyn Iterator<Item = Result<Group, IndexError>> + 'v>;

/// What a group has more, or less, than the index knows.
struct Change {
    key: Vec<Json>,
    count: i64,
    sums: Vec<DecimalSum>,
}

type Changes = BTreeMap<Vec<u8>, Change>;

/// The groups of an index. `None` when it is none that can be read so, or too much has changed behind it.
///
/// # Errors
/// When the store fails or a row is damaged.
pub fn read_groups<'v>(
    view: &'v DatabaseView<'_>,
    index: &Arc<Index>,
) -> Result<Option<GroupRows<'v>>, IndexError> {
    let definition = index.definition();
    let Some((auto, fields)) =
        definition.auto.as_ref().and_then(|auto| auto.groups.as_ref().map(|fields| (auto, fields)))
    else {
        return Ok(None);
    };
    let progress = Progress::read(view.kv(), index.slot())?;
    if progress.failing_documents > 0 || progress.failing_keys > 0 {
        return Ok(None);
    }
    let source = GroupSource::new(auto, fields, view.database_id())?;
    let Some(changes) = changes(view, index, &source, &progress)? else { return Ok(None) };
    Ok(Some(Box::new(Rows { results: index.reduced_results(view), source, changes })))
}

/// What changed behind the progress; `None` when that is too much, or cannot be taken away.
fn changes(
    view: &DatabaseView<'_>,
    index: &Index,
    source: &GroupSource,
    progress: &Progress,
) -> Result<Option<Changes>, IndexError> {
    let tail = view.changes_after(index.feed(), progress.etag, limits::AUTO_TAIL_MAX + 1)?;
    if tail.len() > limits::AUTO_TAIL_MAX {
        return Ok(None);
    }
    let mut changes = Changes::new();
    let mut seen = HashSet::new();
    let mut bytes = 0;
    for change in tail {
        if !seen.insert(change.id.key().to_owned()) {
            continue;
        }
        let document = view.document(&change.id)?.filter(|document| maps(index.mapped(), document));
        bytes += document.as_ref().map_or(0, |document| document.body.len() + document.metadata.len());
        if bytes > limits::AUTO_TAIL_BYTES_MAX {
            return Ok(None);
        }
        let old = stored(view, index, source, change.id.key())?;
        let new = document.map(|document| source.entries(&document)).unwrap_or_default();
        // More than an index takes of one document fails in it.
        if new.len() > limits::EMITS_PER_DOCUMENT_MAX {
            return Ok(None);
        }
        for (group, is_old) in
            old.into_iter().map(|group| (group, true)).chain(new.into_iter().map(|group| (group, false)))
        {
            // From what is no number nothing can be taken away.
            if group.sums.iter().any(Json::is_null) {
                return Ok(None);
            }
            add(&mut changes, group, is_old);
        }
    }
    Ok(Some(changes))
}

fn add(changes: &mut Changes, group: Group, is_old: bool) {
    let count = i64::try_from(group.count).unwrap_or(i64::MAX);
    let sums = group.sums.clone();
    let change = changes.entry(encoded(&group.reduce_key())).or_insert_with(|| Change {
        key: group.key,
        count: 0,
        sums: vec![DecimalSum::default(); sums.len()],
    });
    change.count = change.count.saturating_add(if is_old { -count } else { count });
    change.sums.iter_mut().zip(&sums).for_each(|(sum, part)| sum.add_sum(part, is_old));
}

fn encoded(key: &[Json]) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.iter().for_each(|value| ordered::encode(value, &mut bytes));
    bytes
}

/// What the index has of a document.
fn stored(
    view: &DatabaseView<'_>,
    index: &Index,
    source: &GroupSource,
    id: &str,
) -> Result<Vec<Group>, IndexError> {
    let row = view.kv().get(Space::Index, &index.slot().key(Kind::DocumentKeys, id.as_bytes()))?;
    let mut keys = Reader(row.as_deref().unwrap_or_default());
    let mut groups = Vec::new();
    for position in 0.. {
        if keys.is_empty() {
            break;
        }
        let tree = StoredTree { view: view.kv(), slot: index.slot(), reduce_key: keys.bytes()? };
        let stray = |cause: String| IndexError::Corrupt(format!("an entry of an auto index: {cause}"));
        let entry =
            tree.entry(&entry_key(id, position))?.ok_or_else(|| stray("it is not there".to_owned()))?;
        let value = parse_stored(&entry).map_err(|error| stray(error.to_string()))?;
        groups.push(source.decode(&value)?);
    }
    Ok(groups)
}

struct Rows<I> {
    results: I,
    source: GroupSource,
    /// Those of groups that were not met yet.
    changes: Changes,
}

impl<I: Iterator<Item = Result<crate::results::ReducedResult, IndexError>>> Rows<I> {
    fn advance(&mut self) -> Result<Option<Group>, IndexError> {
        for result in self.results.by_ref() {
            let mut group = self.source.decode(&result?.reduced)?;
            let Some(change) = self.changes.remove(&encoded(&group.reduce_key())) else {
                return Ok(Some(group));
            };
            group.count = group.count.saturating_add_signed(change.count);
            for (sum, change) in group.sums.iter_mut().zip(change.sums) {
                let mut whole = change;
                whole.add_sum(sum, false);
                *sum = whole.value();
            }
            if group.count > 0 {
                return Ok(Some(group));
            }
        }
        while let Some((_, change)) = self.changes.pop_first() {
            if let Ok(count) = u64::try_from(change.count)
                && count > 0
            {
                let sums = change.sums.iter().map(DecimalSum::value).collect();
                return Ok(Some(Group { key: change.key, count, sums }));
            }
        }
        Ok(None)
    }
}

impl<I: Iterator<Item = Result<crate::results::ReducedResult, IndexError>>> Iterator for Rows<I> {
    type Item = Result<Group, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
