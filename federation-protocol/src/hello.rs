//! The first message each way: who speaks, for which unit, of which federation.

use crate::error::Refusal;
use keys::{Chain, NodeKey, StoreEpoch, UnitKey, Validity, VerifiedChain};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// The protocol version spoken today.
pub const PROTOCOL_VERSION: u8 = 1;

/// The opening message. Nothing else is read from a peer before its hello was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// Newest protocol version the sender speaks.
    #[n(0)]
    pub version: u8,
    /// Oldest protocol version the sender speaks.
    #[n(1)]
    pub version_min: u8,
    /// The root key the sender has pinned.
    #[n(2)]
    pub root: UnitKey,
    /// The sender's certificate chain, leaf first.
    #[n(3)]
    pub chain: ByteVec,
    /// The sender's store epoch.
    #[n(4)]
    pub epoch: StoreEpoch,
    /// The sender's clock, Unix milliseconds; shown, never relied upon.
    #[n(5)]
    pub clock_ms: u64,
    /// The sender's software, for people; at most 40 bytes.
    #[n(6)]
    pub software: String,
}

impl Hello {
    /// Checks a peer's hello against the pinned root and the key that the connection has proven.
    ///
    /// # Errors
    /// [`Refusal`] says why; it is sent to the peer and shown here.
    pub fn check(
        &self,
        root: &UnitKey,
        proven: NodeKey,
        now_ms: u64,
    ) -> Result<VerifiedChain, Refusal> {
        if self.version_min > PROTOCOL_VERSION || self.version < PROTOCOL_VERSION {
            return Err(Refusal::Version {
                theirs: self.version,
            });
        }
        if &self.root != root {
            return Err(Refusal::Root {
                theirs: self.root.to_string(),
            });
        }
        let chain = Chain::from_bytes(&self.chain)
            .map_err(|_| Refusal::Malformed)?
            .verify(root)?;
        if chain.node_key() != Some(proven) {
            return Err(Refusal::WrongKey);
        }
        if chain.validity_at(now_ms) != Validity::Valid {
            return Err(Refusal::NotValid {
                unit: chain.unit().clone(),
            });
        }
        Ok(chain)
    }
}
