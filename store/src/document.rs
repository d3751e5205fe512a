//! Documents and the newtypes around them: ids, collections, etags, change vectors.

use crate::error::StoreError;
use crate::json::{Json, Object};
use crate::limits;
use crate::timestamp::Timestamp;
use std::fmt;

/// Lower case character by character, so that the lower case of a prefix is a prefix of the lower case.
/// (`str::to_lowercase` treats a sigma at the end of a word differently.)
pub(crate) fn lower_case(text: &str) -> Box<str> {
    if text.is_ascii() {
        return text.to_ascii_lowercase().into();
    }
    text.chars().flat_map(char::to_lowercase).collect()
}

/// A document's id: compared by its lower-cased form, printed as it was given. 1..=512 bytes, no control characters.
#[derive(Debug, Clone)]
pub struct DocumentId {
    original: Box<str>,
    key: Box<str>,
}

impl DocumentId {
    /// Checks and takes an id.
    ///
    /// # Errors
    /// [`StoreError::InvalidId`] when it is empty, longer than [`limits::DOCUMENT_ID_BYTES_MAX`], or holds a control
    /// character.
    pub fn new(id: &str) -> Result<Self, StoreError> {
        let reason = if id.is_empty() {
            "it is empty"
        } else if id.len() > limits::DOCUMENT_ID_BYTES_MAX {
            "it is longer than 512 bytes"
        } else if id.chars().any(char::is_control) {
            "it holds a control character"
        } else {
            return Ok(Self { original: id.into(), key: lower_case(id) });
        };
        Err(StoreError::InvalidId { id: id.chars().take(100).collect(), reason })
    }

    /// An id that passed the checks when it was written.
    pub(crate) fn from_stored(original: &str) -> Self {
        Self { original: original.into(), key: lower_case(original) }
    }

    /// The beginning that the keys of all ids with this beginning have.
    #[must_use]
    pub fn prefix_key(prefix: &str) -> Box<str> {
        lower_case(prefix)
    }

    /// The id as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.original
    }

    /// The lower-cased form that identifies the document and orders ids (bytewise).
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl PartialEq for DocumentId {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for DocumentId {}
impl std::hash::Hash for DocumentId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}
impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.original)
    }
}

/// A collection's name: compared case-insensitively, printed as the first document spelt it.
#[derive(Debug, Clone)]
pub struct Collection {
    original: Box<str>,
    key: Box<str>,
}

impl Collection {
    /// The collection of documents without `@collection`.
    pub const EMPTY: &'static str = "@empty";

    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`StoreError::InvalidCollection`] when it is empty, longer than [`limits::COLLECTION_BYTES_MAX`], or holds a
    /// control character.
    pub fn new(name: &str) -> Result<Self, StoreError> {
        if name.is_empty() || name.len() > limits::COLLECTION_BYTES_MAX || name.chars().any(char::is_control)
        {
            return Err(StoreError::InvalidCollection { name: name.chars().take(100).collect() });
        }
        Ok(Self::from_stored(name))
    }

    /// The collection of documents that name none.
    #[must_use]
    pub fn empty() -> Self {
        Self { original: Self::EMPTY.into(), key: Self::EMPTY.into() }
    }

    /// A name that passed the checks when it was written.
    pub(crate) fn from_stored(original: &str) -> Self {
        Self { original: original.into(), key: lower_case(original) }
    }

    /// The name as it was first spelt.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.original
    }

    /// The lower-cased form that identifies the collection.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl PartialEq for Collection {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for Collection {}
impl std::hash::Hash for Collection {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}
impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.original)
    }
}

/// A place in the database-wide sequence of writes; the first write has 1, 0 means "before all".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Etag(pub u64);

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The public form of a document's etag: `A:{etag}-{database id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChangeVector(Box<str>);

impl ChangeVector {
    /// The change vector of a write in the database with this id.
    #[must_use]
    pub fn new(etag: Etag, database_id: &str) -> Self {
        Self(format!("A:{etag}-{database_id}").into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChangeVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The flag of documents that an index made.
const ARTIFICIAL: &str = "Artificial";

/// A stored document. Body and metadata are kept as compact JSON text, so that reading back costs no parsing.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its id, in the spelling of its last write.
    pub id: DocumentId,
    /// Its collection (`@empty` when its metadata names none).
    pub collection: Collection,
    /// The etag of its last write.
    pub etag: Etag,
    /// When it was last written.
    pub last_modified: Timestamp,
    /// The JSON object without `@metadata`, compact.
    pub body: Box<str>,
    /// The metadata the client sent, compact, without `@id`, `@change-vector` and `@last-modified`.
    pub metadata: Box<str>,
}

/// Appends an object's text without its closing brace, ready for another pair.
fn open_object(text: &str, out: &mut Vec<u8>) {
    let open = text.strip_suffix('}').unwrap_or("{");
    out.extend_from_slice(open.as_bytes());
    if open.len() > 1 {
        out.push(b',');
    }
}

impl Document {
    /// The body parsed; key order and digits as written.
    #[must_use]
    pub fn body_json(&self) -> Object {
        crate::json::parse_stored_object(&self.body)
    }

    /// The client's metadata parsed (with `@collection` if it was sent).
    #[must_use]
    pub fn metadata_json(&self) -> Object {
        crate::json::parse_stored_object(&self.metadata)
    }

    /// Whether an index made it of its results: its `@flags` hold `Artificial`.
    #[must_use]
    pub fn is_artificial(&self) -> bool {
        // Most documents are told apart without parsing.
        self.metadata.contains(ARTIFICIAL)
            && self
                .metadata_json()
                .get("@flags")
                .and_then(Json::as_str)
                .is_some_and(|flags| flags.split(',').any(|flag| flag.trim() == ARTIFICIAL))
    }

    /// The full `@metadata` of the wire: the client's keys, then `@change-vector`, `@id`, `@last-modified`.
    #[must_use]
    pub fn wire_metadata(&self, database_id: &str) -> Object {
        let mut metadata = self.metadata_json();
        metadata.insert("@change-vector", ChangeVector::new(self.etag, database_id).as_str());
        metadata.insert("@id", self.id.as_str());
        metadata.insert("@last-modified", self.last_modified.to_string());
        metadata
    }

    /// Appends [`Self::wire_json`] as text, put together from the stored texts without parsing them: its fields (left out
    /// with `metadata_only`), then `@metadata`.
    pub fn write_wire(&self, database_id: &str, metadata_only: bool, out: &mut Vec<u8>) {
        if metadata_only {
            out.push(b'{');
        } else {
            open_object(&self.body, out);
        }
        out.extend_from_slice(b"\"@metadata\":");
        open_object(&self.metadata, out);
        // The stored metadata has none of these, so nobody has to look for duplicates.
        let change_vector = ChangeVector::new(self.etag, database_id);
        for (before, value) in [
            ("\"@change-vector\":", change_vector.as_str()),
            (",\"@id\":", self.id.as_str()),
            (",\"@last-modified\":", &self.last_modified.to_string()),
        ] {
            out.extend_from_slice(before.as_bytes());
            crate::json::write_string(value, out);
        }
        out.extend_from_slice(b"}}");
    }

    /// The document as clients see it: its fields, then `@metadata`.
    #[must_use]
    pub fn wire_json(&self, database_id: &str) -> Json {
        let mut body = self.body_json();
        body.insert("@metadata", Json::Object(self.wire_metadata(database_id)));
        Json::Object(body)
    }
}
