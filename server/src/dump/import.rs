//! Writing what a dump holds: documents in sub-batches, identities, compare-exchange values, index definitions.
//!
//! What Magpie has nothing for is kept as it is ([`super::keep`]), counted by kind and told. What is refused (an id that is too long, a document of
//! another collection under the same id) is counted and told one by one; the rest goes on. A dump that is damaged
//! ends the import; what was written before stays, and the error says what that is.

use super::batch::{Batch, Pending, Place, is_refusal};
use super::counts::Counts;
use super::error::DumpError;
use super::keep::{GROUPS, OLD_DOCUMENTS, RECORD};
use super::options::DumpOptions;
use super::reader::{Event, Reader, parse};
use super::transform::Transform;
use super::unpack::Unpacker;
use super::{Intake, counters, import_indexes, keep, legacy};
use crate::clock;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::limits::DUMP_BATCH_ITEMS_MAX;
use crate::operations::Running;
use magpie_indexes::definition::Numbers;
use magpie_store::json::{self, Json, Object};
use magpie_store::limits::ATTACHMENT_BYTES_MAX;
use magpie_store::{Attachment, Command, Content, ContentHash, NewDocument, Timestamp};

/// Where an import goes.
#[derive(Clone, Copy)]
pub(crate) struct Target<'d> {
    pub(crate) database: &'d OpenDatabase,
    /// What whole numbers are in scripts of indexes that do not say it.
    pub(crate) numbers: Numbers,
    pub(crate) running: &'d Running<'d>,
}

/// Takes the pieces of a dump and writes what is in them.
pub(crate) struct Import<'d> {
    unpacker: Unpacker,
    reader: Reader,
    writer: Writer<'d>,
}

impl<'d> Import<'d> {
    /// # Errors
    /// [`DumpError::Script`] when the options have a script that is none.
    pub(crate) fn new(target: Target<'d>, options: DumpOptions) -> Result<Self, ServerError> {
        let patches = target.database.patcher().patches();
        let writer = Writer {
            transform: Transform::new(patches, options.transform_script.as_deref())?,
            target,
            options,
            counts: Counts::new(),
            is_legacy: true,
            blob: None,
            batch: Batch::default(),
            exchanges: Vec::new(),
        };
        Ok(Self { unpacker: Unpacker::new(), reader: Reader::new(), writer })
    }
}

impl Intake for Import<'_> {
    fn feed(&mut self, piece: &[u8]) -> Result<(), ServerError> {
        let Self { unpacker, reader, writer } = self;
        unpacker.feed(piece, &mut |plain| reader.feed(plain, &mut |event| writer.take(event)))
    }

    fn finish(&mut self) -> Result<Counts, ServerError> {
        let Self { unpacker, reader, writer } = self;
        let unpacker = std::mem::replace(unpacker, Unpacker::new());
        let end = unpacker.finish(&mut |plain| reader.feed(plain, &mut |event| writer.take(event)));
        let end = match end {
            // A dump that was cut says so better than its container.
            Ok(()) | Err(ServerError::Dump(DumpError::Packed { .. })) => {
                reader.finish().map_err(ServerError::from).and(end)
            }
            other => other,
        };
        writer.flush()?;
        end?;
        writer.counts.say_left_out();
        Ok(writer.counts.clone())
    }

    fn stopped(mut self: Box<Self>, cause: ServerError) -> ServerError {
        // The first cause is the one to tell.
        let _ = self.writer.flush();
        stopped(cause, &self.writer.counts)
    }
}

/// The cause of an import's early end, with what is in the database.
pub(super) fn stopped(cause: ServerError, counts: &Counts) -> ServerError {
    match cause {
        // Nothing of it can have been read.
        ServerError::Dump(DumpError::NotADump { .. }) => cause,
        cause => DumpError::Stopped { cause: Box::new(cause), written: counts.written() }.into(),
    }
}

/// The writing side.
struct Writer<'d> {
    target: Target<'d>,
    options: DumpOptions,
    transform: Option<Transform<'d>>,
    counts: Counts,
    /// Until a `BuildVersion` is seen: dumps of 3.5 have none.
    is_legacy: bool,
    /// The attachment whose bytes are coming.
    blob: Option<Blob>,
    batch: Batch,
    exchanges: Vec<(String, Json)>,
}

/// Bytes of an attachment on their way.
struct Blob {
    at: u64,
    /// As the dump says.
    hash: Option<ContentHash>,
    bytes: Vec<u8>,
    /// The kind and the text of the item that they belong to, if that is only kept.
    kept: Option<(String, Vec<u8>)>,
}

impl Writer<'_> {
    fn take(&mut self, event: Event<'_>) -> Result<(), ServerError> {
        match event {
            Event::Value { key: "BuildVersion", .. } => self.is_legacy = false,
            Event::Value { key: RECORD, text } => self.keep(RECORD, RECORD, text, Vec::new()),
            Event::Value { key, .. } => self.leave_out(key),
            Event::Element { key: "Docs", text, at } => self.document(&text, at)?,
            Event::Element { key: "Indexes", text, at } => self.index(&text, at)?,
            Event::Element { key: "Identities", text, at } => self.identity(&text, at)?,
            Event::Element { key: key @ ("CompareExchange" | "CmpXchg"), text, at } => {
                self.compare_exchange(key, &text, at)?;
            }
            Event::Element { key: GROUPS, text, at } => self.counters(text, at)?,
            Event::Element { key: "Attachments", text, at } => self.legacy_attachment(&text, at)?,
            Event::Element { key, text, .. } => self.keep(key, kind_of(key), text, Vec::new()),
            Event::TooLong { key, at } => self.too_long(key, at),
            Event::Blob { key: "Docs", header, size, at } => self.blob(&header, size, at),
            Event::Blob { key, header, size, at } => self.kept_blob(key, &header, size, at),
            Event::Bytes(bytes) => {
                if let Some(blob) = &mut self.blob {
                    blob.bytes.extend_from_slice(bytes);
                }
            }
            Event::BlobEnd => match self.blob.take() {
                Some(Blob { kept: Some((kind, text)), bytes, .. }) => {
                    let counted = kind_of(&kind).to_owned();
                    self.keep(&kind, &counted, text, bytes);
                }
                Some(blob) => self.stage(blob)?,
                None => {}
            },
        }
        if self.batch.is_full() {
            self.flush()?;
        }
        Ok(())
    }

    /// Counts an item that Magpie has nothing for.
    fn leave_out(&mut self, key: &str) {
        match self.counts.of(kind_of(key)) {
            Some(count) => {
                count.read += 1;
                count.skipped += 1;
            }
            None => self.counts.unknown(key),
        }
    }

    /// Whether options want a kind, by either of its names.
    fn takes(&self, key: &str) -> bool {
        self.options.takes(key) || self.options.takes(kind_of(key))
    }

    /// Keeps an item that Magpie has nothing for, with the next sub-batch. It is counted as left out of what works here.
    fn keep(&mut self, key: &str, counted: &str, text: Vec<u8>, bytes: Vec<u8>) {
        let is_wanted = self.takes(key);
        // What only brings bytes for an item behind it goes with that.
        if key != "RevisionDocuments" || bytes.is_empty() {
            match self.counts.of(counted) {
                Some(count) => {
                    count.read += 1;
                    count.skipped += 1;
                    count.kept += u64::from(is_wanted);
                }
                None => self.counts.unknown(key),
            }
        }
        if is_wanted {
            self.set_aside(key, text, bytes);
        }
    }

    fn set_aside(&mut self, key: &str, text: Vec<u8>, bytes: Vec<u8>) {
        let size = text.len().saturating_add(bytes.len());
        let command = Command::Keep(keep::item(key, text, bytes));
        self.batch
            .add(Pending { kind: "Documents", id: key.to_owned(), place: Place::Byte(0), command }, size);
    }

    /// Bytes of an item that is only kept follow.
    fn kept_blob(&mut self, key: &str, header: &Json, size: u64, at: u64) {
        if !self.takes(key) {
            self.leave_out(key);
        } else if size > ATTACHMENT_BYTES_MAX as u64 {
            self.refuse(
                kind_of(key),
                format!(
                    "an item of {key} at byte {at} has {size} bytes; the limit (attachment_bytes_max) is \
                     {ATTACHMENT_BYTES_MAX}"
                ),
            );
        } else {
            let kept = Some((key.to_owned(), header.to_string().into_bytes()));
            self.blob = Some(Blob { at, hash: None, bytes: Vec::new(), kept });
        }
    }

    fn too_long(&mut self, key: &str, at: u64) {
        let kind = kind_of(key);
        self.refuse(kind, format!("an item of {kind} at byte {at} is longer than dump_item_bytes_max"));
    }

    fn refuse(&mut self, kind: &str, message: String) {
        self.counts.add(kind, |count| {
            count.read += 1;
            count.errored += 1;
        });
        self.counts.say(message);
    }

    /// An element's JSON; `None` when it is none and that is to be skipped.
    fn parse(&mut self, kind: &'static str, text: &[u8], at: u64) -> Result<Option<Json>, ServerError> {
        match parse(text, at, kind) {
            Ok(value) => Ok(Some(value)),
            Err(error) if self.options.skip_corrupted => {
                self.refuse(kind, error.to_string());
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn document(&mut self, text: &[u8], at: u64) -> Result<(), ServerError> {
        let Some(mut document) = self.parse("Documents", text, at)? else { return Ok(()) };
        if self.is_legacy {
            legacy::modernise(&mut document);
        }
        let Some(metadata) = document.get("@metadata").and_then(Json::as_object) else {
            self.refuse("Documents", format!("the document at byte {at} has no @metadata, hence no id"));
            return Ok(());
        };
        let exported = metadata.get("@export-type").and_then(Json::as_str);
        if let Some(kind) = exported.filter(|_| metadata.get("@id").is_none()) {
            let kind = format!("{kind}s");
            self.keep(OLD_DOCUMENTS, &kind, text.to_vec(), Vec::new());
            return Ok(());
        }
        if legacy::is_revision(metadata) {
            self.keep(OLD_DOCUMENTS, "RevisionDocuments", text.to_vec(), Vec::new());
            return Ok(());
        }
        if self.is_left_out(metadata) {
            self.counts.add("Documents", |count| {
                count.read += 1;
                count.skipped += 1;
            });
            return Ok(());
        }
        let Some(id) = metadata.get("@id").and_then(Json::as_str).map(str::to_owned) else {
            self.refuse("Documents", format!("the document at byte {at} has no @id in its @metadata"));
            return Ok(());
        };
        if let Some(transform) = &mut self.transform {
            match transform.run(&id, document)? {
                Some(changed) => document = changed,
                None => {
                    self.counts.add("Documents", |count| {
                        count.read += 1;
                        count.skipped += 1;
                    });
                    return Ok(());
                }
            }
        }
        let empty = Object::new();
        let metadata = document.get("@metadata").and_then(Json::as_object).unwrap_or(&empty);
        let listed = metadata.get("@attachments").and_then(Json::as_array).unwrap_or_default();
        let listed: Vec<Attachment> = listed.iter().filter_map(Attachment::from_json).collect();
        let modified = metadata.get("@last-modified").and_then(Json::as_str).and_then(Timestamp::parse);
        match NewDocument::from_json(&id, document) {
            Err(error) => self.refuse("Documents", format!("the document '{id}' at byte {at}: {error}")),
            // An id with such an end would be completed, and be another one.
            Ok(_) if id.ends_with(['/', '|']) => {
                self.refuse(
                    "Documents",
                    format!("the document '{id}' at byte {at}: its id ends with / or |"),
                );
            }
            Ok(document) => {
                let attachments = if self.options.takes("Attachments") { listed } else { Vec::new() };
                let document = match modified {
                    Some(time) => document.with_last_modified(time),
                    None => document,
                };
                self.counts.add("Documents", |count| count.read += 1);
                let command = Command::Import { id: id.clone(), document, attachments };
                self.batch
                    .add(Pending { kind: "Documents", id, place: Place::Byte(at), command }, text.len());
            }
        }
        Ok(())
    }

    /// Whether an option leaves the document out.
    fn is_left_out(&self, metadata: &Object) -> bool {
        let options = &self.options;
        let text = |key: &str| metadata.get(key).and_then(Json::as_str);
        let has_flag =
            |name: &str| text("@flags").is_some_and(|flags| flags.split(',').any(|flag| flag.trim() == name));
        let is_expired =
            || text("@expires").and_then(Timestamp::parse).is_some_and(|expires| expires <= clock::now());
        !options.takes("Documents")
            || !options.takes_collection(text("@collection").unwrap_or("@empty"))
            || (!options.include_artificial && has_flag("Artificial"))
            || (options.leave_out_expired && is_expired())
            || (options.leave_out_archived && has_flag("Archived"))
    }

    /// Bytes follow, if they are wanted and not too many.
    fn blob(&mut self, header: &Json, size: u64, at: u64) {
        self.counts.attachments.read += 1;
        if !self.options.takes("Attachments") {
            self.counts.attachments.skipped += 1;
            return;
        }
        if size > ATTACHMENT_BYTES_MAX as u64 {
            self.counts.attachments.errored += 1;
            self.counts.say(format!(
                "the attachment at byte {at} has {size} bytes; the limit (attachment_bytes_max) is \
                 {ATTACHMENT_BYTES_MAX}"
            ));
            return;
        }
        let hash = header.get("Hash").and_then(Json::as_str).and_then(ContentHash::parse);
        self.blob = Some(Blob { at, hash, bytes: Vec::new(), kept: None });
    }

    /// Keeps bytes for the documents behind them.
    fn stage(&mut self, blob: Blob) -> Result<(), ServerError> {
        let Blob { at, hash, bytes, .. } = blob;
        let content = Content::new(bytes)?;
        if hash.is_some_and(|hash| hash != *content.hash()) {
            self.counts.attachments.errored += 1;
            self.counts.say(format!(
                "the bytes of the attachment at byte {at} are not those that its hash says; they were left out"
            ));
            return Ok(());
        }
        let size = content.size();
        let command = Command::StageContent { content };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.batch
            .add(Pending { kind: "Documents", id: String::new(), place: Place::Byte(at), command }, size);
        Ok(())
    }

    /// An attachment of 3.5 stands alone; it becomes that of a document of its own.
    fn legacy_attachment(&mut self, text: &[u8], at: u64) -> Result<(), ServerError> {
        let Some(element) = self.parse("Attachments", text, at)? else { return Ok(()) };
        self.counts.attachments.read += 1;
        if !self.options.takes("Attachments") {
            self.counts.attachments.skipped += 1;
            return Ok(());
        }
        match legacy::attachment(&element) {
            Err(reason) => {
                self.counts.attachments.errored += 1;
                self.counts.say(format!("the attachment at byte {at}: {reason}"));
            }
            Ok((id, document, attachment, content)) => {
                self.counts.say(format!(
                    "the attachment '{}' is now that of the document '{id}' in the collection @files",
                    attachment.name
                ));
                self.counts.add("Documents", |count| count.read += 1);
                let place = Place::Byte(at);
                let command = Command::StageContent { content };
                self.batch.add(Pending { kind: "Documents", id: id.clone(), place, command }, text.len());
                let command = Command::Import { id: id.clone(), document, attachments: vec![attachment] };
                self.batch.add(Pending { kind: "Documents", id, place, command }, 0);
            }
        }
        Ok(())
    }

    /// Some counters of a document; what of them cannot be read is kept.
    fn counters(&mut self, text: Vec<u8>, at: u64) -> Result<(), ServerError> {
        if !self.takes(GROUPS) {
            self.leave_out(GROUPS);
            return Ok(());
        }
        let Some(element) = self.parse(counters::KIND, &text, at)? else { return Ok(()) };
        let group = counters::read(element);
        if group.counters.is_empty()
            && let Some(rest) = group.rest
        {
            self.keep(GROUPS, counters::KIND, rest.to_string().into_bytes(), Vec::new());
            return Ok(());
        }
        self.counts.add(counters::KIND, |count| count.read += 1);
        if let Some(rest) = group.rest {
            self.counts.add(counters::KIND, |count| {
                count.skipped += 1;
                count.kept += 1;
            });
            self.counts.say(format!(
                "some counters of the document '{}' at byte {at} were kept as they are",
                group.id
            ));
            self.set_aside(GROUPS, rest.to_string().into_bytes(), Vec::new());
        }
        let (kind, id, place) = (counters::KIND, group.id, Place::Byte(at));
        let command = Command::ImportCounters { id: id.clone(), counters: group.counters };
        self.batch.add(Pending { kind, id, place, command }, text.len());
        Ok(())
    }

    fn index(&mut self, text: &[u8], at: u64) -> Result<(), ServerError> {
        let Some(element) = self.parse("Indexes", text, at)? else { return Ok(()) };
        if !self.options.takes("Indexes") {
            self.counts.add("Indexes", |count| {
                count.read += 1;
                count.skipped += 1;
            });
            return Ok(());
        }
        // They map the documents from the first on.
        self.flush()?;
        let (registry, numbers) = (self.target.database.indexes(), self.target.numbers);
        if import_indexes::import(registry, numbers, &element, &mut self.counts)? {
            self.counts.add("Indexes", |count| count.kept += 1);
            self.set_aside("Indexes", text.to_vec(), Vec::new());
        }
        Ok(())
    }

    fn identity(&mut self, text: &[u8], at: u64) -> Result<(), ServerError> {
        let Some(element) = self.parse("Identities", text, at)? else { return Ok(()) };
        let value = match element.get("Value") {
            Some(Json::String(text)) => text.parse().ok(),
            Some(value) => value.as_i64(),
            None => None,
        };
        let value = value.and_then(|value| u64::try_from(value).ok());
        let (Some(key), Some(value)) = (element.get("Key").and_then(Json::as_str), value) else {
            self.refuse("Identities", format!("the identity at byte {at} has no Key or no whole Value"));
            return Ok(());
        };
        if !self.options.takes("Identities") {
            self.leave_out("Identities");
            return Ok(());
        }
        match self.target.database.documents().seed_identity(key, value, false) {
            Ok(_) => self.counts.add("Identities", |count| {
                count.read += 1;
                count.written += 1;
            }),
            Err(error) if is_refusal(&error) => {
                self.refuse("Identities", format!("the identity at byte {at}: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn compare_exchange(&mut self, key: &str, text: &[u8], at: u64) -> Result<(), ServerError> {
        const KIND: &str = "CompareExchange";
        let Some(element) = self.parse(KIND, text, at)? else { return Ok(()) };
        if !self.options.takes(KIND) {
            self.leave_out(key);
            return Ok(());
        }
        let Some(name) = element.get("Key").and_then(Json::as_str) else {
            self.refuse(KIND, format!("the compare-exchange value at byte {at} has no Key"));
            return Ok(());
        };
        let value = match element.get("Value") {
            Some(Json::String(text)) => match json::parse(text.as_bytes()) {
                Ok(value) => value,
                Err(error) => {
                    self.refuse(KIND, format!("the compare-exchange value '{name}' at byte {at}: {error}"));
                    return Ok(());
                }
            },
            Some(value) => value.clone(),
            None => Json::Null,
        };
        self.counts.add(KIND, |count| count.read += 1);
        self.batch.weigh(text.len());
        self.exchanges.push((name.to_owned(), value));
        if self.exchanges.len() >= DUMP_BATCH_ITEMS_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is gathered.
    fn flush(&mut self) -> Result<(), ServerError> {
        if self.target.running.is_killed() {
            return Err(ServerError::OperationKilled);
        }
        self.batch.write(self.target.database.documents(), &mut self.counts)?;
        self.flush_exchanges()?;
        self.target.running.progress(self.counts.to_json());
        Ok(())
    }

    fn flush_exchanges(&mut self) -> Result<(), ServerError> {
        let exchanges = std::mem::take(&mut self.exchanges);
        let outcomes = self.target.database.documents().set_compare_exchanges(exchanges)?;
        for outcome in outcomes {
            match outcome {
                Ok(()) => self.counts.add("CompareExchange", |count| count.written += 1),
                Err(error) => {
                    self.counts.add("CompareExchange", |count| count.errored += 1);
                    self.counts.say(format!("a compare-exchange value was refused: {error}"));
                }
            }
        }
        Ok(())
    }
}

/// The result's name of what a dump calls otherwise.
pub(super) fn kind_of(key: &str) -> &str {
    match key {
        "Docs" => "Documents",
        "CmpXchg" => "CompareExchange",
        GROUPS => counters::KIND,
        "DocsDeletions" | "AttachmentsDeletions" => "Tombstones",
        OLD_DOCUMENTS => "RevisionDocuments",
        other => other,
    }
}
