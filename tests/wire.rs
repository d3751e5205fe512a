//! A plain HTTP/1.1 client, so that tests see exactly the bytes a server sends: one connection per request, no
//! redirects, no retries, no decompression.

use magpie_store::json::{self, Json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for the next byte of an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(120);

/// Talks to one server.
#[derive(Debug, Clone)]
pub struct Client {
    address: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names, lower-cased, and values in the order of the answer.
    pub headers: Vec<(String, String)>,
    /// The body, with the chunks joined.
    pub body: Vec<u8>,
}

impl Client {
    /// A client for the server at `url` (`http://HOST:PORT`).
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { address: url.trim_start_matches("http://").trim_end_matches('/').to_owned() }
    }

    /// The server's `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request and reads the whole answer. `path` is sent as it is. A body without a `Content-Type` header
    /// is sent as JSON.
    ///
    /// # Errors
    /// When the connection fails or the answer is not HTTP/1.1.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> io::Result<Answer> {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                request.push_str("Content-Type: application/json\r\n");
            }
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.write_all(request.as_bytes())?;
        stream.write_all(body.unwrap_or_default())?;
        read_answer(&mut BufReader::new(stream), method == "HEAD")
    }

    /// `GET path`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn get(&self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, &[], None)
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn post(&self, path: &str, body: &str) -> io::Result<Answer> {
        self.send("POST", path, &[], Some(body.as_bytes()))
    }

    /// `PUT path` with a JSON body.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn put(&self, path: &str, body: &str) -> io::Result<Answer> {
        self.send("PUT", path, &[], Some(body.as_bytes()))
    }
}

impl Answer {
    /// The value of a header, if it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, wrong UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none; the message has the status and the body's beginning.
    pub fn json(&self) -> io::Result<Json> {
        json::parse(&self.body).map_err(|error| {
            let text: String = self.text().chars().take(300).collect();
            io::Error::other(format!("status {}, not JSON ({error}): {text}", self.status))
        })
    }

    /// The answer itself when its status is `status`.
    ///
    /// # Errors
    /// When it is another one; the message has the body's beginning.
    pub fn expect_status(self, status: u16) -> io::Result<Self> {
        if self.status == status {
            return Ok(self);
        }
        let text: String = self.text().chars().take(800).collect();
        Err(io::Error::other(format!("expected status {status}, got {}: {text}", self.status)))
    }
}

fn read_answer(stream: &mut impl BufRead, is_head: bool) -> io::Result<Answer> {
    let status_line = read_line(stream)?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status: u16 =
        status.ok_or_else(|| io::Error::other(format!("not a status line: {status_line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) =
            line.split_once(':').ok_or_else(|| io::Error::other(format!("no header: {line:?}")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if (100..200).contains(&status) {
        return read_answer(stream, is_head);
    }
    if is_head || status == 204 || status == 304 {
        return Ok(answer);
    }
    if answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        read_chunks(stream, &mut answer.body)?;
    } else if let Some(length) = answer.header("content-length").and_then(|value| value.parse::<u64>().ok()) {
        let read = stream.take(length).read_to_end(&mut answer.body)?;
        if read as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    } else {
        stream.read_to_end(&mut answer.body)?;
    }
    Ok(answer)
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(stream)?;
        let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
        let size = size.map_err(|_| io::Error::other(format!("not a chunk size: {line:?}")))?;
        if stream.take(size).read_to_end(body)? as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read_line(stream)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}
