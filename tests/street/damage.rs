//! Disks that lie: bytes of a home that changed by themselves are found and named, never shown as
//! records and never the end of a process without a word.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::{Branch, Node, generate, refusal, wait_for};

/// Bytes changed one after another in each of the large files.
const FLIPS: usize = 20;

/// A school by itself with records in its store, at rest, and what it shows of them.
fn school(dir: &Path) -> (PathBuf, Shown) {
    let home = dir.join("school");
    let args = ["init", "--unit", "s1", "--tier", "school", "--name", "s1"];
    tests::run_json(&home, &args);
    let args = ["--students", "30", "--per-student", "10", "--form", "jsonl"];
    let file = generate(dir, "base.jsonl", &args);
    let node = Node::existing(home.clone());
    assert_eq!(node.import("volunteer-service", "2026-1", &file), (300, 0));
    let shown = Shown::of(&home, dir, "whole").unwrap();
    assert_eq!(shown.records.lines().count(), 300);
    (home, shown)
}

/// Everything a home says about what it holds.
#[derive(PartialEq, Eq, Debug)]
struct Shown {
    records: String,
    logs: String,
}

impl Shown {
    /// Reads it through the command line; none when a command was refused.
    fn of(home: &Path, dir: &Path, name: &str) -> Option<Self> {
        let file = dir.join(format!("{name}.out"));
        let path = file.to_str().unwrap();
        let args = [
            "export",
            "--kind",
            "volunteer-service",
            "--period",
            "2026-1",
            "--format",
        ];
        let exported = tests::run(home, &[&args[..], &["jsonl", "-o", path]].concat());
        let logs = tests::run(home, &["--json", "log", "--entries", "1000"]);
        if !exported.status.success() || !logs.status.success() {
            refusal(if exported.status.success() {
                &logs
            } else {
                &exported
            });
            return None;
        }
        let records = std::fs::read_to_string(&file).unwrap();
        Some(Self {
            records,
            logs: String::from_utf8(logs.stdout).unwrap(),
        })
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let done = Command::new("cp")
        .args(["-a", "--sparse=always"])
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(done.success());
}

/// Returns the files of a folder with their sizes, in order.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn a_flipped_byte_anywhere_in_a_home_is_reported_or_does_no_harm() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let (home, whole) = school(dir);
    let sound = tests::run_json(&home, &["doctor"]);
    assert_eq!(sound["findings"], serde_json::json!([]));
    let mut all = Vec::new();
    files(&home, &mut all);
    let (mut reported, mut harmless) = (0, 0);
    for file in &all {
        let name = file.strip_prefix(&home).unwrap();
        let bytes = std::fs::read(file).unwrap();
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let count = if used.len() > 10_000 {
            FLIPS
        } else {
            3.min(used.len())
        };
        for nth in 0..count {
            // The middles of equal shares of the bytes in use.
            let at = used[(2 * nth + 1) * used.len() / (2 * count)];
            let copied = dir.join("copy");
            copy(&home, &copied);
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            std::fs::write(copied.join(name), &damaged).unwrap();
            let what = format!("byte {at} of {}", name.display());
            let output = tests::run(&copied, &["--json", "doctor"]);
            if output.status.success() {
                let shown = Shown::of(&copied, dir, &format!("flip-{nth}-{at}"));
                let shown = shown.unwrap_or_else(|| panic!("{what}: doctor saw nothing"));
                assert!(
                    shown == whole,
                    "{what}: doctor saw nothing, and something is missing"
                );
                harmless += 1;
            } else {
                let said = refusal(&output);
                let helps = [
                    "restore",
                    "run `sanji",
                    "not 64 hex",
                    "unknown",
                    "expected",
                    "node.toml",
                ];
                let named = said.contains("copy") || helps.iter().any(|word| said.contains(word));
                let findings = serde_json::from_slice::<serde_json::Value>(&output.stdout);
                assert!(named || findings.is_ok(), "{what}: {said}");
                reported += 1;
            }
        }
    }
    println!(
        "{} files: {reported} flipped bytes reported, {harmless} without effect",
        all.len()
    );
    assert!(reported >= 10, "the flips did not hit what is in use");
}

/// A name and what is done to a file.
type Blow = (&'static str, fn(&Path));

#[test]
fn a_store_cut_short_emptied_or_gone_is_refused_with_what_to_do_and_left_where_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let (home, _) = school(dir);
    let store = Path::new("store/engine/db");
    let blows: [Blow; 3] = [
        ("cut", |path| {
            // In the middle of what is in use, not of the space set aside for more.
            let bytes = std::fs::read(path).unwrap();
            let size = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
            std::fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(size / 2)
                .unwrap();
        }),
        ("emptied", |path| std::fs::write(path, "").unwrap()),
        ("zeroes", |path| {
            let size = std::fs::metadata(path).unwrap().len();
            std::fs::write(path, vec![0; usize::try_from(size).unwrap()]).unwrap();
        }),
    ];
    for (name, blow) in blows {
        let copied = dir.join(name);
        copy(&home, &copied);
        blow(&copied.join(store));
        for command in [
            &["doctor"][..],
            &["serve", "--listen", "127.0.0.1:0"],
            &["status"],
        ] {
            let said = refusal(&tests::run(&copied, command));
            assert!(
                said.contains("cannot be used"),
                "{name}, {command:?}: {said}"
            );
            assert!(
                said.contains("doctor --repair"),
                "{name}, {command:?}: what to do? {said}"
            );
        }
        assert!(
            copied.join(store).exists(),
            "{name}: it is left where it is"
        );
    }
    // No store at all where there was one: not a new, empty one.
    let copied = dir.join("gone");
    copy(&home, &copied);
    std::fs::remove_dir_all(copied.join("store")).unwrap();
    let said = refusal(&tests::run(&copied, &["status"]));
    assert!(
        said.contains("incomplete") && said.contains("doctor --repair"),
        "{said}"
    );
}

#[test]
fn a_lost_store_is_replaced_by_one_command_and_filled_again_from_above_and_beside() {
    let mut branch = Branch::start();
    let dir = branch.dir.path().to_owned();
    let args = ["--students", "10", "--per-student", "5", "--form", "jsonl"];
    let file = generate(&dir, "base.jsonl", &args);
    branch.school.import("volunteer-service", "2026-1", &file);
    let mut laptop = branch.school.enrol(&dir, "laptop", "s1", "school");
    laptop.start();
    laptop.wait_until_equal(&branch.school, "s1", 50);
    branch.school.wait_until_equal(&branch.city, "s1", 50);
    let said = refusal(&branch.school.run(&["doctor", "--repair"]));
    assert!(said.contains("in use"), "{said}");
    assert!(branch.school.stop());
    let sound = branch.school.json(&["doctor", "--repair"]);
    assert_eq!(sound["repaired"], false, "what is sound is left alone");
    let log = branch.school.home().join("store/engine/db");
    let size = std::fs::metadata(&log).unwrap().len();
    std::fs::write(&log, vec![0; usize::try_from(size).unwrap()]).unwrap();
    refusal(&branch.school.run(&["doctor"]));
    let repaired = branch.school.json(&["doctor", "--repair"]);
    let aside = Path::new(repaired["aside"].as_str().unwrap());
    assert!(aside.join("engine/db").exists(), "nothing is deleted");
    // The district gives back what travelled, the laptop also what stays at the school.
    branch.school.start();
    branch.school.wait_until_equal(&branch.city, "s1", 50);
    let text = std::fs::read_to_string(&file).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let student = first
        .as_object()
        .unwrap()
        .values()
        .find_map(|v| v.as_str().filter(|text| text.starts_with('G')));
    let student = student.unwrap();
    wait_for("both parts of the records", || {
        let shown = branch.school.json(&["show", "--student", student]);
        let all = shown.as_array().unwrap();
        let count = |reach: &str| all.iter().filter(|r| r["reach"] == reach).count();
        if (count("own"), count("up:city")) == (5, 5) {
            Ok(())
        } else {
            Err(shown.to_string())
        }
    });
    // It goes on in new logs: the same file is known, and further records reach the city.
    assert_eq!(
        branch.school.import("volunteer-service", "2026-1", &file),
        (0, 50)
    );
    let args = [&args[..], &["--seed", "2"]].concat();
    let more = generate(&dir, "more.jsonl", &args);
    assert_eq!(
        branch.school.import("volunteer-service", "2026-1", &more),
        (50, 0)
    );
    branch.school.wait_until_equal(&branch.city, "s1", 100);
    laptop.wait_until_equal(&branch.city, "s1", 100);
    let findings = branch.school.json(&["doctor"]);
    assert_eq!(findings["findings"], serde_json::json!([]), "{findings}");
    // Only its own store holds a district's roster: that is said, and nothing is touched.
    assert!(branch.district.stop());
    let log = branch.district.home().join("store/engine/db");
    std::fs::write(&log, "").unwrap();
    let said = refusal(&branch.district.run(&["doctor", "--repair"]));
    assert!(said.contains("newest backup"), "{said}");
    assert!(log.exists());
}
