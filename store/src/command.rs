//! What a writer asks for ([`Command`], [`NewDocument`]) and what it is told afterwards ([`Outcome`]).

use crate::attachments::{Attachment, Content, ContentHash};
use crate::counters::CounterOperation;
use crate::document::{Collection, DocumentId, Etag};
use crate::error::StoreError;
use crate::json::{self, DocumentText, Json, Object};
use crate::kept::KeptItem;
use crate::limits::{DOCUMENT_BYTES_MAX, JSON_DEPTH_MAX};
use crate::lists;
use crate::timestamp::Timestamp;

const METADATA: &str = "@metadata";
const COLLECTION: &str = "@collection";
/// Metadata that the store itself writes on the way out.
const OWN_METADATA: [&str; 3] = ["@id", "@change-vector", "@last-modified"];

/// A document checked and serialised, ready to be written.
#[derive(Debug, Clone)]
pub struct NewDocument {
    pub(crate) body: Box<str>,
    pub(crate) metadata: Box<str>,
    pub(crate) collection: Collection,
    pub(crate) has_collection_key: bool,
    pub(crate) last_modified: Option<Timestamp>,
}

impl NewDocument {
    /// Takes the JSON of a document. Its `@metadata` (optional) is kept apart from its fields; `@id`,
    /// `@change-vector` and `@last-modified` in it are dropped, as the store gives them anew; `@collection` names its
    /// collection, and without one (or with null) it belongs to [`Collection::EMPTY`]. `id` is for messages only.
    ///
    /// # Errors
    /// [`StoreError::InvalidDocument`] when it is not an object, its `@metadata` is not, `@collection` is not a
    /// string, or it nests deeper than [`JSON_DEPTH_MAX`]; [`StoreError::InvalidCollection`];
    /// [`StoreError::DocumentTooLarge`].
    pub fn from_json(id: &str, document: Json) -> Result<Self, StoreError> {
        // What nests deeper could be written, but not be read back.
        if is_deeper_than(&document, JSON_DEPTH_MAX) {
            return Err(invalid(
                id,
                format!("it nests deeper than {JSON_DEPTH_MAX} levels (json_depth_max)"),
            ));
        }
        Self::from_shallow_json(id, document)
    }

    /// Parses the text of a document, then like [`NewDocument::from_json`].
    ///
    /// # Errors
    /// [`StoreError::Json`] when it is not strict JSON (see [`json::parse`]), and those of
    /// [`NewDocument::from_json`].
    pub fn parse(id: &str, text: &[u8]) -> Result<Self, StoreError> {
        match DocumentText::parse(text)? {
            Some(text) => Self::from_text(id, text),
            None => Self::from_shallow_json(id, json::parse(text)?),
        }
    }

    /// Takes a document's text that was read before, then like [`NewDocument::from_json`].
    ///
    /// # Errors
    /// Those of [`NewDocument::from_json`].
    pub fn from_text(id: &str, text: DocumentText) -> Result<Self, StoreError> {
        let (body, metadata) = text.into_parts();
        Self::from_parts(id, body.into_boxed_str(), metadata)
    }

    /// The same document, said to be modified at `time` instead of the time of its write: an import keeps the
    /// times of the source.
    #[must_use]
    pub fn with_last_modified(mut self, time: Timestamp) -> Self {
        self.last_modified = Some(time);
        self
    }

    /// The collection it belongs to, as this document spells it.
    #[must_use]
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// Whether writing it would leave the fields, metadata and collection of this stored document as they are.
    #[must_use]
    pub fn is_content_of(&self, stored: &crate::Document) -> bool {
        let has_same_metadata = if lists::may_list(&stored.metadata) {
            self.metadata == lists::stripped(&stored.metadata)
        } else {
            self.metadata == stored.metadata
        };
        self.body == stored.body && has_same_metadata && self.collection == stored.collection
    }

    /// What reading it back would give if it were written under this id, with no etag yet.
    #[must_use]
    pub fn to_document(&self, id: DocumentId, now: Timestamp) -> crate::Document {
        crate::Document {
            id,
            collection: self.collection.clone(),
            etag: Etag::default(),
            last_modified: self.last_modified.unwrap_or(now),
            body: self.body.clone(),
            metadata: self.metadata.clone(),
        }
    }

    fn from_shallow_json(id: &str, document: Json) -> Result<Self, StoreError> {
        let mut body = match document {
            Json::Object(object) => object,
            other => {
                return Err(invalid(id, format!("it must be a JSON object, but it is {}", kind(&other))));
            }
        };
        let metadata = body.remove(METADATA);
        Self::from_parts(id, json::object_text(&body), metadata)
    }

    fn from_parts(id: &str, body: Box<str>, metadata: Option<Json>) -> Result<Self, StoreError> {
        let mut metadata = match metadata {
            None => Object::new(),
            Some(Json::Object(metadata)) => metadata,
            Some(other) => {
                return Err(invalid(
                    id,
                    format!("its @metadata must be an object, but it is {}", kind(&other)),
                ));
            }
        };
        for key in OWN_METADATA {
            metadata.remove(key);
        }
        lists::strip(&mut metadata);
        let named = match metadata.get(COLLECTION) {
            None | Some(Json::Null) => None,
            Some(Json::String(name)) => Some(Collection::new(name)?),
            Some(other) => {
                return Err(invalid(
                    id,
                    format!("its @collection must be a string, but it is {}", kind(other)),
                ));
            }
        };
        let metadata = json::object_text(&metadata);
        let bytes = body.len() + metadata.len();
        if bytes > DOCUMENT_BYTES_MAX {
            return Err(StoreError::DocumentTooLarge { id: id.to_owned(), bytes, limit: DOCUMENT_BYTES_MAX });
        }
        let has_collection_key = named.is_some();
        let collection = named.unwrap_or_else(Collection::empty);
        Ok(Self { body, metadata, collection, has_collection_key, last_modified: None })
    }
}

fn invalid(id: &str, reason: String) -> StoreError {
    StoreError::InvalidDocument { id: id.to_owned(), reason }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) | Json::ScriptNumber(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

fn is_deeper_than(value: &Json, levels: usize) -> bool {
    let inside = |child: &Json| levels == 0 || is_deeper_than(child, levels - 1);
    match value {
        Json::Array(items) => levels == 0 || items.iter().any(inside),
        Json::Object(object) => levels == 0 || object.iter().any(|(_, child)| inside(child)),
        _ => false,
    }
}

/// One requested write.
///
/// `expected` is a check against the document's current change vector: `None` checks nothing, `Some("")` demands
/// that there is no such document, anything else must be the current change vector.
#[derive(Debug, Clone)]
pub enum Command {
    /// Creates a document or replaces it.
    ///
    /// An id that ends with `/` gets the write's etag as 19 digits and `-A` behind it; one that ends with `|` gets
    /// `/` and the next number of that identity in its place (`users|` gives `users/1`). A document that already has
    /// such a made-up id is never overwritten: the request fails with [`StoreError::Conflict`]. An identity's number
    /// stays used up then, so trying again goes past the obstacle.
    Put {
        /// The id, or its beginning.
        id: String,
        /// The document.
        document: NewDocument,
        /// See [`Command`].
        expected: Option<String>,
    },
    /// Deletes a document. That there is none is not an error unless a change vector was expected.
    Delete {
        /// The id.
        id: String,
        /// See [`Command`].
        expected: Option<String>,
    },
    /// Deletes every document whose id begins with `prefix`, compared without case.
    DeletePrefix {
        /// The beginning of the ids; empty for all documents.
        prefix: String,
    },
    /// Gives a document an attachment, or other bytes to the one of that name. The document is written anew.
    PutAttachment {
        /// The document, which must exist.
        id: String,
        /// The attachment's name.
        name: String,
        /// Its media type; may be empty.
        content_type: String,
        /// Its bytes.
        content: Content,
        /// The change vector of the document; see [`Command`].
        expected: Option<String>,
    },
    /// Takes an attachment from a document. That there is none is not an error.
    DeleteAttachment {
        /// The document.
        id: String,
        /// The attachment's name.
        name: String,
        /// The change vector of the document; see [`Command`].
        expected: Option<String>,
    },
    /// Gives a document the attachment of another one, or of itself under another name.
    CopyAttachment {
        /// The document that has it, and the attachment's name.
        from: (String, String),
        /// The document that gets it, which must exist, and the name there.
        to: (String, String),
        /// The change vector of the document that has it; see [`Command`].
        expected: Option<String>,
        /// Whether it is taken from where it was.
        is_move: bool,
    },
    /// Changes and reads counters of a document, in order. The document, which must exist unless counters are only read,
    /// is written anew if a counter comes or goes.
    Counters {
        /// The document.
        id: String,
        /// What is done.
        operations: Vec<CounterOperation>,
    },
    /// Sets counters of a document of a dump; the document, which must exist, keeps its time.
    ImportCounters {
        /// The document.
        id: String,
        /// Names and values; counters of other names stay.
        counters: Vec<(String, i64)>,
    },
    /// Writes nothing, but fails the request with [`StoreError::CounterMoved`] when a counter has changed since it was
    /// read.
    CheckCounter {
        /// The document.
        id: String,
        /// The counter's name.
        name: String,
        /// The value it must have; `None` = there must be no such counter.
        expected: Option<i64>,
    },
    /// Creates or replaces a document of a dump, with its attachments, whose bytes were staged before.
    Import {
        /// The complete id.
        id: String,
        /// The document.
        document: NewDocument,
        /// The attachments to name; those that the document has besides stay.
        attachments: Vec<Attachment>,
    },
    /// Keeps bytes until a document names them, or [`crate::Database::remove_unused_contents`].
    StageContent {
        /// The bytes.
        content: Content,
    },
    /// Writes nothing, but fails the request when the document has changed since it was read: so a write that was made
    /// from other documents stands only while they are what they were.
    Check {
        /// The id.
        id: String,
        /// The change vector it must have; empty = there must be no such document.
        expected: String,
    },
    /// Sets a compare-exchange value together with the documents of the request.
    PutCompareExchange {
        /// The key.
        key: String,
        /// The value.
        value: Json,
        /// The index it must have, 0 = there must be none; `None` checks nothing.
        expected: Option<u64>,
    },
    /// Deletes a compare-exchange value together with the documents of the request. That there is none is not an error
    /// unless an index was expected.
    DeleteCompareExchange {
        /// The key.
        key: String,
        /// The index it must have; `None` checks nothing.
        expected: Option<u64>,
    },
    /// Keeps an item of a dump that nobody here works with.
    Keep(KeptItem),
}

impl Command {
    /// About how many bytes it adds to a batch.
    pub(crate) fn weight(&self) -> usize {
        const ROWS: usize = 128;
        match self {
            Self::Put { id, document, .. } => {
                ROWS + 2 * id.len() + document.body.len() + document.metadata.len()
            }
            Self::Delete { id, .. } => ROWS + 2 * id.len(),
            Self::DeletePrefix { prefix } => ROWS + prefix.len(),
            Self::PutAttachment { content, .. } | Self::StageContent { content } => {
                2 * ROWS + content.bytes.len()
            }
            Self::DeleteAttachment { .. } | Self::CopyAttachment { .. } => 4 * ROWS,
            Self::Import { document, attachments, .. } => {
                ROWS * (2 + attachments.len()) + document.body.len() + document.metadata.len()
            }
            Self::Counters { id, operations } => {
                // Each may be a new name, which the document then lists.
                let one = |operation: &CounterOperation| ROWS + id.len() + 3 * operation.name.len();
                ROWS + operations.iter().map(one).sum::<usize>()
            }
            Self::ImportCounters { id, counters } => {
                let one = |(name, _): &(String, i64)| ROWS + id.len() + 3 * name.len();
                ROWS + counters.iter().map(one).sum::<usize>()
            }
            Self::CheckCounter { id, name, .. } => id.len() + name.len(),
            Self::Check { id, .. } => id.len(),
            Self::PutCompareExchange { key, value, .. } => ROWS + key.len() + value.to_string().len(),
            Self::DeleteCompareExchange { key, .. } => ROWS + key.len(),
            Self::Keep(item) => 2 * ROWS + item.text.len() + item.bytes.len(),
        }
    }
}

/// What a [`Command`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The document was written.
    Put {
        /// Its id, complete.
        id: DocumentId,
        /// Its collection, as the database spells it.
        collection: Collection,
        /// Whether its metadata named the collection (the wire's answer mentions it only then).
        has_collection_key: bool,
        /// The etag of this write.
        etag: Etag,
        /// When it was written.
        last_modified: Timestamp,
    },
    /// The document is gone.
    Deleted {
        /// The id as the command spelt it.
        id: String,
        /// The etag of the delete; `None` when there was no such document.
        etag: Option<Etag>,
    },
    /// The documents are gone.
    PrefixDeleted {
        /// The prefix as the command spelt it.
        prefix: String,
        /// How many documents were deleted.
        count: u64,
    },
    /// The document has the attachment.
    AttachmentPut {
        /// The document.
        id: DocumentId,
        /// Its collection.
        collection: Collection,
        /// The attachment.
        attachment: Attachment,
        /// The etag of the document's write.
        etag: Etag,
    },
    /// The document does not have the attachment any more.
    AttachmentDeleted {
        /// The document.
        id: DocumentId,
        /// The attachment's name as the command spelt it.
        name: String,
        /// The document's collection; `None` when it or the attachment did not exist.
        collection: Option<Collection>,
        /// The etag of the document's write; `None` as before.
        etag: Option<Etag>,
    },
    /// The document has another one's attachment.
    AttachmentCopied {
        /// The document that had it.
        source: DocumentId,
        /// Its name there, as the command spelt it.
        source_name: String,
        /// The document that has it now.
        id: DocumentId,
        /// The collection of that one.
        collection: Collection,
        /// The attachment.
        attachment: Attachment,
        /// The etag of the last write.
        etag: Etag,
        /// Whether it was taken from where it was.
        is_move: bool,
    },
    /// The counters are changed and read.
    Counters {
        /// The document as the command spelt it.
        id: String,
        /// The document's collection, if the document was written anew.
        collection: Option<Collection>,
        /// What each increment and each reading found afterwards, in order: the name as the operation spelt it, and the
        /// value; `None` for a reading that found no counter.
        values: Vec<Option<(String, i64)>>,
        /// How many counters were set, added to or deleted, each as often as it was.
        changes: u64,
        /// The etag of the changes; `None` when nothing changed. It is the document's if that was written anew.
        etag: Option<Etag>,
        /// The document's time if it was written anew, else that of the request.
        last_modified: Timestamp,
    },
    /// The document of a dump is written.
    Imported {
        /// The document.
        id: DocumentId,
        /// The etag of this write.
        etag: Etag,
        /// How many attachments of the command it names.
        attachments: u64,
        /// The names of those whose bytes are not there.
        missing: Vec<String>,
    },
    /// The bytes are there.
    ContentStaged {
        /// Their hash.
        hash: ContentHash,
    },
    /// The document is as expected.
    Checked,
    /// The compare-exchange value is set or deleted.
    CompareExchanged {
        /// The key as it is stored.
        key: String,
        /// The index of this change; 0 when there was nothing to delete.
        index: u64,
    },
    /// The item is kept.
    Kept {
        /// Its kind.
        kind: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NewDocument, StoreError> {
        NewDocument::parse("x", text.as_bytes())
    }

    #[test]
    fn metadata_is_taken_apart() {
        let document = parse(
            r#"{ "b" : 1.0, "@metadata" : {"@id":"y","Custom":[1],"@collection":"Users","@last-modified":1,
                "@change-vector":null,"@flags":"F"}, "a" : "x" }"#,
        )
        .unwrap();
        assert_eq!(&*document.body, r#"{"b":1.0,"a":"x"}"#);
        assert_eq!(&*document.metadata, r#"{"Custom":[1],"@collection":"Users","@flags":"F"}"#);
        assert_eq!(document.collection().as_str(), "Users");
        assert!(document.has_collection_key);
    }

    #[test]
    fn without_a_collection_it_belongs_to_empty() {
        for text in ["{}", r#"{"@metadata":{}}"#, r#"{"@metadata":{"@collection":null}}"#] {
            let document = parse(text).unwrap();
            assert_eq!(document.collection().as_str(), "@empty");
            assert!(!document.has_collection_key);
        }
    }

    #[test]
    fn what_is_not_a_document_is_refused_with_a_reason() {
        for (text, reason) in [
            ("[]", "it must be a JSON object, but it is an array"),
            (r#"{"@metadata":[]}"#, "its @metadata must be an object, but it is an array"),
            (r#"{"@metadata":{"@collection":1}}"#, "its @collection must be a string, but it is a number"),
        ] {
            match parse(text) {
                Err(StoreError::InvalidDocument { id, reason: found }) => {
                    assert_eq!((&*id, &*found), ("x", reason))
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(
            parse(r#"{"@metadata":{"@collection":""}}"#),
            Err(StoreError::InvalidCollection { .. })
        ));
        assert!(matches!(parse(r#"{"a":1,"a":2}"#), Err(StoreError::Json(_))));
    }

    #[test]
    fn the_size_limit_is_exact() {
        let text_of = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8 - 2));
        assert!(parse(&text_of(DOCUMENT_BYTES_MAX)).is_ok());
        match parse(&text_of(DOCUMENT_BYTES_MAX + 1)) {
            Err(StoreError::DocumentTooLarge { bytes, limit, .. }) => assert_eq!(bytes, limit + 1),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn built_values_have_the_same_depth_limit_as_texts() {
        let nested = |levels: usize| {
            let inner = (1..levels).fold(Json::Null, |inner, level| {
                if level == 1 { Json::Array(Vec::new()) } else { Json::Array(vec![inner]) }
            });
            Json::Object([("a", inner)].into_iter().collect())
        };
        let deepest = NewDocument::from_json("x", nested(JSON_DEPTH_MAX)).unwrap();
        assert!(parse(&deepest.body).is_ok());
        assert!(NewDocument::from_json("x", nested(JSON_DEPTH_MAX + 1)).is_err());
    }
}
