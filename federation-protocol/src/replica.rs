//! All state of one node: its logs, its trust, its sessions. `handle_*` in, [`Replica::poll`] out.
//!
//! The replica never waits and never writes: it stages entries, hands them out as
//! [`Output::Append`] and speaks of them only after [`Replica::handle_committed`].

mod accept;
mod compare;
mod receipts;
mod transmit;

use crate::error::ApiMisuse;
use crate::limits::{ENTRY_PARTS_MAX, ENTRY_SIZE_MAX, REASON_SIZE_MAX, SESSIONS_MAX};
use crate::logs::Logs;
use crate::session::Session;
use crate::{
    CHAIN_TAG, DigestTree, Draft, Entry, Hello, Hlc, LogId, LogKey, LogReader, LogState, Message,
    Misbehaved, Output, PROTOCOL_VERSION, Part, Period, Phase, Placement, ReadError, Reach, Receipt,
    Refusal, Relation, Report, SessionId, Trust,
};
use keys::{Chain, NodeKey, Secret, StoreEpoch, UnitId, UnitKey};
use rand_core::CryptoRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a replica is given when it opens.
#[derive(Debug)]
pub struct Config {
    /// The node's signing key.
    pub secret: Secret,
    /// The node's own chain, leaf first.
    pub chain: Chain,
    /// The pinned root.
    pub root: UnitKey,
    /// The epoch of this store.
    pub epoch: StoreEpoch,
    /// The software's name and version, shown to peers; at most 40 bytes.
    pub software: String,
    /// Defences taken out; only simulations ever set one, to prove that a check can fail.
    pub weakness: Weakness,
}

/// Defences that a simulation may take out to see its own check fail. All off in a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weakness {
    /// Offers every log to every peer.
    pub send_beyond_reach: bool,
    /// Takes entries of authors nobody certified for the unit.
    pub accept_uncertified: bool,
    /// Drops evidence of forks.
    pub ignore_forks: bool,
    /// Lets queues grow without end.
    pub unbounded: bool,
}

/// A local write was refused; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The parts do not fit one entry.
    #[error("the parts need {size} bytes, more than one entry holds")]
    TooLarge {
        /// Bytes needed.
        size: usize,
    },
    /// Nothing to write, or too many parts.
    #[error("{count} parts cannot be one entry")]
    PartCount {
        /// Parts given.
        count: usize,
    },
    /// Our own log is forked; it takes nothing more.
    #[error("this node's own log is forked")]
    Forked,
    /// The own key is not certified.
    #[error("this node's certificate chain does not verify: {0}")]
    Chain(#[from] keys::ChainError),
}

/// How a session stands, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// The session.
    pub id: SessionId,
    /// The peer's key.
    pub node: NodeKey,
    /// Its unit, once known.
    pub unit: Option<UnitId>,
    /// What it is to us.
    pub relation: Option<Relation>,
    /// Where the session stands.
    pub phase: Phase,
    /// The peer's software.
    pub software: String,
    /// Entries we still have to send.
    pub to_send: u64,
    /// Entries the peer said it has and we lack.
    pub to_receive: u64,
    /// Whether both sides held the same when they last compared; none while comparing.
    pub compared_equal: Option<bool>,
    /// Entries sent in this session.
    pub entries_sent: u64,
    /// Entries received in this session.
    pub entries_received: u64,
    /// When the peer was last heard, Unix milliseconds.
    pub last_heard_ms: u64,
    /// The peer's clock at its hello, Unix milliseconds.
    pub peer_clock_ms: Option<u64>,
}

/// All logs and sessions of one node; see the crate's ordering contract.
#[derive(Debug)]
pub struct Replica {
    config: Config,
    me: NodeKey,
    unit: UnitId,
    pub(crate) trust: Trust,
    placement: Placement,
    logs: Logs,
    sessions: BTreeMap<SessionId, Session>,
    outputs: VecDeque<Output>,
    staging: Staging,
    in_flight: VecDeque<(u64, Staging)>,
    next_append: u64,
    hlc: Hlc,
    /// Newest receipt by issuer and unit.
    receipts: BTreeMap<(UnitId, UnitId), (Receipt, Vec<u8>)>,
    /// Units whose logs grew since we last gave their holders a receipt.
    unreceipted: BTreeSet<UnitId>,
    receipts_due_ms: Option<u64>,
    /// What to tell sessions once the evidence is durable.
    fork_news: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What was accepted since the last append went out.
#[derive(Debug, Default)]
struct Staging {
    entries: Vec<Entry>,
    touched: BTreeSet<LogId>,
    evidence: Vec<Entry>,
    /// Per entry: the session it came from, none for our own.
    from: Vec<Option<SessionId>>,
    fork_news: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Staging {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.touched.is_empty() && self.evidence.is_empty()
    }
}

impl Replica {
    /// Opens a replica with nothing but its identity; the driver then restores what is stored.
    ///
    /// # Errors
    /// [`WriteError::Chain`] when the node's own chain does not verify against the root.
    pub fn new(config: Config, placement: Placement) -> Result<Self, WriteError> {
        let verified = config.chain.verify(&config.root)?;
        let unit = verified.unit().clone();
        let mut trust = Trust::new(config.root);
        trust.add(&config.chain)?;
        Ok(Self {
            me: config.secret.node_key(),
            unit,
            trust,
            placement,
            logs: Logs::default(),
            sessions: BTreeMap::new(),
            outputs: VecDeque::new(),
            staging: Staging::default(),
            in_flight: VecDeque::new(),
            next_append: 0,
            hlc: Hlc::default(),
            receipts: BTreeMap::new(),
            unreceipted: BTreeSet::new(),
            receipts_due_ms: None,
            fork_news: Vec::new(),
            config,
        })
    }

    /// Puts a stored log's state back.
    pub fn restore_log(&mut self, state: LogState) {
        self.hlc = self.hlc.max(state.head.hlc);
        self.logs.restore(state);
    }

    /// Reads the statements of a stored entry again, as when it was appended.
    pub fn restore_entry(&mut self, entry: &Entry) {
        self.learn(entry);
    }

    /// Puts a stored receipt back; one that does not verify is dropped.
    pub fn restore_receipt(&mut self, bytes: Vec<u8>) {
        if let Ok(signed) = keys::Signed::<Receipt>::from_bytes(bytes.clone())
            && let Ok(verified) = signed.verify()
        {
            let receipt = verified.into_value();
            self.receipts
                .insert((receipt.issuer.clone(), receipt.unit.clone()), (receipt, bytes));
        }
    }

    /// Returns this node's key.
    pub fn node(&self) -> NodeKey {
        self.me
    }

    /// Returns this node's unit.
    pub fn unit(&self) -> &UnitId {
        &self.unit
    }

    /// Returns the certificates known.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Returns where units stand.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Replaces the placement after a new roster; logs that had no place are asked for again.
    pub fn set_placement(&mut self, placement: Placement) {
        if self.placement == placement {
            return;
        }
        self.placement = placement;
        self.ask_again();
        for id in self.live_sessions() {
            self.offer_all(id);
        }
    }

    /// Returns the durable state of every log.
    pub fn logs(&self) -> impl Iterator<Item = (LogId, LogState)> {
        self.logs.all()
    }

    /// Returns the durable state of one log.
    pub fn log(&self, log: LogId) -> Option<LogState> {
        self.logs.durable(log)
    }

    /// Returns the digest tree over the logs of `unit` and below that `audience` may hold.
    pub fn digest(&self, unit: &UnitId, audience: &UnitId) -> DigestTree {
        let states: Vec<_> = self
            .logs
            .all()
            .filter(|(_, state)| {
                self.placement.is_within(unit, &state.key.unit)
                    && self.placement.travels_to(&state.key, audience)
            })
            .collect();
        DigestTree::build(states.iter().map(|(id, state)| (*id, state)))
    }

    /// Returns the key of this node's own log of a reach and period.
    pub fn own_key(&self, reach: Reach, period: Option<Period>) -> LogKey {
        LogKey {
            author: self.me,
            epoch: self.config.epoch,
            unit: self.unit.clone(),
            reach,
            period,
        }
    }

    /// Signs and stages an entry in this node's own log. It is durable, and may be spoken of, when
    /// the append it joins is committed; the number of that append is returned with the entry's hash.
    ///
    /// The first entry of a statement log also carries this node's certificate chain.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was changed.
    pub fn write(
        &mut self,
        now_ms: u64,
        reach: Reach,
        period: Option<Period>,
        mut parts: Vec<Part>,
        rng: &mut impl CryptoRng,
    ) -> Result<(u64, keys::Hash), WriteError> {
        let key = self.own_key(reach, period);
        let log = key.id();
        let head = self.logs.newest(log);
        if self.logs.next_state(log).is_some_and(|state| state.forked.is_some()) {
            return Err(WriteError::Forked);
        }
        if head.is_none() && key.period.is_none() {
            let bytes = self.config.chain.to_bytes();
            parts.insert(0, Part::Statement { domain: CHAIN_TAG.to_owned(), bytes });
        }
        if parts.is_empty() || parts.len() > ENTRY_PARTS_MAX {
            return Err(WriteError::PartCount { count: parts.len() });
        }
        let hlc = self.hlc.tick(now_ms);
        let draft = Draft {
            key,
            seq_num: head.map_or(0, |head| head.seq_num + 1),
            backlink: head.map(|head| head.hash),
            hlc,
            parts,
        };
        let bytes = draft.sign(&self.config.secret, rng);
        let size = bytes.len();
        if size > ENTRY_SIZE_MAX {
            return Err(WriteError::TooLarge { size });
        }
        // Ours walks the same road as a stranger's.
        let entry = Entry::verify(bytes).map_err(|_| WriteError::TooLarge { size })?;
        self.hlc = hlc;
        let hash = entry.hash();
        self.stage(entry, None);
        Ok((self.next_append, hash))
    }

    /// Opens a session over a connection whose peer has proven a key; our hello is queued.
    pub fn handle_link_up(&mut self, now_ms: u64, id: SessionId, proven: NodeKey) {
        let mut session = Session::new(id, proven, now_ms);
        let hello = Message::Hello(Hello {
            version: PROTOCOL_VERSION,
            version_min: PROTOCOL_VERSION,
            root: self.config.root,
            chain: self.config.chain.to_bytes().into(),
            epoch: self.config.epoch,
            clock_ms: now_ms,
            software: self.config.software.clone(),
        });
        let queued = session.push(hello, true);
        debug_assert!(queued, "a new session has room for its hello");
        self.sessions.insert(id, session);
        self.outputs.push_back(Output::Wake { session: id });
        if self.sessions.len() > SESSIONS_MAX {
            self.refuse(id, &Refusal::Full);
        }
    }

    /// Forgets a session whose connection is gone.
    pub fn handle_link_down(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }

    /// Takes a message from a peer. Entries in it were already checked by [`Entry::verify`], in the
    /// driver's reading task, so that checking runs beside this.
    ///
    /// # Errors
    /// [`ReadError`] when the store could not be read: the driver stops. What a peer does wrong is an
    /// output, not an error.
    pub fn handle_message(
        &mut self,
        now_ms: u64,
        id: SessionId,
        message: Message,
        entries: Vec<Entry>,
        reader: &impl LogReader,
    ) -> Result<(), ReadError> {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        session.last_heard_ms = now_ms;
        match (&session.phase, message) {
            (Phase::Closed, _) => {}
            (_, Message::Refused(reason)) => self.close(id, None, false, reason),
            (Phase::AwaitHello, Message::Hello(hello)) => self.on_hello_of(now_ms, id, &hello),
            (Phase::Live, Message::Summary(digest, receipts)) => {
                self.compare_summary(now_ms, id, digest, receipts);
            }
            (Phase::Live, Message::Digest(path, children)) => self.compare_digest(id, &path, children),
            (Phase::Live, Message::Heads(unit, period, heads, answer)) => {
                self.compare_heads(id, &unit, period, &heads, answer, reader)?;
            }
            (Phase::Live, Message::Entries(_)) => self.accept(now_ms, id, entries, reader)?,
            (Phase::Live, Message::Fork(..)) => self.accept_fork(entries),
            (Phase::Live, Message::Receipt(bytes)) => self.take_receipt(id, bytes.into()),
            (_, other) => {
                self.punish(id, &Misbehaved::Unexpected { what: other.name() });
            }
        }
        Ok(())
    }

    /// Closes a session whose peer sent bytes that are no message.
    pub fn handle_misbehaved(&mut self, id: SessionId, reason: &Misbehaved) {
        self.punish(id, reason);
    }

    /// Notes that an append is durable; only now may anything speak of its entries.
    ///
    /// # Errors
    /// [`ApiMisuse::NoAppend`] when that append is not the oldest one handed out.
    pub fn handle_committed(&mut self, now_ms: u64, number: u64) -> Result<(), ApiMisuse> {
        match self.in_flight.front() {
            Some((oldest, _)) if *oldest == number => {}
            _ => return Err(ApiMisuse::NoAppend),
        }
        let (_, staging) = self.in_flight.pop_front().ok_or(ApiMisuse::NoAppend)?;
        for log in &staging.touched {
            // Entries staged after this append are not durable yet: the head is the newest of ours.
            let newest = staging.entries.iter().rev().find(|e| e.log() == *log);
            if let Some(entry) = newest {
                let forked = self.logs.next_state(*log).and_then(|state| state.forked);
                let state = LogState { key: entry.key().clone(), head: entry.head(), forked };
                self.logs.commit(&state);
            }
            if let Some(key) = self.logs.key(*log) {
                self.unreceipted.insert(key.unit.clone());
            }
        }
        for entry in &staging.entries {
            self.hlc = self.hlc.adopt(entry.header().hlc, now_ms);
        }
        self.offer_new(&staging);
        self.fork_news.extend(staging.fork_news);
        self.tell_forks();
        self.schedule_receipts(now_ms);
        self.outputs.push_back(Output::Appended { number, entries: staging.entries });
        Ok(())
    }

    /// Lets time pass: gives the receipts that are due.
    pub fn handle_tick(&mut self, now_ms: u64) {
        if self.receipts_due_ms.is_some_and(|due| due <= now_ms) {
            self.receipts_due_ms = None;
            self.give_receipts(now_ms);
        }
    }

    /// Returns when [`Replica::handle_tick`] has something to do, Unix milliseconds.
    pub fn next_tick_ms(&self) -> Option<u64> {
        self.receipts_due_ms
    }

    /// Returns the next output; drained until none before time passes.
    pub fn poll(&mut self) -> Option<Output> {
        if !self.staging.is_empty() {
            let staging = std::mem::take(&mut self.staging);
            let number = self.next_append;
            self.next_append += 1;
            let states =
                staging.touched.iter().filter_map(|log| self.logs.next_state(*log)).collect();
            let output = Output::Append {
                number,
                entries: staging.entries.clone(),
                states,
                evidence: staging.evidence.clone(),
            };
            self.in_flight.push_back((number, staging));
            return Some(output);
        }
        self.outputs.pop_front()
    }

    /// Returns how every session stands.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.sessions.values().map(|session| self.session_status(session)).collect()
    }

    /// Returns how many messages and notes wait inside: bounded, see [`crate::limits`].
    pub fn queued(&self) -> usize {
        self.outputs.len()
            + self.sessions.values().map(|session| session.queue.len()).max().unwrap_or(0)
    }

    fn session_status(&self, session: &Session) -> SessionStatus {
        let to_send = session
            .ready
            .iter()
            .filter_map(|(_, _, log)| {
                let head = self.logs.durable(*log)?.head.seq_num;
                let next = session.peer_next.get(log).copied().unwrap_or(0);
                Some((head + 1).saturating_sub(next))
            })
            .sum();
        let to_receive = session
            .promised
            .iter()
            .map(|(log, seq)| {
                let have = self.logs.durable(*log).map_or(0, |state| state.head.seq_num + 1);
                (seq + 1).saturating_sub(have)
            })
            .sum();
        SessionStatus {
            id: session.id,
            node: session.proven,
            unit: session.unit().cloned(),
            relation: session.relation,
            phase: session.phase.clone(),
            software: session.software.clone(),
            to_send,
            to_receive,
            compared_equal: session.compared,
            entries_sent: session.entries_sent,
            entries_received: session.entries_received,
            last_heard_ms: session.last_heard_ms,
            peer_clock_ms: session.peer_clock_ms,
        }
    }

    fn on_hello_of(&mut self, now_ms: u64, id: SessionId, hello: &Hello) {
        let Some(session) = self.sessions.get(&id) else { return };
        let proven = session.proven;
        let checked = hello.check(&self.config.root, proven, now_ms);
        let (chain, relation) = match checked.and_then(|chain| {
            let relation = self.relation(&chain)?;
            Ok((chain, relation))
        }) {
            Ok(found) => found,
            Err(refusal) => return self.refuse(id, &refusal),
        };
        // A node that comes back before its old connection timed out takes its own place.
        let older: Vec<_> = self
            .sessions
            .values()
            .filter(|s| s.id != id && s.proven == proven && s.epoch == Some(hello.epoch))
            .map(|s| s.id)
            .collect();
        for old in older {
            self.close(old, None, false, Refusal::Duplicate.to_string());
        }
        let new = self.trust.add(chain.chain()).ok().flatten().is_some();
        if let Some(session) = self.sessions.get_mut(&id) {
            session.peer = Some(chain);
            session.relation = Some(relation);
            session.epoch = Some(hello.epoch);
            session.peer_clock_ms = Some(hello.clock_ms);
            session.software.clone_from(&hello.software);
            session.phase = Phase::Live;
        }
        if new {
            self.ask_again();
        }
        self.begin_compare(id);
    }

    fn relation(&self, peer: &keys::VerifiedChain) -> Result<Relation, Refusal> {
        let unit = peer.unit();
        let ours = self.config.chain.verify(&self.config.root).map_err(Refusal::Chain)?;
        let above = |chain: &keys::VerifiedChain| {
            let mut certificates = chain.certificates().iter().map(keys::Verified::value);
            certificates
                .find(|c| matches!(c.subject, keys::Subject::Unit(_)))
                .map(|c| c.issuer.clone())
        };
        if unit == &self.unit {
            Ok(Relation::Sibling)
        } else if above(peer).as_ref() == Some(&self.unit) {
            Ok(Relation::Child)
        } else if above(&ours).as_ref() == Some(unit) {
            Ok(Relation::Parent)
        } else {
            Err(Refusal::NotRelated { unit: unit.clone() })
        }
    }

    fn live_sessions(&self) -> Vec<SessionId> {
        let live = self.sessions.values().filter(|s| s.phase == Phase::Live);
        live.map(|session| session.id).collect()
    }

    /// Queues a control message for a session and wakes the driver.
    fn send(&mut self, id: SessionId, message: Message) {
        let bounded = !self.config.weakness.unbounded;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.phase == Phase::Closed {
            return;
        }
        if session.push(message, bounded) {
            self.outputs.push_back(Output::Wake { session: id });
        } else {
            self.punish(id, &Misbehaved::NotReading);
        }
    }

    fn refuse(&mut self, id: SessionId, refusal: &Refusal) {
        let reason = clip(&refusal.to_string());
        self.close(id, Some(Message::Refused(reason.clone())), false, reason);
    }

    fn punish(&mut self, id: SessionId, misbehaved: &Misbehaved) {
        let reason = clip(&misbehaved.to_string());
        self.close(id, Some(Message::Refused(reason.clone())), true, reason);
    }

    fn close(&mut self, id: SessionId, last: Option<Message>, misbehaved: bool, reason: String) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.phase == Phase::Closed {
            return;
        }
        session.phase = Phase::Closed;
        session.queue.clear();
        session.ready.clear();
        self.outputs.push_back(Output::Close { session: id, last, misbehaved, reason });
    }

    fn report(&mut self, report: Report) {
        self.outputs.push_back(Output::Report(report));
    }
}

/// Cuts a reason to its limit at a character's edge.
fn clip(reason: &str) -> String {
    let mut end = reason.len().min(REASON_SIZE_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].to_owned()
}
