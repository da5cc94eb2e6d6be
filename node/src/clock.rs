//! Time as a value: everything below the command line asks a [`Clock`], so that simulations can own time.
//!
//! This is the only file of the product that names `SystemTime` or `Instant`. Waiting is left to
//! tokio's timers, which simulations pause; a [`Stopwatch`] measures with the same timers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The wall clock type that vendors' traits ask for; made only by [`system_time`].
pub type WallTime = SystemTime;

/// The monotonic time type that vendors' traits ask for.
pub type Moment = Instant;

/// Tells the time of day and the time passed; shared by everything one process runs.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The time of day in Unix milliseconds. Never runs backwards inside a process: when the
    /// machine's clock is set back it stands still until the machine's clock has caught up.
    fn now_ms(&self) -> u64;

    /// Time since a fixed, arbitrary moment of this process; unaffected by changes of the time of day.
    fn monotonic(&self) -> Duration;
}

/// Keeps the largest time seen, which is what makes a clock never run backwards.
#[derive(Debug, Default)]
pub struct Ratchet(AtomicU64);

impl Ratchet {
    /// Returns `now_ms`, or the largest value ever given if that is later.
    pub fn advance(&self, now_ms: u64) -> u64 {
        self.0.fetch_max(now_ms, Ordering::AcqRel).max(now_ms)
    }
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    ratchet: Ratchet,
}

impl SystemClock {
    /// Starts a clock whose monotonic time begins now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the machine"
    )]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            ratchet: Ratchet::default(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the machine"
    )]
    fn now_ms(&self) -> u64 {
        // A machine whose clock stands before 1970 is treated as standing at 1970.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.ratchet
            .advance(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The clock's time of day in the shape vendors' traits ask for.
pub fn system_time(clock: &dyn Clock) -> WallTime {
    UNIX_EPOCH + Duration::from_millis(clock.now_ms())
}

/// Measures how long something took, in tokio's time (so that paused time is measured too).
#[derive(Debug)]
pub struct Stopwatch(tokio::time::Instant);

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// Time since [`Stopwatch::start`].
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_stands_still_until_it_has_caught_up() {
        let ratchet = Ratchet::default();
        assert_eq!(ratchet.advance(1_000), 1_000);
        assert_eq!(ratchet.advance(400), 1_000);
        assert_eq!(ratchet.advance(1_001), 1_001);
    }

    #[test]
    fn the_system_clock_is_past_the_day_this_was_written() {
        let clock = SystemClock::new();
        assert!(clock.now_ms() > 1_750_000_000_000);
        let (first, second) = (clock.now_ms(), clock.now_ms());
        assert!(first <= second);
        assert!(system_time(&clock) >= UNIX_EPOCH + Duration::from_secs(1_750_000_000));
    }
}
