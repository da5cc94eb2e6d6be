//! Invariant 3: whoever has two entries of one position says so, and neither takes effect from there on.

use super::Invariant;
use super::acked_is_durable::envelope_hash;
use crate::replicas::disk::Batch;
use crate::replicas::seen::{Broken, Seen, View};
use federation_protocol::{Entry, LogId, Report};
use keys::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// Remembers, per machine since it was opened, which entries it was handed, and which forks it reported.
#[derive(Debug, Default)]
pub(super) struct NoSilentFork {
    handed: BTreeMap<usize, BTreeMap<(LogId, u64), BTreeSet<Hash>>>,
    reported: BTreeMap<usize, BTreeSet<LogId>>,
}

impl NoSilentFork {
    fn hand(&mut self, view: &View<'_>, machine: usize, entry: &Entry) -> Result<(), Broken> {
        let place = (entry.log(), entry.seq_num());
        let handed = self.handed.entry(machine).or_default();
        handed.entry(place).or_default().insert(entry.hash());
        self.judge(view, machine, place)
    }

    /// A machine that holds one entry of a position and was handed another must know of the fork.
    fn judge(&self, view: &View<'_>, machine: usize, place: (LogId, u64)) -> Result<(), Broken> {
        let (log, seq_num) = place;
        let state = &view.machines[machine];
        let Some(running) = &state.running else { return Ok(()) };
        let held = state.disk.entries.get(&place).and_then(|bytes| envelope_hash(bytes));
        let handed = self.handed.get(&machine).and_then(|handed| handed.get(&place));
        let others = handed.into_iter().flatten().filter(|hash| Some(**hash) != held).count();
        if held.is_none() || others == 0 {
            return Ok(());
        }
        let known = running.replica.log(log);
        if known.is_none_or(|known| known.is_effective(seq_num)) {
            return Err(Broken(format!(
                "machine {machine} has two entries at position {seq_num} of log {} and is silent",
                log.short()
            )));
        }
        Ok(())
    }

    fn durable(&self, view: &View<'_>, machine: usize, batch: &Batch) -> Result<(), Broken> {
        batch
            .entries
            .iter()
            .try_for_each(|entry| self.judge(view, machine, (entry.log(), entry.seq_num())))
    }

    /// Every forked log was reported, and nothing from the fork on is in the documents.
    fn effects(&self, view: &View<'_>, machine: usize) -> Result<(), Broken> {
        let Some(running) = &view.machines[machine].running else { return Ok(()) };
        for (log, state) in running.replica.logs() {
            let Some(fork) = state.forked else { continue };
            let name = format!("machine {machine}, log {}", log.short());
            if !self.reported.get(&machine).is_some_and(|reported| reported.contains(&log)) {
                return Err(Broken(format!("{name}: forked, and never reported")));
            }
            if running.projection.next.get(&log).is_some_and(|next| *next > fork) {
                return Err(Broken(format!("{name}: an entry after the fork is in effect")));
            }
        }
        Ok(())
    }
}

impl Invariant for NoSilentFork {
    fn name(&self) -> &'static str {
        "no_silent_fork"
    }

    fn see(&mut self, view: &View<'_>, seen: &Seen) -> Result<(), Broken> {
        match seen {
            Seen::Took { machine, from, entries, .. } => {
                let unit = view.machines[*machine].unit;
                for entry in entries {
                    let holders = view.topology.holders(entry.key());
                    let certified = view.topology.certified_for(entry.key().author);
                    let entitled = certified.is_some()
                        && certified == view.topology.unit(&entry.key().unit);
                    let travels = holders.contains(&unit)
                        && from.is_some_and(|from| holders.contains(&from));
                    let known = view.machines[*machine].running.as_ref().is_some_and(|running| {
                        running.replica.trust().node(entry.key().author).is_some()
                    });
                    if entitled && travels && known {
                        self.hand(view, *machine, entry)?;
                    }
                }
                Ok(())
            }
            Seen::Told { machine, report: Report::Forked { log, .. } } => {
                self.reported.entry(*machine).or_default().insert(*log);
                self.effects(view, *machine)
            }
            Seen::Durable { machine, batch } => self.durable(view, *machine, batch),
            Seen::Crashed { machine, .. } | Seen::Retired { machine } => {
                self.handed.remove(machine);
                Ok(())
            }
            Seen::Opened { machine } => {
                self.handed.remove(machine);
                if view.machines[*machine].plan != *machine {
                    // A clone of a machine that has reported a fork has it in its store.
                    let known = view.machines[*machine].disk.states.values();
                    let forked = known.filter(|state| state.forked.is_some());
                    let logs = forked.map(|state| state.key.id());
                    self.reported.entry(*machine).or_default().extend(logs);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn quiet(&mut self, view: &View<'_>) -> Result<(), Broken> {
        (0..view.machines.len()).try_for_each(|machine| self.effects(view, machine))
    }
}
