//! One task pair per link: reads and checks what a peer sends, writes what the node has for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use federation_protocol::{Entry, Message, Misbehaved, SessionId, limits};
use keys::NodeKey;
use tokio::sync::{Notify, mpsc};

use crate::enrol::{self, Enroller};
use crate::frame::{FrameReader, FrameWriter};
use crate::transport::{CloseCode, Link, LinkHandle};

/// How long a peer may take to say who it is.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// Frames handed to a link's writer before the node waits for room: one on its way, one ready.
pub(crate) const WRITER_QUEUE: usize = 2;
/// How long the last words to a peer may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What links tell the run loop.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A link stands; its writer takes frames from this channel.
    Up {
        session: SessionId,
        peer: NodeKey,
        link: LinkHandle,
        writer: mpsc::Sender<Outgoing>,
    },
    /// A checked message.
    Message {
        session: SessionId,
        message: Message,
        entries: Vec<Entry>,
    },
    /// Bytes that are no message.
    Misbehaved {
        session: SessionId,
        reason: Misbehaved,
    },
    /// The link is gone, and why.
    Down { session: SessionId, reason: String },
    /// Dialling failed.
    Undialled { address: SocketAddr, reason: String },
}

/// What the run loop tells a link's writer.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Send this message.
    Message(Vec<u8>),
    /// Send this last message, if any, and close.
    Close {
        last: Option<Vec<u8>>,
        code: CloseCode,
        reason: String,
    },
}

/// What every link task shares.
#[derive(Clone)]
pub(crate) struct LinkShared {
    pub(crate) events: mpsc::Sender<LinkEvent>,
    /// Rung whenever a writer has taken a frame.
    pub(crate) room: Arc<Notify>,
    pub(crate) enroller: Option<Enroller>,
}

/// Runs a link we dialled until it ends.
pub(crate) async fn run_dialled(shared: LinkShared, session: SessionId, link: Link) {
    let (handle, writer, reader) = link.split();
    run(shared, session, handle, writer, reader, First::Awaited).await;
}

/// Runs a link we accepted: a first frame that asks to enrol is answered here, any other opens a
/// session.
pub(crate) async fn run_accepted(shared: LinkShared, session: SessionId, link: Link) {
    let (handle, mut writer, mut reader) = link.split();
    let first = match reader
        .read_first(limits::HELLO_SIZE_MAX, HELLO_DEADLINE)
        .await
    {
        Ok(Some(first)) => first,
        Ok(None) => return,
        Err(error) => {
            handle.close(CloseCode::Misbehaved, &error.to_string());
            return;
        }
    };
    if let Some(ask) = enrol::Ask::from_bytes(&first) {
        match &shared.enroller {
            Some(enroller) => {
                enroller
                    .answer(ask, &handle, &mut writer, &mut reader)
                    .await
            }
            None => handle.close(CloseCode::Refused, "this node holds no unit key"),
        }
        return;
    }
    match Message::from_bytes(&first) {
        Ok(hello @ Message::Hello(_)) => {
            run(shared, session, handle, writer, reader, First::Here(hello)).await;
        }
        Ok(other) => {
            let reason = Misbehaved::Unexpected { what: other.name() };
            handle.close(CloseCode::Misbehaved, &reason.to_string());
        }
        Err(reason) => handle.close(CloseCode::Misbehaved, &reason.to_string()),
    }
}

/// Where a link's first message is.
enum First {
    /// Read already.
    Here(Message),
    /// Still to come.
    Awaited,
    /// Behind us.
    Passed,
}

async fn run(
    shared: LinkShared,
    session: SessionId,
    handle: LinkHandle,
    writer: FrameWriter,
    mut reader: FrameReader,
    mut first: First,
) {
    let (outgoing, queue) = mpsc::channel(WRITER_QUEUE);
    let up = LinkEvent::Up {
        session,
        peer: handle.peer(),
        link: handle.clone(),
        writer: outgoing,
    };
    if shared.events.send(up).await.is_err() {
        return;
    }
    let write = write_all(queue, writer, handle.clone(), shared.room.clone());
    let read = async {
        loop {
            // Until the hello, nothing larger than one is read, and nothing else is looked into.
            let frame = match std::mem::replace(&mut first, First::Passed) {
                First::Here(hello) => {
                    let event = LinkEvent::Message {
                        session,
                        message: hello,
                        entries: Vec::new(),
                    };
                    if shared.events.send(event).await.is_err() {
                        break;
                    }
                    continue;
                }
                First::Awaited => {
                    reader
                        .read_first(limits::HELLO_SIZE_MAX, HELLO_DEADLINE)
                        .await
                }
                First::Passed => reader.read().await,
            };
            let message = match frame {
                Ok(Some(bytes)) => check(&bytes),
                Ok(None) => break,
                Err(error) if error.is_misbehaviour() => {
                    tracing::debug!(%error, "frame refused");
                    Err(Misbehaved::Message { what: "frame" })
                }
                Err(_) => break,
            };
            let (event, misbehaved) = match message {
                Ok((message, entries)) => (
                    LinkEvent::Message {
                        session,
                        message,
                        entries,
                    },
                    false,
                ),
                Err(reason) => (LinkEvent::Misbehaved { session, reason }, true),
            };
            if shared.events.send(event).await.is_err() {
                break;
            }
            if misbehaved {
                // Nothing more is read from it; the run loop tells it why and closes.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        biased;
        () = write => {}
        () = read => {}
        closed = handle.closed() => tracing::debug!(%closed, "link ended"),
    }
    let reason = match handle.ended() {
        Some(closed) => closed.to_string(),
        None => "the peer ended the stream".to_owned(),
    };
    handle.close(CloseCode::Done, "");
    let _ = shared
        .events
        .send(LinkEvent::Down { session, reason })
        .await;
}

/// Decodes a message and checks the entries in it: the costly part, done beside the run loop. Entries
/// of a later version are left out: they are asked for again once this node was updated.
fn check(bytes: &[u8]) -> Result<(Message, Vec<Entry>), Misbehaved> {
    let mut message = Message::from_bytes(bytes)?;
    let (entries, newer) = message.take_entries()?;
    if newer > 0 {
        tracing::warn!(
            newer,
            "entries of a later version; update sanji to read them"
        );
    }
    Ok((message, entries))
}

async fn write_all(
    mut queue: mpsc::Receiver<Outgoing>,
    mut writer: FrameWriter,
    handle: LinkHandle,
    room: Arc<Notify>,
) {
    while let Some(next) = queue.recv().await {
        room.notify_one();
        match next {
            Outgoing::Message(bytes) => {
                if writer.write(&bytes).await.is_err() {
                    return;
                }
            }
            Outgoing::Close { last, code, reason } => {
                let goodbye = async {
                    if let Some(last) = last {
                        let _ = writer.write(&last).await;
                        let _ = writer.finish().await;
                        // The peer closes when it has read it.
                        handle.closed().await;
                    }
                };
                let _ = tokio::time::timeout(GOODBYE, goodbye).await;
                handle.close(code, &reason);
                return;
            }
        }
    }
}
