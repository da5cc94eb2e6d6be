//! What must hold after every step. One file per invariant of the design, each with its own memory of
//! what it has seen, none sharing code with what it judges.
//!
//! | file | design | says |
//! |---|---|---|
//! | `acked_is_durable` | 1 | what a user or a peer was told survives any crash |
//! | `append_only` | 2 | no durable entry changes or disappears, and chains have no holes |
//! | `no_silent_fork` | 3 | two entries at one position are reported and neither takes effect |
//! | `convergence` | 4 | equal entries give equal documents; in the end all agree |
//! | `authority` | 5 | nothing of an uncertified or foreign author is durable anywhere |
//! | `reach` | 6 | no byte of a log is sent beyond its reach |
//! | `autonomy` | 11 | every local write succeeds at once, whatever the links do |
//! | `bounded` | 12 | messages and queues stay within their limits |

mod acked_is_durable;
mod append_only;
mod authority;
mod autonomy;
mod bounded;
mod convergence;
mod no_silent_fork;
mod reach;
mod reports;

use crate::replicas::seen::{Broken, Seen, View};

/// One invariant.
trait Invariant {
    /// Its name, which is also its file's.
    fn name(&self) -> &'static str;

    /// Judges one thing that happened, after the step in which it did.
    fn see(&mut self, view: &View<'_>, seen: &Seen) -> Result<(), Broken>;

    /// Judges a step as a whole.
    fn step(&mut self, _view: &View<'_>) -> Result<(), Broken> {
        Ok(())
    }

    /// Judges everything, now and then: may be slow.
    fn quiet(&mut self, _view: &View<'_>) -> Result<(), Broken> {
        Ok(())
    }

    /// Judges the end, when faults have stopped and nothing is left to do.
    fn converged(&mut self, _view: &View<'_>) -> Result<(), Broken> {
        Ok(())
    }
}

/// All invariants of the design that hold at this depth.
pub(crate) struct Invariants(Vec<Box<dyn Invariant>>);

impl Default for Invariants {
    fn default() -> Self {
        Self(vec![
            Box::new(acked_is_durable::AckedIsDurable::default()),
            Box::new(append_only::AppendOnly::default()),
            Box::new(no_silent_fork::NoSilentFork::default()),
            Box::new(convergence::Convergence),
            Box::new(authority::Authority),
            Box::new(reach::Reach::default()),
            Box::new(autonomy::Autonomy::default()),
            Box::new(bounded::Bounded),
            Box::new(reports::Reports),
        ])
    }
}

type Judged = Result<(), (&'static str, Broken)>;

impl Invariants {
    /// Judges what happened in one step.
    pub(crate) fn step(&mut self, view: &View<'_>, seen: &[Seen]) -> Judged {
        for invariant in &mut self.0 {
            let name = invariant.name();
            for seen in seen {
                invariant.see(view, seen).map_err(|broken| (name, broken))?;
            }
            invariant.step(view).map_err(|broken| (name, broken))?;
        }
        Ok(())
    }

    /// Judges everything.
    pub(crate) fn quiet(&mut self, view: &View<'_>) -> Judged {
        self.0
            .iter_mut()
            .try_for_each(|one| one.quiet(view).map_err(|broken| (one.name(), broken)))
    }

    /// Judges the end.
    pub(crate) fn converged(&mut self, view: &View<'_>) -> Judged {
        self.0
            .iter_mut()
            .try_for_each(|one| one.converged(view).map_err(|broken| (one.name(), broken)))
    }
}
