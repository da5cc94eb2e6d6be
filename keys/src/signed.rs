//! Signatures: bytes that someone said, out of reach until it is proven that they said them.
//!
//! The envelope is COSE_Sign1 (RFC 9052) in one fixed layout, so that equal statements have equal
//! bytes and a reader needs no COSE library:
//!
//! ```text
//! signed = #6.18([protected, {}, payload: bstr, signature: bstr .size 64])
//! protected = bstr .cbor {1: -19, 4: kid}      ; Ed25519 (RFC 9864), the signer's public key
//! to be signed = ["Signature1", protected, domain tag as bstr, payload]
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash as StdHash, Hasher as StdHasher};
use std::marker::PhantomData;
use std::sync::Arc;

use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::cbor::{self, DecodeError};
use crate::domain::Domain;
use crate::ed25519::{self, SignatureFault};
use crate::hash::Hash;
use crate::identity::{KeyError, NodeKey, PersonKey, UnitKey};
use crate::secret::Secret;

/// A type that can be signed, in one domain.
///
/// Types with derived CBOR implement it by [`payload!`](crate::payload).
pub trait Payload: Sized {
    /// What a signature over this type is about.
    const DOMAIN: Domain;

    /// Returns the deterministic CBOR of the payload.
    fn to_bytes(&self) -> Vec<u8>;

    /// Checks and decodes a payload.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError>;
}

/// Implements [`Payload`] for types with `#[derive(Encode, Decode)] #[cbor(map)]` and fields numbered
/// from 1; key 0 is the version, 1 unless given.
///
/// ```
/// #[derive(minicbor::Encode, minicbor::Decode)]
/// #[cbor(map)]
/// struct Greeting {
///     #[n(1)]
///     text: String,
/// }
/// keys::payload!(Greeting, keys::Domain::Hello);
/// ```
#[macro_export]
macro_rules! payload {
    ($name:ty, $domain:expr) => {
        $crate::payload!($name, $domain, 1);
    };
    ($name:ty, $domain:expr, $version:expr) => {
        impl $crate::Payload for $name {
            const DOMAIN: $crate::Domain = $domain;

            fn to_bytes(&self) -> Vec<u8> {
                $crate::cbor::to_vec_versioned(self, $version)
            }

            fn from_bytes(bytes: &[u8]) -> ::core::result::Result<Self, $crate::DecodeError> {
                $crate::cbor::from_slice_versioned(bytes, $version)
            }
        }
    };
}

/// Holds the exact bytes of a signed payload. Cheap to clone; equal when the bytes are.
pub struct Signed<T> {
    /// Invariant: of the layout above, checked when made.
    bytes: Arc<[u8]>,
    payload: PhantomData<fn() -> T>,
}

impl<T> Signed<T> {
    /// Checks the layout of an envelope and takes it. Says nothing about the signature.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Result<Self, EnvelopeError> {
        let bytes = bytes.into();
        Layout::read(&bytes)?;
        Ok(Self {
            bytes,
            payload: PhantomData,
        })
    }

    /// Returns the bytes as signed: what is stored, forwarded and hashed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the hash of the bytes: the identity of a statement.
    pub fn id(&self) -> Hash {
        Hash::of(&self.bytes)
    }

    /// Returns the key that the envelope *claims* signed it.
    pub fn signer(&self) -> SignerKey {
        SignerKey(*self.layout().signer)
    }

    fn layout(&self) -> Layout<'_> {
        Layout::read(&self.bytes).expect("the layout was checked when the envelope was made")
    }
}

impl<T: Payload> Signed<T> {
    /// Signs a payload under its domain.
    ///
    /// # Panics
    /// If the payload is larger than [`PAYLOAD_SIZE_MAX`]; its own limits are far below.
    pub fn sign(payload: &T, secret: &Secret) -> Self {
        let payload = payload.to_bytes();
        assert!(
            payload.len() <= PAYLOAD_SIZE_MAX,
            "a payload keeps within its own limits"
        );
        let signer = secret.public();
        let signature = secret.sign_bytes(&to_be_signed(T::DOMAIN, &signer, &payload));
        let mut bytes = Vec::with_capacity(OVERHEAD_MAX + payload.len());
        bytes.extend_from_slice(&PREFIX);
        bytes.extend_from_slice(&signer);
        bytes.push(EMPTY_MAP);
        put_bstr(&mut bytes, &payload);
        put_bstr(&mut bytes, &signature);
        Self {
            bytes: bytes.into(),
            payload: PhantomData,
        }
    }

    /// Checks the signature by the strict rule under the type's domain, then decodes the payload.
    pub fn verify(&self) -> Result<Verified<T>, VerifyError> {
        let layout = self.layout();
        let message = to_be_signed(T::DOMAIN, layout.signer, layout.payload);
        ed25519::verify(layout.signer, &message, layout.signature).map_err(
            |fault| match fault {
                SignatureFault::Key(error) => VerifyError::Key(error),
                SignatureFault::Signature => VerifyError::Signature,
            },
        )?;
        let value = T::from_bytes(layout.payload)?;
        Ok(Verified {
            value,
            signed: self.clone(),
        })
    }
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            payload: PhantomData,
        }
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T> Eq for Signed<T> {}

impl<T> PartialOrd for Signed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Signed<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl<T> StdHash for Signed<T> {
    fn hash<H: StdHasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl<T> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed")
            .field("id", &self.id())
            .field("claimed_signer", &self.signer())
            .field("size", &self.bytes.len())
            .finish()
    }
}

impl<T, C> Encode<C> for Signed<T> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.bytes)?.ok()
    }
}

impl<'b, T, C> Decode<'b, C> for Signed<T> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        Self::from_bytes(d.bytes()?).map_err(|e| minicbor::decode::Error::custom(e).at(at))
    }
}

crate::byte_newtype! {
    /// Names the key in an envelope, before anything says whether it is a unit's, node's or person's.
    pub struct SignerKey(32);
}

impl SignerKey {
    /// Returns the key as a unit's.
    pub fn as_unit(&self) -> UnitKey {
        UnitKey::from_bytes(self.0)
    }

    /// Returns the key as a node's.
    pub fn as_node(&self) -> NodeKey {
        NodeKey::from_bytes(self.0)
    }

    /// Returns the key as a person's.
    pub fn as_person(&self) -> PersonKey {
        PersonKey::from_bytes(self.0)
    }
}

/// Holds a payload together with the proof that its bytes were signed by [`Verified::signer`] for the
/// type's domain. Only [`Signed::verify`] makes one. Whether the signer was *entitled* to say it is
/// the certificate chain's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    signed: Signed<T>,
}

impl<T> Verified<T> {
    /// Returns the payload.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Returns the payload, letting go of the proof.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Returns the key that signed.
    pub fn signer(&self) -> SignerKey {
        self.signed.signer()
    }

    /// Returns the bytes as signed.
    pub fn bytes(&self) -> &[u8] {
        self.signed.bytes()
    }

    /// Returns the hash of the bytes: the identity of a statement.
    pub fn id(&self) -> Hash {
        self.signed.id()
    }

    /// Returns the envelope.
    pub fn signed(&self) -> &Signed<T> {
        &self.signed
    }
}

/// Why bytes are not an envelope: whoever sent them broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The bytes are not exactly the one layout of COSE_Sign1 that is accepted.
    #[error("not an envelope of the accepted layout, at byte {at}")]
    Layout {
        /// Offset of the first part that differs.
        at: usize,
    },
    /// The payload is larger than any can be.
    #[error("a payload of {found} bytes, more than {max}")]
    TooLong {
        /// Limit, in bytes.
        max: usize,
        /// Bytes the payload claims.
        found: u64,
    },
}

/// Why an envelope proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The key in the envelope is no key, or one under which anyone can sign.
    #[error("the signer's key is not acceptable: {0}")]
    Key(#[source] KeyError),
    /// The signature was not made by this key over these bytes in this domain.
    #[error("the signature does not match the bytes, the key and the domain")]
    Signature,
    /// The signature is right, but the payload cannot be read; see the reason for whose turn it is.
    #[error("signed, but unreadable: {0}")]
    Payload(#[from] DecodeError),
}

/// Largest payload of an envelope: 1 MiB. Entries and statements have far lower limits of their own;
/// this one bounds what is hashed before those are known.
pub const PAYLOAD_SIZE_MAX: usize = 1 << 20;

/// Most bytes an envelope adds to its payload.
pub const OVERHEAD_MAX: usize = PREFIX.len() + 32 + 1 + 5 + 2 + 64;

/// An envelope taken apart.
struct Layout<'a> {
    signer: &'a [u8; 32],
    payload: &'a [u8],
    signature: &'a [u8; 64],
}

impl<'a> Layout<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let fault = |rest: &[u8]| EnvelopeError::Layout {
            at: bytes.len() - rest.len(),
        };
        let rest = bytes.strip_prefix(&PREFIX).ok_or_else(|| fault(bytes))?;
        let (signer, rest) = rest.split_first_chunk().ok_or_else(|| fault(rest))?;
        let rest = rest.strip_prefix(&[EMPTY_MAP]).ok_or_else(|| fault(rest))?;
        let head = cbor::Head::read(rest, 0).map_err(|_| fault(rest))?;
        if head.major != cbor::BYTES {
            return Err(fault(rest));
        }
        let length = usize::try_from(head.argument)
            .ok()
            .filter(|length| *length <= PAYLOAD_SIZE_MAX)
            .ok_or(EnvelopeError::TooLong {
                max: PAYLOAD_SIZE_MAX,
                found: head.argument,
            })?;
        let rest = rest.get(head.end..).ok_or_else(|| fault(rest))?;
        let (payload, rest) = rest.split_at_checked(length).ok_or_else(|| fault(rest))?;
        let signature = rest.strip_prefix(&BSTR_64).ok_or_else(|| fault(rest))?;
        let signature = signature.try_into().map_err(|_| fault(signature))?;
        Ok(Self {
            signer,
            payload,
            signature,
        })
    }
}

/// Returns COSE's Sig_structure.
fn to_be_signed(domain: Domain, signer: &[u8; 32], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128 + payload.len());
    bytes.extend_from_slice(b"\x84\x6aSignature1");
    // The protected header as it stands in the envelope, after the tag and the array's head.
    bytes.extend_from_slice(&PREFIX[2..]);
    bytes.extend_from_slice(signer);
    put_bstr(&mut bytes, domain.tag().as_bytes());
    put_bstr(&mut bytes, payload);
    bytes
}

fn put_bstr(out: &mut Vec<u8>, bytes: &[u8]) {
    Encoder::new(out)
        .bytes(bytes)
        .expect("encoding into memory cannot fail");
}

/// Tag 18, array of 4, byte string of 38: `{1: -19, 4: byte string of 32`, up to the key.
const PREFIX: [u8; 10] = [0xd2, 0x84, 0x58, 0x26, 0xa2, 0x01, 0x32, 0x04, 0x58, 0x20];
const EMPTY_MAP: u8 = 0xa0;
/// The head of a byte string of 64.
const BSTR_64: [u8; 2] = [0x58, 0x40];

#[cfg(test)]
mod tests;
