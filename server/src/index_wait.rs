//! Waiting until indexes have caught up, without holding a thread.

use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::limits::WAIT_MS_MAX;
use crate::query_string::Pairs;
use crate::state::{AppState, blocking};
use crate::timespan;
use magpie_indexes::{Index, IndexStatus, MappedCollections};
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
            throw: query.get("waitForIndexThrow").is_none() || query.flag("waitForIndexThrow"),
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
        let relevant: Vec<Arc<Index>> =
            database.indexes().all().into_iter().filter(|index| self.concerns(index, touched)).collect();
        for index in &relevant {
            let left = self.timeout.saturating_sub(started.elapsed());
            wait_until_indexed(app, index, etag, left).await;
        }
        if !self.throw {
            return Ok(());
        }
        let database = Arc::clone(database);
        let (timeout, count) = (self.timeout, relevant.len());
        blocking(move || match late_indexes(&database, &relevant, etag)? {
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

    fn concerns(&self, index: &Index, touched: &Touched) -> bool {
        if !self.specific.is_empty() {
            let name = index.name().to_lowercase();
            return self.specific.iter().any(|wanted| wanted.to_lowercase() == name);
        }
        match &index.shape().collections {
            MappedCollections::All => true,
            MappedCollections::Named(mapped) => {
                touched.any || mapped.iter().any(|collection| touched.collections.contains(collection))
            }
        }
    }
}

/// The names of the indexes that have not reached `etag`, and of those among them that are paused.
fn late_indexes(
    database: &OpenDatabase,
    indexes: &[Arc<Index>],
    etag: Etag,
) -> Result<(Vec<String>, Vec<String>), ServerError> {
    let view = database.documents().view();
    let (mut stale, mut paused) = (Vec::new(), Vec::new());
    for index in indexes {
        // An index reports progress up to the newest etag it has looked at, also when that was of no interest to it.
        if index.progress().etag >= etag || !index.is_stale(&view)? {
            continue;
        }
        stale.push(index.name());
        if matches!(index.status(&view)?, IndexStatus::Paused | IndexStatus::Disabled) {
            paused.push(index.name());
        }
    }
    Ok((stale, paused))
}

/// Waits until an index has taken in everything up to `etag`; ends early when time runs out, the index ends, or the
/// server stops.
pub(crate) async fn wait_until_indexed(app: &AppState, index: &Index, etag: Etag, timeout: Duration) {
    tokio::select! {
        biased;
        _ = index.wait_until_indexed(etag) => {}
        () = tokio::time::sleep(timeout) => {}
        () = app.stopping() => {}
    }
}
