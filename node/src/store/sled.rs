//! The production store: sled 0.34.7 behind a guard. The only file that names sled.
//!
//! Left alone this version loses acknowledged writes in a power cut (its flush does not sync), does
//! not open again after a crash at the wrong moment of an opening, and never gives back the space of
//! values it puts into files of their own. The guard closes each of these from outside:
//!
//! * a store is created beside its place and renamed there whole; half-written snapshots are removed
//!   before opening; after opening every file and directory is synced, which sled does not do;
//! * a flush is sled's flush and then a sync through one handle opened before sled opened;
//! * segments are large enough that no page outgrows a quarter of one, so that no value and no page
//!   is ever put into a file of its own, and a segment is not reused before the sync that follows;
//! * one tree, one committing thread, one atomic batch a group; any error ends the store;
//! * each value carries its own checksum, and a mark outside the engine notices when a repaired log
//!   has lost its end.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::committer::{
    Committer, Engine, FailStop, Limits, OnFailStop, Phase, Stats, Watchdog, Writes, caught,
};
use super::guard::{self, Reserve};
use super::{
    Batch, CommitFuture, Damage, KEY_SIZE_MAX, Kv, Pair, StoreError, VALUE_SIZE_MAX, value,
};
use crate::durable::{self, SyncHandle};

/// Bytes of one segment of sled's log. Part of the format: sled refuses to open with another.
const SEGMENT: usize = 8 << 20;

/// sled puts a page into a file of its own when it is longer than a quarter of a segment.
const PAGE_MAX: usize = SEGMENT / 4;

/// Most entries of a leaf: it is split above 16, and a merge joins one of 17 with one of 3.
const LEAF_MAX: usize = 20;

/// Bytes of sled's own around an entry of a leaf and around a page, generously.
const ENTRY_OVERHEAD: usize = 64;

const _: () = assert!(
    LEAF_MAX * (KEY_SIZE_MAX + 1 + VALUE_SIZE_MAX + value::OVERHEAD_MAX + ENTRY_OVERHEAD)
        < PAGE_MAX,
    "the largest possible leaf must stay inside sled's log"
);

/// Every so many groups the mark is written outside the engine, which bounds what a repaired log
/// can lose unnoticed. Costs two more syncs.
const GROUPS_PER_MARK: u32 = 1_024;

/// Recovery reads the whole log: an opening may take this many steps' time.
const OPENING_STEPS: u32 = 20;

/// Damaged keys listed by [`SledStore::check`]; the rest is only counted.
const CORRUPT_LISTED_MAX: usize = 1_000;

// The caller's keys and the guard's own stand in one tree under different first bytes, so that one
// batch covers both.
const CALLER: u8 = 1;
const CANARY: &[u8] = b"\0canary";
const CANARY_VALUE: &[u8] = b"sanji store, format 1";
const COUNT: &[u8] = b"\0mark";

/// How to open a [`SledStore`].
#[derive(Clone)]
pub struct SledOptions {
    /// Bytes of pages kept in memory: 64 MiB suits a school, 256 MiB a hub.
    pub cache_bytes: u64,
    /// What must stay free on the disk.
    pub reserve: Reserve,
    /// How long one step of the engine (a group applied, a sync) may take.
    pub step_limit: Duration,
    /// Batches that may wait for the committer.
    pub queue_batches: usize,
    /// Bytes that may wait for the committer.
    pub queue_bytes: usize,
    /// Told once when the store stops for good. By default the process aborts, for a supervisor to
    /// start it again: nothing in memory can be trusted to match the disk.
    pub on_fail_stop: OnFailStop,
    /// Leaves the guard out, to prove that the crash tests see what it is for. Never in production.
    #[doc(hidden)]
    pub unguarded: bool,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            reserve: Reserve::default(),
            step_limit: Duration::from_secs(30),
            queue_batches: 4_096,
            queue_bytes: 128 << 20,
            on_fail_stop: Arc::new(|_| std::process::abort()),
            unguarded: false,
        }
    }
}

impl fmt::Debug for SledOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledOptions")
            .field("cache_bytes", &self.cache_bytes)
            .field("reserve", &self.reserve)
            .field("step_limit", &self.step_limit)
            .finish_non_exhaustive()
    }
}

/// Bytes of batches committed together. Small against a segment, so that between two syncs sled
/// never comes round to overwriting a segment whose moved pages are not yet on the medium.
const GROUP_BYTES: usize = 1 << 20;

/// A durable store in one directory; see the module.
///
/// Dropping it commits what waits and closes it.
pub struct SledStore {
    dir: PathBuf,
    committer: Committer<SledEngine>,
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// What [`SledStore::check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Values read.
    pub values: u64,
    /// Bytes of keys and values read, as callers see them.
    pub bytes: u64,
    /// Number of damaged values.
    pub corrupt_count: u64,
    /// Keys of the first 1,000 damaged values.
    pub corrupt: Vec<Vec<u8>>,
    /// What stopped the reading before the end, if anything did.
    pub unreadable: Option<String>,
}

impl Check {
    /// Whether everything was read and nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.corrupt_count == 0 && self.unreadable.is_none()
    }
}

impl SledStore {
    /// Opens the store in `dir`, creating it when there is none. The caller holds a lock that keeps
    /// other processes away from `dir`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the store cannot be used (see [`guard::move_aside`]),
    /// [`StoreError::NotAStore`], [`StoreError::Format`], [`StoreError::InUse`] or
    /// [`StoreError::Io`]. Nothing is deleted but creations that never finished.
    pub fn open(dir: &Path, options: SledOptions) -> Result<Self, StoreError> {
        let report = Arc::clone(&options.on_fail_stop);
        let watchdog = Watchdog::start(options.step_limit * OPENING_STEPS, move |phase| {
            report(&FailStop::Hung { phase });
        })
        .map_err(|source| guard::failed("start a thread for", dir, source))?;
        let opened = watchdog.during(Phase::Opening, || {
            // Errors with a meaning pass through as values; only a panic is left for `during`.
            Ok(if options.unguarded {
                open_unguarded(dir, &options)
            } else {
                open(dir, &options)
            })
        });
        drop(watchdog);
        let engine = opened.unwrap_or_else(|stop| {
            Err(guard::damaged(
                dir,
                Damage::Engine {
                    reason: stop.to_string(),
                },
            ))
        })?;
        let limits = Limits {
            queue_batches: options.queue_batches,
            queue_bytes: options.queue_bytes,
            group_bytes: GROUP_BYTES,
            step: options.step_limit,
        };
        let committer = Committer::start(engine, limits, options.on_fail_stop)
            .map_err(|source| guard::failed("start a thread for", dir, source))?;
        Ok(Self {
            dir: dir.to_owned(),
            committer,
        })
    }

    /// Reads everything and checks every value. Blocks; writes go on meanwhile.
    pub fn check(&self) -> Check {
        let mut check = Check::default();
        let mut from = vec![CALLER];
        loop {
            match self
                .committer
                .inspect(|engine| engine.page(&from, &[CALLER + 1], 256))
            {
                Err(error) => {
                    check.unreadable = Some(error.to_string());
                    return check;
                }
                Ok(page) => {
                    let Some((last, _)) = page.last() else {
                        return check;
                    };
                    from.clone_from(last);
                    from.push(0);
                    page.iter().for_each(|(key, frame)| check.judge(key, frame));
                }
            }
        }
    }

    /// Counters since the store was opened, among them how long syncs take.
    pub fn stats(&self) -> Stats {
        self.committer.stats()
    }

    /// Whether the store has stopped for good.
    pub fn has_stopped(&self) -> bool {
        self.committer.has_stopped()
    }

    /// Bytes the store takes on the disk.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        guard::disk_bytes(&self.dir).map_err(|source| guard::failed("measure", &self.dir, source))
    }

    /// Bytes free for this process on the disk of the store.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        guard::space(&self.dir)
            .map(|(free, _)| free)
            .map_err(|source| guard::failed("measure the disk of", &self.dir, source))
    }

    /// The directory of the store.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Check {
    fn judge(&mut self, stored_key: &[u8], frame: &[u8]) {
        let key = plain_key(stored_key);
        match value::decode(key, frame) {
            Some(plain) => {
                self.values += 1;
                self.bytes += (key.len() + plain.len()) as u64;
            }
            None => {
                self.corrupt_count += 1;
                if self.corrupt.len() < CORRUPT_LISTED_MAX {
                    self.corrupt.push(key.to_vec());
                }
            }
        }
    }
}

impl Kv for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let frame = self.committer.read(|engine| engine.read(key))?;
        frame.map(|frame| plain_value(key, &frame)).transpose()
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let (from, to) = (stored_key(from), stored_key(to));
        let page = self
            .committer
            .read(|engine| engine.page(&from, &to, limit))?;
        page.into_iter()
            .map(|(key, frame)| {
                let key = plain_key(&key).to_vec();
                let value = plain_value(&key, &frame)?;
                Ok((key, value))
            })
            .collect()
    }

    fn commit(&self, batch: Batch) -> CommitFuture {
        self.committer.commit(batch)
    }
}

fn stored_key(key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(key.len() + 1);
    stored.push(CALLER);
    stored.extend_from_slice(key);
    stored
}

fn plain_key(stored: &[u8]) -> &[u8] {
    stored.split_first().map_or(&[], |(_, key)| key)
}

fn plain_value(key: &[u8], frame: &[u8]) -> Result<Vec<u8>, StoreError> {
    value::decode(key, frame).ok_or_else(|| StoreError::Corrupt { key: key.to_vec() })
}

struct SledEngine {
    db: sled::Db,
    dir: PathBuf,
    reserve: Reserve,
    /// `None` when unguarded.
    guard: Option<Syncs>,
}

/// The durable half of a flush.
struct Syncs {
    log: SyncHandle,
    blobs: PathBuf,
    /// Files of `blobs` that are on the medium. Stays empty: see `PAGE_MAX`.
    synced_blobs: Mutex<BTreeSet<OsString>>,
    count: AtomicU64,
    groups_since_mark: AtomicU32,
}

fn config(engine: &Path, cache_bytes: u64) -> sled::Config {
    sled::Config::new()
        .path(engine)
        .cache_capacity(cache_bytes)
        .mode(sled::Mode::LowSpace)
        .segment_size(SEGMENT)
        // The timer's sync only logs its errors. Every commit syncs, and moving pages out of sparse
        // segments happens beside writes.
        .flush_every_ms(None)
}

fn open(dir: &Path, options: &SledOptions) -> Result<SledEngine, StoreError> {
    guard::remove_unfinished(dir)?;
    if guard::is_absent(dir)? {
        guard::create(dir, |engine| create(dir, engine, options))?;
    }
    let engine = guard::engine_dir(dir);
    guard::remove_half_snapshots(&engine)?;
    let log_path = engine.join("db");
    // Before sled opens: this handle must be told of any write that fails from here on.
    let log = SyncHandle::open(&log_path)
        .map_err(|source| guard::failed("open the log of the store", &log_path, source))?;
    let db = open_sled(dir, &engine, options)?;
    durable::sync_tree(dir).map_err(|source| guard::failed("sync the store in", dir, source))?;
    let engine_error = |reason| guard::damaged(dir, Damage::Engine { reason });
    let canary = internal(&db, CANARY).map_err(engine_error)?;
    if canary.as_deref() != Some(CANARY_VALUE) {
        return Err(guard::damaged(dir, Damage::Canary));
    }
    let count = internal(&db, COUNT)
        .map_err(engine_error)?
        .and_then(|bytes| bytes.try_into().ok().map(u64::from_be_bytes))
        .ok_or_else(|| guard::damaged(dir, Damage::Canary))?;
    guard::check_mark(dir, count)?;
    let blobs = engine.join("blobs");
    let guard = Syncs {
        log,
        synced_blobs: Mutex::new(
            names(&blobs).map_err(|source| guard::failed("list", &blobs, source))?,
        ),
        blobs,
        count: AtomicU64::new(count),
        groups_since_mark: AtomicU32::new(0),
    };
    let engine = SledEngine {
        db,
        dir: dir.to_owned(),
        reserve: options.reserve,
        guard: Some(guard),
    };
    engine
        .mark()
        .map_err(|reason| guard::failed("write to", dir, io::Error::other(reason)))?;
    Ok(engine)
}

fn create(dir: &Path, engine: &Path, options: &SledOptions) -> Result<(), StoreError> {
    let db = open_sled(dir, engine, options)?;
    let mut batch = sled::Batch::default();
    batch.insert(CANARY, value::encode(CANARY, CANARY_VALUE));
    batch.insert(COUNT, value::encode(COUNT, &0_u64.to_be_bytes()));
    db.apply_batch(batch)
        .and_then(|()| db.flush())
        .map_err(|error| unopened(dir, error))?;
    close_sled(db, engine).map_err(|source| guard::failed("close the new store in", dir, source))
}

/// Closes sled and returns when it has let go of its file: its threads outlive it by a moment, and
/// what is opened or renamed next must not meet them.
fn close_sled(db: sled::Db, engine: &Path) -> io::Result<()> {
    drop(db);
    guard::wait_for_release(&engine.join("db"), || sled::pin().flush())
}

fn open_unguarded(dir: &Path, options: &SledOptions) -> Result<SledEngine, StoreError> {
    let engine = guard::engine_dir(dir);
    fs::create_dir_all(&engine).map_err(|source| guard::failed("create", &engine, source))?;
    let db = open_sled(dir, &engine, options)?;
    Ok(SledEngine {
        db,
        dir: dir.to_owned(),
        reserve: options.reserve,
        guard: None,
    })
}

fn open_sled(dir: &Path, engine: &Path, options: &SledOptions) -> Result<sled::Db, StoreError> {
    let opened = caught(|| Ok(config(engine, options.cache_bytes).open()));
    match opened {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(error)) => Err(unopened(dir, error)),
        Err(reason) => Err(guard::damaged(dir, Damage::Engine { reason })),
    }
}

/// Tells a store that is in use or cannot be reached from one that is damaged: a full disk or a
/// missing permission must not send anybody to the repair.
fn unopened(dir: &Path, error: sled::Error) -> StoreError {
    use io::ErrorKind::{InvalidData, Other, UnexpectedEof};
    match error {
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
            StoreError::InUse {
                dir: dir.to_owned(),
            }
        }
        sled::Error::Io(source)
            if !matches!(source.kind(), InvalidData | Other | UnexpectedEof) =>
        {
            guard::failed("open the store in", dir, source)
        }
        error => guard::damaged(
            dir,
            Damage::Engine {
                reason: error.to_string(),
            },
        ),
    }
}

/// Reads one of the guard's own records; a damaged one reads as missing.
fn internal(db: &sled::Db, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let frame = caught(|| db.get(key).map_err(|error| error.to_string()))?;
    Ok(frame.and_then(|frame| value::decode(key, &frame)))
}

fn names(dir: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect()
}

impl SledEngine {
    fn page(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, String> {
        self.db
            .range(from..to)
            .take(limit)
            .map(|entry| match entry {
                Ok((key, frame)) => Ok((key.to_vec(), frame.to_vec())),
                Err(error) => Err(error.to_string()),
            })
            .collect()
    }

    /// Raises the mark inside the engine, makes it durable, and then records it outside.
    fn mark(&self) -> Result<(), String> {
        let Some(guard) = &self.guard else {
            return Ok(());
        };
        let count = guard.count.load(Ordering::Acquire) + 1;
        let frame = value::encode(COUNT, &count.to_be_bytes());
        self.db
            .insert(COUNT, frame)
            .map_err(|error| error.to_string())?;
        self.flush()?;
        guard::write_mark(&self.dir, count).map_err(|error| error.to_string())?;
        guard.count.store(count, Ordering::Release);
        guard.groups_since_mark.store(0, Ordering::Release);
        Ok(())
    }

    fn flush(&self) -> Result<(), String> {
        self.db.flush().map_err(|error| error.to_string())?;
        if let Some(guard) = &self.guard {
            guard.sync().map_err(|error| error.to_string())?;
        }
        // sled frees its log buffers through epochs that otherwise advance only every hundred or so
        // operations; with buffers of a segment each, that is a gigabyte of garbage.
        for _ in 0..4 {
            sled::pin().flush();
        }
        Ok(())
    }
}

impl Syncs {
    fn sync(&self) -> io::Result<()> {
        // Files first, then the log that points to them.
        let present = names(&self.blobs)?;
        let mut synced = self
            .synced_blobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if present != *synced {
            durable::sync_tree(&self.blobs)?;
            *synced = present;
        }
        self.log.sync()
    }
}

impl Engine for SledEngine {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let frame = self
            .db
            .get(stored_key(key))
            .map_err(|error| error.to_string())?;
        Ok(frame.map(|frame| frame.to_vec()))
    }

    fn apply(&self, writes: Writes) -> Result<(), String> {
        let mut batch = sled::Batch::default();
        for (key, frame) in writes {
            match frame {
                Some(frame) => batch.insert(stored_key(&key), frame),
                None => batch.remove(stored_key(&key)),
            }
        }
        self.db
            .apply_batch(batch)
            .map_err(|error| error.to_string())
    }

    fn sync(&self) -> Result<(), String> {
        self.flush()?;
        let Some(guard) = &self.guard else {
            return Ok(());
        };
        if guard.groups_since_mark.fetch_add(1, Ordering::AcqRel) + 1 >= GROUPS_PER_MARK {
            self.mark()?;
        }
        Ok(())
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        let (free, total) = guard::space(&self.dir)?;
        Ok((free, self.reserve.of(total)))
    }

    fn close(self) -> Result<(), String> {
        self.mark()?;
        let Self { db, dir, .. } = self;
        close_sled(db, &guard::engine_dir(&dir)).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
