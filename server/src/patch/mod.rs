//! Patches: batches in which scripts change documents, all or nothing.
//!
//! A script never runs under the commit lock, where a slow one would stop every writer. A batch is worked out in front
//! of one snapshot (`attempt.rs`), and its write checks under the lock that each document that was read, loaded ones
//! and missing ones included, and each counter whose value a script asked for, is still what it was. If not, the batch is worked out anew, a bounded number of times; so
//! it is as if it had run alone. Patches of the same documents wait for each other on the way, so that many of them at
//! once need no second attempt; only other writers cause one.

mod attempt;
mod command;
mod counters;
mod failure;
mod json_patch;

pub(crate) use attempt::{Done, Patched, Status};
pub(crate) use command::{PatchCommand, PatchScripts, Script, compile};
pub(crate) use counters::Incremented;
pub use failure::PatchFailure;
pub(crate) use json_patch::{JsonPatchCommand, read as read_json_patch};

use crate::clock;
use crate::error::ServerError;
use crate::limits::{PATCH_ATTEMPTS_MAX, PATCH_BATCH_MS_MAX};
use crate::random;
use attempt::Attempt;
use magpie_indexes::patches::Patches;
use magpie_store::{Command, Database, DocumentId, Outcome, StoreError};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Groups of documents whose patches wait for each other.
const LANES: usize = 64;

/// What runs the patches of a database.
pub(crate) struct Patcher {
    patches: Patches,
    lanes: [Mutex<()>; LANES],
}

impl Default for Patcher {
    fn default() -> Self {
        Self { patches: Patches::default(), lanes: std::array::from_fn(|_| Mutex::new(())) }
    }
}

/// One command of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// Any write.
    Write(Command),
    /// A patch of one document.
    Patch(PatchCommand),
    /// Documents that must still be what the client has read; checks only, with one element in the answer.
    Track(Vec<Command>),
    /// A patch of one document without a script.
    JsonPatch(JsonPatchCommand),
    /// One patch of several documents; they have one element in the answer.
    Batch(Vec<PatchCommand>),
}

impl Patcher {
    /// The scripts.
    pub(crate) fn patches(&self) -> &Patches {
        &self.patches
    }

    /// Executes a batch, all of it or nothing. Gives what was done for each item, and the outcomes that it refers to.
    /// With `dry`, nothing is written, and there are no outcomes. Blocks.
    ///
    /// # Errors
    /// What a script throws, a bound that it ran into, and those of [`Database::write`]; nothing was written.
    pub(crate) fn run(
        &self,
        database: &Database,
        items: &[Item],
        dry: bool,
    ) -> Result<(Vec<Done>, Vec<Outcome>), ServerError> {
        let _turn = self.turn(items);
        let deadline = Instant::now() + Duration::from_millis(PATCH_BATCH_MS_MAX);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let view = database.view();
            let mut attempt = Attempt::new(&self.patches, &view, clock::now(), random::seed()?, deadline);
            let mut done = Vec::with_capacity(items.len());
            for item in items {
                done.push(attempt.item(item)?);
            }
            if dry {
                return Ok((done, Vec::new()));
            }
            let (checks, commands) = attempt.into_commands();
            let count = checks.len();
            let all = checks.iter().cloned().chain(commands).collect();
            match database.write(all, clock::now()) {
                Ok(mut outcomes) => return Ok((done, outcomes.split_off(count.min(outcomes.len())))),
                Err(error @ (StoreError::Conflict { .. } | StoreError::CounterMoved { .. })) => {
                    // Checks that still hold: the conflict is one of the request itself.
                    let still_holds = attempts >= PATCH_ATTEMPTS_MAX || hold(database, &checks)?;
                    if still_holds {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the patches of the same documents that run.
    fn turn(&self, items: &[Item]) -> Vec<MutexGuard<'_, ()>> {
        let mut lanes = BTreeSet::new();
        for item in items {
            let ids: Vec<&str> = match item {
                Item::Write(_) | Item::Track(_) => Vec::new(),
                Item::Patch(patch) => vec![&patch.id],
                Item::JsonPatch(patch) => vec![&patch.id],
                Item::Batch(patches) => patches.iter().map(|patch| patch.id.as_str()).collect(),
            };
            for id in ids {
                let mut hasher = DefaultHasher::new();
                DocumentId::new(id).map(|id| id.key().to_owned()).unwrap_or_default().hash(&mut hasher);
                lanes.insert(usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0));
            }
        }
        // In ascending order, so that no two batches wait for each other.
        let lanes = lanes.into_iter().filter_map(|lane| self.lanes.get(lane));
        lanes.map(|lane| lane.lock().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}

/// Whether the documents and counters are what the checks say.
fn hold(database: &Database, checks: &[Command]) -> Result<bool, StoreError> {
    let view = database.view();
    for check in checks {
        let holds = match check {
            Command::Check { id, expected } => {
                let found = view.document(&DocumentId::new(id)?)?;
                attempt::change_vector(found.as_ref(), view.database_id()) == *expected
            }
            Command::CheckCounter { id, name, expected } => {
                view.counter(&DocumentId::new(id)?, name)?.map(|counter| counter.value) == *expected
            }
            _ => true,
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}
