//! The whole node at work: the production event loop with its real QUIC, TLS, projector and importer,
//! over a made-up network, clock and disk, in paused time.
//!
//! One seed draws a city with its districts and schools, what they record, and what befalls them:
//! lossy and thin lines, cut lines, crashes that lose unsynced writes, clocks that jump. Then all
//! faults stop and everything must agree. What is checked stands in `nodes/checks.rs`.

mod checks;
mod machine;
mod world;

use crate::entropy;
use crate::outcome::Outcome;
use federation_protocol::Weakness;

/// How a run differs from the ordinary one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Steps under faults; drawn from the seed when left out.
    pub steps: Option<u64>,
    /// Defences taken out, to prove that a check can fail.
    pub weakness: Weakness,
    /// Disks that call a write durable before it is, to prove that a check can fail.
    pub lying_disks: bool,
}

/// Runs one seed to its end.
pub fn run(seed: u64, options: Options) -> Outcome {
    entropy::simulate(seed, async || world::run(seed, options).await)
}
