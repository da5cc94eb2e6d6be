//! Which keys may speak for which unit: the verified certificate chains of nodes.
//!
//! A chain proves itself against the pinned root, so the order of arrival does not matter. Chains
//! come in hellos and as statements in entries; both pass through [`Trust::add`]. A unit can certify
//! any key, also one that is not its own, so chains are kept per key *and* unit: what one unit says
//! about a key never changes what the key may do for another.

use crate::limits::{CERTIFICATES_MAX, UNIT_NODES_MAX};
use keys::{Chain, ChainError, NodeKey, UnitId, UnitKey, VerifiedChain};
use std::collections::BTreeMap;

/// The domain tag under which a chain travels as a statement part.
pub const CHAIN_TAG: &str = "sanji/1/chain";

/// The node chains of a federation.
#[derive(Clone, Debug)]
pub struct Trust {
    root: UnitKey,
    nodes: BTreeMap<NodeKey, BTreeMap<UnitId, VerifiedChain>>,
    /// Nodes known of each unit.
    of_unit: BTreeMap<UnitId, usize>,
    len: usize,
}

impl Trust {
    /// Starts with nothing but the pinned root.
    pub fn new(root: UnitKey) -> Self {
        Self {
            root,
            nodes: BTreeMap::new(),
            of_unit: BTreeMap::new(),
            len: 0,
        }
    }

    /// Returns the pinned root key.
    pub fn root(&self) -> UnitKey {
        self.root
    }

    /// Adds a chain; returns the node it certifies when that node was not known for that unit before.
    /// Of two chains for one node and unit the one that is valid longer stays, whatever the order.
    ///
    /// # Errors
    /// [`ChainError`] when it does not verify against the root; nothing is changed.
    pub fn add(&mut self, chain: &Chain) -> Result<Option<NodeKey>, ChainError> {
        let verified = chain.verify(&self.root)?;
        let Some(node) = verified.node_key() else {
            return Ok(None);
        };
        let unit = verified.unit().clone();
        if let Some(known) = self
            .nodes
            .get_mut(&node)
            .and_then(|units| units.get_mut(&unit))
        {
            if precedence(known) < precedence(&verified) {
                *known = verified;
            }
            return Ok(None);
        }
        let count = self.of_unit.entry(unit.clone()).or_default();
        if self.len >= CERTIFICATES_MAX || *count >= UNIT_NODES_MAX {
            return Ok(None);
        }
        *count += 1;
        self.len += 1;
        self.nodes.entry(node).or_default().insert(unit, verified);
        Ok(Some(node))
    }

    /// Returns the chain that lets a node speak for a unit.
    pub fn entitled(&self, key: NodeKey, unit: &UnitId) -> Option<&VerifiedChain> {
        self.nodes.get(&key)?.get(unit)
    }

    /// Returns the chain of a node: the one valid longest when several units certified it.
    pub fn node(&self, key: NodeKey) -> Option<&VerifiedChain> {
        self.nodes
            .get(&key)?
            .values()
            .max_by_key(|chain| precedence(chain))
    }

    /// Returns every known node, once for each unit that certified it.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeKey, &VerifiedChain)> {
        self.nodes
            .iter()
            .flat_map(|(node, units)| units.values().map(move |chain| (node, chain)))
    }
}

fn precedence(chain: &VerifiedChain) -> (u64, Vec<u8>) {
    (chain.leaf().not_after, chain.chain().to_bytes())
}
