//! Counters: named whole numbers that belong to documents.
//!
//! A counter's value is a row of its own, which changes without its document. The names of a document's counters stand in
//! its metadata (`@counters`, and the flag `HasCounters`), where clients read them; only the store writes them. So the
//! document is written anew only when a counter comes or goes, in the same batch as the counter: what an index is made of
//! stays a function of its documents.

use crate::document::{DocumentId, Etag, lower_case};
use crate::error::StoreError;
use crate::keys;
use crate::kv::{Direction, Space};
use crate::limits::{COUNTER_NAME_UNITS_MAX, COUNTER_NAMES_BYTES_MAX};
use crate::rows::{self, CounterRow};
use crate::view::DatabaseView;

/// What is done to a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CounterAction {
    /// Adds to it; one that is not there begins at 0.
    Increment(i64),
    /// Sets it.
    Put(i64),
    /// Deletes it. That there is none is not an error.
    Delete,
    /// Reads it.
    Get,
}

/// An action on a counter of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterOperation {
    /// The counter's name; compared without case.
    pub name: String,
    /// What is done.
    pub action: CounterAction,
}

/// A counter of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// Its name, as it was first spelt.
    pub name: String,
    /// Its value.
    pub value: i64,
    /// The etag of its last change.
    pub etag: Etag,
}

impl Counter {
    /// Checks the name of a counter of a document.
    ///
    /// # Errors
    /// [`StoreError::InvalidCounter`] when it is empty, longer than [`COUNTER_NAME_UNITS_MAX`], or holds a control
    /// character: a dump with such a name is one that RavenDB does not import.
    pub fn check_name(id: &str, name: &str) -> Result<(), StoreError> {
        let units = name.encode_utf16().count();
        let reason = if name.is_empty() {
            "its name is empty".to_owned()
        } else if units > COUNTER_NAME_UNITS_MAX {
            format!(
                "Counter name cannot exceed {COUNTER_NAME_UNITS_MAX} characters (counter_name_units_max), but it has {units}"
            )
        } else if name.chars().any(char::is_control) {
            "its name holds a control character".to_owned()
        } else {
            return Ok(());
        };
        let cut = |text: &str| text.chars().take(100).collect();
        Err(StoreError::InvalidCounter { id: cut(id), name: cut(name), reason })
    }
}

/// What names are compared by.
pub(crate) fn key(name: &str) -> Box<str> {
    lower_case(name)
}

/// Checks that a document's metadata can list these names.
///
/// # Errors
/// [`StoreError::InvalidCounter`] when they are longer than [`COUNTER_NAMES_BYTES_MAX`] together.
pub(crate) fn check_names(id: &str, names: &[Box<str>]) -> Result<(), StoreError> {
    // Quotes and a comma around each.
    let bytes: usize = names.iter().map(|name| name.len() + 3).sum();
    if bytes <= COUNTER_NAMES_BYTES_MAX {
        return Ok(());
    }
    let reason = format!(
        "the names of the document's counters have {bytes} bytes together; the limit (counter_names_bytes_max) is \
         {COUNTER_NAMES_BYTES_MAX}"
    );
    let name = names.last().map(|name| name.chars().take(100).collect()).unwrap_or_default();
    Err(StoreError::InvalidCounter { id: id.to_owned(), name, reason })
}

/// Orders names as the original does: by upper case, so that `_` stands behind the letters.
pub(crate) fn sort(names: &mut [Box<str>]) {
    names.sort_by_cached_key(|name| {
        (name.chars().flat_map(char::to_uppercase).collect::<String>(), name.clone())
    });
}

impl DatabaseView<'_> {
    /// A document's counter; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn counter(&self, id: &DocumentId, name: &str) -> Result<Option<Counter>, StoreError> {
        let row = self.kv().get(Space::Counters, &keys::counter(id.key(), &key(name)))?;
        row.map(|row| CounterRow::decode(&row).map(CounterRow::into_counter)).transpose()
    }

    /// The counters of a document, ordered by name; none when there is no such document.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn counters(&self, id: &DocumentId) -> Result<Vec<Counter>, StoreError> {
        let (from, to) = keys::counters_of(id.key());
        let rows = self.kv().scan(Space::Counters, &from, &to, Direction::Forward);
        let counters = rows.map(|row| Ok(CounterRow::decode(&row?.1)?.into_counter()));
        let mut counters: Vec<Counter> = counters.collect::<Result<_, StoreError>>()?;
        counters.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(counters)
    }

    /// The counters of all documents, those of one document together, each with the document's id in lower case.
    pub fn all_counters(&self) -> impl Iterator<Item = Result<(String, Counter), StoreError>> {
        let (from, to) = keys::counters();
        self.kv().scan(Space::Counters, &from, &to, Direction::Forward).map(|row| {
            let (key, row) = row?;
            Ok((keys::counter_owner(&key)?.to_owned(), CounterRow::decode(&row)?.into_counter()))
        })
    }

    /// How many documents have counters, and how many counters there are.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn counter_counts(&self) -> Result<(u64, u64), StoreError> {
        let row = self.kv().get(Space::Meta, keys::COUNTERS)?;
        row.map_or(Ok((0, 0)), |row| rows::parse_pair("counters", &row))
    }
}
