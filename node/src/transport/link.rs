//! One link: a proven peer, one stream of frames each way, and how it ends.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use keys::NodeKey;

use super::close::{CloseCode, Closed, cut};
use super::limits::WINDOW_ADMITTED;
use super::{Connection, ConnectionError, RecvStream, SendStream};
use crate::frame::{Counters, FrameCount, FrameReader, FrameWriter};
use crate::tls;

/// What a peer reads when the whole transport is shut down.
pub(super) const SHUTDOWN_REASON: &str = "the node is stopping";

/// An established link with its stream, before it is split among tasks.
#[derive(Debug)]
pub struct Link {
    handle: LinkHandle,
    writer: FrameWriter,
    reader: FrameReader,
}

/// What can be known of a link and done to it from anywhere; clones speak of the same link. The
/// link is dropped, without a reason for the peer, when all clones and both frame ends are gone.
#[derive(Clone, Debug)]
pub struct LinkHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: Connection,
    peer: NodeKey,
    sent: Counters,
    received: Counters,
    /// What we closed it with, which the stack does not remember.
    closed_by_us: OnceLock<(CloseCode, String)>,
}

/// A link's measures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Frames sent, counted when queued.
    pub sent: FrameCount,
    /// Frames received, counted when complete.
    pub received: FrameCount,
    /// Bytes of UDP payload sent: frames, handshake, acknowledgements, repeats.
    pub udp_sent_bytes: u64,
    /// Bytes of UDP payload received.
    pub udp_received_bytes: u64,
    /// Packets sent that were lost.
    pub lost_packets: u64,
}

impl Link {
    /// Takes over an established connection; `None` if the stack names no usable peer key.
    pub(super) fn new(
        connection: Connection,
        send: SendStream,
        receive: RecvStream,
    ) -> Option<Self> {
        let peer = tls::peer_key(connection.peer_identity())?;
        let (sent, received) = (Counters::default(), Counters::default());
        let writer = FrameWriter::new(send, sent.clone());
        let reader = FrameReader::new(receive, received.clone());
        let closed_by_us = OnceLock::new();
        let handle = LinkHandle(Arc::new(Inner {
            connection,
            peer,
            sent,
            received,
            closed_by_us,
        }));
        Some(Self {
            handle,
            writer,
            reader,
        })
    }

    /// The key whose possession the peer has proven.
    pub fn peer(&self) -> NodeKey {
        self.handle.peer()
    }

    /// See [`LinkHandle::exporter`].
    pub fn exporter(&self, label: &str) -> [u8; 32] {
        self.handle.exporter(label)
    }

    /// The handle, to keep beside the split parts.
    pub fn handle(&self) -> &LinkHandle {
        &self.handle
    }

    /// Takes the link apart, one end for each task.
    pub fn split(self) -> (LinkHandle, FrameWriter, FrameReader) {
        (self.handle, self.writer, self.reader)
    }
}

impl LinkHandle {
    /// The key whose possession the peer has proven.
    pub fn peer(&self) -> NodeKey {
        self.0.peer
    }

    /// Where the peer's packets come from.
    pub fn remote_address(&self) -> SocketAddr {
        self.0.connection.remote_address()
    }

    /// Keying material that only the two ends of this very link can compute (RFC 5705, no context):
    /// equal on both sides, different for each link and label.
    pub fn exporter(&self, label: &str) -> [u8; 32] {
        let mut material = [0; 32];
        self.0
            .connection
            .export_keying_material(&mut material, label.as_bytes(), &[])
            .expect("an established TLS session exports 32 bytes");
        material
    }

    /// Gives the peer the full receive window. To be called once its first frame has been accepted;
    /// until then the link holds at most [`WINDOW_STRANGER`](super::limits::WINDOW_STRANGER) unread bytes.
    pub fn admit(&self) {
        self.0.connection.set_receive_window(WINDOW_ADMITTED.into());
    }

    /// Smoothed round-trip time.
    pub fn rtt(&self) -> Duration {
        self.0.connection.rtt()
    }

    /// The link's measures now; readable after its end too.
    pub fn stats(&self) -> LinkStats {
        let quic = self.0.connection.stats();
        LinkStats {
            rtt: quic.path.rtt,
            sent: self.0.sent.count(),
            received: self.0.received.count(),
            udp_sent_bytes: quic.udp_tx.bytes,
            udp_received_bytes: quic.udp_rx.bytes,
            lost_packets: quic.path.lost_packets,
        }
    }

    /// Closes the link at once; the peer reads code and reason (cut to
    /// [`CLOSE_REASON_MAX`](super::limits::CLOSE_REASON_MAX) bytes). Frames not yet acknowledged may
    /// be lost: to end in order, [finish](FrameWriter::finish) and let the peer close. A second
    /// close changes nothing.
    pub fn close(&self, code: CloseCode, reason: &str) {
        let reason = cut(reason);
        if self.0.connection.close_reason().is_none() {
            // Of two tasks closing at once the first one's words are sent and kept.
            let _ = self.0.closed_by_us.set((code, reason.to_owned()));
        }
        self.0.connection.close(code.wire(), reason.as_bytes());
    }

    /// How the link ended; `None` while it is open.
    pub fn ended(&self) -> Option<Closed> {
        self.0
            .connection
            .close_reason()
            .map(|error| self.explain(error))
    }

    /// Waits for the link's end and tells how it came, on both sides.
    pub async fn closed(&self) -> Closed {
        self.explain(self.0.connection.closed().await)
    }

    fn explain(&self, error: ConnectionError) -> Closed {
        match (&error, self.0.closed_by_us.get()) {
            (ConnectionError::LocallyClosed, Some((code, reason))) => Closed::ByUs {
                code: *code,
                reason: reason.clone(),
            },
            _ => error.into(),
        }
    }
}
