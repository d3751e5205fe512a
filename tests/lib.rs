//! What the behaviour tests share: the real server process ([`process`]), a plain HTTP client ([`wire`]), the replay of
//! recorded exchanges ([`golden`]), dumps in and out ([`smuggler`]) and a database with the indexes of a sample
//! ([`sample_database`]). Each test file next to this one is a test of its own.
//!
//! Everything runs on 127.0.0.1 with ports that the system chooses, in folders that are removed afterwards.

pub mod golden;
pub mod process;
pub mod sample_database;
pub mod smuggler;
pub mod wire;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// A file of the material that lies next to a developer's clone and is not part of it (recorded answers, real logs);
/// `None`, with a message on standard error, where it is absent.
#[must_use]
pub fn material(path: &str) -> Option<PathBuf> {
    let file = workspace().join("../shared").join(path);
    if file.exists() {
        return Some(file);
    }
    eprintln!("skipped: {} is not there", file.display());
    None
}
