//! What a node of a transcript keeps: entries, evidence, heads and receipts, in memory.

// Shared by several test files, each of which uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

use federation_protocol::{Entry, LogId, LogReader, LogState, ReadError};
use keys::{Hash, UnitId};

/// What one node keeps.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) entries: BTreeMap<(LogId, u64), Vec<u8>>,
    pub(crate) evidence: BTreeMap<(LogId, u64), Vec<u8>>,
    pub(crate) states: BTreeMap<LogId, LogState>,
    pub(crate) receipts: BTreeMap<(UnitId, UnitId), Vec<u8>>,
    /// The hash of each entry's envelope, and of all bytes of each: what checks need, cheaply.
    pub(crate) hashes: BTreeMap<(LogId, u64), Hash>,
    pub(crate) bytes: BTreeSet<Hash>,
}

impl Store {
    /// Puts checked entries in, as if they had been appended one after the other.
    pub(crate) fn put(&mut self, entry: &Entry) {
        let place = (entry.log(), entry.seq_num());
        self.entries.insert(place, entry.bytes().to_vec());
        self.hashes.insert(place, entry.hash());
        self.bytes.insert(Hash::of(entry.bytes()));
        let state = LogState {
            key: entry.key().clone(),
            head: entry.head(),
            forked: None,
        };
        self.states.insert(entry.log(), state);
    }
}

impl LogReader for Store {
    fn entry(&self, log: LogId, seq_num: u64) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.entries.get(&(log, seq_num)).cloned())
    }

    fn entries(
        &self,
        log: LogId,
        from: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0;
        for ((_, _), entry) in self
            .entries
            .range((log, from)..=(log, u64::MAX))
            .take(count_max)
        {
            if !found.is_empty() && bytes + entry.len() > bytes_max {
                break;
            }
            bytes += entry.len();
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn fork_evidence(&self, log: LogId, seq_num: u64) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.evidence.get(&(log, seq_num)).cloned())
    }
}
