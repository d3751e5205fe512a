//! Sorting more than fits into memory: items go in by group, in the order of their keys within a group, and come out
//! as runs, each sorted by group and then by item.
//!
//! Items of one group are kept one after the other, so only the groups have to be sorted, not the items. What exceeds
//! the memory allowed is written to an unnamed file as a run of its own. A run is `length of group, group, length of
//! items, items`; an item is its key and its value, each behind its length.

use super::run::{Mark, Run, RunBytes};
use crate::error::IndexError;
use crate::keys::{put_bytes, put_length};
use magpie_store::Database;
use std::collections::HashMap;
use std::io::{BufWriter, Write};

/// What a group takes besides its bytes, in bytes, as far as that can be told.
const GROUP_BYTES: usize = 96;
/// Runs have so many places where reading can begin, or more.
const MARKS_MIN: usize = 256;
/// Most bytes between two of them.
const MARK_BYTES_MAX: usize = 64 * 1024;

/// Items of groups on their way into order.
pub(super) struct Sorter<'d> {
    database: &'d Database,
    groups: HashMap<Box<[u8]>, Vec<u8>>,
    bytes: usize,
    bytes_max: usize,
    runs: Vec<Run>,
}

impl<'d> Sorter<'d> {
    /// An empty sorter that keeps about `bytes_max` bytes in memory.
    pub fn new(database: &'d Database, bytes_max: usize) -> Self {
        Self { database, groups: HashMap::new(), bytes: 0, bytes_max, runs: Vec::new() }
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
        if self.bytes > self.bytes_max {
            self.spill()?;
        }
        Ok(())
    }

    /// Ends a run: what comes may sort before what there is.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn cut(&mut self) -> Result<(), IndexError> {
        if self.bytes > self.bytes_max / 4 {
            return self.spill();
        }
        self.bytes_max -= self.bytes;
        self.keep()
    }

    /// The runs; the last one may be in memory.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(mut self) -> Result<Vec<Run>, IndexError> {
        self.keep()?;
        Ok(self.runs)
    }

    /// Makes a run in memory of what there is.
    fn keep(&mut self) -> Result<(), IndexError> {
        if !self.groups.is_empty() {
            let mut bytes = Vec::with_capacity(self.bytes);
            let marks = write_run(std::mem::take(&mut self.groups), self.mark_bytes(), &mut bytes)
                .map_err(scratch)?;
            let length = bytes.len() as u64;
            self.runs.push(Run::new(RunBytes::Memory(bytes), length, marks));
            self.bytes = 0;
        }
        Ok(())
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
        self.runs.push(Run::new(RunBytes::File(file), length, marks));
        self.bytes = 0;
        Ok(())
    }
}

pub(super) fn scratch(error: std::io::Error) -> IndexError {
    IndexError::Scratch(error)
}

/// Writes groups in order; gives the places where reading can begin.
fn write_run(
    groups: HashMap<Box<[u8]>, Vec<u8>>,
    mark_bytes: u64,
    out: &mut impl Write,
) -> Result<Vec<Mark>, std::io::Error> {
    let mut groups: Vec<(Box<[u8]>, Vec<u8>)> = groups.into_iter().collect();
    groups.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut marks: Vec<Mark> = Vec::new();
    let (mut at, mut marked) = (0_u64, 0_u64);
    let mut head = Vec::new();
    for (group, items) in groups {
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
