//! Who pays for each interval of a file, by each policy: the Rust twin of `index.js`.

use crate::native::{NativeSource, object, objects, refuse, text, whole};
use magpie_indexes::function::{Emitted, FunctionError, Loads, SharedSource};
use magpie_store::Document;
use magpie_store::json::{Json, Object};

/// Who pays for what no job pays for.
pub const UNATTRIBUTED: &str = "(unattributed)";

/// The index, ready to be registered.
#[must_use]
pub fn source() -> SharedSource {
    NativeSource {
        revision: "magpie-samples/storage_gb_hours/file_shares/1",
        collections: &["FileTimelines"],
        loads: &[],
        group_by: &["file", "from"],
        fields: &["file", "from", "to", "size", "jobs"],
        map,
        reduce,
        finalize: Some((finalize, &["file", "from", "to", "size", "shares"])),
        options: include_str!("index.json"),
    }
    .shared()
}

fn map(document: &Document, _loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
    let timeline = Json::Object(document.body_json());
    let file = timeline.get("file").cloned().unwrap_or_default();
    let mut emitted = Vec::new();
    for interval in objects(&timeline, "intervals")? {
        let field = |name: &str| interval.get(name).cloned().unwrap_or_default();
        let value = object([
            ("file", file.clone()),
            ("from", field("from")),
            ("to", field("to")),
            ("size", field("size")),
            ("jobs", field("jobs")),
        ]);
        emitted.push(Emitted { key: vec![file.clone(), field("from")], value });
    }
    Ok(emitted)
}

/// A file has one timeline, and a timeline one interval from an instant on.
fn reduce(_key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
    values.first().cloned().ok_or_else(|| refuse("an interval must have a value".to_owned()))
}

fn finalize(reduced: &Json) -> Result<Json, FunctionError> {
    let interval = reduced.as_object().ok_or_else(|| refuse("an interval must be an object".to_owned()))?;
    let shares = shares(whole(interval, "size")?, &objects(reduced, "jobs")?)?;
    let field = |name: &str| interval.get(name).cloned().unwrap_or_default();
    Ok(object([
        ("file", field("file")),
        ("from", field("from")),
        ("to", field("to")),
        ("size", field("size")),
        ("shares", shares.into()),
    ]))
}

fn shares(size: i64, links: &[&Object]) -> Result<Vec<Json>, FunctionError> {
    let mut jobs = Vec::new();
    let mut first: Option<(i64, &str)> = None;
    for link in links {
        let (job, since) = (text(link, "job")?, whole(link, "since")?);
        jobs.push(job);
        if first.is_none_or(|(earliest, _)| since < earliest) {
            first = Some((since, job));
        }
    }
    let alone = if let [job] = jobs.as_slice() { *job } else { UNATTRIBUTED };
    if jobs.is_empty() {
        jobs.push(UNATTRIBUTED);
    }
    let mut shares = equal(size, &jobs)?;
    shares.push(("first-linked", first.map_or(UNATTRIBUTED, |(_, job)| job), size));
    shares.push(("only-if-unshared", alone, size));
    let json = |(policy, job, rate): (&str, &str, i64)| {
        object([("policy", policy.into()), ("job", job.into()), ("rate", rate.into())])
    };
    Ok(shares.into_iter().filter(|(_, _, rate)| *rate > 0).map(json).collect())
}

/// What does not divide goes to the first jobs, one byte each.
fn equal<'a>(size: i64, jobs: &[&'a str]) -> Result<Vec<(&'static str, &'a str, i64)>, FunctionError> {
    let parts = i64::try_from(jobs.len()).map_err(|_| refuse("too many jobs".to_owned()))?;
    let (rate, rest) = (size / parts, size % parts);
    let numbered = (0_i64..).zip(jobs);
    Ok(numbered.map(|(i, job)| ("equal", *job, if i < rest { rate + 1 } else { rate })).collect())
}
