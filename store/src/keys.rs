//! The keys of every row this crate writes, and the format version. Nothing else builds key bytes.
//!
//! ```text
//! Space      key                                       value (see rows.rs)
//! Meta       s/format                                  format version, u64
//! Meta       s/id                                      database id, text
//! Meta       s/etag                                    last etag, u64
//! Meta       s/collection/{collection, lower case}     counts and spelling
//! Meta       s/identity/{name, lower case, with '|'}   last value given, u64
//! Meta       s/exchange/{key, lower case}              index u64, value as JSON text
//! Meta       s/exchanges                               last index given, u64
//! Meta       s/kept/{kind} 00 {order u64} {name, 16 bytes}               an item of a dump that is only kept, as it came
//! Meta       s/kept/{kind} 00 {order u64} {name, 16 bytes} {number, u32}  a chunk of the bytes that belong to it
//! Meta       s/attachments                             how many attachments there are, and distinct contents
//! Meta       s/counters                                how many documents have counters, and how many there are
//! Documents  {id, lower case}                          the live document, and the tombstones of that id
//! Feed       {collection, lower case} 00 {etag, u64}   live or tombstone, and the id
//! Attachments  c{hash}                                 uses u64, bytes u64
//! Attachments  d{hash} 00 {number, u32}                a chunk of the bytes
//! Counters   {id, lower case} 00 {name, lower case}    value i64, etag, name as first spelt
//! Attachments  s{hash}                                 empty: an import brought the bytes, no document may name them
//! ```
//!
//! Integers are big-endian, so that their bytes sort like their values. Names hold no control characters, hence no
//! zero byte, so the rows of one collection lie together and in etag order. In [`crate::kv::Space::Meta`] keys that
//! begin with `s/` are the store's; the indexes crate has `i/`. [`crate::kv::Space::Index`] is not used here.

use crate::document::{DocumentId, Etag};
use crate::error::StoreError;

/// Changes with every incompatible change of a key or a value.
pub(crate) const FORMAT_VERSION: u64 = 3;
/// The oldest format that is still read. Opening such a store makes it one of [`FORMAT_VERSION`]: 2 has one more kind of row
/// in the feed, 3 has counters.
pub(crate) const FORMAT_VERSION_READ: u64 = 1;

pub(crate) const FORMAT: &[u8] = b"s/format";
pub(crate) const DATABASE_ID: &[u8] = b"s/id";
pub(crate) const LAST_ETAG: &[u8] = b"s/etag";

const COLLECTIONS: &str = "s/collection/";
const IDENTITIES: &str = "s/identity/";
const EXCHANGES: &str = "s/exchange/";
pub(crate) const COMPARE_EXCHANGE_INDEX: &[u8] = b"s/exchanges";
pub(crate) const ATTACHMENTS: &[u8] = b"s/attachments";
pub(crate) const COUNTERS: &[u8] = b"s/counters";
const KEPT: &str = "s/kept/";
const STAGED: &str = "s";
const FEED_SEPARATOR: u8 = 0x00;
const COUNTER_SEPARATOR: u8 = 0x00;

/// A half-open range of keys.
pub(crate) type Range = (Vec<u8>, Vec<u8>);

/// The key of a collection's registry row.
pub(crate) fn collection(collection_key: &str) -> Vec<u8> {
    [COLLECTIONS, collection_key].concat().into_bytes()
}

/// All registry rows.
pub(crate) fn collections() -> Range {
    prefix_range(COLLECTIONS)
}

/// The lower-cased name in a registry row's key.
pub(crate) fn collection_of(key: &[u8]) -> Result<&str, StoreError> {
    name_after(COLLECTIONS, key)
}

/// The key of an identity's counter; `name` is lower-cased and ends with `|`.
pub(crate) fn identity(name: &str) -> Vec<u8> {
    [IDENTITIES, name].concat().into_bytes()
}

/// All identity counters.
pub(crate) fn identities() -> Range {
    prefix_range(IDENTITIES)
}

/// The name in the key of an identity's counter.
pub(crate) fn identity_of(key: &[u8]) -> Result<&str, StoreError> {
    name_after(IDENTITIES, key)
}

/// The key of a compare-exchange value; `key` is lower-cased.
pub(crate) fn compare_exchange(key: &str) -> Vec<u8> {
    [EXCHANGES, key].concat().into_bytes()
}

/// All compare-exchange values whose keys start with a prefix.
pub(crate) fn compare_exchanges(prefix: &str) -> Range {
    prefix_range(&[EXCHANGES, prefix].concat())
}

/// The key of a compare-exchange value in its row's key.
pub(crate) fn compare_exchange_of(key: &[u8]) -> Result<&str, StoreError> {
    name_after(EXCHANGES, key)
}

/// The key of an item that is only kept.
pub(crate) fn kept(kind: &str, order: u64, name: [u8; 16]) -> Vec<u8> {
    [KEPT.as_bytes(), kind.as_bytes(), &[0], &order.to_be_bytes(), &name].concat()
}

/// The key of a chunk of the bytes that belong to the item with this key.
pub(crate) fn kept_chunk(item: &[u8], number: u32) -> Vec<u8> {
    [item, &number.to_be_bytes()].concat()
}

/// All items that are only kept, with their chunks.
pub(crate) fn kept_all() -> Range {
    prefix_range(KEPT)
}

/// Those of a kind.
pub(crate) fn kept_of(kind: &str) -> Range {
    let key = |end: u8| [KEPT.as_bytes(), kind.as_bytes(), &[end]].concat();
    (key(0), key(1))
}

/// The kind in a key.
pub(crate) fn kept_kind(key: &[u8]) -> Result<&str, StoreError> {
    let rest = key.strip_prefix(KEPT.as_bytes()).and_then(|rest| rest.split(|byte| *byte == 0).next());
    let kind = rest.and_then(|kind| std::str::from_utf8(kind).ok()).filter(|kind| !kind.is_empty());
    kind.ok_or_else(|| corrupt("key", key))
}

/// Whether a key is that of an item, and not of a chunk.
pub(crate) fn is_kept_item(key: &[u8]) -> Result<bool, StoreError> {
    let behind = key.len().checked_sub(KEPT.len() + kept_kind(key)?.len() + 1);
    match behind {
        Some(24) => Ok(true),
        Some(28) => Ok(false),
        _ => Err(corrupt("key", key)),
    }
}

/// The key of the row that says how often bytes are used.
pub(crate) fn content(hash: &str) -> Vec<u8> {
    ["c", hash].concat().into_bytes()
}

/// The key of a chunk of bytes.
pub(crate) fn content_chunk(hash: &str, number: u32) -> Vec<u8> {
    [b"d", hash.as_bytes(), &[0], &number.to_be_bytes()].concat()
}

/// The key of the row that marks bytes that an import brought.
pub(crate) fn staged_content(hash: &str) -> Vec<u8> {
    [STAGED, hash].concat().into_bytes()
}

/// All such marks.
pub(crate) fn staged_contents() -> Range {
    prefix_range(STAGED)
}

/// The hash in such a mark's key.
pub(crate) fn staged_content_of(key: &[u8]) -> Result<&str, StoreError> {
    name_after(STAGED, key)
}

/// The key of a counter: of a document (its id in lower case), of a name (in lower case).
pub(crate) fn counter(id: &str, name: &str) -> Vec<u8> {
    [id.as_bytes(), &[COUNTER_SEPARATOR], name.as_bytes()].concat()
}

/// The counters of a document.
pub(crate) fn counters_of(id: &str) -> Range {
    let key = |end: u8| [id.as_bytes(), &[end]].concat();
    (key(COUNTER_SEPARATOR), key(COUNTER_SEPARATOR + 1))
}

/// All counters.
pub(crate) fn counters() -> Range {
    prefix_range("")
}

/// The document (its id in lower case) in the key of a counter.
pub(crate) fn counter_owner(key: &[u8]) -> Result<&str, StoreError> {
    let owner = key.split(|byte| *byte == COUNTER_SEPARATOR).next().filter(|owner| owner.len() < key.len());
    let owner = owner.and_then(|owner| std::str::from_utf8(owner).ok()).filter(|owner| !owner.is_empty());
    owner.ok_or_else(|| corrupt("key", key))
}

/// The key of a document's row.
pub(crate) fn document(id: &DocumentId) -> &[u8] {
    id.key().as_bytes()
}

/// The id (lower case) in the key of a document's row.
pub(crate) fn document_of(key: &[u8]) -> Result<&str, StoreError> {
    name_after("", key)
}

/// The document rows whose id begins with `prefix` (lower case), after `after_id` (lower case) if it is given.
pub(crate) fn documents(prefix: &str, after_id: Option<&str>) -> Range {
    let (mut from, to) = prefix_range(prefix);
    if let Some(after) = after_id
        && after.as_bytes() >= from.as_slice()
    {
        from = [after.as_bytes(), b"\0"].concat();
    }
    (from, to)
}

/// The key of a feed row.
pub(crate) fn feed(collection_key: &str, etag: Etag) -> Vec<u8> {
    let mut key = Vec::with_capacity(collection_key.len() + 9);
    key.extend_from_slice(collection_key.as_bytes());
    key.push(FEED_SEPARATOR);
    key.extend_from_slice(&etag.0.to_be_bytes());
    key
}

/// The feed rows of a collection with `after < etag <= up_to`.
pub(crate) fn feed_range(collection_key: &str, after: Etag, up_to: Etag) -> Range {
    let behind = |etag: Etag| {
        etag.0.checked_add(1).map_or_else(
            || [collection_key.as_bytes(), &[FEED_SEPARATOR + 1]].concat(),
            |next| feed(collection_key, Etag(next)),
        )
    };
    (behind(after), behind(up_to))
}

/// The etag in a feed row's key.
pub(crate) fn feed_etag(key: &[u8]) -> Result<Etag, StoreError> {
    key.split_last_chunk::<8>()
        .filter(|(before, _)| before.len() > 1 && before.last() == Some(&FEED_SEPARATOR))
        .map(|(_, etag)| Etag(u64::from_be_bytes(*etag)))
        .ok_or_else(|| corrupt("feed key", key))
}

/// Keys made of text end before the byte 0xff, which UTF-8 does not use.
fn prefix_range(prefix: &str) -> Range {
    let mut to = prefix.as_bytes().to_vec();
    match to.last_mut() {
        Some(last) => *last += 1,
        None => to.push(0xff),
    }
    (prefix.as_bytes().to_vec(), to)
}

fn name_after<'a>(prefix: &str, key: &'a [u8]) -> Result<&'a str, StoreError> {
    key.strip_prefix(prefix.as_bytes())
        .and_then(|name| std::str::from_utf8(name).ok())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| corrupt("key", key))
}

fn corrupt(what: &str, bytes: &[u8]) -> StoreError {
    let shown = bytes.get(..bytes.len().min(64)).unwrap_or(bytes);
    StoreError::Corrupt(format!("{what} '{}' has an unknown layout", shown.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feed_keys_round_trip_and_sort_by_collection_then_etag() {
        let mut keys = Vec::new();
        for name in ["a", "a b", "ab", "\u{e4}"] {
            for etag in [0, 1, 255, 256, u64::MAX] {
                let key = feed(name, Etag(etag));
                assert_eq!(feed_etag(&key).unwrap(), Etag(etag));
                keys.push(key);
            }
        }
        assert!(keys.is_sorted());
    }

    #[test]
    fn feed_ranges_are_open_below_and_closed_above() {
        let inside = |(from, to): &Range, etag| {
            let key = feed("users", Etag(etag));
            *from <= key && key < *to
        };
        let range = feed_range("users", Etag(5), Etag(7));
        assert_eq!([5, 6, 7, 8].map(|etag| inside(&range, etag)), [false, true, true, false]);
        let range = feed_range("users", Etag(5), Etag(u64::MAX));
        assert!(inside(&range, u64::MAX) && !inside(&range, 5));
        assert!(feed("users ", Etag(6)) >= range.1, "a longer name is outside");
        let (from, to) = feed_range("users", Etag(u64::MAX), Etag(u64::MAX));
        assert!(from >= to);
    }

    #[test]
    fn damaged_feed_keys_are_refused() {
        for key in
            [&b""[..], b"users", b"users\x01\0\0\0\0\0\0\0\x01", b"\0\0\0\0\0\0\0\0\x01", b"users\0\0\0\x01"]
        {
            assert!(matches!(feed_etag(key), Err(StoreError::Corrupt(_))), "{key:?}");
        }
    }

    #[test]
    fn kept_items_lie_before_their_chunks_and_apart_from_other_kinds() {
        let item = kept("Kind", 7, [0; 16]);
        let chunk = kept_chunk(&item, u32::MAX);
        let next = kept("Kind", 7, [1; 16]);
        assert!(item < chunk && chunk < next);
        assert_eq!((kept_kind(&item).unwrap(), kept_kind(&chunk).unwrap()), ("Kind", "Kind"));
        assert!(is_kept_item(&item).unwrap() && !is_kept_item(&chunk).unwrap());
        let (from, to) = kept_of("Kind");
        assert!(from < item && next < to && to < kept("Kinds", 0, [0; 16]));
        assert!(is_kept_item(b"s/kept/Kind\0abc").is_err() && kept_kind(b"s/kept/\0").is_err());
    }

    #[test]
    fn names_round_trip_and_foreign_keys_are_refused() {
        assert_eq!(collection_of(&collection("users")).unwrap(), "users");
        assert_eq!(identity_of(&identity("users|")).unwrap(), "users|");
        assert!(collection_of(b"s/identity/users|").is_err());
        assert!(collection_of(b"s/collection/").is_err());
        assert!(document_of(b"\xff").is_err());
    }

    #[test]
    fn document_ranges_hold_the_prefix_and_nothing_else() {
        let (from, to) = documents("users/", None);
        for (id, inside) in
            [("users/", true), ("users/1", true), ("users/\u{10ffff}", true), ("users0", false)]
        {
            assert_eq!(from.as_slice() <= id.as_bytes() && id.as_bytes() < to.as_slice(), inside, "{id}");
        }
        let (from, _) = documents("users/", Some("users/1"));
        assert!(from.as_slice() > b"users/1" && from.as_slice() < b"users/10");
        assert_eq!(documents("users/", Some("a")).0, b"users/");
        let (from, to) = documents("", None);
        assert!(from.is_empty() && "\u{10ffff}".as_bytes() < to.as_slice());
    }
}
