//! `magpie import`: sends a `.ravendbdump` to a running server, and prints what it took and what it left out.

use super::client::{Target, escaped};
use super::load::progress_bar;
use clap::Args;
use magpie_store::json::{Json, Object};
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use ureq::SendBody;

/// The options of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The dump, as RavenDB 3.5 or later or Magpie exports it: gzip, zstd or plain.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only documents of these collections.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    collections: Vec<String>,
    /// Only these kinds: Documents, Attachments, Indexes, Identities, CompareExchange.
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    types: Vec<String>,
    /// Leave out elements that are no JSON, instead of ending there.
    #[arg(long)]
    skip_corrupted: bool,
    #[command(flatten)]
    target: Target,
}

impl Import {
    /// Imports the file.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or items of it were refused.
    pub fn run(self) -> Result<(), String> {
        let unreadable = |error: std::io::Error| format!("'{}' cannot be read: {error}", self.file.display());
        let source = File::open(&self.file).map_err(unreadable)?;
        let bar = progress_bar(source.metadata().map_err(unreadable)?.len(), &self.file);
        let body = bar.wrap_read(BufReader::new(source));
        let headers = [("Content-Type", "application/octet-stream")];
        let begun = self.target.send("GET", "operations/next-operation-id", &[], SendBody::none())?;
        let id = begun.get("Id").and_then(Json::as_i64).unwrap_or_default();
        let path = format!("{}&operationId={id}", self.path());
        let answer = self.target.send("POST", &path, &headers, SendBody::from_owned_reader(body));
        bar.finish_and_clear();
        // A server that refuses what is still being sent may be heard of only this way.
        let answer = answer.map_err(|error| self.fault(id).unwrap_or(error))?;
        if self.target.json {
            println!("{answer}");
        } else {
            report(&answer);
        }
        let refused = kinds(&answer).map(|(_, kind)| count(kind, "ErroredCount")).sum::<i64>();
        let attachments = answer.get("Documents").and_then(|documents| documents.get("Attachments"));
        let refused = refused + attachments.map_or(0, |kind| count(kind, "ErroredCount"));
        if refused > 0 { Err(format!("{refused} items were refused; see the messages")) } else { Ok(()) }
    }

    /// Why the operation failed, if the server says so.
    fn fault(&self, id: i64) -> Option<String> {
        let path = format!("operations/state?id={id}");
        let state = self.target.send("GET", &path, &[], SendBody::none()).ok()?;
        let message = state.get("Result")?.get("Message").and_then(Json::as_str)?;
        Some(message.to_owned())
    }

    fn path(&self) -> String {
        let mut options = Object::new();
        if !self.types.is_empty() {
            options.insert("OperateOnTypes", self.types.join(","));
        }
        let collections: Vec<Json> = self.collections.iter().map(|name| name.as_str().into()).collect();
        options.insert("Collections", collections);
        options.insert("SkipCorruptedData", self.skip_corrupted);
        format!("smuggler/import?importOptions={}", escaped(&Json::Object(options).to_string()))
    }
}

/// The kinds of a result that had items.
fn kinds(answer: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let kinds = answer.as_object().into_iter().flat_map(Object::iter);
    kinds.filter(|(_, kind)| count(kind, "ReadCount") > 0)
}

fn count(kind: &Json, name: &str) -> i64 {
    kind.get(name).and_then(Json::as_i64).unwrap_or(0)
}

/// Prints a result of an import or export.
pub fn report(answer: &Json) {
    for (name, kind) in kinds(answer) {
        print_kind(name, kind);
        if let Some(attachments) = kind.get("Attachments").filter(|kind| count(kind, "ReadCount") > 0) {
            print_kind("Attachments", attachments);
        }
    }
    for message in answer.get("Messages").and_then(Json::as_array).unwrap_or_default() {
        println!("  {}", message.as_str().unwrap_or_default());
    }
}

fn print_kind(name: &str, kind: &Json) {
    let (read, skipped, errored) =
        (count(kind, "ReadCount"), count(kind, "SkippedCount"), count(kind, "ErroredCount"));
    println!("{name}: {} taken, {skipped} left out, {errored} refused", read - skipped - errored);
}
