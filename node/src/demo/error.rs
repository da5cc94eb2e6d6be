//! What stops a demo, with the step it stopped in and where to look.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::generate::GenerateError;
use crate::label::{Arg, Lang, text, word};
use crate::show::measure::millis;

/// The demo stopped; every process it had started was ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// Options out of bounds.
    #[error("students must be 2 to 10000, records of each 1 to 100")]
    Options,
    /// The folder is something else.
    #[error("{} exists and was not made by a demo", dir.display())]
    NotADemo {
        /// The folder.
        dir: PathBuf,
    },
    /// Nodes of another demo run there.
    #[error("a demo is running in {}", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// A Unix socket's path has few bytes.
    #[error("{}: the path is too long", dir.display())]
    TooLong {
        /// The folder.
        dir: PathBuf,
        /// Bytes the folder's path may have.
        max: usize,
    },
    /// A file or folder could not be made.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A sample file could not be made.
    #[error("{}: {source}", path.display())]
    Generate {
        /// Which.
        path: PathBuf,
        /// Why.
        source: GenerateError,
    },
    /// A process could not be started.
    #[error("{step}: {node} could not be started: {source}")]
    Start {
        /// The chapter.
        step: String,
        /// The node.
        node: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A line could not be laid.
    #[error("{step}: no line to {node}: {source}")]
    Wire {
        /// The chapter.
        step: String,
        /// The node.
        node: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A node ended by itself.
    #[error("{step}: {node} ended by itself: {how}")]
    Ended {
        /// The chapter.
        step: String,
        /// The node.
        node: &'static str,
        /// Exit code or signal.
        how: String,
        /// Its log.
        log: PathBuf,
    },
    /// A command failed.
    #[error("{step}: {command} at {node}: {said}")]
    Command {
        /// The chapter.
        step: String,
        /// The node.
        node: &'static str,
        /// The command.
        command: String,
        /// What it said.
        said: String,
        /// The node's log.
        log: PathBuf,
    },
    /// Something did not come about in time.
    #[error("{step}: still waiting: {missing}")]
    Late {
        /// The chapter.
        step: String,
        /// How long.
        waited: Duration,
        /// What is missing, in words.
        missing: String,
        /// Where the logs are.
        logs: String,
    },
    /// A node shows something else than it should.
    #[error("{step}: {node}: {what}")]
    Lost {
        /// The chapter.
        step: String,
        /// The node.
        node: &'static str,
        /// What is wrong.
        what: String,
        /// Where the logs are.
        logs: String,
    },
    /// At the end some unit is not held alike.
    #[error("{units} units are not held alike at every tier")]
    Differs {
        /// How many.
        units: usize,
    },
    /// A person or the system ended it.
    #[error("interrupted")]
    Interrupted,
}

impl DemoError {
    /// Says it in the reader's language.
    pub fn message(&self, lang: Lang) -> String {
        let say = |key: &str, args: &[(&str, Arg<'_>)]| text(lang, key, args);
        match self {
            Self::Options => word(lang, "demo-error-options"),
            Self::NotADemo { dir } => say(
                "demo-error-not-a-demo",
                &[("dir", (&dir.display().to_string()).into())],
            ),
            Self::InUse { dir } => say(
                "demo-error-in-use",
                &[("dir", (&dir.display().to_string()).into())],
            ),
            Self::TooLong { dir, max } => say(
                "demo-error-too-long",
                &[
                    ("dir", (&dir.display().to_string()).into()),
                    ("max", (*max).into()),
                ],
            ),
            Self::File { path, source } => say(
                "demo-error-file",
                &[
                    ("path", (&path.display().to_string()).into()),
                    ("why", (&source.to_string()).into()),
                ],
            ),
            Self::Generate { path, source } => say(
                "demo-error-generate",
                &[
                    ("path", (&path.display().to_string()).into()),
                    ("why", (&source.to_string()).into()),
                ],
            ),
            Self::Start { step, node, source } => say(
                "demo-error-start",
                &[
                    ("step", step.into()),
                    ("node", (*node).into()),
                    ("why", (&source.to_string()).into()),
                ],
            ),
            Self::Wire { step, node, source } => say(
                "demo-error-wire",
                &[
                    ("step", step.into()),
                    ("node", (*node).into()),
                    ("why", (&source.to_string()).into()),
                ],
            ),
            Self::Ended {
                step,
                node,
                how,
                log,
            } => say(
                "demo-error-ended",
                &[
                    ("step", step.into()),
                    ("node", (*node).into()),
                    ("why", how.into()),
                    ("log", (&log.display().to_string()).into()),
                ],
            ),
            Self::Command {
                step,
                node,
                command,
                said,
                log,
            } => say(
                "demo-error-command",
                &[
                    ("step", step.into()),
                    ("node", (*node).into()),
                    ("command", command.into()),
                    ("why", said.into()),
                    ("log", (&log.display().to_string()).into()),
                ],
            ),
            Self::Late {
                step,
                waited,
                missing,
                logs,
            } => {
                let time = millis(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
                say(
                    "demo-error-late",
                    &[
                        ("step", step.into()),
                        ("time", (&time).into()),
                        ("missing", missing.into()),
                        ("logs", logs.into()),
                    ],
                )
            }
            Self::Lost {
                step,
                node,
                what,
                logs,
            } => say(
                "demo-error-lost",
                &[
                    ("step", step.into()),
                    ("node", (*node).into()),
                    ("what", what.into()),
                    ("logs", logs.into()),
                ],
            ),
            Self::Differs { units } => say("demo-wrong", &[("count", (*units).into())]),
            Self::Interrupted => word(lang, "demo-error-interrupted"),
        }
    }
}
