//! The store against kills, power cuts, full and failing disks and flipped bits.
//!
//! `cargo test --release -p tests --test store [NAME]`. Amounts are overridden by `STORE_KILLS`,
//! `STORE_CUTS`, `STORE_UNGUARDED_CUTS`, `STORE_FAULTS`, `STORE_FLIPS` and `STORE_SEED`. Images of
//! failures are kept in `sanji-store-failures` of the temporary directory.
#![expect(
    clippy::print_stdout,
    reason = "a table of results is what it is run for"
)]

mod image;
mod stage;
mod suites;
mod workload;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use stage::{Stage, Tally};
use suites::Amounts;

type Suite = fn(&Stage, Amounts) -> anyhow::Result<Tally>;
type Judge = fn(&Tally, Amounts) -> anyhow::Result<()>;

const SUITES: [(&str, &str, Suite, Judge); 5] = [
    (
        "kills",
        "killed at every call that changes the disk",
        suites::kills,
        all_fine,
    ),
    (
        "cuts",
        "power cut, with the guard",
        suites::cuts,
        enough_cuts,
    ),
    (
        "unguarded",
        "power cut, without it (must fail)",
        suites::unguarded_cuts,
        must_fail,
    ),
    (
        "faults",
        "disk full, or a call that fails",
        suites::faults,
        faults_end_it,
    ),
    ("flips", "one bit flipped", suites::flips, all_fine),
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn amount(name: &str, default: usize) -> anyhow::Result<usize> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is a number")),
        Err(_) => Ok(default),
    }
}

fn run() -> anyhow::Result<bool> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        SUITES
            .iter()
            .for_each(|(name, ..)| println!("{name}: test"));
        return Ok(true);
    }
    let chosen: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let amounts = Amounts {
        kills: amount("STORE_KILLS", 400)?,
        cuts: amount("STORE_CUTS", 320)?,
        unguarded_cuts: amount("STORE_UNGUARDED_CUTS", 40)?,
        faults: amount("STORE_FAULTS", 120)?,
        flips: amount("STORE_FLIPS", 120)?,
        seed: amount("STORE_SEED", 1)? as u64,
    };
    image::check_model().context("the model of the power cut is wrong")?;
    let stage = Stage::set()?;
    let mut all_good = true;
    println!("the store, seed {}", amounts.seed);
    for (name, title, suite, judge) in SUITES {
        if !chosen.is_empty() && !chosen.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let started = Instant::now();
        let tally = suite(&stage, amounts)?;
        let verdict = judge(&tally, amounts);
        let counts: Vec<String> = tally
            .counts
            .iter()
            .map(|(ending, number)| format!("{number} {ending}"))
            .collect();
        println!(
            "  {:4} {title:45} {:>6.1} s  {}",
            if verdict.is_ok() { "ok" } else { "FAIL" },
            started.elapsed().as_secs_f64(),
            counts.join(", ")
        );
        tally
            .faults
            .iter()
            .take(10)
            .for_each(|fault| println!("       {fault}"));
        if let Err(error) = verdict {
            println!(
                "       {error:#}; again: STORE_SEED={} {name}",
                amounts.seed
            );
            all_good = false;
        }
    }
    Ok(all_good)
}

fn all_fine(tally: &Tally, _: Amounts) -> anyhow::Result<()> {
    ensure!(tally.faults.is_empty(), "{} faults", tally.faults.len());
    Ok(())
}

fn enough_cuts(tally: &Tally, amounts: Amounts) -> anyhow::Result<()> {
    all_fine(tally, amounts)?;
    ensure!(
        tally.of("ok") >= amounts.cuts,
        "only {} cuts were made",
        tally.of("ok")
    );
    Ok(())
}

fn must_fail(tally: &Tally, _: Amounts) -> anyhow::Result<()> {
    let seen = tally.of("lost or wrong") + tally.of("unusable");
    ensure!(
        seen > 0,
        "the suite is blind: an unguarded store survived every power cut"
    );
    Ok(())
}

fn faults_end_it(tally: &Tally, amounts: Amounts) -> anyhow::Result<()> {
    all_fine(tally, amounts)?;
    ensure!(
        tally.of("stopped") + tally.of("refused") > 0,
        "no fault was noticed by the store"
    );
    ensure!(
        tally.of("went on") == 0,
        "a victim succeeded although a call had failed"
    );
    Ok(())
}
