//! Results as documents of a collection (`OutputReduceToCollection`), for other indexes to map: chains of any length.
//!
//! The documents are a function of the results: one for each reduce key, `{collection}/{n}/{m}`, where the numbers are
//! 128 bits of a hash of the key. So they have the same ids whatever build of the index made them, in whatever order.
//! A document is written when it differs from what is there, and deleted with its key, in the batch that changes the
//! result: nobody ever sees one without the other.
//!
//! A build is silent at first: it writes no documents. When it has caught up and is the live one, it goes over all
//! results once and brings the documents in line (`follow_up.rs`), then keeps them so. Hence an index that is changed or
//! reset leaves its documents as they are until the new ones are known, and whoever maps them never sees two
//! generations of one result. Until then everything behind it in the chain counts as stale.
//!
//! With `PatternForOutputReduceToCollectionReferences` a second kind of document, under an id made of fields of the
//! result, names the output documents that share the id.

pub(crate) mod cleanup;
pub mod pattern;

mod check;
mod documents;
mod follow_up;
mod references;

use crate::definition::IndexDefinition;
use crate::error::IndexError;
use crate::keys::{Kind, Reader, Slot, put_bytes};
use documents::OutputDocument;
use magpie_store::json::{Json, parse_stored};
use magpie_store::kv::{Batch, Space, View};
use magpie_store::{Collection, Command, DatabaseView};
use pattern::Pattern;
pub(crate) use references::ReferenceChanges;

/// The 128 bits that name the document of a reduce key.
type Name = [u8; 16];

/// The collection of the documents that name output documents, when the definition gives none.
const REFERENCES_SUFFIX: &str = "/References";

/// Where and how an index writes its results as documents.
#[derive(Debug, Clone)]
pub(crate) struct OutputCollection {
    slot: Slot,
    /// The collection of the output documents.
    pub collection: Collection,
    /// The pattern of the ids of reference documents, and their collection.
    pub references: Option<(Pattern, Collection)>,
}

/// A result that changed, as of the snapshot that the batch is made on.
pub(crate) struct ResultChange<'a> {
    pub view: &'a DatabaseView<'a>,
    /// In its ordered form.
    pub reduce_key: &'a [u8],
    /// The new result in its stored text; `None` when there is none any more.
    pub result: Option<&'a [u8]>,
}

impl OutputCollection {
    /// The output of a build; `None` when its definition has none.
    ///
    /// # Errors
    /// [`IndexError::InvalidDefinition`] when a collection's name or the pattern is not allowed.
    pub fn new(slot: Slot, definition: &IndexDefinition) -> Result<Option<Self>, IndexError> {
        let Some(name) = definition.output_collection() else { return Ok(None) };
        let invalid =
            |reason: String| IndexError::InvalidDefinition { name: definition.name.clone(), reason };
        let collection = Collection::new(name).map_err(|error| invalid(error.to_string()))?;
        let references = match definition.pattern_for_output_reduce_to_collection_references.as_deref() {
            None | Some("") => None,
            Some(text) => {
                let pattern = Pattern::parse(text)
                    .map_err(|error| IndexError::Pattern { name: definition.name.clone(), error })?;
                let name = match definition.pattern_references_collection_name.as_deref() {
                    None | Some("") => format!("{}{REFERENCES_SUFFIX}", collection.as_str()),
                    Some(name) => name.to_owned(),
                };
                let references = Collection::new(&name).map_err(|error| invalid(error.to_string()))?;
                Some((pattern, references))
            }
        };
        Ok(Some(Self { slot, collection, references }))
    }

    /// The collections that it writes to.
    pub fn collections(&self) -> impl Iterator<Item = &Collection> {
        std::iter::once(&self.collection).chain(self.references.iter().map(|(_, collection)| collection))
    }

    /// Has rows and documents follow a changed result. The rows always do; documents only when `writes`.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn follow(
        &self,
        change: &ResultChange<'_>,
        writes: bool,
        references: &mut ReferenceChanges,
        batch: &mut Batch,
    ) -> Result<Vec<Command>, IndexError> {
        let name = name_of(change.reduce_key);
        let result = change.result.map(value).transpose()?;
        let old = OutputRow::read(change.view.kv(), self.slot, &name)?;
        if old.as_ref().is_some_and(|old| old.reduce_key != change.reduce_key) {
            return Err(IndexError::Corrupt("two reduce keys whose output documents have one id".to_owned()));
        }
        let reference = result.as_ref().and_then(|result| self.reference_id(result));
        let new = result.as_ref().map(|_| OutputRow {
            reduce_key: change.reduce_key.to_vec(),
            reference: reference.clone().unwrap_or_default(),
        });
        if old != new {
            let row_key = self.slot.key(Kind::OutputDocument, &name);
            match &new {
                Some(new) => batch.put(Space::Index, row_key, new.encode()),
                None => batch.delete(Space::Index, row_key),
            }
        }
        let old_reference = old.map(|old| old.reference).filter(|id| !id.is_empty());
        references.change(self.slot, &name, old_reference, reference, self.id_of(&name), batch);
        if !writes {
            return Ok(Vec::new());
        }
        let document = OutputDocument { id: self.id_of(&name), collection: &self.collection };
        let (command, fault) = document.follow(change.view, result)?;
        documents::note(self.slot, &document.id, fault.as_ref(), change.view, batch)?;
        Ok(command.into_iter().collect())
    }

    /// Writes the reference documents that a batch changed.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn finish(
        &self,
        view: &DatabaseView<'_>,
        writes: bool,
        references: ReferenceChanges,
        batch: &mut Batch,
    ) -> Result<Vec<Command>, IndexError> {
        match &self.references {
            Some((_, collection)) if writes => references.documents(view, self.slot, collection, batch),
            _ => Ok(Vec::new()),
        }
    }

    /// The id of the output document with this name.
    fn id_of(&self, name: &Name) -> String {
        let (high, low) = halves(name);
        format!("{}/{high}/{low:020}", self.collection.as_str())
    }

    /// The name in the id of an output document of this collection.
    fn name_in(&self, id_key: &str) -> Option<Name> {
        let numbers = id_key.strip_prefix(self.collection.key())?.strip_prefix('/')?;
        let (high, low) = numbers.split_once('/')?;
        let (high, low) = (high.parse::<u64>().ok()?, low.parse::<u64>().ok()?);
        let name = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        // Only the one way to write the numbers is an id.
        (format!("{high}/{low:020}") == numbers).then_some(name)
    }

    /// The id of the reference document of a result, if the pattern gives one.
    fn reference_id(&self, result: &Json) -> Option<String> {
        let (pattern, _) = self.references.as_ref()?;
        pattern.id(result.as_object()?)
    }
}

/// The reduce key whose result an output document is; `None` when the build knows no such document.
///
/// # Errors
/// When the store fails or a row is damaged.
pub(crate) fn reduce_key_of(
    view: &dyn View,
    output: &OutputCollection,
    id_key: &str,
) -> Result<Option<Vec<u8>>, IndexError> {
    let Some(name) = output.name_in(id_key) else { return Ok(None) };
    Ok(OutputRow::read(view, output.slot, &name)?.map(|row| row.reduce_key))
}

/// The value of an output document's row: its reduce key and the id of its reference document (empty: none).
#[derive(Debug, Clone, PartialEq, Eq)]
struct OutputRow {
    reduce_key: Vec<u8>,
    reference: String,
}

impl OutputRow {
    fn read(view: &dyn View, slot: Slot, name: &Name) -> Result<Option<Self>, IndexError> {
        let row = view.get(Space::Index, &slot.key(Kind::OutputDocument, name))?;
        row.map(|row| Self::decode(&row)).transpose()
    }

    fn decode(row: &[u8]) -> Result<Self, IndexError> {
        let mut reader = Reader(row);
        let reduce_key = reader.bytes()?.to_vec();
        let reference = std::str::from_utf8(reader.bytes()?);
        let reference = reference.map_err(|_| IndexError::Corrupt("an output document's row".to_owned()))?;
        Ok(Self { reduce_key, reference: reference.to_owned() })
    }

    fn encode(&self) -> Vec<u8> {
        let mut row = Vec::new();
        put_bytes(&self.reduce_key, &mut row);
        put_bytes(self.reference.as_bytes(), &mut row);
        row
    }
}

fn name_of(reduce_key: &[u8]) -> Name {
    let mut name = Name::default();
    for (to, from) in name.iter_mut().zip(blake3::hash(reduce_key).as_bytes()) {
        *to = *from;
    }
    name
}

fn halves(name: &Name) -> (u64, u64) {
    let whole = u128::from_be_bytes(*name);
    #[expect(clippy::cast_possible_truncation, reason = "the halves are what is asked for")]
    let halves = ((whole >> 64) as u64, whole as u64);
    halves
}

fn value(stored: &[u8]) -> Result<Json, IndexError> {
    parse_stored(stored).map_err(|error| IndexError::Corrupt(format!("a result: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_to_names() {
        let definition = IndexDefinition {
            reduce: Some("groupBy(x => x.a).aggregate(g => ({ a: g.key }))".to_owned()),
            output_reduce_to_collection: Some("Daily".to_owned()),
            ..IndexDefinition::default()
        };
        let output = OutputCollection::new(Slot(1), &definition).unwrap().unwrap();
        for key in [&b""[..], b"a", b"b"] {
            let name = name_of(key);
            let id = output.id_of(&name);
            assert_eq!(output.name_in(&id.to_lowercase()), Some(name), "{id}");
        }
        assert_eq!(output.id_of(&[0; 16]), "Daily/0/00000000000000000000");
        for foreign in
            ["daily/0/0", "daily/00/00000000000000000000", "daily/1", "other/0/00000000000000000000"]
        {
            assert_eq!(output.name_in(foreign), None, "{foreign}");
        }
    }
}
