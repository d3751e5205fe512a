//! `magpie index test`: runs folders with an index and its fixtures, without a server, and compares the results
//!
//! A folder holds `index.js` (maps, then, from a line that starts with `groupBy(` on, the reduce), `fixtures.ndjson`
//! (documents, one a line, whose collection is their `type` or in their metadata), `expected.json` (an array with the
//! results in key order) and, if there is more to say, `index.json` with further keys of the definition. Everything runs
//! in memory, through the same registry as in a server. The program ends with 0 when all folders give what they are
//! expected to, with 1 when one does not, and with 2 when one could not be run.

use super::load::{definition, read_text};
use clap::Args;
use magpie_indexes::{Index, IndexDefinition, Registry, known_keys};
use magpie_server::ndjson_line::{LineOptions, read_line};
use magpie_store::json::{self, Json};
use magpie_store::kv::memory::MemoryKv;
use magpie_store::{Database, Timestamp};
use similar::{ChangeTag, TextDiff};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The id of the databases in memory; it shows in change vectors only.
const DATABASE_ID: &str = "0000000000000000000000";
/// The end of a folder that could not be run.
const NOT_RUN: i32 = 2;

/// The options of `index test`.
#[derive(Debug, Args)]
pub struct Test {
    /// Folders with `index.js`, `fixtures.ndjson` and `expected.json`; `index.json` may have more of the definition.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Write what the indexes give into `expected.json` instead of comparing it.
    #[arg(long)]
    update: bool,
    /// Longest wait for an index to take in its fixtures, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    wait: u64,
}

/// How a folder ended that could be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Differs,
}

impl Test {
    /// Runs all folders.
    ///
    /// # Errors
    /// When one does not give what it is expected to. Ends the program when one could not be run.
    pub fn run(self) -> Result<(), String> {
        let (mut differ, mut broken) = (0_usize, 0_usize);
        for folder in &self.folders {
            match self.test(folder) {
                Ok(Outcome::Passed) => println!("ok       {}", folder.display()),
                Ok(Outcome::Differs) => differ += 1,
                Err(message) => {
                    println!("NOT RUN  {}\n         {message}", folder.display());
                    broken += 1;
                }
            }
        }
        if broken > 0 {
            // The verb's own code: whoever wrote the script must tell a wrong result from a folder that is not right.
            std::process::exit(NOT_RUN);
        }
        if differ > 0 {
            return Err(format!("{differ} of {} indexes do not give what is expected", self.folders.len()));
        }
        Ok(())
    }

    fn test(&self, folder: &Path) -> Result<Outcome, String> {
        let given = self.results(folder)?;
        let expected = folder.join("expected.json");
        let shown: Vec<String> = given.rows.iter().map(ToString::to_string).collect();
        if self.update {
            let text = if shown.is_empty() {
                "[]\n".to_owned()
            } else {
                format!("[\n  {}\n]\n", shown.join(",\n  "))
            };
            std::fs::write(&expected, text)
                .map_err(|error| format!("'{}' cannot be written: {error}", expected.display()))?;
        } else {
            let text = read_text(&expected)
                .map_err(|error| format!("{error}; --update writes what the index gives now"))?;
            let wanted =
                json::parse(text.as_bytes()).map_err(|error| format!("'{}': {error}", expected.display()))?;
            let Json::Array(wanted) = wanted else {
                return Err(format!("'{}' must be an array of results", expected.display()));
            };
            let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            if wanted != shown {
                println!("DIFFERS  {} (- expected, + given)", folder.display());
                print_difference(&wanted, &shown);
                given.print_errors();
                return Ok(Outcome::Differs);
            }
        }
        if given.errors.is_empty() {
            return Ok(Outcome::Passed);
        }
        println!("FAILS    {}", folder.display());
        given.print_errors();
        Ok(Outcome::Differs)
    }

    /// Runs the index of a folder over its fixtures.
    fn results(&self, folder: &Path) -> Result<Given, String> {
        let definition = read_definition(folder)?;
        let name = definition.name.clone();
        let fault = |error: &dyn std::fmt::Display| error.to_string();
        let database =
            Arc::new(Database::open(Arc::new(MemoryKv::new()), DATABASE_ID).map_err(|error| fault(&error))?);
        let clock = Arc::new(|| Timestamp(0));
        let registry =
            Registry::open(Arc::clone(&database), clock, Vec::new()).map_err(|error| fault(&error))?;
        let given = registry.put(vec![definition]).map_err(|error| fault(&error)).and_then(|_| {
            write_fixtures(&database, &folder.join("fixtures.ndjson"))?;
            let index = registry.get(&name).ok_or("the index is gone")?;
            if !index.wait_until_indexed_blocking(database.last_etag(), Duration::from_secs(self.wait)) {
                return Err(format!(
                    "the index does not take its fixtures in within {} s (--wait)",
                    self.wait
                ));
            }
            Given::read(&index, &database)
        });
        registry.stop();
        given
    }
}

/// What an index gives.
struct Given {
    rows: Vec<Json>,
    /// One sentence for each document or key that fails.
    errors: Vec<String>,
}

impl Given {
    fn read(index: &Index, database: &Database) -> Result<Self, String> {
        let view = database.view();
        let rows: Result<Vec<Json>, _> = if index.is_map_reduce() {
            index.results(&view).collect()
        } else {
            index.entries(&view).map(|entry| entry.map(|(_, output)| output)).collect()
        };
        let errors = index.errors(&view).map_err(|error| error.to_string())?.into_iter().map(|fault| {
            let at = fault
                .position
                .map_or_else(String::new, |at| format!(" (line {}, column {})", at.line, at.column));
            format!("{}: {}{at}", fault.subject, fault.message)
        });
        Ok(Self { rows: rows.map_err(|error| error.to_string())?, errors: errors.collect() })
    }

    fn print_errors(&self) {
        self.errors.iter().for_each(|error| println!("  ! {error}"));
    }
}

/// The definition in a folder: its script, and over it the keys of `index.json`, if there is one.
fn read_definition(folder: &Path) -> Result<IndexDefinition, String> {
    let whole = folder.canonicalize().map_err(|error| format!("'{}': {error}", folder.display()))?;
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut object = definition(&name, &read_text(&folder.join("index.js"))?);
    let more = folder.join("index.json");
    if more.exists() {
        let text = read_text(&more)?;
        match json::parse(text.as_bytes()) {
            Ok(Json::Object(keys)) => keys.iter().for_each(|(key, value)| object.insert(key, value.clone())),
            Ok(_) => return Err(format!("'{}' must be an object: keys of the definition", more.display())),
            Err(error) => return Err(format!("'{}': {error}", more.display())),
        }
    }
    let definition = Json::Object(object);
    known_keys::check(&definition).map_err(|error| error.to_string())?;
    serde_json::from_str(&definition.to_string()).map_err(|error| format!("'{}': {error}", more.display()))
}

fn write_fixtures(database: &Database, file: &Path) -> Result<(), String> {
    let text = read_text(file)?;
    let options = LineOptions::with_collection_from("type");
    let mut commands = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if !line.trim().is_empty() {
            let command = read_line(line.as_bytes(), &options);
            commands.push(command.map_err(|error| format!("'{}' line {number}: {error}", file.display()))?);
        }
    }
    database.write(commands, Timestamp(0)).map_err(|error| format!("'{}': {error}", file.display()))?;
    Ok(())
}

/// Prints what is missing and what is too much, among the rows that are right; in color on a terminal.
fn print_difference(expected: &[String], given: &[String]) {
    let lines = |rows: &[String]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    let (old, new) = (lines(expected), lines(given));
    let (red, green, plain) =
        if std::io::stdout().is_terminal() { ("\x1b[31m", "\x1b[32m", "\x1b[0m") } else { ("", "", "") };
    for change in TextDiff::from_lines(&old, &new).iter_all_changes() {
        let row = change.value().trim_end();
        match change.tag() {
            ChangeTag::Delete => println!("  {red}- {row}{plain}"),
            ChangeTag::Insert => println!("  {green}+ {row}{plain}"),
            ChangeTag::Equal => println!("    {row}"),
        }
    }
}
