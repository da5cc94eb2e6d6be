//! A line between two nodes that can be cut: it carries datagrams from a dialling node to the node it dials and back,
//! counts their bytes, and while it is cut it swallows them, as a dead cable does. QUIC on both ends notices nothing
//! else; keys are proven end to end through it.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Sources a line remembers: enrolling and every start of a node come from another port.
const SOURCES_MAX: usize = 16;
/// The largest datagram there is.
const DATAGRAM_MAX: usize = 65_535;

/// A line; it ends with this value.
#[derive(Debug)]
pub(super) struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    cut: AtomicBool,
    up: AtomicU64,
    down: AtomicU64,
}

impl Shared {
    /// Counts a datagram and tells whether it gets through.
    fn passes(&self, counter: &AtomicU64, bytes: usize) -> bool {
        let open = !self.cut.load(Ordering::Relaxed);
        if open {
            counter.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        open
    }
}

impl Wire {
    /// Lays a line to the node that listens on `to`, which need not run yet.
    pub(super) async fn lay(to: SocketAddr) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(carry_up(socket, to, shared.clone()));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Where the dialling node finds the line.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing through any more.
    pub(super) fn cut(&self) {
        self.shared.cut.store(true, Ordering::Relaxed);
    }

    /// Lets everything through again.
    pub(super) fn mend(&self) {
        self.shared.cut.store(false, Ordering::Relaxed);
    }

    /// Tells whether nothing gets through.
    pub(super) fn is_cut(&self) -> bool {
        self.shared.cut.load(Ordering::Relaxed)
    }

    /// Bytes of datagrams carried so far, up and down.
    pub(super) fn carried(&self) -> (u64, u64) {
        (
            self.shared.up.load(Ordering::Relaxed),
            self.shared.down.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One source below and the socket that stands for it above.
struct Source {
    below: SocketAddr,
    above: Arc<UdpSocket>,
    back: JoinHandle<()>,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.back.abort();
    }
}

async fn carry_up(socket: Arc<UdpSocket>, to: SocketAddr, shared: Arc<Shared>) {
    let mut sources: VecDeque<Source> = VecDeque::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        // An error here is the echo of a datagram that nobody took; the line itself stands.
        let Ok((bytes, below)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if !shared.passes(&shared.up, bytes) {
            continue;
        }
        let known = sources.iter().find(|source| source.below == below);
        let above = match known {
            Some(source) => source.above.clone(),
            None => {
                let Ok(above) = connected(to).await else {
                    continue;
                };
                let back = tokio::spawn(carry_down(
                    above.clone(),
                    socket.clone(),
                    below,
                    shared.clone(),
                ));
                if sources.len() >= SOURCES_MAX {
                    sources.pop_front();
                }
                sources.push_back(Source {
                    below,
                    above: above.clone(),
                    back,
                });
                above
            }
        };
        let _ = above.send(buffer.get(..bytes).unwrap_or_default()).await;
    }
}

async fn connected(to: SocketAddr) -> io::Result<Arc<UdpSocket>> {
    let above = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    above.connect(to).await?;
    Ok(Arc::new(above))
}

async fn carry_down(
    above: Arc<UdpSocket>,
    socket: Arc<UdpSocket>,
    below: SocketAddr,
    shared: Arc<Shared>,
) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let Ok(bytes) = above.recv(&mut buffer).await else {
            continue;
        };
        if shared.passes(&shared.down, bytes) {
            let _ = socket
                .send_to(buffer.get(..bytes).unwrap_or_default(), below)
                .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn end() -> UdpSocket {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
    }

    #[tokio::test]
    async fn a_line_carries_both_ways_and_keeps_sources_apart() {
        let (above, first, second) = (end().await, end().await, end().await);
        let wire = Wire::lay(above.local_addr().unwrap()).await.unwrap();
        first.send_to(b"one", wire.address()).await.unwrap();
        let mut buffer = [0; 16];
        let (bytes, from_first) = above.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..bytes], b"one");
        second.send_to(b"two!", wire.address()).await.unwrap();
        let (_, from_second) = above.recv_from(&mut buffer).await.unwrap();
        assert_ne!(from_first, from_second);
        above.send_to(b"to two", from_second).await.unwrap();
        let (bytes, _) = second.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..bytes], b"to two");
        assert_eq!(wire.carried(), (7, 6));
    }

    #[tokio::test]
    async fn a_cut_line_swallows_everything_until_it_is_mended() {
        let (above, below) = (end().await, end().await);
        let wire = Wire::lay(above.local_addr().unwrap()).await.unwrap();
        wire.cut();
        below.send_to(b"lost", wire.address()).await.unwrap();
        // A second line shows that the first had its turn: the runtime of this test has one thread, and the
        // datagram above was queued before.
        let other = Wire::lay(above.local_addr().unwrap()).await.unwrap();
        below.send_to(b"other way", other.address()).await.unwrap();
        let mut buffer = [0; 16];
        let (bytes, _) = above.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..bytes], b"other way");
        assert_eq!(wire.carried(), (0, 0));
        wire.mend();
        below.send_to(b"found", wire.address()).await.unwrap();
        let (bytes, _) = above.recv_from(&mut buffer).await.unwrap();
        assert!(matches!(&buffer[..bytes], b"found" | b"lost"));
    }
}
