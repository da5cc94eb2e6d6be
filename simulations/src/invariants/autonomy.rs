//! Invariant 11: a local write is never refused and is acknowledged within the time a disk takes,
//! whatever the links do. Weeks offline are part of every run.

use super::Invariant;
use crate::replicas::seen::{Broken, Seen, View};
use keys::Hash;
use std::collections::BTreeMap;

/// Longest time from a user's wish to "saved", simulated milliseconds: several commits of the slowest
/// disk, and far less than any wait for another node.
const ACK_MAX_MS: u64 = 30_000;

/// Remembers who waits for "saved".
#[derive(Debug, Default)]
pub(super) struct Autonomy {
    waiting: BTreeMap<(usize, Hash), u64>,
    oldest: Option<u64>,
}

impl Invariant for Autonomy {
    fn name(&self) -> &'static str {
        "autonomy"
    }

    fn see(&mut self, view: &View<'_>, seen: &Seen) -> Result<(), Broken> {
        match seen {
            Seen::Asked { machine, hash } => {
                self.waiting.insert((*machine, *hash), view.now);
                self.oldest = self.oldest.or(Some(view.now));
            }
            Seen::Acked { machine, hash, .. } => {
                self.waiting.remove(&(*machine, *hash));
            }
            // Whoever waited in a crash learns nothing; a full disk or a retired clone says so.
            Seen::Crashed { machine, .. }
            | Seen::RolledBack { machine }
            | Seen::Refused { machine }
            | Seen::Retired { machine } => {
                self.waiting.retain(|(at, _), _| at != machine);
            }
            Seen::Denied { machine, reason } => {
                return Err(Broken(format!(
                    "machine {machine} refused a write: {reason}"
                )));
            }
            _ => {}
        }
        Ok(())
    }

    fn step(&mut self, view: &View<'_>) -> Result<(), Broken> {
        if self
            .oldest
            .is_none_or(|oldest| oldest + ACK_MAX_MS >= view.now)
        {
            return Ok(());
        }
        self.oldest = self.waiting.values().min().copied();
        match self
            .waiting
            .iter()
            .find(|(_, asked)| *asked + ACK_MAX_MS < view.now)
        {
            None => Ok(()),
            Some(((machine, _), asked)) => Err(Broken(format!(
                "machine {machine} has not acknowledged a write for {} ms",
                view.now - asked
            ))),
        }
    }

    fn converged(&mut self, _view: &View<'_>) -> Result<(), Broken> {
        match self.waiting.keys().next() {
            None => Ok(()),
            Some((machine, _)) => Err(Broken(format!(
                "machine {machine} never acknowledged a write"
            ))),
        }
    }
}
