//! Clocks of simulated machines: wrong in every way real ones are, over tokio's paused time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use node::clock::{Clock, Ratchet};
use tokio::time::Instant;

/// The true time of day when a simulation begins, Unix milliseconds: the start of a school year.
pub const START_MS: u64 = 1_788_220_800_000;

/// A rate of one, in millionths.
const TRUE_RATE: i64 = 1_000_000;

/// The hardware clock of one simulated machine. It survives crashes; clones are the same clock.
#[derive(Clone, Debug)]
pub struct WallClock(Arc<Mutex<Wall>>);

#[derive(Debug)]
struct Wall {
    /// What it read at which moment; since then it runs at `rate`.
    read_ms: i64,
    at: Instant,
    rate: i64,
}

impl Wall {
    fn read(&self) -> i64 {
        let elapsed = i64::try_from(self.at.elapsed().as_micros()).unwrap_or(i64::MAX);
        let run = i128::from(elapsed) * i128::from(self.rate) / i128::from(TRUE_RATE) / 1_000;
        self.read_ms
            .saturating_add(i64::try_from(run).unwrap_or(i64::MAX))
    }

    fn rebase(&mut self) {
        self.read_ms = self.read();
        self.at = Instant::now();
    }
}

impl WallClock {
    /// A clock that shows [`START_MS`] plus `skew_ms` now and runs at the true rate. Must be called
    /// inside the simulation's runtime.
    pub fn new(skew_ms: i64) -> Self {
        let start = i64::try_from(START_MS).expect("this century's milliseconds fit in 63 bits");
        let read_ms = start.saturating_add(skew_ms);
        Self(Arc::new(Mutex::new(Wall {
            read_ms,
            at: Instant::now(),
            rate: TRUE_RATE,
        })))
    }

    fn change(&self, change: impl FnOnce(&mut Wall)) {
        let mut wall = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wall.rebase();
        change(&mut wall);
    }

    /// What it shows now, Unix milliseconds; 0 before 1970.
    pub fn read_ms(&self) -> u64 {
        let wall = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        u64::try_from(wall.read()).unwrap_or(0)
    }

    /// Sets it forward, or back, at once.
    pub fn jump_ms(&self, by: i64) {
        self.change(|wall| wall.read_ms = wall.read_ms.saturating_add(by));
    }

    /// Sets it to a time of day, Unix milliseconds.
    pub fn set_ms(&self, to: u64) {
        self.change(|wall| wall.read_ms = i64::try_from(to).unwrap_or(i64::MAX));
    }

    /// Lets it gain (or lose) so many millionths. At -1,000,000 it stands still.
    pub fn drift(&self, millionths: i32) {
        self.change(|wall| wall.rate = (TRUE_RATE + i64::from(millionths)).max(0));
    }

    /// The clock of a process started on this machine now.
    pub fn boot(&self) -> Arc<ProcessClock> {
        let (wall, ratchet) = (self.clone(), Ratchet::default());
        Arc::new(ProcessClock {
            wall,
            ratchet,
            started: Instant::now(),
        })
    }
}

/// What one process of a simulated machine sees of its clock, by the rules of the product's own.
#[derive(Debug)]
pub struct ProcessClock {
    wall: WallClock,
    ratchet: Ratchet,
    started: Instant,
}

impl Clock for ProcessClock {
    fn now_ms(&self) -> u64 {
        self.ratchet.advance(self.wall.read_ms())
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const HOUR: Duration = Duration::from_secs(3_600);
    const HOUR_MS: u64 = 3_600_000;

    #[tokio::test(start_paused = true)]
    async fn clocks_follow_simulated_time_each_with_its_own_error() {
        let (exact, early, fast) = (
            WallClock::new(0),
            WallClock::new(-600_000),
            WallClock::new(0),
        );
        fast.drift(100);
        advance(HOUR).await;
        assert_eq!(exact.read_ms(), START_MS + HOUR_MS);
        assert_eq!(early.read_ms(), START_MS + HOUR_MS - 600_000);
        assert_eq!(fast.read_ms(), START_MS + HOUR_MS + 360);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_never_sees_time_run_backwards_and_the_next_one_does() {
        let wall = WallClock::new(0);
        let before = wall.boot();
        advance(HOUR).await;
        assert_eq!(before.now_ms(), START_MS + HOUR_MS);
        wall.jump_ms(-2 * 3_600_000);
        assert_eq!(before.now_ms(), START_MS + HOUR_MS);
        assert_eq!(wall.boot().now_ms(), START_MS - HOUR_MS);
        advance(3 * HOUR).await;
        assert_eq!(before.now_ms(), START_MS + 2 * HOUR_MS);
        assert_eq!(before.monotonic(), 4 * HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_can_stop_and_be_set() {
        let wall = WallClock::new(0);
        wall.drift(-1_000_000);
        advance(HOUR).await;
        assert_eq!(wall.read_ms(), START_MS);
        wall.set_ms(0);
        wall.jump_ms(-1);
        assert_eq!(wall.read_ms(), 0);
    }
}
