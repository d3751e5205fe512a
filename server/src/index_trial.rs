//! `POST indexes/test`: what a definition would give on the documents that are there, without putting it.
//!
//! What is answered is Magpie's own, so it stands as it is and not under a key of its own.

use crate::answer;
use crate::body;
use crate::error::ServerError;
use crate::index_stats::fault_json;
use crate::indexes::read_definition;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_indexes::trial::{Cost, Difference, Trial, TrialRequest};
use magpie_store::json::{Json, Number, Object};
use std::time::Duration;

/// Documents that are mapped unless the request says otherwise.
const DOCUMENTS: usize = 1000;
/// Rows of each list unless the request says otherwise.
const PAGE_SIZE: usize = 25;

/// `{"Index":definition,"Documents":n|"all","PageSize":n}`
pub(crate) async fn post(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    let numbers = request.app.config().numbers;
    let database = request.database;
    let answer = blocking(move || {
        let asked = body::parse_object(&text)?;
        let Some(definition) = asked.get("Index") else {
            return Err(ServerError::PropertyMissing { name: "Index" });
        };
        let definition = read_definition(definition, numbers)?;
        let request = read(&asked)?;
        let (trial, laws) = database.indexes().try_definition(&definition, request)?;
        let fields = definition.name.clone();
        let mut answer = trial_json(&trial, &fields);
        answer.insert("Laws", laws.to_json());
        Ok(answer)
    })
    .await?;
    Ok(answer::json(StatusCode::OK, answer))
}

fn read(asked: &Object) -> Result<TrialRequest, ServerError> {
    let refuse = |name, value: &Json, expected| {
        Err(ServerError::ValueNotAllowed {
            name,
            value: value.to_string().chars().take(100).collect(),
            expected,
        })
    };
    let count = |value: &Json| value.as_i64().and_then(|n| usize::try_from(n).ok());
    let newest = match asked.get("Documents") {
        None | Some(Json::Null) => Some(DOCUMENTS),
        Some(Json::String(text)) if text.eq_ignore_ascii_case("all") => None,
        Some(value) => match count(value).filter(|n| *n > 0) {
            Some(n) => Some(n),
            None => return refuse("Documents", value, "a number of documents from 1, or \"all\""),
        },
    };
    let page_size = match asked.get("PageSize") {
        None | Some(Json::Null) => PAGE_SIZE,
        Some(value) => match count(value) {
            Some(n) => n,
            None => return refuse("PageSize", value, "a number of rows from 0"),
        },
    };
    Ok(TrialRequest { newest, page_size })
}

fn trial_json(trial: &Trial, name: &str) -> Object {
    let outputs = trial.outputs.iter().map(|(document, position, value)| {
        Object::from_iter([
            ("Document", Json::from(document.as_str())),
            ("Position", u64::from(*position).into()),
            ("Value", value.clone()),
        ])
        .into()
    });
    let results = trial.results.iter().map(|result| {
        let levels = result.levels.iter().map(|level| {
            let values = level.values.iter().map(|value| value.clone().unwrap_or(Json::Null)).collect();
            Object::from_iter([("Pages", Json::from(level.pages)), ("Values", Json::Array(values))]).into()
        });
        Object::from_iter([
            ("Result", result.result.clone()),
            ("Height", (result.levels.len() as u64).saturating_sub(1).into()),
            ("Levels", Json::Array(levels.collect())),
        ])
        .into()
    });
    let faults = trial.faults.iter().map(|fault| Json::from(fault_json(name, fault)));
    Object::from_iter([
        ("Documents", Json::from(trial.documents)),
        ("AllDocuments", trial.is_complete.into()),
        ("Ended", trial.ended.as_deref().into()),
        ("Outputs", Json::Array(outputs.collect())),
        ("MaxOutputsPerDocument", trial.outputs_max.into()),
        ("ResultsCount", trial.results_count.into()),
        ("Results", Json::Array(results.collect())),
        ("Errors", Json::Array(faults.collect())),
        ("Cost", cost_json(&trial.cost).into()),
        ("Difference", trial.difference.as_ref().map_or(Json::Null, |found| difference_json(found).into())),
    ])
}

fn cost_json(cost: &Cost) -> Object {
    let mean = |sum: f64, count: u64| Json::from(Number::from_f64(sum / count.max(1) as f64));
    let micros = |time: Duration, calls: u64| mean(time.as_secs_f64() * 1e6, calls);
    let steps = |sum: Option<u64>, calls: u64| sum.map_or(Json::Null, |sum| mean(sum as f64, calls));
    Object::from_iter([
        ("Maps", Json::from(cost.maps)),
        ("MicrosecondsPerMap", micros(cost.map_time, cost.maps)),
        ("StepsPerMap", steps(cost.map_steps, cost.maps)),
        ("OutputsPerMap", mean(cost.outputs as f64, cost.maps)),
        ("Reduces", cost.reduces.into()),
        ("MicrosecondsPerReduce", micros(cost.reduce_time, cost.reduces)),
        ("StepsPerReduce", steps(cost.reduce_steps, cost.reduces)),
        ("Finalizes", cost.finalizes.into()),
        ("MicrosecondsPerFinalize", micros(cost.finalize_time, cost.finalizes)),
        ("StepsPerFinalize", steps(cost.finalize_steps, cost.finalizes)),
    ])
}

fn difference_json(found: &Difference) -> Object {
    let rows = found.rows.iter().map(|(key, live, trial)| {
        Object::from_iter([
            ("Key", Json::Array(key.clone())),
            ("Live", live.clone().unwrap_or(Json::Null)),
            ("New", trial.clone().unwrap_or(Json::Null)),
        ])
        .into()
    });
    Object::from_iter([
        ("Added", Json::from(found.added)),
        ("Removed", found.removed.into()),
        ("Changed", found.changed.into()),
        ("Same", found.same.into()),
        ("Rows", Json::Array(rows.collect())),
    ])
}
