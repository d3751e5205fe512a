//! The part of `bulk_docs` that is about attachments: the form that carries their bytes, commands, and results.

use crate::body::{self, BodyStream};
use crate::dump::error::DumpError;
use crate::error::ServerError;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use futures_util::stream;
use magpie_store::json::{Json, Object};
use magpie_store::{Attachment, ChangeVector, Command, Content, Outcome};
use multer::Multipart;
use std::collections::VecDeque;

/// The body of a batch: the JSON of its commands, and the bytes of its attachments in the order of their commands.
#[derive(Default)]
pub(crate) struct BatchBody {
    /// `{"Commands":[..]}`
    pub(crate) text: Vec<u8>,
    /// One for each `AttachmentPUT`.
    pub(crate) streams: VecDeque<Vec<u8>>,
}

/// Reads a batch, which is JSON, or a form whose first part is that JSON. `limit` bounds all of it, in bytes.
///
/// # Errors
/// [`ServerError::TooLarge`], and what reading can answer.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<BatchBody, ServerError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::trim);
    let Some(content_type) = content_type.filter(|kind| kind.starts_with("multipart/")) else {
        let text = body::read(headers, body, limit).await?;
        return Ok(BatchBody { text, streams: VecDeque::new() });
    };
    let mut form = form(content_type, BodyStream::new(body))?;
    let mut parts = VecDeque::new();
    let mut bytes = 0;
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        let mut part = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(broken)? {
            bytes += chunk.len();
            if bytes > limit {
                return Err(ServerError::TooLarge {
                    what: "the request's body",
                    limit_name: "request_body_bytes_max",
                    limit,
                    advice: "send fewer attachments at a time, or each with PUT attachments",
                });
            }
            part.extend_from_slice(&chunk);
        }
        parts.push_back(part);
    }
    let text = parts.pop_front().unwrap_or_default();
    Ok(BatchBody { text, streams: parts })
}

/// A form as it streams in. The kinds `form-data` and `mixed` are alike.
///
/// # Errors
/// [`ServerError::InvalidOperation`] without a boundary.
pub(crate) fn form(content_type: &str, stream: BodyStream) -> Result<Multipart<'static>, ServerError> {
    let as_form = content_type.replacen("multipart/mixed", "multipart/form-data", 1);
    let boundary = multer::parse_boundary(&as_form)
        .map_err(|error| ServerError::InvalidOperation(format!("Content-Type: {error}")))?;
    let chunks = stream::unfold(stream, |mut stream| async {
        stream.chunk().await.transpose().map(|chunk| (chunk, stream))
    });
    Ok(Multipart::new(chunks, boundary))
}

/// That a form broke off or is none.
pub(crate) fn broken(error: multer::Error) -> ServerError {
    DumpError::Receiving(error.to_string()).into()
}

/// A command about attachments; `None` for other commands.
///
/// # Errors
/// When a property is absent or of another type, or the bytes of an `AttachmentPUT` did not come.
pub(crate) fn command(
    kind: &str,
    command: &Object,
    streams: &mut VecDeque<Vec<u8>>,
) -> Result<Option<Command>, ServerError> {
    let text = |name: &'static str| match command.get(name) {
        Some(Json::String(text)) if !text.is_empty() => Ok(text.clone()),
        _ => Err(ServerError::InvalidOperation(format!("{kind} command must have a '{name}' property"))),
    };
    let expected = command.get("ChangeVector").and_then(Json::as_str).map(str::to_owned);
    Ok(Some(match kind {
        "AttachmentPUT" => {
            let content_type = command.get("ContentType").and_then(Json::as_str).unwrap_or_default();
            let bytes = streams.pop_front().ok_or_else(|| {
                let message = "the bytes of an AttachmentPUT are missing: send the batch as a form";
                ServerError::InvalidOperation(message.to_owned())
            })?;
            let content_type = content_type.to_owned();
            let content = Content::new(bytes)?;
            Command::PutAttachment { id: text("Id")?, name: text("Name")?, content_type, content, expected }
        }
        "AttachmentDELETE" => Command::DeleteAttachment { id: text("Id")?, name: text("Name")?, expected },
        "AttachmentMOVE" | "AttachmentCOPY" => Command::CopyAttachment {
            from: (text("Id")?, text("Name")?),
            to: (text("DestinationId")?, text("DestinationName")?),
            expected,
            is_move: kind == "AttachmentMOVE",
        },
        _ => return Ok(None),
    }))
}

/// The element of `Results` for a command about attachments; empty for others.
pub(crate) fn result(outcome: &Outcome, database_id: &str) -> Object {
    let mut result = Object::new();
    match outcome {
        Outcome::AttachmentPut { id, attachment, etag, .. } => {
            result.insert("Id", id.as_str());
            result.insert("Type", "AttachmentPUT");
            result.insert("Name", attachment.name.as_str());
            describe(attachment, &ChangeVector::new(*etag, database_id), &mut result);
        }
        Outcome::AttachmentDeleted { id, name, etag, .. } => {
            result.insert("Type", "AttachmentDELETE");
            result.insert("@id", id.as_str());
            result.insert("Name", name.as_str());
            if let Some(etag) = etag {
                result.insert("DocumentChangeVector", ChangeVector::new(*etag, database_id).as_str());
            }
        }
        Outcome::AttachmentCopied { source, source_name, id, attachment, etag, is_move, .. } => {
            if *is_move {
                result.insert("Id", source.as_str());
                result.insert("Type", "AttachmentMOVE");
                result.insert("Name", source_name.as_str());
                result.insert("DestinationId", id.as_str());
                result.insert("DestinationName", attachment.name.as_str());
            } else {
                result.insert("Id", id.as_str());
                result.insert("Type", "AttachmentCOPY");
                result.insert("Name", attachment.name.as_str());
            }
            describe(attachment, &ChangeVector::new(*etag, database_id), &mut result);
        }
        _ => {}
    }
    result
}

fn describe(attachment: &Attachment, change_vector: &ChangeVector, result: &mut Object) {
    result.insert("ChangeVector", change_vector.as_str());
    result.insert("Hash", attachment.hash.as_str());
    result.insert("ContentType", attachment.content_type.as_str());
    result.insert("Size", attachment.size);
    result.insert("DocumentChangeVector", change_vector.as_str());
}
