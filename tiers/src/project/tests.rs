use std::num::NonZeroU64;

use federation_protocol::Reach;
use keys::{NodeKey, StoreEpoch, UnitId};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::dossier::{Edit, WriteError, write};
use crate::record::{Birth, RecordId};
use crate::value::Value;
use crate::view::DossierView;

fn actor(n: u8) -> Actor {
    Actor {
        node: NodeKey::from_bytes([n; 32]),
        epoch: StoreEpoch::from_bytes([n; 16]),
    }
}

fn id() -> DossierId {
    let unit = UnitId::new("school-1").unwrap();
    DossierId {
        unit,
        period: None,
        reach: Reach::Own,
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

fn set(n: u8, field: u16, text: &str) -> Edit {
    Edit::Set {
        record: record(n),
        field,
        value: Value::Text(text.into()),
    }
}

fn run(state: Option<&[u8]>, parts: &[AuthoredPart]) -> Projected {
    let job = Job {
        id: id(),
        state: state.map(<[u8]>::to_vec),
        parts: parts.to_vec(),
    };
    project(vec![job]).remove(0)
}

fn view(done: &Projected) -> DossierView {
    DossierView::from_bytes(&done.view).unwrap()
}

/// A node that writes upon what it has seen.
struct Writer {
    actor: Actor,
    state: Option<Vec<u8>>,
    seen: Vec<AuthoredPart>,
}

impl Writer {
    fn new(n: u8) -> Self {
        Self {
            actor: actor(n),
            state: None,
            seen: Vec::new(),
        }
    }

    fn try_write(&mut self, edits: &[Edit]) -> Result<AuthoredPart, WriteError> {
        let state = self
            .state
            .as_ref()
            .map(|bytes| DossierState::from_bytes(bytes).unwrap());
        let seed = u64::from(self.actor.node.as_bytes()[0]);
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let part = write(&id(), state.as_ref(), &self.actor, edits, &mut rng)?;
        let part = AuthoredPart {
            author: self.actor,
            entry: Hash::of(&part.change),
            part,
        };
        self.see(std::slice::from_ref(&part));
        Ok(part)
    }

    fn write(&mut self, edits: &[Edit]) -> AuthoredPart {
        self.try_write(edits).unwrap()
    }

    fn see(&mut self, parts: &[AuthoredPart]) -> Projected {
        self.seen.extend_from_slice(parts);
        let done = run(self.state.as_deref(), parts);
        self.state = Some(done.state.clone());
        done
    }
}

#[test]
fn edits_made_apart_merge_field_by_field() {
    let (mut server, mut laptop) = (Writer::new(1), Writer::new(2));
    let born = server.write(&[birth(1, "born")]);
    laptop.see(std::slice::from_ref(&born));
    let a = server.write(&[set(1, 1, "server")]);
    let b = laptop.write(&[set(1, 2, "laptop")]);
    let done = run(None, &[b, born, a]);
    let shown = &view(&done).records[&record(1)];
    assert_eq!(shown.fields[&1], Value::Text("server".into()));
    assert_eq!(shown.fields[&2], Value::Text("laptop".into()));
    assert!(shown.conflicts.is_empty() && shown.edited);
    assert_eq!((done.applied, done.waiting, done.problems), (3, 0, vec![]));
}

#[test]
fn different_values_of_one_field_are_all_kept_until_one_is_chosen() {
    let (mut server, mut laptop) = (Writer::new(1), Writer::new(2));
    let born = server.write(&[birth(1, "born"), birth(2, "born")]);
    laptop.see(std::slice::from_ref(&born));
    let a = server.write(&[set(1, 1, "one"), set(2, 1, "same")]);
    let clear = Edit::Clear {
        record: record(1),
        field: 2,
    };
    let b = laptop.write(&[set(1, 1, "other"), set(2, 1, "same"), clear]);
    let c = server.write(&[set(1, 2, "kept")]);
    let done = server.see(std::slice::from_ref(&b));
    assert_eq!(done.view, laptop.see(&[a, c]).view);
    let shown = view(&done);
    let text = |text: &str| Some(Value::Text(text.into()));
    let expected = [
        (1, vec![text("one"), text("other")]),
        (2, vec![text("kept"), None]),
    ]
    .into();
    assert_eq!(shown.records[&record(1)].conflicts, expected);
    let current = shown.records[&record(1)].fields.get(&1).cloned();
    assert!(expected[&1].contains(&current));
    // Equal values are no conflict.
    assert!(shown.records[&record(2)].conflicts.is_empty());
    assert_eq!(
        shown.records[&record(2)].fields[&1],
        Value::Text("same".into())
    );

    // Any of the values may be chosen, the one that is shown as well as another.
    for chosen in ["one", "other"] {
        let mut person = Writer::new(3);
        person.see(&server.seen);
        person.write(&[set(1, 1, chosen), set(1, 2, "kept")]);
        let done = person.see(&[]);
        assert!(view(&done).records[&record(1)].conflicts.is_empty());
        assert_eq!(
            view(&done).records[&record(1)].fields[&1],
            Value::Text(chosen.into())
        );
    }
}

#[test]
fn equal_births_are_one_and_different_ones_conflict() {
    let (mut server, mut laptop) = (Writer::new(1), Writer::new(2));
    let a = server.write(&[birth(1, "same"), birth(2, "here")]);
    let b = laptop.write(&[birth(1, "same"), birth(2, "there")]);
    let done = run(None, &[a.clone(), b.clone()]);
    let shown = view(&done);
    assert!(shown.records[&record(1)].conflicts.is_empty() && !shown.records[&record(1)].edited);
    assert_eq!(shown.records[&record(2)].conflicts[&1].len(), 2);
    assert!(!shown.records[&record(2)].conflicts.contains_key(&2));
    // Two secrets were drawn; the lower one is the dossier's, both are known.
    let secrets = [a.part.secret.unwrap(), b.part.secret.unwrap()];
    let state = DossierState::from_bytes(&done.state).unwrap();
    assert_eq!(
        state.secret().unwrap().as_bytes(),
        secrets.iter().min().unwrap()
    );
    assert_eq!(state.secrets().len(), 2);
}

#[test]
fn a_change_waits_for_what_it_depends_on() {
    let mut server = Writer::new(1);
    let born = server.write(&[birth(1, "born")]);
    let edit = server.write(&[set(1, 1, "edited")]);
    let done = run(None, std::slice::from_ref(&edit));
    assert_eq!((done.applied, done.waiting, done.problems.len()), (0, 1, 0));
    assert!(view(&done).records.is_empty());
    let done = run(Some(&done.state), &[born]);
    assert_eq!((done.applied, done.waiting), (2, 0));
    let all = run(None, &server.seen);
    assert_eq!((done.state, done.view), (all.state, all.view));
}

#[test]
fn what_does_not_belong_here_is_put_aside() {
    let mut server = Writer::new(1);
    let good = server.write(&[birth(1, "born")]);
    let mut stolen = good.clone();
    stolen.author = actor(2);
    let mut misfiled = good.clone();
    misfiled.part.subject = "G2".into();
    let mut cut = good.clone();
    cut.part.change.pop();
    for (part, why) in [
        (stolen, Why::WrongActor),
        (misfiled, Why::WrongSubject),
        (cut, Why::BadChange(ChangeError::Truncated)),
    ] {
        let done = run(None, std::slice::from_ref(&part));
        assert_eq!(
            done.problems,
            [Problem {
                entry: part.entry,
                why
            }]
        );
        assert_eq!((done.applied, view(&done).records.len()), (0, 0));
        assert_eq!(
            DossierState::from_bytes(&done.state).unwrap().secret(),
            None
        );
        // The rest of the dossier is not harmed.
        let done = run(None, &[part, good.clone()]);
        assert_eq!((done.applied, view(&done).records.len()), (1, 1));
    }
}

#[test]
fn of_two_changes_at_one_place_one_stands_and_the_other_is_reported() {
    let parts: Vec<_> = ["a", "b"]
        .iter()
        .map(|text| Writer::new(1).write(&[birth(1, text)]))
        .collect();
    let both = run(None, &parts);
    assert_eq!(both.applied, 1);
    let [
        Problem {
            entry,
            why: Why::Fork,
        },
    ] = both.problems[..]
    else {
        panic!("{both:?}")
    };
    let reversed = run(Some(&run(None, &parts[1..]).state), &parts[..1]);
    assert_eq!(both, reversed);
    let standing = parts.iter().find(|part| part.entry != entry).unwrap();
    assert_eq!(run(None, std::slice::from_ref(standing)).view, both.view);
}

/// Makes a change by hand, as a hostile writer would.
fn forged(n: u8, seq: u64, start_op: u64, deps: &[Hash], key: &str, value: &[u8]) -> AuthoredPart {
    let author = actor(n);
    let puts = [(key.to_owned(), value.to_vec())].into();
    let draft = engine::Draft {
        actor: author.id(),
        seq,
        start_op,
        deps: deps.to_vec(),
        puts: &puts,
    };
    assert!(NonZeroU64::new(start_op).is_some());
    let change = engine::change_of_new_keys(&draft).unwrap();
    let entry = Hash::of(&change);
    let part = DossierPart {
        subject: "G1".into(),
        secret: None,
        change,
    };
    AuthoredPart {
        author,
        entry,
        part,
    }
}

fn change_hash(part: &AuthoredPart) -> Hash {
    Change::read(part.part.change.clone()).unwrap().hash
}

#[test]
fn a_change_out_of_its_place_is_put_aside() {
    let first = forged(1, 1, 1, &[], "first", b"1");
    let after = change_hash(&first);
    let cases = [
        forged(1, 3, 2, &[after], "skips", b"2"),
        forged(1, 2, 1, &[after], "reuses ids", b"3"),
        forged(1, 2, 9, &[after], "leaves ids out", b"4"),
        forged(1, 2, 1, &[], "forgets its past", b"5"),
        forged(2, 2, 2, &[after], "begins late", b"6"),
    ];
    for case in cases {
        let done = run(None, &[first.clone(), case.clone()]);
        assert_eq!(
            done.problems,
            [Problem {
                entry: case.entry,
                why: Why::OutOfPlace
            }]
        );
        assert_eq!(done.applied, 1);
    }
    let good = forged(2, 1, 2, &[after], "good", b"7");
    assert_eq!(run(None, &[first, good]).applied, 2);
}

#[test]
fn unknown_keys_are_counted_and_bad_values_reported() {
    let key = record(1).to_string();
    let unknown = forged(1, 1, 1, &[], "some later thing", b"\x00");
    let bad = forged(2, 1, 1, &[], &format!("{key}/1"), b"\xff");
    let bad_birth = forged(3, 1, 1, &[], &record(2).to_string(), b"\x00");
    let orphan = forged(4, 1, 1, &[], &format!("{}/1", record(3)), b"\x00");
    let good = Writer::new(5).write(&[birth(1, "born")]);
    let done = run(
        None,
        &[unknown, bad.clone(), bad_birth.clone(), orphan, good],
    );
    let shown = view(&done);
    assert_eq!(
        (shown.unknown_keys, shown.orphan_edits, shown.records.len()),
        (1, 1, 1)
    );
    assert_eq!(
        shown.records[&record(1)].fields[&1],
        Value::Text("born".into())
    );
    let mut entries = [bad.entry, bad_birth.entry];
    entries.sort();
    assert_eq!(
        done.problems,
        entries.map(|entry| Problem {
            entry,
            why: Why::BadValue
        })
    );
}

/// Makes a change that replaces an operation of its choice.
fn replacing(
    n: u8,
    start_op: u64,
    deps: &[Hash],
    key: &str,
    (counter, of): (u64, u8),
) -> AuthoredPart {
    use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
    let name = |n: u8| automerge::ActorId::from(actor(n).id().as_slice());
    let change = automerge::Change::from(automerge::ExpandedChange {
        operations: vec![Op {
            action: OpType::Put(automerge::ScalarValue::Bytes(vec![0xf6])),
            obj: ObjectId::Root,
            key: Key::Map(key.into()),
            pred: vec![OpId(counter, name(of))].into(),
            insert: false,
        }],
        actor_id: name(n),
        hash: None,
        seq: 1,
        start_op: NonZeroU64::new(start_op).unwrap(),
        time: 0,
        message: None,
        deps: deps
            .iter()
            .map(|hash| automerge::ChangeHash(*hash.as_bytes()))
            .collect(),
        extra_bytes: Vec::new(),
        author: None,
    });
    let change = change.raw_bytes().to_vec();
    let entry = Hash::of(&change);
    let part = DossierPart {
        subject: "G1".into(),
        secret: None,
        change,
    };
    AuthoredPart {
        author: actor(n),
        entry,
        part,
    }
}

#[test]
fn a_reference_to_nothing_is_put_aside() {
    let born = Writer::new(1).write(&[birth(1, "born")]);
    let apart = Writer::new(4).write(&[birth(1, "apart")]);
    let deps = [change_hash(&born)];
    let key = record(1).to_string();
    let bads = [
        replacing(2, 2, &deps, &key, (1, 7)), // of an actor nobody has heard of
        replacing(2, 2, &deps, "elsewhere", (1, 1)), // of another key
        replacing(2, 2, &deps, &key, (1, 4)), // of a change it had not seen
    ];
    let good = replacing(3, 2, &deps, &key, (1, 1));
    for bad in bads {
        let parts = [born.clone(), apart.clone(), bad.clone(), good.clone()];
        let done = run(None, &parts);
        let dangling = Problem {
            entry: bad.entry,
            why: Why::Dangling,
        };
        assert!(done.problems.contains(&dangling), "{done:?}");
        assert_eq!((done.applied, &done.unprojected), (3, &None));
        let without = [born.clone(), apart.clone(), good.clone()];
        assert_eq!(done.view, run(None, &without).view);
    }
}

#[test]
fn a_reference_beyond_what_was_seen_of_its_author_is_put_aside() {
    for n in 0..8 {
        let first = forged(1, 1, 1, &[], "a", &[n]);
        let seen = forged(2, 1, 2, &[change_hash(&first)], "b", &[n]);
        let unseen = forged(1, 2, 2, &[change_hash(&first)], "c", &[n]);
        let bad = replacing(3, 3, &[change_hash(&seen)], "c", (2, 1));
        let done = run(None, &[first, seen, unseen, bad.clone()]);
        assert_eq!(
            done.problems,
            [Problem {
                entry: bad.entry,
                why: Why::Dangling
            }]
        );
        assert_eq!(done.applied, 3);
    }
}

#[test]
fn a_panic_of_the_engine_is_caught_and_blamed_on_its_change() {
    let born = Writer::new(1).write(&[birth(1, "born")]);
    let key = record(1).to_string();
    let bad = replacing(2, 2, &[change_hash(&born)], &key, (1, 7));
    let changes = [born.part.change.as_slice(), bad.part.change.as_slice()];
    assert!(engine::merge(&changes, &BTreeSet::new(), |_, _| ()).is_err());
    assert_eq!(engine::first_broken(&changes), Some(1));
    assert_eq!(engine::first_broken(&changes[..1]), None);
}

#[test]
fn the_value_written_with_more_history_in_sight_is_shown() {
    for (busy, other) in [(1, 2), (2, 1)] {
        let (mut busy, mut other) = (Writer::new(busy), Writer::new(other));
        let born = busy.write(&[birth(1, "born")]);
        other.see(&[born]);
        let parts = [
            busy.write(&[set(1, 2, "first")]),
            busy.write(&[set(1, 1, "later")]),
            other.write(&[set(1, 1, "sooner")]),
        ];
        let done = run(busy.state.as_deref(), &parts);
        let shown = &view(&done).records[&record(1)];
        assert_eq!(shown.fields[&1], Value::Text("later".into()));
        assert_eq!(shown.conflicts[&1].len(), 2);
    }
}

#[test]
fn a_dossier_beyond_the_bound_is_unprojected() {
    let value = vec![0; 45_000];
    let parts: Vec<_> = (0..=(PROJECTION_SIZE_MAX / value.len()) as u8)
        .map(|n| forged(n, 1, 1, &[], "filler", &value))
        .collect();
    let done = run(None, &parts);
    assert!(
        matches!(done.unprojected, Some(Unprojected::TooLarge { .. })),
        "{}",
        parts.len()
    );
    assert!(done.state.is_empty() && done.problems.is_empty());
}

#[test]
fn what_cannot_be_opened_is_unprojected_and_judged_by_nobody() {
    let done = run(Some(b"not a state"), &[]);
    assert_eq!(
        done.unprojected,
        Some(Unprojected::State(StateError::Malformed))
    );
    assert!(done.problems.is_empty() && done.state.is_empty() && done.view.is_empty());
}

/// What a writer does next.
#[derive(Clone, Debug)]
enum Act {
    Birth(u8, u8),
    Set(u8, u16, u8),
    Clear(u8, u16),
    See(usize),
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let act = prop_oneof![
        3 => (0..4_u8, 0..2_u8).prop_map(|(n, text)| Act::Birth(n, text)),
        4 => (0..4_u8, 1..3_u16, 0..3_u8).prop_map(|(n, f, text)| Act::Set(n, f, text)),
        1 => (0..4_u8, 1..3_u16).prop_map(|(n, f)| Act::Clear(n, f)),
        2 => (0..3_usize).prop_map(Act::See),
    ];
    prop::collection::vec((0..3_usize, act), 1..14)
}

/// Three nodes write, and now and then see all that another one has.
fn play(acts: Vec<(usize, Act)>) -> Vec<AuthoredPart> {
    let mut writers = [Writer::new(1), Writer::new(2), Writer::new(3)];
    let mut all = Vec::new();
    for (who, act) in acts {
        let edit = match act {
            Act::See(other) => {
                let seen = writers[other].seen.clone();
                writers[who].see(&seen);
                continue;
            }
            Act::Birth(n, text) => birth(n, ["x", "y"][usize::from(text)]),
            Act::Set(n, field, text) => set(n, field, ["p", "q", "r"][usize::from(text)]),
            Act::Clear(n, field) => Edit::Clear {
                record: record(n),
                field,
            },
        };
        match writers[who].try_write(&[edit]) {
            Ok(part) => all.push(part),
            Err(WriteError::Broken) => panic!("broken"),
            Err(_) => {}
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Order, batches and duplicates leave no trace, with a fork among the parts too.
    #[test]
    fn the_result_depends_only_on_the_set_of_parts(
        acts in acts(),
        order in any::<u64>(),
        fork in any::<bool>(),
    ) {
        let mut parts = play(acts);
        if fork {
            parts.push(Writer::new(1).write(&[birth(9, "forked")]));
            parts.push(forged(1, 1, 1, &[], "forked again", b"1"));
        }
        // One change may come in two entries.
        if let Some(first) = parts.first().cloned() {
            parts.push(AuthoredPart { entry: Hash::of(first.entry.as_bytes()), ..first });
        }
        let whole = run(None, &parts);
        prop_assert_eq!(&whole.unprojected, &None);

        // A shuffled copy of every part, and a second of some, dealt out in batches.
        let mut rng = order;
        let mut next = |below: usize| {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (rng >> 33) as usize % below.max(1)
        };
        let mut deck = parts.clone();
        for _ in 0..parts.len() / 2 {
            deck.push(parts[next(parts.len())].clone());
        }
        for at in (1..deck.len()).rev() {
            deck.swap(at, next(at + 1));
        }
        let mut done = run(None, &[]);
        while !deck.is_empty() {
            let rest = deck.split_off((next(4) + 1).min(deck.len()));
            done = run(Some(&done.state), &deck);
            deck = rest;
        }
        prop_assert_eq!(&done.view, &whole.view);
        prop_assert_eq!(&done.state, &whole.state);
        prop_assert_eq!((done.applied, done.waiting), (whole.applied, whole.waiting));
        prop_assert_eq!(&done.problems, &whole.problems);
        if !fork {
            prop_assert_eq!((whole.waiting, whole.problems.len()), (0, 0));
        }
    }

    /// The view read straight from the changes is the one the engine gives.
    #[test]
    fn reading_directly_agrees_with_the_engine(acts in acts()) {
        let parts = play(acts);
        let done = run(None, &parts);
        let state = DossierState::from_bytes(&done.state).unwrap();
        let history = History::of(&state);
        let mut view = ViewBuilder::default();
        engine::merge(&history.applied_bytes(), history.heads(), |key, values| {
            view.add(key, values);
        })
        .unwrap();
        prop_assert_eq!(view.finish(), (done.view.clone(), 0));
        let decoded = DossierView::from_bytes(&done.view).unwrap();
        prop_assert_eq!(decoded.to_bytes(), done.view);
    }
}

/// Puts the right checksum on a change whose body was tampered with, and its length.
fn resealed(change: &[u8], body: &[u8]) -> Vec<u8> {
    let mut inner = vec![1];
    let mut length = body.len();
    while length >= 0x80 {
        inner.push(length as u8 | 0x80);
        length >>= 7;
    }
    inner.push(length as u8);
    inner.extend_from_slice(body);
    [&change[..4], &Hash::of(&inner).as_bytes()[..4], &inner].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// A member of the unit who tampers with the bytes of its own changes harms nobody but itself: no
    /// panic escapes, the result still depends on the set alone, and what others wrote before is shown.
    #[test]
    fn tampered_changes_are_put_aside_in_any_order(
        acts in acts(),
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..5),
    ) {
        let mut parts = play(acts);
        if parts.is_empty() {
            return Ok(());
        }
        let victim = which.index(parts.len());
        let change = parts[victim].part.change.clone();
        let start = if change[9] & 0x80 == 0 { 10 } else { 11 };
        let mut body = change[start..].to_vec();
        for (index, byte, how) in edits {
            let at = index.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => body[at] ^= 1 << (byte % 8),
                2 => { body.remove(at); }
                _ => body.insert(at, byte),
            }
            prop_assume!(!body.is_empty());
        }
        let mut tampered = parts[victim].clone();
        tampered.part.change = resealed(&change, &body);
        tampered.entry = Hash::of(&tampered.part.change);
        parts.push(tampered);
        let whole = run(None, &parts);
        prop_assert_eq!(&whole.unprojected, &None);
        parts.reverse();
        let mut reversed = run(None, &parts[..1]);
        let mut problems: BTreeSet<_> = reversed.problems.iter().cloned().collect();
        reversed = run(Some(&reversed.state), &parts[1..]);
        problems.extend(reversed.problems.iter().cloned());
        prop_assert_eq!(&reversed.view, &whole.view);
        prop_assert_eq!(&reversed.state, &whole.state);
        prop_assert!(whole.problems.iter().all(|problem| problems.contains(problem)));
    }
}
