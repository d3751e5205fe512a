//! The history of each job and its call-backs: the Rust twin of `index.js`.

use super::{field_json, fields};
use crate::moment::{Dated, Moment, keep_later};
use crate::native::{NativeSource, ScriptOrder, object, objects, text};
use magpie_indexes::function::{Emitted, FunctionError, Loads, SharedSource};
use magpie_store::Document;
use magpie_store::json::Json;
use std::collections::{BTreeMap, BTreeSet};

/// What a job is told to be, in the order of its life.
const STEPS: [&str; 4] = ["created", "started", "completed", "failed"];

/// The index, ready to be registered.
#[must_use]
pub fn source() -> SharedSource {
    NativeSource {
        revision: "magpie-samples/job_service/job_history/1",
        collections: &[
            "JobCreated",
            "JobChanged",
            "JobStarted",
            "JobCompleted",
            "JobFailed",
            "CallbackDelivered",
        ],
        loads: &[],
        group_by: &["job"],
        fields: &["job", "history", "callback", "delivered"],
        map,
        reduce,
        finalize: Some((finalize, &["job", "history", "callback", "delivered", "pending", "waiting"])),
        options: "{}",
    }
    .shared()
}

/// The fields of a reduced value, besides the job.
#[derive(Default)]
struct History {
    entries: Vec<Json>,
    callback: Json,
    delivered: Vec<Json>,
}

impl History {
    fn json(self, job: Json) -> Json {
        object([
            ("job", job),
            ("history", self.entries.into()),
            ("callback", self.callback),
            ("delivered", self.delivered.into()),
        ])
    }
}

fn map(document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
    let event = document.body_json();
    let job: Json = text(&event, "job")?.into();
    let mut history = History::default();
    let what = match document.collection.key() {
        "callbackdelivered" => {
            history.delivered.push(text(&event, "event")?.into());
            return Ok(vec![Emitted { key: vec![job.clone()], value: history.json(job) }]);
        }
        "jobcreated" => "created",
        "jobstarted" => "started",
        "jobcompleted" => "completed",
        "jobfailed" => "failed",
        _ => "changed",
    };
    let moment = Moment::of(document, &event)?;
    let fields: Vec<Json> =
        fields(&event)?.into_iter().map(|(name, value)| field_json(name, value, [])).collect();
    history.entries.push(object([
        ("event", moment.event()),
        ("what", what.into()),
        ("at", moment.at()),
        ("fields", fields.into()),
    ]));
    // Who is to be told of each new status; nobody, if the creation names no address.
    if what == "created" && event.get("callback").is_some_and(|url| !url.is_null()) {
        let url = text(&event, "callback")?.into();
        history.callback = object([("url", url), ("at", moment.at()), ("event", moment.event())]);
    }
    Ok(vec![Emitted { key: vec![job.clone()], value: history.json(job) }])
}

fn reduce(key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
    let mut in_order: BTreeMap<Moment<'_>, &Json> = BTreeMap::new();
    let mut delivered = BTreeSet::new();
    let mut callback: Option<Dated<'_>> = None;
    for value in values {
        keep_later(&mut callback, value, "callback")?;
        let entries = value.get("history").and_then(Json::as_array).unwrap_or_default();
        for (object, entry) in objects(value, "history")?.into_iter().zip(entries) {
            in_order.insert(Moment::read(object)?, entry);
        }
        let events = value.get("delivered").and_then(Json::as_array).unwrap_or_default();
        delivered.extend(events.iter().filter_map(Json::as_str).map(ScriptOrder));
    }

    let history = History {
        entries: in_order.into_values().cloned().collect(),
        callback: callback.map_or(Json::Null, |(_, callback)| callback.clone()),
        delivered: delivered.into_iter().map(|event| event.0.into()).collect(),
    };
    Ok(history.json(key.first().cloned().unwrap_or_default()))
}

fn finalize(reduced: &Json) -> Result<Json, FunctionError> {
    let field = |name| reduced.get(name).cloned().unwrap_or_default();
    let events = reduced.get("delivered").and_then(Json::as_array).unwrap_or_default();
    let delivered: BTreeSet<&str> = events.iter().filter_map(Json::as_str).collect();
    let mut pending = Vec::new();
    if reduced.get("callback").is_some_and(|callback| !callback.is_null()) {
        // Call-backs go in the order of the life of a job, whatever the clocks say.
        for step in STEPS {
            for entry in objects(reduced, "history")? {
                let event = text(entry, "event")?;
                if text(entry, "what")? == step && !delivered.contains(event) {
                    let at = text(entry, "at")?.into();
                    pending.push(object([("event", event.into()), ("status", step.into()), ("at", at)]));
                }
            }
        }
    }
    let waiting = pending.len();
    Ok(object([
        ("job", field("job")),
        ("history", field("history")),
        ("callback", field("callback")),
        ("delivered", field("delivered")),
        ("pending", pending.into()),
        ("waiting", waiting.into()),
    ]))
}
