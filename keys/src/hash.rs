//! SHA-256, the one content hash of the federation. The only file that names `sha2` for hashing.

use sha2::{Digest, Sha256};

crate::byte_newtype! {
    /// Names bytes by their SHA-256.
    pub struct Hash(32);
}

impl Hash {
    /// Hashes `bytes` as they are.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Hashes several parts under a tag, so that neither a different split of the same bytes nor
    /// another use of the hash can give the same result:
    /// `SHA-256(u8 length of tag | tag | for each part: u64 big-endian length | part)`.
    ///
    /// # Panics
    /// If the tag is longer than 255 bytes; tags are literals of the calling code.
    pub fn tagged(tag: &str, parts: &[&[u8]]) -> Self {
        let tag_length = u8::try_from(tag.len()).expect("a hash tag is a short literal");
        let mut hasher = Hasher::new();
        hasher.update(&[tag_length]).update(tag.as_bytes());
        for part in parts {
            hasher
                .update(&(part.len() as u64).to_be_bytes())
                .update(part);
        }
        hasher.finish()
    }
}

/// Hashes bytes that arrive in pieces; equal to [`Hash::of`] their concatenation.
#[derive(Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Returns a hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `bytes`.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// Returns the hash of everything appended.
    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HexError, cbor};

    #[test]
    fn hashes_are_sha_256_whole_or_in_pieces() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::of(b"abc").to_string(), abc);
        let mut pieces = Hasher::new();
        pieces.update(b"a").update(b"").update(b"bc");
        assert_eq!(pieces.finish(), Hash::of(b"abc"));
        let by_hand = [b"\x03tag".as_slice(), &2_u64.to_be_bytes(), b"ab", &[0; 8]].concat();
        assert_eq!(Hash::tagged("tag", &[b"ab", b""]), Hash::of(&by_hand));
        assert_ne!(
            Hash::tagged("t", &[b"ab", b"c"]),
            Hash::tagged("t", &[b"a", b"bc"])
        );
    }

    #[test]
    fn a_hash_has_one_text_and_one_cbor_form() {
        let hash = Hash::of(b"abc");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(
            (hash.short().as_str(), format!("{hash:?}").as_str()),
            ("ba7816bf", "Hash(ba7816bf)")
        );
        assert_eq!(
            hash.to_string().to_uppercase().parse::<Hash>(),
            Err(HexError::Digit)
        );
        let length = HexError::Length {
            expected: 64,
            found: 2,
        };
        assert_eq!("00".parse::<Hash>(), Err(length));
        assert_eq!("\u{e9}".repeat(32).parse::<Hash>(), Err(HexError::Digit));
        let bytes = cbor::to_vec(&hash);
        assert_eq!((bytes.len(), cbor::from_slice(&bytes)), (34, Ok(hash)));
        assert!(
            cbor::from_slice::<Hash>(&cbor::to_vec(&crate::StoreEpoch::from_bytes([0; 16])))
                .is_err()
        );
    }
}
