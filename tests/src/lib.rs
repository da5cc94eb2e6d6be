//! The real house from the street: starts real nodes on loopback with temporary folders, asks them as a
//! person would, and kills them as a power failure would.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a condition may take before the test fails; never waited for when it holds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the `sanji` binary built beside the tests.
///
/// # Panics
/// When it was not built: `cargo build --release -p node` first, or `tests/run`.
pub fn sanji() -> PathBuf {
    let me = std::env::current_exe().expect("a test has a path");
    let dir = me.ancestors().find(|dir| dir.join("sanji").exists());
    dir.expect("build the node first: cargo build -p node")
        .join("sanji")
}

/// Runs a command line over a home and returns its output.
pub fn run(home: &Path, args: &[&str]) -> Output {
    Command::new(sanji())
        .arg("--home")
        .arg(home)
        .args(["--lang", "en"])
        .args(args)
        .output()
        .expect("sanji runs")
}

/// Runs a command that must succeed and returns its JSON.
///
/// # Panics
/// When it fails, with what it said.
pub fn run_json(home: &Path, args: &[&str]) -> Value {
    let output = run(home, &[&["--json"], args].concat());
    assert!(
        output.status.success(),
        "sanji {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("--json prints JSON")
}

/// Returns the reason of a command that was refused: exit code 1, something on stderr, no panic.
///
/// # Panics
/// When it was not refused so.
pub fn refusal(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}{said}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(!said.trim().is_empty(), "a refusal says why");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Pauses between two looks at a condition: the channel never delivers.
fn pause(time: Duration) {
    let (_keep, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

/// Lets about this much time pass before a blow is struck; no result may depend on it.
pub fn let_pass(time: Duration) {
    pause(time);
}

/// Looks until a condition gives a value.
///
/// # Panics
/// When it does not within a minute, saying what was waited for and what was seen last.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if started.elapsed() > PATIENCE => panic!("waited for {what}; saw {seen}"),
            Err(_) => pause(Duration::from_millis(25)),
        }
    }
}

/// Returns a UDP port that was free a moment ago.
pub fn free_port() -> u16 {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    socket
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// One node: its home, its port, and the process while it runs.
#[derive(Debug)]
pub struct Node {
    home: PathBuf,
    address: SocketAddr,
    process: Option<Child>,
}

impl Node {
    fn at(home: PathBuf) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self {
            home,
            address,
            process: None,
        }
    }

    /// Creates a federation's root.
    pub fn init(dir: &Path, unit: &str) -> Self {
        let node = Self::at(dir.join(unit));
        run_json(&node.home, &["init", "--unit", unit, "--name", unit]);
        node
    }

    /// Opens a home that exists.
    pub fn existing(home: PathBuf) -> Self {
        Self::at(home)
    }

    /// Makes a node whose home does not exist yet.
    pub fn new(home: PathBuf) -> Self {
        Self::at(home)
    }

    /// Invites and enrols a unit, or one more node of this unit; `self` must be running.
    pub fn enrol(&self, dir: &Path, home: &str, unit: &str, tier: &str) -> Self {
        let token = self.invite(unit, tier);
        let node = Self::at(dir.join(home));
        run_json(&node.home, &["join", &token]);
        node
    }

    /// Returns a token.
    pub fn invite(&self, unit: &str, tier: &str) -> String {
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
        let answer = run_json(&self.home, &args);
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// Writes where the node dials, in order of preference; takes effect at the next start.
    pub fn set_uplinks(&self, addresses: &[SocketAddr]) {
        let path = self.home.join("node.toml");
        let text = std::fs::read_to_string(&path).expect("the home has settings");
        let others = text.lines().filter(|line| !line.starts_with("uplinks"));
        let addresses: Vec<String> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
        let mut lines: Vec<String> = others.map(str::to_owned).collect();
        lines.push(format!("uplinks = [{}]\n", addresses.join(", ")));
        std::fs::write(&path, lines.join("\n")).expect("the settings can be written");
    }

    /// Starts the process and waits until it listens.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts the process with environment variables.
    pub fn start_with(&mut self, environment: &[(&str, &str)]) {
        assert!(self.process.is_none(), "it runs already");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.with_extension("log"))
            .expect("a log file can be made");
        let mut child = Command::new(sanji())
            .arg("--home")
            .arg(&self.home)
            .args(["serve", "--listen", &self.address.to_string()])
            .env("SANJI_LOG", "info")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("sanji starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output is piped");
        BufReader::new(out)
            .read_line(&mut line)
            .expect("it says when it is ready");
        assert!(
            line.starts_with("ready"),
            "{:?} said {line:?}; see {:?}.log",
            self.home,
            self.home
        );
        self.process = Some(child);
    }

    /// Kills the process as a power failure would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Stops the process in order and returns whether it ended well.
    pub fn stop(&mut self) -> bool {
        let Some(mut process) = self.process.take() else {
            return true;
        };
        let id = process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(
            told.is_ok_and(|status| status.success()),
            "SIGTERM can be sent"
        );
        process.wait().expect("it ends").success()
    }

    /// Returns whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// Returns the process id.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Returns the home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what the process wrote to its log.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.home.with_extension("log")).unwrap_or_default()
    }

    /// Runs a command line over this home.
    pub fn run(&self, args: &[&str]) -> Output {
        run(&self.home, args)
    }

    /// Runs a command that must succeed and returns its JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        run_json(&self.home, args)
    }

    /// Returns the status, if the node answers.
    pub fn status(&self) -> Value {
        self.json(&["status"])
    }

    /// Returns records held of a unit in all periods, and the digest of its logs.
    pub fn holding(&self, unit: &str) -> (u64, String) {
        let status = self.status();
        let all = status["holdings"].as_array().cloned().unwrap_or_default();
        let of_unit: Vec<&Value> = all.iter().filter(|h| h["unit"] == unit).collect();
        let records = of_unit.iter().filter_map(|h| h["records"].as_u64()).sum();
        let digest = of_unit
            .first()
            .and_then(|h| h["digest"].as_str())
            .unwrap_or_default();
        (records, digest.to_owned())
    }

    /// Imports a file; returns new and known records.
    pub fn import(&self, kind: &str, period: &str, file: &Path) -> (u64, u64) {
        let file = file.to_str().expect("test paths are UTF-8");
        let answer = self.json(&["import", "--kind", kind, "--period", period, file]);
        let count = |name: &str| answer["imported"][name].as_u64().expect("a count");
        (count("new"), count("known"))
    }

    /// Waits until this node and another hold the same of a unit, projected, and so many records.
    pub fn wait_until_equal(&self, other: &Self, unit: &str, records: u64) {
        wait_for(&format!("{records} records of {unit} at two nodes"), || {
            let (ours, theirs) = (self.holding(unit), other.holding(unit));
            if ours == theirs && ours.0 == records {
                Ok(())
            } else {
                Err(format!("{ours:?} {theirs:?}"))
            }
        });
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes generated records to a file and returns its path.
pub fn generate(dir: &Path, name: &str, args: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let file = path.to_str().expect("test paths are UTF-8");
    let output = run(dir, &[&["generate", "-o", file], args].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    path
}

/// A city, a district and a school, running.
#[derive(Debug)]
pub struct Branch {
    /// Where everything lies.
    pub dir: tempfile::TempDir,
    /// The city.
    pub city: Node,
    /// The district.
    pub district: Node,
    /// The school.
    pub school: Node,
}

impl Branch {
    /// Sets a branch up and starts its nodes.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut city = Node::init(dir.path(), "city");
        city.start();
        let mut district = city.enrol(dir.path(), "district", "d1", "district");
        district.start();
        let mut school = district.enrol(dir.path(), "school", "s1", "school");
        school.start();
        Self {
            dir,
            city,
            district,
            school,
        }
    }
}
