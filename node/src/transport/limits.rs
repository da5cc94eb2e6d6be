//! Every size, count and wait of the transport, each with its reason.
//!
//! quinn's own defaults suit a browser talking to a web server. A hub holds a thousand long-lived
//! links from machines it does not control, so here memory per link is what is budgeted first.

use std::time::Duration;

/// Largest frame on the wire, flag and body: four full entries, so that a bulk transfer amortises
/// its framing, and a length claim never costs more than this.
pub const FRAME_WIRE_MAX: usize = 256 * 1024;

/// Largest payload a frame may inflate to: what one link may hold in memory while it is decoded.
/// Entries shrink about four times, so this fills a wire frame.
pub const FRAME_PAYLOAD_MAX: usize = 1024 * 1024;

/// Any payload up to this size fits in a frame whether or not it compresses: one flag byte less
/// than [`FRAME_WIRE_MAX`].
pub const FRAME_PAYLOAD_SURE: usize = FRAME_WIRE_MAX - 1;

/// Largest first frame, on the wire and inflated: a certificate chain of 8 fits, and nothing a
/// stranger sends before it is known costs more.
pub const FIRST_FRAME_MAX: usize = 16 * 1024;

/// How long the first frame may take; the peer has it ready before it dials.
pub const FIRST_FRAME_DEADLINE: Duration = Duration::from_secs(5);

/// Payloads below this go raw: zstd's own header and the call cost more than they would save.
pub const COMPRESS_MIN: usize = 200;

/// zstd's default level: in our data higher levels save a few per cent for several times the CPU.
pub const COMPRESS_LEVEL: i32 = 3;

/// What a frame once begun may take before its rate counts: covers a few lost packets.
pub const FRAME_GRACE: Duration = Duration::from_secs(10);

/// Slowest transfer that is still a slow line rather than a slow-loris, bytes per second. With
/// [`FRAME_GRACE`] the largest frame may take 138 s.
pub const FRAME_RATE_MIN: u32 = 2 * 1024;

/// How long a peer may take no byte of what we send before the link is given up. Longer than the
/// idle timeout, so that a dead line is called idle and only a peer that keeps the link alive without
/// reading is called stalled; long enough for a hub that is catching its breath.
pub const WRITE_STALL: Duration = Duration::from_secs(120);

/// From the first packet to the open stream: a handshake is two round trips, so this allows for
/// the worst lines and a lost packet in each.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A link silent for so long is dead. Three keep-alives are lost before.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Keeps address translators (the short ones forget after 30 s) and the idle timer awake.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Unread bytes a link may hold before its peer has been admitted: enough for the first frame
/// and what is under way behind it.
pub const WINDOW_STRANGER: u32 = 64 * 1024;

/// Unread bytes a link may hold after [`crate::transport::LinkHandle::admit`]: fills 10 MB/s at 100 ms;
/// four frames, so that reading and applying overlap. A thousand stuck links then hold 1 GiB.
pub const WINDOW_ADMITTED: u32 = 1024 * 1024;

/// Sent and not yet acknowledged bytes we keep for a link: as much as a peer's window takes.
pub const SEND_WINDOW: u64 = 1024 * 1024;

/// Streams a dialler may open: the session is one bidirectional stream.
pub const STREAMS_FROM_DIALLER: u32 = 1;

/// Unread TLS handshake bytes: a raw-key handshake flight is about 400 bytes.
pub const CRYPTO_BUFFER: usize = 8 * 1024;

/// Connection attempts waiting to be looked at; beyond them strangers are refused by quinn itself.
pub const INCOMING_MAX: usize = 256;

/// Bytes kept for one waiting attempt: a client hello is one or two packets of 1,200 bytes.
pub const INCOMING_BUFFER: u64 = 16 * 1024;

/// Bytes kept for all waiting attempts together.
pub const INCOMING_BUFFER_TOTAL: u64 = 2 * 1024 * 1024;

/// Handshakes under way at once; each costs a signature and some 50 kB.
pub const HANDSHAKES_MAX: usize = 128;

/// Handshakes under way from one address: a school behind one address has a few nodes, a machine
/// running a whole demonstration some dozens.
pub const HANDSHAKES_PER_ADDRESS_MAX: usize = 64;

/// From so many handshakes under way on, a stranger has to prove its address by a retry first,
/// which costs an honest node one round trip and a forger of addresses everything.
pub const RETRY_ABOVE: usize = 32;

/// Open links of one transport: a large city's districts and direct schools, with room. Beyond it
/// newcomers are told that the node is busy.
pub const LINKS_MAX: usize = 2_048;

/// How long a closing transport waits for its peers to hear of it.
pub const SHUTDOWN_WAIT: Duration = Duration::from_secs(3);

/// Longest reason sent or shown with a close, bytes of UTF-8: a sentence, well within one packet.
pub const CLOSE_REASON_MAX: usize = 256;
