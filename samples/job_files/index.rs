//! The files linked to each job now, whatever the order of the events: the Rust twin of `index.js`.

use crate::moment::Moment;
use crate::native::{NativeSource, ScriptOrder, object, objects, refuse, text};
use magpie_indexes::function::{Emitted, FunctionError, Loads, SharedSource};
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use std::collections::BTreeMap;

/// The index, ready to be registered.
#[must_use]
pub fn source() -> SharedSource {
    NativeSource {
        revision: "magpie-samples/job_files/2",
        collections: &["FileLinked", "FileUnlinked", "AllFilesUnlinked"],
        loads: &[],
        group_by: &["job"],
        fields: &["job", "cleared", "latest"],
        map,
        reduce,
        finalize: Some((finalize, &["job", "files", "count", "cleared", "latest"])),
        options: "{}",
    }
    .shared()
}

fn map(document: &Document, _loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
    let event = document.body_json();
    let job = text(&event, "job")?;
    let collection = document.collection.key();
    let moment = Moment::of(document, &event)?;
    let (cleared, latest) = if collection == "allfilesunlinked" {
        (cleared_json(Some(moment)), Vec::new())
    } else {
        (Json::Null, vec![latest_json(text(&event, "file")?, collection == "filelinked", moment)])
    };
    let value = job_json(&job.into(), cleared, latest);
    Ok(vec![Emitted { key: vec![job.into()], value }])
}

fn reduce(key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
    let mut by_file: BTreeMap<ScriptOrder<'_>, (Moment<'_>, bool)> = BTreeMap::new();
    let mut cleared: Option<Moment<'_>> = None;
    for value in values {
        if let Some(Json::Object(object)) = value.get("cleared") {
            cleared = cleared.max(Some(Moment::read(object)?));
        }
        for event in objects(value, "latest")? {
            let linked = event.get("linked").and_then(Json::as_bool);
            let linked = linked.ok_or_else(|| refuse("linked must be a boolean".to_owned()))?;
            let met = (Moment::read(event)?, linked);
            let known = by_file.entry(ScriptOrder(text(event, "file")?)).or_insert(met);
            if met.0 > known.0 {
                *known = met;
            }
        }
    }

    // An unlinked file is remembered, for an older link of it may still arrive. Clearing forgets all before it.
    by_file.retain(|_, (moment, _)| Some(*moment) > cleared);
    let latest =
        by_file.iter().map(|(file, (moment, linked))| latest_json(file.0, *linked, *moment)).collect();
    let job = key.first().cloned().unwrap_or_default();
    Ok(job_json(&job, cleared_json(cleared), latest))
}

fn finalize(job: &Json) -> Result<Json, FunctionError> {
    let is_linked = |event: &&Object| event.get("linked").and_then(Json::as_bool) == Some(true);
    let latest = objects(job, "latest")?.into_iter().filter(is_linked);
    let files =
        latest.map(|event| Ok(text(event, "file")?.into())).collect::<Result<Vec<Json>, FunctionError>>()?;
    let field = |name: &str| job.get(name).cloned().unwrap_or_default();
    let count = files.len();
    Ok(object([
        ("job", field("job")),
        ("files", files.into()),
        ("count", count.into()),
        ("cleared", field("cleared")),
        ("latest", field("latest")),
    ]))
}

fn cleared_json(cleared: Option<Moment<'_>>) -> Json {
    cleared.map_or(Json::Null, |moment| object([("at", moment.at()), ("event", moment.event())]))
}

fn latest_json(file: &str, linked: bool, moment: Moment<'_>) -> Json {
    object([("file", file.into()), ("linked", linked.into()), ("at", moment.at()), ("event", moment.event())])
}

fn job_json(job: &Json, cleared: Json, latest: Vec<Json>) -> Json {
    object([("job", job.clone()), ("cleared", cleared), ("latest", latest.into())])
}
