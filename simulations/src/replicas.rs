//! The sans-IO depth: the production replicas of a whole federation over a made-up network, disk and
//! clock, thousands of schedules in minutes.
//!
//! A seed draws the organisation, what people write, what fails and who is dishonest. After every step
//! the [`crate::invariants`] are checked. Then faults stop, and everything must converge.

mod adversary;
pub mod disk;
mod drive;
mod faults;
pub mod machine;
mod network;
pub mod projection;
pub mod seen;
pub mod topology;
mod world;
mod write;

use crate::outcome::{Failure, Outcome};
use disk::DiskKind;
use federation_protocol::Weakness;
use std::panic::AssertUnwindSafe;

/// A defect planted to see that a check finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutation {
    /// None: the production code over honest disks.
    #[default]
    None,
    /// A defence of the replica is taken out, everywhere.
    Weak(Weakness),
    /// Disks do more or less than their duty.
    Disk(DiskKind),
    /// The driver reports commits before they are durable.
    SkipCommit,
    /// One machine loses parts when it projects.
    DropParts,
    /// "Saved" is said only once a parent has given a receipt.
    WaitForParent,
    /// One machine never gives its receipts: it never ticks.
    NoTick,
}

impl Mutation {
    fn weakness(self) -> Weakness {
        match self {
            Self::Weak(weakness) => weakness,
            _ => Weakness::default(),
        }
    }

    fn disk(self) -> DiskKind {
        match self {
            Self::Disk(kind) => kind,
            _ => DiskKind::Honest,
        }
    }
}

/// How to run a seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Steps under faults before everything heals; drawn from the seed when none.
    pub steps: Option<u64>,
    /// A planted defect.
    pub mutation: Mutation,
}

/// Runs one seed to its end or to the first check that fails. A panic of the production code is a
/// failure like any other, so that its seed is named.
pub fn run(seed: u64, options: Options) -> Outcome {
    let world = AssertUnwindSafe(|| world::World::new(seed, options).run());
    std::panic::catch_unwind(world).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let what = text
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Outcome {
            seed,
            steps: 0,
            simulated_ms: 0,
            trace: keys::Hash::of(what.as_bytes()),
            failure: Some(Failure {
                check: "nothing panics",
                step: 0,
                at_ms: 0,
                what: what.to_owned(),
            }),
        }
    })
}
