//! Real processes on loopback: is it wired up, does it survive, whom does it refuse.

mod damage;
mod disk;
mod enrolment;
mod hostile;
mod kill;
mod path;
mod release;
mod roster;
mod stop;
