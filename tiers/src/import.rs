//! The statement that closes an import: which entries belong together.

use keys::{Domain, Hash};
use minicbor::{Decode, Encode};

/// Closes an import in one log: until every entry it names is there, the import is incomplete and no
/// step or seal may cover it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ImportStatement {
    /// The kind's id.
    #[n(1)]
    pub kind: String,
    /// The hash of the kind's definition.
    #[n(2)]
    pub kind_hash: Hash,
    /// SHA-256 of the file that was imported.
    #[n(3)]
    pub file: Hash,
    /// Rows in the file.
    #[n(4)]
    pub rows: u32,
    /// The entries of this log that belong to the import, in order.
    #[n(5)]
    pub entries: Vec<Hash>,
    /// When, by the importing node's clock, Unix milliseconds.
    #[n(6)]
    pub time_ms: u64,
}

keys::payload!(ImportStatement, Domain::Import);
