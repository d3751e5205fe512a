//! Queries by key on 8 connections that stay open, beside as many requests for a constant answer of the same server.

use super::events::Expected;
use super::{DATABASE, processor_us};
use magpie_tests::process::ServerProcess;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 8;
/// Requests of each connection, of each kind.
const REQUESTS: usize = 4_000;

/// Prints requests per second, times and the server's processor time of both, and their ratios. The two take turns, and
/// the best of three counts. The ratio of processor time leaves out the client, and who else uses the machine.
pub fn run(server: &ServerProcess, expected: &Expected) -> Result<(), Box<dyn Error>> {
    let client = server.client();
    let mut users: Vec<&String> = expected.user_files.keys().collect();
    users.sort();
    let query = |n: usize| {
        let user = users.get(n * 7919 % users.len()).map_or("", |user| user.as_str());
        let text = format!("from index 'Runtime' where user = '{user}' and month = '2025-03'");
        let body = serde_json::json!({ "Query": text }).to_string();
        let path = format!("{DATABASE}/queries");
        format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let constant = |_: usize| "GET /build/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned();
    let mut best: [Option<Measured>; 2] = [None, None];
    for _ in 0..3 {
        for (kind, best) in best.iter_mut().enumerate() {
            let requests: Vec<String> =
                (0..REQUESTS).map(|n| if kind == 0 { query(n) } else { constant(n) }).collect();
            let before = processor_us(server)?;
            let mut measured = measure(client.address(), &requests)?;
            measured.processor_us = (processor_us(server)? - before) / (CONNECTIONS * REQUESTS) as f64;
            if let Some(best) = best {
                measured.processor_us = measured.processor_us.min(best.processor_us);
                best.processor_us = measured.processor_us;
            }
            if best.as_ref().is_none_or(|best| measured.rate > best.rate) {
                *best = Some(measured);
            }
        }
    }
    let [Some(points), Some(constants)] = best else { return Err("nothing was measured".into()) };
    for (name, measured) in [("query by key", &points), ("constant answer", &constants)] {
        println!(
            "| {name}, {CONNECTIONS} connections | {:.0}/s, p50 / p99 {:.2} / {:.2} ms, {:.1} us of the server's |",
            measured.rate, measured.p50_ms, measured.p99_ms, measured.processor_us
        );
    }
    println!("| query by key to constant answer, by rate | {:.0} % |", 100.0 * points.rate / constants.rate);
    println!(
        "| the same, by processor time of the server | {:.0} % |",
        100.0 * constants.processor_us / points.processor_us
    );
    Ok(())
}

struct Measured {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// The server's, for one request.
    processor_us: f64,
}

fn measure(address: &str, requests: &[String]) -> Result<Measured, Box<dyn Error>> {
    let begun = Instant::now();
    let times: Vec<io::Result<Vec<Duration>>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..CONNECTIONS).map(|_| scope.spawn(|| one_connection(address, requests))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("a panic"))))
            .collect()
    });
    let taken = begun.elapsed().as_secs_f64();
    let mut times: Vec<Duration> = times.into_iter().collect::<io::Result<Vec<_>>>()?.concat();
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    Ok(Measured { rate: times.len() as f64 / taken, p50_ms: at(50), p99_ms: at(99), processor_us: 0.0 })
}

fn one_connection(address: &str, requests: &[String]) -> io::Result<Vec<Duration>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut writer, mut line, mut body) = (stream, String::new(), Vec::new());
    let mut times = Vec::with_capacity(requests.len());
    for request in requests {
        let begun = Instant::now();
        writer.write_all(request.as_bytes())?;
        let mut length = 0;
        let mut is_good = false;
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let text = line.trim_end().to_ascii_lowercase();
            is_good |= text.starts_with("http/1.1 200");
            if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if text.is_empty() {
                break;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        times.push(begun.elapsed());
        if !is_good || length == 0 {
            return Err(io::Error::other(format!("not answered: {}", String::from_utf8_lossy(&body))));
        }
    }
    Ok(times)
}
