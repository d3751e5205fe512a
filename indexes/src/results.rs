//! The read side of an index: its results or map outputs as of one snapshot.
//!
//! A result is what finalize made of a key's reduced value, or that value itself. Keys whose reduce or finalize fails,
//! and those that finalize drops, have none.

use crate::error::IndexError;
use crate::faults::decode_key;
use crate::index::Index;
use crate::key_filter::{KeyFilter, KeyWalk};
use crate::keys::{self, Kind};
use crate::stored_result::{Output, StoredResult};
use magpie_store::json::{Json, parse_stored};
use magpie_store::kv::{Direction, Row, Space};
use magpie_store::{DatabaseView, DocumentId, ordered};

/// The kinds of rows that are a function of definition and documents, but for the statistics of lost numbers.
pub(crate) const CONTENTS: [Kind; 9] = [
    Kind::DocumentKeys,
    Kind::LeafPage,
    Kind::PageOutput,
    Kind::Result,
    Kind::MapOutput,
    Kind::DocumentLoads,
    Kind::LoadedBy,
    Kind::OutputDocument,
    Kind::OutputReference,
];
const LOSSES: [Kind; 3] = [Kind::LossySubject, Kind::Loss, Kind::LossCount];

/// A result with what it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct ReducedResult {
    /// The values of the group-by fields in order.
    pub key: Vec<Json>,
    /// The reduced value of the key: what may be reduced further.
    pub reduced: Json,
    /// The result as everybody sees it.
    pub result: Json,
}

impl Index {
    /// The results of a map-reduce index in the order of their reduce keys, each a JSON object.
    pub fn results<'v>(
        &self,
        view: &'v DatabaseView<'_>,
    ) -> impl Iterator<Item = Result<Json, IndexError>> + use<'v> {
        let (from, to) = self.slot().range_of(Kind::Result);
        view.kv().scan(Space::Index, &from, &to, Direction::Forward).filter_map(|row| {
            row.map_err(IndexError::from).and_then(|(_, value)| result_json(&value)).transpose()
        })
    }

    /// [`Self::results`] as they are stored: compact JSON text, but for the numbers of scripts
    /// ([`magpie_store::json::has_script_numbers`]).
    pub fn result_texts<'v>(
        &self,
        view: &'v DatabaseView<'_>,
    ) -> impl Iterator<Item = Result<Vec<u8>, IndexError>> + use<'v> {
        let (from, to) = self.slot().range_of(Kind::Result);
        view.kv().scan(Space::Index, &from, &to, Direction::Forward).filter_map(|row| {
            row.map_err(IndexError::from)
                .and_then(|(_, value)| Ok(StoredResult::decode(&value)?.into_visible()))
                .transpose()
        })
    }

    /// [`Self::results`] with their keys and reduced values.
    pub fn reduced_results<'v>(
        &self,
        view: &'v DatabaseView<'_>,
    ) -> impl Iterator<Item = Result<ReducedResult, IndexError>> + use<'v> {
        self.reduced_results_between(view, &[], None)
    }

    /// [`Self::reduced_results`] of the keys from `from` on and before `to`; either may be the first values of a key
    /// alone, and then stands before all keys that start with it.
    pub fn reduced_results_between<'v>(
        &self,
        view: &'v DatabaseView<'_>,
        from: &[Json],
        to: Option<&[Json]>,
    ) -> impl Iterator<Item = Result<ReducedResult, IndexError>> + use<'v> {
        let bound = |values: &[Json]| {
            let mut key = Vec::new();
            values.iter().for_each(|value| ordered::encode(value, &mut key));
            self.slot().key(Kind::Result, &key)
        };
        let to = to.map_or_else(|| self.slot().range_of(Kind::Result).1, bound);
        view.kv().scan(Space::Index, &bound(from), &to, Direction::Forward).filter_map(|row| {
            row.map_err(IndexError::from).and_then(|(key, value)| reduced_result(&key, &value)).transpose()
        })
    }

    /// [`Self::results`] of the keys that `filter` lets through, and perhaps of others: all when keys do not tell what
    /// is in the group-by fields of their results.
    ///
    /// # Errors
    /// When the store fails.
    pub fn results_within<'v>(
        &self,
        view: &'v DatabaseView<'_>,
        filter: &KeyFilter,
    ) -> Result<impl Iterator<Item = Result<Json, IndexError>> + use<'v>, IndexError> {
        let walk = self.walk(view, filter)?;
        Ok(walk.filter_map(|row| row.and_then(|(_, value)| result_json(&value)).transpose()))
    }

    /// [`Self::results_within`] with their keys and reduced values.
    ///
    /// # Errors
    /// When the store fails.
    pub fn reduced_results_within<'v>(
        &self,
        view: &'v DatabaseView<'_>,
        filter: &KeyFilter,
    ) -> Result<impl Iterator<Item = Result<ReducedResult, IndexError>> + use<'v>, IndexError> {
        let walk = self.walk(view, filter)?;
        Ok(walk.filter_map(|row| row.and_then(|(key, value)| reduced_result(&key, &value)).transpose()))
    }

    /// [`Self::results_within`], if that is all done with reading fewer than so many rows.
    ///
    /// # Errors
    /// When the store fails.
    pub fn few_results_within(
        &self,
        view: &DatabaseView<'_>,
        filter: &KeyFilter,
        rows_max: u64,
    ) -> Result<Option<Vec<Json>>, IndexError> {
        let mut walk = self.walk(view, filter)?.with_rows_max(rows_max);
        let mut found = Vec::new();
        for row in walk.by_ref() {
            found.extend(result_json(&row?.1)?);
        }
        Ok((!walk.gave_up()).then_some(found))
    }

    fn walk<'v>(&self, view: &'v DatabaseView<'_>, filter: &KeyFilter) -> Result<KeyWalk<'v>, IndexError> {
        let detached = !filter.is_all() && self.progress_in(view)?.detached;
        let filter = if detached { KeyFilter::default() } else { filter.clone() };
        Ok(KeyWalk::new(view.kv(), self.slot(), filter))
    }

    /// The result of one reduce key, given by the values of its group-by fields in order; none if it has none.
    ///
    /// # Errors
    /// When the store fails.
    pub fn result(&self, view: &DatabaseView<'_>, key: &[Json]) -> Result<Option<Json>, IndexError> {
        let mut reduce_key = Vec::new();
        key.iter().for_each(|value| ordered::encode(value, &mut reduce_key));
        let row = view.kv().get(Space::Index, &self.slot().key(Kind::Result, &reduce_key))?;
        row.map_or(Ok(None), |value| result_json(&value))
    }

    /// The outputs of a map-only index as (lower-cased document id, output), by id and emit position.
    pub fn entries<'v>(
        &self,
        view: &'v DatabaseView<'_>,
    ) -> impl Iterator<Item = Result<(String, Json), IndexError>> + use<'v> {
        let (from, to) = self.slot().range_of(Kind::MapOutput);
        view.kv().scan(Space::Index, &from, &to, Direction::Forward).map(|row| {
            let (key, value) = row?;
            let (id, _) = keys::parse_entry_key(keys::rest(&key)?)?;
            Ok((id.to_owned(), json(&value)?))
        })
    }

    /// The lower-cased ids of the documents that have part in results of a map-reduce index, in order.
    pub fn documents_behind<'v>(
        &self,
        view: &'v DatabaseView<'_>,
    ) -> impl Iterator<Item = Result<String, IndexError>> + use<'v> {
        let (from, to) = self.slot().range_of(Kind::DocumentKeys);
        view.kv().scan(Space::Index, &from, &to, Direction::Forward).map(|row| {
            let id = keys::rest(&row?.0)?.to_vec();
            String::from_utf8(id).map_err(|_| IndexError::Corrupt("an id is not UTF-8".to_owned()))
        })
    }

    /// The reduce keys that a document has entries under, each as the values of the group-by fields in order.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn keys_of(&self, view: &DatabaseView<'_>, id: &DocumentId) -> Result<Vec<Vec<Json>>, IndexError> {
        let row = view.kv().get(Space::Index, &self.slot().key(Kind::DocumentKeys, id.key().as_bytes()))?;
        let mut rest = keys::Reader(row.as_deref().unwrap_or_default());
        let mut found: Vec<Vec<Json>> = Vec::new();
        while !rest.is_empty() {
            let key = decode_key(rest.bytes()?)?;
            if !found.contains(&key) {
                found.push(key);
            }
        }
        Ok(found)
    }

    /// Every row of this build but progress, errors and cursors, without the slot: equal for equal documents and
    /// definition, whatever the history. For verification.
    ///
    /// # Errors
    /// When the store fails.
    pub fn rows(&self, view: &DatabaseView<'_>) -> Result<Vec<Row>, IndexError> {
        let mut rows = Vec::new();
        for kind in CONTENTS.into_iter().chain(LOSSES) {
            let (from, to) = self.slot().range_of(kind);
            for row in view.kv().scan(Space::Index, &from, &to, Direction::Forward) {
                let (key, value) = row?;
                rows.push((key.get(4..).unwrap_or_default().to_vec(), value));
            }
        }
        Ok(rows)
    }
}

fn result_json(row: &[u8]) -> Result<Option<Json>, IndexError> {
    StoredResult::decode(row)?.visible().map(json).transpose()
}

fn reduced_result(key: &[u8], row: &[u8]) -> Result<Option<ReducedResult>, IndexError> {
    let stored = StoredResult::decode(row)?;
    let (Some(result), Output::Value(reduced)) = (stored.visible(), &stored.output) else { return Ok(None) };
    let key = decode_key(keys::rest(key)?)?;
    Ok(Some(ReducedResult { key, reduced: json(reduced)?, result: json(result)? }))
}

fn json(bytes: &[u8]) -> Result<Json, IndexError> {
    parse_stored(bytes).map_err(|error| IndexError::Corrupt(format!("a result: {error}")))
}
