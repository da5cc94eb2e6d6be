//! Files that survive a power cut: the only file of the product that knows `fsync`.
//!
//! A rename is atomic but not durable, a write is neither, and a new name is lost with its
//! directory. Small files are therefore written beside their place, synced, renamed over it, and the
//! directory is synced: after a power cut the file is the old one or the new one, whole.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const READABLE: u32 = 0o644;
const PRIVATE: u32 = 0o600;
const PRIVATE_DIRECTORY: u32 = 0o700;

/// Replaces the file at `path` by `bytes`, durably and all or nothing. Mode 0644 less the umask.
///
/// # Errors
/// Whatever the file system reports; the old file is then still in place.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, READABLE)
}

/// Like [`write`](fn@write), for secrets: the file is mode 0600 from its first moment.
///
/// # Errors
/// Whatever the file system reports; the old file is then still in place.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, PRIVATE)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = sibling(path, "tmp")?;
    let outcome = fill(&temporary, bytes, mode).and_then(|()| rename(&temporary, path));
    if outcome.is_err() {
        // The error to report is the first one; a left-over is only litter with a random name.
        let _ = fs::remove_file(&temporary);
    }
    outcome
}

fn fill(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Writes a new file and syncs its content; its name becomes durable with [`sync_dir`] or a later
/// [`rename`] of the directory.
///
/// # Errors
/// `AlreadyExists` when there is a file at `path`, otherwise what the file system reports.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fill(path, bytes, READABLE)
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// `InvalidData` when the file is longer, otherwise what the file system reports.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is too long",
        ));
    }
    Ok(bytes)
}

/// Renames a file or directory and makes the new name durable.
///
/// # Errors
/// What the file system reports. When only the last sync failed, the new name is already visible.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_dir(parent(to))
}

/// Creates a directory and its missing ancestors (mode 0700), and makes their names durable.
///
/// # Errors
/// What the file system reports.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = parent(path);
    if above != path {
        create_dir_all(above)?;
    }
    match DirBuilder::new().mode(PRIVATE_DIRECTORY).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_dir(above),
    }
}

/// Removes a file durably; one that is not there is fine.
///
/// # Errors
/// What the file system reports.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_dir(parent(path)),
    }
}

/// Makes the names inside a directory durable.
///
/// # Errors
/// What the file system reports.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Syncs every regular file below `path` and every directory, children before parents.
///
/// # Errors
/// What the file system reports, first error first.
pub fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(path)
}

/// A path beside `path`, named `<name>.<word>-<16 random hex digits>`; nothing is created.
///
/// # Errors
/// When the system has no randomness to give.
pub fn sibling(path: &Path, word: &str) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut name: OsString = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{word}-{}", hex::encode(random)));
    Ok(parent(path).join(name))
}

/// The directory that holds `path`; `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Keeps one handle of a file that others write, to sync it.
///
/// Linux reports a failed write-back once to each open handle: a handle opened after the failure
/// would sync "successfully", which is why this one is opened first and kept.
#[derive(Debug)]
pub struct SyncHandle(File);

impl SyncHandle {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// What the file system reports.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// Returns when all that was written to the file, through any handle, is on the medium,
    /// together with the size needed to read it back.
    ///
    /// # Errors
    /// What the file system reports. After an error nothing is known about earlier writes, and
    /// calling again proves nothing: stop.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_written_file_replaces_the_old_one_and_leaves_no_litter() {
        let dir = scratch();
        let path = dir.path().join("config");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert_eq!(names(dir.path()), ["config"]);
    }

    #[test]
    fn a_private_file_is_readable_by_its_owner_only() {
        let dir = scratch();
        let path = dir.path().join("secret");
        write_private(&path, b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_litter() {
        let dir = scratch();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"kept").unwrap();
        assert!(write(&path, b"x").is_err());
        assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
        assert_eq!(names(dir.path()), ["taken"]);
    }

    #[test]
    fn a_file_longer_than_the_limit_is_not_read() {
        let dir = scratch();
        let path = dir.path().join("long");
        write(&path, b"four").unwrap();
        assert_eq!(
            read(&path, 3).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn missing_ancestors_are_created_for_the_owner_only() {
        let dir = scratch();
        let path = dir.path().join("a/b/c");
        create_dir_all(&path).unwrap();
        create_dir_all(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        sync_tree(dir.path()).unwrap();
        remove_file(&path.join("not there")).unwrap();
    }

    #[test]
    fn the_parent_of_a_bare_name_is_the_working_directory() {
        assert_eq!(parent(Path::new("store")), Path::new("."));
        assert_eq!(parent(Path::new("/a/store")), Path::new("/a"));
        assert_eq!(parent(Path::new("/")), Path::new("/"));
    }
}
