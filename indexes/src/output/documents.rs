//! One artificial document: what it must be, against what is there.

use crate::error::IndexError;
use crate::faults::FaultAction;
use crate::function::{FunctionError, FunctionErrorKind};
use crate::keys::Slot;
use magpie_store::json::{Json, Object};
use magpie_store::kv::Batch;
use magpie_store::{
    ChangeVector, Collection, Command, DatabaseView, Document, DocumentId, NewDocument, Timestamp,
};

/// The flags of documents that indexes make.
///
/// Source: RavenDB writes them so.
const FLAGS: &str = "Artificial, FromIndex";
const METADATA: &str = "@metadata";

/// A document that an index makes.
pub(super) struct OutputDocument<'a> {
    pub id: String,
    pub collection: &'a Collection,
}

/// What it takes to bring a document in line: the command, if it differs; and why it cannot be.
pub(super) type Followed = (Option<Command>, Option<FunctionError>);

impl OutputDocument<'_> {
    /// The command that makes the document what it must be (`None`: gone), if it is not already.
    ///
    /// # Errors
    /// When the store fails.
    pub fn follow(&self, view: &DatabaseView<'_>, content: Option<Json>) -> Result<Followed, IndexError> {
        let Ok(id) = DocumentId::new(&self.id) else {
            return Ok((None, Some(refused(format!("'{}' cannot be the id of a document", self.id)))));
        };
        let existing = view.document(&id)?;
        if let Some(existing) = existing.as_ref().filter(|existing| !self.owns(existing)) {
            let why = format!(
                "the document '{}' of collection '{}' has the id of a document that this index makes; delete or move it",
                existing.id, existing.collection
            );
            return Ok((None, content.map(|_| refused(why))));
        }
        let expected = existing.as_ref().map_or_else(String::new, |existing| {
            ChangeVector::new(existing.etag, view.database_id()).as_str().to_owned()
        });
        let (document, fault) = match content.map(|content| self.document(content)).transpose() {
            Ok(document) => (document, None),
            Err(error) => (None, Some(error)),
        };
        let command = match (document, existing) {
            (Some(document), Some(existing)) if document.is_content_of(&existing) => None,
            (Some(document), _) => {
                Some(Command::Put { id: self.id.clone(), document, expected: Some(expected) })
            }
            (None, Some(_)) => Some(Command::Delete { id: self.id.clone(), expected: Some(expected) }),
            (None, None) => None,
        };
        Ok((command, fault))
    }

    fn owns(&self, document: &Document) -> bool {
        document.collection == *self.collection && document.is_artificial()
    }

    fn document(&self, content: Json) -> Result<NewDocument, FunctionError> {
        let Json::Object(mut fields) = content else {
            return Err(refused("a result that is no object cannot be a document".to_owned()));
        };
        if fields.get(METADATA).is_some() {
            return Err(refused(format!("a result with a field '{METADATA}' cannot be a document")));
        }
        let metadata: Object =
            [("@collection", Json::from(self.collection.as_str())), ("@flags", FLAGS.into())]
                .into_iter()
                .collect();
        fields.insert(METADATA, metadata);
        NewDocument::from_json(&self.id, Json::Object(fields)).map_err(|error| refused(error.to_string()))
    }
}

fn refused(message: String) -> FunctionError {
    FunctionError { kind: FunctionErrorKind::Run, message, position: None }
}

/// Records why a document cannot be made, or that it can.
///
/// # Errors
/// When the store fails.
pub(super) fn note(
    slot: Slot,
    id: &str,
    fault: Option<&FunctionError>,
    view: &DatabaseView<'_>,
    batch: &mut Batch,
) -> Result<(), IndexError> {
    let key = id.to_lowercase();
    match fault {
        // These errors have no time of their own: they stand for a state, not for an event.
        Some(error) => FaultAction::Output.record(slot, key.as_bytes(), id, error, Timestamp(0), batch),
        None if FaultAction::Output.is_recorded(view.kv(), slot, key.as_bytes())? => {
            FaultAction::Output.clear(slot, key.as_bytes(), batch);
        }
        None => {}
    }
    Ok(())
}
