//! What is known of each partition: the Rust twin of `index.js`.

use crate::moment::{Dated, Moment, keep_later};
use crate::native::{NativeSource, ScriptOrder, object, objects, refuse, text};
use magpie_indexes::function::{Emitted, FunctionError, Loads, SharedSource};
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use std::collections::{BTreeMap, BTreeSet};

/// The index, ready to be registered.
#[must_use]
pub fn source() -> SharedSource {
    NativeSource {
        revision: "magpie-samples/build_partitions/partition_state/1",
        collections: &[
            "WantCreated",
            "WantCancelled",
            "JobRunStarted",
            "JobRunFailed",
            "JobRunMissingInputs",
            "JobRunSucceeded",
            "PartitionTainted",
        ],
        loads: &[],
        group_by: &["partition"],
        fields: &["partition", "live", "built", "tainted", "runs", "wants", "neededBy"],
        map,
        reduce,
        finalize: None,
        options: include_str!("index.json"),
    }
    .shared()
}

/// What one event says of a partition; the fields of the result.
#[derive(Default, Clone)]
struct State {
    live: bool,
    built: Json,
    tainted: Vec<Json>,
    runs: Vec<Json>,
    wants: Vec<Json>,
    needed_by: Vec<Json>,
}

impl State {
    fn json(self, partition: Json) -> Json {
        object([
            ("partition", partition),
            ("live", self.live.into()),
            ("built", self.built),
            ("tainted", self.tainted.into()),
            ("runs", self.runs.into()),
            ("wants", self.wants.into()),
            ("neededBy", self.needed_by.into()),
        ])
    }

    fn of(self, partitions: &[Json]) -> Vec<Emitted> {
        let emitted = |partition: &Json| Emitted {
            key: vec![partition.clone()],
            value: self.clone().json(partition.clone()),
        };
        partitions.iter().map(emitted).collect()
    }
}

fn map(document: &Document, _: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
    let event = document.body_json();
    let kind = document.collection.key();
    let moment = Moment::of(document, &event)?;
    let dated = [("at", moment.at()), ("event", moment.event())];
    if kind == "partitiontainted" {
        let tainted = joined([("reason", text(&event, "reason")?.into())], dated);
        let partition = [text(&event, "partition")?.into()];
        return Ok(State { tainted: vec![tainted], ..State::default() }.of(&partition));
    }
    let partitions = list(&event, "partitions")?;
    if let "wantcreated" | "wantcancelled" = kind {
        let open = kind == "wantcreated";
        let want = joined([("want", text(&event, "want")?.into()), ("open", open.into())], dated);
        return Ok(State { wants: vec![want], ..State::default() }.of(partitions));
    }
    let run: Json = text(&event, "run")?.into();
    if kind == "jobrunsucceeded" {
        return Ok(State { built: joined([("run", run)], dated), ..State::default() }.of(partitions));
    }
    let (status, error, missing) = match kind {
        "jobrunfailed" => ("failed", text(&event, "error")?.into(), [].as_slice()),
        "jobrunmissinginputs" => ("missing inputs", Json::Null, list(&event, "missing")?),
        _ => ("running", Json::Null, [].as_slice()),
    };
    let told =
        [("run", run), ("status", status.into()), ("error", error), ("missing", missing.to_vec().into())];
    let mut emitted = State { runs: vec![joined(told, dated)], ..State::default() }.of(partitions);
    // Each missing input is told who needs it: its own row then says so, also when nothing else is known of it.
    emitted.extend(State { needed_by: partitions.to_vec(), ..State::default() }.of(missing));
    Ok(emitted)
}

fn joined<const N: usize>(fields: [(&str, Json); N], dated: [(&str, Json); 2]) -> Json {
    Json::Object(fields.into_iter().chain(dated).collect())
}

fn list<'a>(event: &'a Object, name: &str) -> Result<&'a [Json], FunctionError> {
    let items = event.get(name).and_then(Json::as_array).unwrap_or_default();
    if items.is_empty() || items.iter().any(|item| item.as_str().is_none()) {
        return Err(refuse(format!("{name} must be an array of strings")));
    }
    Ok(items)
}

fn reduce(key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
    let (mut runs, mut wants) = (BTreeMap::new(), BTreeMap::new());
    let mut needed_by = BTreeSet::new();
    let mut built: Option<Dated<'_>> = None;
    let mut taints = BTreeMap::new();
    for value in values {
        keep_later(&mut built, value, "built")?;
        for taint in value.get("tainted").and_then(Json::as_array).unwrap_or_default() {
            taints.extend(Moment::dated(taint)?);
        }
        keep_latest(&mut runs, value, "runs", "run")?;
        keep_latest(&mut wants, value, "wants", "want")?;
        let names = value.get("neededBy").and_then(Json::as_array).unwrap_or_default();
        needed_by.extend(names.iter().filter_map(Json::as_str).map(ScriptOrder));
    }

    // A build settles all that was before it, now and when it arrives later.
    let built_at = built.map(|(moment, _)| moment);
    let unsettled = |(moment, _): &Dated<'_>| Some(*moment) > built_at;
    let of = |events: &mut dyn Iterator<Item = Dated<'_>>| {
        events.filter(unsettled).map(|(_, event)| event.clone()).collect::<Vec<_>>()
    };
    let tainted = of(&mut taints.into_iter());
    let state = State {
        live: built.is_some() && tainted.is_empty(),
        built: built.map_or(Json::Null, |(_, event)| event.clone()),
        tainted,
        runs: of(&mut runs.into_values()),
        wants: of(&mut wants.into_values()),
        needed_by: needed_by.into_iter().map(|name| name.0.into()).collect(),
    };
    Ok(state.json(key.first().cloned().unwrap_or_default()))
}

/// Takes in the events in the array field `list` of a value: of each name in their field `by`, the latest is kept.
fn keep_latest<'a>(
    known: &mut BTreeMap<ScriptOrder<'a>, Dated<'a>>,
    value: &'a Json,
    list: &str,
    by: &str,
) -> Result<(), FunctionError> {
    let events = value.get(list).and_then(Json::as_array).unwrap_or_default();
    for (object, event) in objects(value, list)?.into_iter().zip(events) {
        let met = (Moment::read(object)?, event);
        let latest = known.entry(ScriptOrder(text(object, by)?)).or_insert(met);
        if met.0 > latest.0 {
            *latest = met;
        }
    }
    Ok(())
}
