//! Whether the rows and documents of an output are those of its results: for verification.

use super::{OutputCollection, OutputDocument, OutputRow, name_of, references, value};
use crate::error::IndexError;
use crate::keys::Kind;
use magpie_store::DatabaseView;
use magpie_store::kv::{Direction, Space, View};

impl OutputCollection {
    /// The row that leads from an output document to its reduce key.
    pub fn row_key(&self, reduce_key: &[u8]) -> Vec<u8> {
        self.slot.key(Kind::OutputDocument, &name_of(reduce_key))
    }

    /// The keys of rows that no result stands behind, first those that lead from output documents to reduce keys, then
    /// those of reference documents.
    pub fn stray_rows<'v>(
        &self,
        view: &'v dyn View,
    ) -> impl Iterator<Item = Result<Vec<u8>, IndexError>> + use<'v> {
        let slot = self.slot;
        let rows = move |kind| {
            let (from, to) = slot.range_of(kind);
            view.scan(Space::Index, &from, &to, Direction::Forward)
        };
        let outputs = rows(Kind::OutputDocument).filter_map(move |row| {
            let stands = |key: &[u8], value: &[u8]| {
                let Ok(row) = OutputRow::decode(value) else { return Ok(false) };
                let result = view.get(Space::Index, &slot.key(Kind::Result, &row.reduce_key))?;
                Ok(result.is_some() && key.ends_with(&name_of(&row.reduce_key)))
            };
            unless(row, stands)
        });
        let named = rows(Kind::OutputReference).filter_map(move |row| {
            let stands = |key: &[u8], value: &[u8]| {
                let Ok((id_key, name, ..)) = references::decode(key, value) else { return Ok(false) };
                let row = OutputRow::read(view, slot, &name)?;
                Ok(row.is_some_and(|row| row.reference.to_lowercase() == id_key))
            };
            unless(row, stands)
        });
        outputs.chain(named)
    }

    /// What of the rows, and with `writes` of the document, is not that of a result; `None` when all is.
    ///
    /// # Errors
    /// When the store fails.
    pub fn differs(
        &self,
        view: &DatabaseView<'_>,
        reduce_key: &[u8],
        result: Option<&[u8]>,
        writes: bool,
    ) -> Result<Option<String>, IndexError> {
        let name = name_of(reduce_key);
        let result = result.map(value).transpose()?;
        let expected = result.as_ref().map(|result| OutputRow {
            reduce_key: reduce_key.to_vec(),
            reference: self.reference_id(result).unwrap_or_default(),
        });
        let stored = view.kv().get(Space::Index, &self.slot.key(Kind::OutputDocument, &name))?;
        if stored != expected.as_ref().map(OutputRow::encode) {
            return Ok(Some("the row of the output document is not that of the result".to_owned()));
        }
        let document = OutputDocument { id: self.id_of(&name), collection: &self.collection };
        let (command, fault) = document.follow(view, result)?;
        let id = &document.id;
        let reference = expected.map(|row| row.reference).filter(|reference| !reference.is_empty());
        if let Some(reference) = reference
            && !references::is_named(view.kv(), self.slot, &name, &reference, id)?
        {
            return Ok(Some(format!(
                "the row that has '{reference}' name the output document '{id}' is not there"
            )));
        }
        Ok((writes && fault.is_none() && command.is_some())
            .then(|| format!("the output document '{id}' is not the result")))
    }
}

/// The key of a row, unless it stands.
fn unless(
    row: Result<magpie_store::kv::Row, magpie_store::kv::KvError>,
    stands: impl FnOnce(&[u8], &[u8]) -> Result<bool, IndexError>,
) -> Option<Result<Vec<u8>, IndexError>> {
    let (key, value) = match row {
        Ok(row) => row,
        Err(error) => return Some(Err(error.into())),
    };
    match stands(&key, &value) {
        Ok(true) => None,
        Ok(false) | Err(IndexError::Corrupt(_)) => Some(Ok(key)),
        Err(error) => Some(Err(error)),
    }
}
