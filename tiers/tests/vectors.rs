//! The agreed bytes: what another implementation must come to as well.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use keys::{DossierSecret, Hash, NodeKey, StoreEpoch, UnitId};
use tiers::{
    Actor, Birth, Date, Fields, Kind, Minute, ReachClass, RecordId, Value, class_commitment,
    fields_bytes, record_leaf,
};

/// Lines of `name = value`; hex, or text.
fn vectors() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("../testdata/vectors.txt").lines();
    lines
        .filter_map(|line| line.split_once(" = "))
        .filter(|(name, _)| !name.starts_with('#'))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fields() -> Fields {
    let text = |text: &str| Value::Text(text.into());
    let minute = |text: &str| text.parse::<Minute>().unwrap();
    [
        (1, text("G1101012009010001")),
        (2, Value::Int(-90)),
        (
            3,
            Value::Decimal {
                units: 15,
                scale: 1,
            },
        ),
        (4, Value::Bool(true)),
        (5, Value::Date("2026-09-01".parse::<Date>().unwrap())),
        (6, Value::DateTime(minute("2026-09-01T14:30"))),
        (
            7,
            Value::Interval {
                start: minute("2026-09-01T14:00"),
                end: minute("2026-09-01T16:00"),
            },
        ),
        (8, Value::Set([text("a"), text("bb"), Value::Int(3)].into())),
        (30, text("\u{5fd7}\u{613f}\u{670d}\u{52a1}")),
    ]
    .into()
}

#[test]
fn the_bytes_are_the_agreed_bytes() {
    let kind = |text: &str| Kind::parse(text).unwrap().hash();
    let practice = kind(include_str!("../kinds/practice-record.toml"));
    let volunteer = kind(include_str!("../kinds/volunteer-service.toml"));
    let unit = UnitId::new("school-1").unwrap();
    let period = Some("2026-1".parse().unwrap());
    let bytes = fields_bytes(&fields());
    let derived = RecordId::derive(&unit, "practice-record", period, &bytes, 0);
    let again = RecordId::derive(&unit, "practice-record", None, &bytes, 1);
    let secret = DossierSecret::from_bytes([7; 32]);
    let commitment = class_commitment(&secret, &derived, &fields());
    let commitments: BTreeMap<_, _> = [
        (ReachClass::School, commitment),
        (ReachClass::City, Hash::of(b"city")),
    ]
    .into();
    let birth = Birth {
        kind: practice,
        fields: fields(),
        commitments: commitments.clone(),
    };
    let steps = [Hash::of(b"submit"), Hash::of(b"review")];
    let actor = Actor {
        node: NodeKey::from_bytes([1; 32]),
        epoch: StoreEpoch::from_bytes([2; 16]),
    };
    let found: BTreeMap<&str, String> = [
        ("kind practice-record", practice.to_string()),
        ("kind volunteer-service", volunteer.to_string()),
        ("fields", hex(&bytes)),
        ("record id", derived.to_string()),
        ("record id, second of no period", again.to_string()),
        ("commitment", commitment.to_string()),
        ("birth", hex(&birth.to_bytes())),
        (
            "record leaf",
            record_leaf(&derived, "practice-record", &practice, &commitments, &steps).to_string(),
        ),
        (
            "record leaf without steps",
            record_leaf(&derived, "practice-record", &practice, &commitments, &[]).to_string(),
        ),
        ("actor", hex(&actor.id())),
    ]
    .into();
    let agreed = vectors();
    for (name, value) in &found {
        assert_eq!(agreed.get(name), Some(&value.as_str()), "{name} = {value}");
    }
    assert_eq!(agreed.len(), found.len());
}
