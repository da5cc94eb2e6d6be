//! Reconciliation of the collection: compare digests from the top, descend only where they differ,
//! end at exact heads.
//!
//! Nothing here is answered at once: what is to be told becomes due, and is made into a message when
//! the peer has room, from what is true then.

use super::Replica;
use crate::limits::{DIGEST_CHILDREN_MAX, PROMISED_LOGS_MAX};
use crate::session::{Due, Turn};
use crate::{
    Child, DigestTree, Entry, HeadItem, LogId, LogReader, LogState, Message, Misbehaved, Period,
    Reach, ReadError, Relation, Report, SessionId, Step,
};
use keys::{Hash, UnitId};
use std::collections::{BTreeMap, BTreeSet};

impl Replica {
    /// Starts comparing with a peer: assumes it holds what we hold, and says what that is.
    pub(super) fn begin_compare(&mut self, id: SessionId) {
        self.assume_equal(id);
        let digest = self.shared_root(id);
        let receipts = self.receipts_digest(id);
        self.send(id, Message::Summary(digest, receipts));
    }

    /// Compares once more within a session. The side that descends does so; the other one says its
    /// summary, which makes the first descend.
    pub(super) fn compare_again(&mut self, id: SessionId) {
        if self.descends(id) {
            self.assume_equal(id);
            self.tell(id, Due::Digest(Vec::new()));
        } else {
            self.begin_compare(id);
        }
    }

    /// Returns true when it is for us to descend: the lower of the two keys does, so that one does.
    fn descends(&self, id: SessionId) -> bool {
        self.sessions
            .get(&id)
            .is_some_and(|session| self.me < session.proven)
    }

    /// Notes for every shared log not yet known to the session that the peer is at our head; the
    /// comparison corrects this where it is wrong.
    fn assume_equal(&mut self, id: SessionId) {
        for (log, state) in self.shared_logs(id, |_| true) {
            let turn = self.turn(&state.key, log);
            let Some(session) = self.sessions.get_mut(&id) else {
                return;
            };
            if !session.peer_next.contains_key(&log) {
                let head = state.head.seq_num;
                session.needs(turn, head.saturating_add(1), Some(head));
            }
        }
    }

    /// Gives the logs of a session their turns anew after the placement changed.
    pub(super) fn order_again(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let turns: BTreeSet<Turn> = session
            .ready
            .iter()
            .filter_map(|(_, _, log)| Some(self.turn(self.logs.key(*log)?, *log)))
            .collect();
        if let Some(session) = self.sessions.get_mut(&id) {
            session.ready = turns;
        }
    }

    pub(super) fn compare_summary(&mut self, id: SessionId, digest: Hash, receipts: Hash) {
        let equal = self.shared_root(id) == digest;
        let receipts_differ = receipts != self.receipts_digest(id);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.compared = Some(equal);
        if receipts_differ && session.relation == Some(Relation::Child) {
            session.receipts_after = Some(None);
            self.wake(id);
        }
        // Both sides saw both summaries.
        if !equal && self.descends(id) {
            self.tell(id, Due::Digest(Vec::new()));
        }
    }

    pub(super) fn compare_digest(&mut self, id: SessionId, path: Vec<Step>, children: Vec<Child>) {
        let level = match path.as_slice() {
            [] => Level::Top,
            [Step::Bucket(_)] => Level::Units,
            [Step::Unit(_)] | [Step::Bucket(_), Step::Unit(_)] => Level::Periods,
            _ => {
                return self.punish(
                    id,
                    &Misbehaved::Message {
                        what: "digest path",
                    },
                );
            }
        };
        let fits = |child: &Child| match (level, &child.step) {
            (Level::Top, Step::Bucket(_)) => matches!(children[0].step, Step::Bucket(_)),
            (Level::Top, Step::Unit(_)) => matches!(children[0].step, Step::Unit(_)),
            (Level::Units, step) => matches!(step, Step::Unit(_)),
            (Level::Periods, step) => matches!(step, Step::Period(_)),
            (Level::Top, Step::Period(_)) => false,
        };
        let sorted = children.is_sorted_by(|a, b| a.step < b.step);
        if !sorted || !children.iter().all(fits) {
            return self.punish(
                id,
                &Misbehaved::Message {
                    what: "digest children",
                },
            );
        }
        let tree = self.shared_tree(id, &path);
        let bucketed = match children.first() {
            Some(child) => matches!(child.step, Step::Bucket(_)),
            None => tree
                .children(&path)
                .first()
                .is_some_and(|(s, _)| matches!(s, Step::Bucket(_))),
        };
        let ours: BTreeMap<Step, Hash> = tree.children_as(&path, bucketed).into_iter().collect();
        let theirs: BTreeMap<Step, Hash> = children
            .into_iter()
            .map(|child| (child.step, child.digest))
            .collect();
        let steps: BTreeSet<&Step> = ours.keys().chain(theirs.keys()).collect();
        for step in steps {
            if ours.get(step) == theirs.get(step) {
                continue;
            }
            match (path.last(), step) {
                (Some(Step::Unit(unit)), Step::Period(period)) => {
                    self.tell(id, Due::Heads(unit.clone(), *period, true));
                }
                _ => {
                    let mut below = path.clone();
                    below.push(step.clone());
                    self.tell(id, Due::Digest(below));
                }
            }
        }
    }

    pub(super) fn digest_message(&self, id: SessionId, path: Vec<Step>) -> Message {
        let mut children = self.shared_tree(id, &path).children(&path);
        children.truncate(DIGEST_CHILDREN_MAX);
        let children = children
            .into_iter()
            .map(|(step, digest)| Child { step, digest })
            .collect();
        Message::Digest(path, children)
    }

    pub(super) fn compare_heads(
        &mut self,
        id: SessionId,
        unit: &UnitId,
        period: Option<Period>,
        theirs: &[HeadItem],
        answer: bool,
        reader: &impl LogReader,
    ) -> Result<(), ReadError> {
        let theirs: BTreeMap<LogId, HeadItem> =
            theirs.iter().map(|item| (item.log, *item)).collect();
        let ours: Vec<(LogId, LogState)> = self
            .logs
            .of_period(unit, period)
            .filter(|(_, state)| self.may_send(id, &state.key))
            .collect();
        for (log, state) in &ours {
            let turn = self.turn(&state.key, *log);
            let next = match theirs.get(log) {
                None => 0,
                Some(item) => self.next_for(id, *log, state, item, reader)?,
            };
            if let Some(session) = self.sessions.get_mut(&id) {
                session.needs(turn, next, Some(state.head.seq_num));
            }
        }
        for (log, item) in &theirs {
            self.note_promise(id, *log, item);
        }
        if answer {
            self.tell(id, Due::Heads(unit.clone(), period, false));
        }
        self.wake(id);
        Ok(())
    }

    /// Notes what a peer says it holds beyond us; of an own log that is news for people.
    fn note_promise(&mut self, id: SessionId, log: LogId, item: &HeadItem) {
        let ours = self.logs.durable(log);
        let behind = ours
            .as_ref()
            .is_none_or(|state| state.forked.is_none() && state.head.seq_num < item.seq_num);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let room = session.promised.len() < PROMISED_LOGS_MAX;
        if behind && (room || session.promised.contains_key(&log)) {
            session.promised.insert(log, item.seq_num);
        }
        // A child's word alone is no alarm; the entry itself, signed by us, will be.
        let believed = session.relation != Some(Relation::Child);
        if let Some(state) = ours
            && behind
            && believed
            && state.key.author == self.me
            && state.key.epoch == self.config.epoch
        {
            self.report_once(id, log, Report::RolledBack { log });
        }
    }

    /// Returns the position a peer with this head of a log needs next.
    fn next_for(
        &mut self,
        id: SessionId,
        log: LogId,
        state: &LogState,
        item: &HeadItem,
        reader: &impl LogReader,
    ) -> Result<u64, ReadError> {
        let end = state.head.seq_num.saturating_add(1);
        match (state.forked, item.forked) {
            // We know of a fork they have not seen, or of a lower one: where they hold one of the two
            // entries the evidence goes and not the log; otherwise it follows the entry.
            (Some(ours), theirs) if theirs.is_none_or(|theirs| ours < theirs) => {
                if item.seq_num >= ours {
                    self.tell(id, Due::Fork(log, ours));
                    return Ok(end);
                }
            }
            (_, Some(_)) => return Ok(end),
            (_, None) => {}
        }
        if item.seq_num > state.head.seq_num {
            return Ok(end);
        }
        let held = if item.seq_num == state.head.seq_num {
            Some(state.head.hash)
        } else {
            let entry = reader.entry(log, item.seq_num)?;
            entry
                .and_then(|bytes| Entry::verify(bytes).ok())
                .map(|entry| entry.hash())
        };
        // Another hash at that position: the branches differ somewhere, so all is sent again.
        Ok(if held == Some(item.hash) {
            item.seq_num.saturating_add(1)
        } else {
            0
        })
    }

    /// Returns our heads of one unit and period that the session shares.
    pub(super) fn shared_heads(
        &self,
        id: SessionId,
        unit: &UnitId,
        period: Option<Period>,
    ) -> Vec<HeadItem> {
        self.logs
            .of_period(unit, period)
            .filter(|(_, state)| self.may_send(id, &state.key))
            .map(|(log, state)| HeadItem {
                log,
                seq_num: state.head.seq_num,
                hash: state.head.hash,
                forked: state.forked,
            })
            .collect()
    }

    /// Returns every durable log that the session shares, of the units that pass.
    fn shared_logs(
        &self,
        id: SessionId,
        wanted: impl Fn(&UnitId) -> bool,
    ) -> BTreeMap<LogId, LogState> {
        let mut shared = BTreeMap::new();
        let Some(peer) = self.sessions.get(&id).and_then(|session| session.unit()) else {
            return shared;
        };
        let everywhere = peer == &self.unit || self.config.weakness.send_beyond_reach;
        let (upper, lower) = if self.placement.is_within(&self.unit, peer) {
            (&self.unit, peer)
        } else {
            (peer, &self.unit)
        };
        for unit in self.logs.units().filter(|unit| wanted(unit)) {
            // Up from the lower one's subtree, or down from the upper one and those above it: what is
            // not addressed to a unit comes from nowhere else.
            if everywhere
                || self.placement.is_within(lower, unit)
                || self.placement.is_within(unit, upper)
            {
                let logs = self.logs.of_unit(unit);
                shared.extend(logs.filter(|(_, state)| self.may_send(id, &state.key)));
            }
        }
        let addressed = self
            .logs
            .addressed()
            .filter(|(_, state)| wanted(&state.key.unit));
        shared.extend(addressed.filter(|(_, state)| self.may_send(id, &state.key)));
        shared
    }

    /// Returns the digest of everything the session shares.
    pub(super) fn shared_root(&self, id: SessionId) -> Hash {
        self.shared_tree(id, &[]).root()
    }

    /// Returns as much of the tree of shared logs as lies under a path.
    fn shared_tree(&self, id: SessionId, path: &[Step]) -> DigestTree {
        let shared = self.shared_logs(id, |unit| {
            path.iter().all(|step| match step {
                Step::Bucket(bucket) => DigestTree::bucket(unit) == *bucket,
                Step::Unit(only) => only == unit,
                Step::Period(_) => true,
            })
        });
        DigestTree::build(shared.iter().map(|(log, state)| (*log, state)))
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
    pub(super) fn turn(&self, key: &crate::LogKey, log: LogId) -> Turn {
        (
            key.period.is_some(),
            self.placement.ancestors(&key.unit).count(),
            log,
        )
    }
}

/// What the children of a path are.
#[derive(Clone, Copy)]
enum Level {
    /// Buckets or units.
    Top,
    /// Units of one bucket.
    Units,
    /// Periods of one unit.
    Periods,
}
