//! Compare-exchange: named values that are changed only by who knows their index, for uniqueness and locks.
//!
//! An index is a number that grows with every change of any value and is never given twice. Keys are lower-cased.

use crate::database::Database;
use crate::document::lower_case;
use crate::error::StoreError;
use crate::json::{self, Json};
use crate::keys;
use crate::kv::{Batch, Direction, Space, View};
use crate::limits::{COMPARE_EXCHANGE_BYTES_MAX, DOCUMENT_ID_BYTES_MAX};
use crate::rows;
use crate::view::DatabaseView;

/// The index before the first that is given. In RavenDB making the database takes an index as well, so that no value has
/// the index 1, which some take for "never changed".
pub(crate) const INDEX_BEFORE_FIRST: u64 = 1;

/// A value and the index that it can be changed by.
#[derive(Debug, Clone, PartialEq)]
pub struct CompareExchangeValue {
    /// Changes with every change of the value.
    pub index: u64,
    /// The value.
    pub value: Json,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq)]
pub struct CompareExchanged {
    /// Whether the index was the expected one, and the change is made.
    pub successful: bool,
    /// The index that the change was given; of a refused one, that of the value as it stays (0: there is none).
    pub index: u64,
    /// The new value, or the deleted one; of a refused change, the value as it stays.
    pub value: Option<Json>,
}

impl Database {
    /// Sets a value if its index is `expected`; 0 means that there is none yet. Synced before it returns.
    ///
    /// # Errors
    /// [`StoreError::InvalidId`] when the key is empty, too long or holds a control character, or the value is larger than
    /// [`COMPARE_EXCHANGE_BYTES_MAX`]; [`StoreError::WritesStopped`]; [`StoreError::Kv`].
    pub fn put_compare_exchange(
        &self,
        key: &str,
        value: Json,
        expected: u64,
    ) -> Result<CompareExchanged, StoreError> {
        self.exchange(key, Some(value), expected)
    }

    /// Deletes a value if its index is `expected`.
    ///
    /// # Errors
    /// As [`Database::put_compare_exchange`].
    pub fn delete_compare_exchange(&self, key: &str, expected: u64) -> Result<CompareExchanged, StoreError> {
        self.exchange(key, None, expected)
    }

    /// Sets values whatever they were, each with an index of its own, in one commit. Gives for each whether it was
    /// taken. Synced before it returns.
    ///
    /// # Errors
    /// [`StoreError::WritesStopped`]; [`StoreError::Kv`]. What is wrong with one value is in its place of the answer,
    /// see [`Database::put_compare_exchange`].
    pub fn set_compare_exchanges(
        &self,
        values: Vec<(String, Json)>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let rows: Vec<_> = values
            .iter()
            .map(|(key, value)| checked(key).and_then(|key| Ok((encoded(&key, value)?, key))))
            .collect();
        self.exclusively(|kv, _| {
            let last = kv.snapshot().get(Space::Meta, keys::COMPARE_EXCHANGE_INDEX)?;
            let mut index = last.map_or(Ok(INDEX_BEFORE_FIRST), |row| rows::parse_counter(&row))?;
            let mut batch = Batch::new();
            let outcomes = rows.into_iter().map(|row| {
                let (text, key) = row?;
                index += 1;
                let row = [index.to_be_bytes().as_slice(), &text].concat();
                batch.put(Space::Meta, keys::compare_exchange(&key), row);
                Ok(())
            });
            let outcomes = outcomes.collect();
            if !batch.is_empty() {
                batch.put(Space::Meta, keys::COMPARE_EXCHANGE_INDEX, rows::counter(index));
            }
            Ok((batch, outcomes))
        })
    }

    fn exchange(&self, key: &str, new: Option<Json>, expected: u64) -> Result<CompareExchanged, StoreError> {
        let key = checked(key)?;
        let text = new.as_ref().map(|value| encoded(&key, value)).transpose()?;
        self.exclusively(|kv, _| {
            let view = kv.snapshot();
            let current = read(view.as_ref(), &key)?;
            let index = current.as_ref().map_or(0, |current| current.index);
            let mut batch = Batch::new();
            // Whoever deletes what is not there changes nothing.
            if index != expected || (new.is_none() && current.is_none()) {
                let value = current.map(|current| current.value);
                return Ok((batch, CompareExchanged { successful: false, index, value }));
            }
            let last = view.get(Space::Meta, keys::COMPARE_EXCHANGE_INDEX)?;
            let index = last.map_or(Ok(INDEX_BEFORE_FIRST), |row| rows::parse_counter(&row))? + 1;
            batch.put(Space::Meta, keys::COMPARE_EXCHANGE_INDEX, rows::counter(index));
            match text {
                Some(text) => {
                    let row = [index.to_be_bytes().as_slice(), &text].concat();
                    batch.put(Space::Meta, keys::compare_exchange(&key), row);
                }
                None => batch.delete(Space::Meta, keys::compare_exchange(&key)),
            }
            let value = new.or(current.map(|current| current.value));
            Ok((batch, CompareExchanged { successful: true, index, value }))
        })
    }
}

impl DatabaseView<'_> {
    /// A value by its key; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn compare_exchange(&self, key: &str) -> Result<Option<CompareExchangeValue>, StoreError> {
        read(self.kv(), &lower_case(key))
    }

    /// The index that was given last: it grows with every change of any value.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn last_compare_exchange(&self) -> Result<u64, StoreError> {
        let last = self.kv().get(Space::Meta, keys::COMPARE_EXCHANGE_INDEX)?;
        last.map_or(Ok(0), |row| rows::parse_counter(&row))
    }

    /// All values whose keys start with `prefix`, by key.
    pub fn compare_exchanges(
        &self,
        prefix: &str,
    ) -> impl Iterator<Item = Result<(String, CompareExchangeValue), StoreError>> {
        let (from, to) = keys::compare_exchanges(&lower_case(prefix));
        self.kv().scan(Space::Meta, &from, &to, Direction::Forward).map(|row| {
            let (key, value) = row?;
            Ok((keys::compare_exchange_of(&key)?.to_owned(), decode(&value)?))
        })
    }
}

/// The key as it is stored.
pub(crate) fn checked(key: &str) -> Result<Box<str>, StoreError> {
    let reason = if key.is_empty() {
        "the key of a compare-exchange value must not be empty"
    } else if key.len() > DOCUMENT_ID_BYTES_MAX {
        "it is longer than 512 bytes"
    } else if key.chars().any(char::is_control) {
        "it holds a control character"
    } else {
        return Ok(lower_case(key));
    };
    Err(StoreError::InvalidId { id: key.chars().take(100).collect(), reason })
}

/// The value as it is stored behind its index.
pub(crate) fn encoded(key: &str, value: &Json) -> Result<Vec<u8>, StoreError> {
    let text = value.to_string().into_bytes();
    if text.len() > COMPARE_EXCHANGE_BYTES_MAX {
        let reason = "its value is larger than 1 MiB (compare_exchange_bytes_max)";
        return Err(StoreError::InvalidId { id: key.chars().take(100).collect(), reason });
    }
    Ok(text)
}

pub(crate) fn read(view: &dyn View, key: &str) -> Result<Option<CompareExchangeValue>, StoreError> {
    view.get(Space::Meta, &keys::compare_exchange(key))?.map(|row| decode(&row)).transpose()
}

fn decode(row: &[u8]) -> Result<CompareExchangeValue, StoreError> {
    let corrupt = || StoreError::Corrupt("a compare-exchange value".to_owned());
    let (index, text) = row.split_first_chunk::<8>().ok_or_else(corrupt)?;
    let value = json::parse(text).map_err(|_| corrupt())?;
    Ok(CompareExchangeValue { index: u64::from_be_bytes(*index), value })
}
