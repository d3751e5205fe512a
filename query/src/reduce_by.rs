//! `reduce by`: the results of a map-reduce index that fit the filter, folded further by some of its group-by fields.
//!
//! The filter sees results as everybody sees them; what is folded are the reduced values before finalize, by the index's
//! own reduce and in the order of their keys; finalize runs once on each group. A key that fails in the index has no
//! result, and takes no part here either.

use crate::error::QueryError;
use crate::filter::Filter;
use crate::fold::Fold;
use crate::limits;
use crate::plan::narrow;
use crate::source::{KeyRange, SourceIndex, bounded};
use crate::term::Subject;
use magpie_store::json::{Json, Object};
use magpie_store::ordered;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The clause ready to run.
#[derive(Debug, Clone)]
pub(crate) struct ReduceBy {
    /// The group-by fields of the index in order, and whether the clause names them.
    pub(crate) fields: Vec<(String, bool)>,
    /// Which results take part.
    pub(crate) filter: Filter,
}

/// Gets each row in order, and says when to stop.
pub(crate) type Visit<'v> = dyn FnMut(Object) -> Result<ControlFlow<()>, QueryError> + 'v;

/// One group of results.
struct Group {
    /// The values of all group-by fields, null for those that are not named.
    key: Vec<Json>,
    fold: Fold,
}

/// The groups that are held.
struct Groups<'a> {
    clause: &'a ReduceBy,
    index: &'a dyn SourceIndex,
    /// By the ordered form of the named fields.
    groups: BTreeMap<Vec<u8>, Group>,
    /// About how many bytes they take.
    held: usize,
}

/// What a group takes besides its key and values, in bytes.
const GROUP_BYTES: usize = 256;

impl ReduceBy {
    /// Folds the results of `index` and shows the rows, in the order of the named fields.
    pub(crate) fn rows(&self, index: &dyn SourceIndex, visit: &mut Visit<'_>) -> Result<(), QueryError> {
        let mut groups = Groups { clause: self, index, groups: BTreeMap::new(), held: 0 };
        if self.filter.is_all() && self.fields.iter().all(|(_, named)| !named) {
            let key = vec![Json::Null; self.fields.len()];
            let value = index.reduce_range(&KeyRange::default(), &key)?;
            return match value {
                Some(value) => groups.show(&key, value, visit).map(|_| ()),
                None => Ok(()),
            };
        }
        // By the first fields, a group ends where the next one begins.
        let in_order = self.fields.iter().is_sorted_by_key(|(_, named)| !named);
        let fields: Vec<String> = self.fields.iter().map(|(field, _)| field.clone()).collect();
        let keys = narrow::keys(&self.filter, &fields);
        for row in bounded(index.reduced_results_within(&keys)?) {
            let row = row?;
            let subject = Subject { id: None, fields: &row.result, metadata: None };
            if !self.filter.holds(&subject) {
                continue;
            }
            let (ordered, key) = self.key(row.key);
            if in_order && !groups.groups.contains_key(&ordered) && groups.show_all(visit)?.is_break() {
                return Ok(());
            }
            groups.push(ordered, key, row.reduced)?;
        }
        groups.show_all(visit).map(|_| ())
    }

    /// The ordered form of the named fields, and the whole key with null for the others.
    fn key(&self, key: Vec<Json>) -> (Vec<u8>, Vec<Json>) {
        let mut ordered_key = Vec::new();
        let mut all = Vec::with_capacity(self.fields.len());
        for (value, (_, named)) in key.into_iter().zip(&self.fields) {
            if *named {
                ordered::encode(&value, &mut ordered_key);
                all.push(value);
            } else {
                all.push(Json::Null);
            }
        }
        (ordered_key, all)
    }
}

impl Groups<'_> {
    fn push(&mut self, ordered_key: Vec<u8>, key: Vec<Json>, value: Json) -> Result<(), QueryError> {
        let count = self.groups.len();
        let key_bytes = 3 * ordered_key.len() + GROUP_BYTES;
        let group = match self.groups.entry(ordered_key) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                if count >= limits::REDUCE_GROUPS_MAX {
                    return Err(QueryError::LimitReached {
                        name: "reduce_groups_max",
                        limit: limits::REDUCE_GROUPS_MAX,
                        unit: "groups of REDUCE BY in memory",
                        advice: "filter more, or reduce by the first group-by fields of the index, whose groups are \
                                 not held",
                    });
                }
                self.held += key_bytes;
                entry.insert(Group { key, fold: Fold::default() })
            }
        };
        let before = group.fold.bytes();
        let (index, key) = (self.index, &group.key);
        group.fold.push(value, &mut |values| index.reduce(key, values))?;
        self.held = (self.held + group.fold.bytes()).saturating_sub(before);
        if self.held > limits::REDUCE_HELD_BYTES_MAX { self.compact() } else { Ok(()) }
    }

    /// Folds what is held. It must free half of it, so that this happens rarely.
    fn compact(&mut self) -> Result<(), QueryError> {
        for group in self.groups.values_mut() {
            let before = group.fold.bytes();
            let (index, key) = (self.index, &group.key);
            group.fold.compact(&mut |values| index.reduce(key, values))?;
            self.held = (self.held + group.fold.bytes()).saturating_sub(before);
        }
        if self.held <= limits::REDUCE_HELD_BYTES_MAX / 2 {
            return Ok(());
        }
        Err(QueryError::LimitReached {
            name: "reduce_held_bytes_max",
            limit: limits::REDUCE_HELD_BYTES_MAX,
            unit: "bytes in memory for the groups of REDUCE BY",
            advice: "filter more, or reduce by fewer fields",
        })
    }

    /// Shows the groups that are held, and holds none any more.
    fn show_all(&mut self, visit: &mut Visit<'_>) -> Result<ControlFlow<()>, QueryError> {
        self.held = 0;
        for group in std::mem::take(&mut self.groups).into_values() {
            let (index, key) = (self.index, &group.key);
            let Some(value) = group.fold.finish(&mut |values| index.reduce(key, values))? else { continue };
            if self.show(key, value, visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn show(
        &self,
        key: &[Json],
        reduced: Json,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>, QueryError> {
        let Some(Json::Object(mut row)) = self.index.finalize(key, reduced)? else {
            return Ok(ControlFlow::Continue(()));
        };
        for (field, _) in self.clause.fields.iter().filter(|(_, named)| !named) {
            remove(&mut row, field);
        }
        visit(row)
    }
}

/// Removes a field, which may be a path.
fn remove(row: &mut Object, field: &str) {
    if row.remove(field).is_none()
        && let Some((first, behind)) = field.split_once('.')
        && let Some(Json::Object(inner)) = row.get_mut(first)
    {
        remove(inner, behind);
    }
}
