//! The next sub-batch of an import: written together, or one by one when one of its commands is refused.

use super::counters;
use super::counts::Counts;
use crate::clock;
use crate::error::ServerError;
use crate::limits::{DUMP_BATCH_ITEMS_MAX, UPLOAD_BATCH_BYTES_MAX};
use magpie_store::{Command, Database, Outcome, StoreError};
use std::fmt;

/// Where a command comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// A byte of the unpacked dump, counted from 0.
    Byte(u64),
    /// A line of a file, counted from 1.
    Line(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(at) => write!(f, "at byte {at}"),
            Self::Line(line) => write!(f, "of line {line}"),
        }
    }
}

/// A command of the next sub-batch, and where it comes from.
pub(super) struct Pending {
    /// The name of its kind in the result.
    pub(super) kind: &'static str,
    pub(super) id: String,
    pub(super) place: Place,
    pub(super) command: Command,
}

/// The commands that are gathered.
#[derive(Default)]
pub(super) struct Batch {
    pending: Vec<Pending>,
    bytes: usize,
}

impl Batch {
    /// Adds a command; `bytes` is what it holds.
    pub(super) fn add(&mut self, pending: Pending, bytes: usize) {
        self.pending.push(pending);
        self.weigh(bytes);
    }

    /// Counts bytes that wait besides the commands.
    pub(super) fn weigh(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether it is time to write.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= DUMP_BATCH_ITEMS_MAX || self.bytes >= UPLOAD_BATCH_BYTES_MAX
    }

    /// Writes what is gathered and counts it; what is refused is counted and told.
    ///
    /// # Errors
    /// A failure of the store.
    pub(super) fn write(&mut self, database: &Database, counts: &mut Counts) -> Result<(), ServerError> {
        self.bytes = 0;
        let pending = std::mem::take(&mut self.pending);
        let commands: Vec<Command> = pending.iter().map(|pending| pending.command.clone()).collect();
        match database.write(commands, clock::now()) {
            Ok(outcomes) => {
                outcomes.into_iter().for_each(|outcome| written(outcome, counts));
                return Ok(());
            }
            Err(error) if is_refusal(&error) => {}
            Err(error) => return Err(error.into()),
        }
        // One of them is refused, so nothing was written: each on its own.
        for Pending { kind, id, place, command } in pending {
            match database.write(vec![command], clock::now()) {
                Ok(outcomes) => outcomes.into_iter().for_each(|outcome| written(outcome, counts)),
                Err(error) if is_refusal(&error) => {
                    counts.add(kind, |count| count.errored += 1);
                    let what =
                        if kind == counters::KIND { "the counters of the document" } else { "the document" };
                    counts.say(format!("{what} '{id}' {place}: {error}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn written(outcome: Outcome, counts: &mut Counts) {
    match outcome {
        Outcome::Imported { id, missing, .. } => {
            counts.add("Documents", |documents| documents.written += 1);
            for name in missing {
                counts.attachments.errored += 1;
                counts
                    .say(format!("the attachment '{name}' of the document '{id}' has no bytes in the dump"));
            }
        }
        Outcome::Counters { .. } => counts.add(counters::KIND, |count| count.written += 1),
        Outcome::Put { .. } => counts.add("Documents", |documents| documents.written += 1),
        Outcome::ContentStaged { .. } => counts.attachments.written += 1,
        _ => {}
    }
}

/// Whether an error is about what was to be written, and not about the disk.
pub(super) fn is_refusal(error: &StoreError) -> bool {
    match error {
        StoreError::InvalidId { .. }
        | StoreError::InvalidCollection { .. }
        | StoreError::Json(_)
        | StoreError::InvalidDocument { .. }
        | StoreError::DocumentTooLarge { .. }
        | StoreError::InvalidAttachment { .. }
        | StoreError::AttachmentOwnerMissing { .. }
        | StoreError::AttachmentMissing { .. }
        | StoreError::InvalidCounter { .. }
        | StoreError::CounterOwnerMissing { .. }
        | StoreError::CounterMoved { .. }
        | StoreError::CounterOverflow { .. }
        | StoreError::Conflict { .. }
        | StoreError::CollectionMismatch { .. }
        | StoreError::ExchangeConflict { .. } => true,
        StoreError::UnsupportedFormat { .. }
        | StoreError::Corrupt(_)
        | StoreError::WritesStopped { .. }
        | StoreError::Kv(_) => false,
    }
}
