//! The four indexes of the workload as their users would write them, and the check of what they give.

use super::events::Expected;
use magpie_store::json::Json;
use magpie_tests::wire::Client;
use std::error::Error;

/// Name, map and reduce.
pub const INDEXES: [[&str; 3]; 4] = [
    [
        "Runtime",
        "map('Events', e => {
            if (e.type !== 'JobCompleted') return null;
            return { user: e.userId, month: e.at.substring(0, 7), seconds: e.ts - e.startedTs, jobs: 1 };
        })",
        "groupBy(x => ({ user: x.user, month: x.month })).aggregate(g => {
            let seconds = 0, jobs = 0;
            for (const v of g.values) { seconds += v.seconds; jobs += v.jobs; }
            return { user: g.key.user, month: g.key.month, seconds, jobs };
        })",
    ],
    [
        "JobFiles",
        "map('Events', e => {
            if (e.type !== 'FileLinked' && e.type !== 'FileUnlinked') return null;
            return { job: e.jobId, files: [{ file: e.fileId, links: e.type === 'FileLinked' ? 1 : -1 }] };
        })",
        "groupBy(x => x.job).aggregate(g => {
            const links = {};
            for (const v of g.values) for (const f of v.files) links[f.file] = (links[f.file] || 0) + f.links;
            const files = [];
            for (const file of Object.keys(links)) if (links[file] !== 0) files.push({ file, links: links[file] });
            return { job: g.key, files };
        })",
    ],
    [
        "Storage",
        "map('Events', e => {
            if (e.type !== 'FileLinked' && e.type !== 'FileUnlinked') return null;
            const mb = (e.type === 'FileLinked' ? 1 : -1) * e.sizeBytes / 1000000;
            return { user: e.userId, day: e.at.substring(0, 10), mbSeconds: mb * (86400 - e.ts % 86400), mb };
        })",
        "groupBy(x => ({ user: x.user, day: x.day })).aggregate(g => {
            let mbSeconds = 0, mb = 0;
            for (const v of g.values) { mbSeconds += v.mbSeconds; mb += v.mb; }
            return { user: g.key.user, day: g.key.day, mbSeconds, mb };
        })",
    ],
    [
        "UserFiles",
        "map('Events', e => {
            if (e.type !== 'FileLinked') return null;
            return { user: e.userId, largest: e.sizeBytes, files: [e.fileId], count: 1, links: 1 };
        })",
        "groupBy(x => x.user).aggregate(g => {
            const seen = {};
            let largest = 0, links = 0;
            for (const v of g.values) {
                if (v.largest > largest) largest = v.largest;
                links += v.links;
                for (const f of v.files) seen[f] = true;
            }
            const files = Object.keys(seen);
            return { user: g.key, largest, files, count: files.length, links };
        })",
    ],
];

/// Puts one of the indexes.
pub fn put(client: &Client, database: &str, [name, map, reduce]: [&str; 3]) -> Result<(), Box<dyn Error>> {
    let definition = serde_json::json!({ "Indexes": [{
        "Name": name, "Maps": [map], "Reduce": reduce, "Configuration": { "Magpie.Tier": "auto", "Magpie.Laws": "off" },
    }]});
    client.put(&format!("{database}/indexes"), &definition.to_string())?.expect_status(201)?;
    Ok(())
}

/// Waits until an index has caught up.
pub fn wait(client: &Client, database: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let body = serde_json::json!({
        "Query": format!("from index '{name}' limit 1"),
        "WaitForNonStaleResults": true, "WaitForNonStaleResultsTimeout": "00:10:00",
    });
    loop {
        let answer = client.post(&format!("{database}/queries"), &body.to_string())?.expect_status(200)?;
        if answer.json()?.get("IsStale").and_then(Json::as_bool) == Some(false) {
            return Ok(());
        }
    }
}

/// Compares every result of every index with what it must be; gives how many were compared.
pub fn check(client: &Client, database: &str, expected: &Expected) -> Result<usize, Box<dyn Error>> {
    let mut count = 0;
    let [runtime, job_files, storage, user_files] = INDEXES.map(|index| index[0]);
    let pair = |row: &Json, fields: [&str; 2]| -> Option<(i64, i64)> {
        Some((row.get(fields[0])?.as_i64()?, row.get(fields[1])?.as_i64()?))
    };
    let text = |row: &Json, field: &str| Some(row.get(field)?.as_str()?.to_owned());
    each(client, database, runtime, |row| {
        count += 1;
        let key = (text(row, "user")?, text(row, "month")?);
        (expected.runtime.get(&key) == pair(row, ["seconds", "jobs"]).as_ref()).then_some(())
    })?;
    each(client, database, storage, |row| {
        count += 1;
        let key = (text(row, "user")?, text(row, "day")?);
        (expected.storage.get(&key) == pair(row, ["mbSeconds", "mb"]).as_ref()).then_some(())
    })?;
    each(client, database, job_files, |row| {
        count += 1;
        let links = expected.job_files.get(&text(row, "job")?)?;
        let files = row.get("files")?.as_array()?;
        let all = files.iter().all(|file| {
            let name = file.get("file").and_then(Json::as_str).unwrap_or_default();
            file.get("links").and_then(Json::as_i64) == links.get(name).copied()
        });
        (all && files.len() == links.values().filter(|links| **links != 0).count()).then_some(())
    })?;
    each(client, database, user_files, |row| {
        count += 1;
        let (largest, files, links) = expected.user_files.get(&text(row, "user")?)?;
        let found = (pair(row, ["largest", "links"])?, row.get("count")?.as_i64()?);
        (found == ((*largest, *links), files.len() as i64)).then_some(())
    })?;
    let wanted = expected.runtime.len()
        + expected.storage.len()
        + expected.job_files.len()
        + expected.user_files.len();
    if count == wanted { Ok(count) } else { Err(format!("{count} results instead of {wanted}").into()) }
}

/// Calls `is_right` with every result of an index, page by page.
fn each(
    client: &Client,
    database: &str,
    name: &str,
    mut is_right: impl FnMut(&Json) -> Option<()>,
) -> Result<(), Box<dyn Error>> {
    const PAGE: usize = 20_000;
    for page in 0.. {
        let body =
            serde_json::json!({ "Query": format!("from index '{name}' limit {}, {PAGE}", page * PAGE) });
        let answer = client.post(&format!("{database}/queries"), &body.to_string())?.expect_status(200)?;
        let answer = answer.json()?;
        let rows = answer.get("Results").and_then(Json::as_array).unwrap_or_default();
        for row in rows {
            is_right(row).ok_or_else(|| format!("a wrong result of {name}: {row}"))?;
        }
        if rows.len() < PAGE {
            break;
        }
    }
    Ok(())
}
