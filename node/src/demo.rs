//! The whole story on one machine: a city, two districts, four schools and a laptop as real processes of this program,
//! speaking QUIC on the loopback through lines that can be cut. Real files go in, one school is cut off and comes back,
//! two people edit one record apart, and in the end every tier is shown to hold the same.

use std::path::PathBuf;

use clap::Args;

use crate::label::{Lang, word};

mod agreement;
mod cast;
mod error;
mod folder;
mod picture;
mod process;
mod screen;
mod stage;
mod story;
mod wire;

pub use error::DemoError;

use cast::{CITY, LONELY};
use stage::Stage;
use story::Plan;

/// What the demo is asked for.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Folder for homes, sample files and logs; replaced if a former demo made it.
    #[arg(long, default_value = "./sanji-demo", value_name = "DIR")]
    pub dir: PathBuf,
    /// End when the story is told; otherwise the nodes keep running until Ctrl-C.
    #[arg(long)]
    pub once: bool,
    /// Students of each school.
    #[arg(long, default_value_t = 60)]
    pub students: u32,
    /// Records of each student.
    #[arg(long, default_value_t = 5)]
    pub per_student: u32,
    /// Plain lines instead of a picture that is redrawn.
    #[arg(long)]
    pub plain: bool,
}

/// Tells the story; with `once` it ends afterwards, otherwise with the process.
///
/// # Errors
/// [`DemoError`]: a step failed, or some tier holds something else. Every process started was ended.
pub async fn run(args: DemoArgs, lang: Lang) -> Result<(), DemoError> {
    if !(2..=10_000).contains(&args.students) || !(1..=100).contains(&args.per_student) {
        return Err(DemoError::Options);
    }
    let program = std::env::current_exe().map_err(|source| DemoError::File {
        path: PathBuf::from("/proc/self/exe"),
        source,
    })?;
    folder::prepare(&args.dir)?;
    let records = u64::from(args.students) * u64::from(args.per_student) * 4;
    let mut stage = Stage::new(lang, program, &args.dir, records, args.plain);
    let plan = Plan {
        dir: args.dir.clone(),
        students: args.students,
        per_student: args.per_student,
    };
    let told = {
        let story = async {
            story::tell(&mut stage, &plan).await?;
            if !args.once {
                invite_to_try(&mut stage);
                stage.watch().await?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            told = story => told,
            () = crate::cli::stop_signal() => Err(DemoError::Interrupted),
        }
    };
    let ended_well = stage.stop_all().await;
    match told {
        // Without `once`, an interruption after the story is its proper end.
        Err(DemoError::Interrupted) if stage.is_told() => Ok(()),
        Ok(()) if !ended_well => Err(stage.lost(CITY, word(lang, "demo-ended-badly"))),
        told => told,
    }
}

/// Prints commands a person may try while the nodes run.
fn invite_to_try(stage: &mut Stage) {
    let lang = stage.lang;
    let mut lines = vec![format!("\n{}", word(lang, "demo-serving"))];
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "sanji".to_owned());
    let city = stage.home(CITY).display().to_string();
    let school = stage.home(LONELY).display().to_string();
    for (home, command) in [
        (&city, "status"),
        (&school, "status --watch"),
        (&school, "log"),
        (&city, "doctor"),
    ] {
        lines.push(format!("  {program} --home {home} {command}"));
    }
    lines.push(word(lang, "demo-ends"));
    stage.say(&lines.join("\n"));
    stage.told();
}
