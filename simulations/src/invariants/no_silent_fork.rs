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
    /// Forks reported since the machine was opened, with their lowest position: known, and perhaps
    /// not durable yet.
    fresh: BTreeMap<usize, BTreeMap<LogId, u64>>,
    /// Positions to judge at the end of the step, when all that it reported was seen.
    doubtful: BTreeSet<(usize, (LogId, u64))>,
}

impl NoSilentFork {
    fn hand(&mut self, machine: usize, entry: &Entry) {
        let place = (entry.log(), entry.seq_num());
        let handed = self.handed.entry(machine).or_default();
        handed.entry(place).or_default().insert(entry.hash());
        self.doubtful.insert((machine, place));
    }

    /// A machine that holds one entry of a position and was handed another must know of the fork.
    fn judge(&self, view: &View<'_>, machine: usize, place: (LogId, u64)) -> Result<(), Broken> {
        let (log, seq_num) = place;
        let state = &view.machines[machine];
        let Some(running) = &state.running else {
            return Ok(());
        };
        let held = state
            .disk
            .entries
            .get(&place)
            .and_then(|bytes| envelope_hash(bytes));
        let handed = self
            .handed
            .get(&machine)
            .and_then(|handed| handed.get(&place));
        let others = handed
            .into_iter()
            .flatten()
            .filter(|hash| Some(**hash) != held)
            .count();
        if held.is_none() || others == 0 {
            return Ok(());
        }
        let known = running.replica.log(log);
        let said = self.fresh.get(&machine).and_then(|fresh| fresh.get(&log));
        let is_said = said.is_some_and(|lowest| *lowest <= seq_num);
        if !is_said
            && known
                .as_ref()
                .is_none_or(|known| known.is_effective(seq_num))
        {
            return Err(Broken(format!(
                "machine {machine} has two entries at position {seq_num} of log {} and is silent; it \
                 knows {:?}",
                log.short(),
                known.map(|state| (state.key, state.head, state.forked)),
            )));
        }
        Ok(())
    }

    fn durable(&mut self, machine: usize, batch: &Batch) {
        let places = batch
            .entries
            .iter()
            .map(|entry| (entry.log(), entry.seq_num()));
        self.doubtful.extend(places.map(|place| (machine, place)));
    }

    /// Every forked log was reported, and nothing from the fork on is in the documents.
    fn effects(&self, view: &View<'_>, machine: usize) -> Result<(), Broken> {
        let Some(running) = &view.machines[machine].running else {
            return Ok(());
        };
        for (log, state) in running.replica.logs() {
            let Some(fork) = state.forked else { continue };
            let name = format!("machine {machine}, log {}", log.short());
            if !self
                .reported
                .get(&machine)
                .is_some_and(|reported| reported.contains(&log))
            {
                return Err(Broken(format!("{name}: forked, and never reported")));
            }
            if running
                .projection
                .next
                .get(&log)
                .is_some_and(|next| *next > fork)
            {
                return Err(Broken(format!(
                    "{name}: an entry after the fork is in effect"
                )));
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
            Seen::Took {
                machine,
                from,
                entries,
                ..
            } => {
                let unit = view.machines[*machine].unit;
                for entry in entries {
                    let holders = view.topology.holders(entry.key());
                    let certified = view.topology.certified_for(entry.key().author);
                    let entitled =
                        certified.is_some() && certified == view.topology.unit(&entry.key().unit);
                    let travels =
                        holders.contains(&unit) && from.is_some_and(|from| holders.contains(&from));
                    let known = view.machines[*machine]
                        .running
                        .as_ref()
                        .is_some_and(|running| {
                            running.replica.trust().node(entry.key().author).is_some()
                        });
                    if entitled && travels && known {
                        self.hand(*machine, entry);
                    }
                }
                Ok(())
            }
            Seen::Told {
                machine,
                report: Report::Forked { log, seq_num, .. },
            } => {
                self.reported.entry(*machine).or_default().insert(*log);
                let fresh = self
                    .fresh
                    .entry(*machine)
                    .or_default()
                    .entry(*log)
                    .or_insert(*seq_num);
                *fresh = (*fresh).min(*seq_num);
                Ok(())
            }
            Seen::Durable { machine, batch } => {
                self.durable(*machine, batch);
                Ok(())
            }
            Seen::Crashed { machine, .. }
            | Seen::RolledBack { machine }
            | Seen::Retired { machine }
            | Seen::Refused { machine } => {
                self.handed.remove(machine);
                self.fresh.remove(machine);
                Ok(())
            }
            Seen::Opened { machine } => {
                self.handed.remove(machine);
                self.fresh.remove(machine);
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

    fn step(&mut self, view: &View<'_>) -> Result<(), Broken> {
        let doubtful = std::mem::take(&mut self.doubtful);
        doubtful
            .iter()
            .try_for_each(|(machine, place)| self.judge(view, *machine, *place))
    }

    fn quiet(&mut self, view: &View<'_>) -> Result<(), Broken> {
        (0..view.machines.len()).try_for_each(|machine| self.effects(view, machine))
    }
}
