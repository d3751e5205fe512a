//! What a running server does unasked: tombstones that every index has seen are removed, so that a database of events
//! that come and go stays as small as what is in it.

use crate::error::ServerError;
use crate::limits::PURGE_INTERVAL_MS;
use crate::state::{AppState, blocking};
use std::time::Duration;

/// Purges tombstones of all open databases from time to time, until the server stops.
pub(crate) async fn run(app: AppState) {
    let mut turns = tokio::time::interval(Duration::from_millis(PURGE_INTERVAL_MS));
    loop {
        tokio::select! {
            () = app.stopping() => return,
            _ = turns.tick() => {}
        }
        let app = app.clone();
        if let Err(error) = blocking(move || purge(&app)).await {
            tracing::warn!(%error, "tombstones are kept for now");
        }
    }
}

fn purge(app: &AppState) -> Result<(), ServerError> {
    for record in app.databases().records() {
        // A database that is disabled, or deleted meanwhile, has its turn another time.
        let Ok(database) = app.databases().get(&record.name) else { continue };
        let purged = database.indexes().purge_tombstones()?;
        if purged > 0 {
            tracing::debug!(database = record.name, purged, "tombstones removed");
        }
    }
    Ok(())
}
