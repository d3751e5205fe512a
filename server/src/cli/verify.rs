//! `magpie verify`: has a running server compute its indexes a second time by another way, and prints what differs.

use super::client::{Target, escaped};
use clap::Args;
use magpie_store::json::Json;
use ureq::SendBody;

/// The options of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The index; without it, all indexes of the database.
    name: Option<String>,
    /// Mend what is damaged: only the rows of the documents and keys concerned are computed anew.
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    target: Target,
}

impl Verify {
    /// Verifies and prints one line for each index, and one for each damage.
    ///
    /// # Errors
    /// When an index is damaged and was not mended, so that the exit code tells.
    pub fn run(self) -> Result<(), String> {
        let name = escaped(self.name.as_deref().unwrap_or_default());
        let path = format!("indexes/verify?name={name}&repair={}", self.repair);
        let answer = self.target.send("POST", &path, &[], SendBody::none())?;
        let results = answer.get("Results").and_then(Json::as_array).unwrap_or_default();
        let mut damaged = Vec::new();
        for result in results {
            let mended = result.get("Mended").filter(|mended| mended.as_object().is_some());
            let now = mended.unwrap_or(result);
            if count(now, "Damages") > 0 {
                damaged.push(text(result, "Name"));
            }
            if !self.target.json {
                print(result, mended);
            }
        }
        if self.target.json {
            println!("{answer}");
        }
        if damaged.is_empty() { Ok(()) } else { Err(format!("damaged: {}", damaged.join(", "))) }
    }
}

fn print(result: &Json, mended: Option<&Json>) {
    println!(
        "{}: {} damages; {} documents, {} entries, {} keys compared up to etag {}, {} pending, {} inexact; hash {}",
        text(result, "Name"),
        count(result, "Damages"),
        count(result, "Documents"),
        count(result, "Entries"),
        count(result, "Keys"),
        count(result, "Etag"),
        count(result, "Pending"),
        count(result, "InexactKeys"),
        text(result, "Hash")
    );
    for damage in result.get("Listed").and_then(Json::as_array).unwrap_or_default() {
        let shown = |name: &str| damage.get(name).filter(|value| !value.is_null()).map(Json::to_string);
        let subject = shown("Document").or_else(|| shown("Key")).unwrap_or_default();
        println!("  {subject}: {}", text(damage, "What"));
        if let (Some(expected), Some(found)) = (shown("Expected"), shown("Found")) {
            println!("    expected {expected}\n    found    {found}");
        }
    }
    if let Some(mended) = mended {
        println!("  mended: {} damages left; hash {}", count(mended, "Damages"), text(mended, "Hash"));
    }
}

fn text(json: &Json, name: &str) -> String {
    json.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn count(json: &Json, name: &str) -> i64 {
    json.get(name).and_then(Json::as_i64).unwrap_or(0)
}
