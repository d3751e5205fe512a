//! `POST docs/ndjson`: documents as lines of JSON, for those who have a file and `curl`.
//!
//! Each line is one JSON object. Parameters:
//! - `collection=Events`, or `collectionFrom=type` (the name stands in that field); a line's own
//!   `@metadata.@collection` goes before both.
//! - `id=field`: the id stands in that field, a string or a whole number. Without it the id is the line's
//!   `@metadata.@id`, else its field `id`, else it is made: `{collection}/` and a number.
//! - `onError=abort` (default): all lines or none, up to `upload_transaction_bytes_max`; `onError=skip`: any size, in
//!   sub-batches; bad lines are left out and listed.
//!
//! The body may be gzip. The last line needs no line end.

use crate::answer;
use crate::body::{self, BodyStream};
use crate::clock;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::gzip::Inflater;
use crate::index_wait::{Touched, WaitOptions};
use crate::limits::{DRAIN_MS_MAX, UPLOAD_ERRORS_LISTED_MAX, UPLOAD_ITEM_BYTES_MAX};
use crate::line_splitter::{Line, LineSplitter};
use crate::ndjson_line::{LineOptions, read_line};
use crate::request::DatabaseRequest;
use crate::state::blocking;
use crate::upload::{Item, Uploader, pause};
use crate::write_batch;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_store::json::{Json, Object};
use magpie_store::{Command, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// What an upload came to.
#[derive(Debug, Default)]
struct Report {
    inserted: u64,
    failed: u64,
    /// The first failures: line and message.
    errors: Vec<(u64, String)>,
}

impl Report {
    fn fail(&mut self, line: u64, message: String) {
        self.failed += 1;
        if self.errors.len() < UPLOAD_ERRORS_LISTED_MAX {
            self.errors.push((line, message));
        }
    }

    fn add(&mut self, other: Option<Self>) {
        let Some(other) = other else { return };
        self.inserted += other.inserted;
        self.failed += other.failed;
        let room = UPLOAD_ERRORS_LISTED_MAX - self.errors.len();
        self.errors.extend(other.errors.into_iter().take(room));
    }
}

/// `POST docs/ndjson`
pub(crate) async fn post(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let options = Arc::new(LineOptions::read(&request.query)?);
    let wait = WaitOptions::read(&request.query)?;
    let skip = match request.query.get("onError") {
        None | Some("abort") => false,
        Some("skip") => true,
        Some(other) => {
            return Err(ServerError::ValueNotAllowed {
                name: "onError",
                value: other.to_owned(),
                expected: "abort or skip",
            });
        }
    };
    let mut stream = BodyStream::new(body);
    let uploaded = if skip {
        let mut report = Report::default();
        let uploaded = upload_good_lines(&request, &mut stream, options, &mut report).await;
        let inserted = report.inserted;
        uploaded
            .map(|()| report)
            .map_err(|source| ServerError::UploadBroken { inserted, source: Box::new(source) })
    } else {
        upload_all_or_none(&request, &mut stream, options).await
    };
    let report = match uploaded {
        Ok(report) => report,
        Err(error) => {
            stream.drain_in_background(Duration::from_millis(DRAIN_MS_MAX));
            return Err(error);
        }
    };
    let etag = request.database.documents().last_etag();
    if let Some(wait) = wait {
        wait.wait(&request.app, &request.database, &Touched { any: true, collections: Vec::new() }, etag)
            .await?;
    }
    Ok(answer::json(StatusCode::CREATED, report_json(&report, etag.0)))
}

fn report_json(report: &Report, last_etag: u64) -> Object {
    let errors = report.errors.iter().map(|(line, message)| {
        Json::Object(Object::from_iter([("Line", Json::from(*line)), ("Message", message.as_str().into())]))
    });
    Object::from_iter([
        ("Inserted", Json::from(report.inserted)),
        ("Failed", report.failed.into()),
        ("Errors", errors.collect::<Vec<_>>().into()),
        ("Magpie", Object::from_iter([("LastEtag", Json::from(last_etag))]).into()),
    ])
}

fn too_long_text() -> String {
    format!("the line is longer than {UPLOAD_ITEM_BYTES_MAX} bytes (upload_item_bytes_max)")
}

/// Reads all lines, then writes them at once.
async fn upload_all_or_none(
    request: &DatabaseRequest,
    stream: &mut BodyStream,
    options: Arc<LineOptions>,
) -> Result<Report, ServerError> {
    let limit = request.app.config().limits.upload_transaction_bytes_max;
    let mut inflater = Inflater::new(body::encoding(&request.headers))?;
    let mut splitter = LineSplitter::new(UPLOAD_ITEM_BYTES_MAX);
    let mut items = Vec::new();
    let mut bytes = 0;
    let mut too_long = None;
    let mut take = |number, line| match line {
        Line::Text(text) => items.push(Item { number, text }),
        Line::TooLong => too_long = too_long.or(Some(number)),
    };
    let grow = |bytes: &mut usize, piece: &[u8]| {
        *bytes += piece.len();
        if *bytes <= limit {
            return Ok(());
        }
        Err(ServerError::TooLarge {
            what: "the upload that is all or nothing",
            limit_name: "upload_transaction_bytes_max",
            limit,
            advice: "send it with onError=skip, which writes in parts, or in several uploads",
        })
    };
    while let Some(chunk) = stream.chunk().await? {
        for step in inflater.steps(&chunk) {
            // A step of a hostile stream grows to megabytes: others get their turn between steps.
            tokio::task::yield_now().await;
            let plain = inflater.inflate(step)?;
            grow(&mut bytes, &plain)?;
            splitter.feed(&plain, &mut take);
        }
    }
    splitter.feed(&inflater.finish()?, &mut take);
    splitter.finish(&mut take);
    if let Some(line) = too_long {
        return Err(ServerError::UploadLine { line, message: too_long_text() });
    }
    let database = Arc::clone(&request.database);
    blocking(move || {
        let read = |item: &Item| {
            read_line(&item.text, &options)
                .map_err(|message| ServerError::UploadLine { line: item.number, message })
        };
        let commands = items.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        drop(items);
        let inserted = commands.len() as u64;
        write_batch::write(database.documents(), commands, clock::now())?;
        Ok(Report { inserted, ..Report::default() })
    })
    .await
}

/// Writes lines in sub-batches while they stream in; `report` counts also when it ends early.
async fn upload_good_lines(
    request: &DatabaseRequest,
    stream: &mut BodyStream,
    options: Arc<LineOptions>,
    report: &mut Report,
) -> Result<(), ServerError> {
    let mut inflater = Inflater::new(body::encoding(&request.headers))?;
    let database = Arc::clone(&request.database);
    let read_options = Arc::clone(&options);
    let mut uploader = Uploader::new(
        Arc::new(move |items| ReadLines::new(items, &read_options)),
        Arc::new(move |lines| write_good(&database, lines, &options)),
    );
    let read = read_lines(stream, &mut inflater, &mut uploader, report).await;
    if read.is_ok() {
        report.add(uploader.start().await?);
    }
    while read.is_ok() && !uploader.is_empty() {
        report.add(uploader.start().await?);
    }
    // What is being written is written, whatever the reading came to: it has to be counted.
    report.add(uploader.wait().await?);
    report.errors.sort_by_key(|(line, _)| *line);
    read?;
    inflater.finish().map(drop)
}

async fn read_lines(
    stream: &mut BodyStream,
    inflater: &mut Inflater,
    uploader: &mut Uploader<ReadLines, Report>,
    report: &mut Report,
) -> Result<(), ServerError> {
    let mut splitter = LineSplitter::new(UPLOAD_ITEM_BYTES_MAX);
    let take = |number, line, uploader: &mut Uploader<ReadLines, Report>, report: &mut Report| match line {
        Line::Text(text) => uploader.push(Item { number, text }),
        Line::TooLong => report.fail(number, too_long_text()),
    };
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = stream.chunk() => chunk?,
            // A client that makes a pause has its lines written meanwhile.
            () = pause(), if uploader.could_start() => {
                report.add(uploader.start().await?);
                continue;
            }
        };
        let Some(chunk) = chunk else { break };
        for step in inflater.steps(&chunk) {
            // A step of a hostile stream grows to megabytes: others get their turn between steps.
            tokio::task::yield_now().await;
            let plain = inflater.inflate(step)?;
            splitter.feed(&plain, |number, line| take(number, line, uploader, report));
            while uploader.is_full() {
                report.add(uploader.start().await?);
            }
        }
    }
    splitter.finish(|number, line| take(number, line, uploader, report));
    Ok(())
}

/// A sub-batch that was read.
struct ReadLines {
    /// The lines that could be read, and their commands.
    good: Vec<Item>,
    commands: Vec<Command>,
    /// What is wrong with the others.
    report: Report,
}

impl ReadLines {
    fn new(items: Vec<Item>, options: &LineOptions) -> Self {
        let mut lines = Self {
            good: Vec::with_capacity(items.len()),
            commands: Vec::with_capacity(items.len()),
            report: Report::default(),
        };
        for item in items {
            match read_line(&item.text, options) {
                Ok(command) => {
                    lines.good.push(item);
                    lines.commands.push(command);
                }
                Err(message) => lines.report.fail(item.number, message),
            }
        }
        lines
    }
}

/// Writes a sub-batch and leaves out what cannot be written.
fn write_good(
    database: &OpenDatabase,
    lines: ReadLines,
    options: &LineOptions,
) -> Result<Report, ServerError> {
    let ReadLines { good, commands, mut report } = lines;
    let good: Vec<&Item> = good.iter().collect();
    write_halving(database, &good, commands, options, &mut report)?;
    Ok(report)
}

/// Writes lines together; when one of them is refused, writes each half by itself, until the bad ones stand alone.
/// `commands` are those of `items`.
fn write_halving(
    database: &OpenDatabase,
    items: &[&Item],
    commands: Vec<Command>,
    options: &LineOptions,
    report: &mut Report,
) -> Result<(), ServerError> {
    let error = match write_batch::write(database.documents(), commands, clock::now()) {
        Ok(()) => {
            report.inserted += items.len() as u64;
            return Ok(());
        }
        Err(error) => error,
    };
    if !is_about_a_document(&error) {
        return Err(error);
    }
    if let [item] = items {
        report.fail(item.number, error.to_string());
        return Ok(());
    }
    let (first, second) = items.split_at(items.len() / 2);
    for half in [first, second] {
        // The refused write took the commands with it: they are read again.
        let commands = half.iter().filter_map(|item| read_line(&item.text, options).ok()).collect();
        write_halving(database, half, commands, options, report)?;
    }
    Ok(())
}

/// Whether one document is at fault rather than the disk.
fn is_about_a_document(error: &ServerError) -> bool {
    matches!(
        error,
        ServerError::Store(
            StoreError::InvalidId { .. }
                | StoreError::InvalidCollection { .. }
                | StoreError::Json(_)
                | StoreError::InvalidDocument { .. }
                | StoreError::DocumentTooLarge { .. }
                | StoreError::Conflict { .. }
                | StoreError::CollectionMismatch { .. }
        )
    )
}
