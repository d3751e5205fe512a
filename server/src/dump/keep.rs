//! Items of a dump that Magpie has nothing for: they are kept as they came, and an export gives them back.
//!
//! An item's place and name are made from what it says, so that a dump which is imported twice is kept once.

use super::counters;
use super::counts::Counts;
use super::export::Export;
use crate::error::ServerError;
use magpie_store::json::{self, Json};
use magpie_store::{DocumentId, KeptItem, KeptPart, StoreError, Timestamp};

/// The name that the record of a database has on the top level of a dump.
pub(crate) const RECORD: &str = "DatabaseRecord";
/// Where what stands in `Docs` of a dump of 3.5 and is no document is kept: other servers pass over a kind of this name.
pub(crate) const OLD_DOCUMENTS: &str = "Docs.Legacy";
/// The name that counters have on the top level of a dump.
pub(crate) const GROUPS: &str = "CounterGroups";
/// The kinds that a dump has in fixed places; the others stand behind them.
pub(crate) const PLACED: [&str; 9] = [
    RECORD,
    "RevisionDocuments",
    "Conflicts",
    "Indexes",
    GROUPS,
    "Subscriptions",
    "TimeSeriesDeletedRanges",
    "TimeSeries",
    "ReplicationHubCertificates",
];

/// The item of an element.
pub(crate) fn item(kind: &str, text: Vec<u8>, bytes: Vec<u8>) -> KeptItem {
    // There is one record, the last.
    if kind == RECORD {
        return KeptItem { kind: kind.to_owned(), order: 0, name: [0; 16], text, bytes };
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&text);
    hasher.update(&[0]);
    hasher.update(&bytes);
    let name = hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default();
    // The bytes of attachments come before what names them.
    let order = if bytes.is_empty() { order(kind, &text) } else { 0 };
    KeptItem { kind: kind.to_owned(), order, name, text, bytes }
}

/// Revisions are read in the order in which they were written; other items have none.
fn order(kind: &str, text: &[u8]) -> u64 {
    if kind != "RevisionDocuments" {
        return 0;
    }
    let revision = json::parse(text).ok();
    let metadata = revision.as_ref().and_then(|revision| revision.get("@metadata"));
    let modified = metadata.and_then(|metadata| metadata.get("@last-modified")).and_then(Json::as_str);
    modified.and_then(Timestamp::parse).and_then(|time| u64::try_from(time.0).ok()).unwrap_or(0)
}

/// Whether an item only brings the bytes of an attachment, for an item behind it.
fn is_attachment(text: &[u8]) -> bool {
    text.starts_with(br#"{"@metadata":{"@export-type":"Attachment"}"#)
}

/// The document that an item of counters or time series belongs to.
fn owner(kind: &str, text: &[u8]) -> Option<String> {
    if !matches!(kind, GROUPS | "TimeSeries" | "TimeSeriesDeletedRanges") {
        return None;
    }
    let item = json::parse(text).ok()?;
    let data = item.get("@raven-data").unwrap_or(&item);
    data.get("DocId").and_then(Json::as_str).map(str::to_owned)
}

impl Export<'_> {
    /// Writes the items of a kind into the array of its name, which is open. Counters and time series of documents that
    /// are gone since are left out, as the original deletes them with their documents.
    ///
    /// # Errors
    /// When the store fails, or the client does not take the dump.
    pub(super) fn kept(&mut self, kind: &str, counted: &str) -> Result<(), ServerError> {
        if !self.options.takes(counted) && !self.options.takes(kind) {
            return Ok(());
        }
        let view = self.view;
        let mut is_left_out = false;
        for part in view.kept(kind) {
            match part? {
                KeptPart::Bytes(bytes) if !is_left_out => self.write(&bytes)?,
                KeptPart::Bytes(_) => {}
                KeptPart::Item(text) => {
                    self.look()?;
                    let owner = owner(kind, &text).and_then(|id| DocumentId::new(&id).ok());
                    is_left_out = match &owner {
                        Some(id) => view.document(id)?.is_none(),
                        None => false,
                    };
                    let text = match &owner {
                        Some(id) if kind == GROUPS && !is_left_out => counters::left_of(view, id, &text)?,
                        _ => Some(text),
                    };
                    let Some(text) = text else { continue };
                    if !is_attachment(&text) {
                        count(&mut self.counts, counted, is_left_out);
                    }
                    if !is_left_out {
                        self.element(&text)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The record that an import brought, under this database's name; `None` when there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn kept_record(&mut self, name: &str) -> Result<Option<Json>, ServerError> {
        if !self.options.takes(RECORD) {
            return Ok(None);
        }
        let Some(part) = self.view.kept(RECORD).next() else { return Ok(None) };
        let KeptPart::Item(text) = part? else { return Ok(None) };
        let record =
            json::parse(&text).map_err(|error| StoreError::Corrupt(format!("a kept record: {error}")))?;
        let Json::Object(mut record) = record else { return Ok(None) };
        record.insert("DatabaseName", name);
        count(&mut self.counts, RECORD, false);
        Ok(Some(record.into()))
    }
}

fn count(counts: &mut Counts, kind: &str, is_left_out: bool) {
    counts.add(kind, |count| {
        count.read += 1;
        if is_left_out { count.skipped += 1 } else { count.written += 1 }
    });
}
