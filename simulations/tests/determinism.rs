//! A seed is a run: the same one gives the same trace, another one another.

use simulations::replicas::{Options, run};

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let options = Options {
        steps: Some(600),
        ..Options::default()
    };
    for seed in 0..6 {
        let (first, again) = (run(seed, options), run(seed, options));
        assert_eq!(first, again, "seed {seed}");
        assert_ne!(first.trace, run(seed + 1_000, options).trace, "seed {seed}");
    }
}

#[test]
fn a_trace_depends_on_what_happens_and_not_on_other_runs_in_the_process() {
    let options = Options {
        steps: Some(400),
        ..Options::default()
    };
    let alone = run(7, options);
    let others: Vec<_> = (0..2)
        .map(|n| std::thread::spawn(move || run(70 + n, options)))
        .collect();
    assert_eq!(run(7, options), alone);
    for other in others {
        other.join().expect("a run does not panic");
    }
}
