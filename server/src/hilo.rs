//! HiLo: ranges of numbers from which clients make document ids themselves (`users/1-A`), without asking for each.
//!
//! The document `Raven/Hilo/{tag}` holds the highest number given out. A range is given once: whoever finds that the
//! document has changed meanwhile looks again.

use crate::answer;
use crate::clock;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::request::DatabaseRequest;
use crate::state::blocking;
use crate::version::NODE_TAG;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_store::json::{Json, Object};
use magpie_store::{ChangeVector, Command, DatabaseView, DocumentId, NewDocument, StoreError, Timestamp};

/// Numbers in the smallest range.
///
/// Source: RavenDB's sizes of ranges, as are the two below.
const RANGE_MIN: i64 = 32;
/// Numbers in the largest range that doubling leads to.
const RANGE_MAX: i64 = 1 << 20;
/// A client that comes back sooner than this gets a range of twice the size, in ticks of 100 ns.
const SOON_TICKS: i64 = 30 * 10_000_000;
/// A client that comes back later than this gets a range of half the size, in ticks of 100 ns.
const LATE_TICKS: i64 = 60 * 10_000_000;

/// `GET hilo/next?tag=&lastBatchSize=&lastRangeAt=&identityPartsSeparator=&lastMax=`
pub(crate) async fn next(request: DatabaseRequest) -> Result<Response, ServerError> {
    let tag = request.query.required("tag")?.to_owned();
    let separator =
        request.query.get("identityPartsSeparator").filter(|text| !text.is_empty()).unwrap_or("/");
    if separator.chars().count() != 1 {
        return Err(ServerError::InvalidOperation(format!(
            "Query string identityPartsSeparator is expecting single character, but got '{separator}'."
        )));
    }
    let prefix = format!("{tag}{separator}");
    let last_max = request.query.number("lastMax")?.unwrap_or(0).max(0);
    let last_size = request.query.number("lastBatchSize")?.unwrap_or(0);
    let now = clock::now();
    let size = range_size(last_size, request.query.get("lastRangeAt"), now);
    let database = request.database;
    let (low, high) = blocking(move || take_range(&database, &tag, last_max, size, now)).await?;
    let body = Object::from_iter([
        ("Prefix", Json::from(prefix)),
        ("Low", low.into()),
        ("High", high.into()),
        ("LastSize", (high - low + 1).into()),
        ("ServerTag", NODE_TAG.into()),
        ("LastRangeAt", now.to_string().into()),
    ]);
    Ok(answer::json(StatusCode::CREATED, body))
}

/// `PUT hilo/return?tag=&end=&last=`: the numbers behind `last` of the range that ends at `end` were not used. They are
/// given out again unless another range was given meanwhile.
pub(crate) async fn give_back(request: DatabaseRequest) -> Result<Response, ServerError> {
    let tag = request.query.required("tag")?.to_owned();
    let (Some(end), Some(last)) = (request.query.number("end")?, request.query.number("last")?) else {
        return Err(ServerError::ParameterMissing { name: "end" });
    };
    let database = request.database;
    blocking(move || {
        let view = database.documents().view();
        let current = Current::read(&view, &tag)?;
        if current.max == end && (0..end).contains(&last) {
            match current.write(&database, last, clock::now()) {
                // Another range was given meanwhile: these numbers stay unused.
                Ok(()) | Err(ServerError::Store(StoreError::Conflict { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
    .await?;
    Ok(answer::empty(StatusCode::OK))
}

/// How many numbers the next range has: more for a client that is back soon.
fn range_size(last: i64, last_at: Option<&str>, now: Timestamp) -> i64 {
    let size = last.clamp(RANGE_MIN, RANGE_MAX);
    let Some(last_at) = last_at.and_then(Timestamp::parse) else { return size };
    let since = now.0.saturating_sub(last_at.0);
    if since < SOON_TICKS {
        (size * 2).min(RANGE_MAX)
    } else if since > LATE_TICKS {
        (size / 2).max(RANGE_MIN)
    } else {
        size
    }
}

fn take_range(
    database: &OpenDatabase,
    tag: &str,
    last_max: i64,
    size: i64,
    now: Timestamp,
) -> Result<(i64, i64), ServerError> {
    loop {
        let view = database.documents().view();
        let current = Current::read(&view, tag)?;
        let low = current.max.max(last_max).saturating_add(1);
        let Some(high) = low.checked_add(size - 1) else {
            return Err(ServerError::InvalidOperation(format!("the ids of '{tag}' have no numbers left")));
        };
        match current.write(database, high, now) {
            Ok(()) => return Ok((low, high)),
            Err(ServerError::Store(StoreError::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What the document of a tag says.
struct Current {
    id: String,
    max: i64,
    /// The change vector that the document must still have; empty when there is none.
    expected: String,
}

impl Current {
    fn read(view: &DatabaseView<'_>, tag: &str) -> Result<Self, ServerError> {
        let id = format!("Raven/Hilo/{tag}");
        let document = view.document(&DocumentId::new(&id)?)?;
        let max =
            document.as_ref().and_then(|document| document.body_json().get("Max")?.as_i64()).unwrap_or(0);
        let expected = document.map_or_else(String::new, |document| {
            ChangeVector::new(document.etag, view.database_id()).as_str().to_owned()
        });
        Ok(Self { id, max, expected })
    }

    fn write(self, database: &OpenDatabase, max: i64, now: Timestamp) -> Result<(), ServerError> {
        let metadata = Object::from_iter([("@collection", Json::from("@hilo"))]);
        let body = Object::from_iter([("Max", Json::from(max)), ("@metadata", metadata.into())]);
        let document = NewDocument::from_json(&self.id, body.into())?;
        let put = Command::Put { id: self.id, document, expected: Some(self.expected) };
        database.documents().write(vec![put], now)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_for_who_is_back_soon() {
        let now = Timestamp(17_000_000_000_000_000);
        let ago = |seconds: i64| Timestamp(now.0 - seconds * 10_000_000).to_string();
        for (last, at, size) in [
            (0, ago(1), 64),
            (64, ago(1), 128),
            (64, ago(45), 64),
            (64, ago(100), 32),
            (0, ago(100), 32),
            (i64::MAX, ago(1), RANGE_MAX),
            (-5, String::new(), 32),
            (100, "yesterday".to_owned(), 100),
        ] {
            assert_eq!(range_size(last, Some(&at), now), size, "{last} {at}");
        }
    }
}
