//! Who this node is: its keys, its certificates, where it reports to.

use std::fmt;
use std::net::SocketAddr;

use keys::{Chain, NodeKey, Secret, StoreEpoch, TierName, UnitId, UnitKey};

/// A node's identity, as kept in its home.
pub struct Identity {
    /// The node's signing key.
    pub secret: Secret,
    /// The unit's key, on the unit's deciding node only.
    pub unit_secret: Option<Secret>,
    /// The node's certificate chain, leaf first.
    pub chain: Chain,
    /// The pinned root key.
    pub root: UnitKey,
    /// The epoch of the store.
    pub epoch: StoreEpoch,
    /// The unit.
    pub unit: UnitId,
    /// The unit's tier.
    pub tier: TierName,
    /// The unit's name, for people.
    pub name: String,
    /// Where to dial, in order of preference; empty at the root.
    pub uplinks: Vec<SocketAddr>,
}

impl Identity {
    /// Returns the node's key.
    pub fn node(&self) -> NodeKey {
        self.secret.node_key()
    }

    /// Returns true for a node of the root unit.
    pub fn is_root(&self) -> bool {
        self.unit_secret
            .as_ref()
            .is_some_and(|secret| secret.unit_key() == self.root)
            || self.chain.certificates().len() == 1
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("unit", &self.unit)
            .field("node", &self.node())
            .finish_non_exhaustive()
    }
}
