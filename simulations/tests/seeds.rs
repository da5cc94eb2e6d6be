//! A fixed sample of seeds, and every seed that ever failed.

use simulations::replicas::{Options, run};

fn holds(seed: u64) {
    let outcome = run(seed, Options::default());
    if let Some(failure) = outcome.failure {
        panic!("seed {seed}: {failure}");
    }
}

#[test]
fn a_fixed_sample_of_seeds_holds() {
    (0..24).for_each(holds);
}
