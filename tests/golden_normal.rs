//! What is compared of an answer, and how: the recording and the actual answer in the same normal form.

use crate::wire::Answer;
use magpie_store::json::{self, Json, Number, Object};
use regex::Regex;
use std::sync::LazyLock;

const INTEGER_KEYS: [&str; 14] = [
    "ResultEtag",
    "DurationInMs",
    "RaftCommandIndex",
    "LastDocEtag",
    "LastDatabaseEtag",
    "LastProcessedDocumentEtag",
    "LastProcessedTombstoneEtag",
    "OperationId",
    "Etag",
    "TransactionIndex",
    "NodesModifiedAt",
    "Index",
    "SizeInBytes",
    "AllocatedSize",
];
const NUMBER_KEYS: [&str; 3] = ["@index-score", "MappedPerSecondRate", "ReducedPerSecondRate"];
const TEXT_KEYS: [&str; 8] = [
    "Error",
    "HumaneActualSize",
    "HumaneAllocatedSize",
    "HumaneSize",
    "DatabaseId",
    "DatabaseTopologyIdBase64",
    "ClusterTransactionIdBase64",
    "Elapsed",
];
/// Keys that depend on a cluster's history.
const DROPPED_KEYS: [&str; 2] = ["IndexDefinitionRaftIndex", "AutoIndexCreationRaftIndex"];

/// What a text may hold that differs from run to run, and its placeholder, in the order of replacement.
static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"https?://[\w.\-]+:\d+", "$$URL"),
        (r"\b[A-Z]{1,4}:\d+-[A-Za-z0-9+/]{22}(?:, ?[A-Z]{1,4}:\d+-[A-Za-z0-9+/]{22})*", "$$CV"),
        (r"20(?:2[6-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", "$$DATEZ"),
        (r"20(?:2[6-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}", "$$DATE"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "$$GUID"),
        (r"\b\d\d:\d\d:\d\d\.\d{7}\b", "$$DUR"),
        (r"\b\d{19}-[A-Z]{1,4}\b", "$$NODEID"),
        (r"\d\d/\d\d/20\d\d \d\d:\d\d:\d\d", "$$USDATE"),
        (r"(/\d+)?/\d{14,20}(/|$)", "/$$HASH$2"),
        (r"\b(etag|Etag)(:? )\d+", "$1$2$$INT"),
    ]
    .into_iter()
    .filter_map(|(pattern, placeholder)| Some((Regex::new(pattern).ok()?, placeholder)))
    .collect()
});
static MOMENT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z?$").ok());
static AFTER_FIRST_SENTENCE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r" ?Exception: |\n| \(reduce key hash").ok());

/// The normal form of the answers to one case.
pub struct Normal<'a> {
    /// The database that the case runs in.
    pub database: &'a str,
    /// The case, with its options.
    pub case: &'a Json,
}

impl Normal<'_> {
    /// The answer as `{"status", "headers"?, "body"?}` in normal form.
    pub fn answer(&self, answer: &Answer) -> Json {
        let mut result = Object::new();
        result.insert("status", i64::from(answer.status));
        let mut headers = Object::new();
        if let Some(kind) = answer.header("content-type").filter(|_| !answer.body.is_empty()) {
            headers.insert("content-type", kind.replace(' ', "").to_lowercase());
        }
        if answer.header("etag").is_some() {
            headers.insert("etag", "$ETAG");
        }
        if let Some(name) = answer.header("database-missing") {
            headers.insert("database-missing", name.replace(self.database, "{DB}"));
        }
        for name in self.option("headers_checked").and_then(Json::as_array).unwrap_or_default() {
            let name = name.as_str().unwrap_or_default();
            headers.insert(name, self.text(answer.header(name).unwrap_or("$ABSENT")));
        }
        if !headers.is_empty() {
            result.insert("headers", headers);
        }
        if !answer.body.is_empty() {
            let mut body = read_body(answer);
            if let Some(kept) = self.option("only").and_then(Json::as_array) {
                body = only(&body, kept);
            }
            if let Some(dropped) = self.option("drop").and_then(Json::as_array) {
                body = without(&body, &|key| dropped.iter().any(|name| name.as_str() == Some(key)));
            }
            // What Magpie adds to answers stands under this key.
            body = without(&body, &|key| key == "Magpie");
            result.insert("body", self.value(&body, None, None));
        }
        Json::Object(result)
    }

    /// How the actual answer differs from the recorded one, if it does.
    pub fn difference(&self, recorded: &Json, actual: &Json) -> Option<String> {
        let mut recorded = without_messages(recorded);
        let mut actual = without_messages(actual);
        // The recorded server answers most faults of a request with 500; the right class is as good.
        let status = |value: &Json| value.get("status").and_then(Json::as_i64);
        if status(&recorded) == Some(500)
            && matches!(status(&actual), Some(400 | 413 | 422))
            && let Json::Object(object) = &mut actual
        {
            object.insert("status", 500_i64);
        }
        for side in [&mut recorded, &mut actual] {
            if self.option("unordered").and_then(Json::as_bool) == Some(true) {
                sort_at(side, "body/Results");
            }
            for path in self.option("sort_at").and_then(Json::as_array).unwrap_or_default() {
                sort_at(side, &format!("body/{}", path.as_str().unwrap_or_default().trim_matches('/')));
            }
        }
        let mut found = Vec::new();
        differences(&recorded, &actual, "", &mut found);
        found.truncate(5);
        (!found.is_empty()).then(|| found.join("\n      "))
    }

    fn option(&self, name: &str) -> Option<&Json> {
        self.case.get(name)
    }

    fn text(&self, text: &str) -> String {
        let mut text = text.replace(self.database, "{DB}");
        for (pattern, placeholder) in PATTERNS.iter() {
            text = pattern.replace_all(&text, *placeholder).into_owned();
        }
        text
    }

    fn value(&self, value: &Json, key: Option<&str>, parent: Option<&Object>) -> Json {
        let key =
            key.map(|key| if key.starts_with('/') { key.rsplit('/').next().unwrap_or(key) } else { key });
        let among = |keys: &[&str]| key.is_some_and(|key| keys.contains(&key));
        let beside = |name: &str| parent.is_some_and(|parent| parent.get(name).is_some());
        match value {
            Json::Object(object) => Json::Object(
                object
                    .iter()
                    .filter(|(name, _)| !DROPPED_KEYS.contains(name))
                    .map(|(name, member)| (self.text(name), self.value(member, Some(name), Some(object))))
                    .collect(),
            ),
            Json::Array(items) => {
                items.iter().map(|item| self.value(item, None, None)).collect::<Vec<_>>().into()
            }
            Json::String(text) => {
                let moment = among(&["IndexTimestamp", "LastQueryTime"])
                    && MOMENT.as_ref().is_some_and(|pattern| pattern.is_match(text));
                let exact = self.option("exact_index_name").and_then(Json::as_bool) == Some(true);
                if moment {
                    "$TIME".into()
                } else if among(&["IndexName"]) && text.starts_with("Auto/") && !exact {
                    let start: Vec<&str> = text.split('/').take(2).collect();
                    format!("$AUTO:{}/", start.join("/")).into()
                } else if (among(&TEXT_KEYS) && (!among(&["Error"]) || beside("Message")))
                    || (among(&["Url"]) && beside("Message") && beside("Error"))
                {
                    "$STR".into()
                } else if among(&["Error"]) && beside("Action") {
                    let text = self.text(text);
                    let end = AFTER_FIRST_SENTENCE.as_ref().and_then(|pattern| pattern.find(&text));
                    text.get(..end.map_or(text.len(), |end| end.start())).unwrap_or_default().trim().into()
                } else {
                    self.text(text).into()
                }
            }
            Json::Number(_) if among(&NUMBER_KEYS) => "$NUM".into(),
            Json::Number(_) if (among(&INTEGER_KEYS) || among(&["ActualSize"])) && parent.is_some() => {
                if beside("@metadata") && !among(&["OperationId"]) {
                    value.clone()
                } else {
                    "$INT".into()
                }
            }
            other => other.clone(),
        }
    }
}

fn read_body(answer: &Answer) -> Json {
    if let Ok(body) = json::parse(&answer.body) {
        return body;
    }
    let text = answer.text();
    let lines: Result<Vec<Json>, _> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| json::parse(line.as_bytes()))
        .collect();
    match lines {
        Ok(lines) => Json::Object([("$jsonl", Json::Array(lines))].into_iter().collect()),
        Err(_) => Json::Object([("$text", Json::String(text))].into_iter().collect()),
    }
}

/// `{path: value}` for every path of `kept`, in which `*` stands for any key or position.
fn only(value: &Json, kept: &[Json]) -> Json {
    let mut result = Object::new();
    for path in kept.iter().filter_map(Json::as_str) {
        let mut found = vec![(String::new(), value.clone())];
        for part in path.trim_matches('/').split('/') {
            let mut next = Vec::new();
            for (before, value) in found {
                match (&value, part) {
                    (Json::Object(object), "*") => {
                        next.extend(
                            object.iter().map(|(key, member)| (format!("{before}/{key}"), member.clone())),
                        );
                    }
                    (Json::Array(items), "*") => {
                        let items = items.iter().enumerate();
                        next.extend(items.map(|(at, item)| (format!("{before}/{at}"), item.clone())));
                    }
                    (_, "*") => {}
                    (Json::Array(items), _) => {
                        let item = part.parse::<usize>().ok().and_then(|at| items.get(at));
                        next.push((
                            format!("{before}/{part}"),
                            item.cloned().unwrap_or_else(|| "$ABSENT".into()),
                        ));
                    }
                    (other, _) => {
                        let member = other.get(part).cloned().unwrap_or_else(|| "$ABSENT".into());
                        next.push((format!("{before}/{part}"), member));
                    }
                }
            }
            found = next;
        }
        for (path, value) in found {
            result.insert(path, value);
        }
    }
    Json::Object(result)
}

fn without(value: &Json, dropped: &dyn Fn(&str) -> bool) -> Json {
    match value {
        Json::Object(object) => Json::Object(
            object
                .iter()
                .filter(|(key, _)| !dropped(key))
                .map(|(key, member)| (key, without(member, dropped)))
                .collect(),
        ),
        Json::Array(items) => items.iter().map(|item| without(item, dropped)).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

fn without_messages(value: &Json) -> Json {
    match value {
        Json::Object(object) => {
            let is_error = object.get("Error").is_some();
            let member = |key: &str, member: &Json| {
                if is_error && key == "Message" { "$MSG".into() } else { without_messages(member) }
            };
            Json::Object(object.iter().map(|(key, value)| (key, member(key, value))).collect())
        }
        Json::Array(items) => items.iter().map(without_messages).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

fn sort_at(value: &mut Json, path: &str) {
    let mut place = Some(value);
    for part in path.split('/') {
        place = match place {
            Some(Json::Object(object)) => object.get_mut(part),
            Some(Json::Array(items)) => part.parse::<usize>().ok().and_then(|at| items.get_mut(at)),
            _ => None,
        };
    }
    if let Some(Json::Array(items)) = place {
        items.sort_by_cached_key(canonical);
    }
}

/// A text that is equal for equal values: object keys sorted, numbers by value (`1.0` is `1`).
#[must_use]
pub fn canonical(value: &Json) -> String {
    match value {
        Json::Object(object) => {
            let mut members: Vec<String> =
                object.iter().map(|(key, member)| format!("{key:?}:{}", canonical(member))).collect();
            members.sort_unstable();
            format!("{{{}}}", members.join(","))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Json::Number(number) => canonical_number(number),
        other => other.to_string(),
    }
}

fn canonical_number(number: &Number) -> String {
    let decimal = number.decimal();
    let digits: String = decimal.digits.iter().map(u8::to_string).collect();
    format!("{}0.{digits}e{}", if decimal.negative { "-" } else { "" }, decimal.exponent)
}

fn differences(recorded: &Json, actual: &Json, path: &str, found: &mut Vec<String>) {
    if canonical(recorded) == canonical(actual) {
        return;
    }
    match (recorded, actual) {
        (Json::Object(left), Json::Object(right)) => {
            for (key, value) in left.iter() {
                match right.get(key) {
                    Some(other) => differences(value, other, &format!("{path}/{key}"), found),
                    None => found.push(format!("{path}/{key}: missing, expected {}", short(value))),
                }
            }
            for (key, value) in right.iter().filter(|(key, _)| left.get(key).is_none()) {
                found.push(format!("{path}/{key}: not expected: {}", short(value)));
            }
        }
        (Json::Array(left), Json::Array(right)) if left.len() == right.len() => {
            for (at, (value, other)) in left.iter().zip(right).enumerate() {
                differences(value, other, &format!("{path}/{at}"), found);
            }
        }
        _ => found.push(format!("{path}: expected {}, got {}", short(recorded), short(actual))),
    }
}

fn short(value: &Json) -> String {
    value.to_string().chars().take(220).collect()
}

#[cfg(test)]
mod tests {
    use super::{Normal, canonical};
    use magpie_store::json::{Json, parse};

    #[test]
    fn values_that_are_equal_have_one_text() {
        let text = |source: &str| canonical(&parse(source.as_bytes()).unwrap());
        assert_eq!(text(r#"{"a":1.0,"b":[10]}"#), text(r#"{"b":[1e1],"a":1}"#));
        assert_ne!(text("9007199254740993"), text("9007199254740992"));
        assert_ne!(text("[1,2]"), text("[2,1]"));
        assert_ne!(text(r#""1""#), text("1"));
    }

    #[test]
    fn what_differs_from_run_to_run_is_replaced() {
        let normal = Normal { database: "db-1", case: &Json::Null };
        assert_eq!(normal.text("A:12-abcdefghijklmnopqrstuv in db-1"), "$CV in {DB}");
        assert_eq!(normal.text("at 2026-03-01T00:00:00.0000000Z"), "at $DATEZ");
        assert_eq!(normal.text("http://127.0.0.1:80/x"), "$URL/x");
        assert_eq!(normal.text("users/0000000000000000012-A"), "users/$NODEID");
    }
}
