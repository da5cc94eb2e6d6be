//! simulations

pub mod clock;
pub mod disk;
pub mod entropy;
pub mod net;
pub mod invariants;
pub mod nodes;
pub mod outcome;
pub mod replicas;
pub mod rng;
