//! Names and public keys: what units, tiers, nodes, people and stores are called on the wire.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use minicbor::{Decode, Decoder, Encode, Encoder};
use rand_core::CryptoRng;

use crate::ed25519;

/// Defines a short, checked, cheaply cloned text name.
macro_rules! text_name {
    ($(#[$meta:meta])* $name:ident, max $max:literal, start $start:pat, rest $rest:pat) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Longest name, in bytes.
            pub const SIZE_MAX: usize = $max;

            /// Checks `text` and takes it as a name.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let first = *text.as_bytes().first().ok_or(NameError::Empty)?;
                if text.len() > Self::SIZE_MAX {
                    return Err(NameError::TooLong { max: Self::SIZE_MAX });
                }
                if !matches!(first, $start) {
                    return Err(NameError::Start);
                }
                match text.bytes().position(|b| !matches!(b, $rest)) {
                    Some(at) => Err(NameError::Character { at }),
                    None => Ok(Self(text.into())),
                }
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let at = d.position();
                Self::new(d.str()?).map_err(|e| minicbor::decode::Error::custom(e).at(at))
            }
        }
    };
}

text_name! {
    /// Names a unit for ever: 1 to 40 of `a-z 0-9 . -`, beginning with a letter or digit. Opaque: it
    /// never says where the unit stands, the parent's roster does.
    UnitId, max 40, start b'a'..=b'z' | b'0'..=b'9', rest b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'
}

text_name! {
    /// Names a tier: 1 to 20 of `a-z 0-9 -`, beginning with a letter, as `school`, `district`, `city`.
    TierName, max 20, start b'a'..=b'z', rest b'a'..=b'z' | b'0'..=b'9' | b'-'
}

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text is empty.
    #[error("the name is empty")]
    Empty,
    /// The text is too long.
    #[error("the name is longer than {max} bytes")]
    TooLong {
        /// Longest name, in bytes.
        max: usize,
    },
    /// The first character may not stand at the beginning.
    #[error("the name may not begin with this character")]
    Start,
    /// A character is not allowed.
    #[error("the name has a character that is not allowed, at byte {at}")]
    Character {
        /// Byte offset of the character.
        at: usize,
    },
}

crate::byte_newtype! {
    /// Names a unit's Ed25519 public key: it certifies the unit's nodes, people and child units.
    pub struct UnitKey(32);
}

crate::byte_newtype! {
    /// Names a node's Ed25519 public key: it signs entries and authenticates connections.
    pub struct NodeKey(32);
}

crate::byte_newtype! {
    /// Names a person's Ed25519 public key: it signs decisions.
    pub struct PersonKey(32);
}

crate::byte_newtype! {
    /// Names one life of one store: drawn when the store is created or restored, so that a restored
    /// backup starts new logs instead of forking old ones.
    pub struct StoreEpoch(16);
}

impl NodeKey {
    /// Returns the key as an RFC 8410 SubjectPublicKeyInfo, the form TLS raw public keys take.
    pub fn to_spki_der(&self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), &self.0].concat()
    }

    /// Reads a key from its SubjectPublicKeyInfo; only the exact DER of RFC 8410 is a key.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = der
            .strip_prefix(SPKI_PREFIX.as_slice())
            .ok_or(KeyError::NotEd25519)?;
        let key = <[u8; 32]>::try_from(key).map_err(|_| KeyError::NotEd25519)?;
        ed25519::check_public(&key)?;
        Ok(Self(key))
    }
}

impl StoreEpoch {
    /// Draws a fresh epoch.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

/// Why bytes are not a public key that may be trusted with anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The structure is not the RFC 8410 form of an Ed25519 key.
    #[error("not an Ed25519 public key in its RFC 8410 form")]
    NotEd25519,
    /// The bytes are not the canonical form of a point of the curve.
    #[error("not a point of the curve in canonical form")]
    NotAPoint,
    /// The point has small order: signatures under it prove nothing.
    #[error("a key of small order, under which anyone can sign")]
    Weak,
}

/// `SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING (0 unused bits) .. }` up to the 32 key bytes.
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor;

    #[test]
    fn names_keep_to_their_alphabet() {
        let longest = "a".repeat(40);
        for good in [
            "a",
            "0",
            "sh-014",
            "cn.310104.nanyang",
            "a-.",
            longest.as_str(),
        ] {
            assert_eq!(UnitId::new(good).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(41);
        for (bad, error) in [
            ("", NameError::Empty),
            (too_long.as_str(), NameError::TooLong { max: 40 }),
            ("-a", NameError::Start),
            (".a", NameError::Start),
            ("Ab", NameError::Start),
            ("aB", NameError::Character { at: 1 }),
            ("a b", NameError::Character { at: 1 }),
            ("a/b", NameError::Character { at: 1 }),
            ("a\u{e9}", NameError::Character { at: 1 }),
        ] {
            assert_eq!(UnitId::new(bad), Err(error), "{bad:?}");
        }
        assert_eq!(TierName::new("1st"), Err(NameError::Start));
        assert_eq!(TierName::new("a.b"), Err(NameError::Character { at: 1 }));
        assert_eq!(
            TierName::new(&"a".repeat(21)),
            Err(NameError::TooLong { max: 20 })
        );
        assert_eq!("city".parse::<TierName>().unwrap().to_string(), "city");
    }

    #[test]
    fn names_are_checked_when_decoded() {
        let unit = UnitId::new("sh-014").unwrap();
        assert_eq!(cbor::from_slice(&cbor::to_vec(&unit)), Ok(unit));
        assert!(cbor::from_slice::<UnitId>(b"\x61A").is_err());
        assert!(cbor::from_slice::<UnitId>(b"\x60").is_err());
        assert!(cbor::from_slice::<UnitId>(b"\x41a").is_err());
    }

    #[test]
    fn only_the_exact_rfc_8410_form_is_a_node_key() {
        // The example of RFC 8410, section 10.1.
        let key = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
        let key: NodeKey = key.parse().unwrap();
        let der = key.to_spki_der();
        assert_eq!(hex::encode(&der), format!("302a300506032b6570032100{key}"));
        assert_eq!(NodeKey::from_spki_der(&der), Ok(key));
        for at in 0..12 {
            let mut bent = der.clone();
            bent[at] ^= 1;
            assert_eq!(NodeKey::from_spki_der(&bent), Err(KeyError::NotEd25519));
        }
        assert_eq!(
            NodeKey::from_spki_der(&der[..43]),
            Err(KeyError::NotEd25519)
        );
        let longer = [&der[..], &[0]].concat();
        assert_eq!(NodeKey::from_spki_der(&longer), Err(KeyError::NotEd25519));
        let no_point = NodeKey::from_bytes([2; 32]).to_spki_der();
        let verdict = NodeKey::from_spki_der(&no_point);
        assert_eq!(verdict, Err(KeyError::NotAPoint));
    }
}
