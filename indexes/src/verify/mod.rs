//! Verification: an index computed a second time by another way, and compared row by row.
//!
//! Two passes over one snapshot, both in bounded memory. The first (`documents.rs`) maps every document again and compares
//! its outputs with the entries that are stored, both ways. The second (`keys.rs`) folds the entries of each reduce key
//! flat, from left to right and without the tree, and compares with the result; then it recomputes every page of the tree
//! and compares that bit for bit. What changed behind the index's progress is left out and counted as pending.
//!
//! A flat fold adds floating-point numbers in another order than the tree: what differs only in their last bits is counted
//! apart. A result that equals its tree but not its flat fold is no damage of the store: then the reduce breaks a law.
//!
//! Damages can be repaired: the worker maps the document, or rebuilds the tree of the key, anew. Nothing else is touched.

mod documents;
mod keys;
mod nearly;

use crate::called_function::CalledFunction;
use crate::error::IndexError;
use crate::index::Index;
use crate::indexer::target_etag;
use crate::keys::Kind;
use crate::limits;
use crate::progress::Progress;
use crate::results::CONTENTS;
use crate::terms::wrong_fields;
use magpie_store::json::Json;
use magpie_store::kv::{Direction, Space};
use magpie_store::{DatabaseView, Etag};
pub use nearly::nearly_equal;
pub(crate) use nearly::nearly_same;

/// What a verification found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// Everything up to this etag is compared.
    pub etag: Etag,
    /// Documents mapped again.
    pub documents: u64,
    /// Documents left out because they, or documents that they load, changed behind the index's progress.
    pub pending: u64,
    /// Entries (map-only: outputs) compared.
    pub entries: u64,
    /// Reduce keys folded again.
    pub keys: u64,
    /// Of those, the keys whose flat fold differs from the tree in the last bits of floating-point numbers only.
    pub inexact: u64,
    /// How many damages there are.
    pub damages: u64,
    /// The first [`limits::VERIFY_DAMAGES_LISTED_MAX`] of them.
    pub listed: Vec<Damage>,
    /// A hash over all rows that are a function of definition and documents, in hexadecimal digits: equal for equal
    /// documents and definition, whatever the history. Says something about a state without pending documents only.
    pub hash: String,
}

/// A place where an index is not what it must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Damage {
    /// The document, if it is about one: its lower-cased id.
    pub document: Option<String>,
    /// The reduce key, if it is about one.
    pub key: Option<Vec<Json>>,
    /// What is wrong.
    pub what: String,
    /// What must be there, where that says something.
    pub expected: Option<Json>,
    /// What is there.
    pub found: Option<Json>,
    /// How to mend it; `None` when there is nothing to mend in the rows.
    pub(crate) repair: Vec<Repair>,
}

impl Damage {
    /// Whether the rows can be mended.
    #[must_use]
    pub fn is_repairable(&self) -> bool {
        !self.repair.is_empty()
    }
}

/// A piece of mending, for the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repair {
    /// Remove a row that cannot be read, by its whole key.
    Row(Vec<u8>),
    /// Map a document again, by its lower-cased id.
    Document(String),
    /// Remove an entry that no document stands behind.
    Entry { reduce_key: Vec<u8>, entry_key: Vec<u8> },
    /// Build the tree of a reduce key, its result and its output document anew from its entries.
    Key(Vec<u8>),
    /// Make all terms anew; every other repair does so, too.
    Terms,
}

/// A verification at work.
struct Verifier<'v> {
    index: &'v Index,
    view: &'v DatabaseView<'v>,
    progress: Progress,
    /// Whether documents wait to be indexed in the snapshot; only then may something be left out.
    behind: bool,
    function: CalledFunction<'v>,
    found: Verification,
    go_on: &'v dyn Fn() -> bool,
}

impl Index {
    /// Verifies the index as of the snapshot. `go_on` is asked now and then; once it says no, this gives `None`.
    ///
    /// # Errors
    /// [`IndexError::Call`] when the functions cannot be called, and when the store fails. Damaged rows are no errors.
    pub fn verify(
        &self,
        view: &DatabaseView<'_>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Verification>, IndexError> {
        let progress = Progress::read(view.kv(), self.slot())?;
        let mut verifier = Verifier {
            index: self,
            view,
            progress,
            behind: target_etag(view, self.feed())? > progress.etag,
            function: CalledFunction::new(self.calls()),
            found: Verification {
                etag: progress.etag,
                documents: 0,
                pending: 0,
                entries: 0,
                keys: 0,
                inexact: 0,
                damages: 0,
                listed: Vec::new(),
                hash: String::new(),
            },
            go_on,
        };
        if !verifier.documents()? || !verifier.strays()? || !verifier.keys()? || !verifier.terms()? {
            return Ok(None);
        }
        verifier.check_calls()?;
        let Some(hash) = self.hash(view, go_on)? else { return Ok(None) };
        Ok(Some(Verification { hash, ..verifier.found }))
    }

    /// The hash of [`Verification::hash`]; `None` when `go_on` said no.
    ///
    /// # Errors
    /// When the store fails.
    pub fn hash(
        &self,
        view: &DatabaseView<'_>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<String>, IndexError> {
        let mut hasher = blake3::Hasher::new();
        for kind in CONTENTS {
            let (from, to) = self.slot().range_of(kind);
            for row in view.kv().scan(Space::Index, &from, &to, Direction::Forward) {
                let (key, value) = row?;
                // The slot is not part of the contents; lengths keep the parts apart.
                let key = key.get(4..).unwrap_or_default();
                for part in [key, value.as_slice()] {
                    hasher.update(&(part.len() as u64).to_be_bytes());
                    hasher.update(part);
                }
                if !go_on() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(hasher.finalize().to_hex().to_string()))
    }
}

impl Verifier<'_> {
    fn check_calls(&self) -> Result<(), IndexError> {
        self.function.check().map_err(|error| IndexError::Call { name: self.index.name(), error })
    }

    fn damage(&mut self, damage: Damage) {
        self.found.damages += 1;
        if self.found.listed.len() < limits::VERIFY_DAMAGES_LISTED_MAX {
            self.found.listed.push(damage);
        }
    }

    /// Verifies the terms of the results; gives `false` when told to stop.
    fn terms(&mut self) -> Result<bool, IndexError> {
        let (slot, is_map_reduce) = (self.index.slot(), self.index.is_map_reduce());
        let Some(wrong) = wrong_fields(self.view.kv(), slot, is_map_reduce, self.go_on)? else {
            return Ok(false);
        };
        for field in wrong {
            let what = format!("the terms of its field {field} are not those of its results");
            let repair = vec![Repair::Terms];
            self.damage(Damage { document: None, key: None, what, expected: None, found: None, repair });
        }
        Ok(true)
    }

    /// A damage of a document's rows that mapping it again mends.
    fn document_damage(&mut self, id_key: &str, what: String, expected: Option<Json>, found: Option<Json>) {
        let repair = vec![Repair::Document(id_key.to_owned())];
        self.damage(Damage { document: Some(id_key.to_owned()), key: None, what, expected, found, repair });
    }

    /// A row of the index by kind and the rest of its key.
    fn row(&self, kind: Kind, rest: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.view.kv().get(Space::Index, &self.index.slot().key(kind, rest))?)
    }
}
