//! Measurements: `cargo bench -p magpie-tests -- tiers|tree|log|server|terms`, all of them without an argument.
//!
//! Counts are exact; rates depend on the machine, so each run prints what it compares side by side. Numbers quoted
//! anywhere are rows of `RESULTS.md`.

mod log;
mod server;
mod terms;
mod tiers;
mod tree;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if runs("tiers") {
        tiers::run()?;
    }
    if runs("tree") {
        tree::run()?;
    }
    if runs("log") {
        log::run()?;
    }
    if runs("server") {
        server::run()?;
    }
    if runs("terms") {
        terms::run()?;
    }
    Ok(())
}
