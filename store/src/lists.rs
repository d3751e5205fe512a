//! What a document's metadata lists of what belongs to the document: its attachments, and the names of its counters.
//!
//! Clients read the lists (`@attachments`, `@counters`) and the flags that go with them (`HasAttachments`, `HasCounters`);
//! only the store writes them.

use crate::attachments::Attachment;
use crate::counters;
use crate::document::Document;
use crate::json::{self, Json, Object};

const ATTACHMENTS: &str = "@attachments";
const COUNTERS: &str = "@counters";
const FLAGS: &str = "@flags";
const HAS_ATTACHMENTS: &str = "HasAttachments";
const HAS_COUNTERS: &str = "HasCounters";

/// The lists of a document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Lists {
    /// Its attachments.
    pub attachments: Vec<Attachment>,
    /// The names of its counters, each as it was first spelt.
    pub counters: Vec<Box<str>>,
}

impl Lists {
    /// Those that stored metadata has.
    pub(crate) fn of(metadata: &str) -> Self {
        let metadata = json::parse_stored_object(metadata);
        let items = |name: &str| metadata.get(name).and_then(Json::as_array).unwrap_or_default();
        Self {
            attachments: items(ATTACHMENTS).iter().filter_map(Attachment::from_json).collect(),
            counters: items(COUNTERS).iter().filter_map(Json::as_str).map(Box::from).collect(),
        }
    }

    /// Whether there is nothing to list.
    pub(crate) fn is_empty(&self) -> bool {
        self.attachments.is_empty() && self.counters.is_empty()
    }

    /// Metadata with these lists, ordered by name, and their flags, in place of those that it has.
    pub(crate) fn in_metadata(&self, metadata: &str) -> Box<str> {
        let mut object = json::parse_stored_object(metadata);
        strip(&mut object);
        if !self.attachments.is_empty() {
            let mut attachments: Vec<&Attachment> = self.attachments.iter().collect();
            attachments.sort_by_key(|attachment| attachment.key());
            let items: Vec<Json> = attachments.iter().map(|attachment| attachment.to_json()).collect();
            object.insert(ATTACHMENTS, items);
            set_flag(&mut object, HAS_ATTACHMENTS);
        }
        if !self.counters.is_empty() {
            let mut names = self.counters.clone();
            counters::sort(&mut names);
            object.insert(COUNTERS, names.iter().map(|name| Json::from(&**name)).collect::<Vec<_>>());
            set_flag(&mut object, HAS_COUNTERS);
        }
        json::object_text(&object)
    }
}

/// Removes what only the store writes.
pub(crate) fn strip(metadata: &mut Object) {
    strip_one(metadata, ATTACHMENTS, HAS_ATTACHMENTS);
    strip_one(metadata, COUNTERS, HAS_COUNTERS);
}

/// Stored metadata without what only the store writes.
pub(crate) fn stripped(metadata: &str) -> Box<str> {
    Lists::default().in_metadata(metadata)
}

/// Whether stored metadata may have lists; most has none, and that is told without parsing.
pub(crate) fn may_list(metadata: &str) -> bool {
    [ATTACHMENTS, COUNTERS, HAS_ATTACHMENTS, HAS_COUNTERS].iter().any(|name| metadata.contains(name))
}

fn strip_one(metadata: &mut Object, list: &str, flag: &str) {
    metadata.remove(list);
    let Some(Json::String(flags)) = metadata.get(FLAGS) else { return };
    if !flags.contains(flag) {
        return;
    }
    let others: Vec<&str> =
        flags.split(',').map(str::trim).filter(|other| *other != flag && !other.is_empty()).collect();
    let others = others.join(", ");
    if others.is_empty() {
        metadata.remove(FLAGS);
    } else {
        metadata.insert(FLAGS, others);
    }
}

fn set_flag(metadata: &mut Object, flag: &str) {
    let flags = match metadata.get(FLAGS).and_then(Json::as_str).filter(|flags| !flags.is_empty()) {
        Some(flags) => format!("{flags}, {flag}"),
        None => flag.to_owned(),
    };
    metadata.insert(FLAGS, flags);
}

impl Document {
    /// The document without its attachments and their flag.
    #[must_use]
    pub fn without_attachments(self) -> Self {
        self.without(ATTACHMENTS, HAS_ATTACHMENTS)
    }

    /// The document without the names of its counters and their flag.
    #[must_use]
    pub fn without_counters(self) -> Self {
        self.without(COUNTERS, HAS_COUNTERS)
    }

    fn without(mut self, list: &str, flag: &str) -> Self {
        let mut metadata = self.metadata_json();
        strip_one(&mut metadata, list, flag);
        self.metadata = json::object_text(&metadata);
        self
    }

    /// Its attachments, ordered by name.
    #[must_use]
    pub fn attachments(&self) -> Vec<Attachment> {
        // Most documents are told apart without parsing.
        if self.metadata.contains(ATTACHMENTS) { Lists::of(&self.metadata).attachments } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachments::ContentHash;

    fn attachment(name: &str) -> Attachment {
        Attachment {
            name: name.to_owned(),
            hash: ContentHash::of(name.as_bytes()),
            content_type: String::new(),
            size: 1,
        }
    }

    #[test]
    fn lists_and_their_flags_come_and_go_together() {
        let plain = r#"{"@collection":"A","@flags":"HasRevisions"}"#;
        let lists = Lists {
            attachments: vec![attachment("b"), attachment("A")],
            counters: ["_x", "b", "Z", "a b", "a-b", "A"].map(Box::from).to_vec(),
        };
        let text = lists.in_metadata(plain);
        assert!(text.contains(r#""@flags":"HasRevisions, HasAttachments, HasCounters""#), "{text}");
        // The order of RavenDB 7.1.5.
        assert!(text.contains(r#""@counters":["A","a b","a-b","b","Z","_x"]"#), "{text}");
        let found = Lists::of(&text);
        let names: Vec<&str> = found.attachments.iter().map(|one| one.name.as_str()).collect();
        assert_eq!((names, found.counters.len()), (vec!["A", "b"], 6));
        assert_eq!(&*stripped(&text), plain);
        assert_eq!(
            &*stripped(&Lists { counters: vec!["x".into()], ..Lists::default() }.in_metadata("{}")),
            "{}"
        );
        assert!(may_list(&text) && !may_list(plain));
    }

    #[test]
    fn one_list_can_go_without_the_other() {
        let lists = Lists { attachments: vec![attachment("a")], counters: vec!["c".into()] };
        let document = |text: &str| {
            let new = crate::NewDocument::parse("x", b"{}").unwrap();
            let mut document = new.to_document(crate::DocumentId::new("x").unwrap(), crate::Timestamp(0));
            document.metadata = lists.in_metadata(text);
            document
        };
        assert_eq!(
            &*document("{}").without_attachments().metadata,
            r#"{"@flags":"HasCounters","@counters":["c"]}"#
        );
        assert_eq!(document("{}").without_counters().attachments(), lists.attachments);
        assert!(!document("{}").without_counters().metadata.contains("ounters"));
    }
}
