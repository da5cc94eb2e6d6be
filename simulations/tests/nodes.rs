//! Whole nodes in simulated time: a few seeds of every build, exact replay, and proof that the checks
//! can fail.

use federation_protocol::Weakness;
use simulations::nodes::{Options, run};

#[test]
fn whole_nodes_survive_a_sample_of_seeds() {
    for seed in 0..4 {
        let outcome = run(seed, Options::default());
        assert_eq!(outcome.failure, None, "seed {seed}");
    }
}

#[test]
fn a_seed_replays_byte_for_byte_and_another_does_not() {
    let short = Options {
        steps: Some(6),
        ..Options::default()
    };
    let (first, again, other) = (run(11, short), run(11, short), run(12, short));
    assert_eq!(first.trace, again.trace);
    assert_eq!(first, again);
    assert_ne!(first.trace, other.trace);
}

/// Returns the checks that failed over some seeds.
fn caught(options: Options) -> Vec<&'static str> {
    let failures = (0..12).filter_map(|seed| run(seed, options).failure);
    failures.map(|failure| failure.check).take(1).collect()
}

#[test]
fn a_disk_that_lies_about_durability_is_caught() {
    let options = Options {
        lying_disks: true,
        ..Options::default()
    };
    let caught = caught(options);
    assert!(
        caught
            .iter()
            .all(|check| ["acked_is_durable", "append_only", "no_silent_fork"].contains(check))
    );
    assert!(!caught.is_empty());
}

#[test]
fn a_node_that_sends_beyond_reach_is_caught() {
    let weakness = Weakness {
        send_beyond_reach: true,
        ..Weakness::default()
    };
    assert_eq!(
        caught(Options {
            weakness,
            ..Options::default()
        }),
        ["reach"]
    );
}
