//! What can go wrong, sorted by who is to blame, because blame decides what the driver does.

use crate::LogId;
use keys::{NodeKey, UnitId};

/// The bytes are not an entry. State is unchanged; the sender broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Longer than [`crate::limits::ENTRY_SIZE_MAX`].
    #[error("entry of {size} bytes is larger than the limit")]
    TooLarge {
        /// Size in bytes.
        size: usize,
    },
    /// Not the two-element array of envelope and parts, or trailing bytes.
    #[error("entry is not an envelope followed by parts")]
    Shape,
    /// A part is malformed, not canonical, or over a limit.
    #[error("a part of the entry is malformed")]
    Part,
    /// More parts than [`crate::limits::ENTRY_PARTS_MAX`], or none.
    #[error("entry has {count} parts")]
    PartCount {
        /// Parts found.
        count: usize,
    },
    /// The header does not fit the parts or breaks a rule of its own.
    #[error("entry header is inconsistent: {what}")]
    Header {
        /// Which field.
        what: &'static str,
    },
    /// The envelope is malformed.
    #[error(transparent)]
    Envelope(#[from] keys::EnvelopeError),
    /// The signature or the header's encoding is wrong.
    #[error(transparent)]
    Verify(#[from] keys::VerifyError),
}

impl EntryError {
    /// Returns the version of an entry that only a later release can read. Its sender did nothing
    /// wrong: the entry is left out, and the log is asked for again after an update.
    pub fn newer_version(&self) -> Option<u64> {
        match self {
            Self::Verify(keys::VerifyError::Payload(keys::DecodeError::NewerVersion { found })) => {
                Some(*found)
            }
            _ => None,
        }
    }
}

/// The peer broke a rule: the driver records it and closes the session. State is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misbehaved {
    /// The message cannot be decoded or breaks a limit.
    #[error("malformed message: {what}")]
    Message {
        /// What was wrong.
        what: &'static str,
    },
    /// An entry it sent is not an entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A message that is not allowed in this phase.
    #[error("unexpected {what} message")]
    Unexpected {
        /// The message's name.
        what: &'static str,
    },
    /// An entry does not continue its log although the position is right.
    #[error("entry {seq_num} of log {} breaks its chain", log.short())]
    BrokenChain {
        /// The log.
        log: LogId,
        /// The position.
        seq_num: u64,
    },
    /// It does not read what we send.
    #[error("more than the allowed number of messages waiting for the peer")]
    NotReading,
}

/// The peer is honest but we may not accept now: it is told, and the session goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// We have no certificate chain for the author yet; the rest is asked for again later.
    #[error("author {} of log {} is not certified here yet", author.short(), log.short())]
    UnknownAuthor {
        /// The log.
        log: LogId,
        /// The author.
        author: NodeKey,
    },
    /// The author is certified for another unit.
    #[error("author {} may not write for unit {unit}", author.short())]
    NotEntitled {
        /// The author.
        author: NodeKey,
        /// The unit of the log.
        unit: UnitId,
    },
    /// The log must not travel between us, or we do not know its unit's place yet.
    #[error("log {} of unit {unit} does not travel here", log.short())]
    OutOfReach {
        /// The log.
        log: LogId,
        /// Its unit.
        unit: UnitId,
    },
    /// An earlier entry is missing.
    #[error("entry {found} of log {} came before entry {expected}", log.short())]
    Gap {
        /// The log.
        log: LogId,
        /// The position we need next.
        expected: u64,
        /// The position that came.
        found: u64,
    },
    /// The entry does not follow the one we hold, and the peer has shown no fork.
    #[error("entry {seq_num} of log {} does not follow the entry held here", log.short())]
    Diverges {
        /// The log.
        log: LogId,
        /// The position.
        seq_num: u64,
    },
    /// The unit has more logs or periods than its share.
    #[error("unit {unit} has too many logs")]
    TooManyLogs {
        /// The unit.
        unit: UnitId,
    },
    /// The log is forked at or before this position; nothing more is taken.
    #[error("log {} is forked", log.short())]
    Forked {
        /// The log.
        log: LogId,
    },
}

/// Why a peer is refused; sent to it, and shown on both sides.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its certificate chain does not end at our root.
    #[error("certificate chain refused: {0}")]
    Chain(#[from] keys::ChainError),
    /// The certificate chain in the hello cannot be decoded.
    #[error("the certificate chain is malformed")]
    Malformed,
    /// The chain is for another key than the one of the connection.
    #[error("the certificate is for another key than the connection's")]
    WrongKey,
    /// The certificate is expired or not yet valid.
    #[error("certificate of unit {unit} is not valid at this time")]
    NotValid {
        /// The unit.
        unit: UnitId,
    },
    /// Neither our parent, nor our child, nor of our unit.
    #[error("unit {unit} is not a neighbour of this unit")]
    NotRelated {
        /// The unit.
        unit: UnitId,
    },
    /// No version in common.
    #[error("no protocol version in common (theirs {theirs})")]
    Version {
        /// The peer's newest version.
        theirs: u8,
    },
    /// Another federation.
    #[error("another federation: its root is {theirs}")]
    Root {
        /// The peer's root key, in hex.
        theirs: String,
    },
    /// A second live session with the same node and store epoch.
    #[error("another session with this node and store epoch is open")]
    Duplicate,
    /// Too many sessions.
    #[error("too many sessions")]
    Full,
}

/// The caller made a mistake; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiMisuse {
    /// No such session.
    #[error("no such session")]
    NoSession,
    /// No append of that number is waiting.
    #[error("no such append")]
    NoAppend,
}
