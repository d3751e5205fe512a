//! Counters as the commands of a batch with patches leave them, in front of one snapshot.
//!
//! A sum that a script made of a value that it read must stand on that value: each such counter is checked in front of the
//! writes. What is only added to is not, so that patches that count do not run anew because of each other.

use magpie_store::{Command, CounterAction, CounterOperation, DatabaseView, DocumentId, StoreError};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};

/// What a script added to a counter.
#[derive(Debug)]
pub(crate) struct Incremented {
    /// The counter's name as the script spelt it.
    pub(crate) name: String,
    /// Its value before; `None` when there was no such counter.
    pub(crate) before: Option<i64>,
    /// What was added.
    pub(crate) by: i64,
}

/// Document and name, both in lower case.
type Key = (String, String);

/// A counter that the batch has to do with.
struct Known {
    id: DocumentId,
    name: String,
    /// What the snapshot has; `None` for counters of a document that the batch had deleted before.
    base: Option<Option<i64>>,
    /// What it is after the commands so far.
    value: Option<i64>,
    /// Whether a script read what hangs on the snapshot's value.
    is_read: bool,
}

/// The counters that the batch has to do with so far.
#[derive(Default)]
pub(super) struct Counters {
    known: BTreeMap<Key, Known>,
    /// The documents that the batch deleted; the snapshot says nothing about their counters any more.
    deleted: HashSet<String>,
    /// Beginnings of ids of such documents.
    deleted_prefixes: Vec<String>,
}

impl Counters {
    /// The value of a counter for a script, which may make anything of it.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn read(
        &mut self,
        view: &DatabaseView<'_>,
        id: &DocumentId,
        name: &str,
    ) -> Result<Option<i64>, StoreError> {
        let known = self.known(view, id, name)?;
        known.is_read = true;
        Ok(known.value)
    }

    /// The value of a counter.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn value(
        &mut self,
        view: &DatabaseView<'_>,
        id: &DocumentId,
        name: &str,
    ) -> Result<Option<i64>, StoreError> {
        Ok(self.known(view, id, name)?.value)
    }

    /// Notes what a command does. Sums beyond the limits are left to the write, which refuses them.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn apply(
        &mut self,
        view: &DatabaseView<'_>,
        id: &DocumentId,
        operations: &[CounterOperation],
    ) -> Result<(), StoreError> {
        for CounterOperation { name, action } in operations {
            let known = self.known(view, id, name)?;
            match action {
                CounterAction::Increment(by) => {
                    known.value = Some(known.value.unwrap_or(0).saturating_add(*by));
                }
                CounterAction::Put(value) => known.value = Some(*value),
                CounterAction::Delete => known.value = None,
                CounterAction::Get => {}
            }
        }
        Ok(())
    }

    /// Notes that a document is deleted, its counters with it.
    pub(super) fn delete_document(&mut self, id: &DocumentId) {
        self.forget(|key| key == id.key());
        self.deleted.insert(id.key().to_owned());
    }

    /// Notes that the documents whose ids (in lower case) begin so are deleted.
    pub(super) fn delete_prefix(&mut self, prefix: &str) {
        self.forget(|key| key.starts_with(prefix));
        self.deleted_prefixes.push(prefix.to_owned());
    }

    /// The checks that must hold before the writes.
    pub(super) fn into_checks(self) -> impl Iterator<Item = Command> {
        self.known.into_values().filter(|known| known.is_read).filter_map(|known| {
            let id = known.id.as_str().to_owned();
            known.base.map(|expected| Command::CheckCounter { id, name: known.name, expected })
        })
    }

    fn forget(&mut self, is_gone: impl Fn(&str) -> bool) {
        for ((document, _), known) in &mut self.known {
            if is_gone(document) {
                known.value = None;
            }
        }
    }

    fn known(
        &mut self,
        view: &DatabaseView<'_>,
        id: &DocumentId,
        name: &str,
    ) -> Result<&mut Known, StoreError> {
        let key = (id.key().to_owned(), name.to_lowercase());
        let is_gone = self.deleted.contains(id.key())
            || self.deleted_prefixes.iter().any(|prefix| id.key().starts_with(prefix));
        match self.known.entry(key) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let base =
                    if is_gone { None } else { Some(view.counter(id, name)?.map(|found| found.value)) };
                let (id, name) = (id.clone(), name.to_owned());
                Ok(place.insert(Known { id, name, base, value: base.flatten(), is_read: false }))
            }
        }
    }
}
