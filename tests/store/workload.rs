//! The script that victims play: a deterministic sequence of batches whose effect anyone can compute
//! from the number of the last one, so that a store found later is judged exactly.

use std::collections::BTreeMap;

/// Two keys that every batch writes, under numbers far apart in the key space.
pub(crate) const PAIR: [u64; 2] = [0, 10_001];

/// How large the values of a script are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// Mostly below 1 KB, some up to 16 KB, a few up to 64 KB.
    Mixed,
    /// As mixed, on so many keys that most values are written once and stay in old segments.
    Wide,
    /// Up to 64 KB, incompressible, on few keys: segments are emptied and used again.
    Large,
}

impl Sizes {
    /// The word for the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Wide => "wide",
            Self::Large => "large",
        }
    }
}

/// Small, fast and the same everywhere (SplitMix64).
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x5eed_5a9b_11c3_0d7f)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What batch `number` writes: key number and length of the value, `None` to delete.
pub(crate) fn batch(number: u64, sizes: Sizes) -> BTreeMap<u64, Option<usize>> {
    let mut random = Random::new(number);
    let mut writes = BTreeMap::new();
    for _ in 0..1 + random.below(4) {
        let key = 1 + random.below(match sizes {
            Sizes::Mixed => 400,
            Sizes::Wide => 20_000,
            Sizes::Large => 60,
        });
        let roll = random.below(100);
        let len = match (sizes, roll) {
            (_, 0..12) => None,
            (Sizes::Large, _) => Some(8_000 + random.below(57_000)),
            (_, 12..15) => Some(20_000 + random.below(45_000)),
            (_, 15..30) => Some(4_000 + random.below(12_000)),
            (_, _) => Some(16 + random.below(900)),
        };
        writes.insert(
            key,
            len.map(|len| usize::try_from(len).expect("a small number")),
        );
    }
    writes.extend(PAIR.map(|key| (key, Some(16))));
    writes
}
