//! Queries as they were read from their text, and a bounded memory of them: clients ask the same few texts again and
//! again, with other parameters.

use crate::ast::{Argument, Condition, FromSource, Include, Left, Query, Right};
use crate::error::QueryError;
use crate::{limits, parser};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A query that was read. What it means to an index is not part of it, so it stays right whatever is written.
#[derive(Debug)]
pub struct ParsedQuery {
    pub(crate) query: Query,
    is_light: bool,
    draws_random: bool,
    asks_time: bool,
}

impl ParsedQuery {
    /// Reads a query.
    ///
    /// # Errors
    /// Those of [`crate::parse`].
    pub fn new(text: &str) -> Result<Self, QueryError> {
        let query = parser::parse(text)?;
        Ok(Self {
            is_light: is_light(&query),
            draws_random: text.to_lowercase().contains("random"),
            asks_time: asks_time(text),
            query,
        })
    }

    /// What it is about.
    #[must_use]
    pub fn source(&self) -> &FromSource {
        &self.query.from.source
    }

    /// Whether it asks an index in a way that takes little time for each row that is read: comparisons of fields only,
    /// no scripts and patterns, no loading and no order. It may still read many rows.
    #[must_use]
    pub fn is_light(&self) -> bool {
        self.is_light
    }

    /// Whether its answer hangs on [`crate::Request::random_seed`], as far as its text tells.
    #[must_use]
    pub fn draws_random(&self) -> bool {
        self.draws_random
    }

    /// Whether its answer hangs on [`crate::Request::now`], as far as its text tells.
    #[must_use]
    pub fn asks_time(&self) -> bool {
        self.asks_time
    }
}

/// Whether JavaScript of the query looks at the clock.
fn asks_time(text: &str) -> bool {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    text.contains("newDate()") || text.contains("Date.now")
}

fn is_light(query: &Query) -> bool {
    let Query { declarations, group_by, reduce, order_by, load, filter, select, update, include, .. } = query;
    matches!(query.from.source, FromSource::Index(_))
        && declarations.is_empty()
        && group_by.is_empty()
        && reduce.is_none()
        && order_by.is_empty()
        && load.is_empty()
        && filter.is_none()
        && select.is_none()
        && update.is_none()
        && include.iter().all(|include| match include {
            Include::Call(call) => !call.name.eq_ignore_ascii_case("highlight"),
            Include::Path(_) => false,
        })
        && query.condition.as_ref().is_none_or(compares_fields)
}

fn compares_fields(condition: &Condition) -> bool {
    let is_field = |left: &Left| matches!(left, Left::Field(_));
    match condition {
        Condition::True => true,
        Condition::Compare { left, right, .. } => is_field(left) && !matches!(right, Right::Call(_)),
        Condition::Between { left, .. } | Condition::In { left, .. } => is_field(left),
        Condition::Call(call) => {
            call.name.eq_ignore_ascii_case("exact")
                && call
                    .arguments
                    .iter()
                    .all(|argument| matches!(argument, Argument::Condition(inner) if compares_fields(inner)))
        }
        Condition::And(parts) | Condition::Or(parts) => parts.iter().all(compares_fields),
        Condition::Not(inner) => compares_fields(inner),
    }
}

/// Remembers queries by their texts, those of two generations: when the younger one is full, the older one is forgotten.
#[derive(Debug, Default)]
pub struct ParsedQueries(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<str>, Arc<ParsedQuery>>,
    young_bytes: usize,
    old: HashMap<Box<str>, Arc<ParsedQuery>>,
}

impl ParsedQueries {
    /// The query of this text, read anew if it is not remembered. Errors are not remembered.
    ///
    /// # Errors
    /// Those of [`crate::parse`].
    pub fn parse(&self, text: &str) -> Result<Arc<ParsedQuery>, QueryError> {
        if let Some(known) = self.lock().find(text) {
            return Ok(known);
        }
        let parsed = Arc::new(ParsedQuery::new(text)?);
        if text.len() <= limits::PARSED_QUERY_BYTES_MAX {
            self.lock().add(text.into(), Arc::clone(&parsed));
        }
        Ok(parsed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn find(&mut self, text: &str) -> Option<Arc<ParsedQuery>> {
        if let Some(known) = self.young.get(text) {
            return Some(Arc::clone(known));
        }
        let (text, known) = self.old.remove_entry(text)?;
        self.add(text, Arc::clone(&known));
        Some(known)
    }

    fn add(&mut self, text: Box<str>, parsed: Arc<ParsedQuery>) {
        if self.young.len() >= limits::PARSED_QUERIES_MAX
            || self.young_bytes + text.len() > limits::PARSED_QUERIES_BYTES_MAX
        {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += text.len();
        self.young.insert(text, parsed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_that_look_at_the_clock_ask_for_the_time() {
        assert!(asks_time("from U as u select { age: new Date( ).getFullYear() - u.year }"));
        assert!(asks_time("from U as u select { t: Date.now() }"));
        assert!(!asks_time("from U where birthDate > '2000-01-01' order by lastDate"));
        assert!(!asks_time("from U as u select { d: new Date(u.at) }"));
    }

    #[test]
    fn what_runs_scripts_or_reads_elsewhere_is_not_light() {
        let is_light = |text: &str| ParsedQuery::new(text).unwrap().is_light();
        for text in [
            "from index 'I'",
            "from index 'I' where a = 1 and (b = $b or not c in ('x', 'y')) limit 3",
            "from index 'I' as i where exact(i.a = 'B') and i.b between 1 and 2 include timings()",
        ] {
            assert!(is_light(text), "{text}");
        }
        for text in [
            "from U where a = 1",
            "from index 'I' where regex(a, '^x')",
            "from index 'I' where a = cmpxchg('x')",
            "from index 'I' where search(a, 'x')",
            "from index 'I' order by a",
            "from index 'I' select a",
            "from index 'I' as i select { a: i.a }",
            "from index 'I' include a",
            "from index 'I' filter a = 1",
            "from index 'I' reduce by a",
        ] {
            assert!(!is_light(text), "{text}");
        }
    }

    #[test]
    fn a_text_is_read_once_and_what_is_remembered_is_bounded() {
        let queries = ParsedQueries::default();
        let first = queries.parse("from A where b = $c").unwrap();
        assert!(Arc::ptr_eq(&first, &queries.parse("from A where b = $c").unwrap()));
        for number in 0..3 * limits::PARSED_QUERIES_MAX {
            queries.parse(&format!("from A where b = {number}")).unwrap();
            // What is asked all the time is kept.
            assert!(Arc::ptr_eq(&first, &queries.parse("from A where b = $c").unwrap()));
        }
        let held = |queries: &ParsedQueries| {
            let held = queries.lock();
            (held.young.len() + held.old.len(), held.young_bytes)
        };
        assert!(held(&queries).0 <= 2 * limits::PARSED_QUERIES_MAX, "{:?}", held(&queries));
        let long = |number: usize| format!("from A where b = '{}'", format!("{number:08}").repeat(1000));
        for number in 0..3 * limits::PARSED_QUERIES_BYTES_MAX / 8000 {
            queries.parse(&long(number)).unwrap();
        }
        assert!(held(&queries).1 <= limits::PARSED_QUERIES_BYTES_MAX);
        let before = held(&queries).0;
        queries.parse(&format!("from A where b = '{}'", "x".repeat(limits::PARSED_QUERY_BYTES_MAX))).unwrap();
        assert!(queries.parse("from A where").is_err());
        assert_eq!(held(&queries).0, before);
    }
}
