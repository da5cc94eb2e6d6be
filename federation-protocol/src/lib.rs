//! What may follow what, and how two nodes agree.
//!
//! This room holds the signed entry, the single-writer log, the digest tree over units and the
//! state machines that bring two nodes to the same set of entries. It never reads a clock, opens a
//! file or a socket, or draws randomness of its own: all of these are arguments.
//!
//! ```text
//! Draft --sign--> bytes --Entry::verify--> Entry --Replica--> Output::Append --(durable)--> sent on
//! ```
//!
//! The types to know: [`Entry`] (signed bytes that were checked), [`Replica`] (all logs and sessions
//! of one node; `handle_*` in, [`Replica::poll`] out) and [`Output`] (what the driver must do, in the
//! order it must be done).
//!
//! # The ordering contract
//!
//! 1. One call, one change: `handle_*` runs to its end; it never waits, calls back or spawns.
//! 2. After one or more `handle_*` calls, [`Replica::poll`] is drained before time passes.
//! 3. Reads are borrowed, writes are returned: the core sees a [`LogReader`], never a store.
//! 4. *Append and flush before anything that mentions the entry*: every [`Output::Append`] of a drain
//!    is made durable, then reported by [`Replica::handle_committed`]; only what comes out after that
//!    may mention the entries (sends, receipts, acknowledgements, projection).
//! 5. Time and randomness are arguments; identifiers are counted inside the state.
//! 6. Every queue, message, batch and wait has a bound in [`limits`]; reaching it is an error.
//! 7. A restart replays stored heads and statements through the same functions as normal work.
//! 8. After a failed flush the driver stops; nothing here can be used again.

mod digest;
mod entry;
mod error;
mod hello;
mod hlc;
pub mod limits;
mod log;
mod logs;
mod merkle;
mod message;
mod output;
mod part;
mod period;
mod placement;
mod receipt;
mod replica;
mod session;
mod store;
mod trust;

pub use digest::{DigestTree, LogDigest, Step};
pub use entry::{Draft, ENTRY_VERSION, Entry, Header};
pub use error::{ApiMisuse, EntryError, Misbehaved, Refusal, Rejected};
pub use hello::{Hello, PROTOCOL_VERSION};
pub use hlc::Hlc;
pub use log::{Head, LogId, LogKey, LogState, Reach};
pub use merkle::merkle_root;
pub use message::{Child, HeadItem, Message};
pub use output::{Output, Report, SessionId};
pub use part::{DossierPart, LedgerPart, Part, PartSlot, Salt};
pub use period::Period;
pub use placement::{Placed, Placement};
pub use receipt::{Receipt, ReceiptHead};
pub use replica::{Config, Replica, SessionStatus, Weakness, WriteError};
pub use session::{Phase, Relation};
pub use store::{LogReader, ReadError};
pub use trust::{CHAIN_TAG, Trust};
