//! Dumps over HTTP: `smuggler/export`. A thread of its own writes the dump from one state of the database; the client
//! takes it as fast as it can. When it breaks off, so does the connection: a client never takes a part for the whole.

use crate::body;
use crate::clock;
use crate::databases::OpenDatabase;
use crate::dump::counts::Counts;
use crate::dump::export::{broken, export as write_dump};
use crate::dump::options::DumpOptions;
use crate::dump::pack::{Packer, Piece, Pieces};
use crate::error::ServerError;
use crate::limits::{DUMP_OPTIONS_BYTES_MAX, DUMP_PIECES_MAX};
use crate::query_string::Pairs;
use crate::request::DatabaseRequest;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use magpie_store::json::Object;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Characters of a file name that are sent as they are.
const FILE_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// `POST smuggler/export?operationId=` with options, or none.
pub(crate) async fn export(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let text = body::read(&request.headers, body, DUMP_OPTIONS_BYTES_MAX).await?;
    let options = DumpOptions::read(&options(&text)?)?;
    let place = request.app.dump_place()?;
    let database = Arc::clone(&request.database);
    let id = match request.query.number("operationId")? {
        Some(id) => id,
        None => database.operations().next_id(),
    };
    let (sender, receiver) = mpsc::channel::<Piece>(DUMP_PIECES_MAX);
    let work = move || {
        run(&database, id, &options, sender);
        drop(place);
    };
    std::thread::Builder::new()
        .name("export".to_owned())
        .spawn(work)
        .map_err(|cause| ServerError::Panicked(format!("no thread could be started: {cause}")))?;
    let pieces = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let now = clock::now().to_string();
    let (day, time) = now.split_once('T').unwrap_or((&now, ""));
    let time = time.get(..5).unwrap_or_default().replace(':', "-");
    let name = format!("Dump of {} {day} {time}.ravendbdump", request.database.name());
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename={}", utf8_percent_encode(&name, FILE_NAME))),
    ];
    Ok((StatusCode::OK, headers, Body::from_stream(pieces)).into_response())
}

/// The options of a body: JSON, the same in the field of a form, or nothing.
fn options(text: &[u8]) -> Result<Object, ServerError> {
    const FIELD: &[u8] = b"DownloadOptions=";
    if text.trim_ascii().is_empty() {
        return Ok(Object::new());
    }
    if text.starts_with(FIELD) {
        let form = Pairs::parse(&String::from_utf8_lossy(text));
        return body::parse_object(form.get("DownloadOptions").unwrap_or("{}").as_bytes());
    }
    body::parse_object(text)
}

/// The thread of an export.
fn run(database: &OpenDatabase, id: i64, options: &DumpOptions, sender: mpsc::Sender<Piece>) {
    let running = database.operations().start(id);
    let result = Packer::new(options.zstd, Pieces::new(sender.clone()))
        .map_err(|error| broken(&error))
        .and_then(|mut packer| -> Result<Counts, ServerError> {
            let counts = write_dump(database, options, &running, &mut packer)?;
            packer.finish().map_err(|error| broken(&error))?;
            Ok(counts)
        });
    match result {
        Ok(counts) => running.complete_with(counts.to_json()),
        Err(error) => {
            running.fail(&error);
            // Whoever is gone already needs not be told.
            let _ = sender.blocking_send(Err(io::Error::other(error.to_string())));
        }
    }
}
