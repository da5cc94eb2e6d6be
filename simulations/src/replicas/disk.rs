//! The model disk: a commit is durable some time after it was asked for; a crash loses what is not.
//! It can be told to lie or to rot, so that the checks are seen to notice.

use crate::rng::Rng;
use federation_protocol::{Entry, LogId, LogReader, LogState, ReadError};
use keys::{StoreEpoch, UnitId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// One atomic commit.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The replica's append that it carries out, if any.
    pub number: Option<u64>,
    /// New entries.
    pub entries: Vec<Entry>,
    /// States of their logs.
    pub states: Vec<LogState>,
    /// Evidence of forks.
    pub evidence: Vec<Entry>,
    /// A receipt to keep.
    pub receipt: Option<(UnitId, UnitId, Vec<u8>)>,
    /// A new epoch of the store.
    pub epoch: Option<StoreEpoch>,
}

/// What the disk does beside its duty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskKind {
    /// Keeps every promise.
    #[default]
    Honest,
    /// Says durable and loses the newest commits in a crash.
    Lying,
    /// Flips a bit of a stored entry in a crash.
    Rotting,
}

/// The bytes of one entry.
pub type Bytes = Arc<[u8]>;

/// What one commit replaced, for a disk that lies.
#[derive(Clone, Debug)]
struct Undo {
    entries: Vec<(LogId, u64)>,
    states: Vec<(LogId, Option<LogState>)>,
}

/// The store of one machine.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Durable entries.
    pub entries: BTreeMap<(LogId, u64), Bytes>,
    /// Durable states of logs.
    pub states: BTreeMap<LogId, LogState>,
    /// Durable evidence of forks.
    pub evidence: BTreeMap<(LogId, u64), Bytes>,
    /// Durable receipts, by issuer and unit.
    pub receipts: BTreeMap<(UnitId, UnitId), Vec<u8>>,
    /// The epoch of this store.
    pub epoch: StoreEpoch,
    pending: VecDeque<Batch>,
    kind: DiskKind,
    undo: VecDeque<Undo>,
}

/// Commits that a lying disk holds back.
const LIES_MAX: usize = 3;

impl Disk {
    /// Creates an empty store.
    pub fn new(epoch: StoreEpoch, kind: DiskKind) -> Self {
        Self {
            entries: BTreeMap::new(),
            states: BTreeMap::new(),
            evidence: BTreeMap::new(),
            receipts: BTreeMap::new(),
            epoch,
            pending: VecDeque::new(),
            kind,
            undo: VecDeque::new(),
        }
    }

    /// Takes a commit; it is durable once [`Disk::finish_oldest`] returned it.
    pub fn begin(&mut self, batch: Batch) {
        self.pending.push_back(batch);
    }

    /// Returns how many commits wait.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Makes the oldest waiting commit durable and returns it.
    pub fn finish_oldest(&mut self) -> Option<Batch> {
        let batch = self.pending.pop_front()?;
        let undo = Undo {
            entries: batch
                .entries
                .iter()
                .map(|e| (e.log(), e.seq_num()))
                .collect(),
            states: batch
                .states
                .iter()
                .map(|state| (state.key.id(), self.states.get(&state.key.id()).cloned()))
                .collect(),
        };
        self.undo.push_back(undo);
        if self.undo.len() > LIES_MAX {
            self.undo.pop_front();
        }
        for entry in &batch.entries {
            self.entries
                .insert((entry.log(), entry.seq_num()), entry.bytes().into());
        }
        for state in &batch.states {
            self.states.insert(state.key.id(), state.clone());
        }
        for entry in &batch.evidence {
            self.evidence
                .insert((entry.log(), entry.seq_num()), entry.bytes().into());
        }
        if let Some((issuer, unit, bytes)) = &batch.receipt {
            self.receipts
                .insert((issuer.clone(), unit.clone()), bytes.clone());
        }
        self.epoch = batch.epoch.unwrap_or(self.epoch);
        Some(batch)
    }

    /// Loses power: of the waiting commits some of the oldest had just become durable, the rest is
    /// gone. Returns those that became durable.
    pub fn crash(&mut self, rng: &mut Rng) -> Vec<Batch> {
        let survive = rng.index(self.pending.len() + 1);
        let survived = (0..survive).filter_map(|_| self.finish_oldest()).collect();
        self.pending.clear();
        match self.kind {
            DiskKind::Honest => {}
            DiskKind::Lying => self.take_back(),
            DiskKind::Rotting => self.rot(rng),
        }
        survived
    }

    /// Refuses every waiting commit, as a full disk does; returns how many.
    pub fn refuse(&mut self) -> usize {
        let refused = self.pending.len();
        self.pending.clear();
        refused
    }

    /// Returns a copy of what is durable.
    pub fn backup(&self) -> Self {
        Self {
            pending: VecDeque::new(),
            undo: VecDeque::new(),
            ..self.clone()
        }
    }

    fn take_back(&mut self) {
        while let Some(undo) = self.undo.pop_back() {
            for place in undo.entries {
                self.entries.remove(&place);
            }
            for (log, state) in undo.states {
                match state {
                    Some(state) => self.states.insert(log, state),
                    None => self.states.remove(&log),
                };
            }
        }
    }

    fn rot(&mut self, rng: &mut Rng) {
        let at = rng.index(self.entries.len());
        if let Some(bytes) = self.entries.values_mut().nth(at) {
            let mut rotten = bytes.to_vec();
            let bit = rng.index(rotten.len() * 8);
            rotten[bit / 8] ^= 1 << (bit % 8);
            *bytes = rotten.into();
        }
    }
}

impl LogReader for Disk {
    fn entry(&self, log: LogId, seq_num: u64) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self
            .entries
            .get(&(log, seq_num))
            .map(|bytes| bytes.to_vec()))
    }

    fn entries(
        &self,
        log: LogId,
        from: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        let mut size = 0;
        for ((at, seq_num), bytes) in self.entries.range((log, from)..) {
            let next = from + found.len() as u64;
            if *at != log || *seq_num != next || found.len() >= count_max {
                break;
            }
            if !found.is_empty() && size + bytes.len() > bytes_max {
                break;
            }
            size += bytes.len();
            found.push(bytes.to_vec());
        }
        Ok(found)
    }

    fn fork_evidence(&self, log: LogId, seq_num: u64) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self
            .evidence
            .get(&(log, seq_num))
            .map(|bytes| bytes.to_vec()))
    }
}
