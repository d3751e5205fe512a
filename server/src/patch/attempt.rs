//! Working out what a batch with patches writes, in front of one snapshot.
//!
//! The commands of the batch see what those before them did, through an overlay over the snapshot. Whatever is read of
//! the snapshot is remembered with its change vector, and becomes a check in front of the writes.

use super::Item;
use super::command::{PatchCommand, Script};
use super::counters::{Counters, Incremented};
use super::failure::PatchFailure;
use super::json_patch::{self, JsonPatchCommand};
use crate::error::ServerError;
use crate::limits::{PATCH_BATCH_BYTES_MAX, PATCH_BATCH_MS_MAX};
use magpie_indexes::Loads;
use magpie_indexes::patches::Patches;
use magpie_indexes::script::patch::{Effect, PatchInput, PatchRun};
use magpie_store::json::{Json, Object};
use magpie_store::{
    ChangeVector, Collection, Command, CounterAction, CounterOperation, DatabaseView, Document, DocumentId,
    NewDocument, StoreError, Timestamp,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// Metadata that is no content of a document.
const OWN_METADATA: [&str; 3] = ["@id", "@change-vector", "@last-modified"];

/// The names of a document's counters in its metadata.
const COUNTERS: &str = "@counters";

/// What an item of a batch did.
#[derive(Debug)]
pub(crate) enum Done {
    /// A write, whose outcome has this place.
    Write(usize),
    /// A patch.
    Patch(Box<Patched>),
    /// Checks of documents that the client has read.
    Track,
    /// A patch without a script.
    JsonPatch(Box<Patched>),
    /// Patches of several documents.
    Batch,
}

/// What became of a document that was to be patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// There is none, and nothing for that case.
    DocumentDoesNotExist,
    /// It was made.
    Created,
    /// It was changed.
    Patched,
    /// It was not the expected one.
    Skipped,
    /// The script left it as it was.
    NotModified,
}

impl Status {
    /// Its name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::DocumentDoesNotExist => "DocumentDoesNotExist",
            Self::Created => "Created",
            Self::Patched => "Patched",
            Self::Skipped => "Skipped",
            Self::NotModified => "NotModified",
        }
    }
}

/// A document that was patched, or not.
#[derive(Debug)]
pub(crate) struct Patched {
    /// Its id as the request spells it.
    pub(crate) id: String,
    /// What became of it.
    pub(crate) status: Status,
    /// Whether the answer has the document.
    pub(crate) return_document: bool,
    /// Whether the answer has all that the script did.
    pub(crate) details: bool,
    /// The place of its write's outcome, if it was written.
    pub(crate) outcome: Option<usize>,
    /// The document before, if there was one and details are asked for, without what the store adds to its metadata.
    pub(crate) original: Option<Json>,
    /// The document afterwards, likewise, if it is asked for.
    pub(crate) modified: Option<Json>,
    /// What the script did, if one ran and details are asked for.
    pub(crate) run: Option<PatchRun>,
    /// What it added to counters, likewise.
    pub(crate) increments: Vec<Incremented>,
}

/// One try to work out a batch.
pub(super) struct Attempt<'a> {
    patches: &'a Patches,
    view: &'a DatabaseView<'a>,
    now: Timestamp,
    seed: u64,
    deadline: Instant,
    /// What the batch wrote so far, by lower-cased id; `None` for a deleted document.
    written: HashMap<Box<str>, Option<Arc<Document>>>,
    written_bytes: usize,
    /// Lower-cased beginnings of ids that the batch deleted.
    deleted_prefixes: Vec<Box<str>>,
    /// What it read of the snapshot, by lower-cased id: the id and the change vector (empty = missing).
    read: BTreeMap<Box<str>, (DocumentId, String)>,
    counters: Counters,
    commands: Vec<Command>,
    /// What went wrong in a load, which cannot tell its script.
    failure: Option<StoreError>,
}

/// The change vector of a document; empty when there is none.
pub(super) fn change_vector(document: Option<&Document>, database_id: &str) -> String {
    document.map_or_else(String::new, |found| ChangeVector::new(found.etag, database_id).as_str().to_owned())
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        patches: &'a Patches,
        view: &'a DatabaseView<'a>,
        now: Timestamp,
        seed: u64,
        deadline: Instant,
    ) -> Self {
        Self {
            patches,
            view,
            now,
            seed,
            deadline,
            written: HashMap::new(),
            written_bytes: 0,
            deleted_prefixes: Vec::new(),
            read: BTreeMap::new(),
            counters: Counters::default(),
            commands: Vec::new(),
            failure: None,
        }
    }

    /// The checks, which must hold before the writes, and the writes.
    pub(super) fn into_commands(self) -> (Vec<Command>, Vec<Command>) {
        let checks = self.read.into_values();
        let checks = checks.map(|(id, expected)| Command::Check { id: id.as_str().to_owned(), expected });
        (checks.chain(self.counters.into_checks()).collect(), self.commands)
    }

    /// Works out one item.
    pub(super) fn item(&mut self, item: &Item) -> Result<Done, ServerError> {
        Ok(match item {
            Item::Write(command) => Done::Write(self.write(command.clone())?),
            Item::Patch(patch) => Done::Patch(Box::new(self.patch(patch)?)),
            Item::Track(checks) => {
                for check in checks {
                    self.write(check.clone())?;
                }
                Done::Track
            }
            Item::JsonPatch(patch) => Done::JsonPatch(Box::new(self.json_patch(patch)?)),
            Item::Batch(patches) => {
                for patch in patches {
                    self.patch(patch)?;
                }
                Done::Batch
            }
        })
    }

    /// Adds a write, and gives its place.
    fn write(&mut self, command: Command) -> Result<usize, ServerError> {
        match &command {
            Command::Put { id, document, .. } => {
                // An id that the write will make up cannot be asked for by any later command.
                if !id.ends_with(['/', '|']) {
                    let id = DocumentId::new(id)?;
                    let key = id.key().into();
                    let document = document.to_document(id, self.now);
                    self.written_bytes =
                        self.written_bytes.saturating_add(document.body.len() + document.metadata.len());
                    self.written.insert(key, Some(Arc::new(document)));
                }
            }
            Command::Delete { id, .. } => {
                let id = DocumentId::new(id)?;
                self.counters.delete_document(&id);
                self.written.insert(id.key().into(), None);
            }
            Command::Counters { id, operations } => {
                self.counters.apply(self.view, &DocumentId::new(id)?, operations)?;
            }
            Command::DeletePrefix { prefix } => {
                let prefix = DocumentId::prefix_key(prefix);
                for (key, document) in &mut self.written {
                    if key.starts_with(&*prefix) {
                        *document = None;
                    }
                }
                self.counters.delete_prefix(&prefix);
                self.deleted_prefixes.push(prefix);
            }
            // A document keeps its attachments whatever is written, and no patch sees them.
            Command::PutAttachment { .. }
            | Command::DeleteAttachment { .. }
            | Command::CopyAttachment { .. }
            | Command::Import { .. }
            | Command::StageContent { .. }
            | Command::Keep(_)
            | Command::Check { .. }
            | Command::CheckCounter { .. }
            | Command::ImportCounters { .. }
            | Command::PutCompareExchange { .. }
            | Command::DeleteCompareExchange { .. } => {}
        }
        if self.written_bytes > PATCH_BATCH_BYTES_MAX {
            return Err(PatchFailure::BatchTooLarge {
                what: format!(
                    "the batch writes more than {PATCH_BATCH_BYTES_MAX} bytes of documents (patch_batch_bytes_max)"
                ),
            }.into());
        }
        self.commands.push(command);
        Ok(self.commands.len() - 1)
    }

    /// A document as the commands so far leave it.
    fn find(&mut self, id: &DocumentId) -> Result<Option<Arc<Document>>, StoreError> {
        if let Some(written) = self.written.get(id.key()) {
            return Ok(written.clone());
        }
        if self.deleted_prefixes.iter().any(|prefix| id.key().starts_with(&**prefix)) {
            return Ok(None);
        }
        let found = self.view.document(id)?;
        let vector = change_vector(found.as_ref(), self.view.database_id());
        self.read.insert(id.key().into(), (id.clone(), vector));
        Ok(found.map(Arc::new))
    }

    fn patch(&mut self, patch: &PatchCommand) -> Result<Patched, ServerError> {
        let id = DocumentId::new(&patch.id)?;
        let found = self.find(&id)?;
        let mut patched = Patched {
            id: patch.id.clone(),
            status: Status::DocumentDoesNotExist,
            return_document: patch.return_document,
            details: patch.details,
            outcome: None,
            original: found.as_ref().filter(|_| patch.details).map(|document| content(document)),
            modified: None,
            run: None,
            increments: Vec::new(),
        };
        if let Some(conflict) = self.conflict(&patch.id, patch.expected.as_deref(), found.as_deref()) {
            if patch.skip_mismatch {
                patched.status = Status::Skipped;
                return Ok(patched);
            }
            return Err(conflict.into());
        }
        let scripts = &patch.scripts;
        match (&found, &scripts.if_missing, &scripts.create_if_missing) {
            (Some(document), _, _) => {
                let before = document.wire_json(self.view.database_id());
                let id = document.id.as_str().to_owned();
                self.run(&scripts.patch, id, before, found.as_deref(), &mut patched)?;
            }
            (None, Some(script), _) => {
                let before = Json::Object(Object::new());
                self.run(script, patch.id.clone(), before, None, &mut patched)?;
            }
            (None, None, Some(document)) => {
                self.put(patch.id.clone(), document.clone(), None, &mut patched)?;
            }
            (None, None, None) => {}
        }
        Ok(patched)
    }

    /// Why the document is not the expected one, if so.
    fn conflict(&self, id: &str, expected: Option<&str>, found: Option<&Document>) -> Option<PatchFailure> {
        let actual = change_vector(found, self.view.database_id());
        // What is not there is no document to patch, also where nothing is expected.
        let expected = expected.filter(|expected| found.is_none() || **expected != *actual)?;
        Some(PatchFailure::Conflict {
            id: id.to_owned(),
            expected: expected.to_owned(),
            actual: found.is_some().then_some(actual),
        })
    }

    fn json_patch(&mut self, patch: &JsonPatchCommand) -> Result<Patched, ServerError> {
        let found = self.find(&DocumentId::new(&patch.id)?)?;
        if let Some(conflict) = self.conflict(&patch.id, patch.expected.as_deref(), found.as_deref()) {
            return Err(conflict.into());
        }
        let Some(found) = found else { return Err(PatchFailure::JsonPatchMissing(patch.id.clone()).into()) };
        let mut document = found.wire_json(self.view.database_id());
        json_patch::apply(&mut document, &patch.operations)
            .map_err(|reason| PatchFailure::JsonPatchFailed { id: patch.id.clone(), reason })?;
        let mut patched = Patched {
            id: patch.id.clone(),
            status: Status::NotModified,
            return_document: patch.return_document,
            details: false,
            outcome: None,
            original: None,
            modified: None,
            run: None,
            increments: Vec::new(),
        };
        self.put(found.id.as_str().to_owned(), document, Some(&found), &mut patched)?;
        Ok(patched)
    }

    /// Runs a script on a document and writes what it made of it and of others.
    fn run(
        &mut self,
        script: &Script,
        id: String,
        document: Json,
        found: Option<&Document>,
        patched: &mut Patched,
    ) -> Result<(), ServerError> {
        if Instant::now() >= self.deadline {
            return Err(PatchFailure::BatchTooLarge {
                what: format!("the batch ran patches for {PATCH_BATCH_MS_MAX} ms (patch_batch_ms_max)"),
            }
            .into());
        }
        self.seed = self.seed.wrapping_add(1);
        let input = PatchInput {
            id: id.clone(),
            document,
            arguments: script.arguments.clone(),
            now: self.now,
            seed: self.seed,
        };
        let patches = self.patches;
        let outcome = patches.run(&script.script, input, self);
        if let Some(failure) = self.failure.take() {
            return Err(failure.into());
        }
        let run = outcome.map_err(|error| PatchFailure::Failed { id: id.clone(), error })?;
        let own = DocumentId::new(&id)?;
        // Where the last change of the names of its own counters stands: such a change writes the document, too.
        let mut renamed = None;
        for effect in &run.effects {
            match effect {
                Effect::Put { id, document, expected } => {
                    self.write(put_of(id, document, expected.as_deref())?)?;
                }
                Effect::Delete { id, expected } => {
                    self.write(Command::Delete { id: id.clone(), expected: expected.clone() })?;
                }
                Effect::IncrementCounter { id, name, by } => {
                    let before = self.counter_before(id, name)?;
                    let place = self.write(counter_command(id, name, CounterAction::Increment(*by)))?;
                    if before.is_none() && DocumentId::new(id)? == own {
                        renamed = Some(place);
                    }
                    if patched.details {
                        patched.increments.push(Incremented { name: name.clone(), before, by: *by });
                    }
                }
                Effect::DeleteCounter { id, name } => {
                    let before = self.counter_before(id, name)?;
                    let place = self.write(counter_command(id, name, CounterAction::Delete))?;
                    if before.is_some() && DocumentId::new(id)? == own {
                        renamed = Some(place);
                    }
                }
            }
        }
        let document = run.document.clone();
        patched.run = patched.details.then_some(run);
        self.put(id, document, found, patched)?;
        if patched.status == Status::NotModified && renamed.is_some() {
            patched.status = Status::Patched;
            patched.outcome = renamed;
        }
        Ok(())
    }

    /// The value of a counter before a script changes it.
    ///
    /// # Errors
    /// [`StoreError::CounterOwnerMissing`] when its document is not there.
    fn counter_before(&mut self, id: &str, name: &str) -> Result<Option<i64>, StoreError> {
        let id = DocumentId::new(id)?;
        if self.find(&id)?.is_none() {
            return Err(StoreError::CounterOwnerMissing { id: id.as_str().to_owned() });
        }
        self.counters.value(self.view, &id, name)
    }

    /// Writes a patched document if it is another one than before.
    fn put(
        &mut self,
        id: String,
        document: Json,
        found: Option<&Document>,
        patched: &mut Patched,
    ) -> Result<(), ServerError> {
        let new = NewDocument::from_json(&id, document)?;
        if patched.return_document {
            let document = new.to_document(DocumentId::new(&id)?, self.now);
            // Not all of them are written, and all are kept for the answer.
            self.written_bytes =
                self.written_bytes.saturating_add(document.body.len() + document.metadata.len());
            let mut modified = content(&document);
            // Only the store writes the list; a script sees the one before it.
            if let Some(names) = found.and_then(counter_names) {
                insert_counter_names(&mut modified, names);
            }
            patched.modified = Some(modified);
        }
        if found.is_some_and(|found| new.is_content_of(found)) {
            patched.status = Status::NotModified;
            return Ok(());
        }
        patched.status = if found.is_some() { Status::Patched } else { Status::Created };
        patched.outcome = Some(self.write(Command::Put { id, document: new, expected: None })?);
        Ok(())
    }
}

/// A `put()` of a script as a command.
fn put_of(id: &str, document: &Json, expected: Option<&str>) -> Result<Command, ServerError> {
    if id.ends_with('|') {
        return Err(ServerError::NotSupported { what: format!("an identity ('{id}') in put() of a patch") });
    }
    Ok(Command::Put {
        document: NewDocument::from_json(id, document.clone())?,
        id: if id.is_empty() { crate::random::uuid()? } else { id.to_owned() },
        expected: expected.map(str::to_owned),
    })
}

fn counter_command(id: &str, name: &str, action: CounterAction) -> Command {
    let operation = CounterOperation { name: name.to_owned(), action };
    Command::Counters { id: id.to_owned(), operations: vec![operation] }
}

impl Loads for Attempt<'_> {
    fn load(&mut self, id: &str, _: Option<&Collection>, _: bool) -> Option<Arc<Document>> {
        let found = DocumentId::new(id).and_then(|id| self.find(&id));
        found.unwrap_or_else(|error| {
            self.failure = Some(error);
            None
        })
    }

    fn counter(&mut self, id: &str, name: &str) -> Option<i64> {
        let found = DocumentId::new(id).and_then(|id| self.counters.read(self.view, &id, name));
        found.unwrap_or_else(|error| {
            self.failure = Some(error);
            None
        })
    }

    // It may change before the batch is written: nothing a patch can do would tell that from a change right behind it.
    fn compare_exchange(&mut self, key: &str) -> Option<Json> {
        let found = self.view.compare_exchange(key);
        found.map(|found| found.map(|found| found.value)).unwrap_or_else(|error| {
            self.failure = Some(error);
            None
        })
    }
}

/// A document with the metadata that its writers gave it, and the names of its counters.
fn content(document: &Document) -> Json {
    let mut metadata = document.metadata_json();
    let names = counter_names(document);
    if names.is_some() {
        metadata = document.clone().without_counters().metadata_json();
    }
    for name in OWN_METADATA {
        metadata.remove(name);
    }
    let mut content = Json::Object(document.body_json());
    if let Json::Object(body) = &mut content
        && !metadata.is_empty()
    {
        body.insert("@metadata", Json::Object(metadata));
    }
    if let Some(names) = names {
        insert_counter_names(&mut content, names);
    }
    content
}

/// The names of a document's counters, if it has any.
fn counter_names(document: &Document) -> Option<Json> {
    // Most documents are told apart without parsing.
    document.metadata.contains(COUNTERS).then(|| document.metadata_json().get(COUNTERS).cloned()).flatten()
}

fn insert_counter_names(document: &mut Json, names: Json) {
    let Json::Object(body) = document else { return };
    let mut metadata = match body.remove("@metadata") {
        Some(Json::Object(metadata)) => metadata,
        _ => Object::new(),
    };
    metadata.insert(COUNTERS, names);
    body.insert("@metadata", metadata);
}
