//! `magpie index`: sends index definitions to a running server, and asks it why an index is stale

use super::client::{Target, escaped};
use super::index_test::Test;
use super::load::{definition, read_text};
use clap::{Args, Subcommand};
use magpie_store::json::{self, Json, Object};
use std::path::{Path, PathBuf};
use ureq::SendBody;

/// The verbs of `index`.
#[derive(Debug, Subcommand)]
pub enum Index {
    /// Put index definitions: all of them or, on an error, none.
    Put(Put),
    /// Run folders with an index and its fixtures, without a server, and compare the results.
    Test(Test),
    /// Say in a sentence why an index is stale, and when it will have caught up.
    Why(Why),
}

/// The options of `index why`.
#[derive(Debug, Args)]
pub struct Why {
    /// The index.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    target: Target,
}

/// The options of `index put`.
#[derive(Debug, Args)]
pub struct Put {
    /// `.json`: a definition, an array of them, or `{"Indexes": [..]}`. Other files are scripts: maps, then, from a
    /// line that starts with `groupBy(` on, the reduce.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The name of the index in a script file; without it, the file's name without its ending.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Index {
    /// Does what the verb says.
    ///
    /// # Errors
    /// When a file cannot be read, the server refuses what is asked, or a test does not give what it is expected to.
    pub fn run(self) -> Result<(), String> {
        match self {
            Self::Put(put) => put.run(),
            Self::Test(test) => test.run(),
            Self::Why(why) => why.run(),
        }
    }
}

impl Why {
    fn run(self) -> Result<(), String> {
        let path = format!("indexes/staleness?name={}", escaped(&self.name));
        let answer = self.target.send("GET", &path, &[], SendBody::none())?;
        if self.target.json {
            println!("{answer}");
            return Ok(());
        }
        let own = answer
            .get("Magpie")
            .ok_or("the server does not say why; is it a Magpie server of this version?")?;
        let text = |json: &Json, key: &str| json.get(key).and_then(Json::as_str).map(str::to_owned);
        println!("{}", text(own, "Why").unwrap_or_default());
        if let Some(error) = own.get("LastError").and_then(|error| text(error, "Error")) {
            println!("Its last error: {error}");
        }
        Ok(())
    }
}

impl Put {
    fn run(self) -> Result<(), String> {
        if self.name.is_some() && self.files.len() > 1 {
            return Err("--name goes with one file; put the files one by one".to_owned());
        }
        let mut definitions = Vec::new();
        for file in &self.files {
            definitions.extend(self.definitions(file)?);
        }
        let body = Object::from_iter([("Indexes", Json::Array(definitions))]).to_string();
        let headers = [("Content-Type", "application/json")];
        let body = SendBody::from_owned_reader(std::io::Cursor::new(body));
        let answer = self.target.send("PUT", "indexes", &headers, body)?;
        if self.target.json {
            println!("{answer}");
            return Ok(());
        }
        for put in answer.get("Results").and_then(Json::as_array).unwrap_or_default() {
            println!("{}", put.get("Index").and_then(Json::as_str).unwrap_or_default());
            let scripts = put.get("Magpie").and_then(|own| own.get("Scripts"));
            if let Some(why) = scripts.and_then(|scripts| scripts.get("Why")).and_then(Json::as_str) {
                eprintln!("Scripts: they run in the JavaScript engine, which is slower, because of {why}.");
            }
            let laws = put.get("Magpie").and_then(|own| own.get("Laws"));
            let said = |name| laws.and_then(|laws| laws.get(name)).and_then(Json::as_str);
            if let Some(text) = said("Text").filter(|_| said("Outcome") != Some("Passed")) {
                // It is put all the same: this is for the author.
                eprint!("Laws: {text}");
            }
        }
        Ok(())
    }

    fn definitions(&self, file: &Path) -> Result<Vec<Json>, String> {
        let text = read_text(file)?;
        if file.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("json")) {
            let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let name = self.name.clone().or(stem).unwrap_or_default();
            return Ok(vec![Json::Object(definition(&name, &text))]);
        }
        let json = json::parse(text.as_bytes()).map_err(|error| format!("'{}': {error}", file.display()))?;
        match json {
            Json::Array(definitions) => Ok(definitions),
            Json::Object(mut object) => match object.remove("Indexes") {
                Some(Json::Array(definitions)) => Ok(definitions),
                Some(_) => Err(format!("'{}': 'Indexes' must be an array", file.display())),
                None => Ok(vec![Json::Object(object)]),
            },
            _ => Err(format!("'{}' holds no index definition", file.display())),
        }
    }
}
