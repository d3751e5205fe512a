//! The change feed: what was written, in etag order, per collection or across them; and the purge of tombstones.
//!
//! Each live document is in the feed of its collection once, at its last write. A deleted document leaves one
//! tombstone in each collection it was deleted from, until it is created there again or the tombstone is purged.
//! Several collections are merged by etag. What a feed does not have is history: a document written twice shows
//! once.

use crate::database::Database;
use crate::document::{Collection, DocumentId, Etag};
use crate::error::StoreError;
use crate::keys;
use crate::kv::{Batch, Direction, Kv, Row, Rows, Space};
use crate::rows::{self, CollectionRow, FeedKind};
use crate::view::DatabaseView;
use crate::write::Committed;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering;

/// Tombstones purged in one batch.
const PURGE_BATCH: usize = 1000;
/// Feed rows looked at for one purge batch, so that the commit lock is not held long over live documents.
const PURGE_SCAN: usize = 20_000;

/// Which collections a reader wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CollectionFilter {
    /// Every collection except `@hilo`, which holds the clients' counters.
    All,
    /// The named ones; names that no document has are no error.
    Named(Vec<Collection>),
}

impl CollectionFilter {
    /// The collection that [`CollectionFilter::All`] leaves out.
    pub(crate) const HILO: &'static str = "@hilo";

    /// Whether changes of this collection pass.
    #[must_use]
    pub fn contains(&self, collection: &Collection) -> bool {
        match self {
            Self::All => collection.key() != Self::HILO,
            Self::Named(names) => names.contains(collection),
        }
    }
}

/// A row of the change feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The etag of the write or delete.
    pub etag: Etag,
    /// The document.
    pub id: DocumentId,
    /// The collection whose feed it is in.
    pub collection: Collection,
    /// Whether the document was deleted from that collection.
    pub tombstone: bool,
    /// Whether nothing had its id before this write, not even a tombstone: who has seen all changes before this one has
    /// never seen the document.
    pub first: bool,
}

impl DatabaseView<'_> {
    /// Up to `limit` changes with an etag above `after`, in etag order.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn changes_after(
        &self,
        filter: &CollectionFilter,
        after: Etag,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        self.feed(filter, after, Direction::Forward)?.take(limit).collect()
    }

    /// The changes with an etag above `after`, in etag order or against it.
    pub(crate) fn feed(
        &self,
        filter: &CollectionFilter,
        after: Etag,
        direction: Direction,
    ) -> Result<Merge<'_>, StoreError> {
        let mut merge = Merge { feeds: Vec::new(), heads: BinaryHeap::new(), direction, failure: None };
        for collection in self.collections_of(filter)? {
            let (from, to) = keys::feed_range(collection.key(), after, Etag(u64::MAX));
            let rows = self.kv().scan(Space::Feed, &from, &to, direction);
            merge.feeds.push(Feed { collection, rows });
            merge.advance(merge.feeds.len() - 1)?;
        }
        Ok(merge)
    }
}

struct Feed<'a> {
    collection: Collection,
    rows: Rows<'a>,
}

/// The next row of a feed, ordered so that the greatest is the one to give first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    urgency: u64,
    feed: usize,
    etag: Etag,
    value: Vec<u8>,
}

/// Several feeds as one.
pub(crate) struct Merge<'a> {
    feeds: Vec<Feed<'a>>,
    /// The next row of each feed that has one.
    heads: BinaryHeap<Head>,
    direction: Direction,
    failure: Option<StoreError>,
}

impl Merge<'_> {
    /// Reads the next row of a feed into the heap.
    fn advance(&mut self, feed: usize) -> Result<(), StoreError> {
        let Some(row) = self.feeds.get_mut(feed).and_then(|feed| feed.rows.next()) else { return Ok(()) };
        let (key, value) = row?;
        let etag = keys::feed_etag(&key)?;
        let urgency = match self.direction {
            Direction::Forward => u64::MAX - etag.0,
            Direction::Reverse => etag.0,
        };
        self.heads.push(Head { urgency, feed, etag, value });
        Ok(())
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<Change, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(failure) = self.failure.take() {
            self.heads.clear();
            return Some(Err(failure));
        }
        let head = self.heads.pop()?;
        // The row at hand is good; a failure behind it is told at the next call.
        self.failure = self.advance(head.feed).err();
        let collection = self.feeds.get(head.feed)?.collection.clone();
        Some(rows::parse_feed(&head.value).map(|(kind, id)| Change {
            etag: head.etag,
            id,
            collection,
            tombstone: kind == FeedKind::Tombstone,
            first: kind == FeedKind::First,
        }))
    }
}

impl Database {
    /// Says that tombstones up to an etag will be removed: from now on nobody may begin to read the feed behind an older
    /// state than this.
    pub fn announce_purge(&self, up_to: Etag) {
        self.purged.fetch_max(up_to.0, Ordering::SeqCst);
    }

    /// The etag up to which tombstones may be gone since the database was opened: who reads documents in an older state
    /// than this will not learn from the feed of all that were deleted since.
    #[must_use]
    pub fn purged(&self) -> Etag {
        Etag(self.purged.load(Ordering::SeqCst))
    }

    /// Removes the tombstones with an etag up to `up_to`, which every reader of the feed must have seen, and gives
    /// their number. Writers get their turn between its batches.
    ///
    /// # Errors
    /// [`StoreError::WritesStopped`], [`StoreError::Kv`], [`StoreError::Corrupt`]; batches before that stay done.
    pub fn purge_tombstones(&self, up_to: Etag) -> Result<u64, StoreError> {
        self.announce_purge(up_to);
        let with_tombstones: Vec<Box<str>> = self.exclusively(|_, committed| {
            let found = committed.collections.iter().filter(|(_, row)| row.tombstones > 0);
            Ok((Batch::new(), found.map(|(key, _)| key.clone()).collect()))
        })?;
        let mut purged = 0;
        for collection in with_tombstones {
            let mut after = Some(Etag(0));
            while let Some(from) = after {
                let step =
                    self.exclusively(|kv, committed| purge_step(kv, committed, &collection, from, up_to))?;
                purged += step.purged;
                after = step.more_after;
            }
        }
        Ok(purged)
    }
}

struct PurgeStep {
    purged: u64,
    /// Where the next step begins; `None` after the last.
    more_after: Option<Etag>,
}

fn purge_step(
    kv: &dyn Kv,
    committed: &mut Committed,
    collection: &str,
    after: Etag,
    up_to: Etag,
) -> Result<(Batch, PurgeStep), StoreError> {
    let view = kv.snapshot();
    let mut batch = Batch::new();
    let mut step = PurgeStep { purged: 0, more_after: None };
    let (from, to) = keys::feed_range(collection, after, up_to);
    for (looked_at, row) in view.scan(Space::Feed, &from, &to, Direction::Forward).enumerate() {
        let (key, value): Row = row?;
        if batch.len() >= 2 * PURGE_BATCH || looked_at >= PURGE_SCAN {
            step.more_after = Some(Etag(keys::feed_etag(&key)?.0 - 1));
            break;
        }
        let (kind, id) = rows::parse_feed(&value)?;
        if kind != FeedKind::Tombstone {
            continue;
        }
        batch.delete(Space::Feed, key);
        if let Some(row) = view.get(Space::Documents, keys::document(&id))? {
            let mut tombstones = rows::head(&row)?.tombstones;
            tombstones.retain(|one| *one.collection != *collection);
            match rows::with_tombstones(&row, &tombstones)? {
                Some(changed) => batch.put(Space::Documents, keys::document(&id), changed),
                None => batch.delete(Space::Documents, keys::document(&id)),
            }
        }
        step.purged += 1;
    }
    if let Some(row) = committed.collections.get_mut(collection).filter(|_| step.purged > 0) {
        row.tombstones = row.tombstones.saturating_sub(step.purged);
        batch.put(Space::Meta, keys::collection(collection), CollectionRow::encode(row));
    }
    Ok((batch, step))
}
