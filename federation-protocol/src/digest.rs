//! The digest tree: unit, then period, then logs. Two nodes compare it to find where they differ, in
//! one exchange when they do not.

use crate::limits::DIGEST_CHILDREN_MAX;
use crate::{LogId, LogState, Period};
use keys::{Hash, UnitId};
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// One step down the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Step {
    /// The units whose hashed id starts with this byte; used above 256 units.
    #[n(0)]
    Bucket(#[n(0)] u8),
    /// One unit.
    #[n(1)]
    Unit(#[n(0)] UnitId),
    /// One period of a unit, or its statements, which belong to none.
    #[n(2)]
    Period(#[n(0)] Option<Period>),
}

/// The digest of one log: of its head, or of its lowest fork, so that nodes which saw different
/// branches agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogDigest(Hash);

impl LogDigest {
    /// Returns the digest of a log as it stands.
    pub fn of(id: LogId, state: &LogState) -> Self {
        Self(match state.forked {
            None => Hash::tagged(
                "sanji/1/head",
                &[
                    id.as_bytes(),
                    &state.head.seq_num.to_be_bytes(),
                    state.head.hash.as_bytes(),
                ],
            ),
            Some(n) => Hash::tagged("sanji/1/forked", &[id.as_bytes(), &n.to_be_bytes()]),
        })
    }
}

type Logs = BTreeMap<LogId, Hash>;
type Periods = BTreeMap<Option<Period>, Logs>;

/// The digest tree over a set of logs, built when two nodes compare.
#[derive(Clone, Debug, Default)]
pub struct DigestTree {
    units: BTreeMap<UnitId, Periods>,
}

impl DigestTree {
    /// Builds the tree over the given logs.
    pub fn build<'a>(logs: impl Iterator<Item = (LogId, &'a LogState)>) -> Self {
        let mut units: BTreeMap<UnitId, Periods> = BTreeMap::new();
        for (id, state) in logs {
            units
                .entry(state.key.unit.clone())
                .or_default()
                .entry(state.key.period)
                .or_default()
                .insert(id, LogDigest::of(id, state).0);
        }
        Self { units }
    }

    /// Returns the digest of the whole tree.
    pub fn root(&self) -> Hash {
        let mut hasher = Sorted::new("sanji/1/units");
        for (unit, periods) in &self.units {
            hasher.push(unit.as_str().as_bytes(), &periods_digest(periods));
        }
        hasher.finish()
    }

    /// Returns the digest of one unit's logs, of none when there are none.
    pub fn unit(&self, unit: &UnitId) -> Hash {
        self.units
            .get(unit)
            .map_or_else(|| periods_digest(&Periods::new()), periods_digest)
    }

    /// Returns the children of the node at a path: at the root, buckets when there are more than
    /// [`DIGEST_CHILDREN_MAX`] units and units otherwise.
    pub fn children(&self, path: &[Step]) -> Vec<(Step, Hash)> {
        let bucketed = path.is_empty() && self.units.len() > DIGEST_CHILDREN_MAX;
        self.children_as(path, bucketed)
    }

    /// Returns the children of the node at a path in the shape the peer has chosen.
    pub fn children_as(&self, path: &[Step], bucketed: bool) -> Vec<(Step, Hash)> {
        match path {
            [] if bucketed => {
                let mut buckets: BTreeMap<u8, Sorted> = BTreeMap::new();
                for (unit, periods) in &self.units {
                    buckets
                        .entry(bucket(unit))
                        .or_insert_with(|| Sorted::new("sanji/1/units"))
                        .push(unit.as_str().as_bytes(), &periods_digest(periods));
                }
                buckets
                    .into_iter()
                    .map(|(b, hasher)| (Step::Bucket(b), hasher.finish()))
                    .collect()
            }
            [] => self.unit_children(|_| true),
            [Step::Bucket(b)] => self.unit_children(|unit| bucket(unit) == *b),
            [.., Step::Unit(unit)] => self
                .units
                .get(unit)
                .into_iter()
                .flatten()
                .map(|(period, logs)| (Step::Period(*period), logs_digest(logs)))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Returns the bucket a unit falls into: the first byte of the hash of its id.
    pub(crate) fn bucket(unit: &UnitId) -> u8 {
        bucket(unit)
    }

    fn unit_children(&self, wanted: impl Fn(&UnitId) -> bool) -> Vec<(Step, Hash)> {
        self.units
            .iter()
            .filter(|(unit, _)| wanted(unit))
            .map(|(unit, periods)| (Step::Unit(unit.clone()), periods_digest(periods)))
            .collect()
    }
}

fn bucket(unit: &UnitId) -> u8 {
    Hash::of(unit.as_str().as_bytes()).as_bytes()[0]
}

fn periods_digest(periods: &Periods) -> Hash {
    let mut hasher = Sorted::new("sanji/1/periods");
    for (period, logs) in periods {
        let name = period.map(|p| p.to_string()).unwrap_or_default();
        hasher.push(name.as_bytes(), &logs_digest(logs));
    }
    hasher.finish()
}

fn logs_digest(logs: &Logs) -> Hash {
    let mut hasher = Sorted::new("sanji/1/logs");
    for (id, digest) in logs {
        hasher.push(id.as_bytes(), digest);
    }
    hasher.finish()
}

/// A digest over (name, digest) pairs in the order of their names.
struct Sorted(Vec<u8>, &'static str);

impl Sorted {
    fn new(tag: &'static str) -> Self {
        Self(Vec::new(), tag)
    }

    fn push(&mut self, name: &[u8], digest: &Hash) {
        self.0.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(digest.as_bytes());
    }

    fn finish(self) -> Hash {
        Hash::tagged(self.1, &[&self.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Head, Hlc, LogKey, Reach};
    use keys::{NodeKey, StoreEpoch};

    fn state(unit: &str, author: u8, period: Option<&str>, seq_num: u64) -> LogState {
        LogState {
            key: LogKey {
                author: NodeKey::from_bytes([author; 32]),
                epoch: StoreEpoch::from_bytes([1; 16]),
                unit: unit.parse().unwrap(),
                reach: Reach::Below,
                period: period.map(|p| p.parse().unwrap()),
            },
            head: Head {
                seq_num,
                hash: Hash::of(&[author]),
                hlc: Hlc::default(),
            },
            forked: None,
        }
    }

    fn tree(states: &[LogState]) -> DigestTree {
        DigestTree::build(states.iter().map(|s| (s.key.id(), s)))
    }

    // protocol.md R15
    #[test]
    fn the_digest_depends_on_the_set_and_not_on_its_order() {
        let mut states = vec![
            state("a", 1, None, 3),
            state("a", 2, Some("2026-1"), 0),
            state("b", 1, Some("2026-2"), 9),
        ];
        let before = tree(&states).root();
        states.reverse();
        assert_eq!(tree(&states).root(), before);
        states[0].head.seq_num += 1;
        assert_ne!(tree(&states).root(), before);
    }

    // protocol.md R15
    #[test]
    fn forked_logs_agree_whatever_branch_was_seen() {
        let (mut one, mut two) = (state("a", 1, None, 7), state("a", 1, None, 9));
        two.head.hash = Hash::of(b"other branch");
        assert_ne!(tree(&[one.clone()]).root(), tree(&[two.clone()]).root());
        one.forked = Some(5);
        two.forked = Some(5);
        assert_eq!(tree(&[one]).root(), tree(&[two]).root());
    }

    // protocol.md R16
    #[test]
    fn more_than_256_units_are_split_by_prefix_and_still_found() {
        let states: Vec<_> = (0..600)
            .map(|n| state(&format!("u{n}"), 1, None, 0))
            .collect();
        let tree = tree(&states);
        let top = tree.children(&[]);
        assert!(top.len() <= 256 && matches!(top[0].0, Step::Bucket(_)));
        let units: usize = top
            .iter()
            .map(|(step, _)| tree.children(std::slice::from_ref(step)).len())
            .sum();
        assert_eq!(units, 600);
    }
}
