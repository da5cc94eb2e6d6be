//! What users write: rosters, statements, and records in dossiers, each in the log of its reach.

use super::machine::{Wish, new_epoch, roster_of};
use super::projection::Projection;
use super::seen::Seen;
use super::world::World;
use federation_protocol::{Part, Period, Reach, WriteError};
use keys::Hash;
use std::collections::{BTreeMap, BTreeSet};
use tiers::{Actor, Birth, DossierId, Edit, RecordId, Value};

/// Subjects whose dossiers people of one unit edit: few, so that edits meet.
const SUBJECTS: u64 = 6;

impl World {
    /// Writes what a user wants. A log that was forked is left behind by a new epoch of the store.
    pub(super) fn handle_wish(
        &mut self,
        machine: usize,
        now: u64,
        wish: &Wish,
    ) -> Result<(), String> {
        if self.machines[machine]
            .running
            .as_ref()
            .is_some_and(|running| running.epoch_spent)
        {
            self.renew(machine)?;
        }
        match self.write(machine, now, wish) {
            Ok(()) => Ok(()),
            Err(WriteError::Forked) => {
                self.renew(machine)?;
                let again = self.write(machine, now, wish);
                again.or_else(|error| {
                    self.tell(Seen::Denied {
                        machine,
                        reason: error.to_string(),
                    });
                    Ok(())
                })
            }
            Err(error) => {
                self.tell(Seen::Denied {
                    machine,
                    reason: error.to_string(),
                });
                Ok(())
            }
        }
    }

    /// Gives a store a new epoch, so that its node writes new logs: all that was accepted is made
    /// durable and acknowledged first, then the epoch.
    pub(super) fn renew(&mut self, machine: usize) -> Result<(), String> {
        self.settle(machine)?;
        while self.machines[machine].disk.waiting() > 0 {
            self.durable(machine)?;
        }
        let epoch = new_epoch(&mut self.rngs.write);
        let state = &mut self.machines[machine];
        state.disk.epoch = epoch;
        if let Some(running) = &mut state.running {
            running.replica.renew_epoch(epoch);
            running.epoch_spent = false;
        }
        self.settle(machine)
    }

    fn write(&mut self, machine: usize, now: u64, wish: &Wish) -> Result<(), WriteError> {
        match wish {
            Wish::Roster(unit) => {
                for reach in [Reach::Below, self.up("root")] {
                    let part = roster_of(&self.topology, *unit);
                    self.write_entry(machine, now, &reach, None, vec![part])?;
                }
            }
            Wish::Statements { reach, sizes } => {
                for size in sizes {
                    let bytes = self.rngs.write.bytes(*size);
                    let part = Part::Statement {
                        domain: "sanji/1/step".to_owned(),
                        bytes,
                    };
                    self.write_entry(machine, now, reach, None, vec![part])?;
                }
            }
            Wish::Records {
                reach,
                term,
                entries,
                dossiers,
            } => {
                let period = Period::new(2026, *term).ok();
                for _ in 0..*entries {
                    self.write_records(machine, now, reach, period, *dossiers)?;
                }
                if *entries > 1 {
                    let bytes = self.rngs.write.bytes(64);
                    let part = Part::Statement {
                        domain: "sanji/1/import".to_owned(),
                        bytes,
                    };
                    self.write_entry(machine, now, reach, period, vec![part])?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn up(&self, tier: &str) -> Reach {
        Reach::Up(tier.parse().expect("a tier's name is valid"))
    }

    /// Signs one entry in the machine's own log.
    fn write_entry(
        &mut self,
        machine: usize,
        now: u64,
        reach: &Reach,
        period: Option<Period>,
        parts: Vec<Part>,
    ) -> Result<Hash, WriteError> {
        let state = &mut self.machines[machine];
        let running = state.running.as_mut().ok_or(WriteError::Forked)?;
        let rng = &mut self.rngs.write;
        let (number, hash) = running
            .replica
            .write(now, reach.clone(), period, parts, rng)?;
        running.waiting.entry(number).or_default().push(hash);
        self.tell(Seen::Asked { machine, hash });
        Ok(hash)
    }

    /// Writes one entry with changes to several dossiers: new records, and edits of old ones.
    fn write_records(
        &mut self,
        machine: usize,
        now: u64,
        reach: &Reach,
        period: Option<Period>,
        dossiers: usize,
    ) -> Result<(), WriteError> {
        let state = &self.machines[machine];
        let Some(running) = &state.running else {
            return Ok(());
        };
        let author = Actor {
            node: state.node,
            epoch: state.disk.epoch,
        };
        let unit = self.topology.units[state.unit].id.clone();
        let mut subjects: BTreeSet<u64> = BTreeSet::new();
        for _ in 0..dossiers {
            subjects.insert(self.rngs.write.below(SUBJECTS));
        }
        let mut parts = Vec::new();
        for subject in subjects {
            let id = DossierId {
                unit: unit.clone(),
                period,
                reach: reach.clone(),
                subject: format!("S{subject}"),
            };
            let held = running.projection.state(&id);
            let edits = edits(&running.projection, &id, &mut self.rngs.write);
            let part = tiers::write(&id, held.as_ref(), &author, &edits, &mut self.rngs.write);
            match part {
                Ok(part) => parts.push((id, part)),
                Err(tiers::WriteError::NothingToWrite) => {}
                Err(error) => {
                    let reason = error.to_string();
                    self.tell(Seen::Denied { machine, reason });
                    return Ok(());
                }
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        let whole = parts
            .iter()
            .map(|(_, part)| Part::Dossier(part.clone()))
            .collect();
        let hash = self.write_entry(machine, now, reach, period, whole)?;
        if let Some(running) = &mut self.machines[machine].running {
            for (id, part) in parts {
                running.projection.foresee(id, author, hash, part);
            }
        }
        Ok(())
    }
}

/// Draws what people do to one dossier: new records, and edits of old ones.
fn edits(projection: &Projection, id: &DossierId, rng: &mut crate::rng::Rng) -> Vec<Edit> {
    let records: Vec<RecordId> = projection
        .view(id)
        .map(|view| view.records.into_keys().collect())
        .unwrap_or_default();
    let mut edits = Vec::new();
    if let Some(record) = rng.pick(&records).copied()
        && rng.chance(60)
    {
        let field = u16::try_from(rng.between(1, 3)).unwrap_or(1);
        let value = Value::Int(i64::try_from(rng.below(50)).unwrap_or(0));
        edits.push(if rng.chance(10) {
            Edit::Clear { record, field }
        } else {
            Edit::Set {
                record,
                field,
                value,
            }
        });
    }
    if edits.is_empty() || rng.chance(50) {
        for _ in 0..rng.between(1, 3) {
            let record = RecordId::random(rng);
            let text = format!("row {}", rng.below(1_000));
            let fields = BTreeMap::from([(1, Value::Text(text)), (2, Value::Int(1))]);
            let kind = Hash::of(b"volunteer-service");
            edits.push(Edit::Birth {
                record,
                birth: Birth {
                    kind,
                    fields,
                    commitments: BTreeMap::new(),
                },
            });
        }
    }
    edits
}
