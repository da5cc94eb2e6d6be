//! The command line: words that scripts and people rely on. Exit codes: 0 done, 1 refused or failed
//! with a reason on stderr, 2 bad usage.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line talks to the terminal"
)]

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keys::{TierName, UnitId};

use crate::enrol::Token;
use crate::home::{Home, HomeError, Settings};
use crate::host::{self, NewFederation};
use crate::label::Lang;
use crate::request::{Refused, Request, answer};
use crate::show::Failure;
use crate::{control, show};

/// Where nodes listen unless told otherwise.
const LISTEN: &str = "[::]:7350";

/// Sanji: records of a school, signed, replicated to its district and city.
#[derive(Debug, Parser)]
#[command(name = "sanji", version, about, max_term_width = 100)]
struct Cli {
    /// The node's home folder.
    #[arg(
        long,
        global = true,
        default_value = "./sanji-home",
        value_name = "DIR"
    )]
    home: PathBuf,
    /// Print machine-readable JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Language of messages: zh-CN or en; by default that of the environment.
    #[arg(long, global = true, value_name = "LANG")]
    lang: Option<Lang>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole story on this machine: city, districts, schools as real nodes on loopback.
    Demo(crate::demo::DemoArgs),
    /// Create a federation's root.
    Init {
        /// Permanent id of the root unit: a-z, 0-9, dots and dashes.
        #[arg(long)]
        unit: UnitId,
        /// Its tier.
        #[arg(long, default_value = "city")]
        tier: TierName,
        /// Its name, for people.
        #[arg(long)]
        name: String,
        /// The federation's name in checkpoints, for example sanji.example.cn.
        #[arg(long)]
        origin: Option<String>,
        /// Tiers of the federation, lowest first.
        #[arg(long, value_delimiter = ',', default_value = "school,district,city")]
        tiers: Vec<TierName>,
    },
    /// Print a one-line, one-time token for a unit below, or for one more node of this unit.
    Invite {
        /// The unit's permanent id.
        #[arg(long)]
        unit: String,
        /// Its tier.
        #[arg(long)]
        tier: String,
        /// Its name, for people.
        #[arg(long)]
        name: String,
        /// Address where the new node reaches this one; may be given more than once. By default the
        /// address this node listens on.
        #[arg(long = "address", value_name = "HOST:PORT")]
        addresses: Vec<String>,
    },
    /// Create a home with a token.
    Join {
        /// The token.
        token: String,
    },
    /// Run the node.
    Serve {
        /// UDP address to listen on.
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// End when the standard input ends: whoever started this node is gone then.
        #[arg(long, hide = true)]
        stop_with_stdin: bool,
    },
    /// Import a file of records: csv (UTF-8, GB18030), xlsx or jsonl. All rows or none.
    Import {
        /// The kind of record.
        #[arg(long)]
        kind: String,
        /// The semester, for example 2026-1.
        #[arg(long)]
        period: String,
        /// The file.
        file: PathBuf,
        /// Check only; store nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Change fields of one record.
    Edit {
        /// The semester.
        #[arg(long)]
        period: String,
        /// Whom the record is about.
        #[arg(long)]
        student: String,
        /// The record's id.
        #[arg(long)]
        record: String,
        /// FIELD=VALUE; an empty value clears the field.
        #[arg(required = true, value_name = "FIELD=VALUE")]
        set: Vec<String>,
    },
    /// Show the records of one student.
    Show {
        /// The student.
        #[arg(long)]
        student: String,
        /// Only this semester.
        #[arg(long)]
        period: Option<String>,
        /// Only this unit.
        #[arg(long)]
        unit: Option<String>,
    },
    /// Make an empty workbook for a kind.
    Template {
        /// The kind's id.
        #[arg(long)]
        kind: String,
        /// The workbook to write.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Make sample records for trying things out.
    Generate(GenerateArgs),
    /// Show how this node, its parent and its children stand.
    Status {
        /// Show it again every second.
        #[arg(long)]
        watch: bool,
    },
    /// Show logs and their newest entries.
    Log {
        /// Only this unit.
        #[arg(long)]
        unit: Option<String>,
        /// Newest entries of each log.
        #[arg(long, default_value_t = 3)]
        entries: usize,
    },
    /// Print the receipts held: who above holds which entries of this unit, as JSON.
    Receipt,
    /// Write records to a file: csv for spreadsheets, jsonl for programs.
    Export {
        /// The kind.
        #[arg(long)]
        kind: String,
        /// The semester.
        #[arg(long)]
        period: String,
        /// Only this unit.
        #[arg(long)]
        unit: Option<String>,
        /// csv or jsonl.
        #[arg(long, default_value = "csv", value_parser = ["csv", "jsonl"])]
        format: String,
        /// The file to write; never one that exists.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Examine the home: store, entries, certificate, disk.
    Doctor {
        /// Replace a store that is damaged: it is moved aside, and a new one is filled again by the
        /// node above. Only while the node is stopped.
        #[arg(long)]
        repair: bool,
    },
}

#[derive(Debug, Args)]
struct GenerateArgs {
    /// The kind's id.
    #[arg(long, default_value = "volunteer-service")]
    kind: String,
    /// Students.
    #[arg(long, default_value_t = 1_200)]
    students: u32,
    /// Records for each student.
    #[arg(long, default_value_t = 20)]
    per_student: u32,
    /// The school's number, 1 to 999.
    #[arg(long, default_value_t = 1)]
    school: u32,
    /// Seed.
    #[arg(long, default_value_t = 20_260_901)]
    seed: u64,
    /// xlsx, csv, gb18030 or jsonl.
    #[arg(long, default_value = "xlsx")]
    form: crate::generate::FileForm,
    /// So many records more, one for every so many students, instead of the main part.
    #[arg(long)]
    delta: Option<u32>,
    /// The file to write.
    #[arg(short, long)]
    output: PathBuf,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let lang = cli.lang.unwrap_or_else(environment_lang);
    start_logging();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sanji: {error}");
            return ExitCode::from(1);
        }
    };
    match runtime.block_on(run(cli, lang)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let refused = failure.refused(lang);
            eprintln!("sanji: {}", refused.message);
            for line in refused.details {
                eprintln!("  {line}");
            }
            ExitCode::from(1)
        }
    }
}

fn environment_lang() -> Lang {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    Lang::from_locale(&locale.unwrap_or_default())
}

/// Quiet by default; `SANJI_LOG=info` or finer says more, `SANJI_LOG_FORMAT=json` for machines.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SANJI_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::env::var("SANJI_LOG_FORMAT").is_ok_and(|format| format == "json") {
        builder.json().init();
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).init();
    }
}

fn refused<E: std::fmt::Display>(error: E) -> Failure {
    Failure::Refused(Refused {
        message: error.to_string(),
        details: Vec::new(),
    })
}

async fn run(cli: Cli, lang: Lang) -> Result<(), Failure> {
    let home = cli.home.as_path();
    match cli.command {
        Command::Demo(args) => Ok(crate::demo::run(args, lang).await?),
        Command::Init {
            unit,
            tier,
            name,
            origin,
            tiers,
        } => {
            if !tiers.contains(&tier) {
                return Err(Failure::label("error-tier-unknown").with("tier", tier));
            }
            if !keys::certificate::name_is_valid(&name) {
                return Err(Failure::label("error-name"));
            }
            let origin = origin.unwrap_or_else(|| format!("sanji.{unit}"));
            let new = NewFederation {
                unit,
                tier,
                name,
                origin,
                tiers,
            };
            let identity = host::init(home, new).await?;
            let root = crate::enrol::fingerprint(&identity.root).to_string();
            if cli.json {
                print_json(&serde_json::json!({
                    "home": home, "unit": identity.unit.to_string(), "root": root,
                }));
            } else {
                say(&show::created(lang, home, &identity.unit, &root));
            }
            Ok(())
        }
        Command::Invite {
            unit,
            tier,
            name,
            mut addresses,
        } => {
            if addresses.is_empty() {
                let listen = settings(home)?.listen;
                addresses.extend(listen.filter(|address| {
                    address
                        .parse()
                        .is_ok_and(|a: SocketAddr| !a.ip().is_unspecified())
                }));
            }
            if addresses.is_empty() {
                return Err(Failure::label("error-address"));
            }
            let value = ask(
                home,
                Request::Invite {
                    unit,
                    tier,
                    name,
                    addresses,
                },
                |_, _| {},
            )
            .await?;
            if cli.json {
                print_json(&value);
            } else {
                say(value["token"].as_str().unwrap_or_default());
            }
            Ok(())
        }
        Command::Join { token } => {
            let token = Token::from_line(&token)?;
            let identity = host::join(home, &token).await?;
            let root = crate::enrol::fingerprint(&identity.root).to_string();
            if cli.json {
                print_json(&serde_json::json!({
                    "home": home, "unit": identity.unit.to_string(), "root": root,
                }));
            } else {
                say(&show::created(lang, home, &identity.unit, &root));
            }
            Ok(())
        }
        Command::Serve {
            listen,
            stop_with_stdin,
        } => serve(home, listen, stop_with_stdin).await,
        Command::Import {
            kind,
            period,
            file,
            dry_run,
        } => {
            let file = std::path::absolute(&file).map_err(refused)?;
            let request = Request::Import {
                kind,
                period,
                file,
                dry_run,
                lang: lang.tag().to_owned(),
            };
            let bar = progress_bar(cli.json);
            let value = ask(home, request, |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            })
            .await;
            bar.finish_and_clear();
            print(cli.json, &value?, |value| show::imported(lang, value));
            Ok(())
        }
        Command::Edit {
            period,
            student,
            record,
            set,
        } => {
            let set: Option<BTreeMap<String, String>> = set
                .iter()
                .map(|pair| pair.split_once('='))
                .map(|pair| pair.map(|(n, v)| (n.to_owned(), v.to_owned())))
                .collect();
            let set = set.ok_or_else(|| Failure::label("error-set"))?;
            let request = Request::Edit {
                period,
                subject: student,
                record,
                set,
                lang: lang.tag().to_owned(),
            };
            let value = ask(home, request, |_, _| {}).await?;
            print(cli.json, &value, |value| show::edited(lang, value));
            Ok(())
        }
        Command::Show {
            student,
            period,
            unit,
        } => {
            let request = Request::Show {
                subject: student,
                period,
                unit,
            };
            let value = ask(home, request, |_, _| {}).await?;
            print(cli.json, &value, |value| show::records(lang, value));
            Ok(())
        }
        Command::Template { kind, output } => {
            let kind = known_kind(&kind)?;
            crate::template::template(&kind, lang, &output).map_err(refused)
        }
        Command::Generate(args) => generate(&args),
        Command::Status { watch } => status(home, cli.json, watch, lang).await,
        Command::Log { unit, entries } => {
            let value = ask(home, Request::Log { unit, entries }, |_, _| {}).await?;
            print(cli.json, &value, |value| show::logs(lang, value));
            Ok(())
        }
        Command::Receipt => {
            print_json(&ask(home, Request::Receipts, |_, _| {}).await?);
            Ok(())
        }
        Command::Export {
            kind,
            period,
            unit,
            format,
            output,
        } => {
            let file = std::path::absolute(&output).map_err(refused)?;
            let lang_tag = lang.tag().to_owned();
            let request = Request::Export {
                kind,
                period,
                unit,
                file,
                format,
                lang: lang_tag,
            };
            let value = ask(home, request, |_, _| {}).await?;
            print(cli.json, &value, |value| show::exported(lang, value));
            Ok(())
        }
        Command::Doctor { repair: true } => {
            let aside = crate::repair::repair(home).await.map_err(refused)?;
            let value = serde_json::json!({ "repaired": aside.is_some(), "aside": aside });
            print(cli.json, &value, |value| show::repaired(lang, value));
            Ok(())
        }
        Command::Doctor { repair: false } => {
            let mut value = ask(home, Request::Doctor, |_, _| {}).await?;
            if let Err(error) = crate::repair::check_kept(home) {
                crate::doctor::add_error(&mut value, &error.to_string());
            }
            print(cli.json, &value, |value| show::examined(lang, value));
            if crate::doctor::found_errors(&value) {
                Err(refused(crate::label::word(lang, "doctor-found")))
            } else {
                Ok(())
            }
        }
    }
}

/// Asks the running node of a home, or opens the home for this one request.
async fn ask(
    home: &Path,
    request: Request,
    mut progress: impl FnMut(u64, u64),
) -> Result<serde_json::Value, Failure> {
    let socket = Home::control_path(home);
    if let Some(reply) = control::ask(&socket, &request, &mut progress)
        .await
        .map_err(refused)?
    {
        return Ok(reply?);
    }
    let hosted = host::open(home, None).await?;
    let reply = answer(&hosted.node, request, progress).await;
    hosted.stop().await.map_err(refused)?;
    Ok(reply?)
}

/// Reads what people may change of a home, which must be one.
fn settings(home: &Path) -> Result<Settings, Failure> {
    if !Home::exists(home) {
        return Err(HomeError::Missing {
            dir: home.to_owned(),
        }
        .into());
    }
    Ok(Home::settings(home)?)
}

async fn serve(
    home: &Path,
    listen: Option<SocketAddr>,
    stop_with_stdin: bool,
) -> Result<(), Failure> {
    let settings = settings(home)?;
    let listen = match (listen, &settings.listen) {
        (Some(listen), _) => listen,
        (None, Some(text)) => text.parse().map_err(refused)?,
        (None, None) => LISTEN.parse().map_err(refused)?,
    };
    let hosted = host::open(home, Some(listen)).await?;
    hosted.remember_listen(listen).map_err(refused)?;
    let socket = control::listen(&Home::control_path(home)).map_err(refused)?;
    let commands = tokio::spawn(control::serve(socket, hosted.node.clone()));
    tracing::info!(%listen, unit = %hosted.node.identity().unit, "serving");
    say(&format!("ready {listen}"));
    let stop = async {
        tokio::select! {
            () = stop_signal() => {}
            () = stdin_end(), if stop_with_stdin => {}
        }
    };
    let ended = hosted.until(stop).await;
    commands.abort();
    let _ = std::fs::remove_file(Home::control_path(home));
    ended.map_err(refused)
}

/// Resolves when the standard input ends.
async fn stdin_end() {
    let (ended, end) = tokio::sync::oneshot::channel();
    // A thread of its own, since a read that blocks cannot be taken back.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}

/// Resolves on SIGTERM or Ctrl-C.
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let term = async {
        match signal(SignalKind::terminate()) {
            Ok(mut term) => {
                term.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = term => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn status(home: &Path, json: bool, watch: bool, lang: Lang) -> Result<(), Failure> {
    loop {
        let value = ask(home, Request::Status, |_, _| {}).await?;
        if json {
            print_json(&value);
        } else {
            let status = serde_json::from_value(value).map_err(refused)?;
            let table = show::status(lang, &status);
            if watch && std::io::stdout().is_terminal() {
                // Clear the screen and start at its top.
                print!("\x1b[2J\x1b[H");
            }
            say(&table);
        }
        if !watch {
            return Ok(());
        }
        tokio::select! {
            () = stop_signal() => return Ok(()),
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
        }
    }
}

fn generate(args: &GenerateArgs) -> Result<(), Failure> {
    let kind = known_kind(&args.kind)?;
    let part = match args.delta {
        None => crate::generate::Part::Semester,
        Some(records) => crate::generate::Part::Delta(records),
    };
    let spec = crate::generate::Spec {
        school: args.school,
        students: args.students,
        per_student: args.per_student,
        seed: args.seed,
        part,
    };
    crate::generate::generate(&kind, &spec, args.form, &args.output).map_err(refused)?;
    Ok(())
}

/// Returns a kind that ships with the program.
fn known_kind(id: &str) -> Result<tiers::Kind, Failure> {
    let kinds = host::FIRST_KINDS
        .iter()
        .filter_map(|text| tiers::Kind::parse(text).ok());
    let (found, others): (Vec<_>, Vec<_>) = kinds.partition(|kind| kind.id() == id);
    found.into_iter().next().ok_or_else(|| {
        let known: Vec<&str> = others.iter().map(tiers::Kind::id).collect();
        Failure::label("error-kind-unknown")
            .with("kind", id)
            .with("known", known.join(", "))
    })
}

fn progress_bar(json: bool) -> ProgressBar {
    let target = if json || !std::io::stderr().is_terminal() {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar
}

fn print(json: bool, value: &serde_json::Value, text: impl Fn(&serde_json::Value) -> String) {
    if json {
        print_json(value);
    } else {
        say(&text(value));
    }
}

/// Prints a line; whoever closed the pipe has read enough.
fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn print_json(value: &serde_json::Value) {
    say(&format!("{value:#}"));
}
