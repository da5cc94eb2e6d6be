//! Dishonest parties: they run no production code, only send frames made to do harm.

use super::machine::ROSTER_TAG;
use super::network::Party;
use super::world::{Event, World};
use crate::rng::Rng;
use federation_protocol::{
    CHAIN_TAG, Child, Draft, HeadItem, Hello, Hlc, LogId, LogKey, Message, PROTOCOL_VERSION, Part,
    Period, Reach, Receipt, ReceiptHead, Step, limits,
};
use keys::{Chain, Hash, NodeKey, Secret, Signed, StoreEpoch, UnitId};
use std::collections::VecDeque;
use std::rc::Rc;

/// A dishonest party and what it still sends.
#[derive(Debug)]
pub(super) struct Attacker {
    secret: Secret,
    hello: Rc<[u8]>,
    frames: VecDeque<Rc<[u8]>>,
    conn: Option<(usize, usize)>,
    /// Reads nothing, so that what is sent to it piles up.
    deaf: bool,
}

impl Attacker {
    /// Returns the key that its connections prove.
    pub(super) fn key(&self) -> NodeKey {
        self.secret.node_key()
    }
}

/// What a dishonest party signs with. Where it is certified for the unit it writes for, what it writes
/// is genuine, so it names its chain as any author does; without, nobody beyond its neighbours could
/// ever judge it.
struct Insider<'a> {
    secret: &'a Secret,
    chain: &'a Chain,
    epoch: StoreEpoch,
}

impl Insider<'_> {
    fn draft(&self, unit: &UnitId, seq_num: u64, rng: &mut Rng) -> Vec<u8> {
        let bytes = self.chain.to_bytes();
        let part = Part::Statement {
            domain: CHAIN_TAG.to_owned(),
            bytes,
        };
        signed(self.secret, self.epoch, unit, None, seq_num, part, rng)
    }
}

/// Requests that a deaf party sends: more answers than may be due in a session.
const DEAF_REQUESTS: usize = limits::SESSION_DUE_MAX + limits::SESSION_QUEUE_MAX + 1_000;
/// Bytes that may be under way to a deaf party.
const DEAF_WINDOW: usize = 4 * 1024;

impl World {
    /// A dishonest party connects to a machine.
    pub(super) fn an_attack_starts(&mut self) {
        let target = self.rngs.attack.index(self.topology.nodes.len());
        if !self.machines[target].is_up() {
            return;
        }
        let target_unit = self.machines[target].unit;
        let rng = &mut self.rngs.attack;
        let secret = Secret::generate(rng);
        let placed: Vec<usize> = (0..self.topology.units.len())
            .filter(|u| !self.topology.units[*u].late)
            .collect();
        // An insider is certified for the victim's unit or for a child of it; a stranger is not.
        let mut units: Vec<usize> = placed
            .iter()
            .copied()
            .filter(|u| *u == target_unit || self.topology.units[*u].parent == Some(target_unit))
            .collect();
        units.truncate(4);
        let insider = rng.chance(75);
        let unit = rng.pick(&units).copied().unwrap_or(target_unit);
        let chain = if insider {
            self.topology.certify(unit, secret.node_key(), rng)
        } else if rng.chance(50) {
            // The chain of somebody else, whose key it does not have.
            self.topology.nodes[target].chain.clone()
        } else {
            own_root_chain(&self.topology.units[unit].id, &secret, rng)
        };
        let epoch = StoreEpoch::generate(rng);
        let hello = Message::Hello(Hello {
            version: PROTOCOL_VERSION,
            version_min: PROTOCOL_VERSION,
            root: self.topology.root,
            chain: chain.to_bytes().into(),
            epoch,
            clock_ms: 0,
            software: "attack".to_owned(),
        });
        let other = rng.pick(&placed).copied().unwrap_or(0);
        let ids = [unit, other, target_unit].map(|u| self.topology.units[u].id.clone());
        let deaf = insider && rng.chance(15);
        let frames = if deaf {
            requests()
        } else {
            self.frames(
                &Insider {
                    secret: &secret,
                    chain: &chain,
                    epoch,
                },
                &ids,
            )
        };
        self.attackers.push(Attacker {
            secret,
            hello: hello.to_bytes().into(),
            frames: frames.into_iter().map(Rc::from).collect(),
            conn: None,
            deaf,
        });
        let attacker = self.attackers.len() - 1;
        let acceptor = Party::Machine(target, self.machines[target].incarnation);
        self.connect(None, [Party::Attacker(attacker), acceptor], 5);
    }

    /// Makes the frames of one attack: forged, foreign, broken, or out of place.
    fn frames(&mut self, insider: &Insider<'_>, ids: &[UnitId; 3]) -> Vec<Vec<u8>> {
        let [unit, other, target] = ids;
        let (secret, epoch) = (insider.secret, insider.epoch);
        let genuine = self.somebodys_entry();
        let rng = &mut self.rngs.attack;
        let stranger = Secret::generate(rng);
        let count = rng.between(1, 6);
        (0..count)
            .map(|_| match rng.below(12) {
                0 => entries(vec![draft(&stranger, epoch, unit, 0, rng)]),
                1 => entries(vec![insider.draft(other, 0, rng)]),
                2 => entries(vec![insider.draft(target, 3, rng)]),
                3 => {
                    let size = usize::try_from(rng.between(0, 300)).unwrap_or(0);
                    rng.bytes(size)
                }
                4 => flipped(entries(genuine.clone()), rng),
                5 => vec![0x5a; limits::MESSAGE_SIZE_MAX + 1],
                6 => Message::Heads(other.clone(), None, heads(rng), true).to_bytes(),
                7 => entries(genuine.clone()),
                8 => {
                    let first = draft(&stranger, epoch, unit, 0, rng);
                    let second = draft(&stranger, epoch, unit, 0, rng);
                    Message::Fork(first.into(), second.into()).to_bytes()
                }
                9 => forged_receipt(secret, other, target, rng),
                10 => {
                    let step = Step::Unit(other.clone());
                    let child = Child {
                        step: step.clone(),
                        digest: Hash::of(b"lie"),
                    };
                    Message::Digest(vec![step.clone(), step], vec![child]).to_bytes()
                }
                _ => Message::Summary(Hash::of(b"lie"), Hash::of(b"lie")).to_bytes(),
            })
            .collect()
    }

    /// Takes a genuine entry off somebody's disk, wherever it may travel.
    fn somebodys_entry(&mut self) -> Vec<Vec<u8>> {
        let machine = self.rngs.attack.index(self.machines.len());
        let disk = &self.machines[machine].disk;
        let at = self.rngs.attack.index(disk.entries.len());
        disk.entries
            .values()
            .nth(at)
            .map(|bytes| bytes.to_vec())
            .into_iter()
            .collect()
    }

    /// The connection stands: the dishonest party says hello and plans the rest.
    pub(super) fn attack_begins(&mut self, attacker: usize, id: usize, side: usize) {
        self.attackers[attacker].conn = Some((id, side));
        let hello = self.attackers[attacker].hello.clone();
        self.transport(id, side, hello);
        self.schedule(1_000, Event::Attack(attacker));
    }

    /// Sends the next frame; a deaf party sends all at once.
    pub(super) fn attack(&mut self, attacker: usize) {
        let Some((id, side)) = self.attackers[attacker].conn else {
            return;
        };
        if self.attackers[attacker].deaf {
            let frames = std::mem::take(&mut self.attackers[attacker].frames);
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.window = DEAF_WINDOW;
            }
            for frame in frames {
                self.deliver(id, 1 - side, frame);
            }
        } else if let Some(frame) = self.attackers[attacker].frames.pop_front() {
            self.transport(id, side, frame);
            self.schedule(500, Event::Attack(attacker));
        } else {
            self.cut(id);
        }
    }

    /// Tells whether a dishonest party reads what reaches it.
    pub(super) fn attacker_reads(&self, attacker: usize, _bytes: &[u8]) -> bool {
        !self.attackers[attacker].deaf
    }

    /// All dishonest parties disconnect.
    pub(super) fn attackers_leave(&mut self) {
        let ids: Vec<usize> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.link.is_none())
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.cut(id);
        }
        for attacker in &mut self.attackers {
            attacker.conn = None;
        }
    }
}

fn entries(entries: Vec<Vec<u8>>) -> Vec<u8> {
    Message::Entries(entries.into_iter().map(Into::into).collect()).to_bytes()
}

/// Signs an entry that looks like any other.
fn draft(
    secret: &Secret,
    epoch: StoreEpoch,
    unit: &UnitId,
    seq_num: u64,
    rng: &mut Rng,
) -> Vec<u8> {
    let period = if rng.chance(50) {
        None
    } else {
        Period::new(2026, 1).ok()
    };
    let part = Part::Statement {
        domain: ROSTER_TAG.to_owned(),
        bytes: rng.bytes(40),
    };
    signed(secret, epoch, unit, period, seq_num, part, rng)
}

fn signed(
    secret: &Secret,
    epoch: StoreEpoch,
    unit: &UnitId,
    period: Option<Period>,
    seq_num: u64,
    part: Part,
    rng: &mut Rng,
) -> Vec<u8> {
    let reach = match rng.below(3) {
        0 => Reach::Below,
        1 => Reach::Own,
        _ => Reach::Up("root".parse().expect("a tier's name is valid")),
    };
    Draft {
        key: LogKey {
            author: secret.node_key(),
            epoch,
            unit: unit.clone(),
            reach,
            period,
        },
        seq_num,
        backlink: (seq_num > 0).then(|| Hash::of(b"nothing")),
        hlc: Hlc::from_ms(super::topology::START_MS + rng.below(1 << 40)),
        parts: vec![part],
    }
    .sign(secret, rng)
}

fn heads(rng: &mut Rng) -> Vec<HeadItem> {
    let log = LogId::from_bytes(*Hash::of(&rng.bytes(8)).as_bytes());
    let forked = if rng.chance(50) {
        Some(rng.below(5))
    } else {
        None
    };
    vec![HeadItem {
        log,
        seq_num: rng.below(1 << 60),
        hash: Hash::of(b"lie"),
        forked,
    }]
}

fn forged_receipt(secret: &Secret, issuer: &UnitId, unit: &UnitId, rng: &mut Rng) -> Vec<u8> {
    let log = LogId::from_bytes(*Hash::of(&rng.bytes(8)).as_bytes());
    let receipt = Receipt {
        issuer: issuer.clone(),
        unit: unit.clone(),
        heads: vec![ReceiptHead {
            log,
            seq_num: 7,
            hash: Hash::of(b"lie"),
        }],
        time_ms: u64::MAX / 2,
    };
    Message::Receipt(Signed::sign(&receipt, secret).bytes().to_vec().into()).to_bytes()
}

fn flipped(mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    let bit = rng.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// Many requests, each of which asks for an answer of its own that nobody will read.
fn requests() -> Vec<Vec<u8>> {
    (0..DEAF_REQUESTS)
        .map(|n| {
            let unit = UnitId::new(&format!("unit-{n}")).expect("a made-up unit id is valid");
            Message::Heads(unit, None, Vec::new(), true).to_bytes()
        })
        .collect()
}

/// A chain that verifies, under a root of its own making.
fn own_root_chain(unit: &UnitId, secret: &Secret, rng: &mut Rng) -> Chain {
    let root = Secret::generate(rng);
    let certificate = keys::Certificate {
        subject: keys::Subject::Node(secret.node_key()),
        unit: unit.clone(),
        tier: "school".parse().expect("a tier's name is valid"),
        name: "attack".to_owned(),
        issuer: unit.clone(),
        scope: keys::Scope::full(),
        not_before: 0,
        not_after: u64::MAX / 2,
        nonce: [7; 16],
    };
    Chain::new(vec![Signed::sign(&certificate, &root)]).expect("one certificate is a chain")
}
