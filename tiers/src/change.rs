//! Reads a stranger's change before the document engine sees it.
//!
//! A few bytes of a change can claim millions of operations, a compressed one can inflate without end,
//! and the engine was seen to panic on broken columns. So nothing goes in that is not exactly what our
//! writers make: one uncompressed change chunk, whole, with its checksum, whose operations all put a
//! byte string under a key of the root map. Every run length is added up here with checked bounds; the
//! work is linear in the bytes.

use std::ops::Range;

use keys::Hash;

use crate::limits::{CHANGE_ACTORS_MAX, CHANGE_OPS_MAX, CHANGE_SIZE_MAX, KEY_SIZE_MAX};

/// Why bytes are not a change that may be applied. The part that carried them is put aside; its entry
/// stays stored and forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// More than [`CHANGE_SIZE_MAX`] bytes.
    #[error("longer than {CHANGE_SIZE_MAX} bytes")]
    TooLong,
    /// The bytes do not begin like a chunk.
    #[error("not a chunk")]
    NotAChunk,
    /// A chunk of another type: a document, a compressed change, a bundle.
    #[error("a chunk of type {0}, where only uncompressed changes (1) are accepted")]
    WrongType(u8),
    /// The chunk ends early.
    #[error("cut short")]
    Truncated,
    /// Bytes follow the chunk or its columns.
    #[error("bytes follow it")]
    Trailing,
    /// The checksum is not that of the bytes.
    #[error("its checksum is wrong")]
    Checksum,
    /// A number is too large or not in its shortest form.
    #[error("a number is malformed")]
    BadNumber,
    /// More operations, actors, dependencies or references than a change may have.
    #[error("more operations or references than a change may have")]
    TooMany,
    /// It has no operations.
    #[error("has no operations")]
    Empty,
    /// It carries a message or additions of a later version.
    #[error("carries a message or additions")]
    Additions,
    /// The actor's id does not have 16 bytes.
    #[error("an actor's id is not 16 bytes")]
    BadActor,
    /// The columns do not describe the same number of operations, or are out of order or unknown.
    #[error("its columns do not fit together")]
    BadColumns,
    /// An operation is not a put of a byte string under a key of the root map.
    #[error("does more than put byte strings under keys of the root map")]
    NotFlat,
    /// A key is too long, no UTF-8, or stands twice.
    #[error("a key is too long, not text, or stands twice")]
    BadKey,
}

/// One change whose bytes were checked. Ranges point into `bytes`.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    bytes: Vec<u8>,
    pub(crate) hash: Hash,
    pub(crate) actor: [u8; 16],
    /// Position among its actor's changes, counted from 1.
    pub(crate) seq: u64,
    /// Operation ids run from here.
    pub(crate) start_op: u64,
    pub(crate) deps: Vec<Hash>,
    ops: Vec<Op>,
    /// The earlier operations that the puts replace.
    pub(crate) replaced: Vec<Replaced>,
}

/// One earlier operation that a put replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Which put of this change.
    pub(crate) put: usize,
    /// Whose operation, and its id.
    pub(crate) actor: [u8; 16],
    pub(crate) counter: u64,
}

#[derive(Clone, Debug)]
struct Op {
    key: Range<usize>,
    value: Range<usize>,
}

impl Change {
    /// Checks the bytes whole.
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self, ChangeError> {
        if bytes.len() > CHANGE_SIZE_MAX {
            return Err(ChangeError::TooLong);
        }
        let mut at = Cursor {
            bytes: &bytes,
            at: 0,
        };
        if at.take(4)? != MAGIC {
            return Err(ChangeError::NotAChunk);
        }
        let checksum = at.take(4)?;
        match at.byte()? {
            CHANGE_CHUNK => {}
            other => return Err(ChangeError::WrongType(other)),
        }
        let length = at.length()?;
        if length > at.left() {
            return Err(ChangeError::Truncated);
        }
        if length < at.left() {
            return Err(ChangeError::Trailing);
        }
        // A change is named by the hash of its type, length and body.
        let hash = Hash::of(&bytes[8..]);
        if hash.as_bytes()[..4] != *checksum {
            return Err(ChangeError::Checksum);
        }
        let (header, columns) = Header::read(&mut at)?;
        let (ops, replaced) = columns.read(&bytes, &header)?;
        let Header {
            actor,
            seq,
            start_op,
            deps,
            ..
        } = header;
        Ok(Self {
            hash,
            actor,
            seq,
            start_op,
            deps,
            ops,
            replaced,
            bytes,
        })
    }

    /// Returns the bytes of the chunk.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the greatest operation id.
    pub(crate) fn max_op(&self) -> u64 {
        self.start_op + self.ops.len() as u64 - 1
    }

    /// Returns the key of the put with this operation id.
    pub(crate) fn key_of(&self, id: u64) -> Option<&[u8]> {
        let put = usize::try_from(id.checked_sub(self.start_op)?).ok()?;
        self.key(put)
    }

    /// Returns the key of the put at this position.
    pub(crate) fn key(&self, put: usize) -> Option<&[u8]> {
        self.ops.get(put).map(|op| &self.bytes[op.key.clone()])
    }

    /// Returns the puts: key (UTF-8) and value.
    pub(crate) fn puts(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.ops
            .iter()
            .map(|op| (&self.bytes[op.key.clone()], &self.bytes[op.value.clone()]))
    }
}

struct Header {
    actor: [u8; 16],
    seq: u64,
    start_op: u64,
    deps: Vec<Hash>,
    /// The author and the others it refers to.
    actors: Vec<[u8; 16]>,
}

impl Header {
    fn read(at: &mut Cursor<'_>) -> Result<(Self, Columns), ChangeError> {
        let mut deps = Vec::new();
        for _ in 0..at.count(CHANGE_ACTORS_MAX)? {
            let dep = at.take(32)?.try_into().expect("32 bytes were taken");
            deps.push(Hash::from_bytes(dep));
        }
        if deps.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(ChangeError::BadColumns);
        }
        let actor = at.actor()?;
        let seq = at.unsigned()?;
        let start_op = at.unsigned()?;
        if seq == 0 || start_op == 0 || start_op > OP_MAX {
            return Err(ChangeError::BadNumber);
        }
        at.signed()?; // The author's clock; nothing depends on it.
        if at.length()? != 0 {
            return Err(ChangeError::Additions);
        }
        let others = at.count(CHANGE_ACTORS_MAX)?;
        let mut actors = vec![actor];
        let mut last = None;
        for _ in 0..others {
            let other = at.actor()?;
            if other == actor || last.is_some_and(|last| last >= other) {
                return Err(ChangeError::BadActor);
            }
            last = Some(other);
            actors.push(other);
        }
        let columns = Columns::locate(at)?;
        Ok((
            Self {
                actor,
                seq,
                start_op,
                deps,
                actors,
            },
            columns,
        ))
    }
}

/// Where each column lies; the ones our operations leave empty are not there.
#[derive(Default)]
struct Columns {
    keys: Range<usize>,
    inserts: Range<usize>,
    actions: Range<usize>,
    value_meta: Range<usize>,
    values: Range<usize>,
    pred_count: Range<usize>,
    pred_actor: Range<usize>,
    pred_counter: Range<usize>,
}

impl Columns {
    fn locate(at: &mut Cursor<'_>) -> Result<Self, ChangeError> {
        let count = at.count(16)?;
        let mut specs = Vec::with_capacity(count);
        for _ in 0..count {
            specs.push((at.unsigned()?, at.length()?));
        }
        if specs.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return Err(ChangeError::BadColumns);
        }
        let mut columns = Self::default();
        for (spec, length) in specs {
            let start = at.at;
            at.take(length)?;
            let range = start..at.at;
            match spec {
                0x15 => columns.keys = range,
                0x34 => columns.inserts = range,
                0x42 => columns.actions = range,
                0x56 => columns.value_meta = range,
                0x57 => columns.values = range,
                0x70 => columns.pred_count = range,
                0x71 => columns.pred_actor = range,
                0x73 => columns.pred_counter = range,
                // Objects other than the root, list positions, marks.
                0x01 | 0x02 | 0x11 | 0x13 | 0x94 | 0xa5 => return Err(ChangeError::NotFlat),
                _ => return Err(ChangeError::BadColumns),
            }
        }
        if at.left() > 0 {
            return Err(ChangeError::Additions);
        }
        Ok(columns)
    }

    fn read(&self, bytes: &[u8], header: &Header) -> Result<(Vec<Op>, Vec<Replaced>), ChangeError> {
        let column = |range: &Range<usize>| Cursor {
            bytes: &bytes[..range.end],
            at: range.start,
        };
        let rows = column(&self.actions).runs(CHANGE_OPS_MAX, |at, count| {
            if at.unsigned()? != PUT {
                return Err(ChangeError::NotFlat);
            }
            Ok(count)
        })?;
        let rows = rows.iter().sum();
        if rows == 0 {
            return Err(ChangeError::Empty);
        }
        if header.start_op + rows as u64 > OP_MAX {
            return Err(ChangeError::BadNumber);
        }
        let mut inserts = column(&self.inserts);
        if inserts.length()? != rows || inserts.left() > 0 {
            return Err(ChangeError::NotFlat);
        }
        let keys = self.read_keys(column(&self.keys), rows)?;
        let values = self.read_values(column(&self.value_meta), rows)?;
        let replaced = self.read_preds(column, rows, header)?;
        let op = |(key, value)| Op { key, value };
        Ok((keys.into_iter().zip(values).map(op).collect(), replaced))
    }

    fn read_keys(&self, column: Cursor<'_>, rows: usize) -> Result<Vec<Range<usize>>, ChangeError> {
        let bytes = column.bytes;
        let keys = column.runs(rows, |at, count| {
            let length = at.length()?;
            if length > KEY_SIZE_MAX || count != 1 {
                return Err(ChangeError::BadKey);
            }
            let start = at.at;
            std::str::from_utf8(at.take(length)?).map_err(|_| ChangeError::BadKey)?;
            Ok(start..at.at)
        })?;
        if keys.len() != rows {
            return Err(ChangeError::BadColumns);
        }
        // Our writers sort; who does not pays for the sorting.
        let text = |key: &Range<usize>| &bytes[key.clone()];
        if keys.windows(2).any(|pair| text(&pair[0]) >= text(&pair[1])) {
            let mut sorted: Vec<_> = keys.iter().map(text).collect();
            sorted.sort_unstable();
            if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(ChangeError::BadKey);
            }
        }
        Ok(keys)
    }

    fn read_values(
        &self,
        column: Cursor<'_>,
        rows: usize,
    ) -> Result<Vec<Range<usize>>, ChangeError> {
        let (mut values, mut start) = (Vec::with_capacity(rows), self.values.start);
        column.runs(rows, |at, count| {
            let meta = at.unsigned()?;
            if meta & 0x0f != BYTES {
                return Err(ChangeError::NotFlat);
            }
            let length = usize::try_from(meta >> 4).map_err(|_| ChangeError::Truncated)?;
            for _ in 0..count {
                let end = start
                    .checked_add(length)
                    .filter(|end| *end <= self.values.end);
                let end = end.ok_or(ChangeError::Truncated)?;
                values.push(start..end);
                start = end;
            }
            Ok(())
        })?;
        if values.len() != rows || start != self.values.end {
            return Err(ChangeError::BadColumns);
        }
        Ok(values)
    }

    /// Reads the references to replaced operations: their actors must be named, and they must be older
    /// than this change. Whether they are there is the history's to say.
    fn read_preds<'a>(
        &self,
        column: impl Fn(&Range<usize>) -> Cursor<'a>,
        rows: usize,
        header: &Header,
    ) -> Result<Vec<Replaced>, ChangeError> {
        let mut puts = Vec::new();
        let mut groups = 0;
        column(&self.pred_count).runs(rows, |at, count| {
            let each = at.length()?;
            let preds = each
                .checked_mul(count)
                .and_then(|more| more.checked_add(puts.len()));
            if preds.is_none_or(|preds| preds > CHANGE_OPS_MAX) {
                return Err(ChangeError::TooMany);
            }
            for put in groups..groups + count {
                puts.extend(std::iter::repeat_n(put, each));
            }
            groups += count;
            Ok(())
        })?;
        let mut actors = Vec::with_capacity(puts.len());
        column(&self.pred_actor).runs(puts.len(), |at, count| {
            let actor = header
                .actors
                .get(at.length()?)
                .ok_or(ChangeError::BadActor)?;
            actors.extend(std::iter::repeat_n(*actor, count));
            Ok(())
        })?;
        let (mut counters, mut counter) = (Vec::with_capacity(puts.len()), 0_i64);
        column(&self.pred_counter).runs(puts.len(), |at, count| {
            let step = at.signed()?;
            for _ in 0..count {
                counter = counter.checked_add(step).ok_or(ChangeError::BadNumber)?;
                if counter < 1 || counter.unsigned_abs() >= header.start_op {
                    return Err(ChangeError::BadNumber);
                }
                counters.push(counter.unsigned_abs());
            }
            Ok(())
        })?;
        if groups != rows || actors.len() != puts.len() || counters.len() != puts.len() {
            return Err(ChangeError::BadColumns);
        }
        let replaced = puts.into_iter().zip(actors).zip(counters);
        let replaced = replaced
            .map(|((put, actor), counter)| Replaced {
                put,
                actor,
                counter,
            })
            .collect::<Vec<_>>();
        // Of one put in ascending order, none twice, as the engine writes and expects them.
        let order = |pred: &Replaced| (pred.put, pred.counter, pred.actor);
        if replaced
            .windows(2)
            .any(|pair| order(&pair[0]) >= order(&pair[1]))
        {
            return Err(ChangeError::BadColumns);
        }
        Ok(replaced)
    }
}

#[derive(Clone)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ChangeError> {
        let end = self.at.checked_add(length).ok_or(ChangeError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(ChangeError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, ChangeError> {
        Ok(self.take(1)?[0])
    }

    fn actor(&mut self) -> Result<[u8; 16], ChangeError> {
        let length = self.length()?;
        self.take(length)?
            .try_into()
            .map_err(|_| ChangeError::BadActor)
    }

    fn count(&mut self, max: usize) -> Result<usize, ChangeError> {
        let count = self.length()?;
        if count > max {
            Err(ChangeError::TooMany)
        } else {
            Ok(count)
        }
    }

    fn length(&mut self) -> Result<usize, ChangeError> {
        usize::try_from(self.unsigned()?).map_err(|_| ChangeError::BadNumber)
    }

    /// Reads an unsigned LEB128 number in its shortest form.
    fn unsigned(&mut self) -> Result<u64, ChangeError> {
        let mut number = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || shift == 0;
                return if shortest {
                    Ok(number)
                } else {
                    Err(ChangeError::BadNumber)
                };
            }
        }
        Err(ChangeError::BadNumber)
    }

    /// Reads a signed LEB128 number in its shortest form.
    fn signed(&mut self) -> Result<i64, ChangeError> {
        let (mut number, mut last) = (0_i64, 0_u8);
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte & 0x40 != 0 {
                    number |= -1_i64 << (shift + 7).min(63);
                }
                // A last byte that only repeats the sign says nothing.
                let sign_again =
                    (byte == 0 && last & 0x40 == 0) || (byte == 0x7f && last & 0x40 != 0);
                let shortest = shift == 0 || !sign_again;
                return if shortest {
                    Ok(number)
                } else {
                    Err(ChangeError::BadNumber)
                };
            }
            last = byte;
        }
        Err(ChangeError::BadNumber)
    }

    /// Reads a run-length encoded column to its end: `each` reads one value, of which `count` follow
    /// each other. Rows without a value are refused; more than `max` rows too, before they are read.
    fn runs<T>(
        mut self,
        max: usize,
        mut each: impl FnMut(&mut Self, usize) -> Result<T, ChangeError>,
    ) -> Result<Vec<T>, ChangeError> {
        let (mut rows, mut read) = (0_usize, Vec::new());
        while self.left() > 0 {
            let run = self.signed()?;
            let count = usize::try_from(run.unsigned_abs()).map_err(|_| ChangeError::TooMany)?;
            rows = rows
                .checked_add(count)
                .filter(|rows| *rows <= max)
                .ok_or(ChangeError::TooMany)?;
            match run {
                0 => return Err(ChangeError::NotFlat),
                1.. => read.push(each(&mut self, count)?),
                _ => {
                    for _ in 0..count {
                        read.push(each(&mut self, 1)?);
                    }
                }
            }
        }
        Ok(read)
    }
}

const MAGIC: &[u8] = &[0x85, 0x6f, 0x4a, 0x83];
const CHANGE_CHUNK: u8 = 1;
/// The action of setting a key.
const PUT: u64 = 1;
/// The type of a byte string among values.
const BYTES: u64 = 7;
/// Operation ids stay below this; the engine keeps them in 32 bits.
const OP_MAX: u64 = 1 << 31;

#[cfg(test)]
mod tests;
