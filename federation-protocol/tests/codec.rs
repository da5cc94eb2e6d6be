//! What hostile bytes can do to the codec: nothing. Every message survives its bytes, every changed
//! byte is refused or read as something else that is again within the limits, and every limit holds.

// Clippy's leave for tests covers test functions, not what they call.
#![allow(clippy::unwrap_used)]

use federation_protocol::{
    Child, DossierPart, Draft, Entry, EntryError, HeadItem, Hello, Hlc, LogId, LogKey, Message,
    Misbehaved, Part, Period, Reach, Receipt, ReceiptHead, Step, limits,
};
use keys::{
    CborError, DecodeError, Hash, Payload, Secret, Signed, StoreEpoch, UnitId, UnitKey, VerifyError,
};
use minicbor::bytes::ByteVec;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::from_bytes)
}

fn log() -> impl Strategy<Value = LogId> {
    any::<[u8; 32]>().prop_map(LogId::from_bytes)
}

fn unit() -> impl Strategy<Value = UnitId> {
    "[a-z0-9][a-z0-9.-]{0,39}".prop_map(|text| text.parse().unwrap())
}

fn period() -> impl Strategy<Value = Period> {
    (1900..3000_u16, 1..=4_u8).prop_map(|(year, term)| Period::new(year, term).unwrap())
}

fn reach() -> impl Strategy<Value = Reach> {
    prop_oneof![
        Just(Reach::Own),
        "[a-z][a-z0-9-]{0,19}".prop_map(|tier| Reach::Up(tier.parse().unwrap())),
        Just(Reach::Below),
        unit().prop_map(Reach::To),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<u8>().prop_map(Step::Bucket),
        unit().prop_map(Step::Unit),
        option::of(period()).prop_map(Step::Period),
    ]
}

fn bytes(max: usize) -> impl Strategy<Value = ByteVec> {
    vec(any::<u8>(), 0..max).prop_map(ByteVec::from)
}

fn hello() -> impl Strategy<Value = Hello> {
    let fields = (
        any::<[u8; 2]>(),
        any::<[u8; 32]>(),
        bytes(300),
        any::<[u8; 16]>(),
    );
    (fields, any::<u64>(), "[a-z 0-9.]{0,40}").prop_map(
        |(([version, version_min], root, chain, epoch), clock_ms, software)| Hello {
            version,
            version_min,
            root: UnitKey::from_bytes(root),
            chain,
            epoch: StoreEpoch::from_bytes(epoch),
            clock_ms,
            software,
        },
    )
}

fn head_item() -> impl Strategy<Value = HeadItem> {
    (log(), any::<u64>(), hash(), option::of(any::<u64>())).prop_map(
        |(log, seq_num, hash, forked)| HeadItem {
            log,
            seq_num,
            hash,
            forked,
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let child = (step(), hash()).prop_map(|(step, digest)| Child { step, digest });
    prop_oneof![
        hello().prop_map(Message::Hello),
        (hash(), hash()).prop_map(|(all, receipts)| Message::Summary(all, receipts)),
        (vec(step(), 0..limits::DIGEST_PATH_MAX), vec(child, 0..20))
            .prop_map(|(path, children)| Message::Digest(path, children)),
        (
            unit(),
            option::of(period()),
            vec(head_item(), 0..20),
            any::<bool>()
        )
            .prop_map(|(unit, period, heads, answer)| Message::Heads(unit, period, heads, answer)),
        vec(bytes(100), 0..20).prop_map(Message::Entries),
        (bytes(100), bytes(100)).prop_map(|(first, second)| Message::Fork(first, second)),
        bytes(200).prop_map(Message::Receipt),
        "[ -~]{0,200}".prop_map(Message::Refused),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        (
            "[a-z]{0,64}",
            option::of(any::<[u8; 32]>()),
            vec(any::<u8>(), 0..200)
        )
            .prop_map(|(subject, secret, change)| Part::Dossier(DossierPart {
                subject,
                secret,
                change
            })),
        ("[a-z/0-9]{0,40}", vec(any::<u8>(), 0..200))
            .prop_map(|(domain, bytes)| Part::Statement { domain, bytes }),
    ]
}

fn draft(parts: Vec<Part>, reach: Reach, period: Option<Period>, seq_num: u64) -> Draft {
    Draft {
        key: LogKey {
            author: Secret::from_seed([1; 32]).node_key(),
            epoch: StoreEpoch::from_bytes([2; 16]),
            unit: "school".parse().unwrap(),
            reach,
            period,
        },
        seq_num,
        backlink: (seq_num > 0).then(|| Hash::of(b"before")),
        hlc: Hlc::from_ms(1),
        parts,
    }
}

fn sign(draft: &Draft) -> Vec<u8> {
    draft.sign(
        &Secret::from_seed([1; 32]),
        &mut ChaCha20Rng::seed_from_u64(3),
    )
}

proptest! {
    // protocol.md R1, R21
    #[test]
    fn a_message_survives_its_bytes(message in message()) {
        prop_assert_eq!(Message::from_bytes(&message.to_bytes()), Ok(message));
    }

    #[test]
    fn an_entry_survives_its_bytes(
        parts in vec(part(), 1..8),
        reach in reach(),
        period in option::of(period()),
        seq_num in any::<u64>(),
    ) {
        let draft = draft(parts, reach, period, seq_num);
        let records = draft.parts.iter().any(|part| !matches!(part, Part::Statement { .. }));
        let entry = Entry::verify(sign(&draft));
        if records && draft.key.reach == Reach::Below {
            prop_assert_eq!(entry.err(), Some(EntryError::Header { what: "records below" }));
        } else {
            let entry = entry.unwrap();
            prop_assert_eq!(entry.key(), &draft.key);
            prop_assert_eq!(entry.log(), draft.key.id());
            prop_assert_eq!(entry.parts().cloned().collect::<Vec<_>>(), draft.parts);
        }
    }

    // protocol.md R1, R21
    #[test]
    fn a_changed_message_is_refused_or_has_one_spelling(
        message in message(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut bytes = message.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(read) = Message::from_bytes(&bytes) {
            // What is read is what was written: no second spelling of one message.
            prop_assert_eq!(read.to_bytes(), bytes);
        }
    }

    #[test]
    fn cut_lengthened_and_random_bytes_never_panic(
        message in message(),
        at in any::<prop::sample::Index>(),
        noise in vec(any::<u8>(), 0..300),
    ) {
        let bytes = message.to_bytes();
        prop_assert!(Message::from_bytes(&bytes[..at.index(bytes.len())]).is_err());
        prop_assert!(Message::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        let _ = Message::from_bytes(&noise);
        let _ = Entry::verify(noise.clone());
        let _ = keys::Chain::from_bytes(&noise);
        if let Ok(signed) = Signed::<Receipt>::from_bytes(noise) {
            prop_assert!(signed.verify().is_err());
        }
    }

    // protocol.md R4
    #[test]
    fn a_changed_entry_is_refused(
        parts in vec(part(), 1..4),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let mut bytes = sign(&draft(parts, Reach::Own, None, 0));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(Entry::verify(bytes).is_err());
    }
}

fn too_many(message: &Message) {
    assert_eq!(
        Message::from_bytes(&message.to_bytes()),
        Err(Misbehaved::Message { what: "count" }),
        "{}",
        message.name()
    );
}

// protocol.md R21
#[test]
fn every_count_and_size_of_a_message_has_its_limit() {
    let unit: UnitId = "u".parse().unwrap();
    let child = |n: u32| Child {
        step: Step::Unit(format!("u{n}").parse().unwrap()),
        digest: Hash::of(b""),
    };
    let children = |count: usize| (0..count).map(|n| child(n as u32)).collect::<Vec<_>>();
    let max = limits::DIGEST_CHILDREN_MAX;
    assert!(Message::from_bytes(&Message::Digest(vec![], children(max)).to_bytes()).is_ok());
    too_many(&Message::Digest(vec![], children(max + 1)));
    too_many(&Message::Digest(
        vec![Step::Bucket(0); limits::DIGEST_PATH_MAX],
        vec![],
    ));

    let head = HeadItem {
        log: LogId::from_bytes([1; 32]),
        seq_num: u64::MAX,
        hash: Hash::of(b""),
        forked: Some(u64::MAX),
    };
    let heads = |count| Message::Heads(unit.clone(), None, vec![head; count], true);
    let full = heads(limits::HEADS_MAX).to_bytes();
    assert!(Message::from_bytes(&full).is_ok());
    // The largest message of hashes, which do not compress, fits a frame as it is.
    assert!(full.len() < 256 * 1024, "{}", full.len());
    too_many(&heads(limits::HEADS_MAX + 1));

    let entries = |count| Message::Entries(vec![ByteVec::from(vec![0]); count]);
    assert!(Message::from_bytes(&entries(limits::ENTRIES_COUNT_MAX).to_bytes()).is_ok());
    too_many(&entries(limits::ENTRIES_COUNT_MAX + 1));
    too_many(&Message::Refused("x".repeat(limits::REASON_SIZE_MAX + 1)));
    too_many(&Message::Hello(Hello {
        version: 1,
        version_min: 1,
        root: UnitKey::from_bytes([1; 32]),
        chain: ByteVec::from(vec![]),
        epoch: StoreEpoch::from_bytes([1; 16]),
        clock_ms: 0,
        software: "x".repeat(limits::SOFTWARE_SIZE_MAX + 1),
    }));
    let long = Message::Receipt(ByteVec::from(vec![0; limits::MESSAGE_SIZE_MAX]));
    let refused = Message::from_bytes(&long.to_bytes());
    assert_eq!(refused, Err(Misbehaved::Message { what: "size" }));
}

// protocol.md R20, R21
#[test]
fn what_is_gathered_into_one_message_fits_a_frame_even_if_nothing_compresses() {
    let overhead = limits::ENTRIES_COUNT_MAX * 3 + 16;
    assert!(limits::ENTRIES_BYTES_MAX + overhead < 256 * 1024);
    let evidence = Message::Fork(
        vec![0; limits::ENTRY_SIZE_MAX].into(),
        vec![0; limits::ENTRY_SIZE_MAX].into(),
    );
    assert!(evidence.to_bytes().len() < 256 * 1024);
    let head = ReceiptHead {
        log: LogId::from_bytes([1; 32]),
        seq_num: u64::MAX,
        hash: Hash::of(b""),
    };
    let receipt = Receipt {
        issuer: "a".repeat(40).parse().unwrap(),
        unit: "b".repeat(40).parse().unwrap(),
        heads: vec![head; limits::HEADS_MAX],
        time_ms: u64::MAX,
    };
    assert!(receipt.to_bytes().len() + keys::signed::OVERHEAD_MAX < 255 * 1024);
}

// protocol.md R6
#[test]
fn every_count_and_size_of_an_entry_has_its_limit() {
    let statement = |size| Part::Statement {
        domain: "x".to_owned(),
        bytes: vec![0; size],
    };
    let verify = |parts: Vec<Part>| Entry::verify(sign(&draft(parts, Reach::Own, None, 0)));
    assert!(verify(vec![statement(limits::STATEMENT_SIZE_MAX)]).is_ok());
    assert_eq!(
        verify(vec![statement(limits::STATEMENT_SIZE_MAX + 1)]).err(),
        Some(EntryError::Part)
    );
    let two = vec![statement(limits::STATEMENT_SIZE_MAX), statement(5_000)];
    assert!(matches!(verify(two), Err(EntryError::TooLarge { .. })));
    let many = vec![statement(0); limits::ENTRY_PARTS_MAX + 1];
    let count = limits::ENTRY_PARTS_MAX + 1;
    assert_eq!(verify(many).err(), Some(EntryError::PartCount { count }));
    assert_eq!(
        verify(vec![]).err(),
        Some(EntryError::PartCount { count: 0 })
    );
    let subject = "x".repeat(limits::SUBJECT_SIZE_MAX + 1);
    let dossier = Part::Dossier(DossierPart {
        subject,
        secret: None,
        change: vec![],
    });
    assert_eq!(verify(vec![dossier]).err(), Some(EntryError::Part));
    let domain = "x".repeat(limits::DOMAIN_SIZE_MAX + 1);
    assert_eq!(
        verify(vec![Part::Statement {
            domain,
            bytes: vec![]
        }])
        .err(),
        Some(EntryError::Part)
    );
}

// protocol.md R7
#[test]
fn only_the_first_entry_has_no_backlink() {
    let part = || {
        vec![Part::Statement {
            domain: "x".to_owned(),
            bytes: vec![],
        }]
    };
    for (seq_num, backlink, good) in [
        (0, None, true),
        (1, Some(Hash::of(b"")), true),
        (0, Some(Hash::of(b"")), false),
        (1, None, false),
    ] {
        let mut draft = draft(part(), Reach::Own, None, seq_num);
        draft.backlink = backlink;
        assert_eq!(
            Entry::verify(sign(&draft)).is_ok(),
            good,
            "{seq_num} {backlink:?}"
        );
    }
}

/// Changes a header's bytes and signs them anew: what a newer release might write.
struct Newer(Vec<u8>);

impl Payload for Newer {
    const DOMAIN: keys::Domain = keys::Domain::Entry;

    fn to_bytes(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(bytes.to_vec()))
    }
}

fn with_header(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let part = Part::Statement {
        domain: "sanji/9/unheard-of".to_owned(),
        bytes: vec![1, 2],
    };
    let entry = Entry::verify(sign(&draft(vec![part], Reach::Own, None, 0))).unwrap();
    let mut header = entry.header().to_bytes();
    change(&mut header);
    let envelope = Signed::sign(&Newer(header), &Secret::from_seed([1; 32]));
    let old = entry.bytes();
    // The parts as they stand: behind the array's head and the envelope's byte string.
    let mut d = minicbor::Decoder::new(old);
    d.array().unwrap();
    d.bytes().unwrap();
    let parts = &old[d.position()..];
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(2).unwrap().bytes(envelope.bytes()).unwrap();
    [e.into_writer().as_slice(), parts].concat()
}

// protocol.md R1
#[test]
fn an_unknown_key_is_skipped_and_kept_and_a_newer_version_is_told_apart_from_a_wrong_one() {
    let plain = with_header(|_| {});
    assert!(Entry::verify(plain.clone()).is_ok());
    // One more key, of a later release that is still version 1.
    let later = with_header(|header| {
        assert_eq!(header[0] & 0xe0, 0xa0, "a short map");
        header[0] += 1;
        header.extend_from_slice(&[0x18, 0x63, 0x01]);
    });
    let entry = Entry::verify(later.clone()).unwrap();
    assert_eq!(entry.bytes(), later, "what is forwarded is what came");
    let unheard_of = entry.parts().next().unwrap();
    assert!(matches!(unheard_of, Part::Statement { domain, .. } if domain == "sanji/9/unheard-of"));
    // Version 2.
    let newer = Entry::verify(with_header(|header| header[2] = 2)).unwrap_err();
    assert_eq!(newer.newer_version(), Some(2));
    // In a message it is left out; the peer is not to blame, and the rest is read.
    let newer = with_header(|header| header[2] = 2);
    let mut message = Message::Entries(vec![newer.into(), plain.clone().into()]);
    let (entries, left_out) = message.take_entries().unwrap();
    assert_eq!((entries.len(), left_out), (1, 1));
    let wrong = Entry::verify(with_header(|header| header[2] = 0)).unwrap_err();
    assert_eq!(
        wrong,
        EntryError::Verify(VerifyError::Payload(DecodeError::NoVersion))
    );
    assert_eq!(wrong.newer_version(), None);
    // The same facts, spelled otherwise.
    let long = with_header(|header| drop(header.splice(2..3, [0x18, 0x01])));
    let error = Entry::verify(long).unwrap_err();
    let expected = DecodeError::Cbor(CborError::NotShortest { at: 2 });
    assert_eq!(error, EntryError::Verify(VerifyError::Payload(expected)));
}

// protocol.md R24
#[test]
fn a_node_key_on_the_line_is_the_44_bytes_of_rfc_8410_and_nothing_else() {
    let key = Secret::from_seed([1; 32]).node_key();
    let der = key.to_spki_der();
    let prefix = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    assert_eq!(der, [&prefix[..], key.as_bytes()].concat());
    assert_eq!(keys::NodeKey::from_spki_der(&der), Ok(key));
    // The neutral point: everyone could sign under it.
    let mut weak = [0; 32];
    weak[0] = 1;
    let weak = [&prefix[..], &weak].concat();
    assert_eq!(
        keys::NodeKey::from_spki_der(&weak),
        Err(keys::KeyError::Weak)
    );
}

// protocol.md R2
#[test]
fn a_signature_of_another_domain_is_no_entry() {
    struct Stranger(Vec<u8>);
    impl Payload for Stranger {
        const DOMAIN: keys::Domain = keys::Domain::Receipt;

        fn to_bytes(&self) -> Vec<u8> {
            self.0.clone()
        }

        fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
            Ok(Self(bytes.to_vec()))
        }
    }
    let entry = Entry::verify(with_header(|_| {})).unwrap();
    let stranger = Signed::sign(
        &Stranger(entry.header().to_bytes()),
        &Secret::from_seed([1; 32]),
    );
    assert!(stranger.verify().is_ok());
    let same: Signed<federation_protocol::Header> = Signed::from_bytes(stranger.bytes()).unwrap();
    assert_eq!(same.verify().err(), Some(VerifyError::Signature));
}
