//! An answer that is written while it is made: a thread fills chunks, the connection takes them, and a client that
//! does not read makes the thread wait. Nothing else is held.

use crate::envelope::JSON_TYPE;
use crate::error::ServerError;
use crate::limits::{STREAM_CHUNK_BYTES, STREAM_CHUNKS_WAITING_MAX, STREAM_FLUSH_MS, STREAM_IDLE_MS_MAX};
use crate::state::{AppState, blocking};
use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Why a stream ended early: the client is gone or does not read, or the server stops.
#[derive(Debug)]
pub(crate) struct Gone;

/// The writing end of a streamed answer, used on a thread for blocking work.
pub(crate) struct ChunkWriter {
    chunk: Vec<u8>,
    sent_at: Instant,
    chunks: mpsc::Sender<Result<Bytes, std::io::Error>>,
    /// Tells the handler that the answer has begun, so that its status is 200.
    begun: Option<oneshot::Sender<Result<(), ServerError>>>,
    app: AppState,
}

impl ChunkWriter {
    /// Begins the answer: from here on errors cannot become a status any more.
    pub(crate) fn begin(&mut self) {
        if let Some(begun) = self.begun.take() {
            // A handler that is gone shows in the first chunk.
            let _ = begun.send(Ok(()));
        }
    }

    /// Appends what `write` writes, and sends when there is enough or enough time has passed.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Gone> {
        write(&mut self.chunk);
        let is_late = || self.sent_at.elapsed() >= Duration::from_millis(STREAM_FLUSH_MS);
        if self.chunk.len() >= STREAM_CHUNK_BYTES || is_late() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Gone> {
        self.sent_at = Instant::now();
        let chunk = std::mem::take(&mut self.chunk);
        if chunk.is_empty() { Ok(()) } else { self.send(Ok(Bytes::from(chunk))) }
    }

    fn send(&self, chunk: Result<Bytes, std::io::Error>) -> Result<(), Gone> {
        let patience = Duration::from_millis(STREAM_IDLE_MS_MAX);
        Handle::current().block_on(async {
            tokio::select! {
                sent = tokio::time::timeout(patience, self.chunks.send(chunk)) => match sent {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) | Err(_) => Err(Gone),
                },
                () = self.app.stopping() => Err(Gone),
            }
        })
    }
}

/// Runs `work` on a thread for blocking work and answers with what it writes. An error before [`ChunkWriter::begin`]
/// becomes an ordinary error answer; a later one breaks the connection off, so that nobody takes a part for the whole.
///
/// # Errors
/// What `work` answers before it begins.
pub(crate) async fn respond(
    app: AppState,
    work: impl FnOnce(&mut ChunkWriter) -> Result<(), ServerError> + Send + 'static,
) -> Result<Response, ServerError> {
    let place = app.stream_place().await?;
    let (sender, receiver) = mpsc::channel(STREAM_CHUNKS_WAITING_MAX);
    let (begin, begun) = oneshot::channel();
    let broken = sender.clone();
    let mut writer =
        ChunkWriter { chunk: Vec::new(), sent_at: Instant::now(), chunks: sender, begun: Some(begin), app };
    tokio::spawn(async move {
        let done = blocking(move || {
            let worked = work(&mut writer);
            match (worked, writer.begun.take()) {
                (Err(error), Some(begun)) => {
                    let _ = begun.send(Err(error));
                    Ok(())
                }
                (Err(error), None) => {
                    let _ = writer.flush();
                    Err(error)
                }
                (Ok(()), _) => writer.flush().or(Ok(())),
            }
        })
        .await;
        drop(place);
        if let Err(error) = done {
            tracing::warn!(error = ?error.to_string(), "a stream broke off");
            let _ = broken.send(Err(std::io::Error::other("the stream broke off"))).await;
        }
    });
    match begun.await {
        Ok(Ok(())) => {
            Ok((StatusCode::OK, [(CONTENT_TYPE, JSON_TYPE)], Body::new(Chunks { receiver, broken: None }))
                .into_response())
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ServerError::Panicked("the stream ended before it began".to_owned())),
    }
}

/// The reading end, as the body of the answer.
struct Chunks {
    receiver: mpsc::Receiver<Result<Bytes, std::io::Error>>,
    broken: Option<std::io::Error>,
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match self.receiver.poll_recv(context) {
            Poll::Ready(Some(Err(error))) => {
                // An error drops what the connection has not sent yet, so it gets a turn to send.
                self.broken = Some(error);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            other => other.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
        }
    }
}
