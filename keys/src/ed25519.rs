//! The door to `ed25519-dalek`: the only file that names it.
//!
//! Verification is the strict rule (canonical S, no small-order key or commitment point), so that all
//! nodes agree on which signatures count, for ever.

use ed25519_dalek::{SECRET_KEY_LENGTH, Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::identity::KeyError;

/// An Ed25519 key pair; zeroised on drop by dalek.
pub(crate) struct KeyPair(SigningKey);

impl KeyPair {
    pub(crate) fn from_seed(seed: &[u8; SECRET_KEY_LENGTH]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    pub(crate) fn seed(&self) -> Zeroizing<[u8; SECRET_KEY_LENGTH]> {
        Zeroizing::new(self.0.to_bytes())
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureFault {
    Key(KeyError),
    Signature,
}

/// Checks a signature by the strict rule.
pub(crate) fn verify(
    public: &[u8; 32],
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), SignatureFault> {
    let key = parse_public(public).map_err(SignatureFault::Key)?;
    key.verify_strict(message, &Signature::from_bytes(signature))
        .map_err(|_| SignatureFault::Signature)
}

/// Refuses bytes that are no key at all, and keys under which anyone can sign.
pub(crate) fn check_public(public: &[u8; 32]) -> Result<(), KeyError> {
    parse_public(public).map(|_| ())
}

fn parse_public(public: &[u8; 32]) -> Result<VerifyingKey, KeyError> {
    let key = VerifyingKey::from_bytes(public).map_err(|_| KeyError::NotAPoint)?;
    if key.is_weak() {
        return Err(KeyError::Weak);
    }
    // A second spelling of a key would be a second identity; dalek decodes y >= 2^255 - 19 too.
    let y_at_least_p =
        public[0] >= 0xed && public[1..31].iter().all(|b| *b == 0xff) && public[31] & 0x7f == 0x7f;
    if y_at_least_p {
        return Err(KeyError::NotAPoint);
    }
    Ok(key)
}
