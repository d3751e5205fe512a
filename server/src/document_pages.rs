//! Documents in runs: by the start of their ids, from an etag on, the newest of the database or of a collection.

use crate::answer;
use crate::document_text::DocumentList;
use crate::error::ServerError;
use crate::query_string::Pairs;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_store::{ChangeVector, Collection, CollectionFilter, DatabaseView, Document, Etag, StoreError};

/// The part of a run that is asked for.
pub(crate) struct Page {
    pub(crate) start: usize,
    pub(crate) size: usize,
    pub(crate) metadata_only: bool,
}

/// Documents one after the other.
type Run<'v> = Box<dyn Iterator<Item = Result<Document, StoreError>> + 'v>;

impl Page {
    pub(crate) fn read(query: &Pairs) -> Result<Self, ServerError> {
        let start = query.number("start")?.unwrap_or(0);
        let size = query.number("pageSize")?.unwrap_or(i64::MAX);
        Ok(Self {
            start: usize::try_from(start).unwrap_or(0),
            // A negative start or size asks for nothing.
            size: if start < 0 { 0 } else { usize::try_from(size).unwrap_or(0) },
            metadata_only: query.flag("metadataOnly")?,
        })
    }
}

/// `GET docs` without ids: with `startsWith` by id, else the newest first.
pub(crate) async fn get(request: DatabaseRequest) -> Result<Response, ServerError> {
    let page = Page::read(&request.query)?;
    let DatabaseRequest { app, database, query, headers, .. } = request;
    let (etag, text) = blocking(move || {
        let view = database.documents().view();
        let etag = format!("\"{}\"", ChangeVector::new(view.last_etag(), view.database_id()));
        if answer::client_has(&headers, &etag) {
            return Ok((etag, None));
        }
        let limit = app.config().limits.answer_bytes_max;
        let text = write_page(run(&view, &query)?, &view, &page, limit)?;
        Ok((etag, Some(text)))
    })
    .await?;
    Ok(match text {
        None => answer::not_modified(),
        Some(text) => answer::with_etag(answer::json_text(StatusCode::OK, text), &etag),
    })
}

/// `GET collections/docs?name=`: the newest documents of a collection.
pub(crate) async fn of_collection(request: DatabaseRequest) -> Result<Response, ServerError> {
    // There is no short form of this list: the original has whole documents here whatever is asked.
    let page = Page { metadata_only: false, ..Page::read(&request.query)? };
    let collection = Collection::new(request.query.required("name")?)?;
    let DatabaseRequest { app, database, .. } = request;
    let text = blocking(move || {
        let view = database.documents().view();
        let filter = CollectionFilter::Named(vec![collection]);
        write_page(view.documents_newest_first(&filter)?, &view, &page, app.config().limits.answer_bytes_max)
    })
    .await?;
    Ok(answer::json_text(StatusCode::OK, text))
}

/// The documents that `startsWith`, `startAfter`, `matches` and `exclude` ask for by id, or those from `etag` on in the
/// order of their writes; else all, the newest first.
pub(crate) fn run<'v>(view: &'v DatabaseView<'_>, query: &Pairs) -> Result<Run<'v>, ServerError> {
    let from = query.number("etag")?;
    let Some(prefix) = query.raw("startsWith") else {
        if let Some(from) = from {
            let after = Etag(u64::try_from(from).unwrap_or(0).saturating_sub(1));
            return Ok(Box::new(view.documents_in_etag_order(&CollectionFilter::All, after)?));
        }
        return Ok(Box::new(view.documents_newest_first(&CollectionFilter::All)?));
    };
    let patterns = |key: &str| -> Vec<String> {
        let text = query.get(key).unwrap_or("").to_lowercase();
        text.split('|').filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect()
    };
    let (matches, exclude) = (patterns("matches"), patterns("exclude"));
    let prefix_bytes = prefix.to_lowercase().len();
    let documents = view.documents_by_prefix(prefix, query.get("startAfter"))?.filter(move |document| {
        let Ok(document) = document else { return true };
        let rest = document.id.key().get(prefix_bytes..).unwrap_or("");
        let hit = |patterns: &[String]| patterns.iter().any(|pattern| matches_pattern(rest, pattern));
        (matches.is_empty() || hit(&matches)) && !hit(&exclude)
    });
    Ok(Box::new(documents))
}

fn write_page(
    documents: impl Iterator<Item = Result<Document, StoreError>>,
    view: &DatabaseView<'_>,
    page: &Page,
    limit: usize,
) -> Result<Vec<u8>, ServerError> {
    let mut list = DocumentList::new("{\"Results\":", limit);
    for document in documents.skip(page.start).take(page.size) {
        let document = document?;
        list.push(|out| document.write_wire(view.database_id(), page.metadata_only, out))?;
    }
    let mut text = list.close();
    text.push(b'}');
    Ok(text)
}

/// Whether a text fits a pattern in which `?` is any character and `*` any run of characters.
fn matches_pattern(text: &str, pattern: &str) -> bool {
    let (mut text, mut pattern) = (text, pattern);
    // Where to go on when the run of the last `*` must be longer.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        let mut rest = pattern.chars();
        match (rest.next(), text.chars().next()) {
            (Some('*'), _) => {
                pattern = rest.as_str();
                retry = Some((pattern, text));
                continue;
            }
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                pattern = rest.as_str();
                text = text.get(found.len_utf8()..).unwrap_or("");
                continue;
            }
            _ => {}
        }
        let Some((after_star, from)) = retry else { return false };
        let Some(skipped) = from.chars().next() else { return false };
        let longer = from.get(skipped.len_utf8()..).unwrap_or("");
        (pattern, text, retry) = (after_star, longer, Some((after_star, longer)));
    }
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn patterns_match_like_file_names() {
        for (text, pattern) in [
            ("", ""),
            ("", "*"),
            ("abc", "a?c"),
            ("abc", "*c"),
            ("abc", "a*"),
            ("aXbXc", "*x*".to_uppercase().as_str()),
            ("ééa", "?éa"),
            ("aab", "*ab"),
        ] {
            assert!(matches_pattern(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in
            [("a", ""), ("", "?"), ("abc", "a?"), ("abc", "b*"), ("abc", "*b"), ("ab", "abc")]
        {
            assert!(!matches_pattern(text, pattern), "{text} {pattern}");
        }
        // Would take for ever with naive backtracking.
        assert!(!matches_pattern(&"a".repeat(5000), &format!("{}b", "a*".repeat(50))));
    }
}
