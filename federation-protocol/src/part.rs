//! What an entry carries: one part per document or statement, each hashed with a salt, so that one
//! dossier can be erased by legal order while every chain and every other part still verifies.

use crate::error::EntryError;
use crate::limits::{DOMAIN_SIZE_MAX, STATEMENT_SIZE_MAX, SUBJECT_SIZE_MAX};
use keys::Hash;
use minicbor::{Decoder, Encoder};

/// Sixteen random bytes hashed with a part, so that an erased part cannot be guessed from its hash.
pub type Salt = [u8; 16];

/// One part of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A change to the dossier of one subject, in the log's unit, period and reach.
    Dossier(DossierPart),
    /// A statement: a signed object of its own, named by its signature domain.
    Statement {
        /// The domain's tag, for example `sanji/1/roster`; unknown ones are kept and not used.
        domain: String,
        /// The COSE bytes of the statement.
        bytes: Vec<u8>,
    },
    /// Rows of a ledger kind.
    Ledger(LedgerPart),
}

/// A change to one dossier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DossierPart {
    /// Whom the dossier is about; at most 64 bytes.
    pub subject: String,
    /// The dossier's secret, present when the author found none.
    pub secret: Option<[u8; 32]>,
    /// One uncompressed automerge change.
    pub change: Vec<u8>,
}

/// Immutable rows of one kind about one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerPart {
    /// Whom the rows are about; at most 64 bytes.
    pub subject: String,
    /// The kind's hash.
    pub kind: Hash,
    /// The rows, canonical CBOR.
    pub rows: Vec<u8>,
}

/// A part in its place in an entry: whole, or erased to its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartSlot {
    /// The part and its salt.
    Whole(Salt, Part),
    /// What an erasure left.
    Erased(Hash),
}

impl Part {
    /// Returns the canonical bytes that are hashed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        self.encode(&mut e)
            .expect("writing to a vector cannot fail");
        e.into_writer()
    }

    fn encode(
        &self,
        e: &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
        match self {
            Self::Dossier(part) => {
                e.array(4)?.u8(1)?.str(&part.subject)?;
                match &part.secret {
                    Some(secret) => e.bytes(secret)?,
                    None => e.null()?,
                };
                e.bytes(&part.change)?;
            }
            Self::Statement { domain, bytes } => {
                e.array(3)?.u8(2)?.str(domain)?.bytes(bytes)?;
            }
            Self::Ledger(part) => {
                e.array(4)?
                    .u8(3)?
                    .str(&part.subject)?
                    .bytes(part.kind.as_bytes())?;
                e.bytes(&part.rows)?;
            }
        }
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        fn parse(bytes: &[u8]) -> Result<Part, minicbor::decode::Error> {
            let mut d = Decoder::new(bytes);
            let part = match (d.array()?, d.u8()?) {
                (Some(4), 1) => {
                    let subject = d.str()?.to_owned();
                    let secret = match d.datatype()? {
                        minicbor::data::Type::Null => {
                            d.null()?;
                            None
                        }
                        _ => Some(
                            d.bytes()?
                                .try_into()
                                .map_err(|_| minicbor::decode::Error::message("secret size"))?,
                        ),
                    };
                    Part::Dossier(DossierPart {
                        subject,
                        secret,
                        change: d.bytes()?.to_vec(),
                    })
                }
                (Some(3), 2) => Part::Statement {
                    domain: d.str()?.to_owned(),
                    bytes: d.bytes()?.to_vec(),
                },
                (Some(4), 3) => Part::Ledger(LedgerPart {
                    subject: d.str()?.to_owned(),
                    kind: Hash::from_bytes(
                        d.bytes()?
                            .try_into()
                            .map_err(|_| minicbor::decode::Error::message("hash size"))?,
                    ),
                    rows: d.bytes()?.to_vec(),
                }),
                _ => return Err(minicbor::decode::Error::message("part type")),
            };
            if d.position() == bytes.len() {
                Ok(part)
            } else {
                Err(minicbor::decode::Error::message("trailing bytes"))
            }
        }
        let part = parse(bytes).map_err(|_| EntryError::Part)?;
        // Decoding then encoding must give the same bytes: one part, one hash.
        if part.to_bytes() != bytes || !part.is_within_limits() {
            return Err(EntryError::Part);
        }
        Ok(part)
    }

    fn is_within_limits(&self) -> bool {
        match self {
            Self::Dossier(part) => part.subject.len() <= SUBJECT_SIZE_MAX,
            Self::Statement { domain, bytes } => {
                domain.len() <= DOMAIN_SIZE_MAX && bytes.len() <= STATEMENT_SIZE_MAX
            }
            Self::Ledger(part) => part.subject.len() <= SUBJECT_SIZE_MAX,
        }
    }
}

impl PartSlot {
    /// Returns the leaf data of this part in the payload's hash tree.
    pub fn hash(&self) -> Hash {
        match self {
            Self::Whole(salt, part) => part_hash(salt, &part.to_bytes()),
            Self::Erased(hash) => *hash,
        }
    }

    /// Returns the part unless it was erased.
    pub fn part(&self) -> Option<&Part> {
        match self {
            Self::Whole(_, part) => Some(part),
            Self::Erased(_) => None,
        }
    }

    pub(crate) fn encode(&self, e: &mut Encoder<Vec<u8>>) {
        let done = match self {
            Self::Whole(salt, part) => e
                .array(2)
                .and_then(|e| e.bytes(salt))
                .and_then(|e| e.bytes(&part.to_bytes()))
                .map(|_| ()),
            Self::Erased(hash) => e
                .array(1)
                .and_then(|e| e.bytes(hash.as_bytes()))
                .map(|_| ()),
        };
        done.expect("writing to a vector cannot fail");
    }

    /// Decodes one slot; returns it with its leaf hash and the bytes of its body.
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<(Self, Hash, usize), EntryError> {
        let shape = |_| EntryError::Shape;
        match d.array().map_err(shape)? {
            Some(2) => {
                let salt: Salt = d
                    .bytes()
                    .map_err(shape)?
                    .try_into()
                    .map_err(|_| EntryError::Shape)?;
                let body = d.bytes().map_err(shape)?;
                let hash = part_hash(&salt, body);
                Ok((Self::Whole(salt, Part::decode(body)?), hash, body.len()))
            }
            Some(1) => {
                let hash: [u8; 32] = d
                    .bytes()
                    .map_err(shape)?
                    .try_into()
                    .map_err(|_| EntryError::Shape)?;
                let hash = Hash::from_bytes(hash);
                Ok((Self::Erased(hash), hash, 0))
            }
            _ => Err(EntryError::Shape),
        }
    }
}

fn part_hash(salt: &Salt, body: &[u8]) -> Hash {
    Hash::tagged("sanji/1/part", &[salt, body])
}
