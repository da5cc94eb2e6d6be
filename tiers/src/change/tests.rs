use automerge::{AutoCommit, ObjType, ROOT, ScalarValue, transaction::Transactable};
use proptest::prelude::*;

use super::*;
use crate::engine;

/// The changes an automerge document makes, uncompressed.
fn made(edit: impl FnOnce(&mut AutoCommit)) -> Vec<Vec<u8>> {
    let actor = automerge::ActorId::from([7_u8; 16].as_slice());
    let mut document = AutoCommit::new().with_actor(actor);
    edit(&mut document);
    document.commit_with(automerge::transaction::CommitOptions::default().with_time(0));
    document
        .get_changes(&[])
        .iter()
        .map(|change| change.raw_bytes().to_vec())
        .collect()
}

fn bytes(value: &[u8]) -> ScalarValue {
    ScalarValue::Bytes(value.to_vec())
}

fn good() -> Vec<u8> {
    made(|d| {
        d.put(ROOT, "b", bytes(b"second")).unwrap();
        d.put(ROOT, "a", bytes(b"first, and longer")).unwrap();
    })
    .remove(0)
}

fn refused(bytes: Vec<u8>) -> ChangeError {
    Change::read(bytes).unwrap_err()
}

/// Puts the right checksum and length before a changed body.
fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut inner = vec![kind];
    let mut length = body.len();
    while length >= 0x80 {
        inner.push(length as u8 | 0x80);
        length >>= 7;
    }
    inner.push(length as u8);
    inner.extend_from_slice(body);
    let mut chunk = MAGIC.to_vec();
    chunk.extend_from_slice(&Hash::of(&inner).as_bytes()[..4]);
    chunk.extend_from_slice(&inner);
    chunk
}

fn body(change: &[u8]) -> &[u8] {
    let start = if change[9] & 0x80 == 0 { 10 } else { 11 };
    &change[start..]
}

#[test]
fn what_the_engine_makes_is_read_as_the_engine_reads_it() {
    let bytes = good();
    let engine = automerge::Change::try_from(bytes.as_slice()).unwrap();
    let change = Change::read(bytes.clone()).unwrap();
    assert_eq!(change.hash.as_bytes(), &engine.hash().0);
    assert_eq!(change.actor.as_slice(), engine.actor_id().to_bytes());
    assert_eq!(
        (change.seq, change.start_op),
        (engine.seq(), engine.start_op().get())
    );
    assert_eq!(change.max_op(), engine.max_op());
    let puts: Vec<_> = change.puts().collect();
    assert_eq!(
        puts,
        [(&b"b"[..], &b"second"[..]), (b"a", b"first, and longer")]
    );
    assert!(change.replaced.is_empty());
    assert_eq!(change.bytes(), bytes);
}

#[test]
fn a_change_that_replaces_says_so_and_names_what_it_depends_on() {
    let changes = made(|d| {
        d.put(ROOT, "a", bytes(b"1")).unwrap();
        d.commit();
        d.put(ROOT, "a", bytes(b"2")).unwrap();
    });
    let first = Change::read(changes[0].clone()).unwrap();
    let second = Change::read(changes[1].clone()).unwrap();
    let replaced = Replaced {
        put: 0,
        actor: [7; 16],
        counter: 1,
    };
    assert_eq!(second.replaced, [replaced]);
    assert_eq!(
        (second.deps, second.seq, second.start_op),
        (vec![first.hash], 2, 2)
    );
}

#[test]
fn only_one_whole_uncompressed_change_chunk_is_read() {
    let good = good();
    let mut document = AutoCommit::new();
    document.put(ROOT, "a", bytes(&[7; 400])).unwrap();
    assert_eq!(refused(document.save()), ChangeError::WrongType(0));
    let compressed = document.get_changes(&[]).remove(0).bytes().into_owned();
    assert_eq!(refused(compressed), ChangeError::WrongType(2));
    assert_eq!(refused(chunk(3, body(&good))), ChangeError::WrongType(3));
    assert_eq!(
        refused([good.clone(), vec![0]].concat()),
        ChangeError::Trailing
    );
    assert_eq!(
        refused([good.clone(), good.clone()].concat()),
        ChangeError::Trailing
    );
    assert_eq!(
        refused(good[..good.len() - 1].to_vec()),
        ChangeError::Truncated
    );
    assert_eq!(refused(vec![0; 60]), ChangeError::NotAChunk);
    assert_eq!(refused(vec![0; CHANGE_SIZE_MAX + 1]), ChangeError::TooLong);
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(refused(flipped), ChangeError::Checksum);
    assert_eq!(chunk(1, body(&good)), good);
    assert_eq!(
        refused(chunk(1, &[body(&good), b"more"].concat())),
        ChangeError::Additions
    );
}

#[test]
fn nothing_but_puts_of_bytes_under_root_keys_is_read() {
    let nested = made(|d| {
        d.put_object(ROOT, "m", ObjType::Map).unwrap();
    });
    let list = made(|d| {
        let list = d.put_object(ROOT, "l", ObjType::List).unwrap();
        d.splice(&list, 0, 0, (0..50_000).map(|_| ScalarValue::Null))
            .unwrap();
    });
    let text = made(|d| d.put(ROOT, "t", "text").unwrap());
    let counter = made(|d| d.put(ROOT, "c", ScalarValue::counter(1)).unwrap());
    let deleted = made(|d| {
        d.put(ROOT, "a", bytes(b"1")).unwrap();
        d.commit();
        d.delete(ROOT, "a").unwrap();
    });
    for change in [&nested[0], &text[0], &counter[0], &deleted[1]] {
        assert_eq!(refused(change.clone()), ChangeError::NotFlat);
    }
    assert!(list[0].len() < 200, "a bomb is small");
    assert_eq!(refused(list[0].clone()), ChangeError::NotFlat);
    let twice = made(|d| {
        for _ in 0..2 {
            d.put(ROOT, "k", bytes(b"1")).unwrap();
            d.put(ROOT, "k", bytes(b"2")).unwrap();
        }
    });
    assert_eq!(refused(twice[0].clone()), ChangeError::BadKey);
    let long = "k".repeat(KEY_SIZE_MAX + 1);
    let long = made(|d| d.put(ROOT, long.as_str(), bytes(b"1")).unwrap());
    assert_eq!(refused(long[0].clone()), ChangeError::BadKey);
}

#[test]
fn operations_are_counted_before_they_are_read() {
    let most = |count: usize| {
        made(|d| {
            for key in 0..count {
                d.put(ROOT, key.to_string(), bytes(b"")).unwrap();
            }
        })
        .remove(0)
    };
    assert!(Change::read(most(CHANGE_OPS_MAX)).is_ok());
    assert_eq!(refused(most(CHANGE_OPS_MAX + 1)), ChangeError::TooMany);
    let runs = |bytes: &[u8]| {
        let rows = Cursor { bytes, at: 0 }.runs(10, |at, count| at.byte().map(|_| count));
        rows.map(|rows| rows.iter().sum::<usize>())
    };
    assert_eq!(runs(&[10, 1]), Ok(10));
    assert_eq!(runs(&[11, 1]), Err(ChangeError::TooMany));
    assert_eq!(runs(&[6, 1, 5, 1]), Err(ChangeError::TooMany));
    assert_eq!(runs(&[0x7d, 1, 1, 1]), Ok(3));
    assert_eq!(runs(&[0x7d, 1, 1]), Err(ChangeError::Truncated));
    // 2^56 rows in nine bytes.
    assert_eq!(
        runs(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 1]),
        Err(ChangeError::TooMany)
    );
    assert_eq!(runs(&[0, 5]), Err(ChangeError::NotFlat));
}

#[test]
fn numbers_have_one_form() {
    let unsigned = |bytes: &[u8]| Cursor { bytes, at: 0 }.unsigned();
    let signed = |bytes: &[u8]| Cursor { bytes, at: 0 }.signed();
    assert_eq!((unsigned(&[0]), unsigned(&[0x80, 1])), (Ok(0), Ok(128)));
    assert_eq!(unsigned(&[0x80, 0]), Err(ChangeError::BadNumber));
    assert_eq!(unsigned(&[0xff; 10]), Err(ChangeError::BadNumber));
    assert_eq!((signed(&[0x7f]), signed(&[0x80, 0x7f])), (Ok(-1), Ok(-128)));
    assert_eq!((signed(&[0xc0, 0]), signed(&[0x40])), (Ok(64), Ok(-64)));
    for long in [&[0xff, 0x7f][..], &[0x80, 0], &[0xc0, 0x7f]] {
        assert_eq!(signed(long), Err(ChangeError::BadNumber), "{long:x?}");
    }
}

proptest! {
    /// Whatever is made of a good change: it is refused, or the engine takes it without harm and agrees
    /// about every operation.
    #[test]
    fn hostile_bytes_are_refused_or_harmless(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        let mut body = body(&good()).to_vec();
        for (index, byte, how) in edits {
            let at = index.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => body[at] ^= 1 << (byte % 8),
                2 => { body.remove(at); }
                _ => body.insert(at, byte),
            }
            if body.is_empty() {
                body.push(byte);
            }
        }
        let bytes = chunk(1, &body);
        if let Ok(change) = Change::read(bytes.clone()) {
            if !change.deps.is_empty() || !change.replaced.is_empty() {
                return Ok(());
            }
            let mut found = Vec::new();
            let heads = [change.hash].into();
            let merged = engine::merge(&[&bytes], &heads, |key, values| {
                found.extend(values.into_iter().map(|value| (key.to_vec(), value.into_owned())));
            });
            if merged.is_ok() {
                let mut puts: Vec<_> =
                    change.puts().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
                puts.sort();
                prop_assert_eq!(found, puts);
            }
        }
    }
}
