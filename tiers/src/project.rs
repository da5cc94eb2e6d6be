//! From entries to documents: parts in, the dossier's new state and view out.
//!
//! A pure function of bytes. What comes out depends only on the set of parts ever given for a dossier:
//! not on their order, on duplicates, or on how they were dealt out over calls. Problems of the set
//! (forks, changes out of place) are reported by every call; problems of a part that was never let in
//! are reported by the call that brought it.
//!
//! Almost all dossiers are births that nobody has edited twice; their view is read straight from the
//! signed changes. Only where values were replaced or written apart does the document engine merge.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use federation_protocol::DossierPart;
use keys::Hash;

use crate::change::{Change, ChangeError};
use crate::dossier::{Actor, DossierId, DossierState, StateError};
use crate::engine;
use crate::history::History;
use crate::limits::{BROKEN_CHANGES_MAX, PROJECTION_SIZE_MAX};
use crate::view::{ViewBuilder, is_readable};

/// The work of one dossier.
#[derive(Clone, Debug)]
pub struct Job {
    /// The dossier.
    pub id: DossierId,
    /// What an earlier projection stored; none to begin anew from all parts.
    pub state: Option<Vec<u8>>,
    /// New parts, in any order.
    pub parts: Vec<AuthoredPart>,
}

/// A part of an entry that takes effect, with what the entry says of it.
#[derive(Clone, Debug)]
pub struct AuthoredPart {
    /// Who wrote the entry.
    pub author: Actor,
    /// The entry's id.
    pub entry: Hash,
    /// The part.
    pub part: DossierPart,
}

/// What became of one dossier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projected {
    /// The dossier.
    pub id: DossierId,
    /// The state to store for the next projection ([`DossierState`]); empty if unprojected.
    pub state: Vec<u8>,
    /// The view to store ([`crate::DossierView`]); empty if unprojected.
    pub view: Vec<u8>,
    /// What was put aside, sorted.
    pub problems: Vec<Problem>,
    /// Changes in effect, old and new.
    pub applied: u32,
    /// Changes that wait for others they depend on.
    pub waiting: u32,
    /// Why nothing was done: keep what is stored, raise an alarm, try again. Never a verdict on entries.
    pub unprojected: Option<Unprojected>,
}

/// Something that was put aside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The entry that brought it.
    pub entry: Hash,
    /// What is wrong with it.
    pub why: Why,
}

/// Why a part has no effect, though its entry stays stored and forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// The part names another subject than the dossier's.
    #[error("the part is about another subject")]
    WrongSubject,
    /// The change is not what our writers make.
    #[error("the change is refused: {0}")]
    BadChange(ChangeError),
    /// The change names another author than the entry's.
    #[error("the change is written under another author's name")]
    WrongActor,
    /// Its author made two changes at one place; the one with the lower hash stands.
    #[error("its author made two changes at one place")]
    Fork,
    /// The change does not stand where its dependencies say.
    #[error("the change does not stand where its dependencies say")]
    OutOfPlace,
    /// The change replaces something that its past does not hold under that key.
    #[error("the change replaces what is not there")]
    Dangling,
    /// The document engine cannot apply the change.
    #[error("the document engine cannot apply the change")]
    Broken,
    /// A value cannot be read by this version; the rest of the change is in effect.
    #[error("a value cannot be read")]
    BadValue,
}

/// Why this node could not project a dossier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unprojected {
    /// The stored state cannot be read: begin anew from all parts.
    #[error(transparent)]
    State(#[from] StateError),
    /// The dossier is larger than this node projects.
    #[error("the dossier has {size} bytes, more than this node projects ({PROJECTION_SIZE_MAX})")]
    TooLarge {
        /// Bytes of all changes.
        size: usize,
    },
    /// The document engine failed in a way that no single change explains.
    #[error("the document engine failed")]
    Engine,
    /// A fault of this program, caught.
    #[error("the projection panicked")]
    Panic,
}

/// Projects dossiers, each by itself: what breaks one leaves the others alone. No panic escapes.
pub fn project(jobs: Vec<Job>) -> Vec<Projected> {
    jobs.into_iter().map(project_one).collect()
}

fn project_one(job: Job) -> Projected {
    let id = job.id.clone();
    let done = catch_unwind(AssertUnwindSafe(|| run(job)));
    done.unwrap_or(Err(Unprojected::Panic))
        .unwrap_or_else(|why| Projected {
            id,
            state: Vec::new(),
            view: Vec::new(),
            problems: Vec::new(),
            applied: 0,
            waiting: 0,
            unprojected: Some(why),
        })
}

fn run(job: Job) -> Result<Projected, Unprojected> {
    let mut state = match &job.state {
        Some(bytes) => DossierState::from_bytes(bytes)?,
        None => DossierState::default(),
    };
    let mut problems = BTreeSet::new();
    for AuthoredPart {
        author,
        entry,
        part,
    } in job.parts
    {
        if let Err(why) = admit(&mut state, &job.id, &author, entry, part) {
            problems.insert((entry, why));
        }
    }
    let size = state.size();
    if size > PROJECTION_SIZE_MAX {
        return Err(Unprojected::TooLarge { size });
    }

    let mut broken = BTreeMap::new();
    let (history, (view, bad_values)) = loop {
        let history = History::without(&state, &broken);
        match show(&history) {
            Ok(shown) => break (history, shown),
            Err(engine::Broken) => {
                let culprit = engine::first_broken(&history.applied_bytes());
                let culprit = culprit.and_then(|index| history.applied().get(index));
                let culprit = culprit.ok_or(Unprojected::Engine)?.change.hash;
                let again = broken.insert(culprit, Why::Broken).is_some();
                if again || broken.len() > BROKEN_CHANGES_MAX {
                    return Err(Unprojected::Engine);
                }
            }
        }
    };
    problems.extend(history.problems().iter().copied());
    if bad_values > 0 {
        let holds_bad_value = |change: &Change| change.puts().any(|(k, v)| !is_readable(k, v));
        let bad = history
            .applied()
            .iter()
            .filter(|held| holds_bad_value(&held.change));
        problems.extend(bad.map(|held| (held.entry, Why::BadValue)));
    }
    Ok(Projected {
        applied: history.applied().len() as u32,
        waiting: history.waiting() as u32,
        problems: problems
            .into_iter()
            .map(|(entry, why)| Problem { entry, why })
            .collect(),
        view,
        state: state.to_bytes(),
        id: job.id,
        unprojected: None,
    })
}

/// Lets a part into the set, or says why it must stay outside. Depends on the part alone.
fn admit(
    state: &mut DossierState,
    id: &DossierId,
    author: &Actor,
    entry: Hash,
    part: DossierPart,
) -> Result<(), Why> {
    if part.subject != id.subject {
        return Err(Why::WrongSubject);
    }
    let change = Change::read(part.change).map_err(Why::BadChange)?;
    if change.actor != author.id() {
        return Err(Why::WrongActor);
    }
    if let Some(secret) = part.secret {
        state.add_secret(secret);
    }
    state.add_change(entry, change);
    Ok(())
}

/// Returns the view's bytes and the number of values that could not be read.
fn show(history: &History<'_>) -> Result<(Vec<u8>, u32), engine::Broken> {
    let mut view = ViewBuilder::default();
    let mut puts: Vec<_> = history
        .applied()
        .iter()
        .flat_map(|held| held.change.puts())
        .collect();
    puts.sort_unstable_by_key(|(key, _)| *key);
    let replaced = history
        .applied()
        .iter()
        .any(|held| !held.change.replaced.is_empty());
    if replaced || puts.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        engine::merge(&history.applied_bytes(), history.heads(), |key, values| {
            view.add(key, values);
        })?;
    } else {
        for (key, value) in puts {
            view.add(key, [Cow::Borrowed(value)]);
        }
    }
    Ok(view.finish())
}

#[cfg(test)]
mod tests;
