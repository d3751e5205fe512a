//! What an import or export came to, by kind: the original's `SmugglerResult`.

use crate::clock;
use crate::limits::DUMP_MESSAGES_MAX;
use crate::timespan;
use magpie_store::Timestamp;
use magpie_store::json::{Json, Object};
use std::time::Duration;

/// The kinds of the original's result. The names are those on the wire, not those in dumps.
pub(crate) const KINDS: [&str; 15] = [
    "DatabaseRecord",
    "Documents",
    "RevisionDocuments",
    "Tombstones",
    "Conflicts",
    "Identities",
    "Indexes",
    "CompareExchange",
    "CompareExchangeTombstones",
    "Subscriptions",
    "ReplicationHubCertificates",
    "Counters",
    "TimeSeries",
    "TimeSeriesDeletedRanges",
    "Transformers",
];

/// How many items of a kind there were, and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Seen.
    pub(crate) read: u64,
    /// Left out on purpose: by an option, or because Magpie has nothing of the kind.
    pub(crate) skipped: u64,
    /// Of those left out, the ones that are kept as they are, for an export.
    pub(crate) kept: u64,
    /// Refused, each with a message.
    pub(crate) errored: u64,
    /// In the database (or in the dump) for sure.
    pub(crate) written: u64,
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.skipped += other.skipped;
        self.kept += other.kept;
        self.errored += other.errored;
        self.written += other.written;
    }
}

/// The counts of all kinds, and messages.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    kinds: [Count; KINDS.len()],
    /// Streams of attachments; they belong to documents.
    pub(crate) attachments: Count,
    /// Kinds that nobody knows, with how many items of them were left out.
    unknown: Vec<(String, u64)>,
    messages: Vec<String>,
    messages_dropped: u64,
    begin: Timestamp,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self {
            kinds: [Count::default(); KINDS.len()],
            attachments: Count::default(),
            unknown: Vec::new(),
            messages: Vec::new(),
            messages_dropped: 0,
            begin: clock::now(),
        }
    }

    /// The count of a kind; a name that is not in [`KINDS`] gives a count that is thrown away.
    pub(crate) fn of(&mut self, kind: &str) -> Option<&mut Count> {
        let at = KINDS.iter().position(|name| *name == kind)?;
        self.kinds.get_mut(at)
    }

    /// Changes the count of a kind.
    pub(crate) fn add(&mut self, kind: &str, change: impl FnOnce(&mut Count)) {
        if let Some(count) = self.of(kind) {
            change(count);
        }
    }

    /// Counts an item of a kind that is not in [`KINDS`].
    pub(crate) fn unknown(&mut self, name: &str) {
        let kinds = self.unknown.len();
        match self.unknown.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            // A hostile dump may have any number of them.
            None if kinds < DUMP_MESSAGES_MAX => self.unknown.push((name.to_owned(), 1)),
            None => self.messages_dropped += 1,
        }
    }

    /// Adds a message; beyond [`DUMP_MESSAGES_MAX`] they are only counted.
    pub(crate) fn say(&mut self, message: String) {
        if self.messages.len() < DUMP_MESSAGES_MAX {
            self.messages.push(message);
        } else {
            self.messages_dropped += 1;
        }
    }

    /// Adds what another file came to.
    pub(crate) fn merge(&mut self, other: Self) {
        for (count, more) in self.kinds.iter_mut().zip(&other.kinds) {
            count.add(more);
        }
        self.attachments.add(&other.attachments);
        other.messages.into_iter().for_each(|message| self.say(message));
        self.messages_dropped += other.messages_dropped;
    }

    /// What is written, in one line.
    pub(crate) fn written(&self) -> String {
        let kinds = KINDS.iter().zip(&self.kinds).chain([(&"Attachments", &self.attachments)]);
        let parts: Vec<String> = kinds
            .filter(|(_, count)| count.written > 0)
            .map(|(kind, count)| format!("{} {kind}", count.written))
            .collect();
        if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
    }

    /// Says what was only kept, or left out, because Magpie has nothing of the kind.
    pub(crate) fn say_left_out(&mut self) {
        let why = |kind: &str| match kind {
            "RevisionDocuments" => Some("Magpie keeps no revisions"),
            "Counters" => Some("they are of a form that Magpie does not read"),
            "TimeSeries" | "TimeSeriesDeletedRanges" => Some("Magpie has no time series"),
            "Subscriptions" => Some("Magpie has no subscriptions"),
            "Transformers" => Some("transformers ended with RavenDB 3.5; write a projection in the query"),
            "DatabaseRecord" => Some("the settings of a database are not taken over"),
            "Tombstones" | "CompareExchangeTombstones" => Some("what was deleted is not deleted here"),
            "Conflicts" | "ReplicationHubCertificates" => Some("Magpie does not replicate"),
            _ => None,
        };
        let counts: Vec<String> = KINDS
            .iter()
            .zip(&self.kinds)
            .filter(|(_, count)| count.skipped > 0)
            .filter_map(|(kind, count)| {
                let (left_out, why) = (count.skipped - count.kept.min(count.skipped), why(kind)?);
                let mut parts = Vec::new();
                if count.kept > 0 {
                    parts.push(format!("{} {kind} are kept as they are, for exports", count.kept));
                }
                if left_out > 0 {
                    parts.push(format!("{left_out} {kind} were left out"));
                }
                Some(format!("{}: {why}", parts.join(", and ")))
            })
            .collect();
        counts.into_iter().for_each(|message| self.say(message));
        for (name, count) in std::mem::take(&mut self.unknown) {
            let name: String = name.chars().take(100).collect();
            self.say(format!(
                "{count} items of type '{name}' are kept as they are, for exports: the type is unknown or not supported"
            ));
        }
    }

    /// The result as clients read it.
    pub(crate) fn to_json(&self) -> Object {
        let mut body = Object::new();
        body.insert("$type", "Raven.Client.Documents.Smuggler.SmugglerResult, Raven.Client");
        for (kind, count) in KINDS.iter().zip(&self.kinds) {
            let mut item = count_json(count);
            if matches!(*kind, "Documents" | "RevisionDocuments") {
                let attachments = if *kind == "Documents" { self.attachments } else { Count::default() };
                item.insert("Attachments", count_json(&attachments));
                item.insert("LastEtag", 0_i64);
            }
            body.insert(*kind, item);
        }
        let mut messages: Vec<Json> = self.messages.iter().map(|text| text.as_str().into()).collect();
        if self.messages_dropped > 0 {
            messages.push(format!("{} further messages are not listed", self.messages_dropped).into());
        }
        body.insert("Messages", messages);
        let ticks = u64::try_from(clock::now().0.saturating_sub(self.begin.0)).unwrap_or(0);
        body.insert("Elapsed", timespan::format(Duration::from_micros(ticks / 10)));
        let written = KINDS.iter().zip(&self.kinds).chain([(&"Attachments", &self.attachments)]);
        let written = written.filter(|(_, count)| count.written > 0);
        let written = Object::from_iter(written.map(|(kind, count)| (*kind, Json::from(count.written))));
        let kept = KINDS.iter().zip(&self.kinds).filter(|(_, count)| count.kept > 0);
        let kept = Object::from_iter(kept.map(|(kind, count)| (*kind, Json::from(count.kept))));
        let own = [("Written", Json::from(written)), ("Kept", kept.into())];
        body.insert("Magpie", Object::from_iter(own));
        body
    }
}

fn count_json(count: &Count) -> Object {
    Object::from_iter([
        ("Processed", Json::from(true)),
        ("ReadCount", count.read.into()),
        ("SkippedCount", count.skipped.into()),
        ("Skipped", false.into()),
        ("ErroredCount", count.errored.into()),
        ("SizeInBytes", 0_i64.into()),
    ])
}
