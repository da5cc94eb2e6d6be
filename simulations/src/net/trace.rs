//! What happened on the network, as one number to compare runs by, and as counts to read.

use std::fmt;
use std::net::SocketAddr;

/// What became of a packet when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// On its way.
    UnderWay {
        /// With one bit flipped.
        corrupted: bool,
        /// With a second copy behind it.
        duplicated: bool,
        /// Held back so that others overtake it.
        held: bool,
    },
    /// Lost by chance.
    Lost,
    /// Lost because the two are cut off from each other.
    Severed,
    /// Lost because the line has too much to send already.
    Overrun,
    /// Nobody listens there.
    Nobody,
}

impl Fate {
    fn number(self) -> u64 {
        match self {
            Self::UnderWay {
                corrupted,
                duplicated,
                held,
            } => 8 | u64::from(corrupted) | u64::from(duplicated) << 1 | u64::from(held) << 2,
            Self::Lost => 1,
            Self::Severed => 2,
            Self::Overrun => 3,
            Self::Nobody => 4,
        }
    }
}

/// A datagram as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// When, in microseconds since the network began.
    pub at_us: u64,
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What became of it.
    pub fate: Fate,
    /// Its bytes, before any corruption.
    pub bytes: Vec<u8>,
}

/// Two hashes over everything sent. Equal content means equal runs, to the byte; equal timing with
/// different content means that some randomness is not seeded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Over time, addresses, length and fate of every packet.
    pub timing: u64,
    /// Over all that and the bytes of every packet.
    pub content: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            timing: 0xcbf2_9ce4_8422_2325,
            content: 0xcbf2_9ce4_8422_2325,
        }
    }
}

/// One step of a 64-bit hash: collisions by accident are what it must avoid, not by intent.
fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ product >> 29
}

impl Trace {
    pub(super) fn sent(&mut self, at_us: u64, route: [u64; 4], bytes: &[u8], fate: Fate) {
        let [a, b, c, d] = route;
        for word in [at_us, a, b, c, d, bytes.len() as u64, fate.number()] {
            self.timing = mix(self.timing, word);
            self.content = mix(self.content, word);
        }
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.content = mix(self.content, u64::from_le_bytes(word));
        }
    }

    /// Both hashes, to be mixed into a wider one.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.timing) << 64 | u128::from(self.content)).to_be_bytes()
    }

    /// Mixes in something that happened outside the network: a scenario's step, a digest at its end.
    pub fn note(&mut self, bytes: &[u8]) {
        self.sent(0, [0; 4], bytes, Fate::Nobody);
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.timing, self.content)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({self})")
    }
}

/// Counts of packets since the network began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sent, whatever became of them.
    pub sent: u64,
    /// Bytes of UDP payload sent.
    pub bytes: u64,
    /// Received, copies included.
    pub delivered: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost to a cut or an isolation.
    pub severed: u64,
    /// Lost to a full line.
    pub overrun: u64,
    /// Sent to nobody.
    pub nobody: u64,
    /// Sent on with one bit flipped.
    pub corrupted: u64,
    /// Sent on twice.
    pub duplicated: u64,
    /// Held back.
    pub held: u64,
    /// Lost to a full receive buffer.
    pub overflowed: u64,
}

impl Totals {
    pub(super) fn sent(&mut self, size: usize, fate: Fate) {
        self.sent += 1;
        self.bytes += size as u64;
        match fate {
            Fate::UnderWay {
                corrupted,
                duplicated,
                held,
            } => {
                self.corrupted += u64::from(corrupted);
                self.duplicated += u64::from(duplicated);
                self.held += u64::from(held);
            }
            Fate::Lost => self.lost += 1,
            Fate::Severed => self.severed += 1,
            Fate::Overrun => self.overrun += 1,
            Fate::Nobody => self.nobody += 1,
        }
    }
}
