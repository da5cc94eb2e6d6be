//! Invariant 5: no entry of an author who is not certified for the log's unit is ever durable.

use super::Invariant;
use crate::replicas::disk::Batch;
use crate::replicas::seen::{Broken, Seen, View};

/// Knows who is certified for what from the topology, which issued every certificate.
#[derive(Debug)]
pub(super) struct Authority;

fn judge(view: &View<'_>, machine: usize, batch: &Batch) -> Result<(), Broken> {
    for entry in batch.entries.iter().chain(&batch.evidence) {
        let key = entry.key();
        let certified = view.topology.certified_for(key.author);
        if certified.is_none() || certified != view.topology.unit(&key.unit) {
            return Err(Broken(format!(
                "machine {machine} stored an entry for unit {} by {}, who is certified for {}",
                key.unit,
                key.author.short(),
                certified.map_or("nothing", |unit| view.topology.units[unit].id.as_str()),
            )));
        }
    }
    Ok(())
}

impl Invariant for Authority {
    fn name(&self) -> &'static str {
        "authority"
    }

    fn see(&mut self, view: &View<'_>, seen: &Seen) -> Result<(), Broken> {
        match seen {
            Seen::Durable { machine, batch } => judge(view, *machine, batch),
            Seen::Crashed { machine, survived } => survived
                .iter()
                .try_for_each(|batch| judge(view, *machine, batch)),
            _ => Ok(()),
        }
    }
}
