//! A simulated disk: what a store has written is visible at once, durable a little later, and a
//! power cut takes what was not durable yet.
//!
//! Commits are gathered in groups, as the node's store does: one group is being synced, the next one
//! gathers behind it. A group is durable when its sync ends. At a crash a seeded number of the groups
//! under way survives, always the earliest ones, each whole or not at all. Switches break the rules
//! one at a time, so that tests can show that they would notice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::ready;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keys::Hash;
use node::store::{Batch, CommitError, CommitFuture, Kv, Pair, StoreError};
use tokio::time::{Instant, sleep_until};

use crate::entropy::SplitMix;

/// How far a lying sync runs behind what it says.
const LIE: Duration = Duration::from_secs(30);

/// The purposes this module draws randomness for.
const SYNC_TIME: u64 = 1;
const SURVIVORS: u64 = 2;

type Value = Arc<[u8]>;

/// One machine's disk. It survives the processes that use it; clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

/// A store on a [`SimDisk`], as one process sees it from opening to crash.
#[derive(Clone, Debug)]
pub struct SimStore {
    disk: SimDisk,
    generation: u64,
}

/// The content of a disk at one moment, for backups and rollbacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskImage(BTreeMap<Vec<u8>, Value>);

/// Counts of what a disk did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskTotals {
    /// Batches that took effect.
    pub batches: u64,
    /// Bytes of keys and values in them.
    pub bytes: u64,
    /// Syncs they took.
    pub syncs: u64,
    /// Crashes.
    pub crashes: u64,
    /// Groups of batches that crashes took.
    pub groups_lost: u64,
    /// Groups that were not durable and survived a crash all the same.
    pub groups_lucky: u64,
}

#[derive(Debug)]
struct State {
    seed: u64,
    /// Everything written, durable or not.
    visible: BTreeMap<Vec<u8>, Value>,
    /// Groups not durable yet, oldest first: the one being synced and the one behind it.
    pending: VecDeque<Group>,
    corrupt: BTreeSet<Vec<u8>>,
    /// Counts processes that opened the store and disks that were put back.
    generation: u64,
    groups: u64,
    sync_min: Duration,
    sync_max: Duration,
    lies: bool,
    full: bool,
    fails: bool,
    stopped: bool,
    totals: DiskTotals,
}

#[derive(Debug)]
struct Group {
    durable_at: Instant,
    /// What stood under each key before, in the order of writing.
    before: Vec<(Vec<u8>, Option<Value>)>,
}

impl SimDisk {
    /// An empty disk on which a sync takes 1 to 8 ms.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            seed,
            visible: BTreeMap::new(),
            pending: VecDeque::new(),
            corrupt: BTreeSet::new(),
            generation: 0,
            groups: 0,
            sync_min: Duration::from_millis(1),
            sync_max: Duration::from_millis(8),
            lies: false,
            full: false,
            fails: false,
            stopped: false,
            totals: DiskTotals::default(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock ends the run; other nodes' disks are not concerned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the store for a process. Handles of earlier processes stop working.
    pub fn open(&self) -> SimStore {
        let mut state = self.state();
        state.generation += 1;
        state.stopped = false;
        SimStore {
            disk: self.clone(),
            generation: state.generation,
        }
    }

    /// Cuts the power: some of what was not durable is lost, by the seed. Returns how many groups of
    /// batches were lost.
    pub fn crash(&self) -> usize {
        let mut state = self.state();
        state.settle();
        let under_way = state.pending.len();
        let mut luck = SplitMix::new(state.seed, &[SURVIVORS, state.totals.crashes]);
        let survive = usize::try_from(luck.below(under_way as u64 + 1)).unwrap_or(0);
        while state.pending.len() > survive {
            state.undo_last();
        }
        state.pending.clear();
        state.generation += 1;
        state.totals.crashes += 1;
        state.totals.groups_lost += (under_way - survive) as u64;
        state.totals.groups_lucky += survive as u64;
        under_way - survive
    }

    /// Sets how long a sync takes. With zero for both, every commit is durable at once.
    pub fn set_sync_time(&self, min: Duration, max: Duration) {
        let mut state = self.state();
        (state.sync_min, state.sync_max) = (min, max.max(min));
    }

    /// Lets commits resolve long before they are durable, as some disks do. For tests that must fail.
    pub fn set_lies(&self, lies: bool) {
        self.state().lies = lies;
    }

    /// Refuses commits for want of space.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Fails the next sync: its group is of unknown outcome, and the store stops until it is opened
    /// again.
    pub fn fail_next_sync(&self) {
        self.state().fails = true;
    }

    /// Damages the value under `key`: reading it fails until it is written anew. False if there is none.
    pub fn corrupt(&self, key: &[u8]) -> bool {
        let mut state = self.state();
        state.visible.contains_key(key) && state.corrupt.insert(key.to_vec())
    }

    /// What would be found after a power cut that takes everything not durable.
    pub fn image(&self) -> DiskImage {
        let mut state = self.state();
        state.settle();
        let mut image = state.visible.clone();
        for group in state.pending.iter().rev() {
            undo(&mut image, group.before.iter().cloned());
        }
        DiskImage(image)
    }

    /// Puts an earlier content back, whole and durable, as restoring a backup or a virtual machine's
    /// snapshot does. Open handles stop working.
    pub fn restore(&self, image: &DiskImage) {
        let mut state = self.state();
        state.visible.clone_from(&image.0);
        state.pending.clear();
        state.corrupt.clear();
        state.generation += 1;
    }

    /// Counts of what happened so far.
    pub fn totals(&self) -> DiskTotals {
        self.state().totals
    }
}

impl DiskImage {
    /// Its pairs in key order.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_ref()))
    }

    /// Number of its pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn undo(
    content: &mut BTreeMap<Vec<u8>, Value>,
    before: impl DoubleEndedIterator<Item = (Vec<u8>, Option<Value>)>,
) {
    for (key, value) in before.rev() {
        match value {
            Some(value) => content.insert(key, value),
            None => content.remove(&key),
        };
    }
}

impl State {
    /// Forgets how to undo what has become durable.
    fn settle(&mut self) {
        let now = Instant::now();
        while self
            .pending
            .front()
            .is_some_and(|group| group.durable_at <= now)
        {
            self.pending.pop_front();
        }
    }

    fn undo_last(&mut self) {
        if let Some(group) = self.pending.pop_back() {
            undo(&mut self.visible, group.before.into_iter());
        }
    }

    /// The group a batch written now belongs to, and when that is durable.
    fn join_group(&mut self) -> Instant {
        if let [_, gathering] = self.pending.make_contiguous() {
            return gathering.durable_at;
        }
        let mut luck = SplitMix::new(self.seed, &[SYNC_TIME, self.groups]);
        self.groups += 1;
        self.totals.syncs += 1;
        let spread = u64::try_from((self.sync_max - self.sync_min).as_micros()).unwrap_or(0);
        let takes = self.sync_min + Duration::from_micros(luck.below(spread.saturating_add(1)));
        let lie = if self.lies { LIE } else { Duration::ZERO };
        let begins = self
            .pending
            .back()
            .map_or_else(Instant::now, |group| group.durable_at);
        let durable_at = begins + takes + lie;
        self.pending.push_back(Group {
            durable_at,
            before: Vec::new(),
        });
        durable_at
    }

    fn read(&self, key: &[u8], value: &Value) -> Result<Vec<u8>, StoreError> {
        if self.corrupt.contains(key) {
            return Err(StoreError::Corrupt { key: key.to_vec() });
        }
        Ok(value.to_vec())
    }

    /// Applies a batch and returns when it will be durable.
    fn commit(&mut self, batch: Batch) -> Result<Instant, CommitError> {
        batch.check_bounds()?;
        if self.stopped {
            return Err(CommitError::Poisoned);
        }
        for (key, expected) in batch.expects() {
            let found = self
                .visible
                .get(key)
                .map(|value| self.read(key, value))
                .transpose();
            let found = found.map_err(CommitError::Read)?;
            if found.map(|value| Hash::of(&value)) != expected {
                return Err(CommitError::Conflict { key: key.to_vec() });
            }
        }
        let size = batch.size();
        if self.full && !batch.is_empty() {
            return Err(CommitError::Full {
                free: 0,
                needed: size as u64,
            });
        }
        self.settle();
        let durable_at = self.join_group();
        let group = self
            .pending
            .back_mut()
            .expect("a batch has just joined a group");
        for (key, value) in batch.into_parts().1 {
            self.corrupt.remove(&key);
            let before = match value {
                Some(value) => self.visible.insert(key.clone(), value.into()),
                None => self.visible.remove(&key),
            };
            group.before.push((key, before));
        }
        self.totals.batches += 1;
        self.totals.bytes += size as u64;
        if std::mem::take(&mut self.fails) {
            self.stopped = true;
            return Err(CommitError::Poisoned);
        }
        Ok(durable_at)
    }
}

impl SimStore {
    /// The disk, locked, unless this process is dead.
    fn state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.disk.state();
        if state.generation == self.generation && !state.stopped {
            Ok(state)
        } else {
            Err(StoreError::Stopped)
        }
    }
}

impl Kv for SimStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let state = self.state()?;
        state
            .visible
            .get(key)
            .map(|value| state.read(key, value))
            .transpose()
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        let state = self.state()?;
        if from >= to {
            return Ok(Vec::new());
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let pairs = state.visible.range::<[u8], _>(range).take(limit);
        pairs
            .map(|(key, value)| Ok((key.clone(), state.read(key, value)?)))
            .collect()
    }

    fn commit(&self, batch: Batch) -> CommitFuture {
        let Ok(mut state) = self.state() else {
            return Box::pin(ready(Err(CommitError::Poisoned)));
        };
        let durable_at = match state.commit(batch) {
            Ok(durable_at) => durable_at,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        if state.lies || state.sync_max.is_zero() {
            return Box::pin(ready(Ok(())));
        }
        drop(state);
        let store = self.clone();
        Box::pin(async move {
            sleep_until(durable_at).await;
            // Of a crash or a failed sync in between, this process does not learn the outcome.
            store.state().map(drop).map_err(|_| CommitError::Poisoned)
        })
    }
}

#[cfg(test)]
mod tests;
