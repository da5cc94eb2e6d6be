//! The main job end to end, and every way a person can hold it wrong.

use tests::{Branch, Node, generate, refusal, wait_for};

#[test]
fn records_of_three_file_formats_reach_the_city_and_digests_agree() {
    let branch = Branch::start();
    let dir = branch.dir.path();
    let mut records = 0;
    for (name, form, seed) in [
        ("a.xlsx", "xlsx", "1"),
        ("b.csv", "gb18030", "2"),
        ("c.jsonl", "jsonl", "3"),
    ] {
        let args = [
            "--students",
            "20",
            "--per-student",
            "5",
            "--form",
            form,
            "--seed",
            seed,
        ];
        let file = generate(dir, name, &args);
        let (new, known) = branch.school.import("volunteer-service", "2026-1", &file);
        assert_eq!((new, known), (100, 0), "{name}");
        assert_eq!(
            branch.school.import("volunteer-service", "2026-1", &file),
            (0, 100)
        );
        records += new;
    }
    branch.school.wait_until_equal(&branch.city, "s1", records);
    branch
        .district
        .wait_until_equal(&branch.city, "s1", records);
    // The service time stays at the school; what travels is its commitment.
    let show = |node: &Node, student: &str| node.json(&["show", "--student", student]);
    let export = dir.join("out.jsonl");
    let path = export.to_str().unwrap();
    let args = [
        "export",
        "--kind",
        "volunteer-service",
        "--period",
        "2026-1",
        "--format",
        "jsonl",
    ];
    branch.city.json(&[&args[..], &["-o", path]].concat());
    let text = std::fs::read_to_string(&export).unwrap();
    assert_eq!(text.lines().count() as u64, records);
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let student = first["_subject"].as_str().unwrap();
    let reaches = |shown: serde_json::Value| -> Vec<String> {
        let mut all: Vec<String> = shown
            .as_array()
            .unwrap()
            .iter()
            .map(|record| record["reach"].as_str().unwrap().to_owned())
            .collect();
        all.sort();
        all.dedup();
        all
    };
    assert_eq!(reaches(show(&branch.school, student)), ["own", "up:city"]);
    assert_eq!(reaches(show(&branch.city, student)), ["up:city"]);
}

#[test]
fn a_school_cut_off_keeps_recording_and_catches_up() {
    let mut branch = Branch::start();
    let dir = branch.dir.path().to_owned();
    assert!(branch.district.stop(), "it ends well on SIGTERM");
    let file = generate(
        &dir,
        "off.jsonl",
        &["--students", "10", "--per-student", "3", "--form", "jsonl"],
    );
    assert_eq!(
        branch.school.import("volunteer-service", "2026-1", &file),
        (30, 0)
    );
    let status = wait_for("the school to say why it waits", || {
        let status = branch.school.status();
        match status["uplink_last_failure"].is_array() && status["parents"] == serde_json::json!([])
        {
            true => Ok(status),
            false => Err(status.to_string()),
        }
    });
    assert_eq!(status["holdings"][0]["records"], 30);
    branch.district.start();
    branch.school.wait_until_equal(&branch.city, "s1", 30);
    wait_for(
        "receipts from district and city that cover everything",
        || {
            let status = branch.school.status();
            let receipts = status["receipts"].as_array().cloned().unwrap_or_default();
            let covered = receipts.iter().filter(|r| r["behind"] == 0).count();
            if covered == 2 {
                Ok(())
            } else {
                Err(status["receipts"].to_string())
            }
        },
    );
}

#[test]
fn a_laptop_and_the_server_edit_one_record_apart_and_both_edits_survive() {
    let branch = Branch::start();
    let dir = branch.dir.path().to_owned();
    let args = ["--students", "1", "--per-student", "1", "--form", "jsonl"];
    let file = generate(&dir, "one.jsonl", &args);
    branch.school.import("volunteer-service", "2026-1", &file);
    let mut laptop = branch.school.enrol(&dir, "laptop", "s1", "school");
    laptop.start();
    laptop.wait_until_equal(&branch.school, "s1", 1);
    branch.school.wait_until_equal(&branch.city, "s1", 1);
    let shown = laptop.json(&[
        "export",
        "--kind",
        "volunteer-service",
        "--period",
        "2026-1",
        "--format",
        "jsonl",
        "-o",
        dir.join("l.jsonl").to_str().unwrap(),
    ]);
    assert_eq!(shown["rows"], 1);
    let line = std::fs::read_to_string(dir.join("l.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
    let (student, record) = (
        line["_subject"].as_str().unwrap(),
        line["_record"].as_str().unwrap(),
    );
    // Apart: the laptop's process is down, edits go straight into its home.
    laptop.stop();
    let edit = |node: &Node, change: &str| {
        node.json(&[
            "edit",
            "--period",
            "2026-1",
            "--student",
            student,
            "--record",
            record,
            change,
        ]);
    };
    let said = refusal(&branch.school.run(&[
        "edit",
        "--period",
        "2026-1",
        "--student",
        student,
        "--record",
        record,
        "minutes=99",
    ]));
    assert!(
        said.contains("Minutes served") && said.contains("480"),
        "{said}"
    );
    edit(&laptop, "minutes=3");
    edit(&laptop, "project=laptop");
    edit(&branch.school, "commended=true");
    edit(&branch.school, "project=server");
    laptop.start();
    for node in [&branch.school, &laptop, &branch.district, &branch.city] {
        wait_for("both edits", || {
            let shown = node.json(&["show", "--student", student]);
            let all = shown.as_array().unwrap();
            let up = all.iter().find(|r| r["reach"] == "up:city").unwrap();
            let fields = &up["fields"];
            let conflict = up["conflicts"]["project"].as_array().map_or(0, Vec::len);
            let merged = fields["minutes"].as_str().is_some_and(|m| m == "3")
                && !fields["commended"].is_null()
                && conflict == 2;
            if merged {
                Ok(())
            } else {
                Err(shown.to_string())
            }
        });
    }
}

#[test]
fn a_bad_file_is_refused_with_every_row_named_and_nothing_stored() {
    let branch = Branch::start();
    let dir = branch.dir.path();
    let file = generate(
        dir,
        "good.csv",
        &["--students", "2", "--per-student", "2", "--form", "csv"],
    );
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let digits = |line: &str| line.replace("2026-", "2026-99");
    lines[2] = digits(&lines[2]);
    lines[4] = digits(&lines[4]);
    let bad = dir.join("bad.csv");
    std::fs::write(&bad, lines.join("\n")).unwrap();
    let output = branch.school.run(&[
        "import",
        "--kind",
        "volunteer-service",
        "--period",
        "2026-1",
        bad.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("bad.csv") && said.contains('3') && said.contains('5'),
        "{said}"
    );
    assert_eq!(branch.school.status()["holdings"], serde_json::json!([]));
    let args = [
        "import",
        "--kind",
        "volunteer-service",
        "--period",
        "2026-1",
        "--dry-run",
    ];
    let dry = branch
        .school
        .json(&[&args[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(dry["rows"], 4);
    assert_eq!(branch.school.status()["holdings"], serde_json::json!([]));
}

#[test]
fn exit_codes_and_refusals_are_those_of_the_manual() {
    let dir = tempfile::tempdir().unwrap();
    let missing = tests::run(&dir.path().join("none"), &["status"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(!missing.stderr.is_empty());
    assert_eq!(
        tests::run(dir.path(), &["no-such-command"]).status.code(),
        Some(2)
    );
    let mut city = Node::init(dir.path(), "city");
    let again = city.run(&["init", "--unit", "city", "--name", "x"]);
    assert_eq!(again.status.code(), Some(1));
    city.start();
    // A second process on the same home.
    let second = city.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    // A token is for one node only, and only of this federation.
    let token = city.invite("d1", "district");
    let first = tests::run(&dir.path().join("one"), &["join", &token]);
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    let other = tests::run(&dir.path().join("two"), &["join", &token]);
    assert_eq!(other.status.code(), Some(1));
    let wrong_tier = city.run(&[
        "invite",
        "--unit",
        "x",
        "--tier",
        "city",
        "--name",
        "x",
        "--address",
        "h:1",
    ]);
    assert_eq!(wrong_tier.status.code(), Some(1));
}

#[test]
fn the_demo_runs_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let demo = dir.path().join("demo");
    let output = tests::run(
        dir.path(),
        &[
            "demo",
            "--once",
            "--plain",
            "--students",
            "12",
            "--dir",
            demo.to_str().unwrap(),
        ],
    );
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
