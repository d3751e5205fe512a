//! The read side of an index: its results or map outputs as of one snapshot.

use crate::error::IndexError;
use crate::index::Index;
use crate::keys::{self, Kind};
use crate::reduce_tree::{Output, StoredResult};
use magpie_store::json::{Json, parse_stored};
use magpie_store::kv::{Direction, Row, Space};
use magpie_store::{DatabaseView, ordered};

impl Index {
    /// The results of a map-reduce index in the order of their reduce keys, each a JSON object. Keys whose reduce
    /// fails have none.
    pub fn results<'v>(
        &self,
        view: &'v DatabaseView<'_>,
    ) -> impl Iterator<Item = Result<Json, IndexError>> + use<'v> {
        let (from, to) = self.slot().range_of(Kind::Result);
        view.kv().scan(Space::Index, &from, &to, Direction::Forward).filter_map(|row| {
            row.map_err(IndexError::from).and_then(|(_, value)| result_json(&value)).transpose()
        })
    }

    /// The result of one reduce key, given by the values of its group-by fields in order; none if it has no entries.
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

    /// Every row of this build but progress and errors, without the slot: equal for equal documents and definition,
    /// whatever the history. For verification.
    ///
    /// # Errors
    /// When the store fails.
    pub fn rows(&self, view: &DatabaseView<'_>) -> Result<Vec<Row>, IndexError> {
        let mut rows = Vec::new();
        for kind in [Kind::DocumentKeys, Kind::LeafPage, Kind::PageOutput, Kind::Result, Kind::MapOutput] {
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
    match StoredResult::decode(row)?.output {
        Output::Value(value) => Ok(Some(json(&value)?)),
        Output::Failed => Ok(None),
    }
}

fn json(bytes: &[u8]) -> Result<Json, IndexError> {
    parse_stored(bytes).map_err(|error| IndexError::Corrupt(format!("a result: {error}")))
}
