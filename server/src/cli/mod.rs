//! The command line: one verb, one file.

mod client;
mod explain;
mod export;
mod import;
mod index;
mod index_test;
mod load;
mod query;
pub mod serve;
mod verify;

use clap::{Parser, Subcommand};

/// A document store for events with incremental map/reduce indexes.
#[derive(Debug, Parser)]
#[command(name = "magpie", version, about)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    serve: serve::Serve,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server.
    Serve(serve::Serve),
    /// Load files of events into a running server.
    Load(load::Load),
    /// Export a database of a running server as a .ravendbdump.
    Export(export::Export),
    /// Import a .ravendbdump into a running server.
    Import(import::Import),
    /// Ask a running server.
    Query(query::Query),
    /// Show why a result of an index is what it is, down to the events.
    Explain(explain::Explain),
    /// Compute indexes a second time by another way, and compare.
    Verify(verify::Verify),
    /// Manage the indexes of a running server.
    #[command(subcommand)]
    Index(index::Index),
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// One sentence for the operator.
    pub fn run(self) -> Result<(), String> {
        match self.verb {
            None => self.serve.run(),
            Some(Verb::Serve(serve)) => serve.run(),
            Some(Verb::Load(load)) => load.run(),
            Some(Verb::Export(export)) => export.run(),
            Some(Verb::Import(import)) => import.run(),
            Some(Verb::Query(query)) => query.run(),
            Some(Verb::Explain(explain)) => explain.run(),
            Some(Verb::Verify(verify)) => verify.run(),
            Some(Verb::Index(index)) => index.run(),
        }
    }
}
