//! Reading request bodies: whole ones up to a limit, streamed ones piece by piece, both plain or gzip.
//!
//! The JSON clients are not uniform about `Content-Type` (some send none), so it is never looked at.

use crate::error::ServerError;
use crate::gzip::Inflater;
use crate::limits::{BODY_IDLE_MS_MAX, DRAIN_BYTES_MAX, DRAIN_MS_MAX};
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use http_body_util::BodyExt;
use magpie_store::json::{self, Json, JsonError, Object};
use std::time::Duration;
use tokio::time::Instant;

/// A request's body as it comes in.
pub(crate) struct BodyStream {
    body: Body,
    /// When the last chunk came.
    moved: Instant,
    /// Whether the last chunk has been read.
    ended: bool,
}

impl BodyStream {
    /// Nothing is read yet.
    pub(crate) fn new(body: Body) -> Self {
        Self { body, moved: Instant::now(), ended: false }
    }

    /// The next chunk; `None` at the end. May be cancelled and called again.
    ///
    /// # Errors
    /// [`ServerError::BodyBroken`] when the connection breaks, [`ServerError::BodyIdle`] when nothing comes for long.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ServerError> {
        loop {
            let until = self.moved + Duration::from_millis(BODY_IDLE_MS_MAX);
            let frame = tokio::time::timeout_at(until, self.body.frame()).await;
            self.moved = Instant::now();
            match frame {
                Err(_) => return Err(ServerError::BodyIdle { ms: BODY_IDLE_MS_MAX }),
                Ok(None) => {
                    self.ended = true;
                    return Ok(None);
                }
                Ok(Some(Err(cause))) => {
                    self.ended = true;
                    return Err(ServerError::BodyBroken(innermost(&cause)));
                }
                Ok(Some(Ok(frame))) => {
                    // Trailers carry nothing that is used here.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Reads and drops what is left, for at most `time`, next to the answer: a client that is still sending would
    /// otherwise see a reset connection instead of the answer.
    pub(crate) fn drain_in_background(mut self, time: Duration) {
        if self.ended {
            return;
        }
        tokio::spawn(async move {
            let drain = async {
                let mut left = DRAIN_BYTES_MAX;
                while let Ok(Some(chunk)) = self.chunk().await {
                    left = left.saturating_sub(chunk.len());
                    if left == 0 {
                        return;
                    }
                }
            };
            // Whether it ended or timed out, the connection is closed next.
            let _ = tokio::time::timeout(time, drain).await;
        });
    }
}

/// The `Content-Encoding` of a request.
pub(crate) fn encoding(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok())
}

/// Reads a whole body, inflated, of at most `limit` bytes.
///
/// # Errors
/// [`ServerError::TooLarge`] beyond the limit, and what reading and inflating can answer.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Vec<u8>, ServerError> {
    let mut stream = BodyStream::new(body);
    let read = read_stream(headers, &mut stream, limit).await;
    if read.is_err() {
        stream.drain_in_background(Duration::from_millis(DRAIN_MS_MAX));
    }
    read
}

async fn read_stream(
    headers: &HeaderMap,
    stream: &mut BodyStream,
    limit: usize,
) -> Result<Vec<u8>, ServerError> {
    let mut inflater = Inflater::new(encoding(headers))?;
    let mut whole = Vec::new();
    while let Some(chunk) = stream.chunk().await? {
        for step in inflater.steps(&chunk) {
            // A step of a hostile stream grows to megabytes: others get their turn between steps.
            tokio::task::yield_now().await;
            append(&mut whole, &inflater.inflate(step)?, limit)?;
        }
    }
    let rest = inflater.finish()?;
    append(&mut whole, &rest, limit)?;
    Ok(whole)
}

fn append(whole: &mut Vec<u8>, piece: &[u8], limit: usize) -> Result<(), ServerError> {
    if whole.len() + piece.len() > limit {
        return Err(ServerError::TooLarge {
            what: "the request's body",
            limit_name: "request_body_bytes_max",
            limit,
            advice: "send it in parts, or stream it with bulk_insert or docs/ndjson",
        });
    }
    whole.extend_from_slice(piece);
    Ok(())
}

/// Parses a body that must be a JSON object. Blocking for large bodies: call it off the async threads.
///
/// # Errors
/// [`ServerError::JsonEnded`] when the text ends too early, [`ServerError::Json`] for other faults, with line and
/// column; [`ServerError::NotAnObject`] for other JSON.
pub(crate) fn parse_object(text: &[u8]) -> Result<Object, ServerError> {
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => return Err(ServerError::NotAnObject { found: "StartArray" }),
        Some(b'"') => return Err(ServerError::NotAnObject { found: "String" }),
        Some(b'-' | b'0'..=b'9') => return Err(ServerError::NotAnObject { found: "Number" }),
        _ => {}
    }
    match json::parse(text) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err(ServerError::NotAnObject { found: "a literal" }),
        Err(error) if is_at_end(text, &error) => Err(ServerError::JsonEnded(error)),
        Err(error) => Err(ServerError::Json(error)),
    }
}

/// That a property of a body has a value of another type.
pub(crate) fn unconvertible(name: &'static str, value: &Json, expected: &'static str) -> ServerError {
    ServerError::Unconvertible { name, value: value.to_string().chars().take(100).collect(), expected }
}

/// Whether the parser failed because there was no more text.
fn is_at_end(text: &[u8], error: &JsonError) -> bool {
    let text = text.trim_ascii_end();
    let line = 1 + text.iter().filter(|byte| **byte == b'\n').count();
    let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or(&[]);
    let characters = String::from_utf8_lossy(last).chars().count();
    let (at_line, at_column) = (error.line as usize, error.column as usize);
    at_line > line || (at_line == line && at_column > characters)
}

/// The words of the deepest cause.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::parse_object;
    use crate::error::ServerError;

    #[test]
    fn a_text_that_ends_early_is_told_from_a_wrong_one() {
        for text in ["", " \n", "{\"a\":1", "{\"a\":", "{", "{\"a\":\n\"x"] {
            assert!(matches!(parse_object(text.as_bytes()), Err(ServerError::JsonEnded(_))), "{text:?}");
        }
        for text in ["{a:1}", "{\"a\":1}}", "{\"a\":1,\n}", "{\"a\":1,\"a\":2}"] {
            assert!(matches!(parse_object(text.as_bytes()), Err(ServerError::Json(_))), "{text:?}");
        }
        for text in ["[1", "5", "\"x\"", "null"] {
            assert!(
                matches!(parse_object(text.as_bytes()), Err(ServerError::NotAnObject { .. })),
                "{text:?}"
            );
        }
        assert!(parse_object(b" {\"a\":1} \n").is_ok());
    }
}
