//! What the entries say: the production projection, run inline. A cache, rebuilt from the durable
//! entries when a machine opens and when a fork takes entries out of effect.

use super::disk::Disk;
use federation_protocol::{DossierPart, Entry, LogId, LogState, Part};
use keys::Hash;
use std::collections::{BTreeMap, BTreeSet};
use tiers::{Actor, AuthoredPart, DossierId, DossierState, DossierView, Job};

/// The dossiers of one machine.
#[derive(Debug, Default)]
pub struct Projection {
    dossiers: BTreeMap<DossierId, Dossier>,
    /// The first position of each log that is not projected.
    pub next: BTreeMap<LogId, u64>,
    /// Parts put aside, or dossiers not projected: none are expected.
    pub problems: Vec<String>,
    /// Parts of our own that are not durable yet, by entry.
    foreseen: BTreeMap<Hash, Vec<(DossierId, Actor, DossierPart)>>,
    /// Loses one part in three: a defect planted to see the check find it.
    drops_parts: bool,
}

#[derive(Debug, Default)]
struct Dossier {
    state: Vec<u8>,
    view: Vec<u8>,
}

/// The logs that feed a set of dossiers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    unit: keys::UnitId,
    period: Option<federation_protocol::Period>,
    reach: federation_protocol::Reach,
}

impl Source {
    /// Returns the source that a log belongs to.
    pub fn of(key: &federation_protocol::LogKey) -> Self {
        Self {
            unit: key.unit.clone(),
            period: key.period,
            reach: key.reach.clone(),
        }
    }

    fn feeds(&self, id: &DossierId) -> bool {
        self.unit == id.unit && self.period == id.period && self.reach == id.reach
    }
}

impl Projection {
    /// Starts with nothing.
    pub fn new(drops_parts: bool) -> Self {
        Self {
            drops_parts,
            ..Self::default()
        }
    }

    /// Applies entries that are in effect.
    pub fn apply<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) {
        let mut jobs: BTreeMap<DossierId, Vec<AuthoredPart>> = BTreeMap::new();
        for entry in entries {
            let key = entry.key();
            self.foreseen.remove(&entry.hash());
            let next = self.next.entry(entry.log()).or_default();
            *next = (*next).max(entry.seq_num() + 1);
            let author = Actor {
                node: key.author,
                epoch: key.epoch,
            };
            for part in entry.parts() {
                let Part::Dossier(part) = part else { continue };
                if self.drops_parts && entry.hash().as_bytes()[0] % 3 == 0 {
                    continue;
                }
                let id = DossierId {
                    unit: key.unit.clone(),
                    period: key.period,
                    reach: key.reach.clone(),
                    subject: part.subject.clone(),
                };
                let part = AuthoredPart {
                    author,
                    entry: entry.hash(),
                    part: part.clone(),
                };
                jobs.entry(id).or_default().push(part);
            }
        }
        let jobs = jobs
            .into_iter()
            .map(|(id, parts)| Job {
                state: self.dossiers.get(&id).map(|held| held.state.clone()),
                id,
                parts,
            })
            .collect();
        for done in tiers::project(jobs) {
            for problem in &done.problems {
                self.problems
                    .push(format!("{}: {}", done.id.subject, problem.why));
            }
            if let Some(why) = &done.unprojected {
                self.problems.push(format!("{}: {why}", done.id.subject));
                continue;
            }
            let dossier = Dossier {
                state: done.state,
                view: done.view,
            };
            self.dossiers.insert(done.id, dossier);
        }
    }

    /// Projects all durable entries in effect anew; or only those of one source.
    pub fn rebuild(
        &mut self,
        disk: &Disk,
        states: &BTreeMap<LogId, LogState>,
        only: Option<&Source>,
    ) {
        let wanted: BTreeMap<LogId, &LogState> = states
            .iter()
            .filter(|(_, state)| only.is_none_or(|source| *source == Source::of(&state.key)))
            .map(|(log, state)| (*log, state))
            .collect();
        self.dossiers
            .retain(|id, _| only.is_some_and(|source| !source.feeds(id)));
        self.next
            .retain(|log, _| only.is_some() && !wanted.contains_key(log));
        let entries: Vec<Entry> = disk
            .entries
            .iter()
            .filter(|((log, seq_num), _)| {
                wanted
                    .get(log)
                    .is_some_and(|state| state.is_effective(*seq_num))
            })
            .filter_map(|(_, bytes)| Entry::verify(bytes.to_vec()).ok())
            .collect();
        self.apply(entries.iter());
        for (entry, parts) in self.foreseen.clone() {
            for (id, author, part) in parts {
                self.project_ahead(&id, author, entry, part);
            }
        }
    }

    /// Returns the state of a dossier for writing.
    pub fn state(&self, id: &DossierId) -> Option<DossierState> {
        DossierState::from_bytes(&self.dossiers.get(id)?.state).ok()
    }

    /// Returns what a dossier shows.
    pub fn view(&self, id: &DossierId) -> Option<DossierView> {
        DossierView::from_bytes(&self.dossiers.get(id)?.view).ok()
    }

    /// Applies a part of our own that is signed and not yet durable, so that the next one follows it.
    pub fn foresee(&mut self, id: DossierId, author: Actor, entry: Hash, part: DossierPart) {
        self.project_ahead(&id, author, entry, part.clone());
        self.foreseen
            .entry(entry)
            .or_default()
            .push((id, author, part));
    }

    /// Forgets what was foreseen: it will never be durable. The caller rebuilds.
    pub fn forget_foreseen(&mut self) {
        self.foreseen.clear();
    }

    fn project_ahead(&mut self, id: &DossierId, author: Actor, entry: Hash, part: DossierPart) {
        let state = self.dossiers.get(id).map(|held| held.state.clone());
        let parts = vec![AuthoredPart {
            author,
            entry,
            part,
        }];
        for done in tiers::project(vec![Job {
            id: id.clone(),
            state,
            parts,
        }]) {
            if done.unprojected.is_none() {
                let dossier = Dossier {
                    state: done.state,
                    view: done.view,
                };
                self.dossiers.insert(done.id, dossier);
            }
        }
    }

    /// Returns a hash over all views of one source.
    pub fn digest(&self, source: &Source) -> Hash {
        let mut bytes = Vec::new();
        for (id, dossier) in self.dossiers.iter().filter(|(id, _)| source.feeds(id)) {
            bytes.extend_from_slice(Hash::of(&id.to_key_bytes()).as_bytes());
            bytes.extend_from_slice(Hash::of(&dossier.view).as_bytes());
        }
        Hash::of(&bytes)
    }

    /// Returns the sources of all dossiers.
    pub fn sources(&self) -> BTreeSet<Source> {
        let of = |id: &DossierId| Source {
            unit: id.unit.clone(),
            period: id.period,
            reach: id.reach.clone(),
        };
        self.dossiers.keys().map(of).collect()
    }
}
