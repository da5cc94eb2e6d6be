//! How links end, in words for both sides.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::limits::CLOSE_REASON_MAX;
use super::{ConnectionError, TransportErrorCode, VarInt};

/// TLS alert `no_application_protocol`.
const ALERT_NO_APPLICATION_PROTOCOL: u8 = 120;

/// Why one side closes a link, on the wire. Numbers are stable; 0 is what the QUIC stack sends when
/// a link is dropped without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseCode {
    /// Everything is exchanged; nothing is wrong.
    Done = 1,
    /// The peer may not talk to us: chain, unit, revocation or version.
    Refused = 2,
    /// The peer broke a rule of the protocol.
    Misbehaved = 3,
    /// Too much to do; come back later.
    Busy = 4,
    /// This node is stopping.
    Shutdown = 5,
    /// This node has a problem of its own.
    Internal = 6,
}

impl CloseCode {
    /// Every code, in the order of its number.
    pub const ALL: [Self; 6] = [
        Self::Done,
        Self::Refused,
        Self::Misbehaved,
        Self::Busy,
        Self::Shutdown,
        Self::Internal,
    ];

    /// The number on the wire.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The code of a number; `None` for numbers of later versions and 0.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|code| u64::from(code.number()) == number)
    }

    pub(super) fn wire(self) -> VarInt {
        VarInt::from_u32(self.number())
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Misbehaved => "misbehaved",
            Self::Busy => "busy",
            Self::Shutdown => "stopping",
            Self::Internal => "internal problem",
        })
    }
}

/// How a link ended. Reasons given by a peer are cut to [`CLOSE_REASON_MAX`] bytes and stripped of
/// control characters; they are the peer's words, for people, not evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// We closed it.
    ByUs {
        /// The code we gave.
        code: CloseCode,
        /// The reason we gave.
        reason: String,
    },
    /// The peer closed it.
    ByPeer {
        /// The peer's code; `None` if it gave none, or one of a later version.
        code: Option<CloseCode>,
        /// The peer's reason, may be empty.
        reason: String,
    },
    /// Nothing was heard for the idle timeout, or the handshake never ended.
    TimedOut,
    /// The peer knows nothing of the link: it was restarted.
    Reset,
    /// The peer takes no more links now.
    Busy,
    /// The two sides name no common protocol.
    OtherProtocol,
    /// The peer speaks no QUIC version of ours.
    OtherQuicVersion,
    /// The handshake failed: a key was missing, malformed or not proven.
    Handshake {
        /// The TLS alert.
        alert: u8,
        /// Whether the peer raised it.
        by_peer: bool,
        /// What the side that raised it said.
        detail: String,
    },
    /// The QUIC rules were broken.
    Transport {
        /// The QUIC error code.
        code: u64,
        /// Whether the peer raised it.
        by_peer: bool,
        /// What the side that raised it said.
        detail: String,
    },
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |by_peer: &bool| if *by_peer { "the peer" } else { "this node" };
        match self {
            Self::ByUs { code, reason } => write!(f, "closed by this node ({code}): {reason}"),
            Self::ByPeer {
                code: Some(code),
                reason,
            } => {
                write!(f, "closed by the peer ({code}): {reason}")
            }
            Self::ByPeer { code: None, reason } if reason.is_empty() => {
                f.write_str("closed by the peer without a reason")
            }
            Self::ByPeer { code: None, reason } => write!(f, "closed by the peer: {reason}"),
            Self::TimedOut => f.write_str("nothing heard from the peer for too long"),
            Self::Reset => f.write_str("the peer was restarted"),
            Self::Busy => f.write_str("the peer takes no more links now"),
            Self::OtherProtocol => f.write_str("no common protocol version"),
            Self::OtherQuicVersion => f.write_str("no common QUIC version"),
            Self::Handshake {
                alert,
                by_peer,
                detail,
            } => {
                write!(
                    f,
                    "handshake refused by {} (TLS alert {alert}): {detail}",
                    side(by_peer)
                )
            }
            Self::Transport {
                code,
                by_peer,
                detail,
            } => {
                write!(f, "QUIC error {code} raised by {}: {detail}", side(by_peer))
            }
        }
    }
}

impl Closed {
    fn from_transport(code: TransportErrorCode, detail: &str, by_peer: bool) -> Self {
        let number = u64::from(code);
        let detail = readable(detail.as_bytes());
        match u8::try_from(number.wrapping_sub(0x100)) {
            Ok(ALERT_NO_APPLICATION_PROTOCOL) => Self::OtherProtocol,
            Ok(alert) => Self::Handshake {
                alert,
                by_peer,
                detail,
            },
            Err(_) if by_peer && code == TransportErrorCode::CONNECTION_REFUSED => Self::Busy,
            Err(_) => Self::Transport {
                code: number,
                by_peer,
                detail,
            },
        }
    }
}

impl From<ConnectionError> for Closed {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::VersionMismatch => Self::OtherQuicVersion,
            ConnectionError::TransportError(e) => Self::from_transport(e.code, &e.reason, false),
            ConnectionError::ConnectionClosed(e) => {
                Self::from_transport(e.error_code, &String::from_utf8_lossy(&e.reason), true)
            }
            ConnectionError::ApplicationClosed(e) => Self::ByPeer {
                code: CloseCode::from_number(e.error_code.into_inner()),
                reason: readable(&e.reason),
            },
            ConnectionError::Reset => Self::Reset,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::LocallyClosed => Self::ByUs {
                code: CloseCode::Shutdown,
                reason: super::link::SHUTDOWN_REASON.to_owned(),
            },
            ConnectionError::CidsExhausted => Self::Transport {
                code: 0,
                by_peer: false,
                detail: "no connection id is left".to_owned(),
            },
        }
    }
}

/// A peer's words made fit for a terminal and a log: valid UTF-8, one line, bounded.
pub(super) fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    cut(&line).to_owned()
}

/// The longest beginning of `text` within [`CLOSE_REASON_MAX`] bytes.
pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(CLOSE_REASON_MAX))
        .unwrap_or_default()
}

/// Why dialling gave no link.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be dialled from this socket: port 0, or another address family.
    #[error("{0} cannot be dialled from here")]
    Address(SocketAddr),
    /// This transport is shut down.
    #[error("this node is stopping")]
    Stopping,
    /// Nobody answered, or too slowly.
    #[error("no answer within {}s", .0.as_secs())]
    TimedOut(Duration),
    /// The peer's key cannot be read after a handshake that checked it.
    #[error("the peer shows no node key")]
    NoIdentity,
    /// The link ended before it was ready.
    #[error("{0}")]
    Ended(Closed),
}

/// Why being dialled gave no link.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The dialler did not finish the handshake and open its stream in time.
    #[error("the dialler did not get ready within {}s", .0.as_secs())]
    TimedOut(Duration),
    /// The stream opens with a version we do not speak.
    #[error("the dialler speaks stream version {0}")]
    OtherVersion(u8),
    /// The stream ended before its version.
    #[error("the dialler's stream ended before its version")]
    NoVersion,
    /// The dialler's key cannot be read after a handshake that checked it.
    #[error("the dialler shows no node key")]
    NoIdentity,
    /// The link ended before it was ready.
    #[error("{0}")]
    Ended(Closed),
}
