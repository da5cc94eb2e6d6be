//! The door to `quinn`: links between nodes over QUIC.
//!
//! A [`Transport`] owns one UDP socket (or a simulated one), dials and is dialled. What it hands out
//! is a [`Link`]: a peer whose possession of its [`NodeKey`](keys::NodeKey) is proven, and one
//! bidirectional stream of frames. The dialler opens the stream and writes one byte, the version of
//! what follows, so that the listener sees the stream whichever side speaks first.
//!
//! Everything a stranger can make us hold or wait for is bounded by [`limits`]; a stranger is
//! whoever the session has not yet [admitted](LinkHandle::admit).

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keys::Secret;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{
    Connection, ConnectionError, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig,
    RecvStream, SendStream, TransportConfig, TransportErrorCode, VarInt,
};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use self::reset::{ConnectionIds, ResetKey};
use crate::clock::{Clock, WallTime, system_time};
use crate::tls::{SERVER_NAME, TlsConfigs, TlsError};

mod close;
pub mod limits;
mod link;
mod reset;

pub use close::{AcceptError, CloseCode, Closed, ConnectError};
pub use link::{Link, LinkHandle, LinkStats};

/// Opens every stream: the version of the framing. A listener refuses any other.
pub const STREAM_VERSION: u8 = 1;

/// What may be set per transport; the defaults are [`limits`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransportOptions {
    /// Makes quinn's own random choices repeatable. For simulations only.
    pub rng_seed: Option<[u8; 32]>,
    /// From the first packet to the open stream, on both sides.
    pub handshake_timeout: Duration,
    /// A link silent for so long is dead.
    pub idle_timeout: Duration,
    /// How often a silent link is kept awake.
    pub keep_alive: Duration,
    /// Open links; beyond it newcomers are refused as busy.
    pub links_max: usize,
    /// Handshakes under way at once.
    pub handshakes_max: usize,
    /// Handshakes under way at once from one address.
    pub handshakes_per_address_max: usize,
    /// From so many handshakes under way on, strangers must prove their address first.
    pub retry_above: usize,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            rng_seed: None,
            handshake_timeout: limits::HANDSHAKE_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            keep_alive: limits::KEEP_ALIVE,
            links_max: limits::LINKS_MAX,
            handshakes_max: limits::HANDSHAKES_MAX,
            handshakes_per_address_max: limits::HANDSHAKES_PER_ADDRESS_MAX,
            retry_above: limits::RETRY_ABOVE,
        }
    }
}

/// Why a transport could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The UDP socket could not be opened or configured.
    #[error("cannot listen on UDP {address}: {source}")]
    Socket {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The simulated socket was not taken.
    #[error("the given socket cannot be used: {0}")]
    GivenSocket(io::Error),
    /// The node's key was not taken.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// One node's end of all its links; clones share it.
#[derive(Clone, Debug)]
pub struct Transport(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    client: quinn::ClientConfig,
    options: TransportOptions,
    gate: Arc<Gate>,
}

impl Transport {
    /// Listens and dials on a UDP socket of the machine. Must be called inside a tokio runtime.
    pub fn bind(
        address: SocketAddr,
        secret: &Secret,
        clock: Arc<dyn Clock>,
        options: TransportOptions,
    ) -> Result<Self, BindError> {
        let configs = TlsConfigs::new(secret, clock.clone())?;
        let refused = |source| BindError::Socket { address, source };
        let socket = UdpSocket::bind(address).map_err(refused)?;
        Self::assemble(secret, configs, clock, options, |endpoint, server| {
            Endpoint::new(
                endpoint,
                Some(server),
                socket,
                Arc::new(quinn::TokioRuntime),
            )
        })
        .map_err(refused)
    }

    /// Listens and dials on a socket and runtime of the caller, for simulations.
    pub fn from_socket(
        socket: Arc<dyn quinn::AsyncUdpSocket>,
        runtime: Arc<dyn quinn::Runtime>,
        secret: &Secret,
        clock: Arc<dyn Clock>,
        options: TransportOptions,
    ) -> Result<Self, BindError> {
        let configs = TlsConfigs::new(secret, clock.clone())?;
        Self::assemble(secret, configs, clock, options, |endpoint, server| {
            Endpoint::new_with_abstract_socket(endpoint, Some(server), socket, runtime)
        })
        .map_err(BindError::GivenSocket)
    }

    fn assemble(
        secret: &Secret,
        configs: TlsConfigs,
        clock: Arc<dyn Clock>,
        options: TransportOptions,
        open: impl FnOnce(EndpointConfig, quinn::ServerConfig) -> io::Result<Endpoint>,
    ) -> io::Result<Self> {
        let (client, server) = quic_configs(configs, clock, &options);
        let mut endpoint = EndpointConfig::new(Arc::new(ResetKey::new(secret)));
        let boot = match options.rng_seed {
            Some(seed) => seed,
            None => fresh_seed()?,
        };
        let ids = move || -> Box<dyn ConnectionIdGenerator> { Box::new(ConnectionIds::new(boot)) };
        endpoint.rng_seed(options.rng_seed).cid_generator(ids);
        let endpoint = open(endpoint, server)?;
        Ok(Self(Arc::new(Shared {
            endpoint,
            client,
            options,
            gate: Arc::default(),
        })))
    }

    /// The address it listens on.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.endpoint.local_addr()
    }

    /// Links and handshakes that exist now.
    pub fn open_links(&self) -> usize {
        self.0.endpoint.open_connections()
    }

    /// Dials a peer and opens the link's stream, within the handshake timeout.
    ///
    /// Under TLS 1.3 the dialler is done before the listener has judged the dialler's key, so a
    /// refusal of the key shows on the link, not here.
    pub async fn connect(&self, address: SocketAddr) -> Result<Link, ConnectError> {
        let shared = &self.0;
        let dial = async {
            let connecting =
                shared
                    .endpoint
                    .connect_with(shared.client.clone(), address, SERVER_NAME)?;
            let connection = connecting
                .await
                .map_err(|e| ConnectError::Ended(e.into()))?;
            let (mut send, receive) = connection
                .open_bi()
                .await
                .map_err(|e| ConnectError::Ended(e.into()))?;
            if send.write_all(&[STREAM_VERSION]).await.is_err() {
                return Err(ConnectError::Ended(connection.closed().await.into()));
            }
            Link::new(connection, send, receive).ok_or(ConnectError::NoIdentity)
        };
        let limit = shared.options.handshake_timeout;
        timeout(limit, dial)
            .await
            .unwrap_or(Err(ConnectError::TimedOut(limit)))
    }

    /// The next attempt worth a handshake; `None` after [`Transport::shutdown`]. Attempts beyond the
    /// limits are refused or made to prove their address inside. One task calls this in a loop and
    /// gives each attempt a task of its own.
    pub async fn accept(&self) -> Option<Incoming> {
        let shared = &self.0;
        loop {
            let attempt = shared.endpoint.accept().await?;
            let address = attempt.remote_address();
            if shared.endpoint.open_connections() >= shared.options.links_max {
                attempt.refuse();
                continue;
            }
            let pressed = shared.gate.under_way() >= shared.options.retry_above;
            if pressed && !attempt.remote_address_validated() && attempt.may_retry() {
                // Cannot fail: `may_retry` was asked.
                let _ = attempt.retry();
                continue;
            }
            let Some(pass) = Gate::enter(&shared.gate, address.ip(), &shared.options) else {
                attempt.refuse();
                continue;
            };
            let limit = shared.options.handshake_timeout;
            return Some(Incoming {
                attempt,
                pass,
                limit,
            });
        }
    }

    /// Closes every link with [`CloseCode::Shutdown`], accepts no more, and waits a little for the
    /// peers to hear of it, at most [`limits::SHUTDOWN_WAIT`].
    pub async fn shutdown(&self) {
        let endpoint = &self.0.endpoint;
        endpoint.close(CloseCode::Shutdown.wire(), link::SHUTDOWN_REASON.as_bytes());
        // A peer that does not answer costs the wait and nothing else.
        let _ = timeout(limits::SHUTDOWN_WAIT, endpoint.wait_idle()).await;
    }
}

/// A connection attempt of an unknown machine, before any cryptography was spent on it.
#[derive(Debug)]
pub struct Incoming {
    attempt: quinn::Incoming,
    pass: Pass,
    limit: Duration,
}

impl Incoming {
    /// Where it claims to come from.
    pub fn remote_address(&self) -> SocketAddr {
        self.attempt.remote_address()
    }

    /// Completes the handshake and takes the dialler's stream, within the handshake timeout.
    pub async fn establish(self) -> Result<Link, AcceptError> {
        let Self {
            attempt,
            pass,
            limit,
        } = self;
        let work = async {
            let ended = |e: ConnectionError| AcceptError::Ended(e.into());
            let connection = attempt.accept().map_err(ended)?.await.map_err(ended)?;
            let (send, mut receive) = connection.accept_bi().await.map_err(ended)?;
            match receive.read_u8().await {
                Ok(STREAM_VERSION) => {}
                Ok(other) => {
                    let reason = format!("stream version {other} is not spoken here");
                    connection.close(CloseCode::Refused.wire(), reason.as_bytes());
                    return Err(AcceptError::OtherVersion(other));
                }
                Err(_) => {
                    let reason = b"the stream ended before its version".as_slice();
                    connection.close(CloseCode::Misbehaved.wire(), reason);
                    return Err(AcceptError::NoVersion);
                }
            }
            Link::new(connection, send, receive).ok_or(AcceptError::NoIdentity)
        };
        let link = timeout(limit, work)
            .await
            .unwrap_or(Err(AcceptError::TimedOut(limit)));
        drop(pass);
        link
    }

    /// Turns the attempt away; the dialler sees [`Closed::Busy`].
    pub fn refuse(self) {
        self.attempt.refuse();
    }
}

impl From<quinn::ConnectError> for ConnectError {
    fn from(error: quinn::ConnectError) -> Self {
        match error {
            quinn::ConnectError::InvalidRemoteAddress(address) => Self::Address(address),
            // The others speak of configurations that are fixed in this file.
            _ => Self::Stopping,
        }
    }
}

fn fresh_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

/// Counts handshakes under way, in all and by address.
#[derive(Debug, Default)]
struct Gate(Mutex<BTreeMap<IpAddr, usize>>);

/// One place in the [`Gate`], given back on drop.
#[derive(Debug)]
struct Pass {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Gate {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        // Counting cannot leave the map half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn under_way(&self) -> usize {
        self.counts().values().sum()
    }

    fn enter(gate: &Arc<Self>, address: IpAddr, options: &TransportOptions) -> Option<Pass> {
        let mut counts = gate.counts();
        let all: usize = counts.values().sum();
        let here = counts.get(&address).copied().unwrap_or(0);
        if all >= options.handshakes_max || here >= options.handshakes_per_address_max {
            return None;
        }
        counts.insert(address, here + 1);
        Some(Pass {
            gate: gate.clone(),
            address,
        })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.gate.counts();
        if let Some(here) = counts.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

fn quic_configs(
    configs: TlsConfigs,
    clock: Arc<dyn Clock>,
    options: &TransportOptions,
) -> (quinn::ClientConfig, quinn::ServerConfig) {
    let transport = Arc::new(transport_config(options));

    let crypto = QuicClientConfig::try_from(configs.client)
        .expect("ring brings the cipher suite QUIC starts with");
    let mut client = quinn::ClientConfig::new(Arc::new(crypto));
    client.transport_config(transport.clone());
    client.token_store(Arc::new(quinn::NoneTokenStore));

    let crypto = QuicServerConfig::try_from(configs.server)
        .expect("ring brings the cipher suite QUIC starts with");
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let mut tokens = quinn::ValidationTokenConfig::default();
    // Addresses are proven anew each time: a remembered proof would outlive the reason for it.
    tokens.sent(0);
    server
        .transport_config(transport)
        .validation_token_config(tokens)
        // Nodes stand still; a moved laptop dials again, which costs one round trip.
        .migration(false)
        .max_incoming(limits::INCOMING_MAX)
        .incoming_buffer_size(limits::INCOMING_BUFFER)
        .incoming_buffer_size_total(limits::INCOMING_BUFFER_TOTAL)
        .time_source(Arc::new(ClockSource(clock)));
    (client, server)
}

fn transport_config(options: &TransportOptions) -> TransportConfig {
    let mut config = TransportConfig::default();
    // Beyond what the field holds (half a million years) the largest value serves as well.
    let idle = options
        .idle_timeout
        .try_into()
        .unwrap_or(VarInt::MAX.into());
    config
        .max_concurrent_bidi_streams(limits::STREAMS_FROM_DIALLER.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .receive_window(limits::WINDOW_STRANGER.into())
        .stream_receive_window(limits::WINDOW_ADMITTED.into())
        .send_window(limits::SEND_WINDOW)
        .crypto_buffer_size(limits::CRYPTO_BUFFER)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(options.keep_alive))
        // Tells observers on the path nothing about the line's delay.
        .allow_spin(false);
    config
}

/// Our clock, for the expiry of retry tokens.
struct ClockSource(Arc<dyn Clock>);

impl quinn::TimeSource for ClockSource {
    fn now(&self) -> WallTime {
        system_time(&*self.0)
    }
}

#[cfg(test)]
mod tests;
