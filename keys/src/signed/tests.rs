//! Forged, bent and misplaced envelopes.

use super::*;
use crate::identity::{TierName, UnitId};
use crate::{CborError, Certificate, Scope, Subject};

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
struct Note {
    #[n(1)]
    text: String,
}
crate::payload!(Note, Domain::Step);

/// The same shape in another domain.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
struct OtherNote {
    #[n(1)]
    text: String,
}
crate::payload!(OtherNote, Domain::Seal);

/// The same domain, a version later.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
struct LaterNote {
    #[n(1)]
    text: u64,
}
crate::payload!(LaterNote, Domain::Step, 2);

/// A payload that is whatever bytes it is given.
struct Raw(Vec<u8>);
impl Payload for Raw {
    const DOMAIN: Domain = Domain::Step;

    fn to_bytes(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(bytes.to_vec()))
    }
}

fn secret() -> Secret {
    Secret::from_seed([7; 32])
}

fn note() -> Note {
    Note {
        text: "served 4 hours".into(),
    }
}

fn reread<T>(bytes: Vec<u8>) -> Signed<T> {
    Signed::from_bytes(bytes).unwrap()
}

#[test]
fn what_was_signed_is_verified_by_whoever_gets_the_bytes() {
    let signed = Signed::sign(&note(), &secret());
    let again: Signed<Note> = reread(signed.bytes().to_vec());
    assert_eq!((&again, again.id()), (&signed, Hash::of(signed.bytes())));
    let verified = again.verify().unwrap();
    assert_eq!(verified.value(), &note());
    assert_eq!(verified.signer().as_node(), secret().node_key());
    assert_eq!(verified.signer().as_unit(), secret().unit_key());
    assert_eq!(verified.signer().as_person(), secret().person_key());
    assert_eq!(
        (verified.bytes(), verified.id()),
        (signed.bytes(), signed.id())
    );
    assert_eq!(verified.signed(), &signed);
    assert_eq!(verified.into_value(), note());
}

#[test]
fn an_envelope_is_deterministic_cose_under_tag_18() {
    let signed = Signed::sign(&note(), &secret());
    assert_eq!(signed, Signed::sign(&note(), &secret()));
    let limits = cbor::Limits {
        allow_tag18: true,
        ..cbor::Limits::DEFAULT
    };
    assert_eq!(cbor::check(signed.bytes(), &limits), Ok(()));
    assert_eq!(
        cbor::check(signed.bytes(), &cbor::Limits::DEFAULT),
        Err(CborError::Tag { at: 0 })
    );
    for size in [0, 1, 23, 24, 255, 256, 65_535, 65_536, PAYLOAD_SIZE_MAX] {
        let signed = Signed::sign(&Raw(vec![5; size]), &secret());
        assert!(signed.bytes().len() <= size + OVERHEAD_MAX);
        assert_eq!(cbor::check(signed.bytes(), &limits), Ok(()), "{size}");
        assert_eq!(
            reread::<Raw>(signed.bytes().to_vec())
                .verify()
                .unwrap()
                .value()
                .0
                .len(),
            size
        );
    }
}

#[test]
fn every_single_bit_flip_is_refused() {
    let bytes = Signed::sign(&note(), &secret()).bytes().to_vec();
    for bit in 0..bytes.len() * 8 {
        let mut bent = bytes.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let verdict = Signed::<Note>::from_bytes(bent).map(|signed| signed.verify());
        assert!(
            !matches!(verdict, Ok(Ok(_))),
            "flip of bit {bit} was accepted"
        );
    }
}

#[test]
fn every_truncation_and_every_extension_is_refused() {
    let bytes = Signed::sign(&note(), &secret()).bytes().to_vec();
    for length in 0..bytes.len() {
        assert!(
            Signed::<Note>::from_bytes(&bytes[..length]).is_err(),
            "{length}"
        );
    }
    let extended = [&bytes[..], &[0]].concat();
    assert!(Signed::<Note>::from_bytes(extended).is_err());
}

#[test]
fn a_signature_does_not_count_in_another_domain() {
    let bytes = Signed::sign(&note(), &secret()).bytes().to_vec();
    assert_eq!(
        reread::<OtherNote>(bytes).verify().unwrap_err(),
        VerifyError::Signature
    );
}

#[test]
fn a_signature_does_not_count_under_another_key() {
    let mut bytes = Signed::sign(&note(), &secret()).bytes().to_vec();
    bytes[PREFIX.len()..][..32].copy_from_slice(Secret::from_seed([8; 32]).node_key().as_bytes());
    assert_eq!(
        reread::<Note>(bytes).verify().unwrap_err(),
        VerifyError::Signature
    );
}

#[test]
fn a_payload_of_a_newer_version_is_told_apart_from_a_bad_one() {
    let later = Signed::sign(&LaterNote { text: 5 }, &secret());
    let newer = VerifyError::Payload(DecodeError::NewerVersion { found: 2 });
    assert_eq!(
        reread::<Note>(later.bytes().to_vec()).verify().unwrap_err(),
        newer
    );
    for payload in [
        &b"\xa1\x00\x01"[..],
        b"\xa2\x00\x01\x01\x05",
        b"",
        b"\xff",
        b"\xa0",
    ] {
        let signed = Signed::sign(&Raw(payload.to_vec()), &secret());
        let error = reread::<Note>(signed.bytes().to_vec())
            .verify()
            .unwrap_err();
        assert!(matches!(error, VerifyError::Payload(_)), "{error}");
    }
}

#[test]
fn a_malleated_signature_is_refused() {
    /// The order of the group, little-endian.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut bytes = Signed::sign(&note(), &secret()).bytes().to_vec();
    let s = bytes.len() - 32;
    let mut carry = 0_u16;
    for (byte, l) in bytes[s..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(l) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert_eq!(
        reread::<Note>(bytes).verify().unwrap_err(),
        VerifyError::Signature
    );
}

#[test]
fn a_signature_with_a_commitment_of_small_order_is_refused() {
    // Made with the secret itself: R is the identity and S = H(R, A, M) * a, which satisfies the
    // cofactorless equation; only the strict rule refuses it.
    let s = "92ccb415ef11b518281f6417c00b3955c9f212a30c13655645fe42d6a53ab00e";
    let s: [u8; 32] = crate::newtype::parse_hex(s).unwrap();
    let mut bytes = Signed::sign(&note(), &secret()).bytes().to_vec();
    let signature = bytes.len() - 64;
    bytes[signature..].fill(0);
    bytes[signature] = 1;
    bytes[signature + 32..].copy_from_slice(&s);
    assert_eq!(
        reread::<Note>(bytes).verify().unwrap_err(),
        VerifyError::Signature
    );
}

/// Returns an envelope with this key, and a signature of R = `r`, S = 0.
fn forged(key: [u8; 32], r: [u8; 32]) -> Signed<Note> {
    let mut bytes = Signed::sign(&note(), &secret()).bytes().to_vec();
    bytes[PREFIX.len()..][..32].copy_from_slice(&key);
    let signature = bytes.len() - 64;
    bytes[signature..][..32].copy_from_slice(&r);
    bytes[signature + 32..].fill(0);
    reread(bytes)
}

#[test]
fn keys_of_small_order_are_refused_in_every_spelling() {
    let point = |hex: &str| -> [u8; 32] { crate::newtype::parse_hex(hex).unwrap() };
    let with_sign = |mut bytes: [u8; 32]| {
        bytes[31] ^= 0x80;
        bytes
    };
    let identity = point("0100000000000000000000000000000000000000000000000000000000000000");
    let small = [
        identity,
        point("0000000000000000000000000000000000000000000000000000000000000000"),
        point("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        point("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        point("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        // 0 and 1 again, as p and p + 1.
        point("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        point("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ];
    for key in small.into_iter().flat_map(|key| [key, with_sign(key)]) {
        let error = forged(key, identity).verify().unwrap_err();
        assert!(matches!(error, VerifyError::Key(_)), "{key:02x?}: {error}");
        let spki = NodeKey::from_bytes(key).to_spki_der();
        assert!(NodeKey::from_spki_der(&spki).is_err(), "{key:02x?}");
    }
    assert_eq!(
        forged(identity, identity).verify().unwrap_err(),
        VerifyError::Key(KeyError::Weak)
    );
}

#[test]
fn a_key_has_one_spelling() {
    // p + k for every k that fits into 255 bits: points or not, none is a key.
    for k in 0..19_u8 {
        for sign in [0x7f, 0xff] {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (0xed + k, sign);
            let error = forged(key, [1; 32]).verify().unwrap_err();
            assert!(matches!(error, VerifyError::Key(_)), "{k}: {error}");
        }
    }
}

#[test]
fn the_claimed_size_of_a_payload_is_bounded_before_it_is_believed() {
    let mut bytes = PREFIX.to_vec();
    bytes.extend([1; 32]);
    bytes.push(EMPTY_MAP);
    bytes.extend([0x5a, 0x00, 0x10, 0x00, 0x01]);
    let found = PAYLOAD_SIZE_MAX as u64 + 1;
    let error = EnvelopeError::TooLong {
        max: PAYLOAD_SIZE_MAX,
        found,
    };
    assert_eq!(Signed::<Note>::from_bytes(bytes).unwrap_err(), error);
}

#[test]
fn a_longer_spelling_of_the_payload_length_is_refused() {
    let bytes = Signed::sign(&note(), &secret()).bytes().to_vec();
    let at = PREFIX.len() + 32 + 1;
    assert_eq!(bytes[at], 0x40 | 19);
    let bent = [&bytes[..at], &[0x58, 19], &bytes[at + 1..]].concat();
    assert_eq!(
        Signed::<Note>::from_bytes(bent).unwrap_err(),
        EnvelopeError::Layout { at }
    );
}

#[test]
fn an_envelope_travels_inside_cbor_as_a_byte_string() {
    let signed = Signed::sign(&note(), &secret());
    let bytes = cbor::to_vec(&signed);
    assert_eq!(cbor::from_slice::<Signed<Note>>(&bytes), Ok(signed));
    assert!(cbor::from_slice::<Signed<Note>>(b"\x41\x00").is_err());
}

#[test]
fn a_certificate_survives_its_bytes_and_is_checked_when_read() {
    let certificate = Certificate {
        subject: Subject::Person(secret().person_key()),
        unit: UnitId::new("sh-014").unwrap(),
        tier: TierName::new("school").unwrap(),
        name: "n".repeat(80),
        issuer: UnitId::new("sh-014").unwrap(),
        scope: Scope::full(),
        not_before: 5,
        not_after: 6,
        nonce: [9; 16],
    };
    let read = |c: &Certificate| Certificate::from_bytes(&c.to_bytes());
    assert_eq!(read(&certificate), Ok(certificate.clone()));
    for name in ["", "a\nb", "\u{9b}2J", &"n".repeat(81)] {
        let bad = Certificate {
            name: name.to_owned(),
            ..certificate.clone()
        };
        assert!(matches!(read(&bad), Err(DecodeError::Shape(_))), "{name:?}");
    }
    let never = Certificate {
        not_after: 5,
        ..certificate
    };
    assert!(matches!(read(&never), Err(DecodeError::Shape(_))));
}
