//! `POST bulk_insert`: an endless array of PUT commands, attachments and counters, written in sub-batches while it streams in.
//!
//! Not atomic as a whole: what was written before a failure stays. The answer comes when the array's `]` is seen: the
//! Node client never ends its body. It is empty with `Content-Length: 0`, and the connection is closed behind it. The
//! operation named by `id` tells afterwards how it went.

use crate::answer;
use crate::array_splitter::{ArraySplitter, RAW, SplitError};
use crate::batch_attachments;
use crate::body::{self, BodyStream};
use crate::clock;
use crate::counters;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::gzip::Inflater;
use crate::limits::{DRAIN_DONE_MS_MAX, DRAIN_MS_MAX, UPLOAD_ITEM_BYTES_MAX};
use crate::operations::Running;
use crate::request::DatabaseRequest;
use crate::upload::{Item, Uploader, pause};
use crate::write_batch;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::response::{IntoResponse, Response};
use magpie_store::Command;
use magpie_store::json::{self, DocumentText, Json};
use std::sync::Arc;
use std::time::Duration;

/// What is written so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Written {
    /// Documents and attachments.
    documents: u64,
    /// Operations on counters.
    counters: u64,
    batches: u64,
}

/// `POST bulk_insert?id=`
pub(crate) async fn post(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let id = request.query.number("id")?.ok_or(ServerError::OptionMissing { name: "id" })?;
    let database = Arc::clone(&request.database);
    let running = database.operations().start(id);
    let mut stream = BodyStream::new(body);
    let mut written = Written::default();
    let result = insert(&request, &mut stream, &running, &mut written).await;
    let mut response = match result {
        Ok(()) => {
            stream.drain_in_background(Duration::from_millis(DRAIN_DONE_MS_MAX));
            running.complete(written.documents, written.counters);
            answer::empty(StatusCode::CREATED)
        }
        Err(cause) => {
            stream.drain_in_background(Duration::from_millis(DRAIN_MS_MAX));
            let Written { documents, counters, batches } = written;
            let inserted = documents.saturating_add(counters);
            let error = ServerError::BulkInsert { inserted, batches, source: Box::new(cause) };
            running.fail(&error);
            error.into_response()
        }
    };
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}

/// Reads the array to its end and writes it.
async fn insert(
    request: &DatabaseRequest,
    stream: &mut BodyStream,
    running: &Running<'_>,
    written: &mut Written,
) -> Result<(), ServerError> {
    let mut inflater = Inflater::new(body::encoding(&request.headers))?;
    let mut splitter = ArraySplitter::new(UPLOAD_ITEM_BYTES_MAX);
    let database = Arc::clone(&request.database);
    let mut uploader = Uploader::new(
        Arc::new(read_items),
        Arc::new(move |commands: Result<_, ServerError>| write(&database, commands?)),
    );
    let read = read(stream, &mut inflater, &mut splitter, &mut uploader, running, written).await;
    while read.is_ok() && !uploader.is_empty() {
        count(written, uploader.start().await?);
    }
    // What is being written is written, whatever the reading came to: it has to be counted.
    count(written, uploader.wait().await?);
    read
}

async fn read(
    stream: &mut BodyStream,
    inflater: &mut Inflater,
    splitter: &mut ArraySplitter,
    uploader: &mut Uploader<Result<Vec<Command>, ServerError>, Written>,
    running: &Running<'_>,
    written: &mut Written,
) -> Result<(), ServerError> {
    let mut number = 0;
    while !splitter.is_complete() {
        if running.is_killed() {
            return Err(ServerError::OperationKilled);
        }
        let chunk = tokio::select! {
            biased;
            chunk = stream.chunk() => chunk?,
            // A client that makes a pause has its documents written meanwhile.
            () = pause(), if uploader.could_start() => {
                count(written, uploader.start().await?);
                continue;
            }
            () = tokio::time::sleep(KILL_CHECK) => continue,
        };
        let Some(chunk) = chunk else {
            return Err(ServerError::InvalidOperation(format!(
                "the body ended before the array's ']', behind {} elements",
                splitter.elements()
            )));
        };
        for step in inflater.steps(&chunk) {
            // A step of a hostile stream grows to megabytes: others get their turn between steps.
            tokio::task::yield_now().await;
            let plain = inflater.inflate(step)?;
            splitter
                .feed(&plain, |text| {
                    number += 1;
                    uploader.push(Item { number, text });
                })
                .map_err(|error| split_error(&error))?;
            while uploader.is_full() {
                count(written, uploader.start().await?);
            }
        }
    }
    Ok(())
}

/// How often a silent client's operation is looked at for a kill.
const KILL_CHECK: Duration = Duration::from_millis(500);

fn count(written: &mut Written, more: Option<Written>) {
    if let Some(more) = more {
        written.documents += more.documents;
        written.counters += more.counters;
        written.batches += more.batches;
    }
}

fn split_error(error: &SplitError) -> ServerError {
    match error {
        SplitError::TooLong { limit, .. } => ServerError::TooLarge {
            what: "an element of the bulk insert",
            limit_name: "upload_item_bytes_max",
            limit: *limit,
            advice: "split the document",
        },
        SplitError::Unexpected { .. } => ServerError::InvalidOperation(error.to_string()),
    }
}

/// Reads one sub-batch.
fn read_items(items: Vec<Item>) -> Result<Vec<Command>, ServerError> {
    let mut commands = Vec::with_capacity(items.len());
    for item in items {
        let named = |error: ServerError| match error {
            ServerError::Store(_) => error,
            _ => ServerError::InvalidOperation(format!("Element {}: {error}", item.number)),
        };
        let mut parts = item.text.splitn(2, |byte| *byte == RAW);
        let (text, raw) = (parts.next().unwrap_or_default(), parts.next());
        let not_json = |error| ServerError::InvalidOperation(format!("Element {}: {error}", item.number));
        // Nearly all elements: the document's text is taken over as it is.
        if let Some((element, Some(document))) = DocumentText::parse_in(text, "Document").map_err(not_json)?
            && element.get("Type").and_then(Json::as_str) == Some("PUT")
        {
            commands.push(write_batch::put_text(&element, document).map_err(named)?);
            continue;
        }
        let element = json::parse(text).map_err(not_json)?;
        commands.extend(read_element(element, raw).map_err(named)?);
    }
    Ok(commands)
}

/// Writes one sub-batch, all or nothing; gives what it had.
fn write(database: &OpenDatabase, commands: Vec<Command>) -> Result<Written, ServerError> {
    let mut written = Written { batches: 1, ..Written::default() };
    for command in &commands {
        match command {
            Command::Counters { operations, .. } => written.counters += operations.len() as u64,
            _ => written.documents += 1,
        }
    }
    write_batch::write(database.documents(), commands, clock::now())?;
    Ok(written)
}

/// A PUT, an attachment with its raw bytes, changes of counters, or nothing for a heartbeat.
fn read_element(element: Json, raw: Option<&[u8]>) -> Result<Option<Command>, ServerError> {
    let Json::Object(mut element) = element else {
        return Err(ServerError::InvalidOperation("it is not a JSON object".to_owned()));
    };
    match element.get("Type").and_then(Json::as_str) {
        Some("PUT") => write_batch::put_command(&mut element).map(Some),
        Some("HeartBeat") => Ok(None),
        Some("AttachmentPUT") => {
            let mut streams = raw.map(<[u8]>::to_vec).into_iter().collect();
            batch_attachments::command("AttachmentPUT", &element, &mut streams)
        }
        Some("Counters") => counters::command(&element).map(Some),
        Some(kind @ ("TimeSeries" | "TimeSeriesBulkInsert")) => {
            Err(ServerError::NotSupported { what: format!("the bulk insert command {kind}") })
        }
        Some(kind) => Err(ServerError::UnknownCommandType { name: kind.chars().take(100).collect() }),
        None => Err(ServerError::InvalidOperation("Command must have a valid 'Type' property".to_owned())),
    }
}
