//! Which keys may speak for which unit: the verified certificate chains of nodes.
//!
//! A chain proves itself against the pinned root, so the order of arrival does not matter. Chains
//! come in hellos and as statements in entries; both pass through [`Trust::add`].

use crate::limits::CERTIFICATES_MAX;
use keys::{Chain, ChainError, NodeKey, UnitKey, VerifiedChain};
use std::collections::BTreeMap;

/// The domain tag under which a chain travels as a statement part.
pub const CHAIN_TAG: &str = "sanji/1/chain";

/// The node chains of a federation.
#[derive(Clone, Debug)]
pub struct Trust {
    root: UnitKey,
    nodes: BTreeMap<NodeKey, VerifiedChain>,
}

impl Trust {
    /// Starts with nothing but the pinned root.
    pub fn new(root: UnitKey) -> Self {
        Self { root, nodes: BTreeMap::new() }
    }

    /// Returns the pinned root key.
    pub fn root(&self) -> UnitKey {
        self.root
    }

    /// Adds a chain; returns the node it certifies when that node was not known before. Of two chains
    /// for one node the one that is valid longer stays, whatever the order.
    ///
    /// # Errors
    /// [`ChainError`] when it does not verify against the root; nothing is changed.
    pub fn add(&mut self, chain: &Chain) -> Result<Option<NodeKey>, ChainError> {
        let verified = chain.verify(&self.root)?;
        let Some(node) = verified.node_key() else { return Ok(None) };
        match self.nodes.get(&node) {
            Some(known) if precedence(known) >= precedence(&verified) => Ok(None),
            Some(_) => {
                self.nodes.insert(node, verified);
                Ok(None)
            }
            None if self.nodes.len() >= CERTIFICATES_MAX => Ok(None),
            None => {
                self.nodes.insert(node, verified);
                Ok(Some(node))
            }
        }
    }

    /// Returns the chain of a node.
    pub fn node(&self, key: NodeKey) -> Option<&VerifiedChain> {
        self.nodes.get(&key)
    }

    /// Returns every known node.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeKey, &VerifiedChain)> {
        self.nodes.iter()
    }
}

fn precedence(chain: &VerifiedChain) -> (u64, Vec<u8>) {
    (chain.leaf().not_after, chain.chain().to_bytes())
}
