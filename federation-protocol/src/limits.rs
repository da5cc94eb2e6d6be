//! Every bound on size, count and time of the protocol, each with its reason.

/// Largest entry in bytes, envelope and parts together: fits a store value and a memory budget of
/// thousands of peers.
pub const ENTRY_SIZE_MAX: usize = 64 * 1024;
/// Parts of one entry: one per dossier or statement; bounds the work of one hash tree.
pub const ENTRY_PARTS_MAX: usize = 1_024;
/// Bytes of a subject's id (a pseudonym, a student number, a venue code).
pub const SUBJECT_SIZE_MAX: usize = 64;
/// Largest message in bytes before transport compression; equals the transport's inflated bound.
pub const MESSAGE_SIZE_MAX: usize = 1024 * 1024;
/// Largest first message (hello) in bytes: a chain of eight certificates fits with room to spare.
pub const HELLO_SIZE_MAX: usize = 16 * 1024;
/// Bytes of entries gathered into one message: large enough to compress well, small enough that a
/// statement waits for at most one of them.
pub const ENTRIES_BYTES_MAX: usize = 512 * 1024;
/// Entries in one message.
pub const ENTRIES_COUNT_MAX: usize = 4_096;
/// Children listed in one digest message; a node with more is split by id prefix.
pub const DIGEST_CHILDREN_MAX: usize = 256;
/// Heads listed in one message: the logs of one unit and period (nodes x epochs x reaches).
pub const HEADS_MAX: usize = 8_192;
/// Logs a replica holds: 1,000 schools x 20 nodes x 50 periods.
pub const LOGS_MAX: usize = 1_000_000;
/// Sessions at once on one node: a hub with 1,000 schools and their laptops.
pub const SESSIONS_MAX: usize = 4_096;
/// Control messages waiting for one session before it is closed as not reading.
pub const SESSION_QUEUE_MAX: usize = 1_024;
/// Receipts sent when a session opens: one per unit of the peer's subtree and issuer above it.
pub const RECEIPTS_MAX: usize = 65_536;
/// How far ahead of us an author's clock may be before we refuse to adopt its time: 24 h in ms.
pub const CLOCK_AHEAD_MAX_MS: u64 = 24 * 60 * 60 * 1000;
/// Bytes of a human-readable refusal carried over the wire.
pub const REASON_SIZE_MAX: usize = 200;
/// Statements in one entry are bounded by [`ENTRY_PARTS_MAX`]; this bounds one statement's bytes.
pub const STATEMENT_SIZE_MAX: usize = 60 * 1024;
/// Certificates the trust store holds: units, nodes and people of a large city.
pub const CERTIFICATES_MAX: usize = 1_000_000;
/// Logs a peer may have sent us whose author we do not know yet; beyond it they are asked for again
/// at the next session.
pub const REJECTED_LOGS_MAX: usize = 4_096;
