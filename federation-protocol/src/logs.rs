//! The heads of all logs of a replica: what is durable, and what is staged for the next commit.

use crate::limits::{HEADS_MAX, LOGS_MAX, UNIT_LOGS_MAX, UNIT_PERIODS_MAX};
use crate::{Entry, Head, LogId, LogKey, LogState, Period, Reach};
use keys::UnitId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

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
    /// The lowest fork known; never above the newest head.
    forked: Option<u64>,
    /// The lowest fork whose evidence is durable: the only one that is spoken of.
    forked_durable: Option<u64>,
}

/// All logs, by id and by unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    slots: BTreeMap<LogId, Slot>,
    /// Durable logs.
    by_unit: BTreeMap<UnitId, BTreeSet<LogId>>,
    /// Durable logs that are addressed to another unit.
    addressed: BTreeSet<LogId>,
    /// How many logs of each period a unit has, staged ones included.
    counts: BTreeMap<UnitId, BTreeMap<Option<Period>, usize>>,
}

impl Logs {
    /// Puts a stored log back.
    pub(crate) fn restore(&mut self, state: LogState) {
        let id = state.key.id();
        self.open(id, &state.key);
        self.commit(id, Some(state.head), state.forked);
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.forked = state.forked;
        }
    }

    /// Returns true when one more log of this key keeps within every limit.
    pub(crate) fn has_room_for(&self, key: &LogKey) -> bool {
        if self.slots.len() >= LOGS_MAX {
            return false;
        }
        let Some(periods) = self.counts.get(&key.unit) else {
            return true;
        };
        // Statements keep their place whatever else a unit fills.
        let semesters = periods.keys().flatten().count();
        match periods.get(&key.period) {
            None if key.period.is_some() && semesters + 1 >= UNIT_PERIODS_MAX => return false,
            Some(count) if *count >= HEADS_MAX => return false,
            _ => {}
        }
        periods.values().sum::<usize>() < UNIT_LOGS_MAX
    }

    /// Returns where an entry stands relative to what is durable or staged.
    pub(crate) fn follows(&self, entry: &Entry) -> Follows {
        let slot = self.slots.get(&entry.log());
        let Some((slot, head)) = slot.and_then(|slot| Some((slot, slot.staged.or(slot.durable)?)))
        else {
            return if entry.seq_num() == 0 {
                Follows::Next
            } else {
                Follows::Gap(0)
            };
        };
        if entry.seq_num() <= head.seq_num {
            return Follows::Before;
        }
        if slot.forked.is_some_and(|fork| entry.seq_num() >= fork) {
            return Follows::Forked;
        }
        if entry.seq_num() > head.seq_num.saturating_add(1) {
            return Follows::Gap(head.seq_num + 1);
        }
        if entry.header().backlink != Some(head.hash) {
            return Follows::Diverges;
        }
        if entry.header().hlc < head.hlc {
            Follows::TimeGoesBack
        } else {
            Follows::Next
        }
    }

    /// Stages an entry that [`Follows::Next`].
    pub(crate) fn stage(&mut self, entry: &Entry) {
        self.open(entry.log(), entry.key());
        if let Some(slot) = self.slots.get_mut(&entry.log()) {
            slot.staged = Some(entry.head());
        }
    }

    fn open(&mut self, id: LogId, key: &LogKey) {
        if self.slots.contains_key(&id) {
            return;
        }
        *self
            .counts
            .entry(key.unit.clone())
            .or_default()
            .entry(key.period)
            .or_default() += 1;
        let key = key.clone();
        let slot = Slot {
            key,
            durable: None,
            staged: None,
            forked: None,
            forked_durable: None,
        };
        self.slots.insert(id, slot);
    }

    /// Notes a fork at or before the newest head; returns true when this lowered the first forked
    /// position.
    pub(crate) fn fork(&mut self, log: LogId, seq_num: u64) -> bool {
        let Some(slot) = self.slots.get_mut(&log) else {
            return false;
        };
        let held = slot
            .staged
            .or(slot.durable)
            .is_some_and(|head| head.seq_num >= seq_num);
        if !held || slot.forked.is_some_and(|known| known <= seq_num) {
            return false;
        }
        slot.forked = Some(seq_num);
        true
    }

    /// Returns a log as it will be once what is staged is committed.
    pub(crate) fn next_state(&self, log: LogId) -> Option<LogState> {
        let slot = self.slots.get(&log)?;
        let head = slot.staged.or(slot.durable)?;
        Some(LogState {
            key: slot.key.clone(),
            head,
            forked: slot.forked,
        })
    }

    /// Makes a staged head and a fork durable.
    pub(crate) fn commit(&mut self, log: LogId, head: Option<Head>, fork: Option<u64>) {
        let Some(slot) = self.slots.get_mut(&log) else {
            return;
        };
        if let Some(head) = head {
            slot.durable = Some(head);
            if slot.staged == Some(head) {
                slot.staged = None;
            }
            self.by_unit
                .entry(slot.key.unit.clone())
                .or_default()
                .insert(log);
            if matches!(slot.key.reach, Reach::To(_)) {
                self.addressed.insert(log);
            }
        }
        slot.forked_durable = match (slot.forked_durable, fork) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
    }

    /// Forgets what is staged and not durable.
    pub(crate) fn unstage(&mut self) {
        let counts = &mut self.counts;
        self.slots.retain(|_, slot| {
            slot.staged = None;
            slot.forked = slot.forked_durable;
            if slot.durable.is_none()
                && let Some(periods) = counts.get_mut(&slot.key.unit)
                && let Some(count) = periods.get_mut(&slot.key.period)
            {
                *count -= 1;
                if *count == 0 {
                    periods.remove(&slot.key.period);
                }
            }
            slot.durable.is_some()
        });
    }

    /// Returns a log's durable state.
    pub(crate) fn durable(&self, log: LogId) -> Option<LogState> {
        let slot = self.slots.get(&log)?;
        Some(LogState {
            key: slot.key.clone(),
            head: slot.durable?,
            forked: slot.forked_durable,
        })
    }

    /// Returns a log's newest durable position.
    pub(crate) fn durable_seq_num(&self, log: LogId) -> Option<u64> {
        Some(self.slots.get(&log)?.durable?.seq_num)
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
        self.slots
            .keys()
            .filter_map(|id| Some((*id, self.durable(*id)?)))
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
        self.of_unit(unit)
            .filter(move |(_, state)| state.key.period == period)
    }

    /// Returns the durable logs that are addressed to another unit.
    pub(crate) fn addressed(&self) -> impl Iterator<Item = (LogId, LogState)> {
        self.addressed
            .iter()
            .filter_map(|id| Some((*id, self.durable(*id)?)))
    }

    /// Returns the units that have durable logs.
    pub(crate) fn units(&self) -> impl Iterator<Item = &UnitId> {
        self.by_unit.keys()
    }

    /// Returns the units that have durable logs, from one on.
    pub(crate) fn units_from(&self, from: Bound<UnitId>) -> impl Iterator<Item = &UnitId> {
        self.by_unit
            .range((from, Bound::Unbounded))
            .map(|(unit, _)| unit)
    }
}
