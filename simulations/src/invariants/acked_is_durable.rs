//! Invariant 1: what was acknowledged to a user, or told to a peer (a receipt, a head, the entry
//! itself), is durable at the machine that said so, and survives any crash.

use super::Invariant;
use crate::replicas::seen::{Broken, Seen, View};
use federation_protocol::{LogId, Message, Receipt};
use keys::{Hash, Signed};
use std::collections::BTreeMap;

/// Remembers every promise, by machine and position.
#[derive(Debug, Default)]
pub(super) struct AckedIsDurable {
    promises: BTreeMap<usize, BTreeMap<(LogId, u64), Hash>>,
}

impl AckedIsDurable {
    fn promise(
        &mut self,
        view: &View<'_>,
        machine: usize,
        what: &str,
        place: (LogId, u64),
        hash: Hash,
    ) -> Result<(), Broken> {
        if self
            .promises
            .get(&machine)
            .and_then(|made| made.get(&place))
            == Some(&hash)
        {
            return Ok(());
        }
        check(view, machine, what, place, hash)?;
        self.promises
            .entry(machine)
            .or_default()
            .insert(place, hash);
        Ok(())
    }

    fn sent(&mut self, view: &View<'_>, machine: usize, message: &Message) -> Result<(), Broken> {
        match message {
            Message::Heads(_, _, heads, _) => {
                for head in heads {
                    let place = (head.log, head.seq_num);
                    self.promise(view, machine, "a head", place, head.hash)?;
                }
            }
            Message::Receipt(bytes) => {
                let signed = Signed::<Receipt>::from_bytes(bytes.to_vec()).ok();
                let Some(verified) = signed.and_then(|signed| signed.verify().ok()) else {
                    return Err(Broken("a receipt that does not verify was sent".to_owned()));
                };
                // A relayed receipt is its issuer's promise, made when the issuer sent it.
                if verified.signer().as_node() == view.machines[machine].node {
                    for head in &verified.value().heads {
                        let place = (head.log, head.seq_num);
                        self.promise(view, machine, "a receipt", place, head.hash)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Looks at the disk: is the entry there?
fn check(
    view: &View<'_>,
    machine: usize,
    what: &str,
    place: (LogId, u64),
    hash: Hash,
) -> Result<(), Broken> {
    let (log, seq_num) = place;
    let disk = &view.machines[machine].disk;
    let held = disk
        .entries
        .get(&place)
        .and_then(|bytes| envelope_hash(bytes));
    if held == Some(hash) {
        return Ok(());
    }
    let log = log.short();
    Err(Broken(format!(
        "machine {machine}: {what} speaks of entry {seq_num} of log {log}, which is not durable"
    )))
}

/// Returns the identity of an entry: the hash of its envelope, the first byte string of two.
pub(super) fn envelope_hash(bytes: &[u8]) -> Option<Hash> {
    let mut d = minicbor::Decoder::new(bytes);
    (d.array().ok()? == Some(2))
        .then(|| d.bytes().ok().map(Hash::of))
        .flatten()
}

impl Invariant for AckedIsDurable {
    fn name(&self) -> &'static str {
        "acked_is_durable"
    }

    fn see(&mut self, view: &View<'_>, seen: &Seen) -> Result<(), Broken> {
        match seen {
            Seen::Acked {
                machine,
                log,
                seq_num,
                hash,
            } => self.promise(
                view,
                *machine,
                "an acknowledgement",
                (*log, *seq_num),
                *hash,
            ),
            Seen::Sent {
                machine, message, ..
            } => self.sent(view, *machine, message),
            Seen::Crashed { machine, .. } | Seen::Opened { machine } => {
                let promised = self.promises.get(machine).into_iter().flatten();
                for (place, hash) in promised {
                    check(
                        view,
                        *machine,
                        "a promise made before the crash",
                        *place,
                        *hash,
                    )?;
                }
                Ok(())
            }
            Seen::RolledBack { machine } => {
                // The fault itself breaks promises; what matters is that others notice.
                self.promises.remove(machine);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
