//! Real processes on loopback: is it wired up, does it survive, whom does it refuse.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail where they stand, and a run says how much it covered"
)]

mod damage;
mod disk;
mod enrolment;
mod hostile;
mod kill;
mod path;
mod release;
mod roster;
mod stop;
