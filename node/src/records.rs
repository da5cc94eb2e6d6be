//! Recording: rows and edits become dossier changes, changes become entries, all in one commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use federation_protocol::{DossierPart, Part, Period, Reach, limits};
use keys::{DossierSecret, Hash, Secret, Signed};
use tiers::{
    Actor, AuthoredPart, DossierId, DossierState, DossierView, Edit, Fields, ImportStatement, Job,
    Kind, ReachClass, RecordId, Value,
};

use crate::handle::{NewEntry, NodeHandle, WriteError};
use crate::import::problem::field_fault;
use crate::label::Lang;
use crate::schema::{Schema, SchemaError};
use crate::store::Batch;

/// Bytes of parts put into one entry: room is left for header, salts and signature.
const ENTRY_FILL: usize = limits::ENTRY_SIZE_MAX - 2 * 1024;
/// Parts put into one entry.
const ENTRY_PARTS: usize = limits::ENTRY_PARTS_MAX - 8;
/// Births in one change of a dossier; more of one subject go into further changes.
const BIRTHS_PER_CHANGE: usize = 120;

/// A record to be made.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// Whom it is about.
    pub subject: String,
    /// Its fields.
    pub fields: Fields,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Imported {
    /// Records made.
    pub new: u64,
    /// Records that were there already, the same.
    pub known: u64,
    /// Dossiers changed, over all reaches.
    pub dossiers: u64,
    /// Entries written.
    pub entries: u64,
}

/// Recording failed; nothing was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// No such kind is known here.
    #[error("kind {id} is not known here; it comes from the city with the first connection")]
    UnknownKind {
        /// The kind's id.
        id: String,
    },
    /// No such record.
    #[error("record {record} is not held here")]
    UnknownRecord {
        /// The record.
        record: RecordId,
    },
    /// Fields do not fit the kind.
    #[error(transparent)]
    Split(#[from] tiers::SplitError),
    /// A dossier refused the change.
    #[error("dossier of {subject}: {why}")]
    Dossier {
        /// The subject.
        subject: String,
        /// Why.
        why: tiers::WriteError,
    },
    /// The stored state of a dossier is damaged.
    #[error("dossier of {subject} is damaged: {why}")]
    Damaged {
        /// The subject.
        subject: String,
        /// Why.
        why: tiers::StateError,
    },
    /// Reading failed.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// One subject's share of an import: everything needed to make its changes, without the store.
struct Share {
    subject: String,
    records: Vec<(RecordId, Fields)>,
    classes: Vec<ClassShare>,
}

struct ClassShare {
    class: ReachClass,
    id: DossierId,
    state: Option<DossierState>,
    secret: DossierSecret,
}

/// What does not change from share to share.
struct Frame {
    kind: Arc<Kind>,
    tiers: Vec<keys::TierName>,
    actor: Actor,
}

type Made = Result<Vec<(Reach, DossierPart)>, RecordError>;

/// Makes records out of rows that were read and checked: all or none, in one commit, closed by an
/// import statement. Rows that are recorded already change nothing.
///
/// # Errors
/// [`RecordError`]; nothing was stored.
pub async fn import(
    node: &NodeHandle,
    kind: Arc<Kind>,
    period: Period,
    records: Vec<NewRecord>,
    file: Hash,
    mut progress: impl FnMut(u64, u64),
) -> Result<Imported, RecordError> {
    let _alone = node.writing.lock().await;
    node.ready_to_write().await?;
    let identity = node.identity();
    let registry = node.registry();
    let frame = Arc::new(Frame {
        kind: kind.clone(),
        tiers: registry.tiers().to_vec(),
        actor: Actor {
            node: identity.node(),
            epoch: identity.epoch,
        },
    });
    let total = records.len() as u64;
    let rows = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let (shares, known) = gather(node, &frame, period, records)?;
    let dossiers = shares.iter().map(|share| share.classes.len() as u64).sum();
    let new = total - known;
    if new == 0 {
        return Ok(Imported {
            new: 0,
            known,
            dossiers: 0,
            entries: 0,
        });
    }
    let mut parts: BTreeMap<Reach, Vec<Part>> = BTreeMap::new();
    let mut done = 0;
    let mut shares = shares.into_iter();
    loop {
        let group: Vec<Share> = shares.by_ref().take(256).collect();
        if group.is_empty() {
            break;
        }
        done += group
            .iter()
            .map(|share| share.records.len() as u64)
            .sum::<u64>();
        let frame = frame.clone();
        let made = node
            .worker()
            .spread(group, move |share| make(&frame, share))
            .await;
        for changes in made {
            for (reach, part) in changes? {
                parts.entry(reach).or_default().push(Part::Dossier(part));
            }
        }
        progress(done + known, total);
    }
    let entries: Vec<NewEntry> = parts
        .into_iter()
        .flat_map(|(reach, parts)| pack(&reach, period, parts))
        .collect();
    let count = entries.len() as u64;
    let reaches: Vec<Reach> = entries.iter().map(|entry| entry.reach.clone()).collect();
    let closing = closing(
        identity.secret.duplicate(),
        ImportStatement {
            kind: kind.id().to_owned(),
            kind_hash: kind.hash(),
            file,
            rows,
            entries: Vec::new(),
            time_ms: node.clock().now_ms(),
        },
        reaches,
        period,
    );
    node.write_closed(entries, Some(closing), Batch::new())
        .await?;
    Ok(Imported {
        new,
        known,
        dossiers,
        entries: count,
    })
}

/// Returns the function that closes an import: one statement per reach, naming the entries of that
/// reach, so that whoever holds the log can tell whether the import is complete.
fn closing(
    secret: Secret,
    statement: ImportStatement,
    reaches: Vec<Reach>,
    period: Period,
) -> crate::handle::Closing {
    Box::new(move |hashes: &[Hash]| {
        let mut by_reach: BTreeMap<Reach, Vec<Hash>> = BTreeMap::new();
        for (reach, hash) in reaches.into_iter().zip(hashes) {
            by_reach.entry(reach).or_default().push(*hash);
        }
        by_reach
            .into_iter()
            .map(|(reach, entries)| {
                let statement = ImportStatement {
                    entries,
                    ..statement.clone()
                };
                let bytes = Signed::sign(&statement, &secret).bytes().to_vec();
                let domain = keys::Domain::Import.tag().to_owned();
                let parts = vec![Part::Statement { domain, bytes }];
                NewEntry {
                    reach,
                    period: Some(period),
                    parts,
                }
            })
            .collect()
    })
}

/// Groups records by subject, leaves out those that are there, reads the dossiers they touch.
fn gather(
    node: &NodeHandle,
    frame: &Frame,
    period: Period,
    records: Vec<NewRecord>,
) -> Result<(Vec<Share>, u64), RecordError> {
    let unit = &node.identity().unit;
    let classes = frame.kind.classes(&frame.tiers);
    let mut occurrences: BTreeMap<RecordId, u32> = BTreeMap::new();
    let mut by_subject: BTreeMap<String, Vec<(RecordId, Fields)>> = BTreeMap::new();
    for NewRecord { subject, fields } in records {
        let bytes = tiers::fields_bytes(&fields);
        let id = |nth| RecordId::derive(unit, frame.kind.id(), Some(period), &bytes, nth);
        // The n-th of equal rows in one file is a record of its own, and the same one next time.
        let nth = occurrences.entry(id(0)).or_default();
        let record = id(*nth);
        *nth += 1;
        by_subject
            .entry(subject)
            .or_default()
            .push((record, fields));
    }
    let mut known = 0;
    let mut shares = Vec::new();
    for (subject, mut records) in by_subject {
        let dossier = |class: &ReachClass| DossierId {
            unit: unit.clone(),
            subject: subject.clone(),
            period: Some(period),
            reach: class.reach(&frame.tiers),
        };
        if let Some(widest) = classes.first() {
            let view = node.schema().dossier_view(&dossier(widest))?;
            if let Some(view) = view.and_then(|bytes| DossierView::from_bytes(&bytes).ok()) {
                let before = records.len();
                records.retain(|(record, _)| !view.records.contains_key(record));
                known += (before - records.len()) as u64;
            }
        }
        if records.is_empty() {
            continue;
        }
        let mut class_shares = Vec::new();
        for class in &classes {
            let id = dossier(class);
            let state = read_state(node.schema(), &id)?;
            let secret = tiers::secret_for(state.as_ref(), &mut *node.rng());
            class_shares.push(ClassShare {
                class: *class,
                id,
                state,
                secret,
            });
        }
        shares.push(Share {
            subject,
            records,
            classes: class_shares,
        });
    }
    Ok((shares, known))
}

fn read_state(schema: &Schema, id: &DossierId) -> Result<Option<DossierState>, RecordError> {
    let stored = schema.dossier_state(id)?;
    stored
        .map(|bytes| DossierState::from_bytes(&bytes))
        .transpose()
        .map_err(|why| RecordError::Damaged {
            subject: id.subject.clone(),
            why,
        })
}

/// Makes one subject's changes: pure, run on any thread.
fn make(frame: &Frame, share: Share) -> Made {
    let secrets: BTreeMap<ReachClass, DossierSecret> = share
        .classes
        .iter()
        .map(|class| (class.class, class.secret.clone()))
        .collect();
    let mut births: BTreeMap<ReachClass, Vec<Edit>> = BTreeMap::new();
    for (record, fields) in &share.records {
        for (class, birth) in
            tiers::split_record(&frame.kind, &frame.tiers, record, fields, &secrets)?
        {
            births.entry(class).or_default().push(Edit::Birth {
                record: *record,
                birth,
            });
        }
    }
    let mut made = Vec::new();
    for class in share.classes {
        let edits = births.remove(&class.class).unwrap_or_default();
        let mut state = class.state;
        let mut groups = edits.chunks(BIRTHS_PER_CHANGE).peekable();
        while let Some(group) = groups.next() {
            let part = tiers::write_with(
                &class.id,
                state.as_ref(),
                &frame.actor,
                group,
                &class.secret,
            )
            .map_err(|why| RecordError::Dossier {
                subject: share.subject.clone(),
                why,
            })?;
            if groups.peek().is_some() {
                state = Some(after(&class.id, state.as_ref(), &frame.actor, &part)?);
            }
            made.push((class.id.reach.clone(), part));
        }
    }
    Ok(made)
}

/// Returns the state of a dossier after a change of ours.
fn after(
    id: &DossierId,
    state: Option<&DossierState>,
    actor: &Actor,
    part: &DossierPart,
) -> Result<DossierState, RecordError> {
    let job = Job {
        id: id.clone(),
        state: state.map(DossierState::to_bytes),
        parts: vec![AuthoredPart {
            author: *actor,
            entry: Hash::of(&part.change),
            part: part.clone(),
        }],
    };
    let state = tiers::project(vec![job])
        .pop()
        .map(|projected| projected.state);
    DossierState::from_bytes(&state.unwrap_or_default()).map_err(|why| RecordError::Damaged {
        subject: id.subject.clone(),
        why,
    })
}

/// Fills entries with parts.
fn pack(reach: &Reach, period: Period, parts: Vec<Part>) -> Vec<NewEntry> {
    let mut entries = Vec::new();
    let mut open: Vec<Part> = Vec::new();
    let mut bytes = 0;
    for part in parts {
        // The salt and the lengths around a part take less than 32 bytes.
        let size = part.to_bytes().len() + 32;
        if !open.is_empty() && (bytes + size > ENTRY_FILL || open.len() >= ENTRY_PARTS) {
            let parts = std::mem::take(&mut open);
            entries.push(NewEntry {
                reach: reach.clone(),
                period: Some(period),
                parts,
            });
            bytes = 0;
        }
        bytes += size;
        open.push(part);
    }
    if !open.is_empty() {
        entries.push(NewEntry {
            reach: reach.clone(),
            period: Some(period),
            parts: open,
        });
    }
    entries
}

/// Changes fields of one record: the clear part and, when a narrower class changed, the commitment in
/// the widest dossier, in one commit.
///
/// # Errors
/// [`RecordError`]; nothing was stored.
pub async fn edit(
    node: &NodeHandle,
    period: Period,
    subject: &str,
    record: RecordId,
    changes: &BTreeMap<String, String>,
) -> Result<(), EditError> {
    let _alone = node.writing.lock().await;
    node.ready_to_write().await.map_err(RecordError::from)?;
    let identity = node.identity();
    let registry = node.registry();
    let tiers = registry.tiers().to_vec();
    let actor = Actor {
        node: identity.node(),
        epoch: identity.epoch,
    };
    let dossier = |class: &ReachClass| DossierId {
        unit: identity.unit.clone(),
        subject: subject.to_owned(),
        period: Some(period),
        reach: class.reach(&tiers),
    };
    let kind = registry
        .kinds()
        .into_iter()
        .find(|kind| {
            kind.classes(&tiers).first().is_some_and(|widest| {
                view(node.schema(), &dossier(widest)).is_some_and(|view| {
                    view.records
                        .get(&record)
                        .is_some_and(|r| r.kind == kind.hash())
                })
            })
        })
        .ok_or(RecordError::UnknownRecord { record })?;
    let mut wanted: BTreeMap<u16, Option<Value>> = BTreeMap::new();
    for (name, text) in changes {
        let field = kind
            .field_by_name(name)
            .ok_or_else(|| EditError::UnknownField { name: name.clone() })?;
        let value = field
            .parse_text(text)
            .and_then(|value| {
                kind.check_edit(field.number, value.as_ref())
                    .map(|()| value)
            })
            .map_err(|error| EditError::Field {
                field: Box::new(field.clone()),
                given: text.clone(),
                error,
            })?;
        wanted.insert(field.number, value);
    }
    let classes = kind.classes(&tiers);
    let mut edits: BTreeMap<ReachClass, Vec<Edit>> = BTreeMap::new();
    let mut loaded: BTreeMap<ReachClass, (Option<DossierState>, DossierSecret)> = BTreeMap::new();
    for class in &classes {
        let state = read_state(node.schema(), &dossier(class))?;
        let secret = tiers::secret_for(state.as_ref(), &mut *node.rng());
        loaded.insert(*class, (state, secret));
    }
    for (number, value) in &wanted {
        let Some(field) = kind.field(*number) else {
            continue;
        };
        let class = field.reach.settled(&tiers);
        let edit = match value {
            Some(value) => Edit::Set {
                record,
                field: *number,
                value: value.clone(),
            },
            None => Edit::Clear {
                record,
                field: *number,
            },
        };
        edits.entry(class).or_default().push(edit);
    }
    let widest = classes.first().copied();
    for class in classes.iter().skip(1) {
        if !edits.contains_key(class) {
            continue;
        }
        let view = view(node.schema(), &dossier(class));
        let born = view
            .as_ref()
            .is_some_and(|view| view.records.contains_key(&record));
        let mut fields = view
            .and_then(|mut view| view.records.remove(&record))
            .map(|record| record.fields)
            .unwrap_or_default();
        for (number, value) in &wanted {
            if kind
                .field(*number)
                .is_some_and(|f| f.reach.settled(&tiers) == *class)
            {
                match value {
                    Some(value) => fields.insert(*number, value.clone()),
                    None => fields.remove(number),
                };
            }
        }
        let Some((_, secret)) = loaded.get(class) else {
            continue;
        };
        let commitment = tiers::class_commitment(secret, &record, &fields);
        if !born {
            let birth = tiers::Birth {
                kind: kind.hash(),
                fields,
                commitments: BTreeMap::new(),
            };
            edits.insert(*class, vec![Edit::Birth { record, birth }]);
        }
        if let Some(widest) = widest {
            let edit = Edit::Commit {
                record,
                class: *class,
                commitment,
            };
            edits.entry(widest).or_default().push(edit);
        }
    }
    let mut entries = Vec::new();
    for (class, edits) in edits {
        let Some((state, secret)) = loaded.get(&class) else {
            continue;
        };
        let id = dossier(&class);
        match tiers::write_with(&id, state.as_ref(), &actor, &edits, secret) {
            Ok(part) => entries.push(NewEntry {
                reach: id.reach.clone(),
                period: Some(period),
                parts: vec![Part::Dossier(part)],
            }),
            Err(tiers::WriteError::NothingToWrite) => {}
            Err(why) => {
                return Err(RecordError::Dossier {
                    subject: subject.to_owned(),
                    why,
                }
                .into());
            }
        }
    }
    if !entries.is_empty() {
        node.write(entries, Batch::new())
            .await
            .map_err(RecordError::from)?;
    }
    Ok(())
}

fn view(schema: &Schema, id: &DossierId) -> Option<DossierView> {
    DossierView::from_bytes(&schema.dossier_view(id).ok()??).ok()
}

/// An edit failed; nothing was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The kind has no such field.
    #[error("the kind has no field {name}")]
    UnknownField {
        /// The name given.
        name: String,
    },
    /// The text does not fit the field.
    #[error("{}", fault(Lang::En, field, error, given))]
    Field {
        /// The field.
        field: Box<tiers::kind::Field>,
        /// The text given.
        given: String,
        /// What is wrong.
        error: tiers::FieldError,
    },
    /// Recording failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl EditError {
    /// Says in a language what is wrong.
    pub fn message(&self, lang: Lang) -> String {
        match self {
            Self::Field {
                field,
                given,
                error,
            } => fault(lang, field, error, given),
            other => other.to_string(),
        }
    }
}

fn fault(lang: Lang, field: &tiers::kind::Field, error: &tiers::FieldError, given: &str) -> String {
    let (_, words) = field_fault(lang, field, error, given);
    format!("{}: {words}", field.label.text(lang.tag()))
}
