//! Power failures of real processes: kill -9 at random moments of imports and syncs. What was
//! acknowledged must be there, and everything must agree afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Branch, Node, generate, let_pass, sanji, wait_for};

/// Cycles unless `SANJI_KILL_CYCLES` says otherwise.
const CYCLES: u64 = 30;
/// Students of one cycle's import, and records of each.
const STUDENTS: u64 = 20;
const PER_STUDENT: u64 = 15;
/// Records of one cycle's import.
const RECORDS: u64 = STUDENTS * PER_STUDENT;

/// A small generator of its own: the test needs moments, not randomness of quality.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Returns what each issuer has given a receipt for: log to newest position.
fn receipted(school: &Node) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    for receipt in school
        .json(&["receipt"])
        .as_array()
        .cloned()
        .unwrap_or_default()
    {
        let heads = receipt["heads"].as_array().cloned().unwrap_or_default();
        let heads = heads
            .iter()
            .filter_map(|h| Some((h["log"].as_str()?.to_owned(), h["seq_num"].as_u64()?)))
            .collect();
        found.insert(
            receipt["issuer"].as_str().unwrap_or_default().to_owned(),
            heads,
        );
    }
    found
}

/// Returns the logs of a node whose process is down, straight from its home.
fn logs_at_rest(node: &Node) -> BTreeMap<String, u64> {
    let logs = node.json(&["log", "--entries", "0"]);
    let one = |log: &Value| Some((log["log"].as_str()?.to_owned(), log["entries"].as_u64()?));
    logs.as_array()
        .into_iter()
        .flatten()
        .filter_map(one)
        .collect()
}

/// Returns what a node has given receipts for and does not hold: log and position.
fn lost(given: &BTreeMap<String, u64>, at_rest: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let held = |log: &String| at_rest.get(log).copied().unwrap_or(0);
    let lost = given.iter().filter(|(log, seq_num)| held(log) <= **seq_num);
    lost.map(|(log, seq_num)| (log.clone(), *seq_num)).collect()
}

#[test]
fn a_receipt_for_an_entry_that_is_not_in_the_store_is_noticed() {
    let logs = |list: &[(&str, u64)]| list.iter().map(|(l, n)| ((*l).to_owned(), *n)).collect();
    let given = logs(&[("a", 4), ("b", 0)]);
    assert_eq!(lost(&given, &logs(&[("a", 5), ("b", 1), ("c", 9)])), []);
    assert_eq!(
        lost(&given, &logs(&[("a", 4), ("b", 1)])),
        [("a".to_owned(), 4)]
    );
    assert_eq!(lost(&given, &logs(&[("a", 5)])), [("b".to_owned(), 0)]);
}

/// Writes an import's file; every name gives other records.
fn file_of(dir: &Path, name: &str) -> PathBuf {
    let (students, per_student) = (STUDENTS.to_string(), PER_STUDENT.to_string());
    let seed = name.parse().unwrap_or(1_000_000_u64).to_string();
    let args = [
        "--students",
        &students,
        "--per-student",
        &per_student,
        "--form",
        "jsonl",
    ];
    generate(
        dir,
        &format!("{name}.jsonl"),
        &[&args[..], &["--seed", &seed]].concat(),
    )
}

#[test]
fn nothing_acknowledged_is_lost_when_any_node_is_killed_at_any_moment() {
    let cycles = std::env::var("SANJI_KILL_CYCLES")
        .ok()
        .and_then(|n| n.parse().ok());
    let cycles: u64 = cycles.unwrap_or(CYCLES);
    let seed = std::env::var("SANJI_KILL_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(7);
    let mut draw = Draw(seed);
    let mut branch = Branch::start();
    let dir = branch.dir.path().to_owned();
    // How long an import takes on this machine: blows fall during it and for as long after it.
    let started = Instant::now();
    let file = file_of(&dir, "first");
    branch.school.import("volunteer-service", "2026-1", &file);
    let span = u64::try_from(started.elapsed().as_micros()).unwrap() * 2;
    branch.school.wait_until_equal(&branch.city, "s1", RECORDS);
    wait_for("the first receipts", || {
        let given = receipted(&branch.school);
        if given.len() == 2 {
            Ok(())
        } else {
            Err(format!("{given:?}"))
        }
    });
    let (mut held, mut killed_imports, mut checked_receipts) = (RECORDS, 0, 0);
    for cycle in 0..cycles {
        let file = file_of(&dir, &cycle.to_string());
        let mut import = Command::new(sanji())
            .arg("--home")
            .arg(branch.school.home())
            .args([
                "--json",
                "import",
                "--kind",
                "volunteer-service",
                "--period",
                "2026-1",
            ])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let_pass(Duration::from_micros(draw.below(span)));
        let victim = draw.below(3);
        match victim {
            0 => branch.school.kill(),
            1 => branch.district.kill(),
            _ => branch.city.kill(),
        }
        let acknowledged = import.wait().unwrap().success();
        if victim == 0 {
            killed_imports += u64::from(!acknowledged);
            branch.school.start();
        } else {
            // What it gave receipts for must be in its store, with nobody there to send it again.
            let receipts = receipted(&branch.school);
            let (unit, down) = if victim == 1 {
                ("d1", &branch.district)
            } else {
                ("city", &branch.city)
            };
            let given = receipts.get(unit).cloned().unwrap_or_default();
            let lost = lost(&given, &logs_at_rest(down));
            assert!(
                lost.is_empty(),
                "cycle {cycle}: {unit} gave receipts and lost {lost:?}"
            );
            checked_receipts += given.len();
            if victim == 1 {
                branch.district.start()
            } else {
                branch.city.start()
            }
        }
        // All or nothing, and an acknowledged import is all.
        let (new, known) = branch.school.import("volunteer-service", "2026-1", &file);
        assert!(
            (new, known) == (0, RECORDS) || (!acknowledged && (new, known) == (RECORDS, 0)),
            "cycle {cycle}: acknowledged {acknowledged}, then {new} new and {known} known"
        );
        held += RECORDS;
    }
    branch.school.wait_until_equal(&branch.district, "s1", held);
    branch.school.wait_until_equal(&branch.city, "s1", held);
    for node in [&branch.school, &branch.district, &branch.city] {
        let findings = node.json(&["doctor"]);
        assert_eq!(findings["findings"], serde_json::json!([]), "{findings}");
        assert_eq!(node.status()["quarantined"], 0);
    }
    assert!(
        cycles < 10 || checked_receipts > 0,
        "no receipt was held against a store"
    );
    println!(
        "{cycles} kills, {killed_imports} of them in an import; {checked_receipts} receipted heads \
         found in the stores of killed nodes; {held} records everywhere"
    );
}
