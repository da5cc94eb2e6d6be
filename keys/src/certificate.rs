//! Certificates: who may speak for a unit, and the chain that leads from them to the pinned root.
//!
//! A parent's unit key certifies its child's unit key; a unit's key certifies that unit's nodes and
//! people. A chain is leaf first and ends at a certificate signed by the root key. The chain proves
//! entitlement, not time: expiry is judged by the time of what was signed ([`VerifiedChain::validity_at`]).

mod chain;
mod scope;

use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::domain::Domain;
use crate::identity::{NodeKey, PersonKey, TierName, UnitId, UnitKey};

pub use chain::{
    CHAIN_LENGTH_MAX, CHAIN_SIZE_MAX, Chain, ChainDecodeError, ChainError, Validity, VerifiedChain,
};
pub use scope::{KIND_SIZE_MAX, KINDS_MAX, Role, Scope};

/// Says that a key belongs to a unit, what it may do there, and when. Signed by the issuer's unit key.
///
/// ```text
/// certificate = {0: 1, 1: subject, 2: unit, 3: tier, 4: name, 5: issuer, 6: scope,
///                7: not_before, 8: not_after, 9: bstr .size 16}
/// subject = [0 / 1 / 2, bstr .size 32]        ; unit, node, person
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The key the certificate is about.
    pub subject: Subject,
    /// The unit the key belongs to.
    pub unit: UnitId,
    /// The tier of that unit.
    pub tier: TierName,
    /// What people call the subject; see [`name_is_valid`].
    pub name: String,
    /// The unit whose key signs: the unit itself for nodes and people, its parent for a unit.
    pub issuer: UnitId,
    /// What the key may do.
    pub scope: Scope,
    /// First moment of validity, in Unix milliseconds.
    pub not_before: u64,
    /// First moment after validity, in Unix milliseconds; later than `not_before`.
    pub not_after: u64,
    /// Random, so that two certificates over the same facts are told apart.
    pub nonce: [u8; 16],
}

/// The key a certificate is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A unit's key, which may certify in turn.
    Unit(UnitKey),
    /// A node's key.
    Node(NodeKey),
    /// A person's key.
    Person(PersonKey),
}

impl Subject {
    /// Returns the key's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        match self {
            Self::Unit(key) => key.as_bytes(),
            Self::Node(key) => key.as_bytes(),
            Self::Person(key) => key.as_bytes(),
        }
    }
}

/// Longest name in a certificate, in bytes of UTF-8.
pub const NAME_SIZE_MAX: usize = 80;

/// Tells whether a text may stand as a name: 1 to [`NAME_SIZE_MAX`] bytes, no control characters (it
/// is shown in terminals and pages).
pub fn name_is_valid(name: &str) -> bool {
    (1..=NAME_SIZE_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

crate::payload!(Certificate, Domain::Certificate);

impl<C> Encode<C> for Certificate {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.map(9)?;
        e.u8(1)?.encode_with(self.subject, ctx)?;
        e.u8(2)?.encode_with(&self.unit, ctx)?;
        e.u8(3)?.encode_with(&self.tier, ctx)?;
        e.u8(4)?.str(&self.name)?;
        e.u8(5)?.encode_with(&self.issuer, ctx)?;
        e.u8(6)?.encode_with(&self.scope, ctx)?;
        e.u8(7)?.u64(self.not_before)?;
        e.u8(8)?.u64(self.not_after)?;
        e.u8(9)?.bytes(&self.nonce)?.ok()
    }
}

/// The derived half of decoding; what it gives is checked before it becomes a certificate.
#[derive(Decode)]
#[cbor(map)]
struct Fields {
    #[n(1)]
    subject: Subject,
    #[n(2)]
    unit: UnitId,
    #[n(3)]
    tier: TierName,
    #[n(4)]
    name: String,
    #[n(5)]
    issuer: UnitId,
    #[n(6)]
    scope: Scope,
    #[n(7)]
    not_before: u64,
    #[n(8)]
    not_after: u64,
    #[cbor(n(9), with = "minicbor::bytes")]
    nonce: [u8; 16],
}

impl<'b, C> Decode<'b, C> for Certificate {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        let fields = Fields::decode(d, ctx)?;
        let refuse = |why| Err(minicbor::decode::Error::message(why).at(at));
        if !name_is_valid(&fields.name) {
            return refuse("the name is empty, too long or has control characters");
        }
        if fields.not_before >= fields.not_after {
            return refuse("the validity ends before it begins");
        }
        let Fields {
            subject,
            unit,
            tier,
            name,
            issuer,
            scope,
            not_before,
            not_after,
            nonce,
        } = fields;
        Ok(Self {
            subject,
            unit,
            tier,
            name,
            issuer,
            scope,
            not_before,
            not_after,
            nonce,
        })
    }
}

impl<C> Encode<C> for Subject {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let number = match self {
            Self::Unit(_) => 0,
            Self::Node(_) => 1,
            Self::Person(_) => 2,
        };
        e.array(2)?.u8(number)?.bytes(self.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Subject {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        if d.array()? != Some(2) {
            return Err(minicbor::decode::Error::message("a subject has two items").at(at));
        }
        match d.u8()? {
            0 => Ok(Self::Unit(d.decode_with(ctx)?)),
            1 => Ok(Self::Node(d.decode_with(ctx)?)),
            2 => Ok(Self::Person(d.decode_with(ctx)?)),
            other => Err(minicbor::decode::Error::unknown_variant(i64::from(other)).at(at)),
        }
    }
}
