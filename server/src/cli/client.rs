//! What the client verbs share: which server and database, and one way to send a request and read its answer.

use clap::Args;
use magpie_store::json::{self, Json};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::Write;
use std::time::Duration;
use ureq::{Agent, AsSendBody, Body, SendBody, http};

/// Longest wait for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Where the server is, and how to print.
#[derive(Debug, Args)]
pub struct Target {
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
    /// The database.
    #[arg(long, default_value = "magpie", value_name = "NAME")]
    database: String,
    /// Print the server's answer as it is, for programs.
    #[arg(long)]
    pub json: bool,
}

/// One value in a query string, escaped.
pub fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Target {
    /// Sends a request to a path of the database and gives the answer's JSON.
    ///
    /// # Errors
    /// One sentence: the server cannot be reached, or what it refused and why.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: SendBody<'_>,
    ) -> Result<Json, String> {
        read(self.ask(method, path, headers, body)?)
    }

    /// Sends a request to a path of the database and copies the answer, which may be large, to `out`.
    ///
    /// # Errors
    /// As [`Self::send`], and when the answer breaks off or cannot be written.
    pub fn download(&self, method: &str, path: &str, body: &str, out: &mut dyn Write) -> Result<(), String> {
        let headers = [("Content-Type", "application/json")];
        let response = self.ask(method, path, &headers, body.as_bytes().as_body())?;
        if !response.status().is_success() {
            return read(response).map(drop);
        }
        let mut body = response.into_body().into_reader();
        std::io::copy(&mut body, out).map(drop).map_err(|error| format!("the export broke off: {error}"))
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: SendBody<'_>,
    ) -> Result<http::Response<Body>, String> {
        let base = self.url.trim_end_matches('/');
        let url = format!("{base}/databases/{}/{path}", escaped(&self.database));
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_WAIT))
            .build()
            .into();
        let mut request = http::Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(|error| format!("'{url}' is not an address: {error}"))?;
        agent.run(request).map_err(|error| {
            format!("no answer from {base}: {error}; is the server running there? (magpie serve, or --url)")
        })
    }
}

fn read(response: http::Response<Body>) -> Result<Json, String> {
    let status = response.status();
    let bytes = response
        .into_body()
        .into_with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_vec()
        .map_err(|error| format!("the answer broke off: {error}"))?;
    let answer = if bytes.is_empty() { Ok(Json::Null) } else { json::parse(&bytes) };
    if status.is_success() {
        return answer.map_err(|error| format!("the answer is not JSON ({error}); is this a Magpie server?"));
    }
    let message =
        answer.ok().and_then(|answer| answer.get("Message").and_then(Json::as_str).map(str::to_owned));
    Err(message.unwrap_or_else(|| match status.as_u16() {
        404 => "the server has nothing of that name (404)".to_owned(),
        _ => format!("the server answered {status}"),
    }))
}
