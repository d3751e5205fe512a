//! `magpie load`: sends files of events, one JSON document a line, to a running server.

use super::client::{Target, escaped};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use magpie_store::json::{Json, Object};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;
use ureq::SendBody;

/// The options of `load`.
#[derive(Debug, Args)]
pub struct Load {
    /// Files of JSON lines; `.gz` files are sent as they are.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The collection of every document.
    #[arg(long, value_name = "NAME", conflicts_with = "collection_from")]
    collection: Option<String>,
    /// The field that names a document's collection.
    #[arg(long, default_value = "type", value_name = "FIELD")]
    collection_from: String,
    /// The field with the document's id; without it, `id` where there is one, else the server makes one.
    #[arg(long, value_name = "FIELD")]
    id: Option<String>,
    /// What a bad line does: none of its file is loaded, or all the others are.
    #[arg(long, value_enum, default_value = "abort")]
    on_error: OnError,
    #[command(flatten)]
    target: Target,
}

/// What a bad line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// Nothing of the file is loaded.
    Abort,
    /// It is left out and listed.
    Skip,
}

impl Load {
    /// Loads the files one after the other.
    ///
    /// # Errors
    /// When a file cannot be read, the server refuses it, or lines of it were left out.
    pub fn run(self) -> Result<(), String> {
        let mut answers = Vec::new();
        let mut failed: u64 = 0;
        for file in &self.files {
            let answer = self.load(file)?;
            let count =
                |key: &str| answer.get(key).and_then(Json::as_i64).and_then(|n| u64::try_from(n).ok());
            failed += count("Failed").unwrap_or(0);
            answers.push(answer);
        }
        if self.target.json {
            println!("{}", Json::Array(answers));
        }
        if failed > 0 { Err(format!("{failed} lines were left out")) } else { Ok(()) }
    }

    fn load(&self, file: &Path) -> Result<Json, String> {
        let unreadable = |error: std::io::Error| format!("'{}' cannot be read: {error}", file.display());
        let source = File::open(file).map_err(unreadable)?;
        let bytes = source.metadata().map_err(unreadable)?.len();
        let bar = progress_bar(bytes, file);
        let started = Instant::now();
        let mut headers = vec![("Content-Type", "application/x-ndjson")];
        if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz")) {
            headers.push(("Content-Encoding", "gzip"));
        }
        let body = bar.wrap_read(BufReader::new(source));
        let answer = self.target.send("POST", &self.path(), &headers, SendBody::from_owned_reader(body))?;
        bar.finish_and_clear();
        if !self.target.json {
            self.report(file, &answer, started.elapsed().as_secs_f64());
        }
        Ok(answer)
    }

    fn path(&self) -> String {
        let mut path = "docs/ndjson?".to_owned();
        match &self.collection {
            Some(name) => path.push_str(&format!("collection={}", escaped(name))),
            None => path.push_str(&format!("collectionFrom={}", escaped(&self.collection_from))),
        }
        if let Some(field) = &self.id {
            path.push_str(&format!("&id={}", escaped(field)));
        }
        if self.on_error == OnError::Skip {
            path.push_str("&onError=skip");
        }
        path
    }

    fn report(&self, file: &Path, answer: &Json, seconds: f64) {
        let inserted = answer.get("Inserted").and_then(Json::as_i64).unwrap_or(0);
        let failed = answer.get("Failed").and_then(Json::as_i64).unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
        let rate = inserted as f64 / seconds.max(0.001);
        println!(
            "{}: {inserted} loaded, {failed} left out, {seconds:.1} s, {rate:.0} a second",
            file.display()
        );
        for error in answer.get("Errors").and_then(Json::as_array).unwrap_or_default() {
            let field = |key: &str| error.get(key).map_or_else(String::new, ToString::to_string);
            println!(
                "  line {}: {}",
                field("Line"),
                error.get("Message").and_then(Json::as_str).unwrap_or_default()
            );
        }
    }
}

/// Shown on a terminal only; counts the file's bytes as they are sent.
pub fn progress_bar(bytes: u64, file: &Path) -> ProgressBar {
    let template = "{prefix} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style).with_prefix(file.display().to_string())
}

/// The definition in a script file: from the line that starts with `groupBy(` on it is the reduce, all before it maps.
pub fn definition(name: &str, script: &str) -> Object {
    let reduce_at =
        if script.starts_with("groupBy(") { Some(0) } else { script.find("\ngroupBy(").map(|at| at + 1) };
    let (maps, reduce) = match reduce_at.and_then(|at| script.split_at_checked(at)) {
        Some((maps, reduce)) => (maps, Some(Json::from(reduce.trim_end()))),
        None => (script, None),
    };
    Object::from_iter([
        ("Name", Json::from(name)),
        ("Maps", Json::Array(vec![Json::from(maps.trim_end())])),
        ("Reduce", reduce.unwrap_or_default()),
    ])
}

/// A file's text.
///
/// # Errors
/// One sentence when it cannot be read or is not UTF-8.
pub fn read_text(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(file)
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|error| format!("'{}' cannot be read: {error}", file.display()))?;
    Ok(text)
}
