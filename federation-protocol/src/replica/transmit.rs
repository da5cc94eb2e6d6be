//! What to send next: control messages first, then statements, then bulk; pulled by the driver when
//! the connection has room, so that nothing piles up.

use super::Replica;
use crate::limits::{ENTRIES_BYTES_MAX, ENTRIES_COUNT_MAX, ENTRY_SIZE_MAX};
use crate::{LogReader, Message, ReadError, SessionId};

impl Replica {
    /// Returns true when a session has something to send.
    pub fn has_output(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.has_output())
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
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(None) };
        if let Some(message) = session.queue.pop_front() {
            return Ok(Some(message));
        }
        let mut gathered: Vec<minicbor::bytes::ByteVec> = Vec::new();
        let mut bytes = 0;
        while let Some(turn) = self.sessions.get(&id).and_then(|s| s.ready.first().copied()) {
            let log = turn.2;
            let Some(state) = self.logs.durable(log) else { break };
            if !self.may_send(id, &state.key) {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.ready.remove(&turn);
                }
                continue;
            }
            let room = ENTRIES_BYTES_MAX.saturating_sub(bytes);
            let count = ENTRIES_COUNT_MAX - gathered.len();
            if count == 0 || (!gathered.is_empty() && room < ENTRY_SIZE_MAX) {
                break;
            }
            let Some(session) = self.sessions.get_mut(&id) else { break };
            let from = session.peer_next.get(&log).copied().unwrap_or(0);
            let held = reader.entries(log, from, count, room)?;
            let mut next = from;
            for entry in held {
                next += 1;
                bytes += entry.len();
                gathered.push(entry.into());
            }
            if next == from {
                // The store has nothing there although the head says so; a later commit brings it.
                session.ready.remove(&turn);
                continue;
            }
            session.entries_sent += next - from;
            session.needs(turn, next, state.head.seq_num);
        }
        if gathered.is_empty() { Ok(None) } else { Ok(Some(Message::Entries(gathered))) }
    }
}
