//! Writing a dump: one state of the database, in the layout of RavenDB 7.
//!
//! Documents go out in the order of their etags, each behind the bytes of its attachments that no document before it
//! had. Documents that an index made are left out, as the index makes them again; so are indexes in Rust, which are
//! part of a program. What an import has only kept goes out as it came in ([`super::keep`]).

use super::auto_index;
use super::counts::Counts;
use super::error::DumpError;
use super::import::kind_of;
use super::keep::{GROUPS, PLACED};
use super::options::DumpOptions;
use super::transform::Transform;
use crate::clock;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::indexes::definition_json;
use crate::limits::DUMP_HASHES_REMEMBERED_MAX;
use crate::operations::Running;
use magpie_indexes::IndexDefinition;
use magpie_indexes::definition::REPLACEMENT_PREFIX;
use magpie_store::json::write_string;
use magpie_store::json::{Json, Object};
use magpie_store::{
    Attachment, Collection, CollectionFilter, DatabaseView, Document, Etag, StoreError, Timestamp,
};
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};

/// What Magpie says it is: a version whose dumps look like these.
const BUILD_VERSION: u32 = 71_000;
/// Items between two looks at whether the export was killed.
const LOOK_EVERY: u64 = 1000;

/// Writes a dump of the database to `out`.
///
/// # Errors
/// When the store fails, `out` does, or the operation is killed; what is written then is no whole dump.
pub(crate) fn export(
    database: &OpenDatabase,
    options: &DumpOptions,
    running: &Running<'_>,
    out: &mut dyn Write,
) -> Result<Counts, ServerError> {
    let patches = database.patcher().patches();
    let transform = Transform::new(patches, options.transform_script.as_deref())?;
    let view = database.documents().view();
    let export = Export {
        view: &view,
        options,
        running,
        out,
        counts: Counts::new(),
        transform,
        looked: 0,
        written: HashSet::new(),
        now: clock::now(),
        is_first: true,
    };
    export.run(database)
}

pub(super) struct Export<'e> {
    pub(super) view: &'e DatabaseView<'e>,
    pub(super) options: &'e DumpOptions,
    running: &'e Running<'e>,
    out: &'e mut dyn Write,
    pub(super) counts: Counts,
    transform: Option<Transform<'e>>,
    /// Items since the last look at whether the export was killed.
    looked: u64,
    /// The beginnings of the hashes of attachments whose bytes are in the dump.
    written: HashSet<[u8; 16]>,
    now: Timestamp,
    /// Whether nothing is in the array yet.
    is_first: bool,
}

impl Export<'_> {
    fn run(mut self, database: &OpenDatabase) -> Result<Counts, ServerError> {
        let record = match self.kept_record(database.name())? {
            Some(record) => record,
            None => Object::from_iter([
                ("DatabaseName", Json::from(database.name())),
                ("Encrypted", false.into()),
            ])
            .into(),
        };
        let head = format!("{{\"BuildVersion\":{BUILD_VERSION},\"DatabaseRecord\":{record}");
        self.write(head.as_bytes())?;
        self.array("Docs", Self::documents)?;
        for kept in ["RevisionDocuments", "Conflicts"] {
            self.array(kept, |export| export.kept(kept, kept))?;
        }
        self.array("Indexes", |export| {
            export.indexes(database)?;
            export.kept("Indexes", "Indexes")
        })?;
        self.array("Identities", Self::identities)?;
        self.array("CompareExchange", Self::compare_exchanges)?;
        self.array(GROUPS, Self::counters)?;
        for kept in ["Subscriptions", "TimeSeriesDeletedRanges", "TimeSeries", "ReplicationHubCertificates"] {
            self.array(kept, |export| export.kept(kept, kind_of(kept)))?;
        }
        for kind in self.view.kept_kinds()? {
            if !PLACED.contains(&kind.as_str()) {
                self.array(&kind, |export| export.kept(&kind, kind_of(&kind)))?;
            }
        }
        self.write(b"}")?;
        Ok(self.counts)
    }

    fn array(
        &mut self,
        name: &str,
        elements: impl FnOnce(&mut Self) -> Result<(), ServerError>,
    ) -> Result<(), ServerError> {
        let mut head = b",".to_vec();
        write_string(name, &mut head);
        head.extend_from_slice(b":[");
        self.write(&head)?;
        self.is_first = true;
        elements(self)?;
        self.write(b"]")
    }

    /// Now and then, whether the export was killed, and how far it is.
    pub(super) fn look(&mut self) -> Result<(), ServerError> {
        self.looked += 1;
        if self.looked < LOOK_EVERY {
            return Ok(());
        }
        self.looked = 0;
        if self.running.is_killed() {
            return Err(ServerError::OperationKilled);
        }
        self.running.progress(self.counts.to_json());
        Ok(())
    }

    pub(super) fn element(&mut self, text: &[u8]) -> Result<(), ServerError> {
        if !std::mem::replace(&mut self.is_first, false) {
            self.write(b",")?;
        }
        self.write(text)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), ServerError> {
        self.out.write_all(bytes).map_err(|error| broken(&error))
    }

    fn documents(&mut self) -> Result<(), ServerError> {
        if !self.options.takes("Documents") {
            return Ok(());
        }
        let (view, mut text) = (self.view, Vec::new());
        let wanted = |collection: &Collection| self.options.takes_collection(collection.as_str());
        let collections = view.collections()?.into_iter().map(|stats| stats.collection).filter(wanted);
        let filter = CollectionFilter::Named(collections.collect());
        for document in view.documents_in_etag_order(&filter, Etag(0))? {
            let document = document?;
            self.look()?;
            self.counts.add("Documents", |count| count.read += 1);
            if self.is_left_out(&document) {
                self.counts.add("Documents", |count| count.skipped += 1);
                continue;
            }
            let attachments = document.attachments();
            let document = if attachments.is_empty() || self.options.takes("Attachments") {
                for attachment in &attachments {
                    self.attachment(&document, attachment)?;
                }
                document
            } else {
                document.without_attachments()
            };
            let document = if self.takes_counters() { document } else { document.without_counters() };
            text.clear();
            match &mut self.transform {
                None => document.write_wire(view.database_id(), false, &mut text),
                Some(transform) => {
                    match transform.run(document.id.as_str(), document.wire_json(view.database_id()))? {
                        Some(changed) => changed.write_to(&mut text),
                        None => {
                            self.counts.add("Documents", |count| count.skipped += 1);
                            continue;
                        }
                    }
                }
            }
            self.element(&text)?;
            self.counts.add("Documents", |count| count.written += 1);
        }
        Ok(())
    }

    /// Whether options leave a document out.
    pub(super) fn is_left_out(&self, document: &Document) -> bool {
        let options = self.options;
        if !options.include_artificial && document.is_artificial() {
            return true;
        }
        if !options.leave_out_expired && !options.leave_out_archived {
            return false;
        }
        let metadata = document.metadata_json();
        let text = |key: &str| metadata.get(key).and_then(Json::as_str);
        let expires = text("@expires").and_then(Timestamp::parse);
        let is_archived =
            text("@flags").is_some_and(|flags| flags.split(", ").any(|flag| flag == "Archived"));
        (options.leave_out_expired && expires.is_some_and(|expires| expires <= self.now))
            || (options.leave_out_archived && is_archived)
    }

    /// Writes the bytes of an attachment, unless they are in the dump already.
    fn attachment(&mut self, document: &Document, attachment: &Attachment) -> Result<(), ServerError> {
        let begin = attachment.hash.as_str().as_bytes().first_chunk::<16>().copied().unwrap_or_default();
        self.counts.attachments.read += 1;
        if self.written.contains(&begin) {
            return Ok(());
        }
        if self.written.len() < DUMP_HASHES_REMEMBERED_MAX {
            self.written.insert(begin);
        }
        let Attachment { name, hash, content_type, size } = attachment;
        let id = document.id.key();
        let mut text = br#"{"@metadata":{"@export-type":"Attachment"},"Hash":"#.to_vec();
        write_string(hash.as_str(), &mut text);
        text.extend_from_slice(format!(",\"Size\":{size},\"Tag\":").as_bytes());
        write_string(&format!("{id}|d|{}|{hash}|{content_type}", name.to_lowercase()), &mut text);
        text.push(b'}');
        self.element(&text)?;
        let mut left = *size;
        for number in 0_u32.. {
            let Some(chunk) = self.view.content_chunk(hash, number)? else { break };
            left = left.saturating_sub(chunk.len() as u64);
            self.write(&chunk)?;
        }
        if left > 0 {
            let what = format!("bytes of the attachment '{name}' of '{}' are missing", document.id);
            return Err(StoreError::Corrupt(what).into());
        }
        self.counts.attachments.written += 1;
        Ok(())
    }

    fn indexes(&mut self, database: &OpenDatabase) -> Result<(), ServerError> {
        if !self.options.takes("Indexes") {
            return Ok(());
        }
        // What is being built in place of an index is the newest that its user wants.
        let mut definitions: BTreeMap<String, IndexDefinition> = BTreeMap::new();
        let mut all = database.indexes().all();
        all.sort_by_key(|index| index.name().starts_with(REPLACEMENT_PREFIX));
        for index in all {
            let definition = index.definition();
            definitions.insert(definition.name.to_lowercase(), (*definition).clone());
        }
        for definition in definitions.into_values() {
            self.counts.add("Indexes", |count| count.read += 1);
            if definition.is_native() {
                self.counts.add("Indexes", |count| count.skipped += 1);
                let name = &definition.name;
                self.counts.say(format!("the index '{name}' was left out: it is Rust code of this server"));
                continue;
            }
            let body = auto_index::to_json(&definition).unwrap_or_else(|| definition_json(&definition));
            let element = Object::from_iter([
                ("Type", Json::from(definition.type_name())),
                ("IndexDefinition", body.into()),
            ]);
            self.element(Json::from(element).to_string().as_bytes())?;
            self.counts.add("Indexes", |count| count.written += 1);
        }
        Ok(())
    }

    fn identities(&mut self) -> Result<(), ServerError> {
        if !self.options.takes("Identities") {
            return Ok(());
        }
        for (name, value) in self.view.identities()? {
            let element = Object::from_iter([("Key", Json::from(name)), ("Value", value.to_string().into())]);
            self.element(Json::from(element).to_string().as_bytes())?;
            self.counts.add("Identities", |count| {
                count.read += 1;
                count.written += 1;
            });
        }
        Ok(())
    }

    fn compare_exchanges(&mut self) -> Result<(), ServerError> {
        if !self.options.takes("CompareExchange") {
            return Ok(());
        }
        let view = self.view;
        for value in view.compare_exchanges("") {
            let (key, value) = value?;
            let value = value.value.to_string();
            let element = Object::from_iter([("Key", Json::from(key)), ("Value", value.into())]);
            self.element(Json::from(element).to_string().as_bytes())?;
            self.counts.add("CompareExchange", |count| {
                count.read += 1;
                count.written += 1;
            });
        }
        Ok(())
    }
}

/// That the client does not take the dump.
pub(crate) fn broken(error: &io::Error) -> ServerError {
    DumpError::Sending(error.to_string()).into()
}
