//! Invariant 12: messages and queues stay within the limits of the protocol, under any peer.

use super::Invariant;
use crate::replicas::seen::{Broken, Seen, View};
use federation_protocol::{Message, limits};

/// What a drained replica may hold back for one session: control messages, and what else is due.
const QUEUED_MAX: usize = limits::SESSION_QUEUE_MAX + 1 + limits::SESSION_DUE_MAX;

/// Looks at every message sent and at every replica after every step.
#[derive(Debug)]
pub(super) struct Bounded;

fn within(what: &str, found: usize, max: usize) -> Result<(), Broken> {
    if found <= max {
        Ok(())
    } else {
        Err(Broken(format!("{what}: {found}, at most {max}")))
    }
}

impl Invariant for Bounded {
    fn name(&self) -> &'static str {
        "bounded"
    }

    fn see(&mut self, _view: &View<'_>, seen: &Seen) -> Result<(), Broken> {
        let Seen::Sent { message, size, .. } = seen else {
            return Ok(());
        };
        within("bytes of a message", *size, limits::MESSAGE_SIZE_MAX)?;
        match &**message {
            Message::Hello(_) => within("bytes of a hello", *size, limits::HELLO_SIZE_MAX),
            Message::Entries(entries) => {
                within(
                    "entries of a message",
                    entries.len(),
                    limits::ENTRIES_COUNT_MAX,
                )?;
                let bytes = entries.iter().map(|entry| entry.len()).sum();
                within(
                    "bytes of entries in a message",
                    bytes,
                    limits::ENTRIES_BYTES_MAX,
                )?;
                entries.iter().try_for_each(|entry| {
                    within("bytes of an entry", entry.len(), limits::ENTRY_SIZE_MAX)
                })
            }
            Message::Digest(_, children) => within(
                "children of a digest",
                children.len(),
                limits::DIGEST_CHILDREN_MAX,
            ),
            Message::Heads(_, _, heads, _) => {
                within("heads of a message", heads.len(), limits::HEADS_MAX)
            }
            Message::Refused(reason) => {
                within("bytes of a reason", reason.len(), limits::REASON_SIZE_MAX)
            }
            Message::Summary(..) | Message::Fork(..) | Message::Receipt(_) => Ok(()),
        }
    }

    fn step(&mut self, view: &View<'_>) -> Result<(), Broken> {
        for (index, machine) in view.machines.iter().enumerate() {
            let Some(running) = &machine.running else {
                continue;
            };
            let queued = running.replica.queued();
            within(
                &format!("messages queued at machine {index}"),
                queued,
                QUEUED_MAX,
            )?;
        }
        Ok(())
    }
}
