//! From entries to dossiers: follows the logs, projects what is new, commits state, view, counts and
//! cursors together, so that a crash at any point resumes where the last commit stood.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use federation_protocol::{LogId, LogState, Part, Period};
use keys::UnitId;
use tiers::{Actor, AuthoredPart, DossierId, DossierView, Job};
use tokio::sync::Notify;

use crate::schema::{Schema, SchemaError};
use crate::store::{Batch, CommitError};
use crate::worker::Worker;

/// Bytes of entries projected in one commit: bounds memory, and amortises the flush.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Entries read from one log at a time.
const BATCH_ENTRIES: usize = 256;
/// How long projection waits for room on a disk that is nearly full before it tries again.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// Projection stopped; the node stops with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// The store could not be read.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The store refused the result.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// What the projector shares with the rest of the node: which logs stand where.
#[derive(Debug, Default)]
pub struct Progress {
    state: Mutex<ProgressState>,
    /// Rung when logs grew.
    grew: Notify,
    /// Rung when something was projected.
    advanced: Notify,
}

#[derive(Debug, Default)]
struct ProgressState {
    logs: BTreeMap<LogId, Place>,
    behind: BTreeSet<LogId>,
    rebuild: BTreeSet<(UnitId, Option<Period>)>,
    halted: Option<Halted>,
}

/// Why nothing is projected although something is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halted {
    /// The disk is nearly full, in the store's words; it goes on when there is room.
    Full(String),
    /// The node has stopped.
    Gone,
}

#[derive(Clone, Debug)]
struct Place {
    state: LogState,
    next: u64,
}

impl Progress {
    fn lock(&self) -> std::sync::MutexGuard<'_, ProgressState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes where a log stands durably; `next` is given when the log is restored at start.
    pub fn note(&self, state: LogState, next: Option<u64>) {
        let id = state.key.id();
        let mut progress = self.lock();
        let newly_forked = state.forked.is_some()
            && progress
                .logs
                .get(&id)
                .is_some_and(|place| place.state.forked != state.forked);
        if newly_forked {
            // What was projected at or after the fork is void: that unit and period are rebuilt.
            let place = (state.key.unit.clone(), state.key.period);
            progress.rebuild.insert(place);
        }
        let known = progress.logs.get(&id).map_or(0, |place| place.next);
        let next = next.unwrap_or(known);
        let behind = next <= last_effective(&state);
        progress.logs.insert(id, Place { state, next });
        if behind {
            progress.behind.insert(id);
        }
        drop(progress);
        self.grew.notify_one();
    }

    /// Returns how many entries are stored and not projected yet.
    pub fn backlog(&self) -> u64 {
        let progress = self.lock();
        progress
            .behind
            .iter()
            .filter_map(|id| progress.logs.get(id))
            .map(|place| (last_effective(&place.state) + 1).saturating_sub(place.next))
            .sum()
    }

    /// Waits until everything noted so far is projected.
    ///
    /// # Errors
    /// [`Halted`]: it will not be, or not soon.
    pub async fn caught_up(&self) -> Result<(), Halted> {
        loop {
            let advanced = self.advanced.notified();
            tokio::pin!(advanced);
            advanced.as_mut().enable();
            {
                let progress = self.lock();
                if progress.behind.is_empty() && progress.rebuild.is_empty() {
                    return Ok(());
                }
                if let Some(halted) = &progress.halted {
                    return Err(halted.clone());
                }
            }
            advanced.await;
        }
    }

    fn set_halted(&self, halted: Option<Halted>) {
        self.lock().halted = halted;
        self.advanced.notify_waiters();
    }
}

/// Tells who waits for projection that its end has come, however it comes.
struct Farewell(Arc<Progress>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.set_halted(Some(Halted::Gone));
    }
}

/// The newest position that takes effect; `u64::MAX` wraps are impossible as positions count from 0.
fn last_effective(state: &LogState) -> u64 {
    match state.forked {
        Some(0) => 0,
        Some(fork) => (fork - 1).min(state.head.seq_num),
        None => state.head.seq_num,
    }
}

/// Follows the logs until an error ends it.
#[derive(Clone)]
pub struct Projector {
    /// The store.
    pub schema: Schema,
    /// What is shared with the node.
    pub progress: Arc<Progress>,
    /// Where projection is computed.
    pub worker: Worker,
}

impl Projector {
    /// Runs for as long as the node does. On a disk that is nearly full it waits for room: what is
    /// not projected yet is durable in its entries.
    ///
    /// # Errors
    /// [`ProjectError`]: the node must stop.
    pub async fn run(self) -> Result<(), ProjectError> {
        let _farewell = Farewell(self.progress.clone());
        let mut waiting = false;
        loop {
            let grew = self.progress.grew.notified();
            tokio::pin!(grew);
            grew.as_mut().enable();
            match self.step().await {
                Ok(false) => grew.await,
                Ok(true) => {
                    waiting = false;
                    self.progress.set_halted(None);
                }
                Err(ProjectError::Commit(full @ CommitError::Full { .. })) => {
                    if !waiting {
                        tracing::error!(%full, "projection waits for room");
                    }
                    waiting = true;
                    self.progress
                        .set_halted(Some(Halted::Full(full.to_string())));
                    tokio::time::sleep(FULL_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Projects one batch; false when there was nothing to do.
    async fn step(&self) -> Result<bool, ProjectError> {
        if self.rebuild().await? {
            return Ok(true);
        }
        let behind: Vec<(LogId, Place)> = {
            let progress = self.progress.lock();
            let places = progress.behind.iter();
            places
                .filter_map(|id| Some((*id, progress.logs.get(id)?.clone())))
                .collect()
        };
        if behind.is_empty() {
            return Ok(false);
        }
        let mut jobs: BTreeMap<DossierId, Vec<AuthoredPart>> = BTreeMap::new();
        let mut cursors: Vec<(LogId, u64)> = Vec::new();
        let mut bytes = 0;
        for (id, place) in behind {
            let room = BATCH_BYTES.saturating_sub(bytes);
            if room == 0 {
                break;
            }
            let entries = self
                .schema
                .entries_from(id, place.next, BATCH_ENTRIES, room)?;
            let mut next = place.next;
            for entry in entries {
                next = entry.seq_num() + 1;
                bytes += entry.bytes().len();
                if !place.state.is_effective(entry.seq_num()) {
                    continue;
                }
                let key = entry.key();
                let author = Actor {
                    node: key.author,
                    epoch: key.epoch,
                };
                for part in entry.parts() {
                    if let Part::Dossier(part) = part {
                        let dossier = DossierId {
                            unit: key.unit.clone(),
                            subject: part.subject.clone(),
                            period: key.period,
                            reach: key.reach.clone(),
                        };
                        jobs.entry(dossier).or_default().push(AuthoredPart {
                            author,
                            entry: entry.hash(),
                            part: part.clone(),
                        });
                    }
                }
            }
            cursors.push((id, next));
        }
        self.commit(jobs, &cursors).await?;
        let mut progress = self.progress.lock();
        for (id, next) in cursors {
            let Some(place) = progress.logs.get_mut(&id) else {
                continue;
            };
            place.next = next;
            if next > last_effective(&place.state) {
                progress.behind.remove(&id);
            }
        }
        Ok(true)
    }

    async fn commit(
        &self,
        jobs: BTreeMap<DossierId, Vec<AuthoredPart>>,
        cursors: &[(LogId, u64)],
    ) -> Result<(), ProjectError> {
        let mut given = Vec::with_capacity(jobs.len());
        let mut before = BTreeMap::new();
        let mut counts: BTreeMap<(UnitId, Option<Period>, federation_protocol::Reach), i64> =
            BTreeMap::new();
        for (id, parts) in jobs {
            let state = self.schema.dossier_state(&id)?;
            if state.is_some() {
                before.insert(
                    id.clone(),
                    records_in(self.schema.dossier_view(&id)?.as_deref()),
                );
            }
            given.push(Job { id, state, parts });
        }
        let mut batch = Batch::new();
        let projected = self
            .worker
            .spread(given, |job| tiers::project(vec![job]))
            .await;
        for done in projected.into_iter().flatten() {
            for (at, problem) in (0_u32..).zip(&done.problems) {
                tracing::warn!(entry = %problem.entry, why = %problem.why, "part quarantined");
                Schema::put_quarantine(&mut batch, problem.entry, at, &problem.why.to_string());
            }
            if let Some(why) = done.unprojected {
                // A local failure, never a verdict: what is stored stays, and it is shown.
                tracing::error!(dossier = ?done.id, %why, "dossier not projected");
                Schema::put_unprojected(&mut batch, &done.id, &why.to_string());
                continue;
            }
            let place = (done.id.unit.clone(), done.id.period, done.id.reach.clone());
            let more = records_in(Some(&done.view)) - before.get(&done.id).copied().unwrap_or(0);
            *counts.entry(place).or_default() += more;
            Schema::put_dossier(&mut batch, &done.id, done.state, done.view);
        }
        for ((unit, period, reach), more) in counts {
            if more != 0 {
                let known = self.schema.count(&unit, period, &reach)?;
                let records = known.saturating_add_signed(more);
                Schema::put_count(&mut batch, &unit, period, &reach, records);
            }
        }
        for (id, next) in cursors {
            Schema::put_cursor(&mut batch, *id, *next);
        }
        Ok(self.schema.kv().commit(batch).await?)
    }

    /// Forgets what was projected for units and periods with a new fork and starts them again.
    async fn rebuild(&self) -> Result<bool, ProjectError> {
        let places: Vec<_> = self.progress.lock().rebuild.iter().cloned().collect();
        if places.is_empty() {
            return Ok(false);
        }
        for (unit, period) in &places {
            let logs: Vec<LogId> = {
                let progress = self.progress.lock();
                let here = progress.logs.iter().filter(|(_, place)| {
                    &place.state.key.unit == unit && &place.state.key.period == period
                });
                here.map(|(id, _)| *id).collect()
            };
            let mut batch = Batch::new();
            self.schema
                .forget_projection(&mut batch, unit, *period, &logs)?;
            self.schema.kv().commit(batch).await?;
            let mut progress = self.progress.lock();
            for id in logs {
                if let Some(place) = progress.logs.get_mut(&id) {
                    place.next = 0;
                    progress.behind.insert(id);
                }
            }
            progress.rebuild.remove(&(unit.clone(), *period));
        }
        Ok(true)
    }
}

fn records_in(view: Option<&[u8]>) -> i64 {
    let view = view.and_then(|bytes| DossierView::from_bytes(bytes).ok());
    view.map_or(0, |view| {
        i64::try_from(view.records.len()).unwrap_or(i64::MAX)
    })
}
