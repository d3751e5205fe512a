//! Bringing all documents of an output in line with the results of a build: once, in steps, each one batch.
//!
//! The state row says how far that is: `0` then the last name done (outputs), `1` then the last lower-cased id done
//! (reference documents), `2` and `3` then two etags: where the search for documents that no result stands behind goes
//! on, and where it ends (those written later are right already).

use super::references::{self, Referenced};
use super::{OutputCollection, OutputDocument, OutputRow, documents, value};
use crate::error::IndexError;
use crate::keys::{Kind, rest};
use crate::limits::{BATCH_BYTES_MAX, OUTPUT_STEP_ROWS_MAX};
use crate::stored_result::StoredResult;
use magpie_store::kv::{Batch, Direction, Space};
use magpie_store::{Collection, CollectionFilter, Command, DatabaseView, Document, Etag};

/// One step.
pub(crate) struct Step {
    /// The rows to commit.
    pub batch: Batch,
    /// The documents to write with them.
    pub documents: Vec<Command>,
    /// Whether it was the last step.
    pub finished: bool,
}

/// Where the next step begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Outputs { after: Vec<u8> },
    References { after: Vec<u8> },
    Strays { in_references: bool, after: Etag, end: Etag },
}

impl State {
    const START: Self = Self::Outputs { after: Vec::new() };

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Outputs { after } => [&[0], after.as_slice()].concat(),
            Self::References { after } => [&[1], after.as_slice()].concat(),
            Self::Strays { in_references, after, end } => {
                let kind = 2 + u8::from(*in_references);
                [&[kind], after.0.to_be_bytes().as_slice(), &end.0.to_be_bytes()].concat()
            }
        }
    }

    fn decode(row: &[u8]) -> Result<Self, IndexError> {
        let corrupt = || IndexError::Corrupt("the state of output documents".to_owned());
        let (kind, cursor) = row.split_first().ok_or_else(corrupt)?;
        Ok(match kind {
            0 => Self::Outputs { after: cursor.to_vec() },
            1 => Self::References { after: cursor.to_vec() },
            2 | 3 => {
                let (after, end) = cursor.split_first_chunk::<8>().ok_or_else(corrupt)?;
                let etag = |bytes: [u8; 8]| Etag(u64::from_be_bytes(bytes));
                let end = etag(end.try_into().map_err(|_| corrupt())?);
                Self::Strays { in_references: *kind == 3, after: etag(*after), end }
            }
            _ => return Err(corrupt()),
        })
    }
}

impl OutputCollection {
    /// The next step of bringing the documents in line. The last one removes the state row.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn step(&self, view: &DatabaseView<'_>) -> Result<Step, IndexError> {
        let state_key = self.slot.key(Kind::OutputState, &[]);
        let state = view.kv().get(Space::Index, &state_key)?;
        let state = state.map_or(Ok(State::START), |row| State::decode(&row))?;
        let mut step = Step { batch: Batch::new(), documents: Vec::new(), finished: false };
        let next = match state {
            State::Outputs { after } => self.outputs(view, &after, &mut step)?,
            State::References { after } => self.reference_documents(view, &after, &mut step)?,
            State::Strays { in_references, after, end } => {
                self.strays(view, in_references, (after, end), &mut step)?
            }
        };
        match next {
            Some(next) => step.batch.put(Space::Index, state_key, next.encode()),
            None => {
                step.finished = true;
                step.batch.delete(Space::Index, state_key);
            }
        }
        Ok(step)
    }

    fn outputs(
        &self,
        view: &DatabaseView<'_>,
        after: &[u8],
        step: &mut Step,
    ) -> Result<Option<State>, IndexError> {
        let (_, to) = self.slot.range_of(Kind::OutputDocument);
        let from = self.slot.key(Kind::OutputDocument, &behind_name(after));
        let mut bytes = 0;
        for (count, row) in view.kv().scan(Space::Index, &from, &to, Direction::Forward).enumerate() {
            let (key, row) = row?;
            let name = rest(&key)?;
            let row = OutputRow::decode(&row)?;
            let result = view.kv().get(Space::Index, &self.slot.key(Kind::Result, &row.reduce_key))?;
            let result = result.map(|row| StoredResult::decode(&row)).transpose()?;
            let result = result.as_ref().and_then(StoredResult::visible);
            bytes += result.map_or(0, <[u8]>::len);
            let name = name.try_into().map_err(|_| IndexError::Corrupt("an output's name".to_owned()))?;
            let document = OutputDocument { id: self.id_of(name), collection: &self.collection };
            let (command, fault) = document.follow(view, result.map(value).transpose()?)?;
            documents::note(self.slot, &document.id, fault.as_ref(), view, &mut step.batch)?;
            step.documents.extend(command);
            if count + 1 >= OUTPUT_STEP_ROWS_MAX || bytes > BATCH_BYTES_MAX {
                return Ok(Some(State::Outputs { after: name.to_vec() }));
            }
        }
        Ok(Some(State::References { after: Vec::new() }))
    }

    fn reference_documents(
        &self,
        view: &DatabaseView<'_>,
        after: &[u8],
        step: &mut Step,
    ) -> Result<Option<State>, IndexError> {
        let strays = State::Strays { in_references: false, after: Etag(0), end: view.last_etag() };
        let Some((_, collection)) = &self.references else { return Ok(Some(strays)) };
        let (mut from, to) = self.slot.range_of(Kind::OutputReference);
        if !after.is_empty() {
            from = behind_id(&self.slot.key(Kind::OutputReference, after));
        }
        let mut rows = 0;
        while let Some(row) = view.kv().scan(Space::Index, &from, &to, Direction::Forward).next() {
            let (key, value) = row?;
            let (id_key, ..) = references::decode(&key, &value)?;
            let referenced = Referenced::read(view.kv(), self.slot, &id_key)?;
            rows += referenced.outputs.len();
            let command = references::follow(
                view,
                self.slot,
                collection,
                &referenced.id,
                referenced.outputs,
                &mut step.batch,
            )?;
            step.documents.extend(command);
            if rows >= OUTPUT_STEP_ROWS_MAX {
                return Ok(Some(State::References { after: id_key.into_bytes() }));
            }
            from = behind_id(&self.slot.key(Kind::OutputReference, id_key.as_bytes()));
        }
        Ok(Some(strays))
    }

    /// Deletes documents that an index made and that no result of this build stands behind.
    fn strays(
        &self,
        view: &DatabaseView<'_>,
        in_references: bool,
        (after, end): (Etag, Etag),
        step: &mut Step,
    ) -> Result<Option<State>, IndexError> {
        let collection = match (&self.references, in_references) {
            (Some((_, references)), true) => references,
            (None, true) => return Ok(None),
            (_, false) => &self.collection,
        };
        let mut looked_at = 0;
        let filter = CollectionFilter::Named(vec![collection.clone()]);
        for document in view.documents_in_etag_order(&filter, after)? {
            let document = document?;
            if document.etag > end {
                break;
            }
            if document.is_artificial() && self.is_stray(view, in_references, &document)? {
                step.documents.push(delete(view, &document));
            }
            looked_at += 1;
            if looked_at >= OUTPUT_STEP_ROWS_MAX {
                return Ok(Some(State::Strays { in_references, after: document.etag, end }));
            }
        }
        let references = State::Strays { in_references: true, after: Etag(0), end: view.last_etag() };
        Ok((!in_references && self.references.is_some()).then_some(references))
    }

    fn is_stray(
        &self,
        view: &DatabaseView<'_>,
        in_references: bool,
        document: &Document,
    ) -> Result<bool, IndexError> {
        if in_references {
            let id_key = document.id.as_str().to_lowercase();
            return Ok(Referenced::read(view.kv(), self.slot, &id_key)?.outputs.is_empty());
        }
        match self.name_in(document.id.key()) {
            Some(name) => Ok(OutputRow::read(view.kv(), self.slot, &name)?.is_none()),
            None => Ok(true),
        }
    }
}

/// The command that deletes a document which an index made, as it is in the snapshot.
pub(super) fn delete(view: &DatabaseView<'_>, document: &Document) -> Command {
    let expected = magpie_store::ChangeVector::new(document.etag, view.database_id());
    Command::Delete { id: document.id.as_str().to_owned(), expected: Some(expected.as_str().to_owned()) }
}

/// Up to [`OUTPUT_STEP_ROWS_MAX`] commands that delete documents of a collection which an index made.
///
/// # Errors
/// When the store fails.
pub(super) fn deletions(
    view: &DatabaseView<'_>,
    collection: &Collection,
) -> Result<Vec<Command>, IndexError> {
    let filter = CollectionFilter::Named(vec![collection.clone()]);
    let mut commands = Vec::new();
    for document in view.documents_in_etag_order(&filter, Etag(0))? {
        let document = document?;
        if document.is_artificial() {
            commands.push(delete(view, &document));
        }
        if commands.len() >= OUTPUT_STEP_ROWS_MAX {
            break;
        }
    }
    Ok(commands)
}

/// The first key of the next name; all names for none.
fn behind_name(name: &[u8]) -> Vec<u8> {
    if name.is_empty() { Vec::new() } else { [name, &[0]].concat() }
}

/// The first key behind all rows of one id: the byte behind the zero that ends it.
fn behind_id(key: &[u8]) -> Vec<u8> {
    [key, &[1]].concat()
}
