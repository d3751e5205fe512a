//! Commands about attachments, as rows: documents whose list changes, and how many documents name which bytes.

use super::Request;
use crate::attachments::{self, Attachment, Content, ContentHash};
use crate::command::{NewDocument, Outcome};
use crate::document::{Document, DocumentId, Etag};
use crate::error::StoreError;
use crate::keys;
use crate::kv::Space;
use crate::limits::ATTACHMENTS_PER_DOCUMENT_MAX;
use crate::lists::Lists;
use crate::rows::{ContentRow, Head};
use crate::timestamp::Timestamp;

impl Request<'_, '_> {
    pub(super) fn put_attachment(
        &mut self,
        id: &str,
        attachment: (String, String, &Content),
        expected: Option<&str>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let (name, content_type, content) = attachment;
        Attachment::check_name(&name)?;
        let (id, head, document) = self.owner(id, &name)?;
        self.check_expected(&id, expected, head.live.as_ref(), false)?;
        let attachment = Attachment { name, hash: content.hash.clone(), content_type, size: content.size() };
        self.hold(content)?;
        let etag = self.attach(&id, head, &document, attachment.clone(), now)?;
        Ok(Outcome::AttachmentPut { id, collection: document.collection, attachment, etag })
    }

    pub(super) fn delete_attachment(
        &mut self,
        requested: String,
        name: String,
        expected: Option<&str>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let id = DocumentId::new(&requested)?;
        let head = self.head(&id)?;
        let Some(live) = &head.live else {
            return Ok(Outcome::AttachmentDeleted { id, name, collection: None, etag: None });
        };
        let key = crate::document::lower_case(&name);
        if !live.lists.attachments.iter().any(|attachment| attachment.key() == key) {
            return Ok(Outcome::AttachmentDeleted { id, name, collection: None, etag: None });
        }
        self.check_expected(&id, expected, head.live.as_ref(), true)?;
        let (id, head, document) = self.owner(&requested, &name)?;
        let (gone, kept): (Vec<_>, Vec<_>) =
            document.attachments().into_iter().partition(|attachment| attachment.key() == key);
        let etag = self.relist(&id, head, &document, kept, now);
        self.release(&gone)?;
        Ok(Outcome::AttachmentDeleted { id, name, collection: Some(document.collection), etag: Some(etag) })
    }

    /// Names the bytes of one document's attachment in another one too, or instead.
    pub(super) fn copy_attachment(
        &mut self,
        from: (String, String),
        to: (String, String),
        expected: Option<&str>,
        is_move: bool,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        Attachment::check_name(&to.1)?;
        let (source, head, document) = self.owner(&from.0, &from.1)?;
        self.check_expected(&source, expected, head.live.as_ref(), false)?;
        let key = crate::document::lower_case(&from.1);
        let found = document.attachments().into_iter().find(|attachment| attachment.key() == key);
        let missing = || StoreError::AttachmentMissing { id: from.0.clone(), name: from.1.clone() };
        let attachment = Attachment { name: to.1, ..found.ok_or_else(missing)? };
        let (target, head, document) = self.owner(&to.0, &attachment.name)?;
        self.retain(&attachment.hash, 1)?;
        let mut etag = self.attach(&target, head, &document, attachment.clone(), now)?;
        // A new spelling of the same name has replaced the old one already.
        let is_same = source == target && attachment.key() == key;
        if is_move && !is_same {
            self.delete_attachment(from.0.clone(), from.1.clone(), None, now)?;
            etag = self.layer.last_etag;
        }
        let collection = document.collection;
        let source_name = from.1;
        Ok(Outcome::AttachmentCopied {
            source,
            source_name,
            id: target,
            collection,
            attachment,
            etag,
            is_move,
        })
    }

    /// Writes a document of a dump with the attachments that it lists; those whose bytes are not there are left out
    /// and told. Attachments of other names stay.
    pub(super) fn import(
        &mut self,
        id: &str,
        document: &NewDocument,
        listed: Vec<Attachment>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let checked = DocumentId::new(id)?;
        let mut missing = Vec::new();
        let mut present = Vec::new();
        for attachment in listed {
            Attachment::check_name(&attachment.name)?;
            if self.content(&attachment.hash)?.is_none() {
                missing.push(attachment.name);
            } else {
                present.push(attachment);
            }
        }
        let mut list = self.head(&checked)?.live.map(|live| live.lists.attachments).unwrap_or_default();
        let mut replaced = Vec::new();
        for attachment in &present {
            self.retain(&attachment.hash, 1)?;
            replaced.extend(attachments::replace(&mut list, attachment.clone()));
        }
        check_count(&list, id)?;
        let etag = match self.put_with(id, document, None, Some(list), now)? {
            Outcome::Put { etag, .. } => etag,
            _ => self.layer.last_etag,
        };
        self.release(&replaced)?;
        let attachments = present.len() as u64;
        Ok(Outcome::Imported { id: checked, etag, attachments, missing })
    }

    /// Keeps bytes until documents name them.
    pub(super) fn stage(&mut self, content: &Content) -> Result<Outcome, StoreError> {
        if self.content(&content.hash)?.is_none() {
            self.write_content(content, 0);
            self.batch.put(Space::Attachments, keys::staged_content(content.hash.as_str()), Vec::new());
        }
        Ok(Outcome::ContentStaged { hash: content.hash.clone() })
    }

    /// One document names these bytes no more, as often as they are listed.
    pub(super) fn release(&mut self, attachments: &[Attachment]) -> Result<(), StoreError> {
        for attachment in attachments {
            self.retain(&attachment.hash, -1)?;
        }
        Ok(())
    }

    /// The document that an attachment belongs to, as the commands before this one leave it.
    fn owner(&self, id: &str, name: &str) -> Result<(DocumentId, Head, Document), StoreError> {
        let id = DocumentId::new(id)?;
        let head = self.head(&id)?;
        let document = self.stored(&id, &head)?;
        let missing = || StoreError::AttachmentOwnerMissing { id: id.to_string(), name: name.to_owned() };
        let document = document.ok_or_else(missing)?;
        Ok((id, head, document))
    }

    fn attach(
        &mut self,
        id: &DocumentId,
        head: Head,
        document: &Document,
        attachment: Attachment,
        now: Timestamp,
    ) -> Result<Etag, StoreError> {
        let mut list = document.attachments();
        let replaced = attachments::replace(&mut list, attachment);
        check_count(&list, id.as_str())?;
        let etag = self.relist(id, head, document, list, now);
        self.release(replaced.as_slice())?;
        Ok(etag)
    }

    /// Writes a document again with another list of attachments.
    fn relist(
        &mut self,
        id: &DocumentId,
        head: Head,
        document: &Document,
        attachments: Vec<Attachment>,
        now: Timestamp,
    ) -> Etag {
        let etag = Etag(self.layer.last_etag.0 + 1);
        let counters = head.live.as_ref().map(|live| live.lists.counters.clone()).unwrap_or_default();
        self.rewrite(id, head, document, Lists { attachments, counters }, (etag, now));
        etag
    }

    /// The row of bytes, as the commands before this one leave it.
    fn content(&self, hash: &ContentHash) -> Result<Option<ContentRow>, StoreError> {
        let layers = [&self.layer.contents, &self.group.layer.contents];
        if let Some(known) = layers.into_iter().find_map(|contents| contents.get(hash)) {
            return Ok(*known);
        }
        let row = self.group.view.get(Space::Attachments, &keys::content(hash.as_str()))?;
        row.map(|row| ContentRow::decode(&row)).transpose()
    }

    /// One more document names these bytes, which are written if they are not there.
    fn hold(&mut self, content: &Content) -> Result<(), StoreError> {
        if self.content(&content.hash)?.is_none() {
            self.write_content(content, 0);
        }
        self.retain(&content.hash, 1)
    }

    fn write_content(&mut self, content: &Content, uses: u64) {
        attachments::put_chunks(content, &mut self.batch);
        let row = ContentRow { uses, size: content.size() };
        self.batch.put(Space::Attachments, keys::content(content.hash.as_str()), row.encode());
        self.layer.contents.insert(content.hash.clone(), Some(row));
    }

    /// Changes how many documents name these bytes; those that none names are removed.
    fn retain(&mut self, hash: &ContentHash, change: i64) -> Result<(), StoreError> {
        let missing = || StoreError::Corrupt(format!("the bytes of an attachment ({hash})"));
        let before = self.content(hash)?.ok_or_else(missing)?;
        let uses = before.uses.saturating_add_signed(change);
        self.layer.attachments.first += change;
        match (before.uses, uses) {
            (0, 1..) => self.layer.attachments.second += 1,
            (1.., 0) => self.layer.attachments.second -= 1,
            _ => {}
        }
        if uses == 0 {
            attachments::remove_content(hash.as_str(), before.size, &mut self.batch);
            self.layer.contents.insert(hash.clone(), None);
            return Ok(());
        }
        let row = ContentRow { uses, size: before.size };
        self.batch.put(Space::Attachments, keys::content(hash.as_str()), row.encode());
        self.layer.contents.insert(hash.clone(), Some(row));
        Ok(())
    }
}

fn check_count(list: &[Attachment], id: &str) -> Result<(), StoreError> {
    if list.len() <= ATTACHMENTS_PER_DOCUMENT_MAX {
        return Ok(());
    }
    let reason =
        format!("document '{id}' has {ATTACHMENTS_PER_DOCUMENT_MAX} already (attachments_per_document_max)");
    let name = list.last().map(|attachment| attachment.name.clone()).unwrap_or_default();
    Err(StoreError::InvalidAttachment { name, reason })
}

#[cfg(test)]
mod tests {
    use crate::kv::memory::MemoryKv;
    use crate::kv::{Direction, Space};
    use crate::{
        Attachment, Command, Content, ContentHash, Database, DocumentId, NewDocument, Outcome, StoreError,
        Timestamp,
    };
    use std::sync::Arc;

    fn database() -> Database {
        Database::open(Arc::new(MemoryKv::new()), "AAAAAAAAAAAAAAAAAAAAAA").unwrap()
    }

    fn put(id: &str, text: &str) -> Command {
        let document = NewDocument::parse(id, text.as_bytes()).unwrap();
        Command::Put { id: id.to_owned(), document, expected: None }
    }

    fn attach(id: &str, name: &str, bytes: &[u8]) -> Command {
        let content = Content::new(bytes.to_vec()).unwrap();
        let (id, name, content_type) = (id.to_owned(), name.to_owned(), "t/x".to_owned());
        Command::PutAttachment { id, name, content_type, content, expected: None }
    }

    fn write(database: &Database, commands: Vec<Command>) -> Vec<Outcome> {
        database.write(commands, Timestamp(5)).unwrap()
    }

    fn rows(database: &Database) -> usize {
        let view = database.view();
        view.kv().scan(Space::Attachments, &[], &[0xff], Direction::Forward).count()
    }

    fn metadata(database: &Database, id: &str) -> String {
        let document = database.view().document(&DocumentId::new(id).unwrap()).unwrap().unwrap();
        document.metadata.to_string()
    }

    #[test]
    fn bytes_are_kept_once_and_as_long_as_a_document_names_them() {
        let database = database();
        let large = vec![7; 2 * crate::limits::ATTACHMENT_CHUNK_BYTES + 1];
        // In one request, behind the documents that own them.
        write(
            &database,
            vec![
                put("a/1", r#"{"n":1.0,"@metadata":{"@collection":"A"}}"#),
                put("a/2", "{}"),
                attach("a/1", "B.bin", &large),
                attach("A/2", "same", &large),
                attach("a/1", "a", b""),
            ],
        );
        assert_eq!(rows(&database), 2 + 3, "two contents, one of three chunks and one of none");
        assert_eq!(database.view().attachment_counts().unwrap(), (3, 2));
        let text = metadata(&database, "a/1");
        assert!(text.starts_with(r#"{"@collection":"A","@attachments":[{"Name":"a","#), "{text}");
        assert!(text.contains(r#""@flags":"HasAttachments""#), "{text}");

        // A put keeps them, whatever it says about them.
        let put_again =
            put("a/1", r#"{"n":2,"@metadata":{"@collection":"A","@attachments":[],"@flags":"X"}}"#);
        write(&database, vec![put_again]);
        assert!(metadata(&database, "a/1").contains(r#""@flags":"X, HasAttachments""#));
        let view = database.view();
        let (document, found) = view.attachment(&DocumentId::new("a/1").unwrap(), "b.BIN").unwrap().unwrap();
        assert_eq!((&*document.body, found.size), (r#"{"n":2}"#, large.len() as u64));
        let chunks = (0..4).filter_map(|number| view.content_chunk(&found.hash, number).unwrap());
        assert_eq!(chunks.collect::<Vec<_>>().concat(), large);
        drop(view);

        let other = attach("a/1", "b.bin", b"other");
        write(&database, vec![other]);
        assert_eq!(rows(&database), 3 + 3 + 1);
        write(&database, vec![Command::Delete { id: "a/2".to_owned(), expected: None }]);
        assert_eq!(rows(&database), 2 + 1, "the large one is gone");
        write(&database, vec![Command::DeletePrefix { prefix: "a/".to_owned() }]);
        assert_eq!((rows(&database), database.view().attachment_counts().unwrap()), (0, (0, 0)));
        assert!(matches!(
            database.write(vec![attach("a/1", "x", b"1")], Timestamp(5)),
            Err(StoreError::AttachmentOwnerMissing { .. })
        ));
        assert_eq!(rows(&database), 0, "a failed request leaves nothing");
    }

    #[test]
    fn copies_and_moves_name_the_same_bytes() {
        let database = database();
        write(&database, vec![put("a", "{}"), put("b", "{}"), attach("a", "x", b"12")]);
        let copy = |to: &str, name: &str, is_move| Command::CopyAttachment {
            from: ("a".to_owned(), "X".to_owned()),
            to: (to.to_owned(), name.to_owned()),
            expected: None,
            is_move,
        };
        write(&database, vec![copy("b", "y", false)]);
        assert_eq!((rows(&database), database.view().attachment_counts().unwrap()), (2, (2, 1)));
        write(&database, vec![copy("a", "renamed", true)]);
        assert!(metadata(&database, "a").contains("renamed") && !metadata(&database, "a").contains("\"x\""));
        write(
            &database,
            vec![Command::DeleteAttachment {
                id: "a".to_owned(),
                name: "RENAMED".to_owned(),
                expected: None,
            }],
        );
        assert_eq!(metadata(&database, "a"), "{}");
        assert_eq!((rows(&database), database.view().attachment_counts().unwrap()), (2, (1, 1)));
        let nothing = Command::DeleteAttachment { id: "a".into(), name: "no".into(), expected: None };
        assert!(matches!(write(&database, vec![nothing])[0], Outcome::AttachmentDeleted { etag: None, .. }));
        assert!(matches!(
            database.write(vec![copy("b", "z", true)], Timestamp(5)),
            Err(StoreError::AttachmentMissing { .. })
        ));
    }

    #[test]
    fn what_an_import_staged_and_nothing_names_is_swept() {
        let database = database();
        let content = |bytes: &[u8]| Content::new(bytes.to_vec()).unwrap();
        let listed = |name: &str, hash: &ContentHash| Attachment {
            name: name.to_owned(),
            hash: hash.clone(),
            content_type: String::new(),
            size: 1,
        };
        let (used, unused, lost) = (content(b"1"), content(b"2"), content(b"3"));
        let document = NewDocument::parse("a", br#"{"@metadata":{"@flags":"HasAttachments"}}"#).unwrap();
        let attachments = vec![listed("one", used.hash()), listed("lost", lost.hash())];
        let outcomes = write(
            &database,
            vec![
                Command::StageContent { content: used.clone() },
                Command::StageContent { content: unused },
                Command::Import { id: "a".to_owned(), document: document.clone(), attachments },
            ],
        );
        match &outcomes[2] {
            Outcome::Imported { attachments: 1, missing, .. } => assert_eq!(missing, &["lost".to_owned()]),
            other => panic!("{other:?}"),
        }
        assert_eq!(rows(&database), 2 * 3);
        database.remove_unused_contents().unwrap();
        assert_eq!(rows(&database), 2);
        // The same dump again.
        let attachments = vec![listed("ONE", used.hash())];
        write(&database, vec![Command::Import { id: "a".to_owned(), document, attachments }]);
        assert_eq!((rows(&database), database.view().attachment_counts().unwrap()), (2, (1, 1)));
        write(&database, vec![Command::Delete { id: "a".to_owned(), expected: None }]);
        assert_eq!(rows(&database), 0);
    }
}
