//! Homes written by released versions are opened by this one. One folder per release, kept for ever;
//! `SANJI_BLESS=1` writes the current one when a release is made.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::{Branch, Node, generate};

/// The release whose home this version writes.
const CURRENT: &str = "0.1.0";
/// Every release whose home is kept.
const RELEASES: &[&str] = &[CURRENT];

fn kept(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/homes/{release}.tar.gz"))
}

fn tar(args: &[&str]) {
    let done = Command::new("tar").args(args).status().unwrap();
    assert!(done.success(), "tar {args:?}");
}

#[test]
fn a_home_of_each_release_opens_with_its_records_and_goes_on() {
    if std::env::var_os("SANJI_BLESS").is_some() {
        bless();
    }
    for release in RELEASES {
        let dir = tempfile::tempdir().unwrap();
        let archive = kept(release);
        tar(&[
            "-xzf",
            archive.to_str().unwrap(),
            "-C",
            dir.path().to_str().unwrap(),
        ]);
        let mut school = Node::existing(dir.path().join("school"));
        // It exits with 0: nothing is wrong, though in some years certificates will have ended.
        school.json(&["doctor"]);
        assert_eq!(school.holding("s1").0, 40, "{release}");
        school.start();
        let args = [
            "--students",
            "2",
            "--per-student",
            "1",
            "--form",
            "jsonl",
            "--seed",
            "99",
        ];
        let file = generate(dir.path(), "more.jsonl", &args);
        assert_eq!(
            school.import("volunteer-service", "2026-2", &file),
            (2, 0),
            "{release}"
        );
        assert!(school.stop());
    }
}

fn bless() {
    let mut branch = Branch::start();
    let dir = branch.dir.path().to_owned();
    let args = ["--students", "10", "--per-student", "4", "--form", "jsonl"];
    let file = generate(&dir, "first.jsonl", &args);
    branch.school.import("volunteer-service", "2026-1", &file);
    branch.school.wait_until_equal(&branch.city, "s1", 40);
    branch.school.stop();
    let archive = kept(CURRENT);
    std::fs::create_dir_all(archive.parent().unwrap()).unwrap();
    let _ = std::fs::remove_file(dir.join("school/control.sock"));
    tar(&[
        "-czf",
        archive.to_str().unwrap(),
        "-C",
        dir.to_str().unwrap(),
        "school",
    ]);
}
