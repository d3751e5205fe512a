//! Reading sorted runs, one or many merged, from any group on.

use super::sorter::{MARK_BYTES_MAX, MARKS_MIN, scratch};
use crate::error::IndexError;
use crate::keys::Reader;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How much of a run is read at a time, in bytes.
const WINDOW_BYTES: usize = 64 * 1024;

/// The key and the value of an item.
pub(super) type ItemRef<'i> = (&'i [u8], &'i [u8]);
/// A group and the offset at which it begins.
pub(super) type Mark = (Box<[u8]>, u64);

/// A group and its items, one after the other.
pub(super) type Group = (Box<[u8]>, Vec<u8>);

/// Groups in order, each with its items in order.
pub(super) enum Run {
    /// As they were gathered.
    Memory(Vec<Group>),
    File(RunFile),
}

/// A run as `sorter.rs` writes it.
pub(super) struct RunFile {
    pub file: File,
    pub length: u64,
    /// Places where reading can begin: (group, offset), in order.
    pub marks: Vec<Mark>,
}

impl Run {
    /// Groups that stand about equally far from each other.
    pub fn marks(&self) -> Vec<&[u8]> {
        match self {
            Self::File(run) => run.marks.iter().map(|(group, _)| &**group).collect(),
            Self::Memory(groups) => {
                let all: usize = groups.iter().map(|(_, items)| items.len()).sum();
                let (mut marks, mut since) = (Vec::new(), usize::MAX);
                for (group, items) in groups {
                    if since >= (all / MARKS_MIN).min(MARK_BYTES_MAX) {
                        marks.push(&**group);
                        since = 0;
                    }
                    since += items.len();
                }
                marks
            }
        }
    }

    /// Reads on from the first group that is not before `from`.
    fn reader(&self, from: &[u8]) -> Result<RunReader<'_>, IndexError> {
        match self {
            Self::File(run) => run.reader(from).map(RunReader::File),
            Self::Memory(groups) => {
                let first = groups.partition_point(|(group, _)| &**group < from);
                let mut reader = MemoryReader {
                    groups: groups.get(first..).unwrap_or_default(),
                    items: Reader(&[]),
                    item: None,
                };
                reader.begin()?;
                Ok(RunReader::Memory(reader))
            }
        }
    }
}

/// A place in a run.
enum RunReader<'r> {
    Memory(MemoryReader<'r>),
    File(FileReader<'r>),
}

impl RunReader<'_> {
    /// The group on which it stands; `None` behind the last.
    fn group(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(reader) => reader.groups.first().map(|(group, _)| &**group),
            Self::File(reader) => (!reader.ended).then_some(reader.group.as_slice()),
        }
    }

    /// The key of the item on which it stands; `None` behind the last of the group.
    fn item(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(reader) => reader.item.map(|(item, _)| item),
            Self::File(reader) => reader.has_item.then_some(reader.item.as_slice()),
        }
    }

    /// Gives the item on which it stands, and goes to the next.
    fn take(&mut self, item: &mut Vec<u8>, value: &mut Vec<u8>) -> Result<(), IndexError> {
        match self {
            Self::Memory(reader) => {
                let (key, text) = reader.item.unwrap_or_default();
                item.clear();
                item.extend_from_slice(key);
                value.clear();
                value.extend_from_slice(text);
                reader.next_item()
            }
            Self::File(reader) => {
                std::mem::swap(&mut reader.item, item);
                std::mem::swap(&mut reader.value, value);
                reader.next_item()
            }
        }
    }

    fn next_group(&mut self) -> Result<(), IndexError> {
        match self {
            Self::Memory(reader) => {
                reader.groups = reader.groups.get(1..).unwrap_or_default();
                reader.begin()
            }
            Self::File(reader) => reader.next_group(),
        }
    }
}

/// A place in a run in memory: in the first of the groups that are left.
struct MemoryReader<'r> {
    groups: &'r [Group],
    items: Reader<'r>,
    item: Option<ItemRef<'r>>,
}

impl MemoryReader<'_> {
    fn begin(&mut self) -> Result<(), IndexError> {
        self.items = Reader(self.groups.first().map_or(&[], |(_, items)| items));
        self.next_item()
    }

    fn next_item(&mut self) -> Result<(), IndexError> {
        self.item =
            if self.items.is_empty() { None } else { Some((self.items.bytes()?, self.items.bytes()?)) };
        Ok(())
    }
}

impl RunFile {
    /// Reads on from the first group that is not before `from`.
    fn reader(&self, from: &[u8]) -> Result<FileReader<'_>, IndexError> {
        let before = self.marks.partition_point(|(group, _)| &**group <= from);
        let at = self.marks.get(before.saturating_sub(1)).map_or(0, |(_, at)| *at);
        let mut reader = FileReader {
            run: self,
            at,
            window: Vec::new(),
            used: 0,
            group: Vec::new(),
            items_end: at,
            ended: false,
            item: Vec::new(),
            value: Vec::new(),
            has_item: false,
        };
        loop {
            reader.next_group()?;
            if reader.ended || reader.group.as_slice() >= from {
                return Ok(reader);
            }
        }
    }
}

/// A place in a run in a file: in a group, on one of its items.
struct FileReader<'r> {
    run: &'r RunFile,
    /// The offset behind the window.
    at: u64,
    window: Vec<u8>,
    used: usize,
    group: Vec<u8>,
    items_end: u64,
    ended: bool,
    item: Vec<u8>,
    value: Vec<u8>,
    has_item: bool,
}

impl FileReader<'_> {
    fn offset(&self) -> u64 {
        self.at - (self.window.len() - self.used) as u64
    }

    /// Makes `count` bytes available in the window, or fails.
    fn fill(&mut self, count: usize) -> Result<(), IndexError> {
        if self.window.len() - self.used >= count {
            return Ok(());
        }
        self.window.drain(..self.used);
        self.used = 0;
        let wanted = count.max(WINDOW_BYTES);
        let left = usize::try_from(self.run.length - self.at).unwrap_or(usize::MAX);
        let more = (wanted - self.window.len()).min(left);
        let begin = self.window.len();
        self.window.resize(begin + more, 0);
        let place = self.window.get_mut(begin..).unwrap_or_default();
        self.run.file.read_exact_at(place, self.at).map_err(scratch)?;
        self.at += more as u64;
        if self.window.len() < count { Err(cut_short()) } else { Ok(()) }
    }

    fn length(&mut self) -> Result<usize, IndexError> {
        let mut value = 0_usize;
        for shift in (0..63).step_by(7) {
            self.fill(1)?;
            let byte = self.window.get(self.used).copied().unwrap_or(0);
            self.used += 1;
            value |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(cut_short())
    }

    fn bytes(&mut self, into: fn(&mut Self) -> &mut Vec<u8>) -> Result<(), IndexError> {
        let length = self.length()?;
        self.fill(length)?;
        let mut place = std::mem::take(into(self));
        place.clear();
        place.extend_from_slice(self.window.get(self.used..self.used + length).unwrap_or_default());
        *into(self) = place;
        self.used += length;
        Ok(())
    }

    /// Goes to the first item of the next group, past what is left of this one.
    fn next_group(&mut self) -> Result<(), IndexError> {
        self.has_item = false;
        let left = self.items_end - self.offset();
        match usize::try_from(left) {
            Ok(left) if left <= self.window.len() - self.used => self.used += left,
            _ => {
                self.at = self.items_end;
                self.window.clear();
                self.used = 0;
            }
        }
        if self.items_end >= self.run.length {
            self.ended = true;
            return Ok(());
        }
        self.bytes(|reader| &mut reader.group)?;
        let length = self.length()?;
        self.items_end = self.offset() + length as u64;
        self.next_item()
    }

    fn next_item(&mut self) -> Result<(), IndexError> {
        self.has_item = self.offset() < self.items_end;
        if self.has_item {
            self.bytes(|reader| &mut reader.item)?;
            self.bytes(|reader| &mut reader.value)?;
        }
        Ok(())
    }
}

fn cut_short() -> IndexError {
    IndexError::Corrupt("a sorted run is cut short".to_owned())
}

/// Several runs as one: the groups from `from` up to and without `to`.
pub(super) struct Merge<'r> {
    readers: Vec<RunReader<'r>>,
    to: Option<Vec<u8>>,
    group: Vec<u8>,
    /// The readers that stand on the current group.
    here: Vec<usize>,
    item: Vec<u8>,
    value: Vec<u8>,
}

impl<'r> Merge<'r> {
    /// # Errors
    /// When the disk fails.
    pub fn new(runs: &'r [Run], from: &[u8], to: Option<&[u8]>) -> Result<Self, IndexError> {
        let readers = runs.iter().map(|run| run.reader(from)).collect::<Result<_, _>>()?;
        Ok(Self {
            readers,
            to: to.map(<[u8]>::to_vec),
            group: Vec::new(),
            here: Vec::new(),
            item: Vec::new(),
            value: Vec::new(),
        })
    }

    /// The next group; what was not read of the last one is left out.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn next_group(&mut self) -> Result<Option<&[u8]>, IndexError> {
        for &at in &self.here {
            if let Some(reader) = self.readers.get_mut(at) {
                reader.next_group()?;
            }
        }
        self.here.clear();
        let Some(first) = self.readers.iter().filter_map(RunReader::group).min() else { return Ok(None) };
        if self.to.as_deref().is_some_and(|to| first >= to) {
            return Ok(None);
        }
        self.group.clear();
        self.group.extend_from_slice(first);
        for (at, reader) in self.readers.iter().enumerate() {
            if reader.group() == Some(self.group.as_slice()) {
                self.here.push(at);
            }
        }
        Ok(Some(&self.group))
    }

    /// The next item of the group: its key and its value.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn next_item(&mut self) -> Result<Option<ItemRef<'_>>, IndexError> {
        let with_item = self.here.iter().filter_map(|at| Some((*at, self.readers.get(*at)?.item()?)));
        let Some((at, _)) = with_item.min_by(|(_, a), (_, b)| a.cmp(b)) else { return Ok(None) };
        if let Some(reader) = self.readers.get_mut(at) {
            reader.take(&mut self.item, &mut self.value)?;
        }
        Ok(Some((&self.item, &self.value)))
    }
}
