//! The `include` clause: documents whose ids the rows hold, each once, without those that are rows themselves; and
//! compare-exchange values whose keys they hold.

use crate::term::{FieldRef, Subject, Term, fold, steps_of_text};
use std::collections::HashSet;

/// A path to ids.
#[derive(Debug, Clone)]
pub(crate) struct IncludePath {
    /// The path as it is reported.
    pub(crate) text: String,
    field: FieldRef,
}

impl IncludePath {
    /// From its text: names joined by dots, each with `[]` or not.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), field: FieldRef::Path(steps_of_text(text)) }
    }

    /// Gives each id that `subject` holds.
    pub(crate) fn ids(&self, subject: &Subject<'_>, take: &mut dyn FnMut(&str)) {
        self.field.any(subject, &mut |term| {
            if let Term::Text(id) = term
                && !id.is_empty()
            {
                take(id);
            }
            false
        });
    }
}

/// The ids met so far, in the order they were met.
#[derive(Debug, Default)]
pub(crate) struct Included {
    seen: HashSet<String>,
    ids: Vec<String>,
    bytes: usize,
}

impl Included {
    /// Collects the ids that `subject` holds at `paths`.
    pub(crate) fn collect(&mut self, paths: &[IncludePath], subject: &Subject<'_>) {
        for path in paths {
            path.ids(subject, &mut |id| self.add(id));
        }
    }

    /// Collects keys instead, which may be numbers as well.
    pub(crate) fn collect_keys(&mut self, paths: &[IncludePath], subject: &Subject<'_>) {
        for path in paths {
            path.field.any(subject, &mut |term| {
                match term {
                    Term::Text(key) => self.add(key),
                    Term::Number(number) => self.add(&number.to_string()),
                    _ => {}
                }
                false
            });
        }
    }

    /// Adds an id or a key.
    pub(crate) fn add(&mut self, id: &str) {
        if !id.is_empty() && self.seen.insert(fold(id).into_owned()) {
            self.ids.push(id.to_owned());
            self.bytes += 2 * id.len() + 64;
        }
    }

    /// Adds ids.
    pub(crate) fn add_all<'i>(&mut self, ids: impl Iterator<Item = &'i str>) {
        ids.for_each(|id| self.add(id));
    }

    /// All that was collected.
    pub(crate) fn all(&self) -> &[String] {
        &self.ids
    }

    /// The ids, without those of `rows` (lower-cased).
    pub(crate) fn ids(&self, rows: &HashSet<String>) -> impl Iterator<Item = &str> {
        self.ids.iter().filter(|id| !rows.contains(fold(id).as_ref())).map(String::as_str)
    }

    /// About how many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
