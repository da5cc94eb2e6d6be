//! Append: may this entry follow? The rules depend on the bytes, the chain and the author's
//! certificate only; effects are decided later from the whole set.

use super::{Replica, Staging};
use crate::error::Rejected;
use crate::limits::{LOGS_MAX, REJECTED_LOGS_MAX};
use crate::logs::Follows;
use crate::{
    CHAIN_TAG, Entry, LogId, LogReader, Message, Misbehaved, Output, Part, ReadError, Reach, Report,
    SessionId,
};
use keys::Chain;

impl Replica {
    /// Takes checked entries from a peer, in the order they came.
    pub(super) fn accept(
        &mut self,
        now_ms: u64,
        id: SessionId,
        entries: Vec<Entry>,
        reader: &impl LogReader,
    ) -> Result<(), ReadError> {
        let _ = now_ms;
        for entry in entries {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.entries_received += 1;
            }
            if let Err(reason) = self.may_append(id, &entry) {
                self.reject(id, entry.log(), reason);
                continue;
            }
            match self.logs.follows(&entry) {
                Follows::Next => {
                    self.note_peer_has(id, &entry);
                    self.stage(entry, Some(id));
                }
                Follows::Before => {
                    self.note_peer_has(id, &entry);
                    self.check_same(entry, reader)?;
                }
                Follows::Gap(expected) => {
                    let reason =
                        Rejected::Gap { log: entry.log(), expected, found: entry.seq_num() };
                    self.reject(id, entry.log(), reason);
                    self.ask_for(id, entry.log(), entry.key().unit.clone(), entry.key().period);
                }
                Follows::Diverges => {
                    // Branches differ somewhere before: naming our head makes the peer send its own
                    // from the start, which shows where.
                    self.ask_for(id, entry.log(), entry.key().unit.clone(), entry.key().period);
                }
                Follows::Forked => {
                    self.reject(id, entry.log(), Rejected::Forked { log: entry.log() });
                }
                Follows::TimeGoesBack => {
                    let (log, seq_num) = (entry.log(), entry.seq_num());
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
        if self.trust.node(key.author).is_none() && key.period.is_none() && entry.seq_num() == 0 {
            self.learn_chain(entry);
        }
        if !self.config.weakness.accept_uncertified {
            let Some(chain) = self.trust.node(key.author) else {
                return Err(Rejected::UnknownAuthor { log: entry.log(), author: key.author });
            };
            if chain.unit() != &key.unit {
                let unit = key.unit.clone();
                return Err(Rejected::NotEntitled { author: key.author, unit });
            }
        }
        let peer = self.sessions.get(&id).and_then(|session| session.unit());
        let shared = peer.is_some_and(|peer| self.placement.shared(key, &self.unit, peer));
        let new_and_full = self.logs.len() >= LOGS_MAX && self.logs.newest(entry.log()).is_none();
        if (!shared && !self.config.weakness.send_beyond_reach) || new_and_full {
            return Err(Rejected::OutOfReach { log: entry.log(), unit: key.unit.clone() });
        }
        Ok(())
    }

    fn reject(&mut self, id: SessionId, log: LogId, reason: Rejected) {
        let again = matches!(
            reason,
            Rejected::UnknownAuthor { .. } | Rejected::OutOfReach { .. } | Rejected::Gap { .. }
        );
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let new = again
            && session.refused.len() < REJECTED_LOGS_MAX
            && session.refused.insert(log);
        // One report per log and session: a peer cannot fill our journal.
        if new || !again {
            self.report(Report::Rejected { session: id, reason });
        }
    }

    /// Stages an entry for the next append and learns the statements it carries.
    pub(super) fn stage(&mut self, entry: Entry, from: Option<SessionId>) {
        self.logs.stage(&entry);
        self.learn(&entry);
        if let Some(id) = from
            && let Some(session) = self.sessions.get_mut(&id)
        {
            session.refused.remove(&entry.log());
        }
        self.staging.touched.insert(entry.log());
        self.staging.from.push(from);
        self.staging.entries.push(entry);
    }

    /// Reads what an entry says about trust.
    pub(super) fn learn(&mut self, entry: &Entry) {
        if entry.key().period.is_none() && self.learn_chain(entry) {
            self.ask_again();
        }
    }

    fn learn_chain(&mut self, entry: &Entry) -> bool {
        let mut new = false;
        for part in entry.parts() {
            if let Part::Statement { domain, bytes } = part
                && domain == CHAIN_TAG
                && let Ok(chain) = Chain::from_bytes(bytes)
            {
                new |= matches!(self.trust.add(&chain), Ok(Some(_)));
            }
        }
        new
    }

    /// Compares an entry with the one we hold at its position: the same, or a fork.
    fn check_same(&mut self, entry: Entry, reader: &impl LogReader) -> Result<(), ReadError> {
        let staged = self
            .staging
            .entries
            .iter()
            .chain(self.in_flight.iter().flat_map(|(_, s)| s.entries.iter()))
            .find(|held| held.log() == entry.log() && held.seq_num() == entry.seq_num());
        let held = match staged {
            Some(held) => Some(held.clone()),
            None => reader
                .entry(entry.log(), entry.seq_num())?
                .and_then(|bytes| Entry::verify(bytes).ok()),
        };
        if let Some(held) = held
            && held.hash() != entry.hash()
        {
            self.record_fork(&held, entry);
        }
        Ok(())
    }

    /// Takes two entries that claim one position, checked by the driver.
    pub(super) fn accept_fork(&mut self, mut entries: Vec<Entry>) {
        let (Some(second), Some(first)) = (entries.pop(), entries.pop()) else { return };
        let same_place = first.log() == second.log() && first.seq_num() == second.seq_num();
        let certified = self
            .trust
            .node(first.key().author)
            .is_some_and(|chain| chain.unit() == &first.key().unit);
        if same_place && certified && first.hash() != second.hash() {
            self.record_fork(&first, second);
        }
    }

    fn record_fork(&mut self, first: &Entry, second: Entry) {
        if self.config.weakness.ignore_forks {
            return;
        }
        let (log, seq_num) = (first.log(), first.seq_num());
        if !self.logs.fork(log, seq_num) {
            return;
        }
        self.report(Report::Forked {
            log,
            author: first.key().author,
            unit: first.key().unit.clone(),
            seq_num,
        });
        self.staging.fork_news.push((first.bytes().to_vec(), second.bytes().to_vec()));
        self.staging.evidence.push(second);
        self.staging.touched.insert(log);
    }

    /// Tells live sessions of forks whose evidence is now durable.
    pub(super) fn tell_forks(&mut self) {
        for (first, second) in std::mem::take(&mut self.fork_news) {
            let Ok(entry) = Entry::verify(first.clone()) else { continue };
            for id in self.live_sessions() {
                let peer = self.sessions.get(&id).and_then(|s| s.unit().cloned());
                if peer.is_some_and(|p| self.placement.shared(entry.key(), &self.unit, &p)) {
                    let news = Message::Fork(first.clone().into(), second.clone().into());
                    self.send(id, news);
                }
            }
        }
    }

    /// Asks every session again for the logs that were refused for want of trust or place.
    pub(super) fn ask_again(&mut self) {
        for id in self.live_sessions() {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            if !session.refused.is_empty() {
                session.refused.clear();
                self.begin_compare(id);
            }
        }
    }

    fn ask_for(
        &mut self,
        id: SessionId,
        log: LogId,
        unit: keys::UnitId,
        period: Option<crate::Period>,
    ) {
        let _ = log;
        let heads = self.shared_heads(id, &unit, period);
        self.send(id, Message::Heads(unit, period, heads, false));
    }

    /// Notes that a peer holds an entry, so that it is not sent back.
    fn note_peer_has(&mut self, id: SessionId, entry: &Entry) {
        let head = self.logs.newest(entry.log()).map_or(0, |head| head.seq_num);
        let turn = self.turn(entry.key(), entry.log());
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let next = entry.seq_num() + 1;
        if session.peer_next.get(&entry.log()).is_none_or(|known| *known < next) {
            session.needs(turn, next, head);
        }
        if session.promised.get(&entry.log()).is_some_and(|seq| *seq <= entry.seq_num()) {
            session.promised.remove(&entry.log());
        }
    }

    /// Offers freshly durable entries to every session that may hold them.
    pub(super) fn offer_new(&mut self, staging: &Staging) {
        for log in &staging.touched {
            let Some(state) = self.logs.durable(*log) else { continue };
            let turn = self.turn(&state.key, *log);
            for id in self.live_sessions() {
                if !self.may_send(id, &state.key) {
                    continue;
                }
                let Some(session) = self.sessions.get_mut(&id) else { continue };
                let next = session.peer_next.get(log).copied().unwrap_or(0);
                session.needs(turn, next, state.head.seq_num);
                if !session.ready.is_empty() {
                    self.outputs.push_back(Output::Wake { session: id });
                }
            }
        }
    }

    /// Returns true when a log of this key may be sent in this session.
    pub(super) fn may_send(&self, id: SessionId, key: &crate::LogKey) -> bool {
        let Some(peer) = self.sessions.get(&id).and_then(|session| session.unit()) else {
            return false;
        };
        self.config.weakness.send_beyond_reach && key.reach != Reach::Below
            || self.placement.shared(key, &self.unit, peer)
    }

    /// Returns when a log's turn comes: statements first, higher units first.
    pub(super) fn turn(&self, key: &crate::LogKey, log: LogId) -> (bool, usize, LogId) {
        (key.period.is_some(), self.placement.ancestors(&key.unit).count(), log)
    }
}
