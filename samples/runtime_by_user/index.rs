//! How long each user's jobs ran, in total and per UTC day: the Rust twin of `index.js`.

use crate::native::{
    NativeSource, ScriptOrder, day_text, object, objects, product, refuse, sum, text, utc, whole,
    whole_or_null,
};
use magpie_indexes::function::{Emitted, FunctionError, Loads, SharedSource};
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use std::collections::BTreeMap;

const DAY_SECONDS: i64 = 86_400;

/// The index, ready to be registered.
#[must_use]
pub fn source() -> SharedSource {
    NativeSource {
        revision: "magpie-samples/runtime_by_user/1",
        collections: &["JobStarted", "JobCompleted"],
        loads: &[],
        group_by: &["user"],
        fields: &["user", "jobs", "seconds", "processorSeconds", "days", "open"],
        map,
        reduce,
        finalize: None,
        options: "{}",
    }
    .shared()
}

/// What is known of a job: half of it until both its events have met.
#[derive(Clone, Copy, Default)]
struct Run {
    from: Option<i64>,
    to: Option<i64>,
    procs: Option<i64>,
}

impl Run {
    fn read(object: &Object) -> Result<Self, FunctionError> {
        Ok(Self {
            from: whole_or_null(object, "from")?,
            to: whole_or_null(object, "to")?,
            procs: whole_or_null(object, "procs")?,
        })
    }

    fn join(self, known: Self) -> Self {
        Self { from: self.from.or(known.from), to: self.to.or(known.to), procs: self.procs.or(known.procs) }
    }

    fn json(self, job: &str) -> Json {
        object([
            ("job", job.into()),
            ("from", self.from.into()),
            ("to", self.to.into()),
            ("procs", self.procs.into()),
        ])
    }
}

#[derive(Clone, Copy, Default)]
struct Usage {
    seconds: i64,
    processor_seconds: i64,
}

impl Usage {
    fn add(&mut self, other: Self) -> Result<(), FunctionError> {
        self.seconds = sum(self.seconds, other.seconds)?;
        self.processor_seconds = sum(self.processor_seconds, other.processor_seconds)?;
        Ok(())
    }
}

fn map(document: &Document, _loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
    let event = document.body_json();
    let user = text(&event, "user")?;
    let job = text(&event, "job")?;
    let (_, second) = utc(&event)?;
    let half = if document.collection.key() == "jobstarted" {
        Run { from: Some(second), procs: Some(processors(&event)?), to: None }
    } else {
        Run { to: Some(second), ..Run::default() }
    };
    let value = user_json(&user.into(), 0, Usage::default(), Vec::new(), vec![half.json(job)]);
    Ok(vec![Emitted { key: vec![user.into()], value }])
}

/// How many processors; a job that does not say runs on one.
fn processors(event: &Object) -> Result<i64, FunctionError> {
    let procs = whole_or_null(event, "procs")?.unwrap_or(1);
    if procs < 0 { Err(refuse("procs must be a whole number".to_owned())) } else { Ok(procs) }
}

fn reduce(key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
    let mut days: BTreeMap<String, Usage> = BTreeMap::new();
    let mut open: BTreeMap<ScriptOrder<'_>, Run> = BTreeMap::new();
    let mut jobs = 0;
    for value in values {
        let fields = value.as_object().ok_or_else(|| refuse("a value must be an object".to_owned()))?;
        jobs = sum(jobs, whole(fields, "jobs")?)?;
        for day in objects(value, "days")? {
            let usage =
                Usage { seconds: whole(day, "seconds")?, processor_seconds: whole(day, "processorSeconds")? };
            days.entry(text(day, "day")?.to_owned()).or_default().add(usage)?;
        }
        for half in objects(value, "open")? {
            let job = ScriptOrder(text(half, "job")?);
            let run = Run::read(half)?.join(open.remove(&job).unwrap_or_default());
            match (run.from, run.to) {
                (Some(from), Some(to)) => {
                    jobs = sum(jobs, 1)?;
                    spread(&mut days, from, to, run.procs.unwrap_or(0))?;
                }
                _ => {
                    open.insert(job, run);
                }
            }
        }
    }

    let mut total = Usage::default();
    for usage in days.values() {
        total.add(*usage)?;
    }
    let days = days.iter().map(|(day, usage)| {
        object([
            ("day", day.as_str().into()),
            ("seconds", usage.seconds.into()),
            ("processorSeconds", usage.processor_seconds.into()),
        ])
    });
    let open = open.iter().map(|(job, run)| run.json(job.0)).collect();
    let user = key.first().cloned().unwrap_or_default();
    Ok(user_json(&user, jobs, total, days.collect(), open))
}

/// Splits a finished job at every midnight (UTC) that it ran over.
fn spread(days: &mut BTreeMap<String, Usage>, from: i64, to: i64, procs: i64) -> Result<(), FunctionError> {
    let mut start = from;
    while start < to {
        let midnight = (start.div_euclid(DAY_SECONDS) + 1) * DAY_SECONDS;
        let end = to.min(midnight);
        let seconds = end - start;
        let usage = Usage { seconds, processor_seconds: product(seconds, procs)? };
        days.entry(day_text(start)).or_default().add(usage)?;
        start = end;
    }
    Ok(())
}

fn user_json(user: &Json, jobs: i64, total: Usage, days: Vec<Json>, open: Vec<Json>) -> Json {
    object([
        ("user", user.clone()),
        ("jobs", jobs.into()),
        ("seconds", total.seconds.into()),
        ("processorSeconds", total.processor_seconds.into()),
        ("days", days.into()),
        ("open", open.into()),
    ])
}
