//! What one run of a simulation came to.

use keys::Hash;
use std::fmt;

/// The result of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Events that were simulated.
    pub steps: u64,
    /// Simulated time, milliseconds.
    pub simulated_ms: u64,
    /// Hash over everything that happened, in order, with every byte sent.
    pub trace: Hash,
    /// What went wrong first, if anything.
    pub failure: Option<Failure>,
}

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The check: an invariant's name, or what else was expected.
    pub check: &'static str,
    /// At which step.
    pub step: u64,
    /// When, in simulated milliseconds since the run began.
    pub at_ms: u64,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at step {} ({} ms): {}",
            self.check, self.step, self.at_ms, self.what
        )
    }
}
