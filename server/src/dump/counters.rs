//! Counters in dumps: the elements of `CounterGroups`, each with some counters of one document.
//!
//! `{"DocId","ChangeVector","Values":{"@dbIds":[..],"@names":{"lower case":"As Spelt"},"@vals":{"lower case":[value,etag,..]}}}`:
//! a counter has a value and an etag for each database that counted, and its value is their sum; a text in place of the
//! array marks a counter that was deleted. What is not of this form is kept as it is.

use super::counts::Counts;
use super::export::Export;
use super::keep::GROUPS;
use crate::error::ServerError;
use crate::limits::DUMP_COUNTERS_PER_GROUP_MAX;
use magpie_store::json::{self, Json, Object};
use magpie_store::{ChangeVector, Counter, DatabaseView, Document, DocumentId};

const VALUES: &str = "Values";
const VALS: &str = "@vals";
const NAMES: &str = "@names";

/// The name that counters have in the result of an import or export.
pub(super) const KIND: &str = "Counters";

/// What an element says.
pub(super) struct Group {
    /// The document.
    pub(super) id: String,
    /// Names and values.
    pub(super) counters: Vec<(String, i64)>,
    /// The element without the counters that could be read; `None` when that were all.
    pub(super) rest: Option<Json>,
}

/// Reads an element.
pub(super) fn read(mut element: Json) -> Group {
    let id = element.get("DocId").and_then(Json::as_str).unwrap_or_default().to_owned();
    let values = element.get(VALUES);
    let listed = values.and_then(|values| values.get(VALS)).and_then(Json::as_object);
    let Some(listed) = listed.filter(|_| !id.is_empty()) else {
        return Group { id, counters: Vec::new(), rest: Some(element) };
    };
    let names = values.and_then(|values| values.get(NAMES)).and_then(Json::as_object);
    let (mut counters, mut read) = (Vec::new(), Vec::new());
    for (key, value) in listed.iter() {
        let spelt = names.and_then(|names| names.get(key)).and_then(Json::as_str).unwrap_or(key);
        match value {
            Json::String(_) => read.push(key.to_owned()),
            value => {
                if let (Some(sum), Ok(())) = (sum(value), Counter::check_name(&id, spelt)) {
                    counters.push((spelt.to_owned(), sum));
                    read.push(key.to_owned());
                }
            }
        }
    }
    let is_whole = read.len() == listed.len();
    read.iter().for_each(|key| remove(&mut element, key));
    Group { id, counters, rest: (!is_whole).then_some(element) }
}

/// The sum of the values of all databases; `None` when they are none, or the sum is no 64-bit whole number.
fn sum(value: &Json) -> Option<i64> {
    let pairs = value.as_array()?.chunks(2);
    pairs.map(|pair| pair.first()?.as_i64()).try_fold(0_i64, |sum, value| sum.checked_add(value?))
}

/// Removes a counter from an element.
fn remove(element: &mut Json, key: &str) {
    for list in [VALS, NAMES] {
        if let Some(Json::Object(list)) = member(element, VALUES).and_then(|values| member(values, list)) {
            list.remove(key);
        }
    }
}

fn member<'j>(value: &'j mut Json, name: &str) -> Option<&'j mut Json> {
    match value {
        Json::Object(object) => object.get_mut(name),
        _ => None,
    }
}

/// A kept element as an export gives it: without the counters that the document has for real by now, as those are given
/// anyway. `None` when nothing is left of it.
///
/// # Errors
/// When the store fails.
pub(super) fn left_of(
    view: &DatabaseView<'_>,
    id: &DocumentId,
    text: &[u8],
) -> Result<Option<Vec<u8>>, ServerError> {
    let Ok(mut element) = json::parse(text) else { return Ok(Some(text.to_vec())) };
    let listed = element.get(VALUES).and_then(|values| values.get(VALS)).and_then(Json::as_object);
    let keys: Vec<String> =
        listed.into_iter().flat_map(Object::iter).map(|(key, _)| key.to_owned()).collect();
    let mut left = keys.len();
    for key in keys {
        if view.counter(id, &key)?.is_some() {
            remove(&mut element, &key);
            left -= 1;
            if left == 0 {
                return Ok(None);
            }
        }
    }
    Ok(Some(element.to_string().into_bytes()))
}

impl Export<'_> {
    /// Writes the counters of the documents that are exported into the array of their name, which is open.
    ///
    /// # Errors
    /// When the store fails, or the client does not take the dump.
    pub(super) fn counters(&mut self) -> Result<(), ServerError> {
        self.kept(GROUPS, KIND)?;
        if !self.takes_counters() {
            return Ok(());
        }
        let view = self.view;
        let mut group: Vec<Counter> = Vec::new();
        let mut of: Option<(String, bool)> = None;
        for counter in view.all_counters() {
            let (id, counter) = counter?;
            let is_other = of.as_ref().is_none_or(|(of, _)| *of != id);
            if is_other || group.len() >= DUMP_COUNTERS_PER_GROUP_MAX {
                self.counter_group(of.as_ref(), &mut group)?;
            }
            if is_other {
                let document = view.document(&DocumentId::new(&id)?)?;
                let is_given = document.is_some_and(|document| self.gives(&document));
                of = Some((id, is_given));
            }
            group.push(counter);
        }
        self.counter_group(of.as_ref(), &mut group)
    }

    /// Whether counters are wanted, by either of their names.
    pub(super) fn takes_counters(&self) -> bool {
        self.options.takes(KIND) || self.options.takes(GROUPS)
    }

    fn gives(&self, document: &Document) -> bool {
        self.options.takes_collection(document.collection.as_str()) && !self.is_left_out(document)
    }

    /// Writes some counters of a document (its id, and whether the document is exported).
    fn counter_group(
        &mut self,
        of: Option<&(String, bool)>,
        group: &mut Vec<Counter>,
    ) -> Result<(), ServerError> {
        let counters = std::mem::take(group);
        let (Some((id, is_given)), Some(newest)) = (of, counters.iter().map(|counter| counter.etag).max())
        else {
            return Ok(());
        };
        self.look()?;
        count(&mut self.counts, *is_given);
        if !is_given {
            return Ok(());
        }
        let database_id = self.view.database_id();
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for counter in counters {
            let key = counter.name.chars().flat_map(char::to_lowercase).collect::<String>();
            values.push((key.clone(), Json::Array(vec![counter.value.into(), counter.etag.0.into()])));
            names.push((key, counter.name.into()));
        }
        let inner = Object::from_iter([
            ("@dbIds", Json::Array(vec![database_id.into()])),
            (NAMES, Object::from_distinct(names).into()),
            (VALS, Object::from_distinct(values).into()),
        ]);
        let element = Object::from_iter([
            ("DocId", Json::from(id.as_str())),
            ("ChangeVector", ChangeVector::new(newest, database_id).as_str().into()),
            (VALUES, inner.into()),
        ]);
        self.element(Json::from(element).to_string().as_bytes())
    }
}

fn count(counts: &mut Counts, is_given: bool) {
    counts.add(KIND, |count| {
        count.read += 1;
        if is_given { count.written += 1 } else { count.skipped += 1 }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(values: &str) -> Group {
        let text = format!(r#"{{"DocId":"users/1","ChangeVector":"A:1-x","Values":{values}}}"#);
        read(json::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn values_of_several_databases_are_summed_and_deleted_ones_are_none() {
        let found = group(
            r#"{"@dbIds":["x","y"],"@names":{"likes":"Likes","gone":"Gone"},
                "@vals":{"likes":[3,19,-5,4],"b":[9007199254740993,3],"gone":"A:22-x","zero":[]}}"#,
        );
        assert_eq!(found.id, "users/1");
        let expected = [("Likes", -2), ("b", 9_007_199_254_740_993), ("zero", 0)];
        assert_eq!(found.counters, expected.map(|(name, value)| (name.to_owned(), value)));
        assert!(found.rest.is_none());
    }

    #[test]
    fn what_is_no_number_is_left_for_keeping() {
        let found = group(
            r#"{"@dbIds":["x"],"@names":{"a":"A","b":"B","c":"C"},
                "@vals":{"a":[1,2],"b":["text",2],"c":[9223372036854775807,1,1,2],"":[1,2]}}"#,
        );
        assert_eq!(found.counters, [("A".to_owned(), 1)]);
        assert_eq!(
            found.rest.unwrap().to_string(),
            r#"{"DocId":"users/1","ChangeVector":"A:1-x","Values":{"@dbIds":["x"],"@names":{"b":"B","c":"C"},"@vals":{"b":["text",2],"c":[9223372036854775807,1,1,2],"":[1,2]}}}"#
        );
        for whole in ["null", "{}", r#"{"likes":[7,7]}"#, r#"{"@vals":[]}"#] {
            let found = group(whole);
            assert!(found.counters.is_empty() && found.rest.is_some(), "{whole}");
        }
    }
}
