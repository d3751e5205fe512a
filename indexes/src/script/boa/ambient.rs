//! The time and the random numbers of the call that runs on this thread: given to patches; the time to scripts of queries,
//! too, and to maps, for which it is when their document was last modified. All else of an index has neither.
//!
//! They are thread-local because the engine's native functions cannot hold Rust state of their own without unsafe
//! code. Nothing here reads a clock: both come in with the call, so the same call gives the same result.

use magpie_store::Timestamp;
use magpie_store::json::Number;
use std::cell::Cell;

thread_local! {
    static NOW: Cell<Option<Timestamp>> = const { Cell::new(None) };
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Begins a call at this time, with random numbers from this seed.
pub(super) fn begin(now: Timestamp, seed: u64) {
    NOW.set(Some(now));
    SEED.set(Some(seed));
}

/// Begins a call at this time, without random numbers.
pub(super) fn begin_clock(now: Timestamp) {
    NOW.set(Some(now));
    SEED.set(None);
}

/// Ends the call.
pub(super) fn end() {
    NOW.set(None);
    SEED.set(None);
}

/// Milliseconds since 1970, if the call has a time.
pub(super) fn now_ms() -> Option<f64> {
    NOW.get().map(milliseconds)
}

/// A time as JavaScript counts it.
pub(super) fn milliseconds(time: Timestamp) -> f64 {
    Number::from(time.unix_millis()).as_f64()
}

/// The next number of at least 0 and less than 1, if the call has a seed.
pub(super) fn random() -> Option<f64> {
    // SplitMix64: each seed gives another well-mixed sequence.
    let state = SEED.get()?.wrapping_add(0x9E37_79B9_7F4A_7C15);
    SEED.set(Some(state));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let bits = (mixed ^ (mixed >> 31)) >> 11;
    // 53 bits are a whole number that a double holds exactly.
    Some(Number::from(i64::try_from(bits).unwrap_or(0)).as_f64() / 9_007_199_254_740_992.0)
}
