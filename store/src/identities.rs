//! Identities: named counters whose numbers clients put into ids (`users|` becomes `users/1`).
//!
//! A name is lower-cased and ends with `|`. A number that was given out is never given out again, even when the
//! request it was for fails.

use crate::database::Database;
use crate::document::lower_case;
use crate::error::StoreError;
use crate::keys;
use crate::kv::{Batch, Direction, Space, View};
use crate::limits::DOCUMENT_ID_BYTES_MAX;
use crate::rows;
use crate::view::DatabaseView;

/// Clients read identities as signed 64-bit integers.
const VALUE_MAX: u64 = i64::MAX as u64;

/// The name under which an identity is kept; a missing `|` is added.
pub(crate) fn name(requested: &str) -> Result<Box<str>, StoreError> {
    let reason = if requested.trim_end_matches('|').is_empty() {
        "an identity needs a name before '|'"
    } else if requested.len() > DOCUMENT_ID_BYTES_MAX {
        "it is longer than 512 bytes"
    } else if requested.chars().any(char::is_control) {
        "it holds a control character"
    } else if requested.ends_with('|') {
        return Ok(lower_case(requested));
    } else {
        return Ok([&*lower_case(requested), "|"].concat().into());
    };
    Err(StoreError::InvalidId { id: requested.chars().take(100).collect(), reason })
}

/// The last number given out, 0 before the first.
pub(crate) fn last(view: &dyn View, name: &str) -> Result<u64, StoreError> {
    view.get(Space::Meta, &keys::identity(name))?.map_or(Ok(0), |row| rows::parse_counter(&row))
}

/// The number after `last`.
pub(crate) fn next(requested: &str, last: u64) -> Result<u64, StoreError> {
    if last >= VALUE_MAX {
        let id = requested.chars().take(100).collect();
        return Err(StoreError::InvalidId { id, reason: "its identity has no numbers left" });
    }
    Ok(last + 1)
}

impl Database {
    /// Gives out the next number of an identity: 1 for a new one. Synced before it returns.
    ///
    /// # Errors
    /// [`StoreError::InvalidId`] when the name is empty, too long, holds a control character, or its numbers are
    /// used up; [`StoreError::WritesStopped`]; [`StoreError::Kv`].
    pub fn next_identity(&self, requested: &str) -> Result<u64, StoreError> {
        self.change_identity(requested, |last| next(requested, last))
    }

    /// Sets the last number given out. Without `force` it only ever rises. Gives the number it has afterwards.
    ///
    /// # Errors
    /// As [`Database::next_identity`].
    pub fn seed_identity(&self, requested: &str, value: u64, force: bool) -> Result<u64, StoreError> {
        let value = value.min(VALUE_MAX);
        self.change_identity(requested, |last| Ok(if force { value } else { value.max(last) }))
    }

    fn change_identity(
        &self,
        requested: &str,
        change: impl FnOnce(u64) -> Result<u64, StoreError>,
    ) -> Result<u64, StoreError> {
        let name = name(requested)?;
        self.exclusively(|kv, _| {
            let value = change(last(kv.snapshot().as_ref(), &name)?)?;
            let mut batch = Batch::new();
            batch.put(Space::Meta, keys::identity(&name), rows::counter(value));
            Ok((batch, value))
        })
    }
}

impl DatabaseView<'_> {
    /// All identities with the last number each has given out, by name.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn identities(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let (from, to) = keys::identities();
        let rows = self.kv().scan(Space::Meta, &from, &to, Direction::Forward);
        rows.map(|row| {
            let (key, value) = row?;
            Ok((keys::identity_of(&key)?.to_owned(), rows::parse_counter(&value)?))
        })
        .collect()
    }
}
