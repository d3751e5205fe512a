//! The byte layout of every row the indexes write. Nothing else builds key bytes.
//!
//! All rows but the definitions stand in [`Space::Index`] and start with the index's slot (u32, big endian) and a
//! kind byte. A slot is given once and never again, so a reset or a new definition has other rows.
//!
//! | kind | rest of the key | value |
//! |---|---|---|
//! | 1 progress | - | counters, see `progress.rs` |
//! | 2 document keys | lower-cased id | the reduce keys of the document's map entries, by emit position |
//! | 3 leaf page | reduce key, page end | the page's map entries |
//! | 4 page output | reduce key, level u8, page end | the reduced value of a page of the level below |
//! | 5 result | reduce key | height u8, the reduced value of the root, its finalized form, see `stored_result.rs` |
//! | 6 map output | lower-cased id, 0, emit position u32 BE | the output of a map-only index |
//! | 7 map error | lower-cased id | what failed, see `faults.rs` |
//! | 8 reduce error | reduce key | what failed |
//! | 9 document loads | lower-cased id | the lower-cased ids that mapping the document loads |
//! | 10 loaded by | lower-cased id of a loaded document, 0, lower-cased id | - |
//! | 11 pending load | - | the loaded document whose users are being mapped again, see `references.rs` |
//! | 12 output document | 16 bytes that name the document | reduce key, id of its reference document |
//! | 13 output reference | lower-cased id of a reference document, 0, the 16 bytes | ids of both as written |
//! | 14 output state | - | how far the documents follow the results, see `output/state.rs` |
//! | 15 lossy subject | source u8, lower-cased id or reduce key | what it lost, see `losses.rs` |
//! | 16 loss | loss u8, source u8, field, 0, lower-cased id or reduce key | the subject as shown |
//! | 17 loss count | loss u8, source u8, field | number of the rows of kind 16 |
//! | 18 output error | lower-cased id of an output or reference document | why it cannot be made |
//! | 19 term field | number u16 BE | a field with terms and how far they are made, see `terms/field.rs` |
//! | 20 term | number u16 BE, class u8, term (00 as 00 ff) 00 01, rest of the key of kind 5 or 6 | see `terms/posting.rs` |
//! | 21 term count | number u16 BE, class u8, term (00 as 00 ff) 00 01 | how many rows of kind 20 begin so, see `terms/counts.rs` |
//!
//! A reduce key is the ordered encoding of its fields' values one after the other; it is prefix-free. An entry key is
//! `lower-cased id, 0, emit position u32 BE`; ids hold no control characters, so it is prefix-free and sorts by id.
//! A page end is the entry key of the page's last entry if that is a border, else `FF` (the open page at the end).

use crate::error::IndexError;

/// The version of the layout above, of the borders of pages, and of the canonical texts that go into signatures.
pub const FORMAT_VERSION: u64 = 3;

/// The page end of a tree's last page when its last entry is no border. Sorts behind every entry key.
pub const OPEN_END: &[u8] = &[0xFF];

/// The number under which one build of one index keeps its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// The kind of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// How far the index has read the change feed.
    Progress = 1,
    /// The reduce keys a document has entries under.
    DocumentKeys = 2,
    /// Map entries of a leaf page.
    LeafPage = 3,
    /// The reduced value of a page.
    PageOutput = 4,
    /// The reduced value of a reduce key.
    Result = 5,
    /// An output of a map-only index.
    MapOutput = 6,
    /// A document whose map failed.
    MapError = 7,
    /// A reduce key whose reduce failed.
    ReduceError = 8,
    /// The documents that mapping a document loads.
    DocumentLoads = 9,
    /// A document that loads another one.
    LoadedBy = 10,
    /// The loaded document whose users are being mapped again.
    PendingLoad = 11,
    /// A result that is a document.
    OutputDocument = 12,
    /// An output document that a reference document names.
    OutputReference = 13,
    /// How far the output documents follow the results.
    OutputState = 14,
    /// What a document or reduce key lost.
    LossySubject = 15,
    /// A number that was lost, by field and subject.
    Loss = 16,
    /// How many subjects lost a number in a field.
    LossCount = 17,
    /// A document that cannot be made of a result.
    OutputError = 18,
    /// A field that has terms.
    TermField = 19,
    /// A term of a result.
    Term = 20,
    /// How many results have a term.
    TermCount = 21,
}

impl Slot {
    /// The key of a row of this slot: `slot, kind, rest`.
    #[must_use]
    pub fn key(self, kind: Kind, rest: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(5 + rest.len());
        key.extend_from_slice(&self.0.to_be_bytes());
        key.push(kind as u8);
        key.extend_from_slice(rest);
        key
    }

    /// The first key and the key behind the last of all rows of one kind.
    #[must_use]
    pub fn range_of(self, kind: Kind) -> (Vec<u8>, Vec<u8>) {
        let mut end = self.0.to_be_bytes().to_vec();
        end.push(kind as u8 + 1);
        (self.key(kind, &[]), end)
    }

    /// The first key and the key behind the last of all rows of the slot.
    #[must_use]
    pub fn range(self) -> (Vec<u8>, Vec<u8>) {
        (self.0.to_be_bytes().to_vec(), self.0.saturating_add(1).to_be_bytes().to_vec())
    }
}

/// The part of a row key behind slot and kind.
///
/// # Errors
/// [`IndexError::Corrupt`] when the key is too short to have them.
pub fn rest(key: &[u8]) -> Result<&[u8], IndexError> {
    key.get(5..).ok_or_else(|| IndexError::Corrupt(format!("index row key of {} bytes", key.len())))
}

/// The entry key of a document's output at an emit position.
#[must_use]
pub fn entry_key(document_key: &str, position: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(document_key.len() + 5);
    key.extend_from_slice(document_key.as_bytes());
    key.push(0);
    key.extend_from_slice(&position.to_be_bytes());
    key
}

/// The document id (lower-cased) and emit position of an entry key.
///
/// # Errors
/// [`IndexError::Corrupt`] when the bytes are no entry key.
pub fn parse_entry_key(key: &[u8]) -> Result<(&str, u32), IndexError> {
    let corrupt = || IndexError::Corrupt(format!("entry key {key:?}"));
    let (id, tail) = key.split_at_checked(key.len().wrapping_sub(5)).ok_or_else(corrupt)?;
    let id = std::str::from_utf8(id).map_err(|_| corrupt())?;
    match tail {
        [0, a, b, c, d] => Ok((id, u32::from_be_bytes([*a, *b, *c, *d]))),
        _ => Err(corrupt()),
    }
}

/// Appends a length or count in LEB128.
pub fn put_length(length: usize, out: &mut Vec<u8>) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push(low_seven_bits(rest) | 0x80);
        rest >>= 7;
    }
    out.push(low_seven_bits(rest));
}

fn low_seven_bits(value: usize) -> u8 {
    value.to_le_bytes().first().map_or(0, |byte| byte & 0x7F)
}

/// Appends bytes behind their length.
pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Reads what [`put_length`] and [`put_bytes`] wrote, front to back.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// Whether everything is read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] at the end.
    pub fn byte(&mut self) -> Result<u8, IndexError> {
        let (first, rest) = self.0.split_first().ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A length or count.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] when it is cut short or too large.
    pub fn length(&mut self) -> Result<usize, IndexError> {
        let mut value: usize = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(cut_short())
    }

    /// Bytes behind their length.
    ///
    /// # Errors
    /// [`IndexError::Corrupt`] when they are cut short.
    pub fn bytes(&mut self) -> Result<&'a [u8], IndexError> {
        let length = self.length()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(bytes)
    }
}

fn cut_short() -> IndexError {
    IndexError::Corrupt("an index row is cut short".to_owned())
}

/// A key behind every row with this prefix when what follows the prefix starts with text or with [`OPEN_END`].
#[must_use]
pub fn behind(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[0xFF, 0xFF]].concat()
}

/// Keys of the definitions, in [`Space::Meta`].
pub mod meta {
    /// The counter of slots given so far: u32, big endian.
    pub const NEXT_SLOT: &[u8] = b"i/slot";
    /// The first key and the key behind the last of all definition rows.
    pub const DEFINITIONS: (&[u8], &[u8]) = (b"i/d/", b"i/d0");

    /// The first key and the key behind the last of all retired output collections, see `output/cleanup.rs`.
    pub const RETIRED: (&[u8], &[u8]) = (b"i/r/", b"i/r0");
    /// The first key and the key behind the last of all start counters, see `starts.rs`.
    pub const STARTS: (&[u8], &[u8]) = (b"i/s/", b"i/s0");

    /// The number of bulk builds of the build with this slot that ended with the process.
    #[must_use]
    pub fn bulk_tries(slot: super::Slot) -> Vec<u8> {
        [b"i/b/".as_slice(), &slot.0.to_be_bytes()].concat()
    }

    /// The row of an output collection whose documents are to be removed, by lower-cased name.
    #[must_use]
    pub fn retired(collection_key: &str) -> Vec<u8> {
        [RETIRED.0, collection_key.as_bytes()].concat()
    }

    /// The starts without success of the build with this slot.
    #[must_use]
    pub fn starts(slot: super::Slot) -> Vec<u8> {
        [STARTS.0, &slot.0.to_be_bytes()].concat()
    }

    /// The row of an index's definition, by lower-cased name.
    #[must_use]
    pub fn definition(name: &str) -> Vec<u8> {
        [DEFINITIONS.0, name.to_lowercase().as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_bytes_come_back() {
        let mut out = Vec::new();
        for length in [0, 1, 127, 128, 16_383, 16_384, 5_000_000_000] {
            put_length(length, &mut out);
        }
        put_bytes(b"abc", &mut out);
        let mut reader = Reader(&out);
        for length in [0, 1, 127, 128, 16_383, 16_384, 5_000_000_000] {
            assert_eq!(reader.length().unwrap(), length);
        }
        assert_eq!(reader.bytes().unwrap(), b"abc");
        assert!(reader.is_empty());
        assert!(Reader(&[5, 1]).bytes().is_err(), "cut short");
        assert!(Reader(&[0x80]).length().is_err(), "cut short");
    }

    #[test]
    fn entry_keys_sort_by_id_then_position() {
        let keys = [
            entry_key("a", 0),
            entry_key("a", 1),
            entry_key("a", 256),
            entry_key("a b", 0),
            entry_key("ab", 0),
        ];
        assert!(keys.is_sorted());
        assert!(keys.iter().all(|key| key.as_slice() < OPEN_END));
        assert_eq!(parse_entry_key(&entry_key("users/1", 7)).unwrap(), ("users/1", 7));
        assert!(parse_entry_key(b"ab").is_err());
        assert!(parse_entry_key(b"abcdefg").is_err());
    }
}
