//! What the core may borrow from the driver's store: reads only.

use crate::LogId;

/// A stored entry could not be read; the driver stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored entry {seq_num} of log {log}: {why}")]
pub struct ReadError {
    /// The log.
    pub log: LogId,
    /// The position.
    pub seq_num: u64,
    /// The store's own words.
    pub why: String,
}

/// Reads of durable entries. Nothing here writes: writes leave the core as outputs.
pub trait LogReader {
    /// Returns the bytes of one entry, none when it is not held.
    fn entry(&self, log: LogId, seq_num: u64) -> Result<Option<Vec<u8>>, ReadError>;

    /// Returns consecutive entries from a position, at least one if held, and no more after
    /// `bytes_max` bytes or `count_max` entries.
    fn entries(
        &self,
        log: LogId,
        from: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, ReadError>;

    /// Returns the entry that was found beside the one held at a forked position.
    fn fork_evidence(&self, log: LogId, seq_num: u64) -> Result<Option<Vec<u8>>, ReadError>;
}
