//! Invariant 2: a durable entry never changes and never disappears; logs are chains without holes, and
//! a log's state never goes back.

use super::Invariant;
use super::acked_is_durable::envelope_hash;
use crate::replicas::disk::{Batch, Bytes};
use crate::replicas::seen::{Broken, Seen, View};
use federation_protocol::{LogId, LogState};
use std::collections::BTreeMap;

/// A copy of what each machine's disk has held.
#[derive(Debug, Default)]
pub(super) struct AppendOnly {
    shadows: BTreeMap<usize, Shadow>,
}

#[derive(Debug, Default)]
struct Shadow {
    entries: BTreeMap<(LogId, u64), Bytes>,
    states: BTreeMap<LogId, LogState>,
}

impl AppendOnly {
    fn take(&mut self, view: &View<'_>, machine: usize, batch: &Batch) -> Result<(), Broken> {
        let disk = &view.machines[machine].disk;
        let shadow = self.shadows.entry(machine).or_default();
        for entry in &batch.entries {
            let place = (entry.log(), entry.seq_num());
            let name = format!(
                "machine {machine}, log {} entry {}",
                place.0.short(),
                place.1
            );
            if let Some(before) = shadow.entries.get(&place)
                && before[..] != *entry.bytes()
            {
                return Err(Broken(format!("{name}: replaced by another one")));
            }
            if let Some(back) = place.1.checked_sub(1) {
                let before = shadow
                    .entries
                    .get(&(place.0, back))
                    .and_then(|b| envelope_hash(b));
                if before.is_none() || before != entry.header().backlink {
                    return Err(Broken(format!("{name}: does not follow the one before it")));
                }
            }
            let Some(bytes) = disk.entries.get(&place) else {
                return Err(Broken(format!("{name}: gone in the step that stored it")));
            };
            shadow.entries.insert(place, bytes.clone());
        }
        for state in &batch.states {
            let log = state.key.id();
            let name = format!("machine {machine}, log {}", log.short());
            let newest = shadow.entries.get(&(log, state.head.seq_num));
            if newest.and_then(|bytes| envelope_hash(bytes)) != Some(state.head.hash) {
                return Err(Broken(format!(
                    "{name}: its state names a head that is not stored"
                )));
            }
            if let Some(before) = shadow.states.get(&log) {
                let raised = before
                    .forked
                    .is_some_and(|known| state.forked.is_none_or(|n| n > known));
                if before.head.seq_num > state.head.seq_num || raised {
                    return Err(Broken(format!("{name}: its state went back")));
                }
            }
            shadow.states.insert(log, state.clone());
        }
        Ok(())
    }

    fn compare(&self, view: &View<'_>, machine: usize) -> Result<(), Broken> {
        let Some(shadow) = self.shadows.get(&machine) else {
            return Ok(());
        };
        let disk = &view.machines[machine].disk;
        for ((log, seq_num), bytes) in &shadow.entries {
            let name = || format!("machine {machine}, log {} entry {seq_num}", log.short());
            match disk.entries.get(&(*log, *seq_num)) {
                None => return Err(Broken(format!("{}: disappeared", name()))),
                Some(now) if now != bytes => return Err(Broken(format!("{}: changed", name()))),
                Some(_) => {}
            }
        }
        if disk.entries.len() != shadow.entries.len() {
            return Err(Broken(format!(
                "machine {machine}: entries nobody committed"
            )));
        }
        Ok(())
    }
}

impl Invariant for AppendOnly {
    fn name(&self) -> &'static str {
        "append_only"
    }

    fn see(&mut self, view: &View<'_>, seen: &Seen) -> Result<(), Broken> {
        match seen {
            Seen::Durable { machine, batch } => self.take(view, *machine, batch),
            Seen::Crashed { machine, survived } => {
                survived
                    .iter()
                    .try_for_each(|batch| self.take(view, *machine, batch))?;
                self.compare(view, *machine)
            }
            Seen::RolledBack { machine } => {
                self.shadows.remove(machine);
                Ok(())
            }
            Seen::Opened { machine } => {
                let fresh = !self.shadows.contains_key(machine);
                let shadow = self.shadows.entry(*machine).or_default();
                if fresh {
                    // A clone, or a store put back from a backup, starts with a copy.
                    let disk = &view.machines[*machine].disk;
                    shadow.entries.clone_from(&disk.entries);
                    shadow.states.clone_from(&disk.states);
                }
                self.compare(view, *machine)
            }
            _ => Ok(()),
        }
    }

    fn quiet(&mut self, view: &View<'_>) -> Result<(), Broken> {
        (0..view.machines.len()).try_for_each(|machine| self.compare(view, machine))
    }
}
