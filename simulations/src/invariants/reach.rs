//! Invariant 6: every message sent is taken apart, and nothing of a log may be in a message to a node
//! of a unit outside its reach. The oracle is the topology, not the production rule.

use super::Invariant;
use crate::replicas::seen::{Broken, Seen, View};
use federation_protocol::{Entry, LogId, LogKey, Message, Receipt};
use keys::Signed;
use std::collections::{BTreeMap, BTreeSet};

/// Knows every log that was ever written, by the entries seen at their authors.
#[derive(Debug, Default)]
pub(super) struct Reach {
    holders: BTreeMap<LogId, BTreeSet<usize>>,
}

impl Reach {
    fn learn(&mut self, view: &View<'_>, key: &LogKey) -> LogId {
        let log = key.id();
        self.holders
            .entry(log)
            .or_insert_with(|| view.topology.holders(key));
        log
    }

    fn allow(&self, log: LogId, to: Option<usize>, what: &str) -> Result<(), Broken> {
        let holders = self.holders.get(&log);
        let allowed = to.is_some_and(|to| holders.is_some_and(|holders| holders.contains(&to)));
        if allowed {
            return Ok(());
        }
        Err(Broken(format!(
            "{what} of log {} went to unit {to:?}, of {holders:?}",
            log.short()
        )))
    }

    fn sent(
        &mut self,
        view: &View<'_>,
        to: Option<usize>,
        message: &Message,
    ) -> Result<(), Broken> {
        match message {
            Message::Hello(_) | Message::Refused(_) => Ok(()),
            _ if to.is_none() => Err(Broken(format!("a stranger was sent a {}", message.name()))),
            Message::Entries(entries) => entries.iter().try_for_each(|e| self.entry(view, to, e)),
            Message::Fork(first, second) => {
                self.entry(view, to, first)?;
                self.entry(view, to, second)
            }
            Message::Heads(_, _, heads, _) => heads
                .iter()
                .try_for_each(|head| self.allow(head.log, to, "a head")),
            Message::Receipt(bytes) => {
                let signed = Signed::<Receipt>::from_bytes(bytes.to_vec());
                let receipt = signed.ok().and_then(|signed| signed.verify().ok());
                let heads = receipt.map(|r| r.into_value().heads).unwrap_or_default();
                heads
                    .iter()
                    .try_for_each(|head| self.allow(head.log, to, "a receipt"))
            }
            Message::Summary(..) | Message::Digest(..) => Ok(()),
        }
    }

    fn entry(&mut self, view: &View<'_>, to: Option<usize>, bytes: &[u8]) -> Result<(), Broken> {
        let entry = Entry::verify(bytes.to_vec())
            .map_err(|error| Broken(format!("an entry was sent that is none: {error}")))?;
        let log = self.learn(view, entry.key());
        self.allow(log, to, "an entry")
    }
}

impl Invariant for Reach {
    fn name(&self) -> &'static str {
        "reach"
    }

    fn see(&mut self, view: &View<'_>, seen: &Seen) -> Result<(), Broken> {
        match seen {
            Seen::Sent { to, message, .. } => self.sent(view, *to, message),
            Seen::Durable { batch, .. } => {
                for state in &batch.states {
                    self.learn(view, &state.key);
                }
                Ok(())
            }
            Seen::Crashed { survived, .. } => {
                for state in survived.iter().flat_map(|batch| &batch.states) {
                    self.learn(view, &state.key);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn quiet(&mut self, view: &View<'_>) -> Result<(), Broken> {
        for (index, machine) in view.machines.iter().enumerate() {
            for state in machine.disk.states.values() {
                let log = self.learn(view, &state.key);
                self.allow(log, Some(machine.unit), "an entry")
                    .map_err(|Broken(what)| Broken(format!("machine {index} holds {what}")))?;
            }
        }
        Ok(())
    }
}
