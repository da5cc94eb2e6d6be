//! SIGTERM: a node ends in order whatever it is doing, tells its peers, and leaves nothing half-done.

use std::process::{Command, Stdio};

use tests::{Branch, generate, sanji, wait_for};

#[test]
fn sigterm_ends_a_node_in_order_in_the_middle_of_imports_and_tells_its_peers() {
    let mut branch = Branch::start();
    let dir = branch.dir.path().to_owned();
    let mut held = 0;
    for (round, students) in [(0, "20"), (1, "200"), (2, "400")] {
        let name = format!("round-{round}.jsonl");
        let seed = format!("{round}");
        let args = [
            "--students",
            students,
            "--per-student",
            "5",
            "--form",
            "jsonl",
            "--seed",
            &seed,
        ];
        let file = generate(&dir, &name, &args);
        let records = 5 * students.parse::<u64>().unwrap();
        let import = Command::new(sanji())
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
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        assert!(
            branch.school.stop(),
            "exit code 0; {}",
            branch.school.log_text()
        );
        // The command ran, was told that the node is stopping, or did its work on the home itself.
        let ended = import.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(
            ended.status.success() || ended.status.code() == Some(1),
            "{said}"
        );
        assert!(ended.status.success() || !said.is_empty());
        let (new, known) = branch.school.import("volunteer-service", "2026-1", &file);
        let whole = (new, known) == (0, records);
        let nothing = (new, known) == (records, 0) && !ended.status.success();
        assert!(
            whole || nothing,
            "round {round}: {new} new, {known} known; {said}"
        );
        held += records;
        let findings = branch.school.json(&["doctor"]);
        assert_eq!(findings["findings"], serde_json::json!([]), "{findings}");
        branch.school.start();
    }
    branch.school.wait_until_equal(&branch.city, "s1", held);
    // The node below hears the reason and does not have to wait for silence.
    assert!(
        branch.district.stop(),
        "exit code 0; {}",
        branch.district.log_text()
    );
    let reason = wait_for("the school to hear that the district is stopping", || {
        let status = branch.school.status();
        let failures = status["uplink_last_failure"][1]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if failures.is_empty() {
            Err(status.to_string())
        } else {
            Ok(failures)
        }
    });
    assert!(
        branch.school.log_text().contains("cannot reach") || reason.contains("stopping"),
        "{reason}"
    );
    assert!(!branch.district.home().join("control.sock").exists());
    branch.district.start();
    branch.school.wait_until_equal(&branch.district, "s1", held);
}
