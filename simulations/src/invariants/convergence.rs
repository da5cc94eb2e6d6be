//! Invariant 4: machines that hold the same entries show the same; and once faults have stopped, every
//! log is held by exactly the nodes its reach says, digests agree pairwise, and receipts prove custody.

use super::Invariant;
use crate::replicas::projection::Source;
use crate::replicas::seen::{Broken, Seen, View};
use federation_protocol::{LogId, LogState};
use keys::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// Compares machines with each other; needs no memory.
#[derive(Debug)]
pub(super) struct Convergence;

/// What a machine holds of one source: each log with its head, or with its lowest fork.
type Holding = BTreeMap<LogId, (Option<u64>, Option<(u64, Hash)>)>;

fn holding<'a>(states: impl Iterator<Item = &'a LogState>) -> Holding {
    states
        .map(|state| {
            let head = (state.head.seq_num, state.head.hash);
            (
                state.key.id(),
                (state.forked, state.forked.is_none().then_some(head)),
            )
        })
        .collect()
}

/// Equal entries give equal documents, whatever the order in which they came.
fn equal_documents(view: &View<'_>) -> Result<(), Broken> {
    let mut shown: BTreeMap<(Source, Holding), (usize, Hash)> = BTreeMap::new();
    for (index, machine) in view.machines.iter().enumerate() {
        let Some(running) = &machine.running else {
            continue;
        };
        if machine.disk.waiting() > 0 {
            continue;
        }
        let states: Vec<LogState> = running.replica.logs().map(|(_, state)| state).collect();
        let sources: BTreeSet<Source> = states.iter().map(|state| Source::of(&state.key)).collect();
        for source in sources {
            let held = holding(
                states
                    .iter()
                    .filter(|state| Source::of(&state.key) == source),
            );
            // Below a fork all have the same entries, so the documents are equal there too.
            let digest = running.projection.digest(&source);
            let first = shown
                .entry((source.clone(), held))
                .or_insert((index, digest));
            if first.1 != digest {
                return Err(Broken(format!(
                    "machines {} and {index} hold the same entries of {source:?} and show different documents",
                    first.0
                )));
            }
        }
    }
    Ok(())
}

/// Every log is held by exactly the machines its reach says, with one head.
fn exact_holders(view: &View<'_>) -> Result<(), Broken> {
    let mut newest: BTreeMap<LogId, LogState> = BTreeMap::new();
    for machine in view.machines.iter().filter(|machine| !machine.retired) {
        for (log, state) in &machine.disk.states {
            let known = newest.entry(*log).or_insert_with(|| state.clone());
            if state.head.seq_num > known.head.seq_num {
                known.head = state.head;
            }
            known.forked = match (known.forked, state.forked) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }
    for (log, wanted) in &newest {
        let holders = view.topology.holders(&wanted.key);
        for (index, machine) in view.machines.iter().enumerate().filter(|(_, m)| !m.retired) {
            let held = machine.disk.states.get(log);
            let name = format!(
                "log {} of {} ({}) at machine {index}",
                log.short(),
                wanted.key.unit,
                wanted.key.reach
            );
            match held {
                None if holders.contains(&machine.unit) => {
                    return Err(Broken(format!("{name}: missing")));
                }
                Some(_) if !holders.contains(&machine.unit) => {
                    return Err(Broken(format!("{name}: beyond its reach")));
                }
                Some(held) if held.forked != wanted.forked => {
                    let (a, b) = (held.forked, wanted.forked);
                    return Err(Broken(format!(
                        "{name}: forked at {a:?}, elsewhere at {b:?}"
                    )));
                }
                Some(held) if wanted.forked.is_none() && held.head != wanted.head => {
                    let (a, b) = (held.head.seq_num, wanted.head.seq_num);
                    return Err(Broken(format!("{name}: ends at {a}, elsewhere at {b}")));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// What production code compares is equal too: the digests over what two machines share.
fn equal_digests(view: &View<'_>) -> Result<(), Broken> {
    let up: Vec<_> = view
        .machines
        .iter()
        .enumerate()
        .filter(|(_, m)| !m.retired)
        .collect();
    for (a, one) in &up {
        for (b, two) in &up {
            let related =
                one.unit == two.unit || view.topology.units[one.unit].parent == Some(two.unit);
            let (Some(left), Some(right)) = (&one.running, &two.running) else {
                continue;
            };
            if a >= b || !related {
                continue;
            }
            let unit = &view.topology.units[one.unit].id;
            let upper = &view.topology.units[two.unit].id;
            if left.replica.digest(unit, upper).root() != right.replica.digest(unit, upper).root() {
                return Err(Broken(format!(
                    "the digests of machines {a} and {b} differ"
                )));
            }
        }
    }
    Ok(())
}

/// A node that is linked to its parent can prove what each unit above holds of its logs.
fn receipts_cover(view: &View<'_>) -> Result<(), Broken> {
    for link in &view.topology.links {
        let (lower, upper) = (&view.machines[link.dialer], &view.machines[link.acceptor]);
        let Some(running) = &lower.running else {
            continue;
        };
        if lower.unit == upper.unit || lower.retired {
            continue;
        }
        for state in lower.disk.states.values() {
            let own = view.topology.unit(&state.key.unit) == Some(lower.unit);
            if !own || state.forked.is_some() {
                continue;
            }
            let above = view.topology.upwards(lower.unit).into_iter().skip(1);
            let holders = view.topology.holders(&state.key);
            for issuer in above.filter(|unit| holders.contains(unit)) {
                let issuer = &view.topology.units[issuer].id;
                let receipt = running
                    .replica
                    .receipts()
                    .find(|r| &r.issuer == issuer && r.unit == state.key.unit);
                let line =
                    receipt.and_then(|r| r.heads.iter().find(|head| head.log == state.key.id()));
                if line.is_none_or(|line| line.hash != state.head.hash) {
                    return Err(Broken(format!(
                        "machine {} of {} has no receipt of {issuer} for entry {} of its log {} ({}, \
                         {}); it has one of {:?}",
                        link.dialer,
                        state.key.unit,
                        state.head.seq_num,
                        state.key.id().short(),
                        state.key.reach,
                        state
                            .key
                            .period
                            .map(|period| period.to_string())
                            .unwrap_or_default(),
                        receipt.map(|r| (r.time_ms, r.heads.len(), line.map(|line| line.seq_num))),
                    )));
                }
            }
        }
    }
    Ok(())
}

impl Invariant for Convergence {
    fn name(&self) -> &'static str {
        "convergence"
    }

    fn see(&mut self, _view: &View<'_>, _seen: &Seen) -> Result<(), Broken> {
        Ok(())
    }

    fn quiet(&mut self, view: &View<'_>) -> Result<(), Broken> {
        equal_documents(view)
    }

    fn converged(&mut self, view: &View<'_>) -> Result<(), Broken> {
        exact_holders(view)?;
        equal_digests(view)?;
        equal_documents(view)?;
        receipts_cover(view)
    }
}
