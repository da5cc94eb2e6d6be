//! The power cut: replays the shim's log up to a moment and builds a disk that the cut could leave.
//!
//! The model: a sync of a file makes its content and size durable, and with it every change of names
//! before it, as an ordered journal does. Everything else survives or not, at random: writes in part,
//! page by page or sector by sector, in any order; sizes and names as a prefix of what happened.
//! `sync_file_range` gives nothing: it neither flushes the drive's cache nor writes the size.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::workload::Random;

const PAGE: usize = 4_096;
const SECTOR: usize = 512;

/// One record of the log. Names are relative to the directory the shim watches.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A new file.
    Create(String),
    /// A new directory.
    Directory(String),
    /// Bytes written at an offset.
    Write(String, usize, Vec<u8>),
    /// A new length.
    Truncate(String, usize),
    /// A file or directory was synced.
    Sync(String),
    /// A file or directory was renamed.
    Rename(String, String),
    /// A file or directory was removed.
    Remove(String),
    /// The victim acknowledged all batches up to this one.
    Acknowledge(u64),
}

/// Reads the shim's log.
pub(crate) fn parse(log: &[u8], home: &Path) -> anyhow::Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut rest = log;
    while !rest.is_empty() {
        let op = *take(&mut rest, 1)?.first().context("one byte")?;
        let path_len = number32(&mut rest)?;
        let other_len = number32(&mut rest)?;
        let offset = number64(&mut rest)?;
        let len = number64(&mut rest)?;
        let path = name(take(&mut rest, path_len)?, home)?;
        let other = name(take(&mut rest, other_len)?, home)?;
        let data = take(&mut rest, len)?;
        events.push(match op {
            b'C' => Event::Create(path),
            b'D' => Event::Directory(path),
            b'W' => Event::Write(path, offset, data.to_vec()),
            b'T' => Event::Truncate(path, offset),
            b'S' => Event::Sync(path),
            b'N' => Event::Rename(path, other),
            b'U' => Event::Remove(path),
            b'R' => continue,
            b'A' => match std::str::from_utf8(data)?.trim_end().strip_prefix("A ") {
                Some(number) => Event::Acknowledge(number.parse()?),
                None => continue,
            },
            op => bail!("a log of another shim: {op:?}"),
        });
    }
    Ok(events)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> anyhow::Result<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(len).context("the log is cut short")?;
    *rest = tail;
    Ok(head)
}

fn number32(rest: &mut &[u8]) -> anyhow::Result<usize> {
    Ok(usize::try_from(u32::from_ne_bytes(
        take(rest, 4)?.try_into()?,
    ))?)
}

fn number64(rest: &mut &[u8]) -> anyhow::Result<usize> {
    Ok(usize::try_from(u64::from_ne_bytes(
        take(rest, 8)?.try_into()?,
    ))?)
}

fn name(path: &[u8], home: &Path) -> anyhow::Result<String> {
    if path.is_empty() {
        return Ok(String::new());
    }
    let path = Path::new(std::str::from_utf8(path)?);
    let inside = path
        .strip_prefix(home)
        .context("a path outside the watched directory")?;
    Ok(inside
        .to_str()
        .context("our own names are text")?
        .to_owned())
}

/// Files and directories of a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    directories: BTreeSet<String>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// Writes the image into an empty directory, with holes where it is zero.
    pub(crate) fn write(&self, home: &Path) -> anyhow::Result<()> {
        use std::os::unix::fs::FileExt as _;
        for directory in &self.directories {
            fs::create_dir_all(home.join(directory))?;
        }
        for (name, content) in &self.files {
            let path = home.join(name);
            fs::create_dir_all(path.parent().context("below the directory")?)?;
            let file = fs::File::create(path)?;
            file.set_len(content.len() as u64)?;
            for (number, page) in content.chunks(PAGE).enumerate() {
                if page.iter().any(|byte| *byte != 0) {
                    file.write_all_at(page, (number * PAGE) as u64)?;
                }
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Pending {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

type FileId = usize;

#[derive(Clone, Debug)]
enum NameChange {
    Create(String, FileId),
    Directory(String),
    Rename(String, String),
    Remove(String),
}

#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<String, FileId>,
    directories: BTreeSet<String>,
}

impl Names {
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Create(name, id) => {
                self.files.insert(name.clone(), *id);
            }
            NameChange::Directory(name) => {
                self.directories.insert(name.clone());
            }
            NameChange::Remove(name) => {
                self.files.remove(name);
                self.directories.remove(name);
            }
            NameChange::Rename(from, to) => {
                if let Some(id) = self.files.remove(from) {
                    self.files.insert(to.clone(), id);
                }
                let moved = |name: &str| {
                    let rest = name.strip_prefix(from.as_str())?;
                    (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
                };
                self.directories = self
                    .directories
                    .iter()
                    .map(|d| moved(d).unwrap_or_else(|| d.clone()))
                    .collect();
                self.files = std::mem::take(&mut self.files)
                    .into_iter()
                    .map(|(name, id)| (moved(&name).unwrap_or(name), id))
                    .collect();
            }
        }
    }
}

/// A disk in use: what is durable, and what is only in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    files: Vec<File>,
    live: Names,
    durable: Names,
    unsynced: Vec<NameChange>,
    acknowledged: Option<u64>,
}

impl Disk {
    /// A disk on which all of `image` is durable.
    pub(crate) fn from_image(image: &Image) -> Self {
        let mut disk = Self::default();
        disk.durable.directories.clone_from(&image.directories);
        for (name, content) in &image.files {
            disk.durable.files.insert(name.clone(), disk.files.len());
            disk.files.push(File {
                durable: content.clone(),
                pending: Vec::new(),
            });
        }
        disk.live.clone_from(&disk.durable);
        disk
    }

    /// The last batch acknowledged so far.
    pub(crate) fn acknowledged(&self) -> Option<u64> {
        self.acknowledged
    }

    /// Lets one event happen.
    pub(crate) fn apply(&mut self, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::Create(name) => {
                let id = self.files.len();
                self.files.push(File::default());
                self.rename(NameChange::Create(name.clone(), id));
            }
            Event::Directory(name) => self.rename(NameChange::Directory(name.clone())),
            Event::Rename(from, to) => {
                self.rename(NameChange::Rename(from.clone(), to.clone()));
            }
            Event::Remove(name) => self.rename(NameChange::Remove(name.clone())),
            Event::Write(name, offset, data) => {
                self.file(name)?
                    .pending
                    .push(Pending::Write(*offset, data.clone()));
            }
            Event::Truncate(name, len) => self.file(name)?.pending.push(Pending::Truncate(*len)),
            Event::Sync(name) => {
                if let Some(id) = self.live.files.get(name) {
                    let file = self
                        .files
                        .get_mut(*id)
                        .context("files are never forgotten")?;
                    for change in std::mem::take(&mut file.pending) {
                        change.apply(&mut file.durable);
                    }
                }
                for change in std::mem::take(&mut self.unsynced) {
                    self.durable.apply(&change);
                }
            }
            Event::Acknowledge(number) => self.acknowledged = Some(*number),
        }
        Ok(())
    }

    fn rename(&mut self, change: NameChange) {
        self.live.apply(&change);
        self.unsynced.push(change);
    }

    fn file(&mut self, name: &str) -> anyhow::Result<&mut File> {
        let id = self
            .live
            .files
            .get(name)
            .with_context(|| format!("no file {name}"))?;
        self.files.get_mut(*id).context("files are never forgotten")
    }

    /// Pulls the plug.
    pub(crate) fn cut(&self, random: &mut Random) -> Image {
        let mut names = self.durable.clone();
        for change in self.unsynced.iter().take(upto(random, self.unsynced.len())) {
            names.apply(change);
        }
        let files = names
            .files
            .iter()
            .map(|(name, id)| (name.clone(), self.files[*id].cut(random)))
            .collect();
        Image {
            directories: names.directories,
            files,
        }
    }
}

/// A number from 0 to `most`, both possible.
fn upto(random: &mut Random, most: usize) -> usize {
    usize::try_from(random.below(most as u64 + 1)).expect("not above a usize")
}

impl Pending {
    fn apply(self, content: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => put(content, offset, &data),
            Self::Truncate(len) => content.resize(len, 0),
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let end = offset + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(data);
}

impl File {
    fn cut(&self, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        let kept = upto(random, self.pending.len());
        match random.below(3) {
            // Nothing was written back.
            0 => {}
            // Written back in order, the last one torn between sectors.
            1 => {
                for change in self.pending.iter().take(kept) {
                    change.clone().apply(&mut content);
                }
                if let Some(Pending::Write(offset, data)) = self.pending.get(kept) {
                    let sectors = upto(random, data.len() / SECTOR);
                    put(&mut content, *offset, &data[..sectors * SECTOR]);
                }
            }
            // Written back page by page, in any order.
            _ => {
                for (number, change) in self.pending.iter().enumerate() {
                    match change {
                        Pending::Truncate(len) if number < kept => content.resize(*len, 0),
                        Pending::Write(offset, data) if number <= kept || random.below(2) == 0 => {
                            let mut at = 0;
                            while at < data.len() {
                                let page = (PAGE - (offset + at) % PAGE).min(data.len() - at);
                                if random.below(10) < 6 {
                                    put(&mut content, offset + at, &data[at..at + page]);
                                }
                                at += page;
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        content
    }
}

/// Proves that the model itself does what it says, before anything is judged by it.
pub(crate) fn check_model() -> anyhow::Result<()> {
    let (a, b) = ("d/a".to_owned(), "e/a".to_owned());
    let script = [
        Event::Directory("d".to_owned()),
        Event::Create(a.clone()),
        Event::Write(a.clone(), 0, vec![1; 5_000]),
        Event::Sync(a.clone()),
        Event::Write(a, 5_000, vec![2; 5_000]),
        Event::Rename("d".to_owned(), "e".to_owned()),
        Event::Write(b.clone(), 0, vec![3; 100]),
    ];
    let mut disk = Disk::default();
    for event in &script {
        disk.apply(event)?;
    }
    let (mut shortest, mut longest, mut renamed, mut kept) = (usize::MAX, 0, 0, 0);
    for seed in 0..200 {
        let image = disk.cut(&mut Random::new(seed));
        let (name, content) = image
            .files
            .first_key_value()
            .context("the file was synced")?;
        ensure!(content.len() >= 5_000 && content[100..5_000].iter().all(|byte| *byte == 1));
        shortest = shortest.min(content.len());
        longest = longest.max(content.len());
        renamed += usize::from(*name == b);
        kept += usize::from(content[0] == 3);
    }
    ensure!(
        shortest == 5_000 && longest == 10_000,
        "sizes are lost and kept"
    );
    ensure!(
        (20..180).contains(&renamed),
        "names are lost and kept: {renamed}"
    );
    ensure!(
        (20..180).contains(&kept),
        "writes are lost and kept: {kept}"
    );
    disk.apply(&Event::Sync(b.clone()))?;
    for seed in 0..50 {
        let image = disk.cut(&mut Random::new(seed));
        let content = image.files.get(&b).context("a synced name stays")?;
        ensure!(content.len() == 10_000 && content[0] == 3 && content[9_999] == 2);
    }
    Ok(())
}
