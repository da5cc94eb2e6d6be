//! The statements that say who stands where and what is recorded: the federation's constitution, a
//! parent's roster of its children, a kind's definition.
//!
//! A unit's id never says where the unit stands; only its parent's signed roster does. So a school can
//! move to another district by two rosters, and nothing it ever signed changes.

use keys::certificate::name_is_valid;
use keys::{Domain, TierName, UnitId, UnitKey};
use minicbor::{Decode, Encode};

use crate::kind::{Kind, KindError};
use crate::limits::{CHILDREN_MAX, TIERS_MAX};

/// Founds a federation; signed by the root's unit key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Federation {
    /// The name under which checkpoints are signed, as `practice.example.edu`; 1 to 80 bytes.
    #[n(1)]
    pub origin: String,
    /// Counted from 1; a newer constitution replaces an older one.
    #[n(2)]
    pub version: u64,
    /// Every tier of the federation, lowest first.
    #[n(3)]
    pub tiers: Vec<TierName>,
    /// The root unit.
    #[n(4)]
    pub root: UnitId,
    /// The root unit's tier, one of `tiers`.
    #[n(5)]
    pub tier: TierName,
    /// What people call the root unit.
    #[n(6)]
    pub name: String,
    /// When it was founded, in Unix milliseconds.
    #[n(7)]
    pub created: u64,
}

keys::payload!(Federation, Domain::Federation);

/// Lists a unit's children; signed by the unit's key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Roster {
    /// The parent.
    #[n(1)]
    pub unit: UnitId,
    /// Counted from 1; a newer roster replaces an older one.
    #[n(2)]
    pub version: u64,
    /// The children, strictly ordered by id.
    #[n(3)]
    pub children: Vec<RosterChild>,
}

keys::payload!(Roster, Domain::Roster);

/// One child in a roster.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RosterChild {
    /// The child.
    #[n(1)]
    pub unit: UnitId,
    /// Its tier, below the parent's.
    #[n(2)]
    pub tier: TierName,
    /// What people call it.
    #[n(3)]
    pub name: String,
    /// The key that speaks for it.
    #[n(4)]
    pub key: UnitKey,
}

/// Publishes a kind; signed by a unit's key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KindStatement {
    /// The unit that owns the definition.
    #[n(1)]
    pub unit: UnitId,
    /// The definition, TOML.
    #[n(2)]
    pub text: String,
}

keys::payload!(KindStatement, Domain::Kind);

/// Why a statement says nothing that could take effect, whoever signed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Versions are counted from 1.
    #[error("the version is 0")]
    Version,
    /// A name is empty, too long, or has control characters.
    #[error("a name is empty, too long or unprintable")]
    Name,
    /// There are no tiers, too many, one twice, or the root's is not among them.
    #[error("the tiers are not a list of different tiers with the root's among them")]
    Tiers,
    /// More than [`CHILDREN_MAX`] children.
    #[error("more than {CHILDREN_MAX} children")]
    TooManyChildren,
    /// The children are not strictly ordered by id, or the unit is its own child.
    #[error("the children are not strictly ordered, or the unit is among them")]
    Children,
    /// The text is no definition of a kind.
    #[error("not a definition: {0}")]
    Kind(#[from] KindError),
}

impl Federation {
    /// Checks what can be checked without knowing anything else.
    pub fn check(&self) -> Result<(), StatementError> {
        if self.version == 0 {
            return Err(StatementError::Version);
        }
        if !name_is_valid(&self.origin) || !name_is_valid(&self.name) {
            return Err(StatementError::Name);
        }
        let twice = |at: usize| self.tiers[..at].contains(&self.tiers[at]);
        let many = self.tiers.len() > TIERS_MAX;
        if many || !self.tiers.contains(&self.tier) || (0..self.tiers.len()).any(twice) {
            return Err(StatementError::Tiers);
        }
        Ok(())
    }
}

impl Roster {
    /// Makes a roster; the children are put in order.
    pub fn new(
        unit: UnitId,
        version: u64,
        mut children: Vec<RosterChild>,
    ) -> Result<Self, StatementError> {
        children.sort_by(|a, b| a.unit.cmp(&b.unit));
        let roster = Self {
            unit,
            version,
            children,
        };
        roster.check().map(|()| roster)
    }

    /// Checks what can be checked without knowing anything else.
    pub fn check(&self) -> Result<(), StatementError> {
        if self.version == 0 {
            return Err(StatementError::Version);
        }
        if self.children.len() > CHILDREN_MAX {
            return Err(StatementError::TooManyChildren);
        }
        let ordered = self
            .children
            .windows(2)
            .all(|pair| pair[0].unit < pair[1].unit);
        if !ordered || self.children.iter().any(|child| child.unit == self.unit) {
            return Err(StatementError::Children);
        }
        if !self.children.iter().all(|child| name_is_valid(&child.name)) {
            return Err(StatementError::Name);
        }
        Ok(())
    }
}

impl KindStatement {
    /// Reads and checks the definition.
    pub fn kind(&self) -> Result<Kind, StatementError> {
        Ok(Kind::parse(&self.text)?)
    }
}
