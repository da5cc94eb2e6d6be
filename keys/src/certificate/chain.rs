//! The chain from a node, person or unit up to the pinned root.

use minicbor::{Decode, Decoder, Encode, Encoder};

use super::{Certificate, Role, Subject};
use crate::cbor::{self, CborError, Limits};
use crate::ed25519;
use crate::hash::Hash;
use crate::identity::{KeyError, NodeKey, PersonKey, TierName, UnitId, UnitKey};
use crate::signed::{EnvelopeError, Signed, SignerKey, Verified, VerifyError};

/// Holds 1 to [`CHAIN_LENGTH_MAX`] signed certificates, leaf first; nothing about them is proven yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain(Vec<Signed<Certificate>>);

/// Most certificates in a chain. Real trees have five tiers or fewer.
pub const CHAIN_LENGTH_MAX: usize = 8;

/// Most bytes of an encoded chain: it must fit into the first frame of a connection (16 KiB).
pub const CHAIN_SIZE_MAX: usize = 12 << 10;

impl Chain {
    /// Takes certificates, leaf first.
    pub fn new(certificates: Vec<Signed<Certificate>>) -> Result<Self, ChainDecodeError> {
        match certificates.len() {
            0 => Err(ChainDecodeError::Empty),
            1..=CHAIN_LENGTH_MAX => {
                let chain = Self(certificates);
                let found = chain.to_bytes().len();
                if found > CHAIN_SIZE_MAX {
                    return Err(ChainDecodeError::TooLarge {
                        max: CHAIN_SIZE_MAX,
                        found,
                    });
                }
                Ok(chain)
            }
            found => Err(ChainDecodeError::TooLong {
                max: CHAIN_LENGTH_MAX,
                found,
            }),
        }
    }

    /// Returns the certificates, leaf first.
    pub fn certificates(&self) -> &[Signed<Certificate>] {
        &self.0
    }

    /// Returns the chain of a leaf that the leaf of this chain issued.
    pub fn extended_by(&self, leaf: Signed<Certificate>) -> Result<Self, ChainDecodeError> {
        Self::new(
            std::iter::once(leaf)
                .chain(self.0.iter().cloned())
                .collect(),
        )
    }

    /// Returns the chain as a CBOR array of byte strings.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::to_vec(self)
    }

    /// Reads a chain; proves nothing about it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ChainDecodeError> {
        if bytes.len() > CHAIN_SIZE_MAX {
            return Err(ChainDecodeError::TooLarge {
                max: CHAIN_SIZE_MAX,
                found: bytes.len(),
            });
        }
        cbor::check(
            bytes,
            &Limits {
                depth: 1,
                ..Limits::DEFAULT
            },
        )?;
        let mut decoder = Decoder::new(bytes);
        let count = decoder.array().map_err(|_| ChainDecodeError::NotAList)?;
        let count = count
            .and_then(|n| usize::try_from(n).ok())
            .ok_or(ChainDecodeError::NotAList)?;
        if count > CHAIN_LENGTH_MAX {
            return Err(ChainDecodeError::TooLong {
                max: CHAIN_LENGTH_MAX,
                found: count,
            });
        }
        let certificates = (0..count).map(|index| {
            let bytes = decoder.bytes().map_err(|_| ChainDecodeError::NotAList)?;
            Signed::from_bytes(bytes).map_err(|error| ChainDecodeError::Envelope { index, error })
        });
        Self::new(certificates.collect::<Result<_, _>>()?)
    }

    /// Returns the hash of the encoded chain.
    pub fn id(&self) -> Hash {
        Hash::of(&self.to_bytes())
    }

    /// Proves the chain from the root down, so that nothing is decoded before its issuer is trusted.
    ///
    /// The topmost certificate is signed by `root`. Each other one is signed by the unit key that the
    /// certificate above it is about, for a scope within that certificate's. Nodes and people are
    /// certified by their own unit, units by their parent. No unit stands twice. The root may stand at
    /// the top with a certificate it issued to itself, which says its unit, tier and name.
    ///
    /// Time is not judged here; see [`VerifiedChain::validity_at`].
    pub fn verify(&self, root: &UnitKey) -> Result<VerifiedChain, ChainError> {
        // Top first while proving, turned round at the end.
        let mut proven: Vec<Verified<Certificate>> = Vec::with_capacity(self.0.len());
        for (index, signed) in self.0.iter().enumerate().rev() {
            let issuer = proven.last().map(Verified::value);
            let issuer_key = match issuer.map(|certificate| certificate.subject) {
                None => *root,
                Some(Subject::Unit(key)) => key,
                Some(_) => return Err(ChainError::IssuerIsNoUnit { index: index + 1 }),
            };
            if signed.signer().as_unit() != issuer_key {
                return Err(match issuer {
                    None => ChainError::WrongRoot {
                        claimed: signed.signer(),
                    },
                    Some(_) => ChainError::WrongIssuerKey { index },
                });
            }
            let verified = signed
                .verify()
                .map_err(|error| ChainError::Certificate { index, error })?;
            check_link(index, verified.value(), &proven, &issuer_key)?;
            proven.push(verified);
        }
        proven.reverse();
        Ok(VerifiedChain {
            certificates: proven,
            chain: self.clone(),
        })
    }
}

/// Checks what one certificate says against those above it (`above` is top first).
fn check_link(
    index: usize,
    certificate: &Certificate,
    above: &[Verified<Certificate>],
    issuer_key: &UnitKey,
) -> Result<(), ChainError> {
    ed25519::check_public(certificate.subject.as_bytes())
        .map_err(|error| ChainError::SubjectKey { index, error })?;
    let issuer = above.last().map(Verified::value);
    if let Some(issuer) = issuer {
        if certificate.issuer != issuer.unit {
            return Err(ChainError::WrongIssuer { index });
        }
        if !certificate.scope.subset_of(&issuer.scope) {
            return Err(ChainError::ScopeWidened { index });
        }
    }
    match certificate.subject {
        Subject::Node(_) | Subject::Person(_) => {
            if certificate.unit != certificate.issuer {
                return Err(ChainError::NotItsOwnUnit { index });
            }
            if issuer.is_some_and(|issuer| issuer.tier != certificate.tier) {
                return Err(ChainError::TierDiffers { index });
            }
        }
        Subject::Unit(key) => {
            let is_self_issued = above.is_empty() && key == *issuer_key;
            if is_self_issued {
                // The root naming itself: the only certificate in which unit and issuer agree.
                if certificate.unit != certificate.issuer {
                    return Err(ChainError::NotItsOwnUnit { index });
                }
                return Ok(());
            }
            // The topmost issuer has no certificate of its own here, but it is a unit all the same.
            let top = above
                .first()
                .map_or(&certificate.issuer, |top| &top.value().issuer);
            let stands_above = above.iter().any(|v| v.value().unit == certificate.unit);
            if stands_above || *top == certificate.unit {
                return Err(ChainError::UnitTwice {
                    index,
                    unit: certificate.unit.clone(),
                });
            }
            if issuer.is_some_and(|issuer| !issuer.scope.has(Role::Enrol)) {
                return Err(ChainError::MayNotEnrol { index });
            }
        }
    }
    Ok(())
}

impl<C> Encode<C> for Chain {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        for certificate in &self.0 {
            e.encode_with(certificate, ctx)?;
        }
        e.ok()
    }
}

impl<'b, C> Decode<'b, C> for Chain {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        d.skip()?;
        let bytes = d.input().get(at..d.position()).unwrap_or_default();
        Self::from_bytes(bytes).map_err(|e| minicbor::decode::Error::custom(e).at(at))
    }
}

/// Holds a chain that leads from its leaf to the root it was verified against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedChain {
    /// Leaf first; never empty.
    certificates: Vec<Verified<Certificate>>,
    chain: Chain,
}

impl VerifiedChain {
    /// Returns the leaf's certificate.
    pub fn leaf(&self) -> &Certificate {
        self.certificates
            .first()
            .expect("a chain is never empty")
            .value()
    }

    /// Returns the leaf's key, when it is a node's.
    pub fn node_key(&self) -> Option<NodeKey> {
        match self.leaf().subject {
            Subject::Node(key) => Some(key),
            _ => None,
        }
    }

    /// Returns the leaf's key, when it is a person's.
    pub fn person_key(&self) -> Option<PersonKey> {
        match self.leaf().subject {
            Subject::Person(key) => Some(key),
            _ => None,
        }
    }

    /// Returns the key of the leaf's unit: the leaf's own key, or the one that issued it.
    pub fn unit_key(&self) -> UnitKey {
        let leaf = self.certificates.first().expect("a chain is never empty");
        match leaf.value().subject {
            Subject::Unit(key) => key,
            _ => leaf.signer().as_unit(),
        }
    }

    /// Returns the leaf's unit.
    pub fn unit(&self) -> &UnitId {
        &self.leaf().unit
    }

    /// Returns the tier of the leaf's unit.
    pub fn tier(&self) -> &TierName {
        &self.leaf().tier
    }

    /// Returns the unit whose key is the root.
    pub fn root_unit(&self) -> &UnitId {
        &self
            .certificates
            .last()
            .expect("a chain is never empty")
            .value()
            .issuer
    }

    /// Returns the certified units with their tiers, from the leaf's unit upwards, each once. The
    /// root's unit is among them only if a certificate of it is in the chain.
    pub fn path(&self) -> Vec<(UnitId, TierName)> {
        let units = self.certificates.iter().map(Verified::value);
        let mut path: Vec<_> = units.map(|c| (c.unit.clone(), c.tier.clone())).collect();
        path.dedup_by(|a, b| a.0 == b.0);
        path
    }

    /// Judges the validity of the whole chain at a time, in Unix milliseconds.
    pub fn validity_at(&self, ms: u64) -> Validity {
        let mut certificates = self.certificates.iter().map(Verified::value);
        if certificates
            .clone()
            .any(|certificate| ms >= certificate.not_after)
        {
            Validity::Expired
        } else if certificates.any(|certificate| ms < certificate.not_before) {
            Validity::NotYet
        } else {
            Validity::Valid
        }
    }

    /// Returns the certificates, leaf first.
    pub fn certificates(&self) -> &[Verified<Certificate>] {
        &self.certificates
    }

    /// Returns the chain as it came.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }
}

/// Where a time lies relative to a chain's validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Validity {
    /// Every certificate is valid.
    Valid,
    /// A certificate is not valid yet.
    NotYet,
    /// A certificate is no longer valid.
    Expired,
}

/// Why bytes or certificates make no chain: whoever assembled them broke the protocol. Indices count
/// from the leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainDecodeError {
    /// No certificate at all.
    #[error("the chain is empty")]
    Empty,
    /// Too many certificates.
    #[error("{found} certificates, more than {max}")]
    TooLong {
        /// Limit.
        max: usize,
        /// Certificates given.
        found: usize,
    },
    /// Too many bytes.
    #[error("a chain of {found} bytes, more than {max}")]
    TooLarge {
        /// Limit, in bytes.
        max: usize,
        /// Bytes given.
        found: usize,
    },
    /// Not deterministic CBOR.
    #[error("not deterministic CBOR: {0}")]
    Cbor(#[from] CborError),
    /// Not a list of byte strings.
    #[error("not a list of byte strings")]
    NotAList,
    /// A certificate is not an envelope.
    #[error("certificate {index}: {error}")]
    Envelope {
        /// Which certificate.
        index: usize,
        /// What is wrong with it.
        error: EnvelopeError,
    },
}

/// Why a chain does not lead to the root. Indices count from the leaf.
///
/// In the order of blame: the first variant may be an honest node of another federation; the next
/// blame the unit that issued certificate `index`; the last, whoever put the chain together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The chain ends at another root: another federation, or a root that has been replaced.
    #[error("the chain ends at root {claimed}, not at the pinned one")]
    WrongRoot {
        /// The key that claims to have signed the topmost certificate.
        claimed: SignerKey,
    },
    /// The issuer, itself trusted, allowed more than it may.
    #[error("certificate {index} allows more than its issuer may")]
    ScopeWidened {
        /// Which certificate.
        index: usize,
    },
    /// The issuer certified a unit without the role [`Role::Enrol`].
    #[error("certificate {index} is of a unit, but its issuer may not enrol units")]
    MayNotEnrol {
        /// Which certificate.
        index: usize,
    },
    /// A node or person (or the root, naming itself) is certified for a unit other than the issuer's.
    #[error("certificate {index} names another unit than the one that issued it")]
    NotItsOwnUnit {
        /// Which certificate.
        index: usize,
    },
    /// A node's or person's certificate states another tier than its unit's.
    #[error("certificate {index} states another tier than its unit's")]
    TierDiffers {
        /// Which certificate.
        index: usize,
    },
    /// A certificate names an issuer other than the unit whose key signed it.
    #[error("certificate {index} names an issuer other than the unit that signed it")]
    WrongIssuer {
        /// Which certificate.
        index: usize,
    },
    /// A unit stands above itself.
    #[error("unit {unit} stands twice, again at certificate {index}")]
    UnitTwice {
        /// Which certificate is the lower of the two.
        index: usize,
        /// The unit.
        unit: UnitId,
    },
    /// A certificate is about a key under which anyone can sign, or about none.
    #[error("certificate {index} is about an unacceptable key: {error}")]
    SubjectKey {
        /// Which certificate.
        index: usize,
        /// What is wrong with the key.
        error: KeyError,
    },
    /// A certificate's signature or payload is wrong; a payload may be from a newer version.
    #[error("certificate {index}: {error}")]
    Certificate {
        /// Which certificate.
        index: usize,
        /// What is wrong with it.
        error: VerifyError,
    },
    /// A certificate is signed by a key other than the one the certificate above it is about.
    #[error("certificate {index} is not signed by the unit above it")]
    WrongIssuerKey {
        /// Which certificate.
        index: usize,
    },
    /// A certificate that is not the leaf is not a unit's, and so cannot issue.
    #[error("certificate {index} is not a unit's, yet another stands below it")]
    IssuerIsNoUnit {
        /// Which certificate.
        index: usize,
    },
}

#[cfg(test)]
mod tests;
