//! Waiting until indexes have caught up, without holding a thread.

use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::limits::WAIT_MS_MAX;
use crate::query_string::Pairs;
use crate::state::{AppState, blocking};
use crate::timespan;
use magpie_indexes::{Index, IndexStatus, Registry};
use magpie_store::{Collection, Etag};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a write asks to wait for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WaitOptions {
    timeout: Duration,
    /// Whether running out of time is an error.
    throw: bool,
    /// Only these indexes; empty means all that the write concerns.
    specific: Vec<String>,
}

/// The collections that a write changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Touched {
    /// Whether it may have been any collection.
    pub(crate) any: bool,
    /// Those that are known.
    pub(crate) collections: Vec<Collection>,
}

impl WaitOptions {
    /// Reads `waitForIndexesTimeout`, `waitForIndexThrow` (default: yes) and `waitForSpecificIndex`; `None` when the
    /// write does not ask to wait.
    ///
    /// # Errors
    /// [`ServerError::ValueNotAllowed`] when the time is no span of time.
    pub(crate) fn read(query: &Pairs) -> Result<Option<Self>, ServerError> {
        let Some(text) = query.get("waitForIndexesTimeout") else { return Ok(None) };
        let Some(timeout) = timespan::parse(text) else {
            return Err(ServerError::ValueNotAllowed {
                name: "waitForIndexesTimeout",
                value: text.to_owned(),
                expected: "a span of time such as 00:00:15",
            });
        };
        Ok(Some(Self {
            timeout: timeout.min(Duration::from_millis(WAIT_MS_MAX)),
            throw: query.get("waitForIndexThrow").is_none() || query.flag("waitForIndexThrow")?,
            specific: query.all("waitForSpecificIndex").map(str::to_owned).collect(),
        }))
    }

    /// Waits until the concerned indexes have taken in everything up to `etag`.
    ///
    /// # Errors
    /// [`ServerError::IndexWaitTimeout`] when they have not and the write asked to be told.
    pub(crate) async fn wait(
        &self,
        app: &AppState,
        database: &Arc<OpenDatabase>,
        touched: &Touched,
        etag: Etag,
    ) -> Result<(), ServerError> {
        let started = Instant::now();
        let indexes = database.indexes();
        let relevant: Vec<Arc<Index>> =
            indexes.all().into_iter().filter(|index| self.concerns(indexes, index, touched)).collect();
        let mut late = Vec::new();
        for index in &relevant {
            let left = self.timeout.saturating_sub(started.elapsed());
            if !wait_until_followed(app, database, index, etag, left).await {
                late.push(Arc::clone(index));
            }
        }
        if late.is_empty() || !self.throw {
            return Ok(());
        }
        let database = Arc::clone(database);
        let (timeout, count) = (self.timeout, relevant.len());
        blocking(move || match stale_among(&database, &late)? {
            (stale, _) if stale.is_empty() => Ok(()),
            (stale, paused) => Err(ServerError::IndexWaitTimeout {
                waited: timespan::format(timeout.max(Duration::from_nanos(100))),
                etag: etag.0,
                relevant: count,
                stale_count: stale.len(),
                stale: stale.join(", "),
                paused_count: paused.len(),
                paused: paused.join(", "),
            }),
        })
        .await
    }

    /// Whether the write may change what an index shows: by itself, or through the indexes before it in its chain.
    fn concerns(&self, indexes: &Registry, index: &Arc<Index>, touched: &Touched) -> bool {
        if !self.specific.is_empty() {
            let name = index.name().to_lowercase();
            return self.specific.iter().any(|wanted| wanted.to_lowercase() == name);
        }
        // Nobody asks it.
        if index.is_idle() {
            return false;
        }
        let feeds =
            |link: &Arc<Index>| touched.collections.iter().any(|touched| link.feed().contains(touched));
        touched.any || indexes.chain(index).iter().any(feeds)
    }
}

/// The names of the indexes that are still stale, and of those among them that are paused.
fn stale_among(
    database: &OpenDatabase,
    late: &[Arc<Index>],
) -> Result<(Vec<String>, Vec<String>), ServerError> {
    let view = database.documents().view();
    let (mut stale, mut paused) = (Vec::new(), Vec::new());
    for index in late {
        if !database.indexes().is_stale(&view, index)? {
            continue;
        }
        stale.push(index.name());
        if matches!(index.status(&view)?, IndexStatus::Paused | IndexStatus::Disabled) {
            paused.push(index.name());
        }
    }
    Ok((stale, paused))
}

/// Waits until an index and those before it in its chain have taken in everything up to `etag`, and gives whether they
/// have; ends early when time runs out, one of them ends, or the server stops.
pub(crate) async fn wait_until_followed(
    app: &AppState,
    database: &OpenDatabase,
    index: &Arc<Index>,
    etag: Etag,
    timeout: Duration,
) -> bool {
    tokio::select! {
        biased;
        followed = database.indexes().wait_until_followed(index, etag) => followed,
        () = tokio::time::sleep(timeout) => false,
        () = app.stopping() => false,
    }
}
