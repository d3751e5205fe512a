//! Files over HTTP: `smuggler/import` for dumps, `smuggler/import/csv`, `smuggler/validate-options`.
//!
//! Each import has a thread of its own, which may wait for a slow client; a few pieces wait between the two. What the
//! client sends is a form with the options and the file, or the file alone as the body.

use crate::answer;
use crate::batch_attachments::{self, broken};
use crate::body::{self, BodyStream};
use crate::dump::Intake;
use crate::dump::counts::Counts;
use crate::dump::csv_document::collection_of;
use crate::dump::csv_import::CsvImport;
use crate::dump::csv_options::CsvOptions;
use crate::dump::import::{Import, Target};
use crate::dump::options::DumpOptions;
use crate::dump::transform::Transform;
use crate::error::ServerError;
use crate::import_thread::Importing;
use crate::limits::{DUMP_DRAIN_MS_MAX, DUMP_OPTIONS_BYTES_MAX, DUMP_PIECES_MAX};
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use magpie_store::json::Object;
use multer::{Field, Multipart};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What goes to the thread of an import, in this order.
enum Piece {
    Options(Object),
    /// The name of the file.
    Name(String),
    Bytes(Bytes),
    /// Nothing more will come, though the dump has not ended.
    Broken(ServerError),
}

/// What the client sends, as it comes.
enum Source {
    Form(Multipart<'static>),
    File(BodyStream),
}

/// What stands before the bytes of a file.
#[derive(Default)]
struct Head {
    options: Object,
    name: String,
}

/// A kind of file that can be imported.
#[derive(Clone)]
enum Kind {
    Dump,
    /// With the collection that the request names.
    Csv(Option<String>),
}

impl Kind {
    /// The part of the form with the options, and the parameter for requests without a form.
    fn options(&self) -> &'static str {
        match self {
            Self::Dump => "importOptions",
            Self::Csv(_) => "csvImportOptions",
        }
    }

    /// # Errors
    /// When the options cannot be carried out.
    fn open<'d>(self, target: Target<'d>, head: Head) -> Result<Box<dyn Intake + 'd>, ServerError> {
        match self {
            Self::Dump => Ok(Box::new(Import::new(target, DumpOptions::read(&head.options)?)?)),
            Self::Csv(collection) => {
                let collection = collection.unwrap_or_else(|| collection_of(&head.name));
                let options = CsvOptions::read(&head.options)?;
                Ok(Box::new(CsvImport::new(target, options, collection)))
            }
        }
    }
}

/// `POST smuggler/import?operationId=`
pub(crate) async fn import(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    import_kind(request, body, Kind::Dump).await
}

/// `POST smuggler/import/csv?operationId=&collection=`
pub(crate) async fn import_csv(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let collection = request.query.get("collection").filter(|name| !name.is_empty()).map(str::to_owned);
    import_kind(request, body, Kind::Csv(collection)).await
}

async fn import_kind(request: DatabaseRequest, body: Body, kind: Kind) -> Result<Response, ServerError> {
    let mut source = source(&request, body)?;
    let (pieces, received) = mpsc::channel(DUMP_PIECES_MAX);
    let options = kind.options();
    let importing = Importing::start(&request, move |target| take_pieces(target, kind, received))?;
    if let Err(error) = send(&request, &mut source, options, &pieces).await {
        // When the thread has ended already, its own error is the one to tell.
        let _ = pieces.send(Piece::Broken(error)).await;
    }
    drop(pieces);
    let result = importing.ended().await;
    if result.is_err() {
        drain_in_background(source);
    }
    Ok(answer::json(StatusCode::OK, result?.to_json()))
}

/// `POST smuggler/validate-options`: whether the options of an import or export can be carried out.
pub(crate) async fn validate_options(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let text = body::read(&request.headers, body, DUMP_OPTIONS_BYTES_MAX).await?;
    let database = Arc::clone(&request.database);
    blocking(move || {
        let options = DumpOptions::read(&body::parse_object(&text)?)?;
        Transform::new(database.patcher().patches(), options.transform_script.as_deref()).map(drop)
    })
    .await?;
    Ok(answer::no_content())
}

/// The work of an import: takes what comes.
fn take_pieces(
    target: Target<'_>,
    kind: Kind,
    mut received: mpsc::Receiver<Piece>,
) -> Result<Counts, ServerError> {
    let mut head = Head::default();
    let mut first = received.blocking_recv();
    loop {
        match first {
            Some(Piece::Options(options)) => head.options = options,
            Some(Piece::Name(name)) => head.name = name,
            other => {
                first = other;
                break;
            }
        }
        first = received.blocking_recv();
    }
    let mut import = kind.open(target, head)?;
    let mut end = Ok(());
    while let Some(piece) = first.take() {
        end = match piece {
            Piece::Options(_) | Piece::Name(_) => Ok(()),
            Piece::Bytes(bytes) => import.feed(&bytes),
            Piece::Broken(error) => Err(error),
        };
        if end.is_err() {
            break;
        }
        first = received.blocking_recv();
    }
    match end.and_then(|()| import.finish()) {
        Ok(counts) => Ok(counts),
        Err(cause) => Err(import.stopped(cause)),
    }
}

fn source(request: &DatabaseRequest, body: Body) -> Result<Source, ServerError> {
    let content_type = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let stream = BodyStream::new(body);
    let Some(content_type) = content_type.filter(|kind| kind.trim().starts_with("multipart/")) else {
        return Ok(Source::File(stream));
    };
    Ok(Source::Form(batch_attachments::form(content_type.trim(), stream)?))
}

/// Hands on what comes, to its end.
async fn send(
    request: &DatabaseRequest,
    source: &mut Source,
    options_name: &'static str,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), ServerError> {
    match source {
        Source::File(stream) => {
            if let Some(options) = request.query.get(options_name) {
                let options = body::parse_object(options.as_bytes())?;
                hand_on(pieces, Piece::Options(options)).await?;
            }
            while let Some(chunk) = stream.chunk().await? {
                hand_on(pieces, Piece::Bytes(chunk)).await?;
            }
        }
        Source::Form(form) => {
            let mut has_file = false;
            while let Some(mut field) = form.next_field().await.map_err(broken)? {
                let is_file = field.file_name().is_some();
                if field.name() == Some(options_name) {
                    let options = options_of(&mut field).await?;
                    hand_on(pieces, Piece::Options(options)).await?;
                    continue;
                }
                if field.name().is_some_and(|name| name.to_lowercase().ends_with("options")) && !is_file {
                    let message =
                        format!("the part of the form with the options is named {options_name} here");
                    return Err(ServerError::InvalidOperation(message));
                }
                if std::mem::replace(&mut has_file, true) {
                    let message = "the form has two files; import one at a time";
                    return Err(ServerError::InvalidOperation(message.to_owned()));
                }
                if let Some(name) = field.file_name().map(str::to_owned) {
                    hand_on(pieces, Piece::Name(name)).await?;
                }
                while let Some(chunk) = field.chunk().await.map_err(broken)? {
                    hand_on(pieces, Piece::Bytes(chunk)).await?;
                }
            }
        }
    }
    Ok(())
}

async fn hand_on(pieces: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), ServerError> {
    pieces.send(piece).await.map_err(|_| ServerError::OperationKilled)
}

async fn options_of(field: &mut Field<'_>) -> Result<Object, ServerError> {
    let mut text = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        text.extend_from_slice(&chunk);
        if text.len() > DUMP_OPTIONS_BYTES_MAX {
            return Err(ServerError::TooLarge {
                what: "importOptions",
                limit_name: "dump_options_bytes_max",
                limit: DUMP_OPTIONS_BYTES_MAX,
                advice: "send the options only",
            });
        }
    }
    body::parse_object(&text)
}

/// Reads and drops what is left, for a while, so that a client that is still sending sees the answer.
fn drain_in_background(source: Source) {
    let drain = async {
        match source {
            Source::File(mut stream) => while let Ok(Some(_)) = stream.chunk().await {},
            Source::Form(mut form) => {
                while let Ok(Some(mut field)) = form.next_field().await {
                    while let Ok(Some(_)) = field.chunk().await {}
                }
            }
        }
    };
    tokio::spawn(tokio::time::timeout(Duration::from_millis(DUMP_DRAIN_MS_MAX), drain));
}
