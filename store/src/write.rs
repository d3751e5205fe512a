//! How commands become rows: the requests of one group commit, turned into one batch.
//!
//! A request works on a layer of its own over what earlier requests of the group did, which lies over the last
//! commit. A request that fails drops its layer, and with it every trace (except identity numbers it was given,
//! which stay used up). Etags are given here, in order and without gaps.
//!
//! Each collection's feed holds each live document and each tombstone exactly once. A write therefore removes the
//! feed row that it makes obsolete: the document's last one, or the tombstone it left in the same collection.
//! A tombstone in another collection stays, as that collection's indexes have still to learn about it.

mod attachments;
mod counters;

use crate::attachments::{Attachment, ContentHash};
use crate::command::{Command, NewDocument, Outcome};
use crate::compare_exchange;
use crate::document::{ChangeVector, Collection, Document, DocumentId, Etag, lower_case};
use crate::error::StoreError;
use crate::identities;
use crate::json::Json;
use crate::kept;
use crate::keys;
use crate::kv::{Batch, Direction, Space, View};
use crate::limits;
use crate::lists::Lists;
use crate::rows::{self, CollectionRow, ContentRow, CounterRow, FeedKind, Head, LiveHead, Tombstone};
use crate::timestamp::Timestamp;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

/// What the last commit left, as far as every write needs it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Committed {
    /// The last etag given.
    pub last_etag: Etag,
    /// The registry, by lower-cased name.
    pub collections: HashMap<Box<str>, CollectionRow>,
    /// How many attachments documents have, and how many contents they name.
    pub attachments: (u64, u64),
    /// How many documents have counters, and how many counters there are.
    pub counters: (u64, u64),
    /// The last ids of the beginnings that were written to.
    pub ends: Ends,
}

/// For beginnings of ids (lower-cased, up to the first slash) an id that no row with that beginning lies behind. Who
/// writes in the order of the ids, as events mostly are, is spared looking for what cannot be there.
pub(crate) type Ends = HashMap<Box<str>, Box<str>>;

/// What writes have changed since some earlier state.
#[derive(Default)]
pub(crate) struct Layer {
    last_etag: Etag,
    documents: HashMap<Box<str>, Head>,
    ends: Ends,
    collections: HashMap<Box<str>, CollectionRow>,
    identities: HashMap<Box<str>, u64>,
    /// The rows of bytes that changed; `None` for those that are gone.
    contents: HashMap<ContentHash, Option<ContentRow>>,
    attachments: PairChange,
    /// The rows of counters that changed, by their keys; `None` for those that are gone.
    counters: HashMap<Vec<u8>, Option<CounterRow>>,
    counter_counts: PairChange,
    /// Whether a document was written or deleted.
    has_documents: bool,
    /// The indexes of compare-exchange values; 0 for deleted ones.
    exchanges: HashMap<Box<str>, u64>,
    /// The last of those indexes that was given.
    exchange_index: Option<u64>,
}

/// How two numbers change that are kept together: of attachments, those of documents and the contents that they name; of
/// counters, the documents that have any and the counters.
#[derive(Debug, Clone, Copy, Default)]
struct PairChange {
    first: i64,
    second: i64,
}

impl PairChange {
    fn of(self, (first, second): (u64, u64)) -> (u64, u64) {
        (first.saturating_add_signed(self.first), second.saturating_add_signed(self.second))
    }

    fn add(&mut self, other: Self) {
        self.first += other.first;
        self.second += other.second;
    }
}

impl Layer {
    fn after(etag: Etag) -> Self {
        Self { last_etag: etag, ..Self::default() }
    }

    /// Whether a document was written or deleted, so that feeds have something new.
    pub(crate) fn has_documents(&self) -> bool {
        self.has_documents
    }

    /// Makes its changes part of the committed state.
    pub(crate) fn settle(self, committed: &mut Committed) {
        committed.last_etag = self.last_etag;
        committed.collections.extend(self.collections);
        committed.attachments = self.attachments.of(committed.attachments);
        committed.counters = self.counter_counts.of(committed.counters);
        committed.ends.extend(self.ends);
    }
}

/// The requests of one group commit.
pub(crate) struct Group<'a> {
    view: &'a dyn View,
    database_id: &'a str,
    committed: &'a Committed,
    layer: Layer,
    batch: Batch,
    /// How many last ids were read for this group. Once there are too many it must stay so: what a group writes without
    /// knowing the last id is not in `view`.
    ends_read: Cell<usize>,
}

impl<'a> Group<'a> {
    /// An empty group over the last commit, whose rows `view` shows.
    pub(crate) fn new(view: &'a dyn View, database_id: &'a str, committed: &'a Committed) -> Self {
        let layer = Layer::after(committed.last_etag);
        Self { view, database_id, committed, layer, batch: Batch::new(), ends_read: Cell::new(0) }
    }

    /// Runs one request: all of it, or nothing.
    pub(crate) fn run(&mut self, commands: Vec<Command>, now: Timestamp) -> Result<Vec<Outcome>, StoreError> {
        let mut request =
            Request { group: self, layer: Layer::after(self.layer.last_etag), batch: Batch::new() };
        let outcomes: Result<Vec<Outcome>, StoreError> =
            commands.into_iter().map(|command| request.run(command, now)).collect();
        let Request { layer, batch, .. } = request;
        self.layer.identities.extend(layer.identities);
        if outcomes.is_ok() {
            self.layer.last_etag = layer.last_etag;
            if self.layer.documents.is_empty() {
                self.layer.documents = layer.documents;
            } else {
                self.layer.documents.extend(layer.documents);
            }
            self.layer.ends.extend(layer.ends);
            self.layer.collections.extend(layer.collections);
            self.layer.contents.extend(layer.contents);
            self.layer.attachments.add(layer.attachments);
            self.layer.counters.extend(layer.counters);
            self.layer.counter_counts.add(layer.counter_counts);
            self.layer.has_documents |= layer.has_documents;
            self.layer.exchanges.extend(layer.exchanges);
            self.layer.exchange_index = layer.exchange_index.or(self.layer.exchange_index);
            self.batch.append(batch);
        }
        outcomes
    }

    /// The last id that has a row in the last commit and begins so and with a slash; empty when there is none.
    fn last_id(&self, beginning: &str) -> Result<Box<str>, StoreError> {
        self.ends_read.set(self.ends_read.get() + 1);
        let (from, to) = keys::documents(&format!("{beginning}/"), None);
        match self.view.scan(Space::Documents, &from, &to, Direction::Reverse).next() {
            Some(row) => Ok(keys::document_of(&row?.0)?.into()),
            None => Ok(Box::default()),
        }
    }

    /// The batch to commit, and what has changed once it is.
    pub(crate) fn finish(mut self) -> (Batch, Layer) {
        for (key, row) in sorted(&self.layer.collections) {
            self.batch.put(Space::Meta, keys::collection(key), row.encode());
        }
        for (name, value) in sorted(&self.layer.identities) {
            self.batch.put(Space::Meta, keys::identity(name), rows::counter(*value));
        }
        let pairs = [
            (keys::ATTACHMENTS, self.layer.attachments, self.committed.attachments),
            (keys::COUNTERS, self.layer.counter_counts, self.committed.counters),
        ];
        for (key, change, before) in pairs {
            let (first, second) = change.of(before);
            if (first, second) != before {
                self.batch.put(Space::Meta, key, rows::pair(first, second));
            }
        }
        if let Some(index) = self.layer.exchange_index {
            self.batch.put(Space::Meta, keys::COMPARE_EXCHANGE_INDEX, rows::counter(index));
        }
        if self.layer.last_etag != self.committed.last_etag {
            self.batch.put(Space::Meta, keys::LAST_ETAG, rows::counter(self.layer.last_etag.0));
        }
        (self.batch, self.layer)
    }
}

/// The same requests give the same batch, whatever order a hash map has.
fn sorted<V>(map: &HashMap<Box<str>, V>) -> Vec<(&str, &V)> {
    let mut pairs: Vec<(&str, &V)> = map.iter().map(|(key, value)| (&**key, value)).collect();
    pairs.sort_unstable_by_key(|(key, _)| *key);
    pairs
}

/// One request in the making.
struct Request<'g, 'a> {
    group: &'g Group<'a>,
    layer: Layer,
    batch: Batch,
}

impl Request<'_, '_> {
    fn run(&mut self, command: Command, now: Timestamp) -> Result<Outcome, StoreError> {
        match command {
            Command::Put { id, document, expected } => self.put(&id, &document, expected.as_deref(), now),
            Command::Delete { id, expected } => self.delete(id, expected.as_deref()),
            Command::DeletePrefix { prefix } => self.delete_prefix(prefix),
            Command::PutAttachment { id, name, content_type, content, expected } => {
                self.put_attachment(&id, (name, content_type, &content), expected.as_deref(), now)
            }
            Command::DeleteAttachment { id, name, expected } => {
                self.delete_attachment(id, name, expected.as_deref(), now)
            }
            Command::CopyAttachment { from, to, expected, is_move } => {
                self.copy_attachment(from, to, expected.as_deref(), is_move, now)
            }
            Command::Counters { id, operations } => self.change_counters(id, operations, Some(now)),
            Command::ImportCounters { id, counters } => self.import_counters(id, counters),
            Command::CheckCounter { id, name, expected } => self.check_counter(id, name, expected),
            Command::Import { id, document, attachments } => self.import(&id, &document, attachments, now),
            Command::StageContent { content } => self.stage(&content),
            Command::Check { id, expected } => {
                let id = DocumentId::new(&id)?;
                self.check_expected(&id, Some(&expected), self.head(&id)?.live.as_ref(), false)?;
                Ok(Outcome::Checked)
            }
            Command::PutCompareExchange { key, value, expected } => {
                self.exchange(&key, Some(&value), expected)
            }
            Command::DeleteCompareExchange { key, expected } => self.exchange(&key, None, expected),
            Command::Keep(item) => kept::keep(item, &mut self.batch),
        }
    }

    fn put(
        &mut self,
        requested: &str,
        document: &NewDocument,
        expected: Option<&str>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        self.put_with(requested, document, expected, None, now)
    }

    /// Puts a document with these attachments, or with those that it has already.
    fn put_with(
        &mut self,
        requested: &str,
        document: &NewDocument,
        expected: Option<&str>,
        attachments: Option<Vec<Attachment>>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let etag = Etag(self.layer.last_etag.0 + 1);
        let generated = self.generated_id(requested, etag)?;
        let expected = if generated.is_some() { Some(expected.unwrap_or("")) } else { expected };
        let id = DocumentId::new(generated.as_deref().unwrap_or(requested))?;
        let mut head = if self.is_behind_all(&id)? { Head::default() } else { self.head(&id)? };
        self.check_expected(&id, expected, head.live.as_ref(), false)?;
        let feed_kind = if head == Head::default() { FeedKind::First } else { FeedKind::Live };
        let collection = document.collection.key();
        let mut row = self.collection(&document.collection);
        match &head.live {
            Some(live) if *lower_case(&live.collection) == *collection => {
                self.batch.delete(Space::Feed, keys::feed(collection, live.etag));
            }
            Some(live) => {
                return Err(StoreError::CollectionMismatch {
                    id: id.as_str().to_owned(),
                    from: live.collection.to_string(),
                    to: document.collection.as_str().to_owned(),
                });
            }
            None => {
                row.documents += 1;
                if let Some(at) = head.tombstones.iter().position(|t| *t.collection == *collection) {
                    let obsolete = head.tombstones.remove(at);
                    self.batch.delete(Space::Feed, keys::feed(collection, obsolete.etag));
                    row.tombstones = row.tombstones.saturating_sub(1);
                }
            }
        }
        let last_modified = document.last_modified.unwrap_or(now);
        let mut lists = head.live.take().map(|live| live.lists).unwrap_or_default();
        if let Some(attachments) = attachments {
            lists.attachments = attachments;
        }
        let listed = (!lists.is_empty()).then(|| lists.in_metadata(&document.metadata));
        let live = rows::Live {
            etag,
            last_modified,
            id: id.as_str(),
            collection: &row.name,
            metadata: listed.as_deref().unwrap_or(&document.metadata),
            body: &document.body,
            lists: &lists,
        };
        self.batch.put(Space::Documents, keys::document(&id), rows::document(&head.tombstones, Some(&live)));
        self.batch.put(Space::Feed, keys::feed(collection, etag), rows::feed(feed_kind, id.as_str()));
        let collection_name = row.name.clone();
        head.live = Some(LiveHead { etag, id: id.as_str().into(), collection: collection_name, lists });
        self.layer.last_etag = etag;
        self.layer.has_documents = true;
        self.layer.documents.insert(id.key().into(), head);
        let spelt = Collection::from_stored(&row.name);
        self.set_collection(collection, row);
        let has_collection_key = document.has_collection_key;
        Ok(Outcome::Put { id, collection: spelt, has_collection_key, etag, last_modified })
    }

    /// The full id for one that asks to be completed.
    fn generated_id(&mut self, requested: &str, etag: Etag) -> Result<Option<String>, StoreError> {
        if requested.ends_with('/') {
            return Ok(Some(format!("{requested}{:019}-A", etag.0)));
        }
        let Some(prefix) = requested.strip_suffix('|') else { return Ok(None) };
        let name = identities::name(requested)?;
        let last = match self.layer.identities.get(&*name).or_else(|| self.group.layer.identities.get(&*name))
        {
            Some(last) => *last,
            None => identities::last(self.group.view, &name)?,
        };
        let value = identities::next(requested, last)?;
        self.layer.identities.insert(name, value);
        Ok(Some(format!("{prefix}/{value}")))
    }

    fn delete(&mut self, requested: String, expected: Option<&str>) -> Result<Outcome, StoreError> {
        let id = DocumentId::new(&requested)?;
        let head = self.head(&id)?;
        self.check_expected(&id, expected, head.live.as_ref(), true)?;
        let etag = self.bury(id.key(), head)?;
        Ok(Outcome::Deleted { id: requested, etag })
    }

    fn delete_prefix(&mut self, prefix: String) -> Result<Outcome, StoreError> {
        let key = lower_case(&prefix);
        let mut heads = BTreeMap::new();
        let (from, to) = keys::documents(&key, None);
        for row in self.group.view.scan(Space::Documents, &from, &to, Direction::Forward) {
            let (id, value) = row?;
            heads.insert(Box::<str>::from(keys::document_of(&id)?), rows::head(&value)?);
        }
        for layer in [&self.group.layer, &self.layer] {
            let begins = layer.documents.iter().filter(|(id, _)| id.starts_with(&*key));
            heads.extend(begins.map(|(id, head)| (id.clone(), head.clone())));
        }
        let mut count = 0;
        for (id, head) in heads {
            if self.bury(&id, head)?.is_some() {
                count += 1;
            }
        }
        Ok(Outcome::PrefixDeleted { prefix, count })
    }

    /// Replaces a live document by a tombstone; `None` when it was not alive.
    fn bury(&mut self, key: &str, mut head: Head) -> Result<Option<Etag>, StoreError> {
        let Some(live) = head.live.take() else { return Ok(None) };
        self.release(&live.lists.attachments)?;
        self.remove_counters(key, &live.lists.counters);
        let etag = Etag(self.layer.last_etag.0 + 1);
        let collection = Collection::from_stored(&live.collection);
        self.batch.delete(Space::Feed, keys::feed(collection.key(), live.etag));
        self.batch.put(
            Space::Feed,
            keys::feed(collection.key(), etag),
            rows::feed(FeedKind::Tombstone, &live.id),
        );
        head.tombstones.push(Tombstone { collection: collection.key().into(), etag });
        self.batch.put(Space::Documents, key.as_bytes(), rows::document(&head.tombstones, None));
        let mut row = self.collection(&collection);
        row.documents = row.documents.saturating_sub(1);
        row.tombstones += 1;
        self.set_collection(collection.key(), row);
        self.layer.last_etag = etag;
        self.layer.has_documents = true;
        self.layer.documents.insert(key.into(), head);
        Ok(Some(etag))
    }

    /// Sets or deletes a compare-exchange value.
    fn exchange(
        &mut self,
        requested: &str,
        value: Option<&Json>,
        expected: Option<u64>,
    ) -> Result<Outcome, StoreError> {
        let key = compare_exchange::checked(requested)?;
        let known = self.layer.exchanges.get(&key).or_else(|| self.group.layer.exchanges.get(&key));
        let actual = match known {
            Some(index) => *index,
            None => compare_exchange::read(self.group.view, &key)?.map_or(0, |current| current.index),
        };
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(StoreError::ExchangeConflict { key: key.into(), expected, actual });
        }
        let row = keys::compare_exchange(&key);
        let text = match value {
            Some(value) => Some(compare_exchange::encoded(&key, value)?),
            None if actual == 0 => return Ok(Outcome::CompareExchanged { key: key.into(), index: 0 }),
            None => None,
        };
        let index = self.next_exchange_index()?;
        match text {
            Some(text) => self.batch.put(Space::Meta, row, [index.to_be_bytes().as_slice(), &text].concat()),
            None => self.batch.delete(Space::Meta, row),
        }
        let is_there = value.is_some();
        self.layer.exchanges.insert(key.clone(), if is_there { index } else { 0 });
        Ok(Outcome::CompareExchanged { key: key.into(), index })
    }

    fn next_exchange_index(&mut self) -> Result<u64, StoreError> {
        let last = match self.layer.exchange_index.or(self.group.layer.exchange_index) {
            Some(last) => last,
            None => match self.group.view.get(Space::Meta, keys::COMPARE_EXCHANGE_INDEX)? {
                Some(row) => rows::parse_counter(&row)?,
                None => compare_exchange::INDEX_BEFORE_FIRST,
            },
        };
        self.layer.exchange_index = Some(last + 1);
        Ok(last + 1)
    }

    /// Whether an id that is about to be written lies behind all with its beginning, so that there is no row of it. From
    /// then on it is the last of them.
    fn is_behind_all(&mut self, id: &DocumentId) -> Result<bool, StoreError> {
        let Some((beginning, _)) = id.key().split_once('/') else { return Ok(false) };
        if !self.layer.ends.contains_key(beginning) {
            let known = [&self.group.layer.ends, &self.group.committed.ends];
            let end = match known.into_iter().find_map(|ends| ends.get(beginning)) {
                Some(end) => end.clone(),
                // Of more beginnings than that nothing is known.
                None if self.group.ends_read.get() + self.group.committed.ends.len()
                    >= limits::ID_ENDS_MAX =>
                {
                    return Ok(false);
                }
                None => self.group.last_id(beginning)?,
            };
            self.layer.ends.insert(beginning.into(), end);
        }
        let Some(end) = self.layer.ends.get_mut(beginning).filter(|end| id.key() > &***end) else {
            return Ok(false);
        };
        *end = id.key().into();
        Ok(true)
    }

    fn head(&self, id: &DocumentId) -> Result<Head, StoreError> {
        let written = self.layer.documents.get(id.key()).or_else(|| self.group.layer.documents.get(id.key()));
        if let Some(head) = written {
            return Ok(head.clone());
        }
        match self.group.view.get(Space::Documents, keys::document(id))? {
            Some(row) => rows::head(&row),
            None => Ok(Head::default()),
        }
    }

    /// A document as the commands before this one leave it; `None` when there is none.
    fn stored(&self, id: &DocumentId, head: &Head) -> Result<Option<Document>, StoreError> {
        if head.live.is_none() {
            return Ok(None);
        }
        let key = keys::document(id);
        // Long batches are gone through only for what is in them.
        let batch = match [&self.layer, &self.group.layer].map(|layer| layer.documents.contains_key(id.key()))
        {
            [true, _] => &self.batch,
            [false, true] => &self.group.batch,
            [false, false] => {
                let row = self.group.view.get(Space::Documents, key)?;
                return row.map_or(Ok(None), |row| rows::live_document(&row));
            }
        };
        batch.last_put(Space::Documents, key).map_or(Ok(None), rows::live_document)
    }

    /// Writes a document again with other lists, under this etag and with this time.
    fn rewrite(
        &mut self,
        id: &DocumentId,
        head: Head,
        document: &Document,
        lists: Lists,
        (etag, now): (Etag, Timestamp),
    ) {
        let Some(LiveHead { etag: before, collection: name, .. }) = head.live else { return };
        let collection = Collection::from_stored(&name);
        self.batch.delete(Space::Feed, keys::feed(collection.key(), before));
        let live = rows::Live {
            etag,
            last_modified: now,
            id: document.id.as_str(),
            collection: &name,
            metadata: &lists.in_metadata(&document.metadata),
            body: &document.body,
            lists: &lists,
        };
        let row = rows::document(&head.tombstones, Some(&live));
        // A request that changes the lists again and again writes the document once.
        let key = keys::document(id);
        let was_written = self.layer.documents.contains_key(id.key());
        let row = if was_written { self.batch.replace_put(Space::Documents, key, row) } else { Some(row) };
        if let Some(row) = row {
            self.batch.put(Space::Documents, key, row);
        }
        let feed = rows::feed(FeedKind::Live, document.id.as_str());
        self.batch.put(Space::Feed, keys::feed(collection.key(), etag), feed);
        let live = LiveHead { etag, id: document.id.as_str().into(), collection: name, lists };
        self.layer.last_etag = etag;
        self.layer.has_documents = true;
        self.layer.documents.insert(id.key().into(), Head { live: Some(live), tombstones: head.tombstones });
    }

    fn collection(&self, collection: &Collection) -> CollectionRow {
        let key = collection.key();
        let layers =
            [&self.layer.collections, &self.group.layer.collections, &self.group.committed.collections];
        let known = layers.into_iter().find_map(|rows| rows.get(key));
        known.cloned().unwrap_or_else(|| CollectionRow::new(collection.as_str()))
    }

    fn set_collection(&mut self, key: &str, row: CollectionRow) {
        match self.layer.collections.get_mut(key) {
            Some(place) => *place = row,
            None => {
                self.layer.collections.insert(key.into(), row);
            }
        }
    }

    fn check_expected(
        &self,
        id: &DocumentId,
        expected: Option<&str>,
        live: Option<&LiveHead>,
        delete: bool,
    ) -> Result<(), StoreError> {
        let Some(expected) = expected else { return Ok(()) };
        let actual = live.map(|live| ChangeVector::new(live.etag, self.group.database_id));
        let fits = actual.as_ref().map_or("", ChangeVector::as_str) == expected;
        // A delete that expects nothing finds what it expects and yet is a fault, as in the original.
        if fits && !(delete && actual.is_none()) {
            return Ok(());
        }
        Err(StoreError::Conflict {
            id: id.as_str().to_owned(),
            expected: expected.to_owned(),
            actual: actual.map(|actual| actual.as_str().to_owned()),
            delete,
        })
    }
}
