//! Who stands where and which kinds there are: what a set of verified statements says, whatever the
//! order they came in.
//!
//! A roster takes effect only if its signer is the key that the parent's own effective roster, or the
//! pin for the root, names for that unit. Everything is worked out anew from the set, downwards from
//! the pinned root, whenever a statement is added. Of two different statements with one version the one
//! with the lower hash stands at every node, and both are reported.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use federation_protocol::{Placed, Placement};
use keys::{
    Domain, EnvelopeError, Hash, Payload, Signed, TierName, UnitId, UnitKey, Verified, VerifyError,
};

use crate::kind::Kind;
use crate::limits::{DEPTH_MAX, STATEMENTS_MAX};
use crate::roster::{Federation, KindStatement, Roster, RosterChild, StatementError};

/// Holds verified statements and what they amount to.
#[derive(Clone, Debug)]
pub struct Registry {
    root_key: UnitKey,
    federations: Versions<Federation>,
    /// By signer and unit, because who may sign for the unit is only known from the other rosters.
    rosters: BTreeMap<(UnitKey, UnitId), Versions<Roster>>,
    kinds: BTreeMap<Hash, KindHeld>,
    /// Worked out from the above.
    tree: Tree,
}

/// Why a statement was not added. The registry is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The bytes are not a signed statement.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The signature does not hold, or the payload cannot be read.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The statement says nothing that could take effect.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// A constitution that the pinned root did not sign.
    #[error("the constitution is not signed by the pinned root")]
    NotTheRoot,
    /// More than [`STATEMENTS_MAX`] statements.
    #[error("more than {STATEMENTS_MAX} statements")]
    Full,
}

/// Something in the statements that people must settle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryProblem {
    /// Two different constitutions with one version.
    #[error("two constitutions of version {version}: {standing} stands, {other} does not")]
    FederationFork {
        /// The version.
        version: u64,
        /// The one in effect.
        standing: Hash,
        /// The other.
        other: Hash,
    },
    /// Two different rosters of a unit with one version.
    #[error("two rosters of {unit}, version {version}: {standing} stands, {other} does not")]
    RosterFork {
        /// The parent.
        unit: UnitId,
        /// The version.
        version: u64,
        /// The one in effect.
        standing: Hash,
        /// The other.
        other: Hash,
    },
    /// A unit stands on two rosters; the one nearer to the root counts.
    #[error("{unit} stands under {parent} and is also claimed by {other}")]
    TwoParents {
        /// The unit.
        unit: UnitId,
        /// Whose child it is.
        parent: UnitId,
        /// Who claims it too.
        other: UnitId,
    },
    /// A child's tier is unknown or not below its parent's; it is not placed.
    #[error("{unit} cannot stand under {parent} with tier {tier}")]
    BadTier {
        /// The child.
        unit: UnitId,
        /// The parent.
        parent: UnitId,
        /// The tier the roster gives it.
        tier: TierName,
    },
}

impl Registry {
    /// Returns a registry that knows only the pinned root key.
    pub fn new(root_key: UnitKey) -> Self {
        Self {
            root_key,
            federations: Versions::default(),
            rosters: BTreeMap::new(),
            kinds: BTreeMap::new(),
            tree: Tree::default(),
        }
    }

    /// Verifies and adds a statement from its bytes. Returns whether anything is different now;
    /// statements of other domains are none of the registry's business and change nothing.
    pub fn add(&mut self, domain: Domain, bytes: &[u8]) -> Result<bool, AddError> {
        fn verified<T: Payload>(bytes: &[u8]) -> Result<Verified<T>, AddError> {
            Ok(Signed::<T>::from_bytes(bytes)?.verify()?)
        }
        match domain {
            Domain::Federation => self.add_federation(&verified(bytes)?),
            Domain::Roster => self.add_roster(&verified(bytes)?),
            Domain::Kind => self.add_kind(&verified(bytes)?),
            _ => Ok(false),
        }
    }

    /// Adds a constitution; only the pinned root's counts.
    pub fn add_federation(&mut self, statement: &Verified<Federation>) -> Result<bool, AddError> {
        let federation = statement.value();
        federation.check()?;
        if statement.signer().as_unit() != self.root_key {
            return Err(AddError::NotTheRoot);
        }
        let added = self.federations.add(federation.version, statement);
        Ok(added && self.work_out())
    }

    /// Adds a roster; whether its signer may speak for the unit shows when all are together.
    pub fn add_roster(&mut self, statement: &Verified<Roster>) -> Result<bool, AddError> {
        let roster = statement.value();
        roster.check()?;
        let key = (statement.signer().as_unit(), roster.unit.clone());
        if self.rosters.len() >= STATEMENTS_MAX && !self.rosters.contains_key(&key) {
            return Err(AddError::Full);
        }
        let versions = self.rosters.entry(key).or_default();
        let added = versions.add(roster.version, statement);
        Ok(added && self.work_out())
    }

    /// Adds a kind; it counts once its signer is known to be the key of the unit that it names.
    pub fn add_kind(&mut self, statement: &Verified<KindStatement>) -> Result<bool, AddError> {
        let kind = Arc::new(statement.value().kind()?);
        if self.kinds.len() >= STATEMENTS_MAX && !self.kinds.contains_key(&kind.hash()) {
            return Err(AddError::Full);
        }
        let issuer = (statement.value().unit.clone(), statement.signer().as_unit());
        let hash = kind.hash();
        let held = self.kinds.entry(hash).or_insert(KindHeld {
            kind,
            issuers: BTreeMap::new(),
        });
        let signed = statement.signed();
        match held.issuers.get_mut(&issuer) {
            // The same definition, spaced otherwise: one of the two is handed on, the same everywhere.
            Some(known) if known.id() <= signed.id() => Ok(false),
            Some(known) => {
                *known = signed.clone();
                Ok(false)
            }
            None => {
                held.issuers.insert(issuer, signed.clone());
                Ok(true)
            }
        }
    }

    /// Returns the pinned root key.
    pub fn root_key(&self) -> UnitKey {
        self.root_key
    }

    /// Returns the constitution in effect.
    pub fn federation(&self) -> Option<&Federation> {
        self.federations.standing().map(|(_, held)| &held.value)
    }

    /// Returns the tiers, lowest first; none before the constitution is known.
    pub fn tiers(&self) -> &[TierName] {
        self.federation()
            .map(|federation| federation.tiers.as_slice())
            .unwrap_or_default()
    }

    /// Returns the rank of a tier, 0 for the lowest.
    pub fn tier_rank(&self, tier: &TierName) -> Option<usize> {
        self.tiers().iter().position(|other| other == tier)
    }

    /// Returns every placed unit, in the order of ids.
    pub fn units(&self) -> impl Iterator<Item = &UnitId> {
        self.tree.units.keys()
    }

    /// Returns the parent; none for the root and for units that are not placed.
    pub fn parent_of(&self, unit: &UnitId) -> Option<UnitId> {
        self.parent(unit).cloned()
    }

    /// Returns the tier of a placed unit.
    pub fn tier_of(&self, unit: &UnitId) -> Option<&TierName> {
        self.tree.units.get(unit).map(|seat| &seat.tier)
    }

    /// Returns what people call a placed unit.
    pub fn name_of(&self, unit: &UnitId) -> Option<&str> {
        self.tree.units.get(unit).map(|seat| seat.name.as_str())
    }

    /// Returns the key that speaks for a placed unit.
    pub fn key_of(&self, unit: &UnitId) -> Option<UnitKey> {
        self.tree.units.get(unit).map(|seat| seat.key)
    }

    /// Returns the placed children's ids, in order.
    pub fn children_of(&self, unit: &UnitId) -> &[UnitId] {
        self.tree
            .units
            .get(unit)
            .map(|seat| seat.children.as_slice())
            .unwrap_or_default()
    }

    /// Returns the children that the unit's roster in effect lists, in the order of ids; what the next
    /// roster is made of.
    pub fn children(&self, unit: &UnitId) -> Vec<RosterChild> {
        self.roster(unit)
            .map(|held| held.value.children.clone())
            .unwrap_or_default()
    }

    /// Returns the version of the unit's roster in effect, 0 without one.
    pub fn roster_version(&self, unit: &UnitId) -> u64 {
        self.roster(unit).map_or(0, |held| held.value.version)
    }

    /// Returns the bytes of every statement in effect: constitution, rosters from the root downwards,
    /// kinds. Who has them and the same pin has the same registry.
    pub fn statements(&self) -> Vec<(Domain, Vec<u8>)> {
        let bytes = |signed: &[u8]| signed.to_vec();
        let federation = self.federations.standing();
        let federation =
            federation.map(|(_, held)| (Domain::Federation, bytes(held.signed.bytes())));
        let root = self.federation().map(|federation| federation.root.clone());
        let units = root.map(|root| self.subtree(&root)).unwrap_or_default();
        let rosters = units.iter().filter_map(|unit| {
            self.roster(unit)
                .map(|held| (Domain::Roster, bytes(held.signed.bytes())))
        });
        let kinds = self.kinds.values().filter_map(|held| {
            self.publisher(held)
                .map(|(_, signed)| (Domain::Kind, bytes(signed.bytes())))
        });
        federation.into_iter().chain(rosters).chain(kinds).collect()
    }

    /// Returns the unit and everything below it, parents before children; nothing if not placed.
    pub fn subtree(&self, unit: &UnitId) -> Vec<UnitId> {
        let mut found: Vec<UnitId> = Vec::new();
        let mut next: VecDeque<&UnitId> = self
            .tree
            .units
            .get_key_value(unit)
            .map(|(unit, _)| unit)
            .into_iter()
            .collect();
        while let Some(unit) = next.pop_front() {
            found.push(unit.clone());
            next.extend(self.children_of(unit));
        }
        found
    }

    /// Returns the way from the unit to the root, both included; nothing if not placed.
    pub fn path(&self, unit: &UnitId) -> Vec<UnitId> {
        let start = self.tree.units.get_key_value(unit).map(|(unit, _)| unit);
        std::iter::successors(start, |unit| self.parent(unit))
            .cloned()
            .collect()
    }

    /// Returns whether `upper` stands above `lower`, at any distance.
    pub fn is_ancestor(&self, upper: &UnitId, lower: &UnitId) -> bool {
        std::iter::successors(self.parent(lower), |unit| self.parent(unit))
            .any(|unit| unit == upper)
    }

    /// Returns the tree as plain data; none before the constitution is known.
    pub fn placement(&self) -> Option<Placement> {
        let federation = self.federation()?;
        let placed = |(unit, seat): (&UnitId, &Seat)| {
            (
                unit.clone(),
                Placed {
                    parent: seat.parent.clone(),
                    tier: seat.tier.clone(),
                },
            )
        };
        Some(Placement {
            root: federation.root.clone(),
            units: self.tree.units.iter().map(placed).collect(),
            tiers: federation.tiers.clone(),
        })
    }

    /// Returns what people must settle, sorted.
    pub fn problems(&self) -> Vec<RegistryProblem> {
        self.tree.problems.iter().cloned().collect()
    }

    /// Returns the newest version of a kind. Of one version published in two ways, that of the unit
    /// nearest to the root counts, then the lower hash.
    pub fn kind(&self, id: &str) -> Option<Arc<Kind>> {
        self.kinds().into_iter().find(|kind| kind.id() == id)
    }

    /// Returns one version of a kind; see [`Registry::kind`].
    pub fn kind_version(&self, id: &str, version: u32) -> Option<Arc<Kind>> {
        self.kinds()
            .into_iter()
            .find(|kind| kind.id() == id && kind.version() == version)
    }

    /// Returns the kind of this hash, if a unit published it with its own key.
    pub fn kind_by_hash(&self, hash: &Hash) -> Option<Arc<Kind>> {
        let held = self.kinds.get(hash)?;
        self.publisher(held).map(|_| held.kind.clone())
    }

    /// Returns every published kind: by id, newest version first, the one that counts before others.
    pub fn kinds(&self) -> Vec<Arc<Kind>> {
        let published = self
            .kinds
            .values()
            .filter_map(|held| Some((self.publisher(held)?.0, held)));
        let mut published: Vec<_> = published.map(|(depth, held)| (depth, &held.kind)).collect();
        published.sort_by(|(depth_a, a), (depth_b, b)| {
            let newest = b.version().cmp(&a.version());
            a.id()
                .cmp(b.id())
                .then(newest)
                .then(depth_a.cmp(depth_b))
                .then(a.hash().cmp(&b.hash()))
        });
        published
            .into_iter()
            .map(|(_, kind)| kind.clone())
            .collect()
    }

    /// Returns the distance from the root of the nearest unit that published the kind, and its
    /// statement.
    fn publisher<'a>(&self, held: &'a KindHeld) -> Option<(usize, &'a Signed<KindStatement>)> {
        held.issuers
            .iter()
            .filter(|((unit, key), _)| self.key_of(unit) == Some(*key))
            .map(|((unit, _), signed)| (self.path(unit).len(), signed))
            .min_by_key(|(distance, _)| *distance)
    }

    fn parent(&self, unit: &UnitId) -> Option<&UnitId> {
        self.tree.units.get(unit)?.parent.as_ref()
    }

    /// Returns the unit's roster in effect.
    fn roster(&self, unit: &UnitId) -> Option<&Held<Roster>> {
        let versions = self.rosters.get(&(self.key_of(unit)?, unit.clone()))?;
        versions.standing().map(|(_, held)| held)
    }

    /// Works the tree out anew; returns whether it is another one.
    fn work_out(&mut self) -> bool {
        let tree = Tree::grow(self.root_key, &self.federations, &self.rosters);
        let changed = tree != self.tree;
        self.tree = tree;
        changed
    }
}

#[derive(Clone, Debug)]
struct KindHeld {
    kind: Arc<Kind>,
    /// Who published it and with which key; that the key is the unit's shows from the rosters.
    issuers: BTreeMap<(UnitId, UnitKey), Signed<KindStatement>>,
}

#[derive(Clone, Debug)]
struct Held<T> {
    value: T,
    signed: Signed<T>,
}

/// The statements of one signer about one thing: of the newest version the two with the lowest
/// hashes, one to stand and one to prove the fork. Older versions leave no trace.
#[derive(Clone, Debug)]
struct Versions<T> {
    version: u64,
    statements: BTreeMap<Hash, Held<T>>,
}

impl<T> Default for Versions<T> {
    fn default() -> Self {
        Self {
            version: 0,
            statements: BTreeMap::new(),
        }
    }
}

impl<T: Payload + Clone> Versions<T> {
    /// Returns whether the statement is kept and was not there.
    fn add(&mut self, version: u64, statement: &Verified<T>) -> bool {
        let id = statement.id();
        if version < self.version || self.statements.contains_key(&id) {
            return false;
        }
        if version > self.version {
            self.version = version;
            self.statements.clear();
        }
        let held = Held {
            value: statement.value().clone(),
            signed: statement.signed().clone(),
        };
        self.statements.insert(id, held);
        if self.statements.len() > 2 {
            self.statements.pop_last();
        }
        self.statements.contains_key(&id)
    }

    fn standing(&self) -> Option<(Hash, &Held<T>)> {
        self.statements
            .first_key_value()
            .map(|(id, held)| (*id, held))
    }

    /// Returns version, standing and other hash, if there are two.
    fn fork(&self) -> Option<(u64, Hash, Hash)> {
        let mut ids = self.statements.keys();
        Some((self.version, *ids.next()?, *ids.next()?))
    }
}

/// The units placed below the pinned root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tree {
    units: BTreeMap<UnitId, Seat>,
    problems: BTreeSet<RegistryProblem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seat {
    parent: Option<UnitId>,
    tier: TierName,
    name: String,
    key: UnitKey,
    children: Vec<UnitId>,
}

impl Tree {
    /// Places units level by level, each level in the order of ids, so that who is nearer to the root,
    /// then who has the lower id, comes first.
    fn grow(
        root_key: UnitKey,
        federations: &Versions<Federation>,
        rosters: &BTreeMap<(UnitKey, UnitId), Versions<Roster>>,
    ) -> Self {
        let mut tree = Self::default();
        let Some((_, federation)) = federations.standing() else {
            return tree;
        };
        let federation = &federation.value;
        if let Some((version, standing, other)) = federations.fork() {
            tree.problems.insert(RegistryProblem::FederationFork {
                version,
                standing,
                other,
            });
        }
        let rank = |tier: &TierName| federation.tiers.iter().position(|other| other == tier);
        let (tier, name) = (federation.tier.clone(), federation.name.clone());
        let seat = Seat {
            parent: None,
            tier,
            name,
            key: root_key,
            children: Vec::new(),
        };
        tree.units.insert(federation.root.clone(), seat);
        let mut level = BTreeSet::from([federation.root.clone()]);
        for _ in 0..DEPTH_MAX {
            let mut next = BTreeSet::new();
            for parent in &level {
                let Some(seat) = tree.units.get(parent) else {
                    continue;
                };
                let (key, parent_rank) = (seat.key, rank(&seat.tier));
                let Some(versions) = rosters.get(&(key, parent.clone())) else {
                    continue;
                };
                if let Some((version, standing, other)) = versions.fork() {
                    let unit = parent.clone();
                    let fork = RegistryProblem::RosterFork {
                        unit,
                        version,
                        standing,
                        other,
                    };
                    tree.problems.insert(fork);
                }
                let Some((_, roster)) = versions.standing() else {
                    continue;
                };
                for child in &roster.value.children {
                    let unit = child.unit.clone();
                    if rank(&child.tier).is_none() || rank(&child.tier) >= parent_rank {
                        let (parent, tier) = (parent.clone(), child.tier.clone());
                        tree.problems
                            .insert(RegistryProblem::BadTier { unit, parent, tier });
                        continue;
                    }
                    if let Some(seat) = tree.units.get(&unit) {
                        let standing = seat.parent.clone().unwrap_or_else(|| unit.clone());
                        let other = parent.clone();
                        let twice = RegistryProblem::TwoParents {
                            unit,
                            parent: standing,
                            other,
                        };
                        tree.problems.insert(twice);
                        continue;
                    }
                    let seat = Seat {
                        parent: Some(parent.clone()),
                        tier: child.tier.clone(),
                        name: child.name.clone(),
                        key: child.key,
                        children: Vec::new(),
                    };
                    tree.units.insert(unit.clone(), seat);
                    if let Some(seat) = tree.units.get_mut(parent) {
                        seat.children.push(unit.clone());
                    }
                    next.insert(unit);
                }
            }
            level = next;
        }
        tree
    }
}

#[cfg(test)]
mod tests;
