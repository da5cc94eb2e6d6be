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
/// statement waits for at most one of them, and that a frame of 256 KiB holds it when nothing in it
/// can be compressed.
pub const ENTRIES_BYTES_MAX: usize = 240 * 1024;
/// Entries in one message.
pub const ENTRIES_COUNT_MAX: usize = 4_096;
/// Children listed in one digest message; a node with more is split by id prefix.
pub const DIGEST_CHILDREN_MAX: usize = 256;
/// Heads listed in one message, and so logs of one unit and period (nodes x epochs x reaches): at most
/// 88 bytes each, none of which compress, they fit a frame of 256 KiB.
pub const HEADS_MAX: usize = 2_048;
/// Steps of one path in the digest tree: bucket, unit, period.
pub const DIGEST_PATH_MAX: usize = 3;
/// Periods of one unit, the one of statements included: its children must fit one digest message.
pub const UNIT_PERIODS_MAX: usize = DIGEST_CHILDREN_MAX;
/// Logs of one unit: one that misbehaves can fill its own share, not the federation's.
pub const UNIT_LOGS_MAX: usize = 32_768;
/// Nodes certified for one unit that are remembered: a unit cannot crowd out the others.
pub const UNIT_NODES_MAX: usize = 1_024;
/// Logs a replica holds: 1,000 schools x 20 nodes x 50 periods.
pub const LOGS_MAX: usize = 1_000_000;
/// Sessions at once on one node: a hub with 1,000 schools and their laptops.
pub const SESSIONS_MAX: usize = 4_096;
/// Control messages waiting for one session before it is closed as not reading.
pub const SESSION_QUEUE_MAX: usize = 1_024;
/// Things due to one session (places of the digest tree, receipts, evidence) that are made into
/// messages when the peer has room; beyond it the session compares again once they are told.
pub const SESSION_DUE_MAX: usize = 4_096;
/// Logs of which a session remembers that the peer promised more; only counted for people.
pub const PROMISED_LOGS_MAX: usize = 65_536;
/// Receipts held: one per unit below and issuer above it.
pub const RECEIPTS_MAX: usize = 65_536;
/// Receipts kept aside because their issuer's certificate has not come yet.
pub const RECEIPTS_EARLY_MAX: usize = 1_024;
/// How far ahead of us an author's clock may be before we refuse to adopt its time: 24 h in ms.
pub const CLOCK_AHEAD_MAX_MS: u64 = 24 * 60 * 60 * 1000;
/// Bytes of a human-readable refusal carried over the wire.
pub const REASON_SIZE_MAX: usize = 200;
/// Bytes of the software's name in a hello.
pub const SOFTWARE_SIZE_MAX: usize = 40;
/// Bytes of a statement's domain tag in a part.
pub const DOMAIN_SIZE_MAX: usize = 40;
/// Statements in one entry are bounded by [`ENTRY_PARTS_MAX`]; this bounds one statement's bytes.
pub const STATEMENT_SIZE_MAX: usize = 60 * 1024;
/// Certificates the trust store holds: units, nodes and people of a large city.
pub const CERTIFICATES_MAX: usize = 1_000_000;
/// Logs of one session that we could not take yet (author or place unknown, entries missing) and ask
/// for again; beyond it they are asked for again at the next session.
pub const REJECTED_LOGS_MAX: usize = 4_096;
