//! `magpie export`: writes a database of a running server to a `.ravendbdump`.

use super::client::Target;
use super::import::report;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use magpie_store::json::{Json, Object};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use ureq::SendBody;

/// The options of `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The file to write; one of this name is replaced when the export is complete.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only documents of these collections.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    collections: Vec<String>,
    /// Only these kinds: Documents, Attachments, Indexes, Identities, CompareExchange.
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    types: Vec<String>,
    /// Pack with zstd instead of gzip.
    #[arg(long)]
    zstd: bool,
    #[command(flatten)]
    target: Target,
}

impl Export {
    /// Writes the dump.
    ///
    /// # Errors
    /// When the file cannot be written or the server does not answer; no part of a dump is left behind.
    pub fn run(self) -> Result<(), String> {
        let begun = self.target.send("GET", "operations/next-operation-id", &[], SendBody::none())?;
        let id = begun.get("Id").and_then(Json::as_i64).unwrap_or_default();
        let part = PathBuf::from(format!("{}.part", self.file.display()));
        let written = self
            .download(id, &part)
            .and_then(|()| fs::rename(&part, &self.file).map_err(|error| unwritable(&self.file, &error)));
        if let Err(error) = written {
            // What is there is not a dump.
            let _ = fs::remove_file(&part);
            return Err(error);
        }
        let path = format!("operations/state?id={id}");
        let state = self.target.send("GET", &path, &[], SendBody::none())?;
        let result = state.get("Result").cloned().unwrap_or_default();
        if self.target.json {
            println!("{result}");
        } else {
            report(&result);
        }
        Ok(())
    }

    fn download(&self, id: i64, part: &Path) -> Result<(), String> {
        let file = File::create(part).map_err(|error| unwritable(part, &error))?;
        let style = ProgressStyle::with_template("{prefix} {spinner} {bytes} {bytes_per_sec} {elapsed}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::no_length().with_style(style).with_prefix(self.file.display().to_string());
        let mut out = bar.wrap_write(BufWriter::new(file));
        let path = format!("smuggler/export?operationId={id}");
        let done = self.target.download("POST", &path, &self.options(), &mut out);
        let done = done.and_then(|()| out.flush().map_err(|error| unwritable(part, &error)));
        bar.finish_and_clear();
        done
    }

    fn options(&self) -> String {
        let collections: Vec<Json> = self.collections.iter().map(|name| name.as_str().into()).collect();
        let mut options = Object::from_iter([("Collections", Json::from(collections))]);
        if !self.types.is_empty() {
            options.insert("OperateOnTypes", self.types.join(","));
        }
        options.insert("CompressionAlgorithm", if self.zstd { "Zstd" } else { "Gzip" });
        Json::Object(options).to_string()
    }
}

fn unwritable(file: &Path, error: &std::io::Error) -> String {
    format!("'{}' cannot be written: {error}", file.display())
}
