//! Fixed-size byte identifiers: one macro writes the constructors, text form and CBOR form of each.
//!
//! Identities are different types even when their bytes are alike, so that a unit's key can never be
//! passed where a node's is meant.

use std::fmt;

/// Defines a newtype over a fixed number of bytes: `Copy`, ordered by bytes, shown and parsed as lower
/// hex, short in `Debug`, a byte string of exactly that size in CBOR.
///
/// ```
/// keys::byte_newtype! {
///     /// Names a parcel.
///     pub struct ParcelId(16);
/// }
/// let id = ParcelId::from_bytes([7; 16]);
/// assert_eq!(id.to_string().parse::<ParcelId>(), Ok(id));
/// ```
#[macro_export]
macro_rules! byte_newtype {
    ($(#[$meta:meta])* $vis:vis struct $name:ident($size:literal);) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name([u8; $size]);

        impl $name {
            /// Takes the bytes as they are, unchecked.
            pub const fn from_bytes(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }

            /// Returns the bytes.
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }

            /// Returns the first eight hexadecimal digits, for people; never compare by it.
            pub fn short(&self) -> String {
                $crate::macro_parts::short(&self.0)
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                $crate::macro_parts::display_hex(&self.0, f)
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                $crate::macro_parts::debug_short(stringify!($name), &self.0, f)
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::HexError;

            fn from_str(text: &str) -> ::core::result::Result<Self, Self::Err> {
                $crate::macro_parts::parse_hex(text).map(Self)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl<C> $crate::macro_parts::minicbor::Encode<C> for $name {
            fn encode<W: $crate::macro_parts::minicbor::encode::Write>(
                &self,
                e: &mut $crate::macro_parts::minicbor::Encoder<W>,
                _: &mut C,
            ) -> ::core::result::Result<
                (),
                $crate::macro_parts::minicbor::encode::Error<W::Error>,
            > {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> $crate::macro_parts::minicbor::Decode<'b, C> for $name {
            fn decode(
                d: &mut $crate::macro_parts::minicbor::Decoder<'b>,
                _: &mut C,
            ) -> ::core::result::Result<Self, $crate::macro_parts::minicbor::decode::Error>
            {
                $crate::macro_parts::decode_array(d).map(Self)
            }
        }
    };
}

/// Why a text is not the hexadecimal form of an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// The text has the wrong number of digits.
    #[error("expected {expected} hexadecimal digits, found {found}")]
    Length {
        /// Digits the identifier has.
        expected: usize,
        /// Bytes the text has.
        found: usize,
    },
    /// A character is not one of `0-9a-f`; capitals are refused, so that an identifier has one text.
    #[error("only the digits 0-9 and a-f may stand in an identifier")]
    Digit,
}

/// Returns the first eight hexadecimal digits of `bytes`.
pub fn short(bytes: &[u8]) -> String {
    hex::encode(bytes.get(..4).unwrap_or(bytes))
}

/// Writes `bytes` as lower hex.
pub fn display_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.pad(&hex::encode(bytes))
}

/// Writes the type's name and eight digits, enough to tell two apart in a log line.
pub fn debug_short(name: &str, bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{name}({})", short(bytes))
}

/// Reads exactly `N` bytes from lower hex.
pub fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    if text.len() != N * 2 {
        return Err(HexError::Length {
            expected: N * 2,
            found: text.len(),
        });
    }
    if !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(HexError::Digit);
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| HexError::Digit)?;
    Ok(bytes)
}

/// Reads a CBOR byte string of exactly `N` bytes.
pub fn decode_array<const N: usize>(
    d: &mut minicbor::Decoder<'_>,
) -> Result<[u8; N], minicbor::decode::Error> {
    let at = d.position();
    let bytes = d.bytes()?;
    bytes.try_into().map_err(|_| {
        minicbor::decode::Error::message("byte string has the wrong length for its identifier")
            .at(at)
    })
}
