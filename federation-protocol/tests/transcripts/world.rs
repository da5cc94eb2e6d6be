//! A few replicas over made-up stores and links, driven as the ordering contract demands, with every
//! message written down. After each commit and message it is checked that no entry is lost, that heads
//! are what the store holds, and that nothing is mentioned before it is durable.

// Shared by several test files, each of which uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use federation_protocol::{
    Config, DigestTree, DossierPart, Entry, Hello, LogId, LogState, Message, Output, Part, Period,
    Placed, Placement, Reach, Receipt, Replica, Report, SessionId, Weakness, limits,
};
use keys::{
    Certificate, Chain, Hash, NodeKey, Scope, Secret, Signed, StoreEpoch, Subject, TierName, UnitId,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::store::Store;
use super::words::Words;

/// The first moment of every run, Unix milliseconds.
const BEGIN_MS: u64 = 1_780_000_000_000;
/// What any payload may weigh so that a frame holds it even if it cannot be compressed.
const FRAME_SURE: usize = 256 * 1024 - 1;
/// A run that is not quiet after so many messages never will be.
const MESSAGES_MAX: usize = 20_000;

/// An append that was handed out and is not durable yet.
type Handed = (u64, Vec<Entry>, Vec<LogState>, Vec<Entry>);

/// One node.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) unit: UnitId,
    pub(crate) replica: Replica,
    pub(crate) store: Store,
    secret: Secret,
    chain: Chain,
    epoch: StoreEpoch,
    root: keys::UnitKey,
    wake: BTreeSet<SessionId>,
    next_session: u64,
    /// The disk is slow: commits wait.
    pub(crate) held: bool,
    handed: VecDeque<Handed>,
    /// Units whose roster this node has not seen.
    unplaced: BTreeSet<UnitId>,
    pub(crate) reports: Vec<Report>,
}

/// One connection. Side 0 dialled.
struct Link {
    ends: [(String, SessionId); 2],
    /// What is under way to each side.
    under_way: [VecDeque<Vec<u8>>; 2],
    closed_by: Option<usize>,
    bytes: [usize; 2],
    messages: [usize; 2],
    bends: [VecDeque<Bend>; 2],
}

/// What happens to the next message of one side on its way.
pub(crate) enum Bend {
    /// The hello speaks of other versions.
    Version(u8, u8),
    /// The hello names the root of another federation's unit.
    Root(String),
    /// The hello carries the chain of another node.
    Chain(String),
    /// A bit of the last byte is turned over.
    Garble,
    /// It is replaced by another message.
    Instead(Message),
}

/// All nodes, units and links of one run.
pub(crate) struct World {
    pub(crate) now_ms: u64,
    pub(crate) nodes: BTreeMap<String, Node>,
    units: BTreeMap<UnitId, Placed>,
    links: Vec<Link>,
    rng: ChaCha20Rng,
    pub(crate) words: Words,
    pub(crate) trace: Vec<String>,
    /// Who appended what in the last line of the trace.
    appended: Option<(String, usize, Vec<Entry>)>,
    tiers: Vec<TierName>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now_ms: BEGIN_MS,
            nodes: BTreeMap::new(),
            units: BTreeMap::new(),
            links: Vec::new(),
            rng: ChaCha20Rng::seed_from_u64(seed),
            words: Words::default(),
            trace: Vec::new(),
            appended: None,
            tiers: ["school", "district", "city"]
                .map(|tier| tier.parse().unwrap())
                .to_vec(),
        }
    }

    /// Adds a node; its unit is placed under `parent`, or is the root.
    pub(crate) fn add_node(&mut self, name: &str, unit: &str, tier: &str, parent: Option<&str>) {
        let unit: UnitId = unit.parse().unwrap();
        let placed = Placed {
            parent: parent.map(|parent| parent.parse().unwrap()),
            tier: tier.parse().unwrap(),
        };
        let known = self.units.insert(unit.clone(), placed.clone());
        assert!(
            known.is_none_or(|known| known == placed),
            "{unit} stands elsewhere"
        );
        let secret = node_secret(name);
        let chain = self.chain(&unit, &secret);
        self.words.name_key(secret.node_key(), name);
        let epoch = StoreEpoch::generate(&mut self.rng);
        let root = unit_secret(self.root_unit().as_str()).unit_key();
        self.words
            .name_text(&root.to_string(), &format!("<root {}>", self.root_unit()));
        self.open(name, unit, secret, chain, epoch, root, Store::default());
        self.place_all();
    }

    /// Places a unit without any node of it.
    pub(crate) fn add_unit(&mut self, unit: &str, tier: &str, parent: &str) {
        let parent = Some(parent.parse().unwrap());
        self.units.insert(
            unit.parse().unwrap(),
            Placed {
                parent,
                tier: tier.parse().unwrap(),
            },
        );
    }

    /// Tells every node of units that were added without a node.
    pub(crate) fn place_again(&mut self) {
        self.place_all();
    }

    /// Adds a node with a copy of another's key, epoch and store: what a copied disk image is.
    pub(crate) fn clone_node(&mut self, name: &str, of: &str) {
        let node = &self.nodes[of];
        let (unit, secret, chain) = (
            node.unit.clone(),
            node.secret.duplicate(),
            node.chain.clone(),
        );
        let (epoch, root, store) = (node.epoch, node.root, node.store.clone());
        self.open(name, unit, secret, chain, epoch, root, store);
        self.place_all();
    }

    /// Stops a node and opens it again from what it stored; links are gone.
    pub(crate) fn restart(&mut self, name: &str, store: Option<Store>) {
        self.cut_all(name);
        let node = self.nodes.remove(name).expect("a known node");
        let store = store.unwrap_or(node.store);
        self.open(
            name,
            node.unit,
            node.secret,
            node.chain,
            node.epoch,
            node.root,
            store,
        );
        self.nodes.get_mut(name).unwrap().unplaced = node.unplaced;
        self.nodes.get_mut(name).unwrap().next_session = node.next_session;
        self.place_all();
    }

    #[allow(clippy::too_many_arguments)]
    fn open(
        &mut self,
        name: &str,
        unit: UnitId,
        secret: Secret,
        chain: Chain,
        epoch: StoreEpoch,
        root: keys::UnitKey,
        store: Store,
    ) {
        let config = Config {
            secret: secret.duplicate(),
            chain: chain.clone(),
            root,
            epoch,
            software: "transcript".to_owned(),
            weakness: Weakness::default(),
        };
        let mut replica = Replica::new(config, self.placement(&BTreeSet::new())).unwrap();
        for state in store.states.values() {
            replica.restore_log(state.clone());
        }
        for bytes in store.entries.values() {
            replica.restore_entry(&Entry::verify(bytes.clone()).unwrap());
        }
        for bytes in store.receipts.values() {
            replica.restore_receipt(bytes.clone());
        }
        let node = Node {
            name: name.to_owned(),
            unit,
            replica,
            store,
            secret,
            chain,
            epoch,
            root,
            wake: BTreeSet::new(),
            next_session: 1,
            held: false,
            handed: VecDeque::new(),
            unplaced: BTreeSet::new(),
            reports: Vec::new(),
        };
        self.nodes.insert(name.to_owned(), node);
    }

    /// Lets a node go on under a new store epoch.
    pub(crate) fn renew(&mut self, name: &str) {
        let epoch = StoreEpoch::generate(&mut self.rng);
        let node = self.nodes.get_mut(name).unwrap();
        node.epoch = epoch;
        node.replica.renew_epoch(epoch);
        self.drain(name);
    }

    /// Makes a node one of another federation: another root key has signed its chain.
    pub(crate) fn estrange(&mut self, name: &str) {
        let node = self.nodes.remove(name).expect("a known node");
        let root = Secret::from_seed(*Hash::of(b"another root").as_bytes());
        self.words
            .name_text(&root.unit_key().to_string(), "<another root>");
        let certificate = self.certificate(&node.unit, Subject::Node(node.secret.node_key()));
        let chain = Chain::new(vec![Signed::sign(&certificate, &root)]).unwrap();
        self.open(
            name,
            node.unit,
            node.secret,
            chain,
            node.epoch,
            root.unit_key(),
            node.store,
        );
        self.place_all();
    }

    /// Returns the chain that the units above certify for a key.
    pub(crate) fn chain(&self, unit: &UnitId, secret: &Secret) -> Chain {
        let node = self.certificate(unit, Subject::Node(secret.node_key()));
        let mut certificates = vec![Signed::sign(&node, &unit_secret(unit.as_str()))];
        let mut at = unit.clone();
        while let Some(parent) = self.units[&at].parent.clone() {
            let key = unit_secret(at.as_str()).unit_key();
            let mut certificate = self.certificate(&at, Subject::Unit(key));
            certificate.issuer = parent.clone();
            certificates.push(Signed::sign(&certificate, &unit_secret(parent.as_str())));
            at = parent;
        }
        Chain::new(certificates).unwrap()
    }

    /// Signs with one unit's key that another node may speak for that unit; as a statement part.
    pub(crate) fn claim_part(&self, unit: &str, node: &str) -> Part {
        let unit: UnitId = unit.parse().unwrap();
        let mut chain = self
            .chain(&unit, &node_secret(node))
            .certificates()
            .to_vec();
        let mut certificate = self.certificate(&unit, Subject::Node(node_secret(node).node_key()));
        certificate.not_after += 1;
        chain[0] = Signed::sign(&certificate, &unit_secret(unit.as_str()));
        let bytes = Chain::new(chain).unwrap().to_bytes();
        Part::Statement {
            domain: federation_protocol::CHAIN_TAG.to_owned(),
            bytes,
        }
    }

    fn certificate(&self, unit: &UnitId, subject: Subject) -> Certificate {
        Certificate {
            subject,
            unit: unit.clone(),
            tier: self.units[unit].tier.clone(),
            name: format!("unit {unit}"),
            issuer: unit.clone(),
            scope: Scope::full(),
            not_before: BEGIN_MS - 1_000_000,
            not_after: BEGIN_MS + 100_000_000_000,
            nonce: [7; 16],
        }
    }

    fn root_unit(&self) -> &UnitId {
        let root = self
            .units
            .iter()
            .find(|(_, placed)| placed.parent.is_none());
        root.expect("the first unit is the root").0
    }

    pub(crate) fn placement(&self, without: &BTreeSet<UnitId>) -> Placement {
        let mut units = self.units.clone();
        units.retain(|unit, _| !without.contains(unit));
        Placement {
            root: self.root_unit().clone(),
            units,
            tiers: self.tiers.clone(),
        }
    }

    fn place_all(&mut self) {
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        for name in names {
            let placement = self.placement(&self.nodes[&name].unplaced);
            self.nodes
                .get_mut(&name)
                .unwrap()
                .replica
                .set_placement(placement);
            self.drain(&name);
        }
    }

    /// Takes the roster of a unit from a node, or gives it back.
    pub(crate) fn place(&mut self, name: &str, without: Option<&str>) {
        let node = self.nodes.get_mut(name).unwrap();
        node.unplaced = without
            .map(|unit| unit.parse().unwrap())
            .into_iter()
            .collect();
        self.place_all();
    }

    /// Connects two nodes; the first dials. With `proven` the second sees another key than it should.
    pub(crate) fn link(&mut self, a: &str, b: &str, proven: Option<NodeKey>) {
        let ends = [a, b].map(|name| {
            let node = self.nodes.get_mut(name).unwrap();
            let session = SessionId(node.next_session);
            node.next_session += 1;
            (name.to_owned(), session)
        });
        let keys = [proven.unwrap_or(self.key(a)), self.key(b)];
        let sessions = [ends[0].1, ends[1].1];
        self.links.push(Link {
            ends,
            under_way: Default::default(),
            closed_by: None,
            bytes: [0; 2],
            messages: [0; 2],
            bends: Default::default(),
        });
        for (name, session, key) in [(a, sessions[0], keys[1]), (b, sessions[1], keys[0])] {
            let now_ms = self.now_ms;
            self.nodes
                .get_mut(name)
                .unwrap()
                .replica
                .handle_link_up(now_ms, session, key);
            self.drain(name);
        }
    }

    /// Bends the next message from `a` to `b`.
    pub(crate) fn bend(&mut self, a: &str, b: &str, bend: Bend) {
        let (link, from) = self.find(a, b);
        self.links[link].bends[from].push_back(bend);
    }

    fn key(&self, name: &str) -> NodeKey {
        self.nodes[name].secret.node_key()
    }

    fn find(&self, a: &str, b: &str) -> (usize, usize) {
        for (at, link) in self.links.iter().enumerate().rev() {
            let names = [link.ends[0].0.as_str(), link.ends[1].0.as_str()];
            if names == [a, b] {
                return (at, 0);
            }
            if names == [b, a] {
                return (at, 1);
            }
        }
        panic!("no link between {a} and {b}");
    }

    pub(crate) fn is_linked(&self, a: &str, b: &str) -> bool {
        self.links
            .iter()
            .any(|link| link.ends.iter().all(|(name, _)| name == a || name == b))
    }

    /// Returns payload bytes and messages that went from `a` to `b` over their link.
    pub(crate) fn traffic(&self, a: &str, b: &str) -> (usize, usize) {
        let (link, from) = self.find(a, b);
        (
            self.links[link].bytes[from],
            self.links[link].messages[from],
        )
    }

    /// Cuts a link; what was under way is lost.
    pub(crate) fn cut(&mut self, a: &str, b: &str) {
        let (link, _) = self.find(a, b);
        self.cut_link(link);
    }

    fn cut_link(&mut self, at: usize) {
        let link = self.links.remove(at);
        for (name, session) in link.ends {
            let node = self.nodes.get_mut(&name).unwrap();
            node.replica.handle_link_down(session);
            node.wake.remove(&session);
            self.drain(&name);
        }
    }

    pub(crate) fn cut_all(&mut self, name: &str) {
        while let Some(at) = self
            .links
            .iter()
            .position(|link| link.ends.iter().any(|(end, _)| end == name))
        {
            self.cut_link(at);
        }
    }

    /// Writes entries at a node.
    pub(crate) fn write(
        &mut self,
        name: &str,
        reach: Reach,
        period: Option<Period>,
        parts: Vec<Part>,
    ) -> Result<(), federation_protocol::WriteError> {
        self.now_ms += 1;
        let node = self.nodes.get_mut(name).unwrap();
        node.replica
            .write(self.now_ms, reach, period, parts, &mut self.rng)?;
        self.drain(name);
        Ok(())
    }

    /// Returns a part with a text, as large as asked for.
    pub(crate) fn part(reach: &Reach, period: Option<Period>, text: &str, size: usize) -> Part {
        let mut bytes = text.as_bytes().to_vec();
        // Bytes that do not compress, so that sizes are honest.
        let mut block = Hash::of(text.as_bytes());
        while bytes.len() < size {
            bytes.extend_from_slice(block.as_bytes());
            block = Hash::of(block.as_bytes());
        }
        if *reach == Reach::Below || period.is_none() {
            Part::Statement {
                domain: "sanji/1/kind".to_owned(),
                bytes,
            }
        } else {
            let subject = format!("S{}", text.len());
            Part::Dossier(DossierPart {
                subject,
                secret: None,
                change: bytes,
            })
        }
    }

    /// Lets everything happen that can, at most so many messages; returns how many there were.
    pub(crate) fn stabilize(&mut self, messages_max: Option<usize>) -> usize {
        let mut delivered = 0;
        loop {
            let limit = messages_max.unwrap_or(MESSAGES_MAX);
            if delivered >= limit {
                assert!(
                    messages_max.is_some(),
                    "never quiet: {:#?}",
                    self.last_lines()
                );
                break;
            }
            if self.transmit() || self.close_ended() {
                continue;
            }
            if let Some((link, to)) = self.next_under_way() {
                self.deliver(link, to);
                delivered += 1;
                continue;
            }
            if !self.tick() {
                break;
            }
        }
        self.check();
        delivered
    }

    fn last_lines(&self) -> Vec<String> {
        self.trace.iter().rev().take(40).rev().cloned().collect()
    }

    /// Gives every woken session room for its next message.
    fn transmit(&mut self) -> bool {
        let mut any = false;
        for at in 0..self.links.len() {
            for from in 0..2 {
                let (name, session) = self.links[at].ends[from].clone();
                let node = self.nodes.get_mut(&name).unwrap();
                if !node.wake.contains(&session) {
                    continue;
                }
                // One message at a time: the line takes no more.
                if !self.links[at].under_way[1 - from].is_empty() {
                    continue;
                }
                match node.replica.poll_transmit(session, &node.store).unwrap() {
                    Some(message) => {
                        any = true;
                        self.check_mentions(&name, &message);
                        self.send(at, from, &message);
                        if !self.nodes[&name].replica.has_output(session) {
                            self.nodes.get_mut(&name).unwrap().wake.remove(&session);
                        }
                    }
                    None => {
                        let quiet = !node.replica.has_output(session);
                        assert!(quiet, "{name} has something to send and gives nothing");
                        node.wake.remove(&session);
                    }
                }
                self.drain(&name);
            }
        }
        any
    }

    fn send(&mut self, at: usize, from: usize, message: &Message) {
        let mut bytes = message.to_bytes();
        assert!(
            bytes.len() <= FRAME_SURE,
            "{} bytes do not fit a frame",
            bytes.len()
        );
        assert_eq!(
            Message::from_bytes(&bytes).as_ref(),
            Ok(message),
            "what we send can be read"
        );
        if matches!(message, Message::Hello(_)) {
            assert!(bytes.len() <= limits::HELLO_SIZE_MAX);
        }
        let mut note = "";
        if let Some(bend) = self.links[at].bends[from].pop_front() {
            bytes = self.bent(message, bend);
            note = " (bent)";
        }
        let link = &mut self.links[at];
        link.bytes[from] += bytes.len();
        link.messages[from] += 1;
        let names = (link.ends[from].0.clone(), link.ends[1 - from].0.clone());
        link.under_way[1 - from].push_back(bytes.clone());
        let said = match Message::from_bytes(&bytes) {
            Ok(message) => self.words.message(&message),
            Err(_) => "bytes that are no message".to_owned(),
        };
        self.trace
            .push(format!("{} -> {}  {said}{note}", names.0, names.1));
    }

    /// Hands a node a message that its peer never sent, as a hostile peer would.
    pub(crate) fn inject(&mut self, from: &str, to: &str, message: &Message) {
        let (link, side) = self.find(from, to);
        self.links[link].under_way[1 - side].push_front(message.to_bytes());
        self.deliver(link, 1 - side);
    }

    fn bent(&self, message: &Message, bend: Bend) -> Vec<u8> {
        let hello = |change: &dyn Fn(&mut Hello)| {
            let Message::Hello(hello) = message else {
                panic!("the next message is no hello")
            };
            let mut hello = hello.clone();
            change(&mut hello);
            Message::Hello(hello).to_bytes()
        };
        match bend {
            Bend::Version(min, max) => {
                hello(&|hello| (hello.version_min, hello.version) = (min, max))
            }
            Bend::Root(unit) => hello(&|hello| hello.root = unit_secret(&unit).unit_key()),
            Bend::Chain(name) => hello(&|hello| {
                hello.chain = self.nodes[&name].chain.to_bytes().into();
            }),
            Bend::Garble => {
                let mut bytes = message.to_bytes();
                *bytes.last_mut().unwrap() ^= 0xff;
                bytes.push(0);
                bytes
            }
            Bend::Instead(other) => other.to_bytes(),
        }
    }

    fn next_under_way(&self) -> Option<(usize, usize)> {
        (0..self.links.len())
            .flat_map(|link| [(link, 1), (link, 0)])
            .find(|(link, to)| !self.links[*link].under_way[*to].is_empty())
    }

    fn deliver(&mut self, at: usize, to: usize) {
        self.now_ms += 1;
        let bytes = self.links[at].under_way[to]
            .pop_front()
            .expect("something is under way");
        let (name, session) = self.links[at].ends[to].clone();
        let node = self.nodes.get_mut(&name).unwrap();
        let checked = Message::from_bytes(&bytes).and_then(|mut message| {
            let (entries, _) = message.take_entries()?;
            Ok((message, entries))
        });
        match checked {
            Ok((message, entries)) => node
                .replica
                .handle_message(self.now_ms, session, message, entries, &node.store)
                .unwrap(),
            Err(reason) => node.replica.handle_misbehaved(session, &reason),
        }
        self.drain(&name);
    }

    /// Takes down links that one side has closed, once the last words have arrived.
    fn close_ended(&mut self) -> bool {
        let ended = self.links.iter().position(|link| {
            link.closed_by
                .is_some_and(|side| link.under_way[1 - side].is_empty())
        });
        let Some(at) = ended else { return false };
        let names = [&self.links[at].ends[0].0, &self.links[at].ends[1].0];
        self.trace
            .push(format!("{} -- {}  link is gone", names[0], names[1]));
        self.cut_link(at);
        true
    }

    /// Moves time to the next thing that waits for it, if that is near.
    fn tick(&mut self) -> bool {
        let due = self
            .nodes
            .values()
            .filter_map(|node| node.replica.next_tick_ms())
            .min();
        let Some(due) = due else { return false };
        self.now_ms = self.now_ms.max(due);
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        for name in names {
            let node = self.nodes.get_mut(&name).unwrap();
            node.replica.handle_tick(self.now_ms);
            self.drain(&name);
        }
        true
    }

    /// Commits what waits on a slow disk.
    pub(crate) fn release(&mut self, name: &str) {
        self.nodes.get_mut(name).unwrap().held = false;
        self.drain(name);
    }

    /// Does what a replica asks for, in the order it asks: append, commit, and only then the rest.
    fn drain(&mut self, name: &str) {
        loop {
            let node = self.nodes.get_mut(name).unwrap();
            if let Some(output) = node.replica.poll() {
                self.on_output(name, output);
            } else if !node.held
                && let Some(handed) = node.handed.pop_front()
            {
                self.commit(name, handed);
            } else {
                break;
            }
        }
        let node = &self.nodes[name];
        for (end, session) in self.links.iter().flat_map(|link| &link.ends) {
            let silent = end == name && !node.wake.contains(session);
            assert!(
                !silent || !node.replica.has_output(*session),
                "{name} has something to send and did not say so"
            );
        }
    }

    fn on_output(&mut self, name: &str, output: Output) {
        match output {
            Output::Append {
                number,
                entries,
                states,
                evidence,
            } => {
                let node = self.nodes.get_mut(name).unwrap();
                node.handed.push_back((number, entries, states, evidence));
            }
            Output::Appended { .. } => {}
            Output::Wake { session } => {
                self.nodes.get_mut(name).unwrap().wake.insert(session);
            }
            Output::Close {
                session,
                last,
                misbehaved,
                reason,
            } => {
                let end = (name.to_owned(), session);
                let found = self.links.iter().enumerate().find_map(|(at, link)| {
                    link.ends
                        .iter()
                        .position(|other| *other == end)
                        .map(|side| (at, side))
                });
                let why = if misbehaved {
                    "misbehaviour"
                } else {
                    "refusal"
                };
                let said = self.words.plain(&reason);
                self.trace.push(format!("{name} closes, {why}: {said}"));
                let Some((at, side)) = found else { return };
                // Nothing but the last words follows.
                self.links[at].under_way[side].clear();
                if let Some(last) = last
                    && self.links[at].closed_by.is_none()
                {
                    self.send(at, side, &last);
                }
                self.links[at].closed_by.get_or_insert(side);
            }
            Output::KeepReceipt {
                issuer,
                unit,
                bytes,
            } => {
                let receipt = Signed::<Receipt>::from_bytes(bytes.clone()).unwrap();
                let receipt = receipt.verify().unwrap().into_value();
                let said = self.words.receipt(&receipt);
                self.trace.push(format!("{name} keeps {said}"));
                let node = self.nodes.get_mut(name).unwrap();
                node.store.receipts.insert((issuer, unit), bytes);
            }
            Output::Report(report) => {
                let said = self.words.report(&report);
                self.trace.push(format!("{name} reports {said}"));
                self.nodes.get_mut(name).unwrap().reports.push(report);
            }
            _ => panic!("an output this world does not know"),
        }
    }

    fn commit(&mut self, name: &str, (number, entries, states, evidence): Handed) {
        let node = self.nodes.get_mut(name).unwrap();
        for entry in &entries {
            self.words.name_log(entry);
            let place = (entry.log(), entry.seq_num());
            let before = node.store.entries.insert(place, entry.bytes().to_vec());
            assert!(
                before.is_none(),
                "{name} appends an entry twice or over another"
            );
            node.store.hashes.insert(place, entry.hash());
            node.store.bytes.insert(Hash::of(entry.bytes()));
        }
        for entry in &evidence {
            let place = (entry.log(), entry.seq_num());
            let held = node
                .store
                .entries
                .get(&place)
                .expect("evidence stands beside an entry");
            assert_ne!(
                held,
                entry.bytes(),
                "evidence is another entry than the one held"
            );
            node.store.evidence.insert(place, entry.bytes().to_vec());
        }
        for state in states {
            node.store.states.insert(state.key.id(), state);
        }
        self.tell_appended(name, &entries);
        self.now_ms += 1;
        let node = self.nodes.get_mut(name).unwrap();
        node.replica.handle_committed(self.now_ms, number).unwrap();
        let touched: BTreeSet<LogId> = entries
            .iter()
            .chain(&evidence)
            .map(federation_protocol::Entry::log)
            .collect();
        self.check_logs(name, touched.into_iter());
    }

    /// Writes appended entries down, one line for those that follow each other.
    fn tell_appended(&mut self, name: &str, entries: &[Entry]) {
        if entries.is_empty() {
            return;
        }
        let last = std::mem::take(&mut self.appended);
        let again = last
            .as_ref()
            .is_some_and(|(who, lines, _)| who == name && *lines == self.trace.len());
        let mut all = if again {
            last.map(|(.., entries)| entries).unwrap_or_default()
        } else {
            Vec::new()
        };
        if again {
            self.trace.pop();
        }
        all.extend_from_slice(entries);
        let said = self.words.entries(&all);
        self.trace.push(format!("{name} appends {said}"));
        self.appended = Some((name.to_owned(), self.trace.len(), all));
    }

    /// Nothing that a message mentions may be news to its sender's disk.
    fn check_mentions(&self, name: &str, message: &Message) {
        let store = &self.nodes[name].store;
        match message {
            Message::Entries(entries) => {
                for bytes in entries {
                    assert!(
                        store.bytes.contains(&Hash::of(bytes)),
                        "{name} sends what it holds"
                    );
                }
            }
            Message::Heads(_, _, heads, _) => {
                for head in heads {
                    let state = &store.states[&head.log];
                    assert!(store.entries.contains_key(&(head.log, head.seq_num)));
                    assert_eq!(
                        head.forked, state.forked,
                        "{name} speaks of a fork on its disk"
                    );
                }
            }
            _ => {}
        }
    }

    /// Heads are what the store holds, without a gap.
    fn check_logs(&self, name: &str, logs: impl Iterator<Item = LogId>) {
        let node = &self.nodes[name];
        if !node.handed.is_empty() {
            return;
        }
        for log in logs {
            let state = node.replica.log(log).expect("what is stored is known");
            let stored = &node.store.states[&log];
            assert_eq!(
                stored, &state,
                "{name}: the stored state of a log is its state"
            );
            let head = node.store.hashes.get(&(log, state.head.seq_num));
            assert_eq!(head, Some(&state.head.hash), "{name} holds its heads");
            let held = node.store.entries.range((log, 0)..=(log, u64::MAX)).count() as u64;
            assert_eq!(
                held,
                state.head.seq_num + 1,
                "{name}: no entry is missing or beyond the head"
            );
            if let Some(fork) = state.forked {
                assert!(
                    node.store.evidence.contains_key(&(log, fork)),
                    "{name} can prove the fork"
                );
            }
        }
        assert!(node.replica.queued() <= limits::SESSION_QUEUE_MAX + limits::SESSION_DUE_MAX);
    }

    /// Checks every node, and that no log is where it may not be.
    pub(crate) fn check(&self) {
        let placement = self.placement(&BTreeSet::new());
        for (name, node) in &self.nodes {
            self.check_logs(name, node.store.states.keys().copied());
            if node.handed.is_empty() {
                let logs = node.replica.logs().count();
                assert_eq!(node.store.states.len(), logs, "{name} forgot a log");
            }
            for (_, state) in node.replica.logs() {
                let allowed = placement.travels_to(&state.key, &node.unit);
                assert!(
                    allowed,
                    "{name} holds a log of {} {}",
                    state.key.unit, state.key.reach
                );
            }
        }
    }

    /// Returns the digest of what `name` holds of the logs shared by the units of both nodes.
    pub(crate) fn shared_digest(&self, name: &str, other: &str) -> Hash {
        let placement = self.placement(&BTreeSet::new());
        let (a, b) = (&self.nodes[name].unit, &self.nodes[other].unit);
        let states: Vec<_> = self.nodes[name]
            .replica
            .logs()
            .filter(|(_, state)| placement.shared(&state.key, a, b))
            .collect();
        DigestTree::build(states.iter().map(|(log, state)| (*log, state))).root()
    }
}

/// Returns the secret of a unit: the seed is the hash of its name.
pub(crate) fn unit_secret(unit: &str) -> Secret {
    Secret::from_seed(*Hash::of(format!("unit {unit}").as_bytes()).as_bytes())
}

/// Returns the secret of a node: the seed is the hash of its name.
pub(crate) fn node_secret(name: &str) -> Secret {
    Secret::from_seed(*Hash::of(format!("node {name}").as_bytes()).as_bytes())
}
