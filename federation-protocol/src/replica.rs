//! All state of one node: its logs, its trust, its sessions. `handle_*` in, [`Replica::poll`] out.
//!
//! The replica never waits and never writes: it stages entries, hands them out as
//! [`Output::Append`] and speaks of them only after [`Replica::handle_committed`].

mod accept;
mod compare;
mod receipts;
mod sessions;
mod transmit;

use crate::error::{ApiMisuse, EntryError};
use crate::limits::{ENTRY_PARTS_MAX, ENTRY_SIZE_MAX};
use crate::logs::Logs;
use crate::session::{Awaits, Session};
use crate::{
    CHAIN_TAG, DigestTree, Draft, Entry, Hlc, LogId, LogKey, LogReader, LogState, Message,
    Misbehaved, Output, Part, Period, Phase, Placement, Reach, ReadError, Receipt, Relation,
    Report, SessionId, Trust,
};
use keys::{Chain, Hash, NodeKey, Secret, StoreEpoch, UnitId, UnitKey};
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
    /// A part breaks a limit or a rule of its own.
    #[error(transparent)]
    Entry(#[from] EntryError),
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
    /// When that hello came, by our clock, Unix milliseconds.
    pub hello_ms: u64,
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
    /// Times of other authors' restored entries, adopted once the present is known.
    restored_times: Vec<Hlc>,
    /// The time of the last input, Unix milliseconds.
    now_ms: u64,
    /// The clock that the last hello stated.
    stamp_ms: u64,
    /// Newest receipt by issuer and unit.
    receipts: BTreeMap<(UnitId, UnitId), (Receipt, Vec<u8>)>,
    /// Receipts whose issuer's certificate or unit's place has not come yet.
    receipts_early: BTreeMap<(UnitId, UnitId), Vec<u8>>,
    /// Units whose logs grew since we last gave their holders a receipt.
    unreceipted: BTreeSet<UnitId>,
    receipts_due_ms: Option<u64>,
}

/// What was accepted since the last append went out.
#[derive(Debug, Default)]
struct Staging {
    entries: Vec<Entry>,
    touched: BTreeSet<LogId>,
    evidence: Vec<Entry>,
    /// Forks whose evidence this is, and the session that told us, if it knows already.
    forks: Vec<(LogId, u64, Option<SessionId>)>,
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
            restored_times: Vec::new(),
            now_ms: 0,
            stamp_ms: 0,
            receipts: BTreeMap::new(),
            receipts_early: BTreeMap::new(),
            unreceipted: BTreeSet::new(),
            receipts_due_ms: None,
            config,
        })
    }

    /// Puts a stored log's state back.
    pub fn restore_log(&mut self, state: LogState) {
        if state.key.author == self.me {
            self.hlc = self.hlc.max(state.head.hlc);
        } else {
            self.restored_times.push(state.head.hlc);
        }
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
            self.receipts.insert(
                (receipt.issuer.clone(), receipt.unit.clone()),
                (receipt, bytes),
            );
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

    /// Replaces the placement after a new roster; sessions that share other logs than before compare
    /// again, and logs that had no place are asked for again.
    pub fn set_placement(&mut self, placement: Placement) {
        if self.placement == placement {
            return;
        }
        let live = self.live_sessions();
        let before: Vec<Hash> = live.iter().map(|id| self.shared_root(*id)).collect();
        self.placement = placement;
        for (id, before) in live.into_iter().zip(before) {
            self.order_again(id);
            if self.shared_root(id) != before {
                self.compare_again(id);
            }
            self.ask_again(id, &Awaits::Place);
        }
        self.take_early_receipts();
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
        let within = self
            .logs
            .units()
            .filter(|below| self.placement.is_within(unit, below));
        let states: Vec<_> = within
            .flat_map(|below| self.logs.of_unit(below))
            .filter(|(_, state)| self.placement.travels_to(&state.key, audience))
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
    /// The first entry of a statement log also carries this node's certificate chain. The first write
    /// to a log of a period opens the statement log of the same reach, so that the chain goes wherever
    /// the entries go.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was changed.
    pub fn write(
        &mut self,
        now_ms: u64,
        reach: Reach,
        period: Option<Period>,
        parts: Vec<Part>,
        rng: &mut impl CryptoRng,
    ) -> Result<(u64, Hash), WriteError> {
        self.see_time(now_ms);
        let statements = self.own_key(reach.clone(), None);
        let key = self.own_key(reach, period);
        if self
            .logs
            .next_state(key.id())
            .is_some_and(|state| state.forked.is_some())
        {
            return Err(WriteError::Forked);
        }
        let mut entries = Vec::new();
        if self.logs.newest(statements.id()).is_none() {
            let bytes = self.config.chain.to_bytes();
            let chain = Part::Statement {
                domain: CHAIN_TAG.to_owned(),
                bytes,
            };
            let hlc = self.hlc.tick(now_ms);
            if period.is_none() {
                let mut both = vec![chain.clone()];
                both.extend(parts.iter().cloned());
                if let Ok(entry) = self.draft(statements.clone(), None, hlc, both, rng) {
                    return Ok(self.stage_own(vec![entry]));
                }
            }
            entries.push(self.draft(statements, None, hlc, vec![chain], rng)?);
        }
        let opened = entries.last();
        let head = match opened {
            Some(first) if period.is_none() => Some(first.head()),
            _ => self.logs.newest(key.id()),
        };
        let hlc = opened
            .map_or(self.hlc, |first| first.header().hlc)
            .tick(now_ms);
        entries.push(self.draft(key, head, hlc, parts, rng)?);
        Ok(self.stage_own(entries))
    }

    /// Signs one entry and checks it; changes nothing.
    fn draft(
        &self,
        key: LogKey,
        head: Option<crate::Head>,
        hlc: Hlc,
        parts: Vec<Part>,
        rng: &mut impl CryptoRng,
    ) -> Result<Entry, WriteError> {
        if parts.is_empty() || parts.len() > ENTRY_PARTS_MAX {
            return Err(WriteError::PartCount { count: parts.len() });
        }
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
        Ok(Entry::verify(bytes)?)
    }

    fn stage_own(&mut self, entries: Vec<Entry>) -> (u64, Hash) {
        let mut hash = Hash::of(b"");
        for entry in entries {
            self.hlc = self.hlc.max(entry.header().hlc);
            hash = entry.hash();
            self.stage(entry, None);
        }
        (self.next_append, hash)
    }

    /// Notes the time, and takes over what stored entries said about time.
    fn see_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        for seen in std::mem::take(&mut self.restored_times) {
            self.hlc = self.hlc.adopt(seen, now_ms);
        }
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
        self.see_time(now_ms);
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        session.last_heard_ms = now_ms;
        match (&session.phase, message) {
            (Phase::Closed, _) => {}
            (_, Message::Refused(reason)) => self.close(id, None, false, reason),
            (Phase::AwaitHello, Message::Hello(hello)) => self.on_hello_of(now_ms, id, &hello),
            (Phase::Live, Message::Summary(digest, receipts)) => {
                self.compare_summary(id, digest, receipts);
            }
            (Phase::Live, Message::Digest(path, children)) => {
                self.compare_digest(id, path, children)
            }
            (Phase::Live, Message::Heads(unit, period, heads, answer)) => {
                self.compare_heads(id, &unit, period, &heads, answer, reader)?;
            }
            (Phase::Live, Message::Entries(_)) => self.accept(id, entries, reader)?,
            (Phase::Live, Message::Fork(..)) => self.accept_fork(id, entries, reader)?,
            (Phase::Live, Message::Receipt(bytes)) => self.on_receipt(id, bytes.into()),
            (_, other) => {
                self.punish(id, &Misbehaved::Unexpected { what: other.name() });
            }
        }
        Ok(())
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
        self.see_time(now_ms);
        // Entries staged after this append are not durable yet: the head is the newest of its own.
        let heads: BTreeMap<LogId, _> = staging
            .entries
            .iter()
            .map(|e| (e.log(), e.head()))
            .collect();
        for log in &staging.touched {
            let forks = staging.forks.iter().filter(|(forked, ..)| forked == log);
            let fork = forks.map(|(_, seq_num, _)| *seq_num).min();
            self.logs.commit(*log, heads.get(log).copied(), fork);
            if let Some(key) = self.logs.key(*log) {
                self.unreceipted.insert(key.unit.clone());
            }
        }
        for entry in &staging.entries {
            self.hlc = self.hlc.adopt(entry.header().hlc, now_ms);
        }
        self.offer_new(&staging);
        self.tell_forks(&staging);
        self.schedule_receipts(now_ms);
        self.outputs.push_back(Output::Appended {
            number,
            entries: staging.entries,
        });
        Ok(())
    }

    /// Takes back everything that was staged, because the driver's store refused it before anything was
    /// written (a full disk). Sessions are closed; they compare again when they come back.
    pub fn handle_refused(&mut self, reason: &str) {
        self.staging = Staging::default();
        self.in_flight.clear();
        self.logs.unstage();
        for id in self.live_sessions() {
            self.close(id, None, false, sessions::clip(reason));
        }
    }

    /// Goes on under a new store epoch, which the driver has made durable: own logs begin anew. This is
    /// how a node that was rolled back, or whose own log is forked, can write again. Sessions are
    /// closed; the next hello names the epoch.
    pub fn renew_epoch(&mut self, epoch: StoreEpoch) {
        self.config.epoch = epoch;
        for id in self.live_sessions() {
            self.close(
                id,
                None,
                false,
                "this node's store has a new epoch".to_owned(),
            );
        }
    }

    /// Lets time pass: gives the receipts that are due.
    pub fn handle_tick(&mut self, now_ms: u64) {
        self.see_time(now_ms);
        if self.receipts_due_ms.is_some_and(|due| due <= now_ms) {
            self.receipts_due_ms = None;
            self.give_receipts();
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
            let states = staging
                .touched
                .iter()
                .filter_map(|log| self.logs.next_state(*log))
                .collect();
            let output = Output::Append {
                number,
                entries: staging.entries.clone(),
                states,
                evidence: staging.evidence.clone(),
            };
            self.in_flight.push_back((number, staging));
            return Some(output);
        }
        let output = self.outputs.pop_front()?;
        if let Output::Wake { session } = &output
            && let Some(session) = self.sessions.get_mut(session)
        {
            session.wake_queued = false;
        }
        Some(output)
    }

    /// Returns how many messages and notes wait inside: bounded, see [`crate::limits`].
    pub fn queued(&self) -> usize {
        self.outputs.len()
            + self
                .sessions
                .values()
                .map(Session::waiting)
                .max()
                .unwrap_or(0)
    }

    fn report(&mut self, report: Report) {
        self.outputs.push_back(Output::Report(report));
    }
}
