//! A web service for jobs on top of Magpie: every request becomes an event, every answer is read from an index.
//!
//! `POST /job` makes a job, `PATCH /job/{id}` changes its fields or status, `GET /job/{id}` gives its state and
//! `GET /job/{id}/history` what happened to it. Each new status is told to the job's call-back address, in order. The
//! service keeps nothing itself: ended and started again, it goes on, also with call-backs that were not yet made.

#![expect(
    clippy::indexing_slicing,
    reason = "serde_json reads what is not there as null, and only objects that are made here are written to"
)]

mod events;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use events::{Events, ServiceError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// After this time call-backs that failed are tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What every request needs.
#[derive(Clone)]
struct Service {
    events: Arc<Events>,
    /// Wakes the thread that makes call-backs.
    wake: Sender<()>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let magpie = arguments.next().unwrap_or_else(|| "http://127.0.0.1:8080/databases/magpie".to_owned());
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:8090".to_owned());

    let events = Arc::new(Events::new(&magpie));
    let (wake, woken) = mpsc::channel();
    let caller = Arc::clone(&events);
    tokio::task::spawn_blocking(move || caller.put_indexes()).await??;
    let caller = Arc::clone(&events);
    std::thread::spawn(move || make_callbacks(&caller, &woken));

    let routes = axum::Router::new()
        .route("/job", post(create))
        .route("/job/{id}", get(read).patch(change))
        .route("/job/{id}/history", get(history))
        .with_state(Service { events, wake });
    let listener = tokio::net::TcpListener::bind(&listen).await?;
    println!("Jobs are served on: http://{}", listener.local_addr()?);
    axum::serve(listener, routes).await?;
    Ok(())
}

async fn create(State(service): State<Service>, body: String) -> Response {
    answer(StatusCode::CREATED, move || {
        let body = parse(&body)?;
        let job = service.events.new_job();
        let mut event = json!({ "type": "JobCreated", "job": job });
        take_over(&body, &mut event, &["user", "callback", "fields"]);
        service.events.write(&format!("{job}/created"), event)?;
        // Who listens is gone only when the service ends.
        let _ = service.wake.send(());
        service.events.state(&job)
    })
    .await
}

async fn change(State(service): State<Service>, Path(job): Path<String>, body: String) -> Response {
    answer(StatusCode::OK, move || {
        let body = parse(&body)?;
        let state = service.events.state(&job)?;
        let known = state["status"].as_str().unwrap_or_default();
        let wanted = body["status"].as_str();
        // One id for each step of a life: of two requests that take the same step at once, the store refuses one.
        let (kind, id) = match (known, wanted) {
            (_, None) => ("JobChanged", service.events.new_change(&job)),
            ("created", Some("started")) => ("JobStarted", format!("{job}/started")),
            ("started", Some("completed")) => ("JobCompleted", format!("{job}/ended")),
            ("created" | "started", Some("failed")) => ("JobFailed", format!("{job}/ended")),
            (_, Some(wanted)) => {
                return Err(ServiceError::Conflict(format!("a job that is {known} cannot become {wanted}")));
            }
        };
        let mut event = json!({ "type": kind, "job": job, "user": state["user"] });
        take_over(&body, &mut event, &["fields"]);
        service.events.write(&id, event)?;
        if wanted.is_some() {
            let _ = service.wake.send(());
        }
        service.events.state(&job)
    })
    .await
}

async fn read(State(service): State<Service>, Path(job): Path<String>) -> Response {
    answer(StatusCode::OK, move || service.events.state(&job)).await
}

async fn history(State(service): State<Service>, Path(job): Path<String>) -> Response {
    answer(StatusCode::OK, move || service.events.history(&job)).await
}

/// Runs what may block off the threads that serve connections, and makes an answer of its outcome.
async fn answer(
    status: StatusCode,
    work: impl FnOnce() -> Result<Value, ServiceError> + Send + 'static,
) -> Response {
    let outcome = tokio::task::spawn_blocking(work).await;
    let (status, body) = match outcome.unwrap_or_else(|error| Err(ServiceError::Store(error.to_string()))) {
        Ok(body) => (status, body),
        Err(error) => {
            let status = match error {
                ServiceError::Invalid(_) => StatusCode::BAD_REQUEST,
                ServiceError::Missing(_) => StatusCode::NOT_FOUND,
                ServiceError::Conflict(_) => StatusCode::CONFLICT,
                ServiceError::Store(_) => StatusCode::BAD_GATEWAY,
            };
            (status, json!({ "error": error.to_string() }))
        }
    };
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

/// The body of a request; what the indexes would refuse is refused here, before it is written.
fn parse(body: &str) -> Result<Value, ServiceError> {
    let body: Value = serde_json::from_str(body).map_err(|error| ServiceError::Invalid(error.to_string()))?;
    let is_plain = |value: &Value| match value {
        Value::Number(number) => number.as_i64().is_some_and(|whole| whole.abs() < 1 << 53),
        other => !other.is_array() && !other.is_object(),
    };
    let fields = &body["fields"];
    let fields_fit = fields.as_object().is_some_and(|fields| fields.values().all(is_plain));
    if !body.is_object() || !(fields.is_null() || fields_fit) {
        let message = "fields must be an object of texts, whole numbers, true, false and null";
        return Err(ServiceError::Invalid(message.to_owned()));
    }
    for name in ["user", "callback", "status"] {
        if !(body[name].is_null() || body[name].is_string()) {
            return Err(ServiceError::Invalid(format!("{name} must be a text")));
        }
    }
    Ok(body)
}

fn take_over(body: &Value, event: &mut Value, names: &[&str]) {
    for name in names {
        event[*name] = body[*name].clone();
    }
    // Every job is somebody's.
    if event["user"].is_null() {
        event["user"] = "users/anonymous".into();
    }
}

/// Makes the call-backs that are due whenever it is woken, and again after a while as long as some fail.
///
/// Each is told at least once: after a crash between the call and its mark it is told again, with the same `event`.
fn make_callbacks(events: &Events, woken: &Receiver<()>) {
    loop {
        if events.deliver_due().unwrap_or(false) {
            // All are made. New ones may have become due meanwhile; then a wake waits in the channel already.
            if woken.recv().is_err() {
                return;
            }
        } else if woken.recv_timeout(RETRY_AFTER) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        while woken.try_recv().is_ok() {}
    }
}
