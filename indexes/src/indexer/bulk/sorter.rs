//! Sorting more than fits into memory: items go in by group, in the order of their keys within a group, and come out
//! as runs, each sorted by group and then by item.
//!
//! Items of one group are kept one after the other, so only the groups have to be sorted, not the items. What exceeds
//! the memory allowed is written to an unnamed file as a run of its own. A run is `length of group, group, length of
//! items, items`; an item is its key and its value, each behind its length.

use super::run::{Group, Mark, Run, RunFile};
use crate::error::IndexError;
use crate::keys::{put_bytes, put_length};
use crate::limits;
use magpie_store::Database;
use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a group takes besides its bytes, in bytes, as far as that can be told.
const GROUP_BYTES: usize = 96;
/// Runs have so many places where reading can begin, or more.
pub(super) const MARKS_MIN: usize = 256;
/// Most bytes between two of them.
pub(super) const MARK_BYTES_MAX: usize = 64 * 1024;

/// Items of groups on their way into order.
pub(super) struct Sorter<'d> {
    database: &'d Database,
    groups: HashMap<Box<[u8]>, Vec<u8>>,
    bytes: usize,
    /// Bytes of runs that stay in memory.
    kept: usize,
    room: Room<'d>,
    runs: Vec<Run>,
}

/// How much memory a sorter may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room<'d> {
    /// Sorters that share what their build may take.
    pub sorters: usize,
    /// What the build may take, in bytes.
    pub bytes_max: usize,
    /// How many builds run now, which share [`limits::BULK_SORT_BYTES_ALL_MAX`]; `None` when there is only this one.
    pub builds: Option<&'d AtomicUsize>,
}

impl Room<'_> {
    fn bytes(self) -> usize {
        let builds = self.builds.map_or(1, |builds| builds.load(Ordering::Relaxed).max(1));
        self.bytes_max.min(limits::BULK_SORT_BYTES_ALL_MAX / builds) / self.sorters.max(1)
    }
}

impl<'d> Sorter<'d> {
    /// An empty sorter that keeps about what there is room for in memory.
    pub fn new(database: &'d Database, room: Room<'d>) -> Self {
        Self { database, groups: HashMap::new(), bytes: 0, kept: 0, room, runs: Vec::new() }
    }

    /// Adds an item behind those that its group has already.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn push(&mut self, group: &[u8], item: &[u8], value: &[u8]) -> Result<(), IndexError> {
        let items = match self.groups.get_mut(group) {
            Some(items) => items,
            None => {
                self.bytes += group.len() + GROUP_BYTES;
                self.groups.entry(group.into()).or_default()
            }
        };
        let before = items.capacity();
        put_bytes(item, items);
        put_bytes(value, items);
        self.bytes += items.capacity() - before;
        let room = self.room.bytes();
        // However much is kept, runs must not be tiny.
        if self.bytes > room.saturating_sub(self.kept).max(room / 4) {
            self.spill()?;
        }
        Ok(())
    }

    /// Ends a run: what comes may sort before what there is.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn cut(&mut self) -> Result<(), IndexError> {
        if self.bytes + self.kept > self.room.bytes() / 2 {
            return self.spill();
        }
        self.keep();
        Ok(())
    }

    /// The runs; the last one may be in memory.
    pub fn finish(mut self) -> Vec<Run> {
        self.keep();
        self.runs
    }

    /// Makes a run in memory of what there is.
    fn keep(&mut self) {
        if !self.groups.is_empty() {
            self.runs.push(Run::Memory(in_order(std::mem::take(&mut self.groups))));
            self.kept += std::mem::take(&mut self.bytes);
        }
    }

    fn mark_bytes(&self) -> u64 {
        (self.bytes / MARKS_MIN).min(MARK_BYTES_MAX) as u64
    }

    fn spill(&mut self) -> Result<(), IndexError> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let file = self.database.scratch_file()?;
        let mut writer = BufWriter::with_capacity(1 << 18, file);
        let groups = std::mem::take(&mut self.groups);
        let mut counted = Counted { writer: &mut writer, bytes: 0 };
        let marks = write_run(groups, self.mark_bytes(), &mut counted).map_err(scratch)?;
        let length = counted.bytes;
        let file = writer.into_inner().map_err(|error| scratch(error.into_error()))?;
        self.runs.push(Run::File(RunFile { file, length, marks }));
        self.bytes = 0;
        Ok(())
    }
}

pub(super) fn scratch(error: std::io::Error) -> IndexError {
    IndexError::Scratch(error)
}

fn in_order(groups: HashMap<Box<[u8]>, Vec<u8>>) -> Vec<Group> {
    let mut groups: Vec<Group> = groups.into_iter().collect();
    groups.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    groups
}

/// Writes groups in order; gives the places where reading can begin.
fn write_run(
    groups: HashMap<Box<[u8]>, Vec<u8>>,
    mark_bytes: u64,
    out: &mut impl Write,
) -> Result<Vec<Mark>, std::io::Error> {
    let mut marks: Vec<Mark> = Vec::new();
    let (mut at, mut marked) = (0_u64, 0_u64);
    let mut head = Vec::new();
    for (group, items) in in_order(groups) {
        if marks.is_empty() || at - marked >= mark_bytes {
            marks.push((group.clone(), at));
            marked = at;
        }
        head.clear();
        put_bytes(&group, &mut head);
        put_length(items.len(), &mut head);
        out.write_all(&head)?;
        out.write_all(&items)?;
        at += (head.len() + items.len()) as u64;
    }
    Ok(marks)
}

/// Counts what is written.
struct Counted<'w, W> {
    writer: &'w mut W,
    bytes: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}
