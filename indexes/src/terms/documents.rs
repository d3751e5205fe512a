//! The documents of a collection by the terms of its auto index, as of one snapshot and without waiting: what the index
//! tells of documents that changed behind its progress is left out, and they come as they are now.
//!
//! A document that did not change behind the progress has the entry that the index holds: whatever batch took in its last
//! change mapped it as it is.

use super::build::visible;
use super::candidates::{Finder, Subjects};
use super::field::{Family, TermField, TermFields, posting_key};
use super::posting::{Class, Terms, best, closed, terms};
use super::span::{Need, TermSpan};
use super::value::Step;
use super::walk::Walk;
use crate::auto::{AutoDefinition, AutoSource, path_of};
use crate::error::IndexError;
use crate::index::Index;
use crate::indexer::maps;
use crate::keys::{Kind, entry_key, parse_entry_key};
use crate::limits;
use crate::progress::Progress;
use magpie_store::json::Json;
use magpie_store::kv::{Direction, Space};
use magpie_store::{DatabaseView, Document, DocumentId};
use std::cell::OnceCell;
use std::collections::HashSet;
use std::sync::Arc;

/// Reads one auto index.
pub struct AutoReader<'v> {
    view: &'v DatabaseView<'v>,
    index: Arc<Index>,
    definition: AutoDefinition,
    source: AutoSource,
    progress: Progress,
    fields: TermFields,
    /// The lower-cased ids of what changed behind the progress, deleted ones included.
    changed: HashSet<Box<str>>,
    /// What is there of them.
    tail: Vec<Document>,
    /// The entries of both, of the changed ones as the index has them.
    entries: OnceCell<(Vec<Json>, Vec<Json>)>,
}

/// A document at its place in the order of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedDocument {
    /// Its id, lower-cased.
    pub id: DocumentId,
    /// The number of its group: documents of a lower one come before it, whatever else is ordered by.
    pub group: u64,
}

/// The documents that the index tells of in the order of a field.
pub struct PlacedDocuments<'r> {
    /// All but those of the tail.
    pub rows: Box<dyn Iterator<Item = Result<PlacedDocument, IndexError>> + 'r>,
    /// How many documents have only values that this order leaves out; they do not come. Those of the tail count.
    pub left_out: u64,
}

impl<'v> AutoReader<'v> {
    /// `None` when the index is none that can be read so, or too much has changed behind it.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn open(view: &'v DatabaseView<'v>, index: &Arc<Index>) -> Result<Option<Self>, IndexError> {
        let definition = index.definition();
        let Some(auto) = definition.auto.clone().filter(|auto| auto.groups.is_none()) else {
            return Ok(None);
        };
        let progress = Progress::read(view.kv(), index.slot())?;
        if progress.failing_documents > 0 {
            return Ok(None);
        }
        let changes = view.changes_after(index.feed(), progress.etag, limits::AUTO_TAIL_MAX + 1)?;
        if changes.len() > limits::AUTO_TAIL_MAX {
            return Ok(None);
        }
        let mut changed = HashSet::new();
        let mut tail = Vec::new();
        let mut bytes = 0;
        for change in changes {
            if changed.insert(change.id.key().into())
                && let Some(document) = view.document(&change.id)?
                && maps(index.mapped(), &document)
            {
                bytes += document.body.len() + document.metadata.len();
                if bytes > limits::AUTO_TAIL_BYTES_MAX {
                    return Ok(None);
                }
                tail.push(document);
            }
        }
        let fields = TermFields::read(view.kv(), index.slot(), &progress)?;
        Ok(Some(Self {
            source: AutoSource::new(&auto, view.database_id())?,
            view,
            index: Arc::clone(index),
            definition: auto,
            progress,
            fields,
            changed,
            tail,
            entries: OnceCell::new(),
        }))
    }

    /// The documents that changed behind the progress of the index and are there.
    #[must_use]
    pub fn tail(&self) -> &[Document] {
        &self.tail
    }

    /// How many documents the index has taken in.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.progress.results
    }

    /// Has the worker make terms of these fields, those aside that are there or cannot be. Gives whether all are there.
    #[must_use]
    pub fn want(&self, fields: &[TermField]) -> bool {
        let of_entries = fields.iter().filter_map(|field| self.in_entries(field));
        let missing: Vec<_> = of_entries.filter(|field| self.fields.complete(field).is_none()).collect();
        let is_ready = missing.is_empty();
        if !is_ready {
            self.index.want_terms(missing);
        }
        is_ready
    }

    /// The ids of the documents that can have what is needed, each once, in no order: all that have it, and perhaps
    /// others. `None` when terms do not tell, or reading all documents costs no more.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn ids(&self, need: &Need) -> Result<Option<Vec<DocumentId>>, IndexError> {
        let Some(need) = self.need_in_entries(need) else { return Ok(None) };
        let finder = Finder { view: self.view.kv(), slot: self.index.slot(), fields: &self.fields };
        let mut found = Vec::new();
        let mut keep = |subject: &[u8]| {
            let id = parse_entry_key(subject)?.0;
            if !self.changed.contains(id) {
                found.push(DocumentId::new(id)?);
            }
            Ok::<(), IndexError>(())
        };
        match finder.subjects(&need, self.progress.results)? {
            None => return Ok(None),
            Some(Subjects::Listed(subjects)) => subjects.iter().try_for_each(|subject| keep(subject))?,
            Some(Subjects::Merged(mut merged)) => {
                let most = usize::try_from(self.progress.results / 4).unwrap_or(usize::MAX);
                let most = most.clamp(limits::TERM_SUBJECTS_MIN, limits::TERM_SUBJECTS_MAX);
                let (mut after, mut count) = (Vec::new(), 0);
                while let Some(subject) = merged.seek(&after)? {
                    count += 1;
                    if count > most {
                        return Ok(None);
                    }
                    keep(&subject)?;
                    after = [subject.as_slice(), &[0]].concat();
                }
            }
        }
        found.extend(self.tail.iter().map(|document| document.id.clone()));
        Ok(Some(found))
    }

    /// How many documents have this single term in a field; `None` when that is not known without counting.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn count(&self, field: &TermField, term: &TermSpan) -> Result<Option<u64>, IndexError> {
        let Some(field) = self.in_entries(field) else { return Ok(None) };
        let Some(count) = self.index.count_of_term(self.view, &field, term)? else { return Ok(None) };
        self.corrected(count, |entry| terms(&field, entry).contains_key(&term.from)).map(Some)
    }

    /// The documents that the index tells of in the order of a field, but for those of the tail; `None` when its terms are
    /// not there.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn in_order(
        &self,
        field: &TermField,
        descending: bool,
    ) -> Result<Option<PlacedDocuments<'_>>, IndexError> {
        let Some(field) = self.in_entries(field) else { return Ok(None) };
        let Some(number) = self.fields.complete(&field) else { return Ok(None) };
        let slot = self.index.slot();
        let [from, to] =
            [Class::Other as u8, Class::Other as u8 + 1].map(|class| posting_key(slot, number, &[class]));
        let mut left_out = 0;
        for row in self.view.kv().scan(Space::Index, &from, &to, Direction::Forward) {
            row?;
            left_out += 1;
        }
        let other = closed(Class::Other, &[]);
        let left_out = self.corrected(left_out, |entry| terms(&field, entry).contains_key(&other))?;
        let finder = Finder { view: self.view.kv(), slot, fields: &self.fields };
        let is_single = finder.is_single(&field)?;
        let walk = Walk::new(self.view.kv(), slot, number, &field, descending);
        let rows = walk.filter_map(move |visit| {
            let placed = visit.and_then(|visit| {
                let id = parse_entry_key(&visit.subject)?.0;
                if self.changed.contains(id) {
                    return Ok(None);
                }
                // One with several terms is visited at each of them.
                if !is_single {
                    let terms: Terms = self.entry(id)?.map(|entry| terms(&field, &entry)).unwrap_or_default();
                    if best(&terms, descending) != Some(visit.term.as_slice()) {
                        return Ok(None);
                    }
                }
                Ok(Some(PlacedDocument { id: DocumentId::new(id)?, group: visit.group }))
            });
            placed.transpose()
        });
        Ok(Some(PlacedDocuments { rows: Box::new(rows), left_out }))
    }

    /// A count of entries as the index has them, made one of documents as they are now.
    fn corrected(&self, count: u64, counts: impl Fn(&Json) -> bool) -> Result<u64, IndexError> {
        if self.changed.is_empty() {
            return Ok(count);
        }
        let (old, new) = self.changed_entries()?;
        let of = |entries: &[Json]| entries.iter().filter(|entry| counts(entry)).count() as u64;
        Ok((count + of(new)).saturating_sub(of(old)))
    }

    /// The entries of what changed: as the index has them, and as they will be.
    fn changed_entries(&self) -> Result<&(Vec<Json>, Vec<Json>), IndexError> {
        if let Some(entries) = self.entries.get() {
            return Ok(entries);
        }
        let old = self.changed.iter().filter_map(|id| self.entry(id).transpose());
        let old = old.collect::<Result<_, _>>()?;
        let new = self.tail.iter().map(|document| self.source.entry(document)).collect();
        Ok(self.entries.get_or_init(|| (old, new)))
    }

    fn entry(&self, id: &str) -> Result<Option<Json>, IndexError> {
        let key = self.index.slot().key(Kind::MapOutput, &entry_key(id, 0));
        let row = self.view.kv().get(Space::Index, &key)?;
        row.map_or(Ok(None), |row| visible(Kind::MapOutput, &row))
    }

    /// The field of the entries for one of documents; `None` when the index has it not, or under its name another one.
    fn in_entries(&self, field: &TermField) -> Option<TermField> {
        let name = TermField { family: Family::Text, path: field.path.clone() }.to_string();
        let is_it = self.definition.fields.has(&name) && path_of(&name) == field.path;
        is_it.then(|| TermField { family: field.family, path: vec![Step::Member(name)] })
    }

    /// The part of a need that the index can tell of.
    fn need_in_entries(&self, need: &Need) -> Option<Need> {
        match need {
            Need::Spans(field, spans) => Some(Need::Spans(self.in_entries(field)?, spans.clone())),
            Need::And(needs) => {
                let needs: Vec<_> = needs.iter().filter_map(|need| self.need_in_entries(need)).collect();
                (!needs.is_empty()).then_some(Need::And(needs))
            }
            Need::Or(needs) => {
                needs.iter().map(|need| self.need_in_entries(need)).collect::<Option<_>>().map(Need::Or)
            }
        }
    }
}

/// The fields of entries for fields of documents: what is wanted of an index that is not there yet.
#[must_use]
pub fn in_entries(fields: &[TermField]) -> Vec<TermField> {
    let of = |field: &TermField| {
        let name = TermField { family: Family::Text, path: field.path.clone() }.to_string();
        (path_of(&name) == field.path)
            .then(|| TermField { family: field.family, path: vec![Step::Member(name)] })
    };
    fields.iter().filter_map(of).collect()
}
