//! The world of one run: machines, connections, a queue of events, and the run from the first fault to
//! the last agreement.

use super::adversary::Attacker;
use super::disk::Disk;
use super::faults::Mend;
use super::machine::{Input, Machine, Wish, new_epoch};
use super::network::{Conn, Link, Party};
use super::seen::{Broken, Seen, View};
use super::topology::Topology;
use super::{Mutation, Options};
use crate::invariants::Invariants;
use crate::outcome::{Failure, Outcome};
use crate::rng::Rng;
use federation_protocol::{Entry, EntryError, Reach};
use keys::{Hash, Hasher, NodeKey};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A link tries to connect.
    Dial(usize),
    /// One end of a connection hears that it stands.
    Connected(usize, usize),
    /// One end of a connection hears that it is gone.
    Gone(usize, usize),
    /// Bytes reach one end of a connection.
    Deliver(usize, usize, Rc<[u8]>),
    /// One end of a connection may send again.
    Pump(usize, usize),
    /// A machine handles what waits.
    Turn(usize, u32),
    /// The oldest commit of a machine is durable.
    Durable(usize, u32),
    /// A machine's timer.
    Tick(usize, u32),
    /// A machine loses power, for so long.
    Crash(usize, u64),
    /// A machine is switched on.
    Boot(usize),
    /// A fault ends.
    Mend(Mend),
    /// Users and fate do something.
    Act,
    /// A user wants something.
    Wish(usize, Wish),
    /// A dishonest party sends its next frame.
    Attack(usize),
}

/// Where the run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Users write, things fail.
    Faults,
    /// Nothing fails any more.
    Healing,
    /// Everything has converged; only comparisons are left.
    Agreed,
}

/// The streams of choices.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) net: Rng,
    pub(super) disk: Rng,
    pub(super) acts: Rng,
    pub(super) write: Rng,
    pub(super) attack: Rng,
}

/// Remembers what was verified: the same bytes reach many machines, and the check depends on the bytes
/// alone.
#[derive(Debug, Default)]
pub(super) struct Verifier(BTreeMap<Hash, Entry>);

impl Verifier {
    pub(super) fn verify(&mut self, bytes: Vec<u8>) -> Result<Entry, EntryError> {
        let id = Hash::of(&bytes);
        if let Some(entry) = self.0.get(&id) {
            return Ok(entry.clone());
        }
        let entry = Entry::verify(bytes)?;
        self.0.insert(id, entry.clone());
        Ok(entry)
    }
}

/// Everything of one run.
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) options: Options,
    pub(super) now: u64,
    pub(super) step: u64,
    pub(super) phase: Phase,
    queue: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    pub(super) topology: Topology,
    pub(super) machines: Vec<Machine>,
    pub(super) links: Vec<Link>,
    pub(super) conns: BTreeMap<usize, Conn>,
    pub(super) next_conn: usize,
    pub(super) attackers: Vec<Attacker>,
    pub(super) doubled: BTreeSet<NodeKey>,
    pub(super) backups: BTreeMap<usize, Disk>,
    /// True when this seed has dishonest parties.
    pub(super) hostile: bool,
    /// True when this seed puts a store back from a backup, or clones a node.
    pub(super) doubles: bool,
    pub(super) verifier: Verifier,
    pub(super) rngs: Streams,
    seen: Vec<Seen>,
    invariants: Invariants,
    trace: Hasher,
}

/// How long everything may take to agree once faults have stopped, simulated milliseconds.
const HEAL_MS: u64 = 10 * 60 * 1_000;
/// Most steps it may take.
const HEAL_STEPS: u64 = 400_000;
/// Steps between two checks of everything.
const FULL_CHECK_STEPS: u64 = 400;

impl World {
    /// Draws a world from a seed.
    pub(super) fn new(seed: u64, options: Options) -> Self {
        let topology = Topology::draw(&mut Rng::new(seed, "topology"));
        let mut rngs = Streams {
            net: Rng::new(seed, "network"),
            disk: Rng::new(seed, "disk"),
            acts: Rng::new(seed, "acts"),
            write: Rng::new(seed, "write"),
            attack: Rng::new(seed, "attack"),
        };
        let machines = (0..topology.nodes.len())
            .map(|plan| {
                let disk = Disk::new(new_epoch(&mut rngs.write), options.mutation.disk());
                let mut machine = Machine::new(&topology, plan, disk);
                machine.skew_ms = skew(&mut rngs.acts);
                machine
            })
            .collect();
        let links = topology
            .links
            .iter()
            .map(|plan| Link {
                dialer: plan.dialer,
                acceptor: plan.acceptor,
                cuts: 0,
                enabled: !topology.units[topology.nodes[plan.dialer].unit].late
                    || topology.nodes[plan.dialer].unit == topology.nodes[plan.acceptor].unit,
                current: None,
                delay: rngs.net.between(1, 120),
            })
            .collect();
        let hostile = rngs.acts.chance(35);
        let doubles = rngs.acts.chance(25);
        Self {
            seed,
            options,
            now: 0,
            step: 0,
            phase: Phase::Faults,
            queue: BTreeMap::new(),
            next_event: 0,
            topology,
            machines,
            links,
            conns: BTreeMap::new(),
            next_conn: 0,
            attackers: Vec::new(),
            doubled: BTreeSet::new(),
            backups: BTreeMap::new(),
            hostile,
            doubles,
            verifier: Verifier::default(),
            rngs,
            seen: Vec::new(),
            invariants: Invariants::default(),
            trace: Hasher::new(),
        }
    }

    /// Runs to the end or to the first check that fails.
    pub(super) fn run(mut self) -> Outcome {
        let failure = self.live().err();
        Outcome {
            seed: self.seed,
            steps: self.step,
            simulated_ms: self.now,
            trace: self.trace.finish(),
            failure,
        }
    }

    fn live(&mut self) -> Result<(), Failure> {
        for machine in 0..self.machines.len() {
            self.open(machine);
        }
        self.schedule(10, Event::Act);
        let steps = self
            .options
            .steps
            .unwrap_or_else(|| self.rngs.acts.between(1_000, 3_000));
        while self.step < steps && self.advance()? {
            if self.step.is_multiple_of(FULL_CHECK_STEPS) {
                self.check_everything()?;
            }
        }
        self.heal();
        self.quieten("everything agrees within ten minutes")?;
        self.check_everything()?;
        let checked = self.check(|invariants, view| invariants.converged(view));
        checked?;
        self.compare_again()
    }

    /// Once all agree, every link connects anew: each comparison must end after one message each way.
    fn compare_again(&mut self) -> Result<(), Failure> {
        self.phase = Phase::Agreed;
        let ids: Vec<usize> = self.conns.keys().copied().collect();
        for id in ids {
            self.cut(id);
        }
        let first = self.next_conn;
        self.quieten("a comparison of equals ends")?;
        for (id, conn) in self.conns.range(first..) {
            let [dialer, acceptor] = [conn.ends[0].sent, conn.ends[1].sent];
            // Two servers of one unit do not tell each other the receipts that each has collected,
            // so each may know one more to give.
            let acceptors = match conn.ends[1].party {
                Party::Machine(machine, _) => self.servers_of(machine),
                Party::Attacker(_) => 0,
            };
            if acceptors > 1 {
                continue;
            }
            if dialer != 2 || acceptor != 2 {
                let what =
                    format!("connection {id}: {dialer} and {acceptor} messages between equals");
                return Err(self.failure("equals say so in one exchange", what));
            }
        }
        Ok(())
    }

    fn servers_of(&self, machine: usize) -> usize {
        let unit = self.machines[machine].unit;
        self.machines
            .iter()
            .filter(|other| other.unit == unit && !other.retired)
            .count()
    }

    /// Runs until nothing is left to do.
    fn quieten(&mut self, check: &'static str) -> Result<(), Failure> {
        let (end, steps) = (self.now + HEAL_MS, self.step + HEAL_STEPS);
        while self.advance()? {
            if self.now > end || self.step > steps {
                let left: Vec<String> = self
                    .queue
                    .values()
                    .take(5)
                    .map(|event| format!("{event:?}"))
                    .collect();
                let what = format!(
                    "{} events wait, first {}",
                    self.queue.len(),
                    left.join(", ")
                );
                return Err(self.failure(check, what));
            }
        }
        Ok(())
    }

    /// Takes one step; false when nothing is left to happen.
    fn advance(&mut self) -> Result<bool, Failure> {
        let Some(((at, number), event)) = self.queue.pop_first() else {
            return Ok(false);
        };
        self.now = at;
        self.step += 1;
        self.trace.update(&at.to_be_bytes());
        self.trace.update(&number.to_be_bytes());
        if let Event::Deliver(_, _, bytes) = &event {
            self.trace.update(bytes);
        }
        let done = self.happen(event);
        done.map_err(|what| self.failure("the driver is never misused", what))?;
        let seen = std::mem::take(&mut self.seen);
        self.check(|invariants, view| invariants.step(view, &seen))?;
        Ok(true)
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Dial(link) => self.dial(link),
            Event::Connected(id, side) => self.connected(id, side),
            Event::Gone(id, side) => self.gone(id, side),
            Event::Deliver(id, side, bytes) => self.deliver(id, side, bytes),
            Event::Pump(id, side) => {
                let end = self
                    .conns
                    .get(&id)
                    .map(|conn| (conn.ends[side].party, &conn.ends[side]));
                if let Some((Party::Machine(machine, incarnation), end)) = end
                    && self.machines[machine].incarnation == incarnation
                {
                    return self.pump(machine, end.session);
                }
            }
            Event::Turn(machine, incarnation) if self.runs(machine, incarnation) => {
                return self.turn(machine);
            }
            Event::Durable(machine, incarnation) if self.runs(machine, incarnation) => {
                return self.durable(machine);
            }
            Event::Tick(machine, incarnation) if self.runs(machine, incarnation) => {
                return self.tick(machine);
            }
            Event::Turn(..) | Event::Durable(..) | Event::Tick(..) => {}
            Event::Crash(machine, lasts) => self.crash(machine, lasts),
            Event::Boot(machine) => {
                if !self.machines[machine].is_up() && !self.machines[machine].retired {
                    self.open(machine);
                }
            }
            Event::Mend(mend) => self.mend(mend),
            Event::Act => {
                if self.phase == Phase::Faults {
                    self.act();
                }
            }
            Event::Wish(machine, wish) => {
                if self.machines[machine].is_up() {
                    self.enqueue(machine, Input::Write(wish));
                }
            }
            Event::Attack(attacker) => self.attack(attacker),
        }
        Ok(())
    }

    fn runs(&self, machine: usize, incarnation: u32) -> bool {
        self.machines[machine].is_up() && self.machines[machine].incarnation == incarnation
    }

    /// Plans an event.
    pub(super) fn schedule(&mut self, wait: u64, event: Event) {
        self.queue.insert((self.now + wait, self.next_event), event);
        self.next_event += 1;
    }

    /// Drops what fate had planned: the ends of faults, boots and attacks.
    pub(super) fn forget_plans(&mut self) {
        self.queue.retain(|_, event| {
            !matches!(
                event,
                Event::Mend(_) | Event::Crash(..) | Event::Boot(_) | Event::Act | Event::Attack(_)
            )
        });
    }

    /// Notes what happened, for the checks at the end of the step.
    pub(super) fn tell(&mut self, seen: Seen) {
        self.seen.push(seen);
    }

    /// Whoever stands above others tells them its certificate first, for its receipts name it.
    pub(super) fn introduce(&mut self, machine: usize) {
        let state = &self.machines[machine];
        let above = self
            .topology
            .units
            .iter()
            .any(|below| below.parent == Some(state.unit));
        let introduced = state.disk.states.values().any(|log| {
            log.key.author == state.node
                && log.key.reach == Reach::Below
                && log.key.period.is_none()
        });
        if above && !introduced {
            let wish = Wish::Statements {
                reach: Reach::Below,
                sizes: vec![100],
            };
            self.schedule(1, Event::Wish(machine, wish));
        }
    }

    /// Opens a machine's store and dials from it and to it.
    pub(super) fn open(&mut self, machine: usize) {
        let drops = self.options.mutation == Mutation::DropParts && machine == 0;
        let weakness = self.options.mutation.weakness();
        self.machines[machine].open(&self.topology, self.now, weakness, drops);
        self.tell(Seen::Opened { machine });
        self.introduce(machine);
        for index in 0..self.links.len() {
            if self.links[index].dialer == machine || self.links[index].acceptor == machine {
                let wait = self.rngs.net.between(10, 3_000);
                self.schedule(wait, Event::Dial(index));
            }
        }
    }

    fn check_everything(&mut self) -> Result<(), Failure> {
        self.check(|invariants, view| invariants.quiet(view))
    }

    fn check(
        &mut self,
        check: impl FnOnce(&mut Invariants, &View<'_>) -> Result<(), (&'static str, Broken)>,
    ) -> Result<(), Failure> {
        let view = View {
            topology: &self.topology,
            machines: &self.machines,
            now: self.now,
            doubled: &self.doubled,
            attacked: self.hostile,
            agreed: self.phase == Phase::Agreed,
            growing: self.topology.units.iter().any(|unit| unit.late),
        };
        check(&mut self.invariants, &view).map_err(|(name, Broken(what))| self.failure(name, what))
    }

    fn failure(&self, check: &'static str, what: String) -> Failure {
        Failure {
            check,
            step: self.step,
            at_ms: self.now,
            what,
        }
    }
}

/// Draws how wrong a clock is: mostly minutes.
fn skew(rng: &mut Rng) -> i64 {
    let size = if rng.chance(90) {
        10 * 60 * 1_000
    } else {
        20 * 24 * 60 * 60 * 1_000
    };
    i64::try_from(rng.below(2 * size)).unwrap_or(0) - i64::try_from(size).unwrap_or(0)
}
