//! `GET indexes/explain`: why a result is what it is, down to the documents behind it.
//!
//! What is answered is Magpie's own, so it stands as it is and not under a key of its own.

use crate::answer;
use crate::error::ServerError;
use crate::query_string::Pairs;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_indexes::explain::{
    ExplainRequest, Explained, ExplainedEntry, ExplainedLevel, ExplainedPage, Explanation, Without,
};
use magpie_store::json::{self, Json, Object};

/// How many keys, pages and entries are listed unless the request says otherwise.
const PAGE_SIZE: usize = 25;

/// `GET indexes/explain?name=&key=[&start=][&pageSize=][&without=true]`
///
/// `key` is JSON: an object of group-by fields (some or all), an array of their values, or the value of the only one;
/// text that is no JSON stands for itself.
pub(crate) async fn get(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.required("name")?.to_owned();
    let asked = read(&request.query)?;
    let app = request.app.clone();
    let database = request.database;
    let _place = app.query_place().await?;
    let body = blocking(move || {
        let view = database.documents().view();
        let explained = database.indexes().explain(&view, &name, &asked)?;
        let index = database.indexes().get(&name);
        let fields = index.as_ref().and_then(|index| index.shape().group_by.clone()).unwrap_or_default();
        let stale = match &index {
            Some(index) => database.indexes().is_stale(&view, index)?,
            None => false,
        };
        let mut body = Object::from_iter([
            ("Index", Json::from(index.map_or(name, |index| index.name()))),
            ("IsStale", stale.into()),
        ]);
        match explained {
            Explained::Key(explanation) => add_explanation(&mut body, &fields, explanation, &database),
            Explained::Keys { keys, more } => {
                let keys = keys.into_iter().map(|(key, result)| {
                    let key = named(&fields, key);
                    Object::from_iter([("Key", key), ("Result", result.unwrap_or(Json::Null))]).into()
                });
                body.insert("Keys", Json::Array(keys.collect()));
                body.insert("MoreKeys", more);
            }
        }
        Ok(body)
    })
    .await?;
    Ok(answer::json(StatusCode::OK, body))
}

fn read(query: &Pairs) -> Result<ExplainRequest, ServerError> {
    let key = query.required("key")?;
    let count = |name: &'static str, default: usize| {
        Ok::<_, ServerError>(query.number(name)?.map_or(default, |n| usize::try_from(n).unwrap_or(0)))
    };
    Ok(ExplainRequest {
        key: json::parse(key.as_bytes()).unwrap_or_else(|_| Json::from(key)),
        start: count("start", 0)?,
        page_size: count("pageSize", PAGE_SIZE)?,
        without: query.flag("without")?,
    })
}

/// A reduce key as an object of its fields.
fn named(fields: &[String], key: Vec<Json>) -> Json {
    Object::from_iter(fields.iter().map(String::as_str).zip(key)).into()
}

fn add_explanation(
    body: &mut Object,
    fields: &[String],
    explanation: Explanation,
    database: &crate::databases::OpenDatabase,
) {
    body.insert("Key", named(fields, explanation.key));
    body.insert("Result", explanation.result.unwrap_or(Json::Null));
    body.insert("Reduced", explanation.reduced.unwrap_or(Json::Null));
    body.insert("Fails", explanation.fails);
    body.insert("Height", explanation.height.map_or(Json::Null, |height| u64::from(height).into()));
    let levels = explanation.levels.into_iter().map(|level| level_json(level).into());
    body.insert("Levels", Json::Array(levels.collect()));
    let fields_of = |index: &str| {
        let index = database.indexes().get(index);
        index.and_then(|index| index.shape().group_by.clone()).unwrap_or_default()
    };
    let entries = explanation.entries.into_iter().map(|entry| entry_json(entry, fields_of).into());
    body.insert("Entries", Json::Array(entries.collect()));
    body.insert("MoreEntries", explanation.more_entries);
}

fn level_json(level: ExplainedLevel) -> Object {
    let page = |page: ExplainedPage| {
        let last = page.last.map_or(Json::Null, |(document, position)| {
            Object::from_iter([("Document", Json::from(document)), ("Position", u64::from(position).into())])
                .into()
        });
        let fails = page.value.is_none();
        Object::from_iter([
            ("Last", last),
            ("Value", page.value.unwrap_or(Json::Null)),
            ("Fails", fails.into()),
        ])
        .into()
    };
    Object::from_iter([
        ("Level", Json::from(u64::from(level.level))),
        ("Pages", Json::Array(level.pages.into_iter().map(page).collect())),
        ("MorePages", level.more.into()),
    ])
}

fn entry_json(entry: ExplainedEntry, fields_of: impl Fn(&str) -> Vec<String>) -> Object {
    let mut body = Object::from_iter([
        ("Document", Json::from(entry.document)),
        ("Position", u64::from(entry.position).into()),
        ("Value", entry.value),
    ]);
    if let Some((index, key)) = entry.produced_by {
        let key = named(&fields_of(&index), key);
        body.insert("ProducedBy", Object::from_iter([("Index", Json::from(index)), ("Key", key)]));
    }
    match entry.without {
        None => {}
        Some(Without::Result(result)) => body.insert("Without", result.unwrap_or(Json::Null)),
        Some(Without::Fails(error)) => {
            body.insert("Without", Json::Null);
            body.insert("WithoutError", error.to_string());
        }
    }
    body
}
