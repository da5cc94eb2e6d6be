//! simulations

pub mod clock;
pub mod disk;
pub mod entropy;
pub mod net;
