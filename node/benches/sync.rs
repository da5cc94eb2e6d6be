//! Measures the main job on the school workload with real processes over loopback, and prints a table:
//! `cargo bench -p node --bench sync` (`-- --quick` for a short look, `-- --schools N` for the hub).
//!
//! Absolute figures belong to the machine of the day; compare ratios within one run.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "a measurement, not a product")]

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use node::control;
use node::home::Home;
use node::request::Request;
use serde_json::Value;

const KIND: &str = "practice-record";
const PERIOD: &str = "2026-1";
const STUDENTS: u32 = 1_200;
const PER_STUDENT: u32 = 20;

struct Node {
    home: PathBuf,
    address: SocketAddr,
    process: Option<Child>,
}

/// What a process has used so far.
#[derive(Clone, Copy, Default)]
struct Used {
    cpu: f64,
    peak_mb: f64,
}

fn sanji(home: &Path, args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_sanji"))
        .arg("--home")
        .arg(home)
        .arg("--json")
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

impl Node {
    fn new(home: PathBuf) -> Self {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { home, address: SocketAddr::from(([127, 0, 0, 1], port)), process: None }
    }

    fn enrol(&self, dir: &Path, unit: &str, tier: &str) -> Self {
        let address = self.address.to_string();
        let args = ["invite", "--unit", unit, "--tier", tier, "--name", unit, "--address", &address];
        let token = sanji(&self.home, &args)["token"].as_str().unwrap().to_owned();
        let node = Self::new(dir.join(unit));
        sanji(&node.home, &["join", &token]);
        node
    }

    fn start(&mut self) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sanji"))
            .arg("--home")
            .arg(&self.home)
            .args(["serve", "--listen", &self.address.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"));
        self.process = Some(child);
    }

    fn stop(&mut self) {
        let Some(mut child) = self.process.take() else { return };
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        child.wait().unwrap();
    }

    fn used(&self) -> Used {
        let Some(child) = &self.process else { return Used::default() };
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        // Fields 14 and 15 of the line, counted from the state, which is the third; 100 ticks a second.
        Used { cpu: (ticks(12) + ticks(13)) / 100.0, peak_mb: peak.unwrap_or(0.0) / 1024.0 }
    }

    fn disk_mb(&self) -> f64 {
        fn size(path: &Path) -> u64 {
            let Ok(entries) = std::fs::read_dir(path) else { return 0 };
            entries
                .flatten()
                .map(|entry| match entry.metadata() {
                    Ok(meta) if meta.is_dir() => size(&entry.path()),
                    Ok(meta) => std::os::unix::fs::MetadataExt::blocks(&meta) * 512,
                    Err(_) => 0,
                })
                .sum()
        }
        size(&self.home) as f64 / 1e6
    }

    fn ask(&self, request: &Request) -> Value {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let socket = Home::control_path(&self.home);
        runtime.block_on(control::ask(&socket, request, |_, _| {})).unwrap().unwrap().unwrap()
    }

    fn status(&self) -> Value {
        self.ask(&Request::Status)
    }

    fn records(&self) -> u64 {
        let status = self.status();
        if status["unprojected_entries"] != 0 {
            return 0;
        }
        status["holdings"].as_array().unwrap().iter().filter_map(|h| h["records"].as_u64()).sum()
    }

    fn import(&self, file: &Path, period: &str) -> f64 {
        let started = Instant::now();
        let file = file.to_str().unwrap();
        sanji(&self.home, &["import", "--kind", KIND, "--period", period, file]);
        started.elapsed().as_secs_f64()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.process {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn wait(mut done: impl FnMut() -> bool) -> f64 {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(600), "not done after ten minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
    started.elapsed().as_secs_f64()
}

fn generate(dir: &Path, name: &str, school: u32, more: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let school = school.to_string();
    let (students, per) = (STUDENTS.to_string(), PER_STUDENT.to_string());
    let file = path.to_str().unwrap();
    let base = ["generate", "--kind", KIND, "--form", "jsonl", "--school", &school, "--students",
        &students, "--per-student", &per, "-o", file];
    sanji(dir, &[&base[..], more].concat());
    path
}

/// Payload and UDP bytes of the session with the node above, both directions.
fn traffic(school: &Node) -> (f64, f64) {
    let parent = &school.status()["parents"][0];
    let sum = |a: &str, b: &str| parent[a].as_f64().unwrap_or(0.0) + parent[b].as_f64().unwrap_or(0.0);
    (sum("payload_sent", "payload_received"), sum("wire_sent", "wire_received"))
}

fn in_step(school: &Node) -> bool {
    let status = school.status();
    status["parents"][0]["state"] == "in step" && status["receipts"][0]["behind"] == 0
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let quick = args.iter().any(|arg| arg == "--quick");
    let schools = args.iter().position(|arg| arg == "--schools");
    let schools = schools.and_then(|at| args.get(at + 1)?.parse().ok());
    let schools: u32 = schools.unwrap_or(if quick { 4 } else { 20 });
    let dir = tempfile::tempdir().unwrap();
    one_school(dir.path());
    growth(dir.path(), if quick { 3 } else { 10 });
    many(dir.path(), schools);
}

fn hub(dir: &Path) -> Node {
    let hub = Node::new(dir.join("hub"));
    sanji(&hub.home, &["init", "--unit", "hub", "--name", "hub"]);
    hub
}

fn one_school(dir: &Path) {
    let dir = dir.join("one");
    std::fs::create_dir_all(&dir).unwrap();
    let records = f64::from(STUDENTS * PER_STUDENT);
    let mut hub = hub(&dir);
    hub.start();
    let mut school = hub.enrol(&dir, "school", "school");
    let file = generate(&dir, "base.jsonl", 1, &[]);
    let size = std::fs::metadata(&file).unwrap().len() as f64;
    // Imported offline; the process that syncs starts afterwards, so its memory is that of syncing.
    let import = school.import(&file, PERIOD);
    let hub_before = hub.used();
    let started = Instant::now();
    school.start();
    wait(|| hub.records() == records as u64);
    let queryable = started.elapsed().as_secs_f64();
    wait(|| in_step(&school));
    let receipted = started.elapsed().as_secs_f64();
    let (payload, wire) = traffic(&school);
    let (at_school, at_hub) = (school.used(), hub.used());
    println!("\none school, {records} records ({:.1} MB of JSON)", size / 1e6);
    println!("{:<44} {:>12.2} s", "import at the school, command to durable", import);
    println!("{:<44} {:>12.0} records/s", "", records / import);
    println!("{:<44} {:>12.2} s", "first sync: hub durable and queryable", queryable);
    println!("{:<44} {:>12.0} records/s", "", records / queryable);
    println!("{:<44} {:>12.2} s", "first sync: receipt at the school", receipted);
    println!("{:<44} {:>12.1} B/record", "UDP bytes, both directions", wire / records);
    println!("{:<44} {:>12.1} B/record", "payload before compression", payload / records);
    println!("{:<44} {:>6.2} + {:.2} s", "CPU, school + hub", at_school.cpu,
        at_hub.cpu - hub_before.cpu);
    println!("{:<44} {:>6.0} / {:.0} MB", "peak memory, school / hub", at_school.peak_mb, at_hub.peak_mb);
    println!("{:<44} {:>6.1} / {:.1} MB", "disk, school / hub", school.disk_mb(), hub.disk_mb());
    let student = first_student(&file);
    let asked = Instant::now();
    let request = Request::Show { subject: student, period: None, unit: None };
    let found = hub.ask(&request).as_array().unwrap().len();
    println!("{:<44} {:>12.2} ms ({found} records)", "query by student at the hub",
        asked.elapsed().as_secs_f64() * 1e3);
    school.stop();
    let started = Instant::now();
    school.start();
    wait(|| in_step(&school));
    let (payload, wire) = traffic(&school);
    println!("{:<44} {:>12.3} s", "no-op sync, process start to in step", started.elapsed().as_secs_f64());
    println!("{:<44} {:>6.0} / {:.0} B", "no-op sync, payload / UDP", payload, wire);
    let delta = generate(&dir, "delta.jsonl", 1, &["--delta", "240"]);
    let before = traffic(&school);
    let import = school.import(&delta, PERIOD);
    let synced = wait(|| hub.records() == records as u64 + 240);
    wait(|| in_step(&school));
    let after = traffic(&school);
    println!("{:<44} {:>12.3} s + {synced:.3} s", "240 more: import, then until at the hub", import);
    println!("{:<44} {:>6.0} / {:.0} B", "240 more, payload / UDP", after.0 - before.0, after.1 - before.1);
}

fn first_student(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let object = first.as_object().unwrap();
    let student = object.values().find_map(|v| v.as_str().filter(|s| s.starts_with('G')));
    student.unwrap().to_owned()
}

/// Memory of both sides while the data grows: one more semester of the same size each time.
fn growth(dir: &Path, semesters: u32) {
    let dir = dir.join("growth");
    std::fs::create_dir_all(&dir).unwrap();
    let mut hub = hub(&dir);
    hub.start();
    let mut school = hub.enrol(&dir, "school", "school");
    println!("\ngrowth: peak memory of the syncing processes, each started anew");
    println!("{:>10} {:>12} {:>12} {:>12} {:>12}", "records", "school MB", "hub MB", "school disk", "hub disk");
    let mut total = 0;
    for semester in 0..semesters {
        let period = format!("{}-{}", 2026 + semester / 2, 1 + semester % 2);
        let seed = (100 + semester).to_string();
        let file = generate(&dir, "semester.jsonl", 1, &["--seed", &seed]);
        school.import(&file, &period);
        std::fs::remove_file(&file).unwrap();
        total += u64::from(STUDENTS * PER_STUDENT);
        hub.stop();
        hub.start();
        school.start();
        wait(|| hub.records() == total);
        wait(|| in_step(&school));
        let (a, b) = (school.used(), hub.used());
        println!("{total:>10} {:>12.0} {:>12.0} {:>9.1} MB {:>9.1} MB", a.peak_mb, b.peak_mb,
            school.disk_mb(), hub.disk_mb());
        school.stop();
    }
}

/// Many schools at once into one hub.
fn many(dir: &Path, count: u32) {
    let dir = dir.join("many");
    std::fs::create_dir_all(&dir).unwrap();
    let records = u64::from(STUDENTS * PER_STUDENT) * u64::from(count);
    let mut hub = hub(&dir);
    hub.start();
    let mut schools = Vec::new();
    for n in 1..=count {
        let school = hub.enrol(&dir, &format!("school-{n}"), "school");
        let file = generate(&dir, "base.jsonl", n, &[]);
        school.import(&file, PERIOD);
        std::fs::remove_file(&file).unwrap();
        schools.push(school);
    }
    let before = hub.used();
    let started = Instant::now();
    for school in &mut schools {
        school.start();
    }
    wait(|| hub.records() == records);
    let seconds = started.elapsed().as_secs_f64();
    let after = hub.used();
    println!("\n{count} schools at once into one hub, {records} records");
    println!("{:<44} {:>12.2} s", "until the hub is durable and queryable", seconds);
    println!("{:<44} {:>12.0} records/s", "", records as f64 / seconds);
    println!("{:<44} {:>12.2} s", "CPU of the hub", after.cpu - before.cpu);
    println!("{:<44} {:>12.0} MB", "peak memory of the hub", after.peak_mb);
    println!("{:<44} {:>12.1} MB", "disk of the hub", hub.disk_mb());
}
