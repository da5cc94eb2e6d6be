//! All that crosses the wire once a connection stands: one closed enum.

use crate::error::Misbehaved;
use crate::limits::{
    DIGEST_CHILDREN_MAX, DIGEST_PATH_MAX, ENTRIES_COUNT_MAX, HEADS_MAX, MESSAGE_SIZE_MAX,
    REASON_SIZE_MAX, SOFTWARE_SIZE_MAX,
};
use crate::{Entry, Hello, LogId, Period, Step};
use keys::{Hash, UnitId};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// A message between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// Opens the session; first each way.
    #[n(0)]
    Hello(#[n(0)] Hello),
    /// The digest of everything shared, and of the receipts known for the lower of both units; equal
    /// ones end the comparison.
    #[n(1)]
    Summary(#[n(0)] Hash, #[n(1)] Hash),
    /// The children of one node of the digest tree; the receiver answers where it differs.
    #[n(2)]
    Digest(#[n(0)] Vec<Step>, #[n(1)] Vec<Child>),
    /// The heads of one unit and period; `true` asks for the receiver's in return.
    #[n(3)]
    Heads(
        #[n(0)] UnitId,
        #[n(1)] Option<Period>,
        #[n(2)] Vec<HeadItem>,
        #[n(3)] bool,
    ),
    /// Entries, in the order of their logs.
    #[n(4)]
    Entries(#[n(0)] Vec<ByteVec>),
    /// Two entries at one position of one log: evidence of a fork.
    #[n(5)]
    Fork(#[n(0)] ByteVec, #[n(1)] ByteVec),
    /// A signed receipt.
    #[n(6)]
    Receipt(#[n(0)] ByteVec),
    /// Why the sender closes the session; last before closing.
    #[n(7)]
    Refused(#[n(0)] String),
}

/// One child of a digest node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Child {
    /// Where it hangs.
    #[n(0)]
    pub step: Step,
    /// Its digest.
    #[n(1)]
    pub digest: Hash,
}

/// The head of one log as its holder sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct HeadItem {
    /// The log.
    #[n(0)]
    pub log: LogId,
    /// Newest position held.
    #[n(1)]
    pub seq_num: u64,
    /// The hash of the entry there.
    #[n(2)]
    pub hash: Hash,
    /// The lowest forked position known.
    #[n(3)]
    pub forked: Option<u64>,
}

impl Message {
    /// Returns the canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        keys::cbor::to_vec(self)
    }

    /// Decodes a message and checks every count against its limit.
    ///
    /// # Errors
    /// [`Misbehaved::Message`]; the session is closed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Misbehaved> {
        let wrong = |what| Misbehaved::Message { what };
        if bytes.len() > MESSAGE_SIZE_MAX {
            return Err(wrong("size"));
        }
        let message: Self = keys::cbor::from_slice(bytes).map_err(|_| wrong("encoding"))?;
        let within = match &message {
            Self::Digest(path, children) => {
                path.len() < DIGEST_PATH_MAX && children.len() <= DIGEST_CHILDREN_MAX
            }
            Self::Heads(_, _, heads, _) => heads.len() <= HEADS_MAX,
            Self::Entries(entries) => entries.len() <= ENTRIES_COUNT_MAX,
            Self::Refused(reason) => reason.len() <= REASON_SIZE_MAX,
            Self::Hello(hello) => hello.software.len() <= SOFTWARE_SIZE_MAX,
            Self::Summary(..) | Self::Fork(..) | Self::Receipt(_) => true,
        };
        if within {
            Ok(message)
        } else {
            Err(wrong("count"))
        }
    }

    /// Takes out the entries that the message carries and checks each: the costly part, which a
    /// driver does beside the replica. Also returns how many were left out because only a later
    /// release can read them; their sender did nothing wrong.
    ///
    /// # Errors
    /// [`Misbehaved::Entry`]; the session is closed.
    pub fn take_entries(&mut self) -> Result<(Vec<Entry>, usize), Misbehaved> {
        let raw = match self {
            Self::Entries(raw) => std::mem::take(raw),
            Self::Fork(first, second) => [first, second]
                .map(|side| std::mem::replace(side, Vec::new().into()))
                .to_vec(),
            _ => Vec::new(),
        };
        let mut entries = Vec::with_capacity(raw.len());
        let mut newer = 0;
        for bytes in raw {
            match Entry::verify(bytes.into()) {
                Ok(entry) => entries.push(entry),
                Err(error) if error.newer_version().is_some() => newer += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok((entries, newer))
    }

    /// Returns the name of the message, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Summary(..) => "summary",
            Self::Digest(..) => "digest",
            Self::Heads(..) => "heads",
            Self::Entries(_) => "entries",
            Self::Fork(..) => "fork",
            Self::Receipt(_) => "receipt",
            Self::Refused(_) => "refused",
        }
    }
}
