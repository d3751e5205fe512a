//! The state of each job: the Rust twin of `index.js`.

use super::{field_json, fields};
use crate::moment::{Dated, Moment, keep_later};
use crate::native::{NativeSource, ScriptOrder, object, objects, text};
use magpie_indexes::function::{Emitted, FunctionError, Loads, SharedSource};
use magpie_store::Document;
use magpie_store::json::Json;
use std::collections::BTreeMap;

/// The index, ready to be registered.
#[must_use]
pub fn source() -> SharedSource {
    NativeSource {
        revision: "magpie-samples/job_service/job_state/1",
        collections: &["JobCreated", "JobChanged", "JobStarted", "JobCompleted", "JobFailed"],
        loads: &[],
        group_by: &["job"],
        fields: &["job", "user", "status", "created", "started", "ended", "fields"],
        map,
        reduce,
        finalize: None,
        options: "{}",
    }
    .shared()
}

/// The steps of a job's life, each `null` until it is known.
#[derive(Default)]
struct Steps {
    created: Json,
    started: Json,
    ended: Json,
}

fn map(document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
    let event = document.body_json();
    let job: Json = text(&event, "job")?.into();
    let moment = Moment::of(document, &event)?;
    let dated = || [("at", moment.at()), ("event", moment.event())];
    let ended = |status: &str| Json::Object([("status", status.into())].into_iter().chain(dated()).collect());
    let mut steps = Steps::default();
    match document.collection.key() {
        "jobcreated" => {
            let user = [("user", text(&event, "user")?.into())];
            steps.created = Json::Object(user.into_iter().chain(dated()).collect());
        }
        "jobstarted" => steps.started = object(dated()),
        "jobcompleted" => steps.ended = ended("completed"),
        "jobfailed" => steps.ended = ended("failed"),
        _ => {}
    }
    let fields = fields(&event)?.into_iter().map(|(name, value)| field_json(name, value, dated())).collect();
    let value = job_json(job.clone(), (Json::Null, Json::Null), steps, fields);
    Ok(vec![Emitted { key: vec![job], value }])
}

fn reduce(key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
    let (mut created, mut started, mut ended): (Option<Dated<'_>>, _, Option<Dated<'_>>) = (None, None, None);
    let mut by_name: BTreeMap<ScriptOrder<'_>, Dated<'_>> = BTreeMap::new();
    for value in values {
        keep_later(&mut created, value, "created")?;
        keep_later(&mut started, value, "started")?;
        keep_later(&mut ended, value, "ended")?;
        let fields = value.get("fields").and_then(Json::as_array).unwrap_or_default();
        for (object, field) in objects(value, "fields")?.into_iter().zip(fields) {
            let met = (Moment::read(object)?, field);
            let known = by_name.entry(ScriptOrder(text(object, "name")?)).or_insert(met);
            if met.0 > known.0 {
                *known = met;
            }
        }
    }

    // What has ended has started, whatever the clocks of those who told it say.
    let before: Json = match (started, created) {
        (Some(_), _) => "started".into(),
        (None, Some(_)) => "created".into(),
        (None, None) => Json::Null,
    };
    let of = |dated: Option<Dated<'_>>, name| dated.and_then(|(_, step)| step.get(name)).cloned();
    let told = (of(created, "user").unwrap_or_default(), of(ended, "status").unwrap_or(before));
    let json = |dated: Option<Dated<'_>>| dated.map_or(Json::Null, |(_, step)| step.clone());
    let steps = Steps { created: json(created), started: json(started), ended: json(ended) };
    let fields = by_name.into_values().map(|(_, field)| field.clone()).collect();
    Ok(job_json(key.first().cloned().unwrap_or_default(), told, steps, fields))
}

fn job_json(job: Json, (user, status): (Json, Json), steps: Steps, fields: Vec<Json>) -> Json {
    object([
        ("job", job),
        ("user", user),
        ("status", status),
        ("created", steps.created),
        ("started", steps.started),
        ("ended", steps.ended),
        ("fields", fields.into()),
    ])
}
