//! A single writer's chain of entries: who writes it, how far it travels, and where it stands.

use crate::{Hlc, Period};
use keys::{Hash, NodeKey, StoreEpoch, TierName, UnitId};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use std::fmt;

/// How far a log travels. Privacy is routing: the scope is decided when writing, never filtered when
/// reading.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// The nodes of that unit only, synced directly among them.
    Own,
    /// Every ancestor up to the nearest at or above the tier; the tier `root` means to the top.
    Up(TierName),
    /// All descendants of the unit.
    Below,
    /// One other unit; relays hold header and ciphertext.
    To(UnitId),
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("own"),
            Self::Up(tier) => write!(f, "up:{tier}"),
            Self::Below => f.write_str("below"),
            Self::To(unit) => write!(f, "to:{unit}"),
        }
    }
}

impl<C> Encode<C> for Reach {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Own => e.array(1)?.u8(0)?.ok(),
            Self::Up(tier) => e.array(2)?.u8(1)?.encode_with(tier, ctx)?.ok(),
            Self::Below => e.array(1)?.u8(2)?.ok(),
            Self::To(unit) => e.array(2)?.u8(3)?.encode_with(unit, ctx)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Reach {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        match (d.array()?, d.u8()?) {
            (Some(1), 0) => Ok(Self::Own),
            (Some(2), 1) => Ok(Self::Up(d.decode_with(ctx)?)),
            (Some(1), 2) => Ok(Self::Below),
            (Some(2), 3) => Ok(Self::To(d.decode_with(ctx)?)),
            _ => Err(decode::Error::message("reach")),
        }
    }
}

/// What makes a log that log: writer, store epoch, unit, reach and period.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct LogKey {
    /// The node that writes it.
    #[n(0)]
    pub author: NodeKey,
    /// The epoch of the writer's store, new whenever that store is created or restored.
    #[n(1)]
    pub epoch: StoreEpoch,
    /// The unit whose log it is.
    #[n(2)]
    pub unit: UnitId,
    /// How far it travels.
    #[n(3)]
    pub reach: Reach,
    /// The semester it belongs to; none for statements about trust, rosters and kinds.
    #[n(4)]
    pub period: Option<Period>,
}

impl LogKey {
    /// Returns the id: a tagged hash of the canonical bytes of the key.
    pub fn id(&self) -> LogId {
        LogId(Hash::tagged("sanji/1/log", &[&keys::cbor::to_vec(self)]))
    }
}

/// The id of a log; see [`LogKey::id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct LogId(#[n(0)] Hash);

impl LogId {
    /// Returns the 32 bytes of the id.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Makes an id from its stored bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Hash::from_bytes(bytes))
    }

    /// Returns the first eight hex digits.
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The newest entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Head {
    /// Its position, counted from 0.
    #[n(0)]
    pub seq_num: u64,
    /// The hash of its envelope.
    #[n(1)]
    pub hash: Hash,
    /// Its hybrid-logical time.
    #[n(2)]
    pub hlc: Hlc,
}

/// What a replica knows of one log; persisted by the driver with each append.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LogState {
    /// The log's key.
    #[n(0)]
    pub key: LogKey,
    /// The newest durable entry.
    #[n(1)]
    pub head: Head,
    /// The lowest position at which two entries are known, if any: the log is forked from there on.
    #[n(2)]
    pub forked: Option<u64>,
}

impl LogState {
    /// Returns true when an entry at this position takes effect: it is not at or after a fork.
    pub fn is_effective(&self, seq_num: u64) -> bool {
        self.forked.is_none_or(|fork| seq_num < fork)
    }
}
