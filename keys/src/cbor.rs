//! Deterministic CBOR (RFC 8949, 4.2.1): the one spelling in which anything is signed or compared.
//!
//! [`check`] refuses every other spelling before a decoder sees the bytes, in one pass, without
//! recursion, within [`Limits`]. Payloads are maps with small integer keys; key 0 is the payload's
//! version and is written and read here, so the types themselves number their fields from 1.

use std::cmp::Ordering;
use std::sync::Arc;

use minicbor::{Decode, Decoder, Encode};

/// Bounds what [`check`] accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most arrays and maps inside each other.
    pub depth: usize,
    /// Most bytes in all.
    pub size: usize,
    /// Whether the outermost item may carry tag 18 (COSE_Sign1); no other tag is ever accepted.
    pub allow_tag18: bool,
}

impl Limits {
    /// Depth 16, 16 MiB, no tag. The depth is the protocol's; callers with a smaller size say so.
    pub const DEFAULT: Self = Self {
        depth: 16,
        size: 16 << 20,
        allow_tag18: false,
    };

    /// Returns the same limits with another size, in bytes.
    pub const fn with_size(self, size: usize) -> Self {
        Self { size, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why bytes are not one item of deterministic CBOR; `at` is the offset of the offending byte or item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// More bytes than the limit.
    #[error("{found} bytes, more than the limit of {max}")]
    TooLong {
        /// Limit, in bytes.
        max: usize,
        /// Bytes given.
        found: usize,
    },
    /// Arrays and maps nested deeper than the limit.
    #[error("nested too deeply at byte {at}")]
    TooDeep {
        /// Offset.
        at: usize,
    },
    /// The bytes end inside an item, or a length promises more than is left.
    #[error("truncated at byte {at}")]
    Truncated {
        /// Offset.
        at: usize,
    },
    /// Bytes follow the one item.
    #[error("more bytes after the item, from byte {at}")]
    Trailing {
        /// Offset.
        at: usize,
    },
    /// An integer or length is not in its shortest form.
    #[error("an integer or length longer than need be at byte {at}")]
    NotShortest {
        /// Offset.
        at: usize,
    },
    /// An item of indefinite length.
    #[error("an item of indefinite length at byte {at}")]
    Indefinite {
        /// Offset.
        at: usize,
    },
    /// A float, `undefined`, another simple value, or a reserved encoding.
    #[error("a value that is not allowed (float, undefined, simple or reserved) at byte {at}")]
    Forbidden {
        /// Offset.
        at: usize,
    },
    /// A tag where none is allowed.
    #[error("a tag at byte {at}")]
    Tag {
        /// Offset.
        at: usize,
    },
    /// A text that is not UTF-8.
    #[error("text that is not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Offset.
        at: usize,
    },
    /// A map key that does not follow the one before it in bytewise order.
    #[error("map keys out of order at byte {at}")]
    UnsortedKeys {
        /// Offset.
        at: usize,
    },
    /// A map key given twice.
    #[error("a map key given twice at byte {at}")]
    DuplicateKey {
        /// Offset.
        at: usize,
    },
}

/// Checks that `bytes` are exactly one item of deterministic CBOR within the limits: shortest integers
/// and lengths, definite lengths, map keys sorted and unique, valid UTF-8, no floats, no `undefined`,
/// no tags.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<(), CborError> {
    if bytes.len() > limits.size {
        return Err(CborError::TooLong {
            max: limits.size,
            found: bytes.len(),
        });
    }
    // Never longer than `limits.depth`; the only allocation.
    let mut open: Vec<Frame> = Vec::new();
    let mut at = usize::from(limits.allow_tag18 && bytes.first() == Some(&TAG_18));
    loop {
        let head = Head::read(bytes, at)?;
        match head.major {
            UNSIGNED | NEGATIVE => at = head.end,
            BYTES | TEXT => {
                let content = head.content(bytes, at)?;
                if head.major == TEXT && std::str::from_utf8(content).is_err() {
                    return Err(CborError::NotUtf8 { at });
                }
                at = head.end + content.len();
            }
            ARRAY | MAP => {
                if open.len() >= limits.depth {
                    return Err(CborError::TooDeep { at });
                }
                let per_element = if head.major == MAP { 2 } else { 1 };
                // Each item takes a byte at least: a count beyond the rest is a lie, told early.
                let left = (bytes.len() - head.end) as u64;
                let items = head
                    .argument
                    .checked_mul(per_element)
                    .filter(|n| *n <= left);
                let items = items.ok_or(CborError::Truncated { at })?;
                at = head.end;
                if items > 0 {
                    open.push(Frame::new(head.major == MAP, items, at));
                    continue;
                }
            }
            TAG => return Err(CborError::Tag { at }),
            _ => match head.argument {
                FALSE | TRUE | NULL if head.end == at + 1 => at = head.end,
                _ => return Err(CborError::Forbidden { at }),
            },
        }
        // An item ends at `at`; it may end the containers around it too.
        loop {
            let Some(frame) = open.last_mut() else {
                return if at == bytes.len() {
                    Ok(())
                } else {
                    Err(CborError::Trailing { at })
                };
            };
            if !frame.item_ended(bytes, at)? {
                break;
            }
            open.pop();
        }
    }
}

/// Encodes a value whose type writes deterministic CBOR: derived maps with integer keys do; a
/// `BTreeMap` with text keys does not, its order differs from CBOR's.
pub fn to_vec<T: Encode<()>>(value: &T) -> Vec<u8> {
    let bytes = minicbor::to_vec(value).expect("encoding into memory cannot fail");
    debug_assert_eq!(
        check(
            &bytes,
            &Limits {
                size: usize::MAX,
                ..Limits::DEFAULT
            }
        ),
        Ok(()),
        "{} does not encode to deterministic CBOR",
        std::any::type_name::<T>()
    );
    bytes
}

/// Checks `bytes` against [`Limits::DEFAULT`] and decodes them. Map keys the type does not know are
/// skipped: whoever forwards the value forwards the bytes, not a new encoding.
pub fn from_slice<T>(bytes: &[u8]) -> Result<T, DecodeError>
where
    T: for<'b> Decode<'b, ()>,
{
    from_slice_within(bytes, &Limits::DEFAULT)
}

/// Does what [`from_slice`] does, within other limits.
pub fn from_slice_within<T>(bytes: &[u8], limits: &Limits) -> Result<T, DecodeError>
where
    T: for<'b> Decode<'b, ()>,
{
    check(bytes, limits)?;
    decode_checked(bytes)
}

/// Encodes a value that is a map, with its version as key 0.
///
/// # Panics
/// If the type does not encode as a map, or uses key 0 itself: a mistake in the type, found by its
/// first test.
pub fn to_vec_versioned<T: Encode<()>>(value: &T, version: u64) -> Vec<u8> {
    let body = to_vec(value);
    let head = Head::read(&body, 0).expect("the encoder writes well-formed heads");
    assert_eq!(head.major, MAP, "a versioned payload is a map");
    assert_ne!(
        body.get(head.end),
        Some(&VERSION_KEY),
        "key 0 of a payload is its version"
    );
    let mut bytes = Vec::with_capacity(body.len() + 11);
    let mut encoder = minicbor::Encoder::new(&mut bytes);
    encoder
        .map(head.argument + 1)
        .and_then(|e| e.u8(VERSION_KEY))
        .and_then(|e| e.u64(version))
        .expect("encoding into memory cannot fail");
    bytes.extend_from_slice(&body[head.end..]);
    bytes
}

/// Checks and decodes a map whose key 0 is its version.
///
/// A version above `newest` is reported as such whatever else the map holds; an older one is decoded
/// by the same type, which must default what it lacks.
pub fn from_slice_versioned<T>(bytes: &[u8], newest: u64) -> Result<T, DecodeError>
where
    T: for<'b> Decode<'b, ()>,
{
    check(bytes, &Limits::DEFAULT)?;
    let found = version(bytes).ok_or(DecodeError::NoVersion)?;
    if found > newest {
        return Err(DecodeError::NewerVersion { found });
    }
    decode_checked(bytes)
}

/// Why bytes do not give a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not deterministic CBOR: whoever made them broke the protocol.
    #[error("not deterministic CBOR: {0}")]
    Cbor(#[from] CborError),
    /// The payload was made by a newer version: keep the bytes, show that an update is needed.
    #[error("made by a newer version ({found}); update to read it")]
    NewerVersion {
        /// The version the payload states.
        found: u64,
    },
    /// The payload is not a map with a version, from 1, under key 0.
    #[error("the payload states no version")]
    NoVersion,
    /// A field is missing, has the wrong type, or a value out of its bounds.
    #[error("not of the expected shape: {0}")]
    Shape(ShapeError),
}

/// What the decoder of a type objected to.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct ShapeError(Arc<minicbor::decode::Error>);

impl PartialEq for ShapeError {
    // The decoder's error has no equality of its own; its text has all there is to know.
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for ShapeError {}

impl From<minicbor::decode::Error> for DecodeError {
    fn from(error: minicbor::decode::Error) -> Self {
        Self::Shape(ShapeError(Arc::new(error)))
    }
}

/// Returns the version under key 0 of a checked map. Sorted keys put it first.
fn version(bytes: &[u8]) -> Option<u64> {
    let map = Head::read(bytes, 0)
        .ok()
        .filter(|head| head.major == MAP && head.argument > 0)?;
    let key = Head::read(bytes, map.end).ok()?;
    if key.major != UNSIGNED || key.argument != u64::from(VERSION_KEY) {
        return None;
    }
    let value = Head::read(bytes, key.end).ok()?;
    (value.major == UNSIGNED && value.argument > 0).then_some(value.argument)
}

fn decode_checked<T>(bytes: &[u8]) -> Result<T, DecodeError>
where
    T: for<'b> Decode<'b, ()>,
{
    let mut decoder = Decoder::new(bytes);
    let value = decoder.decode()?;
    if decoder.position() != bytes.len() {
        let error = minicbor::decode::Error::message("the type did not take the whole item");
        return Err(error.at(decoder.position()).into());
    }
    Ok(value)
}

/// The first bytes of an item: its major type and its argument (value, length, count or tag).
pub(crate) struct Head {
    pub(crate) major: u8,
    pub(crate) argument: u64,
    /// Offset of the first byte after the head.
    pub(crate) end: usize,
}

impl Head {
    /// Reads the head at `at`, in shortest form only. Floats come out as major type 7 with an end
    /// beyond the first byte.
    pub(crate) fn read(bytes: &[u8], at: usize) -> Result<Self, CborError> {
        let initial = *bytes.get(at).ok_or(CborError::Truncated { at })?;
        let (major, info) = (initial >> 5, initial & 0x1f);
        let size = match info {
            0..=23 => {
                return Ok(Self {
                    major,
                    argument: u64::from(info),
                    end: at + 1,
                });
            }
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            31 if (BYTES..=MAP).contains(&major) => return Err(CborError::Indefinite { at }),
            _ => return Err(CborError::Forbidden { at }),
        };
        let end = at + 1 + size;
        let tail = bytes.get(at + 1..end).ok_or(CborError::Truncated { at })?;
        let argument = tail
            .iter()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let smallest = match size {
            1 => 24,
            2 => 1 << 8,
            4 => 1 << 16,
            _ => 1 << 32,
        };
        if major != SIMPLE && argument < smallest {
            return Err(CborError::NotShortest { at });
        }
        Ok(Self {
            major,
            argument,
            end,
        })
    }

    /// Returns the content of the byte or text string whose head this is.
    fn content<'a>(&self, bytes: &'a [u8], at: usize) -> Result<&'a [u8], CborError> {
        usize::try_from(self.argument)
            .ok()
            .and_then(|length| bytes.get(self.end..)?.get(..length))
            .ok_or(CborError::Truncated { at })
    }
}

/// An array or map whose items are still being read.
struct Frame {
    is_map: bool,
    /// Items still to end, keys and values both counted; even before a key of a map.
    left: u64,
    /// Where the current key of a map begins.
    key_start: usize,
    /// The key before it; empty before the first, and so less than any.
    last_key: std::ops::Range<usize>,
}

impl Frame {
    fn new(is_map: bool, items: u64, at: usize) -> Self {
        Self {
            is_map,
            left: items,
            key_start: at,
            last_key: 0..0,
        }
    }

    /// Notes that an item of this container ended at `end`; returns whether it was the last.
    fn item_ended(&mut self, bytes: &[u8], end: usize) -> Result<bool, CborError> {
        let was_key = self.is_map && self.left.is_multiple_of(2);
        self.left -= 1;
        if was_key {
            let key = self.key_start..end;
            match bytes[self.last_key.clone()].cmp(&bytes[key.clone()]) {
                Ordering::Less => self.last_key = key,
                Ordering::Equal => return Err(CborError::DuplicateKey { at: key.start }),
                Ordering::Greater => return Err(CborError::UnsortedKeys { at: key.start }),
            }
        } else {
            self.key_start = end;
        }
        Ok(self.left == 0)
    }
}

pub(crate) const BYTES: u8 = 2;
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;
const FALSE: u64 = 20;
const TRUE: u64 = 21;
const NULL: u64 = 22;
const TAG_18: u8 = 0xd2;
const VERSION_KEY: u8 = 0;

#[cfg(test)]
mod tests;
