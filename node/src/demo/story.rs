//! The story, chapter by chapter. Nothing waits for a while: every step ends when the nodes show what it is about.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::agreement::held;
use super::cast::{
    CAST, CITY, DISTRICTS, FAULTY, FILES, LAPTOP, LONELY, PERIOD, PRACTICE, SAMPLE, SCHOOLS,
    VOLUNTEER, above,
};
use super::error::DemoError;
use super::stage::Stage;
use crate::clock::Stopwatch;
use crate::generate::{self, FileForm, GenerateError, Part, Spec};
use crate::host;
use crate::label::{Arg, text};
use crate::show::measure::{bytes, grouped, millis};
use crate::show::state::{self, LinkWord};

/// What the demo is asked for.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Where files go.
    pub(super) dir: PathBuf,
    /// Students of each school.
    pub(super) students: u32,
    /// Records of each.
    pub(super) per_student: u32,
}

impl Plan {
    fn spec(&self, school: u32, part: Part) -> Spec {
        Spec {
            school,
            students: self.students,
            per_student: self.per_student,
            part,
            ..Spec::default()
        }
    }

    /// Records the lonely school makes while it is cut off.
    fn later(&self) -> u32 {
        (self.students / 3).max(2)
    }

    fn input(&self, name: &str) -> PathBuf {
        self.dir.join("input").join(name)
    }

    fn output(&self, name: &str) -> PathBuf {
        self.dir.join("output").join(name)
    }
}

/// A name for the file with what the lonely school records while it is cut off.
const LATER: &str = "school-3-later.xlsx";

/// Tells the whole story.
pub(super) async fn tell(stage: &mut Stage, plan: &Plan) -> Result<(), DemoError> {
    found(stage, plan).await?;
    let clock = Stopwatch::start();
    import(stage, plan).await?;
    arrive(stage, &clock).await?;
    let record = cut_off(stage, plan).await?;
    let change = meet(stage, &record).await?;
    catch_up(stage, &change).await?;
    result(stage, plan).await
}

fn strings<const N: usize>(parts: [&str; N]) -> Vec<String> {
    parts.map(str::to_owned).to_vec()
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

fn since(clock: &Stopwatch) -> String {
    millis(u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX))
}

// 1

async fn found(stage: &mut Stage, plan: &Plan) -> Result<(), DemoError> {
    stage.chapter("demo-found");
    stage.remark("demo-found-says");
    let made = plan.clone();
    let work = tokio::task::spawn_blocking(move || make_files(&made));
    stage
        .during(work)
        .await?
        .expect("making files does not panic")?;
    let name = stage.name(CITY);
    let init = [
        "init",
        "--unit",
        "city",
        "--tier",
        "city",
        "--name",
        name.as_str(),
    ];
    let answer = stage.command(CITY, strings(init)).await?;
    let root = answer["root"].as_str().unwrap_or_default().to_owned();
    let args = [("unit", Arg::Text(&name)), ("root", Arg::Text(&root))];
    stage.event("demo-event-founded", &args);
    stage.start(&[CITY]).await?;
    for group in [&DISTRICTS[..], &SCHOOLS[..], &[LAPTOP]] {
        enrol(stage, group).await?;
    }
    stage
        .until(|stage| {
            let is_apart = |node: &usize| {
                let link = stage.status(*node).and_then(state::of_uplink);
                above(*node).is_some() && link != Some(LinkWord::InStep)
            };
            let apart = (0..CAST.len()).find(is_apart)?;
            let name = stage.name(apart);
            Some(text(
                stage.lang,
                "demo-missing-link",
                &[("node", Arg::Text(&name))],
            ))
        })
        .await?;
    let args = [
        ("nodes", CAST.len().into()),
        ("links", (CAST.len() - 1).into()),
    ];
    stage.event("demo-event-linked", &args);
    stage.snapshot();
    Ok(())
}

/// Lets nodes join whom they dial, side by side, and starts them.
async fn enrol(stage: &mut Stage, nodes: &[usize]) -> Result<(), DemoError> {
    let mut invitations = Vec::new();
    for node in nodes {
        let address = stage.lay_wire(*node).await?.to_string();
        let (Some(role), Some(dials)) = (CAST.get(*node), above(*node)) else {
            continue;
        };
        let name = stage.name(*node);
        let args = [
            "invite",
            "--unit",
            role.unit,
            "--tier",
            role.tier,
            "--name",
            &name,
            "--address",
            &address,
        ];
        invitations.push((dials, strings(args)));
    }
    let tokens = stage.commands(invitations).await?;
    let joins = nodes.iter().zip(&tokens).map(|(node, answer)| {
        let token = answer["token"].as_str().unwrap_or_default();
        (*node, strings(["join", token]))
    });
    stage.commands(joins.collect()).await?;
    stage.start(nodes).await?;
    for node in nodes {
        let (name, upper) = (stage.name(*node), stage.name(above(*node).unwrap_or(CITY)));
        let args = [("unit", Arg::Text(&name)), ("parent", Arg::Text(&upper))];
        stage.event("demo-event-joined", &args);
    }
    Ok(())
}

/// Makes every file the schools will bring.
fn make_files(plan: &Plan) -> Result<(), DemoError> {
    let kind = host::FIRST_KINDS
        .iter()
        .filter_map(|text| tiers::Kind::parse(text).ok())
        .find(|kind| kind.id() == VOLUNTEER)
        .expect("the kind comes with the program");
    let make = |name: &str, spec: Spec, form: FileForm| {
        let path = plan.input(name);
        let made = generate::generate(&kind, &spec, form, &path);
        made.map_err(|source: GenerateError| DemoError::Generate { path, source })
    };
    for (_, number, form, name) in FILES {
        make(name, plan.spec(number, Part::Semester), form)?;
    }
    make(
        LATER,
        plan.spec(3, Part::Delta(plan.later())),
        FileForm::Xlsx,
    )?;
    for (name, bytes) in [SAMPLE, FAULTY] {
        let path = plan.input(name);
        std::fs::write(&path, bytes).map_err(|source| DemoError::File { path, source })?;
    }
    Ok(())
}

// 2

async fn import(stage: &mut Stage, plan: &Plan) -> Result<(), DemoError> {
    stage.chapter("demo-import");
    stage.remark("demo-import-says");
    let files = FILES.map(|(school, _, _, name)| (school, import_of(VOLUNTEER, &plan.input(name))));
    let clock = Stopwatch::start();
    let answers = stage.commands(files.to_vec()).await?;
    let wanted = u64::from(plan.students) * u64::from(plan.per_student);
    for ((school, _), answer) in files.iter().zip(&answers) {
        imported(stage, *school, answer, wanted, &clock)?;
    }
    let school = SCHOOLS[3];
    let clock = Stopwatch::start();
    let answer = stage
        .command(school, import_of(PRACTICE, &plan.input(SAMPLE.0)))
        .await?;
    let rows = answer["rows"].as_u64().unwrap_or_default();
    imported(stage, school, &answer, rows, &clock)?;
    let (school, (_, _, _, name)) = (SCHOOLS[0], FILES[0]);
    let answer = stage
        .command(school, import_of(VOLUNTEER, &plan.input(name)))
        .await?;
    if answer["imported"]["new"] != 0 {
        return Err(stage.lost(school, answer["imported"].to_string()));
    }
    let name = stage.name(school);
    stage.event("demo-event-again", &[("unit", Arg::Text(&name))]);
    let school = SCHOOLS[1];
    let said = stage
        .refused(school, import_of(VOLUNTEER, &plan.input(FAULTY.0)))
        .await?;
    let first = said.lines().next().unwrap_or_default();
    let name = stage.name(school);
    stage.event(
        "demo-event-refused",
        &[("unit", Arg::Text(&name)), ("said", Arg::Text(first))],
    );
    Ok(())
}

fn import_of(kind: &str, file: &Path) -> Vec<String> {
    strings(["import", "--kind", kind, "--period", PERIOD, &display(file)])
}

/// Notes what an import made; another number than the file holds is an error.
fn imported(
    stage: &mut Stage,
    school: usize,
    answer: &Value,
    wanted: u64,
    clock: &Stopwatch,
) -> Result<(), DemoError> {
    let new = answer["imported"]["new"].as_u64().unwrap_or_default();
    if new != wanted {
        let args = [("found", new.into()), ("expected", wanted.into())];
        let what = text(stage.lang, "demo-wrong-count", &args);
        return Err(stage.lost(school, what));
    }
    *stage.expected.entry(school).or_default() += new;
    let name = stage.name(school);
    let args = [
        ("unit", Arg::Text(&name)),
        (
            "file",
            Arg::Text(answer["file"].as_str().unwrap_or_default()),
        ),
        (
            "encoding",
            Arg::Text(answer["encoding"].as_str().unwrap_or_default()),
        ),
        ("new", new.into()),
        ("time", Arg::Text(&since(clock))),
    ];
    stage.event("demo-event-imported", &args);
    Ok(())
}

// 3

async fn arrive(stage: &mut Stage, clock: &Stopwatch) -> Result<(), DemoError> {
    stage.chapter("demo-arrive");
    stage.remark("demo-arrive-says");
    all_alike(stage).await?;
    let records: u64 = stage.expected.values().sum();
    let args = [
        ("records", Arg::Text(&grouped(records))),
        ("time", Arg::Text(&since(clock))),
    ];
    stage.event("demo-event-arrived", &args);
    // Receipts travel down behind the entries.
    let school = SCHOOLS[0];
    stage
        .until(|stage| {
            let receipts = &stage.status(school)?.receipts;
            let all = receipts.len() == 2 && receipts.iter().all(|receipt| receipt.behind == 0);
            (!all).then(|| missing_unit(stage, school))
        })
        .await?;
    let issuers = format!("{}, {}", stage.name(DISTRICTS[0]), stage.name(CITY));
    let name = stage.name(school);
    let args = [("unit", Arg::Text(&name)), ("issuers", Arg::Text(&issuers))];
    stage.event("demo-event-receipt", &args);
    stage.snapshot();
    Ok(())
}

/// Waits until every school's records are held alike by all who should hold them.
async fn all_alike(stage: &mut Stage) -> Result<(), DemoError> {
    stage
        .until(|stage| {
            let apart = stage.rows().into_iter().find(|row| !row.is_alike())?;
            Some(missing_unit(stage, apart.school))
        })
        .await
}

fn missing_unit(stage: &Stage, school: usize) -> String {
    let name = stage.name(school);
    text(
        stage.lang,
        "demo-missing-unit",
        &[("unit", Arg::Text(&name))],
    )
}

// 4

/// A record that will be changed on both sides.
struct Record {
    subject: String,
    record: String,
    category: String,
    minutes: String,
}

async fn cut_off(stage: &mut Stage, plan: &Plan) -> Result<Record, DemoError> {
    stage.chapter("demo-cut");
    stage.remark("demo-cut-says");
    let name = stage.name(LONELY);
    let unit = |name| [("unit", Arg::Text(name))];
    stage.stop(LAPTOP).await?;
    stage.event("demo-event-left", &unit(&name));
    stage.cut(LONELY);
    stage.event("demo-event-cut", &unit(&name));
    stage.kill(LONELY);
    stage.event("demo-event-killed", &unit(&name));
    stage.start(&[LONELY]).await?;
    let before = stage.expected.get(&LONELY).copied().unwrap_or_default();
    settled(stage, LONELY, before).await?;
    let args = [
        ("unit", Arg::Text(&name)),
        ("records", Arg::Text(&grouped(before))),
    ];
    stage.event("demo-event-survived", &args);

    let clock = Stopwatch::start();
    let answer = stage
        .command(LONELY, import_of(VOLUNTEER, &plan.input(LATER)))
        .await?;
    imported(stage, LONELY, &answer, plan.later().into(), &clock)?;
    let file = plan.output("school-3.jsonl");
    let export = [
        "export", "--kind", VOLUNTEER, "--period", PERIOD, "--format", "jsonl", "-o",
    ];
    let mut export = strings(export);
    export.push(display(&file));
    stage.command(LONELY, export).await?;
    let text_of = std::fs::read_to_string(&file).map_err(|source| DemoError::File {
        path: file.clone(),
        source,
    })?;
    let mut records = text_of.lines().filter_map(record_of);
    let (Some(first), Some(second)) = (records.next(), records.next()) else {
        return Err(stage.lost(LONELY, display(&file)));
    };
    let project = text(stage.lang, "demo-edit-project", &[]);
    let change = format!("project={project}");
    stage.command(LONELY, edit_of(&first, &[&change])).await?;
    stage.event(
        "demo-event-edited",
        &[("unit", Arg::Text(&name)), ("change", Arg::Text(&change))],
    );

    stage
        .until(|stage| {
            let status = stage.status(LONELY)?;
            let noticed = status.uplink_last_failure.is_some() && state::dialled(status).is_empty();
            (!noticed).then(|| {
                text(
                    stage.lang,
                    "demo-missing-off",
                    &[("node", Arg::Text(&name))],
                )
            })
        })
        .await?;
    if let Some(status) = stage.status(LONELY) {
        let said = crate::show::headline(stage.lang, status);
        let why = status
            .uplink_last_failure
            .as_ref()
            .map(|(_, why)| why.clone());
        let args = [("unit", Arg::Text(&name)), ("said", Arg::Text(&said))];
        stage.event("demo-event-status", &args);
        if let Some(why) = why {
            stage.event("demo-event-why", &[("why", Arg::Text(&why))]);
        }
    }
    let unmoved = stage
        .status(CITY)
        .and_then(|status| held(status, CAST[LONELY].unit));
    let unmoved = unmoved.map_or(0, |held| held.records);
    if unmoved != before {
        let args = [("found", unmoved.into()), ("expected", before.into())];
        let what = text(stage.lang, "demo-wrong-count", &args);
        return Err(stage.lost(CITY, what));
    }
    let args = [
        ("unit", Arg::Text(&name)),
        ("records", Arg::Text(&grouped(unmoved))),
    ];
    stage.event("demo-event-unmoved", &args);
    stage.snapshot();
    Ok(second)
}

/// Waits until a node shows so many records of its own unit, all worked in.
async fn settled(stage: &mut Stage, node: usize, records: u64) -> Result<(), DemoError> {
    let unit = CAST.get(node).map_or("", |role| role.unit);
    stage
        .until(|stage| {
            let held = stage.status(node).and_then(|status| held(status, unit));
            let found = held.as_ref().map_or(0, |held| held.records);
            let done = found == records && held.is_some_and(|held| held.settled);
            let args = [("found", found.into()), ("expected", records.into())];
            (!done).then(|| text(stage.lang, "demo-wrong-count", &args))
        })
        .await
}

fn record_of(line: &str) -> Option<Record> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    Some(Record {
        subject: text("_subject")?,
        record: text("_record")?,
        category: text("category")?,
        minutes: text("minutes")?,
    })
}

fn edit_of(record: &Record, changes: &[&str]) -> Vec<String> {
    let mut args = strings([
        "edit",
        "--period",
        PERIOD,
        "--student",
        &record.subject,
        "--record",
        &record.record,
    ]);
    args.extend(changes.iter().map(|change| (*change).to_owned()));
    args
}

// 5

/// What was changed apart: the record, and what must stand everywhere in the end.
struct Change {
    record: Record,
    venue: String,
    minutes: String,
    categories: [String; 2],
}

async fn meet(stage: &mut Stage, record: &Record) -> Result<Change, DemoError> {
    stage.chapter("demo-merge");
    stage.remark("demo-merge-says");
    let mut others = ["event", "environment", "public-place"]
        .into_iter()
        .filter(|code| *code != record.category);
    let categories = [(); 2].map(|()| others.next().unwrap_or_default().to_owned());
    let change = Change {
        record: Record {
            subject: record.subject.clone(),
            record: record.record.clone(),
            category: record.category.clone(),
            minutes: record.minutes.clone(),
        },
        venue: text(stage.lang, "demo-edit-venue", &[]),
        minutes: if record.minutes == "4" { "5" } else { "4" }.to_owned(),
        categories,
    };
    let away = [
        format!("venue={}", change.venue),
        format!("category={}", change.categories[0]),
    ];
    let away: Vec<&str> = away.iter().map(String::as_str).collect();
    stage.command(LAPTOP, edit_of(record, &away)).await?;
    stage.event("demo-event-away", &[("change", Arg::Text(&away.join(" ")))]);
    let here = [
        format!("minutes={}", change.minutes),
        format!("category={}", change.categories[1]),
    ];
    let here: Vec<&str> = here.iter().map(String::as_str).collect();
    stage.command(LONELY, edit_of(record, &here)).await?;
    let name = stage.name(LONELY);
    let args = [
        ("unit", Arg::Text(&name)),
        ("change", Arg::Text(&here.join(" "))),
    ];
    stage.event("demo-event-edited", &args);

    stage.start(&[LAPTOP]).await?;
    stage.event("demo-event-home", &[]);
    stage
        .until(|stage| {
            let rows = stage.rows();
            let row = rows.iter().find(|row| row.school == LONELY)?;
            let (school, laptop) = (row.at(LONELY), row.at(LAPTOP));
            let same = school.is_some() && school == laptop;
            let settled = school.is_some_and(|held| held.settled && held.records == row.expected);
            (!(same && settled)).then(|| missing_unit(stage, LAPTOP))
        })
        .await?;
    for node in [LONELY, LAPTOP] {
        stands(stage, node, &change).await?;
    }
    let values = change.categories.join(" | ");
    let args = [
        ("field", Arg::Text("venue")),
        ("other", Arg::Text("minutes")),
        ("both", Arg::Text("category")),
        ("values", Arg::Text(&values)),
    ];
    stage.event("demo-event-merged", &args);
    stage.snapshot();
    Ok(change)
}

/// Checks that a node shows both edits, and both values of the field that both changed.
async fn stands(stage: &mut Stage, node: usize, change: &Change) -> Result<(), DemoError> {
    let unit = CAST[LONELY].unit;
    let show = strings(["show", "--student", &change.record.subject, "--unit", unit]);
    let answer = stage.command(node, show).await?;
    let widest = |record: &&Value| {
        record["record"] == change.record.record.as_str() && record["reach"] != "own"
    };
    let found = answer
        .as_array()
        .and_then(|records| records.iter().find(widest));
    let stands = found.is_some_and(|record| {
        let mut kept: Vec<&str> = record["conflicts"]["category"]
            .as_array()
            .map(|values| values.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        kept.sort_unstable();
        let mut wanted: Vec<&str> = change.categories.iter().map(String::as_str).collect();
        wanted.sort_unstable();
        record["fields"]["venue"] == change.venue.as_str()
            && record["fields"]["minutes"] == change.minutes.as_str()
            && kept == wanted
    });
    if stands {
        return Ok(());
    }
    let args = [("record", Arg::Text(&change.record.record))];
    let what = format!(
        "{}: {}",
        text(stage.lang, "demo-wrong-record", &args),
        found.map_or(&answer, |record| record)
    );
    Err(stage.lost(node, what))
}

// 6

async fn catch_up(stage: &mut Stage, change: &Change) -> Result<(), DemoError> {
    stage.chapter("demo-mend");
    stage.remark("demo-mend-says");
    let before = stage.carried_by(LONELY);
    let clock = Stopwatch::start();
    stage.mend(LONELY);
    let name = stage.name(LONELY);
    stage.event("demo-event-mended", &[("unit", Arg::Text(&name))]);
    all_alike(stage).await?;
    let carried = bytes(stage.carried_by(LONELY) - before);
    let args = [
        ("time", Arg::Text(&since(&clock))),
        ("bytes", Arg::Text(&carried)),
    ];
    stage.event("demo-event-caught-up", &args);
    for node in [LONELY, LAPTOP, DISTRICTS[1], CITY] {
        stands(stage, node, change).await?;
    }
    stage.event("demo-event-everywhere", &[]);
    stage.snapshot();
    Ok(())
}

// 7

async fn result(stage: &mut Stage, plan: &Plan) -> Result<(), DemoError> {
    let table = plan.output("city.csv");
    let export = ["export", "--kind", VOLUNTEER, "--period", PERIOD, "-o"];
    let mut export = strings(export);
    export.push(display(&table));
    let written = stage.command(CITY, export).await?;
    let volunteer: u64 = stage.expected.values().sum::<u64>();
    let sample = SAMPLE.1.iter().filter(|byte| **byte == b'\n').count() as u64 - 1;
    let rows = written["rows"].as_u64().unwrap_or_default();
    if rows != volunteer - sample {
        let args = [
            ("found", rows.into()),
            ("expected", (volunteer - sample).into()),
        ];
        let what = text(stage.lang, "demo-wrong-count", &args);
        return Err(stage.lost(CITY, what));
    }
    let logs = stage
        .command(CITY, strings(["log", "--entries", "0"]))
        .await?;
    let entries: Vec<(usize, u64)> = SCHOOLS
        .iter()
        .map(|school| {
            let unit = CAST.get(*school).map_or("", |role| role.unit);
            let of_unit = logs
                .as_array()
                .into_iter()
                .flatten()
                .filter(|log| log["unit"] == unit);
            (
                *school,
                of_unit.filter_map(|log| log["entries"].as_u64()).sum(),
            )
        })
        .collect();
    // The last look may be older than the last receipt.
    all_alike(stage).await?;
    stage.curtain();
    stage.chapter("demo-result");
    stage.result(&entries);
    let wrong = stage.rows().iter().filter(|row| !row.is_alike()).count();
    if wrong > 0 {
        return Err(DemoError::Differs { units: wrong });
    }
    let records: u64 = stage.expected.values().sum();
    let in_all: u64 = entries.iter().map(|(_, entries)| entries).sum();
    let args = [
        ("records", Arg::Text(&grouped(records))),
        ("entries", Arg::Text(&grouped(in_all))),
        ("nodes", CAST.len().into()),
        ("bytes", Arg::Text(&bytes(stage.carried()))),
        ("time", Arg::Text(&stage.elapsed())),
    ];
    let fine = text(stage.lang, "demo-fine", &args);
    let fine = stage.paint().tint(crate::show::paint::Tone::Good, &fine);
    stage.say(&format!("\n{fine}"));
    let (homes, logs) = (display(&plan.dir.join("homes")), stage.logs());
    let args = [
        ("homes", Arg::Text(&homes)),
        ("logs", Arg::Text(&logs)),
        ("table", Arg::Text(&display(&table))),
    ];
    let kept = text(stage.lang, "demo-kept", &args);
    stage.say(&kept);
    Ok(())
}
