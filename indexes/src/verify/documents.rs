//! The first pass: every document mapped again, its outputs against the stored entries; and entries, loads and errors that
//! no document stands behind.

use super::{Damage, Repair, Verifier};
use crate::error::IndexError;
use crate::function::IndexFunction;
use crate::indexer::{EncodedOutput, encode, maps};
use crate::keys::{Kind, Reader, behind, entry_key, parse_entry_key, put_bytes, rest};
use crate::losses::Lost;
use crate::references::{BatchLoads, LoadedIds};
use crate::stored_tree::StoredTree;
use magpie_store::json::{Json, parse_stored};
use magpie_store::kv::{Direction, Space};
use magpie_store::{Document, DocumentId, Etag};

impl Verifier<'_> {
    /// Compares every document; gives `false` when told to stop.
    pub(super) fn documents(&mut self) -> Result<bool, IndexError> {
        let mut loads = BatchLoads::new(self.view);
        for document in self.view.documents_in_etag_order(self.index.mapped(), Etag(0))? {
            let document = document?;
            if !(self.go_on)() {
                return Ok(false);
            }
            if !maps(self.index.mapped(), &document) {
                continue;
            }
            if document.etag > self.progress.etag {
                self.found.pending += 1;
                continue;
            }
            self.document(&document, &mut loads)?;
            self.check_calls()?;
        }
        Ok(true)
    }

    fn document(&mut self, document: &Document, loads: &mut BatchLoads<'_>) -> Result<(), IndexError> {
        let outcome = self.function.map(document, loads);
        let (loaded, allowed) = loads.take()?;
        if self.behind && self.loads_what_changed(&loaded)? {
            self.found.pending += 1;
            return Ok(());
        }
        self.found.documents += 1;
        let has_reduce = self.index.is_map_reduce();
        let outputs = outcome.and_then(|outputs| encode(outputs, has_reduce, &mut Lost::new()));
        let outputs = allowed.and(outputs);
        let id_key = document.id.key();
        let is_failing = self.row(Kind::MapError, id_key.as_bytes())?.is_some();
        if outputs.is_err() != is_failing {
            let what = if is_failing {
                "its map works, but an error is kept"
            } else {
                "its map fails, but no error is kept"
            };
            self.document_damage(id_key, what.to_owned(), None, None);
        }
        let outputs = outputs.unwrap_or_default();
        self.found.entries += outputs.len() as u64;
        self.compare_loads(id_key, &loaded)?;
        if has_reduce {
            self.compare_entries(id_key, &outputs)
        } else {
            self.compare_outputs(id_key, &outputs)
        }
    }

    /// Whether one of the loaded documents may be another one now than when the document was mapped.
    fn loads_what_changed(&self, loaded: &LoadedIds) -> Result<bool, IndexError> {
        for id in loaded {
            let found = self.view.document(&DocumentId::new(id)?)?;
            if found.is_none_or(|found| found.etag > self.progress.etag) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn compare_entries(&mut self, id_key: &str, outputs: &[EncodedOutput]) -> Result<(), IndexError> {
        let stored = self.row(Kind::DocumentKeys, id_key.as_bytes())?.unwrap_or_default();
        let mut expected = Vec::new();
        outputs.iter().for_each(|(key, _)| put_bytes(key, &mut expected));
        if stored != expected {
            // What the row may name wrongly is not asked for; entries that it forgets are found as strays.
            let row = self.index.slot().key(Kind::DocumentKeys, id_key.as_bytes());
            let repair = vec![Repair::Row(row), Repair::Document(id_key.to_owned())];
            self.damage(Damage {
                document: Some(id_key.to_owned()),
                key: None,
                what: "the list of its reduce keys is not that of its outputs".to_owned(),
                expected: None,
                found: None,
                repair,
            });
        }
        for ((reduce_key, value), position) in outputs.iter().zip(0..) {
            let view = self.view.kv();
            let tree = StoredTree { view, slot: self.index.slot(), reduce_key };
            // A page that cannot be read is reported with its key; here its entries are missing.
            let found = tree.entry(&entry_key(id_key, position)).ok().flatten();
            if found.as_deref() != Some(value) {
                let what = format!("its output {position} is not the stored entry");
                self.document_damage(id_key, what, json(value), found.as_deref().and_then(json));
            }
        }
        Ok(())
    }

    fn compare_outputs(&mut self, id_key: &str, outputs: &[EncodedOutput]) -> Result<(), IndexError> {
        let prefix = self.index.slot().key(Kind::MapOutput, &[id_key.as_bytes(), &[0]].concat());
        let to = [behind(&prefix), vec![0xFF; 4]].concat();
        let mut stored = Vec::new();
        for row in self.view.kv().scan(Space::Index, &prefix, &to, Direction::Forward).take(outputs.len() + 1)
        {
            stored.push(row?.1);
        }
        if stored.len() != outputs.len() {
            let what = format!("it has {} stored outputs or more, but gives {}", stored.len(), outputs.len());
            self.document_damage(id_key, what, None, None);
        }
        for (((_, value), found), position) in outputs.iter().zip(&stored).zip(0_u32..) {
            if value != found {
                let what = format!("its output {position} is not the stored one");
                self.document_damage(id_key, what, json(value), json(found));
            }
        }
        Ok(())
    }

    fn compare_loads(&mut self, id_key: &str, loaded: &LoadedIds) -> Result<(), IndexError> {
        let mut expected = Vec::new();
        loaded.iter().for_each(|id| put_bytes(id.as_bytes(), &mut expected));
        let mut is_whole = self.row(Kind::DocumentLoads, id_key.as_bytes())?.unwrap_or_default() == expected;
        for id in loaded {
            let user = [id.as_bytes(), &[0], id_key.as_bytes()].concat();
            is_whole &= self.row(Kind::LoadedBy, &user)?.is_some();
        }
        if !is_whole {
            let row = self.index.slot().key(Kind::DocumentLoads, id_key.as_bytes());
            self.damage(Damage {
                document: Some(id_key.to_owned()),
                key: None,
                what: "the list of the documents that it loads is not that of its map".to_owned(),
                expected: None,
                found: None,
                // Mapping it writes what differs from the row; without the row that is everything.
                repair: vec![Repair::Row(row), Repair::Document(id_key.to_owned())],
            });
        }
        Ok(())
    }

    /// Rows of documents that are not there, or give no such thing; gives `false` when told to stop. Documents that are
    /// there were compared already.
    pub(super) fn strays(&mut self) -> Result<bool, IndexError> {
        for kind in [Kind::DocumentKeys, Kind::MapOutput, Kind::MapError, Kind::DocumentLoads, Kind::LoadedBy]
        {
            let (from, to) = self.index.slot().range_of(kind);
            for row in self.view.kv().scan(Space::Index, &from, &to, Direction::Forward) {
                let (row_key, _) = row?;
                if !(self.go_on)() {
                    return Ok(false);
                }
                self.stray(kind, &row_key)?;
            }
        }
        Ok(true)
    }

    fn stray(&mut self, kind: Kind, row_key: &[u8]) -> Result<(), IndexError> {
        let tail = rest(row_key)?;
        let id_bytes = match kind {
            Kind::MapOutput => parse_entry_key(tail).ok().map(|(id, _)| id.as_bytes()),
            Kind::LoadedBy => tail.rsplit(|byte| *byte == 0).next(),
            _ => Some(tail),
        };
        let id = id_bytes.and_then(|id| std::str::from_utf8(id).ok()).and_then(|id| DocumentId::new(id).ok());
        let Some(id) = id else {
            self.stray_row(row_key, None);
            return Ok(());
        };
        let document = self.view.document(&id)?.filter(|document| maps(self.index.mapped(), document));
        match (document, kind) {
            // It may have been deleted, or moved to another collection, behind the index's progress.
            (None, _) if self.behind => {}
            (None, _) => self.stray_row(row_key, Some(&id)),
            (Some(document), Kind::LoadedBy) if document.etag <= self.progress.etag => {
                let loaded = tail.get(..tail.len() - id.key().len() - 1).unwrap_or_default();
                let loads = self.row(Kind::DocumentLoads, id.key().as_bytes())?.unwrap_or_default();
                if !read_keys(&loads).is_some_and(|ids| ids.contains(&loaded)) && !self.behind {
                    self.stray_row(row_key, Some(&id));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn stray_row(&mut self, row_key: &[u8], id: Option<&DocumentId>) {
        let mut repair = Vec::new();
        // Mapping a document that is gone takes its entries out of the trees by the list that is left of it.
        repair.extend(id.map(|id| Repair::Document(id.key().to_owned())));
        repair.push(Repair::Row(row_key.to_vec()));
        self.damage(Damage {
            document: id.map(|id| id.key().to_owned()),
            key: None,
            what: "a row is kept of a document that is not there or does not give it".to_owned(),
            expected: None,
            found: None,
            repair,
        });
    }
}

/// The parts of a row that is a list; `None` when it cannot be read.
pub(super) fn read_keys(row: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = Reader(row);
    let mut keys = Vec::new();
    while !reader.is_empty() {
        keys.push(reader.bytes().ok()?);
    }
    Some(keys)
}

/// A stored value to be shown; `None` when it cannot be read.
pub(super) fn json(stored: &[u8]) -> Option<Json> {
    parse_stored(stored).ok()
}
