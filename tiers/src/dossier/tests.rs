use keys::TierName;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::project::{AuthoredPart, Job, project};
use crate::view::DossierView;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn actor(n: u8) -> Actor {
    Actor {
        node: NodeKey::from_bytes([n; 32]),
        epoch: StoreEpoch::from_bytes([n; 16]),
    }
}

fn id() -> DossierId {
    DossierId {
        unit: UnitId::new("school-1").unwrap(),
        period: Some("2026-1".parse().unwrap()),
        reach: Reach::Up(TierName::new("city").unwrap()),
        subject: "G1".into(),
    }
}

fn record(n: u8) -> RecordId {
    RecordId::from_bytes([n; 16])
}

fn birth(n: u8, text: &str) -> Edit {
    let fields = [(1, Value::Text(text.into())), (2, Value::Int(n.into()))].into();
    let birth = Birth {
        kind: Hash::of(b"kind"),
        fields,
        commitments: BTreeMap::new(),
    };
    Edit::Birth {
        record: record(n),
        birth,
    }
}

fn set(n: u8, text: &str) -> Edit {
    Edit::Set {
        record: record(n),
        field: 1,
        value: Value::Text(text.into()),
    }
}

/// Writes and projects; returns the new state and what it shows.
fn step(state: Option<DossierState>, edits: &[Edit]) -> (DossierState, DossierView) {
    let part = write(&id(), state.as_ref(), &actor(1), edits, &mut rng()).unwrap();
    let entry = Hash::of(&part.change);
    let parts = vec![AuthoredPart {
        author: actor(1),
        entry,
        part,
    }];
    let state = state.map(|state| state.to_bytes());
    let done = project(vec![Job {
        id: id(),
        state,
        parts,
    }])
    .remove(0);
    assert_eq!(
        (done.problems.len(), done.unprojected, done.waiting),
        (0, None, 0)
    );
    let view = DossierView::from_bytes(&done.view).unwrap();
    (DossierState::from_bytes(&done.state).unwrap(), view)
}

#[test]
fn the_same_edits_give_the_same_bytes_and_one_uncompressed_change() {
    let edits: Vec<_> = (0..50)
        .map(|n| birth(n, "a text that would be worth compressing"))
        .collect();
    let first = write(&id(), None, &actor(1), &edits, &mut rng()).unwrap();
    assert_eq!(
        first,
        write(&id(), None, &actor(1), &edits, &mut rng()).unwrap()
    );
    assert_eq!(first.change[8], 1, "the type of an uncompressed change");
    assert_eq!(first.subject, "G1");
    let change = Change::read(first.change).unwrap();
    assert_eq!((change.puts().count(), change.actor), (50, actor(1).id()));
}

#[test]
fn a_secret_travels_exactly_when_the_dossier_has_none() {
    let first = write(&id(), None, &actor(1), &[birth(1, "a")], &mut rng()).unwrap();
    assert!(first.secret.is_some());
    let (state, _) = step(None, &[birth(1, "a")]);
    assert_eq!(state.secret().unwrap().as_bytes(), &first.secret.unwrap());
    let second = write(&id(), Some(&state), &actor(2), &[birth(2, "b")], &mut rng()).unwrap();
    assert_eq!(second.secret, None);
    let drawn = secret_for(None, &mut rng());
    let with = write_with(&id(), None, &actor(1), &[birth(1, "a")], &drawn).unwrap();
    assert_eq!(with, first);
}

#[test]
fn births_and_edits_are_shown() {
    let (state, view) = step(None, &[birth(1, "a"), birth(2, "b"), set(2, "c")]);
    assert_eq!(view.records.len(), 2);
    assert!(!view.records[&record(1)].edited && view.records[&record(2)].edited);
    assert_eq!(view.records[&record(2)].fields[&1], Value::Text("c".into()));
    let (state, _) = step(Some(state), &[set(1, "d")]);
    let clear = Edit::Clear {
        record: record(2),
        field: 2,
    };
    let (state, view) = step(Some(state), &[set(1, "e"), clear]);
    assert_eq!(view.records[&record(1)].fields[&1], Value::Text("e".into()));
    assert_eq!(view.records[&record(2)].fields.get(&2), None);
    assert!(
        view.records
            .values()
            .all(|record| record.conflicts.is_empty())
    );
    assert_eq!(state.heads().len(), 1);
}

#[test]
fn a_commitment_is_written_anew_with_its_class() {
    let commit = |text: &str| Edit::Commit {
        record: record(1),
        class: ReachClass::School,
        commitment: Hash::of(text.as_bytes()),
    };
    let (state, _) = step(None, &[birth(1, "a")]);
    let (state, _) = step(Some(state), &[commit("first")]);
    let (_, view) = step(Some(state), &[commit("second")]);
    let commitments = &view.records[&record(1)].commitments;
    assert_eq!(
        *commitments,
        [(ReachClass::School, Hash::of(b"second"))].into()
    );
}

#[test]
fn importing_twice_writes_nothing() {
    let edits = [birth(1, "a"), birth(2, "b"), birth(1, "a")];
    let (state, _) = step(None, &edits);
    let again = write(&id(), Some(&state), &actor(1), &edits, &mut rng());
    assert_eq!(again, Err(WriteError::NothingToWrite));
    let (state, _) = step(Some(state), &[set(1, "c")]);
    let (state, _) = step(Some(state), &[set(1, "d")]);
    let again = write(&id(), Some(&state), &actor(1), &[set(1, "d")], &mut rng());
    assert_eq!(again, Err(WriteError::NothingToWrite));
    assert_eq!(
        write(&id(), Some(&state), &actor(1), &[], &mut rng()),
        Err(WriteError::NothingToWrite)
    );
    // What is new beside what is not is written alone.
    let part = write(
        &id(),
        Some(&state),
        &actor(1),
        &[birth(1, "a"), birth(3, "x")],
        &mut rng(),
    );
    assert_eq!(
        Change::read(part.unwrap().change).unwrap().puts().count(),
        1
    );
}

#[test]
fn edits_that_cannot_be_meant_are_refused() {
    let (state, _) = step(None, &[birth(1, "a")]);
    let refused =
        |edits: &[Edit]| write(&id(), Some(&state), &actor(1), edits, &mut rng()).unwrap_err();
    assert_eq!(
        refused(&[birth(1, "z")]),
        WriteError::BornOtherwise(record(1))
    );
    assert_eq!(
        refused(&[set(2, "z")]),
        WriteError::UnknownRecord(record(2))
    );
    let zero = Edit::Clear {
        record: record(1),
        field: 0,
    };
    assert_eq!(refused(&[zero]), WriteError::BadField(0));
    let many: Vec<_> = (0..=CHANGE_OPS_MAX as u32)
        .map(|n| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            let Edit::Birth { birth, .. } = birth(1, "a") else {
                unreachable!()
            };
            Edit::Birth {
                record: RecordId::from_bytes(id),
                birth,
            }
        })
        .collect();
    assert!(matches!(refused(&many), WriteError::TooMuch { .. }));
}

#[test]
fn a_writer_stops_at_half_the_cap() {
    let mut state = None;
    let text = "x".repeat(15_000);
    for n in 0..=255_u8 {
        let edits: Vec<_> = (0..3).map(|k| set(n, &format!("{text}{k}"))).collect();
        let edits = [&[birth(n, &text)], &edits[..1]].concat();
        match write(&id(), state.as_ref(), &actor(1), &edits, &mut rng()) {
            Ok(_) => state = Some(step(state, &edits).0),
            Err(error) => {
                assert_eq!(error, WriteError::Full);
                assert!(state.unwrap().size() <= WRITER_SIZE_MAX);
                return;
            }
        }
    }
    panic!("never full");
}

#[test]
fn keys_have_one_form() {
    let record = record(0xab);
    for key in [
        Key::Birth(record),
        Key::Field(record, 7),
        Key::Field(record, 999),
        Key::Commitment(record, ReachClass::School),
        Key::Commitment(record, ReachClass::Public),
    ] {
        assert_eq!(Key::parse(key.text().as_bytes()), Some(key));
    }
    let id = record.to_string();
    for suffix in [
        "/", "/0", "/07", "/1000", "/c", "/c00", "/c6", "/c01", "/x", "//1", "x", "/+1",
    ] {
        assert_eq!(
            Key::parse(format!("{id}{suffix}").as_bytes()),
            None,
            "{suffix}"
        );
    }
    assert_eq!(Key::parse(id.to_uppercase().as_bytes()), None);
    assert_eq!(Key::parse(&[0xff; 32]), None);
}

#[test]
fn a_dossier_name_comes_back_from_its_key() {
    let mut ids = vec![id()];
    ids.push(DossierId {
        period: None,
        reach: Reach::Own,
        ..id()
    });
    ids.push(DossierId {
        reach: Reach::To(UnitId::new("venue.7").unwrap()),
        ..id()
    });
    ids.push(DossierId {
        subject: "a\0b".into(),
        reach: Reach::Below,
        ..id()
    });
    for id in ids {
        assert_eq!(DossierId::from_key_bytes(&id.to_key_bytes()), Some(id));
    }
    assert_eq!(DossierId::from_key_bytes(b"school-1\0"), None);
}

#[test]
fn damaged_state_is_refused() {
    let (state, _) = step(None, &[birth(1, "a")]);
    let bytes = state.to_bytes();
    assert_eq!(DossierState::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    for at in 0..bytes.len() {
        assert!(DossierState::from_bytes(&bytes[..at]).is_err());
    }
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let error = DossierState::from_bytes(&flipped).unwrap_err();
    assert_eq!(error, StateError::Change(ChangeError::Checksum));
}
