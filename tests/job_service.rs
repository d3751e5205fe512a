//! The job service of the samples, as a process of its own on a real server: what a request wrote, its answer and every
//! later one show; of requests at once none is lost; call-backs come once for each new status, in order, also after the
//! service was killed.

#![cfg(test)]

use magpie_store::json::{self, Json};
use magpie_tests::process::{ServerProcess, build_folder};
use magpie_tests::wire::{Answer, Client};
use magpie_tests::workspace;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

/// A running job service, ended when dropped.
struct Service {
    process: Child,
    client: Client,
}

impl Service {
    fn start(server: &ServerProcess) -> Self {
        // The command of its README; the script becomes the service.
        let mut process = Command::new(workspace().join("samples/job_service/run"))
            .env("CARGO_TARGET_DIR", build_folder().unwrap().parent().unwrap())
            .args([&format!("{}/databases/magpie", server.url()), "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("Jobs are served on: ").expect("the service tells its address");
        Self { client: Client::new(url), process }
    }

    fn post(&self, body: &str) -> Json {
        self.client.post("/job", body).unwrap().expect_status(201).unwrap().json().unwrap()
    }

    fn patch(&self, job: &str, body: &str) -> Answer {
        self.client.send("PATCH", &format!("/job/{job}"), &[], Some(body.as_bytes())).unwrap()
    }

    fn get(&self, path: &str) -> Json {
        self.client.get(&format!("/job/{path}")).unwrap().expect_status(200).unwrap().json().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Who is called back: keeps (job, status) of each call, and refuses calls as long as it is told to.
#[derive(Default)]
struct Called {
    calls: Mutex<Vec<(String, String)>>,
    refused: Mutex<usize>,
    refuses: Mutex<bool>,
    news: Condvar,
}

impl Called {
    /// Starts to listen; gives the address and what arrives there.
    fn listen() -> (String, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/called", listener.local_addr().unwrap());
        let called = Arc::new(Self::default());
        let keeper = Arc::clone(&called);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                keeper.take(stream.unwrap());
            }
        });
        (url, called)
    }

    fn take(&self, mut stream: std::net::TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).unwrap() > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        // The service may be killed in the middle of a call.
        if reader.read_exact(&mut body).is_err() || length == 0 {
            return;
        }
        let refuses = *self.refuses.lock().unwrap();
        let status = if refuses { "503 Not now" } else { "200 OK" };
        let call = json::parse(&body).unwrap();
        let mut calls = self.calls.lock().unwrap();
        if refuses {
            *self.refused.lock().unwrap() += 1;
        } else {
            calls.push((text(&call, "job").to_owned(), text(&call, "status").to_owned()));
        }
        self.news.notify_all();
        drop(calls);
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }

    /// Waits until `done` of the calls.
    fn wait(&self, done: impl Fn(&[(String, String)]) -> bool) -> Vec<(String, String)> {
        let calls = self.calls.lock().unwrap();
        let (calls, waited) = self.news.wait_timeout_while(calls, WAIT, |calls| !done(calls)).unwrap();
        assert!(!waited.timed_out(), "call-backs are missing: {calls:?}");
        calls.clone()
    }

    /// Waits until `count` calls have come, and gives the statuses told of each of `jobs`.
    fn statuses(&self, count: usize, jobs: &[String]) -> Vec<Vec<String>> {
        let calls = self.wait(|calls| calls.len() >= count);
        assert_eq!(calls.len(), count, "none is told twice");
        let of = |job: &String| {
            calls.iter().filter(|(known, _)| known == job).map(|(_, status)| status.clone()).collect()
        };
        jobs.iter().map(of).collect()
    }
}

fn text<'a>(value: &'a Json, name: &str) -> &'a str {
    value.get(name).and_then(Json::as_str).unwrap_or_else(|| panic!("{name} in {value}"))
}

fn field(state: &Json, name: &str) -> Option<i64> {
    state.get("fields").and_then(|fields| fields.get(name)).and_then(Json::as_i64)
}

fn started() -> (tempfile::TempDir, ServerProcess, Service) {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]).unwrap();
    let service = Service::start(&server);
    (data, server, service)
}

#[test]
fn every_answer_shows_what_was_written_before_it() {
    let (_data, _server, service) = started();
    let (url, called) = Called::listen();
    let mut jobs = Vec::new();
    for number in 0..60 {
        let body = format!(r#"{{"user":"users/ada","callback":"{url}","fields":{{"n":{number}}}}}"#);
        let job = text(&service.post(&body), "job").to_owned();
        let state = service.get(&job);
        assert_eq!((text(&state, "status"), field(&state, "n")), ("created", Some(number)), "{state}");

        let answer = service.patch(&job, r#"{"status":"started"}"#).expect_status(200).unwrap();
        assert_eq!(text(&answer.json().unwrap(), "status"), "started");
        let answer = service.patch(&job, r#"{"fields":{"progress":50}}"#).expect_status(200).unwrap();
        assert_eq!(field(&answer.json().unwrap(), "progress"), Some(50));
        let end = if number % 3 == 0 { "failed" } else { "completed" };
        let body = format!(r#"{{"status":"{end}","fields":{{"progress":100}}}}"#);
        service.patch(&job, &body).expect_status(200).unwrap();
        let state = service.get(&job);
        assert_eq!((text(&state, "status"), field(&state, "progress")), (end, Some(100)), "{state}");
        jobs.push(job);
    }
    let expected = |number| if number % 3 == 0 { "failed" } else { "completed" };
    for (number, told) in called.statuses(180, &jobs).into_iter().enumerate() {
        assert_eq!(told, ["created", "started", expected(number)]);
    }
    let history = service.get(&format!("{}/history", jobs[1]));
    let history = history.get("history").and_then(Json::as_array).unwrap();
    let whats: Vec<&str> = history.iter().map(|entry| text(entry, "what")).collect();
    assert_eq!(whats, ["created", "started", "changed", "completed"]);
}

#[test]
fn of_requests_at_once_none_is_lost_and_one_wins() {
    let (_data, _server, service) = started();
    let (url, called) = Called::listen();
    let job = text(&service.post(&format!(r#"{{"callback":"{url}"}}"#)), "job").to_owned();
    let (service, job) = (&service, job.as_str());
    let winners = std::thread::scope(|scope| {
        let one = |number: i64| {
            move || {
                let status = service.patch(job, r#"{"status":"started"}"#).status;
                assert!(status == 200 || status == 409, "{status}");
                for count in 1..=25 {
                    let body = format!(r#"{{"fields":{{"own{number}":{count},"shared":{count}}}}}"#);
                    let answer = service.patch(job, &body).expect_status(200).unwrap().json().unwrap();
                    // Nobody else writes this field, so the answer has the value of this very request.
                    assert_eq!(field(&answer, &format!("own{number}")), Some(count), "{answer}");
                    assert_eq!(field(&service.get(job), &format!("own{number}")), Some(count));
                }
                usize::from(status == 200)
            }
        };
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(one(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!(winners, 1, "a job is started once");
    let state = service.get(job);
    assert!((0..8).all(|number| field(&state, &format!("own{number}")) == Some(25)), "{state}");
    let history = service.get(&format!("{job}/history"));
    let entries = history.get("history").and_then(Json::as_array).unwrap();
    assert_eq!(entries.len(), 2 + 8 * 25, "each request is one event");
    // The last change in the history is the one that the state shows.
    let last = entries.last().and_then(|entry| entry.get("fields")).and_then(Json::as_array).unwrap();
    let shared = last.iter().find(|field| text(field, "name") == "shared").unwrap();
    assert_eq!(shared.get("value").and_then(Json::as_i64), field(&state, "shared"));
    assert_eq!(called.statuses(2, &[job.to_owned()]), [["created", "started"]]);
}

#[test]
fn calls_that_fail_are_made_again_in_order_also_after_a_kill() {
    let (_data, server, service) = started();
    let (url, called) = Called::listen();
    *called.refuses.lock().unwrap() = true;
    let job = text(&service.post(&format!(r#"{{"callback":"{url}"}}"#)), "job").to_owned();
    service.patch(&job, r#"{"status":"started"}"#).expect_status(200).unwrap();
    // Two refusals: it tries again by itself, and does not skip what fails.
    called.wait(|_| *called.refused.lock().unwrap() >= 2);
    drop(service);
    *called.refuses.lock().unwrap() = false;

    let service = Service::start(&server);
    service.patch(&job, r#"{"status":"completed"}"#).expect_status(200).unwrap();
    let calls = called.wait(|calls| calls.iter().any(|(_, status)| status == "completed"));
    let mut statuses: Vec<&str> = calls.iter().map(|(_, status)| status.as_str()).collect();
    // A call that was under way at the kill may be made twice.
    statuses.dedup();
    assert_eq!(statuses, ["created", "started", "completed"]);
}

#[test]
fn what_cannot_be_is_refused_and_writes_nothing() {
    let (_data, _server, service) = started();
    let job = text(&service.post(r#"{"user":"users/ada"}"#), "job").to_owned();
    for (status, body) in [
        (409, r#"{"status":"completed"}"#),
        (409, r#"{"status":"sleeping"}"#),
        (400, r#"{"fields":{"list":[1]}}"#),
        (400, r#"{"fields":{"half":0.5}}"#),
        (400, r#"{"fields":7}"#),
        (400, r#"{"status":7}"#),
        (400, "{"),
    ] {
        service.patch(&job, body).expect_status(status).unwrap();
    }
    service.patch("nobody", r#"{"fields":{"a":1}}"#).expect_status(404).unwrap();
    assert_eq!(service.client.get("/job/nobody").unwrap().status, 404);
    service.client.post("/job", r#"{"user":7}"#).unwrap().expect_status(400).unwrap();
    let history = service.get(&format!("{job}/history"));
    assert_eq!(history.get("history").and_then(Json::as_array).unwrap().len(), 1);
    service.patch(&job, r#"{"status":"failed","fields":{"error":"gone"}}"#).expect_status(200).unwrap();
    service.patch(&job, r#"{"status":"started"}"#).expect_status(409).unwrap();
}
