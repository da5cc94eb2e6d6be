//! Commitments: what stands for a class of fields where the fields themselves may not go.
//!
//! Who holds the dossier's secret and the fields recomputes the commitment; to everyone else it is a
//! random number, because each record has its own key under the secret.

use std::fmt;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::hash::Hash;
use crate::mac::mac_plain;

/// Holds a dossier's random secret. It travels exactly as far as the dossier's content.
#[derive(Clone)]
pub struct DossierSecret(Zeroizing<[u8; 32]>);

impl DossierSecret {
    /// Draws a fresh secret.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        Self(bytes)
    }

    /// Takes the bytes of a secret.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the bytes of the secret, for carrying them with the dossier.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DossierSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DossierSecret(..)")
    }
}

impl PartialEq for DossierSecret {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for DossierSecret {}

/// Commits to one class of a record's fields:
/// `HMAC-SHA256(HKDF-SHA256(secret, no salt, info = "sanji/1/commitment" | record id), class)`, where
/// `class` is the canonical CBOR of that class's fields.
pub fn commit(secret: &DossierSecret, record_id: &[u8; 16], class: &[u8]) -> Hash {
    let mut key = Zeroizing::new([0_u8; 32]);
    Hkdf::<Sha256>::new(None, secret.as_bytes())
        .expand_multi_info(&[b"sanji/1/commitment", record_id], key.as_mut())
        .expect("HKDF-SHA256 gives 32 bytes");
    mac_plain(key.as_ref(), class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commitment_changes_with_the_secret_the_record_and_the_class() {
        let secret = DossierSecret::from_bytes([1; 32]);
        let commitment = commit(&secret, &[2; 16], b"\xa0");
        assert_eq!(commit(&secret.clone(), &[2; 16], b"\xa0"), commitment);
        assert_ne!(
            commit(&DossierSecret::from_bytes([3; 32]), &[2; 16], b"\xa0"),
            commitment
        );
        assert_ne!(commit(&secret, &[3; 16], b"\xa0"), commitment);
        assert_ne!(commit(&secret, &[2; 16], b"\xa1\x01\x01"), commitment);
    }

    #[test]
    fn a_commitment_is_what_rfc_5869_and_rfc_2104_make_of_it() {
        // HKDF by hand, of one block: extract under 32 zero bytes, expand the info and the byte 1.
        let pseudorandom = mac_plain(&[0; 32], &[1; 32]);
        let info = [b"sanji/1/commitment".as_slice(), &[2; 16], &[1]].concat();
        let key = mac_plain(pseudorandom.as_bytes(), &info);
        let by_hand = mac_plain(key.as_bytes(), b"\xa0");
        assert_eq!(
            commit(&DossierSecret::from_bytes([1; 32]), &[2; 16], b"\xa0"),
            by_hand
        );
    }
}
