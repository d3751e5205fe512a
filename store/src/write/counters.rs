//! Commands about counters, as rows: values that change on their own, and documents whose list of names changes.

use super::Request;
use crate::command::Outcome;
use crate::counters::{self, Counter, CounterAction, CounterOperation};
use crate::document::{Collection, DocumentId, Etag};
use crate::error::StoreError;
use crate::keys;
use crate::kv::Space;
use crate::lists::Lists;
use crate::rows::{CounterRow, Head};
use crate::timestamp::Timestamp;
use std::collections::BTreeMap;

/// What the operations of one command have done so far.
struct Change {
    etag: Etag,
    /// The document's head; read when a counter comes or goes.
    head: Option<Head>,
    /// The names after the operations so far by their lower-case forms, if the head is read.
    names: BTreeMap<Box<str>, Box<str>>,
    values: Vec<Option<(String, i64)>>,
    changes: u64,
}

impl Request<'_, '_> {
    /// Sets counters of a document of a dump.
    pub(super) fn import_counters(
        &mut self,
        id: String,
        counters: Vec<(String, i64)>,
    ) -> Result<Outcome, StoreError> {
        let put = |(name, value)| CounterOperation { name, action: CounterAction::Put(value) };
        self.change_counters(id, counters.into_iter().map(put).collect(), None)
    }

    /// Changes and reads counters of a document; without a time, a document that is written keeps its own.
    pub(super) fn change_counters(
        &mut self,
        requested: String,
        operations: Vec<CounterOperation>,
        now: Option<Timestamp>,
    ) -> Result<Outcome, StoreError> {
        let id = DocumentId::new(&requested)?;
        let etag = Etag(self.layer.last_etag.0 + 1);
        let mut change = Change { etag, head: None, names: BTreeMap::new(), values: Vec::new(), changes: 0 };
        for operation in operations {
            self.change_counter(&id, operation, &mut change)?;
        }
        let Change { head, names, values, changes, .. } = change;
        let written = match head {
            Some(head) => self.list_counters(&id, head, names.into_values().collect(), (etag, now))?,
            None => None,
        };
        let (collection, last_modified) = written.map_or((None, now), |(of, time)| (Some(of), Some(time)));
        let last_modified = last_modified.unwrap_or(Timestamp(0));
        let etag = (changes > 0).then_some(etag);
        if let Some(etag) = etag {
            self.layer.last_etag = etag;
        }
        Ok(Outcome::Counters { id: requested, collection, values, changes, etag, last_modified })
    }

    fn change_counter(
        &mut self,
        id: &DocumentId,
        operation: CounterOperation,
        change: &mut Change,
    ) -> Result<(), StoreError> {
        let CounterOperation { name, action } = operation;
        if action == CounterAction::Get {
            let found = self.counter(&keys::counter(id.key(), &counters::key(&name)))?;
            change.values.push(found.map(|row| (name, row.value)));
            return Ok(());
        }
        Counter::check_name(id.as_str(), &name)?;
        let key = keys::counter(id.key(), &counters::key(&name));
        let before = self.counter(&key)?;
        let value = match (&action, before.as_ref().map_or(0, |row| row.value)) {
            (CounterAction::Increment(by), value) => {
                let overflow = || StoreError::CounterOverflow {
                    id: id.as_str().to_owned(),
                    name: name.clone(),
                    value,
                    by: *by,
                };
                Some(value.checked_add(*by).ok_or_else(overflow)?)
            }
            (CounterAction::Put(value), _) => Some(*value),
            (CounterAction::Delete | CounterAction::Get, _) => None,
        };
        // A counter that is there has a document.
        if before.is_none() || value.is_none() {
            self.read_names(id, change)?;
        }
        let Some(value) = value else {
            if before.is_some() {
                change.names.remove(&counters::key(&name));
                change.changes += 1;
                self.set_counter(key, None);
            }
            return Ok(());
        };
        let spelt = match before {
            Some(row) => row.name,
            None => {
                change.names.insert(counters::key(&name), name.as_str().into());
                name.as_str().into()
            }
        };
        self.set_counter(key, Some(CounterRow { value, etag: change.etag, name: spelt }));
        change.changes += 1;
        if matches!(action, CounterAction::Increment(_)) {
            change.values.push(Some((name, value)));
        }
        Ok(())
    }

    /// Reads the names of the document's counters, which it must have room for.
    fn read_names(&self, id: &DocumentId, change: &mut Change) -> Result<(), StoreError> {
        if change.head.is_some() {
            return Ok(());
        }
        let head = self.head(id)?;
        let missing = || StoreError::CounterOwnerMissing { id: id.as_str().to_owned() };
        let names = &head.live.as_ref().ok_or_else(missing)?.lists.counters;
        change.names = names.iter().map(|name| (counters::key(name), name.clone())).collect();
        change.head = Some(head);
        Ok(())
    }

    /// Writes the document again if its counters have other names now; gives its collection and time if it was.
    fn list_counters(
        &mut self,
        id: &DocumentId,
        head: Head,
        mut names: Vec<Box<str>>,
        (etag, now): (Etag, Option<Timestamp>),
    ) -> Result<Option<(Collection, Timestamp)>, StoreError> {
        counters::sort(&mut names);
        let Some(live) = &head.live else { return Ok(None) };
        let before = live.lists.counters.len();
        if live.lists.counters == names {
            return Ok(None);
        }
        counters::check_names(id.as_str(), &names)?;
        let after = names.len();
        let missing = || StoreError::Corrupt(format!("the document '{id}' has a head and no row"));
        let document = self.stored(id, &head)?.ok_or_else(missing)?;
        let lists = Lists { attachments: live.lists.attachments.clone(), counters: names };
        let time = now.unwrap_or(document.last_modified);
        self.rewrite(id, head, &document, lists, (etag, time));
        self.count_counters(before, after);
        Ok(Some((document.collection, time)))
    }

    fn count_counters(&mut self, before: usize, after: usize) {
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let counts = &mut self.layer.counter_counts;
        counts.first += i64::from(after > 0) - i64::from(before > 0);
        counts.second += signed(after) - signed(before);
    }

    /// Removes the counters of a document that is deleted.
    pub(super) fn remove_counters(&mut self, document: &str, names: &[Box<str>]) {
        for name in names {
            self.set_counter(keys::counter(document, &counters::key(name)), None);
        }
        self.count_counters(names.len(), 0);
    }

    pub(super) fn check_counter(
        &self,
        id: String,
        name: String,
        expected: Option<i64>,
    ) -> Result<Outcome, StoreError> {
        let key = keys::counter(DocumentId::new(&id)?.key(), &counters::key(&name));
        if self.counter(&key)?.map(|row| row.value) == expected {
            return Ok(Outcome::Checked);
        }
        Err(StoreError::CounterMoved { id, name })
    }

    /// The row of a counter, as the commands before this one leave it.
    fn counter(&self, key: &[u8]) -> Result<Option<CounterRow>, StoreError> {
        let layers = [&self.layer.counters, &self.group.layer.counters];
        if let Some(known) = layers.into_iter().find_map(|counters| counters.get(key)) {
            return Ok(known.clone());
        }
        self.group.view.get(Space::Counters, key)?.map(|row| CounterRow::decode(&row)).transpose()
    }

    fn set_counter(&mut self, key: Vec<u8>, row: Option<CounterRow>) {
        match &row {
            Some(row) => self.batch.put(Space::Counters, key.clone(), row.encode()),
            None => self.batch.delete(Space::Counters, key.clone()),
        }
        self.layer.counters.insert(key, row);
    }
}
