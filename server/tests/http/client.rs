//! A server in this process on a free port, and a small HTTP client that can also misbehave.

use magpie_indexes::NativeIndex;
use magpie_server::{Config, Server};
use magpie_store::json::{Json, parse};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tempfile::TempDir;

/// A running server with the database `db` in a folder of its own.
pub struct TestServer {
    server: Option<Server>,
    pub address: SocketAddr,
    pub folder: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub fn start() -> TestServer {
    start_with(|_| {})
}

pub fn start_with(adjust: impl FnOnce(&mut Config)) -> TestServer {
    start_in(tempfile::tempdir().unwrap(), adjust)
}

pub fn start_in(folder: TempDir, adjust: impl FnOnce(&mut Config)) -> TestServer {
    start_all(folder, adjust, Vec::new())
}

/// A server with indexes written in Rust.
pub fn start_natives(natives: Vec<NativeIndex>) -> TestServer {
    start_all(tempfile::tempdir().unwrap(), |_| {}, natives)
}

fn start_all(folder: TempDir, adjust: impl FnOnce(&mut Config), natives: Vec<NativeIndex>) -> TestServer {
    let mut config = Config::new(([127, 0, 0, 1], 0).into(), folder.path());
    config.databases.push("db".to_owned());
    adjust(&mut config);
    let server = Server::start(config, natives).unwrap();
    TestServer { address: server.address(), server: Some(server), folder }
}

impl TestServer {
    /// Stops in order and starts again on the same folder.
    pub fn restart(mut self) -> Self {
        self.server.take().unwrap().stop();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        start_in(folder, |_| {})
    }

    pub fn stop(&mut self) {
        self.server.take().unwrap().stop();
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[], body.as_bytes())
    }

    pub fn put(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, &[], body.as_bytes())
    }

    /// One request on a connection of its own.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream
            .write_all(head(method, path, headers, &format!("Content-Length: {}", body.len())).as_bytes())
            .unwrap();
        stream.write_all(body).unwrap();
        read_answer(&mut stream, method)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Starts a chunked request whose body the caller writes with [`write_chunk`].
    pub fn open(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(head(method, path, headers, "Transfer-Encoding: chunked").as_bytes()).unwrap();
        stream
    }
}

fn head(method: &str, path: &str, headers: &[(&str, &str)], framing: &str) -> String {
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let host = if headers.iter().any(|(name, _)| *name == "Host") { "" } else { "Host: localhost\r\n" };
    format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{framing}\r\n{more}\r\n")
}

pub fn write_chunk(stream: &mut TcpStream, bytes: &[u8]) {
    write!(stream, "{:x}\r\n", bytes.len()).unwrap();
    stream.write_all(bytes).unwrap();
    stream.write_all(b"\r\n").unwrap();
}

/// Reads an answer: as many bytes as its head says, else to the connection's end.
pub fn read_answer(stream: &mut TcpStream, method: &str) -> Answer {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the connection ended in the head: {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&piece[..read]);
    };
    let head = String::from_utf8(text[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap()[9..12].parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut body = text[end + 4..].to_vec();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse().unwrap());
    let none = method == "HEAD" || status == 204 || status == 304;
    let length = if none { Some(0) } else { length };
    while length.is_none_or(|length: usize| body.len() < length) {
        let read = stream.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        body.extend_from_slice(&piece[..read]);
    }
    Answer { status, headers, body }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Json {
        parse(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value at a path such as `Results/0/@metadata`.
    pub fn at(&self, path: &str) -> Json {
        let mut value = self.json();
        for step in path.split('/') {
            value = match (&value, step.parse::<usize>()) {
                (Json::Array(items), Ok(place)) => items[place].clone(),
                _ => value.get(step).cloned().unwrap_or_else(|| panic!("no {path} in {}", self.text())),
            };
        }
        value
    }

    pub fn str_at(&self, path: &str) -> String {
        self.at(path).as_str().unwrap().to_owned()
    }

    pub fn int_at(&self, path: &str) -> i64 {
        self.at(path).as_i64().unwrap()
    }

    /// Checks the status, showing the body when it is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}
