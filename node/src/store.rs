//! The narrow ordered key-value store that everything durable of a node goes through.
//!
//! One trait, [`Kv`]: read a key, scan a range, commit a [`Batch`] atomically and durably. Production
//! uses [`SledStore`], unit tests [`MemoryStore`], simulations their own; [`conformance`] is the
//! contract that all of them pass. Values are bounded so that no engine is asked for what it does
//! badly; larger things are content-addressed files with only hash and length in here.

pub mod committer;
pub mod conformance;
pub mod guard;
pub mod memory;
pub mod sled;
pub mod value;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use keys::Hash;

pub use self::sled::{Check, SledOptions, SledStore};
pub use committer::{FailStop, OnFailStop, Phase, Stats};
pub use guard::{Reserve, move_aside};
pub use memory::MemoryStore;

/// The longest value in bytes. Above this the engine of today never gives disk space back, and the
/// largest entry of the protocol (64 KiB with its envelope) fits with room to spare.
pub const VALUE_SIZE_MAX: usize = 96 * 1024;

/// The longest key in bytes; long enough for a unit, a subject and a reach side by side.
pub const KEY_SIZE_MAX: usize = 1024;

/// The largest sum of keys and values of one batch in bytes: one import of 25,000 records with its
/// entries, projections and indexes, in one transaction, and still a bounded amount of memory.
pub const BATCH_SIZE_MAX: usize = 64 * 1024 * 1024;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Resolves when a batch is on the medium, or with the reason why it never will be.
///
/// Dropping it does not take the batch back: what was queued is committed.
pub type CommitFuture = Pin<Box<dyn Future<Output = Result<(), CommitError>> + Send>>;

/// An ordered map from bytes to bytes with atomic, durable, conditional commits.
pub trait Kv: Send + Sync + 'static {
    /// Returns the value under `key`, with the effects of every batch whose future has resolved.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the stored value is not what was written.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns up to `limit` pairs with `from <= key < to`, in byte order; a batch is seen whole or
    /// not at all. Go on from the last key with a zero byte appended.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a stored value of the range is not what was written.
    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError>;

    /// Queues a batch. Batches take effect one after the other in the order of these calls: all of a
    /// batch or nothing, and nothing when one of its expectations does not hold. Effects may be
    /// visible to readers before the future resolves and are never visible before this call.
    fn commit(&self, batch: Batch) -> CommitFuture;
}

impl<K: Kv + ?Sized> Kv for std::sync::Arc<K> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        (**self).scan(from, to, limit)
    }

    fn commit(&self, batch: Batch) -> CommitFuture {
        (**self).commit(batch)
    }
}

/// The exclusive upper bound of all keys that start with `prefix`, for [`Kv::scan`].
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Nothing sorts above a prefix of 0xff bytes except longer runs of them, and keys are bounded.
    vec![u8::MAX; KEY_SIZE_MAX + 1]
}

/// What to change in one atomic step, and what must be true for it to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    expects: Vec<(Vec<u8>, Option<Hash>)>,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    size: usize,
}

impl Batch {
    /// Returns a batch that does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires that the value under `key` hashes to `value`, or that there is none. Expectations
    /// are judged before any write of the same batch.
    pub fn expect(&mut self, key: impl Into<Vec<u8>>, value: Option<Hash>) -> &mut Self {
        self.expects.push((key.into(), value));
        self
    }

    /// Requires that nothing is stored under `key`.
    pub fn expect_absent(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.expect(key, None)
    }

    /// Requires that exactly `value` is stored under `key`.
    pub fn expect_value(&mut self, key: impl Into<Vec<u8>>, value: &[u8]) -> &mut Self {
        self.expect(key, Some(Hash::of(value)))
    }

    /// Stores `value` under `key`. The last word about a key wins.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.write(key.into(), Some(value.into()))
    }

    /// Removes `key`; one that is not there is fine. The last word about a key wins.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.write(key.into(), None)
    }

    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> &mut Self {
        let added = value.as_ref().map_or(0, Vec::len);
        match self.writes.entry(key) {
            Entry::Vacant(slot) => {
                self.size += slot.key().len() + added;
                slot.insert(value);
            }
            Entry::Occupied(mut slot) => {
                let removed = slot.insert(value).map_or(0, |value| value.len());
                self.size = self.size + added - removed;
            }
        }
        self
    }

    /// The expectations, in the order they were added.
    pub fn expects(&self) -> impl Iterator<Item = (&[u8], Option<Hash>)> {
        self.expects
            .iter()
            .map(|(key, value)| (key.as_slice(), *value))
    }

    /// The writes in key order; `None` removes the key.
    pub fn writes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.writes
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Takes the batch apart into expectations and writes.
    #[expect(
        clippy::type_complexity,
        reason = "the two fields of the type, as they are"
    )]
    pub fn into_parts(
        self,
    ) -> (
        Vec<(Vec<u8>, Option<Hash>)>,
        BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ) {
        (self.expects, self.writes)
    }

    /// Number of keys written or removed.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether committing it changes nothing. Expectations are judged all the same.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Bytes of keys and values written.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Checks the bounds that every store holds to, whatever its engine.
    ///
    /// # Errors
    /// [`CommitError::KeyTooLarge`], [`CommitError::ValueTooLarge`] or [`CommitError::BatchTooLarge`].
    pub fn check_bounds(&self) -> Result<(), CommitError> {
        if self.size > BATCH_SIZE_MAX {
            return Err(CommitError::BatchTooLarge { size: self.size });
        }
        for key in self
            .expects
            .iter()
            .map(|(key, _)| key)
            .chain(self.writes.keys())
        {
            if key.len() > KEY_SIZE_MAX {
                return Err(CommitError::KeyTooLarge { size: key.len() });
            }
        }
        for (key, value) in self.writes() {
            let size = value.map_or(0, <[u8]>::len);
            if size > VALUE_SIZE_MAX {
                return Err(CommitError::ValueTooLarge {
                    key: key.to_vec(),
                    size,
                });
            }
        }
        Ok(())
    }
}

/// Why a store cannot be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The bytes stored under a key are not the bytes that were written there.
    #[error(
        "the value stored under key {} is damaged; run `sanji doctor` to see what else is",
        hex::encode(key)
    )]
    Corrupt {
        /// The key as the caller knows it.
        key: Vec<u8>,
    },
    /// The store as a whole cannot be used. Its files are left where they are.
    #[error(
        "the store in {} cannot be used: {damage}. It is left where it is. \
         Restore the newest backup of the home, or run `sanji doctor --repair`: it moves the store aside \
         and begins a new one, which the node above fills again",
        dir.display()
    )]
    Damaged {
        /// The directory of the store.
        dir: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// There is something at the store's place that this program did not make.
    #[error("{} is not a store: it is not empty and has no READY file; nothing was changed", dir.display())]
    NotAStore {
        /// The directory that was asked for.
        dir: PathBuf,
    },
    /// The store was made by another version.
    #[error("the store in {} has format {found}, this program reads format {}", dir.display(), guard::FORMAT)]
    Format {
        /// The directory of the store.
        dir: PathBuf,
        /// The format it says it has.
        found: String,
    },
    /// Another process has the store open.
    #[error("the store in {} is in use by another process", dir.display())]
    InUse {
        /// The directory of the store.
        dir: PathBuf,
    },
    /// The store has stopped after an earlier failure; the process should end and start again.
    #[error("the store has stopped after a failure")]
    Stopped,
    /// The engine failed to read.
    #[error("reading the store failed: {reason}")]
    Engine {
        /// What the engine said.
        reason: String,
    },
    /// The file system refused something around the engine.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done, to be read after "cannot".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What makes a whole store unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The engine does not open its files.
    #[error("its files do not open ({reason})")]
    Engine {
        /// What the engine said.
        reason: String,
    },
    /// The record written at creation is missing or different.
    #[error("the record written when it was created is missing or changed")]
    Canary,
    /// Writes that were on the medium are no longer there.
    #[error("its last writes are missing (it had reached mark {marked} and is back at {found})")]
    Truncated {
        /// The mark the store had reached.
        marked: u64,
        /// The mark found in it.
        found: u64,
    },
}

/// Why a batch did not take effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// An expectation did not hold. Nothing of the batch took effect.
    #[error("key {} is not in the expected state", hex::encode(key))]
    Conflict {
        /// The first key whose expectation failed.
        key: Vec<u8>,
    },
    /// A value is longer than [`VALUE_SIZE_MAX`].
    #[error("a value of {size} bytes is longer than {VALUE_SIZE_MAX}")]
    ValueTooLarge {
        /// The key it was for.
        key: Vec<u8>,
        /// Its length in bytes.
        size: usize,
    },
    /// A key is longer than [`KEY_SIZE_MAX`].
    #[error("a key of {size} bytes is longer than {KEY_SIZE_MAX}")]
    KeyTooLarge {
        /// Its length in bytes.
        size: usize,
    },
    /// The batch is larger than [`BATCH_SIZE_MAX`].
    #[error("a batch of {size} bytes is larger than {BATCH_SIZE_MAX}")]
    BatchTooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// Too much is waiting already; try again when some of it has been committed.
    #[error("{batches} batches ({size} bytes) are waiting to be written")]
    Busy {
        /// Batches waiting.
        batches: usize,
        /// Their size in bytes.
        size: usize,
    },
    /// The disk is nearly full. Refused before the engine could run out of space half-way.
    #[error("the disk is nearly full: {free} bytes are free, {needed} are needed to go on")]
    Full {
        /// Bytes free for this process.
        free: u64,
        /// Bytes that must be free for this batch.
        needed: u64,
    },
    /// The store has stopped after a failure. Whether the batch took effect is unknown until the
    /// store is opened again; it was not acknowledged.
    #[error(
        "the store has stopped after a failure; the outcome is unknown until it is opened again"
    )]
    Poisoned,
    /// The store is being closed.
    #[error("the store is closed")]
    Closed,
    /// The present value of an expected key could not be read. Nothing took effect.
    #[error(transparent)]
    Read(StoreError),
    /// The free space of the disk could not be determined. Nothing took effect.
    #[error("cannot determine the free space of the disk")]
    Io(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_sorts_after_every_key_with_it() {
        assert_eq!(prefix_end(b"ab"), b"ac");
        assert_eq!(prefix_end(b"a\xff"), b"b");
        let mut longest = vec![u8::MAX; KEY_SIZE_MAX];
        assert!(prefix_end(b"") > longest);
        assert!(prefix_end(b"\xff") > longest);
        longest.pop();
        assert!(prefix_end(b"\xff\xff") > longest);
    }

    #[test]
    fn the_last_word_about_a_key_wins_and_is_counted_once() {
        let mut batch = Batch::new();
        batch
            .put("k", "long value")
            .put("k", "v")
            .delete("gone")
            .put("gone", "b")
            .delete("gone");
        assert_eq!(batch.size(), "k".len() + "v".len() + "gone".len());
        assert_eq!(batch.len(), 2);
        let writes: Vec<_> = batch.writes().collect();
        assert_eq!(writes, [(&b"gone"[..], None), (&b"k"[..], Some(&b"v"[..]))]);
    }

    #[test]
    fn bounds_are_inclusive() {
        let mut batch = Batch::new();
        batch.put(vec![0; KEY_SIZE_MAX], vec![0; VALUE_SIZE_MAX]);
        batch.check_bounds().unwrap();
        batch.put("k", vec![0; VALUE_SIZE_MAX + 1]);
        assert!(matches!(
            batch.check_bounds(),
            Err(CommitError::ValueTooLarge { .. })
        ));
        let mut batch = Batch::new();
        batch.expect_absent(vec![0; KEY_SIZE_MAX + 1]);
        assert!(matches!(
            batch.check_bounds(),
            Err(CommitError::KeyTooLarge { .. })
        ));
    }
}
