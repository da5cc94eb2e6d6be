//! The order of a dossier's changes: which may be applied, which wait, which must not be.
//!
//! Everything here is a function of the set of changes. The order is the one every node computes: of
//! the changes whose dependencies are applied, the one with the lowest hash comes next.

use std::collections::{BTreeMap, BTreeSet};

use keys::Hash;

use crate::change::Change;
use crate::dossier::{DossierState, Held};
use crate::project::Why;

/// A dossier's changes in order.
pub(crate) struct History<'a> {
    /// In the canonical order; dependencies come first.
    applied: Vec<&'a Held>,
    /// Dependencies are missing, or were put aside.
    waiting: usize,
    /// Put aside, by entry.
    problems: BTreeSet<(Hash, Why)>,
    heads: BTreeSet<Hash>,
    max_op: u64,
    seqs: BTreeMap<[u8; 16], u64>,
    /// Applied changes by actor and first operation id.
    starts: BTreeMap<([u8; 16], u64), &'a Change>,
}

/// How far each actor had come in the changes behind one change.
type Clock = BTreeMap<[u8; 16], u64>;

impl<'a> History<'a> {
    pub(crate) fn of(state: &'a DossierState) -> Self {
        Self::without(state, &BTreeMap::new())
    }

    /// Orders the changes, leaving out those that broke the engine.
    pub(crate) fn without(state: &'a DossierState, broken: &BTreeMap<Hash, Why>) -> Self {
        let mut history = Self {
            applied: Vec::with_capacity(state.changes().len()),
            waiting: 0,
            problems: BTreeSet::new(),
            heads: BTreeSet::new(),
            max_op: 0,
            seqs: BTreeMap::new(),
            starts: BTreeMap::new(),
        };
        let mut places: BTreeMap<([u8; 16], u64), Hash> = BTreeMap::new();
        let mut missing: BTreeMap<Hash, usize> = BTreeMap::new();
        let mut children: BTreeMap<Hash, Vec<Hash>> = BTreeMap::new();
        let mut ready: BTreeSet<Hash> = BTreeSet::new();
        // In the order of hashes: of two changes at one place the lower one stands, everywhere.
        for (hash, held) in state.changes() {
            let change = &held.change;
            let aside = if places.contains_key(&(change.actor, change.seq)) {
                Some(Why::Fork)
            } else {
                broken.get(hash).copied()
            };
            places.entry((change.actor, change.seq)).or_insert(*hash);
            if let Some(why) = aside {
                history.problems.insert((held.entry, why));
                continue;
            }
            if change.deps.is_empty() {
                ready.insert(*hash);
            } else {
                missing.insert(*hash, change.deps.len());
            }
            for dep in &change.deps {
                children.entry(*dep).or_default().push(*hash);
            }
        }
        let mut clocks: BTreeMap<Hash, (Clock, u64)> = BTreeMap::new();
        while let Some(hash) = ready.pop_first() {
            let held = &state.changes()[&hash];
            let clock = match follow(&held.change, &clocks) {
                Some(clock) if !history.replaces_its_past(&held.change, &clock) => {
                    history.problems.insert((held.entry, Why::Dangling));
                    continue;
                }
                Some(clock) => clock,
                None => {
                    history.problems.insert((held.entry, Why::OutOfPlace));
                    continue;
                }
            };
            clocks.insert(hash, (clock, held.change.max_op()));
            history.apply(held);
            for child in children.remove(&hash).unwrap_or_default() {
                if let Some(count) = missing.get_mut(&child) {
                    *count -= 1;
                    if *count == 0 {
                        missing.remove(&child);
                        ready.insert(child);
                    }
                }
            }
        }
        history.waiting = missing.len();
        history
    }

    fn apply(&mut self, held: &'a Held) {
        let change = &held.change;
        for dep in &change.deps {
            self.heads.remove(dep);
        }
        self.heads.insert(change.hash);
        self.max_op = self.max_op.max(change.max_op());
        self.seqs.insert(change.actor, change.seq);
        self.starts.insert((change.actor, change.start_op), change);
        self.applied.push(held);
    }

    /// Returns whether everything the change replaces stands in its own past, under the same key.
    fn replaces_its_past(&self, change: &Change, clock: &Clock) -> bool {
        change.replaced.iter().all(|replaced| {
            let upto = (replaced.actor, 0)..=(replaced.actor, replaced.counter);
            let past = self.starts.range(upto).next_back().map(|(_, past)| past);
            past.is_some_and(|past| {
                let seen = clock.get(&past.actor).is_some_and(|seq| past.seq <= *seq);
                let key = past.key_of(replaced.counter);
                seen && key.is_some() && key == change.key(replaced.put)
            })
        })
    }

    pub(crate) fn applied(&self) -> &[&'a Held] {
        &self.applied
    }

    pub(crate) fn applied_bytes(&self) -> Vec<&'a [u8]> {
        self.applied
            .iter()
            .map(|held| held.change.bytes())
            .collect()
    }

    /// Returns every value put under each key by an applied change, replaced ones too.
    pub(crate) fn applied_puts(&self) -> BTreeMap<&'a [u8], Vec<&'a [u8]>> {
        let mut puts: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
        for (key, value) in self.applied.iter().flat_map(|held| held.change.puts()) {
            puts.entry(key).or_default().push(value);
        }
        for values in puts.values_mut() {
            values.sort_unstable();
            values.dedup();
        }
        puts
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) fn problems(&self) -> &BTreeSet<(Hash, Why)> {
        &self.problems
    }

    pub(crate) fn heads(&self) -> &BTreeSet<Hash> {
        &self.heads
    }

    pub(crate) fn max_op(&self) -> u64 {
        self.max_op
    }

    pub(crate) fn last_seq(&self, actor: &[u8; 16]) -> u64 {
        self.seqs.get(actor).copied().unwrap_or(0)
    }
}

/// Returns the clock with the change in it, if the change stands where its dependencies say: next after
/// its own author's last, its operations next after all it has seen. The engine's own bookkeeping rests
/// on both.
fn follow(change: &Change, clocks: &BTreeMap<Hash, (Clock, u64)>) -> Option<Clock> {
    let (mut clock, mut max_op) = (Clock::new(), 0);
    for dep in &change.deps {
        let (seen, op) = clocks.get(dep)?;
        max_op = max_op.max(*op);
        for (actor, seq) in seen {
            let known = clock.entry(*actor).or_default();
            *known = (*known).max(*seq);
        }
    }
    let own = clock.entry(change.actor).or_default();
    let follows = change.seq == *own + 1 && change.start_op == max_op + 1;
    *own = change.seq;
    follows.then_some(clock)
}
