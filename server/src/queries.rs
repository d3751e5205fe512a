//! `POST queries` and `GET queries`: RQL in, rows out.
//!
//! A query that asks for results that are not stale waits first, holding no thread, until its index has taken in what
//! was written before the query came; then it runs on one snapshot on a blocking thread. Running out of time is not
//! an error: the answer says `IsStale`.

use crate::answer;
use crate::body;
use crate::clock;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::index_wait::wait_until_followed;
use crate::limits::{QUERY_INLINE_BYTES_MAX, QUERY_MOVED_RETRIES_MAX, QUERY_WAIT_MS_DEFAULT, WAIT_MS_MAX};
use crate::query_string::Pairs;
use crate::random;
use crate::request::DatabaseRequest;
use crate::state::{AppState, blocking};
use crate::timespan;
use crate::version::NODE_TAG;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use magpie_indexes::progress::Progress;
use magpie_indexes::{IndexError, IndexStatus};
use magpie_query::ast::FromSource;
use magpie_query::{Answer, QueryError, Request, Snapshot};
use magpie_store::json::{Json, Object};
use magpie_store::{DatabaseView, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The date that clients take for "never".
const NEVER: &str = "0001-01-01T00:00:00.0000000";

/// A query with the conditions of its request.
pub(crate) struct Asked {
    pub(crate) request: Request,
    /// How long to wait for results that are not stale; `None` = not at all.
    wait: Option<Duration>,
    /// The etag that the client has.
    headers: HeaderMap,
    /// Whether only the index's name is wanted.
    explain: bool,
    /// Whether the request is so short that planning it takes no time to speak of.
    is_short: bool,
}

/// `POST queries`
pub(crate) async fn post(request: DatabaseRequest, body: Body) -> Result<Response, ServerError> {
    let asked = read_body(&request, body).await?;
    answer_query(&request.app, &request.database, asked).await
}

/// `GET queries?query=&start=&pageSize=&waitForNonStaleResults=&parameters=`
pub(crate) async fn get(request: DatabaseRequest) -> Result<Response, ServerError> {
    let asked = read_query_string(&request)?;
    answer_query(&request.app, &request.database, asked).await
}

/// The query of a request's body.
pub(crate) async fn read_body(request: &DatabaseRequest, body: Body) -> Result<Asked, ServerError> {
    let text = body::read(&request.headers, body, request.app.config().limits.request_body_bytes_max).await?;
    // A query is mostly short, and handing it to another thread would cost more than reading it.
    let is_short = text.len() <= QUERY_INLINE_BYTES_MAX;
    let body = if is_short {
        body::parse_object(&text)?
    } else {
        blocking(move || body::parse_object(&text)).await?
    };
    from_body(body, request, is_short)
}

/// The query of a request's query string.
pub(crate) fn read_query_string(request: &DatabaseRequest) -> Result<Asked, ServerError> {
    let Some(text) = request.query.get("query") else {
        return Err(ServerError::InvalidOperation(
            "Missing mandatory query string parameter 'query'.".to_owned(),
        ));
    };
    let mut body = Object::from_iter([("Query", Json::from(text))]);
    for (parameter, key) in [("start", "Start"), ("pageSize", "PageSize")] {
        body.insert(key, request.query.number(parameter)?);
    }
    body.insert("WaitForNonStaleResults", request.query.flag("waitForNonStaleResults")?);
    body.insert("WaitForNonStaleResultsTimeout", request.query.get("waitForNonStaleResultsTimeout"));
    if let Some(parameters) = request.query.get("parameters") {
        body.insert("QueryParameters", body::parse_object(parameters.as_bytes())?);
    }
    let is_short = request.uri.query().is_none_or(|text| text.len() <= QUERY_INLINE_BYTES_MAX);
    from_body(body, request, is_short)
}

fn from_body(mut body: Object, request: &DatabaseRequest, is_short: bool) -> Result<Asked, ServerError> {
    let query = match body.remove("Query") {
        Some(Json::String(text)) if !text.trim().is_empty() => text,
        _ => {
            return Err(ServerError::InvalidOperation(
                "Index query does not contain 'Query' field.".to_owned(),
            ));
        }
    };
    let parameters = match body.remove("QueryParameters") {
        Some(Json::Object(parameters)) => Some(parameters),
        None | Some(Json::Null) => None,
        Some(other) => return Err(body::unconvertible("QueryParameters", &other, "an object or null")),
    };
    let explain = read_debug(&request.query)?;
    check_projection(&body)?;
    let (start, page_size) = (whole(&body, &query, "Start")?.unwrap_or(0), whole(&body, &query, "PageSize")?);
    let (metadata_only, wait) = (request.query.flag("metadataOnly")?, read_wait(&body)?);
    let parsed = request.app.parsed_queries().parse(&query)?;
    // The seed is part of what the ETag is made of, so it only differs where it matters.
    let random_seed = if parsed.draws_random() { random::seed()? } else { 0 };
    // Likewise the time.
    let now = parsed.asks_time().then(clock::now);
    Ok(Asked {
        request: Request {
            query,
            parsed: Some(parsed),
            parameters,
            start,
            page_size,
            metadata_only,
            random_seed,
            now,
        },
        wait,
        headers: request.headers.clone(),
        explain,
        is_short,
    })
}

/// A whole number that is not negative; `None` when absent or null.
fn whole(body: &Object, query: &str, key: &'static str) -> Result<Option<u64>, ServerError> {
    let expected = "a whole number from 0 on";
    let Some(value) = body.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
    let number = value.as_i64().ok_or_else(|| body::unconvertible(key, value, expected))?;
    u64::try_from(number).map(Some).map_err(|_| {
        let message = format!("{key} cannot be negative, but was {number}.");
        ServerError::Query(QueryError::Invalid { message, query: query.into(), parameters: None })
    })
}

/// Refuses what is no way of projecting; all ways lead to the same fields here.
fn check_projection(body: &Object) -> Result<(), ServerError> {
    const NAMES: [&str; 5] =
        ["Default", "FromIndex", "FromIndexOrThrow", "FromDocument", "FromDocumentOrThrow"];
    match body.get("ProjectionBehavior") {
        None | Some(Json::Null) => Ok(()),
        Some(Json::String(name)) if NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)) => Ok(()),
        Some(other) => Err(body::unconvertible(
            "ProjectionBehavior",
            other,
            "Default, FromIndex, FromIndexOrThrow, FromDocument or FromDocumentOrThrow",
        )),
    }
}

/// Whether `debug=explain` is asked for, the one debug operation there is.
fn read_debug(query: &Pairs) -> Result<bool, ServerError> {
    match query.get("debug") {
        None => Ok(false),
        Some("explain") => Ok(true),
        Some("entries" | "graph" | "detailed") => {
            Err(ServerError::NotSupported { what: "this query debug operation".to_owned() })
        }
        Some(other) => Err(ServerError::UnknownDebugOperation { name: other.chars().take(100).collect() }),
    }
}

/// Node sends the time in milliseconds, the others as a span.
fn read_wait(body: &Object) -> Result<Option<Duration>, ServerError> {
    let waits = match body.get("WaitForNonStaleResults") {
        None | Some(Json::Null) => false,
        Some(Json::Bool(waits)) => *waits,
        Some(other) => return Err(body::unconvertible("WaitForNonStaleResults", other, "true or false")),
    };
    let time = match body.get("WaitForNonStaleResultsTimeout") {
        None | Some(Json::Null) => Duration::from_millis(QUERY_WAIT_MS_DEFAULT),
        Some(value) => timespan::from_json(value).ok_or_else(|| {
            let expected = "milliseconds, or a span of time such as 00:00:15";
            body::unconvertible("WaitForNonStaleResultsTimeout", value, expected)
        })?,
    };
    Ok(waits.then_some(time.min(Duration::from_millis(WAIT_MS_MAX))))
}

async fn answer_query(
    app: &AppState,
    database: &Arc<OpenDatabase>,
    asked: Asked,
) -> Result<Response, ServerError> {
    let started = Instant::now();
    let index_name = wait_if_asked(app, database, &asked).await?;
    if let Some(answered) = run_light(database, &asked, index_name.as_deref(), started) {
        return Ok(respond(answered));
    }
    let database = Arc::clone(database);
    let _place = app.query_place().await?;
    Ok(respond(blocking(move || run(&database, &asked, index_name.as_deref(), started)).await?))
}

fn respond((etag, text): Answered) -> Response {
    match text {
        None => answer::not_modified(),
        Some(text) => {
            let response = answer::json_text(StatusCode::OK, text);
            if let Some(etag) = etag { answer::with_etag(response, &etag) } else { response }
        }
    }
}

/// The index that the query names, if it names one, after it has caught up where the query asks for that.
pub(crate) async fn wait_if_asked(
    app: &AppState,
    database: &Arc<OpenDatabase>,
    asked: &Asked,
) -> Result<Option<String>, ServerError> {
    let index_name = match asked.request.parsed.as_ref().map(|parsed| parsed.source()) {
        Some(FromSource::Index(name)) => Some(name.clone()),
        _ => None,
    };
    if let Some(name) = &index_name {
        database.indexes().note_queried(name, clock::now());
    }
    if let (Some(name), Some(time)) = (&index_name, asked.wait) {
        wait_for_index(app, database, name, time).await?;
    }
    Ok(index_name)
}

/// Waits until the index, and those before it in its chain, have taken in what their collections have now. A replaced index ends its waiters: they wait for
/// the one in its place.
pub(crate) async fn wait_for_index(
    app: &AppState,
    database: &Arc<OpenDatabase>,
    name: &str,
    time: Duration,
) -> Result<(), ServerError> {
    let until = Instant::now() + time;
    let mut cutoff = None;
    if is_followed(database, name) {
        return Ok(());
    }
    loop {
        let Some(index) = database.indexes().get(name) else { return Ok(()) };
        let (reader, asked) = (Arc::clone(database), Arc::clone(&index));
        let (newest, done) = blocking(move || {
            let view = reader.documents().view();
            let indexes = reader.indexes();
            let status = asked.status(&view).map_err(ServerError::from)?;
            let ended = matches!(status, IndexStatus::Disabled | IndexStatus::Failed(_));
            let done = ended || !indexes.is_stale(&view, &asked)?;
            Ok((indexes.newest_of_chain(&view, &asked)?, done))
        })
        .await?;
        let etag = *cutoff.get_or_insert(newest);
        let left = until.saturating_duration_since(Instant::now());
        if done || left.is_zero() {
            return Ok(());
        }
        wait_until_followed(app, database, &index, etag, left).await;
        let same = database.indexes().get(name).is_some_and(|now| Arc::ptr_eq(&now, &index));
        if same {
            return Ok(());
        }
    }
}

/// Whether it is known without waiting for the disk that an index has taken in what there is.
fn is_followed(database: &OpenDatabase, name: &str) -> bool {
    let Some(index) = database.indexes().get(name) else { return false };
    let view = database.documents().light_view();
    let is_stale = database.indexes().is_stale(&view, &index);
    matches!(is_stale, Ok(false)) && !view.kv().gave_up()
}

/// The ETag and the body; no body when the client has it.
type Answered = (Option<String>, Option<Vec<u8>>);

/// Runs a query on the thread that got it, when it takes no longer than handing it over to another one: its rows are few,
/// in memory, and only compared. `None` when it has to run elsewhere, also where it fails.
fn run_light(
    database: &OpenDatabase,
    asked: &Asked,
    index_name: Option<&str>,
    started: Instant,
) -> Option<Answered> {
    asked.request.parsed.as_ref().filter(|parsed| asked.is_short && parsed.is_light())?;
    let view = database.documents().light_view();
    let answered = run_on(&view, database, asked, index_name, started).ok();
    answered.filter(|_| !view.kv().gave_up())
}

/// Runs a query on a snapshot. When its index was replaced meanwhile, takes a new one.
fn run(
    database: &OpenDatabase,
    asked: &Asked,
    index_name: Option<&str>,
    started: Instant,
) -> Result<Answered, ServerError> {
    again_when_moved(|| run_once(database, asked, index_name, started))
}

/// Runs a query that takes a new snapshot each time, until its index was not replaced meanwhile.
pub(crate) fn again_when_moved<T>(mut run: impl FnMut() -> Result<T, ServerError>) -> Result<T, ServerError> {
    let mut retries = 0;
    loop {
        match run() {
            Err(ServerError::Query(QueryError::Index(IndexError::Moved { .. })))
                if retries < QUERY_MOVED_RETRIES_MAX =>
            {
                retries += 1;
            }
            answered => return answered,
        }
    }
}

fn run_once(
    database: &OpenDatabase,
    asked: &Asked,
    index_name: Option<&str>,
    started: Instant,
) -> Result<Answered, ServerError> {
    let view = database.documents().view();
    run_on(&view, database, asked, index_name, started)
}

fn run_on(
    view: &DatabaseView<'_>,
    database: &OpenDatabase,
    asked: &Asked,
    index_name: Option<&str>,
    started: Instant,
) -> Result<Answered, ServerError> {
    let snapshot = Snapshot::new(view, database.indexes());
    let answer = magpie_query::execute(&snapshot, &asked.request);
    if index_name.is_none() {
        database.make_auto_indexes();
    }
    let answer = answer?;
    if index_name.is_none() {
        // Only an index that has been made can be told.
        database.indexes().note_queried(&answer.index_name, clock::now());
    }
    let mut text = Vec::new();
    if asked.explain {
        let body =
            Object::from_iter([("IndexName", Json::from(answer.index_name)), ("Results", Vec::new().into())]);
        body.write_to(&mut text);
        return Ok((None, Some(text)));
    }
    let etag = answer.result_etag.to_string();
    if answer::client_has(&asked.headers, &etag) {
        return Ok((Some(etag), None));
    }
    let progress = progress(database, view, index_name)?;
    // A stale answer knows the documents as far as the index has read; any other one knows them all.
    let as_of = progress.filter(|_| answer.is_stale).map_or(view.last_etag(), |progress| progress.etag);
    let indexed_at = progress.map(|progress| progress.indexed_at);
    write_answer(answer, indexed_at, as_of.0, started, &mut text);
    Ok((Some(etag), Some(text)))
}

/// How far an index is, if the query names one that exists.
pub(crate) fn progress(
    database: &OpenDatabase,
    view: &DatabaseView<'_>,
    index_name: Option<&str>,
) -> Result<Option<Progress>, ServerError> {
    let index = match index_name {
        Some(name) => database.indexes().get_in(view, name).map_err(QueryError::Index)?,
        None => None,
    };
    Ok(match index {
        Some(index) => Some(index.progress_in(view)?),
        None => None,
    })
}

/// When an index was last brought forward; a query without an index reads what is there now.
pub(crate) fn index_timestamp(indexed_at: Option<u64>) -> String {
    match indexed_at {
        None => clock::now().to_string(),
        Some(0) => NEVER.to_owned(),
        Some(ticks) => Timestamp(i64::try_from(ticks).unwrap_or(i64::MAX)).to_string(),
    }
}

/// Writes the answer in the field order of the original server, its rows straight from where they are.
fn write_answer(
    mut answer: Answer,
    indexed_at: Option<u64>,
    etag: u64,
    started: Instant,
    text: &mut Vec<u8>,
) {
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let paths = answer.included_paths.take();
    let paths = paths.map(|paths| paths.into_iter().map(Json::from).collect::<Vec<_>>());
    let mut head = Object::from_iter([("TotalResults", Json::from(answer.total_results))]);
    if let Some(capped) = answer.capped_max_results {
        head.insert("CappedMaxResults", capped);
    }
    for (key, value) in [
        ("ScannedResults", Json::from(answer.scanned_results)),
        ("SkippedResults", answer.skipped_results.into()),
        ("DurationInMs", duration_ms.into()),
        ("IncludedPaths", paths.into()),
        ("IndexName", std::mem::take(&mut answer.index_name).into()),
    ] {
        head.insert(key, value);
    }
    head.write_to(text);
    text.pop();
    text.extend_from_slice(b",\"Results\":[");
    for (number, row) in answer.rows.iter().enumerate() {
        if number > 0 {
            text.push(b',');
        }
        row.write_to(text);
    }
    text.push(b']');
    // What follows goes on where the head stands open.
    let begin = text.len();
    behind_rows(answer, indexed_at, etag, duration_ms).write_to(text);
    if let Some(brace) = text.get_mut(begin) {
        *brace = b',';
    }
}

/// What stands behind the rows of an answer.
fn behind_rows(answer: Answer, indexed_at: Option<u64>, etag: u64, duration_ms: u64) -> Object {
    let mut own = Object::from_iter([("AsOfEtag", Json::from(etag))]);
    if !answer.warnings.is_empty() {
        own.insert("Warnings", answer.warnings.into_iter().map(Json::from).collect::<Vec<_>>());
    }
    let mut body = Object::new();
    for (key, value) in [
        ("Includes", Json::from(answer.includes)),
        ("IndexTimestamp", index_timestamp(indexed_at).into()),
        ("LastQueryTime", clock::now().to_string().into()),
        ("IsStale", answer.is_stale.into()),
        ("ResultEtag", answer.result_etag.into()),
        ("NodeTag", NODE_TAG.into()),
        ("Magpie", own.into()),
    ] {
        body.insert(key, value);
    }
    if let Some(exchanges) = answer.exchanges.filter(|found| !found.is_empty()) {
        body.insert("CompareExchangeValueIncludes", exchanges);
    }
    if let Some(counters) = answer.counters {
        body.insert("CounterIncludes", counters.counters);
        body.insert("IncludedCounterNames", counters.names);
    }
    if answer.wants_timings {
        let timed = |parts: Object| {
            Object::from_iter([("DurationInMs", Json::from(duration_ms)), ("Timings", parts.into())])
        };
        let query = timed(Object::new());
        body.insert("Timings", timed(Object::from_iter([("Query", Json::from(query))])));
    }
    if let Some(highlightings) = answer.highlightings {
        body.insert("Highlightings", highlightings);
    }
    if let Some(explanations) = answer.explanations {
        body.insert("Explanations", explanations);
    }
    body
}
