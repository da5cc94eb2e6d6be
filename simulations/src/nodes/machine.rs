//! One machine of the simulated federation: a disk and a clock that outlive its processes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use federation_protocol::Weakness;
use keys::{Certificate, Chain, Domain, Scope, Secret, Signed, StoreEpoch, Subject, UnitKey};
use node::handle::NodeHandle;
use node::identity::Identity;
use node::run::{self, Parts};
use node::schema::Schema;
use node::store::{Batch, Kv};
use node::transport::{Transport, TransportOptions};
use node::worker::Worker;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::clock::WallClock;
use crate::disk::SimDisk;
use crate::net::{Network, NodeRuntime};

/// Who a machine is for its whole life.
pub(super) struct Role {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) tier: &'static str,
    pub(super) parent: Option<usize>,
    /// True for a second node of its unit: it dials the unit's first node.
    pub(super) laptop: bool,
}

/// A machine: its processes come and go.
pub(super) struct Machine {
    pub(super) role: Role,
    pub(super) address: SocketAddr,
    pub(super) disk: SimDisk,
    pub(super) wall: WallClock,
    secret: Secret,
    unit_secret: Option<Secret>,
    chain: Chain,
    root: UnitKey,
    epoch: StoreEpoch,
    uplink: Option<SocketAddr>,
    boots: u64,
    process: Option<Process>,
}

struct Process {
    runtime: NodeRuntime,
    node: NodeHandle,
    ended: Arc<Mutex<Option<String>>>,
}

/// The certificates and statements of a federation, made before time begins.
pub(super) struct Papers {
    pub(super) statements: Vec<(Domain, Vec<u8>)>,
}

pub(super) fn certificate(
    subject: Subject,
    unit: &str,
    tier: &str,
    issuer: &str,
    issuer_secret: &Secret,
) -> Signed<Certificate> {
    let certificate = Certificate {
        subject,
        unit: unit.parse().expect("simulated ids are valid"),
        tier: tier.parse().expect("simulated tiers are valid"),
        name: unit.to_owned(),
        issuer: issuer.parse().expect("simulated ids are valid"),
        scope: Scope::full(),
        not_before: 0,
        not_after: u64::MAX >> 8,
        nonce: [0; 16],
    };
    Signed::sign(&certificate, issuer_secret)
}

impl Machine {
    #[expect(clippy::too_many_arguments, reason = "what a machine is made of")]
    pub(super) fn new(
        seed: u64,
        index: usize,
        role: Role,
        secret: Secret,
        unit_secret: Option<Secret>,
        chain: Chain,
        root: UnitKey,
        uplink: Option<SocketAddr>,
    ) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed ^ (index as u64) << 32);
        Self {
            role,
            address: address(index),
            disk: SimDisk::new(seed.wrapping_add(index as u64)),
            wall: WallClock::new(0),
            secret,
            unit_secret,
            chain,
            root,
            epoch: StoreEpoch::generate(&mut rng),
            uplink,
            boots: 0,
            process: None,
        }
    }

    /// Puts the statements that came with the enrolment on a fresh disk.
    pub(super) async fn install(&self, statements: &[(Domain, Vec<u8>)]) {
        let schema = Schema::open(Arc::new(self.disk.open()))
            .await
            .expect("a fresh disk opens");
        let mut batch = Batch::new();
        for (domain, bytes) in statements {
            Schema::put_statement(&mut batch, domain.tag(), bytes);
        }
        schema
            .kv()
            .commit(batch)
            .await
            .expect("a fresh disk takes writes");
    }

    /// Starts a process on what the disk holds.
    pub(super) async fn boot(
        &mut self,
        seed: u64,
        network: &Network,
        weakness: Weakness,
    ) -> Result<(), String> {
        self.boots += 1;
        let clock = self.wall.boot();
        let store: Arc<dyn Kv> = Arc::new(self.disk.open());
        let schema = Schema::open(store)
            .await
            .map_err(|error| error.to_string())?;
        let mut own = [0; 32];
        own[..8].copy_from_slice(&seed.to_be_bytes());
        own[8..16].copy_from_slice(&self.boots.to_be_bytes());
        own[16..18].copy_from_slice(&self.address.port().to_be_bytes());
        let mut options = TransportOptions::default();
        options.rng_seed = Some(own);
        let runtime = NodeRuntime::new();
        let socket = network
            .bind(self.address)
            .map_err(|error| error.to_string())?;
        let transport = Transport::from_socket(
            socket,
            Arc::new(runtime.clone()),
            &self.secret,
            clock.clone(),
            options,
        )
        .map_err(|error| error.to_string())?;
        let parts = Parts {
            identity: self.identity(),
            schema,
            clock,
            rng: ChaCha20Rng::from_seed(own),
            worker: Worker::inline(),
            weakness,
        };
        let (node, runner) = run::open(parts).map_err(|error| error.to_string())?;
        let ended = Arc::new(Mutex::new(None));
        let end = ended.clone();
        runtime.run(async move {
            let how = runner.run(Some(transport), std::future::pending()).await;
            let how = how.map_or_else(|error| error.to_string(), |()| "stopped".to_owned());
            *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
        });
        self.process = Some(Process {
            runtime,
            node,
            ended,
        });
        Ok(())
    }

    /// Ends the process and loses what the disk had not synced.
    pub(super) async fn crash(&mut self, network: &Network) {
        network.unbind(self.address);
        if let Some(process) = self.process.take() {
            process.runtime.crash().await;
            self.disk.crash();
        }
    }

    pub(super) fn node(&self) -> Option<&NodeHandle> {
        self.process.as_ref().map(|process| &process.node)
    }

    /// Returns how the process ended by itself, which none may.
    pub(super) fn ended(&self) -> Option<String> {
        let process = self.process.as_ref()?;
        process
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn key(&self) -> keys::NodeKey {
        self.secret.node_key()
    }

    fn identity(&self) -> Identity {
        Identity {
            secret: self.secret.duplicate(),
            unit_secret: self.unit_secret.as_ref().map(Secret::duplicate),
            chain: self.chain.clone(),
            root: self.root,
            epoch: self.epoch,
            unit: self.role.unit.parse().expect("simulated ids are valid"),
            tier: self.role.tier.parse().expect("simulated tiers are valid"),
            name: self.role.unit.clone(),
            uplinks: self.uplink.into_iter().collect(),
        }
    }
}

/// Returns the address of a machine.
pub(super) fn address(index: usize) -> SocketAddr {
    let port = 7_000 + u16::try_from(index).expect("few machines");
    SocketAddr::from(([10, 0, 0, 1], port))
}
