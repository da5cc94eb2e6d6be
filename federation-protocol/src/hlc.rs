//! Hybrid-logical time: the author's clock, made monotonic along a log.

use crate::limits::CLOCK_AHEAD_MAX_MS;
use minicbor::{Decode, Encode};
use std::fmt;

/// Milliseconds since 1970 shifted left by 16 bits, plus a counter; never decreases in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Hlc(#[n(0)] u64);

impl Hlc {
    /// Makes a time from its raw 64 bits.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Makes the earliest time of a millisecond since 1970.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms << 16)
    }

    /// Returns the raw 64 bits.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Returns the milliseconds since 1970.
    pub const fn ms(self) -> u64 {
        self.0 >> 16
    }

    /// Returns the next time after `self` for a node whose clock says `now_ms`.
    pub fn tick(self, now_ms: u64) -> Self {
        Self(self.0.saturating_add(1).max(Self::from_ms(now_ms).0))
    }

    /// Returns the later of both, unless `seen` is more than 24 h ahead of `now_ms`: such a time is
    /// stored with its entry but not adopted.
    pub fn adopt(self, seen: Self, now_ms: u64) -> Self {
        if seen.ms() > now_ms.saturating_add(CLOCK_AHEAD_MAX_MS) {
            self
        } else {
            self.max(seen)
        }
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ms(), self.0 & 0xffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_even_when_the_clock_does() {
        let a = Hlc::default().tick(1_000);
        let b = a.tick(500);
        assert!(b > a);
        assert_eq!(b.ms(), 1_000);
        assert_eq!(b.tick(2_000), Hlc::from_ms(2_000));
    }

    // protocol.md R9
    #[test]
    fn a_time_a_day_ahead_is_not_adopted() {
        let far = Hlc::from_ms(1_000 + CLOCK_AHEAD_MAX_MS + 1);
        assert_eq!(Hlc::from_ms(1_000).adopt(far, 1_000), Hlc::from_ms(1_000));
        let near = Hlc::from_ms(1_000 + CLOCK_AHEAD_MAX_MS);
        assert_eq!(Hlc::from_ms(1_000).adopt(near, 1_000), near);
    }
}
