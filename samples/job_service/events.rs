//! The job service's way to Magpie, over HTTP: events are written, and the write waits for the indexes that answer.

use magpie_samples::JOB_SERVICE;
use magpie_store::Timestamp;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use ureq::{Agent, http};

/// Longest wait for the answer of somebody who is called back.
const CALLBACK_WAIT: Duration = Duration::from_secs(10);
/// How many jobs with call-backs that are due are looked at in one go.
const DUE_JOBS_MAX: usize = 1000;

/// Why a request fails.
#[derive(Debug)]
pub enum ServiceError {
    /// The request is wrong.
    Invalid(String),
    /// There is no such job.
    Missing(String),
    /// The job is not as the request needs it.
    Conflict(String),
    /// Magpie does not answer, or not as it should.
    Store(String),
}

impl std::fmt::Display for ServiceError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(job) => write!(formatter, "there is no job '{job}'"),
            Self::Invalid(message) | Self::Conflict(message) | Self::Store(message) => {
                formatter.write_str(message)
            }
        }
    }
}

impl std::error::Error for ServiceError {}

/// A database of Magpie.
pub struct Events {
    agent: Agent,
    database: String,
    /// The last time that was given out, in ticks of 100 ns since 1970.
    last_ticks: AtomicI64,
}

impl Events {
    /// `database` is an address such as `http://127.0.0.1:8080/databases/magpie`.
    pub fn new(database: &str) -> Self {
        let agent = Agent::config_builder().http_status_as_error(false).build().into();
        Self { agent, database: database.trim_end_matches('/').to_owned(), last_ticks: AtomicI64::new(0) }
    }

    /// Puts the indexes; those that are there already stay as they are.
    ///
    /// # Errors
    /// When Magpie does not take them.
    pub fn put_indexes(&self) -> Result<(), ServiceError> {
        let definitions: Result<Vec<_>, _> =
            JOB_SERVICE.indexes.iter().map(|index| index.definition()).collect();
        let definitions = definitions.map_err(|error| ServiceError::Store(error.to_string()))?;
        self.send("PUT", "indexes", &json!({ "Indexes": definitions })).map(drop)
    }

    /// Writes a new event; the answer comes when both indexes have it.
    ///
    /// An empty change vector says that there must be no such document yet.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] when there is.
    pub fn write(&self, id: &str, mut event: Value) -> Result<(), ServiceError> {
        event["at"] = Timestamp(self.next_ticks()).to_string().into();
        event["@metadata"] = json!({ "@collection": event["type"] });
        let command = json!({ "Type": "PUT", "Id": id, "ChangeVector": "", "Document": event });
        let path = "bulk_docs?waitForIndexesTimeout=00:00:15&waitForSpecificIndex=JobState&waitForSpecificIndex=JobHistory";
        self.send("POST", path, &json!({ "Commands": [command] })).map(drop)
    }

    /// The state of a job, its fields as one object.
    ///
    /// # Errors
    /// [`ServiceError::Missing`] when nobody made it.
    pub fn state(&self, job: &str) -> Result<Value, ServiceError> {
        let state = self.find("from index 'JobState' where job = $job", job)?;
        if state["created"].is_null() {
            return Err(ServiceError::Missing(job.to_owned()));
        }
        let mut fields = json!({});
        for field in state["fields"].as_array().into_iter().flatten() {
            fields[field["name"].as_str().unwrap_or_default()] = field["value"].clone();
        }
        Ok(json!({ "job": job, "user": state["user"], "status": state["status"], "fields": fields }))
    }

    /// What happened to a job, in order.
    ///
    /// # Errors
    /// As [`Events::state`].
    pub fn history(&self, job: &str) -> Result<Value, ServiceError> {
        self.find("from index 'JobHistory' where job = $job select job, history, waiting", job)
    }

    /// Makes all call-backs that are due, those of each job in order, and gives whether none of them failed.
    ///
    /// # Errors
    /// When Magpie does not answer; what was marked as delivered stays so.
    pub fn deliver_due(&self) -> Result<bool, ServiceError> {
        let query = format!(
            "from index 'JobHistory' where waiting > 0 order by job select job, callback, pending limit {DUE_JOBS_MAX}"
        );
        let due = self.query(&query, json!({}))?;
        let mut all = due.len() < DUE_JOBS_MAX;
        for job in due {
            for step in job["pending"].as_array().into_iter().flatten() {
                let call = json!({
                    "job": job["job"], "status": step["status"], "at": step["at"], "event": step["event"]
                });
                if !self.call(job["callback"]["url"].as_str().unwrap_or_default(), &call) {
                    // The later ones of this job must not come before this one.
                    all = false;
                    break;
                }
                let event = step["event"].as_str().unwrap_or_default();
                let mark = json!({ "type": "CallbackDelivered", "job": job["job"], "event": event });
                self.write(&format!("{event}/delivered"), mark)?;
            }
        }
        Ok(all)
    }

    fn call(&self, url: &str, body: &Value) -> bool {
        let request = self.agent.post(url).config().timeout_global(Some(CALLBACK_WAIT)).build();
        let answer = request.content_type("application/json").send(body.to_string());
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// An id for a job that none has had.
    pub fn new_job(&self) -> String {
        format!("job-{:x}", self.next_ticks())
    }

    /// An id for a change of a job that none has had.
    pub fn new_change(&self, job: &str) -> String {
        format!("{job}/changes/{:x}", self.next_ticks())
    }

    /// The time now; each call gives a later one, so that events of this service have an order.
    fn next_ticks(&self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since_1970.as_nanos() / 100).unwrap_or(i64::MAX);
        let given = self
            .last_ticks
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(now.max(last.saturating_add(1))));
        let last = given.unwrap_or_else(|last| last);
        now.max(last.saturating_add(1))
    }

    fn find(&self, query: &str, job: &str) -> Result<Value, ServiceError> {
        let rows = self.query(query, json!({ "job": job }))?;
        rows.into_iter().next().ok_or_else(|| ServiceError::Missing(job.to_owned()))
    }

    fn query(&self, query: &str, parameters: Value) -> Result<Vec<Value>, ServiceError> {
        let body = json!({ "Query": query, "QueryParameters": parameters });
        let answer = self.send("POST", "queries", &body)?;
        let Some(mut rows) = answer["Results"].as_array().cloned() else {
            return Err(ServiceError::Store("an answer without results".to_owned()));
        };
        for row in rows.iter_mut().filter_map(Value::as_object_mut) {
            row.remove("@metadata");
        }
        Ok(rows)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, ServiceError> {
        let failed =
            |error: &dyn std::fmt::Display| ServiceError::Store(format!("{}: {error}", self.database));
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.database))
            .header("content-type", "application/json")
            .body(body.to_string())
            .map_err(|error| failed(&error))?;
        let mut answer = self.agent.run(request).map_err(|error| failed(&error))?;
        let text = answer.body_mut().read_to_string().map_err(|error| failed(&error))?;
        let answered: Value = serde_json::from_str(&text).unwrap_or_default();
        match answer.status().as_u16() {
            200..=299 => Ok(answered),
            409 => Err(ServiceError::Conflict("another request was faster".to_owned())),
            status => Err(failed(&format!("status {status}: {}", answered["Message"]))),
        }
    }
}
