//! One machine: its disk, its clock, and while it runs a replica with the sessions and the waiting
//! users of its driver.

use super::disk::Disk;
use super::projection::Projection;
use super::seen::Seen;
use super::topology::{START_MS, Topology};
use federation_protocol::{Config, Entry, Part, Reach, Replica, SessionId, Weakness};
use keys::{Hash, NodeKey, StoreEpoch};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// Something that waits to be handled.
#[derive(Debug)]
pub enum Input {
    /// A connection stands.
    LinkUp(SessionId, NodeKey),
    /// A connection is gone.
    LinkDown(SessionId),
    /// Bytes of a peer.
    Message(SessionId, Rc<[u8]>),
    /// A user wants something.
    Write(Wish),
}

/// What a user wants to write; the parts are made when the write is handled.
#[derive(Clone, Debug)]
pub enum Wish {
    /// A roster that places a unit, by index, sent below and upwards.
    Roster(usize),
    /// Statements of some size.
    Statements {
        /// How far they travel.
        reach: Reach,
        /// Bytes of each.
        sizes: Vec<usize>,
    },
    /// Records in dossiers.
    Records {
        /// How far they travel.
        reach: Reach,
        /// Which semester, 1 or 2.
        term: u8,
        /// Entries to make; more than one is an import, closed by a statement.
        entries: usize,
        /// Dossiers in each entry.
        dossiers: usize,
    },
}

/// A machine of the run.
#[derive(Debug)]
pub struct Machine {
    /// Which node of the topology it is; a clone shares it with the original.
    pub plan: usize,
    /// Its unit.
    pub unit: usize,
    /// Its key.
    pub node: NodeKey,
    /// Its store.
    pub disk: Disk,
    /// How far its clock is from true time, milliseconds.
    pub skew_ms: i64,
    /// Counts how often it was opened.
    pub incarnation: u32,
    /// What runs on it, if anything.
    pub running: Option<Running>,
    /// True when it left for good.
    pub retired: bool,
    /// How slow its disk is: a commit takes up to this many milliseconds.
    pub commit_ms: u64,
    /// True when its disk refuses the next commit.
    pub disk_full: bool,
    /// When its newest commit is due.
    pub commit_due: u64,
    /// Sessions ever opened.
    pub sessions_opened: u64,
}

/// What is lost in a crash.
#[derive(Debug)]
pub struct Running {
    /// The production code.
    pub replica: Replica,
    /// What waits to be handled.
    pub inbox: VecDeque<Input>,
    /// True when a turn is scheduled.
    pub turn_due: bool,
    /// Open sessions: the connection and the side of it.
    pub sessions: BTreeMap<SessionId, (usize, usize)>,
    /// Entries whose writers wait for "saved", by append.
    pub waiting: BTreeMap<u64, Vec<Hash>>,
    /// What the entries say.
    pub projection: Projection,
    /// Units on the rosters read so far.
    pub known: BTreeSet<usize>,
    /// When a tick is scheduled.
    pub tick_at: Option<u64>,
    /// What the clock showed last, and when: it never runs backwards within a process.
    shown: (u64, u64),
    /// Users who were not told "saved" although they should have been: a planted defect.
    pub held_back: Vec<Seen>,
    /// True once one of our own logs is known to be forked or ahead of us elsewhere.
    pub epoch_spent: bool,
}

/// The statement domain under which a unit's place travels in these runs.
pub const ROSTER_TAG: &str = "sanji/1/roster";

impl Machine {
    /// Creates a machine that is switched off.
    pub fn new(topology: &Topology, plan: usize, disk: Disk) -> Self {
        let node = &topology.nodes[plan];
        Self {
            plan,
            unit: node.unit,
            node: node.secret.node_key(),
            disk,
            skew_ms: 0,
            incarnation: 0,
            running: None,
            retired: false,
            commit_ms: 10,
            disk_full: false,
            commit_due: 0,
            sessions_opened: 0,
        }
    }

    /// Opens the store and starts the replica from what is durable.
    pub fn open(&mut self, topology: &Topology, now: u64, weakness: Weakness, parts_dropped: bool) {
        let plan = &topology.nodes[self.plan];
        let config = Config {
            secret: plan.secret.duplicate(),
            chain: plan.chain.clone(),
            root: topology.root,
            epoch: self.disk.epoch,
            software: "simulation".to_owned(),
            weakness,
        };
        let mut known = topology.known_at_start(self.unit);
        let statements: Vec<Entry> = self
            .disk
            .entries
            .iter()
            .filter(|((log, _), _)| {
                self.disk
                    .states
                    .get(log)
                    .is_some_and(|state| state.key.period.is_none())
            })
            .filter_map(|(_, bytes)| Entry::verify(bytes.to_vec()).ok())
            .collect();
        known.extend(statements.iter().flat_map(|entry| rosters(topology, entry)));
        let mut replica = Replica::new(config, topology.placement(&known))
            .expect("the topology made a chain that verifies");
        for state in self.disk.states.values() {
            replica.restore_log(state.clone());
        }
        for entry in &statements {
            replica.restore_entry(entry);
        }
        for bytes in self.disk.receipts.values() {
            replica.restore_receipt(bytes.clone());
        }
        let mut projection = Projection::new(parts_dropped);
        projection.rebuild(&self.disk, &self.disk.states, None);
        self.incarnation += 1;
        self.commit_due = now;
        let shown = (START_MS + now).saturating_add_signed(self.skew_ms);
        self.running = Some(Running {
            replica,
            inbox: VecDeque::new(),
            turn_due: false,
            sessions: BTreeMap::new(),
            waiting: BTreeMap::new(),
            projection,
            known,
            tick_at: None,
            shown: (now, shown),
            held_back: Vec::new(),
            epoch_spent: false,
        });
    }

    /// Returns what the machine's clock shows: its own wrong time, which within a process runs on at
    /// the true rate when the clock is set back.
    pub fn clock(&mut self, now: u64) -> u64 {
        let wall = (START_MS + now).saturating_add_signed(self.skew_ms);
        let Some(running) = &mut self.running else {
            return wall;
        };
        let (then, shown) = running.shown;
        running.shown = (now, wall.max(shown + (now - then)));
        running.shown.1
    }

    /// Returns whether it takes part.
    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Returns a fresh session number.
    pub fn next_session(&mut self) -> SessionId {
        self.sessions_opened += 1;
        SessionId(self.sessions_opened)
    }
}

/// Returns the units that an entry places: each by a roster of its parent.
pub fn rosters(topology: &Topology, entry: &Entry) -> Vec<usize> {
    let author = topology.unit(&entry.key().unit);
    entry
        .parts()
        .filter_map(|part| match part {
            Part::Statement { domain, bytes } if domain == ROSTER_TAG => {
                let unit = topology.unit(&std::str::from_utf8(bytes).ok()?.parse().ok()?)?;
                (topology.units[unit].parent == author).then_some(unit)
            }
            _ => None,
        })
        .collect()
}

/// Returns the bytes of a roster that places a unit.
pub fn roster_of(topology: &Topology, unit: usize) -> Part {
    let bytes = topology.units[unit].id.as_str().as_bytes().to_vec();
    Part::Statement {
        domain: ROSTER_TAG.to_owned(),
        bytes,
    }
}

/// Returns a new epoch for a machine's store.
pub fn new_epoch(rng: &mut crate::rng::Rng) -> StoreEpoch {
    StoreEpoch::generate(rng)
}
