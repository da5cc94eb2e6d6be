//! What each tier does with the entries: kinds, records, dossiers, rosters.
//!
//! This room turns verified entries into the documents people see, and people's wishes into the parts
//! of new entries. It never reads a clock, opens a file or a socket, starts a thread, or draws
//! randomness that was not handed to it; and it never decides whether an entry is genuine or takes
//! effect, which the rooms before it have done.
//!
//! The types to know: [`Kind`] (a checked definition), [`DossierId`] with [`DossierState`] and
//! [`DossierView`] (one subject's records of one period and reach), and [`Registry`] (who stands where,
//! from signed rosters).
//!
//! ```text
//! row    --Kind::read_row--> fields --split_record--> births, one per class of reach
//! births --write--> DossierPart --(signed entry, replicated)--> AuthoredPart
//! parts  --project--> DossierState (kept) + DossierView (shown)
//! view   --record_leaf--> what a seal covers
//! statements --Registry::add--> placement of units, kinds by hash
//! ```
//!
//! Everything is a function of sets: [`project`] of the parts given, [`Registry`] of the statements
//! added, in whatever order they came.

mod change;
mod class;
mod dossier;
mod engine;
mod history;
mod import;
mod leaf;
mod project;
mod record;
mod registry;
mod roster;
mod view;

pub mod kind;
pub mod limits;
pub mod value;

pub use change::ChangeError;
pub use class::{NotAReachClass, ReachClass};
pub use dossier::{
    Actor, DossierId, DossierState, Edit, StateError, WriteError, secret_for, write, write_with,
};
pub use import::ImportStatement;
pub use kind::{
    Column, ColumnPart, Field, FieldError, FieldType, Fields, Kind, KindError, RowError,
};
pub use leaf::{Tear, class_commitment, commitments, record_leaf, tear};
pub use project::{AuthoredPart, Job, Problem, Projected, Unprojected, Why, project};
pub use record::{Birth, RecordId, SplitError, fields_bytes, split_record};
pub use registry::{AddError, Registry, RegistryProblem};
pub use roster::{Federation, KindStatement, Roster, RosterChild, StatementError};
pub use value::{Date, Minute, NotATime, Value};
pub use view::{DossierView, RecordView};
