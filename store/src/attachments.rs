//! Attachments: named bytes that belong to documents.
//!
//! The list of a document's attachments stands in its metadata (`@attachments`, and the flag `HasAttachments`), where
//! clients read it; only the store writes it. The bytes are kept once, by their hash, as long as a document names
//! them. So a change of an attachment is a write of its document, with an etag of its own, in the same batch as the
//! bytes: a crash leaves both or neither.

use crate::database::Database;
use crate::document::{Document, DocumentId, lower_case};
use crate::error::StoreError;
use crate::json::{Json, Object};
use crate::keys;
use crate::kv::{Batch, Direction, Space};
use crate::limits::{ATTACHMENT_BYTES_MAX, ATTACHMENT_CHUNK_BYTES, DOCUMENT_ID_BYTES_MAX};
use crate::rows;
use crate::view::DatabaseView;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use std::fmt;
use std::sync::Arc;

/// Contents looked at in one commit of a sweep.
const SWEEP_BATCH: usize = 1000;

/// The BLAKE2b-256 of some bytes in base64, 44 characters: RavenDB's hash of attachments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(Box<str>);

impl ContentHash {
    /// The hash of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(STANDARD.encode(Blake2b::<U32>::digest(bytes)).into())
    }

    /// Takes a hash as it is written; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let decoded = STANDARD.decode(text).ok()?;
        (decoded.len() == 32).then(|| Self(text.into()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes with their hash, up to [`ATTACHMENT_BYTES_MAX`].
#[derive(Clone)]
pub struct Content {
    pub(crate) hash: ContentHash,
    pub(crate) bytes: Arc<Vec<u8>>,
}

impl Content {
    /// Takes bytes.
    ///
    /// # Errors
    /// [`StoreError::InvalidAttachment`] when there are too many.
    pub fn new(bytes: Vec<u8>) -> Result<Self, StoreError> {
        if bytes.len() > ATTACHMENT_BYTES_MAX {
            let limit = ATTACHMENT_BYTES_MAX;
            let reason = format!("it has {} bytes; the limit (attachment_bytes_max) is {limit}", bytes.len());
            return Err(StoreError::InvalidAttachment { name: String::new(), reason });
        }
        Ok(Self { hash: ContentHash::of(&bytes), bytes: Arc::new(bytes) })
    }

    /// The hash of the bytes.
    #[must_use]
    pub fn hash(&self) -> &ContentHash {
        &self.hash
    }

    /// How many bytes there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({}, {} bytes)", self.hash, self.bytes.len())
    }
}

/// An attachment as its document lists it. Names are compared without case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name, as it was given.
    pub name: String,
    /// The hash of its bytes.
    pub hash: ContentHash,
    /// Its media type; may be empty.
    pub content_type: String,
    /// How many bytes it has.
    pub size: u64,
}

impl Attachment {
    /// Checks a name.
    ///
    /// # Errors
    /// [`StoreError::InvalidAttachment`] when it is empty, longer than [`DOCUMENT_ID_BYTES_MAX`], or holds a control
    /// character.
    pub fn check_name(name: &str) -> Result<(), StoreError> {
        let reason = if name.is_empty() {
            "its name is empty"
        } else if name.len() > DOCUMENT_ID_BYTES_MAX {
            "its name is longer than 512 bytes"
        } else if name.chars().any(char::is_control) {
            "its name holds a control character"
        } else {
            return Ok(());
        };
        let name = name.chars().take(100).collect();
        Err(StoreError::InvalidAttachment { name, reason: reason.to_owned() })
    }

    /// Reads one element of `@attachments`; `None` when it is none.
    #[must_use]
    pub fn from_json(item: &Json) -> Option<Self> {
        let text = |key: &str| item.get(key).and_then(Json::as_str);
        Some(Self {
            name: text("Name")?.to_owned(),
            hash: ContentHash::parse(text("Hash")?)?,
            content_type: text("ContentType").unwrap_or_default().to_owned(),
            size: u64::try_from(item.get("Size")?.as_i64()?).ok()?,
        })
    }

    pub(crate) fn to_json(&self) -> Json {
        Json::Object(Object::from_iter([
            ("Name", Json::from(self.name.as_str())),
            ("Hash", self.hash.as_str().into()),
            ("ContentType", self.content_type.as_str().into()),
            ("Size", self.size.into()),
        ]))
    }

    /// What names are compared by.
    pub(crate) fn key(&self) -> Box<str> {
        lower_case(&self.name)
    }
}

/// Puts an attachment in the place of the one of its name, or behind the others.
pub(crate) fn replace(list: &mut Vec<Attachment>, new: Attachment) -> Option<Attachment> {
    let key = new.key();
    match list.iter_mut().find(|attachment| attachment.key() == key) {
        Some(place) => Some(std::mem::replace(place, new)),
        None => {
            list.push(new);
            None
        }
    }
}

impl DatabaseView<'_> {
    /// A document's attachment, with the document; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Kv`], [`StoreError::Corrupt`].
    pub fn attachment(
        &self,
        id: &DocumentId,
        name: &str,
    ) -> Result<Option<(Document, Attachment)>, StoreError> {
        let Some(document) = self.document(id)? else { return Ok(None) };
        let key = lower_case(name);
        let found = document.attachments().into_iter().find(|attachment| attachment.key() == key);
        Ok(found.map(|attachment| (document, attachment)))
    }

    /// A part of the bytes with this hash: [`ATTACHMENT_CHUNK_BYTES`] from `number` times that on, the last one with
    /// what is left; `None` behind the last one and for bytes that are not there.
    ///
    /// # Errors
    /// [`StoreError::Kv`].
    pub fn content_chunk(&self, hash: &ContentHash, number: u32) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.kv().get(Space::Attachments, &keys::content_chunk(hash.as_str(), number))?)
    }

    /// Whether the bytes with this hash are there.
    ///
    /// # Errors
    /// [`StoreError::Kv`].
    pub fn has_content(&self, hash: &ContentHash) -> Result<bool, StoreError> {
        Ok(self.kv().get(Space::Attachments, &keys::content(hash.as_str()))?.is_some())
    }
}

impl Database {
    /// Removes the bytes that an import brought and no document came to name. No import must be running.
    ///
    /// # Errors
    /// [`StoreError::WritesStopped`], [`StoreError::Kv`], [`StoreError::Corrupt`]; commits before that stay done.
    pub fn remove_unused_contents(&self) -> Result<(), StoreError> {
        loop {
            let more = self.exclusively(|kv, _| {
                let view = kv.snapshot();
                let mut batch = Batch::new();
                let (from, to) = keys::staged_contents();
                let mut looked_at = 0;
                for row in view.scan(Space::Attachments, &from, &to, Direction::Forward).take(SWEEP_BATCH) {
                    let (key, _) = row?;
                    looked_at += 1;
                    let hash = keys::staged_content_of(&key)?;
                    let content = view.get(Space::Attachments, &keys::content(hash))?;
                    if let Some(content) = content.map(|row| rows::ContentRow::decode(&row)).transpose()?
                        && content.uses == 0
                    {
                        remove_content(hash, content.size, &mut batch);
                    }
                    batch.delete(Space::Attachments, key);
                }
                Ok((batch, looked_at == SWEEP_BATCH))
            })?;
            if !more {
                return Ok(());
            }
        }
    }
}

/// Writes the bytes of a content.
pub(crate) fn put_chunks(content: &Content, batch: &mut Batch) {
    for (number, chunk) in (0_u32..).zip(content.bytes.chunks(ATTACHMENT_CHUNK_BYTES)) {
        batch.put(Space::Attachments, keys::content_chunk(content.hash.as_str(), number), chunk);
    }
}

/// Removes the rows of a content.
pub(crate) fn remove_content(hash: &str, size: u64, batch: &mut Batch) {
    batch.delete(Space::Attachments, keys::content(hash));
    let chunks = size.div_ceil(ATTACHMENT_CHUNK_BYTES as u64);
    for number in 0..u32::try_from(chunks).unwrap_or(u32::MAX) {
        batch.delete(Space::Attachments, keys::content_chunk(hash, number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_of_real_dumps() {
        assert_eq!(ContentHash::of(b"").as_str(), "DldRwCblQ7Loqy6wYJnaodHl30d3j3eH+qtFzfEv46g=");
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(ContentHash::of(&all).as_str(), "Oafrn+3BmqvINCXGdV3ZDm+dDIBJZKH0qu6juftZmDU=");
        assert!(ContentHash::parse("AAAA").is_none() && ContentHash::parse("").is_none());
    }

    #[test]
    fn names_are_compared_without_case() {
        let one = |name: &str| Attachment {
            name: name.to_owned(),
            hash: ContentHash::of(name.as_bytes()),
            content_type: String::new(),
            size: 1,
        };
        let mut list = vec![one("a")];
        assert!(replace(&mut list, one("A")).is_some() && list.len() == 1);
    }
}
