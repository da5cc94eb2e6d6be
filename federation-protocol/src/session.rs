//! What this node knows of one peer, and what it still has to tell it.

use crate::limits::SESSION_QUEUE_MAX;
use crate::{LogId, LogKey, Message, Period, SessionId, Step};
use keys::{NodeKey, StoreEpoch, UnitId, VerifiedChain};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Where a session stands, named for what it awaits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing but a hello is read.
    AwaitHello,
    /// Both sides know each other and exchange entries.
    Live,
    /// Closed; the driver is told once.
    Closed,
}

/// What the peer's unit is to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// The peer's unit certified ours.
    Parent,
    /// Our unit certified the peer's.
    Child,
    /// Another node of our unit.
    Sibling,
}

/// The order in which logs are sent: statements first, higher units first.
pub(crate) type Turn = (bool, usize, LogId);

/// Something to tell the peer that becomes a message only when there is room for it, so that it says
/// what is true then, and twice the same is once. In the order of sending.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// Evidence of the fork at this position.
    Fork(LogId, u64),
    /// The children of one node of the digest tree.
    Digest(Vec<Step>),
    /// The heads of a unit and period; true asks for the peer's in return.
    Heads(UnitId, Option<Period>, bool),
    /// The receipt of an issuer about a unit.
    Receipt(UnitId, UnitId),
}

/// Why a log was refused for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// The chain of its author.
    Chain(NodeKey),
    /// A place of its unit under which it travels between us.
    Place,
}

/// A log that was refused for now.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) awaits: Awaits,
    pub(crate) key: LogKey,
}

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) proven: NodeKey,
    pub(crate) phase: Phase,
    pub(crate) relation: Option<Relation>,
    pub(crate) peer: Option<VerifiedChain>,
    /// The clock our hello states: different for each session of this process, growing.
    pub(crate) stamp_ms: u64,
    pub(crate) peer_epoch: Option<StoreEpoch>,
    pub(crate) peer_clock_ms: Option<u64>,
    /// When the hello came, by our clock.
    pub(crate) hello_ms: u64,
    pub(crate) software: String,
    /// Control messages, sent before all else.
    pub(crate) queue: VecDeque<Message>,
    /// What is told after them.
    pub(crate) due: BTreeSet<Due>,
    /// Something was due beyond the limit: the session compares again when the rest is told.
    pub(crate) overflowed: bool,
    /// The unit after which receipts are still to be given.
    pub(crate) receipts_after: Option<Option<UnitId>>,
    /// The position the peer needs next, per log we have told it of.
    pub(crate) peer_next: BTreeMap<LogId, u64>,
    /// Logs with entries the peer lacks.
    pub(crate) ready: BTreeSet<Turn>,
    /// Logs refused for want of trust or place; asked for again when that has come.
    pub(crate) refused: BTreeMap<LogId, Refused>,
    /// Logs asked for because entries were missing; not asked for again until one has come.
    pub(crate) asked: BTreeSet<LogId>,
    /// Logs whose refusal was reported.
    pub(crate) reported: BTreeSet<LogId>,
    /// What the peer said it holds beyond what we hold.
    pub(crate) promised: BTreeMap<LogId, u64>,
    /// True once the peer's summary came, and whether it was equal.
    pub(crate) compared: Option<bool>,
    pub(crate) entries_sent: u64,
    pub(crate) entries_received: u64,
    pub(crate) last_heard_ms: u64,
    /// A wake stands in the outputs and was not taken yet.
    pub(crate) wake_queued: bool,
}

impl Session {
    pub(crate) fn new(id: SessionId, proven: NodeKey, now_ms: u64, stamp_ms: u64) -> Self {
        Self {
            id,
            proven,
            phase: Phase::AwaitHello,
            relation: None,
            peer: None,
            stamp_ms,
            peer_epoch: None,
            peer_clock_ms: None,
            hello_ms: now_ms,
            software: String::new(),
            queue: VecDeque::new(),
            due: BTreeSet::new(),
            overflowed: false,
            receipts_after: None,
            peer_next: BTreeMap::new(),
            ready: BTreeSet::new(),
            refused: BTreeMap::new(),
            asked: BTreeSet::new(),
            reported: BTreeSet::new(),
            promised: BTreeMap::new(),
            compared: None,
            entries_sent: 0,
            entries_received: 0,
            last_heard_ms: now_ms,
            wake_queued: false,
        }
    }

    /// Returns the peer's unit once its hello was accepted.
    pub(crate) fn unit(&self) -> Option<&UnitId> {
        self.peer.as_ref().map(VerifiedChain::unit)
    }

    /// Queues a control message; false when the peer does not read.
    #[must_use]
    pub(crate) fn push(&mut self, message: Message, bounded: bool) -> bool {
        self.queue.push_back(message);
        !bounded || self.queue.len() <= SESSION_QUEUE_MAX
    }

    /// Notes that the peer needs `next` of a log whose newest durable position is `head`.
    pub(crate) fn needs(&mut self, turn: Turn, next: u64, head: Option<u64>) {
        self.peer_next.insert(turn.2, next);
        if head.is_some_and(|head| next <= head) {
            self.ready.insert(turn);
        } else {
            self.ready.remove(&turn);
        }
    }

    /// Returns true when something waits to be sent.
    pub(crate) fn has_output(&self) -> bool {
        let waiting = !self.queue.is_empty()
            || !self.due.is_empty()
            || !self.ready.is_empty()
            || self.receipts_after.is_some()
            || self.overflowed;
        self.phase != Phase::Closed && waiting
    }

    /// Returns how many messages wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + self.due.len()
    }

    /// Lets go of everything a closed session no longer needs.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.due.clear();
        self.overflowed = false;
        self.receipts_after = None;
        self.ready.clear();
        self.peer_next.clear();
        self.refused.clear();
        self.asked.clear();
        self.reported.clear();
        self.promised.clear();
    }
}
