//! Disks that fill: a node refuses what it cannot keep, says why, goes on, and keeps what it has.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::{Node, generate, refusal, wait_for};

/// Size of the small disk while there is room: the store keeps half a gigabyte free on any disk.
const WIDE: &str = "size=1g";

/// A disk in memory that can be made narrow and wide again; needs root.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", WIDE, "tmpfs"]).arg(&path);
        let done = mount.stderr(std::process::Stdio::null()).status();
        done.is_ok_and(|status| status.success())
            .then_some(Self(path))
    }

    fn resize(&self, size: &str) {
        let options = format!("remount,{size}");
        let done = Command::new("mount")
            .args(["-o", &options])
            .arg(&self.0)
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// Leaves 100 MB free, far less than the store's reserve.
    fn narrow(&self) {
        self.resize(&format!("size={}k", used(&self.0) / 1024 + 100 * 1024));
    }

    fn widen(&self) {
        self.resize(WIDE);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn used(dir: &Path) -> u64 {
    let output = Command::new("du")
        .args(["-s", "--block-size=1"])
        .arg(dir)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

fn file(dir: &Path, seed: &str) -> PathBuf {
    let args = [
        "--students",
        "10",
        "--per-student",
        "4",
        "--form",
        "jsonl",
        "--seed",
        seed,
    ];
    generate(dir, &format!("{seed}.jsonl"), &args)
}

fn import(node: &Node, file: &Path) -> std::process::Output {
    let file = file.to_str().unwrap();
    node.run(&[
        "import",
        "--kind",
        "volunteer-service",
        "--period",
        "2026-1",
        file,
    ])
}

#[test]
fn a_full_disk_refuses_records_with_a_reason_and_loses_none() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let (Some(below), Some(above)) = (
        Disk::mount(dir.join("below")),
        Disk::mount(dir.join("above")),
    ) else {
        println!("not done: mounting a small disk needs root");
        return;
    };
    let mut city = Node::init(&above.0, "city");
    city.start();
    let mut school = city.enrol(&below.0, "school", "s1", "school");
    school.start();
    school.import("volunteer-service", "2026-1", &file(dir, "1"));
    school.wait_until_equal(&city, "s1", 40);

    // The school's disk fills: refused in words, the node goes on and shows what it has.
    below.narrow();
    let said = refusal(&import(&school, &file(dir, "2")));
    assert!(said.contains("disk is nearly full"), "{said}");
    assert!(school.is_running());
    let status = school.status();
    assert_eq!(status["holdings"][0]["records"], 40);
    let told = status["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .any(|a| a["what"] == "disk-full");
    assert!(told, "{status}");
    // It starts on a full disk, too, and still shows what it has.
    school.kill();
    school.start();
    assert_eq!(school.holding("s1").0, 40);
    assert!(refusal(&import(&school, &file(dir, "2"))).contains("disk is nearly full"));
    below.widen();
    school.import("volunteer-service", "2026-1", &file(dir, "2"));
    school.wait_until_equal(&city, "s1", 80);

    // The city's disk fills: the school records on, and learns why nothing is taken.
    above.narrow();
    school.import("volunteer-service", "2026-1", &file(dir, "3"));
    wait_for("the school to hear that the city's disk is full", || {
        let status = school.status();
        let reason = status["uplink_last_failure"].to_string();
        if reason.contains("disk is nearly full") {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
    assert!(city.is_running());
    assert_eq!(city.holding("s1").0, 80);
    let behind = school.status()["receipts"][0]["behind"].as_u64().unwrap();
    assert!(behind > 0, "no receipt for what was not kept");
    // Acknowledged while alone on a home at rest, and projected when there is room.
    assert!(school.stop());
    school.import("volunteer-service", "2026-1", &file(dir, "4"));
    below.narrow();
    school.start();
    assert!(refusal(&import(&school, &file(dir, "5"))).contains("disk is nearly full"));
    assert!(school.is_running());
    below.widen();
    above.widen();
    school.wait_until_equal(&city, "s1", 160);
    for node in [&school, &city] {
        let findings = node.json(&["doctor"]);
        assert_eq!(findings["findings"], serde_json::json!([]), "{findings}");
    }
    // Before the disks go.
    assert!(school.stop() && city.stop());
}
