//! Measurements: `cargo bench -p magpie-tests -- tiers|hot|hotkey|tree|log|stages|terms|workload`, all of them without an argument;
//! `tiers Runtime` measures one index, `build`, `live` and `points` parts of the workload, `counts` instructions.
//!
//! Counts are exact; rates depend on the machine, so each run prints what it compares side by side. Numbers quoted
//! anywhere are rows of `RESULTS.md`.

mod counts;
mod hot;
mod hot_key;
mod log;
mod terms;
mod tiers;
mod tree;
mod workload;

use std::error::Error;

/// The server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let [verb, path] = wanted.as_slice()
        && verb == "events"
    {
        // The events of the workload for whoever else runs it.
        return workload::write(std::path::Path::new(path));
    }
    if wanted.first().is_some_and(|verb| verb == "counts") {
        return counts::run(&wanted);
    }
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if runs("tiers") {
        tiers::run(&wanted)?;
    }
    if runs("hot") {
        hot::run(&wanted)?;
    }
    if runs("hotkey") {
        hot_key::run()?;
    }
    if runs("tree") {
        tree::run()?;
    }
    if runs("log") {
        log::run()?;
    }
    if runs("stages") {
        workload::stages::run()?;
    }
    if runs("workload") {
        workload::run()?;
    }
    if wanted.iter().any(|wanted| wanted == "live") {
        workload::run_live()?;
    }
    if wanted.iter().any(|wanted| wanted == "build") {
        workload::run_build()?;
    }
    if wanted.iter().any(|wanted| wanted == "points") {
        workload::run_points()?;
    }
    if runs("terms") {
        terms::run()?;
    }
    Ok(())
}
