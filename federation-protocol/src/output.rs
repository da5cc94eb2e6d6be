//! What the driver must do, in the order it must be done.

use crate::{Entry, LogId, LogState, Message};
use keys::{NodeKey, UnitId};

/// One connection to a peer, numbered by the driver, never reused within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// An effect. The order of outputs is a promise, see the crate's ordering contract.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Store these entries and log states in one atomic, durable commit, then call
    /// [`crate::Replica::handle_committed`] with the number.
    Append {
        /// Number of this append; appends are committed in order.
        number: u64,
        /// New entries.
        entries: Vec<Entry>,
        /// The states of their logs after the commit.
        states: Vec<LogState>,
        /// Fork evidence to keep: the entry that was not appended.
        evidence: Vec<Entry>,
    },
    /// Entries that became durable: project them, tell who waits. Follows the commit.
    Appended {
        /// The number of the append.
        number: u64,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Send a message; control messages only, bulk is pulled by
    /// [`crate::Replica::poll_transmit`].
    Wake {
        /// The session that has something to send.
        session: SessionId,
    },
    /// Tell the peer why and close the session.
    Close {
        /// The session.
        session: SessionId,
        /// What to send before closing, if anything.
        last: Option<Message>,
        /// True when the peer broke a rule.
        misbehaved: bool,
        /// The reason, for both sides.
        reason: String,
    },
    /// Keep this receipt: newest of its issuer about its unit.
    KeepReceipt {
        /// Who holds the entries.
        issuer: UnitId,
        /// Whose entries.
        unit: UnitId,
        /// The signed bytes.
        bytes: Vec<u8>,
    },
    /// Something a person should know.
    Report(Report),
}

/// Something a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// A log is forked: two entries at one position, both signed by its author.
    Forked {
        /// The log.
        log: LogId,
        /// Its author.
        author: NodeKey,
        /// The unit.
        unit: UnitId,
        /// The lowest forked position.
        seq_num: u64,
    },
    /// A peer holds entries of our own log that we do not: our store was rolled back.
    RolledBack {
        /// The log.
        log: LogId,
    },
    /// A peer sent something we may not take now.
    Rejected {
        /// From whom.
        session: SessionId,
        /// Why.
        reason: crate::Rejected,
    },
}
