//! The one door to automerge: what merges values that were written apart, and makes changes upon them.
//!
//! It was seen to panic on hostile input, so it only ever gets changes that passed [`crate::change`]
//! and [`crate::history`], and every call is caught.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::{
    ActorId, Automerge, Change, ChangeHash, ExpandedChange, ObjId, ROOT, ReadDoc, ScalarValue,
    Value, ValueRef,
};
use keys::Hash;

/// What a new change shall be.
pub(crate) struct Draft<'a> {
    pub(crate) actor: [u8; 16],
    pub(crate) seq: u64,
    pub(crate) start_op: u64,
    /// Sorted.
    pub(crate) deps: Vec<Hash>,
    pub(crate) puts: &'a BTreeMap<String, Vec<u8>>,
}

/// The engine refused changes, panicked, or came to other heads than it should.
#[derive(Debug)]
pub(crate) struct Broken;

/// Returns the uncompressed bytes of a change whose keys are all new to the dossier: nothing has to be
/// opened for it.
pub(crate) fn change_of_new_keys(draft: &Draft<'_>) -> Result<Vec<u8>, Broken> {
    guarded(|| {
        let ops = draft
            .puts
            .iter()
            .map(|(key, value)| put(key, value, Vec::new()))
            .collect();
        assemble(draft, ops)
    })
}

/// Returns the uncompressed bytes of a change upon the applied ones; `None` if it would change nothing.
///
/// The operations it replaces are gathered here rather than by the engine's own `put`, which takes
/// choosing the shown one of several conflicting values for no change.
pub(crate) fn change_upon(applied: &[&[u8]], draft: &Draft<'_>) -> Result<Option<Vec<u8>>, Broken> {
    guarded(|| {
        let document = open(applied)?;
        let mut ops = Vec::with_capacity(draft.puts.len());
        for (key, value) in draft.puts {
            let (mut replaced, mut differs) = (Vec::new(), false);
            for (shown, id) in document.get_all(ROOT, key.as_str()).map_err(|_| Broken)? {
                let ObjId::Id(counter, actor, _) = id else {
                    return Err(Broken);
                };
                replaced.push(OpId(counter, actor));
                differs |= owned(shown)?.as_ref() != value.as_slice();
            }
            if replaced.is_empty() || differs {
                ops.push(put(key, value, replaced));
            }
        }
        if ops.is_empty() {
            Ok(None)
        } else {
            assemble(draft, ops).map(Some)
        }
    })
}

fn put(key: &str, value: &[u8], replaced: Vec<OpId>) -> Op {
    Op {
        action: OpType::Put(ScalarValue::Bytes(value.to_vec())),
        obj: ObjectId::Root,
        key: Key::Map(key.into()),
        pred: replaced.into(),
        insert: false,
    }
}

fn assemble(draft: &Draft<'_>, operations: Vec<Op>) -> Result<Vec<u8>, Broken> {
    let change = Change::from(ExpandedChange {
        operations,
        actor_id: ActorId::from(draft.actor.as_slice()),
        hash: None,
        seq: draft.seq,
        start_op: NonZeroU64::new(draft.start_op).ok_or(Broken)?,
        time: 0,
        message: None,
        deps: draft
            .deps
            .iter()
            .map(|hash| ChangeHash(*hash.as_bytes()))
            .collect(),
        extra_bytes: Vec::new(),
        author: None,
    });
    Ok(change.raw_bytes().to_vec())
}

/// Merges changes, given in an order where dependencies come first, and hands over each key with its
/// values, the winner first. `heads` is what the document must come to.
pub(crate) fn merge(
    applied: &[&[u8]],
    heads: &BTreeSet<Hash>,
    mut each: impl FnMut(&[u8], Vec<Cow<'static, [u8]>>),
) -> Result<(), Broken> {
    let keys = guarded(|| {
        let document = open(applied)?;
        let found: BTreeSet<_> = document
            .get_heads()
            .into_iter()
            .map(|head| Hash::from_bytes(head.0))
            .collect();
        if found != *heads {
            return Err(Broken);
        }
        let mut keys = Vec::new();
        for item in document.map_range(ROOT, ..) {
            let values = if item.conflict {
                let all = document
                    .get_all(ROOT, item.key.as_ref())
                    .map_err(|_| Broken)?;
                // The engine names the winner last.
                all.into_iter()
                    .rev()
                    .map(|(value, _)| owned(value))
                    .collect::<Result<_, _>>()?
            } else {
                vec![borrowed(item.value)?]
            };
            keys.push((item.key.into_owned(), values));
        }
        Ok(keys)
    })?;
    for (key, values) in keys {
        each(key.as_bytes(), values);
    }
    Ok(())
}

/// Finds the first change that breaks the engine, applying them one by one; `None` if none does alone.
pub(crate) fn first_broken(applied: &[&[u8]]) -> Option<usize> {
    let mut document = Automerge::new();
    for (index, bytes) in applied.iter().enumerate() {
        let next = guarded(|| {
            let mut next = document.fork();
            apply(&mut next, &[bytes])?;
            Ok(next)
        });
        match next {
            Ok(next) => document = next,
            Err(Broken) => return Some(index),
        }
    }
    None
}

fn open(applied: &[&[u8]]) -> Result<Automerge, Broken> {
    let mut document = Automerge::new();
    apply(&mut document, applied)?;
    Ok(document)
}

fn apply(document: &mut Automerge, changes: &[&[u8]]) -> Result<(), Broken> {
    let read = changes.iter().map(|bytes| Change::try_from(*bytes));
    let changes: Vec<_> = read.collect::<Result<_, _>>().map_err(|_| Broken)?;
    document.apply_changes(changes).map_err(|_| Broken)
}

fn owned(value: Value<'_>) -> Result<Cow<'static, [u8]>, Broken> {
    match value {
        Value::Scalar(scalar) => match scalar.as_ref() {
            ScalarValue::Bytes(bytes) => Ok(Cow::Owned(bytes.clone())),
            _ => Err(Broken),
        },
        Value::Object(_) => Err(Broken),
    }
}

fn borrowed(value: ValueRef<'_>) -> Result<Cow<'static, [u8]>, Broken> {
    owned(value.into())
}

/// Runs the engine; a panic is one more way to be broken.
fn guarded<T>(run: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(Broken))
}
