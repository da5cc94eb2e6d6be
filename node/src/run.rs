//! The event loop: owns the replica, obeys its ordering contract, and nothing else.
//!
//! Links, the projector and commands run beside it and talk to it through bounded channels. One turn
//! takes what is there, stages it, makes it durable in one commit, and only then lets anything speak
//! of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use federation_protocol::{
    Config, Entry, LogState, Message, Output, Part, Reach, Refusal, Replica, Report, SessionId,
    Weakness,
};
use keys::{Domain, Hash, UnitId};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_core::Rng;
use tiers::Registry;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::enrol::Enroller;
use crate::handle::{COMMANDS_MAX, Closing, Command, NewEntry, NodeHandle, WriteError};
use crate::identity::Identity;
use crate::links::{LinkEvent, LinkShared, Outgoing, WRITER_QUEUE, run_accepted, run_dialled};
use crate::projector::{Progress, ProjectError, Projector};
use crate::schema::{OpenError, Schema, SchemaError};
use crate::status::{Alert, LinkReport, LinkState};
use crate::store::{Batch, CommitError};
use crate::transport::{CloseCode, LinkHandle, Transport};
use crate::worker::Worker;

/// Link events that may wait for the loop; each holds at most one message.
const EVENTS_MAX: usize = 64;
/// Events taken in one turn, so that one commit covers them.
const TURN_MAX: usize = 64;
/// Bytes of one commit beyond which a turn is not extended.
const TURN_BYTES: usize = 8 * 1024 * 1024;
/// Alerts kept for people, newest last.
const ALERTS_MAX: usize = 100;
/// First wait before dialling again.
const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// Longest wait before dialling again: a school behind a dead link tries twice a minute.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What a node is opened with.
pub struct Parts {
    /// Who it is.
    pub identity: Identity,
    /// Its store.
    pub schema: Schema,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// Its randomness, seeded by the caller.
    pub rng: ChaCha20Rng,
    /// Where projection is computed.
    pub worker: Worker,
    /// Defences taken out; only simulations set one.
    pub weakness: Weakness,
}

/// The node stopped for a reason that a restart or a person must mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fatal {
    /// The store could not be written.
    #[error("the store could not be written: {0}")]
    Commit(#[from] CommitError),
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Read(#[from] federation_protocol::ReadError),
    /// Projection stopped.
    #[error("projection stopped: {0}")]
    Project(#[from] ProjectError),
}

/// The node could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenNodeError {
    /// The store's layout.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is stored.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The node's own certificate.
    #[error(transparent)]
    Replica(#[from] federation_protocol::WriteError),
    /// A stored statement that the rosters begin with is missing: the home is incomplete.
    #[error(
        "the store holds no valid statement of the federation's root, it is incomplete; restore the \
         newest backup of the home, or run `sanji doctor --repair`"
    )]
    NoFederation,
}

/// A node that is open; [`Runner::run`] makes it live.
pub struct Runner {
    replica: Replica,
    handle: NodeHandle,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Receiver<LinkEvent>,
    event_sender: mpsc::Sender<LinkEvent>,
    room: Arc<Notify>,
    projector: Projector,
    links: BTreeMap<SessionId, LinkSlot>,
    /// Sessions with something to send, to be tried in this turn.
    wake: BTreeSet<SessionId>,
    /// Sessions whose writer was full.
    blocked: BTreeSet<SessionId>,
    waiting: BTreeMap<u64, Vec<Waiter>>,
    pending: Batch,
    alerts: VecDeque<Alert>,
    uplink: LinkState,
    /// When units whose sessions ended were last heard, Unix milliseconds.
    heard: BTreeMap<UnitId, u64>,
    tasks: JoinSet<()>,
}

struct LinkSlot {
    link: LinkHandle,
    writer: mpsc::Sender<Outgoing>,
}

type Waiter = (Vec<Hash>, oneshot::Sender<Result<Vec<Hash>, WriteError>>);

/// Opens a node from its store; nothing is live yet.
///
/// # Errors
/// [`OpenNodeError`]: the home is damaged or incomplete.
pub fn open(parts: Parts) -> Result<(NodeHandle, Runner), OpenNodeError> {
    let Parts {
        identity,
        schema,
        clock,
        rng,
        worker,
        weakness,
    } = parts;
    let mut registry = Registry::new(identity.root);
    for (domain, bytes) in schema.statements()? {
        learn(&mut registry, &domain, &bytes);
    }
    let config = Config {
        secret: identity.secret.duplicate(),
        chain: identity.chain.clone(),
        root: identity.root,
        epoch: identity.epoch,
        software: concat!("sanji ", env!("CARGO_PKG_VERSION")).to_owned(),
        weakness,
    };
    let mut logs = Vec::new();
    schema.for_each_log(|state| logs.push(state))?;
    // Statements first: they say who may write and where units stand.
    let mut statements: Vec<Entry> = Vec::new();
    for state in logs.iter().filter(|state| state.key.period.is_none()) {
        let mut next = 0;
        while next <= state.head.seq_num {
            let page = schema.entries_from(state.key.id(), next, 64, 1 << 20)?;
            let Some(last) = page.last() else { break };
            next = last.seq_num() + 1;
            statements.extend(page);
        }
    }
    for entry in &statements {
        learn_entry(&mut registry, entry);
    }
    let placement = registry.placement().ok_or(OpenNodeError::NoFederation)?;
    let mut replica = Replica::new(config, placement)?;
    let progress = Arc::new(Progress::default());
    for state in logs {
        check_head(&schema, &state)?;
        let next = schema.cursor(state.key.id())?;
        progress.note(state.clone(), Some(next));
        replica.restore_log(state);
    }
    for entry in &statements {
        replica.restore_entry(entry);
    }
    for bytes in schema.receipts()? {
        replica.restore_receipt(bytes);
    }
    let (command_sender, commands) = mpsc::channel(COMMANDS_MAX);
    let (event_sender, events) = mpsc::channel(EVENTS_MAX);
    let handle = NodeHandle {
        commands: command_sender,
        schema: schema.clone(),
        identity: Arc::new(identity),
        registry: Arc::new(RwLock::new(Arc::new(registry))),
        progress: progress.clone(),
        clock,
        rng: Arc::new(Mutex::new(rng)),
        worker,
        writing: Arc::default(),
        enrolling: Arc::default(),
    };
    let runner = Runner {
        replica,
        handle: handle.clone(),
        commands,
        events,
        event_sender,
        room: Arc::default(),
        projector: Projector {
            schema,
            progress,
            worker,
        },
        links: BTreeMap::new(),
        wake: BTreeSet::new(),
        blocked: BTreeSet::new(),
        waiting: BTreeMap::new(),
        pending: Batch::new(),
        alerts: VecDeque::new(),
        uplink: LinkState::default(),
        heard: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    Ok((handle, runner))
}

/// Start-up check of one log: its newest entry is there, verifies, and is the one the head names.
fn check_head(schema: &Schema, state: &LogState) -> Result<(), SchemaError> {
    let newest = schema.entry(state.key.id(), state.head.seq_num)?;
    let sound = newest.is_some_and(|entry| entry.hash() == state.head.hash);
    if sound {
        Ok(())
    } else {
        Err(SchemaError::Damaged {
            table: "head or entry",
        })
    }
}

/// Adds a statement by its domain's tag; one of a later release, or one that does not verify, is kept
/// in its entry and not used. Returns whether anything is different now.
fn learn(registry: &mut Registry, tag: &str, bytes: &[u8]) -> bool {
    let Some(domain) = Domain::ALL.iter().find(|domain| domain.tag() == tag) else {
        return false;
    };
    registry.add(*domain, bytes).unwrap_or_else(|error| {
        tracing::debug!(%error, %domain, "statement not used");
        false
    })
}

fn learn_entry(registry: &mut Registry, entry: &Entry) -> bool {
    let mut changed = false;
    for part in entry.parts() {
        if let Part::Statement { domain, bytes } = part {
            changed |= learn(registry, domain, bytes);
        }
    }
    changed
}

/// Why a turn of the loop began.
enum Next {
    Event(Option<LinkEvent>),
    Command(Option<Command>),
    Room,
    Tick,
    Stopped(Result<(), ProjectError>),
    Shutdown,
}

impl Runner {
    /// Runs the node until `shutdown` resolves: without a transport it serves local commands only.
    ///
    /// # Errors
    /// [`Fatal`]: the process must end, nothing of this runner can be used again.
    pub async fn run(
        mut self,
        transport: Option<Transport>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Fatal> {
        self.introduce();
        if let Some(transport) = &transport {
            self.start_links(transport);
        }
        let projector = self.projector.clone().run();
        tokio::pin!(projector, shutdown);
        loop {
            self.drain().await?;
            let due = self.replica.next_tick_ms();
            let room = self.room.clone();
            let next = {
                let tick = async {
                    match due {
                        None => std::future::pending().await,
                        Some(due) => {
                            let wait = due.saturating_sub(self.handle.clock.now_ms());
                            tokio::time::sleep(Duration::from_millis(wait)).await;
                        }
                    }
                };
                tokio::select! {
                    biased;
                    () = &mut shutdown => Next::Shutdown,
                    stopped = &mut projector => Next::Stopped(stopped),
                    command = self.commands.recv() => Next::Command(command),
                    () = room.notified() => Next::Room,
                    () = tick => Next::Tick,
                    event = self.events.recv() => Next::Event(event),
                }
            };
            match next {
                Next::Shutdown => break,
                Next::Stopped(stopped) => {
                    stopped?;
                    break;
                }
                Next::Command(Some(command)) => self.on_command(command),
                Next::Command(None) => break,
                Next::Room => {
                    let blocked = std::mem::take(&mut self.blocked);
                    self.wake.extend(blocked);
                }
                Next::Tick => {
                    // The wait is over even where the machine's clock was set back and stands still.
                    let now = self.handle.clock.now_ms();
                    self.replica.handle_tick(now.max(due.unwrap_or(now)));
                }
                Next::Event(None) => break,
                Next::Event(Some(event)) => {
                    let mut bytes = self.on_event(event)?;
                    for _ in 1..TURN_MAX {
                        if bytes > TURN_BYTES {
                            break;
                        }
                        let Ok(event) = self.events.try_recv() else {
                            break;
                        };
                        bytes += self.on_event(event)?;
                    }
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                self.on_command(command);
            }
            self.replica.handle_tick(self.handle.clock.now_ms());
        }
        self.drain().await?;
        if let Some(transport) = transport {
            transport.shutdown().await;
        }
        self.tasks.shutdown().await;
        Ok(())
    }

    /// Says once to all below who this node is, so that they can check its receipts. Nodes of the
    /// lowest tier have nobody below.
    fn introduce(&mut self) {
        let lowest = self.handle.registry().tiers().first() == Some(&self.handle.identity.tier);
        let log = self.replica.own_key(Reach::Below, None).id();
        if lowest || self.replica.log(log).is_some() {
            return;
        }
        let now = self.handle.clock.now_ms();
        let mut rng = self.handle.rng();
        // The first entry of a statement log carries the chain, and nothing else is to be said.
        if let Err(error) = self
            .replica
            .write(now, Reach::Below, None, Vec::new(), &mut *rng)
        {
            tracing::warn!(%error, "this node cannot introduce itself below");
        }
    }

    fn start_links(&mut self, transport: &Transport) {
        let shared = LinkShared {
            events: self.event_sender.clone(),
            room: self.room.clone(),
            enroller: Some(Enroller {
                node: self.handle.clone(),
            }),
        };
        let accepting = accept_all(transport.clone(), shared.clone());
        self.tasks.spawn(accepting);
        if !self.handle.identity.uplinks.is_empty() {
            let uplinks = self.handle.identity.uplinks.clone();
            let jitter = ChaCha20Rng::from_rng(&mut *self.handle.rng());
            self.tasks
                .spawn(dial_forever(transport.clone(), shared, uplinks, jitter));
        }
    }

    /// Handles one link event; returns about how many bytes it brought.
    fn on_event(&mut self, event: LinkEvent) -> Result<usize, Fatal> {
        let now = self.handle.clock.now_ms();
        match event {
            LinkEvent::Up {
                session,
                peer,
                link,
                writer,
            } => {
                self.links.insert(session, LinkSlot { link, writer });
                self.replica.handle_link_up(now, session, peer);
            }
            LinkEvent::Message {
                session,
                message,
                entries,
            } => {
                if is_dialled(session) && !matches!(message, Message::Refused(_)) {
                    self.uplink.last_success = Some(now);
                }
                let bytes = entries.iter().map(|entry| entry.bytes().len()).sum();
                let hello = matches!(message, Message::Hello(_));
                let reader = &self.handle.schema;
                self.replica
                    .handle_message(now, session, message, entries, reader)?;
                // Only a peer whose chain was accepted may send us much at once.
                if hello
                    && self.replica.is_live(session)
                    && let Some(slot) = self.links.get(&session)
                {
                    slot.link.admit();
                }
                return Ok(bytes);
            }
            LinkEvent::Misbehaved { session, reason } => {
                self.replica.handle_misbehaved(session, &reason);
            }
            LinkEvent::Down { session, reason } => {
                self.note_heard(session);
                self.replica.handle_link_down(session);
                if self.links.remove(&session).is_some() && is_dialled(session) {
                    self.uplink.last_failure = Some((now, reason));
                }
                self.blocked.remove(&session);
            }
            LinkEvent::Undialled { address, reason } => {
                self.uplink.last_failure = Some((now, format!("{address}: {reason}")));
            }
        }
        Ok(0)
    }

    /// Keeps when the peer of a session that ends was last heard.
    fn note_heard(&mut self, session: SessionId) {
        let ended = self
            .replica
            .sessions()
            .into_iter()
            .find(|status| status.id == session);
        let Some((status, unit)) = ended.and_then(|s| s.unit.clone().map(|unit| (s, unit))) else {
            return;
        };
        if session.0 % 2 == 1 {
            self.uplink.last_success = self.uplink.last_success.max(Some(status.last_heard_ms));
        }
        // Only nodes of units certified here or by our parent come so far: bounded by the rosters.
        let heard = self.heard.entry(unit).or_default();
        *heard = status.last_heard_ms.max(*heard);
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Write {
                entries,
                closing,
                also,
                reply,
            } => {
                self.stage(entries, closing, &also, reply);
            }
            Command::Links { reply } => {
                let _ = reply.send(self.link_report());
            }
            Command::Digest {
                unit,
                audience,
                reply,
            } => {
                let _ = reply.send(self.replica.digest(&unit, &audience).root());
            }
            Command::Logs { reply } => {
                let _ = reply.send(self.replica.logs().collect());
            }
        }
    }

    /// Stages a local write; what waits for it is told once it is durable.
    fn stage(
        &mut self,
        entries: Vec<NewEntry>,
        closing: Option<Closing>,
        also: &Batch,
        reply: oneshot::Sender<Result<Vec<Hash>, WriteError>>,
    ) {
        for (key, value) in also.writes() {
            match value {
                Some(value) => self.pending.put(key, value),
                None => self.pending.delete(key),
            };
        }
        let mut hashes = Vec::new();
        let mut number = None;
        let mut entries = VecDeque::from(entries);
        let mut closing = closing;
        loop {
            if entries.is_empty()
                && let Some(closing) = closing.take()
            {
                entries.extend(closing(&hashes));
            }
            let Some(entry) = entries.pop_front() else {
                break;
            };
            let now = self.handle.clock.now_ms();
            let written = {
                let mut rng = self.handle.rng();
                self.replica
                    .write(now, entry.reach, entry.period, entry.parts, &mut *rng)
            };
            match written {
                Ok((append, hash)) => {
                    number = Some(append);
                    hashes.push(hash);
                }
                Err(error) => {
                    // All or none: what was staged is taken back with the rest of this turn.
                    let text = error.to_string();
                    let _ = reply.send(Err(error.into()));
                    self.take_back(&text, || WriteError::Stopped);
                    return;
                }
            }
        }
        self.waiting
            .entry(number.unwrap_or(u64::MAX))
            .or_default()
            .push((hashes, reply));
    }

    /// Unstages everything not durable and tells who waited.
    fn take_back(&mut self, reason: &str, error: impl Fn() -> WriteError) {
        self.pending = Batch::new();
        self.replica.handle_refused(reason);
        for (_, waiters) in std::mem::take(&mut self.waiting) {
            for (_, reply) in waiters {
                let _ = reply.send(Err(error()));
            }
        }
    }

    /// Obeys the ordering contract: append and flush, then speak.
    async fn drain(&mut self) -> Result<(), Fatal> {
        loop {
            let mut batch = std::mem::take(&mut self.pending);
            let mut numbers = Vec::new();
            while let Some(output) = self.replica.poll() {
                self.on_output(output, &mut batch, &mut numbers);
            }
            if batch.is_empty() {
                break;
            }
            match self.handle.schema.kv().commit(batch).await {
                Ok(()) => {}
                Err(full @ CommitError::Full { .. }) => {
                    tracing::error!(%full, "nothing is accepted until there is room");
                    self.alert("disk-full", full.to_string());
                    let text = full.to_string();
                    self.take_back(&text, || WriteError::Full { why: text.clone() });
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let now = self.handle.clock.now_ms();
            for number in numbers {
                self.replica
                    .handle_committed(now, number)
                    .expect("appends are committed in the order they were handed out");
            }
            for (hashes, reply) in self.waiting.remove(&u64::MAX).into_iter().flatten() {
                let _ = reply.send(Ok(hashes));
            }
        }
        self.transmit()
    }

    fn on_output(&mut self, output: Output, batch: &mut Batch, numbers: &mut Vec<u64>) {
        match output {
            Output::Append {
                number,
                entries,
                states,
                evidence,
            } => {
                Schema::append(batch, &entries, &states, &evidence);
                numbers.push(number);
            }
            Output::Appended { number, entries } => self.on_appended(number, &entries),
            Output::Wake { session } => {
                self.wake.insert(session);
            }
            Output::Close {
                session,
                last,
                misbehaved,
                reason,
            } => {
                self.on_close(session, last.map(|m| m.to_bytes()), misbehaved, reason);
            }
            Output::KeepReceipt {
                issuer,
                unit,
                bytes,
            } => {
                Schema::put_receipt(batch, &issuer, &unit, &bytes);
            }
            Output::Report(report) => self.on_report(&report),
            _ => {}
        }
    }

    fn on_appended(&mut self, number: u64, entries: &[Entry]) {
        let mut touched = BTreeSet::new();
        let mut statements = false;
        for entry in entries {
            touched.insert(entry.log());
            statements |= entry.key().period.is_none();
        }
        if statements {
            self.on_statements(entries);
        }
        for log in touched {
            if let Some(state) = self.replica.log(log) {
                self.handle.progress.note(state, None);
            }
        }
        for (hashes, reply) in self.waiting.remove(&number).into_iter().flatten() {
            let _ = reply.send(Ok(hashes));
        }
    }

    fn on_statements(&mut self, entries: &[Entry]) {
        let mut registry = Registry::clone(&self.handle.registry());
        let mut changed = false;
        for entry in entries.iter().filter(|entry| entry.key().period.is_none()) {
            changed |= learn_entry(&mut registry, entry);
        }
        if !changed {
            return;
        }
        if let Some(placement) = registry.placement() {
            self.replica.set_placement(placement);
        }
        *self
            .handle
            .registry
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(registry);
    }

    fn on_close(
        &mut self,
        session: SessionId,
        last: Option<Vec<u8>>,
        misbehaved: bool,
        reason: String,
    ) {
        let Some(slot) = self.links.get(&session) else {
            return;
        };
        let peer = slot.link.peer().short();
        tracing::warn!(session = session.0, %peer, misbehaved, reason, "session closed");
        let code = if misbehaved {
            CloseCode::Misbehaved
        } else {
            CloseCode::Refused
        };
        let goodbye = Outgoing::Close {
            last,
            code,
            reason: reason.clone(),
        };
        if slot.writer.try_send(goodbye).is_err() {
            // Its queue is full: it does not read, so it will not read our last words either.
            slot.link.close(code, &reason);
        }
        // A node that came back before its old connection timed out is no cause for alarm.
        if reason != Refusal::Duplicate.to_string() {
            self.alert("session-closed", format!("{peer}: {reason}"));
        }
    }

    fn on_report(&mut self, report: &Report) {
        tracing::warn!(?report, "reported");
        let (what, text) = match report {
            Report::Forked {
                log, unit, seq_num, ..
            } => (
                "forked",
                format!("log {} of {unit} is forked at entry {seq_num}", log.short()),
            ),
            Report::RolledBack { log } => (
                "rolled-back",
                format!("own log {} was rolled back", log.short()),
            ),
            Report::Rejected { reason, .. } => ("rejected", reason.to_string()),
            _ => return,
        };
        self.alert(what, text);
        if let Report::Forked { log, .. } = report
            && let Some(state) = self.replica.log(*log)
        {
            self.handle.progress.note(state, None);
        }
    }

    fn alert(&mut self, what: &'static str, text: String) {
        if self.alerts.len() >= ALERTS_MAX {
            self.alerts.pop_front();
        }
        let time_ms = self.handle.clock.now_ms();
        self.alerts.push_back(Alert {
            time_ms,
            what,
            text,
        });
    }

    /// Hands messages to the writers that have room.
    fn transmit(&mut self) -> Result<(), Fatal> {
        for session in std::mem::take(&mut self.wake) {
            let Some(slot) = self.links.get(&session) else {
                continue;
            };
            while self.replica.has_output(session) {
                let Ok(permit) = slot.writer.try_reserve() else {
                    self.blocked.insert(session);
                    break;
                };
                match self.replica.poll_transmit(session, &self.handle.schema)? {
                    Some(message) => permit.send(Outgoing::Message(message.to_bytes())),
                    None => break,
                }
            }
        }
        Ok(())
    }

    fn link_report(&self) -> LinkReport {
        let sessions = self.replica.sessions();
        let links = sessions
            .into_iter()
            .map(|session| {
                let link = self.links.get(&session.id).map(|slot| &slot.link);
                (
                    session,
                    link.map(|link| (link.remote_address(), link.stats())),
                )
            })
            .collect();
        LinkReport {
            links,
            uplink: self.uplink.clone(),
            heard: self.heard.clone(),
            alerts: self.alerts.iter().cloned().collect(),
            receipts: self.replica.receipts().cloned().collect(),
        }
    }
}

/// Sessions we dial get odd numbers, those we accept even ones.
fn is_dialled(session: SessionId) -> bool {
    session.0 % 2 == 1
}

async fn accept_all(transport: Transport, shared: LinkShared) {
    let mut tasks = JoinSet::new();
    let mut next = 0;
    loop {
        tokio::select! {
            biased;
            Some(_) = tasks.join_next() => {}
            incoming = transport.accept() => {
                let Some(incoming) = incoming else { break };
                next += 2;
                let session = SessionId(next);
                let shared = shared.clone();
                tasks.spawn(async move {
                    let address = incoming.remote_address();
                    match incoming.establish().await {
                        Ok(link) => run_accepted(shared, session, link).await,
                        Err(error) => tracing::info!(%address, %error, "handshake failed"),
                    }
                });
            }
        }
    }
}

async fn dial_forever(
    transport: Transport,
    shared: LinkShared,
    uplinks: Vec<SocketAddr>,
    mut jitter: ChaCha20Rng,
) {
    let mut backoff = BACKOFF_MIN;
    let mut session = 1;
    loop {
        for address in &uplinks {
            match transport.connect(*address).await {
                Ok(link) => {
                    let started = crate::clock::Stopwatch::start();
                    run_dialled(shared.clone(), SessionId(session), link).await;
                    session += 2;
                    // A link that held is a good sign; one refused at once is not.
                    if started.elapsed() > Duration::from_secs(5) {
                        backoff = BACKOFF_MIN;
                    }
                }
                Err(error) => {
                    tracing::info!(%address, %error, "cannot reach the node above");
                    let reason = error.to_string();
                    let event = LinkEvent::Undialled {
                        address: *address,
                        reason,
                    };
                    if shared.events.send(event).await.is_err() {
                        return;
                    }
                }
            }
        }
        // Full jitter, so that a district's schools do not all come back at the same moment.
        let half = u64::try_from(backoff.as_millis() / 2)
            .unwrap_or(u64::MAX)
            .max(1);
        let wait = Duration::from_millis(half + jitter.next_u64() % half);
        tokio::time::sleep(wait).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

const _: () = assert!(
    WRITER_QUEUE >= 1,
    "a writer without a queue would never be woken"
);
