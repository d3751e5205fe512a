//! Reference documents: under an id made of fields of results, the output documents that share it.

use super::Name;
use super::documents::{self, OutputDocument};
use crate::error::IndexError;
use crate::function::{FunctionError, FunctionErrorKind};
use crate::keys::{Kind, Reader, Slot, behind, put_bytes, rest};
use crate::limits::OUTPUT_REFERENCES_MAX;
use magpie_store::json::{Json, Object};
use magpie_store::kv::{Batch, Direction, Space, View};
use magpie_store::{Collection, Command, DatabaseView};
use std::collections::BTreeMap;

/// The field of a reference document with the ids of its output documents.
const REDUCE_OUTPUTS: &str = "ReduceOutputs";

/// The reference documents that a batch changes, by lower-cased id: the output documents that come and go. The rows in
/// the batch do not show in its snapshot, so they are kept here, too.
#[derive(Debug, Default)]
pub(crate) struct ReferenceChanges {
    changed: BTreeMap<String, Changed>,
}

#[derive(Debug, Default)]
struct Changed {
    /// The id as written.
    id: String,
    /// Output documents by name: `Some` with its id when it joins, `None` when it leaves.
    outputs: BTreeMap<Name, Option<String>>,
}

impl ReferenceChanges {
    /// Takes in that the output document moves from one reference document to another; writes the rows.
    pub fn change(
        &mut self,
        slot: Slot,
        name: &Name,
        old: Option<String>,
        new: Option<String>,
        output_id: String,
        batch: &mut Batch,
    ) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            batch.delete(Space::Index, row_key(slot, &old.to_lowercase(), name));
            self.entry(old).outputs.insert(*name, None);
        }
        if let Some(new) = new {
            let row = encode(&new, &output_id);
            batch.put(Space::Index, row_key(slot, &new.to_lowercase(), name), row);
            self.entry(new).outputs.insert(*name, Some(output_id));
        }
    }

    fn entry(&mut self, id: String) -> &mut Changed {
        let changed = self.changed.entry(id.to_lowercase()).or_default();
        if changed.id.is_empty() {
            changed.id = id;
        }
        changed
    }

    /// The commands that bring the reference documents in line.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn documents(
        self,
        view: &DatabaseView<'_>,
        slot: Slot,
        collection: &Collection,
        batch: &mut Batch,
    ) -> Result<Vec<Command>, IndexError> {
        let mut commands = Vec::new();
        for (key, changed) in self.changed {
            let stored = Referenced::read(view.kv(), slot, &key)?;
            let mut outputs = stored.outputs;
            for (name, output) in changed.outputs {
                match output {
                    Some(id) => outputs.insert(name, id),
                    None => outputs.remove(&name),
                };
            }
            let id = if stored.id.is_empty() { changed.id } else { stored.id };
            commands.extend(follow(view, slot, collection, &id, outputs, batch)?);
        }
        Ok(commands)
    }
}

fn encode(reference: &str, output_id: &str) -> Vec<u8> {
    let mut row = Vec::new();
    put_bytes(reference.as_bytes(), &mut row);
    put_bytes(output_id.as_bytes(), &mut row);
    row
}

/// Whether the row stands that has a reference document name an output document.
///
/// # Errors
/// When the store fails.
pub(super) fn is_named(
    view: &dyn View,
    slot: Slot,
    name: &Name,
    reference: &str,
    output_id: &str,
) -> Result<bool, IndexError> {
    let row = view.get(Space::Index, &row_key(slot, &reference.to_lowercase(), name))?;
    Ok(row.is_some_and(|row| row == encode(reference, output_id)))
}

/// The output documents of one reference document as stored.
#[derive(Debug, Default)]
pub(super) struct Referenced {
    /// Its id as the first output document writes it; empty when it has none.
    pub id: String,
    /// The ids of the output documents by name.
    pub outputs: BTreeMap<Name, String>,
}

impl Referenced {
    /// Reads at most one more than may be named.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn read(view: &dyn View, slot: Slot, id_key: &str) -> Result<Self, IndexError> {
        let prefix = slot.key(Kind::OutputReference, &[id_key.as_bytes(), &[0]].concat());
        let mut found = Self::default();
        // What follows the prefix is 16 bytes of any value.
        let to = [behind(&prefix), vec![0xFF; 16]].concat();
        for row in view.scan(Space::Index, &prefix, &to, Direction::Forward).take(OUTPUT_REFERENCES_MAX + 1) {
            let (key, value) = row?;
            let (_, name, id, output) = decode(&key, &value)?;
            if found.id.is_empty() {
                found.id = id;
            }
            found.outputs.insert(name, output);
        }
        Ok(found)
    }
}

/// The command that makes a reference document name exactly these output documents.
///
/// # Errors
/// When the store fails.
pub(super) fn follow(
    view: &DatabaseView<'_>,
    slot: Slot,
    collection: &Collection,
    id: &str,
    outputs: BTreeMap<Name, String>,
    batch: &mut Batch,
) -> Result<Option<Command>, IndexError> {
    let document = OutputDocument { id: id.to_owned(), collection };
    let too_many = outputs.len() > OUTPUT_REFERENCES_MAX;
    let content = (!outputs.is_empty() && !too_many).then(|| {
        let outputs: Vec<Json> = outputs.into_values().map(Json::String).collect();
        Json::Object(Object::from_iter([(REDUCE_OUTPUTS, Json::Array(outputs))]))
    });
    let (command, mut fault) = document.follow(view, content)?;
    if too_many {
        fault = Some(FunctionError {
            kind: FunctionErrorKind::Limit,
            message: format!(
                "more than {OUTPUT_REFERENCES_MAX} results have the reference document '{id}' \
                 (output_references_max); put more fields into PatternForOutputReduceToCollectionReferences"
            ),
            position: None,
        });
    }
    documents::note(slot, id, fault.as_ref(), view, batch)?;
    Ok(command)
}

/// The lower-cased id of the reference document, the output document's name, and both ids of one row.
pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<(String, Name, String, String), IndexError> {
    let corrupt = || IndexError::Corrupt("a row of a reference document".to_owned());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| corrupt());
    let (before, name) = rest(key)?.split_last_chunk::<16>().ok_or_else(corrupt)?;
    let id_key = before.strip_suffix(&[0]).ok_or_else(corrupt)?;
    let mut reader = Reader(value);
    Ok((text(id_key)?, *name, text(reader.bytes()?)?, text(reader.bytes()?)?))
}

fn row_key(slot: Slot, id_key: &str, name: &Name) -> Vec<u8> {
    slot.key(Kind::OutputReference, &[id_key.as_bytes(), &[0], name].concat())
}
