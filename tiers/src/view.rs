//! What a dossier shows: every record as born, overlaid by its edits.
//!
//! Where edits of one field were made apart and differ, all values are kept in the order of their
//! bytes, and one of them, the same at every node, is shown as the current one: the edit with the
//! greater operation id in the document, that is the one made with more history in sight.
//!
//! The canonical bytes: `[1, unknown keys, orphan edits, {record id: record}]`. A record nobody edited
//! is its birth as it was written; any other is
//! `[2, kind hash, {field: value}, {class: commitment}, {field: [value or null, ...]}, edited]`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use keys::{DecodeError, Hash};
use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::class::ReachClass;
use crate::dossier::Key;
use crate::kind::{FieldType, Fields, Kind, Merge};
use crate::record::{Birth, RecordId, decode_fields};
use crate::value::Value;

/// Shows one dossier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DossierView {
    /// The records.
    pub records: BTreeMap<RecordId, RecordView>,
    /// Keys of the document this version does not know; they are kept and not shown.
    pub unknown_keys: u32,
    /// Edits of records whose birth has not arrived.
    pub orphan_edits: u32,
}

/// Shows one record, as far as one dossier holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordView {
    /// The hash of the kind's definition.
    pub kind: Hash,
    /// The current values.
    pub fields: Fields,
    /// In the widest dossier, what stands for the narrower classes.
    pub commitments: BTreeMap<ReachClass, Hash>,
    /// Fields with different values written apart: all of them, by their bytes; `None` where one
    /// writer cleared the field. The current value is one of them.
    pub conflicts: BTreeMap<u16, Vec<Option<Value>>>,
    /// Whether anything was edited after birth.
    pub edited: bool,
}

impl DossierView {
    /// Returns the canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        keys::cbor::to_vec(self)
    }

    /// Reads a view from its bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        keys::cbor::from_slice(bytes)
    }
}

impl RecordView {
    /// Settles the conflicts that the kind says are none: of a last-writer-wins field the current
    /// value stays, sets are united. What is left in [`RecordView::conflicts`] waits for a person.
    pub fn settle(&mut self, kind: &Kind) {
        self.conflicts.retain(|number, values| {
            let Some(field) = kind.field(*number) else {
                return true;
            };
            let union = || {
                let sets = values.iter().flatten().filter_map(|value| match value {
                    Value::Set(items) => Some(items),
                    _ => None,
                });
                Value::Set(sets.flatten().cloned().collect())
            };
            match (field.merge, &field.holds) {
                (Merge::Lww, _) => false,
                (Merge::Set | Merge::Append, FieldType::List(_)) => {
                    self.fields.insert(*number, union());
                    false
                }
                _ => true,
            }
        });
    }
}

/// Gathers the keys of a document into a view.
#[derive(Default)]
pub(crate) struct ViewBuilder<'a> {
    records: BTreeMap<RecordId, Gathered<'a>>,
    unknown_keys: u32,
    bad_values: u32,
}

/// The bytes found under a record's keys, the document's winner first.
#[derive(Default)]
struct Gathered<'a> {
    births: Vec<Cow<'a, [u8]>>,
    edits: BTreeMap<u16, Vec<Cow<'a, [u8]>>>,
    commitments: BTreeMap<ReachClass, Vec<Cow<'a, [u8]>>>,
}

impl<'a> ViewBuilder<'a> {
    /// Adds what the document holds under one key, its winner first.
    pub(crate) fn add(&mut self, key: &[u8], values: impl IntoIterator<Item = Cow<'a, [u8]>>) {
        match Key::parse(key) {
            Some(Key::Birth(record)) => self.record(record).births.extend(values),
            Some(Key::Field(record, field)) => {
                self.record(record)
                    .edits
                    .entry(field)
                    .or_default()
                    .extend(values);
            }
            Some(Key::Commitment(record, class)) => {
                self.record(record)
                    .commitments
                    .entry(class)
                    .or_default()
                    .extend(values);
            }
            None => self.unknown_keys += 1,
        }
    }

    fn record(&mut self, record: RecordId) -> &mut Gathered<'a> {
        self.records.entry(record).or_default()
    }

    /// Returns the view's canonical bytes and how many values could not be read and were left out.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u32) {
        let mut orphans = 0_u32;
        let mut shown = 0_u64;
        let mut body = Vec::with_capacity(self.records.len() * 256);
        for (id, gathered) in std::mem::take(&mut self.records) {
            let count = gathered.edits.len() + gathered.commitments.len();
            let record = match gathered.only_birth() {
                Some(birth) => Birth::from_bytes(birth).ok().map(|_| Cow::Borrowed(birth)),
                None => gathered
                    .overlay(&mut self.bad_values)
                    .map(|record| Cow::Owned(keys::cbor::to_vec(&record))),
            };
            match record {
                Some(record) => {
                    shown += 1;
                    put(&mut body, |e| e.bytes(id.as_bytes()).map(|_| ()));
                    body.extend_from_slice(&record);
                }
                None if gathered.births.is_empty() => orphans += count as u32,
                None => {
                    self.bad_values += u32::from(count == 0);
                    orphans += count as u32;
                }
            }
        }
        let mut bytes = Vec::with_capacity(body.len() + 16);
        put(&mut bytes, |e| {
            e.array(4)?
                .u8(VIEW_VERSION)?
                .u32(self.unknown_keys)?
                .u32(orphans)?
                .map(shown)?
                .ok()
        });
        bytes.extend_from_slice(&body);
        (bytes, self.bad_values)
    }
}

impl Gathered<'_> {
    /// Returns the birth when there is nothing else.
    fn only_birth(&self) -> Option<&[u8]> {
        match self.births.as_slice() {
            [birth] if self.edits.is_empty() && self.commitments.is_empty() => Some(birth),
            _ => None,
        }
    }

    /// Overlays the births by the edits; counts what cannot be read. `None` without a readable birth.
    fn overlay(&self, bad_values: &mut u32) -> Option<RecordView> {
        let births = read(&self.births, bad_values, |bytes| {
            Birth::from_bytes(bytes).ok()
        });
        let first = births.first()?;
        let mut record = RecordView {
            kind: first.kind,
            fields: first.fields.clone(),
            commitments: first.commitments.clone(),
            conflicts: BTreeMap::new(),
            edited: !self.edits.is_empty() || !self.commitments.is_empty(),
        };
        let numbers = births.iter().flat_map(|birth| birth.fields.keys().copied());
        for number in numbers.collect::<std::collections::BTreeSet<_>>() {
            let values = births
                .iter()
                .map(|birth| birth.fields.get(&number).cloned())
                .collect();
            record.show(number, values);
        }
        for (number, bytes) in &self.edits {
            let values = read(bytes, bad_values, read_edit);
            if !values.is_empty() {
                record.show(*number, values);
            }
        }
        for (class, bytes) in &self.commitments {
            let read = read(bytes, bad_values, |bytes| {
                keys::cbor::from_slice::<Hash>(bytes).ok()
            });
            if let Some(winner) = read.first() {
                record.commitments.insert(*class, *winner);
            }
        }
        Some(record)
    }
}

impl RecordView {
    /// Shows the values of a field, the winner first, in place of what was shown before.
    fn show(&mut self, number: u16, values: Vec<Option<Value>>) {
        match values.first() {
            Some(Some(winner)) => self.fields.insert(number, winner.clone()),
            _ => self.fields.remove(&number),
        };
        let mut distinct = values;
        distinct.sort_unstable_by_key(edit_bytes);
        distinct.dedup();
        if distinct.len() > 1 {
            self.conflicts.insert(number, distinct);
        } else {
            self.conflicts.remove(&number);
        }
    }
}

fn read<T>(
    values: &[Cow<'_, [u8]>],
    bad_values: &mut u32,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Vec<T> {
    let good: Vec<_> = values.iter().filter_map(|bytes| read(bytes)).collect();
    *bad_values += (values.len() - good.len()) as u32;
    good
}

/// Returns the bytes of an edit: a value, or null for a cleared field.
pub(crate) fn edit_bytes(value: &Option<Value>) -> Vec<u8> {
    keys::cbor::to_vec(value)
}

fn read_edit(bytes: &[u8]) -> Option<Option<Value>> {
    keys::cbor::from_slice::<Option<Value>>(bytes).ok()
}

/// Returns whether this version can read what stands under a key; true for keys it does not know.
pub(crate) fn is_readable(key: &[u8], bytes: &[u8]) -> bool {
    match Key::parse(key) {
        Some(Key::Birth(_)) => Birth::from_bytes(bytes).is_ok(),
        Some(Key::Field(..)) => read_edit(bytes).is_some(),
        Some(Key::Commitment(..)) => keys::cbor::from_slice::<Hash>(bytes).is_ok(),
        None => true,
    }
}

impl<C> Encode<C> for DossierView {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?
            .u8(VIEW_VERSION)?
            .u32(self.unknown_keys)?
            .u32(self.orphan_edits)?;
        e.encode_with(&self.records, ctx)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for DossierView {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        if d.array()? != Some(4) || d.u8()? != VIEW_VERSION {
            return Err(decode::Error::message("not a view of version 1"));
        }
        let (unknown_keys, orphan_edits) = (d.u32()?, d.u32()?);
        Ok(Self {
            records: d.decode_with(ctx)?,
            unknown_keys,
            orphan_edits,
        })
    }
}

impl<C> Encode<C> for RecordView {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        if !self.edited && self.conflicts.is_empty() {
            let (kind, fields) = (self.kind, self.fields.clone());
            return Birth {
                kind,
                fields,
                commitments: self.commitments.clone(),
            }
            .encode(e, ctx);
        }
        e.array(6)?
            .u8(OVERLAID)?
            .encode_with(self.kind, ctx)?
            .encode_with(&self.fields, ctx)?;
        e.encode_with(&self.commitments, ctx)?
            .encode_with(&self.conflicts, ctx)?;
        e.bool(self.edited)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RecordView {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let mut ahead = d.probe();
        if ahead.array()? != Some(6) {
            let Birth {
                kind,
                fields,
                commitments,
            } = Birth::decode(d, ctx)?;
            let conflicts = BTreeMap::new();
            return Ok(Self {
                kind,
                fields,
                commitments,
                conflicts,
                edited: false,
            });
        }
        d.array()?;
        if d.u8()? != OVERLAID {
            return Err(decode::Error::message("not a record of this version"));
        }
        Ok(Self {
            kind: d.decode_with(ctx)?,
            fields: decode_fields(d, ctx)?,
            commitments: d.decode_with(ctx)?,
            conflicts: decode_conflicts(d, ctx)?,
            edited: d.bool()?,
        })
    }
}

fn decode_conflicts<C>(
    d: &mut Decoder<'_>,
    ctx: &mut C,
) -> Result<BTreeMap<u16, Vec<Option<Value>>>, decode::Error> {
    let mut conflicts = BTreeMap::new();
    for _ in 0..d.map()?.unwrap_or(0) {
        let number = d.u16()?;
        let mut values = Vec::new();
        for _ in 0..d.array()?.unwrap_or(0) {
            values.push(match d.datatype()? {
                Type::Null => {
                    d.null()?;
                    None
                }
                _ => Some(Value::decode(d, ctx)?),
            });
        }
        conflicts.insert(number, values);
    }
    Ok(conflicts)
}

fn put(
    out: &mut Vec<u8>,
    write: impl FnOnce(
        &mut Encoder<&mut Vec<u8>>,
    ) -> Result<(), encode::Error<core::convert::Infallible>>,
) {
    write(&mut Encoder::new(out)).expect("writing to a vector cannot fail");
}

const VIEW_VERSION: u8 = 1;
const OVERLAID: u8 = 2;
