//! What stands around the engine's directory: atomic creation, the READY and MARK files, the
//! clean-up before opening, space accounting, and moving a damaged store out of the way.
//!
//! ```text
//! store/            renamed into place whole, so it exists complete or not at all
//!   READY           the format; written last before that rename
//!   MARK            a count that the engine must have reached, so that lost writes are noticed
//!   engine/         the engine's own files; nobody else writes here
//! store.new-XXXX/   a creation that did not finish; thrown away at the next opening
//! store.damaged-N/  moved aside, never deleted by this program
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keys::Hash;

use super::{Damage, StoreError};
use crate::durable;

/// The format this program writes and reads.
pub const FORMAT: &str = "1";

const READY: &str = "READY";
const MARK: &str = "MARK";
const ENGINE: &str = "engine";
const NEW: &str = "new";
const READY_WORDS: &str = "sanji store ";
const SMALL_FILE: u64 = 256;

/// How much of the disk must stay free before the store refuses to write.
///
/// An engine that runs out of space half-way is the state tested least by everyone, so it is never
/// let near it. The share keeps large disks healthy; the cap keeps it from claiming 200 GB of a 4 TB
/// disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// Percent of the disk.
    pub percent: u8,
    /// Never less than this, in bytes.
    pub at_least: u64,
    /// Never more than this, in bytes, unless `at_least` is.
    pub at_most: u64,
}

impl Default for Reserve {
    fn default() -> Self {
        Self {
            percent: 5,
            at_least: 512 << 20,
            at_most: 4 << 30,
        }
    }
}

impl Reserve {
    /// No reserve at all, for tests on small disks.
    pub const NONE: Self = Self {
        percent: 0,
        at_least: 0,
        at_most: 0,
    };

    /// Bytes to keep free on a disk of `total` bytes.
    pub fn of(&self, total: u64) -> u64 {
        (total / 100)
            .saturating_mul(u64::from(self.percent))
            .min(self.at_most)
            .max(self.at_least)
    }
}

/// The directory the engine lives in, inside the store's.
pub(crate) fn engine_dir(dir: &Path) -> PathBuf {
    dir.join(ENGINE)
}

/// Whether the store has to be created first.
///
/// # Errors
/// [`StoreError::NotAStore`], [`StoreError::Format`] or [`StoreError::Io`].
pub(crate) fn is_absent(dir: &Path) -> Result<bool, StoreError> {
    match durable::read(&dir.join(READY), SMALL_FILE) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            match text.strip_prefix(READY_WORDS).map(str::trim_end) {
                Some(FORMAT) => Ok(false),
                Some(found) => Err(StoreError::Format {
                    dir: dir.to_owned(),
                    found: found.to_owned(),
                }),
                None => Err(StoreError::NotAStore {
                    dir: dir.to_owned(),
                }),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // An empty directory is what `mkdir` or an unpacked home leaves; a rename replaces it.
            match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
                Ok(true) => Ok(true),
                Ok(false) => Err(StoreError::NotAStore {
                    dir: dir.to_owned(),
                }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
                Err(source) => Err(failed("list", dir, source)),
            }
        }
        Err(source) => Err(failed("read the READY file of", dir, source)),
    }
}

/// Builds a store beside its place with `build`, which is given the engine's directory and must have
/// closed the engine when it returns, and renames it into place.
///
/// # Errors
/// What `build` returns, or [`StoreError::Io`]. The place is then as empty as before.
pub(crate) fn create(
    dir: &Path,
    build: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let parent = durable::parent(dir);
    durable::create_dir_all(parent).map_err(|source| failed("create", parent, source))?;
    let new = durable::sibling(dir, NEW).map_err(|source| failed("name", dir, source))?;
    let engine = engine_dir(&new);
    durable::create_dir_all(&engine).map_err(|source| failed("create", &engine, source))?;
    build(&engine)?;
    let finish = || {
        durable::write_new(&new.join(MARK), &mark_line(0))?;
        durable::write_new(
            &new.join(READY),
            format!("{READY_WORDS}{FORMAT}\n").as_bytes(),
        )?;
        durable::sync_tree(&new)?;
        durable::rename(&new, dir)
    };
    finish().map_err(|source| failed("finish the new store in", dir, source))
}

/// Throws away creations that never finished. They were never READY at the store's place, so
/// nothing was ever acknowledged from them.
///
/// # Errors
/// [`StoreError::Io`].
pub(crate) fn remove_unfinished(dir: &Path) -> Result<(), StoreError> {
    let parent = durable::parent(dir);
    let Some(name) = dir.file_name().and_then(|name| name.to_str()) else {
        return Ok(());
    };
    let prefix = format!("{name}.{NEW}-");
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| failed("list", parent, source))?,
    };
    for entry in entries {
        let entry = entry.map_err(|source| failed("list", parent, source))?;
        if entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(&prefix))
        {
            let path = entry.path();
            fs::remove_dir_all(&path)
                .map_err(|source| failed("remove the unfinished store", &path, source))?;
        }
    }
    Ok(())
}

/// Removes what keeps sled 0.34.7 from opening after a crash during an earlier opening: a snapshot
/// that was still being written. The rename that would have made it count had not happened, and the
/// snapshot before it is still there.
///
/// # Errors
/// [`StoreError::Io`].
pub(crate) fn remove_half_snapshots(engine: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(engine).map_err(|source| failed("list", engine, source))? {
        let entry = entry.map_err(|source| failed("list", engine, source))?;
        let name = entry.file_name();
        let half = name
            .to_str()
            .is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating"));
        if half {
            let path = entry.path();
            durable::remove_file(&path)
                .map_err(|source| failed("remove the half-written snapshot", &path, source))?;
        }
    }
    Ok(())
}

/// Records that the engine durably holds mark `count`.
///
/// # Errors
/// What the file system reports.
pub(crate) fn write_mark(dir: &Path, count: u64) -> io::Result<()> {
    durable::write(&dir.join(MARK), &mark_line(count))
}

/// Compares the mark found in the engine with the one it is known to have reached.
///
/// # Errors
/// [`StoreError::Damaged`] when the engine has fallen back behind it.
pub(crate) fn check_mark(dir: &Path, found: u64) -> Result<(), StoreError> {
    let path = dir.join(MARK);
    let marked = match durable::read(&path, SMALL_FILE) {
        Ok(bytes) => parse_mark(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(failed("read", &path, source)),
    };
    match marked {
        Some(marked) if found < marked => Err(damaged(dir, Damage::Truncated { marked, found })),
        Some(_) => Ok(()),
        None => {
            // Losing the alarm is not losing data: it is armed again a moment after this.
            tracing::warn!(path = %path.display(), "the mark file of the store is unreadable");
            Ok(())
        }
    }
}

fn mark_line(count: u64) -> Vec<u8> {
    format!("{count} {}\n", Hash::of(&count.to_be_bytes()).short()).into_bytes()
}

fn parse_mark(bytes: &[u8]) -> Option<u64> {
    let count = std::str::from_utf8(bytes)
        .ok()?
        .split(' ')
        .next()?
        .parse()
        .ok()?;
    (mark_line(count) == bytes).then_some(count)
}

/// Moves the store out of the way, to `<dir>.damaged-N`, and returns where it is now. Nothing is
/// deleted, so it can still be examined or sent in.
///
/// # Errors
/// [`StoreError::Io`].
pub fn move_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let name = dir
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut number = 1_u32;
    let aside = loop {
        let aside = dir.with_file_name(format!("{name}.damaged-{number}"));
        match fs::symlink_metadata(&aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break aside,
            _ => number += 1,
        }
    };
    durable::rename(dir, &aside).map_err(|source| failed("move aside", dir, source))?;
    Ok(aside)
}

/// Waits until the engine's lock on the file at `path` is free, `idle` being called between looks.
/// After five seconds it gives up: who opens next will be told that the store is in use.
///
/// # Errors
/// What the file system reports.
pub(crate) fn wait_for_release(path: &Path, mut idle: impl FnMut()) -> io::Result<()> {
    use rustix::fs::FlockOperation::{NonBlockingLockExclusive, Unlock};
    let file = fs::File::open(path)?;
    for _ in 0..5_000 {
        idle();
        match rustix::fs::flock(&file, NonBlockingLockExclusive) {
            Ok(()) => return Ok(rustix::fs::flock(&file, Unlock)?),
            Err(rustix::io::Errno::WOULDBLOCK) => pause(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a blocking lock could wait for ever for garbage that only `idle` collects"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

/// Space of the disk that holds `path`: free for this process, and total, in bytes.
pub(crate) fn space(path: &Path) -> io::Result<(u64, u64)> {
    let disk = rustix::fs::statvfs(path)?;
    Ok((
        disk.f_bavail.saturating_mul(disk.f_frsize),
        disk.f_blocks.saturating_mul(disk.f_frsize),
    ))
}

/// Bytes that the files below `path` take on the disk.
pub(crate) fn disk_bytes(path: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            // The engine removes files as it works.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        sum += if metadata.is_dir() {
            disk_bytes(&entry.path())?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(sum)
}

/// An I/O error with its place.
pub(crate) fn failed(doing: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// A damaged store with its place.
pub(crate) fn damaged(dir: &Path, damage: Damage) -> StoreError {
    StoreError::Damaged {
        dir: dir.to_owned(),
        damage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_share_between_two_bounds() {
        let reserve = Reserve::default();
        assert_eq!(reserve.of(1 << 30), 512 << 20);
        assert_eq!(reserve.of(20_000 << 20), (20_000 << 20) / 100 * 5);
        assert_eq!(reserve.of(4 << 40), 4 << 30);
        assert_eq!(Reserve::NONE.of(4 << 40), 0);
    }

    #[test]
    fn a_changed_mark_line_is_not_believed() {
        let line = mark_line(41);
        assert_eq!(parse_mark(&line), Some(41));
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut damaged = line.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(parse_mark(&damaged), None, "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn a_store_moved_aside_never_replaces_an_earlier_one() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("store");
        for expected in ["store.damaged-1", "store.damaged-2"] {
            fs::create_dir(&dir).unwrap();
            let aside = move_aside(&dir).unwrap();
            assert_eq!(aside, scratch.path().join(expected));
            assert!(aside.is_dir() && !dir.exists());
        }
    }

    #[test]
    fn only_an_empty_or_missing_directory_becomes_a_store() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("store");
        assert!(is_absent(&dir).unwrap());
        fs::create_dir(&dir).unwrap();
        assert!(is_absent(&dir).unwrap());
        fs::write(dir.join("letter.txt"), "mine").unwrap();
        assert!(matches!(is_absent(&dir), Err(StoreError::NotAStore { .. })));
        fs::write(dir.join(READY), "sanji store 2\n").unwrap();
        assert!(matches!(is_absent(&dir), Err(StoreError::Format { found, .. }) if found == "2"));
        fs::write(dir.join(READY), "something else").unwrap();
        assert!(matches!(is_absent(&dir), Err(StoreError::NotAStore { .. })));
    }

    #[test]
    fn an_unfinished_creation_is_thrown_away_and_its_neighbours_are_not() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("store");
        for name in [
            "store.new-00ff",
            "store.damaged-1",
            "store2.new-00ff",
            "store",
        ] {
            fs::create_dir_all(scratch.path().join(name).join(ENGINE)).unwrap();
        }
        remove_unfinished(&dir).unwrap();
        let left = |name: &str| scratch.path().join(name).exists();
        assert!(!left("store.new-00ff"));
        assert!(left("store.damaged-1") && left("store2.new-00ff") && left("store"));
    }
}
