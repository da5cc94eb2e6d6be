//! Where the suites play: the compiled shim, scratch directories, victims with a time limit, and the
//! place where images of failures are kept.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::workload::{self, Sizes};

/// A victim that takes longer has hung: its own watchdog ends it after 3 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all suites share.
pub(crate) struct Stage {
    shim: PathBuf,
    scratch: tempfile::TempDir,
    kept: PathBuf,
    numbers: AtomicUsize,
}

/// What became of a victim.
#[derive(Debug)]
pub(crate) struct Ending {
    /// Its lines.
    pub(crate) lines: Vec<String>,
    /// Its exit; `None` when it had to be ended by us.
    pub(crate) exit: Option<ExitStatus>,
}

impl Ending {
    /// The last batch it acknowledged.
    pub(crate) fn acknowledged(&self) -> Option<u64> {
        self.lines
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("A ")?.parse().ok())
    }

    /// Whether it ended by itself, in success.
    pub(crate) fn succeeded(&self) -> bool {
        self.exit.is_some_and(|exit| exit.success())
    }

    /// The reason it gave for refusing.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix("E "))
    }
}

/// What a store turned out to be when it was opened again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It opened and everything could be read.
    State(State),
    /// It refused to open.
    Refused(String),
    /// It opened, and refused a read.
    Unread(String),
    /// It handed out something that was never written.
    Wrong(String),
    /// It neither answered nor ended.
    Hung,
    /// It died.
    Died(String),
}

impl Stage {
    /// Compiles the shim and makes a scratch directory.
    pub(crate) fn set() -> anyhow::Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("sanji-store-tests-")
            .tempdir()?;
        let shim = scratch.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("store/shim.c");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| OsString::from("cc"));
        let status = Command::new(compiler)
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&shim, &source])
            .arg("-lpthread")
            .status()
            .context("the store tests need a C compiler")?;
        ensure!(status.success(), "the shim does not compile");
        let kept = std::env::temp_dir().join("sanji-store-failures");
        Ok(Self {
            shim,
            scratch,
            kept,
            numbers: AtomicUsize::new(0),
        })
    }

    /// A new, empty directory. Whoever asked removes it.
    pub(crate) fn directory(&self) -> anyhow::Result<PathBuf> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let path = self.scratch.path().join(format!("{number}"));
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// Runs a victim on `home` under the shim.
    pub(crate) fn run(
        &self,
        home: &Path,
        words: &[&str],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Ending> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_store-victim"));
        let (verb, rest) = words.split_first().context("a verb")?;
        command
            .arg(verb)
            .arg(home.join("store"))
            .args(rest)
            .env("LD_PRELOAD", &self.shim)
            .env("SHIM_DIR", home)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn()?;
        let mut out = child.stdout.take().context("piped")?;
        let child = Mutex::new(child);
        let (ended, watch) = channel::<()>();
        let mut text = String::new();
        let (outcome, hung) = std::thread::scope(|scope| {
            let child = &child;
            let watcher = scope.spawn(move || {
                // Ends with another error at once when the other end is dropped.
                let hung = watch.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
                if hung {
                    let _ = child.lock().expect("nobody panics with it").kill();
                }
                hung
            });
            let outcome = out.read_to_string(&mut text);
            drop(ended);
            (outcome, watcher.join().expect("the watcher does not panic"))
        });
        outcome?;
        let exit = child.into_inner()?.wait()?;
        let lines = text.lines().map(str::to_owned).collect();
        Ok(Ending {
            lines,
            exit: (!hung).then_some(exit),
        })
    }

    /// Plays `batches` of the script.
    pub(crate) fn write(
        &self,
        home: &Path,
        sizes: Sizes,
        from: u64,
        batches: u64,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Ending> {
        let words = [
            "write",
            sizes.word(),
            &from.to_string(),
            &batches.to_string(),
        ];
        self.run(home, &words, environment)
    }

    /// Opens the store and says what it holds.
    pub(crate) fn dump(
        &self,
        home: &Path,
        sizes: Sizes,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Found> {
        let mut environment = environment.to_vec();
        environment.push(("SHIM_NOSYNC", "1"));
        let ending = self.run(home, &["dump", sizes.word()], &environment)?;
        let mut state = State::new();
        for line in &ending.lines {
            match line.split_once(' ') {
                Some(("K", pair)) => {
                    let (key, author) = pair.split_once(' ').context("two numbers")?;
                    state.insert(key.parse()?, author.parse()?);
                }
                Some(("E", reason)) => return Ok(Found::Refused(reason.to_owned())),
                Some(("X", reason)) => return Ok(Found::Unread(reason.to_owned())),
                Some(("B", reason)) => return Ok(Found::Wrong(reason.to_owned())),
                _ => {}
            }
        }
        Ok(match ending.exit {
            None => Found::Hung,
            Some(exit) if exit.success() && ending.lines.iter().any(|line| line == "END") => {
                Found::State(state)
            }
            Some(exit) => Found::Died(exit.to_string()),
        })
    }

    /// Keeps the directory of a failed case where it outlives the run, and returns where.
    pub(crate) fn keep(&self, home: &Path, name: &str) -> PathBuf {
        let place = (0_u32..)
            .map(|number| self.kept.join(format!("{name}-{number}")))
            .find(|place| !place.exists())
            .expect("some number is free");
        // Keeping is a kindness; the failure itself is what must be reported.
        let _ = copy_tree(home, &place);
        place
    }
}

/// Judges what was found against the script; the words of the error name the fault.
pub(crate) fn verdict(
    base: &State,
    from: u64,
    acknowledged: Option<u64>,
    found: &Found,
    sizes: Sizes,
) -> Result<u64, String> {
    match found {
        Found::State(state) => judge(base, from, acknowledged, state, sizes),
        Found::Refused(reason) => Err(format!("UNUSABLE: {reason}")),
        Found::Unread(reason) => Err(format!("UNREADABLE: {reason}")),
        Found::Wrong(reason) => Err(format!("WRONG: {reason}")),
        Found::Hung => Err("HUNG while it was opened again".to_owned()),
        Found::Died(how) => Err(format!("UNUSABLE: died, {how}")),
    }
}

/// What a store holds: for each key number the batch that wrote it.
pub(crate) type State = BTreeMap<u64, u64>;

/// Judges a store found after a crash. It was at `base` when batch `from` was the next to be written;
/// `acknowledged` is the last batch that was confirmed. It must hold exactly the effect of all batches
/// up to some number that is not before the acknowledged one: nothing lost, nothing half, nothing out
/// of order. Returns the number of the next batch.
fn judge(
    base: &State,
    from: u64,
    acknowledged: Option<u64>,
    found: &State,
    sizes: Sizes,
) -> Result<u64, String> {
    let last = found
        .get(&workload::PAIR[0])
        .copied()
        .filter(|last| *last >= from);
    let next = last.map_or(from, |last| last + 1);
    if let Some(acknowledged) = acknowledged.filter(|acknowledged| *acknowledged >= next) {
        return Err(format!(
            "LOST: batch {acknowledged} was acknowledged, the store is at {last:?}"
        ));
    }
    let mut expected = base.clone();
    for number in from..next {
        for (key, len) in workload::batch(number, sizes) {
            match len {
                Some(_) => expected.insert(key, number),
                None => expected.remove(&key),
            };
        }
    }
    if expected == *found {
        return Ok(next);
    }
    let keys = expected.keys().chain(found.keys());
    let differing: Vec<_> = keys
        .filter(|key| expected.get(key) != found.get(key))
        .take(4)
        .collect();
    Err(format!(
        "WRONG: at batch {last:?}, acknowledged {acknowledged:?}, keys {differing:?} differ"
    ))
}

/// Copies a directory tree.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Results of a suite: how many cases ended how, and the faults with their images.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Cases by how they ended.
    pub(crate) counts: BTreeMap<&'static str, usize>,
    /// One line for each fault.
    pub(crate) faults: Vec<String>,
}

impl Tally {
    /// Counts one case.
    pub(crate) fn count(&mut self, ending: &'static str) {
        *self.counts.entry(ending).or_default() += 1;
    }

    /// Cases that ended so.
    pub(crate) fn of(&self, ending: &str) -> usize {
        self.counts.get(ending).copied().unwrap_or(0)
    }

    fn merge(&mut self, other: Self) {
        for (ending, count) in other.counts {
            *self.counts.entry(ending).or_default() += count;
        }
        self.faults.extend(other.faults);
    }
}

/// Runs every case on as many threads as there are processors and adds up the results.
pub(crate) fn in_parallel<T: Sync>(
    cases: &[T],
    play: impl Fn(&T, &mut Tally) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Tally> {
    let threads = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .min(8);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut tally = Tally::default();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            play(case, &mut tally)?;
        }
        anyhow::Ok(tally)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut sum = Tally::default();
        for worker in workers {
            sum.merge(
                worker
                    .join()
                    .expect("cases report errors instead of panicking")?,
            );
        }
        Ok(sum)
    })
}
