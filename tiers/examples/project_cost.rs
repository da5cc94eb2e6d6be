//! Prints what writing and projecting dossiers costs on this machine: one student's semester of 20
//! records in one change, as an import makes it, then edits upon it.
//!
//! `cargo run --release -p tiers --example project_cost [dossiers]`
//!
//! It counts the processor's time as Linux keeps it, not the time on the wall, so that a busy machine
//! shows the same figures; this room has no clock.

#![allow(clippy::print_stdout, reason = "an example speaks to the terminal")]

use std::collections::BTreeMap;
use std::hint::black_box;

use federation_protocol::Reach;
use keys::{Hash, NodeKey, StoreEpoch, TierName, UnitId};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use tiers::{
    Actor, AuthoredPart, DossierId, DossierState, DossierView, Edit, Fields, Job, Kind, Projected,
    RecordId, Value, project, split_record, write,
};

const RECORDS: usize = 20;

fn main() {
    let dossiers = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(6_000);
    let kind = Kind::parse(include_str!("../kinds/practice-record.toml")).expect("a shipped kind");
    let tiers: Vec<_> = ["school", "district", "city"]
        .iter()
        .map(|t| tier(t))
        .collect();
    let actor = Actor {
        node: NodeKey::from_bytes([1; 32]),
        epoch: StoreEpoch::from_bytes([1; 16]),
    };
    let mut rng = ChaCha20Rng::seed_from_u64(20_260_901);
    let ids: Vec<_> = (0..dossiers).map(id).collect();
    let rows: Vec<Vec<_>> = ids
        .iter()
        .map(|id| {
            (0..RECORDS)
                .map(|_| (RecordId::random(&mut rng), fields(id, &mut rng)))
                .collect()
        })
        .collect();
    let records = (dossiers * RECORDS) as f64;
    println!("{dossiers} dossiers of {RECORDS} records, one core");

    let split = timed("split", records, || {
        let births = rows.iter().map(|rows| {
            let birth = |(record, fields): &(RecordId, Fields)| {
                let births = split_record(&kind, &tiers, record, fields, &BTreeMap::new());
                let (_, birth) = births.expect("good rows").remove(0);
                Edit::Birth {
                    record: *record,
                    birth,
                }
            };
            rows.iter().map(birth).collect::<Vec<_>>()
        });
        births.collect::<Vec<_>>()
    });
    let parts = timed("write (new dossiers)", records, || {
        let parts = ids.iter().zip(&split).map(|(id, edits)| {
            write(id, None, &actor, edits, &mut rng).expect("a new dossier can be written")
        });
        parts.collect::<Vec<_>>()
    });
    let change: usize = parts.iter().map(|part| part.change.len()).sum();

    let jobs = |states: Option<&[Projected]>, parts: &[federation_protocol::DossierPart]| {
        let job =
            |(at, (id, part)): (usize, (&DossierId, &federation_protocol::DossierPart))| Job {
                id: id.clone(),
                state: states.map(|states| states[at].state.clone()),
                parts: vec![AuthoredPart {
                    author: actor,
                    entry: Hash::from_bytes([9; 32]),
                    part: part.clone(),
                }],
            };
        ids.iter()
            .zip(parts)
            .enumerate()
            .map(job)
            .collect::<Vec<_>>()
    };
    let fresh = jobs(None, &parts);
    let done = timed("project (new dossiers)", records, || project(fresh));
    let (state, view) = sizes(&done);
    println!(
        "bytes a record: change {:.0}, state {:.0}, view {:.0}",
        change as f64 / records,
        state as f64 / records,
        view as f64 / records
    );
    assert!(
        done.iter()
            .all(|done| done.problems.is_empty() && done.applied == 1)
    );
    let views = timed("read the views", records, || {
        done.iter()
            .map(|done| DossierView::from_bytes(&done.view))
            .collect::<Vec<_>>()
    });
    assert!(
        views
            .iter()
            .flatten()
            .all(|view| view.records.len() == RECORDS)
    );

    let states: Vec<_> = done
        .iter()
        .map(|done| DossierState::from_bytes(&done.state).expect("own state"))
        .collect();
    let each = dossiers as f64;
    let added = timed("write one more record each", each, || {
        let edits = ids.iter().zip(&states).map(|(id, state)| {
            let (record, fields) = (RecordId::random(&mut rng), fields(id, &mut rng));
            let (_, birth) = split_record(&kind, &tiers, &record, &fields, &BTreeMap::new())
                .expect("good rows")
                .remove(0);
            write(
                id,
                Some(state),
                &actor,
                &[Edit::Birth { record, birth }],
                &mut rng,
            )
        });
        edits
            .collect::<Result<Vec<_>, _>>()
            .expect("dossiers with room")
    });
    let more = jobs(Some(&done), &added);
    timed("project one more record each", each, || {
        black_box(project(more))
    });

    let edited = timed("write one edit each", each, || {
        let edits = ids
            .iter()
            .zip(&states)
            .zip(&rows)
            .map(|((id, state), rows)| {
                let value = Value::Text("approved".into());
                let edit = Edit::Set {
                    record: rows[0].0,
                    field: 8,
                    value,
                };
                write(id, Some(state), &actor, &[edit], &mut rng)
            });
        edits
            .collect::<Result<Vec<_>, _>>()
            .expect("records that are there")
    });
    let more = jobs(Some(&done), &edited);
    let edited_done = timed("project one edit each", each, || project(more));

    let states: Vec<_> = edited_done
        .iter()
        .map(|done| DossierState::from_bytes(&done.state).expect("own state"))
        .collect();
    let again = timed("write a second edit of the field", each, || {
        let edits = ids
            .iter()
            .zip(&states)
            .zip(&rows)
            .map(|((id, state), rows)| {
                let value = Value::Text("returned".into());
                let edit = Edit::Set {
                    record: rows[0].0,
                    field: 8,
                    value,
                };
                write(id, Some(state), &actor, &[edit], &mut rng)
            });
        edits
            .collect::<Result<Vec<_>, _>>()
            .expect("records that are there")
    });
    let more = jobs(Some(&edited_done), &again);
    timed("project it (by the document engine)", each, || {
        black_box(project(more))
    });
}

fn timed<T>(what: &str, per: f64, run: impl FnOnce() -> T) -> T {
    let start = processor_ns();
    let done = run();
    println!(
        "{what:36} {:8.2} us each",
        (processor_ns() - start) / 1e3 / per
    );
    done
}

/// Returns the nanoseconds this process has run, to about a millisecond; 0 where the system is silent.
fn processor_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or(0.0)
}

fn sizes(done: &[Projected]) -> (usize, usize) {
    (
        done.iter().map(|d| d.state.len()).sum(),
        done.iter().map(|d| d.view.len()).sum(),
    )
}

fn tier(name: &str) -> TierName {
    TierName::new(name).expect("a tier's name")
}

fn id(number: usize) -> DossierId {
    DossierId {
        unit: UnitId::new("school-1").expect("a unit's name"),
        period: Some("2026-1".parse().expect("a period")),
        reach: Reach::Up(tier("city")),
        subject: format!("G110101200901{number:06}"),
    }
}

/// About as long as a real record: seven Chinese characters and more per text.
fn fields(id: &DossierId, rng: &mut ChaCha20Rng) -> Fields {
    let mut pick = |words: &[&'static str]| words[rng.next_u32() as usize % words.len()];
    let place = "\u{6e05}\u{6cb3}\u{533a}\u{793e}\u{533a}\u{670d}\u{52a1}\u{4e2d}\u{5fc3}7\u{53f7}";
    let title = "\u{79cb}\u{5b63}\u{5b66}\u{671f}\u{6cb3}\u{9053}\u{6e05}\u{6d01}\u{884c}\u{52a8}";
    let body = "\u{7b2c}\u{4e00}\u{4e2d}\u{5b66}\u{56e2}\u{59d4}";
    let text = |text: &str| Value::Text(text.to_owned());
    let date = pick(&["2026-09-14", "2026-10-07", "2026-11-21"])
        .parse()
        .expect("a date");
    let hours = [5, 10, 15, 20, 30].map(|units| Value::Decimal { units, scale: 1 });
    [
        (1, text(&id.subject)),
        (
            2,
            text(pick(&[
                "volunteer",
                "military",
                "rural",
                "culture",
                "survey",
            ])),
        ),
        (
            3,
            text(&format!("{title}{}", pick(&["A", "B", "C", "D", "E", "F"]))),
        ),
        (4, text(place)),
        (5, Value::Date(date)),
        (6, hours[rng.next_u32() as usize % hours.len()].clone()),
        (7, text(body)),
        (8, text("pending")),
    ]
    .into()
}
