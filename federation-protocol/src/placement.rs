//! Where units stand, and between which of them a log travels.

use crate::{LogKey, Reach};
use keys::{TierName, UnitId};
use std::collections::BTreeMap;

/// The place of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its parent; none for the root.
    pub parent: Option<UnitId>,
    /// Its tier.
    pub tier: TierName,
}

/// The organisation tree as the signed rosters give it, and the order of tiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The top unit.
    pub root: UnitId,
    /// Every known unit.
    pub units: BTreeMap<UnitId, Placed>,
    /// Tiers, lowest first, as the root signed them.
    pub tiers: Vec<TierName>,
}

/// Deepest organisation tree that is followed; a longer chain of parents is a loop.
const DEPTH_MAX: usize = 16;

impl Placement {
    /// Returns the ancestors of a unit, nearest first; empty for the root and for unknown units.
    pub fn ancestors<'a>(&'a self, unit: &UnitId) -> impl Iterator<Item = &'a UnitId> {
        let mut at = self.parent(unit);
        std::iter::from_fn(move || {
            let here = at?;
            at = self.parent(here);
            Some(here)
        })
        .take(DEPTH_MAX)
    }

    /// Returns the parent of a unit.
    pub fn parent(&self, unit: &UnitId) -> Option<&UnitId> {
        self.units.get(unit)?.parent.as_ref()
    }

    /// Returns true when `upper` is a proper ancestor of `lower`.
    pub fn is_ancestor(&self, upper: &UnitId, lower: &UnitId) -> bool {
        self.ancestors(lower).any(|unit| unit == upper)
    }

    /// Returns true when `lower` is `upper` or below it.
    pub fn is_within(&self, upper: &UnitId, lower: &UnitId) -> bool {
        upper == lower || self.is_ancestor(upper, lower)
    }

    /// Returns the rank of a tier, 0 for the lowest; `root` is above all, unknown tiers below all.
    fn rank(&self, tier: &TierName) -> usize {
        if tier.as_str() == "root" {
            return usize::MAX;
        }
        self.tiers
            .iter()
            .position(|t| t == tier)
            .map_or(0, |at| at + 1)
    }

    fn reaches(&self, unit: &UnitId, tier: &TierName) -> bool {
        self.units
            .get(unit)
            .is_some_and(|placed| self.rank(&placed.tier) >= self.rank(tier))
    }

    /// Returns true when a log of this key is held by the nodes of `unit`.
    pub fn travels_to(&self, key: &LogKey, unit: &UnitId) -> bool {
        match &key.reach {
            Reach::Own => unit == &key.unit,
            Reach::Up(tier) => {
                if unit == &key.unit {
                    return true;
                }
                // Upwards until the nearest ancestor at or above the tier has been passed.
                let mut below = &key.unit;
                for ancestor in self.ancestors(&key.unit) {
                    if self.reaches(below, tier) {
                        return false;
                    }
                    if ancestor == unit {
                        return true;
                    }
                    below = ancestor;
                }
                false
            }
            Reach::Below => self.is_within(&key.unit, unit),
            Reach::To(to) => self.is_within(unit, to) || self.is_within(unit, &key.unit),
        }
    }

    /// Returns true when a log of this key is exchanged between nodes of the two units.
    pub fn shared(&self, key: &LogKey, a: &UnitId, b: &UnitId) -> bool {
        self.travels_to(key, a) && self.travels_to(key, b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keys::{NodeKey, StoreEpoch};

    fn placement() -> Placement {
        let unit = |parent: Option<&str>, tier: &str| Placed {
            parent: parent.map(|p| p.parse().unwrap()),
            tier: tier.parse().unwrap(),
        };
        Placement {
            root: "city".parse().unwrap(),
            units: [
                ("city", unit(None, "city")),
                ("d1", unit(Some("city"), "district")),
                ("d2", unit(Some("city"), "district")),
                ("s1", unit(Some("d1"), "school")),
                ("s2", unit(Some("d1"), "school")),
                ("s3", unit(Some("city"), "school")),
            ]
            .into_iter()
            .map(|(id, placed)| (id.parse().unwrap(), placed))
            .collect(),
            tiers: ["school", "district", "city"]
                .map(|t| t.parse().unwrap())
                .to_vec(),
        }
    }

    fn held_by(reach: Reach, unit: &str) -> Vec<String> {
        let key = LogKey {
            author: NodeKey::from_bytes([7; 32]),
            epoch: StoreEpoch::from_bytes([7; 16]),
            unit: unit.parse().unwrap(),
            reach,
            period: None,
        };
        let p = placement();
        p.units
            .keys()
            .filter(|u| p.travels_to(&key, u))
            .map(ToString::to_string)
            .collect()
    }

    fn up(tier: &str) -> Reach {
        Reach::Up(tier.parse().unwrap())
    }

    // protocol.md R12
    #[test]
    fn a_log_travels_exactly_as_far_as_its_reach() {
        assert_eq!(held_by(Reach::Own, "s1"), ["s1"]);
        assert_eq!(held_by(up("district"), "s1"), ["d1", "s1"]);
        assert_eq!(held_by(up("city"), "s1"), ["city", "d1", "s1"]);
        assert_eq!(held_by(up("root"), "s1"), ["city", "d1", "s1"]);
        // A school directly under the city: the city absorbs the missing district.
        assert_eq!(held_by(up("district"), "s3"), ["city", "s3"]);
        assert_eq!(held_by(up("school"), "s1"), ["s1"]);
        assert_eq!(held_by(Reach::Below, "d1"), ["d1", "s1", "s2"]);
        assert_eq!(held_by(Reach::Below, "city").len(), 6);
        assert_eq!(
            held_by(Reach::To("s3".parse().unwrap()), "s1"),
            ["city", "d1", "s1", "s3"]
        );
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let mut p = placement();
        p.units.get_mut("city").unwrap().parent = Some("s1".parse().unwrap());
        assert!(p.ancestors(&"s1".parse().unwrap()).count() <= DEPTH_MAX);
    }
}
