//! `magpie query`: asks a running server, prints one result a line, or CSV.

use super::client::Target;
use clap::Args;
use magpie_server::csv::Csv;
use magpie_store::json::{self, Json, Object};
use std::io::Write;
use ureq::SendBody;

/// The options of `query`.
#[derive(Debug, Args)]
pub struct Query {
    /// The question in RQL, such as "from index 'ShoppingCart' where due > 100".
    rql: String,
    /// A parameter of the question: `name=value`, the value as JSON (other text is taken as a string).
    #[arg(long = "parameter", short = 'p', value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// How long to wait until the index has caught up, in seconds; 0 takes what is there.
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    wait: u32,
    /// Print rows as CSV, with these columns or those of the first row; nested fields are written `a.b`.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', num_args = 0.., conflicts_with = "json")]
    csv: Option<Vec<String>>,
    #[command(flatten)]
    target: Target,
}

impl Query {
    /// Asks and prints.
    ///
    /// # Errors
    /// When the question is refused, or the index has not caught up in time.
    pub fn run(self) -> Result<(), String> {
        let mut parameters = Object::new();
        for parameter in &self.parameters {
            let (name, value) =
                parameter.split_once('=').ok_or_else(|| format!("'{parameter}' is not NAME=VALUE"))?;
            parameters.insert(name, json::parse(value.as_bytes()).unwrap_or_else(|_| Json::from(value)));
        }
        let body = Object::from_iter([
            ("Query", Json::from(self.rql.as_str())),
            ("QueryParameters", Json::Object(parameters)),
            ("WaitForNonStaleResults", Json::Bool(self.wait > 0)),
            ("WaitForNonStaleResultsTimeout", Json::from(u64::from(self.wait) * 1000)),
        ])
        .to_string();
        let headers = [("Content-Type", "application/json")];
        let answer = self
            .target
            .send("POST", "queries", &headers, SendBody::from_owned_reader(std::io::Cursor::new(body)))
            .map_err(|error| {
                if error.ends_with("(404)") { "there is no index of that name".to_owned() } else { error }
            })?;
        if self.target.json {
            println!("{answer}");
        } else {
            let rows = answer.get("Results").and_then(Json::as_array).unwrap_or_default();
            match &self.csv {
                None => rows.iter().for_each(|row| println!("{row}")),
                Some(columns) => print_csv(columns.clone(), rows)?,
            }
        }
        let stale = answer.get("IsStale").and_then(Json::as_bool) == Some(true);
        if stale && self.wait > 0 {
            return Err(format!(
                "the index has not caught up within {} s: these results are stale",
                self.wait
            ));
        }
        Ok(())
    }
}

fn print_csv(columns: Vec<String>, rows: &[Json]) -> Result<(), String> {
    let mut csv = Csv::new(columns);
    let mut out = std::io::stdout().lock();
    let mut line = Vec::new();
    for row in rows {
        line.clear();
        csv.row(row, &mut line);
        out.write_all(&line).map_err(|error| format!("the rows cannot be printed: {error}"))?;
    }
    match csv.left_out() {
        0 => Ok(()),
        rows => {
            Err(format!("{rows} rows have fields that the columns do not; name the columns with --csv=A,B"))
        }
    }
}
