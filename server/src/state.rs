//! What every handler shares: configuration, databases, and the order to stop.

use crate::config::Config;
use crate::databases::Databases;
use crate::dump::error::DumpError;
use crate::envelope::panic_text;
use crate::error::ServerError;
use crate::limits::{
    BULK_QUERIES_RUNNING_MAX, CHANGES_CONNECTIONS_MAX, DUMPS_RUNNING_MAX, PATCHES_RUNNING_MAX,
    QUERIES_RUNNING_MAX, STREAMS_RUNNING_MAX, VERIFICATIONS_RUNNING_MAX,
};
use crate::operations::Operations;
use magpie_query::ParsedQueries;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};

/// The state of a running server; cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

struct Shared {
    config: Config,
    databases: Databases,
    topology_id: String,
    /// Those of no database; nothing that this server does is one so far, but clients ask for them.
    operations: Operations,
    parsed_queries: ParsedQueries,
    query_places: Semaphore,
    stream_places: Arc<Semaphore>,
    patch_places: Semaphore,
    bulk_query_places: Semaphore,
    changes_places: Arc<Semaphore>,
    verify_places: Semaphore,
    dump_places: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

impl AppState {
    /// The state of a server with these databases.
    #[must_use]
    pub fn new(config: Config, databases: Databases, topology_id: String) -> Self {
        Self(Arc::new(Shared {
            config,
            databases,
            topology_id,
            operations: Operations::default(),
            parsed_queries: ParsedQueries::default(),
            query_places: Semaphore::new(QUERIES_RUNNING_MAX),
            stream_places: Arc::new(Semaphore::new(STREAMS_RUNNING_MAX)),
            patch_places: Semaphore::new(PATCHES_RUNNING_MAX),
            bulk_query_places: Semaphore::new(BULK_QUERIES_RUNNING_MAX),
            changes_places: Arc::new(Semaphore::new(CHANGES_CONNECTIONS_MAX)),
            verify_places: Semaphore::new(VERIFICATIONS_RUNNING_MAX),
            dump_places: Arc::new(Semaphore::new(DUMPS_RUNNING_MAX)),
            stopping: watch::Sender::new(false),
        }))
    }

    /// The id that the cluster of this one server goes by until it stops: a UUID.
    #[must_use]
    pub fn topology_id(&self) -> &str {
        &self.0.topology_id
    }

    /// The operations of the server itself.
    pub(crate) fn operations(&self) -> &Operations {
        &self.0.operations
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The databases.
    #[must_use]
    pub fn databases(&self) -> &Databases {
        &self.0.databases
    }

    /// The queries that clients asked before, as they were read.
    pub(crate) fn parsed_queries(&self) -> &ParsedQueries {
        &self.0.parsed_queries
    }

    /// A place to run a query; waits while all are taken.
    ///
    /// # Errors
    /// [`ServerError::Stopping`] when there will be none.
    pub(crate) async fn query_place(&self) -> Result<SemaphorePermit<'_>, ServerError> {
        self.0.query_places.acquire().await.map_err(|_| ServerError::Stopping)
    }

    /// A place to write a stream; waits while all are taken.
    ///
    /// # Errors
    /// [`ServerError::Stopping`] when there will be none.
    pub(crate) async fn stream_place(&self) -> Result<OwnedSemaphorePermit, ServerError> {
        Arc::clone(&self.0.stream_places).acquire_owned().await.map_err(|_| ServerError::Stopping)
    }

    /// A place to run patches; waits while all are taken.
    ///
    /// # Errors
    /// [`ServerError::Stopping`] when there will be none.
    pub(crate) async fn patch_place(&self) -> Result<SemaphorePermit<'_>, ServerError> {
        self.0.patch_places.acquire().await.map_err(|_| ServerError::Stopping)
    }

    /// A place to patch or delete by query; waits while all are taken.
    ///
    /// # Errors
    /// [`ServerError::Stopping`] when there will be none.
    pub(crate) async fn bulk_query_place(&self) -> Result<SemaphorePermit<'_>, ServerError> {
        self.0.bulk_query_places.acquire().await.map_err(|_| ServerError::Stopping)
    }

    /// A place to be told changes; refuses when all are taken.
    ///
    /// # Errors
    /// [`ServerError::ChangesConnections`].
    pub(crate) fn changes_place(&self) -> Result<OwnedSemaphorePermit, ServerError> {
        Arc::clone(&self.0.changes_places).try_acquire_owned().map_err(|_| ServerError::ChangesConnections)
    }

    /// Waits until no connection is told changes any more: each has to say why it ends.
    pub(crate) async fn changes_ended(&self) {
        let all = u32::try_from(CHANGES_CONNECTIONS_MAX).unwrap_or(u32::MAX);
        let _ = self.0.changes_places.acquire_many(all).await;
    }

    /// A place to verify indexes; refuses while all are taken, for it may take long.
    ///
    /// # Errors
    /// [`ServerError::VerificationsRunning`].
    pub(crate) fn verify_place(&self) -> Result<SemaphorePermit<'_>, ServerError> {
        self.0.verify_places.try_acquire().map_err(|_| ServerError::VerificationsRunning)
    }

    /// A place to import or export; refuses while all are taken, for each has a thread of its own.
    ///
    /// # Errors
    /// [`DumpError::TooMany`].
    pub(crate) fn dump_place(&self) -> Result<OwnedSemaphorePermit, ServerError> {
        Arc::clone(&self.0.dump_places).try_acquire_owned().map_err(|_| DumpError::TooMany.into())
    }

    /// Whether the server was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.0.stopping.borrow()
    }

    /// Ends all waiting: requests that wait for indexes answer at once.
    pub fn begin_stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Returns when the server is told to stop.
    pub async fn stopping(&self) {
        // The sender lives in `self`, so this cannot fail while it is polled.
        let _ = self.0.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }
}

/// Runs work that may wait for the disk or compute for long, off the async threads.
///
/// # Errors
/// What the work answers; [`ServerError::Panicked`] when it panics; [`ServerError::Stopping`] when it never ran.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServerError> + Send + 'static,
) -> Result<T, ServerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(match error.try_into_panic() {
            Ok(panic) => ServerError::Panicked(panic_text(panic.as_ref())),
            Err(_) => ServerError::Stopping,
        }),
    }
}
