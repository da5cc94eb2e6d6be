//! The same rooms in another world: production code over a made-up network, clock and disk.
//!
//! Two depths. [`replicas`] runs the replicas and sessions of a whole federation without a network
//! stack, thousands of schedules in minutes; [`nodes`] runs whole node drivers with real QUIC and TLS on
//! paused time, over [`net`], [`clock`], [`entropy`] and [`disk`]. One seed draws everything, and the
//! same seed gives the same trace hash. [`invariants`] says what is checked after every step.
//!
//! ```text
//! cargo run --release -p simulations -- run --seed 42             replays one seed exactly
//! cargo run --release -p simulations -- sweep --seeds 0..1000     runs many, one world per thread
//! cargo run --release -p simulations -- slice --seconds 60        runs what fits, both depths
//! ```

pub mod clock;
pub mod disk;
pub mod entropy;
pub mod invariants;
pub mod net;
pub mod nodes;
pub mod outcome;
pub mod replicas;
pub mod rng;
