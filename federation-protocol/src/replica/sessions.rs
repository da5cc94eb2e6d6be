//! Sessions: how they open with a hello, how they close, and how they stand.

use super::{Replica, SessionStatus};
use crate::error::Refusal;
use crate::limits::{REASON_SIZE_MAX, SESSION_DUE_MAX, SESSIONS_MAX, SOFTWARE_SIZE_MAX};
use crate::session::{Due, Session};
use crate::{Hello, Message, Misbehaved, Output, PROTOCOL_VERSION, Phase, Relation, SessionId};
use keys::{NodeKey, Subject, Verified, VerifiedChain};

impl Replica {
    /// Returns true once a session's peer was accepted by its hello, until it is closed.
    pub fn is_live(&self, id: SessionId) -> bool {
        self.sessions
            .get(&id)
            .is_some_and(|session| session.phase == Phase::Live)
    }

    /// Opens a session over a connection whose peer has proven a key; our hello is queued.
    pub fn handle_link_up(&mut self, now_ms: u64, id: SessionId, proven: NodeKey) {
        self.see_time(now_ms);
        // Growing within a process, so that both ends agree which of two sessions is the newer.
        self.stamp_ms = now_ms.max(self.stamp_ms.saturating_add(1));
        let mut session = Session::new(id, proven, now_ms, self.stamp_ms);
        let hello = Message::Hello(Hello {
            version: PROTOCOL_VERSION,
            version_min: PROTOCOL_VERSION,
            root: self.config.root,
            chain: self.config.chain.to_bytes().into(),
            epoch: self.config.epoch,
            clock_ms: self.stamp_ms,
            software: clip_to(&self.config.software, SOFTWARE_SIZE_MAX),
        });
        let queued = session.push(hello, true);
        debug_assert!(queued, "a new session has room for its hello");
        self.sessions.insert(id, session);
        self.wake(id);
        if self.sessions.len() > SESSIONS_MAX {
            self.refuse(id, &Refusal::Full);
        }
    }

    /// Forgets a session whose connection is gone.
    pub fn handle_link_down(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }

    /// Closes a session whose peer sent bytes that are no message.
    pub fn handle_misbehaved(&mut self, id: SessionId, reason: &Misbehaved) {
        self.punish(id, reason);
    }

    /// Returns how every session stands.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.sessions
            .values()
            .map(|session| self.session_status(session))
            .collect()
    }

    fn session_status(&self, session: &Session) -> SessionStatus {
        let to_send = session
            .ready
            .iter()
            .filter_map(|(_, _, log)| {
                let head = self.logs.durable_seq_num(*log)?;
                let next = session.peer_next.get(log).copied().unwrap_or(0);
                Some(head.saturating_add(1).saturating_sub(next))
            })
            .fold(0, u64::saturating_add);
        let to_receive = session
            .promised
            .iter()
            .map(|(log, seq)| {
                let have = self
                    .logs
                    .durable_seq_num(*log)
                    .map_or(0, |seq| seq.saturating_add(1));
                seq.saturating_add(1).saturating_sub(have)
            })
            .fold(0, u64::saturating_add);
        SessionStatus {
            id: session.id,
            node: session.proven,
            unit: session.unit().cloned(),
            relation: session.relation,
            phase: session.phase.clone(),
            software: session.software.clone(),
            to_send,
            to_receive,
            compared_equal: session.compared,
            entries_sent: session.entries_sent,
            entries_received: session.entries_received,
            last_heard_ms: session.last_heard_ms,
            peer_clock_ms: session.peer_clock_ms,
            hello_ms: session.hello_ms,
        }
    }

    pub(super) fn on_hello_of(&mut self, now_ms: u64, id: SessionId, hello: &Hello) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let proven = session.proven;
        let checked = hello.check(&self.config.root, proven, now_ms);
        let (chain, relation) = match checked.and_then(|chain| {
            let relation = self.relation(&chain)?;
            Ok((chain, relation))
        }) {
            Ok(found) => found,
            Err(refusal) => return self.refuse(id, &refusal),
        };
        if !self.takes_place(id, proven, hello.clock_ms) {
            return self.refuse(id, &Refusal::Duplicate);
        }
        let new = self.trust.add(chain.chain()).ok().flatten();
        if let Some(session) = self.sessions.get_mut(&id) {
            session.peer = Some(chain);
            session.relation = Some(relation);
            session.peer_epoch = Some(hello.epoch);
            session.peer_clock_ms = Some(hello.clock_ms);
            session.hello_ms = now_ms;
            session.software.clone_from(&hello.software);
            session.phase = Phase::Live;
        }
        if let Some(node) = new {
            self.on_certified(node);
        }
        self.begin_compare(id);
    }

    /// Decides between two sessions with one peer: the newer by the clock of the lower key's hellos
    /// stays, so that both ends keep the same one. A node that comes back before its old connection
    /// timed out so takes its own place. Returns false when the new one must go.
    fn takes_place(&mut self, id: SessionId, proven: NodeKey, clock_ms: u64) -> bool {
        let ours = self.me < proven;
        let stamp = |session: &Session| {
            if ours {
                Some(session.stamp_ms)
            } else {
                session.peer_clock_ms
            }
        };
        let new = if ours {
            self.sessions.get(&id).map_or(0, |session| session.stamp_ms)
        } else {
            clock_ms
        };
        let others: Vec<(SessionId, bool)> = self
            .sessions
            .values()
            .filter(|s| s.id != id && s.proven == proven && s.phase == Phase::Live)
            .map(|s| (s.id, stamp(s).is_some_and(|old| old > new)))
            .collect();
        if others.iter().any(|(_, newer)| *newer) {
            return false;
        }
        for (old, _) in others {
            self.close(old, None, false, Refusal::Duplicate.to_string());
        }
        true
    }

    fn relation(&self, peer: &VerifiedChain) -> Result<Relation, Refusal> {
        let unit = peer.unit();
        let ours = self
            .config
            .chain
            .verify(&self.config.root)
            .map_err(Refusal::Chain)?;
        let above = |chain: &VerifiedChain| {
            let mut certificates = chain.certificates().iter().map(Verified::value);
            certificates
                .find(|c| matches!(c.subject, Subject::Unit(_)))
                .map(|c| c.issuer.clone())
        };
        if unit == &self.unit {
            Ok(Relation::Sibling)
        } else if above(peer).as_ref() == Some(&self.unit) {
            Ok(Relation::Child)
        } else if above(&ours).as_ref() == Some(unit) {
            Ok(Relation::Parent)
        } else {
            Err(Refusal::NotRelated { unit: unit.clone() })
        }
    }

    pub(super) fn live_sessions(&self) -> Vec<SessionId> {
        let live = self.sessions.values().filter(|s| s.phase == Phase::Live);
        live.map(|session| session.id).collect()
    }

    /// Queues a control message for a session and wakes the driver.
    pub(super) fn send(&mut self, id: SessionId, message: Message) {
        let bounded = !self.config.weakness.unbounded;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.phase == Phase::Closed {
            return;
        }
        if session.push(message, bounded) {
            self.wake(id);
        } else {
            self.punish(id, &Misbehaved::NotReading);
        }
    }

    /// Notes something to tell a peer, once, when there is room.
    pub(super) fn tell(&mut self, id: SessionId, due: Due) {
        let bounded = !self.config.weakness.unbounded;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.phase != Phase::Live {
            return;
        }
        if !bounded || session.due.len() < SESSION_DUE_MAX {
            session.due.insert(due);
            self.wake(id);
        } else if !session.due.contains(&due) {
            session.overflowed = true;
        }
    }

    /// Wakes the driver when a session has something to send; once until it looks.
    pub(super) fn wake(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.has_output() && !session.wake_queued {
            session.wake_queued = true;
            self.outputs.push_back(Output::Wake { session: id });
        }
    }

    pub(super) fn refuse(&mut self, id: SessionId, refusal: &Refusal) {
        let reason = clip(&refusal.to_string());
        self.close(id, Some(Message::Refused(reason.clone())), false, reason);
    }

    pub(super) fn punish(&mut self, id: SessionId, misbehaved: &Misbehaved) {
        let reason = clip(&misbehaved.to_string());
        self.close(id, Some(Message::Refused(reason.clone())), true, reason);
    }

    pub(super) fn close(
        &mut self,
        id: SessionId,
        last: Option<Message>,
        misbehaved: bool,
        reason: String,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.phase == Phase::Closed {
            return;
        }
        session.phase = Phase::Closed;
        session.clear();
        self.outputs.push_back(Output::Close {
            session: id,
            last,
            misbehaved,
            reason,
        });
    }
}

/// Cuts a reason to its limit at a character's edge.
pub(super) fn clip(reason: &str) -> String {
    clip_to(reason, REASON_SIZE_MAX)
}

fn clip_to(text: &str, size_max: usize) -> String {
    let mut end = text.len().min(size_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
