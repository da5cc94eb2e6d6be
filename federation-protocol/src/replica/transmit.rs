//! What to send next: control messages first, then comparisons and receipts, then statements, then
//! bulk; pulled by the driver when the connection has room, so that nothing piles up.

use super::Replica;
use crate::limits::{ENTRIES_BYTES_MAX, ENTRIES_COUNT_MAX, ENTRY_SIZE_MAX};
use crate::session::{Due, Turn};
use crate::{LogReader, Message, ReadError, SessionId};

impl Replica {
    /// Returns true when a session has something to send.
    pub fn has_output(&self, id: SessionId) -> bool {
        self.sessions
            .get(&id)
            .is_some_and(|session| session.has_output())
    }

    /// Returns the next message for a session, reading entries from the store as needed; none when
    /// there is nothing to send now.
    ///
    /// # Errors
    /// [`ReadError`] when the store could not be read: the driver stops.
    pub fn poll_transmit(
        &mut self,
        id: SessionId,
        reader: &impl LogReader,
    ) -> Result<Option<Message>, ReadError> {
        loop {
            let Some(session) = self.sessions.get_mut(&id) else {
                return Ok(None);
            };
            if let Some(message) = session.queue.pop_front() {
                return Ok(Some(message));
            }
            if let Some(due) = session.due.pop_first() {
                if let Some(message) = self.message_of(id, due, reader)? {
                    return Ok(Some(message));
                }
            } else if session.receipts_after.is_some() {
                self.continue_receipts(id);
            } else if let Some(entries) = self.gather(id, reader)? {
                return Ok(Some(entries));
            } else if self
                .sessions
                .get(&id)
                .is_some_and(|session| session.overflowed)
            {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.overflowed = false;
                }
                self.compare_again(id);
            } else {
                return Ok(None);
            }
        }
    }

    /// Makes a message of something due; none when it is no longer there to be told.
    fn message_of(
        &mut self,
        id: SessionId,
        due: Due,
        reader: &impl LogReader,
    ) -> Result<Option<Message>, ReadError> {
        Ok(match due {
            Due::Digest(path) => Some(self.digest_message(id, path)),
            Due::Heads(unit, period, answer) => {
                let heads = self.shared_heads(id, &unit, period);
                Some(Message::Heads(unit, period, heads, answer))
            }
            Due::Fork(log, seq_num) => {
                match (
                    reader.entry(log, seq_num)?,
                    reader.fork_evidence(log, seq_num)?,
                ) {
                    (Some(first), Some(second)) => Some(Message::Fork(first.into(), second.into())),
                    _ => None,
                }
            }
            Due::Receipt(issuer, unit) => self
                .receipt_bytes(&issuer, &unit)
                .map(|bytes| Message::Receipt(bytes.into())),
        })
    }

    /// Gathers entries the peer lacks, in the order of their turns, up to one message.
    fn gather(
        &mut self,
        id: SessionId,
        reader: &impl LogReader,
    ) -> Result<Option<Message>, ReadError> {
        let mut gathered: Vec<minicbor::bytes::ByteVec> = Vec::new();
        let mut bytes = 0;
        while let Some(turn) = self
            .sessions
            .get(&id)
            .and_then(|s| s.ready.first().copied())
        {
            let log = turn.2;
            let state = self
                .logs
                .durable(log)
                .filter(|state| self.may_send(id, &state.key));
            let Some(state) = state else {
                self.drop_turn(id, turn);
                continue;
            };
            let room = ENTRIES_BYTES_MAX.saturating_sub(bytes);
            let count = ENTRIES_COUNT_MAX - gathered.len();
            if count == 0 || (!gathered.is_empty() && room < ENTRY_SIZE_MAX) {
                break;
            }
            let Some(session) = self.sessions.get_mut(&id) else {
                break;
            };
            let from = session.peer_next.get(&log).copied().unwrap_or(0);
            let mut next = from;
            let mut full = false;
            for entry in reader.entries(log, from, count, room)? {
                // What is not durable in our own eyes is not spoken of.
                if next > state.head.seq_num {
                    break;
                }
                full = bytes + entry.len() > ENTRIES_BYTES_MAX;
                if full {
                    break;
                }
                next += 1;
                bytes += entry.len();
                gathered.push(entry.into());
            }
            if next == from && !full {
                // The store has nothing there although the head says so; a later commit brings it.
                self.drop_turn(id, turn);
                continue;
            }
            let Some(session) = self.sessions.get_mut(&id) else {
                break;
            };
            session.entries_sent += next - from;
            session.needs(turn, next, Some(state.head.seq_num));
            if let Some(fork) = state.forked.filter(|fork| (from..next).contains(fork)) {
                // Evidence makes sense to the peer only once it holds one of the two entries.
                self.tell(id, Due::Fork(log, fork));
            }
            if full {
                break;
            }
        }
        Ok(if gathered.is_empty() {
            None
        } else {
            Some(Message::Entries(gathered))
        })
    }

    fn drop_turn(&mut self, id: SessionId, turn: Turn) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.ready.remove(&turn);
        }
    }
}
