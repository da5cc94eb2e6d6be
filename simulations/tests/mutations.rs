//! Every check can fail: each test plants one defect and sees the invariant that guards against it
//! notice, by name, within a few seeds.

use federation_protocol::Weakness;
use simulations::replicas::disk::DiskKind;
use simulations::replicas::{Mutation, Options, run};
use std::collections::BTreeMap;

/// Seeds tried until the check notices.
const SEEDS: u64 = 60;

/// Runs seeds with a planted defect until the check of that name fails.
fn is_noticed_by(check: &str, mutation: Mutation) {
    let mut others: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        let outcome = run(
            seed,
            Options {
                mutation,
                ..Options::default()
            },
        );
        match outcome.failure {
            Some(failure) if failure.check == check => return,
            Some(failure) => *others.entry(failure.check).or_default() += 1,
            None => {}
        }
    }
    panic!("{mutation:?} was not noticed by {check} in {SEEDS} seeds; others: {others:?}");
}

fn weak(weakness: Weakness) -> Mutation {
    Mutation::Weak(weakness)
}

#[test]
fn a_commit_reported_too_early_is_noticed() {
    is_noticed_by("acked_is_durable", Mutation::SkipCommit);
}

#[test]
fn a_disk_that_lies_is_noticed() {
    is_noticed_by("acked_is_durable", Mutation::Disk(DiskKind::Lying));
}

#[test]
fn a_disk_that_rots_is_noticed() {
    is_noticed_by("append_only", Mutation::Disk(DiskKind::Rotting));
}

#[test]
fn a_fork_that_is_kept_quiet_is_noticed() {
    let weakness = Weakness {
        ignore_forks: true,
        ..Weakness::default()
    };
    is_noticed_by("no_silent_fork", weak(weakness));
}

#[test]
fn a_projection_that_loses_parts_is_noticed() {
    is_noticed_by("convergence", Mutation::DropParts);
}

#[test]
fn receipts_that_are_never_given_are_noticed() {
    is_noticed_by("convergence", Mutation::NoTick);
}

#[test]
fn an_entry_of_an_uncertified_author_is_noticed() {
    let weakness = Weakness {
        accept_uncertified: true,
        ..Weakness::default()
    };
    is_noticed_by("authority", weak(weakness));
}

#[test]
fn an_entry_beyond_its_reach_is_noticed() {
    let weakness = Weakness {
        send_beyond_reach: true,
        ..Weakness::default()
    };
    is_noticed_by("reach", weak(weakness));
}

#[test]
fn a_write_that_waits_for_the_network_is_noticed() {
    is_noticed_by("autonomy", Mutation::WaitForParent);
}

#[test]
fn a_queue_without_a_bound_is_noticed() {
    let weakness = Weakness {
        unbounded: true,
        ..Weakness::default()
    };
    is_noticed_by("bounded", weak(weakness));
}
