//! One thread that commits: it takes all batches that wait, judges their expectations in order,
//! applies those that hold as one atomic step, syncs once, and only then answers any of them.
//!
//! One sync costs the same for one record as for a thousand, so the commits of many callers share
//! it. The thread fails stop: after any error of the engine, or when the engine hangs, nothing is
//! acknowledged any more and the owner's callback is told, which by default ends the process.

use std::collections::{BTreeMap, VecDeque};
use std::future::ready;
use std::io;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use keys::Hash;
use tokio::sync::oneshot;

use super::{Batch, CommitError, CommitFuture, StoreError, value};
use crate::clock::Stopwatch;

/// Writes in key order; `None` removes the key. Values are framed.
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

type Answer = oneshot::Sender<Result<(), CommitError>>;

/// What a storage engine must offer to be committed to. Keys are the caller's, values are framed.
pub(crate) trait Engine: Send + Sync + 'static {
    /// Returns the frame stored under `key`.
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String>;
    /// Applies all writes as one atomic step, not yet durably.
    fn apply(&self, writes: Writes) -> Result<(), String>;
    /// Returns when everything applied is on the medium.
    fn sync(&self) -> Result<(), String>;
    /// Bytes free on the disk, and bytes of them that must stay free.
    fn space(&self) -> io::Result<(u64, u64)>;
    /// Closes the engine; called after the last sync, and not at all after a failure.
    fn close(self) -> Result<(), String>;
}

/// What the engine was doing when the store stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Opening and recovering.
    Opening,
    /// Reading.
    Reading,
    /// Applying a group of batches.
    Applying,
    /// Syncing to the medium.
    Syncing,
    /// Closing.
    Closing,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Opening => "opening",
            Self::Reading => "reading",
            Self::Applying => "applying writes",
            Self::Syncing => "syncing",
            Self::Closing => "closing",
        })
    }
}

/// Why the store stopped for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailStop {
    /// The engine reported an error or panicked.
    #[error("the storage engine failed while {phase}: {reason}")]
    Engine {
        /// What it was doing.
        phase: Phase,
        /// What it said.
        reason: String,
    },
    /// The engine did not finish in time.
    #[error("the storage engine did not finish {phase} in time")]
    Hung {
        /// What it was doing.
        phase: Phase,
    },
}

/// Told once when the store stops for good; the default ends the process. It must not drop the
/// store, whose closing waits for it.
pub type OnFailStop = Arc<dyn Fn(&FailStop) + Send + Sync>;

/// Bounds of the committer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Batches that may wait.
    pub(crate) queue_batches: usize,
    /// Bytes that may wait; one batch larger than this is accepted alone.
    pub(crate) queue_bytes: usize,
    /// Bytes taken into one group, unless its first batch alone is larger.
    pub(crate) group_bytes: usize,
    /// How long one step of the engine may take.
    pub(crate) step: Duration,
}

/// Counters since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Groups made durable, each with one sync.
    pub groups: u64,
    /// Batches made durable.
    pub batches: u64,
    /// Keys written or removed by them.
    pub writes: u64,
    /// Batches refused because an expectation did not hold.
    pub conflicts: u64,
    /// How long the last sync took.
    pub last_sync: Duration,
    /// How long the slowest sync took.
    pub slowest_sync: Duration,
    /// How long all syncs took together.
    pub total_sync: Duration,
    /// Batches waiting now.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
}

struct Waiting {
    expects: Vec<(Vec<u8>, Option<Hash>)>,
    writes: Writes,
    size: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Waiting, Answer)>,
    size: usize,
    /// Answers owed for the group in work; taken away when the store stops.
    owed: Vec<Answer>,
    closing: bool,
    /// The thread has ended its work.
    done: bool,
    /// The owner has been told that the store stopped; the thread may hang for ever.
    told: bool,
}

struct Shared<E> {
    /// Readers share it, applying excludes them; `None` once closed. Never dropped by itself: after
    /// a failure even the engine's destructor may hang.
    view: RwLock<Option<ManuallyDrop<E>>>,
    queue: Mutex<Queue>,
    changed: Condvar,
    stopped: AtomicBool,
    stats: Mutex<Stats>,
    limits: Limits,
    on_fail_stop: OnFailStop,
}

/// The committing thread, its watchdog, and the engine they own.
pub(crate) struct Committer<E: Engine> {
    shared: Arc<Shared<E>>,
    thread: Option<JoinHandle<()>>,
}

impl<E: Engine> Committer<E> {
    /// Starts the two threads.
    pub(crate) fn start(engine: E, limits: Limits, on_fail_stop: OnFailStop) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            view: RwLock::new(Some(ManuallyDrop::new(engine))),
            queue: Mutex::default(),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
            stats: Mutex::default(),
            limits,
            on_fail_stop,
        });
        let watchdog = Watchdog::start(limits.step, {
            let shared = Arc::clone(&shared);
            move |phase| shared.stop(FailStop::Hung { phase })
        })?;
        let thread = Builder::new().name("store-committer".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                let ran = caught(|| {
                    shared.run(&watchdog);
                    Ok(())
                });
                if let Err(reason) = ran {
                    shared.stop(FailStop::Engine {
                        phase: Phase::Applying,
                        reason,
                    });
                }
                lock(&shared.queue).done = true;
                shared.changed.notify_all();
            }
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Queues a batch; see [`super::Kv::commit`].
    pub(crate) fn commit(&self, batch: Batch) -> CommitFuture {
        match self.shared.enqueue(batch) {
            Ok(answer) => Box::pin(async { answer.await.unwrap_or(Err(CommitError::Poisoned)) }),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    /// Runs a read of the engine, beside other reads and between groups.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&E) -> Result<T, String>,
    ) -> Result<T, StoreError> {
        self.inspect(read).inspect_err(|error| {
            if let StoreError::Engine { reason } = error {
                let reason = reason.clone();
                self.shared.stop(FailStop::Engine {
                    phase: Phase::Reading,
                    reason,
                });
            }
        })
    }

    /// Like [`Committer::read`], for scrubs: an error is returned and the store goes on.
    pub(crate) fn inspect<T>(
        &self,
        read: impl FnOnce(&E) -> Result<T, String>,
    ) -> Result<T, StoreError> {
        let view = self
            .shared
            .view
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let engine = view.as_ref().ok_or(StoreError::Stopped)?;
        caught(|| read(engine)).map_err(|reason| StoreError::Engine { reason })
    }

    /// Counters since the start.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = *lock(&self.shared.stats);
        let queue = lock(&self.shared.queue);
        stats.waiting = queue.waiting.len();
        stats.waiting_bytes = queue.size;
        stats
    }

    /// Whether the store has stopped for good.
    pub(crate) fn has_stopped(&self) -> bool {
        self.shared.has_stopped()
    }
}

impl<E: Engine> Drop for Committer<E> {
    /// Commits what waits, closes the engine and ends the thread. A hung thread is left behind: the
    /// watchdog has reported it.
    fn drop(&mut self) {
        let mut queue = lock(&self.shared.queue);
        queue.closing = true;
        self.shared.changed.notify_all();
        while !queue.done && !queue.told {
            queue = self
                .shared
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let done = queue.done;
        drop(queue);
        if let Some(thread) = self.thread.take().filter(|_| done) {
            // A panic of the thread was reported as a fail-stop where it happened.
            let _ = thread.join();
        }
    }
}

impl<E: Engine> Shared<E> {
    fn enqueue(
        &self,
        batch: Batch,
    ) -> Result<oneshot::Receiver<Result<(), CommitError>>, CommitError> {
        batch.check_bounds()?;
        let size = batch.size();
        let (expects, writes) = batch.into_parts();
        // Framed here, on the threads of the callers: the committer only waits for the disk.
        let writes = writes
            .into_iter()
            .map(|(key, plain)| {
                let frame = plain.map(|plain| value::encode(&key, &plain));
                (key, frame)
            })
            .collect();
        let (answer, answered) = oneshot::channel();
        let mut queue = lock(&self.queue);
        // Judged under the lock, so that no batch slips in behind the sweep of `stop`.
        if self.has_stopped() {
            return Err(CommitError::Poisoned);
        }
        if queue.closing {
            return Err(CommitError::Closed);
        }
        let batches = queue.waiting.len();
        let crowded = batches >= self.limits.queue_batches
            || queue.size.saturating_add(size) > self.limits.queue_bytes;
        if batches > 0 && crowded {
            return Err(CommitError::Busy {
                batches,
                size: queue.size,
            });
        }
        queue.size += size;
        queue.waiting.push_back((
            Waiting {
                expects,
                writes,
                size,
            },
            answer,
        ));
        self.changed.notify_all();
        Ok(answered)
    }

    fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn run(&self, watchdog: &Watchdog) {
        while let Some(group) = self.next_group() {
            if let Err(stop) = self.commit_group(group, watchdog) {
                self.stop(stop);
                break;
            }
        }
        if !self.has_stopped() {
            let closed = watchdog.during(Phase::Closing, || {
                let engine = self
                    .view
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                engine.map_or(Ok(()), |engine| ManuallyDrop::into_inner(engine).close())
            });
            if let Err(stop) = closed {
                self.stop(stop);
            }
        }
    }

    /// Waits for batches and takes as many as fit a group; `None` when the store closes or stops.
    fn next_group(&self) -> Option<Vec<Waiting>> {
        let mut guard = lock(&self.queue);
        while guard.waiting.is_empty() && !guard.closing && !self.has_stopped() {
            guard = self
                .changed
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let queue = &mut *guard;
        if queue.waiting.is_empty() || self.has_stopped() {
            return None;
        }
        let mut group = Vec::new();
        let mut size = 0;
        while let Some((next, answer)) = queue.waiting.pop_front() {
            if !group.is_empty() && size + next.size > self.limits.group_bytes {
                queue.waiting.push_front((next, answer));
                break;
            }
            size += next.size;
            group.push(next);
            queue.owed.push(answer);
        }
        queue.size -= size;
        Some(group)
    }

    fn commit_group(&self, group: Vec<Waiting>, watchdog: &Watchdog) -> Result<(), FailStop> {
        let space = watchdog.during(Phase::Reading, || {
            self.with_engine(|engine| Ok(engine.space()))
        })?;
        let mut stats = Stats {
            groups: 1,
            ..Stats::default()
        };
        let mut writes = Writes::new();
        let mut verdicts = Vec::with_capacity(group.len());
        let mut size = 0;
        for batch in group {
            let verdict = match has_room(&space, size, &batch) {
                Ok(()) => {
                    watchdog.during(Phase::Reading, || self.judge(&batch.expects, &writes))?
                }
                Err(error) => Err(error),
            };
            match &verdict {
                Ok(()) => {
                    size += batch.size;
                    stats.batches += 1;
                    writes.extend(batch.writes);
                }
                Err(CommitError::Conflict { .. }) => stats.conflicts += 1,
                Err(_) => {}
            }
            verdicts.push(verdict);
        }
        if !writes.is_empty() {
            stats.writes = writes.len() as u64;
            watchdog.during(Phase::Applying, || {
                let view = self.view.write().unwrap_or_else(PoisonError::into_inner);
                view.as_ref().map_or(Ok(()), |engine| engine.apply(writes))
            })?;
            let watch = Stopwatch::start();
            watchdog.during(Phase::Syncing, || self.with_engine(E::sync))?;
            stats.last_sync = watch.elapsed();
        }
        self.count(&stats);
        // Empty when the watchdog has given up on this group meanwhile: it has answered already.
        let owed = std::mem::take(&mut lock(&self.queue).owed);
        for (answer, verdict) in owed.into_iter().zip(verdicts) {
            // The caller may have dropped its future.
            let _ = answer.send(verdict);
        }
        Ok(())
    }

    /// Judges expectations against what is stored, overlaid by the writes of the same group.
    fn judge(
        &self,
        expects: &[(Vec<u8>, Option<Hash>)],
        writes: &Writes,
    ) -> Result<Result<(), CommitError>, String> {
        for (key, expected) in expects {
            let found = match writes.get(key) {
                Some(frame) => frame.clone(),
                None => self.with_engine(|engine| engine.read(key))?,
            };
            let found = match found {
                None => None,
                Some(frame) => match value::decode(key, &frame) {
                    Some(plain) => Some(Hash::of(&plain)),
                    None => {
                        let error = StoreError::Corrupt { key: key.clone() };
                        return Ok(Err(CommitError::Read(error)));
                    }
                },
            };
            if found != *expected {
                return Ok(Err(CommitError::Conflict { key: key.clone() }));
            }
        }
        Ok(Ok(()))
    }

    fn with_engine<T>(&self, act: impl FnOnce(&E) -> Result<T, String>) -> Result<T, String> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let engine = view
            .as_ref()
            .ok_or_else(|| "the engine is closed".to_owned())?;
        act(engine)
    }

    fn count(&self, group: &Stats) {
        let mut stats = lock(&self.stats);
        stats.batches += group.batches;
        stats.conflicts += group.conflicts;
        if group.writes > 0 {
            stats.groups += 1;
            stats.writes += group.writes;
            stats.last_sync = group.last_sync;
            stats.slowest_sync = stats.slowest_sync.max(group.last_sync);
            stats.total_sync += group.last_sync;
        }
    }

    /// Stops for good: refuses what comes, answers what waits, tells the owner. Only the first call
    /// has an effect.
    fn stop(&self, why: FailStop) {
        let mut queue = lock(&self.queue);
        if self.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        let waiting = std::mem::take(&mut queue.waiting)
            .into_iter()
            .map(|(_, answer)| answer);
        let answers: Vec<_> = std::mem::take(&mut queue.owed)
            .into_iter()
            .chain(waiting)
            .collect();
        queue.size = 0;
        self.changed.notify_all();
        drop(queue);
        tracing::error!(%why, "the store has stopped");
        for answer in answers {
            let _ = answer.send(Err(CommitError::Poisoned));
        }
        (self.on_fail_stop)(&why);
        // Only now may a closing owner go on: by default the process has ended before this.
        lock(&self.queue).told = true;
        self.changed.notify_all();
    }
}

/// Refuses a batch that would eat into the reserve. A batch that only judges is always welcome.
fn has_room(
    space: &io::Result<(u64, u64)>,
    size: usize,
    batch: &Waiting,
) -> Result<(), CommitError> {
    if batch.writes.is_empty() {
        return Ok(());
    }
    match space {
        Ok((free, reserve)) => {
            // Pages are rewritten around a write; twice its size covers that on average, and the
            // reserve covers the rest.
            let needed = reserve.saturating_add(2 * (size as u64 + batch.size as u64));
            if *free < needed {
                return Err(CommitError::Full {
                    free: *free,
                    needed,
                });
            }
            Ok(())
        }
        Err(error) => Err(CommitError::Io(io::Error::new(
            error.kind(),
            error.to_string(),
        ))),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section of this file leaves its data whole at each step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `act` and turns a panic of the engine into an error: some of its checks are assertions.
pub(crate) fn caught<T>(act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", words.unwrap_or("without words")))
    })
}

/// Looks at a counter eight times per allowed step, and reports a step that stays too long.
///
/// It never has to be woken for work, so watching costs the committer two additions a step.
pub(crate) struct Watchdog {
    watched: Arc<Watched>,
    thread: Option<JoinHandle<()>>,
}

struct Watched {
    /// Odd while a step is in work.
    steps: AtomicU64,
    phase: Mutex<Phase>,
    over: Mutex<bool>,
    ended: Condvar,
}

const LOOKS_PER_STEP: u32 = 8;

impl Watchdog {
    /// Starts watching; `report` is called at most once.
    pub(crate) fn start(
        step: Duration,
        report: impl FnOnce(Phase) + Send + 'static,
    ) -> io::Result<Self> {
        let watched = Arc::new(Watched {
            steps: AtomicU64::new(0),
            phase: Mutex::new(Phase::Opening),
            over: Mutex::new(false),
            ended: Condvar::new(),
        });
        let thread = Builder::new().name("store-watchdog".to_owned()).spawn({
            let watched = Arc::clone(&watched);
            move || {
                if let Some(phase) = watched.watch(step / LOOKS_PER_STEP) {
                    report(phase);
                }
            }
        })?;
        Ok(Self {
            watched,
            thread: Some(thread),
        })
    }

    /// Runs one step of the engine under watch, and turns its failure into a reason to stop.
    pub(crate) fn during<T>(
        &self,
        phase: Phase,
        step: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, FailStop> {
        *lock(&self.watched.phase) = phase;
        self.watched.steps.fetch_add(1, Ordering::AcqRel);
        let outcome = caught(step);
        self.watched.steps.fetch_add(1, Ordering::AcqRel);
        outcome.map_err(|reason| FailStop::Engine { phase, reason })
    }
}

impl Watched {
    /// Returns the phase that stayed too long, or `None` when watching has ended.
    fn watch(&self, look: Duration) -> Option<Phase> {
        let mut over = lock(&self.over);
        let (mut seen, mut looks) = (0, 0);
        while !*over {
            let (guard, timeout) = self
                .ended
                .wait_timeout_while(over, look, |over| !*over)
                .unwrap_or_else(PoisonError::into_inner);
            over = guard;
            let steps = self.steps.load(Ordering::Acquire);
            let same = timeout.timed_out() && steps % 2 == 1 && steps == seen;
            looks = if same { looks + 1 } else { 0 };
            seen = steps;
            if looks >= LOOKS_PER_STEP {
                return Some(*lock(&self.phase));
            }
        }
        None
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *lock(&self.watched.over) = true;
        self.watched.ended.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the owner's callback has been printed by the panic hook.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
