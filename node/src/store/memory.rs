//! A store without a disk, for unit tests: commits resolve at once and nothing outlives it.

use std::collections::BTreeMap;
use std::future::ready;
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use keys::Hash;

use super::{Batch, CommitError, CommitFuture, Kv, Pair, StoreError};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// An ordered map behind a lock.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Map>);

impl MemoryStore {
    /// Returns an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Map) -> T) -> T {
        // Nothing below can panic half-way through a change, so a poisoned map is a whole map.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kv for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.with(|map| map.get(key).cloned()))
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        Ok(self.with(|map| {
            map.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)))
                .take(limit)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        }))
    }

    fn commit(&self, batch: Batch) -> CommitFuture {
        let outcome = batch
            .check_bounds()
            .and_then(|()| self.with(|map| apply(map, batch)));
        Box::pin(ready(outcome))
    }
}

fn apply(map: &mut Map, batch: Batch) -> Result<(), CommitError> {
    for (key, expected) in batch.expects() {
        if map.get(key).map(|value| Hash::of(value)) != expected {
            return Err(CommitError::Conflict { key: key.to_vec() });
        }
    }
    let (_, writes) = batch.into_parts();
    for (key, value) in writes {
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[test]
    fn the_memory_store_conforms() {
        conformance::check_all(MemoryStore::new);
    }
}
