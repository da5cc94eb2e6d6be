//! HMAC-SHA256. The door to `hmac`; `commitment.rs` and the enrolment proof are its users.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::hash::Hash;

/// Returns HMAC-SHA256 over the parts, each preceded by its length (u64 big-endian), so that no other
/// split of the same bytes has the same code.
pub fn mac(key: &[u8], parts: &[&[u8]]) -> Hash {
    let mut state = keyed(key);
    for part in parts {
        state.update(&(part.len() as u64).to_be_bytes());
        state.update(part);
    }
    Hash::from_bytes(state.finalize().into_bytes().into())
}

/// Compares a code with the expected one in constant time.
pub fn mac_matches(key: &[u8], parts: &[&[u8]], claimed: &Hash) -> bool {
    mac(key, parts).as_bytes().ct_eq(claimed.as_bytes()).into()
}

/// Returns plain HMAC-SHA256 of one message (RFC 2104).
pub(crate) fn mac_plain(key: &[u8], message: &[u8]) -> Hash {
    let mut state = keyed(key);
    state.update(message);
    Hash::from_bytes(state.finalize().into_bytes().into())
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_hmac_sha_256() {
        // RFC 4231, test case 2.
        let code = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let message = b"what do ya want for nothing?";
        assert_eq!(mac_plain(b"Jefe", message).to_string(), code);
        let framed = [&2_u64.to_be_bytes()[..], b"ab", &[0; 8]].concat();
        assert_eq!(mac(b"k", &[b"ab", b""]), mac_plain(b"k", &framed));
    }

    #[test]
    fn a_code_matches_its_key_and_its_parts_only() {
        let code = mac(b"key", &[b"ab", b"c"]);
        assert!(mac_matches(b"key", &[b"ab", b"c"], &code));
        assert!(!mac_matches(b"kex", &[b"ab", b"c"], &code));
        assert!(!mac_matches(b"key", &[b"a", b"bc"], &code));
        assert!(!mac_matches(b"key", &[b"abc"], &code));
    }
}
