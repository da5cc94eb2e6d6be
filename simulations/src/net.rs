//! An in-memory UDP network for the real QUIC stack, on paused time: delay, loss, reordering,
//! duplication, corruption, bandwidth, partitions and machines that vanish.
//!
//! The fate of a packet depends on the seed, on who sends to whom, and on how many packets went that
//! way before, and on nothing else: taking one node out of a schedule leaves the luck of the others as
//! it was. Packets arrive on whole milliseconds, which is what tokio's timers resolve.
//!
//! Like the node's transport this is the one file of its crate that names `quinn`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};
use tokio::time::{Instant, Sleep};

use crate::entropy::SplitMix;

mod runtime;
mod trace;

pub use runtime::NodeRuntime;
pub use trace::{Datagram, Fate, Totals, Trace};

/// Packets a socket holds before the next one is lost, as a system's receive buffer would.
const INBOX_MAX: usize = 2_048;

/// One direction of a line between two addresses. Probabilities are in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Time every packet takes.
    pub latency: Duration,
    /// Up to so much more, at random; more than the distance between packets reorders them.
    pub jitter: Duration,
    /// Packets lost.
    pub loss: u32,
    /// Packets that arrive twice.
    pub duplicate: u32,
    /// Packets in which one bit arrives flipped.
    pub corrupt: u32,
    /// Packets held back by several times the latency, so that later ones overtake them.
    pub reorder: u32,
    /// Bytes per second; `None` is unlimited.
    pub bandwidth: Option<u32>,
    /// Longest wait for bandwidth; packets that would wait longer are lost.
    pub queue: Duration,
}

impl Line {
    /// Without faults: 5 ms and as fast as it gets.
    pub const GOOD: Self = Self {
        latency: Duration::from_millis(5),
        jitter: Duration::ZERO,
        loss: 0,
        duplicate: 0,
        corrupt: 0,
        reorder: 0,
        bandwidth: None,
        queue: Duration::from_millis(250),
    };

    /// A bad day: 30-50 ms, 5 % lost, 1 % each duplicated, corrupted and overtaken.
    pub const BAD: Self = Self {
        latency: Duration::from_millis(30),
        jitter: Duration::from_millis(20),
        loss: 50_000,
        duplicate: 10_000,
        corrupt: 10_000,
        reorder: 10_000,
        ..Self::GOOD
    };

    /// A school behind a thin line: 60-80 ms, 2 % lost, 64 kB a second.
    pub const THIN: Self = Self {
        latency: Duration::from_millis(60),
        jitter: Duration::from_millis(20),
        loss: 20_000,
        bandwidth: Some(64 * 1024),
        queue: Duration::from_secs(1),
        ..Self::GOOD
    };
}

/// The network all simulated machines share; clones are the same network.
#[derive(Clone, Debug)]
pub struct Network(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    seed: u64,
    started: Instant,
    line: Line,
    lines: BTreeMap<(SocketAddr, SocketAddr), Line>,
    cuts: BTreeSet<(SocketAddr, SocketAddr)>,
    isolated: BTreeSet<SocketAddr>,
    flows: BTreeMap<(SocketAddr, SocketAddr), Flow>,
    inboxes: BTreeMap<SocketAddr, Inbox>,
    /// Counts packets put into inboxes; the order among those that arrive together.
    sequence: u64,
    /// Counts sockets ever bound, so that a rebound address is not the old socket.
    generation: u64,
    trace: Trace,
    totals: Totals,
    capture: Option<Vec<Datagram>>,
}

#[derive(Debug)]
struct Flow {
    packets: u64,
    /// When the line will have sent what is queued on it.
    free_at: Instant,
}

#[derive(Debug)]
struct Inbox {
    generation: u64,
    packets: BTreeMap<(Instant, u64), (SocketAddr, Vec<u8>)>,
    waker: Option<Waker>,
}

impl Network {
    /// An empty network whose every line is `line`. Must be called inside a paused runtime.
    pub fn new(seed: u64, line: Line) -> Self {
        Self(Arc::new(Mutex::new(State {
            seed,
            started: Instant::now(),
            line,
            lines: BTreeMap::new(),
            cuts: BTreeSet::new(),
            isolated: BTreeSet::new(),
            flows: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            sequence: 0,
            generation: 0,
            trace: Trace::default(),
            totals: Totals::default(),
            capture: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock ends the run; its trace is still worth reading.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a socket. Fails if the address is taken; after a crash, [unbind](Self::unbind) it first.
    pub fn bind(&self, address: SocketAddr) -> io::Result<Arc<Socket>> {
        let mut state = self.state();
        state.generation += 1;
        let generation = state.generation;
        match state.inboxes.entry(address) {
            Entry::Occupied(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Entry::Vacant(slot) => {
                slot.insert(Inbox {
                    generation,
                    packets: BTreeMap::new(),
                    waker: None,
                });
            }
        }
        let timer = Mutex::new(Box::pin(tokio::time::sleep(Duration::ZERO)));
        Ok(Arc::new(Socket {
            network: self.clone(),
            address,
            generation,
            timer,
        }))
    }

    /// Takes the machine at `address` off the network at once: packets under way to it are lost, and
    /// what its sockets still send goes nowhere.
    pub fn unbind(&self, address: SocketAddr) {
        self.state().inboxes.remove(&address);
    }

    /// Sets every line that has no line of its own.
    pub fn set_line(&self, line: Line) {
        self.state().line = line;
    }

    /// Sets the line between two addresses, both ways.
    pub fn set_line_between(&self, a: SocketAddr, b: SocketAddr, line: Line) {
        let mut state = self.state();
        state.lines.insert((a, b), line);
        state.lines.insert((b, a), line);
    }

    /// Loses everything from `from` to `to` from now on.
    pub fn cut_one_way(&self, from: SocketAddr, to: SocketAddr) {
        self.state().cuts.insert((from, to));
    }

    /// Loses everything between two addresses from now on.
    pub fn cut(&self, a: SocketAddr, b: SocketAddr) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Undoes [`Network::cut`] and [`Network::cut_one_way`] for two addresses.
    pub fn heal(&self, a: SocketAddr, b: SocketAddr) {
        let mut state = self.state();
        state.cuts.remove(&(a, b));
        state.cuts.remove(&(b, a));
    }

    /// Loses everything to and from `address` from now on.
    pub fn isolate(&self, address: SocketAddr) {
        self.state().isolated.insert(address);
    }

    /// Undoes [`Network::isolate`].
    pub fn rejoin(&self, address: SocketAddr) {
        self.state().isolated.remove(&address);
    }

    /// Undoes every cut and isolation; lines keep their faults.
    pub fn heal_all(&self) {
        let mut state = self.state();
        state.cuts.clear();
        state.isolated.clear();
    }

    /// Puts a datagram on the network as if `from` had sent it: for attackers and replays.
    pub fn inject(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.state().send(from, to, bytes);
    }

    /// Starts keeping every datagram sent, whatever becomes of it.
    pub fn capture(&self) {
        self.state().capture.get_or_insert_default();
    }

    /// Takes what was kept since [`Network::capture`] or the last call.
    pub fn take_captured(&self) -> Vec<Datagram> {
        self.state()
            .capture
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// The hash of everything that happened so far.
    pub fn trace(&self) -> Trace {
        self.state().trace
    }

    /// Counts of what happened so far.
    pub fn totals(&self) -> Totals {
        self.state().totals
    }
}

/// Numbers that name an address among the words of a seed.
fn words(address: SocketAddr) -> [u64; 2] {
    let host = match address.ip() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            u64::try_from(bits >> 64 ^ bits & u128::from(u64::MAX)).unwrap_or(u64::MAX)
        }
    };
    [host, u64::from(address.port())]
}

/// The next whole millisecond of the simulation at or after `at`.
fn on_the_tick(started: Instant, at: Instant) -> Instant {
    let nanos = at.duration_since(started).as_nanos();
    let ms = u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX);
    started + Duration::from_millis(ms)
}

impl State {
    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let now = Instant::now();
        let line = self.lines.get(&(from, to)).copied().unwrap_or(self.line);
        let flow = self.flows.entry((from, to)).or_insert(Flow {
            packets: 0,
            free_at: now,
        });
        flow.packets += 1;

        // The same draws for every packet, so that one fate does not shift the next.
        let ([a, b], [c, d]) = (words(from), words(to));
        let mut luck = SplitMix::new(self.seed, &[a, b, c, d, flow.packets]);
        let (lost, twice) = (luck.happens(line.loss), luck.happens(line.duplicate));
        let (flipped, held) = (luck.happens(line.corrupt), luck.happens(line.reorder));
        let bit = luck.below(bytes.len() as u64 * 8);
        let jitter_us = u64::try_from(line.jitter.as_micros()).unwrap_or(u64::MAX);
        let [jitter, echo] =
            [(); 2].map(|()| Duration::from_micros(luck.below(jitter_us.saturating_add(1))));
        let held_for = line.latency * u32::try_from(1 + luck.below(4)).unwrap_or(1);

        let severed = self.cuts.contains(&(from, to))
            || self.isolated.contains(&from)
            || self.isolated.contains(&to);
        let queued = match line.bandwidth {
            Some(rate) if !severed => {
                let begins = flow.free_at.max(now);
                let takes = Duration::from_secs(bytes.len() as u64) / rate.max(1);
                let waits = begins + takes - now;
                if waits > line.queue + takes {
                    None
                } else {
                    flow.free_at = begins + takes;
                    Some(waits)
                }
            }
            _ => Some(Duration::ZERO),
        };
        let fate = match queued {
            _ if severed => Fate::Severed,
            None => Fate::Overrun,
            Some(_) if lost => Fate::Lost,
            Some(_) if !self.inboxes.contains_key(&to) => Fate::Nobody,
            Some(_) => Fate::UnderWay {
                corrupted: flipped,
                duplicated: twice,
                held,
            },
        };
        let at_us = u64::try_from((now - self.started).as_micros()).unwrap_or(u64::MAX);
        self.trace.sent(at_us, [a, b, c, d], bytes, fate);
        self.totals.sent(bytes.len(), fate);
        if let Some(captured) = &mut self.capture {
            captured.push(Datagram {
                at_us,
                from,
                to,
                fate,
                bytes: bytes.to_vec(),
            });
        }
        let (Fate::UnderWay { .. }, Some(waits)) = (fate, queued) else {
            return;
        };

        let mut bytes = bytes.to_vec();
        if flipped {
            let place = usize::try_from(bit / 8).unwrap_or(0);
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << (bit % 8);
            }
        }
        let mut at = now + waits + line.latency + jitter;
        if held {
            at += held_for;
        }
        if twice {
            self.deliver(from, to, at + echo, bytes.clone());
        }
        self.deliver(from, to, at, bytes);
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, at: Instant, bytes: Vec<u8>) {
        let at = on_the_tick(self.started, at);
        self.sequence += 1;
        let Some(inbox) = self.inboxes.get_mut(&to) else {
            return;
        };
        if inbox.packets.len() >= INBOX_MAX {
            self.totals.overflowed += 1;
            return;
        }
        inbox.packets.insert((at, self.sequence), (from, bytes));
        if let Some(waker) = inbox.waker.take() {
            waker.wake();
        }
    }
}

/// One simulated UDP socket, to be given to `Transport::from_socket` with a [`NodeRuntime`].
pub struct Socket {
    network: Network,
    address: SocketAddr,
    generation: u64,
    timer: Mutex<Pin<Box<Sleep>>>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Socket({} #{})", self.address, self.generation)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut state = self.network.state();
        if state
            .inboxes
            .get(&self.address)
            .is_some_and(|i| i.generation == self.generation)
        {
            state.inboxes.remove(&self.address);
        }
    }
}

/// The socket never refuses a packet, so nobody ever waits to send one.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut state = self.network.state();
        let alive = state
            .inboxes
            .get(&self.address)
            .map(|inbox| inbox.generation);
        if alive != Some(self.generation) {
            return Ok(());
        }
        let size = transmit
            .segment_size
            .unwrap_or(transmit.contents.len())
            .max(1);
        for bytes in transmit.contents.chunks(size) {
            state.send(self.address, transmit.destination, bytes);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let next = {
            let mut state = self.network.state();
            let now = Instant::now();
            let State {
                inboxes, totals, ..
            } = &mut *state;
            let mine = inboxes.get_mut(&self.address);
            let Some(inbox) = mine.filter(|inbox| inbox.generation == self.generation) else {
                return Poll::Pending;
            };
            let mut count = 0;
            for (buffer, meta) in buffers.iter_mut().zip(metas) {
                let due = inbox
                    .packets
                    .first_entry()
                    .filter(|packet| packet.key().0 <= now);
                let Some((from, bytes)) = due.map(|packet| packet.remove()) else {
                    break;
                };
                let length = bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&bytes[..length]);
                *meta = RecvMeta {
                    addr: from,
                    len: length,
                    stride: length,
                    ecn: None,
                    dst_ip: None,
                };
                count += 1;
            }
            if count > 0 {
                totals.delivered += count as u64;
                return Poll::Ready(Ok(count));
            }
            inbox.waker = Some(cx.waker().clone());
            inbox.packets.keys().next().map(|(at, _)| *at)
        };
        if let Some(at) = next {
            let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
            timer.as_mut().reset(at);
            if Future::poll(timer.as_mut(), cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
