//! Running an operation: the ids of a query, chunk by chunk into writes.

use super::{Action, Operation, patch_of};
use crate::clock;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::limits::{
    BULK_QUERY_CHUNK_DOCUMENTS_MAX, BULK_QUERY_DETAILS_MAX, BULK_QUERY_LOOK_MS, QUERY_MOVED_RETRIES_MAX,
};
use crate::operations::Running;
use crate::patch::{Done, Item, PatchFailure};
use crate::state::AppState;
use magpie_indexes::IndexError;
use magpie_query::{AnswerRow, QueryError, Request, Snapshot};
use magpie_store::json::{Json, Object};
use magpie_store::{ChangeVector, Command, Outcome, StoreError};
use std::time::{Duration, Instant};

/// One run of an operation.
struct Run<'a> {
    app: &'a AppState,
    database: &'a OpenDatabase,
    operation: &'a Operation,
    running: &'a Running<'a>,
    started: Instant,
    total: u64,
    processed: u64,
    details: Vec<Json>,
    details_left_out: u64,
}

/// Runs an operation, and gives its result. Blocks.
///
/// # Errors
/// Those of the query and of the writes. What was written before stays; the error says how many documents that are.
pub(super) fn run(
    app: &AppState,
    database: &OpenDatabase,
    operation: &Operation,
    running: &Running<'_>,
) -> Result<Object, ServerError> {
    let mut run = Run {
        app,
        database,
        operation,
        running,
        started: Instant::now(),
        total: 0,
        processed: 0,
        details: Vec::new(),
        details_left_out: 0,
    };
    let mut retries = 0;
    loop {
        match run.once() {
            // The index was replaced between its lookup and the snapshot.
            Err(ServerError::Query(QueryError::Index(IndexError::Moved { .. })))
                if run.processed == 0 && retries < QUERY_MOVED_RETRIES_MAX =>
            {
                retries += 1;
            }
            Err(source) if run.processed > 0 => {
                return Err(ServerError::BulkQuery { processed: run.processed, source: Box::new(source) });
            }
            Err(error) => return Err(error),
            Ok(()) => return Ok(run.result()),
        }
    }
}

impl Run<'_> {
    fn once(&mut self) -> Result<(), ServerError> {
        self.check()?;
        let view = self.database.documents().view();
        let indexes = self.database.indexes();
        if let Some(name) = &self.operation.index {
            let index = indexes.get_in(&view, name).map_err(QueryError::Index)?;
            let Some(index) = index else {
                return Err(QueryError::IndexMissing { name: name.clone() }.into());
            };
            if index.is_map_reduce() {
                return Err(ServerError::InvalidOperation(
                    "Cannot execute bulk operation on Map-Reduce indexes.".to_owned(),
                ));
            }
        }
        let snapshot = Snapshot::new(&view, indexes);
        let request = Request {
            query: self.operation.query.clone(),
            parameters: self.operation.parameters.clone(),
            metadata_only: true,
            ..Request::default()
        };
        // Counted first, so that the progress has a goal, and an index that is behind or a query that fails ends the
        // operation before anything is written.
        let mut total = 0;
        let counted = magpie_query::stream(&snapshot, &request, &mut |row: AnswerRow| {
            total += 1;
            id_of(&row.into_json()).map(drop)
        });
        self.database.make_auto_indexes();
        let counted = counted?;
        if counted.is_stale && !self.operation.allow_stale {
            return Err(ServerError::InvalidOperation(
                "Cannot perform bulk operation. Query is stale.".to_owned(),
            ));
        }
        self.total = total;
        self.tell();
        let mut chunk = Vec::new();
        let mut failure = None;
        let streamed = magpie_query::stream(&snapshot, &request, &mut |row: AnswerRow| {
            chunk.push(id_of(&row.into_json())?);
            if chunk.len() < self.chunk_max() {
                return Ok(());
            }
            self.write(std::mem::take(&mut chunk)).map_err(|error| {
                failure = Some(error);
                // Ends the query; the failure takes its place below.
                QueryError::Operation { message: String::new() }
            })
        });
        match failure {
            Some(error) => return Err(error),
            None => drop(streamed?),
        }
        if !chunk.is_empty() {
            self.write(chunk)?;
        }
        Ok(())
    }

    /// Documents of one batch; fewer than usual where more would be more than a second's.
    fn chunk_max(&self) -> usize {
        let per_second = self.operation.per_second.and_then(|number| usize::try_from(number).ok());
        per_second.map_or(BULK_QUERY_CHUNK_DOCUMENTS_MAX, |number| number.min(BULK_QUERY_CHUNK_DOCUMENTS_MAX))
    }

    /// Writes a chunk, and whatever comes between two chunks.
    fn write(&mut self, ids: Vec<String>) -> Result<(), ServerError> {
        self.pause()?;
        let count = ids.len() as u64;
        match self.write_at_once(&ids) {
            // Too much for one batch, or written by others all the time: one after the other, then.
            Err(
                ServerError::Store(StoreError::Conflict { .. })
                | ServerError::Patch(PatchFailure::BatchTooLarge { .. }),
            ) if ids.len() > 1 => {
                for id in ids {
                    self.write_at_once(&[id])?;
                    self.processed += 1;
                    self.tell();
                    self.check()?;
                }
                return Ok(());
            }
            written => written?,
        }
        self.processed += count;
        self.tell();
        Ok(())
    }

    fn write_at_once(&mut self, ids: &[String]) -> Result<(), ServerError> {
        let documents = self.database.documents();
        match &self.operation.action {
            Action::Delete => {
                let commands = ids.iter().map(|id| Command::Delete { id: id.clone(), expected: None });
                let outcomes = documents.write(commands.collect(), clock::now())?;
                for outcome in outcomes {
                    if let Outcome::Deleted { id, etag: Some(etag) } = outcome {
                        self.detail(&[("Id", id.into()), ("Etag", etag.0.into())]);
                    }
                }
            }
            Action::Patch(scripts) => {
                let items: Vec<Item> =
                    ids.iter().map(|id| Item::Patch(patch_of(id.clone(), scripts))).collect();
                let (done, outcomes) = self.database.patcher().run(documents, &items, false)?;
                for done in done {
                    let Done::Patch(patched) = done else { continue };
                    let vector = match patched.outcome.and_then(|place| outcomes.get(place)) {
                        Some(Outcome::Put { etag, .. }) => {
                            Json::from(ChangeVector::new(*etag, documents.id()).as_str())
                        }
                        _ => Json::Null,
                    };
                    self.detail(&[
                        ("Id", patched.id.into()),
                        ("ChangeVector", vector),
                        ("Status", patched.status.name().into()),
                    ]);
                }
            }
        }
        Ok(())
    }

    /// Lists one document in the result, if that is asked for.
    fn detail(&mut self, fields: &[(&'static str, Json)]) {
        if !self.operation.details {
            return;
        }
        if self.details.len() >= BULK_QUERY_DETAILS_MAX {
            self.details_left_out += 1;
            return;
        }
        let kind = match self.operation.action {
            Action::Delete => "DeleteDetails",
            Action::Patch(_) => "PatchDetails",
        };
        let kind = format!("Raven.Client.Documents.Operations.BulkOperationResult+{kind}, Raven.Client");
        let mut detail = Object::from_iter([("$type", Json::from(kind))]);
        for (name, value) in fields {
            detail.insert(*name, value.clone());
        }
        self.details.push(Json::Object(detail));
    }

    fn check(&self) -> Result<(), ServerError> {
        if self.running.is_killed() {
            return Err(ServerError::OperationKilled);
        }
        if self.app.is_stopping() {
            return Err(ServerError::Stopping);
        }
        Ok(())
    }

    /// Waits until the next documents are due, if only so many may be written a second; ends when it is told to.
    fn pause(&self) -> Result<(), ServerError> {
        self.check()?;
        let Some(per_second) = self.operation.per_second else { return Ok(()) };
        let due_ms = u128::from(self.processed) * 1000 / u128::from(per_second);
        let due = Duration::from_millis(u64::try_from(due_ms).unwrap_or(u64::MAX));
        loop {
            let left = due.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(BULK_QUERY_LOOK_MS)));
            self.check()?;
        }
    }

    fn tell(&self) {
        let mut progress = Object::new();
        progress.insert("$type", "Raven.Client.Documents.Operations.DeterminateProgress, Raven.Client");
        progress.insert("Processed", self.processed);
        progress.insert("Total", self.total);
        self.running.progress(progress);
    }

    fn result(self) -> Object {
        let mut result = Object::new();
        result.insert("$type", "Raven.Client.Documents.Operations.BulkOperationResult, Raven.Client");
        result.insert("Total", self.processed);
        result.insert("Message", format!("Processed {} items.", self.processed));
        result.insert("Details", self.details);
        result.insert("Query", Json::Null);
        for kind in ["DocumentsProcessed", "AttachmentsProcessed", "CountersProcessed", "TimeSeriesProcessed"]
        {
            result.insert(kind, 0_i64);
        }
        if self.details_left_out > 0 {
            let left_out = Object::from_iter([("DetailsLeftOut", Json::from(self.details_left_out))]);
            result.insert("Magpie", left_out);
        }
        result
    }
}

/// The id of the document that a row is.
fn id_of(row: &Json) -> Result<String, QueryError> {
    let id = row.get("@metadata").and_then(|metadata| metadata.get("@id")).and_then(Json::as_str);
    id.map(str::to_owned).ok_or_else(|| QueryError::Operation {
        message: "Only documents can be patched or deleted, and this query gives other rows.".to_owned(),
    })
}
