//! What the checks are told: everything that happened in a step, as plain values.

use super::disk::Batch;
use super::machine::Machine;
use super::topology::Topology;
use federation_protocol::{Entry, LogId, Message, Report};
use keys::{Hash, NodeKey};
use std::collections::BTreeSet;
use std::rc::Rc;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A machine opened its store and runs.
    Opened {
        /// The machine.
        machine: usize,
    },
    /// A machine lost power; these commits had just become durable.
    Crashed {
        /// The machine.
        machine: usize,
        /// What survived without having been acknowledged.
        survived: Vec<Rc<Batch>>,
    },
    /// A machine's store was replaced by an older copy of itself.
    RolledBack {
        /// The machine.
        machine: usize,
    },
    /// A machine left for good.
    Retired {
        /// The machine.
        machine: usize,
    },
    /// A user's write was taken and awaits its commit.
    Asked {
        /// The machine.
        machine: usize,
        /// The entry.
        hash: Hash,
    },
    /// A user's write was refused although nothing was wrong with it.
    Denied {
        /// The machine.
        machine: usize,
        /// Why.
        reason: String,
    },
    /// The user was told "saved".
    Acked {
        /// The machine.
        machine: usize,
        /// The log.
        log: LogId,
        /// The position.
        seq_num: u64,
        /// The entry.
        hash: Hash,
    },
    /// The disk refused all commits that waited; their writers were told.
    Refused {
        /// The machine.
        machine: usize,
    },
    /// A commit became durable.
    Durable {
        /// The machine.
        machine: usize,
        /// The commit.
        batch: Rc<Batch>,
    },
    /// Entries or evidence of a live session went into the replica.
    Took {
        /// The machine.
        machine: usize,
        /// The unit of the peer.
        from: Option<usize>,
        /// What came.
        entries: Vec<Entry>,
        /// True for evidence of a fork.
        evidence: bool,
    },
    /// A message left a machine.
    Sent {
        /// The machine.
        machine: usize,
        /// The unit of the node it went to; none for a stranger.
        to: Option<usize>,
        /// The message.
        message: Rc<Message>,
        /// Its size in bytes.
        size: usize,
    },
    /// The replica reported something.
    Told {
        /// The machine.
        machine: usize,
        /// The report.
        report: Report,
    },
    /// The replica closed a session.
    Closed {
        /// The machine.
        machine: usize,
        /// True when the peer runs the production code.
        honest: bool,
        /// True when the peer was said to have broken a rule.
        misbehaved: bool,
        /// The reason given.
        reason: String,
    },
}

/// What a check may look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Organisation and oracle.
    pub topology: &'a Topology,
    /// All machines with their disks and replicas.
    pub machines: &'a [Machine],
    /// Simulated milliseconds since the run began.
    pub now: u64,
    /// Keys that two stores have written under: a clone, or a store put back from a backup.
    pub doubled: &'a BTreeSet<NodeKey>,
    /// True when dishonest parties take part.
    pub attacked: bool,
    /// True once everything has converged.
    pub agreed: bool,
    /// True when units join in the course of the run.
    pub growing: bool,
}

/// A check failed; says what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);
