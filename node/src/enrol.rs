//! Enrolment: how a new node gets its certificate over QUIC with a one-time token.
//!
//! The joining node proves the token by an HMAC over the TLS exporter and the new keys, after it has
//! checked that the parent's chain ends at the root named in the token; so a token proves nothing to
//! anyone in between. The answer is stored before it is sent, and the same question gets the same
//! answer.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use federation_protocol::{Part, Reach};
use keys::{
    Certificate, Chain, Domain, Hash, NodeKey, Payload, Scope, Secret, Signed, Subject, TierName,
    UnitId, UnitKey, Validity,
};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use tiers::{Registry, Roster};

use crate::frame::{FrameReader, FrameWriter};
use crate::handle::{NewEntry, NodeHandle};
use crate::schema::Schema;
use crate::store::Batch;
use crate::transport::{CloseCode, Link, LinkHandle};

/// What a token starts with.
const TOKEN_PREFIX: &str = "sanji1.";
/// TLS exporter label.
const EXPORTER: &str = "sanji/1/join";
/// How long each answer of an enrolment may take.
const STEP_DEADLINE: Duration = Duration::from_secs(10);
/// Largest message of an enrolment: rosters and kinds of a large city fit.
const STEP_SIZE_MAX: usize = 1024 * 1024;
/// Days an invitation is open.
const INVITATION_DAYS: u64 = 7;
/// Years a certificate is valid.
const CERTIFICATE_YEARS: u64 = 5;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A one-line, one-time, expiring invitation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Token {
    /// Where the inviting node listens.
    #[n(1)]
    pub addresses: Vec<String>,
    /// Fingerprint of the federation's root key.
    #[n(2)]
    pub root: Hash,
    /// The shared secret.
    #[n(3)]
    pub secret: Hash,
    /// The unit to join as.
    #[n(4)]
    pub unit: UnitId,
    /// Its tier.
    #[n(5)]
    pub tier: TierName,
    /// Its name, for people.
    #[n(6)]
    pub name: String,
    /// When the invitation ends, Unix milliseconds.
    #[n(7)]
    pub expires_ms: u64,
    /// True when a further node of an existing unit is invited.
    #[n(8)]
    pub same_unit: bool,
}

/// The text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an invitation token; it starts with {TOKEN_PREFIX} and is one line")]
pub struct NotAToken;

impl Token {
    /// Returns the one line a person carries.
    pub fn to_line(&self) -> String {
        format!(
            "{TOKEN_PREFIX}{}",
            URL_SAFE_NO_PAD.encode(keys::cbor::to_vec(self))
        )
    }

    /// Reads the line.
    ///
    /// # Errors
    /// [`NotAToken`].
    pub fn from_line(line: &str) -> Result<Self, NotAToken> {
        let body = line.trim().strip_prefix(TOKEN_PREFIX).ok_or(NotAToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| NotAToken)?;
        keys::cbor::from_slice(&bytes).map_err(|_| NotAToken)
    }

    fn id(&self) -> [u8; 16] {
        token_id(&self.secret)
    }
}

fn token_id(secret: &Hash) -> [u8; 16] {
    let hash = Hash::tagged("sanji/1/token", &[secret.as_bytes()]);
    let mut id = [0; 16];
    id.copy_from_slice(&hash.as_bytes()[..16]);
    id
}

/// Returns the fingerprint of a root key that tokens and people compare.
pub fn fingerprint(root: &UnitKey) -> Hash {
    Hash::tagged("sanji/1/root", &[root.as_bytes()])
}

/// What the proof of a token covers: this very link, the unit and both keys.
fn claimed_bytes(
    link: &LinkHandle,
    unit: &UnitId,
    unit_key: Option<UnitKey>,
    node: NodeKey,
) -> Vec<u8> {
    let unit_key = unit_key.map(|key| *key.as_bytes());
    keys::cbor::to_vec(&(
        "sanji/1/join",
        ByteVec::from(link.exporter(EXPORTER).to_vec()),
        unit,
        unit_key.map(|key| ByteVec::from(key.to_vec())),
        node,
    ))
}

/// First frame of an enrolment: which invitation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Ask {
    #[cbor(n(1), with = "minicbor::bytes")]
    invitation: [u8; 16],
}

impl Ask {
    /// Reads a first frame; none when it is something else, a hello for example.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        keys::cbor::from_slice(bytes).ok()
    }
}

/// Second frame: who answers.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct Offer {
    #[n(1)]
    root: UnitKey,
    #[n(2)]
    chain: ByteVec,
}

/// Third frame: the proof.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct Claim {
    #[n(1)]
    unit_key: Option<UnitKey>,
    #[n(2)]
    proof: Hash,
}

/// Fourth frame: the certificate, or why not.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct Answer {
    #[n(1)]
    refused: Option<String>,
    #[n(2)]
    chain: Option<ByteVec>,
    #[n(3)]
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct Statement {
    #[n(1)]
    domain: String,
    #[n(2)]
    bytes: ByteVec,
}

/// An invitation as its node keeps it.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
struct Invitation {
    #[n(1)]
    secret: Hash,
    #[n(2)]
    unit: UnitId,
    #[n(3)]
    tier: TierName,
    #[n(4)]
    name: String,
    #[n(5)]
    expires_ms: u64,
    /// Whom it was answered to.
    #[n(6)]
    used_by: Option<Hash>,
    #[n(7)]
    answer: Option<ByteVec>,
}

/// An invitation could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// Only the deciding node holds the unit key.
    #[error("this node does not hold the unit key; run invite on the unit's first node")]
    NoUnitKey,
    /// The unit hangs elsewhere, or is enrolled already.
    #[error("unit {unit} is enrolled already; to add a node to it, run invite on one of its nodes")]
    Enrolled {
        /// The unit.
        unit: UnitId,
    },
    /// The tier is not in the federation's list, or not below ours.
    #[error("tier {tier} is not below this unit's tier; the tiers are: {known}")]
    Tier {
        /// The tier asked for.
        tier: TierName,
        /// Tiers of the federation, lowest first.
        known: String,
    },
    /// A name is 1 to 80 bytes of text.
    #[error("the name must have 1 to 80 bytes and no control characters")]
    Name,
    /// The invitation could not be stored.
    #[error(transparent)]
    Write(#[from] crate::handle::WriteError),
}

/// Makes an invitation and stores it; returns its token.
///
/// # Errors
/// [`InviteError`]; nothing was stored.
pub async fn invite(
    node: &NodeHandle,
    unit: UnitId,
    tier: TierName,
    name: String,
    addresses: Vec<String>,
) -> Result<Token, InviteError> {
    let identity = node.identity();
    if identity.unit_secret.is_none() {
        return Err(InviteError::NoUnitKey);
    }
    if !keys::certificate::name_is_valid(&name) {
        return Err(InviteError::Name);
    }
    let same_unit = unit == identity.unit;
    let registry = node.registry();
    if !same_unit && registry.parent_of(&unit).is_some() {
        return Err(InviteError::Enrolled { unit });
    }
    let tiers = registry.tiers();
    let rank = |tier: &TierName| tiers.iter().position(|known| known == tier);
    let fits = if same_unit {
        tier == identity.tier
    } else {
        matches!((rank(&tier), rank(&identity.tier)), (Some(child), Some(own)) if child < own)
    };
    if !fits {
        let known: Vec<_> = tiers.iter().map(TierName::as_str).collect();
        return Err(InviteError::Tier {
            tier,
            known: known.join(", "),
        });
    }
    let expires_ms = node.clock().now_ms() + INVITATION_DAYS * DAY_MS;
    let secret = Hash::from_bytes(node.random());
    let invitation = Invitation {
        secret,
        unit: unit.clone(),
        tier: tier.clone(),
        name: name.clone(),
        expires_ms,
        used_by: None,
        answer: None,
    };
    let mut batch = Batch::new();
    let key = Schema::invitation_key(&token_id(&secret));
    batch.put(key, keys::cbor::to_vec(&invitation));
    node.write(Vec::new(), batch).await?;
    Ok(Token {
        addresses,
        root: fingerprint(&identity.root),
        secret,
        unit,
        tier,
        name,
        expires_ms,
        same_unit,
    })
}

/// Answers enrolments on the node that holds the unit key.
#[derive(Clone)]
pub(crate) struct Enroller {
    pub(crate) node: NodeHandle,
}

impl Enroller {
    /// Answers one enrolment over a fresh link and lets the peer close it.
    pub(crate) async fn answer(
        &self,
        ask: Ask,
        link: &LinkHandle,
        writer: &mut FrameWriter,
        reader: &mut FrameReader,
    ) {
        let identity = self.node.identity();
        let offer = Offer {
            root: identity.root,
            chain: identity.chain.to_bytes().into(),
        };
        if writer.write(&keys::cbor::to_vec(&offer)).await.is_err() {
            return;
        }
        let Some(claim) = receive::<Claim>(reader).await else {
            link.close(CloseCode::Misbehaved, "no enrolment claim came");
            return;
        };
        let answer = match self.judge(&ask, &claim, link).await {
            Ok(answer) => answer,
            Err(reason) => {
                tracing::warn!(peer = %link.remote_address(), reason, "enrolment refused");
                let refused = Some(reason.to_owned());
                keys::cbor::to_vec(&Answer {
                    refused,
                    chain: None,
                    statements: Vec::new(),
                })
            }
        };
        if writer.write(&answer).await.is_ok() {
            let _ = writer.finish().await;
            let _ = tokio::time::timeout(STEP_DEADLINE, link.closed()).await;
        }
        link.close(CloseCode::Done, "");
    }

    async fn judge(
        &self,
        ask: &Ask,
        claim: &Claim,
        link: &LinkHandle,
    ) -> Result<Vec<u8>, &'static str> {
        let _one_at_a_time = self.node.enrolling.lock().await;
        const UNKNOWN: &str = "the invitation is unknown, used or expired";
        let key = Schema::invitation_key(&ask.invitation);
        let stored = self
            .node
            .schema()
            .kv()
            .get(&key)
            .ok()
            .flatten()
            .ok_or(UNKNOWN)?;
        let mut invitation: Invitation = keys::cbor::from_slice(&stored).map_err(|_| UNKNOWN)?;
        let claimed = claimed_bytes(link, &invitation.unit, claim.unit_key, link.peer());
        if !keys::mac_matches(invitation.secret.as_bytes(), &[&claimed], &claim.proof) {
            return Err(UNKNOWN);
        }
        let claimant = Hash::tagged(
            "sanji/1/claimant",
            &[
                claim
                    .unit_key
                    .as_ref()
                    .map_or(&[][..], |key| key.as_bytes()),
                link.peer().as_bytes(),
            ],
        );
        match (&invitation.used_by, &invitation.answer) {
            (Some(by), Some(answer)) if *by == claimant => return Ok(answer.to_vec()),
            (Some(_), _) => return Err(UNKNOWN),
            (None, _) if self.node.clock().now_ms() > invitation.expires_ms => return Err(UNKNOWN),
            (None, _) => {}
        }
        let (answer, entries) = self.grant(&invitation, claim, link)?;
        let answer = keys::cbor::to_vec(&answer);
        invitation.used_by = Some(claimant);
        invitation.answer = Some(answer.clone().into());
        let mut also = Batch::new();
        also.put(key, keys::cbor::to_vec(&invitation));
        self.node.write(entries, also).await.map_err(|error| {
            tracing::error!(%error, "enrolment could not be stored");
            "the enrolment could not be stored; try again later"
        })?;
        tracing::info!(unit = %invitation.unit, node = %link.peer().short(), "node enrolled");
        Ok(answer)
    }

    fn grant(
        &self,
        invitation: &Invitation,
        claim: &Claim,
        link: &LinkHandle,
    ) -> Result<(Answer, Vec<NewEntry>), &'static str> {
        let identity = self.node.identity();
        let unit_secret = identity
            .unit_secret
            .as_ref()
            .ok_or("this node holds no unit key")?;
        let same_unit = invitation.unit == identity.unit;
        let subject = match (same_unit, claim.unit_key) {
            (true, _) => Subject::Node(link.peer()),
            (false, Some(key)) => Subject::Unit(key),
            (false, None) => return Err("a new unit must bring its unit key"),
        };
        let now = self.node.clock().now_ms();
        let certificate = Certificate {
            subject,
            unit: invitation.unit.clone(),
            tier: invitation.tier.clone(),
            name: invitation.name.clone(),
            issuer: identity.unit.clone(),
            scope: Scope::full(),
            not_before: now.saturating_sub(DAY_MS),
            not_after: now + CERTIFICATE_YEARS * 365 * DAY_MS,
            nonce: self.node.random(),
        };
        let mut certificates = vec![Signed::sign(&certificate, unit_secret)];
        certificates.extend(identity.chain.certificates().iter().skip(1).cloned());
        let chain = Chain::new(certificates).map_err(|_| "the chain would be too long")?;
        let registry = self.node.registry();
        let mut statements = first_statements(&registry, &identity.unit);
        let mut entries = Vec::new();
        if let Subject::Unit(key) = subject {
            let mut children = registry.children(&identity.unit);
            if children.iter().any(|child| child.unit == invitation.unit) {
                return Err("the unit is enrolled already");
            }
            children.push(tiers::RosterChild {
                unit: invitation.unit.clone(),
                tier: invitation.tier.clone(),
                name: invitation.name.clone(),
                key,
            });
            let version = registry.roster_version(&identity.unit) + 1;
            let roster = Roster::new(identity.unit.clone(), version, children)
                .map_err(|_| "the roster does not take this unit")?;
            let bytes = Signed::sign(&roster, unit_secret).bytes().to_vec();
            statements.push((Domain::Roster, bytes.clone()));
            entries = announce(identity.is_root(), Domain::Roster, bytes);
        }
        let statements = statements
            .into_iter()
            .map(|(domain, bytes)| Statement {
                domain: domain.tag().to_owned(),
                bytes: bytes.into(),
            })
            .collect();
        let chain = Some(chain.to_bytes().into());
        Ok((
            Answer {
                refused: None,
                chain,
                statements,
            },
            entries,
        ))
    }
}

/// Returns what a unit below `unit` starts with: the constitution, the kinds, and the rosters in effect
/// from `unit` to the top.
fn first_statements(registry: &Registry, unit: &UnitId) -> Vec<(Domain, Vec<u8>)> {
    let above = registry.path(unit);
    let wanted = |domain: &Domain, bytes: &[u8]| {
        if *domain != Domain::Roster {
            return true;
        }
        let roster = Signed::<Roster>::from_bytes(bytes.to_vec())
            .ok()
            .and_then(|s| s.verify().ok());
        roster.is_some_and(|roster| above.contains(&roster.value().unit))
    };
    let statements = registry.statements().into_iter();
    statements
        .filter(|(domain, bytes)| wanted(domain, bytes))
        .collect()
}

/// Returns the entries that carry a statement about units or kinds: down to all below, and up to the
/// top unless this is the top.
pub fn announce(is_root: bool, domain: Domain, bytes: Vec<u8>) -> Vec<NewEntry> {
    let part = Part::Statement {
        domain: domain.tag().to_owned(),
        bytes,
    };
    let entry = |reach| NewEntry {
        reach,
        period: None,
        parts: vec![part.clone()],
    };
    let mut entries = vec![entry(Reach::Below)];
    if !is_root {
        entries.push(entry(Reach::Up(
            TierName::new("root").expect("a valid tier name"),
        )));
    }
    entries
}

async fn receive<T: for<'b> Decode<'b, ()>>(reader: &mut FrameReader) -> Option<T> {
    let bytes = reader
        .read_first(STEP_SIZE_MAX, STEP_DEADLINE)
        .await
        .ok()??;
    keys::cbor::from_slice(&bytes).ok()
}

/// What a joining node was given.
#[derive(Debug)]
pub struct Granted {
    /// The node's own chain, leaf first.
    pub chain: Chain,
    /// The root to pin.
    pub root: UnitKey,
    /// Statements to start with, as (domain tag, bytes).
    pub statements: Vec<(String, Vec<u8>)>,
}

/// Joining failed; nothing was created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The connection ended.
    #[error("the connection to {address} ended during enrolment: {why}")]
    Link {
        /// Where.
        address: SocketAddr,
        /// How.
        why: String,
    },
    /// The other side is not of the federation that the token names.
    #[error("the node at {address} does not belong to the federation of this token")]
    WrongRoot {
        /// Where.
        address: SocketAddr,
    },
    /// The other side refused.
    #[error("refused: {reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
    /// The answer does not verify.
    #[error("the certificate in the answer does not verify")]
    BadAnswer,
}

/// Enrols over a link that was just dialled.
///
/// # Errors
/// [`JoinError`]; the invitation may be used again with the same keys.
pub async fn join(
    token: &Token,
    link: Link,
    secret: &Secret,
    unit_secret: Option<&Secret>,
    now_ms: u64,
) -> Result<Granted, JoinError> {
    let (handle, mut writer, mut reader) = link.split();
    let address = handle.remote_address();
    let ended = |handle: &LinkHandle| JoinError::Link {
        address,
        why: handle
            .ended()
            .map_or_else(|| "no answer".to_owned(), |closed| closed.to_string()),
    };
    let ask = keys::cbor::to_vec(&Ask {
        invitation: token.id(),
    });
    writer.write(&ask).await.map_err(|_| ended(&handle))?;
    let Some(offer) = receive::<Offer>(&mut reader).await else {
        return Err(ended(&handle));
    };
    let parent = Chain::from_bytes(&offer.chain)
        .ok()
        .filter(|_| fingerprint(&offer.root) == token.root)
        .and_then(|chain| chain.verify(&offer.root).ok())
        .filter(|chain| chain.node_key() == Some(handle.peer()))
        .filter(|chain| chain.validity_at(now_ms) == Validity::Valid);
    let Some(parent) = parent else {
        handle.close(CloseCode::Refused, "not the federation of the token");
        return Err(JoinError::WrongRoot { address });
    };
    handle.admit();
    let unit_key = unit_secret.map(Secret::unit_key);
    let claimed = claimed_bytes(&handle, &token.unit, unit_key, secret.node_key());
    let proof = keys::mac(token.secret.as_bytes(), &[&claimed]);
    let claim = keys::cbor::to_vec(&Claim { unit_key, proof });
    writer.write(&claim).await.map_err(|_| ended(&handle))?;
    let Some(answer) = receive::<Answer>(&mut reader).await else {
        return Err(ended(&handle));
    };
    handle.close(CloseCode::Done, "");
    if let Some(reason) = answer.refused {
        return Err(JoinError::Refused { reason });
    }
    let given = answer.chain.ok_or(JoinError::BadAnswer)?;
    let given = Chain::from_bytes(&given).map_err(|_| JoinError::BadAnswer)?;
    let chain = match unit_secret {
        None => given,
        Some(unit_secret) => {
            let verified = given
                .verify(&offer.root)
                .map_err(|_| JoinError::BadAnswer)?;
            let leaf = own_certificate(
                verified.leaf(),
                secret,
                now_ms,
                *Hash::of(secret.node_key().as_bytes()).as_bytes(),
            );
            given
                .extended_by(Signed::sign(&leaf, unit_secret))
                .map_err(|_| JoinError::BadAnswer)?
        }
    };
    let verified = chain
        .verify(&offer.root)
        .map_err(|_| JoinError::BadAnswer)?;
    let parent_fits = token.same_unit == (parent.unit() == &token.unit);
    if verified.node_key() != Some(secret.node_key())
        || verified.unit() != &token.unit
        || !parent_fits
    {
        return Err(JoinError::BadAnswer);
    }
    let statements = answer
        .statements
        .into_iter()
        .map(|s| (s.domain, s.bytes.into()))
        .collect();
    Ok(Granted {
        chain,
        root: offer.root,
        statements,
    })
}

/// Returns the certificate that a unit's key gives to the unit's own first node.
fn own_certificate(
    unit: &Certificate,
    secret: &Secret,
    now_ms: u64,
    seed: [u8; 32],
) -> Certificate {
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&seed[..16]);
    Certificate {
        subject: Subject::Node(secret.node_key()),
        unit: unit.unit.clone(),
        tier: unit.tier.clone(),
        name: unit.name.clone(),
        issuer: unit.unit.clone(),
        scope: unit.scope.clone(),
        not_before: now_ms.saturating_sub(DAY_MS),
        not_after: unit.not_after,
        nonce,
    }
}

/// Returns the chain of the first node of a new federation's root unit.
pub fn root_chain(
    unit: &UnitId,
    tier: &TierName,
    name: &str,
    unit_secret: &Secret,
    secret: &Secret,
    now_ms: u64,
    rng: &mut impl CryptoRng,
) -> Chain {
    let mut nonce = [0; 16];
    rng.fill_bytes(&mut nonce);
    let certificate = Certificate {
        subject: Subject::Node(secret.node_key()),
        unit: unit.clone(),
        tier: tier.clone(),
        name: name.to_owned(),
        issuer: unit.clone(),
        scope: Scope::full(),
        not_before: now_ms.saturating_sub(DAY_MS),
        not_after: now_ms + CERTIFICATE_YEARS * 365 * DAY_MS,
        nonce,
    };
    Chain::new(vec![Signed::sign(&certificate, unit_secret)]).expect("one certificate is a chain")
}

/// Signs a statement of this unit and returns it with its domain.
pub fn sign_statement<T: Payload>(payload: &T, unit_secret: &Secret) -> (Domain, Vec<u8>) {
    (
        T::DOMAIN,
        Signed::sign(payload, unit_secret).bytes().to_vec(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // protocol.md R27
    #[test]
    fn a_token_is_one_line_and_comes_back_as_it_was() {
        let token = Token {
            addresses: vec!["hub.example:7350".to_owned()],
            root: Hash::of(b"root"),
            secret: Hash::of(b"secret"),
            unit: "school-1".parse().unwrap(),
            tier: "school".parse().unwrap(),
            name: "School".to_owned(),
            expires_ms: 7,
            same_unit: false,
        };
        let line = token.to_line();
        assert!(line.starts_with("sanji1.") && !line.contains(char::is_whitespace));
        assert_eq!(Token::from_line(&format!("  {line}\n")), Ok(token));
        let (short, other) = (&line[..line.len() - 1], line.replace("sanji1.", "sanji2."));
        for bad in [short, other.as_str(), "", "sanji1.", "sanji1.*"] {
            assert_eq!(Token::from_line(bad), Err(NotAToken), "{bad}");
        }
    }
}
