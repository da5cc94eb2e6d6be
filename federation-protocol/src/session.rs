//! What this node knows of one peer, and what it still has to tell it.

use crate::limits::SESSION_QUEUE_MAX;
use crate::{LogId, Message, SessionId};
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
type Turn = (bool, usize, LogId);

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) proven: NodeKey,
    pub(crate) phase: Phase,
    pub(crate) relation: Option<Relation>,
    pub(crate) peer: Option<VerifiedChain>,
    pub(crate) epoch: Option<StoreEpoch>,
    pub(crate) peer_clock_ms: Option<u64>,
    pub(crate) software: String,
    /// Control messages, sent before entries.
    pub(crate) queue: VecDeque<Message>,
    /// The position the peer needs next, per log we have told it of.
    pub(crate) peer_next: BTreeMap<LogId, u64>,
    /// Logs with entries the peer lacks.
    pub(crate) ready: BTreeSet<Turn>,
    /// Logs whose entries were refused for want of trust or place; asked for again.
    pub(crate) refused: BTreeSet<LogId>,
    /// What the peer said it holds beyond what we hold.
    pub(crate) promised: BTreeMap<LogId, u64>,
    /// True once the peer's summary came, and whether it was equal.
    pub(crate) compared: Option<bool>,
    pub(crate) entries_sent: u64,
    pub(crate) entries_received: u64,
    pub(crate) last_heard_ms: u64,
}

impl Session {
    pub(crate) fn new(id: SessionId, proven: NodeKey, now_ms: u64) -> Self {
        Self {
            id,
            proven,
            phase: Phase::AwaitHello,
            relation: None,
            peer: None,
            epoch: None,
            peer_clock_ms: None,
            software: String::new(),
            queue: VecDeque::new(),
            peer_next: BTreeMap::new(),
            ready: BTreeSet::new(),
            refused: BTreeSet::new(),
            promised: BTreeMap::new(),
            compared: None,
            entries_sent: 0,
            entries_received: 0,
            last_heard_ms: now_ms,
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
    pub(crate) fn needs(&mut self, turn: Turn, next: u64, head: u64) {
        self.peer_next.insert(turn.2, next);
        if next <= head {
            self.ready.insert(turn);
        } else {
            self.ready.remove(&turn);
        }
    }

    /// Returns true when something waits to be sent.
    pub(crate) fn has_output(&self) -> bool {
        self.phase != Phase::Closed && (!self.queue.is_empty() || !self.ready.is_empty())
    }
}
