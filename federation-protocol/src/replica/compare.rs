//! Reconciliation of the collection: compare digests from the top, descend only where they differ,
//! end at exact heads.

use super::Replica;
use crate::{
    Child, DigestTree, HeadItem, LogId, LogReader, LogState, Message, Period, ReadError, Report,
    SessionId, Step,
};
use keys::{Hash, UnitId};
use std::collections::{BTreeMap, BTreeSet};

impl Replica {
    /// Starts comparing with a peer: assumes it holds what we hold, and says what that is.
    pub(super) fn begin_compare(&mut self, id: SessionId) {
        self.offer_all(id);
        let digest = self.shared_tree(id).root();
        let receipts = self.receipts_digest(id);
        self.send(id, Message::Summary(digest, receipts));
    }

    /// Notes for every shared log not yet known to the session that the peer is at our head; the
    /// comparison corrects this where it is wrong.
    pub(super) fn offer_all(&mut self, id: SessionId) {
        for (log, state) in self.shared_logs(id) {
            let turn = self.turn(&state.key, log);
            let Some(session) = self.sessions.get_mut(&id) else { return };
            if !session.peer_next.contains_key(&log) {
                session.needs(turn, state.head.seq_num + 1, state.head.seq_num);
            }
        }
    }

    pub(super) fn compare_summary(
        &mut self,
        now_ms: u64,
        id: SessionId,
        digest: Hash,
        receipts: Hash,
    ) {
        let tree = self.shared_tree(id);
        let equal = tree.root() == digest;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.compared = Some(equal);
        }
        if receipts != self.receipts_digest(id) {
            self.give_all_receipts(now_ms, id);
        }
        // Both sides saw both summaries; the lower of the two keys descends, so that only one does.
        let first = self.sessions.get(&id).is_some_and(|session| self.me < session.proven);
        if !equal && first {
            self.send_digest(id, Vec::new(), &tree, None);
        }
    }

    pub(super) fn compare_digest(&mut self, id: SessionId, path: &[Step], children: Vec<Child>) {
        let tree = self.shared_tree(id);
        let bucketed = children.iter().any(|child| matches!(child.step, Step::Bucket(_)))
            || (children.is_empty() && !tree.children(path).is_empty() && {
                matches!(tree.children(path).first(), Some((Step::Bucket(_), _)))
            });
        let ours: BTreeMap<Step, Hash> = tree.children_as(path, bucketed).into_iter().collect();
        let theirs: BTreeMap<Step, Hash> =
            children.into_iter().map(|child| (child.step, child.digest)).collect();
        let steps: BTreeSet<&Step> = ours.keys().chain(theirs.keys()).collect();
        for step in steps {
            if ours.get(step) == theirs.get(step) {
                continue;
            }
            let mut below = path.to_vec();
            below.push(step.clone());
            if let [.., Step::Unit(unit), Step::Period(period)] = below.as_slice() {
                let heads = self.shared_heads(id, unit, *period);
                self.send(id, Message::Heads(unit.clone(), *period, heads, true));
            } else if below.len() <= 3 {
                self.send_digest(id, below, &tree, None);
            }
        }
    }

    fn send_digest(
        &mut self,
        id: SessionId,
        path: Vec<Step>,
        tree: &DigestTree,
        bucketed: Option<bool>,
    ) {
        let children = match bucketed {
            Some(bucketed) => tree.children_as(&path, bucketed),
            None => tree.children(&path),
        };
        let children =
            children.into_iter().map(|(step, digest)| Child { step, digest }).collect();
        self.send(id, Message::Digest(path, children));
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
            .shared_logs(id)
            .into_iter()
            .filter(|(_, state)| &state.key.unit == unit && state.key.period == period)
            .collect();
        for (log, state) in &ours {
            let turn = self.turn(&state.key, *log);
            let next = match theirs.get(log) {
                None => 0,
                Some(item) => self.next_for(id, *log, state, item, reader)?,
            };
            if let Some(session) = self.sessions.get_mut(&id) {
                session.needs(turn, next, state.head.seq_num);
            }
        }
        for (log, item) in &theirs {
            let ours = self.logs.durable(*log);
            let held = ours.as_ref().map(|state| state.head.seq_num);
            if held.is_none_or(|seq| seq < item.seq_num)
                && ours.as_ref().is_none_or(|state| state.forked.is_none())
                && let Some(session) = self.sessions.get_mut(&id)
            {
                session.promised.insert(*log, item.seq_num);
            }
            if let Some(state) = &ours
                && state.key.author == self.me
                && state.head.seq_num < item.seq_num
            {
                self.report(Report::RolledBack { log: *log });
            }
        }
        if answer {
            let heads = self.shared_heads(id, unit, period);
            self.send(id, Message::Heads(unit.clone(), period, heads, false));
        } else if let Some(session) = self.sessions.get_mut(&id)
            && !session.ready.is_empty()
        {
            self.outputs.push_back(crate::Output::Wake { session: id });
        }
        if let Some(session) = self.sessions.get(&id)
            && !session.ready.is_empty()
        {
            self.outputs.push_back(crate::Output::Wake { session: id });
        }
        Ok(())
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
        let end = state.head.seq_num + 1;
        match (state.forked, item.forked) {
            // We know of a fork they have not seen, or of a lower one: the evidence goes, not the log.
            (Some(ours), theirs) if theirs.is_none_or(|theirs| ours < theirs) => {
                if let (Some(first), Some(second)) =
                    (reader.entry(log, ours)?, reader.fork_evidence(log, ours)?)
                {
                    self.send(id, Message::Fork(first.into(), second.into()));
                }
                Ok(end.min(item.seq_num + 1))
            }
            (_, Some(_)) => Ok(end),
            (_, None) if item.seq_num > state.head.seq_num => Ok(end),
            (_, None) => {
                let held = if item.seq_num == state.head.seq_num {
                    Some(state.head.hash)
                } else {
                    reader
                        .entry(log, item.seq_num)?
                        .and_then(|bytes| crate::Entry::verify(bytes).ok())
                        .map(|entry| entry.hash())
                };
                // Another hash at that position: the branches differ somewhere, so all is sent again.
                Ok(if held == Some(item.hash) { item.seq_num + 1 } else { 0 })
            }
        }
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

    /// Returns every durable log that the session shares.
    pub(super) fn shared_logs(&self, id: SessionId) -> Vec<(LogId, LogState)> {
        let mut shared = Vec::new();
        for unit in self.logs.units() {
            shared.extend(
                self.logs.of_unit(unit).filter(|(_, state)| self.may_send(id, &state.key)),
            );
        }
        shared
    }

    fn shared_tree(&self, id: SessionId) -> DigestTree {
        let shared = self.shared_logs(id);
        DigestTree::build(shared.iter().map(|(log, state)| (*log, state)))
    }
}
