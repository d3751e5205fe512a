//! Recorded exchanges of a RavenDB server, replayed against Magpie and compared.
//!
//! A file holds groups; a group runs in a fresh database whose documents and indexes are given; its cases run in
//! order and share state. Both the recorded and the actual answer go through [`Normal`], which replaces what differs
//! from run to run by placeholders. Messages are not compared, error types are.

#[path = "golden_normal.rs"]
mod normal;

use crate::wire::{Answer, Client};
use magpie_store::json::{Json, Object};
use normal::Normal;
pub use normal::canonical;
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

/// How long a case that waits for something is repeated.
const UNTIL_MAX: Duration = Duration::from_secs(15);
/// The pause between two such requests.
const UNTIL_PAUSE: Duration = Duration::from_millis(20);

/// One replayed case.
#[derive(Debug)]
pub struct Outcome {
    /// `area | group | case`, with ` #2` and so on after the name of a case that the group has more than once.
    pub name: String,
    /// Whether the recording marks it as an oddity that need not be copied.
    pub quirk: bool,
    /// Why it differs, if it does.
    pub difference: Option<String>,
}

/// Replays every group of a recorded file in databases named after `prefix`.
#[must_use]
pub fn replay(client: &Client, file: &Json, prefix: &str) -> Vec<Outcome> {
    let area = file.get("area").and_then(Json::as_str).unwrap_or("?");
    let mut outcomes = Vec::new();
    for (number, group) in items(file, "groups").iter().enumerate() {
        let database = format!("{prefix}-{number}-replay");
        let group_name = group.get("name").and_then(Json::as_str).unwrap_or("?");
        let failed = set_up(client, &database, group).err().map(|error| format!("set-up: {error}"));
        let mut replay = Replay { client, database: &database, variables: BTreeMap::new() };
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for case in items(group, "cases") {
            let case_name = case.get("name").and_then(Json::as_str).unwrap_or("?");
            let times = seen.entry(case_name).or_default();
            *times += 1;
            let again = if *times > 1 { format!(" #{times}") } else { String::new() };
            let difference = match &failed {
                Some(reason) => Some(reason.clone()),
                None => replay.case(case).unwrap_or_else(|error| Some(error.to_string())),
            };
            outcomes.push(Outcome {
                name: format!("{area} | {group_name} | {case_name}{again}"),
                quirk: case.get("quirk").is_some_and(|quirk| !quirk.is_null()),
                difference,
            });
        }
        // A database that stays behind is removed with the data folder.
        let _ = drop_database(client, &database);
    }
    outcomes
}

fn items<'a>(value: &'a Json, key: &str) -> &'a [Json] {
    value.get(key).and_then(Json::as_array).unwrap_or_default()
}

fn drop_database(client: &Client, database: &str) -> io::Result<()> {
    let body = format!(r#"{{"DatabaseNames":["{database}"],"HardDelete":true}}"#);
    client.send("DELETE", "/admin/databases", &[], Some(body.as_bytes())).map(drop)
}

fn set_up(client: &Client, database: &str, group: &Json) -> io::Result<()> {
    let path = format!("/admin/databases?name={database}&replicationFactor=1");
    client.put(&path, &format!(r#"{{"DatabaseName":"{database}"}}"#))?.expect_status(201)?;
    let Some(setup) = group.get("setup") else { return Ok(()) };
    let commands: Vec<Json> = items(setup, "docs")
        .iter()
        .map(|entry| {
            let mut command = Object::new();
            command.insert("Id", entry.get("id").cloned());
            command.insert("ChangeVector", Json::Null);
            command.insert("Document", entry.get("doc").cloned());
            command.insert("Type", "PUT");
            Json::Object(command)
        })
        .collect();
    if !commands.is_empty() {
        let body = Json::Object([("Commands", Json::Array(commands))].into_iter().collect());
        client.post(&format!("/databases/{database}/bulk_docs"), &body.to_string())?.expect_status(201)?;
    }
    let indexes = items(setup, "indexes");
    for index in indexes {
        // An index that is refused makes the cases that ask it differ, and no others.
        client
            .put(&format!("/databases/{database}/admin/indexes"), &format!(r#"{{"Indexes":[{index}]}}"#))?;
    }
    if !indexes.is_empty() {
        wait_until_indexed(client, database)?;
    }
    Ok(())
}

/// Waits until no index of the database is stale, failed and disabled ones aside.
///
/// # Errors
/// When that takes longer than [`UNTIL_MAX`] or the server does not answer.
pub fn wait_until_indexed(client: &Client, database: &str) -> io::Result<()> {
    let start = Instant::now();
    loop {
        let stats = client.get(&format!("/databases/{database}/stats"))?.expect_status(200)?.json()?;
        let is = |index: &Json, key: &str, text: &str| index.get(key).and_then(Json::as_str) == Some(text);
        let waiting = items(&stats, "Indexes").iter().any(|index| {
            let stale = index.get("IsStale").and_then(Json::as_bool) != Some(false);
            let stopped =
                is(index, "State", "Error") || is(index, "State", "Disabled") || is(index, "Type", "Faulty");
            let name = index.get("Name").and_then(Json::as_str).unwrap_or_default();
            (stale && !stopped) || name.starts_with("ReplacementOf/")
        });
        if !waiting {
            return Ok(());
        }
        if start.elapsed() > UNTIL_MAX {
            return Err(io::Error::other(format!("still stale after {UNTIL_MAX:?}: {stats}")));
        }
        std::thread::sleep(UNTIL_PAUSE);
    }
}

/// The state that the cases of a group share.
struct Replay<'a> {
    client: &'a Client,
    database: &'a str,
    /// Values that earlier cases saved, by name.
    variables: BTreeMap<String, String>,
}

impl Replay<'_> {
    /// Runs one case and gives its difference, if any.
    fn case(&mut self, case: &Json) -> io::Result<Option<String>> {
        let answer = self.request(case)?;
        let expected = case.get("response").cloned().unwrap_or_default();
        let normal = Normal { database: self.database, case };
        let actual = normal.answer(&answer);
        Ok(normal.difference(&expected, &actual))
    }

    fn request(&mut self, case: &Json) -> io::Result<Answer> {
        let request = case.get("request").cloned().unwrap_or_default();
        let method = request.get("method").and_then(Json::as_str).unwrap_or("GET");
        let path = self.fill(request.get("path").and_then(Json::as_str).unwrap_or("/"));
        let body = match (request.get("body_text"), request.get("body")) {
            (Some(Json::String(text)), _) => Some(self.fill(text)),
            (_, Some(Json::String(text))) => Some(self.fill(text)),
            (_, None | Some(Json::Null)) => None,
            (_, Some(body)) => Some(self.fill(&body.to_string())),
        };
        let headers: Vec<(String, String)> =
            request.get("headers").and_then(Json::as_object).map_or_else(Vec::new, |headers| {
                headers.iter().map(|(name, value)| (name.to_owned(), self.fill(&plain(value)))).collect()
            });
        let headers: Vec<(&str, &str)> = headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let start = Instant::now();
        loop {
            let answer = self.client.send(method, &path, &headers, body.as_deref().map(str::as_bytes))?;
            let reached = case.get("until").and_then(Json::as_object).is_none_or(|until| {
                until.iter().all(|(path, value)| {
                    pick(path, &answer).is_some_and(|found| canonical(&found) == canonical(value))
                })
            });
            if reached || start.elapsed() > UNTIL_MAX {
                self.save(case, &answer);
                return Ok(answer);
            }
            std::thread::sleep(UNTIL_PAUSE);
        }
    }

    /// `{DB}` and `${name}` replaced.
    fn fill(&self, text: &str) -> String {
        let mut text = text.replace("{DB}", self.database).replace("${DB}", self.database);
        for (name, value) in &self.variables {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        text
    }

    fn save(&mut self, case: &Json, answer: &Answer) {
        for (name, path) in case.get("save").and_then(Json::as_object).into_iter().flat_map(Object::iter) {
            let value = path.as_str().and_then(|path| pick(path, answer));
            let value = value.map_or_else(|| "$MISSING".to_owned(), |value| plain(&value));
            self.variables.insert(name.to_owned(), value);
        }
    }
}

/// A string without its quotes, anything else as JSON.
fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The value at `path` in an answer: `header:NAME`, or keys and positions with slashes between (`~1` is a slash).
fn pick(path: &str, answer: &Answer) -> Option<Json> {
    if let Some(name) = path.strip_prefix("header:") {
        return Some(answer.header(&name.to_lowercase()).unwrap_or_default().trim_matches('"').into());
    }
    let mut value = answer.json().ok()?;
    for part in path.trim_matches('/').split('/') {
        value = match &value {
            Json::Array(items) => items.get(part.parse::<usize>().ok()?)?.clone(),
            other => other.get(&part.replace("~1", "/"))?.clone(),
        };
    }
    Some(value)
}
