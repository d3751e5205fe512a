//! What a running server does unasked: tombstones that every index has seen are removed, so that a database of events
//! that come and go stays as small as what is in it; and auto indexes that nobody needs any more.

use crate::clock;
use crate::databases::OpenDatabase;
use crate::error::ServerError;
use crate::limits::{
    AUTO_IDLE_MS, AUTO_REMOVED_MS, AUTO_SUPERSEDED_MS, AUTO_TEND_INTERVAL_MS, PURGE_INTERVAL_MS,
};
use crate::state::{AppState, blocking};
use magpie_indexes::AutoTimes;
use std::time::Duration;

/// Ticks of 100 ns in a millisecond.
const TICKS_PER_MS: i64 = 10_000;

/// Looks after all open databases from time to time, until the server stops.
pub(crate) async fn run(app: AppState) {
    let mut purges = tokio::time::interval(Duration::from_millis(PURGE_INTERVAL_MS));
    let mut looks = tokio::time::interval(Duration::from_millis(AUTO_TEND_INTERVAL_MS));
    loop {
        let work = tokio::select! {
            () = app.stopping() => return,
            _ = purges.tick() => purge,
            _ = looks.tick() => tend,
        };
        let app = app.clone();
        if let Err(error) = blocking(move || each(&app, work)).await {
            tracing::warn!(%error, "databases are not looked after for now");
        }
    }
}

fn each(app: &AppState, work: fn(&OpenDatabase) -> Result<(), ServerError>) -> Result<(), ServerError> {
    for record in app.databases().records() {
        // A database that is disabled, or deleted meanwhile, has its turn another time.
        let Ok(database) = app.databases().get(&record.name) else { continue };
        work(&database)?;
    }
    Ok(())
}

fn purge(database: &OpenDatabase) -> Result<(), ServerError> {
    let purged = database.indexes().purge_tombstones()?;
    if purged > 0 {
        tracing::debug!(database = database.name(), purged, "tombstones removed");
    }
    Ok(())
}

fn tend(database: &OpenDatabase) -> Result<(), ServerError> {
    let times = AutoTimes {
        superseded: AUTO_SUPERSEDED_MS * TICKS_PER_MS,
        idle: AUTO_IDLE_MS * TICKS_PER_MS,
        removed: AUTO_REMOVED_MS * TICKS_PER_MS,
    };
    for index in database.indexes().tend_auto_indexes(clock::now(), &times)? {
        tracing::info!(database = database.name(), index, "auto index removed");
    }
    Ok(())
}
