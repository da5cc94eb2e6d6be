//! Dossiers: one document per subject, period and reach, and how edits become one change of it.
//!
//! The document is one flat map. A record is born under its id, as one value; an edit stands under the
//! record's id and the field's number, so that edits made apart merge field by field:
//!
//! ```text
//! 0f3c..(32 hex)          the birth's canonical CBOR
//! 0f3c..(32 hex)/7        the value of field 7, or null where it was cleared
//! 0f3c..(32 hex)/c0       the commitment to class 0, written anew with the class's fields
//! ```

use std::collections::{BTreeMap, BTreeSet};

use federation_protocol::{DossierPart, Period, Reach};
use keys::{DossierSecret, Hash, NodeKey, StoreEpoch, UnitId};
use rand_core::CryptoRng;

use crate::change::{Change, ChangeError};
use crate::class::ReachClass;
use crate::engine;
use crate::history::History;
use crate::limits::{
    CHANGE_OPS_MAX, CHANGE_SIZE_MAX, DOSSIER_SECRETS_MAX, FIELD_NUMBER_MAX, WRITER_RECORDS_MAX,
    WRITER_SIZE_MAX,
};
use crate::record::{Birth, RecordId};
use crate::value::Value;
use crate::view::edit_bytes;

/// Names a dossier: all records of all kinds of one subject, for one period, of one reach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DossierId {
    /// The unit whose records they are.
    pub unit: UnitId,
    /// The semester; none for registries.
    pub period: Option<Period>,
    /// How far the dossier's logs travel.
    pub reach: Reach,
    /// Whom the records are about: a student, a venue, or the unit itself.
    pub subject: String,
}

impl DossierId {
    /// Returns a key for ordered stores: unit, period, reach and subject, each of the first three ended
    /// by a zero byte, so that the dossiers of a unit, of a period, of a reach lie together.
    pub fn to_key_bytes(&self) -> Vec<u8> {
        let period = self
            .period
            .map(|period| period.to_string())
            .unwrap_or_default();
        format!("{}\0{period}\0{}\0{}", self.unit, self.reach, self.subject).into_bytes()
    }

    /// Reads a dossier's name back from its key.
    pub fn from_key_bytes(bytes: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(bytes).ok()?.splitn(4, '\0');
        let (unit, period, reach) = (parts.next()?, parts.next()?, parts.next()?);
        let subject = parts.next()?.to_owned();
        let period = if period.is_empty() {
            None
        } else {
            Some(period.parse().ok()?)
        };
        let reach = match reach.split_once(':') {
            None if reach == "own" => Reach::Own,
            None if reach == "below" => Reach::Below,
            Some(("up", tier)) => Reach::Up(tier.parse().ok()?),
            Some(("to", unit)) => Reach::To(unit.parse().ok()?),
            _ => return None,
        };
        Some(Self {
            unit: unit.parse().ok()?,
            period,
            reach,
            subject,
        })
    }
}

/// Names who writes a change: a node in one life of its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor {
    /// The node.
    pub node: NodeKey,
    /// The epoch of its store.
    pub epoch: StoreEpoch,
}

impl Actor {
    /// Returns the actor's id inside documents: the first 16 bytes of a hash over node and epoch.
    pub fn id(&self) -> [u8; 16] {
        let hash = Hash::tagged(
            "sanji/1/actor",
            &[self.node.as_bytes(), self.epoch.as_bytes()],
        );
        *hash
            .as_bytes()
            .first_chunk()
            .expect("a hash is longer than an actor's id")
    }
}

/// One wish of a writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A record begins.
    Birth {
        /// The record.
        record: RecordId,
        /// Its kind and the fields of the dossier's class.
        birth: Birth,
    },
    /// A field takes another value.
    Set {
        /// The record.
        record: RecordId,
        /// The field's number.
        field: u16,
        /// The value.
        value: Value,
    },
    /// A field becomes empty.
    Clear {
        /// The record.
        record: RecordId,
        /// The field's number.
        field: u16,
    },
    /// In the widest dossier, the commitment to a narrower class is written anew; in the same commit
    /// as the class's own fields.
    Commit {
        /// The record.
        record: RecordId,
        /// The narrower class.
        class: ReachClass,
        /// The new commitment.
        commitment: Hash,
    },
}

/// A key of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Birth(RecordId),
    Field(RecordId, u16),
    Commitment(RecordId, ReachClass),
}

impl Key {
    /// Reads a key; `None` for keys this version does not know.
    pub(crate) fn parse(key: &[u8]) -> Option<Self> {
        let (id, rest) = key.split_at_checked(32)?;
        let record = std::str::from_utf8(id).ok()?.parse().ok()?;
        let Some(suffix) = rest.strip_prefix(b"/") else {
            return rest.is_empty().then_some(Self::Birth(record));
        };
        let (digits, is_class) = match suffix.strip_prefix(b"c") {
            Some(digits) => (digits, true),
            None => (suffix, false),
        };
        let is_number = digits.iter().all(u8::is_ascii_digit) && !digits.starts_with(b"0");
        let is_zero = is_class && digits == b"0";
        let number: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        if !is_number && !is_zero {
            return None;
        }
        if is_class {
            let class = ReachClass::from_number(u8::try_from(number).ok()?)?;
            return Some(Self::Commitment(record, class));
        }
        (number <= FIELD_NUMBER_MAX).then_some(Self::Field(record, number))
    }

    fn text(self) -> String {
        match self {
            Self::Birth(record) => record.to_string(),
            Self::Field(record, field) => format!("{record}/{field}"),
            Self::Commitment(record, class) => format!("{record}/c{}", class.number()),
        }
    }
}

impl Edit {
    fn put(&self) -> (Key, Vec<u8>) {
        match self {
            Self::Birth { record, birth } => (Key::Birth(*record), birth.to_bytes()),
            Self::Set {
                record,
                field,
                value,
            } => (
                Key::Field(*record, *field),
                edit_bytes(&Some(value.clone())),
            ),
            Self::Clear { record, field } => (Key::Field(*record, *field), edit_bytes(&None)),
            Self::Commit {
                record,
                class,
                commitment,
            } => (
                Key::Commitment(*record, *class),
                keys::cbor::to_vec(commitment),
            ),
        }
    }
}

/// Holds every change of a dossier ever given to this node, applied or waiting, and its secrets.
///
/// Its bytes depend only on the set of parts given, whatever their order; they are a cache, rebuilt
/// from signed entries at any time. The changes are kept as they were signed rather than as the
/// engine's own snapshot, because a snapshot re-encodes strangers' bytes and depends on their order.
#[derive(Clone, Debug, Default)]
pub struct DossierState {
    /// The lowest seen, at most [`DOSSIER_SECRETS_MAX`].
    secrets: BTreeSet<[u8; 32]>,
    /// By the change's hash.
    changes: BTreeMap<Hash, Held>,
}

#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// The entry that brought it; the lowest if several did.
    pub(crate) entry: Hash,
    pub(crate) change: Change,
}

/// Why stored bytes are no dossier. They are a cache: rebuild it from the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The bytes are not what this or an older version wrote.
    #[error("the stored dossier is damaged or newer than this version")]
    Malformed,
    /// A stored change does not pass the checks it passed before.
    #[error("a stored change is damaged: {0}")]
    Change(#[from] ChangeError),
}

impl DossierState {
    /// Returns the stored form: `[1, [secret, ...], [[entry, change], ...]]`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size() + self.changes.len() * 40 + 64);
        let mut e = minicbor::Encoder::new(&mut bytes);
        let secrets = self.secrets.iter();
        e.array(3)
            .and_then(|e| e.u8(STATE_VERSION))
            .and_then(|e| e.array(self.secrets.len() as u64))
            .and_then(|e| secrets.into_iter().try_fold(e, |e, secret| e.bytes(secret)))
            .and_then(|e| e.array(self.changes.len() as u64))
            .and_then(|e| {
                self.changes.values().try_fold(e, |e, held| {
                    e.array(2)?
                        .bytes(held.entry.as_bytes())?
                        .bytes(held.change.bytes())
                })
            })
            .expect("writing to a vector cannot fail");
        bytes
    }

    /// Reads the stored form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        fn malformed<E>(_: E) -> StateError {
            StateError::Malformed
        }
        let mut d = minicbor::Decoder::new(bytes);
        let array = |d: &mut minicbor::Decoder<'_>| {
            d.array().map_err(malformed)?.ok_or(StateError::Malformed)
        };
        if array(&mut d)? != 3 || d.u8().map_err(malformed)? != STATE_VERSION {
            return Err(StateError::Malformed);
        }
        let mut state = Self::default();
        for _ in 0..array(&mut d)? {
            let secret = d
                .bytes()
                .map_err(malformed)?
                .try_into()
                .map_err(malformed)?;
            state.secrets.insert(secret);
        }
        for _ in 0..array(&mut d)? {
            if array(&mut d)? != 2 {
                return Err(StateError::Malformed);
            }
            let entry = d
                .bytes()
                .map_err(malformed)?
                .try_into()
                .map_err(malformed)?;
            let change = Change::read(d.bytes().map_err(malformed)?.to_vec())?;
            let held = Held {
                entry: Hash::from_bytes(entry),
                change,
            };
            state.changes.insert(held.change.hash, held);
        }
        if d.position() != bytes.len() {
            return Err(StateError::Malformed);
        }
        Ok(state)
    }

    /// Returns the dossier's secret: the lowest that any author sent.
    pub fn secret(&self) -> Option<DossierSecret> {
        self.secrets
            .first()
            .map(|secret| DossierSecret::from_bytes(*secret))
    }

    /// Returns every secret seen, lowest first: more than one when nodes began the dossier apart.
    pub fn secrets(&self) -> Vec<DossierSecret> {
        self.secrets
            .iter()
            .map(|secret| DossierSecret::from_bytes(*secret))
            .collect()
    }

    /// Returns the newest applied changes: what a step that signs the dossier names.
    pub fn heads(&self) -> Vec<Hash> {
        History::of(self).heads().iter().copied().collect()
    }

    /// Returns the bytes of all changes together.
    pub fn size(&self) -> usize {
        self.changes
            .values()
            .map(|held| held.change.bytes().len())
            .sum()
    }

    pub(crate) fn changes(&self) -> &BTreeMap<Hash, Held> {
        &self.changes
    }

    pub(crate) fn add_secret(&mut self, secret: [u8; 32]) {
        self.secrets.insert(secret);
        while self.secrets.len() > DOSSIER_SECRETS_MAX {
            self.secrets.pop_last();
        }
    }

    pub(crate) fn add_change(&mut self, entry: Hash, change: Change) {
        let held = self
            .changes
            .entry(change.hash)
            .or_insert(Held { entry, change });
        held.entry = held.entry.min(entry);
    }
}

/// Why edits were not written. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Every edit says what the dossier says already, as when a file is imported again.
    #[error("nothing to write: the dossier says so already")]
    NothingToWrite,
    /// The record has another birth in the dossier.
    #[error("record {0} exists and was born otherwise")]
    BornOtherwise(RecordId),
    /// The record is not in the dossier.
    #[error("record {0} is not in this dossier")]
    UnknownRecord(RecordId),
    /// A field's number is 0 or above [`FIELD_NUMBER_MAX`].
    #[error("field number {0} is out of range")]
    BadField(u16),
    /// The edits do not fit one change; write them in several.
    #[error("{ops} edits of {size} bytes do not fit one change")]
    TooMuch {
        /// Operations needed.
        ops: usize,
        /// Bytes needed, as far as they were counted.
        size: usize,
    },
    /// The dossier has reached what one writer may fill it to.
    #[error("the dossier is full")]
    Full,
    /// The engine cannot open the dossier or take the edits; see the problems its projection reports.
    #[error("the dossier cannot be opened for writing")]
    Broken,
}

/// Returns the secret to commit with: the dossier's own, or a fresh one for [`write_with`].
pub fn secret_for<R: CryptoRng + ?Sized>(
    state: Option<&DossierState>,
    rng: &mut R,
) -> DossierSecret {
    state
        .and_then(DossierState::secret)
        .unwrap_or_else(|| DossierSecret::generate(rng))
}

/// Turns edits into one change of a dossier. The part carries a fresh secret exactly if the dossier has
/// none. A later edit of a key in `edits` replaces an earlier one; edits that change nothing are left
/// out. The same arguments give the same bytes: the change carries neither time nor message.
pub fn write<R: CryptoRng + ?Sized>(
    id: &DossierId,
    state: Option<&DossierState>,
    author: &Actor,
    edits: &[Edit],
    rng: &mut R,
) -> Result<DossierPart, WriteError> {
    write_with(id, state, author, edits, &secret_for(state, rng))
}

/// Does what [`write()`] does with a secret that was drawn before, for whoever had to commit with it
/// first ([`secret_for`]).
pub fn write_with(
    id: &DossierId,
    state: Option<&DossierState>,
    author: &Actor,
    edits: &[Edit],
    secret: &DossierSecret,
) -> Result<DossierPart, WriteError> {
    let empty = DossierState::default();
    let state = state.unwrap_or(&empty);
    let history = History::of(state);
    let present: BTreeMap<&[u8], Vec<&[u8]>> = history.applied_puts();
    let puts = gather(edits, &present)?;
    let records = present.keys().filter(|key| key.len() == 32).count();
    let births = puts.keys().filter(|key| key.len() == 32).count();
    let size: usize = puts
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if puts.len() > CHANGE_OPS_MAX || size > CHANGE_SIZE_MAX {
        return Err(WriteError::TooMuch {
            ops: puts.len(),
            size,
        });
    }
    if records + births > WRITER_RECORDS_MAX || state.size() + size > WRITER_SIZE_MAX {
        return Err(WriteError::Full);
    }
    let actor = author.id();
    let draft = engine::Draft {
        actor,
        seq: history.last_seq(&actor) + 1,
        start_op: history.max_op() + 1,
        deps: history.heads().iter().copied().collect(),
        puts: &puts,
    };
    let change = if puts.keys().any(|key| present.contains_key(key.as_bytes())) {
        engine::change_upon(&history.applied_bytes(), &draft)
    } else {
        engine::change_of_new_keys(&draft).map(Some)
    };
    let change = change
        .map_err(|_| WriteError::Broken)?
        .ok_or(WriteError::NothingToWrite)?;
    if change.len() > CHANGE_SIZE_MAX {
        return Err(WriteError::TooMuch {
            ops: puts.len(),
            size: change.len(),
        });
    }
    let secret = state.secrets.is_empty().then(|| *secret.as_bytes());
    Ok(DossierPart {
        subject: id.subject.clone(),
        secret,
        change,
    })
}

/// Checks edits against what stands in the dossier and each other, and gathers what is to be put.
fn gather(
    edits: &[Edit],
    present: &BTreeMap<&[u8], Vec<&[u8]>>,
) -> Result<BTreeMap<String, Vec<u8>>, WriteError> {
    let mut puts: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for edit in edits {
        let (key, value) = edit.put();
        let text = key.text();
        match key {
            Key::Birth(record) => {
                let same = puts
                    .get(&text)
                    .map(|written| *written == value)
                    .or_else(|| {
                        present
                            .get(text.as_bytes())
                            .map(|births| births.contains(&value.as_slice()))
                    });
                match same {
                    Some(true) => continue,
                    Some(false) => return Err(WriteError::BornOtherwise(record)),
                    None => {}
                }
            }
            Key::Field(record, _) | Key::Commitment(record, _) => {
                let birth = Key::Birth(record).text();
                if !puts.contains_key(&birth) && !present.contains_key(birth.as_bytes()) {
                    return Err(WriteError::UnknownRecord(record));
                }
                if let Key::Field(_, number) = key
                    && (number == 0 || number > FIELD_NUMBER_MAX)
                {
                    return Err(WriteError::BadField(number));
                }
            }
        }
        puts.insert(text, value);
    }
    let says_so = |(key, value): (&String, &Vec<u8>)| {
        present
            .get(key.as_bytes())
            .is_some_and(|values| *values == [value.as_slice()])
    };
    if puts.iter().all(says_so) {
        Err(WriteError::NothingToWrite)
    } else {
        Ok(puts)
    }
}

const STATE_VERSION: u8 = 1;

#[cfg(test)]
mod tests;
