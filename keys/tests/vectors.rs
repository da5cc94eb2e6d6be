//! The agreed bytes. `testdata/vectors.json` is what a second implementation is checked against, so it
//! changes only when the format does; `SANJI_BLESS=1 cargo test -p keys --test vectors` writes it anew.

// Clippy's leave for tests covers test functions, not what they call.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::LazyLock;

use keys::certificate::{Certificate, Chain, Role, Scope, Subject};
use keys::{DossierSecret, Hash, Payload, Secret, Signed, TierName, UnitId, UnitKey, commit, mac};
use serde_json::{Value, json};

const NAMES: [&str; 5] = ["city", "district", "school", "node", "person"];

/// Returns the secret of one of [`NAMES`]: the seed is the hash of the name.
fn secret(name: &str) -> Secret {
    Secret::from_seed(*Hash::of(name.as_bytes()).as_bytes())
}

fn certificate(subject: Subject, unit: &str, issuer: &str, scope: Scope) -> Certificate {
    Certificate {
        subject,
        unit: UnitId::new(unit).unwrap(),
        tier: TierName::new(unit).unwrap(),
        name: format!("Test {unit}"),
        issuer: UnitId::new(issuer).unwrap(),
        scope,
        not_before: 1_767_225_600_000,
        not_after: 1_830_297_600_000,
        nonce: Hash::of(issuer.as_bytes()).as_bytes()[..16]
            .try_into()
            .unwrap(),
    }
}

/// Every signed object of the vectors: what it is called, the certificate, who signs.
fn certificates() -> Vec<(&'static str, Certificate, &'static str)> {
    let kinds = Some(["volunteer-service".to_owned(), "zh".to_owned()].into());
    let some_kinds = Scope {
        roles: [Role::Write, Role::Decide].into(),
        kinds,
    };
    let node = Subject::Node(secret("node").node_key());
    let person = Subject::Person(secret("person").person_key());
    let school = Subject::Unit(secret("school").unit_key());
    let district = Subject::Unit(secret("district").unit_key());
    let city = Subject::Unit(secret("city").unit_key());
    let person = certificate(person, "school", "school", some_kinds);
    vec![
        (
            "person",
            Certificate {
                name: "\u{738b}\u{8001}\u{5e08}".into(),
                ..person
            },
            "school",
        ),
        (
            "node",
            certificate(node, "school", "school", Scope::of_roles([Role::Write])),
            "school",
        ),
        (
            "school",
            certificate(school, "school", "district", Scope::full()),
            "district",
        ),
        (
            "district",
            certificate(district, "district", "city", Scope::full()),
            "city",
        ),
        (
            "city",
            certificate(city, "city", "city", Scope::full()),
            "city",
        ),
    ]
}

fn chain(names: &[&str]) -> Chain {
    let all = certificates();
    let link = |name: &&str| {
        let (_, certificate, signer) = all.iter().find(|c| c.0 == *name).unwrap();
        Signed::sign(certificate, &secret(signer))
    };
    Chain::new(names.iter().map(link).collect()).unwrap()
}

fn vectors() -> Value {
    let keys = NAMES.map(|name| {
        let secret = secret(name);
        json!({
            "name": name,
            "seed": hex::encode(secret.seed().as_slice()),
            "public": secret.node_key().to_string(),
            "spki": hex::encode(secret.node_key().to_spki_der()),
            "pkcs8": hex::encode(secret.to_pkcs8_der().as_slice()),
        })
    });
    let certificates: Vec<_> = certificates()
        .iter()
        .map(|(name, certificate, signer)| {
            let signed = Signed::sign(certificate, &secret(signer));
            json!({
                "name": name,
                "domain": Certificate::DOMAIN.tag(),
                "signer": secret(signer).unit_key().to_string(),
                "payload": hex::encode(certificate.to_bytes()),
                "envelope": hex::encode(signed.bytes()),
                "id": signed.id().to_string(),
            })
        })
        .collect();
    let chains = [
        &["node", "school", "district"][..],
        &["person", "school", "district", "city"],
        &["district"],
    ];
    let chains = chains.map(|names| {
        json!({
            "certificates": names,
            "root": secret("city").unit_key().to_string(),
            "bytes": hex::encode(chain(names).to_bytes()),
        })
    });
    let dossier = DossierSecret::from_bytes(*Hash::of(b"dossier").as_bytes());
    let record = *b"a record of ours";
    let class = b"\xa2\x01\x64text\x02\x18\x2a";
    json!({
        "keys": keys,
        "certificates": certificates,
        "chains": chains,
        "domains": keys::Domain::ALL.iter().map(|d| json!([d.number(), d.tag()])).collect::<Vec<_>>(),
        "tagged_hash": {
            "tag": "sanji/1/test",
            "parts": ["", "00", "616263"],
            "hash": Hash::tagged("sanji/1/test", &[b"", b"\0", b"abc"]).to_string(),
        },
        "commitment": {
            "secret": hex::encode(dossier.as_bytes()),
            "record_id": hex::encode(record),
            "class": hex::encode(class),
            "commitment": commit(&dossier, &record, class).to_string(),
        },
        "mac": {
            "key": hex::encode(b"a key"),
            "parts": ["", "00", "616263"],
            "mac": mac(b"a key", &[b"", b"\0", b"abc"]).to_string(),
        },
    })
}

/// Returns the committed vectors, after writing them anew if asked to; once, as tests run at a time.
fn committed() -> &'static Value {
    static COMMITTED: LazyLock<Value> = LazyLock::new(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/vectors.json");
        if std::env::var_os("SANJI_BLESS").is_some() {
            let text = serde_json::to_string_pretty(&vectors()).unwrap();
            std::fs::write(&path, text + "\n").unwrap();
        }
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    });
    &COMMITTED
}

fn bytes_of(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn the_code_makes_the_committed_bytes() {
    let (committed, made) = (committed(), vectors());
    for (name, made) in made.as_object().unwrap() {
        assert_eq!(&committed[name], made, "{name}");
    }
    assert_eq!(*committed, made);
}

#[test]
fn the_committed_bytes_are_read_and_verified() {
    let committed = committed();
    let expected = certificates();
    for (vector, (name, certificate, signer)) in committed["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&expected)
    {
        let signed = Signed::<Certificate>::from_bytes(bytes_of(&vector["envelope"])).unwrap();
        let verified = signed.verify().unwrap();
        assert_eq!(verified.value(), certificate, "{name}");
        assert_eq!(
            verified.signer().as_unit(),
            secret(signer).unit_key(),
            "{name}"
        );
        assert_eq!(vector["id"], verified.id().to_string(), "{name}");
    }
    for vector in committed["chains"].as_array().unwrap() {
        let root: UnitKey = vector["root"].as_str().unwrap().parse().unwrap();
        let chain = Chain::from_bytes(&bytes_of(&vector["bytes"])).unwrap();
        let verified = chain.verify(&root).unwrap();
        assert_eq!(verified.root_unit().as_str(), "city");
        assert_eq!(chain.to_bytes(), bytes_of(&vector["bytes"]));
    }
}
