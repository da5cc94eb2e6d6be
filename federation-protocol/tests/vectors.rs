//! The agreed bytes. `testdata/vectors.json` is what a second implementation is checked against, so it
//! changes only when the format does;
//! `SANJI_BLESS=1 cargo test -p federation-protocol --test vectors` writes it anew.

// Clippy's leave for tests covers test functions, not what they call.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use federation_protocol::{
    CHAIN_TAG, Child, DigestTree, DossierPart, Draft, Entry, HeadItem, Hello, Hlc, LedgerPart,
    LogKey, LogState, Message, Part, PartSlot, Period, Reach, Receipt, ReceiptHead, Step,
    merkle_root,
};
use keys::{Certificate, Chain, Hash, Payload, Scope, Secret, Signed, StoreEpoch, Subject, UnitId};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::{Value, json};

/// Returns the secret of a name: the seed is the hash of the name.
fn secret(name: &str) -> Secret {
    Secret::from_seed(*Hash::of(name.as_bytes()).as_bytes())
}

fn chain() -> Chain {
    let certificate = |subject, unit: &str, issuer: &str| Certificate {
        subject,
        unit: unit.parse().unwrap(),
        tier: unit.parse().unwrap(),
        name: format!("Test {unit}"),
        issuer: issuer.parse().unwrap(),
        scope: Scope::full(),
        not_before: 1_767_225_600_000,
        not_after: 1_830_297_600_000,
        nonce: [3; 16],
    };
    let node = certificate(Subject::Node(secret("node").node_key()), "school", "school");
    let school = certificate(Subject::Unit(secret("school").unit_key()), "school", "city");
    let signed = [
        Signed::sign(&node, &secret("school")),
        Signed::sign(&school, &secret("city")),
    ];
    Chain::new(signed.to_vec()).unwrap()
}

fn key(reach: Reach, period: Option<&str>) -> LogKey {
    LogKey {
        author: secret("node").node_key(),
        epoch: StoreEpoch::from_bytes([5; 16]),
        unit: "school".parse().unwrap(),
        reach,
        period: period.map(|period| period.parse().unwrap()),
    }
}

fn city() -> Reach {
    Reach::Up("city".parse().unwrap())
}

/// The log keys of the vectors: every reach, with and without a period.
fn log_keys() -> Vec<LogKey> {
    vec![
        key(Reach::Own, None),
        key(city(), Some("2026-1")),
        key(Reach::Below, None),
        key(Reach::To("school-2".parse().unwrap()), Some("2026-2")),
    ]
}

/// A statement log's first entry and two entries of a period, the last with one part erased.
fn entries() -> Vec<Entry> {
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let mut sign = |key: LogKey, before: Option<&Entry>, hlc, parts| {
        let draft = Draft {
            key,
            seq_num: before.map_or(0, |entry| entry.seq_num() + 1),
            backlink: before.map(Entry::hash),
            hlc,
            parts,
        };
        Entry::verify(draft.sign(&secret("node"), &mut rng)).unwrap()
    };
    let statement = Part::Statement {
        domain: CHAIN_TAG.to_owned(),
        bytes: chain().to_bytes(),
    };
    let dossier = |subject: &str, secret| {
        let change = b"an automerge change".to_vec();
        Part::Dossier(DossierPart {
            subject: subject.to_owned(),
            secret,
            change,
        })
    };
    let ledger = Part::Ledger(LedgerPart {
        subject: "S1".to_owned(),
        kind: Hash::of(b"a kind"),
        rows: vec![0x80],
    });
    let time = Hlc::from_ms(1_780_000_000_000);
    let first = sign(key(city(), None), None, time, vec![statement]);
    let key = key(city(), Some("2026-1"));
    let second = sign(
        key.clone(),
        None,
        time.tick(0),
        vec![dossier("S1", Some([9; 32]))],
    );
    let parts = vec![dossier("S1", None), ledger, dossier("S2", None)];
    let third = sign(key, Some(&second), time.tick(0).tick(0), parts);
    vec![first, second, third]
}

fn states() -> Vec<LogState> {
    let mut states: Vec<LogState> = log_keys()
        .into_iter()
        .zip(1..)
        .map(|(key, n)| LogState {
            key,
            head: federation_protocol::Head {
                seq_num: n,
                hash: Hash::of(&n.to_be_bytes()),
                hlc: Hlc::from_ms(n),
            },
            forked: None,
        })
        .collect();
    states[3].forked = Some(2);
    states
}

fn receipt() -> Receipt {
    let mut heads: Vec<ReceiptHead> = states()
        .iter()
        .take(2)
        .map(|state| ReceiptHead {
            log: state.key.id(),
            seq_num: state.head.seq_num,
            hash: state.head.hash,
        })
        .collect();
    heads.sort_by_key(|head| head.log);
    Receipt {
        issuer: "city".parse().unwrap(),
        unit: "school".parse().unwrap(),
        heads,
        time_ms: 1_780_000_000_000,
    }
}

fn messages() -> Vec<(&'static str, Message)> {
    let unit: UnitId = "school".parse().unwrap();
    let period: Period = "2026-1".parse().unwrap();
    let heads: Vec<HeadItem> = states()
        .iter()
        .map(|state| HeadItem {
            log: state.key.id(),
            seq_num: state.head.seq_num,
            hash: state.head.hash,
            forked: state.forked,
        })
        .collect();
    let hello = Hello {
        version: 1,
        version_min: 1,
        root: secret("city").unit_key(),
        chain: chain().to_bytes().into(),
        epoch: StoreEpoch::from_bytes([5; 16]),
        clock_ms: 1_780_000_000_000,
        software: "vectors".to_owned(),
    };
    let child = |step| Child {
        step,
        digest: Hash::of(b"a digest"),
    };
    let entries: Vec<_> = entries()
        .iter()
        .map(|entry| entry.bytes().to_vec().into())
        .collect();
    let signed = Signed::sign(&receipt(), &secret("node")).bytes().to_vec();
    vec![
        ("hello", Message::Hello(hello)),
        (
            "summary",
            Message::Summary(Hash::of(b"all"), Hash::of(b"receipts")),
        ),
        (
            "digest of units",
            Message::Digest(vec![], vec![child(Step::Unit(unit.clone()))]),
        ),
        (
            "digest of buckets",
            Message::Digest(vec![], vec![child(Step::Bucket(7))]),
        ),
        (
            "digest of periods",
            Message::Digest(
                vec![Step::Bucket(7), Step::Unit(unit.clone())],
                vec![child(Step::Period(None)), child(Step::Period(Some(period)))],
            ),
        ),
        (
            "heads",
            Message::Heads(unit.clone(), Some(period), heads, true),
        ),
        ("no heads", Message::Heads(unit, None, vec![], false)),
        ("entries", Message::Entries(entries[..2].to_vec())),
        (
            "fork",
            Message::Fork(entries[1].clone(), entries[2].clone()),
        ),
        ("receipt", Message::Receipt(signed.into())),
        ("refused", Message::Refused("no".to_owned())),
    ]
}

fn vectors() -> Value {
    let logs: Vec<Value> = log_keys()
        .iter()
        .map(|key| {
            json!({
                "reach": key.reach.to_string(),
                "period": key.period.map(|period| period.to_string()),
                "key": hex::encode(keys::cbor::to_vec(key)),
                "id": key.id().to_string(),
            })
        })
        .collect();
    let entries: Vec<Value> = entries()
        .iter()
        .map(|entry| {
            let parts: Vec<Value> = entry
                .slots()
                .iter()
                .map(|slot| {
                    let PartSlot::Whole(salt, part) = slot else {
                        unreachable!("none is erased")
                    };
                    json!({
                        "salt": hex::encode(salt),
                        "part": hex::encode(part.to_bytes()),
                        "hash": slot.hash().to_string(),
                    })
                })
                .collect();
            json!({
                "log": entry.log().to_string(),
                "seq_num": entry.seq_num(),
                "header": hex::encode(entry.header().to_bytes()),
                "payload": entry.header().payload.to_string(),
                "parts": parts,
                "hash": entry.hash().to_string(),
                "bytes": hex::encode(entry.bytes()),
            })
        })
        .collect();
    let states = states();
    let digests: Vec<Value> = states
        .iter()
        .map(|state| {
            json!({
                "state": hex::encode(keys::cbor::to_vec(state)),
                "log": state.key.id().to_string(),
                "digest": digest_of(state),
            })
        })
        .collect();
    let tree = DigestTree::build(states.iter().map(|state| (state.key.id(), state)));
    let school: UnitId = "school".parse().unwrap();
    let periods: Vec<Value> = tree
        .children(&[Step::Unit(school.clone())])
        .iter()
        .map(|(step, digest)| {
            json!({ "step": hex::encode(keys::cbor::to_vec(step)), "digest": digest.to_string() })
        })
        .collect();
    let empty = DigestTree::default().root();
    let receipt = Signed::sign(&receipt(), &secret("node"));
    let messages: Vec<Value> = messages()
        .iter()
        .map(|(name, message)| json!({ "name": name, "bytes": hex::encode(message.to_bytes()) }))
        .collect();
    let leaves: Vec<Vec<u8>> = (0..5u8).map(|n| vec![n; usize::from(n)]).collect();
    let secrets = ["city", "school", "node"]
        .map(|name| json!({ "name": name, "seed": hex::encode(secret(name).seed().as_slice()) }));
    json!({
        "secrets": secrets,
        "chain": hex::encode(chain().to_bytes()),
        "logs": logs,
        "entries": entries,
        "digests": {
            "logs": digests,
            "periods": periods,
            "unit": tree.unit(&school).to_string(),
            "root": tree.root().to_string(),
            "empty": empty.to_string(),
        },
        "merkle": (0..=5).map(|n| merkle_root(&leaves[..n]).to_string()).collect::<Vec<_>>(),
        "receipt": {
            "payload": hex::encode(self::receipt().to_bytes()),
            "envelope": hex::encode(receipt.bytes()),
        },
        "messages": messages,
    })
}

/// Returns a log's digest, made by hand as the protocol page says.
fn digest_of(state: &LogState) -> String {
    let id = state.key.id();
    let digest = match state.forked {
        None => Hash::tagged(
            "sanji/1/head",
            &[
                id.as_bytes(),
                &state.head.seq_num.to_be_bytes(),
                state.head.hash.as_bytes(),
            ],
        ),
        Some(at) => Hash::tagged("sanji/1/forked", &[id.as_bytes(), &at.to_be_bytes()]),
    };
    digest.to_string()
}

// protocol.md R2, R3, R4, R7, R8, R15, R19
#[test]
fn the_bytes_are_the_agreed_bytes() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/vectors.json");
    let made = vectors();
    if std::env::var_os("SANJI_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
    let agreed: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (name, value) in made.as_object().unwrap() {
        assert_eq!(agreed.get(name), Some(value), "{name}");
    }
    assert_eq!(agreed, made);
}

// protocol.md R4, R21
#[test]
fn the_agreed_bytes_are_read_as_what_they_are() {
    for entry in entries() {
        let read = Entry::verify(entry.bytes().to_vec()).unwrap();
        assert_eq!((read.hash(), read.log()), (entry.hash(), entry.log()));
    }
    for (name, message) in messages() {
        assert_eq!(
            Message::from_bytes(&message.to_bytes()),
            Ok(message),
            "{name}"
        );
    }
    let signed = Signed::<Receipt>::from_bytes(Signed::sign(&receipt(), &secret("node")).bytes());
    assert_eq!(signed.unwrap().verify().unwrap().into_value(), receipt());
}

// protocol.md R15, R16
#[test]
fn digests_are_what_the_page_says() {
    let states = states();
    let line = |name: &[u8], digest: &[u8]| {
        [&[u8::try_from(name.len()).unwrap()][..], name, digest].concat()
    };
    let logs = |period: Option<Period>| {
        let mut logs: Vec<&LogState> = states
            .iter()
            .filter(|state| state.key.period == period)
            .collect();
        logs.sort_by_key(|state| state.key.id());
        let lines: Vec<u8> = logs
            .iter()
            .flat_map(|state| {
                let digest: Hash = digest_of(state).parse().unwrap();
                line(state.key.id().as_bytes(), digest.as_bytes())
            })
            .collect();
        Hash::tagged("sanji/1/logs", &[&lines])
    };
    let (first, second) = ("2026-1".parse().unwrap(), "2026-2".parse().unwrap());
    let lines = [
        line(b"", logs(None).as_bytes()),
        line(b"2026-1", logs(Some(first)).as_bytes()),
        line(b"2026-2", logs(Some(second)).as_bytes()),
    ];
    let unit = Hash::tagged("sanji/1/periods", &[&lines.concat()]);
    let tree = DigestTree::build(states.iter().map(|state| (state.key.id(), state)));
    assert_eq!(tree.unit(&"school".parse().unwrap()), unit);
    let root = Hash::tagged("sanji/1/units", &[&line(b"school", unit.as_bytes())]);
    assert_eq!(tree.root(), root);
}
