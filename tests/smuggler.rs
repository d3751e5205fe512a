//! Databases that are made, filled from dumps and exported again, over HTTP.

use crate::wire::Client;
use flate2::read::GzDecoder;
use magpie_store::json::Json;
use std::io::{self, Read};

/// Makes a database.
///
/// # Errors
/// When the server does not answer, or with another status than 201.
pub fn make(client: &Client, database: &str) -> io::Result<()> {
    let body = format!(r#"{{"DatabaseName":"{database}"}}"#);
    client.put(&format!("/admin/databases?name={database}"), &body)?.expect_status(201).map(drop)
}

/// Imports a dump; gives the counts of what came in.
///
/// # Errors
/// When the server does not answer, or with another status than 200.
pub fn import(client: &Client, database: &str, dump: &[u8]) -> io::Result<Json> {
    let headers = [("Content-Type", "application/octet-stream")];
    let path = format!("/databases/{database}/smuggler/import");
    client.send("POST", &path, &headers, Some(dump))?.expect_status(200)?.json()
}

/// Exports a database with these options (a JSON object); gives the dump unpacked.
///
/// # Errors
/// When the server does not answer, or with another status than 200, or the answer is no gzip.
pub fn export(client: &Client, database: &str, options: &str) -> io::Result<Vec<u8>> {
    let answer = client.post(&format!("/databases/{database}/smuggler/export"), options)?;
    let mut plain = Vec::new();
    GzDecoder::new(answer.expect_status(200)?.body.as_slice()).read_to_end(&mut plain)?;
    Ok(plain)
}
