//! The only reader of the system clock: everything below the server gets its times from here.

use magpie_store::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, on the grid of 100 ns.
#[must_use]
pub fn now() -> Timestamp {
    let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i128::try_from(since.as_nanos()).unwrap_or(i128::MAX),
        Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
    };
    Timestamp::from_unix_nanos(nanos)
}
