//! Append: may this entry follow? The rules depend on the bytes, the chain and the author's
//! certificate only; effects are decided later from the whole set.

use super::{Replica, Staging};
use crate::error::Rejected;
use crate::limits::REJECTED_LOGS_MAX;
use crate::logs::Follows;
use crate::session::{Awaits, Due, Refused};
use crate::{
    CHAIN_TAG, Entry, LogId, LogReader, Misbehaved, Part, Phase, ReadError, Report, SessionId,
};
use keys::{Chain, NodeKey};
use std::collections::BTreeSet;

impl Replica {
    /// Takes checked entries from a peer, in the order they came.
    pub(super) fn accept(
        &mut self,
        id: SessionId,
        entries: Vec<Entry>,
        reader: &impl LogReader,
    ) -> Result<(), ReadError> {
        for entry in entries {
            match self.sessions.get_mut(&id) {
                Some(session) if session.phase == Phase::Live => session.entries_received += 1,
                // Closed by an entry before this one.
                _ => return Ok(()),
            }
            if let Err(reason) = self.may_append(id, &entry) {
                self.reject(id, &entry, reason);
                continue;
            }
            let (log, seq_num) = (entry.log(), entry.seq_num());
            match self.logs.follows(&entry) {
                Follows::Next => {
                    let key = entry.key();
                    if key.author == self.me && key.epoch == self.config.epoch {
                        self.report_once(id, log, Report::RolledBack { log });
                    }
                    self.note_peer_has(id, &entry);
                    self.stage(entry, Some(id));
                }
                Follows::Before => {
                    self.note_peer_has(id, &entry);
                    self.check_same(entry, reader)?;
                }
                Follows::Gap(expected) => {
                    self.reject(
                        id,
                        &entry,
                        Rejected::Gap {
                            log,
                            expected,
                            found: seq_num,
                        },
                    );
                    self.ask_once(id, &entry);
                }
                Follows::Diverges => {
                    // Branches differ somewhere before: naming our head makes the peer send its own
                    // from the start, which shows where. Asked once, it has nothing more to show.
                    if !self.ask_once(id, &entry) {
                        self.reject(id, &entry, Rejected::Diverges { log, seq_num });
                    }
                }
                Follows::Forked => self.reject(id, &entry, Rejected::Forked { log }),
                Follows::TimeGoesBack => {
                    self.punish(id, &Misbehaved::BrokenChain { log, seq_num });
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Judges whether the author may write this log and this peer may bring it.
    fn may_append(&mut self, id: SessionId, entry: &Entry) -> Result<(), Rejected> {
        let key = entry.key();
        if key.period.is_none()
            && entry.seq_num() == 0
            && self.trust.entitled(key.author, &key.unit).is_none()
        {
            self.learn(entry);
        }
        if !self.config.weakness.accept_uncertified
            && self.trust.entitled(key.author, &key.unit).is_none()
        {
            return Err(if self.trust.node(key.author).is_some() {
                Rejected::NotEntitled {
                    author: key.author,
                    unit: key.unit.clone(),
                }
            } else {
                Rejected::UnknownAuthor {
                    log: entry.log(),
                    author: key.author,
                }
            });
        }
        let peer = self.sessions.get(&id).and_then(|session| session.unit());
        let shared = peer.is_some_and(|peer| self.placement.shared(key, &self.unit, peer));
        if !shared && !self.config.weakness.send_beyond_reach {
            return Err(Rejected::OutOfReach {
                log: entry.log(),
                unit: key.unit.clone(),
            });
        }
        if self.logs.newest(entry.log()).is_none() && !self.logs.has_room_for(key) {
            return Err(Rejected::TooManyLogs {
                unit: key.unit.clone(),
            });
        }
        Ok(())
    }

    fn reject(&mut self, id: SessionId, entry: &Entry, reason: Rejected) {
        let awaits = match &reason {
            Rejected::UnknownAuthor { author, .. } | Rejected::NotEntitled { author, .. } => {
                Some(Awaits::Chain(*author))
            }
            Rejected::OutOfReach { .. } => Some(Awaits::Place),
            _ => None,
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let room = session.refused.len() < REJECTED_LOGS_MAX;
        if let Some(awaits) = awaits
            && (room || session.refused.contains_key(&entry.log()))
        {
            let key = entry.key().clone();
            session.refused.insert(entry.log(), Refused { awaits, key });
        }
        self.report_once(
            id,
            entry.log(),
            Report::Rejected {
                session: id,
                reason,
            },
        );
    }

    /// Reports one thing per log and session: a peer cannot fill our journal.
    pub(super) fn report_once(&mut self, id: SessionId, log: LogId, report: Report) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.reported.len() < REJECTED_LOGS_MAX && session.reported.insert(log) {
            self.report(report);
        }
    }

    /// Stages an entry for the next append and learns the statements it carries.
    pub(super) fn stage(&mut self, entry: Entry, from: Option<SessionId>) {
        self.logs.stage(&entry);
        if let Some(session) = from.and_then(|id| self.sessions.get_mut(&id)) {
            session.refused.remove(&entry.log());
            session.asked.remove(&entry.log());
        }
        self.learn(&entry);
        self.staging.touched.insert(entry.log());
        self.staging.entries.push(entry);
    }

    /// Reads what an entry says about trust.
    pub(super) fn learn(&mut self, entry: &Entry) {
        if entry.key().period.is_some() {
            return;
        }
        for part in entry.parts() {
            if let Part::Statement { domain, bytes } = part
                && domain == CHAIN_TAG
                && let Ok(chain) = Chain::from_bytes(bytes)
                && let Ok(Some(node)) = self.trust.add(&chain)
            {
                self.on_certified(node);
            }
        }
    }

    /// Takes up what waited for a node's certificate.
    pub(super) fn on_certified(&mut self, node: NodeKey) {
        for id in self.live_sessions() {
            self.ask_again(id, &Awaits::Chain(node));
        }
        self.take_early_receipts();
    }

    /// Compares an entry with the one we hold at its position: the same, or a fork.
    fn check_same(&mut self, entry: Entry, reader: &impl LogReader) -> Result<(), ReadError> {
        if let Some(held) = self.held(entry.log(), entry.seq_num(), reader)?
            && held.hash() != entry.hash()
        {
            self.record_fork(entry, None);
        }
        Ok(())
    }

    /// Returns the entry at a position, durable or staged.
    fn held(
        &self,
        log: LogId,
        seq_num: u64,
        reader: &impl LogReader,
    ) -> Result<Option<Entry>, ReadError> {
        let in_flight = self
            .in_flight
            .iter()
            .flat_map(|(_, staging)| staging.entries.iter());
        let staged = self
            .staging
            .entries
            .iter()
            .chain(in_flight)
            .find(|held| held.log() == log && held.seq_num() == seq_num);
        if let Some(held) = staged {
            return Ok(Some(held.clone()));
        }
        Ok(reader
            .entry(log, seq_num)?
            .and_then(|bytes| Entry::verify(bytes).ok()))
    }

    /// Takes two entries that claim one position, checked by the driver. Of a log whose entry there we
    /// do not hold, the evidence is left: it comes again behind that entry.
    pub(super) fn accept_fork(
        &mut self,
        id: SessionId,
        mut entries: Vec<Entry>,
        reader: &impl LogReader,
    ) -> Result<(), ReadError> {
        let (Some(second), Some(first)) = (entries.pop(), entries.pop()) else {
            return Ok(());
        };
        let same_place = first.log() == second.log() && first.seq_num() == second.seq_num();
        if !same_place || first.hash() == second.hash() {
            self.punish(
                id,
                &Misbehaved::Message {
                    what: "fork evidence",
                },
            );
            return Ok(());
        }
        if self
            .logs
            .newest(first.log())
            .is_none_or(|head| head.seq_num < first.seq_num())
        {
            return Ok(());
        }
        // What is kept is the one we do not hold.
        if let Some(held) = self.held(first.log(), first.seq_num(), reader)? {
            let other = if held.hash() == first.hash() {
                second
            } else {
                first
            };
            self.record_fork(other, Some(id));
        }
        Ok(())
    }

    fn record_fork(&mut self, other: Entry, told_by: Option<SessionId>) {
        if self.config.weakness.ignore_forks {
            return;
        }
        let (log, seq_num) = (other.log(), other.seq_num());
        if !self.logs.fork(log, seq_num) {
            return;
        }
        self.report(Report::Forked {
            log,
            author: other.key().author,
            unit: other.key().unit.clone(),
            seq_num,
        });
        // Said once: entries behind it need no report of their own.
        for session in self.sessions.values_mut() {
            if session.reported.len() < REJECTED_LOGS_MAX {
                session.reported.insert(log);
            }
        }
        self.staging.forks.push((log, seq_num, told_by));
        self.staging.evidence.push(other);
        self.staging.touched.insert(log);
    }

    /// Tells live sessions of forks whose evidence is now durable.
    pub(super) fn tell_forks(&mut self, staging: &Staging) {
        for (log, seq_num, told_by) in &staging.forks {
            let Some(key) = self.logs.key(*log).cloned() else {
                continue;
            };
            for id in self.live_sessions() {
                if Some(id) != *told_by && self.may_send(id, &key) {
                    self.tell(id, Due::Fork(*log, *seq_num));
                }
            }
        }
    }

    /// Asks a session again for the logs that were refused for want of what has now come.
    pub(super) fn ask_again(&mut self, id: SessionId, came: &Awaits) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(peer) = session.unit().cloned() else {
            return;
        };
        let mut places = BTreeSet::new();
        session.refused.retain(|_, refused| {
            let Refused { awaits, key } = refused;
            let again = awaits == came
                && (awaits != &Awaits::Place || self.placement.shared(key, &self.unit, &peer));
            if again {
                places.insert((key.unit.clone(), key.period));
            }
            !again
        });
        for (unit, period) in places {
            self.tell(id, Due::Heads(unit, period, false));
        }
    }

    /// Names our heads around a log so that the peer sends what is missing; once until it does.
    /// Returns false when that was done before.
    fn ask_once(&mut self, id: SessionId, entry: &Entry) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        if session.asked.len() >= REJECTED_LOGS_MAX || !session.asked.insert(entry.log()) {
            return false;
        }
        self.tell(
            id,
            Due::Heads(entry.key().unit.clone(), entry.key().period, false),
        );
        true
    }

    /// Notes that a peer holds an entry, so that it is not sent back.
    fn note_peer_has(&mut self, id: SessionId, entry: &Entry) {
        let head = self.logs.durable_seq_num(entry.log());
        let turn = self.turn(entry.key(), entry.log());
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let next = entry.seq_num().saturating_add(1);
        if session
            .peer_next
            .get(&entry.log())
            .is_none_or(|known| *known < next)
        {
            session.needs(turn, next, head);
        }
        if session
            .promised
            .get(&entry.log())
            .is_some_and(|seq| *seq <= entry.seq_num())
        {
            session.promised.remove(&entry.log());
        }
        self.wake(id);
    }

    /// Offers freshly durable entries to every session that may hold them.
    pub(super) fn offer_new(&mut self, staging: &Staging) {
        for log in &staging.touched {
            let Some(state) = self.logs.durable(*log) else {
                continue;
            };
            let turn = self.turn(&state.key, *log);
            for id in self.live_sessions() {
                if !self.may_send(id, &state.key) {
                    continue;
                }
                let Some(session) = self.sessions.get_mut(&id) else {
                    continue;
                };
                let next = session.peer_next.get(log).copied().unwrap_or(0);
                session.needs(turn, next, Some(state.head.seq_num));
                self.wake(id);
            }
        }
    }
}
