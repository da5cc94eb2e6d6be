//! A signed word of custody: "I hold these heads of that unit's logs, durably".

use crate::LogId;
use keys::{DecodeError, Domain, Hash, Payload, UnitId};
use minicbor::{Decode, Encode};

/// The version of receipts written today.
const RECEIPT_VERSION: u64 = 1;

/// A cumulative receipt, latest per issuer and unit. Not an entry and in no digest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// The unit whose node holds the entries.
    #[n(1)]
    pub issuer: UnitId,
    /// The unit whose logs are held.
    #[n(2)]
    pub unit: UnitId,
    /// Log, newest durable position and its hash, sorted by log.
    #[n(3)]
    pub heads: Vec<ReceiptHead>,
    /// When, by the issuer's clock, Unix milliseconds.
    #[n(4)]
    pub time_ms: u64,
}

/// One line of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ReceiptHead {
    /// The log.
    #[n(0)]
    pub log: LogId,
    /// Its newest durable position.
    #[n(1)]
    pub seq_num: u64,
    /// The hash of the entry there.
    #[n(2)]
    pub hash: Hash,
}

impl Payload for Receipt {
    const DOMAIN: Domain = Domain::Receipt;

    fn to_bytes(&self) -> Vec<u8> {
        keys::cbor::to_vec_versioned(self, RECEIPT_VERSION)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        keys::cbor::from_slice_versioned(bytes, RECEIPT_VERSION)
    }
}
