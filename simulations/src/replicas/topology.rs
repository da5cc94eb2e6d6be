//! The organisation of one run: units, their nodes and keys, the links between them, and an oracle of
//! who may hold and who may write what that shares no code with the production rules.

use crate::rng::Rng;
use federation_protocol::{LogKey, Placed, Placement, Reach};
use keys::{
    Certificate, Chain, NodeKey, Role, Scope, Secret, Signed, Subject, TierName, UnitId, UnitKey,
};
use std::collections::{BTreeMap, BTreeSet};

/// The true time of day when a run begins, Unix milliseconds: the start of a school year.
pub const START_MS: u64 = 1_788_220_800_000;

const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1_000;
const TIERS: [&str; 3] = ["school", "district", "city"];

/// A unit of the made-up organisation.
#[derive(Debug)]
pub struct UnitPlan {
    /// Its id.
    pub id: UnitId,
    /// Its parent, by index; none for the city.
    pub parent: Option<usize>,
    /// Its tier, by index into [`Topology::tiers`].
    pub tier: usize,
    /// True when it joins in the course of the run: it is on no roster before.
    pub late: bool,
    secret: Secret,
    certificate: Option<Signed<Certificate>>,
}

/// A node of a unit.
#[derive(Debug)]
pub struct NodePlan {
    /// Its unit, by index.
    pub unit: usize,
    /// Its key.
    pub secret: Secret,
    /// Its certificate chain.
    pub chain: Chain,
}

/// Two nodes that connect when they can; the first one dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkPlan {
    /// The child, or the laptop.
    pub dialer: usize,
    /// The parent, or the unit's server.
    pub acceptor: usize,
}

/// Everything about a run that does not change.
#[derive(Debug)]
pub struct Topology {
    /// Units; 0 is the city.
    pub units: Vec<UnitPlan>,
    /// Nodes; the first node of each unit is its server.
    pub nodes: Vec<NodePlan>,
    /// Links between nodes.
    pub links: Vec<LinkPlan>,
    /// The pinned root key.
    pub root: UnitKey,
    /// Tiers, lowest first.
    pub tiers: Vec<TierName>,
    certified: BTreeMap<NodeKey, usize>,
    ids: BTreeMap<UnitId, usize>,
}

impl Topology {
    /// Draws an organisation: one city, 2-3 districts, 4-12 schools of which some may hang directly
    /// under the city or join late, and up to three more nodes in some units.
    pub fn draw(rng: &mut Rng) -> Self {
        let tiers: Vec<TierName> = TIERS
            .iter()
            .map(|t| t.parse().expect("a tier's name is valid"))
            .collect();
        let root = Secret::generate(rng);
        let mut topology = Self {
            units: Vec::new(),
            nodes: Vec::new(),
            links: Vec::new(),
            root: root.unit_key(),
            tiers,
            certified: BTreeMap::new(),
            ids: BTreeMap::new(),
        };
        topology.add_unit("city".to_owned(), None, 2, false, root, rng);
        let districts = rng.between(2, 3);
        for n in 0..districts {
            let secret = Secret::generate(rng);
            topology.add_unit(format!("district-{n}"), Some(0), 1, false, secret, rng);
        }
        let schools = rng.between(4, 12);
        let direct = rng.chance(50);
        for n in 0..schools {
            let parent = if n == 0 && direct {
                0
            } else {
                1 + usize::try_from((n + rng.below(2)) % districts).unwrap_or(0)
            };
            let late = n > 2 && rng.chance(12);
            let secret = Secret::generate(rng);
            topology.add_unit(format!("school-{n}"), Some(parent), 0, late, secret, rng);
        }
        for unit in 0..topology.units.len() {
            topology.add_node(unit, rng);
        }
        for _ in 0..rng.below(4) {
            // Mostly laptops of schools; sometimes a second server of a district.
            let unit = if rng.chance(20) {
                rng.index(topology.units.len())
            } else {
                let first = 1 + usize::try_from(districts).unwrap_or(0);
                first + rng.index(topology.units.len() - first)
            };
            topology.add_node(unit, rng);
        }
        topology.draw_links(rng);
        topology
    }

    fn add_unit(
        &mut self,
        id: String,
        parent: Option<usize>,
        tier: usize,
        late: bool,
        secret: Secret,
        rng: &mut Rng,
    ) {
        let id: UnitId = id.parse().expect("a made-up unit id is valid");
        let certificate = parent.map(|parent| {
            let issuer = &self.units[parent];
            let subject = Subject::Unit(secret.unit_key());
            Signed::sign(
                &self.certificate(subject, &id, tier, &issuer.id, rng),
                &issuer.secret,
            )
        });
        self.ids.insert(id.clone(), self.units.len());
        self.units.push(UnitPlan {
            id,
            parent,
            tier,
            late,
            secret,
            certificate,
        });
    }

    fn certificate(
        &self,
        subject: Subject,
        unit: &UnitId,
        tier: usize,
        issuer: &UnitId,
        rng: &mut Rng,
    ) -> Certificate {
        let scope = match subject {
            Subject::Unit(_) => Scope::full(),
            _ => Scope::of_roles([Role::Write, Role::Decide, Role::Relay]),
        };
        Certificate {
            subject,
            unit: unit.clone(),
            tier: self.tiers[tier].clone(),
            name: unit.to_string(),
            issuer: issuer.clone(),
            scope,
            not_before: START_MS - YEAR_MS,
            not_after: START_MS + 20 * YEAR_MS,
            nonce: rng
                .bytes(16)
                .try_into()
                .expect("sixteen bytes were asked for"),
        }
    }

    fn add_node(&mut self, unit: usize, rng: &mut Rng) {
        let secret = Secret::generate(rng);
        let chain = self.chain_of(unit, secret.node_key(), rng);
        self.certified.insert(secret.node_key(), unit);
        self.nodes.push(NodePlan {
            unit,
            secret,
            chain,
        });
    }

    /// Returns the chain of a key that a unit certifies as its node.
    pub fn chain_of(&self, unit: usize, node: NodeKey, rng: &mut Rng) -> Chain {
        let plan = &self.units[unit];
        let leaf = self.certificate(Subject::Node(node), &plan.id, plan.tier, &plan.id, rng);
        let mut certificates = vec![Signed::sign(&leaf, &plan.secret)];
        let mut at = Some(unit);
        while let Some(unit) = at {
            certificates.extend(self.units[unit].certificate.clone());
            at = self.units[unit].parent;
        }
        Chain::new(certificates).expect("three tiers make a short chain")
    }

    /// Certifies one more key for a unit: a device that later turns out to be dishonest.
    pub fn certify(&mut self, unit: usize, node: NodeKey, rng: &mut Rng) -> Chain {
        self.certified.insert(node, unit);
        self.chain_of(unit, node, rng)
    }

    fn draw_links(&mut self, rng: &mut Rng) {
        let mut first_of: BTreeMap<usize, usize> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let first = *first_of.entry(node.unit).or_insert(index);
            if first != index {
                self.links.push(LinkPlan {
                    dialer: index,
                    acceptor: first,
                });
            }
            let parents: Vec<usize> = self.units[node.unit]
                .parent
                .map(|parent| {
                    (0..self.nodes.len())
                        .filter(|n| self.nodes[*n].unit == parent)
                        .collect()
                })
                .unwrap_or_default();
            for (at, parent) in parents.iter().enumerate() {
                // A server dials every node of its parent; a laptop now and then dials the first one.
                if first == index || (at == 0 && rng.chance(40)) {
                    self.links.push(LinkPlan {
                        dialer: index,
                        acceptor: *parent,
                    });
                }
            }
        }
    }

    /// Returns the index of a unit.
    pub fn unit(&self, id: &UnitId) -> Option<usize> {
        self.ids.get(id).copied()
    }

    /// Returns the unit that a key is certified for.
    pub fn certified_for(&self, node: NodeKey) -> Option<usize> {
        self.certified.get(&node).copied()
    }

    /// Returns a unit and all above it, nearest first.
    pub fn upwards(&self, unit: usize) -> Vec<usize> {
        let mut path = vec![unit];
        while let Some(parent) = path.last().and_then(|at| self.units[*at].parent) {
            path.push(parent);
        }
        path
    }

    /// Returns the units whose nodes hold a log, by the words of the design and not by production code.
    pub fn holders(&self, key: &LogKey) -> BTreeSet<usize> {
        let Some(unit) = self.unit(&key.unit) else {
            return BTreeSet::new();
        };
        let path = self.upwards(unit);
        match &key.reach {
            Reach::Own => [unit].into(),
            Reach::Below => (0..self.units.len())
                .filter(|u| self.upwards(*u).contains(&unit))
                .collect(),
            Reach::Up(tier) => {
                let wanted = self
                    .tiers
                    .iter()
                    .position(|t| t == tier)
                    .unwrap_or(self.tiers.len());
                let end = path.iter().position(|u| self.units[*u].tier >= wanted);
                path.iter()
                    .copied()
                    .take(end.map_or(path.len(), |end| end + 1))
                    .collect()
            }
            Reach::To(to) => {
                let to = self.unit(to).map(|to| self.upwards(to)).unwrap_or_default();
                path.into_iter().chain(to).collect()
            }
        }
    }

    /// Returns the placement over the units given.
    pub fn placement(&self, known: &BTreeSet<usize>) -> Placement {
        let placed = known.iter().map(|unit| {
            let plan = &self.units[*unit];
            let parent = plan.parent.map(|parent| self.units[parent].id.clone());
            (
                plan.id.clone(),
                Placed {
                    parent,
                    tier: self.tiers[plan.tier].clone(),
                },
            )
        });
        Placement {
            root: self.units[0].id.clone(),
            units: placed.collect(),
            tiers: self.tiers.clone(),
        }
    }

    /// Returns the units that every node knows from the start, and its own.
    pub fn known_at_start(&self, unit: usize) -> BTreeSet<usize> {
        (0..self.units.len())
            .filter(|u| !self.units[*u].late || *u == unit)
            .collect()
    }
}
