//! Opens a home and runs its node: what `serve` and every offline command share.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use federation_protocol::Weakness;
use keys::{Secret, StoreEpoch, TierName, UnitId};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tiers::{Federation, KindStatement};
use tokio::sync::oneshot;

use crate::clock::{Clock, SystemClock};
use crate::enrol::{self, Token};
use crate::handle::NodeHandle;
use crate::home::{Home, HomeError, Settings};
use crate::identity::Identity;
use crate::run::{self, Fatal, OpenNodeError, Parts};
use crate::schema::{OpenError, Schema};
use crate::store::{Batch, CommitError, SledOptions, SledStore, StoreError};
use crate::transport::{BindError, ConnectError, Transport, TransportOptions};
use crate::worker::Worker;

/// The kinds a new federation starts with.
pub(crate) const FIRST_KINDS: [&str; 2] = [
    include_str!("../../tiers/kinds/volunteer-service.toml"),
    include_str!("../../tiers/kinds/practice-record.toml"),
];

/// A node could not be brought up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's layout.
    #[error(transparent)]
    Layout(#[from] OpenError),
    /// The node.
    #[error(transparent)]
    Node(#[from] OpenNodeError),
    /// A first write.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Writing the first statements.
    #[error(transparent)]
    Write(#[from] crate::handle::WriteError),
    /// The socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Entropy(#[from] getrandom::Error),
    /// Dialling.
    #[error("cannot reach the inviting node: {0}")]
    Connect(#[from] ConnectError),
    /// Enrolling.
    #[error(transparent)]
    Join(#[from] enrol::JoinError),
    /// The token names no address that can be used.
    #[error("the token names no usable address")]
    NoAddress,
    /// The node stopped.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// Returns randomness seeded from the system.
///
/// # Errors
/// The system gives none.
pub fn system_rng() -> Result<ChaCha20Rng, getrandom::Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(ChaCha20Rng::from_seed(seed))
}

/// A node that runs beside the caller until it is stopped.
pub struct Hosted {
    /// How to talk to it.
    pub node: NodeHandle,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<Result<(), Fatal>>,
    home: Home,
}

impl Hosted {
    /// Keeps the listening address in the settings, for the next start and for invitations.
    ///
    /// # Errors
    /// The settings cannot be read or written.
    pub fn remember_listen(&self, listen: SocketAddr) -> Result<(), HomeError> {
        let mut settings = Home::settings(self.home.dir())?;
        let listen = Some(listen.to_string());
        if settings.listen != listen {
            settings.listen = listen;
            self.home.write_settings(&settings)?;
        }
        Ok(())
    }

    /// Stops the node in order and waits for its end.
    ///
    /// # Errors
    /// Why it ended before.
    pub async fn stop(self) -> Result<(), Fatal> {
        let _ = self.stop.send(());
        self.done.await.expect("the run loop does not panic")
    }

    /// Waits until the node ends by itself, or until `stop` resolves and it has stopped.
    ///
    /// # Errors
    /// Why it ended by itself.
    pub async fn until(mut self, stop: impl Future<Output = ()>) -> Result<(), Fatal> {
        tokio::select! {
            biased;
            ended = &mut self.done => ended.expect("the run loop does not panic"),
            () = stop => self.stop().await,
        }
    }
}

/// Opens a home and runs its node; with `listen` it also speaks to other nodes.
///
/// # Errors
/// [`HostError`] names what is wrong and where.
pub async fn open(dir: &Path, listen: Option<SocketAddr>) -> Result<Hosted, HostError> {
    let (home, identity, _) = Home::open(dir)?;
    run_home(home, identity, listen).await
}

async fn run_home(
    home: Home,
    identity: Identity,
    listen: Option<SocketAddr>,
) -> Result<Hosted, HostError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store_dir = home.store_dir();
    let mut options = SledOptions {
        cache_bytes: cache_bytes(&identity),
        ..SledOptions::default()
    };
    if listen.is_none() {
        // A command that runs alone ends by itself right after, and can say what it found.
        options.on_fail_stop = Arc::new(|_| {});
    }
    let store = tokio::task::spawn_blocking(move || SledStore::open(&store_dir, options))
        .await
        .expect("opening the store does not panic")?;
    let schema = Schema::open(Arc::new(store)).await?;
    let transport = match listen {
        None => None,
        Some(address) => Some(Transport::bind(
            address,
            &identity.secret,
            clock.clone(),
            TransportOptions::default(),
        )?),
    };
    let parts = Parts {
        identity,
        schema,
        clock,
        rng: system_rng()?,
        worker: Worker::cores(),
        weakness: Weakness::default(),
    };
    let (node, runner) = run::open(parts)?;
    let (stop, stopped) = oneshot::channel();
    let done = tokio::spawn(runner.run(transport, async {
        let _ = stopped.await;
    }));
    Ok(Hosted {
        node,
        stop,
        done,
        home,
    })
}

/// A hub keeps more pages in memory than a school.
fn cache_bytes(identity: &Identity) -> u64 {
    if identity.tier.as_str() == "school" {
        64 << 20
    } else {
        256 << 20
    }
}

/// What `init` is asked for.
#[derive(Clone, Debug)]
pub struct NewFederation {
    /// The root unit.
    pub unit: UnitId,
    /// Its tier.
    pub tier: TierName,
    /// Its name.
    pub name: String,
    /// The federation's name in checkpoints, for example `sanji.example.cn`.
    pub origin: String,
    /// Tiers, lowest first.
    pub tiers: Vec<TierName>,
}

/// Creates the home of a new federation's root: keys, the first statements, the first kinds.
///
/// # Errors
/// [`HostError`]; a half-made home is not a home and is completed or refused next time.
pub async fn init(dir: &Path, new: NewFederation) -> Result<Identity, HostError> {
    let mut rng = system_rng()?;
    let (unit_secret, secret) = (Secret::generate(&mut rng), Secret::generate(&mut rng));
    let clock = SystemClock::new();
    let now = clock.now_ms();
    let chain = enrol::root_chain(
        &new.unit,
        &new.tier,
        &new.name,
        &unit_secret,
        &secret,
        now,
        &mut rng,
    );
    let federation = Federation {
        origin: new.origin.clone(),
        version: 1,
        tiers: new.tiers.clone(),
        root: new.unit.clone(),
        tier: new.tier.clone(),
        name: new.name.clone(),
        created: now,
    };
    let mut statements = vec![enrol::sign_statement(&federation, &unit_secret)];
    for text in FIRST_KINDS {
        let kind = KindStatement {
            unit: new.unit.clone(),
            text: text.to_owned(),
        };
        statements.push(enrol::sign_statement(&kind, &unit_secret));
    }
    let identity = Identity {
        root: unit_secret.unit_key(),
        unit: new.unit,
        tier: new.tier,
        name: new.name,
        epoch: StoreEpoch::generate(&mut rng),
        chain,
        secret,
        unit_secret: Some(unit_secret),
        uplinks: Vec::new(),
    };
    let first: Vec<(String, Vec<u8>)> = statements
        .iter()
        .map(|(domain, bytes)| (domain.tag().to_owned(), bytes.clone()))
        .collect();
    let home = create(dir, &identity, &first, Vec::new()).await?;
    home.seal(&identity)?;
    drop(home);
    // The statements also become entries, so that they reach every node below like any other.
    let hosted = open(dir, None).await?;
    for (domain, bytes) in statements {
        let entries = enrol::announce(true, domain, bytes);
        hosted.node.write(entries, Batch::new()).await?;
    }
    hosted.stop().await?;
    Ok(identity)
}

/// Joins a federation with a token: enrols over QUIC, then creates the home.
///
/// # Errors
/// [`HostError`]; no home was created, and the token can be used again with the same keys only if the
/// home's keys were already stored.
pub async fn join(dir: &Path, token: &Token) -> Result<Identity, HostError> {
    if Home::exists(dir) {
        return Err(HomeError::Exists {
            dir: dir.to_owned(),
        }
        .into());
    }
    let mut rng = system_rng()?;
    // Keys are kept before they are used: if the answer is lost on the way, the same keys ask again
    // and get the same answer.
    let (secret, unit_secret) = crate::home::draft_keys(dir, !token.same_unit, &mut rng)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let any = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
    let any_v4 = SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, 0));
    let bind =
        |address| Transport::bind(address, &secret, clock.clone(), TransportOptions::default());
    let addresses: Vec<SocketAddr> = token
        .addresses
        .iter()
        .filter_map(|text| std::net::ToSocketAddrs::to_socket_addrs(text.as_str()).ok())
        .flatten()
        .collect();
    let mut failure = HostError::NoAddress;
    for address in addresses {
        let transport = bind(if address.is_ipv4() { any_v4 } else { any })?;
        let granted = match transport.connect(address).await {
            Ok(link) => {
                enrol::join(token, link, &secret, unit_secret.as_ref(), clock.now_ms()).await
            }
            Err(error) => {
                failure = error.into();
                continue;
            }
        };
        transport.shutdown().await;
        let granted = granted?;
        let identity = Identity {
            secret,
            unit_secret,
            chain: granted.chain,
            root: granted.root,
            epoch: StoreEpoch::generate(&mut rng),
            unit: token.unit.clone(),
            tier: token.tier.clone(),
            name: token.name.clone(),
            uplinks: Vec::new(),
        };
        let home = create(dir, &identity, &granted.statements, token.addresses.clone()).await?;
        home.seal(&identity)?;
        return Ok(identity);
    }
    Err(failure)
}

async fn create(
    dir: &Path,
    identity: &Identity,
    statements: &[(String, Vec<u8>)],
    uplinks: Vec<String>,
) -> Result<Home, HostError> {
    let settings = Settings {
        unit: identity.unit.to_string(),
        tier: identity.tier.to_string(),
        name: identity.name.clone(),
        uplinks,
        listen: None,
    };
    let home = Home::create(dir, identity, &settings)?;
    home.keep_statements(statements)?;
    begin_store(&home, statements).await?;
    Ok(home)
}

/// Makes the store of a home that has none, with the statements that a node starts with.
pub(crate) async fn begin_store(
    home: &Home,
    statements: &[(String, Vec<u8>)],
) -> Result<(), HostError> {
    let store_dir = home.store_dir();
    let store =
        tokio::task::spawn_blocking(move || SledStore::open(&store_dir, SledOptions::default()))
            .await
            .expect("opening the store does not panic")?;
    let schema = Schema::open(Arc::new(store)).await?;
    let mut batch = Batch::new();
    for (domain, bytes) in statements {
        Schema::put_statement(&mut batch, domain, bytes);
    }
    schema.kv().commit(batch).await?;
    Ok(())
}
