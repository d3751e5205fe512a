//! What happened to each file, as intervals of constant size and constant links: the Rust twin of `index.js`.

use crate::native::{
    NativeSource, ScriptOrder, object, objects, refuse, text, utc_milliseconds, whole, whole_or_null,
};
use magpie_indexes::function::{Emitted, FunctionError, Loads, SharedSource};
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use std::collections::BTreeMap;

/// The index, ready to be registered.
#[must_use]
pub fn source() -> SharedSource {
    NativeSource {
        revision: "magpie-samples/storage_gb_hours/file_timelines/1",
        collections: &["FileCreated", "FileResized", "FileLinked", "FileUnlinked", "FileDeleted"],
        loads: &[],
        group_by: &["file"],
        fields: &["file", "events"],
        map,
        reduce,
        finalize: Some((finalize, &["file", "intervals"])),
        options: include_str!("index.json"),
    }
    .shared()
}

fn map(document: &Document, _loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
    let body = document.body_json();
    let file = text(&body, "file")?;
    let (kind, has_job, has_size) = match document.collection.key() {
        "filecreated" => ("created", false, true),
        "fileresized" => ("resized", false, true),
        "filelinked" => ("linked", true, false),
        "fileunlinked" => ("unlinked", true, false),
        _ => ("deleted", false, false),
    };
    let size = if has_size { Some(whole(&body, "size")?) } else { None };
    if size.is_some_and(|size| size < 0) {
        return Err(refuse("size must be a whole number".to_owned()));
    }
    let event = object([
        ("at", utc_milliseconds(&body)?.into()),
        ("seq", whole_or_null(&body, "seq")?.unwrap_or(0).into()),
        ("id", document.id.as_str().into()),
        ("kind", kind.into()),
        ("job", if has_job { text(&body, "job")?.into() } else { Json::Null }),
        ("size", size.into()),
    ]);
    let value = object([("file", file.into()), ("events", vec![event].into())]);
    Ok(vec![Emitted { key: vec![file.into()], value }])
}

/// When an event took effect: instant, order within it, id.
type Moment<'a> = (i64, i64, ScriptOrder<'a>);

fn moment(event: &Object) -> Result<Moment<'_>, FunctionError> {
    Ok((whole(event, "at")?, whole(event, "seq")?, ScriptOrder(text(event, "id")?)))
}

fn reduce(key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
    let mut events: BTreeMap<Moment<'_>, &Object> = BTreeMap::new();
    for value in values {
        for event in objects(value, "events")? {
            events.insert(moment(event)?, event);
        }
    }
    let events: Vec<Json> = events.into_values().map(|event| event.clone().into()).collect();
    Ok(object([("file", key.first().cloned().unwrap_or_default()), ("events", events.into())]))
}

/// An interval in which neither the size nor the links of a file change.
struct Interval<'a> {
    from: i64,
    to: Option<i64>,
    size: i64,
    /// Each linked job, and since when.
    jobs: BTreeMap<ScriptOrder<'a>, i64>,
}

impl Interval<'_> {
    fn json(&self) -> Json {
        let link = |(job, since): (&ScriptOrder<'_>, &i64)| {
            object([("job", job.0.into()), ("since", (*since).into())])
        };
        object([
            ("from", self.from.into()),
            ("to", self.to.into()),
            ("size", self.size.into()),
            ("jobs", self.jobs.iter().map(link).collect::<Vec<Json>>().into()),
        ])
    }
}

/// All events of one instant take effect together: what is between them never was.
fn finalize(reduced: &Json) -> Result<Json, FunctionError> {
    let mut closed: Vec<Json> = Vec::new();
    let mut open: Option<Interval<'_>> = None;
    let mut size: Option<i64> = None;
    let mut jobs: BTreeMap<ScriptOrder<'_>, i64> = BTreeMap::new();
    let mut events = objects(reduced, "events")?.into_iter().peekable();
    while let Some(event) = events.next() {
        let at = whole(event, "at")?;
        match text(event, "kind")? {
            "created" => size = whole_or_null(event, "size")?,
            "resized" if size.is_none() => {}
            "resized" => size = whole_or_null(event, "size")?,
            "linked" => {
                jobs.entry(ScriptOrder(text(event, "job")?)).or_insert(at);
            }
            "unlinked" => {
                jobs.remove(&ScriptOrder(text(event, "job")?));
            }
            _ => {
                size = None;
                jobs.clear();
            }
        }
        if let Some(next) = events.peek()
            && whole(next, "at")? == at
        {
            continue;
        }
        if open.as_ref().is_some_and(|open| Some(open.size) == size && open.jobs == jobs) {
            continue;
        }
        if let Some(mut before) = open.take() {
            before.to = Some(at);
            closed.push(before.json());
        }
        open = size.map(|size| Interval { from: at, to: None, size, jobs: jobs.clone() });
    }
    closed.extend(open.map(|open| open.json()));
    let file = reduced.get("file").cloned().unwrap_or_default();
    Ok(object([("file", file), ("intervals", closed.into())]))
}
