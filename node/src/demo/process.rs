//! Real processes of this program: nodes that serve until they are ended, and commands that run once.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::clock::Stopwatch;
use crate::label::Lang;

/// How long a node may take to end politely: its transport says goodbye for at most 3 s.
const GOODBYE: Duration = Duration::from_secs(10);
/// How often an ending node is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A node that serves. It is killed when this value is dropped, and ends by itself when this process is gone.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
}

impl Server {
    /// Starts `sanji serve` on a home; what it says goes to the log file.
    pub(super) fn start(
        program: &Path,
        home: &Path,
        listen: SocketAddr,
        log: &Path,
    ) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(program);
        command
            .arg("--home")
            .arg(home)
            .arg("serve")
            .arg("--stop-with-stdin");
        command.arg("--listen").arg(listen.to_string());
        command
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log);
        if std::env::var_os("SANJI_LOG").is_none() {
            command.env("SANJI_LOG", "info");
        }
        // Ctrl-C at the terminal is for the demo, which then ends its nodes in order.
        command.process_group(0);
        Ok(Self {
            child: command.spawn()?,
        })
    }

    /// Returns how the process ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends the process at once, as a power cut does.
    pub(super) fn kill(&mut self) {
        // Both fail only when the process is gone, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the process to end.
    pub(super) fn ask_to_end(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// Asks the process to end, waits until it has, and returns how; one that does not end is killed.
    pub(super) async fn stop(mut self) -> Option<ExitStatus> {
        self.ask_to_end();
        let waiting = Stopwatch::start();
        while waiting.elapsed() < GOODBYE {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            tokio::time::sleep(LOOK).await;
        }
        self.kill();
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command that did not end with 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// What was run, as a person would type it.
    pub(super) command: String,
    /// What it said.
    pub(super) said: String,
}

/// Runs one command on a home and returns the JSON it printed.
pub(super) async fn run(
    program: &Path,
    home: &Path,
    lang: Lang,
    args: Vec<String>,
) -> Result<Value, Failed> {
    let command = format!("sanji {}", args.join(" "));
    let (program, home) = (program.to_owned(), home.to_owned());
    let work = move || run_now(&program, &home, lang, &args);
    let failed = |said: String| Failed {
        command: command.clone(),
        said,
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(said))) => Err(failed(said)),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn run_now(
    program: &PathBuf,
    home: &PathBuf,
    lang: Lang,
    args: &[String],
) -> io::Result<Result<Value, String>> {
    let mut command = Command::new(program);
    command
        .arg("--home")
        .arg(home)
        .args(["--json", "--lang", lang.tag()])
        .args(args);
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().trim_start_matches("sanji: ");
        return Ok(Err(if said.is_empty() {
            output.status.to_string()
        } else {
            said.to_owned()
        }));
    }
    Ok(serde_json::from_slice(&output.stdout).map_err(|error| error.to_string()))
}
