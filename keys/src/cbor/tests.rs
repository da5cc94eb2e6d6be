//! The checker against hand-made bytes, and against a second, lenient and recursive reader.

use minicbor::data::{Int, Type};
use proptest::prelude::*;

use super::*;

#[derive(Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct Small {
    #[n(1)]
    number: i64,
    #[n(2)]
    text: Option<String>,
}

/// The same payload as a later version writes it.
#[derive(Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
struct SmallLater {
    #[n(1)]
    number: i64,
    #[n(2)]
    text: Option<String>,
    #[n(300)]
    more: Option<u8>,
}

fn verdict(bytes: &[u8]) -> Result<(), CborError> {
    check(bytes, &Limits::DEFAULT)
}

#[test]
fn deterministic_items_are_accepted() {
    let items: [&[u8]; 18] = [
        b"\x00",
        b"\x17",
        b"\x18\x18",
        b"\x19\x01\x00",
        b"\x1a\x00\x01\x00\x00",
        b"\x1b\x00\x00\x00\x01\x00\x00\x00\x00",
        b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x40",
        b"\x43\x00\xff\x00",
        b"\x60",
        b"\x63\xe4\xb8\x89",
        b"\x80",
        b"\x82\x01\x82\x02\x03",
        b"\xa0",
        b"\xa2\x01\x02\x02\x80",
        // Shorter keys first, then bytewise; keys of every type.
        b"\xa4\x17\x00\x20\x00\x61b\x00\x62aa\x00",
        b"\xa1\x82\x01\x02\xa1\x00\x00",
        b"\x83\xf4\xf5\xf6",
    ];
    for bytes in items {
        assert_eq!(verdict(bytes), Ok(()), "{bytes:02x?}");
    }
}

#[test]
fn every_other_spelling_is_refused_with_its_reason() {
    use CborError as E;
    let cases: &[(&[u8], CborError)] = &[
        (b"", E::Truncated { at: 0 }),
        (b"\x00\x00", E::Trailing { at: 1 }),
        (b"\x18", E::Truncated { at: 0 }),
        (b"\x18\x17", E::NotShortest { at: 0 }),
        (b"\x38\x00", E::NotShortest { at: 0 }),
        (b"\x19\x00\xff", E::NotShortest { at: 0 }),
        (b"\x1a\x00\x00\xff\xff", E::NotShortest { at: 0 }),
        (
            b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
            E::NotShortest { at: 0 },
        ),
        (b"\x58\x01\x00", E::NotShortest { at: 0 }),
        (b"\x98\x01\x00", E::NotShortest { at: 0 }),
        (b"\xb8\x00", E::NotShortest { at: 0 }),
        (b"\x5f\x41\x00\xff", E::Indefinite { at: 0 }),
        (b"\x7f\xff", E::Indefinite { at: 0 }),
        (b"\x9f\xff", E::Indefinite { at: 0 }),
        (b"\x81\xbf\xff", E::Indefinite { at: 1 }),
        (b"\xff", E::Forbidden { at: 0 }),
        (b"\x1f", E::Forbidden { at: 0 }),
        (b"\x1c", E::Forbidden { at: 0 }),
        (b"\xf7", E::Forbidden { at: 0 }),
        (b"\xe0", E::Forbidden { at: 0 }),
        (b"\xf8\x14", E::Forbidden { at: 0 }),
        (b"\xf8\xff", E::Forbidden { at: 0 }),
        (b"\xf9\x00\x00", E::Forbidden { at: 0 }),
        (b"\xf9\x00\x14", E::Forbidden { at: 0 }),
        (b"\xfa\x00\x00\x00\x14", E::Forbidden { at: 0 }),
        (
            b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00",
            E::Forbidden { at: 0 },
        ),
        (b"\xc0\x00", E::Tag { at: 0 }),
        (b"\xd2\x80", E::Tag { at: 0 }),
        (b"\x42\x00", E::Truncated { at: 0 }),
        (
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
            E::Truncated { at: 0 },
        ),
        (
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            E::Truncated { at: 0 },
        ),
        (
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
            E::Truncated { at: 0 },
        ),
        (b"\x82\x00", E::Truncated { at: 0 }),
        (b"\xa1\x00", E::Truncated { at: 0 }),
        (b"\x61\xff", E::NotUtf8 { at: 0 }),
        (b"\x63\xed\xa0\x80", E::NotUtf8 { at: 0 }),
        (b"\xa2\x02\x00\x01\x00", E::UnsortedKeys { at: 3 }),
        (b"\xa2\x62aa\x00\x61b\x00", E::UnsortedKeys { at: 5 }),
        (b"\xa2\x01\x00\x01\x00", E::DuplicateKey { at: 3 }),
        (b"\xa2\x81\x01\x00\x81\x01\x00", E::DuplicateKey { at: 4 }),
        (b"\xa1\x00\xa2\x01\x00\x01\x00", E::DuplicateKey { at: 5 }),
    ];
    for (bytes, error) in cases {
        assert_eq!(verdict(bytes), Err(*error), "{bytes:02x?}");
    }
}

#[test]
fn depth_and_size_have_limits_and_no_depth_exhausts_the_stack() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0x00]].concat();
    assert_eq!(verdict(&nested(16)), Ok(()));
    assert_eq!(verdict(&nested(17)), Err(CborError::TooDeep { at: 16 }));
    assert_eq!(
        verdict(&vec![0x81; 1 << 20]),
        Err(CborError::TooDeep { at: 16 })
    );
    let empty_inside = [vec![0x81; 16], vec![0x80]].concat();
    assert_eq!(verdict(&empty_inside), Err(CborError::TooDeep { at: 16 }));
    let limits = Limits::DEFAULT.with_size(3);
    assert_eq!(check(b"\x42\x00\x00", &limits), Ok(()));
    let too_long = CborError::TooLong { max: 3, found: 4 };
    assert_eq!(check(b"\x43\x00\x00\x00", &limits), Err(too_long));
    assert_eq!(
        check(b"\x80", &Limits { depth: 0, ..limits }),
        Err(CborError::TooDeep { at: 0 })
    );
}

#[test]
fn tag_18_is_accepted_outermost_and_on_request_only() {
    let limits = Limits {
        allow_tag18: true,
        ..Limits::DEFAULT
    };
    assert_eq!(check(b"\xd2\x81\x01", &limits), Ok(()));
    assert_eq!(
        check(b"\x81\xd2\x01", &limits),
        Err(CborError::Tag { at: 1 })
    );
    assert_eq!(
        check(b"\xd2\xd2\x01", &limits),
        Err(CborError::Tag { at: 1 })
    );
    assert_eq!(check(b"\xd2", &limits), Err(CborError::Truncated { at: 1 }));
    assert_eq!(
        check(b"\xd8\x12\x01", &limits),
        Err(CborError::NotShortest { at: 0 })
    );
}

#[test]
fn an_old_reader_skips_keys_it_does_not_know() {
    let later = SmallLater {
        number: -5,
        text: Some("x".into()),
        more: Some(9),
    };
    let bytes = to_vec_versioned(&later, 1);
    let small = from_slice_versioned::<Small>(&bytes, 1);
    assert_eq!(
        small,
        Ok(Small {
            number: -5,
            text: Some("x".into())
        })
    );
    let bytes = to_vec_versioned(
        &Small {
            number: 1,
            text: None,
        },
        1,
    );
    let later = from_slice_versioned::<SmallLater>(&bytes, 2);
    assert_eq!(
        later,
        Ok(SmallLater {
            number: 1,
            text: None,
            more: None
        })
    );
}

#[test]
fn a_newer_version_is_told_apart_from_nonsense() {
    let small = Small {
        number: 1,
        text: None,
    };
    let read = |bytes: &[u8]| from_slice_versioned::<Small>(bytes, 1);
    let bytes = to_vec_versioned(&small, 1);
    assert_eq!(bytes, b"\xa2\x00\x01\x01\x01");
    assert_eq!(read(&bytes), Ok(small));
    // Even when nothing else of it can be read.
    assert_eq!(
        read(b"\xa1\x00\x02"),
        Err(DecodeError::NewerVersion { found: 2 })
    );
    let newest = b"\xa1\x00\x1b\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_eq!(
        read(newest),
        Err(DecodeError::NewerVersion { found: u64::MAX })
    );
    let versionless: [&[u8]; 6] = [
        b"\xa1\x01\x01",
        b"\xa0",
        b"\x00",
        b"\xa2\x00\x00\x01\x01",
        b"\xa2\x00\x20\x01\x01",
        b"\xa2\x00\x61\x31\x01\x01",
    ];
    for bytes in versionless {
        assert_eq!(read(bytes), Err(DecodeError::NoVersion), "{bytes:02x?}");
    }
    assert!(matches!(read(b"\xa1\x00\x01"), Err(DecodeError::Shape(_))));
    assert!(matches!(
        read(b"\xa2\x00\x01\x01\x60"),
        Err(DecodeError::Shape(_))
    ));
    assert!(matches!(
        read(b"\xa2\x00\x01\x00\x01"),
        Err(DecodeError::Cbor(_))
    ));
}

#[test]
#[should_panic(expected = "key 0 of a payload is its version")]
fn a_type_that_uses_the_version_key_itself_is_caught() {
    #[derive(Encode)]
    #[cbor(map)]
    struct Clash {
        #[n(0)]
        version: u8,
    }
    to_vec_versioned(&Clash { version: 1 }, 1);
}

/// A value of the model, for generating bytes.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    Int(Int),
    Bytes(Vec<u8>),
    Text(String),
    Bool(bool),
    Null,
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

impl Item {
    /// Writes the canonical form; `None` if a map has a key twice.
    fn canonical(&self) -> Option<Vec<u8>> {
        let mut e = minicbor::Encoder::new(Vec::new());
        match self {
            Self::Int(int) => e.int(*int).unwrap(),
            Self::Bytes(bytes) => e.bytes(bytes).unwrap(),
            Self::Text(text) => e.str(text).unwrap(),
            Self::Bool(value) => e.bool(*value).unwrap(),
            Self::Null => e.null().unwrap(),
            Self::Array(items) => {
                e.array(items.len() as u64).unwrap();
                for item in items {
                    e.writer_mut().extend(item.canonical()?);
                }
                &mut e
            }
            Self::Map(pairs) => {
                let sorted = pairs
                    .iter()
                    .map(|(key, value)| Some((key.canonical()?, value.canonical()?)))
                    .collect::<Option<std::collections::BTreeMap<_, _>>>()?;
                if sorted.len() != pairs.len() {
                    return None;
                }
                e.map(sorted.len() as u64).unwrap();
                for (key, value) in sorted {
                    e.writer_mut().extend([key, value].concat());
                }
                &mut e
            }
        };
        Some(e.into_writer())
    }

    /// Reads one item in any spelling the lenient decoder takes.
    fn read(d: &mut Decoder<'_>, depth: usize) -> Option<Self> {
        match d.datatype().ok()? {
            Type::Bool => d.bool().ok().map(Self::Bool),
            Type::Null => d.null().ok().map(|()| Self::Null),
            Type::Bytes => d.bytes().ok().map(|bytes| Self::Bytes(bytes.to_vec())),
            Type::String => d.str().ok().map(|text| Self::Text(text.to_owned())),
            Type::Array if depth > 0 => {
                let count = d.array().ok()??;
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(Self::read(d, depth - 1)?);
                }
                Some(Self::Array(items))
            }
            Type::Map if depth > 0 => {
                let count = d.map().ok()??;
                let mut pairs = Vec::new();
                for _ in 0..count {
                    pairs.push((Self::read(d, depth - 1)?, Self::read(d, depth - 1)?));
                }
                Some(Self::Map(pairs))
            }
            Type::Array | Type::Map => None,
            _ => d.int().ok().map(Self::Int),
        }
    }
}

/// Tells whether bytes are deterministic by reading them leniently and writing them again.
fn is_deterministic_by_model(bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new(bytes);
    Item::read(&mut decoder, Limits::DEFAULT.depth)
        .filter(|_| decoder.position() == bytes.len())
        .and_then(|item| item.canonical())
        .is_some_and(|canonical| canonical == bytes)
}

fn item() -> impl Strategy<Value = Item> {
    let edge = prop::sample::select(vec![0, 1, 23, 24, 255, 256, 65_535, 65_536, u64::MAX]);
    let leaf = prop_oneof![
        edge.prop_map(|n| Item::Int(Int::from(n))),
        any::<i64>().prop_map(|n| Item::Int(Int::from(n))),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(Item::Bytes),
        "\\PC{0,12}".prop_map(Item::Text),
        any::<bool>().prop_map(Item::Bool),
        Just(Item::Null),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Item::Array),
            prop::collection::vec(pair, 0..5).prop_map(Item::Map),
        ]
    })
}

/// Bytes that often look like CBOR: heads of every kind before random content.
fn cbor_like() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => prop::sample::select(b"\x00\x01\x17\x18\x20\x40\x41\x60\x61\x80\x81\x82\xa0\xa1\xa2\
                                    \xf4\xf6\xf7\xf9\xd2\x9f\xff"
            .to_vec()),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_judged_as_the_model_judges_them(bytes in cbor_like()) {
        prop_assert_eq!(verdict(&bytes).is_ok(), is_deterministic_by_model(&bytes));
    }

    #[test]
    fn canonical_bytes_are_accepted_and_their_mutations_judged_as_the_model_does(
        item in item(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let Some(mut bytes) = item.canonical() else { return Ok(()) };
        prop_assert_eq!(verdict(&bytes), Ok(()));
        for (place, byte, how) in changes {
            let at = place.index(bytes.len() + 1);
            match how {
                0 => bytes.insert(at, byte),
                1 => drop(bytes.splice(at..bytes.len().min(at + 1), [byte])),
                _ => bytes.truncate(at),
            }
        }
        prop_assert_eq!(verdict(&bytes).is_ok(), is_deterministic_by_model(&bytes));
    }

    #[test]
    fn decoding_any_bytes_never_panics(bytes in prop_oneof![cbor_like(), prop::collection::vec(any::<u8>(), 0..300)]) {
        let _ = from_slice::<SmallLater>(&bytes);
        let _ = from_slice_versioned::<Small>(&bytes, 1);
        let _ = crate::Chain::from_bytes(&bytes);
        let _ = <crate::Certificate as crate::Payload>::from_bytes(&bytes);
        let _ = crate::Signed::<crate::Certificate>::from_bytes(bytes);
    }
}
