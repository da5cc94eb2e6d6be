//! How the rest of a process talks to a running node: commands in, answers out, reads at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use federation_protocol::{LogId, LogState, Part, Period, Reach};
use keys::{Hash, UnitId};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use tiers::Registry;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::identity::Identity;
use crate::projector::{Halted, Progress};
use crate::schema::Schema;
use crate::status::LinkReport;
use crate::store::{Batch, CommitError};
use crate::worker::Worker;

/// Commands that may wait; a caller beyond it waits itself.
pub(crate) const COMMANDS_MAX: usize = 64;

/// One entry a local writer wants appended to this node's own log.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// The reach of the log.
    pub reach: Reach,
    /// The period of the log.
    pub period: Option<Period>,
    /// What it carries.
    pub parts: Vec<Part>,
}

/// Makes the entries that close a group out of the hashes of the entries before them.
pub type Closing = Box<dyn FnOnce(&[Hash]) -> Vec<NewEntry> + Send>;

/// A local write did not happen; nothing of it was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The replica refused an entry.
    #[error(transparent)]
    Replica(#[from] federation_protocol::WriteError),
    /// The store refused the commit.
    #[error(transparent)]
    Store(#[from] CommitError),
    /// The disk is nearly full.
    #[error("{why}")]
    Full {
        /// The store's words.
        why: String,
    },
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopped,
}

/// What the run loop is asked to do.
pub(crate) enum Command {
    /// Append entries, all or none, with other store writes in the same commit. The closing
    /// function sees the hashes of the entries and adds the last ones.
    Write {
        entries: Vec<NewEntry>,
        closing: Option<Closing>,
        also: Batch,
        reply: oneshot::Sender<Result<Vec<Hash>, WriteError>>,
    },
    /// Report sessions and logs.
    Links { reply: oneshot::Sender<LinkReport> },
    /// Digest of the logs of a unit and below that an audience may hold.
    Digest {
        unit: UnitId,
        audience: UnitId,
        reply: oneshot::Sender<Hash>,
    },
    /// Every durable log.
    Logs {
        reply: oneshot::Sender<Vec<(LogId, LogState)>>,
    },
}

/// A running node, as seen from commands, importers and pages. Clones speak to the same node.
#[derive(Clone)]
pub struct NodeHandle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) schema: Schema,
    pub(crate) identity: Arc<Identity>,
    pub(crate) registry: Arc<RwLock<Arc<Registry>>>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<Mutex<ChaCha20Rng>>,
    pub(crate) worker: Worker,
    /// Held while dossiers are read, changed and appended, so that an actor's changes stay in order.
    pub(crate) writing: Arc<tokio::sync::Mutex<()>>,
    /// Held while an invitation is answered, so that rosters follow one another.
    pub(crate) enrolling: Arc<tokio::sync::Mutex<()>>,
}

impl NodeHandle {
    /// Returns the store's layout for reading.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns who this node is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Returns what is known of units and kinds as it stands.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Appends entries to this node's own logs, all or none; returns their hashes once durable.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was stored.
    pub async fn write(
        &self,
        entries: Vec<NewEntry>,
        also: Batch,
    ) -> Result<Vec<Hash>, WriteError> {
        self.write_closed(entries, None, also).await
    }

    /// Appends entries like [`NodeHandle::write`], closed by entries that name the others' hashes.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was stored.
    pub async fn write_closed(
        &self,
        entries: Vec<NewEntry>,
        closing: Option<Closing>,
        also: Batch,
    ) -> Result<Vec<Hash>, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Write {
            entries,
            closing,
            also,
            reply,
        })
        .await?;
        answer.await.map_err(|_| WriteError::Stopped)?
    }

    /// Returns fresh random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng().fill_bytes(&mut bytes);
        bytes
    }

    /// Returns the node's randomness, locked.
    pub fn rng(&self) -> MutexGuard<'_, ChaCha20Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where heavy work is computed.
    pub fn worker(&self) -> Worker {
        self.worker
    }

    /// Returns the sessions and what they still have to do.
    ///
    /// # Errors
    /// [`WriteError::Stopped`] when the node is stopping.
    pub async fn links(&self) -> Result<LinkReport, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Links { reply }).await?;
        answer.await.map_err(|_| WriteError::Stopped)
    }

    /// Returns the digest of the logs of a unit and below that an audience may hold; equal at every
    /// node that holds the same.
    ///
    /// # Errors
    /// [`WriteError::Stopped`] when the node is stopping.
    pub async fn digest(&self, unit: UnitId, audience: UnitId) -> Result<Hash, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Digest {
            unit,
            audience,
            reply,
        })
        .await?;
        answer.await.map_err(|_| WriteError::Stopped)
    }

    /// Returns the durable state of every log.
    ///
    /// # Errors
    /// [`WriteError::Stopped`] when the node is stopping.
    pub async fn logs(&self) -> Result<Vec<(LogId, LogState)>, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Logs { reply }).await?;
        answer.await.map_err(|_| WriteError::Stopped)
    }

    /// Waits until everything durable so far is projected, or cannot be for now: readers then see
    /// what was projected before.
    pub async fn projected(&self) {
        let _ = self.progress.caught_up().await;
    }

    /// Waits until everything durable so far is projected, for writers that build on it.
    ///
    /// # Errors
    /// [`WriteError::Full`] when the disk is nearly full, [`WriteError::Stopped`] when the node is
    /// stopping.
    pub async fn ready_to_write(&self) -> Result<(), WriteError> {
        self.progress
            .caught_up()
            .await
            .map_err(|halted| match halted {
                Halted::Full(why) => WriteError::Full { why },
                Halted::Gone => WriteError::Stopped,
            })
    }

    async fn ask(&self, command: Command) -> Result<(), WriteError> {
        self.commands
            .send(command)
            .await
            .map_err(|_| WriteError::Stopped)
    }
}
