//! `magpie explain`: asks a running server why a result is what it is, and prints the tree down to the events.

use super::client::{Target, escaped};
use clap::Args;
use magpie_store::json::Json;
use ureq::SendBody;

/// The options of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The index.
    name: String,
    /// The key: the value of the only group-by field, or JSON: an object of fields or an array of values. An object
    /// with some of the fields lists the keys that fit.
    key: String,
    /// How many entries and pages are skipped.
    #[arg(long, default_value_t = 0, value_name = "N")]
    start: u32,
    /// How many entries, and pages of each level, are listed.
    #[arg(long, default_value_t = 25, value_name = "N")]
    page_size: u32,
    /// Tell for each entry what the result would be without it.
    #[arg(long)]
    without: bool,
    /// Through how many indexes of the chain documents are followed that an index made.
    #[arg(long, default_value_t = 8, value_name = "N")]
    depth: u32,
    #[command(flatten)]
    target: Target,
}

impl Explain {
    /// Asks and prints.
    ///
    /// # Errors
    /// When there is no such index, or the key does not fit it.
    pub fn run(self) -> Result<(), String> {
        let answer = self.ask(&self.name, &self.key)?;
        if self.target.json {
            println!("{answer}");
            return Ok(());
        }
        self.print(&answer, 0)
    }

    fn ask(&self, name: &str, key: &str) -> Result<Json, String> {
        let path = format!(
            "indexes/explain?name={}&key={}&start={}&pageSize={}&without={}",
            escaped(name),
            escaped(key),
            self.start,
            self.page_size,
            self.without
        );
        self.target.send("GET", &path, &[], SendBody::none())
    }

    fn print(&self, answer: &Json, depth: u32) -> Result<(), String> {
        let indent = "    ".repeat(depth as usize);
        let list =
            |from: &Json, name: &str| from.get(name).and_then(Json::as_array).unwrap_or_default().to_vec();
        let text = |name: &str| answer.get(name).map_or_else(String::new, Json::to_string);
        if answer.get("Keys").is_some() {
            for key in list(answer, "Keys") {
                let of = |name: &str| key.get(name).map_or_else(String::new, Json::to_string);
                println!("{} => {}", of("Key"), of("Result"));
            }
            more(answer, "MoreKeys", &indent);
            return Ok(());
        }
        let index = answer.get("Index").and_then(Json::as_str).unwrap_or_default();
        println!("{indent}{index} {} => {}", text("Key"), text("Result"));
        if answer.get("IsStale").and_then(Json::as_bool) == Some(true) {
            println!("{indent}  (stale: documents wait to be indexed)");
        }
        for level in list(answer, "Levels") {
            println!("{indent}  level {}:", level.get("Level").map_or_else(String::new, Json::to_string));
            for page in list(&level, "Pages") {
                let last =
                    page.get("Last").and_then(|last| last.get("Document")?.as_str().map(str::to_owned));
                let last = last.map_or_else(|| "the end".to_owned(), |last| format!("'{last}'"));
                println!(
                    "{indent}    up to {last}: {}",
                    page.get("Value").map_or_else(String::new, Json::to_string)
                );
            }
            more(&level, "MorePages", &format!("{indent}    "));
        }
        for entry in list(answer, "Entries") {
            let of = |name: &str| entry.get(name).map_or_else(String::new, Json::to_string);
            let document = entry.get("Document").and_then(Json::as_str).unwrap_or_default();
            println!("{indent}  '{document}' #{}: {}", of("Position"), of("Value"));
            if entry.get("Without").is_some() {
                println!("{indent}      without it: {} {}", of("Without"), of("WithoutError"));
            }
            if let Some(made) = entry.get("ProducedBy").filter(|_| depth < self.depth) {
                let index = made.get("Index").and_then(Json::as_str).unwrap_or_default();
                let key = made.get("Key").map_or_else(String::new, Json::to_string);
                self.print(&self.ask(index, &key)?, depth + 1)?;
            }
        }
        more(answer, "MoreEntries", &format!("{indent}  "));
        Ok(())
    }
}

fn more(answer: &Json, name: &str, indent: &str) {
    if answer.get(name).and_then(Json::as_bool) == Some(true) {
        println!("{indent}.. and more (--start, --page-size)");
    }
}
