//! Secret keys in memory. Writing them to disk, and wrapping them first, is the node's business.

use std::fmt;

use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::ed25519::KeyPair;
use crate::identity::{NodeKey, PersonKey, UnitKey};

/// Holds an Ed25519 secret key: zeroised on drop, with nothing to show in `Debug`, no `Display` and no
/// `Clone`, so that it is neither logged nor copied by accident.
pub struct Secret(KeyPair);

impl Secret {
    /// Draws a fresh secret.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self(KeyPair::from_seed(&seed))
    }

    /// Takes the 32-byte seed of RFC 8032.
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let pair = KeyPair::from_seed(&seed);
        seed.zeroize();
        Self(pair)
    }

    /// Returns a copy of the seed that is zeroised on drop; for writing it to its file.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        self.0.seed()
    }

    /// Returns the public key, when the secret is a unit's.
    pub fn unit_key(&self) -> UnitKey {
        UnitKey::from_bytes(self.0.public())
    }

    /// Returns the public key, when the secret is a node's.
    pub fn node_key(&self) -> NodeKey {
        NodeKey::from_bytes(self.0.public())
    }

    /// Returns the public key, when the secret is a person's.
    pub fn person_key(&self) -> PersonKey {
        PersonKey::from_bytes(self.0.public())
    }

    /// Returns the secret as PKCS #8 version 1 (RFC 8410), the form a TLS stack takes.
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + 32));
        der.extend_from_slice(&PKCS8_PREFIX);
        der.extend_from_slice(self.seed().as_ref());
        der
    }

    /// Returns a second holder of the same secret. Explicit, because every copy is one more to guard.
    pub fn duplicate(&self) -> Self {
        Self(KeyPair::from_seed(&self.seed()))
    }

    /// Returns the public key as bytes, without saying whose it is.
    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.public()
    }

    /// Signs bytes. Private to the crate: outside, only whole payloads are signed, under their domain.
    pub(crate) fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// `SEQUENCE { INTEGER 0, SEQUENCE { OID 1.3.101.112 }, OCTET STRING { OCTET STRING .. } }` up to the
/// 32 seed bytes.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_secret_shows_nothing() {
        let shown = format!("{:?}", Secret::from_seed([0xab; 32]));
        assert_eq!(shown, "Secret(..)");
        let shown = format!("{:?}", crate::DossierSecret::from_bytes([0xab; 32]));
        assert_eq!(shown, "DossierSecret(..)");
    }

    #[test]
    fn secrets_come_from_the_randomness_handed_in_and_from_nothing_else() {
        let draw = |seed| Secret::generate(&mut ChaCha20Rng::seed_from_u64(seed)).node_key();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let secret = Secret::generate(&mut ChaCha20Rng::seed_from_u64(1));
        assert_eq!(secret.duplicate().node_key(), secret.node_key());
        assert_eq!(
            Secret::from_seed(*secret.seed()).node_key(),
            secret.node_key()
        );
    }

    #[test]
    fn keys_are_those_of_rfc_8032_and_rfc_8410() {
        let secret = |hex: &str| Secret::from_seed(crate::newtype::parse_hex(hex).unwrap());
        let first = secret("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(first.node_key().to_string(), public);
        let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
                         5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
        assert_eq!(hex::encode(first.sign_bytes(b"")), signature);
        let example = secret("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842");
        let der = "302e020100300506032b657004220420\
                   d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";
        assert_eq!(hex::encode(example.to_pkcs8_der().as_slice()), der);
    }
}
