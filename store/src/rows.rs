//! The values of the rows whose keys `keys.rs` makes. A value that does not have its layout is
//! [`StoreError::Corrupt`], never a guess.
//!
//! ```text
//! document    flags (bit 0: live, bit 1: has attachments, bit 2: has counters)  n  n x (collection key, etag)  [live part]
//!             live part: etag  last modified (i64)  id as written  collection as spelt  metadata  body (to the end)
//! feed        01 = live, 02 = tombstone, 03 = live and the id had no row before, then the id as written (to the end)
//! collection  documents  tombstones  name as first spelt (to the end)
//! counter     u64
//! content     how many documents name the bytes, counted per name  how many bytes there are
//! attachments how many attachments documents have  how many contents they name
//! counter of a document  value (i64)  etag of its last change  name as first spelt (to the end)
//! counters    how many documents have counters  how many counters there are
//! ```
//!
//! Integers are big-endian u64 except `n` and the lengths of texts, which are LEB128. A document's tombstones are
//! those that stand in the feeds of other collections (and, if it is deleted, of its last one): whoever writes the
//! id must know which feed rows exist for it.

use crate::counters::Counter;
use crate::document::{Collection, Document, DocumentId, Etag};
use crate::error::StoreError;
use crate::lists::Lists;
use crate::timestamp::Timestamp;

const LIVE: u8 = 1;
const ATTACHMENTS: u8 = 2;
const COUNTERS: u8 = 4;
const FEED_LIVE: u8 = 1;
const FEED_TOMBSTONE: u8 = 2;
const FEED_FIRST: u8 = 3;

/// What a row of the feed tells about its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FeedKind {
    /// It is there.
    Live,
    /// It was deleted from the collection.
    Tombstone,
    /// It is there, and before this write nothing had its id, not even a tombstone.
    First,
}

/// That a document was deleted from a collection, and where that stands in the collection's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tombstone {
    /// The collection's lower-cased name.
    pub collection: Box<str>,
    /// The etag of the delete.
    pub etag: Etag,
}

/// What a writer must know of the row under an id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// The live document, if there is one.
    pub live: Option<LiveHead>,
    /// The tombstones of that id in the feeds, at most one per collection.
    pub tombstones: Vec<Tombstone>,
}

/// What a writer must know of a live document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveHead {
    /// The etag of its last write.
    pub etag: Etag,
    /// The id as it was written.
    pub id: Box<str>,
    /// The collection's name as it is spelt.
    pub collection: Box<str>,
    /// Its attachments and counters, as its metadata lists them.
    pub lists: Lists,
}

/// The live part of a document row, for writing.
pub(crate) struct Live<'a> {
    pub etag: Etag,
    pub last_modified: Timestamp,
    pub id: &'a str,
    pub collection: &'a str,
    pub metadata: &'a str,
    pub body: &'a str,
    /// What the metadata lists.
    pub lists: &'a Lists,
}

/// Writes a document row.
pub(crate) fn document(tombstones: &[Tombstone], live: Option<&Live<'_>>) -> Vec<u8> {
    let texts = live.map_or(0, |l| 40 + l.id.len() + l.collection.len() + l.metadata.len() + l.body.len());
    let mut row = Vec::with_capacity(texts + 2 + 48 * tombstones.len());
    begin_document(live.map_or(0, Live::flags), tombstones, &mut row);
    if let Some(live) = live {
        row.extend_from_slice(&live.etag.0.to_be_bytes());
        row.extend_from_slice(&live.last_modified.0.to_be_bytes());
        push_text(live.id, &mut row);
        push_text(live.collection, &mut row);
        push_text(live.metadata, &mut row);
        row.extend_from_slice(live.body.as_bytes());
    }
    row
}

impl Live<'_> {
    fn flags(&self) -> u8 {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        LIVE | flag(!self.lists.attachments.is_empty(), ATTACHMENTS)
            | flag(!self.lists.counters.is_empty(), COUNTERS)
    }
}

fn begin_document(flags: u8, tombstones: &[Tombstone], row: &mut Vec<u8>) {
    row.push(flags);
    push_length(tombstones.len(), row);
    for tombstone in tombstones {
        push_text(&tombstone.collection, row);
        row.extend_from_slice(&tombstone.etag.0.to_be_bytes());
    }
}

/// A document row with other tombstones; `None` when nothing is left that needs a row.
pub(crate) fn with_tombstones(row: &[u8], tombstones: &[Tombstone]) -> Result<Option<Vec<u8>>, StoreError> {
    let mut cursor = Cursor::new("document", row);
    let (flags, _) = cursor.document_begin()?;
    if flags == 0 && tombstones.is_empty() {
        return Ok(None);
    }
    let mut changed = Vec::with_capacity(row.len());
    begin_document(flags, tombstones, &mut changed);
    changed.extend_from_slice(cursor.rest);
    Ok(Some(changed))
}

/// Reads what a writer must know of a document row.
pub(crate) fn head(row: &[u8]) -> Result<Head, StoreError> {
    let mut cursor = Cursor::new("document", row);
    let (flags, tombstones) = cursor.document_begin()?;
    if flags == 0 {
        cursor.end()?;
        return Ok(Head { live: None, tombstones });
    }
    let etag = cursor.etag()?;
    cursor.integer()?;
    let id = cursor.text()?.into();
    let collection = cursor.text()?.into();
    let mut lists = if flags == LIVE { Lists::default() } else { Lists::of(cursor.text()?) };
    if flags & ATTACHMENTS == 0 {
        lists.attachments.clear();
    }
    // Of a document without the flag an earlier version only kept what an import said.
    if flags & COUNTERS == 0 {
        lists.counters.clear();
    }
    Ok(Head { live: Some(LiveHead { etag, id, collection, lists }), tombstones })
}

/// Reads the live document of a document row, if it has one.
pub(crate) fn live_document(row: &[u8]) -> Result<Option<Document>, StoreError> {
    let mut cursor = Cursor::new("document", row);
    let (flags, _) = cursor.document_begin()?;
    if flags == 0 {
        cursor.end()?;
        return Ok(None);
    }
    let etag = cursor.etag()?;
    let last_modified = Timestamp(i64::from_be_bytes(cursor.integer()?));
    let id = DocumentId::from_stored(cursor.text()?);
    let collection = Collection::from_stored(cursor.text()?);
    let metadata = cursor.text()?.into();
    let body = cursor.text_to_end()?.into();
    Ok(Some(Document { id, collection, etag, last_modified, body, metadata }))
}

/// Writes a feed row's value.
pub(crate) fn feed(kind: FeedKind, id: &str) -> Vec<u8> {
    let mut row = Vec::with_capacity(1 + id.len());
    row.push(match kind {
        FeedKind::Live => FEED_LIVE,
        FeedKind::Tombstone => FEED_TOMBSTONE,
        FeedKind::First => FEED_FIRST,
    });
    row.extend_from_slice(id.as_bytes());
    row
}

/// Reads a feed row's value.
pub(crate) fn parse_feed(row: &[u8]) -> Result<(FeedKind, DocumentId), StoreError> {
    let mut cursor = Cursor::new("feed", row);
    let kind = match cursor.byte()? {
        FEED_LIVE => FeedKind::Live,
        FEED_TOMBSTONE => FeedKind::Tombstone,
        FEED_FIRST => FeedKind::First,
        _ => return Err(cursor.corrupt()),
    };
    let id = cursor.text_to_end()?;
    if id.is_empty() {
        return Err(cursor.corrupt());
    }
    Ok((kind, DocumentId::from_stored(id)))
}

/// A collection's registry row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CollectionRow {
    /// How many live documents it has.
    pub documents: u64,
    /// How many tombstones stand in its feed.
    pub tombstones: u64,
    /// Its name as the first document spelt it.
    pub name: Box<str>,
}

impl CollectionRow {
    /// The row of a collection nobody has written to yet.
    pub(crate) fn new(name: &str) -> Self {
        Self { documents: 0, tombstones: 0, name: name.into() }
    }

    /// Writes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&self.documents.to_be_bytes(), &self.tombstones.to_be_bytes(), self.name.as_bytes()].concat()
    }

    /// Reads it.
    pub(crate) fn decode(row: &[u8]) -> Result<Self, StoreError> {
        let mut cursor = Cursor::new("collection", row);
        let documents = u64::from_be_bytes(cursor.integer()?);
        let tombstones = u64::from_be_bytes(cursor.integer()?);
        let name = cursor.text_to_end()?;
        if name.is_empty() {
            return Err(cursor.corrupt());
        }
        Ok(Self { documents, tombstones, name: name.into() })
    }
}

/// How often bytes are used, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRow {
    /// How many documents name them, counted once per name.
    pub uses: u64,
    /// How many bytes there are.
    pub size: u64,
}

impl ContentRow {
    /// Writes it.
    pub(crate) fn encode(self) -> Vec<u8> {
        pair(self.uses, self.size)
    }

    /// Reads it.
    pub(crate) fn decode(row: &[u8]) -> Result<Self, StoreError> {
        parse_pair("content", row).map(|(uses, size)| Self { uses, size })
    }
}

/// A counter of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CounterRow {
    /// Its value.
    pub value: i64,
    /// The etag of its last change.
    pub etag: Etag,
    /// Its name as it was first spelt.
    pub name: Box<str>,
}

impl CounterRow {
    /// Writes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&self.value.to_be_bytes(), &self.etag.0.to_be_bytes(), self.name.as_bytes()].concat()
    }

    /// Reads it.
    pub(crate) fn decode(row: &[u8]) -> Result<Self, StoreError> {
        let mut cursor = Cursor::new("counter", row);
        let value = i64::from_be_bytes(cursor.integer()?);
        let etag = cursor.etag()?;
        let name = cursor.text_to_end()?;
        if name.is_empty() {
            return Err(cursor.corrupt());
        }
        Ok(Self { value, etag, name: name.into() })
    }

    /// As those who read it have it.
    pub(crate) fn into_counter(self) -> Counter {
        Counter { name: self.name.into(), value: self.value, etag: self.etag }
    }
}

/// Writes two numbers.
pub(crate) fn pair(first: u64, second: u64) -> Vec<u8> {
    [first.to_be_bytes(), second.to_be_bytes()].concat()
}

/// Reads two numbers.
pub(crate) fn parse_pair(kind: &'static str, row: &[u8]) -> Result<(u64, u64), StoreError> {
    let mut cursor = Cursor::new(kind, row);
    let (first, second) = (u64::from_be_bytes(cursor.integer()?), u64::from_be_bytes(cursor.integer()?));
    cursor.end()?;
    Ok((first, second))
}

/// Writes a counter.
pub(crate) fn counter(value: u64) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

/// Reads a counter.
pub(crate) fn parse_counter(row: &[u8]) -> Result<u64, StoreError> {
    let mut cursor = Cursor::new("counter", row);
    let value = u64::from_be_bytes(cursor.integer()?);
    cursor.end()?;
    Ok(value)
}

fn push_length(mut length: usize, row: &mut Vec<u8>) {
    while length > 0x7f {
        row.push(0x80 | u8::try_from(length & 0x7f).unwrap_or(0));
        length >>= 7;
    }
    row.push(u8::try_from(length).unwrap_or(0));
}

fn push_text(text: &str, row: &mut Vec<u8>) {
    push_length(text.len(), row);
    row.extend_from_slice(text.as_bytes());
}

/// Reads a value from front to back.
struct Cursor<'a> {
    kind: &'static str,
    length: usize,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn new(kind: &'static str, row: &'a [u8]) -> Self {
        Self { kind, length: row.len(), rest: row }
    }

    fn corrupt(&self) -> StoreError {
        let at = self.length - self.rest.len();
        StoreError::Corrupt(format!("a {} row of {} bytes is malformed at byte {at}", self.kind, self.length))
    }

    fn end(&self) -> Result<(), StoreError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.corrupt()) }
    }

    fn byte(&mut self) -> Result<u8, StoreError> {
        let (byte, rest) = self.rest.split_first().ok_or_else(|| self.corrupt())?;
        self.rest = rest;
        Ok(*byte)
    }

    fn integer(&mut self) -> Result<[u8; 8], StoreError> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or_else(|| self.corrupt())?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn etag(&mut self) -> Result<Etag, StoreError> {
        Ok(Etag(u64::from_be_bytes(self.integer()?)))
    }

    fn length(&mut self) -> Result<usize, StoreError> {
        let mut length = 0_usize;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = usize::from(byte & 0x7f);
            if bits.leading_zeros() < shift {
                break;
            }
            length |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(length);
            }
        }
        Err(self.corrupt())
    }

    fn text(&mut self) -> Result<&'a str, StoreError> {
        let length = self.length()?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.corrupt())?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.corrupt())?;
        self.rest = rest;
        Ok(text)
    }

    fn text_to_end(&mut self) -> Result<&'a str, StoreError> {
        let text = std::str::from_utf8(self.rest).map_err(|_| self.corrupt())?;
        self.rest = &[];
        Ok(text)
    }

    /// The flags (0: not alive) and the tombstones.
    fn document_begin(&mut self) -> Result<(u8, Vec<Tombstone>), StoreError> {
        let flags = self.byte()?;
        if flags != 0 && (flags & LIVE == 0 || flags & !(LIVE | ATTACHMENTS | COUNTERS) != 0) {
            return Err(self.corrupt());
        }
        let count = self.length()?;
        let mut tombstones = Vec::new();
        for _ in 0..count {
            tombstones.push(Tombstone { collection: self.text()?.into(), etag: self.etag()? });
        }
        Ok((flags, tombstones))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstones() -> Vec<Tombstone> {
        vec![
            Tombstone { collection: "a".into(), etag: Etag(3) },
            Tombstone { collection: "b".repeat(200).into(), etag: Etag(u64::MAX) },
        ]
    }

    static NO_LISTS: Lists = Lists { attachments: Vec::new(), counters: Vec::new() };

    fn live() -> Live<'static> {
        Live {
            etag: Etag(7),
            last_modified: Timestamp(-5),
            id: "Users/1-A",
            collection: "Users",
            metadata: r#"{"@collection":"users"}"#,
            body: r#"{"a":1}"#,
            lists: &NO_LISTS,
        }
    }

    #[test]
    fn document_rows_round_trip() {
        let row = document(&tombstones(), Some(&live()));
        let found = live_document(&row).unwrap().unwrap();
        assert_eq!(found.id.as_str(), "Users/1-A");
        assert_eq!(found.id.key(), "users/1-a");
        assert_eq!(found.collection.as_str(), "Users");
        assert_eq!((found.etag, found.last_modified), (Etag(7), Timestamp(-5)));
        assert_eq!((&*found.metadata, &*found.body), (live().metadata, live().body));
        let head = head(&row).unwrap();
        assert_eq!(head.tombstones, tombstones());
        assert_eq!(
            head.live,
            Some(LiveHead {
                etag: Etag(7),
                id: "Users/1-A".into(),
                collection: "Users".into(),
                lists: Lists::default()
            })
        );
    }

    #[test]
    fn the_flags_say_which_lists_count() {
        let lists = Lists { attachments: Vec::new(), counters: vec!["Likes".into()] };
        let metadata = lists.in_metadata("{}");
        let row = document(&[], Some(&Live { metadata: &metadata, lists: &lists, ..live() }));
        assert_eq!(row.first(), Some(&(LIVE | COUNTERS)));
        assert_eq!(head(&row).unwrap().live.unwrap().lists, lists);
        // What an earlier version kept of an import.
        let row = document(&[], Some(&Live { metadata: &metadata, ..live() }));
        assert_eq!(head(&row).unwrap().live.unwrap().lists, Lists::default());
    }

    #[test]
    fn tombstones_are_exchanged_without_touching_the_live_part() {
        let row = document(&tombstones(), Some(&live()));
        let fewer = with_tombstones(&row, &tombstones()[..1]).unwrap().unwrap();
        assert_eq!(fewer, document(&tombstones()[..1], Some(&live())));
        let deleted = document(&tombstones(), None);
        assert_eq!(live_document(&deleted).unwrap().map(|d| d.id.to_string()), None);
        assert_eq!(with_tombstones(&deleted, &[]).unwrap(), None);
        assert!(with_tombstones(&row, &[]).unwrap().is_some());
    }

    #[test]
    fn every_truncation_before_the_body_is_refused() {
        let row = document(&tombstones(), Some(&live()));
        for length in 0..row.len() - live().body.len() {
            assert!(live_document(&row[..length]).is_err(), "{length}");
        }
        let deleted = document(&tombstones(), None);
        for length in 0..deleted.len() {
            assert!(live_document(&deleted[..length]).is_err(), "{length}");
            assert!(head(&deleted[..length]).is_err(), "{length}");
        }
        assert!(head(&[&deleted[..], b"x"].concat()).is_err());
        for flags in [2, 4, 6, 8, 9] {
            assert!(head(&[flags, 0]).is_err(), "unknown flags {flags}");
        }
        assert!(
            head(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err(),
            "endless length"
        );
    }

    #[test]
    fn feed_collection_and_counter_rows_round_trip_and_refuse_damage() {
        for kind in [FeedKind::Live, FeedKind::Tombstone, FeedKind::First] {
            let (found, id) = parse_feed(&feed(kind, "Users/1")).unwrap();
            assert_eq!((found, id.as_str()), (kind, "Users/1"));
        }
        for damaged in [&b""[..], b"\x01", b"\x04a", b"\x01\xff"] {
            assert!(parse_feed(damaged).is_err(), "{damaged:?}");
        }
        let row = CollectionRow { documents: 5, tombstones: 6, name: "Users".into() };
        assert_eq!(CollectionRow::decode(&row.encode()).unwrap(), row);
        assert!(CollectionRow::decode(&row.encode()[..16]).is_err());
        assert_eq!(parse_counter(&counter(9)).unwrap(), 9);
        let row = CounterRow { value: -3, etag: Etag(9), name: "Likes".into() };
        assert_eq!(CounterRow::decode(&row.encode()).unwrap(), row);
        assert!(CounterRow::decode(&row.encode()[..16]).is_err());
        assert!(parse_counter(b"1234567").is_err() && parse_counter(b"123456789").is_err());
    }
}
