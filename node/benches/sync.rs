//! Measures the main job on the school workload with real processes over loopback, and prints a table:
//! `cargo bench --workspace --bench sync` (`-- --quick` for a short look, `-- --schools N` for the hub,
//! `-- one`, `-- growth` or `-- many` for a part).
//!
//! Absolute figures belong to the machine of the day; compare ratios within one run.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measurement, not a product: it looks at this machine's clock and its processes"
)]

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

/// Floors of the project: records a second durable and queryable at the hub, bytes a record, bytes of
/// an exchange that finds nothing new.
const FLOORS: (f64, f64, f64) = (10_000.0, 120.0, 2_000.0);

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
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

impl Node {
    fn new(home: PathBuf) -> Self {
        let port = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self {
            home,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            process: None,
        }
    }

    fn enrol(&self, dir: &Path, unit: &str, tier: &str) -> Self {
        let address = self.address.to_string();
        let args = [
            "invite",
            "--unit",
            unit,
            "--tier",
            tier,
            "--name",
            unit,
            "--address",
            &address,
        ];
        let token = sanji(&self.home, &args)["token"]
            .as_str()
            .unwrap()
            .to_owned();
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
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("ready"));
        self.process = Some(child);
    }

    fn stop(&mut self) {
        let Some(mut child) = self.process.take() else {
            return;
        };
        let _ = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status();
        child.wait().unwrap();
    }

    fn used(&self) -> Used {
        let Some(child) = &self.process else {
            return Used::default();
        };
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|f| f.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        // Fields 14 and 15 of the line, counted from the state, which is the third; 100 ticks a second.
        Used {
            cpu: (ticks(12) + ticks(13)) / 100.0,
            peak_mb: peak.unwrap_or(0.0) / 1024.0,
        }
    }

    fn disk_mb(&self) -> f64 {
        fn size(path: &Path) -> u64 {
            let Ok(entries) = std::fs::read_dir(path) else {
                return 0;
            };
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let socket = Home::control_path(&self.home);
        runtime
            .block_on(control::ask(&socket, request, |_, _| {}))
            .unwrap()
            .unwrap()
            .unwrap()
    }

    fn status(&self) -> Value {
        self.ask(&Request::Status)
    }

    /// Records held and projected; 0 while some are not projected.
    fn records(&self) -> u64 {
        let status = self.status();
        if status["unprojected_entries"] != 0 {
            return 0;
        }
        status["holdings"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|h| h["records"].as_u64())
            .sum()
    }

    /// Imports a file; returns the seconds it took and the processor seconds of its process.
    fn import(&self, file: &Path, period: &str) -> (f64, f64) {
        let (started, before) = (Instant::now(), ended_children_cpu());
        let file = file.to_str().unwrap();
        sanji(
            &self.home,
            &["import", "--kind", KIND, "--period", period, file],
        );
        (
            started.elapsed().as_secs_f64(),
            ended_children_cpu() - before,
        )
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

/// Processor seconds of all processes started here that have ended.
fn ended_children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(14) + ticks(15)) / 100.0
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let minute = text.split(' ').next().unwrap_or("?").to_owned();
    format!("{cores} cores, load of the last minute {minute}")
}

fn row(what: &str, value: &str) {
    println!("{what:<46} {value:>26}");
}

fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "MISSED" }
}

fn wait(mut done: impl FnMut() -> bool) -> f64 {
    let started = Instant::now();
    while !done() {
        assert!(
            started.elapsed() < Duration::from_secs(600),
            "not done after ten minutes"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    started.elapsed().as_secs_f64()
}

fn generate(dir: &Path, name: &str, school: u32, more: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let school = school.to_string();
    let (students, per) = (STUDENTS.to_string(), PER_STUDENT.to_string());
    let file = path.to_str().unwrap();
    let base = [
        "generate",
        "--kind",
        KIND,
        "--form",
        "jsonl",
        "--school",
        &school,
        "--students",
        &students,
        "--per-student",
        &per,
        "-o",
        file,
    ];
    sanji(dir, &[&base[..], more].concat());
    path
}

/// Payload and UDP bytes of the session with the node above, both directions.
fn traffic(school: &Node) -> (f64, f64) {
    let parent = &school.status()["parents"][0];
    let sum =
        |a: &str, b: &str| parent[a].as_f64().unwrap_or(0.0) + parent[b].as_f64().unwrap_or(0.0);
    (
        sum("payload_sent", "payload_received"),
        sum("wire_sent", "wire_received"),
    )
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
    let only = |part: &str| {
        let parts = ["one", "growth", "many"];
        !args.iter().any(|arg| parts.contains(&arg.as_str())) || args.iter().any(|arg| arg == part)
    };
    let dir = tempfile::tempdir().unwrap();
    println!("{}", load());
    if only("one") {
        one_school(dir.path());
    }
    if only("growth") {
        growth(dir.path(), if quick { 3 } else { 10 });
    }
    if only("many") {
        many(dir.path(), schools);
    }
    println!("\n{}", load());
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
    println!(
        "\none school, {records} records ({:.1} MB of JSON)",
        size / 1e6
    );
    // Imported offline; the process that syncs starts afterwards and works its import in meanwhile.
    let (import, import_cpu) = school.import(&file, PERIOD);
    row(
        "import at the school, command to durable",
        &format!("{import:.2} s, CPU {import_cpu:.2} s"),
    );
    row("", &format!("{:.0} records/s", records / import));
    let hub_before = hub.used();
    let started = Instant::now();
    school.start();
    wait(|| hub.records() == records as u64);
    let queryable = started.elapsed().as_secs_f64();
    wait(|| in_step(&school));
    let receipted = started.elapsed().as_secs_f64();
    let (payload, wire) = traffic(&school);
    let (at_school, at_hub) = (school.used(), hub.used());
    let hub_cpu = at_hub.cpu - hub_before.cpu;
    row(
        "first sync: hub durable and queryable",
        &format!("{queryable:.2} s"),
    );
    row("", &format!("{:.0} records/s", records / queryable));
    row(
        "first sync: receipt at the school",
        &format!("{receipted:.2} s"),
    );
    row(
        "CPU, school + hub",
        &format!("{:.2} + {hub_cpu:.2} s", at_school.cpu),
    );
    row(
        "",
        &format!(
            "{:.0} records per CPU s",
            records / (at_school.cpu + hub_cpu)
        ),
    );
    row(
        "UDP bytes, both directions",
        &format!("{:.1} B/record", wire / records),
    );
    row(
        "payload before compression",
        &format!("{:.1} B/record", payload / records),
    );
    let memory = format!("{:.0} / {:.0} MB", at_school.peak_mb, at_hub.peak_mb);
    row("peak memory, school / hub", &memory);
    row(
        "disk, school / hub",
        &format!("{:.1} / {:.1} MB", school.disk_mb(), hub.disk_mb()),
    );
    let student = first_student(&file);
    let asked = Instant::now();
    let request = Request::Show {
        subject: student,
        period: None,
        unit: None,
    };
    let found = hub.ask(&request).as_array().unwrap().len();
    assert_eq!(found, PER_STUDENT as usize, "the hub answers for a student");
    let took = asked.elapsed().as_secs_f64() * 1e3;
    row(
        "query by student at the hub",
        &format!("{took:.2} ms ({found} records)"),
    );
    school.stop();
    let started = Instant::now();
    school.start();
    wait(|| in_step(&school));
    let took = started.elapsed().as_secs_f64();
    let (none, udp) = traffic(&school);
    row(
        "no-op sync, process start to in step",
        &format!("{took:.3} s"),
    );
    row(
        "no-op sync, payload / UDP with handshake",
        &format!("{none:.0} / {udp:.0} B"),
    );
    let delta = generate(&dir, "delta.jsonl", 1, &["--delta", "240"]);
    let before = traffic(&school);
    let (import, _) = school.import(&delta, PERIOD);
    let synced = wait(|| hub.records() == records as u64 + 240);
    wait(|| in_step(&school));
    let after = traffic(&school);
    row(
        "240 more: import, then until at the hub",
        &format!("{import:.3} + {synced:.3} s"),
    );
    let (payload, udp) = (after.0 - before.0, after.1 - before.1);
    row(
        "240 more, payload / UDP",
        &format!("{payload:.0} / {udp:.0} B"),
    );
    row(
        "",
        &format!("{:.1} / {:.1} B/record", payload / 240.0, udp / 240.0),
    );
    let again = school.import(&file, PERIOD);
    row(
        "the same file again at the running node",
        &format!("{:.2} s", again.0),
    );
    let (rate, bytes, exchange) = FLOORS;
    println!(
        "floors: {rate:.0} records/s {}, below {bytes:.0} B/record {}, no-op below {exchange:.0} B {}",
        verdict(records / queryable >= rate),
        verdict(wire / records < bytes),
        verdict(none < exchange),
    );
}

fn first_student(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    first["student_id"].as_str().unwrap().to_owned()
}

/// Memory of both sides while the data grows: one more semester of the same size each time.
fn growth(dir: &Path, semesters: u32) {
    let dir = dir.join("growth");
    std::fs::create_dir_all(&dir).unwrap();
    let mut hub = hub(&dir);
    hub.start();
    let mut school = hub.enrol(&dir, "school", "school");
    println!("\ngrowth: one semester more each time, both processes started anew before each sync");
    println!(
        "{:>8} {:>9} {:>9} {:>9} {:>8} {:>9} {:>11} {:>9} {:>11}",
        "records",
        "import s",
        "sync s",
        "school MB",
        "hub MB",
        "no-op B",
        "school disk",
        "hub disk",
        "restart s"
    );
    let mut total = 0;
    for semester in 0..semesters {
        let period = format!("{}-{}", 2026 + semester / 2, 1 + semester % 2);
        let seed = (100 + semester).to_string();
        let file = generate(
            &dir,
            &format!("semester-{semester}.jsonl"),
            1,
            &["--seed", &seed],
        );
        let (import, _) = school.import(&file, &period);
        std::fs::remove_file(&file).unwrap();
        total += u64::from(STUDENTS * PER_STUDENT);
        hub.stop();
        hub.start();
        let started = Instant::now();
        school.start();
        wait(|| hub.records() == total);
        let sync = started.elapsed().as_secs_f64();
        wait(|| in_step(&school));
        let (a, b) = (school.used(), hub.used());
        school.stop();
        let started = Instant::now();
        school.start();
        wait(|| in_step(&school));
        let restart = started.elapsed().as_secs_f64();
        println!(
            "{total:>8} {import:>9.2} {sync:>9.2} {:>9.0} {:>8.0} {:>9.0} {:>8.1} MB {:>6.1} MB \
             {restart:>11.3}",
            a.peak_mb,
            b.peak_mb,
            traffic(&school).0,
            school.disk_mb(),
            hub.disk_mb(),
        );
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
        let file = generate(&dir, &format!("base-{n}.jsonl"), n, &[]);
        school.import(&file, PERIOD);
        std::fs::remove_file(&file).unwrap();
        schools.push(school);
    }
    // Started anew, so that its memory is that of syncing.
    hub.stop();
    hub.start();
    let before = hub.used();
    let started = Instant::now();
    for school in &mut schools {
        school.start();
    }
    wait(|| hub.records() == records);
    let seconds = started.elapsed().as_secs_f64();
    let after = hub.used();
    let below: f64 = schools.iter().map(|school| school.used().cpu).sum();
    let widest = schools
        .iter()
        .map(|school| school.used().peak_mb)
        .fold(0.0, f64::max);
    println!("\n{count} schools at once into one hub, {records} records");
    row(
        "until the hub is durable and queryable",
        &format!("{seconds:.2} s"),
    );
    row("", &format!("{:.0} records/s", records as f64 / seconds));
    let cpu = after.cpu - before.cpu;
    row(
        "CPU, all schools + hub",
        &format!("{below:.2} + {cpu:.2} s"),
    );
    row(
        "",
        &format!("{:.0} records per CPU s of the hub", records as f64 / cpu),
    );
    row(
        "peak memory, largest school / hub",
        &format!("{widest:.0} / {:.0} MB", after.peak_mb),
    );
    row("disk of the hub", &format!("{:.1} MB", hub.disk_mb()));
}
