//! The four suites. Each plays its cases, counts how they ended, and says which endings are faults.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::image::{self, Disk, Event, Image};
use crate::stage::{Found, Stage, State, Tally, copy_tree, in_parallel, verdict};
use crate::workload::{Random, Sizes};

const OK: &str = "ok";
const LOST: &str = "lost or wrong";
const UNUSABLE: &str = "unusable";
const HUNG: &str = "hung";

/// Batches of the script that is killed at every call.
const KILL_SCRIPT: u64 = 90;

/// How many of each suite to play, from the environment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    /// Most points to kill at.
    pub(crate) kills: usize,
    /// Power cuts with the guard.
    pub(crate) cuts: usize,
    /// Power cuts without it.
    pub(crate) unguarded_cuts: usize,
    /// Calls that fail.
    pub(crate) faults: usize,
    /// Flipped bits.
    pub(crate) flips: usize,
    /// Where randomness starts.
    pub(crate) seed: u64,
}

fn evenly(from: u64, to: u64, most: usize) -> Vec<u64> {
    let all = to.saturating_sub(from);
    let most = (most as u64).clamp(1, all.max(1));
    (0..most).map(|n| from + n * all / most).collect()
}

fn path_text(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .context("temporary directories have plain names")
}

/// Counts one verdict; faults keep their image.
fn count(stage: &Stage, tally: &mut Tally, home: &Path, name: &str, fault: &str, case: &str) {
    tally.count(match fault.split(':').next() {
        Some("UNUSABLE" | "UNREADABLE") => UNUSABLE,
        Some(word) if word.starts_with("HUNG") => HUNG,
        _ => LOST,
    });
    let kept = stage.keep(home, name);
    tally.faults.push(format!(
        "{name}, {case}: {fault} (image: {})",
        kept.display()
    ));
}

/// (changes, changes that need space, syncs) of a run that was left alone.
fn calls(path: &Path) -> anyhow::Result<(u64, u64, u64)> {
    let text = fs::read_to_string(path)?;
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || anyhow::Ok(numbers.next().context("three numbers")??);
    Ok((next()?, next()?, next()?))
}

/// Kills the process at every call that changes the disk: creating the store and living on it, and
/// recovering from such a kill.
pub(crate) fn kills(stage: &Stage, amounts: Amounts) -> anyhow::Result<Tally> {
    let sizes = Sizes::Mixed;
    let rehearsal = stage.directory()?;
    let counted = rehearsal.join("count");
    let home = rehearsal.join("home");
    fs::create_dir(&home)?;
    let environment = [("SHIM_NOSYNC", "1"), ("SHIM_COUNT", path_text(&counted)?)];
    let ending = stage.write(&home, sizes, 1, KILL_SCRIPT, &environment)?;
    ensure!(
        ending.succeeded(),
        "the script does not play undisturbed: {ending:?}"
    );
    let (life, _, _) = calls(&counted)?;

    // A store killed in the middle of its life, to be recovered.
    let injured = rehearsal.join("injured");
    fs::create_dir(&injured)?;
    let kill = (life * 3 / 4).to_string();
    let environment = [("SHIM_NOSYNC", "1"), ("SHIM_KILL", kill.as_str())];
    let ending = stage.write(&injured, sizes, 1, KILL_SCRIPT, &environment)?;
    let acknowledged = ending.acknowledged();
    let recovered = rehearsal.join("recovered");
    copy_tree(&injured, &recovered)?;
    stage.dump(&recovered, sizes, &[("SHIM_COUNT", path_text(&counted)?)])?;
    let (recovery, _, _) = calls(&counted)?;

    let life_points = evenly(1, life + 1, amounts.kills * 3 / 4);
    let recovery_points = evenly(1, recovery + 1, amounts.kills / 4);
    let cases: Vec<(bool, u64)> = life_points
        .into_iter()
        .map(|point| (false, point))
        .chain(recovery_points.into_iter().map(|point| (true, point)))
        .collect();
    let tally = in_parallel(&cases, |(in_recovery, point), tally| {
        let home = stage.directory()?;
        let kill = point.to_string();
        let environment = [("SHIM_NOSYNC", "1"), ("SHIM_KILL", kill.as_str())];
        let (acknowledged, case) = if *in_recovery {
            copy_tree(&injured, &home)?;
            stage.dump(&home, sizes, &environment)?;
            (acknowledged, format!("at call {point} of recovery"))
        } else {
            let ending = stage.write(&home, sizes, 1, KILL_SCRIPT, &environment)?;
            (ending.acknowledged(), format!("at call {point} of life"))
        };
        let found = stage.dump(&home, sizes, &[])?;
        match verdict(&State::new(), 1, acknowledged, &found, sizes) {
            Ok(_) => tally.count(OK),
            Err(fault) => count(stage, tally, &home, "kill", &fault, &case),
        }
        fs::remove_dir_all(home)?;
        Ok(())
    });
    fs::remove_dir_all(rehearsal)?;
    tally
}

/// One life of a store as a log of what it did to the disk.
struct Life {
    name: &'static str,
    sizes: Sizes,
    /// What was durable before, and what of the script it held.
    before: Image,
    base: State,
    from: u64,
    events: Vec<Event>,
}

impl Life {
    fn live(
        stage: &Stage,
        name: &'static str,
        sizes: Sizes,
        before: Image,
        base: State,
        (from, batches): (u64, u64),
        unguarded: bool,
    ) -> anyhow::Result<Self> {
        let place = stage.directory()?;
        let (home, log) = (place.join("home"), place.join("log"));
        fs::create_dir(&home)?;
        before.write(&home)?;
        let mut environment = vec![("SHIM_NOSYNC", "1"), ("SHIM_LOG", path_text(&log)?)];
        if unguarded {
            environment.push(("VICTIM_UNGUARDED", "1"));
        }
        let ending = stage.write(&home, sizes, from, batches, &environment)?;
        ensure!(ending.succeeded(), "a life ended early: {ending:?}");
        let events = image::parse(&fs::read(&log)?, &home)?;
        fs::remove_dir_all(place)?;
        Ok(Self {
            name,
            sizes,
            before,
            base,
            from,
            events,
        })
    }

    /// Cuts the power at the given events, in order.
    fn cut(
        &self,
        moments: &[usize],
        seed: u64,
        mut see: impl FnMut(usize, Image, Option<u64>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut disk = Disk::from_image(&self.before);
        let mut events = self.events.iter();
        let mut past = 0;
        for moment in moments {
            for event in events.by_ref().take(moment - past) {
                disk.apply(event)?;
            }
            past = *moment;
            let mut random = Random::new(seed ^ ((*moment as u64) << 20));
            see(past, disk.cut(&mut random), disk.acknowledged())?;
        }
        Ok(())
    }
}

/// Power cuts without the guard: what it is for must be seen, or the suite sees nothing.
pub(crate) fn unguarded_cuts(stage: &Stage, amounts: Amounts) -> anyhow::Result<Tally> {
    let life = Life::live(
        stage,
        "unguarded",
        Sizes::Mixed,
        Image::default(),
        State::new(),
        (1, 300),
        true,
    )?;
    let moments = spread(&life, amounts.unguarded_cuts, amounts.seed);
    let parts: Vec<_> = moments.chunks(moments.len().div_ceil(4).max(1)).collect();
    in_parallel(&parts, |moments, tally| {
        life.cut(moments, amounts.seed, |_, image, acknowledged| {
            let home = stage.directory()?;
            image.write(&home)?;
            let found = stage.dump(&home, life.sizes, &[("VICTIM_UNGUARDED", "1")])?;
            let ending = match verdict(&life.base, life.from, acknowledged, &found, life.sizes) {
                Ok(_) => OK,
                Err(fault) if fault.starts_with("UN") => UNUSABLE,
                Err(_) => LOST,
            };
            tally.count(ending);
            fs::remove_dir_all(home)?;
            Ok(())
        })
    })
}

/// Random moments of a life, in order; a quarter of them in its first hundred events, where a store
/// is made.
fn spread(life: &Life, number: usize, seed: u64) -> Vec<usize> {
    let mut random = Random::new(seed);
    let all = life.events.len() as u64;
    let mut moments: Vec<usize> = (0..number)
        .map(|n| {
            let bound = if n % 4 == 0 { all.min(100) } else { all };
            usize::try_from(1 + random.below(bound)).expect("a small number")
        })
        .collect();
    moments.sort_unstable();
    moments
}

/// Power cuts with the guard, on several lives: a young store, one that is reopened, one whose
/// segments are used again, and chains in which each generation starts from what the cut before left.
pub(crate) fn cuts(stage: &Stage, amounts: Amounts) -> anyhow::Result<Tally> {
    let new = |name, sizes, batches| {
        Life::live(
            stage,
            name,
            sizes,
            Image::default(),
            State::new(),
            (1, batches),
            false,
        )
    };
    let lives = [
        new("a young store", Sizes::Mixed, 60)?,
        new("a store with its first segments", Sizes::Mixed, 700)?,
        new("a store that uses segments again", Sizes::Large, 500)?,
    ];
    let share = amounts.cuts / 4;
    let mut cases: Vec<(&Life, Vec<usize>)> = Vec::new();
    for (number, life) in lives.iter().enumerate() {
        let moments = spread(life, share, amounts.seed + number as u64);
        cases.extend(
            moments
                .chunks(moments.len().div_ceil(4).max(1))
                .map(|part| (life, part.to_vec())),
        );
    }
    let single = in_parallel(&cases, |(life, moments), tally| {
        life.cut(moments, amounts.seed, |moment, image, acknowledged| {
            judge_cut(stage, life, moment, &image, acknowledged, tally).map(drop)
        })
    })?;
    let chains: Vec<u64> = (0..(amounts.cuts - 3 * share).div_ceil(CHAIN) as u64).collect();
    let chained = in_parallel(&chains, |number, tally| {
        chain(stage, amounts.seed ^ (number << 8), tally)
    })?;
    Ok(sum(single, chained))
}

const CHAIN: usize = 6;

fn sum(mut one: Tally, other: Tally) -> Tally {
    for (ending, number) in other.counts {
        *one.counts.entry(ending).or_default() += number;
    }
    one.faults.extend(other.faults);
    one
}

/// Opens what the cut left and judges it; returns what it holds and the next batch.
fn judge_cut(
    stage: &Stage,
    life: &Life,
    moment: usize,
    image: &Image,
    acknowledged: Option<u64>,
    tally: &mut Tally,
) -> anyhow::Result<Option<(State, u64)>> {
    let home = stage.directory()?;
    image.write(&home)?;
    let found = stage.dump(&home, life.sizes, &[])?;
    let outcome = verdict(&life.base, life.from, acknowledged, &found, life.sizes);
    let after = match (outcome, found) {
        (Ok(next), Found::State(state)) => {
            tally.count(OK);
            Some((state, next))
        }
        (outcome, _) => {
            let fault = outcome.err().unwrap_or_default();
            // Opening has changed it: what is kept is the image as the cut left it.
            fs::remove_dir_all(&home)?;
            fs::create_dir(&home)?;
            image.write(&home)?;
            let case = format!(
                "{}, cut after event {moment} of {}",
                life.name,
                life.events.len()
            );
            count(stage, tally, &home, "power-cut", &fault, &case);
            None
        }
    };
    fs::remove_dir_all(home)?;
    Ok(after)
}

fn chain(stage: &Stage, seed: u64, tally: &mut Tally) -> anyhow::Result<()> {
    let mut random = Random::new(seed);
    let (mut image, mut state, mut next) = (Image::default(), State::new(), 1);
    for _ in 0..CHAIN {
        let batches = 20 + random.below(120);
        let life = Life::live(
            stage,
            "a chain of cuts",
            Sizes::Mixed,
            image,
            state,
            (next, batches),
            false,
        )?;
        let bound = life.events.len() as u64;
        let moment = usize::try_from(1 + random.below(bound)).expect("a small number");
        let mut left = None;
        life.cut(&[moment], random.next(), |_, image, acknowledged| {
            left = Some((image, acknowledged));
            Ok(())
        })?;
        let (cut, acknowledged) = left.context("one cut was made")?;
        let Some((found, after)) = judge_cut(stage, &life, moment, &cut, acknowledged, tally)?
        else {
            return Ok(());
        };
        (image, state, next) = (cut, found, after);
    }
    Ok(())
}

/// Fails calls: the disk full from one call on, one write that fails, one sync that fails.
pub(crate) fn faults(stage: &Stage, amounts: Amounts) -> anyhow::Result<Tally> {
    const ENOSPC: i32 = 28;
    const EIO: i32 = 5;
    let sizes = Sizes::Mixed;
    let rehearsal = stage.directory()?;
    let counted = rehearsal.join("count");
    let environment = [("SHIM_NOSYNC", "1"), ("SHIM_COUNT", path_text(&counted)?)];
    let ending = stage.write(&rehearsal.join("home"), sizes, 1, KILL_SCRIPT, &environment);
    ensure!(ending?.succeeded(), "the script does not play undisturbed");
    let (_, spaces, syncs) = calls(&counted)?;
    fs::remove_dir_all(rehearsal)?;
    let part = amounts.faults / 4;
    let forever = 1_u64 << 40;
    let mut cases = Vec::new();
    for (kind, all, length, errno, most) in [
        ("space", spaces, forever, ENOSPC, part),
        ("space", spaces, 1, ENOSPC, part),
        ("space", spaces, 1, EIO, part),
        ("sync", syncs, 1, EIO, amounts.faults - 3 * part),
    ] {
        cases.extend(
            evenly(1, all + 1, most)
                .into_iter()
                .map(|at| format!("{kind},{at},{length},{errno}")),
        );
    }
    in_parallel(&cases, |fault, tally| {
        let place = stage.directory()?;
        let (home, fired) = (place.join("home"), place.join("fired"));
        fs::create_dir(&home)?;
        let environment = [
            ("SHIM_NOSYNC", "1"),
            ("SHIM_FAIL", fault.as_str()),
            ("SHIM_FIRED", path_text(&fired)?),
        ];
        let ending = stage.write(&home, sizes, 1, KILL_SCRIPT, &environment)?;
        let found = stage.dump(&home, sizes, &[])?;
        let judged = if ending.exit.is_none() {
            Err("HUNG: its watchdog did not end it".to_owned())
        } else {
            verdict(&State::new(), 1, ending.acknowledged(), &found, sizes)
        };
        let case = format!("fault {fault}");
        match judged {
            Err(fault) => count(stage, tally, &home, "fault", &fault, &case),
            Ok(_) if !fired.exists() => tally.count("not reached"),
            Ok(_) if ending.refusal().is_some() => tally.count("refused"),
            Ok(_) if !ending.succeeded() => tally.count("stopped"),
            Ok(_) => tally.count("went on"),
        }
        fs::remove_dir_all(place)?;
        Ok(())
    })
}

/// Flips one bit in one file of a closed store. What is read must be right or refused.
pub(crate) fn flips(stage: &Stage, amounts: Amounts) -> anyhow::Result<Tally> {
    let sizes = Sizes::Wide;
    let sound = stage.directory()?;
    let environment = [("SHIM_NOSYNC", "1")];
    // Two lives, so that part of the log is behind a snapshot; several segments, so that a flip can
    // hit pages that are only read later.
    ensure!(
        stage
            .write(&sound, sizes, 1, 1_500, &environment)?
            .succeeded()
    );
    ensure!(
        stage
            .write(&sound, sizes, 1_501, 200, &environment)?
            .succeeded()
    );
    let witness = stage.directory()?;
    copy_tree(&sound, &witness)?;
    let found = stage.dump(&witness, sizes, &[])?;
    fs::remove_dir_all(witness)?;
    let Found::State(expected) = found else {
        anyhow::bail!("the sound store: {found:?}")
    };
    let mut small = Vec::new();
    let mut pages = Vec::new();
    list(&sound, &sound, &mut small, &mut pages)?;
    let seeds: Vec<u64> = (0..amounts.flips as u64)
        .map(|n| amounts.seed ^ (n << 16))
        .collect();
    let tally = in_parallel(&seeds, |seed, tally| {
        let mut random = Random::new(*seed);
        let home = stage.directory()?;
        copy_tree(&sound, &home)?;
        // A quarter in the small files, the rest where the log is not empty.
        let bit = 1_u8 << random.below(8);
        let (name, at) = if random.below(4) == 0 {
            let (name, len) = pick(&small, &mut random)?;
            (name, random.below(*len))
        } else {
            let (name, page) = pick(&pages, &mut random)?;
            (name, page + random.below(4_096))
        };
        let path = home.join(name);
        let mut content = fs::read(&path)?;
        let index = usize::try_from(at)?.min(content.len() - 1);
        content[index] ^= bit;
        fs::write(&path, &content)?;
        match stage.dump(&home, sizes, &[])? {
            Found::State(state) if state == expected => tally.count("no effect"),
            Found::State(state) => {
                let held = expected.len() - state.len().min(expected.len());
                let fault = format!("SILENT: {held} keys fewer, or others differ");
                fs::write(&path, &content)?;
                let case = format!("bit {bit:#x} of byte {index} of {}", name.display());
                count(stage, tally, &home, "bit-flip", &fault, &case);
            }
            Found::Wrong(reason) => {
                count(
                    stage,
                    tally,
                    &home,
                    "bit-flip",
                    &format!("SILENT: {reason}"),
                    "",
                );
            }
            Found::Hung => count(
                stage,
                tally,
                &home,
                "bit-flip",
                "HUNG",
                &name.display().to_string(),
            ),
            Found::Refused(reason) if reason.contains("last writes are missing") => {
                tally.count("refused: an end is missing");
            }
            Found::Refused(_) => tally.count("refused to open"),
            Found::Unread(_) => tally.count("refused a read"),
            Found::Died(_) => tally.count("stopped"),
        }
        fs::remove_dir_all(home)?;
        Ok(())
    });
    fs::remove_dir_all(sound)?;
    tally
}

fn pick<'a, T>(from: &'a [T], random: &mut Random) -> anyhow::Result<&'a T> {
    ensure!(!from.is_empty(), "nothing to choose from");
    Ok(&from[usize::try_from(random.below(from.len() as u64))?])
}

/// Lists small files with their lengths, and the pages of large files that are not empty.
fn list(
    root: &Path,
    dir: &Path,
    small: &mut Vec<(PathBuf, u64)>,
    pages: &mut Vec<(PathBuf, u64)>,
) -> anyhow::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            list(root, &path, small, pages)?;
            continue;
        }
        let content = fs::read(&path)?;
        let name = path.strip_prefix(root)?.to_owned();
        if content.len() < 1 << 20 {
            if !content.is_empty() {
                small.push((name, content.len() as u64));
            }
            continue;
        }
        for (number, page) in content.chunks(4_096).enumerate() {
            if page.iter().any(|byte| *byte != 0) {
                pages.push((name.clone(), number as u64 * 4_096));
            }
        }
    }
    Ok(())
}
