//! The read side: documents, collections and the change feed in one consistent state.

use crate::change_feed::{CollectionFilter, Merge};
use crate::document::{Collection, Document, DocumentId, Etag, lower_case};
use crate::document_reader::DocumentReader;
use crate::error::StoreError;
use crate::keys;
use crate::kv::{Direction, KvError, Rows, Space, View};
use crate::rows::{self, CollectionRow};

/// Documents as they are read, one after the other. After an `Err` it ends or goes on with the next document.
pub(crate) type Documents<'a> = Box<dyn Iterator<Item = Result<Document, StoreError>> + 'a>;

/// One consistent state of a database. Later writes do not show in it; it costs little while it is not kept long.
pub struct DatabaseView<'a> {
    kv: Box<dyn View + 'a>,
    database_id: &'a str,
    last_etag: Etag,
}

/// Rows of one state, but those of indexes of another.
struct Overlay<'a> {
    documents: &'a dyn View,
    index_rows: Box<dyn View + 'a>,
}

impl Overlay<'_> {
    fn of(&self, space: Space) -> &dyn View {
        if space == Space::Index { self.index_rows.as_ref() } else { self.documents }
    }
}

impl View for Overlay<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.of(space).get(space, key)
    }

    fn scan<'a>(&'a self, space: Space, from: &[u8], to: &[u8], direction: Direction) -> Rows<'a> {
        self.of(space).scan(space, from, to, direction)
    }
}

/// A collection in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionStats {
    /// The collection, as its first document spelt it.
    pub collection: Collection,
    /// How many live documents it has.
    pub documents: u64,
    /// How many tombstones stand in its feed.
    pub tombstones: u64,
    /// The newest row of its feed, tombstones included; 0 when the feed is empty.
    pub last_etag: Etag,
}

impl<'a> DatabaseView<'a> {
    pub(crate) fn new(kv: Box<dyn View + 'a>, database_id: &'a str, last_etag: Etag) -> Self {
        Self { kv, database_id, last_etag }
    }

    /// The same state with the rows of [`Space::Index`] from elsewhere: for trying an index without writing any.
    #[must_use]
    pub fn with_index_rows<'b>(&'b self, rows: Box<dyn View + 'b>) -> DatabaseView<'b> {
        let kv = Box::new(Overlay { documents: self.kv.as_ref(), index_rows: rows });
        DatabaseView { kv, database_id: self.database_id, last_etag: self.last_etag }
    }

    /// The rows themselves, for the crates that keep rows of their own.
    #[must_use]
    pub fn kv(&self) -> &dyn View {
        self.kv.as_ref()
    }

    /// The database's id, the tail of its change vectors.
    #[must_use]
    pub fn database_id(&self) -> &str {
        self.database_id
    }

    /// The newest etag in this view.
    #[must_use]
    pub fn last_etag(&self) -> Etag {
        self.last_etag
    }

    /// A document by its id; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn document(&self, id: &DocumentId) -> Result<Option<Document>, StoreError> {
        let row = self.kv.get(Space::Documents, keys::document(id))?;
        row.map_or(Ok(None), |row| rows::live_document(&row))
    }

    /// A reader of many documents, one after the other.
    #[must_use]
    pub fn reader(&self) -> DocumentReader<'_> {
        DocumentReader::new(self.kv.as_ref())
    }

    /// How many attachments documents have, and how many distinct contents those are.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn attachment_counts(&self) -> Result<(u64, u64), StoreError> {
        let row = self.kv.get(Space::Meta, keys::ATTACHMENTS)?;
        row.map_or(Ok((0, 0)), |row| rows::parse_pair("attachments", &row))
    }

    /// All collections that ever had a document, ordered by lower-cased name; `@hilo` and `@empty` included.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn collections(&self) -> Result<Vec<CollectionStats>, StoreError> {
        let (from, to) = keys::collections();
        let rows = self.kv.scan(Space::Meta, &from, &to, Direction::Forward);
        rows.map(|row| {
            let row = CollectionRow::decode(&row?.1)?;
            let collection = Collection::from_stored(&row.name);
            let last_etag = self.last_feed_etag(&collection)?;
            Ok(CollectionStats {
                collection,
                documents: row.documents,
                tombstones: row.tombstones,
                last_etag,
            })
        })
        .collect()
    }

    /// The newest feed row of the filter's collections, tombstones included; 0 when there is none.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn last_etag_of(&self, filter: &CollectionFilter) -> Result<Etag, StoreError> {
        let mut last = Etag(0);
        for collection in self.collections_of(filter)? {
            last = last.max(self.last_feed_etag(&collection)?);
        }
        Ok(last)
    }

    /// The live documents of the filter's collections with an etag above `after`, oldest write first.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`], here and for each document.
    pub fn documents_in_etag_order(
        &self,
        filter: &CollectionFilter,
        after: Etag,
    ) -> Result<Documents<'_>, StoreError> {
        self.documents_of(self.feed(filter, after, Direction::Forward)?)
    }

    /// The live documents of the filter's collections, newest write first.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`], here and for each document.
    pub fn documents_newest_first(&self, filter: &CollectionFilter) -> Result<Documents<'_>, StoreError> {
        self.documents_of(self.feed(filter, Etag(0), Direction::Reverse)?)
    }

    /// The documents whose id begins with `prefix`, in the order of their lower-cased ids (bytewise), after
    /// `after_id` if it is given. Both are compared without case; `after_id` need not exist.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`], here and for each document.
    pub fn documents_by_prefix(
        &self,
        prefix: &str,
        after_id: Option<&str>,
    ) -> Result<Documents<'_>, StoreError> {
        let after_id = after_id.map(lower_case);
        let (from, to) = keys::documents(&lower_case(prefix), after_id.as_deref());
        let rows = self.kv.scan(Space::Documents, &from, &to, Direction::Forward);
        let documents = rows.map(|row| rows::live_document(&row?.1));
        Ok(Box::new(documents.filter_map(Result::transpose)))
    }

    fn documents_of<'v>(&'v self, changes: Merge<'v>) -> Result<Documents<'v>, StoreError> {
        let live = changes.filter(|change| !matches!(change, Ok(change) if change.tombstone));
        Ok(Box::new(live.map(|change| {
            let change = change?;
            self.document(&change.id)?.ok_or_else(|| {
                StoreError::Corrupt(format!("the feed names document '{}', which has no row", change.id))
            })
        })))
    }

    fn last_feed_etag(&self, collection: &Collection) -> Result<Etag, StoreError> {
        let (from, to) = keys::feed_range(collection.key(), Etag(0), Etag(u64::MAX));
        match self.kv.scan(Space::Feed, &from, &to, Direction::Reverse).next() {
            Some(row) => keys::feed_etag(&row?.0),
            None => Ok(Etag(0)),
        }
    }

    /// The filter's collections as the registry spells them, each once.
    pub(crate) fn collections_of(&self, filter: &CollectionFilter) -> Result<Vec<Collection>, StoreError> {
        match filter {
            CollectionFilter::All => {
                let (from, to) = keys::collections();
                let rows = self.kv.scan(Space::Meta, &from, &to, Direction::Forward);
                let all = rows.map(|row| Ok(Collection::from_stored(&CollectionRow::decode(&row?.1)?.name)));
                all.filter(|one| !matches!(one, Ok(one) if one.key() == CollectionFilter::HILO)).collect()
            }
            CollectionFilter::Named(names) => {
                let mut known: Vec<Collection> = Vec::with_capacity(names.len());
                for name in names {
                    if known.contains(name) {
                        continue;
                    }
                    let row = self.kv.get(Space::Meta, &keys::collection(name.key()))?;
                    known.push(match row {
                        Some(row) => Collection::from_stored(&CollectionRow::decode(&row)?.name),
                        None => name.clone(),
                    });
                }
                Ok(known)
            }
        }
    }
}
