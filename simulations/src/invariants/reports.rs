//! Beside the numbered invariants: nothing is reported, refused or put aside without a fault that
//! explains it. An alarm that rings for nothing is soon not heard.

use super::Invariant;
use crate::replicas::seen::{Broken, Seen, View};
use federation_protocol::{Rejected, Report};

/// Judges reports and closed sessions by the faults of the run.
#[derive(Debug)]
pub(super) struct Reports;

fn is_explained(view: &View<'_>, machine: usize, report: &Report) -> bool {
    let doubled = !view.doubled.is_empty();
    match report {
        Report::Forked { author, .. } => view.doubled.contains(author),
        Report::RolledBack { .. } => view.doubled.contains(&view.machines[machine].node),
        Report::Rejected { reason, .. } => match reason {
            // A unit whose roster has not arrived everywhere yet.
            Rejected::OutOfReach { .. } => view.growing || view.attacked,
            Rejected::Forked { .. } | Rejected::Diverges { .. } => doubled || view.attacked,
            // A new entry may be pushed while two nodes still compare what was before it.
            Rejected::Gap { .. } | Rejected::UnknownAuthor { .. } => !view.agreed,
            _ => view.attacked,
        },
        _ => false,
    }
}

impl Invariant for Reports {
    fn name(&self) -> &'static str {
        "reports"
    }

    fn see(&mut self, view: &View<'_>, seen: &Seen) -> Result<(), Broken> {
        match seen {
            Seen::Told { machine, report } if !is_explained(view, *machine, report) => {
                Err(Broken(format!("machine {machine} reported {report:?}")))
            }
            Seen::Closed {
                machine,
                honest: true,
                misbehaved,
                reason,
            } => {
                let known = ["another session", "disk is full", "new epoch"];
                let expected = known.iter().any(|known| reason.contains(known));
                if *misbehaved || !expected {
                    return Err(Broken(format!(
                        "machine {machine} closed a session: {reason}"
                    )));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn quiet(&mut self, view: &View<'_>) -> Result<(), Broken> {
        for (index, machine) in view.machines.iter().enumerate() {
            let problems = machine.running.iter().flat_map(|r| &r.projection.problems);
            if view.doubled.is_empty()
                && let Some(problem) = problems.into_iter().next()
            {
                return Err(Broken(format!(
                    "machine {index} could not project: {problem}"
                )));
            }
        }
        Ok(())
    }
}
