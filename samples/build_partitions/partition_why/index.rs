//! Why each partition is not live: the Rust twin of `index.js`.

use crate::moment::{Dated, Moment};
use crate::native::{NativeSource, ScriptOrder, object, text};
use magpie_indexes::function::{Emitted, FunctionError, Loads, SharedSource};
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use std::collections::BTreeSet;

/// The index, ready to be registered.
#[must_use]
pub fn source() -> SharedSource {
    NativeSource {
        revision: "magpie-samples/build_partitions/partition_why/1",
        collections: &["PartitionStates"],
        loads: &[],
        group_by: &["partition"],
        fields: &["partition", "live", "state", "absent"],
        map,
        reduce,
        finalize: Some((finalize, &["partition", "live", "reason", "why", "missing", "state", "absent"])),
        options: "{}",
    }
    .shared()
}

/// Why a partition is not live: a word, a sentence, and the inputs that are missing.
#[derive(Default)]
struct Answer {
    reason: Option<&'static str>,
    why: Option<String>,
    missing: Vec<Json>,
}

impl Answer {
    fn new(reason: &'static str, why: String) -> Self {
        Self { reason: Some(reason), why: Some(why), missing: Vec::new() }
    }
}

fn map(document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
    let body = document.body_json();
    let field = |name| body.get(name).cloned().unwrap_or_default();
    let live = body.get("live").and_then(Json::as_bool).unwrap_or(false);
    let partition = field("partition");
    let state = object(["built", "tainted", "runs", "wants"].map(|name| (name, field(name))));
    let own = value_json(partition.clone(), live, state, Vec::new());
    let mut emitted = vec![Emitted { key: vec![partition.clone()], value: own }];
    if !live {
        // A partition that is not live tells those that need it.
        for needing in body.get("neededBy").and_then(Json::as_array).unwrap_or_default() {
            let absent = vec![partition.clone()];
            let value = value_json(needing.clone(), false, Json::Null, absent);
            emitted.push(Emitted { key: vec![needing.clone()], value });
        }
    }
    Ok(emitted)
}

fn reduce(key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
    let mut live = false;
    let mut state: Option<&Json> = None;
    let mut absent = BTreeSet::new();
    for value in values {
        live |= value.get("live").and_then(Json::as_bool).unwrap_or(false);
        state = only(state, value.get("state").filter(|state| !state.is_null()));
        let names = value.get("absent").and_then(Json::as_array).unwrap_or_default();
        absent.extend(names.iter().filter_map(Json::as_str).map(ScriptOrder));
    }
    let absent = absent.into_iter().map(|name| name.0.into()).collect();
    let partition = key.first().cloned().unwrap_or_default();
    Ok(value_json(partition, live, state.cloned().unwrap_or_default(), absent))
}

fn value_json(partition: Json, live: bool, state: Json, absent: Vec<Json>) -> Json {
    object([("partition", partition), ("live", live.into()), ("state", state), ("absent", absent.into())])
}

fn finalize(reduced: &Json) -> Result<Json, FunctionError> {
    let field = |name| reduced.get(name).cloned().unwrap_or_default();
    let is_live = reduced.get("live").and_then(Json::as_bool).unwrap_or(false);
    let names = reduced.get("absent").and_then(Json::as_array).unwrap_or_default();
    let answer = match reduced.get("state").and_then(Json::as_object) {
        _ if is_live => Answer { reason: Some("live"), ..Answer::default() },
        Some(state) => explain(state, &names.iter().filter_map(Json::as_str).collect())?,
        None => Answer::default(),
    };
    Ok(object([
        ("partition", field("partition")),
        ("live", is_live.into()),
        ("reason", answer.reason.into()),
        ("why", answer.why.into()),
        ("missing", answer.missing.into()),
        ("state", field("state")),
        ("absent", field("absent")),
    ]))
}

/// A partition has one state. Were there two, the choice must not depend on which comes first.
fn only<'a>(a: Option<&'a Json>, b: Option<&'a Json>) -> Option<&'a Json> {
    let (Some(one), Some(other)) = (a, b) else { return a.or(b) };
    let (first, second) = (one.to_string(), other.to_string());
    if ScriptOrder(&first) > ScriptOrder(&second) { a } else { b }
}

fn explain(state: &Object, absent: &BTreeSet<&str>) -> Result<Answer, FunctionError> {
    let mut running = Vec::new();
    let mut last: Option<Dated<'_>> = None;
    for value in state.get("runs").and_then(Json::as_array).unwrap_or_default() {
        let Some(dated) = Moment::dated(value)? else { continue };
        if word(value, "status") == "running" {
            running.push(format!("{} runs since {}", word(value, "run"), word(value, "at")));
        }
        last = last.into_iter().chain([dated]).max_by_key(|(moment, _)| *moment);
    }
    if !running.is_empty() {
        return Ok(Answer::new("running", running.join(", ")));
    }
    let Some((_, last)) = last else { return unstarted(state) };
    let run = word(last, "run");
    if word(last, "status") == "failed" {
        let why = format!("{run} failed at {}: {}", word(last, "at"), word(last, "error"));
        return Ok(Answer::new("failed", why));
    }
    let inputs = last.get("missing").and_then(Json::as_array).unwrap_or_default();
    let names = inputs.iter().filter_map(Json::as_str);
    let missing: Vec<&str> = names.filter(|name| absent.contains(name)).collect();
    if missing.is_empty() {
        let why = format!("all that {run} needed is there, and no run has started since");
        return Ok(Answer::new("ready", why));
    }
    let why = format!("{run} needs {}", missing.join(", "));
    let missing = missing.into_iter().map(Json::from).collect();
    Ok(Answer { missing, ..Answer::new("missing inputs", why) })
}

/// The answer for a partition that no run was about since its last build.
fn unstarted(state: &Object) -> Result<Answer, FunctionError> {
    // Live until the first taint, the partition served the wants from before it.
    let taints = state.get("tainted").and_then(Json::as_array).unwrap_or_default();
    let tainted = taints.first().map_or(Ok(None), Moment::dated)?;
    let was_built = state.get("built").is_some_and(|built| !built.is_null());
    let served_until = tainted.map(|(moment, _)| moment).filter(|_| was_built);
    let mut open = Vec::new();
    for value in state.get("wants").and_then(Json::as_array).unwrap_or_default() {
        let Some((moment, _)) = Moment::dated(value)? else { continue };
        let is_open = value.get("open").and_then(Json::as_bool).unwrap_or(false);
        if is_open && served_until.is_none_or(|until| moment > until) {
            open.push(value.as_object().map_or(Ok(""), |want| text(want, "want"))?);
        }
    }
    let before = tainted.map_or_else(String::new, |(_, tainted)| {
        format!("tainted at {}: {}; ", word(tainted, "at"), word(tainted, "reason"))
    });
    if open.is_empty() {
        return Ok(Answer::new("nobody asked", format!("{before}nobody asks for it")));
    }
    let why = format!("{before}{} asked, and no run has started", open.join(", "));
    Ok(Answer::new("wanted", why))
}

/// A text field of a value that an index made itself.
fn word<'a>(value: &'a Json, name: &str) -> &'a str {
    value.get(name).and_then(Json::as_str).unwrap_or_default()
}
