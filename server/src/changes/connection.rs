//! `GET changes`: one connection that watches.
//!
//! It holds the database only while it makes messages, so that a deleted database can close; then the queue ends and
//! with it the connection.

use super::Event;
use super::queue::Receiver;
use super::watch::{self, Watches};
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::limits::{
    CHANGES_COMMAND_BYTES_MAX, CHANGES_HEARTBEAT_MS, CHANGES_MESSAGES_MAX, CHANGES_QUEUE_MAX,
    CHANGES_SEND_MS_MAX,
};
use crate::request::DatabaseRequest;
use crate::state::AppState;
use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use magpie_store::json::Json;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// `GET changes`, a WebSocket.
pub(crate) async fn get(
    request: DatabaseRequest,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ServerError> {
    let upgrade = upgrade.map_err(|refused| {
        ServerError::InvalidOperation(format!("changes are told over a WebSocket: {refused}"))
    })?;
    let place = request.app.changes_place()?;
    let receiver = request.database.changes().listen(&request.database);
    let (app, database) = (request.app.clone(), Arc::downgrade(&request.database));
    Ok(upgrade
        .max_message_size(CHANGES_COMMAND_BYTES_MAX)
        .max_frame_size(CHANGES_COMMAND_BYTES_MAX)
        .on_upgrade(move |socket| async move {
            let connection =
                Connection { socket, database, receiver, watches: Watches::default(), _place: place };
            connection.run(&app).await;
        }))
}

struct Connection {
    socket: WebSocket,
    database: Weak<OpenDatabase>,
    receiver: Receiver,
    watches: Watches,
    _place: OwnedSemaphorePermit,
}

/// How a connection ends.
struct End {
    code: u16,
    reason: &'static str,
}

const GONE: End = End { code: close_code::NORMAL, reason: "" };
const DATABASE_CLOSED: End = End { code: close_code::AWAY, reason: "the database was closed" };
const STOPPING: End = End { code: close_code::RESTART, reason: "the server is stopping" };
const TOO_SLOW: End = End { code: close_code::POLICY, reason: "changes were not read fast enough" };
const NOT_TEXT: End = End { code: close_code::UNSUPPORTED, reason: "commands are JSON text" };

impl Connection {
    async fn run(mut self, app: &AppState) {
        let Err(end) = self.follow(app).await;
        let frame = CloseFrame { code: end.code, reason: end.reason.into() };
        // The client may be gone, or not read.
        let _ = timeout(
            Duration::from_millis(CHANGES_SEND_MS_MAX),
            self.socket.send(Message::Close(Some(frame))),
        )
        .await;
    }

    /// Serves the connection until it ends, which is an error.
    async fn follow(&mut self, app: &AppState) -> Result<std::convert::Infallible, End> {
        let mut heartbeat = interval(Duration::from_millis(CHANGES_HEARTBEAT_MS));
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        loop {
            tokio::select! {
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => self.command(text.as_str()).await?,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Binary(_))) => return Err(NOT_TEXT),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(GONE),
                },
                event = self.receiver.next() => match event {
                    Some(event) => self.events(event).await?,
                    None if self.receiver.was_cut_off() => return Err(self.cut_off().await),
                    None => return Err(DATABASE_CLOSED),
                },
                // Finds out when the client is gone. Not as text: the clients would read JSON in it.
                _ = heartbeat.tick() => self.send(Message::Ping(Bytes::new())).await?,
                () = app.stopping() => return Err(STOPPING),
            }
        }
    }

    async fn command(&mut self, text: &str) -> Result<(), End> {
        let Some(database) = self.database.upgrade() else { return Err(DATABASE_CLOSED) };
        let newest = database.documents().last_etag();
        drop(database);
        let answer = self.watches.command(text, newest);
        self.send_all(vec![Json::Object(answer)]).await
    }

    /// Sends what is watched of this event and of those that wait behind it, in one message.
    async fn events(&mut self, first: Event) -> Result<(), End> {
        let mut next = Some(first);
        let mut messages = Vec::new();
        {
            let Some(database) = self.database.upgrade() else { return Err(DATABASE_CLOSED) };
            let id = database.documents().id();
            while let Some(event) = next.take() {
                let state = |operation| database.operations().state_body(operation);
                messages.extend(self.watches.message(&event, id, state).map(Json::Object));
                if messages.len() < CHANGES_MESSAGES_MAX {
                    next = self.receiver.waiting();
                }
            }
        }
        if messages.is_empty() {
            return Ok(());
        }
        self.send_all(messages).await
    }

    /// Tells a connection that fell behind that it did, before it ends.
    async fn cut_off(&mut self) -> End {
        let text = format!(
            "this connection did not read changes fast enough: at most {CHANGES_QUEUE_MAX} (changes_queue_max) are kept \
             for it; connect again, watch less, and read what may have changed meanwhile"
        );
        // It is cut off whether it reads that or not.
        let _ = self.send_all(vec![Json::Object(watch::error(&Json::Null, &text))]).await;
        TOO_SLOW
    }

    /// Sends messages in one frame. Always as an array, also a single one: RavenDB's Python client cuts off the first
    /// and the last character of each frame without looking at them.
    async fn send_all(&mut self, messages: Vec<Json>) -> Result<(), End> {
        self.send(Message::Text(Json::Array(messages).to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        let sent = self.socket.send(message);
        match timeout(Duration::from_millis(CHANGES_SEND_MS_MAX), sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(GONE),
            Err(_) => Err(TOO_SLOW),
        }
    }
}
