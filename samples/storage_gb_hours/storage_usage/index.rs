//! Each change of somebody's rate, so that any window is a sum: the Rust twin of `index.js`.

use super::file_shares::UNATTRIBUTED;
use crate::native::{NativeSource, big_int, objects, text, whole, whole_or_null};
use magpie_indexes::function::{Emitted, FunctionError, Loads, SharedSource};
use magpie_store::json::{BigInt, Json};
use magpie_store::{Collection, Document};

/// Whose rate it is, for what, at which edge of a window, and when it changes.
const KEY: [&str; 6] = ["policy", "job", "user", "file", "edge", "at"];
/// What is summed.
const SUMS: [&str; 3] = ["rateTo", "rateFrom", "base"];

/// The index, ready to be registered.
#[must_use]
pub fn source() -> SharedSource {
    NativeSource {
        revision: "magpie-samples/storage_gb_hours/storage_usage/1",
        collections: &["FileShares"],
        loads: &["Jobs"],
        group_by: &KEY,
        fields: &["policy", "job", "user", "file", "edge", "at", "rateTo", "rateFrom", "base"],
        map,
        reduce,
        finalize: None,
        options: "{}",
    }
    .shared()
}

fn map(document: &Document, loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
    let interval = document.body_json();
    let file = text(&interval, "file")?.to_owned();
    let (from, to) = (whole(&interval, "from")?, whole_or_null(&interval, "to")?);
    let mut emitted = Vec::new();
    for share in objects(&Json::Object(interval), "shares")? {
        let (policy, job, rate) = (text(share, "policy")?, text(share, "job")?, whole(share, "rate")?);
        let owner = [policy.into(), job.into(), user(job, loads), file.as_str().into()];
        change(&owner, from, rate, &mut emitted);
        if let Some(to) = to {
            change(&owner, to, -rate, &mut emitted);
        }
    }
    Ok(emitted)
}

fn change(owner: &[Json; 4], at: i64, rate: i64, emitted: &mut Vec<Emitted>) {
    let rate = BigInt::from(rate);
    let base = &rate * at;
    for (edge, sums) in
        [("to", [rate.clone(), BigInt::ZERO, -base.clone()]), ("from", [BigInt::ZERO, rate, base])]
    {
        let key: Vec<Json> = owner.iter().cloned().chain([edge.into(), at.into()]).collect();
        let value = row(&key, sums);
        emitted.push(Emitted { key, value });
    }
}

/// The user whose job it is, by the job's document.
fn user(job: &str, loads: &mut dyn Loads) -> Json {
    if job == UNATTRIBUTED {
        return job.into();
    }
    let jobs = Collection::new("Jobs").ok();
    let document = loads.load(job, jobs.as_ref(), true);
    let user = document.and_then(|document| document.body_json().get("user").cloned());
    user.filter(|user| !user.is_null()).unwrap_or_else(|| "(unknown)".into())
}

fn reduce(key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
    let mut sums = [BigInt::ZERO, BigInt::ZERO, BigInt::ZERO];
    for value in values {
        for (sum, name) in sums.iter_mut().zip(SUMS) {
            *sum += big_int(value, name)?;
        }
    }
    Ok(row(key, sums))
}

fn row(key: &[Json], sums: [BigInt; 3]) -> Json {
    let keys = KEY.into_iter().zip(key.iter().cloned());
    let sums = SUMS.into_iter().zip(sums.map(Json::from));
    Json::Object(keys.chain(sums).collect())
}
