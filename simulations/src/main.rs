//! The command line of the simulations: replay one seed, sweep many, or fill a slice of time.
//!
//! One world runs on one thread and shares nothing, so as many run at once as there are cores.

use anyhow::{Context, bail};
use clap::{Parser, Subcommand, ValueEnum};
use simulations::nodes;
use simulations::outcome::Outcome;
use simulations::replicas::{self, Options};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// Runs the production code over a made-up network, clock and disk.
#[derive(Debug, Parser)]
#[command(name = "simulations")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replays one seed exactly.
    Run {
        /// The seed.
        #[arg(long)]
        seed: u64,
        /// How much of the production code takes part.
        #[arg(long, default_value = "core")]
        depth: Depth,
        /// Steps under faults before everything heals; drawn from the seed when left out.
        #[arg(long)]
        steps: Option<u64>,
    },
    /// Runs a range of seeds.
    Sweep {
        /// The range, its end left out: `0..1000`.
        #[arg(long, value_parser = range)]
        seeds: (u64, u64),
        /// Starts no seed after this many minutes.
        #[arg(long)]
        minutes: Option<u64>,
        /// Worlds at once; one per core when left out.
        #[arg(long)]
        jobs: Option<usize>,
        /// How much of the production code takes part.
        #[arg(long, default_value = "core")]
        depth: Depth,
        /// Prints each seed with its trace hash.
        #[arg(long)]
        traces: bool,
    },
    /// Runs as many seeds as fit, from 0 on, and always the same ones first.
    Slice {
        /// Starts no seed after this many seconds.
        #[arg(long)]
        seconds: u64,
        /// Worlds at once; one per core when left out.
        #[arg(long)]
        jobs: Option<usize>,
    },
}

/// How much of the production code takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Depth {
    /// Replicas and sessions of a whole federation, without a network stack.
    Core,
    /// Whole nodes: event loop, real QUIC and TLS, projector and importer, on paused time.
    Node,
}

impl Depth {
    fn run(self, seed: u64, steps: Option<u64>) -> Outcome {
        match self {
            Self::Core => replicas::run(
                seed,
                Options {
                    steps,
                    ..Options::default()
                },
            ),
            Self::Node => nodes::run(
                seed,
                nodes::Options {
                    steps,
                    ..nodes::Options::default()
                },
            ),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Node => "node",
        }
    }
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("expected FROM..TO")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    let (from, to) = (number(from)?, number(to)?);
    if from < to {
        Ok((from, to))
    } else {
        Err("the range is empty".to_owned())
    }
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Run { seed, depth, steps } => replay(seed, depth, steps),
        Command::Sweep {
            seeds,
            minutes,
            jobs,
            depth,
            traces,
        } => {
            let limit = minutes.map(|minutes| Duration::from_secs(minutes * 60));
            sweep(seeds, limit, jobs, depth, traces)
        }
        Command::Slice { seconds, jobs } => {
            // Half of the time for each depth: many federations of replicas, fewer of whole nodes.
            let share = Some(Duration::from_secs(seconds / 2));
            let core_share = sweep((0, u64::MAX), share, jobs, Depth::Core, false)?;
            let node_share = sweep((0, u64::MAX), share, jobs, Depth::Node, false)?;
            Ok(if core_share == ExitCode::SUCCESS {
                node_share
            } else {
                core_share
            })
        }
    }
}

/// Replays one seed and tells everything about it.
fn replay(seed: u64, depth: Depth, steps: Option<u64>) -> anyhow::Result<ExitCode> {
    let outcome = depth.run(seed, steps);
    say(&format!(
        "seed {seed}: {} steps, {} simulated, trace {}",
        outcome.steps,
        days(outcome.simulated_ms),
        outcome.trace
    ))?;
    match outcome.failure {
        None => {
            say("every invariant held, and everything converged")?;
            Ok(ExitCode::SUCCESS)
        }
        Some(failure) => {
            say(&format!("FAILED {failure}"))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What a sweep came to.
#[derive(Debug, Default)]
struct Totals {
    seeds: u64,
    steps: u64,
    simulated_ms: u64,
    traces: BTreeMap<u64, keys::Hash>,
    failed: BTreeMap<u64, String>,
}

/// Failures after which a sweep stops: more would say nothing new.
const FAILURES_MAX: usize = 20;

/// Runs seeds on several threads and prints what came of them.
fn sweep(
    seeds: (u64, u64),
    limit: Option<Duration>,
    jobs: Option<usize>,
    depth: Depth,
    traces: bool,
) -> anyhow::Result<ExitCode> {
    let jobs = jobs
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1)
        .clamp(1, 64);
    let next = Arc::new(AtomicU64::new(seeds.0));
    let stop = Arc::new(AtomicBool::new(false));
    let over = Arc::new((Mutex::new(false), Condvar::new()));
    let timer = limit.map(|limit| {
        let (stop, over) = (stop.clone(), over.clone());
        std::thread::spawn(move || {
            let (ended, condition) = &*over;
            let guard = ended.lock().unwrap_or_else(PoisonError::into_inner);
            // The wait ends early when the seeds run out first.
            let waited = condition.wait_timeout_while(guard, limit, |ended| !*ended);
            drop(waited);
            stop.store(true, Ordering::Relaxed);
        })
    });
    let (report, outcomes) = mpsc::channel();
    let workers: Vec<_> = (0..jobs)
        .map(|_| {
            let (next, stop, report) = (next.clone(), stop.clone(), report.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.1 || report.send(depth.run(seed, None)).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    drop(report);
    let mut totals = Totals::default();
    for outcome in outcomes {
        totals.seeds += 1;
        totals.steps += outcome.steps;
        totals.simulated_ms += outcome.simulated_ms;
        totals.traces.insert(outcome.seed, outcome.trace);
        if traces {
            say(&format!(
                "seed {}: {} steps, trace {}",
                outcome.seed, outcome.steps, outcome.trace
            ))?;
        }
        if let Some(failure) = outcome.failure {
            say(&format!("seed {} FAILED {failure}", outcome.seed))?;
            totals.failed.insert(outcome.seed, failure.check.to_owned());
            if totals.failed.len() >= FAILURES_MAX {
                stop.store(true, Ordering::Relaxed);
            }
        }
    }
    let panicked = workers
        .into_iter()
        .map(|worker| worker.join())
        .filter(Result::is_err)
        .count();
    *over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    over.1.notify_all();
    if let Some(timer) = timer {
        let _ = timer.join();
    }
    conclude(&totals, depth)?;
    if panicked > 0 {
        bail!("{panicked} of {jobs} threads panicked");
    }
    Ok(if totals.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn conclude(totals: &Totals, depth: Depth) -> anyhow::Result<()> {
    let mut all = keys::Hasher::new();
    for (seed, trace) in &totals.traces {
        all.update(&seed.to_be_bytes()).update(trace.as_bytes());
    }
    say(&format!(
        "depth {}: {} seeds, {} steps, {} simulated, {} failed, traces {}",
        depth.name(),
        totals.seeds,
        totals.steps,
        days(totals.simulated_ms),
        totals.failed.len(),
        all.finish()
    ))?;
    for seed in totals.failed.keys() {
        let depth = depth.name();
        say(&format!(
            "replay: cargo run --release -p simulations -- run --seed {seed} --depth {depth}"
        ))?;
    }
    Ok(())
}

fn days(ms: u64) -> String {
    let hours = ms / 3_600_000;
    format!("{} days {} h", hours / 24, hours % 24)
}

/// Prints one line; a closed pipe ends the run.
fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}").context("cannot print")
}
