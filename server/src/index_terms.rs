//! `GET indexes/terms`: the distinct values of one output field of an index, as text.
//!
//! Strings are as the field's analyzer makes them, lower-cased without one; `null` is `NULL_VALUE`, the empty string is
//! U+0003; arrays give one term per element. The whole index is read; memory is bounded by the number of terms asked for.

use crate::answer;
use crate::error::ServerError;
use crate::limits::TERMS_MAX;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_indexes::IndexError;
use magpie_indexes::definition::FieldIndexing;
use magpie_store::json::{Json, Object};
use std::collections::BTreeSet;

/// `GET indexes/terms?name=&field=&fromValue=&pageSize=`
pub(crate) async fn get(request: DatabaseRequest) -> Result<Response, ServerError> {
    let name = request.query.required("name")?.to_owned();
    let field = request.query.required("field")?.to_owned();
    let from = request.query.get("fromValue").map(str::to_owned);
    let size = usize::try_from(request.query.number("pageSize")?.unwrap_or(TERMS_MAX as i64)).unwrap_or(0);
    let database = request.database;
    let (name, etag, terms) = blocking(move || {
        let view = database.documents().view();
        let index = database.indexes().get_in(&view, &name)?.ok_or(IndexError::NotFound { name })?;
        let indexing = index.definition().indexing_of(&field);
        let size = if indexing == FieldIndexing::No { 0 } else { size.min(TERMS_MAX) };
        let mut terms = Terms { found: BTreeSet::new(), after: from, size, indexing };
        if index.is_map_reduce() {
            for result in index.results(&view) {
                terms.add_field(&result?, &field);
            }
        } else {
            for entry in index.entries(&view) {
                terms.add_field(&entry?.1, &field);
            }
        }
        Ok((index.definition().name.clone(), index.statistics(&view)?.progress.etag, terms.found))
    })
    .await?;
    let body = Object::from_iter([
        ("IndexName", Json::from(name)),
        ("ResultEtag", etag.0.into()),
        ("Terms", Json::Array(terms.into_iter().map(Json::from).collect())),
    ]);
    Ok(answer::with_etag(answer::json(StatusCode::OK, body), &etag.to_string()))
}

/// The smallest terms behind a given one.
struct Terms {
    found: BTreeSet<String>,
    after: Option<String>,
    size: usize,
    indexing: FieldIndexing,
}

impl Terms {
    fn add_field(&mut self, output: &Json, field: &str) {
        if let Some(value) = output.get(field) {
            self.add(value);
        }
    }

    fn add(&mut self, value: &Json) {
        let term = match value {
            Json::Array(items) => {
                items.iter().for_each(|item| self.add(item));
                return;
            }
            Json::Null => "NULL_VALUE".to_owned(),
            Json::String(text) if text.is_empty() => "\u{3}".to_owned(),
            Json::String(text) if is_kept(text) => text.clone(),
            Json::String(text) => match self.indexing {
                FieldIndexing::Exact | FieldIndexing::No => text.clone(),
                FieldIndexing::Default => text.to_lowercase(),
                FieldIndexing::Analyzed(analyzer) => {
                    analyzer.words(text).into_iter().for_each(|word| self.insert(word));
                    return;
                }
            },
            Json::ScriptNumber(number) => number.to_string(),
            Json::Bool(_) | Json::Number(_) | Json::Object(_) => value.to_string(),
        };
        self.insert(term);
    }

    fn insert(&mut self, term: String) {
        if self.after.as_ref().is_some_and(|after| term <= *after) {
            return;
        }
        self.found.insert(term);
        if self.found.len() > self.size {
            self.found.pop_last();
        }
    }
}

/// Whether a text stands for a number or a point in time, which keep their case.
fn is_kept(text: &str) -> bool {
    let is_time = || {
        let shape = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
        shape.take(20).eq(*b"0000-00-00T00:00:00.")
    };
    matches!(text, "NaN" | "Infinity" | "-Infinity") || is_time()
}

#[cfg(test)]
mod tests {
    use super::{FieldIndexing, Terms};
    use magpie_store::json::parse;
    use std::collections::BTreeSet;

    #[test]
    fn terms_are_the_smallest_behind_the_given_one() {
        let mut terms = Terms {
            found: BTreeSet::new(),
            after: Some("a".into()),
            size: 3,
            indexing: FieldIndexing::Default,
        };
        for text in ["\"D\"", "\"a\"", "[\"C\",[\"b\"],\"e\"]", "\"c\""] {
            terms.add(&parse(text.as_bytes()).unwrap());
        }
        assert_eq!(Vec::from_iter(terms.found), ["b", "c", "d"]);
    }
}
