//! How a node stands: who it is, what it holds, how each link does, and why something waits. Stated
//! from evidence only: receipts, heads, what a peer said in this session.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use federation_protocol::{Phase, Receipt, Relation, SessionStatus};
use keys::UnitId;
use serde::{Deserialize, Serialize};

use crate::handle::{NodeHandle, WriteError};
use crate::schema::SchemaError;
use crate::transport::LinkStats;

/// Something a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// When, Unix milliseconds.
    pub time_ms: u64,
    /// What kind of thing, a stable word.
    pub what: &'static str,
    /// In words.
    pub text: String,
}

/// The link upwards, over all sessions of this process.
#[derive(Clone, Debug, Default)]
pub struct LinkState {
    /// When a session with the node above was last live, Unix milliseconds.
    pub last_success: Option<u64>,
    /// When and why it last failed.
    pub last_failure: Option<(u64, String)>,
}

/// What the run loop knows of links, raw.
pub struct LinkReport {
    pub(crate) links: Vec<(SessionStatus, Option<(SocketAddr, LinkStats)>)>,
    pub(crate) uplink: LinkState,
    pub(crate) heard: BTreeMap<UnitId, u64>,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) receipts: Vec<Receipt>,
}

/// The whole status, as `sanji status --json` prints it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The unit's id.
    pub unit: String,
    /// Its tier.
    pub tier: String,
    /// Its name.
    pub name: String,
    /// This node's key, hex.
    pub node: String,
    /// Fingerprint of the federation's root.
    pub root: String,
    /// The software.
    pub software: String,
    /// This node's clock, Unix milliseconds.
    pub time_ms: u64,
    /// The unit above; none at the root.
    #[serde(default)]
    pub parent: Option<String>,
    /// The nodes above; empty at the root and when no session stands.
    pub parents: Vec<PeerStatus>,
    /// Where this node dials.
    pub uplinks: Vec<String>,
    /// When the node this one dials was last heard in this process, Unix milliseconds.
    pub uplink_last_success_ms: Option<u64>,
    /// When and why the link upwards last failed.
    pub uplink_last_failure: Option<(u64, String)>,
    /// Other nodes of this unit.
    pub siblings: Vec<PeerStatus>,
    /// The units below.
    pub children: Vec<ChildStatus>,
    /// Records by unit and period.
    pub holdings: Vec<Holding>,
    /// Receipts from above about this unit.
    pub receipts: Vec<ReceiptStatus>,
    /// Entries stored and not projected yet.
    pub unprojected_entries: u64,
    /// Dossiers that could not be projected here.
    pub unprojected_dossiers: u64,
    /// Parts put aside.
    pub quarantined: u64,
    /// Things to look at, newest last.
    pub alerts: Vec<AlertStatus>,
}

/// An alert as printed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlertStatus {
    /// When, Unix milliseconds.
    pub time_ms: u64,
    /// A stable word.
    pub what: String,
    /// In words.
    pub text: String,
}

/// One connected peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its unit.
    pub unit: Option<String>,
    /// Its key, hex.
    pub node: String,
    /// Its address.
    pub address: Option<String>,
    /// `comparing`, `sending`, `receiving`, `in step`, or `connecting`.
    pub state: String,
    /// Entries we still have to send to it.
    pub to_send: u64,
    /// Entries it holds that we lack.
    pub to_receive: u64,
    /// Entries sent in this session.
    pub entries_sent: u64,
    /// Entries received in this session.
    pub entries_received: u64,
    /// Payload bytes sent in this session, before compression.
    pub payload_sent: u64,
    /// Payload bytes received in this session, before compression.
    pub payload_received: u64,
    /// UDP bytes sent in this session.
    pub wire_sent: u64,
    /// UDP bytes received in this session.
    pub wire_received: u64,
    /// Round trip, microseconds.
    pub rtt_us: u64,
    /// When it was last heard, Unix milliseconds.
    pub last_heard_ms: u64,
    /// How far its clock was ahead of ours at the hello, milliseconds.
    pub clock_ahead_ms: Option<i64>,
    /// Its software.
    pub software: String,
}

/// One unit of the roster below this one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChildStatus {
    /// Its id.
    pub unit: String,
    /// Its tier.
    pub tier: String,
    /// Its name.
    pub name: String,
    /// Its connected nodes.
    pub nodes: Vec<PeerStatus>,
    /// When one of its nodes was last heard in this process, Unix milliseconds.
    #[serde(default)]
    pub last_heard_ms: Option<u64>,
    /// Digest of what is held of it and of all below it.
    pub digest: String,
    /// Records held of it and of all below it.
    pub records: u64,
}

/// How many records of one unit and period are held.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Holding {
    /// The unit.
    pub unit: String,
    /// The period; none for registries.
    pub period: Option<String>,
    /// Records held.
    pub records: u64,
    /// Digest of the unit's logs as the tier above may hold them: equal where the same is held.
    pub digest: String,
}

/// What a node above says it holds of this unit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReceiptStatus {
    /// The unit that says so.
    pub issuer: String,
    /// About which unit.
    pub unit: String,
    /// When it said so, by its clock, Unix milliseconds.
    pub time_ms: u64,
    /// Logs it names.
    pub logs: usize,
    /// Our entries that it does not name yet.
    pub behind: u64,
}

/// Gathers the status of a node.
///
/// # Errors
/// The node is stopping or its store cannot be read.
pub async fn status(node: &NodeHandle) -> Result<Status, StatusError> {
    let identity = node.identity();
    let registry = node.registry();
    let report = node.links().await?;
    let logs = node.logs().await?;
    let counts = node.schema().counts()?;
    let mut peers: BTreeMap<Relation, Vec<PeerStatus>> = BTreeMap::new();
    for (session, link) in &report.links {
        if let Some(relation) = session.relation {
            peers
                .entry(relation)
                .or_default()
                .push(peer_status(session, link.as_ref()));
        }
    }
    let records: BTreeMap<(UnitId, Option<String>), u64> =
        counts.iter().fold(BTreeMap::new(), |mut sums, count| {
            // A record has one birth in its widest dossier; the narrower parts are not counted twice.
            if count.reach != "own" {
                let period = count.period.map(|p| p.to_string());
                *sums.entry((count.unit.clone(), period)).or_default() += count.records;
            }
            sums
        });
    let mut holdings = Vec::new();
    for ((unit, period), records) in &records {
        let audience = registry.parent_of(unit).unwrap_or_else(|| unit.clone());
        holdings.push(Holding {
            unit: unit.to_string(),
            period: period.clone(),
            records: *records,
            digest: node.digest(unit.clone(), audience).await?.to_string(),
        });
    }
    let mut children = Vec::new();
    let below = peers.remove(&Relation::Child).unwrap_or_default();
    for child in registry.children(&identity.unit) {
        let within = |unit: &UnitId| {
            registry
                .placement()
                .is_some_and(|placement| placement.is_within(&child.unit, unit))
        };
        let held = records
            .iter()
            .filter(|((unit, _), _)| within(unit))
            .map(|(_, n)| n)
            .sum();
        let nodes = below
            .iter()
            .filter(|p| p.unit.as_deref() == Some(child.unit.as_str()));
        let digest = node
            .digest(child.unit.clone(), identity.unit.clone())
            .await?;
        children.push(ChildStatus {
            unit: child.unit.to_string(),
            tier: child.tier.to_string(),
            name: child.name.clone(),
            last_heard_ms: nodes
                .clone()
                .map(|peer| peer.last_heard_ms)
                .max()
                .max(report.heard.get(&child.unit).copied()),
            nodes: nodes.cloned().collect(),
            digest: digest.to_string(),
            records: held,
        });
    }
    let ours: BTreeMap<_, _> = logs
        .iter()
        .filter(|(_, state)| state.key.unit == identity.unit)
        .map(|(id, state)| (*id, state))
        .collect();
    let receipts = report
        .receipts
        .iter()
        .filter(|receipt| receipt.unit == identity.unit)
        .map(|receipt| ReceiptStatus {
            issuer: receipt.issuer.to_string(),
            unit: receipt.unit.to_string(),
            time_ms: receipt.time_ms,
            logs: receipt.heads.len(),
            behind: behind(&ours, receipt, &registry),
        })
        .collect();
    // Sessions this node dialled have odd numbers; those whose peer is known have heard from it.
    let dialled = report
        .links
        .iter()
        .filter(|(session, _)| session.id.0 % 2 == 1 && session.unit.is_some())
        .map(|(session, _)| session.last_heard_ms)
        .max();
    Ok(Status {
        unit: identity.unit.to_string(),
        tier: identity.tier.to_string(),
        name: identity.name.clone(),
        node: identity.node().to_string(),
        root: crate::enrol::fingerprint(&identity.root).to_string(),
        software: concat!("sanji ", env!("CARGO_PKG_VERSION")).to_owned(),
        time_ms: node.clock().now_ms(),
        parent: registry
            .parent_of(&identity.unit)
            .map(|unit| unit.to_string()),
        parents: peers.remove(&Relation::Parent).unwrap_or_default(),
        uplinks: identity.uplinks.iter().map(ToString::to_string).collect(),
        uplink_last_success_ms: report.uplink.last_success.max(dialled),
        uplink_last_failure: report.uplink.last_failure,
        siblings: peers.remove(&Relation::Sibling).unwrap_or_default(),
        children,
        holdings,
        receipts,
        unprojected_entries: node.progress.backlog(),
        unprojected_dossiers: node.schema().unprojected()?,
        quarantined: node.schema().quarantined()?.len() as u64,
        alerts: report
            .alerts
            .into_iter()
            .map(|alert| AlertStatus {
                time_ms: alert.time_ms,
                what: alert.what.to_owned(),
                text: alert.text,
            })
            .collect(),
    })
}

/// Counts our entries that travel to the issuer and that its receipt does not name.
fn behind(
    ours: &BTreeMap<federation_protocol::LogId, &federation_protocol::LogState>,
    receipt: &Receipt,
    registry: &tiers::Registry,
) -> u64 {
    let Some(placement) = registry.placement() else {
        return 0;
    };
    let named: BTreeMap<_, _> = receipt
        .heads
        .iter()
        .map(|head| (head.log, head.seq_num + 1))
        .collect();
    ours.iter()
        .filter(|(_, state)| placement.travels_to(&state.key, &receipt.issuer))
        .map(|(log, state)| {
            let next = named.get(log).copied().unwrap_or(0);
            (state.head.seq_num + 1).saturating_sub(next)
        })
        .sum()
}

fn peer_status(session: &SessionStatus, link: Option<&(SocketAddr, LinkStats)>) -> PeerStatus {
    let state = match (&session.phase, session.compared_equal) {
        (Phase::AwaitHello, _) => "connecting",
        (Phase::Closed, _) => "closing",
        (Phase::Live, None) => "comparing",
        (Phase::Live, Some(_)) if session.to_send > 0 => "sending",
        (Phase::Live, Some(_)) if session.to_receive > 0 => "receiving",
        (Phase::Live, Some(_)) => "in step",
    };
    let stats = link.map(|(_, stats)| *stats).unwrap_or_default();
    let clock_ahead_ms = session.peer_clock_ms.map(|theirs| {
        let difference = i128::from(theirs) - i128::from(session.hello_ms);
        i64::try_from(difference).unwrap_or(i64::MAX)
    });
    PeerStatus {
        unit: session.unit.as_ref().map(ToString::to_string),
        node: session.node.to_string(),
        address: link.map(|(address, _)| address.to_string()),
        state: state.to_owned(),
        to_send: session.to_send,
        to_receive: session.to_receive,
        entries_sent: session.entries_sent,
        entries_received: session.entries_received,
        payload_sent: stats.sent.payload_bytes,
        payload_received: stats.received.payload_bytes,
        wire_sent: stats.udp_sent_bytes,
        wire_received: stats.udp_received_bytes,
        rtt_us: u64::try_from(stats.rtt.as_micros()).unwrap_or(u64::MAX),
        last_heard_ms: session.last_heard_ms,
        clock_ahead_ms,
        software: session.software.clone(),
    }
}

/// The status could not be gathered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// The node is stopping.
    #[error(transparent)]
    Node(#[from] WriteError),
    /// The store could not be read.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}
