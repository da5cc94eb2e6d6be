//! The heads of all logs of a replica: what is durable, and what is staged for the next commit.

use crate::{Entry, Head, LogId, LogKey, LogState, Period};
use keys::UnitId;
use std::collections::{BTreeMap, BTreeSet};

/// What may happen to an entry that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// It is the next entry of its log.
    Next,
    /// It is at or before the newest known position.
    Before,
    /// Entries are missing before it; the next needed position.
    Gap(u64),
    /// It is at the right position and does not link to our head: the branches differ before it.
    Diverges,
    /// The log is forked at or before it.
    Forked,
    /// Its time is before that of the entry it follows.
    TimeGoesBack,
}

#[derive(Clone, Debug)]
struct Slot {
    key: LogKey,
    durable: Option<Head>,
    staged: Option<Head>,
    forked: Option<u64>,
}

/// All logs, by id and by unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    slots: BTreeMap<LogId, Slot>,
    by_unit: BTreeMap<UnitId, BTreeSet<LogId>>,
}

impl Logs {
    /// Puts a stored log back.
    pub(crate) fn restore(&mut self, state: LogState) {
        let id = state.key.id();
        self.by_unit.entry(state.key.unit.clone()).or_default().insert(id);
        let slot =
            Slot { key: state.key, durable: Some(state.head), staged: None, forked: state.forked };
        self.slots.insert(id, slot);
    }

    /// Returns how many logs are known.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns where an entry stands relative to what is durable or staged.
    pub(crate) fn follows(&self, entry: &Entry) -> Follows {
        let Some(slot) = self.slots.get(&entry.log()) else {
            return if entry.seq_num() == 0 { Follows::Next } else { Follows::Gap(0) };
        };
        let Some(head) = slot.staged.or(slot.durable) else {
            return if entry.seq_num() == 0 { Follows::Next } else { Follows::Gap(0) };
        };
        if entry.seq_num() <= head.seq_num {
            return Follows::Before;
        }
        if slot.forked.is_some() {
            return Follows::Forked;
        }
        if entry.seq_num() > head.seq_num + 1 {
            return Follows::Gap(head.seq_num + 1);
        }
        if entry.header().backlink != Some(head.hash) {
            return Follows::Diverges;
        }
        if entry.header().hlc < head.hlc { Follows::TimeGoesBack } else { Follows::Next }
    }

    /// Stages an entry that [`Follows::Next`].
    pub(crate) fn stage(&mut self, entry: &Entry) {
        let slot = self.slots.entry(entry.log()).or_insert_with(|| Slot {
            key: entry.key().clone(),
            durable: None,
            staged: None,
            forked: None,
        });
        slot.staged = Some(entry.head());
    }

    /// Marks a fork; returns true when this lowered the first forked position.
    pub(crate) fn fork(&mut self, log: LogId, seq_num: u64) -> bool {
        let Some(slot) = self.slots.get_mut(&log) else { return false };
        if slot.forked.is_some_and(|known| known <= seq_num) {
            return false;
        }
        slot.forked = Some(seq_num);
        true
    }

    /// Returns a log as it will be once what is staged is committed.
    pub(crate) fn next_state(&self, log: LogId) -> Option<LogState> {
        let slot = self.slots.get(&log)?;
        let head = slot.staged.or(slot.durable)?;
        Some(LogState { key: slot.key.clone(), head, forked: slot.forked })
    }

    /// Turns a staged head into a durable one.
    pub(crate) fn commit(&mut self, state: &LogState) {
        let id = state.key.id();
        self.by_unit.entry(state.key.unit.clone()).or_default().insert(id);
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.durable = Some(state.head);
            if slot.staged == Some(state.head) {
                slot.staged = None;
            }
        }
    }

    /// Returns a log's durable state.
    pub(crate) fn durable(&self, log: LogId) -> Option<LogState> {
        let slot = self.slots.get(&log)?;
        Some(LogState { key: slot.key.clone(), head: slot.durable?, forked: slot.forked })
    }

    /// Returns a log's newest head, durable or staged.
    pub(crate) fn newest(&self, log: LogId) -> Option<Head> {
        let slot = self.slots.get(&log)?;
        slot.staged.or(slot.durable)
    }

    /// Returns a log's key.
    pub(crate) fn key(&self, log: LogId) -> Option<&LogKey> {
        self.slots.get(&log).map(|slot| &slot.key)
    }

    /// Returns the durable state of every log, in the order of ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = (LogId, LogState)> {
        self.slots.keys().filter_map(|id| Some((*id, self.durable(*id)?)))
    }

    /// Returns the durable logs of one unit.
    pub(crate) fn of_unit(&self, unit: &UnitId) -> impl Iterator<Item = (LogId, LogState)> {
        let ids = self.by_unit.get(unit).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.durable(*id)?)))
    }

    /// Returns the durable logs of one unit and period.
    pub(crate) fn of_period(
        &self,
        unit: &UnitId,
        period: Option<Period>,
    ) -> impl Iterator<Item = (LogId, LogState)> {
        self.of_unit(unit).filter(move |(_, state)| state.key.period == period)
    }

    /// Returns the units that have logs.
    pub(crate) fn units(&self) -> impl Iterator<Item = &UnitId> {
        self.by_unit.keys()
    }
}
